"""A small threaded HTTP/1.1 server on loopback that can also cut an answer or drop a connection when asked to."""

import io
import signal
import socket
import struct
import sys
import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from klarna_sandbox.app import create_app
from klarna_sandbox.callbacks import Courier
from klarna_sandbox.settlements import pay_scheduled
from klarna_sandbox.wire import WIRE, Wire
from klarna_sandbox.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

LOOPBACK = "127.0.0.1"
LARGEST_READ = 64_000_000
TICK = 0.25
# Headers sent before the cut "inside the headers": none that names an id.
SAFE_HEADERS = ("Server", "Date", "Cache-Control")


class Handler(BaseHTTPRequestHandler):
    """One connection: requests in, WSGI calls, answers out."""

    protocol_version = "HTTP/1.1"
    server: "Listener"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 120

    def handle_one_request(self) -> None:
        """Read one request, ask the application, send or cut its answer."""
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if length < 0 or length > LARGEST_READ or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self.send_error(411 if self.headers.get("Transfer-Encoding") else 400)
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        wire = Wire(self.connection, self.server.stopping.is_set)
        state: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            state[:] = [status, headers]

        answer = self.server.app(self._environ(body, wire), start_response)
        try:
            content = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        self._send(wire, state[0], state[1], content)

    def _environ(self, body: bytes, wire: Wire) -> "WSGIEnvironment":
        path, _, query = self.path.partition("?")
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "iso-8859-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": LOOPBACK,
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            WIRE: wire,
        }
        for name, value in self.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        return environ

    def _send(self, wire: Wire, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        if wire.cut == "drop" or self.server.stopping.is_set():
            self._hang_up(reset=True)
            return
        if wire.cut == "status":
            self._cut(b"HTTP/1.1 2")
            return
        if self.command == "HEAD":
            content = b""
        lines = [("Server", "openresty"), ("Date", format_datetime(datetime.now(UTC), usegmt=True)), *headers]
        # An empty body cannot be cut: there the headers are.
        if wire.cut == "headers" or (wire.cut == "body" and not content):
            kept = "".join(f"{name}: {value}\r\n" for name, value in lines if name in SAFE_HEADERS)
            self._cut(f"HTTP/1.1 {status}\r\n{kept}Pragma: no".encode("latin-1"))
            return
        if self.close_connection or wire.cut:
            lines.append(("Connection", "close"))
        head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
        if wire.cut == "body":
            self._cut(head.encode("latin-1") + content[: len(content) // 2])
            return
        self.wfile.write(head.encode("latin-1") + content)
        self.wfile.flush()

    def _cut(self, sent: bytes) -> None:
        self.wfile.write(sent)
        self.wfile.flush()
        self._hang_up(reset=False)

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.drop(self.connection)
        else:
            self.connection.shutdown(socket.SHUT_WR)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the sandbox keeps its own log of requests."""


class Listener(ThreadingMixIn, TCPServer):
    """A thread per connection; knows its connections, so that stopping ends them."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, app: "WSGIApplication") -> None:
        self.app = app
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__((LOOPBACK, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop(self, connection: socket.socket) -> None:
        """Close with a reset instead of a goodbye."""
        self._open.discard(connection)
        connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is no news; anything else is printed."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class RunningServer:
    """A sandbox being served. `url` is the API's base, `admin_url` the base of the admin endpoints."""

    def __init__(self, port: int, data: str | Path | None) -> None:
        self.world = World(data)
        self.courier = Courier(self.world)
        self._listener = Listener(port, create_app(self.world, self.courier))
        self.port = int(self._listener.server_address[1])
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.admin_url = f"{self.url}/_sandbox/api"
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._listener.serve_forever, args=(0.05,), name="sandbox-listener", daemon=True),
            threading.Thread(target=self._tick, name="sandbox-courier", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _tick(self) -> None:
        while not self._listener.stopping.wait(TICK):
            with self.world.working():
                pay_scheduled(self.world)
            self.courier.deliver()

    def stop(self) -> None:
        """Answer no more, end the connections, write what is left. May be called twice."""
        if self._stopped:
            return
        self._stopped = True
        self._listener.stopping.set()
        self._listener.shutdown()
        self._listener.end_connections()
        self._listener.server_close()
        for thread in self._threads:
            thread.join(timeout=10)
        self.world.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(port: int = 0, data: str | Path | None = None) -> RunningServer:
    """Serve a sandbox in background threads and return at once; port 0 takes a free one, no data keeps nothing."""
    return RunningServer(port, data)


def serve(port: int, data: str | Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    asked = threading.Event()

    def ask(*_: object) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    with start(port, data) as running:
        print(f"Klarna sandbox: API {running.url}  pages {running.url}/_sandbox/", flush=True)
        asked.wait()
