"""Column types that read and write alike on both databases. Source: operations 2 (types are logical)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant with milliseconds: text on SQLite, timestamptz on PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True, precision=3))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("an instant has a time zone")
        value = value.astimezone(UTC)
        if dialect.name == "postgresql":
            return value
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None or isinstance(value, datetime):
            return value.astimezone(UTC) if value is not None else None
        return datetime.fromisoformat(value)


class Day(sa.types.TypeDecorator[date]):
    """A calendar date: ISO text on SQLite, date on PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.Date())
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        if value is None or isinstance(value, date):
            return value
        return date.fromisoformat(value)


class Flag(sa.types.TypeDecorator[bool]):
    """True or false as 1 or 0 in both databases, so that one SQL reads both."""

    impl = sa.Integer
    cache_ok = True

    class Comparator(sa.types.TypeDecorator.Comparator[bool]):
        """Compare with a number, since PostgreSQL has no ``integer IS 1``."""

        def is_(self, other: Any) -> sa.ColumnElement[bool]:
            if not isinstance(other, bool):
                return cast("sa.ColumnElement[bool]", super().is_(other))
            return sa.type_coerce(self.expr, sa.Integer) == int(other)

        def is_not(self, other: Any) -> sa.ColumnElement[bool]:
            if not isinstance(other, bool):
                return cast("sa.ColumnElement[bool]", super().is_not(other))
            return sa.type_coerce(self.expr, sa.Integer) != int(other)

    comparator_factory = Comparator

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)


Word = TypeVar("Word", bound=StrEnum)


class EnumText(sa.types.TypeDecorator[Word]):
    """A StrEnum kept as its text; an unknown text in the database is an error, not a guess."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, words: type[Word]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Word | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Word | None:
        return None if value is None else self.words(value)


BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit integer on both databases; SQLite's STRICT tables know it as INTEGER."""
