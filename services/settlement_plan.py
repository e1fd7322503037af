"""What reading a report in would do: which payouts are new, known, different or do not add up. Nothing is stored.

Rules and pure reading; the import runs the same plan inside its transaction. Source: operations 14; fault rows 30-35.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, Refusal
from models import KlarnaAccount, PayoutRow, ReadingFile
from models import Payout as Kept
from services import settlement_matching
from services.settlement_layouts import Row
from services.settlement_proof import Comparison, compare
from services.settlement_report import Report, Survey, parked_sentence
from states import PayoutState


class Fate(StrEnum):
    """What becomes of a payout in a report."""

    NEW = "new"
    SAME = "same"
    DIFFERENT = "different"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Planned:
    """One payout of a report and what reading it in does; ``why`` says it where it is not simply read."""

    survey: Survey
    account_id: int
    account: str
    payout_date: datetime
    fate: Fate
    before_id: int | None
    replaces: bool
    comparison: Comparison | None
    why: Refusal | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What reading a report in would do; ``already`` when these very bytes have been read before."""

    payouts: Sequence[Planned]
    already: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a payout: its page, and why it is not booked where it is not."""

    payment_reference: str
    fate: Fate
    payout_id: int | None
    state: PayoutState | None
    why: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What reading a report in did."""

    payouts: Sequence[Done]
    already: Refusal | None = None


# --- What would happen ---------------------------------------------------------------------------------------------------


def already_read(session: Session, sha256: str) -> Refusal | None:
    """«Redan inläst»: these bytes have been read before, by whom and when; None for new ones."""
    found = session.execute(
        sa.select(ReadingFile.id, ReadingFile.received_at, ReadingFile.received_by).where(ReadingFile.sha256 == sha256)
    ).one_or_none()
    if found is None:
        return None
    day = clock.local_date(found.received_at)
    return Refusal(N_("Already read on %(day)s by %(who)s."), field="file", day=day, who=found.received_by)


def preview(
    session: Session, report: Report, account_id: int | None = None, surveys: Sequence[Survey] | None = None
) -> Plan:
    """What reading a report in would do, with nothing stored; ``surveys`` spares reading it again.

    Raises BadInput and its kin for what cannot be read, and for a payout that is not ours.
    """
    surveys = report.survey() if surveys is None else surveys
    already = already_read(session, report.sha256)
    if already is not None:
        return Plan((), already)
    return Plan([_planned(session, report, survey, account_id) for survey in surveys])


def _planned(session: Session, report: Report, survey: Survey, account_id: int | None) -> Planned:
    account = _account_of(session, survey, account_id)
    told = survey.payout
    before = session.scalars(
        sa.select(Kept).where(Kept.account_id == account.id, Kept.payment_reference == told.payment_reference)
    ).one_or_none()
    why = parked_sentence(survey)
    at = told.payout_date or survey.last_at or clock.now()
    fate, comparison, replaces = Fate.PARKED if why else Fate.NEW, None, False
    if before is not None:
        if str(survey.rows_hash) == before.rows_hash and (before.row_count or why):
            fate, why = Fate.SAME, None
        elif not before.row_count:
            replaces = True
        else:
            fields = frozenset(survey.fields) & settlement_matching.fields_of(before)
            comparison = compare(kept_rows(session, before), report.rows_of(told.payment_reference), fields)
            if comparison.gone or comparison.new:
                fate = Fate.DIFFERENT
                why = Refusal(
                    N_(
                        "Payout %(reference)s has been read before and came back different (rows gone: %(gone)s, "
                        "rows new: %(new)s). Nothing of it has been read in."
                    ),
                    reference=told.payment_reference,
                    gone=len(comparison.gone),
                    new=len(comparison.new),
                )
            else:
                fate, why, comparison = Fate.SAME, None, None
    before_id = before.id if before is not None else None
    return Planned(survey, account.id, account.name, at, fate, before_id, replaces, comparison, why)


def _account_of(session: Session, survey: Survey, account_id: int | None) -> KlarnaAccount:
    """The account a payout belongs to. Raises BadInput when it is none of ours or not the chosen one (catalogue row 57)."""
    told = survey.payout.merchant_id
    chosen = session.get(KlarnaAccount, account_id) if account_id is not None else None
    if told is None:
        if chosen is not None:
            return chosen
        accounts = session.scalars(sa.select(KlarnaAccount).limit(2)).all()
        if len(accounts) == 1:
            return accounts[0]
        raise BadInput(
            N_("The report does not say its store id. Choose the account it belongs to."), field="account_id"
        )
    found = session.scalar(sa.select(KlarnaAccount).where(KlarnaAccount.store_id == told))
    if found is None:
        raise BadInput(
            N_("%(store)s is not one of this company's store ids. Nothing has been read."), field="file", store=told
        )
    if chosen is not None and chosen.id != found.id:
        raise BadInput(
            N_("The report is for store id %(found)s, not for %(chosen)s. Nothing has been read."),
            field="file",
            found=told,
            chosen=chosen.store_id,
        )
    return found


def kept_rows(session: Session, payout: Kept) -> Sequence[Row]:
    """The rows of a payout in the books as a report would give them, in their order."""
    rows = session.scalars(sa.select(PayoutRow).where(PayoutRow.payout_id == payout.id).order_by(PayoutRow.row_no))
    return [settlement_matching.as_reported(payout, row) for row in rows]
