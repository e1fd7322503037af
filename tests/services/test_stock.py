"""Stock: never below zero unless the article may, whoever comes at once; every movement has its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from db import reading, transact, writing
from errors import BadInput, BrokenRule, NotAllowed, NotFound, Refusal
from models import Article, StockMovement, Warehouse
from rights import Actor
from services import audit, stock, verify
from states import MovementKind
from tests import builders
from tests.threads import in_threads


@pytest.fixture
def place(books: Flask) -> Warehouse:
    with reading() as session:
        return builders.the_warehouse(session)


def an_article(stock_milli: int = 0, **fields: object) -> Article:
    with writing() as session:
        return builders.an_article(session, stock_milli=stock_milli, **fields)


def on_hand(article: Article) -> int:
    with reading() as session:
        return stock.balance(session, article.id)


def test_the_balance_is_the_sum_of_movements_per_place(place: Warehouse, clerk: Actor) -> None:
    """S1, B27."""
    article = an_article(5_000)
    with writing() as session:
        other = builders.a_warehouse(session)
        stock.adjust(session, clerk, article.id, other.id, 2_500, "räknat")
        stock.adjust(session, clerk, article.id, place.id, -1_000, "trasig")
    with reading() as session:
        assert stock.balance(session, article.id) == 6_500
        assert stock.balance(session, article.id, other.id) == 2_500
        rows = {(row.warehouse_id, row.on_hand, row.wanted) for row in stock.balances(session)}
        assert rows == {(place.id, 4_000, 0), (other.id, 2_500, 0)}
        moves = stock.movements(session, article.id)
    assert [(move.quantity_milli, move.reason, move.by) for move in moves] == [
        (-1_000, "trasig", "Handläggaren"),
        (2_500, "räknat", "Handläggaren"),
        (5_000, "inleverans", "Handläggaren"),
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(-3_000, 3_000).filter(bool), max_size=10), st.booleans())
def test_nothing_goes_below_zero_but_what_may(place: Warehouse, clerk: Actor, moves: list[int], may: bool) -> None:
    """S2."""
    article = an_article(may_go_negative=may)
    expected = 0
    for quantity in moves:
        allowed = may or expected + quantity >= 0
        if allowed:
            expected += quantity
            with writing() as session:
                stock.adjust(session, clerk, article.id, place.id, quantity, "prov")
        else:
            with pytest.raises(Refusal), writing() as session:
                stock.adjust(session, clerk, article.id, place.id, quantity, "prov")
        assert on_hand(article) == expected
    with reading() as session:
        assert all(result.state is verify.CheckState.OK for result in verify.run(session, ["S1", "S2"]))


def test_the_refusal_says_what_is_left(place: Warehouse, clerk: Actor) -> None:
    article = an_article(1_500)
    with pytest.raises(Refusal) as refused, writing() as session:
        stock.adjust(session, clerk, article.id, place.id, -2_000, "prov")
    assert refused.value.values == {"article": article.number, "left_milli": 1_500, "wanted_milli": 2_000}


def test_what_lies_in_another_warehouse_does_not_help(place: Warehouse, clerk: Actor) -> None:
    article = an_article(5_000)
    with writing() as session:
        other = builders.a_warehouse(session)
    with pytest.raises(Refusal), writing() as session:
        stock.adjust(session, clerk, article.id, other.id, -1_000, "prov")


@pytest.mark.timeout(60)
def test_two_at_once_do_not_take_the_same_piece(place: Warehouse, books: Flask, clerk: Actor) -> None:
    """Ten pieces, four threads that each want five, one at a time: ten leave and ten are refused."""
    article = an_article(10_000)
    refused: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            try:
                transact(lambda session: stock.adjust(session, clerk, article.id, place.id, -1_000, "prov"))
            except Refusal:
                refused.append(number)

    assert in_threads(books, work, 4) == []
    assert on_hand(article) == 0
    assert len(refused) == 10


def test_a_balance_is_changed_with_a_right_a_reason_and_a_quantity(
    place: Warehouse, viewer: Actor, clerk: Actor
) -> None:
    article = an_article()
    with pytest.raises(NotAllowed), writing() as session:
        stock.adjust(session, viewer, article.id, place.id, 1_000, "x")
    for quantity, reason in ((0, "x"), (1_000, "  ")):
        with pytest.raises(BadInput), writing() as session:
            stock.adjust(session, clerk, article.id, place.id, quantity, reason)
    with pytest.raises(NotFound), writing() as session:
        stock.adjust(session, clerk, article.id, 999, 1_000, "x")
    with writing() as session:
        session.get_one(Warehouse, place.id).active = False
    with pytest.raises(BadInput), writing() as session:
        stock.adjust(session, clerk, article.id, place.id, 1_000, "x")
    assert on_hand(article) == 0


def test_an_adjustment_is_logged(place: Warehouse, clerk: Actor) -> None:
    article = an_article()
    with writing() as session:
        stock.adjust(session, clerk, article.id, place.id, 1_000, "inventering")
    with reading() as session:
        (line,) = audit.listing(session, object=f"article:{article.id}")
    assert (line.action, line.detail["quantity_milli"], line.detail["reason"]) == ("stock.adjust", 1_000, "inventering")


def test_an_article_without_stock_does_not_move(place: Warehouse, clerk: Actor) -> None:
    article = an_article(stock_kept=False)
    with pytest.raises(BrokenRule), writing() as session:
        stock.move(
            session, clerk, article=article, warehouse_id=place.id, quantity_milli=1, kind=MovementKind.ADJUSTMENT
        )
    with pytest.raises(Refusal), writing() as session:
        stock.adjust(session, clerk, article.id, place.id, 1_000, "x")


def test_what_open_orders_want_is_shown_beside_the_balance(place: Warehouse, clerk: Actor) -> None:
    """B27: balance and available apart."""
    article = an_article(5_000)
    with writing() as session:
        order = builders.an_order(session, lines=[replace(builders.row(article=article), quantity_milli=3_000)])
        builders.a_delivery(session, order, {order.lines[0].id: 1_000})
    with reading() as session:
        (row,) = stock.balances(session, search=article.number)
        assert (row.on_hand, row.wanted) == (4_000, 2_000)
        assert stock.movements(session, article.id)[0].order_id == order.id


def test_balances_are_searched_and_paged(place: Warehouse) -> None:
    for number in ("A1", "A2", "b3"):
        an_article(number=number, name=f"Vara {number}")
    with reading() as session:
        first = stock.balances(session, limit=2)
        assert [row.number for row in first] == ["A1", "A2"]
        assert [row.number for row in stock.balances(session, after=("a2", place.id))] == ["b3"]
        assert [row.number for row in stock.balances(session, search="B")] == ["b3"]
        assert [row.number for row in stock.balances(session, search="vara a")] == ["A1", "A2"]
        assert stock.balances(session, search="%") == []


@pytest.mark.parametrize("attack", ["UPDATE stock_movement SET quantity_milli = 9", "DELETE FROM stock_movement"])
def test_a_movement_stays(place: Warehouse, attack: str) -> None:
    article = an_article(1_000)
    with pytest.raises(DBAPIError), writing() as session:
        session.execute(sa.text(attack))
    with reading() as session:
        assert session.scalars(sa.select(StockMovement.quantity_milli)).all() == [1_000]
    assert on_hand(article) == 1_000
