"""Where a row stands: whole at one document, in parts at several, or, as a whole or in part, with nobody (B4).

A part is known by its document, None for what nobody has placed; so each document stands there once, and what is moved to a
document that has a part already adds to it. Amounts are minor units with the sign of the row. Source: operations 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Document, KlarnaOp, Payout, PayoutRow, RowMatch, RowShare
from states import DocKind, OpKind, PayoutState


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a row, or all of it, and the document it is of; None for what nobody has placed."""

    amount_minor: int
    document_id: int | None = None
    number: str | None = None
    kind: DocKind | None = None


@dataclass(frozen=True, slots=True)
class Loose:
    """A booked row that nobody has placed."""

    row_id: int
    row_no: int
    payment_reference: str


def loose_row_of(session: Session, op: KlarnaOp) -> Loose | None:
    """The booked row of what was done at Klarna by this operation, where no document has been given it; None for none.

    A row whose document was made after the payout was booked: no reading will match it any more, a person moves it.
    """
    same, kind = (PayoutRow.refund_id, "RETURN") if op.kind is OpKind.REFUND else (PayoutRow.capture_id, "SALE")
    found = session.execute(
        sa.select(PayoutRow.id, PayoutRow.row_no, Payout.payment_reference)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .join(Payout, Payout.id == PayoutRow.payout_id)
        .where(
            PayoutRow.klarna_order_id == op.klarna_order_id,
            same == op.klarna_object_id,
            PayoutRow.type == kind,
            Payout.state == PayoutState.BOOKED,
            RowMatch.document_id.is_(None),
            ~sa.exists().where(RowShare.row_id == PayoutRow.id),
        )
        .order_by(PayoutRow.id)
        .limit(1)
    ).first()
    return Loose(*found) if found is not None else None


def of(session: Session, row: PayoutRow, match: RowMatch) -> dict[int | None, int]:
    """What of a row stands at each document, with None for the rest; it adds up to the row."""
    if match.document_id is not None:
        return {match.document_id: row.amount_minor}
    shares = session.scalars(sa.select(RowShare).where(RowShare.row_id == row.id))
    placed: dict[int | None, int] = {each.document_id: each.amount_minor for each in shares}
    rest = row.amount_minor - sum(placed.values())
    return {**placed, None: rest} if rest or not placed else placed


def named(session: Session, row: PayoutRow, match: RowMatch) -> Sequence[Place]:
    """The same with the documents' numbers, in the order of those, and what nobody has placed last."""
    placed = of(session, row, match)
    documents = session.scalars(
        sa.select(Document).where(Document.id.in_([each for each in placed if each is not None])).order_by(Document.id)
    )
    told = [Place(placed[each.id], each.id, each.number_text, each.kind) for each in documents]
    return [*told, *([Place(placed[None])] if None in placed else [])]


def parts_of(session: Session, row_ids: Sequence[int]) -> Mapping[int, Sequence[Place]]:
    """The parts of those among these rows that are split, by row; what of one nobody has placed last."""
    query = (
        sa.select(RowShare, PayoutRow.amount_minor, Document.number_text, Document.kind)
        .join(PayoutRow, PayoutRow.id == RowShare.row_id)
        .join(Document, Document.id == RowShare.document_id)
        .where(RowShare.row_id.in_(row_ids))
        .order_by(Document.id)
    )
    found: dict[int, list[Place]] = {}
    rest: dict[int, int] = {}
    for share, whole, number, kind in session.execute(query):
        found.setdefault(share.row_id, []).append(Place(share.amount_minor, share.document_id, number, kind))
        rest[share.row_id] = rest.get(share.row_id, whole) - share.amount_minor
    return {row_id: [*parts, *([Place(rest[row_id])] if rest[row_id] else [])] for row_id, parts in found.items()}


def shift(
    session: Session, row: PayoutRow, match: RowMatch, before: int | None, after: int | None, amount_minor: int
) -> None:
    """Take this much of a row from where it stands and put it elsewhere; a row that is all in one place is no longer split."""
    placed = of(session, row, match)
    placed[before] -= amount_minor
    placed[after] = placed.get(after, 0) + amount_minor
    left = {document: minor for document, minor in placed.items() if minor}
    for share in session.scalars(sa.select(RowShare).where(RowShare.row_id == row.id)).all():
        session.delete(share)
    whole = len(left) == 1
    match.document_id = next(iter(left)) if whole else None
    session.flush()
    if not whole:
        session.add_all(
            RowShare(row_id=row.id, document_id=document, amount_minor=minor)
            for document, minor in left.items()
            if document is not None
        )
        session.flush()
