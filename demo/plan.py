"""How many orders of the demo go which way, how long ago they were bought, and what was in the basket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import cycle
from random import Random

import clock
from demo import baskets, stories
from demo.baskets import Row
from demo.stories import Story

WHOLE = 120
"""Orders of the whole demo."""
_HOURS = (7, 8, 9, 10, 11, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 20, 21, 21, 22)
"""When people buy, local hours, the popular ones more often."""
_BUSINESS_EVERY = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A way an order can go: so many of ``WHOLE``, bought between so many days ago; rows enough for parts of it."""

    story: Story
    orders: int
    youngest: int
    oldest: int
    parts: bool = False


KINDS: Sequence[Kind] = (
    Kind(stories.captured, 32, 5, 58),
    Kind(stories.reserved, 14, 0, 6),
    Kind(stories.part_credited, 7, 14, 50, parts=True),
    Kind(stories.delivered, 7, 3, 7),
    Kind(stories.fully_credited, 5, 16, 52),
    Kind(stories.part_invoiced, 4, 6, 20, parts=True),
    Kind(stories.unanswered, 1, 4, 5),
    Kind(stories.refused_invoice, 1, 5, 9),
    Kind(stories.captured_in_portal, 2, 24, 26),
    Kind(stories.on_account, 7, 6, 50),
    Kind(stories.expiring, 3, 23, 26),
    Kind(stories.part_delivered, 3, 4, 12, parts=True),
    Kind(stories.refused_credit, 1, 12, 20, parts=True),
    Kind(stories.refunded_in_portal, 2, 16, 30),
    Kind(stories.under_review, 2, 0, 1),
    Kind(stories.exchanged, 2, 12, 40, parts=True),
    Kind(stories.not_sent, 1, 4, 6),
    Kind(stories.expired, 2, 34, 45),
    Kind(stories.cancelled, 2, 6, 30),
    Kind(stories.two_parcels, 6, 14, 55, parts=True),
    Kind(stories.credited_twice, 2, 24, 50, parts=True),
    Kind(stories.part_invoiced_then_delivered, 2, 10, 15, parts=True),
    Kind(stories.voided_invoice, 1, 20, 30),
    Kind(stories.retried_invoice, 1, 15, 40),
    Kind(stories.settled_by_asking, 1, 20, 45),
    Kind(stories.kept_credit, 1, 20, 45, parts=True),
    Kind(stories.credited_in_portal, 1, 16, 40),
    Kind(stories.exchange_reversed, 1, 20, 40, parts=True),
    Kind(stories.drafted, 1, 10, 20, parts=True),
    Kind(stories.turned_down, 1, 10, 20),
    Kind(stories.on_account_credited, 2, 20, 50, parts=True),
    Kind(stories.on_account_waiting, 2, 0, 4),
)
"""Every way, those that a small demo needs most first."""

_OF_BUSINESSES = frozenset(
    {stories.captured, stories.reserved, stories.delivered, stories.fully_credited, stories.part_invoiced,
     stories.on_account, stories.two_parcels, stories.expiring}
)  # fmt: skip
"""Ways that orders of businesses go; what is odd happens to people alone."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One order to be: its story, its moment, its basket, and chance of its own, so that no order disturbs another."""

    story: Story
    moment: datetime
    rng: Random
    basket: Callable[[Random], list[Row]]
    business: bool


def shares(orders: int) -> list[int]:
    """How many orders each kind gets: one as long as they last, the others in proportion."""
    counts = [1 if place < orders else 0 for place in range(len(KINDS))]
    left = orders - sum(counts)
    wanted = [kind.orders - 1 for kind in KINDS]
    for _ in range(left):
        place = max(range(len(KINDS)), key=lambda each: (wanted[each] * WHOLE - (counts[each] - 1) * orders, -each))
        counts[place] += 1
    return counts


def plan(orders: int, seed: int, until: datetime) -> list[Planned]:
    """So many orders, the same ones each time for a seed and a day."""
    made: list[Planned] = []
    flavours = cycle(baskets.FLAVOURS)
    kinds = [kind for kind, count in zip(KINDS, shares(orders), strict=True) for _ in range(count)]
    for place, kind in enumerate(kinds):
        rng = Random(f"{seed}:{place}")
        business = kind.story in _OF_BUSINESSES and place % _BUSINESS_EVERY == _BUSINESS_EVERY - 1
        basket = baskets.several if kind.parts or business else next(flavours)
        if business:
            basket = baskets.for_business
        made.append(Planned(kind.story, _bought(rng, kind, until), rng, basket, business))
    return made


def _bought(rng: Random, kind: Kind, until: datetime) -> datetime:
    day = clock.local_date(until) - timedelta(days=rng.randint(kind.youngest, kind.oldest))
    moment = datetime.combine(day, time(rng.choice(_HOURS), rng.randint(0, 59), rng.randint(0, 59)), clock.LOCAL)
    return min(moment, until - timedelta(minutes=rng.randint(75, 400)))
