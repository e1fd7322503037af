"""Invoices: the last step before one exists, the list with its file, the page and the paper (F3-F28, B10-B12, B23)."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

import clock
import money
from db import reading
from errors import N_, BadInput, Malformed, Refusal
from rights import Right
from services import document_list, invoice_form, reservations
from services.drift import Differs
from services.invoice_form import LastStep
from states import DocKind, DocState, DocType
from web import actor, done, gateway, label, needs, page, query_choice, say
from web_document_list import list_answer, read_export
from web_documents import (
    WORDS,
    document_answer,
    document_url,
    money_form,
    off,
    read_page,
    sheet,
)
from web_words import day, gettext

blueprint = Blueprint("invoices", __name__)

FRESH = timedelta(minutes=1)
"""A reading this young is shown as it is when the last step opens; an older one is renewed."""
TYPES = (DocType.DELIVERY.value, DocType.FINAL.value)
PAID = {"none": N_("Unpaid"), "partly": N_("Partly paid"), "full": N_("Paid"), "over": N_("Overpaid")}
HEADS = (
    N_("Invoice"),
    N_("Basis"),
    N_("Date"),
    N_("Payment method"),
    N_("Customer"),
    N_("Invoice type"),
    N_("Status"),
    N_("Amount"),
    N_("Outstanding claim"),
    N_("Currency"),
    N_("Payment"),
    N_("Klarna's number"),
)


# --- The last step -----------------------------------------------------------------------------------------------------


def _chosen() -> DocType | None:
    found = query_choice("type", TYPES, "")
    return DocType(found) if found else None


def _step(order_id: int, chosen: DocType | None) -> LastStep:
    with reading() as looked:
        return invoice_form.last_step(looked, actor(), order_id, chosen)


def _answer(step: LastStep, status: int = 200, refused: Refusal | None = None, unread: str = "") -> Response:
    differs = refused if isinstance(refused, Differs) else None
    return page(
        "invoices/new.html",
        panel="invoices/_step.html",
        status=status,
        step=step,
        refused=say(refused) if refused and not differs else None,
        differs=say(differs) if differs else off(step.difference),
        difference_minor=differs.difference_minor if differs else step.difference_minor,
        unread=unread,
        why_off=off(step.refusal),
        types=[
            {
                "label": label(each),
                "url": url_for("invoices.new", order_id=step.order_id, type=each.value),
                "active": each is step.type,
            }
            for each in step.types
        ],
        today=clock.today(),
        **WORDS,
    )


@blueprint.get("/orders/<int:order_id>/invoice")
@needs(Right.WORK)
def new(order_id: int) -> Response:
    """The last step. It sends nothing that changes anything; a reading older than a minute is renewed (F7, F14)."""
    step, unread = _step(order_id, _chosen()), ""
    held = step.reservation
    if held is not None and (held.read_at is None or clock.now() - held.read_at > FRESH):
        try:
            reservations.look_at(gateway(), order_id)
        except Refusal as no:
            unread = say(no)
        step = _step(order_id, _chosen())
    return _answer(step, unread=unread)


@blueprint.post("/orders/<int:order_id>/invoice")
@needs(Right.WORK)
def create(order_id: int) -> Response:
    """Create the invoice and activate it at Klarna. Every outcome after the number is a state of its page (F7, F22, F25)."""
    form = money_form("invoice", order_id)
    chosen: DocType | None = None
    try:
        if request.form.get("type", "") not in TYPES:
            raise BadInput(N_("Choose a type of invoice from the list."), field="type")
        chosen = DocType(request.form["type"])
        document_id = reservations.invoice(gateway(), actor(), order_id, chosen, form, _version())
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _answer(_step(order_id, chosen), no.status, no)
    return done(url_for("invoices.show", document_id=document_id))


def _version() -> int:
    """The order's version when the form was drawn, since its rows may change and its sum not (operations 12)."""
    version = request.form.get("version", "")
    if not (version.isascii() and version.isdigit()):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    return int(version[:18])


# --- List, page, paper -----------------------------------------------------------------------------------------------------


@blueprint.get("/invoices")
@needs(Right.READ)
def index() -> Response:
    """Invoices and credit notes, unpaid and partly paid first; one click shows all (B10, B11)."""
    return list_answer("invoices.index", "invoices", None)


def _file_row(row: document_list.Row) -> list[str]:
    credit = row.kind is DocKind.CREDIT_NOTE
    return [
        row.number or "",
        (row.original_number if credit else str(row.order_number or "")) or "",
        day(row.day),
        row.payment_method["sv"],
        row.customer,
        label(row.type),
        gettext(row.badge[0]),
        money.plain(-row.gross_minor if credit else row.gross_minor),
        money.plain(row.open_minor),
        row.currency,
        gettext(PAID[row.paid]) if row.paid else "",
        row.klarna_number or "",
    ]


@blueprint.get("/invoices.csv")
@needs(Right.READ)
def export() -> Response:
    """The list as a file, at most 10,000 rows, and then it says so."""
    rows, whole = read_export(None)
    note = "" if whole else _("Only the first %(most)s rows are in the file.", most=document_list.EXPORT_CAP)
    return sheet("invoices.csv", HEADS, map(_file_row, rows), note)


@blueprint.get("/invoices/<int:document_id>")
@needs(Right.READ)
def show(document_id: int) -> Response:
    """An invoice: frozen content, where it stands at Klarna and in the books, and what can be done."""
    return document_answer(read_page(document_id, DocKind.INVOICE))


@blueprint.route("/invoices/<int:document_id>/<any(edit, delete):act>", methods=["GET", "POST"])
@needs(Right.READ)
def change(document_id: int, act: str) -> Response:
    """There is no changing and no removing; who tries by address is told why (F6, K15)."""
    document = read_page(document_id, DocKind.INVOICE)
    if document.state is not DocState.ISSUED or act == "delete" and document.klarna is None:
        raise Refusal(N_("A number cannot be removed. Void it instead."))
    raise Refusal(N_("The invoice has been sold to Klarna and is locked. Make a credit note instead."))


@blueprint.get("/invoices/<int:document_id>/print")
@needs(Right.READ)
def print_view(document_id: int) -> Response:
    """The invoice on paper, only once issued; with ``?copy=1`` marked «Kopia», which is where lists and pages lead (B23).

    Opening a page writes nothing, so that Kvitta does not know what has been printed before: the sheet has a link to
    the original, for whoever prints it for the first time.
    """
    document = read_page(document_id, DocKind.INVOICE)
    if document.state is not DocState.ISSUED:
        raise Refusal(N_("Only an issued document can be printed."))
    copy = request.args.get("copy") == "1"
    return page(
        "documents/print.html", document=document, copy=copy, back=document_url(document.kind, document.id), **WORDS
    )
