"""What has happened to an order, newest first: taken, delivered, its documents' moves, and acts at Klarna without one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Audit, Delivery, Document, DocumentEvent, KlarnaOp, KlarnaOpEvent, Order, Warehouse
from states import DocKind, DocState, OpKind, OpState

MOST = 200
"""Events a page shows."""


class What(StrEnum):
    """What an event is about."""

    TAKEN = "taken"
    DELIVERED = "delivered"
    DOCUMENT = "document"
    OPERATION = "operation"


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


def events(session: Session, order: Order) -> list[Event]:
    """The order's history, newest first."""
    found = [_taken(session, order), *_delivered(session, order), *_documents(session, order), *_acts(session, order)]
    return sorted(found, key=lambda event: event.at, reverse=True)[:MOST]


def _taken(session: Session, order: Order) -> Event:
    noted = session.execute(
        sa.select(Audit.at, Audit.actor)
        .where(Audit.object == f"order:{order.id}", Audit.action == "order.take")
        .order_by(Audit.id)
        .limit(1)
    ).first()
    return Event(What.TAKEN, noted.at if noted else order.ordered_at, noted.actor if noted else "")


def _delivered(session: Session, order: Order) -> list[Event]:
    rows = session.execute(
        sa.select(Delivery.ordinal, Delivery.delivered_at, Delivery.delivered_by, Warehouse.name)
        .join(Warehouse, Warehouse.id == Delivery.warehouse_id)
        .where(Delivery.order_id == order.id)
        .order_by(Delivery.ordinal.desc())
        .limit(MOST)
    )
    return [Event(What.DELIVERED, at, who, number=str(ordinal), place=place) for ordinal, at, who, place in rows]


def _documents(session: Session, order: Order) -> list[Event]:
    rows = session.execute(
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
        .where(Document.order_id == order.id)
        .order_by(DocumentEvent.at.desc(), DocumentEvent.id.desc())
        .limit(MOST)
    )
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
    rows = session.execute(
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
            KlarnaOp.order_id == order.id,
            sa.or_(
                KlarnaOp.document_id.is_(None),
                KlarnaOpEvent.to_state.in_((OpState.UNKNOWN, OpState.REVIEW, OpState.EXTERNAL)),
            ),
            sa.or_(KlarnaOpEvent.from_state.is_(None), KlarnaOpEvent.from_state != KlarnaOpEvent.to_state),
        )
        .order_by(KlarnaOpEvent.at.desc(), KlarnaOpEvent.id.desc())
        .limit(MOST)
    )
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
