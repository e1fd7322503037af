"""Papers beside invoices: «Orderbekräftelse», «Plocklista» and «Följesedel», as plain values for paper (B26). Pure reading.

Amounts are minor units including VAT, quantities thousandths of a unit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput, NotFound, Refusal
from models import Delivery, Document, Order, OrderLine, StockMovement, Warehouse
from services import deliveries, documents, orders, settings
from services.documents import Row, VatSum
from states import DocKind, LineKind, OrderState, PaymentKind

MOST = 200
"""Papers that are printed at once; a page of more would keep everybody else waiting."""
_PARTS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands at the top of every paper of an order."""

    order_id: int
    order_number: int
    shop_number: str | None
    ordered_at: datetime
    customer_number: int
    party: Mapping[str, str]
    company: Mapping[str, str]
    note: str


@dataclass(frozen=True, slots=True)
class ConfirmedRow:
    """A row of an order confirmation."""

    kind: LineKind
    article_number: str
    name: str
    unit: str
    quantity_milli: int
    unit_price_minor: int
    discount_minor: int
    vat_rate: int
    gross_minor: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """«Orderbekräftelse»: what was ordered, at which price; ``rest_minor`` is what has not been invoiced yet."""

    head: Head
    payment_method: Mapping[str, str]
    klarna: bool
    currency: str
    rows: Sequence[ConfirmedRow]
    vat: Sequence[VatSum]
    total_minor: int
    rest_minor: int


@dataclass(frozen=True, slots=True)
class PickRow:
    """A row to pick. ``balance_milli`` is what lies in the warehouse, None where no stock is kept."""

    article_number: str
    gtin: str
    name: str
    unit: str
    ordered_milli: int
    left_milli: int
    balance_milli: int | None
    short_milli: int

    @property
    def pick_milli(self) -> int:
        """How much can be taken from the shelf now; the rest is on back order."""
        return self.left_milli - self.short_milli


@dataclass(frozen=True, slots=True)
class PickList:
    """«Plocklista»: what is left to deliver and where it lies. ``stop`` says why nothing may leave yet."""

    head: Head
    warehouse_id: int
    warehouse: str
    warehouses: Sequence[tuple[int, str]]
    rows: Sequence[PickRow]
    stop: Refusal | None


@dataclass(frozen=True, slots=True)
class NoteRow:
    """A row of a delivery note; ``left_milli`` is what is still to come after this delivery."""

    article_number: str
    name: str
    unit: str
    ordered_milli: int
    here_milli: int
    left_milli: int


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """«Följesedel»: what lies in the parcel, without prices, and what is still to come."""

    head: Head
    ordinal: int
    at: datetime
    warehouse: str
    carrier: str
    tracking_number: str
    rows: Sequence[NoteRow]
    to_come: Sequence[NoteRow]


def _head(session: Session, order: Order) -> Head:
    party = {name: value for name, value in json.loads(order.party).items() if isinstance(value, str)}
    company = {name.removeprefix("company."): value for name, value in settings.values(session, "company.").items()}
    return Head(
        order_id=order.id,
        order_number=order.number,
        shop_number=order.shop_number,
        ordered_at=order.ordered_at,
        customer_number=order.customer.number,
        party=party,
        company=company,
        note=order.note,
    )


# --- Order confirmation ----------------------------------------------------------------------------------------------------


def confirmation(session: Session, order_id: int) -> Confirmation:
    """The confirmation of an order. Raises NotFound; Refusal for a cancelled order."""
    order = orders.get(session, order_id)
    if order.state is OrderState.CANCELLED:
        raise Refusal(N_("The order is cancelled and cannot be confirmed."))
    rows = [_priced(line) for line in order.lines]
    documents.spread_vat(rows)
    total = sum(row.gross_minor for row in rows)
    return Confirmation(
        head=_head(session, order),
        payment_method={"sv": order.payment_method.name_sv, "en": order.payment_method.name_en},
        klarna=order.payment_method.kind is PaymentKind.KLARNA,
        currency=order.currency,
        rows=[
            ConfirmedRow(
                kind=row.kind,
                article_number=row.article_number or "",
                name=row.name,
                unit=row.unit,
                quantity_milli=row.quantity_milli,
                unit_price_minor=row.unit_price_minor,
                discount_minor=row.discount_minor,
                vat_rate=row.vat_rate,
                gross_minor=row.gross_minor,
            )
            for row in rows
        ],
        vat=documents.vat_sums(rows),
        total_minor=total,
        rest_minor=total - _invoiced(session, order.id),
    )


def _priced(line: OrderLine) -> Row:
    return Row(
        kind=line.kind,
        name=line.name,
        quantity_milli=line.quantity_milli,
        unit_price_minor=line.unit_price_minor,
        discount_minor=line.discount_minor,
        gross_minor=orders.line_gross(line),
        vat_rate=line.vat_rate,
        unit=line.unit,
        article_number=line.article_number,
        position=line.position,
    )


def _invoiced(session: Session, order_id: int) -> int:
    """What pending and issued invoices of the order come to, advances included: they are deducted on those that follow."""
    query = sa.select(sa.func.sum(Document.gross_minor)).where(
        Document.order_id == order_id, Document.kind == DocKind.INVOICE, Document.state.in_(documents.LIVE)
    )
    return int(session.scalar(query) or 0)


# --- Pick list -------------------------------------------------------------------------------------------------------------


def pick_list(session: Session, order_id: int, warehouse_id: int | None = None) -> PickList:
    """What is left to deliver, with what lies in one warehouse; without one the first. Raises NotFound, BadInput, Refusal."""
    order = orders.get(session, order_id)
    left = orders.to_deliver(session, order)
    if not left:
        raise Refusal(N_("Everything on the order has been delivered."))
    places = deliveries.warehouses(session)
    if not places:
        raise Refusal(N_("There is no warehouse to pick from."))
    place = places[0] if warehouse_id is None else next((each for each in places if each.id == warehouse_id), None)
    if place is None:
        raise BadInput(N_("Choose a warehouse from the list."), field="warehouse")
    return PickList(
        head=_head(session, order),
        warehouse_id=place.id,
        warehouse=place.name,
        warehouses=[(each.id, each.name) for each in places],
        rows=_to_pick(session, left, place),
        stop=deliveries.why_not(session, order),
    )


def _to_pick(session: Session, left: Sequence[tuple[OrderLine, int]], place: Warehouse) -> list[PickRow]:
    """Rows by article number; two rows of one article share what lies there, the first one served first."""
    held = _balances(session, [line.article_id for line, _milli in left if line.article_id is not None], place.id)
    rows = []
    for line, milli in sorted(left, key=lambda each: _shelf_order(each[0])):
        kept = line.article is not None and line.article.stock_kept
        balance = held.get(line.article_id or 0, 0) if kept else None
        short = 0 if balance is None else milli - min(milli, max(balance, 0))
        if balance is not None:
            held[line.article_id or 0] = balance - (milli - short)
        rows.append(
            PickRow(
                article_number=line.article_number or "",
                gtin=(line.article.gtin or "") if line.article is not None else "",
                name=line.name,
                unit=line.unit,
                ordered_milli=line.quantity_milli,
                left_milli=milli,
                balance_milli=balance,
                short_milli=short,
            )
        )
    return rows


def _shelf_order(line: OrderLine) -> tuple[bool, list[tuple[int, str]], int]:
    """As a person looks along a shelf: ART-9 before ART-10, what has no number last."""
    number = (line.article_number or "").casefold()
    parts = [(int(part), "") if part.isdigit() else (-1, part) for part in _PARTS.split(number) if part]
    return not number, parts, line.position


def _balances(session: Session, article_ids: Sequence[int], warehouse_id: int) -> dict[int, int]:
    rows = session.execute(
        sa.select(StockMovement.article_id, sa.func.sum(StockMovement.quantity_milli))
        .where(StockMovement.article_id.in_(article_ids), StockMovement.warehouse_id == warehouse_id)
        .group_by(StockMovement.article_id)
    )
    return {article_id: int(milli) for article_id, milli in rows}


# --- Delivery note -----------------------------------------------------------------------------------------------------------


def delivery_note(session: Session, order_id: int, ordinal: int) -> DeliveryNote:
    """The note of one of the order's deliveries. Raises NotFound."""
    order = orders.get(session, order_id)
    made = deliveries.listing(session, order_id)
    found = next((each for each in made if each.ordinal == ordinal), None)
    if found is None:
        raise NotFound
    here = {row.order_line_id: row.quantity_milli for row in found.lines}
    gone: dict[int, int] = {}
    for each in made:
        if each.ordinal <= ordinal:
            for row in each.lines:
                gone[row.order_line_id] = gone.get(row.order_line_id, 0) + row.quantity_milli
    rows = [
        NoteRow(
            article_number=line.article_number or "",
            name=line.name,
            unit=line.unit,
            ordered_milli=line.quantity_milli,
            here_milli=here.get(line.id, 0),
            left_milli=max(line.quantity_milli - gone.get(line.id, 0), 0),
        )
        for line in order.lines
        if orders.is_delivered(line)
    ]
    return DeliveryNote(
        head=_head(session, order),
        ordinal=found.ordinal,
        at=found.delivered_at,
        warehouse=found.warehouse.name,
        carrier=found.carrier,
        tracking_number=found.tracking_number,
        rows=[row for row in rows if row.here_milli],
        to_come=[row for row in rows if row.left_milli],
    )


def place_of_delivery(session: Session, delivery_id: int) -> tuple[int, int]:
    """The order of a delivery and its number there. Raises NotFound."""
    found = session.get(Delivery, delivery_id)
    if found is None:
        raise NotFound
    return found.order_id, found.ordinal


# --- Many at once ----------------------------------------------------------------------------------------------------------


def read_ids(text: str) -> list[int]:
    """The ids of what is to be printed, in their order and each once. Raises BadInput for none, too many and what is no id."""
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    if not parts:
        raise BadInput(N_("Choose what to print first."))
    if len(parts) > MOST:
        raise BadInput(N_("At most %(most)s papers can be printed at once."), most=MOST)
    if not all(part.isascii() and part.isdigit() and len(part) <= 15 for part in parts):
        raise BadInput(N_("Choose what to print from the list."))
    return list(dict.fromkeys(int(part) for part in parts))
