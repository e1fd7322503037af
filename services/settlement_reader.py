"""A settlement report in CSV becomes payouts and rows; no database.

Columns are found by name, never by place; amounts are integers in minor units, instants aware and in UTC. What cannot
be recognised raises one ``errors.BadInput`` with its row, and whoever has taken rows by then throws them away: nothing
is half read. Only an unknown type, detailed type, sign or currency lets the reading go on: its row carries a ``fault``.
The same facts from the Settlements API: ``settlement_answers``. Source: K47-K48, operations 14, catalogue rows 47-60.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import IO

from errors import N_, BadInput
from services.settlement_cells import (
    MAX_TEXT,
    Cells,
    Limits,
    bad,
    blocks_of,
    clip,
    hundredths,
    lines_of,
    lone_cr,
    records_of,
    reference_in_name,
    too_large,
)
from services.settlement_columns import BLOCK_ROWS, FIELDS, Columns, rows_of
from services.settlement_header import (
    PERIOD,
    Remembered,
    Room,
    header,
    is_blank,
    is_summary,
    is_transactions,
    places,
    refuse_long,
    refuse_twice,
    refuse_width,
)
from services.settlement_layouts import (
    CSV_COLUMNS,
    CSV_TOTALS,
    Fault,
    Payout,
    Period,
    Row,
    SettlementType,
    SignRule,
    Statement,
    kind_of,
    totals_as_magnitudes,
)

_TEXTS = (*FIELDS[7:15], "type", "detailed_type")
_FIGURES = ("amount", "vat_amount_minor", "vat_rate", "captured_at", "sale_date")
_TELLS_PAYOUT = ("payment_reference", "payout_date", "merchant_id", "currency")
_USED = frozenset(chain.from_iterable(CSV_COLUMNS.values()))
_ROW_FIELDS = {"amount": "signed_minor"}
MOST_REMEMBERED = 50_000
"""Texts of cells whose meaning is remembered: memory stays flat."""


def read_csv(source: bytes | IO[bytes], file_name: str, *, now: datetime, limits: Limits | None = None) -> Reading:
    """Open a CSV report: what it is and what its summary states are known on return, the rows come by iterating once.

    ``now`` is the present instant: no date of a report lies after it. Raises UnsupportedFile (415), TooLarge (413) and
    BadInput (422), here or while the rows are read.
    """
    if file_name.casefold().endswith(".tmp"):
        raise bad(N_("The file is still being written by Klarna: its name ends in .tmp."))
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    return Reading(stream, file_name, now, limits or Limits())


class Reading:
    """One CSV report being read, in flat memory: iterate it once for the rows.

    ``payouts`` grows with the rows where the file has no summary (the payout of a row is there before the row) and is
    whole when they end. ``periods`` are the totals of a period report, which states none for each payout. ``unused`` are
    the columns whose names say nothing to Kvitta, as when somebody has renamed them.
    """

    def __init__(self, stream: IO[bytes], file_name: str, now: datetime, limits: Limits) -> None:
        self.file_name = file_name
        self.delimiter = ";"
        self.periods: tuple[Period, ...] = ()
        self._limits = limits
        self._line = 0
        self._cells = cells = Cells(now)
        self._rule = SignRule()
        self._moments = Remembered(lambda cell: cells.moment(cell, self._line))
        self._amounts = amounts = Remembered(lambda cell: cells.amount(cell, self._line))
        self._vats = Remembered(lambda cell: abs(amounts[cell]) if cell else None)
        self._rates = Remembered(lambda cell: hundredths(cell) if 0 < len(cell) < 20 else None)
        self._read = (self._moments, self._amounts, self._vats, self._rates)
        self._told: dict[tuple[str, ...], tuple[str, str, Fault | None]] = {}
        self._payouts: dict[str, Payout] = {}
        self._summary = False
        self._started = False
        self._records = self._recognised(lines_of(stream, limits))
        self._names = self._read_preamble()
        self._place = places(self._names)
        self.unused = tuple(name for name in self._names if name and name not in _USED)
        self.fields = frozenset(_ROW_FIELDS.get(name, name) for name in self._place) - {"payout_date", "merchant_id"}
        if "payment_reference" not in self._place:
            self._take_reference_from_name()

    @property
    def payouts(self) -> tuple[Payout, ...]:
        """The payouts known so far, in the order of the file."""
        return tuple(self._payouts.values())

    def collect(self) -> tuple[Statement, ...]:
        """The whole report in memory, one statement per payout; for small files."""
        rows: dict[str, list[Row]] = {}
        for row in self:
            rows.setdefault(row.payment_reference, []).append(row)
        return tuple(
            Statement(payout, tuple(rows.get(payout.payment_reference, ())), self.fields) for payout in self.payouts
        )

    def __iter__(self) -> Iterator[Row]:
        return chain.from_iterable(map(rows_of, self.blocks()))

    def blocks(self) -> Iterator[Columns]:
        """The rows by the column, some at a time; what comes before a row that is refused comes before the refusal."""
        if self._started:
            raise RuntimeError("a report is read once; open it again")
        self._started = True
        return self._blocks()

    def _blocks(self) -> Iterator[Columns]:
        for lines, records in self._body(len(self._names)):
            before = (self._cells.decimal, self._rule.signs_on, dict(self._payouts), dict(self._told))
            try:
                columns = self._typed(lines, records)
            except BadInput:
                # Which row it is, and what was right before it, is seen row by row.
                self._cells.decimal, self._rule.signs_on, self._payouts, self._told = before
                self._forget()
                columns = []
            if columns:
                yield columns
            else:
                yield from (self._typed([line], [cells]) for line, cells in zip(lines, records, strict=True))
            if sum(map(len, self._read)) > MOST_REMEMBERED:
                self._forget()
        for payout in self.payouts:
            if not payout.currency:
                raise bad(N_("The report does not say the currency of payout %(text)s."), text=payout.payment_reference)

    def _forget(self) -> None:
        for each in self._read:
            each.clear()

    def _typed(self, lines: Sequence[int], records: Sequence[Sequence[str]]) -> Columns:
        """Some records as columns of ``Row``. Raises BadInput with the first line, which is right where there is one record."""
        self._line, count = lines[0], len(records)
        cells, nothing = list(zip(*records, strict=True)), ("",) * count
        texts, figures, tells_payout = (
            [cells[self._place[name]] if name in self._place else nothing for name in names]
            for names in (_TEXTS, _FIGURES, _TELLS_PAYOUT)
        )
        if max(map(len, chain.from_iterable(texts))) > MAX_TEXT:
            refuse_long(self._line, list(chain.from_iterable(texts)))
        tells = list(zip(*tells_payout, strict=True))
        for each in dict.fromkeys(tells):
            if each not in self._told:
                self._told[each] = self._payout_of(self._line, *each)
                if len(self._told) > self._limits.payouts:
                    raise too_large(N_("The report has too many payouts, at row %(row)s."), row=self._line)
        references, currencies, foreign = zip(*map(self._told.__getitem__, tells), strict=True)
        *names, types, detailed_types = texts
        figure, vat, rate, captured, sale = figures
        moments = self._moments.__getitem__
        captured_at, sale_dates = list(map(moments, captured)), list(map(moments, sale))
        kinds = list(map(kind_of, types, detailed_types))
        types, detailed_types, _signs, _faults = zip(*kinds, strict=True)
        if not all(types):
            raise bad(N_("Row %(row)s has no type."), row=self._line)
        signed, faults = zip(*map(self._rule.effect, kinds, map(self._amounts.__getitem__, figure)), strict=True)
        return [
            references,
            lines,
            types,
            detailed_types,
            signed,
            list(map(self._vats.__getitem__, vat)),
            list(map(self._rates.__getitem__, rate)),
            *([text or None for text in column] for column in names),
            captured_at,
            sale_dates,
            currencies,
            [fault or other for fault, other in zip(faults, foreign, strict=True)] if any(foreign) else faults,
        ]

    def _body(self, width: int) -> Iterator[tuple[Sequence[int], Sequence[list[str]]]]:
        """The records after the header, of the right width; blank ones only at the end."""
        room = Room(width, self._limits.rows)
        for lines, records in blocks_of(self._reader, BLOCK_ROWS):
            if room.takes_all(records):
                yield lines, records
                continue
            good: list[tuple[int, list[str]]] = []
            no: BadInput | None = None
            try:
                for each in zip(lines, records, strict=True):
                    if room.takes(*each):
                        good.append(each)  # noqa: PERF401 - what came before a no is kept
            except BadInput as error:
                no = error
            if good:
                yield [line for line, _ in good], [cells for _, cells in good]
            if no is not None:
                raise no
        if not room.count:
            raise bad(N_("The report has no rows."))

    def _recognised(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Find the delimiter by the first header, then the records of the whole file from its start."""
        seen: list[str] = []
        for text in lines:
            seen.append(text)
            if text.strip():
                break
        else:
            raise bad(N_("The report has no rows."))
        for delimiter in ";,\t|":
            try:
                names = header(next(csv.reader([seen[-1]], delimiter=delimiter, strict=True)))
            except csv.Error:
                continue
            if is_transactions(names) or is_summary(names):
                self.delimiter = delimiter
                self._reader = csv.reader(chain(seen, lines), delimiter=delimiter, strict=True)
                return records_of(self._reader)
        if "\r" in seen[-1].rstrip("\r\n"):
            raise lone_cr(len(seen))
        raise bad(
            N_("Row %(row)s is not a header of Klarna's settlement report: it must name type, amount and order_id."),
            row=len(seen),
        )

    def _read_preamble(self) -> list[str]:
        """The summary section, if any, up to the header of the transactions, whose names are returned."""
        summary: list[str] = []
        for line, cells in self._records:
            if is_blank(cells):
                continue
            names = header(cells)
            if is_transactions(names):
                refuse_twice(line, names)
                return names
            if not summary:
                refuse_twice(line, names)
                summary = names
            elif len(cells) != len(summary):
                refuse_width(line, cells, len(summary))
            else:
                self._state(line, dict(zip(summary, map(str.strip, cells), strict=True)))
        raise bad(N_("The report has no rows."))

    def _take_reference_from_name(self) -> None:
        """Without the column there is one payout: the summary's, or the one the file is named after."""
        if len(self._payouts) > 1 or self.periods:
            raise bad(N_("The report holds several payouts, but its rows lack the column payment_reference."))
        payout = next(iter(self.payouts), Payout("", ""))
        reference = payout.payment_reference or reference_in_name(self.file_name)
        if not reference:
            raise bad(
                N_(
                    "The report does not say which payout it is. "
                    "Add payment_reference to it, or keep the name Klarna gave the file."
                )
            )
        self._payouts = {reference: replace(payout, payment_reference=reference)}
        self._summary = True

    def _state(self, line: int, given: Mapping[str, str]) -> None:
        """One row of values of the summary section: a payout, or a period in one currency."""
        read, period = self._cells, any(name.startswith(PERIOD) for name in given)
        prefix = PERIOD if period else ""
        written = {
            field: read.amount(given[prefix + name], line)
            for name, field in CSV_TOTALS.items()
            if given.get(prefix + name)
        }
        totals = totals_as_magnitudes(written)
        if totals is None:
            raise bad(N_("Row %(row)s: the signs of the totals contradict each other."), row=line)
        currency = read.currency(given.get(f"{prefix}settlement_currency") or given.get("currency_code", ""), line)
        if period:
            start = read.moment(given.get("summary_payout_date_start", ""), line)
            end = read.moment(given.get("summary_payout_date_end", ""), line)
            self.periods += (Period(currency, start, end, totals, frozenset(written)),)
            return
        reference = read.reference(given.get("payment_reference", ""), line)
        if reference in self._payouts or (self._payouts and "" in {reference, *self._payouts}):
            raise bad(N_("Row %(row)s: the summary does not tell its payouts apart."), row=line)
        refuse_long(line, tuple(given.values()))
        self._summary = True
        self._payouts[reference] = Payout(
            reference,
            currency,
            given.get("merchant_id") or None,
            read.moment(given.get("payout_date", ""), line),
            _settlement_type(given.get("merchant_settlement_type", ""), line),
            totals,
            frozenset(written),
        )

    def _payout_of(
        self, line: int, told: str, payout_date: str, merchant_id: str, currency: str
    ) -> tuple[str, str, Fault | None]:
        """The payout a row belongs to, the row's currency, and the fault of a currency that is not the payout's."""
        reference = self._cells.reference(told, line)
        if reference and "" in self._payouts:
            self._payouts = {reference: replace(self._payouts[""], payment_reference=reference)}
        elif not reference and self._summary and len(self._payouts) == 1:
            (reference,) = self._payouts
        if not reference:
            raise bad(N_("Row %(row)s does not say which payout it belongs to."), row=line)
        if self._summary and reference not in self._payouts:
            raise bad(
                N_("Row %(row)s belongs to payout %(text)s, which the summary does not name."), row=line, text=reference
            )
        known = self._payouts.get(reference, Payout(reference, ""))
        at = self._cells.moment(payout_date, line)
        if (at and known.payout_date not in (None, at)) or (
            merchant_id and known.merchant_id not in (None, merchant_id)
        ):
            raise bad(
                N_("Row %(row)s gives payout %(text)s another date or store id than the report did before."),
                row=line,
                text=reference,
            )
        refuse_long(line, (merchant_id,))
        code = self._cells.currency(currency, line) or known.currency
        if not code:
            raise bad(N_("Row %(row)s does not say its currency."), row=line)
        self._payouts[reference] = replace(
            known,
            currency=known.currency or code,
            payout_date=known.payout_date or at,
            merchant_id=known.merchant_id or merchant_id or None,
        )
        return reference, code, None if known.currency in ("", code) else Fault.OTHER_CURRENCY


def _settlement_type(cell: str, line: int) -> SettlementType | None:
    if not cell:
        return None
    try:
        return SettlementType(cell.upper())
    except ValueError:
        raise bad(N_("Row %(row)s: “%(text)s” is not a settlement type."), row=line, text=clip(cell)) from None
