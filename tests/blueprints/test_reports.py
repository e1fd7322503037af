"""Reports of the books: VAT return, age of receivables, ledger; each as a page, a file, a print page and a PDF (B34)."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from flask import Flask
from pypdf import PdfReader

import clock
import migrations
from blueprints import reports
from db import reading, writing
from klarna_sandbox.control import Control
from models import Account
from rights import Actor
from services import (
    account_sheets,
    ageing,
    chart_changes,
    credit_drafts,
    ledger,
    owed,
    reservations,
    settings,
    system_facts,
    vat_report,
)
from services.gateway import Gateway
from services.ledger import Entry
from states import Role
from tests import builders
from tests.services.test_ledger import a_claim
from tests.web_client import Page, WebClient

TODAY = clock.today()
YEAR = TODAY.year


def post(day: date, *entries: Entry) -> None:
    """A voucher outside the documents' series, balanced on the bank."""
    whole = [*entries, Entry(1930, -sum(each.amount_minor for each in entries))]
    with writing() as session:
        source = f"prov:{day}:{len(entries)}:{entries[0].account}"
        ledger.post(session, builders.FINANCE, series="I", day=day, text="Prov", source=source, entries=whole)


def rows_of(answer: Page) -> list[list[str]]:
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig")), delimiter=";"))


def words_of(answer: Page) -> str:
    assert answer.headers["Content-Type"] == "application/pdf"
    return " ".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.body)).pages).replace("\xa0", " ")


def boxes(first: date, last: date) -> dict[int, tuple[int, int]]:
    with reading() as session:
        return {each.number: (each.whole, each.minor) for each in vat_report.report(session, first, last).boxes}


def a_year_of_vat() -> None:
    """January: E1, food of E12, a fee, and the advance of E3; February: it is paid; March: its final invoice; April: E13c."""
    post(
        date(YEAR, 1, 10),
        Entry(3001, -1_917_60, vat_rate=2500), Entry(3520, -30_40, vat_rate=2500), Entry(2611, -487_00, vat_rate=2500),
    )  # fmt: skip
    post(date(YEAR, 1, 11), Entry(3003, -102_59, vat_rate=600), Entry(2631, -6_16, vat_rate=600))
    post(date(YEAR, 1, 31), Entry(6060, 36_53), Entry(2641, 9_13))
    post(date(YEAR, 1, 12), Entry(2420, -2_400_00, vat_rate=2500), Entry(2618, -600_00, vat_rate=2500))
    post(date(YEAR, 2, 1), Entry(2618, 600_00, vat_rate=2500), Entry(2611, -600_00, vat_rate=2500))
    post(
        date(YEAR, 3, 1),
        Entry(2420, 2_400_00, vat_rate=2500), Entry(3001, -8_000_00, vat_rate=2500), Entry(2611, -1_400_00, vat_rate=2500),
    )  # fmt: skip
    post(date(YEAR, 4, 1), Entry(6060, 45_00), Entry(2645, 11_25), Entry(2614, -11_25))


@pytest.mark.usefixtures("books")
def test_the_vat_return_has_its_boxes_and_an_advance_stands_there_when_its_vat_falls_due() -> None:
    """B36, E1, E3, E12, E13c: whole kronor, öre left out; box 49 is the sum of what is declared."""
    a_year_of_vat()
    january = boxes(date(YEAR, 1, 1), date(YEAR, 1, 31))
    assert january == {
        5: (2_050, 2_050_59), 10: (487, 487_00), 12: (6, 6_16), 48: (9, 9_13), 49: (484, 484_03),
    }  # fmt: skip
    february = boxes(date(YEAR, 2, 1), date(YEAR, 2, 28))
    assert february == {5: (2_400, 2_400_00), 10: (600, 600_00), 49: (600, 600_00)}
    assert boxes(date(YEAR, 3, 1), date(YEAR, 3, 31)) == {
        5: (5_600, 5_600_00), 10: (1_400, 1_400_00), 49: (1_400, 1_400_00),
    }  # fmt: skip
    with reading() as session:
        report = vat_report.report(session, date(YEAR, 1, 1), date(YEAR, 1, 31))
        april = vat_report.report(session, date(YEAR, 4, 1), date(YEAR, 4, 30))
    assert report.dormant_minor == 600_00 and not report.basis_missing
    assert [(each.rate, each.basis_minor, each.booked_minor, each.difference_minor) for each in report.proofs] == [
        (2500, 1_948_00, 487_00, 0), (600, 102_59, 6_16, 0),
    ]  # fmt: skip
    assert (april.basis_missing, april.due_whole) == (True, 0)
    with writing() as session:
        session.get_one(Account, 6060).vat_box = 21
    assert boxes(date(YEAR, 4, 1), date(YEAR, 4, 30))[21] == (45, 45_00)
    assert boxes(date(YEAR, 9, 1), date(YEAR, 9, 2)) == {49: (0, 0)}


def test_reports_are_pages_files_and_papers(app: Flask, client: WebClient) -> None:
    """B34: CSV of what is listed, PDF of trial balance, VAT report and ledger."""
    a_year_of_vat()
    days = f"from={YEAR}-01-01&to={YEAR}-01-31"
    page = client.log_in("viewer").get(f"/books/vat?{days}")
    assert page.status == 200 and "484" in page.find("dl.figure").text
    assert page.has("a[href^=/books/accounts/2611]") and "600,00" in page.find("main").text
    assert [way["href"].partition("as=")[2] for way in page.all(".page-head .menu a")] == ["csv", "print", "pdf"]
    told = rows_of(client.get(f"/books/vat?{days}&as=csv"))
    assert ["05", "Momspliktig försäljning", "2050", "2050.59"] in told
    assert "487,00" in words_of(client.get(f"/books/vat?{days}&as=pdf"))
    paper = client.get(f"/books/vat?{days}&as=print")
    assert paper.has("article.sheet") and paper.find("nav a")["href"].startswith("/books/vat?from=")

    told = rows_of(client.get(f"/books/trial-balance?{days}&as=csv"))
    assert ["2611", "Utgående moms på försäljning inom Sverige, 25 %", "0.00", "0.00", "487.00", "-487.00"] in told
    pdf = words_of(client.get(f"/books/trial-balance?{days}&as=pdf"))
    assert "Provbolaget AB" in pdf and "1 917,60" in pdf
    told = rows_of(client.get(f"/books/accounts/2420?from={YEAR}-01-01&to={YEAR}-12-31&as=csv"))
    assert [row[-1] for row in told[1:]] == ["0.00", "-2400.00", "0.00", "0.00"]
    told = rows_of(client.get(f"/books/ledger?{days}&as=csv"))
    assert ["", "3520", "Fakturerade frakter", "", "", "", ""] in told and told[0][0] == "Datum"
    assert "Huvudbok" in words_of(client.get(f"/books/ledger?{days}&as=pdf"))
    assert client.get(f"/books/ledger?{days}").has("table.lines")
    for wrong in ("vat", "ageing", "ledger", "trial-balance"):
        assert client.get(f"/books/{wrong}?from=2026-02-30&day=2026-02-30&as=pdf").status == 422, wrong
    assert client.get("/books/vat").status == client.get("/books/vat?from=2026-01-01").status == 200


def test_what_is_too_long_for_paper_is_said(app: Flask, client: WebClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web_reports.MOST_ON_PAPER", 3)
    post(TODAY, Entry(6060, 1), Entry(2641, 1))
    answer = client.log_in("viewer").get("/books/ledger?as=pdf")
    assert answer.status == 409 and "för många för papper" in answer.text


def test_receivables_stand_by_age_and_add_up_to_the_ledger(
    app: Flask, client: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """A9, B9: Klarna's from the day of issue, the customers' own from their due date."""
    sold = builders.a_captured_invoice(klarna, sandbox, lines=[builders.row("Jacka", 1_000_00)])
    with writing() as session:
        order = builders.an_order(session, lines=[builders.row("Bok", 106_00, rate=600)])
        builders.a_delivery(session, order)
    own = builders.an_invoice(klarna, order)
    with reading() as session:
        found = ageing.ageing(session, TODAY + timedelta(days=45), 10)
    assert [(each.number, each.days) for each in found.rows] == [(sold.number_text, 45), (own.number_text, 15)]
    assert list(found.klarna.groups) == [0, 0, 1_000_00, 0, 0] and list(found.customers.groups) == [0, 106_00, 0, 0, 0]
    assert found.total_minor == found.ledger_minor == 1_106_00
    page = client.log_in("viewer").get(f"/books/ageing?day={TODAY}")
    assert page.has(f"a[href=/invoices/{own.id}]") and not page.has("main .banner.warn")
    assert page.find("tfoot").text.split()[-2:] == ["1", "106,00"] or "1 106,00" in page.find("tfoot").text
    told = rows_of(client.get(f"/books/ageing?day={TODAY}&as=csv"))
    assert told[1][0] == "Klarna" and told[1][-1] == "1000.00" and own.number_text in {row[0] for row in told if row}
    assert not client.get(f"/books/ageing?day={TODAY - timedelta(days=1)}").has("a[href^=/invoices/]")


@pytest.mark.usefixtures("books")
def test_what_klarna_owes_by_age_is_what_klarna_owes_us(klarna: Gateway, sandbox: Control) -> None:
    """A9, B9: also of what was credited in Klarna's portal, which our own documents stand for without a call."""
    sold = builders.a_captured_invoice(klarna, sandbox, lines=[builders.row("Jacka", 1_000_00, pieces=2)])
    sandbox.portal_refund(sandbox.find_orders()[0], 1_000_00)
    with writing() as session:
        draft = credit_drafts.start(session, builders.FINANCE, sold.id)
        credit_drafts.set_quantity(session, builders.FINANCE, draft.id, draft.lines[0].id, "1")
        credit_drafts.set_options(
            session, builders.FINANCE, draft.id, restock=False, warehouse_id=None, without_klarna=True,
            reason="credited_in_portal",
        )  # fmt: skip
    reservations.credit(klarna, builders.FINANCE, draft.id, builders.a_money_form(1_000_00), portal_confirmed=True)
    with reading() as session:
        found = ageing.ageing(session, TODAY, 10)
        assert found.klarna.minor == sum(owed.klarna_owes(session).values()) == 1_000_00
        assert found.customers.minor == 0 and found.total_minor == found.ledger_minor


def test_the_sums_by_age_are_of_all_that_is_open_however_much_is_shown(
    app: Flask, client: WebClient, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A9: a long list is cut, the proof against the ledger is not."""
    for amount in (1_000_00, 200_00):
        builders.a_captured_invoice(klarna, sandbox, lines=[builders.row("Jacka", amount)])
    monkeypatch.setitem(reports.MOST_OF_SHAPE, "", 1)
    page = client.log_in("viewer").get("/books/ageing")
    assert "1 200,00" in page.find("tfoot").text and "De 1 äldsta visas" in page.text
    assert not page.has("main .banner.warn") and len(page.all("a[href^=/invoices/]")) == 1
    assert len([row for row in rows_of(client.get("/books/ageing?as=csv")) if row and row[0].startswith("4258")]) == 2


@pytest.mark.usefixtures("books")
@pytest.mark.untrue_books("a draft is booked on by hand")
@pytest.mark.unlocked("the claim is written by hand")
def test_the_age_on_a_day_that_has_passed_is_what_was_open_then(finance: Actor) -> None:
    with writing() as session:
        claim = a_claim(session, builders.a_customer(session).id).id
    post(TODAY - timedelta(days=10), Entry(1510, 70_00, document_id=claim))
    post(TODAY - timedelta(days=2), Entry(1510, -70_00, document_id=claim))
    with reading() as session:
        then = ageing.ageing(session, TODAY - timedelta(days=5), 10)
        assert [(each.document_id, each.open_minor) for each in then.rows] == [(claim, 70_00)]
        assert then.total_minor == then.ledger_minor == 70_00
        for day in (TODAY - timedelta(days=1), TODAY):
            after = ageing.ageing(session, day, 10)
            assert (after.rows, after.total_minor) == ([], 0)


def test_the_description_follows_the_settings_and_the_history_tells_what_they_were(
    app: Flask, client: WebClient
) -> None:
    """B36; bokföringslagen 5 kap. 11 §, BFNAR 2013:2 p. 9.16: both as page, paper and file."""
    admin = builders.actor(Role.ADMIN)
    page = client.log_in("finance").get("/books/description")
    told = page.find("main").text
    assert "Provbolaget AB 559999-0008" in told and "1510 Kundfordringar" in told and "vilande moms" in told
    with writing() as session:
        settings.change(session, admin, "advance_vat_rule", "at_once", TODAY)
        facts = chart_changes.facts_of(chart_changes.get(session, 6064))
        chart_changes.change(session, admin, 6064, replace(facts, name="Factoring", active=False), facts.fingerprint)
        ledger.lock(session, builders.FINANCE, TODAY - timedelta(days=9), "månadsslut")
        assert system_facts.note_version(session) and not session.new
    with writing() as session:
        assert not system_facts.note_version(session), "the same program is noted once"
    told = client.get("/books/description").find("main").text
    assert "vilande moms" not in told and "Factoring" in told
    assert "Systembeskrivning" in words_of(client.get("/books/description?as=pdf"))
    page = client.get("/books/history")
    told = [[cell.text for cell in row.all("td")][1:4] for row in page.all("main tbody tr")][:4]
    assert told == [
        ["Kvitta", "Programversion", f"Databasrevision: {migrations.head()}, Version: 1.0"],
        ["Ekonomen", "Period låst", f"Orsak: månadsslut, Till och med: {TODAY - timedelta(days=9)}"],
        ["Administratören", "Ändrat konto: 6064", "Factoring"],
        ["Administratören", "Moms på förskott", "Genast"],
    ]
    lines = rows_of(client.get("/books/history?as=csv"))
    assert lines[1][2] == "Programversion" and len(lines) > 12
    assert WebClient(app).log_in("clerk").get("/books/history").status == 403
    assert client.get("/books/history?after=1").status == 200


@pytest.mark.only_on("sqlite")
def test_the_version_that_is_noted_is_the_programs() -> None:
    assert f'version = "{system_facts.VERSION}"' in Path("pyproject.toml").read_text(encoding="utf-8")


def test_an_account_that_is_too_long_for_a_page_is_whole_in_its_file_and_in_the_ledger(
    app: Flask, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B34, BFNAR 2013:2 p. 2.3: the last balance of the file is the closing balance, however many rows there are."""
    monkeypatch.setattr(account_sheets, "MOST_ROWS", 2)
    for number in range(5):
        post(date(YEAR, 1, 1 + number), Entry(6060, 10_00))
    client.log_in("viewer")
    address = f"/books/accounts/6060?from={YEAR}-01-01&to={YEAR}-12-31"
    page = client.get(address)
    assert len(page.all("tbody tr")) == 1 + 2 and "Bara de första 2 raderna visas" in page.text
    for path in (f"{address}&as=csv", f"/books/ledger?from={YEAR}-01-01&to={YEAR}-12-31&as=csv"):
        told = rows_of(client.get(path))
        rows = [row for row in told if row and row[4] == "10.00"]
        assert len(rows) == 5 and rows[-1][6] == "50.00", path
        assert ["", "", "Utgående saldo", "", "", "", "50.00"] in told
    printed = client.get(f"{address}&as=print")
    assert printed.text.count("10,00") >= 5 and "Bara de första" not in printed.text


def test_a_long_file_goes_by_the_disk_and_comes_whole(
    app: Flask, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catalogue row 70: what is written is never all in memory."""
    monkeypatch.setattr("web_documents.IN_MEMORY", 100)
    for number in range(5):
        post(date(YEAR, 1, 1 + number), Entry(6060, 10_00))
    told = rows_of(client.log_in("viewer").get("/books/vouchers.csv"))
    assert len([row for row in told if row and row[3] == "6060"]) == 5


@pytest.mark.only_on("sqlite")
def test_who_asks_for_a_pdf_while_others_are_drawn_gets_the_print_page_and_keeps_no_place_for_long(
    app: Flask, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Performance, other pages: ten who press «PDF» at once do not keep everybody else waiting. Documents say it, too."""
    monkeypatch.setattr("web_papers.WAIT_SECONDS", 0)
    with writing() as session:
        order = builders.an_order(session)
        builders.a_delivery(session, order)
    invoice = builders.an_invoice(app.extensions["klarna"], order)
    client.log_in("viewer")
    said = "Andra papper ritas just nu"
    with app.extensions["papers"].printer._one_at_a_time:
        answer = client.get("/books/trial-balance?as=pdf")
        assert answer.status == 409 and said in answer.text and answer.has("table")
        answer = client.get(f"/documents/{invoice.id}/pdf")
        assert answer.status == 409 and said in answer.text
    assert client.get("/books/trial-balance?as=pdf").headers["Content-Type"] == "application/pdf"
    assert client.get(f"/documents/{invoice.id}/pdf").headers["Content-Type"] == "application/pdf"


def test_sums_of_several_currencies_are_not_passed_off_as_kronor(app: Flask, client: WebClient) -> None:
    """A1, catalogue row 69: what was booked in another currency is told above every report that adds it."""
    post(TODAY, Entry(6060, 1_00))
    client.log_in("viewer")
    reports = (f"/books/trial-balance?to={TODAY}", f"/books/vat?from={TODAY}&to={TODAY}", f"/books/ageing?day={TODAY}")
    for path in reports:
        assert "Summorna är inte rätta" not in client.get(path).text, path
    with builders.books_kept_in("EUR"), writing() as session:
        ledger.post(
            session, builders.FINANCE, series="I", day=TODAY, text="i euro", source="euro", currency="EUR",
            entries=[Entry(6570, 12_345), Entry(1930, -12_345)],
        )  # fmt: skip
    for path in (*reports, *(f"{each}&as=print" for each in reports), "/books/ledger"):
        assert "Summorna är inte rätta: 1 verifikationer i de här dagarna är i EUR" in client.get(path).text, path
