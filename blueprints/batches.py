"""Many at once: the preview of what is ticked in the order list, the batch under way, and its result (screens, "Orders")."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, BadInput, Malformed, Refusal
from rights import Right
from services import batches, deliveries, workplace
from services.batches import Chosen, Plan
from states import DocState, DocType
from web import ChoiceField, Form, actor, done, needs, page, query_whole, read_nonce, say
from web_documents import WORDS
from web_words import gettext as _

blueprint = Blueprint("batches", __name__)

LARGEST_ID = 2**63 - 1
ROWS = 30
ACT_NAMES = {
    batches.DELIVER: N_("Deliver"),
    batches.INVOICE: N_("Create invoices"),
    batches.BOTH: N_("Deliver and invoice"),
}
STATES = {
    batches.WAITING: (N_("Waits for its turn"), "idle"),
    batches.RUNNING: (N_("Under way"), "busy"),
    batches.DONE: (N_("Done"), "ok"),
    batches.REFUSED: (N_("Not done"), "bad"),
    batches.FAILED: (N_("Failed"), "bad"),
}


class BatchForm(Form):
    """What is done with the chosen orders, and from where they are delivered."""

    act = ChoiceField(lazy("What is to be done"), choices=[(name, lazy(label)) for name, label in ACT_NAMES.items()])
    warehouse_id = ChoiceField(lazy("Warehouse"), coerce=int)


def _form(session: Session) -> BatchForm:
    """The form as it was sent, or as the address says while nothing has been sent; else from where the person worked last."""
    given = None if request.method == "POST" else request.args
    form = BatchForm(formdata=given if given and given.get("act") else None) if given is not None else BatchForm()
    places = [(each.id, each.name) for each in deliveries.warehouses(session)]
    form.warehouse_id.choices = places
    if form.act.data not in batches.ACTS:
        form.act.data = batches.BOTH
    if form.warehouse_id.data not in dict(places):
        form.warehouse_id.data = workplace.suggested(session, actor())
    return form


def _read(given: MultiDict[str, str]) -> tuple[list[int], list[int]]:
    """The orders of a preview, and those that are ticked: all, where it is not said which are beside them. Raises BadInput.

    ``kept`` are ticked ones that cannot be included as it stands, and may be with another act.
    """
    ticked, shown = given.getlist("selected") + given.getlist("kept"), given.getlist("shown")
    return batches.read_ids([*shown, *ticked]), batches.read_ids(ticked) if ticked else []


def _preview(ids: list[int], ticked: list[int], refused: str | None = None, status: int = 200) -> Response:
    with reading() as looked:
        form = _form(looked)
        plans = batches.plan(looked, actor(), form.act.data, ids, form.warehouse_id.data, ticked) if ids else []
    can = [each for each in plans if each.refusal is None and each.order_id in ticked]
    return page(
        "batches/new.html",
        panel="batches/_plan.html",
        status=status,
        form=form,
        plans=plans,
        ticked=ticked,
        can=can,
        sums=_sums(can),
        refused=refused,
        acts=ACT_NAMES,
        **WORDS,
    )


def _sums(plans: list[Plan]) -> list[tuple[str, int]]:
    """What would be invoiced, per currency."""
    sums: dict[str, int] = {}
    for each in plans:
        sums[each.currency] = sums.get(each.currency, 0) + each.gross_minor
    return sorted(sums.items())


@blueprint.get("/batches/new")
@needs(Right.WORK)
def new() -> Response:
    """What would happen to each ticked order, with the reason beside those it cannot happen to. Nothing is done."""
    return _look(request.args)


def _look(given: MultiDict[str, str]) -> Response:
    try:
        return _preview(*_read(given))
    except BadInput as no:
        return _preview([], [], say(no), no.status)


def _chosen() -> list[Chosen]:
    """The ticked rows with the sum and version each was shown with. Raises Malformed."""
    chosen = []
    for text in request.form.getlist("selected"):
        version, gross, kind = (*request.form.get(f"shown_{text}", "").split("."), "", "", "")[:3]
        if kind not in ("", *batches.TYPES) or not all(
            part.isascii() and part.removeprefix("-").isdigit() and len(part) < 19 for part in (text, version, gross)
        ):
            raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
        chosen.append(Chosen(int(text), int(version), int(gross), DocType(kind) if kind else None))
    return chosen


@blueprint.post("/batches")
@needs(Right.WORK)
def start() -> Response:
    """Start the batch and go to its page; the worker does it row by row. One form makes one batch."""
    if "look" in request.form:
        return _look(request.form)
    nonce, chosen = read_nonce(batches.ACTION, "orders"), _chosen()
    ids, ticked = _read(request.form)
    with reading() as looked:
        form = _form(looked)
    if not form.accepted():
        return _preview(ids, ticked, status=422)
    try:
        with writing() as changed:
            batch_id = batches.start(changed, actor(), nonce, form.act.data, chosen, form.warehouse_id.data)
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _preview(ids, ticked, say(no), no.status)
    return done(url_for("batches.show", batch_id=batch_id))


@blueprint.get("/batches")
@needs(Right.READ)
def index() -> Response:
    """The batches, the newest first."""
    before = query_whole("before", 0, most=LARGEST_ID) or None
    with reading() as looked:
        rows = batches.listing(looked, before, ROWS + 1)
    return page(
        "batches/index.html",
        rows=rows[:ROWS],
        newest=url_for("batches.index") if before else None,
        older=url_for("batches.index", before=rows[ROWS - 1].id) if len(rows) > ROWS else None,
        acts=ACT_NAMES,
    )


@blueprint.get("/batches/<int:batch_id>")
@needs(Right.READ)
def show(batch_id: int) -> Response:
    """A batch: how far it has come, and a result per row; asks for itself while something is left."""
    with reading() as looked:
        shown = batches.progress(looked, batch_id)
    left = [each.order_id for each in shown.rows if each.state in (batches.REFUSED, batches.FAILED)]
    made = [each.document_id for each in shown.rows if each.document_state is DocState.ISSUED]
    again: dict[str, Any] = {"act": shown.act, "selected": left}
    return page(
        "batches/show.html",
        panel="batches/_progress.html",
        batch=shown,
        states=STATES,
        acts=ACT_NAMES,
        made=made if shown.ended_at else [],
        again=url_for("batches.new", **again) if left and shown.ended_at else None,
        **WORDS,
    )


@blueprint.post("/batches/<int:batch_id>/stop")
@needs(Right.WORK)
def stop(batch_id: int) -> Response:
    """Let what has not begun not begin."""
    with writing() as changed:
        batches.stop(changed, actor(), batch_id)
    return done(url_for("batches.show", batch_id=batch_id), ("info", _("What had not begun has been stopped.")))
