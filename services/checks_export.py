"""The books as another program reads them: the SIE file of a year, written and read back, holds what the database holds (A12)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import Refusal
from models import FiscalYear, Voucher
from services import settings, sie
from services.findings import Check, Finding, NotApplicableError, ask
from services.sie import Kind, Wish
from services.sie_check import Report

_VOUCHERS = """
SELECT count(DISTINCT v.id), count(p.id), coalesce(sum(CASE WHEN p.amount_minor > 0 THEN p.amount_minor ELSE 0 END), 0)
FROM voucher v JOIN posting p ON p.voucher_id = v.id WHERE v.fiscal_year_id = :year"""
_MOVED = """
SELECT p.account, sum(p.amount_minor) FROM posting p JOIN voucher v ON v.id = p.voucher_id
WHERE v.fiscal_year_id = :year GROUP BY p.account"""
_CLOSING = """
SELECT a.number, sum(CASE WHEN a.kind IN ('K', 'I') AND v.fiscal_year_id <> :year THEN 0 ELSE p.amount_minor END)
FROM posting p JOIN account a ON a.number = p.account JOIN voucher v ON v.id = p.voucher_id
JOIN fiscal_year y ON y.id = v.fiscal_year_id
WHERE y.ends <= (SELECT ends FROM fiscal_year WHERE id = :year) GROUP BY a.number"""
_FOREIGN = "SELECT min(currency) FROM voucher WHERE fiscal_year_id = :year AND currency <> 'SEK'"


def the_sie_file_is_the_books(session: Session) -> Iterator[Finding]:
    """A12: each financial year, exported as SIE and read back, has the same vouchers and the same trial balance.

    Before the result of the year before has been carried a year has no balances to export, and what its vouchers move on
    each account is compared alone. A year that a SIE file cannot hold is told.
    """
    if not settings.values(session, "company.")["company.name"].strip():
        raise NotApplicableError("the company has no name yet")
    booked = (
        sa.select(FiscalYear).where(FiscalYear.id.in_(sa.select(Voucher.fiscal_year_id))).order_by(FiscalYear.starts)
    )
    whole, untold = True, []
    for year in session.scalars(booked).all():
        foreign = ask(session, _FOREIGN, year=year.id).scalar()
        if foreign is not None:
            untold.append(f"the year that ends {year.ends} holds vouchers in {foreign}, a SIE file holds kronor only")
            continue
        for found in _against_the_books(session, year, _read_back(session, year)):
            whole = False
            yield found
    if whole and untold:
        raise NotApplicableError("; ".join(untold))


def _read_back(session: Session, year: FiscalYear) -> Report:
    try:
        wish = sie.year_wish(session, year.id)
    except Refusal:
        wish = Wish(Kind.PERIOD, year.starts, year.ends, year=year)
    with tempfile.TemporaryFile() as file:
        return sie.export(session, wish, "flask verify", file).report


def _against_the_books(session: Session, year: FiscalYear, report: Report) -> Iterator[Finding]:
    subject = f"fiscal_year:{year.id}"
    for fault in report.faults:
        yield Finding(subject, f"its SIE file, line {fault.line}: {fault.message % fault.values}")
    held = tuple(int(each) for each in ask(session, _VOUCHERS, year=year.id).one())
    read = report.vouchers, report.rows, report.debit_minor
    for what, here, there in zip(("vouchers", "rows", "debit in minor units"), held, read, strict=True):
        if here != there:
            yield Finding(subject, f"{what}: {here} in the books, {there} in its SIE file")
    yield from _apart(session, year, "moves by", _MOVED, report.moved)
    if report.closing is not None:
        yield from _apart(session, year, "closes with", _CLOSING, report.closing)


def _apart(session: Session, year: FiscalYear, what: str, query: str, read: Mapping[int, int]) -> Iterator[Finding]:
    """The accounts of which the file says something else than the books."""
    booked = {number: int(minor) for number, minor in ask(session, query, year=year.id)}
    for account in sorted(booked.keys() | read.keys()):
        here, there = booked.get(account, 0), read.get(account, 0)
        if here != there:
            yield Finding(
                f"fiscal_year:{year.id}", f"account {account} {what} {here} in the books, {there} in its SIE file"
            )


CHECKS: dict[str, Check] = {"A12": the_sie_file_is_the_books}
