"""Payments by hand as a browser sees them (F2, B7)."""

from __future__ import annotations

from typing import Any

from flask import Flask

from db import reading, writing
from models import Document
from services import documents
from tests.builders import a_captured_invoice, a_delivery, an_invoice, an_order, row
from tests.services.test_offsets import offset, ordinary
from tests.web_client import WebClient

FORM = "form[action$=payments]"
SURPLUS = "form[action$=surplus]"
TAKE_BACK = "form[action$=take-back]"


def an_ordinary_invoice(klarna: Any) -> Document:
    with writing() as session:
        order = an_order(session, lines=[row("T-shirt", 10_000)])
        a_delivery(session, order)
    return an_invoice(klarna, order)


def left(document: Document) -> int:
    with reading() as session:
        return documents.get(session, document.id).open_minor


def test_a_payment_is_registered_from_the_invoice_and_taken_back(app: Flask, klarna: Any, client: WebClient) -> None:
    """F2: OCR number and manual payment of an ordinary invoice."""
    invoice = an_ordinary_invoice(klarna)
    page = client.log_in("finance").get(f"/invoices/{invoice.id}")
    assert invoice.ocr in page.text
    page = client.get(f"/documents/{invoice.id}/payments")
    assert page.form(FORM).values["amount"] == "100,00"
    for _ in range(2):
        after = client.submit(FORM, page=page)
    assert "Betalningen är registrerad och bokförd." in after.text
    assert left(invoice) == 0
    client.get(f"/documents/{invoice.id}/payments")
    refused = client.submit(TAKE_BACK, reason=" ")
    assert refused.status == 422
    assert refused.has("[aria-invalid=true]")
    after = client.submit(TAKE_BACK, reason="fel faktura")
    assert "Återtagen" in after.text
    assert left(invoice) == 10_000


def test_the_history_of_the_invoice_and_of_its_order_tells_of_the_payment_to_whoever_may_read_them(
    app: Flask, klarna: Any, client: WebClient
) -> None:
    """B7, screens: when, who, how much and why, with the voucher; the same for a viewer, who reads both pages."""
    invoice = an_ordinary_invoice(klarna)
    client.log_in("finance").get(f"/documents/{invoice.id}/payments")
    client.submit(FORM, reason="bankgiro")
    client.get(f"/documents/{invoice.id}/payments")
    client.submit(TAKE_BACK, reason="fel faktura")
    for name in ("finance", "viewer"):
        client.log_in(name)
        for page, before in (
            (f"/invoices/{invoice.id}", ""),
            (f"/orders/{invoice.order_id}", f"Faktura {invoice.number_text}: "),
        ):
            back, paid = client.get(page).all("ol.timeline li")[:2]
            assert "Ekonomen" in paid.text and "bankgiro" in paid.text and "fel faktura" in back.text
            assert paid.find("a").text.startswith(before) and "100,00 kr" in paid.find("a").text
            assert client.get(paid.find("a")["href"]).status == 200, "the link leads to its voucher"


def test_what_was_typed_stays_beside_its_sentence(app: Flask, klarna: Any, client: WebClient) -> None:
    invoice = an_ordinary_invoice(klarna)
    client.log_in("finance").get(f"/documents/{invoice.id}/payments")
    page = client.submit(FORM, amount="1e2", day="2026-13-01", reason="bankgiro")
    assert page.status == 422
    assert {name: page.form(FORM).values[name] for name in ("amount", "day", "reason")} == {
        "amount": "1e2",
        "day": "2026-13-01",
        "reason": "bankgiro",
    }
    page = client.submit(FORM, amount="100,01", day="", reason="bankgiro")
    assert page.status == 422
    assert left(invoice) == 10_000


def test_a_klarna_invoice_warns_and_wants_a_reason(app: Flask, klarna: Any, sandbox: Any, client: WebClient) -> None:
    """B7, to the letter."""
    invoice = a_captured_invoice(klarna, sandbox)
    page = client.log_in("finance").get(f"/documents/{invoice.id}/payments")
    assert "Klarnas inläsning markerar fakturan som betald. Betalas den för hand blir den överbetald." in page.text
    page = client.submit(FORM, reason="")
    assert page.status == 422
    assert left(invoice) == invoice.gross_minor


def test_the_paper_of_an_ordinary_invoice_says_how_to_pay(app: Flask, klarna: Any, client: WebClient) -> None:
    """F2; a Klarna invoice says none of it (F19, tested with the papers)."""
    invoice = an_ordinary_invoice(klarna)
    paper = client.log_in("viewer").get(f"/invoices/{invoice.id}/print")
    assert {"991-2346", invoice.ocr, str(invoice.due_date)} <= {each.text for each in paper.all("dd")}


def test_who_may_not_pay_sees_why(app: Flask, klarna: Any, client: WebClient) -> None:
    invoice = an_ordinary_invoice(klarna)
    page = client.log_in("clerk").get(f"/documents/{invoice.id}/payments")
    assert page.has("[aria-disabled=true]")
    assert client.post(f"/documents/{invoice.id}/payments", {}).status == 403
    assert client.get("/documents/999/payments").status == 404


def test_an_overpaid_invoice_is_found_by_its_filter_and_booked_away_from_its_page(
    app: Flask, klarna: Any, client: WebClient
) -> None:
    """B8: «Överbetalda», the icon with its sums, «Boka bort» with date and account alone; then the icon goes."""
    invoice = an_ordinary_invoice(klarna)
    client.log_in("finance").get(f"/documents/{invoice.id}/payments")
    client.submit(FORM, amount="343,50", overpay="y")
    page = client.get("/invoices?view=overpaid")
    assert "Överbetald: 343,50 kr betalt och 0,00 kr kvittat, av 100,00 kr" in page.text
    assert page.has("a[href$=surplus]")
    page = client.get(f"/documents/{invoice.id}/surplus")
    assert set(page.form(SURPLUS).values) >= {"day", "account", "shown"} and "243,50" in page.text
    assert {each.text for each in page.all("select[name=account] option")} >= {"1930 Företagskonto", "1910 Kassa"}
    assert not any("3001" in each.text for each in page.all("select[name=account] option"))
    refused = client.submit(SURPLUS, page=page, day="2026-13-01", account="1910")
    assert refused.status == 422 and refused.form(SURPLUS).values["day"] == "2026-13-01"
    for _ in range(2):
        after = client.submit(SURPLUS, page=page, account="1910")
    assert "Överskottet är bortbokat." in after.text and left(invoice) == 0
    assert not client.get("/invoices?view=overpaid").has("a[href$=surplus]")
    assert "Bortbokat överskott" in client.get(f"/documents/{invoice.id}/payments").text
    page = client.log_in("viewer").get(f"/documents/{invoice.id}/surplus")
    assert page.has("[aria-disabled=true]")
    assert client.post(f"/documents/{invoice.id}/surplus", {}).status == 403


def test_the_icon_of_an_overpaid_invoice_gives_payments_and_credits(app: Flask, klarna: Any, client: WebClient) -> None:
    """B8: on list and page alike."""
    pair = ordinary(klarna, 100_00)
    offset(pair, amount_minor=50_00)
    client.log_in("finance").get(f"/documents/{pair[0].id}/payments")
    client.submit(FORM, amount="80,00", overpay="y")
    text = "Överbetald: 80,00 kr betalt och 50,00 kr kvittat, av 100,00 kr"
    for address in ("/invoices?view=overpaid", f"/invoices/{pair[0].id}", f"/documents/{pair[0].id}/surplus"):
        assert text in client.get(address).text
