"""Every state of the protocol is visited, and each rule left out alone breaks something (operations 17).

The small sizes run on every change; the large one with ``KVITTA_LARGE=1``.
"""

from __future__ import annotations

import os

import pytest

from states import DOC_MOVES, OPEN_OPS, DocState, OpState
from tests.model import protocol
from tests.model.protocol import (
    CHANGED,
    DISAGREE,
    GAP,
    KEPT_MOVED,
    LINE_TWICE,
    PAST_DRIFT,
    REFUSED_MOVED,
    RULES,
    TWICE,
    TWO_OPEN,
    VOID_BACK,
    VOID_MOVED,
    VOUCHER,
    Protocol,
    Search,
)

large = pytest.mark.skipif(not os.environ.get("KVITTA_LARGE"), reason="takes minutes: set KVITTA_LARGE=1")
ONE_TRY = {"tries": 1, "sends": 2}
TWO_TRIES = {"tries": 2, "sends": 1}

SIZES = [
    pytest.param({**ONE_TRY}, id="one_try_two_sends"),
    pytest.param({**TWO_TRIES}, id="two_tries_one_send"),
    pytest.param({**TWO_TRIES, "portal": False, "alike": False}, id="two_tries_each_document_by_itself"),
    pytest.param({"tries": 2, "sends": 2, "portal": False}, marks=large, id="two_tries_two_sends"),
    pytest.param({"tries": 2, "sends": 2}, marks=[large, pytest.mark.timeout(1800)], id="all_of_it"),
]

BROKEN: dict[str, tuple[str, str, dict[str, int]]] = {
    # rule: what breaks in the fewest steps, what the table of operations 17 names, the size that shows it
    "one key for all attempts": (TWICE, TWICE, ONE_TRY),
    "a timeout is not a failure": (REFUSED_MOVED, TWICE, TWO_TRIES),
    "a refusal on a retry is not final": (REFUSED_MOVED, REFUSED_MOVED, ONE_TRY),
    "401 and 429 on a retry are not final": (REFUSED_MOVED, REFUSED_MOVED, ONE_TRY),
    "no POST after the window": (TWICE, TWICE, ONE_TRY),
    "absence alone concludes nothing": (REFUSED_MOVED, TWICE, TWO_TRIES),
    "a crash is not «not sent»": (VOID_MOVED, TWICE, ONE_TRY),
    "the permission is perishable": (REFUSED_MOVED, TWICE, TWO_TRIES),
    "a late refusal is only appended": (REFUSED_MOVED, REFUSED_MOVED, ONE_TRY),
    "review decides with a look": (REFUSED_MOVED, REFUSED_MOVED, ONE_TRY),
    "the number is taken inside T1": (GAP, GAP, ONE_TRY),
    "a retry keeps its number": (CHANGED, CHANGED, TWO_TRIES),
    "a retry only when nothing is open": (TWO_OPEN, TWICE, TWO_TRIES),
    "T1 is a compare-and-set": (CHANGED, TWICE, TWO_TRIES),
    "void only when refused or withdrawn unsent": (DISAGREE, VOID_MOVED, ONE_TRY),
    "void keeps the number": (GAP, GAP, ONE_TRY),
    "a refusal deletes nothing": (GAP, GAP, ONE_TRY),
    "a refusal does not return to draft": (GAP, GAP, ONE_TRY),
    "void is final": (VOID_BACK, VOID_BACK, TWO_TRIES),
    "voucher not at T1": (VOUCHER, VOUCHER, ONE_TRY),
    "voucher not in a second transaction": (VOUCHER, VOUCHER, ONE_TRY),
    "keep only when refused": (DISAGREE, KEPT_MOVED, ONE_TRY),
    "unknown keeps its reservation": (TWO_OPEN, TWICE, ONE_TRY),
    "keep counts open operations": (LINE_TWICE, LINE_TWICE, ONE_TRY),
    "the look before the first send": (PAST_DRIFT, PAST_DRIFT, ONE_TRY),
}
SECOND_WALLS = ("T3x keeps the answer",)
"""Rules without which nothing breaks; it only takes longer."""


def told(ways: dict[str, list[str]]) -> str:
    return "\n".join(f"{kind}: {' → '.join(way)}" for kind, way in ways.items())


@pytest.mark.parametrize("size", SIZES)
def test_no_state_is_wrong_and_from_none_is_there_no_way_out(size: dict[str, bool | int]) -> None:
    """Operations 17: money at most once, gapless numbers, vouchers as issued; and every question can be ended."""
    search = Search(Protocol(**size))  # type: ignore[arg-type]
    found = search.run()
    assert not found.violations, told(found.violations)
    search.look_for_dead_ends()
    assert not found.dead_ends, told(found.dead_ends)
    assert found.states > 10_000, "the model has become too small to show anything"


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_left_out_alone_breaks_something(rule: str) -> None:
    """The table of operations 17: the first violation is of the kind that is told here, the one it names comes with it."""
    first, named, size = BROKEN[rule]
    found = Search(Protocol(off=frozenset({rule}), **size)).run(until=lambda seen: bool(seen.violations))
    assert found.first == first, told(found.violations)
    if named != first:
        search = Search(Protocol(off=frozenset({rule}), **size))
        found = search.run(until=lambda seen: named in seen.violations, seeking=named)
        assert named in found.violations, sorted(found.violations)


@pytest.mark.parametrize("rule", SECOND_WALLS)
@pytest.mark.parametrize("size", [{**ONE_TRY, "portal": False}, {**TWO_TRIES, "portal": False}], ids=["sends", "tries"])
def test_without_a_second_wall_nothing_breaks_and_everything_still_ends(size: dict[str, bool | int], rule: str) -> None:
    """Operations 17: the lease runs out, and the same key brings the same answer back."""
    search = Search(Protocol(off=frozenset({rule}), **size))  # type: ignore[arg-type]
    found = search.run()
    search.look_for_dead_ends()
    assert not found.violations and not found.dead_ends, told(found.violations | found.dead_ends)


def test_every_rule_has_its_place_in_the_table() -> None:
    assert set(RULES) == set(BROKEN) | set(SECOND_WALLS)
    with pytest.raises(ValueError, match="no such rule"):
        Protocol(off=frozenset({"a rule nobody knows"}))


def test_the_states_of_the_model_are_the_products() -> None:
    """Model and product use the same words, so that a state added to one is missed in the other."""
    assert {state.value for state in OPEN_OPS} == set(protocol.OPEN)
    assert {state.value for state in OpState} == {
        *protocol.OPEN, protocol.CONFIRMED, protocol.REJECTED, protocol.NOT_EXECUTED, "EXTERNAL",
    }  # fmt: skip
    assert {state.value for state in DocState} == {
        protocol.DRAFT, protocol.PENDING, protocol.REFUSED, protocol.ISSUED, protocol.VOID,
    }  # fmt: skip
    assert not DOC_MOVES[DocState.VOID] and not DOC_MOVES[DocState.ISSUED]
