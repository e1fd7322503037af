"""What live credit notes hold of an invoice, and what is left of it to credit.

Amounts are minor units including VAT, quantities thousandths. Source: K21, K33; I1; operations 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

import money
from errors import N_, Refusal
from models import Document, DocumentLine
from services import advances, currencies, documents, orders
from states import DocKind, DocState, DocType, LineKind


@dataclass(frozen=True, slots=True)
class Credited:
    """What live credit notes hold of an invoice row: thousandths and minor units."""

    quantity_milli: int = 0
    gross_minor: int = 0
    discount_minor: int = 0
    vat_minor: int = 0


NOTHING = Credited()


_LIVE = (
    Document.original_id == bindparam("invoice_id"),
    Document.kind == DocKind.CREDIT_NOTE,
    Document.state.in_(documents.LIVE),
    Document.reversed_at.is_(None),
    Document.id != bindparam("besides"),
)
_PER_ROW = (
    select(
        DocumentLine.original_line_id,
        func.sum(DocumentLine.quantity_milli),
        func.sum(DocumentLine.gross_minor),
        func.sum(DocumentLine.discount_minor),
        func.sum(DocumentLine.vat_minor),
    )
    .join(Document, Document.id == DocumentLine.document_id)
    .where(*_LIVE, DocumentLine.original_line_id.is_not(None), DocumentLine.removed.is_(False))
    .group_by(DocumentLine.original_line_id)
)
_IN_ALL = select(func.sum(Document.gross_minor)).where(*_LIVE)
"""Put together once, for they are asked with every key that is typed into a draft (performance, goal 11)."""


def _of(invoice_id: int, besides: int | None) -> dict[str, int]:
    return {"invoice_id": invoice_id, "besides": besides or 0}


def credited(session: Session, invoice_id: int, besides: int | None = None) -> dict[int, Credited]:
    """What pending and issued credit notes, with and without Klarna and not reversed, hold of each invoice row (I1)."""
    rows = session.execute(_PER_ROW, _of(invoice_id, besides))
    return {line_id: Credited(int(q), int(g), int(d), int(v)) for line_id, q, g, d, v in rows if line_id is not None}


def credited_total(session: Session, invoice_id: int, besides: int | None = None) -> int:
    """The sum of live credit notes on an invoice, minor units (K33)."""
    return int(session.scalar(_IN_ALL, _of(invoice_id, besides)) or 0)


def left_of(line: DocumentLine, done: Mapping[int, Credited]) -> int:
    """Thousandths of an invoice row that can still be credited."""
    return line.quantity_milli - done.get(line.id, NOTHING).quantity_milli


def share_of(line: DocumentLine, quantity_milli: int, done: Mapping[int, Credited]) -> int:
    """What so many thousandths of an invoice's row come to when they are credited now (K38)."""
    taken = done.get(line.id, NOTHING)
    return money.next_share(
        line.gross_minor, line.quantity_milli, taken.quantity_milli, taken.gross_minor, quantity_milli
    )


def why_not_credited(session: Session, invoice: Document) -> Refusal | None:
    """Why no credit note can be begun on a document; None when one can (K8, K9)."""
    if invoice.kind is not DocKind.INVOICE or invoice.state is not DocState.ISSUED:
        return Refusal(N_("The invoice has not been issued and cannot be credited."))
    foreign = currencies.why_not_invoiced(invoice.currency)
    if foreign is not None:
        return foreign
    gross = invoice.gross_minor or 0
    if gross < 0:
        return Refusal(
            N_("The invoice comes to %(amount)s: there is nothing to credit."),
            amount=money.Amount(gross, invoice.currency),
        )
    done = credited(session, invoice.id)
    gives_back = any(line.kind is LineKind.ADVANCE_DEDUCTION for line in invoice.lines)
    total = credited_total(session, invoice.id)
    # a charge on an earlier note leaves something to give back although no row is left
    if (total >= gross and all(left_of(line, done) <= 0 for line in invoice.lines)) or (
        not gives_back and total >= gross > 0
    ):
        whole = Refusal(N_("The whole invoice has been credited."))
        # what nobody knows yet is not called credited
        return (orders.awaited(session, invoice.order) if invoice.order is not None else None) or whole
    if invoice.type is DocType.ADVANCE and not advances.of_invoice(session, invoice):
        return advances.deducted_on(session, invoice.id)
    return None
