"""What has happened to an order, newest first: taken, delivered, its documents' moves and what came after, acts at Klarna."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import (
    Audit,
    Delivery,
    Document,
    DocumentEvent,
    KlarnaBreak,
    KlarnaCall,
    KlarnaOp,
    KlarnaOpEvent,
    Order,
    OrderHold,
    Warehouse,
)
from services import afterwards, klarna_call_rules
from services.afterwards import Happened
from states import BreakKind, BreakState, CallKind, CallOutcome, DocKind, DocState, OpKind, OpState

MOST = 200
"""Events a page shows."""


class What(StrEnum):
    """What an event is about."""

    TAKEN = "taken"
    DELIVERED = "delivered"
    DOCUMENT = "document"
    OPERATION = "operation"
    HELD = "held"
    LIFTED = "lifted"
    SETTLED = "settled"
    ROWS = "rows"
    CANCELLED = "cancelled"
    CALL = "call"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Which fields are set follows from ``what``; ``amount_minor`` in minor units of the order's currency."""

    what: What
    at: datetime
    who: str
    number: str = ""
    place: str = ""
    document_id: int | None = None
    document_kind: DocKind | None = None
    document_state: DocState | None = None
    op_kind: OpKind | None = None
    op_state: OpState | None = None
    amount_minor: int | None = None
    reason: str = ""
    kind: BreakKind | None = None
    resolution: str = ""
    before_minor: int | None = None
    call_kind: CallKind | None = None
    call_outcome: CallOutcome | None = None
    after: Happened | None = None


_NOTED = {"order.take": What.TAKEN, "order.rows": What.ROWS, "order.cancel": What.CANCELLED}
# Put together once: a page of an order asks each of them.
_AUDITED = (
    sa.select(Audit.action, Audit.at, Audit.actor, Audit.detail)
    .where(Audit.object == sa.bindparam("object"), Audit.action.in_(_NOTED))
    .order_by(Audit.id.desc())
    .limit(MOST)
)
_CALLED = (
    sa.select(KlarnaCall.kind, KlarnaCall.outcome, KlarnaCall.at, KlarnaCall.by, Document.id, Document.number_text)
    .outerjoin(Document, Document.id == KlarnaCall.document_id)
    .where(KlarnaCall.order_id == sa.bindparam("order_id"), klarna_call_rules.speaks())
    .order_by(KlarnaCall.id.desc())
    .limit(MOST)
)
_LEFT = (
    sa.select(Delivery.ordinal, Delivery.delivered_at, Delivery.delivered_by, Warehouse.name)
    .join(Warehouse, Warehouse.id == Delivery.warehouse_id)
    .where(Delivery.order_id == sa.bindparam("order_id"))
    .order_by(Delivery.ordinal.desc())
    .limit(MOST)
)
_MOVED = (
    sa.select(
        Document.id,
        Document.kind,
        Document.number_text,
        Document.gross_minor,
        DocumentEvent.to_state,
        DocumentEvent.at,
        DocumentEvent.actor,
        DocumentEvent.reason,
    )
    .join(Document, Document.id == DocumentEvent.document_id)
    .where(Document.order_id == sa.bindparam("order_id"))
    .order_by(DocumentEvent.at.desc(), DocumentEvent.id.desc())
    .limit(MOST)
)
_UNTOLD = (
    sa.select(
        KlarnaOp.kind,
        KlarnaOp.amount_minor,
        KlarnaOp.klarna_event_at,
        KlarnaOpEvent.to_state,
        KlarnaOpEvent.at,
        KlarnaOpEvent.actor,
    )
    .join(KlarnaOp, KlarnaOp.id == KlarnaOpEvent.op_id)
    .where(
        KlarnaOp.order_id == sa.bindparam("order_id"),
        sa.or_(
            KlarnaOp.document_id.is_(None),
            KlarnaOpEvent.to_state.in_((OpState.UNKNOWN, OpState.REVIEW, OpState.EXTERNAL)),
        ),
        sa.or_(KlarnaOpEvent.from_state.is_(None), KlarnaOpEvent.from_state != KlarnaOpEvent.to_state),
        KlarnaOpEvent.to_state != OpState.SENDING,
    )
    .order_by(KlarnaOpEvent.at.desc(), KlarnaOpEvent.id.desc())
    .limit(MOST)
)
_HELD = (
    sa.select(OrderHold).where(OrderHold.order_id == sa.bindparam("order_id")).order_by(OrderHold.id.desc()).limit(MOST)
)
_CLOSED = (
    sa.select(KlarnaBreak)
    .where(
        KlarnaBreak.order_id == sa.bindparam("order_id"),
        KlarnaBreak.state == BreakState.CLOSED,
        KlarnaBreak.resolution != "gone",
    )
    .order_by(KlarnaBreak.id.desc())
    .limit(MOST)
)


def events(session: Session, order: Order) -> list[Event]:
    """The order's history, newest first."""
    found = [
        *_noted(session, order),
        *_delivered(session, order),
        *_documents(session, order),
        *_acts(session, order),
        *_holds(session, order),
        *_settled(session, order),
        *_calls(session, order),
        *_afterwards(session, order),
    ]
    return sorted(found, key=lambda event: event.at, reverse=True)[:MOST]


def _noted(session: Session, order: Order) -> list[Event]:
    """What the log alone tells: when the order was taken, its rows changed, the order cancelled."""
    rows = session.execute(_AUDITED, {"object": f"order:{order.id}"})
    found = []
    for action, at, who, written in rows:
        detail = json.loads(written) if action == "order.rows" else {}
        before, after = detail.get("before_minor"), detail.get("after_minor")
        found.append(Event(_NOTED[action], at, who, amount_minor=after, before_minor=before))
    if not any(each.what is What.TAKEN for each in found):
        found.append(Event(What.TAKEN, order.ordered_at, ""))
    return found


def _calls(session: Session, order: Order) -> list[Event]:
    """Calls that moved no money: tracking, references, an address, a letter, a due date."""
    rows = session.execute(_CALLED, {"order_id": order.id})
    return [
        Event(What.CALL, at, who, number=number or "", call_kind=CallKind(kind), call_outcome=CallOutcome(outcome))
        for kind, outcome, at, who, _, number in rows
    ]


def _delivered(session: Session, order: Order) -> list[Event]:
    rows = session.execute(_LEFT, {"order_id": order.id})
    return [Event(What.DELIVERED, at, who, number=str(ordinal), place=place) for ordinal, at, who, place in rows]


def _documents(session: Session, order: Order) -> list[Event]:
    rows = session.execute(_MOVED, {"order_id": order.id})
    return [
        Event(
            What.DOCUMENT,
            at,
            who,
            number=number or "",
            document_id=document_id,
            document_kind=kind,
            document_state=state,
            amount_minor=gross,
            reason=reason,
        )
        for document_id, kind, number, gross, state, at, who, reason in rows
    ]


def _acts(session: Session, order: Order) -> list[Event]:
    """Acts at Klarna that no document's move tells of: those without a document, made elsewhere, or unanswered."""
    rows = session.execute(_UNTOLD, {"order_id": order.id})
    return [
        Event(
            What.OPERATION,
            happened if state is OpState.EXTERNAL and happened else at,
            who,
            op_kind=kind,
            op_state=state,
            amount_minor=amount,
        )
        for kind, amount, happened, state, at, who in rows
    ]


def _holds(session: Session, order: Order) -> list[Event]:
    """Stops after acceptance and their ends: who lifted one, when and why."""
    rows = session.scalars(_HELD, {"order_id": order.id})
    return [Event(What(each.what), each.at, each.by, reason=each.reason) for each in rows]


def _settled(session: Session, order: Order) -> list[Event]:
    """Differences that a person has settled, with the reason; those that were no more need nobody's attention."""
    rows = session.scalars(_CLOSED, {"order_id": order.id})
    return [
        Event(
            What.SETTLED,
            each.closed_at or each.opened_at,
            each.closed_by or "",
            kind=each.kind,
            resolution=each.resolution or "",
            reason=(each.reason or "") if each.resolution != "adopt" else "",
        )
        for each in rows
    ]


def _afterwards(session: Session, order: Order) -> list[Event]:
    """What has happened to the order's documents once they were issued."""
    return [
        Event(
            What.AFTER,
            each.at,
            each.who,
            number=each.document_number,
            document_id=each.document_id,
            document_kind=each.document_kind,
            reason=each.detail,
            after=each,
        )
        for each in afterwards.of_order(session, order.id)
    ]
