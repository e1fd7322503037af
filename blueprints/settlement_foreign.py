"""«Bokförd utanför Kvitta»: a payout in another currency than the books' is explained as a whole (catalogue row 69)."""

from __future__ import annotations

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import settlement_foreign, settlement_matching
from web import actor, done, needs, page
from web_documents import ReasonForm, off
from web_words import gettext as _

blueprint = Blueprint("settlement_foreign", __name__)


def _answer(payout_id: int, form: ReasonForm | None = None, status: int = 200) -> Response:
    with reading() as looked:
        payout = settlement_matching.get(looked, payout_id)
        why_off = off(settlement_foreign.why_not_aside(actor(), payout))
    return page(
        "settlements/aside.html",
        status=status,
        payout=payout,
        form=form or ReasonForm(formdata=None),
        why_off=why_off,
    )


@blueprint.get("/settlements/<int:payout_id>/aside")
@needs(Right.BOOKS)
def show(payout_id: int) -> Response:
    """The form that says where the payout is booked."""
    return _answer(payout_id)


@blueprint.post("/settlements/<int:payout_id>/aside")
@needs(Right.BOOKS)
def set_aside(payout_id: int) -> Response:
    """Explain every row of the payout with one reason; nothing is booked."""
    form = ReasonForm()
    if not form.accepted():
        return _answer(payout_id, form, status=422)
    try:
        with writing() as changed:
            settlement_foreign.set_aside(changed, actor(), payout_id, form.reason.data)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _answer(payout_id, form, status=form.refuse(refusal))
    return done(
        url_for("settlements.show", payout_id=payout_id),
        ("success", _("All rows of the payout are explained. Nothing has been booked.")),
    )
