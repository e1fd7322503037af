"""«Bokför» as plain values: what Klarna shows of the act, the rows it can stand for with their proposal, other documents.

Amounts are minor units including VAT, quantities thousandths. Pure reading. Source: operations 13; K6, K7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from errors import N_, Refusal
from models import Document, KlarnaBreak, KlarnaOp, Order
from services import adoption, adoption_rows, agreement, breaks, captured_elsewhere, credited, currencies, drift, orders
from services.agreement import Difference
from services.captured_elsewhere import Marked, Priced
from services.looks import Found, Line, Look
from services.orders import NOTHING
from states import OpKind


@dataclass(frozen=True, slots=True)
class Choice:
    """A row that can be chosen, what is left of it, and what is proposed."""

    id: int
    position: int
    article_number: str | None
    name: str
    unit: str
    left_milli: int
    left_minor: int
    proposed_milli: int
    marked: Marked | None


@dataclass(frozen=True, slots=True)
class AdoptForm:
    """What the page of an adoption shows. ``refusal`` says why nothing can be adopted now."""

    break_id: int
    order_id: int
    order_number: int
    currency: str
    kind: OpKind
    difference: Difference
    amount_minor: int
    at: datetime | None
    klarna_number: str | None
    object_id: str | None
    reference: str | None
    lines: Sequence[Line]
    rows: Sequence[Choice]
    invoices: Sequence[tuple[int, str]]
    invoice_id: int | None
    refused: Sequence[tuple[int, str]]
    only_refused: bool
    replaces: str | None
    rates: Sequence[int]
    rate: int
    stock_kept: bool
    refusal: Refusal | None

    @property
    def is_refund(self) -> bool:
        """Whether it becomes a credit note."""
        return self.kind is OpKind.REFUND


def form(session: Session, break_id: int, look: Look | None, invoice_id: int | None = None) -> AdoptForm:
    """The form of a difference that speaks of a capture or a refund. Raises NotFound for others, Stale for a settled one.

    ``look`` is what Klarna showed just now, for its lines; None where it could not be asked.
    """
    found = breaks.get(session, break_id)
    order = orders.get(session, adoption.order_of(found))
    breaks.require_open(found)
    op = adoption.external_of(session, found)
    if op is None:
        return _nothing(session, found, order)
    shown = _shown(op, look)
    refund = op.kind is OpKind.REFUND
    invoices = adoption_rows.creditable(session, order.id) if refund else []
    chosen = next((each for each in invoices if each.id == invoice_id), invoices[0] if invoices else None)
    proved = drift.proved_by(session, op)
    refused = adoption_rows.refused_of(session, order.id, adoption.DOCUMENT_OF[op.kind], op.amount_minor or 0)
    before = adoption.replaced(session, op)
    lines = adoption_rows.shown_lines(shown)
    rows = _of_order(session, order, op, lines)
    if refund:
        rows = _of_invoice(session, chosen, op, lines) if chosen is not None else []
    refusal = currencies.why_not_booked(order.currency)
    if refusal is None and refund and chosen is None and not refused:
        refusal = Refusal(
            N_(
                "No invoice of the order has anything left to credit. Adopt the activation first, or explain the refund."
            )
        )
    return AdoptForm(
        break_id=found.id,
        order_id=order.id,
        order_number=order.number,
        currency=order.currency,
        kind=op.kind,
        difference=agreement.told(session, found),
        amount_minor=op.amount_minor or 0,
        at=op.klarna_event_at,
        klarna_number=op.klarna_short_ref,
        object_id=op.klarna_object_id,
        reference=op.reference,
        lines=lines,
        rows=rows,
        invoices=[(each.id, each.number_text or "") for each in invoices],
        invoice_id=chosen.id if chosen is not None else None,
        refused=[(each.id, each.number_text or "") for each in ([proved] if proved is not None else refused)],
        only_refused=proved is not None,
        replaces=before.number_text if before is not None else None,
        rates=adoption_rows.rates(session),
        rate=max((line.vat_rate for line in order.lines), default=2500),
        stock_kept=refund and any(line.article is not None and line.article.stock_kept for line in order.lines),
        refusal=refusal,
    )


def _shown(op: KlarnaOp, look: Look | None) -> Found | None:
    if look is None:
        return None
    try:
        return adoption.shown_at_klarna(op, look)
    except Refusal:
        return None


def _nothing(session: Session, found: KlarnaBreak, order: Order) -> AdoptForm:
    """The page of a difference whose act Klarna has not shown yet: only a payout tells of it."""
    return AdoptForm(
        break_id=found.id, order_id=order.id, order_number=order.number, currency=order.currency, kind=OpKind.CAPTURE,
        difference=agreement.told(session, found), amount_minor=abs(found.difference_minor), at=None, klarna_number=None,
        object_id=found.found or None, reference=None, lines=(), rows=(), invoices=(), invoice_id=None, refused=(),
        only_refused=False, replaces=None, rates=(), rate=2500, stock_kept=False,
        refusal=Refusal(N_("Klarna does not show it on the purchase. Nothing has been booked.")),
    )  # fmt: skip


def _of_order(session: Session, order: Order, op: KlarnaOp, lines: Sequence[Line]) -> list[Choice]:
    held = orders.invoiced(session, order.id)
    proposed = adoption_rows.propose_capture(session, order, op.amount_minor or 0, lines)
    marked = captured_elsewhere.mark(
        Priced(line.position, line.article_number, line.unit_price_minor, line.discount_minor) for line in order.lines
    )
    found = []
    for line in order.lines:
        left = line.quantity_milli - held.get(line.id, NOTHING).quantity_milli
        if left <= 0:
            continue
        share = orders.share_of(line, held.get(line.id, NOTHING), left)
        found.append(
            Choice(
                line.id,
                line.position,
                line.article_number,
                line.name,
                line.unit,
                left,
                share.gross_minor,
                proposed.get(line.id, 0),
                marked.get(line.position),
            )
        )
    return found


def _of_invoice(session: Session, invoice: Document, op: KlarnaOp, lines: Sequence[Line]) -> list[Choice]:
    done = credited.credited(session, invoice.id)
    proposed = adoption_rows.propose_refund(session, invoice, op.amount_minor or 0, lines)
    marked = captured_elsewhere.marked_rows(invoice, captured_elsewhere.capture_of(session, invoice))
    return [
        Choice(
            line.id,
            line.position,
            line.article_number,
            line.name,
            line.unit,
            credited.left_of(line, done),
            line.gross_minor - done.get(line.id, credited.NOTHING).gross_minor,
            proposed.get(line.id, 0),
            marked.get(line.position),
        )
        for line in invoice.lines
        if credited.left_of(line, done) > 0
    ]
