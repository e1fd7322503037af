"""New rows on a credit note's draft: articles found by search, free rows, return freight; each edited in place (K26-K28, K38)."""

from __future__ import annotations

from flask import Blueprint, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from db import reading, writing
from errors import BadInput, Refusal
from rights import Right
from services import credit_rows
from web import actor, needs, query_text, say
from web_credit import (
    FreightForm,
    Typed,
    draft_answer,
    free_row,
    hits_answer,
    require_clear_row,
    row_answer,
    saved,
    typed,
    typed_row,
)
from web_fields import WHOLE_NUMBER

blueprint = Blueprint("credit_rows", __name__)


@blueprint.get("/credit-notes/<int:document_id>/articles")
@needs(Right.CREDIT)
def find(document_id: int) -> Response:
    """«Lägg till artikel»: what a number, a name or a GTIN finds (K27)."""
    text = query_text("q")
    with reading() as looked:
        hits = credit_rows.find(looked, text)
    return hits_answer(document_id, text, hits)


@blueprint.post("/credit-notes/<int:document_id>/new-rows/article")
@needs(Right.CREDIT)
def add_article(document_id: int) -> Response:
    """Add the article that was chosen, as a charge at its own price (K27, K44)."""
    chosen = typed("article_id")
    article_id = int(chosen) if WHOLE_NUMBER.fullmatch(chosen) and len(chosen) < 19 else 0
    try:
        with writing() as made:
            line_id = credit_rows.add_article(made, actor(), document_id, article_id).id
    except BadInput as no:
        return draft_answer(document_id, no.status, refused=say(no))
    return saved(document_id, line_id)


@blueprint.post("/credit-notes/<int:document_id>/new-rows/free")
@needs(Right.CREDIT)
def add_free(document_id: int) -> Response:
    """Add a row that was written by hand; a minus before the price charges the customer (K27, K28)."""
    with reading() as looked:
        form = free_row(credit_rows.rates(looked), formdata=request.form)
    row = credit_rows.Typed(typed("quantity"), typed("price"), form.name.data or "", typed("vat_rate"))
    if not form.accepted():
        return draft_answer(document_id, 422, free=form)
    try:
        with writing() as made:
            line_id = credit_rows.add_free(made, actor(), document_id, row).id
    except BadInput as no:
        form.refuse(no)
        return draft_answer(document_id, no.status, free=form)
    return saved(document_id, line_id)


@blueprint.post("/credit-notes/<int:document_id>/new-rows/freight")
@needs(Right.CREDIT)
def add_freight(document_id: int) -> Response:
    """«Returfrakt»: a row that charges the customer for the way back (requirements, question 7)."""
    form = FreightForm()
    if not form.accepted():
        return draft_answer(document_id, 422, freight=form)
    try:
        with writing() as made:
            row = credit_rows.add_return_freight(made, actor(), document_id, typed("freight"), _("Return freight"))
            line_id = row.id
    except Refusal as no:
        if no.status not in (409, 422) or no.link is not None:
            raise
        form.refuse(no)
        return draft_answer(document_id, no.status, freight=form)
    return saved(document_id, line_id)


@blueprint.post("/credit-notes/<int:document_id>/new-rows/<int:line_id>")
@needs(Right.CREDIT)
def change(document_id: int, line_id: int) -> Response:
    """Save a new row as it is typed; its words, the sum and the button follow in the same answer (K23, K28)."""
    template = "credit_notes/_new_row_saved.html"
    try:
        require_clear_row(line_id)
        with writing() as made:
            credit_rows.change(made, actor(), document_id, line_id, typed_row(line_id))
    except BadInput as no:
        texts = {name: text[:300] for name, text in request.form.items() if name.endswith(f"-{line_id}")}
        marked = Typed(no.field or "", texts.get(no.field or "", ""), no, texts)
        return row_answer(document_id, line_id, template, 422, marked)
    return row_answer(document_id, line_id, template, 200, Typed())
