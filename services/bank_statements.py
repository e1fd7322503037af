"""Bank statements from their preview to their entries: kept as they came, each entry once, and tied to payouts that fit.

Rules alone; a file is read before (services.bank_file). Amounts are minor units. Source: B33; accounting reference 5.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Refusal
from models import BankEntry, BankStatement, JobLease, Payout
from rights import Actor, Right
from services import audit, bank_ties
from services.bank_entries import Entry, Statement, words_of
from services.bank_ties import Deposit
from services.card_checks import mask_personal_numbers

LEASE_NAME = "bank"
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry that is new and Klarna's, or bears a payout's reference; ``payout`` is that of the payout it fits, ``why`` what
    keeps it from being tied."""

    entry: Entry
    payout: str | None
    why: Refusal | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a statement would do; with problems it does nothing. ``known`` counts entries that came in before."""

    statement: Statement
    new: int
    known: int
    planned: Sequence[Planned]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a statement did."""

    new: int
    known: int
    tied: int


def _keys(statement: Statement) -> Iterator[tuple[str, Entry]]:
    """Each entry with its key: its content, and its number among those that are equal in it."""
    twins: Counter[str] = Counter()
    for entry in statement.entries:
        content = entry.content
        twins[content] += 1
        yield f"{content}.{twins[content]}", entry


def _known(session: Session, keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for begin in range(0, len(keys), AT_ONCE):
        found |= set(
            session.scalars(
                sa.select(BankEntry.entry_key).where(BankEntry.entry_key.in_(keys[begin : begin + AT_ONCE]))
            )
        )
    return found


def already(session: Session, content: bytes) -> Refusal | None:
    """The sentence for a statement that was read in before, byte for byte; None for a new one."""
    before = session.execute(
        sa.select(BankStatement.received_at, BankStatement.received_by).where(
            BankStatement.sha256 == hashlib.sha256(content).hexdigest()
        )
    ).one_or_none()
    if before is None:
        return None
    return Refusal(
        N_("This very file was read in on %(day)s by %(who)s. Nothing has been done."),
        field="file",
        day=clock.local_date(before.received_at),
        who=before.received_by,
    )


def preview(session: Session, content: bytes, statement: Statement) -> Plan:
    """What a statement would do, without doing it. Raises Refusal for one that was read in before."""
    refusal = already(session, content)
    if refusal is not None:
        raise refusal
    keyed = list(_keys(statement))
    known = _known(session, [key for key, _ in keyed])
    new = [entry for key, entry in keyed if key not in known]
    references = _references(session, new)
    waiting = {
        payout.payment_reference.upper(): payout
        for payout in session.scalars(
            sa.select(Payout).where(Payout.id.in_(bank_ties.waiting_with(session, references)))
        )
    }
    planned = [_planned(session, entry, references, waiting) for entry in new if _is_of_klarna(entry, references)]
    return Plan(statement, len(new), len(known), planned)


def _planned(session: Session, entry: Entry, references: frozenset[str], waiting: dict[str, Payout]) -> Planned:
    words = words_of(entry.text)
    payout = next((waiting[word] for word in sorted(words) if word in waiting), None)
    if payout is None:
        if words & references:
            return Planned(entry, None, Refusal(N_("The payout with this reference has its deposit already.")))
        return Planned(entry, None, Refusal(N_("No payout has a reference that stands in it.")))
    deposit = Deposit(entry.account, entry.day, entry.amount_minor, entry.currency, entry.text)
    why = bank_ties.why_not(payout, deposit, bank_ties.accounts_of(session, payout))
    return Planned(entry, payout.payment_reference, why)


def _references(session: Session, entries: Sequence[Entry]) -> frozenset[str]:
    """Those words of the entries that are payouts' references, in capitals."""
    words, found = sorted(set().union(*(words_of(each.text) for each in entries))), set[str]()
    for begin in range(0, len(words), AT_ONCE):
        some = words[begin : begin + AT_ONCE]
        reference = sa.func.upper(Payout.payment_reference)
        found |= set(session.scalars(sa.select(reference).where(reference.in_(some))))
    return frozenset(found)


def _is_of_klarna(entry: Entry, references: frozenset[str]) -> bool:
    return entry.is_klarnas or bool(words_of(entry.text) & references)


def take(session: Session, actor: Actor, content: bytes, file_name: str, statement: Statement) -> Taken:
    """Keep a statement with its new entries, and tie what fits. Raises NotAllowed, and Refusal with nothing kept.

    A statement with a wrong entry is not taken at all, nor one that was read in before, byte for byte; entries that came in
    with another statement are left alone.
    """
    actor.require(Right.BOOKS)
    _one_at_a_time(session)
    refusal = already(session, content)
    if refusal is not None:
        raise refusal
    if statement.problems:
        raise Refusal(N_("Something in the statement cannot be read. Nothing of it has been read in."), field="file")
    keyed = list(_keys(statement))
    known = _known(session, [key for key, _ in keyed])
    new = [(key, entry) for key, entry in keyed if key not in known]
    references = _references(session, [entry for _, entry in new])
    kept = BankStatement(
        sha256=hashlib.sha256(content).hexdigest(),
        kind=statement.kind,
        file_name=file_name[:255],
        content=content,
        received_at=clock.now(),
        received_by=actor.name,
    )
    session.add(kept)
    session.flush()
    rows = [_row(kept.id, key, entry, references) for key, entry in new]
    for begin in range(0, len(rows), AT_ONCE):
        session.execute(sa.insert(BankEntry), rows[begin : begin + AT_ONCE])
    tied = bank_ties.tie_all(session, references)
    detail = {"kind": statement.kind, "new": len(new), "known": len(known), "tied": tied}
    audit.write(session, actor, "bank.read", f"statement:{kept.id}", detail)
    return Taken(len(new), len(known), tied)


def _row(statement_id: int, key: str, entry: Entry, references: frozenset[str]) -> dict[str, object]:
    from_klarna = _is_of_klarna(entry, references)
    if not from_klarna:
        # From a person: what Klarna writes is no person's number, and is looked for digit by digit.
        payer, text = (mask_personal_numbers(each)[0] for each in (entry.payer, entry.text))
        entry = replace(entry, payer=payer, text=text)
    return {
        "statement_id": statement_id,
        "place": entry.place,
        "entry_key": key,
        "account": entry.account,
        "day": entry.day,
        "amount_minor": entry.amount_minor,
        "currency": entry.currency,
        "payer": entry.payer,
        "text": entry.text,
        "bank_reference": entry.bank_reference,
        "from_klarna": from_klarna,
    }


def _one_at_a_time(session: Session) -> None:
    """Two statements with the same entries, read in at the same moment, come one after the other."""
    if session.get(JobLease, LEASE_NAME, with_for_update=True) is None:
        db.add_first(session, JobLease(name=LEASE_NAME, holder="", until=clock.now()))
        session.get(JobLease, LEASE_NAME, with_for_update=True, populate_existing=True)
