"""«Ny order» as a browser sees it: customer, rows, one order however often it is sent; what is wrong is said beside its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from models import Article, Customer, Order
from services import orders
from states import PaymentKind
from tests import builders
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return client.log_in("clerk")


@pytest.fixture
def card(app: Flask) -> Customer:
    with writing() as session:
        return builders.a_customer(session, "Anna Berg")


@pytest.fixture
def shirt(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, "T-shirt", 19_900, number="TS-1")


def row(number: int = 0, **fields: str) -> dict[str, str]:
    return {f"rows-{number}-{name}": value for name, value in fields.items()}


def made() -> list[Order]:
    with reading() as session:
        found = list(session.scalars(sa.select(Order)))
        assert all(order.lines and order.customer and order.payment_method for order in found)
        return found


def send(client: WebClient, press: str = "act=take", **fields: Any) -> Page:
    client.get("/orders/new")
    return client.submit("main form", press=press, **fields)


def test_an_order_for_a_known_customer_with_an_article_and_a_free_row(
    clerk_client: WebClient, card: Customer, shirt: Article
) -> None:
    """The article says what is left out; the free row says all."""
    page = send(
        clerk_client,
        customer=str(card.number),
        shop_number="W7",
        **row(0, article="ts-1", quantity="2"),
        **row(1, name="Gravyr", unit_price="50,50", vat_rate="2500", quantity="0,5"),
    )
    assert page.status == 200
    (order,) = made()
    assert f"Order {order.number}" in page.text and "Gravyr" in page.text
    assert (order.customer_id, order.shop_number, order.source) == (card.id, "W7", "hand")
    assert orders.total(order) == 39_800 + 2_525
    assert page.has("#klarna") and "skickas till Klarna som en enhet" in page.text


def test_a_new_customer_gets_a_card_and_goods_may_go_elsewhere(clerk_client: WebClient, shirt: Article) -> None:
    send(
        clerk_client, who="new", name="Bo Ek", email="bo@example.com", street="Nygatan 2", postal_code="22233", city="Lund",
        delivery_name="Ombudet", delivery_street="Hamngatan 1", delivery_city="Malmö", delivery_postal_code="211 22",
        **row(0, article="TS-1"),
    )  # fmt: skip
    (order,) = made()
    assert (order.customer.name, order.customer.postal_code) == ("Bo Ek", "222 33")
    assert json.loads(order.party)["delivery"]["street"] == "Hamngatan 1"
    assert "Hamngatan 1" in clerk_client.get(f"/orders/{order.id}").text


def test_an_order_paid_with_klarna_is_told_to_wait_for_its_reservation(
    clerk_client: WebClient, card: Customer, shirt: Article
) -> None:
    with reading() as session:
        klarna = builders.a_payment_method(session, PaymentKind.KLARNA).id
    page = send(clerk_client, customer=card.name, payment=str(klarna), **row(0, article="TS-1"))
    assert "väntar på sin reservation" in page.text
    assert made()[0].payment_method.kind is PaymentKind.KLARNA


def test_a_row_is_added_and_what_was_typed_stays_with_and_without_scripts(clerk_client: WebClient) -> None:
    for htmx in (False, "new-order"):
        clerk_client.get("/orders/new")
        page = clerk_client.submit(
            "main form", press="act=row", htmx=htmx, customer="Anna", **row(2, name="Vara", quantity="x")
        )
        assert page.status == 200
        assert len(page.all("#order-rows tbody tr")) == 4
        assert page.find("#rows-2-quantity")["value"] == "x" and page.find("#customer")["value"] == "Anna"
        assert page.has("html") is (htmx is False) or page.element.tag == "html"
    assert made() == []


def test_the_customer_is_looked_up_and_chosen_where_several_fit(
    clerk_client: WebClient, card: Customer, shirt: Article
) -> None:
    """B30."""
    with writing() as session:
        other = builders.a_customer(session, "Anna Bergman")
    page = send(clerk_client, press="act=find", customer="Anna")
    assert [each["value"] for each in page.all("input[name=customer_id]")] == [str(other.id), str(card.id)]
    page = send(clerk_client, customer="Anna", **row(0, article="TS-1"))
    assert page.status == 422 and made() == []
    clerk_client.submit("main form", press="act=take", customer_id=str(other.id))
    assert made()[0].customer_id == other.id
    assert "Ingen kund passar" in send(clerk_client, press="act=find", customer="Zebra").text
    assert "Anna Bergman" in send(clerk_client, press="act=find", customer=str(other.number)).text


def test_the_sum_is_told_before_the_order_is_taken(clerk_client: WebClient, shirt: Article) -> None:
    page = send(clerk_client, press="act=count", **row(0, article="TS-1", quantity="3"), **row(1, article="TS-1"))
    assert page.status == 200 and "796,00" in page.text
    assert "står på 2 rader" in page.text and made() == []


@pytest.mark.parametrize("press", ["act=count", "act=row"])
def test_the_customer_that_was_found_is_named_however_often_the_form_is_drawn(
    clerk_client: WebClient, card: Customer, shirt: Article, press: str
) -> None:
    """B30: a number alone tells nobody whose order it is going to be."""
    page = send(clerk_client, press="act=find", customer="Anna")
    assert "Anna Berg" in page.find(".banner.ok").text
    for fields in (row(0, article="TS-1"), row(1, article="TS-1"), row(1, article="finns inte")):
        page = clerk_client.submit("main form", page=page, press=press, **fields)
        assert "Anna Berg" in page.find(".banner.ok").text
    page = clerk_client.submit("main form", page=page, press=press, who="new")
    assert not page.has(".banner.ok")


def test_the_choice_among_several_customers_stays_made_while_the_sum_is_told(
    clerk_client: WebClient, card: Customer, shirt: Article
) -> None:
    """B30."""
    with writing() as session:
        builders.a_customer(session, "Anna Bergman")
    send(clerk_client, press="act=find", customer="Anna")
    page = clerk_client.submit("main form", press="act=count", customer_id=str(card.id), **row(0, article="TS-1"))
    assert [each["value"] for each in page.all("input[name=customer_id][checked]")] == [str(card.id)]
    clerk_client.submit("main form", press="act=take")
    assert [each.customer_id for each in made()] == [card.id]


def test_pressing_twice_makes_one_order(clerk_client: WebClient, card: Customer, shirt: Article) -> None:
    """B16, catalogue rows 15 and 75."""
    page = clerk_client.get("/orders/new")
    for _ in range(2):
        answer = clerk_client.submit(
            "main form", page=page, press="act=take", customer=str(card.number), **row(0, article="TS-1")
        )
        assert answer.status == 200
    assert len(made()) == 1
    other = clerk_client.submit(
        "main form", page=page, press="act=take", customer=str(card.number), **row(0, article="TS-1", quantity="2")
    )
    assert other.status == 409 and len(made()) == 1


WRONG = [
    (row(0, article="finns inte"), "rows-0-article"),
    (row(0, name="Vara", unit_price="10"), "rows-0-vat_rate"),
    (row(0, name="Vara", vat_rate="2500"), "rows-0-unit_price"),
    (row(1, article="TS-1", quantity="1,2345"), "rows-1-quantity"),
    (row(1, article="TS-1", quantity="0"), "rows-1-quantity"),
    (row(1, article="TS-1", unit_price="1e3"), "rows-1-unit_price"),
    (row(1, article="TS-1", unit_price="-5"), "rows-1-unit_price"),
    (row(1, article="TS-1", discount="200"), "rows-1-discount"),
    ({"customer": "", **row(0, article="TS-1")}, "customer"),
    ({"customer": "Zebra", **row(0, article="TS-1")}, "customer"),
    ({"who": "new", "name": "", **row(0, article="TS-1")}, "name"),
    ({"who": "new", "name": "Bo", "email": "a@b.se, c@d.se", **row(0, article="TS-1")}, "email"),
    ({"who": "new", "name": "Bo", "postal_code": "1112A", **row(0, article="TS-1")}, "postal_code"),
    ({"who": "new", "name": "Bo", "country": "XX", **row(0, article="TS-1")}, "country"),
    (
        {"who": "new", "name": "Bo", "organisation_number": "811218-9876", **row(0, article="TS-1")},
        "organisation_number",
    ),
    ({"delivery_street": "Gatan", "delivery_postal_code": "9", **row(0, article="TS-1")}, "delivery_postal_code"),
    ({"note": "x\u202ey", **row(0, article="TS-1")}, "note"),
]


def test_what_is_wrong_is_said_beside_its_field_and_stays(
    clerk_client: WebClient, card: Customer, shirt: Article
) -> None:
    """Catalogue rows 1-6, 9, 40 and 44-46; B14 beyond three decimals."""
    for fields, name in WRONG:
        page = send(clerk_client, **{"customer": str(card.number), "shop_number": "W7", **fields})
        assert page.status == 422
        assert page.has(f"#{name}-error"), [each["id"] for each in page.all(".error")]
        assert page.find("#shop_number")["value"] == "W7"
        assert made() == []


def test_an_order_without_rows_is_refused(clerk_client: WebClient, card: Customer) -> None:
    page = send(clerk_client, customer=str(card.number))
    assert page.status == 422 and "inga rader" in page.text


def test_a_number_of_rows_nobody_has_is_refused(clerk_client: WebClient, card: Customer) -> None:
    """Catalogue row 12: a hidden figure is as little believed as any other."""
    for rows in ("0", "-1", "1e3", "999999", ""):
        clerk_client.get("/orders/new")
        assert clerk_client.submit("main form", press="act=take", rows=rows, customer="1").status == 422
    assert made() == []
