"""«Anonymisera kund»: what it does is said first, and the customer's number typed to confirm (B29)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import anonymising, register
from web import Form, HiddenLineField, LineField, actor, done, needs, page, say
from web_words import gettext as _

blueprint = Blueprint("anonymising", __name__)


class AnonymiseForm(Form):
    """The number of the customer who is to be anonymised."""

    number = LineField(lazy("Customer number"), most=20)
    seen = HiddenLineField("", most=64, required=False)


def _url(refusal: Refusal) -> str | None:
    values: dict[str, Any] = dict(refusal.link[1]) if refusal.link else {}
    return url_for(refusal.link[0], **values) if refusal.link else None


def _shown(customer_id: int, form: AnonymiseForm, status: int = 200) -> Response:
    with reading() as looked:
        customer = register.get_customer(looked, customer_id)
        form.seen.data = form.seen.data or register.facts_of(customer).fingerprint
        in_the_way = [(say(each), _url(each)) for each in anonymising.in_the_way(looked, customer_id)]
    return page("register/anonymise.html", status=status, customer=customer, form=form, in_the_way=in_the_way)


@blueprint.get("/register/customers/<int:customer_id>/anonymise")
@needs(Right.ANONYMISE, confirmed=True)
def confirm(customer_id: int) -> Response:
    """What is emptied, what stays and why, and what is in the way."""
    return _shown(customer_id, AnonymiseForm())


@blueprint.post("/register/customers/<int:customer_id>/anonymise")
@needs(Right.ANONYMISE, confirmed=True)
def anonymise(customer_id: int) -> Response:
    """Empty the card for good."""
    form = AnonymiseForm()
    if not form.accepted():
        return _shown(customer_id, form, 422)
    try:
        with writing() as changed:
            anonymising.anonymise(changed, actor(), customer_id, form.number.data, form.seen.data or "")
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _shown(customer_id, form, form.refuse(refusal))
    said = _("The customer has been anonymised.")
    return done(url_for("register.customer", customer_id=customer_id), ("success", said))
