"""Invoices: the last step before one exists, the list with its file, the page and the paper (F3-F28, B10-B12, B23)."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

import clock
import money
from db import reading
from errors import N_, BadInput, Malformed, Refusal
from rights import Right
from services import document_list, invoice_form, reservations
from services.drift import Differs
from services.invoice_form import LastStep
from services.invoices import Choices
from states import DocKind, DocState, DocType
from web import (
    EmailField,
    Form,
    PercentField,
    TickField,
    actor,
    done,
    gateway,
    is_htmx,
    label,
    needs,
    page,
    query_choice,
    say,
)
from web_document_list import list_answer, list_file
from web_documents import (
    WORDS,
    document_answer,
    document_url,
    money_form,
    off,
    read_page,
)
from web_words import day, gettext, spoken
from web_words import money as amount

blueprint = Blueprint("invoices", __name__)

FRESH = timedelta(minutes=1)
"""A reading this young is shown as it is when the last step opens; an older one is renewed."""
TYPES = (DocType.DELIVERY.value, DocType.FINAL.value, DocType.ADVANCE.value)
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


class PercentForm(Form):
    """What an advance is of the order (F29)."""

    percent = PercentField(lazy("Percent of the order amount"))


class BoxesForm(Form):
    """What else can be set in the last step (F8, F17, F18)."""

    release_rest = TickField(lazy("Release the rest of the reservation"))
    print_wanted = TickField(lazy("Print invoice"))
    mail_wanted = TickField(lazy("E-mail invoice"))
    mail_to = EmailField(lazy("E-mail address"), required=False)


# --- The last step -----------------------------------------------------------------------------------------------------


def _chosen() -> DocType | None:
    found = query_choice("type", TYPES, "")
    return DocType(found) if found else None


def _step(order_id: int, chosen: DocType | None, percent: str = "") -> LastStep:
    with reading(by_key=True) as looked:
        return invoice_form.last_step(looked, actor(), order_id, chosen, percent)


def _wrong(step: LastStep, refused: Refusal | None) -> str:
    """What is wrong with the percentage that was typed: the whole sentence of F29."""
    no = refused if refused is not None and refused.field == "percent" else step.percent_refusal
    return say(no) if no is not None else ""


def _boxes(step: LastStep, typed: BoxesForm | None) -> BoxesForm:
    """The boxes as they were ticked, else as the person's own suggestions have them (F17, F18, B22)."""
    own = step.suggested
    form = typed or BoxesForm(
        formdata=None,
        print_wanted=own.print_wanted,
        mail_wanted=bool(own.mail_to),
        mail_to=own.mail_to or step.mail_address,
    )
    form.release_rest.label.text = _(
        "Release the rest of the reservation, %(amount)s", amount=amount(step.rest_minor, step.currency)
    )
    return form


def _choices(form: BoxesForm, percent: int | None) -> Choices:
    """What the boxes say. Raises BadInput for an address that cannot be written to (F18)."""
    address = ""
    if form.mail_wanted.data:
        if not form.validate() or not form.mail_to.data:
            raise BadInput(N_("Write one e-mail address, for example name@example.com."), field="mail_to")
        address = form.mail_to.data
    return Choices(percent, bool(form.release_rest.data), bool(form.print_wanted.data), address)


def _answer(
    step: LastStep,
    status: int = 200,
    refused: Refusal | None = None,
    unread: str = "",
    typed: BoxesForm | None = None,
    part: bool = False,
) -> Response:
    boxes, wrong = _boxes(step, typed), _wrong(step, refused)
    if refused is not None and refused.field in ("percent", "mail_to"):
        if refused.field == "mail_to":
            boxes.mail_to.errors = [say(refused)]
        refused = None
    differs = refused if isinstance(refused, Differs) else None
    return page(
        "invoices/new.html",
        panel="invoices/_preview.html" if part else "invoices/_step.html",
        status=422 if step.percent_refusal else status,
        step=step,
        part=part,
        boxes=boxes,
        percent_form=PercentForm(formdata=MultiDict({"percent": step.percent}) if step.percent else None),
        percent_wrong=wrong,
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
    part, percent = request.args.get("part") == "preview", request.args.get("percent", "").strip()[:100]
    typed = BoxesForm(formdata=request.args) if request.args.get("boxes") == "1" else None
    step, unread = _step(order_id, _chosen(), percent), ""
    held = step.reservation
    if held is not None and (held.read_at is None or clock.now() - held.read_at > FRESH):
        try:
            reservations.look_at(gateway(), order_id)
        except Refusal as no:
            unread = say(no)
        step = _step(order_id, _chosen(), percent)
    return _answer(step, unread=unread, typed=typed, part=part and is_htmx())


@blueprint.post("/orders/<int:order_id>/invoice")
@needs(Right.WORK)
def create(order_id: int) -> Response:
    """Create the invoice and activate it at Klarna. Every outcome after the number is a state of its page (F7, F22, F25)."""
    form, boxes = money_form("invoice", order_id), BoxesForm(formdata=request.form)
    chosen: DocType | None = None
    percent = request.form.get("percent", "").strip()[:100]
    try:
        if request.form.get("type", "") not in TYPES:
            raise BadInput(N_("Choose a type of invoice from the list."), field="type")
        chosen = DocType(request.form["type"])
        version, choices = (
            _version(),
            _choices(boxes, _read_percent(order_id, percent) if chosen is DocType.ADVANCE else None),
        )
        document_id = reservations.invoice(gateway(), actor(), order_id, chosen, form, version, choices)
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _answer(_step(order_id, chosen, percent), no.status, no, typed=boxes)
    return done(url_for("invoices.show", document_id=document_id))


def _read_percent(order_id: int, text: str) -> int:
    with reading() as looked:
        return invoice_form.read_percent(looked, order_id, text)


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
        row.payment_method[spoken().code] or row.payment_method["sv"],
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
    """The list as a file."""
    return list_file("invoices.csv", HEADS, None, _file_row)


@blueprint.get("/invoices/<int:document_id>")
@needs(Right.READ)
def show(document_id: int) -> Response:
    """An invoice: frozen content, where it stands at Klarna and in the books, and what can be done."""
    return document_answer(read_page(document_id, DocKind.INVOICE))


@blueprint.route("/invoices/<int:document_id>/edit", methods=["GET", "POST"])
@blueprint.route("/invoices/<int:document_id>/delete", methods=["GET", "POST"])
@needs(Right.READ)
def change(document_id: int) -> Response:
    """There is no changing and no removing; who tries by address is told why (F6, K15)."""
    document = read_page(document_id, DocKind.INVOICE)
    if document.state is not DocState.ISSUED:
        raise Refusal(N_("A number cannot be removed. Void it instead."))
    if document.klarna is None:
        raise Refusal(N_("The invoice has been issued and is locked. Make a credit note instead."))
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
