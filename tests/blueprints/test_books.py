"""The books as a browser sees them."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from flask import Flask

import clock
from blueprints import books
from db import reading, writing
from klarna_sandbox.control import Control
from models import BankEntry, BankStatement, KlarnaBreak, Voucher
from rights import SYSTEM, Actor
from services import documents, ledger, settings
from services.gateway import Gateway
from services.ledger import Entry
from states import BreakKind, Role
from tests import builders, sie_reader
from tests.web_client import WebClient
from web_words import in_language, moment

TODAY = clock.today()
LOCK = "main form[action=/books/lock][method=post]"


@pytest.fixture
def vouchers(app: Flask, finance: Actor) -> list[Voucher]:
    """An invoice, a payment and its reversal."""
    with writing() as session:
        order = builders.an_order(session)
        builders.a_delivery(session, order)
    builders.an_invoice(app.extensions["klarna"], order)
    with writing() as session:
        paid = ledger.post(
            session,
            finance,
            series="I",
            day=TODAY - timedelta(days=1),
            text="=1+1",
            source="prov:1",
            entries=[Entry(1930, 12_345, "bank"), Entry(2890, -12_345)],
        )
        undone = ledger.reverse(session, finance, paid, day=TODAY, text="Rättelse", source="prov:2")
    return [paid, undone]


def test_the_list_filters_on_series_and_days(vouchers: list[Voucher], client: WebClient) -> None:
    """B34."""
    page = client.log_in("viewer").get("/books")
    assert [cell.text for cell in page.all("tbody tr td a")] == ["K1", "F1", "I1"]
    assert [cell.text for cell in client.get("/books?series=I").all("tbody tr td a")] == ["I1"]
    assert client.get(f"/books?from={TODAY}").all("tbody tr td a")[0].text == "K1"
    assert not client.get(f"/books?to={TODAY - timedelta(days=2)}").has("tbody tr")
    assert client.get("/books?series=nonsense&after=x").status == 200


@pytest.mark.parametrize("query", ["from=2026-02-30", "from=2026-02-02&to=2026-02-01", "from=1900-01-01&to=2026-01-01"])
def test_a_day_that_cannot_be_is_refused(vouchers: list[Voucher], client: WebClient, query: str) -> None:
    """Catalogue rows 20 and 21."""
    client.log_in("viewer")
    assert client.get(f"/books/vouchers.csv?{query}").status == 422
    for room in ("/books", "/books/trial-balance", "/books/accounts/1930"):
        page = client.get(f"{room}?{query}")
        assert page.status == 422 and len(page.all(".field .error")) == 1, "beside its field, in the list's own page"
        typed = page.form("main form.filter-form").values
        assert f"from={typed['from']}" in query and (not typed["to"] or f"to={typed['to']}" in query)


def test_the_list_is_a_table_alone_for_htmx(vouchers: list[Voucher], client: WebClient) -> None:
    part = client.log_in("viewer").get("/books", htmx=True)
    assert part.has("#vouchers")
    assert not part.has("h1")


def test_the_file_holds_every_row_and_no_formula(vouchers: list[Voucher], client: WebClient) -> None:
    """Catalogue row 60."""
    answer = client.log_in("viewer").get("/books/vouchers.csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig")), delimiter=";"))
    assert len(rows) == 1 + 3 + 2 + 2
    paid = [row for row in rows if row[0] == "I1"]
    assert [row[2] for row in paid] == ["'=1+1", "'=1+1"]
    assert (paid[0][6], paid[1][7]) == ("123.45", "123.45")


def test_a_voucher_links_to_what_it_rests_on(vouchers: list[Voucher], client: WebClient) -> None:
    client.log_in("clerk")
    paid, undone = vouchers
    assert client.get(f"/books/vouchers/{paid.id}").has(f"a[href=/books/vouchers/{undone.id}]")
    assert client.get(f"/books/vouchers/{undone.id}").has(f"a[href=/books/vouchers/{paid.id}]")
    with reading() as session:
        invoice = next(row for row in ledger.voucher_list(session, series=["F"]))
    page = client.get(f"/books/vouchers/{invoice.id}")
    assert page.has(f"a[href=/invoices/{invoice.document_id}]")
    assert page.has("a[href=/books/accounts/1510]")


@pytest.mark.parametrize("address", ["/books/vouchers/999", "/books/vouchers/0", "/books/accounts/9998"])
def test_what_is_not_there_is_404(vouchers: list[Voucher], client: WebClient, address: str) -> None:
    assert client.log_in("viewer").get(address).status == 404


def test_the_trial_balance_adds_up(vouchers: list[Voucher], client: WebClient) -> None:
    page = client.log_in("viewer").get("/books/trial-balance")
    rows = {row.all("td")[0].text: [cell.text for cell in row.all("td.num")] for row in page.all("tbody tr")}
    assert set(rows) == {"1510", "1930", "2611", "2890", "3001"}
    assert rows["1930"][1] == rows["1930"][2]
    foot = page.all("tfoot tr")[0].all("td.num")
    assert foot[0].text == foot[1].text


def test_an_account_shows_its_rows_or_one_per_document(vouchers: list[Voucher], client: WebClient) -> None:
    client.log_in("viewer")
    assert len(client.get("/books/accounts/1930").all("tbody tr")) == 3
    merged = client.get("/books/accounts/1510?merge=1")
    assert len(merged.all("tbody tr")) == 2
    assert merged.has("a[href*=merge=1]")


def test_the_series_have_no_gaps(vouchers: list[Voucher], client: WebClient) -> None:
    page = client.log_in("viewer").get("/books/series")
    assert len(page.all("tbody tr")) >= 4
    assert not page.has(".pill.bad")
    told = client.get("/books/series?as=csv").body.decode("utf-8-sig")
    assert f"Verifikationer I;{TODAY.year}-01-01 – {TODAY.year}-12-31;1;2;1;;Ingen lucka" in told


def test_a_void_number_stands_with_who_when_and_why(
    app: Flask, klarna: Gateway, sandbox: Control, client: WebClient
) -> None:
    """K15: on the screen, on paper and in the file."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
        builders.a_delivery(session, order)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    refused = builders.an_invoice(klarna, order)
    with writing() as session:
        void = documents.void(session, builders.FINANCE, refused.id, "kunden ångrade sig")
        at = void.void_at
    client.log_in("finance")
    with app.test_request_context(), in_language("sv"):
        told = f"{void.number}: {builders.FINANCE.name}, {moment(at)}, kunden ångrade sig"
    page = client.get("/books/series")
    assert page.has(f"main td.wide a[href=/invoices/{void.id}]") and told in page.find("main tbody").text
    assert told in client.get("/books/series?as=print").text
    assert told in client.get("/books/series?as=csv").body.decode("utf-8-sig")


@pytest.mark.untrue_books("the deposit and the difference are written by hand")
def test_a_deposit_is_shown_as_money_and_differences_count_whatever_their_day(app: Flask, client: WebClient) -> None:
    """B34: what is found today may be about the period that is locked."""
    at, day = clock.now(), TODAY - timedelta(days=5)
    with writing() as session:
        file = BankStatement(sha256="y", kind="csv", file_name="b", content=b"y", received_at=at, received_by="x")
        session.add(file)
        session.flush()
        session.add(
            BankEntry(
                statement_id=file.id, place=1, entry_key="k", account="1", day=day, amount_minor=23_602_55, currency="SEK",
                payer="Klarna", text="P7", bank_reference="", from_klarna=True,
            )
        )  # fmt: skip
        session.add(KlarnaBreak(kind=BreakKind.TOTALS_DIFFER, difference_minor=1, opened_at=at, found_by="x"))
    page = client.log_in("finance").get(f"/books/lock?to={day}")
    shown = page.find("main tbody").text.replace("\u00a0", " ")
    assert "23 602,55 kr" in shown and "Alla räknas, oavsett dag" in shown
    page = client.submit(LOCK, **{"lock-reason": "månadsslut"})
    assert f"2 saker är fortfarande öppna till och med {day}, alla öppna skillnader medräknade." in page.text


def test_finance_clears_up_what_waits_and_locks_and_opens_a_period(vouchers: list[Voucher], client: WebClient) -> None:
    """B34, catalogue row 38."""
    with writing() as session:
        entries = [Entry(1930, 7_00), Entry(2999, -7_00)]
        ledger.post(
            session, builders.FINANCE, series="I", day=TODAY - timedelta(days=6), text="?", source="?", entries=entries
        )
    day = TODAY - timedelta(days=5)
    page = client.log_in("finance").get(f"/books/lock?to={day}")
    assert page.all("nav a[aria-current]")[0].text == "Bokföring"
    assert page.has("a[href=/books/accounts/2999]") and page.form(LOCK).values["lock-through"] == str(day)
    page = client.submit(LOCK, **{"lock-reason": "månadsslut"})
    assert page.status == 409 and page.has("#lock-confirmed-error")
    assert page.form(LOCK).values["lock-reason"] == "månadsslut"
    with writing() as session:
        entries = [Entry(2999, 7_00), Entry(6060, -7_00)]
        ledger.post(session, builders.FINANCE, series="I", day=day, text="avgift åter", source="!", entries=entries)
    page = client.get(f"/books/lock?to={day}")
    assert page.has(".banner.ok") and not page.has("#lock-confirmed")
    page = client.submit(LOCK, **{"lock-reason": "månadsslut"})
    assert page.status == 200 and "månadsslut" in page.text
    with reading() as session:
        assert ledger.locked_through(session) == day
    locked = client.get(f"/books/lock?to={day}").text
    assert "Perioden är låst." in locked and "Perioden kan låsas" not in locked
    page = client.get("/books/vat?from=abc&to=1980-01-01")
    assert page.status == 422 and len(page.all("main .field .error")) == 2
    client.get(f"/books/lock?to={day}")
    page = client.submit("main form[action=/books/unlock]", **{"unlock-reason": "rättelse"})
    assert page.status == 200
    with reading() as session:
        assert ledger.locked_through(session) is None
    assert client.get("/books/lock?to=2026-02-30").status == 422


def test_the_result_of_a_finished_year_is_carried_with_a_press(app: Flask, client: WebClient) -> None:
    """A2: and the SIE file of the next year says so until it is done."""
    with writing() as session:
        day = TODAY.replace(year=TODAY.year - 1, month=3, day=1)
        entries = [Entry(6570, 80_00), Entry(1930, -80_00)]
        ledger.post(session, builders.FINANCE, series="I", day=day, text="x", source="x", entries=entries)
    client.log_in("finance").get("/books/sie")
    page = client.submit("main form[action=/books/sie/file]")
    assert page.status == 409 and page.has("main .banner a[href=/books/lock]")
    page = client.get("/books/lock")
    carry = next(form["action"] for form in page.all("main form[method=post]") if form["action"].endswith("/carry"))
    page = client.submit(f"main form[action={carry}]")
    assert page.status == 200 and page.has("a[href=/books/accounts/8999]")
    client.get("/books/sie")
    file = sie_reader.read(client.submit("main form[action=/books/sie/file]").body)
    assert file.balances["IB", 0] == {"1930": -80, "2099": 80}
    assert client.post(carry, {}).status == 303, "there is nothing left to carry, and that is said"


def test_a_sie_file_is_given_out_or_its_faults_are_named(vouchers: list[Voucher], client: WebClient) -> None:
    """B35."""
    assert client.log_in("viewer").get("/books/sie").has("form[action=/books/sie/file] [aria-disabled=true]")
    assert client.get("/books/sie/file?kind=4E").status == 403
    client.log_in("finance").get("/books/sie")
    answer = client.submit("main form[action=/books/sie/file]", per="day")
    file = sie_reader.read(answer.body)
    assert f"filename=kvitta-{TODAY.year}-01-01-{TODAY.year}-12-31.se" in answer.headers["Content-Disposition"]
    assert {each.series for each in file.vouchers} == {"F", "I", "K"} and file.once["GEN"][1] == "Ekonomen"
    answer = client.get(f"/books/sie/file?kind=4I&from={TODAY}&to={TODAY}")
    assert {each.series for each in sie_reader.read(answer.body).vouchers} == {"F", "K"}
    for query in (
        "kind=4I",
        f"kind=4I&from={TODAY}",
        "kind=4I&from=2026-02-30",
        "kind=4I&from=2001-01-01&to=2001-01-02",
    ):
        page = client.get(f"/books/sie/file?{query}")
        assert page.status == 422 and len(page.all(".field .error")) == 1, query
    assert client.get("/books/sie/file?kind=4E&year=999").status == 404
    with writing() as session:
        settings.change(session, builders.actor(Role.ADMIN), "company.name", "", TODAY)
    page = client.get(f"/books/sie/file?kind=4I&from={TODAY}&to={TODAY}")
    assert page.status == 409 and "Företaget saknar namn" in page.find("main .banner").text


def test_a_lock_that_cannot_be_keeps_what_was_typed(vouchers: list[Voucher], client: WebClient) -> None:
    client.log_in("finance").get("/books/lock")
    page = client.submit(LOCK, **{"lock-through": TODAY + timedelta(days=3), "lock-reason": "för tidigt"})
    assert page.status == 422
    assert page.form(LOCK).values["lock-reason"] == "för tidigt"
    page = client.submit(LOCK, **{"lock-through": "2026-02-30", "lock-reason": ""})
    assert page.status == 422


def test_locking_is_for_finance_alone(vouchers: list[Voucher], client: WebClient) -> None:
    page = client.log_in("clerk").get("/books/lock")
    assert page.has("[aria-disabled=true]")
    sent = {"lock-through": str(TODAY - timedelta(days=5)), "lock-reason": "x"}
    assert client.post("/books/lock", sent).status == 403
    assert client.post("/books/unlock", {"unlock-reason": "x"}).status == 403
    assert client.get("/books/unlock").status == 405


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("invoice:42580", "Faktura 42580"),
        ("credit_note:42581", "Kreditfaktura 42581"),
        ("credit_note_reversed:42581", "Återföring av kreditfaktura 42581"),
        ("payout:K123456:300000012", "Utbetalning 300000012"),
        ("payment:42580:1", "Betalning av faktura 42580"),
        ("payment:7:taken back", "En återtagen betalning"),
        ("prov:1", "prov:1"),
    ],
)
@pytest.mark.only_on("sqlite")
def test_a_vouchers_source_is_said_in_words(app: Flask, source: str, words: str) -> None:
    with app.test_request_context(), in_language("sv"):
        assert books._source(source) == words


def test_what_kvitta_has_booked_itself_is_told_by_its_name(app: Flask, client: WebClient) -> None:
    with writing() as session:
        entries = [Entry(1930, 100), Entry(2890, -100)]
        ledger.post(session, SYSTEM, series="I", day=TODAY, text="x", source="prov:9", entries=entries)
    answer = client.log_in("viewer").get("/books/vouchers.csv")
    row = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig")), delimiter=";"))[1]
    assert row[-1] == "Kvitta"
