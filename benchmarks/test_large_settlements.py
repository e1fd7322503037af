"""Goal 6: a report of 100,000 rows (``--rows`` up to a million) that is dropped into the watched folder, by a worker of its own.

Against F, the same file through csv.reader into one SQLite table of text in one transaction on the same disk, or P, its bytes by
COPY: alone, and beside others who write and read meanwhile; its memory at a tenth of the rows and at all; the same file again.
"""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3
import pytest
import sqlalchemy as sa
from flask import Flask

import clock
import db
from benchmarks.measuring import Report, once, quantile
from benchmarks.reports import ROWS, write_large
from benchmarks.test_settlements import a_company_with
from models import JobLease
from tests import databases

PAYOUTS = 50
"""A year of weekly payouts in one file."""
THINK_SECONDS = 0.02
NUMBERS = itertools.count(900_300_001)
COLUMNS = ("payment_reference", *ROWS)

WORKER = """
import json, sys, time
from pathlib import Path
import sqlalchemy as sa
import db
from benchmarks.capturing import app_on
from services import settlement_folder, settlements
from services.gateway import Gateway
url, data, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
app, klarna = app_on(url, data)
klarna.in_worker = True
settlement_folder.SETTLED_SECONDS = 0.0
with app.app_context():
    with db.reading() as session:
        session.execute(sa.text("SELECT 1"))
    idle = peak()
    watch = settlement_folder.Watch(folder, data)
    began = time.perf_counter()
    taken = watch.run(klarna)
    seconds = time.perf_counter() - began
    with db.reading() as session:
        wrong = [each.because for each in settlement_folder.wrong_files(session)]
        states = dict(session.execute(sa.text("SELECT state, count(*) FROM payout GROUP BY state")).all())
print(json.dumps({"seconds": seconds, "peak": peak(), "idle": idle,
    "taken": taken, "wrong": wrong, "states": states}))
"""


def worked(url: str, data: Path, inbox: Path) -> dict[str, Any]:
    """A worker takes what lies in the folder: seconds, megabytes at most and before, and what became of it."""
    ran = subprocess.run(
        [sys.executable, "-c", WORKER, url, str(data), str(inbox)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    assert not found["wrong"], found
    assert set(found["states"]) == {"booked"}, found
    return found


def bare_import(folder: Path) -> Callable[[Path], None]:
    """F: the file's rows as text, one transaction, WAL and FULL as Kvitta's."""
    tables = itertools.count(1)
    connection = pysqlite3.dbapi2.connect(str(folder / "floor.db"), isolation_level=None)
    for pragma in ("journal_mode=wal", "synchronous=full", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")

    def run(path: Path) -> None:
        name = f"bare{next(tables)}"
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"CREATE TABLE {name} ({', '.join(f'{each} TEXT' for each in COLUMNS)})")
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, delimiter=";")
            connection.executemany(
                f"INSERT INTO {name} VALUES ({', '.join('?' * len(COLUMNS))})",
                (row for row in rows if len(row) == len(COLUMNS)),
            )
        connection.execute("COMMIT")

    return run


def bare_copy(url: str) -> Callable[[Path], None]:
    """P: the file's bytes by COPY into a table of text."""
    tables = itertools.count(1)
    connection = psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True)

    def run(path: Path) -> None:
        name = f"bare{next(tables)}"
        with connection.transaction(), connection.cursor() as cursor, path.open("rb") as file:
            cursor.execute(f"CREATE TABLE {name} ({', '.join(f'{each} TEXT' for each in COLUMNS)})".encode())
            while not file.readline().startswith(b"payment_reference;"):
                pass
            with cursor.copy(f"COPY {name} FROM STDIN (FORMAT csv, DELIMITER ';')".encode()) as copy:
                while block := file.read(1 << 20):
                    copy.write(block)

    return run


@contextmanager
def others(app: Flask) -> Iterator[dict[str, list[float]]]:
    """Somebody who writes a little and somebody who reads a little, again and again, with a pause between."""
    over, took = threading.Event(), {"write": list[float](), "read": list[float]()}

    def write() -> None:
        def touch(session: Any) -> None:
            session.merge(JobLease(name="bench", holder="x", until=clock.now() + timedelta(seconds=1)))

        db.transact(touch)

    def read() -> None:
        with db.reading() as session:
            session.execute(
                sa.text("SELECT id, number_text, gross_minor FROM document ORDER BY id DESC LIMIT 50")
            ).all()

    def go_on(name: str, act: Callable[[], None]) -> None:
        with app.app_context():
            while not over.is_set():
                took[name].append(once(act))
                time.sleep(THINK_SECONDS)

    threads = [threading.Thread(target=go_on, args=each) for each in (("write", write), ("read", read))]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        over.set()
        for thread in threads:
            thread.join()


def measure(
    app: Flask, url: str, folder: Path, floor: Callable[[Path], None], report: Report, name: str, rows: int
) -> None:
    """A tenth of the rows alone, all of them alone, all of them beside others, and the last file again."""
    inbox = folder / "inbox"
    inbox.mkdir()
    tenth, sales, first = rows // 20, rows // 2, 1
    told: dict[str, dict[str, Any]] = {}
    bare: dict[str, float] = {}
    with app.app_context():
        with others(app) as idle:
            time.sleep(2)
        for what, count in (("tenth", tenth), ("alone", sales), ("beside others", sales)):
            path = inbox / f"{name}-{what}.csv".replace(" ", "-")
            write_large(path, first, count, [str(next(NUMBERS)) for _ in range(PAYOUTS)])
            first += count
            bare[what] = once(partial(floor, path))
            if what == "beside others":
                with others(app) as took:
                    told[what] = worked(url, folder, inbox)
            else:
                told[what] = worked(url, folder, inbox)
        again = inbox / "again.csv"
        again.write_bytes((inbox / "read" / path.name).read_bytes())
        told["again"] = worked(url, folder, inbox)
    for what, most in (("alone", 2.5 if "SQLite" in name else 4), ("beside others", 3.5 if "SQLite" in name else None)):
        ratio = told[what]["seconds"] / bare[what]
        said = f"{name}: {rows:,} rows in {PAYOUTS} payouts from the watched folder, {what}"
        report.compare("6", said, bare[what], told[what]["seconds"], ratio, most)
    ratio = told["again"]["seconds"] / bare["beside others"]
    report.compare("6", f"{name}: that file again", bare["beside others"], told["again"]["seconds"], ratio, 0.5)
    writes, reads = quantile(took["write"], 0.95), quantile(took["read"], 0.99)
    report.tell(
        "6",
        f"{name}: p95 of others who write meanwhile; before; the longest",
        floor=f"{quantile(idle['write'], 0.95) * 1e3:.0f} ms",
        kvitta=f"{writes * 1e3:.0f} ms",
        ratio=f"{max(took['write']) * 1e3:.0f} ms",
        wanted="≤ 150 ms",
        met=writes <= 0.15,
    )
    before = quantile(idle["read"], 0.99)
    report.compare("6", f"{name}: p99 of others who read meanwhile; before", before, reads, reads / before, 1.5)
    small, large = told["tenth"]["peak"], max(told["alone"]["peak"], told["beside others"]["peak"])
    report.tell(
        "6",
        f"{name}: memory of the worker at {rows // 10:,} rows and at {rows:,}; idle {told['alone']['idle']} MB",
        floor=f"{small} MB",
        kvitta=f"{large} MB",
        ratio=f"{large / small:.2f}",
        wanted="≤ 1.2, ≤ 200 MB",
        met=large / small <= 1.2 and large <= 200,
    )


def test_a_large_settlement(folder: Path, report: Report, pytestconfig: pytest.Config) -> None:
    rows = pytestconfig.getoption("--rows")
    url = f"sqlite:///{folder / 'kvitta.db'}"
    app, _klarna = a_company_with(url, folder, rows // 20 + rows)
    measure(app, url, folder, bare_import(folder), report, "SQLite against F", rows)
    with app.app_context():
        db.db.engine.dispose()


def test_a_large_settlement_on_postgresql(folder: Path, report: Report, pytestconfig: pytest.Config) -> None:
    rows = pytestconfig.getoption("--rows")
    try:
        server = databases.Postgres(folder)
    except databases.CannotBeHad as why:
        pytest.skip(str(why))
    try:
        server.template("empty")
        url = server.make("empty")
        app, _klarna = a_company_with(url, folder, rows // 20 + rows)
        measure(app, url, folder, bare_copy(url), report, "PostgreSQL against P", rows)
        with app.app_context():
            db.db.engine.dispose()
    finally:
        server.stop()
