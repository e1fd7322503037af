"""Exchanges: what comes back and what goes out, which way that fits, and the replacement invoice that closes an even one.

An even exchange leaves Klarna's amount alone: a credit note without Klarna, a replacement invoice of the same sum without
Klarna, and an offset of one against the other, so that nothing stays open. Amounts are minor units including VAT, quantities
thousandths. Source: K30, K43-K46; accounting reference E5, E6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, BrokenRule, Refusal
from models import Article, Document, DocumentLine, Offset, Warehouse
from money import Amount
from rights import Actor, Right
from services import (
    adjustments,
    audit,
    credit_drafts,
    credit_notes,
    credit_rows,
    credited,
    documents,
    invoices,
    ledger,
    money_forms,
    orders,
    settings,
    stock,
)
from services.adjustments import Adjustment
from services.documents import Row
from states import DocKind, DocState, DocType, LineKind, MovementKind, WithoutKlarna

ACTION, REPLACE = "exchange", "replacement"


class Way(StrEnum):
    """How an exchange is done, which follows from what the new article costs."""

    EVEN = "even"
    CHEAPER = "cheaper"
    DEARER = "dearer"


@dataclass(frozen=True, slots=True)
class Out:
    """An article that goes out: thousandths, and the unit price the customer pays."""

    article_id: int
    quantity_milli: int
    price_minor: int

    @property
    def gross_minor(self) -> int:
        """What it comes to."""
        return money.gross_of(self.quantity_milli, self.price_minor)


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes back, as thousandths per row of the draft, and what goes out instead."""

    back: Mapping[int, int]
    out: Out
    warehouse_id: int | None = None

    @property
    def values(self) -> list[object]:
        """What must be the same when the same form comes again (operations 12)."""
        back = sorted(self.back.items())
        return [back, self.out.article_id, self.out.quantity_milli, self.out.price_minor, self.warehouse_id]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What an exchange comes to; ``difference_minor`` is what the customer gets back, negative when more is to be paid."""

    way: Way
    back_minor: int
    out_minor: int

    @property
    def difference_minor(self) -> int:
        """To the customer's favour."""
        return self.back_minor - self.out_minor


# --- The guided page ---------------------------------------------------------------------------------------------------


def weigh(session: Session, draft: Document, plan: Plan) -> Weighed:
    """What an exchange comes to. Raises BadInput beside ``back-…`` when more than is left comes back, or nothing does (K21)."""
    done = credited.credited(session, credit_drafts.original(draft).id)
    back = 0
    for line in draft.lines:
        quantity = plan.back.get(line.id, 0)
        if quantity and line.original_line is not None:
            credit_drafts.require_left(line.original_line, quantity, done, field=f"back-{line.id}")
            back += credited.share_of(line.original_line, quantity, done)
    if not back:
        raise BadInput(N_("Enter how many come back of at least one row."), field="back")
    way = Way.EVEN if back == plan.out.gross_minor else Way.CHEAPER if back > plan.out.gross_minor else Way.DEARER
    return Weighed(way, back, plan.out.gross_minor)


def prepare(session: Session, actor: Actor, draft_id: int, plan: Plan, *, way: Way) -> Document:
    """Set the draft's rows to an exchange: what comes back, and where it is cheaper the new article with a minus (K44).

    Of an even exchange nothing is sent and the goods go back to stock (K30); of a dearer one the draft holds what comes
    back alone. Other new rows are left out. Raises BadInput, Refusal.
    """
    draft = credit_drafts.get_draft(session, actor, draft_id)
    for line in list(draft.lines):
        quantity = plan.back.get(line.id, 0)
        line.removed = not quantity and line.kind is not LineKind.ADVANCE_DEDUCTION
        if quantity:
            credit_drafts.set_quantity(session, actor, draft_id, line.id, _plain(quantity))
    credit_drafts.reprice(session, draft)
    if way is Way.CHEAPER:
        added = credit_rows.add_article(
            session, actor, draft_id, plan.out.article_id, quantity_milli=plan.out.quantity_milli
        )
        credit_rows.change(
            session, actor, draft_id, added.id, credit_rows.Typed(price=money.plain(-plan.out.price_minor))
        )
    return credit_drafts.set_options(
        session,
        actor,
        draft_id,
        restock=way is Way.EVEN,
        warehouse_id=plan.warehouse_id,
        without_klarna=way is Way.EVEN,
        reason=WithoutKlarna.EVEN_EXCHANGE if way is Way.EVEN else "",
    )


def _plain(milli: int) -> str:
    whole, part = divmod(milli, 1000)
    return f"{whole}.{part:03d}".rstrip("0").rstrip(".")


def carry_out(session: Session, actor: Actor, nonce: str, draft_id: int, plan: Plan) -> Document:
    """Do an even exchange whole: credit note, goods back, replacement invoice, goods out, offset. Once per form (K30, E5).

    Returns the credit note. Raises BadInput, Refusal, NotAllowed with nothing done.
    """
    draft = documents.get(session, draft_id, lock=True)
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, str(draft_id), plan.values)
    if earlier is not None:
        return documents.get(session, int(earlier))
    draft = credit_drafts.get_draft(session, actor, draft_id)
    weighed = weigh(session, draft, plan)
    if weighed.way is not Way.EVEN:
        raise BadInput(N_("The sums differ, so that this is no even exchange."), field="price")
    prepare(session, actor, draft_id, plan, way=Way.EVEN)
    credit_notes.require_creatable(session, actor, draft, weighed.back_minor)
    money_forms.use_form(session, actor, nonce, ACTION, str(draft_id), plan.values, str(draft_id))
    credit_notes.issue_without_klarna(session, actor, draft, portal_confirmed=False, external=None)
    _replace(session, actor, draft, [plan.out], plan.warehouse_id)
    return draft


# --- The replacement invoice ---------------------------------------------------------------------------------------------


def is_even(note: Document) -> bool:
    """Whether a credit note was made for an even exchange, and stands."""
    return (
        note.kind is DocKind.CREDIT_NOTE
        and note.state is DocState.ISSUED
        and note.issued_by_op_id is None
        and note.without_klarna_reason is WithoutKlarna.EVEN_EXCHANGE
        and note.reversed_at is None
    )


def why_no_replacement(actor: Actor, note: Document) -> Refusal | None:
    """Why «Skapa ersättningsfaktura» is off on a credit note of an even exchange; None when it is on."""
    try:
        actor.require(Right.WORK)
        _require_open(note)
    except Refusal as no:
        return no
    return None


def _require_open(note: Document) -> None:
    if not is_even(note):
        raise Refusal(N_("Only a credit note for an even exchange can have a replacement invoice."))
    if not note.gross_minor or note.open_minor != -note.gross_minor:
        raise Refusal(N_("Nothing is left of the credit note to replace."))


def replace(
    session: Session, actor: Actor, nonce: str, note_id: int, out: Sequence[Out], warehouse_id: int | None
) -> Document:
    """«Skapa ersättningsfaktura»: an invoice of the credit note's sum without Klarna, offset against it. Once per form (K30).

    Raises BadInput when the sums differ, Refusal when the note has been offset or reversed, or stock is short.
    """
    actor.require(Right.WORK)
    note = documents.get(session, note_id, lock=True)
    values = [[each.article_id, each.quantity_milli, each.price_minor] for each in out] + [[warehouse_id or 0]]
    earlier = money_forms.earlier_use(session, actor, nonce, REPLACE, str(note_id), values)
    if earlier is not None:
        return documents.get(session, int(earlier))
    made = _replace(session, actor, note, out, warehouse_id)
    money_forms.use_form(session, actor, nonce, REPLACE, str(note_id), values, str(made.id))
    return made


def _replace(session: Session, actor: Actor, note: Document, out: Sequence[Out], warehouse_id: int | None) -> Document:
    _require_open(note)
    rows = [_row(session, each, place) for place, each in enumerate(out, start=1)]
    documents.spread_vat(rows)
    gross = sum(row.gross_minor for row in rows)
    if gross != note.gross_minor:
        raise BadInput(
            N_("The replacement comes to %(sum)s, the credit note to %(note)s. An even exchange has the same sum."),
            field="price",
            sum=Amount(gross, note.currency),
            note=Amount(note.gross_minor or 0, note.currency),
        )
    invoice = _invoice(session, actor, note, rows)
    documents.number_and_freeze(session, invoice, DocState.ISSUED, actor, reason=WithoutKlarna.EVEN_EXCHANGE)
    invoices.issue(session, actor, invoice, None, clock.now())
    _take_out(session, actor, invoice, warehouse_id or note.restock_warehouse_id)
    _offset(session, actor, invoice, note)
    if note.order_id is not None:
        orders.refresh(session, note.order_id)
    return invoice


def _row(session: Session, out: Out, place: int) -> Row:
    article = session.scalar(sa.select(Article).where(Article.id == out.article_id, Article.active.is_(True)))
    if article is None:
        raise BadInput(N_("Choose an article from the list."), field="article")
    if out.price_minor <= 0 or out.quantity_milli <= 0 or out.gross_minor > money.MAX_AMOUNT_MINOR:
        raise BadInput(N_("Enter quantity and price of what goes out."), field="price")
    return Row(
        kind=article.kind,
        name=article.name,
        quantity_milli=out.quantity_milli,
        unit_price_minor=out.price_minor,
        discount_minor=0,
        gross_minor=out.gross_minor,
        vat_rate=settings.vat_rate_of(session, article.vat_class, clock.today()),
        unit=article.unit,
        article_id=article.id,
        article_number=article.number,
        position=place,
    )


def _invoice(session: Session, actor: Actor, note: Document, rows: Sequence[Row]) -> Document:
    now = clock.now()
    invoice = Document(
        kind=DocKind.INVOICE,
        type=DocType.REPLACEMENT,
        state=DocState.DRAFT,
        order_id=note.order_id,
        customer_id=note.customer_id,
        currency=note.currency,
        with_klarna=False,
        without_klarna_reason=WithoutKlarna.EVEN_EXCHANGE,
        party=note.party,
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=now,
        changed_at=now,
    )
    invoice.lines = [
        DocumentLine(
            position=row.position,
            kind=row.kind,
            article_id=row.article_id,
            article_number=row.article_number,
            name=row.name,
            unit=row.unit,
            quantity_milli=row.quantity_milli,
            unit_price_minor=row.unit_price_minor,
            gross_minor=row.gross_minor,
            vat_rate=row.vat_rate,
            vat_minor=row.vat_minor,
        )
        for row in rows
    ]
    session.add(invoice)
    session.flush()
    session.refresh(invoice)
    return invoice


def _take_out(session: Session, actor: Actor, invoice: Document, warehouse_id: int | None) -> None:
    """What goes out leaves the warehouse, one movement per row (K30, S1)."""
    for line in invoice.lines:
        if not credit_drafts.stock_kept(line) or line.article is None:
            continue
        place = session.get(Warehouse, warehouse_id) if warehouse_id is not None else None
        if place is None or not place.active:
            raise BadInput(N_("Choose a warehouse from the list."), field="warehouse_id")
        stock.move(
            session,
            actor,
            article=line.article,
            warehouse_id=place.id,
            quantity_milli=-line.quantity_milli,
            kind=MovementKind.REPLACEMENT,
            document_line_id=line.id,
            reason=invoice.number_text or "",
        )


def _offset(session: Session, actor: Actor, invoice: Document, note: Document) -> None:
    """E5c: one closed against the other, with nothing but the receivable account in the voucher."""
    amount, day = note.gross_minor or 0, clock.today()
    receivable = ledger.role(session, "receivable", day)
    voucher = ledger.post(
        session,
        actor,
        series="I",
        day=day,
        text=f"Kvittning faktura {invoice.number_text} mot kreditfaktura {note.number_text}",
        source=f"offset:{invoice.number_text}:{note.number_text}",
        entries=[
            ledger.Entry(receivable, amount, note.number_text or "", document_id=note.id),
            ledger.Entry(receivable, -amount, invoice.number_text or "", document_id=invoice.id),
        ],
        document_id=invoice.id,
        currency=note.currency,
    )
    session.add(
        Offset(
            invoice_id=invoice.id,
            credit_note_id=note.id,
            amount_minor=amount,
            voucher_id=voucher.id,
            override_reason=None,
            at=clock.now(),
            by=actor.name,
        )
    )
    session.flush()
    audit.write(
        session,
        actor,
        "invoice.offset",
        f"document:{invoice.id}",
        {"invoice": invoice.number_text, "credit_note": note.number_text, "amount_minor": amount},
    )


def partners(session: Session, document: Document) -> list[Document]:
    """What a document has been offset against: a credit note's replacement invoice, or the other way round."""
    mine, other = Offset.invoice_id, Offset.credit_note_id
    if document.kind is DocKind.CREDIT_NOTE:
        mine, other = other, mine
    query = sa.select(Document).join(Offset, other == Document.id).where(mine == document.id).order_by(Offset.id)
    return list(session.scalars(query))


def require_draft(draft: Document) -> Document:
    """The invoice of a draft an exchange can be made of. Raises Refusal for one that never was Klarna's."""
    invoice = credit_drafts.original(draft)
    if invoice.issued_by_op_id is None:
        raise Refusal(N_("The invoice has not been sold to Klarna: credit what comes back and invoice what goes out."))
    if draft.order is None:
        raise BrokenRule("an invoice sold to Klarna has its order")
    return invoice


@dataclass(frozen=True, slots=True)
class Partner:
    """A document that another has been offset against."""

    id: int
    kind: DocKind
    number: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Story:
    """What a document has to do with an exchange: what it is offset against, what is left to do by hand (K30, K46)."""

    partners: Sequence[Partner]
    is_even: bool
    no_replacement: Refusal | None
    adjust: Sequence[Adjustment]

    @property
    def told(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.partners or self.is_even or self.adjust)


def story(session: Session, actor: Actor, document_id: int) -> Story:
    """The exchange a document belongs to, for its page."""
    document = documents.get(session, document_id)
    found = partners(session, document)
    return Story(
        partners=[Partner(each.id, each.kind, each.number_text or "", each.gross_minor or 0) for each in found],
        is_even=is_even(document) and bool(document.gross_minor),
        no_replacement=why_no_replacement(actor, document),
        adjust=adjustments.of(session, document) if document.state is DocState.ISSUED else (),
    )
