"""Fixtures of the benchmarks: databases on a real disk, apps as in production, and the table that is written at the end.

    make bench                                  all of it, some minutes
    make bench ARGS="-k lists"                  a part
    make bench ARGS="-k large --rows 1000000"   a settlement of a million rows, on SQLite and PostgreSQL; some minutes
    make bench ARGS="-k lists --million"        the lists at a million orders, on SQLite and PostgreSQL; some minutes to fill them
    make bench ARGS="-k lists --million --databases sqlite --kept /var/tmp/kvitta-lists"   with a database for the next run

What is measured is told and never fails a run; only what no noise can excuse does: a plan that scans, a lock error.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import db
from benchmarks.measuring import Report
from benchmarks.serving import config_for
from klarna_sandbox import server
from klarna_sandbox.control import Control
from tests import builders, databases

RESULTS = Path(__file__).resolve().parents[1] / "var" / "benchmarks"
REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--million", action="store_true", help="measure the lists at 1,000,000 orders")
    parser.addoption(
        "--databases", default="both", choices=("sqlite", "postgres", "both"), help="where lists are measured"
    )
    parser.addoption(
        "--kept", default=None, help="a folder in which the databases of the lists are kept for the next run"
    )
    parser.addoption("--rows", type=int, default=100_000, help="how many rows a large settlement has, up to 1,000,000")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash[REPORT]
    if report.lines:
        report.write(RESULTS)
        terminalreporter.write_line("")
        terminalreporter.write_line(report.table())
        terminalreporter.write_line(f"Kept in {RESULTS}.")


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """The table of this run."""
    return request.config.stash[REPORT]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a disk, not in memory: what a commit costs is part of what is measured."""
    made = Path(tempfile.mkdtemp(prefix="kvitta-bench-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[str, str]]:
    """A database with a company in it, on each kind in turn: what the kind is called, and its address."""
    if request.param == "SQLite":
        url = f"sqlite:///{folder / 'kvitta.db'}"
        databases.furnish(url, builders.furnish_company)
        yield request.param, url
        return
    try:
        server = databases.Postgres(folder)
    except databases.CannotBeHad as why:
        pytest.skip(str(why))
    try:
        server.template("company", builders.furnish_company)
        yield request.param, server.make("company")
    finally:
        server.stop()


@contextmanager
def _open(url: str, folder: Path) -> Iterator[Flask]:
    """The whole app, set up as in production; garbage that lives on is frozen."""
    from app import create_app

    made = create_app(config_for(url, folder))
    with made.app_context():
        gc.collect()
        gc.freeze()
        yield made
        db.db.engine.dispose()
        gc.unfreeze()


@pytest.fixture
def house(folder: Path) -> Iterator[Flask]:
    """The app on SQLite, with a company in it."""
    url = f"sqlite:///{folder / 'kvitta.db'}"
    databases.furnish(url, builders.furnish_company)
    with _open(url, folder) as made:
        yield made


@pytest.fixture
def house_of(place: tuple[str, str], folder: Path) -> Iterator[tuple[str, Flask]]:
    """The app on each kind of database in turn, with the kind's name."""
    name, url = place
    with _open(url, folder) as made:
        yield name, made


@pytest.fixture
def sandbox() -> Iterator[Control]:
    """A stand-in for Klarna in a thread of this process, as new."""
    running = server.start(port=0)
    yield Control(running.url)
    running.stop()
