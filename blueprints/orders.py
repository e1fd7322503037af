"""Orders: the list with its filters and file, the order's page, and reading Klarna anew."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, make_response, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

import clock
import money
from db import reading
from errors import N_, Refusal
from rights import Right
from services import order_list, order_page, reservations
from services.klarna_panel import Difference
from services.order_list import SIZES, SORTS, VIEWS, Filters
from services.order_page import OrderPage
from web import capped, done, fragment, gateway, gettext, needs, page, query_choice, query_text, say, why_not
from web_documents import reason
from web_words import moment

blueprint = Blueprint("orders", __name__)

VIEW_NAMES = {
    "all": N_("All"),
    "to_deliver": N_("To deliver"),
    "not_invoiced": N_("Delivered, not invoiced"),
    "partly_invoiced": N_("Partly invoiced"),
    "expiring": N_("Expires within 7 days"),
    "waiting": N_("Waiting for Klarna"),
    "refused": N_("Refused by Klarna"),
}
DELIVERED = {"none": N_("Not delivered"), "part": N_("Partly delivered"), "all": N_("Delivered")}
INVOICED = {"none": N_("Not invoiced"), "part": N_("Partly invoiced"), "all": N_("Invoiced")}
_HEADS = (
    N_("Order"),
    N_("Shop's order number"),
    N_("Date"),
    N_("Customer"),
    N_("Total"),
    N_("Currency"),
    N_("Delivered"),
    N_("Invoiced"),
    N_("Reservation"),
)
_SORT_CHOICES = tuple(f"{sign}{name}" for name in SORTS for sign in ("-", ""))
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula when a cell begins with it (catalogue 60)."""


def _filters() -> Filters:
    sort = query_choice("sort", _SORT_CHOICES, _SORT_CHOICES[0])
    return Filters(
        view=query_choice("view", VIEWS, VIEWS[0]),
        search=query_text("q"),
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
    )


def _size() -> int:
    return int(query_choice("rows", [str(size) for size in SIZES], str(SIZES[0])))


def _address(filters: Filters, **changes: str | int | None) -> str:
    """The list's address with these filters; what is as it is from the start is left out."""
    given: dict[str, Any] = {
        "view": filters.view if filters.view != VIEWS[0] else None,
        "q": filters.search or None,
        "sort": f"{'-' if filters.descending else ''}{filters.sort}",
        "rows": _size(),
    }
    given |= changes
    given["sort"] = None if given["sort"] == _SORT_CHOICES[0] else given["sort"]
    given["rows"] = None if given["rows"] == SIZES[0] else given["rows"]
    return url_for("orders.index", **given)


def _sorting(filters: Filters) -> dict[str, dict[str, str | None]]:
    """For each column that sorts: where its head leads and how it is sorted now."""
    heads: dict[str, dict[str, str | None]] = {}
    for name in SORTS:
        active = filters.sort == name
        turned = name if active and filters.descending else f"-{name}"
        direction = ("desc" if filters.descending else "asc") if active else None
        heads[name] = {"url": _address(filters, sort=turned), "direction": direction}
    return heads


@blueprint.get("/orders")
@needs(Right.READ)
def index() -> Response:
    """The order list; filter, search, sorting and page are in the address."""
    filters = _filters()
    with reading() as looked:
        shown = order_list.listing(looked, filters, request.args.get("after"), _size())
        counts = order_list.counts(looked, filters)
    views = [
        {
            "label": gettext(VIEW_NAMES[view]),
            "url": _address(filters, view=view),
            "count": capped(counts[view]),
            "active": view == filters.view,
        }
        for view in VIEWS
    ]
    return page(
        "orders/index.html",
        panel="orders/_table.html",
        filters=filters,
        rows=shown.rows,
        views=views,
        heads=_sorting(filters),
        newer=_address(filters, after=shown.newer) if shown.newer else None,
        older=_address(filters, after=shown.older) if shown.older else None,
        sizes=[{"label": size, "url": _address(filters, rows=size), "active": size == _size()} for size in SIZES],
        file_url=url_for("orders.export", view=filters.view, q=filters.search or None, sort=request.args.get("sort")),
        today=clock.today(),
        delivered={name: gettext(word) for name, word in DELIVERED.items()},
        invoiced={name: gettext(word) for name, word in INVOICED.items()},
    )


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_DANGEROUS) else text


@blueprint.get("/orders.csv")
@needs(Right.READ)
def export() -> Response:
    """The list as a file for a spreadsheet: semicolons, UTF-8 with its mark, at most 10,000 rows, and then it says so."""
    with reading() as looked:
        rows, whole = order_list.export(looked, _filters())
    file = io.StringIO()
    sheet = csv.writer(file, delimiter=";", lineterminator="\r\n")
    sheet.writerow(gettext(head) for head in _HEADS)
    for row in rows:
        begins = row.shop_number or "", moment(row.ordered_at), row.customer
        ends = (
            row.currency,
            gettext(DELIVERED[row.delivered]),
            gettext(INVOICED[row.invoiced]),
            row.klarna_reference or "",
        )
        sheet.writerow([row.number, *map(_cell, begins), money.plain(row.total_minor), *map(_cell, ends)])
    if not whole:
        sheet.writerow([_("Only the first %(most)s orders are in the file.", most=order_list.EXPORT_CAP)])
    answer = make_response("\ufeff" + file.getvalue())
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = 'attachment; filename="orders.csv"'
    return answer


@blueprint.get("/orders/<int:order_id>")
@needs(Right.READ)
def show(order_id: int) -> Response:
    """The order's page; for htmx its Klarna panel, with the rest of the page once nothing is open any more."""
    return page("orders/show.html", panel="orders/_panel.html", **_shown(order_id))


def _shown(order_id: int) -> dict[str, Any]:
    with reading() as looked:
        order = order_page.overview(looked, order_id)
    return {
        "reason": reason,
        "order": order,
        "reservation": order.panel,
        "today": clock.today(),
        "delivered_word": gettext(DELIVERED[order.delivered]),
        "invoiced_word": gettext(INVOICED[order.invoiced]),
        "no_delivery": _why_off(order.no_delivery),
        "no_invoice": _why_off(order.no_invoice),
        "differences": [say(Refusal(each.message, **each.values)) for each in _differences(order)],
        "waiting": say(order.panel.open_operation) if order.panel and order.panel.open_operation else None,
        "expired": say(order.panel.expired) if order.panel and order.panel.expired else None,
    }


def _differences(order: OrderPage) -> Sequence[Difference]:
    return order.panel.differences if order.panel else ()


def _why_off(reason: Refusal | None) -> str | None:
    """Why a button is off: the role first, then the rule (B31)."""
    return why_not(Right.WORK) or (say(reason) if reason else None)


@blueprint.post("/orders/<int:order_id>/look")
@needs(Right.WORK)
def look(order_id: int) -> Response:
    """Read the reservation at Klarna anew and compare. Nothing is changed there (F14, operations 13)."""
    reservations.look_at(gateway(), order_id)
    return done(
        url_for("orders.show", order_id=order_id),
        panel=lambda: fragment("orders/_panel.html", **_shown(order_id)),
        events=("order-changed",),
    )
