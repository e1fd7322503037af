"""Differences against Klarna: opened once, closed with how, why and by whom, never deleted. Rules alone.

Amounts are minor units. Source: operations 13; M15.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

import clock
from errors import N_, NotFound, Stale
from models import KlarnaBreak, KlarnaOp, Order
from rights import SYSTEM, Actor
from states import BreakKind, BreakState, OpKind, OpState

ADOPT, EXPLAIN, IGNORE, GONE = "adopt", "explain", "ignore", "gone"
"""How a difference is settled; ``GONE`` when it no longer exists."""


def open_break(
    session: Session,
    order: Order,
    kind: BreakKind,
    *,
    op: KlarnaOp | None = None,
    expected: str = "",
    found: str = "",
    difference_minor: int = 0,
) -> None:
    """Open a difference of an order unless the same one is open already."""
    same = select(KlarnaBreak.id).where(
        KlarnaBreak.order_id == order.id,
        KlarnaBreak.kind == kind,
        KlarnaBreak.op_id == (op.id if op else None),
        KlarnaBreak.found == found,
        KlarnaBreak.state == BreakState.OPEN,
    )
    if session.scalar(same.limit(1)) is not None:
        return
    session.add(
        KlarnaBreak(
            kind=kind,
            account_id=order.account_id,
            order_id=order.id,
            op_id=op.id if op else None,
            expected=expected,
            found=found,
            difference_minor=difference_minor,
            currency=order.currency,
            opened_at=clock.now(),
            found_by=SYSTEM.name,
            owner="finance",
        )
    )
    session.flush()


_OPEN = (
    select(KlarnaBreak)
    .where(KlarnaBreak.order_id == bindparam("order_id"), KlarnaBreak.state == BreakState.OPEN)
    .order_by(KlarnaBreak.opened_at, KlarnaBreak.id)
)


def open_of(session: Session, order_id: int, *kinds: BreakKind) -> list[KlarnaBreak]:
    """The open differences of an order, of these kinds or of any, oldest first."""
    query = _OPEN.where(KlarnaBreak.kind.in_(kinds)) if kinds else _OPEN
    return list(session.scalars(query, {"order_id": order_id}))


_TO_BOOK = (
    select(KlarnaBreak.id, KlarnaOp.amount_minor)
    .join(KlarnaOp, KlarnaOp.id == KlarnaBreak.op_id)
    .where(
        KlarnaBreak.order_id == bindparam("order_id"),
        KlarnaBreak.state == BreakState.OPEN,
        KlarnaOp.kind == OpKind.CAPTURE,
        KlarnaOp.state == OpState.EXTERNAL,
        KlarnaOp.document_id.is_(None),
    )
    .order_by(KlarnaBreak.opened_at, KlarnaBreak.id)
    .limit(1)
)


def capture_to_book(session: Session, order_id: int) -> tuple[int, int] | None:
    """The oldest capture made outside that has no invoice yet: the difference that speaks of it, and minor units (B20)."""
    found = session.execute(_TO_BOOK, {"order_id": order_id}).first()
    return (found.id, found.amount_minor or 0) if found is not None else None


def way_to_book(session: Session, order_id: int) -> tuple[str, Mapping[str, object]] | None:
    """The page that books a capture made outside; None where there is none to book."""
    found = capture_to_book(session, order_id)
    return ("adoption.adopt_page", {"break_id": found[0]}) if found is not None else None


def of_order(session: Session, order_id: int) -> list[KlarnaBreak]:
    """Every difference of an order, open or closed, oldest first."""
    return list(session.scalars(select(KlarnaBreak).where(KlarnaBreak.order_id == order_id).order_by(KlarnaBreak.id)))


def get(session: Session, break_id: int, *, lock: bool = False) -> KlarnaBreak:
    """A difference; ``lock`` takes its order's lock and then its own. Raises NotFound."""
    order_id = session.scalar(select(KlarnaBreak.order_id).where(KlarnaBreak.id == break_id))
    if lock and order_id is not None:
        session.execute(select(Order.id).where(Order.id == order_id).with_for_update())
    query = select(KlarnaBreak).where(KlarnaBreak.id == break_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query)
    if found is None:
        raise NotFound
    return found


def require_open(found: KlarnaBreak) -> None:
    """Let pass a difference that nobody has settled, asked under its lock. Raises Stale naming who did."""
    if found.state is BreakState.CLOSED:
        raise Stale(
            N_("%(who)s has settled the difference already. Nothing more has been done."), who=found.closed_by or ""
        )


def close(
    session: Session, actor: Actor, found: KlarnaBreak, resolution: str, reason: str, document_id: int | None = None
) -> None:
    """Close a difference: how, why, who, when, and the document that stands for it where there is one."""
    found.state = BreakState.CLOSED
    found.resolution = resolution
    found.reason = reason
    found.closed_by = actor.name
    found.closed_at = clock.now()
    if document_id is not None:
        found.document_id = document_id
    session.flush()


def gone(session: Session, *those: KlarnaBreak) -> None:
    """Close differences that no longer exist."""
    for found in those:
        close(session, SYSTEM, found, GONE, "")
