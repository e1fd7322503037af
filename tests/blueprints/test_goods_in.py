"""«Inleverans» as a browser sees it (B28)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading, writing
from models import Article
from services import stock
from tests import builders
from tests.web_client import WebClient

ADDRESS = "/stock/goods-in"
FORM = f"form[action={ADDRESS}]"


@pytest.fixture
def article(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, "Tröja", number="T-1", gtin="7310865004703", stock_milli=5_000)


def on_hand(article: Article) -> int:
    with reading() as session:
        return stock.balance(session, article.id)


def test_what_has_come_is_named_row_by_row_and_taken_in_at_the_end(article: Article, client: WebClient) -> None:
    """Enter in a row names its article and books nothing, so that a scanner can end each code with it."""
    page = client.log_in("clerk").get("/stock")
    assert page.find(f"a[href={ADDRESS}]").text == "Inleverans"
    client.get(ADDRESS)
    page = client.submit(FORM, act="row", **{"rows-0-article": "7310865004703"})
    rows = page.find("form table tbody").all("tr")
    assert rows[0].all("td")[2].text == "Tröja"
    assert rows[1].find("input.cell[autofocus]")["name"] == "rows-1-article"
    assert on_hand(article) == 5_000
    page = client.submit(FORM, act="take", reference="FS 4711", **{"rows-0-quantity": "2,5", "rows-3-article": "t-1"})
    assert page.status == 200
    assert "2 rader har lagts in i lager." in page.text
    assert [row.all("td")[4].text for row in page.find("section[aria-labelledby=came-h]").all("tbody tr")] == [
        "1 st",
        "2,5 st",
    ]
    assert on_hand(article) == 8_500


def test_it_is_the_same_in_english_and_by_htmx(article: Article, client: WebClient) -> None:
    client.log_in("clerk", language="en")
    client.get(ADDRESS)
    page = client.submit(FORM, act="row", htmx="goods-in", **{"rows-0-article": "T-1"})
    assert page.has("#goods-in")
    assert "Enter goes on to the next row" in page.text


def test_a_row_is_added_when_all_are_filled(article: Article, client: WebClient) -> None:
    client.log_in("clerk").get(ADDRESS)
    page = client.submit(FORM, act="row", **{f"rows-{n}-article": "T-1" for n in range(5)})
    assert len(page.find("form table tbody").all("tr")) == 6


def test_what_is_wrong_is_said_beside_its_row_and_what_was_typed_stays(article: Article, client: WebClient) -> None:
    client.log_in("clerk").get(ADDRESS)
    typed = {"rows-0-article": "T-1", "rows-0-quantity": "x", "rows-1-article": "T-9", "rows-2-quantity": "3"}
    page = client.submit(FORM, act="take", reference="", **typed)
    assert page.status == 422
    values = page.form(FORM).values
    assert {name: values[name] for name in typed} == typed
    assert "Det finns ingen artikel ”T-9”." in page.text
    assert len(page.all("form .error")) >= 3
    page = client.submit(FORM, act="take", reference="FS", **{"rows-0-quantity": "1"})
    assert page.status == 422
    assert on_hand(article) == 5_000


def test_the_same_form_twice_takes_in_once(article: Article, client: WebClient) -> None:
    drawn = client.log_in("clerk").get(ADDRESS)
    for _ in range(2):
        page = client.submit(FORM, page=drawn, act="take", reference="FS", **{"rows-0-article": "T-1"})
        assert "1 rad har lagts in i lager." in page.text
    assert on_hand(article) == 6_000


@pytest.mark.parametrize(
    "made_up",
    [
        {"act": "take", "rows": "0"},
        {"act": "take", "rows": "9" * 30, "warehouse_id": "x"},
        {"act": "take", "rows": "101", "warehouse_id": "999", "reference": "x", "rows-0-article": "T-1"},
        {"act": "x"},
    ],
)
def test_made_up_forms_do_nothing(article: Article, client: WebClient, made_up: dict[str, str]) -> None:
    client.log_in("clerk")
    assert client.post(ADDRESS, made_up).status in (200, 400, 422)
    assert on_hand(article) == 5_000


def test_a_viewer_is_told_why_not(article: Article, client: WebClient) -> None:
    assert client.log_in("viewer").get("/stock").has("[aria-disabled=true]")
    assert client.get(ADDRESS).status == 403
    assert client.post(ADDRESS, {"act": "take"}).status == 403
