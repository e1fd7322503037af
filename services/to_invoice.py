"""What delivered and uninvoiced goods of some orders come to, in three questions however many orders (F21)."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from models import Order
from services import order_questions, orders


def amounts(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """What a delivery invoice of each order would be on, minor units: the same shares as ``orders.to_invoice`` takes."""
    if not ids:
        return {}
    found = session.scalars(sa.select(Order).where(Order.id.in_(ids)).options(selectinload(Order.lines))).all()
    lines = [line.id for order in found for line in order.lines]
    gone = orders.per_row_delivered(session.execute(order_questions.DELIVERED_OF, {"lines": lines}))
    held = orders.per_row_invoiced(session.execute(order_questions.HELD_OF, {"lines": lines}))
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
