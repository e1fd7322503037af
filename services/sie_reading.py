"""A SIE 4 file of another program's read into its vouchers, line by line: what cannot be is told with its line. Pure.

Amounts are minor units of the books' currency, debit positive. Nothing is guessed: neither letters nor amounts nor days nor
currency; personal numbers in texts are masked. Source: catalogue row 62; accounting reference 9; B29.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from errors import N_, BadInput
from money import Amount
from services import sie_text
from services.card_checks import mask_personal_numbers
from services.currencies import BOOKS

LARGEST = 5_000_000
"""Bytes of a file."""
MOST_PROBLEMS = 20
"""Problems that are named; a file with more is wrong in the same way throughout."""
LONGEST_TEXT, LONGEST_ROW_TEXT = 200, 100
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_SIGNS = frozenset("£¢¥ƒªº¿¡½¼«»°·²±µ§")
_SET = {"FLAGGA": ("0", "1"), "FORMAT": ("PC8",), "SIETYP": ("4",)}
_LEAST = {
    "VER": 3,
    "TRANS": 3,
    "KONTO": 1,
    "RAR": 3,
    "ORGNR": 1,
    "PROGRAM": 1,
    "FNAMN": 1,
    "VALUTA": 1,
} | dict.fromkeys(_SET, 1)
"""Fields that a record has at least; records that are not named are passed over, as the format has it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a line; 0 is the file as a whole."""

    line: int
    why: BadInput


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a voucher."""

    line: int
    account: int
    minor: int
    text: str


@dataclass(slots=True)
class Ver:
    """A voucher of the file; ``series`` and ``number`` may be empty."""

    line: int
    series: str
    number: str
    day: date
    text: str
    rows: list[Row] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Series and number, as the other program calls it."""
        return f"{self.series}{self.number}"

    @property
    def debit_minor(self) -> int:
        """The sum of its debits."""
        return sum(max(row.minor, 0) for row in self.rows)


@dataclass(slots=True)
class SieFile:
    """What a file says; with problems nothing of it is used."""

    sha256: str
    program: str = ""
    company: str = ""
    organisation_number: str = ""
    year: tuple[date, date] | None = None
    accounts: set[int] = field(default_factory=set)
    vouchers: list[Ver] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, line: int, message: str, **values: Any) -> None:
        """Note a problem, as long as there are not too many."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(line, BadInput(message, field="file", **values)))


def read(content: bytes) -> SieFile:
    """Read a whole file. Raises BadInput for what is no SIE file at all."""
    if not content.lstrip().upper().startswith(b"#FLAGGA"):
        raise BadInput(N_("The file is no SIE file: it does not begin with #FLAGGA."), field="file")
    reader = _Reader(SieFile(hashlib.sha256(content).hexdigest()))
    for number, raw in enumerate(content.split(b"\n"), start=1):
        reader.line(number, raw)
    reader.end()
    return reader.file


class _Reader:
    def __init__(self, file: SieFile) -> None:
        self.file = file
        self._at = 0
        self._now: Ver | None = None
        self._open = False
        self._seen: set[str] = set()
        self._of_another_page = False

    def _wrong(self, message: str, **values: Any) -> None:
        self.file.wrong(self._at, message, **values)

    def line(self, number: int, raw: bytes) -> None:
        self._at = number
        text = self._letters(raw.rstrip(b"\r")).strip(" \t\x1a")
        if not text:
            return
        if text in "{}":
            self._brace(text)
            return
        if not text.startswith("#"):
            self._wrong(N_("The line is no record."))
            return
        tag, *rest = re.split(r"[ \t]+", text[1:], maxsplit=1)
        tag = tag.upper()
        if tag not in _LEAST:
            return
        found = sie_text.fields(rest[0] if rest else "")
        if found is None:
            self._wrong(N_("The quotation marks of the line do not fit."))
        elif len(found) < _LEAST[tag]:
            self._wrong(N_("#%(tag)s lacks fields."), tag=tag)
        elif self._open != (tag == "TRANS"):
            self._wrong(N_("#%(tag)s stands inside a voucher, or a row outside one."), tag=tag)
        else:
            self._seen.add(tag)
            self._record(tag, found)

    def _letters(self, raw: bytes) -> str:
        """The line in the code page of the format; of another it has letters that no text has here."""
        text = raw.decode(sie_text.PAGE)
        if _CONTROL.search(text.strip("\x1a")):
            self._wrong(N_("There is a control character in the line."))
        elif not raw.isascii() and not self._of_another_page and (any(map(_is_strange, text)) or _is_utf8(raw)):
            self._of_another_page = True  # told once: the lines that follow are written likewise
            self._wrong(
                N_(
                    "The line is not written in PC8 (code page 437). Export the file anew as SIE from the other program."
                )
            )
        return text

    def _record(self, tag: str, found: list[str]) -> None:
        if tag in _SET and found[0].upper() not in _SET[tag]:
            self._wrong(N_("#%(tag)s is «%(value)s»."), tag=tag, value=found[0][:40])
        elif tag == "PROGRAM":
            self.file.program = found[0]
        elif tag == "FNAMN":
            self.file.company = found[0]
        elif tag == "ORGNR":
            self.file.organisation_number = re.sub(r"\D", "", found[0])
        elif tag == "VALUTA" and found[0].upper() != BOOKS:
            self._wrong(
                N_("The file is in %(currency)s; the books are kept in %(ours)s."), currency=found[0][:10], ours=BOOKS
            )
        elif tag == "RAR" and found[0] == "0":
            first, last = self._day(found[1]), self._day(found[2])
            self.file.year = (first, last) if first and last else None
        elif tag == "KONTO":
            self.file.accounts.add(self._account(found[0]))
        elif tag == "VER":
            self._begin(found)
        elif tag == "TRANS":
            self._row(found)

    def _begin(self, found: list[str]) -> None:
        self._require_ended()
        day = self._day(found[2])
        self._now = Ver(self._at, found[0][:20], found[1][:20], day or date.min, _text(found, 3, LONGEST_TEXT))
        if day and self.file.year and not self.file.year[0] <= day <= self.file.year[1]:
            self._wrong(N_("Voucher %(number)s lies outside the financial year."), number=self._now.label)
        self.file.vouchers.append(self._now)

    def _row(self, found: list[str]) -> None:
        minor = sie_text.read_amount(found[2])
        if minor is None:
            self._wrong(N_("«%(text)s» is not an amount."), text=found[2][:40])
        if self._now is not None:
            self._now.rows.append(Row(self._at, self._account(found[0]), minor or 0, _text(found, 4, LONGEST_ROW_TEXT)))

    def _brace(self, text: str) -> None:
        if text == "{":
            if self._now is None or self._open:
                self._wrong(N_("A brace opens where no voucher begins."))
            self._open = True
            return
        if not self._open or self._now is None:
            self._wrong(N_("A brace closes that was never opened."))
        else:
            self._weigh(self._now)
        self._open, self._now = False, None

    def _weigh(self, made: Ver) -> None:
        off = sum(row.minor for row in made.rows)
        if off:
            self._wrong(
                N_("Debit and credit of voucher %(number)s do not agree: they differ by %(amount)s."),
                number=made.label,
                amount=Amount(off, BOOKS),
            )
        elif sum(1 for row in made.rows if row.minor) < 2:
            self._wrong(N_("Voucher %(number)s has no rows."), number=made.label)

    def _require_ended(self) -> None:
        if self._now is not None:
            self._wrong(N_("Voucher %(number)s has no rows."), number=self._now.label)

    def _account(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{4}", text):
            self._wrong(N_("«%(text)s» is not an account of four digits."), text=text[:40])
            return 0
        return int(text)

    def _day(self, text: str) -> date | None:
        day = sie_text.read_day(text)
        if day is None:
            self._wrong(N_("«%(text)s» is not a day."), text=text[:40])
        return day

    def end(self) -> None:
        self._at = 0
        if self._open:
            self._wrong(N_("The file ends inside a voucher."))
        else:
            self._require_ended()
        for tag in _SET:
            if tag not in self._seen:
                self._wrong(N_("#%(tag)s stands there %(times)s times."), tag=tag, times=0)
        if not self.file.vouchers:
            self._wrong(N_("There are no vouchers in the file."))


def _text(found: list[str], place: int, most: int) -> str:
    return mask_personal_numbers(found[place])[0][:most] if len(found) > place else ""


def _is_strange(each: str) -> bool:
    """Whether a letter or sign beyond ASCII is none that stands in a text here: what å, ä and ö of other pages look like."""
    return each > "\x7f" and each not in _SIGNS and not unicodedata.name(each, "").startswith("LATIN ")


def _is_utf8(raw: bytes) -> bool:
    """Whether letters beyond ASCII stand there that make sense as UTF-8."""
    try:
        return not raw.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False
