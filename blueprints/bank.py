"""The bank: statements that are read in, and each payout beside its deposit, tied by reference or by Finance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, make_response, request, url_for
from flask_babel import lazy_gettext as lazy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import clock
import web_settlement_files
from db import reading, writing
from errors import N_, BadInput, Refusal
from models import BankTie
from rights import Actor, Right
from services import bank_file, bank_list, bank_statements, bank_ties
from services.bank_entries import LARGEST
from services.bank_statements import Plan
from web import (
    Form,
    LineField,
    LinesField,
    RadioChoiceField,
    UploadField,
    actor,
    done,
    fragment,
    may,
    needs,
    page,
    query_choice,
    query_whole,
    say,
    why_not,
)
from web_access import is_htmx
from web_reports import file_address, wants_file
from web_words import day, ngettext
from web_words import gettext as _

blueprint = Blueprint("bank", __name__)

SHOWN = 100
"""Entries that a preview lists."""
VIEW_NAMES = {
    "missing": N_("Not yet at the bank"),
    "found": N_("At the bank"),
    "deposits": N_("Deposits without a payout"),
    "statements": N_("Statements"),
}
HOWS = {bank_ties.BY_REFERENCE: N_("By its reference"), bank_ties.BY_HAND: N_("By hand")}


class StatementForm(Form):
    """A bank statement to read in."""

    file = UploadField(lazy("Bank statement (camt.053 or CSV)"))
    account = LineField(lazy("Our account number"), most=40, required=False)


class TieForm(Form):
    """The deposit that a payout is, and why."""

    entry_id = RadioChoiceField(lazy("Deposit"), coerce=int)
    reason = LinesField(lazy("Reason"), most=500)


class UntieForm(Form):
    """Why a deposit is not the payout after all."""

    reason = LinesField(lazy("Reason"), most=500)


# --- The list ------------------------------------------------------------------------------------------------------------


@blueprint.get("/bank")
@needs(Right.READ)
def index() -> Response:
    """Payouts that are not at the bank, those that are, deposits that nobody knows of, and the statements."""
    view = query_choice("view", list(VIEW_NAMES), "missing")
    # What does not come from Klarna comes from people, by name.
    whole = request.args.get("all") == "1" and may(Right.SEE_PRIVATE)
    after = query_whole("after", 0) or None
    if wants_file() and view != "statements":
        with reading() as looked:
            if view == "deposits":
                return web_settlement_files.deposits(looked, of_klarna=not whole)
            return web_settlement_files.at_bank(looked, HOWS, found=view == "found")
    rows: Sequence[Any]
    whys: dict[int, list[str]] = {}
    with reading() as looked:
        counts = bank_list.counts(looked)
        if view == "deposits":
            rows, older = bank_list.deposits(looked, of_klarna=not whole, after=after)
        elif view == "statements":
            rows, older = bank_list.statements(looked, after=after)
        else:
            payouts, older = bank_list.payouts(looked, found=view == "found", after=after)
            rows = payouts
            whys = {each.id: [say(why) for why in each.whys] for each in payouts}
    number = {"missing": counts.missing, "found": counts.found, "deposits": counts.deposits}
    tabs = [
        {
            "label": _(name),
            "url": url_for("bank.index", view=each),
            "count": number.get(each),
            "active": each == view,
        }
        for each, name in VIEW_NAMES.items()
    ]
    return page(
        "bank/index.html",
        view=view,
        tabs=tabs,
        rows=rows,
        whole=whole,
        counts=counts,
        whys=whys,
        hows={name: _(word) for name, word in HOWS.items()},
        older=url_for("bank.index", view=view, all=1 if whole else None, after=older) if older else None,
        no_reading=why_not(Right.BOOKS),
        file_url=file_address("bank.index", view=view, all=1 if whole else None) if view != "statements" else None,
    )


# --- Reading a statement in ----------------------------------------------------------------------------------------------


def _upload_page(form: StatementForm, status: int = 200, **shown: Any) -> Response:
    return page("bank/upload.html", panel="bank/_upload.html", status=status, form=form, **shown)


@blueprint.get("/bank/upload")
@needs(Right.BOOKS)
def file() -> Response:
    """Choose a statement, look at what it would do, read it in."""
    return _upload_page(StatementForm())


@blueprint.post("/bank/upload")
@needs(Right.BOOKS, largest_body=LARGEST + 65_536)
def upload() -> Response:
    """Show what a statement would do, or read it in: ``step`` says which. The file is sent with both, kept by the second."""
    form = StatementForm()
    sent = form.file.data
    if not form.accepted() or sent is None:
        return _upload_page(form, 422)
    content = sent.read()
    try:
        statement = bank_file.read(content, form.account.data or "", today=clock.today())
        if request.form.get("step") != "read" or statement.problems:
            with reading() as looked:
                plan = bank_statements.preview(looked, content, statement)
            return _preview(form, plan)
        with writing() as written:
            taken = bank_statements.take(written, actor(), content, sent.filename or "", statement)
    except Refusal as refusal:
        if refusal.field != "file" and is_htmx() and refusal.status not in (409, 422):
            raise
        status = form.refuse(refusal)
        # A page that is put in place of the form is a 422 or a 409: what the file is, is said beside its field.
        return _upload_page(form, 422 if is_htmx() and status in (413, 415) else status)
    came = ngettext("%(n)s deposit has been read in.", "%(n)s deposits have been read in.", taken.new)
    said = " ".join(
        [
            came % {"n": taken.new},
            _("Tied to payouts: %(tied)s.", tied=taken.tied),
            *([_("Known before: %(known)s.", known=taken.known)] if taken.known else []),
        ]
    )
    return done(url_for("bank.index"), ("success", said))


def _preview(form: StatementForm, plan: Plan) -> Response:
    problems = [
        {"place": each.place, "name": _(bank_file.NAMES[each.name]) if each.name in bank_file.NAMES else each.name,
         "why": say(each.why)}
        for each in plan.statement.problems
    ]  # fmt: skip
    planned = [
        {"entry": each.entry, "payout": each.payout, "why": say(each.why) if each.why else None}
        for each in plan.planned[:SHOWN]
    ]
    shown: dict[str, Any] = {"plan": plan, "planned": planned, "problems": problems, "most": SHOWN}
    status = 422 if problems else 200
    if not is_htmx():
        return _upload_page(form, status, **shown)
    answer = fragment("bank/_planned.html", status=status, **shown)
    answer.headers["HX-Retarget"] = "#planned"
    answer.headers["HX-Reswap"] = "innerHTML"
    return answer


@blueprint.get("/bank/statements/<int:statement_id>/file")
@needs(Right.BOOKS)
def original(statement_id: int) -> Response:
    """The statement as it came, byte for byte."""
    with reading() as looked:
        kind, content = bank_list.file_of(looked, statement_id)
    ending = "csv" if kind == "csv" else "xml"
    answer = make_response(content)
    # Never shown as a page: XML is sent as bytes.
    answer.headers["Content-Type"] = "text/csv" if kind == "csv" else "application/octet-stream"
    answer.headers["Content-Disposition"] = f'attachment; filename="statement-{statement_id}.{ending}"'
    return answer


# --- One payout ------------------------------------------------------------------------------------------------------------


def _shown(payout_id: int, failed: Form | None = None, status: int = 200) -> Response:
    with reading() as looked:
        found = bank_list.page_of(looked, payout_id)
    acts: dict[str, Form] = {}
    if may(Right.BOOKS) and found.payout.found is not None:
        acts["untie"] = failed if isinstance(failed, UntieForm) else UntieForm(formdata=None)
    elif may(Right.BOOKS) and found.offered:
        acts["tie"] = failed if isinstance(failed, TieForm) else _tie_form(found.offered, formdata=None)
    return page(
        "bank/show.html",
        status=status,
        found=found,
        payout=found.payout,
        whys=[say(why) for why in found.payout.whys],
        hows={name: _(word) for name, word in HOWS.items()},
        acts=acts,
    )


def _tie_form(offered: Sequence[bank_list.Incoming], **given: Any) -> TieForm:
    form = TieForm(**given)
    form.entry_id.choices = [(each.id, _label(each)) for each in offered]
    return form


def _label(deposit: bank_list.Incoming) -> str:
    return " · ".join(filter(None, [day(deposit.day), deposit.payer, deposit.text[:60], deposit.account]))


@blueprint.get("/bank/payouts/<int:payout_id>")
@needs(Right.READ)
def show(payout_id: int) -> Response:
    """A payout at the bank: its deposit, or the deposits that it could be."""
    return _shown(payout_id)


def _act(payout_id: int, form: Form, said: str, act: Callable[[Session, Actor], BankTie]) -> Response:
    if not form.accepted():
        return _shown(payout_id, form, 422)
    try:
        with writing() as written:
            act(written, actor())
    except BadInput as refusal:
        return _shown(payout_id, form, form.refuse(refusal))
    return done(url_for("bank.show", payout_id=payout_id), ("success", said))


@blueprint.post("/bank/payouts/<int:payout_id>/tie")
@needs(Right.BOOKS)
def tie(payout_id: int) -> Response:
    """«Koppla»: let a payout be the deposit that a person chose."""
    with reading() as looked:
        offered = bank_list.page_of(looked, payout_id).offered
    form = _tie_form(offered)
    return _act(
        payout_id,
        form,
        _("The payout has its deposit."),
        lambda session, who: bank_ties.tie(session, who, payout_id, form.entry_id.data, form.reason.data),
    )


@blueprint.post("/bank/payouts/<int:payout_id>/untie")
@needs(Right.BOOKS)
def untie(payout_id: int) -> Response:
    """«Koppla loss»: the deposit is not the payout after all."""
    form = UntieForm()
    return _act(
        payout_id,
        form,
        _("The deposit has been untied."),
        lambda session, who: bank_ties.untie(session, who, payout_id, form.reason.data),
    )
