"""Refunds as pure rules: how much, on what, and which capture they fall on. Amounts in minor units."""

import uuid
from datetime import datetime, timedelta

from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Capture, Doc, Order, Refund
from klarna_sandbox.refusals import Refused, unprocessable
from klarna_sandbox.switches import Switchboard

OLDER_COUNTRIES = ("AT", "DE", "DK", "FI", "FR", "NL", "NO", "SE")
NEWER_COUNTRIES = (*OLDER_COUNTRIES, "IT", "ES", "IE", "PT", "CZ", "AU", "GR")


def refuse(text: str) -> Refused:
    return Refused(403, "REFUND_NOT_ALLOWED", text)


def refund(
    order: Order, amount: int, now: datetime, switches: Switchboard, *, reference: str | None = None,
    description: str | None = None, lines: list[Doc] | None = None,
) -> Refund:  # fmt: skip
    """Give back an amount of what was captured. Status and remaining authorization stay. 403 REFUND_NOT_ALLOWED."""
    if any(line.get("type") == "return_fee" and line["total_amount"] == 0 for line in lines or []):
        raise unprocessable("The order_lines/total_amount value must not be 0 for return_fee")
    if not order.captures:
        raise refuse("Order has no captures. Refund not possible")
    if amount == 0 and switches["zero_amount"] == "refuse":
        raise refuse("Refund not allowed")
    if amount > order.captured_amount - order.refunded_amount:
        raise refuse("Over refund is not allowed. Refund not possible.")
    if order.status == "CLOSED" and switches["closed_refund"] == "refuse":
        raise refuse("Refund not allowed")
    days = switches.number("refund_limit_days")
    if days and now > parse(order.captures[-1].captured_at) + timedelta(days=days):
        raise refuse("Refund period has passed. Refund not possible.")
    _check_return_fee(order, amount, lines or [], switches)
    hit = _allocate(order, amount, lines or [])
    made = Refund(
        refund_id=str(uuid.uuid4()),
        refunded_amount=amount,
        refunded_at=stamp(now),
        description=description,
        reference=reference,
        order_lines=lines or [],
        credit_invoice=False if order.method in ("INVOICE_BUSINESS", "B2B_INVOICE") else None,
        capture_id=hit.capture_id if hit else None,
    )
    order.refunds.append(made)
    order.refunded_amount += amount
    if hit:
        hit.refunded_amount += amount
    else:
        order.allocation_failed = True
    return made


def _check_return_fee(order: Order, amount: int, lines: list[Doc], switches: Switchboard) -> None:
    fees = [line for line in lines if line.get("type") == "return_fee"]
    if not fees:
        return
    countries = NEWER_COUNTRIES if switches["return_fee_countries"] == "newer" else OLDER_COUNTRIES
    whole = len(order.captures) == 1 and order.captures[0].captured_amount == order.order_amount
    negative = all(line["total_amount"] < 0 and line["unit_price"] < 0 for line in fees)
    exact = sum(line["total_amount"] for line in lines) == amount
    if not (whole and negative and exact and order.purchase_country in countries):
        raise refuse("Return fee is not allowed. Refund not possible.")


def _allocate(order: Order, amount: int, lines: list[Doc]) -> Capture | None:
    """The capture a refund falls on: the only one, or the earliest that has all its line references and the room."""
    if order.allocation_failed:
        return None
    if len(order.captures) == 1:
        return order.captures[0]
    wanted = {line.get("reference") for line in lines}
    if not wanted or None in wanted or sum(line["total_amount"] for line in lines) != amount:
        return None
    for made in order.captures:
        present = {line.get("reference") for line in made.order_lines}
        if wanted <= present and amount <= made.captured_amount - made.refunded_amount:
            return made
    return None
