"""Every page that links lead to, for each role and in both languages: nothing to complain of, nothing wider than the window.

Pages that differ only in a number or a filter are the same page. axe reads the main ones. One common act by keyboard alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from db import writing
from models import Document, Order
from services import credit_drafts, reservations
from states import DocType
from tests.browser.conftest import House, log_in
from tests.browser.keys import come_in, press_tab_to, speak
from tests.browser.pictures import take
from tests.builders import CLERK, FREIGHT, a_captured_invoice, a_delivery, a_money_form, an_order, row
from tests.journeys.words import Words

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROLES = ("viewer", "clerk", "finance", "admin")
WIDTHS = (1280, 390)
FILES = (".csv", "/file", "/pdf")
"""Addresses that give a file, not a page."""
SEVERE = ("serious", "critical")
WIDER = """() => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return null;
    const wide = [...document.querySelectorAll("main *, header *")].filter((each) => {
        const box = each.getBoundingClientRect();
        return box.width > 0 && box.right > root.clientWidth + 1 && !each.closest(".table-wrap, .visually-hidden, .tip-text");
    });
    const shown = wide.slice(0, 3).map((each) => each.outerHTML.slice(0, 120)).join(" | ");
    return `${root.scrollWidth} > ${root.clientWidth}: ${shown}`;
}"""


class Shop:
    """Something of every kind to look at."""

    def __init__(self, house: House) -> None:
        with house.writing() as session:
            self.order: Order = an_order(
                session,
                house.sandbox,
                lines=[
                    row("Vinterjacka med huva och dragkedja", 1_399_00, pieces=2),
                    row("Frakt", 38_00, kind=FREIGHT),
                ],
            )
            a_delivery(session, self.order, {self.order.lines[0].id: 1000})
        with house.context():
            self.paid = self._invoice(house)
            house.sandbox.pay_out()
            self.invoice = self._invoice(house)
            with writing() as session:
                self.draft_id = credit_drafts.start(session, CLERK, self.invoice.id).id
            self.refused = self._refused(house)

    def _invoice(self, house: House) -> Document:
        return a_captured_invoice(house.klarna, house.sandbox, lines=[row("T-shirt", 499_00, pieces=2)])

    def _refused(self, house: House) -> int:
        with writing() as session:
            order = an_order(session, house.sandbox)
            a_delivery(session, order)
        house.sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
        return reservations.invoice(house.klarna, CLERK, order.id, DocType.DELIVERY, a_money_form(499_00))


@pytest.fixture(scope="session")
def shop(house: House) -> Shop:
    """One shop for all tests of this file; they only look."""
    return Shop(house)


def kind(address: str) -> str:
    """The page an address belongs to, whatever number or filter is in it."""
    return re.sub(r"\d+", "#", urlsplit(address).path)


def links(page: Page) -> Iterator[str]:
    """Addresses within Kvitta that this page leads to."""
    for address in page.eval_on_selector_all("a[href]", "all => all.map((each) => each.getAttribute('href'))"):
        if address.startswith("/") and not urlsplit(address).path.endswith(FILES):
            yield address.split("#")[0]


def walk(page: Page, starts: Sequence[str]) -> Iterator[str]:
    """Open every page that links lead to, one of each kind; gives its address while it is open."""
    waiting, seen = list(starts), set()
    while waiting:
        address = waiting.pop(0)
        if kind(address) in seen:
            continue
        seen.add(kind(address))
        answer = page.goto(address)
        assert answer is not None and answer.status == 200, f"{address}: {answer and answer.status}"
        yield address
        waiting += links(page)


@pytest.mark.parametrize("language", ["sv", "en"])
@pytest.mark.parametrize("role", ROLES)
def test_every_page_a_role_reaches_is_quiet_and_fits_the_window(
    page: Page, house: House, shop: Shop, role: str, language: str
) -> None:
    """B31; security 1 and 5: no console error, no broken policy, no sideways scrolling at 1280 and 390."""
    log_in(page, role)
    speak(page, language)
    wide: list[str] = []
    kinds, widths = set(), list(reversed(WIDTHS))
    starts = ("/", f"/orders/{shop.order.id}", f"/credit-notes/{shop.draft_id}", f"/invoices/{shop.refused}")
    for address in walk(page, starts):
        kinds.add(kind(address))
        if (address, role, language) == ("/", "clerk", "sv"):
            take(page, "start")
        widths.reverse()
        for width in widths:
            # The window is turned once per page: the next one opens as wide as this one closes.
            if page.viewport_size != {"width": width, "height": 900}:
                page.set_viewport_size({"width": width, "height": 900})
            found = page.evaluate(WIDER)
            if found:
                wide.append(f"{address} at {width}: {found}")
    assert not wide, "\n".join(wide)
    assert {"/orders", "/invoices", "/credit-notes", "/settlements", "/books", "/stock"} <= kinds
    assert len(kinds) >= (20 if role == "viewer" else 22), sorted(kinds)


def test_the_main_pages_have_no_serious_fault_for_those_who_hear_or_key_them(
    page: Page, house: House, shop: Shop
) -> None:
    """axe, serious and critical."""
    axe, faults = Axe(), []
    log_in(page, "finance")
    speak(page, "sv")
    for address in (
        "/", "/orders", f"/orders/{shop.order.id}", f"/orders/{shop.order.id}/deliver", f"/orders/{shop.order.id}/invoice",
        "/invoices?view=all", f"/invoices/{shop.invoice.id}", f"/invoices/{shop.refused}", f"/credit-notes/{shop.draft_id}",
        "/settlements", "/settlements/upload", "/books", "/books/trial-balance",
    ):  # fmt: skip
        page.goto(address)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            found: Any = axe.run(page, options={"resultTypes": ["violations"]})
            for each in found.response["violations"]:
                if each["impact"] in SEVERE:
                    faults.append(
                        f"{address} {width}: {each['id']}: {each['nodes'][0]['html'][:160]} ({len(each['nodes'])})"
                    )
    assert not faults, "\n".join(faults)


def test_a_credit_is_made_by_keyboard_alone(page: Page, house: House) -> None:
    """K8, K23: to the invoice, down to the quantity, one piece, the button; no mouse."""
    say = Words("sv")
    with house.context():
        invoice = a_captured_invoice(house.klarna, house.sandbox, lines=[row("T-shirt", 499_00, pieces=2)])
    come_in(page, "finance", "sv")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/invoices")
    press_tab_to(page, f"form[action='/invoices/{invoice.id}/credit'] button")
    page.keyboard.press("Enter")
    page.wait_for_selector("input.quantity-to-credit")
    press_tab_to(page, "input.quantity-to-credit")
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    page.wait_for_function("() => document.querySelector('#credit-button').innerText.includes('499,00')")
    presses = press_tab_to(page, "#credit-button")
    assert presses < 12, f"{presses} times Tab from the quantity to the button"
    page.keyboard.press("Enter")
    page.wait_for_selector("#outcome .banner.ok, #outcome .ok")
    shown = " ".join(page.inner_text("main").split())
    assert say("credited", number=re.findall(r"\d{5}", page.inner_text("h1"))[0], amount=499_00) in shown
