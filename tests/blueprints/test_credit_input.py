"""What people and changed requests send to a credit note that cannot be: never half an act (catalogue 7-15, 82)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from db import reading, writing
from models import Base, Document, DocumentLine, KlarnaOp, Order
from services import credit_drafts
from states import DocState
from tests.blueprints.document_pages import count, in_english
from tests.builders import FINANCE, a_captured_invoice, row, the_document
from tests.web_client import Page, WebClient

TAKEN: tuple[type[Base], ...] = (Document, DocumentLine, Order, KlarnaOp)
HOSTILE = {"currency": "EUR", "state": "issued", "kind": "invoice", "type": "delivery", "klarna_reference": "x"}


@pytest.fixture
def clerk_client(client: WebClient) -> WebClient:
    return in_english(client)


def a_draft(client: WebClient, klarna: Any, sandbox: Any) -> Page:
    """«Ny kreditfaktura» on two T-shirts."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", 49_900, pieces=2)])
    return client.post(f"/invoices/{invoice.id}/credit", follow=True)


def every_column(*besides: str) -> dict[str, str]:
    """Every column there is as a field, but for the form's own."""
    names = {column.name for model in TAKEN for column in model.__table__.columns} - set(besides)
    return {name: HOSTILE.get(name, "1") for name in names}


def facts(draft_id: int) -> tuple[Any, ...]:
    """What no request may set: whose it is, what it costs, whether it has a number."""
    document = the_document(draft_id)
    rows = [
        (line.name, line.unit_price_minor, line.vat_rate, line.gross_minor, line.vat_minor) for line in document.lines
    ]
    of_it = (
        document.kind,
        document.type,
        document.currency,
        document.customer_id,
        document.order_id,
        document.original_id,
    )
    return (*of_it, document.party, document.created_by, rows)


def test_a_column_that_is_no_field_is_not_taken_from_any_form(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """Catalogue 12, 13: with every column of four tables beside its own fields each form does what it would have done."""
    page = a_draft(clerk_client, klarna, sandbox)
    draft_id = int(page.url.rsplit("/", 1)[1])
    before = facts(draft_id)
    boxes = {"restock", "without_klarna", "reason", "warehouse_id"}
    assert clerk_client.post(f"{page.url}/options", every_column(*boxes)).status == 303
    free = {"name": "Plåster", "quantity": "1", "price": "0,50", "vat_rate": "2500"}
    assert clerk_client.post(f"{page.url}/new-rows/free", every_column(*free) | free).status == 303
    with reading() as session:
        added = session.scalars(sa.select(DocumentLine).where(DocumentLine.name == "Plåster")).one()
        assert (added.gross_minor, added.document_id, added.original_line_id) == (50, draft_id, None)
    assert clerk_client.post(f"{page.url}/rows/{added.id}/remove", every_column()).status == 303
    assert facts(draft_id)[:-1] == before[:-1] and facts(draft_id)[-1][0] == before[-1][0]
    sent = dict(clerk_client.get(page.url).form("#sum").values)
    made = clerk_client.post(f"{page.url}/create", every_column(*sent, "nonce") | sent)
    assert made.status == 303
    (refund,) = sandbox.posts(operation="create_refund")
    assert refund["body"]["refunded_amount"] == 99_800
    note = the_document(draft_id)
    assert (note.state, note.gross_minor, note.currency) == (DocState.ISSUED, 99_800, "SEK")
    assert facts(draft_id)[:-1] == before[:-1]


def test_an_ore_too_much_is_refused_with_what_is_left_and_a_stale_page_with_the_new_sum(
    clerk_client: WebClient, klarna: Any, sandbox: Any, app: Any
) -> None:
    """K33, catalogue 7, 8: nothing is sent and no number is taken; the draft is there with what stands now."""
    page = a_draft(clerk_client, klarna, sandbox)
    free = {"name": "Plåster", "quantity": "1", "price": "0,01", "vat_rate": "2500"}
    page = clerk_client.post(f"{page.url}/new-rows/free", free, follow=True)
    told = "At most SEK 998.00 can be credited"
    assert told in page.text and not page.has("#credit-button")
    made_up = clerk_client.post(f"{page.url}/create", dict(page.form("#sum").values))
    assert made_up.status in (409, 422) and told in made_up.text
    line = page.find("#new-rows td.icons form[action$=remove]")["action"]
    drawn = clerk_client.post(line, follow=True)
    assert drawn.has("#credit-button")
    colleague = in_english(WebClient(app), "finance")
    other = colleague.post(f"/invoices/{the_document(int(page.url.rsplit('/', 1)[1])).original_id}/credit", follow=True)
    row_id = other.find("input.quantity-to-credit")["id"].removeprefix("quantity-")
    colleague.submit(f"#row-{row_id}", **{f"quantity-{row_id}": "1"})
    assert "has been created and credited at Klarna" in colleague.submit("#sum").text
    stale = clerk_client.submit("#sum", page=drawn)
    left = "Klarna can still refund SEK 499.00, the credit note is SEK 998.00. Nothing has been sent."
    assert stale.status == 409 and left in stale.text
    assert len(sandbox.posts(operation="create_refund")) == 1
    assert count(Document, Document.number.is_not(None)) == 2


def test_what_is_done_about_a_refused_note_wants_a_reason_from_the_list_or_in_words(
    clerk_client: WebClient, klarna: Any, sandbox: Any
) -> None:
    """K19, K20, catalogue 82, 87: 422 beside the field, the note stays refused and nothing is booked."""
    a_draft(clerk_client, klarna, sandbox)
    sandbox.fault("refuse", operation="create_refund", error_code="REFUND_NOT_ALLOWED")
    drawn = clerk_client.submit("#sum")
    note_id = int(drawn.url.rsplit("/", 1)[1])
    for act, field, texts in (
        ("keep", "reason", ("", "x", "free_standing", "x" * 10_000)),
        ("void", "void-reason", ("", "   ", "x" * 10_000, "rad\x00")),
    ):
        for text in texts:
            answer = clerk_client.post(
                f"/documents/{note_id}/{act}", dict(drawn.form(f"form[action$=/{act}]").values) | {field: text}
            )
            assert answer.status == 422 and (answer.has("[aria-invalid=true]") or answer.has(".error")), (
                act,
                text[:20],
            )
    note = the_document(note_id)
    assert note.state is DocState.REFUSED and note.void_reason is None
    with writing() as session:
        assert credit_drafts.original(session.get_one(Document, note_id)).open_minor == 99_800
        with pytest.raises(Exception, match="can no longer be changed"):
            credit_drafts.set_quantity(session, FINANCE, note_id, note.lines[0].id, "1")
