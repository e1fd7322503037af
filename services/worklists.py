"""What needs a human today: work lists with capped counts and their oldest rows, and what Klarna owes. Pure reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import (
    ApprovalRequest,
    Delivery,
    DeliveryLine,
    Document,
    DocumentLine,
    KlarnaAccount,
    KlarnaBreak,
    KlarnaOp,
    Order,
    OrderLine,
    Outbox,
    PaymentMethod,
    Push,
)
from services import outbox_list, owed, pushes, to_invoice
from services.settlement_report import Written, written
from states import BreakKind, BreakState, DocKind, DocState, DocType, KlarnaStatus, OpState, OrderState, PaymentKind

MOST = 1000
"""A work list counts so far and then says "1,000+" (performance)."""
SHOWN = 5
EXPIRES_WITHIN = timedelta(days=7)
UNKNOWN_AFTER, NOT_SENT_AFTER = timedelta(minutes=5), timedelta(minutes=10)
"""From this age on an open operation is a person's work; a younger one settles by itself. Source: operations 11."""


_PAID_BY_KLARNA = sa.exists(
    sa.select(1)
    .where(PaymentMethod.id == Order.payment_method_id, PaymentMethod.kind == PaymentKind.KLARNA)
    .correlate(Order)
)
_OPEN = sa.text("klarna_op.state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')")
_UNPAID = sa.text("document.open_minor <> 0")
_HELD = sa.text("sales_order.hold_reason IS NOT NULL")
"""The conditions of three partial indexes, word for word: SQLite uses such an index for nothing less."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a work list. Which ids are set depends on the list; amounts in minor units; ``fault`` is as a row keeps it.

    ``changed`` tells of a draft that it is no more what was put before Finance, ``unlinked`` of an order that it has no
    reservation.
    """

    order_id: int | None = None
    order_number: int | None = None
    document_id: int | None = None
    document_kind: DocKind | None = None
    number: str | None = None
    payout_id: int | None = None
    row_id: int | None = None
    push_id: int | None = None
    amount_minor: int | None = None
    currency: str = "SEK"
    at: datetime | None = None
    day: date | None = None
    state: str | None = None
    what: str = ""
    fault: str | None = None
    changed: bool = False
    unlinked: bool = False

    @property
    def written(self) -> Written | None:
        """What a settlement row states and its payout does not count; None where the amount says it all."""
        return written(self.fault, self.amount_minor or 0)


@dataclass(frozen=True, slots=True)
class WorkList:
    """A card of the start page: ``count`` is at most MOST + 1; ``only_payout`` is the payout in which all settlement rows are."""

    name: str
    count: int
    items: Sequence[Item] = field(default=())
    only_payout: int | None = None


@dataclass(frozen=True, slots=True)
class Glance:
    """What the top bar shows: how much needs a human, and which environments Klarna is reached in."""

    waiting: int
    environments: tuple[str, ...]


# --- The queries, oldest first ---------------------------------------------------------------------------------------


def _operations(state: OpState) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            KlarnaOp.order_id,
            Order.number.label("order_number"),
            KlarnaOp.document_id,
            Document.kind.label("document_kind"),
            Document.number_text.label("number"),
            KlarnaOp.amount_minor,
            Order.currency,
            KlarnaOp.created_at.label("at"),
            KlarnaOp.kind.label("state"),
        )
        .join(Order, Order.id == KlarnaOp.order_id)
        .outerjoin(Document, Document.id == KlarnaOp.document_id)
        .where(KlarnaOp.state == state, _OPEN)
        .order_by(KlarnaOp.created_at, KlarnaOp.id)
    )


def _not_sent() -> sa.Select[*tuple[Any, ...]]:
    return _operations(OpState.PREPARED).where(KlarnaOp.created_at < sa.bindparam("unsent_since"))


def _unknown() -> sa.Select[*tuple[Any, ...]]:
    return _operations(OpState.UNKNOWN).where(KlarnaOp.created_at < sa.bindparam("unknown_since"))


def _refused() -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            Document.order_id,
            Document.id.label("document_id"),
            Document.kind.label("document_kind"),
            Document.number_text.label("number"),
            Document.gross_minor.label("amount_minor"),
            Document.currency,
            Document.changed_at.label("at"),
            Document.refusal_kind.label("state"),
        )
        .where(Document.state == DocState.REFUSED)
        .order_by(Document.changed_at, Document.id)
    )


def _more_delivered_than_invoiced() -> sa.ColumnElement[bool]:
    """Whether some row of the order has left the house in a larger quantity than has been invoiced."""
    delivered = (
        sa.select(sa.func.sum(DeliveryLine.quantity_milli))
        .join(Delivery, Delivery.id == DeliveryLine.delivery_id)
        .where(DeliveryLine.order_line_id == OrderLine.id)
        .correlate(OrderLine)
        .scalar_subquery()
    )
    invoiced = (
        sa.select(sa.func.coalesce(sa.func.sum(DocumentLine.quantity_milli), 0))
        .join(Document, Document.id == DocumentLine.document_id)
        .where(
            DocumentLine.order_line_id == OrderLine.id,
            Document.kind == DocKind.INVOICE,
            Document.type != DocType.ADVANCE,
            Document.state.in_((DocState.PENDING, DocState.ISSUED)),
        )
        .correlate(OrderLine)
        .scalar_subquery()
    )
    return sa.exists(sa.select(1).where(OrderLine.order_id == Order.id, delivered > invoiced).correlate(Order))


def _to_invoice() -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            Order.id.label("order_id"),
            Order.number.label("order_number"),
            Order.remaining_minor.label("amount_minor"),
            Order.currency,
            Order.expires_at.label("at"),
            Order.delivered.label("state"),
            Order.account_id.is_(None).label("unlinked"),
        )
        .where(
            Order.state == OrderState.OPEN,
            # One that is to be paid with Klarna and has no reservation is delivered for nothing, and nobody else tells.
            sa.or_(Order.account_id.is_not(None), _PAID_BY_KLARNA),
            # With nothing left there is nothing to claim, and a refused invoice is a work list of its own.
            sa.or_(Order.remaining_minor.is_(None), Order.remaining_minor > 0),
            sa.or_(Order.icon.is_(None), Order.icon != "refused"),
            sa.or_(
                sa.and_(Order.delivered == "all", Order.invoiced.in_(("none", "part"))),
                sa.and_(Order.delivered == "part", Order.invoiced == "none"),
                sa.and_(Order.delivered == "part", Order.invoiced == "part", _more_delivered_than_invoiced()),
            ),
        )
        .order_by(Order.ordered_at, Order.id)
    )


def _expiring() -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            Order.id.label("order_id"),
            Order.number.label("order_number"),
            Order.remaining_minor.label("amount_minor"),
            Order.currency,
            Order.expires_at.label("at"),
            Order.klarna_status.label("state"),
        )
        .where(
            Order.state == OrderState.OPEN,
            Order.expires_at < sa.bindparam("expires_before"),
            Order.klarna_status.in_((KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED)),
            Order.remaining_minor > 0,
        )
        .order_by(Order.expires_at, Order.id)
    )


def _settlement_rows() -> sa.Select[*tuple[Any, ...]]:
    return owed.rows_of_documents()


def _breaks() -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            KlarnaBreak.order_id,
            Order.number.label("order_number"),
            KlarnaBreak.document_id,
            Document.kind.label("document_kind"),
            Document.number_text.label("number"),
            KlarnaBreak.payout_id,
            sa.func.nullif(KlarnaBreak.difference_minor, 0).label("amount_minor"),
            KlarnaBreak.currency,
            KlarnaBreak.opened_at.label("at"),
            KlarnaBreak.kind.label("state"),
        )
        .outerjoin(Order, Order.id == KlarnaBreak.order_id)
        .outerjoin(Document, Document.id == KlarnaBreak.document_id)
        # What is not paid out has a list of its own.
        .where(KlarnaBreak.state == BreakState.OPEN, KlarnaBreak.kind != BreakKind.UNPAID_TOO_LONG)
        .order_by(KlarnaBreak.opened_at, KlarnaBreak.id)
    )


def _mails() -> sa.Select[*tuple[Any, ...]]:
    """E-mails that were given up, or have waited for a day (X6)."""
    return (
        sa.select(
            Outbox.document_id,
            Document.kind.label("document_kind"),
            Document.number_text.label("number"),
            Document.gross_minor.label("amount_minor"),
            Document.currency,
            Outbox.created_at.label("at"),
        )
        .join(Document, Document.id == Outbox.document_id)
        .where(outbox_list.stuck(sa.bindparam("mailed_before")))
        .order_by(Outbox.created_at, Outbox.id)
    )


def _held() -> sa.Select[*tuple[Any, ...]]:
    """Open orders that Klarna stopped after having accepted them: nothing leaves until a person lifts the stop (B21)."""
    return (
        sa.select(
            Order.id.label("order_id"),
            Order.number.label("order_number"),
            Order.remaining_minor.label("amount_minor"),
            Order.currency,
            Order.held_at.label("at"),
            Order.delivered.label("state"),
        )
        .where(_HELD, Order.state == OrderState.OPEN)
        .order_by(Order.held_at, Order.id)
    )


def _approvals() -> sa.Select[*tuple[Any, ...]]:
    """Drafts above the limit of whoever made them, put before Finance, with what they come to now (B31)."""
    comes_to = (
        sa.select(sa.cast(sa.func.coalesce(sa.func.sum(DocumentLine.gross_minor), 0), sa.BigInteger))
        .where(DocumentLine.document_id == Document.id, DocumentLine.removed.is_(False))
        .correlate(Document)
        .scalar_subquery()
    )
    return (
        sa.select(
            ApprovalRequest.document_id,
            Document.kind.label("document_kind"),
            comes_to.label("amount_minor"),
            Document.currency,
            ApprovalRequest.asked_at.label("at"),
            Document.state.label("state"),
            ApprovalRequest.asked_by.label("what"),
            (Document.changed_at > ApprovalRequest.asked_at).label("changed"),
        )
        .join(Document, Document.id == ApprovalRequest.document_id)
        .where(Document.state == DocState.DRAFT)
        .order_by(ApprovalRequest.asked_at, ApprovalRequest.document_id)
    )


def _incoming() -> sa.Select[*tuple[Any, ...]]:
    """Purchases that Klarna has told of and that could not become orders by themselves (B15, B30)."""
    return (
        sa.select(
            Push.id.label("push_id"),
            Push.klarna_order_id.label("number"),
            Push.received_at.label("at"),
            KlarnaAccount.store_id.label("what"),
        )
        .join(KlarnaAccount, KlarnaAccount.id == Push.account_id)
        .where(pushes.troubled())
        .order_by(Push.received_at, Push.id)
    )


@cache
def _queries() -> dict[str, sa.Select[*tuple[Any, ...]]]:
    """Each list's rows, the most pressing list first; put together once, since that costs more than asking."""
    return {
        "review": _operations(OpState.REVIEW),
        "unknown": _unknown(),
        "not_sent": _not_sent(),
        "refused": _refused(),
        "approvals": _approvals(),
        "held": _held(),
        "incoming": _incoming(),
        "breaks": _breaks(),
        "rows": _settlement_rows(),
        "returns": owed.returns_without_note(),
        "to_invoice": _to_invoice(),
        "expiring": _expiring(),
        "notes": owed.notes_without_settlement(),
        "unpaid": owed.activated_not_paid(),
        "mails": _mails(),
    }


@cache
def _shown() -> dict[str, sa.Select[*tuple[Any, ...]]]:
    return {name: query.limit(SHOWN) for name, query in _queries().items()}


@cache
def _counts() -> dict[str, sa.Select[int]]:
    """Rows of each list, counted to MOST + 1 and no further."""
    counts = {}
    for name, query in _queries().items():
        inner = query.with_only_columns(sa.literal(1)).order_by(None).limit(MOST + 1).subquery()
        counts[name] = sa.select(sa.func.count()).select_from(inner)
    return counts


def _now(session: Session) -> dict[str, date]:
    now = clock.now()
    return {
        "unknown_since": now - UNKNOWN_AFTER,
        "unsent_since": now - NOT_SENT_AFTER,
        "expires_before": now + EXPIRES_WITHIN,
        "unpaid_before": owed.unpaid_before(session),
        "mailed_before": now - outbox_list.MAILED_WITHIN,
    }


def today(session: Session) -> list[WorkList]:
    """The work lists of the start page, the most pressing first, each with its five oldest rows."""
    lists, now = [], _now(session)
    for name, query in _shown().items():
        items = [Item(**row) for row in session.execute(query, now).mappings()]
        if name == "to_invoice":
            items = _with_what_was_delivered(session, items)
        count = len(items) if len(items) < SHOWN else session.scalar(_counts()[name], now) or 0
        only = owed.only_payout(session, [item.payout_id for item in items]) if name == "rows" else None
        lists.append(WorkList(name, count, items, only))
    return lists


def _with_what_was_delivered(session: Session, items: Sequence[Item]) -> list[Item]:
    """The rows with what an invoice made now would be on, in place of all that is left of the reservation."""
    sums = to_invoice.amounts(session, [item.order_id for item in items if item.order_id is not None])
    return [replace(item, amount_minor=sums.get(item.order_id or 0, 0)) for item in items]


def glance(session: Session) -> Glance:
    """The figure beside Overview, and the environments of the accounts in use."""
    now = _now(session)
    waiting = sum(session.scalar(query, now) or 0 for query in _counts().values())
    environments = session.scalars(
        sa.select(KlarnaAccount.environment).where(KlarnaAccount.active.is_(True)).distinct()
    ).all()
    return Glance(waiting, tuple(sorted(environments)))
