"""Payment methods with their words on documents (B32)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import payment_methods
from services.payment_methods import Facts
from states import PaymentKind
from web import ChoiceField, Form, HiddenLineField, LineField, TickField, actor, done, label, needs
from web_settings import settings_page
from web_words import gettext as _

blueprint = Blueprint("payment_methods", __name__)


class MethodForm(Form):
    """A payment method; English may be left to the Swedish, and documents to the name."""

    kind = ChoiceField(lazy("Kind"))
    name_sv = LineField(lazy("Name of the method"), most=payment_methods.LONGEST)
    name_en = LineField(lazy("Name of the method, in English"), most=payment_methods.LONGEST, required=False)
    heading_sv = LineField(lazy("Document heading"), most=payment_methods.LONGEST, required=False)
    heading_en = LineField(lazy("Document heading, in English"), most=payment_methods.LONGEST, required=False)
    document_name_sv = LineField(lazy("Document name"), most=payment_methods.LONGEST, required=False)
    document_name_en = LineField(lazy("Document name, in English"), most=payment_methods.LONGEST, required=False)
    active = TickField(lazy("In use"))
    seen = HiddenLineField(most=64, required=False)

    @property
    def facts(self) -> Facts:
        """What was typed."""
        words = {name: self[name].data or "" for name in payment_methods.WORDS}
        return Facts(kind=PaymentKind(self.kind.data), active=bool(self.active.data), **words)


def _form(**given: Any) -> MethodForm:
    form = MethodForm(**given)
    form.kind.choices = [(kind.value, label(kind)) for kind in PaymentKind]
    return form


@blueprint.get("/settings/payment-methods")
@needs(Right.READ)
def index() -> Response:
    """All payment methods."""
    with reading() as looked:
        rows = payment_methods.listing(looked)
    return settings_page("settings/payment_methods.html", url_for("payment_methods.index"), rows=rows)


def _card(form: MethodForm, method_id: int | None, status: int = 200) -> Response:
    with reading() as looked:
        method = payment_methods.get(looked, method_id) if method_id is not None else None
        used = method_id is not None and payment_methods.is_used(looked, method_id)
    return settings_page(
        "settings/payment_method.html",
        url_for("payment_methods.index"),
        status=status,
        form=form,
        method=method,
        used=used,
    )


@blueprint.get("/settings/payment-methods/new")
@needs(Right.ADMINISTER, confirmed=True)
def new() -> Response:
    """An empty method."""
    return _card(_form(data={"active": True, "kind": PaymentKind.KLARNA.value}), None)


@blueprint.post("/settings/payment-methods/new")
@needs(Right.ADMINISTER, confirmed=True)
def add() -> Response:
    """Add a method."""
    return _save(None)


@blueprint.get("/settings/payment-methods/<int:method_id>")
@needs(Right.ADMINISTER, confirmed=True)
def show(method_id: int) -> Response:
    """A method's words."""
    with reading() as looked:
        facts = payment_methods.facts_of(payment_methods.get(looked, method_id))
    values = {name: getattr(facts, name) for name in Facts.__dataclass_fields__}
    return _card(_form(data={**values, "kind": facts.kind.value, "seen": facts.fingerprint}), method_id)


@blueprint.post("/settings/payment-methods/<int:method_id>")
@needs(Right.ADMINISTER, confirmed=True)
def change(method_id: int) -> Response:
    """Change a method; documents keep the words they were made with."""
    return _save(method_id)


def _save(method_id: int | None) -> Response:
    form = _form()
    if not form.accepted():
        return _card(form, method_id, 422)
    try:
        with writing() as changed:
            payment_methods.save(changed, actor(), method_id, form.facts, form.seen.data or "")
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _card(form, method_id, form.refuse(refusal))
    return done(url_for("payment_methods.index"), ("success", _("The payment method has been saved.")))
