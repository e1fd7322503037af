# ruff: noqa: RUF001 - letters of other widths are what is tried
"""Trying, waiting, being let in, and how sessions end (security 19-23, 28, 29, 33, 34; catalogue rows 26-30)."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from freezegun import freeze_time

import db
from db import reading, writing
from errors import NotFound
from models import Audit, LoginAttempt, LoginSession
from rights import Right
from services import logins, users
from states import Role

HOME, AWAY = "192.0.2.1", "198.51.100.7"
SECRET = b"s" * 32
MORNING = "2026-11-20 08:00:00"


def attempt(login: str = "clerk", *, right: bool = False, address: str = HOME) -> str | int | None:
    """One try: the session's id, None for a wrong password, or the seconds to wait."""
    key = logins.login_key(login, SECRET)
    with writing() as session:
        admission = logins.admit(session, login, key, address)
    if admission.wait_seconds:
        return admission.wait_seconds
    with writing() as session:
        return logins.settle(session, admission, right, address)


def visit(secret_id: str) -> logins.Visit | None:
    with reading() as session:
        return logins.visit(session, secret_id)


def actions() -> list[tuple[str, str, str]]:
    query = sa.select(Audit.actor, Audit.action, Audit.object).where(Audit.action.startswith("login"))
    with reading() as session:
        return [tuple(row) for row in session.execute(query.order_by(Audit.id))]


def test_the_sixth_wrong_try_in_a_minute_waits_and_the_right_password_too(books: Flask) -> None:
    """Row 28."""
    with freeze_time(MORNING) as time:
        for _ in range(5):
            assert attempt() is None
            time.tick(2)
        assert attempt() == 51
        assert attempt(right=True) == 51
        assert isinstance(attempt("finance", right=True), str)
        time.tick(51)
        assert isinstance(attempt(right=True), str)


def test_twenty_wrong_tries_in_an_hour_from_one_address_wait(books: Flask) -> None:
    """Row 28."""
    with freeze_time(MORNING) as time:
        for number in range(20):
            assert attempt(f"nobody{number}") is None
            time.tick(10)
        wait = attempt("nobody99")
        assert isinstance(wait, int)
        assert 3000 < wait <= 3600
        assert attempt("nobody99", address=AWAY) is None


def test_nobody_locks_a_user_out_of_the_usual_place(books: Flask) -> None:
    """Security 28: it delays, and it does not let one user lock another out."""
    with freeze_time(MORNING) as time:
        assert isinstance(attempt(right=True), str)
        time.tick(60)
        for _ in range(5):
            assert attempt(address=AWAY) is None
        assert isinstance(attempt(address=AWAY), int)
        assert isinstance(attempt(right=True), str)


def test_the_throttle_forgets_nothing_and_no_typed_login_is_stored(books: Flask) -> None:
    attempt("my password in the wrong field")
    with reading() as session:
        rows = session.scalars(sa.select(LoginAttempt)).all()
    assert len(rows) == 1
    assert "password" not in rows[0].login_hash
    assert len(rows[0].login_hash) == 64


def test_many_wrong_tries_at_once_are_counted_one_by_one(books: Flask) -> None:
    """Twelve at the same moment: five are let through to the comparison, on both databases."""
    answers: list[logins.Admission] = []
    gate = threading.Barrier(12)

    def one() -> None:
        with books.app_context():
            gate.wait()
            with writing() as session:
                answers.append(logins.admit(session, "clerk", logins.login_key("clerk", SECRET), HOME))

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for each in answers if not each.wait_seconds) == 5
    assert len(answers) == 12


@pytest.mark.only_on("postgres")
def test_without_the_lock_the_throttle_is_outrun(books: Flask, monkeypatch) -> None:
    """The test of the lock: two tries that look at the same moment both see too few."""
    monkeypatch.setattr(logins, "one_at_a_time", lambda *_: None)
    for _ in range(4):
        attempt()
    key = logins.login_key("clerk", SECRET)
    with db.Session(db.db.engine) as one, db.Session(db.db.engine) as other:
        first, second = (logins.admit(each, "clerk", key, HOME) for each in (one, other))
        assert (first.wait_seconds, second.wait_seconds) == (0, 0)


@pytest.mark.parametrize("login", ["CLERK", " clerk ", "ｃｌｅｒｋ", "cLeRK"])
def test_a_login_has_one_normal_form(books: Flask, login: str) -> None:
    """Row 30."""
    assert isinstance(attempt(login, right=True), str)


def test_unknown_disabled_and_unset_users_are_all_the_same(books: Flask, admin) -> None:
    """Row 26."""
    with writing() as session:
        users.set_active(session, admin, 2, False)
        users.create(session, admin, login="new", name="New", roles=[Role.CLERK])
    assert attempt("clerk", right=True) is None
    assert attempt("not there", right=True) is None
    with writing() as session:
        admission = logins.admit(session, "new", logins.login_key("new", SECRET), HOME)
    assert admission.password_hash is not None
    assert not admission.password_hash.startswith("$argon2")


def test_success_failure_and_throttling_are_audited_without_who_typed_what(books: Flask) -> None:
    """Security 34."""
    attempt(right=True)
    for _ in range(5):
        attempt("finance")
    attempt("finance")
    assert actions() == [
        ("Handläggaren", "login", "user:2"),
        *[("nobody", "login.failed", "user:3")] * 5,
        ("nobody", "login.throttled", "user:3"),
    ]


def test_a_password_changed_between_trying_and_settling_lets_nobody_in(books: Flask, admin) -> None:
    with writing() as session:
        admission = logins.admit(session, "clerk", logins.login_key("clerk", SECRET), HOME)
    with writing() as session:
        users.set_password(session, admin, 2, "$argon2id$other", instead_of=admission.password_hash or "")
    with writing() as session:
        assert logins.settle(session, admission, True, HOME) is None


def test_a_hash_is_renewed_at_login(books: Flask) -> None:
    """Security 26."""
    with writing() as session:
        admission = logins.admit(session, "clerk", logins.login_key("clerk", SECRET), HOME)
    with writing() as session:
        assert logins.settle(session, admission, True, HOME, "$argon2id$renewed")
    with reading() as session:
        assert users.password_of(session, 2) == "$argon2id$renewed"


def test_a_visit_knows_the_person_and_the_rights(books: Flask) -> None:
    secret_id = attempt(right=True)
    assert isinstance(secret_id, str)
    found = visit(secret_id)
    assert found is not None
    assert (found.actor.id, found.actor.name, found.actor.may(Right.WORK), found.login) == (
        2,
        "Handläggaren",
        True,
        "clerk",
    )
    assert visit(secret_id[:-1]) is None
    assert visit("") is None
    assert visit("\ud800") is None


@pytest.mark.parametrize("change", ["password", "roles", "disabled", "invited"])
def test_a_change_of_the_user_ends_all_the_sessions_and_no_others(books: Flask, admin, change: str) -> None:
    """Security 22."""
    mine = [attempt(right=True), attempt(right=True, address=AWAY)]
    other = attempt("finance", right=True)
    with writing() as session:
        match change:
            case "password":
                users.set_password(session, admin, 2, "$argon2id$x", instead_of=users.password_of(session, 2))
            case "roles":
                users.change_roles(session, admin, 2, [Role.VIEWER])
            case "disabled":
                users.set_active(session, admin, 2, False)
            case "invited":
                users.invite_again(session, admin, 2)
    assert [visit(each) for each in mine] == [None, None]
    assert visit(other) is not None


def test_one_ends_ones_own_sessions_and_an_administrator_anyones(books: Flask, clerk, finance, admin) -> None:
    """Security 23."""
    first, second = attempt(right=True), attempt(right=True, address=AWAY)
    with reading() as session:
        seats = logins.sessions(session, 2)
        keys = {seat.address: seat.id_hash for seat in seats}
    with writing() as session, pytest.raises(NotFound):
        logins.end_session(session, finance, keys[HOME])
    with writing() as session:
        assert logins.end_session(session, clerk, keys[AWAY]) == 2
    assert (visit(first) is None, visit(second) is None) == (False, True)
    with writing() as session:
        logins.end_session(session, admin, keys[HOME])
    assert visit(first) is None
    with reading() as session:
        assert logins.sessions(session, 2) == []


def test_the_password_again_counts_for_half_an_hour(books: Flask) -> None:
    """Security 33."""
    with freeze_time(MORNING) as time:
        secret_id = attempt(right=True)
        time.tick(timedelta(minutes=31))
        found = visit(secret_id)
        assert not found.confirmed
        for right in (False, True):
            with writing() as session:
                admission = logins.admit(session, "clerk", logins.login_key("clerk", SECRET), HOME)
            with writing() as session:
                assert logins.confirm(session, admission, right, found.id_hash) is right
        assert visit(secret_id).confirmed


def test_one_cannot_confirm_somebody_elses_session(books: Flask) -> None:
    finance_session = visit(attempt("finance", right=True))
    with writing() as session:
        admission = logins.admit(session, "clerk", logins.login_key("clerk", SECRET), HOME)
    with writing() as session:
        assert not logins.confirm(session, admission, True, finance_session.id_hash)


def test_ids_have_256_bits_and_are_stored_hashed(books: Flask) -> None:
    """Security 19."""
    made = {attempt(right=True, address=f"192.0.2.{number}") for number in range(5)}
    assert {len(each) for each in made} == {43}
    with reading() as session:
        assert not made & set(session.scalars(sa.select(LoginSession.id_hash)))
