"""Goal 6 in small: a settlement of 10,000 rows read, matched, proved and booked, against F, and read again.

F is the same file through csv.reader into one SQLite table of text with executemany, in one transaction on the same disk.
"""

from __future__ import annotations

import csv
import io
import itertools
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pysqlite3
import pytest
import sqlalchemy as sa
from flask import Flask

import db
from benchmarks.capturing import app_on
from benchmarks.filling import fill
from benchmarks.measuring import Report, once
from benchmarks.reports import ROWS, a_report
from models import Payout
from services import settlements
from services.gateway import Gateway
from states import PayoutState
from tests import builders, databases
from tests.builders import FINANCE

ROUNDS = 5
SALES = 5_000
NUMBERS = itertools.count(900_200_001)


def bare_import(folder: Path) -> Callable[[bytes], None]:
    """F: the file's rows as text, one transaction, WAL and FULL as Kvitta's."""
    tables = itertools.count(1)
    connection = pysqlite3.dbapi2.connect(str(folder / "floor.db"), isolation_level=None)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("PRAGMA synchronous=full")
    connection.execute("PRAGMA cache_size=-65536")

    def run(content: bytes) -> None:
        name = f"bare{next(tables)}"
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"CREATE TABLE {name} ({', '.join(f'{each} TEXT' for each in ROWS)})")
        rows = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=";")
        for _ in range(3):
            next(rows)
        connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(ROWS))})", rows)
        connection.execute("COMMIT")

    return run


def bare_copy(url: str) -> Callable[[bytes], None]:
    """P: the file's bytes by COPY into a table of text."""
    tables = itertools.count(1)
    connection = psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True)

    def run(content: bytes) -> None:
        name = f"bare{next(tables)}"
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {name} ({', '.join(f'{each} TEXT' for each in ROWS)})".encode())
            with cursor.copy(f"COPY {name} FROM STDIN (FORMAT csv, DELIMITER ';')".encode()) as copy:
                copy.write(content.split(b"\r\n", 3)[3])

    return run


def a_company_with(url: str, folder: Path, orders: int) -> tuple[Flask, Gateway]:
    databases.furnish(url, builders.furnish_company)
    app, klarna = app_on(url, folder)
    with app.app_context():
        fill(db.db.engine, orders, still_open=0, books=True)
    return app, klarna


def upload(klarna: Gateway, content: bytes) -> settlements.Outcome:
    return settlements.read_in(klarna, FINANCE, settlements.Report(content, "settlement.csv"))


def measure(klarna: Gateway, floor: Callable[[bytes], None], report: Report, name: str, most: float) -> None:
    """A payout never read before each round; the floor before it; then the same file again, and the same rows in other bytes."""
    first, again, anew, bare = [], [], [], []
    for number in range(ROUNDS):
        content = a_report(number * SALES + 1, SALES, str(next(NUMBERS)))
        bare.append(once(partial(floor, content)))
        first.append(once(partial(upload, klarna, content)))
        with db.reading() as session:
            last = session.scalars(sa.select(Payout).order_by(Payout.id.desc()).limit(1)).one()
        assert last.state is PayoutState.BOOKED, last.parked_because
        again.append(once(partial(upload, klarna, content)))
        anew.append(once(partial(upload, klarna, content.rstrip(b"\r\n"))))
    for what, taken, wanted in (
        (f"{name}: 10,000 rows read, matched, proved, booked", first, most),
        (f"{name}: the same file again", again, 0.5),
        (f"{name}: the same rows in a file of other bytes", anew, None),
    ):
        ratio = statistics.median(mine / theirs for mine, theirs in zip(taken, bare, strict=True))
        report.compare("6", what, statistics.median(bare), statistics.median(taken), ratio, wanted)


def test_a_settlement_of_ten_thousand_rows(folder: Path, report: Report) -> None:
    app, klarna = a_company_with(f"sqlite:///{folder / 'kvitta.db'}", folder, ROUNDS * SALES)
    with app.app_context():
        measure(klarna, bare_import(folder), report, "SQLite against F", 2.5)
        db.db.engine.dispose()


def test_a_settlement_on_postgresql(folder: Path, report: Report) -> None:
    try:
        server = databases.Postgres(folder)
    except databases.CannotBeHad as why:
        pytest.skip(str(why))
    try:
        server.template("empty")
        url = server.make("empty")
        app, klarna = a_company_with(url, folder, ROUNDS * SALES)
        with app.app_context():
            measure(klarna, bare_copy(url), report, "PostgreSQL against P", 4)
            db.db.engine.dispose()
    finally:
        server.stop()
