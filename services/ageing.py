"""«Åldersanalys»: what is open per document on a day, by age, and that it adds up to the customer ledger (A9).

Amounts are minor units, negative where we owe. What the customer pays to us ages from its due date; what Klarna pays out, and
credit notes, from the day they were issued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Account, Customer, Document, Posting, Voucher
from states import DocKind

GROUPS = (0, 30, 60, 90)
"""Ends of the age groups in days; the first is what is not due yet, the last group what is older."""
MOST = 20_000
"""Documents in one report; a longer one says that it was cut."""
_UNPAID = sa.text("document.open_minor <> 0")
"""Word for word the condition of a partial index."""


@dataclass(frozen=True, slots=True)
class Row:
    """A document open on the day. ``days`` past its day, 0 or less while not due; ``group`` is its place in GROUPS."""

    document_id: int
    kind: DocKind
    number: str
    customer_number: int
    customer: str
    with_klarna: bool
    issued: date
    due: date
    open_minor: int
    days: int
    group: int


@dataclass(frozen=True, slots=True)
class Sums:
    """One debtor's groups, and all of them."""

    groups: Sequence[int]
    minor: int


@dataclass(frozen=True, slots=True)
class Ageing:
    """The ledger on a day: rows, the oldest first, and sums for Klarna, for customers, and together."""

    day: date
    rows: Sequence[Row]
    klarna: Sums
    customers: Sums
    total_minor: int
    ledger_minor: int
    cut: bool


def ageing(session: Session, day: date) -> Ageing:
    """What was open at the end of a day."""
    rows = [_row(each, day) for each in session.execute(_open(day).limit(MOST + 1))]
    held = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Account, Account.number == Posting.account)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Account.receivable.is_(True), Voucher.day <= day)
    )
    kept = rows[:MOST]
    return Ageing(
        day,
        kept,
        _sums([row for row in kept if row.with_klarna]),
        _sums([row for row in kept if not row.with_klarna]),
        sum(row.open_minor for row in kept),
        int(held or 0),
        len(rows) > MOST,
    )


def _open(day: date) -> sa.Select[*tuple[Any, ...]]:
    columns = (
        Document.id,
        Document.kind,
        Document.number_text,
        Customer.number,
        Customer.name,
        Document.with_klarna,
        Document.issue_date,
        Document.due_date,
    )
    if day >= clock.today():
        return (
            sa.select(*columns, Document.open_minor)
            .join(Customer, Customer.id == Document.customer_id)
            .where(_UNPAID)
            .order_by(Document.issue_date, Document.id)
        )
    held = (
        sa.select(Posting.document_id, sa.func.sum(Posting.amount_minor).label("open_minor"))
        .join(Account, Account.number == Posting.account)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Account.receivable.is_(True), Voucher.day <= day)
        .group_by(Posting.document_id)
        .having(sa.func.sum(Posting.amount_minor) != 0)
        .subquery()
    )
    return (
        sa.select(*columns, held.c.open_minor)
        .join(held, held.c.document_id == Document.id)
        .join(Customer, Customer.id == Document.customer_id)
        .order_by(Document.issue_date, Document.id)
    )


def _row(found: Any, day: date) -> Row:
    key, kind, number, customer, name, with_klarna, issued, due, minor = found
    issued = issued or day
    ages_from = due if due is not None and not with_klarna and kind is DocKind.INVOICE else issued
    days = (day - ages_from).days
    group = next((place for place, end in enumerate(GROUPS) if days <= end), len(GROUPS))
    return Row(key, kind, number or "", customer, name, with_klarna, issued, ages_from, int(minor), days, group)


def _sums(rows: Sequence[Row]) -> Sums:
    groups = [sum(row.open_minor for row in rows if row.group == place) for place in range(len(GROUPS) + 1)]
    return Sums(groups, sum(groups))
