"""Sentences that are kept with a payout or a row and said later, in whatever language is then spoken. Pure.

Kept as JSON: the English message id and its values; an amount is ``{"minor", "currency"}``, a date ``{"day"}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from enum import StrEnum

from errors import N_, Refusal
from money import Amount
from services.settlement_layouts import FAULT_SENTENCES


class Why(StrEnum):
    """Why a row is not simply matched."""

    NONE = "none"
    SEVERAL = "several"
    TWICE = "twice"
    CONTRADICTS = "contradicts"
    NOT_ISSUED = "not_issued"
    AMOUNT = "amount"
    PAID = "paid"
    CREDITED = "credited"
    OTHER_CURRENCY = "other_currency"
    OTHER_DAY = "other_day"
    REVERSAL = "reversal"
    UNALLOCATED = "unallocated"
    ASSIGNED = "assigned"
    SPLIT = "split"
    MOVED = "moved"
    TAKEN_BACK = "taken_back"


WHY: Mapping[str, str] = {
    Why.NONE: N_("It fits none of our documents."),
    Why.SEVERAL: N_("It fits several of our documents. Choose one."),
    Why.TWICE: N_("Another row already bears this number. Klarna shows the same number twice."),
    Why.CONTRADICTS: N_("Its number belongs to a document that was refused or voided, yet Klarna has carried it out."),
    Why.NOT_ISSUED: N_("Its document is not issued, and Klarna shows another amount than the one that was sent."),
    Why.AMOUNT: N_("The amount is not the document's."),
    Why.PAID: N_("The document was paid before. It becomes overpaid."),
    Why.CREDITED: N_("The document was offset before. It becomes overpaid."),
    Why.OTHER_CURRENCY: N_("The document is in another currency. Handle the row before the payout is booked."),
    Why.OTHER_DAY: N_("It is dated otherwise than the document."),
    Why.REVERSAL: N_("Klarna has taken the payment back, or given some of it back. The invoice's claim changes."),
    Why.UNALLOCATED: N_("It is booked on the account for what nobody has placed yet, until Finance clears it."),
    Why.ASSIGNED: N_("A person chose the document."),
    Why.SPLIT: N_("A person has split it over several documents."),
    Why.MOVED: N_("A person has moved it after it was booked."),
    Why.TAKEN_BACK: N_("A person has taken back its match with the document below. It waits for a document or a note."),
    **{fault.value: sentence for fault, sentence in FAULT_SENTENCES.items()},
}
"""Why a row stands in its pile, in one sentence."""


def keep(refusal: Refusal) -> str:
    """Write down a sentence with its values."""
    return json.dumps({"message": refusal.message, "values": {k: _write(v) for k, v in refusal.values.items()}})


def told(text: str) -> Refusal:
    """The sentence that was written down."""
    found = json.loads(text)
    said = Refusal(found["message"])
    said.values = {name: _read(value) for name, value in found["values"].items()}
    return said


def _write(value: object) -> object:
    if isinstance(value, Amount):
        return {"minor": value.minor, "currency": value.currency}
    if isinstance(value, date):
        return {"day": value.isoformat()[:10]}
    return value if isinstance(value, int) else str(value)


def _read(value: object) -> object:
    if isinstance(value, dict):
        return date.fromisoformat(value["day"]) if "day" in value else Amount(value["minor"], value["currency"])
    return value
