"""How money's way is drawn: a payout from gross to net, and a month from reserved to credited, each with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import web_charts
from errors import N_
from services.flow import Span
from services.settlement_page import STEP_NAMES, Reading
from web import gettext
from web_words import amount, day, money

SERIES = (
    ("reserved_minor", N_("Amount reserved"), "b"),
    ("activated_minor", N_("Amount activated"), "a"),
    ("paid_minor", N_("Paid out"), "sum"),
    ("credited_minor", N_("Credited"), "b"),
)
"""The rows of the month's drawing, in the order of an order's life: field, name and tone."""


def way(found: Reading) -> dict[str, Any]:
    """A payout's way from gross to net: the drawing, and per step its name, its amount and what is left after it."""
    names = [gettext(STEP_NAMES[step.name]) for step in found.steps]
    tones = {"settlement": "sum", "difference": "sum"}
    steps = [
        (
            name,
            step.starts_minor,
            step.ends_minor,
            tones.get(step.name, "b" if step.amount_minor < 0 else "a"),
            amount(step.amount_minor),
        )
        for name, step in zip(names, found.steps, strict=True)
    ]
    rows = [{"name": name, "step": step} for name, step in zip(names, found.steps, strict=True)]
    return {"chart": web_charts.waterfall(steps), "rows": rows}


def span_name(span: Span, step: str) -> str:
    """What a day or a week is called in the table."""
    if step == "day":
        return day(span.starts)
    week = span.starts.isocalendar().week
    return gettext(N_("Week %(week)s, from %(day)s"), week=week, day=day(span.starts))


def drawing(spans: Sequence[Span], step: str, currency: str) -> web_charts.Bands | None:
    """The month's drawing; None when nothing has moved."""
    if not any(getattr(span, name) for span in spans for name, _, _ in SERIES):
        return None
    below = [str(span.starts.isocalendar().week if step == "week" else span.starts.day) for span in spans]
    rows = []
    for name, word, tone in SERIES:
        said = gettext(word)
        rows.append(
            (
                said,
                tone,
                [
                    (getattr(span, name), f"{span_name(span, step)}: {said} {money(getattr(span, name), currency)}")
                    for span in spans
                ],
            )
        )
    return web_charts.bands(below, rows)
