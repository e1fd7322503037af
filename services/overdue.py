"""What Klarna should have paid out long ago: a difference per document, opened by the nightly look and gone with its row.

Rules alone. Amounts are minor units. Source: operations 13, unpaid_too_long; M8; B9.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Document, KlarnaBreak, KlarnaOp, Order, RowMatch, RowPlacing, RowShare
from rights import SYSTEM
from services import audit, breaks, settings
from states import BreakKind, BreakState, DocKind, OpState

AT_ONCE = 200
"""Differences opened in one transaction, so that nobody waits for them."""


def settled(document_id: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether some row of a payout speaks of the document with this id: all of it, a part of it, or placed there later."""
    return sa.or_(
        sa.exists(sa.select(1).where(RowMatch.document_id == document_id)),
        sa.exists(sa.select(1).where(RowShare.document_id == document_id)),
        sa.exists(sa.select(1).where(RowPlacing.to_document_id == document_id)),
    )


def open_some(session: Session) -> int:
    """Open a difference for documents that Klarna has carried out longer ago than the company waits, and that stand in no
    payout; each once, unless a person ignored it until a day that has come. Returns how many were opened.
    """
    before = clock.now() - timedelta(days=settings.number(session, "unpaid_days"))
    # Ignored until a day that has come: told anew.
    lapsed = sa.and_(KlarnaBreak.resolution == breaks.IGNORE, KlarnaBreak.found <= clock.today().isoformat())
    said = sa.exists(
        sa.select(1).where(
            KlarnaBreak.order_id == Document.order_id,
            KlarnaBreak.document_id == Document.id,
            KlarnaBreak.kind == BreakKind.UNPAID_TOO_LONG,
            sa.or_(KlarnaBreak.resolution.is_(None), sa.not_(lapsed)),
        )
    )
    query = (
        sa.select(Document, KlarnaOp.klarna_event_at, Order.account_id)
        .join(KlarnaOp, KlarnaOp.id == Document.issued_by_op_id)
        .join(Order, Order.id == Document.order_id)
        .where(
            KlarnaOp.klarna_event_at < before,
            KlarnaOp.state.in_((OpState.CONFIRMED, OpState.EXTERNAL)),
            sa.not_(settled(Document.__table__.c.id)),
            sa.not_(said),
        )
        .order_by(Document.id)
        .limit(AT_ONCE)
    )
    rows = session.execute(query).all()
    for document, happened, account_id in rows:
        gross = document.gross_minor or 0
        session.add(
            KlarnaBreak(
                kind=BreakKind.UNPAID_TOO_LONG,
                account_id=account_id,
                order_id=document.order_id,
                # Not the operation: an act made elsewhere with an open difference counts as one that nobody has settled.
                document_id=document.id,
                expected=clock.local_date(happened or clock.now()).isoformat(),
                difference_minor=gross if document.kind is DocKind.INVOICE else -gross,
                currency=document.currency,
                opened_at=clock.now(),
                found_by=SYSTEM.name,
                owner="finance",
            )
        )
    session.flush()
    if rows:
        audit.write(session, SYSTEM, "klarna.unpaid_too_long", "documents", {"opened": len(rows)})
    return len(rows)


def close_settled(session: Session) -> int:
    """Close the differences whose document stands in a payout now; returns how many."""
    query = sa.select(KlarnaBreak).where(
        KlarnaBreak.kind == BreakKind.UNPAID_TOO_LONG,
        KlarnaBreak.state == BreakState.OPEN,
        settled(KlarnaBreak.__table__.c.document_id),
    )
    found = session.scalars(query.with_for_update()).all()
    breaks.gone(session, *found)
    return len(found)
