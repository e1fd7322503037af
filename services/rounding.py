"""Öresavrundning: an invoice that the customer pays to us comes to whole kronor, where the company wants that (B36, E12).

Amounts are minor units. 1–49 öre go down, 50–99 up, on the sum alone; VAT is what it was, and the difference is booked on the
account for rounding. What is paid through Klarna is never rounded: Klarna captures exact öre. The last credit of an
invoice takes the row over, so that all of them together are its exact opposite. Source: lag (1970:1029); accounting reference 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

import money
from models import Document, Order
from services import settings
from services.credited import Credited, left_of
from services.documents import Row
from states import LineKind, PaymentKind

KRONA = 100
NAME = "Öresavrundning"


def rows(session: Session, order: Order, invoiced: Sequence[Row]) -> list[Row]:
    """The row that makes these come to whole kronor; none where nothing is rounded or nothing is missing."""
    if order.payment_method.kind is PaymentKind.KLARNA or order.klarna_order_id is not None or order.currency != "SEK":
        return []
    if settings.value(session, "payment.rounding") != "krona":
        return []
    gross = sum(row.gross_minor for row in invoiced)
    missing = money.divide(gross, KRONA) * KRONA - gross
    if not missing:
        return []
    place = max(row.position for row in invoiced) + 1
    return [Row(LineKind.ROUNDING, NAME, 1000, missing, 0, missing, 0, position=place)]


def follow(draft: Document, done: Mapping[int, Credited]) -> bool:
    """Let the rounding stand in a credit draft that takes all that is left, and in no other; True when that changed (K38)."""
    mine = next(
        (line for line in draft.lines if line.kind is LineKind.ROUNDING and line.original_line is not None), None
    )
    if mine is None or mine.original_line is None:
        return False
    invoice = draft.original
    if invoice is None:
        return False
    taken = {line.original_line_id: line.quantity_milli for line in draft.lines if not line.removed}
    others = [line for line in invoice.lines if line.kind is not LineKind.ROUNDING]
    whole = all(left_of(line, done) <= taken.get(line.id, 0) for line in others)
    removed = not whole or left_of(mine.original_line, done) <= 0
    changed = mine.removed is not removed
    mine.removed = removed
    return changed
