"""The third beat: an outcome is recorded with all that follows from it; and what a look proves.

Source: operations 6 to 8 and 10.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
from models import (
    KlarnaAttempt,
    KlarnaOp,
)
from rights import Actor
from services import effects
from services.answers import (
    Outcome,
    Permission,
    Verdict,
    answers_so_far,
    append_answer,
    may_have_reached,
    read_outcome,
    retry_after,
)
from services.gateway import CREDENTIALS, close_breaker, open_breaker
from services.looks import OF_THE_RESERVATION, Found, Look, proves, with_number
from services.op_log import lock, move
from states import OPEN_OPS, AnswerClass, OpState, Origin, RefusalKind

QUIET = timedelta(minutes=15)
LOOK_AGAIN = timedelta(hours=1)
"""How often Klarna is looked at once nothing may be posted any more (operations 10, rule 6)."""
REPOST = tuple(timedelta(seconds=s) for s in (5, 60, 300, 1800, 5 * 3600, 22 * 3600))
"""When an unanswered act is asked again, counted from its first send (operations 10, rule 3)."""


class Business(Protocol):
    """What follows from an outcome; called inside the transaction that records it."""

    def confirmed(self, session: Session, op: KlarnaOp, actor: Actor, happened: datetime) -> None:
        """Klarna did it: issue the document, book, move stock."""

    def refused(self, session: Session, op: KlarnaOp, actor: Actor, kind: RefusalKind) -> None:
        """It did not happen: the document waits for a decision."""

    def require_limits(self, session: Session, op: KlarnaOp) -> None:
        """Raise Refusal when the act no longer fits beside everything else that is live."""

    def difference(self, session: Session, op: KlarnaOp, look: Look) -> int:
        """How far Klarna's totals are from ours, minor units, 0 when they agree; unknown objects are recorded."""


def record(session: Session, permission: Permission, outcome: Outcome, actor: Actor, business: Business) -> None:
    """T3: keep the answer and move the operation by it; a confirmed one is issued and booked in this same transaction."""
    op = lock(session, permission.op_id)
    mine = op.state is OpState.SENDING and op.attempts == _attempt_no(session, permission)
    earlier = may_have_reached(session, op, besides=permission.attempt_id)
    append_answer(session, permission, outcome, late=not mine)
    verdict = read_outcome(outcome, not earlier, op.kind)
    _note_breaker(session, op, outcome, verdict)
    if not mine:
        if verdict.state is OpState.CONFIRMED and op.state in (OpState.SENDING, OpState.UNKNOWN, OpState.REVIEW):
            confirm(
                session,
                op,
                actor,
                business,
                outcome.ended_at,
                ("attempt", str(permission.attempt_id), ""),
                _object_id(outcome),
            )
        return
    evidence = ("attempt", str(permission.attempt_id), outcome.cause or "")
    if verdict.state is OpState.CONFIRMED:
        confirm(session, op, actor, business, outcome.ended_at, evidence, _object_id(outcome))
    elif verdict.state is OpState.REJECTED:
        reject(session, op, actor, business, evidence)
    elif verdict.state is OpState.PREPARED:
        surely_unsent = all(found is AnswerClass.NOT_SENT for found, _ in answers_so_far(session, op, None))
        move(
            session,
            op,
            OpState.PREPARED,
            actor,
            evidence=evidence,
            lease_owner=None,
            lease_until=None,
            first_sent_at=None if surely_unsent else op.first_sent_at,
            post_allowed_until=None if surely_unsent else op.post_allowed_until,
            hold_reason=CREDENTIALS if verdict.breaker else "throttled" if verdict.throttled else "unreachable",
            next_run_at=retry_after(outcome, op.attempts) if verdict.throttled else None,
        )
    else:
        to_unknown(
            session, op, actor, evidence, verdict, retry_after(outcome, op.attempts) if verdict.throttled else None
        )


def _object_id(outcome: Outcome) -> str | None:
    return outcome.answer.object_id if outcome.answer else None


def _attempt_no(session: Session, permission: Permission) -> int:
    return session.get_one(KlarnaAttempt, permission.attempt_id).n


def _note_breaker(session: Session, op: KlarnaOp, outcome: Outcome, verdict: Verdict) -> None:
    if verdict.breaker:
        open_breaker(session, op.account_id, CREDENTIALS)
    elif outcome.answer is not None:
        close_breaker(session, op.account_id)


def confirm(
    session: Session,
    op: KlarnaOp,
    actor: Actor,
    business: Business,
    happened: datetime,
    evidence: tuple[str, str, str],
    object_id: str | None = None,
    short_ref: str | None = None,
) -> None:
    """Record the proof and everything that follows from it, in this one transaction."""
    move(
        session,
        op,
        OpState.CONFIRMED,
        actor,
        evidence=evidence,
        klarna_object_id=op.klarna_object_id or object_id,
        klarna_event_at=op.klarna_event_at or (happened if evidence[0] != "attempt" else None),
        klarna_short_ref=op.klarna_short_ref or short_ref,
        lease_owner=None,
        lease_until=None,
        next_run_at=None,
        hold_reason=None,
    )
    business.confirmed(session, op, actor, happened)


def not_executed(
    session: Session, op: KlarnaOp, actor: Actor, business: Business, kind: RefusalKind, evidence: tuple[str, str, str]
) -> None:
    """Close an operation of which surely nothing happened; its document is refused and waits for a decision."""
    move(session, op, OpState.NOT_EXECUTED, actor, evidence=evidence, next_run_at=None, hold_reason=None)
    business.refused(session, op, actor, kind)


def reject(session: Session, op: KlarnaOp, actor: Actor, business: Business, evidence: tuple[str, str, str]) -> None:
    """Klarna refused and nothing happened: the document waits for a decision."""
    move(session, op, OpState.REJECTED, actor, evidence=evidence, lease_owner=None, lease_until=None, next_run_at=None)
    business.refused(session, op, actor, RefusalKind.KLARNA)


def to_unknown(
    session: Session,
    op: KlarnaOp,
    actor: Actor,
    evidence: tuple[str, str, str] | None,
    verdict: Verdict | None = None,
    run_at: datetime | None = None,
) -> None:
    """No proof either way: ask again later with the same key."""
    refused = op.refused_on_retry or (verdict is not None and verdict.refused_on_retry)
    move(
        session,
        op,
        OpState.UNKNOWN,
        actor,
        evidence=evidence,
        lease_owner=None,
        lease_until=None,
        refused_on_retry=refused,
        next_run_at=run_at or next_ask(op, refused),
    )


def next_ask(op: KlarnaOp, refused_on_retry: bool) -> datetime:
    """When an unanswered operation is asked about next, counted from its first send (operations 10, rules 3 and 5)."""
    now = clock.now()
    if refused_on_retry and op.last_sent_at is not None:
        return max(now, op.last_sent_at + QUIET)
    first = op.first_sent_at or now
    for wait in REPOST[max(op.attempts - 1, 0) :]:
        if first + wait > now:
            return first + wait
    return max(now, op.post_allowed_until or now)


def settle_by_look(session: Session, op: KlarnaOp, look: Look, actor: Actor, business: Business) -> bool:
    """Confirm an open operation whose number a look shows; True when it did. Absence concludes nothing.

    Source: operations 8. Another amount under our number goes to REVIEW where that is open, and is never taken as proof.
    """
    if op.state not in OPEN_OPS:
        return False
    if op.kind in OF_THE_RESERVATION:
        return _settle_by_effect(session, op, look, actor, business)
    found = proof(session, op, look)
    if found is None:
        return False
    confirm(
        session,
        op,
        actor,
        business,
        found.at or look.at,
        ("look", found.object_id or "", look.evidence()),
        found.object_id,
        found.short_ref,
    )
    return True


def _settle_by_effect(session: Session, op: KlarnaOp, look: Look, actor: Actor, business: Business) -> bool:
    if not effects.shown(session, op, look):
        return False
    confirm(session, op, actor, business, look.at, ("look", look.at.isoformat(), look.evidence()))
    return True


def contradicted(session: Session, op: KlarnaOp, look: Look, actor: Actor, business: Business) -> bool:
    """Stop an unproved operation whose number stands at Klarna on something that is not its effect; True when it did.

    What may have arrived goes to REVIEW; what was never sent is not sent (operations 6, T2 (c); operations 8).
    """
    if not with_number(look, op.kind, op.reference):
        return False
    evidence = ("look", look.at.isoformat(), look.evidence())
    if op.state is OpState.UNKNOWN:
        move(session, op, OpState.REVIEW, actor, evidence=evidence, next_run_at=clock.now() + LOOK_AGAIN)
    elif op.state is OpState.PREPARED:
        not_executed(session, op, actor, business, RefusalKind.DRIFT, evidence)
    return True


def proof(session: Session, op: KlarnaOp, look: Look) -> Found | None:
    """The object in a look that proves a capture or refund of ours."""
    if op.amount_minor is None or look.currency != op.currency:
        return None
    taken = session.scalars(
        select(KlarnaOp.klarna_object_id).where(
            KlarnaOp.account_id == op.account_id,
            KlarnaOp.kind == op.kind,
            KlarnaOp.id != op.id,
            KlarnaOp.klarna_object_id.is_not(None),
        )
    ).all()
    created = _first_created(session, op)
    for found in with_number(look, op.kind, op.reference):
        if proves(found, amount_minor=op.amount_minor, created_at=created, taken=[t for t in taken if t]):
            return found
    return None


def _first_created(session: Session, op: KlarnaOp) -> datetime:
    """When the first try of the document was written: a former try may be the one that happened."""
    if op.document_id is None:
        return op.created_at
    first = session.scalar(
        select(func.min(KlarnaOp.created_at)).where(
            KlarnaOp.document_id == op.document_id, KlarnaOp.origin == Origin.APP
        )
    )
    return first or op.created_at


def record_failed(session: Session, permission: Permission, outcome: Outcome, actor: Actor, trouble: str) -> None:
    """T3x: our own side failed; keep the answer alone, and leave the booking to the janitor."""
    op = lock(session, permission.op_id)
    mine = op.state is OpState.SENDING and op.attempts == _attempt_no(session, permission)
    append_answer(session, permission, outcome, late=not mine)
    if mine:
        move(
            session,
            op,
            OpState.UNKNOWN,
            actor,
            evidence=("attempt", str(permission.attempt_id), ""),
            note=trouble[:500],
            lease_owner=None,
            lease_until=None,
            next_run_at=clock.now(),
            record_failures=op.record_failures + 1,
        )
