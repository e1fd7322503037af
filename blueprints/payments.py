"""Payments by hand of an invoice or a credit note: the list, «Registrera betalning», and taking one back (F2, B7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import clock
import money
from db import reading, writing
from errors import Refusal
from models import Document
from rights import Right
from services import document_payment, documents, owed, payments
from services.payments import Wanted
from states import DocKind
from web import (
    AmountField,
    ChoiceField,
    DayField,
    Form,
    LineField,
    TickField,
    WholeField,
    actor,
    done,
    needs,
    page,
    read_nonce,
    say,
)
from web_documents import ReasonForm, document_url
from web_words import gettext as _

blueprint = Blueprint("payments", __name__)


class PaymentForm(Form):
    """What was paid, when, to which account, and why by hand."""

    amount = AmountField(lazy("Amount"))
    day = DayField(lazy("Payment date"))
    account = ChoiceField(lazy("Account"), coerce=int)
    reason = LineField(lazy("Reason"), most=200, required=False)
    overpay = TickField(lazy("More was paid than is left"))


class SurplusForm(Form):
    """When and against which account a surplus is cleared; ``shown`` is the surplus the page showed."""

    day = DayField(lazy("Date"))
    account = ChoiceField(lazy("Account"), coerce=int)
    shown = WholeField(lazy("Surplus"), most=money.MAX_AMOUNT_MINOR)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the page says of the document."""

    id: int
    kind: DocKind
    number: str
    customer: str
    currency: str
    gross_minor: int
    open_minor: int
    left_minor: int
    ocr: str | None
    due_date: Any
    klarnas: bool
    why_off: Refusal | None


def _shown(document: Document) -> _Shown:
    return _Shown(
        id=document.id,
        kind=document.kind,
        number=document.number_text or "",
        customer=document.customer.name,
        currency=document.currency,
        gross_minor=document.gross_minor or 0,
        open_minor=document.open_minor,
        left_minor=payments.left_minor(document),
        ocr=document.ocr,
        due_date=document.due_date,
        klarnas=owed.is_at_klarna(document),
        why_off=payments.why_not(actor(), document),
    )


def _answer(document_id: int, form: PaymentForm | None = None, back: ReasonForm | None = None, **more: Any) -> Response:
    with reading() as looked:
        document = _shown(documents.get_numbered(looked, document_id))
        rows = payments.of_document(looked, document_id)
        choices = payments.accounts(looked)
    if form is None:
        form = PaymentForm(formdata=None, amount=max(document.left_minor, 0) or None, day=clock.today())
    form.account.choices = choices
    return page(
        "payments/index.html",
        document=document,
        rows=rows,
        form=form,
        back_form=back or ReasonForm(formdata=None),
        why_off=say(document.why_off) if document.why_off else None,
        document_url=document_url(document.kind, document.id),
        **more,
    )


@blueprint.get("/documents/<int:document_id>/payments")
@needs(Right.READ)
def index(document_id: int) -> Response:
    """The payments of a document, and the form for a new one."""
    return _answer(document_id)


@blueprint.post("/documents/<int:document_id>/payments")
@needs(Right.BOOKS)
def register(document_id: int) -> Response:
    """Register a payment; one form does it once."""
    form = PaymentForm()
    with reading() as looked:
        kind = documents.get_numbered(looked, document_id).kind
        form.account.choices = payments.accounts(looked)
    nonce = read_nonce(payments.ACTION, document_id)
    if not form.accepted():
        return _answer(document_id, form, status=422)
    wanted = Wanted(form.amount.data, form.day.data, form.account.data, form.reason.data or "", form.overpay.data)
    try:
        with writing() as changed:
            payments.register(changed, actor(), document_id, nonce, wanted)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _answer(document_id, form, status=form.refuse(refusal))
    return done(document_url(kind, document_id), ("success", _("The payment has been registered and booked.")))


@blueprint.post("/documents/<int:document_id>/payments/<int:payment_id>/take-back")
@needs(Right.BOOKS)
def take_back(document_id: int, payment_id: int) -> Response:
    """Undo a payment registered by mistake, with a reason."""
    form = ReasonForm()
    if not form.accepted():
        return _answer(document_id, back=form, opened=payment_id, status=422)
    try:
        with writing() as changed:
            payments.take_back(changed, actor(), document_id, payment_id, form.reason.data)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _answer(document_id, back=form, opened=payment_id, status=form.refuse(refusal))
    return done(
        url_for("payments.index", document_id=document_id),
        ("success", _("The payment has been taken back. Both rows stay in the books.")),
    )


# --- Overpayments (B8) -----------------------------------------------------------------------------------------------------


def _surplus(document_id: int, form: SurplusForm | None = None, status: int = 200) -> Response:
    with reading() as looked:
        found = documents.get_numbered(looked, document_id)
        document, surplus = _shown(found), payments.surplus_minor(found)
        why_off = payments.why_no_surplus(actor(), found)
        by_hand = [row for row in payments.of_document(looked, document_id) if row.kind == "payment" and not row.undoes]
        choices = payments.accounts(looked)
        offset = document_payment.offset_sums(looked, [document_id]).get(document_id, 0)
    shown = form or SurplusForm(formdata=None, day=clock.today())
    shown.account.choices = choices
    return page(
        "payments/surplus.html",
        status=status,
        document=document,
        surplus_minor=surplus,
        offset_minor=offset,
        by_hand=[row for row in by_hand if not row.taken_back],
        form=shown,
        why_off=say(why_off) if why_off else None,
        document_url=document_url(document.kind, document.id),
    )


@blueprint.get("/documents/<int:document_id>/surplus")
@needs(Right.READ)
def surplus(document_id: int) -> Response:
    """The surplus of a document, and the form that books it away."""
    return _surplus(document_id)


@blueprint.post("/documents/<int:document_id>/surplus")
@needs(Right.BOOKS)
def book_away(document_id: int) -> Response:
    """«Boka bort»: clear the surplus; one form does it once."""
    form = SurplusForm()
    with reading() as looked:
        kind = documents.get_numbered(looked, document_id).kind
        form.account.choices = payments.accounts(looked)
    nonce = read_nonce(payments.AWAY, document_id)
    if not form.accepted():
        return _surplus(document_id, form, 422)
    try:
        with writing() as changed:
            payments.book_away(
                changed, actor(), document_id, nonce,
                shown_minor=form.shown.data, day=form.day.data, account=form.account.data,
            )  # fmt: skip
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _surplus(document_id, form, form.refuse(refusal))
    return done(document_url(kind, document_id), ("success", _("The surplus has been booked away.")))
