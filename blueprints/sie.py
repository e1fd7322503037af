"""«Exportera SIE»: the books for another program, as a file that has been checked before it is given out; and the vouchers of
another program's file read in (B35; catalogue rows 62 and 63)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request, send_file, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import clock
from db import reading, writing
from errors import BadInput, Refusal
from rights import Right
from services import periods, sie, sie_import
from services.sie import Kind, Per, Wish
from services.sie_import import Plan
from services.sie_reading import LARGEST
from web import (
    Form,
    UploadField,
    actor,
    done,
    fragment,
    is_htmx,
    needs,
    page,
    query_choice,
    query_whole,
    why_not,
)
from web_query import Days, typed_days
from web_words import gettext as _
from web_words import ngettext, say

blueprint = Blueprint("sie", __name__)

IN_MEMORY = 4_000_000
"""Bytes of a file that are kept in memory; a larger one is put on the disk until it has been sent."""


@dataclass(frozen=True, slots=True)
class _Asked:
    kind: Kind
    per: Per
    year: int
    days: Days

    def wish(self, session: Any) -> Wish:
        if self.kind is Kind.YEAR:
            return sie.year_wish(session, self.year, self.per)
        return sie.period_wish(session, self.days.starts, self.days.ends, self.per)


def _asked() -> _Asked:
    return _Asked(
        Kind(query_choice("kind", [each.value for each in Kind], Kind.YEAR.value)),
        Per(query_choice("per", [each.value for each in Per], Per.DOCUMENT.value)),
        query_whole("year", 0),
        typed_days(),
    )


def _page(asked: _Asked, *, refusal: Refusal | None = None, report: Any = None) -> Response:
    with reading() as looked:
        years = periods.years(looked)
    today = clock.today()
    now = next((each.id for each in years if each.starts <= today <= each.ends), 0)
    days, status = asked.days, asked.days.status
    if isinstance(refusal, BadInput) and refusal.field in ("from", "to"):
        days = Days(days.starts, days.ends, days.typed, {refusal.field: say(refusal)})
        refusal, status = None, 422
    if refusal is not None or report is not None:
        status = 409
    return page(
        "books/sie.html",
        status=status,
        asked=asked,
        chosen_year=asked.year or now,
        years=years,
        no_right=why_not(Right.BOOKS),
        days=days,
        said=say(refusal) if refusal else None,
        way=_way(refusal),
        faults=[
            (fault.line, _(fault.message, **fault.values)) for fault in (report.faults if report is not None else [])
        ],
    )


def _way(refusal: Refusal | None) -> str | None:
    if refusal is None or refusal.link is None:
        return None
    values: dict[str, Any] = dict(refusal.link[1])
    return url_for(refusal.link[0], **values)


@blueprint.get("/books/sie")
@needs(Right.READ)
def index() -> Response:
    """What can be exported."""
    return _page(_asked())


@blueprint.get("/books/sie/file")
@needs(Right.BOOKS)
def file() -> Response:
    """The file, or the page with what keeps it from being given out."""
    asked = _asked()
    if asked.kind is Kind.PERIOD and asked.days.wrong:
        return _page(asked)
    made = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - it is sent after this function has ended
    try:
        with reading() as looked:
            wish = asked.wish(looked)
            done = sie.export(looked, wish, actor().name, made)
    except Refusal as refusal:
        made.close()
        if refusal.status == 404:
            raise
        return _page(asked, refusal=refusal)
    if not done.report.sound:
        made.close()
        return _page(asked, report=done.report)
    return send_file(made, "application/octet-stream", as_attachment=True, download_name=wish.file_name)


# --- Reading a file in ---------------------------------------------------------------------------------------------------


class SieForm(Form):
    """A SIE file of another program."""

    file = UploadField(lazy("SIE file"))


def _upload_page(form: SieForm, status: int = 200, **shown: Any) -> Response:
    return page("books/sie_read.html", panel="books/_sie_read.html", status=status, form=form, **shown)


@blueprint.get("/books/sie/read")
@needs(Right.BOOKS)
def choose() -> Response:
    """Choose a file, look at what it would do, read it in."""
    return _upload_page(SieForm())


@blueprint.post("/books/sie/read")
@needs(Right.BOOKS, largest_body=LARGEST + 65_536)
def read_in() -> Response:
    """Show what a file would do, or read it in: ``step`` says which. The file is sent with both; only what was shown is read."""
    form = SieForm()
    sent = form.file.data
    if not form.accepted() or sent is None:
        return _upload_page(form, 422)
    content, wanted = sent.read(), request.form.get("step") == "read"
    try:
        if wanted:
            with writing() as written:
                plan = sie_import.take(written, actor(), content, request.form.get("shown", ""))
        else:
            with reading() as looked:
                plan = sie_import.preview(looked, content)
    except Refusal as refusal:
        if refusal.field != "file":
            raise
        return _upload_page(form, form.refuse(refusal))
    if not wanted or plan.file.problems:
        return _plan(form, plan)
    count = len(plan.vouchers)
    said = ngettext("%(n)s voucher has been read in.", "%(n)s vouchers have been read in.", count) % {"n": count}
    return done(url_for("books.vouchers", series="K"), ("success", said))


def _plan(form: SieForm, plan: Plan) -> Response:
    problems = [{"line": each.line, "why": say(each.why)} for each in plan.file.problems]
    status = 422 if problems else 200
    if not is_htmx():
        return _upload_page(form, status, plan=plan, problems=problems)
    answer = fragment("books/_sie_planned.html", status=status, plan=plan, problems=problems)
    answer.headers["HX-Retarget"] = "#planned"
    answer.headers["HX-Reswap"] = "outerHTML"
    return answer
