"""The thin client on a real socket: what left, what came back, and when it gives up (operations 6, 7; catalogue row 68)."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from klarna_client import KlarnaClient, KlarnaError, KlarnaNotSent, KlarnaRefused, KlarnaUnclear, canonical

Answering = Callable[[socket.socket, bytes], None]


class Peer:
    """A server on loopback that answers every connection with a script and keeps what it was sent."""

    def __init__(self, answer: Answering) -> None:
        self.received: list[bytes] = []
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                request = b""
                connection.settimeout(2)
                try:
                    while b"\r\n\r\n" not in request:
                        part = connection.recv(65_536)
                        if not part:
                            break
                        request += part
                    length = 0
                    for line in request.split(b"\r\n\r\n")[0].split(b"\r\n"):
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    while len(request.split(b"\r\n\r\n", 1)[-1]) < length:
                        request += connection.recv(65_536)
                    self.received.append(request)
                    self._answer(connection, request)
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def peer() -> Iterator[Callable[[Answering], Peer]]:
    made: list[Peer] = []

    def make(answer: Answering) -> Peer:
        made.append(Peer(answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


def said(status: str, body: bytes = b"", **headers: str) -> Answering:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        *[f"{k.replace('_', '-')}: {v}" for k, v in headers.items()],
    ]
    whole = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
    return lambda connection, _: connection.sendall(whole)


def capture(url: str, seconds: float = 2.0, **hooks: Any) -> Any:
    client = KlarnaClient(url, "K1_user", "secret")
    method, path, body = client.capture_order("an-id", {"captured_amount": 100, "reference": "1"})
    return client.call(method, path, wire=client.wire(seconds, **hooks), body=body, key="a-key")


def test_exactly_the_frozen_bytes_leave_with_their_key(peer: Any) -> None:
    """Operations 6: Klarna-Idempotency-Key on every write, Basic credentials, nothing built anew."""
    there = peer(said("201 Created", Capture_Id="c-1", Klarna_Correlation_Id="x"))
    answer = capture(there.url)
    head, body = there.received[0].split(b"\r\n\r\n", 1)
    assert body == canonical({"captured_amount": 100, "reference": "1"}) == b'{"captured_amount":100,"reference":"1"}'
    assert b"Klarna-Idempotency-Key: a-key" in head and b"Authorization: Basic SzFfdXNlcjpzZWNyZXQ=" in head
    assert (answer.status, answer.object_id, answer.correlation_id) == (201, "c-1", "x")


def test_a_single_api_key_goes_as_it_is(peer: Any) -> None:
    """Reference 1.2: the newer form of credentials."""
    there = peer(said("200 OK", b"{}"))
    KlarnaClient(there.url, "", "klarna_test_api_abc").get_order("x", seconds=2)
    assert b"Authorization: Basic klarna_test_api_abc" in there.received[0]


def test_a_refusal_is_klarnas_only_with_its_envelope(peer: Any) -> None:
    body = json.dumps({"error_code": "CAPTURE_NOT_ALLOWED", "error_messages": ["no"], "correlation_id": "c"}).encode()
    with pytest.raises(KlarnaRefused) as refused:
        capture(peer(said("403 Forbidden", body)).url)
    assert refused.value.answer is not None
    assert refused.value.answer.error_messages == ("no",) and refused.value.answer.correlation_id == "c"
    for status, text in (
        ("403 Forbidden", b"<html>shield</html>"),
        ("502 Bad Gateway", b"<html>"),
        ("403 Forbidden", b""),
    ):
        with pytest.raises(KlarnaUnclear) as unclear:
            capture(peer(said(status, text)).url)
        assert unclear.value.answer is not None


@pytest.mark.parametrize(
    "body",
    [b'{"order_id": 1, "order_id": 2}', b"[1]", b"{", b"[" * 100_000, b'{"n": ' + b"9" * 5_000 + b"}", b"null", b""],
    ids=["a key twice", "a list", "cut", "deep", "huge number", "null", "empty"],
)
def test_a_read_that_is_not_an_object_is_unclear(peer: Any, body: bytes) -> None:
    """Catalogue row 68: never an exception of another kind."""
    with pytest.raises(KlarnaUnclear):
        KlarnaClient(peer(said("200 OK", body)).url, "u", "s").get_order("x", seconds=2)


def test_nothing_listening_is_surely_not_sent() -> None:
    """Fault row 9."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(KlarnaNotSent):
        capture(url)


def test_a_stale_permission_stops_before_the_first_byte(peer: Any) -> None:
    """Operations 6, fault row 53: connected, but nothing leaves."""
    there = peer(said("201 Created"))
    told: list[int] = []
    with pytest.raises(KlarnaNotSent):
        capture(there.url, permitted=lambda: False, on_first_byte=lambda: told.append(1))
    time.sleep(0.05)
    assert not told and there.received in ([], [b""])


def test_the_first_byte_is_told_once_and_before_the_answer(peer: Any) -> None:
    told: list[int] = []
    capture(peer(said("201 Created")).url, on_first_byte=lambda: told.append(1))
    assert told == [1]


def _reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize(
    "answer",
    [
        lambda c, _: None,
        _reset,
        lambda c, _: c.sendall(b"HTTP/1."),
        lambda c, _: c.sendall(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\n{"error_code": "CAPT'),
        lambda c, _: c.sendall(b"nonsense\r\n\r\n"),
    ],
    ids=["closed", "reset", "half a status line", "half a body", "no http"],
)
def test_whatever_breaks_after_the_first_byte_is_unclear(peer: Any, answer: Answering) -> None:
    """Fault rows 11, 12: reset, close, cut."""
    with pytest.raises(KlarnaUnclear):
        capture(peer(answer).url)


def test_a_dripping_answer_ends_at_the_deadline(peer: Any) -> None:
    """Operations 6: a timeout per chunk would let it run for ever; the whole answer has a limit."""

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nX: ")
        for _ in range(40):
            connection.sendall(b"a")
            time.sleep(0.1)

    began = time.monotonic()
    with pytest.raises(KlarnaUnclear):
        capture(peer(drip).url, seconds=0.5)
    assert time.monotonic() - began < 2.5


def test_too_long_an_answer_is_not_read(peer: Any) -> None:
    """At most 1 MB decoded: plain, and as a small body that unpacks to much."""
    with pytest.raises(KlarnaUnclear):
        capture(peer(said("201 Created", b"x" * 1_100_000)).url)
    bomb = gzip.compress(b"0" * 30_000_000)
    with pytest.raises(KlarnaUnclear):
        capture(peer(said("201 Created", bomb, Content_Encoding="gzip")).url)


def test_a_redirect_is_not_followed_and_credentials_stay_here(peer: Any) -> None:
    """Fault row 20."""
    other = peer(said("201 Created"))
    there = peer(said("307 Temporary Redirect", Location=other.url))
    with pytest.raises(KlarnaError) as error:
        capture(there.url)
    assert error.value.answer is not None and error.value.answer.status == 307 and not other.received


def test_the_environment_changes_nothing(peer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Operations 6: no proxy and no .netrc; a .netrc entry would replace the credentials."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    there = peer(said("201 Created"))
    capture(there.url)
    assert b"Authorization: Basic SzFfdXNlcjpzZWNyZXQ=" in there.received[0]


def test_a_live_address_that_resolves_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch, peer: Any) -> None:
    """Security 50: checked when the socket connects, after resolving."""
    there = peer(said("201 Created"))
    client = KlarnaClient(there.url, "u", "s")
    client._loopback = False
    with pytest.raises(KlarnaNotSent, match="not allowed"):
        client.call("POST", "/x", wire=client.wire(2), body=b"{}", key="k")


def test_no_secret_is_in_what_it_prints() -> None:
    """Security 53."""
    assert "secret" not in repr(KlarnaClient("https://api.klarna.com", "user", "secret"))
