"""What a draft of a credit note is loaded with and written by, at every key that is typed into it (performance, goal 11).

The questions and writes are put together once. Pure access: what is written is worked out elsewhere.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session, aliased, joinedload
from sqlalchemy.orm.attributes import set_committed_value

from models import Document, DocumentLine, Order

_INVOICE = aliased(Document)
_AROUND = (
    select(_INVOICE, Order)
    .select_from(Document)
    .outerjoin(_INVOICE, _INVOICE.id == Document.original_id)
    .outerjoin(Order, Order.id == Document.order_id)
    .where(Document.id == bindparam("draft_id"))
)
_ROWS = (
    select(DocumentLine)
    .where(DocumentLine.document_id == bindparam("draft_id"))
    .options(joinedload(DocumentLine.original_line), joinedload(DocumentLine.article))
    .order_by(DocumentLine.position)
)
_WRITTEN = {
    model: update(model.__table__).where(model.__table__.c.id == bindparam("key"))  # type: ignore[arg-type]
    for model in (Document, DocumentLine)
}


def load(session: Session, draft: Document) -> None:
    """Load what a draft stands on in two questions: its invoice and order, and its rows."""
    invoice, order = session.execute(_AROUND, {"draft_id": draft.id}).one()
    set_committed_value(draft, "original", invoice)
    set_committed_value(draft, "order", order)
    load_rows(session, draft)


def load_rows(session: Session, draft: Document) -> None:
    """Load a draft's rows with their originals and articles in one question, not two for each row."""
    set_committed_value(draft, "lines", session.scalars(_ROWS, {"draft_id": draft.id}).all())


def write(session: Session, row: Document | DocumentLine, **values: Any) -> None:
    """Write some values of a draft or its row at once: left to the session, each write costs three times its statement."""
    session.execute(_WRITTEN[type(row)], {"key": row.id, **values})
    for name, value in values.items():
        set_committed_value(row, name, value)
