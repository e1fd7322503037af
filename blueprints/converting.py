"""A credit note without Klarna afterwards: made into a refund there, or tied to the one that turned up (K20, K29)."""

from __future__ import annotations

from flask import Blueprint, url_for
from werkzeug.wrappers import Response

from db import writing
from errors import Refusal
from rights import Right
from services import converting
from states import DocKind
from web import actor, done, gateway, needs, read_nonce, say
from web_documents import document_answer, read_page
from web_words import gettext as _

blueprint = Blueprint("converting", __name__)


def _refused(document_id: int, no: Refusal) -> Response:
    if no.status not in (409, 422, 429):
        raise no
    return document_answer(read_page(document_id, DocKind.CREDIT_NOTE), status=no.status, refused=say(no))


@blueprint.post("/credit-notes/<int:document_id>/convert")
@needs(Right.REVERSE)
def convert(document_id: int) -> Response:
    """«Gör om till återbetalning hos Klarna»: the note is reversed and a draft with its rows stands ready to be sent."""
    nonce = read_nonce(converting.CONVERT, document_id)
    try:
        draft_id = converting.convert(gateway(), actor(), document_id, nonce)
    except Refusal as no:
        return _refused(document_id, no)
    return done(
        url_for("credit_notes.show", document_id=draft_id),
        (
            "success",
            _(
                "The credit note has been reversed. This draft has the same rows; nothing is sent until you press its button."
            ),
        ),
    )


@blueprint.post("/credit-notes/<int:document_id>/tie")
@needs(Right.DECIDE)
def tie(document_id: int) -> Response:
    """Let the credit note stand for the refund that Klarna shows."""
    nonce = read_nonce("tie", document_id)
    try:
        with writing() as changed:
            converting.tie(changed, actor(), document_id, nonce)
    except Refusal as no:
        return _refused(document_id, no)
    return done(
        url_for("credit_notes.show", document_id=document_id),
        ("success", _("The credit note stands for the credit at Klarna. Nothing more has been booked.")),
    )
