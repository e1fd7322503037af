"""«Lagervärde»: what the stock is worth, and booking it as it moves: begun and ended by Finance (E4c, S4)."""

from __future__ import annotations

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, transact, writing
from errors import N_, Malformed, Refusal
from rights import Right
from services import stock_booking
from web import (
    AmountField,
    Form,
    HiddenLineField,
    actor,
    done,
    flash_refusal,
    needs,
    page,
    read_nonce,
    why_not,
)
from web_words import gettext as _
from web_words import money

blueprint = Blueprint("stock_value", __name__)


class BeginForm(Form):
    """What stands on the stock account already; ``seen`` is the value the page showed."""

    stated = AmountField(lazy("Stands on the account already"), zero=True)
    seen = HiddenLineField("", most=20)


def _seen(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise Malformed(N_("The form is not one of ours. Nothing has been done."))
    return int(text)


def _page(form: BeginForm | None = None, status: int = 200) -> Response:
    with reading() as looked:
        now = stock_booking.standing(looked)
    if form is None:
        form = BeginForm(formdata=None, data={"stated": max(now.booked_minor, 0)})
    return page(
        "stock/value.html",
        status=status,
        now=now,
        form=form,
        no_right=why_not(Right.BOOKS),
    )


@blueprint.get("/stock/value")
@needs(Right.SEE_PRIVATE)
def index() -> Response:
    """What the stock is worth, and what the books say."""
    return _page()


@blueprint.post("/stock/value/begin")
@needs(Right.BOOKS)
def begin() -> Response:
    """Book stock as it moves from now on; today the difference to what stands there already."""
    form = BeginForm()
    nonce = read_nonce(stock_booking.ACTION, stock_booking.SUBJECT)
    if not form.accepted():
        return _page(form, 422)
    stated, seen = form.stated.data, _seen(form.seen.data)
    try:
        booked = transact(lambda session: stock_booking.begin(session, actor(), nonce, stated, seen))
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _page(form, form.refuse(refusal))
    said = _("Stock is booked as it moves from now on. Booked today: %(amount)s.", amount=money(booked))
    return done(url_for("stock_value.index"), ("success", said))


@blueprint.post("/stock/value/end")
@needs(Right.BOOKS)
def end() -> Response:
    """Book no more movements."""
    try:
        with writing() as changed:
            stock_booking.end(changed, actor())
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        flash_refusal(refusal)
        return done(url_for("stock_value.index"))
    return done(url_for("stock_value.index"), ("success", _("Movements of stock are booked no more.")))
