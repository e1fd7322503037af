# ruff: noqa: RUF001 - letters of other widths are what is tried
"""Accounts and roles, the first administrator, links that work once (security 22, 30, 31, 39; catalogue rows 30-33)."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from freezegun import freeze_time

from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Audit, UserRole
from services import users
from services.users import NoAdministrator
from states import Role
from tests import builders

SECRET = b"s" * 32


def roles_of(user_id: int) -> frozenset[Role]:
    with reading() as session:
        return users.get(session, user_id).roles


def make(admin, login: str = "new", roles=(Role.CLERK,)) -> int:
    with writing() as session:
        return users.create(session, admin, login=login, name="New Person", roles=roles).id


def test_users_are_listed_by_name_with_their_roles(books: Flask, admin) -> None:
    with reading() as session:
        people = users.listing(session)
    assert [(each.login, each.roles, each.active, each.has_password) for each in people] == [
        ("admin", {Role.ADMIN}, True, True),
        ("finance", {Role.FINANCE}, True, True),
        ("clerk", {Role.CLERK}, True, True),
        ("viewer", {Role.VIEWER}, True, True),
    ]


@pytest.mark.parametrize("login", ["CLERK", "clerk ", "ＣＬＥＲＫ", "Clerk"])
def test_a_login_is_taken_once_in_whatever_form(books: Flask, admin, login: str) -> None:
    """Row 30."""
    with pytest.raises(BadInput) as refused:
        make(admin, login)
    assert refused.value.field == "login"


@pytest.mark.parametrize("login", ["", "  ", "x" * 101, "a\x00b", "a\u202eb"])
def test_a_login_can_be_shown(books: Flask, admin, login: str) -> None:
    with pytest.raises(BadInput):
        make(admin, login)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.CLERK, Role.FINANCE])
def test_only_administrators_administer(books: Flask, role: Role) -> None:
    by = builders.actor(role)
    with writing() as session:
        for act in (
            lambda: users.create(session, by, login="x", name="x", roles=[Role.ADMIN]),
            lambda: users.change_roles(session, by, 1, [Role.ADMIN]),
            lambda: users.set_active(session, by, 1, False),
            lambda: users.invite_again(session, by, 1),
        ):
            with pytest.raises(NotAllowed):
                act()


def test_the_last_administrator_stays(books: Flask, admin) -> None:
    """Row 31."""
    for act in (
        lambda session: users.change_roles(session, admin, 4, [Role.VIEWER]),
        lambda session: users.set_active(session, admin, 4, False),
    ):
        with pytest.raises(NoAdministrator) as refused, writing() as session:
            act(session)
        assert refused.value.status == 409
    second = make(admin, roles=[Role.ADMIN])
    with writing() as session:
        users.change_roles(session, admin, 4, [Role.VIEWER])
    assert roles_of(4) == {Role.VIEWER}
    with pytest.raises(Refusal), writing() as session:
        users.set_active(session, builders.actor(Role.ADMIN), second, False)


def test_two_administrators_cannot_demote_each_other_at_once(books: Flask, admin) -> None:
    other = make(admin, roles=[Role.ADMIN])
    gate, said = threading.Barrier(2), []

    def demote(user_id: int) -> None:
        with books.app_context():
            gate.wait()
            try:
                with writing() as session:
                    users.change_roles(session, admin, user_id, [Role.VIEWER])
                said.append("done")
            except NoAdministrator:
                said.append("refused")

    threads = [threading.Thread(target=demote, args=(each,)) for each in (4, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["done", "refused"]


def test_nobody_gives_themselves_a_role(books: Flask, admin) -> None:
    """Row 32."""
    with pytest.raises(NotAllowed), writing() as session:
        users.change_roles(session, admin, 4, [Role.ADMIN, Role.FINANCE])
    assert roles_of(4) == {Role.ADMIN}


def test_a_change_of_roles_is_audited_with_before_and_after(books: Flask, admin) -> None:
    with writing() as session:
        users.change_roles(session, admin, 2, [Role.CLERK, Role.FINANCE])
    assert roles_of(2) == {Role.CLERK, Role.FINANCE}
    with reading() as session:
        row = session.execute(
            sa.select(Audit.action, Audit.object, Audit.detail).where(Audit.action == "user.roles")
        ).one()
        assert session.scalar(sa.select(sa.func.count()).select_from(UserRole).where(UserRole.user_id == 2)) == 2
    assert tuple(row) == ("user.roles", "user:2", '{"after":["clerk","finance"],"before":["clerk"]}')


def test_a_password_is_changed_once(books: Flask, clerk) -> None:
    with reading() as session:
        before = users.password_of(session, 2)
    with writing() as session:
        users.set_password(session, clerk, 2, "$argon2id$one", instead_of=before)
    with pytest.raises(Stale), writing() as session:
        users.set_password(session, clerk, 2, "$argon2id$two", instead_of=before)


def test_an_invitation_works_once_and_for_a_day(books: Flask, admin) -> None:
    """Security 31."""
    with freeze_time("2026-11-20 08:00:00") as time:
        user_id = make(admin)
        with reading() as session:
            token = users.invitation(session, user_id, SECRET)
            assert token is not None
            assert users.invited(session, token, SECRET).login == "new"
            for wrong in (token[:-1] + "x", token.replace(str(user_id), "4", 1), "x", "", f"{token}x"):
                with pytest.raises(NotFound):
                    users.invited(session, wrong, SECRET)
            with pytest.raises(NotFound):
                users.invited(session, token, b"t" * 32)
        time.tick(timedelta(hours=25))
        with reading() as session, pytest.raises(NotFound):
            users.invited(session, token, SECRET)
        time.tick(timedelta(hours=-2))
        with writing() as session:
            users.choose_password(session, token, SECRET, "$argon2id$chosen")
        with writing() as session, pytest.raises(NotFound):
            users.choose_password(session, token, SECRET, "$argon2id$again")
        with reading() as session:
            assert users.password_of(session, user_id) == "$argon2id$chosen"
            assert users.invitation(session, user_id, SECRET) is None


def test_a_newer_invitation_makes_the_older_one_void(books: Flask, admin) -> None:
    user_id = make(admin)
    with reading() as session:
        older = users.invitation(session, user_id, SECRET)
    with writing() as session:
        users.invite_again(session, admin, user_id)
    with reading() as session, pytest.raises(NotFound):
        users.invited(session, older or "", SECRET)


@pytest.mark.bare_database
def test_the_set_up_token_works_once(books: Flask) -> None:
    """Security 30."""
    with reading() as session:
        token = users.set_up_token(session, SECRET)
    assert token is not None
    for wrong in ("", "x", token[:-1], "å"):
        with pytest.raises(NotFound), writing() as session:
            users.set_up(session, wrong, SECRET, login="first", name="First", password_hash="$argon2id$x")
    with writing() as session:
        made = users.set_up(session, token, SECRET, login="First", name="First", password_hash="$argon2id$x")
    assert (made.login, roles_of(made.id)) == ("first", {Role.ADMIN})
    with pytest.raises(NotFound), writing() as session:
        users.set_up(session, token, SECRET, login="second", name="Second", password_hash="$argon2id$x")
    with reading() as session:
        assert users.set_up_token(session, SECRET) is None


def test_there_is_no_default_account(books: Flask) -> None:
    """Security 30: where people exist there is no token."""
    with reading() as session:
        assert users.set_up_token(session, SECRET) is None


def test_the_language_is_remembered(books: Flask) -> None:
    with writing() as session:
        users.set_language(session, 2, "en")
    with pytest.raises(NotFound), writing() as session:
        users.set_language(session, 99, "en")
