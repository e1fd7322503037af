"""The chart of accounts: what a new set of books begins with, and which account plays which part on a day (B36).

Default accounts follow the Swedish BAS chart (accounting reference 1). Rates are hundredths of a percent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BrokenRule, Refusal
from models import Account, VatRate
from services import settings
from states import LineKind

CHART: tuple[tuple[int, str, str, int | None], ...] = (
    (1460, "Lager av handelsvaror", "T", None),
    (1510, "Kundfordringar", "T", None),
    (1519, "Nedskrivning av kundfordringar", "T", None),
    (1580, "Fordringar för kontokort och kuponger (till och med BAS 2025)", "T", None),
    (1686, "Fordringar för kontokort och kuponger", "T", None),
    (1910, "Kassa", "T", None),
    (1930, "Företagskonto", "T", None),
    (2099, "Årets resultat", "S", None),
    (2420, "Förskott från kunder", "S", None),
    (2421, "Ej inlösta presentkort", "S", None),
    (2440, "Leverantörsskulder", "S", None),
    (2611, "Utgående moms på försäljning inom Sverige, 25 %", "S", 2500),
    (2614, "Utgående moms omvänd skattskyldighet, 25 %", "S", 2500),
    (2618, "Vilande utgående moms, 25 %", "S", 2500),
    (2621, "Utgående moms på försäljning inom Sverige, 12 %", "S", 1200),
    (2628, "Vilande utgående moms, 12 %", "S", 1200),
    (2631, "Utgående moms på försäljning inom Sverige, 6 %", "S", 600),
    (2638, "Vilande utgående moms, 6 %", "S", 600),
    (2641, "Debiterad ingående moms", "S", None),
    (2645, "Beräknad ingående moms på förvärv från utlandet", "S", None),
    (2650, "Redovisningskonto för moms", "S", None),
    (2890, "Övriga kortfristiga skulder", "S", None),
    (2999, "OBS-konto", "S", None),
    (3001, "Försäljning inom Sverige, 25 % moms", "I", 2500),
    (3002, "Försäljning inom Sverige, 12 % moms", "I", 1200),
    (3003, "Försäljning inom Sverige, 6 % moms", "I", 600),
    (3004, "Försäljning inom Sverige, momsfri", "I", 0),
    (3105, "Försäljning varor till land utanför EU", "I", 0),
    (3106, "Försäljning varor till annat EU-land, momspliktig", "I", None),
    (3108, "Försäljning varor till annat EU-land, momsfri", "I", 0),
    (3520, "Fakturerade frakter", "I", None),
    (3540, "Faktureringsavgifter", "I", None),
    (3730, "Lämnade rabatter", "I", None),
    (3740, "Öres- och kronutjämning", "I", None),
    (3790, "Övriga intäktskorrigeringar", "I", None),
    (4960, "Förändring av lager av handelsvaror", "K", None),
    (6040, "Kontokortsavgifter", "K", None),
    (6060, "Kreditförsäljningskostnader", "K", None),
    (6064, "Factoringavgifter", "K", None),
    (6351, "Konstaterade förluster på kundfordringar", "K", None),
    (6352, "Befarade förluster på kundfordringar", "K", None),
    (6570, "Bankkostnader", "K", None),
    (8999, "Årets resultat", "K", None),
)
BOXES: Mapping[int, int] = {
    **dict.fromkeys((3001, 3002, 3003, 3106, 3520, 3540, 3730), 5),
    2611: 10,
    2621: 11,
    2631: 12,
    2614: 30,
    3108: 35,
    3105: 36,
    3004: 42,
    2641: 48,
    2645: 48,
}
"""Which box of the Swedish VAT return an account of the chart belongs to (Skatteverket, SKV 4700)."""
RECEIVABLE = frozenset({1510})
PAYMENT = frozenset({1910, 1930, 2890, 3740})
"""Accounts a payment or a surplus may be booked on (B8)."""

VAT_CLASSES: tuple[tuple[str, str, int], ...] = (
    ("standard", "1990-07-01", 2500),
    ("reduced", "1996-01-01", 1200),
    ("low", "1996-01-01", 600),
    ("exempt", "1990-07-01", 0),
    ("food", "1996-01-01", 1200),
    ("food", "2026-04-01", 600),
    ("food", "2028-01-01", 1200),
)
"""VAT classes, the day each rate begins, the rate (accounting reference 8)."""

_OF_KIND: Mapping[LineKind, str] = {
    LineKind.FREIGHT: "freight",
    LineKind.RETURN_FEE: "freight",
    LineKind.FEE: "invoicing_fee",
    LineKind.ROUNDING: "rounding",
    LineKind.ADVANCE: "advance",
    LineKind.ADVANCE_DEDUCTION: "advance",
}


def start_chart(session: Session) -> None:
    """Add what is missing of the chart and the VAT table; what is there stays as it is."""
    have = set(session.scalars(sa.select(Account.number)))
    session.add_all(
        Account(
            number=number,
            name=name,
            kind=kind,
            vat_rate=vat_rate,
            payment_account=number in PAYMENT,
            receivable=number in RECEIVABLE,
            active=True,
            vat_box=BOXES.get(number),
        )
        for number, name, kind, vat_rate in CHART
        if number not in have
    )
    classes = set(session.scalars(sa.select(VatRate.vat_class)))
    session.add_all(
        VatRate(vat_class=name, valid_from=date.fromisoformat(since), rate=rate)
        for name, since, rate in VAT_CLASSES
        if name not in classes
    )
    session.flush()


def chart(session: Session) -> list[Account]:
    """All accounts by number."""
    return list(session.scalars(sa.select(Account).order_by(Account.number)))


def role(session: Session, name: str, day: date) -> int:
    """The account that plays a part on a day: ``receivable``, ``bank``, ``fee``, ``input_vat``, ``reverse_input``,
    ``reverse_output``, ``holdback``, ``advance``, ``debt``, ``unallocated``, ``rounding``, ``freight``, ``invoicing_fee``,
    ``discount``, ``stock``, ``stock_change``."""
    return settings.number(session, f"account.{name}", day)


def sales_account(session: Session, vat_rate: int, line_kind: LineKind, day: date) -> int:
    """The account a row's net amount is booked on: freight, fees and advances have their own, all else follows the rate."""
    if line_kind in _OF_KIND:
        return role(session, _OF_KIND[line_kind], day)
    return _of_rate(session, "sales", vat_rate, day)


def vat_account(session: Session, vat_rate: int, day: date) -> int:
    """The account of output VAT at a rate. Raises BrokenRule at 0 %, where there is no VAT to book."""
    if vat_rate == 0:
        raise BrokenRule("there is no VAT at 0 %")
    return _of_rate(session, "vat", vat_rate, day)


def dormant_vat_account(session: Session, vat_rate: int, day: date) -> int:
    """The account of VAT on an advance that is not yet paid (accounting reference, E3). Raises BrokenRule at 0 %."""
    if vat_rate == 0:
        raise BrokenRule("there is no VAT at 0 %")
    return _of_rate(session, "dormant", vat_rate, day)


def _of_rate(session: Session, part: str, vat_rate: int, day: date) -> int:
    name = f"account.{part}.{vat_rate}"
    if not settings.value(session, name, day):
        raise Refusal(
            N_("No accounts have been chosen for VAT of %(rate)s. Nothing has been booked or sent."), rate=vat_rate
        )
    return settings.number(session, name, day)
