"""A payout in another currency than the books': read in, shown, never booked here, until somebody says where it is booked.

Source: catalogue row 69; B4, B34 (no row unexplained when a month is closed).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Payout, PayoutRow, RowMatch, RowShare
from rights import Actor, Right
from services import audit, currencies, documents, settlement_matching
from states import PayoutState, Pile


def is_explained() -> sa.ColumnElement[bool]:
    """Of a payout: it is not for these books, and somebody has said of every row where it is booked."""
    unsaid = (
        sa.select(PayoutRow.id)
        .outerjoin(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(PayoutRow.payout_id == Payout.id, sa.or_(RowMatch.row_id.is_(None), RowMatch.pile != Pile.HANDLED))
    )
    return sa.and_(Payout.currency != currencies.BOOKS, Payout.row_count > 0, sa.not_(unsaid.exists()))


def why_not_aside(actor: Actor, payout: Payout) -> Refusal | None:
    """Why «Bokförd utanför Kvitta» is off; None when it is on. What it says is said again on the server."""
    try:
        actor.require(Right.BOOKS)
    except Refusal as no:
        return no
    if currencies.why_not_settled(payout.currency) is None:
        return Refusal(N_("The payout is in kronor, and is booked here."))
    if payout.state not in (PayoutState.PARKED, PayoutState.READY) or not payout.row_count:
        return Refusal(N_("The payout has no rows that could be explained now."))
    return None


def set_aside(session: Session, actor: Actor, payout_id: int, note: str) -> Payout:
    """«Bokförd utanför Kvitta»: every row that nobody has dealt with is, with the note; no row keeps a document.

    Each can be taken back by itself. Raises NotAllowed, NotFound, BadInput for a blank note, Refusal for a payout that is
    booked, being read, or in the books' own currency.
    """
    actor.require(Right.BOOKS)
    payout = settlement_matching.get(session, payout_id, lock=True)
    refusal = why_not_aside(actor, payout)
    if refusal is not None:
        raise refusal
    note = documents.read_reason(note)
    rows = sa.select(PayoutRow.id).where(PayoutRow.payout_id == payout.id)
    session.flush()
    values: dict[str, Any] = {
        "pile": Pile.HANDLED,
        "document_id": None,
        "note": note,
        "handled_by": actor.name,
        "handled_at": clock.now(),
    }
    session.execute(sa.delete(RowShare).where(RowShare.row_id.in_(rows)).execution_options(synchronize_session=False))
    session.execute(
        sa.update(RowMatch)
        .where(RowMatch.row_id.in_(rows), RowMatch.pile != Pile.HANDLED)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()
    settlement_matching.restate(session, payout)
    audit.write(session, actor, "settlement.set_aside", f"payout:{payout.id}", {"currency": payout.currency})
    return payout
