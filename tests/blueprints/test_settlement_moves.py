"""Splitting a row in place, and moving a booked one on its own page, as a browser sees them (B4)."""

from __future__ import annotations

from typing import Any

from flask import Flask

from db import reading
from models import Customer, PayoutRow
from tests.builders import the_document
from tests.services.settlement_parts import fetched, payout_of, rows_of
from tests.services.test_adoption import adopt, all_rows, bought, captured_elsewhere
from tests.services.test_settlement_moves import lump, open_of
from tests.services.test_settlement_shares import split
from tests.web_client import WebClient

__all__ = ("lump", "split")


def test_a_row_is_split_in_place_and_a_booked_one_is_moved_and_back(app: Flask, client: WebClient, lump: Any) -> None:
    """B4: the same field takes one document or several; what does not add up is said beside it and stays typed."""
    payout, row_id, three, five = lump
    numbers = [the_document(each).number_text for each in (three, five)]
    page = client.log_in("finance").get(f"/settlements/{payout.id}")
    assert client.get(f"/settlements/rows/{row_id}/move").status == 404
    assign = f"form[action^=/settlements/rows/{row_id}/assign]"
    wrong = f"{numbers[0]} 300,00; {numbers[1]} 400,00"
    refused = client.submit(assign, page=page, document_number=wrong, htmx=True)
    assert refused.status == 422 and "Delarna blir 700,00 kr, raden är på 800,00 kr." in refused.text
    assert refused.find("input[aria-invalid=true]")["value"] == wrong
    asked = client.submit(assign, page=page, document_number=f"{numbers[0]} 300,00; {numbers[1]} 500,00")
    assert asked.status == 409 and "Är det de här dokumenten?" in asked.text
    assert [each.text for each in asked.all(".asked a[href^=/invoices/]")] == numbers
    split = client.submit(assign, page=asked)
    assert "En person har delat den på flera dokument." in client.get(f"/settlements/{payout.id}?pile=handled").text
    assert split.status == 200
    page = client.get(f"/settlements/{payout.id}?pile=handled")
    client.submit(f"form[action^=/settlements/rows/{row_id}/undo]", page=page)
    page = client.get(f"/settlements/{payout.id}")
    client.submit(f"form[action^=/settlements/rows/{row_id}/handle]", page=page, note="utreds")
    client.submit(f"form[action$=/{payout.id}/book]", page=client.get(f"/settlements/{payout.id}"))
    assert client.get(f"/settlements/{payout.id}?pile=handled").has(f"a[href=/settlements/rows/{row_id}/move]")
    address = f"/settlements/rows/{row_id}/move"
    page = client.get(address)
    refused = client.submit("#move-form", page=page, document_number="99999", reason="fel")
    assert refused.status == 422 and refused.has("#document_number[aria-invalid=true]")
    asked = client.submit("#move-form", page=page, document_number=numbers[1], reason="kundens rätta faktura")
    assert asked.status == 409 and "Är det det här dokumentet?" in asked.text and "Inget har flyttats än." in asked.text
    shown = asked.find(".asked")
    customer = customer_of(five)
    assert numbers[1] in shown.text and customer in shown.text and "kundens rätta faktura" in shown.text
    assert "Det blir överbetalt." in shown.text and open_of(three, five) == [300_00, 500_00]
    for _ in range(2):
        after = client.submit("#move-form", page=asked)
    assert "Flytten är gjord och bokförd." in after.text and "kundens rätta faktura" in after.text
    assert open_of(three, five) == [300_00, -300_00]
    stale = client.submit(
        "#move-form", page=page, document_number=numbers[0], reason="igen", nonce=nonce_of(client, address)
    )
    assert stale.status == 409
    page = client.get(address)
    assert client.submit("form[action$=take-back]", page=page, reason="").status == 422
    after = client.submit("form[action$=take-back]", page=page, reason="ångrat")
    assert "Flytten är återtagen genom en återföring." in after.text and open_of(three, five) == [300_00, 500_00]
    old = client.submit("#move-form", page=asked)
    assert old.status == 409 and "den flytten har tagits tillbaka sedan dess" in old.text
    client.log_in("viewer")
    assert client.get(address).has("[aria-disabled=true]") and client.post(address, {}).status == 403


def test_a_part_of_a_split_row_is_chosen_and_moved_on_the_rows_page(
    app: Flask, client: WebClient, split: tuple[int, int, int, int]
) -> None:
    """B4: the parts stand there to choose among, none chosen beforehand; the form goes on without JavaScript, and back."""
    row_id, three, five, third = split
    numbers = [the_document(each).number_text or "" for each in (three, five, third)]
    address = f"/settlements/rows/{row_id}/move"
    page = client.log_in("finance").get(address)
    labels = [each.text for each in page.all("#move-form fieldset label")]
    assert [each.split(":")[0] for each in labels] == numbers[:2] and "300,00 kr" in labels[0]
    assert not page.has("#move-form input[checked]") and "varje del flyttas för sig" in page.text
    refused = client.submit("#move-form", page=page, document_number=numbers[2], reason="fel del")
    assert refused.status == 422 and "Välj den del som ska flyttas." in refused.find("#shown-error").text
    for wrong in ("x", "1:", f"{three}"):
        assert client.submit("#move-form", page=page, document_number=numbers[2], reason="x", shown=wrong).status == 422
    chosen = f"{three}:30000"
    asked = client.submit("#move-form", page=page, shown=chosen, document_number=numbers[2], reason="fel del")
    assert asked.status == 409 and f"Flytta delen till {numbers[2]}" in asked.text
    assert open_of(three, five, third) == [0, 0, 300_00], "what is only shown is not moved"
    after = client.submit("#move-form", page=asked)
    assert "Flytten är gjord och bokförd." in after.text and open_of(three, five, third) == [300_00, 0, 0]
    reading_page = client.get(f"/settlements/{payout_of_row(row_id)}?pile=handled")
    told = [each.text for each in reading_page.all(f"#row-{row_id} a[href^=/invoices/]")]
    assert told == [numbers[1], numbers[2]], "the payout tells where the parts stand now"
    stale = client.submit(
        "#move-form",
        page=page,
        shown=chosen,
        document_number=numbers[1],
        reason="igen",
        nonce=nonce_of(client, address),
    )
    assert stale.status == 409
    client.submit("form[action$=take-back]", page=client.get(address), reason="ångrat")
    assert open_of(three, five, third) == [0, 0, 300_00]
    gone = client.get(address)
    client.submit("#move-form", page=gone, shown=chosen, document_number="", reason="utreds")
    lone = client.get(address)
    assert [each.text.split(":")[0] for each in lone.all("#move-form fieldset label")] == [numbers[1], "Ingen"]


def payout_of_row(row_id: int) -> int:
    with reading() as session:
        return session.get_one(PayoutRow, row_id).payout_id


def nonce_of(client: WebClient, address: str) -> str:
    """A fresh form's nonce, for a form whose other fields are old."""
    return client.get(address).form("#move-form").values["nonce"]


def customer_of(document_id: int) -> str:
    """The name on the card of a document's customer."""
    with reading() as session:
        return session.get_one(Customer, the_document(document_id).customer_id).name


def test_an_invoice_made_after_its_payout_was_booked_says_that_its_row_is_to_be_moved(
    app: Flask, client: WebClient, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """B4, B20, K47: no reading will mark it paid by itself, so that none is promised; the way leads to the row, filled in."""
    order = bought(klarna, sandbox, deliver=True)
    found = captured_elsewhere(klarna, sandbox, order)
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    (row_id,) = [row.id for row, _ in rows_of(payout) if row.type == "SALE"]
    client.log_in("finance", language="en")
    page = client.get(f"/settlements/{payout.id}")
    client.submit(f"form[action^=/settlements/rows/{row_id}/handle]", page=page, note="to be booked")
    client.submit(f"form[action$=/{payout.id}/book]", page=client.get(f"/settlements/{payout.id}"))
    invoice = adopt(klarna, finance, found, quantities=all_rows(order))
    page = client.get(f"/invoices/{invoice.id}")
    assert f"Payout {payout.payment_reference} was booked before this document was made" in page.text
    assert "marks it as paid by itself" not in page.text
    page = client.get(page.find("main a[href*=/move]")["href"])
    assert page.find("#document_number")["value"] == invoice.number_text
    client.submit("#move-form", page=page, reason="the invoice came later")
    client.submit("#move-form")
    page = client.get(f"/invoices/{invoice.id}")
    assert "belongs to nobody yet" not in page.text and "Show the settlement" in page.text
    assert open_of(invoice.id) == [0]


def test_an_invoice_whose_reading_is_still_to_come_is_said_to_be_marked_by_it(
    app: Flask, client: WebClient, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """K47: of a payout that is read and not booked, and of none, nothing is to be moved."""
    order = bought(klarna, sandbox, deliver=True)
    found = captured_elsewhere(klarna, sandbox, order)
    sandbox.pay_out()
    fetched(klarna)
    invoice = adopt(klarna, finance, found, quantities=all_rows(order))
    page = client.log_in("finance", language="en").get(f"/invoices/{invoice.id}")
    assert "marks it as paid by itself" in page.text and not page.has("main a[href*=/move]")
