"""The JSON interface's acts and answers: take an order once, read one with all that belongs to it, what has changed since.

Amounts in answers are whole minor units, quantities texts with a point, instants UTC. The shapes are those of
``blueprints/openapi.json``. Source: B15, B16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BadInput, NotFound
from models import Article, Customer, Delivery, Document, Order
from rights import Actor, Right
from services import incoming, klarna_accounts, klarna_orders, orders, pushes, stock
from services.api_reading import Wish
from services.card_checks import number_key
from services.gateway import Gateway

LAG = timedelta(seconds=20)
"""A change is told when it is this old: one that was begun earlier and ended later is then told in its turn."""
MOST = 100


@dataclass(frozen=True, slots=True)
class Cursor:
    """From where a list of changes goes on: after this instant, and after this order at that instant."""

    at: datetime
    order_id: int = 0

    def __str__(self) -> str:
        return f"{_instant(self.at)}~{self.order_id}"


def read_cursor(text: str) -> Cursor:
    """A cursor as ``next`` gave it, or an instant to begin with. Raises BadInput."""
    at, _mark, number = text.partition("~")
    refused = BadInput(N_("Write the time with its offset, or what the last answer gave as next."), field="since")
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise refused from None
    if found.tzinfo is None or not 1990 < found.year < 9000 or not re.fullmatch(r"[0-9]{0,15}", number):
        raise refused
    return Cursor(found.astimezone(UTC), int(number or 0))


# --- Taking ----------------------------------------------------------------------------------------------------------


def create(klarna: Gateway, actor: Actor, wish: Wish) -> tuple[int, bool]:
    """Take an order, and whether it was made by this; the same key again gives the same order (B16).

    Raises Differs where the key stands for another content, NotSetUp (B15), NotReached, BadInput, SeveralCustomers, Refusal.
    """
    actor.require(Right.WORK)
    order, link = wish.incoming, None
    with db.reading() as session:
        before = incoming.earlier(session, order)
        if before is not None:
            incoming.require_same(session, before, order)
            return before.id, False
        if wish.customer_number is not None:
            order = replace(order, customer_id=_customer_id(session, wish.customer_number))
        lines = incoming.lines_of(session, order)
        account_id = klarna_accounts.of_store(session, wish.store_id).id if wish.store_id else None
    if account_id is not None:
        klarna_order_id = klarna_orders.read_id(wish.klarna_order_id, "klarna.order_id")
        link = klarna_orders.link(klarna, account_id, klarna_order_id)
        klarna_orders.require_sum(sum(line.gross_minor for line in lines), order.currency, link.look)
        order = replace(order, link=link)

    def work(session: Session) -> tuple[int, bool]:
        before = incoming.earlier(session, order)
        return incoming.take(session, actor, order).id, before is None

    order_id, made = incoming.once(work)
    if link is not None and made and not klarna_orders.acknowledge(klarna, actor, order_id):
        db.transact(lambda session: pushes.follow_up(session, link.account_id, link.look.order_id))
    return order_id, made


def _customer_id(session: Session, number: int) -> int:
    found = session.scalar(sa.select(Customer.id).where(Customer.number == number, Customer.anonymised_at.is_(None)))
    if found is None:
        raise BadInput(N_("There is no customer %(number)s."), field="customer.number", number=number)
    return found


# --- Telling ---------------------------------------------------------------------------------------------------------


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _quantity(milli: int) -> str:
    whole, part = divmod(abs(milli), 1000)
    return f"{'-' if milli < 0 else ''}{whole}" + (f".{part:03d}".rstrip("0") if part else "")


def summary(order: Order) -> dict[str, Any]:
    """An order in a list of changes."""
    key = order.source_key or ""
    return {
        "number": order.number,
        "key": key.removeprefix("api:") if key.startswith("api:") else None,
        "shop_number": order.shop_number,
        "source": order.source,
        "state": order.state.value,
        "held": order.hold_reason is not None,
        "delivered": order.delivered,
        "invoiced": order.invoiced,
        "klarna_status": order.klarna_status.value if order.klarna_status else None,
        "changed_at": _instant(order.changed_at or order.ordered_at),
    }


def whole(session: Session, order: Order) -> dict[str, Any]:
    """An order with its rows, deliveries and documents and the state of each."""
    gone, held = orders.delivered(session, order.id), orders.invoiced(session, order.id)
    return {
        **summary(order),
        "ordered_at": _instant(order.ordered_at),
        "currency": order.currency,
        "total": orders.total(order),
        "customer": {"number": order.customer.number, "name": order.customer.name},
        "payment": order.payment_method.kind.value,
        "note": order.note,
        "rows": [
            {
                "kind": line.kind.value,
                "article": line.article_number,
                "description": line.name,
                "quantity": _quantity(line.quantity_milli),
                "unit": line.unit,
                "unit_price": line.unit_price_minor,
                "discount": line.discount_minor,
                "vat_rate": line.vat_rate,
                "total": orders.line_gross(line),
                "delivered": _quantity(gone.get(line.id, 0)),
                "invoiced": _quantity(held.get(line.id, orders.NOTHING).quantity_milli),
            }
            for line in order.lines
        ],
        "klarna": _klarna(order),
        "deliveries": [_delivery(each) for each in _deliveries(session, order.id)],
        "documents": [_document(each) for each in _documents(session, order.id)],
    }


def _klarna(order: Order) -> dict[str, Any] | None:
    if order.klarna_order_id is None:
        return None
    return {
        "order_id": order.klarna_order_id,
        "reference": order.klarna_reference,
        "store_id": order.account.store_id if order.account else None,
        "fraud_status": order.fraud_status,
        "authorized": order.authorized_minor,
        "captured": order.captured_minor,
        "refunded": order.refunded_minor,
        "remaining": order.remaining_minor,
        "expires_at": _instant(order.expires_at),
        "read_at": _instant(order.klarna_read_at),
    }


def _deliveries(session: Session, order_id: int) -> list[Delivery]:
    return list(session.scalars(sa.select(Delivery).where(Delivery.order_id == order_id).order_by(Delivery.ordinal)))


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "number": delivery.ordinal,
        "at": _instant(delivery.delivered_at),
        "carrier": delivery.carrier,
        "tracking_number": delivery.tracking_number,
        "tracking_uri": delivery.tracking_uri,
    }


def _documents(session: Session, order_id: int) -> list[Document]:
    numbered = sa.select(Document).where(Document.order_id == order_id, Document.number.is_not(None))
    return list(session.scalars(numbered.order_by(Document.number)))


def _document(document: Document) -> dict[str, Any]:
    return {
        "number": document.number_text,
        "kind": document.kind.value,
        "type": document.type.value,
        "state": document.state.value,
        "reversed": document.reversed_at is not None,
        "date": (document.issue_date or document.number_date or clock.today()).isoformat(),
        "total": document.gross_minor,
        "vat": document.vat_minor,
        "open": document.open_minor,
        "paid_on": document.paid_at.isoformat() if document.paid_at else None,
        "with_klarna": document.with_klarna,
    }


def changes(session: Session, since: Cursor, limit: int) -> dict[str, Any]:
    """Orders that have changed, or have been read anew at Klarna, after a cursor; the oldest change first."""
    when = sa.tuple_(Order.changed_at, Order.id)
    after = sa.tuple_(sa.literal(since.at, Order.changed_at.type), sa.literal(since.order_id, Order.id.type))
    found = session.scalars(
        sa.select(Order)
        .where(Order.changed_at.is_not(None), when > after, Order.changed_at <= clock.now() - LAG)
        .order_by(Order.changed_at, Order.id)
        .limit(min(limit, MOST))
    ).all()
    last = found[-1] if found else None
    cursor = Cursor(last.changed_at, last.id) if last is not None and last.changed_at is not None else since
    return {"orders": [summary(order) for order in found], "next": str(cursor), "more": len(found) == min(limit, MOST)}


def by_key(session: Session, key: str) -> Order:
    """The order that was sent under a key. Raises NotFound."""
    found = session.scalar(sa.select(Order).where(Order.source_key == f"api:{key}")) if "\0" not in key else None
    if found is None:
        raise NotFound
    return found


def balance(session: Session, number: str) -> dict[str, Any]:
    """What there is of an article, per warehouse. Raises NotFound."""
    article = session.scalar(sa.select(Article).where(Article.number_key == number_key(number)))
    if article is None:
        raise NotFound
    return {
        "article": article.number,
        "description": article.name,
        "unit": article.unit,
        "on_hand": _quantity(stock.balance(session, article.id)),
        "stock_kept": article.stock_kept,
        "active": article.active,
    }
