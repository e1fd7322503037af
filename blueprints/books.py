"""Books: vouchers, trial balance, account sheets and number series (B34)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from typing import Any

from flask import Blueprint, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import clock
import money
from db import reading
from errors import N_
from rights import Right
from services import (
    account_sheets,
    book_export,
    book_lists,
    chart_changes,
    manual_vouchers,
    periods,
    series_report,
    stock_booking,
)
from web import (
    actor,
    may,
    needs,
    page,
    query_choice,
    query_days,
    query_text,
    why_not,
)
from web_book_tables import balance_table, series_table, sheet_table, warned
from web_documents import document_url, reason
from web_labels import VOUCHER_SERIES_NAMES
from web_query import Days, typed_days
from web_reports import Column, answer, listed, shape, ways
from web_words import gettext as _
from web_words import moment, named

blueprint = Blueprint("books", __name__)

ROWS = 50
SOURCES = {
    "invoice": N_("Invoice %(number)s"),
    "credit_note": N_("Credit note %(number)s"),
    "credit_note_reversed": N_("Reversal of credit note %(number)s"),
    "payout": N_("Payout %(number)s"),
    "payout_advance_vat": N_("VAT on advances paid with payout %(number)s"),
    "payment": N_("Payment of invoice %(number)s"),
    "stock_begun": N_("Stock booked as it moves, from this day"),
    "stock_delivery": N_("Delivery of order %(number)s"),
    "stock_return": N_("Goods of credit note %(number)s, back in stock"),
    "stock_return_reversed": N_("Goods of credit note %(number)s, taken out again"),
    "stock_replacement": N_("Goods that went out with invoice %(number)s"),
    "stock_adjusted": N_("Adjustment of a balance"),
    "stock_goods_in": N_("Goods in"),
    "stock_counted": N_("Stocktake %(number)s"),
    "stock_cost": N_("Change of a cost"),
    "manual": N_("Written by hand"),
    "sie": N_("Read from a SIE file"),
    "manual_reversed": N_("Reversal of a voucher written by hand"),
    "payment_advance_vat": N_("VAT on the advance, invoice %(number)s"),
}
"""What a voucher's source begins with, in words."""
_HEADS = (
    N_("Voucher"),
    N_("Date"),
    N_("Text"),
    N_("Account"),
    N_("Account name"),
    N_("Row text"),
    N_("Debit, SEK"),
    N_("Credit, SEK"),
    N_("Document"),
    N_("Registered"),
    N_("By"),
)


def _seen() -> list[str]:
    """The series a person sees: what stock is booked at shows what articles cost."""
    return [code for code in VOUCHER_SERIES_NAMES if code != stock_booking.SERIES or may(Right.SEE_PRIVATE)]


def _series() -> str | None:
    return query_choice("series", _seen(), "") or None


def _asked() -> Collection[str]:
    """The series a list is of: the one that was chosen, else all that a person sees."""
    chosen, seen = _series(), _seen()
    return [chosen] if chosen else () if len(seen) == len(VOUCHER_SERIES_NAMES) else seen


def _after() -> tuple[date, int] | None:
    """The place in the list: day and id, as the page's own links write it; anything else is the beginning."""
    day, _dot, key = query_text("after", 40).partition(".")
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        return None
    try:
        return date.fromisoformat(day), int(key)
    except ValueError:
        return None


@blueprint.get("/books")
@needs(Right.READ)
def vouchers() -> Response:
    """The voucher list, by series and dates."""
    days = typed_days()
    starts, ends, series = days.starts, days.ends, _series()
    given: dict[str, Any] = {"series": series, "from": starts, "to": ends}
    seen = _seen()
    with reading() as looked:
        hides = stock_booking.SERIES not in seen and stock_booking.is_booked(looked)
        rows = book_lists.voucher_list(
            looked, series=_asked(), starts=starts, ends=ends, after=_after(), limit=ROWS + 1
        )
    last = rows[ROWS - 1] if len(rows) > ROWS else None
    choices = [
        {"label": _("All"), "url": url_for("books.vouchers", **{**given, "series": None}), "active": series is None},
        *(
            {
                "label": f"{code} – {_(name)}",
                "url": url_for("books.vouchers", **{**given, "series": code}),
                "active": series == code,
            }
            for code, name in VOUCHER_SERIES_NAMES.items()
            if code in seen
        ),
    ]
    return page(
        "books/vouchers.html",
        panel="books/_vouchers.html",
        status=days.status,
        days=days,
        rows=[] if days.wrong else rows[:ROWS],
        choices=choices,
        series=series,
        hidden=why_not(Right.SEE_PRIVATE) if hides else None,
        file_url=url_for("books.export", **given),
        newest=url_for("books.vouchers", **given) if request.args.get("after") else None,
        older=url_for("books.vouchers", **given, after=f"{last.day}.{last.id}") if last else None,
    )


@blueprint.get("/books/vouchers.csv")
@needs(Right.READ)
def export() -> Response:
    """The vouchers' rows as a file for a spreadsheet."""
    starts, ends = query_days("from", "to")
    with reading() as looked:
        rows = book_export.posting_rows(looked, series=_asked(), starts=starts, ends=ends)
        return answer(
            "csv", [listed("vouchers", _("Vouchers"), [Column(_(head)) for head in _HEADS], map(_told, rows))]
        )


def _told(row: book_export.FileRow) -> list[Any]:
    return [
        row.label,
        row.day,
        row.text,
        row.account,
        row.name,
        row.row_text,
        money.plain(row.debit) if row.debit else "",
        money.plain(row.credit) if row.credit else "",
        row.document_number or "",
        moment(row.created_at),
        named(row.created_by, "actor"),
    ]


@blueprint.get("/books/vouchers/<int:voucher_id>")
@needs(Right.READ)
def voucher(voucher_id: int) -> Response:
    """One voucher with what it rests on."""
    with reading() as looked:
        shown = book_lists.voucher(looked, voucher_id)
        if shown.row.series not in _seen():
            actor().require(Right.SEE_PRIVATE)
        target = book_lists.document_endpoint(looked, shown.row.document_id)
    return page(
        "books/voucher.html",
        voucher=shown,
        document_endpoint=target,
        source=_source(shown.source),
        by_hand=manual_vouchers.is_by_hand(shown.source),
    )


def _source(source: str) -> str:
    """What a voucher was written for, in words: its source is a key such as ``invoice:42580``."""
    kind, *parts = source.split(":")
    if parts[1:] == ["taken back"]:
        return _("A payment taken back")
    number = parts[-1] if kind.startswith("payout") else "".join(parts[:1])
    name = SOURCES.get(kind)
    return _(name, number=number) if name else source


def _period(session: Session) -> tuple[date, date, Days]:
    """The days asked for; else the financial year of today, or today's calendar year. And what was typed."""
    days = typed_days()
    year = periods.year_around(session, days.starts or days.ends or clock.today())
    starts, ends = days.starts or year[0], days.ends or year[1]
    if not days.wrong:
        days = replace(days, typed={"from": starts.isoformat(), "to": ends.isoformat()})
    return starts, ends, days


def _years(session: Session, endpoint: str, starts: date, ends: date, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "label": f"{year.starts} – {year.ends}",
            "url": url_for(endpoint, **dict(more, **{"from": year.starts, "to": year.ends})),
            "active": (year.starts, year.ends) == (starts, ends),
        }
        for year in periods.years(session)
    ]


@blueprint.get("/books/trial-balance")
@needs(Right.READ)
def trial_balance() -> Response:
    """Opening balance, movement and closing balance per account."""
    with reading() as looked:
        starts, ends, days = _period(looked)
        rows = book_lists.trial_balance(looked, starts, ends)
        wrong = warned(looked, ends)
        shows_costs = stock_booking.is_booked(looked, starts, ends)
        years = _years(looked, "books.trial_balance", starts, ends)
    given = {"from": starts, "to": ends}

    def shown() -> Response:
        return page(
            "books/trial_balance.html",
            panel="books/_trial_balance.html",
            status=days.status,
            days=days,
            rows=rows,
            wrong=wrong,
            sums=book_lists.balance_sums(rows),
            starts=starts,
            ends=ends,
            years=years,
            ways=ways("books.trial_balance", **given),
            ledger_ways=[each for each in ways("reports.ledger", **given) if each["how"] != "csv"],
            no_ledger=why_not(Right.SEE_PRIVATE) if shows_costs else None,
        )

    return answer("" if days.wrong else shape(), [balance_table(rows, starts, ends, wrong)], shown)


@blueprint.get("/books/accounts/<int:account>")
@needs(Right.READ)
def account(account: int) -> Response:
    """One account through a period, row by row or with the rows of each document joined."""
    merge = query_choice("merge", ["1"], "") == "1"
    with reading() as looked:
        starts, ends, days = _period(looked)
        stock_booking.require_seen(looked, actor(), starts, ends, account)
        if shape() and not days.wrong:
            balance = account_sheets.balance_of(looked, chart_changes.get(looked, account), starts, ends)
            return answer(shape(), [sheet_table(looked, balance, starts, ends, merge=merge)])
        sheet = account_sheets.account_sheet(looked, account, starts, ends, merge=merge, limit=account_sheets.MOST_ROWS)
        years = _years(looked, "books.account", starts, ends, account=account, merge="1" if merge else None)
    given = {"account": account, "from": starts, "to": ends, "merge": "1" if merge else None}
    return page(
        "books/account.html",
        panel="books/_account.html",
        status=days.status,
        days=days,
        sheet=sheet,
        starts=starts,
        ends=ends,
        merge=merge,
        years=years,
        most=account_sheets.MOST_ROWS,
        ways=ways("books.account", **given),
    )


@blueprint.get("/books/series")
@needs(Right.READ)
def series() -> Response:
    """«Luckor i nummerserier»."""
    with reading() as looked:
        reports = series_report.number_series(looked)
    names = {
        "F": _("Documents"),
        **{f"V:{code}": _("Vouchers %(series)s", series=code) for code in VOUCHER_SERIES_NAMES},
    }

    def shown() -> Response:
        return page(
            "books/series.html", reports=reports, names=names, ways=ways("books.series"), document_url=document_url,
            reason=reason,
        )  # fmt: skip

    return answer(shape(), [series_table(reports, names)], shown)
