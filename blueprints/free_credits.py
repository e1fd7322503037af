"""«Fristående kreditfaktura»: a credit note that belongs to no invoice, booked here and never sent to Klarna (K42)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, BadInput, Malformed, Refusal
from rights import Right
from services import credit_rows, documents, draft_visits, free_credits, register
from web import Form, LinesField, actor, done, needs, page, query_text, read_nonce, say
from web_credit import Typed, around, correct_first, free_row, typed
from web_documents import WORDS, off
from web_fields import WHOLE_NUMBER, clear_quantity
from web_words import gettext as _

blueprint = Blueprint("free_credits", __name__)

MOST_CUSTOMERS = 10


class WhyForm(Form):
    """Why the customer is credited; stored and printed with the credit note (I9)."""

    reason = LinesField(lazy("Reason"), most=documents.LONGEST_REASON, required=False)


@blueprint.get("/free-credits/new")
@needs(Right.CREDIT)
def new() -> Response:
    """Choose the customer. Reads only; the draft is made when one is chosen."""
    text = query_text("q")
    with reading() as looked:
        found = register.customers(looked, search=text, limit=MOST_CUSTOMERS) if text else []
    return page("free_credits/new.html", panel="free_credits/_customers.html", search=text, customers=found, **WORDS)


@blueprint.post("/customers/<int:customer_id>/free-credit")
@needs(Right.CREDIT)
def start(customer_id: int) -> Response:
    """Open a draft for the customer."""
    with writing() as made:
        draft_id = free_credits.start(made, actor(), customer_id).id
    return done(url_for("free_credits.show", document_id=draft_id))


def _answer(draft_id: int, status: int = 200, **changes: Any) -> Response:
    with reading() as looked:
        form = free_credits.form(looked, actor(), draft_id)
        hits = credit_rows.find(looked, changes.get("search", ""))
        beside = around(looked, draft_id, form.gross_minor, form.currency)
    drawn = {
        "form": form,
        "why_off": off(form.refusal),
        "free": free_row(form.rates),
        "why": WhyForm(formdata=None, reason=form.reason),
        "typed": Typed(),
        **beside,
        "refused": None,
        "search": "",
        "hits": hits,
        **WORDS,
    }
    return page("free_credits/draft.html", panel="free_credits/_draft.html", status=status, **{**drawn, **changes})


def _saved(draft_id: int) -> Response:
    return done(url_for("free_credits.show", document_id=draft_id), panel=lambda: _answer(draft_id))


@blueprint.get("/free-credits/<int:document_id>")
@needs(Right.READ)
def show(document_id: int) -> Response:
    """The draft; with ``q`` the articles it finds."""
    return _answer(document_id, search=query_text("q"))


@blueprint.post("/free-credits/<int:document_id>/article")
@needs(Right.CREDIT)
def add_article(document_id: int) -> Response:
    """Add the article that was chosen."""
    chosen = typed("article_id")
    article_id = int(chosen) if WHOLE_NUMBER.fullmatch(chosen) else 0
    try:
        with writing() as made:
            free_credits.add_article(made, actor(), document_id, article_id)
    except BadInput as no:
        return _answer(document_id, no.status, refused=say(no))
    return _saved(document_id)


@blueprint.post("/free-credits/<int:document_id>/free-row")
@needs(Right.CREDIT)
def add_free(document_id: int) -> Response:
    """Add a row that was written by hand."""
    with reading() as looked:
        form = free_row(credit_rows.rates(looked), formdata=request.form)
    row = credit_rows.Typed(typed("quantity"), typed("price"), form.name.data or "", typed("vat_rate"))
    if not form.accepted():
        return _answer(document_id, 422, free=form)
    try:
        with writing() as made:
            free_credits.add_free(made, actor(), document_id, row)
    except BadInput as no:
        form.refuse(no)
        return _answer(document_id, no.status, free=form)
    return _saved(document_id)


@blueprint.post("/free-credits/<int:document_id>/rows/<int:line_id>")
@needs(Right.CREDIT)
def change(document_id: int, line_id: int) -> Response:
    """Save a row's quantity and unit price."""
    texts = {name: typed(name) for name in (f"quantity-{line_id}", f"price-{line_id}")}
    try:
        clear_quantity(texts[f"quantity-{line_id}"], f"quantity-{line_id}")
        with writing() as made:
            free_credits.change(made, actor(), document_id, line_id, *texts.values())
    except BadInput as no:
        name = no.field or ""
        marked = Typed(name, texts.get(name, ""), no, texts)
        return _answer(document_id, no.status, typed=marked, why_off=correct_first(marked))
    return _saved(document_id)


@blueprint.post("/free-credits/<int:document_id>/rows/<int:line_id>/remove")
@needs(Right.CREDIT)
def remove(document_id: int, line_id: int) -> Response:
    """«Ta bort rad»."""
    with writing() as made:
        free_credits.remove(made, actor(), document_id, line_id)
    return _saved(document_id)


@blueprint.post("/free-credits/<int:document_id>/reason")
@needs(Right.CREDIT)
def keep_reason(document_id: int) -> Response:
    """Save the reason as it is typed."""
    form = WhyForm()
    if not form.accepted():
        return _answer(document_id, 422, why=form)
    with writing() as made:
        free_credits.set_reason(made, actor(), document_id, form.reason.data or "")
    return _saved(document_id)


@blueprint.post("/free-credits/<int:document_id>/discard")
@needs(Right.CREDIT)
def discard(document_id: int) -> Response:
    """«Ta bort utkastet»."""
    with writing() as made:
        customer_id = free_credits.discard(made, actor(), document_id)
    return done(url_for("register.customer", customer_id=customer_id), ("success", _("The draft has been discarded.")))


@blueprint.post("/free-credits/<int:document_id>/create")
@needs(Right.CREDIT)
def create(document_id: int) -> Response:
    """Create the credit note: a number and a voucher at once, and nothing to Klarna (K42)."""
    nonce = read_nonce(free_credits.ACTION, document_id)
    shown, version = request.form.get("shown", ""), request.form.get("version", "")
    if not (WHOLE_NUMBER.fullmatch(shown) and WHOLE_NUMBER.fullmatch(version)):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    why = WhyForm()
    if not why.accepted():
        return _answer(document_id, 422, why=why)
    pressed = free_credits.Pressed(nonce, int(shown), int(version), why.reason.data or "")
    try:
        with writing() as made:
            free_credits.create(made, actor(), document_id, pressed)
            draft_visits.leave(made, document_id)
    except Refusal as no:
        if no.status not in (403, 409, 422) or no.link is not None:
            raise
        if no.field == "reason":
            why.refuse(no)
            return _answer(document_id, no.status, why=why)
        return _answer(document_id, no.status, refused=say(no), why=why)
    return done(url_for("credit_notes.show", document_id=document_id))
