"""Every page a role may open, in both languages: nothing to complain of, nothing wider than the window, nothing axe minds.

Pages that differ only in a number or a filter are the same page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from axe_playwright_python.sync_playwright import Axe

import config
from services import users
from tests.browser.conftest import House, log_in
from tests.browser.keys import speak
from tests.browser.shop import FILES, Shop, endpoint, endpoints

if TYPE_CHECKING:
    from playwright.sync_api import Page

WALKS = (("viewer", "en"), ("clerk", "sv"), ("finance", "sv"), ("finance", "en"), ("admin", "sv"), ("admin", "en"))
"""Every page in both languages, and every role; of the administrator's, those that finance has not."""
READ_BY_AXE = "sv"
AXE = Axe("null")
"""Without its script, which comes with the page: sent and compiled anew for each, it costs half as much as reading."""
LOOKED_FOR = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
    "preload": False,
    "iframes": False,
    "selectors": False,
}
AROUND = "body > header"
"""The same on every page of a walk: axe reads it on the first."""
WIDTHS = (1280, 390)
SEVERE = ("serious", "critical")
LINKS = "() => [...document.querySelectorAll('a[href]')].map((each) => each.getAttribute('href'))"
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


@pytest.fixture(scope="session")
def shop(house: House) -> Shop:
    """One shop for all tests of this file; they only look."""
    return Shop(house)


def kind(address: str) -> str:
    """The page an address belongs to, whatever number or filter is in it."""
    return re.sub(r"\d+", "#", urlsplit(address).path)


def links(page: Page) -> Iterator[str]:
    """Addresses within Kvitta that this page leads to."""
    for address in page.evaluate(LINKS):
        if address.startswith("/") and not urlsplit(address).path.endswith(FILES):
            yield address.split("#")[0]


ON_THE_WAY = {
    "start.index",
    "settings.index",
    "settings.group",
    "klarna_accounts.index",
    "payment_methods.index",
    "setting_books.chart",
}
"""What the administrator comes by on the way to pages that finance has not."""


def opened_by(role: str) -> set[str]:
    """The pages that a walk opens."""
    return endpoints(role) - endpoints("finance") | ON_THE_WAY if role == "admin" else endpoints(role)


def walk(page: Page, starts: Sequence[str], pages: set[str]) -> Iterator[str]:
    """Open these and every one of the pages that links lead to, one of each kind; gives its address while it is open."""
    waiting, seen = [(each, True) for each in starts], set()
    while waiting:
        address, wanted = waiting.pop(0)
        if (kind(address) in seen and not wanted) or endpoint(urlsplit(address).path) not in pages:
            continue
        seen.add(kind(address))
        answer = page.goto(address)
        assert answer is not None and answer.status == 200, f"{address}: {answer and answer.status}"
        yield address
        waiting += [(each, False) for each in links(page)]


def read_by_axe(page: Page) -> None:
    """Let axe be at hand on every page that is opened from here on."""
    page.add_init_script(path=AXE_FILE_PATH)


def severe(page: Page, *, without: str | None = None) -> list[str]:
    """What axe finds that is serious or critical for those who hear or key the page."""
    found: Any = AXE.run(page, {"exclude": [without]} if without else None, LOOKED_FOR)
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:160]} ({len(each['nodes'])})"
        for each in found.response["violations"]
        if each["impact"] in SEVERE
    ]


@pytest.mark.parametrize(("role", "language"), WALKS)
def test_every_page_a_role_may_open_is_quiet_and_fits_the_window(
    page: Page, house: House, shop: Shop, role: str, language: str
) -> None:
    """B31; security 1 and 5: no console error, no broken policy, no sideways scrolling at 1280 and 390.

    A page that is added is walked too: the walk has to reach every address the role may open. axe reads each page once.
    """
    log_in(page, role)
    speak(page, language)
    faults: list[str] = []
    reached, widths = set(), list(reversed(WIDTHS))
    pages, read = opened_by(role), 0
    if language == READ_BY_AXE:
        read_by_axe(page)
    for address in walk(page, shop.addresses(role), pages):
        reached.add(endpoint(urlsplit(address).path))
        widths.reverse()
        for width in widths:
            # The window is turned once per page: the next one opens as wide as this one closes.
            if page.viewport_size != {"width": width, "height": 900}:
                page.set_viewport_size({"width": width, "height": 900})
            found = page.evaluate(WIDER)
            if found:
                faults.append(f"{address} at {width}: {found}")
        if language == READ_BY_AXE and (
            role == "finance" or endpoint(urlsplit(address).path) not in endpoints("finance")
        ):
            faults += [f"{address} at {width}: {each}" for each in severe(page, without=AROUND if read else None)]
            read += 1
    assert not faults, "\n".join(faults)
    assert not pages - reached, f"no link and no start leads to {sorted(pages - reached)}"


def test_what_cannot_be_heard_is_found(page: Page, house: House) -> None:
    """B31: axe is at hand on a page and minds a field without a name."""
    read_by_axe(page)
    page.goto("/login")
    assert not severe(page)
    page.evaluate("() => document.querySelectorAll('label').forEach((each) => each.remove())")
    assert severe(page)


def test_the_pages_before_one_has_logged_in_fit_and_can_be_heard(page: Page, house: House, shop: Shop) -> None:
    """B31: /login, and the page on which an invited person chooses a password."""
    with house.reading() as session:
        token = users.invitation(session, shop.newcomer_id, config.load(house.stack.settings()).secret_key)
    read_by_axe(page)
    for address in ("/login", f"/choose-password/{token}"):
        answer = page.goto(address)
        assert answer is not None and answer.status == 200
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert not page.evaluate(WIDER)
        assert not severe(page), address
