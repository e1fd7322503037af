"""The last step, page, list and paper of an invoice (F2, F3, F6-F11, F13-F16, F19-F28, B10-B13, B21, B23), through the pages."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, Installation, Order, OrderLine, Voucher
from services import orders, verify
from services.gateway import Gateway
from states import DocState, DocType, LineKind
from tests.blueprints.document_pages import E1, a_new_order, booked, count, in_english
from tests.builders import a_captured_invoice, a_delivery, a_payment_method, an_invoice, an_order, row, the_document
from tests.services.settlement_parts import a_sale, fees
from tests.services.settlement_parts import booked as read_and_booked
from tests.web_client import Page, WebClient


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


def create(client: WebClient, order: Order, **how: Any) -> Page:
    client.get(f"/orders/{order.id}/invoice")
    return client.submit("#last-step form", **how)


# --- The last step -------------------------------------------------------------------------------------------------------


def test_the_last_step_shows_what_will_happen_and_does_nothing(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F6, F7, F8, F13, F14, F15: rows, VAT, reservation, the sentences; no number, nothing sent."""
    order = a_new_order(sandbox, klarna)
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert (
        f"Reservation {order.klarna_reference} will be activated with SEK 2,435.00 when the invoice is created."
        in page.text
    )
    assert "Once activated, the invoice is sold to Klarna. It cannot be changed or taken back" in page.text
    assert "Create invoice and activate SEK 2,435.00 at Klarna" in page.text
    assert "Number of deliveries: 1" in page.text and order.klarna_order_id in page.text
    assert len(page.all("#last-step tbody tr")) == 3 and not page.has("#last-step tbody input")
    assert not sandbox.posts() and not count(Document)


def test_the_press_captures_once_and_leads_to_the_issued_invoice(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F1, F7, F22, F23, F24 and golden voucher E1."""
    page = create(clerk_client, a_new_order(sandbox, klarna))
    (capture,) = sandbox.writes(operation="create_capture")
    assert capture["body"]["captured_amount"] == 243_500
    assert "Invoice 42580 has been created and activated at Klarna: SEK 2,435.00, Klarna's number " in page.text
    assert page.has(".state-icon.captured") and "Activated at Klarna through Kvitta" in page.text
    assert booked("invoice:42580") == {1510: 243_500, 3001: -191_760, 3520: -3_040, 2611: -48_700}


def test_two_deliveries_make_two_invoices_on_one_reservation(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F10, F26, F28 and golden vouchers E2: the captures add up to the order."""
    order = a_new_order(sandbox, klarna, deliver=False)
    with writing() as session:
        jacket = session.scalars(
            sa.select(OrderLine).where(OrderLine.order_id == order.id, OrderLine.position == 1)
        ).one()
        a_delivery(session, order, {jacket.id: 1000})
    assert "SEK 1,437.00" in create(clerk_client, order).text
    with writing() as session:
        a_delivery(session, order)
    create(clerk_client, order)
    assert booked("invoice:42580") == {1510: 143_700, 3001: -111_920, 3520: -3_040, 2611: -28_740}
    assert booked("invoice:42581") == {1510: 99_800, 3001: -79_840, 2611: -19_960}
    assert [each["body"]["captured_amount"] for each in sandbox.writes(operation="create_capture")] == [143_700, 99_800]


def test_the_type_follows_the_delivery_and_can_be_changed(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F10, F11: delivery invoice after a delivery, else final invoice with all that is left."""
    order = a_new_order(sandbox, klarna, deliver=False)
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert page.find("input[name=type]")["value"] == "final" and "Number of deliveries: 0" in page.text
    with writing() as session:
        line = session.scalars(
            sa.select(OrderLine).where(OrderLine.order_id == order.id, OrderLine.position == 2)
        ).one()
        a_delivery(session, order, {line.id: 1000})
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert page.find("input[name=type]")["value"] == "delivery" and "SEK 537.00" in page.text
    page = clerk_client.get(f"/orders/{order.id}/invoice?type=final")
    assert page.find("input[name=type]")["value"] == "final" and "SEK 2,435.00" in page.text
    clerk_client.submit("#last-step form")
    assert the_document(1).type is DocType.FINAL


def test_a_double_click_reload_and_back_give_one_invoice(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F7, operations 12: the same form again leads to the same invoice, with htmx and without."""
    order = a_new_order(sandbox, klarna)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    first = clerk_client.submit("#last-step form", page=drawn, follow=False)
    again = clerk_client.submit("#last-step form", page=drawn, follow=False)
    third = clerk_client.submit("#last-step form", page=drawn, htmx="last-step")
    assert first.status == again.status == 303 and first.headers["Location"] == again.headers["Location"]
    assert third.status == 204 and third.headers["HX-Redirect"] == first.headers["Location"]
    assert count(Document) == 1 and len(sandbox.posts(operation="create_capture")) == 1


def test_a_form_with_altered_figures_creates_nothing(
    app: Any, clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """Catalogue 15, 79: nonce, sum or version missing or altered."""
    order = a_new_order(sandbox, klarna)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    sent = dict(drawn.form("#last-step form").values)
    url = f"/orders/{order.id}/invoice"
    for changes, status in (
        ({"nonce": ""}, 400), ({"nonce": "abc"}, 400), ({"shown": ""}, 400), ({"shown": "1e3"}, 400), ({"version": "x"}, 400),
        ({"version": "²"}, 400),
        ({"accept": "x"}, 400), ({"shown": "243499"}, 409), ({"version": "99"}, 409), ({"type": "advance"}, 422),
        ({"type": ""}, 422),
    ):  # fmt: skip
        assert clerk_client.post(url, {**sent, **changes}).status == status, changes
    other = in_english(WebClient(app), "finance")
    other.get(url)
    assert other.post(url, {**sent, "csrf_token": other.csrf()}).status == 403
    assert not count(Document) and not sandbox.posts()


def test_an_order_that_was_changed_since_comes_back_with_both_sums(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """Operations 12: 409 with old and new figures, the form kept; nothing sent."""
    order = a_new_order(sandbox, klarna, deliver=False)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    with writing() as session:
        orders.get(session, order.id).lines[2].unit_price_minor = 4_800
    answer = clerk_client.submit("#last-step form", page=drawn)
    assert answer.status == 409 and "the sum was SEK 2,435.00 and is now SEK 2,445.00" in answer.text
    assert answer.find("input[name=shown]")["value"] == "244500" and not sandbox.posts()
    part = clerk_client.submit("#last-step form", page=drawn, htmx="last-step")
    assert part.status == 409 and part.element.get("id") == "last-step" or part.has("#last-step")


def test_more_than_is_left_of_the_reservation_is_refused(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F1: the sentence, a button that is off, and the server's own no."""
    order = a_new_order(sandbox, klarna)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    sandbox.portal_capture(order.klarna_order_id, 143_500)
    answer = clerk_client.submit("#last-step form", page=drawn)
    sentence = (
        "The invoice of SEK 2,435.00 is more than what is left of the reservation, SEK "
        "1,000.00. Nothing has been sent to Klarna."
    )
    assert answer.status == 409 and sentence in answer.text
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert page.has("#last-step form button[aria-disabled=true]") and sentence in page.text
    assert not count(Document) and not sandbox.posts(operation="create_capture")


def test_a_difference_comes_back_with_both_figures_and_a_tick(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """Operations 6: refused with what differs, sent with just that difference once it is ticked."""
    order = a_new_order(sandbox, klarna, deliver=False)
    with writing() as session:
        line = session.scalars(
            sa.select(OrderLine).where(OrderLine.order_id == order.id, OrderLine.position == 2)
        ).one()
        a_delivery(session, order, {line.id: 1000})
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    sandbox.portal_capture(order.klarna_order_id, 100)
    answer = clerk_client.submit("#last-step form", page=drawn)
    assert answer.status == 409 and "Klarna shows SEK 1.00 activated, Kvitta SEK 0.00" in answer.text
    assert not sandbox.posts(operation="create_capture")
    page = clerk_client.submit("#last-step form", page=answer, accept=True)
    assert "Invoice 42580 has been created and activated" in page.text


def test_klarna_that_cannot_be_reached_leaves_everything_as_it_was(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """Fault row 9: no number, nothing unknown; the page says so when it opens and when it is sent."""
    order = a_new_order(sandbox, klarna)
    with writing() as session:
        orders.get(session, order.id, lock=True).klarna_read_at = clock.now() - timedelta(minutes=2)
    sandbox.fault("drop_before", operation="get_order", times=0)
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert page.status == 200 and "Klarna could not be reached" in page.text
    answer = clerk_client.submit("#last-step form")
    assert (
        answer.status == 409
        and "Klarna could not be reached. Nothing has been sent and no number has been taken." in answer.text
    )
    assert not count(Document)


def test_an_old_reading_is_renewed_when_the_step_opens(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F14: the time of the reading; older than a minute means a new look."""
    order = a_new_order(sandbox, klarna)
    clerk_client.get(f"/orders/{order.id}/invoice")
    assert not sandbox.log(operation="get_order")
    with writing() as session:
        orders.get(session, order.id, lock=True).klarna_read_at = clock.now() - timedelta(minutes=2)
    clerk_client.get(f"/orders/{order.id}/invoice")
    assert len(sandbox.log(operation="get_order")) == 1


def test_an_ordinary_order_has_no_reservation_block_and_sends_nothing(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F2, F16: in its place the sentence with the reason."""
    with writing() as session:
        order = an_order(session)
        a_delivery(session, order)
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert (
        "Nothing is sent to Klarna for this invoice." in page.text and "Reservation" not in page.find("#last-step").text
    )
    page = clerk_client.submit("#last-step form")
    assert "Invoice 42580 has been created: SEK 499.00." in page.text and not sandbox.log()


def test_an_order_without_anything_left_says_so(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F3."""
    invoice = a_captured_invoice(klarna, sandbox)
    page = clerk_client.get(f"/orders/{invoice.order_id}/invoice")
    assert "Everything on the order has been invoiced." in page.text and not page.has("#last-step form")


def test_a_purchase_under_review_cannot_be_invoiced(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """B21."""
    order = a_new_order(sandbox, klarna, deliver=False, fraud_status="PENDING")
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert "Klarna is reviewing the purchase. Do not deliver or invoice yet." in page.text
    assert page.has("#last-step form button[aria-disabled=true]")
    assert clerk_client.submit("#last-step form").status == 409 and not sandbox.posts()


def test_the_step_needs_the_right_and_a_real_order(app: Any, client: WebClient, sandbox: Any, klarna: Any) -> None:
    """Security 2, catalogue 17, 18: 403, 404, 405 and the login."""
    order = a_new_order(sandbox, klarna)
    assert client.get(f"/orders/{order.id}/invoice").has("input[type=password]")
    client.log_in("viewer")
    assert client.get(f"/orders/{order.id}/invoice").status == 403
    assert client.post(f"/orders/{order.id}/invoice").status == 403
    client = WebClient(app).log_in("clerk")
    assert client.get("/orders/999/invoice").status == 404
    for method in ("PUT", "DELETE", "PATCH"):
        assert client.open(f"/orders/{order.id}/invoice", method=method).status in (400, 405)
    assert not count(Document)


def test_sending_that_is_switched_off_takes_no_number(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """Operations 15.1."""
    order = a_new_order(sandbox, klarna)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    with writing() as session:
        session.get_one(Installation, 1).sending_enabled = False
    assert clerk_client.submit("#last-step form", page=drawn).status == 409
    assert clerk_client.get(f"/orders/{order.id}/invoice").has("#last-step form button[aria-disabled=true]")
    assert not count(Document)


# --- The page and the paper ------------------------------------------------------------------------------------------------


def test_the_page_shows_what_was_frozen_and_where_it_stands(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F9, B13: Klarna's ids, the voucher, the history; frozen though the article is renamed."""
    invoice = a_captured_invoice(klarna, sandbox, lines=E1)
    with writing() as session:
        session.execute(sa.update(OrderLine).values(name="Något annat"))
    page = clerk_client.get(f"/invoices/{invoice.id}")
    assert "Jacka" in page.text and "Något annat" not in page.text
    assert "Voucher F1" in page.text and "Capture id" in page.text
    assert page.has("form[action=/invoices/1/credit]") and "Issued" in page.text
    part = clerk_client.get(f"/documents/{invoice.id}/panel", htmx=True)
    assert part.has("#outcome") and not part.has("main")


def test_an_issued_invoice_has_no_editing_by_address(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F6, K15, to the letter."""
    invoice = a_captured_invoice(klarna, sandbox)
    for act in ("edit", "delete"):
        answer = clerk_client.get(f"/invoices/{invoice.id}/{act}")
        assert (
            answer.status == 409
            and "The invoice has been sold to Klarna and is locked. Make a credit note instead." in answer.text
        )
        assert clerk_client.post(f"/invoices/{invoice.id}/{act}").status == 409
    with reading() as session:
        assert session.get_one(Document, invoice.id).version == invoice.version


@pytest.mark.parametrize("document_id", ["0", "999", "999999999999999999999999999999", "1e3", "٣", "-1"])
def test_an_unknown_invoice_is_not_there(clerk_client: WebClient, document_id: str) -> None:
    """Catalogue 18."""
    assert clerk_client.get(f"/invoices/{document_id}").status == 404
    assert clerk_client.get(f"/invoices/{document_id}/print").status == 404


def test_the_paper_has_what_the_law_asks_and_says_it_is_not_to_be_paid(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F19, B23, accounting 7: both numbers, VAT per rate, the seller's VAT number, no bankgiro; «Kopia» where asked."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[*E1, row("Bok", 10_600, rate=600)])
    page = clerk_client.get(f"/invoices/{invoice.id}/print")
    assert "Paid through Klarna – not to be paid to us" in page.text and "991-2346" not in page.text
    for text in (
        "42580",
        "SE559999000801",
        "559999-0008",
        "Stårgatan 1",
        "Claim sold to Klarna Bank AB",
        "6%",
        "100.00",
        "25%",
    ):
        assert text in page.text, text
    assert not page.has(".copy")
    assert clerk_client.get(f"/invoices/{invoice.id}/print?copy=1").find(".copy").text == "Copy"


def test_only_an_issued_invoice_is_printed(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """Catalogue 93."""
    order = a_new_order(sandbox, klarna)
    sandbox.fault("refuse", operation="create_capture")
    invoice = an_invoice(klarna, order)
    assert invoice.state is DocState.REFUSED
    assert clerk_client.get(f"/invoices/{invoice.id}/print").status == 409
    assert clerk_client.get(f"/invoices/{invoice.id}").has(".page-head [aria-disabled=true]")


def test_an_ordinary_invoice_is_printed_with_where_to_pay(clerk_client: WebClient) -> None:
    """F2."""
    with writing() as session:
        order = an_order(session)
        a_delivery(session, order)
    clerk_client.get(f"/orders/{order.id}/invoice")
    invoice = clerk_client.submit("#last-step form")
    page = clerk_client.get(f"{invoice.url}/print")
    assert "991-2346" in page.text and "To pay" in page.text and not page.has(".stamp")


# --- The list --------------------------------------------------------------------------------------------------------------


def test_the_list_opens_with_what_is_unpaid_and_one_click_shows_all(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """B10, B11, K8: newest first; the credit icon is a form at the far right."""
    first, second = (a_captured_invoice(klarna, sandbox) for _ in range(2))
    with writing() as session:
        session.get_one(Document, first.id).open_minor = 0
    page = clerk_client.get("/invoices")
    assert [each.text for each in page.all("tbody tr td a[data-open]")] == [second.number_text]
    shown_all = next(each["href"] for each in page.all("ul.filters a") if each.text.startswith("All"))
    page = clerk_client.get(shown_all)
    assert [each.text for each in page.all("tbody tr td a[data-open]")] == [second.number_text, first.number_text]
    assert page.has(".paid-full") and page.has(".paid-none") and page.has(".state-icon.captured")
    assert page.all("tbody tr")[0].all("td")[-1].has(f"form[action=/invoices/{second.id}/credit]")


def test_the_list_finds_by_every_number(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """B12, B13: number, order, reservation, Klarna's number, customer number and name, also when paid."""
    invoice = a_captured_invoice(klarna, sandbox)
    a_captured_invoice(klarna, sandbox)
    with reading() as session:
        document = session.get_one(Document, invoice.id)
        order, customer = document.order, document.customer
        assert order is not None
        words = [invoice.number_text, str(order.number), order.shop_number, order.klarna_reference, f"{order.klarna_reference}-1",
                 order.klarna_order_id]  # fmt: skip
        number = str(customer.number)
    for word in words:
        page = clerk_client.get(f"/invoices?q={word}")
        assert [each.text for each in page.all("td a[data-open]")] == [invoice.number_text], word
    assert number and len(clerk_client.get("/invoices?q=testperson").all("tbody tr")) == 2
    assert "Nothing fits." in clerk_client.get("/invoices?q=finns-inte").text


@pytest.mark.parametrize(
    "query",
    [
        "view=nonsense",
        "after=o",
        "after=o99999999999999999999",
        "after=x1",
        "rows=7",
        "sort=%00",
        "q=%27%20OR%201=1",
        "q=%25",
    ],
)
def test_a_made_up_address_of_the_list_is_harmless(clerk_client: WebClient, query: str) -> None:
    """Catalogue 19, 22."""
    assert clerk_client.get(f"/invoices?{query}").status == 200


def test_the_list_goes_on_by_keys_in_both_directions(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """B11: a page begins after the last row, and back again shows the same."""
    with writing() as session:
        order = an_order(session, lines=[row("Sak", 100, pieces=40)])
        a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    with writing() as session:
        made = session.get_one(Document, invoice.id)
        unlike = ("id", "number", "number_text", "ocr")
        names = [c.name for c in Document.__table__.columns if c.name not in unlike and not c.computed]
        session.execute(
            sa.insert(Document),
            [
                {n: getattr(made, n) for n in names} | {"number": 50_000 + n, "number_text": str(50_000 + n)}
                for n in range(40)
            ],
        )
    page = clerk_client.get("/invoices")
    assert len(page.all("tbody tr")) == 30 and not page.has("a[rel=prev]")
    older = clerk_client.get(page.find("a[rel=next]")["href"])
    assert len(older.all("tbody tr")) == 11 and not older.has("a[rel=next]")
    back = clerk_client.get(older.find("a[rel=prev]")["href"])
    assert [each.text for each in back.all("td a[data-open]")] == [each.text for each in page.all("td a[data-open]")]


def test_the_file_holds_the_list_and_no_formulas(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """Catalogue 60."""
    a_captured_invoice(klarna, sandbox)
    with writing() as session:
        session.execute(sa.text("UPDATE customer SET name = '=1+1'"))
        session.execute(sa.text("UPDATE payment_method SET name_en = 'Pay later', name_sv = 'Betala sen'"))
    answer = clerk_client.get("/invoices.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="invoices.csv"'
    rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig")), delimiter=";"))
    assert rows[1][0] == "42580" and rows[1][3:5] == ["Pay later", "'=1+1"] and rows[1][7:9] == ["499.00", "499.00"]


def test_the_last_step_and_the_outcome_in_swedish_to_the_letter(client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F6, F7, F13, F15, F22."""
    order = a_new_order(sandbox, klarna)
    page = client.log_in().get(f"/orders/{order.id}/invoice")
    for sentence in (
        f"Reservation {order.klarna_reference} aktiveras med 2 435,00 kr när fakturan skapas.",
        "När fakturan är aktiverad är den såld till Klarna. Den kan inte ändras eller tas tillbaka; rätta med en kreditfaktura.",
        "Skapa faktura och aktivera 2 435,00 kr hos Klarna",
        "Antal leveranser: 1",
    ):
        assert sentence in page.text
    page = client.submit("#last-step form")
    number = f"{order.klarna_reference}-1"
    assert f"Faktura 42580 är skapad och aktiverad hos Klarna: 2 435,00 kr, Klarnas nummer {number}." in page.text
    assert "Aktiverad hos Klarna via Kvitta" in page.find(".state-icon.captured")["aria-label"]


def test_the_history_of_a_paid_invoice_leads_to_its_payout_on_both_pages(
    app: Flask, client: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """Screens, invoice and order page: what came after the issue stands in both histories."""
    fees(sandbox, 0)
    invoice = a_sale(klarna, sandbox, 800_00)
    payout = read_and_booked(klarna, sandbox)
    client.log_in("clerk")
    for page, begins in (
        (client.get(f"/invoices/{invoice.id}"), "Betald genom"),
        (client.get(f"/orders/{invoice.order_id}"), f"Faktura {invoice.number_text}: betald genom"),
    ):
        told = next(each for each in page.all(".timeline li") if "etald genom utbetalning" in each.text)
        assert f"{begins} utbetalning {payout.payment_reference}, 800,00 kr" in told.text.replace("\u00a0", " ")
    assert client.get(f"/invoices/{invoice.id}").has(f".timeline a[href=/settlements/{payout.id}]")


def unbroken(page: Page) -> str:
    """The page as it was sent, labels and all, with plain blanks."""
    return page.body.decode().replace("\xa0", " ")


def test_an_order_below_zero_says_that_nothing_is_sent_and_is_what_we_owe_and_not_overpaid(
    app: Flask, klarna: Any, client: WebClient
) -> None:
    """K42: before and after, on paper and in the lists; what is owed is paid back by hand, once and with its voucher."""
    with writing() as session:
        order = an_order(session, lines=[row("T-shirt", 100_00), row("Rabatt", -300_00, kind=LineKind.DISCOUNT)])
        order.payment_method = a_payment_method(session)
        a_delivery(session, order)
    told = "Ordern är på −200,00 kr. Inget skickas till Klarna."
    before = client.log_in("finance").get(f"/orders/{order.id}/invoice")
    assert told in before.text and "inte kopplad" not in before.text
    assert "Klarna skickar sin faktura" not in before.text and "såld till Klarna" not in before.text
    after = client.submit("#create-form", page=before)
    assert told in after.text
    invoice_id = int(after.url.rsplit("/", 1)[1])
    page = client.get(f"/invoices/{invoice_id}")
    assert "Obetald: 200,00 kr" in unbroken(page) and "Överbetald" not in page.text
    assert not page.has(f"a[href=/documents/{invoice_id}/surplus]")
    assert "Fakturan är på −200,00 kr: det finns inget att kreditera." in page.text
    assert client.post(f"/invoices/{invoice_id}/credit", {}).status == 409
    paper = client.get(f"/invoices/{invoice_id}/print").text
    assert "Betalas via Klarna" not in paper and "internt dokument" not in paper and "Bankgiro" not in paper
    assert re.search(r"Er tillgodo\s*200,00 kr", paper)
    number = the_document(invoice_id).number_text
    listed = client.get("/invoices?view=open")
    assert number in listed.text and number not in client.get("/invoices?view=overpaid").text
    assert listed.has("button[aria-disabled=true]") and "Det finns inget att kreditera." in unbroken(listed)
    surplus = client.get(f"/documents/{invoice_id}/surplus")
    assert "Inget är överbetalt." in surplus.text
    form = client.get(f"/documents/{invoice_id}/payments")
    assert "Återstår att betala tillbaka" in form.text and "Klarnas avräkning" not in form.text
    client.submit("form[action$=payments]", page=form)
    with reading() as session:
        made = session.scalars(sa.select(Voucher).order_by(Voucher.id.desc()).limit(1)).one()
        assert made.text == f"Återbetalning faktura {number}"
        assert [(each.account, each.amount_minor) for each in made.postings] == [(1930, -200_00), (1510, 200_00)]
        assert [finding for each in verify.run(session) for finding in each.findings] == []
    assert the_document(invoice_id).open_minor == 0
    assert "Betald: 200,00 kr" in unbroken(client.get(f"/invoices/{invoice_id}"))


def test_what_was_not_sold_to_klarna_is_not_said_to_be(app: Flask, klarna: Any, client: WebClient) -> None:
    """F6: whoever tries to change or remove it by address is told what is true of it."""
    with writing() as session:
        order = an_order(session, lines=[row("T-shirt", 100_00)])
        a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    client.log_in("clerk")
    for act in ("edit", "delete"):
        page = client.get(f"/invoices/{invoice.id}/{act}")
        assert page.status == 409 and "Fakturan är utfärdad och låst. Skapa en kreditfaktura i stället." in page.text
