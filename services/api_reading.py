"""What the JSON interface is sent, read strictly: every fault named with its field, unknown fields too, nothing guessed. Pure.

Amounts are whole minor units including VAT, VAT rates hundredths of a percent, quantities whole numbers or texts such as
``"0.5"``: no float ever comes near. The shape is that of ``blueprints/openapi.json``. Source: catalogue rows 1-9, 14, 44-46, 76.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import clock
import money
from errors import N_, BadInput, Refusal
from services.card_checks import check_text, read_email, read_gtin, read_organisation_number, read_postal_code
from services.countries import COUNTRIES
from services.incoming import Buyer, IncomingOrder
from services.incoming_rows import Row
from services.orders import MAX_LINES
from states import LineKind, PaymentKind

Value = TypeVar("Value")
KINDS = {
    kind.value: kind for kind in (LineKind.ARTICLE, LineKind.FREIGHT, LineKind.FEE, LineKind.DISCOUNT, LineKind.TEXT)
}
PAYMENTS = {kind.value: kind for kind in PaymentKind}
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_QUANTITY = re.compile(r"[0-9]{1,7}(\.[0-9]+)?")
_MOST_PROBLEMS = 100


class Unfit(BadInput):
    """What was sent cannot be an order; ``problems`` name each field with its sentence."""

    def __init__(self, problems: Sequence[tuple[str, Refusal]]) -> None:
        super().__init__(N_("The order cannot be read. Nothing has been taken in."))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as it was sent: by which store and Klarna order id it is paid, and whose number the customer has."""

    incoming: IncomingOrder
    customer_number: int | None = None
    store_id: str = ""
    klarna_order_id: str = ""


class _Fields:
    """An object of the body, read field by field; faults are gathered with the path of their field."""

    def __init__(self, found: Any, path: str, problems: list[tuple[str, Refusal]]) -> None:
        self._path, self._problems = path, problems
        self._found: Mapping[str, Any] = found if isinstance(found, dict) else {}
        self._known: set[str] = set()
        if not isinstance(found, dict):
            self.wrong("", BadInput(N_("An object is expected here.")))

    def at(self, name: str) -> str:
        """The path of a field."""
        return f"{self._path}.{name}" if self._path and name else self._path or name

    def wrong(self, name: str, why: Refusal) -> None:
        """Note a fault."""
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append((self.at(name), why))

    def has(self, name: str) -> bool:
        """Whether the field was sent with a value."""
        return self._found.get(name) is not None

    def take(
        self, name: str, kind: type, read: Callable[[Any], Value], default: Value, *, required: bool = False
    ) -> Value:
        """A field's value; its default where it was left out or cannot be read."""
        self._known.add(name)
        found = self._found.get(name)
        if found is None:
            if required:
                self.wrong(name, BadInput(N_("This field must be filled in.")))
            return default
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            expected = {str: N_("A text is expected here."), int: N_("A whole number is expected here.")}
            self.wrong(name, BadInput(expected.get(kind, N_("The value is not of the kind that is expected here."))))
            return default
        try:
            return read(found)
        except Refusal as why:
            self.wrong(name, why)
            return default

    def text(self, name: str, most: int, *, required: bool = False, lines: bool = False) -> str:
        """A text that can be stored and shown as it is."""

        def read(found: str) -> str:
            said = check_text(found.strip(), most, lines=lines)
            if required and not said:
                raise BadInput(N_("This field must be filled in."))
            return said

        return self.take(name, str, read, "", required=required)

    def whole(self, name: str, least: int, most: int, *, required: bool = False) -> int | None:
        """A whole number within limits."""

        def read(found: int) -> int | None:
            if not least <= found <= most:
                raise BadInput(N_("Enter a whole number from %(least)s to %(most)s."), least=str(least), most=str(most))
            return found

        return self.take(name, int, read, None, required=required)

    def one_of(self, name: str, choices: Mapping[str, Value], default: Value) -> Value:
        """One of a list."""

        def read(found: str) -> Value:
            if found not in choices:
                raise BadInput(N_("Write one of %(choices)s."), choices=", ".join(choices))
            return choices[found]

        return self.take(name, str, read, default)

    def inner(self, name: str) -> _Fields | None:
        """An object within; None where it was left out."""
        self._known.add(name)
        return _Fields(self._found[name], self.at(name), self._problems) if self.has(name) else None

    def many(self, name: str, most: int) -> list[_Fields]:
        """A list of objects, at least one."""
        self._known.add(name)
        found = self._found.get(name)
        if not isinstance(found, list) or not 0 < len(found) <= most:
            self.wrong(name, BadInput(N_("A list of 1 to %(most)s objects is expected here."), most=most))
            return []
        return [_Fields(each, f"{self.at(name)}[{place}]", self._problems) for place, each in enumerate(found)]

    def end(self) -> None:
        """Every field has been asked for: what is left over is unknown."""
        for name in list(self._found)[:_MOST_PROBLEMS]:
            if name not in self._known:
                self.wrong(name[:40], BadInput(N_("There is no such field.")))


def order(body: Any) -> Wish:
    """An order that was sent. Raises Unfit with every fault of it."""
    problems: list[tuple[str, Refusal]] = []
    sent = _Fields(body, "", problems)
    customer, delivery, klarna = sent.inner("customer"), sent.inner("delivery"), sent.inner("klarna")
    if customer is None:
        sent.wrong("customer", BadInput(N_("This field must be filled in.")))
    number = customer.whole("number", 1, 999_999_999) if customer else None
    buyer = _buyer(customer, named=number is None) if customer else Buyer()
    key = sent.text("key", 100, required=True)
    wish = IncomingOrder(
        source="api",
        buyer=buyer,
        rows=tuple(_row(row, f"rows[{place}].") for place, row in enumerate(sent.many("rows", MAX_LINES))),
        payment=sent.one_of("payment", PAYMENTS, PaymentKind.KLARNA if klarna else PaymentKind.INVOICE),
        delivery=_buyer(delivery, named=False, place=True) if delivery else None,
        shop_number=sent.text("shop_number", 100),
        source_key=f"api:{key}",
        currency=sent.take("currency", str, _currency, "SEK"),
        ordered_at=sent.take("ordered_at", str, _instant, None),
        note=sent.text("note", 1000, lines=True),
        stated_minor=sent.whole("total", -money.MAX_AMOUNT_MINOR, money.MAX_AMOUNT_MINOR),
    )
    store_id = klarna.text("store_id", 50, required=True) if klarna else ""
    klarna_order_id = klarna.text("order_id", 100, required=True) if klarna else ""
    for each in (klarna, sent):
        if each is not None:
            each.end()
    if problems:
        raise Unfit(problems)
    return Wish(wish, number, store_id, klarna_order_id)


def _buyer(sent: _Fields, *, named: bool, place: bool = False) -> Buyer:
    country = sent.take("country", str, _country, "SE")
    buyer = Buyer(
        name=sent.text("name", 200, required=named),
        street=sent.text("street", 100),
        street2=sent.text("street2", 100),
        postal_code=sent.take("postal_code", str, lambda found: read_postal_code(check_text(found, 20), country), ""),
        city=sent.text("city", 100),
        country=country,
    )
    if not place:
        buyer = replace(
            buyer,
            organisation_number=sent.take("organisation_number", str, _organisation_number, ""),
            email=sent.take("email", str, read_email, ""),
            phone=sent.text("phone", 100),
        )
    sent.end()
    return buyer


def _row(sent: _Fields, where: str) -> Row:
    most = money.MAX_AMOUNT_MINOR
    row = Row(
        quantity_milli=_quantity(sent),
        article_number=sent.text("article", 64),
        gtin=sent.take("gtin", str, lambda found: read_gtin(check_text(found, 30)), ""),
        name=sent.text("description", 255),
        unit=sent.text("unit", 8),
        unit_price_minor=sent.whole("unit_price", -most, most),
        discount_minor=sent.whole("discount", 0, most) or 0,
        vat_rate=sent.whole("vat_rate", 0, 10_000),
        kind=sent.one_of("kind", KINDS, None),
        where=where,
    )
    sent.end()
    return row


def _quantity(sent: _Fields) -> int:
    """Thousandths: a whole number, or a text with a point and at most three decimals (B14)."""

    def read(found: str | int) -> int:
        text = str(found) if isinstance(found, int) else found
        if not _QUANTITY.fullmatch(text):
            raise BadInput(N_('Write the quantity as a whole number, or as a text such as "0.5".'))
        return money.parse_quantity(text)

    found = sent._found.get("quantity")  # noqa: SLF001 - a field of two kinds
    return sent.take("quantity", str if isinstance(found, str) else int, read, 1000, required=True)


def _organisation_number(found: str) -> str:
    return read_organisation_number(check_text(found, 20))


def _country(found: str) -> str:
    if found not in COUNTRIES:
        raise BadInput(N_("Write the country with two letters, for example SE."))
    return found


def _currency(found: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", found):
        raise BadInput(N_("Write the currency with three letters, for example SEK."))
    return found


def _instant(found: str) -> datetime | None:
    refused = BadInput(N_("Write the time with its offset, for example 2026-11-20T14:03:00+01:00."))
    if not _INSTANT.fullmatch(found):
        raise refused
    try:
        at = datetime.fromisoformat(found).astimezone(UTC)
    except (ValueError, OverflowError):
        raise refused from None
    if at.year < 1990 or at > clock.now().replace(year=clock.now().year + 1, day=1):
        raise refused
    return at
