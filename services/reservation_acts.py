"""Acts on a reservation as the order's page shows them: which can be done now, and what became of the last one.

Amounts are minor units. Pure reading. Source: F27, B18, B19, B31; operations 11, adapted to acts without a document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Installation, KlarnaOp, KlarnaOpEvent, Order
from money import Amount
from rights import Actor, Right
from services import (
    deliveries,
    document_acts,
    klarna_refusal,
    looks,
    op_log,
    operations,
    order_amending,
    order_ending,
    orders,
    reservation_words,
)
from services.document_outcome import HOURS, Action, Outcome, asked, decided_first
from services.gateway import CREDENTIALS
from services.klarna_refusal import Sentence, told
from states import KlarnaStatus, OpKind, OpState, OrderState, Origin


def open_act(session: Session, order_id: int) -> KlarnaOp | None:
    """The order's open operation, when it is one without a document."""
    op = operations.open_of_order(session, order_id)
    return op if op is not None and op.document_id is None else None


_LAST = (
    select(KlarnaOp)
    .where(KlarnaOp.order_id == bindparam("order_id"), KlarnaOp.origin == Origin.APP)
    .order_by(KlarnaOp.created_at.desc(), KlarnaOp.id.desc())
    .limit(1)
)


def last_act(session: Session, order_id: int) -> KlarnaOp | None:
    """The last act on the reservation, while nothing else has been asked of Klarna since."""
    op = session.scalar(_LAST, {"order_id": order_id})
    return op if op is not None and op.document_id is None else None


# --- What can be done ----------------------------------------------------------------------------------------------------


def _why_not(session: Session, actor: Actor, order: Order, check: Callable[[], Refusal | None]) -> Refusal | None:
    try:
        actor.require(Right.WORK)
        refusal = check()
        if refusal is None and order.klarna_order_id is not None:
            operations.require_sending(session)
    except Refusal as no:
        return no
    return refusal


def why_not_extend(session: Session, actor: Actor, order: Order) -> Refusal | None:
    """Why «Förläng» is off (F27)."""

    def check() -> Refusal | None:
        orders.require_no_open_operation(session, order)
        return _not_lasting(order) or _nothing_left(order) or looks.never_extends(order.klarna_method)

    return _why_not(session, actor, order, check)


def why_not_release(session: Session, actor: Actor, order: Order) -> Refusal | None:
    """Why «Släpp resten» is off."""

    def check() -> Refusal | None:
        orders.require_no_open_operation(session, order)
        orders.require_nothing_refused(session, order)
        if not order.captured_minor:
            return Refusal(N_("Only after an activation can the rest be released. Cancel the order instead."))
        return _not_lasting(order) or _nothing_left(order)

    return _why_not(session, actor, order, check)


def why_not_cancel(session: Session, actor: Actor, order: Order) -> Refusal | None:
    """Why «Makulera order» is off (B18)."""
    return _why_not(session, actor, order, lambda: order_ending.why_not_cancel(session, order))


def why_not_amend(session: Session, actor: Actor, order: Order) -> Refusal | None:
    """Why the order's rows cannot be changed (B19)."""
    return _why_not(session, actor, order, lambda: order_amending.why_not(session, order))


def _not_lasting(order: Order) -> Refusal | None:
    if order.klarna_status is KlarnaStatus.CANCELLED or order.state is OrderState.CANCELLED:
        return Refusal(N_("The purchase is cancelled at Klarna."))
    gone = order.expires_at is not None and order.expires_at <= clock.now()
    if order.klarna_status is KlarnaStatus.CAPTURED:  # all of it has been used, so that its last day says nothing
        gone = False
    return deliveries.expired(order) if gone or order.klarna_status is KlarnaStatus.EXPIRED else None


def _nothing_left(order: Order) -> Refusal | None:
    read = order.klarna_read_at is not None
    return Refusal(N_("Nothing is left of the reservation.")) if read and not order.remaining_minor else None


# --- What became of it ------------------------------------------------------------------------------------------------------


def outcome(session: Session, actor: Actor, order: Order) -> tuple[KlarnaOp, Outcome] | None:
    """The last act on the reservation and what became of it; None when there is nothing to say."""
    op = last_act(session, order.id)
    made = None
    if op is not None and op.state is OpState.PREPARED:
        made = _prepared(session, actor, order, op)
    elif op is not None and op.state in (OpState.SENDING, OpState.UNKNOWN, OpState.REVIEW):
        made = _waiting(session, actor, op)
    elif op is not None and op.state is OpState.CONFIRMED:
        made = (N_("Done at Klarna"), "ok", {"kind": "done", "sentence": _done(order, op)})
    elif op is not None:
        made = _closed(session, order, op)
    if op is None or made is None:
        return None
    label, tone, rest = made
    return op, Outcome(label=label, tone=tone, **rest)


Made = tuple[str, str, dict[str, Any]]


def _said(words: reservation_words.Words, op: KlarnaOp, **more: object) -> Sentence:
    values = {"amount": Amount(op.amount_minor or 0, op.currency or "")} if op.kind is OpKind.UPDATE_AUTH else {}
    return told(words[op.kind], **values, **more)


def _done(order: Order, op: KlarnaOp) -> Sentence:
    if op.kind is not OpKind.EXTEND_AUTH:
        return _said(reservation_words.DONE, op)
    if (
        order.expires_at is None
        or order.klarna_read_at is None
        or order.klarna_read_at < (op.last_sent_at or op.created_at)
    ):
        return told(reservation_words.EXTENDED_UNREAD)
    return _said(reservation_words.DONE, op, day=clock.local_date(order.expires_at))


def _waiting(session: Session, actor: Actor, op: KlarnaOp) -> Made:
    if op.state is OpState.SENDING:
        seconds = max(int((clock.now() - (op.last_sent_at or op.created_at)).total_seconds()), 0)
        sentence = told(N_("Waiting for Klarna's answer, %(seconds)s s."), seconds=seconds)
        return N_("Sending"), "busy", {"kind": "sending", "sentence": sentence, "polls": True}
    ask = [Action("ask", document_acts.why_not_ask(actor, op))]
    again = told(reservation_words.NOT_AGAIN)
    if op.state is OpState.REVIEW:
        decide = Action("decide", document_acts.why_not_decide(actor, op))
        sentence = _said(reservation_words.REVIEW, op, hours=HOURS)
        rest: dict[str, Any] = {"warning": again, "rest": decided_first(op), "actions": [decide, *ask]}
        return N_("Needs a decision"), "bad", {"kind": "review", "sentence": sentence, **rest}
    if operations.recorded_success(session, op) is not None:
        sentence = _said(reservation_words.RECORDED, op)
        return N_("Answer unknown"), "warn", {"kind": "recorded", "sentence": sentence, "polls": True}
    rest = {"warning": again, "rest": asked(op), "actions": ask, "polls": True}
    return N_("Answer unknown"), "warn", {"kind": "unknown", "sentence": _said(reservation_words.UNKNOWN, op), **rest}


def _prepared(session: Session, actor: Actor, order: Order, op: KlarnaOp) -> Made:
    if not op_log.lies_unsent(op):
        sentence = _said(reservation_words.SOON, op)
        return N_("Not sent"), "busy", {"kind": "soon", "sentence": sentence, "polls": True}
    send = Action("send", _why_not(session, actor, order, lambda: None))
    actions = [send, Action("withdraw", document_acts.why_not_withdraw(session, actor, op))]
    sentence = told(reservation_words.LEFT[op.kind])
    refused = order.account is not None and order.account.breaker == CREDENTIALS
    if not session.get_one(Installation, 1).sending_enabled:
        sentence = told(N_("Not sent: sending to Klarna is switched off (restored backup)."))
        actions = actions[1:]
    elif op.hold_reason == CREDENTIALS and refused:
        sentence = told(
            N_("Not sent: Klarna does not accept the store's credentials. An administrator has to correct them.")
        )
        actions = actions[1:]
    elif op.hold_reason == "unreachable":
        sentence = told(reservation_words.UNREACHABLE[op.kind])
    return N_("Not sent"), "warn", {"kind": "not_sent", "sentence": sentence, "actions": actions}


def _closed(session: Session, order: Order, op: KlarnaOp) -> Made | None:
    """Refused by Klarna, stopped by a look, or decided in review; what a person took back is nobody's question."""
    closing = session.scalars(
        select(KlarnaOpEvent).where(KlarnaOpEvent.op_id == op.id).order_by(KlarnaOpEvent.seq.desc()).limit(1)
    ).one()
    if op.state is OpState.REJECTED:
        answer = klarna_refusal.answer_to(session, op, order.klarna_reference)
        cause = klarna_refusal.cause(answer.code if answer else None, order, op.kind, op.amount_minor or 0)
        rest = {"sentence": _said(reservation_words.REFUSED, op), "answer": answer, "cause": cause}
        return N_("Refused by Klarna"), "bad", {"kind": "refused", **rest}
    if op.decided_by is not None:
        reason = (op.decided_reason or "").rstrip(".")
        day = clock.local_date(closing.at)
        sentence = _said(reservation_words.DECIDED, op, day=day, who=op.decided_by, reason=reason)
        return N_("Not carried out"), "bad", {"kind": "decided", "sentence": sentence}
    if closing.evidence_kind == "person":
        return None
    sentence = told(N_("Not sent: the purchase had changed at Klarna. Nothing has happened at Klarna."))
    return N_("Not carried out"), "bad", {"kind": "drift", "sentence": sentence}


# --- The page -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acts:
    """What the order's page offers: ``no_…`` say why an act is off, ``outcome`` what became of the last one.

    ``flagged`` is set when goods have left on a cancelled order and nobody pays for them (B18).
    """

    no_extend: Refusal | None
    no_release: Refusal | None
    no_cancel: Refusal | None
    no_amend: Refusal | None
    no_remove: Refusal | None
    left_minor: int
    captured_minor: int
    flagged: bool
    kind: OpKind | None
    outcome: Outcome | None


def acts(session: Session, actor: Actor, order: Order) -> Acts:
    """Everything that can be done with an order's reservation by this person now, and what became of the last act."""
    found = outcome(session, actor, order) if order.klarna_order_id is not None else None
    return Acts(
        no_extend=why_not_extend(session, actor, order),
        no_release=why_not_release(session, actor, order),
        no_cancel=why_not_cancel(session, actor, order),
        no_amend=why_not_amend(session, actor, order),
        no_remove=order_ending.why_not_remove(session, actor, order),
        left_minor=order.remaining_minor or 0,
        captured_minor=order.captured_minor or 0,
        flagged=order.state is OrderState.CANCELLED and order_ending.delivered_unpaid(session, order),
        kind=found[0].kind if found is not None else None,
        outcome=found[1] if found is not None else None,
    )
