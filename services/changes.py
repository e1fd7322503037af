"""What changed at Klarna without us, besides captures and refunds: sums, the reservation, its day of expiry, its status.

Amounts are minor units. Called with a look under the order's lock. Source: operations 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.orm import Session

from models import KlarnaBreak, KlarnaOp, KlarnaOpEvent, Order
from services import breaks, orders
from services.looks import CLOCK_SLACK, Look
from services.outcomes import QUIET
from states import OPEN_OPS, BreakKind, BreakState, KlarnaStatus, OpKind, OpState, OrderState, Origin

LASTING = (KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED)
CANCELLED, EXPIRED, RELEASED = "CANCELLED", "EXPIRED", "RELEASED"
"""Ends of a reservation that an open order does not know of."""
AUTHORISED = "authorised:"
"""How a difference begins that speaks of the reserved amount, and not of what is activated and credited."""


def before_keeping(session: Session, order: Order, look: Look) -> None:
    """Compare a look with the one before it: a reserved amount or a day of expiry that moved without an act of ours."""
    if order.klarna_read_at is None:
        return
    if order.authorized_minor not in (None, look.order_amount) and not _by_us(session, order, look, OpKind.UPDATE_AUTH):
        breaks.open_break(
            session,
            order,
            BreakKind.TOTALS_DIFFER,
            expected=f"{AUTHORISED}{order.authorized_minor}",
            found=f"{AUTHORISED}{look.order_amount}",
            difference_minor=look.order_amount - (order.authorized_minor or 0),
        )
    if _lasts(look) and order.expires_at is not None and look.expires_at is not None:
        apart = abs(look.expires_at - order.expires_at) >= timedelta(seconds=1)
        if apart and not _by_us(session, order, look, OpKind.EXTEND_AUTH, OpKind.CAPTURE):
            _expiry_moved(session, order, order.expires_at, look.expires_at)


def _by_us(session: Session, order: Order, look: Look, *kinds: OpKind) -> bool:
    """Whether an act of ours of these kinds is open, or has happened since the look before this one."""
    acted = func.coalesce(KlarnaOp.last_sent_at, KlarnaOp.created_at) >= (order.klarna_read_at or look.at) - CLOCK_SLACK
    query = select(KlarnaOp.id).where(
        KlarnaOp.order_id == order.id,
        KlarnaOp.kind.in_(kinds),
        KlarnaOp.origin == Origin.APP,
        or_(KlarnaOp.state.in_(OPEN_OPS), and_(KlarnaOp.state == OpState.CONFIRMED, acted)),
    )
    return session.scalar(query.limit(1)) is not None


def _lasts(look: Look) -> bool:
    return look.status in LASTING and look.expires_at is not None and look.expires_at > look.at


def _expiry_moved(session: Session, order: Order, old: datetime, new: datetime) -> None:
    """One open difference tells of all moves since somebody last looked at it; back where it was, it is gone."""
    expected = old.isoformat()
    for earlier in breaks.open_of(session, order.id, BreakKind.ADDRESS_OR_EXPIRY):
        expected = earlier.expected
        breaks.gone(session, earlier)
    if new.isoformat() != expected:
        breaks.open_break(
            session, order, BreakKind.ADDRESS_OR_EXPIRY, expected=expected, found=new.isoformat(), difference_minor=0
        )


def after_keeping(session: Session, order: Order, look: Look) -> None:
    """Compare what a look shows with what we have: the reservation's end, sums, and differences that are no more."""
    known = breaks.of_order(session, order.id)
    breaks.gone(session, *_open(known, BreakKind.WRONG_OWNER))
    _found_again(session, known, look)
    _status(session, order, known, look)
    _totals(session, order, known, look)


def _open(known: Sequence[KlarnaBreak], kind: BreakKind) -> list[KlarnaBreak]:
    return [each for each in known if each.kind is kind and each.state is BreakState.OPEN]


def _found_again(session: Session, known: Sequence[KlarnaBreak], look: Look) -> None:
    """Close what was missing and is shown again."""
    shown = {each.object_id for kind in (OpKind.CAPTURE, OpKind.REFUND) for each in look.objects(kind)}
    for each in _open(known, BreakKind.OBJECT_MISSING):
        if each.expected in shown:
            breaks.gone(session, each)


def _ended(session: Session, order: Order, look: Look) -> str | None:
    """How the reservation of an open order ended without us; None when it has not."""
    if order.state is not OrderState.OPEN or order.invoiced == "all":
        return None
    if look.status is KlarnaStatus.EXPIRED or (look.remaining > 0 and not _lasts(look) and look.status in LASTING):
        return EXPIRED
    released = look.remaining == 0 and look.captured < look.order_amount
    if look.status is not KlarnaStatus.CANCELLED and not released:
        return None
    ours = select(KlarnaOp.id).where(
        KlarnaOp.order_id == order.id,
        KlarnaOp.kind.in_((OpKind.CANCEL, OpKind.RELEASE)),
        KlarnaOp.state.in_((*OPEN_OPS, OpState.CONFIRMED)),
    )
    if session.scalar(ours.limit(1)) is not None:
        return None
    return CANCELLED if look.status is KlarnaStatus.CANCELLED else RELEASED


def _status(session: Session, order: Order, known: Sequence[KlarnaBreak], look: Look) -> None:
    """One difference per end: what a person has taken note of is not told again while it stays so."""
    ended = _ended(session, order, look)
    last = next((each for each in reversed(known) if each.kind is BreakKind.STATUS_DIFFERS), None)
    if last is not None and last.found == ended and last.resolution != breaks.GONE:
        return
    breaks.gone(session, *_open(known, BreakKind.STATUS_DIFFERS))
    if ended is not None:
        breaks.open_break(session, order, BreakKind.STATUS_DIFFERS, expected=order.state, found=ended)


def _totals(session: Session, order: Order, known: Sequence[KlarnaBreak], look: Look) -> None:
    """Whether Klarna's sums are those of the acts we know; judged only when nothing of ours is fresh, since reads may lag."""
    if _unquiet(session, order, look):
        return
    apart = sums_apart(session, order.id, look.captured, look.refunded)
    told = [each for each in _open(known, BreakKind.TOTALS_DIFFER) if AUTHORISED not in each.found]
    found = f"{look.captured},{look.refunded}"
    breaks.gone(session, *(each for each in told if apart == (0, 0) or each.found != found))
    if apart == (0, 0) or apart in explained(session, order.id):
        return
    captured, refunded = orders.moved(session, order.id)
    breaks.open_break(
        session,
        order,
        BreakKind.TOTALS_DIFFER,
        expected=f"{captured},{refunded}",
        found=found,
        difference_minor=apart[0] or apart[1],
    )


def _unquiet(session: Session, order: Order, look: Look) -> bool:
    """Whether an act of ours is open, or something happened to one so lately that this look may not show it yet."""
    query = (
        select(KlarnaOp.id)
        .join(KlarnaOpEvent, KlarnaOpEvent.op_id == KlarnaOp.id)
        .where(
            KlarnaOp.order_id == order.id,
            KlarnaOp.origin == Origin.APP,
            or_(KlarnaOp.state.in_(OPEN_OPS), KlarnaOpEvent.at > look.at - QUIET),
        )
    )
    return session.scalar(query.limit(1)) is not None


def sums_apart(session: Session, order_id: int, captured: int, refunded: int) -> tuple[int, int]:
    """Klarna's sums less those of every act we know of, settled or not: activated and credited."""
    ours = orders.moved(session, order_id)
    return captured - ours[0], refunded - ours[1]


_EXPLAINED = select(KlarnaBreak.expected, KlarnaBreak.found).where(
    KlarnaBreak.order_id == bindparam("order_id"),
    KlarnaBreak.kind == BreakKind.TOTALS_DIFFER,
    KlarnaBreak.state == BreakState.CLOSED,
    KlarnaBreak.resolution == breaks.EXPLAIN,
)
"""Put together once, for it is asked with every key that is typed into a draft (performance, goal 11)."""


def explained(session: Session, order_id: int) -> set[tuple[int, int]]:
    """The distances between the sums that somebody has explained."""
    rows = session.execute(_EXPLAINED, {"order_id": order_id}).all()
    pairs = [(pair_of(expected), pair_of(found)) for expected, found in rows]
    return {(theirs[0] - ours[0], theirs[1] - ours[1]) for ours, theirs in pairs if ours and theirs}


def pair_of(text: str) -> tuple[int, int] | None:
    """Activated and credited as a difference keeps them; None for one that speaks of something else."""
    first, comma, second = text.partition(",")
    return (int(first), int(second)) if comma and first.isdigit() and second.isdigit() else None
