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

from sqlalchemy import exists, not_, select
from sqlalchemy.orm import Session

from errors import Refusal
from models import (
    Article,
    Document,
    DocumentEvent,
    DocumentLine,
    KlarnaOp,
    KlarnaOpEvent,
    StockMovement,
    Voucher,
    Warehouse,
)
from rights import Actor
from services import afterwards, document_acts, document_outcome, document_payment, documents, invoices, ledger, owed
from services.afterwards import Happened
from services.document_outcome import Outcome
from services.document_payment import Payment
from services.invoices import Choices
from services.klarna_refusal import latest
from states import DocKind, DocState, DocType, OpState, PaymentKind, RefusalKind, WithoutKlarna

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
    """A line of the history: a move of the document or of its operation, or what happened once it was issued."""

    at: datetime
    who: str
    document_state: DocState | None
    op_state: OpState | None
    detail: str
    after: Happened | None = None


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
    settled_by_reading: bool
    """Whether Klarna's settlement is what closes it: the act it stands for is proved, here or in the portal."""
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
        paid_by_klarna=order is not None
        and order.payment_method.kind is PaymentKind.KLARNA
        and (document.gross_minor or 0) >= 0,  # what we owe is never paid through Klarna by itself (K42)
        without_klarna=document.without_klarna_reason,
        chosen=invoices.chosen(document),
        due_date=document.due_date,
        ocr=document.ocr,
        icon=document_outcome.icon(document.kind, document.state, document.with_klarna, speaking),
        klarna=at_klarna(op, document),
        settled_by_reading=owed.is_at_klarna(document),
        outcome=outcome,
        payment=document_payment.of(session, actor, document) if document.state is DocState.ISSUED else None,
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
    """What happened, newest first: moves of the document, moves of its operations that no such move tells of, and what came
    after its issue.

    A sending that came back with nothing done at Klarna is told by its return alone, as PREPARED.
    """
    moves = session.execute(
        select(DocumentEvent.at, DocumentEvent.actor, DocumentEvent.to_state, DocumentEvent.reason)
        .where(DocumentEvent.document_id == document.id)
        .order_by(DocumentEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    found = [Event(at, who, state, None, reason) for at, who, state, reason in moves]
    telling = (OpState.PREPARED, OpState.SENDING, OpState.UNKNOWN, OpState.REVIEW)
    after = KlarnaOpEvent.__table__.alias()
    came_back = exists().where(
        after.c.op_id == KlarnaOpEvent.op_id,
        after.c.seq == KlarnaOpEvent.seq + 1,
        after.c.to_state == OpState.PREPARED,
    )
    acts = session.execute(
        select(KlarnaOpEvent.at, KlarnaOpEvent.actor, KlarnaOpEvent.to_state)
        .join(KlarnaOp, KlarnaOp.id == KlarnaOpEvent.op_id)
        .where(
            KlarnaOp.document_id == document.id,
            KlarnaOpEvent.to_state.in_(telling),
            KlarnaOpEvent.from_state != KlarnaOpEvent.to_state,
            not_(came_back),
        )
        .order_by(KlarnaOpEvent.id.desc())
        .limit(MOST_EVENTS)
    )
    found += [Event(at, who, None, state, "") for at, who, state in acts]
    later = afterwards.of_document(session, document.id)
    found += [Event(each.at, each.who, None, None, each.detail, each) for each in later]
    return sorted(found, key=lambda event: event.at, reverse=True)[:MOST_EVENTS]


def known_reason(text: str) -> RefusalKind | WithoutKlarna | None:
    """A reason of the history that is one of our own words and not a person's."""
    for words in (RefusalKind, WithoutKlarna):
        if text in {each.value for each in words}:
            return words(text)
    return None
