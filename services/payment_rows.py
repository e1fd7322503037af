"""What every way to settle a document by hand shares: its claim's account, the row that is kept, the VAT of an advance.

Amounts are minor units, positive for what pays the document. Source: B7, B8, K49; accounting reference E3c, E9, E14.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import BrokenRule
from models import Account, Document, Payment, Posting, Voucher
from rights import Actor
from services import audit, ledger
from states import DocKind

PAYMENT, SURPLUS, RESIDUE = "payment", "surplus", "residue"
"""A payment, a surplus booked away, and a small difference that followed a payment."""
TAKE_BACK = "payment.take_back"


def sign_of(document: Document) -> int:
    """How a payment of the document moves the money account: in for an invoice, out for a credit note."""
    return 1 if document.kind is DocKind.INVOICE else -1


def side_of(kind: DocKind, gross_minor: int) -> int:
    """Who owes: 1 the customer, -1 we, as with a credit note and with an invoice below zero (K42)."""
    return 1 if kind is DocKind.INVOICE and gross_minor >= 0 else -1


def left_minor(document: Document) -> int:
    """What remains to be paid, or to be paid back by us; below zero where it was too much."""
    return side_of(document.kind, document.gross_minor or 0) * document.open_minor


def receivable_of(session: Session, document: Document) -> int:
    """The account the claim stands on: the setting may have changed since the document was booked."""
    found = session.scalar(
        sa.select(Posting.account)
        .join(Account, Account.number == Posting.account)
        .where(Posting.document_id == document.id, Account.receivable.is_(True))
        .order_by(Posting.id)
        .limit(1)
    )
    if found is None:
        raise BrokenRule("an issued document with a claim has it booked")
    return found


def next_number(session: Session, document: Document) -> int:
    """The place of the document's next row, for the source of its voucher."""
    return (session.scalar(sa.select(sa.func.count()).where(Payment.document_id == document.id)) or 0) + 1


def move_vat(
    session: Session, actor: Actor, document: Document, day: date, source: str, entries: Sequence[ledger.Entry]
) -> None:
    """The VAT of an advance follows its payment, there and back (E3c)."""
    if entries:
        ledger.post(
            session,
            actor,
            series="I",
            day=day,
            text=f"Moms på förskott {document.number_text}",
            source=source,
            entries=entries,
            currency=document.currency,
        )


def mark_paid(session: Session, document: Document, day: date) -> None:
    """Give the green tick to a document of which nothing remains, and take it from one that is open again."""
    session.refresh(document, ["open_minor"])
    document.paid_at = day if left_minor(document) <= 0 else None


def keep(
    session: Session,
    actor: Actor,
    document: Document,
    voucher: Voucher,
    amount_minor: int,
    day: date,
    account: int,
    reason: str,
    *,
    kind: str = PAYMENT,
    follows_id: int | None = None,
    undoes: bool = False,
) -> Payment:
    """Keep what a voucher did to a document as a row of its payments, and let its tick follow."""
    made = Payment(
        document_id=document.id,
        amount_minor=amount_minor,
        day=day,
        account=account,
        voucher_id=voucher.id,
        reason=reason.strip(),
        at=clock.now(),
        by=actor.name,
        kind=kind,
        follows_id=follows_id,
    )
    session.add(made)
    session.flush()
    mark_paid(session, document, day)
    act = "payment.register" if kind == PAYMENT else f"payment.{kind}"
    audit.write(
        session,
        actor,
        TAKE_BACK if undoes else act,
        f"document:{document.id}",
        {"number": document.number_text, "amount_minor": amount_minor, "voucher": ledger.label(voucher)},
    )
    session.flush()
    return made
