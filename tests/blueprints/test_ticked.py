"""What is ticked in a list goes on together: to the preview of many at once, to one print page, to a file (screens, "Orders")."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask

from db import writing
from models import Document, Order
from services import reservations
from states import DocType
from tests.builders import CLERK, FREIGHT, a_captured_invoice, a_money_form, an_account, an_order, row
from tests.web_client import Page, WebClient


@pytest.fixture
def found(app: Flask, sandbox: Any, klarna: Any) -> list[Order]:
    with writing() as session:
        account = an_account(session, sandbox, klarna)
        lines = [row("Jacka", 10_000), row("Frakt", 4_900, kind=FREIGHT)]
        return [an_order(session, sandbox, account=account, lines=lines) for _ in range(2)]


def press(client: WebClient, page: Page, button: str, ticked: list[int]) -> Page:
    """Tick boxes of the list and press a button of the form they belong to, as a browser without scripts does."""
    boxes = {box["value"] for box in page.all("tbody input[name=selected][form=chosen]")}
    assert {str(each) for each in ticked} <= boxes
    form = page.find("#chosen")
    pressed = next(each for each in form.all("button") if each.text == button)
    assert pressed["type"] == "submit"
    sent = [(each["name"], each["value"]) for each in form.all("input")] + [("selected", str(each)) for each in ticked]
    if pressed.get("name"):
        sent.append((pressed["name"], pressed["value"]))
    assert form["method"] == "get"
    return client.get(f"{pressed.get('formaction') or form['action']}?{urlencode(sent)}")


@pytest.mark.parametrize(
    ("button", "act"),
    [
        ("Leverera och fakturera", "Leverera och fakturera 2 ordrar"),
        ("Leverera", "Leverera 2 ordrar"),
        ("Skapa fakturor", "Skapa 2 fakturor"),
    ],
)
def test_the_ticked_orders_go_to_their_preview_with_the_act_chosen(
    found: list[Order], client: WebClient, button: str, act: str
) -> None:
    page = client.log_in("clerk").get("/orders")
    preview = press(client, page, button, [each.id for each in found])
    assert preview.url.partition("?")[0].endswith("/batches/new")
    assert preview.find("form[action$=batches] .actions button").text == act
    assert len(preview.all("#plan input[type=checkbox]")) == 2


def test_the_ticked_orders_are_printed_or_saved(found: list[Order], client: WebClient) -> None:
    """B26; who only reads may do that as well, and is told why the rest is off (B31)."""
    page = client.log_in("viewer").get("/orders")
    for button, title in (("Plocklistor", "Plocklista"), ("Orderbekräftelser", "Orderbekräftelse")):
        paper = press(client, page, button, [each.id for each in found])
        assert [title in sheet.text for sheet in paper.all("article.sheet")] == [True, True]
    file = press(client, page, "Spara som fil", [found[1].id]).body.decode("utf-8-sig")
    assert [line.split(";")[0] for line in file.splitlines()[1:]] == [str(found[1].number)]
    off = [each.text for each in page.all("#chosen button") if each.get("aria-disabled") == "true"]
    assert len(off) == 3 and all("Kräver Handläggare eller Ekonomi." in each for each in off)


@pytest.mark.parametrize(
    ("button", "sentence"),
    [
        ("Leverera och fakturera", "Kryssa i minst en order i listan."),
        ("Plocklistor", "Välj först vad som ska skrivas ut."),
        ("Spara som fil", "Kryssa i ordrarna först"),
    ],
)
def test_nothing_ticked_gets_a_sentence(found: list[Order], client: WebClient, button: str, sentence: str) -> None:
    after = press(client, client.log_in("clerk").get("/orders"), button, [])
    assert after.status == 422
    assert sentence in after.text


def test_the_order_list_leads_to_what_was_done_by_the_dozen(found: list[Order], client: WebClient) -> None:
    page = client.log_in("viewer").get("/orders")
    link = page.find(".page-head a[href=/batches]")
    assert link.text == "Många på en gång"
    assert client.get(link["href"]).find("nav.nav a[aria-current=true]").text == "Ordrar"


def test_the_ticked_documents_are_one_print_page_marked_as_copies(
    found: list[Order], client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """B23; a document that is not issued has no box, since it cannot be printed."""
    issued: list[Document] = [a_captured_invoice(klarna, sandbox) for _ in range(2)]
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    refused = reservations.invoice(klarna, CLERK, found[0].id, DocType.FINAL, a_money_form(149_00))
    page = client.log_in("viewer").get("/invoices?view=all")
    assert page.has(f"a[href=/invoices/{refused}]")
    assert not page.has(f"input[name=selected][value={refused}]")
    paper = press(client, page, "Skriv ut", [each.id for each in issued])
    assert len(paper.all("article.sheet")) == 2
    assert [each.text for each in paper.all("p.copy")] == ["Kopia", "Kopia"]
    assert press(client, page, "Skriv ut", []).status == 422
