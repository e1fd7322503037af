"""The rows of readings that were begun: loaded in blocks, then matched and booked payout by payout; a crash is gone on with.

One loader at a time in the whole installation. Amounts are minor units. Functions that take ``klarna`` own their transactions.
Source: operations 14; performance (import); fault row 33.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, islice, repeat
from typing import Any, NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Refusal, Stale
from models import JobLease, Payout, PayoutRow, ReadingFile
from rights import Actor
from services import bank_ties, job_leases, overdue, settlement_booking, settlement_bytes, settlement_matching
from services.gateway import Gateway
from services.settlement_columns import Aside, Columns
from services.settlement_report import WIDE, Report, Survey, direction, turned
from services.settlement_sentences import keep
from states import PayoutState

log = structlog.get_logger()

BLOCK = 5_000
"""Rows per transaction while loading: no lock is held for long (performance, import)."""
MANY = 500
LEASE = timedelta(seconds=60)
LEASE_NAME = "settlements"

_COLUMNS = (
    "payout_id",
    "row_no",
    "row_key",
    "type",
    "detailed_type",
    "amount_minor",
    "vat_minor",
    "vat_rate",
    "klarna_order_id",
    "short_order_id",
    "capture_id",
    "refund_id",
    "merchant_reference1",
    "merchant_reference2",
    "capture_reference",
    "refund_reference",
    "happened_at",
    "fault",
)
_Values = tuple[Any, ...]


class Found(NamedTuple):
    """A report that was looked through: what it tells of its payouts, and its rows."""

    surveys: Sequence[Survey]
    aside: Aside


def look_through(report: Report) -> Found:
    """Read a report once, for the proof of its payouts and for loading them. Raises BadInput and its kin."""
    aside = Aside()
    return Found(report.survey(aside), aside)


@dataclass(slots=True)
class _Mine:
    """A payout that is being loaded: ``there`` of its rows are in, ``count`` have been seen in the report."""

    payout_id: int
    there: int
    sign: int
    twins: AbstractSet[str]
    count: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def new(self, columns: Columns) -> Sequence[_Values]:
        """Those of these rows that are not in yet, as they are kept; ``amount_minor`` is the effect on the payout."""
        keys, types, details, signed, *rest, faults = columns
        first = self.count + 1
        self.count += len(keys)
        # A row is told from its like by its number among them, also where those before it are in already.
        numbered = [f"{key}.{self._number(key) if key in self.twins else 1}" for key in keys]
        if self.count <= self.there:
            return ()
        effects = turned(signed, faults, self.sign)
        rows = zip(
            repeat(self.payout_id), count(first), numbered, types, details, effects, *rest, faults,
            strict=False,
        )  # fmt: skip
        return list(islice(rows, max(0, self.there + 1 - first), len(keys)))

    def _number(self, key: str) -> int:
        self.seen[key] += 1
        return self.seen[key]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a report has come: ``done`` of ``total`` rows are in; all in, its payouts are matched and booked."""

    file_id: int
    file_name: str
    done: int
    total: int


def progress(session: Session, file_id: int | None = None) -> Sequence[Progress]:
    """The reports that are being loaded just now, or this one."""
    query = sa.select(Payout.file_id).where(Payout.state == PayoutState.LOADING)
    if file_id is not None:
        query = query.where(Payout.file_id == file_id)
    last = sa.select(sa.func.max(PayoutRow.row_no)).where(PayoutRow.payout_id == Payout.id).scalar_subquery()
    rows = session.execute(
        sa.select(
            ReadingFile.id, ReadingFile.file_name, sa.func.sum(sa.func.coalesce(last, 0)), sa.func.sum(Payout.row_count)
        )
        .join(Payout, Payout.file_id == ReadingFile.id)
        .where(ReadingFile.id.in_(query))
        .group_by(ReadingFile.id, ReadingFile.file_name)
        .order_by(ReadingFile.id)
    )
    return [Progress(row[0], row[1], int(row[2]), int(row[3])) for row in rows]


def finish(klarna: Gateway) -> bool:
    """Load and settle what has been begun and is not there yet: what a page left to the worker, what a crash cut off.

    True when there was something to do and nobody else is at it.
    """
    with db.reading() as session:
        if session.scalar(sa.select(Payout.id).where(Payout.state == PayoutState.LOADING).limit(1)) is None:
            return False
    with turn(klarna) as mine:
        if mine is not None:
            mine.finish()
        return mine is not None


@contextmanager
def turn(klarna: Gateway) -> Iterator[Turn | None]:
    """Be the loader for a while; None while another one is, and what was begun is left to that one or to the worker."""
    made = Turn(klarna.sender)
    if not db.transact(made.take):
        yield None
        return
    try:
        yield made
    finally:
        db.transact(made.leave)


class Turn:
    """The right to load, held by a lease that ends by itself after a crash."""

    def __init__(self, holder: str) -> None:
        self._holder = holder

    def take(self, session: Session) -> bool:
        """Take the lease, or hold it for longer; False while somebody else has it."""
        return job_leases.take(session, LEASE_NAME, self._holder, LEASE)

    def leave(self, session: Session) -> None:
        """Let others load."""
        session.execute(
            sa.update(JobLease)
            .where(JobLease.name == LEASE_NAME, JobLease.holder == self._holder)
            .values(until=clock.now())
        )

    def finish(self, sha256: str = "", found: Found | None = None) -> None:
        """Load what is loading, report by report, the smallest first, and settle each payout in one transaction.

        With a hash that report alone: whoever waits for it does not do the worker's work. ``found`` is what was found in it,
        and it then is not looked through a second time.
        """
        query = sa.select(Payout.file_id).join(ReadingFile, ReadingFile.id == Payout.file_id)
        if sha256:
            query = query.where(ReadingFile.sha256 == sha256)
        with db.reading() as session:
            files = session.scalars(
                query.where(Payout.state == PayoutState.LOADING)
                .group_by(Payout.file_id)
                .order_by(sa.func.sum(Payout.row_count), Payout.file_id)
            ).all()
        for file_id in files:
            try:
                self.load(file_id, found)
            # One reading that cannot be finished must not keep all others out; it stays visible as being read.
            except Exception:
                log.exception("settlements.not_finished", file_id=file_id)

    def load(self, file_id: int, found: Found | None = None) -> None:
        """Load one report from where it stopped; a payout is settled as soon as its last row is in."""
        with db.reading() as session:
            file = session.get_one(ReadingFile, file_id)
            loading = {
                each.payment_reference: each
                for each in session.scalars(
                    sa.select(Payout).where(Payout.file_id == file_id, Payout.state == PayoutState.LOADING)
                )
            }
            there = _loaded(session, [each.id for each in loading.values()])
        if found is None:
            found = look_through(Report(settlement_bytes.opened(file.sha256), file.file_name, file.sha256, WIDE))
        known = {each.payout.payment_reference: each for each in found.surveys}
        mine = {
            reference: _Mine(each.id, there.get(each.id, 0), direction(known[reference]) or 0, known[reference].twins)
            for reference, each in loading.items()
        }
        actor = Actor(file.received_by)
        # Each payout with how many rows are written when its last one is.
        whole = deque((each.id, 0) for each in loading.values() if there.get(each.id, 0) == each.row_count)
        rows: list[_Values] = []
        written = 0
        for reference, columns in found.aside.blocks():
            payout = mine.get(reference)
            if payout is None:
                continue
            rows += payout.new(columns)
            if payout.there < payout.count == loading[reference].row_count:
                whole.append((payout.payout_id, written + len(rows)))
            while len(rows) >= BLOCK:
                self._write(rows[:BLOCK])
                written += BLOCK
                del rows[:BLOCK]
                _settle_all(actor, whole, written)
        if rows:
            self._write(rows)
        _settle_all(actor, whole, written + len(rows))

    def _write(self, block: Sequence[_Values]) -> None:
        def work(session: Session) -> None:
            if not self.take(session):
                # Whoever has the turn now goes on from what is there.
                raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
            session.flush()
            db.write_rows(session, "payout_row", _COLUMNS, block)

        db.transact(work)


def _settle_all(actor: Actor, whole: deque[tuple[int, int]], written: int) -> None:
    while whole and whole[0][1] <= written:
        settle(actor, whole.popleft()[0])


def _loaded(session: Session, payouts: Sequence[int]) -> dict[int, int]:
    """How many rows of each payout are in already."""
    rows = session.execute(
        sa.select(PayoutRow.payout_id, sa.func.count())
        .where(PayoutRow.payout_id.in_(payouts))
        .group_by(PayoutRow.payout_id)
    )
    return {row[0]: row[1] for row in rows}


def settle(actor: Actor, payout_id: int) -> None:
    """Match, mark and, with nothing faulty, book a loaded payout: one transaction, or booked later when that is refused."""

    def whole(session: Session) -> None:
        _without_limit(session)
        state = settlement_matching.settle(session, actor, payout_id)
        _tell_planner(session, payout_id)
        if state is PayoutState.READY:
            settlement_booking.post(session, actor, payout_id)
        bank_ties.tie_payout(session, payout_id)
        overdue.close_settled(session)

    try:
        db.transact(whole)
    except Refusal as no:
        sentence = keep(no)

        def unbooked(session: Session) -> None:
            _without_limit(session)
            settlement_matching.settle(session, actor, payout_id)
            session.execute(sa.update(Payout).where(Payout.id == payout_id).values(parked_because=sentence))
            bank_ties.tie_payout(session, payout_id)
            overdue.close_settled(session)

        db.transact(unbooked)


def _tell_planner(session: Session, payout_id: int) -> None:
    """PostgreSQL plans by what it knew before these rows: with none, it reads all of them for each (measured: a minute).

    What it knows of ten times as many rows is good enough.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    count = session.get_one(Payout, payout_id).row_count
    known = "SELECT reltuples FROM pg_class WHERE oid = 'row_match'::regclass"
    if count >= MANY and session.execute(sa.text(known)).scalar_one() < 10 * count:
        session.execute(sa.text("ANALYZE payout_row (payout_id, type), row_match (row_id, document_id, pile)"))


def _without_limit(session: Session) -> None:
    """A payout of a million rows takes one statement longer than any page may."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
