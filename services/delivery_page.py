"""The delivery page as plain values: rows with what is left, where goods can leave from, why a button is off, and scanning.

Quantities are thousandths. Pure reading. Source: F5, B24, B25.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from errors import N_, BadInput, Refusal
from rights import Actor
from services import deliveries, order_page, orders, workplace

PIECE_MILLI = 1000


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row that can be delivered: ordered, delivered and left in thousandths."""

    line_id: int
    article_number: str | None
    gtin: str | None
    name: str
    unit: str
    ordered_milli: int
    delivered_milli: int

    @property
    def left_milli(self) -> int:
        """What the row is prefilled with."""
        return max(self.ordered_milli - self.delivered_milli, 0)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the delivery page is drawn from. ``refusal`` says why nothing may be delivered; None when something may.

    ``no_invoice`` says why no invoice can follow, ``no_reservation`` that it is for want of one: goods may leave all the same.
    """

    order_id: int
    number: int
    customer: str
    rows: Sequence[SheetRow]
    warehouses: Sequence[tuple[int, str]]
    warehouse_id: int | None
    refusal: Refusal | None
    no_invoice: Refusal | None
    no_reservation: Refusal | None


def sheet(session: Session, actor: Actor, order_id: int) -> Sheet:
    """The delivery page, with the warehouse the order's goods left last, else the person's. Raises NotFound (B24, B25)."""
    order = orders.get(session, order_id)
    gone = orders.delivered(session, order_id)
    return Sheet(
        order_id=order.id,
        number=order.number,
        customer=order.customer.name,
        rows=[
            SheetRow(
                line_id=line.id,
                article_number=line.article_number,
                gtin=line.article.gtin if line.article else None,
                name=line.name,
                unit=line.unit,
                ordered_milli=line.quantity_milli,
                delivered_milli=gone.get(line.id, 0),
            )
            for line in order.lines
            if orders.is_delivered(line)
        ],
        warehouses=[(each.id, each.name) for each in deliveries.warehouses(session)],
        warehouse_id=workplace.suggested(session, actor, order_id),
        refusal=deliveries.why_not(session, order),
        no_invoice=order_page.why_not_invoice(session, order),
        no_reservation=deliveries.lacks_reservation(order) if orders.total(order) > 0 else None,
    )


def scan(shown: Sheet, quantities: Mapping[int, int], code: str) -> dict[int, int]:
    """Add one piece to the row with this article number or GTIN; gives all quantities, thousandths per row (B24).

    Raises BadInput for an empty code, Refusal for one that is not on the order or a row that has nothing left.
    """
    wanted = _code(code)
    if not wanted:
        raise BadInput(N_("Scan or type an article number."), field="scan")
    found = [row for row in shown.rows if wanted in (_code(row.article_number or ""), _code(row.gtin or ""))]
    if not found:
        raise Refusal(N_("Article %(article)s is not on the order."), field="scan", article=code.strip())
    counted = {row.line_id: quantities.get(row.line_id, 0) for row in shown.rows}
    for row in found:
        if counted[row.line_id] + PIECE_MILLI <= row.left_milli:
            counted[row.line_id] += PIECE_MILLI
            return counted
    left = sum(row.left_milli for row in found)
    raise Refusal(N_("The row has %(left_milli)s left to deliver."), field="scan", left_milli=left)


def _code(text: str) -> str:
    """An article number or GTIN in one normal form: a GTIN may be read with or without leading zeros."""
    text = unicodedata.normalize("NFKC", text).strip().casefold()
    return text.lstrip("0") if len(text) in (8, 12, 13, 14) and text.isascii() and text.isdigit() else text
