"""A real mail server on loopback for the tests: takes letters or refuses them, with or without TLS and login.

with PostOffice() as office: ...        # plain;  PostOffice(tls="starttls") or tls="tls" with a certificate of its own
office.letters                          # what it has taken, as email.message.EmailMessage, with .envelope_to
office.refuse["kund@example.com"] = "550 5.1.1 no such mailbox"
"""

from __future__ import annotations

import email
import email.policy
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from demo.post import AnyPort

LOGIN, PASSWORD = "kvitta", "the postmans key"


@cache
def certificate() -> Path:
    """A certificate for 127.0.0.1 with its key, in one file; whoever is to trust it names the file in SSL_CERT_FILE."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "post office of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=4000))
        .not_valid_after(now + timedelta(days=4000))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = Path(tempfile.mkdtemp(prefix="kvitta-post-")) / "post.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


class PostOffice:
    """The server of one test."""

    def __init__(self, tls: str = "none", *, login: bool = False) -> None:
        self.letters: list[EmailMessage] = []
        self.refuse: dict[str, str] = {}
        self.on_letter: Callable[[], None] = lambda: None
        context = None
        if tls != "none":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate())
        given: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0, "ready_timeout": 10}
        if tls == "tls":
            given["ssl_context"] = context
        elif tls == "starttls":
            given |= {"tls_context": context, "require_starttls": True}
        if login:
            given |= {"authenticator": self._known, "auth_required": True, "auth_require_tls": tls == "starttls"}
        self._controller = AnyPort(self, **given)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._controller.server.sockets[0].getsockname()[1]
        return port

    def _known(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (LOGIN.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right, message=None if right else "535 5.7.8 wrong password")

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, unless told to refuse."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        """Take a letter."""
        if "" in self.refuse:
            return self.refuse[""]
        content = envelope.content
        assert isinstance(content, bytes)
        letter = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        letter.envelope_to = list(envelope.rcpt_tos)  # type: ignore[attr-defined]
        self.letters.append(letter)
        self.on_letter()
        return "250 OK"
