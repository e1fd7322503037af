"""Stock: balances per warehouse, an article's movements, and «Saldo-/Prisjustering»: balance or cost, with a reason (B27)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import web_register_files
from db import reading, writing
from errors import Refusal
from rights import Right
from services import adjustments, card_checks, costs, register, stock, workplace
from web import (
    AmountField,
    ChoiceField,
    Form,
    HiddenLineField,
    LineField,
    QuantityField,
    RadioChoiceField,
    actor,
    done,
    may,
    needs,
    page,
    query_text,
    query_whole,
    read_nonce,
    why_not,
)
from web_fields import WHOLE_NUMBER
from web_reports import file_address, wants_file
from web_words import gettext as _

blueprint = Blueprint("stock", __name__)

ROWS = 50
LARGEST_ID = 2**63 - 1


class AdjustForm(Form):
    """By how much a balance changes, in which warehouse, and why."""

    warehouse_id = ChoiceField(lazy("Warehouse"), coerce=int)
    direction = RadioChoiceField(
        lazy("Change of the balance"),
        choices=[("in", lazy("More in stock")), ("out", lazy("Less in stock"))],
        default="in",
    )
    quantity = QuantityField(lazy("Quantity"))
    reason = LineField(lazy("Reason"), most=200)
    line = HiddenLineField("", most=20, required=False)


class CostForm(Form):
    """What an article costs from now on, and why."""

    cost = AmountField(lazy("Cost"), zero=True)
    cost_reason = LineField(lazy("Reason"), most=200)
    seen = HiddenLineField("", most=15)


@blueprint.get("/stock")
@needs(Right.READ)
def index() -> Response:
    """Balance and available quantity per article and warehouse."""
    search, place = query_text("q"), query_whole("warehouse", 0, most=LARGEST_ID)
    key, _dot, last_place = query_text("after").rpartition(".")
    after = (key, int(last_place)) if last_place.isascii() and last_place.isdigit() and len(last_place) < 19 else None
    if wants_file():
        with reading() as looked:
            return web_register_files.balances(looked, warehouse_id=place or None, search=search)
    with reading() as looked:
        rows = stock.balances(looked, warehouse_id=place or None, search=search, after=after, limit=ROWS + 1)
        places = [each for each in register.warehouses(looked) if each.active]
    given: dict[str, Any] = {"q": search or None, "warehouse": place or None}
    more = rows[ROWS - 1] if len(rows) > ROWS else None
    key_of_last = f"{card_checks.number_key(more.number)}.{more.warehouse_id}" if more else None
    return page(
        "stock/index.html",
        panel="stock/_balances.html",
        rows=rows[:ROWS],
        places=places,
        search=search,
        place=place,
        choices=[
            {"label": _("All"), "url": url_for("stock.index", q=search or None), "active": not place},
            *(
                {
                    "label": each.name,
                    "url": url_for("stock.index", q=search or None, warehouse=each.id),
                    "active": place == each.id,
                }
                for each in places
            ),
        ],
        file_url=file_address("stock.index", **given),
        first=url_for("stock.index", **given) if after else None,
        older=url_for("stock.index", **given, after=key_of_last) if more else None,
    )


def _form(session: Session, *, sent: bool = True) -> AdjustForm:
    start = {"warehouse_id": workplace.suggested(session, actor())}
    typed = AdjustForm(data=start) if sent else AdjustForm(formdata=None, data=start)
    typed.warehouse_id.choices = [(each.id, each.name) for each in register.warehouses(session) if each.active]
    return typed


def _article_page(article_id: int, typed: AdjustForm, cost: CostForm | None = None, status: int = 200) -> Response:
    private = may(Right.SEE_PRIVATE)
    with reading() as looked:
        article = register.get_article(looked, article_id)
        balances = stock.places(looked, article_id)
        standing = stock.standing(looked, article_id)
        changes = costs.history(looked, article_id) if private else []
        after = query_whole("after", 0, most=LARGEST_ID) or None
        moves = stock.movements(looked, article_id, after=after, limit=ROWS + 1)
    return page(
        "stock/article.html",
        status=status,
        article=article,
        balances=balances,
        standing=standing,
        moves=moves[:ROWS],
        form=typed,
        cost=cost or CostForm(formdata=None, data={"cost": article.cost_minor, "seen": str(article.cost_minor)}),
        changes=changes,
        may_see=private,
        no_right=why_not(Right.WORK),
        newest=url_for("stock.article", article_id=article_id) if after else None,
        older=url_for("stock.article", article_id=article_id, after=moves[ROWS - 1].id) if len(moves) > ROWS else None,
    )


@blueprint.get("/stock/articles/<int:article_id>")
@needs(Right.READ)
def article(article_id: int) -> Response:
    """An article's balances and movements, and the form that adjusts them."""
    with reading() as looked:
        typed = _form(looked)
    _prefill(typed)
    return _article_page(article_id, typed)


def _prefill(typed: AdjustForm) -> None:
    """What another page asks for: a credit note with an exchange links here with quantity and direction (K46)."""
    milli = query_whole("milli", 0, most=1_000_000_000)
    if milli:
        typed.quantity.data = milli
    typed.direction.data = "out" if request.args.get("direction") == "out" else "in"
    typed.reason.data = query_text("reason")
    typed.line.data = query_text("line", 20)


def _line(session: Session, article_id: int, text: str) -> int | None:
    """The credit note's row that an adjustment is for, so that the note links to it (K46)."""
    if not WHOLE_NUMBER.fullmatch(text) or len(text) > 18:
        return None
    return adjustments.line_to_adjust(session, int(text), article_id)


@blueprint.post("/stock/articles/<int:article_id>")
@needs(Right.WORK)
def adjust(article_id: int) -> Response:
    """«Saldo-/Prisjustering»: change a balance with a reason; one form does it once."""
    with reading() as looked:
        typed = _form(looked)
    if not typed.accepted():
        return _article_page(article_id, typed, status=422)
    once = read_nonce("adjust", article_id)
    sign = -1 if typed.direction.data == "out" else 1
    milli = sign * typed.quantity.data
    try:
        with writing() as changed:
            line_id = _line(changed, article_id, typed.line.data or "")
            place, reason = typed.warehouse_id.data, typed.reason.data
            stock.adjust_once(changed, actor(), once, article_id, place, milli, reason, line_id)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _article_page(article_id, typed, status=typed.refuse(refusal))
    return done(url_for("stock.article", article_id=article_id), ("success", _("The balance has been changed.")))


@blueprint.post("/stock/articles/<int:article_id>/cost")
@needs(Right.WORK)
def cost(article_id: int) -> Response:
    """«Saldo-/Prisjustering»: change what the article costs, with a reason."""
    typed = CostForm()
    with reading() as looked:
        other = _form(looked, sent=False)
    if not typed.accepted() or not WHOLE_NUMBER.fullmatch(typed.seen.data):
        return _article_page(article_id, other, typed, 422)
    try:
        with writing() as changed:
            reason, seen = typed.cost_reason.data, int(typed.seen.data)
            costs.change(changed, actor(), article_id, typed.cost.data, reason, seen)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _article_page(article_id, other, typed, typed.refuse(refusal))
    return done(url_for("stock.article", article_id=article_id), ("success", _("The cost has been changed.")))
