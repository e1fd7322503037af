"""The replacement invoice that closes an even exchange: of the credit note's sum, without Klarna, offset against it.

Amounts are minor units including VAT, quantities thousandths. Source: K30; accounting reference E5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, Refusal
from models import Article, Document, DocumentLine, Offset, Voucher, Warehouse
from money import Amount
from rights import Actor, Right
from services import credit_drafts, documents, invoices, money_forms, offsets, orders, settings, stock, stock_booking
from services.documents import Row
from states import DocKind, DocState, DocType, MovementKind, WithoutKlarna

ACTION = "replacement"


@dataclass(frozen=True, slots=True)
class Out:
    """An article that goes out: thousandths, and the unit price the customer pays; ``place`` is its row in the form."""

    article_id: int
    quantity_milli: int
    price_minor: int
    place: int = 0

    @property
    def gross_minor(self) -> int:
        """What it comes to."""
        return money.gross_of(self.quantity_milli, self.price_minor)


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
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, str(note_id), values)
    if earlier is not None:
        return documents.get(session, int(earlier))
    made = make(session, actor, note, out, warehouse_id)
    money_forms.use_form(session, actor, nonce, ACTION, str(note_id), values, str(made.id))
    return made


def make(session: Session, actor: Actor, note: Document, out: Sequence[Out], warehouse_id: int | None) -> Document:
    """The invoice, what goes out, and the offset, for a locked credit note.

    Raises BadInput, beside ``article-0``, ``price-0`` and so on where it is about a row, and Refusal.
    """
    _require_open(note)
    rows = [_row(session, each, place) for place, each in enumerate(out, start=1)]
    documents.spread_vat(rows)
    gross = sum(row.gross_minor for row in rows)
    if gross != note.gross_minor:
        raise BadInput(
            N_("The replacement comes to %(sum)s, the credit note to %(note)s. An even exchange has the same sum."),
            field=f"price-{out[-1].place}",
            sum=Amount(gross, note.currency),
            note=Amount(note.gross_minor or 0, note.currency),
        )
    stock.hold(session, (row.article_id for row in rows))
    invoice = _invoice(session, actor, note, rows)
    documents.number_and_freeze(session, invoice, DocState.ISSUED, actor, reason=WithoutKlarna.EVEN_EXCHANGE)
    invoices.issue(session, actor, invoice, None, clock.now())
    _take_out(session, actor, invoice, warehouse_id or note.restock_warehouse_id)
    offsets.write(session, actor, invoice, note, note.gross_minor or 0, None)
    if note.order_id is not None:
        orders.refresh(session, note.order_id)
    return invoice


def _row(session: Session, out: Out, place: int) -> Row:
    article = session.scalar(sa.select(Article).where(Article.id == out.article_id, Article.active.is_(True)))
    if article is None:
        raise BadInput(N_("Choose an article from the list."), field=f"article-{out.place}")
    if out.price_minor <= 0 or out.quantity_milli <= 0 or out.gross_minor > money.MAX_AMOUNT_MINOR:
        raise BadInput(N_("Enter quantity and price of what goes out."), field=f"price-{out.place}")
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
    moved = []
    for line in invoice.lines:
        if not credit_drafts.stock_kept(line) or line.article is None:
            continue
        place = session.get(Warehouse, warehouse_id) if warehouse_id is not None else None
        if place is None or not place.active:
            raise BadInput(N_("Choose a warehouse from the list."), field="warehouse_id")
        one = stock.move(
            session,
            actor,
            article=line.article,
            warehouse_id=place.id,
            quantity_milli=-line.quantity_milli,
            kind=MovementKind.REPLACEMENT,
            document_line_id=line.id,
            reason=invoice.number_text or "",
        )
        moved.append(one)
    text, source = f"Lager, faktura {invoice.number_text}", f"stock_replacement:{invoice.number_text}"
    stock_booking.follow(session, actor, moved, text, source, document_id=invoice.id)


def partners(session: Session, document: Document) -> list[tuple[Document, int]]:
    """What a document is offset against and with how much: a credit note's replacement invoice, or the other way round."""
    mine, other = Offset.invoice_id, Offset.credit_note_id
    if document.kind is DocKind.CREDIT_NOTE:
        mine, other = other, mine
    undone = sa.exists().where(Voucher.reverses_id == Offset.voucher_id)
    query = (
        sa.select(Document, Offset.amount_minor)
        .join(Offset, other == Document.id)
        .where(mine == document.id, sa.not_(undone))
        .order_by(Offset.id)
    )
    return [(found, amount) for found, amount in session.execute(query)]
