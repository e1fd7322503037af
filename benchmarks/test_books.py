"""Goal 7: a year as a SIE file against its rows read and written as plain lines; and the pages and checks of a full year.

make bench ARGS="-k books"                     100,000 rows of vouchers, some minutes to book them
make bench ARGS="-k books --rows 1000000"      a million
"""

from __future__ import annotations

import tempfile
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from benchmarks.measuring import Report, in_words, once, side_by_side
from benchmarks.serving import Visitor
from db import reading, writing
from models import Posting, Voucher
from rights import SYSTEM
from services import ledger, sie, verify
from services.ledger import Entry

IN_A_TRANSACTION = 1_000
PAGES = (
    ("Trial balance of the year", "/books/trial-balance"),
    ("VAT report of the year", "/books/vat?from={first}&to={last}"),
    ("Age of receivables", "/books/ageing"),
    ("Account sheet, its first 2,000 rows", "/books/accounts/1930?from={first}&to={last}"),
    ("The voucher list", "/books"),
    ("The vouchers as a file", "/books/vouchers.csv?from={first}&to={last}"),
    ("The general ledger as a file", "/books/ledger?from={first}&to={last}&as=csv"),
)


def a_full_year(rows: int) -> None:
    """Sales of three rows each, from the first day of this year on, until there are so many rows."""
    first = date(clock.today().year, 1, 1)
    days = max((clock.today() - first).days, 1)
    sales = rows // 3
    for begin in range(0, sales, IN_A_TRANSACTION):
        with writing() as session:
            for number in range(begin, min(begin + IN_A_TRANSACTION, sales)):
                gross = 10_000 + number % 5_000 * 5
                vat = gross // 5
                ledger.post(
                    session,
                    SYSTEM,
                    series="I",
                    day=first + timedelta(days=number * days // sales),
                    text=f"Försäljning {number}, köp på nätet",
                    source=f"bench:{number}",
                    entries=[Entry(1930, gross), Entry(3001, vat - gross, vat_rate=2500), Entry(2611, -vat)],
                )


def plain_lines() -> None:
    """The floor: the same rows read in the same order and written as text."""
    query = (
        sa.select(
            Voucher.series, Voucher.number, Voucher.day, Voucher.text, Posting.account, Posting.amount_minor, Posting.text
        )
        .join(Posting, Posting.voucher_id == Voucher.id)
        .order_by(Voucher.series, Voucher.fiscal_year_id, Voucher.number, Posting.position)
        .execution_options(yield_per=1000)
    )  # fmt: skip
    with reading() as session, tempfile.TemporaryFile() as file:
        for row in session.execute(query):
            file.write(("\t".join(map(str, row)) + "\r\n").encode())


def a_sie_file() -> None:
    with reading() as session, tempfile.TemporaryFile() as file:
        year = ledger.year_of(session, clock.today())
        assert year is not None
        assert sie.export(session, sie.year_wish(session, year.id), "bench", file).report.sound


def test_books(house_of: tuple[str, Flask], report: Report, request: pytest.FixtureRequest) -> None:
    rows, (where, house) = request.config.getoption("--rows"), house_of
    a_full_year(rows)
    floor, made = side_by_side(plain_lines, a_sie_file, rounds=3, each=1, warm=1)
    report.compare(
        "7",
        f"A year of {rows:,} rows as a SIE file, read back and checked; {where}",
        floor.median,
        made.median,
        made.over(floor),
        2,
    )
    visitor = Visitor(house, "finance")
    days = {"first": f"{clock.today().year}-01-01", "last": clock.today().isoformat()}
    for name, address in PAGES:
        path = address.format(**days)
        ask = visitor.fetches(path)
        ask()
        report.tell("7", f"{name}, {rows:,} rows booked; {where}", kvitta=in_words(once(ask)))
    with reading() as session:
        report.tell(
            "7",
            f"`flask verify`, {rows:,} rows booked; {where}",
            kvitta=in_words(once(lambda: list(verify.run(session)))),
        )
