"""Orders: the list with its filters and file, the order's page, and reading Klarna anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

import clock
import web_order_list
import web_reservation
from db import reading
from errors import Refusal
from rights import Right
from services import agreement, authorizations, order_page, reservations
from web import actor, done, fragment, gateway, gettext, is_htmx, needs, page, say, why_not
from web_agreement import shown
from web_documents import reason
from web_order_list import DELIVERED, INVOICED

blueprint = Blueprint("orders", __name__)

FRESH = timedelta(minutes=1)
"""A reading this young is shown as it is when the page opens; an older one is renewed."""


@blueprint.get("/orders")
@needs(Right.READ)
def index() -> Response:
    """The order list; filter, search, sorting and page are in the address."""
    return web_order_list.answer()


@blueprint.get("/orders.csv")
@needs(Right.READ)
def export() -> Response:
    """The list as a file for a spreadsheet, or the orders of it that are ticked."""
    return web_order_list.file()


@blueprint.get("/orders/<int:order_id>")
@needs(Right.READ)
def show(order_id: int) -> Response:
    """The order's page; for htmx its Klarna panel, with the rest of the page once nothing is open any more.

    A reading older than a minute is renewed and compared when the page opens (operations 13).
    """
    unread = ""
    with reading() as looked:
        stale = not is_htmx() and agreement.read_before(looked, order_id, clock.now() - FRESH)
    if stale:
        try:
            reservations.look_at(gateway(), order_id)
        except Refusal as no:
            unread = say(no)
    return page("orders/show.html", panel="orders/_panel.html", **_shown(order_id), unread=unread)


def _shown(order_id: int) -> dict[str, Any]:
    with reading(by_key=True) as looked:
        order = order_page.overview(looked, order_id)
        acts = web_reservation.shown(looked, order_id)
    return {
        **acts,
        "reason": reason,
        "order": order,
        "reservation": order.panel,
        "today": clock.today(),
        "delivered_word": gettext(DELIVERED[order.delivered]),
        "invoiced_word": gettext(INVOICED[order.invoiced]),
        "no_delivery": _why_off(order.no_delivery),
        "no_invoice": _why_off(order.no_invoice),
        "no_reservation": _why_off(order.no_reservation),
        "notices": [say(each) for each in order.notices],
        "differences": shown(order.panel.differences) if order.panel else [],
        "held": say(order.panel.held) if order.panel and order.panel.held else None,
        "waiting": say(order.panel.open_operation) if order.panel and order.panel.open_operation else None,
        "expired": say(order.panel.expired) if order.panel and order.panel.expired else None,
    }


def _why_off(reason: Refusal | None) -> str | None:
    """Why a button is off: the role first, then the rule (B31)."""
    return why_not(Right.WORK) or (say(reason) if reason else None)


@blueprint.post("/orders/<int:order_id>/look")
@needs(Right.WORK)
def look(order_id: int) -> Response:
    """Read the reservation at Klarna anew and compare. Nothing is changed there (F14, operations 13)."""
    authorizations.refresh(gateway(), actor(), order_id)
    return done(
        url_for("orders.show", order_id=order_id),
        panel=lambda: fragment("orders/_panel.html", **_shown(order_id)),
        events=("order-changed",),
    )
