"""What a check yields, and how one asks the database: plain SQL, so that it shares no mistake with the code it checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from columns import UtcTime
from models import Setting
from services import settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: what it is about, as ``document:17``, and what is wrong with it."""

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"


Check = Callable[[Session], Iterator[Finding]]


class NotApplicableError(Exception):
    """The rule has nothing to say about these books; the message tells why."""


def is_postgresql(session: Session) -> bool:
    """Whether the session is on PostgreSQL."""
    return session.get_bind().dialect.name == "postgresql"


def seconds_between(session: Session, later: str, earlier: str) -> str:
    """SQL for the seconds from one instant column to another."""
    if is_postgresql(session):
        return f"EXTRACT(EPOCH FROM ({later} - {earlier}))"
    return f"(unixepoch({later}, 'subsec') - unixepoch({earlier}, 'subsec'))"


def ask(session: Session, sql: str, **values: Any) -> Any:
    """Run a query; instants among the values are bound as this database keeps them, lists for ``IN``."""
    binds = [
        sa.bindparam(name, type_=UtcTime())
        if isinstance(value, datetime)
        else sa.bindparam(name, expanding=isinstance(value, (list, tuple)))
        for name, value in values.items()
    ]
    return session.connection().execute(sa.text(sql).bindparams(*binds), values)


def broken(session: Session, sql: str, subject: str, what: str, **values: Any) -> Iterator[Finding]:
    """A finding per row the query gives: ``subject`` and ``what`` are filled with its columns by position."""
    for row in ask(session, sql, **values):
        yield Finding(subject.format(*row), what.format(*row))


def accounts_of(session: Session, role: str) -> list[int]:
    """Every account that plays, or has ever played, a part."""
    name = f"account.{role}"
    told = session.scalars(sa.select(Setting.value).where(Setting.name == name))
    return sorted({int(text) for text in (settings.DEFAULTS[name], *told) if text})
