"""Goods that come back later, damaged or never: «Ta emot retur» (K24, K25, K45; S1, S3, I11)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from db import db, reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from models import Document, StockMovement
from services import credit_drafts, credit_notes, credit_rows, goods_returns, reservations, stock, verify
from services.goods_returns import Typed
from states import MovementKind
from tests.builders import FINANCE, a_captured_invoice, a_money_form, a_warehouse, an_article, row, the_document
from tests.threads import while_open


def a_note(klarna: Any, sandbox: Any, actor: Any, pieces: int = 2, **options: Any) -> tuple[int, list[int]]:
    """An issued credit note on all of a delivered order, nothing put back unless ``restock``: its id and its rows'."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt", pieces=pieces), row("Mugg", 9_900)])
    with writing() as session:
        draft = credit_drafts.start(session, actor, invoice.id)
        if options:
            chosen = {"restock": False, "warehouse_id": None, "without_klarna": False, "reason": ""}
            credit_drafts.set_options(session, actor, draft.id, **{**chosen, **options})
        total = credit_drafts.figures(session, draft).gross_minor
        draft_id = draft.id
    note = the_document(reservations.credit(klarna, actor, draft_id, a_money_form(total)))
    return note.id, [line.id for line in note.lines]


def receive(actor: Any, note_id: int, typed: dict[int, Typed], *, note: str = "", place: int | None = None) -> None:
    with writing() as session:
        goods_returns.receive(session, actor, note_id, secrets.token_hex(16), place, typed, note)


def moved() -> list[tuple[int | None, int, MovementKind]]:
    """Every movement of a credit row: row, thousandths, kind."""
    with reading() as session:
        found = session.scalars(
            sa.select(StockMovement).where(StockMovement.document_line_id.is_not(None)).order_by(StockMovement.id)
        )
        return [(each.document_line_id, each.quantity_milli, each.kind) for each in found]


def findings() -> list[str]:
    with reading() as session:
        return [str(each) for name in ("S1", "S2", "S3", "I11") for each in verify.CHECKS[name](session)]


def test_goods_come_later_whole_damaged_or_never_once_per_row(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K24, S3: the movement is booked when the goods come; a second time is refused, also for what never comes."""
    note_id, (shirts, mug) = a_note(klarna, sandbox, clerk)
    assert moved() == []
    receive(clerk, note_id, {shirts: Typed("2", "whole"), mug: Typed("", "whole")})
    assert moved() == [(shirts, 2000, MovementKind.RETURN)]
    with reading() as session:
        waiting = goods_returns.goods(session, clerk, note_id)
    assert [each.id for each in waiting.waiting] == [mug] and waiting.no_return is None
    with pytest.raises(BadInput, match="accounted for already"):
        receive(clerk, note_id, {shirts: Typed("1", "whole")})
    with pytest.raises(BadInput, match="why the goods will never come"):
        receive(clerk, note_id, {mug: Typed("", "never")})
    receive(clerk, note_id, {mug: Typed("", "never")}, note="Kunden behåller muggen")
    assert len(moved()) == 1 and findings() == []
    with pytest.raises(Refusal, match="accounted for"):
        receive(clerk, note_id, {mug: Typed("1", "whole")})


@pytest.mark.only_on("postgres")
def test_goods_that_two_people_take_in_at_once_come_in_once(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """S3, operations 16.1: two open forms; the second waits for the first and finds nothing left to take in."""
    note_id, (shirts, _mug) = a_note(klarna, sandbox, clerk)

    def take_in(session: Session) -> None:
        typed = {shirts: Typed("2", "whole")}
        goods_returns.receive(session, clerk, note_id, secrets.token_hex(16), None, typed, "")

    assert isinstance(while_open(books, take_in, take_in), BadInput)
    assert moved() == [(shirts, 2000, MovementKind.RETURN)] and findings() == []


def test_damaged_goods_never_reach_the_stock_that_is_sold_from(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K24: at once by the draft's condition, later by the form; noted on the row, no movement."""
    note_id, (shirts, _mug) = a_note(klarna, sandbox, clerk)
    with reading() as session:
        article = session.get_one(Document, note_id).lines[0].article_id or 0
        before = stock.balance(session, article)
    receive(clerk, note_id, {shirts: Typed("2", "damaged")})
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("Kanna")])
    with writing() as session:
        draft = credit_drafts.start(session, clerk, invoice.id)
        credit_drafts.set_options(
            session, clerk, draft.id, restock=True, warehouse_id=None, without_klarna=False, reason=""
        )
        line = draft.lines[0].id
        with pytest.raises(BadInput, match="condition"):
            goods_returns.set_condition(session, clerk, draft.id, line, "never")
        goods_returns.set_condition(session, clerk, draft.id, line, "damaged")
        draft_id = draft.id
    reservations.credit(klarna, clerk, draft_id, a_money_form(49_900))
    assert moved() == [] and findings() == []
    with reading() as session:
        assert stock.balance(session, article) == before
        known = goods_returns.goods(session, clerk, draft_id)
    assert [(each.received.condition, each.received.quantity_milli) for each in known.rows if each.received] == [
        ("damaged", 1000)
    ]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (Typed("3", "whole"), "At most 2"),
        (Typed("0,5", "whole"), "whole pieces"),
        (Typed("-1", "whole"), "digits|more than|at least|quantity"),
        (Typed("1", "stulen"), "condition"),
        (Typed(" ", "whole"), "Enter how much"),
    ],
)
def test_what_cannot_have_come_is_refused_and_nothing_moves(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, typed: Typed, sentence: str
) -> None:
    """S3, catalogue row 9."""
    note_id, (shirts, _mug) = a_note(klarna, sandbox, clerk)
    with pytest.raises(BadInput, match=sentence):
        receive(clerk, note_id, {shirts: typed})
    assert moved() == []


def test_a_refused_note_a_reversed_one_and_a_stranger_receive_nothing(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, viewer: Any
) -> None:
    """S3, B31: never for a refused note; what came in goes out again when the note is reversed."""
    sandbox.fail_next(operation="create_refund", status=403, code="NOT_ALLOWED") if hasattr(
        sandbox, "fail_next"
    ) else None
    kept, (shirts, mug) = a_note(klarna, sandbox, clerk, without_klarna=True, reason="even_exchange")
    with pytest.raises(NotAllowed):
        receive(viewer, kept, {shirts: Typed("1", "whole")})
    with pytest.raises(NotFound):
        receive(clerk, kept, {shirts: Typed("1", "whole"), 999: Typed("1", "whole")})
    receive(clerk, kept, {shirts: Typed("2", "whole")})
    with writing() as session:
        credit_notes.reverse(session, FINANCE, kept, "fel")
    assert [milli for _, milli, _ in moved()] == [2000, -2000] and findings() == []
    with pytest.raises(Refusal, match="reversed"):
        receive(clerk, kept, {mug: Typed("1", "whole")})


def test_a_note_that_is_not_issued_receives_nothing(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """S3: a return movement has its issued credit row."""
    note_id, (_shirts, _mug) = a_note(klarna, sandbox, clerk)
    with reading() as session:
        document = session.get_one(Document, note_id)
        lines = [goods_returns._row(session, document, line) for line in document.lines]
        session.expunge(document)
        for state in ("pending", "refused", "void"):
            document.state = goods_returns.DocState(state)
            refusal = goods_returns._why_not(clerk, document, lines)
            assert refusal is not None and "issued credit note only" in refusal.message


def test_with_several_warehouses_one_is_chosen(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K25: preset to the one the goods were delivered from; an unknown one is refused."""
    note_id, (shirts, mug) = a_note(klarna, sandbox, clerk)
    with writing() as session:
        other = a_warehouse(session, "RL", "Returlagret").id
    with pytest.raises(BadInput, match="warehouse"):
        receive(clerk, note_id, {shirts: Typed("1", "whole")}, place=999)
    receive(clerk, note_id, {shirts: Typed("2", "whole")}, place=other)
    receive(clerk, note_id, {mug: Typed("1", "whole")})
    with reading() as session:
        places = list(session.scalars(sa.select(StockMovement.warehouse_id).where(StockMovement.kind == "return")))
    assert places[0] == other and places[1] != other


def test_goods_that_are_adjusted_by_hand_in_an_exchange_are_not_received_too(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K45: a new stock article on the note keeps the door shut, with the same sentence as the box."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt")])
    with writing() as session:
        draft = credit_drafts.start(session, clerk, invoice.id)
        credit_rows.add_article(session, clerk, draft.id, an_article(session, "Keps", 19_900).id)
        total, draft_id = credit_drafts.figures(session, draft).gross_minor, draft.id
    note_id = reservations.credit(klarna, clerk, draft_id, a_money_form(total))
    with pytest.raises(Refusal, match="new stock article"):
        receive(clerk, note_id, {the_document(note_id).lines[0].id: Typed("1", "whole")})


def test_one_form_receives_once(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """Operations 12: a double click moves the goods once."""
    note_id, (shirts, _mug) = a_note(klarna, sandbox, clerk)
    nonce = secrets.token_hex(16)
    for _ in range(2):
        with writing() as session:
            goods_returns.receive(session, clerk, note_id, nonce, None, {shirts: Typed("1", "whole")}, "")
    assert moved() == [(shirts, 1000, MovementKind.RETURN)]


@pytest.mark.untrue_books
def test_verify_finds_goods_received_beyond_what_was_credited(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """S3: a receipt without its movement, and one of more than the row."""
    _note, (shirts, mug) = a_note(klarna, sandbox, clerk)
    with db.engine.begin() as connection:
        for line, milli in ((shirts, 1000), (mug, 5000)):
            connection.execute(
                sa.text(
                    "INSERT INTO goods_return (document_line_id, quantity_milli, condition, warehouse_id, note, at, by)"
                    f" VALUES ({line}, {milli}, 'whole', 1, '', '2026-11-20T10:00:00.000Z', 'x')"
                )
            )
    assert any("nothing moved" in each for each in findings()) and any("credited" in each for each in findings())
