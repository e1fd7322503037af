"""The postman: takes mails out of the outbox, has their letters drawn, and hands them to the mail server.

One try is: take it (committed), draw and send with no transaction open, note what came of it. Who dies in between leaves the
mail to the next round after a lease, which may send it a second time under the same Message-ID: at least once, never lost.
"""

from __future__ import annotations

from typing import Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Refusal
from models import Installation, SenderLease
from services import mail, mail_settings, outbox
from services.gateway import Gateway
from services.mail import Letter, NotMailed, Server

log = structlog.get_logger("kvitta.postman")


class Letters(Protocol):
    """Whoever draws the letter of a document in a language."""

    def letter(self, document_id: int, language: str, *, copy: bool) -> Letter:
        """Words and file. Raises Refusal."""


class Postman:
    """One process's way to the mail server; ``key`` opens the server's password."""

    def __init__(self, key: bytes, klarna: Gateway, letters: Letters) -> None:
        self.key = key
        self.klarna = klarna
        self.letters = letters


def run(postman: Postman) -> int:
    """One round over the mails that are due; gives how many were sent. Never raises for what a mail server does."""
    with db.reading() as session:
        waiting = outbox.due(session) if _may_send(session, postman.klarna) else []
    gone = sum(_carry(postman, job_id) for job_id in waiting)
    db.transact(outbox.give_up_untouched)
    return gone


def _may_send(session: Session, klarna: Gateway) -> bool:
    """Whether this host may send at all: a copied or restored database mails nobody (operations 15.2)."""
    installation = session.get(Installation, 1)
    if installation is None or not installation.sending_enabled:
        return False
    hosts = set(session.scalars(select(SenderLease.host_id)))
    return not hosts or klarna.host_id(installation.installation_id) in hosts


def _carry(postman: Postman, job_id: int) -> bool:
    job = db.transact(lambda session: outbox.take(session, job_id))
    if job is None:
        return False
    taken = job
    try:
        _send(postman, taken)
    except NotMailed as no:
        why, for_good = no.why, no.for_good
    except Refusal as refusal:
        why, for_good = refusal, False
    # Whatever it was, the mail stays and is tried again, and the next mail is not held up by it.
    except Exception as error:
        log.exception("mail not made", job=job_id)
        why = Refusal(N_("The letter could not be made (%(reason)s). The log says more."), reason=type(error).__name__)
        for_good = False
    else:
        db.transact(lambda session: outbox.sent(session, taken))
        return True
    log.warning("mail not sent", job=job_id, tries=taken.tries + 1)
    db.transact(lambda session: outbox.failed(session, taken, why, for_good=for_good))
    return False


def _send(postman: Postman, job: outbox.Job) -> None:
    with db.reading() as session:
        server = mail_settings.server(session, postman.key)
    letter = postman.letters.letter(job.document_id, job.language, copy=job.copy)
    mail.hand_over(server, mail.compose(server, job.to, letter, job.message_id, job.created_at))


def try_out(postman: Postman, to: str, letter: Letter, message_id: str) -> None:
    """«Skicka ett provbrev»: hand one letter over now. Raises BadInput, Refusal; what the server says, in its own words."""
    address = mail.check_address(to, field="to")
    with db.reading() as session:
        server: Server = mail_settings.server(session, postman.key)
    try:
        mail.hand_over(server, mail.compose(server, address, letter, message_id, clock.now()))
    except NotMailed as no:
        raise no.why from no
