"""The month's flow on one page: reserved, activated, paid out, credited, drawn and as figures."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

import clock
import web_flow
from db import reading
from errors import N_
from rights import Right
from services import flow
from web import needs, page, query_choice, query_text
from web_words import gettext as _

blueprint = Blueprint("flow", __name__)

STEP_NAMES = {"day": N_("Per day"), "week": N_("Per week")}
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])").fullmatch


def _month() -> date:
    """The first day of the month in the address; of this one where it says nothing that can be read."""
    found = _MONTH(query_text("month", 7))
    return date(int(found[1]), int(found[2]), 1) if found else clock.today().replace(day=1)


@blueprint.get("/settlements/flow")
@needs(Right.READ)
def index() -> Response:
    """A month, by days or by weeks."""
    first, step = _month(), query_choice("by", flow.STEPS, "day")
    with reading() as looked:
        currencies = flow.currencies(looked)
        currency = query_choice("currency", currencies, "SEK")
        spans = flow.month(looked, first, step, currency)

    def address(**changes: Any) -> str:
        given = {"month": f"{first:%Y-%m}", "by": step, "currency": currency if currency != "SEK" else None}
        return url_for("flow.index", **(given | changes))

    after = flow.last_of(first) + timedelta(days=1)
    fields = [name for name, _word, _tone in web_flow.SERIES]
    return page(
        "settlements/flow.html",
        first=first,
        step=step,
        currency=currency,
        chart=web_flow.drawing(spans, step, currency),
        series=[(name, _(word)) for name, word, _tone in web_flow.SERIES],
        rows=[(web_flow.span_name(span, step), [getattr(span, name) for name in fields]) for span in spans],
        totals={name: sum(getattr(span, name) for span in spans) for name in fields},
        steps=[
            {"label": _(word), "url": address(by=each), "active": each == step} for each, word in STEP_NAMES.items()
        ],
        currencies=[{"label": each, "url": address(currency=each), "active": each == currency} for each in currencies]
        if len(currencies) > 1
        else [],
        before=address(month=f"{first - timedelta(days=1):%Y-%m}"),
        after=address(month=f"{after:%Y-%m}") if after <= clock.today() else None,
    )
