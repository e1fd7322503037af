"""A statement that a person chose, whichever way the bank wrote it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from errors import N_, BadInput
from services import bank_camt, bank_csv
from services.bank_entries import MOST_PROBLEMS, Entry, Problem, Statement

__all__ = ("NAMES", "Entry", "Problem", "Statement", "read")

NAMES: dict[str, str] = {
    "day": N_("Day"),
    "amount": N_("Amount"),
    "in": N_("Money in"),
    "out": N_("Money out"),
    "currency": N_("Currency"),
}
"""What the columns of a problem are called; an element of XML has its own name."""


def read(content: bytes, account: str = "", *, today: date) -> Statement:
    """Read a statement in camt.053 or CSV; ``account`` is the company's own where a CSV does not say it. Raises Refusal.

    What the bank has booked on a day after ``today`` is a problem: a year typed wrong would hide the money for good.
    """
    statement = bank_camt.read(content) if bank_camt.is_xml(content) else bank_csv.read(content, account)
    if not statement.entries and not statement.problems and not statement.left_out:
        raise BadInput(N_("The statement holds no entry. Nothing has been read."), field="file")
    early = [
        Problem(each.place, "day", BadInput(N_("%(day)s has not come yet."), day=each.day))
        for each in statement.entries
        if each.day > today
    ]
    problems = sorted([*statement.problems, *early], key=lambda problem: problem.place)[:MOST_PROBLEMS]
    return replace(statement, problems=problems)
