"""What is asked of Klarna and what follows: capture for an invoice, refund for a credit note, and what a look tells.

Functions that take ``klarna`` own their transactions: look, intent, permission, wire, outcome. Amounts are minor units.
Source: operations 5, 6, 9 and 13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BrokenRule, Refusal, Stale
from klarna_client import KlarnaClient, KlarnaError
from models import Document, KlarnaAccount, KlarnaOp, Order
from money import Amount
from rights import SYSTEM, Actor, Right
from services import audit, credit_drafts, credit_notes, documents, drift, invoices, looks, operations, orders
from services.gateway import CREDENTIALS, FAILURES, Access, Gateway, access_of, close_breaker, is_open, open_breaker
from services.looks import Look
from states import DocKind, DocState, DocType, OpKind, OpState, RefusalKind, WithoutKlarna

log = structlog.get_logger()

LOOK_SECONDS = 3.0
PAGE_SECONDS = 11.5
"""A page for a money act answers within 12 s whatever Klarna does (operations 11)."""


class NotReached(Refusal):
    """Klarna could not be asked, so nothing was sent and no number taken: 409 with the draft as it was."""


@dataclass(frozen=True, slots=True)
class MoneyForm:
    """What every money form carries: its nonce, the sum on its button, and a difference that was shown and ticked."""

    nonce: str
    shown_minor: int
    accepted_difference_minor: int = 0

    @property
    def values(self) -> list[int]:
        """What must be the same when the same form comes again."""
        return [self.shown_minor, self.accepted_difference_minor]


class _Follow:
    """What follows from an operation's outcome, inside the transaction that records it (operations 4)."""

    def confirmed(self, session: Session, op: KlarnaOp, actor: Actor, happened: datetime) -> None:
        """Issue the operation's document and book it."""
        if op.document_id is not None:
            document = documents.get(session, op.document_id, lock=True)
            issue = invoices.issue if document.kind is DocKind.INVOICE else credit_notes.issue
            issue(session, actor, document, op, happened)
        orders.refresh(session, op.order_id)

    def refused(self, session: Session, op: KlarnaOp, actor: Actor, kind: RefusalKind) -> None:
        """Keep the document, with its number, to be decided."""
        if op.document_id is not None:
            documents.refuse(session, documents.get(session, op.document_id, lock=True), actor, kind, op.id)
        orders.refresh(session, op.order_id)

    def require_limits(self, session: Session, op: KlarnaOp) -> None:
        """Σ live captures within the reservation, Σ live refunds within what is captured, rows within their rows."""
        order = session.get_one(Order, op.order_id)
        held = drift.held(session, order.id)
        if op.document_id is None:
            return
        document = documents.get(session, op.document_id)
        if op.kind is OpKind.CAPTURE:
            reserved = (order.captured_minor or 0) + (order.remaining_minor or 0)
            invoices.require_reservation(document, held.captured - (op.amount_minor or 0), reserved)
            invoices.require_fits(session, document)
        elif op.kind is OpKind.REFUND:
            if held.refunded > held.captured_for_sure:
                raise Refusal(
                    N_("Klarna can still refund %(left)s, the credit note is %(amount)s. Nothing has been sent."),
                    left=Amount(
                        max(held.captured_for_sure - held.refunded + (op.amount_minor or 0), 0), document.currency
                    ),
                    amount=Amount(op.amount_minor or 0, document.currency),
                )
            credit_notes.require_fits(session, document)

    def difference(self, session: Session, op: KlarnaOp, look: Look) -> int:
        """How far Klarna's totals are from ours; what we do not know is recorded as made elsewhere."""
        order = session.get_one(Order, op.order_id)
        drift.keep_look(session, order, look)
        return drift.difference(session, order.id, look)


FOLLOW = _Follow()


# --- Looking ---------------------------------------------------------------------------------------------------------------


def read_order(klarna: Gateway, access: Access, klarna_order_id: str, seconds: float = LOOK_SECONDS) -> Look:
    """One look. Raises NotReached with the sentence for the page; opens the breaker where that is due."""
    if is_open(access, clock.now()):
        raise _not_reached(access.breaker == CREDENTIALS)
    try:
        content = klarna.client(access).get_order(klarna_order_id, seconds=seconds)
        look = looks.read(content, clock.now())
    except KlarnaError as error:
        status = error.answer.status if error.answer else None
        log.info("klarna.look_failed", klarna_order_id=klarna_order_id, status=status, cause=error.cause)
        if status == 401:
            db.transact(lambda session: open_breaker(session, access.account_id, CREDENTIALS))
            raise _not_reached(True) from error
        if status in (400, 404):
            raise NotReached(
                N_("Klarna cannot find the purchase. Check store id, region, and whether it is Klarna or Kustom.")
            ) from error
        note_reached(klarna, access.account_id, status is not None and status != 429 and status < 500)
        raise _not_reached(False) from error
    except looks.Unreadable as error:
        log.warning("klarna.look_unreadable", klarna_order_id=klarna_order_id, cause=str(error))
        raise NotReached(N_("Klarna's answer could not be read. Nothing has been sent.")) from error
    klarna.note(access.account_id, reached=True)
    if access.breaker == FAILURES:
        db.transact(lambda session: close_breaker(session, access.account_id))
    return look


def note_reached(klarna: Gateway, account_id: int, reached: bool) -> None:
    """Count a call for the breaker, and open it when the count is full (operations 10)."""
    if klarna.note(account_id, reached):
        db.transact(lambda session: open_breaker(session, account_id, FAILURES))


def _not_reached(credentials: bool) -> NotReached:
    if credentials:
        return NotReached(
            N_("Not sent: Klarna does not accept the store's credentials. An administrator has to correct them.")
        )
    return NotReached(
        N_(
            "Klarna could not be reached. Nothing has been sent and no number has been taken. "
            "The draft is saved; try again in a while."
        )
    )


def access_for(session: Session, order: Order) -> tuple[Access, str]:
    """The account and Klarna order id of an order. Raises Refusal for an order without Klarna link."""
    if order.account_id is None or order.klarna_order_id is None:
        raise Refusal(N_("The order has no reservation at Klarna."))
    return access_of(session.get_one(KlarnaAccount, order.account_id)), order.klarna_order_id


def look_at(klarna: Gateway, order_id: int) -> Look:
    """Read the order at Klarna and keep what it shows: figures, proofs, things made elsewhere. Raises NotReached."""
    with db.reading() as session:
        access, klarna_order_id = access_for(session, orders.get(session, order_id))
    look = read_order(klarna, access, klarna_order_id)
    keep(order_id, look)
    return look


def keep(order_id: int, look: Look, actor: Actor = SYSTEM) -> None:
    """Store a look in a transaction of its own; an open operation whose number it shows is confirmed by it."""

    def work(session: Session) -> None:
        order = orders.get(session, order_id, lock=True)
        drift.keep_look(session, order, look)
        op = operations.open_of_order(session, order_id)
        if op is not None:
            operations.settle_by_look(session, operations.lock(session, op.id), look, actor, FOLLOW)
        orders.refresh(session, order_id)

    db.transact(work)


# --- The beats, one after the other ------------------------------------------------------------------------------------------


def carry_out(klarna: Gateway, op_id: str, look: Look | None, actor: Actor, began: float) -> None:
    """Send a prepared operation once and record what came of it: T2, the wire, T3 (or T3x)."""
    permission = db.transact(lambda session: operations.permit(session, klarna, op_id, look, actor, FOLLOW))
    if permission is None:
        return
    outcome = operations.send(klarna, permission)
    note_reached(klarna, permission.access.account_id, outcome.answer is not None)

    def record(session: Session) -> None:
        operations.record(session, permission, outcome, actor, FOLLOW)
        orders.refresh(session, session.get_one(KlarnaOp, op_id).order_id)

    try:
        db.transact(record)
    except Exception as trouble:
        log.exception("klarna.record_failed", op_id=op_id)
        cause = f"{type(trouble).__name__}: {trouble}"
        db.transact(lambda session: operations.record_failed(session, permission, outcome, actor, cause))
        return
    left = PAGE_SECONDS - (clock.monotonic() - began)
    if outcome.answer is not None and outcome.answer.status == 201 and (klarna.in_worker or left > 0.5):
        _fill(klarna, op_id, min(LOOK_SECONDS, left) if not klarna.in_worker else LOOK_SECONDS)


def _fill(klarna: Gateway, op_id: str, seconds: float) -> None:
    """Fetch Klarna's own number and time for an act that was just confirmed; the janitor does it where this fails."""
    with db.reading() as session:
        op = session.get_one(KlarnaOp, op_id)
        order_id = op.order_id
        access, klarna_order_id = access_for(session, session.get_one(Order, order_id))
    try:
        look = read_order(klarna, access, klarna_order_id, seconds)
    except NotReached:
        return
    keep(order_id, look)


def _earlier(actor: Actor, form: MoneyForm, action: str, subject: int) -> int | None:
    with db.reading() as session:
        found = operations.earlier_use(session, actor, form.nonce, action, str(subject), form.values)
    return int(found) if found is not None else None


def _once(actor: Actor, form: MoneyForm, action: str, subject: int, act: Callable[[], int]) -> int:
    """Do an act of a money form, or answer with what the same form did before, also when it did so a moment ago."""
    earlier = _earlier(actor, form, action, subject)
    if earlier is not None:
        return earlier
    try:
        return act()
    except Refusal:
        earlier = _earlier(actor, form, action, subject)
        if earlier is not None:
            return earlier
        raise


def _look_before(
    klarna: Gateway, access: Access, order_id: int, klarna_order_id: str, kind: OpKind, form: MoneyForm
) -> Look:
    """The look before T1: refuse with both figures what Klarna rules out or shows otherwise; no number is taken then."""
    look = read_order(klarna, access, klarna_order_id)
    keep(order_id, look)
    with db.reading() as session:
        ours = drift.ours(session, order_id)
        difference = drift.difference(session, order_id, look)
    looks.require_possible(look, kind, form.shown_minor, outside_minor=max(look.refunded - ours.refunded, 0))
    if difference not in (0, form.accepted_difference_minor):
        raise drift.Differs(look, ours, difference)
    return look


# --- Invoice and capture -----------------------------------------------------------------------------------------------------


def invoice(klarna: Gateway, actor: Actor, order_id: int, kind: DocType, form: MoneyForm) -> int:
    """Create the invoice of this type and, for a Klarna order, capture it; returns the document's id.

    Raises Refusal with nothing done and no number taken; after T1 every outcome is a state of the document (F7, F22, F25).
    """
    actor.require(Right.WORK)
    return _once(actor, form, "invoice", order_id, lambda: _invoice(klarna, actor, order_id, kind, form))


def _invoice(klarna: Gateway, actor: Actor, order_id: int, kind: DocType, form: MoneyForm) -> int:
    began = clock.monotonic()
    with db.reading() as session:
        order = orders.get(session, order_id)
        invoices.require_open_to(session, order)
        proposal = invoices.propose(session, order, kind)
        with_klarna = proposal.with_klarna
        target = access_for(session, order) if with_klarna else None
    if target is None:
        return db.transact(lambda session: _intend_invoice(session, actor, order_id, kind, form, None)[0])
    access, klarna_order_id = target
    with klarna.slot() as free:
        look = _look_before(klarna, access, order_id, klarna_order_id, OpKind.CAPTURE, form) if free else None
        run_at = None if free else clock.now()
        document_id, op_id = db.transact(lambda session: _intend_invoice(session, actor, order_id, kind, form, run_at))
        if look is not None and op_id is not None:
            carry_out(klarna, op_id, look, actor, began)
    return document_id


def _intend_invoice(
    session: Session, actor: Actor, order_id: int, kind: DocType, form: MoneyForm, run_at: datetime | None
) -> tuple[int, str | None]:
    """T1 of an invoice, or the one transaction of an invoice of which nothing is sent."""
    order = orders.get(session, order_id, lock=True)
    earlier = operations.earlier_use(session, actor, form.nonce, "invoice", str(order_id), form.values)
    if earlier is not None:
        return int(earlier), None
    invoices.require_open_to(session, order)
    proposal = invoices.propose(session, order, kind)
    if proposal.gross_minor != form.shown_minor:
        raise Stale(
            N_("The order has changed: the sum was %(before)s and is now %(now)s. Nothing has been sent."),
            before=Amount(form.shown_minor, order.currency),
            now=Amount(proposal.gross_minor, order.currency),
        )
    document = invoices.create(session, actor, proposal)
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
    audit.write(
        session,
        actor,
        f"{document.kind}.create",
        f"document:{document.id}",
        {"number": document.number_text, "gross_minor": document.gross_minor, "op": op.id},
    )
    return op.id


def _request(session: Session, order: Order, document: Document) -> tuple[str, str, bytes]:
    if order.klarna_order_id is None:
        raise BrokenRule("an act at Klarna needs a Klarna order")
    if document.kind is DocKind.INVOICE:
        return KlarnaClient.capture_order(order.klarna_order_id, invoices.capture_content(session, document))
    return KlarnaClient.refund_order(order.klarna_order_id, credit_notes.refund_content(document))


# --- Credit note and refund ----------------------------------------------------------------------------------------------------


def credit(klarna: Gateway, actor: Actor, draft_id: int, form: MoneyForm, *, portal_confirmed: bool = False) -> int:
    """Create the credit note of a draft and refund it at Klarna where that is meant; returns the document's id.

    Raises Refusal with nothing sent, no number taken and the draft kept (K2, K13, K14, K20, K32).
    """
    actor.require(Right.CREDIT)
    return _once(actor, form, "credit", draft_id, lambda: _credit(klarna, actor, draft_id, form, portal_confirmed))


def _credit(klarna: Gateway, actor: Actor, draft_id: int, form: MoneyForm, portal_confirmed: bool) -> int:
    began = clock.monotonic()
    with db.reading() as session:
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
        look = _look_before(klarna, access, order_id, klarna_order_id, OpKind.REFUND, form) if free else None
        run_at = None if free else clock.now()
        document_id, op_id = db.transact(lambda session: _intend_credit(session, actor, draft_id, form, run_at))
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
    draft = credit_drafts.get_draft(session, actor, draft_id)
    if draft.order is None or not draft.with_klarna:
        raise Stale(N_("The draft has been changed meanwhile. What stands there now is shown; look it through again."))
    credit_notes.require_creatable(session, actor, draft, form.shown_minor)
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
    draft = credit_drafts.get_draft(session, actor, draft_id)
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


# --- Refused and unsent documents --------------------------------------------------------------------------------------------


def retry(klarna: Gateway, actor: Actor, document_id: int, form: MoneyForm) -> int:
    """«Försök igen»: a new operation with a new key for the same frozen document under the same number (K18, F25)."""
    return _once(actor, form, "retry", document_id, lambda: _retry(klarna, actor, document_id, form))


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
        op_id = db.transact(lambda session: _intend_retry(session, actor, document_id, form, run_at))
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


def issue_by_external(session: Session, actor: Actor, document: Document, external: KlarnaOp) -> None:
    """Issue and book a document by an object that a look found at Klarna (operations 13, adopt)."""
    issue = invoices.issue if document.kind is DocKind.INVOICE else credit_notes.issue
    drift.tie(session, actor, external, document)
    issue(session, actor, document, external, external.klarna_event_at or clock.now())
    orders.refresh(session, external.order_id)


def _require_retry(session: Session, actor: Actor, document: Document) -> None:
    actor.require(Right.WORK if document.kind is DocKind.INVOICE else Right.CREDIT)
    if document.state is DocState.PENDING:
        raise Refusal(N_("Klarna has not answered the previous attempt. Wait for the answer."))
    if document.state is not DocState.REFUSED:
        raise Refusal(N_("Only a refused document can be tried again. Nothing has been sent."))
    if document.kind is DocKind.CREDIT_NOTE:
        credit_notes.require_within_limit(session, actor, document.gross_minor or 0, document.currency)


def _intend_retry(
    session: Session, actor: Actor, document_id: int, form: MoneyForm, run_at: datetime | None
) -> str | None:
    document = documents.get(session, document_id, lock=True)
    earlier = operations.earlier_use(session, actor, form.nonce, "retry", str(document_id), form.values)
    if earlier is not None:
        return None
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
            credit_notes.require_within_limit(session, actor, document.gross_minor or 0, document.currency)
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


def withdraw(session: Session, actor: Actor, document_id: int) -> None:
    """«Återta»: take back a document of which nothing was sent; its operation closes and it becomes void (operations 4)."""
    actor.require(Right.WORK)
    op = operations.open_of_document(session, document_id)
    if op is None:
        raise Refusal(N_("There is nothing waiting to be sent."))
    op = operations.withdraw(session, actor, op.id)
    document = documents.get(session, document_id, lock=True)
    documents.withdraw(session, actor, document, op)
    orders.refresh(session, op.order_id)


def void(session: Session, actor: Actor, document_id: int, reason: str) -> None:
    """«Makulera» a refused document and free the order for the next one (K15, F25)."""
    document = documents.void(session, actor, document_id, reason)
    if document.order_id is not None:
        orders.refresh(session, document.order_id)
