"""What can be chosen in the last step (F8, F12, F17-F19, F29, F30), through the pages; catalogue rows 84 and 12."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from models import Document, KlarnaOp, UserPreference
from services import mail_settings, reservations
from services.mail import PLAIN
from services.mail_settings import Facts
from states import DocState, DocType
from tests.blueprints.document_pages import a_new_order, booked, count, in_english
from tests.builders import a_delivery, an_order, row, the_document
from tests.conftest import CREDENTIALS_KEY
from tests.web_client import Page, WebClient

TEN_THOUSAND = [row("Cykel", 7_000_00), row("Hjälm", 1_500_00, pieces=2)]
LEFT = "Enter a percentage between 0.01 and 100.00. SEK 7,000.00 (70.00 %) of the order is left."


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


@pytest.fixture
def mail_server(klarna: Any, admin: Any) -> None:
    """A mail server, so that e-mail can be asked for; nothing is sent in these tests."""
    facts = Facts("127.0.0.1", 2525, PLAIN, "", "order@example.com", "Provbolaget AB")
    with writing() as session:
        mail_settings.save(session, admin, CREDENTIALS_KEY, facts, "")


def an_open_order(sandbox: Any, klarna: Any, **more: Any) -> Any:
    return a_new_order(sandbox, klarna, deliver=False, lines=TEN_THOUSAND, **more)


def advance(client: WebClient, order: Any, percent: str, **fields: Any) -> Page:
    """Charge an advance: the form as it stands after the percentage was typed, sent."""
    drawn = client.get(f"/orders/{order.id}/invoice?type=advance&percent={percent}")
    return client.submit("#create-form", page=drawn, **fields)


# --- The percentage -------------------------------------------------------------------------------------------------------


def test_choosing_the_advance_opens_the_field_and_the_preview_follows(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F12, F29: the field, then the amount per rate; with htmx only the preview is swapped and the field left alone."""
    order = an_open_order(sandbox, klarna)
    url = f"/orders/{order.id}/invoice?type=advance"
    page = clerk_client.get(url)
    assert page.status == 200 and "Percent of the order amount" in page.text and not page.has("#create-form")
    assert "Of SEK 10,000.00. SEK 10,000.00 is left to invoice." in page.text
    part = clerk_client.get(f"{url}&part=preview&percent=30", htmx=True)
    assert part.has("#preview") and not part.has("#percent") and part.has("#percent-note")
    assert "Advance of 30% for order 1001" in part.text and "VAT 25% of 2,400.00" in part.text
    assert "Create invoice and activate SEK 3,000.00 at Klarna" in part.text
    whole = clerk_client.get(f"{url}&part=preview&percent=30")
    assert whole.has("main") and whole.find("#percent")["value"] == "30" and "SEK 3,000.00" in whole.text
    assert not count(Document) and not sandbox.posts()


DIGITS, DECIMALS = "Write the number with the digits 0–9", "A percentage may have at most two decimals."
UNCHARGEABLE = {
    "0": LEFT,
    "100,01": LEFT,
    "-1": LEFT,
    "\u22121": LEFT,
    "70,01": LEFT,
    "1 000": LEFT,
    "33,333": DECIMALS,
    "100,001": DECIMALS,
    "1e2": DIGITS,
    "1_0": DIGITS,
    "\uff13\uff10": DIGITS,
    "abc": DIGITS,
    "30%%x": DIGITS,
    "9" * 400: "The number is too long.",
    "": "Enter a number.",
}


def test_a_percentage_that_cannot_be_charged_comes_back_with_what_is_left(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F29 to the letter outside the range, else what cannot be read; catalogue 84.

    422, what was typed stays, nothing is made; when it opens, with htmx, when sent.
    """
    order = an_open_order(sandbox, klarna)
    advance(clerk_client, order, "30")
    url = f"/orders/{order.id}/invoice"
    drawn = clerk_client.get(f"{url}?type=advance&percent=10")
    sent = dict(drawn.form("#create-form").values)
    for typed, sentence in UNCHARGEABLE.items():
        answer = clerk_client.post(url, {**sent, "percent": typed})
        assert answer.status == 422 and sentence in answer.text, typed
        assert answer.find("#percent").get("value", "") == typed[:100]
        if typed:
            part = clerk_client.get(
                f"{url}?{urlencode({'type': 'advance', 'percent': typed, 'part': 'preview'})}", htmx=True
            )
            assert part.status == 422 and sentence in part.text and not part.has("#create-form"), typed
        assert count(Document) == 1, typed


@pytest.mark.parametrize("typed", ["30", "30,00", "30.0", " 30 ", "30 %", "30\u202f%", "030"])
def test_a_percentage_may_be_typed_as_people_write(
    clerk_client: WebClient, sandbox: Any, klarna: Any, typed: str
) -> None:
    """F29: decimal comma or point, thin spaces, the sign."""
    order = an_open_order(sandbox, klarna)
    page = clerk_client.get(f"/orders/{order.id}/invoice?{urlencode({'type': 'advance', 'percent': typed})}")
    assert page.status == 200 and "Create invoice and activate SEK 3,000.00 at Klarna" in page.text


def test_an_advance_and_the_rest_add_up_at_klarna_and_on_paper(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F29, F30: two captures, the advance deducted with its number on form, page and paper."""
    order = an_open_order(sandbox, klarna)
    page = advance(clerk_client, order, "30")
    assert "Invoice 42580 has been created and activated at Klarna: SEK 3,000.00" in page.text
    assert "Advance of 30% for order 1001" in page.text and "Advance invoice" in page.text
    paper = clerk_client.get("/invoices/1/print")
    assert "Advance of 30% for order 1001" in paper.text and "Paid through Klarna – not to be paid to us" in paper.text
    step = clerk_client.get(f"/orders/{order.id}/invoice")
    assert "Advance deducted, invoice 42580" in step.text and "−3,000.00" in step.text
    page = clerk_client.submit("#create-form", page=step)
    assert "Invoice 42581 has been created and activated at Klarna: SEK 7,000.00" in page.text
    assert "Advance deducted, invoice 42580" in clerk_client.get("/invoices/2/print").text
    assert booked("invoice:42581")[1510] == 7_000_00
    assert "Advance invoice" in clerk_client.get("/invoices.csv").body.decode("utf-8-sig")
    assert "Everything on the order has been invoiced." in clerk_client.get(f"/orders/{order.id}/invoice").text


def test_delivered_rows_are_invoiced_before_an_advance_is_offered(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F12."""
    order = an_open_order(sandbox, klarna)
    with writing() as session:
        a_delivery(session, order, {order.lines[0].id: 1000})
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert "Advance invoice" not in page.find("#last-step nav").text
    page = clerk_client.get(f"/orders/{order.id}/invoice?type=advance&percent=10")
    assert "What has been delivered awaits invoicing. Make its delivery invoice first." in page.text
    assert not page.has("#create-form")


def test_an_invoice_that_advances_have_paid_sends_nothing_and_says_so(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F16, operations 4: 0,00, the reason before, «Without Klarna» after, one capture in all."""
    order = an_open_order(sandbox, klarna)
    advance(clerk_client, order, "100")
    step = clerk_client.get(f"/orders/{order.id}/invoice")
    assert "Nothing is sent to Klarna for this invoice." in step.text
    assert "The total is SEK 0.00. Advances have already paid for all of it." in step.text
    page = clerk_client.submit("#create-form", page=step)
    assert "Invoice 42581 has been created without Klarna. Nothing has been sent to Klarna." in page.text
    assert len(sandbox.posts(operation="create_capture")) == 1
    paper = clerk_client.get("/invoices/2/print")
    assert "Paid through Klarna – not to be paid to us" in paper.text and "991-2346" not in paper.text


# --- The boxes ---------------------------------------------------------------------------------------------------------------


def test_the_boxes_of_a_klarna_order_are_unticked_whatever_one_prefers(
    clerk_client: WebClient, sandbox: Any, klarna: Any, mail_server: None
) -> None:
    """F17, F18, F19: with the one line of why; an ordinary order follows the person's own suggestions (B22)."""
    order = an_open_order(sandbox, klarna)
    with writing() as session:
        ordinary = an_order(session)
        for name in ("print_after", "mail_after"):
            session.add(UserPreference(user_id=2, name=name, value="invoice"))
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert not page.has("#print_wanted[checked]") and not page.has("#mail_wanted[checked]")
    assert "These boxes concern our document, which says that it is paid through Klarna." in page.text
    page = clerk_client.get(f"/orders/{ordinary.id}/invoice")
    assert page.has("#print_wanted[checked]") and page.has("#mail_wanted[checked]")
    assert page.find("#mail_to")["value"] == "kund2@example.com" and "paid through Klarna" not in page.text


def test_what_is_ticked_is_kept_on_the_invoice_and_the_print_link_waits(
    clerk_client: WebClient, sandbox: Any, klarna: Any, mail_server: None
) -> None:
    """F17, F18, B23: stored with the number; nothing opens by itself, a link stands ready."""
    order = an_open_order(sandbox, klarna)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice")
    page = clerk_client.submit(
        "#create-form", page=drawn, print_wanted=True, mail_wanted=True, mail_to="kund@example.com"
    )
    made = the_document(1)
    assert (made.print_wanted, made.mail_to) == (True, "kund@example.com")
    assert page.has("#outcome a[href=/invoices/1/print]") and "Print invoice 42580" in page.find("#outcome").text


@pytest.mark.parametrize("typed", ["", "kund", "a@b.se, c@d.se", "a@b.se\r\nBcc: x@y.se", "x" * 330 + "@b.se"])
def test_an_address_that_cannot_be_written_to_is_refused_beside_the_field(
    clerk_client: WebClient, sandbox: Any, klarna: Any, mail_server: None, typed: str
) -> None:
    """F18, catalogue 45: 422, the boxes stay as they were ticked; nothing made."""
    order = an_open_order(sandbox, klarna)
    sent = dict(clerk_client.get(f"/orders/{order.id}/invoice").form("#create-form").values)
    answer = clerk_client.post(
        f"/orders/{order.id}/invoice", {**sent, "mail_wanted": "y", "print_wanted": "y", "mail_to": typed}
    )
    assert answer.status == 422 and "Write one e-mail address" in answer.text
    assert answer.has("#mail_wanted[checked]") and answer.has("#print_wanted[checked]")
    assert not count(Document) and not sandbox.posts()


def test_an_email_is_not_offered_while_no_mail_server_has_been_set_up(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F18, B22: the reason stands in place of the box, whatever one prefers; who asks all the same is refused, nothing made."""
    with writing() as session:
        order = an_order(session)
        session.add(UserPreference(user_id=2, name="mail_after", value="invoice"))
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert page.has("#print_wanted") and not page.has("#mail_wanted") and not page.has("#mail_to")
    assert "It cannot be e-mailed. No mail server has been set up." in page.find("#create-form").text
    asked = {**page.form("#create-form").values, "mail_wanted": "y", "mail_to": "kund@example.com"}
    answer = clerk_client.post(f"/orders/{order.id}/invoice", asked)
    assert answer.status == 409 and "No mail server has been set up." in answer.text
    assert not count(Document)
    clerk_client.submit("#create-form", page=page)
    assert the_document(1).mail_to is None


def test_boxes_stay_ticked_while_the_percentage_is_typed(
    clerk_client: WebClient, sandbox: Any, klarna: Any, mail_server: None
) -> None:
    order = an_open_order(sandbox, klarna)
    url = f"/orders/{order.id}/invoice?type=advance&percent=30&part=preview"
    part = clerk_client.get(f"{url}&boxes=1&print_wanted=y&mail_to=annan@example.com", htmx=True)
    assert part.has("#print_wanted[checked]") and not part.has("#mail_wanted[checked]")
    assert part.find("#mail_to")["value"] == "annan@example.com"
    wrong = clerk_client.get(
        f"{url.replace('=30', '=300')}&boxes=1&print_wanted=y&mail_to=annan@example.com", htmx=True
    )
    kept = {each["name"]: each["value"] for each in wrong.all("input[type=hidden]")}
    assert kept == {"boxes": "1", "print_wanted": "y", "mail_to": "annan@example.com"}


# --- The rest of the reservation ----------------------------------------------------------------------------------------------


def test_the_rest_of_the_reservation_can_be_released_and_says_how_much(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F8: offered where something is left after this invoice, kept on the document; not for the advance."""
    order = an_open_order(sandbox, klarna)
    with writing() as session:
        a_delivery(session, order, {order.lines[0].id: 1000})
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert "Release the rest of the reservation, SEK 3,000.00" in page.text and not page.has("#release_rest[checked]")
    assert "What is left of the order can then not be invoiced on this reservation." in page.text
    clerk_client.submit("#create-form", page=page, release_rest=True)
    assert the_document(1).release_rest is True


def test_a_box_that_was_not_there_releases_nothing(clerk_client: WebClient, sandbox: Any, klarna: Any) -> None:
    """Catalogue 12: on an advance, and on the invoice that takes all of it."""
    order = an_open_order(sandbox, klarna)
    for url in ("?type=advance&percent=30", ""):
        drawn = clerk_client.get(f"/orders/{order.id}/invoice{url}")
        assert not drawn.has("#release_rest")
        sent = dict(drawn.form("#create-form").values)
        assert (
            clerk_client.post(f"/orders/{order.id}/invoice", {**sent, "release_rest": "y"}, follow=False).status == 303
        )
    with reading() as session:
        assert not session.scalars(sa.select(Document.id).where(Document.release_rest.is_(True))).all()


def test_an_invoice_too_large_for_the_reservation_never_shows_a_rest_below_zero(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F14: the words say by how much it is too large."""
    order = an_open_order(sandbox, klarna)
    sandbox.portal_capture(order.klarna_order_id, 1_000_00)
    with writing() as session:
        found = session.merge(order)
        found.remaining_minor, found.captured_minor, found.klarna_read_at = 9_000_00, 1_000_00, clock.now()
    page = clerk_client.get(f"/orders/{order.id}/invoice")
    assert (
        "Nothing: the invoice is SEK 1,000.00 too large" in page.text and "−1,000.00" not in page.find("#klarna").text
    )


def test_what_was_activated_outside_kvitta_is_adopted_before_anything_is_invoiced_that_does_not_fit_beside_it(
    app: Any, clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """F16, B20: no capture can be sent, so none is promised and no difference is offered to be sent; the way is shown."""
    order = an_open_order(sandbox, klarna)
    sandbox.portal_capture(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    address = f"/orders/{order.id}/invoice"
    page = clerk_client.get(address)
    assert "Nothing is sent to Klarna for this invoice." in page.find("#klarna").text
    assert "will be activated with" not in page.text and not page.has("#accept")
    assert (
        "SEK 10,000.00 has been activated outside Kvitta and is not booked. Adopt that activation first." in page.text
    )
    assert not page.has("#klarna a[href$=/adopt]") and "Requires Finance." in page.find("#klarna").text
    finance = in_english(WebClient(app), "finance")
    assert finance.get(address).has("#klarna a[href$=/adopt]")
    finance.get(finance.get(address).find("#klarna a[href$=/adopt]")["href"])
    finance.submit("#adopt form")
    assert "Everything on the order has been invoiced." in clerk_client.get(address).text


def test_the_order_of_an_activation_outside_kvitta_points_to_its_adoption_and_to_no_invoice_that_is_not_there(
    app: Any, clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """B18, B19, B20: reasons that are true before the activation is adopted, and the old ones after it."""
    order = an_open_order(sandbox, klarna)
    sandbox.portal_capture(order.klarna_order_id)
    reservations.look_at(klarna, order.id)
    page, finance = clerk_client.get(f"/orders/{order.id}"), in_english(WebClient(app), "finance")
    assert "What was activated outside Kvitta has no invoice until it is adopted." in page.text
    assert (
        "Something on the order has been activated outside Kvitta, so its rows can no longer be changed." in page.text
    )
    assert "activated or released, outside Kvitta. Adopt the activation first." in page.text
    assert "has been invoiced, so" not in page.text and "Credit the invoice instead" not in page.text
    way = finance.get(f"/orders/{order.id}").find("section[aria-labelledby=documents-h] a")["href"]
    finance.get(way)
    finance.submit("#adopt form")
    page = clerk_client.get(f"/orders/{order.id}")
    assert "Something on the order has been invoiced, so its rows can no longer be changed." in page.text
    assert "Everything of the reservation has been activated or released. Credit the invoice instead." in page.text


def test_one_form_with_another_percentage_is_not_the_same_form(
    clerk_client: WebClient, sandbox: Any, klarna: Any
) -> None:
    """Operations 12: the same nonce with other choices is refused; with the same ones it leads to what it made."""
    order = an_open_order(sandbox, klarna)
    drawn = clerk_client.get(f"/orders/{order.id}/invoice?type=advance&percent=30")
    sent = dict(drawn.form("#create-form").values)
    url = f"/orders/{order.id}/invoice"
    assert clerk_client.post(url, sent, follow=False).status == 303
    assert clerk_client.post(url, sent, follow=False).status == 303
    assert clerk_client.post(url, {**sent, "percent": "40"}, follow=False).status in (409, 422)
    assert clerk_client.post(url, {**sent, "print_wanted": "y"}, follow=False).status == 409
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(KlarnaOp)) == 1
    assert (the_document(1).type, the_document(1).state) == (DocType.ADVANCE, DocState.ISSUED)
