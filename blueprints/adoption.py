"""«Bokför»: what was made outside Kvitta gets its document on a page of its own (F24, B20, K31; operations 13).

Finance does it, with the password typed again; a form is used once. Source: security 33.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading
from errors import Refusal
from rights import Right
from services import adoption, adoption_form, adoption_rows, breaks, reservations
from services.adoption_form import AdoptForm
from services.adoption_rows import Rest, Wish
from services.looks import Look
from web import (
    ChoiceField,
    Form,
    LineField,
    QuantityField,
    TickField,
    actor,
    done,
    gateway,
    needs,
    page,
    query_whole,
    read_nonce,
    say,
)
from web_agreement import shown
from web_documents import document_url

blueprint = Blueprint("adoption", __name__)

SHORT = 16
"""Ids are shorter than this."""


class WishForm(Form):
    """What becomes of the part that no row accounts for; a quantity per row is added for each difference."""

    rest = TickField(lazy("Give what is left over a row of its own"))
    rest_kind = ChoiceField(lazy("What the row is"))
    rest_name = LineField(lazy("Text of the row"), most=adoption_rows.LONGEST_NAME, required=False)
    rest_rate = ChoiceField(lazy("VAT rate"), coerce=int)
    restock = TickField(lazy("Put credited articles back in stock"))

    def wish(self, invoice_id: int | None) -> Wish:
        """What was chosen, for the service."""
        rest = Rest(self.rest_kind.data, self.rest_name.data, self.rest_rate.data) if self.rest.data else None
        quantities = {
            int(name.removeprefix("quantity_")): field.data
            for name, field in self._fields.items()
            if name.startswith("quantity_") and field.data
        }
        return Wish(None, invoice_id, quantities, rest, bool(self.restock.data))


def _form(
    fields: Mapping[int, tuple[str, int]], rates: Sequence[int], refund: bool, rate: int, **typed: Any
) -> WishForm:
    """The form with these rows, by id: the name and the quantity each is prefilled with."""

    class This(WishForm):
        """The form of one difference."""

    for row_id, (name, milli) in fields.items():
        field = QuantityField(_("Quantity of %(name)s", name=name), zero=True, required=False, default=milli)
        setattr(This, f"quantity_{row_id}", field)
    text = _("Amount credited at Klarna") if refund else _("Amount activated at Klarna")
    made = This(**typed, rest_kind=adoption_rows.ROW, rest_name=text, rest_rate=rate)
    made.rest_rate.choices = [(each, f"{each // 100} %") for each in rates]
    made.rest_kind.choices = [(adoption_rows.ROW, _("A charge or a reduction of its own"))]
    if not refund:
        made.rest_kind.choices.append((adoption_rows.ADVANCE, _("An advance, deducted on later invoices")))
    return made


def _rows_form(shown_form: AdoptForm, **typed: Any) -> WishForm:
    """The form as the page draws it, prefilled with what is proposed, or as it was typed."""
    fields = {row.id: (row.name, row.proposed_milli) for row in shown_form.rows}
    return _form(fields, shown_form.rates, shown_form.is_refund, shown_form.rate, **typed)


def _typed_form() -> WishForm:
    """What was sent, whatever has become of the difference meanwhile: the same form again is the same wish."""
    names = [name.removeprefix("quantity_") for name in request.form if name.startswith("quantity_")]
    ids = [int(name) for name in names if name.isascii() and name.isdigit() and len(name) < SHORT]
    with reading() as looked:
        rates = adoption_rows.rates(looked)
    return _form(dict.fromkeys(ids, ("", 0)), rates, refund=False, rate=0)


def _read_form(break_id: int, look: Look | None) -> AdoptForm:
    invoice_id = _posted("invoice_id") if request.method == "POST" else query_whole("invoice", 0) or None
    with reading() as looked:
        return adoption_form.form(looked, break_id, look, invoice_id)


def _posted(name: str) -> int | None:
    """An id that the page carries; None where there is none."""
    text = request.form.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < SHORT else None


def _adopt_answer(
    form: AdoptForm, rows: WishForm, status: int = 200, refused: Refusal | None = None, unread: str = ""
) -> Response:
    return page(
        "agreement/adopt.html",
        panel="agreement/_adopt.html",
        status=status,
        form=form,
        rows=rows,
        sentence=shown([form.difference])[0]["text"],
        refused=say(refused) if refused else None,
        why_off=say(form.refusal) if form.refusal else None,
        unread=unread,
        invoices=[
            {
                "label": number,
                "url": url_for("adoption.adopt_page", break_id=form.break_id, invoice=invoice_id),
                "active": invoice_id == form.invoice_id,
            }
            for invoice_id, number in form.invoices
        ],
    )


@blueprint.get("/differences/<int:break_id>/adopt")
@needs(Right.DECIDE, confirmed=True)
def adopt_page(break_id: int) -> Response:
    """«Bokför»: choose the rows an act stands for, as Klarna's own lines suggest."""
    with reading() as looked:
        order_id = adoption.order_of(breaks.get(looked, break_id))
    look, unread = None, ""
    try:
        look = reservations.look_at(gateway(), order_id)
    except Refusal as no:
        unread = say(no)
    form = _read_form(break_id, look)
    return _adopt_answer(form, _rows_form(form), unread=unread)


@blueprint.post("/differences/<int:break_id>/adopt")
@needs(Right.DECIDE, confirmed=True)
def adopt(break_id: int) -> Response:
    """Book it: a document issued by what Klarna shows at this moment, once (F24, B20)."""
    nonce = read_nonce("adopt", break_id)
    document_id = _posted("document_id")
    if document_id is not None:
        return _adopted(break_id, Wish(document_id=document_id), nonce)
    typed = _typed_form()
    if not typed.accepted():
        form = _read_form(break_id, None)
        rows = _rows_form(form)
        rows.accepted()
        return _adopt_answer(form, rows, 422)
    return _adopted(break_id, typed.wish(_posted("invoice_id")), nonce)


def _adopted(break_id: int, wish: Wish, nonce: str) -> Response:
    try:
        document_id = adoption.adopt(gateway(), actor(), break_id, wish, nonce)
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        try:
            form = _read_form(break_id, None)
        except Refusal:
            raise no from None
        rows = _rows_form(form) if wish.document_id is None else _rows_form(form, formdata=None)
        if no.field and no.field in rows:
            return _adopt_answer(form, rows, rows.refuse(no))
        return _adopt_answer(form, rows, no.status, no)
    with reading() as looked:
        kind, in_payout = adoption.made(looked, document_id, break_id)
    message = None
    if in_payout:
        message = ("info", _("A settlement told of it. Press Match again there, so that its row finds the document."))
    return done(document_url(kind, document_id), message)
