"""The order list: filters, search, keyset pages and capped counts, as Core rows (B17; performance, lists).

``number`` sorts by id, which follows the number: both are given in the transaction that takes the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from models import Customer, Delivery, DeliveryLine, Document, DocumentLine, KlarnaOp, Order, OrderLine
from states import DocKind, DocState, DocType, KlarnaStatus, LineKind, OpKind, OpState, OrderState

SIZES = (30, 50, 100)
COUNT_CAP = 1_000
EXPORT_CAP = 10_000
EXPIRES_SOON = timedelta(days=7)
VIEWS = ("all", "to_deliver", "not_invoiced", "partly_invoiced", "expiring", "waiting", "refused")
"""The filters: all; something to deliver; delivered and not invoiced (F21); partly invoiced; expiring within seven
days; waiting for Klarna's answer; a refused document."""
SORTS = ("number", "date")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LONGEST_NUMBER = 18
LAST_SIGN = "\U0010ffff"
"""Sorts after every sign that a name can go on with."""
_COME: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "to_deliver": (("none", "part"), ("none", "part", "all")),
    "not_invoiced": (("part", "all"), ("none", "part")),
    "partly_invoiced": (("none", "part", "all"), ("part",)),
}
"""How far the orders of a filter are delivered and invoiced: both columns of an index that ends in the id."""
_OPEN_OPERATION = sa.text("klarna_op.state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')")
"""Word for word the condition of the partial index on open operations, so that both databases use it."""


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


def condition(view: str) -> Sequence[sa.ColumnElement[bool]]:
    """What an order of this filter has in common, beside how far it has come (``_COME``)."""
    is_open = Order.state == OrderState.OPEN
    alive = sa.or_(Order.icon.is_(None), Order.icon != "cancelled")
    if view == "to_deliver":
        return is_open, alive
    if view == "not_invoiced":
        part = sa.and_(Order.delivered == "part", Order.invoiced == "part")
        return is_open, alive, sa.or_(sa.not_(part), _delivered_more_than_invoiced())
    if view == "partly_invoiced":
        return (is_open,)
    if view == "expiring":
        lasting = Order.klarna_status.in_((KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED))
        return is_open, Order.expires_at <= clock.now() + EXPIRES_SOON, lasting, Order.remaining_minor > 0
    if view == "waiting":
        return (Order.id.in_(sa.select(KlarnaOp.order_id).where(_OPEN_OPERATION)),)
    if view == "refused":
        return (Order.id.in_(sa.select(Document.order_id).where(Document.state == DocState.REFUSED)),)
    return ()


def customers_named(session: Session, text: str) -> sa.Select[int]:
    """Customers whose name begins so, as typed or as names are written; å, ä and ö too.

    Both databases find them in the index: SQLite by a range, PostgreSQL, whose order is that of a language, by LIKE.
    """
    written = dict.fromkeys((text, text.lower(), text.upper(), text.title(), text.capitalize()))
    ways: list[sa.ColumnElement[bool]]
    if session.get_bind().dialect.name == "sqlite":
        ways = [Customer.name.between(each, each + LAST_SIGN) for each in written]
    else:
        ways = [Customer.name.startswith(each, autoescape=True) for each in written]
    return sa.select(Customer.id).where(sa.or_(*ways))


def orders_numbered(search: str) -> sa.CompoundSelect[int]:
    """Orders with this number, shop number, Klarna reference or id."""
    ways = [
        sa.select(Order.id).where(Order.shop_number == search),
        sa.select(Order.id).where(Order.klarna_reference.in_(sorted({search, search.upper()}))),
        sa.select(Order.id).where(Order.klarna_order_id == search.lower()),
    ]
    if search.isascii() and search.isdigit() and len(search) <= LONGEST_NUMBER:
        ways.append(sa.select(Order.id).where(Order.number == int(search)))
    return sa.union_all(*ways)


def _matching(session: Session, search: str) -> sa.CompoundSelect[int]:
    """Orders that bear what is searched for, or of a customer whose name begins so.

    A search with a digit in it is no name, so that numbers never wait for the customers to be read.
    """
    numbered = orders_numbered(search)
    if any(sign.isdigit() for sign in search):
        return numbered
    named = sa.select(Order.id).where(Order.customer_id.in_(customers_named(session, search)))
    return sa.union_all(*numbered.selects, named)


def _found(session: Session, search: str) -> sa.ColumnElement[bool]:
    """The condition of a search, looked up once for the list and all its counts while it finds at most a thousand."""
    kept: dict[str, sa.ColumnElement[bool]] = session.info.setdefault("order search", {})
    if search not in kept:
        matching = _matching(session, search)
        ids = session.scalars(matching.limit(COUNT_CAP + 1)).all()
        kept[search] = Order.id.in_(matching if len(ids) > COUNT_CAP else sorted(set(ids)))
    return kept[search]


def _wanted(session: Session, filters: Filters) -> list[sa.ColumnElement[bool]]:
    """All conditions but those on how far an order has come."""
    wanted = list(condition(filters.view))
    if filters.search:
        wanted.append(_found(session, filters.search))
    return wanted


def _keys(filters: Filters) -> tuple[Any, ...]:
    return (Order.ordered_at, Order.id) if filters.sort == "date" else (Order.id,)


def _mark(row: Row, filters: Filters, way: str) -> str:
    """Where a page begins: ``o`` older than or ``n`` newer than a row."""
    if filters.sort == "date":
        return f"{way}{row.id}.{(row.ordered_at - EPOCH) // MILLISECOND}"
    return f"{way}{row.id}"


def _read_mark(mark: str, filters: Filters) -> tuple[str, tuple[Any, ...]] | None:
    """A mark as its way and key; None for one that is not ours, which shows the first page (catalogue 19)."""
    way, parts = mark[:1], mark[1:].split(".")
    wanted = 2 if filters.sort == "date" else 1
    if way not in ("o", "n") or len(parts) != wanted:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) <= LONGEST_NUMBER for part in parts):
        return None
    numbers = [int(part) for part in parts]
    if filters.sort == "number":
        return way, (numbers[0],)
    try:
        return way, (EPOCH + numbers[1] * MILLISECOND, numbers[0])
    except OverflowError:
        return None


def _ids(
    session: Session, filters: Filters, limit: int, descending: bool, place: tuple[Any, ...] | None = None
) -> list[int]:
    """The ids of a page in its order, from one walk of an index for each way orders of the filter have come."""
    keys = _keys(filters)
    wanted = _wanted(session, filters)
    if place is not None:
        mine = sa.tuple_(*keys)
        there = sa.tuple_(*[sa.literal(part, key.type) for part, key in zip(place, keys, strict=True)])
        wanted.append(mine < there if descending else mine > there)
    walks = []
    for come in _ways(filters.view):
        walk = sa.select(*keys).where(*come, *wanted)
        walks.append(walk.order_by(*_sorted(keys, descending)).limit(limit).subquery())
    if len(walks) == 1:
        rows = sa.select(walks[0])
    else:
        rows = sa.select(sa.union_all(*[sa.select(walk) for walk in walks]).subquery())
    columns = [rows.selected_columns[key.key] for key in keys]
    return [row.id for row in session.execute(rows.order_by(*_sorted(columns, descending)).limit(limit))]


def _ways(view: str) -> list[tuple[sa.ColumnElement[bool], ...]]:
    if view not in _COME:
        return [()]
    gone, held = _COME[view]
    return [(Order.delivered == each, Order.invoiced == other) for each in gone for other in held]


def _sorted(columns: Sequence[Any], descending: bool) -> list[Any]:
    return [column.desc() if descending else column.asc() for column in columns]


def listing(session: Session, filters: Filters, after: str | None = None, limit: int = SIZES[0]) -> Listing:
    """A page of the list: ``limit`` rows from the mark ``after`` on, which another page gave as ``newer`` or ``older``."""
    limit = limit if limit in SIZES else SIZES[0]
    place = _read_mark(after, filters) if after else None
    back = place is not None and place[0] == "n"
    ids = _ids(session, filters, limit + 1, filters.descending != back, place[1] if place else None)
    more = len(ids) > limit
    rows = _rows(session, ids[:limit])
    if back:
        rows.reverse()
    if not rows:
        return Listing([], None, None)
    has_newer, has_older = (more, True) if back else (place is not None, more)
    return Listing(
        rows,
        _mark(rows[0], filters, "n") if has_newer else None,
        _mark(rows[-1], filters, "o") if has_older else None,
    )


def export(session: Session, filters: Filters) -> tuple[list[Row], bool]:
    """Everything the filters show, at most 10,000 rows, and whether that was all."""
    ids = _ids(session, filters, EXPORT_CAP + 1, filters.descending)
    shown = ids[:EXPORT_CAP]
    rows = [row for at in range(0, len(shown), 500) for row in _rows(session, shown[at : at + 500])]
    return rows, len(ids) <= EXPORT_CAP


def _capped(session: Session, filters: Filters) -> sa.Select[int]:
    """How many orders the filters show, counted to at most 1,001, which stands for more than a thousand."""
    come: tuple[sa.ColumnElement[bool], ...] = ()
    if filters.view in _COME:
        gone, held = _COME[filters.view]
        come = (Order.delivered.in_(gone), Order.invoiced.in_(held))
    some = sa.select(Order.id).where(*come, *_wanted(session, filters)).limit(COUNT_CAP + 1).subquery()
    return sa.select(sa.func.count()).select_from(some)


def count(session: Session, filters: Filters) -> int:
    """How many orders the filters show, counted to at most 1,001."""
    return session.scalar(_capped(session, filters)) or 0


def counts(session: Session, filters: Filters) -> dict[str, int]:
    """The count of every filter for the same search, in one question."""
    each = [_capped(session, replace(filters, view=view)).scalar_subquery().label(view) for view in VIEWS]
    return dict(session.execute(sa.select(*each)).one()._mapping)  # noqa: SLF001 - how a row becomes a mapping


def _columns() -> sa.Select[Any]:
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
    ]
    return sa.select(*columns).join(Customer, Customer.id == Order.customer_id)


def _rows(session: Session, ids: Sequence[int]) -> list[Row]:
    """The rows of these ids in their order, with totals rounded row by row: three queries however many there are."""
    found = {row.id: row for row in session.execute(_columns().where(Order.id.in_(ids)))}
    totals = dict.fromkeys(ids, 0)
    lines = sa.select(
        OrderLine.order_id, OrderLine.quantity_milli, OrderLine.unit_price_minor, OrderLine.discount_minor
    )
    for order_id, milli, price, discount in session.execute(lines.where(OrderLine.order_id.in_(ids))):
        totals[order_id] += money.gross_of(milli, price) - discount
    active = [row.id for row in found.values() if row.icon in ("partly", "captured", "credited")]
    captures = _last_captures(session, active)
    nothing: tuple[None, bool, None] = (None, False, None)
    return [
        Row(
            row.id, row.number, row.shop_number, row.ordered_at, row.customer_id, row.customer, row.currency,
            totals[row.id], row.state, row.delivered, row.invoiced, row.icon, row.expires_at, row.klarna_reference,
            row.klarna_method, *captures.get(row.id, nothing),
        )
        for row in map(found.__getitem__, ids)
    ]  # fmt: skip


def _last_captures(session: Session, ids: Sequence[int]) -> dict[int, tuple[datetime | None, bool, str | None]]:
    """When and under which number Klarna last activated each order, and whether it was done outside Kvitta (F24)."""
    if not ids:
        return {}
    query = (
        sa.select(KlarnaOp.order_id, KlarnaOp.klarna_event_at, KlarnaOp.state, KlarnaOp.klarna_short_ref)
        .where(
            KlarnaOp.order_id.in_(ids),
            KlarnaOp.kind == OpKind.CAPTURE,
            KlarnaOp.state.in_((OpState.CONFIRMED, OpState.EXTERNAL)),
        )
        .order_by(KlarnaOp.klarna_event_at, KlarnaOp.created_at)
    )
    return {order_id: (at, state is OpState.EXTERNAL, ref) for order_id, at, state, ref in session.execute(query)}
