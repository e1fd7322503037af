"""A booked row, or a part of one that was split, that a person gives to another document, or to none, by a correcting
voucher; and back by its reversal (B4).

Nothing booked is changed: the payout and its voucher stay, and what is moved is moved in the open period. Amounts are minor
units with the sign of their effect on the payout. Source: operations 14; accounting reference 6, corrections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Document, Payout, PayoutRow, RowMatch, RowPlacing, Voucher
from rights import Actor, Right
from services import (
    advance_booking,
    audit,
    documents,
    ledger,
    money_forms,
    payment_rows,
    settlement_choice,
    settlement_matching,
    settlement_places,
    settlement_rows,
)
from services.settlement_places import Place
from services.settlement_sentences import Why
from states import PayoutState, Pile

ACTION = "settlement.move"


@dataclass(frozen=True, slots=True)
class Placing:
    """One move of a row or a part of it, with its voucher; ``undone_by`` is the voucher that took it back."""

    id: int
    amount_minor: int
    from_number: str | None
    to_number: str | None
    voucher_id: int
    voucher: str
    reason: str
    at: datetime
    by: str
    undone_by: int | None


@dataclass(frozen=True, slots=True)
class Movable:
    """A booked row as its page shows it: where it stands now, whole or in parts, and where it has been."""

    row_id: int
    row_no: int
    type: str
    amount_minor: int
    currency: str
    payout_id: int
    payment_reference: str
    places: Sequence[Place]
    placings: Sequence[Placing]
    why_not: Refusal | None


def movable(session: Session, actor: Actor, row_id: int) -> Movable:
    """A row of a booked payout. Raises NotFound for any other."""
    payout, row, match = _booked(session, row_id)
    return Movable(
        row.id, row.row_no, row.type, row.amount_minor, payout.currency, payout.id, payout.payment_reference,
        settlement_places.named(session, row, match), _placings(session, row_id), _why_not(actor, row),
    )  # fmt: skip


def may_move(row_type: str) -> bool:
    """Whether a row of this type can be moved: its amount is a claim of a document."""
    return row_type in settlement_rows.SHARED


def _booked(session: Session, row_id: int, *, lock: bool = False) -> tuple[Payout, PayoutRow, RowMatch]:
    row = session.get(PayoutRow, row_id)
    if row is None:
        raise NotFound
    payout = settlement_matching.get(session, row.payout_id, lock=lock)
    match = session.get(RowMatch, row_id, populate_existing=True)
    if payout.state is not PayoutState.BOOKED or match is None:
        raise NotFound
    return payout, row, match


def _why_not(actor: Actor, row: PayoutRow) -> Refusal | None:
    try:
        actor.require(Right.BOOKS)
    except Refusal as no:
        return no
    if not may_move(row.type) or settlement_matching.is_commission_return(row):
        return Refusal(N_("Only what pays a document or is paid back of one can be moved."))
    return None


def _placings(session: Session, row_id: int) -> list[Placing]:
    undone, source, target = aliased(Voucher), aliased(Document), aliased(Document)
    query = (
        sa.select(RowPlacing, source.number_text, target.number_text, Voucher, undone.id)
        .join(Voucher, Voucher.id == RowPlacing.voucher_id)
        .outerjoin(source, source.id == RowPlacing.from_document_id)
        .outerjoin(target, target.id == RowPlacing.to_document_id)
        .outerjoin(undone, undone.reverses_id == RowPlacing.voucher_id)
        .where(RowPlacing.row_id == row_id)
        .order_by(RowPlacing.id)
    )
    return [
        Placing(
            each.id,
            each.amount_minor,
            before,
            after,
            voucher.id,
            ledger.label(voucher),
            each.reason,
            each.at,
            each.by,
            undone_by,
        )
        for each, before, after, voucher, undone_by in session.execute(query)
    ]


def move(
    session: Session, actor: Actor, row_id: int, nonce: str, *, shown_id: int, shown_minor: int, number: str, reason: str,
    seen: str = "",
) -> int:  # fmt: skip
    """Give what stands of a booked row in one place to the document of this number, or with none to what nobody has placed;
    gives the move's id.

    ``shown_id`` is the document the page showed, 0 for none, and ``shown_minor`` what of the row stood there, without its
    sign: all of it, or a part; ``seen`` is the mark of what was shown of the document it goes to. The same form again is
    answered with the move it made. Raises NotAllowed, NotFound, BadInput, Refusal; Unseen, with nothing moved, for a document
    that was not shown as it is now; Stale when what stood there has been moved, or the form's move been taken back, since the
    page was drawn.
    """
    actor.require(Right.BOOKS)
    payout, row, match = _booked(session, row_id, lock=True)
    values = [shown_id, shown_minor, number, reason, seen]
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, str(row_id), values)
    if earlier is not None:
        return _still_moved(session, int(earlier))
    no = _why_not(actor, row)
    if no is not None:
        raise no
    from_id = shown_id or None
    amount_minor = settlement_places.of(session, row, match).get(from_id)
    if amount_minor is None or abs(amount_minor) != shown_minor:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    reason = documents.read_reason(reason)
    number = number.strip()
    target = settlement_rows.fitting(session, payout, row, number) if number else None
    if (target.id if target else None) == from_id:
        raise BadInput(N_("The row stands there already."), field="document_number")
    before, after = _locked(session, from_id, target.id if target else None)
    if after is not None:
        # Asked again under its lock: another row may have been given to it meanwhile.
        settlement_rows.fitting(session, payout, row, number)
        settlement_choice.require_seen_moved(session, payout, row, number, [(after, amount_minor)], seen)
    day = clock.today()
    loose = ledger.role(session, "unallocated", clock.local_date(payout.payout_date))
    place = session.scalar(sa.select(sa.func.count()).where(RowPlacing.row_id == row.id)) or 0
    voucher = ledger.post(
        session,
        actor,
        series="K",
        day=day,
        text=f"Rättelse återläsning {payout.payment_reference} {_called(row, amount_minor)}: {reason}",
        source=f"row:{row.id}:{place + 1}",
        entries=[_entry(session, before, loose, amount_minor), _entry(session, after, loose, -amount_minor)],
        payout_id=payout.id,
        currency=payout.currency,
    )
    made = RowPlacing(
        row_id=row.id,
        from_document_id=from_id,
        to_document_id=after.id if after else None,
        amount_minor=amount_minor,
        voucher_id=voucher.id,
        reason=reason,
        at=clock.now(),
        by=actor.name,
    )
    session.add(made)
    session.flush()
    _follow(session, actor, payout, row, match, before, after, amount_minor, reason, f"row_advance_vat:{made.id}")
    money_forms.use_form(session, actor, nonce, ACTION, str(row_id), values, str(made.id))
    return made.id


def _called(row: PayoutRow, amount_minor: int) -> str:
    """What a voucher calls that which it moves of a row."""
    return f"rad {row.row_no}" if amount_minor == row.amount_minor else f"del av rad {row.row_no}"


def _still_moved(session: Session, placing_id: int) -> int:
    """The move that a form made. Raises Stale when it has been taken back since."""
    voucher_id = session.get_one(RowPlacing, placing_id).voucher_id
    if session.scalar(sa.select(Voucher.id).where(Voucher.reverses_id == voucher_id)) is not None:
        raise Stale(N_("The row was moved, and that has been taken back since. Nothing more has been done."))
    return placing_id


def _locked(session: Session, *ids: int | None) -> list[Document | None]:
    """Each under its lock, taken in the order of ids, so that two who move there and back wait and do not cross."""
    found = {each: documents.get(session, each, lock=True) for each in sorted(filter(None, ids))}
    return [found[each] if each is not None else None for each in ids]


def _require_fitting(session: Session, payout: Payout, row: PayoutRow, document: Document) -> None:
    """A row goes back only to a document that no other row has come to since, and that is not reversed. Raises Refusal."""
    try:
        settlement_rows.fitting(session, payout, row, document.number_text or "")
    except BadInput as no:
        values: dict[str, Any] = no.values
        raise Refusal(no.message, **values) from no


def _entry(session: Session, document: Document | None, loose: int, amount_minor: int) -> ledger.Entry:
    if document is None:
        return ledger.Entry(loose, amount_minor, "ej placerat")
    return ledger.Entry(
        payment_rows.receivable_of(session, document), amount_minor, document.number_text or "", document.id
    )


def _follow(
    session: Session, actor: Actor, payout: Payout, row: PayoutRow, match: RowMatch, before: Document | None,
    after: Document | None, amount_minor: int, note: str, vat_source: str,
) -> None:  # fmt: skip
    """What stands where, the fees of the same activation, ticks, orders and the VAT of advances follow the voucher."""
    if row.type == "SALE" and row.capture_id is not None and amount_minor == row.amount_minor:
        fees = (
            sa.select(PayoutRow.id)
            .where(PayoutRow.payout_id == payout.id, PayoutRow.capture_id == row.capture_id)
            .where(PayoutRow.type.in_(("FEE", "FEE_REFUND", "CORRECTION")))
        )
        session.execute(
            sa.update(RowMatch)
            .where(RowMatch.row_id.in_(fees), RowMatch.document_id.is_not_distinct_from(before.id if before else None))
            .values(document_id=after.id if after else None)
            .execution_options(synchronize_session=False)
        )
    before_id, after_id = (each.id if each else None for each in (before, after))
    settlement_places.shift(session, row, match, before_id, after_id, amount_minor)
    match.pile, match.because, match.note = Pile.HANDLED, Why.MOVED, note
    match.handled_by, match.handled_at = actor.name, clock.now()
    paid_on = clock.local_date(payout.payout_date)
    day = clock.today()
    if before is not None:
        payment_rows.mark_paid(session, before, day)
        if before.paid_at is None:
            before.paid_reference = None
        # A row that took something back, moved away, pays the advance.
        moved = advance_booking.follows(session, before, day)
        payment_rows.move_vat(session, actor, before, day, f"{vat_source}:from", moved)
    if after is not None:
        payment_rows.mark_paid(session, after, paid_on)
        if after.paid_at is not None:
            after.paid_reference = payout.payment_reference
        moved = advance_booking.follows(session, after, day)
        payment_rows.move_vat(session, actor, after, day, f"{vat_source}:to", moved)
    session.flush()
    audit.write(
        session,
        actor,
        "settlement.row_moved",
        f"payout:{payout.id}",
        {
            "row": row.row_no,
            "from": before.number_text if before else "",
            "to": after.number_text if after else "",
            "amount_minor": amount_minor,
        },
    )


def take_back(session: Session, actor: Actor, row_id: int, placing_id: int, reason: str) -> None:
    """Undo the last move of a row: its voucher is reversed, and what it moved stands where it stood. Raises NotAllowed, NotFound,
    BadInput, Refusal for one that is not the last, or was taken back."""
    actor.require(Right.BOOKS)
    payout, row, match = _booked(session, row_id, lock=True)
    last = session.scalars(
        sa.select(RowPlacing)
        .where(RowPlacing.row_id == row_id)
        .where(sa.not_(sa.exists().where(Voucher.reverses_id == RowPlacing.voucher_id)))
        .order_by(RowPlacing.id.desc())
        .limit(1)
    ).one_or_none()
    if session.get(RowPlacing, placing_id) is None:
        raise NotFound
    if last is None or last.id != placing_id:
        raise Refusal(N_("Only the last move of a row can be taken back, and only once."))
    reason = documents.read_reason(reason)
    before, after = _locked(session, last.to_document_id, last.from_document_id)
    if after is not None:
        _require_fitting(session, payout, row, after)
    day: date = clock.today()
    ledger.reverse(
        session,
        actor,
        session.get_one(Voucher, last.voucher_id),
        day=day,
        text=f"Återförd rättelse återläsning {payout.payment_reference} {_called(row, last.amount_minor)}: {reason}",
        source=f"row:{row.id}:{last.id}:taken back",
    )
    _follow(
        session, actor, payout, row, match, before, after, last.amount_minor, reason,
        f"row_advance_vat:{last.id}:taken back",
    )  # fmt: skip
