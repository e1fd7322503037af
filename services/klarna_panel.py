"""The Klarna panel of an order: the reservation as Klarna showed it, and whether it agrees with what we have.

Amounts are minor units. Pure reading. Source: F14, F15, F27; operations 13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Document, KlarnaBreak, KlarnaOp, Order
from money import Amount
from services import deliveries, orders
from states import BreakKind, BreakState, DocKind, DocState, KlarnaStatus, OpKind, OpState

_ELSEWHERE = (BreakKind.REFUND_UNKNOWN, BreakKind.CAPTURE_UNKNOWN)
_LASTING = (KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED)


@dataclass(frozen=True, slots=True)
class Difference:
    """A sentence about Kvitta and Klarna not agreeing: a message id and the values that fill it."""

    message: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Panel:
    """The reservation as Klarna showed it at ``read_at``, and whether it agrees with what we have (operations 13)."""

    order_id: int
    icon: str | None
    reference: str | None
    klarna_order_id: str
    method: str | None
    account: str
    store_id: str
    status: KlarnaStatus | None
    fraud_status: str | None
    currency: str
    authorised_minor: int | None
    activated_minor: int
    credited_minor: int
    left_minor: int
    expires_at: datetime | None
    expired: Refusal | None
    read_at: datetime | None
    differences: Sequence[Difference]
    open_operation: Refusal | None
    operation_state: OpState | None
    operation_document: tuple[DocKind, int, str] | None
    captured_at: datetime | None
    captured_outside: bool
    klarna_number: str | None

    @property
    def is_open(self) -> bool:
        """Whether the panel asks for itself until the answer is there."""
        return self.open_operation is not None

    @property
    def expires_on(self) -> date | None:
        """The local date on which what is left of the reservation expires, as Klarna says (F27)."""
        lasts = self.status in _LASTING and self.left_minor > 0
        return clock.local_date(self.expires_at) if lasts and self.expires_at else None


def panel(session: Session, order: Order) -> Panel | None:
    """The Klarna panel; None for an order without a reservation (F2, F14)."""
    if order.klarna_order_id is None or order.account is None:
        return None
    operation = orders.open_operation(session, order)
    document = session.get(Document, operation.document_id) if operation and operation.document_id else None
    last = session.scalars(
        sa.select(KlarnaOp)
        .where(
            KlarnaOp.order_id == order.id,
            KlarnaOp.kind == OpKind.CAPTURE,
            KlarnaOp.state.in_((OpState.CONFIRMED, OpState.EXTERNAL)),
        )
        .order_by(KlarnaOp.klarna_event_at.desc(), KlarnaOp.created_at.desc())
        .limit(1)
    ).first()
    return Panel(
        order_id=order.id,
        icon=order.icon,
        reference=order.klarna_reference,
        klarna_order_id=order.klarna_order_id,
        method=order.klarna_method,
        account=order.account.name,
        store_id=order.account.store_id,
        status=order.klarna_status,
        fraud_status=order.fraud_status,
        currency=order.currency,
        authorised_minor=order.authorized_minor,
        activated_minor=order.captured_minor or 0,
        credited_minor=order.refunded_minor or 0,
        left_minor=order.remaining_minor or 0,
        expires_at=order.expires_at,
        expired=deliveries.expired(order) if order.klarna_status is KlarnaStatus.EXPIRED else None,
        read_at=order.klarna_read_at,
        differences=[] if operation else _differences(session, order),
        open_operation=orders.open_operation_refusal(session, order),
        operation_state=operation.state if operation else None,
        operation_document=(document.kind, document.id, document.number_text or "") if document else None,
        captured_at=last.klarna_event_at if last else None,
        captured_outside=last is not None and last.state is OpState.EXTERNAL,
        klarna_number=last.klarna_short_ref if last else None,
    )


def _differences(session: Session, order: Order) -> list[Difference]:
    """What differs between us and Klarna, as sentences: open breaks first, then sums no break speaks of."""
    found = [_break(session, each) for each in _open_breaks(session, order.id)]
    if order.klarna_read_at is None or found:
        return found
    captured, refunded = orders.moved(session, order.id)
    pairs = (
        (N_("Activated: Klarna shows %(klarna)s, Kvitta %(kvitta)s."), order.captured_minor, captured),
        (N_("Credited: Klarna shows %(klarna)s, Kvitta %(kvitta)s."), order.refunded_minor, refunded),
    )
    for message, klarna, ours in pairs:
        if (klarna or 0) != ours:
            values = {"klarna": Amount(klarna or 0, order.currency), "kvitta": Amount(ours, order.currency)}
            found.append(Difference(message, values))
    if not found:
        found += _booked_beside(session, order, captured - refunded)
    return found


def _open_breaks(session: Session, order_id: int) -> Sequence[KlarnaBreak]:
    wanted = (KlarnaBreak.order_id == order_id, KlarnaBreak.state == BreakState.OPEN)
    return session.scalars(sa.select(KlarnaBreak).where(*wanted).order_by(KlarnaBreak.opened_at)).all()


def _break(session: Session, found: KlarnaBreak) -> Difference:
    """The sentence of a break (operations 11 and 13)."""
    amount = Amount(abs(found.difference_minor), found.currency)
    if found.kind in _ELSEWHERE:
        operation = session.get(KlarnaOp, found.op_id) if found.op_id else None
        at = (operation.klarna_event_at if operation else None) or found.opened_at
        if operation is not None and operation.amount_minor is not None:
            amount = Amount(operation.amount_minor, found.currency)
        message = N_("Activated outside Kvitta %(day)s: %(amount)s. What does it belong to?")
        if found.kind is BreakKind.REFUND_UNKNOWN:
            message = N_("Credited outside Kvitta %(day)s: %(amount)s. What does it belong to?")
        return Difference(message, {"day": clock.local_date(at), "amount": amount})
    if found.difference_minor:
        return Difference(N_("%(kind)s: %(amount)s."), {"kind": found.kind, "amount": amount})
    return Difference(N_("%(kind)s."), {"kind": found.kind})


def _booked_beside(session: Session, order: Order, at_klarna: int) -> list[Difference]:
    """Whether our issued documents come to what Klarna has (K29, K30)."""
    sums = session.execute(
        sa.select(Document.kind, sa.func.sum(Document.gross_minor))
        .where(Document.order_id == order.id, Document.state == DocState.ISSUED, Document.reversed_at.is_(None))
        .group_by(Document.kind)
    )
    booked = sum((1 if kind is DocKind.INVOICE else -1) * int(gross or 0) for kind, gross in sums)
    if booked == at_klarna:
        return []
    message = N_("Booked %(amount)s higher than at Klarna.")
    if booked < at_klarna:
        message = N_("Booked %(amount)s lower than at Klarna.")
    return [Difference(message, {"amount": Amount(abs(booked - at_klarna), order.currency)})]
