"""The lists of invoices and credit notes: filters, search, keyset pages and capped counts, as Core rows (B10-B12, K29).

Newest first is by number, which follows the day; credit notes go by id, so that drafts, which have no number, stand among them.
Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from models import Customer, Document, DocumentLine, KlarnaOp, Order, PaymentMethod
from services import document_outcome, order_list
from services.document_page import paid_state
from states import OPEN_OPS, DocKind, DocState, DocType, OpState, RefusalKind, WithoutKlarna

SIZES = (30, 50, 100)
COUNT_CAP = 1_000
EXPORT_CAP = 10_000
VIEWS: Mapping[DocKind | None, Sequence[str]] = {
    None: ("open", "all", "paid", "overpaid", "waiting", "refused"),
    DocKind.CREDIT_NOTE: ("all", "drafts", "open", "waiting", "refused", "without"),
}
"""Filters per list, the default first: None is the list of invoices, which holds credit notes too (B10)."""
SERIES = "F"
_UNPAID = sa.text("document.open_minor <> 0")
"""Word for word the condition of the partial index on documents with something left, so that both databases use it."""

_open_op, _issuing_op = aliased(KlarnaOp), aliased(KlarnaOp)
_original = aliased(Document)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list shows. ``kind`` narrows it to credit notes; ``starts`` and ``ends`` are days of the document."""

    kind: DocKind | None = None
    view: str = "open"
    search: str = ""
    starts: date | None = None
    ends: date | None = None
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the list; amounts in minor units, ``open_minor`` negative for an open credit note."""

    id: int
    kind: DocKind
    type: DocType
    state: DocState
    number: str | None
    day: date | None
    order_id: int | None
    order_number: int | None
    original_id: int | None
    original_number: str | None
    customer_id: int
    customer: str
    payment_method: Mapping[str, str]
    currency: str
    gross_minor: int
    open_minor: int
    paid: str | None
    badge: tuple[str, str]
    icon: str | None
    without: WithoutKlarna | None
    klarna_at: Any
    klarna_number: str | None
    klarna_outside: bool
    whole_credited: bool

    @property
    def may_credit(self) -> bool:
        """Whether the row has the credit icon (K8)."""
        return self.kind is DocKind.INVOICE and self.state is DocState.ISSUED


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list; ``newer`` and ``older`` are the marks of the pages beside it."""

    rows: Sequence[Row]
    newer: str | None
    older: str | None


def default_view(kind: DocKind | None, search: str) -> str:
    """The filter a list opens with; a search looks through everything unless a filter is chosen."""
    return "all" if search else VIEWS[kind][0]


def _condition(session: Session, filters: Filters, *, counted: bool = False) -> list[sa.ColumnElement[bool]]:
    """What the documents of a filter have in common; ``counted`` when their order does not matter.

    Every document that waits, is refused or has something left is numbered. Without the series, whose index would be walked
    from end to end for few of them, the index on states or on what is left is used, or the ids that a search has found.
    """
    state, left, gross = Document.state, Document.open_minor, Document.gross_minor
    # Cast, a kind is not looked up in its index, which holds every document there is.
    kind = sa.cast(Document.kind, sa.Text)
    wanted: list[sa.ColumnElement[bool]] = []
    if filters.kind is not None:
        wanted.append(
            kind == str(filters.kind) if counted and filters.view == "open" else Document.kind == filters.kind
        )
    elif filters.search and _found(session, filters.search)[1]:
        wanted.append(Document.number.is_not(None))
    elif filters.view in ("all", "paid"):
        wanted.append(Document.series == SERIES)
    over = sa.or_(sa.and_(kind == str(DocKind.INVOICE), left < 0), sa.and_(kind == str(DocKind.CREDIT_NOTE), left > 0))
    conditions: dict[str, tuple[Any, ...]] = {
        "open": (_UNPAID, sa.not_(over)),
        "paid": (state == DocState.ISSUED, left == 0, gross != 0),
        "overpaid": (_UNPAID, over),
        "waiting": (state == DocState.PENDING,),
        "refused": (state == DocState.REFUSED,),
        "drafts": (state == DocState.DRAFT,),
        "without": (state == DocState.ISSUED, Document.with_klarna.is_(False), Document.reversed_at.is_(None)),
    }
    wanted += conditions.get(filters.view, ())
    if filters.view == "without":
        wanted.append(Document.without_klarna_reason != WithoutKlarna.ORDINARY)
    day = sa.func.coalesce(Document.issue_date, Document.number_date)
    if filters.starts is not None:
        wanted.append(day >= filters.starts)
    if filters.ends is not None:
        wanted.append(day <= filters.ends)
    if filters.search:
        wanted.append(_found(session, filters.search)[0])
    return wanted


def _matching(session: Session, search: str) -> sa.CompoundSelect[Any]:
    """Documents by number, order number, customer number or name, payment reference or Klarna's numbers (B12, B13).

    Each way is one look into an index.
    """
    written = sorted({search, search.upper()})
    orders = order_list.orders_numbered(search)
    customers = [order_list.customers_named(session, search)]
    if search.isascii() and search.isdigit() and len(search) <= 15:
        customers.append(sa.select(Customer.id).where(Customer.number == int(search)))
    at_klarna = sa.select(KlarnaOp.document_id).where(KlarnaOp.document_id.is_not(None))
    return sa.union_all(
        sa.select(Document.id).where(Document.number_text == search),
        sa.select(Document.id).where(Document.paid_reference == search),
        sa.select(Document.id).where(Document.order_id.in_(orders)),
        *[sa.select(Document.id).where(Document.customer_id.in_(each)) for each in customers],
        at_klarna.where(KlarnaOp.klarna_short_ref.in_(written)),
        at_klarna.where(KlarnaOp.klarna_object_id == search.lower()),
    )


def _found(session: Session, search: str) -> tuple[sa.ColumnElement[bool], bool]:
    """The condition of a search, looked up once for the list and all its counts, and whether at most a thousand were found.

    A search that found nothing looks for an id that no document has, which is over at once.
    """
    kept: dict[str, tuple[sa.ColumnElement[bool], bool]] = session.info.setdefault("document search", {})
    if search not in kept:
        matching = _matching(session, search)
        ids = session.scalars(matching.limit(COUNT_CAP + 1)).all()
        few = len(ids) <= COUNT_CAP
        kept[search] = Document.id.in_((sorted(set(ids)) or [-1]) if few else matching), few
    return kept[search]


def _key(filters: Filters) -> Any:
    return Document.number if filters.kind is None else Document.id


def listing(session: Session, filters: Filters, after: str | None = None, limit: int = SIZES[0]) -> Listing:
    """A page of the list: ``limit`` rows from the mark ``after`` on, which another page gave as ``newer`` or ``older``."""
    limit = limit if limit in SIZES else SIZES[0]
    place = _read_mark(after)
    back = place is not None and place[0] == "n"
    descending = filters.descending != back
    key = _key(filters)
    query = _columns(filters).where(*_condition(session, filters))
    if place is not None:
        query = query.where(key < place[1] if descending else key > place[1])
    found = session.execute(query.order_by(key.desc() if descending else key.asc()).limit(limit + 1)).all()
    more = len(found) > limit
    kept = list(found[:limit])
    if back:
        kept.reverse()
    if not kept:
        return Listing([], None, None)
    has_newer, has_older = (more, True) if back else (place is not None, more)
    return Listing(
        _rows(session, kept),
        f"n{kept[0].key}" if has_newer else None,
        f"o{kept[-1].key}" if has_older else None,
    )


def _read_mark(mark: str | None) -> tuple[str, int] | None:
    """A mark as its way and key; None for one that is not ours, which shows the first page (catalogue 19)."""
    way, digits = (mark or "")[:1], (mark or "")[1:]
    if way not in ("n", "o") or not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        return None
    return way, int(digits)


def export(session: Session, filters: Filters) -> tuple[list[Row], bool]:
    """Everything the filters show, at most 10,000 rows, and whether that was all."""
    key = _key(filters)
    query = (
        _columns(filters).where(*_condition(session, filters)).order_by(key.desc() if filters.descending else key.asc())
    )
    found = session.execute(query.limit(EXPORT_CAP + 1)).all()
    rows = [row for at in range(0, min(len(found), EXPORT_CAP), 500) for row in _rows(session, found[at : at + 500])]
    return rows[:EXPORT_CAP], len(found) <= EXPORT_CAP


def counts(session: Session, filters: Filters) -> dict[str, int]:
    """The count of every filter for the same search, each to at most 1,001, in one question."""
    each = [_capped(session, replace(filters, view=view)).label(view) for view in VIEWS[filters.kind]]
    return dict(session.execute(sa.select(*each)).one()._mapping)  # noqa: SLF001 - how a row becomes a mapping


def _capped(session: Session, filters: Filters) -> sa.ScalarSelect[int]:
    """How many documents the filters show, counted to at most 1,001, which stands for more than a thousand."""
    some = sa.select(Document.id).where(*_condition(session, filters, counted=True)).limit(COUNT_CAP + 1).subquery()
    return sa.select(sa.func.count()).select_from(some).scalar_subquery()


def _columns(filters: Filters) -> sa.Select[Any]:
    columns: list[Any] = [
        Document.id,
        _key(filters).label("key"),
        Document.kind,
        Document.type,
        Document.state,
        Document.number_text,
        sa.func.coalesce(Document.issue_date, Document.number_date, type_=sa.Date()).label("day"),
        Document.order_id,
        Order.number.label("order_number"),
        Document.original_id,
        _original.number_text.label("original_number"),
        Document.customer_id,
        Customer.name.label("customer"),
        PaymentMethod.name_sv,
        PaymentMethod.name_en,
        Document.currency,
        Document.gross_minor,
        Document.open_minor,
        Document.with_klarna,
        Document.without_klarna_reason,
        Document.refusal_kind,
        Document.reversed_at,
        _open_op.state.label("open_state"),
        _issuing_op.state.label("issued_state"),
        _issuing_op.klarna_event_at,
        _issuing_op.klarna_short_ref,
    ]
    return (
        sa.select(*columns)
        .join(Customer, Customer.id == Document.customer_id)
        .outerjoin(Order, Order.id == Document.order_id)
        .outerjoin(PaymentMethod, PaymentMethod.id == Order.payment_method_id)
        .outerjoin(_original, _original.id == Document.original_id)
        .outerjoin(_issuing_op, _issuing_op.id == Document.issued_by_op_id)
        .outerjoin(_open_op, sa.and_(_open_op.document_id == Document.id, _open_op.state.in_(sorted(OPEN_OPS))))
    )


def _rows(session: Session, found: Sequence[sa.Row[Any]]) -> list[Row]:
    credited = _credited(session, [row.id for row in found if row.kind is DocKind.INVOICE])
    drafts = _draft_sums(session, [row.id for row in found if row.gross_minor is None])
    return [_row(row, credited.get(row.id, 0), drafts.get(row.id, 0)) for row in found]


def _row(row: sa.Row[Any], credited_minor: int, draft_minor: int) -> Row:
    op_state: OpState | None = row.open_state or row.issued_state
    refusal: RefusalKind | None = row.refusal_kind
    gross = row.gross_minor if row.gross_minor is not None else draft_minor
    issued = row.state is DocState.ISSUED
    return Row(
        id=row.id,
        kind=row.kind,
        type=row.type,
        state=row.state,
        number=row.number_text,
        day=row.day,
        order_id=row.order_id,
        order_number=row.order_number,
        original_id=row.original_id,
        original_number=row.original_number,
        customer_id=row.customer_id,
        customer=row.customer,
        payment_method={"sv": row.name_sv or "", "en": row.name_en or ""},
        currency=row.currency,
        gross_minor=gross,
        open_minor=row.open_minor,
        paid=paid_state(row.kind, gross, row.open_minor) if issued else None,
        badge=document_outcome.badge(
            row.kind,
            row.state,
            op_state=op_state,
            refusal=refusal,
            without=row.without_klarna_reason,
            reversed_at=row.reversed_at,
        ),
        icon=document_outcome.icon(row.kind, row.state, row.with_klarna, op_state),
        without=row.without_klarna_reason if issued else None,
        klarna_at=row.klarna_event_at,
        klarna_number=row.klarna_short_ref,
        klarna_outside=row.issued_state is OpState.EXTERNAL,
        whole_credited=issued and row.kind is DocKind.INVOICE and 0 < gross <= credited_minor,
    )


def _credited(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """What live credit notes hold of each invoice (K33).

    Kind and state are cast so that the index on originals is used, not the one by which every credit note would be read.
    """
    query = (
        sa.select(Document.original_id, sa.func.sum(Document.gross_minor))
        .where(
            Document.original_id.in_(ids),
            sa.cast(Document.kind, sa.Text) == str(DocKind.CREDIT_NOTE),
            sa.cast(Document.state, sa.Text).in_([str(DocState.PENDING), str(DocState.ISSUED)]),
            Document.reversed_at.is_(None),
        )
        .group_by(Document.original_id)
    )
    return {original: int(gross or 0) for original, gross in session.execute(query) if original is not None}


def _draft_sums(session: Session, ids: Sequence[int]) -> dict[int, int]:
    query = (
        sa.select(DocumentLine.document_id, sa.func.sum(DocumentLine.gross_minor))
        .where(DocumentLine.document_id.in_(ids), DocumentLine.removed.is_(False))
        .group_by(DocumentLine.document_id)
    )
    return {document: int(gross or 0) for document, gross in session.execute(query)}
