"""The voucher list as rows for a file: one row per posting, the oldest first. Amounts are minor units (B34)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Account, Document, Posting, Voucher

MOST_ROWS = 1_000_000
"""Rows in one file, about as many as a spreadsheet takes; a longer one says that it was cut."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A posting with its voucher, as a row of the file."""

    label: str
    day: date
    text: str
    account: int
    name: str
    row_text: str
    debit: int
    credit: int
    document_number: str | None
    created_at: datetime
    created_by: str


def posting_rows(
    session: Session,
    *,
    series: Collection[str] = (),
    starts: date | None = None,
    ends: date | None = None,
    limit: int = MOST_ROWS,
) -> Iterator[FileRow]:
    """The rows of the vouchers of these series, or all, that fit, at most ``limit`` and one more, read a thousand at a time."""
    query = (
        sa.select(
            Voucher.series,
            Voucher.number,
            Voucher.day,
            Voucher.text,
            Posting.account,
            Account.name,
            Posting.text.label("row_text"),
            Posting.amount_minor,
            Document.number_text,
            Voucher.created_at,
            Voucher.created_by,
        )
        .join(Posting, Posting.voucher_id == Voucher.id)
        .join(Account, Account.number == Posting.account)
        .outerjoin(Document, Document.id == Posting.document_id)
        .order_by(Voucher.day, Voucher.id, Posting.position)
        .limit(limit + 1)
        .execution_options(yield_per=1000)
    )
    if series:
        query = query.where(Voucher.series.in_(series))
    if starts is not None:
        query = query.where(Voucher.day >= starts)
    if ends is not None:
        query = query.where(Voucher.day <= ends)
    for row in session.execute(query):
        yield FileRow(
            f"{row.series}{row.number}",
            row.day,
            row.text,
            row.account,
            row.name,
            row.row_text,
            max(row.amount_minor, 0),
            max(-row.amount_minor, 0),
            row.number_text,
            row.created_at,
            row.created_by,
        )
