"""What reading a report in would do: which payouts are new, known, different or do not add up. Nothing is stored.

Rules and pure reading; the import runs the same plan inside its transaction. Source: operations 14; fault rows 30-35.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
from services.settlement_proof import Comparison, compare, rows_hash
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
    accounts = [_account_of(session, survey, account_id) for survey in surveys]
    befores = [
        session.scalars(
            sa.select(Kept).where(
                Kept.account_id == account.id, Kept.payment_reference == survey.payout.payment_reference
            )
        ).one_or_none()
        for survey, account in zip(surveys, accounts, strict=True)
    ]
    known = {
        survey.payout.payment_reference: (before, frozenset(survey.fields) & settlement_matching.fields_of(before))
        for survey, before in zip(surveys, befores, strict=True)
        if before is not None and before.row_count and str(survey.rows_hash) != before.rows_hash
    }
    comparisons = _compared(session, report, known)
    return Plan([_planned(*each, comparisons) for each in zip(surveys, accounts, befores, strict=True)])


def _compared(
    session: Session, report: Report, known: Mapping[str, tuple[Kept, frozenset[str]]]
) -> dict[str, Comparison]:
    """What payouts that are in the books have lost and gained, as far as both reports tell: the report is read once to see
    which have, in flat memory, and once more for the rows of those."""
    if not known:
        return {}
    theirs = report.hashes({reference: fields for reference, (_, fields) in known.items()})
    different = {
        reference: told
        for reference, told in known.items()
        if str(rows_hash(kept_rows(session, told[0]), told[1])) != theirs[reference]
    }
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in report.rows() if different else ():
        if row.payment_reference in different:
            rows[row.payment_reference].append(row)
    return {
        reference: compare(kept_rows(session, before), rows[reference], fields)
        for reference, (before, fields) in different.items()
    }


def _planned(
    survey: Survey, account: KlarnaAccount, before: Kept | None, comparisons: Mapping[str, Comparison]
) -> Planned:
    told = survey.payout
    why = parked_sentence(survey)
    at = told.payout_date or survey.last_at or clock.now()
    fate, comparison, replaces = Fate.PARKED if why else Fate.NEW, None, False
    if before is not None:
        comparison = comparisons.get(told.payment_reference)
        if str(survey.rows_hash) == before.rows_hash and (before.row_count or why):
            fate, why = Fate.SAME, None
        elif not before.row_count:
            replaces = True
        elif comparison is not None:
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
            fate, why = Fate.SAME, None
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


def kept_rows(session: Session, payout: Kept) -> Iterator[Row]:
    """The rows of a payout in the books as a report would give them, in their order, some at a time."""
    query = sa.select(PayoutRow).where(PayoutRow.payout_id == payout.id).order_by(PayoutRow.row_no)
    for row in session.scalars(query.execution_options(yield_per=2_000)):
        yield settlement_matching.as_reported(payout, row)
