"""Goods that would leave on an order to be paid with Klarna without a reservation: said before, said after, marked in lists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

import clock
from db import reading, writing
from klarna_sandbox.control import Control
from models import Delivery, Order
from services import deliveries, orders
from services.gateway import Gateway
from states import DocType, PaymentKind
from tests.builders import a_payment_method, an_invoice, an_order, row
from tests.web_client import WebClient

FORM = "#deliver form"
LACKS = "Ordern ska betalas med Klarna men har ingen reservation."


@pytest.fixture
def unlinked(app: Flask) -> Order:
    """Two hats, to be paid with Klarna, that nobody has attached to a purchase."""
    with writing() as session:
        order = an_order(session, lines=[row("Hatt", 20_000, pieces=2)])
        order.payment_method = a_payment_method(session, PaymentKind.KLARNA)
        return order


def _made(order: Order) -> list[Delivery]:
    with reading() as session:
        return deliveries.listing(session, order.id)


def test_the_delivery_page_says_beforehand_that_there_is_no_reservation_and_where_to_attach_it(
    unlinked: Order, client: WebClient
) -> None:
    """F2, F5: goods may leave; an invoice cannot follow, and its button says why."""
    page = client.log_in("clerk").get(f"/orders/{unlinked.id}/deliver")
    told = page.find("#deliver .banner.warn")
    assert "Reservation saknas" in told.text and "ingen betalar för dem" in told.text
    assert told.find("a")["href"] == f"/orders/{unlinked.id}/reservation"
    alone, both = page.all("#deliver .actions button")
    assert alone.get("aria-disabled") is None
    assert both.get("aria-disabled") == "true" and LACKS in both.text


def test_after_such_a_delivery_the_page_says_what_was_done_and_what_was_not(unlinked: Order, client: WebClient) -> None:
    """F21."""
    client.log_in("clerk").get(f"/orders/{unlinked.id}/deliver")
    page = client.submit(FORM, press="then=deliver")
    said = page.find("#messages").text
    assert said.startswith("Leverans 1 är registrerad, men den kan inte faktureras:") and "Koppla reservationen" in said
    assert len(_made(unlinked)) == 1


def test_what_has_left_without_a_reservation_stands_on_the_start_page(unlinked: Order, client: WebClient) -> None:
    """F21: with what is wrong where the others have the day their reservation expires."""
    client.log_in("clerk").get(f"/orders/{unlinked.id}/deliver")
    client.submit(FORM, press="then=deliver")
    row_ = next(each for each in client.get("/").all("tbody tr") if f"Order {unlinked.number}" in each.text)
    assert "Reservation saknas" in row_.text and "400,00" in row_.text and "Levererad" in row_.text


def test_a_form_that_asks_for_the_invoice_all_the_same_delivers_nothing(unlinked: Order, client: WebClient) -> None:
    """F2: what the button says is said again on the server, before anything is stored."""
    form = client.log_in("clerk").get(f"/orders/{unlinked.id}/deliver").form(FORM)
    answer = client.post(f"/orders/{unlinked.id}/deliver", {**form.values.to_dict(), "then": "invoice"})
    assert answer.status == 409 and LACKS in answer.text
    assert _made(unlinked) == []


def test_the_list_marks_the_order_until_it_has_its_reservation(unlinked: Order, client: WebClient) -> None:
    """B17, F4: a mark in words, and the icon of the invoice says why it is off."""
    with writing() as session:
        paid_to_us = an_order(session)
    page = client.log_in("clerk").get("/orders?view=to_deliver")
    marks = {
        each.find("td[data-label=Order] a").text: each.all("td[data-label=Reservation] .pill")
        for each in page.all("tbody tr")
    }
    assert [each.text for each in marks[str(unlinked.number)]] == ["Reservation saknas"]
    assert marks[str(paid_to_us.number)] == []
    off = [each.text for each in page.all("td.icons button[aria-disabled]")]
    assert off == [f"Skapa faktura för order {unlinked.number}: Reservation saknas: ordern kan inte faktureras."]


def test_the_preview_of_many_says_which_could_not_be_invoiced(unlinked: Order, client: WebClient) -> None:
    """F2; screens, "Orders"."""
    client.log_in("clerk")
    page = client.get(f"/batches/new?selected={unlinked.id}&act=deliver")
    assert "Levereras men kan inte faktureras: ordern ska betalas med Klarna och har ingen reservation." in page.text
    assert page.has(f"#take-{unlinked.id}")
    assert LACKS in client.get(f"/batches/new?selected={unlinked.id}&act=deliver_and_invoice").text


def test_deliver_and_invoice_says_that_the_delivery_is_registered_and_the_invoice_is_not_made(
    app: Flask, client: WebClient
) -> None:
    """F5: who leaves the last step knows that the goods have left."""
    with writing() as session:
        order = an_order(session)
    client.log_in("clerk").get(f"/orders/{order.id}/deliver")
    page = client.submit(FORM, press="then=invoice")
    assert page.find("#messages").text == "Leverans 1 är registrerad. Fakturan är inte skapad än."


def test_when_all_is_invoiced_before_it_is_delivered_only_the_delivery_is_offered(
    app: Flask, klarna: Gateway, client: WebClient
) -> None:
    """F3, F5."""
    with writing() as session:
        order = an_order(session)
    an_invoice(klarna, order, kind=DocType.FINAL)
    client.log_in("clerk")
    page = client.get(f"/orders/{order.id}/deliver")
    alone, both = page.all("#deliver .actions button")
    assert alone.get("aria-disabled") is None
    assert both.get("aria-disabled") == "true" and "Allt på ordern är fakturerat." in both.text


@pytest.mark.parametrize(
    ("act", "sentence"),
    [("expire", "Kontakta Klarna om den kan förnyas."), ("portal_cancel", "Köpet är avbrutet hos Klarna.")],
)
def test_a_reservation_that_has_ended_since_it_was_read_is_found_out_when_the_delivery_page_opens(
    app: Flask, sandbox: Control, klarna: Gateway, client: WebClient, act: str, sentence: str
) -> None:
    """F27, B21: a reading older than a minute is renewed before goods are let go."""
    with writing() as session:
        order = an_order(session, sandbox, klarna)
    getattr(sandbox, act)(order.klarna_order_id)
    with writing() as session:
        orders.get(session, order.id, lock=True).klarna_read_at = clock.now() - timedelta(minutes=2)
    page = client.log_in("clerk").get(f"/orders/{order.id}/deliver")
    assert sentence in page.find("#deliver .banner.warn").text
    assert [each.get("aria-disabled") for each in page.all("#deliver .actions button")] == ["true", "true"]


def test_the_delivery_page_opens_and_says_so_when_klarna_cannot_be_asked(
    app: Flask, sandbox: Control, klarna: Gateway, client: WebClient
) -> None:
    """F27: what was last read stands, and the page says that it is that."""
    with writing() as session:
        order = an_order(session, sandbox, klarna)
        orders.get(session, order.id, lock=True).klarna_read_at = clock.now() - timedelta(minutes=2)
    sandbox.fault("server_error", operation="get_order", times=0)
    page = client.log_in("clerk").get(f"/orders/{order.id}/deliver")
    assert page.status == 200 and page.has("#deliver .banner.warn")
    assert [each.get("aria-disabled") for each in page.all("#deliver .actions button")] == [None, None]
