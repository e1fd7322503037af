"""A month is closed in a browser by keys alone: what waits is named, cleared up, and the period locked (B34)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import pytest

from services import ledger
from services.ledger import Entry
from tests.browser.conftest import Complaints, House
from tests.browser.keys import press_tab_to
from tests.browser.test_crediting import come_in
from tests.builders import FINANCE, FIRST_YEAR

if TYPE_CHECKING:
    from playwright.sync_api import Page

MONTH = date(FIRST_YEAR, 1, 31)
"""Long before anything that other tests of this stack book."""
WAITS = "a[href='/books/accounts/2999']"


@pytest.fixture
def unexplained(house: House) -> Iterator[None]:
    """7,00 in January that nobody has explained; afterwards the days are open again."""
    put_aside(house, 7_00, date(FIRST_YEAR, 1, 20))
    yield
    with house.writing() as session:
        if ledger.locked_through(session) is not None:
            ledger.unlock(session, FINANCE, None, "prov")


def put_aside(house: House, minor: int, day: date) -> None:
    entries = [Entry(2999, -minor), Entry(1930 if minor > 0 else 6060, minor)]
    with house.writing() as session:
        ledger.post(session, FINANCE, series="I", day=day, text="Prov", source=f"månadsslut:{minor}", entries=entries)


def look_through(page: Page, day: date) -> None:
    """Type the day into the filter and press Enter."""
    press_tab_to(page, "#to")
    page.keyboard.press("Control+A")
    page.keyboard.type(day.isoformat())
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/books/lock?to={day}")


def try_to_lock(page: Page, *, tick: bool) -> None:
    """Give the reason, tick the box where it stands and is meant, and lock."""
    press_tab_to(page, "#lock-reason")
    page.keyboard.press("Control+A")
    page.keyboard.type("Månaden är avstämd")
    if tick and page.locator("#lock-confirmed").count():
        press_tab_to(page, "#lock-confirmed")
        page.keyboard.press("Space")
    press_tab_to(page, "form[action='/books/lock'] button[type=submit]")
    page.keyboard.press("Enter")


@pytest.mark.usefixtures("unexplained")
def test_a_month_is_blocked_by_what_waits_and_locked_when_it_is_cleared(
    page: Page, house: House, complaints: Complaints
) -> None:
    """B34: blocked with reasons, mended, locked. What other tests of the stack have left open is ticked away."""
    come_in(page, house, "sv", "finance")
    page.goto("/books/lock")
    look_through(page, MONTH)
    assert page.locator(WAITS).is_visible() and "7,00" in page.locator("main table").first.inner_text()
    complaints.expect("status of 409")
    try_to_lock(page, tick=False)
    page.wait_for_selector("#lock-confirmed-error")
    assert page.locator("#lock-reason").input_value() == "Månaden är avstämd"
    press_tab_to(page, WAITS, key="Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/books/accounts/2999")

    put_aside(house, -7_00, MONTH)
    page.goto("/books/lock")
    look_through(page, MONTH)
    assert not page.locator(WAITS).count()
    try_to_lock(page, tick=True)
    page.wait_for_selector("#messages .banner.ok")
    assert MONTH.isoformat() in page.locator("#messages").inner_text()
    with house.reading() as session:
        assert ledger.locked_through(session) == MONTH
