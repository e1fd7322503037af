"""Deliveries: what may leave, what the stock and the order know of it, and one form for one delivery."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from models import Delivery, KlarnaOp, Order, StockMovement, Warehouse
from rights import Actor
from services import deliveries, orders, stock
from states import KlarnaStatus, LineKind, OpState, OrderState
from tests.services.order_rows import (
    CLERK,
    a_document,
    a_row,
    a_warehouse,
    an_article,
    an_operation,
    an_order,
    freight,
    rows_of,
)

pytestmark = pytest.mark.usefixtures("books")
NONCE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def shirts(books: object) -> tuple[Order, int]:
    """An order of three shirts and freight on an accepted reservation, and the id of a warehouse."""
    with writing() as session:
        order = an_order(session, [a_row(an_article(session), milli=3000), freight()], klarna=True)
        return order, a_warehouse(session).id


def _deliver(order: Order, warehouse: int, milli: int = 1000, **how: str) -> Delivery:
    with writing() as session:
        return deliveries.deliver(session, CLERK, order.id, {order.lines[0].id: milli}, warehouse_id=warehouse, **how)


def _now(order: Order) -> Order:
    with writing() as session:
        return orders.get(session, order.id)


def _count() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Delivery)) or 0


def test_a_part_delivery_moves_stock_at_once_and_the_rest_stays(shirts: tuple[Order, int]) -> None:
    """F5, F20, B25: stock goes out with the delivery, and nothing is intended at Klarna."""
    order, warehouse = shirts
    delivery = _deliver(
        order, warehouse, 2000, carrier="PostNord", tracking_number="1Z", tracking_uri="https://a.se/1Z"
    )
    now = _now(order)
    assert (delivery.ordinal, rows_of(delivery)) == (1, {order.lines[0].id: 2000})
    assert (now.delivered, now.invoiced, now.version) == ("part", "none", order.version + 1)
    with reading() as session:
        article = order.lines[0].article_id
        assert article is not None and stock.balance(session, article, warehouse) == -2000
        assert [milli for _, milli in orders.to_deliver(session, orders.get(session, order.id))] == [1000]
        assert session.scalar(sa.select(sa.func.count()).select_from(KlarnaOp)) == 0


def test_deliveries_of_an_order_are_counted_and_freight_needs_none(shirts: tuple[Order, int]) -> None:
    """F13: and with the last article row the order is delivered whole."""
    order, warehouse = shirts
    assert [_deliver(order, warehouse).ordinal for _ in range(3)] == [1, 2, 3]
    assert _now(order).delivered == "all"
    with reading() as session:
        assert [each.ordinal for each in deliveries.listing(session, order.id)] == [1, 2, 3]


def test_only_articles_with_stock_move_it() -> None:
    with writing() as session:
        order = an_order(session, [a_row(an_article(session, stock_kept=False)), a_row()])
        warehouse = a_warehouse(session)
        deliveries.deliver(session, CLERK, order.id, {line.id: 1000 for line in order.lines}, warehouse_id=warehouse.id)
        assert session.scalar(sa.select(sa.func.count()).select_from(StockMovement)) == 0
        assert order.delivered == "all"


def test_the_warehouse_chosen_is_the_one_goods_leave(shirts: tuple[Order, int]) -> None:
    order, north = shirts
    with writing() as session:
        south = a_warehouse(session, "SYD").id
    _deliver(order, south)
    article = order.lines[0].article_id
    assert article is not None
    with reading() as session:
        assert (stock.balance(session, article, north), stock.balance(session, article, south)) == (0, -1000)


def test_more_than_ordered_is_refused(shirts: tuple[Order, int]) -> None:
    """B24, catalogue 42."""
    order, warehouse = shirts
    _deliver(order, warehouse, 2000)
    with pytest.raises(Refusal) as refused:
        _deliver(order, warehouse, 1001)
    assert (refused.value.message, refused.value.status) == ("The row has %(left_milli)s left to deliver.", 409)
    assert refused.value.values == {"left_milli": 1000}
    assert refused.value.field == f"quantity_{order.lines[0].id}"
    assert _count() == 1


def test_an_order_is_not_delivered_twice(shirts: tuple[Order, int]) -> None:
    order, warehouse = shirts
    _deliver(order, warehouse, 3000)
    with pytest.raises(Refusal, match="Everything on the order has been delivered"):
        _deliver(order, warehouse, 3000)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("state", OrderState.CANCELLED, "The order is cancelled and cannot be delivered."),
        ("klarna_status", KlarnaStatus.CANCELLED, "The purchase is cancelled at Klarna."),
        ("fraud_status", "PENDING", "Klarna is reviewing the purchase. Do not deliver or invoice yet."),
        ("fraud_status", None, "Klarna is reviewing the purchase. Do not deliver or invoice yet."),
        ("fraud_status", "REJECTED", "Klarna has turned the purchase down after review. Do not deliver or invoice."),
    ],
)
def test_a_cancelled_or_reviewed_order_is_not_delivered(
    shirts: tuple[Order, int], column: str, value: object, sentence: str
) -> None:
    """Catalogue 42, B21."""
    order, warehouse = shirts
    with writing() as session:
        setattr(orders.get(session, order.id, lock=True), column, value)
    with pytest.raises(Refusal) as refused:
        _deliver(order, warehouse)
    assert (str(refused.value), refused.value.status) == (sentence, 409)
    assert _count() == 0


def test_an_expired_order_is_not_delivered(shirts: tuple[Order, int]) -> None:
    """F27: with Klarna's own date, the local one."""
    order, warehouse = shirts
    with writing() as session:
        found = orders.get(session, order.id, lock=True)
        found.klarna_status, found.expires_at = KlarnaStatus.EXPIRED, datetime(2026, 11, 25, 23, 30, tzinfo=UTC)
    with pytest.raises(Refusal) as refused:
        _deliver(order, warehouse)
    assert str(refused.value) == "The reservation expired on 2026-11-26. Ask Klarna whether it can be renewed."


def test_nothing_is_delivered_while_klarna_has_not_answered(shirts: tuple[Order, int]) -> None:
    """Ground rules: one open operation stops everything else on the order."""
    order, warehouse = shirts
    with writing() as session:
        an_operation(session, order, OpState.UNKNOWN, document=a_document(session, order))
    with pytest.raises(Refusal, match="Wait for Klarna's answer about invoice"):
        _deliver(order, warehouse)


@pytest.mark.parametrize(("milli", "status"), [(0, 422), (-1, 422)])
def test_nothing_chosen_is_not_a_delivery(shirts: tuple[Order, int], milli: int, status: int) -> None:
    order, warehouse = shirts
    with pytest.raises(BadInput) as refused:
        _deliver(order, warehouse, milli)
    assert refused.value.status == status
    assert _count() == 0


def test_a_row_of_another_order_and_freight_are_refused(shirts: tuple[Order, int]) -> None:
    order, warehouse = shirts
    with writing() as session:
        other = an_order(session, [a_row()])
    for line, sentence in [(other.lines[0], "does not belong"), (order.lines[1], "not delivered by itself")]:
        with pytest.raises(BadInput, match=sentence), writing() as session:
            deliveries.deliver(session, CLERK, order.id, {line.id: 1000}, warehouse_id=warehouse)
    assert order.lines[1].kind is LineKind.FREIGHT


@pytest.mark.parametrize("warehouse", [0, -1, 999, 2**63])
def test_an_unknown_warehouse_is_refused(shirts: tuple[Order, int], warehouse: int) -> None:
    with pytest.raises(BadInput, match="Choose a warehouse") as refused:
        _deliver(shirts[0], warehouse)
    assert refused.value.field == "warehouse_id"


def test_a_closed_warehouse_is_refused_and_not_offered(shirts: tuple[Order, int]) -> None:
    with writing() as session:
        session.get_one(Warehouse, shirts[1]).active = False
    with pytest.raises(BadInput, match="Choose a warehouse"):
        _deliver(*shirts)
    with reading() as session:
        assert shirts[1] not in [each.id for each in deliveries.warehouses(session)]


def test_an_order_that_is_not_there_is_not_found(shirts: tuple[Order, int]) -> None:
    with pytest.raises(NotFound), writing() as session:
        deliveries.deliver(session, CLERK, 4711, {}, warehouse_id=shirts[1])


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://" + "a" * 1017,
        "https://user:secret@a.se/",
        "https://user@a.se/",
        "http:a.se",
        "https://",
        "https://a.se:99999/",
        "https://[a.se/",
        "https://a.se/\u202etxt",
        "https://a.se/a b",
        "https:\\\\a.se",
        "ftp://a.se/1",
        "www.a.se/1",
    ],
)
def test_a_tracking_address_that_klarna_would_not_take_is_refused(address: str) -> None:
    """Catalogue 43."""
    with pytest.raises(BadInput) as refused:
        deliveries.check_tracking_uri(address)
    assert (refused.value.field, refused.value.status) == ("tracking_uri", 422)


@pytest.mark.parametrize("address", ["", "https://a.se/1Z?x=1", "HTTP://a.se", "https://" + "a" * 1016])
def test_a_tracking_address_of_1024_characters_is_taken(address: str) -> None:
    assert deliveries.check_tracking_uri(f" {address} ") == address


@pytest.mark.parametrize("field", ["carrier", "tracking_number"])
def test_carrier_and_tracking_number_have_klarnas_length(shirts: tuple[Order, int], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        _deliver(*shirts, **{field: "x" * 101})
    assert refused.value.field == field
    assert getattr(_deliver(*shirts, **{field: " " + "x" * 100}), field) == "x" * 100


@given(st.text())
def test_no_text_makes_the_tracking_check_fall_over(text: str) -> None:
    try:
        kept = deliveries.check_tracking_uri(text)
    except BadInput:
        return
    assert kept == "" or kept.lower().startswith(("http://", "https://"))


def test_one_form_is_one_delivery(shirts: tuple[Order, int]) -> None:
    """Operations 12: double click, reload, Back and send again."""
    order, warehouse = shirts
    made = []
    for _ in range(3):
        with writing() as session:
            made.append(
                deliveries.deliver_once(
                    session, CLERK, NONCE, order.id, {order.lines[0].id: 1000}, warehouse_id=warehouse
                ).id
            )
    assert len(set(made)) == 1
    assert _count() == 1


def test_a_used_form_with_other_values_is_refused(shirts: tuple[Order, int]) -> None:
    order, warehouse = shirts
    for actor, milli, error in [(CLERK, 1000, None), (CLERK, 2000, Refusal), (Actor("Ekonomi 1", 2), 1000, NotAllowed)]:
        wanted = {order.lines[0].id: milli}
        if error is None:
            with writing() as session:
                deliveries.deliver_once(session, actor, NONCE, order.id, wanted, warehouse_id=warehouse)
        else:
            with pytest.raises(error), writing() as session:
                deliveries.deliver_once(session, actor, NONCE, order.id, wanted, warehouse_id=warehouse)
    assert _count() == 1


def test_a_refused_delivery_does_not_use_up_its_form(shirts: tuple[Order, int]) -> None:
    order, warehouse = shirts
    for milli, ok in [(9000, False), (1000, True)]:
        wanted = {order.lines[0].id: milli}
        if ok:
            with writing() as session:
                deliveries.deliver_once(session, CLERK, NONCE, order.id, wanted, warehouse_id=warehouse)
        else:
            with pytest.raises(Refusal), writing() as session:
                deliveries.deliver_once(session, CLERK, NONCE, order.id, wanted, warehouse_id=warehouse)
    assert _count() == 1


def _at_once(app: Flask, acts: list[Callable[[Session], object]]) -> list[object]:
    """Run each act in a transaction of its own thread, all let go together; gives results and refusals."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[Session], object]) -> object:
        with app.app_context():
            gate.wait()
            try:
                with writing() as session:
                    return act(session)
            except Refusal as refusal:
                return refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_two_clerks_at_once_do_not_deliver_the_same_goods_twice(books: Flask, shirts: tuple[Order, int]) -> None:
    """Catalogue 42: the order's lock lets one through, and the other is told what is left."""
    order, warehouse = shirts
    wanted = {order.lines[0].id: 3000}

    def act(session: Session) -> object:
        return deliveries.deliver(session, CLERK, order.id, wanted, warehouse_id=warehouse)

    ends = _at_once(books, [act] * 4)
    assert sorted(type(end).__name__ for end in ends) == ["Delivery", "Refusal", "Refusal", "Refusal"]
    assert _count() == 1


def test_fifty_equal_forms_at_once_are_one_delivery_and_fifty_equal_answers(
    books: Flask, shirts: tuple[Order, int]
) -> None:
    """Operations 12."""
    order, warehouse = shirts
    wanted = {order.lines[0].id: 1000}

    def act(session: Session) -> object:
        return deliveries.deliver_once(session, CLERK, NONCE, order.id, wanted, warehouse_id=warehouse).id

    for _ in range(5):
        assert len(set(_at_once(books, [act] * 10))) == 1
    assert _count() == 1
