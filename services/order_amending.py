"""Changing an order's rows before anything is invoiced: what may be changed, what Klarna is told, and the change itself.

Amounts are minor units including VAT, quantities thousandths. Source: B19; operations 8 (UPDATE_AUTH); reference 2.7.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, Refusal, Stale
from models import Article, Document, DocumentLine, KlarnaOp, Order, OrderAmendment, OrderLine
from money import Amount
from rights import Actor
from services import audit, breaks, deliveries, documents, klarna_lines, orders, settings
from services.card_checks import number_key
from services.documents import Row
from services.orders import NewLine
from states import DocKind, DocState, KlarnaStatus, LineKind, OrderState

FREE_KINDS = (LineKind.TEXT, LineKind.FREIGHT, LineKind.FEE, LineKind.DISCOUNT)
"""Kinds of a row that is typed without an article."""
_LIVE_INVOICE = (DocState.PENDING, DocState.ISSUED)


@dataclass(frozen=True, slots=True)
class AmendedRow:
    """A row of the order as it is to be; ``line_id`` is the row that it changes, None for a new one."""

    kind: LineKind
    name: str
    quantity_milli: int
    unit_price_minor: int
    vat_rate: int
    line_id: int | None = None
    article_id: int | None = None
    article_number: str | None = None
    unit: str = "st"
    discount_minor: int = 0

    @property
    def gross_minor(self) -> int:
        """The row's sum after discount."""
        return money.gross_of(self.quantity_milli, self.unit_price_minor) - self.discount_minor


@dataclass(frozen=True, slots=True)
class Sums:
    """What the rows would come to, minor units, beside the order as it is and what is reserved; None where it is not known."""

    before_minor: int
    reserved_minor: int | None
    new_minor: int | None

    @property
    def difference_minor(self) -> int | None:
        """What would be reserved beyond what is; without a reservation, what the order would come to beyond what it does."""
        before = self.before_minor if self.reserved_minor is None else self.reserved_minor
        return None if self.new_minor is None else self.new_minor - before


def sums(order: Order, rows: Sequence[AmendedRow] | None) -> Sums:
    """What is shown before the rows are sent; ``rows`` None while a figure of them cannot be read (B19)."""
    return Sums(
        before_minor=orders.total(order),
        reserved_minor=order.authorized_minor if order.klarna_order_id is not None else None,
        new_minor=None if rows is None else total(rows),
    )


def total(rows: Sequence[AmendedRow]) -> int:
    """What rows come to, minor units including VAT."""
    return sum(row.gross_minor for row in rows)


def require_shown(order: Order, rows: Sequence[AmendedRow], shown_minor: int) -> None:
    """Let pass rows whose sum stood on the page that sent them. Raises Stale: nobody asks for a credit check unseen (B19)."""
    if total(rows) != shown_minor:
        raise Stale(
            N_("The rows now come to %(sum)s. Nothing has been changed yet: look at the new sum and press again."),
            sum=Amount(total(rows), order.currency),
        )


def rows_of(order: Order) -> list[AmendedRow]:
    """The order's rows as they are."""
    return [
        AmendedRow(
            kind=line.kind,
            name=line.name,
            quantity_milli=line.quantity_milli,
            unit_price_minor=line.unit_price_minor,
            vat_rate=line.vat_rate,
            line_id=line.id,
            article_id=line.article_id,
            article_number=line.article_number,
            unit=line.unit,
            discount_minor=line.discount_minor,
        )
        for line in order.lines
    ]


def why_not(session: Session, order: Order) -> Refusal | None:
    """Why the rows may not be changed now; None when they may (B19)."""
    if order.state is OrderState.CANCELLED:
        return Refusal(N_("The order is cancelled and cannot be changed."))
    invoiced = sa.select(Document.id).where(
        Document.order_id == order.id, Document.kind == DocKind.INVOICE, Document.state.in_(_LIVE_INVOICE)
    )
    if session.scalar(invoiced.limit(1)) is not None:
        return orders.awaited(session, order) or Refusal(
            N_("Something on the order has been invoiced, so its rows can no longer be changed.")
        )
    if order.captured_minor:
        return Refusal(
            N_("Something on the order has been activated outside Kvitta, so its rows can no longer be changed."),
            link=breaks.way_to_book(session, order.id),
        )
    if order.klarna_status is KlarnaStatus.CANCELLED:
        return Refusal(N_("The purchase is cancelled at Klarna."))
    if order.klarna_status is KlarnaStatus.EXPIRED:
        return deliveries.expired(order)
    try:
        orders.require_no_open_operation(session, order)
        orders.require_nothing_refused(session, order)
    except Refusal as no:
        return no
    return None


def row_of_article(session: Session, number: str) -> AmendedRow:
    """A new row of one piece of the article with this number or GTIN, at today's price. Raises BadInput."""
    typed = number.strip()
    found = session.scalar(
        sa.select(Article)
        .where((Article.number_key == number_key(typed)) | (Article.gtin == typed), Article.active.is_(True))
        .order_by((Article.gtin == typed).desc())
        .limit(1)
    )
    if found is None:
        raise BadInput(N_("There is no article «%(number)s»."), field="article", number=typed)
    return AmendedRow(
        kind=found.kind,
        name=found.name,
        quantity_milli=1000,
        unit_price_minor=found.price_minor,
        vat_rate=settings.vat_rate_of(session, found.vat_class, clock.today()),
        article_id=found.id,
        article_number=found.number,
        unit=found.unit,
    )


def require_fits(session: Session, order: Order, rows: Sequence[AmendedRow], version: int | None) -> None:
    """Let a new list of rows pass. Raises Refusal, BadInput beside ``quantity_<place>``, Stale (B19, catalogue 7, 8)."""
    refusal = why_not(session, order)
    if refusal is not None:
        raise refusal
    orders.require_unchanged(order, version)
    if list(rows) == rows_of(order):
        raise BadInput(N_("Nothing has been changed."))
    known = {line.id: line for line in order.lines}
    given = [row.line_id for row in rows if row.line_id is not None]
    if len(given) != len(set(given)) or not set(given) <= known.keys():
        raise BadInput(N_("The form is incomplete. Nothing has been done; open the page again."))
    orders.check_rows([_new_line(row) for row in rows])
    _require_delivered(session, order, rows)
    _require_removable(session, [line for line in order.lines if line.id not in given])
    if order.klarna_order_id is not None and total(rows) <= 0:
        raise BadInput(N_("The order must come to more than 0.00. Cancel the order instead."))


def _new_line(row: AmendedRow) -> NewLine:
    return NewLine(
        kind=row.kind,
        name=row.name,
        quantity_milli=row.quantity_milli,
        unit_price_minor=row.unit_price_minor,
        vat_rate=row.vat_rate,
        article_number=row.article_number,
        unit=row.unit,
        discount_minor=row.discount_minor,
    )


def _require_delivered(session: Session, order: Order, rows: Sequence[AmendedRow]) -> None:
    """Nothing may be cut below what has left the house."""
    kept = {row.line_id: (place, row.quantity_milli) for place, row in enumerate(rows)}
    gone = orders.delivered(session, order.id)
    for line in order.lines:
        place, quantity = kept.get(line.id, (None, 0))
        if quantity < gone.get(line.id, 0):
            raise BadInput(
                N_("%(delivered_milli)s of %(name)s has been delivered; it cannot be less."),
                field=f"quantity_{place}" if place is not None else None,
                delivered_milli=gone[line.id],
                name=line.name,
            )


def _require_removable(session: Session, removed: Sequence[OrderLine]) -> None:
    """A row that stands on a voided invoice stays, for the sake of that invoice's history."""
    found = session.execute(
        sa.select(Document.number_text, DocumentLine.name)
        .join(DocumentLine, DocumentLine.document_id == Document.id)
        .where(DocumentLine.order_line_id.in_([line.id for line in removed]))
        .limit(1)
    ).first()
    if found is not None:
        raise BadInput(
            N_(
                "%(name)s stands on the voided invoice %(number)s and cannot be removed. Set its price to 0.00 instead."
            ),
            name=found.name,
            number=found.number_text or "",
        )


def content(order: Order, rows: Sequence[AmendedRow]) -> dict[str, Any]:
    """The body of the change: the whole amount and every row, since what is left out Klarna deletes (reference 2.7)."""
    spread = [
        Row(
            kind=row.kind,
            name=row.name,
            quantity_milli=row.quantity_milli,
            unit_price_minor=row.unit_price_minor,
            discount_minor=row.discount_minor,
            gross_minor=row.gross_minor,
            vat_rate=row.vat_rate,
        )
        for row in rows
    ]
    documents.spread_vat(spread)
    numbers = [row.article_number for row in rows]
    lines = []
    for place, (row, priced) in enumerate(zip(rows, spread, strict=True), start=1):
        base = (row.article_number or "")[:200]
        alone = bool(base) and numbers.count(row.article_number) == 1
        lines.append(
            klarna_lines.klarna_line(
                DocumentLine(
                    kind=row.kind,
                    name=row.name,
                    unit=row.unit,
                    quantity_milli=row.quantity_milli,
                    unit_price_minor=row.unit_price_minor,
                    discount_minor=row.discount_minor,
                    gross_minor=row.gross_minor,
                    vat_rate=row.vat_rate,
                    vat_minor=priced.vat_minor,
                    klarna_reference=base if alone else f"{base or 'TEXT'}#{place}",
                )
            )
        )
    return {"order_amount": total(rows), "description": f"Order {order.number}", "order_lines": lines}


def written(rows: Sequence[AmendedRow]) -> str:
    """Rows as they are kept."""
    return json.dumps([asdict(row) for row in rows], ensure_ascii=False)


def keep(session: Session, op: KlarnaOp, rows: Sequence[AmendedRow]) -> None:
    """Keep the rows that an operation stands for, until Klarna has agreed."""
    session.add(OrderAmendment(op_id=op.id, lines=written(rows)))
    session.flush()


def kept(session: Session, op_id: str) -> list[AmendedRow]:
    """The rows an operation stands for."""
    lines = session.get_one(OrderAmendment, op_id).lines
    return [AmendedRow(**{**row, "kind": LineKind(row["kind"])}) for row in json.loads(lines)]


def apply_agreed(session: Session, actor: Actor, op: KlarnaOp) -> None:
    """Klarna has agreed: the order's rows are those the operation stands for, from this transaction on."""
    apply(session, actor, orders.get(session, op.order_id, lock=True), kept(session, op.id), op.id)


def apply(session: Session, actor: Actor, order: Order, rows: Sequence[AmendedRow], op_id: str | None = None) -> None:
    """Make these the order's rows; those that stay keep their place, new ones come last."""
    before = orders.total(order)
    lines = {line.id: line for line in order.lines}
    last = max((line.position for line in order.lines), default=0)
    for line_id in lines.keys() - {row.line_id for row in rows}:
        session.delete(lines[line_id])
    for row in rows:
        if row.line_id is not None:
            line = lines[row.line_id]
            line.quantity_milli, line.unit_price_minor = row.quantity_milli, row.unit_price_minor
            line.discount_minor = row.discount_minor
            continue
        last += 1
        session.add(
            OrderLine(
                order_id=order.id,
                position=last,
                kind=row.kind,
                article_id=row.article_id,
                article_number=row.article_number,
                name=row.name,
                unit=row.unit,
                quantity_milli=row.quantity_milli,
                unit_price_minor=row.unit_price_minor,
                discount_minor=row.discount_minor,
                vat_rate=row.vat_rate,
            )
        )
    order.version += 1
    session.flush()
    session.expire(order, ["lines"])
    detail: dict[str, object] = {"before_minor": before, "after_minor": orders.total(order), "op": op_id}
    audit.write(session, actor, "order.rows", f"order:{order.id}", detail)
    orders.refresh(session, order.id)


def difference(rows: Sequence[AmendedRow], order: Order) -> Amount:
    """How much more the order comes to with these rows than it does now."""
    return Amount(sum(row.gross_minor for row in rows) - orders.total(order), order.currency)
