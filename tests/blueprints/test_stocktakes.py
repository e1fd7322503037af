"""«Inventering» as a browser sees it: counting, the difference report, the separate question, and the booking (B28)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from models import Article, Stocktake
from services import stock, stocktake_report
from tests import builders
from tests.web_client import Page, WebClient

FORM, ROW = "form.form", "td form"


@pytest.fixture
def article(app: Flask) -> Article:
    with writing() as session:
        return builders.an_article(
            session, "Tröja", number="T-1", stock_milli=5_000, gtin="07310865004703", cost_minor=10_000
        )


@pytest.fixture
def left(article: Article) -> Article:
    with writing() as session:
        return builders.an_article(session, "Mössa", number="M-1", stock_milli=2_000, cost_minor=5_000)


def on_hand(article: Article) -> int:
    with reading() as session:
        return stock.balance(session, article.id)


def start(client: WebClient, *, who: str = "clerk", language: str = "sv") -> str:
    """A stocktake of the first warehouse; gives its address."""
    client.log_in(who, language=language).get("/stock/stocktakes")
    page = client.submit(FORM, note="Årsskiftet")
    assert page.status == 200
    return page.url.removeprefix(client.origin)


def counted(page: Page) -> list[list[str]]:
    """Article, balance then and difference of each row."""
    rows = page.all("#counting tbody tr")
    return [[row.all("td")[0].text, *(cell.text for cell in row.all("td.num"))] for row in rows]


def test_a_warehouse_is_counted_looked_at_and_booked(client: WebClient, article: Article, left: Article) -> None:
    """B28, in Swedish."""
    address = start(client)
    assert client.page and client.page.find("h1").text.startswith("Inventering 1: ")
    for code, quantity in (("t-1", "1"), ("7310865004703", "2,5")):
        page = client.submit(FORM, scan=code, quantity=quantity)
        assert page.status == 200
    assert "T-1 Tröja: 3,5 st räknade." in page.text
    assert counted(page) == [["T-1", "5", "\u22121,5"]]
    page = client.get(f"{address}/report")
    assert page.find("h1").text.startswith("Differensrapport")
    assert "Inget saldo har ändrats ännu." in page.text
    assert [cell.text for cell in page.all("section tbody tr")[0].all("td")][:7] == [
        "T-1", "Tröja", "5", "3,5", "\u22121,5", "st", "\u2212150,00",
    ]  # fmt: skip
    legend = page.find("legend")
    assert legend.text == "Artiklar som inte räknats"
    chosen = [each["value"] for each in page.all("input[name=uncounted]") if each.get("checked") is not None]
    assert chosen == ["keep"], "nothing is set to zero that nobody asked for"
    assert on_hand(article) == 5_000
    page = client.submit(FORM)
    assert (page.status, page.url.endswith("/report")) == (200, True)
    assert "Inventeringen är bokförd: 1 saldo har ändrats." in page.text
    assert (on_hand(article), on_hand(left)) == (3_500, 2_000)
    assert not page.has("main form[method=post]")
    assert page.has(f"a[href=/stock/articles/{article.id}]")
    page = client.get(address)
    assert not page.has(f"form[action^={address}]"), "what is booked is only read"
    page = client.get(f"/stock/articles/{article.id}")
    assert page.find(f"tbody a[href={address}/report]").text == "Inventering"


def test_zero_is_asked_for_separately_and_in_words(client: WebClient, article: Article, left: Article) -> None:
    """B28, in English: the choice alone is not enough."""
    address = start(client, language="en")
    client.submit(FORM, scan="T-1", quantity="5")
    page = client.get(f"{address}/report")
    assert "1 article worth SEK 100.00 by the books." in page.text.replace("\u00a0", " ")
    page = client.submit(FORM, uncounted="zero")
    assert page.status == 422
    assert "Tick this too, if nothing is left of what was not counted." in page.find("#sure-error").text
    assert page.form(FORM).values["uncounted"] == "zero"
    assert on_hand(left) == 2_000
    page = client.submit(FORM, uncounted="zero", sure="y")
    assert "The stocktake is booked: 1 balance has changed." in page.text
    assert (on_hand(article), on_hand(left)) == (5_000, 0)
    assert "Not counted, set to zero" in page.text
    page = client.get(address)
    assert "set to zero" in page.text


def test_a_count_made_meanwhile_stops_the_booking_and_the_report_is_drawn_anew(
    client: WebClient, article: Article, left: Article
) -> None:
    """B28."""
    address = start(client)
    client.submit(FORM, scan="T-1", quantity="4")
    drawn = client.get(f"{address}/report")
    client.get(address)
    client.submit(FORM, scan="M-1", quantity="9")
    page = client.submit(FORM, page=drawn)
    assert page.status == 409
    assert "Det har räknats mer sedan rapporten ritades." in page.text
    assert (on_hand(article), on_hand(left)) == (5_000, 2_000)
    assert client.submit(FORM, page=page).status == 200, "and the page it answered with can be sent"
    assert (on_hand(article), on_hand(left)) == (4_000, 9_000)


def test_each_form_sent_twice_acts_once(client: WebClient, article: Article) -> None:
    """B28, operations 12."""
    client.log_in("clerk").get("/stock/stocktakes")
    drawn = client.page
    for _ in range(2):
        page = client.submit(FORM, page=drawn)
        assert page.status == 200
    address = page.url.removeprefix(client.origin)
    drawn = client.page
    for _ in range(2):
        page = client.submit(FORM, page=drawn, scan="T-1", quantity="2")
    assert counted(page)[0][2] == "\u22123"
    drawn = client.get(f"{address}/report")
    for _ in range(2):
        assert client.submit(FORM, page=drawn).status == 200
    assert on_hand(article) == 2_000
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Stocktake)) == 1


def test_a_second_start_is_led_to_the_one_that_is_open(client: WebClient, article: Article) -> None:
    """B28."""
    address = start(client)
    client.get("/stock/stocktakes")
    page = client.submit(FORM, note="en till")
    assert page.status == 409
    assert "räknas redan" in page.find("#warehouse_id-error").text
    assert page.form(FORM).values["note"] == "en till"
    assert page.find(".form p a")["href"] == address


@pytest.mark.parametrize(
    ("scan", "quantity", "field", "says"),
    [
        ("FINNS-EJ", "3", "scan", "Det finns ingen artikel ”FINNS-EJ”."),
        ("", "3", "scan", "Skanna eller skriv ett artikelnummer."),
        ("T-1", "1,2345", "quantity", "Antal får ha högst tre decimaler."),
        ("T-1", "", "quantity", "Ange ett antal."),
        ("T-1", "\u22121", "quantity", "Antalet kan inte vara mindre än 0."),
        ("T-1", "1000001", "quantity", "Antalet är för stort."),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_what_cannot_be_counted_is_said_beside_the_field_and_the_rest_stays(
    client: WebClient, article: Article, scan: str, quantity: str, field: str, says: str, htmx: bool
) -> None:
    """B28: a code at fault leaves its field, so that a scanner does not type behind it, and is listed."""
    start(client)
    page = client.submit(FORM, htmx=htmx and "counting", scan=scan, quantity=quantity, how="anew")
    assert page.status == 422
    assert page.find(f"#{field}-error").text == says
    values = page.form(FORM).values
    assert (values["quantity"], values["how"]) == (quantity, "anew")
    assert values["scan"] == ("" if field == "scan" else scan)
    assert (scan != "" and field == "scan") == ("Inte räknat: " in page.text)
    assert page.headers.get("HX-Trigger") == "beep"


def test_a_scanner_goes_on_and_what_was_missed_stays_told(client: WebClient, article: Article) -> None:
    """B28: by htmx, part of the page after part of the page; the list goes when it is cleared."""
    start(client)
    part = client.submit(FORM, htmx="counting", scan="OKÄND")
    part = client.submit(FORM, page=part, htmx="counting", scan="T-1")
    assert (part.status, part.element.tag) == (200, part.element.tag)
    assert "OKÄND" in part.text
    assert counted(part) == [["T-1", "5", "\u22124"]]
    assert "T-1 Tröja: 1 st räknade." in part.text
    wrong = client.submit(FORM, page=part, htmx="counting", scan="OKÄND")
    assert wrong.find("#messages").text == "", "what was said of the count before is gone"
    assert part.form(FORM).values["scan"] == ""
    part = client.submit(FORM, page=part, htmx="counting", press="then=forget")
    assert "OKÄND" not in part.text
    client.submit(FORM, scan="OKÄND")
    assert "OKÄND" in client.submit(FORM, scan="T-2").text, "without scripts too"
    assert "OKÄND" not in client.submit(FORM, press="then=forget").text


def test_what_has_moved_in_between_is_said_and_all_is_counted_again(client: WebClient, article: Article) -> None:
    """B28."""
    start(client)
    client.submit(FORM, scan="T-1", quantity="3")
    with writing() as session:
        stock.adjust(session, builders.CLERK, article.id, builders.the_warehouse(session).id, -1_000, "sålt")
    page = client.submit(FORM, scan="T-1", quantity="2")
    assert page.status == 409
    assert "saldot har gått från 5 till 4" in page.find("#how-error").text
    assert page.form(FORM).values["scan"] == "T-1"
    page = client.submit(FORM, quantity="4", how="anew")
    assert counted(page) == [["T-1", "4", "0"]]


def test_a_row_is_put_right_and_taken_away_where_it_stands(client: WebClient, article: Article) -> None:
    """B28: with a sentence beside the field, and never over what somebody else has counted."""
    address = start(client)
    name = f"quantity_{article.id}"
    client.submit(FORM, scan="T-1", quantity="3")
    page = client.submit(ROW, **{name: "x"})
    assert page.status == 422
    assert page.form(ROW).values[name] == "x"
    assert page.has(f"#{name}-error")
    old = client.page
    part = client.submit(ROW, page=old, htmx="counting", **{name: "4"})
    assert counted(part) == [["T-1", "5", "\u22121"]]
    page = client.submit(ROW, page=old, **{name: "2"})
    assert page.status == 409
    assert "Någon annan har räknat artikeln under tiden." in page.text
    client.get(address)
    page = client.submit(ROW, press="then=remove")
    assert "Inget har räknats ännu." in page.text
    assert client.submit(ROW, page=old, press="then=remove").status == 200, "what is gone is gone"


def test_a_difference_below_zero_is_told_with_the_report(client: WebClient, article: Article) -> None:
    """B28, S2."""
    address = start(client)
    client.submit(FORM, scan="T-1", quantity="2")
    with writing() as session:
        stock.adjust(session, builders.CLERK, article.id, builders.the_warehouse(session).id, -4_000, "sålt")
    client.get(f"{address}/report")
    page = client.submit(FORM)
    assert page.status == 409
    assert "Av artikel T-1 finns bara 1 i lager nu, och skillnaden tar ut 3." in page.text
    assert on_hand(article) == 1_000


def test_it_can_be_discarded_and_then_be_read(client: WebClient, article: Article) -> None:
    """B28."""
    address = start(client)
    client.submit(FORM, scan="T-1", quantity="2")
    page = client.submit(f"{address}/discard")
    assert "Inventeringen är avbruten. Inget saldo har ändrats." in page.text
    assert counted(page) == [["T-1", "2", "5", "\u22123"]]
    assert on_hand(article) == 5_000
    page = client.get(f"{address}/report")
    assert not page.has("main form[method=post]")
    assert "Avbruten" in client.get("/stock/stocktakes").text


def test_the_report_is_printed_and_saved_as_a_file(client: WebClient, article: Article, left: Article) -> None:
    """B28: the file has what was counted and what was not."""
    address = start(client)
    client.submit(FORM, scan="T-1", quantity="3,5")
    file = client.get(f"{address}/report?as=csv")
    assert file.headers["Content-Disposition"] == 'attachment; filename="stocktake-1.csv"'
    lines = file.body.decode("utf-8-sig").splitlines()
    assert lines[0].startswith("Artikel;Benämning;Saldo då;Räknat;Skillnad;Enhet;")
    assert lines[1].startswith("T-1;Tröja;5;3.5;-1.5;st;-150.00")
    assert "M-1;Mössa;2;st;100.00" in lines
    page = client.get(f"{address}/report?as=print")
    assert "Differensrapport, inventering 1" in page.text
    assert "\u22121,5" in page.text


def test_who_may_only_read_sees_all_of_it_and_every_button_says_why_it_is_off(
    app: Flask, client: WebClient, article: Article
) -> None:
    """B28, B31."""
    address = start(client)
    client.submit(FORM, scan="T-1", quantity="2")
    viewer = WebClient(app).log_in("viewer", language="sv")
    for path in ("/stock/stocktakes", address, f"{address}/report"):
        page = viewer.get(path)
        assert page.status == 200
        assert page.has("main button[aria-disabled=true]")
        assert not page.has("main form button[type=submit]")
    for path in ("/stock/stocktakes", address, f"{address}/report", f"{address}/discard",
                 f"{address}/articles/{article.id}"):  # fmt: skip
        assert viewer.post(path).status == 403
    assert client.get("/stock/stocktakes/99").status == 404
    assert client.get("/stock/stocktakes/99/report").status == 404
    for path in ("", "/report", "/discard", f"/articles/{article.id}"):
        assert client.post(f"/stock/stocktakes/99{path}").status in (400, 404)


def test_who_may_not_see_what_articles_cost_sees_differences_without_their_value(
    app: Flask, client: WebClient, article: Article, left: Article
) -> None:
    """B27, security 2: neither on the page, nor in the sum of what was not counted, nor in the file, nor on paper."""
    address = start(client)
    client.submit(FORM, scan="T-1", quantity="3,5")
    viewer = WebClient(app).log_in("viewer", language="sv")
    for path in ("report", "report?as=print", "report?as=csv"):
        mine, theirs = client.get(f"{address}/{path}"), viewer.get(f"{address}/{path}")
        said, heard = mine.body.decode("utf-8-sig"), theirs.body.decode("utf-8-sig")
        assert "150" in said and "150" not in heard
        assert "T-1" in heard and "M-1" in heard and "inpris" not in heard.lower()


def test_stock_leads_to_the_list_which_goes_on_from_page_to_page(
    app: Flask, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B28."""
    monkeypatch.setattr("blueprints.stocktakes.ROWS", 2)
    page = client.log_in("clerk", language="sv").get("/stock")
    assert page.find("main a[href=/stock/stocktakes]").text == "Inventering"
    assert "Inget har räknats ännu." in client.get("/stock/stocktakes").text
    for _ in range(3):
        address = start(client)
        client.submit(f"{address}/discard")
    page = client.get("/stock/stocktakes")
    assert [row.find("a").text for row in page.all("tbody tr")] == ["3", "2"]
    page = client.get(page.find("a[rel=next]")["href"])
    assert [row.find("a").text for row in page.all("tbody tr")] == ["1"]


def test_the_rows_of_a_stocktake_go_on_from_page_to_page(
    client: WebClient, article: Article, left: Article, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B28."""
    monkeypatch.setattr("blueprints.stocktakes.ROWS", 1)
    address = start(client)
    for code in ("T-1", "M-1"):
        page = client.submit(FORM, scan=code)
    assert counted(page)[0][0] == "M-1"
    page = client.get(page.find("a[rel=next]")["href"])
    assert counted(page)[0][0] == "T-1"
    monkeypatch.setattr("blueprints.stocktakes.MOST_SHOWN", 0)
    assert "De första 0 visas; filen har alla." in client.get(f"{address}/report").text
    with reading() as session:
        assert stocktake_report.count_of(session, 1) == 2
