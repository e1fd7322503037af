"""The three beats towards Klarna: intend, send, record. Knows operations and answers; knows no business.

What follows from an outcome (document, voucher, stock) is told by a Business, which following.py is. Each beat is one
transaction, and the wire lies in none. Answers, outcomes, the log and the forms have rooms of their own; callers find all of
it here. Source: operations 3, 6 and 7.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import uuid6
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BrokenRule, Refusal
from klarna_client import Answer, KlarnaError, KlarnaNotSent
from models import (
    Document,
    Installation,
    KlarnaAccount,
    KlarnaAttempt,
    KlarnaOp,
    Order,
    SenderLease,
)
from rights import Actor
from services.answers import (
    Outcome,
    Permission,
    Verdict,
    last_answer,
    may_have_reached,
    read_outcome,
    recorded_success,
    redact,
)
from services.gateway import CREDENTIALS, Access, Gateway, access_of, is_open
from services.looks import Look, require_possible
from services.money_forms import earlier_use, use_form
from services.op_log import event, hold, lock, move, open_of_document, open_of_order
from services.outcomes import (
    LOOK_AGAIN,
    QUIET,
    REPOST,
    Business,
    confirm,
    contradicted,
    next_ask,
    not_executed,
    proof,
    record,
    record_failed,
    reject,
    settle_by_look,
    to_unknown,
)
from states import AnswerClass, OpKind, OpState, Origin, RefusalKind

__all__ = (
    "Business",
    "KEY_WINDOW",
    "LEASE",
    "LOOK_AGAIN",
    "LOOK_FRESH",
    "Outcome",
    "PERMISSION",
    "Permission",
    "QUIET",
    "REPOST",
    "SENDER_LEASE",
    "Verdict",
    "confirm",
    "contradicted",
    "earlier_use",
    "event",
    "hold",
    "intend",
    "last_answer",
    "lock",
    "may_have_reached",
    "move",
    "next_ask",
    "not_executed",
    "open_of_document",
    "open_of_order",
    "permit",
    "proof",
    "read_outcome",
    "record",
    "record_failed",
    "recorded_success",
    "redact",
    "reject",
    "require_sending",
    "send",
    "settle_by_look",
    "to_unknown",
    "use_form",
    "withdraw",
)


KEY_WINDOW = timedelta(hours=23)
LEASE = timedelta(seconds=90)
PERMISSION = timedelta(seconds=20)
LOOK_FRESH = timedelta(seconds=10)
SENDER_LEASE = timedelta(seconds=30)


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
    evidence: tuple[str, str, str] | None = None,
) -> KlarnaOp:
    """Write the intent with its frozen bytes and key, before any socket opens. Raises Refusal, BrokenRule.

    ``evidence`` is what stood at Klarna before, for acts that leave no object with our number (effects).
    """
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
    event(session, op, None, OpState.PREPARED, actor, evidence, "")
    return op


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
    if (installation.installation_id, account.environment) != (op.installation_id, op.environment):
        return "sending_off"
    return closed_way(session, klarna, account)


def closed_way(session: Session, klarna: Gateway, account: KlarnaAccount) -> str | None:
    """Why no request that changes something may leave for this account from this host just now (operations 15)."""
    installation = session.get_one(Installation, 1)
    if not installation.sending_enabled or not _may_send(session, klarna, installation) or not account.active:
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
        if not db.add_first(session, lease):
            return False
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
        answer = client.call(
            permission.method, permission.path, wire=wire, body=permission.body or None, key=permission.key
        )
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


def withdraw(session: Session, actor: Actor, op_id: str) -> KlarnaOp:
    """Take back an operation of which certainly nothing left. Raises Refusal in any other state (operations 9)."""
    op = lock(session, op_id)
    if op.state is not OpState.PREPARED or may_have_reached(session, op):
        raise Refusal(N_("It has been sent and cannot be taken back. Wait for Klarna's answer."))
    move(session, op, OpState.NOT_EXECUTED, actor, evidence=("person", actor.name, ""), next_run_at=None)
    return op
