"""Hands on the keyboard, and the choice of language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.builders import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_TABS = 90


def press_tab_to(page: Page, selector: str, key: str = "Tab") -> int:
    """Press Tab until this has the focus; gives how often. Fails when it is never reached."""
    for presses in range(1, MOST_TABS + 1):
        page.keyboard.press(key)
        if page.evaluate(
            "wanted => document.activeElement !== null && document.activeElement.matches(wanted)", selector
        ):
            return presses
    raise AssertionError(f"{MOST_TABS} times {key} do not reach {selector}")


def speak(page: Page, language: str) -> None:
    """Choose the language of the pages with the button at the top."""
    button = page.locator(f"form.language button[value={language}]")
    if button.get_attribute("aria-pressed") != "true":
        button.click()
        page.wait_for_selector(f"html[lang={language}]")


def come_in(page: Page, name: str, language: str) -> None:
    """Log in and choose the language with the keyboard alone."""
    page.goto("/login")
    page.wait_for_function("() => document.activeElement?.tagName === 'INPUT'")
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)
    if page.get_attribute("html", "lang") != language:
        press_tab_to(page, f"form.language button[value={language}]")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"html[lang={language}]")
