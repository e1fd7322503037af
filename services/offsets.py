"""«Kvittning»: an invoice closed against a credit note by hand, when both operations have been read back (K49-K51, E9).

Amounts are minor units. An offset books nothing but the receivable account, and is undone by the reversal of its voucher.
Source: requirements K49-K51; accounting reference E9; operations 14.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Document, Offset, Order, Voucher
from money import Amount
from rights import Actor, Right
from services import advance_booking, audit, documents, ledger, money_forms, orders, payment_rows
from services.offset_pairs import Made, Pair, Wait, made, pair, partners_of, proposed, require_pair

__all__ = ("ACTION", "Made", "Pair", "Wait", "Wanted", "made", "make", "pair", "partners_of", "proposed",
           "take_back", "why_not", "write")  # fmt: skip

ACTION = "offset"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An offset as it was typed: how much, what the page showed as open, and the reason where the wait is overridden."""

    amount_minor: int
    shown_invoice_minor: int
    shown_note_minor: int
    override: bool = False
    reason: str = ""

    @property
    def values(self) -> list[object]:
        """What must be the same when the same form comes again (operations 12)."""
        return [self.amount_minor, self.shown_invoice_minor, self.shown_note_minor, self.override, self.reason]


def why_not(actor: Actor, wait: Wait | None) -> Refusal | None:
    """Why «Kvitta» is off for this person: the reading that has not come, or the role; None when it is on (K50, K51)."""
    if wait is not None:
        return wait.refusal if actor.may(Right.OVERRIDE_OFFSET) else NotAllowed(_ONLY_FINANCE)
    try:
        actor.require(Right.BOOKS)
    except Refusal as no:
        return no
    return None


_ONLY_FINANCE = N_("Only Finance can offset before the reading.")


# --- The act ---------------------------------------------------------------------------------------------------------------


def _locked(session: Session, invoice_id: int, note_id: int) -> tuple[Document, Document]:
    """Both documents under their locks, orders before documents and each in the order of ids (operations 16.1, rule 6)."""
    ids = sorted((invoice_id, note_id))
    of_orders = sa.select(Document.order_id).where(Document.id.in_(ids), Document.order_id.is_not(None))
    session.execute(sa.select(Order.id).where(Order.id.in_(of_orders)).order_by(Order.id).with_for_update()).all()
    found = {each: documents.get(session, each, lock=True) for each in ids}
    return found[invoice_id], found[note_id]


def make(session: Session, actor: Actor, invoice_id: int, note_id: int, nonce: str, wanted: Wanted) -> int:
    """«Kvitta»: close an invoice and a credit note against each other, in one voucher; gives the offset's id (K49, E9).

    The same form again is answered with the offset it made. Raises NotAllowed, NotFound, BadInput, Refusal (K50, K51), and
    Stale when what is open has changed since the page was drawn.
    """
    invoice, note = _locked(session, invoice_id, note_id)
    subject = f"{invoice_id}-{note_id}"
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, subject, wanted.values)
    if earlier is not None:
        return int(earlier)
    require_pair(invoice, note)
    wait = pair(session, invoice_id, note_id).wait
    if wait is not None and not actor.may(Right.OVERRIDE_OFFSET):
        raise NotAllowed(_ONLY_FINANCE)
    actor.require(Right.BOOKS)
    if (invoice.open_minor, -note.open_minor) != (wanted.shown_invoice_minor, wanted.shown_note_minor):
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    reason = None
    if wait is not None:
        if not wanted.override:
            raise wait.refusal
        reason = documents.read_reason(wanted.reason)
    most = min(invoice.open_minor, -note.open_minor)
    if not 0 < wanted.amount_minor <= most:
        raise BadInput(N_("At most %(most)s can be offset."), field="amount", most=Amount(most, invoice.currency))
    kept = write(session, actor, invoice, note, wanted.amount_minor, reason)
    money_forms.use_form(session, actor, nonce, ACTION, subject, wanted.values, str(kept.id))
    return kept.id


def write(
    session: Session, actor: Actor, invoice: Document, note: Document, amount_minor: int, override_reason: str | None
) -> Offset:
    """Book and keep an offset of two locked documents that fit: nothing but the claims moves (E5c, E9)."""
    day = clock.today()
    place = session.scalar(
        sa.select(sa.func.count()).where(Offset.invoice_id == invoice.id, Offset.credit_note_id == note.id)
    )
    text = f"Kvittning faktura {invoice.number_text} mot kreditfaktura {note.number_text}"
    source = f"offset:{invoice.number_text}:{note.number_text}"
    voucher = ledger.post(
        session,
        actor,
        series="I",
        day=day,
        text=f"{text}, före återläsningen: {override_reason}" if override_reason else text,
        source=f"{source}:{place + 1}" if place else source,
        entries=[
            ledger.Entry(payment_rows.receivable_of(session, note), amount_minor, note.number_text or "", note.id),
            ledger.Entry(
                payment_rows.receivable_of(session, invoice), -amount_minor, invoice.number_text or "", invoice.id
            ),
        ],
        document_id=invoice.id,
        currency=invoice.currency,
    )
    kept = Offset(
        invoice_id=invoice.id,
        credit_note_id=note.id,
        amount_minor=amount_minor,
        voucher_id=voucher.id,
        override_reason=override_reason,
        at=clock.now(),
        by=actor.name,
    )
    session.add(kept)
    session.flush()
    due = advance_booking.falls_due(session, [invoice.id], day)
    payment_rows.move_vat(session, actor, invoice, day, f"offset_advance_vat:{kept.id}", due)
    _follow(session, invoice, note, day)
    audit.write(
        session,
        actor,
        "invoice.offset",
        f"document:{invoice.id}",
        {
            "invoice": invoice.number_text,
            "credit_note": note.number_text,
            "amount_minor": amount_minor,
            "override": override_reason or "",
        },
    )
    return kept


def _follow(session: Session, invoice: Document, note: Document, day: date) -> None:
    """Ticks and orders follow what is open now."""
    for each in (invoice, note):
        payment_rows.mark_paid(session, each, day)
    session.flush()
    for order_id in sorted({each.order_id for each in (invoice, note) if each.order_id is not None}):
        orders.refresh(session, order_id)


def take_back(session: Session, actor: Actor, offset_id: int, reason: str) -> None:
    """Undo an offset: its voucher is reversed and both documents are as they were. Raises NotAllowed, NotFound, BadInput,
    and Refusal the second time (A7)."""
    actor.require(Right.BOOKS)
    found = session.get(Offset, offset_id)
    if found is None:
        raise NotFound
    invoice, note = _locked(session, found.invoice_id, found.credit_note_id)
    reason = documents.read_reason(reason)
    voucher = session.get_one(Voucher, found.voucher_id)
    day = clock.today()
    ledger.reverse(
        session,
        actor,
        voucher,
        day=day,
        text=f"Återförd kvittning faktura {invoice.number_text} mot kreditfaktura {note.number_text}: {reason}",
        source=f"offset:{found.id}:taken back",
    )
    _follow(session, invoice, note, day)
    again = advance_booking.rests_again(session, invoice, day)
    payment_rows.move_vat(session, actor, invoice, day, f"offset_advance_vat:{found.id}:taken back", again)
    audit.write(
        session,
        actor,
        "invoice.offset_undone",
        f"document:{invoice.id}",
        {"invoice": invoice.number_text, "credit_note": note.number_text, "amount_minor": found.amount_minor},
    )
