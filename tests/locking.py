"""On PostgreSQL: what a transaction changes, it has locked first (operations 16.1, rule 6).

Every statement of a test is heard. A row of these tables may be changed only after a row of it, or of what it belongs to, was
read FOR UPDATE in the same transaction, or was made in it; or by compare-and-set, which is a guard of its own. So a lock that is
taken away fails whichever test goes that way. What a test itself writes by hand is not looked at.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

HOLDERS = {
    "sales_order": {"sales_order"},
    "sales_order_line": {"sales_order"},
    "document": {"document", "sales_order", "payout"},
    "document_line": {"document", "sales_order"},
    "klarna_op": {"klarna_op", "sales_order"},
    "klarna_break": {"klarna_break", "sales_order", "klarna_account"},
    "payout": {"payout", "klarna_account"},
    "row_match": {"payout"},
    "bank_entry": {"bank_entry", "payout"},
}
"""For each table that money hangs on, whose lock guards its rows."""
_LOCKING = re.compile(r"\bFOR (?:NO KEY )?UPDATE\b")
_FROM = re.compile(r"\bFROM (\w+)")
_MAKES = re.compile(r"\s*INSERT INTO (\w+)")
_CHANGES = re.compile(r"\s*(?:UPDATE|DELETE FROM) (\w+)")
_COMPARES = re.compile(r"\bSET state=.*\bWHERE .*\bversion =", re.DOTALL)
_HERE = Path(__file__).parent
_HOUSE = str(_HERE.parent)

unlocked: list[str] = []
"""What has been changed without a lock since the last test, and where."""


def listen(engine: Engine) -> None:
    """Hear what an engine sends to PostgreSQL; on SQLite whoever writes is alone."""
    if engine.dialect.name != "postgresql":
        return
    sa.event.listen(engine, "begin", _begin)
    sa.event.listen(engine, "before_cursor_execute", _sent)


def _begin(connection: Connection) -> None:
    connection.info["held"] = set()


def _sent(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    held: set[str] = connection.info.setdefault("held", set())
    if _LOCKING.search(statement):
        held.update(_FROM.findall(statement))
    elif made := _MAKES.match(statement):
        held.add(made[1])
    elif changed := _CHANGES.match(statement):
        table = changed[1]
        if table in HOLDERS and HOLDERS[table].isdisjoint(held) and not _COMPARES.search(statement):
            place = _place()
            if place is not None:
                unlocked.append(f"{place} changes {table} without a lock: {' '.join(statement.split())[:120]}")


def _place() -> str | None:
    """Where in the house the statement comes from; None when a test sends it."""
    for frame in _frames():
        path = frame.f_code.co_filename
        if path.startswith(_HOUSE) and ".venv" not in path and not path.endswith(("/db.py", "/locking.py")):
            if path.startswith(str(_HERE)):
                return None
            return f"{Path(path).stem}.{frame.f_code.co_name}, line {frame.f_lineno},"
    return None


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back
