"""«Ta emot retur» as pages: from the credit note, with what was typed kept, and what the page says afterwards (K24, K25)."""

from __future__ import annotations

from typing import Any

from tests.blueprints.document_pages import in_english
from tests.builders import a_captured_invoice, row
from tests.services.test_goods_returns import a_note
from tests.web_client import WebClient


def test_the_return_is_received_from_the_credit_note(client: WebClient, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K24: waiting is said on the page, a wrong quantity beside its field, and afterwards who received what when."""
    note_id, (shirts, mug) = a_note(klarna, sandbox, clerk)
    page = in_english(client).get(f"/credit-notes/{note_id}")
    assert "has not come yet" in page.text
    page = client.get(f"/credit-notes/{note_id}/return")
    assert page.find(f"#quantity-{shirts}")["value"] == "2" and not page.has("#warehouse_id")
    given = {f"quantity-{shirts}": "3", f"quantity-{mug}": "", "note": "Kartongen var blöt"}
    page = client.submit("#goods form", **given)
    assert page.status == 422 and "At most 2 can come back" in page.find(f"#note-quantity-{shirts}").text
    assert page.find("#note")["value"] == "Kartongen var blöt" and page.find(f"#quantity-{shirts}")["value"] == "3"
    page = client.submit("#goods form", **{**given, f"quantity-{shirts}": "2", f"condition-{shirts}": "damaged"})
    assert "came back damaged and is not in stock" in page.text and "Kartongen var blöt" in page.text
    assert client.get(f"/credit-notes/{note_id}/return").has(f"#quantity-{mug}")


def test_the_condition_stands_beside_what_goes_back(client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K24: per row on the draft; damaged says that it is not put in stock."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt")])
    page = in_english(client).post(f"/invoices/{invoice.id}/credit", follow=True)
    page = client.submit("#boxes", restock=True)
    line = page.find("select[id^=condition-]")["id"].removeprefix("condition-")
    page = client.submit(f"/rows/{line}/condition", **{f"condition-{line}": "damaged"})
    assert "Damaged goods are noted and not put in stock." in page.text
    assert client.post(f"{page.url}/rows/{line}/condition", {f"condition-{line}": "x"}).status == 422
