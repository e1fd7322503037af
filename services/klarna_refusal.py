"""What Klarna said when it refused, and the usual cause in one line (K16, K17, B21; operations 9 and 11).

Amounts are minor units. Pure reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from errors import N_
from models import Document, KlarnaAnswer, KlarnaAttempt, KlarnaOp, Order
from money import Amount
from services.looks import OF_THE_RESERVATION
from states import KlarnaStatus, OpKind


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words on the page: a message id and the values that fill it."""

    message: str
    values: Mapping[str, object]


def told(message: str, **values: object) -> Sentence:
    """A sentence with its values."""
    return Sentence(message, values)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Klarna said to the last attempt, and what to tell them when asking (K16, K17). ``amount_minor`` in minor units."""

    code: str | None
    messages: Sequence[str]
    http_status: int | None
    correlation_id: str | None
    at: datetime
    klarna_order_id: str
    reference: str | None
    amount_minor: int
    order_reference: str | None
    original_number: str | None


def latest(session: Session, document: Document) -> KlarnaOp | None:
    """The operation that speaks for a document: the one that issued it, else its last try."""
    if document.issued_by_op_id is not None:
        return session.get(KlarnaOp, document.issued_by_op_id)
    return session.scalar(
        select(KlarnaOp).where(KlarnaOp.document_id == document.id).order_by(KlarnaOp.try_no.desc()).limit(1)
    )


def answer(session: Session, document: Document, op: KlarnaOp) -> Answer | None:
    """Klarna's refusal: the last answer with an error code."""
    original = latest(session, document.original) if document.original is not None else None
    reference = document.order.klarna_reference if document.order else None
    return answer_to(session, op, reference, original.klarna_short_ref if original else None)


def answer_to(
    session: Session, op: KlarnaOp, order_reference: str | None, original_number: str | None = None
) -> Answer | None:
    """The last answer with an error code to an operation, also one without a document."""
    found = session.scalar(
        select(KlarnaAnswer)
        .join(KlarnaAttempt, KlarnaAttempt.id == KlarnaAnswer.attempt_id)
        .where(KlarnaAttempt.op_id == op.id, KlarnaAnswer.error_code.is_not(None))
        .order_by(KlarnaAnswer.id.desc())
        .limit(1)
    )
    if found is None:
        return None
    messages = json.loads(found.error_messages) if found.error_messages else []
    return Answer(
        code=found.error_code,
        messages=[str(each) for each in messages] if isinstance(messages, list) else [str(messages)],
        http_status=found.http_status,
        correlation_id=found.correlation_id,
        at=found.ended_at,
        klarna_order_id=op.klarna_order_id,
        reference=op.reference,
        amount_minor=op.amount_minor or 0,
        order_reference=order_reference,
        original_number=original_number,
    )


def cause(code: str | None, order: Order, kind: OpKind, amount_minor: int) -> Sentence:
    """The usual cause in one line, from Klarna's code and the last look, not from Klarna's text (B21, operations 11)."""
    now = clock.now()
    if code == "CAPTURE_NOT_ALLOWED" and kind is OpKind.CAPTURE:
        if order.klarna_status is KlarnaStatus.CANCELLED:
            return told(N_("The purchase is cancelled at Klarna."))
        if order.klarna_status is KlarnaStatus.EXPIRED or (order.expires_at is not None and order.expires_at <= now):
            return told(N_("The reservation has expired. Ask Klarna whether it can be renewed."))
        if (order.remaining_minor or 0) < amount_minor:
            return told(
                N_("Only %(left)s is left to activate."), left=Amount(order.remaining_minor or 0, order.currency)
            )
        if order.fraud_status not in (None, "ACCEPTED"):
            return told(N_("Klarna is reviewing the purchase. Do not deliver or invoice yet."))
    if code == "REFUND_NOT_ALLOWED" and kind is OpKind.REFUND:
        left = (order.captured_minor or 0) - (order.refunded_minor or 0)
        if not order.captured_minor:
            return told(N_("Nothing has been activated on the purchase."))
        if left < amount_minor:
            return told(N_("Klarna can still refund %(left)s."), left=Amount(left, order.currency))
    return _of_the_reservation(code, order, kind, amount_minor) or _of_the_code(code)


def _of_the_code(code: str | None) -> Sentence:
    if code == "PAYMENT_METHOD_FAILED":
        return told(N_("The customer's payment did not go through. Try later."))
    if code in ("NO_SUCH_ORDER", "NOT_FOUND"):
        return told(N_("Klarna cannot find the purchase. Check store id, region, and whether it is Klarna or Kustom."))
    return told(N_("Read Klarna's message and contact Klarna with the code."))


def _of_the_reservation(code: str | None, order: Order, kind: OpKind, amount_minor: int) -> Sentence | None:
    """The usual cause of a no to an act on the reservation, as the last look shows it (B21; reference 2.7 and 2.8)."""
    if kind not in OF_THE_RESERVATION or code not in ("NOT_ALLOWED", "CANCEL_NOT_ALLOWED"):
        return None
    if order.klarna_status is KlarnaStatus.CANCELLED:
        return told(N_("The purchase is cancelled at Klarna."))
    if order.klarna_status is KlarnaStatus.EXPIRED:
        return told(N_("The reservation has expired. Ask Klarna whether it can be renewed."))
    if kind is OpKind.CANCEL and order.captured_minor:
        return told(N_("Something has been activated on the purchase. Release the rest instead."))
    if kind is OpKind.RELEASE and not order.captured_minor:
        return told(N_("Nothing has been activated on the purchase. Cancel the order instead."))
    if kind is not OpKind.CANCEL and order.remaining_minor == 0:
        return told(N_("Nothing is left of the reservation."))
    if kind is OpKind.UPDATE_AUTH and amount_minor > (order.authorized_minor or 0):
        return told(
            N_(
                "A higher amount is a new credit check at Klarna, and Klarna has not granted it. "
                "Lower the amount, or let the customer buy the rest separately."
            )
        )
    if kind is OpKind.EXTEND_AUTH:
        return told(
            N_("Klarna extends neither card payments nor reservations older than 180 days. Invoice before it expires.")
        )
    return None
