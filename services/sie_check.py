"""A SIE 4 file read back strictly, line by line: what would make another program stumble, or the sums not agree (B35).

It knows nothing of the books the file was made from. Faults keep a file from being given out; warnings are told.
Source: accounting reference 9, "Validator to run on every export".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from errors import N_
from services import sie_text
from services.sie_text import PAGE

MOST = 20
"""Faults that are named; a file with more is wrong in the same way throughout."""
_ONCE = ("FLAGGA", "PROGRAM", "FORMAT", "GEN", "SIETYP", "FNAMN")
_BALANCES = ("IB", "UB", "RES")
_LEAST = {"FLAGGA": 1, "SIETYP": 1, "FORMAT": 1, "FNAMN": 1, "KONTO": 2, "KTYP": 2} | dict.fromkeys(
    ("RAR", "VER", "TRANS", *_BALANCES), 3
)
"""Fields that a record has at least."""
_SET = {"FLAGGA": "0", "FORMAT": "PC8", "SIETYP": "4"}
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Fault:
    """A sentence about a line; line 0 is the file as a whole."""

    line: int
    message: str
    values: dict[str, str]


@dataclass(slots=True)
class Report:
    """What was found. In minor units, debit positive: the sum of all debits, what the vouchers move on each account, and what
    accounts close the year with, if the file has balances.
    """

    vouchers: int = 0
    rows: int = 0
    debit_minor: int = 0
    moved: dict[int, int] = field(default_factory=dict)
    closing: dict[int, int] | None = None
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the file may be given out."""
        return not self.faults


class _StopError(Exception):
    pass


def check(lines: Iterable[bytes]) -> Report:
    """Read a file of either kind."""
    reader = _Reader()
    try:
        for number, raw in enumerate(lines, start=1):
            reader.line(number, raw)
        reader.end()
    except _StopError:
        pass
    return reader.report


class _Reader:
    def __init__(self) -> None:
        self.report = Report()
        self._at = 0
        self._seen: dict[str, int] = defaultdict(int)
        self._accounts: set[int] = set()
        self._kinds: dict[int, str] = {}
        self._years: dict[int, tuple[date, date]] = {}
        self._balances: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
        self._moved: dict[int, int] = defaultdict(int)
        self._last: dict[str, int] = {}
        self._voucher: str | None = None
        self._open = False
        self._sum = self._rows = 0

    # --- Saying what is wrong ----------------------------------------------------------------------------------------------

    def _fault(self, message: str, **values: object) -> None:
        self.report.faults.append(Fault(self._at, message, {name: str(value) for name, value in values.items()}))
        if len(self.report.faults) >= MOST:
            raise _StopError

    def _warn(self, message: str, **values: object) -> None:
        if len(self.report.warnings) < MOST:
            self.report.warnings.append(Fault(self._at, message, {name: str(value) for name, value in values.items()}))

    # --- Line by line ------------------------------------------------------------------------------------------------------

    def line(self, number: int, raw: bytes) -> None:
        self._at = number
        text = raw.decode(PAGE).rstrip("\r\n").strip(" \t")
        if _CONTROL.search(text):
            self._fault(N_("There is a control character in the line."))
        if not text:
            return
        if text in "{}":
            self._brace(text)
            return
        if not text.startswith("#"):
            self._fault(N_("The line is no record."))
            return
        tag, _blank, rest = text[1:].partition(" ")
        fields = self._fields(rest)
        if not self._seen and tag != "FLAGGA":
            self._fault(N_("The first record is not #FLAGGA."))
        self._seen[tag] += 1
        if self._open != (tag == "TRANS"):
            self._fault(N_("#%(tag)s stands inside a voucher, or a row outside one."), tag=tag)
            return
        self._record(tag, fields)

    def _fields(self, rest: str) -> list[str]:
        found = sie_text.fields(rest)
        if found is None:
            self._fault(N_("The quotation marks of the line do not fit."))
        return found or []

    def _brace(self, text: str) -> None:
        if text == "{":
            if self._voucher is None or self._open:
                self._fault(N_("A brace opens where no voucher begins."))
            self._open, self._sum, self._rows = True, 0, 0
            return
        if not self._open:
            self._fault(N_("A brace closes that was never opened."))
            return
        if self._rows == 0:
            self._fault(N_("Voucher %(number)s has no rows."), number=self._voucher)
        if self._sum != 0:
            self._fault(
                N_("Voucher %(number)s does not sum to 0.00 but to %(sum)s."),
                number=self._voucher,
                sum=_told(self._sum),
            )
        self._open, self._voucher = False, None

    def _record(self, tag: str, fields: list[str]) -> None:
        if len(fields) < _LEAST.get(tag, 0):
            self._fault(N_("#%(tag)s lacks fields."), tag=tag)
            return
        if tag in _SET and fields[0] != _SET[tag]:
            self._fault(N_("#%(tag)s is «%(value)s»."), tag=tag, value=fields[0])
        elif tag == "FNAMN" and not fields[0].strip():
            self._fault(N_("The company has no name."))
        elif tag == "RAR":
            first, last = self._day(fields[1]), self._day(fields[2])
            if first and last:
                self._years[int(fields[0])] = first, last
        elif tag == "KONTO":
            account = int(fields[0])
            if account in self._accounts:
                self._fault(N_("Account %(account)s is declared twice."), account=account)
            self._accounts.add(account)
        elif tag == "KTYP":
            self._kinds[int(fields[0])] = fields[1]
        elif tag in _BALANCES:
            self._balance(tag, fields)
        elif tag == "VER":
            self._begin(fields)
        elif tag == "TRANS":
            self._row(fields)

    def _balance(self, tag: str, fields: list[str]) -> None:
        account, minor = int(fields[1]), self._amount(fields[2])
        self._require_declared(account)
        if (self._kinds.get(account) in ("K", "I")) != (tag == "RES"):
            self._fault(N_("#%(tag)s on account %(account)s, which is of the other kind."), tag=tag, account=account)
        kept = self._balances[tag, int(fields[0])]
        if account in kept:
            self._fault(N_("#%(tag)s is given twice for account %(account)s."), tag=tag, account=account)
        kept[account] = minor

    def _begin(self, fields: list[str]) -> None:
        if self._voucher is not None:
            self._fault(N_("Voucher %(number)s has no rows."), number=self._voucher)
        series, number = fields[0], fields[1]
        self._voucher = f"{series}{number}"
        self.report.vouchers += 1
        on = self._day(fields[2])
        year = self._years.get(0)
        if on and year and not year[0] <= on <= year[1]:
            self._fault(N_("Voucher %(number)s lies outside the financial year."), number=self._voucher)
        if not number.isdigit():
            self._fault(N_("Voucher %(number)s has no number."), number=self._voucher)
            return
        before = self._last.get(series)
        if before is not None and int(number) != before + 1:
            say = self._fault if self._balances else self._warn
            say(
                N_("Series %(series)s goes from %(before)s to %(number)s."), series=series, before=before, number=number
            )
        self._last[series] = int(number)

    def _row(self, fields: list[str]) -> None:
        account, minor = int(fields[0]), self._amount(fields[2])
        self._require_declared(account)
        if fields[1]:
            self._fault(N_("An object is used that is not declared."))
        self._moved[account] += minor
        self._sum += minor
        self._rows += 1
        self.report.rows += 1
        self.report.debit_minor += max(minor, 0)

    def _require_declared(self, account: int) -> None:
        if account not in self._accounts:
            self._fault(N_("Account %(account)s is not declared."), account=account)

    def _amount(self, text: str) -> int:
        minor = sie_text.read_amount(text)
        if minor is None:
            self._fault(N_("«%(text)s» is not an amount."), text=text)
        return minor or 0

    def _day(self, text: str) -> date | None:
        day = sie_text.read_day(text)
        if day is None:
            self._fault(N_("«%(text)s» is not a day."), text=text)
        return day

    # --- The whole ---------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        self._at = 0
        if self._voucher is not None:
            self._fault(N_("The file ends inside a voucher."))
        for tag in _ONCE:
            if self._seen[tag] != 1:
                self._fault(N_("#%(tag)s stands there %(times)s times."), tag=tag, times=self._seen[tag])
        self.report.moved = dict(self._moved)
        if self._balances:
            self.report.closing = self._balances.get(("UB", 0), {}) | self._balances.get(("RES", 0), {})
        for message, values in self._sums():
            self._fault(message, **values)
        before, now = self._balances.get(("UB", -1)), self._balances.get(("IB", 0), {})
        if before is not None and any(before.get(each, 0) != now.get(each, 0) for each in before.keys() | now.keys()):
            self._warn(N_("The opening balances are not the closing balances of the year before."))

    def _sums(self) -> Iterator[tuple[str, dict[str, object]]]:
        if not self._balances and 0 not in self._years:
            return
        if not self._balances:
            return
        if 0 not in self._years:
            yield N_("#%(tag)s stands there %(times)s times."), {"tag": "RAR 0", "times": 0}
        opening, closing, result = (self._balances.get((tag, 0), {}) for tag in _BALANCES)
        for account in sorted(opening.keys() | closing.keys() | result.keys() | self._moved.keys()):
            if self._kinds.get(account) in ("K", "I"):
                told, found = result.get(account, 0), self._moved.get(account, 0)
            else:
                told, found = closing.get(account, 0), opening.get(account, 0) + self._moved.get(account, 0)
            if told != found:
                yield (
                    N_("Account %(account)s closes with %(told)s, its vouchers give %(found)s."),
                    {"account": account, "told": _told(told), "found": _told(found)},
                )
        for year in sorted({index for _tag, index in self._balances}, reverse=True):
            opening, closing, result = (self._balances.get((tag, year), {}) for tag in _BALANCES)
            if sum(opening.values()) != 0:
                yield (
                    N_("The opening balances of year %(year)s sum to %(sum)s."),
                    {"year": year, "sum": _told(sum(opening.values()))},
                )
            if sum(closing.values()) + sum(result.values()) != 0:
                yield (
                    N_("Closing balances and result of year %(year)s sum to %(sum)s."),
                    {"year": year, "sum": _told(sum(closing.values()) + sum(result.values()))},
                )


def _told(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"
