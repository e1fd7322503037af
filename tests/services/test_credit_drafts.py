"""Drafts of credit notes: what is left, shares to the öre, restock, limits (K21-K26, K33, K38)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import money
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Document, DocumentLine
from services import credit_drafts, documents, reservations
from services.credit_drafts import Credited
from states import DocState, WithoutKlarna
from tests.builders import FREIGHT, a_captured_invoice, a_money_form, row


def a_draft(klarna: Any, sandbox: Any, actor: Any, lines: Any = 1) -> tuple[int, list[int]]:
    """A draft on a new captured invoice: its id and its rows'."""
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    with writing() as session:
        draft = credit_drafts.start(session, actor, invoice.id)
        return draft.id, [line.id for line in draft.lines]


# --- Shares to the öre (K38): pure, so they need no database --------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    quantity=st.integers(1, 5_000),
    gross=st.integers(0, 20_000_000),
    discount=st.integers(0, 500_000),
    rate=st.sampled_from([0, 600, 1200, 2500]),
    parts=st.lists(st.integers(1, 5_000), min_size=1, max_size=30),
)
def test_crediting_a_row_bit_by_bit_ends_at_exactly_zero(
    quantity: int, gross: int, discount: int, rate: int, parts: list[int]
) -> None:
    """K38: amount, discount and VAT are each given back to the öre; no step gives more than is left, none a minus."""
    original = DocumentLine(
        id=1,
        quantity_milli=quantity,
        gross_minor=gross,
        discount_minor=discount,
        vat_minor=money.vat_of_gross(gross, rate),
    )
    done = Credited()
    for part in [*parts, quantity]:
        left = quantity - done.quantity_milli
        if left == 0:
            break
        copy = DocumentLine(quantity_milli=min(part, left))
        credit_drafts._price(copy, original, done)
        assert 0 <= copy.gross_minor <= original.gross_minor - done.gross_minor
        assert 0 <= copy.vat_minor <= original.vat_minor - done.vat_minor
        done = Credited(
            done.quantity_milli + copy.quantity_milli,
            done.gross_minor + copy.gross_minor,
            done.discount_minor + copy.discount_minor,
            done.vat_minor + copy.vat_minor,
        )
    assert done == Credited(quantity, gross, discount, original.vat_minor)


@settings(max_examples=200, deadline=None)
@given(
    quantity=st.integers(1, 50),
    gross=st.integers(1, 1_000_000),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=40),
)
def test_shares_taken_and_put_back_in_any_order_never_lose_an_ore(
    quantity: int, gross: int, steps: list[tuple[bool, int]]
) -> None:
    """K38: a reversed credit note gives its share back, and the next ones catch up."""
    taken: list[tuple[int, int]] = []
    for back, part in steps:
        if back and taken:
            taken.pop(part % len(taken))
            continue
        done, minor = sum(t[0] for t in taken), sum(t[1] for t in taken)
        if done < quantity:
            now = min(part, quantity - done)
            share = money.next_share(gross, quantity, done, minor, now)
            assert 0 <= share <= gross - minor
            taken.append((now, share))
    done, minor = sum(t[0] for t in taken), sum(t[1] for t in taken)
    if done < quantity:
        taken.append((quantity - done, money.next_share(gross, quantity, done, minor, quantity - done)))
    assert sum(t[1] for t in taken) == gross


# --- Rows ---------------------------------------------------------------------------------------------------------------------


def test_a_draft_begins_with_all_that_is_left(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K8, K26; one draft per person and invoice."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", pieces=2), row("Frakt", 4_900, kind=FREIGHT)])
    with writing() as session:
        draft = credit_drafts.start(session, clerk, invoice.id)
        assert [line.quantity_milli for line in draft.lines] == [2000, 1000]
        assert credit_drafts.figures(session, draft).gross_minor == 104_700 and draft.number is None
        assert credit_drafts.start(session, clerk, invoice.id).id == draft.id


def test_a_draft_on_what_is_no_issued_invoice_is_refused(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, viewer: Any
) -> None:
    """K9, B31."""
    draft_id, _ = a_draft(klarna, sandbox, clerk)
    with pytest.raises(Refusal, match="has not been issued"), writing() as session:
        credit_drafts.start(session, clerk, draft_id)
    with pytest.raises(NotFound), writing() as session:
        credit_drafts.start(session, clerk, 999)
    with pytest.raises(NotAllowed), writing() as session:
        credit_drafts.start(session, viewer, 1)


def test_an_unchanged_quantity_changes_nothing(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Typing what stands there does not make a colleague's form stale."""
    draft_id, lines = a_draft(klarna, sandbox, clerk)
    with reading() as session:
        before = documents.get(session, draft_id).version
    with writing() as session:
        assert credit_drafts.set_quantity(session, clerk, draft_id, lines[0], "1").version == before


def test_pieces_stay_whole_where_the_invoice_counts_pieces(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Catalogue 9; metres may be parted."""
    draft_id, lines = a_draft(
        klarna, sandbox, clerk, [row("T-shirt", pieces=2), row("Väv", 20_000, quantity_milli=1500, unit="m")]
    )
    with pytest.raises(BadInput, match="whole pieces"), writing() as session:
        credit_drafts.set_quantity(session, clerk, draft_id, lines[0], "1,5")
    with writing() as session:
        draft = credit_drafts.set_quantity(session, clerk, draft_id, lines[1], "0,5")
        assert draft.lines[1].gross_minor == 10_000


def test_a_lower_quantity_lowers_what_goes_back_to_stock(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K24: never more back than credited; freight never lies in stock."""
    draft_id, lines = a_draft(
        klarna, sandbox, clerk, [row("T-shirt", pieces=3), row("Frakt", 100, pieces=2, kind=FREIGHT)]
    )
    with writing() as session:
        credit_drafts.set_options(
            session, clerk, draft_id, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
    with writing() as session:
        credit_drafts.set_quantity(session, clerk, draft_id, lines[0], "2")
        draft = credit_drafts.set_quantity(session, clerk, draft_id, lines[1], "1")
        assert [line.restock_milli for line in draft.lines] == [2000, 0]
    with pytest.raises(BadInput, match="Nothing of this row"), writing() as session:
        credit_drafts.set_restock(session, clerk, draft_id, lines[1], "1")


def test_a_draft_that_was_changed_meanwhile_is_stale(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    draft_id, _ = a_draft(klarna, sandbox, clerk)
    with pytest.raises(Stale), writing() as session:
        credit_drafts.get_draft(session, clerk, draft_id, version=99)


@pytest.mark.untrue_books
def test_rows_that_others_have_credited_leave_the_draft_when_it_is_opened_again(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """K33: a draft reserves nothing."""
    draft_id, _ = a_draft(klarna, sandbox, clerk, [row("T-shirt", pieces=2), row("Keps", 20_000)])
    with writing() as session:
        invoice_id = documents.get(session, draft_id).original_id or 0
        other = credit_drafts.start(session, finance, invoice_id)
        other.with_klarna, other.without_klarna_reason = False, WithoutKlarna.EVEN_EXCHANGE
        credit_drafts.set_quantity(session, finance, other.id, other.lines[0].id, "1")
        documents.number_and_freeze(session, other, DocState.ISSUED, finance)
    with writing() as session:
        mine = credit_drafts.start(session, clerk, invoice_id)
        assert [(line.removed, line.quantity_milli) for line in mine.lines] == [(False, 1000), (True, 0)]
        assert credit_drafts.figures(session, mine).most_minor == 49_900


def test_a_discarded_draft_leaves_no_row(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    draft_id, _ = a_draft(klarna, sandbox, clerk)
    with writing() as session:
        credit_drafts.discard(session, clerk, draft_id)
    with reading() as session:
        assert session.get(Document, draft_id) is None


def test_what_goes_back_to_stock_follows_when_somebody_else_credits_a_part(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """A draft of two shirts, both back in stock, of which a colleague credits one meanwhile (K21, K24)."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", 49_900, pieces=2)])
    with writing() as session:
        mine = credit_drafts.start(session, clerk, invoice.id).id
        credit_drafts.set_options(
            session, clerk, mine, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
        other = credit_drafts.start(session, finance, invoice.id)
        credit_drafts.set_quantity(session, finance, other.id, other.lines[0].id, "1")
        theirs = other.id
    reservations.credit(klarna, finance, theirs, a_money_form(49_900))
    with writing() as session:
        draft = credit_drafts.start(session, clerk, invoice.id)
        assert draft.id == mine
        assert [(line.quantity_milli, line.restock_milli) for line in draft.lines] == [(1_000, 1_000)]
