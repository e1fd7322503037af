"""«Kontoplan»: an account added, renamed, closed or opened again, with every change it has been through (B36)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import chart_changes, vat_rates
from services.chart_changes import Facts
from web import ChoiceField, Form, HiddenLineField, LineField, TickField, WholeField, actor, done, needs
from web_settings import settings_page
from web_words import gettext as _
from web_words import percent

blueprint = Blueprint("setting_chart", __name__)


class AccountForm(Form):
    """An account. Its kind follows from its number."""

    number = WholeField(lazy("Account"), least=1000, most=9999)
    name = LineField(lazy("Account name"), most=chart_changes.LONGEST)
    vat_rate = ChoiceField(lazy("VAT code"))
    vat_box = ChoiceField(lazy("Box in the VAT return"))
    payment_account = TickField(lazy("Payment account"))
    receivable = TickField(lazy("Customer ledger"))
    active = TickField(lazy("In use"))
    seen = HiddenLineField(most=64, required=False)

    @property
    def facts(self) -> Facts:
        """What was typed."""
        return Facts(
            name=self.name.data,
            vat_rate=int(self.vat_rate.data) if self.vat_rate.data else None,
            vat_box=int(self.vat_box.data) if self.vat_box.data else None,
            payment_account=bool(self.payment_account.data),
            receivable=bool(self.receivable.data),
            active=bool(self.active.data),
        )


def _form(**given: Any) -> AccountForm:
    form = AccountForm(**given)
    with reading() as looked:
        rates = vat_rates.rates_known(looked)
    form.vat_rate.choices = [("", _("Not one rate")), *((str(rate), percent(rate)) for rate in rates)]
    form.vat_box.choices = [
        ("", _("No box")), *((str(box), f"{box:02d} {_(name)}") for box, name in chart_changes.BOXES.items()),
    ]  # fmt: skip
    return form


def _card(form: AccountForm, number: int | None, status: int = 200) -> Response:
    with reading() as looked:
        account = chart_changes.get(looked, number) if number is not None else None
        booked = number is not None and chart_changes.is_booked_on(looked, number)
        history = chart_changes.history(looked, number) if number is not None else []
    return settings_page(
        "settings/account.html",
        url_for("setting_books.chart"),
        status=status,
        form=form,
        account=account,
        booked=booked,
        history=history,
    )


@blueprint.get("/settings/chart/new")
@needs(Right.ADMINISTER, confirmed=True)
def new() -> Response:
    """An empty account."""
    return _card(_form(data={"active": True}), None)


@blueprint.post("/settings/chart/new")
@needs(Right.ADMINISTER, confirmed=True)
def add() -> Response:
    """Add an account."""
    form = _form()
    if not form.accepted():
        return _card(form, None, 422)
    try:
        with writing() as changed:
            chart_changes.add(changed, actor(), form.number.data, form.facts)
    except Refusal as refusal:
        if refusal.status == 403:
            raise
        return _card(form, None, form.refuse(refusal))
    said = _("Account %(account)s has been added.", account=form.number.data)
    return done(url_for("setting_books.chart"), ("success", said))


@blueprint.get("/settings/chart/<int:number>")
@needs(Right.ADMINISTER, confirmed=True)
def show(number: int) -> Response:
    """An account and its changes."""
    with reading() as looked:
        facts = chart_changes.facts_of(chart_changes.get(looked, number))
    values = {name: getattr(facts, name) for name in Facts.__dataclass_fields__}
    for name in ("vat_rate", "vat_box"):
        values[name] = "" if values[name] is None else str(values[name])
    return _card(_form(data={**values, "number": number, "seen": facts.fingerprint}), number)


@blueprint.post("/settings/chart/<int:number>")
@needs(Right.ADMINISTER, confirmed=True)
def change(number: int) -> Response:
    """Let an account say something else; what is booked stays as it is."""
    form = _form()
    if not form.accepted():
        return _card(form, number, 422)
    try:
        with writing() as changed:
            was = chart_changes.change(changed, actor(), number, form.facts, form.seen.data or "")
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _card(form, number, form.refuse(refusal))
    said = _("Account %(account)s has been changed.", account=number) if was else _("Nothing has been changed.")
    return done(url_for("setting_books.chart"), ("success", said))
