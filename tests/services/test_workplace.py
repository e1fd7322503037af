"""The warehouse a form begins with follows the person, and is never one that is closed (B25)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from db import reading, writing
from models import UserPreference, Warehouse
from rights import Actor
from services import deliveries, preferences, workplace
from states import Role
from tests.builders import CLERK, FINANCE, a_delivery, a_warehouse, an_order, row, the_warehouse


def _suggested(actor: Actor, order_id: int | None = None) -> str:
    with reading() as session:
        found = workplace.suggested(session, actor, order_id)
        return session.get_one(Warehouse, found).name if found is not None else ""


def _shop(session: Session) -> Warehouse:
    """A warehouse whose code comes first."""
    return a_warehouse(session, "AAA", "Butiken")


def test_it_is_the_one_the_person_worked_at_last_and_nobody_elses(books: Any) -> None:
    """B25."""
    with writing() as session:
        shop, main = _shop(session), the_warehouse(session)
        workplace.remember(session, CLERK, main.id)
        workplace.remember(session, FINANCE, shop.id)
    assert (_suggested(CLERK), _suggested(FINANCE)) == ("Huvudlagret", "Butiken")
    with writing() as session:
        workplace.remember(session, CLERK, shop.id)
    assert _suggested(CLERK) == "Butiken"


def test_goods_of_an_order_that_is_delivered_in_part_leave_from_where_the_others_left(books: Any) -> None:
    """B25: whatever the person did in between."""
    with writing() as session:
        shop, order = _shop(session), an_order(session, lines=[row(pieces=2)])
        a_delivery(session, order, {order.lines[0].id: 1000})
        workplace.remember(session, CLERK, shop.id)
    assert _suggested(CLERK, order.id) == "Huvudlagret"
    assert _suggested(CLERK) == "Butiken"


def test_who_has_not_worked_yet_begins_where_the_last_delivery_left_else_with_the_first(books: Any) -> None:
    """B25."""
    with writing() as session:
        _shop(session)
    assert _suggested(FINANCE) == "Butiken"
    with writing() as session:
        a_delivery(session, an_order(session))
    assert _suggested(FINANCE) == "Huvudlagret"
    assert _suggested(Actor("program", None, frozenset({Role.CLERK}))) == "Huvudlagret"


def test_a_closed_warehouse_is_never_suggested(books: Any) -> None:
    """B25."""
    with writing() as session:
        shop = _shop(session)
        workplace.remember(session, CLERK, shop.id)
        shop.active = False
    assert _suggested(CLERK) == "Huvudlagret"
    with writing() as session:
        the_warehouse(session).active = False
    assert _suggested(CLERK) == ""


def test_delivering_remembers_the_place_and_keeps_the_persons_other_choices(books: Any) -> None:
    """B22, B25: also when the same form comes twice."""
    with writing() as session:
        preferences.save(session, CLERK, preferences.Preferences(show_rest=True))
        shop, order = _shop(session), an_order(session, lines=[row(pieces=2)])
        for line in order.lines:
            assert line.article is not None
            line.article.may_go_negative = True
    for _ in range(2):
        with writing() as session:
            deliveries.deliver_once(
                session, CLERK, "0" * 31 + "1", order.id, {order.lines[0].id: 1000}, warehouse_id=shop.id
            )
    with reading() as session:
        assert preferences.of(session, CLERK.id).show_rest
    assert _suggested(CLERK) == "Butiken"


def test_one_persons_two_windows_do_not_stop_each_other(books: Flask) -> None:
    """B25: the choice is kept by who comes second too."""
    with writing() as session:
        places = [_shop(session).id, the_warehouse(session).id]
    together = Barrier(2)

    def work(place: int) -> None:
        with books.app_context():
            together.wait()
            with writing() as session:
                workplace.remember(session, CLERK, place)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, places))
    with reading() as session:
        kept = session.scalars(sa.select(UserPreference.value).where(UserPreference.name == "warehouse")).all()
    assert len(kept) == 1 and int(kept[0]) in places
