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
    return {
        order.id: sum(share.gross_minor for share in orders.shares_left(order.lines, held, gone)) for order in found
    }
