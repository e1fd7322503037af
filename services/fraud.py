"""Klarna's review of a purchase: what a notification leads to, and lifting a stop. Owns its transactions.

A notification is never believed: it is a reason to ask Klarna, and what Klarna then shows is kept like any other look.
Source: B21; reference 2.10 and 3.2; security 52.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

import db
from models import Order, Push
from rights import Actor, Right
from services import holds, orders, reservations
from services.gateway import Gateway
from services.money_forms import earlier_use, use_form

UNKNOWN_ORDER = "unknown_order"
"""What a notification about a purchase of nobody's comes to."""


def notified(klarna: Gateway, push_id: int) -> str:
    """Read the purchase of a stored notification back from Klarna and keep what it shows: accepted, turned down, stopped.

    Returns Klarna's own status of the review, or ``UNKNOWN_ORDER`` where no order of this account has the purchase. The same
    notification twice changes nothing. Raises NotReached: whoever keeps the notifications tries again later.
    """
    with db.reading() as session:
        push = session.get_one(Push, push_id)
        order_id = session.scalar(
            select(Order.id).where(Order.klarna_order_id == push.klarna_order_id, Order.account_id == push.account_id)
        )
    if order_id is None:
        return UNKNOWN_ORDER
    return reservations.look_at(klarna, order_id).fraud_status


def lift(klarna: Gateway, actor: Actor, order_id: int, reason: str, nonce: str) -> None:
    """«Häv stoppet»: after a look made now, and only when Klarna accepts the purchase again.

    The same form again does it once. Raises NotAllowed, BadInput for a blank reason, Refusal while Klarna says no,
    NotReached while it cannot be asked.
    """
    actor.require(Right.LIFT_HOLD)
    with db.reading() as session:
        if earlier_use(session, actor, nonce, "lift", str(order_id), reason) is not None:
            return
        holds.require_stopped(orders.get(session, order_id))
    reservations.look_at(klarna, order_id)

    def work(session: Session) -> None:
        order = orders.get(session, order_id, lock=True)
        if earlier_use(session, actor, nonce, "lift", str(order_id), reason) is not None:
            return
        holds.lift(session, actor, order, reason)
        use_form(session, actor, nonce, "lift", str(order_id), reason, str(order_id))
        orders.refresh(session, order_id)

    db.transact(work)
