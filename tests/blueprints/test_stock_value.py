"""«Lagervärde» as a browser sees it: what the stock is worth, and booking it as it moves (E4c, S4)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from models import Article, Voucher
from services import stock, stock_booking
from tests import builders
from tests.web_client import WebClient

BEGIN = "/stock/value/begin"


@pytest.fixture
def article(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(session, "Tröja", number="T-1", stock_milli=5_000, cost_minor=21_000)


def booked() -> list[tuple[str, int]]:
    """Series and debit of every voucher."""
    with reading() as session:
        found = session.scalars(sa.select(Voucher).order_by(Voucher.id))
        return [(each.series, sum(row.amount_minor for row in each.postings if row.amount_minor > 0)) for each in found]


def test_finance_begins_and_ends_it_and_reads_what_it_booked(article: Article, client: WebClient) -> None:
    """E4c: the difference to what stands there is booked, then each movement, and the page says that the two agree."""
    page = client.log_in("finance").get("/stock")
    assert page.has("a[href=/stock/value]")
    page = client.get("/stock/value")
    assert "1 050,00" in page.text
    page = client.submit(BEGIN, stated="1 000,00")
    assert page.status == 200 and "50,00" in page.text and "stämmer överens" in page.text
    with writing() as session:
        stock.adjust(session, builders.CLERK, article.id, builders.the_warehouse(session).id, -1_000, "trasig")
    assert booked() == [("L", 50_00), ("L", 210_00)]
    page = client.get("/books?series=L")
    assert len(page.all("tbody tr")) == 2
    page = client.get(page.all("tbody a")[0]["href"])
    assert "Saldojustering" in page.text
    assert "Lagret ökar eller blir mer värt" in client.get("/books/description").text
    assert "Lagret bokförs löpande" in client.get("/settings/changes").text
    client.get("/stock/value")
    page = client.submit("/stock/value/end")
    assert "bokförs inte längre" in page.text and page.has("#begin")
    assert page.form("#begin").values["stated"] == "840,00", "both together"
    assert "1 000,00" in page.text, "what was said to stand in other books is still shown"
    assert "Lagret ökar eller blir mer värt" not in client.get("/books/description").text


@pytest.mark.parametrize("typed", ["", "x", "-5", "1,234"])
def test_what_is_no_amount_is_told_beside_the_field(article: Article, client: WebClient, typed: str) -> None:
    client.log_in("finance").get("/stock/value")
    page = client.submit(BEGIN, stated=typed)
    assert page.status == 422 and page.has("#stated-error")
    assert page.form("#begin").values["stated"] == typed
    assert booked() == []


def test_a_stock_that_has_changed_meanwhile_is_shown_anew_and_what_was_typed_stays(
    article: Article, client: WebClient
) -> None:
    shown = client.log_in("finance").get("/stock/value")
    with writing() as session:
        stock.adjust(session, builders.CLERK, article.id, builders.the_warehouse(session).id, 1_000, "fler")
    page = client.submit(BEGIN, page=shown, stated="1 000,00")
    assert page.status == 409 and "har ändrats sedan sidan visades" in page.text and "1 260,00" in page.text
    assert booked() == []
    client.submit("#begin", page=page, stated="1 000,00")
    assert booked() == [("L", 260_00)]


def test_a_form_sent_twice_begins_once_and_a_made_up_one_does_nothing(article: Article, client: WebClient) -> None:
    shown = client.log_in("finance").get("/stock/value")
    for _ in range(2):
        assert client.submit(BEGIN, page=shown, stated="0").status == 200
    assert booked() == [("L", 1_050_00)]
    form = dict(shown.form("#begin").values)
    for seen in ("x", "", "9" * 30):
        assert client.post(BEGIN, {**form, "stated": "0", "seen": seen}).status in (400, 422)
    for said in ("bokförs inte längre", "bokförs inte löpande"):
        assert client.post("/stock/value/end", {}).status == 303
        assert said in client.get("/stock/value").text


def test_a_clerk_sees_the_value_and_who_may_begin_and_a_viewer_sees_no_costs(
    article: Article, client: WebClient
) -> None:
    """B31."""
    page = client.log_in("clerk").get("/stock/value")
    assert "1 050,00" in page.text and "Kräver" in page.text
    assert client.post(BEGIN, {"stated": "0"}).status == 403
    other = client.log_in("viewer")
    assert not other.get("/stock").has("a[href=/stock/value]")
    assert other.get("/stock/value").status == 403
    with reading() as session:
        assert not stock_booking.is_on(session)
