"""An order's rows are changed with their new sum in sight, beside what is reserved (B19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.conftest import House, log_in
from tests.browser.keys import press_tab_to
from tests.browser.test_goods_in import leaving, wait_for
from tests.browser.test_journey import says
from tests.builders import an_order, row

if TYPE_CHECKING:
    from playwright.sync_api import Page

TELLS = "text => document.querySelector('#new-sum').textContent.replace(/\\s+/g, ' ').includes(text)"


def test_the_sum_follows_what_is_typed_and_the_button_sends_that_sum(page: Page, house: House) -> None:
    """B19: no press shows it, and none is lost to it; what is typed is still missed by who leaves the page."""
    with house.writing() as session:
        order = an_order(session, house.sandbox, lines=[row("Mössa", 199_00, pieces=3)])
    log_in(page, "clerk")
    page.goto(f"/orders/{order.id}/rows")
    page.fill("#quantity_0", "2")
    page.wait_for_function(TELLS, arg="Ny summa398,00 kr")
    assert page.evaluate(TELLS, "Skillnad−199,00")
    page.fill("#quantity_0", "x")
    page.wait_for_function(TELLS, arg="när alla antal och belopp går att läsa")
    page.fill("#quantity_0", "1")
    page.wait_for_function(TELLS, arg="Ny summa199,00 kr")
    asked = leaving(page)
    page.evaluate("() => { setTimeout(() => { location.href = '/orders'; }, 0); }")
    wait_for(page, asked, 1)
    assert page.locator("#quantity_0").input_value() == "1"
    press_tab_to(page, "#order-rows button[value=save]")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/orders/{order.id}")
    says(page, "Reservationen är nu på 199,00 kr.")
    assert house.sandbox.state(order.klarna_order_id or "")["order_amount"] == 199_00
