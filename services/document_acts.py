"""Why something cannot be done with a document by this person now: what the server would say, for controls that are off (B31).

Each gives the Refusal whose sentence stands beside the control, None when it is on. Pure reading; the acts check again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Document, KlarnaOp
from rights import Actor, Right
from services import credit_limit, credit_notes, credited, documents, invoices, operations, orders
from states import DocKind

ASK_AGAIN = timedelta(minutes=1)


def _tried(check: Callable[[], None]) -> Refusal | None:
    try:
        check()
    except Refusal as no:
        return no
    return None


def _within_limit(session: Session, actor: Actor, document: Document) -> None:
    if document.kind is DocKind.CREDIT_NOTE:
        credit_limit.require(session, actor, document.gross_minor or 0, document.currency, but=document.id)


def why_not_retry(session: Session, actor: Actor, document: Document) -> Refusal | None:
    """Why «Försök igen» is off (K18, F25)."""

    def check() -> None:
        actor.require(Right.WORK if document.kind is DocKind.INVOICE else Right.CREDIT)
        _within_limit(session, actor, document)
        operations.require_sending(session)
        if document.order is not None:
            orders.require_no_open_operation(session, document.order)
        fits = invoices.require_fits if document.kind is DocKind.INVOICE else credit_notes.require_fits
        fits(session, document)

    return _tried(check)


def why_not_void(actor: Actor, document: Document) -> Refusal | None:
    """Why «Makulera» is off (K15)."""
    return _tried(lambda: documents.require_may_void(actor, document))


def why_not_keep(session: Session, actor: Actor, document: Document) -> Refusal | None:
    """Why «Behåll utan Klarna» is off (K19)."""

    def check() -> None:
        actor.require(Right.KEEP_WITHOUT_KLARNA)
        _within_limit(session, actor, document)
        if document.order is not None:
            orders.require_no_open_operation(session, document.order)
        credit_notes.require_fits(session, document)

    return _tried(check)


def why_not_send(session: Session, actor: Actor, document: Document) -> Refusal | None:
    """Why «Skicka nu» is off."""

    def check() -> None:
        actor.require(Right.WORK)
        _within_limit(session, actor, document)
        operations.require_sending(session)

    return _tried(check)


def why_not_withdraw(session: Session, actor: Actor, op: KlarnaOp) -> Refusal | None:
    """Why «Återta» is off: once a byte may have left there is no taking back."""

    def check() -> None:
        actor.require(Right.WORK)
        if operations.may_have_reached(session, op):
            raise Refusal(N_("It has been sent and cannot be taken back. Wait for Klarna's answer."))

    return _tried(check)


def why_not_ask(actor: Actor, op: KlarnaOp) -> Refusal | None:
    """Why «Fråga Klarna nu» is off: at most once a minute."""

    def check() -> None:
        actor.require(Right.WORK)
        if op.asked_at is not None and clock.now() - op.asked_at < ASK_AGAIN:
            raise Refusal(N_("Klarna was asked less than a minute ago. Wait a moment."))

    return _tried(check)


def why_not_decide(actor: Actor, op: KlarnaOp) -> Refusal | None:
    """Why «Det genomfördes» and «Det genomfördes inte» are off (operations 10, rule 9)."""

    def check() -> None:
        actor.require(Right.DECIDE)
        if op.decided_by == actor.name:
            raise Refusal(N_("Above the limit a second person has to decide."))

    return _tried(check)


def why_not_reverse(session: Session, actor: Actor, document: Document) -> Refusal | None:
    """Why «Återför» is off on a credit note issued without Klarna."""

    def check() -> None:
        actor.require(Right.REVERSE)
        credit_notes.require_reversible(session, document)

    return _tried(check)


def why_not_credit(session: Session, actor: Actor, invoice: Document) -> Refusal | None:
    """Why «Kreditera» is off on an invoice (K8, K9)."""
    return _tried(lambda: actor.require(Right.CREDIT)) or credited.why_not_credited(session, invoice)


def why_not_exceed(session: Session, actor: Actor, gross_minor: int, currency: str) -> Refusal | None:
    """Why a draft of this sum cannot be created by this person: the role, or the role's limit (B31)."""

    def check() -> None:
        actor.require(Right.CREDIT)
        credit_limit.require(session, actor, gross_minor, currency)

    return _tried(check)
