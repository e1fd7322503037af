"""Keys to the JSON interface: made and revoked by administrators, shown once, kept as a hash (security 53)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal
from models import ApiToken
from rights import Actor, Right
from services import audit, money_forms
from services.card_checks import check_text
from states import Role

BEGINS = "kvitta_"
SHOWN = 12
"""Characters of a key that are kept to tell it by."""
NOTED_AGAIN = timedelta(minutes=1)
LONGEST_NAME = 100
ACTION = "api_token.make"


@dataclass(frozen=True, slots=True)
class Program:
    """Who shows a key: a program that does what a clerk does; the log names the key."""

    token_id: int
    actor: Actor
    stale: bool


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def make(session: Session, actor: Actor, nonce: str, name: str) -> tuple[ApiToken, str]:
    """A new key and its secret, which nobody is shown again; "" where this form has made it before. Raises BadInput."""
    actor.require(Right.ADMINISTER)
    name = check_text(" ".join(name.split()), LONGEST_NAME, field="name")
    if not name:
        raise BadInput(N_("Write what the key is for."), field="name")
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, "new", [name])
    if earlier is not None:
        return session.get_one(ApiToken, int(earlier)), ""
    secret = BEGINS + secrets.token_urlsafe(32)
    made = ApiToken(
        name=name, token_hash=_hash(secret), shown=secret[:SHOWN], created_by=actor.name, created_at=clock.now()
    )
    session.add(made)
    session.flush()
    money_forms.use_form(session, actor, nonce, ACTION, "new", [name], str(made.id))
    audit.write(session, actor, "api_token.make", f"api_token:{made.id}", {"name": name, "shown": made.shown})
    return made, secret


def revoke(session: Session, actor: Actor, token_id: int) -> ApiToken:
    """Let a key open nothing from now on. Raises NotAllowed, NotFound, Refusal when it was revoked before."""
    actor.require(Right.ADMINISTER)
    found = session.get(ApiToken, token_id, with_for_update=True) if 0 < token_id < 2**63 else None
    if found is None:
        raise NotFound
    if found.revoked_at is not None:
        raise Refusal(N_("The key has been revoked already."))
    found.revoked_at, found.revoked_by = clock.now(), actor.name
    audit.write(session, actor, "api_token.revoke", f"api_token:{found.id}", {"name": found.name})
    return found


def listing(session: Session) -> Sequence[ApiToken]:
    """All keys, those in use first, the newest first."""
    return session.scalars(sa.select(ApiToken).order_by(ApiToken.revoked_at.is_not(None), ApiToken.id.desc())).all()


def find(session: Session, secret: str) -> Program | None:
    """Whose key this is; None for one that opens nothing."""
    if not secret.startswith(BEGINS) or len(secret) > 200:
        return None
    found = session.scalar(
        sa.select(ApiToken).where(ApiToken.token_hash == _hash(secret), ApiToken.revoked_at.is_(None))
    )
    if found is None:
        return None
    stale = found.last_used_at is None or clock.now() - found.last_used_at > NOTED_AGAIN
    return Program(found.id, Actor(f"API: {found.name}", roles=frozenset({Role.CLERK})), stale)


def used(session: Session, token_id: int) -> datetime:
    """Note that a key is in use; asked for at most once a minute."""
    now = clock.now()
    session.execute(
        sa.update(ApiToken)
        .where(ApiToken.id == token_id)
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )
    return now
