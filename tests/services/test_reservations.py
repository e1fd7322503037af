"""Money moves once: capture and refund through the three beats, whatever Klarna answers (operations 5-9)."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from freezegun import freeze_time
from sqlalchemy.exc import OperationalError

import clock
from db import reading, transact, writing
from errors import Busy, Malformed, NotAllowed, Refusal, Stale
from models import (
    Account,
    Document,
    FormUse,
    KlarnaAnswer,
    KlarnaBreak,
    KlarnaOp,
    NumberSeries,
    Order,
    StockMovement,
    Voucher,
)
from services import beats, credit_drafts, credit_notes, invoices, janitor, operations, orders, reservations
from services.drift import Differs
from services.reservations import NotReached
from states import BreakKind, DocState, DocType, LineKind, MovementKind, OpState, WithoutKlarna
from tests import worlds
from tests.builders import (
    a_captured_invoice,
    a_delivery,
    a_money_form,
    an_account,
    an_invoice,
    an_order,
    row,
    the_document,
)


def one_order(klarna: Any, sandbox: Any, **fields: Any) -> Order:
    def build() -> Order:
        with writing() as session:
            order = an_order(session, sandbox, klarna, **fields)
            a_delivery(session, order)
            return order

    return build() if fields else worlds.begin("an order, delivered", klarna, sandbox, build)


def proposed(order: Order) -> int:
    with reading() as session:
        return invoices.propose(session, orders.get(session, order.id)).gross_minor


def draft_of(actor: Any, invoice: Document) -> tuple[int, int]:
    """A draft with all that is left; its id and sum."""
    with writing() as session:
        draft = credit_drafts.start(session, actor, invoice.id)
        return draft.id, credit_drafts.figures(session, draft).gross_minor


def count(table: Any, *where: Any) -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0


def last_op(document_id: int) -> KlarnaOp:
    with reading() as session:
        return session.scalars(
            sa.select(KlarnaOp).where(KlarnaOp.document_id == document_id).order_by(KlarnaOp.try_no.desc())
        ).first()  # type: ignore[return-value]


def run_again(document_id: int) -> None:
    """Let the janitor's next time for this document be now."""
    with writing() as session:
        session.execute(
            sa.update(KlarnaOp).where(KlarnaOp.document_id == document_id).values(next_run_at=KlarnaOp.created_at)
        )


# --- What goes well ------------------------------------------------------------------------------------------------------


def test_an_invoice_captures_exactly_its_total_under_its_number(books: Any, klarna: Any, sandbox: Any) -> None:
    """F1, F9, F22, ground rules: amount, reference, line references; Klarna's own number comes back."""
    invoice = a_captured_invoice(
        klarna, sandbox, lines=[row("T-shirt", 49_900, pieces=2), row("Frakt", 4_900, kind=LineKind.FREIGHT)]
    )
    (sent,) = sandbox.posts(operation="create_capture")
    body = sent["body"] if isinstance(sent["body"], dict) else json.loads(sent["body"])
    assert body["captured_amount"] == 104_700 == sum(line["total_amount"] for line in body["order_lines"])
    assert body["reference"] == invoice.number_text == "42580"
    assert [line["reference"] for line in body["order_lines"]] == ["ART-1", "TEXT#2"]
    op = last_op(invoice.id)
    assert op.state is OpState.CONFIRMED and op.klarna_short_ref and op.klarna_short_ref.endswith("-1")
    assert count(Voucher, Voucher.document_id == invoice.id) == 1
    with reading() as session:
        assert session.get_one(Order, invoice.order_id).icon == "captured"
        assert session.get_one(Document, invoice.id).open_minor == 104_700


def test_a_credit_note_refunds_exactly_its_sum_and_puts_goods_back(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K2, K3, K24: one of two pieces, restocked when confirmed."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", 49_900, pieces=2)])
    draft_id, _ = draft_of(clerk, invoice)
    with writing() as session:
        (line,) = credit_drafts.get_draft(session, clerk, draft_id).lines
        credit_drafts.set_quantity(session, clerk, draft_id, line.id, "1")
        credit_drafts.set_options(
            session, clerk, draft_id, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
    reservations.credit(klarna, clerk, draft_id, a_money_form(49_900))
    note = the_document(draft_id)
    assert note.state is DocState.ISSUED and note.number_text == "42581"
    (sent,) = sandbox.posts(operation="create_refund")
    assert (
        json.loads(json.dumps(sent["body"]) if isinstance(sent["body"], dict) else sent["body"])["refunded_amount"]
        == 49_900
    )
    assert count(StockMovement, StockMovement.kind == MovementKind.RETURN, StockMovement.quantity_milli == 1000) == 1
    with reading() as session:
        assert session.get_one(Document, draft_id).open_minor == -49_900


def test_all_of_it_in_two_steps_gives_back_the_originals_ore(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """K38: the last credit takes the remainder, amount and VAT."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("Tvål", 1_001, pieces=3, discount_minor=100, rate=1200)])
    for _ in range(3):
        draft_id, _ = draft_of(finance, invoice)
        with writing() as session:
            (line,) = credit_drafts.get_draft(session, finance, draft_id).lines
            credit_drafts.set_quantity(session, finance, draft_id, line.id, "1")
            amount = line.gross_minor
        reservations.credit(klarna, finance, draft_id, a_money_form(amount))
    with reading() as session:
        notes = session.scalars(sa.select(Document).where(Document.original_id == invoice.id)).all()
        assert sum(note.gross_minor or 0 for note in notes) == invoice.gross_minor
        assert sum(note.vat_minor or 0 for note in notes) == invoice.vat_minor
    with writing() as session, pytest.raises(Refusal, match="whole invoice has been credited"):
        credit_drafts.start(session, finance, invoice.id)


# --- The look before anything is sent ---------------------------------------------------------------------------------------

UNREACHED = [
    ("drop_before", {}),
    ("hang_never", {"seconds": 4}),
    ("html_502", {}),
    ("too_many", {}),
    ("server_error", {}),
    ("html_403", {}),
    ("unauthorized", {}),
    ("cut_body", {}),
]


@pytest.mark.parametrize(("fault", "more"), UNREACHED)
def test_without_a_look_nothing_is_sent_and_no_number_is_taken(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, fault: str, more: dict[str, Any]
) -> None:
    """Operations 6, K32; fault rows 8, 9, 13-16 at the look: the draft stays, and the act works once Klarna is back."""
    order = one_order(klarna, sandbox)
    sandbox.fault(fault, operation="get_order", times=0, **more)
    with pytest.raises(NotReached):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(49_900))
    sandbox.clear_faults()
    assert not sandbox.posts() and not count(Document) and not count(NumberSeries, NumberSeries.code == "F")


def test_wrong_credentials_stop_every_call_until_they_are_changed(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Operations 10, fault row 16: a 401 opens the breaker, and time does not close it."""
    order = one_order(klarna, sandbox)
    sandbox.fault("unauthorized", operation="get_order")
    with pytest.raises(NotReached, match="credentials"):
        reservations.look_at(klarna, order.id)
    seen = len(sandbox.log())
    with pytest.raises(NotReached, match="credentials"):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(49_900))
    assert len(sandbox.log()) == seen


def test_what_klarna_rules_out_is_refused_before_a_number_is_taken(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """F1, F27, B21, fault row 29: cancelled, expired, reviewed, more than is left."""
    for n, (act, sentence) in enumerate(
        [
            (sandbox.portal_cancel, "cancelled"),
            (sandbox.expire, "expired"),
            (lambda o: sandbox.fraud(o, "PENDING"), "reviewing"),
            (lambda o: sandbox.portal_update(o, 40_000), "more than what is left of the reservation"),
        ]
    ):
        order = one_order(klarna, sandbox)
        assert order.klarna_order_id
        act(order.klarna_order_id)
        with pytest.raises(Refusal, match=sentence):
            reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(49_900))
        assert not count(Document), n
    assert not [post for post in sandbox.posts() if post["operation"] == "create_capture"]


# --- What Klarna answers -----------------------------------------------------------------------------------------------------


def invoice_of(klarna: Any, actor: Any, order: Order) -> Document:
    return the_document(reservations.invoice(klarna, actor, order.id, DocType.DELIVERY, a_money_form(proposed(order))))


def effects(sandbox: Any, order: Order) -> list[dict[str, Any]]:
    captures: list[dict[str, Any]] = sandbox.state(order.klarna_order_id)["captures"]
    return captures


LOST = [
    ("drop_after", {}),
    ("drop_before", {}),
    ("server_error_after", {}),
    ("server_error", {}),
    ("html_502_after", {}),
    ("html_403", {}),
    ("conflict", {}),
    ("cut_status", {}),
    ("hang_after", {"seconds": 9}),
    ("unavailable_after", {}),
    ("redirect", {}),
]


@pytest.mark.untrue_books("an account is closed behind the program's back")
@pytest.mark.parametrize("act", ["a rate without accounts", "a closed account", "a closed account, credited"])
def test_what_the_books_would_not_take_is_never_sent(
    books: Any, klarna: Any, sandbox: Any, finance: Any, act: str
) -> None:
    """Operations 1: Klarna is not asked to do what cannot be booked here; no number is taken, and nothing is half done."""
    freight = row("Frakt", 4_900, kind=LineKind.FREIGHT, rate=1900 if act.startswith("a rate") else 2500)
    order = one_order(klarna, sandbox, lines=[row(), freight])
    draft_id = 0
    if act.endswith("credited"):
        draft_id, _ = draft_of(finance, an_invoice(klarna, order))
    if act.startswith("a closed"):
        with writing() as session:
            session.execute(sa.update(Account).where(Account.number == 2611).values(active=False))
    before = len(sandbox.posts()), count(Document), count(Document, Document.state == DocState.PENDING)
    with pytest.raises(Refusal, match=r"VAT of|is closed"):
        if draft_id:
            reservations.credit(klarna, finance, draft_id, a_money_form(54_800))
        else:
            reservations.invoice(klarna, finance, order.id, DocType.DELIVERY, a_money_form(54_800))
    assert (len(sandbox.posts()), count(Document), count(Document, Document.state == DocState.PENDING)) == before


def test_what_klarna_has_done_and_the_books_never_take_becomes_an_alarm(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 6, T3x: the recorded answer is tried again, and from the third time on the log calls for a person."""
    order = one_order(klarna, sandbox, lines=[row(), row("Frakt", 4_900, kind=LineKind.FREIGHT, rate=1900)])
    monkeypatch.setattr(reservations, "require_bookable", lambda *_: None)
    reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(54_800))
    alarms = []
    monkeypatch.setattr(janitor.log, "error", lambda event, **more: alarms.append((event, more["times"])))
    for minutes in range(1, 4):
        with freeze_time(clock.now() + timedelta(minutes=2 * minutes)):
            janitor.run(klarna)
    with reading() as session:
        op = session.scalars(sa.select(KlarnaOp)).one()
        assert (op.state, op.record_failures) == (OpState.UNKNOWN, 4)
    assert alarms == [("klarna.record_failed", 3), ("klarna.record_failed", 4)]
    assert len(sandbox.posts(operation="create_capture")) == 1


@pytest.mark.parametrize("trouble", [Busy(), OperationalError("UPDATE", {}, Exception("the server is gone"))])
def test_what_klarna_has_done_is_no_refusal_when_the_database_is_gone_with_the_answer(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Operations 6, T3 and T3x: «Nothing has been done» would be untrue; the lease runs out and the janitor asks Klarna."""

    def gone(*_: Any) -> None:
        raise trouble

    order = one_order(klarna, sandbox)
    with monkeypatch.context() as without:
        without.setattr(operations, "record", gone)
        without.setattr(operations, "record_failed", gone)
        document_id = reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(proposed(order)))
    assert last_op(document_id).state is OpState.SENDING
    for minutes in range(2, 5):
        with freeze_time(clock.now() + timedelta(minutes=minutes)):
            janitor.run(klarna)
    assert (last_op(document_id).state, the_document(document_id).state) == (OpState.CONFIRMED, DocState.ISSUED)
    assert len(sandbox.state(order.klarna_order_id)["captures"]) == 1


@pytest.mark.parametrize(("fault", "more"), LOST)
def test_a_lost_answer_is_unknown_and_ends_as_one_effect(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, fault: str, more: dict[str, Any]
) -> None:
    """Promises 1 and 2; fault rows 8, 11-14, 20: pending as «Okänt svar», then one capture, one voucher, one number."""
    order = one_order(klarna, sandbox)
    sandbox.fault(fault, operation="create_capture", **more)
    sandbox.fault("drop_before", operation="get_order", skip=1, times=1)
    document = invoice_of(klarna, clerk, order)
    assert document.state is DocState.PENDING and last_op(document.id).state is OpState.UNKNOWN
    assert not count(Voucher)
    with reading() as session:
        assert session.get_one(Order, order.id).icon == "unknown"
    sandbox.clear_faults()
    run_again(document.id)
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED
    assert len(effects(sandbox, order)) == 1 and count(Voucher, Voucher.document_id == document.id) == 1
    keys = {post["idempotency_key"] for post in sandbox.posts(operation="create_capture")}
    bodies = {json.dumps(post["body"], sort_keys=True) for post in sandbox.posts(operation="create_capture")}
    assert len(keys) == 1 and len(bodies) == 1


def test_a_refusal_leaves_the_document_with_its_number_and_nothing_booked(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """F25, fault row 17: refused, code and text kept, order waits for a decision, stock of the delivery stands."""
    order = one_order(klarna, sandbox)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED", messages=["Not now."])
    document = invoice_of(klarna, clerk, order)
    assert document.state is DocState.REFUSED and document.number_text == "42580" and not count(Voucher)
    with reading() as session:
        answer = operations.last_answer(session, session.get_one(KlarnaOp, last_op(document.id).id))
        assert answer and answer.error_code == "CAPTURE_NOT_ALLOWED" and answer.correlation_id
        assert json.loads(answer.error_messages or "") == ["Not now."]
        assert session.get_one(Order, order.id).icon == "refused"
    with pytest.raises(Refusal, match="awaits a decision"):
        reservations.invoice(klarna, clerk, order.id, DocType.FINAL, a_money_form(49_900))


def test_try_again_keeps_the_number_and_takes_a_new_key(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """F25, K18, fault row 57: one document, two operations, one effect."""
    order = one_order(klarna, sandbox)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    document = invoice_of(klarna, clerk, order)
    form = a_money_form(0)
    reservations.retry(klarna, clerk, document.id, form)
    assert the_document(document.id).state is DocState.ISSUED and the_document(document.id).number_text == "42580"
    reservations.retry(klarna, clerk, document.id, form)
    first, second = sandbox.posts(operation="create_capture")
    assert first["idempotency_key"] != second["idempotency_key"] and first["body"] == second["body"]
    assert len(effects(sandbox, order)) == 1
    with pytest.raises(Refusal):
        reservations.retry(klarna, clerk, document.id, a_money_form(0))


def test_void_keeps_the_number_and_frees_the_rows(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """F25, K15: who, when and why stay; the next invoice gets the next number."""
    order = one_order(klarna, sandbox)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    document = invoice_of(klarna, clerk, order)
    with writing() as session:
        reservations.void(session, clerk, document.id, "fel antal")
    gone = the_document(document.id)
    assert (gone.state, gone.number_text, gone.void_by, gone.void_reason) == (
        DocState.VOID,
        "42580",
        clerk.name,
        "fel antal",
    )
    assert invoice_of(klarna, clerk, order).number_text == "42581"


def test_429_waits_and_is_sent_by_the_janitor(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Fault row 15: PREPARED with a next time; nothing at Klarna until then."""
    order = one_order(klarna, sandbox)
    sandbox.fault("too_many", operation="create_capture", retry_after=7)
    document = invoice_of(klarna, clerk, order)
    op = last_op(document.id)
    assert document.state is DocState.PENDING and op.state is OpState.PREPARED and op.next_run_at is not None
    run_again(document.id)
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED and len(effects(sandbox, order)) == 1


def test_what_klarna_turned_away_a_day_ago_is_withdrawn_not_sent(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Promise 6: after the key window «Skicka nu» says what to do instead of doing nothing."""
    order = one_order(klarna, sandbox)
    sandbox.fault("too_many", operation="create_capture")
    document = invoice_of(klarna, clerk, order)
    with writing() as session:
        op = session.scalars(sa.select(KlarnaOp).where(KlarnaOp.document_id == document.id)).one()
        assert op.post_allowed_until is not None
        op.post_allowed_until -= timedelta(hours=24)
    with pytest.raises(Refusal, match="Withdraw it"):
        reservations.send_now(klarna, clerk, document.id)
    with writing() as session:
        reservations.withdraw(session, clerk, document.id)
    assert the_document(document.id).state is DocState.VOID and not effects(sandbox, order)


def test_a_refusal_after_a_lost_answer_proves_nothing(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Operations 7, fault row 18: the first may have happened; Klarna forgot the key, its limit refuses, the look finds it."""
    order = one_order(klarna, sandbox)
    sandbox.fault("drop_after", operation="create_capture")
    sandbox.fault("drop_before", operation="get_order", skip=1, times=2)
    sandbox.fault("forget_key", operation="create_capture")
    document = invoice_of(klarna, clerk, order)
    run_again(document.id)
    janitor.run(klarna)
    op = last_op(document.id)
    assert op.state is OpState.UNKNOWN and op.refused_on_retry and the_document(document.id).state is DocState.PENDING
    sandbox.clear_faults()
    run_again(document.id)
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED and len(effects(sandbox, order)) == 1


@pytest.mark.parametrize(
    ("fault", "code"), [("cut_body", "CAPTURE_NOT_ALLOWED"), ("refuse", "SOMETHING_NEW")], ids=["cut", "a new code"]
)
def test_a_refusal_that_is_unclear_at_first_ends_as_one_after_the_quiet_time(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, fault: str, code: str
) -> None:
    """Fault row 12, operations 7, janitor rule 5: half a no, or one by a code nobody has listed, is no no; said again, with 15
    quiet minutes and absence, it is."""
    order = one_order(klarna, sandbox)
    sandbox.fault(fault, operation="create_capture", status=403, error_code=code)
    sandbox.fault("refuse", operation="create_capture", status=403, error_code=code, times=0)
    document = invoice_of(klarna, clerk, order)
    assert last_op(document.id).state is OpState.UNKNOWN
    run_again(document.id)
    janitor.run(klarna)
    assert last_op(document.id).state is OpState.UNKNOWN and last_op(document.id).refused_on_retry
    run_again(document.id)
    janitor.run(klarna)
    assert last_op(document.id).state is OpState.UNKNOWN, "not before the quiet time is over"
    _send_back_in_time(document.id, minutes=16)
    janitor.run(klarna)
    assert last_op(document.id).state is OpState.REJECTED and the_document(document.id).state is DocState.REFUSED
    assert not effects(sandbox, order)


def _send_back_in_time(document_id: int, **parts: float) -> None:
    """As if everything about this document's operation had happened earlier, and its next time is now."""
    back = timedelta(**parts)
    with writing() as session:
        op = session.scalars(
            sa.select(KlarnaOp).where(KlarnaOp.document_id == document_id, KlarnaOp.state == OpState.UNKNOWN)
        ).one()
        for name in ("first_sent_at", "last_sent_at", "post_allowed_until"):
            setattr(op, name, getattr(op, name) - back)
        op.next_run_at = op.created_at - back


def test_after_the_key_window_nothing_is_posted_and_a_person_decides(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Janitor rule 6, fault row 21: 23 h, then looks only; REVIEW, and still confirmed when the capture turns up."""
    order = one_order(klarna, sandbox)
    sandbox.fault("drop_before", operation="create_capture", times=0)
    document = invoice_of(klarna, clerk, order)
    assert last_op(document.id).state is OpState.UNKNOWN
    _send_back_in_time(document.id, hours=23)
    posts = len(sandbox.posts(operation="create_capture"))
    janitor.run(klarna)
    assert last_op(document.id).state is OpState.REVIEW and len(sandbox.posts(operation="create_capture")) == posts
    sandbox.portal_capture(order.klarna_order_id, 49_900, reference=document.number_text)
    run_again(document.id)
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED


def test_a_lag_between_write_and_read_concludes_nothing(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Fault row 71: the look shows the order as before; one effect all the same."""
    order = one_order(klarna, sandbox)
    sandbox.fault("drop_after", operation="create_capture")
    sandbox.fault("lag", operation="get_order", times=0)
    document = invoice_of(klarna, clerk, order)
    run_again(document.id)
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED
    sandbox.clear_faults()
    assert len(effects(sandbox, order)) == 1 and not count(KlarnaBreak)


def test_a_created_answer_without_id_is_issued_and_filled_by_a_look(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Fault row 19."""
    order = one_order(klarna, sandbox)
    sandbox.fault("no_id", operation="create_capture")
    document = invoice_of(klarna, clerk, order)
    assert document.state is DocState.ISSUED
    assert last_op(document.id).klarna_object_id == effects(sandbox, order)[0]["capture_id"]


def test_a_number_already_at_klarna_is_proof_and_nothing_is_sent(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """T2 (c), fault row 58: the look finds our number, so the act has happened."""
    order = one_order(klarna, sandbox)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    document = invoice_of(klarna, clerk, order)
    sandbox.portal_capture(order.klarna_order_id, 49_900, reference=document.number_text)
    before = len(sandbox.posts(operation="create_capture"))
    reservations.retry(klarna, clerk, document.id, a_money_form(0))
    assert the_document(document.id).state is DocState.ISSUED
    assert len(sandbox.posts(operation="create_capture")) == before


# --- Made elsewhere ----------------------------------------------------------------------------------------------------------


def test_a_refund_made_in_the_portal_is_seen_and_counts_at_once(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """K31, K32, fault row 28: both figures are said, no number is taken, it is EXTERNAL with a break; a tick sends the rest."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", 49_900), row("Keps", 19_900)])
    with reading() as session:
        klarna_order_id = session.get_one(Order, invoice.order_id).klarna_order_id
    sandbox.portal_refund(klarna_order_id, 19_900)
    draft_id, amount = draft_of(finance, invoice)
    with pytest.raises(Refusal, match="can still refund") as error:
        reservations.credit(klarna, finance, draft_id, a_money_form(amount))
    assert error.value.values["outside"].minor == 19_900
    assert count(KlarnaBreak, KlarnaBreak.kind == BreakKind.REFUND_UNKNOWN) == 1
    with writing() as session:
        keps = next(line for line in credit_drafts.get_draft(session, finance, draft_id).lines if line.name == "Keps")
        credit_drafts.remove_row(session, finance, draft_id, keps.id)
    with pytest.raises(Differs) as differs:
        reservations.credit(klarna, finance, draft_id, a_money_form(49_900))
    assert differs.value.difference_minor == 19_900 and the_document(draft_id).number is None
    reservations.credit(klarna, finance, draft_id, a_money_form(49_900, accepted_difference_minor=19_900))
    assert the_document(draft_id).state is DocState.ISSUED


def test_the_same_look_twice_records_a_foreign_capture_once(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """B20, operations 13: one EXTERNAL operation, one break; our limits count it."""
    order = one_order(klarna, sandbox)
    sandbox.portal_capture(order.klarna_order_id, 10_000)
    for _ in range(2):
        reservations.look_at(klarna, order.id)
    assert count(KlarnaOp, KlarnaOp.state == OpState.EXTERNAL) == 1 and count(KlarnaBreak) == 1
    with pytest.raises(Refusal, match="more than what is left"):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(49_900))


def test_keep_without_klarna_finds_the_portals_refund(books: Any, klarna: Any, sandbox: Any, finance: Any) -> None:
    """K19, K20: the refund made by hand becomes the document's; voucher and stock now; nothing more is sent."""
    invoice = a_captured_invoice(klarna, sandbox)
    draft_id, amount = draft_of(finance, invoice)
    sandbox.fault("refuse", operation="create_refund", error_code="REFUND_NOT_ALLOWED")
    reservations.credit(klarna, finance, draft_id, a_money_form(amount))
    assert the_document(draft_id).state is DocState.REFUSED
    with pytest.raises(Refusal, match="Confirm that it has been made"):
        reservations.keep_without_klarna(klarna, finance, draft_id, WithoutKlarna.CREDITED_IN_PORTAL, False)
    with reading() as session:
        klarna_order_id = session.get_one(Order, invoice.order_id).klarna_order_id
    sandbox.portal_refund(klarna_order_id, amount)
    reservations.keep_without_klarna(klarna, finance, draft_id, WithoutKlarna.CREDITED_IN_PORTAL, False)
    kept = the_document(draft_id)
    assert kept.state is DocState.ISSUED and kept.issued_by_op_id is not None
    assert count(KlarnaBreak, KlarnaBreak.state == "open") == 0 and count(Voucher, Voucher.document_id == draft_id) == 1


def test_a_credit_note_without_klarna_is_booked_at_once_and_can_be_reversed(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """K29, E5a, E11: nothing is sent; the reversal negates voucher and stock, once."""
    invoice = a_captured_invoice(klarna, sandbox)
    draft_id, amount = draft_of(finance, invoice)
    with writing() as session:
        credit_drafts.set_options(
            session, finance, draft_id, restock=True, warehouse_id=None, without_klarna=True, reason="even_exchange"
        )
    reservations.credit(klarna, finance, draft_id, a_money_form(amount))
    assert the_document(draft_id).state is DocState.ISSUED and not sandbox.posts(operation="create_refund")
    with writing() as session:
        credit_notes.reverse(session, finance, draft_id, "fel kund")
    with writing() as session, pytest.raises(Refusal, match="reversed already"):
        credit_notes.reverse(session, finance, draft_id, "en gång till")
    assert count(Voucher, Voucher.document_id == draft_id) == 2
    with reading() as session:
        assert session.get_one(Document, draft_id).open_minor == 0
        moved = sa.select(sa.func.sum(StockMovement.quantity_milli)).where(StockMovement.document_line_id.is_not(None))
        assert session.scalar(moved) == 0
    assert draft_of(finance, invoice)[1] == amount


# --- Forms, clerks, clocks ---------------------------------------------------------------------------------------------------


def test_the_same_form_gives_one_invoice_however_often_it_comes(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """F7, fault row 23: the earlier result is the answer."""
    order = one_order(klarna, sandbox)
    form = a_money_form(proposed(order))
    ids = {reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, form) for _ in range(3)}
    assert len(ids) == 1 and len(effects(sandbox, order)) == 1 and count(Document) == 1


def test_a_form_is_bound_to_its_person_and_its_values(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """Operations 12, catalogue row 15."""
    order = one_order(klarna, sandbox)
    form = a_money_form(proposed(order))
    reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, form)
    with pytest.raises(NotAllowed):
        reservations.invoice(klarna, finance, order.id, DocType.DELIVERY, form)
    with pytest.raises(Refusal, match="already been used"):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, reservations.MoneyForm(form.nonce, 1))
    with pytest.raises(Malformed):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, reservations.MoneyForm("x", 1))
    assert count(FormUse) == 1


def test_a_stale_sum_is_refused_with_both_figures(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Operations 12: the order changed since the form was drawn."""
    order = one_order(klarna, sandbox)
    with pytest.raises(Stale, match=r"was SEK 100\.00 and is now SEK 499\.00"):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(10_000))
    assert not count(Document)


def _at_once(books: Any, acts: list[Any]) -> list[Any]:
    """Run the acts at the same moment, each in a thread with an app context; their results or refusals."""
    ready = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def work(place: int, act: Any) -> None:
        with books.app_context():
            ready.wait()
            try:
                results[place] = act()
            except Exception as error:  # noqa: BLE001 - handed to the test
                results[place] = error

    threads = [threading.Thread(target=work, args=(n, act)) for n, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_clerks_crediting_one_invoice_at_once_make_one_refund(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """Fault row 24, I1, M2: the other is told to wait or finds nothing left."""
    invoice = a_captured_invoice(klarna, sandbox)
    (first, amount), (second, _) = draft_of(clerk, invoice), draft_of(finance, invoice)
    assert first != second
    results = _at_once(
        books,
        [
            lambda: reservations.credit(klarna, clerk, first, a_money_form(amount)),
            lambda: reservations.credit(klarna, finance, second, a_money_form(amount)),
        ],
    )
    assert sum(isinstance(result, int) for result in results) == 1, results
    assert sum(isinstance(result, Refusal) for result in results) == 1, results
    with reading() as session:
        klarna_order_id = session.get_one(Order, invoice.order_id).klarna_order_id
    assert len(sandbox.state(klarna_order_id)["refunds"]) == 1
    with reading() as session:
        numbers = session.scalars(sa.select(Document.number).where(Document.number.is_not(None))).all()
        assert sorted(numbers) == [42580, 42581]


def test_without_the_lock_and_the_one_open_rule_two_clerks_both_pass(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of the test above: with the guards taken out the second credit of the same row gets its number, too."""
    invoice = a_captured_invoice(klarna, sandbox)
    (first, amount), (second, _) = draft_of(clerk, invoice), draft_of(finance, invoice)
    monkeypatch.setattr(credit_notes, "require_creatable", lambda *_, **__: None)
    monkeypatch.setattr(orders, "require_no_open_operation", lambda *_: None)
    monkeypatch.setattr(reservations.FOLLOW.__class__, "require_limits", lambda *_: None)
    monkeypatch.setattr(beats.looks, "require_possible", lambda *_, **__: None)
    reservations.credit(klarna, clerk, first, a_money_form(amount))
    reservations.credit(klarna, finance, second, a_money_form(amount))
    assert the_document(second).number is not None


def test_fifty_equal_posts_are_one_act(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Catalogue row 75 on the service: eight at once here, one effect and one answer."""
    order = one_order(klarna, sandbox)
    form = a_money_form(proposed(order))
    results = _at_once(
        books, [lambda: reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, form) for _ in range(8)]
    )
    assert {type(result) for result in results} == {int} and len(set(results)) == 1, results
    janitor.run(klarna)
    assert len(effects(sandbox, order)) == 1 and count(Document) == 1


def test_when_our_own_booking_fails_the_answer_is_kept_and_booked_later(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T3x, fault row 63: 2xx recorded, no second call, one voucher."""
    order = one_order(klarna, sandbox)
    with monkeypatch.context() as broken:
        broken.setattr(invoices, "issue", _explode)
        document = invoice_of(klarna, clerk, order)
        assert document.state is DocState.PENDING and last_op(document.id).state is OpState.UNKNOWN
        assert count(KlarnaAnswer, KlarnaAnswer.http_status == 201) == 1
    calls = len(sandbox.posts())
    run_again(document.id)
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED and len(sandbox.posts()) == calls
    assert count(Voucher) == 1


def _explode(*_: Any, **__: Any) -> None:
    raise RuntimeError("booking failed")


def test_with_both_slots_taken_the_worker_sends(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Operations 6, fault row 56: T1 goes ahead, the operation waits as PREPARED, the janitor looks and sends."""
    order = one_order(klarna, sandbox)
    with klarna.slot(), klarna.slot():
        document = invoice_of(klarna, clerk, order)
        assert last_op(document.id).state is OpState.PREPARED and not sandbox.posts()
    janitor.run(klarna)
    assert the_document(document.id).state is DocState.ISSUED and len(effects(sandbox, order)) == 1


def test_with_both_slots_taken_a_page_shows_what_was_read_before(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 10, performance goal 12: a Klarna that hangs holds two threads of a process, never all of them."""
    order = one_order(klarna, sandbox)
    sandbox.clear_log()
    with klarna.slot(), klarna.slot():
        with pytest.raises(NotReached, match="All lines to Klarna are busy"):
            reservations.look_at(klarna, order.id)
        assert not sandbox.log()
    assert reservations.look_at(klarna, order.id).captured == 0


def test_what_was_never_sent_can_be_withdrawn_and_is_then_void(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """Operations 4 and 9: operation NOT_EXECUTED and document void together; sent ones cannot be taken back."""
    order = one_order(klarna, sandbox)
    with klarna.slot(), klarna.slot():
        document = invoice_of(klarna, clerk, order)
    with writing() as session:
        reservations.withdraw(session, clerk, document.id)
    assert the_document(document.id).state is DocState.VOID and last_op(document.id).state is OpState.NOT_EXECUTED
    other = one_order(klarna, sandbox)
    sandbox.fault("drop_after", operation="create_capture")
    sandbox.fault("drop_before", operation="get_order", skip=1)
    unknown = invoice_of(klarna, clerk, other)
    with writing() as session, pytest.raises(Refusal, match="cannot be taken back"):
        reservations.withdraw(session, clerk, unknown.id)


def test_no_transaction_waits_for_the_wire(books: Any, klarna: Any, sandbox: Any) -> None:
    """Operations 16.1 rule 2: a call inside an open session is refused by the guard."""
    order = one_order(klarna, sandbox)
    with reading() as session:
        access, klarna_order_id = reservations.access_for(session, orders.get(session, order.id))
        with pytest.raises(AssertionError, match="no transaction"):
            reservations.read_order(klarna, access, klarna_order_id)


def test_a_stale_permission_sends_nothing(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault row 53, M12: past permitted_until the first byte does not leave; the operation is PREPARED again."""
    order = one_order(klarna, sandbox)
    send = operations.send

    def late(gateway: Any, permission: Any) -> Any:
        return send(gateway, replace(permission, until=permission.until - timedelta(minutes=1)))

    monkeypatch.setattr(operations, "send", late)
    document = invoice_of(klarna, clerk, order)
    assert last_op(document.id).state is OpState.PREPARED and not sandbox.posts(operation="create_capture")
    assert transact(lambda session: session.scalar(sa.select(KlarnaAnswer.first_byte_at))) is None


def test_an_ordinary_order_sends_nothing_and_is_issued_at_once(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """F2, F16: payment method «Faktura»."""
    with writing() as session:
        order = an_order(session)
        a_delivery(session, order)
    document = an_invoice(klarna, order, actor=clerk)
    assert document.state is DocState.ISSUED and document.without_klarna_reason is WithoutKlarna.ORDINARY
    assert not count(KlarnaOp) and not sandbox.log()


def test_each_order_is_called_under_its_own_account(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """B15, fault row 70."""
    with writing() as session:
        other = an_account(session, sandbox, klarna, name="Andra butiken")
        order = an_order(session, sandbox, klarna, account=other)
        a_delivery(session, order)
    an_invoice(klarna, order)
    assert {entry["mid"] for entry in sandbox.log()} == {other.store_id}
