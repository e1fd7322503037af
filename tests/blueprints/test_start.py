"""The start page: the work lists, what Klarna owes, and how it looks when there is nothing to do."""

from __future__ import annotations

import pytest
from flask import Flask

from db import writing
from klarna_sandbox.control import Control
from services import worklists
from services.gateway import Gateway
from tests import builders
from tests.builders import PASSWORD
from tests.web_client import WebClient


def test_an_empty_start_page_says_what_would_be_here(client: WebClient) -> None:
    client.log_in("viewer")
    shown = client.get("/")
    names = list(worklists._queries())
    assert [shown.find(f"details#{name} .count").text for name in names] == ["0"] * len(names)
    assert len(shown.all(".empty")) == 3
    assert not shown.has("section.card")


def test_the_card_of_what_is_to_be_claimed_says_what_its_list_holds_beside(
    app: Flask, klarna: Gateway, sandbox: Control, client: WebClient
) -> None:
    """F21: the card counts what Klarna has still to pay for; the list has every order that is delivered and not invoiced."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
        for each in (order, builders.an_order(session)):
            builders.a_delivery(session, each)
    client.log_in("clerk")
    card = client.get("/").find("section#to_invoice")
    assert card.find(".count").text == "1" and "Listan visar också ordrar utan Klarna" in card.text
    way = card.find("a[href*=not_invoiced]")
    assert len(client.get(way["href"]).all("main tbody tr")) == 2
    assert len(client.get("/").all("section.card p.muted")) == 1


@pytest.mark.only_on("sqlite")
def test_the_top_bar_shows_the_rooms_one_may_enter_and_where_one_is(app: Flask) -> None:
    client = WebClient(app).log_in("clerk")
    shown = client.get("/")
    assert [each["href"] for each in shown.all("nav.nav a[aria-current=true]")] == ["/"]
    assert shown.has("a[href=/me]")
    assert not shown.has("a[href=/users]")
    assert WebClient(app).log_in("admin").get("/").has("a[href=/users]")


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("host", "role", "warned"),
    [("kvitta.lan", "admin", True), ("kvitta.lan", "clerk", False), ("localhost", "admin", False)],
)
def test_administrators_are_warned_of_plain_http_beyond_the_machine(
    app: Flask, host: str, role: str, warned: bool
) -> None:
    """Security 18, 64."""
    app.config["TRUSTED_HOSTS"] = ["localhost", "kvitta.lan"]
    browser = app.test_client()
    drawn = browser.get("/login", base_url=f"http://{host}").text
    token = drawn.split('name="csrf_token" value="')[1].split('"')[0]
    browser.post("/login", base_url=f"http://{host}", data={"csrf_token": token, "login": role, "password": PASSWORD})
    shown = browser.get("/", base_url=f"http://{host}", headers={"Accept-Language": "en"})
    assert shown.status_code == 200
    assert ('<div class="banner warn">' in shown.text.split("<main")[1].split("</main>")[0]) is warned


@pytest.mark.only_on("sqlite")
def test_every_list_has_its_words(app: Flask) -> None:
    from blueprints.start import CARDS
    from services import worklists

    with app.app_context():
        assert set(worklists._queries()) == set(CARDS)
