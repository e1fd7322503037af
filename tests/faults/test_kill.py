"""SIGKILL at each named point of a capture and of a refund with goods coming back (invariants 2, rows 1-7).

The process that dies is a child of its own; the test's process is the one that is started afterwards. Once per point on
SQLite; a choice of points on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from db import writing
from errors import Refusal
from klarna_sandbox.control import Control
from models import Voucher
from services import janitor, reservations
from services.gateway import Gateway
from states import DocState, OpState
from tests import builders
from tests.faults.aftermath import (
    CAPTURE,
    REFUND,
    TO_BE,
    MoneyAct,
    answers_of,
    count,
    hurry,
    recover,
    require_nothing,
    require_one_effect,
    require_whole,
)
from tests.faults.conftest import Life
from tests.faults.moved_clock import MovedClock

Live = Callable[..., Life]
BOTH = pytest.mark.parametrize("operation", [CAPTURE, REFUND])
SENT = {"wire.first_byte": 1, "wire.sent": 1, "wire.answer": 1, "T3.before_commit": 1}
"""How many requests have certainly been handed to the socket by then."""


def die(live: Live, act: MoneyAct, point: str, **more: object) -> None:
    live(act.name, point=point, **act.wish, **more).died()


def require_same_form_same_answer(klarna: Gateway, sandbox: Control, act: MoneyAct) -> None:
    """The form, sent again by whoever never saw an answer, gives the document that is there and does nothing more."""
    posts = len(sandbox.posts())
    document = act.document()
    assert document is not None and act.press(klarna) == document.id
    assert len(sandbox.posts()) == posts
    require_one_effect(act, sandbox)


# --- Row 1: before T1 commits -------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("point", ["look.after", "T1.before_commit"])
def test_row_01_killed_before_the_intent_nothing_has_happened_and_the_form_can_be_sent_again(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Row 1: no operation, no number used, no reservation; draft kept; the form can be sent again."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, point)
    require_nothing(act, sandbox)
    require_whole()
    recover(klarna, moved)
    require_nothing(act, sandbox)
    act.press(klarna)
    require_one_effect(act, sandbox)
    require_whole()


# --- Row 2: after T1, before T2 -------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("point", ["T1.after_commit", "T2.before_commit"])
def test_row_02_killed_after_the_intent_it_is_not_sent_and_send_now_works(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Row 2: PREPARED, pending with its number; never sent silently; *send now* makes one effect."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, point)
    document = act.document()
    assert document is not None and document.state is DocState.PENDING
    assert [op.state for op in act.ops()] == [OpState.PREPARED] and not answers_of(act)
    require_whole()
    recover(klarna, moved)
    assert [op.state for op in act.ops()] == [OpState.PREPARED] and not act.effects(sandbox)
    assert act.press(klarna) == document.id and not act.effects(sandbox)
    reservations.send_now(klarna, builders.CLERK, document.id)
    require_same_form_same_answer(klarna, sandbox, act)
    require_whole()


@BOTH
@pytest.mark.only_on("sqlite")
def test_row_02_killed_after_the_intent_it_can_be_withdrawn_and_is_void_with_its_number(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Row 2: *withdraw* makes it void; the number stays, the rows are free for the next."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, "T1.after_commit")
    document = act.document()
    assert document is not None
    with writing() as session:
        reservations.withdraw(session, builders.CLERK, document.id)
    gone = builders.the_document(document.id)
    assert gone.state is DocState.VOID and gone.number_text == document.number_text
    assert not act.effects(sandbox) and not act.vouchers()
    recover(klarna, moved)
    with pytest.raises(Refusal, match="nothing waiting"):
        reservations.send_now(klarna, builders.CLERK, document.id)
    assert not sandbox.posts(operation=operation)
    require_whole()


# --- Rows 3-5: on the way -------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    "point",
    [
        pytest.param("T2.after_commit", id="row_03_after_the_permission"),
        pytest.param("wire.connected", id="row_03_connected"),
        pytest.param("wire.first_byte", id="row_04_first_bytes_out"),
        pytest.param("wire.sent", id="row_04_request_out"),
        pytest.param("wire.answer", id="row_05_answer_in_hand"),
        pytest.param("T3.before_commit", id="row_06_before_the_commit"),
    ],
)
def test_rows_03_to_06_killed_on_the_way_it_ends_as_one_effect(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Rows 3-6: nothing is concluded before the lease is past; then UNKNOWN, the same key, one effect, T1's number."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, point)
    document = act.document()
    assert document is not None and document.state is DocState.PENDING and not act.vouchers()
    assert [op.state for op in act.ops()] == [OpState.SENDING]
    assert [answer for _, answer in answers_of(act)] == [None]
    janitor.run(klarna)
    assert [op.state for op in act.ops()] == [OpState.SENDING], "the sender may still be alive"
    moved.move(seconds=100)
    janitor.run(klarna)
    assert [op.state for op in act.ops()] == [OpState.UNKNOWN]
    require_whole()
    janitor.run(klarna)
    require_same_form_same_answer(klarna, sandbox, act)
    after = act.document()
    assert after is not None and after.number_text == document.number_text
    assert len(sandbox.posts(operation=operation)) >= SENT.get(point, 0)
    require_whole()


@BOTH
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("point", ["T2.after_commit", "wire.sent", "wire.answer"])
def test_rows_03_to_05_where_klarna_cannot_be_looked_at_the_same_key_brings_the_same_answer(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Rows 3-5: the look fails, so the same POST with the same key is repeated; Klarna replays its 201."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, point)
    sandbox.fault("server_error", operation="get_order", times=0)
    recover(klarna, moved)
    assert act.vouchers() == 1
    sandbox.clear_faults()
    require_one_effect(act, sandbox)
    posts = sandbox.posts(operation=operation)
    assert len(posts) == (1 if point == "T2.after_commit" else 2)
    require_whole()


# --- Row 6: inside T3 -----------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.only_on("sqlite")
def test_row_06_killed_at_each_statement_of_the_outcome_it_is_all_or_nothing(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Row 6: at every statement of T3, until a process lives through it; both series are gapless at the end."""
    at = 0
    while True:
        at += 1 if operation == CAPTURE or at < 3 else 4
        act = TO_BE[operation](klarna, sandbox)
        life = live(act.name, point=f"T3.statement_{at}", **act.wish)
        if life.ended() == 0:
            break
        life.died()
        assert [op.state for op in act.ops()] == [OpState.SENDING] and not act.vouchers() and not act.restocked()
        assert [answer for _, answer in answers_of(act)] == [None]
        recover(klarna, moved)
        sandbox.move_clock(seconds=100)
        require_one_effect(act, sandbox)
    require_one_effect(act, sandbox)
    assert at > 20, "T3 has more statements than that"
    require_whole()


# --- Row 7: after T3 ------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.only_on("sqlite")
def test_row_07_killed_after_the_outcome_the_same_form_shows_it_and_nothing_is_repeated(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Row 7: issued; reload shows it; nothing repeated; Klarna's own number is filled in by a look of the janitor's."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, "T3.after_commit")
    require_one_effect(act, sandbox)
    require_same_form_same_answer(klarna, sandbox, act)
    assert act.ops()[0].klarna_event_at is None
    recover(klarna, moved)
    assert act.ops()[0].klarna_event_at is not None
    assert len(sandbox.posts(operation=operation)) == 1
    require_whole()


# --- T3x: our own side failed, then the process died ----------------------------------------------------------------------


@BOTH
@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("point", ["T3x.before_commit", "T3x.after_commit"])
def test_row_06_killed_while_keeping_the_answer_of_a_failed_booking_it_is_booked_once(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str, point: str
) -> None:
    """Rows 6 and 63: with the answer kept, it is booked from it without a call; without, the key brings it back."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, point, booking_fails=True)
    kept = point == "T3x.after_commit"
    assert [op.state for op in act.ops()] == [OpState.UNKNOWN if kept else OpState.SENDING]
    assert [answer is not None for _, answer in answers_of(act)] == [kept]
    calls = len(sandbox.log())
    if kept:
        hurry(act)
        janitor.run(klarna)
        assert act.vouchers() == 1 and len(sandbox.posts()) == len({p["idempotency_key"] for p in sandbox.posts()})
        assert [entry for entry in sandbox.log()[calls:] if entry["method"] != "GET"] == []
    else:
        recover(klarna, moved)
    require_one_effect(act, sandbox)
    assert count(Voucher) == act.stands + 1
    require_whole()


# --- PostgreSQL, at the points that are about the database ----------------------------------------------------------------


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize(
    ("point", "operation"),
    [
        ("T1.before_commit", REFUND),
        ("T1.after_commit", CAPTURE),
        ("T2.before_commit", REFUND),
        ("T2.after_commit", CAPTURE),
        ("wire.sent", REFUND),
        ("T3.statement_7", CAPTURE),
        ("T3.statement_19", REFUND),
        ("T3.before_commit", CAPTURE),
        ("T3.after_commit", REFUND),
    ],
)
def test_rows_01_to_07_hold_on_postgresql(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, point: str, operation: str
) -> None:
    """Rows 1-7: the server rolls back what its dead client had begun, and lets go of its locks."""
    act = TO_BE[operation](klarna, sandbox)
    die(live, act, point)
    if point == "T1.before_commit":
        require_nothing(act, sandbox)
        act.press(klarna)
    elif point in ("T1.after_commit", "T2.before_commit"):
        (op,) = act.ops()
        assert op.state is OpState.PREPARED and op.document_id is not None
        reservations.send_now(klarna, builders.CLERK, op.document_id)
    elif point != "T3.after_commit":
        assert [op.state for op in act.ops()] == [OpState.SENDING] and not act.vouchers() and not act.restocked()
        recover(klarna, moved)
    require_same_form_same_answer(klarna, sandbox, act)
    require_whole()
