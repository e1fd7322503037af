"""A bank's list of transactions in CSV becomes entries, or a list of what is wrong with it, row by row. Pure.

Every bank writes its own: the head is the first row with a day and an amount in it, columns are found by their Swedish or
English names and never by place, and what stands above the head is left alone. Nothing is guessed: days are written with the
year first, and a full stop or comma is a decimal sign only where it can be nothing else. Source: catalogue rows 47-56.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice

from errors import N_, BadInput, TooLarge
from services.bank_entries import (
    LARGEST,
    MAX_MINOR,
    MOST_ENTRIES,
    MOST_NAME,
    MOST_PROBLEMS,
    Entry,
    Problem,
    Statement,
    joined,
    plain_account,
)
from services.csv_text import bad, text_of
from services.settlement_cells import clip, records_of

MOST_ABOVE = 30
"""Rows that may stand above the head."""
NAMES: Mapping[str, tuple[str, ...]] = {
    "day": (
        "bokföringsdag", "bokföringsdatum", "bokf.datum", "bokf datum", "bokförd", "bokfört datum", "bokfört",
        "reskontradatum", "booking date", "booked", "posting date", "datum", "date", "transaktionsdag",
        "transaktionsdatum", "transaction date",
    ),
    "amount": ("belopp", "amount", "insättning/uttag", "insättningar/uttag", "transaktionsbelopp"),
    "in": ("insättning", "insättningar", "in", "deposit", "deposits", "credit"),
    "out": ("uttag", "ut", "withdrawal", "withdrawals", "debit"),
    "currency": ("valuta", "currency"),
    "account": ("kontonummer", "konto", "account", "account number", "iban", "till konto"),
    "bank_reference": (
        "verifikationsnummer", "transaktions-id", "transaktionsid", "arkiveringsreferens", "bankreferens",
        "transaction id", "entry reference", "bank reference",
    ),
    "payer": ("avsändare", "betalare", "namn", "motpart", "payer", "sender", "name", "counterparty"),
}  # fmt: skip
"""Names of columns, the one that counts first; case and spaces do not."""
TEXTS = frozenset({
    "text", "referens", "beskrivning", "meddelande", "rubrik", "specifikation", "betalningsreferens", "detaljer",
    "ytterligare detaljer", "reference", "description", "message", "details", "payment reference", "remittance information",
})  # fmt: skip
"""Columns that a payment reference could stand in; all of them are read."""
_ISO = re.compile(r"([0-9]{4})([-/.]?)([0-9]{2})\2([0-9]{2})").fullmatch
_SPACES = "[ \u00a0\u202f']"
_AMOUNT = re.compile(
    r"(?P<sign>[-+\u2212]?)(?:(?P<plain>[0-9]+)|(?P<spaced>[0-9]{1,3}(?:" + _SPACES + r"[0-9]{3})+)"
    r"|(?P<pointed>[0-9]{1,3}(?:\.[0-9]{3})+(?=,))|(?P<parted>[0-9]{1,3}(?:,[0-9]{3})+(?=\.)))"
    r"(?:[.,](?P<part>[0-9]{1,2}))?"
).fullmatch


def read(content: bytes, account: str = "") -> Statement:
    """Read a list. ``account`` is the company's own, where the list does not say it.

    Raises TooLarge (413), UnsupportedFile (415), BadInput (422) for what is no such list at all.
    """
    text, _ = text_of(content, LARGEST)
    delimiter = next((each for each in ";\t," if _head(text, each) is not None), None)
    if delimiter is None:
        raise bad(
            N_(
                "No row with the names of the columns was found among the first %(most)s. "
                "Kvitta needs a column with the day, such as Bokföringsdag, and one with the amount, such as Belopp."
            ),
            most=MOST_ABOVE,
        )
    entries: list[Entry] = []
    problems: list[Problem] = []
    left_out = rows = 0
    head, places, texts = 0, dict[str, int](), list[int]()
    for row, cells in _records(text, delimiter):
        if not head:
            found = _places(cells)
            if found is not None:
                head, places, texts = len(cells), *found
            continue
        rows += 1
        if rows > MOST_ENTRIES:
            raise TooLarge(N_("The file has over %(limit)s entries."), field="file", limit=MOST_ENTRIES)
        try:
            entry = _entry(row, _fitted(cells, head), places, texts, account)
        except BadInput as why:
            if len(problems) < MOST_PROBLEMS:
                problems.append(Problem(row, why.field or "", why))
            continue
        if entry is None:
            left_out += 1
        else:
            entries.append(entry)
    return Statement("csv", entries, problems, left_out)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return ((row, cells) for row, cells in records_of(lines) if any(cell.strip() for cell in cells))


def _head(text: str, delimiter: str) -> list[str] | None:
    """The row with the names of the columns, where this sign stands between them."""
    try:
        records = islice(_records(text, delimiter), MOST_ABOVE)
        return next((cells for _, cells in records if _places(cells) is not None), None)
    except BadInput:
        # With this sign the rows cannot be read; another may fit.
        return None


def _places(cells: Sequence[str]) -> tuple[dict[str, int], list[int]] | None:
    """Where each column stands, and every column of text; None for a row that is no head."""
    names = [" ".join(cell.casefold().split()) for cell in cells]
    places = {}
    for column, known in NAMES.items():
        found = next((name for name in known if name in names), None)
        if found is not None:
            places[column] = names.index(found)
    if "day" not in places or not places.keys() & {"amount", "in"}:
        return None
    return places, [place for place, name in enumerate(names) if name in TEXTS]


def _fitted(cells: Sequence[str], width: int) -> list[str]:
    """A row as wide as the head: signs at its end that divide nothing are no columns. Raises BadInput."""
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]
    if len(cells) != width:
        message = N_("The row has %(found)s cells, the head %(wanted)s.")
        raise BadInput(message, field="", found=len(cells), wanted=width)
    return [cell.strip() for cell in cells]


def _entry(
    row: int, cells: Sequence[str], places: Mapping[str, int], texts: Sequence[int], account: str
) -> Entry | None:
    def cell(column: str) -> str:
        return cells[places[column]] if column in places else ""

    amount = _moved(cell, places)
    if amount <= 0:
        return None
    currency = cell("currency").upper() or "SEK"
    if re.fullmatch(r"[A-Z]{3}", currency) is None:
        raise BadInput(N_("“%(text)s” is not a currency code."), field="currency", text=clip(currency))
    return Entry(
        place=row,
        account=plain_account(cell("account") or account),
        day=_day(cell("day")),
        amount_minor=amount,
        currency=currency,
        payer=joined([cell("payer")], MOST_NAME),
        text=joined(cells[place] for place in texts),
        bank_reference=joined([cell("bank_reference")], MOST_NAME),
    )


def _moved(cell: Callable[[str], str], places: Mapping[str, int]) -> int:
    """What came in, below zero what went out, minor units."""
    if "amount" in places:
        return parse_amount(cell("amount"), "amount")
    came, went = cell("in"), cell("out")
    if came and went and parse_amount(came, "in") and parse_amount(went, "out"):
        raise BadInput(N_("The row has both money in and money out."), field="in")
    if came and (not went or parse_amount(came, "in")):
        return parse_amount(came, "in")
    return -abs(parse_amount(went, "out"))


def parse_amount(text: str, field: str) -> int:
    """``1 890,34``, ``-1.890,34``, ``1890.34`` or ``1890`` as minor units. Raises BadInput."""
    found = _AMOUNT(text)
    if found is None:
        raise BadInput(
            N_("The amount “%(text)s” cannot be read. Write it as 1890.34 or 1 890,34."), field=field, text=clip(text)
        )
    whole = "".join(filter(str.isdecimal, next(filter(None, found.group("plain", "spaced", "pointed", "parted")))))
    if len(whole) > 12:
        raise BadInput(N_("The amount is larger than Kvitta can count."), field=field)
    minor = int(whole) * 100 + int((found["part"] or "").ljust(2, "0"))
    if minor > MAX_MINOR:
        raise BadInput(N_("The amount is larger than Kvitta can count."), field=field)
    return minor if found["sign"] in ("", "+") else -minor


def _day(text: str) -> date:
    found = _ISO(text[:10] if re.fullmatch(r"[T ][0-9:.]+", text[10:]) else text)
    wrong = BadInput(
        N_("“%(text)s” is not a day Kvitta can read. Days are written with the year first, as 2026-03-12."),
        field="day",
        text=clip(text),
    )
    if found is None:
        raise wrong
    try:
        return date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        raise wrong from None
