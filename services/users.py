"""Accounts and roles, the first administrator, and links that let a user choose a password (security 22, 30, 31, 34, 39)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from db import add_first
from errors import N_, BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Installation, User, UserRole
from rights import RIGHTS, Actor, Right
from services import audit
from services.logins import end_all, normal_login, one_at_a_time
from states import Role


@dataclass(frozen=True, slots=True)
class Person:
    """A user as a page shows one."""

    id: int
    login: str
    name: str
    roles: frozenset[Role]
    active: bool
    has_password: bool
    created_at: datetime


def _person(user: User) -> Person:
    roles = frozenset(each.role for each in user.roles)
    return Person(user.id, user.login, user.name, roles, user.active, _has_password(user), user.created_at)


def listing(session: Session) -> list[Person]:
    """All users, by name."""
    return [_person(user) for user in session.scalars(sa.select(User).order_by(sa.func.lower(User.name), User.id))]


def _user(session: Session, user_id: int) -> User:
    found = session.get(User, user_id)
    if found is None:
        raise NotFound
    return found


def get(session: Session, user_id: int) -> Person:
    """One user. Raises NotFound."""
    return _person(_user(session, user_id))


def acting(session: Session, user_id: int) -> Actor:
    """The person a job acts for, with the rights they have now: none once the account has been closed. Raises NotFound."""
    user = _user(session, user_id)
    return Actor(user.name, user.id, frozenset(each.role for each in user.roles) if user.active else frozenset())


def password_of(session: Session, user_id: int) -> str:
    """The hash of a user's password: what ``set_password`` is to replace. Raises NotFound."""
    return _user(session, user_id).password_hash


def _check_login(text: str) -> str:
    login = normal_login(text)
    if not login or len(login) > 100 or any(unicodedata.category(each)[0] == "C" for each in login):
        raise BadInput(N_("A login has 1 to 100 characters that can be shown."), field="login")
    return login


def _no_password() -> str:
    """What stands where no password has been chosen: nothing matches it, and no two are equal."""
    return f"!{secrets.token_hex(16)}"


def create(
    session: Session, actor: Actor, *, login: str, name: str, roles: Iterable[Role], password_hash: str = ""
) -> User:
    """Add a user. Without a password nobody can log in until one is chosen through an ``invitation``. Raises BadInput."""
    actor.require(Right.ADMINISTER)
    login, chosen = _check_login(login), frozenset(roles)
    if session.scalar(sa.select(User.id).where(User.login == login)) is not None:
        raise BadInput(N_("There is already a user with that login."), field="login")
    kept = password_hash or _no_password()
    user = User(login=login, name=name.strip(), password_hash=kept, active=True, created_at=clock.now())
    user.roles = [UserRole(role=role) for role in sorted(chosen)]
    _found(session)
    session.add(user)
    session.flush()
    audit.write(session, actor, "user.create", f"user:{user.id}", {"roles": sorted(chosen)})
    return user


def _found(session: Session) -> None:
    """The first user founds the installation: the row that says whose books these are."""
    if session.get(Installation, 1) is None:
        add_first(session, Installation(id=1, installation_id=str(uuid4()), sending_enabled=True))


class NoAdministrator(Refusal):
    """Nobody would be left who can administer (catalogue row 31)."""

    def __init__(self) -> None:
        super().__init__(N_("Kvitta needs at least one administrator. Appoint another one first."))


def _keep_an_administrator(session: Session, user: User) -> None:
    """Refuse to leave nobody who can administer. The administrators' rows are locked, so that two cannot leave at once."""
    others = session.scalars(
        sa.select(User)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.role == Role.ADMIN, User.active.is_(True))
        .order_by(User.id)
        .with_for_update()
    ).all()
    if {each.id for each in others} <= {user.id}:
        raise NoAdministrator


def _rights(roles: frozenset[Role]) -> frozenset[Right]:
    return frozenset(right for role in roles for right in RIGHTS[role])


def change_roles(session: Session, actor: Actor, user_id: int, roles: Iterable[Role]) -> None:
    """Give a user these roles and no others; ends the user's sessions. Raises NotAllowed, Refusal (22, 39; row 31, 32)."""
    actor.require(Right.ADMINISTER)
    wanted = frozenset(roles)
    user = _user(session, user_id)
    if Role.ADMIN not in wanted and any(each.role is Role.ADMIN for each in user.roles) and user.active:
        _keep_an_administrator(session, user)
    has = frozenset(each.role for each in user.roles)
    if user.id == actor.id and _rights(wanted) - _rights(has):
        raise NotAllowed(N_("Nobody can give themselves more rights. Another administrator has to do it."))
    if wanted == has:
        return
    user.roles = [each for each in user.roles if each.role in wanted]
    user.roles += [UserRole(role=role) for role in sorted(wanted - has)]
    end_all(session, user.id)
    detail: dict[str, object] = {"before": sorted(has), "after": sorted(wanted)}
    audit.write(session, actor, "user.roles", f"user:{user.id}", detail)


def set_active(session: Session, actor: Actor, user_id: int, active: bool) -> None:
    """Disable a user, or let one in again; ends the user's sessions. Raises Refusal (row 31)."""
    actor.require(Right.ADMINISTER)
    user = _user(session, user_id)
    if user.active == active:
        return
    if not active and any(each.role is Role.ADMIN for each in user.roles):
        _keep_an_administrator(session, user)
    user.active = active
    end_all(session, user.id)
    audit.write(session, actor, "user.enable" if active else "user.disable", f"user:{user.id}")


def set_password(session: Session, actor: Actor, user_id: int, password_hash: str, *, instead_of: str) -> None:
    """Change a password; ends all the user's sessions. Raises Stale when it has been changed meanwhile (22, 31)."""
    user = session.get(User, user_id, with_for_update=True)
    if user is None or not user.active:
        raise NotFound
    if user.password_hash != instead_of:
        raise Stale(N_("The password has already been changed."))
    user.password_hash = password_hash
    end_all(session, user.id)
    audit.write(session, actor, "user.password", f"user:{user.id}")


def set_language(session: Session, user_id: int, language: str) -> None:
    """Remember the language a user reads."""
    _user(session, user_id).language = language


# --- The first user, and links that work once ------------------------------------------------------------------------


def set_up_token(session: Session, secret: bytes) -> str | None:
    """What lets the first administrator in; None as soon as there is a user, so that it works once (30)."""
    if session.scalar(sa.select(User.id).limit(1)) is not None:
        return None
    installation = session.scalar(sa.select(Installation.installation_id)) or ""
    return hmac.new(secret, b"set-up\0" + installation.encode(), hashlib.sha256).hexdigest()[:40]


def check_set_up_token(session: Session, token: str, secret: bytes) -> None:
    """Let the right token pass. Raises NotFound for a wrong one, or when there is a user already."""
    wanted = set_up_token(session, secret)
    if wanted is None or not hmac.compare_digest(wanted.encode(), token.encode("utf-8", "replace")):
        raise NotFound


def set_up(session: Session, token: str, secret: bytes, *, login: str, name: str, password_hash: str) -> User:
    """Make the first administrator. Raises NotFound for a wrong token, or when there is a user already."""
    one_at_a_time(session, "set-up")
    check_set_up_token(session, token, secret)
    by = Actor("set-up", roles=frozenset({Role.ADMIN}))
    return create(session, by, login=login, name=name, roles={Role.ADMIN}, password_hash=password_hash)


INVITED_FOR = timedelta(hours=24)


def _has_password(user: User) -> bool:
    """Whether the user has chosen a password."""
    return not user.password_hash.startswith("!")


def _invitation_mark(user: User, until: int, secret: bytes) -> str:
    content = f"invitation\0{user.id}\0{until}\0{user.password_hash}"
    return hmac.new(secret, content.encode(), hashlib.sha256).hexdigest()[:40]


def invitation(session: Session, user_id: int, secret: bytes) -> str | None:
    """What lets a user choose a password, once, within 24 hours; None for who has one or is disabled (31).

    Nothing is stored: it is bound to what stands instead of a password now. Raises NotFound.
    """
    user = _user(session, user_id)
    if not user.active or _has_password(user):
        return None
    until = int((clock.now() + INVITED_FOR).timestamp())
    return f"{user.id}-{until}-{_invitation_mark(user, until, secret)}"


def _invited(session: Session, token: str, secret: bytes) -> User:
    found = re.fullmatch(r"([0-9]{1,15})-([0-9]{1,12})-([0-9a-f]{40})", token)
    user = session.get(User, int(found[1])) if found else None
    if found is None or user is None or not user.active or _has_password(user):
        raise NotFound
    until = int(found[2])
    if until < clock.now().timestamp() or not hmac.compare_digest(_invitation_mark(user, until, secret), found[3]):
        raise NotFound
    return user


def invited(session: Session, token: str, secret: bytes) -> Person:
    """Whom an invitation is for. Raises NotFound when it is wrong, old or used."""
    return _person(_invited(session, token, secret))


def choose_password(session: Session, token: str, secret: bytes, password_hash: str) -> None:
    """Set the password an invitation was for, which thereby is used up. Raises NotFound, Stale."""
    user = _invited(session, token, secret)
    set_password(session, Actor(user.name, user.id), user.id, password_hash, instead_of=user.password_hash)


def invite_again(session: Session, actor: Actor, user_id: int) -> None:
    """Take a user's password away, so that a new one is chosen through a link; older links are void. Raises NotFound."""
    actor.require(Right.ADMINISTER)
    user = _user(session, user_id)
    if not user.active:
        raise NotFound
    user.password_hash = _no_password()
    end_all(session, user.id)
    audit.write(session, actor, "user.invite", f"user:{user.id}")
