"""«Kvittning» by keyboard alone: from the invoice to the pair, the lock with its day, the override, and taken back (K49-K51)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from models import Document, Offset
from services import offsets
from tests.browser.conftest import Complaints, House, before_htmx
from tests.browser.keys import press_tab_to
from tests.browser.test_crediting import all_rows_fit, an_invoice_of, come_in, page, window
from tests.browser.test_journey import says
from tests.builders import row
from tests.services.settlement_parts import a_refund

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ("page", "window")

OFF = "#offset-form button[aria-disabled=true]"
TIP = "#offset-form span.tip:has(button[aria-disabled=true]) .tip-text"
WORDS = {
    "sv": (
        "Vänta: utbetalningen för perioden väntas {day} och är inte inläst.",
        "Därefter återstår 900,00 kr av fakturan och 900,00 kr av kreditfakturan.",
        "De två är kvittade och bokförda.",
        "Kvittningen är återtagen. Båda dokumenten är som de var.",
    ),
    "en": (
        "Wait: the payout for the period is expected on {day} and has not been read.",
        "Afterwards SEK 900.00 remains of the invoice and SEK 900.00 of the credit note.",
        "The two have been offset and booked.",
        "The offset has been taken back. Both documents are as they were.",
    ),
}


def press(page: Page, selector: str) -> None:
    """Tab to it and press Enter."""
    press_tab_to(page, selector)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("language", ["sv", "en"])
def test_a_pair_is_offset_before_its_reading_and_taken_back_by_keys(
    page: Page, house: House, complaints: Complaints, language: str
) -> None:
    """K49, K50, K51: the button that is off says its day when it has the focus; what will remain follows the amount typed."""
    complaints.expect("status of 4(09|22)")
    invoice = an_invoice_of(house, row("Vinterjacka", 1_000_00))
    with house.context():
        note = a_refund(house.klarna, invoice)
    with house.reading() as session:
        wait = offsets.pair(session, invoice.id, note.id).wait
        assert wait is not None
    locked, remains, done, undone = (each.format(day=wait.expected) for each in WORDS[language])
    come_in(page, house, language, "finance")
    page.goto(f"/invoices/{invoice.id}")
    press(page, f"a[href='/offsets?q={invoice.number_text}']")
    page.wait_for_url("**/offsets?q=*")
    says(page, locked)
    all_rows_fit(page)
    press(page, f"a[href='/offsets/{invoice.id}/{note.id}']")
    page.wait_for_selector(OFF)
    press_tab_to(page, "#amount")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("100,00" if language == "sv" else "100.00")
    says(page, remains)
    press_tab_to(page, OFF)
    assert locked in " ".join(page.locator(TIP).inner_text().split())
    assert page.locator(TIP).is_visible(), "the lock says nothing when it has the focus"
    press(page, "button[name=override]")
    page.wait_for_selector("#reason[aria-invalid=true]")
    press_tab_to(page, "#reason")
    page.keyboard.type("kunden väntar")
    press(page, "button[name=override]")
    says(page, done)
    with house.reading() as session:
        made = session.scalars(sa.select(Offset).where(Offset.invoice_id == invoice.id)).one()
        assert (made.amount_minor, made.override_reason) == (100_00, "kunden väntar")
        assert session.get_one(Document, note.id).open_minor == -900_00
    back = f"form[action='/offsets/{made.id}/take-back']"
    press(page, f"details:has({back}) summary")
    press_tab_to(page, f"{back} input[name=reason]")
    page.keyboard.type("utbetalningen kom")
    page.keyboard.press("Enter")
    says(page, undone)
    with house.reading() as session:
        assert [session.get_one(Document, each.id).open_minor for each in (invoice, note)] == [1_000_00, -1_000_00]
    # The figure that Klarna owes comes at once, and what it is held against after the page (B9).
    page.goto("/settlements/owed")
    says(page, {"sv": "Stämmer", "en": "Adds up"}[language])
    all_rows_fit(page)


def test_what_remains_follows_an_amount_typed_before_the_scripts_have_come(page: Page, house: House) -> None:
    """K49: the sum below the field is never that of another amount."""
    invoice = an_invoice_of(house, row("Vinterjacka", 1_000_00))
    with house.context():
        note = a_refund(house.klarna, invoice)
    come_in(page, house, "sv", "finance")
    with before_htmx(page, f"/offsets/{invoice.id}/{note.id}"):
        page.fill("#amount", "100,00")
    says(page, WORDS["sv"][1])
