"""What the rooms of settings share: the list of their pages, and a page with that list on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import current_app, url_for
from werkzeug.wrappers import Response

from errors import N_
from rights import Right
from services import set_up
from web import may, page, why_not
from web_access import DEMANDS
from web_words import gettext

SECTIONS: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("settings.index", {}, N_("All settings"), ""),
    ("settings.group", {"group": "company"}, N_("Company"), N_("Name, address and numbers, as printed on documents.")),
    ("klarna_accounts.index", {}, N_("Klarna accounts"), N_("Store ids, credentials, and how the connection stands.")),
    ("payment_methods.index", {}, N_("Payment methods"), N_("Klarna and invoice, and their words on documents.")),
    (
        "settings.group",
        {"group": "texts"},
        N_("Texts and numbers"),
        N_("Texts on documents; where their numbers begin."),
    ),
    ("mail_settings.index", {}, N_("E-mail"), N_("The mail server that letters leave through.")),
    (
        "settings.group",
        {"group": "limits"},
        N_("Limits and rules"),
        N_("Payment terms, refund limits, days of waiting."),
    ),
    (
        "settings.group",
        {"group": "accounts"},
        N_("Default accounts"),
        N_("Which account each kind of amount is booked on."),
    ),
    ("setting_books.chart", {}, N_("Chart of accounts"), N_("The accounts that can be booked on, and the years.")),
    ("setting_books.vat", {}, N_("VAT rates"), N_("The rates of the VAT classes with their days.")),
    ("settings.sending", {}, N_("Sending to Klarna"), N_("Which machine sends, and whether it may.")),
    ("users.index", {}, N_("Users"), N_("Who may log in, and what they may do.")),
    ("settings.changes", {}, N_("Changes"), N_("Who changed what, and from which day it holds.")),
)
"""Endpoint, what its address takes, name, and what is there. A section is shown where there is such a page and the person
may see it."""

STEPS: Mapping[str, tuple[str, str]] = {
    "company": (N_("Company"), N_("Name, address and numbers: the law wants them on every invoice.")),
    "books": (N_("Books"), N_("Chart of accounts, VAT rates and the financial year.")),
    "payment_method": (N_("Payment methods"), N_("How customers pay: Klarna, invoice, or both.")),
    "klarna_account": (N_("Klarna accounts"), N_("The store id and its credentials, tried at Klarna.")),
    "people": (N_("Users"), N_("Somebody who makes orders and invoices: a clerk or Finance.")),
    "warehouse": (N_("Warehouses"), N_("Where goods leave from. Clerks and Finance add it.")),
}
"""What a new installation needs: title, and why."""


def sections(here: str) -> list[dict[str, Any]]:
    """The sections as tabs; ``here`` is the address of the one that is open."""
    told = []
    for endpoint, values, name, about in SECTIONS:
        view = current_app.view_functions.get(endpoint)
        right = DEMANDS[view].right if view in DEMANDS else None
        if right is not None and may(right):
            url = url_for(endpoint, **values)
            told.append({"label": gettext(name), "about": gettext(about), "url": url, "active": url == here})
    return told


def settings_page(template: str, here: str, **context: Any) -> Response:
    """A page of the settings with the list of sections; ``here`` is the address of its section."""
    return page(template, sections=sections(here), no_right=why_not(Right.ADMINISTER), **context)


def step_rows(left: Sequence[set_up.Step]) -> list[dict[str, Any]]:
    """The checklist of a new installation: what is missing, why, and where it is done."""
    where = {
        "company": url_for("settings.edit", group="company"),
        "books": url_for("setting_books.chart"),
        "payment_method": url_for("payment_methods.new"),
        "klarna_account": url_for("klarna_accounts.new"),
        "people": url_for("users.new"),
        "warehouse": url_for("register.warehouses"),
    }
    told = []
    for step in set_up.Step:
        title, why = STEPS[step]
        told.append({"title": gettext(title), "why": gettext(why), "url": where[step], "left": step in left})
    return told
