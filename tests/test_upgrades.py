"""Books that an earlier version wrote are whole after an upgrade, on both databases.

``tests/upgrades`` holds a small company's books as the last program of each revision of the schema left them (0003 was never
without 0004): invoices, a credit note, one that Klarna refused, an offset and a booked payout. Before a new
migration is written, ``tests/upgrades/keep.py`` keeps those of the revision it leaves.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysqlite3
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import Connection, Engine

import db
import migrations
from db import reading
from services import verify
from tests import worlds

BOOKS = {path.name.partition(".")[0]: path for path in sorted((Path(__file__).parent / "upgrades").glob("*.db.gz"))}
MOVED = {"reading_file": {"content"}}
"""Columns that are elsewhere now: a file's bytes are kept in parts, and M16 adds them up."""
pytestmark = pytest.mark.bare_database


@pytest.fixture
def empty(database: str) -> Iterator[Flask]:
    """An app on a database without a schema."""
    place = worlds.here
    assert place is not None
    url = place.kind.empty()
    app = Flask("upgrade")
    db.set_up(app, url)
    with app.app_context():
        yield app
        db.db.engine.dispose()
    place.kind.drop(url)


def put_in(engine: Engine, revision: str, folder: Path) -> None:
    """Let the database hold the books of a revision: SQLite's file as it was, on PostgreSQL row by row."""
    content = gzip.decompress(BOOKS[revision].read_bytes())
    if db.is_sqlite(engine):
        Path(str(engine.url.database)).write_bytes(content)
        return
    migrations.upgrade(engine, revision)
    (folder / "old.db").write_bytes(content)
    old = pysqlite3.connect(folder / "old.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # no trigger writes along
        for table, columns in columns_of(connection).items():
            names = ", ".join(columns)
            typed = ", ".join(f"CAST(%s AS {type_})" for type_ in columns.values())
            connection.exec_driver_sql(f"DELETE FROM {table}")
            for row in old.execute(f"SELECT {names} FROM {table}"):
                connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({typed})", tuple(row))
            if columns.get("id") == "BIGINT":
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                )
    old.close()


def columns_of(connection: Connection) -> dict[str, dict[str, str]]:
    """The columns that are written, and their types, by table; both as they are written in a statement."""
    asked = sa.inspect(connection)
    quoted = connection.dialect.identifier_preparer.quote
    return {
        quoted(table): {
            quoted(column["name"]): column["type"].compile(connection.dialect)
            for column in asked.get_columns(table)
            if "computed" not in column
        }
        for table in asked.get_table_names()
        if table != "alembic_version" and "search" not in table
    }


def content(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows."""
    with engine.connect() as connection:
        return {
            table: [
                dict(zip(columns, row, strict=True))
                for row in connection.exec_driver_sql(f"SELECT {', '.join(columns)} FROM {table}")
            ]
            for table, columns in columns_of(connection).items()
        }


def test_there_are_books_of_every_revision() -> None:
    """The newest revision has no program after it; what it brings is seen by all other tests."""
    known = [path.name[:4] for path in sorted((Path(migrations.__file__).parent / "versions").glob("0*.py"))]
    assert list(BOOKS) == [each for each in known[:-1] if each != "0003"]


@pytest.mark.parametrize("revision", BOOKS)
def test_books_of_an_earlier_version_survive_an_upgrade(empty: Flask, tmp_path: Path, revision: str) -> None:
    """Not a row is lost or changed, and everything that must always be true is true of them."""
    engine = db.db.engine
    put_in(engine, revision, tmp_path)
    assert migrations.current(engine) == revision
    before = content(engine)
    migrations.upgrade(engine)
    migrations.assert_current(engine)
    after = content(engine)
    for table, rows in before.items():
        names = {name for row in rows for name in row} - MOVED.get(table, set())
        told, was = (
            sorted(repr([row[name] for name in sorted(names)]) for row in each) for each in (after[table], rows)
        )
        assert told == was, table
    with reading() as session:
        assert [(each.id, each.findings) for each in verify.run(session) if each.findings] == []
    assert all(before[table] for table in ("voucher", "payout_row", "klarna_op", "document_line"))
