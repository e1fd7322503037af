"""A settlement report read in by keys alone: a wrong one says its row, the corrected one is shown first and then read in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from states import Pile
from tests.browser.conftest import Complaints, House, log_in
from tests.browser.keys import come_in, press_tab_to
from tests.browser.test_journey import says
from tests.builders import a_captured_invoice, row
from tests.services.settlement_parts import csv_of, fetched, payout_of, rows_of
from tests.services.test_sie_import import HEAD, RENT, sie

if TYPE_CHECKING:
    from playwright.sync_api import Page


def choose(page: Page, content: bytes) -> None:
    """The file field is reached by Tab; what the operating system's own window does then is the browser's business."""
    press_tab_to(page, "#upload input[type=file]")
    page.set_input_files(
        "#upload input[type=file]", {"name": "settlement.csv", "mimeType": "text/csv", "buffer": content}
    )


def test_a_wrong_report_is_corrected_looked_at_and_read_in(page: Page, house: House, complaints: Complaints) -> None:
    """K47, B5, catalogue row 56: the row and the reason in place, nothing stored before it is read in."""
    house.sandbox.switches(fee_percent=150, fee_fixed=0)
    # What other journeys have sold is in a payout of its own.
    house.sandbox.pay_out()
    with house.context():
        a_captured_invoice(house.klarna, house.sandbox, lines=[row("Jacka", 1_250_00)])
    made = house.sandbox.pay_out()[-1]
    right = csv_of(house.sandbox, made)
    wrong = right.replace(b"1250.00;SEK", b"1 250,00;SEK")
    assert wrong != right
    come_in(page, "finance", "en")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/settlements")
    press_tab_to(page, "a[href='/settlements/upload']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settlements/upload")

    complaints.expect("status of 422")
    choose(page, wrong)
    press_tab_to(page, "#upload button[value=preview]")
    page.keyboard.press("Enter")
    says(page, "the amount “1 250,00” cannot be read")
    assert page.get_attribute("#upload input[type=file]", "aria-invalid") == "true"

    choose(page, right)
    press_tab_to(page, "#upload button[value=preview]")
    page.keyboard.press("Enter")
    says(page, "Will be read in")
    assert "cannot be read" not in page.inner_text("main") and not page.get_attribute(
        "#upload [type=file]", "aria-invalid"
    )
    press_tab_to(page, "#planned button[value=read]")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url.rsplit("/", 1)[1].isdigit())
    says(page, "1 payout has been read in. Booked: 1.")
    assert page.locator("#reading h2", has_text=made["payment_reference"]).count() == 1


def test_a_row_that_was_dealt_with_stays_in_its_place_and_keeps_the_focus(page: Page, house: House) -> None:
    """B4: by keys; Enter once more does not take back what it did, and the next Tab is at what would."""
    with house.context():
        a_captured_invoice(house.klarna, house.sandbox, lines=[row("Jacka", 1_250_00)])
        house.sandbox.pay_out()
        house.sandbox.next_payout(
            rows=[{"type": "LOYALTY_BONUS", "amount": amount} for amount in (49_00, 50_00, 51_00)]
        )
        a_captured_invoice(house.klarna, house.sandbox, lines=[row("Byxa", 1_000_00)])
        made = house.sandbox.pay_out()[-1]
        fetched(house.klarna)
        payout = payout_of(made)
        ids = [each.id for each, match in rows_of(payout) if match.pile is Pile.FAULTY]
    come_in(page, "finance", "en")
    page.goto(f"/settlements/{payout.id}?pile=faulty")
    second = f"#row-{ids[1]}"
    press_tab_to(page, f"{second} form[action*='/handle'] input.cell")
    page.keyboard.type("a campaign")
    page.keyboard.press("Enter")
    says(page, "The row is marked as handled.")
    page.wait_for_function("second => document.activeElement.matches(second)", arg=second)
    assert [each.get_attribute("id") for each in page.locator("#reading tbody[id^=row-]").all()] == [
        f"row-{each}" for each in ids
    ]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.wait_for_function("undo => document.activeElement.matches(undo)", arg=f"{second} form[action*='/undo'] button")
    page.keyboard.press("Enter")
    says(page, "It has been taken back.")
    page.wait_for_function("second => document.activeElement.matches(second)", arg=second)
    assert page.locator(f"{second} form[action*='/handle']").count() == 1


def test_a_document_that_differs_is_looked_at_and_tied_by_keys(
    page: Page, house: House, complaints: Complaints
) -> None:
    """B4: the focus goes to what is asked, also in a narrow window, and the yes is reached by Tab."""
    complaints.expect("status of 409")
    with house.context():
        house.sandbox.pay_out()
        house.sandbox.next_payout(rows=[{"type": "REVERSAL", "amount": 49_00}])
        invoice = a_captured_invoice(house.klarna, house.sandbox, lines=[row("Kofta", 1_000_00)])
        made = house.sandbox.pay_out()[-1]
        fetched(house.klarna)
        payout = payout_of(made)
        (row_id,) = [each.id for each, match in rows_of(payout) if match.pile is Pile.FAULTY]
    page.set_viewport_size({"width": 390, "height": 800})
    come_in(page, "finance", "en")
    page.goto(f"/settlements/{payout.id}?pile=faulty")
    press_tab_to(page, f"#row-{row_id} form[action*='/assign'] input.cell")
    page.keyboard.type(str(invoice.number_text))
    page.keyboard.press("Enter")
    asked = f"#row-{row_id} .asked"
    page.wait_for_function("asked => document.activeElement.matches(asked)", arg=asked)
    assert "Is it this document?" in page.locator(asked).inner_text()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    press_tab_to(page, f"{asked} [type=submit]")
    page.keyboard.press("Enter")
    says(page, "The row has its document.")
    assert str(invoice.number_text) in page.locator(f"#row-{row_id}").inner_text()


SIDEWAYS = "each => each.parentElement.scrollWidth > each.parentElement.clientWidth + 1"


def test_a_narrow_window_shows_amounts_and_acts_without_scrolling_sideways(page: Page, house: House) -> None:
    """A reading with faulty rows, the trial balance and vouchers: each row is a block of its own at 390 pixels."""
    house.sandbox.pay_out()
    with house.context():
        a_captured_invoice(house.klarna, house.sandbox, lines=[row("Jacka", 1_250_00)])
        house.sandbox.next_payout(rows=[{"type": "LOYALTY_BONUS", "amount": 49_00}])
        made = house.sandbox.pay_out()[-1]
        fetched(house.klarna)
        reading = f"/settlements/{payout_of(made).id}"
    page.set_viewport_size({"width": 390, "height": 800})
    log_in(page, "finance")
    for address in (
        f"{reading}?pile=faulty",
        f"{reading}?pile=matched",
        "/books/trial-balance",
        "/books",
        "/books/vouchers/1",
    ):
        page.goto(address)
        table = page.locator("main table.stack:has(> tbody td.num)")
        assert table.count() == 1, address
        assert not table.evaluate(SIDEWAYS), address


def test_a_sie_file_that_was_refused_leaves_nothing_behind_when_the_next_one_is_shown(
    page: Page, house: House, complaints: Complaints
) -> None:
    """B35: by keys; what was wrong with the file before goes as another is chosen, and what the file would do has the focus."""
    field, show = "#upload input[type=file]", "#upload button[value=preview]"
    sent = {"name": "bok.se", "mimeType": "application/octet-stream"}
    come_in(page, "finance", "en")
    page.goto("/books/sie/read")
    complaints.expect("status of 422")
    page.set_input_files(field, {**sent, "buffer": b"hej"})
    press_tab_to(page, show)
    page.keyboard.press("Enter")
    says(page, "Nothing has been saved.")
    page.set_input_files(field, {**sent, "buffer": sie(HEAD.replace("556677-8899", "559999-0008"), RENT)})
    assert "Nothing has been saved." not in page.inner_text("main")
    press_tab_to(page, show)
    page.keyboard.press("Enter")
    page.wait_for_selector("#planned h2:focus")
    says(page, "What the file would do")
    press_tab_to(page, "#planned button[value=read]")
