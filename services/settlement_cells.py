"""From the bytes of a settlement report to lines and records, and from its cells to integers, instants and codes.

Nothing here guesses: a cell in a form of its own is None to the caller, who refuses it with its row. Limits and the
kinds of file that are never read: catalogue rows 48-56.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import accumulate, chain, islice
from typing import IO, TYPE_CHECKING

from errors import N_, BadInput, Refusal, TooLarge, UnsupportedFile

if TYPE_CHECKING:
    from _csv import Reader

bad = partial(BadInput, field="file")
too_large = partial(TooLarge, field="file")

BLOCK_BYTES = 1 << 18
MAX_LINE_BYTES = 1 << 18
MAX_TEXT = 255

_FOREIGN_KINDS = (
    (b"PK\x03\x04", "ZIP, XLSX"),
    (b"PK\x05\x06", "ZIP"),
    (b"%PDF", "PDF"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\xd0\xcf\x11\xe0", "XLS"),
    (b"7z\xbc\xaf", "7z"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"(\xb5/\xfd", "zstd"),
)
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_MARK = b"\xef\xbb\xbf"

_AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,9})[.,][0-9]{2}").fullmatch
_RATE = re.compile(r"([0-9]{1,4})(?:[.,]([0-9]{1,2})0*)?").fullmatch
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
).fullmatch
_CURRENCY = re.compile(r"[A-Za-z]{3}").fullmatch
_REFERENCE = re.compile(r"[A-Za-z0-9-]{1,64}").fullmatch
_FILE_NAMES = (
    re.compile(r"settlement\.([A-Za-z0-9-]{1,64})(?: ?\([0-9]{1,3}\))?\.csv", re.ASCII).fullmatch,
    re.compile(
        r"([A-Za-z0-9-]{1,64})_[0-9]{8}T[0-9]{6}(?:[+-][0-9]{4}|Z)?_[0-9]+(?: ?\([0-9]{1,3}\))?\.csv", re.ASCII
    ).fullmatch,
)

#: The largest amount that is read, minor units: the sum of as many rows as are read still fits in 64 bits.
MAX_MINOR = 999_999_999_999
#: Klarna was founded in 2005; no row of a report can be older.
EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)
#: How far a report may be ahead of our clock.
CLOCK_SLACK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one report may hold before it is refused with 413."""

    bytes: int = 50 * 1024 * 1024
    rows: int = 2_000_000
    payouts: int = 10_000


class Cells:
    """Reads the cells of one report: the same decimal sign throughout, no date later than ``now`` and a day.

    ``decimal`` is the sign of the amounts so far, if there were any.
    """

    __slots__ = ("_latest", "decimal")

    def __init__(self, now: datetime) -> None:
        self._latest = now + CLOCK_SLACK
        self.decimal = ""

    def amount(self, cell: str, row: int) -> int:
        """``1234.50`` or ``-1234,50`` as integer minor units: two decimals, no grouping, no minus on zero.

        Raises BadInput (catalogue row 56).
        """
        value = int(cell[:-3] + cell[-2:]) if _AMOUNT(cell) else None
        if value is None or (not value and cell[0] == "-"):
            raise bad(
                N_(
                    "Row %(row)s: the amount “%(text)s” cannot be read. "
                    "Amounts have two decimals and no grouping, such as 1234.50."
                ),
                row=row,
                text=clip(cell),
            )
        if cell[-3] != self.decimal:
            if self.decimal:
                raise bad(
                    N_("Row %(row)s: the amount “%(text)s” has another decimal sign than the amounts before it."),
                    row=row,
                    text=clip(cell),
                )
            self.decimal = cell[-3]
        return value

    def moment(self, cell: str, row: int) -> datetime | None:
        """An instant in UTC, or None of an empty cell. Raises BadInput (catalogue row 59)."""
        if not cell:
            return None
        at = moment(cell)
        if at is None:
            raise bad(
                N_("Row %(row)s: “%(text)s” is not a date Kvitta can read. Dates are written as 2026-03-18T07:45:00Z."),
                row=row,
                text=clip(cell),
            )
        if not self.possible(at):
            raise bad(
                N_("Row %(row)s: the date %(text)s is in the future, or before Klarna existed."),
                row=row,
                text=clip(cell),
            )
        return at

    def possible(self, at: datetime) -> bool:
        """Whether Klarna can have written this instant by now."""
        return EARLIEST <= at <= self._latest

    def currency(self, cell: str, row: int) -> str:
        """A code of three letters, or nothing of an empty cell. Raises BadInput."""
        code = currency_code(cell) if cell else ""
        if code is None:
            raise bad(N_("Row %(row)s: “%(text)s” is not a currency code."), row=row, text=clip(cell))
        return code

    def reference(self, cell: str, row: int) -> str:
        """A payment reference, or nothing of an empty cell. Raises BadInput."""
        if cell and not is_reference(cell):
            raise bad(N_("Row %(row)s: “%(text)s” is not a payment reference."), row=row, text=clip(cell))
        return cell


def clip(value: object) -> str:
    """What was written, short enough for a sentence."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


@lru_cache(maxsize=1024)
def hundredths(text: str) -> int | None:
    """A VAT rate in hundredths of a percent: 25, 25.00 and 2500 are the same. The rate informs only, so None if odd."""
    match = _RATE(text.strip().removesuffix("%").rstrip())
    if match is None:
        return None
    whole, part = int(match[1]), match[2]
    if part is None:
        value = whole * 100 if whole <= 100 else whole
    else:
        value = whole * 100 + int(part.ljust(2, "0"))
    return value if value <= 10_000 else None


def moment(text: str) -> datetime | None:
    """An ISO 8601 instant or date in UTC; one without an offset is UTC already, as Klarna's are. None if odd."""
    if _MOMENT(text) is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is UTC:
            return at
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def currency_code(text: str) -> str | None:
    """Three letters in capitals, or None."""
    return text.upper() if _CURRENCY(text) else None


def is_reference(text: str) -> bool:
    """Whether a payment reference can look like this."""
    return _REFERENCE(text) is not None


def reference_in_name(file_name: str) -> str | None:
    """The payment reference in ``settlement.<reference>.csv`` or ``<reference>_<stamp>_0.csv``; a path never counts."""
    name = re.split(r"[/\\]", file_name)[-1]
    return next((match[1] for match in (form(name) for form in _FILE_NAMES) if match), None)


def lines_of(stream: IO[bytes], limits: Limits) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends, in flat memory. Raises UnsupportedFile, TooLarge and BadInput."""
    head = stream.read(BLOCK_BYTES)
    for start, kind in _FOREIGN_KINDS:
        if head.startswith(start):
            raise UnsupportedFile(
                N_("This is a %(kind)s file by its content. Kvitta reads Klarna's report as CSV."),
                kind=kind,
                field="file",
            )
    if head.startswith(_WIDE_MARKS):
        raise UnsupportedFile(N_("The file is in UTF-16 or UTF-32. Save it again as UTF-8."), field="file")
    chunks = chain([head.removeprefix(_MARK)], iter(lambda: stream.read(BLOCK_BYTES), b""))
    return chain.from_iterable(io.StringIO(text, newline="\n") for text in _blocks(chunks, limits))


def _blocks(chunks: Iterable[bytes], limits: Limits) -> Iterator[str]:
    """Whole lines, block by block, decoded strictly."""
    row, total, rest = 1, 0, b""
    for chunk in chunks:
        total += len(chunk)
        if total > limits.bytes:
            raise too_large(N_("The file is over %(limit)s bytes, at row %(row)s."), limit=limits.bytes, row=row)
        cut = chunk.rfind(b"\n") + 1
        if cut:
            block, rest = rest + chunk[:cut], chunk[cut:]
            yield _decoded(block, row)
            row += block.count(b"\n")
        else:
            rest += chunk
        if len(rest) > MAX_LINE_BYTES:
            raise too_large(N_("Row %(row)s is longer than %(limit)s bytes."), row=row, limit=MAX_LINE_BYTES)
    if rest:
        yield _decoded(rest, row)


def _decoded(block: bytes, row: int) -> str:
    nul = block.find(b"\0")
    if nul >= 0:
        raise bad(
            N_("Row %(row)s holds NUL characters: the file is damaged, or in UTF-16. Save it again as UTF-8."),
            row=row + block.count(b"\n", 0, nul),
        )
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad(
            N_("Row %(row)s is not UTF-8; the file is perhaps in Windows-1252. Save it again as UTF-8."),
            row=row + block.count(b"\n", 0, error.start),
        ) from None


def records_of(reader: Reader) -> Iterator[tuple[int, list[str]]]:
    """The records with the line each begins on."""
    begun = 1
    try:
        for cells in reader:
            yield begun, cells
            begun = reader.line_num + 1
    except csv.Error as error:
        raise _no_record(error, begun) from None


def blocks_of(reader: Reader, size: int) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
    """The rest of the records some at a time, with the line each begins on; what came before an error comes before it."""
    while True:
        before, records = reader.line_num, list[list[str]]()
        try:
            for cells in islice(reader, size):
                records.append(cells)
        except (csv.Error, Refusal) as error:
            *lines, begun = _lines(records, before + 1)
            if records:
                yield lines, records
            raise error if isinstance(error, Refusal) else _no_record(error, begun) from None
        if not records:
            return
        if reader.line_num - before == len(records):
            yield range(before + 1, reader.line_num + 1), records
        else:
            yield list(_lines(records, before + 1))[:-1], records


def _lines(records: Iterable[Sequence[str]], first: int) -> Iterator[int]:
    """The line each record begins on, and the line after the last; a quoted cell may go over several."""
    return accumulate((1 + sum(cell.count("\n") for cell in cells) for cells in records), initial=first)


def _no_record(error: csv.Error, begun: int) -> BadInput | TooLarge:
    said = str(error)
    if "field larger" in said:
        return too_large(
            N_("Row %(row)s has a field over %(limit)s characters, or a quotation mark that is never closed."),
            row=begun,
            limit=csv.field_size_limit(),
        )
    if "new-line" in said:
        return lone_cr(begun)
    if "unexpected end" in said:
        return bad(N_("Row %(row)s opens a quotation mark that is never closed."), row=begun)
    return bad(N_("Row %(row)s has a quotation mark in the wrong place."), row=begun)


def lone_cr(line: int) -> BadInput:
    """The no to a carriage return that ends no line, as catalogue row 52 asks."""
    return bad(N_("Row %(row)s holds a carriage return without a line feed. Save the file with LF or CRLF."), row=line)
