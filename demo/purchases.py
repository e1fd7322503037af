"""A purchase as the shop sends it to Klarna: the same rows, amounts and addresses as the order in Kvitta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import money
from models import Customer
from services.orders import NewLine
from states import LineKind

_TYPES = {LineKind.FREIGHT: "shipping_fee", LineKind.FEE: "surcharge", LineKind.DISCOUNT: "discount"}


def _line(line: NewLine, place: int) -> dict[str, object]:
    """A row for Klarna; a quantity with decimals goes as one of its sum."""
    whole = line.quantity_milli % 1000 == 0
    gross = line.gross_minor
    return {
        "type": _TYPES.get(line.kind, "physical"),
        "reference": line.article_number or f"{line.kind.value}-{place}",
        "name": line.name,
        "quantity": line.quantity_milli // 1000 if whole else 1,
        "quantity_unit": line.unit,
        "unit_price": line.unit_price_minor if whole else gross + line.discount_minor,
        "tax_rate": line.vat_rate,
        "total_amount": gross,
        "total_discount_amount": line.discount_minor,
        "total_tax_amount": money.vat_of_gross(gross, line.vat_rate),
    }


def _address(buyer: Customer) -> dict[str, str]:
    given, _, family = buyer.name.partition(" ")
    named = {"given_name": given, "family_name": family}
    if buyer.organisation_number:
        named = {"given_name": "Inköp", "family_name": "Avdelningen", "organization_name": buyer.name}
    return {
        **named,
        "email": buyer.email or "",
        "phone": buyer.phone or "",
        "street_address": buyer.street,
        "postal_code": buyer.postal_code,
        "city": buyer.city,
        "country": buyer.country,
    }


def purchase(store_id: str, buyer: Customer, lines: Sequence[NewLine], shop_number: str, method: str) -> dict[str, Any]:
    """What Klarna is told when somebody pays; the sandbox takes it as it is."""
    customer: dict[str, str] = {"type": "person"}
    if buyer.organisation_number:
        customer = {"type": "organization", "organization_registration_id": buyer.organisation_number}
    return {
        "mid": store_id,
        "order_lines": [_line(line, place) for place, line in enumerate(lines, start=1)],
        "order_amount": sum(line.gross_minor for line in lines),
        "purchase_currency": "SEK",
        "purchase_country": "SE",
        "locale": "sv-SE",
        "merchant_reference1": shop_number,
        "initial_payment_method": method,
        "customer": customer,
        "billing_address": _address(buyer),
        "shipping_address": _address(buyer),
    }
