"""Many at once, done: row after row by the worker, each by the same acts as on its own page, and again after a crash.

A row's act is a money form with a nonce of its own, so that doing it again finds what was done before. One order's no, or one
failure, never stops the rest. Functions take ``klarna`` and own their transactions. Source: operations 6, 10 and 12.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Busy, Refusal
from models import Batch, BatchRow, FormUse, JobLease
from rights import Actor, Right
from services import batches, deliveries, documents, job_leases, orders, reservations, users
from services.batches import BOTH, DELIVER, DONE, FAILED, REFUSED, RUNNING, WAITING
from services.gateway import Gateway
from services.reservations import MoneyForm
from states import DocState, DocType

log = structlog.get_logger()

LEASE = timedelta(seconds=120)
"""How long a runner may be silent before another one takes over; one row takes less."""
MOST_TRIES = 3
GAVE_UP = N_("It was tried %(times)s times without coming to an end. Open the order and see where it stands.")
BROKE = N_("Something went wrong in Kvitta. Open the order and see where it stands before you do it again.")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row whose turn has come."""

    id: int
    order_id: int
    nonce: str
    tries: int
    act: str
    warehouse_id: int | None
    version: int
    gross_minor: int
    type: DocType | None
    user_id: int


def run_all(klarna: Gateway, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Go on with every batch that has not come to its end, the oldest first: what a crash left, and what waits its turn.

    ``goes_on`` is asked before each row; a no leaves the rest for the next runner.
    """
    with db.reading() as session:
        left = list(session.scalars(sa.select(Batch.id).where(Batch.ended_at.is_(None)).order_by(Batch.id)))
    for batch_id in left:
        run(klarna, batch_id, goes_on)


def run(klarna: Gateway, batch_id: int, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Do the rows of a batch that are not done. Nothing is done while another runner is at it."""
    while _take_lease(klarna, batch_id):
        row = db.transact(lambda session: _next(session, batch_id)) if goes_on() else None
        if row is None:
            db.transact(lambda session: batches.end_if_done(session, batch_id))
            db.transact(lambda session: _give_back(session, batch_id))
            return
        _attend(klarna, row)


def _lease_name(batch_id: int) -> str:
    return f"batch {batch_id}"


def _take_lease(klarna: Gateway, batch_id: int) -> bool:
    """Be the one runner of this batch for the next two minutes."""
    name = _lease_name(batch_id)
    try:
        return db.transact(lambda session: job_leases.take(session, name, klarna.sender, LEASE))
    except Busy:
        return False


def _give_back(session: Session, batch_id: int) -> None:
    session.execute(sa.delete(JobLease).where(JobLease.name == _lease_name(batch_id)))


def _next(session: Session, batch_id: int) -> _Row | None:
    """Take the next row: one that a crash left running, or one that waits. It is running from here on."""
    query = (
        sa.select(BatchRow, Batch)
        .join(Batch, Batch.id == BatchRow.batch_id)
        .where(BatchRow.batch_id == batch_id, BatchRow.state.in_((RUNNING, WAITING)))
        .order_by(BatchRow.position)
        .limit(1)
        .with_for_update(of=BatchRow)
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, batch = found
    options = json.loads(batch.options)
    version, gross, kind = options["shown"][str(row.order_id)]
    row.state, row.tries, row.changed_at = RUNNING, row.tries + 1, clock.now()
    session.flush()
    return _Row(
        id=row.id,
        order_id=row.order_id or 0,
        nonce=row.nonce,
        tries=row.tries,
        act=batch.act,
        warehouse_id=options["warehouse_id"],
        version=version,
        gross_minor=gross,
        type=DocType(kind) if kind else None,
        user_id=batch.created_by_id,
    )


def _attend(klarna: Gateway, row: _Row) -> None:
    """Do a row and keep what came of it, whatever that was."""
    try:
        if row.tries > MOST_TRIES:
            _keep(row, FAILED, Refusal(GAVE_UP, times=MOST_TRIES))
            return
        with db.reading() as session:
            actor = users.acting(session, row.user_id)
        document_id = _do(klarna, actor, row)
        state, told = _outcome(document_id)
        _keep(row, state, told, document_id)
    except Busy:
        # Nothing has been done, and the row is taken up again.
        log.warning("batch.busy", row=row.id)
    except Refusal as no:
        _keep(row, REFUSED, no)
    except Exception:
        log.exception("batch.row_failed", row=row.id)
        _keep(row, FAILED, Refusal(BROKE))


def _do(klarna: Gateway, actor: Actor, row: _Row) -> int | None:
    actor.require(Right.WORK)
    delivered = False
    if row.act in (DELIVER, BOTH):
        delivered = db.transact(lambda session: _deliver(session, actor, row))
    if row.type is None:
        return None
    form = MoneyForm(row.nonce, row.gross_minor)
    version = None if delivered else row.version
    return reservations.invoice(klarna, actor, row.order_id, row.type, form, version)


def _delivery_nonce(row: _Row) -> str:
    """The nonce of the row's delivery; its invoice has the row's own."""
    return hashlib.sha256(f"{row.nonce}:deliver".encode()).hexdigest()[:32]


def _deliver(session: Session, actor: Actor, row: _Row) -> bool:
    """Deliver all that is left of the order, once; whether this batch has delivered it, now or before a crash.

    Where an invoice follows, an order of which nothing is left to deliver goes straight on to it.
    """
    nonce = _delivery_nonce(row)
    order = orders.get(session, row.order_id, lock=True)
    if session.get(FormUse, nonce) is not None:
        return True
    if order.version != row.version:
        raise Refusal(
            N_("The order has changed since the page was drawn. Nothing has been done; look it through again.")
        )
    left: Mapping[int, int] = {line.id: milli for line, milli in orders.to_deliver(session, order)}
    if not left and row.act == BOTH:
        return False
    deliveries.deliver_once(session, actor, nonce, row.order_id, left, warehouse_id=row.warehouse_id or 0)
    return True


def _outcome(document_id: int | None) -> tuple[str, Refusal | None]:
    """How a row ended: an invoice that Klarna refused is a no; one whose answer is waited for has been made."""
    if document_id is None:
        return DONE, None
    with db.reading() as session:
        document = documents.get(session, document_id)
    if document.state is not DocState.REFUSED:
        return DONE, None
    return REFUSED, Refusal(
        N_("Invoice %(number)s was not carried out. It awaits a decision: try again or void it."),
        number=document.number_text,
    )


def _keep(row: _Row, state: str, told: Refusal | None = None, document_id: int | None = None) -> None:
    def work(session: Session) -> None:
        kept: dict[str, Any] = {"state": state, "made_document_id": document_id, "changed_at": clock.now()}
        delivered = session.get(FormUse, _delivery_nonce(row)) is not None
        kept["result"] = batches.write_result(told, delivered=delivered)
        session.execute(sa.update(BatchRow).where(BatchRow.id == row.id).values(**kept))

    db.transact(work)
