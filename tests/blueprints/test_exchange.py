"""«Byte», guided, and «Skapa ersättningsfaktura»; the links by which the documents tell one story (K30, K43-K46)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from db import reading, writing
from errors import NotFound
from models import Document, StockMovement
from services import credit_drafts, credit_notes, exchange
from states import DocKind, MovementKind
from tests.blueprints.document_pages import count, in_english
from tests.builders import FINANCE, a_captured_invoice, an_article, row
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


def the_guide(client: WebClient, klarna: Any, sandbox: Any, price: int = 49_900) -> tuple[Page, str]:
    """The guided page on an invoice of two T-shirts, with a blue one to send; and the field of the shirts' row."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt röd", pieces=2)])
    with writing() as session:
        an_article(session, "T-shirt blå", price, number="BLÅ-1")
    draft = client.post(f"/invoices/{invoice.id}/credit", follow=True)
    page = client.get(f"{draft.url}/exchange")
    return page, str(page.find("input[name^=back-]")["name"])


def test_the_guide_names_the_way_out_and_takes_it(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K30: before and after something was worked out; back to the draft, or the draft discarded and the invoice as it was."""
    page, back = the_guide(clerk_client, klarna, sandbox)
    draft = urlsplit(page.url).path.removesuffix("/exchange")
    worked_out = clerk_client.submit("#exchange", **{back: "1", "article-0": "blå"}, press="act=look")
    for shown in (page, worked_out):
        assert (
            "If there is to be no exchange, go back to the draft and credit there, or discard the draft" in shown.text
        )
        ways = [
            each["href"]
            for each in shown.all("main a.button")
            if each.text in ("Back to the draft", "No exchange: back to the draft")
        ]
        assert ways == [draft, draft]
    assert "Credit SEK 998.00 at Klarna" in clerk_client.get(draft).text, (
        "looking at an exchange leaves the draft alone"
    )
    clerk_client.get(page.url)
    gone = clerk_client.submit(f"{draft}/discard")
    assert "The draft has been discarded." in gone.text and "/invoices/" in gone.url
    assert not sandbox.posts(operation="create_refund")


def test_the_replacement_invoice_can_be_left_unmade(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K30."""
    invoice = a_captured_invoice(klarna, sandbox)
    clerk_client.post(f"/invoices/{invoice.id}/credit", follow=True)
    note = clerk_client.submit("#sum")
    page = clerk_client.get(f"{urlsplit(note.url).path}/replacement")
    assert page.find("#replacement .actions a")["href"] == urlsplit(note.url).path


def test_an_even_exchange_is_one_press_and_one_linked_story(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K30: what it comes to is shown first; then both documents, linked both ways, from the order and the delivery page too."""
    _, back = the_guide(clerk_client, klarna, sandbox)
    page = clerk_client.submit("#exchange", **{back: "1", "article-0": "blå"}, press="act=look")
    assert "Same price" in page.text and "nothing is sent to Klarna" in page.text
    note = clerk_client.submit("#exchange", press="act=carry_out")
    assert "credit note 42581 and replacement invoice 42582. Nothing was sent to Klarna." in note.text
    assert "Replacement invoice 42582" in note.find("#exchange").text
    invoice = clerk_client.get(note.find("#exchange a")["href"])
    assert "Credit note 42581" in invoice.find("#exchange").text and "Replacement invoice" in invoice.text
    order = clerk_client.get("/orders/1")
    assert "lower than at Klarna" not in order.text
    for shown in (order, clerk_client.get("/orders/1/deliver")):
        story = shown.find("#exchanges")
        assert story.text == "Exchange on credit note 42581: 1 st T-shirt blå went out with replacement invoice 42582."
        assert [each["href"] for each in story.all("a")] == [urlsplit(each.url).path for each in (note, invoice)]
    assert not sandbox.posts(operation="create_refund")


@pytest.mark.parametrize("act", ["look", "carry_out"])
def test_a_draft_that_is_created_while_its_exchange_is_weighed_leads_to_what_it_became(
    clerk_client: WebClient, klarna: Any, sandbox: Any, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catalogue 18: not to a page that does not exist, and not to a second credit note."""
    guide, back = the_guide(clerk_client, klarna, sandbox)
    page = clerk_client.submit("#exchange", **{back: "1", "article-0": "BLÅ-1"}, press="act=look")
    draft_id, weigh = int(guide.url.split("/")[-2]), exchange.weigh

    def while_somebody_creates_it(*given: Any) -> Any:
        monkeypatch.setattr(exchange, "weigh", weigh)
        with writing() as session:
            draft = credit_drafts.set_options(
                session, FINANCE, draft_id, restock=True, warehouse_id=None, without_klarna=True, reason="even_exchange"
            )
            credit_notes.issue_without_klarna(session, FINANCE, draft, portal_confirmed=False, external=None)
        if act == "look":
            raise NotFound
        return weigh(*given)

    monkeypatch.setattr(exchange, "weigh", while_somebody_creates_it)
    shown = clerk_client.submit("#exchange", page=page, press=f"act={act}")
    assert (shown.status, urlsplit(shown.url).path) == (200, f"/credit-notes/{draft_id}")
    assert "Nothing more has been done" in shown.find("#messages").text
    assert count(Document, Document.kind == DocKind.CREDIT_NOTE) == 1


@pytest.mark.parametrize("htmx", [False, "exchange"])
def test_rows_are_added_and_removed_and_what_was_typed_stays(
    clerk_client: WebClient, klarna: Any, sandbox: Any, htmx: Any
) -> None:
    """K30: with and without scripts; nothing is done before the last step."""
    guide, back = the_guide(clerk_client, klarna, sandbox)
    first = {back: "1", "article-0": "BLÅ-1", "price-0": "200"}
    page = clerk_client.submit("#exchange", **first, press="act=add", htmx=htmx)
    assert page.status == 200 and page.find("[name=rows]")["value"] == "2"
    assert (page.find("#article-0")["value"], page.find("#price-0")["value"]) == ("BLÅ-1", "200")
    assert (page.find("#article-1")["value"], page.find("#quantity-1")["value"]) == ("", "1")
    if htmx:
        return
    page = clerk_client.submit("#exchange", **{"article-1": "zzz", "price-1": "299"}, press="act=look")
    assert page.status == 422 and "There is no article «zzz»." in page.find("#article-1-error").text
    page = clerk_client.submit("#exchange", **{"article-1": "BLÅ-1"}, press="act=look")
    assert "Same price" in page.text and "SEK 499.00" in page.find("#way").text
    page = clerk_client.submit("#exchange", press="drop=0")
    assert page.find("[name=rows]")["value"] == "1" and page.find("#price-0")["value"] == "299"
    assert page.find(f"#{back}")["value"] == "1" and not page.has("#way")
    page = clerk_client.post(guide.url, {"rows": "10", "act": "add"})
    assert page.has("#article-9") and not page.has("#article-10"), "ten rows at most"


def test_several_articles_go_out_and_the_story_names_them_all(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K30, K44: even with two rows; dearer, the new order has both."""
    _, back = the_guide(clerk_client, klarna, sandbox, 59_900)
    with writing() as session:
        an_article(session, "Keps", 29_900, number="KEPS", stock_milli=5000)
    clerk_client.submit("#exchange", **{back: "1", "article-0": "BLÅ-1", "price-0": "200"}, press="act=add")
    page = clerk_client.submit("#exchange", **{"article-1": "KEPS", "quantity-1": "2"}, press="act=look")
    assert "The new articles are dearer" in page.find("#way").text and "SEK 798.00" in page.find("#way").text
    order = clerk_client.get(page.find("#way a")["href"])
    typed = [
        [order.find(f"#rows-{place}-{name}")["value"] for name in ("article", "quantity", "unit_price")]
        for place in (0, 1)
    ]
    assert typed == [["BLÅ-1", "1", "200.00"], ["KEPS", "2", "299.00"]]
    clerk_client.submit("#exchange", page=page, **{"quantity-1": "1"}, press="act=look")
    note = clerk_client.submit("#exchange", press="act=carry_out")
    assert "credit note 42581 and replacement invoice 42582" in note.text
    story = clerk_client.get("/orders/1").find("#exchanges").text
    assert "1 st T-shirt blå, 1 st Keps went out with replacement invoice 42582" in story


def test_a_cheaper_exchange_fills_the_draft(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K43, K44."""
    _, back = the_guide(clerk_client, klarna, sandbox, 29_900)
    page = clerk_client.submit("#exchange", **{back: "1", "article-0": "BLÅ-1"}, press="act=look")
    assert "The new article is cheaper" in page.text and "SEK 200.00" in page.find("#way").text
    page = clerk_client.submit("#exchange", press="act=prepare")
    assert "Credit SEK 200.00 at Klarna" in page.text and "The customer is charged SEK 299.00" in page.text


def test_a_dearer_exchange_says_so_and_fills_a_new_order(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K44: what comes back is credited, what goes out is a new order whose form is filled in."""
    _, back = the_guide(clerk_client, klarna, sandbox, 59_900)
    page = clerk_client.submit("#exchange", **{back: "1", "article-0": "BLÅ-1"}, press="act=look")
    assert "A credit note cannot charge the customer." in page.find("#way").text
    order = clerk_client.get(page.find("#way a")["href"])
    assert order.find("#rows-0-article")["value"] == "BLÅ-1" and order.find("#rows-0-unit_price")["value"] == "599.00"
    clerk_client.get(page.url)


WRONG = (
    ({"article-0": "BLÅ-1"}, "Enter how many come back"),
    ({"back": "3", "article-0": "BLÅ-1"}, "At most 2 can be credited: so many have been invoiced."),
    ({"back": "1e3", "article-0": "BLÅ-1"}, "digits 0–9"),
    ({"back": "1", "article-0": ""}, "Write the number or name"),
    ({"back": "1", "article-0": "zzz"}, "There is no article «zzz»."),
    ({"back": "1", "article-0": "T-shirt"}, "Several articles fit."),
    ({"back": "1", "article-0": "BLÅ-1", "quantity-0": "-1"}, "must be more than 0"),
    ({"back": "1", "article-0": "BLÅ-1", "price-0": "NaN"}, "digits 0–9"),
)


def test_what_cannot_be_exchanged_is_said_beside_its_field_and_stays_typed(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K21, K30, catalogue 1-6, 9."""
    guide, back = the_guide(clerk_client, klarna, sandbox)
    for fields, sentence in WRONG:
        clerk_client.get(guide.url)
        sent = {back if name == "back" else name: text for name, text in fields.items()}
        page = clerk_client.submit("#exchange", **sent, press="act=look")
        assert page.status == 422 and sentence in page.text, fields
        for name, text in sent.items():
            assert page.find(f"#{name}")["value"] == text
    assert count(StockMovement, StockMovement.kind == MovementKind.REPLACEMENT) == 0


def test_a_replacement_invoice_is_made_from_the_notes_page(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K30: the note offers it until it is made; another sum is refused beside the price with both sums."""
    guide, _ = the_guide(clerk_client, klarna, sandbox)
    url = guide.url.removesuffix("/exchange")
    clerk_client.get(url)
    clerk_client.submit("#boxes", restock="y", without_klarna="y")
    clerk_client.submit("#boxes", reason="even_exchange")
    note = clerk_client.submit("#sum")
    assert "the books are lower than Klarna" in note.find("#exchange").text
    assert "marks it as paid by itself" not in note.text, "Klarna knows nothing of it"
    paying = clerk_client.get(f"/documents/{int(urlsplit(url).path.rsplit('/', 1)[1])}/payments")
    assert "Klarna's reading marks" not in paying.text
    assert "what goes out instead is not invoiced yet" in clerk_client.get("/orders/1").find("#exchanges").text
    clerk_client.get(note.url)
    assert clerk_client.get(note.find("#exchange a")["href"]).find("#price-0")["value"] == "998.00"
    wrong = clerk_client.submit("#replacement", **{"article-0": "BLÅ-1", "quantity-0": "2", "price-0": "498"})
    assert (
        wrong.status == 422
        and "comes to SEK 996.00, the credit note to SEK 998.00" in wrong.find("#price-0-error").text
    )
    made = clerk_client.submit("#replacement", **{"article-0": "BLÅ-1", "quantity-0": "2", "price-0": "499"})
    assert "Replacement invoice 42582 has been made. Nothing was sent to Klarna." in made.text
    again = clerk_client.get(f"{url}/replacement")
    assert "Nothing is left of the credit note to replace." in again.text
    assert clerk_client.get(url).find("#exchange a").text == "Replacement invoice 42582"


def test_the_notes_link_fills_the_adjustment_and_shows_it_once_made(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K46: nothing moves until it is saved; then the note links to it."""
    _, back = the_guide(clerk_client, klarna, sandbox, 29_900)
    clerk_client.submit("#exchange", **{back: "1", "article-0": "BLÅ-1"}, press="act=look")
    clerk_client.submit("#exchange", press="act=prepare")
    note = clerk_client.submit("#sum")
    links = [each["href"] for each in note.all("#exchange a")]
    told = clerk_client.get("/orders/1/deliver").find("#exchanges").text
    assert "1 st T-shirt blå goes out." in told and "still to be adjusted by hand" in told
    form = clerk_client.get(links[1])
    assert form.find("#quantity")["value"] == "1" and form.find("#direction-1[checked]")["value"] == "out"
    clerk_client.submit("#adjust")
    assert "Adjusted: BLÅ-1" in clerk_client.get(note.url).find("#exchange").text
    clerk_client.get(links[0])
    clerk_client.submit("#adjust")
    assert "The stock of both articles has been adjusted." in clerk_client.get("/orders/1").find("#exchanges").text
    with reading() as session:
        moved = session.query(StockMovement).filter(StockMovement.document_line_id.is_not(None)).all()
        assert sorted(each.quantity_milli for each in moved) == [-1000, 1000]


def test_no_exchange_where_there_is_no_draft(clerk_client: WebClient, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Catalogue 18: an invoice, an unknown document, a note that has been created."""
    guide, _ = the_guide(clerk_client, klarna, sandbox)
    for address in ("/credit-notes/1/exchange", "/credit-notes/999/exchange", "/credit-notes/1/replacement"):
        assert clerk_client.get(address).status == 404, address
    draft_id = int(guide.url.split("/")[-2])
    with writing() as session:
        credit_drafts.discard(session, clerk, draft_id)
    assert clerk_client.post(guide.url, {"act": "look"}).status == 404
