"""Stock that is adjusted by hand after an exchange on one credit note: both articles, and what has been done (K45, K46).

Quantities are thousandths; plus comes in, minus goes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Document, DocumentLine, StockMovement
from services import credit_drafts, documents, new_rows
from states import DocState, DocType, MovementKind


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An article whose stock is to be adjusted; ``done`` says that an adjustment has been made from the credit note."""

    article_id: int
    article: str
    unit: str
    milli: int
    line_id: int
    done: bool = False


def of(session: Session, document: Document) -> list[Adjustment]:
    """Both articles of an exchange on one credit note: what comes back and what goes out; none without exchange (K46)."""
    if document.type is not DocType.CREDIT or new_rows.why_no_restock(document) is None:
        return []
    lines = [line for line in documents.lines_of(document) if _is_counted(line)]
    made = set()
    if document.state is not DocState.DRAFT:
        query = sa.select(StockMovement.document_line_id).where(
            StockMovement.document_line_id.in_([line.id for line in lines]),
            StockMovement.kind == MovementKind.ADJUSTMENT,
        )
        made = set(session.scalars(query))
    return [
        Adjustment(
            article_id=line.article_id,
            article=f"{line.article_number} {line.name}",
            unit=line.unit,
            milli=-line.quantity_milli if new_rows.goes_out(line) else line.quantity_milli,
            line_id=line.id,
            done=line.id in made,
        )
        for line in lines
        if line.article_id is not None
    ]


def _is_counted(line: DocumentLine) -> bool:
    return credit_drafts.stock_kept(line) and (not new_rows.is_new(line) or new_rows.goes_out(line))


def line_to_adjust(session: Session, line_id: int, article_id: int) -> int | None:
    """The row of an issued credit note that an adjustment of this article belongs to, the first time; else None."""
    line = session.get(DocumentLine, line_id)
    if line is None or line.article_id != article_id or line.document.state is not DocState.ISSUED:
        return None
    found = next((each for each in of(session, line.document) if each.line_id == line_id), None)
    return line_id if found is not None and not found.done else None
