"""What follows from an operation's outcome, and from a person's word on it: the Business that operations.py is told.

Source: operations 4, 5, 9 and 13.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Document, KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import (
    credit_notes,
    documents,
    drift,
    holds,
    invoices,
    operations,
    order_amending,
    order_ending,
    orders,
    releases,
)
from services.looks import Look
from states import DocKind, OpKind, RefusalKind


class _Follow:
    """What follows from an operation's outcome, inside the transaction that records it (operations 4)."""

    def confirmed(self, session: Session, op: KlarnaOp, actor: Actor, happened: datetime) -> None:
        """Issue the operation's document and book it."""
        if op.document_id is not None:
            document = documents.get(session, op.document_id, lock=True)
            issue = invoices.issue if document.kind is DocKind.INVOICE else credit_notes.issue
            issue(session, actor, document, op, happened)
            if op.kind is OpKind.CAPTURE and document.release_rest:
                releases.after_capture(session, actor, op, document)
        elif op.kind is OpKind.CANCEL:
            order_ending.cancel(session, actor, orders.get(session, op.order_id, lock=True), op.id)
        elif op.kind is OpKind.UPDATE_AUTH:
            order_amending.apply_agreed(session, actor, op)
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
            _require_room(op, held.captured)
            return
        document = documents.get(session, op.document_id)
        if op.kind is OpKind.CAPTURE:
            holds.require_none(order)
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
        drift.require_same_currency(order, look)
        if op.kind is OpKind.EXTEND_AUTH:
            return 0  # more time does no harm, whatever else is to be settled
        return drift.difference(session, order.id, look)


def _require_room(op: KlarnaOp, held_minor: int) -> None:
    """The act on a reservation leaves room for what is captured of it or may be; a cancelled one has none."""
    least = {OpKind.CANCEL: 0, OpKind.UPDATE_AUTH: op.amount_minor or 0}.get(op.kind, held_minor)
    if held_minor > least:
        raise Refusal(
            N_("%(captured)s has been activated, and the order cannot be less. Nothing has been sent."),
            captured=Amount(held_minor, op.currency or ""),
        )


FOLLOW = _Follow()


def issue_by_external(session: Session, actor: Actor, document: Document, external: KlarnaOp) -> None:
    """Issue and book a document by an object that a look found at Klarna (operations 13, adopt)."""
    issue = invoices.issue if document.kind is DocKind.INVOICE else credit_notes.issue
    drift.tie(session, actor, external, document)
    issue(session, actor, document, external, external.klarna_event_at or clock.now())
    orders.refresh(session, external.order_id)


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
