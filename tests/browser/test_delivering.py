"""The delivery page in a browser, as somebody at the packing table has it: on a narrow window, with a scanner (B24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.conftest import House, log_in
from tests.builders import FREIGHT, a_delivery, an_article, an_order, row

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIDEWAYS = "each => each.parentElement.scrollWidth > each.parentElement.clientWidth + 1"


def test_a_narrow_window_shows_what_is_delivered_now_without_scrolling_sideways(page: Page, house: House) -> None:
    """B24, B25: each row of the delivery page, and of the order's rows and deliveries, is a block of its own at 390 pixels."""
    with house.writing() as session:
        coat = an_article(session, "Vindtät jacka med avtagbar huva", 1_349_00, stock_milli=9_000)
        rows = [row(article=coat, pieces=2), row("Frakt", 49_00, kind=FREIGHT)]
        order = an_order(session, house.sandbox, lines=rows)
        a_delivery(session, order, {order.lines[0].id: 1_000})
    page.set_viewport_size({"width": 390, "height": 800})
    log_in(page, "clerk")
    for address, count in ((f"/orders/{order.id}/deliver", 1), (f"/orders/{order.id}", 2)):
        page.goto(address)
        tables = page.locator("main table")
        assert tables.count() == count, address
        assert not any(tables.nth(each).evaluate(SIDEWAYS) for each in range(count)), address
    page.goto(f"/orders/{order.id}/deliver")
    box = page.locator("input[name^=quantity_]").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
