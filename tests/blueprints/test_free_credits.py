"""«Fristående kreditfaktura» as pages: the way in, what is said before and after, the paper, the list (K5, K42, B26)."""

from __future__ import annotations

from typing import Any

import pytest

from db import writing
from models import OrderLine
from states import LineKind
from tests.blueprints.document_pages import in_english
from tests.builders import a_customer, an_article, an_order, row
from tests.web_client import WebClient

NOT_SENT = "This credit note belongs to no invoice and is not sent to Klarna. For Klarna to repay, credit the original invoice."


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


def begun(client: WebClient) -> Any:
    """The draft of a customer, found through the search."""
    with writing() as session:
        a_customer(session, "Anna Andersson")
        an_article(session, "Mugg", 9_900, number="MUGG")
    page = client.get("/free-credits/new?q=Anna")
    assert NOT_SENT in page.text
    return client.submit("/free-credit")


def test_a_free_standing_credit_note_says_before_and_after_that_nothing_is_sent(
    clerk_client: WebClient, sandbox: Any
) -> None:
    """K5, K42, I9, B26: from the list, through article and free row, to the issued document, its paper and the list."""
    assert clerk_client.get("/credit-notes").has('a[href="/free-credits/new"]')
    page = begun(clerk_client)
    assert NOT_SENT in page.text and "Nothing is sent to Klarna for this credit note." in page.find("#sum").text
    assert "The credit note has no rows." in page.find("#sum").text
    clerk_client.get(page.url + "?q=mugg")
    clerk_client.submit("/article")
    page = clerk_client.submit("/free-row", name="Frakt hem", quantity="1", price="-49", vat_rate="2500")
    assert (
        "The customer is charged SEK 49.00" in page.text
        and "Create credit note of SEK 50.00 without Klarna" in page.text
    )
    page = clerk_client.submit("#sum", reason="")
    assert page.status == 422 and "Write the reason." in page.find("#sum").text
    page = clerk_client.submit("#sum", reason="Trasig vid leverans")
    assert page.url.endswith("/credit-notes/1") and NOT_SENT in page.find("#outcome").text
    assert "Trasig vid leverans" in page.find("#outcome").text
    paper = clerk_client.get("/credit-notes/1/print")
    assert "To your credit" in paper.text and "Reason: Trasig vid leverans" in paper.text
    assert "Free-standing credit note" in paper.text
    assert "42580" in clerk_client.get("/credit-notes?view=without").text
    assert not sandbox.posts()


def test_a_row_is_changed_in_place_and_what_was_typed_stays(clerk_client: WebClient) -> None:
    """K23, K28: a wrong quantity is said beside its field; the sum follows a right one; a row goes."""
    draft = begun(clerk_client).url
    page = clerk_client.submit("/free-row", name="Goodwill", quantity="1", price="100", vat_rate="2500")
    line = page.find("[id^=quantity-]")["id"].removeprefix("quantity-")
    page = clerk_client.post(f"{draft}/rows/{line}", {f"quantity-{line}": "två", f"price-{line}": "100"})
    assert page.status == 422 and page.find(f"#quantity-{line}")["value"] == "två"
    page = clerk_client.post(f"{draft}/rows/{line}", {f"quantity-{line}": "3", f"price-{line}": "100"}, follow=True)
    assert "Create credit note of SEK 300.00 without Klarna" in page.text
    page = clerk_client.submit(f"/rows/{line}/remove")
    assert "The credit note has no rows." in page.text
    page = clerk_client.submit("/discard")
    assert "The draft has been discarded." in page.text


def test_the_draft_is_found_from_the_list_and_a_viewer_changes_nothing(clerk_client: WebClient, app: Any) -> None:
    """K42, B31: the list's address of the draft leads to its form."""
    draft = begun(clerk_client).url
    assert clerk_client.get("/credit-notes/1").url == draft
    viewer = in_english(WebClient(app), "viewer")
    page = viewer.get(draft)
    assert page.status == 200 and not page.has("#add-article") and "Requires" in page.find("#sum").text


def test_an_order_below_zero_says_before_and_after_that_nothing_is_sent(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K42: the last step and the document; it is booked, numbered and paid back by hand."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=[row("T-shirt", 49_900)])
        session.add(
            OrderLine(
                order_id=order.id, position=2, kind=LineKind.DISCOUNT, name="Rabatt", quantity_milli=1000,
                unit_price_minor=-69_900, vat_rate=2500,
            )
        )  # fmt: skip
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert "The order is SEK −200.00. Nothing is sent to Klarna." in page.text
    page = clerk_client.submit("#create-form")
    assert "The order is SEK −200.00. Nothing is sent to Klarna." in page.text and not sandbox.posts()
