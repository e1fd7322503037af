"""Rows by which Klarna may go wrong, on captures that were not made here: without article number, or alike at another price.

Amounts are minor units. Pure reading; the amount credited is right in every case. Source: K6, K7, K34-K41; operations 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models import Document, KlarnaOp
from states import OpState


@dataclass(frozen=True, slots=True)
class Marked:
    """What is to be known of a row: it has no article number, or shares it with rows of another price or discount."""

    position: int
    article_number: str | None
    without_number: bool
    alike: Sequence[int]


@dataclass(frozen=True, slots=True)
class Priced:
    """What tells rows apart: place, article number, price and discount of one piece."""

    position: int
    article_number: str | None
    unit_price_minor: int
    discount_minor: int


def mark(rows: Iterable[Priced]) -> dict[int, Marked]:
    """The rows by which Klarna may go wrong, by their place; those that are safe are left out."""
    known = list(rows)
    found = {}
    for row in known:
        alike = [
            other.position
            for other in known
            if other is not row
            and row.article_number
            and other.article_number == row.article_number
            and (other.unit_price_minor, other.discount_minor) != (row.unit_price_minor, row.discount_minor)
        ]
        if alike or not row.article_number:
            found[row.position] = Marked(row.position, row.article_number, not row.article_number, alike)
    return found


def marked_rows(session: Session, invoice: Document) -> dict[int, Marked]:
    """The marked rows of an invoice; none for a capture of our own, whose references keep its rows apart (K34, K39)."""
    op = session.get(KlarnaOp, invoice.issued_by_op_id) if invoice.issued_by_op_id is not None else None
    if op is None or op.state is not OpState.EXTERNAL:
        return {}
    return mark(
        Priced(line.position, line.article_number, line.unit_price_minor, line.discount_minor) for line in invoice.lines
    )
