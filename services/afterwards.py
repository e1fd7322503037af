"""What happens to documents once they are issued: payouts, payments, offsets, reversals, e-mails, goods that come later.

What has moved a claim is read from the books themselves, so that the history of a document adds up to what is open of it.
Amounts are minor units, above 0 for what closes a claim and below for what opens it again. Pure reading. Source: screens,
"Invoice page and list"; B1, B7, B8, F18, K24, K49.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from models import (
    Account,
    ApprovalRequest,
    Document,
    DocumentEvent,
    DocumentLine,
    GoodsReturn,
    Offset,
    Outbox,
    Payment,
    Payout,
    Posting,
    RowPlacing,
    Voucher,
)
from services import outbox
from states import Condition, DocKind, DocState

MOST = 100


class What(StrEnum):
    """What has happened to a document."""

    PAYOUT = "payout"
    PAYMENT = "payment"
    SURPLUS = "surplus"
    RESIDUE = "residue"
    OFFSET = "offset"
    ROW_MOVED = "row_moved"
    REVERSED = "reversed"
    MAIL_SENT = "mail_sent"
    MAIL_GIVEN_UP = "mail_given_up"
    MAIL_DROPPED = "mail_dropped"
    GOODS = "goods"
    ASKED = "asked"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. ``name`` is a payout's reference, the other document of an offset or the row that goods came of.

    ``row_id`` is the row that was moved, ``other_id`` the other document of an offset, ``voucher_id`` what booked it.
    """

    what: What
    at: datetime
    who: str
    document_id: int
    document_kind: DocKind
    document_number: str
    amount_minor: int | None = None
    taken_back: bool = False
    name: str = ""
    detail: str = ""
    payout_id: int | None = None
    row_id: int | None = None
    other_id: int | None = None
    voucher_id: int | None = None
    quantity_milli: int | None = None
    condition: Condition | None = None


_ONE = Document.id == sa.bindparam("id")
_OF_ORDER = Document.order_id == sa.bindparam("id")
_PAID, _PLACED, _CLOSED = aliased(Payment), aliased(RowPlacing), aliased(Offset)


def _booked(which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    """The vouchers that moved the claims of these documents, each with what it stands for; a reversal with what it reverses."""
    moved = (
        sa.select(Posting.voucher_id, Posting.document_id, sa.func.sum(Posting.amount_minor).label("minor"))
        .join(Account, Account.number == Posting.account)
        .where(Posting.document_id.in_(sa.select(Document.id).where(which)), Account.receivable.is_(True))
        .group_by(Posting.voucher_id, Posting.document_id)
        .subquery()
    )
    stands_for = sa.func.coalesce(Voucher.reverses_id, Voucher.id)
    invoice, note = aliased(Document), aliased(Document)
    return (
        sa.select(
            Voucher.created_at.label("at"),
            Voucher.created_by.label("who"),
            Voucher.reverses_id,
            Voucher.document_id.label("own_id"),
            Voucher.id.label("voucher_id"),
            Voucher.text,
            Document.reversed_reason,
            moved.c.minor,
            Document.id,
            Document.kind,
            Document.number_text,
            Payout.id.label("payout_id"),
            Payout.payment_reference,
            _PAID.kind.label("payment"),
            _PAID.reason.label("payment_reason"),
            _CLOSED.id.label("offset_id"),
            _CLOSED.override_reason,
            invoice.number_text.label("invoice"),
            note.number_text.label("note"),
            _CLOSED.invoice_id,
            _CLOSED.credit_note_id,
            _PLACED.reason.label("placed"),
            _PLACED.row_id,
        )
        .join(moved, moved.c.voucher_id == Voucher.id)
        .join(Document, Document.id == moved.c.document_id)
        .outerjoin(Payout, Payout.id == Voucher.payout_id)
        .outerjoin(_PAID, _PAID.voucher_id == Voucher.id)
        .outerjoin(_CLOSED, _CLOSED.voucher_id == stands_for)
        .outerjoin(invoice, invoice.id == _CLOSED.invoice_id)
        .outerjoin(note, note.id == _CLOSED.credit_note_id)
        .outerjoin(_PLACED, _PLACED.voucher_id == stands_for)
        .order_by(Voucher.id.desc())
        .limit(MOST)
    )


def _mailed(which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            Outbox.done_at, Outbox.gave_up_at, Outbox.dropped_by, Outbox.created_by, Document.id, Document.kind,
            Document.number_text,
        )
        .join(Document, Document.id == Outbox.document_id)
        .where(which, Outbox.kind == outbox.MAIL, sa.or_(Outbox.done_at.is_not(None), Outbox.gave_up_at.is_not(None)))
        .order_by(Outbox.id.desc())
        .limit(MOST)
    )  # fmt: skip


def _came(which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            GoodsReturn.at, GoodsReturn.by, GoodsReturn.quantity_milli, GoodsReturn.condition, GoodsReturn.note,
            DocumentLine.name, Document.id, Document.kind, Document.number_text,
        )
        .join(DocumentLine, DocumentLine.id == GoodsReturn.document_line_id)
        .join(Document, Document.id == DocumentLine.document_id)
        .where(which)
        .order_by(GoodsReturn.id.desc())
        .limit(MOST)
    )  # fmt: skip


def _approved(which: sa.ColumnElement[bool]) -> sa.Select[*tuple[Any, ...]]:
    """Who put a draft before Finance, and who approved it by creating the document (B31)."""
    first = (
        sa.select(sa.func.min(DocumentEvent.id))
        .where(DocumentEvent.document_id == Document.id, DocumentEvent.from_state == DocState.DRAFT)
        .correlate(Document)
        .scalar_subquery()
    )
    return (
        sa.select(
            ApprovalRequest.asked_at, ApprovalRequest.asked_by, DocumentEvent.at, DocumentEvent.actor,
            Document.id, Document.kind, Document.number_text,
        )
        .select_from(Document)
        .join(ApprovalRequest, ApprovalRequest.document_id == Document.id)
        .outerjoin(DocumentEvent, DocumentEvent.id == first)
        .where(which)
    )  # fmt: skip


# Put together once: a page of an order or a document asks each of them.
_ASKED: Mapping[str, tuple[sa.Select[*tuple[Any, ...]], ...]] = {
    name: (_booked(which), _mailed(which), _came(which), _approved(which))
    for name, which in (("one", _ONE), ("order", _OF_ORDER))
}


def of_document(session: Session, document_id: int) -> list[Happened]:
    """What has happened to a document since it was issued, in no order."""
    return list(_all(session, "one", document_id))


def of_order(session: Session, order_id: int) -> list[Happened]:
    """The same of all documents of an order; an offset of two of them is told once, of the invoice."""
    found = list(_all(session, "order", order_id))
    here = {each.document_id for each in found}
    return [
        each
        for each in found
        if each.what is not What.OFFSET or each.document_kind is DocKind.INVOICE or each.other_id not in here
    ]


def _all(session: Session, name: str, key: int) -> Iterator[Happened]:
    booked, mailed, came, approved = (session.execute(each, {"id": key}).all() for each in _ASKED[name])
    for row in booked:
        found = _of_voucher(row)
        if found is not None:
            yield found
    for done, gave_up, dropped_by, asked_by, document_id, kind, number in mailed:
        what = What.MAIL_GIVEN_UP if done is None else What.MAIL_DROPPED if dropped_by else What.MAIL_SENT
        yield Happened(what, done or gave_up, dropped_by or asked_by, document_id, kind, number or "")
    for at, who, milli, condition, note, line, document_id, kind, number in came:
        yield Happened(
            What.GOODS, at, who, document_id, kind, number or "", name=line, detail=note, quantity_milli=milli,
            condition=condition,
        )  # fmt: skip
    for asked_at, asked_by, made_at, made_by, document_id, kind, number in approved:
        if made_at is not None and made_by != asked_by:
            yield Happened(What.APPROVED, made_at, made_by, document_id, kind, number or "")
        yield Happened(What.ASKED, asked_at, asked_by, document_id, kind, number or "")


def _of_voucher(row: Any) -> Happened | None:
    """What a voucher did to a claim; None of the one that made it, which its issue tells of."""
    sign = -1 if row.kind is DocKind.INVOICE else 1
    reverses = row.reverses_id is not None
    shared: dict[str, Any] = {
        "at": row.at, "who": row.who, "document_id": row.id, "document_kind": row.kind,
        "document_number": row.number_text or "", "amount_minor": sign * int(row.minor), "taken_back": reverses,
        "voucher_id": row.voucher_id,
    }  # fmt: skip
    if row.payment is not None:
        return Happened(What(row.payment), **shared, detail=row.payment_reason)
    if row.offset_id is not None:
        other = (row.note, row.credit_note_id) if row.kind is DocKind.INVOICE else (row.invoice, row.invoice_id)
        why = _why_undone(row.text) if reverses else row.override_reason or ""
        return Happened(What.OFFSET, **shared, name=other[0] or "", other_id=other[1], detail=why)
    if row.placed is not None:
        moved = {"name": row.payment_reference or "", "payout_id": row.payout_id, "row_id": row.row_id}
        return Happened(What.ROW_MOVED, **shared, **moved, detail=_why_undone(row.text) if reverses else row.placed)
    if row.payout_id is not None:
        return Happened(What.PAYOUT, **shared, name=row.payment_reference, payout_id=row.payout_id)
    return Happened(What.REVERSED, **shared, detail=row.reversed_reason or "") if reverses else None


def _why_undone(text: str) -> str:
    """Why an offset or a move was taken back: kept in the text of its voucher alone, after the words of the program."""
    return text.partition(": ")[2]
