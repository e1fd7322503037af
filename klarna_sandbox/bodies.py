"""The shapes of request bodies: what breaks one is refused with 422 before any rule is asked."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from klarna_sandbox.records import Doc
from klarna_sandbox.refusals import unprocessable

MOST = 200_000_000
LINES = 1000

Check = Callable[[Any, str], None]


@dataclass(frozen=True)
class Text:
    """Text of limited length, optionally from a list."""

    longest: int | None = None
    values: tuple[str, ...] = ()

    def __call__(self, value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise unprocessable(f"The {path} value must be a string")
        if self.longest is not None and len(value) > self.longest:
            raise unprocessable(f"The size of the {path} value must be between 0 and {self.longest}")
        if self.values and value not in self.values:
            raise unprocessable(f"The {path} value must be one of {', '.join(self.values)}")


@dataclass(frozen=True)
class Whole:
    """A whole number; True and 1.0 are none."""

    least: int | None = None
    most: int | None = None

    def __call__(self, value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise unprocessable(f"The {path} value must be an integer")
        too_small = self.least is not None and value < self.least
        if too_small or (self.most is not None and value > self.most):
            low = "" if self.least is None else f" at least {self.least}"
            high = "" if self.most is None else f" at most {self.most}"
            raise unprocessable(f"The {path} value must be{low}{' and' if low and high else ''}{high}")


@dataclass(frozen=True)
class Many:
    """A list of limited length."""

    each: Check
    fewest: int
    most: int

    def __call__(self, value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise unprocessable(f"The {path} value must be an array")
        if not self.fewest <= len(value) <= self.most:
            raise unprocessable(f"The size of the {path} value must be between {self.fewest} and {self.most}")
        for item in value:
            self.each(item, path)


@dataclass(frozen=True)
class Fields:
    """An object; fields it does not name are let through, as the description does."""

    fields: dict[str, Check]
    required: tuple[str, ...] = ()

    def __call__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise unprocessable(f"The {path or 'request body'} value must be an object")
        prefix = f"{path}/" if path else ""
        for name in self.required:
            if name not in value:
                raise unprocessable(f"The {prefix}{name} value is required")
        for name, check in self.fields.items():
            if name in value:
                check(value[name], prefix + name)


LINE_TYPES = (
    "physical", "discount", "shipping_fee", "sales_tax", "store_credit", "gift_card", "digital", "surcharge", "return_fee",
)  # fmt: skip
SHIPPING_METHODS = (
    "PickUpStore", "Home", "BoxReg", "BoxUnreg", "PickUpPoint", "Own", "Postal", "DHLPackstation", "Digital", "Undefined",
    "PickUpWarehouse", "ClickCollect", "PalletDelivery",
)  # fmt: skip


def _line(types: tuple[str, ...]) -> Fields:
    return Fields(
        {
            "name": Text(255),
            "quantity": Whole(0),
            "unit_price": Whole(None, MOST),
            "total_amount": Whole(None, MOST),
            "type": Text(None, types),
            "reference": Text(255),
            "quantity_unit": Text(10),
            "tax_rate": Whole(0),
            "total_discount_amount": Whole(0, MOST),
            "total_tax_amount": Whole(None, MOST),
            "image_url": Text(1024),
            "product_url": Text(1024),
            "merchant_data": Text(1024),
            "product_identifiers": Fields(
                {
                    "brand": Text(70),
                    "category_path": Text(750),
                    "color": Text(64),
                    "global_trade_item_number": Text(50),
                    "manufacturer_part_number": Text(70),
                    "size": Text(64),
                }
            ),
            "subscription": Fields(
                {
                    "name": Text(255),
                    "interval": Text(None, ("DAY", "WEEK", "MONTH", "YEAR")),
                    "interval_count": Whole(1),
                },
                ("name", "interval", "interval_count"),
            ),
        },
        ("name", "quantity", "unit_price", "total_amount"),
    )


# Kustom's accounts know one more type of line.
ORDER_LINES = {
    "klarna": Many(_line(LINE_TYPES), 0, LINES),
    "kustom": Many(_line((*LINE_TYPES, "package")), 0, LINES),
}
SHIPPING_INFO = Fields(
    {
        "shipping_company": Text(100),
        "shipping_method": Text(None, SHIPPING_METHODS),
        "tracking_number": Text(100),
        "tracking_uri": Text(1024),
        "return_shipping_company": Text(100),
        "return_tracking_number": Text(100),
        "return_tracking_uri": Text(1024),
    }
)
ADDRESS = Fields(
    {
        "attention": Text(255),
        "city": Text(200),
        "country": Text(),
        "email": Text(100),
        "family_name": Text(100),
        "given_name": Text(100),
        "organization_name": Text(255),
        "phone": Text(100),
        "postal_code": Text(10),
        "region": Text(200),
        "street_address": Text(100),
        "street_address2": Text(100),
        "title": Text(20),
    }
)
UPDATE_REFERENCES = Fields({"merchant_reference1": Text(255), "merchant_reference2": Text(255)})
UPDATE_CUSTOMER = Fields({"shipping_address": ADDRESS, "billing_address": ADDRESS})
UPDATE_SHIPPING = Fields({"shipping_info": Many(SHIPPING_INFO, 1, 500)}, ("shipping_info",))
EXTEND_DUE_DATE = Fields({"number_of_days": Whole()}, ("number_of_days",))


def _amount_body(amount: str, provider: str, **more: Check) -> Fields:
    fields: dict[str, Check] = {amount: Whole(0, MOST), "description": Text(255), "order_lines": ORDER_LINES[provider]}
    return Fields({**fields, **more}, (amount,))


CREATE_CAPTURE = {
    provider: _amount_body(
        "captured_amount",
        provider,
        reference=Text(255),
        shipping_info=Many(SHIPPING_INFO, 0, 500),
        shipping_delay=Whole(0),
    )
    for provider in ORDER_LINES
}
CREATE_REFUND = {provider: _amount_body("refunded_amount", provider, reference=Text(255)) for provider in ORDER_LINES}
UPDATE_AUTHORIZATION = {provider: _amount_body("order_amount", provider) for provider in ORDER_LINES}


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def read(raw: bytes) -> Doc:
    """The object a body holds. Raises Refused (422) when it holds none."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise unprocessable("The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise unprocessable("The request body value must be an object")
    return value


def line_faults(lines: list[Doc], amount: int) -> list[str]:
    """What is arithmetically wrong with lines beside an amount: their sum, each line's total, each line's tax (±1)."""
    found = []
    total = sum(line["total_amount"] for line in lines)
    if total != amount:
        found.append(f"The order_lines sum to {total}, the amount is {amount}")
    for place, line in enumerate(lines):
        expected = line["quantity"] * line["unit_price"] - line.get("total_discount_amount", 0)
        if line["total_amount"] != expected:
            found.append(f"order_lines[{place}].total_amount is {line['total_amount']}, expected {expected}")
        if "tax_rate" in line:
            whole = 10_000 + line["tax_rate"]
            if abs(line.get("total_tax_amount", 0) * whole - line["total_amount"] * line["tax_rate"]) > whole:
                found.append(f"Bad value: order_lines[{place}].total_tax_amount")
    return found


UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
