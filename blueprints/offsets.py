"""«Kvittning»: pairs of an invoice and a credit note, why one must wait and until when, offsetting and taking back (K49-K51)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import money
import web_settlement_files
from db import reading, writing
from errors import BadInput, Refusal
from rights import Right
from services import offsets
from services.offsets import Pair, Wanted
from web import (
    AmountField,
    Form,
    LinesField,
    WholeField,
    actor,
    done,
    fragment,
    may,
    needs,
    page,
    query_text,
    query_whole,
    read_nonce,
    say,
    why_not,
)
from web_documents import ReasonForm, document_url, off
from web_reports import file_address, wants_file
from web_words import gettext as _

blueprint = Blueprint("offsets", __name__)
LONGEST = 40


class OffsetForm(Form):
    """How much is offset; what the page showed as open; and why it cannot wait, where it should."""

    amount = AmountField(lazy("Amount to offset"))
    shown_invoice = WholeField(lazy("Open on the invoice"), most=money.MAX_AMOUNT_MINOR)
    shown_note = WholeField(lazy("Open on the credit note"), most=money.MAX_AMOUNT_MINOR)
    reason = LinesField(lazy("Reason"), most=500, required=False)


def _list(status: int = 200, **more: Any) -> Response:
    number = query_text("q", LONGEST)
    mark = (query_whole("note", 0), query_whole("invoice", 0))
    with reading() as looked:
        pairs, further = offsets.proposed(looked, number, mark if mark[0] else None)
        made, older = offsets.made(looked, number, query_whole("made", 0) or None)
    context: dict[str, Any] = {
        "pairs": pairs,
        "made": made,
        "number": number,
        "may_act": may(Right.BOOKS),
        "back_form": ReasonForm(formdata=None),
        "opened": None,
        "document_url": document_url,
        "say": say,
        "file_url": file_address("offsets.index", q=number or None),
        "older": url_for("offsets.index", q=number or None, note=further[0], invoice=further[1]) if further else None,
        "older_made": url_for("offsets.index", q=number or None, made=older) if older else None,
    }
    return page("offsets/index.html", status=status, **(context | more))


@blueprint.get("/offsets")
@needs(Right.READ)
def index() -> Response:
    """The pairs that can be offset, and what has been."""
    if wants_file():
        with reading() as looked:
            return web_settlement_files.offset_pairs(looked, query_text("q", LONGEST))
    return _list()


def _after(pair: Pair, form: OffsetForm) -> tuple[int, int]:
    """What would remain of the invoice and of the credit note; of the whole proposal where no amount can be read."""
    amount = form.amount.data if isinstance(form.amount.data, int) and not form.amount.errors else pair.amount_minor
    return pair.invoice.open_minor - amount, pair.note.open_minor - amount


def _answer(invoice_id: int, note_id: int, form: OffsetForm | None = None, status: int = 200) -> Response:
    with reading() as looked:
        pair = offsets.pair(looked, invoice_id, note_id)
    shown = form or OffsetForm(formdata=None, amount=pair.amount_minor)
    return page(
        "offsets/show.html",
        status=status,
        pair=pair,
        form=shown,
        after=_after(pair, shown),
        why_off=off(offsets.why_not(actor(), pair.wait)),
        waits=say(pair.wait.refusal) if pair.wait is not None else None,
        may_override=may(Right.OVERRIDE_OFFSET),
        role=why_not(Right.BOOKS),
        document_url=document_url,
    )


@blueprint.get("/offsets/<int:invoice_id>/<int:note_id>")
@needs(Right.READ)
def show(invoice_id: int, note_id: int) -> Response:
    """One pair: what is open, what will remain, and the lock with its reason."""
    return _answer(invoice_id, note_id)


@blueprint.get("/offsets/<int:invoice_id>/<int:note_id>/after")
@needs(Right.READ)
def after(invoice_id: int, note_id: int) -> Response:
    """What would remain with the amount in the address, as it is typed."""
    with reading() as looked:
        pair = offsets.pair(looked, invoice_id, note_id)
    try:
        amount = money.parse_amount(query_text("amount", LONGEST), field="amount")
        if not 0 < amount <= pair.amount_minor:
            amount = pair.amount_minor
    except BadInput:
        amount = pair.amount_minor
    left = (pair.invoice.open_minor - amount, pair.note.open_minor - amount)
    return fragment("offsets/_after.html", pair=pair, after=left)


@blueprint.post("/offsets/<int:invoice_id>/<int:note_id>")
@needs(Right.BOOKS)
def make(invoice_id: int, note_id: int) -> Response:
    """Offset the pair; one form does it once."""
    form = OffsetForm()
    nonce = read_nonce(offsets.ACTION, f"{invoice_id}-{note_id}")
    if not form.accepted():
        return _answer(invoice_id, note_id, form, 422)
    wanted = Wanted(
        form.amount.data,
        form.shown_invoice.data,
        form.shown_note.data,
        override=request.form.get("override") == "1",
        reason=form.reason.data or "",
    )
    try:
        with writing() as changed:
            offsets.make(changed, actor(), invoice_id, note_id, nonce, wanted)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _refused(invoice_id, note_id, form, refusal)
    return done(url_for("offsets.index"), ("success", _("The two have been offset and booked.")))


def _refused(invoice_id: int, note_id: int, form: OffsetForm, refusal: Refusal) -> Response:
    """The page as it is now with what was refused; a pair of which nothing is open has none, and the list says so."""
    status = form.refuse(refusal)
    try:
        return _answer(invoice_id, note_id, form, status)
    except Refusal:
        return _list(status, refused=say(refusal))


@blueprint.post("/offsets/<int:offset_id>/take-back")
@needs(Right.BOOKS)
def take_back(offset_id: int) -> Response:
    """Undo an offset, with a reason."""
    form = ReasonForm()
    if not form.accepted():
        return _list(422, back_form=form, opened=offset_id)
    try:
        with writing() as changed:
            offsets.take_back(changed, actor(), offset_id, form.reason.data)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _list(form.refuse(refusal), back_form=form, opened=offset_id)
    return done(
        url_for("offsets.index"), ("success", _("The offset has been taken back. Both documents are as they were."))
    )
