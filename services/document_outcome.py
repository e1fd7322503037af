"""What became of a document: its label, its sentence in words, and what can be done now and by whom.

Amounts are minor units. Pure reading. Sentences to the letter of operations 11; F22, F25, K13, K14, K20, B21, B31.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Document, Installation, KlarnaOp, KlarnaOpEvent, Order
from money import Amount
from rights import Actor
from services import document_acts, drift, klarna_refusal, op_log, operations
from services.gateway import CREDENTIALS
from services.klarna_refusal import Answer, Sentence, latest, told
from states import DocKind, DocState, OpState, RefusalKind, WithoutKlarna

HOURS = int(operations.KEY_WINDOW.total_seconds()) // 3600
INVOICE, CREDIT_NOTE = DocKind.INVOICE, DocKind.CREDIT_NOTE

_UNREACHABLE = {
    INVOICE: N_("Invoice %(number)s has not been sent: Klarna could not be reached. Nothing has happened at Klarna."),
    CREDIT_NOTE: N_(
        "Credit note %(number)s has not been sent: Klarna could not be reached. Nothing has happened at Klarna."
    ),
}
_LEFT = {
    INVOICE: N_("Invoice %(number)s has not been sent. Nothing has happened at Klarna."),
    CREDIT_NOTE: N_("Credit note %(number)s has not been sent. Nothing has happened at Klarna."),
}
_UNKNOWN = {
    INVOICE: N_("We do not know yet whether Klarna has activated %(amount)s."),
    CREDIT_NOTE: N_("We do not know yet whether Klarna has credited %(amount)s."),
}
_NOT_AGAIN = {
    INVOICE: N_("Do not activate again, here or in Klarna's portal."),
    CREDIT_NOTE: N_("Do not credit again, here or in Klarna's portal."),
}
_RECORDED = {
    INVOICE: N_(
        "Klarna has activated %(amount)s. Our booking failed and is being repeated; there is nothing for you to do."
    ),
    CREDIT_NOTE: N_(
        "Klarna has credited %(amount)s. Our booking failed and is being repeated; there is nothing for you to do."
    ),
}
_REVIEW = {
    INVOICE: N_(
        "Klarna has not been able to tell for %(hours)s hours. Finance has to decide whether %(amount)s was activated."
    ),
    CREDIT_NOTE: N_(
        "Klarna has not been able to tell for %(hours)s hours. Finance has to decide whether %(amount)s was credited."
    ),
}
_REFUSED = {
    INVOICE: N_("Klarna did not accept the activation. Invoice %(number)s remains, but nothing has been booked."),
    CREDIT_NOTE: N_(
        "Klarna did not accept the credit. Credit note %(number)s remains, but nothing has been booked, "
        "no stock has moved and no money has gone back."
    ),
}
_DECIDED = {
    INVOICE: N_("Decided %(day)s by %(who)s: the activation did not happen. Reason: %(reason)s."),
    CREDIT_NOTE: N_("Decided %(day)s by %(who)s: the credit did not happen. Reason: %(reason)s."),
}
_WITHOUT = {
    INVOICE: N_("Invoice %(number)s has been created without Klarna. Nothing has been sent to Klarna."),
    CREDIT_NOTE: N_(
        "Credit note %(number)s has been created without Klarna. Nothing has been sent to Klarna, "
        "and the customer gets no money from there."
    ),
}
IN_PORTAL = N_(
    "Credit note %(number)s has been created without Klarna. It stands for what has already been credited in Klarna's portal; "
    "nothing has been sent from here."
)
FREE_STANDING = N_(
    "This credit note belongs to no invoice and is not sent to Klarna. "
    "For Klarna to repay, credit the original invoice."
)
_ORDINARY = {
    INVOICE: N_("Invoice %(number)s has been created: %(amount)s."),
    CREDIT_NOTE: N_("Credit note %(number)s has been created: %(amount)s."),
}
_OUTSIDE = {
    INVOICE: N_("Invoice %(number)s stands for what was activated outside Kvitta %(day)s: %(amount)s."),
    CREDIT_NOTE: N_("Credit note %(number)s stands for what was credited outside Kvitta %(day)s: %(amount)s."),
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done; ``refusal`` says why it is off for this person now."""

    name: str
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A document's state as a person reads it. ``kind`` chooses the panel; ``polls`` that it asks for itself."""

    kind: str
    label: str
    tone: str
    sentence: Sentence
    warning: Sentence | None = None
    rest: Sentence | None = None
    actions: Sequence[Action] = ()
    answer: Answer | None = None
    cause: Sentence | None = None
    polls: bool = False

    @property
    def mark(self) -> str:
        """Changes whenever the panel would look different, so that one that has not changed is left in peace."""
        whole = (self.kind, self.sentence, self.warning, self.rest, [(a.name, str(a.refusal)) for a in self.actions])
        return hashlib.sha256(repr(whole).encode()).hexdigest()[:16]

    def action(self, name: str) -> Action | None:
        """The action of this name, None where it does not exist in this state."""
        return next((each for each in self.actions if each.name == name), None)


# --- Label and tone ----------------------------------------------------------------------------------------------------------


def badge(
    kind: DocKind,
    state: DocState,
    *,
    op_state: OpState | None,
    refusal: RefusalKind | None,
    without: WithoutKlarna | None,
    reversed_at: object,
) -> tuple[str, str]:
    """Label and tone for lists and headings. ``op_state`` is the open operation's, or the one that issued the document."""
    if state is DocState.PENDING:
        return {
            OpState.PREPARED: (N_("Not sent"), "warn"),
            OpState.SENDING: (N_("Sending"), "busy"),
            OpState.REVIEW: (N_("Needs a decision"), "bad"),
        }.get(op_state or OpState.UNKNOWN, (N_("Answer unknown"), "warn"))
    if state is DocState.REFUSED:
        klarna = refusal is RefusalKind.KLARNA
        return (N_("Refused by Klarna"), "bad") if klarna else (N_("Not carried out"), "bad")
    if state is DocState.ISSUED:
        if reversed_at is not None:
            return N_("Reversed"), "off"
        if op_state is None and without is WithoutKlarna.ORDINARY:
            return N_("Issued"), "ok"
        if op_state is None:
            return N_("Without Klarna"), "info"
        if op_state is OpState.EXTERNAL:
            return N_("Made outside Kvitta"), "info"
        return (N_("Activated at Klarna"), "ok") if kind is INVOICE else (N_("Credited at Klarna"), "ok")
    return (N_("Voided"), "off") if state is DocState.VOID else (N_("Draft"), "idle")


def icon(kind: DocKind, state: DocState, with_klarna: bool, op_state: OpState | None) -> str | None:
    """The document's own Klarna icon (F23): black only when the act is proved."""
    if state is DocState.ISSUED and op_state is not None:
        return "captured" if kind is INVOICE else "credited"
    if not with_klarna:
        return None
    if state is DocState.REFUSED:
        return "refused"
    if state is DocState.PENDING:
        return "unknown" if op_state in (OpState.UNKNOWN, OpState.REVIEW) else "reserved"
    return None


# --- The outcome ---------------------------------------------------------------------------------------------------------------


def outcome(session: Session, actor: Actor, document: Document) -> Outcome:
    """What became of a document and what this person can do about it."""
    op = latest(session, document)
    shown = op if document.state is DocState.PENDING or document.issued_by_op_id else None
    label, tone = badge(
        document.kind,
        document.state,
        op_state=shown.state if shown else None,
        refusal=document.refusal_kind,
        without=document.without_klarna_reason,
        reversed_at=document.reversed_at,
    )
    made: dict[str, Any]
    if document.state is DocState.PENDING and op is not None:
        made = _pending(session, actor, document, op)
    elif document.state is DocState.REFUSED and op is not None:
        made = _refused(session, actor, document, op)
    elif document.state is DocState.ISSUED:
        made = _issued(session, actor, document, op)
    elif document.state is DocState.VOID:
        made = {"kind": "void", "sentence": _void(document)}
    else:
        sentence = told(N_("The draft is saved. No number has been taken and nothing has been sent."))
        made = {"kind": "draft", "sentence": sentence}
    return Outcome(label=label, tone=tone, **made)


def _amount(document: Document) -> Amount:
    return Amount(document.gross_minor or 0, document.currency)


def _void(document: Document) -> Sentence:
    return told(
        N_("Void since %(day)s by %(who)s: %(reason)s. The number stays in the series."),
        day=clock.local_date(document.void_at or document.changed_at),
        who=document.void_by or "",
        reason=(document.void_reason or "").rstrip("."),
    )


def _issued(session: Session, actor: Actor, document: Document, op: KlarnaOp | None) -> dict[str, Any]:
    number, amount = document.number_text, _amount(document)
    if document.reversed_at is not None:
        sentence = told(
            N_("Reversed %(day)s by %(who)s: %(reason)s."),
            day=clock.local_date(document.reversed_at),
            who=document.reversed_by or "",
            reason=(document.reversed_reason or "").rstrip("."),
        )
        return {"kind": "reversed", "sentence": sentence}
    if document.issued_by_op_id is None or op is None:
        actions = [Action("reverse", document_acts.why_not_reverse(session, actor, document))]
        sentence = told(_WITHOUT[document.kind], number=number)
        if document.without_klarna_reason is WithoutKlarna.ORDINARY:
            sentence = told(_ORDINARY[document.kind], number=number, amount=amount)
        if document.without_klarna_reason is WithoutKlarna.FREE_STANDING:
            sentence = told(FREE_STANDING)
        elif document.without_klarna_reason is WithoutKlarna.CREDITED_IN_PORTAL:
            sentence = told(IN_PORTAL, number=number)
        elif document.without_klarna_reason is WithoutKlarna.NEGATIVE_ORDER:
            sentence = told(N_("The order is %(amount)s. Nothing is sent to Klarna."), amount=amount)
        return {"kind": "without", "sentence": sentence, "actions": actions if document.kind is CREDIT_NOTE else []}
    if op.state is OpState.EXTERNAL:
        day = clock.local_date(op.klarna_event_at or op.created_at)
        return {"kind": "outside", "sentence": told(_OUTSIDE[document.kind], number=number, day=day, amount=amount)}
    if document.kind is CREDIT_NOTE:
        message = N_("Credit note %(number)s has been created and credited at Klarna: %(amount)s.")
        return {"kind": "issued", "sentence": told(message, number=number, amount=amount)}
    if op.klarna_short_ref is None:
        message = N_("Invoice %(number)s has been created and activated at Klarna: %(amount)s.")
        return {"kind": "issued", "sentence": told(message, number=number, amount=amount)}
    message = N_(
        "Invoice %(number)s has been created and activated at Klarna: %(amount)s, Klarna's number %(reference)s."
    )
    return {"kind": "issued", "sentence": told(message, number=number, amount=amount, reference=op.klarna_short_ref)}


# --- Waiting for Klarna ----------------------------------------------------------------------------------------------


def _pending(session: Session, actor: Actor, document: Document, op: KlarnaOp) -> dict[str, Any]:
    amount = _amount(document)
    if op.state is OpState.PREPARED:
        return _prepared(session, actor, document, op)
    if op.state is OpState.SENDING:
        seconds = max(int((clock.now() - (op.last_sent_at or op.created_at)).total_seconds()), 0)
        sentence = told(N_("Waiting for Klarna's answer, %(seconds)s s."), seconds=seconds)
        return {"kind": "sending", "sentence": sentence, "polls": True}
    ask = [Action("ask", document_acts.why_not_ask(actor, op))]
    if op.state is OpState.REVIEW:
        return {
            "kind": "review",
            "sentence": told(_REVIEW[document.kind], hours=HOURS, amount=amount),
            "warning": told(_NOT_AGAIN[document.kind]),
            "rest": decided_first(op),
            "actions": [Action("decide", document_acts.why_not_decide(actor, op)), *ask],
        }
    if operations.recorded_success(session, op) is not None:
        return {"kind": "recorded", "sentence": told(_RECORDED[document.kind], amount=amount), "polls": True}
    return {
        "kind": "unknown",
        "sentence": told(_UNKNOWN[document.kind], amount=amount),
        "warning": told(_NOT_AGAIN[document.kind]),
        "rest": asked(op),
        "actions": ask,
        "polls": True,
    }


def decided_first(op: KlarnaOp) -> Sentence | None:
    """Who has already said that it did not happen, where two have to (security 39)."""
    if op.decided_by is None:
        return None
    message = N_("%(who)s has decided that it did not happen: %(reason)s. A second person has to decide the same.")
    return told(message, who=op.decided_by, reason=(op.decided_reason or "").rstrip("."))


def asked(op: KlarnaOp) -> Sentence:
    """When Klarna is asked next and how often it has been; the hour alone when that is today."""
    now = clock.now()
    at = max(op.next_run_at or now, now).astimezone(clock.LOCAL)
    written = f"{at:%H:%M}" if at.date() == clock.local_date(now) else f"{at:%Y-%m-%d %H:%M}"
    if op.attempts == 1:
        return told(N_("We ask again at %(time)s and have asked once."), time=written)
    return told(N_("We ask again at %(time)s and have asked %(count)s times."), time=written, count=op.attempts)


def _prepared(session: Session, actor: Actor, document: Document, op: KlarnaOp) -> dict[str, Any]:
    number = document.number_text
    if not op_log.lies_unsent(op):
        sentence = told(N_("Sending %(amount)s to Klarna…"), amount=_amount(document))
        return {"kind": "soon", "sentence": sentence, "polls": True}
    withdraw = Action("withdraw", document_acts.why_not_withdraw(session, actor, op))
    installation = session.get_one(Installation, 1)
    if not installation.sending_enabled or op.hold_reason == "sending_off":
        sentence = told(N_("Not sent: sending to Klarna is switched off (restored backup)."))
        if installation.sending_enabled:
            sentence = told(_LEFT[document.kind], number=number)
            send = Action("send", document_acts.why_not_send(session, actor, document))
            return {"kind": "not_sent", "sentence": sentence, "actions": [send, withdraw]}
        return {"kind": "not_sent", "sentence": sentence, "actions": [withdraw]}
    if op.hold_reason == CREDENTIALS:
        sentence = told(
            N_("Not sent: Klarna does not accept the store's credentials. An administrator has to correct them.")
        )
        account = session.get_one(Order, op.order_id).account
        if account is not None and account.breaker == CREDENTIALS:
            return {"kind": "not_sent", "sentence": sentence, "actions": [withdraw]}
        sentence = told(_LEFT[document.kind], number=number)
    elif op.hold_reason == "unreachable":
        sentence = told(_UNREACHABLE[document.kind], number=number)
    else:
        sentence = told(_LEFT[document.kind], number=number)
    send = Action("send", document_acts.why_not_send(session, actor, document))
    return {"kind": "not_sent", "sentence": sentence, "actions": [send, withdraw]}


# --- Refused ---------------------------------------------------------------------------------------------------------


def _refused(session: Session, actor: Actor, document: Document, op: KlarnaOp) -> dict[str, Any]:
    actions = [
        Action("retry", document_acts.why_not_retry(session, actor, document)),
        Action("void", document_acts.why_not_void(actor, document)),
    ]
    if document.kind is CREDIT_NOTE:
        actions.append(Action("keep", document_acts.why_not_keep(session, actor, document)))
    if document.refusal_kind is RefusalKind.DECIDED:
        decided = session.scalar(
            select(KlarnaOpEvent.at).where(KlarnaOpEvent.op_id == op.id).order_by(KlarnaOpEvent.seq.desc()).limit(1)
        )
        sentence = told(
            _DECIDED[document.kind],
            day=clock.local_date(decided or document.changed_at),
            who=op.decided_by or "",
            reason=(op.decided_reason or "").rstrip("."),
        )
        return {"kind": "decided", "sentence": sentence, "actions": actions}
    if document.refusal_kind is RefusalKind.DRIFT:
        return {"kind": "drift", "sentence": _drifted(session, document, op), "actions": actions}
    answer = klarna_refusal.answer(session, document, op)
    order = session.get_one(Order, op.order_id)
    return {
        "kind": "refused",
        "sentence": told(_REFUSED[document.kind], number=document.number_text),
        "actions": actions,
        "answer": answer,
        "cause": klarna_refusal.cause(answer.code if answer else None, order, op.kind, op.amount_minor or 0),
    }


def _drifted(session: Session, document: Document, op: KlarnaOp) -> Sentence:
    """Both figures while they differ (operations 9); afterwards that it can be tried again."""
    order = session.get_one(Order, op.order_id)
    own, currency = drift.ours(session, order.id), document.currency
    if (order.refunded_minor or 0) != own.refunded:
        message = N_("Not sent: Klarna shows %(theirs)s credited, Kvitta %(ours)s. Settle the difference first.")
        theirs, ours = order.refunded_minor or 0, own.refunded
    elif (order.captured_minor or 0) != own.captured:
        message = N_("Not sent: Klarna shows %(theirs)s activated, Kvitta %(ours)s. Settle the difference first.")
        theirs, ours = order.captured_minor or 0, own.captured
    else:
        return told(N_("Not sent: the purchase had changed at Klarna. Nothing has happened at Klarna."))
    return told(message, theirs=Amount(theirs, currency), ours=Amount(ours, currency))
