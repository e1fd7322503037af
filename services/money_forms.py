"""Forms that move money: each is used once, and the same form again is answered with what it did. Source: operations 12."""

from __future__ import annotations

import hashlib
import json
import re

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, Malformed, NotAllowed, Refusal
from models import (
    FormUse,
)
from rights import Actor


def earlier_use(session: Session, actor: Actor, nonce: str, action: str, subject: str, values: object) -> str | None:
    """The result of a money form that was used before, None for a fresh one; asked first, under the order's lock.

    Raises Malformed for a nonce that is not one, NotAllowed for another person's, Refusal for other values (operations 12).
    """
    if not re.fullmatch(r"[0-9a-f]{32}", nonce):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    _let_its_twin_end(session, nonce)
    earlier = session.get(FormUse, nonce)
    if earlier is None:
        return None
    if earlier.user_id != (actor.id or 0) or earlier.action != action or earlier.subject_id != subject:
        raise NotAllowed(N_("The form belongs to somebody else. Nothing has been done."))
    if earlier.values_sha256 != _values_digest(values):
        raise Refusal(N_("This form has already been used, with other values. Nothing more has been done."))
    return earlier.result


def _let_its_twin_end(session: Session, nonce: str) -> None:
    """Wait while the same form, sent twice in a moment, is still at work; SQLite lets one write at a time anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(int(nonce[:16], 16) - 2**63)))


def use_form(
    session: Session, actor: Actor, nonce: str, action: str, subject: str, values: object, result: str
) -> None:
    """Use up a money form in the transaction that does its act; the same form again is answered with ``result``."""
    session.add(
        FormUse(
            nonce=nonce,
            user_id=actor.id or 0,
            action=action,
            subject_id=subject,
            values_sha256=_values_digest(values),
            result=result,
            used_at=clock.now(),
        )
    )
    session.flush()


def _values_digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
