"""Gapless numbers: taken in the transaction that gives them to their document or voucher, as late in it as possible.

A series is one counter row; taking a number locks that row until the transaction ends, and a rollback gives the number
back. Codes: ``F`` documents (invoices and credit notes share it), ``order``, ``customer``, and ``V:F``, ``V:I``, ``V:K``,
``V:L`` for vouchers, per financial year (the year's id). Source: operations 16.1 rule 4; BFNAR 2013:2 p. 5.9.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from errors import BrokenRule
from models import NumberSeries

DOCUMENTS = "F"
"""The series of invoices and credit notes."""
RUNS_ON = 0
"""The financial year of a series that never starts over."""
_SERIES = NumberSeries.__table__.c
_DAY = sa.bindparam("day", type_=_SERIES.last_date.type)
_COUNT_UP = (
    sa.update(NumberSeries.__table__)  # type: ignore[arg-type]
    .where(_SERIES.code == sa.bindparam("of"), _SERIES.fiscal_year == sa.bindparam("in_year"))
    .values(next_no=_SERIES.next_no + 1, last_date=sa.case((_SERIES.last_date > _DAY, _SERIES.last_date), else_=_DAY))
    .returning(_SERIES.next_no - 1, _SERIES.last_date)
)


def ensure(session: Session, code: str, *, fiscal_year: int = RUNS_ON, first: int = 1) -> None:
    """Make the counter row of a series unless it is there; two writers at once make one."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert(NumberSeries)
        .values(code=code, fiscal_year=fiscal_year, first_no=first, next_no=first, last_date=None, head_hash="")
        .on_conflict_do_nothing()
    )


def _count_up(session: Session, code: str, fiscal_year: int, day: date) -> tuple[int, date] | None:
    session.flush()
    found = session.execute(_COUNT_UP, {"of": code, "in_year": fiscal_year, "day": day}).one_or_none()
    return None if found is None else (found[0], found[1] or day)


def take_dated(
    session: Session, code: str, *, fiscal_year: int = RUNS_ON, first: int = 1, day: date
) -> tuple[int, date]:
    """The next number and its date, which is never before the date of the number before it (A5).

    ``first`` is where the series begins when nothing has been taken from it. Needs a writing session.
    """
    taken = _count_up(session, code, fiscal_year, day)
    if taken is None:
        ensure(session, code, fiscal_year=fiscal_year, first=first)
        taken = _count_up(session, code, fiscal_year, day)
    if taken is None:
        raise BrokenRule(f"series {code} has no counter")
    return taken


def take(session: Session, code: str, *, fiscal_year: int = RUNS_ON, first: int = 1, day: date) -> int:
    """The next number of a series; see ``take_dated``."""
    return take_dated(session, code, fiscal_year=fiscal_year, first=first, day=day)[0]
