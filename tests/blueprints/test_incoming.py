"""Orders from Klarna as a browser sees them: brought in by id, attached, and what waits for a person (B15, B16, B30)."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from klarna_sandbox.control import Control
from models import KlarnaAccount, Order, Push
from services import pushes
from services.gateway import Gateway
from tests import builders
from tests.services.test_klarna_orders import a_line, a_purchase
from tests.web_client import WebClient


@pytest.fixture
def account(app: Flask, sandbox: Control, klarna: Gateway) -> KlarnaAccount:
    with writing() as session:
        return builders.an_account(session, sandbox, klarna)


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return client.log_in("clerk")


def made() -> list[Order]:
    with reading() as session:
        return list(session.scalars(sa.select(Order)))


def push(account: KlarnaAccount, order_id: str) -> None:
    with writing() as session:
        pushes.hear(session, session.get_one(KlarnaAccount, account.id), pushes.ORDER, order_id)


def test_a_purchase_is_looked_at_first_and_then_taken(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    bought = a_purchase(sandbox)
    clerk_client.get("/orders/from-klarna")
    page = clerk_client.submit("main form", press="step=look", klarna_order_id=bought.upper())
    assert page.status == 200 and "Anna Berg" in page.text and made() == []
    assert [call["operation"] for call in sandbox.posts()] == []
    page = clerk_client.submit("main form", press="step=take")
    (order,) = made()
    assert f"Order {order.number} har sin reservation, och Klarna vet att den är mottagen." in page.text
    assert sandbox.state(bought)["acknowledged_at"] is not None


def test_it_works_by_htmx_too_and_says_what_is_in_the_way(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    """B16: the sentence, and the way to the order that has it."""
    bought = a_purchase(sandbox)
    clerk_client.get("/orders/from-klarna")
    page = clerk_client.submit("main form", press="step=look", htmx="bring", klarna_order_id=bought)
    assert page.element.get("id") == "bring" or page.has("#bring")
    clerk_client.submit("main form", press="step=look", klarna_order_id=bought)
    clerk_client.submit("main form", press="step=take")
    clerk_client.get(f"/orders/from-klarna?id={bought}&account={account.id}")
    page = clerk_client.submit("main form", press="step=look")
    assert page.status == 409
    assert f"Reservationen hör redan till order {made()[0].number}." in page.text
    assert page.has(f"a[href$=/orders/{made()[0].id}]")


NO_IDS = ["", "K4MADNY", "x" * 200, "3f2a90c1-7b1e-4c58-9d42-5e6f708192a3"]


def test_an_id_that_is_none_or_unknown_makes_nothing(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    for typed in NO_IDS:
        clerk_client.get("/orders/from-klarna")
        page = clerk_client.submit("main form", press="step=look", klarna_order_id=typed)
        assert page.status in (409, 422) and page.has(".banner.bad")
        assert made() == []


MARKED = "Rätta det som är markerat"


def test_a_no_to_the_purchase_stands_beside_its_id(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    """B16: what is to be corrected is marked, for an order to come and for a reservation to attach."""
    with writing() as session:
        order = builders.an_order(session)
    taken = a_purchase(sandbox)
    clerk_client.get("/orders/from-klarna")
    clerk_client.submit("main form", press="step=look", klarna_order_id=taken)
    clerk_client.submit("main form", press="step=take")
    for address in ("/orders/from-klarna", f"/orders/{order.id}/reservation"):
        for typed, said in ((taken, "hör redan till order"), (str(uuid.uuid4()), "Klarna hittar inte köpet")):
            clerk_client.get(address)
            page = clerk_client.submit("main form", press="step=look", klarna_order_id=typed)
            assert page.status == 409 and MARKED in page.text
            assert page.find("#klarna_order_id")["aria-invalid"] == "true"
            assert said in page.find("#klarna_order_id-error").text


def test_a_no_that_no_field_can_mend_asks_nobody_to_correct_one(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    """B16: Klarna cannot be reached; there is nothing marked to look for."""
    sandbox.fault("server_error", operation="get_order", times=0)
    clerk_client.get("/orders/from-klarna")
    page = clerk_client.submit("main form", press="step=look", klarna_order_id=str(uuid.uuid4()))
    assert page.status in (409, 503) and MARKED not in page.text
    assert "Inget har sparats." in page.find("main .banner.bad").text
    assert not page.has("[aria-invalid=true]")


def test_without_an_account_there_is_nothing_to_choose(clerk_client: WebClient) -> None:
    clerk_client.get("/orders/from-klarna")
    assert clerk_client.submit("main form", press="step=look", klarna_order_id=str(uuid.uuid4())).status == 422


def test_a_purchase_with_two_customers_waits_in_the_list_until_one_is_chosen(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, clerk_client: WebClient
) -> None:
    """B30."""
    with writing() as session:
        cards = [builders.a_customer(session, name, email="anna@example.com") for name in ("Anna", "Anna igen")]
    bought = a_purchase(sandbox)
    push(account, bought)
    pushes.run(klarna)
    page = clerk_client.get("/orders/incoming")
    assert bought in page.html and "Flera kunder passar" in page.text
    clerk_client.get(f"/orders/from-klarna?id={bought}&account={account.id}")
    clerk_client.submit("main form", press="step=look")
    asked = clerk_client.submit("main form", press="step=take")
    assert asked.status == 422 and "Rätta det som är markerat" in asked.text
    assert "Flera kunder passar" in asked.find("fieldset#customer_id #customer_id-error").text
    assert len(asked.all("fieldset#customer_id input[type=radio]")) == 3, "the choice stands there to be made"
    clerk_client.get(f"/orders/from-klarna?id={bought}&account={account.id}")
    clerk_client.submit("main form", press="step=look")
    clerk_client.submit("main form", press="step=take", customer_id=str(cards[1].id))
    assert made()[0].customer_id == cards[1].id
    pushes.run(klarna)
    assert not clerk_client.get("/orders/incoming").has("main tbody tr")


def test_what_waits_can_be_tried_again_and_put_aside_with_a_reason(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, clerk_client: WebClient
) -> None:
    bought = a_purchase(sandbox, order_amount=1)
    push(account, bought)
    pushes.run(klarna)
    assert "ifrån varandra" in clerk_client.get("/orders/incoming").text
    with reading() as session:
        number = session.scalars(sa.select(Push.id)).one()
    assert clerk_client.submit(f"/orders/incoming/{number}/again").status == 200
    pushes.run(klarna)
    clerk_client.get("/orders/incoming")
    page = clerk_client.submit(f"#aside-{number}", reason=" ")
    assert page.status == 422 and page.has(f"#reason-{number}-error")
    page = clerk_client.submit(f"#aside-{number}", reason="provköp")
    assert "Undanlagt" in page.text and "Inget väntar." in page.text
    assert clerk_client.post(f"/orders/incoming/{number}/again").status == 409


def test_a_viewer_sees_the_list_and_may_do_nothing(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, client: WebClient
) -> None:
    push(account, a_purchase(sandbox, order_amount=1))
    pushes.run(klarna)
    page = client.log_in("viewer").get("/orders/incoming")
    assert page.has("main tbody tr") and not page.has("main form[method=post]")
    assert klarna.push_token(account.store_id) not in page.html


def test_an_administrator_is_given_the_addresses(account: KlarnaAccount, klarna: Gateway, client: WebClient) -> None:
    """Security 52: nobody else sees the token."""
    page = client.log_in("admin").get("/orders/incoming")
    assert f"/push/{account.store_id}/{klarna.push_token(account.store_id)}?klarna_order_id=" in page.html


# --- Attaching -------------------------------------------------------------------------------------------------------


def test_a_reservation_is_compared_and_attached(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    """B16."""
    with writing() as session:
        order = builders.an_order(session, lines=[builders.row("T-shirt", 10_000)])
    bought = a_purchase(sandbox)
    page = clerk_client.get(f"/orders/{order.id}")
    assert page.has(f"a[href=/orders/{order.id}/reservation]")
    clerk_client.get(f"/orders/{order.id}/reservation")
    page = clerk_client.submit("main form", press="step=look", klarna_order_id=bought)
    assert page.status == 200 and made()[0].klarna_order_id is None
    page = clerk_client.submit("main form", press="step=attach")
    assert made()[0].klarna_order_id == bought and "har sin reservation" in page.text
    assert page.has("#klarna .legend")


def test_sums_that_differ_are_shown_and_cannot_be_attached(
    account: KlarnaAccount, sandbox: Control, clerk_client: WebClient
) -> None:
    """B16."""
    with writing() as session:
        order = builders.an_order(session, lines=[builders.row("T-shirt", 10_001)])
    bought = a_purchase(sandbox)
    clerk_client.get(f"/orders/{order.id}/reservation")
    page = clerk_client.submit("main form", press="step=look", klarna_order_id=bought)
    assert "100,01 kr" in page.text and "100,00 kr" in page.text
    assert "step" in page.html and not [each for each in page.all("button") if each.get("value") == "attach"]
    sent = {"step": "attach", "klarna_order_id": bought, "account_id": str(account.id)}
    assert clerk_client.post(f"/orders/{order.id}/reservation", sent).status == 409
    assert made()[0].klarna_order_id is None


def test_an_order_with_a_reservation_says_so(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, clerk_client: WebClient
) -> None:
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
    page = clerk_client.get(f"/orders/{order.id}/reservation")
    assert "Ordern har redan en reservation." in page.text
    assert clerk_client.get("/orders/999/reservation").status == 404
    bought = a_purchase(sandbox, a_line())
    sent = {"step": "attach", "klarna_order_id": bought, "account_id": str(account.id)}
    assert clerk_client.post(f"/orders/{order.id}/reservation", sent).status == 409
