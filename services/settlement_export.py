"""The rows of a reading for a file: every row as Klarna wrote it, with where it stands and what was done with it (B3, B4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Document, PayoutRow, RowMatch, RowShare
from states import Pile


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of a payout, minor units; ``documents`` has several numbers where it was split."""

    row_no: int
    type: str
    detailed_type: str
    happened_at: datetime | None
    short_order_id: str | None
    klarna_order_id: str | None
    reference: str | None
    amount_minor: int
    vat_minor: int
    pile: Pile
    because: str | None
    documents: str
    note: str | None
    handled_by: str | None
    handled_at: datetime | None


_DOCUMENTS = [each.name for each in fields(FileRow)].index("documents")


def rows(session: Session, payout_id: int) -> Iterator[FileRow]:
    """Every row in the order of the report, a thousand at a time."""
    shared = _shared(session, payout_id)
    query = (
        sa.select(
            PayoutRow.id,
            PayoutRow.row_no,
            PayoutRow.type,
            PayoutRow.detailed_type,
            PayoutRow.happened_at,
            PayoutRow.short_order_id,
            PayoutRow.klarna_order_id,
            sa.func.coalesce(PayoutRow.capture_reference, PayoutRow.refund_reference, PayoutRow.merchant_reference1),
            PayoutRow.amount_minor,
            PayoutRow.vat_minor,
            RowMatch.pile,
            RowMatch.because,
            Document.number_text,
            RowMatch.note,
            RowMatch.handled_by,
            RowMatch.handled_at,
        )
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .outerjoin(Document, Document.id == RowMatch.document_id)
        .where(PayoutRow.payout_id == payout_id)
        .order_by(PayoutRow.row_no)
        .execution_options(yield_per=1000)
    )
    for row in session.execute(query):
        row_id, *told = row
        told[_DOCUMENTS] = shared.get(row_id) or told[_DOCUMENTS] or ""
        yield FileRow(*told)


def _shared(session: Session, payout_id: int) -> dict[int, str]:
    """The documents of rows that were split, by row."""
    parts: dict[int, list[str]] = {}
    query = (
        sa.select(RowShare.row_id, Document.number_text)
        .join(PayoutRow, PayoutRow.id == RowShare.row_id)
        .join(Document, Document.id == RowShare.document_id)
        .where(PayoutRow.payout_id == payout_id)
        .order_by(RowShare.row_id, Document.id)
    )
    for row_id, number in session.execute(query):
        parts.setdefault(row_id, []).append(number or "")
    return {row_id: ", ".join(numbers) for row_id, numbers in parts.items()}
