"""What can be told to Klarna beside money: why a call is off, and the calls that were made, for the pages. Pure reading.

Source: reference 2.5 and 2.8; B31.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, Refusal
from models import Document, KlarnaCall, KlarnaOp, Order
from services.operations import KEY_WINDOW
from states import CallKind, CallOutcome, DocKind, DocState, KlarnaStatus, OrderState

_OVER = (KlarnaStatus.CAPTURED, KlarnaStatus.CANCELLED, KlarnaStatus.EXPIRED, KlarnaStatus.CLOSED)
MOST = 50
"""Calls that a page shows."""


def why_not_of_document(session: Session, document: Document) -> Refusal | None:
    """Why nothing can be told to Klarna about an invoice, or about the original of a credit note."""
    invoice = document if document.kind is DocKind.INVOICE else document.original
    if invoice is None or invoice.state is not DocState.ISSUED or invoice.issued_by_op_id is None:
        return Refusal(N_("Only an invoice that has been activated at Klarna has this."))
    op = session.get_one(KlarnaOp, invoice.issued_by_op_id)
    if op.klarna_object_id is None:
        return Refusal(N_("Klarna's number of the activation has not been read yet. Press Refresh on the order first."))
    return None


def why_not_order_tracking(order: Order) -> Refusal | None:
    """Why tracking cannot be added to the order itself."""
    return Refusal(N_("The purchase is cancelled at Klarna.")) if _is_cancelled(order) else None


def why_not_references(order: Order) -> Refusal | None:
    """Why the order numbers at Klarna cannot be changed."""
    return Refusal(N_("The purchase is cancelled at Klarna.")) if _is_cancelled(order) else None


def why_not_address(order: Order) -> Refusal | None:
    """Why the delivery address cannot be changed; without a reservation only a cancelled order stands in the way."""
    if order.state is OrderState.CANCELLED:
        return Refusal(N_("The order is cancelled and cannot be changed."))
    if order.klarna_status in _OVER:
        return Refusal(N_("Klarna changes no address once everything has been activated, or the purchase has ended."))
    return None


def _is_cancelled(order: Order) -> bool:
    return order.klarna_status is KlarnaStatus.CANCELLED or order.state is OrderState.CANCELLED


def why_not_again(session: Session, call: KlarnaCall) -> Refusal | None:
    """Why a call cannot be tried again as it was: it is clear what came of it, or its key protects it no longer."""
    if call.outcome not in (CallOutcome.UNCLEAR, CallOutcome.NOT_SENT):
        return Refusal(N_("Klarna has answered. Make a new one instead."))
    if call.kind == CallKind.ADDRESS:
        return Refusal(N_("Send the address again from the form. Doing it twice does no harm."))
    first = session.scalar(
        select(KlarnaCall.at).where(KlarnaCall.idempotency_key == call.idempotency_key).order_by(KlarnaCall.id).limit(1)
    )
    if clock.now() - (first or call.at) > KEY_WINDOW:
        return Refusal(N_("It is more than 23 hours old. Ask Klarna whether it was done before you make a new one."))
    newer = select(KlarnaCall.id).where(KlarnaCall.idempotency_key == call.idempotency_key, KlarnaCall.id > call.id)
    if session.scalar(newer.limit(1)) is not None:
        return Refusal(N_("It has been tried again since."))
    return None


def why_not_due_date(session: Session, document: Document) -> Refusal | None:
    """Why no later due date can be asked for: whether the last one was given, and paid for, is not known yet."""
    last = session.scalar(
        select(KlarnaCall)
        .where(
            KlarnaCall.order_id == document.order_id,
            KlarnaCall.document_id == document.id,
            KlarnaCall.kind == CallKind.DUE_DATE,
        )
        .order_by(KlarnaCall.id.desc())
        .limit(1)
    )
    if last is None or last.outcome != CallOutcome.UNCLEAR or why_not_again(session, last) is not None:
        return None
    return Refusal(
        N_("Klarna's answer about the last change is unknown. Try that one again first: it is never done twice."),
        link=("klarna_calls.document", {"document_id": document.id}),
    )


def speaks() -> ColumnElement[bool]:
    """Whether a row is the last one under its key: before it stand that it was about to be sent, and earlier tries."""
    later = aliased(KlarnaCall)
    return ~exists().where(
        later.order_id == KlarnaCall.order_id,
        later.idempotency_key == KlarnaCall.idempotency_key,
        later.id > KlarnaCall.id,
    )


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as the page shows it; ``no_again`` says why it cannot be tried again."""

    id: int
    kind: CallKind
    outcome: CallOutcome
    at: datetime
    by: str
    code: str | None
    messages: tuple[str, ...]
    correlation_id: str | None
    no_again: Refusal | None


def calls_of(session: Session, order_id: int, document_id: int | None = None) -> list[CallRow]:
    """The calls about an order, or about one of its documents, newest first."""
    query = select(KlarnaCall).where(KlarnaCall.order_id == order_id, speaks())
    if document_id is not None:
        query = query.where(KlarnaCall.document_id == document_id)
    return [
        CallRow(
            id=call.id,
            kind=CallKind(call.kind),
            outcome=CallOutcome(call.outcome),
            at=call.at,
            by=call.by,
            code=call.error_code,
            messages=tuple(json.loads(call.error_messages)) if call.error_messages else (),
            correlation_id=call.correlation_id,
            no_again=why_not_again(session, call),
        )
        for call in session.scalars(query.order_by(KlarnaCall.id.desc()).limit(MOST))
    ]
