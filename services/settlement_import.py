"""A settlement report becomes payouts in the books: kept byte for byte, surveyed, proved, loaded in blocks, then settled.

Nothing is stored before the whole report has been read once. A payout that does not add up is noted with its reason and
no rows, so that a better report can take its place; rows that are stored stay for ever. Amounts are minor units.
Functions that take ``klarna`` own their transactions. Source: operations 14; K47; B5; fault rows 30-35.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BrokenRule, Refusal
from models import JobLease, KlarnaBreak, PayoutRow, ReadingFile
from models import Payout as Kept
from rights import Actor, Right
from services import audit, settlement_booking, settlement_matching
from services.gateway import Gateway
from services.settlement_layouts import Row
from services.settlement_plan import Done, Fate, Outcome, Planned, already_read, preview
from services.settlement_proof import content_key
from services.settlement_report import Report, Survey, direction, totals_text, written_fault
from services.settlement_sentences import keep
from states import BreakKind, BreakState, PayoutState

log = structlog.get_logger()

BLOCK = 20_000
"""Rows per transaction while loading: no lock is held for long (performance, import)."""
LEASE = timedelta(seconds=60)
LEASE_NAME = "settlements"
MOST_SHOWN = 50
"""Rows kept with a break of a payout that came back different."""


# --- Reading in ----------------------------------------------------------------------------------------------------------


def read_in(
    klarna: Gateway, actor: Actor, report: Report, *, source: str = "upload", account_id: int | None = None
) -> Outcome:
    """Keep a report and everything new in it; payouts with nothing faulty are booked at once (K47).

    Safe to run again at any time: the same bytes, the same payouts in another shape, or a run that was cut off change
    nothing twice. Raises BadInput, UnsupportedFile, TooLarge, Refusal with nothing stored.
    """
    if source == "upload":
        actor.require(Right.BOOKS)
    with db.reading() as session:
        cut_off = _cut_off(session, report)
        already = None if cut_off else already_read(session, report.sha256)
    if already is not None:
        # These bytes were looked through when they first came, and hold no surprise.
        return Outcome((), already)
    surveys = report.survey()
    with _Turn(klarna) as turn:
        with db.reading() as session:
            cut_off = _cut_off(session, report)
        turn.finish(actor)
        if cut_off:
            with db.reading() as session:
                return Outcome([_finished(session, payout_id) for payout_id in cut_off])
        planned = db.transact(lambda session: _store(session, actor, report, surveys, source, account_id))
        if isinstance(planned, Refusal):
            return Outcome((), planned)
        turn.finish(actor, report.sha256, surveys)
    with db.reading() as session:
        return Outcome([_done(session, each) for each in planned])


def finish(klarna: Gateway, actor: Actor) -> None:
    """Load and settle what a crash left half loaded."""
    with _Turn(klarna) as turn:
        turn.finish(actor)


def _cut_off(session: Session, report: Report) -> Sequence[int]:
    """The payouts of these very bytes that an earlier run left half loaded."""
    return session.scalars(
        sa.select(Kept.id)
        .join(ReadingFile, ReadingFile.id == Kept.file_id)
        .where(ReadingFile.sha256 == report.sha256, Kept.state == PayoutState.LOADING)
        .order_by(Kept.id)
    ).all()


def _finished(session: Session, payout_id: int) -> Done:
    found = session.get_one(Kept, payout_id)
    return Done(found.payment_reference, Fate.NEW, found.id, found.state)


def _done(session: Session, planned: Planned) -> Done:
    found = session.execute(
        sa.select(Kept.id, Kept.state).where(
            Kept.account_id == planned.account_id,
            Kept.payment_reference == planned.survey.payout.payment_reference,
        )
    ).one_or_none()
    payout_id, state = (found.id, found.state) if found else (None, None)
    return Done(planned.survey.payout.payment_reference, planned.fate, payout_id, state, planned.why)


def _store(
    session: Session,
    actor: Actor,
    report: Report,
    surveys: Sequence[Survey],
    source: str,
    account_id: int | None,
) -> Sequence[Planned] | Refusal:
    """One transaction: the bytes, and a payout that is loading or parked for each new one."""
    plan = preview(session, report, account_id, surveys)
    if plan.already is not None:
        return plan.already
    if source == "api" and all(each.fate is Fate.SAME for each in plan.payouts):
        return plan.payouts
    if session.scalar(sa.select(ReadingFile.id).where(ReadingFile.sha256 == report.sha256)) is not None:
        return plan.payouts
    file = ReadingFile(
        sha256=report.sha256,
        source=source,
        file_name=report.file_name[:255],
        content=report.content,
        received_at=clock.now(),
        received_by=actor.name,
    )
    session.add(file)
    session.flush()
    for each in plan.payouts:
        if each.fate in (Fate.NEW, Fate.PARKED):
            _begin(session, actor, each, file.id)
        elif each.fate is Fate.DIFFERENT:
            _open_difference(session, actor, each)
    audit.write(
        session,
        actor,
        "settlement.read",
        f"file:{file.id}",
        {"payouts": {each.survey.payout.payment_reference: each.fate for each in plan.payouts}, "source": source},
    )
    return plan.payouts


def _begin(session: Session, actor: Actor, planned: Planned, file_id: int) -> None:
    """Make the payout, in place of a note of one that did not add up."""
    survey, breaks = planned.survey, sa.update(KlarnaBreak)
    waiting = [] if planned.before_id is None else _free(session, planned.before_id)
    told = survey.payout
    adds_up = planned.fate is Fate.NEW
    made = Kept(
        file_id=file_id,
        account_id=planned.account_id,
        payment_reference=told.payment_reference,
        payout_date=planned.payout_date,
        currency=told.currency,
        settlement_type=told.settlement_type or "",
        totals=totals_text(survey),
        settlement_minor=told.totals.settlement,
        opening_debt_minor=told.totals.opening_debt,
        closing_debt_minor=told.totals.debt_after(),
        rows_hash=str(survey.rows_hash),
        row_count=survey.count if adds_up else 0,
        state=PayoutState.LOADING if adds_up else PayoutState.PARKED,
        parked_because=keep(planned.why) if planned.why else None,
    )
    session.add(made)
    session.flush()
    if waiting:
        session.execute(breaks.where(KlarnaBreak.id.in_(waiting)).values(payout_id=made.id))
    if adds_up:
        _close(session, actor, waiting, f"file:{file_id}")
    elif not waiting:
        session.add(_break_of(planned, made.id, expected=planned.why.message if planned.why else ""))
        session.flush()


def _free(session: Session, payout_id: int) -> list[int]:
    """Remove the note of a payout that did not add up; gives the breaks that speak of it."""
    held = list(session.scalars(sa.select(KlarnaBreak.id).where(KlarnaBreak.payout_id == payout_id)))
    session.execute(sa.update(KlarnaBreak).where(KlarnaBreak.id.in_(held)).values(payout_id=None))
    gone = session.execute(
        sa.delete(Kept)
        .where(Kept.id == payout_id, Kept.state == PayoutState.PARKED, Kept.row_count == 0)
        .execution_options(synchronize_session=False)
    )
    if gone.rowcount != 1:  # type: ignore[attr-defined]
        raise BrokenRule("only a payout without rows gives way to another report")
    session.expire_all()
    return held


def _close(session: Session, actor: Actor, breaks: Sequence[int], reason: str) -> None:
    session.execute(
        sa.update(KlarnaBreak)
        .where(KlarnaBreak.id.in_(breaks), KlarnaBreak.state == BreakState.OPEN)
        .values(state=BreakState.CLOSED, resolution="gone", reason=reason, closed_by=actor.name, closed_at=clock.now())
    )


def _break_of(planned: Planned, payout_id: int, *, expected: str, found: str = "", difference: int = 0) -> KlarnaBreak:
    return KlarnaBreak(
        kind=BreakKind.TOTALS_DIFFER,
        account_id=planned.account_id,
        payout_id=payout_id,
        expected=expected,
        found=found,
        difference_minor=difference or planned.survey.difference_minor,
        currency=planned.survey.payout.currency,
        opened_at=clock.now(),
        found_by="settlement",
        owner="finance",
    )


def _open_difference(session: Session, actor: Actor, planned: Planned) -> None:
    """Keep a payout that came back different as a break, with the rows side by side; once."""
    if planned.comparison is None or planned.before_id is None:
        raise BrokenRule("a difference has two sides")
    gone, new = (
        totals_of_rows(planned.comparison.gone, planned.survey.payout.currency),
        totals_of_rows(planned.comparison.new, planned.survey.payout.currency),
    )
    same = sa.select(KlarnaBreak.id).where(
        KlarnaBreak.payout_id == planned.before_id, KlarnaBreak.expected == gone, KlarnaBreak.found == new
    )
    if session.scalar(same.limit(1)) is not None:
        return
    change = sum(row.signed_minor + row.signed_vat_minor for row in planned.comparison.new) - sum(
        row.signed_minor + row.signed_vat_minor for row in planned.comparison.gone
    )
    session.add(_break_of(planned, planned.before_id, expected=gone, found=new, difference=change))
    session.flush()
    audit.write(session, actor, "settlement.different", f"payout:{planned.before_id}", {"difference_minor": change})


def totals_of_rows(rows: Sequence[Row], currency: str) -> str:
    """Rows as a break keeps them: a JSON list of at most 50."""
    return settlement_matching.rows_text(rows[:MOST_SHOWN], currency)


# --- Loading -------------------------------------------------------------------------------------------------------------


class _Turn:
    """One loader at a time in the whole installation, held by a lease that ends by itself after a crash."""

    def __init__(self, klarna: Gateway) -> None:
        self._holder = klarna.sender

    def __enter__(self) -> Self:
        db.transact(self._take)
        return self

    def __exit__(self, *_: object) -> None:
        db.transact(self._leave)

    def _take(self, session: Session) -> None:
        now = clock.now()
        lease = session.get(JobLease, LEASE_NAME, with_for_update=True)
        if lease is None:
            session.add(JobLease(name=LEASE_NAME, holder=self._holder, until=now + LEASE))
        elif lease.holder != self._holder and lease.until > now:
            raise Refusal(N_("Another reading is being loaded just now. Nothing has been read; try again in a moment."))
        else:
            lease.holder, lease.until = self._holder, now + LEASE

    def _leave(self, session: Session) -> None:
        session.execute(
            sa.update(JobLease)
            .where(JobLease.name == LEASE_NAME, JobLease.holder == self._holder)
            .values(until=clock.now())
        )

    def finish(self, actor: Actor, sha256: str = "", surveys: Sequence[Survey] = ()) -> None:
        """Load what is loading, file by file, and settle each payout in one transaction.

        ``surveys`` are those of the file with this hash, which then is not looked through a second time.
        """
        with db.reading() as session:
            files = session.scalars(sa.select(Kept.file_id).where(Kept.state == PayoutState.LOADING).distinct()).all()
        for file_id in files:
            try:
                self._load_file(file_id, actor, sha256, surveys)
            # One reading that cannot be finished must not keep all others out; it stays visible as being read.
            except Exception:
                log.exception("settlements.not_finished", file_id=file_id)

    def _load_file(self, file_id: int, actor: Actor, sha256: str, surveys: Sequence[Survey]) -> None:
        with db.reading() as session:
            file = session.get_one(ReadingFile, file_id)
            report = Report(bytes(file.content), file.file_name)
            loading = {
                each.payment_reference: each.id
                for each in session.scalars(
                    sa.select(Kept).where(Kept.file_id == file_id, Kept.state == PayoutState.LOADING)
                )
            }
            there = _loaded(session, list(loading.values()))
        known = surveys if report.sha256 == sha256 else report.survey()
        signs = {each.payout.payment_reference: direction(each) or 0 for each in known}
        seen: Counter[int] = Counter()
        twins: Counter[tuple[int, str]] = Counter()
        block: list[dict[str, Any]] = []
        for row in report.rows():
            payout_id = loading.get(row.payment_reference)
            if payout_id is None:
                continue
            seen[payout_id] += 1
            key = content_key(row)
            twins[payout_id, key] += 1
            if seen[payout_id] <= there.get(payout_id, 0):
                continue
            values = _values(row, signs[row.payment_reference])
            values |= {
                "payout_id": payout_id,
                "row_no": seen[payout_id],
                "row_key": f"{key}.{twins[payout_id, key]}",
            }
            block.append(values)
            if len(block) >= BLOCK:
                self._write(block)
                block = []
        if block:
            self._write(block)
        for payout_id in sorted(loading.values()):
            settle(actor, payout_id)

    def _write(self, block: Sequence[dict[str, Any]]) -> None:
        def work(session: Session) -> None:
            self._take(session)
            session.flush()
            session.connection().execute(sa.insert(PayoutRow.metadata.tables[PayoutRow.__tablename__]), block)

        db.transact(work)


def _loaded(session: Session, payouts: Sequence[int]) -> dict[int, int]:
    """How many rows of each payout are in already."""
    rows = session.execute(
        sa.select(PayoutRow.payout_id, sa.func.count())
        .where(PayoutRow.payout_id.in_(payouts))
        .group_by(PayoutRow.payout_id)
    )
    return {row[0]: row[1] for row in rows}


def _values(row: Row, sign: int) -> dict[str, Any]:
    """A row as it is kept: ``amount_minor`` and ``vat_minor`` are its effect on the payout."""
    effect, fault = written_fault(row, sign)
    return {
        "type": row.type,
        "detailed_type": row.detailed_type or "",
        "amount_minor": effect,
        "vat_minor": row.signed_vat_minor,
        "vat_rate": row.vat_rate,
        "klarna_order_id": row.order_id,
        "short_order_id": row.short_order_id,
        "capture_id": row.capture_id,
        "refund_id": row.refund_id,
        "merchant_reference1": row.merchant_reference1,
        "merchant_reference2": row.merchant_reference2,
        "capture_reference": row.merchant_capture_reference,
        "refund_reference": row.merchant_refund_reference,
        "happened_at": row.captured_at,
        "fault": fault,
    }


def settle(actor: Actor, payout_id: int) -> None:
    """Match, mark and, with nothing faulty, book a loaded payout: one transaction, or booked later when that is refused."""

    def whole(session: Session) -> None:
        if settlement_matching.settle(session, actor, payout_id) is PayoutState.READY:
            settlement_booking.post(session, actor, payout_id)

    try:
        db.transact(whole)
    except Refusal as no:
        sentence = keep(no)

        def unbooked(session: Session) -> None:
            settlement_matching.settle(session, actor, payout_id)
            session.execute(sa.update(Kept).where(Kept.id == payout_id).values(parked_because=sentence))

        db.transact(unbooked)
