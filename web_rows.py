"""The form of an order's rows, changed in place: one field per figure and row, kept as typed while rows come and go (B19).

Amounts are minor units, quantities thousandths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

import clock
from errors import N_, Malformed
from models import Order
from services import order_amending, orders, settings
from services.order_amending import FREE_KINDS, AmendedRow
from states import LineKind
from web import AmountField, ChoiceField, Form, LineField, QuantityField, gettext, label
from web_words import amount_to_type, percent, quantity_to_type

MOST_LIVE = 60
"""Rows whose figures fit in an address, so that the sum can follow while somebody types."""
FIELDS = ("line", "article", "name", "kind", "unit", "rate", "quantity", "price", "discount")


@dataclass(frozen=True, slots=True)
class Slot:
    """A row of the form: what of it is fixed, and its fields by name. A free row's name, kind, unit and rate are typed."""

    place: int
    base: AmendedRow | None
    fields: dict[str, Any]

    @property
    def is_free(self) -> bool:
        """Whether the row was typed without an article."""
        return self.base is None


class RowsForm(Form):
    """The rows of an order; fields per row are added for each order."""

    new_article = LineField(lazy("Article number or GTIN"), required=False, most=64)


def typed_of(rows: Sequence[AmendedRow]) -> MultiDict[str, str]:
    """Rows as a person would have typed them."""
    typed: MultiDict[str, str] = MultiDict({"count": str(len(rows))})
    for place, row in enumerate(rows):
        _write(typed, place, row)
    return typed


def _write(typed: MultiDict[str, str], place: int, row: AmendedRow) -> None:
    values = {
        "line": str(row.line_id or ""),
        "article": row.article_number or "" if row.line_id is None and row.article_id is not None else "",
        "name": row.name,
        "kind": row.kind.value,
        "unit": row.unit,
        "rate": str(row.vat_rate),
        "quantity": quantity_to_type(row.quantity_milli),
        "price": amount_to_type(row.unit_price_minor),
        "discount": amount_to_type(row.discount_minor) if row.discount_minor else "",
    }
    for name, value in values.items():
        typed[f"{name}_{place}"] = value


def free_row() -> AmendedRow:
    """What a new free row starts as."""
    return AmendedRow(LineKind.TEXT, "", 1000, 0, 2500)


def sent(given: MultiDict[str, str] | None = None) -> MultiDict[str, str]:
    """What was sent, or stands in the address, with its number of rows checked. Raises Malformed."""
    given = request.form if given is None else given
    count = given.get("count", "")
    if not (count.isascii() and count.isdigit() and len(count) < 5) or int(count) > orders.MAX_LINES:
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    return MultiDict(given.items(multi=True))


def without(typed: MultiDict[str, str], removed: int) -> MultiDict[str, str]:
    """The same rows without one; those after it move up, as they were typed."""
    count = int(typed["count"])
    kept = [place for place in range(count) if place != removed]
    fresh: MultiDict[str, str] = MultiDict({"count": str(len(kept))})
    for now, before in enumerate(kept):
        for name in FIELDS:
            if f"{name}_{before}" in typed:
                fresh[f"{name}_{now}"] = typed[f"{name}_{before}"]
    return fresh


def with_row(typed: MultiDict[str, str], row: AmendedRow) -> MultiDict[str, str]:
    """The same rows and one more."""
    count = int(typed["count"])
    fresh = MultiDict(typed.items(multi=True))
    fresh["count"] = str(count + 1)
    fresh["new_article"] = ""
    _write(fresh, count, row)
    return fresh


def form_of(session: Session, order: Order, typed: MultiDict[str, str]) -> tuple[RowsForm, list[Slot]]:
    """The form of these rows and its slots. Raises Malformed for a row that is none of the order's, BadInput for an article."""
    known = {row.line_id: row for row in order_amending.rows_of(order)}
    rates = sorted({2500, *settings.vat_classes(session, clock.today()).values()}, reverse=True)

    class ThisForm(RowsForm):
        """The form of one order."""

    bases = [_base(session, known, typed, place) for place in range(int(typed["count"]))]
    for place, base in enumerate(bases):
        _add_fields(ThisForm, place, base, rates)
    form = ThisForm(formdata=typed)
    slots = [
        Slot(place, base, {name: form[f"{name}_{place}"] for name in FIELDS if f"{name}_{place}" in form})
        for place, base in enumerate(bases)
    ]
    return form, slots


def _base(
    session: Session, known: dict[int | None, AmendedRow], typed: MultiDict[str, str], place: int
) -> AmendedRow | None:
    line, article = typed.get(f"line_{place}", ""), typed.get(f"article_{place}", "")
    if line:
        found = known.get(int(line)) if line.isascii() and line.isdigit() and len(line) < 16 else None
        if found is None:
            raise Malformed(N_("The row does not belong to the order."))
        return found
    return order_amending.row_of_article(session, article) if article else None


def _add_fields(form: type[RowsForm], place: int, base: AmendedRow | None, rates: Sequence[int]) -> None:
    name = base.name if base is not None else _("the new row")
    free = base is None or base.kind in FREE_KINDS
    setattr(form, f"quantity_{place}", QuantityField(_("Quantity of %(name)s", name=name)))
    setattr(form, f"price_{place}", AmountField(_("Unit price of %(name)s", name=name), signed=free, zero=True))
    setattr(form, f"discount_{place}", AmountField(_("Discount on %(name)s", name=name), zero=True, required=False))
    if base is None:
        kinds = [(kind.value, label(kind)) for kind in FREE_KINDS]
        setattr(form, f"name_{place}", LineField(_("Description"), most=200))
        setattr(form, f"unit_{place}", LineField(_("Unit"), most=8))
        setattr(form, f"kind_{place}", ChoiceField(gettext(N_("Kind")), choices=kinds))
        choices = [(rate, percent(rate)) for rate in rates]
        setattr(form, f"rate_{place}", ChoiceField(gettext(N_("VAT")), choices=choices, coerce=int))


def counted(slots: Sequence[Slot]) -> list[AmendedRow] | None:
    """The rows as far as their sum goes, however unready the rest of them is; None while a figure cannot be read."""
    figures = [[slot.fields[name] for name in ("quantity", "price", "discount")] for slot in slots]
    if any(field.process_errors for row in figures for field in row):
        return None
    return [
        AmendedRow(LineKind.TEXT, "", quantity.data, price.data, 0, discount_minor=discount.data or 0)
        for quantity, price, discount in figures
    ]


def figures(given: MultiDict[str, str]) -> list[AmendedRow] | None:
    """As ``counted``, of rows of which nothing but the figures was sent."""

    class Figures(RowsForm):
        """The figures of so many rows."""

    places = range(int(given["count"]))
    for place in places:
        _add_fields(Figures, place, None, ())
    form = Figures(formdata=given)
    names = ("quantity", "price", "discount")
    return counted([Slot(place, None, {name: form[f"{name}_{place}"] for name in names}) for place in places])


def rows_of(slots: Sequence[Slot]) -> list[AmendedRow]:
    """The rows as they were asked for; only of a form that was accepted."""
    return [_row(slot) for slot in slots]


def _row(slot: Slot) -> AmendedRow:
    base, given = slot.base, {name: field.data for name, field in slot.fields.items()}
    kind = base.kind if base is not None else LineKind(given["kind"])
    return AmendedRow(
        kind=kind,
        name=base.name if base is not None else given["name"],
        quantity_milli=given["quantity"],
        unit_price_minor=given["price"],
        vat_rate=base.vat_rate if base is not None else given["rate"],
        line_id=base.line_id if base is not None else None,
        article_id=base.article_id if base is not None else None,
        article_number=base.article_number if base is not None else None,
        unit=base.unit if base is not None else given["unit"],
        discount_minor=given["discount"] or 0,
    )
