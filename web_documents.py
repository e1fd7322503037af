"""What the pages of invoices, credit notes and their acts at Klarna share: one page per document, money forms, lists, files.

Amounts are minor units.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from flask import current_app, request, send_file, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

import clock
from db import reading
from errors import N_, Malformed, Refusal
from rights import Right
from services import (
    agreement,
    approvals,
    converting,
    credit_drafts,
    document_page,
    exchange,
    goods_returns,
    mail_settings,
    outbox,
    preferences,
    printing,
    stock_booking,
)
from services.document_page import DocumentPage
from services.klarna_refusal import Sentence
from services.reservations import MoneyForm
from states import DocKind, DocState, WithoutKlarna
from web import (
    EmailField,
    Form,
    LineField,
    LinesField,
    RadioChoiceField,
    TickField,
    actor,
    gettext,
    label,
    may,
    page,
    read_nonce,
    say,
)
from web_agreement import shown

_AMOUNT = re.compile(r"-?[0-9]{1,12}")
IN_MEMORY = 4_000_000
"""Bytes of a file that are kept in memory; a larger one is put on the disk until it has been sent."""
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula when a cell begins with it (catalogue 60)."""
WITHDRAWN = N_("withdrawn before sending")
TRY_AGAIN = N_("try again")
"""Reasons that Kvitta itself writes into a document's history."""
CODES = {
    "adopt": N_("adopted: done at Klarna outside Kvitta"),
    "convert": N_("made into a refund at Klarna"),
    "FRAUD_STOPPED": N_("stopped by Klarna"),
    "FRAUD_REJECTED": N_("turned down by Klarna"),
}
"""Codes that stand for a reason in a history."""


# --- Words ---------------------------------------------------------------------------------------------------------------


def told(sentence: Sentence | None) -> str:
    """A sentence of a service in the language of this request; empty for none."""
    if sentence is None:
        return ""
    values: dict[str, Any] = {
        name: reason(value) if value in (WITHDRAWN, TRY_AGAIN, *CODES) else value
        for name, value in sentence.values.items()
    }
    return say(Refusal(sentence.message, **values))


def off(refusal: Refusal | None) -> str | None:
    """Why a control is off; None when it is on."""
    return say(refusal) if refusal else None


def reason(text: str) -> str:
    """A reason of the history: a person's words as they are, our own translated."""
    known = document_page.known_reason(text)
    if known is not None:
        return label(known)
    if text in CODES:
        return gettext(CODES[text])
    return gettext(text) if text in (WITHDRAWN, TRY_AGAIN) else text


def linked(endpoint: str, **values: Any) -> str | None:
    """The address of a page of another room; None where this installation has no such page."""
    return url_for(endpoint, **values) if endpoint in current_app.view_functions else None


def voucher_url(voucher_id: int, name: str) -> str | None:
    """The address of a voucher; None for who does not see what articles cost, where it shows that."""
    hidden = name.startswith(stock_booking.SERIES) and not may(Right.SEE_PRIVATE)
    return None if hidden else linked("books.voucher", voucher_id=voucher_id)


def document_url(kind: DocKind, document_id: int) -> str:
    """The address of a document's page."""
    endpoint = "credit_notes.show" if kind is DocKind.CREDIT_NOTE else "invoices.show"
    return url_for(endpoint, document_id=document_id)


# --- Forms ---------------------------------------------------------------------------------------------------------------


class ReasonForm(Form):
    """Why a document is voided or reversed."""

    reason = LinesField(lazy("Reason"), most=500)


class HappenedForm(Form):
    """The capture or refund at Klarna that a person says is ours."""

    object_id = LineField(lazy("Capture id or refund id at Klarna"), most=64)


class KeepForm(Form):
    """Why a refused credit note is kept without Klarna (K19, K20)."""

    reason = RadioChoiceField(lazy("Reason"))
    portal_confirmed = TickField(lazy("I confirm that it has been credited in Klarna's portal"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reason.choices = reason_choices()


class MailForm(Form):
    """Where a document is e-mailed."""

    to = EmailField(lazy("E-mail address"))


REASON_WORDS: dict[WithoutKlarna, str] = {
    WithoutKlarna.CREDITED_IN_PORTAL: N_("Already credited in Klarna's portal"),
    WithoutKlarna.EVEN_EXCHANGE: N_("Even exchange, Klarna's amount unchanged"),
}


def reason_choices() -> list[tuple[str, str]]:
    """The reasons for sending nothing, in the words of K20."""
    return [(each.value, gettext(REASON_WORDS[each])) for each in credit_drafts.REASONS]


def money_form(action: str, subject: int) -> MoneyForm:
    """What every money form carries, read strictly. Raises Malformed (400) for a figure that is missing or no figure."""
    nonce = read_nonce(action, subject)
    shown, accepted = request.form.get("shown", ""), request.form.get("accept", "0")
    if not _AMOUNT.fullmatch(shown) or not _AMOUNT.fullmatch(accepted):
        raise Malformed(N_("The form is incomplete. Nothing has been done; open the page again."))
    return MoneyForm(nonce, int(shown), int(accepted))


# --- A document's page -------------------------------------------------------------------------------------------------


def read_page(document_id: int, kind: DocKind | None = None) -> DocumentPage:
    """The page of a numbered document. Raises NotFound."""
    with reading(by_key=True) as looked:
        return document_page.overview(looked, actor(), document_id, kind)


def document_answer(
    document: DocumentPage,
    *,
    status: int = 200,
    refused: str | None = None,
    void_form: ReasonForm | None = None,
    keep_form: KeepForm | None = None,
    reverse_form: ReasonForm | None = None,
    happened_form: HappenedForm | None = None,
    not_form: ReasonForm | None = None,
    mail_form: MailForm | None = None,
) -> Response:
    """A document's page, or for htmx its outcome panel; with what was refused and what was typed."""
    room = "credit_notes" if document.kind is DocKind.CREDIT_NOTE else "invoices"
    with reading(by_key=True) as looked:
        mails, no_mail = outbox.of_document(looked, actor(), document.id), mail_settings.why_not(looked)
        own = preferences.of(looked, actor().id) if _just_made(document) else preferences.Preferences()
        elsewhere = agreement.elsewhere(looked, document.id)
        story = exchange.story(looked, actor(), document.id)
        credit = document.kind is DocKind.CREDIT_NOTE
        goods = goods_returns.goods(looked, actor(), document.id) if credit else None
        afterwards = converting.afterwards(looked, actor(), document.id) if credit else None
        approval = approvals.of(looked, document.id) if credit else None
    klarna = document.paid_by_klarna
    return page(
        f"{room}/show.html",
        panel="documents/_outcome.html",
        status=status,
        document=document,
        outcome=document.outcome,
        no_credit=off(document.no_credit),
        elsewhere=elsewhere,
        story=story,
        goods=goods,
        afterwards=afterwards,
        approval=approval,
        made_elsewhere=shown(elsewhere.differences),
        late=shown(elsewhere.late),
        refused=refused,
        void_form=void_form or ReasonForm(formdata=None, prefix="void-"),
        keep_form=keep_form or KeepForm(formdata=None),
        reverse_form=reverse_form or ReasonForm(formdata=None, prefix="reverse-"),
        happened_form=happened_form or HappenedForm(formdata=None),
        not_form=not_form or ReasonForm(formdata=None, prefix="not-"),
        mails=mails,
        no_mail=off(no_mail),
        suggest_print=own.prints(document.kind, klarna=klarna),
        suggest_mail=own.mails(document.kind, klarna=klarna) and not mails and no_mail is None,
        mail_form=mail_form or MailForm(formdata=None, data={"to": document.party.get("email", "")}),
        **WORDS,
    )


def _just_made(document: DocumentPage) -> bool:
    """Whether this person made this credit note today: then it may be suggested for printing and e-mail (B22).

    An invoice's suggestions are boxes in its last step.
    """
    mine = document.kind is DocKind.CREDIT_NOTE and document.made_by == actor().name
    return mine and document.state is DocState.ISSUED and document.issue_date == clock.today()


MAIL_STATES = {
    "waiting": (N_("Waits to be sent"), "busy"),
    "sent": (N_("Sent"), "ok"),
    "gave_up": (N_("Could not be sent"), "bad"),
    "dropped": (N_("Never sent"), "off"),
}
"""How an e-mail stands, in words, and the tone of its mark."""

WORDS: dict[str, Any] = {
    "told": told,
    "off": off,
    "reason": reason,
    "linked": linked,
    "voucher_url": voucher_url,
    "document_url": document_url,
    "mail_states": MAIL_STATES,
    "no_pdf": lambda: off(printing.missing()),
}
"""What templates about documents call."""


# --- Files -----------------------------------------------------------------------------------------------------------------


def sheet(
    name: str, heads: Iterable[str], rows: Iterable[Sequence[str]], note: str = "", *, said: bool = False
) -> Response:
    """A file for a spreadsheet: semicolons, UTF-8 with its mark. A cell that would be a formula becomes text (catalogue 60).

    ``said``: the heads are in the language that is spoken already.

    Amounts are written by ``money.plain`` and may begin with a minus; only cells of digits, point and minus keep it.
    """
    file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - it is sent after this function has ended
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    written = csv.writer(text, delimiter=";", lineterminator="\r\n")
    written.writerow(head if said else gettext(head) for head in heads)
    for row in rows:
        written.writerow(_cell(cell) for cell in row)
    if note:
        written.writerow([note])
    text.detach()
    file.seek(0)
    answer = send_file(file, "text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _cell(text: str) -> str:
    harmless = re.fullmatch(r"-[0-9]+(\.[0-9]+)?", text)
    return f"'{text}" if text.startswith(_DANGEROUS) and not harmless else text
