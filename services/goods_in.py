"""«Inleverans»: goods that have come to a warehouse, row by row from a delivery note, each a movement of its own (B28).

Quantities are thousandths. One form takes its goods in once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput, NotFound, Refusal
from models import Article, StockMovement, Warehouse
from money import MAX_QUANTITY_MILLI
from rights import Actor, Right
from services import audit, money_forms, stock, stock_booking, workplace
from states import MovementKind

ACTION, SUBJECT = "goods_in", "new"
MOST_ROWS = 100
LATEST = 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """A row of a delivery note: an article's number or GTIN, and how much came. ``where`` begins its fields' names."""

    code: str
    quantity_milli: int
    where: str = ""


def article_of(session: Session, arrival: Arrival) -> Article:
    """The article a row means. Raises BadInput beside the row's field."""
    return stock.article_of(session, arrival.code, f"{arrival.where}article")


def take_in_once(
    session: Session, actor: Actor, nonce: str, warehouse_id: int, reference: str, arrivals: Sequence[Arrival]
) -> int:
    """Add what has come to a warehouse's balances; gives how many rows it was, also when the form is sent again.

    ``reference`` is the delivery note, kept on every movement. Raises Malformed, NotAllowed, NotFound, BadInput, Refusal.
    """
    actor.require(Right.WORK)
    values = [warehouse_id, reference, [[each.code, each.quantity_milli] for each in arrivals]]
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, SUBJECT, values)
    if earlier is not None:
        return int(earlier)
    warehouse = session.get(Warehouse, warehouse_id)
    if warehouse is None:
        raise NotFound
    if not warehouse.active:
        raise BadInput(N_("The warehouse is closed."), field="warehouse_id")
    if not reference.strip():
        raise BadInput(N_("Write the number of the delivery note, or who sent the goods."), field="reference")
    if not arrivals:
        raise BadInput(N_("Nothing has been entered. Nothing has been saved."), field="rows-0-article")
    if len(arrivals) > MOST_ROWS:
        raise Refusal(N_("A form takes in at most %(most)s rows."), most=MOST_ROWS)
    found = []
    for each in arrivals:
        if not 0 < each.quantity_milli <= MAX_QUANTITY_MILLI:
            raise BadInput(N_("The quantity must be more than 0."), field=f"{each.where}quantity")
        found.append((article_of(session, each), each.quantity_milli))
    # In the order of articles, so that two who take in the same ones never wait for each other in a circle.
    moved = [
        stock.move(
            session,
            actor,
            article=article,
            warehouse_id=warehouse.id,
            quantity_milli=milli,
            kind=MovementKind.GOODS_IN,
            reason=reference.strip(),
        )
        for article, milli in sorted(found, key=lambda pair: pair[0].id)
    ]
    stock_booking.follow(session, actor, moved, f"Inleverans, {reference.strip()}", f"stock_goods_in:{moved[0].id}")
    detail = {"warehouse": warehouse.code, "reference": reference.strip(), "rows": len(found)}
    audit.write(session, actor, "stock.goods_in", f"warehouse:{warehouse.id}", detail)
    money_forms.use_form(session, actor, nonce, ACTION, SUBJECT, values, str(len(found)))
    workplace.remember(session, actor, warehouse.id)
    return len(found)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Goods that came in, as the list under the form shows them."""

    at: datetime
    article_id: int
    article: str
    name: str
    unit: str
    warehouse: str
    quantity_milli: int
    reference: str
    by: str


def latest(session: Session) -> list[Arrived]:
    """What came in last, the newest first."""
    rows = session.execute(
        sa.select(
            StockMovement.at,
            Article.id,
            Article.number,
            Article.name,
            Article.unit,
            Warehouse.name,
            StockMovement.quantity_milli,
            StockMovement.reason,
            StockMovement.by,
        )
        .join(Article, Article.id == StockMovement.article_id)
        .join(Warehouse, Warehouse.id == StockMovement.warehouse_id)
        .where(StockMovement.kind == MovementKind.GOODS_IN)
        .order_by(StockMovement.id.desc())
        .limit(LATEST)
    )
    return [Arrived(*row) for row in rows]
