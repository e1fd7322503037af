"""The ways an order comes in, as tabs over the pages that let it in."""

from __future__ import annotations

from typing import Any

from flask import url_for

from db import reading
from errors import N_
from rights import Right
from services import pushes
from web import capped, may
from web_words import gettext

WAYS = (
    ("new_orders.new", N_("Type it in")),
    ("incoming.from_klarna", N_("From Klarna")),
    ("order_files.index", N_("From a file")),
)
WAITING = "incoming.index"


def tabs(active: str) -> list[dict[str, Any]]:
    """The tabs this person may open, with how many purchases wait for a person."""
    with reading() as looked:
        waiting = pushes.count_waiting(looked)
    ways = WAYS if may(Right.WORK) else ()
    made: list[dict[str, Any]] = [
        {"label": gettext(name), "url": url_for(endpoint), "active": endpoint == active} for endpoint, name in ways
    ]
    wait = {"label": gettext(N_("Waits for a person")), "url": url_for(WAITING), "active": active == WAITING}
    return [*made, {**wait, "count": capped(waiting)}]
