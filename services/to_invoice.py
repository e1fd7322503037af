"""What delivered and uninvoiced goods of some orders come to, in three questions however many orders (F21)."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from models import DeliveryLine, Document, DocumentLine, Order
from services import orders
from services.orders import Invoiced
from states import DocKind, DocState, DocType, LineKind


def amounts(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """What a delivery invoice of each order would be on, minor units: the same shares as ``orders.to_invoice`` takes."""
    if not ids:
        return {}
    found = session.scalars(sa.select(Order).where(Order.id.in_(ids)).options(selectinload(Order.lines))).all()
    lines = [line.id for order in found for line in order.lines]
    gone, held = _delivered(session, lines), _invoiced(session, lines)
    sums = {}
    for order in found:
        sums[order.id] = 0
        for line in order.lines:
            before = held.get(line.id, orders.NOTHING)
            left = line.quantity_milli - before.quantity_milli
            now = gone.get(line.id, 0) - before.quantity_milli if orders.is_delivered(line) else left
            if now > 0 and left > 0:
                sums[order.id] += orders.share_of(line, before, min(now, left)).gross_minor
    return sums


def _delivered(session: Session, lines: Sequence[int]) -> dict[int, int]:
    query = (
        sa.select(DeliveryLine.order_line_id, sa.func.sum(DeliveryLine.quantity_milli))
        .where(DeliveryLine.order_line_id.in_(lines))
        .group_by(DeliveryLine.order_line_id)
    )
    return {row[0]: int(row[1]) for row in session.execute(query)}


def _invoiced(session: Session, lines: Sequence[int]) -> dict[int, Invoiced]:
    query = (
        sa.select(
            DocumentLine.order_line_id,
            sa.func.sum(DocumentLine.quantity_milli),
            sa.func.sum(DocumentLine.gross_minor),
            sa.func.sum(DocumentLine.discount_minor),
        )
        .join(Document, Document.id == DocumentLine.document_id)
        .where(
            DocumentLine.order_line_id.in_(lines),
            Document.kind == DocKind.INVOICE,
            Document.type.in_((DocType.DELIVERY, DocType.FINAL)),
            Document.state.in_((DocState.PENDING, DocState.ISSUED)),
            DocumentLine.kind.not_in((LineKind.ADVANCE, LineKind.ADVANCE_DEDUCTION)),
        )
        .group_by(DocumentLine.order_line_id)
    )
    return {
        row[0]: Invoiced(int(row[1]), int(row[2]), int(row[3])) for row in session.execute(query) if row[0] is not None
    }
