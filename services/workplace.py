"""The warehouse a form begins with: where the order's goods left last, else where the person worked last. Rules alone.

It is a suggestion like those of «Mina inställningar», except that it follows what the person does (B22, B25).
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from columns import Flag
from models import Delivery, UserPreference, Warehouse
from rights import Actor

_NAME = "warehouse"
"""How it is kept beside the person's own choices."""


def suggested(session: Session, actor: Actor, order_id: int | None = None) -> int | None:
    """The warehouse to begin with, always an open one; None where there is none.

    In this order: where goods of ``order_id`` left last, where the person worked last, where any delivery left last, the
    first by code.
    """
    open_ones = session.scalars(
        sa.select(Warehouse.id).where(Warehouse.active == sa.literal(True, Flag())).order_by(Warehouse.code)
    ).all()
    known = (each for each in _likely(session, actor, order_id) if each in open_ones)
    return next(known, next(iter(open_ones), None))


def _likely(session: Session, actor: Actor, order_id: int | None) -> Iterator[int | None]:
    """The guesses, best first, each asked for only when the one before was none."""
    if order_id is not None:
        of_order = sa.select(Delivery.warehouse_id).where(Delivery.order_id == order_id)
        yield session.scalar(of_order.order_by(Delivery.ordinal.desc()).limit(1))
    yield _kept(session, actor)
    yield session.scalar(sa.select(Delivery.warehouse_id).order_by(Delivery.id.desc()).limit(1))


def _kept(session: Session, actor: Actor) -> int | None:
    if actor.id is None:
        return None
    own = sa.select(UserPreference.value).where(UserPreference.user_id == actor.id, UserPreference.name == _NAME)
    text = session.scalar(own) or ""
    return int(text) if text.isascii() and text.isdigit() else None


def remember(session: Session, actor: Actor, warehouse_id: int) -> None:
    """Keep where a person has just worked; nothing for a program, which is asked nothing.

    Called last in a transaction: two of one person's at once wait for each other here and nowhere else.
    """
    if actor.id is None or _kept(session, actor) == warehouse_id:
        return
    session.flush()
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    fresh = insert(UserPreference).values(user_id=actor.id, name=_NAME, value=str(warehouse_id))
    session.execute(fresh.on_conflict_do_update(index_elements=["user_id", "name"], set_={"value": str(warehouse_id)}))
