"""Deposits at the bank: each is one payout's, equal to it to the öre, and the statements are as they came (M17)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import BankStatement
from services.findings import Check, Finding, broken

_LIVE = "t.undoes_id IS NULL AND NOT EXISTS (SELECT 1 FROM bank_tie u WHERE u.undoes_id = t.id)"


def deposits_are_their_payouts(session: Session) -> Iterator[Finding]:
    """M17: a tied deposit equals its payout; one deposit has one payout, and one payout one deposit; statements are unchanged."""
    yield from broken(
        session,
        "SELECT p.id, e.id, e.amount_minor, e.currency, p.settlement_minor, p.currency FROM bank_tie t"
        " JOIN bank_entry e ON e.id = t.entry_id JOIN payout p ON p.id = t.payout_id"
        f" WHERE {_LIVE} AND (e.amount_minor <> p.settlement_minor OR e.currency <> p.currency) ORDER BY t.id",
        "payout:{0}",
        "is {4} {5}, its deposit {1} is {2} {3}",
    )
    for column, what in (("payout_id", "payout"), ("entry_id", "deposit")):
        yield from broken(
            session,
            f"SELECT t.{column}, count(*) FROM bank_tie t WHERE {_LIVE} GROUP BY t.{column} HAVING count(*) > 1 ORDER BY 1",
            f"{what}:{{0}}",
            "is tied {1} times",
        )
    yield from broken(
        session,
        "SELECT u.id, t.id FROM bank_tie u JOIN bank_tie t ON t.id = u.undoes_id WHERE t.undoes_id IS NOT NULL"
        " OR u.entry_id <> t.entry_id OR u.payout_id <> t.payout_id OR u.id <= t.id",
        "tie:{0}",
        "unties {1}, which is another's or no tie",
    )
    for key, digest, content in session.execute(
        sa.select(BankStatement.id, BankStatement.sha256, BankStatement.content).execution_options(yield_per=1)
    ):
        if hashlib.sha256(content).hexdigest() != digest:
            yield Finding(f"statement:{key}", "its bytes are not those that came")


CHECKS: dict[str, Check] = {"M17": deposits_are_their_payouts}
