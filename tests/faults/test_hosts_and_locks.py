"""Two janitors, two hosts, a copy of the books, and a database that somebody else holds (invariants 2, rows 27, 37, 44)."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pysqlite3
import pytest
from flask import Flask

import clock
import db
from config import Config
from db import reading, writing
from errors import Busy
from klarna_sandbox.control import Control
from models import JobLease, NumberSeries, SenderLease
from services import janitor
from services.gateway import Gateway
from states import DocState, OpState
from tests.faults.aftermath import (
    CAPTURE,
    REFUND,
    TO_BE,
    answers_of,
    count,
    hurry,
    recover,
    require_nothing,
    require_one_effect,
    require_whole,
)
from tests.faults.conftest import Life
from tests.faults.moved_clock import MovedClock
from tests.faults.nursery import be_impatient

Live = Callable[..., Life]
WAIT = 0.6
"""Seconds a writer waits here, instead of ten."""
SLACK = 6.0
"""Seconds a busy machine may take for the rest; ten it is only when the wait is not heeded."""


@pytest.fixture
def elsewhere(config: Config, tmp_path: Path) -> Gateway:
    """Another host on the same database: it has a mark of its own."""
    return Gateway(config.credentials_key, tmp_path, config.database_url, in_worker=True)


# --- Row 27: two janitors, two hosts ----------------------------------------------------------------------------------------


def test_row_27_one_janitor_runs_and_the_second_idles(books: Flask, klarna: Gateway, sandbox: Control) -> None:
    """Row 27: the lease is somebody else's and fresh; nothing is looked at, nothing is sent. Past, it is taken over."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    sandbox.fault("drop_before", operation=CAPTURE)
    act.press(klarna)
    hurry(act)
    with writing() as session:
        session.add(JobLease(name="janitor", holder="kontor-2/1/1", until=clock.now() + timedelta(seconds=60)))
    seen = len(sandbox.log())
    assert janitor.run(klarna) == 0 and len(sandbox.log()) == seen
    with writing() as session:
        session.get_one(JobLease, "janitor").until = clock.now() - timedelta(seconds=1)
    assert janitor.run(klarna) == 1
    require_one_effect(act, sandbox)


def test_row_27_an_unapproved_host_sends_nothing_and_its_documents_wait(
    books: Flask, klarna: Gateway, elsewhere: Gateway, sandbox: Control
) -> None:
    """Row 27: the first host has sent, so the lease is its own; another's act stays PREPARED until the first sends it."""
    TO_BE[REFUND](klarna, sandbox)
    act = TO_BE[CAPTURE](klarna, sandbox)
    document_id = act.press(elsewhere)
    assert not sandbox.posts(operation=CAPTURE, order_id=act.order.klarna_order_id)
    (op,) = act.ops()
    assert (op.state, op.hold_reason) == (OpState.PREPARED, "sending_off") and not answers_of(act)
    assert count(SenderLease) == 1
    assert act.press(klarna) == document_id, "the form has been used"
    hurry(act)
    janitor.run(klarna)
    require_one_effect(act, sandbox)
    require_whole()


def test_row_27_an_unapproved_janitor_looks_and_never_posts(
    books: Flask, klarna: Gateway, elsewhere: Gateway, sandbox: Control, moved: MovedClock
) -> None:
    """Row 27: an UNKNOWN act is looked at from there; what a look shows is proof wherever it was taken."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    sandbox.fault("drop_before", operation=CAPTURE)
    act.press(klarna)
    posts = len(sandbox.posts())
    hurry(act)
    moved.move(minutes=3)
    assert janitor.run(elsewhere) == 1
    assert len(sandbox.posts()) == posts and [op.state for op in act.ops()] == [OpState.UNKNOWN]
    sandbox.portal_capture(act.order.klarna_order_id or "", 104_700, reference=act.ops()[0].reference)
    hurry(act)
    janitor.run(elsewhere)
    assert act.vouchers() == 1 and len(sandbox.posts()) == posts
    require_whole()


# --- Row 44: a copy started elsewhere ---------------------------------------------------------------------------------------


@pytest.mark.only_on("sqlite")
def test_row_44_a_copy_of_the_books_shows_everything_and_sends_nothing(
    books: Flask, config: Config, klarna: Gateway, sandbox: Control, tmp_path: Path
) -> None:
    """Row 44: same credentials, same account, other machine: no request leaves, and the original goes on undisturbed."""
    TO_BE[REFUND](klarna, sandbox)
    act = TO_BE[CAPTURE](klarna, sandbox)
    db.db.engine.dispose()
    path = tmp_path / "copy.db"
    shutil.copyfile(config.database_url.removeprefix("sqlite:///"), path)
    url = f"sqlite:///{path}"
    copy = Flask("copy")
    db.set_up(copy, url)
    with copy.app_context():
        there = Gateway(config.credentials_key, tmp_path, url)
        document_id = act.press(there)
        assert act.document() is not None and [op.state for op in act.ops()] == [OpState.PREPARED]
        hurry(act)
        janitor.run(there)
        assert [(op.state, op.hold_reason) for op in act.ops()] == [(OpState.PREPARED, "sending_off")]
        assert document_id == act.ops()[0].document_id
        db.db.engine.dispose()
    assert not sandbox.posts(operation=CAPTURE, order_id=act.order.klarna_order_id)
    act.press(klarna)
    require_one_effect(act, sandbox)


# --- Row 37: the database is held by somebody else --------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short here. Asked for before ``books``: an engine is made with them."""
    be_impatient(monkeypatch.setattr, lambda name, value: monkeypatch.setitem(db.PRAGMAS, name, value), WAIT)


@contextmanager
def outside_holds(config: Config, what: str) -> Iterator[None]:
    """An outside program holds the database: SQLite's own write lock, the lock file, or rows on PostgreSQL."""
    path = config.database_url.removeprefix("sqlite:///")
    if what == "lock file":
        with Path(f"{path}.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        return
    outside = pysqlite3.connect(path, isolation_level=None)
    try:
        outside.execute("BEGIN IMMEDIATE")
        yield
        outside.execute("ROLLBACK")
    finally:
        outside.close()


HELD = pytest.mark.parametrize("what", ["write lock", "lock file"])


@pytest.mark.only_on("sqlite")
@HELD
@pytest.mark.parametrize("operation", [CAPTURE, REFUND])
def test_row_37_a_writer_waits_its_time_and_is_told_to_try_again_with_nothing_half_done(
    impatient: None, books: Flask, config: Config, klarna: Gateway, sandbox: Control, operation: str, what: str
) -> None:
    """Row 37, operations 16.2: waiting longer than the limit → «busy», once, not three times as long."""
    act = TO_BE[operation](klarna, sandbox)
    numbers = count(NumberSeries)
    with outside_holds(config, what):
        began = time.monotonic()
        with pytest.raises(Busy):
            act.press(klarna)
        assert time.monotonic() - began < WAIT + SLACK
        require_nothing(act, sandbox)
    assert count(NumberSeries) == numbers
    act.press(klarna)
    require_one_effect(act, sandbox)
    require_whole()


@pytest.mark.only_on("sqlite")
@HELD
def test_row_37_a_sender_that_cannot_write_down_the_answer_leaves_it_to_its_lease(
    impatient: None,
    books: Flask,
    config: Config,
    klarna: Gateway,
    sandbox: Control,
    live: Live,
    moved: MovedClock,
    what: str,
) -> None:
    """Row 37: neither T3 nor T3x can commit; the lease runs out, and the same key brings the answer back."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    life = live(act.name, point="wire.answer", signal="STOP", wait_seconds=WAIT, **act.wish)
    life.frozen()
    with outside_holds(config, what):
        life.wake()
    assert "database is locked" in life.log or "program is busy" in life.log
    assert [op.state for op in act.ops()] == [OpState.SENDING]
    recover(klarna, moved)
    require_one_effect(act, sandbox)
    require_whole()


@pytest.mark.only_on("sqlite")
def test_row_37_readers_read_on_while_the_database_is_held(
    impatient: None, books: Flask, config: Config, klarna: Gateway, sandbox: Control
) -> None:
    """Operations 16.2: a read never queues for the write lock."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    act.press(klarna)
    with outside_holds(config, "write lock"):
        began = time.monotonic()
        document = act.document()
        assert document is not None and document.state is DocState.ISSUED
        require_whole()
        assert time.monotonic() - began < 5


@pytest.mark.only_on("postgres")
def test_row_37_on_postgresql_a_held_order_makes_the_writer_busy_and_nothing_is_half_done(
    impatient: None, books: Flask, config: Config, klarna: Gateway, sandbox: Control
) -> None:
    """Row 37, operations 16.3: lock_timeout, then busy; the numbers are as they were."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    began = time.monotonic()
    with psycopg.connect(config.database_url.replace("+psycopg", "")) as outside:
        outside.execute("SELECT id FROM sales_order WHERE id = %s FOR UPDATE", (act.order.id,))
        with pytest.raises(Busy):
            act.press(klarna)
        outside.rollback()
    assert time.monotonic() - began < WAIT + SLACK
    with reading() as session:
        assert session.get(NumberSeries, ("F", 0)) is None
    require_nothing(act, sandbox)
    act.press(klarna)
    require_one_effect(act, sandbox)
