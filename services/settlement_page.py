"""One settlement reading: its proof, the way from gross to net, and what keeps it from being booked (B5).

Pure reading. Amounts are minor units. Source: screens, "Settlement readings".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, Refusal
from models import KlarnaAccount, KlarnaBreak, Payout, PayoutRow, ReadingFile, Voucher
from services import currencies, settlement_changes, settlement_matching, settlement_rows
from services.settlement_layouts import FEE_TYPES, Totals
from services.settlement_list import pile_counts
from services.settlement_proof import Group, tally
from services.settlement_report import read_totals
from services.settlement_sentences import told
from states import PayoutState, Pile

TOTAL_NAMES: dict[str, str] = {
    "sale": N_("Sales"),
    "return_": N_("Returns"),
    "reversal": N_("Reversals"),
    "fee": N_("Fees"),
    "fee_refund": N_("Fees given back"),
    "fee_correction": N_("Fee corrections"),
    "tax": N_("VAT on fees"),
    "tax_refund": N_("VAT given back"),
    "commission": N_("Commission"),
    "commission_reversal": N_("Commission taken back"),
    "charge": N_("Other charges"),
    "credit": N_("Other credits"),
    "holdback": N_("Withheld"),
    "release": N_("Released"),
    "deposit": N_("New debt to Klarna"),
    "repay": N_("Repaid debt"),
}
"""The totals in the order in which a page shows them."""
STEP_NAMES: dict[str, str] = {
    **TOTAL_NAMES,
    "opening_debt": N_("Opening debt"),
    "closing_debt": N_("Closing debt"),
    "difference": N_("Does not add up"),
    "settlement": N_("Net paid out"),
}
"""What the steps from gross to net are called."""
TAKES = frozenset({"return_", "reversal", "fee", "tax", "commission_reversal", "charge", "holdback", "repay"})
"""Totals that make the payout smaller."""


@dataclass(frozen=True, slots=True)
class ProofLine:
    """One line of the proof: what the rows give and what Klarna states, with the sign of its effect; None is unstated."""

    name: str
    rows_minor: int | None
    stated_minor: int | None

    @property
    def agrees(self) -> bool:
        """Whether nothing contradicts."""
        return self.rows_minor is None or self.stated_minor is None or self.rows_minor == self.stated_minor


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of the drawing from gross to net: where it begins and ends, minor units."""

    name: str
    starts_minor: int
    ends_minor: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading: what it is, its proof, and where its rows stand; ``why`` says what keeps it from being booked."""

    payout: Payout
    account: str
    file: ReadingFile
    voucher: tuple[int, str] | None
    counts: dict[Pile, int]
    proof: Sequence[ProofLine]
    steps: Sequence[Step]
    why: Refusal | None
    breaks: Sequence[KlarnaBreak]

    @property
    def foreign(self) -> bool:
        """Whether it is in another currency than the books' and somebody has yet to say where it is booked."""
        return self.payout.currency != currencies.BOOKS and any(
            self.counts.get(pile) for pile in Pile if pile is not Pile.HANDLED
        )


def reading(session: Session, payout_id: int) -> Reading:
    """One reading as its page shows it. Raises NotFound."""
    payout = settlement_matching.get(session, payout_id)
    file = session.execute(sa.select(ReadingFile).where(ReadingFile.id == payout.file_id)).scalar_one()
    booked = session.execute(
        sa.select(Voucher.id, Voucher.series, Voucher.number).where(Voucher.id == payout.voucher_id)
    ).one_or_none()
    proof, breaks = _proof(session, payout), settlement_rows.open_breaks(session, payout.id)
    changed = settlement_changes.why_not_booked(breaks) if payout.state is PayoutState.READY else None
    return Reading(
        payout=payout,
        account=session.execute(
            sa.select(KlarnaAccount.name).where(KlarnaAccount.id == payout.account_id)
        ).scalar_one(),
        file=file,
        voucher=(booked.id, f"{booked.series}{booked.number}") if booked else None,
        counts=pile_counts(session, [payout.id]).get(payout.id, {}),
        proof=proof,
        steps=_steps(proof, payout),
        why=told(payout.parked_because) if payout.parked_because else changed,
        breaks=breaks,
    )


def _groups(session: Session, payout: Payout) -> Sequence[Group]:
    told_vat = sa.func.sum(sa.case((PayoutRow.type.in_(FEE_TYPES), 1), else_=0))
    rows = session.execute(
        sa.select(
            PayoutRow.type,
            PayoutRow.detailed_type,
            sa.func.sum(PayoutRow.amount_minor),
            sa.func.sum(PayoutRow.vat_minor),
            told_vat,
        )
        .where(PayoutRow.payout_id == payout.id)
        .group_by(PayoutRow.type, PayoutRow.detailed_type)
    )
    return [
        Group(type_, detail or None, int(amount), int(vat), int(count)) for type_, detail, amount, vat, count in rows
    ]


def _proof(session: Session, payout: Payout) -> Sequence[ProofLine]:
    totals, stated = read_totals(payout.totals)
    groups = _groups(session, payout)
    ours = tally(groups).totals(commission_apart=totals.commission_reversal != 0) if payout.row_count else None
    lines = []
    for name in TOTAL_NAMES:
        sign = -1 if name in TAKES else 1
        has_rows = ours is not None and name not in ("deposit", "repay")
        by_rows = sign * getattr(ours, name) if has_rows else None
        by_klarna = sign * getattr(totals, name) if name in stated else None
        if name in ("tax", "tax_refund") and has_rows and by_klarna is not None:
            by_rows, by_klarna = _vat_line(name, ours or Totals(), totals, stated)
        if by_rows or by_klarna:
            lines.append(ProofLine(name, by_rows, by_klarna))
    return lines


def _vat_line(name: str, ours: Totals, totals: Totals, stated: frozenset[str]) -> tuple[int | None, int | None]:
    """VAT on fees as far as it can be compared: a report without a total for VAT given back may net it in the other."""
    if name == "tax_refund":
        return ours.tax_refund, totals.tax_refund
    if "tax_refund" not in stated and ours.tax != totals.tax:
        return -(ours.tax - ours.tax_refund), -totals.tax
    return -ours.tax, -totals.tax


def _steps(proof: Sequence[ProofLine], payout: Payout) -> Sequence[Step]:
    """From the debt before, over what was sold and taken away, to what is paid out; what the totals leave open is a step, too."""
    carried = bool(payout.opening_debt_minor or payout.closing_debt_minor)
    told = [line for line in proof if not carried or line.name not in ("deposit", "repay")]
    amounts = [
        ("opening_debt", -payout.opening_debt_minor),
        *((line.name, line.stated_minor if line.stated_minor is not None else line.rows_minor or 0) for line in told),
        ("closing_debt", payout.closing_debt_minor),
    ]
    amounts.append(("difference", payout.settlement_minor - sum(amount for _, amount in amounts)))
    steps, at = [], 0
    for name, amount in amounts:
        if amount:
            steps.append(Step(name, at, at + amount, amount))
            at += amount
    steps.append(Step("settlement", 0, payout.settlement_minor, payout.settlement_minor))
    return steps
