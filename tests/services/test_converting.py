"""Credit notes without Klarna afterwards: the list that drops them, a real refund later, a refund that turned up (K20, K29)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from db import reading, writing
from errors import NotAllowed, Refusal
from models import Document
from services import (
    converting,
    credit_drafts,
    credit_notes,
    document_list,
    goods_returns,
    reservations,
    verify,
)
from services.document_list import Filters
from states import DocKind, DocState
from tests.builders import CLERK, FINANCE, a_captured_invoice, a_money_form, row, the_document
from tests.services.test_goods_returns import moved, receive


def a_note(
    klarna: Any, sandbox: Any, reason: str = "even_exchange", *, confirmed: bool = False, **options: Any
) -> Document:
    """An issued credit note of 499,00 without Klarna on a captured invoice of 998,00."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", pieces=2)])
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        credit_drafts.set_quantity(session, FINANCE, draft.id, draft.lines[0].id, "1")
        chosen = {"restock": False, "warehouse_id": None, "without_klarna": True, "reason": reason}
        credit_drafts.set_options(session, FINANCE, draft.id, **{**chosen, **options})
        draft_id = draft.id
    made = reservations.credit(klarna, FINANCE, draft_id, a_money_form(49_900), portal_confirmed=confirmed)
    return the_document(made)


def listed() -> list[int]:
    """What stands in «Krediterat utan Klarna»."""
    with reading() as session:
        found = document_list.listing(session, Filters(DocKind.CREDIT_NOTE, "without")).rows
        assert document_list.counts(session, Filters(DocKind.CREDIT_NOTE, "without"))["without"] == len(found)
        return [each.id for each in found]


def findings() -> list[str]:
    with reading() as session:
        return [f"{each.id}: {one}" for each in verify.run(session) for one in each.findings]


def test_a_note_without_klarna_becomes_a_refund_and_nothing_is_credited_twice(
    books: Any, klarna: Any, sandbox: Any
) -> None:
    """K29; operations 4, 9: the note is reversed in books and stock, its draft has the same rows, and one refund is sent."""
    note = a_note(klarna, sandbox, restock=True)
    assert listed() == [note.id] and not sandbox.posts(operation="create_refund")
    nonce = secrets.token_hex(16)
    draft_id = converting.convert(klarna, FINANCE, note.id, nonce)
    assert converting.convert(klarna, FINANCE, note.id, nonce) == draft_id
    assert the_document(note.id).reversed_at is not None and listed() == []
    draft = the_document(draft_id)
    assert (draft.state, draft.with_klarna, draft.restock) == (DocState.DRAFT, True, True)
    assert [(line.quantity_milli, line.gross_minor, line.restock_milli) for line in draft.lines] == [
        (1000, 49_900, 1000)
    ]
    assert not sandbox.posts(operation="create_refund")
    assert reservations.credit(klarna, FINANCE, draft_id, a_money_form(49_900)) == draft_id
    assert len(sandbox.posts(operation="create_refund")) == 1
    assert [milli for _, milli, _ in moved()] == [1000, -1000, 1000] and findings() == []
    with pytest.raises(Refusal):
        converting.convert(klarna, FINANCE, note.id, secrets.token_hex(16))


def test_goods_that_came_later_follow_the_note_into_its_refund(books: Any, klarna: Any, sandbox: Any) -> None:
    """K24, K29, I11: what was received is taken out with the reversal and put back with the refund."""
    note = a_note(klarna, sandbox)
    receive(CLERK, note.id, {note.lines[0].id: goods_returns.Typed("1", "whole")})
    draft_id = converting.convert(klarna, FINANCE, note.id, secrets.token_hex(16))
    reservations.credit(klarna, FINANCE, draft_id, a_money_form(49_900))
    assert [milli for _, milli, _ in moved()] == [1000, -1000, 1000] and findings() == []


def test_a_refund_that_turned_up_is_tied_and_not_made_again(books: Any, klarna: Any, sandbox: Any) -> None:
    """K20, K29, operations 13: the difference is closed, the note leaves the list, and it can no longer be reversed."""
    note = a_note(klarna, sandbox, "credited_in_portal", confirmed=True)
    assert listed() == [note.id]
    with pytest.raises(Refusal, match="no credit that"), writing() as session:
        converting.tie(session, FINANCE, note.id, secrets.token_hex(16))
    order_id = note.order_id or 0
    with reading() as session:
        klarna_order = session.get_one(Document, note.id).order.klarna_order_id  # type: ignore[union-attr]
    sandbox.portal_refund(klarna_order, 49_900)
    with pytest.raises(Refusal, match="Tie it to the credit note"):
        converting.convert(klarna, FINANCE, note.id, secrets.token_hex(16))
    assert the_document(note.id).reversed_at is None
    reservations.look_at(klarna, order_id)
    assert listed() == [note.id], "a difference that nobody has settled is no agreement"
    with reading() as session:
        shown = converting.afterwards(session, FINANCE, note.id)
    assert shown is not None and shown.found_minor == 49_900
    with pytest.raises(NotAllowed), writing() as session:
        converting.tie(session, CLERK, note.id, secrets.token_hex(16))
    for _ in range(2):
        with writing() as session:
            converting.tie(session, FINANCE, note.id, secrets.token_hex(16))
    assert listed() == [] and findings() == []
    with pytest.raises(Refusal, match="cannot be reversed"), writing() as session:
        credit_notes.reverse(session, FINANCE, note.id, "nej")


def test_without_an_answer_from_klarna_the_note_stays_as_it_is(books: Any, klarna: Any, sandbox: Any) -> None:
    """K32: nothing is reversed on a look that failed; and a clerk may not convert (B31)."""
    note = a_note(klarna, sandbox)
    with pytest.raises(NotAllowed):
        converting.convert(klarna, CLERK, note.id, secrets.token_hex(16))
    sandbox.fault("unavailable", operation="get_order", times=0)
    with pytest.raises(Refusal):
        converting.convert(klarna, FINANCE, note.id, secrets.token_hex(16))
    assert the_document(note.id).reversed_at is None and listed() == [note.id]


def test_a_reversed_note_and_an_order_that_agrees_leave_the_list(books: Any, klarna: Any, sandbox: Any) -> None:
    """K29: reversible while unpaid; the list keeps the others with their reason."""
    first, second = a_note(klarna, sandbox), a_note(klarna, sandbox)
    assert listed() == [second.id, first.id]
    with writing() as session:
        credit_notes.reverse(session, FINANCE, first.id, "fel faktura")
    assert listed() == [second.id]
