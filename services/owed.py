"""What Klarna owes us and we Klarna: who waits for whom, for how long, and the figures and charts of the start page (B9).

Amounts are minor units. Sums come from an index of what is open and from sums per day that triggers keep (KlarnaDay); both are
added anew by ``flask verify``. Pure reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Document, KlarnaDay, Payout, PayoutRow, Posting, RowMatch
from services import settings
from states import DocKind, Pile, WithoutKlarna

WEEKS = 12
AGES = (7, 14, 30, 60)
"""Ends of the age groups of open claims, in days; the last group is what is older."""
AT_KLARNA = sa.text(
    "document.open_minor <> 0"
    " AND (document.issued_by_op_id IS NOT NULL OR document.without_klarna_reason = 'credited_in_portal')"
)
"""Open, and carried out at Klarna: word for word the condition of a partial index."""
IS_AT_KLARNA = sa.or_(
    Document.issued_by_op_id.is_not(None), Document.without_klarna_reason == WithoutKlarna.CREDITED_IN_PORTAL
)
"""The same of a document whether it is open or not."""


def is_at_klarna(document: Document) -> bool:
    """The same of a document in hand: its reading settles it by itself (B7)."""
    return document.issued_by_op_id is not None or document.without_klarna_reason is WithoutKlarna.CREDITED_IN_PORTAL


# --- Work lists (services.worklists puts them beside the others) -----------------------------------------------------------


def unpaid_before(session: Session) -> date:
    """What was issued on this day or earlier should have been paid out by now: the company's setting, 30 days at first."""
    return clock.today() - timedelta(days=settings.number(session, "unpaid_days"))


def _documents(kind: DocKind) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            Document.order_id,
            Document.id.label("document_id"),
            Document.kind.label("document_kind"),
            Document.number_text.label("number"),
            Document.open_minor.label("amount_minor"),
            Document.currency,
            Document.listed_on.label("day"),
        )
        .where(
            AT_KLARNA,
            Document.kind == kind,
            Document.listed_on <= sa.bindparam("unpaid_before"),
            Document.open_minor > 0 if kind is DocKind.INVOICE else Document.open_minor < 0,
        )
        .order_by(Document.listed_on, Document.id)
    )


def activated_not_paid() -> sa.Select[*tuple[Any, ...]]:
    """«Aktiverat men inte utbetalt»: invoices with Klarna whose money should have come."""
    return _documents(DocKind.INVOICE)


def notes_without_settlement() -> sa.Select[*tuple[Any, ...]]:
    """«Kreditfakturor utan återläsning»: credit notes at Klarna that no payout has taken up."""
    return _documents(DocKind.CREDIT_NOTE)


def returns_without_note() -> sa.Select[*tuple[Any, ...]]:
    """«Returer utan kreditfaktura»: what Klarna has drawn from a payout and nobody here knows of."""
    return rows_to_settle(is_return_alone())


def rows_to_settle(*which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    """Rows of payouts that a person has to look at, those of the oldest payout first."""
    return (
        sa.select(
            PayoutRow.payout_id,
            PayoutRow.id.label("row_id"),
            Payout.payment_reference.label("number"),
            PayoutRow.amount_minor,
            Payout.currency,
            Payout.payout_date.label("at"),
            RowMatch.pile.label("state"),
            PayoutRow.type.label("what"),
            PayoutRow.fault,
        )
        .join(PayoutRow, PayoutRow.id == RowMatch.row_id)
        .join(Payout, Payout.id == PayoutRow.payout_id)
        .where(RowMatch.pile.in_((Pile.FAULTY, Pile.WARNING)), *which)
        .order_by(Payout.payout_date, PayoutRow.id)
    )


def rows_of_documents() -> sa.Select[*tuple[Any, ...]]:
    """«Återläsningsrader att utreda»: every row to settle but the returns that have a list of their own."""
    return rows_to_settle(sa.not_(is_return_alone()))


def only_payout(session: Session, shown: Sequence[int | None]) -> int | None:
    """The payout in which all of these rows stand, when no row beyond those shown stands in another; else None."""
    first = shown[0] if shown else None
    if first is None or any(each != first for each in shown):
        return None
    elsewhere = rows_of_documents().where(PayoutRow.payout_id != first).order_by(None).limit(1)
    return first if session.execute(elsewhere).first() is None else None


def is_return_alone() -> sa.ColumnElement[bool]:
    """A return of a payout that belongs to no document of ours."""
    return sa.and_(PayoutRow.type == "RETURN", RowMatch.document_id.is_(None))


# --- Figures ---------------------------------------------------------------------------------------------------------------


def klarna_owes(session: Session) -> dict[str, int]:
    """What was carried out at Klarna and is not yet paid out, per currency, minor units; negative where we owe Klarna.

    With what customers owe the company itself it is the balance of the receivable accounts (A9).
    """
    query = (
        sa.select(Document.currency, sa.func.sum(Document.open_minor))
        .where(AT_KLARNA)
        .group_by(Document.currency)
        .order_by(Document.currency)
    )
    return {row[0]: int(row[1]) for row in session.execute(query)}


def withheld(session: Session) -> int:
    """What Klarna withholds according to the books, minor units: the balance of the account for it."""
    account = settings.number(session, "account.holdback")
    return int(session.scalar(sa.select(sa.func.sum(Posting.amount_minor)).where(Posting.account == account)) or 0)


# --- Charts ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Week:
    """A week from its Monday on: activated and credited by our documents, and what payouts came to, minor units."""

    starts: date
    activated_minor: int = 0
    credited_minor: int = 0
    paid_minor: int = 0


@dataclass(frozen=True, slots=True)
class Age:
    """Open claims on Klarna issued ``least`` to ``most`` days ago; ``most`` is None for the oldest."""

    least: int
    most: int | None
    count: int
    minor: int


def weeks(session: Session, currency: str = "SEK") -> list[Week]:
    """The last twelve weeks, this one included, the oldest first."""
    today = clock.today()
    monday = today - timedelta(days=today.weekday())
    first = monday - timedelta(weeks=WEEKS - 1)
    sums: dict[date, list[int]] = {first + timedelta(weeks=n): [0, 0, 0] for n in range(WEEKS)}
    days = sa.select(KlarnaDay.day, KlarnaDay.activated_minor, KlarnaDay.credited_minor)
    for day, activated, credited in session.execute(
        days.where(KlarnaDay.day >= first, KlarnaDay.day <= today, KlarnaDay.currency == currency)
    ):
        week = sums[day - timedelta(days=day.weekday())]
        week[0] += activated
        week[1] += credited
    begins = datetime.combine(first, time(), clock.LOCAL)
    paid = sa.select(Payout.payout_date, Payout.settlement_minor)
    for at, minor in session.execute(paid.where(Payout.payout_date >= begins, Payout.currency == currency)):
        day = clock.local_date(at)
        monday_of = day - timedelta(days=day.weekday())
        if monday_of in sums:
            sums[monday_of][2] += minor
    return [Week(starts, *three) for starts, three in sums.items()]


def ages(session: Session, currency: str = "SEK") -> Sequence[Age]:
    """Open claims on Klarna by age, the youngest first."""
    today = clock.today()
    ends = [today - timedelta(days=days) for days in AGES]
    group = sa.case(*((Document.listed_on >= day, n) for n, day in enumerate(ends)), else_=len(ends))
    query = (
        sa.select(group.label("age"), sa.func.count(), sa.func.sum(Document.open_minor))
        .where(
            AT_KLARNA,
            Document.kind == DocKind.INVOICE,
            Document.open_minor > 0,
            Document.currency == currency,
        )
        .group_by(group)
    )
    found = {row[0]: (row[1], int(row[2])) for row in session.execute(query)}
    starts = (0, *(days + 1 for days in AGES))
    return [
        Age(least, most, *found.get(n, (0, 0)))
        for n, (least, most) in enumerate(zip(starts, (*AGES, None), strict=True))
    ]
