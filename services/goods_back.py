"""Goods of a credit note back in stock: how much of a row can come, moving it in, and undoing that (K24, K25, S3).

Damaged goods are written on the row and never moved into a balance, since that is what is sold from. Quantities are thousandths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from models import Article, DeliveryLine, Document, DocumentLine, GoodsReturn, StockMovement
from rights import Actor
from services import documents, stock, stock_booking
from states import Condition, MovementKind


def returnable(session: Session, line: DocumentLine) -> int:
    """Thousandths of a row that can come back: what has left, less what live credit notes have taken back (S3)."""
    row_id = line.original_line.order_line_id if line.original_line is not None else None
    if row_id is None:
        return line.quantity_milli
    gone = select(func.coalesce(func.sum(DeliveryLine.quantity_milli), 0)).where(DeliveryLine.order_line_id == row_id)
    at_once = _back(DocumentLine.restock_milli, row_id).where(
        Document.restock.is_(True), Document.id != line.document_id
    )
    later = _back(GoodsReturn.quantity_milli, row_id).join(GoodsReturn, GoodsReturn.document_line_id == DocumentLine.id)
    left = int(session.scalar(gone) or 0) - int(session.scalar(at_once) or 0) - int(session.scalar(later) or 0)
    return min(line.quantity_milli, max(left, 0))


def _back(quantity: InstrumentedAttribute[int], order_line_id: int) -> Select[Any]:
    """What a column of live credit notes' rows adds up to for one row of an order."""
    invoiced = aliased(DocumentLine)
    return (
        select(func.coalesce(func.sum(quantity), 0))
        .select_from(DocumentLine)
        .join(Document, Document.id == DocumentLine.document_id)
        .join(invoiced, invoiced.id == DocumentLine.original_line_id)
        .where(
            invoiced.order_line_id == order_line_id,
            Document.state.in_(documents.LIVE),
            Document.reversed_at.is_(None),
        )
    )


def hold(session: Session, document: Document) -> None:
    """Lock what a credit note puts back, before it takes a number or is booked."""
    if document.restock and document.restock_warehouse_id is not None:
        stock.hold(session, (line.article_id for line in document.lines if line.restock_milli))


def put_back(session: Session, actor: Actor, document: Document) -> None:
    """Move in what an issued credit note puts back, one movement per row; damaged goods stay out of the balance."""
    if not document.restock or document.restock_warehouse_id is None:
        return
    moved = []
    for line in document.lines:
        whole = line.restock_condition != Condition.DAMAGED
        if line.restock_milli and whole and line.article is not None and line.article.stock_kept:
            one = stock.move(
                session,
                actor,
                article=line.article,
                warehouse_id=document.restock_warehouse_id,
                quantity_milli=line.restock_milli,
                kind=MovementKind.RETURN,
                document_line_id=line.id,
                reason=document.number_text or "",
            )
            moved.append(one)
    booked_back(session, actor, document, moved)


def booked_back(session: Session, actor: Actor, document: Document, moved: Sequence[StockMovement]) -> None:
    """Book what has come back on a credit note, where stock is booked as it moves (E4c)."""
    if moved:
        text = f"Lager, kreditfaktura {document.number_text}"
        source = f"stock_return:{document.number_text}:{moved[0].id}"
        stock_booking.follow(session, actor, moved, text, source, document_id=document.id)


def undo(session: Session, actor: Actor, document: Document) -> None:
    """Take out again all that came in on a credit note that is reversed, at once or later. Raises Refusal (E11c, I11, S2)."""
    came = session.execute(
        select(StockMovement, Article)
        .join(Article, Article.id == StockMovement.article_id)
        .join(DocumentLine, DocumentLine.id == StockMovement.document_line_id)
        .where(DocumentLine.document_id == document.id, StockMovement.kind == MovementKind.RETURN)
        .order_by(StockMovement.id)
    ).all()
    gone = [
        stock.move(
            session,
            actor,
            article=article,
            warehouse_id=movement.warehouse_id,
            quantity_milli=-movement.quantity_milli,
            kind=MovementKind.RETURN_REVERSED,
            document_line_id=movement.document_line_id,
            reason=document.number_text or "",
        )
        for movement, article in came
    ]
    text = f"Lager, kreditfaktura {document.number_text} återförd"
    source = f"stock_return_reversed:{document.number_text}"
    stock_booking.follow(session, actor, gone, text, source, document_id=document.id)
