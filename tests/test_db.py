"""The two doors to the database, the fair queue in front of SQLite, and the schema on both databases."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pysqlite3
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from flask import Flask
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import Session

import db
import migrations
from config import Misconfigured
from db import FairLock, WriteQueue, connections_held, reading, transact, writing
from errors import BrokenRule, Busy, Refusal
from models import JobLease, NumberSeries, PeriodLock, Voucher
from services import checks_system
from tests.threads import in_threads

pytestmark = pytest.mark.bare_database


def a_counter(session: Session, code: str = "prov", next_no: int = 1) -> None:
    session.add(NumberSeries(code=code, fiscal_year=0, first_no=1, next_no=next_no, last_date=None))


def count_of(code: str = "prov") -> int | None:
    with reading() as session:
        return session.scalar(sa.select(NumberSeries.next_no).where(NumberSeries.code == code))


# --- The doors ----------------------------------------------------------------------------------------------------------


def test_writing_commits_on_leaving(books: Flask) -> None:
    with writing() as session:
        a_counter(session)
    assert count_of() == 1


def test_writing_rolls_back_on_any_exception(books: Flask) -> None:
    for error in (Refusal("no"), ValueError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), writing() as session:
            a_counter(session)
            session.flush()
            raise error
        assert count_of() is None


def test_reading_never_writes(books: Flask) -> None:
    with pytest.raises(BrokenRule), reading() as session:
        a_counter(session)
        session.flush()
    with reading() as session:
        session.execute(sa.insert(NumberSeries).values(code="prov", fiscal_year=0, first_no=1, next_no=1, head_hash=""))
    assert count_of() is None


def test_reading_shows_one_moment(books: Flask) -> None:
    """On SQLite a reader sees what was true when it began, and never waits for a writer."""
    if not db.is_sqlite(db.db.engine):
        pytest.skip("READ COMMITTED shows each statement its own moment")
    with writing() as session:
        a_counter(session)
    with reading() as look:
        assert look.scalar(sa.select(NumberSeries.next_no)) == 1
        with writing() as session:
            session.execute(sa.update(NumberSeries).values(next_no=2))
        assert look.scalar(sa.select(NumberSeries.next_no)) == 1
    assert count_of() == 2


def test_what_was_read_keeps_its_values_after_the_door_closed(books: Flask) -> None:
    with writing() as session:
        made = JobLease(name="prov", holder="x", until=datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=UTC))
        session.add(made)
    assert made.until.microsecond == 123000
    with reading() as session:
        found = session.get_one(JobLease, "prov")
    assert found.until == made.until
    assert found.until.tzinfo is not None


def test_the_thread_knows_how_many_connections_it_holds(books: Flask) -> None:
    assert connections_held() == 0
    with reading() as session:
        session.execute(sa.text("SELECT 1"))
        assert connections_held() == 1
        held_elsewhere: list[int] = []
        thread = threading.Thread(target=lambda: held_elsewhere.append(connections_held()))
        thread.start()
        thread.join()
        assert held_elsewhere == [0]
    with writing():
        assert connections_held() == 1
    assert connections_held() == 0


@pytest.mark.only_on("postgres")
def test_what_is_asked_again_and_again_is_planned_once(books: Flask) -> None:
    """Performance, goal 1: neither the end of a look nor a refusal makes a connection forget what it has prepared."""
    asked = sa.text("SELECT count(*) FROM number_series WHERE next_no = :asked")

    def prepared(session: Session) -> int | None:
        return session.scalar(
            sa.text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%next_no = $1%'")
        )

    for number in range(8):
        with reading() as session:
            session.execute(asked, {"asked": number})
    with reading() as session:
        assert prepared(session) == 1
    with pytest.raises(Refusal), writing() as session:
        a_counter(session)
        session.flush()
        raise Refusal("no")
    with reading() as session:
        assert prepared(session) == 1
    assert count_of() is None


@pytest.mark.only_on("postgres")
def test_only_what_is_asked_by_key_is_planned_without_its_values(books: Flask) -> None:
    """Performance, goal 3: a list of what is rare is found in another way than one of what is common."""
    mode = sa.text("SHOW plan_cache_mode")
    for door in (reading, writing):
        with door(by_key=True) as session:
            assert session.scalar(mode) == "auto"
        with door() as session:
            assert session.scalar(mode) == "force_custom_plan"
    assert transact(lambda session: session.scalar(mode), by_key=True) == "auto"
    assert transact(lambda session: session.scalar(mode)) == "force_custom_plan"


@pytest.mark.only_on("postgres")
def test_a_transaction_that_cannot_go_on_leaves_a_connection_that_can(books: Flask) -> None:
    with pytest.raises(DataError), writing() as session:
        a_counter(session)
        session.flush()
        session.execute(sa.text("SELECT 1 / 0"))
    assert count_of() is None


@pytest.mark.only_on("postgres")
def test_a_table_changed_beside_a_running_process_spoils_one_question_at_most(books: Flask) -> None:
    """What is prepared no longer fits; the connections that know it are made anew."""
    asked = sa.text("SELECT code FROM number_series WHERE next_no = 1")
    for _ in range(8):
        with reading() as session:
            session.execute(asked)
    elsewhere = sa.create_engine(db.db.engine.url, poolclass=sa.NullPool)
    with elsewhere.begin() as connection:
        connection.execute(sa.text("ALTER TABLE number_series ALTER COLUMN code TYPE varchar(60)"))
    with pytest.raises(DBAPIError, match="cached plan"), reading() as session:
        session.execute(asked)
    for _ in range(2):
        with reading() as session:
            session.execute(asked)


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize(("code", "stays"), [("0A000", False), ("22000", True)])
def test_a_spoilt_plan_is_known_by_its_code_in_whatever_language_the_server_speaks(
    books: Flask, code: str, stays: bool
) -> None:
    with reading() as session:
        before = session.scalar(sa.text("SELECT pg_backend_pid()"))
    said = f"DO $$ BEGIN RAISE EXCEPTION 'cachad plan får inte ändra resultattyp' USING ERRCODE = '{code}'; END $$"
    with pytest.raises(DBAPIError, match="cachad"), reading() as session:
        session.execute(sa.text(said))
    with reading() as session:
        assert (session.scalar(sa.text("SELECT pg_backend_pid()")) == before) is stays


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize("door", [reading, writing])
def test_a_connection_that_is_closed_meanwhile_is_told_as_the_driver_tells_it(books: Flask, door: Any) -> None:
    """Never as an error that nobody looks for; the next transaction has a new one."""
    with pytest.raises(OperationalError, match="closed"), door() as session:
        session.execute(sa.text("SELECT 1"))
        session.connection().connection.driver_connection.close()
    assert count_of() is None


@pytest.mark.only_on("postgres")
def test_a_connection_whose_server_has_gone_is_replaced(books: Flask) -> None:
    gone = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(OperationalError), reading() as session:
        session.execute(gone)
    assert count_of() is None


def test_a_failed_transaction_gives_its_connection_back(books: Flask) -> None:
    with pytest.raises(IntegrityError), writing() as session:
        a_counter(session)
        session.flush()
        session.execute(sa.insert(NumberSeries).values(code="prov", fiscal_year=0, first_no=1, next_no=1, head_hash=""))
    assert connections_held() == 0
    assert count_of() is None


def test_an_instant_without_zone_is_refused_and_another_zone_becomes_utc(books: Flask) -> None:
    with pytest.raises(StatementError), writing() as session:
        session.add(JobLease(name="prov", holder="x", until=datetime(2026, 1, 1)))  # noqa: DTZ001
    with writing() as session:
        session.add(
            JobLease(name="prov", holder="x", until=datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
        )
    with reading() as session:
        session.expire_all()
        assert session.scalar(sa.select(JobLease.until)) == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_write_that_failed_for_a_lock_is_run_again(books: Flask) -> None:
    """Operations 16.1, rule 8."""
    tries: list[int] = []

    def work(session: Session) -> str:
        tries.append(1)
        if len(tries) < 3:
            raise sa.exc.OperationalError("UPDATE", {}, pysqlite3.dbapi2.OperationalError("database is locked"))
        a_counter(session)
        return "done"

    assert transact(work) == "done"
    assert len(tries) == 3
    assert count_of() == 1


def test_a_refusal_is_not_run_again(books: Flask) -> None:
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        raise Refusal("no")

    with pytest.raises(Refusal):
        transact(work)
    assert len(tries) == 1


@pytest.mark.only_on("postgres")
def test_a_deadlock_ends_for_both(books: Flask) -> None:
    """Fault 46: PostgreSQL breaks a deadlock, and the loser is run again."""
    with writing() as session:
        a_counter(session, "one")
        a_counter(session, "two")
    both_hold = threading.Barrier(2)

    def work(number: int) -> None:
        order = ["one", "two"] if number == 0 else ["two", "one"]
        first_time = [True]

        def crosswise(session: Session) -> None:
            for code in order:
                session.execute(
                    sa.update(NumberSeries).where(NumberSeries.code == code).values(next_no=NumberSeries.next_no + 1)
                )
                if first_time[0]:
                    first_time[0] = False
                    both_hold.wait(10)

        transact(crosswise)

    assert in_threads(books, work, 2) == []
    assert (count_of("one"), count_of("two")) == (3, 3)


# --- The queue of writers -----------------------------------------------------------------------------------------------


def test_the_fair_lock_serves_in_the_order_of_arrival() -> None:
    lock = FairLock()
    assert lock.acquire(1)
    served: list[int] = []
    threads = []
    for number in range(6):

        def wait(number: int = number) -> None:
            assert lock.acquire(10)
            served.append(number)
            lock.release()

        thread = threading.Thread(target=wait)
        thread.start()
        threads.append(thread)
        while len(lock._queue) < number + 1:
            time.sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join(10)
    assert served == list(range(6))


def test_who_waited_too_long_leaves_the_queue_in_order() -> None:
    lock = FairLock()
    assert lock.acquire(1)
    assert not lock.acquire(0.01)
    assert not lock._queue
    lock.release()
    assert lock.acquire(0)


def test_a_writer_that_waits_too_long_is_told_that_the_program_is_busy(tmp_path: Path) -> None:
    queue = WriteQueue(tmp_path / "lock")
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with queue.turn():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(5)
    began = time.monotonic()
    with pytest.raises(Busy), queue.turn(wait=0.05):
        pass
    assert time.monotonic() - began < 2
    leave.set()
    thread.join(5)
    with queue.turn(wait=1):
        pass


def test_another_process_is_waited_for_too(tmp_path: Path) -> None:
    """Two queues on one lock file are two processes."""
    first, second = WriteQueue(tmp_path / "lock"), WriteQueue(tmp_path / "lock")
    with first.turn():
        with pytest.raises(Busy), second.turn(wait=0.05):
            pass
    with second.turn(wait=1):
        pass


def test_a_process_that_writes_long_again_and_again_lets_another_in_between(tmp_path: Path) -> None:
    """16.1 rule 8: nobody waits for more than what is being written just now, and the one after that at the most."""
    first, second = WriteQueue(tmp_path / "lock"), WriteQueue(tmp_path / "lock")
    turns, over = [0], threading.Event()

    def again_and_again() -> None:
        while not over.is_set():
            with first.turn():
                turns[0] += 1
                time.sleep(0.04)

    writer = threading.Thread(target=again_and_again)
    writer.start()
    waited = []
    try:
        for _ in range(8):
            before = turns[0]
            with second.turn():
                waited.append(turns[0] - before)
            time.sleep(0.01)
    finally:
        over.set()
        writer.join()
    assert sorted(waited)[5] <= 2, waited


@pytest.mark.only_on("sqlite")
def test_a_database_locked_from_outside_makes_the_writer_busy(books: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 37: nothing half done."""
    monkeypatch.setitem(db.PRAGMAS, "busy_timeout", "50")
    db.db.engine.dispose()
    outside = pysqlite3.dbapi2.connect(db.db.engine.url.database, isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy), writing() as session:
        a_counter(session)
    outside.execute("ROLLBACK")
    outside.close()
    with writing() as session:
        a_counter(session)
    assert count_of() == 1


def read_then_write(session: Session) -> None:
    """The shape that loses updates where nothing serialises it: read, think, write what follows from the reading."""
    found = session.execute(sa.select(NumberSeries.next_no).with_for_update()).scalar_one()
    time.sleep(0.002)
    session.execute(sa.update(NumberSeries).values(next_no=found + 1))


def test_writers_come_one_after_the_other(books: Flask) -> None:
    """Sixty read-then-write transactions of six threads: none is lost."""
    with writing() as session:
        a_counter(session)

    def work(_number: int) -> None:
        for _ in range(10):
            transact(read_then_write)

    assert in_threads(books, work, 6) == []
    assert count_of() == 61


@pytest.mark.only_on("sqlite")
def test_without_begin_immediate_the_race_is_seen(books: Flask) -> None:
    """The control of the test above: a deferred BEGIN that reads and then writes fails at once, whatever the timeout."""
    with writing() as session:
        a_counter(session)
    with Session(db.db.engine) as first, Session(db.db.engine) as second:
        seen = first.scalar(sa.select(NumberSeries.next_no))
        second.execute(sa.update(NumberSeries).values(next_no=7))
        second.commit()
        began = time.monotonic()
        with pytest.raises(DBAPIError) as refused:
            first.execute(sa.update(NumberSeries).values(next_no=(seen or 0) + 1))
        assert "locked" in str(refused.value)
        assert time.monotonic() - began < 5, "the busy timeout of 10 s does not help here"
    assert count_of() == 7


@pytest.mark.only_on("postgres")
def test_without_the_row_lock_the_race_is_seen(books: Flask) -> None:
    """The control on PostgreSQL: two that read without FOR UPDATE lose one update."""
    with writing() as session:
        a_counter(session)
    both_read = threading.Barrier(2)

    def work(_number: int) -> None:
        with writing() as session:
            found = session.execute(sa.select(NumberSeries.next_no)).scalar_one()
            both_read.wait(10)
            session.execute(sa.update(NumberSeries).values(next_no=found + 1))

    assert in_threads(books, work, 2) == []
    assert count_of() == 2, "one of two updates is lost"


# --- What the database promises -----------------------------------------------------------------------------------------


@pytest.mark.only_on("sqlite")
def test_every_connection_has_the_pragmas(books: Flask) -> None:
    """Operations 16.2."""
    db.assert_safe(db.db.engine)
    with reading() as first, reading() as second:
        for session in (first, second):
            for name, wanted in db.PRAGMAS.items():
                assert str(session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()) == wanted


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", ["foreign_keys", "recursive_triggers", "synchronous"])
def test_a_pragma_that_did_not_take_stops_the_start(books: Flask, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = dict(db.PRAGMAS)
    monkeypatch.setitem(db.PRAGMAS, name, "0")
    db.db.engine.dispose()
    with db.db.engine.connect():
        pass
    monkeypatch.setattr(db, "PRAGMAS", wanted)
    with pytest.raises(Misconfigured) as refused:
        db.assert_safe(db.db.engine)
    assert name in str(refused.value)


@pytest.mark.only_on("postgres")
def test_postgresql_is_asked_whether_it_keeps_what_it_promises(books: Flask) -> None:
    db.assert_safe(db.db.engine)
    with db.db.engine.connect() as connection:
        connection.exec_driver_sql("ALTER DATABASE " + str(db.db.engine.url.database) + " SET synchronous_commit = off")
        connection.commit()
    db.db.engine.dispose()
    with pytest.raises(Misconfigured):
        db.assert_safe(db.db.engine)


def test_an_older_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fault 41: below 3.51.3 commits can be lost."""
    monkeypatch.setattr(pysqlite3, "sqlite_version_info", (3, 51, 2))
    with pytest.raises(Misconfigured):
        db.set_up(Flask("old"), f"sqlite:///{tmp_path / 'k.db'}")


@pytest.mark.only_on("sqlite")
def test_strict_tables_refuse_what_is_of_another_type(books: Flask) -> None:
    with pytest.raises(IntegrityError), writing() as session:
        session.execute(
            sa.text(
                "INSERT INTO number_series (code, fiscal_year, first_no, next_no, head_hash) VALUES ('x', 0, 1, 'ett', '')"
            )
        )


# --- Append-only, attacked ----------------------------------------------------------------------------------------------


@pytest.fixture
def a_lock_row(books: Flask) -> Iterator[None]:
    with writing() as session:
        session.add(
            PeriodLock(locked_through=date(2026, 1, 31), at=datetime(2026, 2, 1, tzinfo=UTC), by="x", reason="y")
        )
    yield
    with reading() as session:
        rows = session.scalars(sa.select(PeriodLock)).all()
        assert [(row.locked_through, row.reason) for row in rows] == [(date(2026, 1, 31), "y")]


ATTACKS = {
    "update": "UPDATE period_lock SET reason = 'z'",
    "delete": "DELETE FROM period_lock",
    "upsert": "INSERT INTO period_lock (id, at, by, reason) SELECT id, at, by, reason FROM period_lock WHERE true"
    " ON CONFLICT (id) DO UPDATE SET reason = 'z'",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_appended_stays(a_lock_row: None, attack: str) -> None:
    """Operations 16.1, rule 5; I6."""
    with pytest.raises(DBAPIError), writing() as session:
        session.execute(sa.text(ATTACKS[attack]))


@pytest.mark.only_on("sqlite")
def test_or_replace_does_not_walk_past_the_trigger(a_lock_row: None) -> None:
    """Only because recursive triggers are on."""
    attack = "INSERT OR REPLACE INTO period_lock (id, at, by, reason) SELECT id, at, by, 'z' FROM period_lock"
    with pytest.raises(DBAPIError), writing() as session:
        session.execute(sa.text(attack))


@pytest.mark.only_on("sqlite")
def test_without_recursive_triggers_or_replace_would(books: Flask) -> None:
    """The control: this is why the pragma is demanded."""
    with writing() as session:
        session.add(PeriodLock(locked_through=None, at=datetime(2026, 2, 1, tzinfo=UTC), by="x", reason="y"))
    with db.db.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA recursive_triggers = 0")
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO period_lock (id, at, by, reason) SELECT id, at, by, 'z' FROM period_lock"
        )
        connection.commit()
        connection.exec_driver_sql("PRAGMA recursive_triggers = 1")
    with reading() as session:
        assert session.scalar(sa.select(PeriodLock.reason)) == "z"


# --- The schema ---------------------------------------------------------------------------------------------------------


def compared(engine: sa.Engine) -> list[Any]:
    def ours(
        _context: Any, _inspected: Any, metadata_column: Any, inspected_type: Any, metadata_type: Any
    ) -> bool | None:
        found, wanted = inspected_type.compile(engine.dialect), metadata_type.compile(engine.dialect)
        return found.replace("(3)", "") != wanted.replace("(3)", "")

    with engine.connect() as connection:
        opts = {"compare_type": ours, "compare_server_default": True, "include_name": of_the_models}
        context = MigrationContext.configure(connection, opts=opts)
        with warnings.catch_warnings():
            # Each database writes what a column is worked out from in its own way; the lists' tests ask what comes of it.
            warnings.filterwarnings("ignore", "Computed default")
            return compare_metadata(context, db.Base.metadata)


def of_the_models(name: str | None, kind: str, _parents: Any) -> bool:
    """All but the index of names, which the models cannot describe: SQLite's tables of it, PostgreSQL's function in it."""
    return not (kind == "table" and str(name).startswith("customer_search")) and name != "ix_customer_trigrams"


def test_the_migrated_database_is_what_the_models_say(books: Flask) -> None:
    assert compared(db.db.engine) == []
    assert migrations.current(db.db.engine) == migrations.head()
    migrations.assert_current(db.db.engine)


def test_the_comparison_sees_a_difference(books: Flask) -> None:
    """The control of the test above."""
    with db.db.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE warehouse ADD COLUMN extra TEXT")
        connection.commit()
    assert compared(db.db.engine)


def test_the_list_of_triggers_is_the_database_s_own(books: Flask) -> None:
    """What flask verify looks for (X5) is exactly what the migrations make."""
    wanted = checks_system.TRIGGERS
    if db.is_sqlite(db.db.engine):
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        wanted |= checks_system.SEARCH_TRIGGERS
    else:
        query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    with reading() as session:
        assert set(session.scalars(sa.text(query))) == wanted


def test_migrating_again_changes_nothing(books: Flask) -> None:
    with writing() as session:
        a_counter(session)
    migrations.upgrade(db.db.engine)
    assert count_of() == 1


@pytest.mark.parametrize(("found", "told"), [("0000", "newer"), (None, "older")])
def test_another_schema_than_the_code_s_is_refused(books: Flask, found: str | None, told: str) -> None:
    """Operations 16.1, rule 9; fault 45."""
    with db.db.engine.connect() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        if found is not None:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{found}')")
        connection.commit()
    with pytest.raises(Misconfigured) as refused:
        migrations.assert_current(db.db.engine)
    assert told in str(refused.value)


def test_a_migration_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 45: what breaks half-way leaves nothing behind."""
    app = Flask("half")
    db.set_up(app, f"sqlite:///{tmp_path / 'k.db'}")
    with app.app_context():
        from alembic import op

        calls: list[str] = []
        create_table = op.create_table

        def stops(name: str, *args: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) == 20:
                raise RuntimeError("killed")
            return create_table(name, *args, **options)

        monkeypatch.setattr(op, "create_table", stops)
        with pytest.raises(RuntimeError):
            migrations.upgrade(db.db.engine)
        monkeypatch.setattr(op, "create_table", create_table)
        with db.db.engine.connect() as connection:
            assert sa.inspect(connection).get_table_names() == []
        migrations.upgrade(db.db.engine)
        migrations.assert_current(db.db.engine)
        with reading() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Voucher)) == 0
        db.db.engine.dispose()
