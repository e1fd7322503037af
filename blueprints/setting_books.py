"""Settings of the books: «Kontoplan» with the financial years, and VAT rates with their days (B36)."""

from __future__ import annotations

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import clock
from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import accounts, periods, setting_groups, settings, vat_rates
from web import ChoiceField, DayField, Form, LineField, actor, done, flash_refusal, needs
from web_labels import ACCOUNT_KIND_NAMES, VAT_CLASS_NAMES
from web_settings import settings_page
from web_words import gettext as _

blueprint = Blueprint("setting_books", __name__)

STATES = {"past": (N_("Earlier"), "off"), "now": (N_("Holds"), "ok"), "coming": (N_("Coming"), "info")}


@blueprint.get("/settings/chart")
@needs(Right.READ)
def chart() -> Response:
    """«Kontoplan»."""
    with reading() as looked:
        rows = accounts.chart(looked)
        years = periods.years(looked)
    this_year = clock.today().year
    opened = any(each.starts <= clock.today() <= each.ends for each in years)
    return settings_page(
        "settings/chart.html",
        url_for("setting_books.chart"),
        rows=rows,
        kinds={code: _(word) for code, word in ACCOUNT_KIND_NAMES.items()},
        years=years,
        open_year=None if opened else this_year,
    )


@blueprint.post("/settings/chart/open")
@needs(Right.ADMINISTER, confirmed=True)
def open_books() -> Response:
    """Open this year's books with the chart of accounts and the VAT rates; pressing twice is the same."""
    try:
        with writing() as opened:
            year = periods.open_books(opened, actor(), clock.today().year)
            days = year.starts.isoformat(), year.ends.isoformat()
    except Refusal as refusal:
        flash_refusal(refusal)
        return done(url_for("setting_books.chart"))
    said = _("The books are open from %(first)s to %(last)s.", first=days[0], last=days[1])
    return done(url_for("setting_books.chart"), ("success", said))


class RateForm(Form):
    """A rate from a day on, and the accounts of a rate that is new."""

    vat_class = ChoiceField(lazy("VAT class"))
    rate = LineField(lazy("Rate, percent"), most=6)
    valid_from = DayField(lazy("Holds from"))
    sales_account = ChoiceField(lazy("Account for sales"))
    vat_account = ChoiceField(lazy("Account for output VAT"))


def _rate_form() -> RateForm:
    form = RateForm()
    with reading() as looked:
        classes = settings.vat_classes(looked, clock.today())
        chart = [(str(each.number), f"{each.number} {each.name}") for each in setting_groups.accounts_to_choose(looked)]
    form.vat_class.choices = [(name, _(VAT_CLASS_NAMES.get(name, name))) for name in classes]
    form.sales_account.choices = form.vat_account.choices = [("", _("As before")), *chart]
    return form


def _vat_page(form: RateForm, status: int = 200) -> Response:
    with reading() as looked:
        rows = vat_rates.listing(looked)
    return settings_page(
        "settings/vat.html",
        url_for("setting_books.vat"),
        status=status,
        form=form,
        rows=rows,
        names={name: _(word) for name, word in VAT_CLASS_NAMES.items()},
        states={state: (_(word), tone) for state, (word, tone) in STATES.items()},
    )


@blueprint.get("/settings/vat")
@needs(Right.READ)
def vat() -> Response:
    """VAT rates with their days."""
    return _vat_page(_rate_form())


@blueprint.post("/settings/vat")
@needs(Right.ADMINISTER, confirmed=True)
def add_rate() -> Response:
    """Let a class have another rate from a day on."""
    form = _rate_form()
    if not form.accepted():
        return _vat_page(form, 422)
    try:
        with writing() as changed:
            vat_rates.add(
                changed,
                actor(),
                form.vat_class.data,
                vat_rates.read_rate(form.rate.data),
                form.valid_from.data,
                sales_account=form.sales_account.data or "",
                vat_account=form.vat_account.data or "",
            )
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _vat_page(form, form.refuse(refusal))
    return done(url_for("setting_books.vat"), ("success", _("The rate has been added.")))
