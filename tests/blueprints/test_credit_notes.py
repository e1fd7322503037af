"""«Ny kreditfaktura», the credit note's page, list and paper (K2-K26, K29-K33; B26, B31)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import Stale
from models import Document, DocumentLine, KlarnaOp, Order, StockMovement
from services import credit_drafts, credit_form, settings
from states import DocState, MovementKind, OpState, WithoutKlarna
from tests import builders
from tests.blueprints.document_pages import E1, booked, count, in_english
from tests.builders import FINANCE, a_captured_invoice, a_warehouse, an_invoice, an_order, row, the_document
from tests.threads import while_open
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


@pytest.fixture
def finance_client(app: Any) -> WebClient:
    return in_english(WebClient(app), "finance")


def a_draft(client: WebClient, klarna: Any, sandbox: Any, lines: Any = E1) -> Page:
    """The form that «Kreditera» opens on a captured invoice."""
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    return client.post(f"/invoices/{invoice.id}/credit", follow=True)


def rows_of(page: Page) -> list[str]:
    """Ids of the rows that are credited."""
    return [each["id"].removeprefix("quantity-") for each in page.all("input.quantity-to-credit")]


def keep_only(client: WebClient, page: Page, place: int, quantity: str) -> Page:
    """Take out all rows but one and credit so much of it."""
    ids = rows_of(page)
    for other in ids[:place] + ids[place + 1 :]:
        client.submit(f"/rows/{other}/remove")
    return client.submit(f"#row-{ids[place]}", **{f"quantity-{ids[place]}": quantity})


# --- The form --------------------------------------------------------------------------------------------------------------


def test_the_form_opens_with_all_that_is_left_and_klarnas_numbers(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K4, K5, K8, K10, K12, K22, K23, K26: nothing is sent, no number is taken."""
    page = a_draft(clerk_client, klarna, sandbox)
    assert [each["value"] for each in page.all("input.quantity-to-credit")] == ["1", "2", "1"]
    assert "Credit here, not in Klarna's portal. Doing both can repay the customer too much." in page.text
    assert "Always begin in the original invoice." in page.text
    assert "Refers to invoice 42580, at Klarna" in page.find("#klarna-block").text
    assert "Klarna can still refundSEK 2,435.00" in page.find("#klarna-block").text
    assert "Article number, price and discount follow from the invoice and are locked." in page.text
    assert not page.has("#restock[checked]") and not page.has("#without_klarna[checked]")
    assert not sandbox.posts(operation="create_refund") and count(Document, Document.number.is_not(None)) == 1


def test_golden_voucher_e4a_and_one_refund_of_exactly_the_sum(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K2, K3, K13, E4a: one T-shirt of F42580 comes back; the icon has its arrow, the refund its number."""
    page = keep_only(clerk_client, a_draft(clerk_client, klarna, sandbox), 1, "1")
    assert "Credit SEK 499.00 at Klarna" in page.text
    page = clerk_client.submit("#sum")
    assert "Credit note 42581 has been created and credited at Klarna: SEK 499.00." in page.text
    (refund,) = sandbox.writes(operation="create_refund")
    assert (refund["body"]["refunded_amount"], refund["body"]["reference"]) == (49_900, "42581")
    assert booked("credit_note:42581") == {3001: 39_920, 2611: 9_980, 1510: -49_900}
    assert page.has(".state-icon.credited") and "Refund id" in page.text and "Voucher F2" in page.text


def test_a_quantity_is_saved_as_it_is_typed_and_the_sum_follows_in_the_same_answer(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K23: for htmx only what changed comes back, and the field itself is left alone."""
    page = a_draft(clerk_client, klarna, sandbox)
    shirt = rows_of(page)[1]
    part = clerk_client.submit(f"#row-{shirt}", htmx=f"note-quantity-{shirt}", **{f"quantity-{shirt}": "1"})
    assert part.status == 200 and not part.has(f"#quantity-{shirt}")
    assert part.find(f"#amount-{shirt}").text == "499.00"
    assert "SEK 1,936.00" in part.find("#sum").text and part.find("#sum input[name=shown]")["value"] == "193600"
    assert clerk_client.get(page.url).find(f"#quantity-{shirt}")["value"] == "1"


def test_a_quantity_that_cannot_be_is_refused_beside_its_field(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Catalogue 9: 422, what was typed is kept, nothing is saved; the button waits for the correction."""
    page = a_draft(clerk_client, klarna, sandbox)
    shirt = rows_of(page)[1]
    for typed in ("0", "-1", "1.5", "1000000000", "", "1_000", "1e3", "NaN", "٣", "x" * 90):
        answer = clerk_client.submit(f"#row-{shirt}", **{f"quantity-{shirt}": typed})
        field = answer.find(f"#quantity-{shirt}")
        assert answer.status == 422 and (field["value"], field["aria-invalid"]) == (typed, "true")
        assert answer.has(f"#note-quantity-{shirt} .note") and answer.has("#sum [aria-disabled=true]"), typed
        part = clerk_client.submit(f"#row-{shirt}", htmx=True, **{f"quantity-{shirt}": typed})
        assert part.status == 422 and part.has(".note"), typed
        assert "Correct the marked quantity first." in part.find("#sum").text
        assert clerk_client.get(page.url).find(f"#quantity-{shirt}")["value"] == "2", typed


def test_the_headings_of_a_draft_say_the_unit_of_prices_and_discounts(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Screens, "Look": the currency is said in the column; a price includes its VAT."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("Cykel", 300_000, discount_minor=10_000)])
    clerk_client.get(f"/invoices/{invoice.id}")
    heads = [each.text for each in clerk_client.submit("/credit").all("#draft thead th")]
    assert any("Unit price" in each and "incl. VAT, SEK" in each for each in heads), heads
    assert any("Discount" in each and "SEK" in each for each in heads), heads


def test_more_than_what_is_left_is_refused_with_the_figures(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K21, to the letter: invoiced, already credited and what is left."""
    page = a_draft(clerk_client, klarna, sandbox)
    keep_only(clerk_client, page, 1, "1")
    clerk_client.submit("#sum")
    clerk_client.get("/invoices/1")
    page = clerk_client.submit("/credit")
    shirt = rows_of(page)[1]
    answer = clerk_client.submit(f"#row-{shirt}", **{f"quantity-{shirt}": "2"})
    assert "At most 1 can be credited: 2 have been invoiced and 1 is already credited." in answer.text


def test_locked_values_in_a_changed_request_are_refused(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K22: 422, nothing changes."""
    page = a_draft(clerk_client, klarna, sandbox)
    line = rows_of(page)[0]
    for name in ("unit_price", "discount_minor", "article_number", "gross_minor"):
        answer = clerk_client.post(f"{page.url}/rows/{line}", {f"quantity-{line}": "1", name: "1"})
        assert answer.status == 422, name
    with reading() as session:
        assert session.get_one(DocumentLine, int(line)).unit_price_minor == 139_900


def test_rows_of_other_drafts_are_not_there(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Catalogue 10, 18: another draft's row, an unknown one, a document that is no credit note."""
    first, second = a_draft(clerk_client, klarna, sandbox), a_draft(clerk_client, klarna, sandbox, 1)
    other = rows_of(first)[0]
    for act in ("", "/restock", "/remove", "/put-back"):
        assert clerk_client.post(f"{second.url}/rows/{other}{act}", {f"quantity-{other}": "1"}).status == 404
        assert clerk_client.post(f"{second.url}/rows/999999{act}", {"quantity-999999": "1"}).status == 404
        assert clerk_client.post(f"/credit-notes/1/rows/{other}{act}", {f"quantity-{other}": "1"}).status == 404
    assert clerk_client.get("/credit-notes/1").status == clerk_client.get("/credit-notes/999").status == 404


def test_a_removed_row_can_be_put_back_and_an_empty_note_is_refused(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K26, with buttons that work without a script."""
    page = a_draft(clerk_client, klarna, sandbox, 1)
    line = rows_of(page)[0]
    page = clerk_client.submit(f"/rows/{line}/remove")
    assert "The credit note has no rows." in page.text and page.has("#sum [aria-disabled=true]")
    assert clerk_client.submit("#sum").status == 422
    page = clerk_client.submit("/put-back")
    assert rows_of(page) == [line]
    part = clerk_client.submit(f"/rows/{line}/remove", htmx="draft")
    assert part.has("#draft") and part.has("#klarna-block[hx-swap-oob]")


def test_a_sum_above_the_clerks_limit_is_for_finance(
    clerk_client: WebClient, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B31, catalogue 83: off with the sentence, 403 by hand, the draft kept; Finance finishes it."""
    page = a_draft(clerk_client, klarna, sandbox)
    sentence = "SEK 2,435.00 is above your limit of SEK 2,000.00. The draft is saved; ask Finance to finish it."
    assert sentence in page.find("#sum").text and page.has("#sum [aria-disabled=true]")
    answer = clerk_client.submit("#sum")
    assert answer.status == 403 and sentence in answer.text and not sandbox.posts(operation="create_refund")
    finance_client.get(page.url)
    assert "has been created and credited at Klarna: SEK 2,435.00" in finance_client.submit("#sum").text


def test_the_same_form_again_is_the_same_credit_note(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K2, operations 12: double click, reload, Back."""
    drawn = a_draft(clerk_client, klarna, sandbox, 1)
    first = clerk_client.submit("#sum", page=drawn, follow=False)
    again = clerk_client.submit("#sum", page=drawn, follow=False)
    assert first.status == again.status == 303 and first.headers["Location"] == again.headers["Location"]
    assert len(sandbox.posts(operation="create_refund")) == 1


def test_a_form_with_altered_figures_credits_nothing(
    app: Any, clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Catalogue 15, 79, 87: nonce, sum and version missing, altered, or another's."""
    drawn = a_draft(clerk_client, klarna, sandbox, 1)
    sent, url = dict(drawn.form("#sum").values), f"{drawn.url}/create"
    for changes, status in (
        ({"nonce": ""}, 400), ({"shown": ""}, 400), ({"shown": "x"}, 400), ({"version": ""}, 400),
        ({"version": "²"}, 400), ({"version": "77"}, 409),
        ({"shown": "1"}, 409),
    ):  # fmt: skip
        assert clerk_client.post(url, {**sent, **changes}).status == status, changes
    other = WebClient(app).log_in("finance")
    other.get(drawn.url)
    assert other.post(url, {**sent, "csrf_token": other.csrf()}).status == 403
    assert not sandbox.posts(operation="create_refund")


def test_a_draft_that_a_colleague_changed_comes_back_as_it_is_now(
    clerk_client: WebClient, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Operations 12, catalogue 80, 87: what the form showed is what is done, else 409."""
    drawn = a_draft(clerk_client, klarna, sandbox, 1)
    finance_client.get(drawn.url)
    finance_client.submit("#boxes", without_klarna=True)
    answer = clerk_client.submit("#sum", page=drawn)
    assert answer.status == 409 and "The draft has been changed meanwhile." in answer.text
    assert "Nothing is sent to Klarna for this credit note." in answer.text
    assert not sandbox.posts(operation="create_refund") and the_document(2).state is DocState.DRAFT


def test_an_old_page_does_not_take_back_what_a_colleague_has_changed(
    clerk_client: WebClient, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Operations 12: fields that nobody has typed in on an old page are not saved over what stands in the draft now."""
    drawn = a_draft(clerk_client, klarna, sandbox, [row("T-shirt", pieces=2)])
    line = rows_of(drawn)[0]
    finance_client.get(drawn.url)
    assert finance_client.post(f"{drawn.url}/rows/{line}", {f"quantity-{line}": "1"}).status == 303
    answer = clerk_client.post(f"{drawn.url}/create", {**drawn.form("#sum").values, f"quantity-{line}": "2"})
    assert answer.status == 409 and "The draft has been changed meanwhile." in answer.text
    assert answer.find(f"#quantity-{line}")["value"] == "1"
    with reading() as session:
        assert credit_drafts.figures(session, session.get_one(Document, 2)).gross_minor == 49_900
    assert not sandbox.posts(operation="create_refund")


@pytest.mark.parametrize("wrong", ["7", "2,000"])
def test_what_can_be_read_is_saved_beside_what_cannot(
    clerk_client: WebClient, klarna: Any, sandbox: Any, wrong: str
) -> None:
    """K21: the first wrong quantity is marked, and the others are not lost."""
    drawn = a_draft(clerk_client, klarna, sandbox, [row("T-shirt", pieces=2), row("Jacka", pieces=2), row("Keps")])
    first, second, third = rows_of(drawn)
    typed = {f"quantity-{first}": wrong, f"quantity-{second}": "1", f"quantity-{third}": "x"}
    answer = clerk_client.post(f"{drawn.url}/create", {**drawn.form("#sum").values, **typed})
    assert answer.status == 422 and answer.find(f"#quantity-{first}")["value"] == wrong
    assert answer.find(f"#quantity-{second}")["value"] == "1"
    assert clerk_client.get(drawn.url).find(f"#quantity-{second}")["value"] == "1", "it is saved"
    assert not sandbox.posts(operation="create_refund")


@pytest.mark.only_on("postgres")
def test_fields_are_not_saved_over_what_a_colleague_saves_just_then(
    clerk_client: WebClient, klarna: Any, sandbox: Any, app: Any
) -> None:
    """Operations 12: the page's version is held against the draft behind its lock. Seen red without it."""
    drawn = a_draft(clerk_client, klarna, sandbox, [row("T-shirt", pieces=2)])
    line, version = int(rows_of(drawn)[0]), int(drawn.form("#sum").values["version"])

    def colleague(session: Any) -> None:
        credit_drafts.set_quantity(session, FINANCE, 2, line, "1")

    def page(session: Any) -> None:
        credit_form.require_shown(session, 2, version)

    assert isinstance(while_open(app, colleague, page), Stale)


def test_what_is_typed_but_not_saved_yet_is_saved_and_shown_before_anything_is_sent(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K23: whoever is faster than the page sees the new sum first."""
    drawn = a_draft(clerk_client, klarna, sandbox, [row("T-shirt", pieces=2)])
    line = rows_of(drawn)[0]
    sent = {**drawn.form("#sum").values, f"quantity-{line}": "1"}
    answer = clerk_client.post(f"{drawn.url}/create", sent)
    assert answer.status == 409 and "What you typed is saved now, and the sum is SEK 499.00." in answer.text
    answer = clerk_client.post(f"{drawn.url}/create", {**answer.form("#sum").values, f"quantity-{line}": "7"})
    assert answer.status == 422 and answer.find(f"#quantity-{line}")["value"] == "7"
    assert not sandbox.posts(operation="create_refund")


def test_credits_made_in_the_portal_are_seen_before_anything_is_sent(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K31, K32: more than Klarna can still refund is refused with all figures."""
    drawn = a_draft(clerk_client, klarna, sandbox, 1)
    order_id = sandbox.find_orders()[0]
    sandbox.portal_refund(order_id, 19_900)
    answer = clerk_client.submit("#sum", page=drawn)
    assert answer.status == 409 and "SEK 199.00 has been credited outside Kvitta. Nothing has been sent." in answer.text
    assert not sandbox.posts(operation="create_refund") and the_document(2).state is DocState.DRAFT


def test_a_draft_opened_again_tells_what_was_credited_in_the_portal_and_offers_no_tick_that_cannot_help(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K32: all figures, what is left never below zero; of less than is left the difference can be ticked."""
    drawn = a_draft(clerk_client, klarna, sandbox, 2)
    sandbox.portal_refund(sandbox.find_orders()[0], 19_900)
    with writing() as session:
        session.scalars(sa.select(Order)).one().klarna_read_at = clock.now() - timedelta(minutes=10)
    page = clerk_client.get(drawn.url)
    told = "Klarna can still refund SEK 699.00, the credit note is SEK 898.00. SEK 199.00 has been credited outside Kvitta."
    assert told in page.find("#sum").text and not page.has("#accept") and page.has("#sum [aria-disabled=true]")
    assert "Nothing: the credit note is SEK 199.00 too large" in page.find("#klarna-block").text
    part = keep_only(clerk_client, page, 1, "1")
    assert part.has("#accept") and "outside Kvitta" not in part.find("#sum").text


def test_a_difference_is_ticked_before_the_rest_is_credited(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Operations 6: both figures and a tick; then it goes."""
    drawn = keep_only(clerk_client, a_draft(clerk_client, klarna, sandbox), 1, "1")
    sandbox.portal_refund(sandbox.find_orders()[0], 3_800)
    answer = clerk_client.submit("#sum", page=drawn)
    assert answer.status == 409 and "Klarna shows SEK 38.00 credited, Kvitta SEK 0.00" in answer.text
    page = clerk_client.submit("#sum", page=answer, accept=True)
    assert "has been created and credited at Klarna: SEK 499.00" in page.text


# --- Without Klarna ---------------------------------------------------------------------------------------------------------


def test_the_box_demands_a_reason_and_swaps_the_klarna_block(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K11, K20, K29, catalogue 87."""
    a_draft(clerk_client, klarna, sandbox, 1)
    part = clerk_client.submit("#boxes", htmx="draft", without_klarna=True)
    assert "Nothing is sent to Klarna for this credit note." in part.find("#klarna-block").text
    page = clerk_client.submit("#boxes", without_klarna=True)
    answer = clerk_client.submit("#sum")
    assert answer.status == 422 and "Choose why nothing is to be credited at Klarna." in answer.text
    assert answer.has("#without_klarna[checked]")
    values = {**page.form("#boxes").values, "reason": "because"}
    assert clerk_client.post(f"{page.url}/options", values).status == 422
    clerk_client.submit("#boxes", reason="even_exchange")
    page = clerk_client.submit("#sum")
    assert "Credit note 42581 has been created without Klarna. Nothing has been sent to Klarna" in page.text
    assert not sandbox.posts(operation="create_refund") and booked("credit_note:42581")
    assert the_document(2).without_klarna_reason is WithoutKlarna.EVEN_EXCHANGE


def test_already_credited_in_the_portal_needs_the_refund_or_the_clerks_word(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K20: the page asks for the word where Klarna shows none, and ties the refund where it does."""
    a_draft(clerk_client, klarna, sandbox, 1)
    clerk_client.submit("#boxes", without_klarna=True)
    clerk_client.submit("#boxes", reason="credited_in_portal")
    answer = clerk_client.submit("#sum")
    assert answer.status == 422
    assert (
        "Klarna shows no credit of SEK 499.00 that is not already booked. Confirm that it has been made." in answer.text
    )
    page = clerk_client.submit("#sum", portal_confirmed=True)
    assert the_document(2).portal_refund_confirmed and "without Klarna" in page.text
    a_draft(clerk_client, klarna, sandbox, 1)
    clerk_client.submit("#boxes", without_klarna=True)
    clerk_client.submit("#boxes", reason="credited_in_portal")
    sandbox.portal_refund(the_order_of(3), 49_900)
    page = clerk_client.submit("#sum")
    assert "Made outside Kvitta" in page.text
    untied, tied = (clerk_client.get(f"/credit-notes/{number}/print").text for number in (2, 4))
    assert "Nothing has been sent to Klarna" in untied and "Credited at Klarna" not in untied
    assert "Credited at Klarna" in tied and "Nothing has been sent to Klarna" not in tied, (
        "the paper does not contradict itself"
    )
    with reading() as session:
        op = session.get_one(KlarnaOp, session.get_one(Document, 4).issued_by_op_id)
        assert op.state is OpState.EXTERNAL and op.document_id == 4


def the_order_of(document_id: int) -> str:
    with reading() as session:
        order = session.get_one(Document, document_id).order
        assert order is not None and order.klarna_order_id is not None
        return order.klarna_order_id


def test_goods_go_back_to_the_chosen_warehouse_when_the_note_is_issued(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K24, K25: the box is off from the start; the quantity follows and may be lowered; freight has none."""
    with writing() as session:
        shop = a_warehouse(session, "NY", "Butiken").id
    page = a_draft(
        clerk_client, klarna, sandbox, [row("T-shirt", 10_000, pieces=3), row("Frakt", 100, kind=builders.FREIGHT)]
    )
    line = rows_of(page)[0]
    page = clerk_client.submit("#boxes", restock=True)
    assert [each["value"] for each in page.all("input[name^=restock-]")] == ["3"]
    clerk_client.submit("#boxes", warehouse_id=str(shop))
    clerk_client.submit(f"#row-{line}", **{f"quantity-{line}": "2"})
    answer = clerk_client.submit("form[action$=/restock]", **{f"restock-{line}": "3"})
    assert answer.status == 422 and "No more than what is credited can go back to stock." in answer.text
    clerk_client.submit("form[action$=/restock]", **{f"restock-{line}": "1"})
    assert not count(StockMovement, StockMovement.kind == MovementKind.RETURN)
    page = clerk_client.submit("#sum")
    with reading() as session:
        (moved,) = session.scalars(sa.select(StockMovement).where(StockMovement.kind == MovementKind.RETURN))
    assert (moved.quantity_milli, moved.warehouse_id) == (1000, shop) and "+1 in Butiken" in page.text


def test_one_warehouse_needs_no_choice_and_an_unknown_one_is_refused(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K25."""
    page = a_draft(clerk_client, klarna, sandbox, 1)
    assert not clerk_client.submit("#boxes", restock=True).has("select[name=warehouse_id]")
    values = {**page.form("#boxes").values, "warehouse_id": "999"}
    assert clerk_client.post(f"{page.url}/options", values).status == 422


def test_an_invoice_never_sold_to_klarna_is_credited_without(clerk_client: WebClient, klarna: Any) -> None:
    """K9, K11: the same page without Klarna block."""
    with writing() as session:
        order = an_order(session)
        builders.a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    clerk_client.get(f"/invoices/{invoice.id}")
    page = clerk_client.submit("/credit")
    assert "Nothing is sent to Klarna for this credit note." in page.text and not page.has("#without_klarna")
    assert "Credit note 42581 has been created: SEK 499.00." in clerk_client.submit("#sum").text


# --- Way in, drafts, list, paper -----------------------------------------------------------------------------------------


def test_the_way_in_is_off_when_everything_is_credited_or_nothing_issued(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K8, K9: on the page, in the list and on the server."""
    a_draft(clerk_client, klarna, sandbox, 1)
    clerk_client.submit("#sum")
    for url in ("/invoices/1", "/invoices?view=all"):
        page = clerk_client.get(url)
        assert "The whole invoice has been credited." in page.text and not page.has("form[action=/invoices/1/credit]")
    assert clerk_client.post("/invoices/1/credit").status == 409
    sandbox.fault("refuse", operation="create_capture")
    with writing() as session:
        order = an_order(session, sandbox, klarna)
        builders.a_delivery(session, order)
    refused = an_invoice(klarna, order)
    answer = clerk_client.post(f"/invoices/{refused.id}/credit")
    assert answer.status == 409 and "The invoice has not been issued and cannot be credited." in answer.text
    assert clerk_client.post("/invoices/999/credit").status == 404
    assert clerk_client.get("/invoices/1/credit").status == 405


def test_a_draft_is_kept_opened_again_named_to_others_and_discarded(
    clerk_client: WebClient, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B31, catalogue 80: one draft per person and invoice; the other's is named; discarding leaves no trace."""
    first = a_draft(clerk_client, klarna, sandbox, 1)
    clerk_client.get("/invoices/1")
    assert clerk_client.submit("/credit").url == first.url
    finance_client.get("/invoices/1")
    other = finance_client.submit("/credit")
    assert other.url != first.url and "Handläggaren" in other.text and "Also open on invoice 42580" in other.text
    assert "Draft" in clerk_client.get("/credit-notes?view=drafts").text
    page = finance_client.submit("/discard")
    assert page.url.endswith("/invoices/1") and finance_client.get(other.url).status == 404
    late = finance_client.submit("/create", page=other)
    assert late.status == 409 and "The draft has been discarded meanwhile." in late.text
    assert not sandbox.posts(operation="create_refund")
    assert count(Document, Document.state == DocState.DRAFT) == 1


def test_a_reader_sees_the_draft_and_changes_nothing(client: WebClient, klarna: Any, sandbox: Any, app: Any) -> None:
    """B31: off with the reason, and refused on the server."""
    invoice = a_captured_invoice(klarna, sandbox)
    with writing() as session:
        draft = credit_drafts.start(session, builders.CLERK, invoice.id).id
    client = in_english(client, "viewer")
    page = client.get(f"/credit-notes/{draft}")
    assert page.status == 200 and not page.has("#draft form#row-1 input") and "Requires Clerk or Finance." in page.text
    assert not page.has("input.quantity-to-credit") and page.has("#sum [aria-disabled=true]")
    for url in ("/discard", "/create", "/options", "/rows/1", "/rows/1/restock", "/rows/1/remove", "/rows/1/put-back"):
        assert client.post(f"/credit-notes/{draft}{url}").status == 403, url
    assert client.post(f"/invoices/{invoice.id}/credit").status == 403


def test_changes_are_posts_only(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Catalogue 17."""
    page = a_draft(clerk_client, klarna, sandbox, 1)
    for act in ("/discard", "/create", "/options", "/rows/1", "/rows/1/restock", "/rows/1/remove", "/rows/1/put-back"):
        assert clerk_client.get(f"{page.url}{act}").status == 405, act


def test_a_created_note_is_changed_no_more(clerk_client: WebClient, klarna: Any, sandbox: Any) -> None:
    """Catalogue 80: a tab left open gets 409 for every change."""
    drawn = a_draft(clerk_client, klarna, sandbox, 1)
    line = rows_of(drawn)[0]
    clerk_client.submit("#sum", page=drawn)
    for form in (f"#row-{line}", f"/rows/{line}/remove", "/discard", "#boxes"):
        assert clerk_client.submit(form, page=drawn).status in (404, 409), form
    assert the_document(2).state is DocState.ISSUED


def test_a_refused_note_holds_back_the_next_on_the_same_invoice(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K14, K15: the document stays with its number, and the next draft says what is in the way."""
    drawn = keep_only(clerk_client, a_draft(clerk_client, klarna, sandbox), 1, "1")
    sandbox.fault("refuse", operation="create_refund", error_code="REFUND_NOT_ALLOWED", messages=["Not now"])
    page = clerk_client.submit("#sum", page=drawn)
    assert (
        "Klarna did not accept the credit. Credit note 42581 remains, but nothing has been booked, "
        "no stock has moved and no money has gone back." in page.text
    )
    assert not booked("credit_note:42581")
    clerk_client.get("/invoices/1")
    page = clerk_client.submit("/credit")
    assert "Credit note 42581 awaits a decision. Finish it first." in page.find("#sum").text
    assert clerk_client.submit("#sum").status == 409


def test_the_list_shows_drafts_and_notes_and_those_without_klarna(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K29: «Krediterat utan Klarna» with its reason."""
    a_draft(clerk_client, klarna, sandbox, 1)
    clerk_client.submit("#boxes", without_klarna=True)
    clerk_client.submit("#boxes", reason="even_exchange")
    clerk_client.submit("#sum")
    a_draft(clerk_client, klarna, sandbox, 1)
    page = clerk_client.get("/credit-notes")
    assert [each.text for each in page.all("td a[data-open]")] == ["Draft", "42581"]
    page = clerk_client.get("/credit-notes?view=without")
    assert [each.text for each in page.all("td a[data-open]")] == ["42581"] and "Even exchange" in page.text
    assert clerk_client.get("/credit-notes.csv").body.count(b"\r\n") == 3


def test_the_paper_says_to_your_credit_and_names_both_numbers(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B26, accounting 7: «Er tillgodo», the original's number, date and Klarna's number."""
    drawn = a_draft(clerk_client, klarna, sandbox, 1)
    assert clerk_client.get(f"{drawn.url}/print").status == 404
    page = clerk_client.submit("#sum", page=drawn)
    paper = clerk_client.get(f"{page.url}/print?copy=1")
    assert "To your credit" in paper.text and "42580, " in paper.text and "At Klarna" in paper.text
    assert paper.find(".copy").text == "Copy" and not paper.has(".stamp")


def test_the_limit_is_the_companys_own(clerk_client: WebClient, klarna: Any, sandbox: Any, admin: Any) -> None:
    """B31, B36: a changed limit counts from its day."""
    with writing() as session:
        settings.change(session, admin, "refund_limit.clerk", "10000", builders.date(2025, 1, 1))
    page = a_draft(clerk_client, klarna, sandbox, 1)
    assert "is above your limit of SEK 100.00" in page.text


def test_the_credit_in_swedish_to_the_letter(client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K2, K4, K5, K12, K13, K20, K21, K24, K26."""
    page = a_draft(client.log_in(), klarna, sandbox, [row("T-shirt", pieces=2)])
    line = rows_of(page)[0]
    for sentence in (
        "Viktigt!", "Kreditera här, inte i Klarnas portal. Görs båda kan kunden få för mycket tillbaka.",
        "Börja alltid i originalfakturan.", "Avser faktura 42580, hos Klarna", "Ny kreditfaktura",
        "Lägg tillbaka krediterade artiklar i lager", "Nej, genomför ingen kreditering i Klarna.",
        "Kreditera 998,00 kr hos Klarna",
    ):  # fmt: skip
        assert sentence in page.text, sentence
    answer = client.submit(f"#row-{line}", **{f"quantity-{line}": "3"})
    assert "Högst 2 kan krediteras: så många är fakturerade." in answer.text
    client.submit(f"#row-{line}", **{f"quantity-{line}": "1"})
    page = client.submit("#sum")
    assert "Kreditfaktura 42581 är skapad och krediterad hos Klarna: 499,00 kr." in page.text
