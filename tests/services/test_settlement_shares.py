"""A part of a split row moved to another document or to nobody after it was booked, and back (B4)."""

from __future__ import annotations

import random
from typing import Any

import pytest
import sqlalchemy as sa

from db import reading
from errors import BadInput, Stale
from klarna_sandbox.control import Control
from models import Payout, PayoutRow, Posting, RowMatch, RowPlacing, RowShare, Voucher
from services import afterwards, document_page, owed_lists, settlement_export, settlement_moves, settlements
from services.gateway import Gateway
from tests import worlds
from tests.builders import FINANCE, the_document
from tests.services.settlement_parts import a_sale, all_is_well, booked, fees, tie
from tests.services.test_settlement_moves import act, last_voucher, lump, move, open_of
from tests.threads import in_threads

__all__ = ("lump",)
LOOSE = 2999
"""The account for what nobody has placed."""


@pytest.fixture
@worlds.kept
def split(lump: tuple[Payout, int, int, int], klarna: Gateway, sandbox: Control) -> tuple[int, int, int, int]:
    """A booked row of 800,00 split over invoices of 300,00 and 500,00, and a third of 300,00; the row and the three."""
    payout, row_id, three, five = lump
    numbers = [the_document(each).number_text for each in (three, five)]
    tie(row_id, f"{numbers[0]} 300,00; {numbers[1]} 500,00")
    act(settlements.book, payout.id)
    return row_id, three, five, a_sale(klarna, sandbox, 300_00).id


def number(document_id: int) -> str:
    return the_document(document_id).number_text or ""


def places(row_id: int) -> list[tuple[int | None, int]]:
    with reading() as session:
        found = settlement_moves.movable(session, FINANCE, row_id).places
        return [(each.document_id, each.amount_minor) for each in found]


def take_back(row_id: int, placing_id: int) -> None:
    act(settlement_moves.take_back, row_id, placing_id, "ångrat")


def state(row_id: int, documents: list[int]) -> tuple[Any, ...]:
    """All that a move changes: what stands where, what is open, ticks, the account for what nobody has placed."""
    with reading() as session:
        loose = session.scalar(sa.select(sa.func.sum(Posting.amount_minor)).where(Posting.account == LOOSE)) or 0
        owed = [each.amount_minor for each in owed_lists.listed(session, "sales").rows]
    papers = [the_document(each) for each in documents]
    return places(row_id), [(p.open_minor, p.paid_at, p.paid_reference) for p in papers], loose, owed


def test_a_part_of_a_split_row_is_moved_by_itself_and_back(books: Any, split: tuple[int, int, int, int]) -> None:
    """B4: the voucher moves the part alone, the other stays; all that tells of the documents follows, there and back."""
    row_id, three, five, third = split
    before = state(row_id, [three, five, third])
    with pytest.raises(BadInput, match="stands there already"):
        move(row_id, number(three), three, minor=300_00)
    with pytest.raises(Stale):
        move(row_id, number(third), three, minor=299_99)
    with pytest.raises(Stale):
        move(row_id, number(third), 0, minor=300_00)
    made = move(row_id, number(third), three, minor=300_00)
    assert last_voucher() == ("K", [(1510, 300_00), (1510, -300_00)])
    assert places(row_id) == [(five, 500_00), (third, 300_00)] and open_of(three, five, third) == [300_00, 0, 0]
    assert the_document(three).paid_at is None and the_document(third).paid_at is not None
    with reading() as session:
        text = session.scalars(sa.select(Voucher.text).order_by(Voucher.id.desc()).limit(1)).one()
        payout_id = session.get_one(PayoutRow, row_id).payout_id
        match = session.get_one(RowMatch, row_id)
        assert (match.document_id, match.because, match.note) == (None, "moved", "fel faktura")
        assert not settlements.rows_of_document(session, three)
        assert [each.amount_minor for each in settlements.rows_of_document(session, third)] == [300_00]
        shown = document_page.overview(session, FINANCE, third).payment
        assert shown is not None and shown.bank_minor == 300_00
        for document_id, minor in ((three, -300_00), (third, 300_00)):
            told = [each for each in afterwards.of_document(session, document_id) if each.row_id == row_id]
            assert [(each.amount_minor, each.detail) for each in told] == [(minor, "fel faktura")]
        (filed,) = settlement_export.rows(session, payout_id)
        assert filed.documents == f"{number(five)}, {number(third)}"
    assert "del av rad 1:" in text
    all_is_well()
    take_back(row_id, made)
    assert state(row_id, [three, five, third]) == before
    all_is_well()


def test_parts_moved_to_nobody_wait_together_and_go_on_as_one(books: Any, split: tuple[int, int, int, int]) -> None:
    """B4: what nobody has placed stands on its account and in the list, to the öre; it is placed, merged, and all undone."""
    row_id, three, five, third = split
    seen = [state(row_id, [three, five, third])]
    made = [move(row_id, None, three, minor=300_00)]
    assert last_voucher() == ("K", [(1510, 300_00), (LOOSE, -300_00)])
    seen.append(state(row_id, [three, five, third]))
    assert seen[-1][0] == [(five, 500_00), (None, 300_00)] and seen[-1][2:] == (-300_00, [300_00])
    all_is_well()
    made.append(move(row_id, None, five, minor=500_00))
    seen.append(state(row_id, [three, five, third]))
    assert seen[-1][0] == [(None, 800_00)] and seen[-1][2:] == (-800_00, [800_00])
    all_is_well()
    made.append(move(row_id, number(third), 0, minor=800_00))
    assert places(row_id) == [(third, 800_00)] and open_of(three, five, third) == [300_00, 500_00, -500_00]
    all_is_well()
    for placing in reversed(made):
        take_back(row_id, placing)
        assert state(row_id, [three, five, third]) == seen.pop()
        all_is_well()


def test_a_part_that_comes_to_the_other_parts_document_makes_the_row_whole(
    books: Any, split: tuple[int, int, int, int]
) -> None:
    """B4: a row that stands with one document is not split; to take the move back splits it again."""
    row_id, three, five, third = split
    before = state(row_id, [three, five, third])
    made = move(row_id, number(five), three, minor=300_00)
    assert places(row_id) == [(five, 800_00)] and open_of(three, five) == [300_00, -300_00]
    with reading() as session:
        assert session.scalars(sa.select(RowMatch.document_id).where(RowMatch.row_id == row_id)).one() == five
        assert session.scalar(sa.select(sa.func.count()).select_from(RowShare)) == 0
    all_is_well()
    take_back(row_id, made)
    assert state(row_id, [three, five, third]) == before
    all_is_well()


def test_a_part_that_comes_to_another_part_adds_to_it_while_a_third_stays(
    books: Any, lump: tuple[Payout, int, int, int], klarna: Gateway, sandbox: Control
) -> None:
    """B4, I9: nothing of what stood there is lost."""
    payout, row_id, three, five = lump
    third = a_sale(klarna, sandbox, 300_00).id
    tie(row_id, f"{number(three)} 300,00; {number(five)} 200,00; {number(third)} 300,00")
    act(settlements.book, payout.id)
    before = state(row_id, [three, five, third])
    made = move(row_id, number(five), three, minor=300_00)
    assert places(row_id) == [(five, 500_00), (third, 300_00)] and open_of(three, five, third) == [300_00, 0, 0]
    all_is_well()
    take_back(row_id, made)
    assert state(row_id, [three, five, third]) == before
    all_is_well()


@pytest.mark.parametrize("seed", range(4))
def test_moves_of_parts_in_any_order_are_undone_to_the_ore(
    books: Any, split: tuple[int, int, int, int], seed: int
) -> None:
    """B4, I9: after any moves the parts come to the row and to what is open; undone from the last, each state comes back."""
    row_id, *documents = split
    chance = random.Random(seed)
    made, states = [], [state(row_id, documents)]
    for _ in range(5):
        parts = places(row_id)
        source, minor = chance.choice(parts)
        target = chance.choice([each for each in [None, *documents] if each != source])
        made.append(move(row_id, number(target) if target else None, source or 0, minor=minor))
        states.append(state(row_id, documents))
        placed = dict(places(row_id))
        assert sum(placed.values()) == 800_00
        assert [minor + placed.get(each, 0) for each, minor in zip(documents, open_of(*documents), strict=True)] == [
            300_00, 500_00, 300_00,
        ]  # fmt: skip
        assert states[-1][2] == -placed.get(None, 0)
    all_is_well()
    for placing in reversed(made):
        assert state(row_id, documents) == states.pop()
        take_back(row_id, placing)
    assert state(row_id, documents) == states.pop()
    all_is_well()


def test_two_who_move_one_part_at_once_move_it_once(books: Any, split: tuple[int, int, int, int]) -> None:
    """B4: the payout's lock lets the second see that what was shown does not stand there any more."""
    row_id, three, five, third = split
    raised = in_threads(
        books, lambda n: move(row_id, number(third), three, nonce=f"{n:x}" * 32, minor=300_00) and None, 3
    )
    assert [type(each) for each in raised] == [Stale] * 2, raised
    assert places(row_id) == [(five, 500_00), (third, 300_00)]
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(RowPlacing)) == 1
    all_is_well()


def test_two_who_move_both_parts_at_once_to_one_document_lose_nothing(
    books: Any, split: tuple[int, int, int, int]
) -> None:
    """B4, I9: each part is moved once and they add up; nobody writes over the other's."""
    row_id, three, five, third = split
    wanted = [(three, 300_00), (five, 500_00)]
    raised = in_threads(books, lambda n: move(row_id, None, wanted[n][0], minor=wanted[n][1]) and None, 2)
    assert raised == [] and places(row_id) == [(None, 800_00)]
    assert open_of(three, five, third) == [300_00, 500_00, 300_00]
    all_is_well()


def test_a_part_is_not_taken_back_to_a_document_that_another_row_has_come_to(
    books: Any, split: tuple[int, int, int, int], klarna: Gateway, sandbox: Control
) -> None:
    """B4, I9: a document is paid by one row."""
    row_id, three, _five, third = split
    made = move(row_id, None, three, minor=300_00)
    fees(sandbox, 0)
    other = booked(klarna, sandbox)
    with reading() as session:
        came = session.scalars(
            sa.select(RowMatch.row_id).join(PayoutRow, PayoutRow.id == RowMatch.row_id)
            .where(PayoutRow.payout_id == other.id, RowMatch.document_id == third)
        ).one()  # fmt: skip
    move(came, number(three), third)
    with pytest.raises(Exception, match=r"belongs to \d+ already"):
        take_back(row_id, made)
    all_is_well()
