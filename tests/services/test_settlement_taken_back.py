"""A match that was made by itself is taken back before the payout is booked: both sides are free, and stay so (B4)."""

from __future__ import annotations

import random
import secrets
from contextlib import suppress

import pytest
import sqlalchemy as sa

from db import reading, writing
from errors import NotAllowed, Refusal, Stale
from klarna_sandbox.control import Control
from models import Audit, Document, Payout, PayoutRow, RowMatch
from services import settlement_matching, settlements
from services.gateway import Gateway
from services.settlement_choice import Unseen
from states import PayoutState, Pile
from tests import worlds
from tests.builders import CLERK, FINANCE
from tests.services.settlement_parts import a_sale, all_is_well, entries, fees, fetched, payout_of, rows_of, tie

pytestmark = pytest.mark.usefixtures("books")

World = tuple[Payout, PayoutRow, Document]


@pytest.fixture
@worlds.kept
def matched(klarna: Gateway, sandbox: Control) -> World:
    """A parked payout with a sale that matched its invoice by itself, with its fee, beside one that nobody knows."""
    fees(sandbox, 10_00)
    invoice = a_sale(klarna, sandbox, 800_00)
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    (row_,) = [each for each, match in rows_of(payout) if match.document_id == invoice.id and each.type == "SALE"]
    return payout, row_, invoice


def unmatch(row_: PayoutRow, shown: int) -> None:
    with writing() as session:
        settlements.unmatch(session, FINANCE, row_.id, shown_id=shown)


def rematch(row_: PayoutRow) -> None:
    with writing() as session:
        settlements.rematch(session, FINANCE, row_.id)


def match_of(row_: PayoutRow) -> RowMatch:
    with reading() as session:
        return session.get_one(RowMatch, row_.id)


def of_document(payout: Payout, document: Document) -> list[str]:
    """The types of the rows of a payout that belong to a document."""
    return sorted(each.type for each, match in rows_of(payout) if match.document_id == document.id)


def test_a_match_made_by_itself_is_taken_back_and_both_sides_are_free(matched: World) -> None:
    """B4, operations 14: a match is a link; the row waits for a person, its fee goes along, and the history tells."""
    payout, row_, invoice = matched
    assert of_document(payout, invoice) == ["FEE", "SALE"]
    unmatch(row_, invoice.id)
    match = match_of(row_)
    assert (match.pile, match.because, match.document_id) == (Pile.FAULTY, "taken_back", None)
    assert (match.note, match.handled_by) == (invoice.number_text, "Ekonomen")
    assert of_document(payout, invoice) == []
    with reading() as session:
        told = session.scalars(sa.select(Audit).where(Audit.action == "settlement.row_unmatched")).all()
    assert len(told) == 1
    all_is_well()


def test_a_match_that_was_taken_back_is_not_made_again_by_itself(matched: World) -> None:
    """Neither when the payout is matched once more nor by «Matcha igen» for the other rows."""
    payout, row_, invoice = matched
    unmatch(row_, invoice.id)
    with writing() as session:
        settlement_matching.settle(session, FINANCE, payout.id)
    with writing() as session:
        settlements.match_again(session, FINANCE, payout.id)
    assert match_of(row_).because == "taken_back" and of_document(payout, invoice) == []


def test_whoever_asks_for_it_has_the_match_again_as_it_was(matched: World) -> None:
    payout, row_, invoice = matched
    before = [(each.id, match.pile, match.document_id, match.because) for each, match in rows_of(payout)]
    unmatch(row_, invoice.id)
    rematch(row_)
    after = [(each.id, match.pile, match.document_id, match.because) for each, match in rows_of(payout)]
    assert sorted(after) == sorted(before)
    with pytest.raises(Refusal, match="has not been taken back"):
        rematch(row_)


def test_a_row_whose_match_was_taken_back_keeps_its_payout_from_being_booked(matched: World) -> None:
    payout, row_, invoice = matched
    for each, match in rows_of(payout):
        if match.pile is Pile.FAULTY:
            with writing() as session:
                settlements.mark_handled(session, FINANCE, each.id, "Utreds")
    unmatch(row_, invoice.id)
    with reading() as session:
        assert session.get_one(Payout, payout.id).state is PayoutState.PARKED
    with pytest.raises(Refusal), writing() as session:
        settlements.book(session, FINANCE, payout.id)


def test_the_row_and_its_fee_go_to_the_document_a_person_chooses(
    klarna: Gateway, sandbox: Control, matched: World
) -> None:
    """B4: and back again, when that too is taken back."""
    payout, row_, invoice = matched
    other = a_sale(klarna, sandbox, 800_00)
    unmatch(row_, invoice.id)
    tie(row_.id, other.number_text or "")
    assert of_document(payout, other) == ["FEE", "SALE"] and of_document(payout, invoice) == []
    with writing() as session:
        settlements.undo(session, FINANCE, row_.id)
    assert of_document(payout, invoice) == ["FEE", "SALE"] and of_document(payout, other) == []
    unmatch(row_, invoice.id)
    for each, match in rows_of(payout):
        if match.pile is Pile.FAULTY:
            with writing() as session:
                settlements.mark_handled(session, FINANCE, each.id, "Utreds")
    with writing() as session:
        settlements.book(session, FINANCE, payout.id)
    with reading() as session:
        booked = session.get_one(Payout, payout.id)
        assert session.get_one(Document, invoice.id).open_minor == 800_00
    assert entries(booked)[2999] == -1_100_00
    all_is_well()


def test_only_a_match_made_by_itself_and_as_shown_is_taken_back(
    klarna: Gateway, sandbox: Control, matched: World
) -> None:
    """An old page takes back nothing but what it shows."""
    payout, row_, invoice = matched
    with pytest.raises(Stale):
        unmatch(row_, invoice.id + 1)
    (odd,) = [each for each, match in rows_of(payout) if match.pile is Pile.FAULTY and each.type == "SALE"]
    with pytest.raises(Refusal, match="no match that was made by itself"):
        unmatch(odd, 0)
    unmatch(row_, invoice.id)
    with pytest.raises(Refusal, match="no match that was made by itself"):
        unmatch(row_, invoice.id)
    with pytest.raises(NotAllowed), writing() as session:
        settlements.rematch(session, CLERK, row_.id)


def test_a_form_whose_document_was_taken_back_since_says_so(klarna: Gateway, sandbox: Control, matched: World) -> None:
    """B4: the same form again is told what is true now, and not that the row has its document."""
    payout, _, _ = matched
    other = a_sale(klarna, sandbox, 300_00)
    (odd,) = [each for each, match in rows_of(payout) if match.pile is Pile.FAULTY and each.type == "SALE"]
    nonce, number = secrets.token_hex(16), other.number_text or ""
    tie(odd.id, number)
    with writing() as session:
        settlements.undo(session, FINANCE, odd.id)
    seen = seen_of(odd, number)
    press(odd, nonce, number, seen)
    press(odd, nonce, number, seen)
    with writing() as session:
        settlements.undo(session, FINANCE, odd.id)
    with pytest.raises(Stale, match="taken back since"):
        press(odd, nonce, number, seen)
    assert match_of(odd).document_id is None


def press(row_: PayoutRow, nonce: str, number: str, seen: str) -> None:
    with writing() as session:
        settlements.assign(session, FINANCE, row_.id, nonce, document_number=number, seen=seen)


def seen_of(row_: PayoutRow, number: str) -> str:
    """The mark of what is shown for a number."""
    try:
        with writing() as session:
            settlements.assign(session, FINANCE, row_.id, secrets.token_hex(16), document_number=number, seen="")
    except Unseen as asked:
        return asked.choice.seen
    raise AssertionError


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_and_taken_back_a_document_has_one_row_and_its_costs(
    klarna: Gateway, sandbox: Control, matched: World, seed: int
) -> None:
    """B4, A-checks: in any order of acts each claim has one row at most, costs follow their sale, and what is asked to be
    matched by itself in the end is as it was."""
    payout, row_, invoice = matched
    other, chance = a_sale(klarna, sandbox, 800_00), random.Random(seed)
    before = sorted((each.id, match.pile, match.document_id) for each, match in rows_of(payout))

    def again() -> None:
        with writing() as session:
            settlements.match_again(session, FINANCE, payout.id)

    def undo() -> None:
        with writing() as session:
            settlements.undo(session, FINANCE, row_.id)

    acts = [
        lambda: unmatch(row_, invoice.id),
        lambda: rematch(row_),
        lambda: tie(row_.id, other.number_text or ""),
        lambda: tie(row_.id, invoice.number_text or ""),
        again,
        undo,
    ]
    for _ in range(14):
        with suppress(Refusal):
            chance.choice(acts)()
        now = match_of(row_)
        for document in (invoice, other):
            expected = ["FEE", "SALE"] if now.document_id == document.id else []
            assert of_document(payout, document) == expected
        assert (now.pile is Pile.FAULTY) == (now.document_id is None)
    for last in (undo, lambda: rematch(row_)):
        with suppress(Refusal):
            last()
    assert sorted((each.id, match.pile, match.document_id) for each, match in rows_of(payout)) == before
    all_is_well()
