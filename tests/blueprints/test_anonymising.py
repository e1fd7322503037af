"""«Anonymisera kund» as a browser sees it (B29)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading, writing
from models import Customer
from services import register
from services.gateway import Gateway
from tests import builders
from tests.services.test_payments import pay, wanted
from tests.web_client import WebClient


@pytest.fixture
def customer(app: Flask) -> Customer:
    with writing() as session:
        return builders.a_customer(session, name="Anna Ek", email="anna@example.com")


def card(customer: Customer) -> Customer:
    with reading() as session:
        return register.get_customer(session, customer.id)


def test_finance_is_told_what_goes_and_what_stays_and_types_the_number(customer: Customer, client: WebClient) -> None:
    address = f"/register/customers/{customer.id}"
    page = client.log_in("finance").get(address)
    assert page.find(f"a[href={address}/anonymise]").text == "Anonymisera kund"
    page = client.get(f"{address}/anonymise")
    assert "bokföringslagen 7 kap. 2 §" in page.text
    page = client.submit(f"form[action={address}/anonymise]", number="x1")
    assert page.status == 422
    assert page.form(f"form[action={address}/anonymise]").values["number"] == "x1"
    page = client.submit(f"form[action={address}/anonymise]", number=str(customer.number))
    assert page.status == 200
    assert "Kunden är anonymiserad." in page.text
    assert "anonymiserade kunden" in page.text and "Kortet är tomt" in page.text
    assert "Ekonom" in page.text and "bokföringslagen 7 kap. 2 §" in page.text
    assert "Anna" not in page.text
    assert not page.has("form[data-unsaved]")
    assert card(customer).name == f"#{customer.number}"
    assert "Anonymiserad" in client.get("/register/customers").find("tbody").text
    assert "redan anonymiserad" in client.get(f"{address}/anonymise").text


def test_what_is_in_the_way_is_named_with_the_way_there(customer: Customer, client: WebClient) -> None:
    with writing() as session:
        order = builders.an_order(session, customer=session.get_one(Customer, customer.id))
    address = f"/register/customers/{customer.id}/anonymise"
    page = client.log_in("admin", language="en").get(address)
    assert page.find(f"a[href=/orders/{order.id}]").text == (
        f"Order {order.number} is not delivered and invoiced, or cancelled."
    )
    assert not page.has(f"form[action={address}]")
    assert client.post(address, {"number": str(customer.number)}).status == 409
    assert card(customer).anonymised_at is None


def test_a_card_changed_since_the_page_was_drawn_is_left(customer: Customer, client: WebClient) -> None:
    address = f"/register/customers/{customer.id}/anonymise"
    client.log_in("finance").get(address)
    with writing() as session:
        session.get_one(Customer, customer.id).phone = "070-2"
    assert client.submit(f"form[action={address}]", number=str(customer.number)).status == 409
    assert card(customer).name == "Anna Ek"


@pytest.mark.parametrize("who", ["viewer", "clerk"])
def test_others_see_why_not(customer: Customer, client: WebClient, who: str) -> None:
    address = f"/register/customers/{customer.id}"
    page = client.log_in(who).get(address)
    assert any("Anonymisera kund" in each.text for each in page.all("[aria-disabled=true]"))
    assert client.get(f"{address}/anonymise").status == 403
    assert client.post(f"{address}/anonymise", {"number": str(customer.number)}).status == 403


def test_who_is_not_there_is_404(customer: Customer, client: WebClient) -> None:
    client.log_in("finance")
    assert client.get("/register/customers/999/anonymise").status == 404
    assert client.post("/register/customers/999/anonymise", {"number": "999"}).status == 404


def test_documents_print_as_before(customer: Customer, client: WebClient, klarna: Gateway) -> None:
    """The law keeps them for seven years; the order's page shows the customer's number."""
    with writing() as session:
        order = builders.an_order(session, customer=session.get_one(Customer, customer.id))
        builders.a_delivery(session, order)
    invoice = builders.an_invoice(klarna, order)
    assert pay(builders.FINANCE, invoice, wanted(invoice.gross_minor)) is not None
    client.log_in("finance")
    address = f"/invoices/{invoice.id}/print?copy=1"
    before = client.get(address)
    page = client.get(f"/register/customers/{customer.id}/anonymise")
    page = client.submit(f"form[action=/register/customers/{customer.id}/anonymise]", number=str(customer.number))
    assert "Anonymiserad" in page.text
    after = client.get(address)
    assert "Anna Ek" in after.text
    assert after.find("article.sheet").text == before.find("article.sheet").text
    assert f"#{customer.number}" in client.get(f"/orders/{order.id}").text


def test_the_number_of_another_is_refused_beside_the_field_and_kept(customer: Customer, client: WebClient) -> None:
    address = f"/register/customers/{customer.id}/anonymise"
    client.log_in("finance", language="en").get(address)
    page = client.submit(f"form[action={address}]", number="4711")
    assert page.status == 422
    assert f"Type the customer's number, {customer.number}, to confirm." in page.text
    assert page.find("input[name=number]").get("aria-invalid") == "true"
    assert page.form(f"form[action={address}]").values["number"] == "4711"
    assert client.submit(f"form[action={address}]", number=str(customer.number)).status == 200
    assert "The card is empty and cannot be changed." in client.get(f"/register/customers/{customer.id}").text


def test_an_anonymised_card_is_not_changed_by_address(customer: Customer, client: WebClient) -> None:
    address = f"/register/customers/{customer.id}"
    client.log_in("finance").get(f"{address}/anonymise")
    client.submit(f"form[action={address}/anonymise]", number=str(customer.number))
    assert client.post(address, {"name": "Anna Ek", "country": "SE"}).status == 409
    assert card(customer).name == f"#{customer.number}"
