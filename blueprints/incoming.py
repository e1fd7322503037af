"""Orders from Klarna that a person sees to: one brought in by its id, a reservation attached, pushes that wait (B15, B16)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import klarna_orders, order_entry, orders, pushes
from services.asking import Unknown
from services.incoming import SeveralCustomers
from services.klarna_orders import Preview
from web import (
    ChoiceField,
    Form,
    LineField,
    actor,
    done,
    flash_refusal,
    gateway,
    may,
    needs,
    page,
    query_text,
    query_whole,
    say,
)
from web_fields import WHOLE_NUMBER
from web_intake import tabs
from web_words import gettext as _

blueprint = Blueprint("incoming", __name__)

NEW = "new"
"""What stands for a new card where a customer is chosen."""


class PurchaseForm(Form):
    """Which purchase, under which account."""

    account_id = ChoiceField(lazy("Store id"), coerce=int)
    klarna_order_id = LineField(lazy("Klarna order id"), most=100)
    customer_id = LineField(lazy("Customer"), most=20, required=False)


class ReasonForm(Form):
    """Why no order is made."""

    reason = LineField(lazy("Reason"), most=200)


def _purchase_form() -> PurchaseForm:
    with reading() as looked:
        accounts = order_entry.accounts(looked)
    form = PurchaseForm()
    form.account_id.choices = [(each.id, f"{each.name} ({each.store_id})") for each in accounts]
    return form


def _link(refusal: Refusal) -> dict[str, str] | None:
    """Where the thing that stands in the way is."""
    if refusal.link is None:
        return None
    values: dict[str, Any] = dict(refusal.link[1])
    return {"url": url_for(refusal.link[0], **values)}


def _refused(form: PurchaseForm, refusal: Refusal) -> int:
    """Put a no beside what it is about: one to the purchase itself beside its id. Gives the status."""
    if refusal.field is None and (isinstance(refusal, Unknown) or refusal.link is not None):
        refusal.field = "klarna_order_id"
    return form.refuse(refusal)


# --- By its id -------------------------------------------------------------------------------------------------------


def _bring(form: PurchaseForm, status: int = 200, seen: Preview | None = None, **more: Any) -> Response:
    return page(
        "incoming/from_klarna.html",
        panel="incoming/_from_klarna.html",
        status=status,
        tabs=tabs("incoming.from_klarna"),
        form=form,
        seen=seen,
        refusal=say(seen.refusal) if seen and seen.refusal else None,
        notices=[say(each) for each in seen.notices] if seen else [],
        **{"stands": None, **more},
    )


@blueprint.get("/orders/from-klarna")
@needs(Right.WORK)
def from_klarna() -> Response:
    """Which purchase is to be brought in; the address can say it."""
    form = _purchase_form()
    form.klarna_order_id.data = query_text("id", 100)
    form.account_id.data = query_whole("account", 0) or form.account_id.data
    return _bring(form)


@blueprint.post("/orders/from-klarna")
@needs(Right.WORK)
def bring() -> Response:
    """Look at the purchase and show what would be made of it; or take it: ``step`` says which."""
    form = _purchase_form()
    if not form.accepted():
        return _bring(form, 422)
    try:
        klarna_order_id = klarna_orders.read_id(form.klarna_order_id.data)
        if request.form.get("step") == "take":
            return _take_or_ask(form, klarna_order_id)
        return _bring(form, seen=klarna_orders.preview(gateway(), form.account_id.data, klarna_order_id))
    except Refusal as refusal:
        answer = _refused(form, refusal)
        return _bring(form, answer, stands=_link(refusal))


def _take_or_ask(form: PurchaseForm, klarna_order_id: str) -> Response:
    """Take the purchase; where several customers fit and none is chosen, show it again with the choice marked (B30)."""
    try:
        return _take(form, klarna_order_id)
    except SeveralCustomers as several:
        several.field = "customer_id"
        seen = klarna_orders.preview(gateway(), form.account_id.data, klarna_order_id)
        return _bring(form, form.refuse(several), seen=seen)


def _take(form: PurchaseForm, klarna_order_id: str) -> Response:
    chosen, shown = form.customer_id.data, request.form.get("shown_minor", "")
    order_id = klarna_orders.take_in(
        gateway(),
        actor(),
        form.account_id.data,
        klarna_order_id,
        customer_id=int(chosen) if WHOLE_NUMBER.fullmatch(chosen) else None,
        new_customer=chosen == NEW,
        shown_minor=int(shown) if WHOLE_NUMBER.fullmatch(shown) else None,
    )
    return _told(form.account_id.data, klarna_order_id, order_id)


def _told(account_id: int, klarna_order_id: str, order_id: int) -> Response:
    """Tell Klarna that the order is here; where that fails the worker goes on telling."""
    said = klarna_orders.acknowledge(gateway(), actor(), order_id)
    with writing() as session:
        pushes.follow_up(session, account_id, klarna_order_id)
        number = orders.get(session, order_id).number
    text = _("Order %(number)s has its reservation, and Klarna knows that it has arrived.", number=number)
    if not said:
        text = _(
            "Order %(number)s has its reservation. Klarna has yet to be told so; Kvitta goes on telling.", number=number
        )
    return done(url_for("orders.show", order_id=order_id), ("success" if said else "warning", text))


# --- Attaching -------------------------------------------------------------------------------------------------------


def _attach_page(order_id: int, form: PurchaseForm, status: int = 200, **more: Any) -> Response:
    with reading() as looked:
        order = orders.get(looked, order_id)
        total = orders.total(order)
        try:
            klarna_orders.require_attachable(looked, order)
            why = None
        except Refusal as refusal:
            why = say(refusal)
    return page(
        "incoming/attach.html",
        panel="incoming/_attach.html",
        status=status,
        order=order,
        total_minor=total,
        why=why,
        form=form,
        **{"look": None, "unequal": None, "stands": None, **more},
    )


@blueprint.get("/orders/<int:order_id>/reservation")
@needs(Right.WORK)
def reservation(order_id: int) -> Response:
    """Which reservation belongs to an order made by hand."""
    return _attach_page(order_id, _purchase_form())


@blueprint.post("/orders/<int:order_id>/reservation")
@needs(Right.WORK)
def attach(order_id: int) -> Response:
    """Look at the reservation beside the order; or tie it: ``step`` says which."""
    form = _purchase_form()
    with reading() as looked:
        order = orders.get(looked, order_id)
        orders.total(order)
    if not form.accepted():
        return _attach_page(order_id, form, 422)
    try:
        klarna_order_id = klarna_orders.read_id(form.klarna_order_id.data)
        if request.form.get("step") == "attach":
            klarna_orders.attach(gateway(), actor(), order_id, form.account_id.data, klarna_order_id)
            return _told(form.account_id.data, klarna_order_id, order_id)
        look = klarna_orders.reservation_for(gateway(), order_id, form.account_id.data, klarna_order_id)
    except Refusal as refusal:
        return _attach_page(order_id, form, _refused(form, refusal), stands=_link(refusal))
    try:
        klarna_orders.require_equal(order, look)
    except Refusal as refusal:
        return _attach_page(order_id, form, look=look, unequal=say(refusal))
    return _attach_page(order_id, form, look=look)


# --- What waits ------------------------------------------------------------------------------------------------------


def _waiting(status: int = 200, form: ReasonForm | None = None, push_id: int = 0) -> Response:
    with reading() as looked:
        rows = pushes.waiting(looked)
        accounts = order_entry.accounts(looked) if may(Right.ADMINISTER) else []
    addresses = [
        (
            each.name,
            each.store_id,
            url_for("push.order", store_id=each.store_id, token=_token(each.store_id), _external=True),
        )
        for each in accounts
    ]
    return page(
        "incoming/index.html",
        status=status,
        tabs=tabs("incoming.index"),
        rows=[(row, say(row.why) if row.why else "") for row in rows],
        addresses=addresses,
        form=form or ReasonForm(),
        wrong=push_id,
    )


def _token(store_id: str) -> str:
    return gateway().push_token(store_id)


@blueprint.get("/orders/incoming")
@needs(Right.READ)
def index() -> Response:
    """The pushes that need a person; for administrators the addresses Klarna is given."""
    return _waiting()


@blueprint.post("/orders/incoming/<int:push_id>/again")
@needs(Right.WORK)
def again(push_id: int) -> Response:
    """«Försök igen»: Klarna is asked within moments."""
    try:
        with writing() as session:
            pushes.try_again(session, actor(), push_id)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        flash_refusal(refusal)
        return _waiting(refusal.status)
    return done(url_for("incoming.index"), ("success", _("Klarna is asked again within moments.")))


@blueprint.post("/orders/incoming/<int:push_id>/aside")
@needs(Right.WORK)
def aside(push_id: int) -> Response:
    """«Lägg undan»: no order is made of it, and the reason is kept."""
    form = ReasonForm()
    if not form.accepted():
        return _waiting(422, form, push_id)
    try:
        with writing() as session:
            pushes.set_aside(session, actor(), push_id, form.reason.data)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return _waiting(form.refuse(refusal), form, push_id)
    return done(url_for("incoming.index"), ("success", _("Put aside. No order is made of it.")))
