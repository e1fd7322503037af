"""The log of operations: moves by compare-and-set, their events, the lock order, the one open operation. Source: operations 3."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid5

import uuid6
from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.orm import Session

import clock
from errors import N_, Stale
from models import (
    OPEN_OP,
    Installation,
    KlarnaAccount,
    KlarnaOp,
    KlarnaOpEvent,
    Order,
)
from rights import Actor
from services import order_questions
from services.looks import MOST_STORED
from states import OP_MOVES, OPEN_OPS, OpKind, OpState, Origin, check_move

_NEXT_EVENT = select(func.coalesce(func.max(KlarnaOpEvent.seq), 0) + 1).where(KlarnaOpEvent.op_id == bindparam("of"))
_EVENT = insert(KlarnaOpEvent.__table__).values(seq=_NEXT_EVENT.scalar_subquery())  # type: ignore[arg-type]
_ORDER_OF = select(KlarnaOp.order_id).where(KlarnaOp.id == bindparam("op_id")).scalar_subquery()
_ORDER_LOCKED = select(Order.id).where(Order.id == _ORDER_OF).with_for_update()
_LOCKED = (
    select(KlarnaOp)
    .where(KlarnaOp.id == bindparam("op_id"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_OPEN_OF_DOCUMENT = select(KlarnaOp).where(
    KlarnaOp.document_id == bindparam("document_id"), KlarnaOp.state.in_(OPEN_OPS)
)

IS_OPEN = text(f"klarna_op.{OPEN_OP}")
"""Word for word the condition of the partial index on open operations, so that both databases use it."""
JUST_NOW = timedelta(seconds=20)
"""An operation this young that waits for nothing is on its way; an older one was left behind by a crash."""


def lies_unsent(op: KlarnaOp) -> bool:
    """Whether an operation stays where it is until a person sends or withdraws it (operations 11, «Ej skickad»)."""
    young = op.hold_reason is None and clock.now() - op.created_at < JUST_NOW
    return op.state is OpState.PREPARED and not young and op.next_run_at is None


def event(
    session: Session,
    op: KlarnaOp,
    old: OpState | None,
    new: OpState,
    actor: Actor,
    evidence: tuple[str, str, str] | None,
    note: str,
) -> None:
    """Write a row of an operation's history: a change of state, or a note without one."""
    kind, ref, text = evidence or (None, None, "")
    session.flush()
    session.execute(
        _EVENT,
        {
            "of": op.id,
            "op_id": op.id,
            "from_state": old,
            "to_state": new,
            "at": clock.now(),
            "actor": actor.name,
            "evidence_kind": kind,
            "evidence_ref": ref,
            "evidence": text[:MOST_STORED],
            "note": note,
        },
    )


def external(
    session: Session, actor: Actor, order: Order, kind: OpKind, origin: Origin, *,
    amount_minor: int, currency: str, reference: str | None, object_id: str | None, short_ref: str | None,
    happened_at: datetime | None, evidence: tuple[str, str, str],
) -> KlarnaOp:  # fmt: skip
    """An act at Klarna that we did not make, as an operation: it counts against the limits from now on (operations 13).

    It is no try of ours, so that a document with tries of its own can come to stand for it.
    """
    account = session.get_one(KlarnaAccount, order.account_id)
    installation = session.get_one(Installation, 1)
    op_id = str(uuid6.uuid7())
    op = KlarnaOp(
        id=op_id,
        kind=kind,
        origin=origin,
        account_id=account.id,
        environment=account.environment,
        installation_id=installation.installation_id,
        order_id=order.id,
        klarna_order_id=order.klarna_order_id,
        try_no=0,
        amount_minor=amount_minor,
        currency=currency,
        method="",
        path="",
        body=b"",
        body_sha256="",
        idempotency_key=str(uuid5(UUID(installation.installation_id), op_id)),
        reference=reference,
        created_by=actor.name,
        created_at=clock.now(),
        klarna_object_id=object_id,
        klarna_event_at=happened_at,
        klarna_short_ref=short_ref,
        state=OpState.EXTERNAL,
    )
    session.add(op)
    session.flush()
    event(session, op, None, OpState.EXTERNAL, actor, evidence, "")
    return op


def move(
    session: Session,
    op: KlarnaOp,
    new: OpState,
    actor: Actor,
    *,
    evidence: tuple[str, str, str] | None = None,
    note: str = "",
    **changes: object,
) -> None:
    """Move an operation by compare-and-set and write the event. Raises Stale when somebody was faster.

    ``evidence`` is (kind, reference, text): attempt, look, settlement_row, person or restore.
    """
    old = op.state
    if new is not old:
        check_move(OP_MOVES, old, new)
    session.flush()
    moved = session.scalar(
        update(KlarnaOp)
        .where(KlarnaOp.id == op.id, KlarnaOp.state == old, KlarnaOp.version == op.version)
        .values(state=new, version=op.version + 1, **changes)
        .returning(KlarnaOp)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if moved is None:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    event(session, op, old, new, actor, evidence, note)


def lock(session: Session, op_id: str) -> KlarnaOp:
    """Read an operation under the order's lock and its own (lock order: order, operation, document)."""
    session.execute(_ORDER_LOCKED, {"op_id": op_id})
    return session.execute(_LOCKED, {"op_id": op_id}).scalar_one()


def open_of_order(session: Session, order_id: int) -> KlarnaOp | None:
    """The one open operation of an order, if there is one."""
    return session.scalar(order_questions.OPEN, {"order_id": order_id})


def open_of_document(session: Session, document_id: int) -> KlarnaOp | None:
    """The one open operation of a document, if there is one."""
    return session.scalar(_OPEN_OF_DOCUMENT, {"document_id": document_id})


def hold(session: Session, op: KlarnaOp, actor: Actor, reason: str, next_run_at: datetime | None = None) -> None:
    """Note on a PREPARED operation why it was not sent."""
    move(session, op, op.state, actor, note=reason, hold_reason=reason, next_run_at=next_run_at)
