"""What is asked of Klarna and what follows: capture for an invoice, refund for a credit note, and what a look tells.

Functions that take ``klarna`` own their transactions: look, intent, permission, wire, outcome. Amounts are minor units.
Source: operations 5, 6, 9 and 13.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BrokenRule, Refusal, Stale
from klarna_client import KlarnaClient
from models import Document, KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import audit, credit_drafts, credit_limit, credit_notes, documents, drift, invoices, operations, orders
from services.advance_booking import require_bookable
from services.asking import LOOK_SECONDS, NotReached, access_for, note_reached, read_order
from services.beats import PAGE_SECONDS, MoneyForm, carry_out, keep, look_at, look_before, once
from services.following import FOLLOW, issue_by_external, void, withdraw
from services.gateway import Gateway
from services.invoices import NOTHING_CHOSEN, Choices, Wanted
from states import DocKind, DocState, DocType, OpKind, OpState, WithoutKlarna

__all__ = (
    "FOLLOW",
    "LOOK_SECONDS",
    "MoneyForm",
    "NotReached",
    "PAGE_SECONDS",
    "access_for",
    "carry_out",
    "credit",
    "invoice",
    "issue_by_external",
    "keep",
    "keep_without_klarna",
    "look_at",
    "note_reached",
    "read_order",
    "retry",
    "send_now",
    "void",
    "withdraw",
)


def invoice(
    klarna: Gateway,
    actor: Actor,
    order_id: int,
    kind: DocType,
    form: MoneyForm,
    version: int | None = None,
    choices: Choices = NOTHING_CHOSEN,
) -> int:
    """Create the invoice of this type and, for a Klarna order, capture it; returns the document's id.

    ``version`` is the order's when the form was drawn, ``choices`` what was set in it (F8). Raises Stale for another
    version and for another sum (operations 12), Refusal with nothing done and no number taken; after T1 every outcome is
    a state of the document (F7, F22, F25).
    """
    actor.require(Right.WORK)
    form = replace(form, choices=(kind.value, *choices.values))
    wanted = Wanted(order_id, kind, version, choices)
    return once(actor, form, "invoice", order_id, lambda: _invoice(klarna, actor, wanted, form))


def _invoice(klarna: Gateway, actor: Actor, wanted: Wanted, form: MoneyForm) -> int:
    began = clock.monotonic()

    def intend(session: Session, run_at: datetime | None = None) -> tuple[int, str | None]:
        return _intend_invoice(session, actor, wanted, form, run_at)

    with db.reading(by_key=True) as session:
        order = orders.get(session, wanted.order_id)
        invoices.require_open_to(session, order)
        proposal = invoices.propose(session, order, wanted.kind, wanted.choices.percent)
        _require_shown(order, proposal.gross_minor, form, wanted.version)
        with_klarna = proposal.with_klarna
        target = access_for(session, order) if with_klarna else None
    if target is None:
        return db.transact(intend, by_key=True)[0]
    access, klarna_order_id = target
    with klarna.slot() as free:
        look = look_before(klarna, access, wanted.order_id, klarna_order_id, OpKind.CAPTURE, form) if free else None
        run_at = None if free else clock.now()
        document_id, op_id = db.transact(lambda session: intend(session, run_at), by_key=True)
        if look is not None and op_id is not None:
            carry_out(klarna, op_id, look, actor, began)
    return document_id


def _require_shown(order: Order, gross_minor: int, form: MoneyForm, version: int | None) -> None:
    """Refuse a form drawn before the order changed, with both sums where they differ. Raises Stale (operations 12)."""
    if gross_minor != form.shown_minor:
        raise Stale(
            N_("The order has changed: the sum was %(before)s and is now %(now)s. Nothing has been sent."),
            before=Amount(form.shown_minor, order.currency),
            now=Amount(gross_minor, order.currency),
        )
    orders.require_unchanged(order, version)


def _intend_invoice(
    session: Session, actor: Actor, wanted: Wanted, form: MoneyForm, run_at: datetime | None
) -> tuple[int, str | None]:
    """T1 of an invoice, or the one transaction of an invoice of which nothing is sent."""
    order_id = wanted.order_id
    order = orders.get(session, order_id, lock=True)
    earlier = operations.earlier_use(session, actor, form.nonce, "invoice", str(order_id), form.values)
    if earlier is not None:
        return int(earlier), None
    invoices.require_open_to(session, order)
    proposal = invoices.propose(session, order, wanted.kind, wanted.choices.percent)
    _require_shown(order, proposal.gross_minor, form, wanted.version)
    document = invoices.create(session, actor, proposal, wanted.choices)
    if proposal.with_klarna:
        op_id = _number_and_intend(session, actor, order, document, form, "invoice", order_id, run_at)
    else:
        op_id = None
        documents.number_and_freeze(session, document, DocState.ISSUED, actor, reason=str(proposal.without_klarna))
        operations.use_form(session, actor, form.nonce, "invoice", str(order_id), form.values, str(document.id))
        invoices.issue(session, actor, document, None, clock.now())
    orders.refresh(session, order_id)
    return document.id, op_id


def _number_and_intend(
    session: Session,
    actor: Actor,
    order: Order,
    document: Document,
    form: MoneyForm,
    action: str,
    subject: int,
    run_at: datetime | None,
) -> str:
    """Freeze the document, take its number, use the form and write the operation; then check the limits with all of it."""
    operations.require_sending(session)
    documents.number_and_freeze(session, document, DocState.PENDING, actor)
    require_bookable(session, actor, document)
    operations.use_form(session, actor, form.nonce, action, str(subject), form.values, str(document.id))
    op = operations.intend(
        session,
        actor,
        kind=OpKind.CAPTURE if document.kind is DocKind.INVOICE else OpKind.REFUND,
        order=order,
        document=document,
        amount_minor=document.gross_minor,
        request=_request(session, order, document),
        nonce=form.nonce,
        accepted_difference_minor=form.accepted_difference_minor,
        next_run_at=run_at,
        hold_reason="slot" if run_at is not None else None,
    )
    FOLLOW.require_limits(session, op)
    detail = {"number": document.number_text, "gross_minor": document.gross_minor, "op": op.id}
    audit.write(session, actor, f"{document.kind}.create", f"document:{document.id}", detail)
    return op.id


def _request(session: Session, order: Order, document: Document) -> tuple[str, str, bytes]:
    if order.klarna_order_id is None:
        raise BrokenRule("an act at Klarna needs a Klarna order")
    if document.kind is DocKind.INVOICE:
        return KlarnaClient.capture_order(order.klarna_order_id, invoices.capture_content(session, document))
    return KlarnaClient.refund_order(order.klarna_order_id, credit_notes.refund_content(session, document))


def credit(klarna: Gateway, actor: Actor, draft_id: int, form: MoneyForm, *, portal_confirmed: bool = False) -> int:
    """Create the credit note of a draft and refund it at Klarna where that is meant; returns the document's id.

    Raises Refusal with nothing sent, no number taken and the draft kept (K2, K13, K14, K20, K32).
    """
    actor.require(Right.CREDIT)
    return once(actor, form, "credit", draft_id, lambda: _credit(klarna, actor, draft_id, form, portal_confirmed))


def _credit(klarna: Gateway, actor: Actor, draft_id: int, form: MoneyForm, portal_confirmed: bool) -> int:
    began = clock.monotonic()
    with db.reading(by_key=True) as session:
        draft = documents.get(session, draft_id)
        if draft.state is not DocState.DRAFT:
            raise Refusal(
                N_("The credit note has been created and can no longer be changed."),
                link=("credit_notes.show", {"document_id": draft.id}),
            )
        with_klarna, reason, order_id = draft.with_klarna, draft.without_klarna_reason, draft.order_id
        looks_up = with_klarna or reason is WithoutKlarna.CREDITED_IN_PORTAL
        target = access_for(session, draft.order) if looks_up and draft.order is not None else None
    if target is None or order_id is None:
        return db.transact(lambda session: _issue_without(session, actor, draft_id, form, portal_confirmed))
    access, klarna_order_id = target
    if not with_klarna:
        keep(order_id, read_order(klarna, access, klarna_order_id))
        return db.transact(lambda session: _issue_without(session, actor, draft_id, form, portal_confirmed))
    with klarna.slot() as free:
        look = look_before(klarna, access, order_id, klarna_order_id, OpKind.REFUND, form) if free else None
        run_at = None if free else clock.now()
        document_id, op_id = db.transact(
            lambda session: _intend_credit(session, actor, draft_id, form, run_at), by_key=True
        )
        if look is not None and op_id is not None:
            carry_out(klarna, op_id, look, actor, began)
    return document_id


def _intend_credit(
    session: Session, actor: Actor, draft_id: int, form: MoneyForm, run_at: datetime | None
) -> tuple[int, str | None]:
    """T1 of a credit note."""
    draft = documents.get(session, draft_id, lock=True)
    earlier = operations.earlier_use(session, actor, form.nonce, "credit", str(draft_id), form.values)
    if earlier is not None:
        return int(earlier), None
    draft = credit_drafts.get_draft(session, actor, draft_id, form.version)
    if draft.order is None or not draft.with_klarna:
        raise Stale(N_("The draft has been changed meanwhile. What stands there now is shown; look it through again."))
    credit_notes.require_creatable(session, actor, draft, form.shown_minor, warned=form.warned)
    credit_notes.drop_removed(session, draft)
    op_id = _number_and_intend(session, actor, draft.order, draft, form, "credit", draft_id, run_at)
    orders.refresh(session, draft.order.id)
    return draft.id, op_id


def _issue_without(session: Session, actor: Actor, draft_id: int, form: MoneyForm, portal_confirmed: bool) -> int:
    """The one transaction of a credit note of which nothing is sent (K29)."""
    draft = documents.get(session, draft_id, lock=True)
    earlier = operations.earlier_use(session, actor, form.nonce, "credit", str(draft_id), form.values)
    if earlier is not None:
        return int(earlier)
    draft = credit_drafts.get_draft(session, actor, draft_id, form.version)
    credit_notes.require_creatable(session, actor, draft, form.shown_minor)
    external = _portal_refund(session, draft, draft.without_klarna_reason, form.shown_minor)
    operations.use_form(session, actor, form.nonce, "credit", str(draft_id), form.values, str(draft_id))
    credit_notes.issue_without_klarna(session, actor, draft, portal_confirmed=portal_confirmed, external=external)
    _tie(session, actor, draft, external)
    return draft.id


def _portal_refund(
    session: Session, document: Document, reason: WithoutKlarna | None, amount_minor: int
) -> KlarnaOp | None:
    """The unbooked refund at Klarna that stands for a credit note said to be credited in the portal (K20)."""
    if reason is not WithoutKlarna.CREDITED_IN_PORTAL or document.order_id is None:
        return None
    return drift.unbooked(session, document.order_id, OpKind.REFUND, amount_minor, document.id)


def _tie(session: Session, actor: Actor, document: Document, external: KlarnaOp | None) -> None:
    if external is not None:
        drift.tie(session, actor, external, document)
    if document.order_id is not None:
        orders.refresh(session, document.order_id)


def retry(klarna: Gateway, actor: Actor, document_id: int, form: MoneyForm) -> int:
    """«Försök igen»: a new operation with a new key for the same frozen document under the same number (K18, F25)."""
    return once(actor, form, "retry", document_id, lambda: _retry(klarna, actor, document_id, form))


def _retry(klarna: Gateway, actor: Actor, document_id: int, form: MoneyForm) -> int:
    began = clock.monotonic()
    with db.reading() as session:
        document = documents.get(session, document_id)
        _require_retry(session, actor, document)
        if document.order is None:
            raise BrokenRule("a refused document has an order")
        order_id = document.order.id
        access, klarna_order_id = access_for(session, document.order)
    with klarna.slot() as free:
        look = None
        if free:
            look = read_order(klarna, access, klarna_order_id)
            keep(order_id, look)
            if db.transact(lambda session: _has_happened(session, actor, document_id)):
                return document_id
        run_at = None if free else clock.now()
        op_id = db.transact(lambda session: _intend_retry(session, actor, document_id, form, run_at), by_key=True)
        if look is not None and op_id is not None:
            carry_out(klarna, op_id, look, actor, began)
    return document_id


def _has_happened(session: Session, actor: Actor, document_id: int) -> bool:
    """Issue a refused document whose number a look has found at Klarna: nothing is sent, the act was done (fault row 58)."""
    document = documents.get(session, document_id, lock=True)
    if document.state is not DocState.REFUSED:
        return False
    external = drift.under_our_number(session, document)
    if external is None:
        return False
    issue_by_external(session, actor, document, external)
    return True


def _require_retry(session: Session, actor: Actor, document: Document) -> None:
    actor.require(Right.WORK if document.kind is DocKind.INVOICE else Right.CREDIT)
    if document.state is DocState.PENDING:
        raise Refusal(N_("Klarna has not answered the previous attempt. Wait for the answer."))
    if document.state is not DocState.REFUSED:
        raise Refusal(N_("Only a refused document can be tried again. Nothing has been sent."))
    if document.kind is DocKind.CREDIT_NOTE:
        credit_limit.require(session, actor, document.gross_minor or 0, document.currency, but=document.id)


def _intend_retry(
    session: Session, actor: Actor, document_id: int, form: MoneyForm, run_at: datetime | None
) -> str | None:
    document = documents.get(session, document_id, lock=True)
    earlier = operations.earlier_use(session, actor, form.nonce, "retry", str(document_id), form.values)
    if earlier is not None:
        return None
    credit_limit.hold(session, actor)
    _require_retry(session, actor, document)
    order = document.order
    last = session.scalars(
        select(KlarnaOp).where(KlarnaOp.document_id == document.id).order_by(KlarnaOp.try_no.desc()).limit(1)
    ).first()
    if order is None or last is None:
        raise BrokenRule("a refused document has an order and a former operation")
    orders.require_no_open_operation(session, order)
    fits: Any = invoices.require_fits if document.kind is DocKind.INVOICE else credit_notes.require_fits
    fits(session, document)
    require_bookable(session, actor, document)
    operations.use_form(session, actor, form.nonce, "retry", str(document_id), form.values, str(document_id))
    documents.move(session, document, DocState.PENDING, actor, reason="try again")
    op = operations.intend(
        session,
        actor,
        kind=last.kind,
        order=order,
        document=document,
        amount_minor=last.amount_minor,
        request=(last.method, last.path, bytes(last.body)),
        nonce=form.nonce,
        accepted_difference_minor=form.accepted_difference_minor,
        next_run_at=run_at,
        hold_reason="slot" if run_at is not None else None,
    )
    FOLLOW.require_limits(session, op)
    audit.write(session, actor, f"{document.kind}.retry", f"document:{document.id}", {"op": op.id, "try": op.try_no})
    orders.refresh(session, order.id)
    return op.id


def keep_without_klarna(klarna: Gateway, actor: Actor, document_id: int, reason: str, portal_confirmed: bool) -> None:
    """«Behåll utan Klarna»: a refused credit note issued under its number, tied to the portal's refund if there is one."""
    with db.reading() as session:
        document = documents.get(session, document_id)
        order = document.order
        target = access_for(session, order) if order is not None and order.klarna_order_id is not None else None
        order_id = order.id if order is not None else None
    if target is not None and order_id is not None and reason == WithoutKlarna.CREDITED_IN_PORTAL:
        keep(order_id, read_order(klarna, *target))

    def work(session: Session) -> None:
        document = documents.get(session, document_id, lock=True)
        chosen = WithoutKlarna.CREDITED_IN_PORTAL if reason == WithoutKlarna.CREDITED_IN_PORTAL else None
        external = _portal_refund(session, document, chosen, document.gross_minor or 0)
        kept = credit_notes.keep_without_klarna(
            session, actor, document_id, reason, portal_confirmed=portal_confirmed, external=external
        )
        _tie(session, actor, kept, external)

    db.transact(work)


def send_now(klarna: Gateway, actor: Actor, document_id: int) -> None:
    """«Skicka nu»: look and send a document that was left unsent. Raises NotReached when Klarna still is not there."""
    actor.require(Right.WORK)
    began = clock.monotonic()
    with db.reading() as session:
        document = documents.get(session, document_id)
        op = operations.open_of_document(session, document_id)
        if op is None or op.state is not OpState.PREPARED:
            raise Refusal(N_("There is nothing waiting to be sent."))
        if op.post_allowed_until is not None and op.post_allowed_until <= clock.now():
            raise Refusal(N_("It has waited too long to be sent. Withdraw it and make a new one."))
        op_id, order_id = op.id, op.order_id
        if document.kind is DocKind.CREDIT_NOTE:
            credit_limit.require(session, actor, document.gross_minor or 0, document.currency, but=document_id)
        access, klarna_order_id = access_for(session, session.get_one(Order, order_id))
    with klarna.slot() as free:
        if not free:
            db.transact(
                lambda session: operations.hold(session, operations.lock(session, op_id), actor, "slot", clock.now())
            )
            return
        look = read_order(klarna, access, klarna_order_id)
        keep(order_id, look, actor)
        carry_out(klarna, op_id, look, actor, began)
