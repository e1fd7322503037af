"""One act on an order with all that follows: the rule, its settlement rows, its warnings, its place on disk.

Both the API and the stand-in for the Merchant Portal act through these. Call them inside `world.working()`.
"""

import secrets
import uuid
from datetime import datetime
from typing import Any

from klarna_sandbox import bodies, callbacks, orders, refunds, settlements, shapes
from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Capture, Doc, Merchant, Order, Refund
from klarna_sandbox.refusals import Misuse, unprocessable
from klarna_sandbox.world import World

REFERENCE_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
FRAUD = ("ACCEPTED", "PENDING", "REJECTED", "STOPPED")
SEED_FIELDS = (
    "purchase_currency", "purchase_country", "locale", "merchant_reference1", "merchant_reference2", "merchant_data",
    "customer", "billing_address", "shipping_address", "selected_shipping_option", "merchant_urls", "klarna_reference",
    "shipping_info", "acknowledged_at",
)  # fmt: skip


def authorization_days(world: World, order: Order) -> int:
    """How long the account's authorizations live."""
    return world.merchant_of(order).authorization_days or world.switches.number("authorization_days")


def _check_lines(world: World, order: Order, lines: list[Doc], amount: int) -> None:
    for fault in bodies.line_faults(lines, amount) if lines else []:
        if world.switches["strict_lines"] == "refuse":
            raise unprocessable(fault)
        world.warn(fault, order.mid, order.order_id)


def age(world: World, order: Order, now: datetime) -> Order:
    """Let time do its work on an order before anything looks at it."""
    before = shapes.order(order) if stamp(now) > order.expires_at or order.fraud_status == "REJECTED" else None
    if orders.age(order, now, world.switches):
        world.changed(order, before)
    return order


def capture(world: World, order: Order, amount: int, **given: Any) -> Capture:
    """Capture, with the rows for settlement."""
    now = world.clock.now()
    before = shapes.order(age(world, order, now))
    _check_lines(world, order, given.get("lines") or [], amount)
    made = orders.capture(order, amount, now, world.switches, **given)
    settlements.record_capture(world, order, made)
    world.changed(order, before)
    return made


def refund(world: World, order: Order, amount: int, **given: Any) -> Refund:
    """Refund, with the row for settlement and a warning when no capture could be found for it."""
    now = world.clock.now()
    before = shapes.order(age(world, order, now))
    _check_lines(world, order, given.get("lines") or [], amount)
    made = refunds.refund(order, amount, now, world.switches, **given)
    if made.capture_id is None:
        world.warn(f"Refund {made.refund_id} is not allocated to a capture.", order.mid, order.order_id)
    settlements.record_refund(world, order, made)
    world.changed(order, before)
    return made


def cancel(world: World, order: Order) -> bool:
    before = shapes.order(age(world, order, world.clock.now()))
    if changed := orders.cancel(order, world.switches):
        world.changed(order, before)
    return changed


def release(world: World, order: Order) -> None:
    before = shapes.order(age(world, order, world.clock.now()))
    orders.release(order)
    world.changed(order, before)


def extend(world: World, order: Order) -> bool:
    now = world.clock.now()
    before = shapes.order(age(world, order, now))
    if changed := orders.extend(order, now, authorization_days(world, order)):
        world.changed(order, before)
    return changed


def update(world: World, order: Order, amount: int, lines: list[Doc]) -> None:
    before = shapes.order(age(world, order, world.clock.now()))
    _check_lines(world, order, lines, amount)
    orders.update(order, amount, lines)
    world.changed(order, before)


def extend_due_date(world: World, order: Order, made: Capture, days: int) -> None:
    fee = orders.extend_due_date(order, made, days)
    settlements.record_due_date_fee(world, order, made, fee, world.clock.now())
    world.changed(order, shapes.order(order))


def set_fraud(world: World, order: Order, status: str) -> None:
    """A decision on the order's risk: kept, and told to the merchant. Raises Misuse."""
    if status not in FRAUD:
        raise Misuse(f"A fraud status is one of {', '.join(FRAUD)}.")
    now = world.clock.now()
    before = shapes.order(age(world, order, now))
    order.fraud_status = status
    order.rejected_at = stamp(now) if status == "REJECTED" else None
    callbacks.begin_notification(world, order, now)
    world.changed(order, before)


def close(world: World, order: Order) -> None:
    """Close the order, as Klarna does by hand: what is left of the authorization is gone."""
    before = shapes.order(age(world, order, world.clock.now()))
    order.status, order.remaining_authorized_amount = "CLOSED", 0
    world.changed(order, before)


def set_expiry(world: World, order: Order, moment: datetime) -> None:
    now = world.clock.now()
    before = shapes.order(age(world, order, now))
    orders.set_expiry(order, moment, now)
    orders.age(order, now, world.switches)
    world.changed(order, before)


def _default_lines(amount: int) -> list[Doc]:
    tax = settlements.half_up(amount, 2500, 12_500)
    return [
        {
            "type": "physical", "reference": "ART-1", "name": "Vara", "quantity": 1, "unit_price": amount,
            "tax_rate": 2500, "total_amount": amount, "total_discount_amount": 0, "total_tax_amount": tax,
        }
    ]  # fmt: skip


def _klarna_reference() -> str:
    return "".join(secrets.choice(REFERENCE_SIGNS) for _ in range(8))


def seed(world: World, merchant: Merchant, wish: Doc) -> Order:
    """An order as if a consumer had just bought. Any field may be given; see `Control.order`. Raises Misuse."""
    wish = dict(wish)
    now = world.clock.now()
    lines = wish.pop("order_lines", None)
    amount = wish.pop("order_amount", None)
    if amount is None:
        amount = sum(line["total_amount"] for line in lines) if lines else 10_000
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 <= amount <= bodies.MOST:
        raise Misuse("order_amount is a whole number of minor units from 0 to 200000000.")
    created = parse(wish.pop("created_at")) if wish.get("created_at") else now
    wish.pop("created_at", None)
    expires = parse(wish.pop("expires_at")) if wish.get("expires_at") else None
    wish.pop("expires_at", None)
    order_id = str(wish.pop("order_id", None) or uuid.uuid4())
    if order_id in world.orders:
        raise Misuse(f"There already is an order {order_id}.")
    days = merchant.authorization_days or world.switches.number("authorization_days")
    method = wish.pop("initial_payment_method", None) or "INVOICE"
    if isinstance(method, str):
        method = {"type": method, "description": method.replace("_", " ").capitalize()}
    fraud = wish.pop("fraud_status", None) or "ACCEPTED"
    if fraud not in FRAUD:
        raise Misuse(f"A fraud status is one of {', '.join(FRAUD)}.")
    captures = wish.pop("captures", None) or []
    fields = {name: wish.pop(name) for name in SEED_FIELDS if wish.get(name) is not None}
    for name in SEED_FIELDS:
        wish.pop(name, None)
    if wish:
        raise Misuse(f"An order does not take {', '.join(sorted(wish))}.")
    order = Order(
        order_id=order_id,
        mid=merchant.mid,
        order_amount=amount,
        original_order_amount=amount,
        remaining_authorized_amount=amount,
        klarna_reference=fields.pop("klarna_reference", None) or _klarna_reference(),
        created_at=stamp(created),
        expires_at=stamp(expires or orders.first_expiry(created, days)),
        order_lines=_default_lines(amount) if lines is None else lines,
        initial_payment_method=method,
        fraud_status=fraud,
        rejected_at=stamp(now) if fraud == "REJECTED" else None,
        **fields,
    )
    world.add_order(order)
    for each in captures:
        capture(
            world, order, each.get("captured_amount", order.remaining_authorized_amount), reference=each.get("reference"),
            description=each.get("description"), lines=each.get("order_lines"), shipping_info=each.get("shipping_info"),
        )  # fmt: skip
    callbacks.begin_push(world, order)
    return order
