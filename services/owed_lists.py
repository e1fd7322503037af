"""Completeness in both directions: the whole of each list, with its age, and the figure that the ledger must agree with (B9).

Amounts are minor units. Pure reading. Source: B9; accounting reference 5; A9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_
from models import Account, Customer, Document, Payout, PayoutRow, Posting, RowMatch, RowShare, Voucher
from services import ledger, owed, settings
from states import DocKind, Pile

MOST = 50
NAMES: Mapping[str, str] = {
    "unpaid": N_("Activated but not paid out"),
    "notes": N_("Credit notes without a settlement"),
    "returns": N_("Returns without a credit note"),
    "sales": N_("Paid out but not activated here"),
    "withheld": N_("Withheld and not released"),
}
"""The lists and their names, what waits for Klarna first."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that waits for its other half: a document, a row of a payout, or what a payout withheld."""

    number: str
    day: date
    age: int
    amount_minor: int
    currency: str
    customer: str = ""
    document_id: int | None = None
    kind: DocKind | None = None
    payout_id: int | None = None
    pile: Pile | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list, and the mark of the next one."""

    rows: Sequence[Row]
    older: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """One account that the figures are held against, per currency of the books."""

    account: int
    name: str
    minor: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The figures of one currency: claims on Klarna, what Klarna has still to deduct, what customers owe us, and the ledger."""

    currency: str
    activated_minor: int
    credited_minor: int
    overpaid_minor: int
    others_minor: int
    ledger_minor: int | None

    @property
    def klarna_minor(self) -> int:
        """«Klarna är skyldigt oss»."""
        return self.activated_minor + self.credited_minor + self.overpaid_minor

    @property
    def difference_minor(self) -> int:
        """What the documents and the receivable accounts differ by: always 0 in true books, and where nobody asked."""
        told = self.klarna_minor + self.others_minor
        return (told if self.ledger_minor is None else self.ledger_minor) - told


def _age(day: date) -> int:
    return (clock.today() - day).days


# --- The lists -------------------------------------------------------------------------------------------------------------


def listed(session: Session, name: str, *, late: bool = False, after: tuple[str, int] | None = None) -> Listed:
    """A page of one of the lists, the oldest first; ``late`` narrows documents to those that should have been settled."""
    return _LISTS[name](session, late, after)


def _documents(kind: DocKind) -> Callable[[Session, bool, tuple[str, int] | None], Listed]:
    def listed_documents(session: Session, late: bool, after: tuple[str, int] | None) -> Listed:
        limit = owed.unpaid_before(session)
        query = (
            sa.select(
                Document.id,
                Document.number_text,
                Document.open_minor,
                Document.currency,
                Document.listed_on,
                Customer.name,
            )
            .join(Customer, Customer.id == Document.customer_id)
            .where(
                owed.AT_KLARNA,
                Document.kind == kind,
                Document.open_minor > 0 if kind is DocKind.INVOICE else Document.open_minor < 0,
            )
            .order_by(Document.listed_on, Document.id)
            .limit(MOST + 1)
        )
        if late:
            query = query.where(Document.listed_on <= limit)
        if after is not None:
            day = date.fromisoformat(after[0])
            query = query.where(
                sa.or_(Document.listed_on > day, sa.and_(Document.listed_on == day, Document.id > after[1]))
            )
        found = session.execute(query).all()
        rows = [
            Row(number or "", day, _age(day), minor, currency, customer, key, kind, late=day <= limit)
            for key, number, minor, currency, day, customer in found[:MOST]
        ]
        more = len(found) > MOST
        return Listed(rows, (rows[-1].day.isoformat(), found[MOST - 1].id) if more else None)

    return listed_documents


def _rows(type_: str) -> Callable[[Session, bool, tuple[str, int] | None], Listed]:
    def listed_rows(session: Session, late: bool, after: tuple[str, int] | None) -> Listed:  # noqa: ARG001 - one shape
        placed = (
            sa.select(sa.func.coalesce(sa.func.sum(RowShare.amount_minor), 0))
            .where(RowShare.row_id == RowMatch.row_id)
            .scalar_subquery()
        )
        query = (
            sa.select(
                PayoutRow.id, PayoutRow.payout_id, Payout.payment_reference, Payout.payout_date,
                # Of a row that was split, what has been moved to nobody since.
                PayoutRow.amount_minor - placed,
                Payout.currency, RowMatch.pile,
            )
            .join(PayoutRow, PayoutRow.id == RowMatch.row_id)
            .join(Payout, Payout.id == PayoutRow.payout_id)
            .where(PayoutRow.type == type_, RowMatch.document_id.is_(None))
            .where(sa.or_(PayoutRow.amount_minor == 0, placed != PayoutRow.amount_minor))
            .order_by(PayoutRow.id)
            .limit(MOST + 1)
        )  # fmt: skip
        if after is not None:
            query = query.where(PayoutRow.id > after[1])
        found = session.execute(query).all()
        rows = [
            Row(
                reference, clock.local_date(at), _age(clock.local_date(at)), int(minor), currency, payout_id=payout, pile=pile,
                late=pile is not Pile.HANDLED,
            )
            for _, payout, reference, at, minor, currency, pile in found[:MOST]
        ]  # fmt: skip
        return Listed(rows, ("", found[MOST - 1].id) if len(found) > MOST else None)

    return listed_rows


def _withheld(session: Session, late: bool, after: tuple[str, int] | None) -> Listed:
    """What stands on the account for it, the oldest first: what is released takes from the oldest that was withheld."""
    accounts = _accounts_of(session, "account.holdback")
    entries = session.execute(
        sa.select(Posting.amount_minor, Voucher.day, Voucher.payout_id, Voucher.currency, Voucher.text)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Posting.account.in_(accounts))
        .order_by(Posting.id)
    )
    waiting: dict[str, list[tuple[int, date, int | None, str]]] = {}
    for minor, day, payout, currency, text in entries:
        queue = waiting.setdefault(currency, [])
        if minor > 0:
            queue.append((minor, day, payout, text))
            continue
        left = -minor
        while queue and left:
            held, since, whose, said = queue.pop(0)
            if held > left:
                queue.insert(0, (held - left, since, whose, said))
            left = max(left - held, 0)
        if left:
            queue.append((-left, day, payout, text))
    limit = owed.unpaid_before(session)
    rows = [
        Row(text, day, _age(day), minor, currency, payout_id=payout, late=day <= limit)
        for currency, queue in sorted(waiting.items())
        for minor, day, payout, text in queue
        if not late or day <= limit
    ]
    begin = after[1] if after is not None else 0
    more = len(rows) > begin + MOST
    return Listed(rows[begin : begin + MOST], ("", begin + MOST) if more else None)


_LISTS: Mapping[str, Callable[[Session, bool, tuple[str, int] | None], Listed]] = {
    "unpaid": _documents(DocKind.INVOICE),
    "notes": _documents(DocKind.CREDIT_NOTE),
    "returns": _rows("RETURN"),
    "sales": _rows("SALE"),
    "withheld": _withheld,
}


# --- The figure ------------------------------------------------------------------------------------------------------------


def _accounts_of(session: Session, setting: str) -> list[int]:
    """Every account that has ever played a part: what was booked stays where it was."""
    told = {each.value for each in settings.history(session, setting) if each.name == setting}
    return sorted({int(text) for text in (settings.DEFAULTS[setting], *told) if text})


def reconciled(session: Session, *, with_ledger: bool = True) -> Sequence[Reconciled]:
    """«Klarna är skyldigt oss» beside what customers owe us, and the balance of the receivable accounts, per currency.

    The balance adds up all that was ever booked on them: whoever cannot wait for that leaves the ledger out.
    """
    minor: Any = Document.open_minor
    invoice = sa.cast(Document.kind, sa.Text) == str(DocKind.INVOICE)
    claim, deduction = sa.and_(invoice, minor > 0), sa.and_(sa.not_(invoice), minor < 0)

    def added(which: Any) -> Any:
        return sa.func.coalesce(sa.func.sum(sa.case((which, minor), else_=0)), 0)

    over = sa.not_(sa.or_(claim, deduction))
    klarna = {
        row[0]: [int(each) for each in row[1:]]
        for row in session.execute(
            sa.select(Document.currency, added(claim), added(deduction), added(over))
            .where(owed.AT_KLARNA)
            .group_by(Document.currency)
        )
    }
    everything = {
        row[0]: int(row[1])
        for row in session.execute(
            sa.select(Document.currency, sa.func.sum(minor))
            .where(sa.text("document.open_minor <> 0"))
            .group_by(Document.currency)
        )
    }
    booked = _receivable(session) if with_ledger else {}
    found = []
    for currency in sorted({"SEK", *klarna, *everything, *(each for each, minor in booked.items() if minor)}):
        activated, credited, overpaid = klarna.get(currency, [0, 0, 0])
        others = everything.get(currency, 0) - activated - credited - overpaid
        balance = booked.get(currency, 0) if with_ledger else None
        found.append(Reconciled(currency, activated, credited, overpaid, others, balance))
    return found


def _receivable(session: Session) -> dict[str, int]:
    return {
        row[0]: int(row[1])
        for row in session.execute(
            sa.select(Voucher.currency, sa.func.sum(Posting.amount_minor))
            .join(Posting, Posting.voucher_id == Voucher.id)
            .join(Account, Account.number == Posting.account)
            .where(Account.receivable.is_(True))
            .group_by(Voucher.currency)
        )
    }


def beside(session: Session) -> Sequence[Ledger]:
    """The other accounts that Klarna's money waits on: withheld, debt, and what nobody has placed yet."""
    day = clock.today()
    found = []
    for role in ("holdback", "debt", "unallocated"):
        account = ledger.role(session, role, day)
        name = session.scalar(sa.select(Account.name).where(Account.number == account)) or ""
        accounts = _accounts_of(session, f"account.{role}")
        balance = session.scalar(sa.select(sa.func.sum(Posting.amount_minor)).where(Posting.account.in_(accounts)))
        found.append(Ledger(account, name, int(balance or 0)))
    return found
