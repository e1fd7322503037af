"""The database itself: integrity, the audit log and its chain, schema, triggers and constraints, the outbox (X1-X6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from functools import cache
from itertools import pairwise

import pysqlite3
import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
import migrations
from models import APPEND_ONLY, Audit, NumberSeries
from services.findings import Check, Finding, ask, broken, is_postgresql

TRIGGERS = frozenset(
    {f"{table}_no_{what}" for table in APPEND_ONLY for what in ("update", "delete")}
    | {
        "document_payment_set_once",
        "document_set_once",
        "klarna_op_set_once",
        "document_no_delete",
        "document_final",
        "klarna_op_no_delete",
        "klarna_op_final",
        "document_line_no_insert",
        "document_line_no_update",
        "document_line_no_delete",
        "payout_booked",
        "payout_booked_delete",
        "klarna_break_no_delete",
        "document_issued",
        "document_made_issued",
        "document_method",
    }
)
"""Every trigger the migrations make; a test holds the list against a migrated database."""
SEARCH_TRIGGERS = frozenset({"customer_search_new", "customer_search_changed", "customer_search_gone"})
"""On SQLite alone: what keeps the index of names; PostgreSQL keeps its own by itself."""
_ENOUGH = 21
"""Rows without a parent looked for per table: as many as are named, and one that says there are more."""
_POSTGRESQL = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8"}


def the_database_is_sound(session: Session) -> Iterator[Finding]:
    """X1: integrity, foreign keys, STRICT and CHECK hold; version and settings are as demanded."""
    if is_postgresql(session):
        yield from _sound_postgresql(session)
    else:
        yield from _sound_sqlite(session)


def _sound_sqlite(session: Session) -> Iterator[Finding]:
    connection = session.connection()
    # The check compares the index of names with what this connection keeps of it; reading it first makes that what is there now.
    connection.exec_driver_sql("SELECT name FROM customer_search LIMIT 1").all()
    for (told,) in connection.exec_driver_sql("PRAGMA integrity_check(20)"):
        if told != "ok":
            yield Finding("database", str(told))
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield Finding(f"{table}:{row}", f"refers to a row of {parent} that is not there")
    if pysqlite3.sqlite_version_info < db.OLDEST_SQLITE:
        yield Finding("database", f"SQLite {pysqlite3.sqlite_version} can lose data")
    for name, wanted in db.PRAGMAS.items():
        found = str(connection.exec_driver_sql(f"PRAGMA {name}").scalar())
        if found != wanted:
            yield Finding("database", f"{name} is {found}, not {wanted}")


def _sound_postgresql(session: Session) -> Iterator[Finding]:
    connection = session.connection()
    for name, wanted in _POSTGRESQL.items():
        found = connection.exec_driver_sql(f"SHOW {name}").scalar()
        if found != wanted:
            yield Finding("database", f"{name} is {found}, not {wanted}")
    for table, orphans, checks, failing in _soundness():
        if orphans is not None:
            for column, value, parent in connection.execute(orphans):
                yield Finding(table, f"{column} {value} refers to a row of {parent} that is not there")
        if failing is not None:
            for check, fails in zip(checks, connection.execute(failing).one(), strict=True):
                if fails:
                    yield Finding(table, f"{fails} rows fail {check}")


@cache
def _soundness() -> Sequence[tuple[str, sa.Executable | None, Sequence[str], sa.Executable | None]]:
    """Per table: what finds rows without their parents, the names of its checks, and what counts the rows that fail them.

    A table is read through once for all that is asked of its rows.
    """
    found: list[tuple[str, sa.Executable | None, Sequence[str], sa.Executable | None]] = []
    for table in db.Base.metadata.sorted_tables:
        orphans = [_orphans(key) for key in table.foreign_keys]
        checks = [rule for rule in table.constraints if isinstance(rule, sa.CheckConstraint)]
        failing = [sa.func.count().filter(sa.text(f"NOT ({check.sqltext})")) for check in checks]
        found.append(
            (
                table.name,
                sa.union_all(*orphans).limit(_ENOUGH) if orphans else None,
                [str(check.name) for check in checks],
                sa.select(*failing).select_from(table) if failing else None,
            )
        )
    return found


def _orphans(key: sa.ForeignKey) -> sa.Select[str, str, str]:
    parent = key.column.table.alias("parent")
    return (
        sa.select(
            sa.literal(key.parent.name),
            sa.cast(key.parent, sa.Text),
            sa.literal(key.column.table.name),
        )
        .outerjoin_from(key.parent.table, parent, parent.c[key.column.name] == key.parent)
        .where(key.parent.is_not(None), parent.c[key.column.name].is_(None))
    )


def everything_done_is_logged(session: Session) -> Iterator[Finding]:
    """X2: every audit row has who, what and about which object; every numbered document stands in the log."""
    yield from broken(
        session,
        "SELECT id FROM audit WHERE actor = '' OR action = '' OR object = ''",
        "audit:{0}",
        "lacks who, what or object",
    )
    yield from broken(
        session,
        "SELECT d.id, d.number_text FROM document d WHERE d.number IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.object = 'document:' || d.id)",
        "document:{0}",
        "{1} has no row in the audit log",
    )


def audit_chain_is_whole(session: Session) -> Iterator[Finding]:
    """X4: each audit row's hash follows from its content and the hash before it; the last one and the number are known."""
    rows = session.execute(sa.select(*Audit.__table__.c.values()).order_by(Audit.id).execution_options(yield_per=1000))
    head, count = "", 0
    for row in rows:
        at = row.at.astimezone(UTC)
        told = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
        written = json.dumps(
            [row.previous_hash, told, row.actor, row.action, row.object, row.detail],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        if row.previous_hash != head:
            yield Finding(f"audit:{row.id}", "does not follow the row before it")
        elif row.hash != hashlib.sha256(written.encode()).hexdigest():
            yield Finding(f"audit:{row.id}", "is not as it was written")
        head, count = row.hash, count + 1
    series = session.execute(
        sa.select(NumberSeries.head_hash, NumberSeries.next_no - NumberSeries.first_no).where(
            NumberSeries.code == "audit"
        )
    ).one_or_none()
    known = tuple(series) if series is not None else ("", 0)
    if known != (head, count):
        yield Finding("audit", f"{known[1]} rows were written, there are {count}, or the last is another")


def the_schema_is_whole(session: Session) -> Iterator[Finding]:
    """X5: the revision is the code's; every expected table, trigger, index and constraint is there."""
    found = ask(session, "SELECT version_num FROM alembic_version").scalar()
    if found != migrations.head():
        yield Finding("schema", f"revision {found}, the program is of {migrations.head()}")
    triggers, names = _there_postgresql(session) if is_postgresql(session) else _there_sqlite(session)
    wanted = TRIGGERS if is_postgresql(session) else TRIGGERS | SEARCH_TRIGGERS
    for name in sorted(wanted - triggers):
        yield Finding("schema", f"trigger {name} is missing")
    search = {"ix_customer_trigrams"} if is_postgresql(session) else {"customer_search"}
    for name in sorted((_expected(session.get_bind().dialect) | search) - names):
        yield Finding("schema", f"{name} is missing")


@cache
def _expected(dialect: sa.Dialect) -> set[str]:
    """The names of all tables, indexes and named constraints of the models, as this database writes them."""
    preparer = dialect.identifier_preparer
    wanted: set[str] = set()
    for table in db.Base.metadata.tables.values():
        wanted.add(table.name)
        wanted.update(str(preparer.format_index(index)).strip('"') for index in table.indexes)
        for rule in table.constraints:
            name = preparer.format_constraint(rule)
            if name and not (isinstance(rule, sa.ForeignKeyConstraint) and rule.use_alter):
                wanted.add(name.strip('"'))
    return wanted


def _there_sqlite(session: Session) -> tuple[set[str], set[str]]:
    rows = ask(session, "SELECT type, name, coalesce(sql, '') FROM sqlite_master").all()
    names = {name for kind, name, _ in rows if kind in ("table", "index")}
    for kind, _, written in rows:
        if kind == "table":
            words = written.replace('"', " ").split()
            names.update(after for word, after in pairwise(words) if word.upper() == "CONSTRAINT")
    return {name for kind, name, _ in rows if kind == "trigger"}, names


def _there_postgresql(session: Session) -> tuple[set[str], set[str]]:
    triggers = ask(session, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O','A')").scalars()
    names = ask(
        session,
        "SELECT conname FROM pg_constraint WHERE convalidated UNION SELECT indexname FROM pg_indexes"
        " WHERE schemaname = current_schema() UNION SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
    ).scalars()
    return set(triggers), set(names)


def jobs_are_done(session: Session) -> Iterator[Finding]:
    """X6: no job has waited for a day without being taken up or left to a person, who finds it in the work list."""
    yield from broken(
        session,
        "SELECT id, kind, attempts, last_error FROM outbox WHERE done_at IS NULL AND gave_up_at IS NULL"
        " AND created_at < :before AND (next_run_at IS NULL OR next_run_at < :before)",
        "job:{0}",
        "{1} has waited for more than a day after {2} tries: {3}",
        before=clock.now() - timedelta(days=1),
    )


CHECKS: dict[str, Check] = {
    "X1": the_database_is_sound,
    "X2": everything_done_is_logged,
    "X4": audit_chain_is_whole,
    "X5": the_schema_is_whole,
    "X6": jobs_are_done,
}
