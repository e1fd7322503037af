"""Kvitta runs as it does in production, and a browser finds nothing to complain of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.conftest import House, log_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_person_logs_in_and_sees_the_orders(page: Page, house: House) -> None:
    log_in(page, "clerk")
    page.goto("/orders")
    assert page.locator("h1").count() == 1
    assert "Handläggaren" in page.inner_text("header")


def test_every_part_of_the_stack_lives(house: House) -> None:
    house.stack.require_alive()
    assert house.sandbox.now()
