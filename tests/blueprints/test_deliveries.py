"""The delivery page: by hand, by scan, with and without going on to the invoice, as a browser sends it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from klarna_sandbox.control import Control
from models import Article, Delivery, KlarnaOp, Order
from services import deliveries, orders, stock
from services.gateway import Gateway
from tests import worlds
from tests.builders import CLERK, FREIGHT, a_delivery, a_warehouse, an_article, an_order, row
from tests.web_client import Page, WebClient

FORM = "#deliver form"


@pytest.fixture
@worlds.kept
def order(app: Flask, sandbox: Control, klarna: Gateway) -> Order:
    """Two shirts and a cap with a GTIN, and freight, paid with Klarna; ten of each in stock."""
    with writing() as session:
        shirt = an_article(session, number="7001", stock_milli=10_000)
        cap = an_article(session, "Keps", 29_900, number="7002", gtin="7312345678906", stock_milli=10_000)
        lines = [row(article=shirt, pieces=2), row(article=cap), row("Frakt", 4_900, kind=FREIGHT)]
        return an_order(session, sandbox, klarna, lines=lines)


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return client.log_in("clerk")


def _name(order: Order, place: int = 0) -> str:
    return f"quantity_{order.lines[place].id}"


def _typed(page: Page, order: Order) -> list[str]:
    return [page.find(f"input[name={_name(order, place)}]")["value"] for place in (0, 1)]


def _made(order: Order) -> list[tuple[int, dict[int, int]]]:
    with reading() as session:
        return [
            (each.ordinal, {line.order_line_id: line.quantity_milli for line in each.lines})
            for each in deliveries.listing(session, order.id)
        ]


def _address(order: Order) -> str:
    return f"/orders/{order.id}/deliver"


def test_the_page_is_prefilled_with_what_is_left_and_stores_nothing(order: Order, clerk_client: WebClient) -> None:
    """B24."""
    page = clerk_client.get(_address(order))
    assert _typed(page, order) == ["2", "1"]
    assert page.find("h1").text == f"Leverera order {order.number}"
    assert [button.text for button in page.all("#deliver .actions button")] == ["Leverera", "Leverera och fakturera"]
    assert _made(order) == []


def test_delivering_says_that_klarna_pays_when_it_is_invoiced(
    order: Order, sandbox: Control, clerk_client: WebClient
) -> None:
    """F20, F21, to the letter; nothing is sent."""
    clerk_client.get(_address(order))
    page = clerk_client.submit(FORM, press="then=deliver")
    assert page.url.endswith(f"/orders/{order.id}")
    assert "Levererad men inte fakturerad. Klarna betalar först när fakturan är skapad." in page.find("#messages").text
    assert _made(order) == [(1, {order.lines[0].id: 2000, order.lines[1].id: 1000})]
    with reading() as session:
        article = session.scalars(sa.select(Article).where(Article.number == "7001")).one()
        assert stock.balance(session, article.id) == 8_000
        assert session.scalar(sa.select(sa.func.count()).select_from(KlarnaOp)) == 0


def test_delivering_an_order_without_klarna_says_that_it_is_done(app: Flask, clerk_client: WebClient) -> None:
    with writing() as session:
        order = an_order(session)
    clerk_client.get(_address(order))
    page = clerk_client.submit(FORM, press="then=deliver")
    assert page.find("#messages").text == "Leverans 1 är registrerad."


def test_deliver_and_invoice_goes_on_to_the_last_step(order: Order, clerk_client: WebClient) -> None:
    """F5."""
    clerk_client.get(_address(order))
    page = clerk_client.submit(FORM, press="then=invoice", follow=False)
    assert (page.status, page.headers["Location"]) == (303, f"/orders/{order.id}/invoice")
    assert len(_made(order)) == 1


@pytest.mark.parametrize(("then", "ending"), [("deliver", ""), ("invoice", "/invoice")])
def test_a_delivery_sent_by_htmx_leads_on(order: Order, clerk_client: WebClient, then: str, ending: str) -> None:
    clerk_client.get(_address(order))
    answer = clerk_client.submit(FORM, press=f"then={then}", htmx="deliver")
    assert answer.headers["HX-Redirect"] == f"/orders/{order.id}{ending}"
    assert len(_made(order)) == 1


def test_a_part_delivery_carries_its_tracking(order: Order, clerk_client: WebClient) -> None:
    """B25."""
    with writing() as session:
        other = a_warehouse(session, "SYD", "Södra")
        for article in session.scalars(sa.select(Article)):
            stock.adjust(session, CLERK, article.id, other.id, 5_000, "inleverans")
    clerk_client.get(_address(order))
    typed = {_name(order): "1,0", _name(order, 1): "0", "warehouse_id": other.id, "carrier": "PostNord"}
    page = clerk_client.submit(
        FORM,
        press="then=deliver",
        tracking_number="1Z",
        tracking_uri="https://a.se/1Z",
        **typed,
    )
    assert page.status == 200
    with reading() as session:
        made = session.scalars(sa.select(Delivery)).one()
        assert (made.warehouse_id, made.carrier, made.tracking_number) == (other.id, "PostNord", "1Z")
    again = clerk_client.get(_address(order))
    assert _typed(again, order) == ["1", "1"]
    assert again.find("select option[selected]")["value"] == str(other.id)


# --- Scanning ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["7002", " 7002 ", "7312345678906", "07312345678906"])
def test_each_scan_of_number_or_gtin_adds_one(order: Order, clerk_client: WebClient, code: str) -> None:
    """B24."""
    clerk_client.get(f"{_address(order)}?from=zero")
    page = clerk_client.submit(FORM, press="then=scan", scan=code)
    assert page.status == 200
    assert _typed(page, order) == ["0", "1"]
    assert page.find("input[name=scan]")["value"] == ""
    assert _made(order) == []


def test_scans_add_up_and_keep_what_was_typed(order: Order, clerk_client: WebClient) -> None:
    page = clerk_client.get(f"{_address(order)}?from=zero")
    for wanted in ("1", "2"):
        page = clerk_client.submit(FORM, press="then=scan", page=page, scan="7001", carrier="DHL")
        assert _typed(page, order)[0] == wanted
    assert page.find("input[name=carrier]")["value"] == "DHL"
    sent = clerk_client.submit(FORM, press="then=deliver", page=page)
    assert sent.url.endswith(f"/orders/{order.id}")
    assert _made(order) == [(1, {order.lines[0].id: 2000})]


def test_the_first_scan_counts_from_zero_and_a_wrong_one_leaves_the_rows(order: Order, clerk_client: WebClient) -> None:
    page = clerk_client.get(_address(order))
    assert _typed(page, order) == ["2", "1"]
    page = clerk_client.submit(FORM, press="then=scan", page=page, scan="7310")
    assert _typed(page, order) == ["2", "1"]
    for wanted in (["1", "0"], ["2", "0"]):
        page = clerk_client.submit(FORM, press="then=scan", page=page, scan="7001")
        assert _typed(page, order) == wanted
    page = clerk_client.submit(FORM, press="then=scan", page=page, scan="7001")
    assert "Raden har 2 kvar att leverera." in page.text
    assert _typed(page, order) == ["2", "0"]


def test_a_scan_adds_to_what_was_typed(order: Order, clerk_client: WebClient) -> None:
    clerk_client.get(_address(order))
    page = clerk_client.submit(FORM, press="then=scan", scan="7002", **{_name(order): "1", _name(order, 1): "0"})
    assert _typed(page, order) == ["1", "1"]


def test_a_scan_answers_htmx_with_the_form(order: Order, clerk_client: WebClient) -> None:
    clerk_client.get(f"{_address(order)}?from=zero")
    part = clerk_client.submit(FORM, press="then=scan", scan="7001", htmx="deliver")
    assert part.element.tag != "html"
    assert _typed(part, order) == ["1", "0"]
    assert "autofocus" in part.find("input[name=scan]").element.attrib


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("7310", 409, "Artikel 7310 finns inte på ordern."),
        ("7001", 409, "Raden har 2 kvar att leverera."),
        ("", 422, "Skanna eller skriv ett artikelnummer."),
    ],
)
def test_a_wrong_scan_is_refused_beeps_keeps_the_rows_and_makes_way_for_the_next(
    order: Order, clerk_client: WebClient, code: str, status: int, sentence: str
) -> None:
    """B24, to the letter."""
    clerk_client.get(f"{_address(order)}?from=zero")
    full = {_name(order): "2", _name(order, 1): "1"}
    part = clerk_client.submit(FORM, press="then=scan", scan=code, htmx="deliver", **full)
    assert part.status == status
    assert sentence in part.text
    assert "beep" in part.events
    assert _typed(part, order) == ["2", "1"]
    assert part.find("input[name=scan]")["value"] == ""


def test_codes_that_were_not_counted_stay_listed_while_somebody_scans_on(order: Order, clerk_client: WebClient) -> None:
    """B24: the sentence of a wrong code is gone with the next right one; what it was is not, until it is dealt with."""
    page = clerk_client.get(f"{_address(order)}?from=zero")
    for code in ("7310", "7001", "<b>", "7001"):
        page = clerk_client.submit(FORM, press="then=scan", page=page, scan=code)
    assert _typed(page, order)[0] == "2"
    assert "Inte räknat: 7310, <b>." in page.text
    page = clerk_client.submit(FORM, press="then=forget", page=page)
    assert "Inte räknat" not in page.text and _typed(page, order)[0] == "2" and _made(order) == []


@pytest.mark.parametrize("then", ["deliver", "invoice"])
def test_goods_do_not_leave_over_codes_that_were_not_counted_until_somebody_says_so(
    order: Order, clerk_client: WebClient, then: str
) -> None:
    """B24: without a script too; the codes are named, and the box is of these codes and no others."""
    page = clerk_client.get(f"{_address(order)}?from=zero")
    for code in ("7001", "7310", "<b>"):
        page = clerk_client.submit(FORM, press="then=scan", page=page, scan=code)
    refused = clerk_client.submit(FORM, press=f"then={then}", page=page)
    assert refused.status == 409 and _made(order) == []
    assert "Koder är skannade som inte är räknade: 7310, <b>." in refused.find("#without-error").text
    assert _typed(refused, order) == ["1", "0"] and "Inte räknat: 7310, <b>." in refused.text
    again = clerk_client.submit(FORM, press="then=scan", page=refused, scan="7002", without=True)
    assert not again.has("#without[checked]") and _typed(again, order) == ["1", "1"]
    answer = clerk_client.submit(FORM, press=f"then={then}", page=again, without=True, follow=False)
    assert answer.status == 303
    assert _made(order) == [(1, {order.lines[0].id: 1000, order.lines[1].id: 1000})]


def test_a_list_of_codes_that_is_cleared_asks_nothing(order: Order, clerk_client: WebClient) -> None:
    """B24."""
    page = clerk_client.get(f"{_address(order)}?from=zero")
    for code in ("7001", "7310"):
        page = clerk_client.submit(FORM, press="then=scan", page=page, scan=code)
    page = clerk_client.submit(FORM, press="then=forget", page=page)
    assert not page.has("#without")
    assert clerk_client.submit(FORM, press="then=deliver", page=page, follow=False).status == 303


@pytest.mark.parametrize("wrong", [{"scan": "9" * 101}, {"scan": "7001", "carrier": "x" * 101}])
def test_a_scan_beside_something_wrong_is_heard_listed_and_makes_way(
    order: Order, clerk_client: WebClient, wrong: dict[str, str]
) -> None:
    clerk_client.get(f"{_address(order)}?from=zero")
    part = clerk_client.submit(FORM, press="then=scan", htmx="deliver", **wrong)
    assert part.status == 422 and "beep" in part.events and part.find("input[name=scan]")["value"] == ""
    assert f"Inte räknat: {wrong['scan'][:100]}" in part.text


def test_nothing_is_delivered_unless_a_button_says_so(order: Order, clerk_client: WebClient) -> None:
    """A form sent without any button, as by a script or an old browser's Enter, counts what was scanned."""
    clerk_client.get(_address(order))
    assert clerk_client.submit(FORM, scan="7001").status == 200
    assert _made(order) == []


# --- Refusals ------------------------------------------------------------------------------------------------------------


def test_more_than_ordered_is_refused_and_the_form_keeps_its_input(order: Order, clerk_client: WebClient) -> None:
    """B24, to the letter; catalogue 42."""
    with writing() as session:
        a_delivery(session, order, {order.lines[0].id: 1000})
    clerk_client.get(_address(order))
    page = clerk_client.submit(FORM, press="then=deliver", carrier="DHL", **{_name(order): "3"})
    assert page.status == 409
    assert "Raden har 1 kvar att leverera." in page.text
    assert page.find(f"input[name={_name(order)}]")["value"] == "3"
    assert page.find("input[name=carrier]")["value"] == "DHL"
    assert len(_made(order)) == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("quantity", "1e3", "0–9"),
        ("quantity", "-1", "Antalet kan inte vara mindre än 0."),
        ("quantity", "1,2345", "Antal får ha högst tre decimaler."),
        ("tracking_uri", "javascript:alert(1)", ""),
        ("tracking_uri", "https://a:b@c.se", ""),
        ("tracking_uri", "https://" + "a" * 2000, ""),
        ("carrier", "x" * 101, ""),
    ],
)
def test_what_cannot_be_read_gives_the_form_back(
    order: Order, clerk_client: WebClient, field: str, value: str, sentence: str
) -> None:
    """Catalogue 2-5, 43."""
    clerk_client.get(_address(order))
    name = _name(order) if field == "quantity" else field
    page = clerk_client.submit(FORM, press="then=deliver", **{name: value})
    assert page.status == 422
    assert page.find(f"[name={name}]")["value"] == value
    assert page.find(f"[name={name}]")["aria-invalid"] == "true"
    assert sentence in page.text
    assert _made(order) == []


def test_nothing_chosen_is_refused(order: Order, clerk_client: WebClient) -> None:
    clerk_client.get(f"{_address(order)}?from=zero")
    page = clerk_client.submit(FORM, press="then=deliver")
    assert page.status == 422
    assert "Inget är valt att leverera. Inget har sparats." in page.text


def test_a_foreign_warehouse_is_refused(order: Order, clerk_client: WebClient) -> None:
    page = clerk_client.get(_address(order))
    form = page.form(FORM)
    answer = clerk_client.post(_address(order), {**form.values.to_dict(), "warehouse_id": "999", "then": "deliver"})
    assert answer.status == 422
    assert _made(order) == []


def test_rows_of_other_orders_and_freight_are_not_read(order: Order, clerk_client: WebClient) -> None:
    """Catalogue 10 and 12: what is not a field of the form is ignored."""
    with writing() as session:
        other = an_order(session)
    form = clerk_client.get(_address(order)).form(FORM)
    added = {_name(other): "1", f"quantity_{order.lines[2].id}": "1", "state": "x", "then": "deliver"}
    clerk_client.post(_address(order), {**form.values.to_dict(), **added})
    assert _made(order) == [(1, {order.lines[0].id: 2000, order.lines[1].id: 1000})]
    assert _made(other) == []


def test_an_order_under_review_shows_why_and_refuses(order: Order, clerk_client: WebClient) -> None:
    """B21, to the letter."""
    clerk_client.get(_address(order))
    with writing() as session:
        orders.get(session, order.id, lock=True).fraud_status = "PENDING"
    page = clerk_client.submit(FORM, press="then=deliver")
    assert page.status == 409
    assert "Klarna granskar köpet. Leverera och fakturera inte ännu." in page.text
    drawn = clerk_client.get(_address(order))
    assert [each.get("aria-disabled") for each in drawn.all("#deliver .actions button")] == ["true", "true"]
    assert _made(order) == []


def test_stock_that_is_not_there_is_not_delivered(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        empty = a_warehouse(session, "SYD", "Södra")
    clerk_client.get(_address(order))
    page = clerk_client.submit(FORM, press="then=deliver", warehouse_id=empty.id)
    assert page.status == 409
    assert _made(order) == []


# --- Twice, by whom, how --------------------------------------------------------------------------------------------------


def test_the_same_form_sent_twice_is_one_delivery(order: Order, clerk_client: WebClient) -> None:
    """Operations 12: double click, reload, Back and send again."""
    page = clerk_client.get(_address(order))
    for _ in range(2):
        answer = clerk_client.submit(FORM, press="then=deliver", page=page, follow=False, **{_name(order): "1"})
        assert (answer.status, answer.headers["Location"]) == (303, f"/orders/{order.id}")
    assert len(_made(order)) == 1


def test_the_same_form_with_other_values_is_refused(order: Order, clerk_client: WebClient) -> None:
    page = clerk_client.get(_address(order))
    clerk_client.submit(FORM, press="then=deliver", page=page, **{_name(order): "1"})
    answer = clerk_client.submit(FORM, press="then=deliver", page=page, **{_name(order): "2"})
    assert answer.status == 409
    assert len(_made(order)) == 1


@pytest.mark.parametrize("nonce", [None, "", "x", "0" * 32])
def test_a_form_without_its_nonce_is_not_ours(order: Order, clerk_client: WebClient, nonce: str | None) -> None:
    """Catalogue 15."""
    form = clerk_client.get(_address(order)).form(FORM)
    values = {**form.values.to_dict(), "then": "deliver"}
    values.pop("nonce")
    answer = clerk_client.post(_address(order), values if nonce is None else {**values, "nonce": nonce})
    assert answer.status == 400
    assert _made(order) == []


def test_anothers_form_is_refused(order: Order, app: Flask, clerk_client: WebClient) -> None:
    values = clerk_client.get(_address(order)).form(FORM).values.to_dict()
    other = WebClient(app).log_in("finance")
    other.get(_address(order))
    values.pop("csrf_token")
    assert other.post(_address(order), {**values, "then": "deliver"}).status == 403
    assert _made(order) == []


def test_a_form_of_another_order_is_not_taken_for_this_one(order: Order, app: Flask, clerk_client: WebClient) -> None:
    with writing() as session:
        other = an_order(session)
    values = clerk_client.get(_address(other)).form(FORM).values.to_dict()
    assert clerk_client.post(_address(order), {**values, "then": "deliver"}).status == 400


def test_delivering_is_for_clerks_and_finance(order: Order, client: WebClient) -> None:
    client.log_in("viewer").get("/orders")
    assert client.get(_address(order)).status == 403
    assert client.post(_address(order)).status == 403


def test_without_the_token_nothing_is_delivered(order: Order, clerk_client: WebClient) -> None:
    form = clerk_client.get(_address(order)).form(FORM)
    values = {**form.values.to_dict(), "then": "deliver"}
    values.pop("csrf_token")
    assert clerk_client.post(_address(order), values, csrf=False).status == 400
    assert _made(order) == []


@pytest.mark.parametrize("number", ["0", "4711", "9" * 30])
def test_the_delivery_of_an_unknown_order_is_not_found(clerk_client: WebClient, number: str) -> None:
    assert clerk_client.get(f"/orders/{number}/deliver").status == 404
