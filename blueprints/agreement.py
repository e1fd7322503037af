"""Kvitta and Klarna: differences that are explained, ignored or taken note of, their report, and lifting a stop.

Finance settles, with the password typed again; each form is used once. Source: operations 13; B20, B21, K31; security 33.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import web_settlement_files
from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import agreement, breaks, fraud, holds, orders, settling
from web import (
    DayField,
    Form,
    LineField,
    LinesField,
    actor,
    capped,
    done,
    gateway,
    gettext,
    needs,
    page,
    query_choice,
    query_whole,
    read_nonce,
    say,
)
from web_agreement import ended, shown
from web_documents import document_url
from web_reports import file_address, wants_file

blueprint = Blueprint("agreement", __name__)

VIEW_NAMES = {
    "open": N_("Not settled"),
    "adopt": N_("Adopted or accepted"),
    "explain": N_("Explained"),
    "ignore": N_("Ignored"),
    "gone": N_("No longer there"),
}


class ExplainForm(Form):
    """What a difference is tied to, and why."""

    number = LineField(lazy("Invoice, credit note or voucher that stands for it"), most=40, required=False)
    reason = LinesField(lazy("Reason"), most=500)


class WhyForm(Form):
    """Why."""

    reason = LinesField(lazy("Reason"), most=500)


class IgnoreForm(WhyForm):
    """Why, and for what is told again when a day has come, that day."""

    until = DayField(lazy("Look again on"), required=False)


# --- Take note -------------------------------------------------------------------------------------------------------------


def _note_answer(break_id: int) -> Response:
    with reading() as looked:
        found = breaks.get(looked, break_id)
        does, told, order_id = settling.note_of(looked, found), agreement.told(looked, found), found.order_id
    return page(
        "agreement/note.html",
        note=does,
        break_id=break_id,
        order_id=order_id,
        sentence=shown([told])[0]["text"],
    )


@blueprint.get("/differences/<int:break_id>/note")
@needs(Right.DECIDE, confirmed=True)
def note_page(break_id: int) -> Response:
    """What taking note of the reservation's own end or day does."""
    return _note_answer(break_id)


@blueprint.post("/differences/<int:break_id>/note")
@needs(Right.DECIDE, confirmed=True)
def note(break_id: int) -> Response:
    """Let what Klarna shows of the reservation hold here too."""
    nonce = read_nonce("adopt", break_id)
    return _settled(lambda session: settling.take_note(session, actor(), break_id, nonce), _order_of(break_id))


def _order_of(break_id: int) -> int | None:
    with reading() as looked:
        return breaks.get(looked, break_id).order_id


def _settled(act: Callable[[Session], None], order_id: int | None) -> Response:
    with writing() as made:
        act(made)
    url = url_for("orders.show", order_id=order_id) if order_id else url_for("agreement.index")
    return done(url, ("success", _("The difference is settled.")))


# --- Explain and ignore ----------------------------------------------------------------------------------------------------


def _settle_answer(break_id: int, act: str, form: Form, status: int = 200) -> Response:
    with reading() as looked:
        found = breaks.get(looked, break_id)
        breaks.require_open(found)
        if act not in settling.acts_of(looked, found):
            raise Refusal(N_("This difference cannot be settled that way. Nothing has been changed."))
        told, order_id = agreement.told(looked, found), found.order_id
        needs_number = settling.needs_number(found)
        lapses = found.kind in settling.UNTIL
    return page(
        "agreement/settle.html",
        panel="agreement/_settle.html",
        status=status,
        act=act,
        form=form,
        break_id=break_id,
        order_id=order_id,
        needs_number=needs_number,
        lapses=lapses,
        sentence=shown([told])[0]["text"],
    )


@blueprint.get("/differences/<int:break_id>/explain")
@needs(Right.DECIDE, confirmed=True)
def explain_page(break_id: int) -> Response:
    """«Förklara»: tie a difference to what stands for it already, with a reason."""
    return _settle_answer(break_id, "explain", ExplainForm(formdata=None))


@blueprint.post("/differences/<int:break_id>/explain")
@needs(Right.DECIDE, confirmed=True)
def explain(break_id: int) -> Response:
    """Close it as explained; nothing is booked."""
    form = ExplainForm()

    def act(session: Session, nonce: str) -> None:
        settling.explain(session, actor(), break_id, form.number.data, form.reason.data, nonce)

    return _close(break_id, "explain", form, act)


@blueprint.get("/differences/<int:break_id>/ignore")
@needs(Right.DECIDE, confirmed=True)
def ignore_page(break_id: int) -> Response:
    """«Bortse från»: a difference the company lives with."""
    return _settle_answer(break_id, "ignore", IgnoreForm(formdata=None))


@blueprint.post("/differences/<int:break_id>/ignore")
@needs(Right.DECIDE, confirmed=True)
def ignore(break_id: int) -> Response:
    """Close it as ignored; it stays counted in the report."""
    form = IgnoreForm()

    def act(session: Session, nonce: str) -> None:
        settling.ignore(session, actor(), break_id, form.reason.data, nonce, form.until.data)

    return _close(break_id, "ignore", form, act)


def _close(break_id: int, name: str, form: Form, act: Callable[[Session, str], None]) -> Response:
    nonce = read_nonce(name, break_id)
    order_id = _order_of(break_id)
    if not form.accepted():
        return _settle_answer(break_id, name, form, 422)
    try:
        return _settled(lambda session: act(session, nonce), order_id)
    except Refusal as no:
        if no.status != 422:
            raise
        return _settle_answer(break_id, name, form, form.refuse(no))


# --- The report ------------------------------------------------------------------------------------------------------------


@blueprint.get("/differences")
@needs(Right.READ)
def index() -> Response:
    """Every difference there was, open and settled: how, why and by whom (operations 13)."""
    view = query_choice("view", agreement.VIEWS, agreement.VIEWS[0])
    if wants_file():
        with reading() as looked:
            return web_settlement_files.differences(looked, view)
    with reading() as looked:
        counts = agreement.counts(looked)
        rows, older = agreement.report(looked, view, query_whole("after", 0) or None)
    return page(
        "agreement/index.html",
        view=view,
        views=[
            {
                "label": gettext(VIEW_NAMES[each]),
                "url": url_for("agreement.index", view=each),
                "count": capped(counts[each]),
                "active": each == view,
            }
            for each in agreement.VIEWS
        ],
        rows=[{"told": each, **shown([each.difference])[0]} for each in rows],
        older=url_for("agreement.index", view=view, after=older) if older else None,
        document_url=document_url,
        ended=ended,
        file_url=file_address("agreement.index", view=view),
    )


# --- Stops -----------------------------------------------------------------------------------------------------------------


def _lift_answer(order_id: int, form: WhyForm, status: int = 200, refused: Refusal | None = None) -> Response:
    with reading() as looked:
        order = orders.get(looked, order_id)
        held, why_off, number = holds.refusal(order), holds.why_not_lift(actor(), order), order.number
    if held is None:
        raise Refusal(N_("The order is not stopped. Nothing has been changed."))
    return page(
        "agreement/lift.html",
        panel="agreement/_lift.html",
        status=status,
        form=form,
        order_id=order_id,
        number=number,
        held=say(held),
        why_off=say(why_off) if why_off else None,
        refused=say(refused) if refused else None,
    )


@blueprint.get("/orders/<int:order_id>/lift")
@needs(Right.LIFT_HOLD)
def lift_page(order_id: int) -> Response:
    """«Häv stoppet»: what Klarna said, what it says now, and why the stop is lifted."""
    return _lift_answer(order_id, WhyForm(formdata=None))


@blueprint.post("/orders/<int:order_id>/lift")
@needs(Right.LIFT_HOLD)
def lift(order_id: int) -> Response:
    """Lift the stop after a look made now, when Klarna accepts the purchase again (B21)."""
    nonce, form = read_nonce("lift", order_id), WhyForm()
    if not form.accepted():
        return _lift_answer(order_id, form, 422)
    try:
        fraud.lift(gateway(), actor(), order_id, form.reason.data, nonce)
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _lift_answer(order_id, form, no.status, no)
    return done(
        url_for("orders.show", order_id=order_id),
        ("success", _("The stop is lifted. The order can be delivered and invoiced again.")),
    )
