"""Lists as files for a spreadsheet: the rows of the page by its filters, whole, for who may see the page (B2, B9, B27, K49)."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from flask import Flask

import clock
import web_register_files
import web_reports
import web_settlement_files
from db import writing
from klarna_sandbox.control import Control
from services import agreement, bank_list, offset_pairs, owed_lists, reservations
from services.gateway import Gateway
from tests import builders
from tests.builders import a_customer, an_article
from tests.services.bank_parts import camt, entry
from tests.services.settlement_parts import a_sale, booked, fees, fetched, payout_of, rows_of
from tests.services.test_bank import read
from tests.services.test_offsets import sold
from tests.web_client import WebClient

__all__ = ("sold",)


@pytest.fixture(autouse=True)
def pages_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every list of two rows has two pages, and each file shows whether it goes on."""
    for module in (owed_lists, offset_pairs, agreement):
        monkeypatch.setattr(module, "MOST", 1)
    monkeypatch.setattr(bank_list, "ROWS", 1)
    for module in (web_settlement_files, web_register_files):
        monkeypatch.setattr(module, "AT_A_TIME", 1)


def table(client: WebClient, page: str) -> list[list[str]]:
    """The file that a page of a list leads to, as rows of cells."""
    link = next(each for each in client.get(page).all("a") if "som fil" in each.text)
    answer = client.get(link["href"])
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    text = answer.body.decode("utf-8")
    assert text.startswith("\ufeff")
    return [row for row in csv.reader(io.StringIO(text[1:]), delimiter=";") if row]


def column(rows: list[list[str]], head: str) -> list[str]:
    return [row[rows[0].index(head)] for row in rows[1:]]


def test_readings_and_their_rows_are_saved_whole(
    app: Flask, sandbox: Control, klarna: Gateway, client: WebClient
) -> None:
    """B2, B3: by the filters of the page; each row with its pile, its document and what was done with it."""
    fees(sandbox, 36_53)
    for amount in (2_435_00, 100_00):
        invoice = a_sale(klarna, sandbox, amount)
        payout = booked(klarna, sandbox)
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    odd = payout_of(made)
    client.log_in("viewer")
    rows = table(client, "/settlements")
    assert column(rows, "Inläsning") == ["3", "2", "1"] and column(rows, "Status")[0] == "Väntar"
    assert column(rows, "Netto")[1] == f"{payout.settlement_minor // 100}.{payout.settlement_minor % 100:02}"
    assert column(table(client, "/settlements?faulty=1"), "Inläsning") == ["3"]
    assert table(client, "/settlements?source=upload")[1:] == []
    rows = table(client, f"/settlements/{payout.id}")
    assert len(rows) - 1 == len(rows_of(payout))
    assert {number for number in column(rows, "Dokument") if number} == {invoice.number_text}
    assert (
        sum(round(float(each) * 100) for each in column(rows, "Belopp"))
        + sum(round(float(each) * 100) for each in column(rows, "Moms"))
        == payout.settlement_minor
    )
    assert "Felaktig" in column(table(client, f"/settlements/{odd.id}"), "Utfall")
    assert client.get("/settlements/99?as=csv").status == 404


def test_what_klarna_owes_and_what_can_be_offset_is_saved(app: Flask, client: WebClient, sold: Any) -> None:
    """B9, K49."""
    client.log_in("viewer")
    rows = table(client, "/settlements/owed?list=unpaid")
    assert sold[0].number_text in column(rows, "Nummer")
    assert table(client, "/settlements/owed?list=unpaid&late=1")[1:] == []
    notes = table(client, "/settlements/owed?list=notes")
    assert column(notes, "Nummer") == [sold[1].number_text] and column(notes, "Belopp") == ["-499.00"]
    rows = table(client, "/offsets")
    assert rows[1][0] == sold[0].number_text and "Vänta" in rows[1][-1]
    assert ["Kvittat tidigare"] in rows, rows
    assert len(table(client, "/offsets?q=1")) == 3, "the heads alone"


def test_payouts_and_deposits_at_the_bank_are_saved(
    app: Flask, sandbox: Control, klarna: Gateway, client: WebClient
) -> None:
    """B33: a name of somebody who paid is given to who may see it alone."""
    fees(sandbox, 0)
    payouts = []
    for amount in (1_890_34, 200_00, 100_00):
        a_sale(klarna, sandbox, amount)
        payouts.append(booked(klarna, sandbox))
    statement = camt(
        entry(payouts[0].payment_reference, "1890.34", clock.today(), bank="A"),
        entry("B", "20.00", clock.today(), bank="B", payer="=1+1"),
        entry("C", "30.00", clock.today(), bank="C", payer="Anna"),
    )
    read(statement)
    client.log_in("finance")
    assert column(table(client, "/bank"), "Netto") == ["100.00", "200.00"]
    found = table(client, "/bank?view=found")
    assert column(found, "Netto") == ["1890.34"] and column(found, "Hur") == ["På sin referens"]
    whole = table(client, "/bank?view=deposits&all=1")
    assert column(whole, "Betalare") == ["Anna", "'=1+1"]
    client.log_in("viewer")
    assert table(client, "/bank?view=deposits")[1:] == []
    assert client.get("/bank?view=deposits&all=1&as=csv").text.count("Anna") == 0
    assert "som fil" not in client.get("/bank?view=statements").find(".page-head").text


def test_differences_are_saved_with_how_they_ended(
    app: Flask, sandbox: Control, klarna: Gateway, client: WebClient
) -> None:
    """Operations 13."""
    numbers = []
    for _ in range(2):
        with writing() as session:
            order = builders.an_order(session, sandbox, klarna)
            builders.a_delivery(session, order)
        sandbox.portal_capture(order.klarna_order_id, None)
        reservations.look_at(klarna, order.id)
        numbers.append(str(order.number))
    client.log_in("viewer")
    rows = table(client, "/differences")
    assert column(rows, "Order") == numbers[::-1] and column(rows, "Utredd") == ["", ""]
    assert table(client, "/differences?view=explain")[1:] == []


def test_stock_and_registers_are_saved_and_private_columns_are_for_who_may_see_them(
    app: Flask, client: WebClient
) -> None:
    """B27, security 2."""
    with writing() as session:
        for number in ("T-1", "T-2"):
            an_article(session, "Tröja", number=number, stock_milli=5_500, cost_minor=21_713)
        for name in ("Anna Ek", "=1+1"):
            a_customer(session, name=name, email="a@example.com", phone="070-1")
    client.log_in("clerk")
    rows = table(client, "/stock?q=T-")
    assert column(rows, "Artikel")[0] == "T-1" and set(column(rows, "Artikel")) == {"T-1", "T-2"}
    assert "5.5" in column(rows, "Lagersaldo")
    articles = table(client, "/register/articles")
    assert column(articles, "Inpris") == ["217.13", "217.13"]
    assert column(table(client, "/register/articles?q=T-2"), "Artikelnummer") == ["T-2"]
    customers = table(client, "/register/customers")
    assert column(customers, "Namn") == ["'=1+1", "Anna Ek"], "no cell is a formula"
    assert column(customers, "Telefon") == ["070-1"] * 2
    client.log_in("viewer")
    assert "217.13" not in str(table(client, "/register/articles"))
    assert "070-1" not in str(customers := table(client, "/register/customers")) and len(customers) == 3
    assert "example.com" not in str(customers)


def test_a_file_that_would_be_too_long_says_that_it_was_cut(
    app: Flask, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing() as session:
        for number in ("T-1", "T-2", "T-3"):
            an_article(session, number=number)
    client.log_in("viewer")
    for most, cut in ((3, False), (2, True)):
        monkeypatch.setattr(web_reports, "MOST_IN_FILE", most)
        rows = table(client, "/register/articles")
        assert ("de första 2 raderna" in rows[-1][0]) is cut and len(rows) == 4, rows


def test_another_shape_of_a_list_is_its_page(app: Flask, client: WebClient) -> None:
    client.log_in("viewer")
    for path in ("/settlements", "/offsets", "/stock", "/register/customers", "/settlements?as=csv&from=x"):
        answer = client.get(path + ("" if "?" in path else "?as=x"))
        assert answer.headers["Content-Type"].startswith("text/html"), path
