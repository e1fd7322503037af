"""«Bokför»: an act made outside Kvitta gets its document, numbered, issued and booked in one transaction.

Amounts are minor units. Owns its transactions; a look made at that moment shows that the act is there.
Source: operations 9 and 13; F24, B20, K31; catalogue 79; security 33.
"""

from __future__ import annotations

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BadInput, BrokenRule, NotFound, Refusal
from models import Document, DocumentLine, KlarnaBreak, KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import (
    adoption_rows,
    breaks,
    credit_drafts,
    credit_notes,
    currencies,
    documents,
    drift,
    goods_back,
    invoices,
    operations,
    orders,
    reservations,
)
from services.adoption_rows import Wish
from services.documents import Row
from services.gateway import Gateway
from services.looks import Found, Line, Look
from states import BreakKind, BreakState, DocKind, DocState, DocType, LineKind, OpKind, OpState

log = structlog.get_logger()

ACTS = (
    BreakKind.CAPTURE_UNKNOWN,
    BreakKind.REFUND_UNKNOWN,
    BreakKind.DUPLICATE_NUMBER,
    BreakKind.ROW_CONTRADICTS_DECISION,
)
"""Differences that speak of a capture or a refund, which can get a document."""
DOCUMENT_OF = {OpKind.CAPTURE: DocKind.INVOICE, OpKind.REFUND: DocKind.CREDIT_NOTE}


def adopt(klarna: Gateway, actor: Actor, break_id: int, wish: Wish, nonce: str) -> int:
    """Let a document stand for the act of a difference; returns its id. The same form again leads to the same document.

    Raises NotReached while Klarna cannot be asked, Stale when somebody settled it meanwhile, BadInput for rows that do not
    come to the amount, Refusal where a limit stands in the way; nothing is done then and no number is taken.
    """
    actor.require(Right.DECIDE)
    with db.reading() as session:
        earlier = operations.earlier_use(session, actor, nonce, breaks.ADOPT, str(break_id), wish.values)
        if earlier is not None:
            return int(earlier)
        found = breaks.get(session, break_id)
        breaks.require_open(found)
        order_id = order_of(found)
    look = reservations.look_at(klarna, order_id)
    return db.transact(lambda session: _adopt(session, actor, break_id, wish, nonce, look))


def order_of(found: KlarnaBreak) -> int:
    """The order whose act a difference speaks of. Raises NotFound for other differences."""
    if found.kind not in ACTS or found.order_id is None:
        raise NotFound
    return found.order_id


def _adopt(session: Session, actor: Actor, break_id: int, wish: Wish, nonce: str, look: Look) -> int:
    found = breaks.get(session, break_id, lock=True)
    earlier = operations.earlier_use(session, actor, nonce, breaks.ADOPT, str(break_id), wish.values)
    if earlier is not None:
        return int(earlier)
    breaks.require_open(found)
    operations.require_sending(session)
    order = orders.get(session, order_of(found), lock=True)
    drift.require_same_currency(order, look)
    foreign = currencies.why_not_booked(order.currency)
    if foreign is not None:
        raise foreign
    op = external_of(session, found)
    if op is None:
        raise Refusal(N_("Klarna does not show it on the purchase. Nothing has been booked."))
    shown = shown_at_klarna(op, look)
    waits = orders.open_operation(session, order)
    if op.kind is OpKind.CAPTURE and waits is not None and waits.kind is OpKind.UPDATE_AUTH:
        # Its answer replaces the rows that would be invoiced here.
        orders.require_no_open_operation(session, order)
    same = drift.proved_by(session, op)
    if same is not None and wish.document_id != same.id:
        raise Refusal(
            N_("It bears the number of %(number)s, which is refused and of the same amount: choose that document."),
            number=same.number_text,
        )
    if wish.document_id is not None:
        document = _refused(session, actor, order, op, wish.document_id)
    elif op.kind is OpKind.CAPTURE:
        document = _new_invoice(session, actor, order, op, shown, wish)
    else:
        document = _new_credit_note(session, actor, order, op, wish)
    operations.use_form(session, actor, nonce, breaks.ADOPT, str(break_id), wish.values, str(document.id))
    if found.op_id != op.id and found.state is BreakState.OPEN:
        breaks.close(session, actor, found, breaks.ADOPT, document.number_text or "", document.id)
    orders.refresh(session, order.id)
    log.info("klarna.adopted", break_id=break_id, document_id=document.id)
    return document.id


def external_of(session: Session, found: KlarnaBreak) -> KlarnaOp | None:
    """The act made elsewhere that a difference speaks of and no document stands for; None while Klarna has not shown it."""
    query = select(KlarnaOp).where(
        KlarnaOp.order_id == found.order_id, KlarnaOp.state == OpState.EXTERNAL, KlarnaOp.document_id.is_(None)
    )
    by_id = session.scalar(query.where(KlarnaOp.id == found.op_id).with_for_update())
    if by_id is not None or not found.found:
        return by_id
    return session.scalar(query.where(KlarnaOp.klarna_object_id == found.found).with_for_update())


def shown_at_klarna(op: KlarnaOp, look: Look) -> Found:
    """The capture or refund as the look shows it. Raises Refusal when it is not there, or is of another amount now."""
    for each in look.objects(op.kind):
        same = each.object_id == op.klarna_object_id if op.klarna_object_id else each.reference == op.reference
        if same and each.amount_minor == op.amount_minor:
            return each
    raise Refusal(N_("Klarna does not show it on the purchase. Nothing has been booked."))


def _refused(session: Session, actor: Actor, order: Order, op: KlarnaOp, document_id: int) -> Document:
    """A refused document becomes what the act stands for, under its own number (operations 13)."""
    document = documents.get(session, document_id, lock=True)
    fitting = document.order_id == order.id and document.kind is DOCUMENT_OF[op.kind]
    if not fitting or document.state is not DocState.REFUSED:
        raise BadInput(N_("Choose one of the values in the list."), field="document_id")
    if document.gross_minor != op.amount_minor:
        raise BadInput(
            N_("That one is %(found)s, not %(wanted)s."),
            field="document_id",
            found=Amount(document.gross_minor or 0, document.currency),
            wanted=Amount(op.amount_minor or 0, document.currency),
        )
    if document.kind is DocKind.INVOICE:
        invoices.require_fits(session, document)
    else:
        credit_notes.require_fits(session, document)
    reservations.issue_by_external(session, actor, document, op)
    return document


def _document(session: Session, actor: Actor, order: Order, doc_type: DocType, invoice: Document | None) -> Document:
    """A draft of an invoice, or of a credit note on ``invoice``; numbered and issued in this same transaction."""
    now = clock.now()
    document = Document(
        kind=DocKind.INVOICE if invoice is None else DocKind.CREDIT_NOTE,
        type=doc_type,
        state=DocState.DRAFT,
        order=order,
        original=invoice,
        party=invoice.party if invoice is not None else None,
        customer_id=order.customer_id,
        currency=order.currency,
        with_klarna=True,
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=now,
        changed_at=now,
    )
    session.add(document)
    session.flush()
    return document


def _new_invoice(session: Session, actor: Actor, order: Order, op: KlarnaOp, shown: Found, wish: Wish) -> Document:
    """A new invoice on the chosen rows, issued by the capture: booked once, its rows keep the references Klarna holds."""
    rows = adoption_rows.rows_of_capture(session, order, op.amount_minor or 0, wish)
    delivered = DocType.DELIVERY if orders.to_invoice(session, order, delivered_only=True) else DocType.FINAL
    advance = any(row.kind is LineKind.ADVANCE for row in rows)
    document = _document(session, actor, order, DocType.ADVANCE if advance else delivered, None)
    session.add_all(_line(document, row, shown.lines) for row in rows)
    session.flush()
    session.refresh(document)
    _issue(session, actor, document, op)
    invoices.issue(session, actor, document, None, op.klarna_event_at or clock.now())
    return document


def _line(document: Document, row: Row, lines: tuple[Line, ...]) -> DocumentLine:
    return DocumentLine(
        document_id=document.id,
        position=row.position,
        kind=row.kind,
        order_line_id=row.order_line_id,
        article_id=row.article_id,
        article_number=row.article_number,
        name=row.name,
        unit=row.unit,
        quantity_milli=row.quantity_milli,
        unit_price_minor=row.unit_price_minor,
        discount_minor=row.discount_minor,
        gross_minor=row.gross_minor,
        vat_rate=row.vat_rate,
        vat_minor=row.vat_minor,
        klarna_reference=adoption_rows.reference_of(lines, row.article_number, row.name, row.unit_price_minor),
    )


def _new_credit_note(session: Session, actor: Actor, order: Order, op: KlarnaOp, wish: Wish) -> Document:
    """A new credit note on the chosen rows of an invoice, issued by the refund; goods come back to stock where ticked."""
    invoice = adoption_rows.invoice_of(session, order.id, wish.invoice_id)
    draft = _document(session, actor, order, DocType.CREDIT, invoice)
    draft.restock = wish.restock
    draft.restock_warehouse_id = credit_drafts.delivered_from(session, invoice)
    session.flush()
    session.add_all(adoption_rows.lines_of_refund(session, draft, invoice, op.amount_minor or 0, wish))
    session.flush()
    session.refresh(draft)
    for line in draft.lines if wish.restock else ():
        line.restock_milli = goods_back.returnable(session, line) if credit_drafts.stock_kept(line) else 0
    credit_notes.require_sum(credit_drafts.figures(session, draft), draft.currency)
    goods_back.hold(session, draft)
    _issue(session, actor, draft, op)
    credit_notes.issue(session, actor, draft, None, op.klarna_event_at or clock.now())
    return draft


def _issue(session: Session, actor: Actor, document: Document, op: KlarnaOp) -> None:
    """Number and freeze a new document as issued by an act made elsewhere; one that was void before is named by it."""
    stood_before = replaced(session, op)
    document.replaces_id = stood_before.id if stood_before is not None else None
    session.flush()
    documents.number_and_freeze(
        session, document, DocState.ISSUED, actor, reason=breaks.ADOPT, issued_by_op_id=op.id
    )  # fmt: skip
    if document.gross_minor != op.amount_minor:
        raise BrokenRule("an adopted document comes to the amount at Klarna")
    drift.tie(session, actor, op, document)


def replaced(session: Session, op: KlarnaOp) -> Document | None:
    """The void or refused document whose number stands at Klarna on an act of another document's (operations 9)."""
    if op.reference is None:
        return None
    return session.scalar(
        select(Document).where(
            Document.order_id == op.order_id,
            Document.number_text == op.reference,
            Document.kind == DOCUMENT_OF[op.kind],
            Document.state.in_((DocState.VOID, DocState.REFUSED)),
        )
    )


def made(session: Session, document_id: int, break_id: int) -> tuple[DocKind, bool]:
    """The kind of an adopted document, and whether a settlement told of its act."""
    return documents.get(session, document_id).kind, breaks.get(session, break_id).payout_id is not None
