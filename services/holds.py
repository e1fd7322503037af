"""Stops after acceptance: Klarna had accepted a purchase and says no afterwards; delivery and invoicing wait for a person.

A stop outlives Klarna's own no: when Klarna accepts again, Finance or an administrator lifts it, with a reason. Rules alone.
Source: B21; reference 2.10 and 3.2.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Order, OrderHold
from rights import SYSTEM, Actor, Right
from services import audit, documents

ACCEPTED = "ACCEPTED"
STOPPED = "STOPPED"
REJECTED = "REJECTED"
NOTES = {STOPPED: "FRAUD_STOPPED", REJECTED: "FRAUD_REJECTED"}
"""What an order keeps as the reason of its stop: a code, never a sentence."""


def note(session: Session, order: Order, fraud_status: str) -> None:
    """Stop an order whose look shows a no after acceptance; called under its lock, before the look's own status is kept.

    STOPPED is a no after acceptance by itself; REJECTED only where we had seen ACCEPTED.
    """
    stopped = fraud_status == STOPPED != order.fraud_status
    rejected = fraud_status == REJECTED and order.fraud_status == ACCEPTED
    if order.hold_reason is not None or not (stopped or rejected):
        return
    order.hold_reason, order.held_at = NOTES[fraud_status], clock.now()
    order.version += 1
    _tell(session, SYSTEM, order, "held", NOTES[fraud_status])


def _tell(session: Session, actor: Actor, order: Order, what: str, reason: str) -> None:
    """Write what the order's history shows, and the log."""
    session.add(OrderHold(order_id=order.id, what=what, reason=reason, at=clock.now(), by=actor.name))
    session.flush()
    audit.write(session, actor, f"order.{what}", f"order:{order.id}", {"number": order.number})


def refusal(order: Order) -> Refusal | None:
    """Why nothing may be delivered or invoiced while a stop stands; None when none does."""
    if order.hold_reason is None:
        return None
    return Refusal(
        N_(
            "Klarna stopped the purchase on %(day)s after having accepted it. Do not deliver or invoice. "
            "Finance or an administrator can lift the stop."
        ),
        day=clock.local_date(order.held_at or clock.now()),
    )


def require_none(order: Order) -> None:
    """Let pass an order without a stop; asked under the order's lock. Raises Refusal."""
    found = refusal(order)
    if found is not None:
        raise found


def require_stopped(order: Order) -> None:
    """Let pass an order that a stop stands on. Raises Refusal."""
    if order.hold_reason is None:
        raise Refusal(N_("The order is not stopped. Nothing has been changed."))


def why_not_lift(actor: Actor, order: Order) -> Refusal | None:
    """Why «Häv stoppet» is off: the role, or Klarna itself still says no."""
    if not actor.may(Right.LIFT_HOLD):
        return Refusal(N_("Only Finance or an administrator can lift the stop."))
    if order.fraud_status != ACCEPTED:
        return Refusal(N_("Klarna still stops the purchase. The stop can be lifted once Klarna has accepted it."))
    return None


def lift(session: Session, actor: Actor, order: Order, reason: str) -> None:
    """«Häv stoppet» on a locked order that has just been read at Klarna. Raises NotAllowed, BadInput, Refusal."""
    actor.require(Right.LIFT_HOLD)
    reason = documents.read_reason(reason)
    require_stopped(order)
    refused = why_not_lift(actor, order)
    if refused is not None:
        raise refused
    order.hold_reason = order.held_at = None
    order.version += 1
    _tell(session, actor, order, "lifted", reason)
