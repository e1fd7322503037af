"""What the company does whatever is ordered: takes in goods, reads settlements, looks at Klarna at night, locks a month.

What Klarna does by itself is here, too: withholding, a dispute, a row of a kind nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from random import Random

import sqlalchemy as sa

import clock
from db import reading, writing
from demo import catalogue
from demo.acts import Shop
from demo.past import Steps, Timeline
from models import Document, KlarnaAccount, KlarnaOp, Payout, PayoutRow, RowMatch
from services import janitor, periods, settlements
from states import DocKind, DocState, PayoutState, Pile

MONDAY, TUESDAY, WEDNESDAY, THURSDAY = range(4)
WITHHELD, RELEASED = 350_000, 150_000
"""What Klarna withholds and gives back later, minor units."""
UNKNOWN_TYPE = "LOYALTY_BONUS"
"""A type of settlement row that no description knows."""
_PORTAL = "Gjort i Klarnas portal; bokförs när underlaget har kommit"


def keep_house(shop: Shop, timeline: Timeline, opened: datetime) -> None:
    """Put the routines into the timeline; what would lie in the future is left to the present."""
    first, last = clock.local_date(opened), clock.local_date(shop.until)

    def add(day: date, hour: int, minute: int, act: Callable[[], None]) -> None:
        moment = datetime.combine(day, time(hour, minute), clock.LOCAL)
        if first < day and moment < shop.until:
            timeline.add(moment, _once(act))

    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    for day in (each for each in days if each.weekday() == MONDAY and (each - first).days % 21 < 7):
        add(day, 9, 30, lambda day=day: _receive(shop, (day - first).days))  # type: ignore[misc]
    fetches = [each for each in days if each.weekday() == THURSDAY and _is_past(shop, each)]
    for day in fetches:
        add(day, 6, 0, lambda: _fetch(shop))
        if day != fetches[-1]:
            add(day, 9, 20, lambda: _book(shop))
    if fetches:
        add(fetches[-1] - timedelta(days=30), 10, 0, lambda: _withhold(shop, holdback=WITHHELD))
        add(fetches[-1] - timedelta(days=9), 10, 0, lambda: _withhold(shop, release=RELEASED))
        add(fetches[-1] - timedelta(days=2), 11, 0, lambda: _surprise(shop))
    month_done = (first.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    add(month_done + timedelta(days=12), 15, 10, lambda: _lock(shop, month_done))
    add(last, 2, 30, lambda: _look_at_night(shop))
    add(last, 6, 0, lambda: _fetch(shop))


def _is_past(shop: Shop, day: date) -> bool:
    return datetime.combine(day, time(9, 30), clock.LOCAL) < shop.until


def _once(act: Callable[[], None]) -> Steps:
    act()
    yield from ()


def _receive(shop: Shop, seed: int) -> None:
    with writing() as session:
        rng = Random(seed)
        catalogue.receive(session, shop.clerk, rng, shop.warehouses[0], 5, 20, "Inleverans från leverantör")


def _look_at_night(shop: Shop) -> None:
    janitor.nightly(shop.klarna)


def _lock(shop: Shop, through: date) -> None:
    with writing() as session:
        periods.lock(session, shop.finance, through, "Månaden är avstämd")


# --- Settlements ----------------------------------------------------------------------------------------------------------


def _fetch(shop: Shop) -> None:
    """What the worker does every morning."""
    fetched = settlements.fetch_all(shop.klarna)
    if fetched.trouble or fetched.more:
        raise RuntimeError(f"the demo could not fetch all payouts: {fetched.trouble}")


def _book(shop: Shop) -> None:
    """Finance explains what was done in the portal, so that what it held up can be booked."""
    with writing() as session:
        faulty = session.scalars(
            sa.select(RowMatch.row_id)
            .join(PayoutRow, PayoutRow.id == RowMatch.row_id)
            .where(RowMatch.pile == Pile.FAULTY, PayoutRow.type.in_(("SALE", "RETURN")))
        ).all()
        for row_id in faulty:
            settlements.mark_handled(session, shop.finance, row_id, _PORTAL)
        ready = session.scalars(sa.select(Payout.id).where(Payout.state == PayoutState.READY).order_by(Payout.id)).all()
    for payout_id in ready:
        with writing() as session:
            settlements.book(session, shop.finance, payout_id)


def _store_id(shop: Shop) -> str:
    with reading() as session:
        return session.get_one(KlarnaAccount, shop.account_id).store_id


def _withhold(shop: Shop, *, holdback: int | None = None, release: int | None = None) -> None:
    """Klarna keeps a part of the next payout back, or gives it back."""
    shop.sandbox.next_payout(mid=_store_id(shop), holdback=holdback, release=release)


def _surprise(shop: Shop) -> None:
    """The next payout holds a row of a kind nobody knows, and takes an old sale back after a dispute."""
    shop.sandbox.next_payout(mid=_store_id(shop), rows=[{"type": UNKNOWN_TYPE, "amount": 4_900}])
    with reading() as session:
        oldest = session.scalar(
            sa.select(KlarnaOp.klarna_order_id)
            .join(Document, Document.issued_by_op_id == KlarnaOp.id)
            .where(
                Document.kind == DocKind.INVOICE,
                Document.state == DocState.ISSUED,
                Document.open_minor == 0,
                KlarnaOp.account_id == shop.account_id,
            )
            .order_by(Document.number.desc())
            .limit(1)
        )
    if oldest is not None:
        shop.sandbox.dispute(oldest, fee=15_000)
