"""The columns of an order file by their names in both languages, and each cell read strictly. Pure.

``docs/order-file.md`` describes them for whoever makes such a file. Amounts are minor units including VAT, quantities
thousandths, rates hundredths of a percent. Source: catalogue rows 1-6, 9, 20, 39-46.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import clock
import money
from errors import N_, BadInput
from services.card_checks import check_text
from states import LineKind, PaymentKind

NAMES: Mapping[str, tuple[str, ...]] = {
    "order": ("order", "ordernr", "ordernummer", "order number"),
    "date": ("date", "datum", "orderdatum", "order date"),
    "payment": ("payment", "betalsätt", "payment method"),
    "currency": ("currency", "valuta"),
    "total": ("total", "ordersumma", "order total"),
    "customer_number": ("customer number", "kundnr", "kundnummer"),
    "name": ("name", "namn", "customer", "kund"),
    "organisation_number": ("organisation number", "organisationsnummer", "orgnr"),
    "email": ("email", "e-mail", "e-post", "epost"),
    "phone": ("phone", "telefon"),
    "street": ("street", "gata", "adress", "address"),
    "street2": ("street 2", "gata 2", "c/o"),
    "postal_code": ("postal code", "postnr", "postnummer"),
    "city": ("city", "ort"),
    "country": ("country", "land"),
    "delivery_name": ("delivery name", "leveransnamn"),
    "delivery_street": ("delivery street", "leveransgata", "leveransadress"),
    "delivery_street2": ("delivery street 2", "leveransgata 2"),
    "delivery_postal_code": ("delivery postal code", "leveranspostnr"),
    "delivery_city": ("delivery city", "leveransort"),
    "delivery_country": ("delivery country", "leveransland"),
    "note": ("note", "notering", "anteckning"),
    "article": ("article", "artikel", "artikelnr", "artikelnummer", "sku"),
    "gtin": ("gtin", "ean"),
    "description": ("description", "benämning"),
    "quantity": ("quantity", "antal"),
    "unit": ("unit", "enhet"),
    "unit_price": ("unit price", "price", "á-pris", "a-pris", "pris"),
    "discount": ("discount", "rabatt"),
    "vat_rate": ("vat", "vat rate", "moms", "momssats"),
    "kind": ("kind", "slag"),
}
"""Each column and what it may be called; the first name is the one the guide uses."""
BY_NAME: Mapping[str, str] = {name: column for column, names in NAMES.items() for name in names}
REQUIRED = ("order", "quantity")
OF_THE_ROW = frozenset(
    {"article", "gtin", "description", "quantity", "unit", "unit_price", "discount", "vat_rate", "kind"}
)
"""Columns that differ from row to row; the others are the order's, and stand on its first row."""
KINDS: Mapping[str, LineKind] = {
    "article": LineKind.ARTICLE,
    "artikel": LineKind.ARTICLE,
    "freight": LineKind.FREIGHT,
    "frakt": LineKind.FREIGHT,
    "fee": LineKind.FEE,
    "avgift": LineKind.FEE,
    "discount": LineKind.DISCOUNT,
    "rabatt": LineKind.DISCOUNT,
    "text": LineKind.TEXT,
}
PAYMENTS: Mapping[str, PaymentKind] = {
    "": PaymentKind.INVOICE,
    "invoice": PaymentKind.INVOICE,
    "faktura": PaymentKind.INVOICE,
    "klarna": PaymentKind.KLARNA,
}
LONGEST: Mapping[str, int] = {
    "order": 100,
    "phone": 100,
    "email": 320,
    "organisation_number": 20,
    "postal_code": 10,
    "delivery_postal_code": 10,
    "country": 2,
    "delivery_country": 2,
    "note": 1000,
    "article": 64,
    "unit": 8,
    "description": 255,
}
EARLIEST = 1990
_RATE = re.compile(r"([0-9]{1,3})(?:[.,]([0-9]{1,2}))?\s?%?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CURRENCY = re.compile(r"[A-Z]{3}")


def text(cell: str, column: str) -> str:
    """A cell that can be stored and shown as it is. Raises BadInput."""
    return check_text(" ".join(cell.split()), LONGEST.get(column, 200), field=column)


def day(cell: str) -> datetime | None:
    """A date as noon of that day, so that it stays that day; None of an empty cell. Raises BadInput."""
    if not cell:
        return None
    refused = BadInput(N_("Write the date as year-month-day, for example 2026-11-20."), field="date")
    try:
        found = date.fromisoformat(cell) if _DAY.fullmatch(cell) else None
    except ValueError:
        raise refused from None
    if found is None or found.year < EARLIEST or found > clock.today():
        raise refused
    return datetime.combine(found, time(12), clock.LOCAL).astimezone(UTC)


def currency(cell: str) -> str:
    """A code of three letters, SEK of an empty cell. Raises BadInput."""
    code = cell.upper() or "SEK"
    if not _CURRENCY.fullmatch(code):
        raise BadInput(N_("Write the currency with three letters, for example SEK."), field="currency")
    return code


def payment(cell: str) -> PaymentKind:
    """How the order is paid. Raises BadInput."""
    found = PAYMENTS.get(cell.casefold())
    if found is None:
        raise BadInput(N_("Write invoice or klarna."), field="payment")
    return found


def kind(cell: str) -> LineKind | None:
    """What a row stands for; None of an empty cell. Raises BadInput."""
    found = KINDS.get(cell.casefold()) if cell else None
    if cell and found is None:
        raise BadInput(N_("Write article, freight, fee, discount or text."), field="kind")
    return found


def rate(cell: str) -> int | None:
    """A VAT rate such as 25, 25 % or 12,5; None of an empty cell. Raises BadInput."""
    if not cell:
        return None
    found = _RATE.fullmatch(cell)
    value = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0")) if found else None
    if value is None or value > 10_000:
        raise BadInput(N_("Write the VAT rate in percent, for example 25."), field="vat_rate")
    return value


def amount(cell: str, column: str, *, signed: bool = False) -> int | None:
    """An amount, comma or point, at most two decimals; None of an empty cell. Raises BadInput."""
    return money.parse_amount(cell, field=column, signed=signed, zero=True) if cell else None


def whole(cell: str, column: str) -> int | None:
    """A number of ours, such as a customer's; None of an empty cell. Raises BadInput."""
    if not cell:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", cell):
        raise BadInput(N_("Write a number with the digits 0–9."), field=column)
    return int(cell)
