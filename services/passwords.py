"""How passwords are hashed, and which ones are let pass (security 26, 27)."""

from __future__ import annotations

import base64
import threading
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from errors import N_, BadInput
from models import Setting

SHORTEST, LONGEST = 12, 256


class Passwords:
    """Argon2id, at most two hashes at a time in a process (security 26)."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self._turns = threading.BoundedSemaphore(2)
        salt, filler = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
        profile = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        self._nobody = f"$argon2id$v=19${profile}${salt}${filler}"

    def hash(self, password: str) -> str:
        """Hash a password that ``check`` has let pass."""
        with self._turns:
            return self._hasher.hash(password)

    def matches(self, known: str | None, password: str) -> bool:
        """Whether a password is the one; as slow without a known hash as with one (security 29)."""
        too_long = len(password) > LONGEST
        usable = known if known and known.startswith("$argon2") else self._nobody
        with self._turns:
            try:
                self._hasher.verify(usable, "" if too_long else password)
            except (VerificationError, InvalidHashError):
                return False
        return not too_long

    def outdated(self, known: str) -> bool:
        """Whether a hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(known)


STRONG = Passwords(PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4))
"""What every installation uses: 64 MiB, 3 passes, 4 lanes."""


@cache
def _common() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


_AROUND = "0123456789!?.,:;-_+*#%&/=()<>@$ "
_LOOKALIKES = str.maketrans("@401357$", "aaoiests")


def _guessable(password: str, words: Iterable[str]) -> bool:
    """Whether a password is a common one, a row of keys or digits, or a forbidden word with digits and signs around it."""
    plain = _plain(password)
    letters = "".join(each for each in plain if each.isalpha())
    whole = "".join(each for each in plain if each.isalnum())
    core = plain.strip(_AROUND)
    if {plain, letters, whole, core, core.translate(_LOOKALIKES)} & _common() or len(set(plain)) < 5:
        return True
    steps = {ord(after) - ord(before) for before, after in pairwise(plain)}
    forbidden = {"".join(each for each in _plain(word) if each.isalnum()) for word in words}
    parts = {part for word in words for part in _plain(word).split()}
    close = {word for word in forbidden | parts if len(word) >= 3}
    return (
        steps in ({0}, {1}, {-1})
        or letters in close
        or whole in close
        or (any(len(word) >= 5 and word in whole and len(whole) - len(word) < 8 for word in close))
    )


def check(password: str, words: Iterable[str] = ()) -> str:
    """Let a new password pass. ``words`` are those it must not be made of: company, login, name. Raises BadInput (27)."""
    if len(password) < SHORTEST:
        raise BadInput(N_("The password must be at least %(least)s characters long."), field="password", least=SHORTEST)
    if len(password) > LONGEST:
        raise BadInput(N_("The password may be at most %(most)s characters long."), field="password", most=LONGEST)
    if _guessable(password, tuple(words)):
        raise BadInput(
            N_("The password is too easy to guess. Take several words that do not belong together."), field="password"
        )
    return password


def forbidden_words(session: Session, *more: str) -> tuple[str, ...]:
    """Words no password may be made of: the company's names through time, Kvitta's, and those given."""
    names = session.scalars(sa.select(Setting.value).where(Setting.name == "company.name"))
    return ("Kvitta", *more, *names)
