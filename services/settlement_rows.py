"""What a person does with a settlement row: choose its document, accept it, mark it as handled, take that back (B4).

Only rows of payouts that are not booked, whose acts say whether the payout can be booked now; a warning that stood when its
payout was booked can still be accepted, which books nothing. Source: operations 14.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Document, KlarnaBreak, Order, Payout, PayoutRow, RowMatch, RowShare
from money import Amount
from rights import Actor, Right
from services import audit, documents, money_forms, settlement_choice, settlement_matching
from services.settlement_sentences import Why
from states import BreakState, DocKind, DocState, PayoutState, Pile

ASSIGN = "settlement.assign"
"""The act of the form that gives a row its document."""
WITH_DOCUMENT = ("SALE", "RETURN", "REVERSAL", "REVERSAL_MERCHANT_PROTECTION", "FEE", "FEE_REFUND", "CORRECTION")
"""Types of rows that can belong to a document."""
SHARED = settlement_choice.CLAIMS
"""Types of rows that can be split over several, since their amount is a claim of a document."""
FOLLOWING = ("FEE", "FEE_REFUND", "CORRECTION")
"""Types of rows that belong to the document of the sale they were charged with."""


def _open_row(
    session: Session, actor: Actor, row_id: int, *, warnings_of_booked: bool = False
) -> tuple[Payout, PayoutRow, RowMatch]:
    """A row that may still be changed, under its payout's lock. Raises NotAllowed, NotFound, Refusal."""
    actor.require(Right.BOOKS)
    row = session.get(PayoutRow, row_id)
    if row is None:
        raise NotFound
    payout = settlement_matching.get(session, row.payout_id, lock=True)
    match = session.get(RowMatch, row_id, populate_existing=True)
    warns = match is not None and match.pile is Pile.WARNING
    if payout.state is PayoutState.BOOKED and not (warnings_of_booked and warns):
        raise Refusal(N_("The payout is booked, and its rows stay as they are."))
    if match is None or payout.state is PayoutState.LOADING:
        raise Refusal(N_("The payout is still being read. Try again in a moment."))
    return payout, row, match


def _settle(session: Session, actor: Actor, found: tuple[Payout, PayoutRow, RowMatch], act: str, note: str) -> Payout:
    payout, row, match = found
    match.pile, match.note = Pile.HANDLED, note
    match.handled_by, match.handled_at = actor.name, clock.now()
    session.flush()
    if payout.state is not PayoutState.BOOKED:
        settlement_matching.restate(session, payout)
    audit.write(
        session, actor, f"settlement.{act}", f"payout:{payout.id}", {"row": row.row_no, "document": match.document_id}
    )
    return payout


def mark_handled(session: Session, actor: Actor, row_id: int, note: str) -> Payout:
    """«Markera som hanterad»: a person explains a row. One without a document is booked as not yet placed.

    Raises BadInput for a blank note, Refusal for a row that needs nothing.
    """
    found = _open_row(session, actor, row_id)
    payout, _row, match = found
    note = documents.read_reason(note)
    if match.pile not in (Pile.FAULTY, Pile.WARNING):
        raise Refusal(N_("The row needs nothing done to it."))
    if match.document_id is not None:
        document = session.get_one(Document, match.document_id)
        if document.state is not DocState.ISSUED or document.currency != payout.currency:
            match.document_id = None
    return _settle(session, actor, found, "row_handled", note)


def accept(session: Session, actor: Actor, row_id: int, reason: str) -> Payout:
    """Accept a warning as it stands, with the reason; the row keeps its document, and nothing is booked.

    Also of a payout that is booked: a warning keeps none from it, and waits on the start page until somebody has said why it
    is as it is. Raises BadInput, Refusal.
    """
    found = _open_row(session, actor, row_id, warnings_of_booked=True)
    _payout, _row, match = found
    reason = documents.read_reason(reason)
    if match.pile is not Pile.WARNING:
        raise Refusal(N_("Only a warning can be accepted. A faulty row needs a document or a note."))
    if match.because == Why.OTHER_CURRENCY:
        raise Refusal(N_("Two currencies never pay each other. Choose another document, or mark the row as handled."))
    return _settle(session, actor, found, "row_accepted", reason)


def assign(session: Session, actor: Actor, row_id: int, nonce: str, *, document_number: str, seen: str = "") -> Payout:
    """Let a row belong to a document that a person chose, or to several, as «42580 300,00; 42581 500,00» (B4).

    ``seen`` is the mark of what was shown; one form does it once. Raises BadInput when a document does not fit the row, and
    when the parts do not add up to it; Unseen, with nothing tied, when what was written differs from the row and was not
    shown as it is now; Refusal for a row that somebody has dealt with; Stale when the form did it and that was taken back.
    """
    payout, row, match = found = _open_row(session, actor, row_id)
    values = [document_number, seen]
    if money_forms.earlier_use(session, actor, nonce, ASSIGN, str(row_id), values) is not None:
        if match.because not in (Why.ASSIGNED, Why.SPLIT) or match.note != _as_noted(document_number):
            raise Stale(
                N_("The row was given its document, and that has been taken back since. Nothing more has been done.")
            )
        return payout
    if row.type not in WITH_DOCUMENT or settlement_matching.is_commission_return(row):
        raise Refusal(N_("A row of this type belongs to no document."))
    if match.pile not in (Pile.FAULTY, Pile.WARNING):
        raise Refusal(N_("The row needs nothing done to it."))
    is_split = ";" in document_number
    parts = _split(session, payout, row, document_number) if is_split else [
        (fitting(session, payout, row, document_number.strip(), lock=True), row.amount_minor)
    ]  # fmt: skip
    settlement_choice.require_seen(session, payout, row, document_number, parts, seen)
    _take_shares_back(session, match)
    match.document_id, match.because = (None, Why.SPLIT) if is_split else (parts[0][0].id, Why.ASSIGNED)
    session.flush()
    if is_split:
        session.add_all(
            RowShare(row_id=row.id, document_id=document.id, amount_minor=minor) for document, minor in parts
        )
    if not is_split:
        _let_costs_follow(session, payout, row, None, parts[0][0].id)
    money_forms.use_form(session, actor, nonce, ASSIGN, str(row_id), values, str(payout.id))
    return _settle(session, actor, found, "row_split" if is_split else "row_assigned", _as_noted(document_number))


def _as_noted(document_number: str) -> str:
    """What was written for a row, as its note keeps it."""
    return " ".join(document_number.split())[:500]


def _costs_of(payout: Payout, row: PayoutRow) -> sa.ColumnElement[bool]:
    """The costs of the same activation that were matched by themselves."""
    costs = (
        sa.select(PayoutRow.id)
        .where(PayoutRow.payout_id == payout.id, PayoutRow.capture_id == row.capture_id)
        .where(PayoutRow.type.in_(FOLLOWING))
    )
    return sa.and_(RowMatch.row_id.in_(costs), RowMatch.pile == Pile.MATCHED)


def _let_costs_follow(session: Session, payout: Payout, row: PayoutRow, before: int | None, after: int | None) -> None:
    """The costs of a sale go with it from one document to another, or to none."""
    if row.type == "SALE" and row.capture_id is not None:
        session.execute(
            sa.update(RowMatch)
            .where(_costs_of(payout, row), RowMatch.document_id.is_not_distinct_from(before))
            .values(document_id=after)
            .execution_options(synchronize_session=False)
        )


def _split(session: Session, payout: Payout, row: PayoutRow, text: str) -> list[tuple[Document, int]]:
    """A row shared out over several documents: each once, none by more than is open of it, all of the row to the öre."""
    if row.type not in SHARED:
        raise Refusal(N_("Only what pays a document or is paid back of one can be split."))
    shares: dict[int, tuple[Document, int]] = {}
    sign = 1 if row.amount_minor > 0 else -1
    for part in filter(None, (each.strip() for each in text.split(";"))):
        number, _, amount = part.partition(" ")
        document = fitting(session, payout, row, number, lock=True)
        minor = money.parse_amount(amount, field="document_number")
        if document.id in shares:
            raise BadInput(N_("%(number)s stands there twice."), field="document_number", number=number)
        if minor > abs(document.open_minor):
            raise BadInput(
                N_("Of %(number)s only %(left)s is open."),
                field="document_number",
                number=number,
                left=Amount(abs(document.open_minor), document.currency),
            )
        shares[document.id] = (document, sign * minor)
    total = sum(minor for _, minor in shares.values())
    if len(shares) < 2 or total != row.amount_minor:
        raise BadInput(
            N_("The parts come to %(sum)s, the row to %(row)s. Write them as 42580 300,00; 42581 500,00."),
            field="document_number",
            sum=Amount(abs(total), payout.currency),
            row=Amount(abs(row.amount_minor), payout.currency),
        )
    return list(shares.values())


def _take_shares_back(session: Session, match: RowMatch) -> None:
    """A row that is given anew belongs to nobody first."""
    session.execute(sa.delete(RowShare).where(RowShare.row_id == match.row_id))


def fitting(session: Session, payout: Payout, row: PayoutRow, number: str, *, lock: bool = False) -> Document:
    """The document of this number, where a row of this payout may belong to it. Raises BadInput beside its field.

    With ``lock`` nobody gives it another row before the transaction ends.
    """

    def no(message: str) -> BadInput:
        return BadInput(message, field="document_number", number=number)

    kind = DocKind.CREDIT_NOTE if row.type == "RETURN" else DocKind.INVOICE
    query = sa.select(Document).where(Document.number_text == number)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    document = session.scalar(query)
    if document is None:
        raise no(N_("There is no invoice or credit note %(number)s."))
    if document.kind is not kind:
        if kind is DocKind.INVOICE:
            raise no(N_("%(number)s is a credit note; this row belongs to an invoice."))
        raise no(N_("%(number)s is an invoice; this row belongs to a credit note."))
    if document.state is not DocState.ISSUED or document.reversed_at is not None:
        raise no(N_("%(number)s is not issued, so nothing can be paid on it."))
    if (document.gross_minor or 0) <= 0:
        raise no(N_("There is nothing to pay on %(number)s, so no settlement row belongs to it."))
    account_id = session.scalar(sa.select(Order.account_id).where(Order.id == document.order_id))
    if account_id != payout.account_id:
        raise no(N_("%(number)s was not sold through the store id of this payout."))
    if document.currency != payout.currency:
        raise no(N_("%(number)s is in another currency than the payout."))
    if row.type in ("SALE", "RETURN"):
        taken = (
            sa.select(PayoutRow.id)
            .join(RowMatch, RowMatch.row_id == PayoutRow.id)
            .where(RowMatch.document_id == document.id, PayoutRow.type == row.type, PayoutRow.id != row.id)
        )
        shared = (
            sa.select(PayoutRow.id)
            .join(RowShare, RowShare.row_id == PayoutRow.id)
            .where(RowShare.document_id == document.id, PayoutRow.type == row.type, PayoutRow.id != row.id)
        )
        if session.scalar(taken.limit(1)) is not None or session.scalar(shared.limit(1)) is not None:
            raise no(N_("Another settlement row belongs to %(number)s already. A document is paid by one row."))
    return document


def undo(session: Session, actor: Actor, row_id: int) -> Payout:
    """Take back what a person did with a row: it is matched anew, as if nobody had touched it. Raises Refusal."""
    payout, row, match = _open_row(session, actor, row_id)
    if match.pile is not Pile.HANDLED:
        raise Refusal(N_("Nobody has dealt with the row, so there is nothing to take back."))
    return _match_anew(session, actor, payout, row, "row_undone")


def _match_anew(session: Session, actor: Actor, payout: Payout, row: PayoutRow, act: str) -> Payout:
    session.execute(sa.delete(RowShare).where(RowShare.row_id == row.id))
    forgotten = RowMatch.row_id == row.id
    if row.type == "SALE" and row.capture_id is not None:
        forgotten = sa.or_(forgotten, _costs_of(payout, row))
    session.execute(sa.delete(RowMatch).where(forgotten).execution_options(synchronize_session=False))
    session.expire_all()
    settlement_matching.settle(session, actor, payout.id)
    audit.write(session, actor, f"settlement.{act}", f"payout:{payout.id}", {"row": row.row_no})
    return payout


def unmatch(session: Session, actor: Actor, row_id: int, *, shown_id: int) -> Payout:
    """Take back what was matched by itself: row and document are free again, and the row waits for a person.

    It stays so until somebody gives it a document or asks for it by ``rematch``; ``shown_id`` is the document the page
    showed. Raises Refusal for a row that was not matched by itself, Stale for one that has another document now.
    """
    payout, row, match = _open_row(session, actor, row_id)
    if row.type not in SHARED or match.pile not in (Pile.MATCHED, Pile.WARNING) or match.document_id is None:
        raise Refusal(N_("The row has no match that was made by itself, so there is nothing to take back."))
    if match.document_id != shown_id:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    number = session.get_one(Document, match.document_id).number_text or ""
    _let_costs_follow(session, payout, row, match.document_id, None)
    match.document_id, match.op_id = None, None
    match.pile, match.because, match.note = Pile.FAULTY, Why.TAKEN_BACK, number
    match.handled_by, match.handled_at = actor.name, clock.now()
    settlement_matching.restate(session, payout)
    audit.write(
        session, actor, "settlement.row_unmatched", f"payout:{payout.id}", {"row": row.row_no, "document": number}
    )
    return payout


def rematch(session: Session, actor: Actor, row_id: int) -> Payout:
    """Let a row whose match was taken back be matched by itself after all. Raises Refusal."""
    payout, row, match = _open_row(session, actor, row_id)
    if match.because != Why.TAKEN_BACK or match.pile is not Pile.FAULTY:
        raise Refusal(N_("The row's match has not been taken back. Nothing has been changed."))
    return _match_anew(session, actor, payout, row, "row_rematched")


def match_again(session: Session, actor: Actor, payout_id: int) -> Payout:
    """«Matcha igen»: look for partners of faulty rows anew, when documents have come since. Raises NotAllowed, Refusal.

    A row whose match a person took back is left as it is: it is asked for by itself.
    """
    actor.require(Right.BOOKS)
    payout = settlement_matching.get(session, payout_id, lock=True)
    if payout.state not in (PayoutState.PARKED, PayoutState.READY) or not payout.row_count:
        raise Refusal(N_("The payout has no rows that could be matched again."))
    faulty = (
        sa.select(RowMatch.row_id)
        .join(PayoutRow, PayoutRow.id == RowMatch.row_id)
        .where(PayoutRow.payout_id == payout.id, RowMatch.pile == Pile.FAULTY)
        .where(RowMatch.because.is_distinct_from(Why.TAKEN_BACK))
    )
    session.execute(sa.delete(RowMatch).where(RowMatch.row_id.in_(faulty)).execution_options(synchronize_session=False))
    session.expire_all()
    settlement_matching.settle(session, actor, payout.id)
    audit.write(session, actor, "settlement.matched_again", f"payout:{payout.id}", {})
    return payout


def payout_of_row(session: Session, row_id: int) -> int:
    """The payout a row belongs to. Raises NotFound."""
    found = session.scalar(sa.select(PayoutRow.payout_id).where(PayoutRow.id == row_id))
    if found is None:
        raise NotFound
    return found


def open_breaks(session: Session, payout_id: int) -> list[KlarnaBreak]:
    """The open differences that speak of a payout, oldest first."""
    query = sa.select(KlarnaBreak).where(KlarnaBreak.payout_id == payout_id, KlarnaBreak.state == BreakState.OPEN)
    return list(session.scalars(query.order_by(KlarnaBreak.id)))
