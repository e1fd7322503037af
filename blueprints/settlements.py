"""Settlement readings: the list, fetching from Klarna, one reading with its proof, and what is done with its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, flash, request, send_file, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import web_flow
import web_settlement_files
from db import reading, writing
from errors import N_, BadInput
from models import Payout
from rights import Actor, Right
from services import bank_list, settlement_changes, settlement_places, settlements
from services.settlement_choice import Unseen
from services.settlements import Filters
from states import PayoutState, Pile
from web import (
    Form,
    LineField,
    LinesField,
    actor,
    done,
    fragment,
    gateway,
    may,
    needs,
    page,
    query_choice,
    query_whole,
    read_nonce,
    say,
    why_not,
)
from web_access import is_htmx
from web_documents import document_url, off
from web_query import Days, query_wholes, typed_days
from web_reports import file_address, wants_file
from web_settlement_files import SOURCES
from web_settlements import arrivals, asked_of, came_and_booked
from web_words import gettext as _
from web_words import label, ngettext

blueprint = Blueprint("settlements", __name__)

STEP_SECONDS = 1.0
"""How long a step of a fetch begins new payouts, so that the page says how far it is."""
MOST_KEPT = 50
"""Rows that stay in sight although an act has moved them to another pile; the latest."""
BOXES = (("faulty", Pile.FAULTY), ("warning", Pile.WARNING), ("handled", Pile.HANDLED))
BOX_NAMES = {"faulty": N_("Faulty rows"), "warning": N_("Warning"), "handled": N_("Handled rows")}
"""The boxes of the filter and their names in the address (B2)."""
TONES = {
    PayoutState.LOADING: "busy",
    PayoutState.PARKED: "warn",
    PayoutState.READY: "info",
    PayoutState.BOOKED: "ok",
}
PILE_TONES = {Pile.MATCHED: "ok", Pile.WARNING: "warn", Pile.FAULTY: "bad", Pile.HANDLED: "info"}


class NoteForm(Form):
    """Why a row is as it is."""

    note = LinesField(lazy("Note"), most=500)


class DocumentForm(Form):
    """The document a row belongs to, and the mark of what was shown of it."""

    document_number = LineField(lazy("Invoice or credit note"), most=400)
    seen = LineField(lazy("Document"), most=64, required=False)


# --- The list ------------------------------------------------------------------------------------------------------------


def _filters(days: Days) -> Filters:
    return Filters(
        number=query_whole("number", 0) or None,
        source=query_choice("source", settlements.SOURCES, "") or None,
        starts=days.starts,
        ends=days.ends,
        piles=frozenset(pile for name, pile in BOXES if request.args.get(name) == "1"),
    )


def _address(filters: Filters, **changes: Any) -> str:
    """The list's address with these filters (B2)."""
    given: dict[str, Any] = {
        "number": filters.number,
        "source": filters.source,
        "from": filters.starts,
        "to": filters.ends,
        **{name: 1 for name, pile in BOXES if pile in filters.piles},
    }
    return url_for("settlements.index", **(given | changes))


@blueprint.get("/settlements")
@needs(Right.READ)
def index() -> Response:
    """The list of readings; filters and page are in the address (B2, B6)."""
    days = typed_days()
    filters = _filters(days)
    if wants_file() and not days.wrong:
        with reading() as looked:
            return web_settlement_files.readings(looked, filters)
    with reading() as looked:
        shown = settlements.listing(looked, filters, after=query_whole("after", 0) or None)
        accounts = settlements.accounts_read(looked)
        on_the_way = arrivals(looked)
    boxes = [{"name": name, "label": _(BOX_NAMES[name]), "ticked": pile in filters.piles} for name, pile in BOXES]
    return page(
        "settlements/index.html",
        status=days.status,
        days=days,
        filters=filters,
        filtered=filters != Filters() or bool(days.wrong),
        shown=shown,
        older=_address(filters, after=shown.older) if shown.older else None,
        boxes=boxes,
        file_url=_address(filters, **{"as": "csv"}),
        sources={name: _(word) for name, word in SOURCES.items()},
        piles=settlements.PILES,
        tones=TONES,
        accounts=accounts,
        troubles=[(each.name, say(each.trouble)) for each in accounts if each.trouble],
        next_fetch=f"{settlements.FETCHED_AT:%H:%M}",
        no_fetch=why_not(Right.BOOKS),
        **on_the_way,
    )


# --- Fetching ------------------------------------------------------------------------------------------------------------


@blueprint.post("/settlements/fetch")
@needs(Right.BOOKS)
def fetch() -> Response:
    """«Hämta nu»: fetch what is new, for at most ten seconds; the rest comes with the next fetch.

    With htmx it goes by shorter steps, each of which says how far it is and asks for the next: ``new`` and ``booked`` are
    what earlier steps brought. One that brings nothing, though there is more, is the last.
    """
    steps = is_htmx()
    found = settlements.fetch_all(gateway(), actor(), **({"seconds": STEP_SECONDS} if steps else {}))
    new = len(found.payouts) + _whole("new", 5)
    booked = sum(each.state is PayoutState.BOOKED for each in found.payouts) + _whole("booked", 5)
    if steps and found.more and found.payouts and not found.trouble:
        known = found.known + len(found.payouts)
        return fragment("settlements/_fetching.html", known=known, listed=found.listed, new=new, booked=booked)
    for name, trouble in found.trouble:
        flash(f"{name}: {say(trouble)}", "warning")
    if found.more:
        flash(_("There is more to fetch. Press again, or wait for the next fetch."), "info")
    if new:
        came = ngettext("%(n)s new payout has come.", "%(n)s new payouts have come.", new)
        said = came_and_booked(came, new, booked)
    else:
        said = _("Nothing new has come from Klarna.")
    return done(url_for("settlements.index"), None if found.trouble and not new else ("success", said))


def _whole(name: str, digits: int) -> int:
    """A whole number that the page itself sent, like what earlier steps of a fetch brought; 0 for anything else."""
    typed = request.form.get(name, "")
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) <= digits else 0


# --- One reading ---------------------------------------------------------------------------------------------------------


def _here(pile: Pile, acted: int | None = None) -> dict[str, Any]:
    """Where the person stands in a reading, as its addresses say it: the pile, the page, the rows that stay in sight."""
    kept = query_wholes("kept", MOST_KEPT)
    if acted is not None:
        kept = [*(each for each in kept if each != acted), acted][-MOST_KEPT:]
    return {"pile": pile.value, "after": query_whole("after", 0) or None, "kept": kept}


def _shown(
    payout_id: int, pile: Pile | None = None, failed: Mapping[str, Any] | None = None, acted: int | None = None
) -> dict[str, Any]:
    with reading() as looked:
        found = settlements.reading(looked, payout_id)
        chosen = pile or _pile(found.counts)
        here = _here(chosen, acted)
        rows, older = settlements.document_rows(looked, payout_id, chosen, kept=here["kept"], after=here["after"])
        parts = settlement_places.parts_of(looked, [row.row_id for row in rows])
        is_loading = found.payout.state is PayoutState.LOADING
        loading = settlements.progress(looked, found.payout.file_id) if is_loading else ()
        deposit = bank_list.found_of(looked, payout_id)
    tabs = [
        {
            "label": label(each),
            "url": url_for("settlements.show", payout_id=payout_id, pile=each.value),
            "count": found.counts.get(each, 0),
            "active": each is chosen,
        }
        for each in settlements.PILES
    ]
    may_act = may(Right.BOOKS) and found.payout.state in (PayoutState.PARKED, PayoutState.READY)
    return {
        "found": found,
        "deposit": deposit,
        "way": web_flow.way(found),
        "payout": found.payout,
        "here": here,
        "tabs": tabs,
        "rows": rows,
        "parts": parts,
        "older": url_for("settlements.show", payout_id=payout_id, pile=chosen.value, after=older) if older else None,
        "because": {name: _(sentence) for name, sentence in settlements.WHY.items()},
        "total_names": {name: _(word) for name, word in settlements.TOTAL_NAMES.items()},
        "tones": TONES,
        "pile_tones": PILE_TONES,
        "source": _(SOURCES[found.file.source]),
        "why": off(found.why),
        "no_booking": _why_no_booking(found.payout, off(found.why)),
        "may_act": may_act,
        "claims": settlements.CLAIMS,
        "may_accept": may(Right.BOOKS) and found.payout.state is PayoutState.BOOKED,
        "may_decide": may(Right.DECIDE),
        "loading": loading,
        "changes": {each.id: change for each in found.breaks if (change := settlement_changes.of_break(each))},
        "failed": failed or {},
        "file_url": file_address("settlements.show", payout_id=payout_id),
        "document_url": document_url,
    }


def _pile(counts: Mapping[Pile, int]) -> Pile:
    """The pile in the address, else the first that holds anything."""
    first = next((each for each in settlements.PILES if counts.get(each)), Pile.MATCHED)
    return Pile(query_choice("pile", [each.value for each in settlements.PILES], first.value))


def _why_no_booking(payout: Payout, why: str | None) -> str | None:
    return (
        why_not(Right.BOOKS)
        or why
        or (None if payout.state is PayoutState.READY else _("The payout is still being read."))
    )


@blueprint.get("/settlements/<int:payout_id>")
@needs(Right.READ)
def show(payout_id: int) -> Response:
    """One reading: its proof, its piles, a row per document (B3-B5); all its rows as a file."""
    if wants_file():
        with reading() as looked:
            return web_settlement_files.reading_rows(looked, payout_id)
    return page("settlements/show.html", panel="settlements/_reading.html", **_shown(payout_id))


@blueprint.get("/settlements/<int:payout_id>/file")
@needs(Right.BOOKS)
def original(payout_id: int) -> Response:
    """The report as it came, byte for byte."""
    with reading() as looked:
        file = settlements.file_of(looked, payout_id)
    kind = "json" if file.source == "api" else "csv"
    return send_file(
        settlements.whole(file.sha256),
        f"text/{'csv' if kind == 'csv' else 'plain'}; charset=utf-8",
        as_attachment=True,
        download_name=f"settlement-{payout_id}.{kind}",
    )


def _drawn(payout_id: int, said: str, pile: Pile | None = None, acted: int | None = None) -> Response:
    url = url_for("settlements.show", payout_id=payout_id, **(_here(pile, acted) if pile else {}))
    return done(
        url,
        ("success", said),
        panel=lambda: fragment("settlements/_reading.html", **_shown(payout_id, pile, acted=acted)),
        events=("settlement-changed",),
    )


@blueprint.post("/settlements/<int:payout_id>/book")
@needs(Right.BOOKS)
def book(payout_id: int) -> Response:
    """«Bokför»: one voucher for the payout, once every row is explained."""
    with writing() as written:
        voucher = settlements.book(written, actor(), payout_id)
        name = f"{voucher.series}{voucher.number}"
    return _drawn(payout_id, _("The payout is booked as voucher %(number)s.", number=name))


@blueprint.post("/settlements/<int:payout_id>/match")
@needs(Right.BOOKS)
def match(payout_id: int) -> Response:
    """«Matcha igen»: look for partners of the faulty rows anew."""
    with writing() as written:
        settlements.match_again(written, actor(), payout_id)
    return _drawn(payout_id, _("The faulty rows have been matched again."))


# --- Acts on rows --------------------------------------------------------------------------------------------------------


def _on_row(row_id: int, said: str, form: Form | None, act: Callable[[Session], Payout]) -> Response:
    """Do an act on a row, and draw the reading where the person stood, the row in its place; a no is said beside its form."""
    pile = Pile(query_choice("pile", [each.value for each in settlements.PILES], Pile.FAULTY.value))
    if form is not None and not form.accepted():
        return _failed(row_id, pile, form, 422)
    try:
        with writing() as written:
            payout_id = act(written).id
    except BadInput as refusal:
        if form is None:
            raise
        return _failed(row_id, pile, form, form.refuse(refusal))
    except Unseen as asked:
        return _failed(row_id, pile, form or Form(), asked.status, asked=asked)
    return _drawn(payout_id, said, pile, row_id)


def _failed(row_id: int, pile: Pile, form: Form, status: int, asked: Unseen | None = None) -> Response:
    """The reading with what was wrong beside the row, or with what is asked before its document is tied to it."""
    with reading() as looked:
        payout_id = settlements.payout_of_row(looked, row_id)
    failed = {"row_id": row_id, "form": form, "act": request.endpoint}
    if asked is not None:
        failed["asked"] = asked_of(asked)
    shown = _shown(payout_id, pile, failed)
    return page("settlements/show.html", panel="settlements/_reading.html", status=status, **shown)


@blueprint.post("/settlements/rows/<int:row_id>/assign")
@needs(Right.BOOKS)
def assign(row_id: int) -> Response:
    """Let a row belong to a document that was chosen; one that is not simply the row's is shown and asked about first."""
    form, nonce = DocumentForm(), read_nonce(settlements.ASSIGN, row_id)
    return _on_row(
        row_id,
        _("The row has its document."),
        form,
        lambda session: settlements.assign(
            session, actor(), row_id, nonce, document_number=form.document_number.data, seen=form.seen.data or ""
        ),
    )


def _with_note(row_id: int, said: str, act: Callable[[Session, Actor, int, str], Payout]) -> Response:
    form = NoteForm()
    return _on_row(row_id, said, form, lambda session: act(session, actor(), row_id, form.note.data))


@blueprint.post("/settlements/rows/<int:row_id>/accept")
@needs(Right.BOOKS)
def accept(row_id: int) -> Response:
    """Accept a warning with its reason."""
    return _with_note(row_id, _("The warning is accepted."), settlements.accept)


@blueprint.post("/settlements/rows/<int:row_id>/handle")
@needs(Right.BOOKS)
def handle(row_id: int) -> Response:
    """Mark a row as handled, with a note."""
    return _with_note(row_id, _("The row is marked as handled."), settlements.mark_handled)


@blueprint.post("/settlements/rows/<int:row_id>/undo")
@needs(Right.BOOKS)
def undo(row_id: int) -> Response:
    """Take back what was done with a row."""
    return _on_row(
        row_id, _("It has been taken back."), None, lambda session: settlements.undo(session, actor(), row_id)
    )


@blueprint.post("/settlements/rows/<int:row_id>/unmatch")
@needs(Right.BOOKS)
def unmatch(row_id: int) -> Response:
    """Take back a match that was made by itself; ``shown`` is the document that the page showed."""
    shown_id = _whole("shown", 18)
    return _on_row(
        row_id,
        _("The match has been taken back. The row waits for a document or a note."),
        None,
        lambda session: settlements.unmatch(session, actor(), row_id, shown_id=shown_id),
    )


@blueprint.post("/settlements/rows/<int:row_id>/rematch")
@needs(Right.BOOKS)
def rematch(row_id: int) -> Response:
    """Match a row by itself after all whose match was taken back."""
    said = _("The row has been matched again.")
    return _on_row(row_id, said, None, lambda session: settlements.rematch(session, actor(), row_id))
