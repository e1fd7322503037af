"""What a stocktake shows: the list, the rows as they were counted, and «Differensrapport» before and after it is booked (B28).

Quantities are thousandths, values minor units at the cost that stands on the article's card today.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import money
from errors import NotFound
from models import Article, StockMovement, Stocktake, StocktakeCount, Warehouse
from states import StocktakeState


@dataclass(frozen=True, slots=True)
class Listed:
    """A stocktake as the list shows it."""

    id: int
    warehouse: str
    state: StocktakeState
    note: str
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    counted: int


@dataclass(frozen=True, slots=True)
class Counted:
    """An article that was counted, and its balance in the warehouse at that moment."""

    article_id: int
    number: str
    name: str
    unit: str
    cost_minor: int
    counted_milli: int
    balance_milli: int
    counted_at: datetime
    counted_by: str

    @property
    def difference_milli(self) -> int:
        """What lay there less what the books said then; whatever has moved since changes both alike."""
        return self.counted_milli - self.balance_milli

    @property
    def value_minor(self) -> int:
        """The difference at cost."""
        return money.gross_of(self.difference_milli, self.cost_minor)

    @property
    def seen(self) -> str:
        """What a page that shows this row sends back, so that nobody changes a row that is another by now."""
        return f"{self.counted_milli}.{self.balance_milli}"


@dataclass(frozen=True, slots=True)
class Uncounted:
    """An article of which the warehouse holds some by the books, and that nobody counted."""

    article_id: int
    number: str
    name: str
    unit: str
    cost_minor: int
    balance_milli: int

    @property
    def value_minor(self) -> int:
        """The balance at cost."""
        return money.gross_of(self.balance_milli, self.cost_minor)


@dataclass(frozen=True, slots=True)
class Report:
    """«Differensrapport». ``uncounted`` are, once it is booked, those that were set to zero."""

    differing: Sequence[Counted]
    agreeing: int
    uncounted: Sequence[Uncounted]
    seen: str

    @property
    def counted(self) -> int:
        """How many articles were counted."""
        return len(self.differing) + self.agreeing

    @property
    def more_minor(self) -> int:
        """The value of what there is more of than the books said."""
        return sum(each.value_minor for each in self.differing if each.difference_milli > 0)

    @property
    def less_minor(self) -> int:
        """The value of what there is less of, below zero."""
        return sum(each.value_minor for each in self.differing if each.difference_milli < 0)

    @property
    def net_minor(self) -> int:
        """What all differences together are worth."""
        return self.more_minor + self.less_minor

    @property
    def uncounted_minor(self) -> int:
        """What the books say that the uncounted are worth."""
        return sum(each.value_minor for each in self.uncounted)


def get(session: Session, stocktake_id: int) -> Stocktake:
    """A stocktake with its warehouse. Raises NotFound."""
    found = session.scalar(
        sa.select(Stocktake).where(Stocktake.id == stocktake_id).options(sa.orm.joinedload(Stocktake.warehouse))
    )
    if found is None:
        raise NotFound
    return found


def listing(session: Session, before: int | None = None, limit: int = 30) -> list[Listed]:
    """Stocktakes, the newest first; ``before`` is the id of the last one of the page before."""
    counts = (
        sa.select(sa.func.count())
        .select_from(StocktakeCount)
        .where(StocktakeCount.stocktake_id == Stocktake.id)
        .scalar_subquery()
    )
    query = (
        sa.select(
            Stocktake.id,
            Warehouse.name,
            Stocktake.state,
            Stocktake.note,
            Stocktake.started_at,
            Stocktake.started_by,
            Stocktake.ended_at,
            counts,
        )
        .join(Warehouse, Warehouse.id == Stocktake.warehouse_id)
        .order_by(Stocktake.id.desc())
        .limit(limit)
    )
    rows = session.execute(query if before is None else query.where(Stocktake.id < before))
    return [Listed(*row) for row in rows]


def _counts(stocktake_id: int) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            Article.id,
            Article.number,
            Article.name,
            Article.unit,
            Article.cost_minor,
            StocktakeCount.counted_milli,
            StocktakeCount.balance_milli,
            StocktakeCount.counted_at,
            StocktakeCount.counted_by,
        )
        .join(Article, Article.id == StocktakeCount.article_id)
        .where(StocktakeCount.stocktake_id == stocktake_id)
    )


def counted(session: Session, stocktake_id: int, after: int | None = None, limit: int = 50) -> list[Counted]:
    """What has been counted, the last first; ``after`` is the article of the last row of the page before."""
    query = _counts(stocktake_id).order_by(StocktakeCount.counted_at.desc(), StocktakeCount.article_id.desc())
    if after is not None:
        last = session.get(StocktakeCount, (stocktake_id, after))
        if last is not None:
            mine = sa.tuple_(StocktakeCount.counted_at, StocktakeCount.article_id)
            there = sa.tuple_(sa.literal(last.counted_at, StocktakeCount.counted_at.type), sa.literal(after))
            query = query.where(mine < there)
    return [Counted(*row) for row in session.execute(query.limit(limit))]


def counted_one(session: Session, stocktake_id: int, article_id: int) -> Counted | None:
    """What has been counted of one article; None when nothing has."""
    row = session.execute(_counts(stocktake_id).where(StocktakeCount.article_id == article_id)).one_or_none()
    return None if row is None else Counted(*row)


def count_of(session: Session, stocktake_id: int) -> int:
    """How many articles have been counted."""
    query = sa.select(sa.func.count()).select_from(StocktakeCount)
    return int(session.scalar(query.where(StocktakeCount.stocktake_id == stocktake_id)) or 0)


def uncounted(session: Session, stocktake: Stocktake) -> list[Uncounted]:
    """What the warehouse holds by the books and nobody counted, by article number; articles no longer in use too."""
    sums = (
        sa.select(StockMovement.article_id, sa.func.sum(StockMovement.quantity_milli).label("held"))
        .where(StockMovement.warehouse_id == stocktake.warehouse_id)
        .group_by(StockMovement.article_id)
        .having(sa.func.sum(StockMovement.quantity_milli) != 0)
        .subquery()
    )
    done = sa.select(StocktakeCount.article_id).where(StocktakeCount.stocktake_id == stocktake.id)
    rows = session.execute(
        sa.select(Article.id, Article.number, Article.name, Article.unit, Article.cost_minor, sums.c.held)
        .join(sums, sums.c.article_id == Article.id)
        .where(Article.stock_kept.is_(True), Article.id.not_in(done))
        .order_by(Article.number_key)
    )
    return [Uncounted(key, number, name, unit, cost, int(held)) for key, number, name, unit, cost, held in rows]


def _zeroed(session: Session, stocktake: Stocktake) -> list[Uncounted]:
    """What was set to zero when the stocktake was booked, with the balance it had then."""
    done = sa.select(StocktakeCount.article_id).where(StocktakeCount.stocktake_id == stocktake.id)
    rows = session.execute(
        sa.select(
            Article.id, Article.number, Article.name, Article.unit, Article.cost_minor, -StockMovement.quantity_milli
        )
        .join(StockMovement, StockMovement.article_id == Article.id)
        .where(StockMovement.stocktake_id == stocktake.id, Article.id.not_in(done))
        .order_by(Article.number_key)
    )
    return [Uncounted(*row) for row in rows]


def report(session: Session, stocktake: Stocktake) -> Report:
    """What was counted against what the books said when it was, and what nobody counted."""
    rows = [Counted(*row) for row in session.execute(_counts(stocktake.id).order_by(Article.number_key))]
    if stocktake.state is StocktakeState.OPEN:
        rest = uncounted(session, stocktake)
    else:
        rest = _zeroed(session, stocktake)
    return Report(
        differing=[row for row in rows if row.difference_milli],
        agreeing=sum(not row.difference_milli for row in rows),
        uncounted=rest,
        seen=f"{fingerprint([[row.article_id, row.counted_milli, row.balance_milli] for row in rows])}."
        f"{fingerprint([row.article_id for row in rest])}",
    )


def fingerprint(shown: list[list[int]] | list[int]) -> str:
    """A mark of what a page showed, in whichever order, short enough for a field."""
    return hashlib.sha256(json.dumps(sorted(shown)).encode()).hexdigest()[:32]
