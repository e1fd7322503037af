"""The pages on which differences against Klarna are settled and stops are lifted (operations 13; B20, B21, F24, K31)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from models import Document, KlarnaBreak, LoginSession, Order
from services import breaks, orders, reservations
from states import DocState
from tests.blueprints.document_pages import in_english
from tests.builders import FREIGHT, a_captured_invoice, a_delivery, an_article, an_order, row
from tests.web_client import Page, WebClient


@pytest.fixture
def finance_client(app: Any) -> WebClient:
    return in_english(WebClient(app), "finance")


def bought(klarna: Any, sandbox: Any, *, deliver: bool = False, **fields: Any) -> Order:
    with writing() as session:
        order = an_order(session, sandbox, klarna, **fields)
        if deliver:
            a_delivery(session, order)
        return order


def long_ago(order: Order) -> None:
    """Let what Klarna showed be old, so that the page asks anew."""
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        assert found.klarna_read_at is not None
        found.klarna_read_at -= timedelta(minutes=2)


def captured_elsewhere(klarna: Any, sandbox: Any, order: Order, amount: int | None = None) -> int:
    """A capture made in the portal and found by a look; the difference's id."""
    sandbox.portal_capture(order.klarna_order_id, amount)
    reservations.look_at(klarna, order.id)
    with reading() as session:
        return breaks.open_of(session, order.id)[-1].id


def page_of(client: WebClient, order: Order) -> Page:
    return client.get(f"/orders/{order.id}")


def settled(break_id: int) -> str | None:
    with reading() as session:
        return session.get_one(KlarnaBreak, break_id).resolution


# --- The banner ------------------------------------------------------------------------------------------------------------


def test_opening_an_order_reads_it_anew_and_says_that_kvitta_and_klarna_agree(
    app: Any, klarna: Any, sandbox: Any
) -> None:
    """Screens, "Orders": green with the time; to the letter in both languages; a young reading is not renewed."""
    order = bought(klarna, sandbox)
    sandbox.clear_log()
    swedish = WebClient(app).log_in("clerk")
    assert "Kvitta och Klarna är överens (" in page_of(swedish, order).text and not sandbox.log()
    long_ago(order)
    english = in_english(WebClient(app), "clerk")
    assert "Kvitta and Klarna agree (" in page_of(english, order).text and len(sandbox.log()) == 1
    assert not sandbox.posts()


def test_what_was_done_in_the_portal_is_amber_with_exactly_the_acts_that_fit(
    app: Any, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B20, B31: found when the page opens; who may not settle it is told why."""
    order = bought(klarna, sandbox)
    sandbox.portal_capture(order.klarna_order_id, 10_000)
    long_ago(order)
    page = page_of(finance_client, order)
    assert "Kvitta and Klarna differ" in page.text and "Activated outside Kvitta" in page.text
    assert [each.text for each in page.all("#klarna .differences a")] == ["Adopt", "Explain"]
    clerk = page_of(in_english(WebClient(app), "clerk"), order)
    assert not clerk.has("#klarna .differences a") and "Requires Finance." in clerk.find("#klarna .differences").text


def test_an_order_that_cannot_be_read_at_klarna_says_so_and_is_shown(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    order = bought(klarna, sandbox)
    long_ago(order)
    sandbox.fault("drop_before", operation="get_order", times=0)
    page = page_of(finance_client, order)
    assert page.status == 200 and "Klarna could not be reached" in page.text
    assert "Kvitta and Klarna agreed." in page.text and not page.has("#klarna .banner.ok"), "as of then, not of now"


# --- Adopt -----------------------------------------------------------------------------------------------------------------


def test_a_capture_is_adopted_from_the_banner_and_the_invoice_says_outside_kvitta(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """F24, to the letter: «Aktiverad hos Klarna utanför Kvitta»; the shop must not activate beside Kvitta (B20)."""
    order = bought(klarna, sandbox, deliver=True, lines=[row(pieces=2), row("Frakt", 4_900, kind=FREIGHT)])
    break_id = captured_elsewhere(klarna, sandbox, order)
    page_of(finance_client, order)
    page = finance_client.get(f"/differences/{break_id}/adopt")
    assert "Only Kvitta should activate." in page.text and "No article number" in page.text
    made = finance_client.submit("#adopt form", page=page)
    assert made.status == 200 and "stands for what was activated outside Kvitta" in made.text
    assert "Activated at Klarna outside Kvitta" in made.text and settled(break_id) == "adopt"
    again = finance_client.submit("#adopt form", page=page)
    assert again.url == made.url, "a double click makes one invoice"
    assert "Kvitta and Klarna agree (" in page_of(finance_client, order).text


def test_rows_of_another_sum_keep_what_was_typed_and_take_no_number(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Catalogue 11: both sums are told."""
    order = bought(klarna, sandbox, lines=2)
    break_id = captured_elsewhere(klarna, sandbox, order, 45_000)
    with reading() as session:
        first, _second = [line.id for line in orders.get(session, order.id).lines]
    finance_client.get(f"/differences/{break_id}/adopt")
    typed = {f"quantity_{first}": "1", "rest_name": "Enligt portalen"}
    refused = finance_client.submit("#adopt form", **typed)
    assert refused.status == 422 and "SEK −49.00 is left over" in refused.text
    assert (
        refused.find(f"#quantity_{first}")["value"] == "1" and refused.find("#rest_name")["value"] == "Enligt portalen"
    )
    assert finance_client.submit("#adopt form", page=refused, **{f"quantity_{first}": "x"}).status == 422
    made = finance_client.submit("#adopt form", page=refused, rest=True)
    assert made.status == 200 and "Enligt portalen" in made.text and settled(break_id) == "adopt"


def test_a_refund_is_adopted_as_a_credit_note_and_is_said_on_the_invoice_until_then(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K31: an amber line on order and invoice with «Bokför» and «Förklara»."""
    invoice = a_captured_invoice(klarna, sandbox)
    with reading() as session:
        order = orders.get(session, invoice.order_id or 0)
        session.expunge(order)
    sandbox.portal_refund(order.klarna_order_id, 49_900)
    reservations.look_at(klarna, order.id)
    shown = finance_client.get(f"/invoices/{invoice.id}")
    assert "Credited outside Kvitta" in shown.text
    assert [each.text for each in shown.all(".differences a")] == ["Adopt", "Explain"]
    finance_client.open(shown.all(".differences a")[0]["href"])
    made = finance_client.submit("#adopt form", restock=True)
    assert made.status == 200 and "stands for what was credited outside Kvitta" in made.text
    assert not finance_client.get(f"/invoices/{invoice.id}").has(".differences")


def test_adopting_asks_for_the_password_again_and_is_finances(
    app: Any, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Security 33."""
    order = bought(klarna, sandbox)
    break_id = captured_elsewhere(klarna, sandbox, order)
    assert in_english(WebClient(app), "clerk").get(f"/differences/{break_id}/adopt").status == 403
    page = finance_client.get(f"/differences/{break_id}/adopt")
    with writing() as session:
        session.execute(sa.update(LoginSession).values(confirmed_at=clock.now() - timedelta(hours=1)))
    answer = finance_client.submit("#adopt form", page=page, follow=False)
    assert answer.status == 303 and "/confirm" in answer.headers["Location"] and settled(break_id) is None
    assert finance_client.get("/differences/999999/adopt", follow=False).status in (303, 404)


# --- Explain, ignore, take note ---------------------------------------------------------------------------------------------


def test_explaining_wants_what_stands_for_it_and_a_reason_and_the_report_keeps_both(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    order = bought(klarna, sandbox)
    break_id = captured_elsewhere(klarna, sandbox, order, 10_000)
    assert finance_client.get(f"/differences/{break_id}/ignore").status == 409
    finance_client.get(f"/differences/{break_id}/explain")
    refused = finance_client.submit("#settle form", number="F17", reason="booked by hand")
    assert refused.status == 422 and "There is no voucher F17." in refused.text
    assert refused.find("#reason").text == "booked by hand"
    a_captured_invoice(klarna, sandbox)
    page = finance_client.submit("#settle form", page=refused, number="F1", reason="booked by hand")
    assert "The difference is settled." in page.text and settled(break_id) == "explain"
    report = finance_client.get("/differences?view=explain")
    assert "booked by hand" in report.text and "Voucher F1" in report.text
    assert "Nothing here" in finance_client.get("/differences").text


def test_a_purchase_cancelled_at_klarna_is_taken_note_of_and_cancels_the_order(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    order = bought(klarna, sandbox)
    sandbox.portal_cancel(order.klarna_order_id)
    long_ago(order)
    page = page_of(finance_client, order)
    assert "The purchase was cancelled at Klarna, outside Kvitta." in page.text
    finance_client.open(page.all("#klarna .differences a")[0]["href"])
    after = finance_client.submit("main form")
    assert "The difference is settled." in after.text and "Difference accepted: Status differs" in after.text
    with reading() as session:
        assert orders.get(session, order.id).state == "cancelled"


# --- Stops -----------------------------------------------------------------------------------------------------------------


def test_a_stop_is_seen_everywhere_and_lifted_with_a_reason(
    app: Any, finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """B21: list, order page, delivery page, last step, start page; who lifted it, when and why in the history."""
    order = bought(klarna, sandbox)
    sandbox.fraud(order.klarna_order_id, "STOPPED")
    long_ago(order)
    assert (
        "Do not deliver or invoice. Finance or an administrator can lift the stop."
        in page_of(finance_client, order).text
    )
    said = "Klarna stopped the purchase on"
    for address in (f"/orders/{order.id}/deliver", f"/orders/{order.id}/invoice"):
        assert said in finance_client.get(address).text, address
    assert finance_client.get("/orders").has("tbody .pill.bad")
    assert "Stopped orders" in finance_client.get("/").text
    clerk = in_english(WebClient(app), "clerk")
    assert (
        "Requires" in page_of(clerk, order).find("#klarna").text and clerk.get(f"/orders/{order.id}/lift").status == 403
    )
    finance_client.get(f"/orders/{order.id}/lift")
    refused = finance_client.submit("#lift form", reason="the customer has called")
    assert refused.status == 409 and "Klarna still stops the purchase." in refused.text
    assert refused.find("#reason").text == "the customer has called"
    sandbox.fraud(order.klarna_order_id, "ACCEPTED")
    assert finance_client.submit("#lift form", page=refused, reason=" ").status == 422
    page = finance_client.submit("#lift form", page=refused)
    assert "The stop is lifted." in page.text and "the customer has called" in page.text
    assert "The stop was lifted" in page.text and said not in page.find("#klarna").text
    assert finance_client.submit("#lift form", page=refused).status == 200, "a double click lifts once"


def test_documents_are_untouched_by_pages_that_are_only_looked_at(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    order = bought(klarna, sandbox)
    break_id = captured_elsewhere(klarna, sandbox, order)
    for act in ("adopt", "explain"):
        assert finance_client.get(f"/differences/{break_id}/{act}").status == 200
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Document)) == 0
        assert DocState.DRAFT not in session.scalars(sa.select(Document.state)).all()
    assert settled(break_id) is None and not sandbox.posts()


# --- Crediting what was captured elsewhere ---------------------------------------------------------------------------------


def test_rows_that_a_warning_calls_by_number_bear_it_and_name_the_others_price(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K7, K39: in the table and among the removed rows."""
    with writing() as session:
        shirt = an_article(session, "T-shirt", 49_900)
    cheaper = replace(row(article=shirt), unit_price_minor=39_900)
    order = bought(klarna, sandbox, deliver=True, lines=[row(article=shirt), row("Mössa", 9_900), cheaper])
    finance_client.get(f"/differences/{captured_elsewhere(klarna, sandbox, order)}/adopt")
    finance_client.submit("#adopt form")
    page = finance_client.submit("form[action$=/credit]")
    cells = [each.text for each in page.all("td[data-label=Article]")]
    assert "Row 1" in cells[0] and "Same number as row 3 (SEK 399.00), another price" in cells[0]
    assert "Row" not in cells[1] and "Row 3" in cells[2] and "row 1 (SEK 499.00)" in cells[2]
    first = page.all("input.quantity-to-credit")[0]["id"].removeprefix("quantity-")
    page = finance_client.submit(f"form[action$=/rows/{first}/remove]", page=page)
    assert "Rows 1 and 3 share an article number" in page.find("#sum").text
    removed = page.find("#removed").text
    assert "Row 1" in removed and "row 3 (SEK 399.00)" in removed


def test_the_credit_form_warns_of_a_capture_made_elsewhere_and_the_warning_follows_the_quantities(
    finance_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K6, K36, K37, catalogue 86: marked rows, a warning with its box, the sentence beside it; a full credit asks for nothing."""
    order = bought(klarna, sandbox, deliver=True, lines=[row(pieces=2), row("Frakt", 4_900, kind=FREIGHT)])
    break_id = captured_elsewhere(klarna, sandbox, order)
    finance_client.get(f"/differences/{break_id}/adopt")
    finance_client.submit("#adopt form")
    page = finance_client.submit("form[action$=/credit]")
    assert "No article number" in page.text and not page.has("#warned")
    with reading() as session:
        draft = session.scalars(sa.select(Document).where(Document.state == DocState.DRAFT)).one()
        first = draft.lines[0].id
    page = finance_client.submit(f"#row-{first}", page=page, **{f"quantity-{first}": "1"})
    assert "The invoice has text rows without article number and was activated outside Kvitta." in page.text
    refused = finance_client.submit("#sum", page=page)
    assert refused.status == 422 and refused.find("#warned-error").text == "Confirm the warning first."
    made = finance_client.submit("#sum", page=refused, warned=True)
    assert "has been created and credited at Klarna" in made.text
