"""Who has a draft open just now, so that two people on the same one see each other; forgotten as soon as nobody is there.

A visit is renewed by the page's own short question and by every change. Nothing of it is kept: what has not been heard of for
a while is removed by whoever comes next, and with the draft. Source: screens, "Credit".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import Document, DraftVisit, User
from rights import Actor
from states import DocState

AWAY = timedelta(seconds=45)
"""After so long without a word a person is taken to have left; the page asks every fifteen seconds."""
ANSWERED_IN = timedelta(seconds=5)
"""A page has the answer to what it saved by then, and knows the version that it made itself."""


@dataclass(frozen=True, slots=True)
class Present:
    """Another person who has the draft open, and since when."""

    name: str
    since: datetime


def visit(session: Session, actor: Actor, document_id: int) -> None:
    """Note that this person has the draft open now; what is stale is removed. Nothing for what is no draft any more."""
    now = clock.now()
    session.execute(sa.delete(DraftVisit).where(DraftVisit.seen_at < now - AWAY))
    draft = sa.select(Document.id).where(Document.id == document_id, Document.state == DocState.DRAFT).with_for_update()
    if actor.id is None or session.scalar(draft) is None:
        return
    mine = session.get(DraftVisit, (document_id, actor.id))
    if mine is None:
        session.add(DraftVisit(document_id=document_id, user_id=actor.id, since=now, seen_at=now))
    else:
        mine.seen_at = now
    session.flush()


def leave(session: Session, document_id: int) -> None:
    """Forget everybody on a draft that has been created or discarded."""
    session.execute(sa.delete(DraftVisit).where(DraftVisit.document_id == document_id))


def others(session: Session, actor: Actor, document_id: int) -> Sequence[Present]:
    """The other people who have the draft open, the first comer first. Pure reading."""
    rows = session.execute(
        sa.select(User.name, DraftVisit.since)
        .join(User, User.id == DraftVisit.user_id)
        .where(
            DraftVisit.document_id == document_id,
            DraftVisit.user_id != (actor.id or 0),
            DraftVisit.seen_at >= clock.now() - AWAY,
        )
        .order_by(DraftVisit.since, DraftVisit.user_id)
    )
    return [Present(name, since) for name, since in rows]


def is_stale(session: Session, document_id: int, shown: int | None) -> bool:
    """Whether a draft is another than a page shows, or a draft no more.

    A change of a moment ago is not told: it may be the page's own, whose answer is on its way to it.
    """
    query = sa.select(Document.version, Document.changed_at).where(
        Document.id == document_id, Document.state == DocState.DRAFT
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return True
    return shown is not None and found.version != shown and found.changed_at <= clock.now() - ANSWERED_IN
