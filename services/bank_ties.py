"""A deposit at the bank is tied to the payout it is: by its payment reference, with amount, currency, day and account as check.

Rules alone. A tie books nothing: the payout's voucher stands on the bank account already, and the tie is the proof that the
money is there (accounting reference 5; E7). Amounts are minor units. Source: B33; M9, M17.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

import clock
from errors import N_, NotFound, Refusal
from models import BankEntry, BankTie, Payout
from money import Amount
from rights import SYSTEM, Actor, Right
from services import audit, documents, settlement_matching
from services.bank_entries import words_of
from states import PayoutState

BEFORE, AFTER = timedelta(days=3), timedelta(days=14)
"""How far from the payout's own day a deposit may be booked to be tied without a person."""
BY_REFERENCE, BY_HAND = "reference", "hand"


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money that came in, as far as a payout is held against it."""

    account: str
    day: date
    amount_minor: int
    currency: str
    text: str


@cache
def live() -> sa.ColumnElement[bool]:
    """Of ``BankTie``: a tie that nobody has untied."""
    undone = aliased(BankTie)
    return sa.and_(
        BankTie.undoes_id.is_(None),
        sa.not_(sa.exists(sa.select(1).where(undone.undoes_id == BankTie.id).correlate(BankTie))),
    )


def is_tied(entry_id: InstrumentedAttribute[int]) -> sa.ColumnElement[bool]:
    """Whether the entry with this id belongs to a payout."""
    return sa.exists(sa.select(1).select_from(BankTie).where(BankTie.entry_id == entry_id, live()))


def has_deposit(payout_id: InstrumentedAttribute[int]) -> sa.ColumnElement[bool]:
    """Whether the payout with this id has been found at the bank."""
    return sa.exists(sa.select(1).select_from(BankTie).where(BankTie.payout_id == payout_id, live()))


def awaits_deposit() -> sa.ColumnElement[bool]:
    """Of ``Payout``: whether money should reach the bank with it, and its rows are there to be booked."""
    return sa.and_(Payout.settlement_minor > 0, Payout.row_count > 0, Payout.state != PayoutState.LOADING)


def tie_of(session: Session, payout_id: int) -> BankTie | None:
    """The tie of a payout; None while it has none."""
    return session.scalar(sa.select(BankTie).where(BankTie.payout_id == payout_id, live()))


def accounts_of(session: Session, payout: Payout) -> frozenset[str]:
    """The bank accounts to which earlier payouts of the same Klarna account and currency came; empty while none has."""
    found = (
        sa.select(BankEntry.account)
        .join(BankTie, BankTie.entry_id == BankEntry.id)
        .join(Payout, Payout.id == BankTie.payout_id)
        .where(Payout.account_id == payout.account_id, Payout.currency == payout.currency, live())
        .where(BankEntry.account != "", Payout.id != payout.id)
        .distinct()
    )
    return frozenset(session.scalars(found))


def why_not(payout: Payout, deposit: Deposit, accounts: Iterable[str]) -> Refusal | None:
    """Why a deposit with the payout's reference is not tied to it without a person; None when all of it fits."""
    if deposit.currency != payout.currency:
        return Refusal(
            N_("%(found)s came in on %(day)s with reference %(reference)s, but the payout is %(payout)s."),
            reference=payout.payment_reference,
            day=deposit.day,
            found=Amount(deposit.amount_minor, deposit.currency),
            payout=Amount(payout.settlement_minor, payout.currency),
        )
    apart = deposit.amount_minor - payout.settlement_minor
    if apart:
        message = N_(
            "%(found)s came in on %(day)s with reference %(reference)s, but the payout is %(payout)s: "
            "%(apart)s too little."
        )
        if apart > 0:
            message = N_(
                "%(found)s came in on %(day)s with reference %(reference)s, but the payout is %(payout)s: "
                "%(apart)s too much."
            )
        return Refusal(
            message,
            reference=payout.payment_reference,
            day=deposit.day,
            found=Amount(deposit.amount_minor, deposit.currency),
            payout=Amount(payout.settlement_minor, payout.currency),
            apart=Amount(abs(apart), payout.currency),
        )
    paid = clock.local_date(payout.payout_date)
    if not paid - BEFORE <= deposit.day <= paid + AFTER:
        return Refusal(
            N_(
                "The deposit with reference %(reference)s is of %(day)s, the payout of %(paid)s. Look, and tie them by hand."
            ),
            reference=payout.payment_reference,
            day=deposit.day,
            paid=paid,
        )
    known = sorted(accounts)
    if known and deposit.account and deposit.account not in known:
        return Refusal(
            N_(
                "The deposit came to account %(account)s; earlier payouts came to %(known)s. Look, and tie them by hand."
            ),
            account=deposit.account,
            known=", ".join(known),
        )
    return None


def of_entry(entry: BankEntry) -> Deposit:
    """An entry that is kept, as a deposit."""
    return Deposit(entry.account, entry.day, entry.amount_minor, entry.currency, entry.text)


def bears(deposit: Deposit, payout: Payout) -> bool:
    """Whether a deposit bears the payout's reference as a word of its own."""
    return payout.payment_reference.upper() in words_of(deposit.text)


# --- By reference ------------------------------------------------------------------------------------------------------


def tie_payout(session: Session, payout_id: int) -> bool:
    """Tie a payout to its deposit where one fits in everything, and no second one does; says whether it has one now."""
    payout = settlement_matching.get(session, payout_id, lock=True)
    if payout.settlement_minor <= 0 or not payout.row_count or payout.state is PayoutState.LOADING:
        return False
    if tie_of(session, payout.id) is not None:
        return True
    query = sa.select(BankEntry).where(
        BankEntry.amount_minor == payout.settlement_minor,
        BankEntry.currency == payout.currency,
        sa.not_(is_tied(BankEntry.id)),
    )
    fitting = [each for each in session.scalars(query.with_for_update()) if bears(of_entry(each), payout)]
    if len(fitting) != 1 or why_not(payout, of_entry(fitting[0]), accounts_of(session, payout)) is not None:
        return False
    _tie(session, SYSTEM, payout, fitting[0], BY_REFERENCE, "")
    return True


def tie_all(session: Session, references: Iterable[str]) -> int:
    """Tie every payout that bears one of these references and has no deposit yet; returns how many were tied."""
    return sum(tie_payout(session, payout_id) for payout_id in waiting_with(session, references))


def waiting_with(session: Session, references: Iterable[str]) -> Sequence[int]:
    """The payouts without a deposit whose reference is among these words, oldest first."""
    wanted, found = sorted({each.upper() for each in references}), list[int]()
    for begin in range(0, len(wanted), 500):
        query = sa.select(Payout.id).where(
            sa.func.upper(Payout.payment_reference).in_(wanted[begin : begin + 500]),
            awaits_deposit(),
            sa.not_(has_deposit(Payout.id)),
        )
        found += session.scalars(query)
    return sorted(set(found))


# --- By hand -----------------------------------------------------------------------------------------------------------


def tie(session: Session, actor: Actor, payout_id: int, entry_id: int, reason: str) -> BankTie:
    """«Koppla»: a person says which deposit a payout is, with a reason. Raises NotAllowed, NotFound, BadInput, Refusal.

    The amounts are equal to the öre, whoever ties them (M9).
    """
    actor.require(Right.BOOKS)
    payout = settlement_matching.get(session, payout_id, lock=True)
    entry = session.scalar(
        sa.select(BankEntry).where(BankEntry.id == entry_id).with_for_update().execution_options(populate_existing=True)
    )
    if entry is None:
        raise NotFound
    reason = documents.read_reason(reason)
    if payout.settlement_minor <= 0 or not payout.row_count or payout.state is PayoutState.LOADING:
        raise Refusal(N_("Nothing is to come to the bank with this payout."))
    if tie_of(session, payout.id) is not None:
        raise Refusal(N_("The payout has its deposit already. Untie that one first."))
    if session.scalar(sa.select(BankTie.id).where(BankTie.entry_id == entry.id, live())) is not None:
        raise Refusal(N_("The deposit belongs to another payout already. Untie it there first."))
    if (entry.amount_minor, entry.currency) != (payout.settlement_minor, payout.currency):
        raise Refusal(
            N_("The deposit is %(found)s and the payout %(payout)s. Only what is equal to the öre is tied."),
            found=Amount(entry.amount_minor, entry.currency),
            payout=Amount(payout.settlement_minor, payout.currency),
        )
    return _tie(session, actor, payout, entry, BY_HAND, reason)


def untie(session: Session, actor: Actor, payout_id: int, reason: str) -> BankTie:
    """«Koppla loss»: take a tie back, with a reason; both rows stay. Raises NotAllowed, NotFound, BadInput, Refusal."""
    actor.require(Right.BOOKS)
    payout = settlement_matching.get(session, payout_id, lock=True)
    reason = documents.read_reason(reason)
    found = tie_of(session, payout.id)
    if found is None:
        raise Refusal(N_("The payout has no deposit to untie."))
    made = _write(session, actor, found.entry_id, payout.id, BY_HAND, reason, undoes_id=found.id)
    detail = {"reference": payout.payment_reference, "entry": found.entry_id}
    audit.write(session, actor, "bank.untied", f"payout:{payout.id}", detail)
    return made


def _tie(session: Session, actor: Actor, payout: Payout, entry: BankEntry, how: str, reason: str) -> BankTie:
    made = _write(session, actor, entry.id, payout.id, how, reason)
    detail = {"reference": payout.payment_reference, "entry": entry.id, "amount_minor": entry.amount_minor, "how": how}
    audit.write(session, actor, "bank.tied", f"payout:{payout.id}", detail)
    return made


def _write(
    session: Session, actor: Actor, entry_id: int, payout_id: int, how: str, reason: str, undoes_id: int | None = None
) -> BankTie:
    made = BankTie(
        entry_id=entry_id,
        payout_id=payout_id,
        undoes_id=undoes_id,
        how=how,
        reason=reason,
        at=clock.now(),
        by=actor.name,
    )
    session.add(made)
    session.flush()
    return made
