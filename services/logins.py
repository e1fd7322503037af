"""Logging in and the sessions that follow, with the throttle (security 18-24, 28, 29, 33). Knows no Flask and no cookie.

Logging in takes three beats, so that no transaction waits for a hash: ``admit`` notes the try and looks at the throttle,
``Passwords.matches`` reckons for about 100 ms with no connection held, ``settle`` writes the session or the failure.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from db import is_sqlite
from errors import NotFound
from models import LoginAttempt, LoginSession, User, UserRole
from rights import Actor, Right
from services import audit

IDLE = timedelta(minutes=60)
LONGEST = timedelta(hours=12)
CONFIRMED = timedelta(minutes=30)
"""How long a password typed again counts (security 33)."""
SEEN_EVERY = timedelta(minutes=1)
"""How often a session notes that it is used."""
TRIES_PER_USER, USER_WINDOW = 5, timedelta(seconds=60)
TRIES_PER_ADDRESS, ADDRESS_WINDOW = 20, timedelta(hours=1)
KNOWN_FOR = timedelta(days=30)
"""How long an address where a user has logged in counts as the user's own place."""
LONGEST_LOGIN = 400


def normal_login(text: str) -> str:
    """One normal form of a login: NFKC, case-folded, single spaces (catalogue row 30)."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def login_key(login: str, secret: bytes) -> str:
    """What a typed login is noted under: a password typed in the wrong field is not to be guessed from it."""
    return hmac.new(
        secret, b"login\0" + normal_login(login[:LONGEST_LOGIN]).encode("utf-8", "replace"), hashlib.sha256
    ).hexdigest()


@dataclass(frozen=True, slots=True)
class Admission:
    """A try that has been noted, or one that must wait ``wait_seconds``."""

    attempt_id: int | None
    user_id: int | None
    password_hash: str | None
    wait_seconds: int = 0


def one_at_a_time(session: Session, *keys: str) -> None:
    """Let tries for the same user or address follow each other; SQLite has one writer anyway."""
    if is_sqlite(session.get_bind().engine):
        return
    for key in keys:
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _wait(session: Session, scope: sa.ColumnElement[bool], most: int, window: timedelta) -> int:
    """Seconds until fewer than ``most`` failures lie within the window."""
    now = clock.now()
    nth = session.scalar(
        sa.select(LoginAttempt.at)
        .where(scope, LoginAttempt.succeeded.is_(False), LoginAttempt.at > now - window)
        .order_by(LoginAttempt.at.desc())
        .offset(most - 1)
        .limit(1)
    )
    return 0 if nth is None else max(1, int((nth + window - now).total_seconds()) + 1)


def _throttled(session: Session, login_hash: str, address: str) -> int:
    """Seconds this login from this address has to wait.

    Where the user has logged in before, only failures from there count: nobody can lock a user out from elsewhere.
    """
    login, place = LoginAttempt.login_hash == login_hash, LoginAttempt.address == address
    known = session.scalar(
        sa.select(sa.literal(1))
        .where(login, place, LoginAttempt.succeeded.is_(True), LoginAttempt.at > clock.now() - KNOWN_FOR)
        .limit(1)
    )
    per_user = sa.and_(login, place) if known else login
    per_address = sa.and_(login, place) if known else place
    return max(
        _wait(session, per_user, TRIES_PER_USER, USER_WINDOW),
        _wait(session, per_address, TRIES_PER_ADDRESS, ADDRESS_WINDOW),
    )


def admit(session: Session, login: str, login_hash: str, address: str) -> Admission:
    """Note a try as failed before anything is compared, so that many at once count, too; or say how long to wait (28)."""
    one_at_a_time(session, address, login_hash)
    wait = _throttled(session, login_hash, address)
    if wait:
        return Admission(None, None, None, wait)
    attempt = LoginAttempt(login_hash=login_hash, address=address, at=clock.now(), succeeded=False)
    session.add(attempt)
    session.flush()
    user = None
    if len(login) <= LONGEST_LOGIN:
        user = session.scalar(sa.select(User).where(User.login == normal_login(login), User.active.is_(True)))
    return Admission(attempt.id, user.id if user else None, (user.password_hash or None) if user else None)


def _person(session: Session, admission: Admission, matches: bool) -> User | None:
    """The user of a try that succeeded, if nothing has changed since it was noted."""
    if not matches or admission.user_id is None:
        return None
    user = session.get(User, admission.user_id, with_for_update=True)
    return user if user and user.active and user.password_hash == admission.password_hash else None


def _record(session: Session, admission: Admission, user: User | None) -> None:
    attempt = session.get_one(LoginAttempt, admission.attempt_id)
    if user is not None:
        attempt.succeeded = True
        session.execute(sa.delete(LoginAttempt).where(LoginAttempt.at < clock.now() - KNOWN_FOR))
        return
    who = f"user:{admission.user_id}" if admission.user_id else "user:unknown"
    audit.write(session, Actor("nobody"), "login.failed", who)
    if _throttled(session, attempt.login_hash, attempt.address):
        audit.write(session, Actor("nobody"), "login.throttled", who)


def settle(
    session: Session, admission: Admission, matches: bool, address: str, new_hash: str | None = None
) -> str | None:
    """Open a session and give its secret id, or note the failure and give None. ``new_hash`` renews an outdated hash."""
    user = _person(session, admission, matches)
    _record(session, admission, user)
    if user is None:
        return None
    if new_hash is not None:
        user.password_hash = new_hash
    return open_session(session, user, address)


def confirm(session: Session, admission: Admission, matches: bool, id_hash: str) -> bool:
    """Note that the person at a session has typed the password again; False, and noted, when it was wrong (33)."""
    user = _person(session, admission, matches)
    _record(session, admission, user)
    found = session.get(LoginSession, id_hash)
    if user is None or found is None or found.user_id != user.id or found.ended_at is not None:
        return False
    found.confirmed_at = clock.now()
    audit.write(session, Actor(user.name, user.id), "login.confirm", f"user:{user.id}")
    return True


# --- Sessions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visit:
    """A session in use, as plain values."""

    id_hash: str
    actor: Actor
    login: str
    language: str | None
    last_seen_at: datetime
    confirmed_at: datetime

    @property
    def confirmed(self) -> bool:
        """Whether the password was typed within the last half hour."""
        return clock.now() - self.confirmed_at <= CONFIRMED

    @property
    def stale(self) -> bool:
        """Whether it is time to note that the session is in use."""
        return clock.now() - self.last_seen_at >= SEEN_EVERY


def _hash_id(secret_id: str) -> str:
    return hashlib.sha256(secret_id.encode("utf-8", "replace")).hexdigest()


def open_session(session: Session, user: User, address: str) -> str:
    """Begin a session; gives its secret id of 256 bits, which is stored nowhere (security 19)."""
    secret_id = secrets.token_urlsafe(32)
    now = clock.now()
    session.add(
        LoginSession(
            id_hash=_hash_id(secret_id),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            confirmed_at=now,
            address=address,
        )
    )
    audit.write(session, Actor(user.name, user.id), "login", f"user:{user.id}")
    return secret_id


def _live() -> sa.ColumnElement[bool]:
    now = clock.now()
    return sa.and_(
        LoginSession.ended_at.is_(None), LoginSession.last_seen_at > now - IDLE, LoginSession.created_at > now - LONGEST
    )


@cache
def _visit() -> sa.Select[*tuple[Any, ...]]:
    """The one query of every request: over plain tables and put together once, which halves what it costs."""
    seat, user, role = LoginSession.__table__.c, User.__table__.c, UserRole.__table__.c
    return (
        sa.select(
            seat.id_hash, seat.last_seen_at, seat.confirmed_at, user.id, user.name, user.login, user.language, role.role
        )
        .select_from(
            LoginSession.__table__.join(User.__table__, user.id == seat.user_id).outerjoin(
                UserRole.__table__, role.user_id == user.id
            )
        )
        .where(
            seat.id_hash == sa.bindparam("wanted"),
            seat.ended_at.is_(None),
            seat.last_seen_at > sa.bindparam("idle_since"),
            seat.created_at > sa.bindparam("oldest"),
            user.active.is_(True),
        )
    )


def visit(session: Session, secret_id: str) -> Visit | None:
    """Who is behind a session id; None when it is unknown, ended, idle for an hour, or twelve hours old (18-22)."""
    now = clock.now()
    limits = {"wanted": _hash_id(secret_id), "idle_since": now - IDLE, "oldest": now - LONGEST}
    rows = session.execute(_visit(), limits).all()
    if not rows:
        return None
    first = rows[0]
    roles = frozenset(row.role for row in rows if row.role is not None)
    return Visit(
        first.id_hash,
        Actor(first.name, first.id, roles),
        first.login,
        first.language,
        first.last_seen_at,
        first.confirmed_at,
    )


def seen(session: Session, id_hash: str) -> None:
    """Note that a session is in use."""
    session.execute(
        sa.update(LoginSession)
        .where(LoginSession.id_hash == id_hash, LoginSession.ended_at.is_(None))
        .values(last_seen_at=clock.now())
    )


def log_out(session: Session, actor: Actor, id_hash: str) -> None:
    """End the session one is in."""
    session.execute(sa.update(LoginSession).where(LoginSession.id_hash == id_hash).values(ended_at=clock.now()))
    audit.write(session, actor, "logout", f"user:{actor.id}")


def end_all(session: Session, user_id: int) -> None:
    """End all sessions of a user at once (22)."""
    session.execute(
        sa.update(LoginSession)
        .where(LoginSession.user_id == user_id, LoginSession.ended_at.is_(None))
        .values(ended_at=clock.now())
    )


def end_session(session: Session, actor: Actor, id_hash: str) -> int:
    """End one's own session somewhere else; an administrator ends anyone's. Gives whose it was. Raises NotFound (23)."""
    found = session.get(LoginSession, id_hash)
    if found is None or (found.user_id != actor.id and not actor.may(Right.ADMINISTER)):
        raise NotFound
    if found.ended_at is None:
        found.ended_at = clock.now()
        audit.write(session, actor, "session.end", f"user:{found.user_id}")
    return found.user_id


@dataclass(frozen=True, slots=True)
class Seat:
    """A session as a list shows it."""

    id_hash: str
    created_at: datetime
    last_seen_at: datetime
    address: str | None


def sessions(session: Session, user_id: int) -> list[Seat]:
    """The sessions of a user that are alive, the latest first."""
    rows = session.execute(
        sa.select(LoginSession.id_hash, LoginSession.created_at, LoginSession.last_seen_at, LoginSession.address)
        .where(LoginSession.user_id == user_id, _live())
        .order_by(LoginSession.last_seen_at.desc(), LoginSession.id_hash)
    )
    return [Seat(*row) for row in rows]
