"""Goods are taken in by scanner and keyboard: each code ends with Enter, which goes on and books nothing (B28)."""

from __future__ import annotations

import secrets
from collections.abc import Sized
from typing import TYPE_CHECKING

import pytest

from services import stock, stocktakes
from tests.browser.conftest import PATIENCE, Complaints, House, held_back, log_in
from tests.browser.keys import press_tab_to, speak
from tests.browser.test_journey import says
from tests.builders import CLERK, a_warehouse, an_article

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

ADDRESS = "/stock/goods-in"
ALL_NAMED = """() => document.querySelectorAll("#goods-in form .suffix").length === 3
    && !document.querySelector("#goods-in.htmx-added, #goods-in button:disabled")"""


def caret(page: Page) -> str:
    name: str = page.evaluate("() => document.activeElement.name")
    return name


def leaving(page: Page) -> list[Dialog]:
    """Stays on the page whenever the browser asks whether it is to be left; gives what it asked."""
    asked: list[Dialog] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog)
        dialog.dismiss()

    page.on("dialog", stay)
    return asked


def wait_for(page: Page, found: Sized, count: int) -> None:
    """Wait until so much has come."""
    for _ in range(PATIENCE // 10):
        if len(found) >= count:
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"{len(found)} of {count} have come")


def test_a_code_scanned_as_an_answer_comes_does_not_load_the_page_anew(page: Page, house: House) -> None:
    """While a page loads, what is scanned is lost. htmx knows a new form only some time after it has taken its place."""
    with house.writing() as session:
        for number in ("IN-3", "IN-4"):
            an_article(session, f"Mössa {number}", number=number, stock_milli=0)
    log_in(page, "clerk")
    page.goto(ADDRESS)
    page.fill("input[name=rows-0-article]", "IN-3")
    page.evaluate(
        """() => {
            window.sameTold = true;
            document.addEventListener("htmx:afterSwap", () => {
                const field = document.querySelector("input[name=rows-1-article]");
                field.value = "IN-4";
                field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
            }, { once: true });
        }"""
    )
    page.press("input[name=rows-0-article]", "Enter")
    says(page, "Mössa IN-4")
    assert page.evaluate("() => window.sameTold"), "the page was loaded anew"


def test_codes_scanned_faster_than_they_are_answered_each_find_their_row(page: Page, house: House) -> None:
    """The caret stays in a code that has not ended with Enter, also when an answer has named it: more of it may come."""
    with house.writing() as session:
        shirt = an_article(session, "Skjorta inlevererad", number="IN-1", stock_milli=0)
        sock = an_article(session, "Strumpa inlevererad", number="IN-2", stock_milli=0)
    log_in(page, "clerk")
    speak(page, "sv")
    page.goto(ADDRESS)
    page.fill("input[name=reference]", "FS 1")
    page.keyboard.press("Tab")
    assert caret(page) == "rows-0-article"
    held = held_back(page, f"**{ADDRESS}")
    for code in ("IN-1", "IN-2"):
        page.keyboard.type(code)
        page.keyboard.press("Enter")
    page.keyboard.type("IN-1")
    assert caret(page) == "rows-2-article"
    page.wait_for_function("() => document.activeElement.value === 'IN-1'")
    wait_for(page, held, 1)
    held[0].continue_()
    page.wait_for_function(ALL_NAMED)
    says(page, "Strumpa inlevererad")
    assert (caret(page), page.input_value("input[name=rows-2-article]")) == ("rows-2-article", "IN-1")
    page.keyboard.press("Enter")
    assert caret(page) == "rows-3-article"
    for code in ("IN-2", "IN-1"):
        page.keyboard.type(code)
        page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.name === 'rows-5-article'")  # the row that an answer brings
    press_tab_to(page, "button[value=take]")
    page.keyboard.press("Enter")
    says(page, "5 rader har lagts in i lager.")
    with house.reading() as session:
        assert (stock.balance(session, shirt.id), stock.balance(session, sock.id)) == (3_000, 2_000)


@pytest.mark.parametrize("wrong", ["", "?"])
def test_what_is_pressed_while_a_code_is_looked_up_is_done_then_unless_the_code_is_wrong(
    page: Page, house: House, complaints: Complaints, wrong: str
) -> None:
    """The last code, then at once the button: nobody has to notice that nothing happened. And a wrong code books nothing."""
    number = "IN-5" if wrong else "IN-6"
    if wrong:
        complaints.expect("status of 422")
    with house.writing() as session:
        scarf = an_article(session, "Halsduk", number=number, stock_milli=0)
    log_in(page, "clerk")
    page.goto(ADDRESS)
    page.fill("input[name=reference]", "FS 2")
    page.keyboard.press("Tab")
    held = held_back(page, f"**{ADDRESS}")
    page.keyboard.type(number + wrong)
    page.keyboard.press("Enter")
    wait_for(page, held, 1)
    press_tab_to(page, "button[value=take]")
    page.keyboard.press("Enter")
    held[0].continue_()
    says(page, "Det finns ingen artikel ”IN-5?”." if wrong else "1 rad har lagts in i lager.")
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-added, .htmx-settling')")
    with house.reading() as session:
        assert stock.balance(session, scarf.id) == (0 if wrong else 1_000)


def test_nobody_leaves_what_was_scanned_without_being_asked(page: Page, house: House) -> None:
    """It is nowhere but on the page until it is taken in: the browser asks, and taking it in asks nothing."""
    with house.writing() as session:
        an_article(session, "Vante", number="IN-7", stock_milli=0)
    log_in(page, "clerk")
    page.goto(ADDRESS)
    asked = leaving(page)
    page.fill("input[name=reference]", "FS 3")
    page.keyboard.press("Tab")
    page.keyboard.type("IN-7")
    page.keyboard.press("Enter")
    says(page, "Vante")
    page.click("nav a[href='/orders']", no_wait_after=True)
    wait_for(page, asked, 1)
    assert page.input_value("input[name=rows-0-article]") == "IN-7"
    page.click("button[value=take]")
    says(page, "1 rad har lagts in i lager.")
    page.click("nav a[href='/orders']")
    page.wait_for_url("**/orders")
    assert len(asked) == 1


def test_a_code_that_waits_for_its_turn_is_not_left_behind(page: Page, house: House) -> None:
    """B28: at a stocktake each code is counted at once; the ones behind it are nowhere but on the page."""
    with house.writing() as session:
        an_article(session, "Hatt", number="IN-8", stock_milli=9_000)
        place = a_warehouse(session)
        stocktake = stocktakes.start(session, CLERK, secrets.token_hex(16), place.id)
    address = f"/stock/stocktakes/{stocktake}"
    log_in(page, "clerk")
    page.goto(address)
    asked = leaving(page)
    page.click("#scan")
    held = held_back(page, f"**{address}")
    for _ in range(2):
        page.keyboard.type("IN-8")
        page.keyboard.press("Enter")
    wait_for(page, held, 1)
    page.click("nav a[href='/orders']", no_wait_after=True)
    wait_for(page, asked, 1)
    held[0].continue_()
    says(page, "IN-8 Hatt: 2 st räknade.")
    page.click("nav a[href='/orders']")
    page.wait_for_url("**/orders")
    assert len(asked) == 1
