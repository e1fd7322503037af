"""The order's page as plain values: rows, deliveries, documents, history, the Klarna panel, and why buttons are off.

Amounts are minor units including VAT, quantities thousandths. Pure reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, Refusal
from models import Delivery, DeliveryLine, Document, KlarnaOp, Order, OrderLine, Warehouse
from services import (
    breaks,
    currencies,
    deliveries,
    document_outcome,
    exchanged,
    incoming_rows,
    klarna_orders,
    klarna_panel,
    order_history,
    orders,
)
from services.exchanged import Exchanged
from services.klarna_panel import Panel
from services.order_history import Event
from states import (
    DocKind,
    DocState,
    DocType,
    LineKind,
    OpState,
    OrderState,
)


@dataclass(frozen=True, slots=True)
class LineRow:
    """A row of the order with how far it has come; quantities in thousandths."""

    position: int
    kind: LineKind
    article_number: str | None
    name: str
    unit: str
    quantity_milli: int
    unit_price_minor: int
    discount_minor: int
    vat_rate: int
    gross_minor: int
    is_delivered: bool
    delivered_milli: int
    invoiced_milli: int

    @property
    def to_deliver_milli(self) -> int:
        """What is left to deliver, the «Restorder» of a part delivery (B25)."""
        return max(self.quantity_milli - self.delivered_milli, 0) if self.is_delivered else 0

    @property
    def to_invoice_milli(self) -> int:
        """What is left to invoice."""
        return max(self.quantity_milli - self.invoiced_milli, 0)


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery; ``rows`` are names, units and thousandths."""

    ordinal: int
    at: datetime
    by: str
    warehouse: str
    carrier: str
    tracking_number: str
    tracking_uri: str
    rows: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """An invoice, credit note or draft of the order, with the act at Klarna that settles it."""

    id: int
    kind: DocKind
    type: DocType
    state: DocState
    number: str | None
    day: date | None
    gross_minor: int | None
    open_minor: int
    badge: tuple[str, str]
    icon: str | None
    at_klarna: datetime | None
    klarna_number: str | None
    outside: bool


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Everything the order's page shows. ``no_…`` say why a button is off; None when it is on."""

    id: int
    number: int
    version: int
    state: OrderState
    shop_number: str | None
    ordered_at: datetime
    customer_id: int
    customer_number: int
    customer: str
    party: Mapping[str, str]
    payment_method: Mapping[str, str]
    note: str
    currency: str
    delivered: str
    invoiced: str
    icon: str | None
    total_minor: int
    lines: Sequence[LineRow]
    deliveries: Sequence[DeliveryRow]
    exchanges: Sequence[Exchanged]
    documents: Sequence[DocumentRow]
    events: Sequence[Event]
    panel: Panel | None
    to_book: int | None
    """The difference that speaks of a capture made outside, while the order has no document at all."""
    no_delivery: Refusal | None
    no_invoice: Refusal | None
    no_reservation: Refusal | None
    """Why a reservation cannot be attached; asked only where there is none."""
    notices: Sequence[Refusal]
    elsewhere: Mapping[str, str]
    """Where the goods go, when it is not where the customer lives."""


def overview(session: Session, order_id: int) -> OrderPage:
    """The order's page. Raises NotFound."""
    order = orders.get(session, order_id)
    gone, held = orders.delivered(session, order_id), orders.invoiced(session, order_id)
    documents = _documents(session, order)
    to_book = breaks.capture_to_book(session, order_id) if order.captured_minor and not documents else None
    return OrderPage(
        id=order.id,
        number=order.number,
        version=order.version,
        state=order.state,
        shop_number=order.shop_number,
        ordered_at=order.ordered_at,
        customer_id=order.customer_id,
        customer_number=order.customer.number,
        customer=order.customer.name,
        party=_texts(json.loads(order.party)),
        payment_method={"sv": order.payment_method.name_sv, "en": order.payment_method.name_en},
        note=order.note,
        currency=order.currency,
        delivered=order.delivered,
        invoiced=order.invoiced,
        icon=order.icon,
        total_minor=orders.total(order),
        lines=[_line(line, gone.get(line.id, 0), held.get(line.id, orders.NOTHING)) for line in order.lines],
        deliveries=_deliveries(session, order.id),
        exchanges=exchanged.of_order(session, order.id),
        documents=documents,
        events=order_history.events(session, order),
        panel=klarna_panel.panel(session, order),
        to_book=to_book[0] if to_book else None,
        no_delivery=deliveries.why_not(session, order),
        no_invoice=why_not_invoice(session, order),
        no_reservation=_why_no_reservation(session, order) if order.klarna_order_id is None else None,
        notices=incoming_rows.notices(order.lines),
        elsewhere=_texts(json.loads(order.party).get("delivery") or {}),
    )


def _why_no_reservation(session: Session, order: Order) -> Refusal | None:
    try:
        klarna_orders.require_attachable(session, order)
    except Refusal as refusal:
        return refusal
    return None


def _texts(party: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in party.items() if isinstance(value, str)}


def _line(line: OrderLine, gone: int, held: orders.Invoiced) -> LineRow:
    return LineRow(
        position=line.position,
        kind=line.kind,
        article_number=line.article_number,
        name=line.name,
        unit=line.unit,
        quantity_milli=line.quantity_milli,
        unit_price_minor=line.unit_price_minor,
        discount_minor=line.discount_minor,
        vat_rate=line.vat_rate,
        gross_minor=orders.line_gross(line),
        is_delivered=orders.is_delivered(line),
        delivered_milli=gone,
        invoiced_milli=held.quantity_milli,
    )


_DELIVERED = (
    sa.select(
        Delivery.ordinal,
        Delivery.delivered_at,
        Delivery.delivered_by,
        Warehouse.name,
        Delivery.carrier,
        Delivery.tracking_number,
        Delivery.tracking_uri,
        OrderLine.name,
        OrderLine.unit,
        DeliveryLine.quantity_milli,
    )
    .select_from(Delivery)
    .join(Warehouse, Warehouse.id == Delivery.warehouse_id)
    .outerjoin(DeliveryLine, DeliveryLine.delivery_id == Delivery.id)
    .outerjoin(OrderLine, OrderLine.id == DeliveryLine.order_line_id)
    .where(Delivery.order_id == sa.bindparam("order_id"))
    .order_by(Delivery.ordinal, DeliveryLine.id)
)


def _deliveries(session: Session, order_id: int) -> list[DeliveryRow]:
    """The order's deliveries, each with its rows: figures alone, for a page only shows them."""
    found: dict[int, DeliveryRow] = {}
    goods: dict[int, list[tuple[str, str, int]]] = {}
    for ordinal, at, by, place, carrier, number, uri, name, unit, quantity in session.execute(
        _DELIVERED, {"order_id": order_id}
    ):
        rows = goods.setdefault(ordinal, [])
        if ordinal not in found:
            found[ordinal] = DeliveryRow(ordinal, at, by, place, carrier, number, uri, rows)
        if name is not None:
            rows.append((name, unit, quantity))
    return list(found.values())


_DOCUMENTS = (
    sa.select(Document)
    .where(Document.order_id == sa.bindparam("order_id"))
    .order_by(Document.number.desc(), Document.id.desc())
)
_ACTS = (
    sa.select(KlarnaOp).where(KlarnaOp.order_id == sa.bindparam("order_id")).order_by(KlarnaOp.created_at, KlarnaOp.id)
)


def _documents(session: Session, order: Order) -> list[DocumentRow]:
    """The order's documents, drafts first, then the newest number first."""
    found = session.scalars(_DOCUMENTS, {"order_id": order.id}).all()
    acts = session.scalars(_ACTS, {"order_id": order.id}).all()
    latest = {op.document_id: op for op in acts if op.document_id is not None}
    by_id = {op.id: op for op in acts}
    rows = [_document(each, by_id.get(each.issued_by_op_id or ""), latest.get(each.id)) for each in found]
    return sorted(rows, key=lambda row: row.number is not None)


def _document(document: Document, proof: KlarnaOp | None, latest: KlarnaOp | None) -> DocumentRow:
    """A document in the words and with the icon that its list has (F23); ``proof`` is the act that issued it."""
    speaks = latest if document.state is DocState.PENDING else proof
    state = speaks.state if speaks else None
    return DocumentRow(
        id=document.id,
        kind=document.kind,
        type=document.type,
        state=document.state,
        number=document.number_text,
        day=document.issue_date or document.number_date,
        gross_minor=document.gross_minor,
        open_minor=document.open_minor,
        badge=document_outcome.badge(
            document.kind,
            document.state,
            op_state=state,
            refusal=document.refusal_kind,
            without=document.without_klarna_reason,
            reversed_at=document.reversed_at,
        ),
        icon=document_outcome.icon(document.kind, document.state, document.with_klarna, state),
        at_klarna=proof.klarna_event_at if proof else None,
        klarna_number=proof.klarna_short_ref if proof else None,
        outside=proof is not None and proof.state is OpState.EXTERNAL,
    )


def why_not_invoice(session: Session, order: Order) -> Refusal | None:
    """Why «Skapa faktura» is off; None when it is on (F3, B21, F25, F27). What it says is said again on the server."""
    if order.state is OrderState.CANCELLED:
        return Refusal(N_("The order is cancelled and cannot be invoiced."))
    if order.invoiced == "all":
        return orders.awaited(session, order) or Refusal(N_("Everything on the order has been invoiced."))
    refusal = currencies.why_not_invoiced(order.currency)
    if refusal is not None:
        return refusal
    refusal = deliveries.lacks_reservation(order) if orders.total(order) > 0 else None
    if order.klarna_order_id is not None:
        refusal = deliveries.klarna_says_no(order) or orders.open_operation_refusal(session, order)
    if refusal is not None:
        return refusal
    try:
        orders.require_nothing_refused(session, order)
    except Refusal as refusal:
        return refusal
    return None
