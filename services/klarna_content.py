"""Klarna's order as an order that comes in: addresses and rows read through an allow list. Pure.

Nothing of the answer is stored but what is picked here: no national id, no date of birth, a phone number only where goods are
carried home. Amounts are minor units as Klarna counts. Source: reference 2.2 and 2.3; security 57; B14, B29.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from errors import N_, BadInput, Refusal
from services.card_checks import read_email, read_organisation_number, read_postal_code, storable
from services.countries import COUNTRIES
from services.incoming import Buyer, IncomingOrder, Link
from services.incoming_rows import Row, masked
from services.looks import Look, Unreadable
from services.orders import MAX_LINES
from services.register import LONGEST_NAME, LONGEST_UNIT
from states import KlarnaStatus, LineKind, PaymentKind

KINDS: Mapping[str, LineKind] = {
    "physical": LineKind.ARTICLE,
    "digital": LineKind.ARTICLE,
    "package": LineKind.ARTICLE,
    "shipping_fee": LineKind.FREIGHT,
    "surcharge": LineKind.FEE,
    "discount": LineKind.DISCOUNT,
    "store_credit": LineKind.DISCOUNT,
    "gift_card": LineKind.DISCOUNT,
}
"""What Klarna's types of line stand for; a type without a type of ours cannot be booked."""
CARRIED = frozenset({"physical", "package"})
_DIGITS = re.compile("[^0-9]")
_LARGEST = 2**53


class Gone(Refusal):
    """The purchase has come to its end at Klarna: there is nothing to send goods for."""


def incoming(content: Mapping[str, Any], account_id: int, look: Look) -> IncomingOrder:
    """The order as it is to be taken. Raises Unreadable for an answer that is no order, Refusal for one we cannot book."""
    require_alive(look)
    rows = _objects(content.get("order_lines"))
    if not rows:
        raise Refusal(
            N_("The purchase has no rows at Klarna. Make the order by hand and attach the reservation to it.")
        )
    if len(rows) > MAX_LINES:
        raise Refusal(N_("An order has at most %(most)s rows."), most=MAX_LINES)
    billing, shipping = _object(content.get("billing_address")), _object(content.get("shipping_address"))
    carried = any((row.get("type") or "physical") in CARRIED for row in rows)
    buyer = _buyer(billing or shipping, _object(content.get("customer")), carried)
    if not buyer.name:
        buyer = _buyer(shipping, _object(content.get("customer")), carried)
    if not buyer.name:
        buyer = replace(buyer, name=buyer.email or look.reference or look.order_id)
    return IncomingOrder(
        source="klarna",
        buyer=buyer,
        rows=tuple(_row(row) for row in rows),
        payment=PaymentKind.KLARNA,
        delivery=_place(shipping) if shipping else None,
        shop_number=masked(_text(content.get("merchant_reference1"), 255)),
        currency=look.currency,
        ordered_at=_instant(content.get("created_at")),
        stated_minor=look.order_amount,
        link=Link(account_id, look),
    )


def require_alive(look: Look) -> None:
    """Let a purchase pass that goods can still be sent on. Raises Gone."""
    if look.status is KlarnaStatus.CANCELLED:
        raise Gone(N_("The purchase is cancelled at Klarna. No order is made of it."))
    if look.status is KlarnaStatus.EXPIRED:
        raise Gone(N_("The reservation has expired at Klarna. No order is made of it."))
    if look.status is KlarnaStatus.CLOSED and not look.captures:
        raise Gone(N_("The purchase is closed at Klarna. No order is made of it."))


# --- Who -------------------------------------------------------------------------------------------------------------


def _buyer(address: Mapping[str, Any], customer: Mapping[str, Any], carried: bool) -> Buyer:
    place = _place(address)
    country = place.country
    return Buyer(
        name=place.name,
        organisation_number=_organisation_number(customer),
        email=_email(address),
        phone=_text(address.get("phone"), 100) if carried else "",
        street=place.street,
        street2=place.street2,
        postal_code=place.postal_code,
        city=place.city,
        country=country,
    )


def _place(address: Mapping[str, Any]) -> Buyer:
    person = f"{_text(address.get('given_name'), 100)} {_text(address.get('family_name'), 100)}".strip()
    company = _text(address.get("organization_name"), LONGEST_NAME)
    country = _text(address.get("country"), 2).upper()
    country = country if country in COUNTRIES else "SE"
    attention = _text(address.get("attention"), 100) or (person if company else "")
    second = ", ".join(each for each in (attention, _text(address.get("street_address2"), 100)) if each)
    return Buyer(
        name=masked(company or person)[:LONGEST_NAME],
        street=masked(_text(address.get("street_address"), 100)),
        street2=masked(second),
        postal_code=_postal_code(_text(address.get("postal_code"), 10), country),
        city=masked(_text(address.get("city"), 200)),
        country=country,
    )


def _email(address: Mapping[str, Any]) -> str:
    try:
        return read_email(_text(address.get("email"), 320))
    except BadInput:
        return ""


def _postal_code(text: str, country: str) -> str:
    """A Swedish code in its form; one that is none is left out, since the card would not hold it."""
    try:
        return read_postal_code(text, country)
    except BadInput:
        return ""


def _organisation_number(customer: Mapping[str, Any]) -> str:
    """A company's number; a person's, in whatever field it stands, is never read (B29)."""
    try:
        return read_organisation_number(_text(customer.get("organization_registration_id"), 20))
    except BadInput:
        return ""


# --- What ------------------------------------------------------------------------------------------------------------


def _row(line: Mapping[str, Any]) -> Row:
    """A line of Klarna's. Its total rules: where quantity, price and discount do not give it, it is one unit at that total."""
    said = line.get("type") or "physical"
    kind = KINDS.get(said) if isinstance(said, str) else None
    if kind is None:
        raise Refusal(
            N_("The purchase has a row of the kind %(kind)s, which Kvitta cannot book. No order is made of it."),
            kind=_text(said, 40) or "?",
        )
    quantity, price = _whole(line.get("quantity", 1)), _whole(line.get("unit_price"))
    total, off = _whole(line.get("total_amount")), _whole(line.get("total_discount_amount") or 0)
    name = masked(_text(line.get("name"), 255)) or "-"
    if quantity <= 0 or quantity * price - off != total or off < 0:
        name = f"{name} ({quantity})" if quantity > 1 else name
        quantity, price, off = 1, total, 0
    rate = _whole(line.get("tax_rate") or 0)
    if not 0 <= rate <= 10_000:
        raise Unreadable("tax_rate is out of range")
    identifiers = _object(line.get("product_identifiers"))
    return Row(
        quantity_milli=quantity * 1000,
        article_number=masked(_text(line.get("reference"), 255)),
        gtin=_DIGITS.sub("", _text(identifiers.get("global_trade_item_number"), 50)),
        name=name[:255],
        unit=_text(line.get("quantity_unit"), LONGEST_UNIT),
        unit_price_minor=price,
        discount_minor=off,
        vat_rate=rate,
        kind=kind,
    )


# --- Reading what somebody else wrote ---------------------------------------------------------------------------------


def _text(found: Any, most: int) -> str:
    return storable(found, most) if isinstance(found, str) else ""


def _whole(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not -_LARGEST < found < _LARGEST:
        raise Unreadable("a figure of a row is not a whole number")
    return found


def _object(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _objects(found: Any) -> list[Mapping[str, Any]]:
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Unreadable("order_lines is not a list of objects")
    return found


def _instant(found: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None and at.year > 2000 else None
