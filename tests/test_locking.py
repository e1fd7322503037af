"""That a lock that is missing is heard (locking.py)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from db import writing
from models import Order
from services import orders
from tests import locking
from tests.services import order_rows

pytestmark = pytest.mark.only_on("postgres")


@pytest.fixture
def order(books: Flask) -> Order:
    with writing() as session:
        return order_rows.an_order(session, [order_rows.a_row()])


def _refresh_unlocked(session: Session, order_id: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "get", lambda session, order_id, lock=False: session.get_one(Order, order_id))
        orders.refresh(session, order_id)


@pytest.mark.unlocked("it is what this is about")
def test_a_change_without_a_lock_is_heard_with_its_place(order: Order) -> None:
    with writing() as session:
        _refresh_unlocked(session, order.id)
    (told,) = locking.unlocked
    assert told.startswith("orders.refresh, line ") and "changes sales_order without a lock: UPDATE sales_order" in told


def test_a_change_after_a_lock_or_by_a_test_is_let_pass(order: Order) -> None:
    with writing() as session:
        orders.refresh(session, order.id)
    with writing() as session:
        session.execute(sa.update(Order).where(Order.id == order.id).values(shop_number="1"))
    assert locking.unlocked == []


def test_a_lock_ends_with_its_transaction(order: Order) -> None:
    with writing() as session:
        orders.get(session, order.id, lock=True)
    with writing() as session:
        _refresh_unlocked(session, order.id)
    assert len(locking.unlocked) == 1
    locking.unlocked.clear()
