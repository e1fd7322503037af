"""What was exchanged on an order: the credit note, and what goes out instead, for the order's page and the delivery page.

An even exchange goes out with its replacement invoice, a cheaper one is a row with a minus on the credit note, and its stock
is adjusted by hand. Quantities are thousandths. Pure reading. Source: K30, K44-K46.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Document, DocumentLine, Offset, Voucher
from services import adjustments, credit_drafts, new_rows, replacement
from states import DocKind, DocState, DocType, LineKind, WithoutKlarna


@dataclass(frozen=True, slots=True)
class Exchanged:
    """An exchange: its credit note, its replacement invoice if it has one, and what goes out as name, unit and thousandths.

    ``adjusted`` says whether the stock of both articles has been adjusted; None where nothing is to be adjusted by hand.
    """

    note_id: int
    note_number: str
    invoice_id: int | None
    invoice_number: str
    goods: Sequence[tuple[str, str, int]]
    adjusted: bool | None


_CHARGED = sa.select(DocumentLine.document_id).where(
    DocumentLine.original_line_id.is_(None),
    DocumentLine.kind == LineKind.ARTICLE,
    DocumentLine.unit_price_minor < 0,
    DocumentLine.document_id == Document.id,
)
_NOTES = (
    sa.select(Document)
    .where(
        Document.order_id == sa.bindparam("order_id"),
        Document.kind == DocKind.CREDIT_NOTE,
        Document.type == DocType.CREDIT,
        Document.state == DocState.ISSUED,
        Document.reversed_at.is_(None),
        (Document.without_klarna_reason == WithoutKlarna.EVEN_EXCHANGE) | _CHARGED.exists(),
    )
    .order_by(Document.id)
)


def of_order(session: Session, order_id: int) -> list[Exchanged]:
    """The exchanges of an order, oldest first."""
    return [made for note in session.scalars(_NOTES, {"order_id": order_id}) for made in _of_note(session, note)]


def _of_note(session: Session, note: Document) -> Iterable[Exchanged]:
    number = note.number_text or ""
    going = [line for line in note.lines if new_rows.goes_out(line)]
    if going:
        by_hand = adjustments.of(session, note)
        yield Exchanged(note.id, number, None, "", _goods(going), all(each.done for each in by_hand))
    elif replacement.is_even(note):
        invoices = _replacements(session, note)
        for invoice in invoices:
            stocked = [line for line in invoice.lines if credit_drafts.stock_kept(line)]
            yield Exchanged(note.id, number, invoice.id, invoice.number_text or "", _goods(stocked), None)
        if not invoices and note.gross_minor:
            yield Exchanged(note.id, number, None, "", (), None)


def _replacements(session: Session, note: Document) -> Sequence[Document]:
    undone = sa.exists().where(Voucher.reverses_id == Offset.voucher_id)
    query = (
        sa.select(Document)
        .join(Offset, Offset.invoice_id == Document.id)
        .where(Offset.credit_note_id == note.id, Document.type == DocType.REPLACEMENT, sa.not_(undone))
        .order_by(Document.id)
    )
    return session.scalars(query).all()


def _goods(lines: Sequence[DocumentLine]) -> list[tuple[str, str, int]]:
    return [(line.name, line.unit, line.quantity_milli) for line in lines]
