"""The lists of invoices and credit notes: filters, search, sorting, keyset pages and capped counts, as Core rows (B10-B12, K29).

Newest first is by number, which follows the day; credit notes go by id, since drafts have no number. Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from models import WITHOUT, ApprovalRequest, Customer, Document, DocumentLine, KlarnaOp, Order, PaymentMethod
from services import document_outcome, document_payment, keyset, search, without_klarna
from services.keyset import Condition, Sorting, Wanted
from states import OPEN_OPS, DocKind, DocState, DocType, OpState, RefusalKind, WithoutKlarna

SIZES = (30, 50, 100)
COUNT_CAP = 1_000
EXPORT_CAP = 100_000
VIEWS: Mapping[DocKind | None, Sequence[str]] = {
    None: ("open", "all", "paid", "overpaid", "waiting", "refused"),
    DocKind.CREDIT_NOTE: ("all", "drafts", "approval", "open", "waiting", "refused", "without"),
}
"""Filters per list, the default first: None is the list of invoices, which holds credit notes too (B10)."""
SORTS = ("number", "basis", "date", "method", "customer", "type", "claim", "paid", "klarna")
"""The columns of B11, by which either list can be sorted; the basis is sorted by the order behind it."""
FIELDS = ("number", "order", "ocr", "customer", "reference", "external")
"""What is searched for exactly, field by field (B12): invoice, order, OCR and customer number, payment reference, Klarna's."""
TYPES: Mapping[DocKind | None, Sequence[DocType]] = {
    None: tuple(DocType),
    DocKind.CREDIT_NOTE: (DocType.CREDIT, DocType.FREE_CREDIT),
}
SERIES = "F"
FEW_OF_DAYS = 30_000
"""Documents of a range of days that are gathered and sorted: they lie together, so that more are read in the same time."""
_UNPAID: Any = sa.text("document.open_minor <> 0")
"""Word for word the condition of the partial index on documents with something left, so that both databases use it."""
_NOTE: Any = sa.text("document.kind <> 'invoice'")
"""The same of the indexes on credit notes; what is not equal is looked up in no index of kinds."""
_WITHOUT: Any = sa.text(f"document.{WITHOUT}")
_OVERPAID = document_payment.is_overpaid(sa.cast(Document.kind, sa.Text))
"""Cast, a kind is not looked up in its index, which holds every document there is."""
_BROAD = frozenset({"all", "paid"})
"""Filters that most documents fit: a range of days narrows them, where it would only slow the others down."""
_SORTINGS: Mapping[str, Sorting] = {
    "basis": Sorting((Document.listed_basis, Document.id)),
    "date": Sorting((Document.listed_on, Document.id)),
    "method": Sorting((Document.listed_method, Document.id)),
    "customer": Sorting((Customer.name, Customer.id, Document.id), (Document.customer_id, Customer.id)),
    "type": Sorting((Document.type, Document.id)),
    "claim": Sorting((Document.open_minor, Document.id)),
    "paid": Sorting((Document.listed_paid, Document.id)),
    "klarna": Sorting((Document.listed_klarna, Document.id)),
}

_open_op, _issuing_op = aliased(KlarnaOp), aliased(KlarnaOp)
_original = aliased(Document)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list shows. ``kind`` narrows it to credit notes; ``starts`` and ``ends`` are days of the document.

    ``fields`` are texts by their name in FIELDS; ``search`` is looked for in all of them, and in names.
    """

    kind: DocKind | None = None
    view: str = "open"
    search: str = ""
    starts: date | None = None
    ends: date | None = None
    sort: str = "number"
    descending: bool = True
    fields: tuple[tuple[str, str], ...] = ()
    type: DocType | None = None

    @property
    def narrowed(self) -> bool:
        """Whether something is searched for."""
        return bool(self.search or self.fields or self.type or self.starts or self.ends)


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
    paid_on: date | None
    paid_reference: str | None

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


def default_view(kind: DocKind | None, narrowed: bool) -> str:
    """The filter a list opens with; a search looks through everything unless a filter is chosen."""
    return "all" if narrowed else VIEWS[kind][0]


# --- Which documents -----------------------------------------------------------------------------------------------------


def _of_view(filters: Filters) -> list[Any]:
    """What the documents of a filter have in common."""
    state, left, gross = Document.state, Document.open_minor, Document.gross_minor
    match filters.view:
        case "open":
            return [_UNPAID, sa.not_(_OVERPAID)]
        case "paid":
            return [state == DocState.ISSUED, left == 0, gross != 0, Document.reversed_at.is_(None)]
        case "overpaid":
            return [_UNPAID, _OVERPAID]
        case "waiting":
            return [state == DocState.PENDING]
        case "refused":
            return [state == DocState.REFUSED]
        case "drafts":
            return [state == DocState.DRAFT]
        case "approval":
            return [state == DocState.DRAFT, Document.id.in_(sa.select(ApprovalRequest.document_id))]
        case "without":
            issued = (state == DocState.ISSUED, sa.func.coalesce(Document.issued_by_op_id, "") == "")
            rest = (Document.reversed_at.is_(None), sa.not_(without_klarna.settled()))
            return [_WITHOUT, *keyset.unindexed([*issued, *rest])]
    return []


def _of_range(filters: Filters) -> list[Condition]:
    wanted = [] if filters.starts is None else [Document.listed_on >= filters.starts]
    return wanted if filters.ends is None else [*wanted, Document.listed_on <= filters.ends]


def _of_search(session: Session, filters: Filters) -> list[Condition]:
    """What is searched for, each condition a look into an index (B12)."""
    wanted = [search.documents_with(name, text) for name, text in filters.fields]
    if filters.search:
        wanted.append(keyset.among(session, Document.id, search.documents_found(session, filters.search).ids))
    return wanted


def _wanted(session: Session, filters: Filters, *, counted: bool = False) -> Wanted:
    """Which documents, and which of the conditions leads: what is searched for, else a rare filter, else a range of days.

    A lesser one is looked at row by row, so that no index of its own is followed in its place.
    """
    view, days, found = _of_view(filters), _of_range(filters), _of_search(session, filters)
    kind: list[Condition] = [] if filters.kind is None else [_NOTE]
    type_ = [] if filters.type is None else [Document.type == filters.type]
    rest: list[Condition] = [Document.number.is_not(None)] if filters.kind is None else []
    sort = None if counted else filters.sort
    if found:
        return Wanted([*found, *keyset.unindexed([*view, *days, *type_, *kind]), *rest], walks=False)
    if filters.view in ("open", "overpaid") and filters.kind is None:
        # Whatever is asked for besides, what is unpaid lies in each order.
        unpaid = [_UNPAID, *keyset.unindexed([*view, *days, *type_]), *rest]
        return Wanted(unpaid, walks=sort != "customer")
    if filters.view == "open":
        return Wanted([*view, *keyset.unindexed([*kind, *days, *type_])], walks=False, along=[_UNPAID])
    if filters.view not in _BROAD:
        # A state is looked up together with the kind; what went without Klarna has its own index.
        both = [_is(each) for each in (filters.kind,) if each is not None and filters.view != "without"]
        lesser = keyset.unindexed([*days, *type_, *([] if both else kind)])
        return Wanted([*view, *both, *lesser, *rest], walks=False, along=kind if both or not kind else [_WITHOUT])
    if type_:
        along = [*kind, *days] if sort == "date" else [*kind, *_numbered(filters, sort)]
        return Wanted([*type_, *kind, *keyset.unindexed([*view, *days]), *rest], walks=False, along=along)
    if days:
        along = [*kind, *_numbered(filters, sort)]
        return Wanted(
            [*kind, *days, *keyset.unindexed(view), *rest],
            walks=sort == "date",
            along=along,
            few=None if kind else FEW_OF_DAYS,
        )
    if sort == "number":
        way = _is(filters.kind) if filters.kind is not None else Document.series == SERIES
        return Wanted([*keyset.unindexed(view), *rest], [(way,)])
    walks = not kind or sort != "customer"
    return Wanted([*kind, *keyset.unindexed(view), *rest], walks=walks)


def _numbered(filters: Filters, sort: str | None) -> list[Condition]:
    """What holds the documents in the order of their numbers: their one series, or the ids of their kind."""
    if sort != "number":
        return []
    return [Document.series == SERIES] if filters.kind is None else [_is(filters.kind)]


def _is(kind: DocKind) -> Condition:
    return Document.kind == kind


def _sorting(filters: Filters) -> Sorting:
    if filters.sort == "number":
        return Sorting((Document.number, Document.id) if filters.kind is None else (Document.id,))
    return _SORTINGS[filters.sort]


# --- Pages and counts ------------------------------------------------------------------------------------------------------


def is_whole(session: Session, filters: Filters) -> bool:
    """Whether the search found all there is, and not only the first of very many."""
    return not filters.search or search.documents_found(session, filters.search).whole


def listing(session: Session, filters: Filters, after: str | None = None, limit: int = SIZES[0]) -> Listing:
    """A page of the list: ``limit`` rows from the mark ``after`` on, which another page gave as ``newer`` or ``older``."""
    place = keyset.page(
        session,
        _sorting(filters),
        _wanted(session, filters),
        descending=filters.descending,
        mark=after,
        limit=limit if limit in SIZES else SIZES[0],
    )
    return Listing(_rows(session, place.ids), place.newer, place.older)


def export(session: Session, filters: Filters) -> tuple[Iterator[Row], bool]:
    """Everything the filters show, at most 100,000 rows, read while they are written, and whether that is all."""
    ids = keyset.ids(
        session, _sorting(filters), _wanted(session, filters), descending=filters.descending, limit=EXPORT_CAP + 1
    )
    shown = ids[:EXPORT_CAP]
    rows = (row for at in range(0, len(shown), 500) for row in _rows(session, shown[at : at + 500]))
    return rows, len(ids) <= EXPORT_CAP


def counts(session: Session, filters: Filters) -> dict[str, int]:
    """The count of every filter for the same search, each to at most 1,001, in one question."""
    each = [_capped(session, replace(filters, view=view)).label(view) for view in VIEWS[filters.kind]]
    return dict(session.execute(sa.select(*each)).one()._mapping)  # noqa: SLF001 - how a row becomes a mapping


def _capped(session: Session, filters: Filters) -> sa.ScalarSelect[int]:
    """How many documents the filters show, counted to at most 1,001, which stands for more than a thousand."""
    wanted = _wanted(session, filters, counted=True).all
    some = sa.select(Document.id).where(*wanted).limit(COUNT_CAP + 1).subquery()
    return sa.select(sa.func.count()).select_from(some).scalar_subquery()


def _columns() -> sa.Select[Any]:
    columns: list[Any] = [
        Document.id,
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
        Document.paid_at,
        Document.paid_reference,
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


def _rows(session: Session, ids: Sequence[int]) -> list[Row]:
    """The rows of these ids in their order: three queries however many there are."""
    rows = {row.id: row for row in session.execute(_columns().where(Document.id.in_(ids)))}
    found = [rows[each] for each in ids]
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
        paid=document_payment.state_of(row.kind, gross, row.open_minor, row.reversed_at) if issued else None,
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
        paid_on=row.paid_at,
        paid_reference=row.paid_reference,
    )


def _credited(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """What issued credit notes hold of each invoice: what Klarna has not answered is not called credited (K33).

    Kind and state are cast so that the index on originals is used, not the one by which every credit note would be read.
    """
    query = (
        sa.select(Document.original_id, sa.func.sum(Document.gross_minor))
        .where(
            Document.original_id.in_(ids),
            sa.cast(Document.kind, sa.Text) == str(DocKind.CREDIT_NOTE),
            sa.cast(Document.state, sa.Text) == str(DocState.ISSUED),
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
