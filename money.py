"""Amounts in minor units: parse, print, VAT of a gross amount, shares that lose no öre.

Amounts are integers in minor units (öre), quantities integers in thousandths, rates and percentages integers in
hundredths of a percent. A float never comes near.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from errors import N_, BadInput

MAX_AMOUNT_MINOR = 200_000_000
"""Klarna's largest amount in one field, minor units (reference 2: at most 200000000)."""
MAX_QUANTITY_MILLI = 1_000_000_000
"""A million pieces, in thousandths."""

_SPACES = " \u00a0\u202f"
_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+|[0-9]+)(?:[.,](?P<part>[0-9]*))?")
_MINUS = "-\u2212"
_TWO_WAYS = re.compile(r"(?P<whole>[1-9][0-9]{0,2})(?P<sign>[.,])(?P<rest>[0-9]{3})")
"""A thousand and more as it is grouped in one language, or a figure with three decimals as it is written in another."""
_GROUPED = re.compile(r"[0-9]{1,3}(?:[.,'\u2019 \u00a0\u202f][0-9]{3})+(?:[.,][0-9]*)?")


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount with its currency; refuses to add two currencies. For showing and for sentences."""

    minor: int
    currency: str = "SEK"

    def __post_init__(self) -> None:
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise TypeError("an amount is an integer of minor units")

    def __add__(self, other: Amount) -> Amount:
        if self.currency != other.currency:
            raise ValueError("two currencies do not add")
        return Amount(self.minor + other.minor, self.currency)

    def __neg__(self) -> Amount:
        return Amount(-self.minor, self.currency)

    def __str__(self) -> str:
        return f"{self.currency} {plain(self.minor)}"


def plain(minor: int) -> str:
    """Print minor units as ``-1234.50``: point, no grouping; for exports and logs."""
    sign = "-" if minor < 0 else ""
    whole, part = divmod(abs(minor), 100)
    return f"{sign}{whole}.{part:02d}"


def _digits(text: str, field: str | None) -> tuple[int, str]:
    """Whole part and decimals of a typed number. Raises BadInput (catalogue rows 1-6)."""
    text = text.strip(_SPACES + "\t")
    if not text:
        raise BadInput(N_("Enter a number."), field=field)
    if len(text) > 40:
        raise BadInput(N_("The number is too long."), field=field)
    found = _AMOUNT.fullmatch(text)
    if found is None and _GROUPED.fullmatch(text):
        raise BadInput(
            N_(
                "Write thousands with a space or together, for example 1239.00; a comma or a point begins the decimals."
            ),
            field=field,
        )
    if found is None:
        raise BadInput(N_("Write the number with the digits 0–9 and at most one comma or point."), field=field)
    whole = re.sub(f"[{_SPACES}]", "", found["whole"])
    part = found["part"]
    if part == "":
        raise BadInput(N_("Write the number with the digits 0–9 and at most one comma or point."), field=field)
    return int(whole), part or ""


def parse_amount(text: str, *, field: str | None = None, signed: bool = False, zero: bool = False) -> int:
    """Read a typed amount straight to minor units; a minus only where ``signed``. Raises BadInput.

    Grammar: ASCII digits, thousands by space or no-break space, comma or point, at most two decimals, nothing else.
    Source: invariants, catalogue rows 1-6.
    """
    text = text.strip(_SPACES + "\t")
    if not text:
        raise BadInput(N_("Enter an amount."), field=field)
    sign = 1
    if text[0] in _MINUS:
        if not signed:
            raise BadInput(N_("The amount must be more than 0, written without a sign."), field=field)
        sign, text = -1, text[1:]
    whole, part = _digits(text, field)
    if len(part) > 2:
        raise BadInput(
            N_(
                "An amount may have at most two decimals. Thousands are written with a space or together, for example 1239.00."
            ),
            field=field,
        )
    minor = whole * 100 + int(part.ljust(2, "0") or "0")
    if minor > MAX_AMOUNT_MINOR:
        raise BadInput(N_("At most %(most)s can be entered."), field=field, most=Amount(MAX_AMOUNT_MINOR))
    if minor == 0 and not zero:
        raise BadInput(N_("The amount must be more than 0."), field=field)
    return sign * minor


def require_clear(text: str, decimal: str, *, field: str | None = None) -> str:
    """Let a typed quantity pass that means one thing to whoever begins decimals with ``decimal``; gives it back.

    «1,000» is a thousand pieces in English and one in Swedish. Raises BadInput naming both. An amount needs no such question:
    it has two decimals at most.
    """
    found = _TWO_WAYS.fullmatch(text.strip(_SPACES + "\t"))
    if found is not None and found["sign"] != decimal:
        raise BadInput(
            N_("%(typed)s can be read in two ways. Write %(together)s, or %(parts)s."),
            field=field,
            typed=found[0],
            together=found["whole"] + found["rest"],
            parts=found["whole"] + decimal + found["rest"],
        )
    return text


def parse_quantity(text: str, *, field: str | None = None, zero: bool = False) -> int:
    """Read a typed quantity to thousandths. Raises BadInput. Source: B14 (at most three decimals)."""
    text = text.strip(_SPACES + "\t")
    if not text:
        raise BadInput(N_("Enter a quantity."), field=field)
    if text[0] in _MINUS:
        below = N_("The quantity cannot be less than 0.") if zero else N_("The quantity must be more than 0.")
        raise BadInput(below, field=field)
    whole, part = _digits(text, field)
    if len(part) > 3:
        raise BadInput(N_("A quantity may have at most three decimals."), field=field)
    milli = whole * 1000 + int(part.ljust(3, "0") or "0")
    if milli > MAX_QUANTITY_MILLI:
        raise BadInput(N_("The quantity is too large."), field=field)
    if milli == 0 and not zero:
        raise BadInput(N_("The quantity must be more than 0."), field=field)
    return milli


class OutOfRange(BadInput):
    """A percentage that can be read and is below 0.01 or above 100.00."""


def parse_percent(text: str, *, field: str | None = None) -> int:
    """Read a typed percentage to hundredths of a percent, 0.01 to 100.00. Raises BadInput, OutOfRange. Source: F29."""
    text = text.strip(_SPACES + "\t%")
    minus = text[:1] in _MINUS and bool(text)
    whole, part = _digits(text[1:] if minus else text, field)
    if len(part) > 2:
        raise BadInput(N_("A percentage may have at most two decimals."), field=field)
    hundredths = whole * 100 + int(part.ljust(2, "0") or "0")
    if minus or not 1 <= hundredths <= 10_000:
        raise OutOfRange(N_("Enter a percentage between 0.01 and 100.00."), field=field)
    return hundredths


def divide(numerator: int, denominator: int) -> int:
    """Divide and round half away from zero: the one rounding rule of the house."""
    if denominator <= 0:
        raise ValueError("the denominator is positive")
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))


def vat_of_gross(gross_minor: int, rate: int) -> int:
    """VAT within a gross amount, rounded to the öre: gross − gross · 100 / (100 + rate); rate in hundredths of a percent.

    Source: accounting reference 8.
    """
    if rate < 0:
        raise ValueError("a VAT rate is not negative")
    return divide(gross_minor * rate, 10_000 + rate)


def take_share(remaining_minor: int, part: int, remaining: int) -> int:
    """The share of what remains that falls on ``part`` of ``remaining``; taking everything takes the last öre too.

    Taking shares until nothing is left adds up to the whole in any order and however often a share is put back.
    Source: K38 (the last credit takes the remainder), F30.
    """
    if not 0 <= part <= remaining:
        raise ValueError("a share lies within what remains")
    if part == remaining:
        return remaining_minor
    return divide(remaining_minor * part, remaining)


def next_share(total_minor: int, whole: int, done: int, taken_minor: int, part: int) -> int:
    """The share that brings what has been taken up to its exact rounded part: never off by more than an öre or so.

    ``done`` of ``whole`` has been taken for ``taken_minor``; the last part takes the remainder. Shares put back only make
    the next one catch up. Source: K38.
    """
    if not (done >= 0 and part >= 0 and done + part <= whole and whole > 0):
        raise ValueError("a share lies within what remains")
    share = divide(total_minor * (done + part), whole) - taken_minor
    left = total_minor - taken_minor
    return min(max(share, 0), left) if left >= 0 else max(min(share, 0), left)


def split(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Split a sum over weights so that the parts add up exactly; spare öre go to the largest remainders.

    Weights are not negative; when all are zero the first part takes the sum.
    """
    if not weights:
        raise ValueError("nothing to split over")
    if any(weight < 0 for weight in weights):
        raise ValueError("weights are not negative")
    whole = sum(weights)
    if whole == 0:
        return [total_minor] + [0] * (len(weights) - 1)
    sign = -1 if total_minor < 0 else 1
    parts = [abs(total_minor) * weight // whole for weight in weights]
    remainders = [(abs(total_minor) * weight % whole, weight, -place) for place, weight in enumerate(weights)]
    for _, _, place in sorted(remainders, reverse=True)[: abs(total_minor) - sum(parts)]:
        parts[-place] += 1
    return [sign * part for part in parts]


def gross_of(quantity_milli: int, unit_price_minor: int) -> int:
    """Quantity times unit price, before discount, minor units, rounded to the öre for decimal quantities."""
    return divide(quantity_milli * unit_price_minor, 1000)
