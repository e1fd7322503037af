"""How a document was settled: the three rows of a reading, payments by hand, offsets, and what can be done about the rest.

Amounts are minor units. Pure reading. Source: B1, B7, B8, B11, K49.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal, not_, or_, select
from sqlalchemy.orm import Session

from errors import Refusal
from models import Document, KlarnaOp, Offset, Payout, PayoutRow, RowMatch, RowShare, Voucher
from rights import Actor
from services import offset_pairs, payment_rows, payments, settlement_places
from states import DocKind, PayoutState

MAIN_TYPES = frozenset({"SALE", "RETURN"})
"""Settlement rows that are the document's own amount; of the rest those with fee in their name are Klarna's cost."""


@dataclass(frozen=True, slots=True)
class Payment:
    """How a document was settled: the three rows of B1, and what remains. All in minor units.

    ``bank`` is what came in (for a credit note what went out, negative), ``fee`` and ``fee_vat`` Klarna's cost;
    they and ``other`` add up to the amount that the settlement closed.
    """

    state: str | None
    gross_minor: int
    open_minor: int
    bank_minor: int | None = None
    fee_minor: int = 0
    fee_vat_minor: int = 0
    other_minor: int = 0
    payout_id: int | None = None
    payout_date: date | None = None
    payment_reference: str | None = None
    by_hand: Sequence[payments.Row] = ()
    no_payment: Refusal | None = None
    no_surplus: Refusal | None = None
    offsets: Sequence[offset_pairs.Made] = ()
    may_offset: bool = False
    loose: settlement_places.Loose | None = None
    """The row of a booked payout that is of this document and has not been given it."""

    @property
    def offset_minor(self) -> int:
        """What offsets that stand close of it."""
        return sum(each.amount_minor for each in self.offsets if each.undone_by is None)


def offset_sums(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """What of each document is closed by offsets that stand, minor units; none for those without."""
    live = ~select(Voucher.id).where(Voucher.reverses_id == Offset.voucher_id).exists()
    sums: dict[int, int] = {}
    for side in (Offset.invoice_id, Offset.credit_note_id):
        query = select(side, func.sum(Offset.amount_minor)).where(side.in_(ids), live).group_by(side)
        sums.update({document: int(minor) for document, minor in session.execute(query)} if ids else {})
    return sums


def paid_state(kind: DocKind, gross_minor: int, open_minor: int) -> str:
    """none, partly, full or over, as the paid icon shows it (B11)."""
    gross, left = abs(gross_minor), payment_rows.side_of(kind, gross_minor) * open_minor
    if left == 0:
        return "full"
    if left < 0 or left > gross:
        return "over"
    return "none" if left == gross else "partly"


def state_of(kind: DocKind, gross_minor: int, open_minor: int, reversed_at: datetime | None) -> str | None:
    """The same of an issued document; None for a credit note that has been reversed: it was settled by nobody."""
    return paid_state(kind, gross_minor, open_minor) if reversed_at is None else None


def is_overpaid(kind: ColumnElement[str]) -> ColumnElement[bool]:
    """«over» as a condition on documents; ``kind`` is their kind, as the question wants it looked up."""
    owes_us = and_(kind == str(DocKind.INVOICE), Document.gross_minor >= 0)
    return or_(and_(owes_us, Document.open_minor < 0), and_(not_(owes_us), Document.open_minor > 0))


def of(session: Session, actor: Actor, document: Document) -> Payment:
    """How an issued document was settled, and what this person can do about what is left."""
    shared: dict[str, Any] = {
        "by_hand": payments.of_document(session, document.id),
        "no_payment": payments.why_not(actor, document),
        "no_surplus": payments.why_no_surplus(actor, document),
        "offsets": offset_pairs.made(session, document.number_text or "")[0],
        "may_offset": document.open_minor != 0 and offset_pairs.partners_of(session, document.id),
    }
    gross = document.gross_minor or 0
    state = state_of(document.kind, gross, document.open_minor, document.reversed_at)
    whole = session.execute(
        select(PayoutRow.type, PayoutRow.detailed_type, PayoutRow.amount_minor, PayoutRow.vat_minor, Payout)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .join(Payout, Payout.id == PayoutRow.payout_id)
        .where(RowMatch.document_id == document.id, Payout.state == PayoutState.BOOKED)
        .order_by(PayoutRow.id)
    ).all()
    parts = session.execute(
        select(PayoutRow.type, PayoutRow.detailed_type, RowShare.amount_minor, literal(0), Payout)
        .join(RowShare, RowShare.row_id == PayoutRow.id)
        .join(Payout, Payout.id == PayoutRow.payout_id)
        .where(RowShare.document_id == document.id, Payout.state == PayoutState.BOOKED)
        .order_by(PayoutRow.id)
    ).all()
    rows = [*whole, *parts]
    if not rows:
        return Payment(
            state,
            gross,
            document.open_minor,
            payment_reference=document.paid_reference,
            loose=_loose(session, document) if state == "none" else None,
            **shared,
        )
    fee = sum(amount for kind, detail, amount, _, _ in rows if _is_fee(kind, detail))
    vat = sum(vat for _, _, _, vat, _ in rows)
    other = sum(amount for kind, detail, amount, _, _ in rows if kind not in MAIN_TYPES and not _is_fee(kind, detail))
    payout: Payout = rows[-1][4]
    return Payment(
        state=state,
        gross_minor=gross,
        open_minor=document.open_minor,
        bank_minor=sum(amount + vat for _, _, amount, vat, _ in rows),
        fee_minor=-fee,
        fee_vat_minor=-vat,
        other_minor=-other,
        payout_id=payout.id,
        payout_date=document.paid_at,
        payment_reference=payout.payment_reference,
        **shared,
    )


def _loose(session: Session, document: Document) -> settlement_places.Loose | None:
    op = session.get(KlarnaOp, document.issued_by_op_id) if document.issued_by_op_id is not None else None
    return settlement_places.loose_row_of(session, op) if op is not None and op.klarna_object_id else None


def _is_fee(kind: str, detail: str) -> bool:
    return kind not in MAIN_TYPES and ("FEE" in kind or "FEE" in detail or "COMMISSION" in kind)
