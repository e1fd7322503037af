"""What is booked of advances: on the advance account, with VAT that rests until the advance is paid (E3).

Amounts are minor units, debit positive. VAT of an advance lies on the dormant account from its invoice until it is paid,
deducted or credited, whichever comes first, where the advance-VAT rule of its day says so; else on the VAT account at once.
Source: accounting reference 4 (E3) and 7; B36.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import BrokenRule
from models import Document, DocumentLine, Posting, Voucher
from rights import Actor
from services import accounts, advances, documents, ledger, settings, stock_booking
from services.advances import KINDS
from services.ledger import Entry
from states import DocKind, DocState, LineKind


def of_document(session: Session, document: Document, day: date) -> list[Entry]:
    """Everything a document books when it is issued: its claim, sales, advances and VAT (E1, E3, E4)."""
    sign = -1 if document.kind is DocKind.INVOICE else 1
    return [documents.receivable_of(session, document, day), *entries(session, document, day, sign)]


def require_bookable(session: Session, actor: Actor, document: Document) -> None:
    """Let pass a document that could be booked today: asked before Klarna is, so that what is done there can be booked here.

    Raises Refusal and BrokenRule as ``ledger.post`` does.
    """
    if any(line.gross_minor for line in document.lines):
        today = clock.today()
        ledger.require_bookable(session, actor, today, of_document(session, document, today), document.currency)
    if document.restock and stock_booking.is_on(session):
        stock_booking.require_bookable(session, actor)


def entries(session: Session, document: Document, day: date, sign: int) -> list[Entry]:
    """Sales, advances and VAT of a document's rows; ``sign`` −1 for an invoice, +1 for a credit note (E1, E3, E4)."""
    lines = [line for line in document.lines if line.kind not in KINDS]
    made = documents.sales_entries(session, lines, day, sign)
    first: list[Entry] = []
    for line in document.lines:
        if line.kind not in KINDS:
            continue
        advance = _advance_of(session, document, line)
        number = (document if advance is document else advance).number_text or ""
        text = f"förskott {number}" if line.kind is LineKind.ADVANCE else f"förskott {number} avräknat"
        net = sign * (line.gross_minor - line.vat_minor)
        first.append(Entry(accounts.role(session, "advance", day), net, text, vat_rate=line.vat_rate))
        dormant, due = _where(session, document, advance, line, sign * line.vat_minor, day)
        if dormant:
            account = accounts.dormant_vat_account(session, line.vat_rate, advance.issue_date or day)
            first.append(Entry(account, dormant, text, document_id=advance.id, vat_rate=line.vat_rate))
        if due:
            made = _merged(made, Entry(accounts.vat_account(session, line.vat_rate, day), due, vat_rate=line.vat_rate))
    return [*first, *made]


def _advance_of(session: Session, document: Document, line: DocumentLine) -> Document:
    """The advance invoice that a row stands for or deducts, locked: what rests of its VAT is moved by one at a time."""
    if line.kind is LineKind.ADVANCE_DEDUCTION:
        return _locked(session, line.deducts_id or 0)
    if document.kind is DocKind.INVOICE:
        return document
    if document.original is None:
        raise BrokenRule("a row of an advance is credited on its invoice")
    return _locked(session, document.original.id)


def _locked(session: Session, advance_id: int) -> Document:
    """An advance as it stands now; its payment waits until this transaction has ended."""
    return session.get_one(Document, advance_id, with_for_update=True, populate_existing=True)


def _where(
    session: Session, document: Document, advance: Document, line: DocumentLine, vat_minor: int, day: date
) -> tuple[int, int]:
    """How much of a row's VAT goes to or comes from the dormant account, and how much the VAT account."""
    if not vat_minor:
        return 0, 0
    if advance is document:
        dormant = settings.value(session, "advance_vat_rule", day) == "dormant"
        return (vat_minor, 0) if dormant else (0, vat_minor)
    comes_back = line.kind is LineKind.ADVANCE_DEDUCTION and document.kind is DocKind.CREDIT_NOTE
    if comes_back:
        unpaid = advance.open_minor > 0 and _began_dormant(session, advance, line.vat_rate)
        return (vat_minor, 0) if unpaid else (0, vat_minor)
    resting = -rests(session, advance.id, line.vat_rate, advance.issue_date or day)
    taken = min(vat_minor, max(resting, 0)) if vat_minor > 0 else max(vat_minor, min(resting, 0))
    return taken, vat_minor - taken


def _merged(made: Sequence[Entry], more: Entry) -> list[Entry]:
    """The entries with one more on a VAT account, added to the one already there: 2611 is one row (E3d)."""
    for place, each in enumerate(made):
        if (each.account, each.vat_rate, each.document_id) == (more.account, more.vat_rate, None):
            both = Entry(each.account, each.amount_minor + more.amount_minor, each.text, vat_rate=each.vat_rate)
            return [*made[:place], *([both] if both.amount_minor else []), *made[place + 1 :]]
    return [*made, more]


def rests(session: Session, advance_id: int, rate: int, day: date) -> int:
    """What rests of an advance's VAT on the dormant account of its day, debit positive."""
    return int(
        session.scalar(
            sa.select(sa.func.sum(Posting.amount_minor))
            .join(Voucher, Voucher.id == Posting.voucher_id)
            .where(
                Posting.account == accounts.dormant_vat_account(session, rate, day),
                sa.or_(
                    Posting.document_id == advance_id,
                    sa.and_(Posting.document_id.is_(None), Voucher.document_id == advance_id),
                ),
            )
        )
        or 0
    )


def _began_dormant(session: Session, advance: Document, rate: int) -> bool:
    account = accounts.dormant_vat_account(session, rate, advance.issue_date or advance.created_at.date())
    found = (
        sa.select(Posting.id)
        .join(Voucher, Voucher.id == Posting.voucher_id)
        .where(Posting.account == account, Voucher.document_id == advance.id)
        .limit(1)
    )
    return session.scalar(found) is not None


def rests_again(session: Session, advance: Document, day: date) -> list[Entry]:
    """The entries that undo E3c where an advance is unpaid after all: VAT of what it still holds rests again.

    Empty for other documents, for one that is paid all the same, and where its VAT never rested.
    """
    if advance.kind is not DocKind.INVOICE or advance.open_minor <= 0:
        return []
    made = []
    for rate, held in advances.of_invoice(session, advance).items():
        begun = advance.issue_date or day
        missing = -held.vat_minor - rests(session, advance.id, rate, begun)
        if missing and _began_dormant(session, advance, rate):
            dormant = accounts.dormant_vat_account(session, rate, begun)
            text = f"moms på förskott {advance.number_text}"
            made += [
                Entry(dormant, missing, text, document_id=advance.id, vat_rate=rate),
                Entry(accounts.vat_account(session, rate, day), -missing, text, document_id=advance.id, vat_rate=rate),
            ]
    return made


def follows(session: Session, document: Document, day: date) -> list[Entry]:
    """What the VAT of an advance does when its claim has moved either way: due where it is paid now, else at rest again."""
    return falls_due(session, [document.id], day) or rests_again(session, document, day)


def falls_due(session: Session, documents_paid: Iterable[int] | sa.Select[Any], day: date) -> list[Entry]:
    """E3c: the entries that move the VAT of advances among these documents to the VAT accounts, the day they are paid.

    Whatever pays an advance (a payout, a payment by hand, an offset) posts them the same day. Empty when nothing rests.
    """
    paid = session.execute(
        sa.select(Document.id, Document.number_text, Document.issue_date, DocumentLine.vat_rate)
        .join(DocumentLine, DocumentLine.document_id == Document.id)
        .where(
            Document.id.in_(documents_paid),
            Document.kind == DocKind.INVOICE,
            Document.state == DocState.ISSUED,
            # Not by its index: a payout has just made many of them, and PostgreSQL thinks of one.
            Document.open_minor + 0 <= 0,
            DocumentLine.kind == LineKind.ADVANCE,
            DocumentLine.vat_rate > 0,
        )
        .distinct()
        .order_by(Document.id, DocumentLine.vat_rate.desc())
    ).all()
    made = []
    for document_id, number, issued, rate in paid:
        resting = rests(session, document_id, rate, issued or day)
        if resting:
            dormant = accounts.dormant_vat_account(session, rate, issued or day)
            text = f"moms på förskott {number}"
            made += [
                Entry(dormant, -resting, text, document_id=document_id, vat_rate=rate),
                Entry(accounts.vat_account(session, rate, day), resting, text, document_id=document_id, vat_rate=rate),
            ]
    return made
