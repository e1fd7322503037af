"""The beats one after the other: look, permission, wire, outcome; and a money form that does its act once.

Functions that take ``klarna`` own their transactions. Source: operations 6, 11 and 12.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Busy, Refusal
from models import KlarnaOp, Order
from rights import SYSTEM, Actor
from services import drift, looks, operations, orders
from services.answers import Outcome, Permission
from services.asking import LOOK_SECONDS, NotReached, Silent, access_for, note_reached, read_order
from services.following import FOLLOW
from services.gateway import Access, Gateway
from services.looks import Look
from states import OPEN_OPS, OpKind

log = structlog.get_logger()

NO_NUMBER = {
    OpKind.CAPTURE: N_(
        "Klarna could not be reached. Nothing has been sent and no number has been taken. Try again in a while."
    ),
    OpKind.REFUND: N_(
        "Klarna could not be reached. Nothing has been sent and no number has been taken. "
        "The draft is saved; try again in a while."
    ),
}
"""What Klarna's silence means before a number is taken: an invoice has no draft, a credit note keeps its own."""
PAGE_SECONDS = 11.5
"""A page for a money act answers within 12 s whatever Klarna does (operations 11)."""


@dataclass(frozen=True, slots=True)
class MoneyForm:
    """What every money form carries: its nonce, the sum on its button, a difference that was shown and ticked.

    ``version`` is that of the draft the form was drawn from, ``choices`` what else was chosen in it, ``warned`` that the
    warnings of a capture made elsewhere were ticked (K36).
    """

    nonce: str
    shown_minor: int
    accepted_difference_minor: int = 0
    version: int | None = None
    choices: tuple[int | bool | str | None, ...] = ()
    warned: bool = False

    @property
    def values(self) -> list[int | bool | str | None]:
        """What must be the same when the same form comes again."""
        return [self.shown_minor, self.accepted_difference_minor, *self.choices]


def look_at(klarna: Gateway, order_id: int, *, in_slot: bool = False) -> Look:
    """Read the order at Klarna and keep what it shows: figures, proofs, things made elsewhere. Raises NotReached.

    It takes a call slot unless the caller holds one (``in_slot``): a Klarna that hangs holds two threads of a process, never
    all of them, so that the pages stay as quick as they were (operations 10).
    """
    with db.reading() as session:
        access, klarna_order_id = access_for(session, orders.get(session, order_id))
    with nullcontext(True) if in_slot else klarna.slot() as free:
        if not free:
            raise NotReached(N_("All lines to Klarna are busy. Try again in a moment."))
        look = read_order(klarna, access, klarna_order_id)
    keep(order_id, look)
    return look


def keep(order_id: int, look: Look, actor: Actor = SYSTEM) -> None:
    """Store a look in a transaction of its own; an open operation whose number it shows is confirmed by it."""

    def work(session: Session) -> None:
        order = orders.get(session, order_id, lock=True)
        before = _shown(order)
        found = drift.keep_look(session, order, look)
        op = operations.open_of_order(session, order_id)
        if op is not None:
            operations.settle_by_look(session, operations.lock(session, op.id), look, actor, FOLLOW)
        if found or op is not None or before != _shown(order):
            orders.refresh(session, order_id)

    db.transact(work, by_key=True)


def _shown(order: Order) -> tuple[object, ...]:
    """What a look says of an order, whenever it was made: as long as it says the same, no copy of it has to be made anew."""
    return (
        order.klarna_status, order.fraud_status, order.klarna_method, order.klarna_reference, order.authorized_minor,
        order.captured_minor, order.refunded_minor, order.remaining_minor, order.expires_at,
    )  # fmt: skip


def carry_out(klarna: Gateway, op_id: str, look: Look | None, actor: Actor, began: float) -> None:
    """Send a prepared operation once and record what came of it: T2, the wire, T3 (or T3x)."""
    try:
        permission = db.transact(
            lambda session: operations.permit(session, klarna, op_id, look, actor, FOLLOW), by_key=True
        )
    except Busy:
        log.warning(
            "klarna.permission_busy", op_id=op_id
        )  # the number is taken, nothing has left: it waits as not sent
        return
    if permission is None:
        return
    outcome = operations.send(klarna, permission)
    kind = _record(klarna, permission, outcome, actor)
    if kind is None:
        return
    left = PAGE_SECONDS - (clock.monotonic() - began)
    answered = outcome.answer is not None and (outcome.answer.status == 201 or kind in looks.OF_THE_RESERVATION)
    if answered and (klarna.in_worker or left > 0.5):
        _fill(klarna, op_id, min(LOOK_SECONDS, left) if not klarna.in_worker else LOOK_SECONDS)


def _record(klarna: Gateway, permission: Permission, outcome: Outcome, actor: Actor) -> OpKind | None:
    """T3, else T3x; gives the kind of what is booked. Never raises: Klarna may have done it, whatever our side says.

    Where the database takes nothing at all, the operation is on its way until its lease is over; then the janitor asks Klarna.
    """
    op_id = permission.op_id

    def record(session: Session) -> OpKind:
        operations.record(session, permission, outcome, actor, FOLLOW)
        op = session.get_one(KlarnaOp, op_id)
        if op.state in OPEN_OPS:  # what has become final has refreshed the order with all that follows from it
            orders.refresh(session, op.order_id)
        return op.kind

    try:
        note_reached(klarna, permission.access.account_id, outcome.answer is not None)
        return db.transact(record, by_key=True)
    except Exception as trouble:
        log.exception("klarna.record_failed", op_id=op_id)
        cause = f"{type(trouble).__name__}: {trouble}"
    try:
        db.transact(lambda session: operations.record_failed(session, permission, outcome, actor, cause))
    except Exception:
        log.exception("klarna.answer_not_kept", op_id=op_id)
    return None


def _fill(klarna: Gateway, op_id: str, seconds: float) -> None:
    """Fetch Klarna's own number and time, or what has become of the reservation; the janitor does it where this fails."""
    with db.reading() as session:
        op = session.get_one(KlarnaOp, op_id)
        order_id = op.order_id
        access, klarna_order_id = access_for(session, session.get_one(Order, order_id))
    try:
        keep(order_id, read_order(klarna, access, klarna_order_id, seconds))
    except (NotReached, Busy):  # the act itself is done and booked
        return


def _earlier(actor: Actor, form: MoneyForm, action: str, subject: int) -> int | None:
    with db.reading() as session:
        found = operations.earlier_use(session, actor, form.nonce, action, str(subject), form.values)
    return int(found) if found is not None else None


def once(actor: Actor, form: MoneyForm, action: str, subject: int, act: Callable[[], int]) -> int:
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


def look_before(
    klarna: Gateway, access: Access, order_id: int, klarna_order_id: str, kind: OpKind, form: MoneyForm
) -> Look:
    """The look before T1: refuse with both figures what Klarna rules out or shows otherwise; no number is taken then."""
    try:
        look = read_order(klarna, access, klarna_order_id)
    except Silent as no:
        raise NotReached(NO_NUMBER[kind]) from no
    keep(order_id, look)
    with db.reading() as session:
        drift.require_same_currency(orders.get(session, order_id), look)
        ours = drift.ours(session, order_id)
        difference = drift.difference(session, order_id, look, ours)
    looks.require_possible(look, kind, form.shown_minor, outside_minor=max(look.refunded - ours.refunded, 0))
    if difference not in (0, form.accepted_difference_minor):
        raise drift.Differs(look, ours, difference)
    return look
