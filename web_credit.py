"""What the pages of a credit note's draft share: its context, what was typed and could not be saved, its answers (K10-K46)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from db import reading
from errors import Refusal
from models import Document
from services import approvals, credit_form, credit_rows, draft_visits, goods_returns
from services.approvals import OnDraft
from services.credit_form import CreditForm, CreditRow, NewRow
from services.credit_rows import Hit
from web import ChoiceField, Form, LineField, RadioChoiceField, TickField, actor, done, fragment, page, say
from web_access import is_htmx
from web_documents import WORDS, off, reason_choices
from web_fields import QuantityTextField, clear_quantity
from web_words import gettext as _
from web_words import percent

LONGEST_TYPED = 100
SUM_ONLY = "credit_notes/_row_saved.html"
"""What a typed quantity changes: amounts, the sum and the Klarna block, and none of the boxes."""


class OptionsForm(Form):
    """The boxes of a draft (K20, K24, K25)."""

    restock = TickField(lazy("Put credited articles back in stock"))
    warehouse_id = ChoiceField(lazy("Warehouse"), coerce=int)
    without_klarna = TickField(lazy("No, do not carry out any credit at Klarna."))
    reason = RadioChoiceField(lazy("Reason"))


class FreeRowForm(Form):
    """A row that a person writes; what the fields hold is read by the service (K27, K28)."""

    name = LineField(lazy("Description"), required=False)
    quantity = QuantityTextField(lazy("Quantity"), most=LONGEST_TYPED, default="1", required=False)
    price = LineField(lazy("Unit price"), most=LONGEST_TYPED, required=False)
    vat_rate = ChoiceField(lazy("VAT"))


class FreightForm(Form):
    """«Returfrakt»: what the customer is charged for the way back (requirements, question 7)."""

    freight = LineField(lazy("Return freight, charged to the customer"), most=LONGEST_TYPED, required=False)


class Typed:
    """What a person typed into a draft that could not be saved: the text of every field, and the sentence of one."""

    def __init__(
        self, field: str = "", text: str = "", refusal: Refusal | None = None, texts: Mapping[str, str] | None = None
    ) -> None:
        self.field, self.text = field, text
        self.texts = dict(texts or {})
        self.sentence = say(refusal) if refusal else ""

    def text_of(self, name: str, saved: str) -> str:
        """What stands in a field: what was typed, else what is saved."""
        return self.text if name == self.field else self.texts.get(name, saved)


def typed(name: str) -> str:
    """A field of the request as it was typed, cut where no number is that long."""
    return request.form.get(name, "")[:LONGEST_TYPED]


def typed_row(line_id: int) -> credit_rows.Typed:
    """The fields of a row as they were typed; those the request does not hold are None."""
    names = {"quantity": "quantity", "price": "price", "name": "name", "vat_rate": "rate"}
    given = {field: f"{name}-{line_id}" for field, name in names.items()}
    return credit_rows.Typed(**{field: _given(name) for field, name in given.items()})


def require_clear_row(line_id: int) -> None:
    """Let pass a row whose quantity means one thing in the language of its page. Raises BadInput (catalogue row 5)."""
    clear_quantity(typed(f"quantity-{line_id}"), f"quantity-{line_id}")


def _given(name: str) -> str | None:
    return request.form[name][: credit_rows.LONGEST_NAME + 1] if name in request.form else None


def options_of(form: CreditForm, **typed_now: Any) -> OptionsForm:
    """The boxes as they are saved; with ``formdata`` as they were just ticked."""
    made = OptionsForm(
        **{"formdata": None, **typed_now},
        restock=form.restock,
        warehouse_id=form.warehouse_id,
        without_klarna=form.sendable and not form.with_klarna,
        reason=form.reason.value if form.reason else None,
    )
    made.warehouse_id.choices = list(form.warehouses)
    made.reason.choices = reason_choices()
    return made


def free_row(rates: Sequence[int], **typed_now: Any) -> FreeRowForm:
    """The form of a free row, with the VAT rates of today."""
    made = FreeRowForm(**{"formdata": None, **typed_now})
    made.vat_rate.choices = [(str(rate), percent(rate)) for rate in rates]
    return made


def read_form(draft_id: int) -> CreditForm:
    """The draft as it stands now."""
    with reading(by_key=True) as looked:
        return credit_form.form(looked, actor(), draft_id)


def around(session: Session, draft_id: int, gross_minor: int, currency: str) -> dict[str, Any]:
    """What is about a draft and not in it: who else has it open, and whether it has been put before Finance (B31)."""
    others = draft_visits.others(session, actor(), draft_id)
    approval = approvals.on_draft(session, actor(), draft_id, gross_minor, currency)
    here = url_for("credit_notes.show", document_id=draft_id)
    return {"others": others, "approval": approval, "stale": False, "first": True, "draft_id": draft_id, "here": here}


def _drawn(form: CreditForm, typed_now: Typed | None) -> dict[str, Any]:
    """What every part of the draft is drawn from."""
    return {
        "form": form,
        "typed": typed_now or Typed(),
        "conditions": goods_returns.AT_ONCE,
        "why_off": off(form.refusal),
        "differs": off(form.difference),
        "difference_minor": form.difference_minor,
        "warnings": [say(each) for each in form.warnings],
        "unwarned": None,
        "confirm_portal": None,
        "refused": None,
        "unread": "",
        "search": "",
        "hits": (),
        **WORDS,
    }


def draft_answer(draft_id: int, status: int = 200, **changes: Any) -> Response:
    """The draft: the whole page, or for htmx its panel with the Klarna block beside it."""
    with reading(by_key=True) as looked:
        form, rates = credit_form.form(looked, actor(), draft_id), credit_rows.rates(looked)
        beside = around(looked, form.id, form.sums.gross_minor, form.currency)
    drawn = _drawn(form, changes.pop("typed", None)) | beside
    drawn |= {
        "options": changes.pop("options", None) or options_of(form),
        "rates": rates,
        "free": changes.pop("free", None) or free_row(rates),
    }
    drawn |= {"freight": changes.pop("freight", None) or FreightForm(formdata=None)}
    return page("credit_notes/draft.html", panel="credit_notes/_swap.html", status=status, **{**drawn, **changes})


def saved(draft_id: int, line_id: int | None = None) -> Response:
    """After something was saved: back to the draft, or for htmx the draft as it is now."""
    return done(_url(draft_id), panel=lambda: draft_answer(draft_id, moved=line_id))


Now = tuple[CreditForm, OnDraft]
"""A draft and what its form shows of approval."""


def as_saved(session: Session, draft: Document) -> Now | None:
    """What htmx shows of a draft that was just changed, read in the transaction that changed it: nothing is asked twice."""
    return _now(session, credit_form.form_of(session, actor(), draft, whole=False)) if is_htmx() else None


def _now(session: Session, form: CreditForm) -> Now:
    return form, approvals.on_draft(session, actor(), form.id, form.sums.gross_minor, form.currency)


def row_answer(
    draft_id: int, line_id: int, template: str, status: int, typed_now: Typed, now: Now | None = None, **more: Any
) -> Response:
    """The page, or for htmx what changed around the fields, which themselves are left alone while somebody types."""
    if not is_htmx():
        if status == 200:
            return done(_url(draft_id))
        off_now = {"why_off": correct_first(typed_now)} if typed_now.sentence else {}
        return draft_answer(draft_id, status, typed=typed_now, **off_now)
    if now is None:
        with reading() as looked:
            now = _now(looked, credit_form.form(looked, actor(), draft_id))
    form, approval = now
    boxes = template != SUM_ONLY
    drawn = _drawn(form, typed_now) | {"approval": approval, "options": options_of(form) if boxes else None}
    if typed_now.sentence:
        drawn["why_off"] = correct_first(typed_now)
    rows: tuple[CreditRow | NewRow, ...] = (*form.rows, *form.removed, *form.added, *form.removed_new)
    row = next(each for each in rows if each.id == line_id)
    return fragment(template, status=status, row=row, **drawn, **more)


def correct_first(typed_now: Typed) -> str:
    """Why the buttons wait for a correction."""
    if typed_now.field.startswith(("quantity-", "restock-")):
        return _("Correct the marked quantity first.")
    return _("Correct what is marked first.")


def _url(draft_id: int) -> str:
    return url_for("credit_notes.show", document_id=draft_id)


def hits_answer(draft_id: int, search: str, hits: Sequence[Hit]) -> Response:
    """What a search for articles found: the list alone for htmx, else the page with it."""
    if is_htmx():
        form = read_form(draft_id)
        return fragment("credit_notes/_hits.html", form=form, search=search, hits=hits)
    return draft_answer(draft_id, search=search, hits=hits)
