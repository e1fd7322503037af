"""The life of an order as pure rules: each looks at the order, refuses, or changes it. Amounts in minor units."""

import uuid
from datetime import datetime, timedelta

from klarna_sandbox.clock import midnight, parse, stamp
from klarna_sandbox.records import Capture, Doc, Order
from klarna_sandbox.refusals import Refused, not_allowed
from klarna_sandbox.switches import Switchboard

LONGEST_DAYS = 180
OPEN = ("AUTHORIZED", "PART_CAPTURED")
RAISABLE = ("INVOICE", "INVOICE_BUSINESS", "B2B_INVOICE", "ACCOUNT", "BASE_ACCOUNT", "DIRECT_DEBIT")
RAISABLE_FIXED_AMOUNT = ("AT", "DE", "DK", "FI", "FR", "NL", "NO", "SE")
DUE_DATE_METHODS = ("INVOICE", "INVOICE_BUSINESS", "B2B_INVOICE")
DUE_DATE_OPTIONS = {10: 1000, 20: 2000, 30: 3000}
MANDATORY = ("street_address", "postal_code", "city", "country")


def first_expiry(created: datetime, days: int) -> datetime:
    """When a fresh authorization ends: its date plus so many days, midnight UTC."""
    return midnight(created, days)


def age(order: Order, now: datetime, switches: Switchboard) -> bool:
    """What time alone does to an order: expiry, and the cancellation of a rejected one. True when it did."""
    rejected = order.fraud_status == "REJECTED" and order.status == "AUTHORIZED"
    if rejected and not _rejected_grace(order, now, switches):
        order.status, order.remaining_authorized_amount = "CANCELLED", 0
        return True
    if order.status in OPEN and not order.expired and stamp(now) > order.expires_at:
        order.expired, order.remaining_authorized_amount = True, 0
        if order.status == "AUTHORIZED":
            order.status = "EXPIRED"
        elif switches["expiry_part_captured"] == "captured":
            order.status = "CAPTURED"
        return True
    return False


def _rejected_grace(order: Order, now: datetime, switches: Switchboard) -> bool:
    hours = switches.number("rejected_capture_hours")
    return bool(hours and order.rejected_at and now <= parse(order.rejected_at) + timedelta(hours=hours))


def capture(
    order: Order, amount: int, now: datetime, switches: Switchboard, *, reference: str | None = None,
    description: str | None = None, lines: list[Doc] | None = None, shipping_info: list[Doc] | None = None,
) -> Capture:  # fmt: skip
    """Take an amount of what is authorized. Refusals: 403 CAPTURE_NOT_ALLOWED."""

    def refuse(text: str) -> Refused:
        return Refused(403, "CAPTURE_NOT_ALLOWED", text)

    if order.fraud_status in ("PENDING", "STOPPED") or order.status == "CLOSED":
        raise refuse("Capture not allowed")
    if order.fraud_status == "REJECTED" and not _rejected_grace(order, now, switches):
        raise refuse("Capture not allowed")
    if order.status == "CANCELLED":
        raise refuse(f"Order {order.order_id} is cancelled. Capture not possible.")
    if order.expired:
        raise refuse(f"Order {order.order_id} is expired. Capture not possible.")
    if amount == 0 and switches["zero_amount"] == "refuse":
        raise refuse("Capture not allowed")
    left = order.remaining_authorized_amount
    if amount > left:
        if switches["overcapture_text"] == "figures":
            raise refuse(f"Captured amount {amount} is higher than the remaining authorized amount {left}.")
        raise refuse("Captured amount is higher than the remaining authorized amount. Capture not possible.")
    made = Capture(
        capture_id=str(uuid.uuid4()),
        klarna_reference=f"{order.klarna_reference}-{len(order.captures) + 1}",
        captured_amount=amount,
        captured_at=stamp(now),
        description=description,
        reference=reference,
        order_lines=lines or [],
        billing_address=dict(order.billing_address),
        shipping_address=dict(order.shipping_address),
        shipping_info=list(shipping_info or []),
    )
    order.captures.append(made)
    order.captured_amount += amount
    order.remaining_authorized_amount -= amount
    order.status = "PART_CAPTURED" if order.remaining_authorized_amount else "CAPTURED"
    order.acknowledged_at = order.acknowledged_at or stamp(now)
    return made


def cancel(order: Order, switches: Switchboard) -> bool:
    """Give the authorization up, before any capture. True when it changed the order. 403 CANCEL_NOT_ALLOWED."""
    if order.status == "CANCELLED":
        if switches["cancel_again"] == "204":
            return False
        raise Refused(403, "CANCEL_NOT_ALLOWED", "Order is already cancelled. Cancel not possible.")
    if order.captures:
        raise Refused(403, "CANCEL_NOT_ALLOWED", "Order has previous captures. Cancel not possible.")
    if order.status in ("EXPIRED", "CLOSED"):
        raise Refused(403, "CANCEL_NOT_ALLOWED", "Cancel not possible.")
    order.status, order.remaining_authorized_amount = "CANCELLED", 0
    return True


def release(order: Order) -> None:
    """Give back what is not captured; the order amount stays. 403 NOT_ALLOWED."""
    if order.status in ("CANCELLED", "CLOSED") or not order.captures:
        raise not_allowed("Release not allowed.")
    if order.remaining_authorized_amount == 0:
        raise not_allowed("Order is fully captured. Remaining authorization cannot be released.")
    order.remaining_authorized_amount, order.released, order.status = 0, True, "CAPTURED"


def extend(order: Order, now: datetime, days: int) -> bool:
    """Let the authorization live so many days from today, at most 180 from creation. True when the date moved."""
    if order.expired:
        raise not_allowed("Order is expired. Authorization time cannot be extended.")
    last = midnight(parse(order.created_at), LONGEST_DAYS)
    if order.status not in OPEN or "CARD" in order.method or now > last:
        raise not_allowed("Authorization time cannot be extended.")
    moved = stamp(min(midnight(now, days), last))
    changed = moved > order.expires_at
    order.expires_at = max(order.expires_at, moved)
    return changed


def update(order: Order, amount: int, lines: list[Doc]) -> None:
    """Replace total and lines; no lines given means none are left. 403 NOT_ALLOWED."""
    if order.status not in OPEN or order.expired:
        raise not_allowed("Update not allowed.")
    if amount < order.captured_amount:
        raise not_allowed(
            f"Resulting authorization amount {amount} cannot be less than the captured amount {order.captured_amount} "
            "for order. Order authorization cannot be updated"
        )
    if amount > order.order_amount and not _may_rise(order):
        raise not_allowed("Update not allowed.")
    order.order_amount, order.order_lines = amount, lines
    order.remaining_authorized_amount = amount - order.captured_amount
    if order.captures and order.remaining_authorized_amount == 0:
        order.status = "CAPTURED"


def _may_rise(order: Order) -> bool:
    if order.method == "FIXED_AMOUNT":
        return order.purchase_country in RAISABLE_FIXED_AMOUNT
    return order.method in RAISABLE and not (order.method == "DIRECT_DEBIT" and order.purchase_country == "CH")


def acknowledge(order: Order, now: datetime) -> bool:
    """Stop the pushes. True the first time."""
    first = order.acknowledged_at is None
    order.acknowledged_at = order.acknowledged_at or stamp(now)
    return first


def set_references(order: Order, changes: Doc) -> None:
    """The merchant's references: a missing one stays, an empty one is cleared. 403 when cancelled."""
    if order.status == "CANCELLED":
        raise not_allowed("Order is cancelled. Merchant references cannot be updated.")
    for name in ("merchant_reference1", "merchant_reference2"):
        if name in changes:
            setattr(order, name, changes[name] or None)


def set_customer(order: Order, changes: Doc) -> None:
    """The shipping address, field by field. 403 NOT_ALLOWED by state or for a billing address, 422 INVALID_ADDRESS."""
    if "billing_address" in changes:
        raise not_allowed(
            "Billing address cannot be updated for user account order. Customer details cannot be updated."
        )
    if order.status not in OPEN or order.expired:
        raise not_allowed("Customer details cannot be updated.")
    address = {**order.shipping_address, **changes.get("shipping_address", {})}
    if changes.get("shipping_address") and any(not address.get(name) for name in MANDATORY):
        raise Refused(422, "INVALID_ADDRESS", "The shipping and/or billing address is invalid")
    order.shipping_address = {name: value for name, value in address.items() if value != ""}


def find_capture(order: Order, capture_id: str) -> Capture | None:
    """The order's capture with this id."""
    return next((each for each in order.captures if each.capture_id == capture_id), None)


def due_date_options(order: Order) -> dict[int, int]:
    """Days a due date can be moved, with the fee for the merchant; none for methods that are not pay-later."""
    return DUE_DATE_OPTIONS if order.method in DUE_DATE_METHODS else {}


def extend_due_date(order: Order, made: Capture, days: int) -> int:
    """Move a capture's due date; gives the fee. 403 NOT_ALLOWED for days that are no option."""
    options = due_date_options(order)
    if days not in options:
        raise not_allowed("Due date cannot be extended.")
    made.due_date_days += days
    return options[days]


def set_expiry(order: Order, moment: datetime, now: datetime) -> None:
    """By hand: let the authorization end then. A time ahead renews an expired order."""
    order.expires_at = stamp(moment)
    if order.expired and moment > now:
        order.expired = False
        order.remaining_authorized_amount = order.order_amount - order.captured_amount
        if order.captures:
            order.status = "PART_CAPTURED" if order.remaining_authorized_amount else "CAPTURED"
        else:
            order.status = "AUTHORIZED"
