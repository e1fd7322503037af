"""«Kontoanalys»: the rows of an account in booking order with the balance after each (B34).

Amounts are minor units, debit positive, credit negative. Source: B34; BFNAR 2013:2 p. 2.3 (huvudbok).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import NotFound
from models import Account, Document, Posting, Voucher
from services.book_lists import BalanceRow, trial_balance

MOST_ROWS = 2_000
"""Rows of an account sheet on one page; a longer one says that it was cut."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A booking on one account and the balance after it. Merged rows have no voucher of their own: ``joined`` tells how many."""

    day: date
    voucher_id: int | None
    label: str
    text: str
    document_id: int | None
    document_number: str | None
    debit: int
    credit: int
    balance: int
    joined: int


@dataclass(frozen=True, slots=True)
class AccountSheet:
    """«Kontoanalys»: one account through a period; ``cut`` when there were more rows than a page takes."""

    account: int
    name: str
    kind: str
    opening: int
    closing: int
    rows: Sequence[SheetRow]
    cut: bool


def balance_of(session: Session, account: Account, starts: date, ends: date) -> BalanceRow:
    """An account's row of the trial balance; with nothing in it where nothing was booked."""
    found = next((row for row in trial_balance(session, starts, ends) if row.account == account.number), None)
    return found or BalanceRow(account.number, account.name, account.kind, 0, 0, 0, 0)


def account_sheet(
    session: Session, account: int, starts: date, ends: date, *, merge: bool = False, limit: int = MOST_ROWS
) -> AccountSheet:
    """One account through a period, its first rows; ``merge`` joins those of each document into one. Raises NotFound."""
    found = session.get(Account, account)
    if found is None:
        raise NotFound
    balance = balance_of(session, found, starts, ends)
    told = list(account_rows(session, balance, starts, ends, merge=merge, most=limit + 1))
    return AccountSheet(
        account, found.name, found.kind, balance.opening, balance.closing, told[:limit], len(told) > limit
    )


def account_rows(
    session: Session, balance: BalanceRow, starts: date, ends: date, *, merge: bool = False, most: int | None = None
) -> Iterator[SheetRow]:
    """The rows of an account of the trial balance through a period, all or the first, a thousand at a time."""
    query = _merged(balance.account, starts, ends) if merge else _plain(balance.account, starts, ends)
    running = balance.opening
    for row in session.execute(query.limit(most).execution_options(yield_per=1000)):
        running += int(row.debit) - int(row.credit)
        yield SheetRow(
            row.day,
            row.voucher_id,
            f"{row.series}{row.number}" if row.voucher_id is not None else "",
            row.text,
            row.document_id,
            row.number_text,
            int(row.debit),
            int(row.credit),
            running,
            row.joined,
        )


_DEBIT = sa.case((Posting.amount_minor > 0, Posting.amount_minor), else_=0)
_CREDIT = sa.case((Posting.amount_minor < 0, -Posting.amount_minor), else_=0)


def _plain(account: int, starts: date, ends: date) -> sa.Select[tuple[object, ...]]:
    text = sa.case((Posting.text != "", Posting.text), else_=Voucher.text)
    return (
        sa.select(
            Voucher.day,
            Voucher.id.label("voucher_id"),
            Voucher.series,
            Voucher.number,
            text.label("text"),
            Posting.document_id,
            Document.number_text,
            _DEBIT.label("debit"),
            _CREDIT.label("credit"),
            sa.literal(1).label("joined"),
        )
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .outerjoin(Document, Document.id == Posting.document_id)
        .where(Posting.account == account, Voucher.day >= starts, Voucher.day <= ends)
        .order_by(Voucher.day, Voucher.id, Posting.position)
    )


def _merged(account: int, starts: date, ends: date) -> sa.Select[tuple[object, ...]]:
    alone = sa.func.coalesce(Posting.document_id, -Voucher.id)
    single = sa.func.min(Voucher.id) == sa.func.max(Voucher.id)
    return (
        sa.select(
            sa.func.min(Voucher.day).label("day"),
            sa.case((single, sa.func.min(Voucher.id))).label("voucher_id"),
            sa.func.min(Voucher.series).label("series"),
            sa.func.min(Voucher.number).label("number"),
            sa.func.min(Voucher.text).label("text"),
            sa.func.min(Posting.document_id).label("document_id"),
            sa.func.min(Document.number_text).label("number_text"),
            sa.func.sum(_DEBIT).label("debit"),
            sa.func.sum(_CREDIT).label("credit"),
            sa.func.count().label("joined"),
        )
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .outerjoin(Document, Document.id == Posting.document_id)
        .where(Posting.account == account, Voucher.day >= starts, Voucher.day <= ends)
        .group_by(alone)
        .order_by(sa.func.min(Voucher.day), sa.func.min(Voucher.id))
    )
