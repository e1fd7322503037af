"""What a person may credit alone: in one credit note, or in a day where the company says so (B31, catalogue row 83).

Amounts are minor units.
"""

from __future__ import annotations

from datetime import datetime, time

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, NotAllowed
from models import Document, DocumentEvent, User
from money import Amount
from rights import Actor, Right
from services import documents, settings
from states import DocKind

LIMIT, COUNTS = "refund_limit.clerk", "refund_limit.counts"


def require(session: Session, actor: Actor, gross_minor: int, currency: str, *, but: int | None = None) -> None:
    """Refuse a credit above what the person may do alone. Raises NotAllowed; the draft is saved.

    ``but`` is the credit note itself, which is not counted as an earlier one of the day.
    """
    if actor.may(Right.CREDIT_ABOVE_LIMIT):
        return
    limit = settings.number(session, LIMIT)
    earlier = _credited_today(session, actor, currency, but) if _of_a_day(session, actor) else 0
    if gross_minor + earlier <= limit:
        return
    if not earlier:
        raise NotAllowed(
            N_("%(amount)s is above your limit of %(limit)s. The draft is saved; ask Finance to finish it."),
            amount=Amount(gross_minor, currency),
            limit=Amount(limit, currency),
        )
    raise NotAllowed(
        N_(
            "%(amount)s, with the %(earlier)s that you have credited today, is above your limit of %(limit)s a day. "
            "The draft is saved; ask Finance to finish it."
        ),
        amount=Amount(gross_minor, currency),
        earlier=Amount(earlier, currency),
        limit=Amount(limit, currency),
    )


def hold(session: Session, actor: Actor) -> None:
    """Let one person's credit notes be counted one after another, where the limit is of a day. In a transaction that writes."""
    if actor.id is not None and _of_a_day(session, actor):
        session.execute(sa.select(User.id).where(User.id == actor.id).with_for_update(key_share=True)).one_or_none()


def _of_a_day(session: Session, actor: Actor) -> bool:
    return not actor.may(Right.CREDIT_ABOVE_LIMIT) and settings.value(session, COUNTS) == "day"


def _credited_today(session: Session, actor: Actor, currency: str, but: int | None) -> int:
    """What a person has credited since midnight and still stands: by who pressed the button, not by who began the draft."""
    midnight = datetime.combine(clock.today(), time(), clock.LOCAL)
    pressed = (
        sa.exists()
        .where(DocumentEvent.document_id == Document.id)
        .where(DocumentEvent.actor == actor.name, DocumentEvent.at >= midnight)
        .where(DocumentEvent.to_state.in_(documents.LIVE))
    )
    query = sa.select(sa.func.sum(Document.gross_minor)).where(
        Document.kind == DocKind.CREDIT_NOTE,
        Document.state.in_(documents.LIVE),
        Document.reversed_at.is_(None),
        Document.currency == currency,
        Document.listed_on >= clock.today(),
        pressed,
    )
    if but is not None:
        query = query.where(Document.id != but)
    return int(session.scalar(query) or 0)
