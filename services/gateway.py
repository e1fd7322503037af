"""The way to Klarna: which client for which account, how many calls at once, whether this host may send.

A Gateway is what services call ``klarna``. Credentials lie encrypted in the database under a key that lies outside it.
Source: operations 10 (breaker), 15.2 (sender lease), 15.3 (environments); security 50-55.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import platform
import secrets
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import Session
from urllib3.util import parse_url

import clock
import db
from config import Misconfigured, write_once
from errors import BrokenRule
from klarna_client import KlarnaClient
from models import KlarnaAccount

CALLS_AT_ONCE = 2
WEB_ANSWER_SECONDS = 8.0
WORKER_ANSWER_SECONDS = 60.0
FAILURES_TO_OPEN = 5
FAILURE_WINDOW = timedelta(seconds=60)
BREAKER_PAUSE = timedelta(seconds=60)
READ_AGAIN_SECONDS = 3.0
"""How soon «Uppdatera» asks about the same order again."""
CREDENTIALS = "credentials"
FAILURES = "failures"


def seal(key: bytes, secret: str, store_id: str) -> bytes:
    """Encrypt a credential, bound to its store id; the first byte names the key (security 53)."""
    nonce = secrets.token_bytes(12)
    return b"\x01" + nonce + AESGCM(key).encrypt(nonce, secret.encode(), store_id.encode())


def unseal(key: bytes, sealed: bytes, store_id: str) -> str:
    """Decrypt a credential. Raises Misconfigured when the key is not the one it was sealed with."""
    try:
        return AESGCM(key).decrypt(sealed[1:13], sealed[13:], store_id.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise Misconfigured("The credentials in the database were sealed with another key.") from error


def base_url(provider: str, region: str, environment: str, sandbox_url: str | None = None) -> str:
    """The address that follows from an account; only a sandbox account's is typed, and it must be loopback.

    Raises ValueError. Source: reference 1.1 and 3.4, operations 15.3.
    """
    if environment == "sandbox":
        parts = parse_url(sandbox_url or "")
        plain = parts.scheme == "http" and parts.auth is None and parts.query is None and parts.fragment is None
        if not plain or not is_loopback(parts.host or "") or parts.path not in (None, "", "/"):
            raise ValueError("a sandbox address is http on a loopback address, without path or credentials")
        return f"http://{parts.host}:{parts.port or 80}"
    if (
        provider not in ("klarna", "kustom")
        or region not in ("eu", "na", "oc")
        or environment not in ("live", "playground")
    ):
        raise ValueError("no such provider, region or environment")
    middle = "" if region == "eu" else f"-{region}"
    test = ".playground" if environment == "playground" else ""
    return f"https://api{middle}{test}.{'klarna.com' if provider == 'klarna' else 'kustom.co'}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """What is needed to call for one account, read in a session that has since been closed."""

    account_id: int
    store_id: str
    url: str
    username: str
    sealed: bytes
    breaker: str | None
    breaker_until: datetime | None


def access_of(account: KlarnaAccount) -> Access:
    """Plain values of an account, to carry out of the session."""
    return Access(
        account_id=account.id,
        store_id=account.store_id,
        url=base_url(account.provider, account.region, account.environment, account.sandbox_url),
        username=account.username,
        sealed=account.secret,
        breaker=account.breaker,
        breaker_until=account.breaker_until,
    )


def _refuse_inside_transaction() -> None:
    if db.connections_held():
        raise BrokenRule("a call to Klarna waits for no transaction, and no transaction waits for it")


class Gateway:
    """One process's way to Klarna."""

    def __init__(self, credentials_key: bytes, data_dir: Path, database_url: str, *, in_worker: bool = False) -> None:
        self._key = credentials_key
        self.in_worker = in_worker
        self.answer_seconds = WORKER_ANSWER_SECONDS if in_worker else WEB_ANSWER_SECONDS
        self._slots = threading.BoundedSemaphore(CALLS_AT_ONCE)
        self._failures: dict[int, deque[datetime]] = defaultdict(deque)
        self._failures_guard = threading.Lock()
        self._read_at: dict[int, float] = {}
        self._host_mark = _host_mark(data_dir, database_url)
        self.host_name = platform.node() or "host"

    def seal(self, secret: str, store_id: str) -> bytes:
        """Encrypt a credential for storing."""
        return seal(self._key, secret, store_id)

    def can_read(self, access: Access) -> bool:
        """Whether an account's credentials were sealed with this installation's key."""
        try:
            unseal(self._key, access.sealed, access.store_id)
        except Misconfigured:
            return False
        return True

    def push_token(self, store_id: str) -> str:
        """What stands in the address that Klarna pushes to: nobody guesses it, and it follows from the key (security 52)."""
        return hmac.new(self._key, f"push\n{store_id}".encode(), hashlib.sha256).hexdigest()[:32]

    def client(self, access: Access) -> KlarnaClient:
        """A client for one account. Raises Misconfigured where ``can_read`` says no."""
        secret = unseal(self._key, access.sealed, access.store_id)
        return KlarnaClient(access.url, access.username, secret, guard=_refuse_inside_transaction)

    def host_id(self, installation_id: str) -> str:
        """Who this host is for this installation; a copied database finds itself on an unknown one."""
        return hashlib.sha256(f"{installation_id}\n{self._host_mark}".encode()).hexdigest()

    @property
    def sender(self) -> str:
        """Host, process and thread, for the log of attempts."""
        return f"{self.host_name}/{os.getpid()}/{threading.get_native_id()}"

    @contextmanager
    def slot(self) -> Iterator[bool]:
        """Hold one of the two call slots; False when none is free, without waiting (the worker waits its turn)."""
        free = self._slots.acquire(blocking=self.in_worker)
        try:
            yield free
        finally:
            if free:
                self._slots.release()

    def may_read(self, order_id: int) -> bool:
        """Whether a person may have Klarna asked about an order again just now: once in a few seconds, per process."""
        now = clock.monotonic()
        with self._failures_guard:
            self._read_at = {each: at for each, at in self._read_at.items() if now - at < READ_AGAIN_SECONDS}
            if order_id in self._read_at:
                return False
            self._read_at[order_id] = now
            return True

    def note(self, account_id: int, reached: bool) -> bool:
        """Count a call that reached Klarna or did not; True when the breaker is to open (five failures in 60 s)."""
        now = clock.now()
        with self._failures_guard:
            failures = self._failures[account_id]
            if reached:
                failures.clear()
                return False
            failures.append(now)
            while failures and failures[0] < now - FAILURE_WINDOW:
                failures.popleft()
            return len(failures) >= FAILURES_TO_OPEN


def is_open(access: Access, now: datetime) -> bool:
    """Whether the breaker keeps calls back; after its pause one look is let through. A 401 stays until new credentials."""
    if access.breaker == CREDENTIALS:
        return True
    return access.breaker == FAILURES and access.breaker_until is not None and now < access.breaker_until


def open_breaker(session: Session, account_id: int, reason: str) -> None:
    """Keep calls of an account back from now on."""
    account = session.get_one(KlarnaAccount, account_id)
    if account.breaker == CREDENTIALS:
        return
    if account.breaker != reason:
        account.breaker_since = clock.now()
    account.breaker = reason
    account.breaker_until = clock.now() + BREAKER_PAUSE if reason == FAILURES else None


def close_breaker(session: Session, account_id: int) -> None:
    """Let calls through again after one that succeeded."""
    account = session.get_one(KlarnaAccount, account_id)
    if account.breaker == FAILURES:
        account.breaker = account.breaker_until = account.breaker_since = None


def _host_mark(data_dir: Path, database_url: str) -> str:
    """A random file beside the data (left out of backups), the machine's id and the database's address."""
    path = data_dir / "host.id"
    write_once(path, secrets.token_hex(32).encode())
    machine = Path("/etc/machine-id")
    machine_id = machine.read_text().strip() if machine.exists() else platform.node()
    return f"{path.read_text()}\n{machine_id}\n{database_url}"
