"""«Behandlingshistorik» and «Systembeskrivning»: what was changed and when, and how the books are kept (BFNAR 2013:2 ch. 9)."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

import web_history
from db import reading
from rights import Right
from services import accounts, audit, chart_changes, system_facts
from services.system_facts import Description
from web import may, needs, page, query_whole
from web_labels import ACCOUNT_KIND_NAMES, VAT_CLASS_NAMES, VOUCHER_SERIES_NAMES
from web_reports import Column, Line, Table, answer, shape, ways
from web_words import day, named, percent
from web_words import gettext as _

blueprint = Blueprint("history", __name__)

ROWS = 50
MOST = 100_000


# --- Behandlingshistorik -------------------------------------------------------------------------------------------------


def _columns() -> list[Column]:
    return [
        Column(_("When"), "moment"),
        Column(_("By")),
        Column(_("What"), "wide"),
        Column(_("New value"), "wide"),
        Column(_("Holds from")),
    ]


def _lines(lines: Sequence[audit.Line], names: dict[int, str]) -> list[Line]:
    told = (web_history.told(line, names) for line in lines)
    return [
        Line([each["at"], named(each["by"], "actor"), each["what"], each["says"], each["from"] or ""]) for each in told
    ]


@blueprint.get("/books/history")
@needs(Right.READ_AUDIT)
def index() -> Response:
    """Dated changes of accounts, rates, rules, locks and the program, the newest first; for a file or paper all of them."""
    asked, after = shape(), query_whole("after", 0, most=2**53) or None
    with reading() as looked:
        limit = MOST if asked else ROWS + 1
        lines = audit.listing(looked, kinds=web_history.PROCESSING, after=after, limit=limit)
        names = {each.number: each.name for each in accounts.chart(looked)}
    shown = lines if asked else lines[:ROWS]
    about = _(
        "Every change of accounts, VAT rates, rules and locks, with its day. Vouchers tell when they were registered."
    )
    table = Table("processing-history", _("Processing history"), about, _columns(), _lines(shown, names))

    def drawn() -> Response:
        return page(
            "books/history.html",
            table=table,
            ways=ways("history.index"),
            first=url_for("history.index") if after else None,
            older=url_for("history.index", after=lines[ROWS - 1].id) if len(lines) > ROWS else None,
        )

    return answer(asked, [table], drawn)


# --- Systembeskrivning ---------------------------------------------------------------------------------------------------


def _pairs(name: str, title: str, about: str, heads: tuple[str, str], rows: Sequence[tuple[str, str]]) -> Table:
    columns = [Column(heads[0], "wide"), Column(heads[1], "wide")]
    return Table(name, title, about, columns, [Line(list(row)) for row in rows])


def _program(told: Description) -> Table:
    company = told.company
    years = ", ".join(f"{day(each.starts)} – {day(each.ends)}" for each in reversed(told.years))
    rows = [
        (_("Company"), f"{company['company.name']} {company['company.organisation_number']}"),
        (_("Program"), f"{system_facts.PROGRAM} {system_facts.VERSION}"),
        (_("Database revision"), told.schema),
        (_("Financial years"), years),
        (_("Locked through"), day(told.locked_through) if told.locked_through else _("nothing")),
        (_("Number of vouchers"), str(told.vouchers)),
        (_("Rows of vouchers"), str(told.postings)),
        (_("Klarna's reports"), str(told.reports)),
    ]
    about = _("As it is set up %(day)s.", day=day(told.day))
    return _pairs("system-description", _("System description"), about, (_("What"), _("Value")), rows)


def _rules(told: Description) -> Table:
    columns = [
        Column(_("Event"), "wide"),
        Column(_("Series")),
        Column(_("Debit side"), "wide"),
        Column(_("Credit side"), "wide"),
        Column(_("When"), "wide"),
    ]
    lines = [Line([_(each.event), each.series, _(each.debit), _(each.credit), _(each.when)]) for each in told.rules]
    about = _(
        "Which event books what. The accounts are those under Default accounts; amounts come from the document itself."
    )
    return Table("rules", _("Processing rules"), about, columns, lines)


def _chart(told: Description) -> Table:
    columns = [
        Column(_("Account")),
        Column(_("Account name"), "wide"),
        Column(_("Kind")),
        Column(_("VAT code")),
        Column(_("Box")),
        Column(_("In use")),
    ]
    lines = [
        Line(
            [
                str(each.number),
                each.name,
                _(ACCOUNT_KIND_NAMES[each.kind]),
                percent(each.vat_rate) if each.vat_rate is not None else "",
                f"{each.vat_box:02d}" if each.vat_box is not None else "",
                _("Yes") if each.active else _("No"),
            ]
        )
        for each in told.chart
    ]
    return Table("chart", _("Chart of accounts"), "", columns, lines)


def _series(told: Description) -> Table:
    columns = [
        Column(_("Series")),
        Column(_("Financial year")),
        Column(_("First number"), "whole"),
        Column(_("Next number"), "whole"),
        Column(_("Last hash"), "wide"),
    ]
    lines = []
    for each in told.series:
        code = each.code.removeprefix("V:")
        name = _("Documents") if each.code == "F" else f"{code} {_(VOUCHER_SERIES_NAMES.get(code, code))}"
        year = f"{day(each.year.starts)} – {day(each.year.ends)}" if each.year else _("runs on")
        lines.append(Line([name, year, each.first_no, each.next_no, each.head_hash]))
    about = _(
        "Numbers are taken in the transaction that writes the voucher or freezes the document, so that none is lost."
    )
    return Table("series", _("Number series"), about, columns, lines)


def _tables(told: Description) -> list[Table]:
    parts = [
        (web_history.setting_name(entry), f"{account.number} {account.name}")
        for entry, account in told.parts
        if account
    ]
    rates = [(_(VAT_CLASS_NAMES.get(each.vat_class, each.vat_class)), f"{percent(each.rate)}, {day(each.valid_from)}")
             for each in told.rates]  # fmt: skip
    boxes = [(f"{box:02d}", _(name)) for box, name in chart_changes.BOXES.items()]
    return [
        _program(told),
        _pairs(
            "flow", _("How information flows"), "", (_("What"), _("How")), [(_(a), _(b)) for a, b in system_facts.FLOW]
        ),
        _rules(told),
        _pairs("parts", _("Default accounts"), "", (_("Part"), _("Account")), parts),
        _chart(told),
        _series(told),
        _pairs("rates", _("VAT rates"), "", (_("VAT class"), _("Rate, and the day it holds from")), rates),
        _pairs("boxes", _("Boxes of the VAT return"), "", (_("Box"), _("What")), boxes),
        _pairs(
            "archive",
            _("What is kept, and how"),
            _("For seven years after the end of the calendar year in which the financial year ended."),
            (_("What"), _("How")),
            [(_(a), _(b)) for a, b in system_facts.ARCHIVE],
        ),
    ]


@blueprint.get("/books/description")
@needs(Right.READ)
def description() -> Response:
    """How the books are kept, put together from the settings as they are now."""
    with reading() as looked:
        tables = _tables(system_facts.describe(looked))

    def drawn() -> Response:
        return page(
            "books/description.html",
            tables=tables,
            ways=[each for each in ways("history.description") if each["how"] != "csv"],
            history=may(Right.READ_AUDIT),
        )

    return answer(shape(), tables, drawn)
