"""Orders: numbers, shares to the öre, what the list shows, and what stands in the way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clock
from db import reading, writing
from errors import BadInput, NotFound, Refusal
from models import Order
from services import deliveries, orders
from services.orders import Invoiced, NewLine
from services.reservation_words import UNSENT, WAIT
from states import DocKind, DocState, DocType, KlarnaStatus, LineKind, OpKind, OpState
from tests.services.order_rows import (
    CLERK,
    a_document,
    a_row,
    a_warehouse,
    an_operation,
    an_order,
    freight,
)

pytestmark = pytest.mark.usefixtures("books")


def _line(quantity_milli: int, price: int, discount: int) -> Any:
    """A row in memory, as much of one as a share needs."""
    return orders._row(1, NewLine(LineKind.ARTICLE, "T-shirt", quantity_milli, price, 2500, discount_minor=discount))


def test_orders_are_numbered_from_1001_without_gaps() -> None:
    with writing() as session:
        first = an_order(session, [a_row()])
        second = an_order(session, [a_row()])
    assert second.number == first.number + 1
    assert first.number >= 1001


def test_a_total_is_rows_times_price_less_discount_and_may_be_negative() -> None:
    """K42: an order may come to less than nothing."""
    with writing() as session:
        order = an_order(session, [a_row(milli=2500, price=333, discount=33), freight(-4_900)])
    assert orders.line_gross(order.lines[0]) == 800  # 2.5 · 3.33 = 8.325, half away from zero 8.33, less 0.33
    assert orders.total(order) == 800 - 4_900


def test_a_new_order_is_undelivered_uninvoiced_and_reserved() -> None:
    with writing() as session:
        with_klarna = an_order(session, [a_row()], klarna=True)
        without = an_order(session, [a_row()])
    assert (with_klarna.delivered, with_klarna.invoiced, with_klarna.icon) == ("none", "none", "reserved")
    assert without.icon is None


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "The order has no rows."),
        ([a_row(milli=0)], "The quantity must be more than 0."),
        ([a_row(discount=49_901)], "The discount is more than the row."),
        ([a_row(price=200_000_001)], "At most SEK 2000000.00 can be entered."),
        ([freight()] * 1001, "An order has at most 1000 rows."),
    ],
)
def test_an_order_that_cannot_be_is_refused(lines: list[NewLine], sentence: str) -> None:
    with pytest.raises(BadInput) as refused, writing() as session:
        an_order(session, lines)
    assert str(refused.value) == sentence


def test_a_reservation_has_one_order() -> None:
    """B16, to the letter."""
    with writing() as session:
        first = an_order(session, [a_row()], klarna=True)
    with pytest.raises(Refusal) as refused, writing() as session:
        orders.require_unlinked(session, str(first.klarna_order_id))
    assert str(refused.value) == f"The reservation already belongs to order {first.number}."
    assert refused.value.link == ("orders.show", {"order_id": first.id})


@pytest.mark.parametrize("order_id", [0, -1, 4711, 2**63, 10**29])
def test_an_unknown_order_is_not_found(order_id: int) -> None:
    with pytest.raises(NotFound), reading() as session:
        orders.get(session, order_id)


@settings(max_examples=200)
@given(
    quantity=st.integers(1, 50_000),
    price=st.integers(-100_000, 1_000_000),
    percent=st.integers(0, 100),
    parts=st.lists(st.integers(1, 50_000), max_size=8),
)
def test_shares_of_a_row_add_up_to_it_however_it_is_split(
    quantity: int, price: int, percent: int, parts: list[int]
) -> None:
    """F30: after the last part the invoices add up to the order exactly."""
    line = _line(quantity, price, 0)
    line.discount_minor = max(orders.line_gross(line), 0) * percent // 100
    held = Invoiced()
    for part in [*parts, quantity]:
        left = quantity - held.quantity_milli
        share = orders.share_of(line, held, min(part, left))
        held = Invoiced(
            held.quantity_milli + share.quantity_milli,
            held.gross_minor + share.gross_minor,
            held.discount_minor + share.discount_minor,
        )
        assert 0 <= held.discount_minor <= line.discount_minor
        if held.quantity_milli == quantity:
            break
    assert held == Invoiced(quantity, orders.line_gross(line), line.discount_minor)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(1, 9_999), st.integers(0, 99_999), st.integers(0, 99)), min_size=1, max_size=3),
    cuts=st.lists(st.tuples(st.integers(1, 9_999), st.booleans()), max_size=4),
)
def test_the_invoices_of_an_order_add_up_to_it_with_deliveries_voids_and_freight(
    rows: list[tuple[int, int, int]], cuts: list[tuple[int, bool]]
) -> None:
    """F26, F30: in the database, whatever is delivered when, and whatever is voided and invoiced again."""
    with writing() as session:
        lines = [
            a_row(milli=milli, price=price, discount=milli * price // 1000 * off // 100) for milli, price, off in rows
        ]
        order = an_order(session, [*lines, freight(4_999)])
        warehouse = a_warehouse(session, f"L{order.number}")
        made: list[int] = []
        for cut, voided in [*cuts, (10_000, False)]:
            quantities = {line.id: min(cut, left) for line, left in orders.to_deliver(session, order)}
            if quantities:
                deliveries.deliver(session, CLERK, order.id, quantities, warehouse_id=warehouse.id)
            shares = orders.to_invoice(session, order, delivered_only=True)
            if shares:
                state = DocState.VOID if voided else DocState.ISSUED
                a_document(session, order, shares, type_=DocType.DELIVERY, state=state)
                made += [] if voided else [share.gross_minor for share in shares]
        assert sum(made) == orders.total(order)
        assert orders.to_invoice(session, order, delivered_only=False) == []
        orders.refresh(session, order.id)
        assert (order.delivered, order.invoiced) == ("all", "all")


def test_a_final_invoice_holds_all_that_is_left() -> None:
    """F11."""
    with writing() as session:
        order = an_order(session, [a_row(milli=3000, price=100), freight()])
        found = orders.to_invoice(session, order, delivered_only=False)
    assert [(share.quantity_milli, share.gross_minor) for share in found] == [(3000, 300), (1000, 4_900)]


def test_a_delivery_invoice_holds_delivered_rows_and_freight_goes_with_the_first() -> None:
    """F10."""
    with writing() as session:
        order = an_order(session, [a_row(milli=3000, price=100), a_row(price=700), freight()])
        warehouse = a_warehouse(session)
        shirts, cap, sent = order.lines
        assert orders.to_invoice(session, order, delivered_only=True) == []
        deliveries.deliver(session, CLERK, order.id, {shirts.id: 2000}, warehouse_id=warehouse.id)
        first = orders.to_invoice(session, order, delivered_only=True)
        assert {share.line.id: share.gross_minor for share in first} == {shirts.id: 200, sent.id: 4_900}
        a_document(session, order, first, type_=DocType.DELIVERY)
        assert orders.to_invoice(session, order, delivered_only=True) == []
        deliveries.deliver(session, CLERK, order.id, {cap.id: 1000}, warehouse_id=warehouse.id)
        second = orders.to_invoice(session, order, delivered_only=True)
        assert {share.line.id: share.gross_minor for share in second} == {cap.id: 700}


def test_invoiced_before_it_is_delivered_is_not_invoiced_again() -> None:
    with writing() as session:
        order = an_order(session, [a_row(milli=2000), freight()])
        a_document(session, order, orders.to_invoice(session, order, delivered_only=False), state=DocState.ISSUED)
        deliveries.deliver(session, CLERK, order.id, {order.lines[0].id: 2000}, warehouse_id=a_warehouse(session).id)
        assert orders.to_invoice(session, order, delivered_only=True) == []
        assert order.invoiced == "all"


@pytest.mark.parametrize(
    ("kind", "type_", "state", "counted"),
    [
        (DocKind.INVOICE, DocType.FINAL, DocState.PENDING, True),
        (DocKind.INVOICE, DocType.DELIVERY, DocState.ISSUED, True),
        (DocKind.INVOICE, DocType.FINAL, DocState.REFUSED, False),
        (DocKind.INVOICE, DocType.FINAL, DocState.VOID, False),
        (DocKind.INVOICE, DocType.REPLACEMENT, DocState.ISSUED, False),
        (DocKind.CREDIT_NOTE, DocType.FREE_CREDIT, DocState.ISSUED, False),
    ],
)
def test_only_pending_and_issued_invoices_of_the_order_hold_its_rows(
    kind: DocKind, type_: DocType, state: DocState, counted: bool
) -> None:
    """Operations 5."""
    with writing() as session:
        order = an_order(session, [a_row()])
        shares = orders.to_invoice(session, order, delivered_only=False)
        a_document(session, order, shares, kind=kind, type_=type_, state=state)
        orders.refresh(session, order.id)
    assert order.invoiced == ("all" if counted else "none")


def test_an_advance_holds_no_row_but_the_order_is_partly_invoiced() -> None:
    """Ground for what has no page yet: the total tells, not the rows."""
    with writing() as session:
        order = an_order(session, [a_row()])
        a_document(session, order, type_=DocType.ADVANCE, state=DocState.ISSUED)
        orders.refresh(session, order.id)
        assert order.invoiced == "part"
        assert len(orders.to_invoice(session, order, delivered_only=False)) == 1


def test_more_than_is_left_of_a_row_cannot_be_invoiced() -> None:
    with pytest.raises(BadInput, match="left to invoice") as refused:
        orders.share_of(_line(2000, 100, 0), Invoiced(1500, 150, 0), 501)
    assert refused.value.values == {"left_milli": 500}


def _icon(order: Order) -> str | None:
    with writing() as session:
        orders.refresh(session, order.id)
        return orders.get(session, order.id).icon


def test_the_icon_follows_what_is_proved_at_klarna() -> None:
    """F23: black only on a confirmed operation."""
    with writing() as session:
        order = an_order(session, [a_row(milli=2000)], klarna=True)
        sending = an_operation(session, order, OpState.SENDING, document=a_document(session, order))
    assert _icon(order) == "reserved"
    with writing() as session:
        session.get_one(type(sending), sending.id).state = OpState.UNKNOWN
    assert _icon(order) == "unknown"
    with writing() as session:
        session.get_one(type(sending), sending.id).state = OpState.CONFIRMED
    assert _icon(order) == "partly"
    with writing() as session:
        an_operation(session, order, OpState.EXTERNAL)
    assert _icon(order) == "captured"
    with writing() as session:
        refund = an_operation(session, order, OpState.EXTERNAL, kind=OpKind.REFUND, amount=99_800)
        assert refund.amount_minor == 99_800
    assert _icon(order) == "credited"


def test_a_capture_is_whole_when_the_rest_was_released() -> None:
    with writing() as session:
        order = an_order(session, [a_row(milli=2000)], klarna=True)
        an_operation(session, order, OpState.CONFIRMED, document=a_document(session, order))
        order.remaining_minor = 0
    assert _icon(order) == "captured"


@pytest.mark.parametrize("state", [OpState.REJECTED, OpState.NOT_EXECUTED])
def test_an_act_that_did_not_happen_colours_nothing(state: OpState) -> None:
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        an_operation(session, order, state, document=a_document(session, order, state=DocState.VOID))
    assert _icon(order) == "reserved"


def test_a_refused_document_shows_before_a_cancelled_reservation() -> None:
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        order.klarna_status = KlarnaStatus.EXPIRED
    assert _icon(order) == "cancelled"
    with writing() as session:
        a_document(session, order, state=DocState.REFUSED)
    assert _icon(order) == "refused"


def test_one_open_operation_stops_everything_else_on_the_order() -> None:
    """Ground rules and operations 11, to the letter."""
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        orders.require_no_open_operation(session, order)
        invoice = a_document(session, order)
        operation = an_operation(session, order, OpState.PREPARED, document=invoice)
        assert orders.open_operation(session, order) is operation
        with pytest.raises(Refusal) as refused:
            orders.require_no_open_operation(session, order)
    assert str(refused.value) == (
        f"Wait for Klarna's answer about invoice {invoice.number} before doing anything more on the order."
    )
    assert refused.value.link == ("invoices.show", {"document_id": invoice.id})


def test_the_sentence_about_an_open_operation_names_what_is_open() -> None:
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        note = a_document(session, order, kind=DocKind.CREDIT_NOTE, type_=DocType.FREE_CREDIT)
        an_operation(session, order, OpState.REVIEW, kind=OpKind.REFUND, document=note)
        other = an_order(session, [a_row()], klarna=True)
        an_operation(session, other, OpState.PREPARED, kind=OpKind.CANCEL, amount=None)
        assert f"credit note {note.number} before" in str(orders.open_operation_refusal(session, order))
        assert "answer about the cancellation before" in str(orders.open_operation_refusal(session, other))


def test_an_act_that_lies_unsent_is_to_be_sent_or_withdrawn_for_no_answer_is_coming(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Operations 11, «Ej skickad»: what goes by itself, now or at its time, is waited for; what does not, is not."""
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        invoice = a_document(session, order)
        operation = an_operation(session, order, OpState.PREPARED, document=invoice)
        waits = f"Wait for Klarna's answer about invoice {invoice.number} before doing anything more on the order."
        says = f"Send or withdraw invoice {invoice.number} first."
        for hold, at, age, sentence in (
            (None, None, 0, waits),
            ("throttled", operation.created_at + timedelta(minutes=2), 60, waits),
            ("unreachable", None, 0, says),
            (None, None, 60, says),
        ):
            operation.hold_reason, operation.next_run_at = hold, at
            moment = operation.created_at + timedelta(seconds=age)
            monkeypatch.setattr(clock, "now", lambda at=moment: at)
            refusal = orders.open_operation_refusal(session, order)
            assert (
                str(refusal) == sentence and refusal and refusal.link == ("invoices.show", {"document_id": invoice.id})
            )
        other = an_order(session, [a_row()], klarna=True)
        note = a_document(session, other, kind=DocKind.CREDIT_NOTE, type_=DocType.FREE_CREDIT)
        an_operation(session, other, OpState.PREPARED, kind=OpKind.REFUND, document=note).hold_reason = "unreachable"
        assert (
            str(orders.open_operation_refusal(session, other)) == f"Send or withdraw credit note {note.number} first."
        )
    assert set(UNSENT) == set(WAIT) == set(OpKind)


def test_a_refused_invoice_awaits_a_decision_before_the_next() -> None:
    """F25, to the letter."""
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        orders.require_nothing_refused(session, order)
        invoice = a_document(session, order, state=DocState.REFUSED)
        with pytest.raises(Refusal) as refused:
            orders.require_nothing_refused(session, order)
    assert str(refused.value) == f"Invoice {invoice.number} awaits a decision: try again or void it first."


def test_a_refused_credit_note_holds_its_own_invoice_alone() -> None:
    """K15, to the letter."""
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        first = a_document(session, order, state=DocState.ISSUED)
        second = a_document(session, order, state=DocState.ISSUED)
        note = a_document(
            session, order, kind=DocKind.CREDIT_NOTE, type_=DocType.CREDIT, state=DocState.REFUSED, original=first
        )
        orders.require_nothing_refused(session, order)
        orders.require_nothing_refused(session, order, second)
        with pytest.raises(Refusal) as refused:
            orders.require_nothing_refused(session, order, first)
    assert str(refused.value) == f"Credit note {note.number} awaits a decision. Finish it first."
