"""Where a warehouse is chosen, the form begins with the one the person used last; papers of many can be had of each (B25)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading, writing
from models import Order, Warehouse
from services import workplace
from tests.builders import CLERK, a_warehouse, an_article, an_order, row, the_warehouse
from tests.web_client import Page, WebClient


@pytest.fixture
def orders_(app: Flask) -> list[Order]:
    """Two orders of an article that lies in the main warehouse; the shop's code comes before it."""
    with writing() as session:
        a_warehouse(session, "AAA", "Butiken")
        article = an_article(session, number="7001", stock_milli=10_000)
        return [an_order(session, lines=[row(article=article)]) for _ in range(2)]


def _chosen(page: Page) -> str:
    chosen = page.all("select[name=warehouse_id] option[selected]")
    return (chosen or page.all("select[name=warehouse_id] option"))[0].text


def _main() -> int:
    with reading() as session:
        return the_warehouse(session).id


def test_after_a_delivery_every_form_begins_with_that_warehouse(orders_: list[Order], client: WebClient) -> None:
    """B25, B27, B28: delivery, delivery of many, goods in, adjustment, stocktake and pick lists."""
    first, second = orders_
    main = _main()
    client.log_in("clerk").get(f"/orders/{first.id}/deliver")
    client.submit("#deliver form", press="then=deliver", warehouse_id=main)
    article = second.lines[0].article_id
    for address in (
        f"/orders/{second.id}/deliver",
        f"/batches/new?selected={second.id}",
        "/stock/goods-in",
        f"/stock/articles/{article}",
        "/stock/stocktakes",
    ):
        assert _chosen(client.get(address)) == "Huvudlagret", address
    for address in (f"/orders/{second.id}/pick-list", f"/print?what=pick_lists&selected={second.id}"):
        assert client.get(address).find("nav a[aria-current]").text == "Huvudlagret", address


@pytest.mark.parametrize("way", ["goods_in", "adjust", "stocktake", "batch"])
def test_each_way_of_working_in_a_warehouse_is_remembered(orders_: list[Order], client: WebClient, way: str) -> None:
    """B25, B27, B28."""
    main = _main()
    client.log_in("clerk")
    with writing() as session:
        shop = next(each.id for each in session.query(Warehouse) if each.name == "Butiken")
        workplace.remember(session, CLERK, shop)
    if way == "goods_in":
        client.get("/stock/goods-in")
        client.submit(
            "#goods-in form", press="act=take", warehouse_id=main, reference="F1", **{"rows-0-article": "7001"}
        )
    elif way == "adjust":
        article = orders_[0].lines[0].article_id
        client.get(f"/stock/articles/{article}")
        client.submit("#adjust", warehouse_id=main, quantity="1", reason="svinn")
    elif way == "stocktake":
        client.get("/stock/stocktakes")
        client.submit("form.form[action$=stocktakes]", warehouse_id=main)
    else:
        client.get(f"/batches/new?selected={orders_[0].id}&act=deliver&warehouse_id={main}")
        client.submit("form[action$=batches]")
    with reading() as session:
        assert workplace.suggested(session, CLERK) == main, way


def test_pick_lists_of_several_orders_can_be_had_of_each_warehouse(orders_: list[Order], client: WebClient) -> None:
    """B26: the choice stands above the papers, as above one."""
    chosen = "&".join(f"selected={each.id}" for each in orders_)
    page = client.log_in("clerk").get(f"/print?what=pick_lists&{chosen}")
    links = {each.text: each for each in page.all("nav.sheet-tools a") if "warehouse=" in (each.get("href") or "")}
    assert set(links) == {"Butiken", "Huvudlagret"}
    other = client.get(links["Huvudlagret"]["href"])
    assert other.find("nav a[aria-current]").text == "Huvudlagret"
    assert len(other.all("article.sheet")) == 2 and other.text.count("Huvudlagret") == 3
    assert not client.get(f"/print?what=confirmations&{chosen}").has("nav a[aria-current]")
