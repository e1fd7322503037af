"""Captures and refunds that only a payout tells of: they count against the limits from that moment (operations 13).

Amounts are minor units. A person says what they are: adopt, explain or ignore.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import KlarnaBreak, KlarnaOp, Order, Payout, PayoutRow, RowMatch
from rights import Actor
from services import audit, op_log, orders
from services.settlement_sentences import Why
from states import BreakKind, BreakState, OpKind, Origin, Pile

MOST_AMOUNT = 200_000_000
"""The largest amount of one act at Klarna, minor units."""


def record(session: Session, actor: Actor, payout: Payout) -> None:
    """Make an EXTERNAL operation, with its break, for each sale or return without partner on an order of ours.

    Only rows that carry Klarna's id of the act, so that a later look knows it again; once per id.
    """
    rows = session.execute(
        sa.select(PayoutRow, Order)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .join(
            Order,
            sa.and_(Order.klarna_order_id == PayoutRow.klarna_order_id, Order.account_id == payout.account_id),
        )
        .where(
            PayoutRow.payout_id == payout.id,
            PayoutRow.type.in_(("SALE", "RETURN")),
            RowMatch.pile == Pile.FAULTY,
            RowMatch.because == Why.NONE,
        )
        .order_by(PayoutRow.row_key)
    ).all()
    for row, order in rows:
        kind = OpKind.CAPTURE if row.type == "SALE" else OpKind.REFUND
        object_id = row.capture_id if row.type == "SALE" else row.refund_id
        amount = abs(row.amount_minor)
        if object_id is None or not 0 < amount <= MOST_AMOUNT or _is_known(session, payout, kind, object_id):
            continue
        orders.get(session, order.id, lock=True)
        op = _external(session, actor, payout, row, order, kind, object_id)
        session.add(
            KlarnaBreak(
                kind=BreakKind.CAPTURE_UNKNOWN if kind is OpKind.CAPTURE else BreakKind.REFUND_UNKNOWN,
                account_id=payout.account_id,
                order_id=order.id,
                op_id=op.id,
                payout_id=payout.id,
                row_id=row.id,
                found=object_id,
                difference_minor=amount,
                currency=payout.currency,
                opened_at=clock.now(),
                found_by="settlement",
                owner="finance",
                state=BreakState.OPEN,
            )
        )
        session.flush()
        orders.refresh(session, order.id)
        audit.write(session, actor, "settlement.unknown_act", f"order:{order.id}", {"op": op.id, "row": row.row_no})


def _is_known(session: Session, payout: Payout, kind: OpKind, object_id: str) -> bool:
    query = sa.select(KlarnaOp.id).where(
        KlarnaOp.account_id == payout.account_id, KlarnaOp.kind == kind, KlarnaOp.klarna_object_id == object_id
    )
    return session.scalar(query.limit(1)) is not None


def _external(
    session: Session, actor: Actor, payout: Payout, row: PayoutRow, order: Order, kind: OpKind, object_id: str
) -> KlarnaOp:
    return op_log.external(
        session, actor, order, kind, Origin.SETTLEMENT, amount_minor=abs(row.amount_minor), currency=payout.currency,
        reference=row.capture_reference if kind is OpKind.CAPTURE else row.refund_reference, object_id=object_id,
        short_ref=row.short_order_id, happened_at=row.happened_at,
        evidence=("settlement_row", str(row.id), f"payout {payout.payment_reference} row {row.row_no}"),
    )  # fmt: skip
