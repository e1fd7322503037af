"""Stock and registers as files for a spreadsheet: what a list shows by its filters, whole.

Amounts are minor units, quantities thousandths. Pure reading, in the session of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from services import register, stock
from services.card_checks import number_key
from web_reports import Column, answer, every, listed
from web_words import gettext as _

AT_A_TIME = 100


def balances(session: Session, *, warehouse_id: int | None, search: str) -> Response:
    """Balance and available quantity per article and warehouse (B27)."""

    def page_of(mark: Any) -> tuple[Sequence[Any], Any]:
        rows = stock.balances(session, warehouse_id=warehouse_id, search=search, after=mark, limit=AT_A_TIME)
        return rows, (number_key(rows[-1].number), rows[-1].warehouse_id) if len(rows) == AT_A_TIME else None

    columns = [
        Column(_("Article")),
        Column(_("Description")),
        Column(_("Warehouse")),
        Column(_("On hand"), "quantity"),
        Column(_("On open orders, all warehouses"), "quantity"),
        Column(_("Available, all warehouses"), "quantity"),
        Column(_("Unit")),
    ]
    lines = (
        [row.number, row.name, row.warehouse, row.on_hand, row.wanted, row.available, row.unit]
        for row in every(page_of)
    )
    return answer("csv", [listed("stock", "", columns, lines)])


def articles(session: Session, classes: Mapping[str, str], *, search: str, everything: bool, costs: bool) -> Response:
    """Articles; what they cost where that may be seen. ``classes`` are the words for VAT classes."""

    def page_of(mark: Any) -> tuple[Sequence[Any], Any]:
        rows = register.articles(session, search=search, all_of_them=everything, after=mark, limit=AT_A_TIME)
        return rows, rows[-1].number_key if len(rows) == AT_A_TIME else None

    columns = [
        Column(_("Article number")),
        Column(_("Description")),
        Column("GTIN"),
        Column(_("Price with VAT, SEK"), "money"),
        *([Column(_("Cost"), "money")] if costs else []),
        Column(_("VAT class")),
        Column(_("Unit")),
        Column(_("Not in use")),
    ]
    lines = (
        [
            row.number,
            row.name,
            row.gtin or "",
            row.price_minor,
            *([row.cost_minor] if costs else []),
            classes.get(row.vat_class, row.vat_class),
            row.unit,
            "" if row.active else _("Yes"),
        ]
        for row in every(page_of)
    )
    return answer("csv", [listed("articles", "", columns, lines)])


def customers(session: Session, *, search: str, private: bool) -> Response:
    """Customers; e-mail address and phone only for who may see them (security 2)."""

    def page_of(mark: Any) -> tuple[Sequence[Any], Any]:
        rows = register.customers(session, search=search, after=mark, limit=AT_A_TIME)
        return rows, rows[-1].number if len(rows) == AT_A_TIME else None

    columns = [
        Column(_("Number")),
        Column(_("Name")),
        Column(_("Street")),
        Column(_("Postal code")),
        Column(_("City")),
        Column(_("Country")),
        *([Column(_("E-mail")), Column(_("Phone"))] if private else []),
    ]
    lines = (
        [
            row.number,
            row.name,
            row.street,
            row.postal_code,
            row.city,
            row.country,
            *([row.email or "", row.phone or ""] if private else []),
        ]
        for row in every(page_of)
    )
    return answer("csv", [listed("customers", "", columns, lines)])
