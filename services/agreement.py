"""Whether Kvitta and Klarna agree on an order, in words, and what fits each difference. Pure reading.

Amounts are minor units. Source: operations 11 and 13; screens, "Orders"; K31.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_
from models import Document, KlarnaBreak, KlarnaOp, Order, Voucher
from money import Amount
from services import breaks, changes, documents, orders, settling
from states import BreakKind, BreakState, DocKind, DocState, OpKind

NOTE = "note"
"""Adopting what is only taken note of, since there is nothing to book."""
MOST = 100
"""Differences that a page of the report shows."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A sentence about Kvitta and Klarna not agreeing, and what fits it: a message id, its values, acts on ``break_id``."""

    message: str
    values: Mapping[str, Any]
    break_id: int | None = None
    acts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A difference of the report: what, where, since when, and how it was settled."""

    id: int
    kind: BreakKind
    order_id: int | None
    order_number: int | None
    payout_id: int | None
    difference: Difference
    opened_at: datetime
    resolution: str | None
    reason: str | None
    closed_by: str | None
    closed_at: datetime | None
    document: tuple[DocKind, int, str] | None
    voucher: tuple[int, str] | None
    until: date | None


def read_before(session: Session, order_id: int, moment: datetime) -> bool:
    """Whether what Klarna showed of an order is older than that, or was never read: its page then asks anew.

    False for an order without a reservation. Raises NotFound.
    """
    order = orders.get(session, order_id)
    return order.klarna_order_id is not None and (order.klarna_read_at is None or order.klarna_read_at < moment)


def differences(session: Session, order: Order) -> list[Difference]:
    """What differs between us and Klarna, as sentences: open differences first, then sums that none of them speaks of."""
    standing = breaks.open_of(session, order.id)
    late = [told(session, each) for each in standing if each.kind is BreakKind.UNPAID_TOO_LONG]
    found = [told(session, each) for each in standing if each.kind is not BreakKind.UNPAID_TOO_LONG]
    if order.klarna_read_at is None or found:
        return found + late
    apart = changes.sums_apart(session, order.id, order.captured_minor or 0, order.refunded_minor or 0)
    captured, refunded = orders.moved(session, order.id)
    if apart not in changes.explained(session, order.id):
        if apart[0]:
            found.append(_sums(N_("Activated: Klarna shows %(klarna)s, Kvitta %(kvitta)s."), order, captured, apart[0]))
        if apart[1]:
            found.append(_sums(N_("Credited: Klarna shows %(klarna)s, Kvitta %(kvitta)s."), order, refunded, apart[1]))
    # Money that is late says nothing of the sums.
    return (found or _booked_beside(session, order)) + late


def _sums(message: str, order: Order, ours: int, apart: int) -> Difference:
    return Difference(message, {"klarna": Amount(ours + apart, order.currency), "kvitta": Amount(ours, order.currency)})


_BOOKED = (
    sa.select(Document.kind, sa.func.sum(Document.gross_minor))
    .where(
        Document.order_id == sa.bindparam("order_id"),
        Document.state == DocState.ISSUED,
        Document.reversed_at.is_(None),
    )
    .group_by(Document.kind)
)
_BESIDE = (
    sa.select(KlarnaOp.kind, sa.func.sum(KlarnaOp.amount_minor))
    .join(KlarnaBreak, KlarnaBreak.op_id == KlarnaOp.id)
    .where(
        KlarnaOp.order_id == sa.bindparam("order_id"),
        KlarnaOp.document_id.is_(None),
        KlarnaBreak.resolution.in_((breaks.EXPLAIN, breaks.IGNORE)),
    )
    .group_by(KlarnaOp.kind)
)


def _booked_beside(session: Session, order: Order) -> list[Difference]:
    """Whether our issued documents come to what Klarna has (K29, K30); what a voucher stands for is not expected here."""
    sums = session.execute(_BOOKED, {"order_id": order.id})
    booked = sum((1 if kind is DocKind.INVOICE else -1) * int(gross or 0) for kind, gross in sums)
    captured, refunded = orders.moved(session, order.id)
    settled = session.execute(_BESIDE, {"order_id": order.id})
    beside = sum((1 if kind is OpKind.CAPTURE else -1) * int(amount or 0) for kind, amount in settled)
    apart = booked + beside - (captured - refunded)
    if not apart:
        return []
    message = N_("Booked %(amount)s higher than at Klarna.")
    if apart < 0:
        message = N_("Booked %(amount)s lower than at Klarna.")
    return [Difference(message, {"amount": Amount(abs(apart), order.currency)})]


def told(session: Session, found: KlarnaBreak) -> Difference:
    """The sentence of a difference, with what fits it."""
    message, values = _sentence(session, found)
    fitting = settling.acts_of(session, found)
    if found.kind in settling.STANDING:
        fitting = [NOTE if act == breaks.ADOPT else act for act in fitting]
    return Difference(message, values, found.id, tuple(fitting))


def _sentence(session: Session, found: KlarnaBreak) -> tuple[str, dict[str, Any]]:
    operation = session.get(KlarnaOp, found.op_id) if found.op_id else None
    amount = Amount(abs(found.difference_minor), found.currency)
    if operation is not None and operation.amount_minor is not None:
        amount = Amount(operation.amount_minor, found.currency)
    day = clock.local_date((operation.klarna_event_at if operation else None) or found.opened_at)
    refund = found.kind is BreakKind.REFUND_UNKNOWN or (operation is not None and operation.kind is OpKind.REFUND)
    if found.kind in settling.UNKNOWN_ACTS:
        message = N_("Activated outside Kvitta %(day)s: %(amount)s. What does it belong to?")
        if refund:
            message = N_("Credited outside Kvitta %(day)s: %(amount)s. What does it belong to?")
        return message, {"day": day, "amount": amount}
    if found.kind is BreakKind.DUPLICATE_NUMBER and operation is not None and operation.reference:
        message = N_("Number %(number)s stands on another activation at Klarna, of %(amount)s on %(day)s.")
        if refund:
            message = N_("Number %(number)s stands on another credit at Klarna, of %(amount)s on %(day)s.")
        return message, {"number": operation.reference, "day": day, "amount": amount}
    if found.kind is BreakKind.OBJECT_MISSING and operation is not None:
        message = N_("Klarna does not show the activation of %(amount)s that Kvitta has booked.")
        if refund:
            message = N_("Klarna does not show the credit of %(amount)s that Kvitta has booked.")
        return message, {"amount": amount}
    if found.kind is BreakKind.WRONG_OWNER and found.expected and found.expected != found.found:
        return N_("Klarna shows the purchase in %(found)s; here it is in %(expected)s."), {
            "found": found.found,
            "expected": found.expected,
        }
    known = _late(session, found, amount) or _standing(found) or _totals(found)
    if known is not None:
        return known
    if found.difference_minor:
        return N_("%(kind)s: %(amount)s."), {"kind": found.kind, "amount": amount}
    return N_("%(kind)s."), {"kind": found.kind}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What stands beside a document because something was done outside Kvitta, or not at all: differences, and whose place it
    takes. ``late`` says that Klarna has not paid it out.

    ``replaces`` and ``replaced_by`` are kind, id and number of the void or refused document and of the one that stands for it.
    """

    differences: Sequence[Difference]
    late: Sequence[Difference]
    replaces: tuple[DocKind, int, str] | None
    replaced_by: tuple[DocKind, int, str] | None


def elsewhere(session: Session, document_id: int) -> Elsewhere:
    """What is to be said on a document's page: refunds on an invoice's order that nobody has settled (K31), stand-ins."""
    document = documents.get(session, document_id)
    found: list[KlarnaBreak] = []
    if document.kind is DocKind.INVOICE and document.order_id is not None:
        found = breaks.open_of(session, document.order_id, BreakKind.REFUND_UNKNOWN)
    late: list[KlarnaBreak] = []
    if document.order_id is not None:
        late = breaks.open_of(session, document.order_id, BreakKind.UNPAID_TOO_LONG)
    instead = None
    if document.state in (DocState.VOID, DocState.REFUSED):
        instead = session.scalar(sa.select(Document).where(Document.replaces_id == document.id).limit(1))
    unpaid = [told(session, each) for each in late if each.document_id == document.id]
    return Elsewhere([told(session, each) for each in found], unpaid, _named(document.replaces), _named(instead))


def _named(document: Document | None) -> tuple[DocKind, int, str] | None:
    return (document.kind, document.id, document.number_text or "") if document is not None else None


_ENDED = {
    changes.CANCELLED: N_("The purchase was cancelled at Klarna, outside Kvitta."),
    changes.EXPIRED: N_("The reservation has expired at Klarna with something left of it."),
    changes.RELEASED: N_("What was left of the reservation was released at Klarna, outside Kvitta."),
}


def _late(session: Session, found: KlarnaBreak, amount: Amount) -> tuple[str, dict[str, Any]] | None:
    if found.kind is not BreakKind.UNPAID_TOO_LONG or found.document_id is None:
        return None
    document = session.get_one(Document, found.document_id)
    message = N_("Invoice %(number)s was activated on %(day)s, and no payout has brought its %(amount)s.")
    if document.kind is DocKind.CREDIT_NOTE:
        message = N_("Credit note %(number)s was refunded on %(day)s, and no payout has taken up its %(amount)s.")
    return message, {"number": document.number_text or "", "day": date.fromisoformat(found.expected), "amount": amount}


def _standing(found: KlarnaBreak) -> tuple[str, dict[str, Any]] | None:
    if found.kind is BreakKind.STATUS_DIFFERS and found.found in _ENDED:
        return _ENDED[found.found], {}
    if found.kind is BreakKind.ADDRESS_OR_EXPIRY:
        try:
            before, now = datetime.fromisoformat(found.expected), datetime.fromisoformat(found.found)
        except ValueError:
            return None
        return N_("The reservation expires on %(now)s now, not on %(before)s; that was changed outside Kvitta."), {
            "now": clock.local_date(now),
            "before": clock.local_date(before),
        }
    return None


def _totals(found: KlarnaBreak) -> tuple[str, dict[str, Any]] | None:
    if found.kind is not BreakKind.TOTALS_DIFFER:
        return None
    if found.found.startswith(changes.AUTHORISED):
        before, now = (each.removeprefix(changes.AUTHORISED) for each in (found.expected, found.found))
        return N_("The reserved amount was changed outside Kvitta, from %(before)s to %(now)s."), {
            "before": Amount(int(before), found.currency),
            "now": Amount(int(now), found.currency),
        }
    theirs, ours = changes.pair_of(found.found), changes.pair_of(found.expected)
    if theirs is None or ours is None:
        return None
    which = 0 if theirs[0] != ours[0] else 1
    message = N_("Activated: Klarna shows %(klarna)s, Kvitta %(kvitta)s.")
    if which:
        message = N_("Credited: Klarna shows %(klarna)s, Kvitta %(kvitta)s.")
    return message, {
        "klarna": Amount(theirs[which], found.currency),
        "kvitta": Amount(ours[which], found.currency),
    }


# --- The report ------------------------------------------------------------------------------------------------------------

VIEWS = ("open", breaks.ADOPT, breaks.EXPLAIN, breaks.IGNORE, breaks.GONE)


def _wanted(view: str) -> sa.ColumnElement[bool]:
    return KlarnaBreak.state == BreakState.OPEN if view == "open" else KlarnaBreak.resolution == view


def counts(session: Session) -> dict[str, int]:
    """How many differences are open, and how many were settled in each way."""
    rows = session.execute(sa.select(KlarnaBreak.resolution, sa.func.count()).group_by(KlarnaBreak.resolution))
    found: dict[str, int] = {resolution or "open": count for resolution, count in rows}
    return {view: found.get(view, 0) for view in VIEWS}


def report(session: Session, view: str, after: int | None = None) -> tuple[list[Told], int | None]:
    """Differences of one kind of end, newest first, and the mark of the next page (operations 13)."""
    query = (
        sa.select(KlarnaBreak, Order.number, Document.kind, Document.number_text, Voucher.series, Voucher.number)
        .outerjoin(Order, Order.id == KlarnaBreak.order_id)
        .outerjoin(Document, Document.id == KlarnaBreak.document_id)
        .outerjoin(Voucher, Voucher.id == KlarnaBreak.voucher_id)
        .where(_wanted(view))
        .order_by(KlarnaBreak.id.desc())
        .limit(MOST + 1)
    )
    if after is not None:
        query = query.where(KlarnaBreak.id < after)
    rows = session.execute(query).all()
    shown = [
        Told(
            id=each.id,
            kind=each.kind,
            order_id=each.order_id,
            order_number=number,
            payout_id=each.payout_id,
            difference=told(session, each),
            opened_at=each.opened_at,
            resolution=each.resolution,
            reason=each.reason,
            closed_by=each.closed_by,
            closed_at=each.closed_at,
            document=(kind, each.document_id, text) if each.document_id is not None and text else None,
            voucher=(each.voucher_id, f"{series}{no}") if each.voucher_id is not None else None,
            until=date.fromisoformat(each.found) if each.kind in settling.UNTIL and each.found else None,
        )
        for each, number, kind, text, series, no in rows[:MOST]
    ]
    return shown, shown[-1].id if len(rows) > MOST else None
