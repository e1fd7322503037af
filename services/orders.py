"""Orders: take one, what is left of it to deliver and to invoice, and what stands in the way.

Amounts are minor units including VAT, quantities thousandths. What is delivered and invoiced is counted from rows; the
columns ``delivered``, ``invoiced`` and ``icon`` of an order are copies for the list, made by ``refresh``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, BrokenRule, NotFound, Refusal, Stale
from models import (
    Article,
    Customer,
    Document,
    KlarnaAccount,
    KlarnaOp,
    Order,
    OrderLine,
    PaymentMethod,
)
from rights import Actor
from services import audit, numbering, op_log, order_questions
from services.reservation_words import UNSENT, WAIT
from states import DocKind, KlarnaStatus, LineKind, OpKind, OpState, OrderState

FIRST_NUMBER = 1001
MAX_ID = 2**63 - 1
MAX_LINES = 1000
"""Rows of one order, as many as one capture at Klarna takes."""


@dataclass(frozen=True, slots=True)
class NewLine:
    """A row of an order to be taken. Unit price and discount include VAT; the discount is for the whole row."""

    kind: LineKind
    name: str
    quantity_milli: int
    unit_price_minor: int
    vat_rate: int
    article: Article | None = None
    article_number: str | None = None
    unit: str = "st"
    discount_minor: int = 0

    @property
    def gross_minor(self) -> int:
        """The row's sum after discount, minor units including VAT."""
        return money.gross_of(self.quantity_milli, self.unit_price_minor) - self.discount_minor


@dataclass(frozen=True, slots=True)
class Invoiced:
    """What pending and issued invoices hold of an order row: thousandths; minor units after discount, and discount."""

    quantity_milli: int = 0
    gross_minor: int = 0
    discount_minor: int = 0


NOTHING = Invoiced()


@dataclass(frozen=True, slots=True)
class OrderShare:
    """A part of an order row to invoice: thousandths; ``gross_minor`` after ``discount_minor``, both minor units."""

    line: OrderLine
    quantity_milli: int
    gross_minor: int
    discount_minor: int


def take(
    session: Session,
    actor: Actor,
    *,
    customer: Customer,
    payment_method: PaymentMethod,
    lines: Sequence[NewLine],
    party: Mapping[str, object],
    ordered_at: datetime | None = None,
    shop_number: str | None = None,
    account: KlarnaAccount | None = None,
    klarna_order_id: str | None = None,
    klarna_reference: str | None = None,
    currency: str = "SEK",
    note: str = "",
    source: str = "hand",
    source_key: str | None = None,
) -> Order:
    """Take an order, numbered from 1001 without gaps.

    ``account`` and ``klarna_order_id`` go together and link it to a reservation. Raises BadInput for rows that cannot
    be, Refusal when the reservation already has an order (B16).
    """
    if (account is None) != (klarna_order_id is None):
        raise BrokenRule("a reservation and its account go together")
    check_rows(lines)
    if klarna_order_id is not None:
        require_unlinked(session, klarna_order_id)
    order = Order(
        number=numbering.take(session, "order", first=FIRST_NUMBER, day=clock.today()),
        customer=customer,
        payment_method=payment_method,
        currency=currency,
        ordered_at=ordered_at or clock.now(),
        party=json.dumps(party, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
        shop_number=shop_number,
        account=account,
        klarna_order_id=klarna_order_id,
        klarna_reference=klarna_reference,
        note=note,
        source=source,
        source_key=source_key,
        lines=[_row(position, line) for position, line in enumerate(lines, start=1)],
    )
    session.add(order)
    session.flush()
    detail: dict[str, object] = {"number": order.number, "rows": len(lines), "klarna_order_id": klarna_order_id}
    audit.write(session, actor, "order.take", f"order:{order.id}", detail)
    refresh(session, order.id)
    return order


def check_rows(lines: Sequence[NewLine]) -> None:
    """Let rows pass that an order can have. Raises BadInput."""
    if not lines:
        raise BadInput(N_("The order has no rows."))
    if len(lines) > MAX_LINES:
        raise BadInput(N_("An order has at most %(most)s rows."), most=MAX_LINES)
    for line in lines:
        if not 0 < line.quantity_milli <= money.MAX_QUANTITY_MILLI:
            raise BadInput(N_("The quantity must be more than 0."))
        gross = money.gross_of(line.quantity_milli, line.unit_price_minor)
        if not 0 <= line.discount_minor <= max(gross, 0):
            raise BadInput(N_("The discount is more than the row."))
    if abs(sum(line.gross_minor for line in lines)) > money.MAX_AMOUNT_MINOR:
        raise BadInput(N_("At most %(most)s can be entered."), most=money.Amount(money.MAX_AMOUNT_MINOR))


def _row(position: int, line: NewLine) -> OrderLine:
    return OrderLine(
        position=position,
        kind=line.kind,
        article=line.article,
        article_number=line.article_number or (line.article.number if line.article else None),
        name=line.name,
        unit=line.unit,
        quantity_milli=line.quantity_milli,
        unit_price_minor=line.unit_price_minor,
        discount_minor=line.discount_minor,
        vat_rate=line.vat_rate,
    )


def require_unlinked(session: Session, klarna_order_id: str) -> None:
    """Let pass a reservation that has no order yet. Raises Refusal naming the order that has it (B16)."""
    found = session.execute(sa.select(Order.id, Order.number).where(Order.klarna_order_id == klarna_order_id)).first()
    if found:
        raise Refusal(
            N_("The reservation already belongs to order %(number)s."),
            link=("orders.show", {"order_id": found.id}),
            number=found.number,
        )


def get(session: Session, order_id: int, *, lock: bool = False) -> Order:
    """The order, with ``lock`` held until the transaction ends (operations 16.1, rule 6). Raises NotFound."""
    if not 0 < order_id <= MAX_ID:
        raise NotFound
    session.flush()
    order = session.get(Order, order_id, with_for_update=lock or None, populate_existing=lock)
    if order is None:
        raise NotFound
    return order


def line_gross(line: OrderLine) -> int:
    """A row's sum after discount, minor units including VAT."""
    return money.gross_of(line.quantity_milli, line.unit_price_minor) - line.discount_minor


def total(order: Order) -> int:
    """The order's sum, minor units including VAT; negative when discounts outweigh (K42)."""
    return sum(line_gross(line) for line in order.lines)


def is_delivered(line: OrderLine) -> bool:
    """Whether the row is delivered by itself; freight, fees, discounts and texts go along with the first delivery."""
    return line.kind is LineKind.ARTICLE


def delivered(session: Session, order_id: int) -> dict[int, int]:
    """Thousandths delivered per order row; rows without a delivery are left out."""
    return per_row_delivered(session.execute(order_questions.DELIVERED, {"order_id": order_id}))


def per_row_delivered(rows: Iterable[Any]) -> dict[int, int]:
    """The answer to a question of ``order_questions`` for what is delivered."""
    return {line_id: int(milli) for line_id, milli in rows}


def invoiced(session: Session, order_id: int) -> dict[int, Invoiced]:
    """What pending and issued invoices hold per order row; advances and replacements hold none (operations 5)."""
    return per_row_invoiced(session.execute(order_questions.HELD, {"order_id": order_id}))


def per_row_invoiced(rows: Iterable[Any]) -> dict[int, Invoiced]:
    """The answer to a question of ``order_questions`` for what is invoiced."""
    return {line_id: Invoiced(int(milli), int(gross), int(off)) for line_id, milli, gross, off in rows}


def to_deliver(session: Session, order: Order) -> list[tuple[OrderLine, int]]:
    """Rows with something left to deliver, and how many thousandths (B25)."""
    done = delivered(session, order.id)
    left = [(line, line.quantity_milli - done.get(line.id, 0)) for line in order.lines if is_delivered(line)]
    return [(line, milli) for line, milli in left if milli > 0]


def share_of(line: OrderLine, held: Invoiced, quantity_milli: int) -> OrderShare:
    """The part of a row that falls on ``quantity_milli`` of what is left of it.

    Shares taken until nothing is left add up to the row to the öre, in any order and however often one is put back
    (F30). Raises BadInput when more than what is left is asked for.
    """
    left = line.quantity_milli - held.quantity_milli
    if not 0 <= quantity_milli <= left:
        raise BadInput(N_("The row has %(left_milli)s left to invoice."), left_milli=max(left, 0))
    before = money.gross_of(line.quantity_milli, line.unit_price_minor) - held.gross_minor - held.discount_minor
    gross = money.take_share(before, quantity_milli, left)
    discount = money.take_share(line.discount_minor - held.discount_minor, quantity_milli, left)
    return OrderShare(line, quantity_milli, gross - discount, discount)


def to_invoice(
    session: Session, order: Order, *, delivered_only: bool, held: Mapping[int, Invoiced] | None = None
) -> list[OrderShare]:
    """What an invoice made now would hold: all that is left (F11), or what is delivered and not yet invoiced (F10).

    Freight, fees, discounts and texts go along with the first invoice of delivered rows. ``held`` is what ``invoiced``
    has just said.
    """
    if held is None:
        held = invoiced(session, order.id)
    return shares_left(order.lines, held, delivered(session, order.id) if delivered_only else None)


def shares_left(
    lines: Sequence[OrderLine], held: Mapping[int, Invoiced], gone: Mapping[int, int] | None
) -> list[OrderShare]:
    """What is left to invoice of an order's rows: all, or with ``gone`` what is delivered of them and what goes along."""
    left = {line.id: line.quantity_milli - held.get(line.id, NOTHING).quantity_milli for line in lines}
    take_now = dict(left)
    if gone is not None:
        goods = [line.id for line in lines if is_delivered(line)]
        take_now |= {each: gone.get(each, 0) - held.get(each, NOTHING).quantity_milli for each in goods}
        if not any(take_now[each] > 0 for each in goods):
            return []
    return [
        share_of(line, held.get(line.id, NOTHING), min(take_now[line.id], left[line.id]))
        for line in lines
        if take_now[line.id] > 0 and left[line.id] > 0
    ]


def refresh(session: Session, order_id: int) -> None:
    """Make the order's copies for the list anew: delivered, invoiced, the Klarna icon and the sum (F23, F26, B17).

    Called at the end of every change to the order, its deliveries, documents, operations or Klarna's figures.
    """
    order = get(session, order_id, lock=True)
    gone, held = delivered(session, order_id), invoiced(session, order_id)
    standing = session.execute(order_questions.STANDING, {"order_id": order_id}).one()
    done = _measure([(line.quantity_milli, held.get(line.id, NOTHING).quantity_milli) for line in order.lines])
    order.delivered = _measure(
        [(line.quantity_milli, gone.get(line.id, 0)) for line in order.lines if is_delivered(line)]
    )
    order.invoiced = "part" if done == "none" and standing.has_advance else done
    order.icon, order.total_minor = _icon(order, standing), total(order)
    order.changed_at = clock.now()
    session.flush()


def _measure(rows: Sequence[tuple[int, int]]) -> str:
    """none, part or all, from pairs of wanted and done thousandths; nothing wanted is all done."""
    if all(done >= wanted for wanted, done in rows):
        return "all"
    return "part" if any(done > 0 for _, done in rows) else "none"


def moved(session: Session, order_id: int) -> tuple[int, int]:
    """Captured and refunded at Klarna as far as it is proved, minor units; what was made elsewhere counts."""
    sums = {kind: int(amount or 0) for kind, amount in session.execute(order_questions.MOVED, {"order_id": order_id})}
    return sums.get(OpKind.CAPTURE, 0), sums.get(OpKind.REFUND, 0)


def _icon(order: Order, standing: Any) -> str | None:
    if order.klarna_order_id is None:
        return None
    if standing.open_state in (OpState.UNKNOWN, OpState.REVIEW):
        return "unknown"
    if standing.is_refused:
        return "refused"
    if order.klarna_status in (KlarnaStatus.CANCELLED, KlarnaStatus.EXPIRED) or order.state is OrderState.CANCELLED:
        return "cancelled"
    if standing.captured <= 0:
        return "reserved"
    if standing.refunded >= standing.captured:
        return "credited"
    return "captured" if standing.captured >= total(order) or order.remaining_minor == 0 else "partly"


def open_operation(session: Session, order: Order) -> KlarnaOp | None:
    """The act at Klarna that is not settled yet; there is at most one per Klarna order (operations 2.1)."""
    return session.scalar(order_questions.OPEN, {"order_id": order.id})


def require_unchanged(order: Order, version: int | None) -> None:
    """Let a form pass that was drawn from the order as it is; ``version`` None asks nothing. Raises Stale (operations 12)."""
    if version not in (None, order.version):
        raise Stale(N_("The order has changed since the page was drawn. Nothing has been sent; look it through again."))


def require_no_open_operation(session: Session, order: Order) -> None:
    """Let pass when nothing awaits Klarna's answer. Raises Refusal naming the document (operations 11)."""
    refusal = open_operation_refusal(session, order)
    if refusal is not None:
        raise refusal


def open_operation_refusal(session: Session, order: Order) -> Refusal | None:
    """Why the order's buttons are off while an operation is open; None when none is."""
    if (operation := open_operation(session, order)) is None:
        return None
    document = session.get(Document, operation.document_id) if operation.document_id is not None else None
    link = ("orders.show", {"order_id": order.id}) if document is None else document_link(document)
    words = UNSENT if op_log.lies_unsent(operation) else WAIT
    return Refusal(words[operation.kind], link=link, number=document.number_text if document else None)


def awaited(session: Session, order: Order) -> Refusal | None:
    """Why nothing is said yet of what is left of an order at Klarna: an operation is open. None when none is."""
    return open_operation_refusal(session, order) if order.klarna_order_id is not None else None


def require_nothing_refused(session: Session, order: Order, original: Document | None = None) -> None:
    """Let pass when no refused document awaits a decision.

    Looks at the order's invoices, or with ``original`` at its credit notes. Raises Refusal (F25, K15).
    """
    if original is None:
        document = session.scalar(order_questions.REFUSED_INVOICE, {"order_id": order.id})
        text = N_("Invoice %(number)s awaits a decision: try again or void it first.")
    else:
        document = session.scalar(order_questions.REFUSED_CREDIT, {"original_id": original.id})
        text = N_("Credit note %(number)s awaits a decision. Finish it first.")
    if document is not None:
        raise Refusal(text, link=document_link(document), number=document.number_text)


def document_link(document: Document) -> tuple[str, Mapping[str, object]]:
    """The endpoint and id of a document's page."""
    if document.kind is DocKind.CREDIT_NOTE:
        return "credit_notes.show", {"document_id": document.id}
    return "invoices.show", {"document_id": document.id}
