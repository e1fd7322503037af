"""Outgoing mail: what a letter looks like on the wire, and one try to hand it to the mail server.

No database and no clock of its own. Whatever a name or a number holds, nobody but Kvitta writes a header: the standard library's
policy refuses line breaks, and addresses are one plain address each (catalogue row 45).
"""

from __future__ import annotations

import re
import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from errors import N_, BadInput, Refusal
from services.gateway import is_loopback

STARTTLS, TLS, PLAIN = "starttls", "tls", "none"
SECURITY = (STARTTLS, TLS, PLAIN)
CONNECT_SECONDS = 10.0
LONGEST_ADDRESS = 320
SAID = N_("The mail server did not take the letter. It said: %(reason)s")
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}))+"
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server and who we are to it. ``security`` is one of SECURITY; a blank ``username`` means no login."""

    host: str
    port: int
    security: str
    username: str
    password: str
    sender: str
    sender_name: str

    def __repr__(self) -> str:
        """Without the password, so that no log shows it (security 53)."""
        return f"Server({self.host}:{self.port}, {self.security})"


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says. ``content`` is the file that goes along under ``file_name``; None for none."""

    subject: str
    text: str
    file_name: str = ""
    content: bytes | None = None


class NotMailed(Exception):
    """A letter that surely did not go, or of which nobody knows. ``for_good``: trying again would end the same.

    ``why`` is our own sentence; ``said`` fills its place for the words of a server or a machine, which stay as they are.
    """

    def __init__(self, sentence: str, said: str = "", *, for_good: bool = False) -> None:
        self.why = Refusal(sentence)
        if said:
            self.why.values = {"reason": _UNPRINTABLE.sub(" ", said).strip()[:300]}
        super().__init__(str(self.why))
        self.for_good = for_good


def check_address(text: str, field: str | None = None) -> str:
    """One plain e-mail address. Raises BadInput for anything else, lists and line breaks included (catalogue 45, 93)."""
    text = text.strip(" ")
    if len(text) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(text):
        raise BadInput(N_("Write one e-mail address, for example name@example.com."), field=field)
    return text


def compose(server: Server, to: str, letter: Letter, message_id: str, at: datetime) -> EmailMessage:
    """The letter as it goes out. Raises NotMailed for an address or a name that cannot stand in a header."""
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = Address(_one_line(server.sender_name), addr_spec=server.sender)
        message["To"] = Address(addr_spec=check_address(to))
        message["Subject"] = _one_line(letter.subject)
        message["Date"] = at
        message["Message-ID"] = message_id
        # Nobody's holiday notice is to answer an invoice (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
    except (ValueError, BadInput) as error:
        raise NotMailed(N_("The letter cannot be addressed: %(reason)s"), str(error), for_good=True) from error
    message.set_content(letter.text)
    if letter.content is not None:
        message.add_attachment(letter.content, maintype="application", subtype="pdf", filename=letter.file_name)
    return message


def _one_line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", text).strip()


def hand_over(server: Server, message: EmailMessage) -> None:
    """Give a letter to the server, once. Raises NotMailed, where the server said no with its own words.

    With STARTTLS a server that does not offer it gets nothing; a password is never sent unencrypted, except on this machine.
    """
    if server.security == PLAIN and server.username and not is_loopback(server.host):
        raise NotMailed(N_("A password is not sent to a mail server without encryption."), for_good=True)
    try:
        line = _connected(server)
        try:
            if server.username:
                line.login(server.username, server.password)
            line.send_message(message)
        finally:
            _goodbye(line)
    except UnicodeEncodeError as error:
        raise NotMailed(
            N_("The user name or the password holds letters that cannot be sent to a mail server.")
        ) from error
    except smtplib.SMTPRecipientsRefused as refused:
        code, said = next(iter(refused.recipients.values()))
        raise NotMailed(SAID, f"{code} {_text(said)}", for_good=code >= 500) from refused
    except smtplib.SMTPNotSupportedError as error:
        raise NotMailed(
            N_("The mail server cannot do what the settings ask of it: %(reason)s"), str(error), for_good=False
        ) from error
    except smtplib.SMTPResponseException as error:
        # A refused sender or letter is refused for good; a refused login is mended in the settings, and then tried again.
        for_good = 500 <= error.smtp_code < 600 and not isinstance(
            error, smtplib.SMTPAuthenticationError | smtplib.SMTPConnectError | smtplib.SMTPHeloError
        )
        raise NotMailed(SAID, f"{error.smtp_code} {_text(error.smtp_error)}", for_good=for_good) from error
    except ssl.SSLError as error:
        raise NotMailed(
            N_("No encrypted line to the mail server could be opened: %(reason)s"), f"{type(error).__name__}: {error}"
        ) from error
    except smtplib.SMTPException as error:
        raise NotMailed(
            N_("The mail server did not answer as it should: %(reason)s"), f"{type(error).__name__}: {error}"
        ) from error
    except OSError as error:
        raise NotMailed(
            N_("The mail server cannot be reached: %(reason)s"), f"{type(error).__name__}: {error}"
        ) from error


def _connected(server: Server) -> smtplib.SMTP:
    """A line to the server, encrypted as the settings demand. Raises OSError, SMTPException."""
    trusted = ssl.create_default_context()
    if server.security == TLS:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=CONNECT_SECONDS, context=trusted)
    line = smtplib.SMTP(server.host, server.port, timeout=CONNECT_SECONDS)
    if server.security == STARTTLS:
        try:
            line.starttls(context=trusted)
        except Exception:
            line.close()
            raise
    return line


def _goodbye(line: smtplib.SMTP) -> None:
    """Hang up. What goes wrong now says nothing about the letter, which the server has taken or not."""
    try:
        line.quit()
    except (smtplib.SMTPException, OSError):
        line.close()


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
