"""Which rows an act made elsewhere stands for: what Klarna's lines suggest, the rows a person chose, what is left over.

Amounts are minor units including VAT, quantities thousandths, rates hundredths of a percent. Rules alone.
Source: operations 13; K34-K41.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal
from models import Document, DocumentLine, Order, OrderLine, VatRate
from money import Amount
from services import advances, credit_drafts, credited, documents, orders
from services.documents import Row
from services.looks import Found, Line
from services.orders import NOTHING
from states import DocKind, DocState, LineKind

ROW, ADVANCE = "row", "advance"
"""What the part of an amount that no row accounts for becomes: a row of its own, or an advance on the order."""
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left over of the amount when rows are chosen, and what it becomes."""

    kind: str
    name: str
    rate: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person chose when adopting: a refused document, or rows and perhaps a rest.

    ``quantities`` are thousandths per row of the order, or of the invoice a refund is credited on.
    """

    document_id: int | None = None
    invoice_id: int | None = None
    quantities: Mapping[int, int] = field(default_factory=dict)
    rest: Rest | None = None
    restock: bool = False

    @property
    def values(self) -> list[object]:
        """What must be the same when the same form comes again."""
        rest = [self.rest.kind, self.rest.name, self.rest.rate] if self.rest else None
        return [self.document_id, self.invoice_id, sorted(self.quantities.items()), rest, self.restock]


# --- What is proposed ------------------------------------------------------------------------------------------------------


def propose_capture(session: Session, order: Order, amount_minor: int, lines: Sequence[Line]) -> dict[int, int]:
    """Quantities per order row whose sum is the amount where they can be told, else what Klarna's lines name, else none."""
    held = orders.invoiced(session, order.id)
    left = {line.id: line.quantity_milli - held.get(line.id, NOTHING).quantity_milli for line in order.lines}
    named = _named(lines, [(each.id, each.article_number, each.name, left[each.id]) for each in order.lines])
    for shares in (
        [orders.share_of(line, held.get(line.id, NOTHING), named.get(line.id, 0)) for line in order.lines],
        orders.to_invoice(session, order, delivered_only=True),
        orders.to_invoice(session, order, delivered_only=False),
    ):
        if sum(share.gross_minor for share in shares) == amount_minor:
            return {share.line.id: share.quantity_milli for share in shares if share.quantity_milli}
    return named


def propose_refund(session: Session, invoice: Document, amount_minor: int, lines: Sequence[Line]) -> dict[int, int]:
    """As ``propose_capture``, of what is left to credit on an invoice."""
    done = credited.credited(session, invoice.id)
    left = {line.id: max(credited.left_of(line, done), 0) for line in invoice.lines}
    named = _named(lines, [(each.id, each.klarna_reference, each.name, left[each.id]) for each in invoice.lines])
    if (invoice.gross_minor or 0) - credited.credited_total(session, invoice.id) == amount_minor:
        return {line_id: milli for line_id, milli in left.items() if milli}
    return named


def _named(lines: Sequence[Line], rows: Sequence[tuple[int, str | None, str, int]]) -> dict[int, int]:
    """Match Klarna's lines to rows by reference, else by name; each row is (id, reference, name, thousandths left)."""
    left = {row_id: milli for row_id, _, _, milli in rows}
    found: dict[int, int] = {}
    for line in lines:
        for row_id, reference, name, _ in rows:
            same = line.reference == reference if line.reference and reference else line.name == name
            wanted = min(max(line.quantity, 0) * 1000, left[row_id])
            if same and wanted > 0:
                found[row_id] = found.get(row_id, 0) + wanted
                left[row_id] -= wanted
                break
    return found


def reference_of(lines: Sequence[Line], article_number: str | None, name: str, unit_price_minor: int) -> str | None:
    """The reference Klarna holds for a row of a capture made elsewhere; None where it has none (K34)."""
    same = [each for each in lines if article_number and each.reference == article_number]
    same = same or [each for each in lines if each.name == name]
    by_price = [each for each in same if each.unit_price_minor == unit_price_minor]
    return next((each.reference for each in [*by_price, *same]), None)


def rates(session: Session) -> list[int]:
    """The VAT rates in force today, highest first."""
    found = session.scalars(select(VatRate.rate).where(VatRate.valid_from <= clock.today()).distinct())
    return sorted(found, reverse=True)


# --- What was chosen -------------------------------------------------------------------------------------------------------


def rows_of_capture(session: Session, order: Order, amount_minor: int, wish: Wish) -> list[Row]:
    """The rows of the invoice that stands for a capture; they come to its amount. Raises BadInput."""
    held = orders.invoiced(session, order.id)
    known = {line.id for line in order.lines}
    if not set(wish.quantities) <= known:
        raise BadInput(N_("The row does not belong to the order."))
    rows = [
        _row_of(line, held.get(line.id, NOTHING), wish.quantities[line.id])
        for line in order.lines
        if wish.quantities.get(line.id, 0)
    ]
    left_over = amount_minor - sum(row.gross_minor for row in rows)
    if left_over and wish.rest is not None:
        rows.append(_rest_row(session, order, left_over, wish.rest, alone=not rows))
    require_sum(rows, amount_minor, order.currency)
    for place, row in enumerate(rows, start=1):
        row.position = place
    documents.spread_vat(rows)
    return rows


def _row_of(line: OrderLine, held: orders.Invoiced, quantity_milli: int) -> Row:
    left = line.quantity_milli - held.quantity_milli
    if not 0 <= quantity_milli <= left:
        raise BadInput(
            N_("The row has %(left_milli)s left to invoice."), field=f"quantity_{line.id}", left_milli=max(left, 0)
        )
    share = orders.share_of(line, held, quantity_milli)
    return Row(
        kind=line.kind,
        name=line.name,
        quantity_milli=quantity_milli,
        unit_price_minor=line.unit_price_minor,
        discount_minor=share.discount_minor,
        gross_minor=share.gross_minor,
        vat_rate=line.vat_rate,
        unit=line.unit,
        article_id=line.article_id,
        article_number=line.article_number,
        order_line_id=line.id,
    )


def _rest_row(session: Session, order: Order, amount_minor: int, rest: Rest, *, alone: bool) -> Row:
    """The row that takes what no chosen row accounts for: a charge, a discount, or an advance on what is still to come."""
    if rest.kind == ADVANCE:
        if not alone or amount_minor <= 0:
            raise BadInput(N_("An advance stands alone, without other rows."), field="rest_kind")
        left = advances.left(session, order).get(rest.rate, 0)
        if amount_minor > left:
            raise BadInput(
                N_("Only %(left)s of the order is left at this VAT rate, so the advance cannot be %(amount)s."),
                field="rest_rate",
                left=Amount(max(left, 0), order.currency),
                amount=Amount(amount_minor, order.currency),
            )
        kind = LineKind.ADVANCE
    else:
        kind = LineKind.TEXT if amount_minor > 0 else LineKind.DISCOUNT
    name, rate = checked_rest(session, rest)
    return Row(kind, name, 1000, amount_minor, 0, amount_minor, rate)


def checked_rest(session: Session, rest: Rest) -> tuple[str, int]:
    """Text and VAT rate of the rest's row. Raises BadInput."""
    name = rest.name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise BadInput(N_("Write what the row stands for, at most %(most)s characters."), field="rest_name", most=255)
    if rest.rate not in rates(session):
        raise BadInput(N_("Choose one of the values in the list."), field="rest_rate")
    return name, rest.rate


def require_sum(rows: Sequence[Row | DocumentLine], amount_minor: int, currency: str) -> None:
    """Let pass rows that come to the amount at Klarna, to the öre. Raises BadInput with both sums and what is between them."""
    come_to = sum(row.gross_minor for row in rows)
    if come_to != amount_minor:
        raise BadInput(
            N_(
                "The rows come to %(rows)s and Klarna's amount is %(amount)s: %(rest)s is left over. "
                "Choose other quantities, or give what is left over a row of its own."
            ),
            rows=Amount(come_to, currency),
            amount=Amount(amount_minor, currency),
            rest=Amount(amount_minor - come_to, currency),
        )


def lines_of_refund(
    session: Session, draft: Document, invoice: Document, amount_minor: int, wish: Wish
) -> list[DocumentLine]:
    """The rows of the credit note that stands for a refund; they come to its amount. Raises BadInput (K21, K33)."""
    done = credited.credited(session, invoice.id)
    if not set(wish.quantities) <= {line.id for line in invoice.lines}:
        raise BadInput(N_("This row is not from the invoice."))
    lines = []
    for line in invoice.lines:
        quantity = wish.quantities.get(line.id, 0)
        if quantity:
            credit_drafts.require_left(line, quantity, done, field=f"quantity_{line.id}")
            lines.append(credit_drafts.draft_line(draft, line, quantity, done))
    left_over = amount_minor - sum(line.gross_minor for line in lines)
    if left_over and wish.rest is not None:
        lines.append(_rest_line(session, draft, invoice, left_over, wish.rest))
    require_sum(lines, amount_minor, draft.currency)
    return lines


def _rest_line(session: Session, draft: Document, invoice: Document, amount_minor: int, rest: Rest) -> DocumentLine:
    """A new row of a credit note: to the customer's favour above 0, a charge below (K28)."""
    name, rate = checked_rest(session, rest)
    row = Row(LineKind.TEXT, name, 1000, amount_minor, 0, amount_minor, rate)
    documents.spread_vat([row])
    return DocumentLine(
        document_id=draft.id,
        position=max(line.position for line in invoice.lines) + 1,
        kind=row.kind,
        name=row.name,
        unit=row.unit,
        quantity_milli=row.quantity_milli,
        unit_price_minor=row.unit_price_minor,
        gross_minor=row.gross_minor,
        vat_rate=row.vat_rate,
        vat_minor=row.vat_minor,
    )


# --- Documents that can stand for an act -----------------------------------------------------------------------------------


def creditable(session: Session, order_id: int) -> list[Document]:
    """The issued invoices of an order with something left to credit, oldest first."""
    query = select(Document).where(
        Document.order_id == order_id, Document.kind == DocKind.INVOICE, Document.state == DocState.ISSUED
    )
    return [each for each in session.scalars(query.order_by(Document.number)) if not _credited(session, each)]


def _credited(session: Session, invoice: Document) -> Refusal | None:
    return credited.why_not_credited(session, invoice)


def refused_of(session: Session, order_id: int, kind: DocKind, amount_minor: int) -> list[Document]:
    """The refused documents of an order that are of this kind and amount: the act may be theirs after all."""
    query = select(Document).where(
        Document.order_id == order_id,
        Document.kind == kind,
        Document.state == DocState.REFUSED,
        Document.gross_minor == amount_minor,
    )
    return list(session.scalars(query.order_by(Document.number)))


def invoice_of(session: Session, order_id: int, invoice_id: int | None) -> Document:
    """The chosen invoice of an order that a refund is credited on. Raises BadInput, Refusal, NotFound."""
    if invoice_id is None:
        raise BadInput(N_("Choose the invoice that the refund belongs to."), field="invoice_id")
    invoice = documents.get(session, invoice_id, lock=True)
    if invoice.order_id != order_id:
        raise NotFound
    refusal = credited.why_not_credited(session, invoice)
    if refusal is not None:
        raise refusal
    return invoice


def shown_lines(found: Found | None) -> Sequence[Line]:
    """Klarna's lines of an act; none where it was made without."""
    return found.lines if found is not None else ()
