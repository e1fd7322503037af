"""Stock as a browser sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from db import reading, writing
from klarna_sandbox.control import Control
from models import Article
from services import stock
from services.gateway import Gateway
from tests import builders
from tests.web_client import WebClient


@pytest.fixture
def article(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, "Tröja", number="T-1", stock_milli=5_000)


def form_of(address: str) -> str:
    return f"form[action={address}]"


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
    page = client.submit(form_of(address), direction="out", quantity="1,5", reason="")
    assert page.status == 422
    assert page.form(form_of(address)).values["quantity"] == "1,5"
    page = client.submit(form_of(address), direction="out", quantity="1,5", reason="trasig")
    assert page.status == 200
    assert page.all("tbody tr")[0].all("td")[4].text == "trasig"
    assert on_hand(article) == 3_500


def test_the_same_form_twice_adjusts_once(article: Article, client: WebClient) -> None:
    """B27, operations 12: a double click, or Back and send again."""
    address = f"/stock/articles/{article.id}"
    drawn = client.log_in("clerk").get(address)
    for _ in range(2):
        client.submit(form_of(address), page=drawn, direction="out", quantity="1", reason="trasig")
    assert on_hand(article) == 4_000


def test_more_than_there_is_is_refused_with_the_form_kept(article: Article, client: WebClient) -> None:
    """Catalogue row 41."""
    address = f"/stock/articles/{article.id}"
    client.log_in("clerk").get(address)
    page = client.submit(form_of(address), direction="out", quantity="6", reason="x")
    assert page.status == 409
    assert page.form(form_of(address)).values["quantity"] == "6"
    assert on_hand(article) == 5_000


@pytest.mark.parametrize("quantity", ["0", "-1", "1,2345", "x", ""])
def test_a_quantity_that_cannot_be_is_refused(article: Article, client: WebClient, quantity: str) -> None:
    address = f"/stock/articles/{article.id}"
    client.log_in("clerk").get(address)
    assert client.submit(form_of(address), quantity=quantity, reason="x").status == 422
    assert on_hand(article) == 5_000


def test_another_page_can_fill_the_form_and_nothing_moves_until_it_is_sent(article: Article, client: WebClient) -> None:
    """K46."""
    address = f"/stock/articles/{article.id}"
    page = client.log_in("clerk").get(f"{address}?milli=2000&direction=out&reason=byte")
    values = page.form(form_of(address)).values
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


def test_balance_and_what_is_available_are_shown_apart(
    article: Article, client: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """B27: open orders want some of what all warehouses hold together."""
    with writing() as session:
        other = builders.a_warehouse(session, "B", "Butiken")
        stock.adjust(session, builders.CLERK, article.id, other.id, 3_000, "x")
        builders.an_order(session, sandbox, klarna, lines=[replace(builders.row(pieces=2), article=article)])
    page = client.log_in("viewer").get("/stock")
    assert [[cell.text for cell in row.all("td.num")] for row in page.all("tbody tr")] == [
        ["5", "2", "6"],
        ["3", "2", "6"],
    ]
    shown = client.get(f"/stock/articles/{article.id}").find("dl.facts").text
    assert shown == "Huvudlagret5 stButiken3 st På öppna ordrar2 st Disponibelt6 st"


def test_the_cost_is_changed_with_a_reason_and_each_change_stays_on_the_page(
    article: Article, client: WebClient
) -> None:
    """B27 «Saldo-/Prisjustering»: in both languages; what was typed stays, and so does the other form."""
    address = f"/stock/articles/{article.id}"
    page = client.log_in("clerk").get(address)
    assert "Saldo-/Prisjustering" in page.text
    page = client.submit(form_of(f"{address}/cost"), cost="12,5", cost_reason="")
    assert page.status == 422
    assert page.form(form_of(f"{address}/cost")).values["cost"] == "12,5"
    page = client.submit(form_of(f"{address}/cost"), cost="12,5", cost_reason="ny prislista")
    assert page.status == 200
    assert "Inpriset har ändrats." in page.text
    assert "0,00 → 12,50 kr, ny prislista, Handläggaren" in page.text
    page = client.submit(form_of(f"{address}/cost"), cost="12,50", cost_reason="igen")
    assert (page.status, "Det är redan inpriset." in page.text) == (422, True)
    assert on_hand(article) == 5_000


def test_a_cost_that_somebody_has_changed_meanwhile_is_not_changed(article: Article, client: WebClient) -> None:
    address = f"/stock/articles/{article.id}"
    drawn = client.log_in("clerk").get(address)
    client.submit(form_of(f"{address}/cost"), page=drawn, cost="10", cost_reason="en")
    page = client.submit(form_of(f"{address}/cost"), page=drawn, cost="11", cost_reason="två")
    assert page.status == 409
    assert page.form(form_of(f"{address}/cost")).values["cost"] == "11"
    assert client.post(f"{address}/cost", {"cost": "11", "cost_reason": "x", "seen": "-1"}).status == 422
    assert client.post("/stock/articles/999/cost", {"cost": "11", "cost_reason": "x", "seen": "0"}).status == 404


def test_a_viewer_sees_no_cost(article: Article, client: WebClient) -> None:
    address = f"/stock/articles/{article.id}"
    page = client.log_in("viewer").get(address)
    assert "Inpris" not in page.text
    assert client.post(f"{address}/cost", {"cost": "1", "cost_reason": "x", "seen": "0"}).status == 403
