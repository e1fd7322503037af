"""Deliveries: goods that left, all or part of an order; stock moves at once and nothing is sent to Klarna (F20)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

import clock
from columns import Flag
from errors import N_, BadInput, Refusal
from models import Delivery, DeliveryLine, Order, OrderLine, Warehouse
from rights import Actor
from services import audit, holds, operations, orders, stock, stock_booking, workplace
from states import KlarnaStatus, MovementKind, OrderState, PaymentKind

MAX_TRACKING_URI = 1024
MAX_CARRIER = 100
"""Klarna's limits of carrier and tracking number, and of the tracking address."""
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\\]")


def deliver(
    session: Session,
    actor: Actor,
    order_id: int,
    quantities: Mapping[int, int],
    *,
    warehouse_id: int,
    carrier: str = "",
    tracking_number: str = "",
    tracking_uri: str = "",
) -> Delivery:
    """Register that goods have left: ``quantities`` are thousandths per order row, rows with 0 are not in the delivery.

    Stock goes out at once. Raises NotFound; Refusal when the order may not be delivered or a row has less left (B24,
    B21, F27, catalogue 42); BadInput for rows, warehouse or tracking that cannot be (catalogue 43).
    """
    order = orders.get(session, order_id, lock=True)
    refusal = why_not(session, order)
    if refusal is not None:
        raise refusal
    chosen = _chosen(session, order, quantities)
    delivery = Delivery(
        order_id=order.id,
        ordinal=_next_ordinal(session, order.id),
        warehouse=_warehouse(session, warehouse_id),
        carrier=_short(carrier, "carrier"),
        tracking_number=_short(tracking_number, "tracking_number"),
        tracking_uri=check_tracking_uri(tracking_uri),
        delivered_at=clock.now(),
        delivered_by=actor.name,
        lines=[DeliveryLine(order_line=line, quantity_milli=milli) for line, milli in chosen],
    )
    order.version += 1
    session.add(delivery)
    session.flush()
    _move_out(session, actor, order, delivery)
    audit.write(
        session,
        actor,
        "delivery.create",
        f"delivery:{delivery.id}",
        {"order": order.number, "ordinal": delivery.ordinal, "rows": {str(line.id): milli for line, milli in chosen}},
    )
    orders.refresh(session, order.id)
    return delivery


def deliver_once(
    session: Session,
    actor: Actor,
    nonce: str,
    order_id: int,
    quantities: Mapping[int, int],
    *,
    warehouse_id: int,
    carrier: str = "",
    tracking_number: str = "",
    tracking_uri: str = "",
) -> Delivery:
    """As ``deliver``, but one form gives one delivery however often it is sent (operations 12).

    Raises what ``operations.earlier_use`` raises when the form was used with other values or by somebody else.
    """
    orders.get(session, order_id, lock=True)
    ordinal = _next_ordinal(session, order_id)
    values = [sorted(quantities.items()), warehouse_id, carrier, tracking_number, tracking_uri]
    used = operations.earlier_use(session, actor, nonce, "deliver", str(order_id), values)
    if used is not None:
        made = sa.select(Delivery).where(Delivery.order_id == order_id, Delivery.ordinal == int(used))
        return session.scalars(made).one()
    operations.use_form(session, actor, nonce, "deliver", str(order_id), values, result=str(ordinal))
    made_now = deliver(
        session,
        actor,
        order_id,
        quantities,
        warehouse_id=warehouse_id,
        carrier=carrier,
        tracking_number=tracking_number,
        tracking_uri=tracking_uri,
    )
    workplace.remember(session, actor, warehouse_id)
    return made_now


def why_not(session: Session, order: Order) -> Refusal | None:
    """Why nothing may be delivered on the order now; None when it may. The page's disabled button says the same."""
    if order.state is OrderState.CANCELLED:
        return Refusal(N_("The order is cancelled and cannot be delivered."))
    if order.klarna_order_id is not None:
        refusal = klarna_says_no(order) or orders.open_operation_refusal(session, order)
        if refusal is not None:
            return refusal
    if not orders.to_deliver(session, order):
        return Refusal(N_("Everything on the order has been delivered."))
    return None


def klarna_says_no(order: Order) -> Refusal | None:
    """Why Klarna's own state of the purchase forbids to deliver and invoice; None when it does not (B21, F27)."""
    if order.klarna_status is KlarnaStatus.CANCELLED:
        return Refusal(N_("The purchase is cancelled at Klarna."))
    if order.klarna_status is KlarnaStatus.EXPIRED:
        return expired(order)
    if order.hold_reason is not None:
        return holds.refusal(order)
    if order.fraud_status == "REJECTED":
        return Refusal(N_("Klarna has turned the purchase down after review. Do not deliver or invoice."))
    if order.fraud_status != "ACCEPTED":
        return Refusal(N_("Klarna is reviewing the purchase. Do not deliver or invoice yet."))
    return None


def lacks_reservation(order: Order) -> Refusal | None:
    """The no to invoicing an order that is to be paid with Klarna and is linked to no purchase: nobody would pay it (F2)."""
    if order.payment_method.kind is not PaymentKind.KLARNA or order.klarna_order_id is not None:
        return None
    return Refusal(
        N_(
            "The order is to be paid with Klarna but has no reservation. Attach its reservation, or make the order anew "
            "with another payment method."
        ),
        link=("incoming.reservation", {"order_id": order.id}),
    )


def expired(order: Order) -> Refusal:
    """The sentence of an expired reservation, with Klarna's own date (F27)."""
    if order.expires_at is None:
        return Refusal(N_("The reservation has expired. Ask Klarna whether it can be renewed."))
    return Refusal(
        N_("The reservation expired on %(day)s. Ask Klarna whether it can be renewed."),
        day=clock.local_date(order.expires_at),
    )


def _chosen(session: Session, order: Order, quantities: Mapping[int, int]) -> list[tuple[OrderLine, int]]:
    rows = {line.id: line for line in order.lines}
    left = {line.id: milli for line, milli in orders.to_deliver(session, order)}
    for line_id, milli in quantities.items():
        if line_id not in rows:
            raise BadInput(N_("The row does not belong to the order."))
        if milli < 0:
            raise BadInput(N_("The quantity cannot be less than 0."), field=f"quantity_{line_id}")
        if milli and not orders.is_delivered(rows[line_id]):
            raise BadInput(N_("The row is not delivered by itself; it goes along with the first delivery."))
        if milli > left.get(line_id, 0):
            raise Refusal(
                N_("The row has %(left_milli)s left to deliver."),
                field=f"quantity_{line_id}",
                left_milli=left.get(line_id, 0),
            )
    chosen = [(line, quantities[line.id]) for line in order.lines if quantities.get(line.id, 0) > 0]
    if not chosen:
        raise BadInput(N_("Nothing has been chosen to deliver. Nothing has been saved."))
    return chosen


def _next_ordinal(session: Session, order_id: int) -> int:
    """The delivery's number within its order, which is locked."""
    last = session.scalar(sa.select(sa.func.max(Delivery.ordinal)).where(Delivery.order_id == order_id))
    return (last or 0) + 1


def _warehouse(session: Session, warehouse_id: int) -> Warehouse:
    found = session.get(Warehouse, warehouse_id) if 0 < warehouse_id <= orders.MAX_ID else None
    if found is None or not found.active:
        raise BadInput(N_("Choose a warehouse."), field="warehouse_id")
    return found


def _move_out(session: Session, actor: Actor, order: Order, delivery: Delivery) -> None:
    """Take stock out row by row, in the order of articles so that two deliveries never wait for each other."""
    moved = []
    for row in sorted(delivery.lines, key=lambda row: (row.order_line.article_id or 0, row.id)):
        article = row.order_line.article
        if article is not None and article.stock_kept:
            one = stock.move(
                session,
                actor,
                article=article,
                warehouse_id=delivery.warehouse_id,
                quantity_milli=-row.quantity_milli,
                kind=MovementKind.DELIVERY,
                delivery_line_id=row.id,
            )
            moved.append(one)
    source = f"stock_delivery:{order.number}:{delivery.ordinal}"
    stock_booking.follow(session, actor, moved, f"Lager, order {order.number}, leverans {delivery.ordinal}", source)


def _short(text: str, field: str) -> str:
    text = text.strip()
    if len(text) > MAX_CARRIER:
        raise BadInput(N_("At most %(most)s characters."), field=field, most=MAX_CARRIER)
    return text


def check_tracking_uri(text: str) -> str:
    """A tracking address as Klarna takes it, or empty. Raises BadInput (catalogue 43).

    http or https, at most 1,024 characters, with a host and without user name, password or blanks.
    """
    text = text.strip()
    if not text:
        return ""
    if len(text) > MAX_TRACKING_URI:
        raise BadInput(N_("At most %(most)s characters."), field="tracking_uri", most=MAX_TRACKING_URI)
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        whole = whole and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or _UNSEEN.search(text):
        raise BadInput(N_("Write a tracking address that begins with http:// or https://."), field="tracking_uri")
    return text


def warehouses(session: Session) -> list[Warehouse]:
    """The warehouses goods can leave from, by code."""
    return list(
        session.scalars(
            sa.select(Warehouse).where(Warehouse.active == sa.literal(True, Flag())).order_by(Warehouse.code)
        )
    )


def awaits_invoice(session: Session, order_id: int) -> bool:
    """Whether rows of a Klarna order are delivered and not invoiced, which Klarna does not pay for (F21)."""
    order = orders.get(session, order_id)
    return order.klarna_order_id is not None and bool(orders.to_invoice(session, order, delivered_only=True))


def listing(session: Session, order_id: int) -> list[Delivery]:
    """The order's deliveries with rows and warehouse, first one first (F13)."""
    return list(
        session.scalars(
            sa.select(Delivery)
            .where(Delivery.order_id == order_id)
            .options(selectinload(Delivery.lines).joinedload(DeliveryLine.order_line), selectinload(Delivery.warehouse))
            .order_by(Delivery.ordinal)
        )
    )
