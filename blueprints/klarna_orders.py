"""Acts on an order's reservation: extend, release the rest, cancel, change the rows, and what to do while Klarna is silent.

A no comes back on the page the act was begun from. Source: F27, B18, B19; operations 9 to 12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

import web_rows
from db import reading, writing
from errors import N_, BadInput, Malformed, Refusal
from rights import Right
from services import (
    authorizations,
    decisions,
    janitor,
    order_amending,
    order_ending,
    orders,
    reservation_acts,
)
from services.asking import Silent
from services.authorizations import AmendForm
from services.beats import MoneyForm
from states import OPEN_OPS, OpState
from web import (
    Form,
    LinesField,
    actor,
    done,
    flash_refusal,
    fragment,
    gateway,
    is_htmx,
    needs,
    page,
    query_choice,
    read_nonce,
    say,
)
from web_documents import money_form, off, told
from web_fields import WHOLE_NUMBER
from web_reservation import shown

blueprint = Blueprint("klarna_orders", __name__)

ASKED_IN_VAIN = N_("Klarna could not be reached. Kvitta goes on asking by itself.")
NOT_DECIDED = N_("Klarna could not be reached. Nothing has been decided: it takes a look made at that moment.")
_SHOWN_HERE = (409, 422, 429)
"""Refusals that are told on the page; others are the edge's."""


class WhyForm(Form):
    """Why it is said that nothing happened."""

    reason = LinesField(lazy("Reason"), most=500)


def _order_url(order_id: int) -> str:
    return url_for("orders.show", order_id=order_id)


def _back(order_id: int, act: Callable[[], object], silence: str | None = None) -> Response:
    """Do it and lead back to the order, which says what became of it; a no is said there, too."""
    try:
        act()
    except Silent as no:
        flash_refusal(Refusal(silence) if silence else no)
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        flash_refusal(no)
    return done(_order_url(order_id))


# --- Extend, release, cancel, remove -------------------------------------------------------------------------------------


@blueprint.post("/orders/<int:order_id>/extend")
@needs(Right.WORK)
def extend(order_id: int) -> Response:
    """«Förläng»: ask Klarna for more time (F27)."""
    form = money_form("extend", order_id)
    return _back(order_id, lambda: authorizations.extend(gateway(), actor(), order_id, form))


def _confirm(order_id: int, act: str, status: int = 200, refused: Refusal | None = None) -> Response:
    """The page that says what an act does before it is done, and what was refused."""
    with reading() as looked:
        order = orders.get(looked, order_id)
        context = {
            "order_id": order.id,
            "number": order.number,
            "version": order.version,
            "reference": order.klarna_reference or order.klarna_order_id,
            "currency": order.currency,
            "total_minor": orders.total(order),
            "delivered": order_ending.delivered_unpaid(looked, order),
            **shown(looked, order_id),
        }
    return page(
        "klarna/confirm.html",
        panel="klarna/_confirm.html",
        status=status,
        name=act,
        refused=say(refused) if refused else None,
        **context,
    )


def _drawn(act: str, order_id: int) -> MoneyForm:
    """The form of such a page, with the order's version it was drawn from. Raises Malformed."""
    version = request.form.get("version", "")
    if not WHOLE_NUMBER.fullmatch(version):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    return replace(money_form(act, order_id), version=int(version))


def _confirmed(order_id: int, act: str, do: Callable[[], object], message: tuple[str, str] | None = None) -> Response:
    try:
        do()
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _confirm(order_id, act, no.status, no)
    return done(_order_url(order_id), message)


@blueprint.get("/orders/<int:order_id>/release")
@needs(Right.WORK)
def release_page(order_id: int) -> Response:
    """What «Släpp resten» does."""
    return _confirm(order_id, "release")


@blueprint.post("/orders/<int:order_id>/release")
@needs(Right.WORK)
def release(order_id: int) -> Response:
    """«Släpp resten» of the reservation."""
    form = _drawn("release", order_id)
    return _confirmed(order_id, "release", lambda: authorizations.release(gateway(), actor(), order_id, form))


@blueprint.get("/orders/<int:order_id>/cancel")
@needs(Right.WORK)
def cancel_page(order_id: int) -> Response:
    """What «Makulera order» does."""
    return _confirm(order_id, "cancel")


@blueprint.post("/orders/<int:order_id>/cancel")
@needs(Right.WORK)
def cancel(order_id: int) -> Response:
    """«Makulera order»: the order stays, the reservation is cancelled or its rest released (B18)."""
    form = _drawn("cancel", order_id)
    return _confirmed(order_id, "cancel", lambda: authorizations.cancel(gateway(), actor(), order_id, form))


@blueprint.get("/orders/<int:order_id>/remove")
@needs(Right.REMOVE_ORDER)
def remove_page(order_id: int) -> Response:
    """What «Ta bort order» does."""
    return _confirm(order_id, "remove")


@blueprint.post("/orders/<int:order_id>/remove")
@needs(Right.REMOVE_ORDER)
def remove(order_id: int) -> Response:
    """«Ta bort order», of which nothing has ever come (B18)."""
    read_nonce("remove", order_id)
    try:
        with writing() as made:
            number = order_ending.remove(made, actor(), order_id)
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _confirm(order_id, "remove", no.status, no)
    return done(url_for("orders.index"), ("success", _("Order %(number)s has been removed.", number=number)))


# --- The rows -------------------------------------------------------------------------------------------------------------


def _rows_answer(
    order_id: int, typed: MultiDict[str, str], status: int = 200, refused: Refusal | None = None, check: bool = False
) -> Response:
    """The form of the rows, with what they come to."""
    with reading() as looked:
        order = orders.get(looked, order_id)
        form, slots = web_rows.form_of(looked, order, typed)
        why, currency, number = reservation_acts.why_not_amend(looked, actor(), order), order.currency, order.number
        version, linked = order.version, order.klarna_order_id is not None
        sums = order_amending.sums(order, web_rows.counted(slots))
    if check:
        form.validate()
    if refused is not None:
        form.refuse(refused)
    return page(
        "orders/rows.html",
        panel="orders/_rows.html",
        status=status,
        order_id=order_id,
        number=number,
        version=typed.get("version", str(version)),
        sums=sums,
        told_live=len(slots) <= web_rows.MOST_LIVE,
        currency=currency,
        linked=linked,
        form=form,
        slots=slots,
        why=off(why),
    )


@blueprint.get("/orders/<int:order_id>/rows")
@needs(Right.WORK)
def rows(order_id: int) -> Response:
    """The order's rows to be changed in place; with ``?from=refused`` as they were last asked for (B19).

    With ``?part=sum`` and the figures as they stand typed: what they come to, and nothing else.
    """
    if is_htmx() and request.args.get("part") == "sum":
        figures = web_rows.figures(web_rows.sent(request.args))
        with reading() as looked:
            order = orders.get(looked, order_id)
            return fragment("orders/_new_sum.html", sums=order_amending.sums(order, figures), currency=order.currency)
    with reading() as looked:
        now = order_amending.rows_of(orders.get(looked, order_id))
        asked = authorizations.rows_asked_for(looked, order_id)
    again = query_choice("from", ("order", "refused"), "order") == "refused"
    return _rows_answer(order_id, web_rows.typed_of(asked if again and asked else now))


@blueprint.post("/orders/<int:order_id>/rows")
@needs(Right.WORK)
def change_rows(order_id: int) -> Response:
    """Change the rows: at once without Klarna, else when Klarna has agreed. Telling the sum, a row more or less store nothing."""
    nonce, typed = read_nonce("amend", order_id), web_rows.sent()
    then = request.form.get("then", "save")
    if then != "save":
        return _other_rows(order_id, typed, then)
    try:
        with reading() as looked:
            form, slots = web_rows.form_of(looked, orders.get(looked, order_id), typed)
        if not form.accepted():
            return _rows_answer(order_id, typed, 422, check=True)
        asked = AmendForm(nonce, _figure("shown"), version=_figure("version"), rows=web_rows.rows_of(slots))
        authorizations.amend(gateway(), actor(), order_id, asked)
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _rows_answer(order_id, typed, no.status, no)
    return done(_order_url(order_id))


def _figure(name: str) -> int:
    figure = request.form.get(name, "")
    if not (figure.removeprefix("-").isascii() and figure.removeprefix("-").isdigit() and len(figure) < 16):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    return int(figure)


def _other_rows(order_id: int, typed: MultiDict[str, str], then: str) -> Response:
    """The same form with its sum, or with a row more or less; what has been typed stays as it was typed."""
    if then == "count":
        return _rows_answer(order_id, typed, check=True)
    if then == "free":
        return _rows_answer(order_id, web_rows.with_row(typed, web_rows.free_row()))
    if then == "article":
        try:
            with reading() as looked:
                row = order_amending.row_of_article(looked, typed.get("new_article", ""))
        except BadInput as no:
            no.field = "new_article"
            return _rows_answer(order_id, typed, no.status, no)
        return _rows_answer(order_id, web_rows.with_row(typed, row))
    place = then.removeprefix("remove-")
    if not (place.isascii() and place.isdigit() and len(place) < 5):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    return _rows_answer(order_id, web_rows.without(typed, int(place)))


# --- While Klarna has not answered -------------------------------------------------------------------------------------


@blueprint.post("/orders/<int:order_id>/reservation/attend")
@needs(Right.READ, polls=True)
def attend(order_id: int) -> Response:
    """What the panel sends by itself every 2 s while an answer is out: the janitor's rules for this order (operations 10).

    Answers nothing while nothing has changed, so that a button under a finger stays; the whole page once it is settled.
    """
    janitor.attend(gateway(), order_id)
    with reading() as looked:
        found = reservation_acts.outcome(looked, actor(), orders.get(looked, order_id))
        context = shown(looked, order_id)
    if found is None or found[0].state not in OPEN_OPS or "HX-Request" not in request.headers:
        return done(_order_url(order_id))
    if request.form.get("mark") == found[1].mark:
        return Response(status=204)
    return fragment("orders/_operation.html", order_id=order_id, **context)


@blueprint.post("/orders/<int:order_id>/reservation/ask")
@needs(Right.WORK)
def ask(order_id: int) -> Response:
    """«Fråga Klarna nu», at most once a minute."""
    read_nonce("ask_reservation", order_id)
    return _back(order_id, lambda: janitor.ask_about_reservation(gateway(), actor(), order_id), ASKED_IN_VAIN)


@blueprint.post("/orders/<int:order_id>/reservation/send")
@needs(Right.WORK)
def send(order_id: int) -> Response:
    """«Skicka nu»: what was left unsent."""
    read_nonce("send_reservation", order_id)
    return _back(order_id, lambda: authorizations.send_now(gateway(), actor(), order_id))


@blueprint.post("/orders/<int:order_id>/reservation/withdraw")
@needs(Right.WORK)
def withdraw(order_id: int) -> Response:
    """«Återta»: nothing has left, so the order is free again."""
    read_nonce("withdraw_reservation", order_id)

    def act() -> None:
        with writing() as made:
            authorizations.withdraw(made, actor(), order_id)

    return _back(order_id, act)


def _decide_page(order_id: int, status: int = 200, refused: Refusal | None = None, **typed: Any) -> Response:
    with reading() as looked:
        order = orders.get(looked, order_id)
        op = reservation_acts.open_act(looked, order_id)
        found = reservation_acts.outcome(looked, actor(), order)
        number = order.number
    open_now = op is not None and op.state is OpState.REVIEW and found is not None
    return page(
        "klarna/decide.html",
        panel="klarna/_decide.html",
        status=status,
        order_id=order_id,
        number=number,
        sentence=told(found[1].sentence) if open_now and found is not None else None,
        form=typed.get("form") or WhyForm(formdata=None),
        refused=say(refused) if refused else None,
    )


@blueprint.get("/orders/<int:order_id>/reservation/decide")
@needs(Right.DECIDE)
def decide(order_id: int) -> Response:
    """Where finance decides about an act of which Klarna has not been able to tell for 23 hours."""
    return _decide_page(order_id)


@blueprint.post("/orders/<int:order_id>/reservation/happened")
@needs(Right.DECIDE, confirmed=True)
def happened(order_id: int) -> Response:
    """«Det genomfördes»: only when Klarna, looked at now, shows it."""
    read_nonce("reservation_happened", order_id)
    try:
        decisions.reservation_changed(gateway(), actor(), order_id)
    except Silent:
        return _decide_page(order_id, 409, Refusal(NOT_DECIDED))
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _decide_page(order_id, no.status, no)
    return done(_order_url(order_id))


@blueprint.post("/orders/<int:order_id>/reservation/did-not-happen")
@needs(Right.DECIDE, confirmed=True)
def did_not_happen(order_id: int) -> Response:
    """«Det genomfördes inte», with the reason: only while Klarna, looked at now, shows nothing of it."""
    read_nonce("reservation_not", order_id)
    form = WhyForm()
    if not form.accepted():
        return _decide_page(order_id, 422, form=form)
    try:
        decisions.reservation_unchanged(gateway(), actor(), order_id, form.reason.data)
    except Silent:
        return _decide_page(order_id, 409, Refusal(NOT_DECIDED), form=form)
    except Refusal as no:
        if no.status not in _SHOWN_HERE:
            raise
        return _decide_page(order_id, no.status, no, form=form)
    return done(_order_url(order_id))
