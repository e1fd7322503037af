"""What the company does whatever is ordered: takes in goods, looks at Klarna at night, locks the month that is done."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from random import Random

import clock
from db import writing
from demo import catalogue
from demo.acts import Shop
from demo.past import Steps, Timeline
from services import janitor, periods

MONDAY, WEDNESDAY = 0, 2


def keep_house(shop: Shop, timeline: Timeline, opened: datetime) -> None:
    """Put the routines into the timeline."""
    first, last = clock.local_date(opened), clock.local_date(shop.until)
    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    for day in days:
        if day.weekday() == MONDAY and (day - first).days % 21 < 7:
            timeline.add(_at(day, 9, 30), _lorry(shop, (day - first).days))
    _add(timeline, shop, _at(last, 2, 30), _nightly(shop))
    month_done = (first.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    _add(timeline, shop, _at(month_done + timedelta(days=12), 15, 10), _lock(shop, month_done))


def _at(day: date, hour: int, minute: int) -> datetime:
    return datetime.combine(day, time(hour, minute), clock.LOCAL)


def _add(timeline: Timeline, shop: Shop, moment: datetime, steps: Steps) -> None:
    """What would lie in the future is left to the present."""
    if moment < shop.until:
        timeline.add(moment, steps)


def _lorry(shop: Shop, seed: int) -> Steps:
    with writing() as session:
        rng = Random(seed)
        catalogue.receive(session, shop.clerk, rng, shop.warehouses[0], 5, 20, "Inleverans från leverantör")
    yield from ()


def _nightly(shop: Shop) -> Steps:
    janitor.nightly(shop.klarna)
    yield from ()


def _lock(shop: Shop, through: date) -> Steps:
    with writing() as session:
        periods.lock(session, shop.finance, through, "Månaden är avstämd")
    yield from ()
