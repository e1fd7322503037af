"""When the next payout of a Klarna account is expected: from how the past ones came and how old what they paid was (K50)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Payout, PayoutRow
from states import PayoutState

USUAL_DAYS = 7
"""Days between payouts where no two have come yet."""
DAYS_FROM, LAGS_FROM = 8, 4
"""Past payouts that their rhythm is read from, and that their lag is: of those every row is looked at."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How an account's payouts come: the days of the past ones, and by how many days they lag behind what they pay."""

    days: Sequence[date] = ()
    lag: int = 0

    def next_payout(self, after: date, today: date) -> date:
        """The day a payout that covers ``after`` is expected: the rhythm goes on, never before today. Pure."""
        days = sorted(set(self.days))[-7:]
        gaps = sorted((later - earlier).days for earlier, later in pairwise(days))
        step = gaps[len(gaps) // 2] if gaps else USUAL_DAYS
        begin = days[-1] if days else after
        earliest = max(after + timedelta(days=max(self.lag, 1)), today)
        steps = max(1, -((begin - earliest).days // step)) if earliest > begin else 1
        return begin + timedelta(days=step * steps)


def of(session: Session, account_id: int, currency: str) -> Rhythm:
    """The rhythm of the booked payouts of an account. Their lag is the least that one had: in a quiet week it seems longer."""
    past = session.execute(
        sa.select(Payout.id, Payout.payout_date)
        .where(Payout.account_id == account_id, Payout.currency == currency, Payout.state == PayoutState.BOOKED)
        .order_by(Payout.payout_date.desc())
        .limit(DAYS_FROM)
    ).all()
    youngest = (
        sa.select(PayoutRow.payout_id, sa.func.max(PayoutRow.happened_at))
        .where(PayoutRow.payout_id.in_([each.id for each in past[:LAGS_FROM]]), PayoutRow.type.in_(("SALE", "RETURN")))
        .group_by(PayoutRow.payout_id)
    )
    paid = {each.id: clock.local_date(each.payout_date) for each in past}
    lags = [(paid[payout_id] - clock.local_date(at)).days for payout_id, at in session.execute(youngest) if at]
    return Rhythm(tuple(paid.values()), max(min(lags, default=0), 0))
