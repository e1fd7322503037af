"""Floor C: the same SQL through SQLAlchemy Core and a bare template, with no login, no words, no formats.

The statements are those that Kvitta's own service sends: recorded once, then sent again, so that the floor never lags behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine


@dataclass(slots=True)
class Transaction:
    """What was sent between BEGIN and its end."""

    writes: bool
    statements: list[tuple[Any, Any]] = field(default_factory=list)


@contextmanager
def recorded(engine: Engine) -> Iterator[list[Transaction]]:
    """Note every statement that is sent meanwhile, transaction by transaction."""
    kept: list[Transaction] = []

    def begun(connection: Connection) -> None:
        kept.append(Transaction("sqlite_begin" in connection.get_execution_options()))

    def sent(_connection: Any, statement: Any, many: Any, one: Any, _options: Any) -> None:
        kept[-1].statements.append((statement, list(many) if many else dict(one)))
        kept[-1].writes |= getattr(statement, "is_dml", False)

    event.listen(engine, "begin", begun)
    event.listen(engine, "before_execute", sent)
    try:
        yield kept
    finally:
        event.remove(engine, "begin", begun)
        event.remove(engine, "before_execute", sent)


def send_again(engine: Engine, transactions: list[Transaction]) -> list[list[sa.Row[Any]]]:
    """Send what was recorded and give the rows of every statement that has some."""
    writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
    results = []
    for transaction in transactions:
        with (writer if transaction.writes else engine).begin() as connection:
            for statement, values in transaction.statements:
                found = connection.execute(statement, values)
                if found.returns_rows:
                    results.append(found.all())
    return results


def floor_app(
    engine: Engine, transactions: list[Transaction], template: str, pick: Callable[[list[list[Any]]], dict[str, Any]]
) -> Flask:
    """A bare app whose one page sends the statements and fills the template with what ``pick`` finds in the results."""
    app = Flask("floor")
    drawn = app.jinja_env.from_string(template)

    @app.route("/", methods=["GET", "POST"])
    def show() -> str:
        return drawn.render(**pick(send_again(engine, transactions)))

    return app


def with_columns(results: list[list[Any]], *names: str) -> list[Any]:
    """The first result that has these columns."""
    return next(rows for rows in results if rows and set(names) <= set(rows[0]._mapping))  # noqa: SLF001 - its columns
