"""The start page: what needs a human today. And the constant answer that says the program is up."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, request, url_for
from werkzeug.wrappers import Response

import web_start
from db import reading
from errors import N_
from rights import Right
from services import set_up, worklists
from services.worklists import Item
from states import DocKind, DocState
from web import capped, label, may, needs, open_to_all, page
from web_settings import step_rows
from web_words import gettext as _

blueprint = Blueprint("start", __name__)

CARDS = {
    "unknown": (
        N_("Answer unknown"),
        N_("What was sent to Klarna without a clear answer. Kvitta asks Klarna by itself; do not do it again."),
    ),
    "review": (
        N_("Needs a decision"),
        N_("Klarna's answer and Klarna's order do not tell what happened. Somebody has to look and decide."),
    ),
    "refused": (
        N_("Refused documents"),
        N_("Invoices and credit notes that Klarna did not accept. Try again or void them."),
    ),
    "approvals": (
        N_("Drafts that await approval"),
        N_("Credits above the limit of whoever made them. Finance looks them through and creates them."),
    ),
    "not_sent": (N_("Not sent"), N_("Made in Kvitta and not yet sent to Klarna.")),
    "to_invoice": (
        N_("Delivered but not invoiced"),
        N_("Orders with Klarna where goods have left and the money has not been claimed."),
    ),
    "expiring": (N_("Reservations that soon expire"), N_("What is left to activate expires within seven days.")),
    "mails": (
        N_("E-mails that could not be sent"),
        N_("Invoices and credit notes that the mail server did not take. Try again or let them be."),
    ),
    "returns": (
        N_("Returns without a credit note"),
        N_("What Klarna has drawn from a payout and no credit note here stands for."),
    ),
    "notes": (
        N_("Credit notes without a settlement"),
        N_("Credited at Klarna so long ago that a payout should have taken it up."),
    ),
    "unpaid": (
        N_("Activated but not paid out"),
        N_("Activated at Klarna so long ago that the money should have come."),
    ),
    "rows": (N_("Settlement rows to settle"), N_("Rows of payouts that are faulty or carry a warning.")),
    "held": (
        N_("Stopped orders"),
        N_("Klarna stopped the purchase after having accepted it. Nothing leaves until the stop is lifted."),
    ),
    "incoming": (
        N_("Purchases that wait"),
        N_("What Klarna has told of and Kvitta could not make an order of by itself."),
    ),
    "breaks": (N_("Differences against Klarna"), N_("What Klarna shows and Kvitta does not, or the other way round.")),
}
"""Title of each work list, and what would be in it."""


LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DELIVERED = {"part": N_("Partly delivered"), "all": N_("Delivered")}


def _address(item: Item) -> str:
    if item.document_id is not None and item.document_kind is DocKind.CREDIT_NOTE:
        return url_for("credit_notes.show", document_id=item.document_id)
    if item.document_id is not None:
        return url_for("invoices.show", document_id=item.document_id)
    if item.order_id is not None:
        return url_for("orders.show", order_id=item.order_id)
    if item.push_id is not None:
        return url_for("incoming.index")
    if item.row_id is None:
        return url_for("settlements.show", payout_id=item.payout_id)
    # Beside the row, in its own pile, where the acts are.
    return url_for("settlements.show", payout_id=item.payout_id, pile=item.state, _anchor=f"row-{item.row_id}")


def _name(item: Item) -> str:
    if item.document_id is not None:
        if item.state is DocState.DRAFT:
            return _("Draft of a credit note")
        if item.document_kind is DocKind.CREDIT_NOTE:
            return _("Credit note %(number)s", number=item.number or "")
        return _("Invoice %(number)s", number=item.number or "")
    if item.order_id is not None:
        return _("Order %(number)s", number=item.order_number)
    if item.push_id is not None:
        return _("Purchase %(number)s", number=(item.number or "")[:8])
    return _("Payout %(number)s", number=item.number or "")


def _state(item: Item) -> str:
    return label(item.state) if isinstance(item.state, StrEnum) else _(DELIVERED.get(item.state or "", ""))


def _card(found: worklists.WorkList) -> dict[str, Any]:
    title, about = CARDS[found.name]
    rows = [
        {
            "url": _address(item),
            "name": _name(item),
            "item": item,
            "state": _state(item),
            "when": web_start.when(found.name, item),
        }
        for item in found.items
    ]
    return {
        "name": found.name,
        "title": _(title),
        "about": _(about),
        "count": capped(found.count),
        "rows": rows,
        "when": web_start.when_head(found.name),
        "more": web_start.more(found),
        "beside": web_start.beside(found.name),
    }


@blueprint.get("/")
@needs(Right.READ)
def index() -> Response:
    """The start page."""
    with reading() as looked:
        lists = worklists.today(looked)
        figures = web_start.look(looked)
        left = set_up.missing(looked) if may(Right.ADMINISTER) else []
    cards = [_card(each) for each in lists]
    # A cookie on an unencrypted wire can be copied; only whoever can change that is told (security 18, 64).
    unencrypted = (
        may(Right.ADMINISTER) and not request.is_secure and urlsplit(request.host_url).hostname not in LOOPBACK
    )
    return page(
        "start/index.html",
        cards=cards,
        figures=figures,
        charts=web_start.charts(figures),
        unencrypted=unencrypted,
        steps=step_rows(left) if left else [],
    )


@blueprint.get("/health")
@open_to_all
def health() -> Response:
    """A constant: up, and nothing about what is inside (63)."""
    return Response("ok\n", content_type="text/plain; charset=utf-8")
