"""E-mail of invoices and credit notes: ask for one, the list of what could not be sent, and the decisions (F18, F19, X6)."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from db import reading, writing
from errors import BadInput, Refusal
from rights import Right
from services import documents, mail_settings, mailing, outbox, outbox_list
from web import actor, done, needs, page, query_whole, read_nonce, say
from web_documents import WORDS, MailForm, document_answer, document_url, off, read_page
from web_reports import Column, answer, every, file_address, listed, wants_file
from web_words import gettext as _
from web_words import label, named, ngettext

blueprint = Blueprint("mails", __name__)

LIST = "list"
"""What a form sends along from the list, where its answer stays."""


# --- The list ------------------------------------------------------------------------------------------------------------


@blueprint.get("/mails")
@needs(Right.READ)
def index() -> Response:
    """Every e-mail that waits for a person, the oldest first (X6)."""
    if wants_file():
        return _file()
    with reading() as looked:
        found = outbox_list.listed(looked, actor(), query_whole("after", 0) or None)
        no_mail = mail_settings.why_not(looked)
    return page(
        "mails/index.html",
        rows=found.rows,
        older=url_for("mails.index", after=found.older) if found.older else None,
        no_mail=off(no_mail),
        came_from=LIST,
        file_url=file_address("mails.index"),
        **WORDS,
    )


def _file() -> Response:
    columns = [
        Column(_("Document")),
        Column(_("Number")),
        Column(_("Customer")),
        Column(_("To")),
        Column(_("Asked for"), "moment"),
        Column(_("By")),
        Column(_("Given up"), "moment"),
        Column(_("Tries"), "whole"),
        Column(_("What went wrong")),
    ]
    with reading() as looked:
        lines = (
            [
                label(each.kind),
                each.number,
                each.customer,
                each.mail.to or "",
                each.mail.asked_at,
                named(each.mail.asked_by, "actor"),
                each.mail.at if each.mail.state == "gave_up" else None,
                each.mail.tries,
                off(each.mail.why) or "",
            ]
            for each in every(lambda mark: _page_of(looked, mark))
        )
        return answer("csv", [listed("mails-not-sent", "", columns, lines)])


def _page_of(looked: Session, mark: int | None) -> tuple[Sequence[outbox_list.Stuck], int | None]:
    found = outbox_list.listed(looked, actor(), mark)
    return found.rows, found.older


# --- Acts ----------------------------------------------------------------------------------------------------------------


@blueprint.post("/documents/<int:document_id>/mail")
@needs(Right.WORK)
def send(document_id: int) -> Response:
    """«E-posta»: queue the document for one address; the worker sends it. One form is one mail."""
    form, nonce = MailForm(), read_nonce("mail", document_id)
    refused = None
    if form.accepted():
        try:
            with writing() as asked:
                refusal = mail_settings.why_not(asked)
                if refusal is not None:
                    raise refusal
                document = documents.get_numbered(asked, document_id)
                outbox.queue_by_form(asked, actor(), document, form.to.data, nonce)
            return done(
                f"{document_url(document.kind, document_id)}#mail", ("success", _("The e-mail is on its way out."))
            )
        except BadInput as no:
            refused = form.refuse(no)
    return document_answer(read_page(document_id), status=refused or 422, mail_form=form)


# --- Many at once --------------------------------------------------------------------------------------------------------


def _many(
    ids: Sequence[int], ticked: Sequence[int] | None = None, refused: str | None = None, status: int = 200
) -> Response:
    with reading() as looked:
        plans = mailing.plan(looked, actor(), ids)
        no_mail = mail_settings.why_not(looked)
    chosen = [each.document_id for each in plans if each.suggested] if ticked is None else ticked
    return page(
        "mails/many.html",
        status=status,
        plans=plans,
        ticked=[each.document_id for each in plans if each.document_id in chosen and each.refusal is None],
        refused=refused,
        no_mail=off(no_mail),
        **WORDS,
    )


@blueprint.get("/documents/mail")
@needs(Right.WORK)
def many() -> Response:
    """What would be e-mailed where, of the documents the address names; nothing is sent."""
    try:
        return _many(mailing.read_ids([*request.args.getlist("ids"), *request.args.getlist("selected")]))
    except BadInput as no:
        return _many([], refused=say(no), status=no.status)


@blueprint.post("/documents/mail")
@needs(Right.WORK)
def send_many() -> Response:
    """Put a mail in the outbox for each ticked document; the page then says of each that it is on its way."""
    nonce = read_nonce(mailing.ACTION, "documents")
    ids = mailing.read_ids(request.form.getlist("shown"))
    ticked: list[int] = []
    try:
        ticked = mailing.read_ids(request.form.getlist("selected"))
        with writing() as asked:
            shown = {each: request.form.get(f"seen_{each}", "") for each in ticked}
            queued = mailing.send(asked, actor(), nonce, shown)
    except Refusal as no:
        if no.status not in (409, 422):
            raise
        return _many(ids, ticked, say(no), no.status)
    said = ngettext("%(num)s e-mail is on its way out.", "%(num)s e-mails are on their way out.", queued) % {
        "num": queued
    }
    return done(url_for("mails.many", ids=",".join(map(str, ids))), ("success", said))


def _back(document_id: int, said: str) -> Response:
    """To where the person stood: the list, or the mails of the document."""
    if request.form.get("from") == LIST:
        return done(url_for("mails.index"), ("success", said))
    with reading() as looked:
        kind = documents.get(looked, document_id).kind
    return done(f"{document_url(kind, document_id)}#mail", ("success", said))


@blueprint.post("/mails/<int:job_id>/retry")
@needs(Right.WORK)
def retry(job_id: int) -> Response:
    """Try an e-mail again that was given up."""
    with writing() as changed:
        document_id = outbox.retry(changed, actor(), job_id)
    return _back(document_id, _("The e-mail is tried again."))


@blueprint.post("/mails/<int:job_id>/drop")
@needs(Right.WORK)
def drop(job_id: int) -> Response:
    """Give an e-mail up for good."""
    with writing() as changed:
        document_id = outbox.drop(changed, actor(), job_id)
    return _back(document_id, _("The e-mail is not sent."))
