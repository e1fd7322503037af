"""Payouts and deposits side by side, as pages show them: what has reached the bank, what has not, what nobody knows of.

Pure reading; keyset pages. Amounts are minor units. Source: accounting reference 5, "every payout found on 1930".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import NotFound, Refusal
from models import BankEntry, BankStatement, BankTie, Document, KlarnaAccount, Payout
from services import bank_ties, settlement_matching
from services.bank_entries import words_of
from states import DocKind, DocState

VIEWS = ("missing", "found", "deposits", "statements")
ROWS = 50
MOST_LOOKED_AT = 1000
"""Deposits without a payout that are held against the payouts of a page."""
MOST_OFFERED = 20
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Found:
    """The deposit of a payout, and who tied it: ``how`` is by reference or by hand."""

    entry_id: int
    day: date
    account: str
    amount_minor: int
    how: str
    reason: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class AtBank:
    """A payout and what is known of it at the bank. ``age`` are days since it was paid out, while it has no deposit; ``whys``
    are deposits that bear its reference and do not fit."""

    id: int
    payment_reference: str
    account: str
    day: date
    currency: str
    settlement_minor: int
    found: Found | None
    age: int
    whys: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Owing:
    """An open invoice that the customer pays to us; ``left_minor`` remains to be paid."""

    id: int
    number: str
    left_minor: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """A deposit that belongs to no payout; ``invoice`` is the open one whose OCR number it bears.

    ``payouts`` are those of its amount and currency that await a deposit, id and reference, the nearest day first.
    """

    id: int
    day: date
    amount_minor: int
    currency: str
    account: str
    payer: str
    text: str
    statement_id: int
    place: int
    from_klarna: bool
    invoice: Owing | None = None
    payouts: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A tie or an untying in a payout's history."""

    tied: bool
    how: str
    reason: str
    at: datetime
    by: str
    day: date
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many payouts are not at the bank and what they come to per currency, how many are, and how many deposits of Klarna's
    have no payout."""

    missing: int
    missing_minor: Mapping[str, int]
    found: int
    deposits: int


def counts(session: Session) -> Counts:
    """The figures above the page."""
    has = bank_ties.has_deposit(Payout.id)
    rows = session.execute(
        sa.select(
            Payout.currency,
            sa.func.count(),
            sa.func.sum(sa.case((has, 0), else_=Payout.settlement_minor)),
            sa.func.sum(sa.case((has, 1), else_=0)),
        )
        .where(bank_ties.awaits_deposit())
        .group_by(Payout.currency)
        .order_by(Payout.currency)
    ).all()
    deposits = session.scalar(
        sa.select(sa.func.count()).where(BankEntry.from_klarna.is_(True), sa.not_(bank_ties.is_tied(BankEntry.id)))
    )
    found = sum(int(row[3]) for row in rows)
    sums = {row[0]: int(row[2]) for row in rows if row[2]}
    return Counts(sum(row[1] for row in rows) - found, sums, found, deposits or 0)


def payouts(session: Session, *, found: bool, after: int | None = None) -> tuple[Sequence[AtBank], int | None]:
    """Payouts that are at the bank or are not, the newest first; the second value is where the next page goes on."""
    has = bank_ties.has_deposit(Payout.id)
    query = (
        sa.select(Payout, KlarnaAccount.name)
        .join(KlarnaAccount, KlarnaAccount.id == Payout.account_id)
        .where(bank_ties.awaits_deposit(), has if found else sa.not_(has))
        .order_by(Payout.id.desc())
        .limit(ROWS + 1)
    )
    if after is not None:
        query = query.where(Payout.id < after)
    rows = session.execute(query).all()
    shown = rows[:ROWS]
    ties = _ties(session, [payout.id for payout, _ in shown]) if found else {}
    loose = {} if found else _loose(session)
    made = [_at_bank(session, payout, name, ties.get(payout.id), loose) for payout, name in shown]
    return made, shown[-1][0].id if len(rows) > ROWS else None


def _at_bank(
    session: Session, payout: Payout, account: str, found: Found | None, loose: Mapping[str, Sequence[BankEntry]]
) -> AtBank:
    day = clock.local_date(payout.payout_date)
    whys = list(_whys(session, payout, loose)) if found is None else []
    return AtBank(
        payout.id,
        payout.payment_reference,
        account,
        day,
        payout.currency,
        payout.settlement_minor,
        found,
        max((clock.today() - day).days, 0),
        whys,
    )


def _whys(session: Session, payout: Payout, loose: Mapping[str, Sequence[BankEntry]]) -> Iterator[Refusal]:
    bearing = loose.get(payout.payment_reference.upper(), ())
    accounts = bank_ties.accounts_of(session, payout) if bearing else frozenset[str]()
    for entry in bearing:
        why = bank_ties.why_not(payout, bank_ties.of_entry(entry), accounts)
        if why is not None:
            yield why


def _loose(session: Session) -> dict[str, list[BankEntry]]:
    """Deposits of Klarna's that belong to no payout, by each word of theirs."""
    found: dict[str, list[BankEntry]] = {}
    query = (
        sa.select(BankEntry)
        .where(BankEntry.from_klarna.is_(True), sa.not_(bank_ties.is_tied(BankEntry.id)))
        .order_by(BankEntry.id.desc())
        .limit(MOST_LOOKED_AT)
    )
    for entry in session.scalars(query):
        for word in words_of(entry.text):
            found.setdefault(word, []).append(entry)
    return found


def _ties(session: Session, payout_ids: Sequence[int]) -> dict[int, Found]:
    rows = session.execute(
        sa.select(BankTie, BankEntry)
        .join(BankEntry, BankEntry.id == BankTie.entry_id)
        .where(BankTie.payout_id.in_(payout_ids), bank_ties.live())
    )
    return {
        tie.payout_id: Found(
            entry.id, entry.day, entry.account, entry.amount_minor, tie.how, tie.reason, tie.at, tie.by
        )
        for tie, entry in rows
    }


def deposits(
    session: Session, *, of_klarna: bool = True, after: int | None = None
) -> tuple[Sequence[Incoming], int | None]:
    """Deposits that belong to no payout, the newest first: those of Klarna's, or every one."""
    query = sa.select(BankEntry).where(sa.not_(bank_ties.is_tied(BankEntry.id))).order_by(BankEntry.id.desc())
    if of_klarna:
        query = query.where(BankEntry.from_klarna.is_(True))
    if after is not None:
        query = query.where(BankEntry.id < after)
    rows = session.scalars(query.limit(ROWS + 1)).all()
    shown = rows[:ROWS]
    owing, awaiting = _owing(session, shown), _awaiting(session, shown)
    older = shown[-1].id if len(rows) > ROWS else None
    return [_incoming(each, owing.get(each.id), awaiting[each.id]) for each in shown], older


def _awaiting(session: Session, entries: Sequence[BankEntry]) -> dict[int, list[tuple[int, str]]]:
    """Per entry the payouts of its amount and currency that await a deposit: what a person could tie it to."""
    amounts = sorted({each.amount_minor for each in entries if each.amount_minor > 0})
    payouts = session.execute(
        sa.select(
            Payout.id, Payout.payment_reference, Payout.payout_date, Payout.settlement_minor, Payout.currency
        ).where(
            Payout.settlement_minor.in_(amounts), bank_ties.awaits_deposit(), sa.not_(bank_ties.has_deposit(Payout.id))
        )
    ).all()
    found = {}
    for entry in entries:
        same = sorted(
            (abs((clock.local_date(at) - entry.day).days), payout_id, reference)
            for payout_id, reference, at, minor, currency in payouts
            if (minor, currency) == (entry.amount_minor, entry.currency)
        )
        found[entry.id] = [(payout_id, reference) for _, payout_id, reference in same[:MOST_NAMED]]
    return found


def _owing(session: Session, entries: Sequence[BankEntry]) -> dict[int, Owing]:
    """Per entry the open invoice whose OCR number stands in it, where exactly one does."""
    words = {each.id: {word for word in words_of(each.text) if word.isdecimal()} for each in entries}
    rows = session.execute(
        sa.select(Document.id, Document.number_text, Document.open_minor, Document.ocr, Document.currency).where(
            Document.ocr.in_(sorted(set().union(*words.values()))),
            Document.kind == DocKind.INVOICE,
            Document.state == DocState.ISSUED,
            Document.open_minor > 0,
        )
    ).all()
    found = {}
    for entry in entries:
        fitting = [row for row in rows if row.ocr in words[entry.id] and row.currency == entry.currency]
        if len(fitting) == 1:
            found[entry.id] = Owing(fitting[0].id, fitting[0].number_text or "", fitting[0].open_minor)
    return found


def _incoming(entry: BankEntry, invoice: Owing | None = None, payouts: Sequence[tuple[int, str]] = ()) -> Incoming:
    return Incoming(
        entry.id,
        entry.day,
        entry.amount_minor,
        entry.currency,
        entry.account,
        entry.payer,
        entry.text,
        entry.statement_id,
        entry.place,
        entry.from_klarna,
        invoice,
        payouts,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One payout at the bank: what it is, the deposits a person could tie to it, and what was done."""

    payout: AtBank
    awaits: bool
    offered: Sequence[Incoming]
    events: Sequence[Event]


def page_of(session: Session, payout_id: int) -> Page:
    """A payout with its deposit, or with those of its own amount that belong to no payout, the nearest day first.

    Raises NotFound.
    """
    payout = settlement_matching.get(session, payout_id)
    name = session.scalars(sa.select(KlarnaAccount.name).where(KlarnaAccount.id == payout.account_id)).one()
    found = found_of(session, payout_id)
    awaits = session.scalar(sa.select(Payout.id).where(Payout.id == payout_id, bank_ties.awaits_deposit())) is not None
    made = _at_bank(session, payout, name, found, _loose(session) if found is None and awaits else {})
    return Page(
        made,
        awaits,
        _offered(session, payout, made.day) if found is None and awaits else [],
        _events(session, payout_id),
    )


def found_of(session: Session, payout_id: int) -> Found | None:
    """The deposit of a payout; None while it has none."""
    return _ties(session, [payout_id]).get(payout_id)


def _offered(session: Session, payout: Payout, day: date) -> list[Incoming]:
    query = sa.select(BankEntry).where(
        BankEntry.amount_minor == payout.settlement_minor,
        BankEntry.currency == payout.currency,
        sa.not_(bank_ties.is_tied(BankEntry.id)),
    )
    fitting = session.scalars(query.order_by(BankEntry.id.desc()).limit(10 * MOST_OFFERED)).all()
    return [_incoming(each) for each in sorted(fitting, key=lambda each: abs((each.day - day).days))[:MOST_OFFERED]]


def _events(session: Session, payout_id: int) -> list[Event]:
    rows = session.execute(
        sa.select(BankTie, BankEntry.day, BankEntry.amount_minor)
        .join(BankEntry, BankEntry.id == BankTie.entry_id)
        .where(BankTie.payout_id == payout_id)
        .order_by(BankTie.id)
    )
    return [Event(tie.undoes_id is None, tie.how, tie.reason, tie.at, tie.by, day, amount) for tie, day, amount in rows]


@dataclass(frozen=True, slots=True)
class Kept:
    """A statement that was read in, with how many entries it brought and of which days."""

    id: int
    kind: str
    file_name: str
    received_at: datetime
    received_by: str
    entries: int
    starts: date | None
    ends: date | None


def statements(session: Session, *, after: int | None = None) -> tuple[Sequence[Kept], int | None]:
    """The statements that were read in, the newest first."""
    columns = (
        BankStatement.id,
        BankStatement.kind,
        BankStatement.file_name,
        BankStatement.received_at,
        BankStatement.received_by,
    )
    query = (
        sa.select(*columns, sa.func.count(BankEntry.id), sa.func.min(BankEntry.day), sa.func.max(BankEntry.day))
        .outerjoin(BankEntry, BankEntry.statement_id == BankStatement.id)
        .group_by(*columns)
        .order_by(BankStatement.id.desc())
        .limit(ROWS + 1)
    )
    if after is not None:
        query = query.where(BankStatement.id < after)
    rows = [Kept(*row) for row in session.execute(query)]
    return rows[:ROWS], rows[ROWS - 1].id if len(rows) > ROWS else None


def file_of(session: Session, statement_id: int) -> tuple[str, bytes]:
    """The kind and the bytes of a statement. Raises NotFound."""
    found = session.get(BankStatement, statement_id)
    if found is None:
        raise NotFound
    return found.kind, found.content
