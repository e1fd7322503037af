"""Which mail server Kvitta hands its mail to, as dated settings, and the server's password, encrypted.

The password is bound to server and user name: whoever changes those has to know it, so that it cannot be sent to another
server (security 53, catalogue row 66).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy.orm import Session

import clock
from config import Misconfigured
from errors import N_, BadInput, Refusal
from models import MailSecret
from rights import Actor, Right
from services import audit, mail, settings
from services.gateway import is_loopback, seal, unseal
from services.mail import PLAIN, Server

NAMES = ("host", "port", "security", "username", "sender", "sender_name")
LONGEST_PASSWORD = 256
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")
NOT_SET_UP = N_("No mail server has been set up. An administrator does that under Settings, E-mail.")
OTHER_KEY = N_("The mail server's password was encrypted with another key. Type it again under Settings, E-mail.")


@dataclass(frozen=True, slots=True)
class Facts:
    """The settings a person sees and types; everything but the password."""

    host: str
    port: int
    security: str
    username: str
    sender: str
    sender_name: str

    @property
    def binding(self) -> str:
        """What the password is bound to."""
        return f"mail {self.host.casefold()} {self.username}"


def facts(session: Session) -> Facts:
    """The settings as they hold today; the company's name and address stand in for a sender that is not set."""
    found = settings.values(session, "mail.")
    company = settings.values(session, "company.")
    return Facts(
        host=found["mail.host"],
        port=int(found["mail.port"]),
        security=found["mail.security"],
        username=found["mail.username"],
        sender=found["mail.sender"] or company["company.email"],
        sender_name=found["mail.sender_name"] or company["company.name"],
    )


def why_not(session: Session) -> Refusal | None:
    """Why nothing can be mailed; None when a server has been set up."""
    return None if settings.value(session, "mail.host") else Refusal(NOT_SET_UP)


def has_password(session: Session) -> bool:
    """Whether a password is kept. It is never shown, not even its length."""
    return session.get(MailSecret, 1) is not None


def server(session: Session, key: bytes) -> Server:
    """The server with its password, for the one who sends. Raises Refusal when none has been set up or the key is another."""
    found = facts(session)
    if not found.host:
        raise Refusal(NOT_SET_UP)
    kept = session.get(MailSecret, 1)
    password = ""
    if found.username and kept is not None:
        try:
            password = unseal(key, bytes(kept.sealed), found.binding)
        except Misconfigured:
            raise Refusal(OTHER_KEY) from None
    return Server(found.host, found.port, found.security, found.username, password, found.sender, found.sender_name)


def save(session: Session, actor: Actor, key: bytes, wanted: Facts, password: str) -> None:
    """Use this server from today on; a blank password keeps the old one. Raises NotAllowed, BadInput."""
    actor.require(Right.ADMINISTER)
    _check(wanted)
    before = facts(session)
    _keep_password(session, key, before, wanted, password)
    for name in NAMES:
        value = str(getattr(wanted, name))
        if value != str(getattr(before, name)):
            settings.change(session, actor, f"mail.{name}", value, clock.today())
    if password or not wanted.username:
        audit.write(session, actor, "mail.password", "setting:mail.password")


def _check(wanted: Facts) -> None:
    if not _HOST.fullmatch(wanted.host):
        raise BadInput(N_("Write the name of the mail server, for example smtp.example.com."), field="host")
    mail.check_address(wanted.sender, field="sender")
    _require_plain(wanted.username, "username")
    if wanted.security == PLAIN and wanted.username and not is_loopback(wanted.host):
        raise BadInput(
            N_("A password is not sent without encryption. Choose STARTTLS or TLS, or leave the user name blank."),
            field="security",
        )


def _require_plain(text: str, field: str) -> None:
    if not text.isascii():
        raise BadInput(N_("Only plain letters, digits and signs can be sent to a mail server here."), field=field)


def _keep_password(session: Session, key: bytes, before: Facts, wanted: Facts, password: str) -> None:
    kept = session.get(MailSecret, 1, with_for_update=True)
    if not wanted.username:
        if kept is not None:
            session.delete(kept)
        return
    if not password:
        if kept is None or wanted.binding != before.binding:
            raise BadInput(
                N_("Type the password: it is kept for one server and one user name, and one of them has changed."),
                field="password",
            )
        return
    if len(password) > LONGEST_PASSWORD:
        raise BadInput(N_("At most %(most)s characters can be entered."), field="password", most=LONGEST_PASSWORD)
    _require_plain(password, "password")
    sealed = seal(key, password, wanted.binding)
    if kept is None:
        session.add(MailSecret(id=1, sealed=sealed, changed_at=clock.now()))
    else:
        kept.sealed, kept.changed_at = sealed, clock.now()
    session.flush()
