"""«Ta emot retur»: goods of a credit note that come later than the credit, damaged or whole, or never (K24, K25)."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, request, url_for
from werkzeug.wrappers import Response

from db import reading, transact, writing
from errors import Refusal
from rights import Right
from services import goods_returns
from services.goods_returns import Typed
from states import Condition
from web import actor, done, label, needs, page, read_nonce, say
from web_credit import saved
from web_documents import WORDS
from web_fields import WHOLE_NUMBER, clear_quantity, showable
from web_words import gettext as _

blueprint = Blueprint("goods_returns", __name__)

_ROW = re.compile(r"quantity-([0-9]{1,15})")
LONGEST = 40


@blueprint.post("/credit-notes/<int:document_id>/rows/<int:line_id>/condition")
@needs(Right.CREDIT)
def condition(document_id: int, line_id: int) -> Response:
    """Save on a draft in what condition a row's goods came."""
    chosen = request.form.get(f"condition-{line_id}", "")[:LONGEST]
    with writing() as made:
        goods_returns.set_condition(made, actor(), document_id, line_id, chosen)
    return saved(document_id)


def _answer(document_id: int, status: int = 200, no: Refusal | None = None) -> Response:
    with reading() as looked:
        goods = goods_returns.goods(looked, actor(), document_id)
    field = no.field if no is not None and no.field else ""
    return page(
        "goods_returns/new.html",
        panel="goods_returns/_form.html",
        status=status,
        goods=goods,
        conditions=[(each.value, label(each)) for each in Condition],
        typed={name: showable(text[:600]) for name, text in request.form.items()},
        errors={field: say(no)} if no is not None else {},
        **WORDS,
    )


@blueprint.get("/credit-notes/<int:document_id>/return")
@needs(Right.WORK)
def new(document_id: int) -> Response:
    """The rows whose goods have not come yet."""
    return _answer(document_id)


@blueprint.post("/credit-notes/<int:document_id>/return")
@needs(Right.WORK)
def receive(document_id: int) -> Response:
    """Book what came."""
    nonce = read_nonce(goods_returns.ACTION, document_id)
    place = request.form.get("warehouse_id", "")
    typed: dict[int, Typed] = {}
    for name, text in request.form.items():
        found = _ROW.fullmatch(name)
        if found:
            key = int(found[1])
            typed[key] = Typed(text[:LONGEST], request.form.get(f"condition-{key}", "")[:LONGEST])
    warehouse_id = int(place) if WHOLE_NUMBER.fullmatch(place) else None
    given: dict[str, Any] = {"warehouse_id": warehouse_id, "typed": typed, "note": request.form.get("note", "")}
    try:
        for key, each in typed.items():
            clear_quantity(each.quantity, f"quantity-{key}")
        transact(lambda made: goods_returns.receive(made, actor(), document_id, nonce, **given))
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _answer(document_id, no.status, no)
    return done(
        url_for("credit_notes.show", document_id=document_id),
        ("success", _("The return has been received. Whole goods are back in stock.")),
    )
