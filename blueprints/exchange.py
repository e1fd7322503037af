"""Exchanges, guided: what comes back, what goes out, and which way fits; «Skapa ersättningsfaktura» (K30, K43-K46)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from web_words import amount_to_type

blueprint = Blueprint("exchange", __name__)


MOST_OUT = 10
FIELDS = ("article", "article_id", "quantity", "price")
"""What a row of what goes out is typed into; each name ends in the row's number, as ``price-0``."""


class Outgoing:
    """A row of what goes out, as far as the form tells: the one hit of the search, or the one that was picked."""

    def __init__(self, session: Session, number: int, texts: Mapping[str, str]) -> None:
        self.number, self.texts = number, texts
        self.search = texts["article"].strip()
        self.hits = credit_rows.find(session, self.search)
        picked = texts["article_id"]
        same = [each for each in self.hits if str(each.id) == picked or each.number == self.search]
        self.hit: Hit | None = same[0] if same else self.hits[0] if len(self.hits) == 1 else None

    def name(self, field: str) -> str:
        """What a field of this row is called."""
        return f"{field}-{self.number}"

    @property
    def empty(self) -> bool:
        """Whether nobody has said what it is to be."""
        return not self.search and not self.texts["price"].strip()

    def _require(self) -> Hit:
        if self.hit is not None:
            return self.hit
        field = self.name("article")
        if not self.search:
            raise BadInput(N_("Write the number or name of the article that goes out."), field=field)
        if not self.hits:
            raise BadInput(N_("There is no article «%(number)s»."), field=field, number=self.search)
        raise BadInput(N_("Several articles fit. Choose one of them."), field=field)

    def out(self) -> Out:
        """What goes out: quantity and price as typed, the article's own price where none is. Raises BadInput beside its field."""
        hit, quantity, price = self._require(), self.name("quantity"), self.name("price")
        milli = money.parse_quantity(clear_quantity(self.texts["quantity"] or "1", quantity), field=quantity)
        text = self.texts["price"].strip()
        minor = money.parse_amount(text, field=price) if text else hit.price_minor
        if minor <= 0:
            raise BadInput(N_("Enter the price of what goes out."), field=price)
        return Out(hit.id, milli, minor, self.number)


def _outgoing(session: Session, price: str = "") -> list[Outgoing]:
    """The rows of what goes out as they were typed, one more or one less where that was asked for; at first one."""
    rows = [
        {field: typed(f"{field}-{number}") for field in FIELDS} for number in range(_count(typed("rows"), MOST_OUT))
    ]
    dropped = _count(typed("drop"), len(rows))
    if request.form.get("drop") and len(rows) > 1:
        del rows[min(dropped, len(rows) - 1)]
    if not rows or (typed("act") == "add" and len(rows) < MOST_OUT):
        rows.append({**dict.fromkeys(FIELDS, ""), "quantity": "1", "price": "" if rows else price})
    return [Outgoing(session, number, texts) for number, texts in enumerate(rows)]


def _count(text: str, most: int) -> int:
    return min(int(text), most) if WHOLE_NUMBER.fullmatch(text) else 0


def _is_only_drawn() -> bool:
    """Whether a row more or less is all that is wanted."""
    return typed("act") == "add" or bool(request.form.get("drop"))


def _outs(rows: Sequence[Outgoing]) -> list[Out]:
    """What goes out; a row nobody has filled in is none. Raises BadInput."""
    return [each.out() for each in [each for each in rows if not each.empty] or rows[:1]]


def _warehouse() -> int | None:
    text = typed("warehouse_id")
    return int(text) if WHOLE_NUMBER.fullmatch(text) and len(text) < 19 else None


def _plan(form: CreditForm, rows: Sequence[Outgoing]) -> Plan:
    """What was typed. Raises BadInput beside its field."""
    back = {}
    for row in (*form.rows, *form.removed):
        text = typed(f"back-{row.id}").strip()
        if row.counted and text and text != "0":
            name = f"back-{row.id}"
            back[row.id] = money.parse_quantity(clear_quantity(text, name), field=name)
    return Plan(back, _outs(rows), _warehouse() or form.warehouse_id)


def _shown(draft_id: int, rows: Sequence[Outgoing] | None = None, status: int = 200, **more: Any) -> Response:
    form = read_form(draft_id)
    if rows is None:
        with reading() as looked:
            rows = _outgoing(looked)
    texts = {name: text[:100] for name, text in request.form.items()} if request.method == "POST" else {}
    return page(
        "credit_notes/exchange.html",
        panel="credit_notes/_exchange.html",
        status=status,
        form=form,
        outgoing=rows,
        most=MOST_OUT,
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
        rows = _outgoing(looked)
    if _is_only_drawn():
        return _shown(document_id, rows)
    try:
        plan = _plan(form, rows)
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
        return _not_so(document_id, rows, no)
    return _shown(document_id, rows, plan=plan, weighed=weighed)


def _is_draft(document_id: int) -> bool:
    with reading() as looked:
        return credit_form.is_draft(looked, document_id)


def _not_so(document_id: int, rows: Sequence[Outgoing], no: Refusal) -> Response:
    marked = Typed(no.field or "", typed(no.field or ""), no)
    return _shown(document_id, rows, no.status, typed=marked, refused=None if _is_beside(no, rows) else say(no))


def _is_beside(no: Refusal, rows: Sequence[Outgoing]) -> bool:
    """Whether there is a field on the page that the sentence belongs beside."""
    names = {"warehouse_id", *(row.name(field) for row in rows for field in FIELDS)}
    return no.field in names or (no.field or "").startswith("back-")


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


def _offer(
    document_id: int, rows: Sequence[Outgoing] | None = None, status: int = 200, no: Refusal | None = None
) -> Response:
    document = read_page(document_id, DocKind.CREDIT_NOTE)
    with reading() as looked:
        rows = _outgoing(looked, amount_to_type(document.gross_minor)) if rows is None else rows
        note = documents.get(looked, document_id)
        refusal = replacement.why_no_replacement(actor(), note)
        places = [(each.id, each.name) for each in deliveries.warehouses(looked)]
        standard = note.restock_warehouse_id
    texts = {name: text[:100] for name, text in request.form.items()} if request.method == "POST" else {}
    beside = no is not None and _is_beside(no, rows)
    return page(
        "credit_notes/replacement.html",
        panel="credit_notes/_replacement.html",
        status=status,
        document=document,
        outgoing=rows,
        most=MOST_OUT,
        texts=texts,
        typed=Typed(no.field or "", typed(no.field or ""), no) if no is not None else Typed(),
        refused=say(no) if no is not None and not beside else None,
        why_off=off(refusal),
        warehouses=places,
        warehouse_id=_warehouse() or standard,
    )


@blueprint.post("/credit-notes/<int:document_id>/replacement")
@needs(Right.WORK)
def replace(document_id: int) -> Response:
    """Make the replacement invoice and offset it; one form makes one (K30, operations 12)."""
    nonce = read_nonce("replacement", document_id)
    with reading() as looked:
        rows = _outgoing(looked)
    if _is_only_drawn():
        return _offer(document_id, rows)
    try:
        out, place = _outs(rows), _warehouse()
        invoice = transact(lambda made: replacement.replace(made, actor(), nonce, document_id, out, place))
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _offer(document_id, rows, no.status, no)
    said = _("Replacement invoice %(number)s has been made. Nothing was sent to Klarna.", number=invoice.number_text)
    return done(url_for("invoices.show", document_id=invoice.id), ("success", said))
