"""New rows on the draft's page: search, free row, return freight, edited in place (K23, K26-K28, K45, K46)."""

from __future__ import annotations

from typing import Any

import pytest

from db import writing
from tests.blueprints.document_pages import E1, in_english
from tests.builders import FREIGHT, a_captured_invoice, an_article, row
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


def a_draft(client: WebClient, klarna: Any, sandbox: Any, lines: Any = 1) -> Page:
    """The form that «Kreditera» opens on a captured invoice."""
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    return client.post(f"/invoices/{invoice.id}/credit", follow=True)


def new_row(page: Page) -> str:
    """The id of the last new row."""
    return str(page.all("input[name^=price-]")[-1]["id"].removeprefix("price-"))


def test_a_row_of_thousands_is_saved_again_as_it_stands_in_its_fields(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K21, K28: in English too, where what is shown groups thousands by a comma that no field takes."""
    page = a_draft(
        clerk_client,
        klarna,
        sandbox,
        lines=[row("Jacka", 1_000_00), row("Frakt per kilo", 2_00, pieces=2500, kind=FREIGHT)],
    )
    clerk_client.get(page.url)
    page = clerk_client.submit("/new-rows/free", name="Plåster", quantity="1", price="1250", vat_rate="2500")
    line = new_row(page)
    held = {f"{name}-{line}": page.find(f"#{name}-{line}")["value"] for name in ("name", "quantity", "price")}
    assert held[f"price-{line}"] == "1250.00"
    saved = clerk_client.post(f"{page.url}/new-rows/{line}", {**held, f"vat_rate-{line}": "2500"})
    assert saved.status == 303
    assert [each["value"] for each in page.all("input.quantity-to-credit")] == ["1", "2500"]


def test_an_article_is_found_added_edited_removed_and_put_back(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K26, K27, K28, K44: without scripts, the words and the button follow; nothing is sent on the way."""
    page = a_draft(clerk_client, klarna, sandbox)
    with writing() as session:
        cap = an_article(session, "Keps", 29_900)
    found = clerk_client.get(f"{page.url}/articles?q=keps")
    assert found.status == 200 and f"{cap.number} Keps" in found.find("#hits").text
    page = clerk_client.submit("/new-rows/article")
    line = new_row(page)
    assert page.find(f"#says-{line}").text == "The customer is charged SEK 299.00"
    assert "Credit SEK 200.00 at Klarna" in page.text and page.find(f"#price-{line}")["value"] in ("-299.00", "−299.00")
    page = clerk_client.post(
        f"{page.url}/new-rows/{line}", {f"price-{line}": "-49", f"quantity-{line}": "2"}, follow=True
    )
    assert page.find(f"#says-{line}").text == "The customer is charged SEK 98.00"
    assert "Credit SEK 401.00 at Klarna" in page.text and "Charged98.00" in page.find("#sum").text
    page = clerk_client.submit(f"/rows/{line}/remove")
    assert "Credit SEK 499.00 at Klarna" in page.text and page.find("#removed").text.startswith("Removed rows (1)")
    page = clerk_client.submit(f"/rows/{line}/put-back")
    assert "Credit SEK 401.00 at Klarna" in page.text
    assert not sandbox.posts(operation="create_refund")


def test_a_new_row_is_saved_as_it_is_typed_and_what_hangs_on_it_follows(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K23, K28, K45, K46: one answer for htmx; the fields are left alone, words, sum, boxes and Klarna block follow."""
    page = a_draft(clerk_client, klarna, sandbox)
    with writing() as session:
        an_article(session, "Keps", 29_900)
    clerk_client.get(f"{page.url}/articles?q=keps")
    page = clerk_client.submit("/new-rows/article")
    line = new_row(page)
    why = "The credit note has a new stock article that is to go out. Adjust the stock of both articles by hand."
    assert page.has("#restock[disabled]") and why in page.text
    links = [each["href"] for each in page.all("#adjust a")]
    assert ["direction=in" in each for each in links] == [True, False] and all("milli=1000" in each for each in links)
    part = clerk_client.post(f"{page.url}/new-rows/{line}", htmx=f"saved-{line}", data={f"price-{line}": "10"})
    assert part.status == 200 and not part.has(f"#price-{line}")
    assert part.find(f"#says-{line}").text == "The customer is credited SEK 10.00"
    assert "Credit SEK 509.00 at Klarna" in part.find("#sum").text and not part.has("#restock[disabled]")
    refused = clerk_client.post(f"{page.url}/new-rows/{line}", htmx=f"saved-{line}", data={f"price-{line}": "1e3"})
    assert refused.status == 422 and refused.find(f"#note-price-{line}").text
    assert "Correct what is marked first." in refused.find("#sum").text
    stayed = clerk_client.post(f"{page.url}/new-rows/{line}", {f"price-{line}": "1e3", f"quantity-{line}": "7"})
    assert stayed.status == 422 and stayed.find(f"#price-{line}")["value"] == "1e3"
    assert stayed.find(f"#quantity-{line}")["value"] == "7"


def test_free_row_and_return_freight_keep_what_was_typed_until_it_can_be(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K27, K28, question 7: what is wrong stands beside its field, and how the customer will see the row is said."""
    a_draft(clerk_client, klarna, sandbox, E1)
    wrong = clerk_client.submit("#add-free form", name="Tvätt", quantity="1", price="4,9,0", vat_rate="2500")
    assert wrong.status == 422 and wrong.find("#price")["value"] == "4,9,0" and wrong.has("#price-error")
    page = clerk_client.submit("#add-free form", name="Tvätt", quantity="1", price="-49,00", vat_rate="2500")
    assert "The customer is charged SEK 49.00" in page.text
    wrong = clerk_client.submit("#add-freight form", freight="")
    assert wrong.status == 422 and wrong.has("#freight-error")
    page = clerk_client.submit("#add-freight form", freight="39,00")
    assert "Klarna shows the customer the return freight as a return fee." in page.text
    assert "Credit SEK 2,347.00 at Klarna" in page.text
    assert "already has return freight" in page.find("#add-freight").text


def test_what_was_typed_and_not_saved_is_saved_before_anything_is_sent(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K23, K32: the button pressed within the pause says the new sum and sends nothing."""
    a_draft(clerk_client, klarna, sandbox)
    page = clerk_client.submit("#add-freight form", freight="39,00")
    line = new_row(page)
    fields = {each["name"]: each["value"] for each in page.all("#sum input")}
    answer = clerk_client.post(f"{page.url}/create", {**fields, f"price-{line}": "-49", f"quantity-{line}": "1"})
    assert answer.status == 409 and "the sum is SEK 450.00" in answer.text
    assert not sandbox.posts(operation="create_refund")
    answer = clerk_client.submit("#sum")
    assert "has been created and credited at Klarna: SEK 450.00." in answer.text


def test_rows_are_added_to_drafts_alone(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Catalogue 10, 18: an invoice is none, an unknown document is none, another note's row is none; never a 500."""
    page = a_draft(clerk_client, klarna, sandbox)
    fields = {"article_id": "x", "name": "a", "quantity": "1", "price": "1", "vat_rate": "2500", "freight": "1"}
    for path in ("new-rows/article", "new-rows/free", "new-rows/freight", "new-rows/1", "new-rows/999999"):
        assert clerk_client.post(f"/credit-notes/1/{path}", fields).status == 404, path
        assert clerk_client.post(f"/credit-notes/999/{path}", fields).status == 404, path
    assert clerk_client.post(f"{page.url}/new-rows/article", fields).status == 422
    assert clerk_client.post(f"{page.url}/new-rows/999999", fields).status == 404
