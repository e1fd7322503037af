"""Exchanges: weighed, prepared, carried out; the replacement invoice and what it is offset against (K30, K43-K46; E5, E6)."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from db import reading, writing
from errors import BadInput, Refusal
from models import Article, Document, DocumentLine, NumberSeries, StockMovement
from services import (
    adjustments,
    credit_drafts,
    credit_form,
    credit_notes,
    documents,
    exchange,
    goods_returns,
    replacement,
    stock,
    stock_booking,
)
from services.exchange import Plan, Way
from services.goods_returns import Typed
from services.replacement import Out
from states import DocState, DocType, MovementKind, WithoutKlarna
from tests.blueprints.document_pages import booked
from tests.builders import a_captured_invoice, an_article, row, the_document, the_warehouse
from tests.services import settlement_parts
from tests.services.settlement_parts import worker
from tests.services.test_credit_rows import all_is_well, create
from tests.threads import in_threads, until_somebody_waits, while_open

__all__ = ("worker",)


def a_draft(klarna: Any, sandbox: Any, actor: Any, price: int = 49_900) -> tuple[int, int, Article]:
    """A draft on an invoice of two T-shirts: its id, the shirts' row, and another article of this price."""
    invoice = a_captured_invoice(klarna, sandbox, lines=[row("T-shirt röd", pieces=2)])
    with writing() as session:
        other = an_article(session, "T-shirt blå", price, stock_milli=5000)
        draft = credit_drafts.start(session, actor, invoice.id)
        return draft.id, draft.lines[0].id, other


def on_hand(article_id: int | None) -> int:
    with reading() as session:
        return stock.balance(session, article_id or 0)


def an_even_note(klarna: Any, actor: Any, draft_id: int, line_id: int) -> Document:
    """A credit note of one shirt, made as an even exchange on the draft's own page."""
    with writing() as session:
        credit_drafts.set_quantity(session, actor, draft_id, line_id, "1")
        credit_drafts.set_options(
            session, actor, draft_id, restock=True, warehouse_id=None, without_klarna=True, reason="even_exchange"
        )
    return create(klarna, actor, draft_id)


def replace(actor: Any, note: Document, *out: Out, nonce: str | None = None) -> Document:
    with writing() as session:
        made = replacement.replace(session, actor, nonce or secrets.token_hex(16), note.id, out, None)
        return the_document_of(session, made)


def the_document_of(session: Any, made: Document) -> Document:
    session.flush()
    return made


def test_a_replacement_invoice_closes_an_even_exchange_and_klarna_hears_nothing(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K30, E5a-c: golden vouchers; the blue shirt leaves stock, nothing stays open, the order says that both agree."""
    draft_id, line_id, blue = a_draft(klarna, sandbox, clerk)
    note = an_even_note(klarna, clerk, draft_id, line_id)
    red = note.lines[0].article_id
    assert booked(f"credit_note:{note.number_text}") == {3001: 39_920, 2611: 9_980, 1510: -49_900}
    before, back = on_hand(blue.id), on_hand(red)
    nonce = secrets.token_hex(16)
    made = [replace(clerk, note, Out(blue.id, 1000, 49_900), nonce=nonce).id for _ in range(2)]
    assert made[0] == made[1], "one form makes one invoice"
    invoice, note = the_document(made[0]), the_document(note.id)
    assert (invoice.type, invoice.state, invoice.gross_minor) == (DocType.REPLACEMENT, DocState.ISSUED, 49_900)
    assert (invoice.open_minor, note.open_minor) == (0, 0)
    assert invoice.without_klarna_reason is WithoutKlarna.EVEN_EXCHANGE and not invoice.with_klarna
    assert booked(f"invoice:{invoice.number_text}") == {1510: 49_900, 3001: -39_920, 2611: -9_980}
    assert booked(f"offset:{invoice.number_text}:{note.number_text}") == {1510: 0}
    assert on_hand(blue.id) == before - 1000 and on_hand(red) == back
    assert not sandbox.posts(operation="create_refund")
    assert len(sandbox.posts(operation="create_capture")) == 1
    with reading() as session:
        story = exchange.story(session, clerk, note.id)
        assert [each.id for each in story.partners] == [invoice.id] and story.no_replacement is not None
        assert [each.id for each in exchange.story(session, clerk, invoice.id).partners] == [note.id]
    all_is_well()


def test_a_replacement_of_another_sum_or_a_second_one_is_refused(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """K30: both sums are said; nothing is done. A note that has been replaced cannot be reversed (I11)."""
    draft_id, line_id, blue = a_draft(klarna, sandbox, clerk)
    note = an_even_note(klarna, clerk, draft_id, line_id)
    with pytest.raises(BadInput, match=r"comes to SEK 498\.99, the credit note to SEK 499\.00"):
        replace(clerk, note, Out(blue.id, 1000, 49_899))
    with pytest.raises(BadInput, match="from the list"):
        replace(clerk, note, Out(9999, 1000, 49_900))
    replace(clerk, note, Out(blue.id, 500, 99_800))
    with pytest.raises(Refusal, match="Nothing is left"):
        replace(clerk, note, Out(blue.id, 1000, 49_900))
    with pytest.raises(Refusal, match="paid or offset"), writing() as session:
        credit_form.credit_notes.reverse(session, finance, note.id, "fel")
    all_is_well()


def test_only_a_note_of_an_even_exchange_has_a_replacement(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, viewer: Any
) -> None:
    """K30."""
    draft_id, _, blue = a_draft(klarna, sandbox, clerk)
    note = create(klarna, clerk, draft_id)
    with pytest.raises(Refusal, match="Only a credit note for an even exchange"):
        replace(clerk, note, Out(blue.id, 1000, 49_900))
    with reading() as session:
        assert replacement.why_no_replacement(viewer, session.get_one(Document, note.id)) is not None
        assert not exchange.story(session, clerk, note.id).told


def test_stock_that_is_short_stops_the_replacement_whole(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """S2: no invoice, no offset, no number."""
    draft_id, line_id, _ = a_draft(klarna, sandbox, clerk)
    note = an_even_note(klarna, clerk, draft_id, line_id)
    with writing() as session:
        none = an_article(session, "T-shirt grön", 49_900, stock_milli=0, may_go_negative=False)
    with pytest.raises(Refusal, match="only 0 is in stock"):
        replace(clerk, note, Out(none.id, 1000, 49_900))
    assert the_document(note.id).open_minor == -49_900
    all_is_well()


@pytest.mark.parametrize(("price", "way"), [(49_900, Way.EVEN), (29_900, Way.CHEAPER), (59_900, Way.DEARER)])
def test_an_exchange_is_weighed_by_what_both_come_to(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, price: int, way: Way
) -> None:
    """K30, K43, K44."""
    draft_id, line_id, other = a_draft(klarna, sandbox, clerk, price)
    with reading() as session:
        draft = session.get_one(Document, draft_id)
        weighed = exchange.weigh(session, draft, Plan({line_id: 1000}, [Out(other.id, 1000, price)]))
        assert (weighed.way, weighed.difference_minor) == (way, 49_900 - price)
        with pytest.raises(BadInput, match="At most 2000 can be credited"):
            exchange.weigh(session, draft, Plan({line_id: 3000}, [Out(other.id, 1000, price)]))
        with pytest.raises(BadInput, match="come back"):
            exchange.weigh(session, draft, Plan({}, [Out(other.id, 1000, price)]))


def test_an_even_exchange_is_carried_out_whole_and_once(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K30, E5: credit note, goods back, replacement, goods out, offset; the same form again does nothing more."""
    draft_id, line_id, blue = a_draft(klarna, sandbox, clerk)
    with reading() as session:
        red, place = session.get_one(DocumentLine, line_id).article_id, the_warehouse(session).id
    before = on_hand(red), on_hand(blue.id)
    plan, nonce = Plan({line_id: 1000}, [Out(blue.id, 1000, 49_900)], place), secrets.token_hex(16)
    for _ in range(2):
        with writing() as session:
            note_id = exchange.carry_out(session, clerk, nonce, draft_id, plan).id
    note = the_document(note_id)
    assert (note.gross_minor, note.open_minor, note.without_klarna_reason) == (49_900, 0, WithoutKlarna.EVEN_EXCHANGE)
    assert (on_hand(red), on_hand(blue.id)) == (before[0] + 1000, before[1] - 1000)
    assert not sandbox.posts(operation="create_refund")
    all_is_well()


def test_several_articles_go_out_in_one_exchange_each_with_its_row_and_its_movement(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K30, S1: a shirt against two caps, one of them twice as a row, at two VAT rates; the books end even to the öre."""
    draft_id, line_id, cap = a_draft(klarna, sandbox, clerk, 20_000)
    with writing() as session:
        book = an_article(session, "Bok", 9_900, rate=600, stock_milli=5000)
        place = the_warehouse(session).id
    out = [Out(cap.id, 1000, 20_000), Out(book.id, 1000, 9_900), Out(cap.id, 1000, 20_000)]
    with writing() as session:
        note = exchange.carry_out(session, clerk, secrets.token_hex(16), draft_id, Plan({line_id: 1000}, out, place))
    with reading() as session:
        ((invoice, amount),) = replacement.partners(session, session.get_one(Document, note.id))
        assert amount == 49_900
        assert [(line.name, line.gross_minor) for line in invoice.lines] == [
            ("T-shirt blå", 20_000), ("Bok", 9_900), ("T-shirt blå", 20_000),
        ]  # fmt: skip
        moved = sa.select(StockMovement.quantity_milli).where(StockMovement.kind == MovementKind.REPLACEMENT)
        assert list(session.scalars(moved)) == [-1000, -1000, -1000]
    assert (on_hand(cap.id), on_hand(book.id)) == (3000, 4000)
    assert booked(f"invoice:{invoice.number_text}") == {
        1510: 49_900,
        3001: -32_000,
        2611: -8_000,
        3003: -9_340,
        2631: -560,
    }
    all_is_well()


def test_a_row_of_several_that_cannot_go_out_stops_all_and_says_which(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K30, S2: nothing is half done."""
    draft_id, line_id, cap = a_draft(klarna, sandbox, clerk, 20_000)
    with writing() as session:
        closed = an_article(session, "Utgången", 29_900, stock_milli=5000)
        closed.active = False
        place = the_warehouse(session).id
    out = [Out(cap.id, 1000, 20_000), Out(closed.id, 1000, 29_900, place=1)]
    with pytest.raises(BadInput, match="from the list") as no, writing() as session:
        exchange.carry_out(session, clerk, secrets.token_hex(16), draft_id, Plan({line_id: 1000}, out, place))
    assert no.value.field == "article-1"
    assert the_document(draft_id).state is DocState.DRAFT and on_hand(cap.id) == 5000
    all_is_well()


@pytest.mark.only_on("postgres")
def test_an_exchange_that_two_people_carry_out_at_once_is_carried_out_once(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K30, operations 16.1: the second waits for the first and is told that the draft is no draft any more."""
    draft_id, line_id, blue = a_draft(klarna, sandbox, clerk)
    with reading() as session:
        red, place = session.get_one(DocumentLine, line_id).article_id, the_warehouse(session).id
    before = on_hand(red), on_hand(blue.id)
    plan = Plan({line_id: 1000}, [Out(blue.id, 1000, 49_900)], place)

    def carry_out(session: Session) -> None:
        exchange.carry_out(session, clerk, secrets.token_hex(16), draft_id, plan)

    assert isinstance(while_open(books, carry_out, carry_out), Refusal)
    assert (on_hand(red), on_hand(blue.id)) == (before[0] + 1000, before[1] - 1000)
    all_is_well()


def test_a_dearer_exchange_is_never_carried_out(books: Any, klarna: Any, sandbox: Any, clerk: Any) -> None:
    """K44: not even by a changed request; the draft and the stock are as they were."""
    draft_id, line_id, other = a_draft(klarna, sandbox, clerk, 59_900)
    plan = Plan({line_id: 1000}, [Out(other.id, 1000, 59_900)])
    with pytest.raises(BadInput, match="no even exchange"), writing() as session:
        exchange.carry_out(session, clerk, secrets.token_hex(16), draft_id, plan)
    assert the_document(draft_id).state is DocState.DRAFT and on_hand(other.id) == 5000


def test_a_cheaper_exchange_fills_the_draft_and_both_articles_are_adjusted_by_hand(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K43-K46: T-shirt 499,00 and cap −299,00; the note links to both adjustments, and to those that were made."""
    draft_id, line_id, cap = a_draft(klarna, sandbox, clerk, 31_900)
    plan = Plan({line_id: 1000}, [Out(cap.id, 1000, 29_900)])
    with writing() as session:
        draft = exchange.prepare(session, clerk, draft_id, plan, way=Way.CHEAPER)
        assert (
            [line.gross_minor for line in draft.lines] == [49_900, -29_900] and draft.with_klarna and not draft.restock
        )
    note = create(klarna, clerk, draft_id)
    assert note.gross_minor == 20_000
    with reading() as session:
        both = exchange.story(session, clerk, note.id).adjust
    assert [(each.milli, each.done) for each in both] == [(1000, False), (-1000, False)]
    for each in both:
        with writing() as session:
            line = adjustments.line_to_adjust(session, each.line_id, each.article_id)
            place = the_warehouse(session).id
            stock.adjust(session, clerk, each.article_id, place, each.milli, "Byte", line)
            assert adjustments.line_to_adjust(session, each.line_id, each.article_id) is None
            assert adjustments.line_to_adjust(session, each.line_id, 9999) is None
    with reading() as session:
        assert all(each.done for each in exchange.story(session, clerk, note.id).adjust)
        kinds = {move.kind for move in session.query(StockMovement).filter(StockMovement.document_line_id.is_not(None))}
        assert kinds == {MovementKind.ADJUSTMENT}
    all_is_well()


def test_the_note_of_a_cheaper_exchange_is_matched_by_its_amount(
    books: Any, klarna: Any, sandbox: Any, clerk: Any
) -> None:
    """K48, E6, E8: the payout's return row of 200,00 closes it by itself."""
    draft_id, line_id, cap = a_draft(klarna, sandbox, clerk, 29_900)
    with writing() as session:
        exchange.prepare(session, clerk, draft_id, Plan({line_id: 1000}, [Out(cap.id, 1000, 29_900)]), way=Way.CHEAPER)
    note = create(klarna, clerk, draft_id)
    settlement_parts.fees(sandbox, 0)
    payout = settlement_parts.booked(klarna, sandbox)
    assert (1510, 20_000, f"Kreditfaktura {note.number_text} betald") in settlement_parts.postings(payout)
    assert the_document(note.id).open_minor == 0
    all_is_well()


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize("what", ["exchange", "credit", "reverse"])
def test_who_moves_stock_and_books_it_waits_for_no_one_in_a_circle(
    books: Any, klarna: Any, sandbox: Any, finance: Any, what: str
) -> None:
    """S4: articles before numbers, always. Seen red for each of the three without its lock: one of the two was thrown out."""
    draft_id, line_id, blue = a_draft(klarna, sandbox, finance)
    with writing() as session:
        session.execute(sa.update(Article).values(cost_minor=10_000))
        red_id = session.get_one(DocumentLine, line_id).article_id or 0
        place = the_warehouse(session).id
        stock_booking.begin(session, finance, secrets.token_hex(16), 0, stock_booking.value(session))
    note = an_even_note(klarna, finance, draft_id, line_id) if what == "reverse" else None
    moved = blue.id if what == "exchange" else red_id

    def act(session: Session) -> None:
        if what == "exchange":
            exchange.carry_out(
                session,
                finance,
                secrets.token_hex(16),
                draft_id,
                Plan({line_id: 1000}, [Out(blue.id, 1000, 49_900)], place),
            )
        elif note is None:
            draft = credit_drafts.set_options(
                session,
                finance,
                draft_id,
                restock=True,
                warehouse_id=place,
                without_klarna=True,
                reason="even_exchange",
            )
            credit_notes.issue_without_klarna(session, finance, draft, portal_confirmed=False, external=None)
        else:
            credit_notes.reverse(session, finance, note.id, "fel kund")

    holds = threading.Event()

    def work(number: int) -> None:
        if number:
            holds.wait(10)
            with writing() as session:
                act(session)
            return
        with writing() as session:
            session.execute(sa.select(Article.id).where(Article.id == moved).with_for_update()).one()
            holds.set()
            until_somebody_waits(session)
            stock.adjust(session, finance, moved, place, 1_000, "just då")
            session.execute(sa.select(NumberSeries.code).order_by(NumberSeries.code).with_for_update()).all()

    assert in_threads(books, work, 2) == []


@pytest.mark.only_on("postgres")
def test_who_receives_several_articles_waits_for_no_one_in_a_circle(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """K25: articles in the order of their ids, whatever the order of the rows. Seen red without it."""
    with writing() as session:
        first, last = (an_article(session, name, 49_900, stock_milli=5_000) for name in ("Tröja", "Keps"))
    invoice = a_captured_invoice(klarna, sandbox, lines=[row(article=last), row(article=first)])
    with writing() as session:
        draft_id = credit_drafts.start(session, finance, invoice.id).id
        credit_drafts.set_options(
            session, finance, draft_id, restock=False, warehouse_id=None, without_klarna=True, reason="even_exchange"
        )
    note = create(klarna, finance, draft_id)
    with reading() as session:
        place = the_warehouse(session).id
    holds = threading.Event()

    def work(number: int) -> None:
        with writing() as session:
            if number:
                holds.wait(10)
                typed = {line.id: Typed("1", "whole") for line in note.lines}
                goods_returns.receive(session, finance, note.id, secrets.token_hex(16), place, typed, "")
                return
            lock = sa.select(Article.id).with_for_update()
            session.execute(lock.where(Article.id == first.id)).one()
            holds.set()
            until_somebody_waits(session)
            session.execute(lock.where(Article.id == last.id)).one()

    assert in_threads(books, work, 2) == []


@pytest.mark.only_on("postgres")
def test_two_replacements_of_one_article_wait_for_each_other_in_no_circle(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K30: a row that names an article shares it, and two who share it could both want it alone. Seen red without the lock."""
    notes = []
    for _ in range(2):
        draft_id, line_id, blue = a_draft(klarna, sandbox, clerk)
        notes.append(an_even_note(klarna, clerk, draft_id, line_id).id)
    both, freeze = threading.Barrier(2), documents.number_and_freeze

    def number_and_freeze(*given: Any, **more: Any) -> Any:
        with suppress(threading.BrokenBarrierError):
            both.wait(1)
        return freeze(*given, **more)

    monkeypatch.setattr(documents, "number_and_freeze", number_and_freeze)

    def work(number: int) -> None:
        with writing() as session:
            nonce, out = secrets.token_hex(16), [Out(blue.id, 1000, 49_900)]
            replacement.replace(session, clerk, nonce, notes[number], out, None)

    assert in_threads(books, work, 2) == []
