"""A settlement report in CSV becomes payouts and rows; no database.

Columns are found by name, never by place; amounts are integers in minor units, instants aware and in UTC. What cannot
be recognised raises one ``errors.BadInput`` with its row, and whoever has taken rows by then throws them away: nothing
is half read. Only an unknown type, detailed type, sign or currency lets the reading go on: its row carries a ``fault``.
The same facts from the Settlements API: ``settlement_answers``. Source: K47-K48, operations 14, catalogue rows 47-60.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import IO, NoReturn

from errors import N_
from services.settlement_cells import (
    MAX_TEXT,
    Cells,
    Limits,
    bad,
    clip,
    hundredths,
    lines_of,
    lone_cr,
    records_of,
    reference_in_name,
    too_large,
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

_TEXTS = (
    "order_id",
    "short_order_id",
    "capture_id",
    "refund_id",
    "merchant_reference1",
    "merchant_reference2",
    "merchant_capture_reference",
    "merchant_refund_reference",
    "type",
    "detailed_type",
)
_FIGURES = ("amount", "vat_amount_minor", "vat_rate", "captured_at", "sale_date")
_TELLS_PAYOUT = ("payment_reference", "payout_date", "merchant_id", "currency")
_USED = frozenset(chain.from_iterable(CSV_COLUMNS.values()))
_ROW_FIELDS = {"amount": "signed_minor"}
_PERIOD = "summary_"


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
        self._cells = Cells(now)
        self._payouts: dict[str, Payout] = {}
        self._summary = False
        self._started = False
        self._records = self._recognised(lines_of(stream, limits))
        self._names = self._read_preamble()
        self._place = _places(self._names)
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
        if self._started:
            raise RuntimeError("a report is read once; open it again")
        self._started = True
        return self._rows()

    def _rows(self) -> Iterator[Row]:
        width, place = len(self._names), self._place
        # A column the report lacks is read from the empty cell appended to each row.
        texts_of = itemgetter(*(place.get(name, width) for name in _TEXTS))
        figures_of = itemgetter(*(place.get(name, width) for name in _FIGURES))
        payout_of = itemgetter(*(place.get(name, width) for name in _TELLS_PAYOUT))
        payouts: dict[tuple[str, ...], tuple[str, str, Fault | None]] = {}
        amount, moment, effect = self._cells.amount, self._cells.moment, SignRule().effect
        captured_cell = sale_cell = ""
        captured_at: datetime | None = None
        sale_date: datetime | None = None
        for line, cells in self._body(width):
            cells.append("")
            texts = texts_of(cells)
            if len("".join(texts)) > MAX_TEXT:
                _refuse_long(line, texts)
            order, short, capture, refund, reference1, reference2, capture_ref, refund_ref, type_, detailed = texts
            figure, vat, rate, captured, sale = figures_of(cells)
            tells = payout_of(cells)
            if tells not in payouts:
                payouts[tells] = self._payout_of(line, *tells)
                if len(payouts) > self._limits.payouts:
                    raise too_large(N_("The report has too many payouts, at row %(row)s."), row=line)
            reference, currency, foreign = payouts[tells]
            if captured != captured_cell:
                captured_at, captured_cell = moment(captured, line), captured
            if sale != sale_cell:
                sale_date, sale_cell = moment(sale, line), sale
            kind = kind_of(type_, detailed)
            if not kind.type:
                raise bad(N_("Row %(row)s has no type."), row=line)
            signed, fault = effect(kind, amount(figure, line))
            yield Row(
                reference,
                line,
                kind.type,
                kind.detailed_type,
                signed,
                abs(amount(vat, line)) if vat else None,
                hundredths(rate) if rate and len(rate) < 20 else None,
                order or None,
                short or None,
                capture or None,
                refund or None,
                reference1 or None,
                reference2 or None,
                capture_ref or None,
                refund_ref or None,
                captured_at,
                sale_date,
                currency,
                fault or foreign,
            )
        for payout in self.payouts:
            if not payout.currency:
                raise bad(N_("The report does not say the currency of payout %(text)s."), text=payout.payment_reference)

    def _body(self, width: int) -> Iterator[tuple[int, list[str]]]:
        """The records after the header, of the right width; blank ones only at the end."""
        blank = count = 0
        for line, cells in self._records:
            if len(cells) != width or not cells[0]:
                if _is_blank(cells):
                    blank = blank or line
                    continue
                if len(cells) != width:
                    _refuse_width(line, cells, width)
            if blank and count:
                raise bad(N_("Row %(row)s is blank, and more rows follow it."), row=blank)
            blank, count = 0, count + 1
            if count > self._limits.rows:
                raise too_large(N_("The report has over %(limit)s rows, at row %(row)s."), limit=count - 1, row=line)
            yield line, cells
        if not count:
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
                names = _header(next(csv.reader([seen[-1]], delimiter=delimiter, strict=True)))
            except csv.Error:
                continue
            if _is_transactions(names) or _is_summary(names):
                self.delimiter = delimiter
                return records_of(csv.reader(chain(seen, lines), delimiter=delimiter, strict=True))
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
            if _is_blank(cells):
                continue
            names = _header(cells)
            if _is_transactions(names):
                _refuse_twice(line, names)
                return names
            if not summary:
                _refuse_twice(line, names)
                summary = names
            elif len(cells) != len(summary):
                _refuse_width(line, cells, len(summary))
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
        read, period = self._cells, any(name.startswith(_PERIOD) for name in given)
        prefix = _PERIOD if period else ""
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
        _refuse_long(line, tuple(given.values()))
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
        _refuse_long(line, (merchant_id,))
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


def _header(cells: Sequence[str]) -> list[str]:
    return [cell.strip().casefold().replace(" ", "_").replace("-", "_") for cell in cells]


def _is_transactions(names: Sequence[str]) -> bool:
    return "type" in names and "amount" in names and ("order_id" in names or "short_order_id" in names)


def _is_summary(names: Sequence[str]) -> bool:
    return any(name.removeprefix(_PERIOD) in CSV_TOTALS for name in names)


def _places(names: Sequence[str]) -> dict[str, int]:
    """Where each field stands, for those the report has."""
    return {
        field: names.index(next(alias for alias in aliases if alias in names))
        for field, aliases in CSV_COLUMNS.items()
        if not set(aliases).isdisjoint(names)
    }


def _is_blank(cells: Sequence[str]) -> bool:
    return not any(map(str.strip, cells))


def _refuse_twice(line: int, names: Sequence[str]) -> None:
    for name, times in Counter(filter(None, names)).items():
        if times > 1:
            raise bad(N_("Row %(row)s: the header names the column “%(text)s” twice."), row=line, text=clip(name))


def _refuse_width(line: int, cells: Sequence[str], width: int) -> NoReturn:
    raise bad(
        N_("Row %(row)s has %(found)s columns, but its header has %(width)s."), row=line, found=len(cells), width=width
    )


def _refuse_long(line: int, texts: Sequence[str]) -> None:
    longest = max(map(len, texts))
    if longest > MAX_TEXT:
        raise bad(
            N_("Row %(row)s has a text of %(found)s characters; none of Klarna's is over %(limit)s."),
            row=line,
            found=longest,
            limit=MAX_TEXT,
        )


def _settlement_type(cell: str, line: int) -> SettlementType | None:
    if not cell:
        return None
    try:
        return SettlementType(cell.upper())
    except ValueError:
        raise bad(N_("Row %(row)s: “%(text)s” is not a settlement type."), row=line, text=clip(cell)) from None
