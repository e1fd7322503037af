"""Credentials, clocks, days, and documents in each other's way (invariants 2, rows 16, 18, 22, 61, 62, 64, 65, 72)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from errors import Refusal
from klarna_sandbox.control import Control
from models import Document, FiscalYear, KlarnaAccount, KlarnaBreak, KlarnaOp, Order, Voucher
from services import credit_drafts, decisions, janitor, orders, periods, reservations
from services.gateway import Gateway
from services.reservations import MoneyForm, NotReached
from states import BreakKind, BreakState, DocState, OpState, RefusalKind, WithoutKlarna
from tests import builders
from tests.builders import CLERK, FINANCE
from tests.faults.aftermath import (
    CAPTURE,
    REFUND,
    TO_BE,
    MoneyAct,
    an_invoice_to_be,
    answers_of,
    count,
    hurry,
    recover,
    require_one_effect,
    require_whole,
)
from tests.faults.conftest import Life
from tests.faults.moved_clock import MovedClock

pytestmark = pytest.mark.only_on("sqlite")
Live = Callable[..., Life]
BOTH = pytest.mark.parametrize("operation", [CAPTURE, REFUND])
NOT_ALLOWED = {CAPTURE: "CAPTURE_NOT_ALLOWED", REFUND: "REFUND_NOT_ALLOWED"}


def refused(klarna: Gateway, sandbox: Control, act: MoneyAct) -> int:
    """Press the button of an act that Klarna refuses; the document's id."""
    sandbox.fault("refuse", operation=act.operation, error_code=NOT_ALLOWED[act.operation])
    document_id = act.press(klarna)
    assert builders.the_document(document_id).state is DocState.REFUSED
    return document_id


def a_draft(klarna: Gateway, invoice_id: int, *, without: bool = False, actor: object = FINANCE) -> tuple[int, int]:
    """A draft with all that is left of an invoice; its id and sum."""
    with writing() as session:
        draft = credit_drafts.start(session, actor, invoice_id)  # type: ignore[arg-type]
        credit_drafts.set_options(
            session,
            actor,  # type: ignore[arg-type]
            draft.id,
            restock=True,
            warehouse_id=None,
            without_klarna=without,
            reason=WithoutKlarna.EVEN_EXCHANGE if without else "",
        )
        return draft.id, credit_drafts.figures(session, draft).gross_minor


def new_credentials() -> None:
    """What an administrator does when the right ones are typed: the breaker closes."""
    with writing() as session:
        account = session.scalars(sa.select(KlarnaAccount)).one()
        account.breaker = account.breaker_until = None


# --- Row 16: credentials changed in the middle of the day -------------------------------------------------------------------


@BOTH
def test_row_16_refused_credentials_stop_everything_and_lose_nothing(
    books: Flask, klarna: Gateway, sandbox: Control, operation: str
) -> None:
    """Row 16: the act waits as PREPARED, the next takes no number and makes no call; a person sends it afterwards."""
    act = TO_BE[operation](klarna, sandbox)
    other = an_invoice_to_be(klarna, sandbox)
    sandbox.fault("unauthorized", operation=operation)
    document_id = act.press(klarna)
    (op,) = act.ops()
    assert (op.state, op.hold_reason, op.next_run_at) == (OpState.PREPARED, "credentials", None)
    calls = len(sandbox.log())
    with pytest.raises(NotReached, match="credentials"):
        other.press(klarna)
    with pytest.raises(NotReached, match="credentials"):
        reservations.send_now(klarna, CLERK, document_id)
    assert janitor.run(klarna) == 0 and len(sandbox.log()) == calls and other.document() is None
    require_whole()
    new_credentials()
    reservations.send_now(klarna, CLERK, document_id)
    require_one_effect(act, sandbox)
    other.press(klarna)
    require_one_effect(other, sandbox)
    require_whole()


@BOTH
def test_row_16_refused_credentials_after_a_lost_answer_close_nothing(
    books: Flask, klarna: Gateway, sandbox: Control, moved: MovedClock, operation: str
) -> None:
    """Row 16, operations 7: a 401 on a retry says nothing of the first; UNKNOWN stays, and ends right."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.fault("drop_after", operation=operation)
    sandbox.fault("server_error", operation="get_order", skip=1, times=0)
    act.press(klarna)
    sandbox.fault("unauthorized", operation=operation)
    recover(klarna, moved)
    assert [op.state for op in act.ops()] == [OpState.UNKNOWN]
    sandbox.clear_faults()
    calls = len(sandbox.log())
    moved.move(minutes=10)
    janitor.run(klarna)
    assert len(sandbox.log()) == calls, "no call while the credentials are known to be wrong"
    new_credentials()
    moved.move(minutes=40)
    janitor.run(klarna)
    require_one_effect(act, sandbox)
    require_whole()


@pytest.mark.parametrize("fault", ["unauthorized", "too_many"])
def test_row_16_what_klarna_turned_away_unread_can_be_withdrawn(
    books: Flask, klarna: Gateway, sandbox: Control, fault: str
) -> None:
    """Row 16, operations 7 and 11: 401 and 429 are answered before the act is looked at, so nothing is there to wait for."""
    act = TO_BE[CAPTURE](klarna, sandbox)
    sandbox.fault(fault, operation=CAPTURE)
    document_id = act.press(klarna)
    with writing() as session:
        reservations.withdraw(session, CLERK, document_id)
    assert builders.the_document(document_id).state is DocState.VOID and not act.effects(sandbox)
    require_whole()


# --- Row 18: the key is forgotten -------------------------------------------------------------------------------------------


@BOTH
def test_row_18_a_forgotten_key_meets_klarnas_own_limit_and_the_look_finds_the_number(
    books: Flask, klarna: Gateway, sandbox: Control, moved: MovedClock, operation: str
) -> None:
    """Row 18: the first was done and its answer lost; the retry is refused; nothing is concluded from that."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.fault("drop_after", operation=operation)
    sandbox.fault("forget_key", operation=operation)
    sandbox.fault("server_error", operation="get_order", skip=1, times=0)
    act.press(klarna)
    recover(klarna, moved)
    (op,) = act.ops()
    assert op.state is OpState.UNKNOWN and op.refused_on_retry and not act.vouchers()
    assert answers_of(act)[-1][1].error_code == NOT_ALLOWED[operation]  # type: ignore[union-attr]
    sandbox.clear_faults()
    moved.move(minutes=16)
    janitor.run(klarna)
    require_one_effect(act, sandbox)
    require_whole()


# --- Row 22: the clock steps --------------------------------------------------------------------------------------------------


@BOTH
def test_row_22_a_clock_that_steps_back_sends_nothing_until_it_is_right_again(
    books: Flask, klarna: Gateway, sandbox: Control, moved: MovedClock, operation: str
) -> None:
    """Row 22: now lies before the last send, so the window counts as closed: looks only."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.fault("drop_before", operation=operation)
    act.press(klarna)
    assert [op.state for op in act.ops()] == [OpState.UNKNOWN]
    posts = len(sandbox.posts(operation=operation))
    moved.move_wall(hours=-2)
    with writing() as session:
        session.execute(sa.update(KlarnaOp).values(next_run_at=clock.now() - timedelta(minutes=1)))
    seen = len(sandbox.log(operation="get_order"))
    assert janitor.run(klarna) == 1
    assert len(sandbox.log(operation="get_order")) > seen and len(sandbox.posts(operation=operation)) == posts
    moved.move_wall(hours=2)
    moved.move(minutes=3)
    hurry(act)
    janitor.run(klarna)
    require_one_effect(act, sandbox)
    require_whole()


@BOTH
def test_row_22_a_clock_that_leaps_25_h_sends_nothing_and_a_look_still_proves(
    books: Flask, klarna: Gateway, sandbox: Control, moved: MovedClock, operation: str
) -> None:
    """Row 22: the window counts as closed; set right again it stays closed, and the look or a person ends it."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.fault("drop_before", operation=operation)
    document_id = act.press(klarna)
    posts = len(sandbox.posts(operation=operation))
    moved.move_wall(hours=25)
    janitor.run(klarna)
    assert [op.state for op in act.ops()] == [OpState.REVIEW]
    moved.move_wall(hours=-25)
    hurry(act)
    janitor.run(klarna)
    assert [op.state for op in act.ops()] == [OpState.REVIEW]
    assert len(sandbox.posts(operation=operation)) == posts
    assert decisions.did_not_happen(klarna, FINANCE, document_id, "klockan gick fel")
    reservations.retry(klarna, FINANCE, document_id, builders.a_money_form(0))
    assert len(act.effects(sandbox)) == 1 and act.vouchers() == 1
    require_whole(but=["M10"])  # it compares instants, and one was written by the wrong clock


# --- Rows 61 and 62: documents in each other's way ----------------------------------------------------------------------------


def test_row_61_rows_of_a_pending_credit_note_are_not_credited_without_klarna_either(
    books: Flask, klarna: Gateway, sandbox: Control
) -> None:
    """Row 61, I1: 409 naming the one that waits, by a new credit note and by keeping a refused one."""
    invoice = builders.a_captured_invoice(klarna, sandbox, lines=[builders.row("T-shirt", 49_900, pieces=2)])
    first, total = a_draft(klarna, invoice.id, actor=CLERK)
    second, _ = a_draft(klarna, invoice.id, without=True)
    sandbox.fault("drop_before", operation=REFUND)
    reservations.credit(klarna, CLERK, first, MoneyForm(secrets.token_hex(16), total))
    number = builders.the_document(first).number_text
    with pytest.raises(Refusal, match=f"about credit note {number}"):
        reservations.credit(klarna, FINANCE, second, MoneyForm(secrets.token_hex(16), total))
    with pytest.raises(Refusal, match="Only a refused document"):
        reservations.keep_without_klarna(klarna, FINANCE, first, WithoutKlarna.EVEN_EXCHANGE, False)
    assert builders.the_document(second).state is DocState.DRAFT and not sandbox.writes(operation=REFUND)
    require_whole()


def test_row_62_new_documents_on_the_rows_of_a_refused_one_await_its_decision(
    books: Flask, klarna: Gateway, sandbox: Control
) -> None:
    """Row 62: 409 naming it, for an invoice and for a credit note; voided, the way is free."""
    act = an_invoice_to_be(klarna, sandbox)
    invoice_id = refused(klarna, sandbox, act)
    with pytest.raises(Refusal, match="Invoice 42580 awaits a decision"):
        reservations.invoice(
            klarna, CLERK, act.order.id, builders.DocType.DELIVERY, MoneyForm(secrets.token_hex(16), 104_700)
        )
    with writing() as session:
        reservations.void(session, CLERK, invoice_id, "fel")
    invoice = builders.an_invoice(klarna, act.order)
    assert invoice.state is DocState.ISSUED and invoice.number_text == "42581"
    mine, total = a_draft(klarna, invoice.id, actor=CLERK)
    other, _ = a_draft(klarna, invoice.id)
    sandbox.fault("refuse", operation=REFUND, error_code="REFUND_NOT_ALLOWED")
    reservations.credit(klarna, CLERK, mine, MoneyForm(secrets.token_hex(16), total))
    with pytest.raises(Refusal, match="Credit note 42582 awaits a decision"):
        reservations.credit(klarna, FINANCE, other, MoneyForm(secrets.token_hex(16), total))
    require_whole()


def test_row_62_a_refused_credit_note_whose_rows_were_used_since_can_only_be_voided(
    books: Flask, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 62: another credit note on its rows, let in here as an adoption lets one in; then neither again nor kept."""
    invoice = builders.a_captured_invoice(klarna, sandbox, lines=[builders.row("T-shirt", 49_900, pieces=2)])
    mine, total = a_draft(klarna, invoice.id, actor=CLERK)
    other, _ = a_draft(klarna, invoice.id, without=True)
    sandbox.fault("refuse", operation=REFUND, error_code="REFUND_NOT_ALLOWED")
    reservations.credit(klarna, CLERK, mine, MoneyForm(secrets.token_hex(16), total))
    with monkeypatch.context() as adopting:
        adopting.setattr(orders, "require_nothing_refused", lambda *_: None)
        reservations.credit(klarna, FINANCE, other, MoneyForm(secrets.token_hex(16), total))
    posts = len(sandbox.posts())
    with pytest.raises(Refusal, match="only be voided"):
        reservations.retry(klarna, CLERK, mine, builders.a_money_form(0))
    with pytest.raises(Refusal, match="only be voided"):
        reservations.keep_without_klarna(klarna, FINANCE, mine, WithoutKlarna.EVEN_EXCHANGE, False)
    assert len(sandbox.posts()) == posts
    with writing() as session:
        reservations.void(session, CLERK, mine, "redan krediterad")
    require_whole()


# --- Rows 64 and 65: days ---------------------------------------------------------------------------------------------------


@BOTH
def test_row_64_a_period_locked_between_intent_and_outcome_takes_the_voucher_to_the_first_open_day(
    books: Flask, klarna: Gateway, sandbox: Control, live: Live, moved: MovedClock, operation: str
) -> None:
    """Row 64, I12: issued on the day of the answer; voucher on the first open day, with the event's day in its text."""
    act = TO_BE[operation](klarna, sandbox)
    event = clock.today()
    life = live(act.name, point="wire.answer", signal="STOP", **act.wish)
    life.frozen()
    moved.move(days=1)
    with writing() as session:
        periods.lock(session, FINANCE, event, "månaden är avstämd")
    life.wake()
    document = act.document()
    assert document is not None and document.state is DocState.ISSUED and document.issue_date == event
    with reading() as session:
        voucher = session.scalars(sa.select(Voucher).where(Voucher.document_id == document.id)).one()
        assert voucher.day == event + timedelta(days=1) and event.isoformat() in voucher.text
    require_one_effect(act, sandbox)
    require_whole()


@BOTH
@pytest.mark.parametrize("days", [1, 12, 45], ids=["another_day", "another_month", "another_year"])
def test_row_65_tried_again_on_another_day_it_is_issued_then_and_keeps_its_number_and_number_date(
    books: Flask, klarna: Gateway, sandbox: Control, moved: MovedClock, operation: str, days: int
) -> None:
    """Row 65: issue_date and VAT period are the later ones, number_date stays; A5 and I12 hold."""
    act = TO_BE[operation](klarna, sandbox)
    sandbox.expire(act.order.klarna_order_id or "", clock.now() + timedelta(days=80))
    day = clock.today()
    document_id = refused(klarna, sandbox, act)
    number = builders.the_document(document_id).number_text
    moved.move(days=days)
    sandbox.move_clock(days=days)
    reservations.retry(klarna, FINANCE, document_id, builders.a_money_form(0))
    document = builders.the_document(document_id)
    assert (document.state, document.number_text) == (DocState.ISSUED, number)
    assert document.number_date == day and document.issue_date == day + timedelta(days=days) == clock.today()
    with reading() as session:
        voucher = session.scalars(sa.select(Voucher).where(Voucher.document_id == document.id)).one()
        year = session.get_one(FiscalYear, voucher.fiscal_year_id)
        assert voucher.day == document.issue_date and year.starts <= voucher.day <= year.ends
    assert [op.state for op in act.ops()] == [OpState.REJECTED, OpState.CONFIRMED]
    assert len(act.effects(sandbox)) == 1 and len({op.idempotency_key for op in act.ops()}) == 2
    require_whole(but=["M8"])  # no payout has been read meanwhile


# --- Row 72: our number a second time -----------------------------------------------------------------------------------------


def half_captured(klarna: Gateway, sandbox: Control) -> tuple[Document, str]:
    """An order of two rows, one of them delivered and invoiced; the invoice and Klarna's order id."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna, lines=2)
        shirt = orders.get(session, order.id).lines[1]
        builders.a_delivery(session, order, {shirt.id: 1000})
    invoice = builders.an_invoice(klarna, order)
    assert invoice.state is DocState.ISSUED and invoice.gross_minor == 39_900
    return invoice, order.klarna_order_id or ""


@pytest.mark.parametrize("amount", [39_900, 10_000], ids=["same_sum", "another_sum"])
def test_row_72_a_second_object_with_our_number_is_recorded_with_an_alarm_and_the_document_stays(
    books: Flask, klarna: Gateway, sandbox: Control, amount: int
) -> None:
    """Row 72: document stays issued by the first; EXTERNAL, break duplicate_number, found once."""
    invoice, klarna_order_id = half_captured(klarna, sandbox)
    sandbox.portal_capture(klarna_order_id, amount, reference=invoice.number_text)
    for _ in range(2):
        reservations.look_at(klarna, invoice.order_id or 0)
    assert builders.the_document(invoice.id).issued_by_op_id == invoice.issued_by_op_id
    with reading() as session:
        (external,) = session.scalars(sa.select(KlarnaOp).where(KlarnaOp.state == OpState.EXTERNAL))
        (found,) = session.scalars(sa.select(KlarnaBreak))
    assert (found.kind, found.state, found.op_id) == (BreakKind.DUPLICATE_NUMBER, BreakState.OPEN, external.id)
    assert external.amount_minor == amount and external.document_id is None
    assert count(Voucher, Voucher.document_id == invoice.id) == 1
    require_whole()


@BOTH
def test_row_72_our_number_on_another_sum_proves_nothing_and_goes_to_review_with_an_alarm(
    books: Flask, klarna: Gateway, sandbox: Control, moved: MovedClock, operation: str
) -> None:
    """Operations 8: it should be impossible, so a person decides; nothing is posted any more."""
    act = TO_BE[operation](klarna, sandbox, room=True)
    sandbox.fault("drop_before", operation=operation)
    act.press(klarna)
    by_hand = sandbox.portal_capture if operation == CAPTURE else sandbox.portal_refund
    by_hand(act.order.klarna_order_id or "", 10_000, reference=act.ops()[0].reference)
    posts = len(sandbox.posts(operation=operation))
    recover(klarna, moved)
    assert [op.state for op in act.ops()] == [OpState.REVIEW] and len(sandbox.posts(operation=operation)) == posts
    assert count(KlarnaBreak, KlarnaBreak.kind == BreakKind.DUPLICATE_NUMBER) == 1 and not act.vouchers()
    require_whole()


@BOTH
def test_row_72_our_number_on_another_sum_forbids_the_first_send(
    books: Flask, klarna: Gateway, sandbox: Control, operation: str
) -> None:
    """Operations 6, T2 (c): no object with our number; tried again, nothing is sent even where the difference is ticked."""
    act = TO_BE[operation](klarna, sandbox, room=True)
    document_id = refused(klarna, sandbox, act)
    by_hand = sandbox.portal_capture if operation == CAPTURE else sandbox.portal_refund
    by_hand(act.order.klarna_order_id or "", 100, reference=act.ops()[0].reference)
    posts = len(sandbox.posts(operation=operation))
    form = builders.a_money_form(0, accepted_difference_minor=100)
    reservations.retry(klarna, FINANCE, document_id, form)
    document = builders.the_document(document_id)
    assert len(sandbox.posts(operation=operation)) == posts
    assert (document.state, document.refusal_kind) == (DocState.REFUSED, RefusalKind.DRIFT)
    assert [op.state for op in act.ops()] == [OpState.REJECTED, OpState.NOT_EXECUTED]
    require_whole()


@BOTH
def test_row_58_with_no_slot_free_a_number_already_at_klarna_is_not_sent_a_second_time(
    books: Flask, klarna: Gateway, sandbox: Control, operation: str
) -> None:
    """Rows 56 and 58: recorded by a look as made elsewhere, then tried again without one; the worker's look stops it."""
    act = TO_BE[operation](klarna, sandbox, room=True)
    document_id = refused(klarna, sandbox, act)
    by_hand = sandbox.portal_capture if operation == CAPTURE else sandbox.portal_refund
    by_hand(act.order.klarna_order_id or "", act.form.shown_minor, reference=act.ops()[0].reference)
    reservations.look_at(klarna, act.order.id)
    difference = builders.a_money_form(0, accepted_difference_minor=act.form.shown_minor)
    with klarna.slot(), klarna.slot():
        reservations.retry(klarna, FINANCE, document_id, difference)
    posts = len(sandbox.posts(operation=operation))
    janitor.run(klarna)
    assert len(sandbox.posts(operation=operation)) == posts
    assert builders.the_document(document_id).state is DocState.REFUSED
    reservations.retry(klarna, FINANCE, document_id, builders.a_money_form(0))
    assert builders.the_document(document_id).state is DocState.ISSUED
    assert len(sandbox.posts(operation=operation)) == posts and act.vouchers() == 1 and len(act.effects(sandbox)) == 1
    require_whole()


def test_row_72_what_bears_a_waiting_documents_number_stands_for_no_other(
    books: Flask, klarna: Gateway, sandbox: Control
) -> None:
    """K20: a refused credit note whose refund has turned up is not robbed of it by another of the same sum."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna, lines=[builders.row("Tröja", 30_000, pieces=2)])
        line = orders.get(session, order.id).lines[0]
        builders.a_delivery(session, order, {line.id: 1000})
    first = builders.an_invoice(klarna, order)
    with writing() as session:
        builders.a_delivery(session, session.get_one(Order, order.id))
    second = builders.an_invoice(klarna, order)
    mine, total = a_draft(klarna, first.id)
    other, _ = a_draft(klarna, second.id, without=True)
    sandbox.fault("refuse", operation=REFUND, error_code="REFUND_NOT_ALLOWED")
    reservations.credit(klarna, FINANCE, mine, MoneyForm(secrets.token_hex(16), total))
    sandbox.portal_refund(order.klarna_order_id or "", total, reference=builders.the_document(mine).number_text)
    with writing() as session:
        credit_drafts.set_options(
            session, FINANCE, other, restock=False, warehouse_id=None, without_klarna=True, reason="credited_in_portal"
        )
    with pytest.raises(Refusal, match="Confirm that it has been made"):
        reservations.credit(klarna, FINANCE, other, MoneyForm(secrets.token_hex(16), total))
    posts = len(sandbox.posts(operation=REFUND))
    reservations.retry(klarna, FINANCE, mine, builders.a_money_form(0))
    assert builders.the_document(mine).state is DocState.ISSUED and len(sandbox.posts(operation=REFUND)) == posts
    require_whole()
