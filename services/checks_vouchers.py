"""Vouchers: they balance, their series have no gaps, locked periods stay, the hash chain is whole (A1, A2, A5-A8, A10)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, timedelta
from itertools import groupby, pairwise

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Audit, FiscalYear, NumberSeries, Posting, Voucher
from services.book_lists import trial_balance
from services.findings import Check, Finding, NotApplicableError, ask, broken


def vouchers_balance(session: Session) -> Iterator[Finding]:
    """A1: a voucher sums to 0, has at least two rows, none of 0, and one currency."""
    yield from broken(
        session,
        "SELECT v.id, count(p.id), coalesce(sum(p.amount_minor), 0) FROM voucher v"
        " LEFT JOIN posting p ON p.voucher_id = v.id GROUP BY v.id"
        " HAVING count(p.id) < 2 OR coalesce(sum(p.amount_minor), 0) <> 0"
        " OR sum(CASE WHEN p.amount_minor = 0 THEN 1 ELSE 0 END) > 0",
        "voucher:{0}",
        "{1} rows that sum to {2}",
    )
    yield from broken(
        session,
        "SELECT DISTINCT v.id, v.currency, d.currency FROM voucher v JOIN posting p ON p.voucher_id = v.id"
        " JOIN document d ON d.id = p.document_id WHERE d.currency <> v.currency",
        "voucher:{0}",
        "in {1} books a document in {2}",
    )


def years_balance(session: Session) -> Iterator[Finding]:
    """A2: all vouchers of a financial year sum to 0, and so do balance sheet and result."""
    yield from broken(
        session,
        "SELECT v.fiscal_year_id, sum(p.amount_minor) FROM voucher v JOIN posting p ON p.voucher_id = v.id"
        " GROUP BY v.fiscal_year_id HAVING sum(p.amount_minor) <> 0",
        "fiscal_year:{0}",
        "its vouchers sum to {1}",
    )
    yield from broken(
        session,
        "SELECT sum(p.amount_minor) FROM posting p JOIN account a ON a.number = p.account"
        " WHERE a.kind IN ('T','S','K','I') HAVING coalesce(sum(p.amount_minor), 0) <> 0",
        "books",
        "balance sheet and result sum to {0}",
    )


_USED = (
    "SELECT 'F' AS code, 0 AS fiscal_year, number FROM document WHERE series = 'F' AND number IS NOT NULL"
    " UNION ALL SELECT 'V:' || series, fiscal_year_id, number FROM voucher"
)


def series_have_no_gaps(session: Session) -> Iterator[Finding]:
    """A5: each series is first … next - 1, each once; dates never go back; a draft has no number."""
    yield from broken(
        session,
        f"SELECT s.code, s.fiscal_year, s.first_no, s.next_no, count(u.number), count(DISTINCT u.number),"
        f" min(u.number), max(u.number) FROM number_series s LEFT JOIN ({_USED}) AS u"
        " ON u.code = s.code AND u.fiscal_year = s.fiscal_year WHERE s.code = 'F' OR s.code LIKE 'V:%'"
        " GROUP BY s.code, s.fiscal_year, s.first_no, s.next_no"
        " HAVING count(u.number) <> s.next_no - s.first_no OR count(DISTINCT u.number) <> count(u.number)"
        " OR coalesce(min(u.number), s.first_no) <> s.first_no OR coalesce(max(u.number), s.next_no - 1) <> s.next_no - 1",
        "series:{0}",
        "year {1}: from {2} to before {3} there are {4} numbers, {5} different ones, {6} to {7}",
    )
    yield from broken(
        session,
        f"SELECT u.code, u.fiscal_year, count(*) FROM ({_USED}) AS u LEFT JOIN number_series s"
        " ON s.code = u.code AND s.fiscal_year = u.fiscal_year WHERE s.code IS NULL GROUP BY u.code, u.fiscal_year",
        "series:{0}",
        "year {1}: {2} numbers without a series",
    )
    yield from broken(
        session,
        "SELECT id, number, number_date, before FROM (SELECT id, number, number_date,"
        " lag(number_date) OVER (ORDER BY number) AS before FROM document WHERE series = 'F' AND number IS NOT NULL) AS d"
        " WHERE before > number_date",
        "document:{0}",
        "number {1} is dated {2}, the number before it {3}",
    )
    yield from broken(
        session,
        "SELECT id, number, state FROM document WHERE (number IS NULL) <> (state = 'draft')",
        "document:{0}",
        "number {1} in state {2}",
    )


def nothing_is_booked_in_a_locked_period(session: Session) -> Iterator[Finding]:
    """A6: no voucher is dated in a period that was locked when it was written; years follow each other."""
    yield from broken(
        session,
        "SELECT v.id, v.day, l.locked_through FROM voucher v JOIN period_lock l"
        " ON l.id = (SELECT max(x.id) FROM period_lock x WHERE x.at < v.created_at)"
        " WHERE l.locked_through >= v.day",
        "voucher:{0}",
        "dated {1}, when the books were locked through {2}",
    )
    yield from broken(
        session,
        "SELECT v.id, v.day, y.starts, y.ends FROM voucher v JOIN fiscal_year y ON y.id = v.fiscal_year_id"
        " WHERE v.day < y.starts OR v.day > y.ends",
        "voucher:{0}",
        "dated {1}, outside its financial year {2} to {3}",
    )
    for before, after in pairwise(session.scalars(sa.select(FiscalYear).order_by(FiscalYear.starts))):
        if after.starts != before.ends + timedelta(days=1):
            yield Finding(f"fiscal_year:{after.id}", f"begins {after.starts}, the year before ends {before.ends}")


def reversals_are_exact(session: Session) -> Iterator[Finding]:
    """A7: a reversal refers to a voucher that is no reversal, once, and is its exact negation."""
    yield from broken(
        session,
        "SELECT r.id, r.reverses_id FROM voucher r LEFT JOIN voucher v ON v.id = r.reverses_id"
        " WHERE r.reverses_id IS NOT NULL AND (v.id IS NULL OR v.reverses_id IS NOT NULL)",
        "voucher:{0}",
        "reverses {1}, which is not there or is a reversal itself",
    )
    yield from broken(
        session,
        "SELECT reverses_id, count(*) FROM voucher WHERE reverses_id IS NOT NULL GROUP BY reverses_id HAVING count(*) > 1",
        "voucher:{0}",
        "was reversed {1} times",
    )
    yield from broken(
        session,
        "SELECT id, account, sum(amount), count(*) FROM ("
        " SELECT r.id AS id, p.account AS account, p.document_id AS document_id, p.amount_minor AS amount"
        " FROM voucher r JOIN posting p ON p.voucher_id = r.id WHERE r.reverses_id IS NOT NULL"
        " UNION ALL SELECT r.id, p.account, p.document_id, p.amount_minor"
        " FROM voucher r JOIN posting p ON p.voucher_id = r.reverses_id"
        ") AS both_ways GROUP BY id, account, document_id HAVING sum(amount) <> 0",
        "voucher:{0}",
        "leaves {2} on account {1}",
    )


def balances_carry_over(session: Session) -> Iterator[Finding]:
    """A8: no balances are stored; what the trial balance opens a year with is what it closed the year before with."""
    years = list(session.scalars(sa.select(FiscalYear).order_by(FiscalYear.starts)))
    if not years:
        raise NotApplicableError("no books have been opened")
    closing: dict[int, int] = {}
    for year in years:
        rows = {row.account: row for row in trial_balance(session, year.starts, year.ends) if row.kind in ("T", "S")}
        for account in sorted(rows.keys() | {account for account, amount in closing.items() if amount}):
            opening = rows[account].opening if account in rows else 0
            if opening != closing.get(account, 0):
                yield Finding(
                    f"account:{account}", f"opens {year.starts} with {opening}, closed with {closing.get(account, 0)}"
                )
        closing = {account: row.closing for account, row in rows.items()}
    added = {
        int(account): int(amount)
        for account, amount in ask(
            session,
            "SELECT p.account, sum(p.amount_minor) FROM posting p JOIN account a ON a.number = p.account"
            " WHERE a.kind IN ('T','S') GROUP BY p.account",
        )
    }
    for account in sorted(added.keys() | closing.keys()):
        if added.get(account, 0) != closing.get(account, 0):
            yield Finding(
                f"account:{account}",
                f"closes with {closing.get(account, 0)}, its rows add up to {added.get(account, 0)}",
            )


def _heads_at_locks(session: Session) -> Iterator[Finding]:
    starts = {day.isoformat(): key for key, day in session.execute(sa.select(FiscalYear.id, FiscalYear.starts))}
    rows = session.execute(sa.select(Audit.id, Audit.detail).where(Audit.object == "period_lock").order_by(Audit.id))
    for key, detail in rows:
        for name, head in json.loads(detail).get("heads", {}).items():
            series, _blank, year = name.partition(" ")
            there = sa.select(Voucher.id).where(
                Voucher.series == series, Voucher.fiscal_year_id == starts.get(year), Voucher.hash == head
            )
            if session.scalar(there.limit(1)) is None:
                yield Finding(f"audit:{key}", f"the last voucher of {name} at the lock is no longer there")


def voucher_chain_is_whole(session: Session) -> Iterator[Finding]:
    """A10: each voucher's hash follows from its content and the hash before it; the series knows the last one, and what was
    last at each lock is still there.
    """
    yield from _heads_at_locks(session)
    starts = {key: day.isoformat() for key, day in session.execute(sa.select(FiscalYear.id, FiscalYear.starts))}
    heads = {
        (series.code[2:], series.fiscal_year): series.head_hash
        for series in session.scalars(sa.select(NumberSeries).where(NumberSeries.code.startswith("V:")))
    }
    rows = session.connection().execute(
        sa.select(
            *(column for name, column in Voucher.__table__.c.items()),
            Posting.account,
            Posting.amount_minor,
            Posting.text.label("row_text"),
            Posting.document_id.label("row_document_id"),
            Posting.vat_rate,
        )
        .outerjoin(Posting, Posting.voucher_id == Voucher.id)
        .order_by(Voucher.series, Voucher.fiscal_year_id, Voucher.number, Voucher.id, Posting.position)
        .execution_options(yield_per=1000)
    )
    head: dict[tuple[str, int], str] = {}
    for key, group in groupby(rows, key=lambda row: row.id):
        entries = list(group)
        row = entries[0]
        series = (row.series, row.fiscal_year_id)
        at = row.created_at.astimezone(UTC)
        content = [
            head.get(series, ""),
            row.series,
            starts.get(row.fiscal_year_id),
            row.number,
            row.day.isoformat(),
            row.text,
            row.source,
            row.currency,
            row.document_id,
            row.payout_id,
            row.reverses_id,
            f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            row.created_by,
            [[e.account, e.amount_minor, e.row_text, e.row_document_id, e.vat_rate] for e in entries if e.account],
        ]
        written = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        if row.previous_hash != head.get(series, ""):
            yield Finding(f"voucher:{key}", "does not follow the voucher before it")
        elif row.hash != hashlib.sha256(written.encode()).hexdigest():
            yield Finding(f"voucher:{key}", "is not as it was written")
        head[series] = row.hash
    for series, known in heads.items():
        if head.get(series, "") != known:
            yield Finding(f"series:V:{series[0]}", "the last voucher is not the one the series knows")


CHECKS: dict[str, Check] = {
    "A1": vouchers_balance,
    "A2": years_balance,
    "A5": series_have_no_gaps,
    "A6": nothing_is_booked_in_a_locked_period,
    "A7": reversals_are_exact,
    "A8": balances_carry_over,
    "A10": voucher_chain_is_whole,
}
