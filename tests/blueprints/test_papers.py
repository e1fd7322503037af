"""Papers in the browser: reached from the order, printed one by one and by the dozen, and as files (B23, B26)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import writing
from errors import Refusal
from models import Document, Order
from services import papers, preferences, printing
from services.preferences import Preferences
from states import DocType
from tests.builders import CLERK, a_delivery, a_warehouse, an_invoice, an_order, row
from tests.web_client import WebClient

needs_pango = pytest.mark.skipif(printing.missing() is not None, reason=str(printing.missing()))


@pytest.fixture
def order(app: Flask) -> Order:
    """Two of three jackets have left."""
    with writing() as session:
        made = an_order(session, lines=[row("Jacka", 100_000, pieces=3)])
        a_delivery(session, made, {made.lines[0].id: 2000})
        return made


@pytest.fixture
def invoice(order: Order, klarna) -> Document:
    return an_invoice(klarna, order, kind=DocType.DELIVERY)


def test_the_order_leads_to_its_papers(client: WebClient, order: Order) -> None:
    """B26: «Orderbekräftelse», «Plocklista», «Följesedel»."""
    page = client.log_in("viewer").get(f"/orders/{order.id}")
    names = {each.text: each["href"] for each in page.all("a.button") if "/" in each["href"]}
    assert {"Orderbekräftelse", "Plocklista", "Följesedel 1"} <= set(names)
    for name in ("Orderbekräftelse", "Plocklista", "Följesedel 1"):
        paper = client.get(names[name])
        assert paper.find("h1").text in name
        assert len(paper.all("article.sheet")) == 1
        assert "Testperson-se Approved" in paper.text


def test_a_pick_list_marks_back_orders_and_changes_warehouse_by_a_link(client: WebClient, order: Order) -> None:
    with writing() as session:
        other = a_warehouse(session, "NL", "Norra lagret")
    page = client.log_in("viewer").get(f"/orders/{order.id}/pick-list")
    assert "Restorder" not in page.text
    page = client.get(f"/orders/{order.id}/pick-list?warehouse={other.id}")
    assert "Restorder: 1 st" in page.text
    assert page.find("nav a[aria-current=true]").text == "Norra lagret"
    assert client.get(f"/orders/{order.id}/pick-list?warehouse=99999").status == 422
    assert client.get("/orders/99999/pick-list").status == 404


def test_a_delivery_note_has_no_prices(client: WebClient, order: Order) -> None:
    page = client.log_in("viewer").get(f"/orders/{order.id}/deliveries/1/note")
    assert "Restorder" in page.text
    for price in ("1 000,00", "1\u00a0000,00", "kr ", "á-pris"):
        assert price not in page.find("article").text
    assert client.get(f"/orders/{order.id}/deliveries/2/note").status == 404


def test_the_remaining_order_amount_is_shown_where_one_has_chosen_that_and_can_be_turned_off(
    client: WebClient, order: Order, invoice: Document
) -> None:
    """B22: «Föreslå visa resterande orderbelopp»."""
    address = f"/orders/{order.id}/confirmation"
    page = client.log_in("clerk").get(address)
    assert "Resterande orderbelopp" not in page.find("article").text
    with writing() as session:
        preferences.save(session, CLERK, Preferences(show_rest=True))
    page = client.get(address)
    assert page.find("div.rest").text.endswith("1 000,00 kr")
    hide = next(each for each in page.all("nav a") if each.text == "Dölj resterande orderbelopp")
    assert "Resterande orderbelopp" not in client.get(hide["href"]).find("article").text


def test_many_papers_are_one_page_with_a_sheet_each_and_what_cannot_be_printed_is_told(
    client: WebClient, order: Order, invoice: Document
) -> None:
    with writing() as session:
        other = an_order(session)
    client.log_in("viewer")
    page = client.get(f"/print?what=confirmations&ids={order.id},{other.id},99999")
    assert len(page.all("article.sheet")) == 2
    assert "Något av det valda finns inte längre." in page.text
    assert len(client.get(f"/print?what=pick_lists&ids={order.id},{other.id}").all("article.sheet")) == 2
    assert len(client.get("/print?what=delivery_notes&ids=1").all("article.sheet")) == 1
    page = client.get(f"/print?ids={invoice.id}&copy=1")
    assert page.find("p.copy").text == "Kopia"
    assert not client.get(f"/print?ids={invoice.id}").has("p.copy")
    page = client.get("/print?ids=99999")
    assert page.status == 409
    assert "Inget av det valda kan skrivas ut." in page.text
    for wrong in ("", "1,x", ",".join(map(str, range(papers.MOST + 1)))):
        assert client.get(f"/print?ids={wrong}").status == 422


@needs_pango
@pytest.mark.only_on("sqlite")
def test_papers_are_saved_as_files_with_safe_names(client: WebClient, order: Order, invoice: Document) -> None:
    """Security 11, 60: attached, of one type, without anything about a person."""
    client.log_in("viewer")
    for address, name in (
        (f"/documents/{invoice.id}/pdf", f"faktura-{invoice.number_text}.pdf"),
        (f"/documents/{invoice.id}/pdf?copy=1", f"faktura-{invoice.number_text}-kopia.pdf"),
        (f"/orders/{order.id}/confirmation/pdf?rest=1", f"orderbekraftelse-{order.number}.pdf"),
        (f"/orders/{order.id}/pick-list/pdf", f"plocklista-{order.number}.pdf"),
        (f"/orders/{order.id}/deliveries/1/note/pdf", f"foljesedel-{order.number}-1.pdf"),
    ):
        answer = client.get(address)
        assert answer.status == 200, address
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.body.startswith(b"%PDF-1.7")
    assert client.get("/documents/99999/pdf").status == 404
    page = client.get(f"/invoices/{invoice.id}")
    assert page.has(f'a[href="/documents/{invoice.id}/pdf?copy=1"]')


def test_without_pango_the_button_is_off_and_says_why(
    client: WebClient, order: Order, invoice: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "PDF-filer kan inte göras: Pango saknas på datorn som Kvitta körs på. Skriv ut från webbläsaren i stället."
    monkeypatch.setattr(printing, "_can", lambda: False)
    page = client.log_in("viewer").get(f"/invoices/{invoice.id}")
    assert not page.has(f'a[href="/documents/{invoice.id}/pdf?copy=1"]')
    assert said in page.text
    answer = client.get(f"/documents/{invoice.id}/pdf")
    assert answer.status == 409
    assert said in answer.text
    assert not any(each.text == "PDF" for each in client.get(f"/orders/{order.id}/pick-list").all("nav a"))
    assert isinstance(printing.missing(), Refusal)
