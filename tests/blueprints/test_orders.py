"""The order list, its file, the order's page and the Klarna panel, as a browser sees them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

import clock
from db import writing
from klarna_sandbox.control import Control
from models import Order
from services import order_list, orders
from services.gateway import Gateway
from states import DocState, DocType, KlarnaStatus, OpState
from tests import worlds
from tests.builders import FREIGHT, a_customer, a_delivery, an_order, row
from tests.services.order_rows import a_document, an_operation
from tests.web_client import Page, WebClient


@pytest.fixture
@worlds.kept
def order(app: Flask, sandbox: Control, klarna: Gateway) -> Order:
    """An order of two shirts and freight, paid with Klarna, with the same truth at the sandbox."""
    with writing() as session:
        return an_order(session, sandbox, klarna, lines=[row(pieces=2), row("Frakt", 4_900, kind=FREIGHT)])


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return client.log_in("clerk")


# --- The list ------------------------------------------------------------------------------------------------------------


def test_the_list_shows_an_order_with_its_two_icons(order: Order, clerk_client: WebClient) -> None:
    """F4, B17: reachable by keyboard and named."""
    page = clerk_client.get("/orders")
    assert page.status == 200
    cells = [cell.text for cell in page.all("tbody tr td")]
    assert cells[1].startswith(str(order.number))
    assert "1 047,00" in cells[5].replace("\u00a0", " ").replace("\u202f", " ")
    assert page.find(f"a[href=/orders/{order.id}/invoice]")["aria-label"] == f"Skapa faktura för order {order.number}"
    assert page.find(f"a[href=/orders/{order.id}/deliver]")["aria-label"] == f"Leverera order {order.number}"
    assert page.has(".state-icon.reserved")


def test_a_row_with_nothing_left_has_no_icons(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        a_delivery(session, order)
        shares = orders.to_invoice(session, orders.get(session, order.id), delivered_only=True)
        a_document(session, order, shares, type_=DocType.DELIVERY, state=DocState.ISSUED)
        orders.refresh(session, order.id)
    page = clerk_client.get("/orders")
    assert not page.has("tbody td.icons a")


def test_the_list_says_when_a_reservation_expires(order: Order, clerk_client: WebClient) -> None:
    """F27, to the letter."""
    day = clock.today() + timedelta(days=6)
    with writing() as session:
        orders.get(session, order.id, lock=True).expires_at = clock.now() + timedelta(days=6)
    assert f"Går ut om 6 dagar, {day}" in clerk_client.get("/orders").text


def test_filters_are_links_with_counts_and_keep_the_search(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        a_delivery(session, order)
    page = clerk_client.get(f"/orders?q={order.number}")
    links = {link["href"]: link.text for link in page.all("ul.filters a")}
    assert len(links) == len(order_list.VIEWS)
    found = next(url for url in links if "view=not_invoiced" in url)
    assert links[found].endswith("1")
    shown = clerk_client.get(found)
    assert shown.has(f"a[href=/orders/{order.id}]")
    assert shown.find("#orders-q")["value"] == str(order.number)
    assert not clerk_client.get("/orders?view=to_deliver").has("tbody")


def test_a_viewer_sees_the_list_with_locked_icons(order: Order, client: WebClient) -> None:
    """B31: disabled with the reason."""
    page = client.log_in("viewer").get("/orders")
    assert not page.has(f"a[href=/orders/{order.id}/invoice]")
    assert [each.get("aria-disabled") for each in page.all("td.icons button")] == ["true", "true"]


def test_the_list_is_kept_from_who_is_not_logged_in(order: Order, client: WebClient) -> None:
    assert "/login" in client.get("/orders").url
    assert "/login" in client.get("/orders.csv").url


def test_the_list_comes_as_a_part_for_htmx(order: Order, clerk_client: WebClient) -> None:
    part = clerk_client.get("/orders", htmx=True)
    assert part.element.tag != "html"
    assert part.has(f"a[href=/orders/{order.id}]")


@pytest.mark.parametrize(
    "query",
    ["view=;drop", "sort=;drop", "rows=1000000000", "rows=-1", "after=x", "q=%00%25_\\", "view=all&view=refused"],
)
def test_nonsense_in_the_address_shows_the_list_as_it_begins(order: Order, clerk_client: WebClient, query: str) -> None:
    """Catalogue 19 and 22."""
    assert clerk_client.get(f"/orders?{query}").status == 200


def test_the_list_is_paged_by_thirty_fifty_or_a_hundred(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        customer = a_customer(session)
        for _ in range(31):
            an_order(session, lines=[row("Frakt", 4_900, kind=FREIGHT)], customer=customer)
    first = clerk_client.get("/orders?sort=number")
    assert len(first.all("tbody tr")) == 30
    second = clerk_client.get(first.find(".pager a[rel=next]")["href"])
    assert len(second.all("tbody tr")) == 2
    assert len(clerk_client.get(second.find(".pager a[rel=prev]")["href"]).all("tbody tr")) == 30
    assert len(clerk_client.get("/orders?rows=50").all("tbody tr")) == 32


def test_an_empty_list_says_how_orders_come(clerk_client: WebClient) -> None:
    assert clerk_client.get("/orders").has(".empty")
    assert clerk_client.get("/orders?q=9999").has(".empty")


def test_the_file_holds_the_filtered_list_and_no_formula(order: Order, clerk_client: WebClient) -> None:
    """Catalogue 60."""
    with writing() as session:
        an_order(session, lines=1, customer=a_customer(session, "=HYPERLINK(1)"), shop_number="@SUM(1)")
    file = clerk_client.get("/orders.csv?sort=number")
    text = file.body.decode("utf-8-sig")
    assert file.headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
    assert text.splitlines()[1].startswith(f"{order.number};")
    assert ";1047.00;SEK;" in text
    assert ";'@SUM(1);" in text
    assert ";'=HYPERLINK(1);" in text


def test_the_ticked_orders_come_as_a_file(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        other = an_order(session)
    page = clerk_client.get("/orders")
    assert {box["value"] for box in page.all("input[name=selected][form=chosen]")} == {str(order.id), str(other.id)}
    lines = (
        clerk_client.get(f"/orders.csv?ticked=1&selected={order.id}&selected=x").body.decode("utf-8-sig").splitlines()
    )
    assert [line.split(";")[0] for line in lines[1:]] == [str(order.number)]
    none = clerk_client.get("/orders.csv?ticked=1")
    assert none.status == 422
    assert "Kryssa i ordrarna först" in none.text


def test_every_head_that_sorts_leads_to_a_sorted_list(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        an_order(session, customer=a_customer(session, "Aina Åberg"))
    page = clerk_client.get("/orders")
    heads = {head["href"] for head in page.all("thead th a")}
    assert heads == {"/orders?sort=number", "/orders?sort=-date", "/orders?sort=customer", "/orders?sort=-total"}
    for href in heads:
        shown = clerk_client.get(href)
        assert len(shown.all("tbody tr")) == 2
        assert len(shown.all("th[aria-sort]")) == 1


def test_a_stopped_order_stands_in_the_list_with_its_icons_off(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        held = orders.get(session, order.id, lock=True)
        held.hold_reason, held.held_at = "FRAUD_STOPPED", clock.now()
    page = clerk_client.get("/orders?view=held")
    assert page.has(f"a[href=/orders/{order.id}]")
    assert [each.get("aria-disabled") for each in page.all("td.icons button")] == ["true", "true"]
    assert "Stoppade av Klarna" in page.find("tbody").text


def test_a_change_of_the_list_is_not_accepted(clerk_client: WebClient) -> None:
    assert clerk_client.post("/orders").status == 405
    assert clerk_client.post("/orders.csv").status == 405


# --- The page ------------------------------------------------------------------------------------------------------------


def test_the_page_shows_rows_and_the_reservation(order: Order, clerk_client: WebClient) -> None:
    """F3, F15."""
    page = clerk_client.get(f"/orders/{order.id}")
    assert page.status == 200
    assert page.find(f"a[href=/orders/{order.id}/invoice]").text == "Skapa faktura"
    assert str(order.klarna_reference) in page.find("#klarna").text
    assert str(order.klarna_order_id) in page.find("#klarna").text
    assert "T-shirt" in page.text
    assert page.has("#klarna .bar")
    assert not page.has("#klarna[data-poll]")


def test_a_green_banner_says_that_klarna_agrees(order: Order, clerk_client: WebClient) -> None:
    banner = clerk_client.get(f"/orders/{order.id}").find("#klarna .banner")
    assert "ok" in banner["class"]


def test_an_amber_banner_says_what_differs(order: Order, sandbox: Control, clerk_client: WebClient) -> None:
    with writing() as session:
        orders.get(session, order.id, lock=True).captured_minor = 49_900
    banner = clerk_client.get(f"/orders/{order.id}").find("#klarna .banner")
    assert "warn" in banner["class"]
    assert "499,00" in banner.text


def test_when_all_is_invoiced_the_button_is_off_and_says_so(order: Order, clerk_client: WebClient) -> None:
    """F3, to the letter."""
    with writing() as session:
        shares = orders.to_invoice(session, orders.get(session, order.id), delivered_only=False)
        a_document(session, order, shares, state=DocState.ISSUED)
        orders.refresh(session, order.id)
    page = clerk_client.get(f"/orders/{order.id}")
    assert not page.has(f"a[href=/orders/{order.id}/invoice]")
    assert "Allt på ordern är fakturerat." in page.find("#order-menu").text


def test_an_order_is_marked_as_invoiced_only_when_nothing_of_it_waits_for_klarna(
    order: Order, clerk_client: WebClient
) -> None:
    """F23: the rows are held by an invoice whose activation is not proved."""
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        invoice = a_document(session, found, orders.to_invoice(session, found, delivered_only=False))
        an_operation(session, found, OpState.UNKNOWN, document=invoice)
        orders.refresh(session, order.id)
    heading = clerk_client.get(f"/orders/{order.id}")
    assert "Väntar på Klarna" in heading.find("#order-h").text and not heading.has("#order-h .pill.ok")
    assert "Fakturerad" not in heading.find("#order-h").text
    assert "Okänt svar" in heading.find("section[aria-labelledby=documents-h]").text


def test_after_a_part_delivery_every_row_with_something_left_is_on_back_order_as_on_the_delivery_note(
    app: Flask, clerk_client: WebClient
) -> None:
    """B25: also the row of which nothing has left; before the first delivery no row is."""
    with writing() as session:
        order = an_order(session, lines=[row(pieces=2), row("Keps"), row("Mugg")])
        shirt, _cap, mug = (line.id for line in order.lines)

    def marked(page: Page) -> list[str]:
        return [each.text for each in page.all("#order-rows tbody tr") if "Restorder" in each.text]

    assert marked(clerk_client.get(f"/orders/{order.id}")) == []
    with writing() as session:
        a_delivery(session, order, {shirt: 1000, mug: 1000})
    names = marked(clerk_client.get(f"/orders/{order.id}"))
    assert len(names) == 2 and "Keps" in names[1]
    note = clerk_client.get(f"/orders/{order.id}/deliveries/1/note").text.rpartition("Restorder")[2]
    assert "Keps" in note and "Mugg" not in note
    with writing() as session:
        a_delivery(session, order)
    assert marked(clerk_client.get(f"/orders/{order.id}")) == []


def test_an_expired_reservation_turns_the_buttons_off(order: Order, clerk_client: WebClient) -> None:
    """F27, to the letter."""
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        found.klarna_status, day = KlarnaStatus.EXPIRED, clock.local_date(found.expires_at or clock.now())
        orders.refresh(session, order.id)
    page = clerk_client.get(f"/orders/{order.id}")
    sentence = f"Reservationen gick ut {day}. Kontakta Klarna om den kan förnyas."
    assert sentence in page.find("#order-menu").text
    assert sentence in page.find("#klarna").text
    assert [each["href"] for each in page.all("#order-menu a.button")] == [f"/orders/{order.id}/cancel"]


def test_the_panel_asks_for_itself_while_an_answer_is_awaited(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        found = orders.get(session, order.id)
        document = a_document(session, found)
        operation = an_operation(session, found, OpState.UNKNOWN, document=document)
        orders.refresh(session, order.id)
    page = clerk_client.get(f"/orders/{order.id}")
    assert page.find("#klarna")["hx-get"] == f"/orders/{order.id}"
    assert f"Vänta på Klarnas svar om faktura {document.number}" in page.find("#order-menu").text
    part = clerk_client.get(f"/orders/{order.id}", htmx="klarna")
    assert part.element.tag != "html"
    assert part.has("#klarna[data-poll]")
    assert not part.has("#order-body")
    with writing() as session:
        session.get_one(type(operation), operation.id).state = OpState.CONFIRMED
        session.flush()
        orders.refresh(session, order.id)
    settled = clerk_client.get(f"/orders/{order.id}", htmx="klarna")
    assert not settled.has("#klarna[data-poll]")
    assert settled.find("#order-body")["hx-swap-oob"] == "true"


def test_the_page_tells_the_history(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        a_delivery(session, order, carrier="PostNord", tracking_number="1Z", tracking_uri="https://a.se/1Z")
    page = clerk_client.get(f"/orders/{order.id}")
    assert "Huvudlagret" in page.find("ol.timeline").text
    assert page.find("#deliveries a[href=https://a.se/1Z]").text == "1Z"


def test_a_viewer_sees_no_mail_phone_or_buttons(order: Order, client: WebClient) -> None:
    """Security 2."""
    page = client.log_in("viewer").get(f"/orders/{order.id}")
    assert "kund1@example.com" not in page.html
    assert "+46765260000" not in page.html
    assert not page.has("#order-menu a.button")
    assert "Kräver Handläggare eller Ekonomi." in page.find("#order-menu").text


@pytest.mark.parametrize("number", ["0", "-1", "4711", "9" * 30, "1e3", "٣", "..%2f"])
def test_an_unknown_order_is_not_found(clerk_client: WebClient, number: str) -> None:
    """Catalogue 18."""
    assert clerk_client.get(f"/orders/{number}").status == 404


# --- Reading Klarna anew ------------------------------------------------------------------------------------------------


def test_refresh_reads_klarna_and_changes_nothing_there(
    order: Order, sandbox: Control, clerk_client: WebClient
) -> None:
    with writing() as session:
        orders.get(session, order.id, lock=True).remaining_minor = 1
    clerk_client.get(f"/orders/{order.id}")
    page = clerk_client.submit(f"/orders/{order.id}/look")
    assert (page.status, page.url.endswith(f"/orders/{order.id}")) == (200, True)
    with writing() as session:
        assert orders.get(session, order.id).remaining_minor == orders.total(orders.get(session, order.id))


def test_refresh_answers_htmx_with_the_panel(order: Order, clerk_client: WebClient) -> None:
    clerk_client.get(f"/orders/{order.id}")
    part = clerk_client.submit(f"/orders/{order.id}/look", htmx="klarna")
    assert part.status == 200
    assert part.has("#klarna")
    assert "order-changed" in part.events


def test_refresh_is_for_who_works_with_orders(order: Order, client: WebClient) -> None:
    client.log_in("viewer").get("/orders")
    assert client.post(f"/orders/{order.id}/look").status == 403


def test_refresh_of_what_is_not_there_or_has_no_reservation(order: Order, clerk_client: WebClient) -> None:
    with writing() as session:
        plain = an_order(session)
    assert clerk_client.post("/orders/4711/look").status == 404
    assert clerk_client.post(f"/orders/{plain.id}/look").status == 409
    assert clerk_client.get(f"/orders/{order.id}/look").status == 405
