"""«Lagervärde» as a browser sees it: what the stock is worth, and booking it as it moves (E4c, S4)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from models import Article, Voucher
from services import credit_drafts, stock, stock_booking
from states import Role
from tests import builders
from tests.services.test_stock_booking import without_klarna
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


@pytest.mark.parametrize("who", list(Role))
def test_who_sees_no_costs_reads_the_books_without_what_stock_is_booked_at(
    app: Flask, article: Article, client: WebClient, who: Role
) -> None:
    """B27, B31: one article out is booked at its cost, so that its voucher, its rows and its file tell it."""
    with writing() as session:
        stock_booking.begin(session, builders.FINANCE, "0" * 32, 0, 1_050_00)
        order = builders.an_order(session, lines=[builders.row(article=article)])
        builders.a_delivery(session, order)
    invoice = builders.an_invoice(app.extensions["klarna"], order)
    with writing() as session:
        draft = credit_drafts.start(session, builders.FINANCE, invoice.id)
    note = without_klarna(draft.id)
    with reading() as session:
        _begun, out_id, back_id = session.scalars(
            sa.select(Voucher.id).where(Voucher.series == "L").order_by(Voucher.id)
        )
    sees = who in (Role.CLERK, Role.FINANCE)
    client.log_in(who.value)
    year = f"from={clock.today().year}-01-01&to={clock.today().year}-12-31"
    for path in ("/books", "/books?series=L", "/books/vouchers.csv", "/books/vouchers.csv?series=L"):
        page = client.get(path)
        text = page.body.decode()
        assert page.status == 200 and ("210" in text) is sees, path
        assert ("visar vad artiklar kostar" in text) is (not sees and "csv" not in path)
    for path in (
        f"/books/vouchers/{out_id}",
        f"/books/accounts/1460?{year}",
        f"/books/accounts/4960?{year}&as=csv",
        f"/books/ledger?{year}&as=print",
    ):
        assert client.get(path).status == (200 if sees else 403), path
    assert client.get(f"/books/accounts/3001?{year}").status == 200
    balance = client.get(f"/books/trial-balance?{year}")
    assert balance.has("[aria-disabled=true]") is not sees, "the general ledger"
    page = client.get(f"/credit-notes/{note.id}")
    assert page.has(f"a[href=/books/vouchers/{back_id}]") is sees and "Lager, kreditfaktura" in page.text
