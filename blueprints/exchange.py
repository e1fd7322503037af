"""Exchanges, guided: what comes back, what goes out, and which way fits; «Skapa ersättningsfaktura» (K30, K43-K46)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import money
from db import reading, transact, writing
from errors import N_, BadInput, NotFound, Refusal
from models import Document
from rights import Right
from services import credit_form, credit_rows, deliveries, documents, exchange, replacement
from services.credit_form import CreditForm
from services.credit_rows import Hit
from services.exchange import Plan, Way
from services.replacement import Out
from states import DocKind
from web import actor, done, needs, page, read_nonce, say, why_not
from web_credit import Typed, read_form, typed
from web_documents import off, read_page
from web_fields import WHOLE_NUMBER, clear_quantity
from web_words import amount as amount_text

blueprint = Blueprint("exchange", __name__)


class Chosen:
    """The article that goes out, as far as the form tells: the one hit of the search, or the one that was picked."""

    def __init__(self, session: Session) -> None:
        self.search = typed("article").strip()
        self.hits = credit_rows.find(session, self.search)
        picked = typed("article_id")
        same = [each for each in self.hits if str(each.id) == picked or each.number == self.search]
        self.hit: Hit | None = same[0] if same else self.hits[0] if len(self.hits) == 1 else None

    def require(self) -> Hit:
        """The one article. Raises BadInput for none or several."""
        if self.hit is not None:
            return self.hit
        if not self.search:
            raise BadInput(N_("Write the number or name of the article that goes out."), field="article")
        if not self.hits:
            raise BadInput(N_("There is no article «%(number)s»."), field="article", number=self.search)
        raise BadInput(N_("Several articles fit. Choose one of them."), field="article")

    def out(self) -> Out:
        """What goes out: quantity and price as typed, the article's own price where none is. Raises BadInput."""
        hit = self.require()
        quantity = money.parse_quantity(clear_quantity(typed("quantity") or "1", "quantity"), field="quantity")
        text = typed("price").strip()
        price = money.parse_amount(text, field="price") if text else hit.price_minor
        if price <= 0:
            raise BadInput(N_("Enter the price of what goes out."), field="price")
        return Out(hit.id, quantity, price)


def _warehouse() -> int | None:
    text = typed("warehouse_id")
    return int(text) if WHOLE_NUMBER.fullmatch(text) and len(text) < 19 else None


def _plan(form: CreditForm, chosen: Chosen) -> Plan:
    """What was typed. Raises BadInput beside its field."""
    back = {}
    for row in (*form.rows, *form.removed):
        text = typed(f"back-{row.id}").strip()
        if row.counted and text and text != "0":
            name = f"back-{row.id}"
            back[row.id] = money.parse_quantity(clear_quantity(text, name), field=name)
    return Plan(back, chosen.out(), _warehouse() or form.warehouse_id)


def _shown(draft_id: int, chosen: Chosen | None = None, status: int = 200, **more: Any) -> Response:
    form = read_form(draft_id)
    texts = {name: text[:100] for name, text in request.form.items()} if request.method == "POST" else {}
    return page(
        "credit_notes/exchange.html",
        status=status,
        form=form,
        chosen=chosen,
        texts=texts,
        role=why_not(Right.CREDIT),
        off=off,
        **{"typed": Typed(), "plan": None, "weighed": None, "refused": None, **more},
    )


@blueprint.get("/credit-notes/<int:document_id>/exchange")
@needs(Right.CREDIT)
def guide(document_id: int) -> Response:
    """«Byte»: first what comes back, then what goes out."""
    with reading() as looked:
        _require_draft(looked, document_id)
    return _shown(document_id)


def _require_draft(session: Session, document_id: int) -> Document:
    draft = documents.get(session, document_id)
    if not credit_form.is_draft(session, document_id) or draft.original_id is None:
        raise NotFound
    exchange.require_draft(draft)
    return draft


@blueprint.post("/credit-notes/<int:document_id>/exchange")
@needs(Right.CREDIT)
def decide(document_id: int) -> Response:
    """What the exchange comes to; ``act`` says whether to show that, to fill the draft with it, or to carry an even one out."""
    act = typed("act")
    nonce = read_nonce("exchange", document_id) if act == "carry_out" else ""
    form = read_form(document_id) if _is_draft(document_id) else None
    if form is None:
        return done(url_for("credit_notes.show", document_id=document_id))
    with reading() as looked:
        chosen = Chosen(looked)
    try:
        plan = _plan(form, chosen)
        with reading() as looked:
            weighed = exchange.weigh(looked, _require_draft(looked, document_id), plan)
        if act == "carry_out" and weighed.way is Way.EVEN:
            return _carry_out(document_id, nonce, plan)
        if act == "prepare" and weighed.way is not Way.EVEN:
            with writing() as made:
                exchange.prepare(made, actor(), document_id, plan, way=weighed.way)
            return done(url_for("credit_notes.show", document_id=document_id))
    except Refusal as no:
        if not _is_draft(document_id):
            said = _("The draft has become this credit note meanwhile. Nothing more has been done.")
            return done(url_for("credit_notes.show", document_id=document_id), ("warning", said))
        if no.status not in (403, 409, 422):
            raise
        return _not_so(document_id, chosen, no)
    return _shown(document_id, chosen, plan=plan, weighed=weighed)


def _is_draft(document_id: int) -> bool:
    with reading() as looked:
        return credit_form.is_draft(looked, document_id)


def _not_so(document_id: int, chosen: Chosen, no: Refusal) -> Response:
    marked = Typed(no.field or "", typed(no.field or ""), no)
    beside = no.field is not None and no.field != "back"
    return _shown(document_id, chosen, no.status, typed=marked, refused=None if beside else say(no))


def _carry_out(document_id: int, nonce: str, plan: Plan) -> Response:
    def carry_out(made: Session) -> tuple[str | None, str | None]:
        note = exchange.carry_out(made, actor(), nonce, document_id, plan)
        ((invoice, _amount),) = replacement.partners(made, note)
        return note.number_text, invoice.number_text

    note, invoice = transact(carry_out)
    said = _(
        "The exchange is done: credit note %(note)s and replacement invoice %(invoice)s. Nothing was sent to Klarna.",
        note=note,
        invoice=invoice,
    )
    return done(url_for("credit_notes.show", document_id=document_id), ("success", said))


# --- The replacement invoice -------------------------------------------------------------------------------------------


@blueprint.get("/credit-notes/<int:document_id>/replacement")
@needs(Right.WORK)
def offer(document_id: int) -> Response:
    """«Skapa ersättningsfaktura» for a credit note of an even exchange (K30)."""
    return _offer(document_id)


def _offer(document_id: int, chosen: Chosen | None = None, status: int = 200, no: Refusal | None = None) -> Response:
    document = read_page(document_id, DocKind.CREDIT_NOTE)
    with reading() as looked:
        note = documents.get(looked, document_id)
        refusal = replacement.why_no_replacement(actor(), note)
        places = [(each.id, each.name) for each in deliveries.warehouses(looked)]
        standard = note.restock_warehouse_id
    texts = {name: text[:100] for name, text in request.form.items()} if request.method == "POST" else {}
    beside = no is not None and no.field is not None
    return page(
        "credit_notes/replacement.html",
        status=status,
        document=document,
        chosen=chosen,
        texts=texts,
        typed=Typed(no.field or "", typed(no.field or ""), no) if no is not None else Typed(),
        refused=say(no) if no is not None and not beside else None,
        why_off=off(refusal),
        warehouses=places,
        warehouse_id=_warehouse() or standard,
        price=amount_text(document.gross_minor),
    )


@blueprint.post("/credit-notes/<int:document_id>/replacement")
@needs(Right.WORK)
def replace(document_id: int) -> Response:
    """Make the replacement invoice and offset it; one form makes one (K30, operations 12)."""
    nonce = read_nonce("replacement", document_id)
    with reading() as looked:
        chosen = Chosen(looked)
    try:
        out = chosen.out()
        place = _warehouse()
        invoice = transact(lambda made: replacement.replace(made, actor(), nonce, document_id, [out], place))
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _offer(document_id, chosen, no.status, no)
    said = _("Replacement invoice %(number)s has been made. Nothing was sent to Klarna.", number=invoice.number_text)
    return done(url_for("invoices.show", document_id=invoice.id), ("success", said))
