"""E-mail of invoices and credit notes: ask for one, and decide on what could not be sent (F18, F19)."""

from __future__ import annotations

from flask import Blueprint
from werkzeug.wrappers import Response

from db import writing
from errors import BadInput
from rights import Right
from services import documents, mail_settings, outbox
from web import actor, done, needs, read_nonce
from web_documents import MailForm, document_answer, document_url, read_page
from web_words import gettext as _

blueprint = Blueprint("mails", __name__)


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


def _back(document_id: int, said: str) -> Response:
    with writing() as looked:
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
