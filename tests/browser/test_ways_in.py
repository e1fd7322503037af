"""The ways to an invoice, by keyboard alone: from the order, from the list's icon, at delivery by scan, and many at once.

Each ends at the issued invoice with the black icon, whose sentence shows when it has the focus (F23). No mouse is touched:
even logging in is typed. What stands in the sandbox afterwards is one capture under the invoice's number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from models import Order
from services import deliveries
from tests.browser.conftest import Complaints, House, held_back, refuse_connection
from tests.browser.keys import come_in, press_tab_to
from tests.browser.test_journey import number_of, says, text
from tests.builders import a_customer, a_delivery, an_article, an_order, row
from tests.journeys.words import Words

if TYPE_CHECKING:
    from playwright.sync_api import Page

CREATE = "#create-form button[type=submit]"
BLACK = ".state-icon.captured"
WRONG = "7310000000017"
"""A code that no article has."""


def press(page: Page, selector: str, key: str = "Enter") -> None:
    """Tab to it and press a key there."""
    press_tab_to(page, selector)
    page.keyboard.press(key)


def search(page: Page, typed: str) -> None:
    """By ``/`` to the one search box; a number that only one thing has leads straight to it."""
    page.keyboard.press("/")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")


def create(page: Page, house: House, order: Order, say: Words, amount: int) -> None:
    """The last step: what the button says, Enter, and the invoice that Klarna has captured, under a black icon."""
    says(page, say("will_activate", reference=order.klarna_reference, amount=amount))
    press_tab_to(page, CREATE)
    said = " ".join(page.evaluate("() => document.activeElement.innerText").split())
    assert said == say("activate_button", amount=amount)
    page.keyboard.press("Enter")
    number = number_of(page)
    says(page, say("activated", number=number, amount=amount, klarna=f"{order.klarna_reference}-1"))
    press_tab_to(page, BLACK)
    tip = page.locator(f"{BLACK}:focus .tip-text")
    assert tip.is_visible(), "the icon does not say what it means when it has the focus"
    told = {"sv": "Aktiverad hos Klarna via Kvitta", "en": "Activated at Klarna through Kvitta"}[say.language]
    assert tip.inner_text().startswith(told) and f"{order.klarna_reference}-1" in tip.inner_text()
    captured(house, order, number, amount)


def captured(house: House, order: Order, number: str, amount: int) -> None:
    """Klarna has one capture of the order, under our number, of this amount."""
    state = house.sandbox.state(order.klarna_order_id or "")
    assert [(each["reference"], each["captured_amount"]) for each in state["captures"]] == [(number, amount)]


@pytest.mark.parametrize("language", ["sv", "en"])
def test_from_the_order_in_view_mode(page: Page, house: House, language: str) -> None:
    """F3, F7, F22, F23: «Skapa faktura» in the order's top menu."""
    say = Words(language)
    with house.writing() as session:
        order = an_order(
            session, house.sandbox, lines=[row("Mössa", 199_00, pieces=2)], shop_number=f"VIEWED-{language}"
        )
    come_in(page, "clerk", language)
    search(page, f"VIEWED-{language}")
    page.wait_for_url(f"**/orders/{order.id}")
    press(page, f".page-head a[href='/orders/{order.id}/invoice']")
    create(page, house, order, say, 398_00)
    search(page, f"VIEWED-{language}")
    page.wait_for_url(f"**/orders/{order.id}")
    says(page, say("all_invoiced"))


def test_from_the_icon_in_the_order_list(page: Page, house: House) -> None:
    """F4, F23: the icon at the far right of the row, by name; afterwards the row's Klarna icon is black."""
    say = Words("sv")
    with house.writing() as session:
        order = an_order(session, house.sandbox, lines=[row("Vantar", 249_00)], shop_number="LISTED-1")
    come_in(page, "clerk", "sv")

    def narrow() -> None:
        page.keyboard.press("g")
        page.keyboard.press("o")
        page.wait_for_url("**/orders")
        press_tab_to(page, "#orders-q")
        page.keyboard.type("LISTED-1")
        page.keyboard.press("Enter")
        page.wait_for_url("**/orders?*")
        page.keyboard.press("j")

    narrow()
    presses = press_tab_to(page, f"td.icons a[href='/orders/{order.id}/invoice']")
    assert presses <= 4, f"{presses} times Tab from the row to its icon"
    assert page.evaluate("() => document.activeElement.ariaLabel") == f"Skapa faktura för order {order.number}"
    page.keyboard.press("Enter")
    create(page, house, order, say, 249_00)
    narrow()
    assert page.locator("tbody tr").count() == 1
    assert page.locator(f"tbody {BLACK}").count() == 1
    assert page.locator("tbody td.icons a").count() == 1, "only the delivery is left to do"


def test_at_delivery_by_scan(page: Page, house: House, complaints: Complaints) -> None:
    """F5, B24: a wrong code is told and counts nothing; each right one adds a piece; «Leverera och fakturera» goes on."""
    say = Words("sv")
    with house.writing() as session:
        scarf = an_article(session, "Halsduk", 349_00, number="SCAN-1", gtin="7312345678913")
        order = an_order(session, house.sandbox, lines=[row(article=scarf, pieces=3)], shop_number="SCANNED-1")
    complaints.expect("status of 409")
    come_in(page, "clerk", "sv")
    search(page, "SCANNED-1")
    page.wait_for_url(f"**/orders/{order.id}")
    press(page, f".page-head a[href='/orders/{order.id}/deliver']")
    page.wait_for_url("**/deliver")
    quantity = page.locator("#deliver tbody input")
    assert page.evaluate("() => document.activeElement.id") == "scan", "a scanner could not begin at once"
    for code in (WRONG, "7312345678913", "SCAN-1"):
        with page.expect_response("**/deliver"):
            page.keyboard.type(code)
            page.keyboard.press("Enter")
        page.wait_for_function("() => document.activeElement?.id === 'scan' && document.activeElement.value === ''")
        if code == WRONG:
            says(page, f"Artikel {WRONG} finns inte på ordern.")
            assert quantity.input_value() == "3"
    page.wait_for_function("() => document.querySelector('#deliver tbody input').value === '2'")
    press(page, "button[value=invoice]")
    says(page, f"Koder är skannade som inte är räknade: {WRONG}.")
    press(page, "#without", "Space")
    press(page, "button[value=invoice]")
    create(page, house, order, say, 698_00)
    search(page, "SCANNED-1")
    page.wait_for_url(f"**/orders/{order.id}")
    assert "Delfakturerad" in text(page)


def test_a_scanner_does_not_wait_for_answers(page: Page, house: House, complaints: Complaints) -> None:
    """Each code counts a piece, however slow the answer; one that gets no answer is heard and stands there again."""
    with house.writing() as session:
        rows = [row(article=an_article(session, name, 99_00, number=name), pieces=9) for name in ("QUICK-1", "QUICK-2")]
        order = an_order(session, house.sandbox, lines=rows)
    come_in(page, "clerk", "sv")
    page.goto(f"/orders/{order.id}/deliver")
    page.evaluate("() => { window.beeps = 0; document.addEventListener('beep', () => { window.beeps += 1; }); }")

    def scan(*codes: str) -> None:
        for code in codes:
            page.keyboard.type(code)
            page.keyboard.press("Enter")

    def counted(*pieces: str) -> None:
        page.wait_for_function(
            """pieces => !document.querySelector('#deliver .htmx-request, .htmx-settling')
            && pieces.join() === Array.from(document.querySelectorAll('#deliver tbody input'), each => each.value).join()
            && document.activeElement.id === 'scan'""",
            arg=pieces,
        )

    held = held_back(page, "**/deliver")
    scan("QUICK-1", "QUICK-2", "QUICK-1")
    page.keyboard.type("QUI")
    assert len(held) == 1, "a code was sent while another one was on its way"
    held[0].continue_()
    counted("2", "1")
    scan("CK-2")
    counted("2", "2")
    assert page.input_value("#scan") == ""

    complaints.expect("ERR_FAILED|htmx:(afterRequest|sendError)")
    page.route("**/deliver", refuse_connection, times=1)
    scan("QUICK-1")
    page.wait_for_selector("#messages :text('Inget svar')")
    counted("2", "2")
    assert page.input_value("#scan") == "QUICK-1"
    assert page.evaluate("() => [document.getSelection().toString(), window.beeps]") == ["QUICK-1", 1]
    page.keyboard.press("Enter")
    counted("3", "2")
    complaints.expect("status of 409")
    scan(WRONG, "QUICK-2")
    counted("3", "3")
    assert page.evaluate("() => window.beeps") == 2

    complaints.expect("status of 422")
    page.fill("#deliver tbody input >> nth=0", "x")
    press(page, "#deliver button[value=deliver]")
    page.wait_for_function("() => document.activeElement.matches('[data-errors]')")


def test_delivered_is_what_was_scanned_last_too(page: Page, house: House) -> None:
    """«Leverera» pressed while codes are counted waits for them: neither is it lost, nor a piece."""
    with house.writing() as session:
        sock = an_article(session, "Strumpa", 49_00, number="LAST-1")
        order = an_order(session, house.sandbox, lines=[row(article=sock, pieces=9)])
    come_in(page, "clerk", "sv")
    page.goto(f"/orders/{order.id}/deliver")
    held = held_back(page, "**/deliver")
    for _ in range(2):
        page.keyboard.type("LAST-1")
        page.keyboard.press("Enter")
    while not held:
        page.wait_for_timeout(10)
    press(page, "#deliver button[value=deliver]")
    held[0].continue_()
    page.wait_for_url(f"**/orders/{order.id}")
    with house.reading() as session:
        assert [line.quantity_milli for each in deliveries.listing(session, order.id) for line in each.lines] == [2_000]


def test_many_at_once_from_the_order_list(page: Page, house: House) -> None:
    """Tick three, look at what would happen, run it, and read what became of each; Klarna's review stops only its own."""
    say = Words("sv")
    with house.writing() as session:
        buyer = a_customer(session, "Dussinkund Testsson")
        made = [
            an_order(session, house.sandbox, lines=[row(f"Strumpor {n}", 99_00)], customer=buyer, **more)
            for n, more in enumerate(({}, {}, {"fraud_status": "PENDING"}))
        ]
        a_delivery(session, made[0])
    come_in(page, "clerk", "sv")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url("**/orders")
    press_tab_to(page, "#orders-q")
    page.keyboard.type("Dussinkund")
    page.keyboard.press("Enter")
    page.wait_for_url("**/orders?*")
    press(page, "[data-select-all]", "Space")
    assert page.locator("tbody input[name=selected]:checked").count() == 3
    press(page, "#chosen button[value=both]")
    page.wait_for_url("**/batches/new?*")
    says(page, "Klarna granskar köpet. Leverera och fakturera inte ännu.")
    says(page, say.money(198_00))
    press(page, f"#take-{made[1].id}", "Space")
    says(page, "Leverera och fakturera 1 order")
    assert page.evaluate("() => document.activeElement.id") == f"take-{made[1].id}"
    assert "Tillsammans: 99,00 kr" in " ".join(page.inner_text("#plan .actions").split())
    page.keyboard.press("Space")
    says(page, "Leverera och fakturera 2 ordrar")
    press(page, "form[action$='/batches'] .actions button[type=submit]")
    page.wait_for_url(re.compile(r"/batches/\d+$"))
    page.wait_for_selector("#progress:not([data-poll])")
    results = [" ".join(each.split()) for each in page.locator("tbody tr td:nth-child(3)").all_inner_texts()]
    assert results == ["Klart", "Klart"]
    numbers = page.locator("tbody tr td:nth-child(5) a").all_inner_texts()
    for order, number in zip(made[:2], numbers, strict=True):
        captured(house, order, number, 99_00)
    press(page, "tbody td:nth-child(5) a")
    assert number_of(page) == numbers[0]
    assert page.locator(BLACK).first.is_visible()
    assert house.sandbox.state(made[2].klarna_order_id or "")["captures"] == []
