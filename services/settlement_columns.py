"""Rows of a settlement report some hundred at a time, by the column, and laid aside between proving and loading.

Reading a million rows one by one costs more than all the rest; a column is converted and added up as a whole. No database.
"""

from __future__ import annotations

import marshal
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, starmap
from typing import Any

from services.settlement_layouts import Row

FIELDS = tuple(Row.__annotations__)
Columns = Sequence[Sequence[Any]]
"""The fields of ``Row`` in their order, each with as many values as there are rows."""
BLOCK_ROWS = 250
"""Rows at a time: what is done once for all of them costs little, and they are gone before Python looks for garbage."""
IN_MEMORY = 4 << 20
_SIZE = 4


def columns_of(rows: Iterable[Row]) -> Iterator[Columns]:
    """Rows that come one by one, as blocks of columns."""
    left = iter(rows)
    while block := list(islice(left, BLOCK_ROWS)):
        yield list(zip(*block, strict=True))


def rows_of(columns: Columns) -> Iterator[Row]:
    """A block of columns as rows."""
    return starmap(Row, zip(*columns, strict=True))


def by_payout(columns: Columns) -> Iterator[tuple[str, Columns]]:
    """A block apart by payout, in the order in which they first come."""
    references = columns[0]
    if references.count(references[0]) == len(references):
        yield references[0], columns
        return
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, reference in enumerate(references):
        places[reference].append(place)
    for reference, mine in places.items():
        yield reference, [[column[place] for place in mine] for column in columns]


class Aside:
    """Rows as they will be kept, between the reading that proves them and the loading: a file of this process alone.

    What is lost with the process is read anew from the report.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed when nobody holds it any more

    def add(self, reference: str, columns: Columns) -> None:
        """Lay some rows of a payout aside: texts, integers and nothing else."""
        laid: Any = (reference, *columns)
        block = marshal.dumps(laid, 2)
        self._file.write(len(block).to_bytes(_SIZE))
        self._file.write(block)

    def blocks(self) -> Iterator[tuple[str, Columns]]:
        """What was laid aside, in its order."""
        self._file.seek(0)
        while size := int.from_bytes(self._file.read(_SIZE)):
            reference, *columns = marshal.loads(self._file.read(size))  # noqa: S302 - what this process wrote a moment ago
            yield reference, columns
