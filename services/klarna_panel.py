"""The Klarna panel of an order: the reservation as Klarna showed it, and whether it agrees with what we have.

Amounts are minor units. Pure reading. Source: F14, F15, F27; operations 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import Refusal
from models import Document, KlarnaOp, Order
from services import agreement, deliveries, holds, orders
from services.agreement import Difference
from states import DocKind, KlarnaStatus, OpKind, OpState

_LASTING = (KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED)


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
    held: Refusal | None
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


_LAST_CAPTURE = (
    sa.select(KlarnaOp)
    .where(
        KlarnaOp.order_id == sa.bindparam("order_id"),
        KlarnaOp.kind == OpKind.CAPTURE,
        KlarnaOp.state.in_((OpState.CONFIRMED, OpState.EXTERNAL)),
    )
    .order_by(KlarnaOp.klarna_event_at.desc(), KlarnaOp.created_at.desc())
    .limit(1)
)


def panel(session: Session, order: Order) -> Panel | None:
    """The Klarna panel; None for an order without a reservation (F2, F14)."""
    if order.klarna_order_id is None or order.account is None:
        return None
    operation = orders.open_operation(session, order)
    document = session.get(Document, operation.document_id) if operation and operation.document_id else None
    last = session.scalars(_LAST_CAPTURE, {"order_id": order.id}).first()
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
        held=holds.refusal(order),
        differences=[]
        if operation and operation.state is not OpState.REVIEW
        else agreement.differences(session, order),
        open_operation=orders.open_operation_refusal(session, order),
        operation_state=operation.state if operation else None,
        operation_document=(document.kind, document.id, document.number_text or "") if document else None,
        captured_at=last.klarna_event_at if last else None,
        captured_outside=last is not None and last.state is OpState.EXTERNAL,
        klarna_number=last.klarna_short_ref if last else None,
    )
