"""Very many rows into an empty database, as quickly as it takes them: COPY on PostgreSQL, prepared inserts on SQLite.

Indexes, triggers and foreign keys are away meanwhile. Indexes and triggers are put back as they were; what triggers would have
kept, sums per day and the names that are searched, is worked out in one go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from columns import Day, Flag, UtcTime
from db import Base

ADDED_AFTERWARDS = (
    "DELETE FROM klarna_day",
    (
        "INSERT INTO klarna_day (day, currency, activated_minor, credited_minor)"
        " SELECT issue_date, currency, sum(CASE WHEN kind = 'invoice' THEN gross_minor ELSE 0 END),"
        " sum(CASE WHEN kind = 'invoice' THEN 0 ELSE gross_minor END)"
        " FROM document WHERE state = 'issued' AND issued_by_op_id IS NOT NULL GROUP BY issue_date, currency"
    ),
)
NAMES_AFTERWARDS = (
    "DELETE FROM customer_search",
    "INSERT INTO customer_search (rowid, name) SELECT id, name FROM customer",
)
INDEXES = """SELECT pg_get_indexdef(i.indexrelid), c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname NOT LIKE 'alembic%'
AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)"""


@contextmanager
def unguarded(engine: Engine) -> Iterator[Connection]:
    """One connection that checks nothing; at its end the database is as guarded as before, and its planner knows the rows."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            yield from _unguarded_sqlite(connection)
        else:
            yield from _unguarded_postgresql(connection)
    engine.dispose()


def _unguarded_sqlite(connection: Connection) -> Iterator[Connection]:
    raw = connection.connection.driver_connection
    for setting in ("foreign_keys=off", "journal_mode=delete", "synchronous=off", "cache_size=-1000000"):
        raw.execute(f"PRAGMA {setting}")
    kept = raw.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
        " AND tbl_name NOT LIKE 'customer_search_%'"
    ).fetchall()
    told = raw.execute("SELECT tbl, idx, stat FROM sqlite_stat1").fetchall()
    for sort, name, _ in kept:
        raw.execute(f'DROP {sort} "{name}"')
    yield connection
    for statement in (*ADDED_AFTERWARDS, *NAMES_AFTERWARDS, *(written for _, _, written in sorted(kept))):
        raw.execute(statement)
    # With its index went what the planner had been told of it.
    raw.execute("DELETE FROM sqlite_stat1")
    raw.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", told)
    connection.commit()
    raw.execute("PRAGMA journal_mode=wal")


def _unguarded_postgresql(connection: Connection) -> Iterator[Connection]:
    raw = connection.connection.driver_connection
    unchecked = ("session_replication_role = replica", "statement_timeout = 0", "synchronous_commit = off")
    for setting in (*unchecked, "maintenance_work_mem = '512MB'"):
        raw.execute(f"SET {setting}")
    kept = raw.execute(INDEXES).fetchall()
    for _, name in kept:
        raw.execute(f'DROP INDEX "{name}"')
    yield connection
    for statement in (*ADDED_AFTERWARDS, *(written for written, _ in kept)):
        raw.execute(statement)
    _let_counters_follow(connection)
    connection.commit()
    raw.autocommit = True
    # What autovacuum does to a table that lives.
    raw.execute("VACUUM ANALYZE")
    raw.autocommit = False


def _let_counters_follow(connection: Connection) -> None:
    for table in Base.metadata.sorted_tables:
        key = list(table.primary_key.columns)
        if len(key) == 1 and key[0].autoincrement and isinstance(key[0].type, sa.BigInteger):
            counter = connection.execute(
                sa.text(f"SELECT pg_get_serial_sequence('\"{table.name}\"', '{key[0].name}')")
            ).scalar()
            last = connection.execute(sa.select(sa.func.max(key[0]))).scalar()
            if counter and last:
                connection.execute(sa.text(f"SELECT setval('{counter}', {last})"))


class Blocks:
    """Rows of several tables, written when there are enough. The first row of a table says which columns all of them have."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._columns: dict[str, tuple[str, ...]] = {}
        self._constants: dict[str, tuple[Any, ...]] = {}
        self._turned: dict[str, list[tuple[int, Callable[[Any], Any]]]] = {}

    def add(self, table: str, **row: Any) -> None:
        """A row. Columns that are left out have the model's default."""
        if table not in self._columns:
            self._learn(table, row)
        values = list(row.values())
        for place, turn in self._turned[table]:
            values[place] = turn(values[place])
        self._rows[table].append((*values, *self._constants[table]))

    def _learn(self, name: str, row: dict[str, Any]) -> None:
        table = Base.metadata.tables[name]
        left_out = {
            column.name: column.default.arg
            for column in table.columns
            if column.name not in row and column.default is not None and column.default.is_scalar
        }
        self._columns[name] = (*row, *left_out)
        dialect = self._connection.dialect
        for values, at in ((row, 0), (left_out, len(row))):
            for place, column in enumerate(values, start=at):
                kind = table.columns[column].type
                if isinstance(kind, UtcTime | Day | Flag):
                    turn = lru_cache(maxsize=256)(lambda value, kind=kind: kind.process_bind_param(value, dialect))
                    if at:
                        left_out[column] = turn(left_out[column])
                    else:
                        self._turned.setdefault(name, []).append((place, turn))
        self._turned.setdefault(name, [])
        self._constants[name] = tuple(left_out.values())

    def write(self, least: int = 0) -> None:
        """Write what there is, if it is more than ``least`` rows of some table."""
        if max(map(len, self._rows.values()), default=0) <= least:
            return
        raw: Any = self._connection.connection.driver_connection
        for name, rows in self._rows.items():
            if not rows:
                continue
            columns = ", ".join(f'"{each}"' for each in self._columns[name])
            if self._connection.dialect.name == "sqlite":
                marks = ", ".join("?" * len(self._columns[name]))
                raw.executemany(f'INSERT INTO "{name}" ({columns}) VALUES ({marks})', rows)
            else:
                with raw.cursor() as cursor, cursor.copy(f'COPY "{name}" ({columns}) FROM STDIN') as copy:
                    for row in rows:
                        copy.write_row(row)
            rows.clear()
