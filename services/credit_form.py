"""«Ny kreditfaktura» as plain values: rows with what is left, boxes, sums, the Klarna block, why the button is off.

Amounts are minor units including VAT, quantities thousandths. Pure reading. Source: K8-K12, K20-K26, K31-K33, B31.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, joinedload

from errors import N_, NotFound, Refusal, Stale
from models import Document, DocumentLine, Order
from rights import Actor
from services import (
    adjustments,
    advances,
    captured_elsewhere,
    credit_drafts,
    credit_notes,
    credit_rows,
    credited,
    deliveries,
    document_acts,
    documents,
    draft_store,
    drift,
    looks,
    new_rows,
    operations,
    orders,
    refund_lines,
)
from services.adjustments import Adjustment
from services.captured_elsewhere import Capture, Marked
from services.credit_drafts import Figures
from services.credited import NOTHING, Credited
from services.document_page import Related, related
from services.klarna_refusal import latest
from services.refund_lines import Shown
from states import Condition, DocKind, DocState, DocType, LineKind, WithoutKlarna


@dataclass(frozen=True, slots=True)
class CreditRow:
    """A row of the original and what of it is credited here. Price and discount are those of the invoice, locked (K22)."""

    id: int
    position: int
    article_number: str | None
    name: str
    unit: str
    unit_price_minor: int
    discount_minor: int
    vat_rate: int
    invoiced_milli: int
    credited_milli: int
    left_milli: int
    quantity_milli: int
    gross_minor: int
    stock_kept: bool
    restock_milli: int
    condition: Condition
    removed: bool
    kind: LineKind
    percent: int | None
    deducts: str | None
    marked: Marked | None

    @property
    def counted(self) -> bool:
        """Whether a quantity is typed; advances and rounding have an amount that follows (requirements, question 6)."""
        return self.kind not in advances.KINDS and self.kind is not LineKind.ROUNDING

    @property
    def removable(self) -> bool:
        """Whether the row can be left out; what is given back of advances follows from the others."""
        return self.kind not in (LineKind.ADVANCE_DEDUCTION, LineKind.ROUNDING)


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row that is not from the invoice; ``says`` is what it does to the customer, in words (K27, K28)."""

    id: int
    kind: LineKind
    article_id: int | None
    article_number: str | None
    name: str
    unit: str
    quantity_milli: int
    unit_price_minor: int
    vat_rate: int
    gross_minor: int
    says: Refusal


@dataclass(frozen=True, slots=True)
class KlarnaBlock:
    """What stands in the top right corner when a refund will be sent (K10-K12)."""

    original_number: str | None
    order_id: str
    reference: str | None
    refundable_minor: int
    after_minor: int
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreditForm:
    """What the form shows. ``refusal`` says why the button is off; None when it is on."""

    id: int
    version: int
    invoice_id: int
    invoice_number: str
    order_id: int | None
    order_number: int | None
    customer: str
    customer_number: int
    currency: str
    made_by: str
    rows: Sequence[CreditRow]
    removed: Sequence[CreditRow]
    added: Sequence[NewRow]
    removed_new: Sequence[NewRow]
    shown: Shown | None
    no_return_fee: Refusal | None
    no_return_freight: Refusal | None
    no_restock: Refusal | None
    adjust: Sequence[Adjustment]
    sums: Figures
    sendable: bool
    with_klarna: bool
    reason: WithoutKlarna | None
    klarna: KlarnaBlock | None
    restock: bool
    restockable: bool
    warehouse_id: int | None
    warehouses: Sequence[tuple[int, str]]
    others: Sequence[Related]
    refusal: Refusal | None
    difference: Refusal | None
    difference_minor: int
    warnings: Sequence[Refusal]
    deducted: Refusal | None


_DRAFT = (
    select(Document)
    .where(Document.id == bindparam("draft_id"))
    .options(joinedload(Document.original), joinedload(Document.order), joinedload(Document.customer))
)


def is_draft(session: Session, document_id: int) -> bool:
    """Whether a credit note is still a draft. Raises NotFound for what is no credit note."""
    document = documents.get(session, document_id)
    if document.kind is not DocKind.CREDIT_NOTE:
        raise NotFound
    return document.state is DocState.DRAFT


def order_of(session: Session, draft_id: int) -> tuple[int, datetime | None] | None:
    """The Klarna order a draft may be sent on and when it was last read; None when nothing can be sent."""
    draft = documents.get(session, draft_id)
    invoice, order = credit_drafts.original(draft), draft.order
    if invoice.issued_by_op_id is None or order is None or order.klarna_order_id is None:
        return None
    return order.id, order.klarna_read_at


def require_shown(session: Session, draft_id: int, version: int) -> None:
    """Let pass what is no draft any more, and a draft that is as the form showed it, locked. Raises Stale (operations 12)."""
    draft = documents.get(session, draft_id, lock=True)
    if draft.state is DocState.DRAFT and draft.version != version:
        raise Stale(N_("The draft has been changed meanwhile. What stands there now is shown; look it through again."))


def form(session: Session, actor: Actor, draft_id: int) -> CreditForm:
    """The form of a draft. Raises NotFound for anything else."""
    draft = session.scalar(_DRAFT, {"draft_id": draft_id})
    if draft is None or draft.type is not DocType.CREDIT or draft.state is not DocState.DRAFT:
        raise NotFound
    draft_store.load_rows(session, draft)
    return form_of(session, actor, draft)


def form_of(session: Session, actor: Actor, draft: Document, *, whole: bool = True) -> CreditForm:
    """The form of a draft that has been loaded, in a transaction that has just changed it as well.

    Without ``whole`` what no key that is typed can change is left out: the customer, other drafts on the invoice, and the
    warehouses.
    """
    invoice, order = credit_drafts.original(draft), draft.order
    done = credited.credited(session, invoice.id)
    capture = captured_elsewhere.capture_of(session, invoice)
    marked = captured_elsewhere.marked_rows(invoice, capture)
    rows = [_row(session, line, done, marked) for line in draft.lines if not new_rows.is_new(line)]
    new = [line for line in draft.lines if new_rows.is_new(line)]
    kept = [row for row in rows if not row.removed or not row.removable]
    sums = credit_drafts.figures(session, draft)
    klarna = _block(capture, order, sums.gross_minor) if draft.with_klarna and order is not None else None
    difference, difference_minor = drift.shown(session, order) if klarna and order else (None, 0)
    return CreditForm(
        id=draft.id,
        version=draft.version,
        invoice_id=invoice.id,
        invoice_number=invoice.number_text or "",
        order_id=draft.order_id,
        order_number=order.number if order else None,
        customer=draft.customer.name if whole else "",
        customer_number=draft.customer.number if whole else 0,
        currency=draft.currency,
        made_by=draft.created_by,
        rows=kept if any(row.removable for row in kept) else [],
        removed=[row for row in rows if row.removed and row.removable],
        added=[_new_row(line, draft.currency) for line in new if not line.removed],
        removed_new=[_new_row(line, draft.currency) for line in new if line.removed],
        shown=refund_lines.shown(session, draft),
        no_return_fee=refund_lines.why_no_return_fee(session, draft) if any(map(_is_freight, new)) else None,
        no_return_freight=credit_rows.why_no_return_freight(draft),
        no_restock=new_rows.why_no_restock(draft),
        adjust=adjustments.of(session, draft),
        sums=sums,
        sendable=invoice.issued_by_op_id is not None
        and draft.without_klarna_reason is not WithoutKlarna.NOTHING_TO_PAY,
        with_klarna=draft.with_klarna,
        reason=draft.without_klarna_reason,
        klarna=klarna,
        restock=draft.restock,
        restockable=any(row.stock_kept for row in rows),
        warehouse_id=draft.restock_warehouse_id,
        warehouses=[(each.id, each.name) for each in deliveries.warehouses(session)] if whole else (),
        others=_others(session, draft, invoice) if whole else (),
        refusal=_why_not(session, actor, draft, sums, klarna),
        difference=difference,
        difference_minor=difference_minor,
        warnings=captured_elsewhere.warnings_of(draft, marked),
        deducted=advances.deducted_on(session, invoice.id) if invoice.type is DocType.ADVANCE else None,
    )


def _row(session: Session, line: DocumentLine, done: Mapping[int, Credited], marked: Mapping[int, Marked]) -> CreditRow:
    original = line.original_line
    held = done.get(original.id, NOTHING) if original else NOTHING
    invoiced = original.quantity_milli if original else 0
    return CreditRow(
        id=line.id,
        position=line.position,
        article_number=line.article_number,
        name=line.name,
        unit=line.unit,
        unit_price_minor=line.unit_price_minor,
        discount_minor=original.discount_minor if original else 0,
        vat_rate=line.vat_rate,
        invoiced_milli=invoiced,
        credited_milli=held.quantity_milli,
        left_milli=invoiced - held.quantity_milli,
        quantity_milli=line.quantity_milli,
        gross_minor=0 if line.kind is LineKind.ROUNDING and line.removed else line.gross_minor,
        stock_kept=credit_drafts.stock_kept(line),
        restock_milli=line.restock_milli,
        condition=Condition(line.restock_condition or Condition.WHOLE),
        removed=line.removed,
        kind=line.kind,
        percent=original.document.advance_percent if original and line.kind is LineKind.ADVANCE else None,
        deducts=session.get_one(Document, line.deducts_id).number_text if line.deducts_id else None,
        marked=marked.get(original.position) if original else None,
    )


def _new_row(line: DocumentLine, currency: str) -> NewRow:
    return NewRow(
        id=line.id,
        kind=line.kind,
        article_id=line.article_id,
        article_number=line.article_number,
        name=line.name,
        unit=line.unit,
        quantity_milli=line.quantity_milli,
        unit_price_minor=line.unit_price_minor,
        vat_rate=line.vat_rate,
        gross_minor=line.gross_minor,
        says=new_rows.words(line, currency),
    )


def _is_freight(line: DocumentLine) -> bool:
    return line.kind is LineKind.RETURN_FEE


def _block(capture: Capture | None, order: Order, gross_minor: int) -> KlarnaBlock:
    refundable = (order.captured_minor or 0) - (order.refunded_minor or 0)
    return KlarnaBlock(
        original_number=capture.number if capture else None,
        order_id=order.klarna_order_id or "",
        reference=order.klarna_reference,
        refundable_minor=refundable,
        after_minor=refundable - gross_minor,
        read_at=order.klarna_read_at,
    )


def _others(session: Session, draft: Document, invoice: Document) -> list[Related]:
    """Other drafts, and what waits or was refused, on the same invoice."""
    query = (
        select(Document)
        .where(
            Document.original_id == invoice.id,
            Document.id != draft.id,
            Document.state.in_((DocState.DRAFT, DocState.PENDING, DocState.REFUSED)),
        )
        .order_by(Document.id)
    )
    return [related(each, latest(session, each)) for each in session.scalars(query)]


def _why_not(
    session: Session, actor: Actor, draft: Document, sums: Figures, klarna: KlarnaBlock | None
) -> Refusal | None:
    """Why the button is off; what it says is said again on the server (K15, K26, K32, K33, B31)."""
    currency, invoice = draft.currency, credit_drafts.original(draft)
    if draft.order is not None:
        refusal = orders.open_operation_refusal(session, draft.order)
        if refusal is not None:
            return refusal
    try:
        if draft.order is not None:
            orders.require_nothing_refused(session, draft.order, invoice)
        if klarna is not None:
            operations.require_sending(session)
        credit_notes.require_sum(sums, currency, even=credit_notes.is_even(draft))
    except Refusal as no:
        return no
    if klarna is not None and klarna.read_at is not None and klarna.after_minor < 0:
        outside = drift.refunded_outside(session, draft.order) if draft.order is not None else 0
        return looks.not_refundable(klarna.refundable_minor, sums.gross_minor, outside, currency)
    return document_acts.why_not_exceed(session, actor, sums.gross_minor, currency)
