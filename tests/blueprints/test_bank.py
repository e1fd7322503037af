"""The bank as a browser sees it: reading a statement in, payouts beside their deposits, tying and untying by hand."""

from __future__ import annotations

import io

import pytest
from flask import Flask

import clock
from klarna_sandbox.control import Control
from models import Payout
from services.gateway import Gateway
from tests import worlds
from tests.builders import FINANCE
from tests.services.bank_parts import camt, entry
from tests.services.settlement_parts import a_sale, all_is_well, booked, fees
from tests.services.test_payments import an_ordinary_invoice, pay, wanted
from tests.web_client import Page, WebClient


@pytest.fixture
@worlds.kept
def paid(app: Flask, sandbox: Control, klarna: Gateway) -> list[Payout]:
    """Two payouts that are read in and booked, 1 890,34 and 200 kr."""
    fees(sandbox, 0)
    made = []
    for amount in (1_890_34, 200_00):
        a_sale(klarna, sandbox, amount)
        made.append(booked(klarna, sandbox))
    return made


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def send(client: WebClient, content: bytes, step: str = "preview", name: str = "kontoutdrag.xml", **more: str) -> Page:
    client.get("/bank/upload")
    return client.submit("#upload form", file=(io.BytesIO(content), name), step=step, **more)


def test_a_statement_is_looked_at_then_read_in_and_payouts_stand_beside_their_deposits(
    paid: list[Payout], client: WebClient
) -> None:
    """B33: preview, reading in, the list with its words, tying and untying by hand with a reason."""
    one, two = paid
    client.log_in("finance")
    page = client.get("/bank")
    assert [row.find("a").text for row in page.all("tbody tr")] == [two.payment_reference, one.payment_reference]
    assert "Ännu inte på banken 0 dagar" in page.all("tbody tr")[0].text
    assert "2 090,34 kr" in plain(page.find(".figures").text)
    statement = camt(
        entry(one.payment_reference, "1890.34", clock.today(), bank="A"),
        entry("RÄTT BELOPP", "200.00", clock.today(), bank="B"),
        entry(two.payment_reference, "199.99", clock.today(), bank="C"),
    )
    page = send(client, statement)
    assert page.status == 200
    table = page.find("#planned table")
    assert [row.find(".pill").text for row in table.all("tbody tr")] == [
        f"Kopplas till {one.payment_reference}",
        "Sparas okopplad",
        "Sparas okopplad",
    ]
    assert not client.get("/bank?view=statements").has("tbody tr")
    page = send(client, statement, "read")
    assert "3 insättningar har lästs in. Kopplade till utbetalningar: 1." in page.text
    row = page.find("tbody tr")
    assert plain(row.find(".note").text) == (
        f"199,99 kr kom in {clock.today()} med referensen {two.payment_reference}, "
        "men utbetalningen är på 200,00 kr: 0,01 kr för lite."
    )
    assert one.payment_reference in client.get("/bank?view=found").find("tbody tr").text
    deposits = client.get("/bank?view=deposits")
    assert len(deposits.all("tbody tr")) == 2
    # From its own row a deposit leads to the payout of its amount; the one that is an öre short fits none.
    assert [each["href"] for each in deposits.all("tbody .note a")] == [f"/bank/payouts/{two.id}"]
    assert deposits.text.count("Ingen utbetalning på det beloppet väntar på en insättning.") == 1
    assert send(client, statement, "read").status == 409
    # By hand.
    address = f"/bank/payouts/{two.id}"
    page = client.get(address)
    (choice,) = [each["value"] for each in page.all("input[type=radio]")]
    # Nothing is chosen beforehand.
    page = client.submit(f"{address}/tie", reason="Rätt dag och belopp")
    assert page.status == 422 and page.has("#entry_id-error")
    client.get(address)
    page = client.submit(f"{address}/tie", entry_id=choice, reason=" ")
    assert page.status == 422 and page.has("#reason-error")
    client.get(address)
    page = client.submit(f"{address}/tie", entry_id=choice, reason="Rätt dag och belopp")
    assert "På banken" in page.find("h2 .pill").text and "Rätt dag och belopp" in page.text
    assert client.post(f"{address}/tie", {"entry_id": choice, "reason": "igen"}).status == 422
    assert "På banken" in client.get(f"/settlements/{two.id}").all("#reading dl")[0].text
    client.get(address)
    page = client.submit(f"{address}/untie", reason="Det var en kund")
    assert "Losskopplad" in page.text and "Det var en kund" in page.text
    file = client.get("/bank/statements/1/file")
    assert file.body == statement and file.headers["Content-Type"] == "application/octet-stream"
    all_is_well()


@pytest.mark.only_on("sqlite")
def test_what_cannot_be_read_is_said_with_entry_and_element_and_the_form_stays(app: Flask, client: WebClient) -> None:
    """Catalogue rows 47-54: 413, 415 and 422, in words beside the field, never a 500."""
    client.log_in("finance")
    page = send(client, camt(entry("X", "1,5"), entry("Y", "1.00")), "read", account="12 34")
    assert page.status == 422 and not page.has("button[value=read]")
    assert [cell.text for cell in page.all("#planned td")] == ["1", "Amt", "”1,5” kan inte stå där."]
    assert page.find("#account")["value"] == "12 34"
    page = send(client, b"Datum;Belopp\n12.3.2026;1,00\n", name="a.csv")
    assert page.status == 422 and [cell.text for cell in page.all("#planned td")][:2] == ["2", "Dag"]
    page = send(client, b"Datum;Belopp\n2099-03-12;1,00\n", "read", name="a.csv")
    told = [cell.text for cell in page.all("#planned td")]
    assert page.status == 422 and told == ["2", "Dag", "2099-03-12 har inte infallit än."]
    laughs = b'<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Document>&b;</Document>'
    for content, status, said in (
        (laughs, 422, "dokumenttypsdeklaration"),
        (b"%PDF-1.7 x", 415, "PDF"),
        (b"<html></html>", 415, "inget kontoutdrag i camt.053"),
        (b"<" * (5 * 1024 * 1024 + 1), 413, "5 megabyte"),
    ):
        page = send(client, content)
        assert page.status == status and said in page.find("#file-error").text
        client.get("/bank/upload")
        swapped = client.submit("#upload form", file=(io.BytesIO(content), "a.xml"), step="preview", htmx="upload")
        assert swapped.status == 422 and said in swapped.find("#file-error").text
    assert client.submit("#upload form", step="preview").status == 422
    assert client.get("/bank?view=statements").has(".empty")


def test_a_viewer_sees_payouts_and_never_people_who_paid(paid: list[Payout], client: WebClient, app: Flask) -> None:
    """B29, B31; security 2: what does not come from Klarna comes from people, by name, and never by number."""
    finance = WebClient(app).log_in("finance")
    send(finance, camt(entry("811218-9876", "5.00", payer="Anna Andersson 198112189876")), "read")
    seen = finance.get("/bank?view=deposits&all=1").text
    assert "Anna Andersson" in seen and "9876" not in seen
    client.log_in("viewer")
    assert "Anna Andersson" not in client.get("/bank?view=deposits&all=1").text
    page = client.get("/bank")
    assert page.status == 200 and "Kräver Ekonomi." in page.find(".page-head").text
    page = client.get(f"/bank/payouts/{paid[0].id}")
    assert page.status == 200 and not page.has("main form[method=post]")
    assert client.get("/bank/payouts/4711").status == 404
    assert finance.get("/bank/statements/4711/file").status == 404


def test_what_a_customer_paid_leads_to_its_invoice_until_it_is_paid(client: WebClient, klarna: Gateway) -> None:
    """B7, F2: an OCR number in the statement offers the payment; a person registers it, and the offer is gone."""
    invoice = an_ordinary_invoice(klarna)
    client.log_in("finance")
    send(client, camt(entry(f"OCR {invoice.ocr}", "100.00", clock.today(), payer="Anna Andersson")), "read")
    page = client.get("/bank?view=deposits&all=1")
    assert f"OCR-numret för faktura {invoice.number_text}, 100,00 kr öppet" in plain(page.find("tbody .note").text)
    page = client.get(page.find("tbody .note a")["href"])
    assert page.status == 200
    pay(FINANCE, invoice, wanted(100_00))
    assert not client.get("/bank?view=deposits&all=1").has("tbody .note")
    all_is_well()
