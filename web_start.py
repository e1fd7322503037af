"""What the start page shows beside its work lists: where each leads, the figures and the two charts (B9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import url_for
from sqlalchemy.orm import Session

import clock
import web_charts
from errors import N_
from services import owed
from services.owed import Age, Week
from services.worklists import Item, WorkList
from web import gettext
from web_documents import linked
from web_words import day, money, ngettext, since

MORE: dict[str, tuple[str, dict[str, Any]]] = {
    "review": ("orders.index", {"view": "waiting"}),
    "unknown": ("orders.index", {"view": "waiting"}),
    "not_sent": ("orders.index", {"view": "waiting"}),
    "refused": ("invoices.index", {"view": "refused"}),
    "breaks": ("agreement.index", {}),
    "held": ("orders.index", {"view": "held"}),
    "incoming": ("incoming.index", {}),
    "rows": ("settlements.index", {"faulty": 1, "warning": 1}),
    "returns": ("owed.index", {"list": "returns"}),
    "to_invoice": ("orders.index", {"view": "not_invoiced"}),
    "expiring": ("orders.index", {"view": "expiring"}),
    "notes": ("owed.index", {"list": "notes", "late": 1}),
    "approvals": ("credit_notes.index", {"view": "approval"}),
    "unpaid": ("owed.index", {"list": "unpaid", "late": 1}),
    "mails": ("mails.index", {}),
}
"""The list behind each card."""
BESIDE: dict[str, str] = {
    "to_invoice": N_(
        "The list also shows orders without Klarna, orders with nothing left to claim, and those whose invoice was refused."
    ),
}
"""What the list behind a card holds that the card does not count."""


EXPIRES = frozenset({"expiring", "to_invoice"})
AGED = frozenset({"notes", "unpaid"})


def when_head(name: str) -> str:
    """What stands above the days of a card."""
    return gettext(N_("Expires") if name in EXPIRES else N_("Age") if name in AGED else N_("When"))


def when(name: str, item: Item) -> str:
    """When a row of a card happened, is due, or how long it has waited."""
    if item.unlinked:
        return gettext(N_("No reservation"))
    if name in EXPIRES:
        return since(item.at)
    if name in AGED and item.day is not None:
        days = (clock.today() - item.day).days
        return ngettext("%(days)s day", "%(days)s days", days) % {"days": days}
    return day(item.at)


@dataclass(frozen=True, slots=True)
class Figures:
    """What Klarna owes per currency, what it withholds, and the figures of the charts; amounts in minor units."""

    owed: dict[str, int]
    withheld: int
    weeks: Sequence[Week]
    ages: Sequence[Age]


def look(session: Session) -> Figures:
    """The figures as they are now."""
    return Figures(
        owed.klarna_owes(session) or {"SEK": 0}, owed.withheld(session), owed.weeks(session), owed.ages(session)
    )


def more(found: WorkList) -> str | None:
    """Where the whole of a work list stands; None where it has no list of its own.

    Rows that all stand in one payout stand there, in the pile of the first; only those of several lead to the list of readings.
    """
    if found.only_payout is not None:
        return linked("settlements.show", payout_id=found.only_payout, pile=found.items[0].state)
    endpoint, values = MORE.get(found.name, ("", {}))
    return linked(endpoint, **values) if endpoint else None


def beside(name: str) -> str | None:
    """What the list behind a card holds beside what the card counts; None where both are the same."""
    return gettext(BESIDE[name]) if name in BESIDE else None


def charts(figures: Figures) -> dict[str, Any]:
    """Both charts with their tables; None for one that has nothing to show yet."""
    weeks = figures.weeks
    has_weeks = any(week.activated_minor or week.paid_minor for week in weeks)
    has_ages = any(age.count for age in figures.ages)
    return {
        "weeks": web_charts.columns([(str(week.starts.isocalendar().week), _of_week(week)) for week in weeks])
        if has_weeks
        else None,
        "week_rows": [{"name": _week(week), "week": week} for week in reversed(weeks)],
        "ages": web_charts.columns([(_days(age), [(age.minor, "a", _of_age(age))]) for age in figures.ages])
        if has_ages
        else None,
        "age_rows": [{"name": _days(age), "age": age} for age in figures.ages],
        "unpaid_url": url_for("invoices.index", view="open", sort="date"),
    }


def _week(week: Week) -> str:
    return gettext(N_("Week %(week)s, from %(day)s"), week=week.starts.isocalendar().week, day=day(week.starts))


def _of_week(week: Week) -> list[tuple[int, str, str]]:
    name = _week(week)
    activated = gettext(N_("%(week)s: activated %(amount)s"), week=name, amount=money(week.activated_minor))
    paid = gettext(N_("%(week)s: paid out %(amount)s"), week=name, amount=money(week.paid_minor))
    return [(week.activated_minor, "a", activated), (week.paid_minor, "b", paid)]


def _days(age: Age) -> str:
    if age.most is None:
        return gettext(N_("over %(days)s days"), days=age.least - 1)
    return gettext(N_("%(least)s–%(most)s days"), least=age.least, most=age.most)


def _of_age(age: Age) -> str:
    count = ngettext("%(count)s invoice", "%(count)s invoices", age.count) % {"count": age.count}
    return f"{_days(age)}: {count}, {money(age.minor)}"
