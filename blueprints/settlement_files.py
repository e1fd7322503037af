"""Settlement reports from outside: a file that is looked at and read in, what is on its way, and the watched folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, flash, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, Refusal
from rights import Right
from services import settlement_changes, settlement_folder, settlements
from services.settlements import Fate, Outcome, Planned, Report
from states import PayoutState
from web import (
    MEGABYTE,
    ChoiceField,
    Form,
    UploadField,
    actor,
    done,
    fragment,
    gateway,
    needs,
    page,
    say,
)
from web_access import go_to, is_htmx
from web_documents import off
from web_settlements import arrivals, came_and_booked
from web_words import gettext as _
from web_words import ngettext

blueprint = Blueprint("settlement_files", __name__)

LARGEST_FILE = 51 * MEGABYTE
"""A body of this size holds the largest report that is taken by a page (catalogue row 48), and the form around it."""
FATES = {
    Fate.NEW: (N_("Will be read in"), "ok"),
    Fate.SAME: (N_("Read before, unchanged"), "off"),
    Fate.DIFFERENT: (N_("Came back different"), "bad"),
    Fate.PARKED: (N_("Does not add up"), "warn"),
}


class UploadForm(Form):
    """A report to read in."""

    file = UploadField(lazy("Klarna's settlement report (CSV)"))
    account_id = ChoiceField(lazy("Store id"), coerce=int)


# --- Reading in ----------------------------------------------------------------------------------------------------------


def _upload_form() -> UploadForm:
    with reading() as looked:
        accounts = settlements.accounts_read(looked)
    form = UploadForm(account_id=0)
    form.account_id.choices = [
        (0, _("As the report says")),
        *((each.id, f"{each.name} ({each.store_id})") for each in accounts),
    ]
    return form


def _upload_page(form: UploadForm, status: int = 200, **planned: Any) -> Response:
    return page("settlements/upload.html", panel="settlements/_upload.html", status=status, form=form, **planned)


@blueprint.get("/settlements/upload")
@needs(Right.BOOKS)
def file() -> Response:
    """Choose a report, look at what it would do, read it in."""
    return _upload_page(_upload_form())


@blueprint.post("/settlements/upload")
@needs(Right.BOOKS, largest_body=LARGEST_FILE)
def upload() -> Response:
    """Show what a report would do, or read it in: ``step`` says which. The file is sent with both and kept by the second.

    Only what was shown is read in: ``shown`` is the hash of that, and another file is shown first.
    """
    form = _upload_form()
    sent = form.file.data
    if not form.accepted() or sent is None:
        return _upload_page(form, 422)
    report = Report(sent.stream, sent.filename or "")
    account_id = form.account_id.data or None
    try:
        wanted = request.form.get("step") == "read"
        if not wanted or request.form.get("shown") != report.sha256:
            surveys = report.survey()
            with reading() as looked:
                plan = settlements.preview(looked, report, account_id, surveys)
            if plan.already is not None:
                return _upload_page(form, form.refuse(plan.already))
            return _preview(form, plan.payouts, report, unseen=wanted)
        outcome = settlements.read_in(gateway(), actor(), report, account_id=account_id)
    except Refusal as refusal:
        if refusal.field != "file" and is_htmx() and refusal.status not in (409, 422):
            raise
        status = form.refuse(refusal)
        # A page that is put in place of the form is a 422 or a 409: what the file is, is said beside its field.
        return _upload_page(form, 422 if is_htmx() and status in (413, 415) else status)
    return _upload_page(form, form.refuse(outcome.already)) if outcome.already else _after_reading(outcome)


def _preview(form: UploadForm, payouts: Sequence[Planned], report: Report, *, unseen: bool) -> Response:
    shown = [
        {
            "plan": each,
            "fate": _(FATES[each.fate][0]),
            "tone": FATES[each.fate][1],
            "why": off(each.why),
            "change": each.comparison
            and settlement_changes.of_comparison(each.comparison, each.survey.payout.currency),
        }
        for each in payouts
    ]
    other = (
        _("This is not the file that was shown. Look at what it would do before you read it in.") if unseen else None
    )
    status = 409 if unseen else 200
    if not is_htmx():
        return _upload_page(form, status, planned=shown, shown=report.sha256, other=other)
    answer = fragment("settlements/_planned.html", status=status, planned=shown, shown=report.sha256, other=other)
    answer.headers["HX-Retarget"] = "#planned"
    return answer


def _after_reading(outcome: Outcome) -> Response:
    for each in outcome.payouts:
        if each.why is not None:
            flash(f"{each.payment_reference}: {say(each.why)}", "warning")
    new = [each for each in outcome.payouts if each.fate is Fate.NEW]
    said: str | None = None
    if any(each.state is PayoutState.LOADING for each in outcome.payouts):
        said = _("The report is being read in. You may leave the page.")
    elif new:
        booked = sum(each.state is PayoutState.BOOKED for each in new)
        said = ngettext("%(n)s payout has been read in.", "%(n)s payouts have been read in.", len(new))
        said = came_and_booked(said, len(new), booked)
    elif all(each.fate is Fate.SAME for each in outcome.payouts):
        said = _("Everything in the report had been read before. Nothing has changed.")
    only = outcome.payouts[0].payout_id if len(outcome.payouts) == 1 else None
    url = url_for("settlements.show", payout_id=only) if only else url_for("settlements.index")
    return done(url, ("success", said) if said else None)


# --- What is on its way -----------------------------------------------------------------------------------------------------


@blueprint.get("/settlements/coming")
@needs(Right.READ)
def coming() -> Response:
    """How far the reports that are being loaded have come, and the folder's wrong files; all there, the list is drawn anew."""
    with reading() as looked:
        shown = arrivals(looked)
    if not is_htmx() or not shown["loading"]:
        return go_to(url_for("settlements.index"))
    return fragment("settlements/_coming.html", **shown)


def _drawn(said: str) -> Response:
    def panel() -> Response:
        with reading() as looked:
            return fragment("settlements/_coming.html", **arrivals(looked))

    return done(url_for("settlements.index"), ("success", said), panel=panel)


@blueprint.post("/settlements/folder/<int:file_id>/again")
@needs(Right.BOOKS)
def again(file_id: int) -> Response:
    """Let a wrong file of the watched folder be read anew as it is."""
    with writing() as written:
        name = settlement_folder.try_again(written, actor(), file_id)
    return _drawn(_("%(name)s is read anew in a moment.", name=name))


@blueprint.post("/settlements/folder/<int:file_id>/aside")
@needs(Right.BOOKS)
def aside(file_id: int) -> Response:
    """Let a wrong file be moved out of the way."""
    with writing() as written:
        name = settlement_folder.put_aside(written, actor(), file_id)
    return _drawn(_("%(name)s is put aside.", name=name))
