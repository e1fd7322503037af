"""«Mina inställningar»: what Kvitta suggests to oneself, and where one begins (B22)."""

from __future__ import annotations

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import preferences
from services.preferences import START_PAGES, Preferences
from states import DocKind
from web import ChoiceField, Form, TickField, actor, done, needs, page
from web_words import gettext as _

blueprint = Blueprint("preferences", __name__)

START_NAMES = {
    "start.index": N_("Overview"),
    "orders.index": N_("Orders"),
    "invoices.index": N_("Invoices"),
    "credit_notes.index": N_("Credit notes"),
    "settlements.index": N_("Settlements"),
    "books.vouchers": N_("Books"),
    "stock.index": N_("Stock"),
}


class PreferencesForm(Form):
    """Two suggestions per type of document, one for orders, and the start page."""

    print_invoice = TickField(lazy("Suggest printing after creation"))
    mail_invoice = TickField(lazy("Suggest sending e-mail after creation"))
    print_credit_note = TickField(lazy("Suggest printing after creation"))
    mail_credit_note = TickField(lazy("Suggest sending e-mail after creation"))
    show_rest = TickField(lazy("Suggest showing the remaining order amount"))
    start_page = ChoiceField(lazy("Start page"))


def _form(chosen: Preferences) -> PreferencesForm:
    given = {
        **{f"print_{kind.value}": kind in chosen.print_after for kind in preferences.KINDS},
        **{f"mail_{kind.value}": kind in chosen.mail_after for kind in preferences.KINDS},
        "show_rest": chosen.show_rest,
        "start_page": chosen.start_page,
    }
    form = PreferencesForm(data=given)
    form.start_page.choices = [(each, _(START_NAMES[each])) for each in START_PAGES]
    return form


def _chosen(form: PreferencesForm) -> Preferences:
    def ticked(what: str) -> frozenset[DocKind]:
        return frozenset(kind for kind in preferences.KINDS if form[f"{what}_{kind.value}"].data)

    return Preferences(ticked("print"), ticked("mail"), bool(form.show_rest.data), form.start_page.data)


@blueprint.route("/me/settings", methods=["GET", "POST"])
@needs(Right.READ)
def mine() -> Response:
    """My own suggestions. They are mine alone, and change nothing for anybody else."""
    with reading() as looked:
        kept = preferences.of(looked, actor().id)
    form = _form(kept)
    if request.method == "GET":
        return page("preferences/mine.html", form=form)
    if not form.accepted():
        return page("preferences/mine.html", status=422, form=form)
    try:
        with writing() as changed:
            preferences.save(changed, actor(), _chosen(form))
    except Refusal as refusal:
        return page("preferences/mine.html", status=form.refuse(refusal), form=form)
    return done(url_for("preferences.mine"), ("success", _("Your settings are saved.")))
