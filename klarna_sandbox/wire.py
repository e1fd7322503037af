"""How the application asks the server for what HTTP cannot say: cut the answer, drop the connection, wait for the caller.

The server puts a Wire into the WSGI environ under `WIRE`. Without one, under another server, nothing can be cut.
"""

import select
import socket
import time
from collections.abc import Callable

WIRE = "klarna_sandbox.wire"
STEP = 0.02


class Wire:
    """The connection of one request. `cut` is None, or where the answer ends: drop, status, headers, body."""

    def __init__(self, connection: socket.socket | None = None, stopping: Callable[[], bool] = lambda: False) -> None:
        self.cut: str | None = None
        self.stopping = stopping
        self._connection = connection

    def wait(self, seconds: float, ended: Callable[[], bool], until_gone: bool = False) -> None:
        """Wait so long, but no longer than the server runs, `ended` says no, or, if asked, the caller listens."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.stopping() or ended() or (until_gone and self.gone()):
                return
            time.sleep(min(STEP, left))

    def gone(self) -> bool:
        """Whether the caller has hung up."""
        if self._connection is None:
            return False
        try:
            readable, _, _ = select.select([self._connection], [], [], 0)
            return bool(readable) and self._connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True
