"""Fixtures for tests in a browser: the real stack on free ports, and a page that fails on whatever the browser complains of.

    def test_something(house, page):
        with house.writing() as session:
            order = an_order(session, house.sandbox, house.klarna)
        log_in(page, "clerk")
        page.goto(f"/orders/{order.id}")

The stack is one per run (see Together in tests/conftest.py) and its database is SQLite; a test makes what it needs and looks
only at that. What fails leaves a picture in test-results/. Console errors, script errors, requests that fail and broken
content security fail the test; ``page.expect_errors("…")`` names what is meant to go wrong.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

import config
import db
from demo.stack import CannotStart, Stack, free_port
from klarna_sandbox.control import Control
from services import workplace
from services.gateway import Gateway
from tests import builders, databases
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route

PATIENCE = 30_000
"""Milliseconds until a page is given up. Only failures wait this long."""
RESULTS = Path(__file__).resolve().parents[2] / "test-results"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


class House:
    """The running stack and its database, for builders."""

    def __init__(self, stack: Stack, app: Flask) -> None:
        self.url = stack.url
        self.sandbox = Control(stack.sandbox_url)
        self.klarna: Gateway = app.extensions["klarna"]
        self.stack = stack
        self._app = app

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction on the stack's database."""
        with self._app.app_context(), db.writing() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look at the stack's database."""
        with self._app.app_context(), db.reading() as session:
            yield session

    def context(self) -> AbstractContextManager[object]:
        """An app context, for builders that own their transactions (``a_captured_invoice``)."""
        return self._app.app_context()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[House]:
    """Sandbox, worker and web on free ports with a company in an otherwise empty database. One per run, else it fails."""
    own = tmp_path_factory.getbasetemp()
    mark = (own.parent if hasattr(request.config, "workerinput") else own) / "house"
    mark.touch(exist_ok=False)
    folder = Path(tempfile.mkdtemp(prefix="kvitta-browser-"))
    stack = Stack(folder, free_port(), free_port(), web_workers=1)
    try:
        settings = config.load(stack.settings())
        databases.furnish(settings.database_url, builders.furnish_company)
        app = Flask("house")
        db.set_up(app, settings.database_url)
        app.extensions["klarna"] = Gateway(settings.credentials_key, settings.data_dir, settings.database_url)
        stack.start_sandbox()
        stack.start_kvitta()
        made = House(stack, app)
        with made.writing() as session:
            builders.an_account(session, made.sandbox, made.klarna)
        yield made
        stack.require_alive()
    except CannotStart as reason:
        pytest.fail(str(reason), pytrace=False)
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium per test process."""
    executable = chromium.find()
    if executable is None:
        pytest.skip(chromium.WHY_NOT)
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=executable, args=list(chromium.ARGUMENTS))
        except Error as error:
            pytest.skip(f"{executable} does not start: {str(error).splitlines()[0]}")
        yield started
        started.close()


class Complaints:
    """What the browser complained of, and what of it was expected."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._expected: list[str] = []
        self.heard: list[str] = []

    def expect(self, pattern: str) -> None:
        """Let pass what matches."""
        self._expected.append(pattern)

    def console(self, message: ConsoleMessage) -> None:
        """Errors on the console; a broken content security policy is one of them."""
        if message.type in ("error", "warning"):
            self.heard.append(f"console {message.type}: {message.text} at {message.location.get('url', '')}")

    def script(self, error: Exception) -> None:
        """An exception in a script."""
        self.heard.append(f"script: {error}")

    def response(self, response: Response) -> None:
        """An answer that says that we failed, or that came from elsewhere."""
        if response.status >= 500 or not response.url.startswith((self._url, "data:", "blob:")):
            self.heard.append(f"response: {response.status} {response.url}")

    def unexpected(self) -> list[str]:
        """What nobody expected."""
        return [heard for heard in self.heard if not any(re.search(pattern, heard) for pattern in self._expected)]


@pytest.fixture
def complaints(house: House) -> Complaints:
    """Listens to the browser; ``complaints.expect("status of 409")`` lets pass what is meant to be."""
    return Complaints(house.url)


@pytest.fixture
def page(browser: Browser, house: House, complaints: Complaints, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh window in Swedish, logged out, 1280 by 900; mark ``@pytest.mark.window(width, height)`` for another size.

    Whoever works begins at the main warehouse, wherever the test before has worked.
    """
    with house.writing() as session:
        for who in (builders.CLERK, builders.FINANCE):
            workplace.remember(session, who, builders.the_warehouse(session).id)
    size = request.node.get_closest_marker("window")
    width, height = size.args if size is not None else (1280, 900)
    context = browser.new_context(
        base_url=house.url, locale="sv-SE", timezone_id="Europe/Stockholm", viewport={"width": width, "height": height}
    )
    context.set_default_timeout(PATIENCE)
    try:
        yield from listen(context.new_page(), complaints, request)
    finally:
        context.close()


def listen(page: Page, complaints: Complaints, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Give a test its page; afterwards fail on what the browser complained of, with a picture of what it showed."""
    page.on("console", complaints.console)
    page.on("pageerror", complaints.script)
    page.on("response", complaints.response)
    yield page
    if request.node.stash.get(FAILED, False) or complaints.unexpected():
        RESULTS.mkdir(exist_ok=True)
        name = re.sub(r"[^\w-]+", "-", request.node.nodeid.split("::", 1)[1])
        page.screenshot(path=RESULTS / f"{name}.png", full_page=True)
    page.close()
    assert not complaints.unexpected(), "\n".join(complaints.unexpected())


def log_in(page: Page, name: str = "clerk", password: str = builders.PASSWORD) -> None:
    """Log in through the form as viewer, clerk, finance or admin."""
    page.goto("/login")
    form = page.locator("form:has(input[type=password])")
    form.locator("input[type=text], input[type=email], input:not([type])").first.fill(name)
    form.locator("input[type=password]").fill(password)
    form.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: not url.rstrip("/").endswith("/login"))


def held_back(page: Page, address: str) -> list[Route]:
    """The next request for such an address waits here for ``continue_``."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(address, hold, times=1)
    return held


@contextmanager
def before_htmx(page: Page, address: str) -> Iterator[None]:
    """A slow network: the page is there and its scripts are not; they come when the block ends."""
    held = held_back(page, "**/htmx.min.js*")
    page.goto(address, wait_until="commit")
    yield
    assert page.evaluate("() => !document.documentElement.classList.contains('js')")
    for each in held:
        each.continue_()


def refuse_connection(route: Route) -> None:
    """The server cannot be reached."""
    route.abort()
