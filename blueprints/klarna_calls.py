"""What can be told to Klarna beside money: tracking, order numbers, a delivery address, a letter sent again, a later due date.

One page per order and one per invoice or credit note, each with the calls made so far. Source: reference 2.5 and 2.8; B31.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading
from errors import N_, Malformed, NotFound, Refusal
from models import Delivery, Document, KlarnaCall
from rights import Right
from services import deliveries, documents, klarna_call_rules, klarna_calls, orders
from services.countries import COUNTRIES
from services.klarna_calls import Tracking
from states import CallOutcome, DocKind
from web import (
    Form,
    LineField,
    UrlField,
    actor,
    done,
    flash_refusal,
    gateway,
    gettext,
    may,
    needs,
    page,
    read_nonce,
    say,
    why_not,
)
from web_documents import document_url, off

blueprint = Blueprint("klarna_calls", __name__)

_SHOWN_HERE = (409, 422, 429)
_TOLD = {
    CallOutcome.DONE: ("success", N_("Klarna has received it.")),
    CallOutcome.REFUSED: ("danger", N_("Klarna refused it. What Klarna said stands below.")),
    CallOutcome.UNCLEAR: ("warning", N_("Klarna's answer is unknown. Try again below: it is never done twice.")),
    CallOutcome.NOT_SENT: ("warning", N_("It did not reach Klarna. Try again below.")),
}


class TrackingForm(Form):
    """A parcel on its way."""

    carrier = LineField(lazy("Carrier"), most=deliveries.MAX_CARRIER, required=False)
    number = LineField(lazy("Tracking number"), most=deliveries.MAX_CARRIER)
    uri = UrlField(lazy("Tracking address"), required=False)

    def tracking(self) -> Tracking:
        """What was typed."""
        return Tracking(self.carrier.data, self.number.data, self.uri.data)


class ReferencesForm(Form):
    """The order numbers at Klarna."""

    first = LineField(lazy("Shown to the customer"), most=255, required=False)
    second = LineField(lazy("The shop's own"), most=255, required=False)


class AddressForm(Form):
    """Where the goods are to go."""

    street = LineField(lazy("Street"), most=100)
    street2 = LineField(lazy("Second line"), most=100, required=False)
    postal_code = LineField(lazy("Postal code"), most=10)
    city = LineField(lazy("City"), most=200)
    country = LineField(lazy("Country, two letters"), most=2)


def _answered(url: str, outcome: CallOutcome) -> Response:
    kind, text = _TOLD[outcome]
    return done(url, (kind, gettext(text)))


# --- An order --------------------------------------------------------------------------------------------------------------


def _order_answer(order_id: int, status: int = 200, refused: Refusal | None = None, **forms: Form) -> Response:
    with reading() as looked:
        order = orders.get(looked, order_id)
        party = json.loads(order.party)
        place = {**party, **party.get("delivery", {})}
        rows = klarna_call_rules.calls_of(looked, order.id)
        context: dict[str, Any] = {
            "number": order.number,
            "linked": order.klarna_order_id is not None,
            "no_tracking": off(klarna_call_rules.why_not_order_tracking(order)),
            "no_references": off(klarna_call_rules.why_not_references(order)),
            "no_address": off(klarna_call_rules.why_not_address(order)),
        }
        first, second = str(order.number), order.shop_number or ""
    return page(
        "klarna/order.html",
        panel="klarna/_order.html",
        status=status,
        order_id=order_id,
        refused=say(refused) if refused else None,
        calls=rows,
        tracking_form=forms.get("tracking") or TrackingForm(formdata=None, prefix="t-"),
        references_form=forms.get("references")
        or ReferencesForm(formdata=None, prefix="r-", first=first, second=second),
        address_form=forms.get("address")
        or AddressForm(formdata=None, prefix="a-", **{name: place.get(name, "") for name in klarna_calls.PLACE}),
        private=may(Right.SEE_PRIVATE),
        off=off,
        role=why_not(Right.WORK),
        **context,
    )


@blueprint.get("/orders/<int:order_id>/klarna")
@needs(Right.WORK)
def order(order_id: int) -> Response:
    """What can be told to Klarna about an order, and what has been."""
    return _order_answer(order_id)


def _of_order(order_id: int, name: str, form: Form, act: Callable[[], CallOutcome]) -> Response:
    """Send a form of the order's page; what was refused and what was typed come back on it."""
    if not form.accepted():
        return _order_answer(order_id, 422, **{name: form})
    try:
        outcome = act()
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        beside = no.field is not None
        form.refuse(no)
        return _order_answer(order_id, no.status, None if beside else no, **{name: form})
    return _answered(url_for("klarna_calls.order", order_id=order_id), outcome)


@blueprint.post("/orders/<int:order_id>/klarna/tracking")
@needs(Right.WORK)
def order_tracking(order_id: int) -> Response:
    """Add tracking to the order, before anything is invoiced."""
    nonce, form = read_nonce("order_tracking", order_id), TrackingForm(prefix="t-")
    return _of_order(
        order_id,
        "tracking",
        form,
        lambda: klarna_calls.add_order_tracking(gateway(), actor(), order_id, nonce, form.tracking()),
    )


@blueprint.post("/orders/<int:order_id>/klarna/references")
@needs(Right.WORK)
def references(order_id: int) -> Response:
    """Change the order numbers that Klarna shows."""
    nonce, form = read_nonce("references", order_id), ReferencesForm(prefix="r-")
    return _of_order(
        order_id,
        "references",
        form,
        lambda: klarna_calls.change_references(gateway(), actor(), order_id, nonce, form.first.data, form.second.data),
    )


@blueprint.post("/orders/<int:order_id>/klarna/address")
@needs(Right.WORK)
def address(order_id: int) -> Response:
    """Change where the goods are to go."""
    nonce, form = read_nonce("address", order_id), AddressForm(prefix="a-")
    form.country.data = (form.country.data or "").upper()
    if form.country.data and form.country.data not in COUNTRIES:
        form.country.process_errors = [gettext(N_("Write the country with its two letters, for example SE."))]
    wanted = {name: form[name].data for name in klarna_calls.PLACE}
    return _of_order(
        order_id,
        "address",
        form,
        lambda: klarna_calls.change_address(gateway(), actor(), order_id, nonce, wanted),
    )


# --- An invoice or a credit note ------------------------------------------------------------------------------------------


def _parcel(found: Sequence[Delivery]) -> Tracking:
    """The tracking of the last delivery that has one, to begin with."""
    last = next((each for each in reversed(found) if each.tracking_number), None)
    return Tracking(last.carrier, last.tracking_number, last.tracking_uri) if last is not None else Tracking()


def _document_answer(
    document_id: int, status: int = 200, refused: Refusal | None = None, form: TrackingForm | None = None
) -> Response:
    with reading() as looked:
        document = documents.get_numbered(looked, document_id)
        if document.order is None:
            raise NotFound
        credit = document.kind is DocKind.CREDIT_NOTE
        parcel = Tracking() if credit else _parcel(deliveries.listing(looked, document.order.id))
        why = off(klarna_call_rules.why_not_of_document(looked, document))
        rows = klarna_call_rules.calls_of(looked, document.order.id, document.id)
        number, url = document.number_text, document_url(document.kind, document.id)
    drawn = form or TrackingForm(formdata=None, carrier=parcel.carrier, number=parcel.number, uri=parcel.uri)
    return page(
        "klarna/document.html",
        panel="klarna/_document.html",
        status=status,
        document_id=document_id,
        number=number,
        credit=credit,
        back_url=url,
        refused=say(refused) if refused else None,
        why=why,
        calls=rows,
        form=drawn,
        off=off,
    )


@blueprint.get("/documents/<int:document_id>/klarna")
@needs(Right.WORK)
def document(document_id: int) -> Response:
    """What can be told to Klarna about an invoice or a return, and what has been."""
    return _document_answer(document_id)


@blueprint.post("/documents/<int:document_id>/klarna/tracking")
@needs(Right.WORK)
def tracking(document_id: int) -> Response:
    """Add tracking: of the delivery on an invoice, of the return on a credit note."""
    nonce, form = read_nonce("tracking", document_id), TrackingForm()
    if not form.accepted():
        return _document_answer(document_id, 422, form=form)
    with reading() as looked:
        back = documents.get_numbered(looked, document_id).kind is DocKind.CREDIT_NOTE
    add = klarna_calls.add_return_tracking if back else klarna_calls.add_tracking
    try:
        outcome = add(gateway(), actor(), document_id, nonce, form.tracking())
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _document_answer(document_id, no.status, no, form)
    return _answered(url_for("klarna_calls.document", document_id=document_id), outcome)


@blueprint.post("/documents/<int:document_id>/klarna/letter")
@needs(Right.WORK)
def letter(document_id: int) -> Response:
    """Have Klarna send the customer its letter again."""
    nonce = read_nonce("letter", document_id)
    try:
        outcome = klarna_calls.send_letter(gateway(), actor(), document_id, nonce)
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _document_answer(document_id, no.status, no)
    return _answered(url_for("klarna_calls.document", document_id=document_id), outcome)


def _due_date_answer(document_id: int, status: int = 200, refused: Refusal | None = None) -> Response:
    with reading() as looked:
        found = documents.get_numbered(looked, document_id)
        number, currency, url = found.number_text, found.currency, document_url(found.kind, found.id)
        why = klarna_call_rules.why_not_of_document(looked, found)
    offered, unread = [], None
    try:
        offered = klarna_calls.due_date_options(gateway(), document_id) if why is None else []
    except Refusal as no:
        unread = say(no)
    return page(
        "klarna/due_date.html",
        panel="klarna/_due_date.html",
        status=status,
        document_id=document_id,
        number=number,
        currency=currency,
        back_url=url,
        options=offered,
        unread=unread or off(why),
        refused=say(refused) if refused else None,
    )


@blueprint.get("/documents/<int:document_id>/due-date")
@needs(Right.WORK)
def due_date_page(document_id: int) -> Response:
    """How much longer Klarna would give the customer, and for what fee, asked just now."""
    return _due_date_answer(document_id)


@blueprint.post("/documents/<int:document_id>/due-date")
@needs(Right.WORK)
def due_date(document_id: int) -> Response:
    """Give the customer more time to pay, for the fee that the page showed."""
    nonce = read_nonce("due_date", document_id)
    days, _, fee = request.form.get("option", "").partition(":")
    if not all(each.isascii() and each.isdigit() and len(each) < 10 for each in (days, fee)):
        if request.form.get("option"):
            raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
        return _due_date_answer(document_id, 422, Refusal(N_("Choose one of the values in the list.")))
    try:
        outcome = klarna_calls.extend_due_date(gateway(), actor(), document_id, nonce, int(days), int(fee))
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _due_date_answer(document_id, no.status, no)
    return _answered(url_for("klarna_calls.document", document_id=document_id), outcome)


# --- Again --------------------------------------------------------------------------------------------------------------------


@blueprint.post("/klarna-calls/<int:call_id>/again")
@needs(Right.WORK)
def again(call_id: int) -> Response:
    """«Försök igen»: the same request under the same key."""
    nonce = read_nonce("again", call_id)
    with reading() as looked:
        call = looked.get(KlarnaCall, call_id)
        if call is None:
            raise NotFound
        url = url_for("klarna_calls.order", order_id=call.order_id)
        if call.document_id is not None:
            url = url_for("klarna_calls.document", document_id=looked.get_one(Document, call.document_id).id)
    try:
        outcome = klarna_calls.again(gateway(), actor(), call_id, nonce)
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        flash_refusal(no)
        return done(url)
    return _answered(url, outcome)
