"""Goods in: what a delivery note says, one movement a row, once a form (B28)."""

from __future__ import annotations

import secrets

import pytest
from flask import Flask

from db import reading, transact, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from models import Article, Warehouse
from rights import Actor
from services import audit, goods_in, stock
from services.goods_in import Arrival
from states import MovementKind
from tests import builders
from tests.threads import in_threads


@pytest.fixture
def place(books: Flask) -> Warehouse:
    with reading() as session:
        return builders.the_warehouse(session)


def an_article(**fields: object) -> Article:
    with writing() as session:
        return builders.an_article(session, stock_milli=0, **fields)


def take_in(actor: Actor, place: Warehouse, *arrivals: Arrival, nonce: str = "", reference: str = "FS 17") -> int:
    form = nonce or secrets.token_hex(16)
    return transact(lambda session: goods_in.take_in_once(session, actor, form, place.id, reference, arrivals))


def test_goods_are_added_where_they_came_and_keep_their_delivery_note(place: Warehouse, clerk: Actor) -> None:
    """B28: by article number in any spelling, or by GTIN with or without its leading zeros; twice is twice."""
    shirt = an_article(number="T-1", gtin="0000012345670")
    sock = an_article(number="S-2")
    with writing() as session:
        other = builders.a_warehouse(session)
    assert take_in(clerk, place, Arrival(" t-1", 2_500), Arrival("12345670", 1_000), Arrival("S-2", 7_000)) == 3
    with reading() as session:
        assert stock.balance(session, shirt.id, place.id) == 3_500
        assert stock.balance(session, sock.id, place.id) == 7_000
        assert stock.balance(session, sock.id, other.id) == 0
        kept = [(move.kind, move.quantity_milli, move.reason, move.by) for move in stock.movements(session, shirt.id)]
        assert kept == [
            (MovementKind.GOODS_IN, 1_000, "FS 17", clerk.name),
            (MovementKind.GOODS_IN, 2_500, "FS 17", clerk.name),
        ]
        assert [(each.article, each.quantity_milli) for each in goods_in.latest(session)] == [
            ("S-2", 7_000),
            ("T-1", 1_000),
            ("T-1", 2_500),
        ]
        (line,) = audit.listing(session, action="stock.goods_in")
    assert line.detail == {"warehouse": place.code, "reference": "FS 17", "rows": 3}


def test_the_article_s_number_goes_before_a_code_that_is_written_alike(place: Warehouse, clerk: Actor) -> None:
    coded = an_article(number="A", gtin="0000012345670")
    named = an_article(number="12345670")
    take_in(clerk, place, Arrival("12345670", 1_000))
    with reading() as session:
        assert (stock.balance(session, named.id), stock.balance(session, coded.id)) == (1_000, 0)


@pytest.mark.parametrize(
    ("arrivals", "field"),
    [
        ([Arrival("T-1", 1_000, "rows-0-"), Arrival("T-9", 1_000, "rows-1-")], "rows-1-article"),
        ([Arrival("T-1", 1_000, "rows-0-"), Arrival("", 1_000, "rows-1-")], "rows-1-article"),
        ([Arrival("T-1", 1_000, "rows-0-"), Arrival("frakt", 1_000, "rows-1-")], "rows-1-article"),
        ([Arrival("T-1", 1_000, "rows-0-"), Arrival("gammal", 1_000, "rows-1-")], "rows-1-article"),
        ([Arrival("T-1", 1_000, "rows-0-"), Arrival("T-1", 0, "rows-1-")], "rows-1-quantity"),
        ([Arrival("T-1", 10**12, "rows-0-")], "rows-0-quantity"),
        ([], "rows-0-article"),
    ],
)
def test_a_row_that_cannot_be_is_named_and_nothing_comes_in(
    place: Warehouse, clerk: Actor, arrivals: list[Arrival], field: str
) -> None:
    article = an_article(number="T-1")
    an_article(number="frakt", stock_kept=False)
    an_article(number="gammal", active=False)
    with pytest.raises(BadInput) as refused:
        take_in(clerk, place, *arrivals)
    assert refused.value.field == field
    with reading() as session:
        assert stock.balance(session, article.id) == 0
        assert audit.listing(session, action="stock.goods_in") == []


def test_the_warehouse_is_open_and_the_delivery_note_is_said(place: Warehouse, clerk: Actor, viewer: Actor) -> None:
    an_article(number="T-1")
    row = Arrival("T-1", 1_000)
    with writing() as session:
        closed = builders.a_warehouse(session)
        closed.active = False
    with pytest.raises(BadInput) as refused:
        take_in(clerk, closed, row)
    assert refused.value.field == "warehouse_id"
    with pytest.raises(BadInput) as refused:
        take_in(clerk, place, row, reference="  ")
    assert refused.value.field == "reference"
    with pytest.raises(Refusal):
        take_in(clerk, place, *[row] * 101)
    with pytest.raises(NotAllowed):
        take_in(viewer, place, row)
    with pytest.raises(NotFound), writing() as session:
        goods_in.take_in_once(session, clerk, secrets.token_hex(16), 999, "FS", [row])


def test_the_same_form_takes_its_goods_in_once(books: Flask, place: Warehouse, clerk: Actor) -> None:
    """Operations 12: a double click at the same moment, and Back and send again; other values are refused."""
    article = an_article(number="T-1")
    form, row = secrets.token_hex(16), Arrival("T-1", 1_000)

    def take(_: int) -> None:
        assert take_in(clerk, place, row, nonce=form) == 1

    assert in_threads(books, take, 2) == []
    assert take_in(clerk, place, row, nonce=form) == 1
    with pytest.raises(Refusal):
        take_in(clerk, place, row, row, nonce=form)
    with reading() as session:
        assert stock.balance(session, article.id) == 1_000


def test_two_who_take_in_the_same_articles_in_other_orders_do_not_wait_in_a_circle(
    books: Flask, place: Warehouse, clerk: Actor
) -> None:
    one, two = an_article(number="A"), an_article(number="B")
    rows = [Arrival("A", 1_000), Arrival("B", 1_000)]

    def take(which: int) -> None:
        take_in(clerk, place, *(rows if which % 2 else rows[::-1]))

    assert in_threads(books, take, 4) == []
    with reading() as session:
        assert (stock.balance(session, one.id), stock.balance(session, two.id)) == (4_000, 4_000)
