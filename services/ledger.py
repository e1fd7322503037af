"""The books: a voucher balances to zero or does not exist, is written once per source and is reversed, never changed.

Amounts are minor units, debit positive, credit negative. Source: B33; bokföringslagen 5 kap.; A1, A6, A7, A9, A10.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
from columns import Day
from errors import N_, BrokenRule, Refusal
from models import Account, Document, NumberSeries, Posting, Voucher
from rights import Actor
from services import accounts, currencies, numbering
from services.account_sheets import AccountSheet, account_sheet
from services.accounts import dormant_vat_account, role, sales_account, vat_account
from services.book_lists import (
    BalanceRow,
    VoucherPage,
    VoucherRow,
    trial_balance,
    voucher,
    voucher_list,
)
from services.periods import (
    VOUCHER_SERIES,
    first_open_day,
    lock,
    lock_history,
    locked_through,
    open_books,
    unlock,
    year_for_booking,
    year_of,
    years,
)
from services.series_report import SeriesReport, number_series

__all__ = (
    "VOUCHER_SERIES",
    "AccountSheet",
    "BalanceRow",
    "Entry",
    "Paid",
    "SeriesReport",
    "VoucherPage",
    "VoucherRow",
    "account_sheet",
    "accounts",
    "dormant_vat_account",
    "first_open_day",
    "label",
    "lock",
    "lock_history",
    "locked_through",
    "number_series",
    "open_books",
    "post",
    "reverse",
    "role",
    "sales_account",
    "trial_balance",
    "unlock",
    "vat_account",
    "voucher",
    "voucher_list",
    "year_for_booking",
    "year_of",
    "years",
)


class Entry(NamedTuple):
    """One row of a voucher to be: debit positive, credit negative, minor units; the rate in hundredths of a percent.

    In this order it stands in the hash of its voucher.
    """

    account: int
    amount_minor: int
    text: str = ""
    document_id: int | None = None
    vat_rate: int | None = None


class Paid(NamedTuple):
    """What a document is marked with when a voucher leaves nothing of it."""

    day: date
    reference: str


def post(
    session: Session,
    actor: Actor,
    *,
    series: str,
    day: date,
    text: str,
    source: str,
    entries: Sequence[Entry],
    document_id: int | None = None,
    payout_id: int | None = None,
    reverses: Voucher | None = None,
    currency: str = currencies.BOOKS,
    paid: Paid | None = None,
) -> Voucher:
    """Write a voucher in series F, I, K or L; zero entries are dropped. Needs a writing session.

    In a locked period it is dated the first open day, and its text names the day of the event (operations 2.3). What it
    books on receivable accounts is added to ``open_minor`` of the documents named, and those of which nothing is left are
    marked as ``paid`` in the same write. Raises BrokenRule when it does not balance or a receivable entry names no
    document, Refusal when an account is closed, no financial year fits or it is in another currency than the books.
    """
    rows = [entry for entry in entries if entry.amount_minor != 0]
    _check_rows(rows, series)
    if reverses is None:
        _check_currency(currency)
    year = year_for_booking(session, actor, day)
    receivable = _check_accounts(session, rows)
    booked = first_open_day(session, day)
    if booked != day:
        year = year_for_booking(session, actor, booked)
        text = f"{text}, avser {day.isoformat()}"
    at = clock.now()
    code = f"V:{series}"
    number = numbering.take(session, code, fiscal_year=year.id, day=booked)
    this_series = (NumberSeries.code == code, NumberSeries.fiscal_year == year.id)
    previous = session.execute(sa.select(NumberSeries.head_hash).where(*this_series)).scalar_one()
    content = [
        previous,
        series,
        year.starts.isoformat(),
        number,
        booked.isoformat(),
        text,
        source,
        currency,
        document_id,
        payout_id,
        None if reverses is None else reverses.id,
        at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
        actor.name,
        rows,
    ]
    digest = hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
    made = Voucher(
        series=series,
        fiscal_year_id=year.id,
        number=number,
        day=booked,
        text=text,
        source=source,
        currency=currency,
        document_id=document_id,
        payout_id=payout_id,
        reverses_id=None if reverses is None else reverses.id,
        created_at=at,
        created_by=actor.name,
        previous_hash=previous,
        hash=digest,
    )
    session.add(made)
    session.flush()
    # Past the session: a settlement may have a hundred thousand rows.
    db.write_rows(
        session,
        "posting",
        ("voucher_id", "position", "account", "amount_minor", "text", "document_id", "vat_rate"),
        [(made.id, position, *row) for position, row in enumerate(rows, start=1)],
    )
    session.execute(
        sa.update(NumberSeries)
        .where(*this_series)
        .values(head_hash=digest)
        .execution_options(synchronize_session=False)
    )
    _carry_to_documents(session, made.id, [row for row in rows if row.account in receivable], paid)
    return made


def require_bookable(session: Session, actor: Actor, day: date, entries: Sequence[Entry], currency: str) -> None:
    """Let pass what ``post`` would write. Raises Refusal and BrokenRule as it does."""
    rows = [entry for entry in entries if entry.amount_minor != 0]
    _check_rows(rows, "F")
    _check_currency(currency)
    year_for_booking(session, actor, first_open_day(session, day))
    _check_accounts(session, rows)


def _check_rows(rows: Sequence[Entry], series: str) -> None:
    if series not in VOUCHER_SERIES:
        raise BrokenRule(f"there is no voucher series {series}")
    if len(rows) < 2:
        raise BrokenRule("a voucher has at least two rows")
    if any(isinstance(row.amount_minor, bool) or not isinstance(row.amount_minor, int) for row in rows):
        raise BrokenRule("an amount is an integer of minor units")
    total = sum(row.amount_minor for row in rows)
    if total != 0:
        raise BrokenRule(f"a voucher sums to zero, not to {total}")


def _check_currency(currency: str) -> None:
    refusal = currencies.why_not_booked(currency)
    if refusal is not None:
        raise refusal


def _check_accounts(session: Session, rows: Sequence[Entry]) -> frozenset[int]:
    """The receivable accounts among those used. Raises Refusal for one that is unknown or closed (A11)."""
    used = {row.account for row in rows}
    found = {
        number: (active, receivable)
        for number, active, receivable in session.execute(
            sa.select(Account.number, Account.active, Account.receivable).where(Account.number.in_(used))
        )
    }
    for account in sorted(used):
        if account not in found or not found[account][0]:
            raise Refusal(
                N_("Account %(account)s is not in the chart of accounts, or is closed. Nothing has been booked."),
                account=str(account),
            )
    receivable = frozenset(account for account in used if found[account][1])
    if any(row.document_id is None for row in rows if row.account in receivable):
        raise BrokenRule("a row on a receivable account names its document")
    return receivable


_OF_VOUCHER = "FROM posting WHERE voucher_id = :voucher AND account IN :accounts"
_BOOKED = f"""
FROM (
  SELECT document_id, CAST(sum(amount_minor) AS bigint) AS minor {_OF_VOUCHER}
  GROUP BY document_id HAVING sum(amount_minor) <> 0
) AS booked WHERE document.id = booked.document_id
"""
_ACCOUNTS: sa.BindParameter[Any] = sa.bindparam("accounts", expanding=True)
_HOLD = sa.text(f"""
SELECT count(*) FROM (
  SELECT id FROM document WHERE id IN (SELECT document_id {_OF_VOUCHER}) ORDER BY id FOR NO KEY UPDATE
) AS held
""").bindparams(_ACCOUNTS)  # noqa: S608
_CARRY = sa.text(f"UPDATE document SET open_minor = document.open_minor + booked.minor {_BOOKED}").bindparams(_ACCOUNTS)  # noqa: S608
_CARRY_PAID = sa.text(f"""
UPDATE document SET open_minor = document.open_minor + booked.minor,
  paid_at = CASE WHEN document.open_minor + booked.minor = 0 THEN :day ELSE document.paid_at END,
  paid_reference = CASE WHEN document.open_minor + booked.minor = 0 THEN :reference ELSE document.paid_reference END
{_BOOKED}
""").bindparams(_ACCOUNTS, sa.bindparam("day", type_=Day()))  # noqa: S608


def _carry_to_documents(session: Session, voucher_id: int, rows: Sequence[Entry], paid: Paid | None) -> None:
    """Add what was booked on receivable accounts to what remains of each document: one update for all of them."""
    moved = {row.document_id for row in rows}
    if not moved:
        return
    connection = session.connection()
    values = {"voucher": voucher_id, "accounts": sorted({row.account for row in rows})}
    if len(moved) > 1 and connection.dialect.name == "postgresql":
        # In one order, so that two who move the same documents wait for each other and never in a circle. A posting holds the
        # key of its document already, and so may another's.
        connection.execute(_HOLD, values)
    if paid is None:
        connection.execute(_CARRY, values)
    else:
        connection.execute(_CARRY_PAID, {**values, "day": paid.day, "reference": paid.reference})
    for key in [key for key in session.identity_map.keys() if key[0] is Document and key[1][0] in moved]:  # noqa: SIM118
        held = session.identity_map.get(key)
        if held is not None:
            session.expire(held, ["open_minor", "paid_at", "paid_reference"])


def reverse(session: Session, actor: Actor, voucher: Voucher, *, day: date, text: str, source: str) -> Voucher:
    """Write the exact negation of a voucher in series K, dated the day it is made (E11). Raises Refusal the second time (A7)."""
    if voucher.reverses_id is not None:
        raise Refusal(N_("Voucher %(number)s is itself a reversal and cannot be reversed."), number=label(voucher))
    session.execute(sa.select(Voucher.id).where(Voucher.id == voucher.id).with_for_update()).one()
    require_not_reversed(session, voucher)
    rows = session.execute(
        sa.select(Posting.account, Posting.amount_minor, Posting.text, Posting.document_id, Posting.vat_rate)
        .where(Posting.voucher_id == voucher.id)
        .order_by(Posting.position)
    )
    return post(
        session,
        actor,
        series="K",
        day=day,
        text=text,
        source=source,
        entries=[Entry(row.account, -row.amount_minor, row.text, row.document_id, row.vat_rate) for row in rows],
        document_id=voucher.document_id,
        payout_id=voucher.payout_id,
        reverses=voucher,
        currency=voucher.currency,
    )


def require_not_reversed(session: Session, voucher: Voucher) -> None:
    """Let pass a voucher that stands. Raises Refusal with a link to its reversal (A7)."""
    done = session.scalar(sa.select(Voucher.id).where(Voucher.reverses_id == voucher.id))
    if done is not None:
        raise Refusal(
            N_("Voucher %(number)s has already been reversed."),
            number=label(voucher),
            link=("books.voucher", {"voucher_id": done}),
        )


def label(voucher: Voucher) -> str:
    """How a voucher is called: its series and number, as ``F12``."""
    return f"{voucher.series}{voucher.number}"
