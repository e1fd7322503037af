"""What matching decides does not hang on how a report happens to be written: rows shuffled, doubled, twins, without references.

One world with every kind of row; each report is read in, looked at and rolled back, so that a hundred of them cost seconds.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import make_transient

from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, Payout, PayoutRow, RowMatch
from services import orders, settlement_matching
from services.gateway import Gateway
from states import PayoutState, Pile
from tests import worlds
from tests.builders import FINANCE, a_delivery, an_invoice, an_order, row
from tests.services.settlement_parts import a_refund, a_sale, fees, fetched, payout_of

Row = dict[str, Any]
ROUNDS = 6
BARE: dict[str, tuple[str, ...]] = {
    "as it came": (),
    "without our numbers": ("capture_reference", "refund_reference"),
    "without ids": ("capture_id", "refund_id"),
    "with neither": ("capture_reference", "refund_reference", "capture_id", "refund_id"),
}


@dataclass(frozen=True)
class Told:
    """A payout that waits, its rows as plain values, and the documents that they tell of."""

    payout_id: int
    rows: list[Row]
    documents: dict[int, str]


@pytest.fixture
@worlds.kept
def told(klarna: Gateway, sandbox: Control) -> Told:
    """Three twins on one order, two sales of the same sum on orders of their own, a refund, fees, and a stranger."""
    fees(sandbox, 3_00)
    with_twins: list[Document] = []
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("Jacka", 800_00) for _ in range(3)])
        lines = [line.id for line in order.lines]
    for line in lines:
        with writing() as session:
            a_delivery(session, orders.get(session, order.id), {line: 1000})
        with_twins.append(an_invoice(klarna, order))
    plain = [a_sale(klarna, sandbox, 450_00) for _ in range(2)]
    note = a_refund(klarna, plain[0])
    sandbox.order(mid="K000001", order_amount=450_00, captures=[{"captured_amount": 450_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    columns = [each.key for each in PayoutRow.__table__.columns if each.key not in ("id", "row_no")]
    with reading() as session:
        rows = session.scalars(sa.select(PayoutRow).where(PayoutRow.payout_id == payout.id).order_by(PayoutRow.row_no))
        plain_rows = [{name: getattr(each, name) for name in columns} for each in rows]
    kinds = {each.id: "twin" for each in with_twins} | {each.id: "plain" for each in plain} | {note.id: "note"}
    return Told(payout.id, plain_rows, kinds)


class _LookedAtError(Exception):
    """What was read in is rolled back."""


Verdict = Counter[tuple[str, str, Pile, str | None, int | None]]


def verdict(told: Told, rows: list[Row]) -> Verdict:
    """What matching says of each row of a report that holds these, in this order."""
    found: Verdict = Counter()
    with suppress(_LookedAtError), writing() as session:
        payout = session.get_one(Payout, told.payout_id)
        session.execute(sa.delete(RowMatch))
        session.expunge(payout)
        make_transient(payout)
        payout.id, payout.payment_reference, payout.row_count = None, "another", len(rows)  # type: ignore[assignment]
        payout.state, payout.parked_because = PayoutState.LOADING, None
        session.add(payout)
        session.flush()
        session.add_all(
            PayoutRow(**{**each, "payout_id": payout.id, "row_no": place}) for place, each in enumerate(rows, start=1)
        )
        session.flush()
        settlement_matching.settle(session, FINANCE, payout.id)
        linked = session.execute(
            sa.select(PayoutRow, RowMatch)
            .outerjoin(RowMatch, RowMatch.row_id == PayoutRow.id)
            .where(PayoutRow.payout_id == payout.id)
        ).all()
        assert len(linked) == len(rows) and all(match is not None for _, match in linked), (
            "each row in exactly one pile"
        )
        paying = Counter((each.type, match.document_id) for each, match in linked if each.type in ("SALE", "RETURN"))
        twice = [who for who, count in paying.items() if who[1] is not None and count > 1]
        assert not twice, "a document is paid by one row"
        found.update((each.row_key, each.type, match.pile, match.because, match.document_id) for each, match in linked)
        raise _LookedAtError
    return found


def bared(rows: list[Row], columns: tuple[str, ...]) -> list[Row]:
    """The rows without these columns; what a row is known by follows what is left of it, as in a report."""
    bare = [{**each, **dict.fromkeys(columns)} for each in rows]
    return [
        {**each, "row_key": repr(sorted((name, str(each[name])) for name in each if name != "row_key"))}
        for each in bare
    ]


def test_how_a_report_is_written_decides_nothing(books: Any, told: Told) -> None:
    """B4, operations 14: shuffled, and with rows that stand twice, the same row goes the same way, to one pile and document."""
    for which, columns in BARE.items():
        rows = bared(told.rows, columns)
        once = verdict(told, rows)
        assert Counter(
            (told.documents.get(document or 0), pile) for _, type_, pile, _, document in once if type_ != "FEE"
        ) == {("twin", Pile.MATCHED): 3, ("plain", Pile.MATCHED): 2, ("note", Pile.MATCHED): 1, (None, Pile.FAULTY): 1}
        chance = random.Random(which)
        for _ in range(ROUNDS):
            assert verdict(told, chance.sample(rows, len(rows))) == once
            doubled = rows + [dict(each) for each in chance.sample(rows, chance.randint(1, 3))]
            first = verdict(told, doubled)
            assert verdict(told, chance.sample(doubled, len(doubled))) == first
            if which == "as it came":
                taken = {key for key in once if key[2] is Pile.MATCHED and key not in first}
                assert not taken, "a row that stands twice takes nothing from the first"
