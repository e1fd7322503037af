"""Payments by hand: money that came to the company itself, or that it paid back, with its voucher.

Amounts are minor units, positive for a payment, negative for one that was taken back. Source: F2, B7; accounting reference E14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, BadInput, BrokenRule, NotFound, Refusal
from models import Account, Document, Payment, Posting, Voucher
from money import MAX_AMOUNT_MINOR, Amount
from rights import Actor, Right
from services import advance_booking, audit, documents, ledger, money_forms, payment_terms
from states import DocKind, DocState

ACTION = "payment"
TAKE_BACK = "payment.take_back"


@dataclass(frozen=True, slots=True)
class Row:
    """A payment as the document's page shows it; ``taken_back`` says that another row undoes it."""

    id: int
    amount_minor: int
    day: date
    account: str
    voucher_id: int
    voucher: str
    reason: str
    at: datetime
    by: str
    undoes: bool
    taken_back: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A payment as it was typed. ``overpay`` says that more than what is open is meant."""

    amount_minor: int
    day: date
    account: int
    reason: str
    overpay: bool = False

    @property
    def values(self) -> dict[str, object]:
        """What the form said, to tell a second use of it by (operations 12)."""
        return {
            "amount": self.amount_minor,
            "day": self.day.isoformat(),
            "account": self.account,
            "reason": self.reason,
            "overpay": self.overpay,
        }


def left_minor(document: Document) -> int:
    """What remains to be paid, or of a credit note to be paid back; below zero where it was too much."""
    return document.open_minor if document.kind is DocKind.INVOICE else -document.open_minor


def is_klarnas(document: Document) -> bool:
    """Whether Klarna's reading settles this document by itself (B7)."""
    if document.kind is DocKind.CREDIT_NOTE and document.original is not None:
        return not payment_terms.is_paid_to_us(document.original)
    return document.kind is DocKind.INVOICE and not payment_terms.is_paid_to_us(document)


def why_not(actor: Actor, document: Document) -> Refusal | None:
    """Why «Registrera betalning» is off for this person and document; None when it is on (B7)."""
    try:
        actor.require(Right.BOOKS)
    except Refusal as no:
        return no
    if document.state is not DocState.ISSUED:
        return Refusal(N_("Only an issued document can be paid."))
    if document.reversed_at is not None:
        return Refusal(N_("The credit note has been reversed and cannot be paid."))
    if left_minor(document) <= 0:
        return Refusal(N_("Nothing is left to pay."))
    return None


def register(session: Session, actor: Actor, document_id: int, nonce: str, wanted: Wanted) -> int:
    """«Registrera betalning»: write the payment and its voucher in one transaction; gives the payment's id.

    The same form again is answered with the payment it made. A day in a locked period is booked on the first open one, and
    the voucher names the day. Raises NotAllowed, NotFound, BadInput, Refusal (B7, E14).
    """
    actor.require(Right.BOOKS)
    document = documents.get(session, document_id, lock=True)
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, str(document_id), wanted.values)
    if earlier is not None:
        return int(earlier)
    refusal = why_not(actor, document)
    if refusal is not None:
        raise refusal
    _require_possible(session, document, wanted)
    payment = _write(session, actor, document, wanted)
    money_forms.use_form(session, actor, nonce, ACTION, str(document_id), wanted.values, str(payment.id))
    return payment.id


def _require_possible(session: Session, document: Document, wanted: Wanted) -> None:
    if not 0 < wanted.amount_minor <= MAX_AMOUNT_MINOR:
        raise BadInput(N_("The amount must be more than 0."), field="amount")
    left = left_minor(document)
    if wanted.amount_minor > left and not wanted.overpay:
        raise BadInput(
            N_("Only %(left)s is left to pay. Tick that more was paid, or correct the amount."),
            field="amount",
            left=Amount(left, document.currency),
        )
    if wanted.day > clock.today():
        raise BadInput(N_("The day has not come yet."), field="day")
    account = session.get(Account, wanted.account)
    if account is None or not account.payment_account or not account.active:
        raise BadInput(N_("Choose one of the values in the list."), field="account")
    if is_klarnas(document) and not wanted.reason.strip():
        raise BadInput(N_("Write the reason."), field="reason")


def _write(session: Session, actor: Actor, document: Document, wanted: Wanted) -> Payment:
    """Money in on the chosen account and off the receivable, or for a credit note the other way about (E14)."""
    number = session.scalar(sa.select(sa.func.count()).where(Payment.document_id == document.id)) or 0
    sign = 1 if document.kind is DocKind.INVOICE else -1
    words = "Betalning faktura" if sign > 0 else "Återbetalning kreditfaktura"
    # The claim's own account: it may have changed since the document was booked.
    receivable = _receivable_of(session, document)
    voucher = ledger.post(
        session,
        actor,
        series="I",
        day=wanted.day,
        text=f"{words} {document.number_text}",
        source=f"payment:{document.number_text}:{number + 1}",
        entries=[
            ledger.Entry(wanted.account, sign * wanted.amount_minor),
            ledger.Entry(receivable, -sign * wanted.amount_minor, document.number_text or "", document.id),
        ],
        document_id=document.id,
        currency=document.currency,
    )
    due = advance_booking.falls_due(session, [document.id], wanted.day)
    _move_vat(session, actor, document, wanted.day, f"payment_advance_vat:{document.number_text}:{number + 1}", due)
    return _keep(session, actor, document, voucher, wanted.amount_minor, wanted.day, wanted.account, wanted.reason)


def _move_vat(
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


def _receivable_of(session: Session, document: Document) -> int:
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


def _keep(
    session: Session,
    actor: Actor,
    document: Document,
    voucher: Voucher,
    amount_minor: int,
    day: date,
    account: int,
    reason: str,
) -> Payment:
    made = Payment(
        document_id=document.id,
        amount_minor=amount_minor,
        day=day,
        account=account,
        voucher_id=voucher.id,
        reason=reason.strip(),
        at=clock.now(),
        by=actor.name,
    )
    session.add(made)
    session.flush()
    session.refresh(document, ["open_minor"])
    document.paid_at = day if left_minor(document) <= 0 else None
    audit.write(
        session,
        actor,
        "payment.register" if amount_minor > 0 else TAKE_BACK,
        f"document:{document.id}",
        {"number": document.number_text, "amount_minor": amount_minor, "voucher": ledger.label(voucher)},
    )
    session.flush()
    return made


def take_back(session: Session, actor: Actor, document_id: int, payment_id: int, reason: str) -> int:
    """Undo a payment that was registered by mistake: its voucher is reversed, and both rows stay. Gives the new row's id.

    Raises NotAllowed, NotFound, BadInput, and Refusal the second time (A7).
    """
    actor.require(Right.BOOKS)
    document = documents.get(session, document_id, lock=True)
    payment = session.get(Payment, payment_id)
    if payment is None or payment.document_id != document.id:
        raise NotFound
    reason = documents.read_reason(reason)
    voucher = session.get(Voucher, payment.voucher_id)
    if voucher is None:
        raise BrokenRule("a payment has a voucher")
    reversal = ledger.reverse(
        session,
        actor,
        voucher,
        day=clock.today(),
        text=f"Återförd {voucher.text[:1].lower()}{voucher.text[1:]}",
        source=f"payment:{payment.id}:taken back",
    )
    made = _keep(session, actor, document, reversal, -payment.amount_minor, reversal.day, payment.account, reason)
    again = advance_booking.rests_again(session, document, clock.today())
    _move_vat(session, actor, document, clock.today(), f"payment_advance_vat:{payment.id}:taken back", again)
    return made.id


def of_document(session: Session, document_id: int) -> Sequence[Row]:
    """The payments of a document, oldest first, with those that were taken back."""
    undone = aliased(Voucher)
    query = (
        sa.select(Payment, Voucher, Account.name, sa.exists().where(undone.reverses_id == Voucher.id))
        .join(Voucher, Voucher.id == Payment.voucher_id)
        .join(Account, Account.number == Payment.account)
        .where(Payment.document_id == document_id)
        .order_by(Payment.id)
    )
    return [
        Row(
            id=payment.id,
            amount_minor=payment.amount_minor,
            day=payment.day,
            account=f"{payment.account} {name}",
            voucher_id=voucher.id,
            voucher=ledger.label(voucher),
            reason=payment.reason,
            at=payment.at,
            by=payment.by,
            undoes=voucher.reverses_id is not None,
            taken_back=taken_back,
        )
        for payment, voucher, name, taken_back in session.execute(query)
    ]


def accounts(session: Session) -> list[tuple[int, str]]:
    """The accounts a payment may be booked on, «Betalkonto» (B8), the bank first."""
    bank = ledger.role(session, "bank", clock.today())
    rows = session.execute(
        sa.select(Account.number, Account.name)
        .where(Account.payment_account.is_(True), Account.active.is_(True))
        .order_by((Account.number != bank), Account.number)
    )
    return [(number, f"{number} {name}") for number, name in rows]
