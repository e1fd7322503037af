"""The janitor: finishes what a crash, a silence or a full call slot left open. One runner at a time.

The same rules run for one order when its page is opened. Each rule reads the row again under lock and moves it by
compare-and-set. Source: operations 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Busy, Refusal, Throttled
from models import Document, KlarnaAccount, KlarnaBreak, KlarnaOp, KlarnaOpEvent, Order
from rights import JANITOR, Actor, Right
from services import breaks, changes, drift, job_leases, operations, orders, overdue, reservation_acts, reservations
from services.gateway import CREDENTIALS, Gateway
from services.looks import OF_THE_RESERVATION, Look
from services.op_log import IS_OPEN
from services.reservations import FOLLOW, NotReached
from states import OPEN_OPS, BreakState, DocState, OpKind, OpState, OrderState

log = structlog.get_logger()

LEASE = timedelta(seconds=120)
PREPARED_FOR = timedelta(minutes=10)
"""How long an unsent operation is sent without asking; then it waits for a person (rule 4, rule 7)."""
ASK_AGAIN = timedelta(minutes=1)
ALARM_FROM = 3
"""Times that a recorded answer could not be booked."""
HOURLY = operations.LOOK_AGAIN
FILL_FOR = timedelta(days=2)
FILL_AGAIN = timedelta(minutes=1)
FILLED_AT_ONCE = 20
LOOKED_BACK = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Seen:
    """An open operation as the janitor found it."""

    id: str
    order_id: int
    kind: OpKind
    state: OpState
    created_at: datetime
    last_sent_at: datetime | None
    post_allowed_until: datetime | None
    lease_until: datetime | None
    next_run_at: datetime | None
    refused_on_retry: bool
    recorded: bool


def _seen(session: Session, op: KlarnaOp) -> _Seen:
    return _Seen(
        id=op.id,
        order_id=op.order_id,
        kind=op.kind,
        state=op.state,
        created_at=op.created_at,
        last_sent_at=op.last_sent_at,
        post_allowed_until=op.post_allowed_until,
        lease_until=op.lease_until,
        next_run_at=op.next_run_at,
        refused_on_retry=op.refused_on_retry,
        recorded=op.state is OpState.UNKNOWN and operations.recorded_success(session, op) is not None,
    )


def run(klarna: Gateway) -> int:
    """One round over every open operation that is due; returns how many were attended to, 0 when another runner is at it."""
    if not _take_lease(klarna):
        return 0
    now = clock.now()
    with db.reading() as session:
        query = select(KlarnaOp).where(
            IS_OPEN,
            or_(
                KlarnaOp.next_run_at <= now,
                (KlarnaOp.state == OpState.SENDING) & (KlarnaOp.lease_until <= now),
            ),
        )
        # Sorted here: the index of open operations is to lead, not the one of the days.
        found = sorted(session.scalars(query), key=lambda op: op.created_at)
        due = [_seen(session, op) for op in found]
        unfilled = _unfilled(session, now)
    for op in due:
        _attend_safely(klarna, op)
    for order_id in unfilled:
        _look_quietly(klarna, order_id)
    return len(due)


def _take_lease(klarna: Gateway) -> bool:
    """Be the one runner for the next two minutes."""
    try:
        return db.transact(lambda session: job_leases.take(session, "janitor", klarna.sender, LEASE))
    except Busy:
        return False


def attend(klarna: Gateway, order_id: int) -> None:
    """The janitor's rules for one order, when its page is opened. Never raises for what Klarna does."""
    with db.reading() as session:
        op = operations.open_of_order(session, order_id)
        seen = _seen(session, op) if op is not None else None
    if seen is not None and _is_due(seen):
        _attend_safely(klarna, seen)


def _is_due(op: _Seen) -> bool:
    now = clock.now()
    if op.state is OpState.SENDING:
        return op.lease_until is not None and op.lease_until <= now
    return op.next_run_at is not None and op.next_run_at <= now


def ask_now(klarna: Gateway, actor: Actor, document_id: int) -> None:
    """«Fråga Klarna nu»: the rules for one document at once, at most once a minute. Raises Throttled, NotReached."""
    _ask(klarna, actor, lambda session: operations.open_of_document(session, document_id))


def ask_about_reservation(klarna: Gateway, actor: Actor, order_id: int) -> None:
    """The same for an act on an order's reservation, which has no document."""
    _ask(klarna, actor, lambda session: reservation_acts.open_act(session, order_id))


def _ask(klarna: Gateway, actor: Actor, find: Callable[[Session], KlarnaOp | None]) -> None:
    actor.require(Right.WORK)
    now = clock.now()

    def claim(session: Session) -> _Seen:
        op = find(session)
        if op is None:
            raise Refusal(N_("There is no question open to Klarna."))
        op = operations.lock(session, op.id)
        if op.asked_at is not None and now - op.asked_at < ASK_AGAIN:
            raise Throttled(N_("Klarna was asked less than a minute ago. Wait a moment."))
        op.asked_at = now
        return _seen(session, op)

    seen = db.transact(claim)
    reservations.look_at(klarna, seen.order_id)
    with db.reading() as session:
        op = find(session)
        seen = _seen(session, op) if op is not None else seen
    if op is not None and seen.state is not OpState.PREPARED:
        _attend_safely(klarna, seen)


def _attend_safely(klarna: Gateway, op: _Seen) -> None:
    try:
        _attend(klarna, op)
    except NotReached as error:
        log.info("janitor.not_reached", op_id=op.id, cause=str(error))
        _postpone(op)
    except Refusal as error:
        log.warning("janitor.refused", op_id=op.id, cause=str(error))
        _postpone(op, error)
    except Exception as error:
        log.exception("janitor.failed", op_id=op.id)
        _postpone(op, error)


def _attend(klarna: Gateway, op: _Seen) -> None:
    now = clock.now()
    if op.state is OpState.SENDING:
        db.transact(lambda session: _lease_past(session, op.id))
        return
    if op.recorded:
        db.transact(lambda session: _record_again(session, op.id))
        return
    if op.state is OpState.PREPARED:
        if now - op.created_at > PREPARED_FOR:
            db.transact(lambda session: _leave_to_person(session, op.id))
        else:
            _send(klarna, op)
        return
    window_open = op.post_allowed_until is not None and now < op.post_allowed_until
    if op.state is OpState.UNKNOWN and window_open and not op.refused_on_retry:
        _send(klarna, op)
        return
    look = reservations.look_at(klarna, op.order_id)
    db.transact(lambda session: _conclude(session, op.id, look, window_open))


def _send(klarna: Gateway, op: _Seen) -> None:
    """Look and send again with the same key; inside the window an unknown one goes ahead without a look (rules 3, 4)."""
    with klarna.slot() as free:
        if not free:
            return
        look: Look | None = None
        try:
            look = reservations.look_at(klarna, op.order_id, in_slot=True)
        except NotReached:
            if op.state is OpState.PREPARED:
                raise
        reservations.carry_out(klarna, op.id, look, JANITOR, clock.monotonic())
    db.transact(lambda session: _still_open(session, op.id))


def _still_open(session: Session, op_id: str) -> None:
    """Give an operation that could not be sent its next time, so that it is not asked about in a loop."""
    op = operations.lock(session, op_id)
    now = clock.now()
    if op.state is OpState.UNKNOWN and op.next_run_at is not None and op.next_run_at <= now:
        op.next_run_at = max(operations.next_ask(op, op.refused_on_retry), now + ASK_AGAIN)


def _lease_past(session: Session, op_id: str) -> None:
    """Rule 1: a sender that has not come back is not waited for."""
    op = operations.lock(session, op_id)
    if op.state is OpState.SENDING and op.lease_until is not None and op.lease_until <= clock.now():
        operations.to_unknown(session, op, JANITOR, None, run_at=clock.now())
        orders.refresh(session, op.order_id)


def _record_again(session: Session, op_id: str) -> None:
    """Rule 2: book from the recorded answer, without asking Klarna."""
    op = operations.lock(session, op_id)
    answer = operations.recorded_success(session, op)
    if op.state is not OpState.UNKNOWN or answer is None:
        return
    evidence = ("attempt", str(answer.attempt_id), "")
    operations.confirm(session, op, JANITOR, FOLLOW, answer.ended_at, evidence, answer.object_id)


def _leave_to_person(session: Session, op_id: str) -> None:
    """Rule 7: never sent silently later; it stands in the work list as not sent."""
    op = operations.lock(session, op_id)
    if op.state is OpState.PREPARED:
        operations.hold(session, op, JANITOR, op.hold_reason or "unreachable")


def _conclude(session: Session, op_id: str, look: Look, window_open: bool) -> None:
    """Rules 5 and 6: what a look that does not show our number lets us conclude, and what it does not."""
    op = operations.lock(session, op_id)
    now = clock.now()
    if op.state not in (OpState.UNKNOWN, OpState.REVIEW) or operations.contradicted(session, op, look, JANITOR, FOLLOW):
        _next(op, now + HOURLY if not window_open else now + operations.QUIET)
        return
    quiet = op.last_sent_at is not None and now - op.last_sent_at >= operations.QUIET
    if op.state is OpState.UNKNOWN and op.refused_on_retry and quiet and not FOLLOW.difference(session, op, look):
        evidence = ("look", look.at.isoformat(), look.evidence())
        operations.reject(session, op, JANITOR, FOLLOW, evidence)
    elif op.state is OpState.UNKNOWN and not window_open:
        evidence = ("look", look.at.isoformat(), look.evidence())
        operations.move(session, op, OpState.REVIEW, JANITOR, evidence=evidence, next_run_at=now + HOURLY)
    else:
        _next(op, now + (operations.QUIET if window_open else HOURLY))


def _next(op: KlarnaOp, at: datetime) -> None:
    if op.state in OPEN_OPS:
        op.next_run_at = at


def _postpone(op: _Seen, error: Exception | None = None) -> None:
    """After a round that came to nothing: by the schedule inside the window, hourly after it.

    What Klarna has done and our books do not take is counted; from the third time on it is an alarm (operations 6, T3x).
    """
    now = clock.now()
    window_open = op.post_allowed_until is not None and now < op.post_allowed_until
    wait = ASK_AGAIN if window_open or op.state is OpState.PREPARED else HOURLY

    def work(session: Session) -> int:
        found = operations.lock(session, op.id)
        if found.state is op.state and found.next_run_at is not None:
            found.next_run_at = now + wait
        if op.recorded:
            found.record_failures += 1
        return found.record_failures

    times = db.transact(work)
    if op.recorded and times >= ALARM_FROM:
        log.error("klarna.record_failed", op_id=op.id, times=times, cause=str(error))


def _unfilled(session: Session, now: datetime) -> Sequence[int]:
    """Orders with a confirmed act whose effect has not been read at Klarna yet, and were not looked at for a while.

    A capture or refund lacks Klarna's own number or time; an act on the reservation has changed what is left, or till when.
    """
    unnumbered = (
        _confirmed_of_late(now)
        .join(Document, Document.issued_by_op_id == KlarnaOp.id)
        .where(or_(KlarnaOp.klarna_object_id.is_(None), KlarnaOp.klarna_event_at.is_(None)))
    )
    unread = (
        _confirmed_of_late(now)
        .join(KlarnaOpEvent, KlarnaOpEvent.op_id == KlarnaOp.id)
        .where(
            KlarnaOp.kind.in_(OF_THE_RESERVATION),
            KlarnaOpEvent.to_state == OpState.CONFIRMED,
            KlarnaOpEvent.evidence_kind == "attempt",
            or_(Order.klarna_read_at.is_(None), Order.klarna_read_at < KlarnaOpEvent.at),
        )
    )
    return list(dict.fromkeys([*session.scalars(unnumbered), *session.scalars(unread)]))


def _confirmed_of_late(now: datetime) -> Select[int]:
    """Orders of the latest confirmed acts, by account that can be asked, which were not looked at for a while."""
    return (
        select(KlarnaOp.order_id)
        .join(Order, Order.id == KlarnaOp.order_id)
        .join(KlarnaAccount, KlarnaAccount.id == KlarnaOp.account_id)
        .where(
            KlarnaOp.state == OpState.CONFIRMED,
            KlarnaOp.created_at >= now - FILL_FOR,
            or_(Order.klarna_read_at.is_(None), Order.klarna_read_at < now - FILL_AGAIN),
            KlarnaAccount.active.is_(True),
            KlarnaAccount.breaker.is_distinct_from(CREDENTIALS),
        )
        .order_by(KlarnaOp.created_at.desc())
        .limit(FILLED_AT_ONCE)
    )


def _look_quietly(klarna: Gateway, order_id: int) -> None:
    try:
        reservations.look_at(klarna, order_id)
    except Refusal as error:
        log.info("janitor.look_failed", order_id=order_id, cause=str(error))
    except Exception:
        log.exception("janitor.look_failed", order_id=order_id)


def nightly(klarna: Gateway) -> int:
    """Rule 8: look at every order with an act in the last 30 days, an open claim, a reservation that lasts or a difference.

    What was extended, cancelled or released elsewhere, what has expired, and what differs no more is found that way. One
    order that goes wrong keeps no other from being looked at. Returns how many differ. What should have been paid out long ago
    becomes a difference, and is none any more when a payout has brought it.
    """
    db.transact(overdue.close_settled)
    while db.transact(overdue.open_some):
        pass
    with db.reading() as session:
        wanted = list(session.scalars(_to_look_at(clock.now())))
    return sum(_differs(klarna, order_id) for order_id in wanted)


def _to_look_at(now: datetime) -> Select[int]:
    recent = select(KlarnaOp.order_id).where(KlarnaOp.created_at >= now - LOOKED_BACK)
    claims = select(Document.order_id).where(Document.open_minor != 0, Document.state == DocState.ISSUED)
    differing = select(KlarnaBreak.order_id).where(
        KlarnaBreak.state == BreakState.OPEN, KlarnaBreak.order_id.is_not(None)
    )
    lasting = (Order.state == OrderState.OPEN) & or_(
        Order.klarna_status.is_(None), Order.klarna_status.in_(changes.LASTING)
    )
    found = or_(Order.id.in_(recent), Order.id.in_(claims), Order.id.in_(differing), lasting)
    return select(Order.id).where(Order.klarna_order_id.is_not(None), found).order_by(Order.id)


def _differs(klarna: Gateway, order_id: int) -> int:
    try:
        look = reservations.look_at(klarna, order_id)
        return db.transact(lambda session: _compare(session, order_id, look))
    except Refusal as error:
        log.info("nightly.look_failed", order_id=order_id, cause=str(error))
    except Exception:
        log.exception("nightly.failed", order_id=order_id)
    return 0


def _compare(session: Session, order_id: int, look: Look) -> int:
    order = orders.get(session, order_id, lock=True)
    drift.missing(session, order, look)
    return int(bool(breaks.open_of(session, order_id)) or drift.difference(session, order_id, look) != 0)
