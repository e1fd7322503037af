"""A report as a table: said once, shown as a page, saved as a file for a spreadsheet, or drawn on paper (B34).

Cells are text, days, or minor units of kronor; each column says which. Which shape is asked for stands in the address as ``as``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, islice
from typing import Any

from flask import request, url_for
from werkzeug.wrappers import Response

import clock
import money
from db import reading
from errors import N_, Refusal
from services import book_export, printing, settings
from web import page, query_choice, say
from web_documents import sheet
from web_papers import Sheet, papers, pdf_answer
from web_words import amount, day, gettext, moment, quantity, spoken

SHAPES = ("", "csv", "pdf", "print")
MOST_IN_FILE = book_export.MOST_ROWS
"""Rows of a list in a file; the last row of a longer one says that it was cut."""
MOST_ON_PAPER = 3_000
"""Rows of one report on paper, some fifty sheets; a longer one is for a file."""


@dataclass(frozen=True, slots=True)
class Column:
    """A head and what its cells are.

    ``text``, ``wide`` (may wrap), ``day``, ``moment``, ``whole``, ``quantity`` (thousandths), ``kronor`` (whole ones), or
    ``money`` (minor units).
    """

    head: str
    sort: str = "text"

    @property
    def right(self) -> bool:
        """Whether its cells stand to the right."""
        return self.sort in ("whole", "quantity", "kronor", "money")

    def shown(self, cell: Any) -> str:
        """A cell as a person reads it."""
        if cell is None or cell == "":
            return ""
        if self.sort == "money":
            return amount(cell)
        if self.sort == "quantity":
            return quantity(cell)
        if self.sort == "kronor":
            return kronor(cell)
        if self.sort == "moment":
            return moment(cell)
        return day(cell) if isinstance(cell, date) else str(cell)

    def written(self, cell: Any) -> str:
        """A cell as a file has it."""
        if cell is None:
            return ""
        if self.sort == "moment":
            return moment(cell)
        if self.sort == "quantity" and cell != "":
            return _thousandths(cell)
        return money.plain(cell) if self.sort == "money" and cell != "" else str(cell)


@dataclass(frozen=True, slots=True)
class Line:
    """A row: its cells, where it leads, and whether it is a heading or a sum."""

    cells: Sequence[Any]
    url: str | None = None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table with its title; ``foot`` are sums, ``name`` what a file is called."""

    name: str
    title: str
    about: str
    columns: Sequence[Column]
    lines: Iterable[Line]
    foot: Sequence[Line] = ()
    notes: Sequence[str] = field(default=())


def _thousandths(milli: int) -> str:
    """A quantity as a file has it: a point, and no more decimals than it has."""
    whole, part = divmod(abs(milli), 1000)
    return f"{'-' if milli < 0 else ''}{whole}" + (f".{part:03d}".rstrip("0") if part else "")


def kronor(whole: int) -> str:
    """Whole kronor, grouped: an amount without its decimals."""
    return amount(whole * 100)[:-3]


def shape() -> str:
    """What is asked for: a page, a file for a spreadsheet, a PDF, or the print page."""
    return query_choice("as", SHAPES, "")


def ways(endpoint: str, **values: Any) -> list[dict[str, str]]:
    """The links to the other shapes of a report, with the same choices."""
    told = [("csv", gettext(N_("Save as a file")), "download"), ("print", gettext(N_("Print")), "printer")]
    if printing.missing() is None:
        told.append(("pdf", gettext(N_("PDF")), "file-text"))
    return [
        {"how": how, "label": label, "url": _address(endpoint, values, how), "icon": icon} for how, label, icon in told
    ]


def _address(endpoint: str, values: dict[str, Any], how: str) -> str:
    given: dict[str, Any] = {**values, "as": how}
    return url_for(endpoint, **given)


def listed(name: str, title: str, columns: Sequence[Column], lines: Iterable[Sequence[Any]]) -> Table:
    """A list as the table of a file: its rows as they come, cut with a word where there are too many."""

    def capped() -> Iterator[Line]:
        rows = iter(lines)
        for row in islice(rows, MOST_IN_FILE):
            yield Line(row)
        if next(rows, None) is not None:
            said = gettext(N_("Only the first %(most)s rows are in the file.")) % {"most": MOST_IN_FILE}
            yield Line([said, *[None] * (len(columns) - 1)])

    return Table(name, title, "", columns, capped())


def every(page_of: Callable[[Any], tuple[Sequence[Any], Any]]) -> Iterator[Any]:
    """All rows of a list that is read page by page.

    ``page_of`` takes the mark of a page, None for the first, and gives its rows and the mark of the next, None after the last.
    """
    mark = None
    while True:
        rows, mark = page_of(mark)
        yield from rows
        if mark is None:
            return


def wants_file() -> bool:
    """Whether a list is asked for as a file."""
    return shape() == "csv"


def file_address(endpoint: str, **given: Any) -> str:
    """Where the file of a list is, with these filters."""
    return _address(endpoint, given, "csv")


def answer(asked: str, tables: Sequence[Table], shown: Callable[[], Response] | None = None) -> Response:
    """The report in the shape asked for; ``shown`` draws its page. Several tables make one file, one after another."""
    if asked == "csv":
        return _file(tables)
    return shown() if shown is not None and not asked else _paper(asked, tables)


def _file(tables: Sequence[Table]) -> Response:
    first = tables[0]

    def rows() -> Iterable[Sequence[str]]:
        for place, table in enumerate(tables):
            if place:
                yield []
                yield [table.title]
                yield [column.head for column in table.columns]
            for line in chain(table.lines, table.foot):
                yield [column.written(cell) for column, cell in zip(table.columns, line.cells, strict=True)]

    return sheet(f"{first.name}.csv", [column.head for column in first.columns], rows(), said=True)


def _paper(asked: str, tables: Sequence[Table]) -> Response:
    with reading() as looked:
        company = settings.values(looked, "company.")
    drawn = []
    for table in tables:
        lines = list(islice(table.lines, MOST_ON_PAPER + 1))
        if len(lines) > MOST_ON_PAPER:
            raise Refusal(
                N_("There are more than %(most)s rows, too many for paper. Choose a shorter period, or save a file."),
                most=str(MOST_ON_PAPER),
            )
        drawn.append({"table": table, "lines": lines})
    paper = {"parts": drawn, "company": company, "now": clock.now()}
    sheets, title = [Sheet("books/_paper.html", {"paper": paper})], tables[0].title
    if asked == "pdf":
        try:
            return pdf_answer(f"{tables[0].name}.pdf", papers().pdf(sheets, spoken().code, title))
        except Refusal as refusal:
            return page("papers/print.html", sheets=sheets, title=title, back=_back(), notes=[say(refusal)], status=409)
    return page("papers/print.html", sheets=sheets, title=title, back=_back())


def _back() -> str:
    """The same report as a page."""
    given = {name: value for name, value in request.args.items() if name != "as"}
    return url_for(request.endpoint or "", **{**(request.view_args or {}), **given})
