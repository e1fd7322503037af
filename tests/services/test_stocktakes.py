"""«Inventering»: a difference is counted less the balance then, booked once, by whoever saw it; nothing else moves (B28)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import clock
import db
from db import reading, writing
from errors import BadInput, Malformed, NotAllowed, NotFound, Refusal, Stale
from models import Article, Audit, StockMovement, Stocktake, StocktakeCount, Warehouse
from money import MAX_QUANTITY_MILLI
from rights import Actor
from services import stock, stocktake_report, stocktakes, verify
from services.stocktakes import How
from states import MovementKind, StocktakeState
from tests import builders
from tests.builders import CLERK
from tests.services.test_verify import break_by
from tests.threads import in_threads, while_open

UNSEEN = "none." + stocktake_report.fingerprint([])


@pytest.fixture
def place(books: Flask) -> Warehouse:
    with reading() as session:
        return builders.the_warehouse(session)


def an_article(stock_milli: int = 0, **fields: Any) -> Article:
    with writing() as session:
        return builders.an_article(session, stock_milli=stock_milli, **fields)


def started(place: Warehouse, note: str = "") -> int:
    with writing() as session:
        return stocktakes.start(session, CLERK, secrets.token_hex(16), place.id, note)


def count(stocktake_id: int, article: Article, milli: int, how: How = How.ADD, nonce: str = "") -> None:
    with writing() as session:
        stocktakes.count(session, CLERK, nonce or secrets.token_hex(16), stocktake_id, article.number, milli, how)


def moved(article: Article, place: Warehouse, milli: int) -> None:
    with writing() as session:
        stock.adjust(session, CLERK, article.id, place.id, milli, "sålt")


def shown(stocktake_id: int) -> stocktake_report.Report:
    with reading() as session:
        return stocktake_report.report(session, stocktake_report.get(session, stocktake_id))


def book(stocktake_id: int, *, zero: bool = False, seen: str = "", nonce: str = "") -> int:
    seen = seen or shown(stocktake_id).seen
    with writing() as session:
        return stocktakes.book(session, CLERK, nonce or secrets.token_hex(16), stocktake_id, seen, zero)


def on_hand(article: Article, place: Warehouse) -> int:
    with reading() as session:
        return stock.balance(session, article.id, place.id)


def state(stocktake_id: int) -> StocktakeState:
    with reading() as session:
        return session.get_one(Stocktake, stocktake_id).state


def booked_movements() -> list[tuple[int, int]]:
    with reading() as session:
        kind = StockMovement.kind == MovementKind.STOCKTAKE
        rows = session.execute(
            sa.select(StockMovement.article_id, StockMovement.quantity_milli).where(kind).order_by(StockMovement.id)
        )
        return [(article_id, milli) for article_id, milli in rows]


# --- A difference ---------------------------------------------------------------------------------------------------------


def test_what_differs_is_booked_as_one_movement_each_and_what_agrees_is_left_alone(place: Warehouse) -> None:
    """B28: the report stands before anything is booked."""
    less, more, right = (an_article(10_000, cost_minor=2_050) for _ in range(3))
    stocktake = started(place, "årsskiftet")
    for article, milli in ((more, 12_500), (right, 10_000), (less, 7_000)):
        count(stocktake, article, milli)
    report = shown(stocktake)
    assert [(row.number, row.balance_milli, row.counted_milli, row.difference_milli) for row in report.differing] == [
        (less.number, 10_000, 7_000, -3_000),
        (more.number, 10_000, 12_500, 2_500),
    ]
    assert (report.agreeing, report.more_minor, report.less_minor, report.net_minor) == (1, 5_125, -6_150, -1_025)
    assert booked_movements() == []
    assert book(stocktake) == 2
    assert booked_movements() == [(less.id, -3_000), (more.id, 2_500)], "in the order of articles"
    assert [on_hand(article, place) for article in (less, more, right)] == [7_000, 12_500, 10_000]
    with reading() as session:
        of_article = sa.select(StockMovement).where(StockMovement.article_id == less.id)
        row = session.scalars(of_article.order_by(StockMovement.id)).all()[-1]
        assert (row.stocktake_id, row.reason, row.by, row.warehouse_id) == (
            stocktake, "årsskiftet", CLERK.name, place.id,
        )  # fmt: skip


def test_what_moves_after_the_count_is_not_lost(place: Warehouse) -> None:
    """B28: nine were counted where ten should be; then two were sold, and four came in."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    moved(article, place, -2_000)
    moved(article, place, 4_000)
    assert shown(stocktake).differing[0].difference_milli == -1_000
    book(stocktake)
    assert on_hand(article, place) == 9_000 - 2_000 + 4_000


def test_an_article_that_lies_in_two_places_is_added_up(place: Warehouse) -> None:
    """B28."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 4_000)
    count(stocktake, article, 5_500)
    (row,) = shown(stocktake).differing
    assert (row.counted_milli, row.difference_milli) == (9_500, -500)


def test_adding_is_refused_when_some_has_moved_in_between_and_all_is_counted_again(place: Warehouse) -> None:
    """B28: whether the two that were sold lay in the place that was counted or in the other, nobody can tell."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 4_000)
    moved(article, place, -2_000)
    with pytest.raises(Refusal) as refused:
        count(stocktake, article, 5_000)
    assert refused.value.field == "how"
    assert {**refused.value.values, "at": None} == {
        "article": article.number, "counted_milli": 4_000, "at": None, "then_milli": 10_000, "now_milli": 8_000,
    }  # fmt: skip
    count(stocktake, article, 7_000, How.ANEW)
    (row,) = shown(stocktake).differing
    assert (row.counted_milli, row.balance_milli, row.difference_milli) == (7_000, 8_000, -1_000)
    book(stocktake)
    assert on_hand(article, place) == 7_000


def test_putting_right_what_was_typed_keeps_the_balance_of_that_moment(place: Warehouse) -> None:
    """B28: nine were typed where ten lay; two have been sold since."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    moved(article, place, -2_000)
    for _ in range(2):
        with writing() as session:
            stocktakes.correct(session, CLERK, stocktake, article.id, "9000.10000", 10_000)
    assert shown(stocktake).differing == []
    assert book(stocktake) == 0
    assert on_hand(article, place) == 8_000


def test_a_row_that_somebody_else_has_counted_since_is_not_changed(place: Warehouse) -> None:
    """B28."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 4_000)
    count(stocktake, article, 5_000)
    with pytest.raises(Stale), writing() as session:
        stocktakes.correct(session, CLERK, stocktake, article.id, "4000.10000", 3_000)
    with pytest.raises(Stale), writing() as session:
        stocktakes.remove(session, CLERK, stocktake, article.id, "4000.10000")
    for _ in range(2):
        with writing() as session:
            stocktakes.remove(session, CLERK, stocktake, article.id, "9000.10000")
    assert shown(stocktake).counted == 0
    with pytest.raises(Stale), writing() as session:
        stocktakes.correct(session, CLERK, stocktake, article.id, "9000.10000", 3_000)


Act = tuple[str, int]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(-4_000, 4_000).filter(bool)),
        st.tuples(st.sampled_from(["add", "anew"]), st.integers(0, 9_000)),
    ),
    max_size=8,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(acts=ACTS, last=st.integers(0, 9_000), after=st.lists(st.integers(-4_000, 4_000).filter(bool), max_size=4))
def test_after_booking_the_balance_is_what_was_counted_and_what_has_moved_since(
    place: Warehouse, acts: list[Act], last: int, after: list[int]
) -> None:
    """B28: whatever came, went and was counted before."""
    article = an_article(5_000, may_go_negative=True)
    stocktake = started(place)
    lies_there = None
    for what, milli in acts:
        if what == "move":
            moved(article, place, milli)
            continue
        try:
            count(stocktake, article, milli, How(what))
        except Refusal:
            assert what == "add"
    count(stocktake, article, last, How.ANEW)
    for milli in after:
        moved(article, place, milli)
    lies_there = last + sum(after)
    book(stocktake)
    assert on_hand(article, place) == lies_there
    with reading() as session:
        assert all(result.state is verify.CheckState.OK for result in verify.run(session, ["S1", "S2"]))


def test_the_code_is_an_article_number_or_a_gtin_and_an_article_no_longer_in_use_can_be_counted(
    place: Warehouse,
) -> None:
    """B28."""
    article = an_article(3_000, number="Tröja 1", number_key="tröja1", gtin="07310865004703", active=False)
    stocktake = started(place)
    for code in ("TRÖJA 1", " 07310865004703 ", "7310865004703"):
        with writing() as session:
            found = stocktakes.count(session, CLERK, secrets.token_hex(16), stocktake, code, 1_000)
        assert found == article.id
    assert shown(stocktake).differing == []


@pytest.mark.parametrize(
    ("code", "milli", "field"),
    [("", 1_000, "scan"), ("FINNS-EJ", 1_000, "scan"), ("FRAKT", 1_000, "scan"), ("000", 1_000, "scan"),
     ("A\x00", 1_000, "scan"), ("x" * 101, 1_000, "scan"),
     ("VARA", -1, "quantity"), ("VARA", MAX_QUANTITY_MILLI + 1, "quantity"), ("VARA", MAX_QUANTITY_MILLI, "quantity")],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused_beside_its_field(
    place: Warehouse, code: str, milli: int, field: str
) -> None:
    """B28, catalogue row 39."""
    article = an_article(1_000, number="VARA")
    an_article(number="FRAKT", stock_kept=False)
    stocktake = started(place)
    count(stocktake, article, 1)
    with pytest.raises(BadInput) as refused, writing() as session:
        stocktakes.count(session, CLERK, secrets.token_hex(16), stocktake, code, milli)
    assert refused.value.field == field
    assert shown(stocktake).counted == 1


# --- What was not counted -------------------------------------------------------------------------------------------------


def test_what_nobody_counted_stays_unless_it_is_asked_for(place: Warehouse) -> None:
    """B28: asked separately."""
    counted, left, gone, elsewhere, kept_below = an_article(1_000), an_article(4_000), an_article(), an_article(), None
    with writing() as session:
        other = builders.a_warehouse(session)
        stock.adjust(session, CLERK, elsewhere.id, other.id, 3_000, "inleverans")
    kept_below = an_article(may_go_negative=True)
    moved(kept_below, place, -2_000)
    first = started(place)
    count(first, counted, 2_000)
    assert [(row.article_id, row.balance_milli) for row in shown(first).uncounted] == [
        (left.id, 4_000), (kept_below.id, -2_000),
    ]  # fmt: skip
    book(first)
    assert on_hand(left, place) == 4_000
    assert shown(first).uncounted == []
    second = started(place)
    count(second, counted, 2_000)
    assert book(second, zero=True) == 2
    balances = [on_hand(article, place) for article in (counted, left, gone, kept_below)]
    assert balances == [2_000, 0, 0, 0]
    assert on_hand(elsewhere, other) == 3_000, "another warehouse is not touched"
    assert [(row.article_id, row.balance_milli) for row in shown(second).uncounted] == [
        (left.id, 4_000), (kept_below.id, -2_000),
    ]  # fmt: skip


def test_what_nobody_counted_goes_to_zero_from_the_balance_it_has_when_it_is_booked(place: Warehouse) -> None:
    """B28."""
    counted, left = an_article(1_000), an_article(4_000)
    stocktake = started(place)
    count(stocktake, counted, 1_000)
    seen = shown(stocktake).seen
    moved(left, place, -1_000)
    book(stocktake, zero=True, seen=seen)
    assert on_hand(left, place) == 0
    assert booked_movements() == [(left.id, -3_000)]


def test_an_article_the_report_did_not_name_as_uncounted_is_never_set_to_zero(place: Warehouse) -> None:
    """B28: it came in after the page was drawn. Without the tick it does not matter."""
    counted, late = an_article(1_000), an_article()
    stocktake = started(place)
    count(stocktake, counted, 500)
    seen = shown(stocktake).seen
    moved(late, place, 6_000)
    with pytest.raises(Stale):
        book(stocktake, zero=True, seen=seen)
    assert (on_hand(late, place), on_hand(counted, place), state(stocktake)) == (6_000, 1_000, StocktakeState.OPEN)
    book(stocktake, seen=seen)
    assert on_hand(late, place) == 6_000


def test_nothing_is_booked_when_nothing_has_been_counted(place: Warehouse) -> None:
    """B28: else a tick would empty the warehouse."""
    article = an_article(4_000)
    stocktake = started(place)
    with pytest.raises(Refusal):
        book(stocktake, zero=True)
    assert on_hand(article, place) == 4_000


# --- Booked once, and only what was seen ----------------------------------------------------------------------------------


def test_what_was_counted_after_the_report_was_drawn_is_not_booked_unseen(place: Warehouse) -> None:
    """B28."""
    article, other = an_article(10_000), an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    seen = shown(stocktake).seen
    count(stocktake, other, 1_000)
    with pytest.raises(Stale):
        book(stocktake, seen=seen)
    assert booked_movements() == []
    with pytest.raises(Stale):
        book(stocktake, seen=UNSEEN)
    assert book(stocktake) == 2


def test_a_difference_below_zero_is_refused_by_name_and_nothing_is_booked(place: Warehouse) -> None:
    """B28, S2: four were missing of ten; then nine were sold."""
    first, short, free = an_article(10_000), an_article(10_000), an_article(10_000, may_go_negative=True)
    stocktake = started(place)
    for article in (first, short, free):
        count(stocktake, article, 6_000)
    for article in (short, free):
        moved(article, place, -9_000)
    with pytest.raises(Refusal) as refused:
        book(stocktake)
    assert refused.value.values == {"article": short.number, "left_milli": 1_000, "wanted_milli": 4_000}
    assert refused.value.link == ("stock.article", {"article_id": short.id})
    assert (booked_movements(), state(stocktake)) == ([], StocktakeState.OPEN)
    count(stocktake, short, 0, How.ANEW)
    assert book(stocktake) == 3
    assert [on_hand(article, place) for article in (first, short, free)] == [6_000, 0, -3_000]


def test_an_article_whose_stock_is_no_longer_kept_is_named_and_nothing_is_booked(place: Warehouse) -> None:
    """B28, S2."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    with writing() as session:
        session.execute(sa.update(Article).values(stock_kept=False))
    with pytest.raises(Refusal, match=article.number):
        book(stocktake)
    assert booked_movements() == []


def test_two_who_book_at_once_book_once(books: Flask, place: Warehouse) -> None:
    """B28: one of them is told that it is done."""
    article, left = an_article(10_000), an_article(2_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    seen = shown(stocktake).seen
    raised = in_threads(books, lambda _n: book(stocktake, zero=True, seen=seen), 3)
    assert [type(each) for each in raised] == [Refusal, Refusal]
    assert booked_movements() == [(article.id, -1_000), (left.id, -2_000)]
    assert state(stocktake) is StocktakeState.BOOKED


def test_the_same_form_books_once_and_is_answered_alike(place: Warehouse) -> None:
    """B28, operations 12."""
    article = an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    seen, nonce = shown(stocktake).seen, secrets.token_hex(16)
    assert [book(stocktake, seen=seen, nonce=nonce) for _ in range(2)] == [1, 1]
    assert on_hand(article, place) == 9_000
    with pytest.raises(Refusal):
        book(stocktake, seen=seen, nonce=nonce, zero=True)


def test_a_count_waits_for_a_booking_and_is_then_refused(books: Flask, place: Warehouse) -> None:
    """B28: never a count that stands in a booked stocktake and was not booked."""
    article, other = an_article(10_000), an_article(10_000)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    seen = shown(stocktake).seen

    def booking(session: Session) -> None:
        stocktakes.book(session, CLERK, secrets.token_hex(16), stocktake, seen)

    def counting(session: Session) -> None:
        stocktakes.count(session, CLERK, secrets.token_hex(16), stocktake, other.number, 1_000)

    assert isinstance(while_open(books, booking, counting), Refusal)
    assert shown(stocktake).counted == 1


def test_a_sale_waits_for_the_booking_that_empties_what_it_takes_from(books: Flask, place: Warehouse) -> None:
    """B28, S2: what goes to zero is read behind the article's lock."""
    article, left = an_article(1_000), an_article(4_000)
    stocktake = started(place)
    count(stocktake, article, 1_000)
    seen = shown(stocktake).seen

    def booking(session: Session) -> None:
        stocktakes.book(session, CLERK, secrets.token_hex(16), stocktake, seen, True)

    def selling(session: Session) -> None:
        stock.adjust(session, CLERK, left.id, place.id, -1_000, "sålt")

    assert isinstance(while_open(books, booking, selling), Refusal)
    assert on_hand(left, place) == 0


def test_a_booking_waits_for_a_sale_and_empties_what_that_left(books: Flask, place: Warehouse) -> None:
    """B28, S2: the other way about; a balance that was read before the lock would go below zero."""
    article, left = an_article(1_000), an_article(4_000)
    stocktake = started(place)
    count(stocktake, article, 1_000)
    seen = shown(stocktake).seen

    def selling(session: Session) -> None:
        stock.adjust(session, CLERK, left.id, place.id, -1_000, "sålt")

    def booking(session: Session) -> None:
        stocktakes.book(session, CLERK, secrets.token_hex(16), stocktake, seen, True)

    assert while_open(books, selling, booking) is None
    assert on_hand(left, place) == 0


# --- One at a time, by whom, and its end ----------------------------------------------------------------------------------


def test_there_is_one_open_stocktake_in_a_warehouse_and_the_second_is_led_to_it(place: Warehouse) -> None:
    """B28."""
    first = started(place)
    with pytest.raises(Refusal) as refused:
        started(place)
    assert refused.value.link == ("stocktakes.show", {"stocktake_id": first})
    with writing() as session:
        other = builders.a_warehouse(session)
    assert started(other) != first
    with writing() as session:
        stocktakes.discard(session, CLERK, first)
    assert started(place) > first


def test_two_who_start_at_once_start_one(books: Flask, place: Warehouse) -> None:
    """B28: the second is told, and no error of the database reaches it."""
    raised = in_threads(books, lambda _n: started(place) and None, 3)
    assert [type(each) for each in raised] == [Refusal, Refusal]
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Stocktake)) == 1


def test_the_same_form_starts_one_and_counts_once(place: Warehouse) -> None:
    """B28, operations 12."""
    article, nonce, again = an_article(10_000), secrets.token_hex(16), secrets.token_hex(16)
    made = set()
    for _ in range(2):
        with writing() as session:
            made.add(stocktakes.start(session, CLERK, nonce, place.id))
    (stocktake,) = made
    for _ in range(2):
        count(stocktake, article, 4_000, nonce=again)
    assert shown(stocktake).differing[0].counted_milli == 4_000


def test_a_closed_warehouse_is_neither_counted_nor_booked_in(place: Warehouse) -> None:
    """B28."""
    article = an_article(1_000)
    with writing() as session:
        other = builders.a_warehouse(session)
    stocktake = started(other)
    count(stocktake, article, 2_000)
    with writing() as session:
        session.get_one(Warehouse, other.id).active = False
    with pytest.raises(Refusal):
        book(stocktake)
    with writing() as session:
        stocktakes.discard(session, CLERK, stocktake)
    for warehouse_id in (other.id, 9_999):
        with pytest.raises(BadInput) as refused, writing() as session:
            stocktakes.start(session, CLERK, secrets.token_hex(16), warehouse_id)
        assert refused.value.field == "warehouse_id"


ENDED: list[Callable[[Session, int, str], object]] = [
    lambda session, key, code: stocktakes.count(session, CLERK, secrets.token_hex(16), key, code, 1_000),
    lambda session, key, _code: stocktakes.correct(session, CLERK, key, 1, "1000.1000", 2_000),
    lambda session, key, _code: stocktakes.remove(session, CLERK, key, 1, "1000.1000"),
    lambda session, key, _code: stocktakes.book(session, CLERK, secrets.token_hex(16), key, UNSEEN),
]


@pytest.mark.parametrize("act", ENDED)
@pytest.mark.parametrize("ends_with", [StocktakeState.BOOKED, StocktakeState.DISCARDED])
def test_nothing_changes_in_a_stocktake_that_has_ended(
    place: Warehouse, act: Callable[[Session, int, str], object], ends_with: StocktakeState
) -> None:
    """B28: and what was discarded has moved nothing."""
    article = an_article(3_000)
    stocktake = started(place)
    count(stocktake, article, 2_000)
    if ends_with is StocktakeState.BOOKED:
        book(stocktake)
        with pytest.raises(Refusal), writing() as session:
            stocktakes.discard(session, CLERK, stocktake)
    else:
        for _ in range(2):
            with writing() as session:
                stocktakes.discard(session, CLERK, stocktake)
    before = on_hand(article, place)
    assert before == (2_000 if ends_with is StocktakeState.BOOKED else 3_000)
    with pytest.raises(Refusal), writing() as session:
        act(session, stocktake, article.number)
    assert (on_hand(article, place), shown(stocktake).counted, state(stocktake)) == (before, 1, ends_with)


def test_who_may_only_read_does_nothing_and_an_unknown_stocktake_is_not_found(place: Warehouse, viewer: Actor) -> None:
    """B28, B31."""
    an_article(3_000, number="VARA")
    stocktake = started(place)
    nonce = secrets.token_hex(16)
    acts: list[Callable[[Session, Actor, int], object]] = [
        lambda session, who, key: stocktakes.count(session, who, nonce, key, "VARA", 1_000),
        lambda session, who, key: stocktakes.correct(session, who, key, 1, "x", 1),
        lambda session, who, key: stocktakes.remove(session, who, key, 1, "x"),
        lambda session, who, key: stocktakes.book(session, who, nonce, key, "x"),
        stocktakes.discard,
    ]
    for act in acts:
        with pytest.raises(NotAllowed), writing() as session:
            act(session, viewer, stocktake)
        with pytest.raises(NotFound), writing() as session:
            act(session, CLERK, 9_999)
    with pytest.raises(NotAllowed), writing() as session:
        stocktakes.start(session, viewer, nonce, place.id)
    with pytest.raises(Malformed), writing() as session:
        stocktakes.start(session, CLERK, "x", place.id)


def test_start_booking_and_discarding_stand_in_the_log(place: Warehouse) -> None:
    """B28: without the note, which may hold anything."""
    article = an_article(3_000)
    first = started(place, "Annas inventering")
    count(first, article, 2_000)
    book(first)
    second = started(place)
    with writing() as session:
        stocktakes.discard(session, CLERK, second)
    with reading() as session:
        rows = session.execute(sa.select(Audit.action, Audit.detail).where(Audit.action.startswith("stocktake.")))
        told = [(action, str(detail)) for action, detail in rows]
    assert [action for action, _detail in told] == [
        "stocktake.start", "stocktake.book", "stocktake.start", "stocktake.discard",
    ]  # fmt: skip
    assert not any("Anna" in detail for _action, detail in told)


def test_rows_are_listed_the_last_first_and_go_on(place: Warehouse) -> None:
    """B28."""
    articles = [an_article(1_000) for _ in range(5)]
    stocktake = started(place)
    for article in articles:
        count(stocktake, article, 1_000)
    numbers: list[str] = []
    after = None
    while True:
        with reading() as session:
            rows = stocktake_report.counted(session, stocktake, after, 2)
        if not rows:
            break
        numbers += [row.number for row in rows]
        after = rows[-1].article_id
    assert sorted(numbers) == sorted(each.number for each in articles)
    assert numbers[0] == articles[-1].number
    with reading() as session:
        listed = stocktake_report.listing(session)
    assert [(each.id, each.counted, each.state) for each in listed] == [(stocktake, 5, StocktakeState.OPEN)]


# --- flask verify ---------------------------------------------------------------------------------------------------------

BREAKS = {
    "a movement without its stocktake": "UPDATE stock_movement SET stocktake_id = NULL WHERE kind = 'stocktake'",
    "a movement of another kind": "UPDATE stock_movement SET kind = 'adjustment' WHERE kind = 'stocktake'",
    "a movement of one that is not booked": "UPDATE stocktake SET state = 'discarded', uncounted_to_zero = 0",
    "a movement in another place": "UPDATE stock_movement SET warehouse_id = warehouse_id + 1 WHERE kind = 'stocktake'",
    "a movement of another size": "UPDATE stock_movement SET quantity_milli = 7 WHERE kind = 'stocktake'",
    "a count that was changed afterwards": "UPDATE stocktake_count SET counted_milli = 5",
    "a difference that was not booked": "DELETE FROM stock_movement WHERE kind = 'stocktake'",
    "an article that was not counted": "UPDATE stocktake SET uncounted_to_zero = 0",
}


@pytest.mark.untrue_books("each breaks S1 on purpose")
@pytest.mark.parametrize("name", BREAKS)
def test_a_stocktake_that_moved_something_else_is_found(place: Warehouse, name: str) -> None:
    """S1, B28."""
    article, _left = an_article(10_000), an_article(2_000)
    with writing() as session:
        builders.a_warehouse(session)
    stocktake = started(place)
    count(stocktake, article, 9_000)
    book(stocktake, zero=True)
    with reading() as session:
        assert all(result.state is verify.CheckState.OK for result in verify.run(session, ["S1"]))
    if db.is_sqlite(db.db.engine):
        with writing() as session:
            for trigger in session.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                session.execute(sa.text(f"DROP TRIGGER {trigger}"))
    break_by([BREAKS[name]], {})
    with reading() as session:
        (result,) = verify.run(session, ["S1"])
        assert result.state is not verify.CheckState.OK


def test_a_count_below_zero_cannot_be_stored(place: Warehouse) -> None:
    """B28: the database's own wall."""
    article = an_article(1_000)
    stocktake = started(place)
    with pytest.raises(sa.exc.IntegrityError), writing() as session:
        session.add(
            StocktakeCount(
                stocktake_id=stocktake, article_id=article.id, counted_milli=-1, balance_milli=0,
                counted_at=clock.now(), counted_by="x",
            )
        )  # fmt: skip
