"""A file of orders in CSV becomes orders on their way in, or a list of what is wrong with it, row by row; no database.

Tolerant of form: ``;``, ``,`` or tab, UTF-8 with or without its mark, UTF-16 with it, Windows-1252, comma or point, columns
in any order under Swedish or English names. Strict about meaning: nothing is guessed, and a file with one wrong row gives no
orders. Source: B16; catalogue rows 47-56, 60 and 61.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import money
from errors import N_, BadInput, Refusal, TooLarge
from services import order_columns as columns
from services.card_checks import read_email, read_gtin, read_organisation_number, read_postal_code
from services.countries import COUNTRIES
from services.csv_text import bad, delimiter_of, text_of
from services.incoming import Buyer, IncomingOrder
from services.incoming_rows import Row
from services.orders import MAX_LINES
from services.settlement_cells import records_of

LARGEST = 10 * 1024 * 1024
MOST_ROWS = 60_000
MOST_PROBLEMS = 500
MOST_CHARACTERS = 10_000
"""Of one cell."""
_BUYER = ("name", "organisation_number", "email", "phone", "street", "street2", "postal_code", "city", "country")
_PLACE = ("name", "street", "street2", "postal_code", "city", "country")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong on a row of the file, and in which column."""

    row: int
    column: str
    why: Refusal


@dataclass(slots=True)
class FileOrder:
    """An order of the file: where it begins, whose card it names, and the row of the file each of its rows stands on."""

    first_row: int
    number: str
    incoming: IncomingOrder
    rows: list[int] = field(default_factory=list)
    customer_number: int | None = None


@dataclass(slots=True)
class OrderFile:
    """What a file holds. With problems it holds no order to be taken."""

    encoding: str = "utf-8"
    rows: int = 0
    orders: list[FileOrder] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    faulty: set[int] = field(default_factory=set)
    """Every row with a problem, also beyond the problems that are told."""


def read(content: bytes) -> OrderFile:
    """Read a file. Raises UnsupportedFile (415), TooLarge (413), BadInput (422) for what is no such file at all."""
    text, encoding = text_of(content, LARGEST)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), strict=True)
    records = ((row, cells) for row, cells in records_of(lines) if any(cell.strip() for cell in cells))
    first = next(records, None)
    if first is None:
        raise bad(N_("The file holds no rows."))
    reader = _Reader(_places(first[1]), len(first[1]))
    for row, cells in records:
        reader.take(row, cells)
    if not reader.rows:
        raise bad(N_("The file holds no rows."))
    return reader.whole(encoding)


def _places(names: list[str]) -> Mapping[str, int]:
    """Where each column stands. Raises BadInput for a name that stands twice or is missing; unknown ones are left alone."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        column = columns.BY_NAME.get(" ".join(name.casefold().split()))
        if column in places:
            raise bad(N_("The column %(name)s stands twice."), name=name.strip()[:40])
        if column is not None:
            places[column] = place
    for column in columns.REQUIRED:
        if column not in places:
            english, swedish = columns.NAMES[column][:2]
            raise bad(N_("The column %(english)s, or %(swedish)s, is missing."), english=english, swedish=swedish)
    if not {"article", "gtin", "description"} & places.keys():
        raise bad(N_("The file needs a column article, gtin or description: in Swedish artikel, ean or benämning."))
    return places


class _Reader:
    """Takes the rows one after the other: those of an order stand together, and what is said twice is said alike."""

    def __init__(self, places: Mapping[str, int], width: int) -> None:
        self._places, self._width = places, width
        self.rows = 0
        self._orders: list[FileOrder] = []
        self._problems: list[Problem] = []
        self._faulty: set[int] = set()
        self._seen: set[str] = set()
        self._head: dict[str, str] = {}
        self._lines: list[Row] = []

    def whole(self, encoding: str) -> OrderFile:
        """What the file holds, when it has ended."""
        self._close()
        return OrderFile(encoding, self.rows, self._orders, self._problems, self._faulty)

    def take(self, row: int, cells: list[str]) -> None:
        """Take one row of the file. Raises TooLarge; what is wrong with the row is a problem of it."""
        self.rows += 1
        if self.rows > MOST_ROWS:
            raise TooLarge(N_("The file has over %(limit)s rows."), field="file", limit=MOST_ROWS)
        if len(cells) != self._width:
            message = N_("The row has %(found)s cells, the head %(wanted)s.")
            return self._wrong(row, BadInput(message, field="", found=len(cells), wanted=self._width))
        if max(map(len, cells)) > MOST_CHARACTERS:
            return self._wrong(
                row, BadInput(N_("At most %(most)s characters can be entered."), field="", most=MOST_CHARACTERS)
            )
        named = {column: cells[place].strip() for column, place in self._places.items()}
        number = self._try(row, partial(columns.text, named["order"], "order")) or ""
        if not number:
            return self._wrong(row, BadInput(N_("Every row needs the number of its order."), field="order"))
        if not self._orders or self._orders[-1].number != number:
            self._begin(row, number, named)
        else:
            self._same(row, named)
        self._orders[-1].rows.append(row)
        line = self._try(row, partial(_row, named))
        if line is not None:
            self._lines.append(line)
        return None

    def _begin(self, row: int, number: str, cells: dict[str, str]) -> None:
        self._close()
        if number in self._seen:
            message = N_("Order %(number)s began further up: its rows must stand together.")
            self._wrong(row, BadInput(message, field="order", number=number))
        self._seen.add(number)
        self._head = {name: cell for name, cell in cells.items() if name not in columns.OF_THE_ROW}
        made = self._try(row, partial(_order, number, cells)) or IncomingOrder(source="csv", buyer=Buyer(), rows=())
        customer = self._try(row, partial(columns.whole, cells.get("customer_number", ""), "customer_number"))
        if customer is None and not made.buyer.name:
            self._wrong(row, BadInput(N_("Write the customer's number or name."), field="name"))
        self._orders.append(FileOrder(row, number, made, customer_number=customer))

    def _same(self, row: int, cells: dict[str, str]) -> None:
        for name, cell in self._head.items():
            if cells[name] not in ("", cell):
                message = N_("“%(text)s” differs from the order's first row, which says “%(first)s”.")
                self._wrong(row, BadInput(message, field=name, text=cells[name][:40], first=cell[:40]))

    def _close(self) -> None:
        """The rows that have been gathered belong to the order that has just ended."""
        if not self._orders:
            return
        order = self._orders[-1]
        order.incoming = replace(order.incoming, rows=tuple(self._lines))
        self._lines = []
        if len(order.rows) > MAX_LINES:
            why = BadInput(N_("An order has at most %(most)s rows."), field="order", most=MAX_LINES)
            self._wrong(order.first_row, why)

    def _try(self, row: int, read_cell: Callable[[], Value]) -> Value | None:
        try:
            return read_cell()
        except BadInput as why:
            self._wrong(row, why)
            return None

    def _wrong(self, row: int, why: Refusal) -> None:
        self._faulty.add(row)
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(Problem(row, why.field or "", why))


# --- The cells of a row ----------------------------------------------------------------------------------------------


def _order(number: str, cells: dict[str, str]) -> IncomingOrder:
    get = partial(_cell, cells)
    elsewhere = any(get(f"delivery_{name}") for name in ("name", "street", "city"))
    return IncomingOrder(
        source="csv",
        buyer=_buyer(cells, ""),
        rows=(),
        payment=columns.payment(get("payment")),
        delivery=_buyer(cells, "delivery_") if elsewhere else None,
        shop_number=number,
        source_key=f"csv:{number}",
        currency=columns.currency(get("currency")),
        ordered_at=columns.day(get("date")),
        note=columns.text(get("note"), "note"),
        stated_minor=columns.amount(get("total"), "total", signed=True),
    )


def _buyer(cells: dict[str, str], prefix: str) -> Buyer:
    said = {name: columns.text(_cell(cells, prefix + name), prefix + name) for name in (_PLACE if prefix else _BUYER)}
    country = said["country"].upper() or "SE"
    if country not in COUNTRIES:
        raise BadInput(N_("Write the country with two letters, for example SE."), field=f"{prefix}country")
    try:
        made = replace(Buyer(**said), country=country, postal_code=read_postal_code(said["postal_code"], country))
        if prefix:
            return made
        return replace(
            made,
            email=read_email(made.email),
            organisation_number=read_organisation_number(made.organisation_number),
        )
    except BadInput as why:
        why.field = f"{prefix}{why.field}"
        raise


def _row(cells: dict[str, str]) -> Row:
    get = partial(_cell, cells)
    kind = columns.kind(get("kind"))
    return Row(
        quantity_milli=money.parse_quantity(get("quantity"), field="quantity"),
        article_number=columns.text(get("article"), "article"),
        gtin=read_gtin(get("gtin")),
        name=columns.text(get("description"), "description"),
        unit=columns.text(get("unit"), "unit"),
        unit_price_minor=columns.amount(get("unit_price"), "unit_price", signed=True),
        discount_minor=columns.amount(get("discount"), "discount") or 0,
        vat_rate=columns.rate(get("vat_rate")),
        kind=kind,
    )


def _cell(cells: dict[str, str], name: str) -> str:
    return cells.get(name, "")
