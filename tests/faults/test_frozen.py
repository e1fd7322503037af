"""A process frozen between its beats, woken when the janitor has done its work (invariants 2, rows 26, 53 and 54).

The process is a real one and stops itself with SIGSTOP; the clock of all processes is moved meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from klarna_sandbox.control import Control
from models import KlarnaBreak
from services import decisions, janitor, operations, reservations
from services.gateway import Gateway
from states import AnswerClass, DocState, OpState
from tests import builders
from tests.faults.aftermath import (
    CAPTURE,
    REFUND,
    TO_BE,
    MoneyAct,
    answers_of,
    count,
    recover,
    require_one_effect,
    require_whole,
)
from tests.faults.conftest import Life
from tests.faults.moved_clock import MovedClock

pytestmark = pytest.mark.only_on("sqlite")
Live = Callable[..., Life]
BOTH = pytest.mark.parametrize("operation", [CAPTURE, REFUND])
BEFORE_THE_BYTES = pytest.mark.parametrize("point", ["wire.before", "wire.connected"])


def freeze(live: Live, act: MoneyAct, point: str, **more: object) -> Life:
    life = live(act.name, point=point, signal="STOP", **act.wish, **more)
    life.frozen()
    return life


def states(act: MoneyAct) -> list[OpState]:
    return [op.state for op in act.ops()]


def classes(act: MoneyAct) -> list[AnswerClass | None]:
    return [answer.answer_class if answer else None for _, answer in answers_of(act)]


def late(act: MoneyAct) -> list[bool | None]:
    return [answer.late if answer else None for _, answer in answers_of(act)]


# --- Row 53: between T2 and the socket --------------------------------------------------------------------------------------


@BEFORE_THE_BYTES
@BOTH
def test_row_53_woken_after_30_s_nothing_leaves_and_send_now_works(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Row 53, M12: the permission of 20 s is stale, the lease of 90 s is not: NOT_SENT, PREPARED again."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, point)
    moved.move(seconds=30)
    janitor.run(klarna)
    assert states(act) == [OpState.SENDING]
    life.wake()
    assert not sandbox.posts(operation=operation)
    assert states(act) == [OpState.PREPARED] and classes(act) == [AnswerClass.NOT_SENT] and late(act) == [False]
    (op,) = act.ops()
    assert op.first_sent_at is None and op.post_allowed_until is None and op.document_id is not None
    require_whole()
    reservations.send_now(klarna, builders.CLERK, op.document_id)
    require_one_effect(act, sandbox)
    require_whole()


@BEFORE_THE_BYTES
@BOTH
def test_row_53_woken_after_2_h_nothing_leaves_beside_what_the_janitor_has_sent(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Row 53: the janitor has sent it with the same key meanwhile; the woken process adds that it sent nothing."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, point)
    moved.move(hours=2)
    recover(klarna, moved)
    require_one_effect(act, sandbox)
    posts = len(sandbox.posts())
    life.wake()
    assert len(sandbox.posts()) == posts
    assert classes(act) == [AnswerClass.NOT_SENT, AnswerClass.ANSWER] and late(act) == [True, False]
    require_one_effect(act, sandbox)
    require_whole()


@BOTH
def test_row_53_woken_after_25_h_nothing_leaves_and_a_person_decides(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Row 53: the key may be forgotten by then, so a second act would be a second effect; refused, then tried again."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, "wire.before")
    moved.move(hours=25)
    recover(klarna, moved)
    assert states(act) == [OpState.REVIEW] and not sandbox.posts(operation=operation)
    life.wake()
    assert states(act) == [OpState.REVIEW] and late(act) == [True] and not sandbox.posts(operation=operation)
    document_id = act.ops()[0].document_id
    assert document_id is not None
    assert decisions.did_not_happen(klarna, builders.FINANCE, document_id, "inget hos Klarna")
    reservations.retry(klarna, builders.FINANCE, document_id, builders.a_money_form(0))
    assert states(act) == [OpState.NOT_EXECUTED, OpState.CONFIRMED]
    assert len(act.effects(sandbox)) == 1 and act.vouchers() == 1
    require_whole()


@BOTH
def test_row_53_woken_after_25_h_before_any_janitor_nothing_leaves_either(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Row 53: the janitor has resolved it, or does."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, "wire.connected")
    moved.move(hours=25)
    life.wake()
    assert not sandbox.posts(operation=operation) and states(act) == [OpState.PREPARED]
    recover(klarna, moved)
    assert states(act) == [OpState.PREPARED], "it is never sent silently a day later"
    document_id = act.ops()[0].document_id
    assert document_id is not None
    reservations.send_now(klarna, builders.CLERK, document_id)
    require_one_effect(act, sandbox)
    require_whole()


@pytest.mark.parametrize("which", ["move_wall", "move_monotonic"])
def test_row_53_either_clock_is_enough_to_find_the_permission_stale(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, which: str
) -> None:
    """Row 53, operations 6: a machine that slept shows it on the wall, a wall clock set back on the monotonic one."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    life = freeze(live, act, "wire.connected")
    getattr(moved, which)(minutes=30)
    life.wake()
    assert not sandbox.posts(operation=CAPTURE) and states(act) == [OpState.PREPARED]
    require_whole()


def test_row_53_a_process_that_was_not_frozen_sends(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock
) -> None:
    """Control of the tests above: frozen and woken at once, the same process sends."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    freeze(live, act, "wire.connected").wake()
    require_one_effect(act, sandbox)


# --- Row 54: after the request left -----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("looked_at", [True, False], ids=["by_a_look", "by_the_same_key"])
def test_row_54_woken_after_the_janitor_confirmed_the_late_answer_is_appended_and_it_is_issued_once(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, looked_at: bool
) -> None:
    """Row 54: proof came by the look, or by the replayed 201; the first one's answer is kept as late."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, "wire.sent")
    if not looked_at:
        sandbox.fault("server_error", operation="get_order", times=0)
    moved.move(hours=2)
    recover(klarna, moved)
    sandbox.clear_faults()
    require_one_effect(act, sandbox)
    life.wake()
    assert late(act) == ([True] if looked_at else [True, False])
    assert classes(act)[0] is AnswerClass.ANSWER
    require_one_effect(act, sandbox)
    assert not count(KlarnaBreak)
    require_whole()


@BOTH
def test_row_54_a_late_201_confirms_what_waits_in_review(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Operations 6 and 3: REVIEW → CONFIRMED by a late 2xx, when Klarna's look has not shown it."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, "wire.sent")
    sandbox.fault("lag", operation="get_order", times=0)
    moved.move(hours=25)
    recover(klarna, moved)
    assert states(act) == [OpState.REVIEW] and not act.vouchers()
    sandbox.clear_faults()
    life.wake()
    require_one_effect(act, sandbox)
    require_whole()


@BOTH
def test_row_54_a_late_refusal_is_only_appended(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Operations 6: the first request was refused, unheard; the second was done. The late no changes nothing."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.fault("refuse", operation=operation, error_code="NOT_ALLOWED")
    sandbox.fault("forget_key", operation=operation)
    life = freeze(live, act, "wire.sent")
    moved.move(minutes=3)
    recover(klarna, moved)
    require_one_effect(act, sandbox)
    life.wake()
    assert late(act) == [True, False]
    require_one_effect(act, sandbox)
    require_whole()


@BOTH
def test_row_54_a_late_refusal_closes_nothing_while_the_answer_is_unknown(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Operations 6 and 7: UNKNOWN stays UNKNOWN; the janitor asks, waits its quiet time and then refuses, by rule 5."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.fault("refuse", operation=operation, error_code="NOT_ALLOWED")
    life = freeze(live, act, "wire.sent")
    recover(klarna, moved, rounds=1)
    life.wake()
    assert states(act) == [OpState.UNKNOWN] and late(act) == [True]
    janitor.run(klarna)
    assert states(act) == [OpState.UNKNOWN] and act.ops()[0].refused_on_retry
    moved.move(minutes=14)
    janitor.run(klarna)
    assert states(act) == [OpState.UNKNOWN], "the quiet time is 15 minutes"
    moved.move(minutes=2)
    janitor.run(klarna)
    assert states(act) == [OpState.REJECTED] and not act.effects(sandbox) and not act.vouchers()
    require_whole()


# --- Row 26: the lease is lost ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("rounds", [1, 2], ids=["unknown_by_then", "confirmed_by_then"])
def test_row_26_a_sender_that_lost_its_lease_appends_its_201_and_it_is_issued_once(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, rounds: int
) -> None:
    """Row 26: the compare-and-set loses; the answer is kept as late, and still proves."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, "wire.answer")
    recover(klarna, moved, rounds=rounds)
    assert states(act) == [OpState.UNKNOWN if rounds == 1 else OpState.CONFIRMED]
    life.wake()
    assert late(act) == [True]
    require_one_effect(act, sandbox)
    janitor.run(klarna)
    require_one_effect(act, sandbox)
    require_whole()


@BOTH
def test_row_26_a_late_201_proves_it_while_the_janitor_is_asking_again(
    books: Flask,
    klarna: Gateway,
    sandbox: Control,
    live: Live,
    moved: MovedClock,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 26: the first sender comes back while the second request is on the wire; one of the two books it."""
    act = TO_BE[operation](klarna, sandbox)
    life = freeze(live, act, "wire.answer")
    sandbox.fault("server_error", operation="get_order", times=0)
    send = operations.send

    def meanwhile(gateway: Gateway, permission: operations.Permission) -> operations.Outcome:
        outcome = send(gateway, permission)
        assert states(act) == [OpState.SENDING]
        life.wake()
        assert act.vouchers() == 1
        return outcome

    monkeypatch.setattr(operations, "send", meanwhile)
    recover(klarna, moved)
    sandbox.clear_faults()
    assert late(act) == [True, True]
    require_one_effect(act, sandbox)
    require_whole()


@pytest.mark.parametrize("point", ["T3.statement_3", "T3.statement_12"])
def test_row_26_a_sender_frozen_inside_its_outcome_holds_the_books_until_it_is_woken(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, point: str
) -> None:
    """Rows 26 and 37: nobody writes past a transaction that is open; when it goes on, all of it is done, once."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    life = freeze(live, act, point)
    assert states(act) == [OpState.SENDING] and not act.vouchers()
    life.wake()
    document = act.document()
    assert document is not None and document.state is DocState.ISSUED
    require_one_effect(act, sandbox)
    require_whole()
