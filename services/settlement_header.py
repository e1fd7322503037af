"""What the header of a settlement report says, and which records below it are rows: their width, blanks, how many there are.

Raises BadInput with the row. No database. Source: catalogue rows 48-61.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NoReturn

from errors import N_
from services.settlement_cells import MAX_TEXT, bad, clip, too_large
from services.settlement_layouts import CSV_COLUMNS, CSV_TOTALS

PERIOD = "summary_"
_FIRST = itemgetter(0)


class Remembered(dict[str, Any]):
    """What cells were read as: a report repeats itself, and a text is read once."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, cell: str) -> Any:
        found = self[cell] = self._read(cell)
        return found


class Room:
    """Takes the records below a header, ``count`` so far: of its width, blank ones only at the end, not too many."""

    def __init__(self, width: int, most: int) -> None:
        self._width, self._most = width, most
        self._blank = self.count = 0

    def takes_all(self, records: Sequence[Sequence[str]]) -> bool:
        """Whether each of them is a row beyond doubt; if not, nothing has been taken, and they are asked one by one."""
        if (
            self._blank
            or self.count + len(records) > self._most
            or set(map(len, records)) != {self._width}
            or not all(map(_FIRST, records))
        ):
            return False
        self.count += len(records)
        return True

    def takes(self, line: int, cells: Sequence[str]) -> bool:
        """Whether a record is a row. Raises BadInput and TooLarge."""
        if len(cells) != self._width or not cells[0]:
            if is_blank(cells):
                self._blank = self._blank or line
                return False
            if len(cells) != self._width:
                refuse_width(line, cells, self._width)
        if self._blank and self.count:
            raise bad(N_("Row %(row)s is blank, and more rows follow it."), row=self._blank)
        if self.count == self._most:
            raise too_large(N_("The report has over %(limit)s rows, at row %(row)s."), limit=self.count, row=line)
        self._blank, self.count = 0, self.count + 1
        return True


def header(cells: Sequence[str]) -> list[str]:
    """The names of a header, however they are written."""
    return [cell.strip().casefold().replace(" ", "_").replace("-", "_") for cell in cells]


def is_transactions(names: Sequence[str]) -> bool:
    """Whether these name the columns of rows."""
    return "type" in names and "amount" in names and ("order_id" in names or "short_order_id" in names)


def is_summary(names: Sequence[str]) -> bool:
    """Whether these name the totals of a summary section."""
    return any(name.removeprefix(PERIOD) in CSV_TOTALS for name in names)


def places(names: Sequence[str]) -> dict[str, int]:
    """Where each field stands, for those the report has."""
    return {
        field: names.index(next(alias for alias in aliases if alias in names))
        for field, aliases in CSV_COLUMNS.items()
        if not set(aliases).isdisjoint(names)
    }


def is_blank(cells: Sequence[str]) -> bool:
    """Whether nothing stands in a record."""
    return not any(map(str.strip, cells))


def refuse_twice(line: int, names: Sequence[str]) -> None:
    """Raises BadInput when a header names a column twice."""
    for name, times in Counter(filter(None, names)).items():
        if times > 1:
            raise bad(N_("Row %(row)s: the header names the column “%(text)s” twice."), row=line, text=clip(name))


def refuse_width(line: int, cells: Sequence[str], width: int) -> NoReturn:
    """Raises BadInput: a record of another width than its header."""
    raise bad(
        N_("Row %(row)s has %(found)s columns, but its header has %(width)s."), row=line, found=len(cells), width=width
    )


def refuse_long(line: int, texts: Sequence[str]) -> None:
    """Raises BadInput when one of these is longer than anything of Klarna's."""
    longest = max(map(len, texts))
    if longest > MAX_TEXT:
        raise bad(
            N_("Row %(row)s has a text of %(found)s characters; none of Klarna's is over %(limit)s."),
            row=line,
            found=longest,
            limit=MAX_TEXT,
        )
