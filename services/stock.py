"""Stock: a balance is the sum of its movements, and movements are only ever added (S1).

Quantities are thousandths of a unit; plus comes in, minus goes out. Source: B24, B27, K24, K46.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, BrokenRule, NotFound, Refusal
from models import Article, Delivery, DeliveryLine, DocumentLine, Order, OrderLine, StockMovement, Warehouse
from rights import Actor, Right
from services import audit, card_checks, keyset, money_forms, stock_booking, workplace
from states import MovementKind, OrderState

MOST_ROWS = 100
GTIN_LENGTHS = (8, 12, 13, 14)
LONGEST_CODE = 100


def balance(session: Session, article_id: int, warehouse_id: int | None = None) -> int:
    """What is on hand, thousandths; in one warehouse or in all of them together."""
    query = sa.select(sa.func.coalesce(sa.func.sum(StockMovement.quantity_milli), 0)).where(
        StockMovement.article_id == article_id
    )
    if warehouse_id is not None:
        query = query.where(StockMovement.warehouse_id == warehouse_id)
    return int(session.scalar(query) or 0)


def article_of(session: Session, code: str, field: str, *, in_use: bool = True) -> Article:
    """The article with this number or GTIN, which may be read with or without leading zeros, and of which stock is kept.

    Raises BadInput for ``field``. Without ``in_use`` one that is no longer sold will do.
    """
    typed = card_checks.check_text(code.strip(), LONGEST_CODE, field=field)
    if not typed:
        raise BadInput(N_("Scan or type an article number."), field=field)
    digits = typed.lstrip("0") if typed.isascii() and typed.isdigit() else ""
    codes = [digits.zfill(length) for length in GTIN_LENGTHS if 0 < len(digits) <= length]
    by_number = Article.number_key == card_checks.number_key(typed)
    query = sa.select(Article).where(by_number | Article.gtin.in_(codes))
    if in_use:
        query = query.where(Article.active.is_(True))
    found = session.scalar(query.order_by(by_number.desc(), Article.id).limit(1))
    if found is None:
        raise BadInput(N_("There is no article «%(number)s»."), field=field, number=typed)
    if not found.stock_kept:
        raise BadInput(N_("No stock is kept of article %(article)s."), field=field, article=found.number)
    return found


def hold(session: Session, article_ids: Iterable[int | None]) -> None:
    """Lock the articles among these whose stock is kept, in the order of their ids, before any series gives a number.

    Who moves stock of several articles, or moves it and takes a number for a document or voucher, takes them in this order,
    so that no two wait for each other in a circle.
    """
    wanted = sorted({each for each in article_ids if each is not None})
    if wanted:
        found = sa.select(Article.id).where(keyset.among(session, Article.id, wanted), Article.stock_kept.is_(True))
        session.execute(found.order_by(Article.id).with_for_update()).all()


def move(
    session: Session,
    actor: Actor,
    *,
    article: Article,
    warehouse_id: int,
    quantity_milli: int,
    kind: MovementKind,
    delivery_line_id: int | None = None,
    document_line_id: int | None = None,
    reason: str = "",
) -> StockMovement:
    """Add a movement. Needs a writing session; other movements of the article wait until it is over.

    Raises Refusal when the balance would fall below zero and the article does not allow it, BrokenRule for an article
    whose stock is not kept (S2).
    """
    if not article.stock_kept:
        raise BrokenRule(f"article {article.number} has no stock")
    session.execute(sa.select(Article.id).where(Article.id == article.id).with_for_update()).one()
    if quantity_milli < 0 and not article.may_go_negative:
        left = balance(session, article.id, warehouse_id)
        if left + quantity_milli < 0:
            raise too_little(article, left, -quantity_milli)
    movement = StockMovement(
        article_id=article.id,
        warehouse_id=warehouse_id,
        quantity_milli=quantity_milli,
        kind=kind,
        delivery_line_id=delivery_line_id,
        document_line_id=document_line_id,
        reason=reason,
        at=clock.now(),
        by=actor.name,
    )
    session.add(movement)
    session.flush()
    return movement


def too_little(article: Article, left_milli: int, wanted_milli: int) -> Refusal:
    """The no to taking out more of an article than a warehouse holds (S2)."""
    return Refusal(
        N_("Of article %(article)s only %(left_milli)s is in stock, and %(wanted_milli)s is to go out."),
        article=article.number,
        left_milli=left_milli,
        wanted_milli=wanted_milli,
        link=("stock.article", {"article_id": article.id}),
    )


def adjust(
    session: Session,
    actor: Actor,
    article_id: int,
    warehouse_id: int,
    quantity_milli: int,
    reason: str,
    line_id: int | None = None,
) -> StockMovement:
    """Change a balance by hand with a reason; ``line_id`` is the credit note's row it is for (B27, K46).

    Raises NotAllowed, NotFound, BadInput, Refusal.
    """
    actor.require(Right.WORK)
    article, warehouse = session.get(Article, article_id), session.get(Warehouse, warehouse_id)
    if article is None or warehouse is None:
        raise NotFound
    if not article.stock_kept:
        raise Refusal(N_("No stock is kept of article %(article)s."), article=article.number)
    if not warehouse.active:
        raise BadInput(N_("The warehouse is closed."), field="warehouse_id")
    if quantity_milli == 0:
        raise BadInput(N_("Enter by how much the balance changes."), field="quantity")
    if not reason.strip():
        raise BadInput(N_("Write a reason."), field="reason")
    movement = move(
        session,
        actor,
        article=article,
        warehouse_id=warehouse_id,
        quantity_milli=quantity_milli,
        kind=MovementKind.ADJUSTMENT,
        document_line_id=line_id,
        reason=reason.strip(),
    )
    text, source = f"Lagerjustering, artikel {article.number}", f"stock_adjusted:{movement.id}"
    stock_booking.follow(session, actor, [movement], text, source)
    audit.write(
        session,
        actor,
        "stock.adjust",
        f"article:{article_id}",
        {"warehouse": warehouse.code, "quantity_milli": quantity_milli, "reason": reason.strip()},
    )
    return movement


def adjust_once(
    session: Session,
    actor: Actor,
    nonce: str,
    article_id: int,
    warehouse_id: int,
    quantity_milli: int,
    reason: str,
    line_id: int | None = None,
) -> None:
    """As ``adjust``, but one form adjusts once however often it is sent (operations 12). Raises what both raise."""
    session.execute(sa.select(Article.id).where(Article.id == article_id).with_for_update())
    values = [warehouse_id, quantity_milli, reason]
    if money_forms.earlier_use(session, actor, nonce, "adjust", str(article_id), values) is None:
        movement = adjust(session, actor, article_id, warehouse_id, quantity_milli, reason, line_id)
        money_forms.use_form(session, actor, nonce, "adjust", str(article_id), values, str(movement.id))
        workplace.remember(session, actor, warehouse_id)


@dataclass(frozen=True, slots=True)
class StockRow:
    """An article's balance in one warehouse; what open orders still want of it and what then is left, in all; thousandths."""

    article_id: int
    number: str
    name: str
    unit: str
    warehouse_id: int
    warehouse: str
    on_hand: int
    wanted: int
    available: int
    may_go_negative: bool


def _wanted() -> sa.Subquery:
    """Per article: ordered on open orders and not yet delivered."""
    done = (
        sa.select(sa.func.sum(DeliveryLine.quantity_milli))
        .where(DeliveryLine.order_line_id == OrderLine.id)
        .correlate(OrderLine)
        .scalar_subquery()
    )
    return (
        sa.select(
            OrderLine.article_id,
            sa.func.sum(OrderLine.quantity_milli - sa.func.coalesce(done, 0)).label("wanted"),
        )
        .join(Order, Order.id == OrderLine.order_id)
        .where(OrderLine.article_id.is_not(None), Order.state == OrderState.OPEN, Order.delivered.in_(("none", "part")))
        .group_by(OrderLine.article_id)
        .subquery()
    )


def balances(
    session: Session,
    *,
    warehouse_id: int | None = None,
    search: str = "",
    after: tuple[str, int] | None = None,
    limit: int = 50,
) -> list[StockRow]:
    """Balance per article and active warehouse, by article number (B27); ``after`` is number key and warehouse id."""
    wanted = _wanted()
    page = (
        sa.select(Article.id.label("article_id"), Warehouse.id.label("warehouse_id"))
        .join(Warehouse, sa.true())
        .where(Article.stock_kept.is_(True), Article.active.is_(True), Warehouse.active.is_(True))
        .order_by(Article.number_key, Warehouse.id)
        .limit(min(limit, MOST_ROWS))
    )
    if warehouse_id is not None:
        page = page.where(Warehouse.id == warehouse_id)
    if search:
        page = page.where(
            sa.or_(
                Article.number_key.startswith(search.casefold(), autoescape=True),
                Article.name.icontains(search, autoescape=True),
                Article.gtin == search,
            )
        )
    if after is not None:
        page = page.where(sa.tuple_(Article.number_key, Warehouse.id) > sa.tuple_(*map(sa.literal, after)))
    shown = page.subquery()
    sums = (
        sa.select(
            StockMovement.article_id,
            StockMovement.warehouse_id,
            sa.func.sum(StockMovement.quantity_milli).label("on_hand"),
        )
        .where(StockMovement.article_id.in_(sa.select(shown.c.article_id)))
        .group_by(StockMovement.article_id, StockMovement.warehouse_id)
        .subquery()
    )
    everywhere = (
        sa.select(sums.c.article_id, sa.func.sum(sums.c.on_hand).label("on_hand"))
        .group_by(sums.c.article_id)
        .subquery()
    )
    rows = session.execute(
        sa.select(
            Article.id,
            Article.number,
            Article.name,
            Article.unit,
            Warehouse.id,
            Warehouse.name,
            sa.func.coalesce(sums.c.on_hand, 0),
            sa.func.coalesce(wanted.c.wanted, 0),
            sa.func.coalesce(everywhere.c.on_hand, 0),
            Article.may_go_negative,
        )
        .select_from(shown)
        .join(Article, Article.id == shown.c.article_id)
        .join(Warehouse, Warehouse.id == shown.c.warehouse_id)
        .outerjoin(sums, sa.and_(sums.c.article_id == shown.c.article_id, sums.c.warehouse_id == shown.c.warehouse_id))
        .outerjoin(everywhere, everywhere.c.article_id == shown.c.article_id)
        .outerjoin(wanted, wanted.c.article_id == shown.c.article_id)
        .order_by(Article.number_key, Warehouse.id)
    )
    return [
        StockRow(
            key, number, name, unit, place, where, int(on_hand), int(wanted_now), int(in_all - wanted_now), negative
        )
        for key, number, name, unit, place, where, on_hand, wanted_now, in_all, negative in rows
    ]


@dataclass(frozen=True, slots=True)
class Standing:
    """An article in all warehouses together, thousandths: on hand, wanted by open orders, and what then is left."""

    on_hand: int
    wanted: int

    @property
    def available(self) -> int:
        """What can be sold; below zero when open orders want more than there is."""
        return self.on_hand - self.wanted


def standing(session: Session, article_id: int) -> Standing:
    """Balance and available quantity of one article, shown apart (B27)."""
    wanted = _wanted()
    found = session.scalar(sa.select(wanted.c.wanted).where(wanted.c.article_id == article_id))
    return Standing(balance(session, article_id), int(found or 0))


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """An article's balance in one warehouse, thousandths."""

    warehouse_id: int
    warehouse: str
    on_hand: int


def places(session: Session, article_id: int) -> list[PlaceRow]:
    """An article's balance in every warehouse that is open or holds some."""
    on_hand = sa.func.coalesce(sa.func.sum(StockMovement.quantity_milli), 0)
    here = sa.and_(StockMovement.warehouse_id == Warehouse.id, StockMovement.article_id == article_id)
    rows = session.execute(
        sa.select(Warehouse.id, Warehouse.name, on_hand)
        .outerjoin(StockMovement, here)
        .group_by(Warehouse.id, Warehouse.name, Warehouse.active)
        .having(sa.or_(Warehouse.active.is_(True), on_hand != 0))
        .order_by(Warehouse.id)
    )
    return [PlaceRow(key, name, int(milli)) for key, name, milli in rows]


@dataclass(frozen=True, slots=True)
class MovementRow:
    """A movement as a page shows it: what moved, why, who, and what it came from."""

    id: int
    at: datetime
    kind: MovementKind
    warehouse: str
    quantity_milli: int
    reason: str
    by: str
    order_id: int | None
    document_id: int | None
    stocktake_id: int | None


def movements(session: Session, article_id: int, *, after: int | None = None, limit: int = 50) -> list[MovementRow]:
    """An article's movements, the newest first; ``after`` is the id of the last row of the page before (B27)."""
    query = (
        sa.select(
            StockMovement.id,
            StockMovement.at,
            StockMovement.kind,
            Warehouse.name.label("warehouse"),
            StockMovement.quantity_milli,
            StockMovement.reason,
            StockMovement.by,
            Delivery.order_id,
            DocumentLine.document_id,
            StockMovement.stocktake_id,
        )
        .join(Warehouse, Warehouse.id == StockMovement.warehouse_id)
        .outerjoin(DeliveryLine, DeliveryLine.id == StockMovement.delivery_line_id)
        .outerjoin(Delivery, Delivery.id == DeliveryLine.delivery_id)
        .outerjoin(DocumentLine, DocumentLine.id == StockMovement.document_line_id)
        .where(StockMovement.article_id == article_id)
        .order_by(StockMovement.id.desc())
        .limit(min(limit, MOST_ROWS))
    )
    if after is not None:
        query = query.where(StockMovement.id < after)
    return [MovementRow(**row) for row in session.execute(query).mappings()]
