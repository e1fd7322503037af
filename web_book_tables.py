"""Trial balance, account sheet, general ledger and number series as tables for a file or for paper (B34)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from sqlalchemy.orm import Session

from services import account_sheets, book_lists
from services.book_lists import BalanceRow
from services.series_report import SeriesReport
from web_documents import reason
from web_reports import Column, Line, Table
from web_words import day, moment, named
from web_words import gettext as _


def period(starts: date, ends: date) -> str:
    """The days of a report, in words."""
    return _("%(first)s to %(last)s", first=day(starts), last=day(ends))


def warned(session: Session, ends: date, starts: date = date.min) -> list[str]:
    """What has to be said above sums in which another currency was added as though it were kronor; empty where none was."""
    found = book_lists.other_currencies(session, ends, starts)
    if not found:
        return []
    told = _(
        "The sums are not right: %(count)s vouchers of these days are in %(currencies)s, and were added as though they were "
        "kronor. The books are kept in kronor, and Kvitta knows no rates of exchange.",
        count=sum(found.values()),
        currencies=", ".join(found),
    )
    return [told]


def balance_table(rows: Sequence[BalanceRow], starts: date, ends: date, notes: Sequence[str] = ()) -> Table:
    """«Saldobalans»."""
    sums = book_lists.balance_sums(rows)
    columns = [
        Column(_("Account")),
        Column(_("Account name"), "wide"),
        Column(_("Opening, SEK"), "money"),
        Column(_("Debit, SEK"), "money"),
        Column(_("Credit, SEK"), "money"),
        Column(_("Closing, SEK"), "money"),
    ]
    lines = [Line([str(row.account), row.name, row.opening, row.debit, row.credit, row.closing]) for row in rows]
    foot = [
        Line(["", _("Sum of the movements"), None, sums.debit, sums.credit, None]),
        Line(["", _("Result: a profit is positive"), None, None, None, sums.result]),
    ]
    return Table("trial-balance", _("Trial balance"), period(starts, ends), columns, lines, foot, notes)


def _columns() -> list[Column]:
    """The columns of an account's rows."""
    return [
        Column(_("Date"), "day"),
        Column(_("Voucher")),
        Column(_("Text"), "wide"),
        Column(_("Document")),
        Column(_("Debit, SEK"), "money"),
        Column(_("Credit, SEK"), "money"),
        Column(_("Balance, SEK"), "money"),
    ]


def _sheet_lines(
    session: Session, balance: BalanceRow, starts: date, ends: date, *, merge: bool = False
) -> Iterator[Line]:
    """All rows of an account between its opening and its closing balance, as they are read."""
    yield Line([starts, "", _("Opening balance"), "", None, None, balance.opening], strong=True)
    for row in account_sheets.account_rows(session, balance, starts, ends, merge=merge):
        label = row.label or _("%(count)s rows", count=row.joined)
        yield Line(
            [row.day, label, row.text, row.document_number or "", row.debit or None, row.credit or None, row.balance]
        )
    yield Line([None, "", _("Closing balance"), "", None, None, balance.closing], strong=True)


def _ledger_lines(session: Session, starts: date, ends: date) -> Iterator[Line]:
    for balance in book_lists.trial_balance(session, starts, ends):
        yield Line([None, str(balance.account), balance.name, "", None, None, None], strong=True)
        yield from _sheet_lines(session, balance, starts, ends)


def sheet_table(session: Session, balance: BalanceRow, starts: date, ends: date, *, merge: bool) -> Table:
    """«Kontoanalys» of one account, whole; read while it is written, in the session given."""
    lines = _sheet_lines(session, balance, starts, ends, merge=merge)
    title = f"{balance.account} {balance.name}"
    return Table(f"account-{balance.account}", title, period(starts, ends), _columns(), lines)


def ledger_table(session: Session, starts: date, ends: date) -> Table:
    """«Huvudbok»: every account that has a figure in the period, with all its rows; read while it is written."""
    lines, notes = _ledger_lines(session, starts, ends), warned(session, ends)
    return Table("ledger", _("General ledger"), period(starts, ends), _columns(), lines, notes=notes)


def series_table(reports: Sequence[SeriesReport], names: Mapping[str, str]) -> Table:
    """«Luckor i nummerserier»."""
    columns = [
        Column(_("Series")),
        Column(_("Financial year")),
        Column(_("First number"), "whole"),
        Column(_("Next number"), "whole"),
        Column(_("Numbers used"), "whole"),
        Column(_("Voided numbers"), "wide"),
        Column(_("Gaps")),
    ]
    lines = []
    for report in reports:
        year = f"{day(report.year.starts)} – {day(report.year.ends)}" if report.year else _("runs on")
        voided = "; ".join(
            f"{each.number}: {named(each.by, 'actor')}, {moment(each.at)}, {reason(each.reason)}"
            for each in report.voided
        )
        gaps = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in report.gaps)
        told = gaps or _("No gap")
        lines.append(Line([names[report.code], year, report.first_no, report.next_no, report.count, voided, told]))
    about = _("Every number has its document or voucher. A void document keeps its number, with who, when and why.")
    return Table("number-series", _("Gaps in number series"), about, columns, lines)
