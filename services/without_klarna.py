"""When a credit note without Klarna needs nobody any more: ledger and Klarna have come to agree (K29). Pure reading, as SQL."""

from __future__ import annotations

import functools

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from models import Document, KlarnaBreak, KlarnaOp, Order
from states import BreakKind, BreakState, DocKind, DocState, OpState


@functools.cache
def settled() -> sa.ColumnElement[bool]:
    """Whether a row of ``document`` is settled with Klarna.

    A refund made elsewhere has been tied to it; or all that is booked of its order is what Klarna has of it, and no difference
    is open; or, where no purchase at Klarna is behind it, it has been paid back or offset.
    """
    tied = sa.exists().where(KlarnaOp.document_id == Document.id, KlarnaOp.state == OpState.EXTERNAL)
    return sa.or_(tied, _agrees(), sa.and_(_has_no_purchase(), Document.open_minor == 0))


def _has_no_purchase() -> sa.ColumnElement[bool]:
    return sa.not_(sa.exists().where(Order.id == Document.order_id, Order.klarna_order_id.is_not(None)))


def _agrees() -> sa.ColumnElement[bool]:
    other = aliased(Document)
    signed = sa.case((other.kind == DocKind.INVOICE, other.gross_minor), else_=-other.gross_minor)
    booked = (
        sa.select(sa.func.coalesce(sa.func.sum(signed), 0))
        .where(other.order_id == Document.order_id, other.state == DocState.ISSUED, other.reversed_at.is_(None))
        .correlate(Document)
        .scalar_subquery()
    )
    at_klarna = sa.func.coalesce(Order.captured_minor, 0) - sa.func.coalesce(Order.refunded_minor, 0)
    same = sa.exists().where(Order.id == Document.order_id, Order.klarna_order_id.is_not(None), at_klarna == booked)
    # That Klarna is late with the money says nothing against the sums.
    differs = sa.exists().where(
        KlarnaBreak.order_id == Document.order_id,
        KlarnaBreak.state == BreakState.OPEN,
        KlarnaBreak.kind != BreakKind.UNPAID_TOO_LONG,
    )
    return sa.and_(same, sa.not_(differs))
