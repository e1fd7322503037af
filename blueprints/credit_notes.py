"""Credit notes: begun from the invoice, edited in place, created and credited at Klarna; list, page and paper (K1-K46)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import clock
import money
from db import reading, writing
from errors import N_, BadInput, Malformed, NotFound, Refusal, Stale
from rights import Right
from services import credit_drafts, credit_form, credit_rows, document_list, draft_visits, free_credits, reservations
from services.credit_form import CreditForm
from services.drift import Differs
from states import DocKind, DocState
from web import Form, actor, done, gateway, label, needs, page, say
from web_access import go_to
from web_credit import (
    SUM_ONLY,
    Typed,
    as_saved,
    draft_answer,
    options_of,
    read_form,
    require_clear_row,
    row_answer,
    saved,
    typed,
    typed_row,
)
from web_document_list import list_answer, list_file
from web_documents import WORDS, document_answer, document_url, money_form, read_page
from web_fields import clear_quantity
from web_words import day, gettext
from web_words import quantity as quantity_text

blueprint = Blueprint("credit_notes", __name__)

FRESH = timedelta(minutes=1)
LOCKED = ("price", "discount", "article", "vat", "gross", "name")
"""A request that names one of these for a row is refused: they follow from the invoice (K22)."""
HEADS = (
    N_("Credit note"),
    N_("Refers to"),
    N_("Date"),
    N_("Customer"),
    N_("Type"),
    N_("Status"),
    N_("Amount"),
    N_("Outstanding claim"),
    N_("Currency"),
)


# --- The draft -----------------------------------------------------------------------------------------------------------


@blueprint.post("/invoices/<int:document_id>/credit")
@needs(Right.CREDIT)
def start(document_id: int) -> Response:
    """«Kreditera»: open the person's own draft on the invoice, or a new one with all that is left (K5, K8)."""
    with writing() as made:
        draft_id = credit_drafts.start(made, actor(), document_id).id
    return done(url_for("credit_notes.show", document_id=draft_id))


@blueprint.get("/credit-notes/<int:document_id>")
@needs(Right.READ)
def show(document_id: int) -> Response:
    """A credit note: while it is a draft the form, for which an old reading of Klarna is renewed (K32); else the document."""
    with reading() as looked:
        draft, free = credit_form.is_draft(looked, document_id), free_credits.is_free(looked, document_id)
    if free:
        return go_to(url_for("free_credits.show", document_id=document_id))
    with reading() as looked:
        target = credit_form.order_of(looked, document_id) if draft else None
    if not draft:
        return document_answer(read_page(document_id, DocKind.CREDIT_NOTE))
    unread = ""
    if target is not None and (target[1] is None or clock.now() - target[1] > FRESH):
        try:
            reservations.look_at(gateway(), target[0])
        except Refusal as no:
            unread = say(no)
    return draft_answer(document_id, unread=unread)


@blueprint.post("/credit-notes/<int:document_id>/rows/<int:line_id>")
@needs(Right.CREDIT)
def quantity(document_id: int, line_id: int) -> Response:
    """Save a quantity as it is typed; the row's amount, the sum and the button follow in the same answer (K21, K23)."""
    if any(word in name for name in request.form for word in LOCKED):
        raise BadInput(N_("Price, discount and article number follow from the invoice and cannot be changed."))
    return _row_saved(document_id, line_id, "quantity", typed(f"quantity-{line_id}"))


@blueprint.post("/credit-notes/<int:document_id>/rows/<int:line_id>/restock")
@needs(Right.CREDIT)
def restock(document_id: int, line_id: int) -> Response:
    """Save how much of a row goes back to stock (K24)."""
    return _row_saved(document_id, line_id, "restock", typed(f"restock-{line_id}"))


def _row_saved(draft_id: int, line_id: int, field: str, text: str) -> Response:
    save = credit_drafts.set_quantity if field == "quantity" else credit_drafts.set_restock
    template = SUM_ONLY
    try:
        clear_quantity(text, f"{field}-{line_id}")
        with writing(by_key=True) as made:
            now = as_saved(made, save(made, actor(), draft_id, line_id, text))
    except BadInput as no:
        return row_answer(draft_id, line_id, template, 422, Typed(f"{field}-{line_id}", text, no), field=field)
    return row_answer(draft_id, line_id, template, 200, Typed(), now, field=field)


@blueprint.post("/credit-notes/<int:document_id>/rows/<int:line_id>/remove")
@needs(Right.CREDIT)
def remove_row(document_id: int, line_id: int) -> Response:
    """«Ta bort rad» (K26)."""
    with writing() as made:
        credit_drafts.remove_row(made, actor(), document_id, line_id)
    return saved(document_id, line_id)


@blueprint.post("/credit-notes/<int:document_id>/rows/<int:line_id>/put-back")
@needs(Right.CREDIT)
def put_back_row(document_id: int, line_id: int) -> Response:
    """«Lägg tillbaka rad» (K26)."""
    with writing() as made:
        credit_drafts.put_back_row(made, actor(), document_id, line_id)
    return saved(document_id, line_id)


@blueprint.post("/credit-notes/<int:document_id>/options")
@needs(Right.CREDIT)
def options(document_id: int) -> Response:
    """Keep the boxes as they are ticked; ticking the one of K20 swaps the Klarna block for what it says instead (K11)."""
    ticked = options_of(read_form(document_id), formdata=request.form)
    if ticked.warehouse_id.raw_data in (None, []):
        del ticked.warehouse_id
    chosen = ticked.reason.data or (request.form.get("reason", "")[:40])
    del ticked.reason
    if not ticked.accepted():
        return draft_answer(document_id, 422, refused=_first_error(ticked))
    try:
        with writing() as made:
            credit_drafts.set_options(
                made,
                actor(),
                document_id,
                restock=bool(ticked.restock.data),
                warehouse_id=ticked.warehouse_id.data if "warehouse_id" in ticked else None,
                without_klarna=bool(ticked.without_klarna.data),
                reason=chosen,
            )
    except BadInput as no:
        return draft_answer(document_id, 422, refused=say(no))
    return saved(document_id)


def _first_error(form: Form) -> str:
    return " ".join(sentence for sentences in form.errors.values() for sentence in sentences)


@blueprint.post("/credit-notes/<int:document_id>/discard")
@needs(Right.CREDIT)
def discard(document_id: int) -> Response:
    """«Ta bort utkastet»: it has no number and leaves no trace in the series."""
    with writing() as made:
        invoice_id = credit_form.form(made, actor(), document_id).invoice_id
        credit_drafts.discard(made, actor(), document_id)
    return done(url_for("invoices.show", document_id=invoice_id), ("success", _("The draft has been discarded.")))


@blueprint.post("/credit-notes/<int:document_id>/create")
@needs(Right.CREDIT)
def create(document_id: int) -> Response:
    """Create the credit note and credit it at Klarna, or without Klarna where that was ticked (K2, K13, K14, K20)."""
    form = money_form("credit", document_id)
    confirmed = request.form.get("portal_confirmed") == "1"
    version = request.form.get("version", "")
    if not (version.isascii() and version.isdigit()):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    try:
        _save_typed(document_id, int(version[:18]))
        form = replace(form, version=int(version[:18]), warned=request.form.get("warned") == "1")
        made_id = reservations.credit(gateway(), actor(), document_id, form, portal_confirmed=confirmed)
    except NotFound as gone:  # its nonce says that it was there
        raise Stale(N_("The draft has been discarded meanwhile. Nothing has been sent.")) from gone
    except Refusal as no:
        if no.status not in (403, 409, 422) or not _still_draft(document_id):
            raise
        return _not_created(document_id, no)
    with writing() as left:
        draft_visits.leave(left, made_id)
    return done(url_for("credit_notes.show", document_id=made_id))


def _save_typed(draft_id: int, version: int) -> None:
    """Save what stands in the fields and was not saved yet when the button was pressed, on the draft as its page showed it.

    An old page's fields are not what its person typed. Raises Stale, also since the sum is another now; BadInput for the
    first that cannot be read, the others are saved.
    """
    if not any("-" in name for name in request.form) or not _still_draft(draft_id):
        return
    before, wrong = read_form(draft_id), None
    with writing() as made:
        credit_form.require_shown(made, draft_id, version)
        for save in _unsaved(before):
            try:
                save(made)
            except BadInput as no:
                wrong = wrong or no
    if wrong is not None:
        raise wrong
    after = read_form(draft_id)
    if after.version != before.version:
        raise Stale(
            N_("What you typed is saved now, and the sum is %(now)s. Nothing has been sent; press the button again."),
            now=money.Amount(after.sums.gross_minor, after.currency),
        )


def _unsaved(before: CreditForm) -> Iterator[Callable[[Session], object]]:
    """What saves each field that says something else than the draft."""
    for row in before.rows:
        text = typed_row(row.id).quantity
        if text is not None and text.strip() != quantity_text(row.quantity_milli):
            save = partial(credit_drafts.set_quantity, actor=actor(), draft_id=before.id, line_id=row.id, text=text)
            yield partial(_save_clear, row.id, save)
    for new in before.added:
        fields = typed_row(new.id)
        if fields != credit_rows.Typed():
            change = partial(credit_rows.change, actor=actor(), draft_id=before.id, line_id=new.id, typed=fields)
            yield partial(_save_clear, new.id, change)


def _save_clear(line_id: int, save: Callable[[Session], object], made: Session) -> object:
    """Save a row whose quantity can be read in one way. Raises BadInput."""
    require_clear_row(line_id)
    return save(made)


def _still_draft(document_id: int) -> bool:
    with reading() as looked:
        return credit_form.is_draft(looked, document_id)


def _not_created(draft_id: int, no: Refusal) -> Response:
    """The draft as it is, with the no where it belongs: a difference to tick, a word to give, or a sentence."""
    if isinstance(no, Differs):
        return draft_answer(draft_id, no.status, differs=say(no), difference_minor=no.difference_minor)
    if no.field and no.field in request.form and "-" in no.field:
        marked = Typed(no.field, typed(no.field), no)
        return draft_answer(draft_id, no.status, typed=marked, why_off=_("Correct the marked quantity first."))
    if no.field == "warned":
        return draft_answer(draft_id, no.status, unwarned=say(no))
    if no.field == "portal_confirmed":
        return draft_answer(draft_id, no.status, confirm_portal=say(no))
    return draft_answer(draft_id, no.status, refused=say(no))


# --- List, paper -----------------------------------------------------------------------------------------------------------


@blueprint.get("/credit-notes")
@needs(Right.READ)
def index() -> Response:
    """Credit notes, drafts among them, newest first."""
    return list_answer("credit_notes.index", "credit_notes", DocKind.CREDIT_NOTE)


def _file_row(row: document_list.Row) -> list[str]:
    return [
        row.number or label(row.state),
        row.original_number or "",
        day(row.day),
        row.customer,
        label(row.type),
        gettext(row.badge[0]),
        money.plain(-row.gross_minor),
        money.plain(row.open_minor),
        row.currency,
    ]


@blueprint.get("/credit-notes.csv")
@needs(Right.READ)
def export() -> Response:
    """The list as a file."""
    return list_file("credit-notes.csv", HEADS, DocKind.CREDIT_NOTE, _file_row)


@blueprint.get("/credit-notes/<int:document_id>/print")
@needs(Right.READ)
def print_view(document_id: int) -> Response:
    """The credit note on paper, only once issued; ``?copy=1`` as for invoices (B23, B26)."""
    document = read_page(document_id, DocKind.CREDIT_NOTE)
    if document.state is not DocState.ISSUED:
        raise Refusal(N_("Only an issued document can be printed."))
    copy = request.args.get("copy") == "1"
    return page(
        "documents/print.html", document=document, copy=copy, back=document_url(document.kind, document.id), **WORDS
    )
