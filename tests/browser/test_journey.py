"""From order to paid in a browser, by keyboard where a hurried clerk would use it, in both languages.

Delivered in part, captured; delivered in full, Klarna's answer lost and found again by itself; a piece credited, refused once
and tried again; the payout fetched. Figures to the öre are the business of tests/journeys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from models import Order
from tests.browser.conftest import House, before_htmx, log_in
from tests.browser.keys import press_tab_to, speak
from tests.builders import an_order, row
from tests.journeys.stations import FIRST_PART, JACKET, RETURNED, ROWS, SECOND_PART, SHIRT
from tests.journeys.words import Words

if TYPE_CHECKING:
    from playwright.sync_api import Page


def says(page: Page, sentence: str) -> None:
    """The page comes to say this; its spaces may be of any kind."""
    page.wait_for_function(
        "said => (document.querySelector('main')?.innerText ?? '').replace(/\\s+/g, ' ').includes(said)",
        arg=sentence,
    )


def text(page: Page) -> str:
    return " ".join(page.inner_text("main").split())


def open_order(page: Page, order: Order) -> None:
    """By keys: to the orders, search its number, Enter on the first row."""
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url("**/orders")
    page.fill("#orders-q", order.shop_number or "")
    page.keyboard.press("Enter")
    page.wait_for_url("**/orders?*")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/orders/{order.id}")


@pytest.mark.parametrize("language", ["sv", "en"])
def test_from_order_to_paid_in_a_browser(page: Page, house: House, language: str) -> None:
    """F5, F7, F10, F15, F20-F25, K2, K10, K13, K14, K18, K23, K24, K47."""
    say = Words(language)
    house.sandbox.switches(fee_percent=150, fee_fixed=0)
    with house.writing() as session:
        order = an_order(session, house.sandbox, lines=ROWS, shop_number=f"JOURNEY-{language}")
    log_in(page, "clerk")
    speak(page, language)
    open_order(page, order)

    # A part of it leaves, and is invoiced.
    press_tab_to(page, f"a[href='/orders/{order.id}/deliver']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/deliver")
    page.locator("#deliver tbody tr", has_text=SHIRT).locator("input").fill("0")
    press_tab_to(page, "button[value=deliver]")
    page.keyboard.press("Enter")
    says(page, say("not_invoiced"))
    press_tab_to(page, f"a[href='/orders/{order.id}/invoice']")
    page.keyboard.press("Enter")
    says(page, say("will_activate", reference=order.klarna_reference, amount=FIRST_PART))
    press_tab_to(page, "#last-step .button.primary")
    assert page.evaluate("() => document.activeElement.innerText").replace("\xa0", " ") == say(
        "activate_button", amount=FIRST_PART
    )
    page.keyboard.press("Enter")
    first = number_of(page)
    says(page, say("activated", number=first, amount=FIRST_PART, klarna=f"{order.klarna_reference}-1"))

    # The rest leaves; the answer to the capture is lost, and the page finds out by itself.
    page.goto(f"/orders/{order.id}/deliver")
    press_tab_to(page, "button[value=invoice]")
    page.keyboard.press("Enter")
    says(page, say("activate_button", amount=SECOND_PART))
    house.sandbox.fault("drop_after", operation="create_capture", order_id=order.klarna_order_id)
    page.click("#last-step .button.primary")
    says(page, say("capture_unknown", amount=SECOND_PART))
    say.calm(text(page))
    second = number_of(page)
    says(page, say("activated", number=second, amount=SECOND_PART, klarna=f"{order.klarna_reference}-2"))
    page.goto(f"/orders/{order.id}")
    says(page, say("all_invoiced"))
    room = "each => each.scrollWidth <= each.clientWidth"
    assert page.locator(".table-wrap", has_text=SHIRT).first.evaluate(room), "the amounts are out of sight"

    # A piece comes back: refused once, tried again.
    page.get_by_role("link", name=second, exact=True).click()
    page.click(f"form[action$='/credit'] button:has-text('{'Kreditera' if language == 'sv' else 'Credit'}')")
    says(page, say("begin_in_original"))
    press_tab_to(page, "input.quantity-to-credit")
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    says(page, say("credit_button", amount=RETURNED))
    press_tab_to(page, "#boxes input[name=restock]")
    page.keyboard.press("Space")
    page.wait_for_selector("input[name^=restock-]")
    house.sandbox.fault(
        "refuse", operation="create_refund", order_id=order.klarna_order_id, error_code="REFUND_NOT_ALLOWED"
    )
    press_tab_to(page, "#credit-button")
    page.keyboard.press("Enter")
    page.wait_for_selector("section.refused")
    note = number_of(page)
    says(page, say("refund_refused", number=note))
    page.click("form[action$='/retry'] button")
    says(page, say("credited", number=note, amount=RETURNED))
    page.click(".fold-menu summary")
    page.click("form[action$='/logout'] button")
    page.wait_for_selector("input[type=password]")

    # Klarna pays, Finance fetches, everything has its green tick.
    (payout,) = house.sandbox.pay_out()
    log_in(page, "finance")
    speak(page, language)
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/settlements")
    page.click("form[action$='/settlements/fetch'] button")
    page.locator("tbody tr", has_text=payout["payment_reference"]).locator("a[data-open]").click()
    page.wait_for_selector("#reading")
    for number in (first, second, note):
        page.goto(f"/invoices?view=all&q={number}")
        assert page.locator("tbody tr", has_text=number).locator(".state-icon.paid-full").count() >= 1, number
    state = house.sandbox.state(order.klarna_order_id or "")
    assert [each["reference"] for each in state["captures"]] == [first, second]
    assert [(each["reference"], each["refunded_amount"]) for each in state["refunds"]] == [(note, RETURNED)]


def test_an_advance_follows_a_percent_typed_before_the_scripts_have_come(page: Page, house: House) -> None:
    """F12: the amount on the button is never that of another percentage."""
    with house.writing() as session:
        order = an_order(session, house.sandbox, lines=[row(JACKET, 10_000_00)], shop_number="JOURNEY-ADVANCE")
    log_in(page, "clerk")
    speak(page, "en")
    address = f"/orders/{order.id}/invoice?type=advance&percent=10"
    with before_htmx(page, address):
        page.fill("#percent", "30")
    says(page, "Create invoice and activate SEK 3,000.00 at Klarna")


def number_of(page: Page) -> str:
    """The number in the heading of a document's page."""
    page.wait_for_url(lambda url: "/invoices/" in url or "/credit-notes/" in url)
    page.wait_for_function("() => /\\d{5}/.test(document.querySelector('h1')?.innerText ?? '')")
    found = re.search(r"\d{5}", page.inner_text("h1"))
    assert found is not None
    return found[0]
