"""Drafts of credit notes: opened from the invoice, edited in place, kept in the database until created or discarded.

Amounts are minor units including VAT, quantities thousandths. Source: K8, K21-K26, K33, K38.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, BrokenRule, NotFound, Refusal, Stale
from models import Delivery, DeliveryLine, Document, DocumentLine, Warehouse
from rights import Actor, Right
from services import advance_credits, advances, audit, documents, draft_store, new_rows
from services.credited import NOTHING, Credited, credited, credited_total, left_of, why_not_credited
from services.documents import VatSum
from services.goods_back import returnable
from states import DocKind, DocState, DocType, LineKind, WithoutKlarna

REASONS = (WithoutKlarna.CREDITED_IN_PORTAL, WithoutKlarna.EVEN_EXCHANGE)
"""The reasons a clerk may give for sending nothing (K20)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums of a draft, as the sticky sum and the button show them. Minor units."""

    gross_minor: int
    vat: Sequence[VatSum]
    most_minor: int
    invoice_minor: int
    credited_minor: int
    rows: int
    given_back_minor: int = 0
    charged_minor: int = 0

    @property
    def vat_minor(self) -> int:
        """VAT of the whole draft."""
        return sum(part.vat_minor for part in self.vat)


# --- Drafts ----------------------------------------------------------------------------------------------------------------


def start(session: Session, actor: Actor, invoice_id: int) -> Document:
    """Open «Ny kreditfaktura» on an invoice: the person's own untouched draft, or a new one with all that is left (K8, K26)."""
    actor.require(Right.CREDIT)
    invoice = documents.get(session, invoice_id, lock=True)
    refusal = why_not_credited(session, invoice)
    if refusal is not None:
        raise refusal
    mine = session.scalar(
        select(Document).where(
            Document.original_id == invoice.id, Document.state == DocState.DRAFT, Document.created_by_id == actor.id
        )
    )
    if mine is not None:
        refresh_draft(session, mine)
        return mine
    now = clock.now()
    done = credited(session, invoice.id)
    draft = Document(
        kind=DocKind.CREDIT_NOTE,
        type=DocType.CREDIT,
        state=DocState.DRAFT,
        order_id=invoice.order_id,
        customer_id=invoice.customer_id,
        original=invoice,
        currency=invoice.currency,
        with_klarna=invoice.issued_by_op_id is not None,
        without_klarna_reason=None
        if invoice.issued_by_op_id is not None
        else invoice.without_klarna_reason or WithoutKlarna.ORDINARY,
        party=invoice.party,
        restock_warehouse_id=delivered_from(session, invoice),
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=now,
        changed_at=now,
    )
    session.add(draft)
    session.flush()
    for line in invoice.lines:
        left = left_of(line, done)
        if left > 0:
            session.add(draft_line(draft, line, left, done))
    session.flush()
    session.refresh(draft)
    advance_credits.reprice(session, draft, done)
    session.flush()
    return draft


def delivered_from(session: Session, invoice: Document) -> int | None:
    """The warehouse the goods left, else the first active one (K25)."""
    held = [line.order_line_id for line in invoice.lines if line.order_line_id is not None]
    found = session.scalar(
        select(Delivery.warehouse_id)
        .join(DeliveryLine, DeliveryLine.delivery_id == Delivery.id)
        .where(DeliveryLine.order_line_id.in_(held))
        .order_by(Delivery.ordinal.desc())
        .limit(1)
    )
    if found is not None:
        return found
    return session.scalar(select(Warehouse.id).where(Warehouse.active.is_(True)).order_by(Warehouse.id).limit(1))


def draft_line(draft: Document, line: DocumentLine, quantity_milli: int, done: Mapping[int, Credited]) -> DocumentLine:
    """A row of a draft that credits so many thousandths of an invoice's row; its amounts follow from that row (K38)."""
    copy = DocumentLine(
        document_id=draft.id,
        position=line.position,
        kind=line.kind,
        original_line_id=line.id,
        deducts_id=line.deducts_id,
        article_id=line.article_id,
        article_number=line.article_number,
        name=line.name,
        unit=line.unit,
        quantity_milli=quantity_milli,
        unit_price_minor=line.unit_price_minor,
        vat_rate=line.vat_rate,
        klarna_reference=line.klarna_reference,
    )
    _price(copy, line, done.get(line.id, NOTHING))
    return copy


def _priced(line: DocumentLine, done: Credited, quantity_milli: int) -> dict[str, int]:
    """Amount, discount and VAT of a credited row follow from the original row; the last credit takes the rest (K38, A11)."""

    def share(total: int, taken: int) -> int:
        return money.next_share(total, line.quantity_milli, done.quantity_milli, taken, quantity_milli)

    return {
        "gross_minor": share(line.gross_minor, done.gross_minor),
        "discount_minor": share(line.discount_minor, done.discount_minor),
        "vat_minor": share(line.vat_minor, done.vat_minor),
    }


def _price(copy: DocumentLine, line: DocumentLine, done: Credited) -> None:
    for name, amount in _priced(line, done, copy.quantity_milli).items():
        setattr(copy, name, amount)


def get_draft(session: Session, actor: Actor, draft_id: int, version: int | None = None) -> Document:
    """A draft, locked, for changing. Raises NotFound, Refusal when it is a draft no more, Stale for an older version."""
    actor.require(Right.CREDIT)
    draft = documents.get(session, draft_id, lock=True)
    if draft.type is not DocType.CREDIT:
        raise NotFound
    if draft.state is not DocState.DRAFT:
        raise Refusal(
            N_("The credit note has been created and can no longer be changed."),
            link=("credit_notes.show", {"document_id": draft.id}),
        )
    if version is not None and draft.version != version:
        raise Stale(N_("The draft has been changed meanwhile. What stands there now is shown; look it through again."))
    return draft


def line_of(draft: Document, line_id: int) -> DocumentLine:
    """A row of a draft. Raises NotFound for one of another."""
    for line in draft.lines:
        if line.id == line_id:
            return line
    raise NotFound


def _to_restock(session: Session, draft: Document, line: DocumentLine) -> int:
    return returnable(session, line) if draft.restock and stock_kept(line) else 0


def set_quantity(session: Session, actor: Actor, draft_id: int, line_id: int, text: str) -> Document:
    """Take a quantity as typed, at most what is left of the row (K21, K23). Raises BadInput, and saves nothing then."""
    draft = get_draft(session, actor, draft_id)
    draft_store.load(session, draft)
    line = line_of(draft, line_id)
    if line.original_line is None:
        raise BadInput(N_("This row is not from the invoice."), field=f"quantity-{line_id}")
    _require_counted(line, f"quantity-{line_id}", *advances.KINDS, LineKind.ROUNDING)
    done = credited(session, line.original_line.document_id)
    quantity = money.parse_quantity(text, field=f"quantity-{line_id}")
    require_left(line.original_line, quantity, done, field=f"quantity-{line_id}")
    amounts = _priced(line.original_line, done.get(line.original_line.id, NOTHING), quantity)
    before = (line.quantity_milli, line.gross_minor, line.vat_minor)
    if before == (quantity, amounts["gross_minor"], amounts["vat_minor"]):
        return draft
    restock = min(line.restock_milli, quantity)
    draft_store.write(session, line, quantity_milli=quantity, restock_milli=restock, **amounts)
    restock = _to_restock(session, draft, line)
    if restock != line.restock_milli:
        line.restock_milli = restock
    advance_credits.reprice(session, draft, done)
    draft_store.write(session, draft, version=draft.version + 1, changed_at=clock.now())
    if session.dirty:
        session.flush()
    return draft


def _require_counted(line: DocumentLine, field: str, *kinds: LineKind) -> None:
    if line.kind in kinds:
        raise BadInput(N_("The amount of this row follows from the others and cannot be changed."), field=field)


def require_left(
    line: DocumentLine, quantity_milli: int, done: Mapping[int, Credited], field: str | None = None
) -> None:
    """Let pass a quantity that is left to credit of an invoice's row. Raises BadInput (K21)."""
    left = left_of(line, done)
    if quantity_milli > left == line.quantity_milli:
        raise BadInput(
            N_("At most %(left_milli)s can be credited: so many have been invoiced."), field=field, left_milli=left
        )
    if quantity_milli > left:
        raise BadInput(
            N_(
                "At most %(left_milli)s can be credited: %(invoiced_milli)s have been invoiced "
                "and %(credited_milli)s is already credited."
            ),
            field=field,
            left_milli=max(left, 0),
            invoiced_milli=line.quantity_milli,
            credited_milli=line.quantity_milli - left,
        )
    if quantity_milli % 1000 and line.quantity_milli % 1000 == 0:
        raise BadInput(N_("The row counts whole pieces."), field=field)


def remove_row(session: Session, actor: Actor, draft_id: int, line_id: int) -> Document:
    """«Ta bort rad»: the row waits among the removed ones (K26)."""
    return _set_removed(session, actor, draft_id, line_id, True)


def put_back_row(session: Session, actor: Actor, draft_id: int, line_id: int) -> Document:
    """«Lägg tillbaka rad» (K26)."""
    return _set_removed(session, actor, draft_id, line_id, False)


def _set_removed(session: Session, actor: Actor, draft_id: int, line_id: int, removed: bool) -> Document:
    draft = get_draft(session, actor, draft_id)
    line = line_of(draft, line_id)
    _require_counted(line, f"quantity-{line_id}", LineKind.ADVANCE_DEDUCTION, LineKind.ROUNDING)
    line.removed = removed
    reprice(session, draft)
    return touch(session, draft)


def set_options(
    session: Session,
    actor: Actor,
    draft_id: int,
    *,
    restock: bool,
    warehouse_id: int | None,
    without_klarna: bool,
    reason: str,
) -> Document:
    """Keep the boxes of the draft as they are ticked (K20, K24, K25). Raises BadInput for a choice that is not offered."""
    draft = get_draft(session, actor, draft_id)
    if restock:
        new_rows.require_no_exchange(draft)
    if warehouse_id is not None:
        warehouse = session.get(Warehouse, warehouse_id)
        if warehouse is None or not warehouse.active:
            raise BadInput(N_("Choose a warehouse from the list."), field="warehouse_id")
        draft.restock_warehouse_id = warehouse_id
    changed, draft.restock = draft.restock != restock, restock
    if changed:
        for line in draft.lines:
            line.restock_milli = _to_restock(session, draft, line)
    if original(draft).issued_by_op_id is not None:
        draft.with_klarna = not without_klarna
        draft.without_klarna_reason = read_reason(reason) if without_klarna and reason else None
        advance_credits.reprice(session, draft, credited(session, original(draft).id))
    return touch(session, draft)


def set_restock(session: Session, actor: Actor, draft_id: int, line_id: int, text: str) -> Document:
    """How much of a credited row goes back to stock, thousandths, at most what is credited (K24). Raises BadInput."""
    draft = get_draft(session, actor, draft_id)
    draft_store.load(session, draft)
    line = line_of(draft, line_id)
    field = f"restock-{line_id}"
    quantity = money.parse_quantity(text, field=field, zero=True)
    if not draft.restock or not stock_kept(line):
        raise BadInput(N_("Nothing of this row goes back to stock."), field=field)
    if quantity > line.quantity_milli:
        raise BadInput(N_("No more than what is credited can go back to stock."), field=field)
    if quantity > returnable(session, line):
        raise BadInput(N_("No more than what has been delivered can go back to stock."), field=field)
    line.restock_milli = quantity
    return touch(session, draft)


def stock_kept(line: DocumentLine) -> bool:
    """Whether a row's article lies in stock, so that it can be put back (K24)."""
    return line.kind is LineKind.ARTICLE and line.article is not None and line.article.stock_kept


def read_reason(reason: str) -> WithoutKlarna:
    """The reason chosen for sending nothing. Raises BadInput (K20)."""
    for known in REASONS:
        if reason == known:
            return known
    raise BadInput(N_("Choose why nothing is to be credited at Klarna."), field="reason")


def original(draft: Document) -> Document:
    """The invoice a draft or credit note refers to. Raises BrokenRule for a free-standing one."""
    if draft.original is None:
        raise BrokenRule("a credit draft has its invoice")
    return draft.original


def touch(session: Session, draft: Document) -> Document:
    """Say that a draft has changed: an older form of it is stale from here on."""
    draft.version += 1
    draft.changed_at = clock.now()
    session.flush()
    return draft


def reprice(session: Session, draft: Document) -> bool:
    """Compute every row anew from what is left now; True when something changed. Rows with nothing left are removed."""
    done = credited(session, original(draft).id)
    changed = False
    for line in draft.lines:
        if line.original_line is None or line.kind in advances.KINDS:
            continue
        before = (line.quantity_milli, line.restock_milli, line.gross_minor, line.vat_minor, line.removed)
        left = left_of(line.original_line, done)
        if left <= 0:
            line.removed, line.quantity_milli, line.restock_milli = True, 0, 0
            line.gross_minor = line.vat_minor = line.discount_minor = 0
        else:
            quantity = min(line.quantity_milli or left, left)
            # Together: a question asked in between would write a row that puts back more than it credits.
            line.restock_milli, line.quantity_milli = min(line.restock_milli, quantity), quantity
            if line.restock_milli:
                line.restock_milli = min(line.restock_milli, returnable(session, line))
            _price(line, line.original_line, done.get(line.original_line.id, NOTHING))
        after = (line.quantity_milli, line.restock_milli, line.gross_minor, line.vat_minor, line.removed)
        changed = changed or before != after
    changed = new_rows.reprice(session, draft) or changed
    return advance_credits.reprice(session, draft, done) or changed


def refresh_draft(session: Session, draft: Document) -> bool:
    """Bring a draft up to what can be credited now; True when it differs from what was saved."""
    changed = reprice(session, draft)
    if changed:
        touch(session, draft)
    return changed


def discard(session: Session, actor: Actor, draft_id: int) -> None:
    """«Ta bort utkastet»: a draft has no number and leaves no trace in the series."""
    draft = get_draft(session, actor, draft_id)
    audit.write(
        session, actor, "credit_note.discarded", f"document:{draft.id}", {"invoice": original(draft).number_text}
    )
    for line in list(draft.lines):
        session.delete(line)
    session.flush()
    session.delete(draft)


def figures(session: Session, draft: Document) -> Figures:
    """The sums of a draft and the most it may come to (K33)."""
    lines = documents.lines_of(draft)
    invoice = original(draft)
    done = credited_total(session, invoice.id, besides=draft.id)
    return Figures(
        gross_minor=sum(line.gross_minor for line in lines),
        vat=documents.vat_sums(lines),
        most_minor=max((invoice.gross_minor or 0) - done, 0),
        invoice_minor=invoice.gross_minor or 0,
        credited_minor=done,
        rows=len(lines),
        given_back_minor=sum(-line.gross_minor for line in lines if line.kind is LineKind.ADVANCE_DEDUCTION),
        charged_minor=new_rows.charged(lines),
    )
