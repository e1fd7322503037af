"""«Ny verifikation» as a browser sees it: what is wrong is said beside its field, one form books one voucher (B34)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from models import Voucher
from rights import Actor
from services import ledger
from services.ledger import Entry
from tests.web_client import Page, WebClient

TODAY = clock.today()


@pytest.fixture
def bookkeeper(client: WebClient) -> WebClient:
    return client.log_in("finance", language="sv")


def row(number: int, account: str = "", debit: str = "", credit: str = "", text: str = "") -> dict[str, str]:
    typed = {"account": account, "debit": debit, "credit": credit, "text": text}
    return {f"rows-{number}-{name}": value for name, value in typed.items()}


GOOD = {"text": "Bankavgift", **row(0, "6570", "1 250,00", text="november"), **row(1, "1930", "", "1250")}


def send(client: WebClient, press: str = "act=book", htmx: bool = False, **fields: Any) -> Page:
    client.get("/books/vouchers/new")
    return client.submit("main form[action=/books/vouchers/new]", press=press, htmx=htmx, **fields)


def made() -> list[str]:
    with reading() as session:
        return [f"{each.series}{each.number}" for each in session.scalars(sa.select(Voucher).order_by(Voucher.id))]


def test_a_voucher_is_written_shown_and_reversed(bookkeeper: WebClient) -> None:
    """B34."""
    page = send(bookkeeper, **GOOD)
    assert page.find("h1").text == "Verifikation K1" and f"Verifikation K1 är bokförd den {TODAY}." in page.text
    assert "november" in page.text and "Skriven för hand" in page.text
    page = bookkeeper.get(page.find(".menu a[href*=reverse]")["href"])
    assert "1 250,00 kr" in page.find("main form button").text.replace("\xa0", " ")
    page = bookkeeper.submit("main form[action*=reverse]", reason=" ")
    assert page.status == 422 and page.has("#reason[aria-invalid=true]") and made() == ["K1"]
    page = bookkeeper.submit("main form[action*=reverse]", reason="Fel månad")
    assert page.find("h1").text.startswith("Verifikation K2") and "Återför K1: Fel månad" in page.text
    series = bookkeeper.get("/books?series=K")
    assert "K – Rättelser och egna verifikationer" in series.text and series.find("tbody").text.count("Återföring") == 1
    assert not series.has("tbody .pill.off"), "a reversal holds, and is not struck through"
    shown = bookkeeper.get("/books/vouchers/1")
    assert "Återförd" in shown.find("h1").text and not shown.has(".menu a[href*=reverse]")
    assert bookkeeper.get("/books/vouchers/1/reverse").status == 409
    assert bookkeeper.get("/books/vouchers/2/reverse").status == 404


def test_the_same_form_twice_books_one(bookkeeper: WebClient) -> None:
    """Operations 12: the second press leads to what the first one made."""
    page = bookkeeper.get("/books/vouchers/new")
    for _ in range(2):
        answer = bookkeeper.submit("main form[action=/books/vouchers/new]", page=page, press="act=book", **GOOD)
        assert answer.find("h1").text == "Verifikation K1"
    assert made() == ["K1"]


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        (row(1, "1930", "", "1249,99"), None, "skiljer sig med 0,01"),
        (row(1), None, "minst två rader"),
        (row(1, "4444", "", "1250"), "rows-1-account", "finns inte i kontoplanen"),
        (row(1, "1510", "", "1250"), "rows-1-account", "obetalt enligt fakturorna"),
        (row(1, "bank", "", "1250"), "rows-1-account", "heltal"),
        (row(1, "1930", "0", "0"), "rows-1-debit", "mer än 0"),
        (row(1, "1930", "", "12,345"), "rows-1-credit", "två decimaler"),
        (row(1, "1930", "5", "1250"), "rows-1-debit", "ett av dem"),
        ({"day": "2026-02-30"}, "day", "år-månad-dag"),
        ({"day": "1999-01-01"}, "day", "räkenskapsår"),
        ({"day": str(TODAY + timedelta(days=400))}, "day", "mer än ett år"),
        ({"text": ""}, "text", "fyllas i"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_stays(
    bookkeeper: WebClient, changed: dict[str, str], field: str | None, words: str, htmx: bool
) -> None:
    """Catalogue rows 34 and 35."""
    page = send(bookkeeper, htmx=htmx, **{**GOOD, **changed})
    assert page.status == 422 and words in page.text.replace("\xa0", " ") and made() == []
    if field:
        assert page.has(f"[name={field}][aria-invalid=true]")
    assert (
        page.find("[name=rows-0-debit]")["value"] == "1 250,00"
        and page.find("[name=rows-0-text]")["value"] == "november"
    )


def test_more_rows_than_a_form_holds_are_not_drawn(bookkeeper: WebClient) -> None:
    """Catalogue row 34."""
    bookkeeper.get("/books/vouchers/new")
    data = {"text": "x", "rows": "10000", "act": "row", **row(0, "6570", "1")}
    page = bookkeeper.post("/books/vouchers/new", data)
    assert len(page.all("tbody tr")) <= 200 and made() == []


def test_the_sum_follows_what_is_typed(bookkeeper: WebClient) -> None:
    """In place where there are scripts, by a button where there are none; a row more keeps what was typed."""
    page = send(bookkeeper, press="act=count", **GOOD)
    assert "Debet och kredit är lika." in page.text and made() == []
    page = send(bookkeeper, press="act=row", htmx=True, **{**GOOD, **row(1, "1930", "", "1000")})
    assert len(page.all("tbody tr")) == 5 and page.find("[name=rows-1-credit]")["value"] == "1000"
    assert "Det skiljer 250,00" in page.find("#voucher-sum").text.replace("\xa0", " ")
    typed = urlencode({"rows": "4", **row(0, "6570", "1 250,00"), **row(1, "1930", "", "1250"), **row(2, "", "oj")})
    part = bookkeeper.get(f"{page.find('#voucher-sum')['hx-get']}&{typed}", htmx=True)
    assert "1 250,00" in part.text.replace("\xa0", " ")
    assert "Debet och kredit är lika." in part.text and not part.has("form")


def test_what_is_unexplained_at_month_end_is_booked_elsewhere_from_there(bookkeeper: WebClient, finance: Actor) -> None:
    """B34: the month can be closed."""
    day = TODAY - timedelta(days=40)
    with writing() as session:
        entries = [Entry(1930, 7_00), Entry(2999, -7_00)]
        ledger.post(session, finance, series="I", day=day, text="x", source="x", entries=entries)
    page = bookkeeper.get(f"/books/lock?to={day}")
    page = bookkeeper.get(page.find("a[href*=clear]")["href"])
    assert page.find("[name=rows-0-account]")["value"] == "2999" and page.find("[name=day]")["value"] == str(day)
    assert page.find("[name=rows-0-debit]")["value"] == "7,00" and page.find("[name=rows-0-credit]")["value"] == ""
    page = bookkeeper.submit(
        "main form[action=/books/vouchers/new]", press="act=book", text="Öresdifferens", **row(1, "3740", "", "7")
    )
    assert page.find("h1").text == "Verifikation K1"
    assert not bookkeeper.get(f"/books/lock?to={day}").has("a[href*=clear]")
    assert bookkeeper.get("/books/vouchers/new?clear=4444").status == 404


def test_who_may_not_write_sees_why(client: WebClient, app: Flask) -> None:
    """B31."""
    page = client.log_in("clerk", language="sv").get("/books")
    assert not page.has("a[href=/books/vouchers/new]") and "Kräver Ekonomi." in page.find(".menu").text
    assert client.get("/books/vouchers/new").status == 403
