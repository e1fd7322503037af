"""Financial years and the period lock: on which day something may be booked.

Source: A6; bokföringslagen 5 kap. 5 § (after a lock there are only correcting entries).
"""

from __future__ import annotations

from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, Refusal
from models import FiscalYear, NumberSeries, PeriodLock
from rights import Actor, Right
from services import accounts, audit, numbering

VOUCHER_SERIES = ("F", "I", "K", "L")
"""Invoices and credit notes · readings and payments · corrections · stock, where it is booked as it moves."""
STOCK_SERIES = VOUCHER_SERIES[3]
"""Its vouchers show what articles cost, which not everybody sees (security: rights)."""
_FROM_THE_START = VOUCHER_SERIES[:3]


def locked_through(session: Session) -> date | None:
    """The last day of the locked period; None while nothing is locked."""
    return session.scalar(sa.select(PeriodLock.locked_through).order_by(PeriodLock.id.desc()).limit(1))


def first_open_day(session: Session, day: date) -> date:
    """The day itself, or the first day after the locked period."""
    locked = locked_through(session)
    return day if locked is None or day > locked else locked + timedelta(days=1)


def years(session: Session) -> list[FiscalYear]:
    """The financial years, the newest first."""
    return list(session.scalars(sa.select(FiscalYear).order_by(FiscalYear.starts.desc())))


def year_of(session: Session, day: date) -> FiscalYear | None:
    """The financial year a day lies in. A writing transaction holds it against a lock made meanwhile."""
    return session.scalar(
        sa.select(FiscalYear).where(FiscalYear.starts <= day, FiscalYear.ends >= day).with_for_update(read=True)
    )


def year_around(session: Session, day: date) -> tuple[date, date]:
    """First and last day of the financial year of a day; of its calendar year where none has been opened."""
    found = session.scalar(sa.select(FiscalYear).where(FiscalYear.starts <= day, FiscalYear.ends >= day))
    return (found.starts, found.ends) if found else (date(day.year, 1, 1), date(day.year, 12, 31))


def _begin_year(session: Session, actor: Actor, starts: date, ends: date) -> FiscalYear:
    year = FiscalYear(starts=starts, ends=ends)
    session.add(year)
    session.flush()
    for series in _FROM_THE_START:
        numbering.ensure(session, f"V:{series}", fiscal_year=year.id)
    audit.write(session, actor, "fiscal_year.open", f"fiscal_year:{year.id}", {"starts": starts, "ends": ends})
    return year


def year_for_booking(session: Session, actor: Actor, day: date) -> FiscalYear:
    """The financial year of a day, opening the ones that follow the last so that a new year never stops the booking.

    Raises Refusal for a day before the first year, or when no books have been opened.
    """
    found = year_of(session, day)
    if found is not None:
        return found
    last = session.scalar(sa.select(FiscalYear).order_by(FiscalYear.ends.desc()).limit(1))
    if last is None or day < last.starts:
        raise Refusal(N_("There is no financial year for %(day)s. Open one under Books first."), day=day)
    while last.ends < day:
        starts = last.ends + timedelta(days=1)
        last = _begin_year(session, actor, starts, _a_year_from(starts))
    return last


def _a_year_from(starts: date) -> date:
    """The last day of the twelve months that begin on a first of a month."""
    return date(starts.year + 1, starts.month, 1) - timedelta(days=1)


def open_books(session: Session, actor: Actor, year: int) -> FiscalYear:
    """Make what books need: the chart of accounts, the VAT table and the calendar year with its series. Idempotent.

    A year that would leave a gap or overlap is refused (A6). Also run by the set-up command, so the page asks for the right.
    """
    accounts.start_chart(session)
    starts, ends = date(year, 1, 1), date(year, 12, 31)
    there = year_of(session, starts)
    if there is not None:
        return there
    first = session.scalar(sa.select(sa.func.min(FiscalYear.starts)))
    if first is None:
        return _begin_year(session, actor, starts, ends)
    if ends + timedelta(days=1) == first:
        return _begin_year(session, actor, starts, ends)
    if ends < first:
        raise Refusal(
            N_("Financial years follow each other without a gap. Open the year before %(day)s first."), day=first
        )
    return year_for_booking(session, actor, starts)


def _move_lock(session: Session, actor: Actor, through: date | None, reason: str, action: str) -> None:
    if not reason.strip():
        raise BadInput(N_("Write a reason."), field="reason")
    session.add(PeriodLock(locked_through=through, at=clock.now(), by=actor.name, reason=reason.strip()))
    session.flush()
    detail = {"through": through, "reason": reason.strip(), "heads": _heads(session)}
    audit.write(session, actor, action, "period_lock", detail)


def _heads(session: Session) -> dict[str, str]:
    """The last hash of every voucher series: who rewrites what is locked has to forge the log as well (A10)."""
    rows = session.execute(
        sa.select(NumberSeries.code, FiscalYear.starts, NumberSeries.head_hash)
        .join(FiscalYear, FiscalYear.id == NumberSeries.fiscal_year)
        .where(NumberSeries.code.startswith("V:"), NumberSeries.head_hash != "")
        .order_by(NumberSeries.code, FiscalYear.starts)
    )
    return {f"{code[2:]} {starts.isoformat()}": head for code, starts, head in rows}


def stop_booking(session: Session) -> None:
    """Wait for vouchers that are being written, and let none begin until this transaction is over."""
    session.execute(sa.select(FiscalYear.id).order_by(FiscalYear.id).with_for_update()).all()


def lock(session: Session, actor: Actor, through: date, reason: str) -> None:
    """Lock the books through a day; later bookings go to the first open day. Raises NotAllowed, BadInput.

    What may still wait there is asked by services/closing.py.
    """
    actor.require(Right.BOOKS)
    stop_booking(session)
    locked = locked_through(session)
    if through >= clock.today():
        raise BadInput(N_("The books can be locked through yesterday at the latest."), field="through")
    if locked is not None and through <= locked:
        raise BadInput(N_("The books are already locked through %(day)s."), field="through", day=locked)
    _move_lock(session, actor, through, reason, "period.lock")


def unlock(session: Session, actor: Actor, through: date | None, reason: str) -> None:
    """Open locked days again: the books stay locked through an earlier day, or not at all. Raises NotAllowed, BadInput."""
    actor.require(Right.BOOKS)
    stop_booking(session)
    locked = locked_through(session)
    if locked is None or (through is not None and through >= locked):
        raise BadInput(N_("That period is not locked."), field="through")
    _move_lock(session, actor, through, reason, "period.unlock")


def lock_history(session: Session) -> list[tuple[PeriodLock, bool]]:
    """Every lock and unlock, the newest first, each with whether it opened days that were locked."""
    found = list(session.scalars(sa.select(PeriodLock).order_by(PeriodLock.id.desc())))
    history, was = [], None
    for each in reversed(found):
        history.append((each, was is not None and (each.locked_through is None or each.locked_through < was)))
        was = each.locked_through
    return history[::-1]
