"""``flask verify``: everything that must always be true, asked of the database in one read transaction.

Each check is a function of its own (services/checks_*.py), written in SQL where it can be. What writes uses none of it.
Source: invariants 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput
from services import (
    checks_bank,
    checks_booking,
    checks_documents,
    checks_export,
    checks_klarna,
    checks_lists,
    checks_payouts,
    checks_people,
    checks_stock,
    checks_system,
    checks_vouchers,
)
from services.findings import Check, Finding, NotApplicableError, is_postgresql

MOST_FINDINGS = 20
"""Findings named per check; one more is looked for, to say that there are more."""

CHECKS: Mapping[str, Check] = {
    **dict(
        sorted(
            (checks_vouchers.CHECKS | checks_booking.CHECKS | checks_export.CHECKS).items(),
            key=lambda pair: int(pair[0][1:]),
        )
    ),
    **checks_documents.CHECKS,
    **checks_stock.CHECKS,
    **checks_klarna.CHECKS,
    **checks_payouts.CHECKS,
    **checks_bank.CHECKS,
    **checks_system.CHECKS,
    **checks_lists.CHECKS,
    **checks_people.CHECKS,
}
"""The checks by their number in the list of invariants."""

NOT_COVERED: Mapping[str, str] = {
    "I5": "Kvitta writes no reminders",
    "M7": "needs Klarna: flask verify --klarna",
    "M13": "needs Klarna and the copy that was restored",
    "X3": "needs the log files and exports: the tests scan them",
}
"""Invariants that the database alone cannot answer, and why."""


class CheckState(StrEnum):
    """How a check went."""

    OK = "ok"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Result:
    """One check: its id, its sentence, how it went, what was found (at most 20) and whether there is more."""

    id: str
    title: str
    state: CheckState
    findings: tuple[Finding, ...] = ()
    more: bool = False
    because: str = ""


def title(check_id: str) -> str:
    """The sentence of a check: what is always true."""
    words = (CHECKS[check_id].__doc__ or "").split("\n\n")[0]
    return " ".join(words.split()).partition(": ")[2]


def run(session: Session, ids: Iterable[str] | None = None) -> Iterator[Result]:
    """Run the checks, or those named, in order. ``session`` reads; nothing is written. Raises BadInput for an unknown id."""
    chosen = list(CHECKS) if ids is None else list(ids)
    for check_id in chosen:
        if check_id not in CHECKS and check_id not in NOT_COVERED:
            raise BadInput(N_("There is no check %(name)s."), name=check_id)
    _hold_still(session)
    for check_id in chosen:
        if check_id in NOT_COVERED:
            yield Result(check_id, "", CheckState.NOT_APPLICABLE, because=NOT_COVERED[check_id])
        else:
            yield _one(session, check_id)


def _hold_still(session: Session) -> None:
    """One moment's truth for all checks: SQLite's read transaction is that already."""
    if is_postgresql(session) and not session.in_transaction():
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
        # What is read back (A12) asks nothing for as long as the file is long.
        session.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _one(session: Session, check_id: str) -> Result:
    try:
        found = tuple(islice(CHECKS[check_id](session), MOST_FINDINGS + 1))
    except NotApplicableError as reason:
        return Result(check_id, title(check_id), CheckState.NOT_APPLICABLE, because=str(reason))
    state = CheckState.FAILED if found else CheckState.OK
    return Result(check_id, title(check_id), state, found[:MOST_FINDINGS], len(found) > MOST_FINDINGS)
