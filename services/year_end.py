"""The result of a finished financial year, carried to equity by a voucher of its own: 8999 against 2099.

Cost and income accounts begin at 0 each year; without this voucher the balance sheet would open a year that does not add up.
Amounts are minor units, a profit is positive. Source: accounting reference 9 (the opening balances sum to 0); A2, A8.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, NotFound, Refusal
from models import Account, FiscalYear, Posting, Voucher
from rights import Actor, Right
from services import accounts, audit, ledger, periods

RESULT_ACCOUNT = 8999
EQUITY_ACCOUNT = 2099


@dataclass(frozen=True, slots=True)
class Left:
    """A financial year and what of its result is not carried yet."""

    year: FiscalYear
    result_minor: int


def result_of(session: Session, year: FiscalYear) -> int:
    """The result of a year as far as it is not carried: its cost and income accounts, the carrying voucher among them."""
    total = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .join(Account, Account.number == Posting.account)
        .where(Voucher.fiscal_year_id == year.id, Account.kind.in_(("K", "I")))
    )
    return -int(total or 0)


def left(session: Session, *, before: date | None = None) -> list[Left]:
    """The finished years, the oldest first, of whose result something is not carried yet."""
    ended = before or clock.today()
    years = session.scalars(sa.select(FiscalYear).where(FiscalYear.ends < ended).order_by(FiscalYear.starts)).all()
    told = [Left(year, result_of(session, year)) for year in years]
    return [each for each in told if each.result_minor]


def not_carried(session: Session, *, before: date) -> Left | None:
    """The first of those years before a day; None where all opening balances add up."""
    return next(iter(left(session, before=before)), None)


def carry(session: Session, actor: Actor, year_id: int) -> Voucher:
    """Book the result of a finished year to equity on its last day. Raises NotAllowed, NotFound, Refusal.

    What is booked in the year after that is carried by another voucher; nothing is carried twice.
    """
    actor.require(Right.BOOKS)
    periods.stop_booking(session)
    year = session.get(FiscalYear, year_id)
    if year is None:
        raise NotFound
    if year.ends >= clock.today():
        raise Refusal(N_("The financial year is not over yet."))
    if periods.first_open_day(session, year.ends) != year.ends:
        raise Refusal(N_("%(day)s is locked. Open it first."), day=year.ends, link=("closing.index", {}))
    result = result_of(session, year)
    if result == 0:
        raise Refusal(N_("The result of the year has been carried to equity already."))
    accounts.start_chart(session)
    times = session.scalar(
        sa.select(sa.func.count()).where(Voucher.source.startswith(f"result:{year.starts}:", autoescape=True))
    )
    made = ledger.post(
        session,
        actor,
        series="K",
        day=year.ends,
        text=f"Årets resultat {year.starts} - {year.ends}",
        source=f"result:{year.starts}:{(times or 0) + 1}",
        entries=[ledger.Entry(RESULT_ACCOUNT, result), ledger.Entry(EQUITY_ACCOUNT, -result)],
    )
    audit.write(session, actor, "fiscal_year.carry", f"fiscal_year:{year.id}", {"result": result, "voucher": made.id})
    return made
