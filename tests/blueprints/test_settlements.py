"""Settlement readings as a browser sees them: list, filters, fetching, reading a file in, a reading and acts on its rows."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from errors import BadInput
from klarna_sandbox.control import Control
from models import Audit, Customer, Document, FolderFile, Order, Payout, ReadingFile, RowMatch, Voucher
from services import owed, payments, settlement_import, settlements
from services.gateway import Gateway
from services.settlement_sentences import keep
from states import PayoutState, Pile
from tests import worlds
from tests.blueprints import document_pages
from tests.builders import FINANCE
from tests.services.settlement_parts import Doc, a_sale, all_is_well, csv_of, fees, fetched, payout_of, rows_of
from tests.web_client import Page, WebClient


@pytest.fixture
@worlds.kept
def sale(app: Flask, sandbox: Control, klarna: Gateway) -> Document:
    """An invoice activated at Klarna, with the fees of Specter's own example."""
    fees(sandbox, 36_53)
    return a_sale(klarna, sandbox, 2_435_00)


@pytest.fixture
def made(sandbox: Control, sale: Document) -> Doc:
    """Its payout, at Klarna only."""
    payout: Doc = sandbox.pay_out()[0]
    return payout


@pytest.fixture
def odd(sandbox: Control, klarna: Gateway, sale: Document) -> Payout:
    """A payout with a sale that fits no document, beside one that does."""
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    payout = sandbox.pay_out()[0]
    fetched(klarna)
    return payout_of(payout)


@pytest.fixture
def finance_client(client: WebClient) -> WebClient:
    return client.log_in("finance")


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def a_file(content: bytes, name: str = "settlement.csv") -> tuple[io.BytesIO, str]:
    return io.BytesIO(content), name


def faulty_row(payout: Payout, type_: str = "SALE") -> int:
    (found,) = [row.id for row, match in rows_of(payout) if match.pile is Pile.FAULTY and row.type == type_]
    return found


# --- The list ------------------------------------------------------------------------------------------------------------


def test_an_empty_list_says_when_the_next_fetch_is(app: Flask, client: WebClient) -> None:
    """B6, to the letter."""
    page = client.log_in("viewer").get("/settlements")
    assert page.status == 200
    assert page.find(".empty strong").text == "Ingen inläsning har kommit ännu. Nästa hämtning 06:00."


def test_a_viewer_sees_why_the_buttons_are_off(app: Flask, client: WebClient) -> None:
    """B31: the reason names the role that is needed."""
    page = client.log_in("viewer").get("/settlements")
    assert all(button["aria-disabled"] == "true" for button in page.all(".page-head button"))
    assert "Kräver Ekonomi." in page.find(".page-head").text


def test_the_list_shows_what_came_and_its_filters_are_in_the_address(odd: Payout, finance_client: WebClient) -> None:
    """B2."""
    page = finance_client.get("/settlements")
    row = page.find("tbody tr")
    assert odd.payment_reference in row.text and "Hämtad från Klarna" in row.text
    for query, count in (
        ("faulty=1", 1),
        ("faulty=1&warning=1", 1),
        ("handled=1", 0),
        ("source=api", 1),
        ("source=upload", 0),
        (f"number={odd.id}", 1),
        ("number=4711", 0),
        ("from=2026-01-01&to=2199-01-01", None),
        ("to=2020-01-01", 0),
    ):
        answer = finance_client.get(f"/settlements?{query}")
        if count is None:
            assert answer.status == 422
        else:
            assert (answer.status, len(answer.all("tbody tr"))) == (200, count), query


def test_a_day_that_cannot_be_is_said_beside_its_field(app: Flask, finance_client: WebClient) -> None:
    """B2, catalogue row 20: what was typed stays, and the page is the list's own («Återläsningar», «Externa inbetalningar»)."""
    page = finance_client.get("/settlements?from=abc&faulty=1")
    assert page.status == 422 and page.find("#f-from-error").text.startswith("Skriv datumet")
    values = page.form("main form.filter-form").values
    assert values["from"] == "abc" and values["faulty"] == "1"
    assert page.find("h1").text.split() == ["Återläsningar", "Externa", "inbetalningar"]


@pytest.mark.parametrize("query", ["number=x", "source=../x", "after=-1", "faulty=2", "number=99999999999999999999"])
def test_odd_addresses_are_answered(app: Flask, finance_client: WebClient, query: str) -> None:
    assert finance_client.get(f"/settlements?{query}").status == 200


# --- Fetching ------------------------------------------------------------------------------------------------------------


def test_fetch_now_brings_and_books_what_is_new(made: Doc, finance_client: WebClient) -> None:
    """K47."""
    finance_client.get("/settlements")
    page = finance_client.submit("/settlements/fetch")
    assert "1 ny utbetalning har kommit. Bokförda: 1." in page.find("#messages").text
    assert payout_of(made).state is PayoutState.BOOKED
    page = finance_client.submit("/settlements/fetch")
    assert "Inget nytt har kommit från Klarna." in page.find("#messages").text


def test_the_list_of_invoices_shows_when_and_by_which_payout_one_was_paid(
    made: Doc, sale: Document, finance_client: WebClient
) -> None:
    """K47: the green tick with the payout's date and reference."""
    finance_client.get("/settlements")
    finance_client.submit("/settlements/fetch")
    with reading() as session:
        paid_at = session.get_one(Document, sale.id).paid_at
    page = finance_client.get("/invoices?view=all")
    note = page.find("tbody td[data-label=Betald] .note").text
    assert note == f"{paid_at} · {made['payment_reference']}"


def test_fetching_by_htmx_goes_by_steps_that_say_how_far_it_is(
    made: Doc, klarna: Gateway, sandbox: Control, finance_client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K47: a bar while there is more, each step asking for the next; then the list, with what all of them brought."""
    a_sale(klarna, sandbox, 300_00)
    sandbox.pay_out()
    monkeypatch.setattr("blueprints.settlements.STEP_SECONDS", 0.0)
    finance_client.get("/settlements")
    page = finance_client.submit("/settlements/fetch", htmx="messages")
    assert (page.find("progress")["value"], page.find("progress")["max"]) == ("1", "2")
    assert page.find("form")["hx-trigger"].startswith("load") and "1 av 2" in page.text
    answer = finance_client.submit("#fetching", htmx="fetching", page=page)
    assert (answer.status, answer.headers["HX-Redirect"]) == (204, "/settlements")
    said = finance_client.get("/settlements").find("#messages").text
    assert "2 nya utbetalningar har kommit. Bokförda: 2." in said


def test_what_goes_wrong_at_klarna_is_said_and_stays_on_the_page(
    made: Doc, sandbox: Control, finance_client: WebClient
) -> None:
    sandbox.fault("unavailable", operation="list_payouts")
    finance_client.get("/settlements")
    page = finance_client.submit("/settlements/fetch")
    said = "Klarna gick inte att nå, så inga utbetalningar har hämtats. Försök igen om en stund."
    assert said in page.find("#messages").text
    assert said in finance_client.get("/settlements").find(".content").text
    finance_client.submit("/settlements/fetch")
    assert said not in finance_client.get("/settlements").text


@pytest.mark.parametrize("who", ["viewer", "clerk", "admin"])
@pytest.mark.parametrize("address", ["fetch", "upload", "1/book", "1/match", "rows/1/undo", "rows/1/handle"])
def test_only_finance_may_act(app: Flask, client: WebClient, who: str, address: str) -> None:
    client.log_in(who)
    assert client.post(f"/settlements/{address}").status == 403


# --- Reading a file in ------------------------------------------------------------------------------------------------------


def test_a_report_is_looked_at_first_and_nothing_is_stored(
    made: Doc, sandbox: Control, finance_client: WebClient
) -> None:
    finance_client.get("/settlements/upload")
    renamed = csv_of(sandbox, made).replace(b"merchant_capture_reference", b"vart_nummer")
    page = finance_client.submit("#upload form", press="step=preview", file=a_file(renamed))
    assert page.status == 200
    assert "läses inget: " in page.find("#planned").text and "ingen kolumn merchant_cap" in page.find("#planned").text
    cells = [plain(cell.text) for cell in page.all("#planned tbody td")]
    assert cells[0] == made["payment_reference"] and cells[4] == "2 389,34" and "Läses in" in cells[5]
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReadingFile)) == 0


def test_the_preview_counts_the_rows_that_wait_for_a_person_whatever_they_fit(
    sale: Document, sandbox: Control, finance_client: WebClient
) -> None:
    """Catalogue row 58; what fits our documents is seen when it is read in, and the page says so."""
    sandbox.next_payout(rows=[{"type": "LOYALTY_BONUS", "amount": 49_00}])
    made = sandbox.pay_out()[0]
    assert "matchas med våra dokument när rapporten läses in" in finance_client.get("/settlements/upload").text
    page = finance_client.submit("#upload form", press="step=preview", file=a_file(csv_of(sandbox, made)))
    assert "1 rad måste redas ut innan den kan bokföras." in page.find("#planned tbody").text


def read_in(client: WebClient, content: bytes, shown: bytes | None = None, **more: Any) -> Page:
    """Send the file with the second step, as the button in the preview of ``shown`` does."""
    client.get("/settlements/upload")
    seen = hashlib.sha256(content if shown is None else shown).hexdigest()
    data = {"file": a_file(content), "account_id": "0", "step": "read", "shown": seen}
    return client.post("/settlements/upload", data, follow=True, **more)


def test_only_the_file_that_was_shown_is_read_in(made: Doc, sandbox: Control, finance_client: WebClient) -> None:
    """The preview leaves the form with its file alone; another file that is chosen after it is shown before it is read."""
    content = csv_of(sandbox, made)
    other = content + b"\n"
    finance_client.get("/settlements/upload")
    answer = finance_client.submit("#upload form", press="step=preview", htmx="upload", file=a_file(content))
    assert answer.headers["HX-Retarget"] == "#planned"
    assert not answer.has("form") and answer.has("button[value=read]")
    page = read_in(finance_client, other, shown=content)
    assert page.status == 409 and "inte filen som visades" in page.find("#planned").text
    assert page.find("#planned input[name=shown]")["value"] == hashlib.sha256(other).hexdigest()
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReadingFile)) == 0
    assert read_in(finance_client, other).find("h1").text == f"Inläsning {payout_of(made).id}"


def test_a_large_report_is_left_to_the_worker_and_its_progress_shown(
    made: Doc, sandbox: Control, klarna: Gateway, finance_client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement_import, "AT_ONCE", 0)
    page = read_in(finance_client, csv_of(sandbox, made))
    assert "Rapporten läses in." in page.find("#messages").text
    rows = payout_of(made).row_count
    assert payout_of(made).state is PayoutState.LOADING
    assert page.find("#reading")["hx-trigger"] == "every 2s"
    for shown in (page, finance_client.get("/settlements"), finance_client.get("/settlements/coming", htmx="coming")):
        assert (shown.find("progress")["value"], shown.find("progress")["max"]) == ("0", str(rows))
    monkeypatch.undo()
    a_sale(klarna, sandbox, 300_00)
    small = csv_of(sandbox, sandbox.pay_out()[0])
    assert "Bokförda: 1." in read_in(finance_client, small).find("#messages").text
    assert payout_of(made).state is PayoutState.LOADING, (
        "a page loads its own report and leaves the worker's to the worker"
    )
    assert settlements.finish(klarna)
    answer = finance_client.get("/settlements/coming", htmx="coming")
    assert (answer.status, answer.headers["HX-Redirect"]) == (204, "/settlements")
    page = finance_client.get(f"/settlements/{payout_of(made).id}")
    assert payout_of(made).state is PayoutState.BOOKED and not page.has("progress")


def test_a_payout_that_came_back_different_is_shown_row_beside_row(
    made: Doc, sandbox: Control, finance_client: WebClient
) -> None:
    """Operations 14, fault row 32: before it is read, and afterwards as a difference for Finance to explain."""
    content = csv_of(sandbox, made)
    read_in(finance_client, content)
    other = content.replace(b"2435.00", b"2445.00").replace(b"2389.34", b"2399.34")
    finance_client.get("/settlements/upload")
    page = finance_client.submit("#upload form", press="step=preview", file=a_file(other))
    shown = [plain(cell.text) for cell in page.all("#planned tbody td")]
    assert [cell for cell in shown if "2 4" in cell] == ["2 435,00", "2 445,00"]
    assert page.find("#planned button[value=read]").text == "Spara det som skiljer sig"
    page = read_in(finance_client, other)
    assert "andra rader, sammanlagt 10,00 kr" in plain(page.find("#reading").text)
    assert "10,00 kr" in plain(page.find("#reading .change caption").text)
    assert "kom tillbaka annorlunda" in page.find("#messages").text and "inlästa" not in page.find("#messages").text
    cells = [plain(cell.text) for cell in page.all("#reading .change tbody td")]
    assert cells[0].startswith("Försäljning") and (cells[1], cells[4]) == ("2 435,00", "2 445,00")
    finance_client.get(page.find("#reading .change header a[href$=/explain]")["href"])
    finance_client.submit("#settle form", number="", reason="Klarna rättade sin rapport")
    assert not finance_client.get(f"/settlements/{payout_of(made).id}").has("#reading .change")
    assert payout_of(made).state is PayoutState.BOOKED


def test_what_has_been_read_before_offers_nothing_to_read_and_a_moved_ore_is_told_as_rows(
    made: Doc, sandbox: Control, finance_client: WebClient
) -> None:
    """Operations 14: other bytes of the same rows; then two rows that differ and a sum that does not."""
    content = csv_of(sandbox, made)
    read_in(finance_client, content)
    finance_client.get("/settlements/upload")
    page = finance_client.submit(
        "#upload form", press="step=preview", file=a_file(content.replace(b"\r\n", b"\n") + b"\n")
    )
    assert "Allt i rapporten är redan inläst." in page.text and not page.has("#planned button[value=read]")
    other = content.replace(b"2435.00", b"2445.00").replace(b"36.53", b"46.53")
    assert other.count(b"46.53") == content.count(b"36.53") > 0
    page = read_in(finance_client, other)
    assert "andra rader och samma summa" in page.find("#reading").text
    assert "summan är densamma" in page.find("#reading .change caption").text


def test_a_payout_that_came_back_different_is_not_booked_before_that_is_settled(
    sale: Document, sandbox: Control, finance_client: WebClient
) -> None:
    """Fault row 32: the rows that were read first may be the wrong ones."""
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    made = sandbox.pay_out()[0]
    content = csv_of(sandbox, made)
    read_in(finance_client, content)
    payout = payout_of(made)
    finance_client.get(f"/settlements/{payout.id}?pile=faulty")
    finance_client.submit(f"form[action^=/settlements/rows/{faulty_row(payout)}/handle]", note="testköp")
    assert payout_of(made).state is PayoutState.READY
    total = payout.settlement_minor
    old, new = (f"{minor // 100}.{minor % 100:02d}".encode() for minor in (total, total + 10_00))
    page = read_in(finance_client, content.replace(b"2435.00", b"2445.00").replace(old, new))
    assert "kom tillbaka annorlunda" in page.find("#messages").text
    page = finance_client.get(f"/settlements/{payout.id}")
    assert "Red ut den skillnaden" in page.text
    assert not page.has(f"form[action=/settlements/{payout.id}/book] button:not([aria-disabled])")
    assert finance_client.post(f"/settlements/{payout.id}/book").status == 409
    finance_client.get(page.find("#reading .change header a[href$=/explain]")["href"])
    finance_client.submit("#settle form", number="", reason="Klarna tog fel")
    finance_client.get(f"/settlements/{payout.id}")
    finance_client.submit(f"/settlements/{payout.id}/book")
    assert payout_of(made).state is PayoutState.BOOKED


def test_what_could_not_be_read_in_the_folder_waits_on_the_page(
    app: Flask, client: WebClient, finance_client: WebClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "SETTLEMENT_FOLDER", tmp_path / "gone")
    assert "Den bevakade mappen kan inte läsas just nu" in finance_client.get("/settlements").text
    monkeypatch.setitem(app.config, "SETTLEMENT_FOLDER", tmp_path)
    assert "läses in av sig själva inom en minut" in finance_client.get("/settlements").text
    why = keep(BadInput("Row %(row)s has no type.", row=7))
    with writing() as session:
        session.add_all(
            FolderFile(name=f"<b>{n}.csv", size_bytes=1, modified_ns=n, state="wrong", because=why, seen_at=clock.now())
            for n in range(2)
        )
    page = finance_client.get("/settlements")
    assert [row.all("td")[0].text for row in page.all("#coming tbody tr")] == ["<b>1.csv", "<b>0.csv"]
    assert "Rad 7 saknar typ." in page.find("#coming").text
    page = finance_client.submit("/settlements/folder/2/aside", htmx="coming")
    assert page.status == 200 and "läggs åt sidan" in page.text
    page = finance_client.get("/settlements")
    page = finance_client.submit("/settlements/folder/1/again")
    assert page.status == 200 and not page.has("#coming table")
    with reading() as session:
        assert session.scalars(sa.select(FolderFile.state)).all() == ["aside"]
    assert finance_client.post("/settlements/folder/2/again").status == 404
    client.log_in("clerk")
    assert client.post("/settlements/folder/1/again").status == 403


def test_a_report_is_read_in_and_its_page_shown(made: Doc, sandbox: Control, finance_client: WebClient) -> None:
    page = read_in(finance_client, csv_of(sandbox, made))
    assert page.find("h1").text == f"Inläsning {payout_of(made).id}"
    assert "1 utbetalning är inläst. Bokförda: 1." in page.find("#messages").text


def test_the_same_file_again_says_who_read_it(made: Doc, sandbox: Control, finance_client: WebClient) -> None:
    """Operations 14, to the letter."""
    content = csv_of(sandbox, made)
    read_in(finance_client, content)
    page = read_in(finance_client, content)
    assert page.status == 409
    assert page.find("#file-error").text.startswith("Redan inläst 20")
    assert page.find("#file-error").text.endswith(" av Ekonomen.")


@pytest.mark.parametrize(
    ("content", "name", "status", "sentence"),
    [
        (b"", "a.csv", 422, "Rapporten har inga rader."),
        (b"a;b;c\n1;2;3\n", "a.csv", 422, "Rad 1 är inte rubrikraden"),
        (b"%PDF-1.4 x", "settlement.csv", 415, "PDF"),
        (b"PK\x03\x04 x", "settlement.csv", 415, "ZIP, XLSX"),
        (b"type;amount;order_id\nSALE;1\n", "settlement.1.csv", 422, "Rad 2 har 2 kolumner"),
        (b"type;amount;order_id;posting_currency\nSALE;1.234,50;x;SEK\n", "settlement.1.csv", 422, "1.234,50"),
        (b"type;amount;order_id;posting_currency\nSALE;1.00;x;SEK\n", "../../x.csv", 422, "vilken utbetalning"),
        ("type;amount;order_id\nKöp;1.00;x\n".encode("latin-1"), "settlement.1.csv", 422, "inte UTF-8"),
    ],
)
def test_what_cannot_be_read_is_said_beside_the_file(
    app: Flask, finance_client: WebClient, content: bytes, name: str, status: int, sentence: str
) -> None:
    """Catalogue rows 47-61: each with its sentence, and nothing kept."""
    finance_client.get("/settlements/upload")
    data = {"file": a_file(content, name), "account_id": "0", "step": "read"}
    page = finance_client.post("/settlements/upload", data)
    assert page.status == status
    assert sentence in page.find("#file-error").text
    data = {**data, "file": a_file(content, name)}
    assert sentence in finance_client.post("/settlements/upload", data, htmx="upload").find("#file-error").text
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReadingFile)) == 0


def test_another_companys_report_is_refused(made: Doc, sandbox: Control, finance_client: WebClient) -> None:
    page = read_in(finance_client, csv_of(sandbox, made).replace(b"K000001", b"K999999"))
    assert page.status == 422
    assert "K999999 är inte något av företagets butiksid." in page.find("#file-error").text


def test_no_file_is_said_beside_the_field(app: Flask, finance_client: WebClient) -> None:
    finance_client.get("/settlements/upload")
    page = finance_client.submit("#upload form", press="step=preview")
    assert page.status == 422 and page.has("#file-error")


def test_a_payout_that_does_not_add_up_is_shown_and_not_booked(
    made: Doc, sandbox: Control, finance_client: WebClient
) -> None:
    """B5, to the letter."""
    content = csv_of(sandbox, made).replace(b";36.53;", b";36.54;", 1).replace(b"2389.34", b"2389.33")
    page = read_in(finance_client, content)
    text = plain(page.find("#reading").text)
    assert "Utbetalningen stämmer inte: raderna ger 2 389,34 kr, Klarna anger 2 389,33 kr. Inget är bokfört." in text
    assert page.find("#reading header button")["aria-disabled"] == "true"


# --- One reading ---------------------------------------------------------------------------------------------------------


def test_a_reading_shows_its_proof_and_a_row_per_document(
    made: Doc, sale: Document, klarna: Gateway, client: WebClient
) -> None:
    """B1, B3, B5: bank payment, cost and VAT add up to the document's amount."""
    fetched(klarna)
    page = client.log_in("viewer").get(f"/settlements/{payout_of(made).id}")
    row = page.find(f"tr a[href=/invoices/{sale.id}]")
    assert row.text == sale.number_text
    cells = [plain(cell.text) for cell in page.all("tbody[id^=row-] td")]
    assert cells[3:] == ["2 435,00", "Matchad", "2 389,34", "36,53", "9,13"]
    assert page.has(".panel.proof .pill.ok") and not page.has(".panel.proof .pill.bad")
    assert "2 389,34" in plain(page.find("figure.chart").text)
    assert not page.has("#reading form")


@pytest.mark.parametrize("way", ["api", "csv"])
def test_a_row_whose_direction_is_not_known_shows_the_amount_as_stated(
    way: str, sale: Document, sandbox: Control, klarna: Gateway, finance_client: WebClient
) -> None:
    """Operations 14: its effect on the payout is nothing, and what Klarna states of it is seen on both pages."""
    sandbox.next_payout(rows=[{"type": "LOYALTY_BONUS", "amount": 49_00}])
    made = sandbox.pay_out()[0]
    if way == "api":
        fetched(klarna)
    else:
        read_in(finance_client, csv_of(sandbox, made))
    payout = payout_of(made)
    row = finance_client.get(f"/settlements/{payout.id}").find(f"#row-{faulty_row(payout, 'LOYALTY_BONUS')}")
    assert (
        plain(row.text).count("49,00") == 1 and "riktning okänd" in row.text and "0,00" not in plain(row.text).split()
    )
    assert "Bokför inget: det Klarna har betalat ut går ihop utan den här raden." in row.text
    card = finance_client.get("/").find("#rows")
    assert "49,00" in plain(card.text) and "riktning okänd" in card.text


def test_a_row_in_another_currency_shows_its_own_amount(made: Doc, sandbox: Control, finance_client: WebClient) -> None:
    """Catalogue row 58: it counts for nothing in the payout, and is not shown as nothing."""
    content = csv_of(sandbox, made)
    (fee,) = (line for line in content.splitlines() if line.startswith(b"FEE;"))
    foreign = b"FEE;;;;;;;;12.50;EUR" + b";" * fee[fee.index(b";SEK;") + 4 :].count(b";")
    read_in(finance_client, content.replace(fee, fee + b"\r\n" + foreign))
    payout = payout_of(made)
    row = finance_client.get(f"/settlements/{payout.id}").find(f"#row-{faulty_row(payout, 'FEE')}")
    assert "12,50 €" in plain(row.text) and "riktning okänd" not in row.text
    assert "12,50" in finance_client.get("/").find("#rows").text


def test_an_unknown_reading_is_not_found(app: Flask, finance_client: WebClient) -> None:
    assert finance_client.get("/settlements/4711").status == 404
    assert finance_client.get("/settlements/4711/file").status == 404
    assert finance_client.post("/settlements/4711/book").status == 404
    assert finance_client.post("/settlements/rows/4711/undo").status == 404


def test_the_report_can_be_had_as_it_came(made: Doc, sandbox: Control, finance_client: WebClient) -> None:
    content = csv_of(sandbox, made)
    read_in(finance_client, content)
    page = finance_client.get(f"/settlements/{payout_of(made).id}/file")
    assert page.body == content
    assert page.headers["Content-Disposition"].startswith("attachment")


def test_a_row_is_handled_in_place_and_the_payout_booked(odd: Payout, finance_client: WebClient) -> None:
    """B4: name, time and note; then nothing is in the way."""
    page = finance_client.get(f"/settlements/{odd.id}")
    assert page.find("#reading header button[aria-disabled=true]").text.startswith("Bokför utbetalningen")
    row_id = faulty_row(odd)
    answer = finance_client.submit(
        f"/settlements/rows/{row_id}/handle?pile=faulty", htmx="reading", note="Butiken i Norge"
    )
    assert answer.status == 200 and answer.has("#reading")
    assert "Raden är markerad som hanterad." in answer.html
    page = finance_client.get(f"/settlements/{odd.id}?pile=handled")
    assert "Butiken i Norge · Ekonomen" in page.find(f"#row-{row_id}").text
    page = finance_client.submit(f"/settlements/{odd.id}/book")
    assert "Utbetalningen är bokförd som verifikation I1." in page.find("#messages").text
    assert page.has("a[href^=/books/vouchers/]")


def lines_of(page: Page) -> list[str]:
    """The lines of a reading, top to bottom."""
    return [each["id"] for each in page.all("#reading tbody[id]")]


def test_a_row_stays_where_it_was_after_each_act(
    sale: Document, sandbox: Control, klarna: Gateway, finance_client: WebClient
) -> None:
    """B4, screens "Settlement readings": in place, with what takes it back, until the page is opened anew."""
    for _ in range(3):
        sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    payout = payout_of(made)
    first, second, third = (
        row.id for row, match in rows_of(payout) if match.pile is Pile.FAULTY and row.type == "SALE"
    )
    address, places = f"/settlements/{payout.id}?pile=faulty", [f"row-{each}" for each in (first, second, third)]

    lines = {each: told(finance_client.get(address), each) for each in (first, second, third)}
    assert {line[2] for line in lines.values()} == {"300,00"} and len({line[0] for line in lines.values()}) == 3

    def shown(page: Page) -> list[str]:
        """Every line in sight, each of its row with its number and amount."""
        for each in lines_of(page):
            row_id = int(each.removeprefix("row-"))
            assert told(page, row_id) == lines[row_id]
        return lines_of(page)

    assert shown(finance_client.get(address)) == places
    for htmx in (False, "reading"):
        finance_client.get(address)
        page = finance_client.submit(f"#row-{second} form[action*=/handle]", htmx=htmx, note="Butiken i Norge")
        assert shown(page) == places and "Hanterad" in page.find(f"#row-{second}").text
        page = finance_client.submit(f"#row-{third} form[action*=/handle]", page=page, htmx=htmx, note="Också")
        assert shown(page) == places and page.has(f"#row-{third} form[action*=/undo]"), (
            "the second act forgets the first"
        )
        page = finance_client.submit(f"#row-{first} form[action*=/handle]", page=page, htmx=htmx, note=" ")
        assert page.status == 422 and shown(page) == places, "what is refused moves nothing"
        page = finance_client.submit(f"#row-{second} form[action*=/undo]", page=page, htmx=htmx)
        assert shown(page) == places and page.has(f"#row-{second} form[action*=/handle]")
        assert shown(finance_client.get(address)) == places[:2]
        finance_client.get(f"/settlements/{payout.id}?pile=handled")
        page = finance_client.submit(f"#row-{third} form[action*=/undo]", htmx=htmx)
        assert shown(page) == places[2:] and page.has(f"#row-{third} form[action*=/handle]")


def told(page: Page, row_id: int) -> list[str]:
    """What a line of a reading says of its row: number, document and amount."""
    cells = [plain(each.text) for each in page.all(f"#row-{row_id} td")]
    return [cells[0], cells[1], cells[3]]


@pytest.mark.parametrize("htmx", [False, "reading"])
def test_a_match_made_by_itself_is_taken_back_where_it_stands_and_made_again_when_asked_for(
    htmx: Any, odd: Payout, sale: Document, finance_client: WebClient
) -> None:
    """B4: the row stays in sight, says what was taken back and by whom, and offers the acts of a faulty row."""
    (row_id,) = [row.id for row, match in rows_of(odd) if match.document_id == sale.id and row.type == "SALE"]
    page = finance_client.get(f"/settlements/{odd.id}?pile=matched")
    assert page.find(f"#row-{row_id} form[action*=/unmatch] button").text == "Ta tillbaka"
    old = page
    page = finance_client.submit(f"#row-{row_id} form[action*=/unmatch]", page=page, htmx=htmx)
    line = page.find(f"#row-{row_id}")
    assert "Felaktig" in line.text and "tagit tillbaka matchningen" in line.text and str(sale.number_text) in line.text
    assert page.has(f"#row-{row_id} form[action*=/assign]") and page.has(f"#row-{row_id} form[action*=/handle]")
    assert finance_client.submit(f"#row-{row_id} form[action*=/unmatch]", page=old, htmx=htmx).status == 409
    page = finance_client.submit(f"#row-{row_id} form[action*=/rematch]", page=page, htmx=htmx)
    assert "Matchad" in page.find(f"#row-{row_id}").text and page.has(f"#row-{row_id} form[action*=/unmatch]")


def test_a_viewer_is_shown_nothing_that_takes_a_match_back(odd: Payout, client: WebClient) -> None:
    """B31."""
    assert not client.log_in("viewer").get(f"/settlements/{odd.id}?pile=matched").has("form[action*=/unmatch]")


@pytest.fixture
def taken_back(sandbox: Control, klarna: Gateway, sale: Document) -> Payout:
    """A payout with a sale, its cost, and two rows that take something back and belong to nobody."""
    sandbox.next_payout(rows=[{"type": "REVERSAL", "amount": 40_00}, {"type": "REVERSAL", "amount": 55_00}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    return payout_of(made)


@pytest.mark.parametrize("htmx", [False, "reading"])
def test_rows_that_are_given_a_document_with_a_line_of_its_own_stay_each_in_its_place(
    htmx: Any, taken_back: Payout, sale: Document, finance_client: WebClient
) -> None:
    """B3, B4: each row keeps its number and its amount, and can be taken back by itself, here and under «Hanterad»."""
    first, second = (row for row, _ in rows_of(taken_back) if row.type == "REVERSAL")
    page = finance_client.get(f"/settlements/{taken_back.id}?pile=faulty")
    places, amounts = lines_of(page), {first.id: "−40,00", second.id: "−55,00"}
    assert places == [f"row-{first.id}", f"row-{second.id}"]
    for row in (first, second):
        form = f"#row-{row.id} form[action*=/assign]"
        page = finance_client.submit(form, page=page, htmx=htmx, document_number=sale.number_text)
        assert page.status == 409 and lines_of(page) == places
        page = finance_client.submit(form, page=page, htmx=htmx)
        assert lines_of(page) == places
        assert told(page, row.id) == [str(row.row_no), sale.number_text, amounts[row.id]]
        assert page.has(f"#row-{row.id} form[action*=/undo]")
    handled = finance_client.get(f"/settlements/{taken_back.id}?pile=handled")
    assert lines_of(handled) == places
    assert {row.id: told(handled, row.id)[2] for row in (first, second)} == amounts
    (matched,) = lines_of(finance_client.get(f"/settlements/{taken_back.id}?pile=matched"))
    assert matched not in places
    page = finance_client.submit(f"#row-{second.id} form[action*=/undo]", page=handled, htmx=htmx)
    assert lines_of(page) == places and "Felaktig" in page.find(f"#row-{second.id}").text
    assert "Hanterad" in page.find(f"#row-{first.id}").text


def test_two_warnings_of_one_document_are_two_lines(
    sale: Document, sandbox: Control, klarna: Gateway, finance_client: WebClient
) -> None:
    """B3, B4: neither hides behind the other, and the sale keeps its costs in its own line."""
    with reading() as session:
        klarna_order = session.scalar(
            sa.select(Order.klarna_order_id).join(Document).where(Document.id == sale.id, Document.order_id == Order.id)
        )
    rows = [{"type": "REVERSAL", "amount": amount, "order_id": klarna_order} for amount in (40_00, 55_00)]
    sandbox.next_payout(rows=rows)
    made = sandbox.pay_out()[0]
    fetched(klarna)
    payout = payout_of(made)
    first, second = (row for row, match in rows_of(payout) if match.pile is Pile.WARNING)
    page = finance_client.get(f"/settlements/{payout.id}?pile=warning")
    places = [f"row-{first.id}", f"row-{second.id}"]
    assert lines_of(page) == places
    assert [told(page, each.id)[2] for each in (first, second)] == ["−40,00", "−55,00"]
    matched = finance_client.get(f"/settlements/{payout.id}?pile=matched")
    (line,) = lines_of(matched)
    assert [plain(each.text) for each in matched.all(f"#{line} td")][3:] == [
        "2 435,00", "Matchad", "2 389,34", "36,53", "9,13",
    ]  # fmt: skip


def test_a_warning_of_a_booked_payout_is_accepted_and_waits_no_more(
    sale: Document, made: Doc, klarna: Gateway, finance_client: WebClient
) -> None:
    """B4: a warning keeps no payout from being booked; accepting it afterwards books nothing and says who and why."""
    with writing() as session:
        typed = payments.Wanted(sale.open_minor, clock.today(), 1930, "betald till oss")
        payments.register(session, FINANCE, sale.id, "1" * 32, typed)
    fetched(klarna)
    payout = payout_of(made)
    (row_id,) = (row.id for row, match in rows_of(payout) if match.pile is Pile.WARNING)
    assert payout.state is PayoutState.BOOKED
    vouchers = document_pages.count(Voucher)
    page = finance_client.get(f"/settlements/{payout.id}?pile=warning")
    assert [each["action"].partition("?")[0] for each in page.all(f"#row-{row_id} form")] == [
        f"/settlements/rows/{row_id}/accept"
    ]
    refused = finance_client.submit(f"#row-{row_id} form[action*=/accept]", note=" ")
    assert refused.status == 422 and refused.has(f"#row-{row_id} .error")
    page = finance_client.submit(f"#row-{row_id} form[action*=/accept]", page=page, note="återbetalas", htmx="reading")
    assert "återbetalas · Ekonomen" in page.find(f"#row-{row_id}").text and not page.has(f"#row-{row_id} form")
    with reading() as session:
        assert session.execute(owed.rows_to_settle()).all() == []
    assert document_pages.count(Voucher) == vouchers
    assert finance_client.post(f"/settlements/rows/{row_id}/undo").status == 409
    assert finance_client.post(f"/settlements/rows/{row_id}/handle", {"note": "x"}).status == 409
    all_is_well()


@pytest.mark.parametrize("kept", ["x", "-1", "9" * 30, "4711", "1&kept=2"])
def test_rows_that_are_to_stay_and_are_none_of_the_reading_change_nothing(
    kept: str, odd: Payout, finance_client: WebClient
) -> None:
    """Catalogue row 19."""
    row_id = faulty_row(odd)
    page = finance_client.get(f"/settlements/{odd.id}?pile=faulty&kept={kept}")
    assert page.status == 200 and page.has(f"#row-{row_id}")


def test_an_act_on_a_later_page_draws_that_page(
    sale: Document, sandbox: Control, klarna: Gateway, finance_client: WebClient
) -> None:
    """B4: fifty rows a page; whoever deals with the fifty-first is not sent back to the first."""
    for _ in range(51):
        sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    address = f"/settlements/{payout_of(made).id}?pile=faulty"
    later = finance_client.get(finance_client.get(address).find(".pager a")["href"])
    form = later.find("#reading form[action*=/handle]")["action"]
    page = finance_client.submit(form, htmx="reading", note="utreds")
    assert lines_of(page) == lines_of(later) and page.has("#reading form[action*=/undo]")


def document_of(row_id: int) -> int | None:
    with reading() as session:
        return session.scalar(sa.select(RowMatch.document_id).where(RowMatch.row_id == row_id))


def asked_of(page: Page) -> list[tuple[str, str]]:
    """What a question about a row's document tells of it, line by line."""
    terms = zip(page.all(".asked dt"), page.all(".asked dd"), strict=True)
    return [(term.text, plain(value.text)) for term, value in terms]


@pytest.mark.parametrize("htmx", [False, "reading"])
def test_a_document_that_differs_from_the_row_is_shown_and_asked_about_before_it_is_tied(
    htmx: Any, odd: Payout, klarna: Gateway, sandbox: Control, finance_client: WebClient
) -> None:
    """B4, operations 14: its customer, order, amount and what is open stand there, and the first press ties nothing."""
    other, row_id = a_sale(klarna, sandbox, 450_00), faulty_row(odd)
    assign = f"#row-{row_id} form[action*=/assign]"
    page = finance_client.get(f"/settlements/{odd.id}?pile=faulty")
    asked = finance_client.submit(assign, page=page, htmx=htmx, document_number=other.number_text)
    assert asked.status == 409 and document_of(row_id) is None
    with reading() as session:
        customer, order = session.get_one(Customer, other.customer_id), session.get_one(Order, other.order_id)
    assert asked_of(asked) == [
        ("Faktura", str(other.number_text)), ("Kund", customer.name), ("Order", str(order.number)),
        ("Belopp", "450,00 kr"), ("Öppet nu", "450,00 kr"), ("Från raden", "300,00 kr"), ("Öppet sedan", "150,00 kr"),
    ]  # fmt: skip
    text = plain(asked.find(f"#row-{row_id} .asked[data-errors]").text)
    assert "Är det det här dokumentet?" in text and "Inget är knutet ännu." in text
    assert f"dokumentet hör till order {order.number}." in text
    assert "Dokumentet är på 450,00 kr, och det här är 300,00 kr." in text
    left = finance_client.get(asked.find(f"#row-{row_id} .asked form a")["href"].split("#")[0])
    assert left.has(assign) and document_of(row_id) is None
    page = finance_client.submit(assign, page=asked, htmx=htmx)
    assert document_of(row_id) == other.id and "Hanterad" in page.find(f"#row-{row_id}").text
    finance_client.submit(assign, page=asked, htmx=htmx)
    with reading() as session:
        acts = sa.select(sa.func.count()).where(Audit.action == "settlement.row_assigned")
        assert session.scalar(acts) == 1, "the same form again does nothing more"


def test_what_has_changed_since_it_was_shown_is_shown_again(
    odd: Payout, klarna: Gateway, sandbox: Control, finance_client: WebClient
) -> None:
    """Operations 12: a yes is to what stood there."""
    other, row_id = a_sale(klarna, sandbox, 450_00), faulty_row(odd)
    assign = f"#row-{row_id} form[action*=/assign]"
    finance_client.get(f"/settlements/{odd.id}?pile=faulty")
    asked = finance_client.submit(assign, document_number=other.number_text)
    with writing() as session:
        session.get_one(Customer, other.customer_id).name = "Stina Ek"
    again = finance_client.submit(assign, page=asked)
    assert again.status == 409 and document_of(row_id) is None
    assert "Stina Ek" in again.find(f"#row-{row_id} .asked").text
    finance_client.submit(assign, page=again)
    assert document_of(row_id) == other.id


def test_a_document_that_agrees_with_the_row_in_all_is_tied_at_once(
    sale: Document, odd: Payout, finance_client: WebClient
) -> None:
    """B4: its order, its number and its amount."""
    (row_id,) = [row.id for row, match in rows_of(odd) if match.document_id == sale.id and row.type == "SALE"]
    with writing() as session:
        match = session.get_one(RowMatch, row_id)
        match.pile, match.because, match.document_id = Pile.FAULTY, "several", None
    finance_client.get(f"/settlements/{odd.id}?pile=faulty")
    page = finance_client.submit(f"#row-{row_id} form[action*=/assign]", document_number=sale.number_text)
    assert page.status == 200 and "Raden har fått sitt dokument." in page.find("#messages").text
    assert document_of(row_id) == sale.id


def test_a_document_that_is_not_there_is_said_beside_the_row(odd: Payout, finance_client: WebClient) -> None:
    row_id = faulty_row(odd)
    for htmx in (False, "reading"):
        finance_client.get(f"/settlements/{odd.id}")
        answer = finance_client.submit(
            f"/settlements/rows/{row_id}/assign?pile=faulty", htmx=htmx, document_number="99999"
        )
        assert answer.status == 422
        assert answer.find(f"#row-{row_id} .error").text == "Det finns ingen faktura eller kreditfaktura 99999."
        assert answer.find(f"#document_number-link-{row_id}")["value"] == "99999"


def test_a_blank_note_is_refused_beside_the_row(odd: Payout, finance_client: WebClient) -> None:
    finance_client.get(f"/settlements/{odd.id}")
    row_id = faulty_row(odd)
    page = finance_client.submit(f"/settlements/rows/{row_id}/handle?pile=faulty", note=" ")
    assert page.status == 422 and page.has(f"#row-{row_id} .error")


def test_what_was_done_is_taken_back(odd: Payout, finance_client: WebClient) -> None:
    finance_client.get(f"/settlements/{odd.id}")
    row_id = faulty_row(odd)
    finance_client.submit(f"/settlements/rows/{row_id}/handle?pile=faulty", note="Fel")
    finance_client.get(f"/settlements/{odd.id}?pile=handled")
    page = finance_client.submit(f"/settlements/rows/{row_id}/undo?pile=handled")
    assert "Det är återtaget." in page.find("#messages").text
    assert faulty_row(odd) == row_id


def test_faulty_rows_are_matched_again(odd: Payout, finance_client: WebClient) -> None:
    finance_client.get(f"/settlements/{odd.id}")
    page = finance_client.submit(f"/settlements/{odd.id}/match")
    assert "De felaktiga raderna har matchats igen." in page.find("#messages").text


def test_a_booked_reading_offers_nothing_and_refuses_all(made: Doc, klarna: Gateway, finance_client: WebClient) -> None:
    fetched(klarna)
    payout = payout_of(made)
    page = finance_client.get(f"/settlements/{payout.id}")
    assert not page.has("#reading form")
    assert finance_client.post(f"/settlements/{payout.id}/book").status == 409
    row_id = rows_of(payout)[0][0].id
    assert finance_client.post(f"/settlements/rows/{row_id}/handle", {"note": "x"}).status == 409


def test_a_post_without_its_token_changes_nothing(odd: Payout, finance_client: WebClient) -> None:
    assert finance_client.post(f"/settlements/{odd.id}/match", csrf=False).status == 400


def test_the_overview_leads_to_the_row_that_waits_and_to_the_payout_when_there_is_but_one(
    odd: Payout, sandbox: Control, klarna: Gateway, finance_client: WebClient
) -> None:
    """Screens, start: a row of the card leads beside the row, in its pile; the whole list is where the rows are."""
    row_id = faulty_row(odd)
    card = finance_client.get("/").find("section#rows")
    assert f"/settlements/{odd.id}?pile=faulty#row-{row_id}" in {each["href"] for each in card.all("tbody a")}
    assert card.find("a.button")["href"] == f"/settlements/{odd.id}?pile=faulty"
    for _ in range(6):
        sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    card = finance_client.get("/").find("section#rows")
    assert card.find("a.button")["href"] == "/settlements?faulty=1&warning=1"
    with writing() as session:
        settlements.mark_handled(session, FINANCE, row_id, "utreds")
    card = finance_client.get("/").find("section#rows")
    assert card.find("a.button")["href"] == f"/settlements/{payout_of(made).id}?pile=faulty"
