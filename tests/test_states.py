"""The state machines: every state against every move, and what holds between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from errors import BrokenRule
from states import (
    DOC_MOVES,
    DOCUMENT_OF_OP,
    LIVE_OPS,
    OP_BEGINS,
    OP_MOVES,
    OPEN_OPS,
    PAYOUT_MOVES,
    DocState,
    OpState,
    PayoutState,
    check_move,
)

D, O, P = DocState, OpState, PayoutState
ALLOWED: dict[type[StrEnum], set[tuple[StrEnum, StrEnum]]] = {
    O: {
        (O.PREPARED, O.SENDING),
        (O.PREPARED, O.NOT_EXECUTED),
        (O.PREPARED, O.CONFIRMED),
        (O.PREPARED, O.UNKNOWN),
        (O.SENDING, O.CONFIRMED),
        (O.SENDING, O.REJECTED),
        (O.SENDING, O.UNKNOWN),
        (O.SENDING, O.PREPARED),
        (O.UNKNOWN, O.SENDING),
        (O.UNKNOWN, O.CONFIRMED),
        (O.UNKNOWN, O.REJECTED),
        (O.UNKNOWN, O.REVIEW),
        (O.REVIEW, O.CONFIRMED),
        (O.REVIEW, O.NOT_EXECUTED),
    },
    D: {
        (D.DRAFT, D.PENDING),
        (D.DRAFT, D.ISSUED),
        (D.PENDING, D.ISSUED),
        (D.PENDING, D.REFUSED),
        (D.PENDING, D.VOID),
        (D.REFUSED, D.PENDING),
        (D.REFUSED, D.ISSUED),
        (D.REFUSED, D.VOID),
    },
    P: {(P.LOADING, P.PARKED), (P.LOADING, P.READY), (P.PARKED, P.READY), (P.READY, P.BOOKED), (P.READY, P.PARKED)},
}
MOVES: list[tuple[type[StrEnum], Mapping[Any, frozenset[Any]]]] = [(O, OP_MOVES), (D, DOC_MOVES), (P, PAYOUT_MOVES)]
TABLE = [(kind, moves, old, new) for kind, moves in MOVES for old, new in product(kind, kind)]


@pytest.mark.parametrize(
    ("kind", "moves", "old", "new"), TABLE, ids=lambda each: str(each) if isinstance(each, StrEnum) else ""
)
def test_only_the_listed_moves_are_let_through(
    kind: type[StrEnum], moves: Mapping[Any, frozenset[Any]], old: Any, new: Any
) -> None:
    """The table of operations 3 and 4, written out once more."""
    if (old, new) in ALLOWED[kind]:
        check_move(moves, old, new)
    else:
        with pytest.raises(BrokenRule):
            check_move(moves, old, new)


@pytest.mark.parametrize(("kind", "moves"), MOVES)
def test_every_state_has_its_row(kind: type[StrEnum], moves: Mapping[Any, frozenset[Any]]) -> None:
    assert set(moves) == set(kind)


def test_final_operations_stay_and_open_ones_can_end() -> None:
    final = {state for state, following in OP_MOVES.items() if not following}
    assert final == set(O) - OPEN_OPS
    for state in OPEN_OPS:
        seen, ways = {state}, [state]
        while ways:
            for following in OP_MOVES[ways.pop()] - seen:
                seen.add(following)
                ways.append(following)
        assert seen & final


def test_what_holds_the_money_is_open_or_used() -> None:
    assert OPEN_OPS | {O.CONFIRMED, O.EXTERNAL} == LIVE_OPS
    assert {O.PREPARED, O.EXTERNAL} == OP_BEGINS


def test_an_operation_fixes_the_state_of_its_document() -> None:
    """Operations 4: open ⇔ pending, confirmed ⇔ issued; what closed without effect fixes nothing."""
    assert {state for state, document in DOCUMENT_OF_OP.items() if document is D.PENDING} == OPEN_OPS
    assert {state for state, document in DOCUMENT_OF_OP.items() if document is D.ISSUED} == {O.CONFIRMED}
    assert O.REJECTED not in DOCUMENT_OF_OP


def test_void_and_issued_documents_stay() -> None:
    assert not DOC_MOVES[D.VOID]
    assert not DOC_MOVES[D.ISSUED]
    assert not PAYOUT_MOVES[P.BOOKED]
