"""What a PostgreSQL database holds, taken out and put back while it stays: a new one costs more than most tests.

Connections to it stay as well, with what their servers have learned of its tables and planned for its questions. Only rows and
counters are put back; a database whose tables, triggers or functions were changed says so and is thrown away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import psycopg

_TABLES = """
SELECT c.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' GROUP BY c.relname ORDER BY c.relname"""
_COUNTERS = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
_NOW = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OTHERS = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND NOT pid = ANY(%s)"""
_OURS = "SELECT array_agg(oid) AS every FROM pg_class WHERE relnamespace = 'public'::regnamespace"
_SHAPE = " UNION ALL ".join(
    f"SELECT '{catalogue}', count(*), coalesce(bool_or(age(xmin) <= %(span)s), false) FROM {catalogue} WHERE {which}"
    for catalogue, which in {
        "pg_class": "relnamespace = 'public'::regnamespace",
        "pg_attribute": f"attrelid = ANY((SELECT ours.every FROM ({_OURS}) ours)::oid[])",
        "pg_attrdef": "true",
        "pg_constraint": "connamespace = 'public'::regnamespace",
        "pg_trigger": "true",
        "pg_proc": "pronamespace = 'public'::regnamespace",
    }.items()
)


@dataclass(frozen=True)
class Contents:
    """Rows of tables as COPY writes them, and where counters stand; tables and counters not named are as in the template."""

    rows: Mapping[str, bytes] = field(default_factory=dict)
    counters: Mapping[str, int | None] = field(default_factory=dict)


class Keeper:
    """Knows what a database held when it was copied from its template, and brings it back to that."""

    def __init__(self, address: str) -> None:
        self._connection = psycopg.connect(address, autocommit=True)
        self._columns = dict(self._connection.execute(_TABLES).fetchall())
        self._look = " UNION ALL ".join(
            f"SELECT '{name}', count(*), coalesce(bool_or(age(xmin) <= %(span)s), false) FROM public.\"{name}\""
            for name in self._columns
        )
        self._shape = self._ask(_SHAPE, 0)
        self._counts = {name: count for name, (count, _) in self._ask(self._look, 0).items()}
        self._at_first = Contents(
            {name: self._copy(name) for name, count in self._counts.items() if count}, self._counters()
        )
        self._since = self._now()
        self._connection.execute("VACUUM")

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def begin_again(self, stay: Collection[int]) -> bool:
        """Put everything back; False when more than rows and counters has changed.

        Who is connected is sent away, except for the servers of these numbers, which must be idle.
        """
        self._connection.execute(_OTHERS, [list(stay)])
        span = self._now() - self._since
        for name, (count, fresh) in self._ask(_SHAPE, span).items():
            if fresh or count != self._shape[name][0]:
                return False
        was = self._at_first
        moved = {name: was.counters[name] for name, at in self._counters().items() if at != was.counters[name]}
        touched = self._touched(span)
        self._put(Contents({name: was.rows.get(name, b"") for name in touched}, moved))
        self._since = self._now()
        if touched:
            # Where rows lie, and how many the planner believes in, is the same for every test.
            self._connection.execute(f"VACUUM {', '.join(map(_quoted, touched))}".encode())
        return True

    def take(self) -> Contents:
        """What has been changed since the beginning."""
        was = self._at_first.counters
        return Contents(
            {name: self._copy(name) for name in self._touched(self._now() - self._since)},
            {name: at for name, at in self._counters().items() if at != was[name]},
        )

    def lay_out(self, contents: Contents) -> None:
        """Let a database that is as it was at first hold what was taken from one like it."""
        self._put(contents)

    def _put(self, contents: Contents) -> None:
        gone = "".join(f"DELETE FROM public.{_quoted(name)};" for name in contents.rows)
        counters = "".join(
            f"SELECT setval('public.{_quoted(name)}', {at or 1}, {'false' if at is None else 'true'});"
            for name, at in contents.counters.items()
        )
        with self._connection.transaction(), self._connection.cursor() as cursor:
            # Neither triggers nor foreign keys: what is put was whole when it was taken.
            cursor.execute(f"SET LOCAL session_replication_role = replica;{gone}{counters}".encode())
            for name, rows in contents.rows.items():
                if rows:
                    into = f"COPY public.{_quoted(name)} ({self._columns[name]}) FROM STDIN (FORMAT binary)"
                    with cursor.copy(into.encode()) as copy:
                        copy.write(rows)

    def _copy(self, name: str) -> bytes:
        out = f"COPY public.{_quoted(name)} ({self._columns[name]}) TO STDOUT (FORMAT binary)"
        with self._connection.cursor() as cursor, cursor.copy(out.encode()) as copy:
            return b"".join(copy)

    def _touched(self, span: int) -> list[str]:
        looked = self._ask(self._look, span)
        return [name for name, (count, fresh) in looked.items() if fresh or count != self._counts[name]]

    def _ask(self, look: str, span: int) -> dict[str, tuple[int, bool]]:
        rows = self._connection.execute(look.encode(), {"span": span}, prepare=True)
        return {name: (count, fresh) for name, count, fresh in rows}

    def _counters(self) -> dict[str, int | None]:
        return dict(self._connection.execute(_COUNTERS, prepare=True).fetchall())

    def _now(self) -> int:
        row = self._connection.execute(_NOW, prepare=True).fetchone()
        assert row is not None
        return int(row[0])


def _quoted(name: str) -> str:
    return f'"{name}"'
