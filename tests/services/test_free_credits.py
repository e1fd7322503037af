"""Free-standing credit notes: booked, numbered, never sent (K42, I2, I9, B31)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import sqlalchemy as sa

from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Document, KlarnaOp
from services import credit_drafts, credit_notes, free_credits, payments, settings, verify
from services.credit_rows import Typed
from services.free_credits import Pressed
from states import DocState, WithoutKlarna
from tests.blueprints.document_pages import booked
from tests.builders import FINANCE, a_customer, an_article, the_document

WHY = "Goodwill efter försenad leverans"


def a_draft(actor: Any, price: str = "200,00") -> int:
    """A draft with one free row at 25 %."""
    with writing() as session:
        draft = free_credits.start(session, actor, a_customer(session).id)
        free_credits.add_free(session, actor, draft.id, Typed("1", price, "Goodwill", "2500"))
        return draft.id


def press(actor: Any, draft_id: int, **other: Any) -> int:
    """Press the button of the form as it stands now."""
    with reading() as session:
        form = free_credits.form(session, actor, draft_id)
    pressed = Pressed(
        **{
            "nonce": secrets.token_hex(16),
            "shown_minor": form.gross_minor,
            "version": form.version,
            "reason": WHY,
            **other,
        }
    )
    with writing() as session:
        return free_credits.create(session, actor, draft_id, pressed)


def findings() -> list[str]:
    with reading() as session:
        return [
            f"{name}: {each}"
            for name in ("A3", "A4", "A5", "A9", "I2", "I4", "I6", "I7", "I9")
            for each in verify.CHECKS[name](session)
        ]


def test_a_free_standing_credit_note_is_booked_and_nothing_is_sent(books: Any, sandbox: Any, clerk: Any) -> None:
    """K42: number, voucher and reason at once, no operation; a second press of the form does nothing more."""
    draft_id = a_draft(clerk)
    nonce = secrets.token_hex(16)
    press(clerk, draft_id, nonce=nonce)
    note = the_document(draft_id)
    assert (note.state, note.gross_minor, note.open_minor) == (DocState.ISSUED, 20_000, -20_000)
    assert (note.without_klarna_reason, note.without_klarna_note) == (WithoutKlarna.FREE_STANDING, WHY)
    assert booked(f"credit_note:{note.number_text}") == {3001: 16_000, 2611: 4_000, 1510: -20_000}
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(KlarnaOp)) == 0
    assert not sandbox.posts() and WHY in (note.snapshot or "")
    with writing() as session:
        again = Pressed(nonce, 20_000, 2, WHY)
        assert free_credits.create(session, clerk, draft_id, again) == draft_id
    assert findings() == []


def test_what_cannot_be_a_free_standing_credit_note_is_refused(books: Any, clerk: Any, viewer: Any) -> None:
    """K42, I9, B31: no rows, no reason, a sum to pay, a role without the right; nothing is numbered."""
    with writing() as session:
        customer = a_customer(session).id
        empty = free_credits.start(session, clerk, customer).id
        assert free_credits.start(session, clerk, customer).id == empty
    with pytest.raises(BadInput, match="no rows"):
        press(clerk, empty)
    charged = a_draft(clerk, "-50")
    with pytest.raises(BadInput, match="cannot charge the customer"):
        press(clerk, charged, shown_minor=-5_000)
    draft_id = a_draft(clerk)
    with pytest.raises(BadInput, match="Write the reason"):
        press(clerk, draft_id, reason="  ")
    with pytest.raises(NotAllowed):
        press(viewer, draft_id)
    with pytest.raises(NotFound), writing() as session:
        free_credits.start(session, clerk, 999)
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Document.number.is_not(None))) == 0


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        (Typed("0", "10", "x", "2500"), "quantity"),
        (Typed("1", "1e3", "x", "2500"), "price"),
        (Typed("1", "0", "x", "2500"), "price"),
        (Typed("1", "10", " ", "2500"), "name"),
        (Typed("1", "10", "x", "1700"), "vat_rate"),
    ],
)
def test_a_row_that_cannot_be_is_refused_beside_its_field(books: Any, clerk: Any, typed: Typed, field: str) -> None:
    """K27, K28, catalogue rows 4, 9, 14."""
    draft_id = a_draft(clerk)
    with pytest.raises(BadInput) as no, writing() as session:
        free_credits.add_free(session, clerk, draft_id, typed)
    assert no.value.field == field


def test_a_form_that_has_been_changed_underneath_creates_nothing(books: Any, clerk: Any) -> None:
    """Operations 12: another version or another sum is refused, and the draft stays."""
    draft_id = a_draft(clerk)
    with reading() as session:
        old = free_credits.form(session, clerk, draft_id)
    with writing() as session:
        article = an_article(session, "Mugg", 9_900)
        free_credits.add_article(session, clerk, draft_id, article.id)
    with pytest.raises(Stale):
        press(clerk, draft_id, version=old.version, shown_minor=old.gross_minor)
    with reading() as session:
        now = free_credits.form(session, clerk, draft_id)
    assert now.gross_minor == 29_900 and [row.gross_minor for row in now.rows] == [20_000, 9_900]


def test_above_the_clerks_limit_finance_creates_it(books: Any, clerk: Any, finance: Any) -> None:
    """B31."""
    with reading() as session:
        limit = settings.number(session, "refund_limit.clerk")
    draft_id = a_draft(clerk, f"{limit // 100 + 1}")
    with pytest.raises(NotAllowed, match="above your limit"):
        press(clerk, draft_id)
    press(finance, draft_id)
    assert the_document(draft_id).state is DocState.ISSUED


def test_it_is_paid_back_by_hand_or_reversed_while_unpaid(books: Any, clerk: Any) -> None:
    """K29, K42: the payment goes through the bank; a paid one is not reversed, a reversed one not paid."""
    paid, taken_back = a_draft(clerk), a_draft(clerk)
    press(clerk, paid), press(clerk, taken_back)
    with writing() as session:
        wanted = payments.Wanted(20_000, the_document(paid).issue_date, 1930, "")
        payments.register(session, FINANCE, paid, secrets.token_hex(16), wanted)
        credit_notes.reverse(session, FINANCE, taken_back, "fel kund")
    assert the_document(paid).open_minor == 0 and the_document(taken_back).reversed_at is not None
    with pytest.raises(Refusal, match="paid or offset"), writing() as session:
        credit_notes.reverse(session, FINANCE, paid, "nej")
    with pytest.raises(Refusal, match="reversed"), writing() as session:
        payments.register(session, FINANCE, taken_back, secrets.token_hex(16), wanted)
    assert findings() == []


def test_a_free_standing_draft_is_not_changed_as_one_on_an_invoice(books: Any, clerk: Any) -> None:
    """K5: the doors of the two kinds of draft are apart; a made-up address is answered as unknown."""
    draft_id = a_draft(clerk)
    with pytest.raises(NotFound), writing() as session:
        credit_drafts.get_draft(session, clerk, draft_id)
    with writing() as session:
        assert free_credits.discard(session, clerk, draft_id) > 0
    with pytest.raises(NotFound), reading() as session:
        free_credits.form(session, clerk, draft_id)
