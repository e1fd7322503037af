"""The start page: the work lists, what Klarna owes, and how it looks when there is nothing to do."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.web_client import WebClient


def test_an_empty_start_page_says_what_would_be_here(client: WebClient) -> None:
    client.log_in("viewer")
    shown = client.get("/")
    assert [card.find(".count").text for card in shown.all("section.card")] == ["0"] * 8
    assert len(shown.all(".empty")) == 8


@pytest.mark.only_on("sqlite")
def test_the_top_bar_shows_the_rooms_one_may_enter_and_where_one_is(app: Flask) -> None:
    client = WebClient(app).log_in("clerk")
    shown = client.get("/")
    assert [each["href"] for each in shown.all("nav.nav a[aria-current=true]")] == ["/"]
    assert shown.has("a[href=/me]")
    assert not shown.has("a[href=/users]")
    assert WebClient(app).log_in("admin").get("/").has("a[href=/users]")


@pytest.mark.only_on("sqlite")
def test_every_list_has_its_words(app: Flask) -> None:
    from blueprints.start import CARDS
    from services import worklists

    with app.app_context():
        assert set(worklists._queries()) == set(CARDS)
