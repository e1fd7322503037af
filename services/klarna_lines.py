"""A document's rows as Klarna's lines: references unique within the Klarna order, exact amounts, VAT within Klarna's rule.

Amounts are minor units. Source: requirements, ground rules; I10; B14; reference 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Document, DocumentLine, Order
from money import divide
from services.documents import Row
from states import LineKind

KLARNA_LINE_TYPES = {
    LineKind.ARTICLE: "physical",
    LineKind.TEXT: "physical",
    LineKind.FREIGHT: "shipping_fee",
    LineKind.FEE: "surcharge",
    LineKind.DISCOUNT: "discount",
    LineKind.ADVANCE: "physical",
    LineKind.ADVANCE_DEDUCTION: "physical",
    LineKind.RETURN_FEE: "return_fee",
}
_WITHOUT_QUANTITY = (LineKind.ADVANCE, LineKind.ADVANCE_DEDUCTION)
"""Rows that are an amount and no number of anything; below zero they go as Klarna's discount, as every such row does."""


def used_references(session: Session, order_id: int) -> tuple[set[str], int]:
    """Line references already taken within a Klarna order, by numbered documents, and how many rows took one."""
    rows = session.scalars(
        select(DocumentLine.klarna_reference)
        .join(Document, Document.id == DocumentLine.document_id)
        .where(Document.order_id == order_id, Document.number.is_not(None), DocumentLine.klarna_reference.is_not(None))
    ).all()
    return {row for row in rows if row}, len(rows)


def capture_references(session: Session, order: Order, rows: Sequence[Row]) -> list[str]:
    """A reference for each row, unique within the Klarna order over all its captures.

    The article number when it occurs once on the order and was not captured before; else article number, ``#`` and the
    running position of the captured row; text rows ``TEXT#position``. Source: requirements, ground rules; I10.
    """
    taken, running = used_references(session, order.id)
    numbers = [line.article_number for line in order.lines]
    references = []
    for row in rows:
        running += 1
        base = (row.article_number or "")[:200]
        if base and numbers.count(row.article_number) <= 1 and base not in taken:
            reference = base
        else:
            reference = unique_reference(base or "TEXT", running, taken)
        taken.add(reference)
        references.append(reference)
    return references


def unique_reference(base: str, position: int, taken: set[str]) -> str:
    """``base#position``, or the next position that nobody has."""
    while f"{base}#{position}" in taken:
        position += 1
    return f"{base}#{position}"


def klarna_line(line: DocumentLine, sign: int = 1) -> dict[str, Any]:
    """A row as Klarna wants it; decimals of a quantity go into the name and the amount stays exact (B14, reference 2.3).

    A row of a capture made elsewhere may have no reference, and none is made up for it (K34).
    """
    gross = sign * line.gross_minor
    whole = line.quantity_milli % 1000 == 0 and line.quantity_milli > 0
    quantity = line.quantity_milli // 1000 if whole else 1
    unit_price, discount = sign * line.unit_price_minor, line.discount_minor
    name = line.name
    if not whole or quantity * unit_price - discount != gross or discount < 0:
        quantity, unit_price, discount = 1, gross, 0
        if line.quantity_milli != 1000 and line.kind not in _WITHOUT_QUANTITY:
            name = f"{name} ({_decimal(line.quantity_milli)} {line.unit})"
    kind = KLARNA_LINE_TYPES[line.kind]
    if gross < 0 and kind == "physical":
        kind = "discount" if sign > 0 else "surcharge"
    content: dict[str, Any] = {
        "type": kind,
        "name": name[:255] or "-",
        "quantity": quantity,
        "quantity_unit": line.unit[:8] or "st",
        "unit_price": unit_price,
        "tax_rate": line.vat_rate,
        "total_amount": gross,
        "total_tax_amount": _tax_within_rule(gross, sign * line.vat_minor, line.vat_rate),
    }
    if line.klarna_reference is not None:
        content["reference"] = line.klarna_reference
    if discount:
        content["total_discount_amount"] = discount
    return content


def _tax_within_rule(gross_minor: int, vat_minor: int, rate: int) -> int:
    """The row's VAT as Klarna accepts it: within one öre of the exact one (reference 2.3); the books keep the row's own."""
    exact = divide(gross_minor * rate, 10_000 + rate)
    return min(max(vat_minor, exact - 1), exact + 1)


def _decimal(quantity_milli: int) -> str:
    whole, part = divmod(quantity_milli, 1000)
    return f"{whole},{part:03d}".rstrip("0").rstrip(",")
