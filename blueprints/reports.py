"""Reports of the books: «Momsrapport», «Åldersanalys» and «Huvudbok», each as a page, a file, a print page and a PDF (B34)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

import clock
from db import reading
from errors import N_, BadInput
from rights import Right
from services import ageing as ages
from services import chart_changes, periods, stock_booking, vat_report
from services.ageing import GROUPS, Ageing
from services.vat_report import DUE
from states import DocKind
from web import actor, needs, page
from web_book_tables import ledger_table, period, warned
from web_query import Days, typed_days
from web_reports import MOST_IN_FILE, MOST_ON_PAPER, Column, Line, Table, answer, kronor, shape, ways
from web_words import amount, day, percent
from web_words import gettext as _

blueprint = Blueprint("reports", __name__)


# --- Momsrapport ---------------------------------------------------------------------------------------------------------


def _months(count: int = 6) -> list[tuple[date, date]]:
    """The last months that are over and this one, the newest first."""
    told, starts = [], clock.today().replace(day=1)
    for _n in range(count):
        following = (starts + timedelta(days=32)).replace(day=1)
        told.append((starts, following - timedelta(days=1)))
        starts = (starts - timedelta(days=1)).replace(day=1)
    return told


def _between(starts: date, ends: date) -> dict[str, Any]:
    return {"from": starts, "to": ends}


def _box_name(number: int) -> str:
    if number == DUE:
        return _("VAT to pay, or to get back when negative")
    return _(chart_changes.BOXES[number])


def _vat_tables(report: vat_report.Report, wrong: Sequence[str]) -> list[Table]:
    columns = [
        Column(_("Box")),
        Column(_("What"), "wide"),
        Column(_("SEK, declared"), "kronor"),
        Column(_("SEK"), "money"),
    ]
    lines = []
    for box in report.boxes:
        lines.append(Line([f"{box.number:02d}", _box_name(box.number), box.whole, box.minor], strong=True))
        for part in box.parts:
            name = _("Advances whose VAT has fallen due") if part.account is None else part.name
            url = (
                None
                if part.account is None
                else url_for("books.account", account=part.account, **_between(report.starts, report.ends))
            )
            lines.append(Line(["" if url is None else str(part.account), name, None, part.minor], url=url))
    notes = [*wrong, _("Whole kronor are declared, öre left out, box by box.")]
    if report.dormant_minor:
        notes.append(_("VAT on advances that is not due yet: SEK %(amount)s.", amount=amount(report.dormant_minor)))
    if report.basis_missing:
        notes.append(_("VAT on purchases is booked, but no account has a box for their basis (20 to 24)."))
    proof = [
        Line([percent(each.rate), each.basis_minor, each.expected_minor, each.booked_minor, each.difference_minor])
        for each in report.proofs
    ]
    rates = [
        Column(_("Rate")),
        Column(_("Basis, SEK"), "money"),
        Column(_("VAT on it, SEK"), "money"),
        Column(_("VAT booked, SEK"), "money"),
        Column(_("Difference, SEK"), "money"),
    ]
    about = _("The VAT of each rate against its sales. Rounding row by row makes a few öre.")
    return [
        Table("vat-report", _("VAT report"), period(report.starts, report.ends), columns, lines, notes=notes),
        *([Table("vat-proof", _("Proof per rate"), about, rates, proof)] if proof else []),
    ]


@blueprint.get("/books/vat")
@needs(Right.READ)
def vat() -> Response:
    """The boxes of the VAT return for a period; the month before this one unless another is asked for."""
    days = typed_days()
    months = _months()
    starts, ends = days.starts or months[1][0], days.ends or (months[1][1] if days.starts is None else clock.today())
    if starts > ends:
        days = Days(None, None, days.typed, {"to": _("The first day lies after the last.")})
    if not days.wrong:
        days = Days(starts, ends, {"from": starts.isoformat(), "to": ends.isoformat()}, {})
    with reading() as looked:
        report = vat_report.report(looked, starts, max(starts, ends))
        wrong = warned(looked, max(starts, ends), starts)
    tables = _vat_tables(report, wrong)

    def shown() -> Response:
        choices = [
            {
                "label": f"{first:%Y-%m}",
                "url": url_for("reports.vat", **_between(first, last)),
                "active": (first, last) == (starts, ends),
            }
            for first, last in months
        ]
        return page(
            "books/vat.html", status=days.status, days=days, tables=tables, report=report, choices=choices,
            due=kronor(abs(report.due_whole)), wrong=len(wrong),
            ways=ways("reports.vat", **_between(starts, ends)),
        )  # fmt: skip

    return answer("" if days.wrong else shape(), tables, shown)


# --- Åldersanalys --------------------------------------------------------------------------------------------------------


MOST_SHOWN = 500
MOST_OF_SHAPE = {"": MOST_SHOWN, "csv": MOST_IN_FILE, "print": MOST_ON_PAPER + 1, "pdf": MOST_ON_PAPER + 1}
"""Open documents under the sums: a page of them, or all; too many for paper is said there."""


def group_names() -> list[str]:
    """The heads of the age groups."""
    told = [_("Not due")]
    told += [_("%(first)s–%(last)s days", first=first + 1, last=last) for first, last in pairwise(GROUPS)]
    return [*told, _("Over %(days)s days", days=GROUPS[-1])]


def _ageing_tables(found: Ageing, wrong: Sequence[str]) -> list[Table]:
    heads = group_names()
    sums = [
        Line([name, *told.groups, told.minor])
        for name, told in ((_("Klarna"), found.klarna), (_("Customers"), found.customers))
    ]
    both = [a + b for a, b in zip(found.klarna.groups, found.customers.groups, strict=True)]
    notes = [
        _("What customers pay to us ages from its due date; what Klarna pays, and credit notes, from the day of issue.")
    ]
    notes += wrong
    if found.total_minor != found.ledger_minor:
        told = amount(found.ledger_minor)
        notes.append(_("The customer ledger accounts hold SEK %(amount)s: something does not add up.", amount=told))
    summary = Table(
        "ageing",
        _("Age of receivables"),
        _("Open on %(day)s", day=day(found.day)),
        [Column(_("Debtor")), *(Column(head, "money") for head in heads), Column(_("Sum, SEK"), "money")],
        sums,
        [Line([_("Sum"), *both, found.total_minor])],
        notes,
    )
    columns = [
        Column(_("Document")),
        Column(_("Debtor")),
        Column(_("Customer"), "wide"),
        Column(_("Date"), "day"),
        Column(_("Due"), "day"),
        Column(_("Days over"), "whole"),
        Column(_("Open, SEK"), "money"),
    ]
    lines = [
        Line(
            [
                row.number,
                _("Klarna") if row.at_klarna else _("Customer"),
                f"{row.customer_number} {row.customer}",
                row.issued,
                row.due,
                row.days if row.days > 0 else None,
                row.open_minor,
            ],
            url=url_for(
                "credit_notes.show" if row.kind is DocKind.CREDIT_NOTE else "invoices.show", document_id=row.document_id
            ),
        )
        for row in found.rows
    ]
    if found.cut:
        told = _("The %(most)s oldest are shown; the sums are of all. A file has more.", most=len(found.rows))
        lines.append(Line([told, *[None] * (len(columns) - 1)], strong=True))
    return [summary, Table("open-documents", _("Open documents"), "", columns, lines)]


@blueprint.get("/books/ageing")
@needs(Right.READ)
def ageing() -> Response:
    """What Klarna and customers owe on a day, by age."""
    days = typed_days("from", "day")
    on = days.ends or clock.today()
    with reading() as looked:
        found = ages.ageing(looked, on, MOST_OF_SHAPE[shape()])
        wrong = warned(looked, on)
    tables = _ageing_tables(found, wrong)
    if not days.wrong:
        days = Days(None, on, {"day": on.isoformat()}, {})

    def shown() -> Response:
        return page(
            "books/ageing.html", status=days.status, days=days, tables=tables, found=found,
            ways=ways("reports.ageing", day=on),
        )  # fmt: skip

    return answer("" if days.wrong else shape(), tables, shown)


# --- Huvudbok ------------------------------------------------------------------------------------------------------------


@blueprint.get("/books/ledger")
@needs(Right.READ)
def ledger() -> Response:
    """«Huvudbok»: every account with its rows, for paper or a file; at most a year."""
    days = typed_days()
    if days.wrong:
        raise BadInput(N_("Write the first and the last day."), field="from")
    with reading() as looked:
        year = periods.year_around(looked, days.starts or days.ends or clock.today())
        starts, ends = days.starts or year[0], days.ends or year[1]
        if (ends - starts).days > 366:
            raise BadInput(N_("At most %(most)s days can be shown at a time."), field="to", most=366)
        stock_booking.require_seen(looked, actor(), starts, ends)
        return answer(shape() or "print", [ledger_table(looked, starts, ends)])
