"""Klarna's HTTP: one method per call used, three ways to fail; nothing else.

    KlarnaError
    ├── KlarnaNotSent    surely never left this machine
    ├── KlarnaRefused    Klarna answered no, in its own envelope: error_code, error_messages, correlation_id
    └── KlarnaUnclear    anything else: no answer, half an answer, or an answer that is not Klarna's

Dicts in, dicts out, integers as Klarna counts (minor units). Source: reference 1 and 2; operations 6 and 7.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import platform
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MOST_BYTES = 1_000_000
"""Longest answer read, decoded."""
CONNECT_SECONDS = 2.0
REPORT_SECONDS = 30.0
ORDERS = "/ordermanagement/v1/orders"
SETTLEMENTS = "/settlements/v1"
USER_AGENT = (
    f"Application/Kvitta_1.0 Library/requests_{requests.__version__} Language/Python_{platform.python_version()}"
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, complete. ``object_id`` is Capture-Id or Refund-Id; ``retry_after`` seconds."""

    status: int
    text: str
    object_id: str | None = None
    error_code: str | None = None
    error_messages: tuple[str, ...] = ()
    correlation_id: str | None = None
    retry_after: int | None = None
    duration_ms: int = 0


class KlarnaError(Exception):
    """A call did not do what was asked; see the tree above."""

    def __init__(self, cause: str, answer: Answer | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.answer = answer


class KlarnaNotSent(KlarnaError):
    """No byte of the request left."""


class KlarnaRefused(KlarnaError):
    """Klarna's own no; ``answer`` is always there."""


class KlarnaUnclear(KlarnaError):
    """Nobody can tell from this what happened."""


@dataclass(slots=True)
class Wire:
    """One call's life on the wire: who may still send, when the first byte left, when to hang up.

    ``permitted`` is asked right before the first byte, after connecting and TLS; ``on_first_byte`` is told of it.
    """

    loopback: bool
    seconds: float
    permitted: Callable[[], bool] = lambda: True
    on_first_byte: Callable[[], None] = lambda: None
    sent: bool = False
    connection: HTTPConnection | None = None
    ends: float = field(default_factory=time.monotonic)

    def check_peer(self, connected: socket.socket) -> None:
        """Refuse a private address behind a public name, and anything but loopback for a sandbox (security 50)."""
        address = ipaddress.ip_address(connected.getpeername()[0])
        if address.is_loopback if self.loopback else address.is_global:
            return
        connected.close()
        raise OSError(f"the address {address} is not allowed for this account")

    def before_byte(self) -> None:
        """Let the first byte pass while the permission is fresh, and note that it left."""
        if self.sent:
            return
        if not self.permitted():
            raise _StalePermission("the permission to send is too old")
        self.sent = True
        self.on_first_byte()

    def hang_up(self) -> None:
        """End a call that is past its time, whatever it drips."""
        connected = self.connection.sock if self.connection is not None else None
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


class _StalePermission(OSError):
    pass


def _reporting(kind: Any, pool: Any, wire: Wire) -> Any:
    """A pool whose connections report to this wire; made per call, so that no connection is ever used twice."""

    class Connection(kind):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            connected: socket.socket = super()._new_conn()
            wire.check_peer(connected)
            wire.connection = self
            return connected

        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            wire.before_byte()
            super().send(data)

    return type("ReportingPool", (pool,), {"ConnectionCls": Connection})


class _Adapter(HTTPAdapter):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(max_retries=0, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _reporting(HTTPConnection, HTTPConnectionPool, self._wire),
            "https": _reporting(HTTPSConnection, HTTPSConnectionPool, self._wire),
        }


def _no_twins(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _parsed(text: str) -> Any:
    """JSON, or None for what is not: HTML, half a document, a key twice, numbers beyond reason.

    Characters that no database keeps (NUL, half a surrogate pair) become U+FFFD: an answer is never lost for its letters.
    """
    try:
        found = json.loads(text, object_pairs_hook=_no_twins)
        return _storable(found) if "\\u" in text else found
    except (ValueError, RecursionError):
        return None


def _storable(found: Any) -> Any:
    if isinstance(found, str):
        return found.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(found, dict):
        return {_storable(name): _storable(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_storable(each) for each in found]
    return found


class KlarnaClient:
    """The calls of one account. ``guard`` is called before every call and raises inside a database transaction."""

    def __init__(self, url: str, username: str, secret: str, guard: Callable[[], None] = lambda: None) -> None:
        self.url = url
        self._guard = guard
        token = base64.b64encode(f"{username}:{secret}".encode()).decode() if username else secret
        self._authorization = f"Basic {token}"
        self._loopback = url.startswith("http://")

    def __repr__(self) -> str:
        return f"KlarnaClient({self.url})"

    def wire(self, seconds: float, **hooks: Any) -> Wire:
        """A wire for one call of at most ``seconds`` in all."""
        return Wire(loopback=self._loopback, seconds=seconds, **hooks)

    def call(
        self,
        method: str,
        path: str,
        *,
        wire: Wire,
        body: bytes | None = None,
        key: str | None = None,
        accept: str = "application/json",
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """Send exactly these bytes once. Raises KlarnaNotSent, KlarnaRefused or KlarnaUnclear for all but 2xx."""
        self._guard()
        headers = {"Authorization": self._authorization, "Accept": accept, "User-Agent": USER_AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if key is not None:
            headers["Klarna-Idempotency-Key"] = key
        began = time.monotonic()
        wire.ends = began + wire.seconds
        watchdog = threading.Timer(wire.seconds, wire.hang_up)
        watchdog.daemon = True
        session = requests.Session()
        session.trust_env = False
        session.mount(self.url, _Adapter(wire))
        try:
            watchdog.start()
            response = session.request(
                method,
                self.url + path,
                data=body,
                headers=headers,
                timeout=(min(CONNECT_SECONDS, wire.seconds), wire.seconds),
                allow_redirects=False,
                stream=True,
            )
            text = self._read(response, wire, most_bytes)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            cause = f"{type(error).__name__}: {error}"[:500]
            if wire.sent:
                raise KlarnaUnclear(cause) from error
            raise KlarnaNotSent(cause) from error
        finally:
            watchdog.cancel()
            session.close()
        answer = self._answer(response, text, int((time.monotonic() - began) * 1000))
        if 200 <= answer.status < 300:
            return answer
        if answer.error_code is not None:
            raise KlarnaRefused(f"{answer.status} {answer.error_code}", answer)
        raise KlarnaUnclear(f"answered {answer.status} without Klarna's envelope", answer)

    @staticmethod
    def _read(response: requests.Response, wire: Wire, most_bytes: int) -> str:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(65_536):
            size += len(part)
            if size > most_bytes:
                raise OSError("the answer is too long")
            if time.monotonic() > wire.ends:
                raise OSError("the answer took too long")
            parts.append(part)
        return b"".join(parts).decode("utf-8", "replace").replace("\0", "\ufffd")

    @staticmethod
    def _answer(response: requests.Response, text: str, duration_ms: int) -> Answer:
        found = _parsed(text) if text else None
        envelope: Mapping[str, Any] = found if isinstance(found, dict) and response.status_code >= 400 else {}
        code = envelope.get("error_code")
        messages = envelope.get("error_messages", envelope.get("error_message"))
        if isinstance(messages, str):
            messages = [messages]
        wait = response.headers.get("Retry-After", "")
        return Answer(
            status=response.status_code,
            text=text,
            object_id=response.headers.get("Capture-Id") or response.headers.get("Refund-Id"),
            error_code=code if isinstance(code, str) and code else None,
            error_messages=tuple(m for m in messages if isinstance(m, str)) if isinstance(messages, list) else (),
            correlation_id=response.headers.get("Klarna-Correlation-Id") or _text(envelope.get("correlation_id")),
            retry_after=int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else None,
            duration_ms=duration_ms,
        )

    def _get(self, path: str, seconds: float, **query: str | int) -> Json:
        answer = self.call("GET", f"{path}?{urlencode(query)}" if query else path, wire=self.wire(seconds))
        found = _parsed(answer.text)
        if not isinstance(found, dict):
            raise KlarnaUnclear("the answer is not a JSON object", answer)
        return found

    def get_order(self, order_id: str, *, seconds: float) -> Json:
        """The order with its captures and refunds (reference 2.2)."""
        return self._get(f"{ORDERS}/{order_id}", seconds)

    def list_payouts(
        self, *, start_date: str, end_date: str, size: int = 500, offset: int = 0, seconds: float = REPORT_SECONDS
    ) -> Json:
        """One page of payouts by payout date (reference 4.1)."""
        path = f"{SETTLEMENTS}/payouts"
        return self._get(path, seconds, start_date=start_date, end_date=end_date, size=size, offset=offset)

    def get_payout(self, payment_reference: str) -> Json:
        """One payout with its totals."""
        return self._get(f"{SETTLEMENTS}/payouts/{quote(payment_reference, safe='')}", REPORT_SECONDS)

    def list_transactions(
        self, *, payment_reference: str, size: int = 500, offset: int = 0, seconds: float = REPORT_SECONDS
    ) -> Json:
        """One page of a payout's transactions."""
        path = f"{SETTLEMENTS}/transactions"
        return self._get(path, seconds, payment_reference=payment_reference, size=size, offset=offset)

    @staticmethod
    def capture_order(order_id: str, capture: Json) -> tuple[str, str, bytes]:
        """POST captures: captured_amount, reference, order_lines, shipping_info (reference 2.4)."""
        return "POST", f"{ORDERS}/{order_id}/captures", canonical(capture)

    @staticmethod
    def refund_order(order_id: str, refund: Json) -> tuple[str, str, bytes]:
        """POST refunds: refunded_amount, reference, order_lines (reference 2.6)."""
        return "POST", f"{ORDERS}/{order_id}/refunds", canonical(refund)

    @staticmethod
    def cancel_order(order_id: str) -> tuple[str, str, bytes]:
        """POST cancel, without a body; only before any capture (reference 2.8)."""
        return "POST", f"{ORDERS}/{order_id}/cancel", b""

    @staticmethod
    def release_remaining(order_id: str) -> tuple[str, str, bytes]:
        """POST release-remaining-authorization, without a body; only after a capture (reference 2.8)."""
        return "POST", f"{ORDERS}/{order_id}/release-remaining-authorization", b""

    @staticmethod
    def extend_authorization(order_id: str) -> tuple[str, str, bytes]:
        """POST extend-authorization-time, without a body (reference 2.8)."""
        return "POST", f"{ORDERS}/{order_id}/extend-authorization-time", b""

    @staticmethod
    def update_authorization(order_id: str, changes: Json) -> tuple[str, str, bytes]:
        """PATCH authorization: order_amount and all order_lines, since those left out are deleted (reference 2.7)."""
        return "PATCH", f"{ORDERS}/{order_id}/authorization", canonical(changes)

    @staticmethod
    def add_shipping(order_id: str, capture_id: str | None, infos: list[Json]) -> tuple[str, str, bytes]:
        """POST shipping-info, appended to a capture or, without one, to the order (reference 2.5)."""
        place = f"{ORDERS}/{order_id}" if capture_id is None else f"{ORDERS}/{order_id}/captures/{capture_id}"
        return "POST", f"{place}/shipping-info", canonical({"shipping_info": infos})

    @staticmethod
    def send_letter(order_id: str, capture_id: str) -> tuple[str, str, bytes]:
        """POST trigger-send-out, without a body: Klarna sends the customer's letter again (reference 2.5)."""
        return "POST", f"{ORDERS}/{order_id}/captures/{capture_id}/trigger-send-out", b""

    @staticmethod
    def extend_due_date(order_id: str, capture_id: str, days: int) -> tuple[str, str, bytes]:
        """PATCH extend-due-date by one of the options' numbers of days (reference 2.5)."""
        path = f"{ORDERS}/{order_id}/captures/{capture_id}/extend-due-date"
        return "PATCH", path, canonical({"number_of_days": days})

    @staticmethod
    def acknowledge_order(order_id: str) -> tuple[str, str, bytes]:
        """POST acknowledge, without a body: the pushes stop; harmless when repeated (reference 2.8)."""
        return "POST", f"{ORDERS}/{order_id}/acknowledge", b""

    @staticmethod
    def update_references(order_id: str, references: Json) -> tuple[str, str, bytes]:
        """PATCH merchant-references: what is left out stays, ``""`` clears (reference 2.8)."""
        return "PATCH", f"{ORDERS}/{order_id}/merchant-references", canonical(references)

    @staticmethod
    def update_delivery_address(order_id: str, address: Json) -> tuple[str, str, bytes]:
        """PATCH customer-details: the shipping address alone, the billing address is frozen (reference 2.8)."""
        return "PATCH", f"{ORDERS}/{order_id}/customer-details", canonical({"shipping_address": address})

    def due_date_options(self, order_id: str, capture_id: str, *, seconds: float) -> Json:
        """How far a capture's due date can be moved, with the fee for the merchant (reference 2.5)."""
        return self._get(f"{ORDERS}/{order_id}/captures/{capture_id}/extend-due-date-options", seconds)


def canonical(content: Json) -> bytes:
    """The one way a request is written down: sorted keys, no spaces, UTF-8. Frozen with its key."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _text(found: Any) -> str | None:
    return found if isinstance(found, str) and found else None
