"""«Momsrapport»: the boxes of the Swedish VAT return for a period, account by account, and a proof per rate (SKV 4700).

Amounts are minor units, rates hundredths of a percent. What is declared is whole kronor, öre left out, box by box. An advance
stands in box 05 when its VAT falls due: while the VAT rests on its dormant account, the basis waits with it (accounting E3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Account, Payout, Posting, Setting, Voucher
from services import settings, vat_rates
from states import FeesFrom

SALES, DUE = 5, 49
OUTPUT = (10, 11, 12, 30, 31, 32)
INPUT = 48
PURCHASES = (20, 21, 22, 23, 24)
FEES_FROM = {FeesFrom.EU: 21, FeesFrom.OUTSIDE: 22}
"""Where the basis of fees stands that come from abroad (E13c)."""
_DEBIT = frozenset({*PURCHASES, INPUT})
"""Boxes that tell what stands in debit; the others tell what stands in credit."""


@dataclass(frozen=True, slots=True)
class Part:
    """What an account, or the advances whose VAT fell due (account None), puts into a box."""

    account: int | None
    name: str
    minor: int


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its parts to the öre, and the whole kronor that are declared."""

    number: int
    minor: int
    whole: int
    parts: Sequence[Part] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """Sales at a rate, the VAT they should bear, and the VAT that is booked; rounding per row makes a few öre."""

    rate: int
    basis_minor: int
    expected_minor: int
    booked_minor: int

    @property
    def difference_minor(self) -> int:
        """What is booked beyond what is expected."""
        return self.booked_minor - self.expected_minor


@dataclass(frozen=True, slots=True)
class Report:
    """A period's boxes in their order, the last of them 49; ``dormant_minor`` is VAT on advances that is not due yet."""

    starts: date
    ends: date
    boxes: Sequence[Box]
    proofs: Sequence[Proof]
    dormant_minor: int
    basis_missing: bool

    @property
    def due_whole(self) -> int:
        """Box 49 in whole kronor: to pay, or negative to get back."""
        return self.boxes[-1].whole


def report(session: Session, starts: date, ends: date) -> Report:
    """The VAT return of a period, as the books have it."""
    within = sa.and_(Voucher.day >= starts, Voucher.day <= ends)
    parts: dict[int, list[Part]] = {}
    rows = session.execute(
        sa.select(Account.vat_box, Account.number, Account.name, sa.func.sum(Posting.amount_minor))
        .join(Posting, Posting.account == Account.number)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Account.vat_box.is_not(None), within)
        .group_by(Account.vat_box, Account.number, Account.name)
        .order_by(Account.vat_box, Account.number)
    )
    for box, number, name, total in rows:
        minor = int(total) if box in _DEBIT else -int(total)
        parts.setdefault(box or 0, []).append(Part(number, name, minor))
    for box, part in _fees_from_abroad(session, within):
        parts.setdefault(box, []).append(part)
    advances = _advances(session, within)
    if any(advances.values()):
        parts.setdefault(SALES, []).append(Part(None, "", sum(advances.values())))
    boxes = [
        Box(number, total, _whole(total), tuple(told))
        for number, told in sorted(parts.items())
        for total in [sum(part.minor for part in told)]
    ]
    declared = {box.number: box for box in boxes}
    exact = sum(declared[n].minor for n in OUTPUT if n in declared) - (
        declared[INPUT].minor if INPUT in declared else 0
    )
    whole = sum(declared[n].whole for n in OUTPUT if n in declared) - (
        declared[INPUT].whole if INPUT in declared else 0
    )
    reversed_charge = any(declared[n].minor for n in OUTPUT[3:] if n in declared)
    return Report(
        starts,
        ends,
        [*boxes, Box(DUE, exact, whole)],
        _proofs(session, within, advances),
        -_dormant(session, ends),
        reversed_charge and not any(n in declared for n in PURCHASES),
    )


def _whole(minor: int) -> int:
    """Whole kronor: öre are left out, not rounded."""
    return (abs(minor) // 100) * (-1 if minor < 0 else 1)


def _accounts_of(session: Session, *parts: str) -> list[int]:
    """Every account that plays, or has played, a part; a part that ends in a dot has one for each rate."""
    told = {name: text for name, text in settings.DEFAULTS.items() if _is(name, parts)}.values()
    given = session.execute(sa.select(Setting.name, Setting.value).where(Setting.name.startswith("account.")))
    return sorted({int(text) for text in told} | {int(text) for name, text in given if text and _is(name, parts)})


def _is(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or part.endswith(".") and name.startswith(part) for part in parts)


def _advances(session: Session, within: sa.ColumnElement[bool]) -> dict[int, int]:
    """Per rate, what advances put into the sales of the period: charged and due, less what final invoices deduct.

    What is charged and still rests is told by the VAT that moved to or from the dormant accounts, as the net it stands for.
    """
    made: dict[int, int] = {}
    charged = _per_rate(session, within, _accounts_of(session, "account.advance"))
    resting = _per_rate(session, within, _accounts_of(session, "account.dormant."))
    for rate in sorted(charged.keys() | resting.keys()):
        if rate:
            made[rate] = -charged.get(rate, 0) + _net_of(resting.get(rate, 0), rate)
    return made


def _net_of(vat_minor: int, rate: int) -> int:
    """The net amount that this VAT belongs to, rounded to the öre."""
    magnitude = (abs(vat_minor) * 10_000 * 2 + rate) // (2 * rate)
    return -magnitude if vat_minor < 0 else magnitude


def _per_rate(session: Session, within: sa.ColumnElement[bool], accounts: Sequence[int]) -> dict[int, int]:
    rows = session.execute(
        sa.select(Posting.vat_rate, sa.func.sum(Posting.amount_minor))
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Posting.account.in_(accounts), Posting.vat_rate.is_not(None), within)
        .group_by(Posting.vat_rate)
    )
    return {rate or 0: int(total) for rate, total in rows}


def _proofs(session: Session, within: sa.ColumnElement[bool], advances: dict[int, int]) -> list[Proof]:
    sales = session.execute(
        sa.select(Posting.vat_rate, sa.func.sum(Posting.amount_minor))
        .join(Account, Account.number == Posting.account)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Account.vat_box == SALES, within, Posting.vat_rate.is_not(None))
        .group_by(Posting.vat_rate)
    )
    basis = {rate or 0: -int(total) for rate, total in sales}
    told = []
    for rate in vat_rates.rates_known(session):
        if not rate:
            continue
        base = basis.get(rate, 0) + advances.get(rate, 0)
        booked = -sum(_per_rate(session, within, _accounts_of(session, f"account.vat.{rate}")).values())
        expected = (abs(base) * rate * 2 + 10_000) // 20_000 * (-1 if base < 0 else 1)
        if base or booked:
            told.append(Proof(rate, base, expected, booked))
    return told


def _fees_from_abroad(session: Session, within: sa.ColumnElement[bool]) -> list[tuple[int, Part]]:
    """The fees that payouts deducted for a company abroad, by box, unless their account has a box of its own."""
    rows = session.execute(
        sa.select(Payout.fees_from, Account.number, Account.name, sa.func.sum(Posting.amount_minor))
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .join(Payout, Payout.id == Voucher.payout_id)
        .join(Account, Account.number == Posting.account)
        .where(Payout.fees_from.in_(FEES_FROM), Account.number.in_(_accounts_of(session, "account.fee")))
        .where(Posting.vat_rate.is_not(None), Account.vat_box.is_(None), within)
        .group_by(Payout.fees_from, Account.number, Account.name)
        .order_by(Account.number)
    )
    return [(FEES_FROM[place], Part(number, name, int(total))) for place, number, name, total in rows]


def _dormant(session: Session, ends: date) -> int:
    accounts = _accounts_of(session, "account.dormant.")
    total = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Posting.account.in_(accounts), Voucher.day <= ends)
    )
    return int(total or 0)
