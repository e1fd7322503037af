"""Payments by hand: money that came to the company itself, or that it paid back, with its voucher.

Amounts are minor units, positive for a payment, negative for one that was taken back;
of an invoice below zero, which is paid back, the other way about. Source: F2, B7; accounting reference E14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, BadInput, BrokenRule, NotFound, Refusal, Stale
from models import Account, Document, Payment, Voucher
from money import MAX_AMOUNT_MINOR, Amount
from rights import Actor, Right
from services import advance_booking, documents, ledger, money_forms, owed, payment_rows, settings
from services.payment_rows import PAYMENT, RESIDUE, SURPLUS, TAKE_BACK, left_minor
from states import DocKind, DocState

__all__ = ("ACTION", "AWAY", "TAKE_BACK", "Row", "Wanted", "accounts", "book_away", "left_minor", "of_document",
           "register", "surplus_minor", "take_back", "why_no_surplus", "why_not")  # fmt: skip

ACTION = "payment"
AWAY = "payment.book_away"


@dataclass(frozen=True, slots=True)
class Row:
    """A payment as the document's page shows it; ``taken_back`` says that another row undoes it.

    ``kind`` tells a payment from a surplus that was booked away and from a small difference that followed a payment.
    """

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
    kind: str


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
    over = wanted.amount_minor - left
    if over > 0 and not wanted.overpay and not _is_residue(session, document, -over, wanted.day):
        raise BadInput(
            N_("Only %(left)s is left to pay. Tick that more was paid, or correct the amount."),
            field="amount",
            left=Amount(left, document.currency),
        )
    _require_day_and_account(session, wanted.day, wanted.account)
    if owed.is_at_klarna(document) and not wanted.reason.strip():
        raise BadInput(N_("Write the reason."), field="reason")


def _require_day_and_account(session: Session, day: date, number: int) -> None:
    if day > clock.today():
        raise BadInput(N_("The day has not come yet."), field="day")
    account = session.get(Account, number)
    if account is None or not account.payment_account or not account.active:
        raise BadInput(N_("Choose one of the values in the list."), field="account")


def _write(session: Session, actor: Actor, document: Document, wanted: Wanted) -> Payment:
    """Money in on the chosen account and off the claim, or for a credit note the other way about (E14).

    A small difference that is left goes to rounding in a voucher of its own (E14c).
    """
    words = "Betalning" if _side(document) > 0 else "Återbetalning"
    words += " faktura" if document.kind is DocKind.INVOICE else " kreditfaktura"
    place = payment_rows.next_number(session, document)
    paid = _post(
        session, actor, document, wanted.amount_minor, wanted.day, wanted.account, words, PAYMENT, wanted.reason
    )
    left = left_minor(document)
    if _is_residue(session, document, left, wanted.day):
        rounding = ledger.role(session, "rounding", wanted.day)
        _post(session, actor, document, left, wanted.day, rounding, "Öresdifferens", RESIDUE, "", follows_id=paid.id)
    due = advance_booking.falls_due(session, [document.id], wanted.day)
    source = f"payment_advance_vat:{document.number_text}:{place}"
    payment_rows.move_vat(session, actor, document, wanted.day, source, due)
    return paid


def _is_residue(session: Session, document: Document, left: int, day: date) -> bool:
    """Whether what is left is so little that it is rounded away: never on what Klarna settles, where each öre is matched."""
    return left != 0 and not owed.is_at_klarna(document) and abs(left) <= settings.number(session, "residue_limit", day)


def _post(
    session: Session, actor: Actor, document: Document, amount_minor: int, day: date, account: int, words: str, kind: str,
    reason: str, *, follows_id: int | None = None,
) -> Payment:  # fmt: skip
    # As an amount of the document's own sum a payment is kept with that one's sign: negative for an invoice below zero.
    side, number = _side(document), document.number_text or ""
    kept_minor = side * payment_rows.sign_of(document) * amount_minor
    receivable = payment_rows.receivable_of(session, document)
    voucher = ledger.post(
        session,
        actor,
        series="I",
        day=day,
        text=f"{words} {number}",
        source=f"{kind}:{number}:{payment_rows.next_number(session, document)}",
        entries=[
            ledger.Entry(account, side * amount_minor),
            ledger.Entry(receivable, -side * amount_minor, number, document.id),
        ],
        document_id=document.id,
        currency=document.currency,
    )
    return payment_rows.keep(
        session, actor, document, voucher, kept_minor, day, account, reason, kind=kind, follows_id=follows_id
    )


def _side(document: Document) -> int:
    return payment_rows.side_of(document.kind, document.gross_minor or 0)


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
    made = _undo(session, actor, document, payment, reason)
    # What followed a payment goes with it, so that the document is as it was before.
    followed = session.scalars(sa.select(Payment).where(Payment.follows_id == payment.id).order_by(Payment.id))
    for each in followed.all():
        if not _is_undone(session, each):
            _undo(session, actor, document, each, reason)
    # Taking back what was booked away pays the advance: its VAT may fall due as well as rest again.
    moved = advance_booking.follows(session, document, clock.today())
    source = f"payment_advance_vat:{payment.id}:taken back"
    payment_rows.move_vat(session, actor, document, clock.today(), source, moved)
    return made.id


def _undo(session: Session, actor: Actor, document: Document, payment: Payment, reason: str) -> Payment:
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
    return payment_rows.keep(
        session, actor, document, reversal, -payment.amount_minor, reversal.day, payment.account, reason,
        kind=payment.kind, undoes=True,
    )  # fmt: skip


def _is_undone(session: Session, payment: Payment) -> bool:
    return session.scalar(sa.select(Voucher.id).where(Voucher.reverses_id == payment.voucher_id)) is not None


# --- Overpayments ----------------------------------------------------------------------------------------------------------


def surplus_minor(document: Document) -> int:
    """What was paid too much of an invoice, or paid back too much of a credit note; 0 where nothing was."""
    return max(0, -left_minor(document))


def why_no_surplus(actor: Actor, document: Document) -> Refusal | None:
    """Why «Boka bort» is off for this person and document; None when it is on (B8)."""
    try:
        actor.require(Right.BOOKS)
    except Refusal as no:
        return no
    if document.state is not DocState.ISSUED or not surplus_minor(document):
        return Refusal(N_("Nothing is overpaid."))
    return None


def book_away(
    session: Session, actor: Actor, document_id: int, nonce: str, *, shown_minor: int, day: date, account: int
) -> int:
    """«Boka bort»: clear the whole surplus against an account that was chosen, in one voucher; gives the row's id (B8, E14b).

    ``shown_minor`` is the surplus the page showed. The same form again is answered with the row it made. Raises NotAllowed,
    NotFound, BadInput, Refusal, and Stale when the surplus has changed.
    """
    actor.require(Right.BOOKS)
    document = documents.get(session, document_id, lock=True)
    values = {"shown": shown_minor, "day": day.isoformat(), "account": account}
    earlier = money_forms.earlier_use(session, actor, nonce, AWAY, str(document_id), values)
    if earlier is not None:
        return int(earlier)
    refusal = why_no_surplus(actor, document)
    if refusal is not None:
        raise refusal
    if surplus_minor(document) != shown_minor:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    _require_day_and_account(session, day, account)
    made = _post(session, actor, document, -shown_minor, day, account, "Överbetalning bokas bort", SURPLUS, "")
    money_forms.use_form(session, actor, nonce, AWAY, str(document_id), values, str(made.id))
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
            kind=payment.kind,
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
