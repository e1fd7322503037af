"""«Inventering»: counting a warehouse by scan or by hand, «Differensrapport», and booking what differs (B28)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import web_stocktakes
from db import reading, writing
from errors import N_, BadInput, Refusal
from rights import Right
from services import deliveries, stock, stocktake_report, stocktakes, workplace
from services.stocktake_report import Counted
from services.stocktakes import How
from states import StocktakeState
from web import (
    ChoiceField,
    Form,
    HiddenLineField,
    LineField,
    QuantityField,
    RadioChoiceField,
    TickField,
    actor,
    done,
    fragment,
    is_htmx,
    may,
    needs,
    page,
    query_whole,
    read_nonce,
    why_not,
)
from web_reports import answer, shape, ways
from web_words import gettext as _
from web_words import ngettext, quantity

blueprint = Blueprint("stocktakes", __name__)

LARGEST_ID = 2**63 - 1
ROWS = 50
MOST_SHOWN = 200
"""Rows of one part of the report on the screen; the file has all."""
MISSED = 20
"""Codes that were not counted and are still told."""
TONES = {StocktakeState.OPEN: "busy", StocktakeState.BOOKED: "ok", StocktakeState.DISCARDED: "off"}
KEEP, ZERO = "keep", "zero"


class StartForm(Form):
    """Which warehouse is counted, and a word about why."""

    warehouse_id = ChoiceField(lazy("Warehouse"), coerce=int)
    note = LineField(lazy("Note"), most=stocktakes.LONGEST_NOTE, required=False)


class CountForm(Form):
    """What lies there: an article's number or GTIN, and how many."""

    scan = LineField(lazy("Article number or GTIN"), most=stock.LONGEST_CODE, required=False)
    quantity = QuantityField(lazy("Quantity"), zero=True, default=1000)
    how = RadioChoiceField(
        lazy("If the article has been counted before"),
        choices=[
            (How.ADD.value, lazy("Add to what was counted")),
            (How.ANEW.value, lazy("All of it is counted again")),
        ],
        default=How.ADD.value,
    )


class RowForm(Form):
    """What was counted of an article, put right; and the row as the page showed it."""

    seen = HiddenLineField("", most=60)


class BookForm(Form):
    """What becomes of what nobody counted, and the report as it was shown."""

    uncounted = RadioChoiceField(
        lazy("Articles that have not been counted"),
        choices=[(KEEP, lazy("Leave their balance as it is")), (ZERO, lazy("Set their balance to zero"))],
        default=KEEP,
    )
    sure = TickField(lazy("Set their balance to zero"))
    seen = HiddenLineField("", most=100)


# --- The list, and a new one ----------------------------------------------------------------------------------------------


def _start_form(session: Session) -> StartForm:
    form = StartForm(warehouse_id=workplace.suggested(session, actor()))
    form.warehouse_id.choices = [(each.id, each.name) for each in deliveries.warehouses(session)]
    return form


def _list(form: StartForm, status: int = 200, going_on: str | None = None) -> Response:
    before = query_whole("before", 0, most=LARGEST_ID) or None
    with reading() as looked:
        rows = stocktake_report.listing(looked, before, ROWS + 1)
    return page(
        "stocktakes/index.html",
        status=status,
        rows=rows[:ROWS],
        form=form,
        going_on=going_on,
        tones=TONES,
        no_right=why_not(Right.WORK),
        newest=url_for("stocktakes.index") if before else None,
        older=url_for("stocktakes.index", before=rows[ROWS - 1].id) if len(rows) > ROWS else None,
    )


@blueprint.get("/stock/stocktakes")
@needs(Right.READ)
def index() -> Response:
    """The stocktakes, the newest first, and the form that starts one."""
    with reading() as looked:
        form = _start_form(looked)
    return _list(form)


@blueprint.post("/stock/stocktakes")
@needs(Right.WORK)
def start() -> Response:
    """Begin to count a warehouse; one form starts one, and there is one at a time in each."""
    with reading() as looked:
        form = _start_form(looked)
    if not form.accepted():
        return _list(form, 422)
    nonce = read_nonce("stocktake", "new")
    try:
        with writing() as changed:
            made = stocktakes.start(changed, actor(), nonce, form.warehouse_id.data, form.note.data)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        values: dict[str, Any] = dict(refusal.link[1]) if refusal.link else {}
        going_on = url_for(refusal.link[0], **values) if refusal.link else None
        return _list(form, form.refuse(refusal), going_on)
    return done(url_for("stocktakes.show", stocktake_id=made))


# --- Counting -------------------------------------------------------------------------------------------------------------


def _row_form(row: Counted, *, sent: bool = False) -> RowForm:
    """The form of one row, as it stands or as it was sent."""

    class ThisRow(RowForm):
        """The form of one article."""

    field = QuantityField(_("Counted of %(article)s", article=row.number), zero=True)
    setattr(ThisRow, f"quantity_{row.article_id}", field)
    if sent:
        return ThisRow()
    return ThisRow(formdata=None, **{f"quantity_{row.article_id}": row.counted_milli, "seen": row.seen})


def _missed() -> list[str]:
    """Codes that were scanned and not counted, the last ones; what was said of each is soon gone when somebody scans on."""
    return [code[: stock.LONGEST_CODE] for code in request.form.getlist("missed")[-MISSED:]]


def _cleared(form: CountForm) -> list[str]:
    """The codes that were missed, with this one where it was at fault.

    Its field is emptied then: a scanner types its next code behind what stands there, and the sentence says what it was.
    """
    typed = request.form.get("scan", "").strip()[: stock.LONGEST_CODE]
    if not form.scan.errors:
        return _missed()
    form.scan.data, form.scan.raw_data = "", None
    return [*_missed(), typed] if typed else _missed()


def _show(
    stocktake_id: int,
    form: CountForm | None = None,
    status: int = 200,
    *,
    missed: list[str] | None = None,
    sent: tuple[int, RowForm] | None = None,
    part: bool = False,
) -> Response:
    after = query_whole("after", 0, most=LARGEST_ID) or None
    with reading() as looked:
        stocktake = stocktake_report.get(looked, stocktake_id)
        rows = stocktake_report.counted(looked, stocktake_id, after, ROWS + 1)
        total = stocktake_report.count_of(looked, stocktake_id)
    form = CountForm(formdata=None) if form is None else form
    context: dict[str, Any] = {
        "stocktake": stocktake,
        "rows": [(row, sent[1] if sent and sent[0] == row.article_id else _row_form(row)) for row in rows[:ROWS]],
        "wrong": sent[1] if sent else None,
        "total": total,
        "form": form,
        "missed": missed or [],
        "tones": TONES,
        "is_open": stocktake.state is StocktakeState.OPEN,
        # What was said of the count before this one is not true of it.
        "clears": is_htmx() and status != 200,
        "no_right": why_not(Right.WORK),
        "newest": url_for("stocktakes.show", stocktake_id=stocktake_id) if after else None,
        "older": url_for("stocktakes.show", stocktake_id=stocktake_id, after=rows[ROWS - 1].article_id)
        if len(rows) > ROWS
        else None,
    }
    if part:
        return fragment("stocktakes/_counting.html", status=status, **context)
    made = page("stocktakes/show.html", panel="stocktakes/_counting.html", status=status, **context)
    if form.errors:
        made.headers["HX-Trigger"] = "beep"
    return made


@blueprint.get("/stock/stocktakes/<int:stocktake_id>")
@needs(Right.READ)
def show(stocktake_id: int) -> Response:
    """One stocktake: the field that codes are scanned into, and what has been counted, the last first."""
    return _show(stocktake_id)


@blueprint.post("/stock/stocktakes/<int:stocktake_id>")
@needs(Right.WORK)
def count(stocktake_id: int) -> Response:
    """Note that so many of an article lie there; one form counts once."""
    form = CountForm()
    here = url_for("stocktakes.show", stocktake_id=stocktake_id)
    if request.form.get("then") == "forget":
        return done(here, panel=lambda: _show(stocktake_id, part=True))
    nonce = read_nonce("count", stocktake_id)
    if not form.accepted():
        return _show(stocktake_id, form, 422, missed=_cleared(form))
    milli, how = form.quantity.data, How(form.how.data)
    try:
        with writing() as changed:
            article_id = stocktakes.count(changed, actor(), nonce, stocktake_id, form.scan.data or "", milli, how)
            row = stocktake_report.counted_one(changed, stocktake_id, article_id)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        status = form.refuse(refusal)
        return _show(stocktake_id, form, status, missed=_cleared(form))
    message = _("Not counted any more.")
    if row is not None:
        message = _(
            "%(article)s %(name)s: %(counted)s %(unit)s counted.",
            article=row.number, name=row.name, counted=quantity(row.counted_milli), unit=row.unit,
        )  # fmt: skip
    return done(here, ("success", message), panel=lambda: _show(stocktake_id, part=True, missed=_missed()))


@blueprint.post("/stock/stocktakes/<int:stocktake_id>/articles/<int:article_id>")
@needs(Right.WORK)
def change(stocktake_id: int, article_id: int) -> Response:
    """Put right what was typed of an article, or take its count away."""
    with reading() as looked:
        row = stocktake_report.counted_one(looked, stocktake_id, article_id)
    here = url_for("stocktakes.show", stocktake_id=stocktake_id)
    seen = request.form.get("seen", "")[:60]
    form = _row_form(row, sent=True) if row is not None else RowForm()
    removes = request.form.get("then") == "remove"
    if not removes and not form.accepted():
        return _show(stocktake_id, status=422, sent=(article_id, form))
    try:
        with writing() as changed:
            if removes or row is None:
                stocktakes.remove(changed, actor(), stocktake_id, article_id, seen)
            else:
                milli = form[f"quantity_{article_id}"].data
                stocktakes.correct(changed, actor(), stocktake_id, article_id, seen, milli)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _show(stocktake_id, status=form.refuse(refusal), sent=(article_id, form))
    said = _("The count has been taken away.") if removes else _("The count has been put right.")
    return done(here, ("success", said), panel=lambda: _show(stocktake_id, part=True))


@blueprint.post("/stock/stocktakes/<int:stocktake_id>/discard")
@needs(Right.WORK)
def discard(stocktake_id: int) -> Response:
    """End it without booking anything."""
    with writing() as changed:
        stocktakes.discard(changed, actor(), stocktake_id)
    said = _("The stocktake has been discarded. No balance has changed.")
    return done(url_for("stocktakes.show", stocktake_id=stocktake_id), ("success", said))


# --- Differensrapport -----------------------------------------------------------------------------------------------------


def _report(stocktake_id: int, form: BookForm | None = None, status: int = 200) -> Response:
    with reading() as looked:
        stocktake = stocktake_report.get(looked, stocktake_id)
        found = stocktake_report.report(looked, stocktake)
    asked = shape() if form is None else ""
    most = None if asked else MOST_SHOWN
    tables = [web_stocktakes.differences(stocktake, found, most)]
    if found.uncounted:
        tables.append(web_stocktakes.rest(stocktake, found, most))
    may_see = may(Right.SEE_PRIVATE)
    if not may_see:
        tables = [web_stocktakes.without_values(each) for each in tables]
    shown_form = form or BookForm(formdata=None)
    shown_form.seen.data, shown_form.seen.raw_data = found.seen, None
    many = len(found.uncounted)
    sure = ngettext(
        "Yes, set the balance of %(n)s article to zero", "Yes, set the balance of %(n)s articles to zero", many
    )
    shown_form.sure.label.text = sure % {"n": many}

    def shown() -> Response:
        return page(
            "stocktakes/report.html",
            status=status,
            stocktake=stocktake,
            report=found,
            differences=tables[0],
            rest=tables[1] if found.uncounted else None,
            most=MOST_SHOWN,
            form=shown_form,
            tones=TONES,
            is_open=stocktake.state is StocktakeState.OPEN,
            may_see=may_see,
            no_right=why_not(Right.WORK),
            ways=ways("stocktakes.report", stocktake_id=stocktake_id),
        )

    return answer(asked, tables, shown)


@blueprint.get("/stock/stocktakes/<int:stocktake_id>/report")
@needs(Right.READ)
def report(stocktake_id: int) -> Response:
    """What differs and what was not counted: on the screen, on paper and as a file; booked from here."""
    return _report(stocktake_id)


@blueprint.post("/stock/stocktakes/<int:stocktake_id>/report")
@needs(Right.WORK)
def book(stocktake_id: int) -> Response:
    """Book the differences of the report that was shown; what was not counted goes to zero only when asked for."""
    form = BookForm()
    nonce = read_nonce("book", stocktake_id)
    if not form.accepted():
        return _report(stocktake_id, form, 422)
    zero = form.uncounted.data == ZERO
    try:
        if zero and not form.sure.data:
            raise BadInput(N_("Tick this too, if nothing is left of what was not counted."), field="sure")
        with writing() as changed:
            made = stocktakes.book(changed, actor(), nonce, stocktake_id, form.seen.data, zero)
    except Refusal as refusal:
        if refusal.status in (403, 404):
            raise
        return _report(stocktake_id, form, form.refuse(refusal))
    said = ngettext(
        "The stocktake is booked: %(n)s balance has changed.",
        "The stocktake is booked: %(n)s balances have changed.",
        made,
    ) % {"n": made}
    return done(url_for("stocktakes.report", stocktake_id=stocktake_id), ("success", said))
