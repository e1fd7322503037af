"""What a database means to do with a statement: which tables it walks through from end to end, and what the statement says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from models import SORTED

BIG = frozenset(
    {
        "approval_request", "audit", "batch_row", "customer", "delivery", "delivery_line", "document", "document_event",
        "document_line", "form_use", "goods_return", "klarna_answer", "klarna_attempt", "klarna_call", "klarna_op",
        "klarna_op_event", "offset", "outbox", "payment", "payout_row", "posting", "push", "row_match", "row_share",
        "sales_order", "sales_order_line", "stock_movement", "stocktake_count", "voucher",
    }
)  # fmt: skip
"""Tables that grow with every order."""
PARTIAL = (
    "ix_document_open",
    "ix_document_owed",
    "ix_document_at_klarna",
    *(f"ix_document_{what}_{column}" for what in ("unpaid", "note") for column in SORTED),
    "ix_document_without",
    "ix_klarna_op_open",
    "ix_sales_order_cancelled",
    "ix_sales_order_cancelled_ordered_at",
    "ix_sales_order_held",
    "ix_sales_order_work",
    "ix_sales_order_work_ordered_at",
    "ix_sales_order_work_total_minor",
    "uq_klarna_op_open_document",
    "uq_klarna_op_open_order",
)
"""Indexes of the few rows that are still open, or set apart: reading one from end to end is finding them."""
SCAN = re.compile(r"^SCAN (?P<name>\w+)(?P<how>.*)$")
SEQUENTIAL = re.compile(r"Seq Scan on (?P<table>\w+).*\.\.(?P<cost>\d+)\.\d+ rows")
CHEAP = 1_000
"""What PostgreSQL reckons a scan to cost at most when the table is as good as empty."""
STOPS = re.compile(r"^\s*(->\s+)?Limit\b")
ALL_OF_IT = re.compile(
    r"^\s*(->\s+)?(Sort|Incremental Sort|Hash|HashAggregate|Aggregate|GroupAggregate|Materialize|Unique)\b"
)

Sent = tuple[str, Any]


@contextmanager
def sent_to(engine: Engine) -> Iterator[list[Sent]]:
    """Every statement as the driver gets it, with its values; BEGIN and PRAGMA left out."""
    kept: list[Sent] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA", "EXPLAIN")):
            kept.append((statement, values[0] if many else values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield kept
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan(engine: Engine, sent: Sent) -> list[str]:
    """The lines of EXPLAIN QUERY PLAN, on PostgreSQL of EXPLAIN."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sent[0]}", sent[1])]
        return list(connection.exec_driver_sql(f"EXPLAIN {sent[0]}", sent[1]).scalars())


def _skips(sent: Sent) -> bool:
    """Whether rows are skipped: SQLite's dialect writes an OFFSET of 0 beside every LIMIT."""
    statement, values = sent
    if isinstance(values, Mapping):
        return "OFFSET" in statement
    places = [statement[: found.end()].count("?") - 1 for found in re.finditer(r"\bOFFSET \?", statement)]
    return any(values[place] != 0 for place in places) or bool(re.search(r"\bOFFSET (?!\?)", statement))


def tables(statement: str) -> dict[str, str]:
    """Which table each name in a plan stands for: tables themselves and their aliases."""
    found = {}
    for table, alias in re.findall(r"(?:FROM|JOIN|,) \"?(\w+)\"?(?: AS (\w+))?", statement):
        found[alias or table] = table
    return found


def faults(engine: Engine, statements: Iterable[Sent]) -> list[str]:
    """What a list must not do: read a big table from end to end, skip rows by OFFSET, count without a cap.

    A walk in the order of the page that ends at its limit is no such reading: the plan then sorts nothing afterwards.
    """
    found = []
    for sent in statements:
        statement = sent[0]
        if _skips(sent):
            found.append(f"OFFSET: {statement}")
        if re.search(r"count\(\*\)", statement) and "LIMIT" not in statement:
            found.append(f"count without a cap: {statement}")
        lines = plan(engine, sent)
        if engine.dialect.name == "sqlite":
            found += [f"{line}: {statement}" for line in _scanned(statement, lines)]
        else:
            found += [f"SCAN {table}: {statement}" for table in _read_through(lines) if table in BIG]
    return found


def _read_through(lines: list[str]) -> Iterator[str]:
    """Tables that PostgreSQL reads to their end: what stands right above such a scan is no limit at which it stops."""
    above: list[tuple[int, str]] = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if depth and "->" not in line:
            continue
        above = [each for each in above if each[0] < depth]
        if scan := SEQUENTIAL.search(line):
            ends = [step for _, step in reversed(above) if STOPS.search(step) or ALL_OF_IT.search(step)]
            if int(scan["cost"]) > CHEAP and not (ends and STOPS.search(ends[0])):
                yield scan["table"]
        above.append((depth, line))


def _scanned(statement: str, lines: list[str]) -> Iterator[str]:
    sorts = any("TEMP B-TREE FOR ORDER BY" in line for line in lines)
    for line in lines:
        scan = SCAN.match(line)
        table = tables(statement).get(scan["name"]) if scan else None
        if scan is None or table not in BIG or scan["how"].endswith(PARTIAL):
            continue
        if sorts or "LIMIT" not in statement:
            yield line
