"""Crediting in a browser: a part by keyboard alone and then the rest, text rows and equal numbers, return freight, exchanges,
without Klarna, and Klarna's no and its silence. Each ends at what Klarna shows, to the öre.

Worlds are built by the services and people come in by their cookie: orders, invoices and logging in are tested elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

import config
from models import Document, Order, User
from services import logins, users
from services.orders import NewLine
from tests.browser.conftest import PATIENCE, Complaints, House, before_htmx, held_back, listen, refuse_connection
from tests.browser.keys import press_tab_to
from tests.browser.test_journey import number_of, says, text
from tests.builders import FREIGHT, TEXT, a_captured_invoice, an_article, row
from tests.journeys.words import Words
from web_access import COOKIE_KEY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

BUTTON = "#credit-button"
QUANTITY = "input.quantity-to-credit"
SHIRTS = (row("T-shirt", 499_00, pieces=2),)


@pytest.fixture(scope="module")
def window(browser: Browser, house: House) -> Iterator[BrowserContext]:
    """One window for the module; each test has a page and a login of its own in it."""
    context = browser.new_context(
        base_url=house.url, locale="sv-SE", timezone_id="Europe/Stockholm", viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(
    window: BrowserContext, house: House, complaints: Complaints, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A page of the shared window, logged out."""
    window.clear_cookies()
    yield from listen(window.new_page(), complaints, request)


def come_in(page: Page, house: House, language: str, login: str = "clerk") -> Words:
    """Be somebody who reads a language; gives what the pages say in it."""
    with house.writing() as session:
        user = session.scalars(sa.select(User).where(User.login == login)).one()
        users.set_language(session, user.id, language)
        secret_id = logins.open_session(session, user, "127.0.0.1")
    signing = Flask("cookie")
    signing.secret_key = config.load(house.stack.settings()).secret_key
    signer = SecureCookieSessionInterface().get_signing_serializer(signing)
    assert signer is not None
    page.context.add_cookies([{"name": "kvitta", "value": signer.dumps({COOKIE_KEY: secret_id}), "url": house.url}])
    return Words(language)


def an_invoice_of(house: House, *rows: NewLine) -> Document:
    with house.context():
        return a_captured_invoice(house.klarna, house.sandbox, lines=list(rows))


def open_draft(page: Page, invoice: Document) -> None:
    """«Kreditera» on the invoice's page."""
    page.goto(f"/invoices/{invoice.id}")
    page.locator(f"form[action='/invoices/{invoice.id}/credit'] button").first.click()
    page.wait_for_selector("#draft")


def keep_row(page: Page, number: int) -> None:
    """Take every other row of the draft away."""
    rows = page.locator("#draft table").first.locator("tbody tr")
    left = rows.count()
    for at in reversed(range(left)):
        if at != number:
            rows.nth(at).locator("form[action$='/remove'] button").click()
            left -= 1
            page.wait_for_function(
                "left => document.querySelectorAll('#draft input.quantity-to-credit').length === left", arg=left
            )


def type_pieces(page: Page, say: Words, pieces: str, amount: int) -> None:
    """So many of the first row; the button comes to say the amount, which is then saved."""
    page.locator(QUANTITY).first.fill(pieces)
    says(page, say("credit_button", amount=amount))


def press_credit(page: Page) -> str:
    """The button; gives the number of the credit note whose page opens."""
    page.click(BUTTON)
    return number_of(page)


def state_of(house: House, invoice: Document) -> dict[str, Any]:
    with house.reading() as session:
        key = session.get_one(Order, invoice.order_id).klarna_order_id
    return house.sandbox.state(key or "")


COVERED = """() => {
    const field = document.activeElement;
    if (!field.matches("main :is(input, select, textarea, button, summary, a)")) return null;
    const box = field.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const [label] = field.labels || [];
    const free = top && (field.contains(top) || top.contains(field) || (label && label.contains(top)));
    return free ? null : `${field.outerHTML.slice(0, 150)} is under ${top && top.outerHTML.slice(0, 100)}`;
}"""
"""What hides the middle of that which has the focus."""


def refunds(house: House, invoice: Document) -> list[tuple[str, int]]:
    """What Klarna shows as repaid: our numbers and the amounts."""
    return [(each["reference"], each["refunded_amount"]) for each in state_of(house, invoice)["refunds"]]


def a_fault(house: House, invoice: Document, kind: str, **more: Any) -> None:
    """What Klarna does to the next refund of this order."""
    house.sandbox.fault(kind, operation="create_refund", order_id=state_of(house, invoice)["order_id"], **more)


def all_rows_fit(page: Page) -> None:
    """No sideways scrolling, in the window and in the tables."""
    wide = page.evaluate(
        "() => [document.documentElement, ...document.querySelectorAll('.table-wrap')]"
        ".filter((each) => each.scrollWidth > each.clientWidth + 1).length"
    )
    assert not wide, "something is wider than its place"


def test_a_part_is_credited_by_keyboard_alone_and_then_the_rest(
    page: Page, house: House, complaints: Complaints
) -> None:
    """K2, K8, K21, K23, K33, K38: from the list to the quantity to the button without a mouse; twice, and then no more."""
    say = come_in(page, house, "sv", "finance")
    invoice = an_invoice_of(house, row("Vinterstrumpor i ull", 2_100_00, pieces=3, discount_minor=1))
    page.goto("/invoices")
    press_tab_to(page, f"form[action='/invoices/{invoice.id}/credit'] button")
    page.keyboard.press("Enter")
    page.wait_for_selector(QUANTITY)
    press_tab_to(page, QUANTITY)
    page.keyboard.press("Control+a")
    complaints.expect("status of 422")
    page.keyboard.type("4")
    says(page, "Högst 3 kan krediteras: så många är fakturerade.")
    page.wait_for_selector(f"{QUANTITY}[aria-invalid=true]:focus")
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    says(page, say("credit_button", amount=2_100_00))
    page.wait_for_selector(f"{QUANTITY}:focus:not([aria-invalid])")
    presses = press_tab_to(page, BUTTON)
    assert presses < 12, f"{presses} times Tab from the quantity to the button"
    page.keyboard.press("Enter")
    first = number_of(page)
    says(page, say("credited", number=first, amount=2_100_00))
    page.goto(f"/invoices/{invoice.id}")
    press_tab_to(page, f"form[action='/invoices/{invoice.id}/credit'] button")
    page.keyboard.press("Enter")
    page.wait_for_selector(QUANTITY)
    assert page.input_value(QUANTITY) == "2"
    press_tab_to(page, "#restock")
    page.keyboard.press("Space")
    page.wait_for_selector("input[name^=restock-]")
    all_rows_fit(page)
    press_tab_to(page, BUTTON)
    page.keyboard.press("Enter")
    second = number_of(page)
    says(page, say("credited", number=second, amount=4_199_99))
    assert refunds(house, invoice) == [(first, 2_100_00), (second, 4_199_99)]
    page.goto(f"/invoices/{invoice.id}")
    assert page.locator(f"form[action='/invoices/{invoice.id}/credit']").count() == 0
    says(page, "Hela fakturan är krediterad.")
    all_rows_fit(page)


def test_text_rows_and_equal_article_numbers_find_their_own_rows(page: Page, house: House) -> None:
    """K7, K34-K41: one of two rows of the same article, then all that is left with its text row; nothing has to be ticked."""
    say = come_in(page, house, "en")
    with house.writing() as session:
        shirt = an_article(session, "Shirt", 300_00)
    dear, cheap = (row("Shirt", price, article=shirt) for price in (300_00, 300_00))
    cheap = NewLine(**{name: getattr(cheap, name) for name in cheap.__slots__} | {"unit_price_minor": 200_00})
    invoice = an_invoice_of(house, dear, cheap, row("Gift wrapping", 25_00, kind=TEXT))
    open_draft(page, invoice)
    keep_row(page, 1)
    says(page, say("credit_button", amount=200_00))
    assert "I have understood" not in text(page)
    first = press_credit(page)
    says(page, say("credited", number=first, amount=200_00))
    open_draft(page, invoice)
    assert page.locator(QUANTITY).count() == 2
    says(page, say("credit_button", amount=325_00))
    assert "I have understood" not in text(page)
    second = press_credit(page)
    says(page, say("credited", number=second, amount=325_00))
    state = state_of(house, invoice)
    captured = [each["reference"] for each in state["captures"][0]["order_lines"]]
    assert len(set(captured)) == 3
    repaid = [[each["reference"] for each in refund["order_lines"]] for refund in state["refunds"]]
    assert repaid == [[captured[1]], [captured[0], captured[2]]]
    assert refunds(house, invoice) == [(first, 200_00), (second, 325_00)]


def test_return_freight_is_charged_on_the_credit_note(page: Page, house: House, complaints: Complaints) -> None:
    """K28: 499,00 back and 49,00 for the way; a wrong price is said beside its field; Klarna shows a return fee."""
    say = come_in(page, house, "sv")
    invoice = an_invoice_of(house, row("T-shirt", 499_00), row("Frakt", 49_00, kind=FREIGHT))
    open_draft(page, invoice)
    keep_row(page, 0)
    complaints.expect("status of 422")
    page.click("#add-freight summary")
    page.fill("#add-freight input[name=freight]", "fyrtionio")
    page.click("#add-freight button[type=submit]")
    page.wait_for_selector("#add-freight .error")
    assert page.input_value("#add-freight input[name=freight]") == "fyrtionio"
    page.fill("#add-freight input[name=freight]", "49")
    page.click("#add-freight button[type=submit]")
    says(page, "Kunden debiteras 49,00 kr")
    says(page, "Klarna visar returfrakten för kunden som en returavgift.")
    says(page, say("credit_button", amount=450_00))
    all_rows_fit(page)
    number = press_credit(page)
    says(page, say("credited", number=number, amount=450_00))
    (refund,) = state_of(house, invoice)["refunds"]
    assert (refund["reference"], refund["refunded_amount"]) == (number, 450_00)
    assert [(each["type"], each["total_amount"]) for each in refund["order_lines"]][1:] == [("return_fee", -49_00)]


def test_an_even_exchange_is_carried_out_and_its_papers_lead_to_each_other(page: Page, house: House) -> None:
    """K30, K43: nothing is sent; credit note, replacement invoice, order and delivery tell one story."""
    come_in(page, house, "en")
    with house.writing() as session:
        blue = an_article(session, "T-shirt blue", 499_00, stock_milli=5000)
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    page.click("a[href$='/exchange']")
    page.wait_for_selector("#exchange")
    page.fill("input[name^=back-]", "1")
    page.fill("#article-0", blue.number)
    page.fill("#price-0", "250")
    page.click("#exchange button[value=add]")
    page.fill("#article-1", blue.number)
    page.fill("#price-1", "249")
    page.keyboard.press("Enter")
    says(page, "Same price")
    assert page.input_value("#article-1") == blue.number, "Enter has pressed another button than the one that works out"
    says(page, "nothing is sent to Klarna")
    page.click("#exchange button[value=carry_out]")
    note = number_of(page)
    says(page, "The exchange is done")
    replacement = page.locator("#exchange a[href^='/invoices/']")
    replaced = re.findall(r"\d{5}", replacement.inner_text())[0]
    replacement.click()
    page.wait_for_url(re.compile(r"/invoices/\d+$"))
    page.wait_for_selector(f"h1:has-text('{replaced}')")
    assert page.locator("#exchange a", has_text=note).count() == 1
    assert refunds(house, invoice) == []


def test_an_exchange_of_two_articles_leads_the_keyboard_on(page: Page, house: House, complaints: Complaints) -> None:
    """K43: to the new row, to the field that is wrong, and to what the exchange comes to."""
    come_in(page, house, "en")
    with house.writing() as session:
        blue = an_article(session, "T-shirt blue", 499_00, stock_milli=5000)
    open_draft(page, an_invoice_of(house, *SHIRTS))
    page.click("a[href$='/exchange']")
    press_tab_to(page, "input[name^=back-]")
    page.keyboard.type("1")
    press_tab_to(page, "#article-0")
    page.keyboard.type(blue.number)
    press_tab_to(page, "#price-0")
    page.keyboard.type("250")
    press_tab_to(page, "#exchange button[value=add]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#article-1:focus")
    page.keyboard.type("no such article")
    complaints.expect("status of 422")
    press_tab_to(page, "#exchange button[value=look]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#article-1[aria-invalid=true]:focus")
    page.keyboard.press("Control+a")
    page.keyboard.type(blue.number)
    press_tab_to(page, "#price-1")
    page.keyboard.type("249")
    press_tab_to(page, "#exchange button[value=look]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#way-h:focus")
    says(page, "Same price")
    press_tab_to(page, "#exchange button[value=carry_out]")


def test_a_cheaper_exchange_refunds_the_difference_and_leads_to_both_adjustments(page: Page, house: House) -> None:
    """K43-K46: 499,00 against 299,00; the box for the stock is off, and both articles are adjusted from the credit note."""
    say = come_in(page, house, "sv")
    with house.writing() as session:
        cap = an_article(session, "Keps", 299_00, stock_milli=5000)
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    page.click("a[href$='/exchange']")
    page.wait_for_selector("#exchange")
    page.fill("input[name^=back-]", "1")
    page.fill("#article-0", cap.number)
    page.click("#exchange button[value=look]")
    page.click("#exchange button[value=prepare]")
    says(page, say("credit_button", amount=200_00))
    assert page.locator("#restock").is_disabled()
    says(page, "Kreditfakturan har en ny lagerartikel som ska ut. Justera båda artiklarnas saldo för hand.")
    number = press_credit(page)
    says(page, say("credited", number=number, amount=200_00))
    assert refunds(house, invoice) == [(number, 200_00)]
    page.locator("#exchange a", has_text="Keps").click()
    page.wait_for_selector("h1:has-text('Keps')")
    wanted = page.input_value("main form input[name=quantity]")
    assert wanted == "1", "the adjustment is not filled in"


def test_a_credit_note_without_klarna_says_so_before_and_after(
    page: Page, house: House, complaints: Complaints
) -> None:
    """K11, K20, K29: the block goes, a reason is asked for, and what is not at Klarna has to be confirmed."""
    say = come_in(page, house, "en", "finance")
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    says(page, "Klarna can still refund")
    page.check("#without_klarna")
    says(page, "Nothing is sent to Klarna for this credit note.")
    says(page, "Choose why nothing is to be credited at Klarna.")
    page.check("#boxes input[value=credited_in_portal]")
    page.wait_for_selector("#klarna-block :text('Already credited in Klarna')")
    says(page, f"Create credit note of {say.money(998_00)} without Klarna")
    complaints.expect("status of 422")
    page.click(BUTTON)
    says(page, "Confirm that it has been made.")
    page.check("#portal_confirmed")
    number = press_credit(page)
    says(page, "Already credited in Klarna's portal")
    assert refunds(house, invoice) == []
    page.goto("/credit-notes?view=without_klarna")
    assert page.locator("tbody tr", has_text=number).count() == 1


def test_what_is_typed_before_the_scripts_have_come_is_saved_when_they_come(page: Page, house: House) -> None:
    """K8: a slow network; the page is there, its scripts are not, and somebody types already."""
    say = come_in(page, house, "en")
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    with before_htmx(page, page.url):
        page.fill(QUANTITY, "1")
        page.check("#without_klarna")
    says(page, "Nothing is sent to Klarna for this credit note.")
    says(page, f"Create credit note of {say.money(499_00)} without Klarna")


def test_nothing_typed_is_lost_to_an_answer_that_takes_its_place(
    page: Page, house: House, complaints: Complaints
) -> None:
    """K8, K24: a quantity and a box within one breath, a new text while the last is on its way, and one that was refused."""
    say = come_in(page, house, "en")
    invoice = an_invoice_of(house, row("T-shirt", 499_00, pieces=3))
    open_draft(page, invoice)
    page.fill(QUANTITY, "1")
    page.check("#restock")
    page.wait_for_selector("input[name^=restock-]")
    says(page, say("credit_button", amount=499_00))
    assert page.input_value(QUANTITY) == "1"
    held = held_back(page, "**/rows/*")
    with page.expect_request(lambda each: each.method == "POST"):
        page.fill(QUANTITY, "3")
    page.fill(QUANTITY, "2")
    page.wait_for_timeout(500)  # longer than typing is waited for: what was typed meets the one that is under way
    held[0].continue_()
    says(page, say("credit_button", amount=998_00))
    complaints.expect("ERR_FAILED|htmx:(afterRequest|sendError)")
    page.route("**/rows/*", refuse_connection, times=1)
    page.fill(QUANTITY, "1")
    page.wait_for_selector("#messages :text('No answer')")
    page.uncheck("#restock")
    page.wait_for_selector("input[name^=restock-]", state="detached")
    says(page, say("credit_button", amount=499_00))
    page.check("#restock")
    page.wait_for_selector("input[name^=restock-]")
    complaints.expect("status of 422")
    page.fill(QUANTITY, "4")
    says(page, "At most 3 can be credited: so many have been invoiced.")
    page.uncheck("#restock")
    page.wait_for_selector("input[name^=restock-]", state="detached")
    says(page, "At most 3 can be credited: so many have been invoiced.")
    assert page.input_value(QUANTITY) == "4"


def test_focus_is_not_lost_and_nothing_that_has_it_is_covered(page: Page, house: House) -> None:
    """B31, for who uses the keys: it stays in what an answer has put in the place of what had it, and the sum hides no field."""
    come_in(page, house, "en", "finance")
    invoice = an_invoice_of(house, *(row(f"Scarf {n}", 10_00) for n in range(6)))
    open_draft(page, invoice)
    page.set_viewport_size({"width": 390, "height": 700})
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    for _ in range(40):
        page.keyboard.press("Tab")
        covered = page.evaluate(COVERED)
        assert not covered, covered
    page.set_viewport_size({"width": 1280, "height": 900})
    press_tab_to(page, "form[action*='/rows/'] button[type=submit]")
    rows = page.locator(f"tbody {QUANTITY}").count()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "wanted => document.querySelectorAll(wanted[0]).length < wanted[1]", arg=[f"tbody {QUANTITY}", rows]
    )
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-settling')")
    assert page.evaluate("() => document.activeElement !== document.body"), "the row is gone, and the place with it"


def test_a_refused_credit_is_tried_again_under_its_number(page: Page, house: House) -> None:
    """K14, K16-K18: Klarna's words, then the same note goes again."""
    say = come_in(page, house, "en")
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    type_pieces(page, say, "1", 499_00)
    a_fault(house, invoice, "refuse", error_code="REFUND_NOT_ALLOWED")
    number = press_credit(page)
    says(page, say("refund_refused", number=number))
    says(page, "REFUND_NOT_ALLOWED")
    assert refunds(house, invoice) == []
    page.click("form[action$='/retry'] button")
    says(page, say("credited", number=number, amount=499_00))
    assert refunds(house, invoice) == [(number, 499_00)]


def test_a_refused_credit_is_voided_and_a_new_one_goes_through(page: Page, house: House) -> None:
    """K15: the next waits for the decision; the number stays with its reason, and the new note has the next one."""
    say = come_in(page, house, "sv")
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    a_fault(house, invoice, "refuse", error_code="REFUND_NOT_ALLOWED")
    refused = press_credit(page)
    says(page, say("refund_refused", number=refused))
    note = page.url
    open_draft(page, invoice)
    says(page, f"Kreditfaktura {refused} väntar på beslut. Avsluta den först.")
    assert page.locator(BUTTON).count() == 0
    page.goto(note)
    page.locator("#outcome details", has_text="Makulera").locator("summary").click()
    page.locator("#outcome form[action$='/void'] textarea").fill("Kunden behåller den ena")
    page.click("#outcome form[action$='/void'] button")
    says(page, "Kunden behåller den ena")
    assert refunds(house, invoice) == []
    open_draft(page, invoice)
    type_pieces(page, say, "1", 499_00)
    number = press_credit(page)
    says(page, say("credited", number=number, amount=499_00))
    assert int(number) > int(refused)
    assert refunds(house, invoice) == [(number, 499_00)]


def test_a_lost_answer_is_called_unknown_and_is_found_again_by_itself(page: Page, house: House) -> None:
    """K14, F25: nothing sounds like failure, nobody is asked to guess, and one refund is all there is."""
    say = come_in(page, house, "en")
    invoice = an_invoice_of(house, *SHIRTS)
    open_draft(page, invoice)
    type_pieces(page, say, "1", 499_00)
    a_fault(house, invoice, "drop_after")
    number = press_credit(page)
    says(page, say("refund_unknown", amount=499_00))
    say.calm(text(page))
    assert page.locator("form[action$='/retry']").count() == 0
    says(page, say("credited", number=number, amount=499_00))
    assert refunds(house, invoice) == [(number, 499_00)]
