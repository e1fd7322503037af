"""The words of a settlement report: its types and signs, its columns under every known name, and the facts it states.

Amounts are integers in minor units (öre), VAT rates hundredths of a percent, instants aware and in UTC.
Source: Klarna's settlement files and Settlements API; B1-B5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from errors import N_


class SettlementType(StrEnum):
    """What Klarna keeps out of the payout. GROSS_FEE is the invoice of the fees that GROSS payouts left out."""

    NET = "NET"
    GROSS = "GROSS"
    GROSS_FEE = "GROSS_FEE"


class Fault(StrEnum):
    """Why a row waits for a person. It never stops the reading (catalogue row 58)."""

    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_DETAILED_TYPE = "unknown_detailed_type"
    WRONG_SIGN = "wrong_sign"
    OTHER_CURRENCY = "other_currency"


FAULT_SENTENCES: Mapping[Fault, str] = {
    Fault.UNKNOWN_TYPE: N_("Kvitta does not know this type of row, so its direction is not known."),
    Fault.UNKNOWN_DETAILED_TYPE: N_("Kvitta does not know this detailed type for this type of row."),
    Fault.WRONG_SIGN: N_("The amount has a sign that contradicts the type of the row."),
    Fault.OTHER_CURRENCY: N_("The row is in another currency than its payout."),
}

#: The total each type of row adds to, and the effect of the type on the payout: 1, -1, or 0 for "as signed".
TYPES: Mapping[str, tuple[str, int]] = {
    "SALE": ("sale", 1),
    "RETURN": ("return_", -1),
    "REVERSAL": ("reversal", -1),
    "REVERSAL_MERCHANT_PROTECTION": ("reversal", 1),
    "FEE": ("fee", -1),
    "FEE_REFUND": ("fee_refund", 1),
    "COMMISSION": ("commission", 1),
    "CORRECTION": ("fee_correction", 0),
    "CHARGE": ("charge", -1),
    "CREDIT": ("credit", 1),
    "HOLDBACK": ("holdback", -1),
    "RELEASE": ("release", 1),
    "TAX": ("tax", -1),
}

_RESERVES = frozenset({"ROLLING_RESERVE", "UNDER_REVIEW", "INSUFFICIENT_BANK_ACCOUNT_DETAILS"})

#: CASH_ADVANCE_FEES is left out on purpose: it is listed as a credit and described as a charge, so a person decides.
DETAILED_TYPES: Mapping[str, frozenset[str]] = {
    "SALE": frozenset({"PURCHASE"}),
    "RETURN": frozenset({"PURCHASE_RETURN", "PAYMENT_DEFAULT"}),
    "REVERSAL": frozenset({"REVERSAL", "FRAUD_POLICY_CHARGE", "COMMISSION_RETURN", "COMMISSION_RETURN_GROSS"}),
    "REVERSAL_MERCHANT_PROTECTION": frozenset({"FRAUD_POLICY_CREDIT_NET"}),
    "FEE": frozenset(
        {
            "PURCHASE_FEE_PERCENTAGE",
            "PURCHASE_FEE_FIXED",
            "SERVICING_FEE",
            "LATE_RETURN_FEE",
            "EXPIRY_FEE",
            "EXPIRY_FEE_GROSS",
            "EXTEND_DUE_DATE_FEE",
            "EXTRA_INVOICE_FEE",
            "RETURN_FEE",
            "DISPUTE_FEE",
            "PERCENTAGE_FEES",
        }
    ),
    "FEE_REFUND": frozenset(
        {"FEE_REFUND", "PURCHASE_FEE_FIXED", "PURCHASE_FEE_PERCENTAGE_REFUND", "DISPUTE_FEE_REFUND"}
    ),
    "COMMISSION": frozenset({"COMMISSION", "PURCHASE_COMMISSION_PERCENTAGE"}),
    "CORRECTION": frozenset(
        {
            "CREDITED_CORRECTION",
            "CORRECTION",
            "FIXED_FEE_CORRECTION",
            "FIXED_FEE_CORRECTION_SE",
            "FIXED_FEE_CORRECTION_UK",
            "PERCENTAGE_FEE_CORRECTION",
            "PERCENTAGE_FEE_CORRECTION_SE",
            "PERCENTAGE_FEE_CORRECTION_UK",
            "VAT_ON_FEE_CORRECTION_UK",
        }
    ),
    "CHARGE": frozenset(
        {
            "CASH_ADVANCE_AMORTISATION",
            "LOAN_AMORTISATION",
            "LOAN_FEE",
            "TRANSFER_FROM_LEGACY_INTEGRATION",
            "LIABILITY_TRANSFER",
            "PAYMENT_REMINDER",
            "MANUAL_ENTRY",
        }
    ),
    "CREDIT": frozenset({"CASH_ADVANCE_PAYOUT", "LOAN_PAYOUT", "CORRECTION_DISPUTE", "MANUAL_ENTRY"}),
    "HOLDBACK": _RESERVES,
    "RELEASE": _RESERVES,
    "TAX": frozenset({"TAX"}),
}

#: Reversals that newer reports count under the total of their own, commission_reversal.
COMMISSION_RETURNS = frozenset({"COMMISSION_RETURN", "COMMISSION_RETURN_GROSS"})

#: Types whose VAT amount is VAT on Klarna's fee; on other rows the figure means nothing to the payout.
FEE_TYPES = frozenset({"FEE", "FEE_REFUND", "CORRECTION"})


class Kind(NamedTuple):
    """What the two type cells of a row mean together."""

    type: str
    detailed_type: str | None
    sign: int
    fault: Fault | None


@lru_cache(maxsize=1024)
def kind_of(type_: str, detailed_type: str) -> Kind:
    """Read the two type cells in any letter case. An unknown type keeps the sign the report gave the amount."""
    name = type_.strip().upper().replace(" ", "_")
    detail = detailed_type.strip().upper().replace(" ", "_") or None
    if name not in TYPES:
        return Kind(name, detail, 0, Fault.UNKNOWN_TYPE)
    known = detail is None or detail in DETAILED_TYPES[name]
    return Kind(name, detail, TYPES[name][1], None if known else Fault.UNKNOWN_DETAILED_TYPE)


class SignRule:
    """The sign of the type decides; what the report wrote before the amount is only checked against it.

    Whether a report puts signs on is told by its first row of a type that takes money from the payout; later rows of
    such types that do otherwise are faulty, and so is a minus on a type that gives. Source: catalogue row 58.
    """

    __slots__ = ("signs_on",)

    def __init__(self) -> None:
        self.signs_on: bool | None = None

    def effect(self, kind: Kind, amount: int) -> tuple[int, Fault | None]:
        """The effect on the payout, in minor units, and the fault if there is one."""
        if not kind.sign:
            return amount, kind.fault
        if kind.sign > 0:
            return (amount, kind.fault) if amount >= 0 else (-amount, kind.fault or Fault.WRONG_SIGN)
        if not amount:
            return 0, kind.fault
        negative = amount < 0
        if self.signs_on is None:
            self.signs_on = negative
        fault = kind.fault if self.signs_on is negative else kind.fault or Fault.WRONG_SIGN
        return amount if negative else -amount, fault


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of a payout, minor units, as magnitudes: ``net`` gives each its direction.

    ``reversal`` and ``tax`` turn negative when more was given back than taken; ``fee_correction`` and ``settlement``
    are signed. A total the report does not state is 0.
    """

    sale: int = 0
    return_: int = 0
    reversal: int = 0
    fee: int = 0
    fee_correction: int = 0
    fee_refund: int = 0
    tax: int = 0
    tax_refund: int = 0
    commission: int = 0
    commission_reversal: int = 0
    charge: int = 0
    credit: int = 0
    holdback: int = 0
    release: int = 0
    repay: int = 0
    deposit: int = 0
    opening_debt: int = 0
    closing_debt: int = 0
    settlement: int = 0

    def net(self) -> int:
        """What the other totals make the settlement amount. Source: Klarna's table, with deposit and tax_refund."""
        return (
            self.sale
            - self.return_
            - self.reversal
            - self.fee
            + self.fee_refund
            + self.fee_correction
            - self.tax
            + self.tax_refund
            + self.commission
            - self.commission_reversal
            - self.charge
            + self.credit
            - self.repay
            - self.holdback
            + self.release
            + self.deposit
        )

    def debt_after(self) -> int:
        """The debt to Klarna that the other totals leave."""
        return self.opening_debt + self.deposit - self.repay


#: Field of ``Totals`` -> name in the Settlements API.
API_TOTALS: Mapping[str, str] = {
    name.name: f"{name.name}_balance_amount" if name.name.endswith("_debt") else f"{name.name.rstrip('_')}_amount"
    for name in fields(Totals)
}
#: Name in the summary section of a CSV -> field of ``Totals``; a period report puts ``summary_`` before each.
CSV_TOTALS: Mapping[str, str] = {
    (api.removesuffix("_amount") if field.endswith("_debt") else f"total_{api}"): field
    for field, api in API_TOTALS.items()
}

_TAKEN = ("return_", "fee", "commission_reversal", "charge", "holdback", "repay")
_TAKEN_EITHER_WAY = ("reversal", "tax")
_FREELY_SIGNED = (*_TAKEN_EITHER_WAY, "fee_correction", "settlement")


def totals_as_magnitudes(written: Mapping[str, int]) -> Totals | None:
    """Totals written with or without signs, as magnitudes; None when the signs contradict each other.

    A report with signs on is told by a negative total that can only be taken. ``reversal`` and ``tax`` may go either
    way, so where they alone have a minus, the settlement amount tells which of the two readings adds up.
    """
    plain = Totals(**written)
    if min(written.values(), default=0) >= 0:
        return plain
    turned = Totals(
        **{
            name: -value
            if name in _TAKEN or name in _TAKEN_EITHER_WAY
            else abs(value)
            if name.endswith("_debt")
            else value
            for name, value in written.items()
        }
    )
    if any(written.get(name, 0) < 0 for name in _TAKEN):
        signs_on = True
    elif any(written.get(name, 0) > 0 for name in _TAKEN):
        signs_on = False
    else:
        signs_on = plain.net() != plain.settlement and turned.net() == turned.settlement
    totals = turned if signs_on else plain
    if any(getattr(totals, name) < 0 for name in written if name not in _FREELY_SIGNED):
        return None
    return totals


@dataclass(frozen=True, slots=True)
class Payout:
    """One payout as a report states it. None is what the report does not say; ``stated`` names the totals it gives."""

    payment_reference: str
    currency: str
    merchant_id: str | None = None
    payout_date: datetime | None = None
    settlement_type: SettlementType | None = None
    totals: Totals = Totals()
    stated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Period:
    """The totals a period report states for all its payouts in one currency together."""

    currency: str
    start: datetime | None
    end: datetime | None
    totals: Totals
    stated: frozenset[str]


class Row(NamedTuple):
    """One row of a payout.

    ``line`` is the line of the file, or the place in the API's list, from 1. ``signed_minor`` is the effect on the
    payout; of an unknown type it is the amount as written. ``vat_amount_minor`` is a magnitude and goes the way of
    the row. A named tuple, because one reading makes a million: a frozen dataclass takes six times as long to make.
    """

    payment_reference: str
    line: int
    type: str
    detailed_type: str | None
    signed_minor: int
    vat_amount_minor: int | None
    vat_rate: int | None
    order_id: str | None
    short_order_id: str | None
    capture_id: str | None
    refund_id: str | None
    merchant_reference1: str | None
    merchant_reference2: str | None
    merchant_capture_reference: str | None
    merchant_refund_reference: str | None
    captured_at: datetime | None
    sale_date: datetime | None
    currency: str
    fault: Fault | None

    @property
    def amount_minor(self) -> int:
        """The magnitude."""
        return abs(self.signed_minor)

    @property
    def signed_vat_minor(self) -> int:
        """The effect of the row's VAT on the payout; 0 where none is stated."""
        return signed_vat(self.type, self.signed_minor, self.vat_amount_minor)


def signed_vat(type_: str, signed_minor: int, vat_amount_minor: int | None) -> int:
    """The effect of a row's VAT on the payout, from the type, the effect and the magnitude of its VAT."""
    if not vat_amount_minor:
        return 0
    if signed_minor:
        return -vat_amount_minor if signed_minor < 0 else vat_amount_minor
    return -vat_amount_minor if TYPES.get(type_, ("", 0))[1] < 0 else vat_amount_minor


@dataclass(frozen=True, slots=True)
class Statement:
    """A payout with all its rows; ``fields`` names the fields of ``Row`` that the report has at all."""

    payout: Payout
    rows: tuple[Row, ...]
    fields: frozenset[str]


#: Field of a row, or of its payout -> the names a report may give the column, the first found counts.
CSV_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "type": ("type",),
    "detailed_type": ("detailed_type",),
    "amount": ("amount",),
    "vat_amount_minor": ("tax_amount", "vat_amount"),
    "vat_rate": ("tax_rate", "vat_rate"),
    "order_id": ("order_id",),
    "short_order_id": ("short_order_id",),
    "capture_id": ("capture_id",),
    "refund_id": ("refund_id",),
    "merchant_reference1": ("merchant_reference1", "merchant_reference_1"),
    "merchant_reference2": ("merchant_reference2", "merchant_reference_2"),
    "merchant_capture_reference": ("merchant_capture_reference",),
    "merchant_refund_reference": ("merchant_refund_reference",),
    "captured_at": ("capture_date",),
    "sale_date": ("sale_date",),
    "currency": ("posting_currency", "currency_code", "settlement_currency"),
    "payment_reference": ("payment_reference",),
    "payout_date": ("payout_date",),
    "merchant_id": ("merchant_id",),
}
