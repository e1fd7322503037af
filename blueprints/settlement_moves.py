"""A booked settlement row, or a part of one, moved to another document or to none, and back (B4).

A page of its own, for it corrects the books.
"""

from __future__ import annotations

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import money
from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import settlement_moves
from services.settlement_choice import Unseen
from web import Form, LineField, LinesField, actor, done, needs, page, read_nonce
from web_documents import ReasonForm, document_url, off
from web_fields import TypedField, read_whole
from web_query import query_text
from web_settlements import asked_of
from web_words import gettext as _

blueprint = Blueprint("settlement_moves", __name__)


class PlaceField(TypedField):
    """What of the row is moved, as the page showed it: the id of its document, 0 for none, and öre without sign, as 12:30000."""

    def read(self, text: str) -> tuple[int, int]:
        document_id, _, minor = text.partition(":")
        most = money.MAX_AMOUNT_MINOR
        return read_whole(document_id, 0, most, field=self.name), read_whole(minor, 0, most, field=self.name)

    def write(self, value: tuple[int, int]) -> str:
        return ":".join(map(str, value))

    def missing(self) -> str:
        return N_("Choose the part that is to be moved.")


class MoveForm(Form):
    """The document a row is moved to, none for not yet placed; why; and where the page showed that what is moved stands."""

    document_number = LineField(lazy("Invoice or credit note"), most=40, required=False)
    reason = LinesField(lazy("Reason"), most=500)
    shown = PlaceField(lazy("Part of the row"))
    seen = LineField(lazy("Document"), most=64, required=False)


def _answer(
    row_id: int,
    form: MoveForm | None = None,
    back: ReasonForm | None = None,
    status: int = 200,
    asked: Unseen | None = None,
) -> Response:
    with reading() as looked:
        row = settlement_moves.movable(looked, actor(), row_id)
    return page(
        "settlements/move.html",
        status=status,
        row=row,
        form=form or MoveForm(formdata=None),
        back_form=back or ReasonForm(formdata=None),
        asked=asked_of(asked) if asked else None,
        why_off=off(row.why_not),
        document_url=document_url,
    )


@blueprint.get("/settlements/rows/<int:row_id>/move")
@needs(Right.READ)
def show(row_id: int) -> Response:
    """A booked row: where it stands, where it has been, and the form that moves it; ``document`` fills in where to."""
    return _answer(row_id, MoveForm(formdata=None, data={"document_number": query_text("document", 40)}))


@blueprint.post("/settlements/rows/<int:row_id>/move")
@needs(Right.BOOKS)
def move(row_id: int) -> Response:
    """Show the document the row is to go to and ask; then move the row by a correcting voucher. One form does it once."""
    form = MoveForm()
    nonce = read_nonce(settlement_moves.ACTION, row_id)
    if not form.accepted():
        return _answer(row_id, form, status=422)
    try:
        with writing() as changed:
            settlement_moves.move(
                changed, actor(), row_id, nonce,
                shown_id=form.shown.data[0], shown_minor=form.shown.data[1], number=form.document_number.data or "",
                reason=form.reason.data, seen=form.seen.data or "",
            )  # fmt: skip
    except Unseen as asked:
        return _answer(row_id, form, status=asked.status, asked=asked)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _answer(row_id, form, status=form.refuse(refusal))
    return done(url_for("settlement_moves.show", row_id=row_id), ("success", _("The move is made and booked.")))


@blueprint.post("/settlements/rows/<int:row_id>/move/<int:placing_id>/take-back")
@needs(Right.BOOKS)
def take_back(row_id: int, placing_id: int) -> Response:
    """Undo the last move, with a reason."""
    form = ReasonForm()
    if not form.accepted():
        return _answer(row_id, back=form, status=422)
    try:
        with writing() as changed:
            settlement_moves.take_back(changed, actor(), row_id, placing_id, form.reason.data)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _answer(row_id, back=form, status=form.refuse(refusal))
    return done(
        url_for("settlement_moves.show", row_id=row_id), ("success", _("The move has been taken back by a reversal."))
    )
