"""Stock as a browser sees it."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading, writing
from models import Article
from services import stock
from tests import builders
from tests.web_client import WebClient


@pytest.fixture
def article(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, "Tröja", number="T-1", stock_milli=5_000)


def on_hand(article: Article) -> int:
    with reading() as session:
        return stock.balance(session, article.id)


def test_balances_are_listed_searched_and_filtered(article: Article, client: WebClient) -> None:
    """B27."""
    with writing() as session:
        other = builders.a_warehouse(session, "B", "Butiken")
    page = client.log_in("viewer").get("/stock")
    assert [row.all("td.num")[0].text for row in page.all("tbody tr")] == ["5", "0"]
    assert len(client.get(f"/stock?warehouse={other.id}").all("tbody tr")) == 1
    assert not client.get("/stock?q=%25").has("tbody tr")
    assert client.get("/stock?q=t-1", htmx=True).has("#balances")
    assert client.get("/stock?after=x.y&warehouse=-1").status == 200


def test_an_adjustment_needs_a_reason_and_is_listed(article: Article, client: WebClient) -> None:
    address = f"/stock/articles/{article.id}"
    client.log_in("clerk").get(address)
    page = client.submit(direction="out", quantity="1,5", reason="")
    assert page.status == 422
    assert page.form("main form").values["quantity"] == "1,5"
    page = client.submit(direction="out", quantity="1,5", reason="trasig")
    assert page.status == 200
    assert page.all("tbody tr")[0].all("td")[4].text == "trasig"
    assert on_hand(article) == 3_500


def test_the_same_form_twice_adjusts_once(article: Article, client: WebClient) -> None:
    """B27, operations 12: a double click, or Back and send again."""
    drawn = client.log_in("clerk").get(f"/stock/articles/{article.id}")
    for _ in range(2):
        client.submit(page=drawn, direction="out", quantity="1", reason="trasig")
    assert on_hand(article) == 4_000


def test_more_than_there_is_is_refused_with_the_form_kept(article: Article, client: WebClient) -> None:
    """Catalogue row 41."""
    address = f"/stock/articles/{article.id}"
    client.log_in("clerk").get(address)
    page = client.submit(direction="out", quantity="6", reason="x")
    assert page.status == 409
    assert page.form("main form").values["quantity"] == "6"
    assert on_hand(article) == 5_000


@pytest.mark.parametrize("quantity", ["0", "-1", "1,2345", "x", ""])
def test_a_quantity_that_cannot_be_is_refused(article: Article, client: WebClient, quantity: str) -> None:
    address = f"/stock/articles/{article.id}"
    client.log_in("clerk").get(address)
    assert client.submit(quantity=quantity, reason="x").status == 422
    assert on_hand(article) == 5_000


def test_another_page_can_fill_the_form_and_nothing_moves_until_it_is_sent(article: Article, client: WebClient) -> None:
    """K46."""
    address = f"/stock/articles/{article.id}"
    page = client.log_in("clerk").get(f"{address}?milli=2000&direction=out&reason=byte")
    values = page.form("main form").values
    assert (values["quantity"], values["direction"], values["reason"]) == ("2", "out", "byte")
    assert on_hand(article) == 5_000


def test_a_viewer_sees_and_does_not_adjust(article: Article, client: WebClient) -> None:
    address = f"/stock/articles/{article.id}"
    assert client.log_in("viewer").get(address).has("[aria-disabled=true]")
    assert client.post(address, {"quantity": "1", "reason": "x"}).status == 403


def test_unknown_articles_are_404(article: Article, client: WebClient) -> None:
    client.log_in("clerk")
    assert client.get("/stock/articles/999").status == 404
    assert client.post("/stock/articles/999", {"quantity": "1", "reason": "x"}).status in (404, 422)
