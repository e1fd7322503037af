"""A browser without a browser: Flask's test client, through which every request of the tests goes.

Every HTML answer is parsed and held against ``page_checks`` and the headers every page must have. Forms are sent as a
browser would: from the page that was drawn, with its hidden fields, its nonce and its CSRF field.

    page = client.log_in("clerk").get("/orders/17")
    page = client.submit("/orders/17/deliver", quantity_1="2")      # the form with that action, on the last page
    assert page.status == 200 and "Levererad" in page.text          # a 303 has been followed
    page.find("table tbody tr td.num").text                          # small selectors: tag #id .class [a=b], nested by space

``client.get(url, htmx=True)`` asks as htmx does; ``client.submit(..., htmx="panel-id")`` sends as htmx does and does not
become the last page. ``client.post(url, {...})`` sends a hand-made request with a valid CSRF field, for made-up POSTs
(``csrf=False`` without). A second person is a second ``WebClient(app)``.
"""

from __future__ import annotations

import contextvars
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

import clock
import db
from models import LoginSession, User
from services import logins, users
from tests import page_checks
from web_access import COOKIE_KEY

STEP = re.compile(r"(?P<tag>[a-z0-9*]*)(?P<rest>(?:[#.][\w-]+|\[[\w-]+(?:[*^$]?=[^\]]*)?\])*)")
PART = re.compile(r"([#.])([\w-]+)|\[([\w-]+)(?:([*^$]?)=\"?([^\]\"]*)\"?)?\]")
LONGEST_CHAIN = 5


class Node:
    """An element of an answer."""

    def __init__(self, element: Element) -> None:
        self.element = element

    @property
    def text(self) -> str:
        """All text within, spaces drawn together."""
        return page_checks.text_of(self.element)

    def __getitem__(self, name: str) -> str:
        return self.element.attrib[name]

    def get(self, name: str, default: str | None = None) -> str | None:
        """An attribute."""
        return self.element.get(name, default)

    def all(self, selector: str) -> list[Node]:
        """Every element under this one that the selector fits."""
        found = [self.element]
        for step in selector.split():
            found = list(
                dict.fromkeys(each for base in found for each in base.iter() if each is not base and _fits(each, step))
            )
        return [Node(element) for element in found]

    def find(self, selector: str) -> Node:
        """The one element that the selector fits. Fails when there is none or more than one."""
        found = self.all(selector)
        assert len(found) == 1, f"{len(found)} elements fit {selector!r}"
        return found[0]

    def has(self, selector: str) -> bool:
        """Whether some element fits."""
        return bool(self.all(selector))


def _fits(element: Element, step: str) -> bool:
    if not isinstance(element.tag, str):
        return False
    match = STEP.fullmatch(step)
    assert match is not None, f"{step!r} is not a selector this client knows"
    if match["tag"] not in ("", "*", element.tag):
        return False
    for kind, name, attribute, how, value in PART.findall(match["rest"]):
        if kind == "#" and element.get("id") != name:
            return False
        if kind == "." and name not in element.get("class", "").split():
            return False
        if attribute:
            found = element.get(attribute)
            if found is None or value and not _compare(found, how, value):
                return False
    return True


def _compare(found: str, how: str, value: str) -> bool:
    return {"": found == value, "*": value in found, "^": found.startswith(value), "$": found.endswith(value)}[how]


class Page(Node):
    """An answer, parsed and checked when it is HTML."""

    def __init__(self, response: TestResponse, url: str) -> None:
        self.response = response
        self.url = url
        self.status = response.status_code
        self.headers = response.headers
        self.html = (
            response.get_data(as_text=True) if response.mimetype.startswith(("text/", "application/json")) else ""
        )
        is_html = response.mimetype == "text/html" and self.html.strip() != ""
        super().__init__(page_checks.check(self.html) if is_html and self.status < 500 else Element("nothing"))
        if is_html:
            _check_headers(response)

    @property
    def body(self) -> bytes:
        """The answer's bytes, for files."""
        return self.response.get_data()

    @property
    def events(self) -> dict[str, Any]:
        """The events an htmx answer triggers."""
        said = self.headers.get("HX-Trigger", "")
        return json.loads(said) if said.startswith("{") else dict.fromkeys(filter(None, said.split(", ")))

    def form(self, which: str) -> Form:
        """The one form with this action (the end of it is enough) or that this selector fits."""
        if which.startswith("/") or ":" in which:
            found = [each for each in self.all("form") if _same_address(self.url, each.get("action"), which)]
        else:
            found = self.all(which)
        sendable = [each for each in found if each.element.tag == "form"]
        actions = [each.get("action") for each in self.all("form")]
        assert len(sendable) == 1, f"{len(sendable)} forms fit {which!r}; the page {self.url} has {actions}"
        return Form(sendable[0].element, self)


def _same_address(base: str, action: str | None, which: str) -> bool:
    found = urlsplit(urljoin(base, action or ""))
    return which in (found.path, f"{found.path}?{found.query}") or found.path.endswith(which)


def _check_headers(response: TestResponse) -> None:
    """What security asks of every page (security 1, 8, 9 and 77)."""
    headers = response.headers
    assert response.content_type == "text/html; charset=utf-8", response.content_type
    policy = headers.get("Content-Security-Policy", "")
    assert "default-src 'none'" in policy and "unsafe" not in policy, f"content security policy: {policy!r}"
    assert headers.get("X-Content-Type-Options") == "nosniff", "no nosniff"
    assert "HX-Request" in headers.get("Vary", ""), "Vary does not name HX-Request"


class Form:
    """A form of a page, with the values it would send as it stands."""

    def __init__(self, element: Element, page: Page) -> None:
        self.node = Node(element)
        self.page = page
        self.url = urljoin(page.url, element.get("action", ""))
        self.method = element.get("method", "get").lower()
        self.values: MultiDict[str, Any] = MultiDict(_values(element))
        self.names = {each.get("name") for each in page_checks.elements(element, *page_checks.CONTROLS, "button")}

    def fill(self, fields: Mapping[str, Any]) -> None:
        """Type into the form. A field that is not there is a mistake of the test; None takes a box or field out."""
        for name, value in fields.items():
            assert name in self.names, (
                f"the form {self.url} has no field {name!r}; it has {sorted(filter(None, self.names))}"
            )
            if value is None or value is False:
                self.values.poplist(name)
            elif isinstance(value, list | tuple) and not (len(value) and hasattr(value[0], "read")):
                self.values.setlist(name, [str(each) for each in value])
            elif value is True:
                box = next(
                    each for each in page_checks.elements(self.node.element, "input") if each.get("name") == name
                )
                self.values.setlist(name, [box.get("value", "on")])
            else:
                self.values.setlist(name, [value if hasattr(value, "read") or isinstance(value, tuple) else str(value)])

    def press(self, which: str) -> None:
        """Press a button: ``name=value``, its name, or its text. Takes its formaction, too. It must not be off."""
        buttons = list(page_checks.elements(self.node.element, "button"))
        name, _, value = which.partition("=")
        found = [
            each
            for each in buttons
            if (each.get("name") == name and (not value or each.get("value") == value))
            or page_checks.text_of(each) == which
        ]
        assert len(found) == 1, f"{len(found)} buttons fit {which!r}: {[page_checks.text_of(each) for each in buttons]}"
        assert found[0].get("aria-disabled") != "true" and "disabled" not in found[0].attrib, f"{which!r} is off"
        if found[0].get("name"):
            self.values.add(found[0].get("name"), found[0].get("value", ""))
        if found[0].get("formaction"):
            self.url = urljoin(self.page.url, found[0].get("formaction"))


def _values(form: Element) -> Iterator[tuple[str, str]]:
    off: set[Element] = set()
    for fieldset in page_checks.elements(form, "fieldset"):
        if "disabled" in fieldset.attrib:
            off.update(fieldset.iter())
    for control in page_checks.elements(form, *page_checks.CONTROLS):
        name, kind = control.get("name"), control.get("type", "text")
        if (
            not name
            or "disabled" in control.attrib
            or control in off
            or kind in ("submit", "button", "image", "reset", "file")
        ):
            continue
        if control.tag == "textarea":
            yield name, "".join(control.itertext()).removeprefix("\n")
        elif control.tag == "select":
            options = list(page_checks.elements(control, "option"))
            chosen = [each for each in options if "selected" in each.attrib]
            if not chosen and "multiple" not in control.attrib:
                chosen = options[:1]
            for each in chosen:
                yield name, each.get("value", page_checks.text_of(each))
        elif kind not in ("checkbox", "radio"):
            yield name, control.get("value", "")
        elif "checked" in control.attrib:
            yield name, control.get("value", "on")


class WebClient:
    """One person's browser. ``page`` is the last whole page drawn."""

    def __init__(self, app: Flask) -> None:
        self.page: Page | None = None
        self._arriving: tuple[str, str | None, datetime] | None = None
        self.origin = "http://localhost"
        self._app = app.test_client()

    def _send(self, url: str, *, method: str, headers: Mapping[str, str], **how: Any) -> TestResponse:
        _all_arrive(self._app)
        # A context of its own, as for a real request: nothing of the test's app context or of the last request is seen.
        return contextvars.Context().run(self._app.open, url, method=method, headers=headers, **how)

    def _shown(self, url: str) -> str:
        """What is in the address bar when an htmx request is made: the page, or the address itself before any page."""
        return self.page.url if self.page is not None else self._at(url)

    def _at(self, url: str) -> str:
        return urljoin(self.origin, url)

    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        follow: bool = True,
        headers: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Page:
        """One request with a browser's headers; a redirect is followed unless ``follow`` is false."""
        for _ in range(LONGEST_CHAIN):
            sent = {
                "Sec-Fetch-Site": "same-origin",
                "Sec-Fetch-Mode": "navigate",
                **({"Referer": self.page.url} if self.page else {}),
                **({"Origin": self.origin} if method == "POST" else {}),
                **(headers or {}),
            }
            response = self._send(self._at(url), method=method, headers=sent, **how)
            if not (follow and response.status_code in (302, 303)):
                break
            url, method, how = urljoin(self._at(url), response.headers["Location"]), "GET", {}
            assert url.startswith(self.origin), f"sent away to {url}"
        else:
            raise AssertionError(f"sent around in a circle: {url}")
        page = Page(response, self._at(url))
        if page.element.tag == "html":
            self.page = page
        return page

    def get(
        self, url: str, *, htmx: bool | str = False, follow: bool = True, headers: Mapping[str, str] | None = None
    ) -> Page:
        """Ask for a page; with ``htmx`` for its fragment (a text names the target's id)."""
        return self.open(url, follow=follow, headers={**_as_htmx(htmx, self._shown(url)), **(headers or {})})

    def submit(
        self, form: str = "main form", /, *, press: str | None = None, htmx: bool | str = False, follow: bool = True,
        page: Page | None = None, **fields: Any,
    ) -> Page:  # fmt: skip
        """Fill and send a form of the last page (or of ``page``, for a tab that was left open).

        ``form`` is its action or a selector; ``press`` the button, as ``name=value``, name or text. A field whose name
        is no Python word goes by ``**{"lines-0-quantity": "2"}``.
        """
        shown = page or self.page
        assert shown is not None, "no page has been drawn yet"
        filled = shown.form(form)
        filled.fill(fields)
        if press is not None:
            filled.press(press)
        headers = _as_htmx(htmx, shown.url)
        if filled.method == "get":
            return self.open(filled.url.split("?")[0], query_string=filled.values, follow=follow, headers=headers)
        return self.open(filled.url, method="POST", data=filled.values, follow=follow, headers=headers)

    def post(
        self, url: str, data: Mapping[str, Any] | None = None, *, csrf: bool = True, htmx: bool | str = False,
        follow: bool = False, headers: Mapping[str, str] | None = None,
    ) -> Page:  # fmt: skip
        """A hand-made POST, as nobody's form would send it; the CSRF field is taken from the last page unless refused."""
        sent = dict(data or {})
        if csrf:
            sent.setdefault("csrf_token", self.csrf())
        return self.open(
            url,
            method="POST",
            data=sent,
            follow=follow,
            headers={**_as_htmx(htmx, self._shown(url)), **(headers or {})},
        )

    def csrf(self) -> str:
        """The CSRF value of the last page; before any page a fresh one of this session's."""
        _all_arrive(self._app)
        if self.page is None:
            return self._token(self._app)
        if not self.page.has("input[name=csrf_token]"):
            self.get("/login")
        assert self.page is not None
        return str(self.page.all("input[name=csrf_token]")[0]["value"])

    @staticmethod
    def _token(app: FlaskClient) -> str:
        """What Flask-WTF would write into a form of this session."""
        with app.session_transaction() as cookie:
            secret = cookie.setdefault("csrf_token", secrets.token_hex(20))
        return str(URLSafeTimedSerializer(app.application.secret_key, salt="wtf-csrf-token").dumps(secret))

    def log_in(self, name: str = "clerk", password: str | None = None, *, language: str | None = None) -> WebClient:
        """Become viewer, clerk, finance or admin; gives the client, so that calls chain. With a password through the form.

        Without one a session is opened by the service that the form, too, ends at, and the cookie set: what the form does
        besides (the throttle, the hash, its page) is tested where it is meant. ``language`` is remembered for the user.
        """
        if password is not None:
            return self._log_in_by_form(name, password)
        self._arriving = (name, language, clock.now())
        _on_their_way.append(self)
        self.page = None
        return self

    def is_at(self, app: Flask) -> bool:
        """Whether this is a browser on that app."""
        return self._app.application is app

    def arrive(self) -> None:
        """Open the session, which else happens just before the first request: until then nothing is written (worlds.py)."""
        if self._arriving is None:
            return
        name, language, at = self._arriving
        self._arriving = None
        secret_id = contextvars.Context().run(_open_session, self._app.application, name, language, at)
        with self._app.session_transaction() as cookie:
            cookie.clear()
            cookie[COOKIE_KEY] = secret_id
            if language is not None:
                cookie["lang"] = language

    def _log_in_by_form(self, name: str, password: str) -> WebClient:
        page = self.get("/login")
        form = next(each for each in page.all("form") if each.has("input[type=password]"))
        user_field = next(each["name"] for each in form.all("input") if each.get("type", "text") in ("text", "email"))
        password_field = form.find("input[type=password]")["name"]
        sent = Form(form.element, page)
        sent.fill({user_field: name, password_field: password})
        answer = self.open(sent.url, method="POST", data=sent.values, follow=False)
        assert answer.status == 303, f"{name} could not log in: {answer.text[:200]}"
        # The start page is not drawn (it would cost every test its time), and the login page's token is void.
        self.page = None
        return self


_on_their_way: list[WebClient] = []


def _all_arrive(app: FlaskClient) -> None:
    """Whoever has logged in to this app is there before anybody asks anything."""
    waiting = [each for each in _on_their_way if each.is_at(app.application)]
    _on_their_way.clear()
    for each in waiting:
        each.arrive()


def _open_session(app: Flask, login: str, language: str | None, at: datetime) -> str:
    with app.app_context(), db.writing() as session:
        user = session.scalars(sa.select(User).where(User.login == login)).one()
        if language is not None:
            users.set_language(session, user.id, language)
        secret_id = logins.open_session(session, user, "127.0.0.1")
        session.flush()
        made = session.get_one(LoginSession, logins._hash_id(secret_id))
        made.created_at = made.last_seen_at = made.confirmed_at = at
        return secret_id


def _as_htmx(htmx: bool | str, url: str) -> dict[str, str]:
    if not htmx:
        return {}
    target = {"HX-Target": htmx} if isinstance(htmx, str) else {}
    return {"HX-Request": "true", "HX-Current-URL": url, "Sec-Fetch-Mode": "cors", **target}
