"""The outbox: mail that follows a commit, queued in the transaction that asks for it and sent by the worker (X6).

A mail is queued once per document and address. Its Message-ID is made with it and never changes, so that a mail that went twice
because the worker died in between is one mail to whoever receives it (fault 50). Addresses stand here and nowhere in the log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, NotFound, Refusal
from models import Document, Installation, Outbox
from rights import SYSTEM, Actor, Right
from services import audit, mail, mail_settings, money_forms, settings
from services.settlement_sentences import keep, told
from states import DocState

MAIL = "mail"
LEASE = timedelta(minutes=10)
"""How long a worker may take over one mail before another may try."""
PAUSES = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 180, 360, 600))
"""How long to wait after each try that failed; after the last try a person decides. Together less than a day (X6)."""
UNTOUCHED = timedelta(days=1)
SWEDISH = frozenset({"", "SE", "AX"})
"""Countries of customers who are written to in Swedish; others are written to in English."""


@dataclass(frozen=True, slots=True)
class Job:
    """A mail that is due, as the worker takes it. ``tries`` counts those before."""

    id: int
    document_id: int
    to: str
    language: str
    copy: bool
    message_id: str
    created_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as a document's page shows it; ``state`` is waiting, sent, gave_up or dropped.

    ``why`` is what went wrong with the latest try. Neither it nor the address is there without the right.
    """

    id: int
    to: str | None
    asked_at: datetime
    asked_by: str
    state: str
    tries: int
    why: Refusal | None
    at: datetime | None


# --- Putting in ----------------------------------------------------------------------------------------------------------


def follow(session: Session, actor: Actor, document: Document) -> None:
    """Queue the mail that was wished for when the document was made, as it is issued (F18). Never refuses: money has moved."""
    if document.mail_to and not _earlier(session, document.id, document.mail_to):
        _put(session, actor, document, document.mail_to, 1)


def queue_mail(session: Session, actor: Actor, document: Document, to: str, *, again: bool = False) -> None:
    """Queue an issued document for one address, once; ``again`` when a person asks anew for one that has been sent.

    Raises BadInput for what is not one address, Refusal for a document that is not issued (catalogue 93).
    """
    if document.state is not DocState.ISSUED:
        raise Refusal(N_("Only an issued document can be e-mailed."))
    address = mail.check_address(to, field="to")
    # Two who ask for the same mail at the same moment ask for one mail.
    session.execute(sa.select(Document.id).where(Document.id == document.id).with_for_update())
    earlier = _earlier(session, document.id, address)
    if not earlier:
        _put(session, actor, document, address, 1)
        return
    latest = earlier[-1]
    if latest.gave_up_at is not None and latest.done_at is None:
        _wake(latest)
        audit.write(session, actor, "mail.retried", f"document:{document.id}", {"job": latest.id})
    elif again and latest.done_at is not None:
        _put(session, actor, document, address, len(earlier) + 1)


def queue_by_form(session: Session, actor: Actor, document: Document, to: str, nonce: str) -> None:
    """As ``queue_mail`` by a person, one mail per form however often it is sent. Raises what both raise, and NotAllowed."""
    actor.require(Right.WORK)
    subject = str(document.id)
    if money_forms.earlier_use(session, actor, nonce, MAIL, subject, [to]) is None:
        queue_mail(session, actor, document, to, again=True)
        money_forms.use_form(session, actor, nonce, MAIL, subject, [to], "queued")


def _earlier(session: Session, document_id: int, address: str) -> list[Outbox]:
    rows = session.scalars(
        sa.select(Outbox).where(Outbox.kind == MAIL, Outbox.document_id == document_id).order_by(Outbox.id)
    )
    return [row for row in rows if _payload(row)["to"].casefold() == address.casefold()]


def _payload(row: Outbox) -> dict[str, str]:
    read: dict[str, str] = json.loads(row.payload)
    return read


def _put(session: Session, actor: Actor, document: Document, address: str, time: int) -> None:
    now = clock.now()
    held = session.scalar(sa.select(sa.func.count()).select_from(Outbox).where(Outbox.document_id == document.id))
    installation = session.scalar(sa.select(Installation.installation_id)) or ""
    known = hashlib.sha256(f"{installation}\n{document.id}\n{address.casefold()}\n{time}".encode()).hexdigest()[:32]
    sender = settings.value(session, "mail.sender") or settings.value(session, "company.email")
    host = sender.partition("@")[2] or "kvitta.invalid"
    country = json.loads(document.party or "{}").get("country", "")
    payload = {
        "to": address,
        "language": "sv" if country in SWEDISH else "en",
        "copy": "1" if held else "",
    }
    session.add(
        Outbox(
            kind=MAIL,
            document_id=document.id,
            payload=json.dumps(payload, ensure_ascii=False, sort_keys=True),
            message_id=f"<{known}@{host}>",
            created_at=now,
            created_by=actor.name,
            next_run_at=now,
        )
    )
    session.flush()
    audit.write(session, actor, "mail.queued", f"document:{document.id}", {"number": document.number_text})


# --- Taking out ----------------------------------------------------------------------------------------------------------


def _waits() -> sa.ColumnElement[bool]:
    return sa.and_(Outbox.kind == MAIL, Outbox.done_at.is_(None), Outbox.gave_up_at.is_(None))


def due(session: Session, limit: int = 50) -> list[int]:
    """The mails whose time has come, the oldest first."""
    query = sa.select(Outbox.id).where(_waits(), Outbox.next_run_at <= clock.now())
    return list(session.scalars(query.order_by(Outbox.next_run_at, Outbox.id).limit(limit)))


def take(session: Session, job_id: int) -> Job | None:
    """Take a mail for one try, so that nobody else sends it meanwhile; None when somebody was faster."""
    now = clock.now()
    row = session.execute(
        sa.update(Outbox)
        .where(Outbox.id == job_id, _waits(), Outbox.next_run_at <= now)
        .values(attempts=Outbox.attempts + 1, next_run_at=now + LEASE)
        .returning(Outbox)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).scalar_one_or_none()
    if row is None or row.document_id is None:
        return None
    payload = _payload(row)
    return Job(
        id=row.id,
        document_id=row.document_id,
        to=payload["to"],
        language=payload["language"],
        copy=bool(payload["copy"]),
        message_id=row.message_id,
        created_at=row.created_at,
        tries=row.attempts - 1,
    )


def sent(session: Session, job: Job) -> None:
    """Note that the mail server has taken the mail."""
    row = session.get_one(Outbox, job.id, with_for_update=True)
    if row.done_at is None:
        row.done_at, row.next_run_at, row.gave_up_at, row.last_error = clock.now(), None, None, None
        audit.write(session, SYSTEM, "mail.sent", f"document:{job.document_id}", {"job": job.id})


def failed(session: Session, job: Job, why: Refusal, *, for_good: bool) -> None:
    """Note a try that failed: another follows after a pause, or a person decides when it was the last or for good."""
    row = session.get_one(Outbox, job.id, with_for_update=True)
    if row.done_at is not None:
        return
    row.last_error = keep(why)
    if for_good or job.tries >= len(PAUSES):
        _give_up(session, row)
    else:
        row.next_run_at = clock.now() + PAUSES[job.tries]


def give_up_untouched(session: Session) -> None:
    """Leave to a person what nobody has taken up for a day, for example while sending is switched off (X6)."""
    for row in session.scalars(sa.select(Outbox).where(_waits(), Outbox.next_run_at < clock.now() - UNTOUCHED)):
        _give_up(session, row)


def _give_up(session: Session, row: Outbox) -> None:
    row.gave_up_at, row.next_run_at = clock.now(), None
    audit.write(session, SYSTEM, "mail.given_up", f"document:{row.document_id}", {"job": row.id})


def wake_all(session: Session) -> None:
    """Try everything that waits at once: the mail server's settings have changed."""
    session.execute(sa.update(Outbox).where(_waits()).values(next_run_at=clock.now(), attempts=0))


def _wake(row: Outbox) -> None:
    row.gave_up_at, row.next_run_at, row.attempts = None, clock.now(), 0


# --- What a person does ----------------------------------------------------------------------------------------------------


def _given_up(session: Session, actor: Actor, job_id: int) -> Outbox:
    actor.require(Right.WORK)
    row = session.get(Outbox, job_id, with_for_update=True)
    if row is None or row.kind != MAIL:
        raise NotFound
    if row.done_at is not None or row.gave_up_at is None:
        raise Refusal(N_("The mail does not wait for a decision any more. Nothing has been changed."))
    return row


def retry(session: Session, actor: Actor, job_id: int) -> int:
    """Try a mail again that was given up; gives its document. Raises NotFound, NotAllowed, Refusal."""
    row = _given_up(session, actor, job_id)
    _wake(row)
    audit.write(session, actor, "mail.retried", f"document:{row.document_id}", {"job": row.id})
    return row.document_id or 0


def drop(session: Session, actor: Actor, job_id: int) -> int:
    """Give up a mail for good: it is not sent; gives its document. Raises NotFound, NotAllowed, Refusal."""
    row = _given_up(session, actor, job_id)
    row.done_at, row.dropped_by = clock.now(), actor.name
    audit.write(session, actor, "mail.dropped", f"document:{row.document_id}", {"job": row.id})
    return row.document_id or 0


def of_document(session: Session, actor: Actor, document_id: int) -> Sequence[Mail]:
    """The mails of a document, the newest first."""
    rows = session.scalars(
        sa.select(Outbox).where(Outbox.kind == MAIL, Outbox.document_id == document_id).order_by(Outbox.id.desc())
    )
    private = actor.may(Right.SEE_PRIVATE)
    return [_shown(row, private=private) for row in rows]


def as_shown(row: Outbox, actor: Actor) -> Mail:
    """A mail as this person may see it."""
    return _shown(row, private=actor.may(Right.SEE_PRIVATE))


def latest_to(mails: Sequence[Outbox], address: str) -> Mail | None:
    """The latest of a document's mails, oldest first, that goes to this address; None when none does."""
    same = [row for row in mails if _payload(row)["to"].casefold() == address.casefold()]
    return _shown(same[-1], private=False) if same else None


def _shown(row: Outbox, *, private: bool) -> Mail:
    return Mail(
        id=row.id,
        to=_payload(row)["to"] if private else None,
        asked_at=row.created_at,
        asked_by=row.created_by,
        state=_state(row),
        tries=row.attempts,
        why=_why(row.last_error) if private and row.last_error else None,
        at=row.done_at or row.gave_up_at or row.next_run_at,
    )


def _why(kept: str) -> Refusal:
    """The sentence that was kept. Earlier versions kept bare words: two sentences of ours, else those of a machine."""
    if kept.startswith("{"):
        return told(kept)
    if kept in (mail_settings.NOT_SET_UP, mail_settings.OTHER_KEY):
        return Refusal(kept)
    return Refusal(N_("Noted: %(reason)s"), reason=kept)


def _state(row: Outbox) -> str:
    if row.done_at is not None:
        return "dropped" if row.dropped_by else "sent"
    return "gave_up" if row.gave_up_at else "waiting"
