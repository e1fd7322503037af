"""What is done about a document after its number is taken: try again, void, keep, withdraw, send now, ask, wait, reverse.

Each is a POST; a no comes back as the document's page with the sentence. Source: operations 9 and 11; K14-K20, F25.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from db import writing
from errors import N_, BadInput, Refusal
from rights import Right
from services import credit_notes, decisions, janitor, reservations
from services.asking import Silent
from states import DocKind
from web import actor, done, gateway, needs, read_nonce, say
from web_documents import HappenedForm, KeepForm, ReasonForm, document_answer, document_url, money_form, read_page

blueprint = Blueprint("operations", __name__)

NOT_DECIDED = N_("Klarna could not be reached. Nothing has been decided: it takes a look made at that moment.")
ASKED_IN_VAIN = N_("Klarna could not be reached. Kvitta goes on asking by itself.")


def _answer(document_id: int) -> Response:
    """Lead to the document as it stands after the act."""
    document = read_page(document_id)
    return done(document_url(document.kind, document.id))


def _refused(document_id: int, no: Refusal, **forms: Any) -> Response:
    """The document as it stands, with what was refused; input goes beside its field."""
    if no.status not in (409, 422, 403, 429):
        raise no
    document = read_page(document_id)
    form = next(iter(forms.values()), None)
    if form is not None and isinstance(no, BadInput):
        form.refuse(no)
        return document_answer(document, status=no.status, **forms)
    return document_answer(document, status=no.status, refused=say(no), **forms)


def _act(document_id: int, act: Callable[[], object], silence: str | None = None) -> Response:
    """Do it; ``silence`` is what to say where Klarna gave no answer, when that is more than the services know."""
    try:
        act()
    except Silent as no:
        return _refused(document_id, Refusal(silence) if silence else no)
    except Refusal as no:
        return _refused(document_id, no)
    return _answer(document_id)


@blueprint.get("/documents/<int:document_id>/panel")
@needs(Right.READ, polls=True)
def panel(document_id: int) -> Response:
    """Where a document stands: its panel for htmx, else its page. Reads only; waiting is done by ``attend``."""
    return document_answer(read_page(document_id))


@blueprint.post("/documents/<int:document_id>/attend")
@needs(Right.READ, polls=True)
def attend(document_id: int) -> Response:
    """What the panel sends by itself every 2 s while an answer is out: the janitor's rules for this order (operations 10).

    Answers nothing when nothing has changed, so that a button under a finger stays; the whole page once it is settled.
    """
    before = read_page(document_id)
    if before.is_open and before.order_id is not None:
        janitor.attend(gateway(), before.order_id)
    document = read_page(document_id)
    if not document.is_open or "HX-Request" not in request.headers:
        return done(document_url(document.kind, document.id))
    if request.form.get("mark") == document.outcome.mark:
        return Response(status=204)
    return document_answer(document)


@blueprint.post("/documents/<int:document_id>/retry")
@needs(Right.WORK)
def retry(document_id: int) -> Response:
    """«Försök igen»: the same frozen document under the same number as a new operation (K18, F25)."""
    form = money_form("retry", document_id)
    return _act(document_id, lambda: reservations.retry(gateway(), actor(), document_id, form))


@blueprint.post("/documents/<int:document_id>/send")
@needs(Right.WORK)
def send(document_id: int) -> Response:
    """«Skicka nu»: what was left unsent."""
    read_nonce("send", document_id)
    return _act(document_id, lambda: reservations.send_now(gateway(), actor(), document_id))


@blueprint.post("/documents/<int:document_id>/ask")
@needs(Right.WORK)
def ask(document_id: int) -> Response:
    """«Fråga Klarna nu», at most once a minute."""
    read_nonce("ask", document_id)
    return _act(document_id, lambda: janitor.ask_now(gateway(), actor(), document_id), ASKED_IN_VAIN)


@blueprint.post("/documents/<int:document_id>/withdraw")
@needs(Right.WORK)
def withdraw(document_id: int) -> Response:
    """«Återta»: nothing has left, so the document becomes void and the order is free."""
    read_nonce("withdraw", document_id)

    def act() -> None:
        with writing() as made:
            reservations.withdraw(made, actor(), document_id)

    return _act(document_id, act)


@blueprint.post("/documents/<int:document_id>/void")
@needs(Right.VOID_OWN)
def void(document_id: int) -> Response:
    """«Makulera» a refused document, with the reason; the number stays (K15, F25)."""
    read_nonce("void", document_id)
    form = ReasonForm(prefix="void-")
    if not form.accepted():
        return document_answer(read_page(document_id), status=422, void_form=form)
    try:
        with writing() as made:
            reservations.void(made, actor(), document_id, form.reason.data)
    except Refusal as no:
        return _refused(document_id, no, void_form=form)
    return _answer(document_id)


@blueprint.post("/documents/<int:document_id>/keep")
@needs(Right.KEEP_WITHOUT_KLARNA)
def keep(document_id: int) -> Response:
    """«Behåll utan Klarna»: issue and book a refused credit note under its own number (K19, K20)."""
    read_nonce("keep", document_id)
    form = KeepForm()
    if not form.reason.data or not form.accepted():
        form.reason.errors = []
        no = BadInput(N_("Choose why nothing is to be credited at Klarna."), field="reason")
        return _refused(document_id, no, keep_form=form)
    try:
        reservations.keep_without_klarna(
            gateway(), actor(), document_id, form.reason.data, bool(form.portal_confirmed.data)
        )
    except Refusal as no:
        return _refused(document_id, no, keep_form=form)
    return _answer(document_id)


@blueprint.post("/documents/<int:document_id>/happened")
@needs(Right.DECIDE, confirmed=True)
def happened(document_id: int) -> Response:
    """«Det genomfördes»: the id that Klarna shows, checked by a look made now (operations 10, rule 9)."""
    read_nonce("happened", document_id)
    form = HappenedForm()
    if not form.accepted():
        return document_answer(read_page(document_id), status=422, happened_form=form)
    try:
        decisions.happened(gateway(), actor(), document_id, form.object_id.data)
    except Silent:
        return _refused(document_id, Refusal(NOT_DECIDED), happened_form=form)
    except Refusal as no:
        return _refused(document_id, no, happened_form=form)
    return _answer(document_id)


@blueprint.post("/documents/<int:document_id>/did-not-happen")
@needs(Right.DECIDE, confirmed=True)
def did_not_happen(document_id: int) -> Response:
    """«Det genomfördes inte»: only while Klarna, looked at now, shows nothing of it; above the limit two decide."""
    read_nonce("did_not_happen", document_id)
    form = ReasonForm(prefix="not-")
    if not form.accepted():
        return document_answer(read_page(document_id), status=422, not_form=form)
    try:
        decisions.did_not_happen(gateway(), actor(), document_id, form.reason.data)
    except Silent:
        return _refused(document_id, Refusal(NOT_DECIDED), not_form=form)
    except Refusal as no:
        return _refused(document_id, no, not_form=form)
    return _answer(document_id)


@blueprint.post("/documents/<int:document_id>/reverse")
@needs(Right.REVERSE)
def reverse(document_id: int) -> Response:
    """«Återför» a credit note issued without Klarna: voucher and stock negated, dated today (E11)."""
    read_nonce("reverse", document_id)
    form = ReasonForm(prefix="reverse-")
    if not form.accepted():
        return document_answer(read_page(document_id, DocKind.CREDIT_NOTE), status=422, reverse_form=form)
    try:
        with writing() as made:
            document = credit_notes.reverse(made, actor(), document_id, form.reason.data)
            number = document.number_text
    except Refusal as no:
        return _refused(document_id, no, reverse_form=form)
    return done(
        document_url(DocKind.CREDIT_NOTE, document_id),
        ("success", _("Credit note %(number)s has been reversed.", number=number)),
    )
