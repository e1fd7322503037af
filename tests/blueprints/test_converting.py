"""«Gör om till återbetalning hos Klarna» and the refund that turned up, from the credit note's page (K20, K29)."""

from __future__ import annotations

from typing import Any

from db import reading
from models import Document
from services import reservations
from tests.blueprints.document_pages import in_english
from tests.services.test_converting import a_note
from tests.web_client import WebClient


def test_the_page_makes_it_into_a_refund_in_one_step(app: Any, klarna: Any, sandbox: Any) -> None:
    """K29: the way is said before, off with its reason for who may not, and the draft stands ready with the Klarna block."""
    note = a_note(klarna, sandbox)
    clerk = in_english(WebClient(app)).get(f"/credit-notes/{note.id}")
    assert "Make into a refund at Klarna" in clerk.text and "Requires Finance." in clerk.text
    finance = in_english(WebClient(app), "finance")
    finance.get(f"/credit-notes/{note.id}")
    page = finance.submit("/convert")
    assert "nothing is sent until you press its button" in page.text and "Credit SEK 499.00 at Klarna" in page.text
    old = finance.get(f"/credit-notes/{note.id}")
    assert "made into a refund at Klarna" in old.text and not old.has("form[action$='/convert']")


def test_the_page_ties_the_refund_that_turned_up(app: Any, klarna: Any, sandbox: Any) -> None:
    """K20, K29."""
    note = a_note(klarna, sandbox, "credited_in_portal", confirmed=True)
    with reading() as session:
        klarna_order = session.get_one(Document, note.id).order.klarna_order_id  # type: ignore[union-attr]
    sandbox.portal_refund(klarna_order, 49_900)
    reservations.look_at(klarna, note.order_id or 0)
    finance = in_english(WebClient(app), "finance")
    finance.get(f"/credit-notes/{note.id}")
    page = finance.submit("/tie")
    assert "stands for the credit at Klarna" in page.text and "Make into a refund" not in page.text
