"""Klarna's review: what it keeps from leaving, what a notification leads to, stops after acceptance and their end (B21)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from models import Audit, Order, OrderHold, Push
from services import deliveries, delivery_page, fraud, holds, janitor, orders, reservations
from services.order_history import What, events
from services.reservations import NotReached
from states import DocState, DocType, OpState, RefusalKind
from tests.builders import a_delivery, a_money_form, an_order, the_document, the_warehouse
from tests.services.test_reservations import last_op, proposed

UNDER_REVIEW = "Klarna is reviewing the purchase. Do not deliver or invoice yet."
STOPPED = "after having accepted it. Do not deliver or invoice."


def an_open_order(klarna: Any, sandbox: Any, *, deliver: bool = False, **fields: Any) -> Order:
    with writing() as session:
        order = an_order(session, sandbox, klarna, **fields)
        if deliver:
            a_delivery(session, order)
        return order


def kept(order: Order) -> Order:
    with reading() as session:
        found = orders.get(session, order.id)
        session.expunge(found)
        return found


def a_push(order: Order, event: str = "FRAUD_RISK_ACCEPTED", klarna_order_id: str | None = None) -> int:
    """A notification as it is stored before it is believed."""
    with writing() as session:
        push = Push(
            account_id=order.account_id, kind="fraud", klarna_order_id=klarna_order_id or order.klarna_order_id,
            event=event, received_at=clock.now(),
        )  # fmt: skip
        session.add(push)
        session.flush()
        return push.id


def deliver_all(order: Order) -> None:
    with writing() as session:
        a_delivery(session, order)


def stopped(klarna: Any, sandbox: Any, **fields: Any) -> Order:
    """An order that Klarna had accepted and then stopped, found by a look."""
    order = an_open_order(klarna, sandbox, **fields)
    sandbox.fraud(order.klarna_order_id, "STOPPED")
    reservations.look_at(klarna, order.id)
    return order


# --- Review ----------------------------------------------------------------------------------------------------------------


def test_a_purchase_in_review_is_neither_delivered_nor_invoiced_and_a_look_clears_it(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """B21, to the letter; reference 2.10."""
    order = an_open_order(klarna, sandbox, fraud_status="PENDING")
    with pytest.raises(Refusal) as no:
        deliver_all(order)
    assert str(no.value) == UNDER_REVIEW
    with pytest.raises(Refusal) as no:
        reservations.invoice(klarna, clerk, order.id, DocType.FINAL, a_money_form(49_900))
    assert str(no.value) == UNDER_REVIEW and not sandbox.posts(operation="create_capture")
    sandbox.fraud(order.klarna_order_id, "ACCEPTED")
    reservations.look_at(klarna, order.id)
    deliver_all(order)
    assert kept(order).hold_reason is None


def test_a_notification_is_a_reason_to_ask_and_is_never_believed(books: Any, klarna: Any, sandbox: Any) -> None:
    """Reference 3.2, security 52: what Klarna shows counts, whatever the notification said; twice changes nothing."""
    order = an_open_order(klarna, sandbox, fraud_status="PENDING")
    lie = a_push(order, "FRAUD_RISK_ACCEPTED")
    assert fraud.notified(klarna, lie) == "PENDING" and kept(order).fraud_status == "PENDING"
    sandbox.fraud(order.klarna_order_id, "ACCEPTED")
    truth = a_push(order, "FRAUD_RISK_REJECTED")
    assert [fraud.notified(klarna, truth), fraud.notified(klarna, truth)] == ["ACCEPTED", "ACCEPTED"]
    deliver_all(order)


def test_a_notification_about_nobodys_purchase_asks_nobody(books: Any, klarna: Any, sandbox: Any) -> None:
    order = an_open_order(klarna, sandbox)
    sandbox.clear_log()
    foreign = a_push(order, klarna_order_id="00000000-0000-4000-8000-000000000000")
    assert fraud.notified(klarna, foreign) == fraud.UNKNOWN_ORDER and not sandbox.log()


def test_a_notification_waits_while_klarna_cannot_be_asked(books: Any, klarna: Any, sandbox: Any) -> None:
    order = an_open_order(klarna, sandbox, fraud_status="PENDING")
    push = a_push(order)
    sandbox.fault("drop_before", operation="get_order")
    with pytest.raises(NotReached):
        fraud.notified(klarna, push)
    assert kept(order).fraud_status == "PENDING"


# --- Stops after acceptance --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["STOPPED", "REJECTED"])
def test_a_no_after_acceptance_stops_the_order_also_when_klarna_accepts_again(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, status: str
) -> None:
    """The stop is a person's to lift; by notification as by look."""
    order = an_open_order(klarna, sandbox, deliver=False)
    sandbox.fraud(order.klarna_order_id, status)
    fraud.notified(klarna, a_push(order, f"FRAUD_RISK_{status}"))
    assert kept(order).hold_reason == f"FRAUD_{status}"
    sandbox.fraud(order.klarna_order_id, "ACCEPTED")
    reservations.look_at(klarna, order.id)
    for act in (
        lambda: deliver_all(order),
        lambda: reservations.invoice(klarna, clerk, order.id, DocType.FINAL, a_money_form(49_900)),
    ):
        with pytest.raises(Refusal, match=STOPPED):
            act()
    assert not sandbox.posts(operation="create_capture")


def test_a_purchase_turned_down_at_once_is_no_stop(books: Any, klarna: Any, sandbox: Any) -> None:
    order = an_open_order(klarna, sandbox, fraud_status="PENDING")
    sandbox.fraud(order.klarna_order_id, "REJECTED")
    reservations.look_at(klarna, order.id)
    assert kept(order).hold_reason is None
    with pytest.raises(Refusal, match="turned the purchase down"):
        deliver_all(order)


def test_the_stop_is_asked_for_under_the_orders_lock(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop found between the look and the number: T1 refuses. With its guard taken out the invoice would be made."""
    order = an_open_order(klarna, sandbox, deliver=True)
    looked = reservations.look_before

    def stopped_meanwhile(*given: Any) -> Any:
        look = looked(*given)
        with writing() as session:
            found = orders.get(session, order.id, lock=True)
            holds.note(session, found, "STOPPED")
        return look

    monkeypatch.setattr(reservations, "look_before", stopped_meanwhile)
    form = a_money_form(proposed(order))
    with pytest.raises(Refusal, match=STOPPED):
        reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, form)
    assert not sandbox.posts(operation="create_capture")
    monkeypatch.setattr(holds, "require_none", lambda _order: None)
    made = reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(proposed(order)))
    assert the_document(made).state is DocState.ISSUED, "without the guard the stop keeps nothing back"


def test_a_capture_that_waits_is_not_sent_once_the_order_is_stopped(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """T2 asks again: the document is refused and nothing leaves, though Klarna accepts the purchase again."""
    order = an_open_order(klarna, sandbox, deliver=True)
    with klarna.slot(), klarna.slot():
        document_id = reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, a_money_form(proposed(order)))
    assert last_op(document_id).state is OpState.PREPARED
    with writing() as session:
        holds.note(session, orders.get(session, order.id, lock=True), "STOPPED")
    janitor.run(klarna)
    assert last_op(document_id).state is OpState.NOT_EXECUTED and not sandbox.posts(operation="create_capture")
    assert the_document(document_id).refusal_kind is RefusalKind.DRIFT


def test_finance_or_an_administrator_lifts_the_stop_once_klarna_accepts_and_says_why(
    books: Any, klarna: Any, sandbox: Any, finance: Any, admin: Any, clerk: Any
) -> None:
    """Logged and in the history: who, when and why; a new stop stands again."""
    order = stopped(klarna, sandbox)
    with pytest.raises(NotAllowed):
        fraud.lift(klarna, clerk, order.id, "kunden har ringt", secrets.token_hex(16))
    with pytest.raises(Refusal, match="Klarna still stops the purchase"):
        fraud.lift(klarna, finance, order.id, "kunden har ringt", secrets.token_hex(16))
    sandbox.fraud(order.klarna_order_id, "ACCEPTED")
    with pytest.raises(BadInput):
        fraud.lift(klarna, finance, order.id, " ", secrets.token_hex(16))
    fraud.lift(klarna, finance, order.id, "kunden har ringt", secrets.token_hex(16))
    deliver_all(order)
    with pytest.raises(Refusal, match="not stopped"):
        fraud.lift(klarna, admin, order.id, "en gång till", secrets.token_hex(16))
    with reading() as session:
        told = [(each.what, each.who, each.reason) for each in events(session, orders.get(session, order.id))]
        assert (What.LIFTED, finance.name, "kunden har ringt") in told and (
            What.HELD,
            "system",
            "FRAUD_STOPPED",
        ) in told
        assert set(session.scalars(sa.select(Audit.action))) >= {"order.held", "order.lifted"}
    sandbox.fraud(order.klarna_order_id, "STOPPED")
    reservations.look_at(klarna, order.id)
    assert kept(order).hold_reason == "FRAUD_STOPPED"
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(OrderHold)) == 3


def test_the_delivery_page_the_last_step_and_the_order_say_why(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    order = stopped(klarna, sandbox)
    with reading() as session:
        found = orders.get(session, order.id)
        assert STOPPED in str(delivery_page.sheet(session, clerk, order.id).refusal)
        assert STOPPED in str(deliveries.klarna_says_no(found)) and holds.refusal(found) is not None
        assert the_warehouse(session)
