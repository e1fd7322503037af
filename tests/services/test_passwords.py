"""Which passwords are let pass, and what comparing one costs (security 26, 27, 29)."""

from __future__ import annotations

import threading
import time

import pytest
from argon2 import PasswordHasher, extract_parameters

from errors import BadInput
from services.passwords import STRONG, Passwords, check

WORDS = ("Kvitta", "Provbolaget AB", "anna.ek", "Anna Ek")


@pytest.mark.parametrize(
    "password",
    [
        "short words",
        "password1234",
        "Password!!!!",
        "LÖSENORD2026",
        "sommar2026!!",
        "qwertyuiop12",
        "123456789012",
        "aaaaaaaaaaaaa",
        "abcdefghijklm",
        "provbolaget12",
        "Provbolaget AB 1",
        "kvittakvitta",
        "anna.ek 2026!",
        "121212121212",
        "x" * 257,
        "p@ssw0rd1234",
        "Pa55w0rd!!!!",
        "correct horse battery staple 7",
    ],
)
def test_what_is_easy_to_guess_is_refused(password: str) -> None:
    """Security 27, catalogue row 33: short, long, common, a row of keys, company and own words."""
    with pytest.raises(BadInput) as refused:
        check(password, WORDS)
    assert refused.value.field == "password"


@pytest.mark.parametrize(
    "password",
    [
        "grön låda över bron",
        "rätt häst batteri klammer 7",
        " mellanslag i kanten ",
        "日本語のながいパスワード",
        "x9!Kq-22_vT#pL",
        "provborr i annas ekskåp",
    ],
)
def test_what_is_long_and_mixed_passes_as_typed(password: str) -> None:
    assert check(password, WORDS) == password


def test_the_profile_is_the_one_the_rules_ask_for() -> None:
    """Security 26: 64 MiB, 3 passes, 4 lanes."""
    made = extract_parameters(STRONG.hash("grön låda över bron"))
    assert (made.memory_cost, made.time_cost, made.parallelism, made.type.name) == (65536, 3, 4, "ID")


def test_a_hash_with_other_costs_is_outdated() -> None:
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    assert STRONG.outdated(cheap.hash("grön låda över bron"))
    assert not cheap.outdated(cheap.hash("grön låda över bron"))


def test_comparing_is_exact_and_ends_at_256_characters() -> None:
    """Catalogue row 27: exactly as typed; a megabyte is never hashed."""
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    known = cheap.hash("grön låda ")
    assert cheap.matches(known, "grön låda ")
    assert not cheap.matches(known, "grön låda")
    assert not cheap.matches(known, "x" * 1_000_000)
    assert not cheap.matches(cheap.hash(""), "x" * 257)
    assert not cheap.matches("!0123", "anything")
    assert not cheap.matches(None, "")


def test_an_unknown_user_costs_as_much_as_a_known_one() -> None:
    """Security 29, by the ratio of the medians."""

    def median(known: str | None) -> float:
        taken = []
        for _ in range(5):
            begun = time.perf_counter()
            assert not STRONG.matches(known, "wrong")
            taken.append(time.perf_counter() - begun)
        return sorted(taken)[2]

    known, unknown, unset = median(STRONG.hash("right")), median(None), median("!abc")
    assert 0.4 < unknown / known < 2.5
    assert 0.4 < unset / known < 2.5


def test_at_most_two_hashes_are_made_at_a_time() -> None:
    """Security 26."""
    running, most, guard = 0, 0, threading.Lock()

    class Slow(PasswordHasher):
        def hash(self, password, *, salt=None):  # type: ignore[override]
            nonlocal running, most
            with guard:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with guard:
                running -= 1
            return "x"

    slow = Passwords(Slow())
    threads = [threading.Thread(target=slow.hash, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
