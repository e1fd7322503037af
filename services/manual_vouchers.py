"""A voucher written by hand: what no event books, for example an amount put aside as unexplained that now has its account.

Accounts that documents, or the stock, are held against are left to those: a row by hand there would be explained by nothing.
Amounts are minor units. Source: B34; security: rights (vouchers); catalogue rows 34 and 35; bokföringslagen 5 kap. 6-7 §§.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal
from models import Account, Posting, Voucher
from money import Amount
from rights import Actor, Right
from services import accounts, audit, ledger, money_forms, periods, settings, stock_booking
from services.card_checks import mask_personal_numbers
from services.currencies import BOOKS

ACTION, SUBJECT = "voucher.write", "new"
REVERSE = "voucher.reverse"
SOURCE, SIE = "manual", "sie"
"""What the sources of vouchers begin with that were written here, and read from another program's file."""
SERIES = "K"
MOST_ROWS = 200
LONGEST_TEXT, LONGEST_REASON = 200, 200
DAYS_AHEAD = 366


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was typed: one of debit and credit; ``where`` is what the names of its fields begin with."""

    account: int
    debit_minor: int | None
    credit_minor: int | None
    text: str = ""
    where: str = ""

    @property
    def amount_minor(self) -> int:
        """Debit positive, credit negative."""
        return (self.debit_minor or 0) - (self.credit_minor or 0)


@dataclass(frozen=True, slots=True)
class Written:
    """The voucher as it was typed."""

    day: date
    text: str
    rows: Sequence[Row]

    @property
    def values(self) -> dict[str, object]:
        """What the form said, to tell a second use of it by (operations 12)."""
        return {**asdict(self), "day": self.day.isoformat()}

    def masked(self) -> Written:
        """The same without personal numbers, which what is kept for seven years does not tell (B29)."""
        rows = [replace(row, text=mask_personal_numbers(row.text)[0]) for row in self.rows]
        return replace(self, text=mask_personal_numbers(self.text)[0], rows=rows)


@dataclass(frozen=True, slots=True)
class Clearing:
    """What stands on an account and is to be booked elsewhere."""

    account: int
    day: date
    minor: int


# --- What may be written ---------------------------------------------------------------------------------------------------


def offered(session: Session) -> list[Account]:
    """The accounts a row may be booked on, by number."""
    kept = _kept_by_others(session)
    return [each for each in accounts.chart(session) if each.active and each.number not in kept]


def clearing(session: Session, account: int, through: date) -> Clearing:
    """What stands on an account through a day, and the first open day from then on. Raises NotFound for no account."""
    if session.get(Account, account) is None:
        raise NotFound
    held = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Posting.account == account, Voucher.day <= through)
    )
    return Clearing(account, periods.first_open_day(session, through), int(held or 0))


def _kept_by_others(session: Session) -> dict[int, str]:
    """The accounts no row is written on by hand, each with the reason."""
    kept = dict.fromkeys(
        session.scalars(sa.select(Account.number).where(Account.receivable.is_(True))),
        N_(
            "Account %(account)s is what the documents say is unpaid. Register a payment, offset or credit "
            "the document instead."
        ),
    )
    if stock_booking.is_on(session):
        kept[accounts.role(session, "stock", clock.today())] = N_(
            "Account %(account)s follows the stock. Adjust the balance or the cost of the article instead."
        )
    return kept


def _kept_of(session: Session, used: Collection[int]) -> dict[int, str]:
    """The same of accounts that are about to be booked on: whoever begins to book stock just then is waited for (S4)."""
    if accounts.role(session, "stock", clock.today()) in used:
        settings.hold_accounts(session)
    return {number: why for number, why in _kept_by_others(session).items() if number in used}


def _check_rows(session: Session, rows: Sequence[Row]) -> None:
    """Each row by itself, then all together. Raises BadInput beside what is wrong (catalogue row 34)."""
    known = {
        each.number: each.active
        for each in session.scalars(sa.select(Account).where(Account.number.in_({row.account for row in rows})))
    }
    kept = _kept_of(session, known.keys())
    for row in rows:
        field = f"{row.where}account"
        if row.account not in known:
            raise BadInput(
                N_("Account %(account)s is not in the chart of accounts."), field=field, account=str(row.account)
            )
        if not known[row.account]:
            raise BadInput(N_("Account %(account)s is closed."), field=field, account=str(row.account))
        if row.account in kept:
            raise BadInput(kept[row.account], field=field, account=str(row.account))
        if bool(row.debit_minor) == bool(row.credit_minor):
            raise BadInput(N_("Enter an amount in debit or in credit, one of them."), field=f"{row.where}debit")
    if len(rows) < 2:
        raise BadInput(N_("A voucher has at least two rows."))
    off = sum(row.amount_minor for row in rows)
    if off:
        raise BadInput(N_("Debit and credit differ by %(amount)s."), amount=Amount(abs(off), BOOKS))


def _check_day(session: Session, actor: Actor, day: date) -> None:
    """A day that can be booked on as it is. Raises BadInput beside it (catalogue row 35)."""
    if day > clock.today() + timedelta(days=DAYS_AHEAD):
        raise BadInput(N_("The day is more than a year ahead."), field="day")
    try:
        periods.year_for_booking(session, actor, day)  # held, so that nobody locks the day meanwhile
    except Refusal as no:
        raise BadInput(no.message, field="day", day=day) from no
    first = periods.first_open_day(session, day)
    if first != day:
        raise BadInput(
            N_("%(day)s is locked. The first open day is %(first)s."), field="day", day=day, first=first.isoformat()
        )


# --- Write, and reverse --------------------------------------------------------------------------------------------------


def write_once(session: Session, actor: Actor, nonce: str, written: Written) -> int:
    """Book the voucher a form stands for, or tell which it has booked; gives its id. Needs a writing session.

    Raises Malformed, NotAllowed, BadInput beside the field, Refusal when the same form said something else.
    """
    actor.require(Right.BOOKS)
    written = written.masked()
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, SUBJECT, written.values)
    if earlier is not None:
        return int(earlier)
    _check_day(session, actor, written.day)  # first: what it holds keeps accounts as they are asked for
    _check_rows(session, written.rows)
    made = ledger.post(
        session,
        actor,
        series=SERIES,
        day=written.day,
        text=written.text,
        source=f"{SOURCE}:{nonce}",
        entries=[ledger.Entry(row.account, row.amount_minor, row.text) for row in written.rows],
    )
    audit.write(session, actor, ACTION, f"voucher:{made.id}", {"number": ledger.label(made), "rows": len(written.rows)})
    money_forms.use_form(session, actor, nonce, ACTION, SUBJECT, written.values, str(made.id))
    return made.id


def is_by_hand(source: str) -> bool:
    """Whether a voucher was written or read in by a person, and so is reversed by one; others go with what they stand for."""
    return source.startswith((f"{SOURCE}:", f"{SIE}:"))


def to_reverse(session: Session, voucher_id: int) -> Voucher:
    """A voucher written by hand. Raises NotFound for any other, Refusal when it is reversed already (A7)."""
    voucher = session.get(Voucher, voucher_id)
    if voucher is None or not is_by_hand(voucher.source):
        raise NotFound
    ledger.require_not_reversed(session, voucher)
    return voucher


def reversal_day(voucher: Voucher) -> date:
    """The day a reversal made today is dated: never before what it reverses, so that no period holds one alone."""
    return max(clock.today(), voucher.day)


def reverse_once(session: Session, actor: Actor, nonce: str, voucher_id: int, reason: str) -> int:
    """Write the exact negation of a voucher written by hand (A7, E11); gives its id. Needs a writing session.

    Raises NotFound for any other voucher, NotAllowed, BadInput without a reason, Refusal the second time or where an account
    has been closed or is kept by documents since.
    """
    actor.require(Right.BOOKS)
    reason = mask_personal_numbers(reason)[0]
    earlier = money_forms.earlier_use(session, actor, nonce, REVERSE, str(voucher_id), reason)
    if earlier is not None:
        return int(earlier)
    voucher = to_reverse(session, voucher_id)
    if not reason:
        raise BadInput(N_("Write a reason."), field="reason")
    day = reversal_day(voucher)
    _check_day(session, actor, day)
    for account, why in _kept_of(session, {each.account for each in voucher.postings}).items():
        raise Refusal(why, account=str(account))
    made = ledger.reverse(
        session,
        actor,
        voucher,
        day=day,
        text=f"Återför {ledger.label(voucher)}: {reason}",
        source=f"{SOURCE}_reversed:{voucher.id}",
    )
    audit.write(session, actor, REVERSE, f"voucher:{voucher.id}", {"by": ledger.label(made), "reason": reason})
    money_forms.use_form(session, actor, nonce, REVERSE, str(voucher_id), reason, str(made.id))
    return made.id
