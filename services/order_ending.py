"""«Makulera order» and «Ta bort order»: a cancelled order stays and is locked, a removed one was never of consequence.

Amounts are minor units. Source: B18.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, Refusal
from models import BatchRow, Delivery, Document, KlarnaBreak, KlarnaCall, KlarnaOp, Order
from rights import Actor, Right
from services import audit, breaks, orders
from states import DocKind, DocState, OrderState

_LIVE_INVOICE = (DocState.PENDING, DocState.ISSUED)
_AT_KLARNA = N_("The order has a reservation at Klarna. Cancel it instead.")


def why_not_cancel(session: Session, order: Order) -> Refusal | None:
    """Why «Makulera order» is off; None when it is on (B18)."""
    if order.state is OrderState.CANCELLED:
        return Refusal(N_("The order is already cancelled."))
    try:
        orders.require_no_open_operation(session, order)
        orders.require_nothing_refused(session, order)
    except Refusal as no:
        return no
    if order.captured_minor and not order.remaining_minor:
        if not _is_invoiced(session, order) and (way := breaks.way_to_book(session, order.id)) is not None:
            return Refusal(
                N_(
                    "Everything of the reservation has been activated or released, outside Kvitta. Adopt the activation first."
                ),
                link=way,
            )
        return Refusal(N_("Everything of the reservation has been activated or released. Credit the invoice instead."))
    if not order.captured_minor and _is_invoiced(session, order):
        return Refusal(N_("Something on the order has been invoiced. Credit the invoice instead."))
    return None


def _is_invoiced(session: Session, order: Order) -> bool:
    wanted = (
        Document.order_id == order.id,
        Document.kind == DocKind.INVOICE,
        Document.state.in_(_LIVE_INVOICE),
    )
    return session.scalar(sa.select(Document.id).where(*wanted).limit(1)) is not None


def cancel(session: Session, actor: Actor, order: Order, op_id: str | None = None) -> None:
    """Cancel the order: it stays, with all its history, and nothing more is delivered or invoiced on it."""
    if order.state is OrderState.CANCELLED:
        return
    order.state = OrderState.CANCELLED
    order.version += 1
    delivered = delivered_unpaid(session, order)
    detail: dict[str, object] = {"op": op_id, "delivered_not_invoiced": delivered}
    audit.write(session, actor, "order.cancel", f"order:{order.id}", detail)
    orders.refresh(session, order.id)


def delivered_unpaid(session: Session, order: Order) -> bool:
    """Whether goods of the order have left and are not invoiced: on a cancelled order nobody pays for them (B18)."""
    held = orders.invoiced(session, order.id)
    gone = orders.delivered(session, order.id)
    return any(milli > held.get(line_id, orders.NOTHING).quantity_milli for line_id, milli in gone.items())


def why_not_remove(session: Session, actor: Actor, order: Order) -> Refusal | None:
    """Why «Ta bort order» is off; None when it is on: admin, and nothing has ever come of the order (B18)."""
    if order.klarna_order_id is not None:
        return Refusal(_AT_KLARNA)
    for of_order, message in (
        (Delivery.order_id, N_("Goods have left on the order. Cancel it instead.")),
        (Document.order_id, N_("The order has an invoice or a credit note. Cancel it instead.")),
        (KlarnaOp.order_id, _AT_KLARNA),
        (KlarnaCall.order_id, _AT_KLARNA),
        (KlarnaBreak.order_id, _AT_KLARNA),
        (BatchRow.order_id, N_("The order is part of something done to many orders at once. Cancel it instead.")),
    ):
        if session.scalar(sa.select(of_order).where(of_order == order.id).limit(1)) is not None:
            return Refusal(message)
    try:
        actor.require(Right.REMOVE_ORDER)
    except Refusal as no:
        return no
    return None


def remove(session: Session, actor: Actor, order_id: int) -> int:
    """«Ta bort order»; gives its number, which is never used again. Raises Refusal, NotAllowed (B18)."""
    actor.require(Right.REMOVE_ORDER)
    order = orders.get(session, order_id, lock=True)
    refusal = why_not_remove(session, actor, order)
    if refusal is not None:
        raise refusal
    number = order.number
    detail: dict[str, object] = {"number": number, "total_minor": orders.total(order), "rows": len(order.lines)}
    audit.write(session, actor, "order.remove", f"order:{order.id}", detail)
    for line in list(order.lines):
        session.delete(line)
    session.flush()
    session.delete(order)
    session.flush()
    return number
