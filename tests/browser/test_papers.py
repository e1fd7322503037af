"""Papers on the screen: no heading is broken inside a word on a narrow one, and a button prints them (B26)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.conftest import House, log_in
from tests.browser.keys import press_tab_to
from tests.builders import an_order, row

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROKEN = """() => [...document.querySelectorAll('.lines th')].flatMap((cell) => {
    const words = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
    for (let node = words.nextNode(); node; node = words.nextNode()) for (const word of node.data.matchAll(/\\S+/g)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        if (range.getClientRects().length > 1) found.push(word[0]);
    }
    return found;
})"""
"""Words of headings that stand on more than one line."""


def test_no_word_of_a_pick_lists_headings_is_broken_on_a_narrow_screen(page: Page, house: House) -> None:
    """B26: columns are as wide as their headings; the page is no wider than the window."""
    with house.writing() as session:
        order = an_order(session, lines=[row("Cykelhjälm med visir", 50_000), row("Vinterhandskar", 20_000, pieces=12)])
        order_id = order.id
    log_in(page, "clerk")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/orders/{order_id}/pick-list")
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_paper_on_the_screen_has_a_button_that_prints_it(page: Page, house: House) -> None:
    """B26: by key; the button itself is not on the paper."""
    with house.writing() as session:
        order_id = an_order(session, lines=[row("Cykelhjälm", 50_000)]).id
    log_in(page, "clerk")
    page.goto(f"/orders/{order_id}/pick-list")
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    press_tab_to(page, "[data-print]")
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.printed")
    page.emulate_media(media="print")
    assert not page.is_visible("[data-print]")
