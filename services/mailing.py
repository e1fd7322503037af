"""Many documents e-mailed at once: what would go where, and then one mail each through the outbox (F18, F19; B23).

Each goes to the address that stands on the document. One that has been sent, or is on its way, goes again only when a person
ticks it, knowing when it went.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, BadInput, Refusal, Stale
from models import Document, Outbox
from rights import Actor, Right
from services import mail, mail_settings, money_forms, outbox
from states import DocKind, DocState

ACTION = "mail_many"
MOST = 200


@dataclass(frozen=True, slots=True)
class Planned:
    """A document and its mail to be. ``to`` is None for who may not see addresses; ``refusal`` says why none can go.

    ``state`` and ``at`` tell of the latest mail to that address: waiting, sent, gave_up or dropped; None when there is none.
    ``seen`` marks that mail, so that one who sends says what the page showed.
    """

    document_id: int
    kind: DocKind
    number: str
    customer: str
    to: str | None
    refusal: Refusal | None
    state: str | None
    at: datetime | None
    seen: str

    @property
    def suggested(self) -> bool:
        """Whether its box is ticked to begin with: it can go and has not gone."""
        return self.refusal is None and self.state not in ("waiting", "sent")


def read_ids(given: Sequence[str]) -> list[int]:
    """The ids of the chosen documents, in their order and each once. Raises BadInput for none, too many, and what is no id."""
    parts = [part for text in given for part in text.split(",") if part]
    if not parts:
        raise BadInput(N_("Choose what to e-mail first."))
    if len(parts) > MOST:
        raise BadInput(N_("At most %(most)s documents can be e-mailed at once."), most=MOST)
    if not all(part.isascii() and part.isdigit() and len(part) <= 15 for part in parts):
        raise BadInput(N_("Choose what to e-mail from the list."))
    return list(dict.fromkeys(map(int, parts)))


def plan(session: Session, actor: Actor, ids: Sequence[int]) -> list[Planned]:
    """What would go where, in the order of ``ids``; those that are not there are left out."""
    found = {each.id: each for each in session.scalars(sa.select(Document).where(Document.id.in_(ids)))}
    before = _mails_of(session, ids)
    return [_planned(actor, found[each], before.get(each, [])) for each in ids if each in found]


def _mails_of(session: Session, ids: Sequence[int]) -> dict[int, list[Outbox]]:
    """All mails of these documents, oldest first."""
    query = sa.select(Outbox).where(Outbox.kind == outbox.MAIL, Outbox.document_id.in_(ids)).order_by(Outbox.id)
    mails: dict[int, list[Outbox]] = {}
    for each in session.scalars(query):
        mails.setdefault(each.document_id or 0, []).append(each)
    return mails


def _planned(actor: Actor, document: Document, mails: Sequence[Outbox]) -> Planned:
    address = _address(document)
    refusal = _why_not(document, address)
    earlier = outbox.latest_to(mails, address) if refusal is None else None
    return Planned(
        document_id=document.id,
        kind=document.kind,
        number=document.number_text or "",
        customer=json.loads(document.party or "{}").get("name") or "",
        to=address if actor.may(Right.SEE_PRIVATE) else None,
        refusal=refusal,
        state=earlier.state if earlier else None,
        at=earlier.at if earlier else None,
        seen=_mark(earlier),
    )


def _address(document: Document) -> str:
    """Where the document goes: what stands on it."""
    return json.loads(document.party or "{}").get("email") or ""


def _mark(latest: outbox.Mail | None) -> str:
    return f"{latest.id}.{latest.state}" if latest is not None else ""


def _why_not(document: Document, address: str) -> Refusal | None:
    if document.state is not DocState.ISSUED:
        return Refusal(N_("Only an issued document can be e-mailed."))
    if not address:
        return Refusal(N_("There is no e-mail address on it."))
    try:
        mail.check_address(address, field="to")
    except BadInput as no:
        return no
    return None


def send(session: Session, actor: Actor, nonce: str, chosen: Mapping[int, str]) -> int:
    """Queue one mail for each document that can go; gives how many. One form does it once.

    ``chosen`` are the documents with the mark that was shown beside each: Stale, with nothing queued, when one has been
    e-mailed meanwhile. Raises NotAllowed, Refusal.
    """
    actor.require(Right.WORK)
    no_server = mail_settings.why_not(session)
    if no_server is not None:
        raise no_server
    values = sorted(chosen.items())
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, "documents", values)
    if earlier is not None:
        return int(earlier)
    # In one order, so that two who send the same ones wait for each other and never in a circle.
    query = sa.select(Document).where(Document.id.in_(chosen)).order_by(Document.id).with_for_update()
    documents = session.scalars(query).all()
    mails, queued = _mails_of(session, list(chosen)), 0
    for document in documents:
        planned = _planned(actor, document, mails.get(document.id, []))
        if planned.seen != chosen[document.id]:
            raise Stale(
                N_("Somebody has e-mailed %(number)s meanwhile. Look through it again. Nothing has been sent."),
                number=planned.number,
            )
        if planned.refusal is None:
            outbox.queue_mail(session, actor, document, _address(document), again=True)
            queued += 1
    money_forms.use_form(session, actor, nonce, ACTION, "documents", values, str(queued))
    return queued
