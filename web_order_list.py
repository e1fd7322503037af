"""The order list as a page and as a file (B17, F4): what the address says, the words of the filters, what the template shows."""

from __future__ import annotations

from collections.abc import Iterable

from flask import request, url_for
from werkzeug.wrappers import Response

import clock
import money
import web_lists
from db import reading
from errors import N_, BadInput
from rights import Right
from services import order_list
from services.order_list import GROUPS, SIZES, SORTS, VIEWS, Filters
from web import gettext, page, query_choice, query_text, why_not
from web_documents import sheet
from web_words import moment

HELD = N_("Stopped by Klarna")
VIEW_NAMES = {
    "all": N_("All"),
    "to_deliver": N_("To deliver"),
    "back_orders": N_("Back orders"),
    "not_invoiced": N_("Delivered, not invoiced"),
    "partly_invoiced": N_("Partly invoiced"),
    "expiring": N_("Expires within 7 days"),
    "held": HELD,
    "waiting": N_("Waiting for Klarna"),
    "refused": N_("Refused by Klarna"),
    "cancelled": N_("Cancelled"),
    "icon-reserved": N_("Reserved"),
    "icon-partly": N_("Partly activated"),
    "icon-captured": N_("Activated"),
    "icon-credited": N_("Credited"),
    "icon-refused": N_("Refused"),
    "icon-unknown": N_("Answer unknown"),
    "icon-cancelled": N_("Cancelled or expired"),
    "from-hand": N_("By hand"),
    "from-klarna": N_("Klarna"),
    "from-csv": N_("File"),
    "from-api": N_("Interface"),
}
GROUP_NAMES = {"work": N_("Filter"), "klarna": N_("At Klarna"), "source": N_("Came in by")}
DELIVERED = {"none": N_("Not delivered"), "part": N_("Partly delivered"), "all": N_("Delivered")}
INVOICED = {"none": N_("Not invoiced"), "part": N_("Partly invoiced"), "all": N_("Invoiced")}
HEADS = (
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
UPWARDS = frozenset({"customer", "expires"})
MOST_CHOSEN = 100
STANDARD = {"view": VIEWS[0], "sort": "-number", "rows": SIZES[0]}


def filters() -> Filters:
    """What the address asks of the list; nonsense is how the list opens (catalogue 19). Orders that expire: the first first."""
    view = query_choice("view", VIEWS, VIEWS[0])
    sort, descending = web_lists.sort_of(SORTS, standard_sort(view))
    return Filters(view=view, search=query_text("q"), sort=sort, descending=descending)


def standard_sort(view: str) -> str:
    """How a filter is sorted from the start."""
    return "expires" if view == "expiring" else "-number"


def _address(wanted: Filters, size: int) -> web_lists.Address:
    given = {
        "view": wanted.view,
        "q": wanted.search,
        "sort": f"{'-' if wanted.descending else ''}{wanted.sort}",
        "rows": size,
    }
    return web_lists.address("orders.index", given, STANDARD | {"sort": standard_sort(wanted.view)})


def answer() -> Response:
    """A page of the list; filter, search, sorting and page are in the address."""
    wanted, size = filters(), web_lists.size_of(SIZES)
    with reading() as looked:
        shown = order_list.listing(looked, wanted, request.args.get("after"), size)
        counts = order_list.counts(looked, wanted)
        whole = order_list.is_whole(looked, wanted)
    here = _address(wanted, size)
    # Another filter begins in its own order.
    elsewhere = web_lists.Address(here.path, {**here.given, "sort": None}, here.standard)
    groups = [
        {
            "name": name,
            "label": gettext(GROUP_NAMES[name]),
            "views": web_lists.choices(elsewhere, views, VIEW_NAMES, wanted.view, counts),
            "active": wanted.view in views,
        }
        for name, views in GROUPS.items()
    ]
    return page(
        "orders/index.html",
        panel="orders/_table.html",
        filters=wanted,
        rows=shown.rows,
        drawn_rows=web_lists.drawn("orders/_listed.html", shown.rows, today=clock.today(), role=why_not(Right.WORK)),
        groups=groups,
        heads=web_lists.heads(here, SORTS, order_list.sorting(wanted), wanted.descending, UPWARDS),
        newer=here.to(after=shown.newer) if shown.newer else None,
        older=here.to(after=shown.older) if shown.older else None,
        sizes=web_lists.sizes_of(here, SIZES, size),
        whole=whole,
        file_url=url_for(
            "orders.export", view=wanted.view, q=wanted.search or None, sort=request.args.get("sort") or None
        ),
    )


def _chosen() -> list[int]:
    """The orders that are ticked, at most as many as a page shows."""
    given = request.args.getlist("selected")[:MOST_CHOSEN]
    return [int(each) for each in given if each.isascii() and each.isdigit() and len(each) <= 15]


def _file_row(row: order_list.Row) -> list[str]:
    return [
        str(row.number),
        row.shop_number or "",
        moment(row.ordered_at),
        row.customer,
        money.plain(row.total_minor),
        row.currency,
        gettext(DELIVERED[row.delivered]),
        gettext(INVOICED[row.invoiced]),
        row.klarna_reference or "",
    ]


def file() -> Response:
    """The list as a file, or the orders that are ticked; one that holds not all of it says so (catalogue 60)."""
    chosen = _chosen()
    if "ticked" in request.args and not chosen:
        raise BadInput(N_("Tick the orders first: the boxes are at the left in the list."), field="selected")
    with reading() as looked:
        rows: Iterable[order_list.Row]
        rows, whole = (order_list.chosen(looked, chosen), True) if chosen else order_list.export(looked, filters())
        note = gettext(N_("Only the first %(most)s orders are in the file."), most=order_list.EXPORT_CAP)
        return sheet("orders.csv", HEADS, map(_file_row, rows), "" if whole else note)
