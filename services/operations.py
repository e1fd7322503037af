"""The three beats towards Klarna: intend, send, record. Knows operations and answers; knows no business.

What follows from an outcome (document, voucher, stock) is told by a Business, which reservations.py is. Each beat is one
transaction, and the wire lies in none. Source: operations 3, 6 and 7.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid5

import uuid6
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

import clock
from errors import N_, BrokenRule, Malformed, NotAllowed, Refusal, Stale
from klarna_client import Answer, KlarnaError, KlarnaNotSent
from models import (
    Document,
    FormUse,
    Installation,
    KlarnaAccount,
    KlarnaAnswer,
    KlarnaAttempt,
    KlarnaOp,
    KlarnaOpEvent,
    Order,
    SenderLease,
)
from rights import Actor
from services.gateway import CREDENTIALS, Access, Gateway, access_of, close_breaker, is_open, open_breaker
from services.looks import MOST_STORED, Found, Look, proves, require_possible, with_number
from states import OP_MOVES, OPEN_OPS, AnswerClass, OpKind, OpState, Origin, RefusalKind, check_move

KEY_WINDOW = timedelta(hours=23)
LEASE = timedelta(seconds=90)
PERMISSION = timedelta(seconds=20)
LOOK_FRESH = timedelta(seconds=10)
QUIET = timedelta(minutes=15)
SENDER_LEASE = timedelta(seconds=30)
LOOK_AGAIN = timedelta(hours=1)
"""How often Klarna is looked at once nothing may be posted any more (operations 10, rule 6)."""
REPOST = tuple(timedelta(seconds=s) for s in (5, 60, 300, 1800, 5 * 3600, 22 * 3600))
"""When an unanswered act is asked again, counted from its first send (operations 10, rule 3)."""

REFUSAL_CODES_403 = frozenset(
    {"CAPTURE_NOT_ALLOWED", "REFUND_NOT_ALLOWED", "CANCEL_NOT_ALLOWED", "NOT_ALLOWED", "PAYMENT_METHOD_FAILED"}
)
REFUSAL_STATUSES = frozenset({400, 404, 413, 422})
HOLDS_NOTHING = frozenset({401, 429})
"""Answered before the operation is looked at; they close nothing."""


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


@dataclass(frozen=True, slots=True)
class Permission:
    """A send permission that was committed: who, what, until when."""

    op_id: str
    attempt_id: int
    access: Access
    method: str
    path: str
    body: bytes
    key: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. ``first_byte_at`` is None when nothing left."""

    answer_class: AnswerClass
    answer: Answer | None
    cause: str | None
    first_byte_at: datetime | None
    ended_at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What section 7 makes of an outcome."""

    state: OpState
    breaker: bool = False
    refused_on_retry: bool = False
    throttled: bool = False


# --- Forms that move money -----------------------------------------------------------------------------------------------


def earlier_use(session: Session, actor: Actor, nonce: str, action: str, subject: str, values: object) -> str | None:
    """The result of a money form that was used before, None for a fresh one; asked first, under the order's lock.

    Raises Malformed for a nonce that is not one, NotAllowed for another person's, Refusal for other values (operations 12).
    """
    if not re.fullmatch(r"[0-9a-f]{32}", nonce):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    earlier = session.get(FormUse, nonce)
    if earlier is None:
        return None
    if earlier.user_id != (actor.id or 0) or earlier.action != action or earlier.subject_id != subject:
        raise NotAllowed(N_("The form belongs to somebody else. Nothing has been done."))
    if earlier.values_sha256 != _values_digest(values):
        raise Refusal(N_("This form has already been used, with other values. Nothing more has been done."))
    return earlier.result


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


# --- Moves ---------------------------------------------------------------------------------------------------------------


def _event(
    session: Session,
    op: KlarnaOp,
    old: OpState | None,
    new: OpState,
    actor: Actor,
    evidence: tuple[str, str, str] | None,
    note: str,
) -> None:
    last = session.scalar(select(func.max(KlarnaOpEvent.seq)).where(KlarnaOpEvent.op_id == op.id)) or 0
    kind, ref, text = evidence or (None, None, "")
    session.add(
        KlarnaOpEvent(
            op_id=op.id,
            seq=last + 1,
            from_state=old,
            to_state=new,
            at=clock.now(),
            actor=actor.name,
            evidence_kind=kind,
            evidence_ref=ref,
            evidence=text[:MOST_STORED],
            note=note,
        )
    )


def move(
    session: Session,
    op: KlarnaOp,
    new: OpState,
    actor: Actor,
    *,
    evidence: tuple[str, str, str] | None = None,
    note: str = "",
    **changes: object,
) -> None:
    """Move an operation by compare-and-set and write the event. Raises Stale when somebody was faster.

    ``evidence`` is (kind, reference, text): attempt, look, settlement_row, person or restore.
    """
    old = op.state
    if new is not old:
        check_move(OP_MOVES, old, new)
    done = session.execute(
        update(KlarnaOp)
        .where(KlarnaOp.id == op.id, KlarnaOp.state == old, KlarnaOp.version == op.version)
        .values(state=new, version=op.version + 1, **changes)
        .execution_options(synchronize_session=False)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    session.flush()
    session.refresh(op)
    _event(session, op, old, new, actor, evidence, note)


def lock(session: Session, op_id: str) -> KlarnaOp:
    """Read an operation under the order's lock and its own (lock order: order, operation, document)."""
    order_id = session.scalar(select(KlarnaOp.order_id).where(KlarnaOp.id == op_id))
    session.execute(select(Order.id).where(Order.id == order_id).with_for_update())
    return session.execute(
        select(KlarnaOp).where(KlarnaOp.id == op_id).with_for_update().execution_options(populate_existing=True)
    ).scalar_one()


# --- Intend (T1) ---------------------------------------------------------------------------------------------------------


def require_sending(session: Session) -> Installation:
    """The installation, when it may number and send. Raises Refusal (operations 15.1)."""
    installation = session.get_one(Installation, 1)
    if installation.numbering_frozen or not installation.sending_enabled:
        raise Refusal(N_("Sending to Klarna is switched off. Nothing has been sent and no number has been taken."))
    return installation


def intend(
    session: Session,
    actor: Actor,
    *,
    kind: OpKind,
    order: Order,
    document: Document | None,
    amount_minor: int | None,
    request: tuple[str, str, bytes],
    nonce: str | None,
    accepted_difference_minor: int = 0,
    next_run_at: datetime | None = None,
    hold_reason: str | None = None,
) -> KlarnaOp:
    """Write the intent with its frozen bytes and key, before any socket opens. Raises Refusal, BrokenRule."""
    installation = require_sending(session)
    if order.account_id is None or order.klarna_order_id is None:
        raise BrokenRule("an act at Klarna needs a Klarna order")
    account = session.get_one(KlarnaAccount, order.account_id)
    tries = 0
    if document is not None:
        tries = session.scalar(select(func.max(KlarnaOp.try_no)).where(KlarnaOp.document_id == document.id)) or 0
    op_id = str(uuid6.uuid7())
    method, path, body = request
    op = KlarnaOp(
        id=op_id,
        kind=kind,
        origin=Origin.APP,
        account_id=account.id,
        environment=account.environment,
        installation_id=installation.installation_id,
        order_id=order.id,
        klarna_order_id=order.klarna_order_id,
        try_no=tries + 1,
        amount_minor=amount_minor,
        currency=order.currency,
        method=method,
        path=path,
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        idempotency_key=str(uuid5(UUID(installation.installation_id), op_id)),
        reference=document.number_text if document is not None else None,
        form_nonce=nonce,
        accepted_difference_minor=accepted_difference_minor,
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=clock.now(),
        document_id=document.id if document is not None else None,
        state=OpState.PREPARED,
        next_run_at=next_run_at,
        hold_reason=hold_reason,
    )
    session.add(op)
    session.flush()
    _event(session, op, None, OpState.PREPARED, actor, None, "")
    return op


def open_of_order(session: Session, order_id: int) -> KlarnaOp | None:
    """The one open operation of an order, if there is one."""
    return session.scalar(select(KlarnaOp).where(KlarnaOp.order_id == order_id, KlarnaOp.state.in_(OPEN_OPS)))


def open_of_document(session: Session, document_id: int) -> KlarnaOp | None:
    """The one open operation of a document, if there is one."""
    return session.scalar(select(KlarnaOp).where(KlarnaOp.document_id == document_id, KlarnaOp.state.in_(OPEN_OPS)))


# --- Send (T2 and the wire) ----------------------------------------------------------------------------------------------


def may_have_reached(session: Session, op: KlarnaOp, besides: int | None = None) -> bool:
    """Whether an attempt (besides one) may have reached Klarna: no answer, an unclear one, or one but 401 and 429."""
    return any(
        answer_class is None
        or answer_class is AnswerClass.AMBIGUOUS
        or (answer_class is AnswerClass.ANSWER and status not in HOLDS_NOTHING)
        for answer_class, status in _answers(session, op, besides)
    )


def _answers(session: Session, op: KlarnaOp, besides: int | None) -> list[tuple[AnswerClass | None, int | None]]:
    """Class and status of every attempt's answer so far, None where there is none."""
    rows = session.execute(
        select(KlarnaAttempt.id, KlarnaAnswer.answer_class, KlarnaAnswer.http_status)
        .outerjoin(KlarnaAnswer, KlarnaAnswer.attempt_id == KlarnaAttempt.id)
        .where(KlarnaAttempt.op_id == op.id)
    )
    return [(answer_class, status) for attempt_id, answer_class, status in rows if attempt_id != besides]


def hold(session: Session, op: KlarnaOp, actor: Actor, reason: str, next_run_at: datetime | None = None) -> None:
    """Note on a PREPARED operation why it was not sent."""
    move(session, op, op.state, actor, note=reason, hold_reason=reason, next_run_at=next_run_at)


def permit(
    session: Session, klarna: Gateway, op_id: str, look: Look | None, actor: Actor, business: Business
) -> Permission | None:
    """T2: give permission to send once, or None when it must not be sent now; the operation then says why.

    The first attempt needs a fresh look without our number and with totals equal to ours (or off by just the ticked
    difference); later ones go ahead without a look inside the key window. Source: operations 6.
    """
    op = lock(session, op_id)
    if not _is_due(op):
        return None
    account = session.get_one(KlarnaAccount, op.account_id)
    closed = _closed_way(session, klarna, op, account)
    if closed is not None:
        if op.state is OpState.PREPARED:
            hold(session, op, actor, closed)
        return None
    if look is not None and (
        settle_by_look(session, op, look, actor, business) or contradicted(session, op, look, actor, business)
    ):
        return None
    if not may_have_reached(session, op) and not _first_send_fits(session, op, look, actor, business):
        return None
    return _grant(session, klarna, op, look, actor, access_of(account))


def _is_due(op: KlarnaOp) -> bool:
    """Whether the operation waits to be sent, nobody is sending it, and its key still protects it."""
    now = clock.now()
    return (
        op.state in (OpState.PREPARED, OpState.UNKNOWN)
        and (op.lease_until is None or op.lease_until <= now)
        and (op.post_allowed_until is None or op.post_allowed_until > now)
        and (op.last_sent_at is None or op.last_sent_at <= now)
    )


def _closed_way(session: Session, klarna: Gateway, op: KlarnaOp, account: KlarnaAccount) -> str | None:
    """Why nothing may leave for this account from this host just now; None when it may."""
    installation = session.get_one(Installation, 1)
    if not installation.sending_enabled or not _may_send(session, klarna, installation):
        return "sending_off"
    if (op.installation_id, op.environment) != (installation.installation_id, account.environment):
        return "sending_off"
    if is_open(access_of(account), clock.now()):
        return CREDENTIALS if account.breaker == CREDENTIALS else "unreachable"
    return None


def _first_send_fits(session: Session, op: KlarnaOp, look: Look | None, actor: Actor, business: Business) -> bool:
    """Whether a fresh look allows the first send: status, rest, totals, limits. If it forbids it, the operation closes."""
    now = clock.now()
    if look is None or not now - LOOK_FRESH <= look.at <= now:
        hold(session, op, actor, "unreachable")
        return False
    evidence = look.evidence()
    try:
        if business.difference(session, op, look) in (0, op.accepted_difference_minor):
            require_possible(look, op.kind, op.amount_minor or 0)
            business.require_limits(session, op)
            return True
    except Refusal as no:
        evidence = str(no)
    not_executed(session, op, actor, business, RefusalKind.DRIFT, ("look", look.at.isoformat(), evidence))
    return False


def _grant(
    session: Session, klarna: Gateway, op: KlarnaOp, look: Look | None, actor: Actor, access: Access
) -> Permission:
    now = clock.now()
    first = op.first_sent_at or now
    attempt = KlarnaAttempt(
        op_id=op.id,
        n=op.attempts + 1,
        permitted_at=now,
        permitted_until=now + PERMISSION,
        sender=klarna.sender,
        by=actor.name,
        body_sha256=op.body_sha256,
        idempotency_key=op.idempotency_key,
        look_at=look.at if look else None,
        look_status=look.status if look else None,
        look_captured=look.captured if look else None,
        look_refunded=look.refunded if look else None,
        look_remaining=look.remaining if look else None,
    )
    session.add(attempt)
    session.flush()
    move(
        session,
        op,
        OpState.SENDING,
        actor,
        evidence=("attempt", str(attempt.id), ""),
        attempts=op.attempts + 1,
        first_sent_at=first,
        last_sent_at=now,
        post_allowed_until=op.post_allowed_until or first + KEY_WINDOW,
        lease_owner=klarna.sender,
        lease_until=now + LEASE,
        next_run_at=None,
        hold_reason=None,
    )
    return Permission(
        op.id, attempt.id, access, op.method, op.path, bytes(op.body), op.idempotency_key, attempt.permitted_until
    )


def _may_send(session: Session, klarna: Gateway, installation: Installation) -> bool:
    """Whether this host holds the sender lease; the first host of an installation gets it (operations 15.2)."""
    now = clock.now()
    host = klarna.host_id(installation.installation_id)
    lease = session.get(SenderLease, host)
    if lease is None:
        if session.scalar(select(func.count()).select_from(SenderLease)):
            return False
        lease = SenderLease(
            host_id=host, host_name=klarna.host_name, approved_by="first start", approved_at=now, process="", until=now
        )
        session.add(lease)
    lease.until, lease.process = now + SENDER_LEASE, klarna.sender
    return True


def send(klarna: Gateway, permission: Permission) -> Outcome:
    """The wire: the frozen bytes with the frozen key, once; never raises for what the network or Klarna does."""
    first_byte: list[datetime] = []
    deadline = clock.monotonic() + (permission.until - clock.now()).total_seconds()
    client = klarna.client(permission.access)
    wire = client.wire(
        klarna.answer_seconds,
        permitted=lambda: clock.now() <= permission.until and clock.monotonic() <= deadline,
        on_first_byte=lambda: first_byte.append(clock.now()),
    )
    began = clock.monotonic()
    answer: Answer | None = None
    cause: str | None = None
    answer_class = AnswerClass.ANSWER
    try:
        answer = client.call(permission.method, permission.path, wire=wire, body=permission.body, key=permission.key)
    except KlarnaError as error:
        answer, cause = error.answer, error.cause
        if answer is None:
            answer_class = AnswerClass.NOT_SENT if isinstance(error, KlarnaNotSent) else AnswerClass.AMBIGUOUS
    return Outcome(
        answer_class=answer_class,
        answer=answer,
        cause=cause,
        first_byte_at=first_byte[0] if first_byte else None,
        ended_at=clock.now(),
        duration_ms=int((clock.monotonic() - began) * 1000),
    )


# --- Record (T3) ---------------------------------------------------------------------------------------------------------


def read_outcome(outcome: Outcome, first: bool, kind: OpKind) -> Verdict:
    """What an outcome means, for a first attempt and for later ones: the table of operations 7, as a pure function."""
    if outcome.answer_class is AnswerClass.NOT_SENT:
        return Verdict(OpState.PREPARED if first else OpState.UNKNOWN)
    answer = outcome.answer
    if answer is None:
        return Verdict(OpState.UNKNOWN)
    if answer.status in (201, 204) or (answer.status == 200 and kind is OpKind.UPDATE_AUTH):
        return Verdict(OpState.CONFIRMED)
    if answer.status == 401:
        return Verdict(OpState.PREPARED if first else OpState.UNKNOWN, breaker=True)
    if answer.status == 429:
        return Verdict(OpState.PREPARED if first else OpState.UNKNOWN, throttled=True)
    refused = answer.error_code is not None and (
        (answer.status == 403 and answer.error_code in REFUSAL_CODES_403) or answer.status in REFUSAL_STATUSES
    )
    if refused:
        return Verdict(OpState.REJECTED) if first else Verdict(OpState.UNKNOWN, refused_on_retry=True)
    return Verdict(OpState.UNKNOWN)


_DIGITS = re.compile(r"\b(?:\d{6}|\d{8})[-+ ]?\d{4}\b")


def redact(text: str) -> str:
    """An answer's body as it may be kept: personal numbers masked, at most 8 kB (operations 2.2, security 57)."""
    return _DIGITS.sub("******-****", text)[:MOST_STORED]


def append_answer(session: Session, permission: Permission, outcome: Outcome, late: bool) -> None:
    """Keep the outcome of an attempt, once."""
    if session.scalar(select(KlarnaAnswer.id).where(KlarnaAnswer.attempt_id == permission.attempt_id)) is not None:
        return
    answer = outcome.answer
    session.add(
        KlarnaAnswer(
            attempt_id=permission.attempt_id,
            first_byte_at=outcome.first_byte_at,
            ended_at=outcome.ended_at,
            answer_class=outcome.answer_class,
            cause=outcome.cause,
            http_status=answer.status if answer else None,
            error_code=answer.error_code if answer else None,
            error_messages=json.dumps(answer.error_messages, ensure_ascii=False) if answer else None,
            correlation_id=answer.correlation_id if answer else None,
            object_id=answer.object_id if answer else None,
            retry_after=answer.retry_after if answer else None,
            duration_ms=outcome.duration_ms,
            body=redact(answer.text) if answer else "",
            late=late,
        )
    )
    session.flush()


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
        surely_unsent = all(found is AnswerClass.NOT_SENT for found, _ in _answers(session, op, None))
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
            next_run_at=_retry_after(outcome, op.attempts) if verdict.throttled else None,
        )
    else:
        to_unknown(
            session, op, actor, evidence, verdict, _retry_after(outcome, op.attempts) if verdict.throttled else None
        )


def _object_id(outcome: Outcome) -> str | None:
    return outcome.answer.object_id if outcome.answer else None


def _attempt_no(session: Session, permission: Permission) -> int:
    return session.get_one(KlarnaAttempt, permission.attempt_id).n


def _retry_after(outcome: Outcome, attempts: int) -> datetime:
    """When to ask again after a 429: as Klarna says, else 5 s doubling, with jitter."""
    said = outcome.answer.retry_after if outcome.answer else None
    seconds = float(said) if said is not None else 5.0 * 2 ** min(attempts, 6)
    return clock.now() + timedelta(seconds=seconds + random.uniform(0, 1))  # noqa: S311 - spreads load, guards nothing


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


def recorded_success(session: Session, op: KlarnaOp) -> KlarnaAnswer | None:
    """A 2xx that was kept while our own booking failed."""
    return session.scalar(
        select(KlarnaAnswer)
        .join(KlarnaAttempt, KlarnaAttempt.id == KlarnaAnswer.attempt_id)
        .where(KlarnaAttempt.op_id == op.id, KlarnaAnswer.http_status.in_((201, 204)))
        .order_by(KlarnaAnswer.id)
        .limit(1)
    )


def last_answer(session: Session, op: KlarnaOp) -> KlarnaAnswer | None:
    """The latest answer of an operation, for the page and for «Kopiera allt» (K16)."""
    return session.scalar(
        select(KlarnaAnswer)
        .join(KlarnaAttempt, KlarnaAttempt.id == KlarnaAnswer.attempt_id)
        .where(KlarnaAttempt.op_id == op.id)
        .order_by(KlarnaAnswer.id.desc())
        .limit(1)
    )


def withdraw(session: Session, actor: Actor, op_id: str) -> KlarnaOp:
    """Take back an operation of which certainly nothing left. Raises Refusal in any other state (operations 9)."""
    op = lock(session, op_id)
    if op.state is not OpState.PREPARED or may_have_reached(session, op):
        raise Refusal(N_("It has been sent and cannot be taken back. Wait for Klarna's answer."))
    move(session, op, OpState.NOT_EXECUTED, actor, evidence=("person", actor.name, ""), next_run_at=None)
    return op
