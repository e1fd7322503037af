"""The order's page: how far rows have come, whether Klarna agrees, what has happened, and why a button is off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from errors import NotFound, Refusal
from models import DocumentEvent, KlarnaBreak, KlarnaOpEvent, Order
from services import deliveries, document_list, order_page, orders
from services.order_history import What
from services.order_page import OrderPage
from states import BreakKind, DocKind, DocState, DocType, KlarnaStatus, OpKind, OpState, OrderState
from tests.services.order_rows import CLERK, a_document, a_row, a_warehouse, an_operation, an_order, freight

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
def order(books: object) -> Order:
    """Two shirts and freight on a reservation that was read a moment ago."""
    with writing() as session:
        made = an_order(session, [a_row(milli=2000), freight()], klarna=True)
        made.klarna_read_at = clock.now()
        return made


def _page(order: Order) -> OrderPage:
    with reading() as session:
        return order_page.overview(session, order.id)


def _said(order: Order) -> list[str]:
    panel = _page(order).panel
    assert panel is not None
    return [str(Refusal(each.message, **each.values)) for each in panel.differences]


def _captured(session: Session, order: Order, amount: int) -> None:
    """An issued invoice with its confirmed capture, and Klarna's figures as after it."""
    shares = orders.to_invoice(session, order, delivered_only=False)
    document = a_document(session, order, shares)
    operation = an_operation(session, order, OpState.CONFIRMED, document=document, amount=amount)
    document.issued_by_op_id, document.issue_date, document.state = operation.id, clock.today(), DocState.ISSUED
    order.captured_minor, order.remaining_minor = amount, orders.total(order) - amount
    orders.refresh(session, order.id)


def test_an_unknown_order_has_no_page(order: Order) -> None:
    with pytest.raises(NotFound), reading() as session:
        order_page.overview(session, 4711)


def test_rows_show_ordered_delivered_invoiced_and_left(order: Order) -> None:
    """B25."""
    with writing() as session:
        place = a_warehouse(session).id
        deliveries.deliver(session, CLERK, order.id, {order.lines[0].id: 500}, warehouse_id=place)
        shares = orders.to_invoice(session, orders.get(session, order.id), delivered_only=True)
        a_document(session, order, shares, type_=DocType.DELIVERY)
    shirts, sent = _page(order).lines
    assert (shirts.delivered_milli, shirts.to_deliver_milli) == (500, 1500)
    assert (shirts.invoiced_milli, shirts.to_invoice_milli) == (500, 1500)
    assert (sent.is_delivered, sent.to_deliver_milli, sent.to_invoice_milli) == (False, 0, 0)


def test_a_reservation_as_klarna_shows_it_agrees(order: Order) -> None:
    assert _said(order) == []


def test_an_order_without_reservation_has_no_panel() -> None:
    """F16."""
    with writing() as session:
        plain = an_order(session, [a_row()])
    assert _page(plain).panel is None


def test_figures_that_differ_are_said(order: Order) -> None:
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        found.captured_minor, found.refunded_minor = 100, 50
    assert _said(order) == [
        "Activated: Klarna shows SEK 1.00, Kvitta SEK 0.00.",
        "Credited: Klarna shows SEK 0.50, Kvitta SEK 0.00.",
    ]


def test_a_booked_capture_agrees_and_an_even_exchange_shows_until_it_is_whole(order: Order) -> None:
    """K29, K30, to the letter."""
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        _captured(session, found, orders.total(found))
    assert _said(order) == []
    with writing() as session:
        found = orders.get(session, order.id)
        share = orders.OrderShare(found.lines[0], 1000, 49_900, 0)
        note = a_document(
            session, found, [share], kind=DocKind.CREDIT_NOTE, type_=DocType.FREE_CREDIT, state=DocState.ISSUED
        )
    assert _said(order) == ["Booked SEK 499.00 lower than at Klarna."]
    with writing() as session:
        session.get_one(type(note), note.id).reversed_at = clock.now()
    assert _said(order) == []


def test_open_breaks_have_their_sentences(order: Order) -> None:
    """Operations 11 and 13: what was made elsewhere is asked about."""
    with writing() as session:
        operation = an_operation(session, order, OpState.EXTERNAL, kind=OpKind.REFUND, amount=19_900)
        operation_id = operation.id
        at = clock.now()
        shared = {"order_id": order.id, "opened_at": at, "found_by": "janitor"}
        session.add(KlarnaBreak(kind=BreakKind.REFUND_UNKNOWN, op_id=operation_id, difference_minor=19_900, **shared))
        session.add(KlarnaBreak(kind=BreakKind.TOTALS_DIFFER, difference_minor=-1, **shared))
    refund, totals = _said(order)
    assert refund == f"Credited outside Kvitta {clock.local_date(at)}: SEK 199.00. What does it belong to?"
    assert totals.endswith("SEK 0.01.")


def test_nothing_is_said_to_differ_while_an_answer_is_awaited(order: Order) -> None:
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        found.captured_minor = 100
        an_operation(session, found, OpState.SENDING, document=a_document(session, found))
    panel = _page(order).panel
    assert panel is not None
    assert panel.is_open
    assert panel.differences == []


@pytest.mark.parametrize(
    ("state", "op_state", "icon", "word"),
    [
        (DocState.PENDING, OpState.PREPARED, "reserved", "Not sent"),
        (DocState.PENDING, OpState.SENDING, "reserved", "Sending"),
        (DocState.PENDING, OpState.UNKNOWN, "unknown", "Answer unknown"),
        (DocState.REFUSED, OpState.REJECTED, "refused", "Refused by Klarna"),
        (DocState.VOID, OpState.NOT_EXECUTED, None, "Voided"),
    ],
)
def test_a_document_has_its_own_icon_and_the_words_of_the_list(
    order: Order, state: DocState, op_state: OpState, icon: str | None, word: str
) -> None:
    """F23; one word for one thing."""
    with writing() as session:
        an_operation(session, order, op_state, document=a_document(session, order, state=state))
    (shown,) = _page(order).documents
    assert (shown.icon, shown.badge[0]) == (icon, word)
    with reading() as session:
        (listed,) = document_list.listing(session, document_list.Filters(view="all"), None, 30).rows
    assert (listed.icon, listed.badge) == (shown.icon, shown.badge)


def test_an_activated_document_is_black_and_says_when(order: Order) -> None:
    """F24."""
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        _captured(session, found, orders.total(found))
    (document,) = _page(order).documents
    assert (document.icon, document.outside) == ("captured", False)
    assert document.badge == ("Activated at Klarna", "ok")
    assert document.at_klarna is not None
    assert document.klarna_number == f"{order.klarna_reference}-1"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"state": OrderState.CANCELLED}, "The order is cancelled and cannot be invoiced."),
        ({"invoiced": "all"}, "Everything on the order has been invoiced."),
        ({"fraud_status": "PENDING"}, "Klarna is reviewing the purchase. Do not deliver or invoice yet."),
        (
            {"klarna_status": KlarnaStatus.EXPIRED, "expires_at": datetime(2026, 11, 26, 12, tzinfo=UTC)},
            "The reservation expired on 2026-11-26. Ask Klarna whether it can be renewed.",
        ),
    ],
)
def test_the_invoice_button_says_why_it_is_off(order: Order, columns: dict[str, object], sentence: str) -> None:
    """F3, B21, F27."""
    assert _page(order).no_invoice is None
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        for name, value in columns.items():
            setattr(found, name, value)
    assert str(_page(order).no_invoice) == sentence


def test_a_refused_invoice_turns_the_button_off(order: Order) -> None:
    """F25."""
    with writing() as session:
        refused = a_document(session, order, state=DocState.REFUSED)
    assert str(_page(order).no_invoice) == f"Invoice {refused.number} awaits a decision: try again or void it first."


def test_the_history_tells_everything_once_newest_first(order: Order) -> None:
    with writing() as session:
        at = clock.now() + timedelta(minutes=1)
        place = a_warehouse(session).id
        deliveries.deliver(session, CLERK, order.id, {order.lines[0].id: 500}, warehouse_id=place)
        document = a_document(session, order)
        operation = an_operation(session, order, OpState.UNKNOWN, document=document)
        for seq, (old, new) in enumerate([(None, OpState.PREPARED), (OpState.PREPARED, OpState.UNKNOWN)], start=1):
            session.add(
                KlarnaOpEvent(
                    op_id=operation.id, seq=seq, from_state=old, to_state=new, at=at + timedelta(seconds=seq), actor="x"
                )
            )
        session.add(DocumentEvent(document_id=document.id, seq=1, to_state=DocState.PENDING, at=at, actor="Anna"))
    events = _page(order).events
    assert [event.what for event in events] == [What.OPERATION, What.DOCUMENT, What.DELIVERED, What.TAKEN]
    assert events[0].op_state is OpState.UNKNOWN
    assert events[-1].who == CLERK.name


def test_expiry_is_klarnas_date_in_local_time_and_ends_with_the_reservation(order: Order) -> None:
    """F27."""
    with writing() as session:
        orders.get(session, order.id, lock=True).expires_at = datetime(2026, 11, 25, 23, 30, tzinfo=UTC)
    panel = _page(order).panel
    assert panel is not None
    assert str(panel.expires_on) == "2026-11-26"
    with writing() as session:
        orders.get(session, order.id, lock=True).remaining_minor = 0
    panel = _page(order).panel
    assert panel is not None
    assert panel.expires_on is None
