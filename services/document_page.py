"""A document's page as plain values: frozen content, payment, credit notes, vouchers, stock, history, what can be done.

Amounts are minor units including VAT, quantities thousandths, rates hundredths of a percent. Pure reading.
Source: screens, "Invoice page and list"; F9, F24, K12, K13, B1, B7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import Refusal
from models import (
    Article,
    Document,
    DocumentEvent,
    DocumentLine,
    KlarnaOp,
    KlarnaOpEvent,
    Payout,
    PayoutRow,
    RowMatch,
    StockMovement,
    Voucher,
    Warehouse,
)
from rights import Actor
from services import document_acts, document_outcome, documents, invoices, ledger, payments
from services.document_outcome import Outcome
from services.invoices import Choices
from services.klarna_refusal import latest
from states import DocKind, DocState, DocType, OpState, PaymentKind, PayoutState, RefusalKind, WithoutKlarna

MAIN_TYPES = frozenset({"SALE", "RETURN"})
"""Settlement rows that are the document's own amount; of the rest those with fee in their name are Klarna's cost."""
MOST_EVENTS = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A frozen row; ``restock_milli`` and ``reference`` where there are any."""

    position: int
    kind: str
    article_number: str | None
    name: str
    unit: str
    quantity_milli: int
    unit_price_minor: int
    discount_minor: int
    gross_minor: int
    vat_rate: int
    vat_minor: int
    reference: str | None
    percent: int | None
    deducts: str | None


@dataclass(frozen=True, slots=True)
class Vat:
    """Taxable amount and VAT of one rate."""

    rate: int
    net_minor: int
    vat_minor: int


@dataclass(frozen=True, slots=True)
class AtKlarna:
    """Where a document stands at Klarna, for the block and for the icon's sentence (F24)."""

    order_id: str
    reference: str | None
    object_id: str | None
    number: str | None
    at: datetime | None
    outside: bool


@dataclass(frozen=True, slots=True)
class Payment:
    """How a document was settled: the three rows of B1, and what remains. All in minor units.

    ``bank`` is what came in (for a credit note what went out, negative), ``fee`` and ``fee_vat`` Klarna's cost;
    they and ``other`` add up to the amount that the settlement closed.
    """

    state: str
    gross_minor: int
    open_minor: int
    bank_minor: int | None = None
    fee_minor: int = 0
    fee_vat_minor: int = 0
    other_minor: int = 0
    payout_id: int | None = None
    payout_date: date | None = None
    payment_reference: str | None = None
    by_hand: Sequence[payments.Row] = ()
    no_payment: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Related:
    """Another document named on the page."""

    id: int
    kind: DocKind
    state: DocState
    number: str | None
    day: date | None
    gross_minor: int
    made_by: str
    badge: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Movement:
    """Stock that the document moved, thousandths."""

    article_id: int
    article: str
    warehouse: str
    quantity_milli: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history: a move of the document or of its operation."""

    at: datetime
    who: str
    document_state: DocState | None
    op_state: OpState | None
    detail: str


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Everything a document's page and its paper show."""

    id: int
    kind: DocKind
    type: DocType
    state: DocState
    number: str
    currency: str
    number_date: date | None
    issue_date: date | None
    made_by: str
    customer_id: int
    customer_number: int
    order_id: int | None
    order_number: int | None
    original: Related | None
    original_klarna: AtKlarna | None
    party: Mapping[str, str]
    snapshot: Mapping[str, Any]
    lines: Sequence[Line]
    vat: Sequence[Vat]
    gross_minor: int
    vat_minor: int
    with_klarna: bool
    paid_by_klarna: bool
    without_klarna: WithoutKlarna | None
    chosen: Choices
    due_date: date | None
    ocr: str | None
    icon: str | None
    klarna: AtKlarna | None
    outcome: Outcome
    payment: Payment | None
    credit_notes: Sequence[Related]
    vouchers: Sequence[tuple[int, str, str]]
    movements: Sequence[Movement]
    events: Sequence[Event]
    no_credit: Refusal | None

    @property
    def is_open(self) -> bool:
        """Whether Klarna's answer is still waited for."""
        return self.state is DocState.PENDING


def overview(session: Session, actor: Actor, document_id: int, kind: DocKind | None = None) -> DocumentPage:
    """The page of a numbered document. Raises NotFound, also for one of the other kind and for a draft."""
    document = documents.get_numbered(session, document_id, kind)
    op = latest(session, document)
    settled = op if document.issued_by_op_id is not None else None
    outcome = document_outcome.outcome(session, actor, document)
    snapshot = json.loads(document.snapshot or "{}")
    order, original = document.order, document.original
    speaking = op.state if op is not None and (settled is not None or document.state is DocState.PENDING) else None
    return DocumentPage(
        id=document.id,
        kind=document.kind,
        type=document.type,
        state=document.state,
        number=document.number_text or "",
        currency=document.currency,
        number_date=document.number_date,
        issue_date=document.issue_date,
        made_by=document.created_by,
        customer_id=document.customer_id,
        customer_number=document.customer.number,
        order_id=document.order_id,
        order_number=order.number if order else None,
        original=related(original, latest(session, original)) if original else None,
        original_klarna=at_klarna(latest(session, original), original) if original else None,
        party=_texts(json.loads(document.party or "{}")),
        snapshot=snapshot,
        lines=[_line(each) for each in snapshot.get("lines", ())],
        vat=[
            Vat(each["rate"], each["gross_minor"] - each["vat_minor"], each["vat_minor"])
            for each in snapshot.get("vat", ())
        ],
        gross_minor=document.gross_minor or 0,
        vat_minor=document.vat_minor or 0,
        with_klarna=document.with_klarna,
        paid_by_klarna=order is not None and order.payment_method.kind is PaymentKind.KLARNA,
        without_klarna=document.without_klarna_reason,
        chosen=invoices.chosen(document),
        due_date=document.due_date,
        ocr=document.ocr,
        icon=document_outcome.icon(document.kind, document.state, document.with_klarna, speaking),
        klarna=at_klarna(op, document),
        outcome=outcome,
        payment=_payment(session, actor, document) if document.state is DocState.ISSUED else None,
        credit_notes=_credit_notes(session, document),
        vouchers=_vouchers(session, document),
        movements=_movements(session, document),
        events=_events(session, document),
        no_credit=document_acts.why_not_credit(session, actor, document) if document.kind is DocKind.INVOICE else None,
    )


def _texts(party: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in party.items() if isinstance(value, str)}


def _line(frozen: Mapping[str, Any]) -> Line:
    return Line(**{name: frozen.get(name) for name in Line.__slots__})  # type: ignore[arg-type]


def at_klarna(op: KlarnaOp | None, document: Document) -> AtKlarna | None:
    """What Klarna calls the document; None when nothing was ever meant for Klarna."""
    if op is None:
        return None
    return AtKlarna(
        order_id=op.klarna_order_id,
        reference=document.order.klarna_reference if document.order else None,
        object_id=op.klarna_object_id,
        number=op.klarna_short_ref,
        at=op.klarna_event_at,
        outside=op.state is OpState.EXTERNAL,
    )


def related(document: Document, op: KlarnaOp | None) -> Related:
    """Another document as a row; a draft's sum is that of its rows."""
    speaking = op if document.state is DocState.PENDING or document.issued_by_op_id is not None else None
    gross = document.gross_minor
    if gross is None:
        gross = sum(line.gross_minor for line in documents.lines_of(document))
    return Related(
        id=document.id,
        kind=document.kind,
        state=document.state,
        number=document.number_text,
        day=document.issue_date or document.number_date,
        gross_minor=gross,
        made_by=document.created_by,
        badge=document_outcome.badge(
            document.kind,
            document.state,
            op_state=speaking.state if speaking else None,
            refusal=document.refusal_kind,
            without=document.without_klarna_reason,
            reversed_at=document.reversed_at,
        ),
    )


def _credit_notes(session: Session, document: Document) -> list[Related]:
    """The credit notes and drafts of an invoice, oldest first."""
    if document.kind is not DocKind.INVOICE:
        return []
    query = select(Document).where(Document.original_id == document.id).order_by(Document.id)
    return [related(each, latest(session, each)) for each in session.scalars(query)]


def paid_state(kind: DocKind, gross_minor: int, open_minor: int) -> str:
    """none, partly, full or over, as the paid icon shows it (B11)."""
    gross, left = (gross_minor, open_minor) if kind is DocKind.INVOICE else (gross_minor, -open_minor)
    if left == 0:
        return "full"
    if left < 0 or left > gross:
        return "over"
    return "none" if left == gross else "partly"


def _payment(session: Session, actor: Actor, document: Document) -> Payment:
    by_hand, no_payment = payments.of_document(session, document.id), payments.why_not(actor, document)
    gross = document.gross_minor or 0
    state = paid_state(document.kind, gross, document.open_minor)
    rows = session.execute(
        select(PayoutRow.type, PayoutRow.detailed_type, PayoutRow.amount_minor, PayoutRow.vat_minor, Payout)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .join(Payout, Payout.id == PayoutRow.payout_id)
        .where(RowMatch.document_id == document.id, Payout.state == PayoutState.BOOKED)
        .order_by(PayoutRow.id)
    ).all()
    if not rows:
        return Payment(
            state,
            gross,
            document.open_minor,
            payment_reference=document.paid_reference,
            by_hand=by_hand,
            no_payment=no_payment,
        )
    fee = sum(amount for kind, detail, amount, _, _ in rows if _is_fee(kind, detail))
    vat = sum(vat for _, _, _, vat, _ in rows)
    other = sum(amount for kind, detail, amount, _, _ in rows if kind not in MAIN_TYPES and not _is_fee(kind, detail))
    payout: Payout = rows[-1][4]
    return Payment(
        state=state,
        gross_minor=gross,
        open_minor=document.open_minor,
        bank_minor=sum(amount + vat for _, _, amount, vat, _ in rows),
        fee_minor=-fee,
        fee_vat_minor=-vat,
        other_minor=-other,
        payout_id=payout.id,
        payout_date=document.paid_at,
        payment_reference=payout.payment_reference,
        by_hand=by_hand,
        no_payment=no_payment,
    )


def _is_fee(kind: str, detail: str) -> bool:
    return kind not in MAIN_TYPES and ("FEE" in kind or "FEE" in detail or "COMMISSION" in kind)


def _vouchers(session: Session, document: Document) -> list[tuple[int, str, str]]:
    """Vouchers of the document: id, name and text."""
    query = select(Voucher).where(Voucher.document_id == document.id).order_by(Voucher.id)
    return [(each.id, ledger.label(each), each.text) for each in session.scalars(query)]


def _movements(session: Session, document: Document) -> list[Movement]:
    query = (
        select(Article.id, Article.name, Warehouse.name, StockMovement.quantity_milli, StockMovement.at)
        .join(Article, Article.id == StockMovement.article_id)
        .join(Warehouse, Warehouse.id == StockMovement.warehouse_id)
        .join(DocumentLine, DocumentLine.id == StockMovement.document_line_id)
        .where(DocumentLine.document_id == document.id)
        .order_by(StockMovement.id)
    )
    return [Movement(*row) for row in session.execute(query)]


def _events(session: Session, document: Document) -> list[Event]:
    """What happened, newest first: moves of the document, and moves of its operations that no such move tells of."""
    moves = session.execute(
        select(DocumentEvent.at, DocumentEvent.actor, DocumentEvent.to_state, DocumentEvent.reason)
        .where(DocumentEvent.document_id == document.id)
        .order_by(DocumentEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    found = [Event(at, who, state, None, reason) for at, who, state, reason in moves]
    telling = (OpState.SENDING, OpState.UNKNOWN, OpState.REVIEW)
    acts = session.execute(
        select(KlarnaOpEvent.at, KlarnaOpEvent.actor, KlarnaOpEvent.to_state)
        .join(KlarnaOp, KlarnaOp.id == KlarnaOpEvent.op_id)
        .where(
            KlarnaOp.document_id == document.id,
            KlarnaOpEvent.to_state.in_(telling),
            KlarnaOpEvent.from_state != KlarnaOpEvent.to_state,
        )
        .order_by(KlarnaOpEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    found += [Event(at, who, None, state, "") for at, who, state in acts]
    return sorted(found, key=lambda event: event.at, reverse=True)[:MOST_EVENTS]


def known_reason(text: str) -> RefusalKind | WithoutKlarna | None:
    """A reason of the history that is one of our own words and not a person's."""
    for words in (RefusalKind, WithoutKlarna):
        if text in {each.value for each in words}:
            return words(text)
    return None
