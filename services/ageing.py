"""«Åldersanalys»: what is open per document on a day, by age, and that it adds up to the customer ledger (A9).

Amounts are minor units, negative where we owe. What the customer pays to us ages from its due date; what Klarna pays out, and
credit notes, from the day they were issued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Account, Customer, Document, Posting, Voucher
from services.owed import IS_AT_KLARNA
from states import DocKind

GROUPS = (0, 30, 60, 90)
"""Ends of the age groups in days; the first is what is not due yet, the last group what is older."""
_UNPAID = sa.text("document.open_minor <> 0")
"""Word for word the condition of a partial index."""
_AGES_FROM = sa.case(
    (
        sa.and_(Document.due_date.is_not(None), Document.kind == DocKind.INVOICE, sa.not_(IS_AT_KLARNA)),
        Document.due_date,
    ),
    else_=Document.issue_date,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A document open on the day; ``at_klarna`` where Klarna is who pays. ``days`` past its day, 0 or less while not due."""

    document_id: int
    kind: DocKind
    number: str
    customer_number: int
    customer: str
    at_klarna: bool
    issued: date
    due: date
    open_minor: int
    days: int


@dataclass(frozen=True, slots=True)
class Sums:
    """One debtor's groups, and all of them."""

    groups: Sequence[int]
    minor: int


@dataclass(frozen=True, slots=True)
class Ageing:
    """The ledger on a day: sums for Klarna, for customers, and together, and the rows behind them, the oldest first.

    The sums are of all that was open, also where ``cut`` says that there are more rows than were asked for.
    """

    day: date
    rows: Sequence[Row]
    klarna: Sums
    customers: Sums
    total_minor: int
    ledger_minor: int
    cut: bool


def ageing(session: Session, day: date, most: int) -> Ageing:
    """What was open at the end of a day, with at most so many rows."""
    rows = session.execute(_open(day).order_by(Document.issue_date, Document.id).limit(most + 1)).all()
    held = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Account, Account.number == Posting.account)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Account.receivable.is_(True), Voucher.day <= day)
    )
    klarna, customers = _sums(session, day)
    return Ageing(
        day,
        [_row(each, day) for each in rows[:most]],
        klarna,
        customers,
        klarna.minor + customers.minor,
        int(held or 0),
        len(rows) > most,
    )


def _open(day: date) -> sa.Select[*tuple[Any, ...]]:
    columns = (
        Document.id.label("id"),
        Document.kind.label("kind"),
        Document.number_text.label("number"),
        Customer.number.label("customer_number"),
        Customer.name.label("customer"),
        IS_AT_KLARNA.label("at_klarna"),
        Document.issue_date.label("issued"),
        _AGES_FROM.label("due"),
    )
    if day >= clock.today():
        return (
            sa.select(*columns, Document.open_minor.label("minor"))
            .join(Customer, Customer.id == Document.customer_id)
            .where(_UNPAID)
        )
    held = (
        sa.select(Posting.document_id, sa.func.sum(Posting.amount_minor).label("minor"))
        .join(Account, Account.number == Posting.account)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Account.receivable.is_(True), Voucher.day <= day)
        .group_by(Posting.document_id)
        .having(sa.func.sum(Posting.amount_minor) != 0)
        .subquery()
    )
    return (
        sa.select(*columns, held.c.minor)
        .join(held, held.c.document_id == Document.id)
        .join(Customer, Customer.id == Document.customer_id)
    )


def _row(found: Any, day: date) -> Row:
    issued, due = found.issued or day, found.due or day
    return Row(
        found.id,
        found.kind,
        found.number or "",
        found.customer_number,
        found.customer,
        bool(found.at_klarna),
        issued,
        due,
        int(found.minor),
        (day - due).days,
    )


def _sums(session: Session, day: date) -> tuple[Sums, Sums]:
    """What Klarna owes and what customers do, by age: of everything, however much is shown."""
    found = _open(day).subquery().c
    group = sa.case(
        *((found.due >= day - timedelta(days=end), place) for place, end in enumerate(GROUPS)), else_=len(GROUPS)
    )
    # A document without a day is taken to be of this one.
    place = sa.case((found.due.is_(None), 0), else_=group).label("place")
    query = sa.select(found.at_klarna, place, sa.func.sum(found.minor)).group_by(found.at_klarna, place)
    minor = {(bool(at_klarna), number): int(sum_) for at_klarna, number, sum_ in session.execute(query)}

    def of(at_klarna: bool) -> Sums:
        groups = [minor.get((at_klarna, number), 0) for number in range(len(GROUPS) + 1)]
        return Sums(groups, sum(groups))

    return of(at_klarna=True), of(at_klarna=False)
