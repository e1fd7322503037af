"""The rest that goes with the last invoice: a confirmed capture whose document says so leads to a release.

It is prepared in the transaction that issues the invoice, and sent by the janitor like anything that waited its turn.
Amounts are minor units. Source: F8; operations 6.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

import clock
from errors import BrokenRule
from klarna_client import KlarnaClient
from models import Document, Installation, KlarnaOp, Order
from rights import Actor
from services import audit, drift, effects, operations
from states import OpKind


def after_capture(session: Session, actor: Actor, capture: KlarnaOp, document: Document) -> KlarnaOp | None:
    """Prepare the release of what a capture has left; None when it has left nothing, or nothing may be sent now."""
    order = session.get_one(Order, capture.order_id)
    if order.klarna_order_id is None:
        raise BrokenRule("what was captured has a Klarna order")
    captured = drift.ours(session, order.id).captured
    if (order.captured_minor or 0) + (order.remaining_minor or 0) <= captured:
        return None
    installation = session.get_one(Installation, 1)
    if installation.numbering_frozen or not installation.sending_enabled:
        # The invoice is issued all the same; the order's page still offers to release the rest.
        audit.write(session, actor, "order.release_not_begun", f"order:{order.id}", {"document": document.id})
        return None
    now = clock.now()
    op = operations.intend(
        session,
        actor,
        kind=OpKind.RELEASE,
        order=order,
        document=None,
        amount_minor=None,
        request=KlarnaClient.release_remaining(order.klarna_order_id),
        nonce=None,
        next_run_at=now,
        hold_reason="slot",
        evidence=effects.before_release(now, captured),
    )
    audit.write(session, actor, "order.release", f"order:{order.id}", {"op": op.id, "document": document.id})
    return op
