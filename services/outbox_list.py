"""The list of e-mails that wait for a person: given up, or a day old and not sent; whom to, when, and what went wrong (X6).

Pure reading. Addresses and the mail server's words are for those who may see what is private.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Customer, Document, Outbox
from rights import Actor
from services import outbox
from services.outbox import Mail
from states import DocKind

MOST = 50
MAILED_WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A mail with the document that it carries."""

    mail: Mail
    document_id: int
    kind: DocKind
    number: str
    customer: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list, and the mark of the next one."""

    rows: Sequence[Stuck]
    older: int | None


def stuck(before: Any) -> sa.ColumnElement[bool]:
    """Whether a mail waits for a person: it was given up, or asked for before this moment and not sent."""
    return sa.and_(
        Outbox.kind == outbox.MAIL,
        Outbox.done_at.is_(None),
        sa.or_(Outbox.gave_up_at.is_not(None), Outbox.created_at < before),
    )


def listed(session: Session, actor: Actor, after: int | None = None, limit: int = MOST) -> Listed:
    """The mails that wait for a person, the oldest first; ``after`` is the last id of the page before."""
    query = (
        sa.select(Outbox, Document.kind, Document.number_text, Customer.name)
        .join(Document, Document.id == Outbox.document_id)
        .join(Customer, Customer.id == Document.customer_id)
        .where(stuck(clock.now() - MAILED_WITHIN))
        .order_by(Outbox.created_at, Outbox.id)
        .limit(limit + 1)
    )
    since = session.scalar(sa.select(Outbox.created_at).where(Outbox.id == after)) if after else None
    if since is not None:
        query = query.where(sa.or_(Outbox.created_at > since, sa.and_(Outbox.created_at == since, Outbox.id > after)))
    found = session.execute(query).all()
    rows = [
        Stuck(outbox.as_shown(row, actor), row.document_id or 0, kind, number or "", customer)
        for row, kind, number, customer in found[:limit]
    ]
    return Listed(rows, rows[-1].mail.id if len(found) > limit else None)
