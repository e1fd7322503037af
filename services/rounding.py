"""Öresavrundning: an invoice that the customer pays to us comes to whole kronor, where the company wants that (B36, E12).

Amounts are minor units. 1–49 öre go down, 50–99 up, on the sum alone; VAT is what it was, and the difference is booked on the
account for rounding. What is paid through Klarna is never rounded: Klarna captures exact öre. A credit note takes the row over,
so that crediting all of an invoice is its exact opposite. Source: lag (1970:1029); accounting reference 8.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

import money
from models import Order
from services import settings
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
