"""Ours against Klarna's: what a look shows is kept, what we did not make is recorded at once, differences are counted.

Amounts are minor units. Source: operations 5, 6 and 13; K31, K32; B20.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from errors import N_, Refusal
from models import Document, KlarnaBreak, KlarnaOp, Order
from money import Amount
from rights import SYSTEM, Actor
from services import audit, changes, holds, op_log
from services.breaks import ADOPT, close, open_break
from services.looks import Found, Look, with_number
from states import LIVE_OPS, BreakKind, BreakState, DocKind, DocState, OpKind, OpState, Origin

OBJECTS = (OpKind.CAPTURE, OpKind.REFUND)
_OF_ORDER = select(KlarnaOp).where(KlarnaOp.order_id == bindparam("order_id"), KlarnaOp.kind.in_(OBJECTS))
UNKNOWN_BREAK = {OpKind.CAPTURE: BreakKind.CAPTURE_UNKNOWN, OpKind.REFUND: BreakKind.REFUND_UNKNOWN}


@dataclass(frozen=True, slots=True)
class Held:
    """Live operations of an order: what holds or has used the money, and what was captured for sure."""

    captured: int
    refunded: int
    captured_for_sure: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Our totals: confirmed, and made elsewhere and settled."""

    captured: int
    refunded: int


class Differs(Refusal):
    """Klarna's totals are not ours; the form comes back with both, and the difference can be ticked (operations 6)."""

    def __init__(self, look: Look, ours: Totals, difference: int) -> None:
        currency = look.currency
        if look.refunded != ours.refunded:
            message = N_("Not sent: Klarna shows %(theirs)s credited, Kvitta %(ours)s. Settle the difference first.")
            theirs, own = look.refunded, ours.refunded
        else:
            message = N_("Not sent: Klarna shows %(theirs)s activated, Kvitta %(ours)s. Settle the difference first.")
            theirs, own = look.captured, ours.captured
        super().__init__(message, theirs=Amount(theirs, currency), ours=Amount(own, currency))
        self.difference_minor = difference


_HELD = (
    select(KlarnaOp.kind, KlarnaOp.state, func.sum(KlarnaOp.amount_minor))
    .where(KlarnaOp.order_id == bindparam("order_id"), KlarnaOp.state.in_(LIVE_OPS))
    .group_by(KlarnaOp.kind, KlarnaOp.state)
)


def held(session: Session, order_id: int) -> Held:
    """What live operations hold of an order, counting open ones as if they had succeeded (operations 5)."""
    rows = session.execute(_HELD, {"order_id": order_id})
    sums = {(kind, state): int(amount or 0) for kind, state, amount in rows}
    return Held(
        captured=sum(amount for (kind, _), amount in sums.items() if kind is OpKind.CAPTURE),
        refunded=sum(amount for (kind, _), amount in sums.items() if kind is OpKind.REFUND),
        captured_for_sure=sum(sums.get((OpKind.CAPTURE, state), 0) for state in (OpState.CONFIRMED, OpState.EXTERNAL)),
    )


_OPEN_BREAKS = select(KlarnaBreak.op_id).where(
    KlarnaBreak.order_id == bindparam("order_id"),
    KlarnaBreak.state == BreakState.OPEN,
    KlarnaBreak.op_id.is_not(None),
)
_SETTLED = (
    select(KlarnaOp.kind, func.sum(KlarnaOp.amount_minor))
    .where(
        KlarnaOp.order_id == bindparam("order_id"),
        (KlarnaOp.state == OpState.CONFIRMED)
        | ((KlarnaOp.state == OpState.EXTERNAL) & KlarnaOp.id.not_in(_OPEN_BREAKS)),
    )
    .group_by(KlarnaOp.kind)
)
"""Put together once, for it is asked with every key that is typed into a draft (performance, goal 11)."""


def ours(session: Session, order_id: int) -> Totals:
    """Our totals: CONFIRMED, and EXTERNAL without an open break."""
    rows = session.execute(_SETTLED, {"order_id": order_id})
    sums = {kind: int(amount or 0) for kind, amount in rows}
    return Totals(sums.get(OpKind.CAPTURE, 0), sums.get(OpKind.REFUND, 0))


def difference(session: Session, order_id: int, look: Look, own: Totals | None = None) -> int:
    """How far the totals are apart, captured and refunded together; 0 means they agree, or that it has been explained."""
    return _apart(session, order_id, look.captured, look.refunded, own or ours(session, order_id))


def _apart(session: Session, order_id: int, captured: int, refunded: int, own: Totals) -> int:
    pairs = {(0, 0)} | changes.explained(session, order_id)
    return min(abs(captured - own.captured - c) + abs(refunded - own.refunded - r) for c, r in pairs)


def shown(session: Session, order: Order) -> tuple[Refusal | None, int]:
    """The difference by what Klarna last showed, as the page says it before anything is sent, and its size in minor units."""
    own = ours(session, order.id)
    if order.klarna_read_at is None:
        return None, 0
    captured, refunded = order.captured_minor or 0, order.refunded_minor or 0
    size = _apart(session, order.id, captured, refunded, own)
    if not size:
        return None, 0
    if refunded != own.refunded:
        message = N_("Klarna shows %(theirs)s credited, Kvitta %(ours)s.")
        pair = refunded, own.refunded
    else:
        message = N_("Klarna shows %(theirs)s activated, Kvitta %(ours)s.")
        pair = captured, own.captured
    return Refusal(message, theirs=Amount(pair[0], order.currency), ours=Amount(pair[1], order.currency)), size


def refunded_outside(session: Session, order: Order) -> int:
    """What Klarna last showed as credited beyond what was credited here, minor units (K32)."""
    return max((order.refunded_minor or 0) - ours(session, order.id).refunded, 0)


def require_same_currency(order: Order, look: Look) -> None:
    """Refuse to send on a purchase that Klarna shows in another currency than the order's: the figures mean other money."""
    if look.currency != order.currency:
        raise Refusal(
            N_("The purchase is in %(theirs)s at Klarna and in %(ours)s here. Nothing has been sent."),
            theirs=look.currency,
            ours=order.currency,
        )


def keep_look(session: Session, order: Order, look: Look) -> bool:
    """Store what Klarna showed, fill in its ids and numbers for ours, and record what was made elsewhere: True if any was."""
    if order.klarna_read_at is not None and (look.at < order.klarna_read_at or _is_kept(order, look)):
        return False
    if look.order_id != order.klarna_order_id or look.currency != order.currency:
        open_break(session, order, BreakKind.WRONG_OWNER, expected=order.currency, found=look.currency)
        return False
    holds.note(session, order, look.fraud_status)
    changes.before_keeping(session, order, look)
    order.klarna_status = look.status
    order.fraud_status = look.fraud_status
    order.klarna_method = look.method
    order.klarna_reference = look.reference or order.klarna_reference
    order.authorized_minor = look.order_amount
    order.captured_minor = look.captured
    order.refunded_minor = look.refunded
    order.remaining_minor = look.remaining
    order.expires_at = look.expires_at
    order.klarna_read_at = look.at
    ours = list(session.scalars(_OF_ORDER, {"order_id": order.id}))
    recorded = [
        _compare_objects(session, order, look, kind, [op for op in ours if op.kind is kind]) for kind in OBJECTS
    ]
    session.flush()
    changes.after_keeping(session, order, look)
    return any(recorded)


def _is_kept(order: Order, look: Look) -> bool:
    """Whether this very look is what the order holds: it is kept before a number is taken, and asked again at the send."""
    held = (
        order.klarna_order_id,
        order.klarna_read_at,
        order.klarna_status,
        order.fraud_status,
        order.authorized_minor,
    )
    sums = (order.currency, order.captured_minor, order.refunded_minor, order.remaining_minor, order.expires_at)
    return held == (look.order_id, look.at, look.status, look.fraud_status, look.order_amount) and sums == (
        look.currency, look.captured, look.refunded, look.remaining, look.expires_at,
    )  # fmt: skip


def _compare_objects(session: Session, order: Order, look: Look, kind: OpKind, known: list[KlarnaOp]) -> bool:
    """Fill in Klarna's ids for the acts that are known and record the rest as made elsewhere; True if there is any."""
    by_id = {op.klarna_object_id: op for op in known if op.klarna_object_id is not None}
    nameless = [op for op in known if op.state is OpState.EXTERNAL and op.klarna_object_id is None]
    recorded = False
    for found in look.objects(kind):
        op = by_id.get(found.object_id) if found.object_id is not None else None
        if op is None:
            op = _waiting_for(known, found) or _seen_before(nameless, found)
            if op is None:
                if not _ours_to_come(known, found):
                    _external(session, order, look, kind, found, known)
                    recorded = True
                continue
        _fill(op, found)
    return recorded


def _waiting_for(known: list[KlarnaOp], found: Found) -> KlarnaOp | None:
    """Our confirmed operation whose answer carried no id, or whose object Klarna shows under our number."""
    for op in known:
        same = op.reference is not None and op.reference == found.reference and op.amount_minor == found.amount_minor
        if op.state is OpState.CONFIRMED and op.klarna_object_id is None and same:
            return op
    return None


def _seen_before(nameless: list[KlarnaOp], found: Found) -> KlarnaOp | None:
    """The record of an object that Klarna showed without an id; each stands for one object of a look."""
    for op in nameless:
        same = (op.reference, op.amount_minor) == (found.reference, found.amount_minor)
        if same and _millisecond(op.klarna_event_at) == _millisecond(found.at):
            nameless.remove(op)
            return op
    return None


def _millisecond(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def _ours_to_come(known: list[KlarnaOp], found: Found) -> bool:
    """Whether the object is the effect of an operation of ours that is still open: its proof is taken up elsewhere."""
    from_open = [op for op in known if op.state in LIVE_OPS and op.state not in (OpState.CONFIRMED, OpState.EXTERNAL)]
    return any(
        op.reference is not None and op.reference == found.reference and op.amount_minor == found.amount_minor
        for op in from_open
    )


def _fill(op: KlarnaOp, found: Found) -> None:
    """Klarna's id, number and time for an operation that lacks them (each is set once)."""
    if op.klarna_object_id is None:
        op.klarna_object_id = found.object_id
    if op.klarna_short_ref is None:
        op.klarna_short_ref = found.short_ref
    if op.klarna_event_at is None:
        op.klarna_event_at = found.at


def _external(session: Session, order: Order, look: Look, kind: OpKind, found: Found, known: list[KlarnaOp]) -> None:
    """Record an object we did not make: it counts against the limits from now on, and a person says what it is."""
    twin = any(op.state in LIVE_OPS and op.reference is not None and op.reference == found.reference for op in known)
    op = op_log.external(
        session, SYSTEM, order, kind, Origin.DRIFT, amount_minor=found.amount_minor, currency=look.currency,
        reference=found.reference, object_id=found.object_id, short_ref=found.short_ref, happened_at=found.at,
        evidence=("look", found.object_id or "", look.evidence()),
    )  # fmt: skip
    open_break(
        session,
        order,
        BreakKind.DUPLICATE_NUMBER if twin else UNKNOWN_BREAK[kind],
        op=op,
        found=found.object_id or "",
        difference_minor=found.amount_minor,
    )


def missing(session: Session, order: Order, look: Look) -> None:
    """Open a break for each confirmed act of ours that Klarna does not show; only the nightly look concludes from absence."""
    shown = {found.object_id for kind in OBJECTS for found in look.objects(kind)}
    confirmed = select(KlarnaOp).where(
        KlarnaOp.order_id == order.id, KlarnaOp.state == OpState.CONFIRMED, KlarnaOp.kind.in_(OBJECTS)
    )
    for op in session.scalars(confirmed):
        if op.klarna_object_id is not None and op.klarna_object_id not in shown:
            if not with_number(look, op.kind, op.reference):
                open_break(
                    session,
                    order,
                    BreakKind.OBJECT_MISSING,
                    op=op,
                    expected=op.klarna_object_id,
                    found="",
                    difference_minor=op.amount_minor or 0,
                )


def unbooked(
    session: Session, order_id: int, kind: OpKind, amount_minor: int, document_id: int | None = None
) -> KlarnaOp | None:
    """An object made elsewhere, of this amount, that no document stands for yet; the oldest first (K20).

    One that bears the number of another document which waits for its proof or a decision is that document's.
    """
    waiting = select(Document.number_text).where(
        Document.order_id == order_id,
        Document.state.in_((DocState.PENDING, DocState.REFUSED)),
        Document.id != (document_id or 0),
    )
    return session.scalar(
        select(KlarnaOp)
        .where(
            KlarnaOp.order_id == order_id,
            KlarnaOp.kind == kind,
            KlarnaOp.state == OpState.EXTERNAL,
            KlarnaOp.document_id.is_(None),
            KlarnaOp.amount_minor == amount_minor,
            KlarnaOp.reference.is_(None) | KlarnaOp.reference.not_in(waiting),
        )
        .order_by(KlarnaOp.created_at, KlarnaOp.id)
        .limit(1)
    )


def under_our_number(session: Session, document: Document) -> KlarnaOp | None:
    """An object at Klarna that bears a refused document's number and sum: the act has happened after all (fault row 58)."""
    kind = OpKind.CAPTURE if document.kind is DocKind.INVOICE else OpKind.REFUND
    return session.scalar(
        select(KlarnaOp)
        .where(
            KlarnaOp.order_id == document.order_id,
            KlarnaOp.kind == kind,
            KlarnaOp.state == OpState.EXTERNAL,
            KlarnaOp.document_id.is_(None),
            KlarnaOp.reference == document.number_text,
            KlarnaOp.amount_minor == document.gross_minor,
        )
        .limit(1)
    )


def proved_by(session: Session, external: KlarnaOp) -> Document | None:
    """The refused document whose number and sum an object made elsewhere bears: it is that document's act."""
    return session.scalar(
        select(Document).where(
            Document.order_id == external.order_id,
            Document.kind == (DocKind.INVOICE if external.kind is OpKind.CAPTURE else DocKind.CREDIT_NOTE),
            Document.state == DocState.REFUSED,
            Document.number_text == external.reference,
            Document.gross_minor == external.amount_minor,
        )
    )


def tie(session: Session, actor: Actor, external: KlarnaOp, document: Document) -> None:
    """Let a document stand for an object made elsewhere, and close its break as adopted (operations 13)."""
    external.document_id = document.id
    told = KlarnaBreak.op_id == external.id
    if external.klarna_object_id is not None:
        told |= (KlarnaBreak.order_id == external.order_id) & (KlarnaBreak.found == external.klarna_object_id)
    for found in session.scalars(select(KlarnaBreak).where(KlarnaBreak.state == BreakState.OPEN, told)).all():
        close(session, actor, found, ADOPT, document.number_text or "", document.id)
    session.flush()
    audit.write(session, actor, "klarna.adopted", f"document:{document.id}", {"op": external.id})
