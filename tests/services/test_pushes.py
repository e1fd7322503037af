"""Pushes: kept, read back, made into an order once, told to Klarna, tried again, and left to a person where need be (B16)."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from freezegun import freeze_time

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from klarna_sandbox.control import Control
from models import KlarnaAccount, Order, Push
from services import fraud, klarna_orders, orders, pushes, worklists
from services.gateway import Gateway
from tests import builders
from tests.builders import CLERK
from tests.services.test_klarna_orders import ADDRESS, a_line, a_purchase


@pytest.fixture
def account(books: Flask, sandbox: Control, klarna: Gateway) -> KlarnaAccount:
    with writing() as session:
        return builders.an_account(session, sandbox, klarna)


def push(account: KlarnaAccount, order_id: str, kind: str = pushes.ORDER, event: str = "") -> None:
    with writing() as session:
        pushes.hear(session, session.get_one(KlarnaAccount, account.id), kind, order_id, event)


def the_push() -> Push:
    with reading() as session:
        return session.scalars(sa.select(Push)).one()


def made() -> list[Order]:
    with reading() as session:
        return list(session.scalars(sa.select(Order)))


def test_a_push_is_read_back_made_into_an_order_and_acknowledged(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B16."""
    bought = a_purchase(sandbox)
    push(account, bought)
    assert pushes.run(klarna) == 1
    assert [order.klarna_order_id for order in made()] == [bought]
    assert sandbox.state(bought)["acknowledged_at"] is not None
    found = the_push()
    assert found.handled_at is not None and found.result == f"order:{made()[0].id}" and found.last_error is None
    assert pushes.run(klarna) == 0


def test_the_same_push_twice_makes_one_order_and_costs_one_look(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B16, catalogue row 67: before and after it was handled."""
    bought = a_purchase(sandbox)
    push(account, bought)
    push(account, bought)
    pushes.run(klarna)
    push(account, bought)
    pushes.run(klarna)
    assert len(made()) == 1
    assert the_push().times == 3
    reads = [call for call in sandbox.log() if call["operation"] == "get_order"]
    assert len(reads) == 1 and len(sandbox.writes()) == 1


def test_two_workers_do_not_try_the_same_push(account: KlarnaAccount, sandbox: Control, klarna: Gateway) -> None:
    """The claim is a compare-and-set: without it both would read and make."""
    push(account, a_purchase(sandbox))
    with writing() as session:
        assert pushes._claim(session, the_push().id)
    with writing() as session:
        assert not pushes._claim(session, the_push().id)
    assert pushes.run(klarna) == 0


@pytest.mark.parametrize("fault", ["drop_before", "unavailable"])
def test_klarnas_silence_is_asked_again_with_longer_and_longer_waits(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, fault: str
) -> None:
    bought = a_purchase(sandbox)
    push(account, bought)
    sandbox.fault(fault, operation="get_order", times=2)
    for wait in pushes.WAITS[:2]:
        before = clock.now()
        assert pushes.run(klarna) == 1
        assert pushes.run(klarna) == 0
        due = the_push().next_run_at
        assert due is not None and wait <= due - before <= wait + timedelta(seconds=20)
        with writing() as session:
            session.execute(sa.update(Push).values(next_run_at=clock.now()))
    assert made() == []
    assert pushes.run(klarna) == 1
    assert len(made()) == 1


def test_after_the_last_wait_it_stands_with_a_person(account: KlarnaAccount, sandbox: Control, klarna: Gateway) -> None:
    push(account, a_purchase(sandbox))
    with writing() as session:
        session.execute(sa.update(Push).values(tries=len(pushes.WAITS)))
    sandbox.fault("unavailable", operation="get_order")
    pushes.run(klarna)
    assert the_push().next_run_at is None
    with reading() as session:
        (waiting,) = pushes.waiting(session)
    assert "could not be reached" in str(waiting.why)


def test_an_unacknowledged_order_is_acknowledged_later_without_a_second_order(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    bought = a_purchase(sandbox)
    push(account, bought)
    sandbox.fault("drop_before", operation="acknowledge")
    pushes.run(klarna)
    assert len(made()) == 1 and the_push().handled_at is None
    with writing() as session:
        session.execute(sa.update(Push).values(next_run_at=clock.now()))
    pushes.run(klarna)
    assert len(made()) == 1 and the_push().handled_at is not None
    assert sandbox.state(bought)["acknowledged_at"] is not None


def test_an_unknown_purchase_and_a_closed_store_stand_in_the_work_list(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B15: the sentence names the store id; what Klarna does not know is asked for three times and no more."""
    push(account, str(uuid.uuid4()))
    for _ in range(pushes.UNKNOWN_TRIES + 1):
        with writing() as session:
            session.execute(sa.update(Push).values(next_run_at=clock.now()))
        assert pushes.run(klarna) == 1
    assert the_push().next_run_at is None
    with writing() as session:
        session.get_one(KlarnaAccount, account.id).active = False
    push(account, a_purchase(sandbox))
    pushes.run(klarna)
    with reading() as session:
        unknown, closed = pushes.waiting(session)
    assert "cannot find the purchase" in str(unknown.why)
    assert str(closed.why) == "The order belongs to store id K000001, which has not been set up."
    assert sandbox.writes() == []


def test_a_purchase_with_two_possible_customers_waits_for_a_choice_and_is_then_finished(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B30."""
    with writing() as session:
        cards = [builders.a_customer(session, name, email="anna@example.com") for name in ("Anna", "Anna igen")]
    bought = a_purchase(sandbox)
    push(account, bought)
    pushes.run(klarna)
    with reading() as session:
        (waiting,) = pushes.waiting(session)
    assert waiting.choose and made() == []
    klarna_orders.take_in(klarna, CLERK, account.id, bought, customer_id=cards[1].id)
    with writing() as session:
        pushes.follow_up(session, account.id, bought)
    pushes.run(klarna)
    assert made()[0].customer_id == cards[1].id
    assert the_push().handled_at is not None and sandbox.state(bought)["acknowledged_at"] is not None


def test_what_was_cancelled_before_we_read_it_is_no_work(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    bought = a_purchase(sandbox)
    sandbox.portal_cancel(bought)
    push(account, bought)
    pushes.run(klarna)
    assert (the_push().result, made()) == ("gone", [])


def test_a_person_sets_a_push_aside_with_a_reason_and_klarnas_repeats_do_not_bring_it_back(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    bought = a_purchase(sandbox, order_amount=1)
    push(account, bought)
    pushes.run(klarna)
    number = the_push().id
    with pytest.raises(BadInput), writing() as session:
        pushes.set_aside(session, CLERK, number, " ")
    with pytest.raises(NotAllowed), writing() as session:
        pushes.set_aside(session, builders.actor(builders.Role.VIEWER), number, "prov")
    with writing() as session:
        pushes.set_aside(session, CLERK, number, "provköp")
    push(account, bought)
    assert pushes.run(klarna) == 0
    with pytest.raises(Refusal), writing() as session:
        pushes.try_again(session, CLERK, number)
    with pytest.raises(NotFound), writing() as session:
        pushes.try_again(session, CLERK, 999)


def test_trying_again_asks_at_once_and_takes_what_has_been_mended(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    bought = a_purchase(sandbox, order_amount=1)
    push(account, bought)
    pushes.run(klarna)
    assert pushes.run(klarna) == 0
    sandbox.portal_update(bought, 10_000, [a_line()])
    with writing() as session:
        pushes.try_again(session, CLERK, the_push().id)
    pushes.run(klarna)
    assert len(made()) == 1


def test_a_notification_is_no_proof_but_a_reason_to_look(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B21, security 52: Klarna says PENDING whatever the notification says."""
    bought = a_purchase(sandbox, fraud_status="PENDING")
    order_id = klarna_orders.take_in(klarna, CLERK, account.id, bought)
    push(account, bought, pushes.FRAUD, "FRAUD_RISK_ACCEPTED")
    pushes.run(klarna)
    with reading() as session:
        assert orders.get(session, order_id).fraud_status == "PENDING"
    sandbox.fraud(bought, "ACCEPTED")
    push(account, bought, pushes.FRAUD, "FRAUD_RISK_ACCEPTED")
    pushes.run(klarna)
    with reading() as session:
        assert orders.get(session, order_id).fraud_status == "ACCEPTED"
        assert session.scalars(sa.select(Push.result).order_by(Push.id)).all() == ["PENDING", "ACCEPTED"]


def test_a_notification_about_nobodys_purchase_ends_there(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    push(account, str(uuid.uuid4()), pushes.FRAUD, "FRAUD_RISK_STOPPED")
    pushes.run(klarna)
    assert the_push().result == fraud.UNKNOWN_ORDER


def test_a_flood_is_let_go(account: KlarnaAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catalogue row 67."""
    monkeypatch.setattr(pushes, "MOST_WAITING", 3)
    for _ in range(5):
        push(account, str(uuid.uuid4()))
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Push)) == 3


def test_a_buyer_in_another_country_keeps_the_address(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    abroad = {**ADDRESS, "country": "FI", "postal_code": "00100", "city": "Helsingfors"}
    bought = a_purchase(sandbox, billing_address=abroad, shipping_address=abroad)
    with freeze_time(clock.now(), tick=True):
        push(account, bought)
        pushes.run(klarna)
    assert '"country":"FI"' in made()[0].party


def test_what_waits_for_a_person_is_a_work_list(account: KlarnaAccount, sandbox: Control, klarna: Gateway) -> None:
    """B15: and is gone from it when it is settled."""
    push(account, a_purchase(sandbox, order_amount=1))
    pushes.run(klarna)

    def listed() -> worklists.WorkList:
        with reading() as session:
            return next(each for each in worklists.today(session) if each.name == "incoming")

    assert listed().count == 1 and listed().items[0].push_id == the_push().id
    with writing() as session:
        pushes.set_aside(session, CLERK, the_push().id, "provköp")
    assert listed().count == 0
