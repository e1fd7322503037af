"""The order list: filters, search, sorting, keyset pages and capped counts, as Core rows (B17, F4; performance, lists).

``number`` sorts by id, which follows the number: both are given in the transaction that takes the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import (
    AT_WORK,
    Customer,
    Delivery,
    DeliveryLine,
    Document,
    DocumentLine,
    KlarnaOp,
    Order,
    OrderLine,
    PaymentMethod,
)
from services import keyset, search
from services.keyset import Condition, Sorting, Wanted
from states import DocKind, DocState, DocType, KlarnaStatus, LineKind, OpKind, OpState, OrderState, PaymentKind

SIZES = (30, 50, 100)
COUNT_CAP = 1_000
EXPORT_CAP = 100_000
EXPIRES_SOON = timedelta(days=7)
ICONS = ("reserved", "partly", "captured", "credited", "refused", "unknown", "cancelled")
SOURCES = ("hand", "klarna", "csv", "api")
GROUPS: Mapping[str, Sequence[str]] = {
    "work": (
        "all", "to_deliver", "back_orders", "not_invoiced", "partly_invoiced", "expiring", "held", "waiting", "refused",
        "cancelled",
    ),
    "klarna": tuple(f"icon-{icon}" for icon in ICONS),
    "source": tuple(f"from-{source}" for source in SOURCES),
}  # fmt: skip
"""The filters, one at a time. Work: all; something to deliver; part of a row delivered and the rest waiting (B25); delivered and
not invoiced (F21); partly invoiced; expiring within seven days; stopped after acceptance; waiting for Klarna's answer; a refused
document; cancelled. Then the states of the Klarna icon (F23), and where orders came from."""
VIEWS = tuple(view for views in GROUPS.values() for view in views)
SORTS = ("number", "date", "customer", "total", "expires")
"""What the list can be sorted by; ``expires`` only the orders of the filter ``expiring``, which all have such a day."""

_COME: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "to_deliver": (("none", "part"), ("none", "part", "all")),
    "back_orders": (("part",), ("none", "part", "all")),
    "not_invoiced": (("part", "all"), ("none", "part")),
    "partly_invoiced": (("none", "part", "all"), ("part",)),
}
"""How far the orders of a filter are delivered and invoiced: both columns of an index that ends in the id."""
_LASTING = (KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED)
_OPEN_OPERATION = sa.text("klarna_op.state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')")
_AT_WORK: Any = sa.text(AT_WORK)
_HELD = sa.text("sales_order.hold_reason IS NOT NULL")
_CANCELLED = sa.text("sales_order.state = 'cancelled'")
"""Word for word the conditions of partial indexes, so that both databases use them."""
_SORTINGS: Mapping[str, Sorting] = {
    "number": Sorting((Order.id,)),
    "date": Sorting((Order.ordered_at, Order.id)),
    "customer": Sorting((Customer.name, Customer.id, Order.id), (Order.customer_id, Customer.id)),
    "total": Sorting((Order.total_minor, Order.id)),
    "expires": Sorting((Order.expires_at, Order.id)),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list shows: one of ``VIEWS``, what is searched for, one of ``SORTS`` and its direction."""

    view: str = "all"
    search: str = ""
    sort: str = "number"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the list. ``total_minor`` in minor units; ``captured_…`` and ``klarna_number`` of the last activation."""

    id: int
    number: int
    shop_number: str | None
    ordered_at: datetime
    customer_id: int
    customer: str
    currency: str
    total_minor: int
    state: OrderState
    delivered: str
    invoiced: str
    icon: str | None
    expires_at: datetime | None
    klarna_reference: str | None
    klarna_method: str | None
    captured_at: datetime | None
    captured_outside: bool
    klarna_number: str | None
    held: bool
    unlinked: bool
    """Whether the order is to be paid with Klarna and belongs to no purchase there."""

    @property
    def no_reservation(self) -> bool:
        """Whether what is left of the order cannot be invoiced for want of a reservation (F2)."""
        return self.unlinked and self.total_minor > 0 and self.may_invoice

    @property
    def expires_on(self) -> date | None:
        """The local date on which what is left of the reservation expires, as Klarna says (F27)."""
        lasts = self.icon in ("reserved", "partly") and self.invoiced != "all"
        return clock.local_date(self.expires_at) if lasts and self.expires_at else None

    @property
    def may_deliver(self) -> bool:
        """Whether the list offers the delivery page."""
        return self.delivered != "all" and self.state is OrderState.OPEN and self.icon != "cancelled"

    @property
    def may_invoice(self) -> bool:
        """Whether something is left to invoice, so that the row has the icon of F4."""
        return self.invoiced != "all" and self.state is OrderState.OPEN and self.icon != "cancelled"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list; ``newer`` and ``older`` are the marks of the pages beside it."""

    rows: Sequence[Row]
    newer: str | None
    older: str | None


def _delivered_more_than_invoiced() -> sa.ColumnElement[bool]:
    """Whether some row of the order is delivered beyond what is invoiced; asked for orders that are part of both."""
    gone = (
        sa.select(sa.func.coalesce(sa.func.sum(DeliveryLine.quantity_milli), 0))
        .join(Delivery, Delivery.id == DeliveryLine.delivery_id)
        .where(DeliveryLine.order_line_id == OrderLine.id)
        .correlate(OrderLine)
        .scalar_subquery()
    )
    held = (
        sa.select(sa.func.coalesce(sa.func.sum(DocumentLine.quantity_milli), 0))
        .join(Document, Document.id == DocumentLine.document_id)
        .where(
            DocumentLine.order_line_id == OrderLine.id,
            Document.kind == DocKind.INVOICE,
            Document.type.in_((DocType.DELIVERY, DocType.FINAL)),
            Document.state.in_((DocState.PENDING, DocState.ISSUED)),
        )
        .correlate(OrderLine)
        .scalar_subquery()
    )
    lines = sa.select(OrderLine.id).where(OrderLine.order_id == Order.id, OrderLine.kind == LineKind.ARTICLE)
    return lines.where(gone > held).correlate(Order).exists()


def condition(view: str, soon: Any = None) -> Sequence[Any]:
    """What an order of this filter has in common, beside how far it has come (``_COME``); ``soon`` ends «soon expires»."""
    is_open = Order.state == OrderState.OPEN
    alive = sa.or_(Order.icon.is_(None), Order.icon != "cancelled")
    if view in ("to_deliver", "back_orders"):
        return _AT_WORK, alive
    if view == "not_invoiced":
        part = sa.and_(Order.delivered == "part", Order.invoiced == "part")
        return _AT_WORK, alive, sa.or_(sa.not_(part), _delivered_more_than_invoiced())
    if view == "partly_invoiced":
        return (_AT_WORK,)
    if view == "expiring":
        return (
            is_open,
            Order.expires_at <= (clock.now() + EXPIRES_SOON if soon is None else soon),
            Order.remaining_minor > 0,
        )
    group, _, name = view.partition("-")
    if name:
        return (Order.icon == name if group == "icon" else Order.source == name,)
    if view == "held":
        return (_HELD,)
    if view == "cancelled":
        return (_CANCELLED,)
    if view == "waiting":
        return (Order.id.in_(sa.select(KlarnaOp.order_id).where(_OPEN_OPERATION)),)
    if view == "refused":
        return (Order.id.in_(sa.select(Document.order_id).where(Document.state == DocState.REFUSED)),)
    return ()


def _ways(view: str) -> list[tuple[Condition, ...]]:
    """For each way an order of the filter can have come: its own walk of an index, put together afterwards."""
    if view == "expiring":
        return [(Order.klarna_status == status,) for status in _LASTING]
    if view not in _COME:
        return [()]
    gone, held = _COME[view]
    return [(Order.delivered == each, Order.invoiced == other) for each in gone for other in held]


def _walks(filters: Filters) -> bool:
    """Whether an index holds the orders of the filter in the order that is asked for."""
    if filters.search:
        return False
    if filters.view == "all":
        return True
    if filters.view == "expiring":
        return filters.sort == "expires"
    if filters.view in _COME:
        return filters.sort == "number"
    return filters.sort in ("number", "date") and (filters.view == "cancelled" or "-" in filters.view)


def _wanted(session: Session, filters: Filters) -> Wanted:
    where = list(condition(filters.view))
    if filters.search:
        where.append(keyset.among(session, Order.id, search.orders_found(session, filters.search).ids))
    along = [_AT_WORK] if filters.view in _COME and not filters.search else []
    return Wanted(where, _ways(filters.view), _walks(filters), along)


def sorting(filters: Filters) -> str:
    """What the list is sorted by: a sorting that the filter does not offer is the number."""
    return "number" if filters.sort == "expires" and filters.view != "expiring" else filters.sort


def is_whole(session: Session, filters: Filters) -> bool:
    """Whether the search found all there is, and not only the first of very many."""
    return not filters.search or search.orders_found(session, filters.search).whole


def listing(session: Session, filters: Filters, after: str | None = None, limit: int = SIZES[0]) -> Listing:
    """A page of the list: ``limit`` rows from the mark ``after`` on, which another page gave as ``newer`` or ``older``."""
    place = keyset.page(
        session,
        _SORTINGS[sorting(filters)],
        _wanted(session, filters),
        descending=filters.descending,
        mark=after,
        limit=limit if limit in SIZES else SIZES[0],
    )
    return Listing(_rows(session, place.ids), place.newer, place.older)


def export(session: Session, filters: Filters) -> tuple[Iterator[Row], bool]:
    """Everything the filters show, at most 100,000 rows, read while they are written, and whether that is all."""
    ids = keyset.ids(
        session,
        _SORTINGS[sorting(filters)],
        _wanted(session, filters),
        descending=filters.descending,
        limit=EXPORT_CAP + 1,
    )
    shown = ids[:EXPORT_CAP]
    rows = (row for at in range(0, len(shown), 500) for row in _rows(session, shown[at : at + 500]))
    return rows, len(ids) <= EXPORT_CAP


def chosen(session: Session, ids: Sequence[int]) -> list[Row]:
    """These orders in the order given; unknown ones are left out."""
    there = session.scalars(sa.select(Order.id).where(Order.id.in_(ids)))
    known = set(there)
    return _rows(session, [each for each in dict.fromkeys(ids) if each in known])


def _capped(session: Session | None, filters: Filters, soon: Any = None) -> sa.Select[int]:
    """How many orders the filters show, counted to at most 1,001, which stands for more than a thousand."""
    come: tuple[Condition, ...] = ()
    if filters.view in _COME:
        gone, held = _COME[filters.view]
        come = (Order.delivered.in_(gone), Order.invoiced.in_(held))
    elif filters.view == "expiring":
        come = (Order.klarna_status.in_(_LASTING),)
    where = list(condition(filters.view, soon))
    if session is not None and filters.search:
        where.append(keyset.among(session, Order.id, search.orders_found(session, filters.search).ids))
    some = sa.select(Order.id).where(*come, *where).limit(COUNT_CAP + 1).subquery()
    return sa.select(sa.func.count()).select_from(some)


def count(session: Session, filters: Filters) -> int:
    """How many orders the filters show, counted to at most 1,001."""
    return session.scalar(_capped(session, filters)) or 0


def counts(session: Session, filters: Filters) -> dict[str, int]:
    """The count of every filter for the same search, in one question."""
    if not filters.search:
        found = session.execute(_counting(), {"soon": clock.now() + EXPIRES_SOON}).one()
        return dict(found._mapping)  # noqa: SLF001 - how a row becomes a mapping
    each = [_capped(session, replace(filters, view=view)).scalar_subquery().label(view) for view in VIEWS]
    return dict(session.execute(sa.select(*each)).one()._mapping)  # noqa: SLF001 - how a row becomes a mapping


@cache
def _counting() -> sa.Select[Any]:
    """The counts without a search, put together once: that costs more than asking them."""
    soon = sa.bindparam("soon", type_=Order.expires_at.type)
    each = [_capped(None, Filters(view=view), soon).scalar_subquery().label(view) for view in VIEWS]
    return sa.select(*each)


@cache
def _of_rows() -> sa.Select[*tuple[Any, ...]]:
    """What a page's rows show, put together once."""
    columns: list[Any] = [
        Order.id,
        Order.number,
        Order.shop_number,
        Order.ordered_at,
        Order.customer_id,
        Customer.name.label("customer"),
        Order.currency,
        Order.state,
        Order.delivered,
        Order.invoiced,
        Order.icon,
        Order.expires_at,
        Order.klarna_reference,
        Order.klarna_method,
        Order.total_minor,
        Order.hold_reason,
        sa.and_(PaymentMethod.kind == PaymentKind.KLARNA, Order.klarna_order_id.is_(None)).label("unlinked"),
    ]
    of_these = Order.id.in_(sa.bindparam("ids", expanding=True))
    query = sa.select(*columns).join(Customer, Customer.id == Order.customer_id)
    return query.join(PaymentMethod, PaymentMethod.id == Order.payment_method_id).where(of_these)


def _rows(session: Session, ids: Sequence[int]) -> list[Row]:
    """The rows of these ids in their order: two queries however many there are."""
    found = {row.id: row for row in session.execute(_of_rows(), {"ids": list(ids)})}
    active = [row.id for row in found.values() if row.icon in ("partly", "captured", "credited")]
    captures = _last_captures(session, active)
    nothing: tuple[None, bool, None] = (None, False, None)
    return [
        Row(
            row.id, row.number, row.shop_number, row.ordered_at, row.customer_id, row.customer, row.currency,
            row.total_minor, row.state, row.delivered, row.invoiced, row.icon, row.expires_at, row.klarna_reference,
            row.klarna_method, *captures.get(row.id, nothing), row.hold_reason is not None,
            bool(row.unlinked),
        )
        for row in map(found.__getitem__, ids)
    ]  # fmt: skip


def _last_captures(session: Session, ids: Sequence[int]) -> dict[int, tuple[datetime | None, bool, str | None]]:
    """When and under which number Klarna last activated each order, and whether it was done outside Kvitta (F24)."""
    if not ids:
        return {}
    found = session.execute(_of_captures(), {"ids": list(ids)})
    return {order_id: (at, state is OpState.EXTERNAL, ref) for order_id, at, state, ref in found}


@cache
def _of_captures() -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(KlarnaOp.order_id, KlarnaOp.klarna_event_at, KlarnaOp.state, KlarnaOp.klarna_short_ref)
        .where(
            KlarnaOp.order_id.in_(sa.bindparam("ids", expanding=True)),
            KlarnaOp.kind == OpKind.CAPTURE,
            KlarnaOp.state.in_((OpState.CONFIRMED, OpState.EXTERNAL)),
        )
        .order_by(KlarnaOp.klarna_event_at, KlarnaOp.created_at)
    )
