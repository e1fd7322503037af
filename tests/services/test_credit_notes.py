"""Credit notes: the rules at creation, keeping, reversing, and what a person may do (K13-K20, K29-K34, B31; E4a, E11)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from freezegun import freeze_time

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal, Stale
from models import Document, Voucher
from services import (
    credit_drafts,
    credit_form,
    credit_limit,
    credit_notes,
    credited,
    document_acts,
    document_outcome,
    documents,
    reservations,
    settings,
)
from services.credit_drafts import Figures
from states import DocKind, DocState, OpState, RefusalKind, WithoutKlarna
from tests.builders import a_captured_invoice, a_money_form, row, the_document
from tests.threads import while_open


def a_draft(klarna: Any, sandbox: Any, actor: Any, lines: Any = 1) -> int:
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    with writing() as session:
        return credit_drafts.start(session, actor, invoice.id).id


def without_klarna(draft_id: int, actor: Any) -> Document:
    """Issue a draft as an even exchange."""
    with writing() as session:
        draft = credit_drafts.set_options(
            session, actor, draft_id, restock=True, warehouse_id=None, without_klarna=True, reason="even_exchange"
        )
        gross = credit_drafts.figures(session, draft).gross_minor
    return the_document(reservations.credit(None, actor, draft_id, a_money_form(gross)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "gross", "most", "sentence"),
    [
        (0, 0, 100, "no rows"),
        (1, 101, 100, "At most"),
        (1, 0, 100, "cannot charge"),
        (1, -100, 100, "make a new order"),
    ],
)
def test_a_sum_that_cannot_be_is_refused(rows: int, gross: int, most: int, sentence: str) -> None:
    """K26, K33, K44."""
    with pytest.raises(Refusal, match=sentence):
        credit_notes.require_sum(Figures(gross, [], most, 200, 100, rows), "SEK")


def test_a_sum_of_all_that_is_left_passes() -> None:
    credit_notes.require_sum(Figures(100, [], 100, 200, 100, 1), "SEK")


def test_the_sum_on_the_button_must_be_the_sum_of_the_draft(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Operations 12: both figures are said."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with pytest.raises(Stale, match=r"the sum was SEK 1\.00 and is now SEK 499\.00"):
        reservations.credit(klarna, clerk, draft_id, a_money_form(100))
    assert not sandbox.posts(operation="create_refund")


def test_one_ore_above_the_limit_is_for_finance(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """B31, catalogue 83."""
    with reading() as session:
        credit_limit.require(session, clerk, 200_000, "SEK")
        credit_limit.require(session, finance, 200_001, "SEK")
        with pytest.raises(NotAllowed, match="above your limit"):
            credit_limit.require(session, clerk, 200_001, "SEK")
        assert document_acts.why_not_exceed(session, clerk, 200_001, "SEK") is not None


def by_the_day(admin: Any) -> None:
    with writing() as session:
        settings.change(session, admin, "refund_limit.counts", "day", clock.today())
        settings.change(session, admin, "refund_limit.clerk", "100000", clock.today())


def test_a_limit_of_the_day_counts_what_one_person_has_credited_and_still_stands(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any, admin: Any
) -> None:
    """Catalogue 83: to the öre, over several notes, whoever drafted them; not what was reversed, nor another day's."""
    first = without_klarna(a_draft(klarna, sandbox, clerk), clerk)
    with reading() as session:
        credit_limit.require(session, clerk, 200_000, "SEK")
    by_the_day(admin)

    def may(minor: int, who: Any = clerk, **more: Any) -> bool:
        with reading() as session:
            try:
                credit_limit.require(session, who, minor, "SEK", **more)
            except NotAllowed:
                return False
            return True

    assert may(50_100) and not may(50_101) and may(200_000, finance)
    assert may(100_000, but=first.id), "a note is not counted beside itself"
    second = a_draft(klarna, sandbox, finance)
    reservations.credit(klarna, clerk, second, a_money_form(49_900))
    assert may(200) and not may(201)
    third = a_draft(klarna, sandbox, clerk)
    sent = len(sandbox.posts(operation="create_refund"))
    with pytest.raises(NotAllowed, match=r"with the SEK 998\.00 that you have credited today"):
        reservations.credit(klarna, clerk, third, a_money_form(49_900))
    assert len(sandbox.posts(operation="create_refund")) == sent
    with writing() as session:
        credit_notes.reverse(session, finance, first.id, "fel kund")
    assert may(50_100) and not may(50_101)
    with freeze_time(clock.now() + timedelta(days=1)):
        assert may(100_000)
    reservations.credit(klarna, finance, third, a_money_form(49_900))
    assert may(50_100), "what Finance credits is not the clerk's"


@pytest.mark.only_on("postgres")
def test_two_credit_notes_at_once_do_not_both_pass_a_limit_of_the_day(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, admin: Any
) -> None:
    """Catalogue 83: the second waits for the first and counts it. Seen red without the lock."""
    drafts = [a_draft(klarna, sandbox, clerk) for _ in range(2)]
    by_the_day(admin)
    with writing() as session:
        settings.change(session, admin, "refund_limit.clerk", "50000", clock.today())
        for draft_id in drafts:
            credit_drafts.set_options(
                session, clerk, draft_id, restock=False, warehouse_id=None, without_klarna=True, reason="even_exchange"
            )

    def create(number: int) -> Any:
        def work(session: Any) -> None:
            draft = credit_drafts.get_draft(session, clerk, drafts[number])
            credit_notes.require_creatable(session, clerk, draft, 49_900)
            credit_notes.issue_without_klarna(session, clerk, draft, portal_confirmed=False, external=None)

        return work

    assert isinstance(while_open(books, create(0), create(1)), NotAllowed)


def test_an_even_exchange_is_reversed_once_by_finance_and_its_rows_are_free(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """E11, golden vouchers; I11: not by a clerk, not twice; what was credited can be credited again."""
    note = without_klarna(a_draft(klarna, sandbox, clerk), clerk)
    assert note.state is DocState.ISSUED and note.open_minor == -49_900
    with pytest.raises(NotAllowed), writing() as session:
        credit_notes.reverse(session, clerk, note.id, "fel kund")
    with pytest.raises(BadInput), writing() as session:
        credit_notes.reverse(session, finance, note.id, "  ")
    with writing() as session:
        assert credit_notes.reverse(session, finance, note.id, "fel kund").open_minor == 0
    with pytest.raises(Refusal, match="already"), writing() as session:
        credit_notes.reverse(session, finance, note.id, "fel kund")
    with reading() as session:
        assert credited.why_not_credited(session, session.get_one(Document, note.original_id)) is None
        made, undone = session.scalars(
            sa.select(Voucher).where(Voucher.document_id == note.id).order_by(Voucher.id)
        ).all()
        rows = [[(each.account, each.amount_minor) for each in voucher.postings] for voucher in (made, undone)]
    assert sorted(rows[0]) == [(1510, -49_900), (2611, 9_980), (3001, 39_920)]
    assert rows[1] == [(account, -minor) for account, minor in rows[0]]
    assert (undone.series, undone.reverses_id, undone.day) == ("K", made.id, clock.today())


def test_what_klarna_paid_back_is_not_reversed(books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any) -> None:
    """Catalogue 81."""
    draft_id = a_draft(klarna, sandbox, clerk)
    reservations.credit(klarna, clerk, draft_id, a_money_form(49_900))
    with pytest.raises(Refusal, match="without Klarna"), writing() as session:
        credit_notes.reverse(session, finance, draft_id, "fel")


def test_the_form_says_what_is_in_the_way(books: Any, klarna: Any, sandbox: Any, clerk: Any, viewer: Any) -> None:
    """B31, K15: the same sentences as the server's."""
    draft_id = a_draft(klarna, sandbox, clerk, [row("T-shirt", pieces=2)])
    with reading() as session:
        form = credit_form.form(session, clerk, draft_id)
        assert form.refusal is None and form.klarna is not None and form.klarna.after_minor == 0
        refused = credit_form.form(session, viewer, draft_id).refusal
        assert refused is not None and "role" in refused.message
    sandbox.fault("refuse", operation="create_refund")
    reservations.credit(klarna, clerk, draft_id, a_money_form(99_800))
    with writing() as session:
        other = credit_drafts.start(session, clerk, the_document(draft_id).original_id or 0)
        found = credit_form.form(session, clerk, other.id)
        assert found.refusal is not None and "awaits a decision" in found.refusal.message
        assert [each.id for each in found.others] == [draft_id]


def test_what_is_answered_while_a_quantity_is_saved_is_what_stands_there_afterwards(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K21, K23: the answer is read in the transaction that saves, and says neither more nor less than the page does next."""
    draft_id = a_draft(klarna, sandbox, clerk, [row("T-shirt", pieces=5), row("Bok", 3_333, pieces=3, rate=600)])
    with writing() as session:
        draft = credit_drafts.set_options(
            session, clerk, draft_id, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
        first, second = (line.id for line in draft.lines)
    later = []
    for line_id, text in ((first, "2"), (second, "1"), (second, "1"), (first, "3")):
        with writing() as session:
            typed = credit_drafts.set_quantity(session, clerk, draft_id, line_id, text)
            answered = credit_form.form_of(session, clerk, typed, whole=False)
        with reading() as session:
            page = credit_form.form(session, clerk, draft_id)
        left_out = {"customer": "", "customer_number": 0, "warehouses": (), "others": ()}
        assert answered == replace(page, **left_out)
        later.append((page.version, page.sums.gross_minor, [each.restock_milli for each in page.rows]))
    start = later[0][0]
    assert later == [
        (start, 2 * 49_900 + 9_999, [2000, 3000]),
        (start + 1, 2 * 49_900 + 3_333, [2000, 1000]),
        (start + 1, 2 * 49_900 + 3_333, [2000, 1000]),
        (start + 2, 3 * 49_900 + 3_333, [3000, 1000]),
    ]


@pytest.mark.parametrize(
    ("state", "op", "refusal", "words"),
    [
        (DocState.DRAFT, None, None, "Draft"),
        (DocState.PENDING, OpState.PREPARED, None, "Not sent"),
        (DocState.PENDING, OpState.SENDING, None, "Sending"),
        (DocState.PENDING, OpState.UNKNOWN, None, "Answer unknown"),
        (DocState.PENDING, OpState.REVIEW, None, "Needs a decision"),
        (DocState.REFUSED, None, RefusalKind.KLARNA, "Refused by Klarna"),
        (DocState.REFUSED, None, RefusalKind.DRIFT, "Not carried out"),
        (DocState.ISSUED, OpState.CONFIRMED, None, "Credited at Klarna"),
        (DocState.ISSUED, OpState.EXTERNAL, None, "Made outside Kvitta"),
        (DocState.ISSUED, None, None, "Without Klarna"),
        (DocState.VOID, None, None, "Voided"),
    ],
)
def test_every_state_has_its_word(state: DocState, op: OpState | None, refusal: RefusalKind | None, words: str) -> None:
    """Operations 11: one label per state; black icon only on proof (F23)."""
    label, _ = document_outcome.badge(
        DocKind.CREDIT_NOTE, state, op_state=op, refusal=refusal, without=WithoutKlarna.EVEN_EXCHANGE, reversed_at=None
    )
    assert label == words
    icon = document_outcome.icon(DocKind.CREDIT_NOTE, state, True, op)
    assert (icon == "credited") == (op in (OpState.CONFIRMED, OpState.EXTERNAL))


def test_a_document_of_another_kind_is_not_there(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Catalogue 18."""
    draft_id = a_draft(klarna, sandbox, clerk)
    with reading() as session:
        for document_id, kind in ((draft_id, None), (1, DocKind.CREDIT_NOTE), (999, None)):
            with pytest.raises(Refusal):
                documents.get_numbered(session, document_id, kind)
