"""«Differensrapport» as tables: said once, shown as a page, saved as a file, or drawn on paper (B28)."""

from __future__ import annotations

from dataclasses import replace

from flask import url_for

from models import Stocktake
from services.stocktake_report import Report, Uncounted
from states import StocktakeState
from web_reports import Column, Line, Table
from web_words import gettext as _
from web_words import moment


def _title(stocktake: Stocktake) -> str:
    return _("Difference report, stocktake %(number)s", number=stocktake.id)


def without_values(table: Table) -> Table:
    """The table for those who may not see what articles cost: its last column and its sums are values."""
    lines = [replace(each, cells=each.cells[:-1]) for each in table.lines]
    return replace(table, columns=table.columns[:-1], lines=lines, foot=())


def differences(stocktake: Stocktake, found: Report, most: int | None) -> Table:
    """What was counted and differs, with its value; of each kind the first ``most``."""
    about = _("%(warehouse)s, started %(at)s", warehouse=stocktake.warehouse.name, at=moment(stocktake.started_at))
    columns = [
        Column(_("Article")),
        Column(_("Description"), "wide"),
        Column(_("Balance then"), "quantity"),
        Column(_("Counted"), "quantity"),
        Column(_("Difference"), "quantity"),
        Column(_("Unit")),
        Column(_("Value at cost, SEK"), "money"),
    ]
    lines = [
        Line(
            [
                each.number, each.name, each.balance_milli, each.counted_milli, each.difference_milli, each.unit,
                each.value_minor,
            ],
            url=url_for("stock.article", article_id=each.article_id),
        )
        for each in found.differing[:most]
    ]  # fmt: skip
    foot = [
        Line([name, "", None, None, None, "", minor], strong=True)
        for name, minor in (
            (_("More than the books said"), found.more_minor),
            (_("Less than the books said"), found.less_minor),
            (_("Together"), found.net_minor),
        )
    ]
    return Table(f"stocktake-{stocktake.id}", _title(stocktake), about, columns, lines, foot if lines else ())


def rest(stocktake: Stocktake, found: Report, most: int | None) -> Table:
    """What nobody counted; once it is booked, what was set to zero."""
    booked = stocktake.state is StocktakeState.BOOKED
    title = _("Not counted, set to zero") if booked else _("Not counted")
    columns = [
        Column(_("Article")),
        Column(_("Description"), "wide"),
        Column(_("Balance"), "quantity"),
        Column(_("Unit")),
        Column(_("Value at cost, SEK"), "money"),
    ]

    def line(each: Uncounted) -> Line:
        cells = [each.number, each.name, each.balance_milli, each.unit, each.value_minor]
        return Line(cells, url=url_for("stock.article", article_id=each.article_id))

    foot = [Line([_("Together"), "", None, "", found.uncounted_minor], strong=True)]
    return Table("uncounted", title, "", columns, [line(each) for each in found.uncounted[:most]], foot)
