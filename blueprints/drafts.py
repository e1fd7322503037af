"""What is about a credit draft and not in it: who else has it open, and putting it before Finance (B31)."""

from __future__ import annotations

from flask import Blueprint, request, url_for
from werkzeug.wrappers import Response

from db import reading, writing
from rights import Right
from services import approvals, draft_visits
from web import actor, done, needs, page
from web_fields import WHOLE_NUMBER
from web_words import gettext as _

blueprint = Blueprint("drafts", __name__)


@blueprint.post("/drafts/<int:document_id>/presence")
@needs(Right.READ, polls=True)
def presence(document_id: int) -> Response:
    """What the page of a draft asks by itself every fifteen seconds: who else is here, and whether it has been changed."""
    with writing() as made:
        draft_visits.visit(made, actor(), document_id)
    with reading() as looked:
        others = draft_visits.others(looked, actor(), document_id)
        typed = request.form.get("version", "")
        shown = int(typed) if WHOLE_NUMBER.fullmatch(typed) and len(typed) < 19 else None
        stale = draft_visits.is_stale(looked, document_id, shown)
    here = url_for("credit_notes.show", document_id=document_id)
    if "HX-Request" not in request.headers:
        return done(here)
    return page(
        "drafts/_presence.html",
        panel="drafts/_presence.html",
        others=others,
        stale=stale,
        draft_id=document_id,
        here=here,
    )


@blueprint.post("/drafts/<int:document_id>/approval")
@needs(Right.CREDIT)
def ask(document_id: int) -> Response:
    """«Lägg fram för Ekonomi»."""
    with writing() as made:
        approvals.ask(made, actor(), document_id)
    return done(
        url_for("credit_notes.show", document_id=document_id),
        ("success", _("The draft has been put before Finance and stands in their work list.")),
    )


@blueprint.post("/drafts/<int:document_id>/approval/take-back")
@needs(Right.CREDIT)
def take_back(document_id: int) -> Response:
    """Take the request back."""
    with writing() as made:
        approvals.take_back(made, actor(), document_id)
    return done(
        url_for("credit_notes.show", document_id=document_id), ("success", _("The request has been taken back."))
    )
