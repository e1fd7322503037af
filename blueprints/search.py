"""The one search box: a key leads straight to its thing, anything else to a short list (B12, B13)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

from db import reading
from errors import N_
from rights import Right
from services import search
from services.search import Hit, Hits
from states import DocKind
from web import actor, gettext, needs, page, query_text
from web_access import go_to

blueprint = Blueprint("search", __name__)

GROUPS = {
    "order": N_("Orders"),
    "document": N_("Invoices and credit notes"),
    "customer": N_("Customers"),
    "payout": N_("Settlements"),
}
KEYS = {
    "order": N_("Order number"),
    "shop": N_("Shop's order number"),
    "reference": N_("Reservation number"),
    "klarna_order": N_("Klarna order id"),
    "source": N_("Key from where it came"),
    "number": N_("Number"),
    "ocr": N_("OCR number"),
    "paid": N_("Payment reference"),
    "external": N_("Klarna's number"),
    "act": N_("Capture or refund id"),
    "customer": N_("Customer number"),
    "email": N_("E-mail"),
    "organisation": N_("Organisation number"),
    "payout": N_("Payment reference"),
}
"""What each key is called beside what it found."""


def _url(hit: Hit) -> str:
    if hit.sort == "order":
        return url_for("orders.show", order_id=hit.id)
    if hit.sort == "document":
        endpoint = "credit_notes.show" if hit.kind is DocKind.CREDIT_NOTE else "invoices.show"
        return url_for(endpoint, document_id=hit.id)
    if hit.sort == "customer":
        return url_for("register.customer", customer_id=hit.id)
    return url_for("settlements.show", payout_id=hit.id)


def _name(hit: Hit) -> str:
    if hit.sort == "document":
        wording = N_("Credit note %(number)s") if hit.kind is DocKind.CREDIT_NOTE else N_("Invoice %(number)s")
        return gettext(wording, number=hit.name)
    if hit.sort == "order":
        return gettext(N_("Order %(number)s"), number=hit.name)
    return gettext(N_("Payout %(number)s"), number=hit.name) if hit.sort == "payout" else hit.name


def _groups(found: Hits) -> list[dict[str, Any]]:
    groups = []
    for sort, title in GROUPS.items():
        rows = [
            {"url": _url(hit), "name": _name(hit), "key": gettext(KEYS[hit.key]) if hit.key else "", "hit": hit}
            for hit in found.hits
            if hit.sort == sort
        ]
        if rows:
            groups.append({"name": sort, "title": gettext(title), "rows": rows})
    return groups


@blueprint.get("/search")
@needs(Right.READ)
def index() -> Response:
    """Where what was typed leads. Nothing of it is logged; a personal identity number is not even shown again."""
    text = query_text("q")
    with reading() as looked:
        found = search.everything(looked, actor(), text)
    if found.the_one is not None:
        return go_to(_url(found.the_one))
    unsaid: dict[str, Any] = {"here": url_for("search.index")} if found.personal else {}
    return page(
        "search/index.html",
        query="" if found.personal else text,
        searched=bool(text),
        groups=_groups(found),
        more_names=found.more_names,
        personal=found.personal,
        all_url=url_for("orders.index", q=text) if found.more_names else None,
        **unsaid,
    )
