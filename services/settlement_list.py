"""Settlement readings as pages show them: the list with its filters, one reading, and a document's own rows (B1-B4).

Pure reading; Core rows, keyset pages. Amounts are minor units. Source: screens, "Settlement readings"; performance, lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, NotFound, Refusal
from models import Document, KlarnaAccount, Payout, PayoutRow, ReadingFile, RowMatch, RowShare
from services.settlement_layouts import FEE_TYPES
from services.settlement_report import Written, written
from services.settlement_sentences import told
from states import DocKind, PayoutState, Pile

PILES = (Pile.FAULTY, Pile.WARNING, Pile.HANDLED, Pile.MATCHED)
"""In the order in which they are looked at."""
SOURCES = ("api", "upload", "folder")
MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list shows; the days are local and of the payout (B2)."""

    number: int | None = None
    source: str | None = None
    starts: date | None = None
    ends: date | None = None
    piles: frozenset[Pile] = frozenset()


@dataclass(frozen=True, slots=True)
class ListRow:
    """A reading in the list; ``counts`` per pile."""

    id: int
    account: str
    source: str
    payment_reference: str
    payout_date: datetime
    currency: str
    settlement_minor: int
    state: PayoutState
    counts: dict[Pile, int]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list; ``older`` is the id of its last row when there are more, ``whole`` that nothing is left out."""

    rows: Sequence[ListRow]
    older: int | None
    empty: bool


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), clock.LOCAL)


def listing(session: Session, filters: Filters, *, after: int | None = None, limit: int = 30) -> Listing:
    """Readings, the newest first; ``after`` is the id of the last row of the page before."""
    limit = min(limit, MOST_ROWS)
    query = (
        sa.select(
            Payout.id,
            KlarnaAccount.name,
            ReadingFile.source,
            Payout.payment_reference,
            Payout.payout_date,
            Payout.currency,
            Payout.settlement_minor,
            Payout.state,
        )
        .join(KlarnaAccount, KlarnaAccount.id == Payout.account_id)
        .join(ReadingFile, ReadingFile.id == Payout.file_id)
        .order_by(Payout.id.desc())
        .limit(limit + 1)
    )
    if filters.number is not None:
        query = query.where(Payout.id == filters.number)
    if filters.source is not None:
        query = query.where(ReadingFile.source == filters.source)
    if filters.starts is not None:
        query = query.where(Payout.payout_date >= _start_of(filters.starts))
    if filters.ends is not None:
        query = query.where(Payout.payout_date < _start_of(filters.ends + timedelta(days=1)))
    if filters.piles:
        query = query.where(_has_row_in(filters.piles))
    if after is not None:
        query = query.where(Payout.id < after)
    found = session.execute(query).all()
    shown = found[:limit]
    counts = pile_counts(session, [row.id for row in shown])
    rows = [ListRow(*row, counts.get(row.id, {})) for row in shown]
    empty = not found and session.scalar(sa.select(Payout.id).limit(1)) is None
    return Listing(rows, rows[-1].id if len(found) > limit else None, empty)


@dataclass(frozen=True, slots=True)
class AccountRead:
    """An account, when its payouts were last fetched to the end, and what went wrong since."""

    id: int
    name: str
    store_id: str
    read_at: datetime | None
    trouble: Refusal | None


def accounts_read(session: Session) -> Sequence[AccountRead]:
    """The active accounts and how fetching from them goes."""
    found = session.scalars(
        sa.select(KlarnaAccount).where(KlarnaAccount.active.is_(True)).order_by(KlarnaAccount.name, KlarnaAccount.id)
    )
    return [
        AccountRead(
            each.id,
            each.name,
            each.store_id,
            each.settlements_read_at,
            told(each.settlements_error) if each.settlements_error else None,
        )
        for each in found
    ]


def file_of(session: Session, payout_id: int) -> ReadingFile:
    """The report a payout was read from. Raises NotFound."""
    found = session.scalar(
        sa.select(ReadingFile).join(Payout, Payout.file_id == ReadingFile.id).where(Payout.id == payout_id)
    )
    if found is None:
        raise NotFound
    return found


def _has_row_in(piles: frozenset[Pile]) -> sa.ColumnElement[bool]:
    """Whether a payout has a row in one of the piles; one that does not add up has no rows and is faulty as a whole."""
    rows = (
        sa.select(RowMatch.row_id)
        .join(PayoutRow, PayoutRow.id == RowMatch.row_id)
        .where(PayoutRow.payout_id == Payout.id, RowMatch.pile.in_(piles))
        .correlate(Payout)
        .exists()
    )
    if Pile.FAULTY not in piles:
        return rows
    return sa.or_(rows, sa.and_(Payout.state == PayoutState.PARKED, Payout.row_count == 0))


def pile_counts(session: Session, payouts: Sequence[int]) -> dict[int, dict[Pile, int]]:
    """Rows per pile of some payouts."""
    counts: dict[int, dict[Pile, int]] = {}
    if payouts:
        query = (
            sa.select(PayoutRow.payout_id, RowMatch.pile, sa.func.count())
            .join(RowMatch, RowMatch.row_id == PayoutRow.id)
            .where(PayoutRow.payout_id.in_(payouts))
            .group_by(PayoutRow.payout_id, RowMatch.pile)
        )
        for payout_id, pile, count in session.execute(query):
            counts.setdefault(payout_id, {})[pile] = count
    return counts


# --- Rows of a reading, per document -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A row of a reading with the costs of its document, or one that stands alone (B3).

    ``amount_minor`` is the document's, ``fee_minor`` and ``vat_minor`` its costs (negative), ``bank_minor`` their sum: what
    Klarna pays for it. ``row_id`` is the row a person can act on, ``row_no`` its number. ``fault`` is as it is kept.
    """

    row_no: int
    row_id: int
    type: str
    detailed_type: str
    pile: Pile
    because: str | None
    note: str | None
    handled_by: str | None
    handled_at: datetime | None
    document_id: int | None
    document_number: str | None
    document_kind: DocKind | None
    document_minor: int | None
    short_order_id: str | None
    reference: str | None
    happened_at: datetime | None
    fault: str | None
    amount_minor: int
    fee_minor: int
    vat_minor: int

    @property
    def written(self) -> Written | None:
        """What the row states and the payout does not count; None where the amount says it all."""
        return written(self.fault, self.amount_minor)

    @property
    def stated_minor(self) -> int:
        """The row's own amount: of a cost that stands alone, the cost."""
        return self.fee_minor if self.type in FEE_TYPES and not self.amount_minor else self.amount_minor

    @property
    def bank_minor(self) -> int:
        """What Klarna pays out for it."""
        return self.amount_minor + self.fee_minor + self.vat_minor


def document_rows(
    session: Session, payout_id: int, pile: Pile, *, kept: Sequence[int] = (), after: int | None = None, limit: int = 50
) -> tuple[Sequence[DocumentRow], int | None]:
    """The rows of a reading in one pile, the costs of a document in the line of what pays it; ``after`` is the row number
    the page before ended with.

    Whatever a person can act on or take back is a line of its own, with its own number; the lines of the rows ``kept`` stay
    whatever their pile is now. The second value is the row number where the next page goes on.
    """
    limit = min(limit, MOST_ROWS)
    part = _parts(payout_id, kept).subquery("part").c
    leads = part.row_id == part.lead
    in_sight = sa.case((sa.and_(leads, part.pile == pile), 1), (part.row_id.in_(kept), 1), else_=0)
    number = sa.func.max(sa.case((leads, part.row_no)))
    lines = (
        sa.select(
            part.lead,
            number.label("row_no"),
            sa.func.sum(sa.case((part.is_cost, 0), else_=part.amount_minor)).label("amount_minor"),
            sa.func.sum(sa.case((part.is_cost, part.amount_minor), else_=0)).label("fee_minor"),
            sa.func.sum(part.vat_minor).label("vat_minor"),
        )
        .group_by(part.lead)
        .having(sa.func.max(in_sight) == 1)
        .order_by(number)
        .limit(limit + 1)
    )
    if after is not None:
        lines = lines.having(number > after)
    # The page is cut before anything is looked up for it: its lines alone are joined.
    grouped = lines.cte("page_lines")
    query = (
        sa.select(
            grouped.c.row_no,
            PayoutRow.id,
            PayoutRow.type,
            PayoutRow.detailed_type,
            RowMatch.pile,
            RowMatch.because,
            RowMatch.note,
            RowMatch.handled_by,
            RowMatch.handled_at,
            RowMatch.document_id,
            Document.number_text,
            Document.kind,
            Document.gross_minor,
            PayoutRow.short_order_id,
            sa.func.coalesce(PayoutRow.capture_reference, PayoutRow.refund_reference, PayoutRow.merchant_reference1),
            PayoutRow.happened_at,
            PayoutRow.fault,
            grouped.c.amount_minor,
            grouped.c.fee_minor,
            grouped.c.vat_minor,
        )
        .join(PayoutRow, PayoutRow.id == grouped.c.lead)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .outerjoin(Document, Document.id == RowMatch.document_id)
        .order_by(grouped.c.row_no)
    )
    rows = [DocumentRow(*_plain(row)) for row in session.execute(query)]
    return rows[:limit], rows[limit - 1].row_no if len(rows) > limit else None


def _parts(payout_id: int, kept: Sequence[int]) -> sa.Select[*tuple[Any, ...]]:
    """Every row of a payout with ``lead``, the row in whose line it is told.

    A cost that matched by itself is told with the sale of its document, else with whatever else the payout has of that
    document: nobody has to act on it. Every other row leads its own line, so that none is lost behind another.
    """
    is_cost = sa.and_(PayoutRow.type.in_(FEE_TYPES), RowMatch.document_id.is_not(None))
    joins = sa.and_(is_cost, RowMatch.pile == Pile.MATCHED, PayoutRow.id.not_in(kept))

    def first(which: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.min(sa.case((which, PayoutRow.id))).over(partition_by=RowMatch.document_id)

    with_it = sa.func.coalesce(first(PayoutRow.type == "SALE"), first(sa.not_(is_cost)), first(joins))
    return (
        sa.select(
            PayoutRow.id.label("row_id"),
            PayoutRow.row_no,
            PayoutRow.amount_minor,
            PayoutRow.vat_minor,
            RowMatch.pile,
            is_cost.label("is_cost"),
            sa.case((joins, with_it), else_=PayoutRow.id).label("lead"),
        )
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(PayoutRow.payout_id == payout_id)
    )


_SUMS = tuple(field.name for field in fields(DocumentRow))[-3:]


def _plain(row: Any) -> list[Any]:
    """Sums are decimals on PostgreSQL."""
    values = list(row)
    return values[: -len(_SUMS)] + [int(each) for each in values[-len(_SUMS) :]]


# --- A document's own rows ---------------------------------------------------------------------------------------------------

KINDS: dict[str, str] = {
    "bank": N_("Bank payment"),
    "fee": N_("Credit sale cost"),
    "vat": N_("VAT on the credit sale cost"),
    "refund": N_("Refund"),
    "reversal": N_("Taken back by Klarna"),
}
"""What the rows of a document are called (B1)."""


@dataclass(frozen=True, slots=True)
class SettledRow:
    """What a payout says of a document; the rows of one payout add up to what it pays of the document."""

    kind: str
    amount_minor: int
    payout_id: int
    payment_reference: str
    payout_date: datetime
    booked: bool


def rows_of_document(session: Session, document_id: int) -> Sequence[SettledRow]:
    """A document's settlement rows, oldest payout first: bank payment, credit sale cost and the VAT on it (B1)."""
    whole = (
        sa.select(PayoutRow.payout_id, PayoutRow.type, PayoutRow.amount_minor, PayoutRow.vat_minor)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(RowMatch.document_id == document_id)
    )
    shared = (
        sa.select(PayoutRow.payout_id, PayoutRow.type, RowShare.amount_minor, sa.literal(0))
        .join(RowShare, RowShare.row_id == PayoutRow.id)
        .where(RowShare.document_id == document_id)
    )
    part = sa.union_all(whole, shared).subquery("part").c
    is_fee = part.type.in_(FEE_TYPES)
    reversed_ = part.type.in_(("REVERSAL", "REVERSAL_MERCHANT_PROTECTION"))
    found = session.execute(
        sa.select(
            Payout.id,
            Payout.payment_reference,
            Payout.payout_date,
            Payout.state,
            sa.func.sum(sa.case((sa.or_(is_fee, reversed_), 0), else_=part.amount_minor)).label("amount"),
            sa.func.sum(sa.case((is_fee, part.amount_minor), else_=0)).label("fee"),
            sa.func.sum(part.vat_minor).label("vat"),
            sa.func.sum(sa.case((reversed_, part.amount_minor), else_=0)).label("reversal"),
        )
        .join(Payout, Payout.id == part.payout_id)
        .where(Payout.state != PayoutState.LOADING)
        .group_by(Payout.id, Payout.payment_reference, Payout.payout_date, Payout.state)
        .order_by(Payout.payout_date, Payout.id)
    )
    rows = []
    for payout_id, reference, at, state, amount, fee, vat, reversal in found:
        figures = {
            "refund" if amount < 0 else "bank": int(amount + fee + vat),
            "fee": -int(fee),
            "vat": -int(vat),
            "reversal": int(reversal),
        }
        rows += [
            SettledRow(kind, figure, payout_id, reference, at, state is PayoutState.BOOKED)
            for kind, figure in figures.items()
            if figure
        ]
    return rows
