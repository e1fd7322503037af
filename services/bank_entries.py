"""What a bank statement says, whatever it was written in: money that came in, entry by entry, and what cannot be read. Pure.

Amounts are integers in minor units. Source: accounting reference 5, "every payout found on 1930"; M9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from errors import Refusal
from services.card_checks import storable

LARGEST = 5 * 1024 * 1024
"""Bytes of a statement: some ten thousand entries."""
MOST_ENTRIES = 20_000
MOST_PROBLEMS = 500
MOST_TEXT = 500
MOST_NAME = 140
MAX_MINOR = 999_999_999_999
_WORD = re.compile(r"[A-Za-z0-9-]+")
_KLARNA = ("klarna", "kustom")


@dataclass(frozen=True, slots=True)
class Entry:
    """Money that came in. ``place`` is its row, or its number among the statement's entries; ``account`` the company's own.

    ``text`` is every reference and message of it; ``bank_reference`` what the bank calls it, empty where it says nothing.
    """

    place: int
    account: str
    day: date
    amount_minor: int
    currency: str
    payer: str
    text: str
    bank_reference: str

    @property
    def content(self) -> str:
        """What tells it from another entry; two that are equal in it are told apart by their number only."""
        parts = (self.account, self.day.isoformat(), self.amount_minor, self.currency, self.bank_reference)
        said = (self.payer, self.text) if not self.bank_reference else ()
        return sha256("\x1f".join(map(str, (*parts, *said))).encode()).hexdigest()

    @property
    def is_klarnas(self) -> bool:
        """Whether payer or text names Klarna, or Kustom."""
        said = f"{self.payer} {self.text}".casefold()
        return any(name in said for name in _KLARNA)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an entry, and in which column or element."""

    place: int
    name: str
    why: Refusal


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was read. With problems nothing of it is taken; ``left_out`` counts what is no money come in."""

    kind: str
    entries: Sequence[Entry]
    problems: Sequence[Problem]
    left_out: int


def words_of(text: str) -> set[str]:
    """The words of a text in capitals, as payment references are compared: with hyphens within them, and between hyphens."""
    whole = {word.upper() for word in _WORD.findall(text)}
    return whole | {part for word in whole for part in word.split("-") if part}


def joined(parts: Iterable[str | None], most: int = MOST_TEXT) -> str:
    """Texts that say something, each once, as one that can be stored and shown."""
    kept = dict.fromkeys(" ".join(part.split()) for part in parts if part and part.strip())
    return storable(" ".join(kept), most)


def plain_account(text: str) -> str:
    """An account number without its spaces, at most 40 characters."""
    return storable("".join(text.split()), 40)
