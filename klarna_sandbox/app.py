"""The application: who calls, what is asked, which fault waits, which key repeats; then the operation, then the answer.

Checks run in the order 401, 429, 413, repeated key; the operation goes on from there.
"""

import base64
import binascii
import json
import re
import time
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from klarna_sandbox import order_operations, settlement_operations
from klarna_sandbox.callbacks import Courier
from klarna_sandbox.calls import OPERATIONS, Answer, Call, route
from klarna_sandbox.clock import stamp
from klarna_sandbox.faults import Fault
from klarna_sandbox.portal import create_pages
from klarna_sandbox.records import Logged, Remembered
from klarna_sandbox.refusals import Refused
from klarna_sandbox.wire import WIRE, Wire
from klarna_sandbox.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST_BODY = 1_000_000
LOGGED_BODY = 20_000
ID_HEADERS = ("location", "capture-id", "refund-id")
EDGE_HEADERS = [
    ("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Expires", "0"),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
]


def operation_named(name: str) -> Any:
    """The function behind an operation."""
    return getattr(order_operations, name, None) or getattr(settlement_operations, name)


HANDLERS = {name: operation_named(name) for name in OPERATIONS}


def refusal(refused: Refused, correlation_id: str) -> Answer:
    """The error envelope."""
    envelope = {"error_code": refused.code, "error_messages": refused.messages, "correlation_id": correlation_id}
    return Answer(refused.status, json.dumps(envelope).encode(), error_code=refused.code)


def edge_page(status: int) -> Answer:
    """The HTML page that a gateway in front of the API sends; it knows no correlation id."""
    title = f"{status} {HTTPStatus(status).phrase}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page.encode(), "text/html", plain=True)


def unauthorized(as_json: bool) -> Answer:
    """401, as a page from the gateway or as the other JSON form seen in the field."""
    if as_json:
        body = {"error_code": "PERMISSION_DENIED", "error_message": "Authentication failed or permission not granted"}
        return Answer(401, json.dumps(body).encode(), error_code="PERMISSION_DENIED", plain=True)
    answer = edge_page(401)
    answer.headers.append(("WWW-Authenticate", 'Basic realm="Restricted"'))
    return answer


class Dropped(Exception):
    """The connection ends without an answer."""


class Api:
    """Order Management and Settlements over WSGI."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        call = self._call(environ)
        wire: Wire = environ.get(WIRE) or Wire()
        correlation_id = str(uuid.uuid4())
        entry = self._log_entry(call)
        try:
            answer = self._through_faults(call, wire, entry, correlation_id)
        except Dropped:
            wire.cut = "drop"
            answer = Answer(500)
        else:
            entry.status, entry.error_code = answer.status, answer.error_code
            if wire.cut == "drop":
                entry.status = None
        if answer.error_code and not answer.plain:
            correlation_id = json.loads(answer.body)["correlation_id"]
        entry.correlation_id = correlation_id
        # Goes to disk with the next change, or with the server's next tick.
        with self.world.lock:
            self.world.write_log(entry)
        headers = [("Content-Length", str(len(answer.body)))] if answer.status != 204 else []
        if answer.body:
            headers.append(("Content-Type", answer.content_type))
        headers += EDGE_HEADERS
        if not answer.plain:
            headers.append(("Klarna-Correlation-Id", answer.header("Klarna-Correlation-Id") or correlation_id))
        headers += [pair for pair in answer.headers if pair[0] != "Klarna-Correlation-Id"]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [answer.body]

    def _call(self, environ: "WSGIEnvironment") -> Call:
        headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
        path = re.sub("//+", "/", environ.get("PATH_INFO", "/"))
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        root = f"{environ['wsgi.url_scheme']}://{headers.get('host') or environ['SERVER_NAME']}"
        call = Call(self.world, environ["REQUEST_METHOD"], path, query, headers, raw, root)
        route(call)
        return call

    def _log_entry(self, call: Call) -> Logged:
        body: Any = None
        if call.raw:
            try:
                body = json.loads(call.raw[:LOGGED_BODY])
            except (ValueError, RecursionError):
                body = call.raw[:LOGGED_BODY].decode("utf-8", "replace")
        with self.world.lock:
            return Logged(
                number=self.world.count("log"),
                at=stamp(self.world.clock.now()),
                method=call.method,
                path=call.path,
                query="&".join(f"{name}={value}" for name, value in call.query.items()),
                operation=call.operation,
                mid=self._who(call),
                order_id=call.order_id,
                idempotency_key=call.headers.get("klarna-idempotency-key"),
                user_agent=call.headers.get("user-agent", ""),
                body=body,
            )

    # Faults

    def _through_faults(self, call: Call, wire: Wire, entry: Logged, correlation_id: str) -> Answer:
        with self.world.working():
            fault, book = None, self.world.faults
            if call.operation and book.waiting:
                fault = book.take(call.operation, call.changing, call.order_id, entry.mid)
                self.world.save_faults()
        if fault is None:
            return self._finished(self._checked(call, correlation_id, None, wire), entry)
        entry.fault = fault.kind
        kind = fault.behaviour
        call.lagging = fault.kind == "lag"
        if kind.wait == "instead":
            self._wait(wire, fault, until_gone=True)
            raise Dropped
        answer = self._injected(fault, correlation_id)
        if fault.carried_out:
            real = self._checked(call, correlation_id, fault, wire)
            self._finished(real, entry)
            answer = answer or real
        elif answer is not None:
            if kind.wait == "before":
                self._wait(wire, fault)
            self._remember_injected(call, answer)
        if answer is None:
            raise Dropped
        if fault.kind == "no_id":
            answer.headers = [pair for pair in answer.headers if pair[0].lower() not in ID_HEADERS]
        wire.cut = kind.cut
        return answer

    def _injected(self, fault: Fault, correlation_id: str) -> Answer | None:
        """The answer a fault puts in place of the real one, if it does."""
        kind, status = fault.behaviour, fault.status or fault.behaviour.status
        if status is None:
            return None
        if fault.kind == "unauthorized":
            return unauthorized(self.world.switches["auth_401_body"] == "json")
        if fault.kind == "redirect":
            return Answer(status, headers=[("Location", fault.location)], plain=True)
        if kind.html:
            return edge_page(status)
        messages = fault.messages if fault.messages is not None else list(kind.messages)
        code = fault.error_code or kind.error_code or HTTPStatus(status).name
        answer = refusal(Refused(status, code, *messages), correlation_id)
        if fault.retry_after is not None:
            answer.headers.append(("Retry-After", str(fault.retry_after)))
        return answer

    def _remember_injected(self, call: Call, answer: Answer) -> None:
        """A refusal asked for counts as one of the API's own: its key gives it again."""
        with self.world.working():
            mid = self._who(call)
            if mid and call.key and not answer.plain and (mid, call.key) not in self.world.keys:
                self._remember(call, mid, answer)

    def _wait(self, wire: Wire, fault: Fault, until_gone: bool = False) -> None:
        generation, releases = self.world.generation, self.world.hang_releases
        wire.wait(
            fault.seconds,
            lambda: self.world.generation != generation or self.world.hang_releases != releases,
            until_gone,
        )
        if wire.stopping() or self.world.generation != generation:
            raise Dropped

    def _finished(self, answer: Answer, entry: Logged) -> Answer:
        entry.changed = answer.changed
        entry.replayed = answer.replayed
        return answer

    # From credentials to the operation

    def _who(self, call: Call) -> str | None:
        """The merchant id behind the credentials: user and password, a key as password, or a bare key."""
        scheme, _, value = call.headers.get("authorization", "").partition(" ")
        value = value.strip()
        if scheme.lower() != "basic" or not value:
            return None
        if value in self.world.api_keys:
            return self.world.api_keys[value]
        try:
            username, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return self.world.passwords.get((username, password)) or self.world.api_keys.get(password or username)

    def _checked(self, call: Call, correlation_id: str, fault: Fault | None, wire: Wire) -> Answer:
        """Everything an unhindered call goes through."""
        with self.world.lock:
            mid = self._who(call)
            if mid is None:
                return unauthorized(self.world.switches["auth_401_body"] == "json")
            call.merchant = self.world.merchants[mid]
            limited = self._limited(mid)
        try:
            self._admit(call, limited)
            if call.key is not None:
                answer = self._keyed(call, call.key, correlation_id, fault, wire)
            else:
                answer = self._around(call, correlation_id, fault, wire)
        except Refused as refused:
            answer = refusal(refused, correlation_id)
        if self.world.switches.on("rate_limit_headers") and limited:
            limit, left = limited
            answer.headers.append(("X-Ratelimit-Limit", f'{limit};w=1;name="merchant"'))
            answer.headers.append(("X-Ratelimit-Remaining", str(max(left - 1, 0))))
            if not left:
                answer.headers.append(("Retry-After", "1"))
        return answer

    @staticmethod
    def _admit(call: Call, limited: tuple[int, int] | None) -> None:
        """What is turned away before its key or its body is looked at. Raises Refused."""
        if limited and not limited[1]:
            raise Refused(429, "TOO_MANY_REQUESTS", "Too many requests")
        if len(call.raw) > LARGEST_BODY:
            raise Refused(413, "REQUEST_TOO_LARGE", "Request is too large")
        if not call.operation:
            if call.allowed:
                raise Refused(405, "METHOD_NOT_ALLOWED", f"{call.method} is not allowed here")
            raise Refused(404, "NOT_FOUND", "There is no such resource")

    def _limited(self, mid: str) -> tuple[int, int] | None:
        """The limit and how many calls were left before this one in the running second; None without a limit."""
        limit = self.world.switches.number("rate_limit")
        if not limit:
            return None
        second = int(time.monotonic())
        window, used = self.world.windows.get(mid, (second, 0))
        used = used if window == second else 0
        self.world.windows[mid] = (second, used + 1)
        return limit, max(limit - used, 0)

    def _keyed(self, call: Call, key: str, correlation_id: str, fault: Fault | None, wire: Wire) -> Answer:
        """A call with an idempotency key: the recorded answer, or the real one, then recorded."""
        world, mid = self.world, call.owner.mid
        with world.working():
            while (mid, key) in world.in_flight:
                if world.switches["idem_in_flight"] == "409":
                    raise Refused(409, "CONFLICT")
                world.idle.wait()
            if fault is not None and fault.kind == "forget_key":
                world.forget(mid, key)
            record = world.keys.get((mid, key))
            if record is not None and world.key_is_fresh(record):
                return self._replay(call, record)
            try:
                uuid.UUID(key)
            except ValueError:
                world.warn(f"Idempotency key {key[:60]} is not a UUID.", mid, call.order_id)
            flights = world.in_flight
            flights.add((mid, key))
        try:
            return self._around(call, correlation_id, fault, wire)
        finally:
            with world.lock:
                flights.discard((mid, key))
                world.idle.notify_all()

    def _replay(self, call: Call, record: Remembered) -> Answer:
        if (record.method, record.path) != (call.method, call.path) or record.body != call.raw.decode(
            "utf-8", "replace"
        ):
            self.world.warn(
                f"Idempotency key {record.key} came again with another path or body ({call.method} {call.path}); "
                "the first answer was given and nothing was done.",
                record.mid,
                call.order_id,
            )
        headers = [(name, value) for name, value in record.headers]
        code = json.loads(record.answer)["error_code"] if record.status >= 400 and record.answer else None
        return Answer(record.status, record.answer.encode(), headers=headers, error_code=code, replayed=True)

    def _around(self, call: Call, correlation_id: str, fault: Fault | None, wire: Wire) -> Answer:
        """The operation, with the waiting a fault asks for before or after it."""
        wait = fault.behaviour.wait if fault is not None else None
        if fault is not None and wait == "before":
            self._wait(wire, fault)
        with self.world.working():
            try:
                answer: Answer = HANDLERS[call.operation](call)
            except Refused as refused:
                answer = refusal(refused, correlation_id)
            if answer.status == 201 and self.world.switches.on("transaction_id_header"):
                answer.headers.append(("Transaction-Id", str(uuid.uuid4())))
            if call.key is not None:
                answer.headers.append(("Klarna-Correlation-Id", correlation_id))
                self._remember(call, call.owner.mid, answer)
        if fault is not None and wait == "after":
            self._wait(wire, fault, until_gone=True)
        return answer

    def _remember(self, call: Call, mid: str, answer: Answer) -> None:
        keep = {"2xx": range(200, 300), "2xx_403": (*range(200, 300), 403), "all": range(200, 600)}
        if answer.status in keep[self.world.switches["idem_remember"]]:
            self.world.remember(
                Remembered(
                    mid, call.key or "", call.method, call.path, call.raw.decode("utf-8", "replace"),
                    stamp(self.world.clock.now()), answer.status, [[name, value] for name, value in answer.headers],
                    answer.body.decode(),
                )
            )  # fmt: skip


def create_app(world: World, courier: Courier) -> "WSGIApplication":
    """The whole sandbox: the API, and everything else under /_sandbox/."""
    api, pages = Api(world), create_pages(world, courier)

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path in ("/", "/_sandbox") or path.startswith("/_sandbox/"):
            return pages(environ, start_response)
        return api(environ, start_response)

    return app
