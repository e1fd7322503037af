"""What is read out of the books: vouchers and trial balance. Set-based SQL, nothing is written.

Amounts are minor units, debit positive, credit negative. Source: B34; BFNAR 2013:2 p. 2.3.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import NotFound
from models import Account, Document, FiscalYear, Payout, Posting, Voucher
from states import DocKind

MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """One account of a trial balance; ``closing = opening + debit - credit``; ``credit`` is a magnitude."""

    account: int
    name: str
    kind: str
    opening: int
    debit: int
    credit: int
    closing: int


def trial_balance(session: Session, starts: date, ends: date) -> list[BalanceRow]:
    """Every account with a figure in the period or before it, by number.

    Asset and debt accounts open with all that was booked before; cost and income accounts with what was booked earlier in
    the financial year of ``starts``.
    """
    year_starts = session.scalar(
        sa.select(FiscalYear.starts).where(FiscalYear.starts <= starts, FiscalYear.ends >= starts)
    )
    within = Voucher.day >= starts
    before = sa.and_(
        Voucher.day < starts,
        sa.or_(Account.kind.in_(("T", "S")), Voucher.day >= (year_starts or starts)),
    )
    opening = sa.func.sum(sa.case((before, Posting.amount_minor), else_=0))
    debit = sa.func.sum(sa.case((sa.and_(within, Posting.amount_minor > 0), Posting.amount_minor), else_=0))
    credit = sa.func.sum(sa.case((sa.and_(within, Posting.amount_minor < 0), -Posting.amount_minor), else_=0))
    rows = session.execute(
        sa.select(Account.number, Account.name, Account.kind, opening, debit, credit)
        .join(Posting, Posting.account == Account.number)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Voucher.day <= ends)
        .group_by(Account.number, Account.name, Account.kind)
        .order_by(Account.number)
    )
    made = (
        BalanceRow(number, name, kind, int(first), int(plus), int(minus), int(first) + int(plus) - int(minus))
        for number, name, kind, first, plus, minus in rows
    )
    return [row for row in made if row.opening or row.debit or row.credit]


def other_currencies(session: Session, ends: date, starts: date = date.min) -> dict[str, int]:
    """How many vouchers of these days are in a currency that is not the books': a sum of them with kronor means nothing."""
    found = session.execute(
        sa.select(Voucher.currency, sa.func.count())
        .where(Voucher.currency != "SEK", Voucher.day >= starts, Voucher.day <= ends)
        .group_by(Voucher.currency)
        .order_by(Voucher.currency)
    )
    return {each[0]: int(each[1]) for each in found}


@dataclass(frozen=True, slots=True)
class BalanceSums:
    """The foot of a trial balance: what was booked, and the result so far (a profit is positive)."""

    debit: int
    credit: int
    result: int


def balance_sums(rows: Sequence[BalanceRow]) -> BalanceSums:
    """Add up a trial balance."""
    return BalanceSums(
        sum(row.debit for row in rows),
        sum(row.credit for row in rows),
        -sum(row.closing for row in rows if row.kind in ("K", "I")),
    )


@dataclass(frozen=True, slots=True)
class VoucherRow:
    """A voucher in the list; ``total_minor`` is the sum of its debits."""

    id: int
    series: str
    number: int
    day: date
    text: str
    total_minor: int
    currency: str
    document_id: int | None
    document_number: str | None
    payout_id: int | None
    reverses_id: int | None
    created_by: str

    @property
    def label(self) -> str:
        """Series and number, as ``F12``."""
        return f"{self.series}{self.number}"


def voucher_list(
    session: Session,
    *,
    series: Collection[str] = (),
    starts: date | None = None,
    ends: date | None = None,
    after: tuple[date, int] | None = None,
    limit: int = 50,
) -> list[VoucherRow]:
    """Vouchers of these series, or all, the newest first; ``after`` is day and id of the last row of the page before (B34)."""
    page = sa.select(Voucher.id).order_by(Voucher.day.desc(), Voucher.id.desc()).limit(min(limit, MOST_ROWS))
    if series:
        page = page.where(Voucher.series.in_(series))
    if starts is not None:
        page = page.where(Voucher.day >= starts)
    if ends is not None:
        page = page.where(Voucher.day <= ends)
    if after is not None:
        page = page.where(sa.tuple_(Voucher.day, Voucher.id) < sa.tuple_(*_literals(after)))
    ids = list(session.scalars(page))
    return _voucher_rows(session, ids)


def _literals(after: tuple[date, int]) -> tuple[sa.ColumnElement[date], sa.ColumnElement[int]]:
    return sa.literal(after[0], Voucher.day.type), sa.literal(after[1], Voucher.id.type)


def _voucher_rows(session: Session, ids: Sequence[int]) -> list[VoucherRow]:
    debits = (
        sa.select(Posting.voucher_id, sa.func.sum(Posting.amount_minor).label("total"))
        .where(Posting.voucher_id.in_(ids), Posting.amount_minor > 0)
        .group_by(Posting.voucher_id)
        .subquery()
    )
    rows = session.execute(
        sa.select(
            Voucher.id,
            Voucher.series,
            Voucher.number,
            Voucher.day,
            Voucher.text,
            debits.c.total,
            Voucher.currency,
            Voucher.document_id,
            Document.number_text,
            Voucher.payout_id,
            Voucher.reverses_id,
            Voucher.created_by,
        )
        .outerjoin(debits, debits.c.voucher_id == Voucher.id)
        .outerjoin(Document, Document.id == Voucher.document_id)
        .where(Voucher.id.in_(ids))
        .order_by(Voucher.day.desc(), Voucher.id.desc())
    )
    return [
        VoucherRow(
            row.id,
            row.series,
            row.number,
            row.day,
            row.text,
            int(row.total or 0),
            row.currency,
            row.document_id,
            row.number_text,
            row.payout_id,
            row.reverses_id,
            row.created_by,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class PostingRow:
    """A row of a voucher with the names a page shows; one of ``debit`` and ``credit`` is 0."""

    account: int
    name: str
    text: str
    debit: int
    credit: int
    vat_rate: int | None
    document_id: int | None
    document_number: str | None


@dataclass(frozen=True, slots=True)
class VoucherPage:
    """One voucher with its rows, what it rests on, and the voucher it reverses or is reversed by."""

    row: VoucherRow
    source: str
    created_at: datetime
    hash: str
    payout_reference: str | None
    reverses: VoucherRow | None
    reversed_by: VoucherRow | None
    postings: list[PostingRow]


def voucher(session: Session, voucher_id: int) -> VoucherPage:
    """One voucher as its page shows it. Raises NotFound."""
    found = session.execute(
        sa.select(Voucher.source, Voucher.created_at, Voucher.hash, Voucher.reverses_id, Payout.payment_reference)
        .outerjoin(Payout, Payout.id == Voucher.payout_id)
        .where(Voucher.id == voucher_id)
    ).one_or_none()
    if found is None:
        raise NotFound
    reversed_by = session.scalar(sa.select(Voucher.id).where(Voucher.reverses_id == voucher_id))
    near = {
        row.id: row
        for row in _voucher_rows(
            session, [one for one in (voucher_id, found.reverses_id, reversed_by) if one is not None]
        )
    }
    rows = session.execute(
        sa.select(
            Posting.account,
            Account.name,
            Posting.text,
            Posting.amount_minor,
            Posting.vat_rate,
            Posting.document_id,
            Document.number_text,
        )
        .join(Account, Account.number == Posting.account)
        .outerjoin(Document, Document.id == Posting.document_id)
        .where(Posting.voucher_id == voucher_id)
        .order_by(Posting.position)
    )
    return VoucherPage(
        row=near[voucher_id],
        source=found.source,
        created_at=found.created_at,
        hash=found.hash,
        payout_reference=found.payment_reference,
        reverses=near.get(found.reverses_id) if found.reverses_id is not None else None,
        reversed_by=near.get(reversed_by) if reversed_by is not None else None,
        postings=[
            PostingRow(
                row.account,
                row.name,
                row.text,
                max(row.amount_minor, 0),
                max(-row.amount_minor, 0),
                row.vat_rate,
                row.document_id,
                row.number_text,
            )
            for row in rows
        ],
    )


def document_endpoint(session: Session, document_id: int | None) -> str | None:
    """The page of the document a voucher rests on."""
    if document_id is None:
        return None
    kind = session.scalar(sa.select(Document.kind).where(Document.id == document_id))
    return "credit_notes.show" if kind is DocKind.CREDIT_NOTE else "invoices.show"
