"""A settlement report becomes payouts in the books: kept byte for byte, surveyed, proved, begun; its rows are loaded after that.

Nothing is stored before the whole report has been read once. A payout that does not add up is noted with its reason and
no rows, so that a better report can take its place; rows that are stored stay for ever. Amounts are minor units.
Functions that take ``klarna`` own their transactions. Source: operations 14; K47; B5; fault rows 30-35.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
from errors import BrokenRule, Refusal
from models import KlarnaAccount, KlarnaBreak, ReadingFile
from models import Payout as Kept
from rights import Actor, Right
from services import audit, settlement_bytes, settlement_loading, settlement_matching
from services.gateway import Gateway
from services.settlement_layouts import Row
from services.settlement_plan import Done, Fate, Outcome, Planned, already_read, preview
from services.settlement_report import Report, Survey, totals_text
from services.settlement_sentences import keep
from states import BreakKind, BreakState, PayoutState

AT_ONCE = 20_000
"""A page waits for so many rows to be loaded; what is larger is begun and left to the worker."""
MOST_SHOWN = 50
"""Rows kept with a break of a payout that came back different."""


# --- Reading in ----------------------------------------------------------------------------------------------------------


def read_in(
    klarna: Gateway, actor: Actor, report: Report, *, source: str = "upload", account_id: int | None = None
) -> Outcome:
    """Keep a report and everything new in it; payouts with nothing faulty are booked at once (K47).

    Safe to run again at any time: the same bytes, the same payouts in another shape, or a run that was cut off change
    nothing twice. A large report is only begun, unless the worker itself is at it: its payouts are then LOADING. Raises
    BadInput, UnsupportedFile, TooLarge, Refusal with nothing stored.
    """
    if source == "upload":
        actor.require(Right.BOOKS)
    with db.reading() as session:
        begun = _cut_off(session, report)
        already = None if begun else already_read(session, report.sha256)
    if already is not None:
        # These bytes were looked through when they first came, and hold no surprise.
        return Outcome((), already)
    surveys: Sequence[Survey] = ()
    planned: Sequence[Planned] = ()
    found: settlement_loading.Found | None = None
    if not begun:
        found = settlement_loading.look_through(report)
        surveys = found.surveys
        with db.reading() as session:
            plan = preview(session, report, account_id, surveys)
        if plan.already is not None or _brings_nothing(source, plan.payouts):
            return Outcome([_told(each) for each in plan.payouts], plan.already)
        settlement_bytes.keep(report.stream, report.sha256)
        stored = db.transact(lambda session: _store(session, actor, report, surveys, source, account_id))
        if isinstance(stored, Refusal):
            return Outcome((), stored)
        planned = stored
    if klarna.in_worker or (sum(begun.values()) or sum(each.count for each in surveys)) <= AT_ONCE:
        with settlement_loading.turn(klarna) as turn:
            if turn is not None:
                turn.finish(report.sha256, found)
    with db.reading() as session:
        if begun:
            return Outcome([_finished(session, payout_id) for payout_id in begun])
        return Outcome([_done(session, each) for each in planned])


def _brings_nothing(source: str, planned: Sequence[Planned]) -> bool:
    """Whether Klarna told again what is known: its answer is then not kept a second time."""
    return source == "api" and all(each.fate is Fate.SAME for each in planned)


def _told(planned: Planned) -> Done:
    return Done(planned.survey.payout.payment_reference, planned.fate, planned.before_id, None)


def _cut_off(session: Session, report: Report) -> dict[int, int]:
    """The payouts of these very bytes that are begun and not all there, each with its rows."""
    found = session.execute(
        sa.select(Kept.id, Kept.row_count)
        .join(ReadingFile, ReadingFile.id == Kept.file_id)
        .where(ReadingFile.sha256 == report.sha256, Kept.state == PayoutState.LOADING)
        .order_by(Kept.id)
    )
    return {each.id: each.row_count for each in found}


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
    """One transaction: that the bytes are a reading, and a payout that is loading or parked for each new one."""
    # Two who read the same payout at once: the second waits here, and then sees the first one's.
    session.execute(sa.select(KlarnaAccount.id).order_by(KlarnaAccount.id).with_for_update())
    plan = preview(session, report, account_id, surveys)
    if plan.already is not None:
        return plan.already
    if _brings_nothing(source, plan.payouts):
        return plan.payouts
    file = ReadingFile(
        sha256=report.sha256,
        source=source,
        file_name=report.file_name[:255],
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
    if not breaks:
        return
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
