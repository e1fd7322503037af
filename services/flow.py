"""The month's flow: what was reserved, activated, paid out and credited, day by day or week by week. Pure reading.

Amounts are minor units. Activated and credited are sums per day that triggers keep (KlarnaDay); reserved is what Klarna had
authorised of the orders of a day, paid out what Klarna states of its payouts. Source: accounting reference 5, "month end"; B9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import KlarnaDay, Order, Payout
from states import PayoutState

STEPS = ("day", "week")


@dataclass(frozen=True, slots=True)
class Span:
    """A day, or the part of a week that lies in the month; minor units."""

    starts: date
    ends: date
    reserved_minor: int = 0
    activated_minor: int = 0
    paid_minor: int = 0
    credited_minor: int = 0


def last_of(first: date) -> date:
    """The last day of the month that begins on this day."""
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def month(session: Session, first: date, step: str = "day", currency: str = "SEK") -> list[Span]:
    """The spans of the month that begins on ``first``, the oldest first."""
    days = [first + timedelta(days=n) for n in range((last_of(first) - first).days + 1)]
    key: Callable[[date], date] = _monday if step == "week" else lambda day: day
    sums: dict[date, list[int]] = {key(day): [0, 0, 0, 0] for day in days}
    ends: dict[date, date] = {key(day): day for day in days}
    starts: dict[date, date] = {key(day): day for day in reversed(days)}
    for day, minor in _reserved(session, days, currency):
        sums[key(day)][0] += minor
    for day, activated, credited in session.execute(
        sa.select(KlarnaDay.day, KlarnaDay.activated_minor, KlarnaDay.credited_minor).where(
            KlarnaDay.day >= days[0], KlarnaDay.day <= days[-1], KlarnaDay.currency == currency
        )
    ):
        sums[key(day)][1] += activated
        sums[key(day)][3] += credited
    paid = sa.select(Payout.payout_date, Payout.settlement_minor).where(
        Payout.payout_date >= _midnight(days[0]),
        Payout.payout_date < _midnight(days[-1] + timedelta(days=1)),
        Payout.currency == currency,
        Payout.state != PayoutState.LOADING,
    )
    for at, minor in session.execute(paid):
        sums[key(clock.local_date(at))][2] += minor
    return [Span(starts[each], ends[each], *four) for each, four in sums.items()]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), clock.LOCAL)


def _reserved(session: Session, days: Sequence[date], currency: str) -> Sequence[tuple[date, int]]:
    """What Klarna had authorised of each day's orders, summed by the database: a month may have a hundred thousand of them."""
    place = sa.case(*((Order.ordered_at < _midnight(day + timedelta(days=1)), n) for n, day in enumerate(days)))
    rows = session.execute(
        sa.select(place.label("place"), sa.func.sum(Order.authorized_minor))
        .where(
            Order.ordered_at >= _midnight(days[0]),
            Order.ordered_at < _midnight(days[-1] + timedelta(days=1)),
            Order.klarna_order_id.is_not(None),
            Order.currency == currency,
        )
        .group_by(place)
    )
    return [(days[row[0]], int(row[1] or 0)) for row in rows]


def currencies(session: Session) -> list[str]:
    """The currencies in which anything has moved, the krona first."""
    found = set(session.scalars(sa.select(KlarnaDay.currency).distinct())) | set(
        session.scalars(sa.select(Payout.currency).distinct())
    )
    return ["SEK", *sorted(found - {"SEK"})]
