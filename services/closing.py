"""«Månadsavslut»: what must be cleared up before a period is locked, each with its way there, and the locking itself.

Through a day nothing may wait: no document for an answer, no act at Klarna with an unknown outcome, no payout unbooked, no
row unexplained, no difference unsettled, nothing left on the account of what is not yet explained. What is still open can be
locked over by Finance with a tick; where nothing is open the tick is not asked for. Source: B34; catalogue row 38.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import BankEntry, Document, KlarnaBreak, KlarnaOp, Order, Payout, PayoutRow, Posting, RowMatch, Voucher
from money import Amount
from rights import Actor
from services import accounts, audit, bank_ties, ledger, periods, settlement_foreign
from services.op_log import IS_OPEN
from states import BreakState, DocKind, DocState, PayoutState, Pile

SHOWN = 5


class Kind(StrEnum):
    """What can stand in the way of a lock."""

    DOCUMENT = "document"
    OPERATION = "operation"
    PAYOUT = "payout"
    ROW = "row"
    BREAK = "break"
    NOT_AT_BANK = "not_at_bank"
    DEPOSIT = "deposit"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the way: what it is called or comes to, its day, and the page that clears it up, as endpoint and values."""

    name: str | Amount
    day: date
    endpoint: str
    values: tuple[tuple[str, int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class Blocker:
    """A kind of thing in the way: how many there are, and the oldest. ``minor``: what is on the account, for UNEXPLAINED."""

    kind: Kind
    count: int
    items: Sequence[Item] = ()
    minor: int = 0


def next_month(session: Session) -> date:
    """The last day of the first month that is not locked and over; of the month before this one where nothing is booked."""
    this = clock.today().replace(day=1)
    locked = periods.locked_through(session)
    first = locked + timedelta(days=1) if locked else session.scalar(sa.select(sa.func.min(Voucher.day)))
    begins = min(first, this - timedelta(days=1)) if first else this - timedelta(days=1)
    return begins.replace(day=monthrange(begins.year, begins.month)[1])


def blockers(session: Session, through: date) -> list[Blocker]:
    """What stands in the way of locking through a day, kind by kind; empty when nothing does."""
    end = datetime.combine(through + timedelta(days=1), time(), tzinfo=clock.LOCAL)
    found = [
        _listed(session, Kind.DOCUMENT, _documents(through), _document),
        _listed(session, Kind.OPERATION, _operations(end), _operation),
        _listed(session, Kind.PAYOUT, _payouts(end), _payout),
        _listed(session, Kind.ROW, _rows(end), _row),
        _listed(session, Kind.BREAK, _breaks(), _break),
        *_at_the_bank(session, through, end),
        _unexplained(session, through),
    ]
    return [each for each in found if each.count]


def _listed(session: Session, kind: Kind, query: sa.Select[*tuple[Any, ...]], item: Any) -> Blocker:
    count = session.scalar(sa.select(sa.func.count()).select_from(query.order_by(None).subquery())) or 0
    return Blocker(kind, count, [item(row) for row in session.execute(query.limit(SHOWN))] if count else [])


def _documents(through: date) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(Document.id, Document.kind, Document.number_text, Document.number_date.label("day"))
        .where(Document.state.in_((DocState.PENDING, DocState.REFUSED)), Document.number_date <= through)
        .order_by(Document.number_date, Document.id)
    )


def _document(row: Any) -> Item:
    where = "credit_notes.show" if row.kind is DocKind.CREDIT_NOTE else "invoices.show"
    return Item(row.number_text, row.day, where, (("document_id", row.id),))


def _operations(end: datetime) -> sa.Select[*tuple[Any, ...]]:
    """Acts at Klarna whose outcome is open and that stand for no document: those are listed by their documents."""
    return (
        sa.select(KlarnaOp.order_id, Order.number, KlarnaOp.created_at)
        .join(Order, Order.id == KlarnaOp.order_id)
        .where(IS_OPEN, KlarnaOp.created_at < end, KlarnaOp.document_id.is_(None))
        .order_by(KlarnaOp.created_at, KlarnaOp.id)
    )


def _operation(row: Any) -> Item:
    return Item(str(row.number), clock.local_date(row.created_at), "orders.show", (("order_id", row.order_id),))


def _payouts(end: datetime) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(Payout.id, Payout.payment_reference, Payout.payout_date)
        .where(
            Payout.state != PayoutState.BOOKED,
            sa.not_(settlement_foreign.is_explained()),
            Payout.payout_date < end,
        )
        .order_by(Payout.payout_date, Payout.id)
    )


def _payout(row: Any) -> Item:
    return Item(row.payment_reference, clock.local_date(row.payout_date), "settlements.show", (("payout_id", row.id),))


def _rows(end: datetime) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(Payout.id, PayoutRow.row_no, Payout.payment_reference, Payout.payout_date)
        .join(PayoutRow, PayoutRow.payout_id == Payout.id)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(RowMatch.pile == Pile.FAULTY, Payout.payout_date < end)
        .order_by(Payout.payout_date, PayoutRow.id)
    )


def _row(row: Any) -> Item:
    name = f"{row.payment_reference} / {row.row_no}"
    return Item(name, clock.local_date(row.payout_date), "settlements.show", (("payout_id", row.id),))


def _breaks() -> sa.Select[*tuple[Any, ...]]:
    """All of them: a difference that is found today may be about any day before."""
    return (
        sa.select(KlarnaBreak.id, KlarnaBreak.opened_at, KlarnaBreak.order_id, Order.number)
        .outerjoin(Order, Order.id == KlarnaBreak.order_id)
        .where(KlarnaBreak.state == BreakState.OPEN)
        .order_by(KlarnaBreak.opened_at, KlarnaBreak.id)
    )


def _break(row: Any) -> Item:
    on = clock.local_date(row.opened_at)
    if row.order_id is None:
        return Item(f"#{row.id}", on, "agreement.index")
    return Item(str(row.number), on, "orders.show", (("order_id", row.order_id),))


def _at_the_bank(session: Session, through: date, end: datetime) -> list[Blocker]:
    """Payouts that no deposit is tied to and Klarna's deposits that are no payout, where bank statements are read at all."""
    if session.scalar(sa.select(BankEntry.id).limit(1)) is None:
        return []
    missing = (
        sa.select(Payout.id, Payout.payment_reference, Payout.payout_date)
        .where(
            Payout.state == PayoutState.BOOKED,
            bank_ties.awaits_deposit(),
            sa.not_(bank_ties.has_deposit(Payout.id)),
            Payout.payout_date < end,
        )
        .order_by(Payout.payout_date, Payout.id)
    )
    loose = (
        sa.select(BankEntry.amount_minor, BankEntry.currency, BankEntry.day)
        .where(BankEntry.from_klarna.is_(True), sa.not_(bank_ties.is_tied(BankEntry.id)), BankEntry.day <= through)
        .order_by(BankEntry.day, BankEntry.id)
    )
    return [
        _listed(session, Kind.NOT_AT_BANK, missing, _at_bank),
        _listed(session, Kind.DEPOSIT, loose, _deposit),
    ]


def _at_bank(row: Any) -> Item:
    return Item(row.payment_reference, clock.local_date(row.payout_date), "bank.show", (("payout_id", row.id),))


def _deposit(row: Any) -> Item:
    return Item(Amount(row.amount_minor, row.currency), row.day, "bank.index", (("view", "deposits"),))


def _unexplained(session: Session, through: date) -> Blocker:
    """What was put aside as not yet explained and still is."""
    account = accounts.role(session, "unallocated", through)
    held = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Posting.account == account, Voucher.day <= through)
    )
    if not held:
        return Blocker(Kind.UNEXPLAINED, 0)
    item = Item(str(account), through, "books.account", (("account", account),))
    return Blocker(Kind.UNEXPLAINED, 1, [item], int(held))


def lock(session: Session, actor: Actor, through: date, reason: str, *, confirmed: bool) -> None:
    """Lock the books through a day. Raises NotAllowed, BadInput, and Refusal while something is open and not ticked away."""
    ledger.lock(session, actor, through, reason)
    waiting = blockers(session, through)
    if waiting and not confirmed:
        raise Refusal(
            N_(
                "%(count)s matters are still open through %(day)s, with all open differences. "
                "Clear them up, or tick the box to lock nevertheless."
            ),
            field="confirmed",
            count=sum(each.count for each in waiting),
            day=through,
        )
    if waiting:
        audit.write(
            session, actor, "period.lock_over", "period_lock", {each.kind.value: each.count for each in waiting}
        )
