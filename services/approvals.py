"""A credit above the limit of whoever made it: put before Finance, who creates it; both stand on the document (B31).

The draft stays what it was and can be changed; who approved is who took the number of it. Amounts are minor units.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

import clock
from errors import N_, NotFound, Refusal
from models import ApprovalRequest, Document, DocumentEvent
from rights import Actor, Right
from services import audit, credit_limit, documents
from states import DocKind, DocState


@dataclass(frozen=True, slots=True)
class Approval:
    """Who put a credit before Finance, when and with what sum; who approved it, None while nobody has or when the asker made it.

    ``changed`` tells of a draft that it has been changed since.
    """

    asked_by: str
    asked_by_id: int
    asked_at: datetime
    asked_minor: int
    changed: bool
    approved_by: str | None
    approved_at: datetime | None


@dataclass(frozen=True, slots=True)
class OnDraft:
    """What a draft's form says of approval: the request, if any, and whether this person may ask or take it back."""

    request: Approval | None
    may_ask: bool
    may_take_back: bool


_ASKED = (
    select(*ApprovalRequest.__table__.c, (Document.changed_at > ApprovalRequest.asked_at).label("changed"))
    .join(Document, Document.id == ApprovalRequest.document_id)
    .where(ApprovalRequest.document_id == bindparam("document_id"))
)
"""Put together once, for it is asked with every key that is typed into a draft (performance, goal 11)."""


def of(session: Session, document_id: int) -> Approval | None:
    """The request behind a document, with who approved it by creating it. Pure reading."""
    asked = session.execute(_ASKED, {"document_id": document_id}).one_or_none()
    if asked is None:
        return None
    made = session.scalar(
        select(DocumentEvent)
        .where(DocumentEvent.document_id == document_id, DocumentEvent.from_state == DocState.DRAFT)
        .order_by(DocumentEvent.seq)
        .limit(1)
    )
    by_another = made is not None and made.actor != asked.asked_by
    return Approval(
        asked.asked_by,
        asked.asked_by_id,
        asked.asked_at,
        asked.gross_minor,
        asked.changed,
        made.actor if made is not None and by_another else None,
        made.at if made is not None and by_another else None,
    )


def on_draft(session: Session, actor: Actor, draft_id: int, gross_minor: int, currency: str) -> OnDraft:
    """What the form of a draft of this sum shows of approval. Pure reading."""
    request = of(session, draft_id)
    return OnDraft(
        request=request,
        may_ask=request is None and actor.may(Right.CREDIT) and _above(session, actor, gross_minor, currency),
        may_take_back=request is not None and request.asked_by_id == actor.id,
    )


def _above(session: Session, actor: Actor, gross_minor: int, currency: str) -> bool:
    try:
        credit_limit.require(session, actor, gross_minor, currency)
    except Refusal:
        return True
    return False


def _gross(draft: Document) -> int:
    return sum(line.gross_minor for line in documents.lines_of(draft))


def _draft(session: Session, actor: Actor, draft_id: int) -> Document:
    actor.require(Right.CREDIT)
    draft = documents.get(session, draft_id, lock=True)
    if draft.kind is not DocKind.CREDIT_NOTE:
        raise NotFound
    if draft.state is not DocState.DRAFT:
        raise Refusal(
            N_("The credit note has been created and can no longer be changed."),
            link=("credit_notes.show", {"document_id": draft.id}),
        )
    return draft


def ask(session: Session, actor: Actor, draft_id: int) -> None:
    """«Lägg fram för Ekonomi»: once per draft. Raises NotAllowed, NotFound, Refusal."""
    draft = _draft(session, actor, draft_id)
    if session.get(ApprovalRequest, draft_id) is not None:
        return
    gross = _gross(draft)
    if not _above(session, actor, gross, draft.currency):
        raise Refusal(N_("The credit is within your limit. You can create it yourself."))
    session.add(
        ApprovalRequest(
            document_id=draft_id,
            asked_by=actor.name,
            asked_by_id=actor.id or 0,
            asked_at=clock.now(),
            gross_minor=gross,
        )
    )
    session.flush()
    audit.write(session, actor, "credit_note.approval_asked", f"document:{draft_id}", {"gross_minor": gross})


def take_back(session: Session, actor: Actor, draft_id: int) -> None:
    """Take a request back, by whoever made it or by Finance. Raises NotAllowed, NotFound, Refusal."""
    _draft(session, actor, draft_id)
    asked = session.get(ApprovalRequest, draft_id)
    if asked is None:
        return
    if asked.asked_by_id != actor.id:
        actor.require(Right.CREDIT_ABOVE_LIMIT)
    session.delete(asked)
    session.flush()
    audit.write(session, actor, "credit_note.approval_withdrawn", f"document:{draft_id}", {})
