"""Who did what, when: append-only and chained, so that a row that is changed or taken away is seen (security 73).

What is written during a transaction is chained right before it commits: the head of the chain is the last lock taken,
so that auditing never makes two transactions wait for each other crosswise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

import clock
from models import Audit, NumberSeries
from rights import Actor
from services import numbering

SERIES = "audit"
"""The counter row that holds the number of rows and the head of the chain."""
_WAITING = "audit rows of this transaction"
_HEAD = NumberSeries.__table__.c
_OF_THE_LOG = sa.update(NumberSeries.__table__).where(  # type: ignore[arg-type]
    _HEAD.code == SERIES, _HEAD.fiscal_year == numbering.RUNS_ON
)
_COUNT_UP = _OF_THE_LOG.values(next_no=_HEAD.next_no + sa.bindparam("more")).returning(_HEAD.head_hash)
_NEW_HEAD = _OF_THE_LOG.values(head_hash=sa.bindparam("head"))


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the log as a page shows it."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


def _text(found: Any) -> str:
    if isinstance(found, (date, datetime)):
        return found.isoformat()
    raise TypeError(f"{type(found).__name__} does not belong in the log")


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def write(session: Session, actor: Actor, action: str, object: str, detail: Mapping[str, Any] | None = None) -> None:  # noqa: A002
    """Note an act, for example ``write(s, actor, "invoice.create", "document:17", {"number": 42580})``.

    It stands in the log if and only if the transaction commits. ``detail`` never holds personal data or secrets (X3).
    """
    row = {
        "at": clock.now(),
        "actor": actor.name,
        "action": action,
        "object": object,
        "detail": json.dumps(
            dict(detail or {}), ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_text
        ),
    }
    waiting = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        event.listen(session, "before_commit", _chain)
        event.listen(session, "after_rollback", _forget)
    waiting.append(row)


def _forget(session: Session) -> None:
    session.info[_WAITING].clear()


def _chain(session: Session) -> None:
    """Give the waiting rows their place in the chain: last in the transaction, behind every other lock."""
    waiting = session.info[_WAITING]
    if not waiting or session.in_nested_transaction():
        return
    session.flush()
    more = {"more": len(waiting)}
    head = session.scalar(_COUNT_UP, more)
    if head is None:
        numbering.ensure(session, SERIES)
        head = session.execute(_COUNT_UP, more).scalar_one()
    for row in waiting:
        row["previous_hash"] = head
        content = [head, _instant(row["at"]), row["actor"], row["action"], row["object"], row["detail"]]
        head = hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
        row["hash"] = head
    session.execute(sa.insert(Audit.__table__), waiting)  # type: ignore[arg-type]
    session.execute(_NEW_HEAD, {"head": head})
    session.info[_WAITING] = []


def listing(
    session: Session,
    *,
    object: str | None = None,  # noqa: A002
    actor: str | None = None,
    action: str | None = None,
    kinds: Sequence[str] = (),
    after: int | None = None,
    limit: int = 50,
) -> list[Line]:
    """Rows of the log, the newest first; ``after`` is the id of the last row of the page before.

    ``kinds`` are beginnings of actions, of which one has to fit.
    """
    query = sa.select(Audit.id, Audit.at, Audit.actor, Audit.action, Audit.object, Audit.detail)
    if object is not None:
        query = query.where(Audit.object == object)
    if actor is not None:
        query = query.where(Audit.actor == actor)
    if action is not None:
        query = query.where(Audit.action == action)
    if kinds:
        query = query.where(sa.or_(*(Audit.action.startswith(each, autoescape=True) for each in kinds)))
    if after is not None:
        query = query.where(Audit.id < after)
    rows = session.execute(query.order_by(Audit.id.desc()).limit(limit))
    return [Line(row.id, row.at, row.actor, row.action, row.object, json.loads(row.detail)) for row in rows]
