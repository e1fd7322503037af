"""The only doors to the database: reading() and writing(), with the engine rules of both databases.

SQLite: ``BEGIN IMMEDIATE`` for writes behind one fair queue (a lock in the process, a lock file between processes),
plain ``BEGIN`` for reads. PostgreSQL: READ COMMITTED with row locks. Source: operations 16.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import pysqlite3
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, registry
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from columns import BigInt, Day, Flag, UtcTime
from config import Misconfigured
from errors import BrokenRule, Busy

OLDEST_SQLITE = (3, 51, 3)
"""Below this, WAL mode with several connections can lose commits (operations 16.2)."""
WAIT_SECONDS = 10.0
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "2",
    "foreign_keys": "1",
    "recursive_triggers": "1",
    "trusted_schema": "0",
    "cell_size_check": "1",
    "busy_timeout": "10000",
}
POSTGRES_OPTIONS = (
    "-c lock_timeout=3000 -c statement_timeout=15000 -c idle_in_transaction_session_timeout=20000"
    " -c timezone=UTC -c jit=off -c plan_cache_mode=force_custom_plan"
)
"""A question is planned for the values it is asked with, since a list of a rare state is not found like one of a common state."""
_TCP = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 25_000}
"""When a server that is silent, cable and all, is given up: after the longest question. Seconds, and the last in milliseconds."""
_PLAN_ONCE = sa.text("SET LOCAL plan_cache_mode = auto")
IN_TRANSACTION = (2, 3)
"""How libpq counts a transaction that goes on and one that has failed."""
MOST_PREPARED = 300
"""Statements that a connection to PostgreSQL keeps prepared, of some 100 kB each on the server."""
PLAN_SPOILT = "0A000"
"""What PostgreSQL answers when a table no longer is what a kept plan was made for, whatever language it says it in."""
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


# Without being told, SQLite's driver asks each None anew how it is to be written: most of what a row of many columns costs.
pysqlite3.dbapi2.register_adapter(type(None), dict[None, None]().get)


class Base(DeclarativeBase):
    """Root of the tables; STRICT on SQLite."""

    registry = registry(
        metadata=sa.MetaData(naming_convention=NAMING),
        type_annotation_map={
            int: BigInt,
            str: sa.Text(),
            bytes: sa.LargeBinary(),
            bool: Flag(),
            datetime: UtcTime(),
            date: Day(),
        },
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True, session_options={"expire_on_commit": False})


class FairLock:
    """A lock that serves its waiters first come, first served, with a limit in time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._queue: deque[threading.Event] = deque()

    def acquire(self, timeout: float) -> bool:
        """Take the lock; False when the wait was too long."""
        with self._guard:
            if not self._held and not self._queue:
                self._held = True
                return True
            turn = threading.Event()
            self._queue.append(turn)
        if turn.wait(timeout):
            return True
        with self._guard:
            if turn.is_set():
                return True
            self._queue.remove(turn)
            return False

    def release(self) -> None:
        """Hand the lock to the first waiter, or free it."""
        with self._guard:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._held = False


class WriteQueue:
    """One writer at a time over all processes of a host: the fair lock first, then the lock file.

    A file keeps no queue: those who wait look again after a moment. Who has held it for long rests for longer than that before
    the next turn, so that a reading of a million rows keeps nobody waiting for more than one of its transactions.
    """

    _LOOK_SECONDS = 0.002
    _REST_SECONDS = 0.0025
    _LONG_SECONDS = 0.03

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FairLock()
        self._rests_until = 0.0

    @contextmanager
    def turn(self, wait: float = WAIT_SECONDS) -> Iterator[None]:
        """Hold the turn to write. Raises Busy after ``wait`` seconds."""
        deadline = time.monotonic() + wait
        if not self._lock.acquire(wait):
            raise Busy
        try:
            rest = self._rests_until - time.monotonic()
            if rest > 0:
                time.sleep(rest)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                pause = 0.0002
                while True:
                    try:
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except BlockingIOError:
                        if time.monotonic() > deadline:
                            raise Busy from None
                        time.sleep(pause)
                        pause = min(pause * 1.5, self._LOOK_SECONDS)
                began = time.monotonic()
                yield
            finally:
                os.close(handle)
            if time.monotonic() - began > self._LONG_SECONDS:
                self._rests_until = time.monotonic() + self._REST_SECONDS
        finally:
            self._lock.release()


class _Held(threading.local):
    """Connections this thread holds, so that the wire can refuse to be used inside a transaction."""

    count = 0


_held = _Held()
_queues: dict[str, WriteQueue] = {}


def connections_held() -> int:
    """How many database connections this thread holds just now (operations 16.1, rule 2)."""
    return _held.count


def _count_connections(engine: Engine) -> None:
    @event.listens_for(engine, "checkout")
    def _out(_connection: Any, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        _held.count += 1

    @event.listens_for(engine, "checkin")
    def _in(_connection: Any, _record: ConnectionPoolEntry) -> None:
        _held.count -= 1


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for name, value in PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
        connection.execute("PRAGMA cache_size=-65536")
        connection.execute("PRAGMA temp_store=memory")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _prepare_postgres(engine: Engine) -> None:
    """Let a connection keep the statements it has prepared: the server plans a page once, not at every look.

    The driver forgets them all at a ROLLBACK, with which every look ends, in case one of their tables was made in what is taken
    back. No transaction of Kvitta makes tables. A table that is changed beside a running process is planned for anew by
    PostgreSQL itself, or else refused, and then the connections are made anew.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.prepared_max = MOST_PREPARED

    @event.listens_for(engine, "rollback")
    def _rollback(connection: Connection) -> None:
        driver: Any = None if connection.invalidated else connection.connection.driver_connection
        if driver is not None and driver.pgconn.transaction_status in IN_TRANSACTION:  # all else is the driver's to say
            driver.pgconn.exec_(b"ROLLBACK")

    @event.listens_for(engine, "handle_error")
    def _error(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", "") == PLAN_SPOILT:
            context.is_disconnect = True


def is_sqlite(engine: Engine) -> bool:
    """Whether the embedded database is in use."""
    return engine.dialect.name == "sqlite"


def engine_options(url: str) -> dict[str, Any]:
    """How an engine for this address is made: the driver, the pool, the limits."""
    if url.startswith("sqlite"):
        return {"module": pysqlite3.dbapi2, "connect_args": {"timeout": WAIT_SECONDS, "check_same_thread": False}}
    return {
        "connect_args": {"options": POSTGRES_OPTIONS, **_TCP},
        "pool_size": 10,
        "max_overflow": 5,
        "pool_pre_ping": True,
    }


def prepare(engine: Engine) -> None:
    """Register the rules of the database on a new engine, before its first connection."""
    if is_sqlite(engine):
        _prepare_sqlite(engine)
        _queues[str(engine.url)] = WriteQueue(Path(f"{engine.url.database}.lock"))
    else:
        _prepare_postgres(engine)
    _count_connections(engine)


def set_up(app: Flask, url: str) -> None:
    """Bind the app to its database. Raises Misconfigured."""
    if url.startswith("sqlite") and pysqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Misconfigured(
            f"SQLite {pysqlite3.sqlite_version} can lose data; Kvitta needs {'.'.join(map(str, OLDEST_SQLITE))} or newer."
        )
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
    db.init_app(app)
    with app.app_context():
        prepare(db.engine)


def assert_safe(engine: Engine) -> None:
    """Check that the database keeps what it promises. Raises Misconfigured (operations 16.2, 16.3, fault 41)."""
    with engine.connect() as connection:
        if is_sqlite(engine):
            for name, wanted in PRAGMAS.items():
                found = str(connection.exec_driver_sql(f"PRAGMA {name}").scalar())
                if found != wanted:
                    raise Misconfigured(f"SQLite's {name} is {found}, not {wanted}.")
            return
        for name in ("synchronous_commit", "fsync", "full_page_writes"):
            if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                raise Misconfigured(f"PostgreSQL's {name} is off; bookkeeping needs it on.")
        if connection.exec_driver_sql("SHOW server_encoding").scalar() != "UTF8":
            raise Misconfigured("The PostgreSQL database must be in UTF-8.")


def _refuse_to_write(session: Session, _context: Any, _instances: Any) -> None:
    if session.new or session.dirty or session.deleted:
        raise BrokenRule("a reading session does not write")


class _Looking(Session):
    """A session that refuses to write: told to the kind once, since every request opens some."""


event.listen(_Looking, "before_flush", _refuse_to_write)


@contextmanager
def reading(*, by_key: bool = False) -> Iterator[Session]:
    """A session that looks and never writes; everything it shows is one moment's truth, and stays readable afterwards.

    ``by_key`` says that all is asked by keys, as for the page of one thing: then PostgreSQL uses the plans it has made before,
    for whatever values. Planning is most of what such a question costs its server (performance, goal 1).
    """
    with _Looking(db.engine, expire_on_commit=False, autoflush=False) as session:
        if by_key and not is_sqlite(db.engine):
            session.execute(_PLAN_ONCE)
        yield session


@contextmanager
def writing(*, by_key: bool = False) -> Iterator[Session]:
    """A session for exactly one transaction: commits on leaving, rolls back on any exception; ``by_key`` as in ``reading``.
    Raises Busy.
    """
    engine = db.engine
    queue = _queues.get(str(engine.url))
    if queue is None:
        with _transaction(engine, {}) as session:
            if by_key:
                session.execute(_PLAN_ONCE)
            yield session
        return
    with queue.turn(), _transaction(engine, {"sqlite_begin": "BEGIN IMMEDIATE"}) as session:
        yield session


@contextmanager
def _transaction(engine: Engine, options: Mapping[str, str]) -> Iterator[Session]:
    try:
        with Session(engine, expire_on_commit=False) as session:
            session.connection(execution_options=options)
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise
    except OperationalError as error:
        if is_passing(error):
            raise Busy from error
        raise


def is_passing(error: DBAPIError) -> bool:
    """Whether the database gave up for a lock, a deadlock or a clash, so that the same transaction may be run again."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in {"40001", "40P01", "55P03", "57014"}
    return "locked" in str(error.orig) or "busy" in str(error.orig)


def add_first(session: Session, row: Base) -> bool:
    """Insert a row of which there may be one; False when somebody inserted it a moment ago, and nothing is lost by that."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


def write_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert many rows past the ways of a single one: there may be a million. Each value is what the driver takes."""
    connection, names = session.connection(), ", ".join(columns)
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(rows))  # noqa: S608 - names of ours


Result = TypeVar("Result")


def transact(work: Callable[[Session], Result], tries: int = 3, *, by_key: bool = False) -> Result:
    """Run one transaction, again when it failed for a passing reason, while the wait allowed to a writer lasts.

    Safe, since no transaction contains a call. Raises Busy (operations 16.1 rule 8, 16.2; fault row 37).
    """
    ends = time.monotonic() + WAIT_SECONDS
    for _ in range(tries - 1):
        try:
            with writing(by_key=by_key) as session:
                return work(session)
        except Busy as busy:
            if busy.__cause__ is None or time.monotonic() >= ends:
                raise
    with writing(by_key=by_key) as session:
        return work(session)
