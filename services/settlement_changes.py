"""What a payout that came back different has lost and gained, row beside row, as a break or a preview holds it. Pure.

Amounts are minor units. Source: operations 14 (overlap); fault row 32; reference peers, pain 21.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from errors import N_, Refusal
from models import KlarnaBreak
from services.settlement_matching import rows_text
from services.settlement_proof import Comparison

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Side:
    """A row as one of the two reports has it; ``vat_minor`` is the VAT on a fee."""

    type: str
    detailed_type: str | None
    named: str
    amount_minor: int
    vat_minor: int


@dataclass(frozen=True, slots=True)
class Change:
    """The rows that only one of two reports has: ``(before, after)``, where one of them may be missing."""

    pairs: Sequence[tuple[Side | None, Side | None]]
    currency: str
    difference_minor: int


def of_break(found: KlarnaBreak) -> Change | None:
    """The rows side by side that a break keeps; None for a break of another sort."""
    if not found.expected.startswith("[") or not found.found.startswith("["):
        return None
    return Change(_pairs(found.expected, found.found), found.currency, found.difference_minor)


def why_not_booked(breaks: Iterable[KlarnaBreak]) -> Refusal | None:
    """Why a payout that came back different waits: which of its reports is right is for Klarna and Finance to say (fault 32)."""
    if all(of_break(each) is None for each in breaks):
        return None
    return Refusal(
        N_(
            "The payout came back different from Klarna. Settle that difference before it is booked. Nothing has been booked."
        )
    )


def of_comparison(comparison: Comparison, currency: str) -> Change:
    """The same before anything is kept."""
    gone, new = comparison.gone, comparison.new
    difference = sum(row.signed_minor + row.signed_vat_minor for row in new) - sum(
        row.signed_minor + row.signed_vat_minor for row in gone
    )
    pairs = _pairs(rows_text(gone[:MOST_SHOWN], currency), rows_text(new[:MOST_SHOWN], currency))
    return Change(pairs, currency, difference)


def _pairs(before: str, after: str) -> list[tuple[Side | None, Side | None]]:
    """Rows of the same kind and name stand beside each other; the others have nothing beside them."""
    waiting: defaultdict[tuple[str, str | None, str], list[Side]] = defaultdict(list)
    for side in _sides(json.loads(after)):
        waiting[side.type, side.detailed_type, side.named].append(side)
    pairs: list[tuple[Side | None, Side | None]] = []
    for side in _sides(json.loads(before)):
        fits = waiting[side.type, side.detailed_type, side.named]
        pairs.append((side, fits.pop(0) if fits else None))
    pairs += [(None, side) for sides in waiting.values() for side in sides]
    return pairs


def _sides(rows: Iterable[dict[str, Any]]) -> Iterable[Side]:
    for row in rows:
        named = row["reference"] or row["order"] or ""
        yield Side(row["type"], row["detailed_type"], named, row["amount_minor"], row["vat_minor"])
