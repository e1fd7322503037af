"""Kvitta's three processes on this machine: Klarna's sandbox, the worker and the web server. Started, watched, stopped.

The demo and the browser tests run the same thing. Each process has a log file of its own in the data folder.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0
LAST_LINES = 15
SETTINGS = frozenset(
    {
        "KVITTA_DATA",
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "SECRET_KEY_OLD",
        "TRUSTED_HOSTS",
        "PROXIES",
        "HTTPS",
        "JANITOR_IN_WEB",
        "SETTLEMENT_FOLDER",
    }
)
"""Settings that are never taken over from whoever starts the demo: it must not touch other books by mistake."""
WORDS: tuple[str, ...] = tuple(
    "ugn bäck lykta snö kaffe fönster skepp äpple klocka trappa moln björk tråd nyckel kudde vante borste skugga"  # noqa: SIM905
    " gitarr tunnel lampa spade ratt sadel flöjt kompass ekorre lax mynt pärla tornado väv".split()
)


class CannotStart(RuntimeError):
    """Why Kvitta does not run here, in a sentence or two."""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def require_free(port: int, how: str) -> None:
    """Raises CannotStart when another program listens on the port; ``how`` says how to choose another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} cannot be used ({error.strerror}). Stop the program that has it, or choose another: {how}"
            ) from error


def answers(url: str) -> bool:
    """Whether somebody answers there with anything but a failure."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


@dataclass
class Part:
    """One process: what it is called, how it is started and how one sees that it works."""

    name: str
    command: list[str]
    works: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, environ: dict[str, str]) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches only whoever watches."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def ended(self) -> int | None:
        """Its exit status once it is over."""
        return self.process.poll() if self.process is not None else None

    def last_lines(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it has started."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                self.process.poll()


@dataclass
class Stack:
    """Sandbox, worker and web on the ports given. Raises CannotStart."""

    data_dir: Path
    port: int
    sandbox_port: int
    web_workers: int = 2
    environ: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where Kvitta is."""
        return f"http://{HOST}:{self.port}"

    @property
    def sandbox_url(self) -> str:
        """Where the stand-in for Klarna is."""
        return f"http://{HOST}:{self.sandbox_port}"

    def settings(self) -> dict[str, str]:
        """The environment of every part."""
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        return {
            **inherited,
            "KVITTA_DATA": str(self.data_dir),
            "PYTHONUNBUFFERED": "1",
            "FLASK_APP": "app:create_app",
            **self.environ,
        }

    def start_sandbox(self) -> None:
        """Start the stand-in for Klarna, with what it remembers, and wait until it answers."""
        command = [
            "-m",
            "klarna_sandbox",
            "--port",
            str(self.sandbox_port),
            "--data",
            str(self.data_dir / "sandbox.db"),
        ]
        self._start("sandbox", command, lambda: answers(f"{self.sandbox_url}/_sandbox/api/clock"))
        self.wait()

    def start_kvitta(self) -> None:
        """Start worker and web and wait until both work."""
        began = time.time()
        alive = self.data_dir / "worker.alive"
        self._start("worker", ["-m", "flask", "worker"], lambda: alive.exists() and alive.stat().st_mtime >= began - 1)
        web = [
            "-m",
            "granian",
            "--interface",
            "wsgi",
            "--factory",
            "app:create_app",
            "--host",
            HOST,
            "--port",
            str(self.port),
        ]
        shape = ["--workers", str(self.web_workers), "--blocking-threads", "4", "--workers-kill-timeout", "10"]
        shape += ["--respawn-failed-workers", "--respawn-interval", "1"]
        self._start("web", [*web, *shape, "--no-ws"], lambda: answers(f"{self.url}/login"))
        self.wait()

    def _start(self, name: str, arguments: list[str], works: Callable[[], bool]) -> None:
        logs = self.data_dir / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        part = Part(name, [sys.executable, *arguments], works, logs / f"{name}.log")
        part.start(self.settings())
        self.parts.append(part)

    def wait(self) -> None:
        """Wait until every part works."""
        deadline = time.monotonic() + START_SECONDS
        for part in self.parts:
            while not part.works():
                if part.ended is not None:
                    raise CannotStart(self._died(part))
                if time.monotonic() > deadline:
                    raise CannotStart(
                        f"The {part.name} does not answer. Its last lines, from {part.log}:\n{part.last_lines()}"
                    )
                time.sleep(0.05)

    def require_alive(self) -> None:
        """Raises CannotStart when a part has ended by itself."""
        for part in self.parts:
            if part.ended is not None:
                raise CannotStart(self._died(part))

    @staticmethod
    def _died(part: Part) -> str:
        how = (
            f"by signal {-part.ended}"
            if part.ended is not None and part.ended < 0
            else f"with exit status {part.ended}"
        )
        return f"The {part.name} has stopped {how}. Its last lines, from {part.log}:\n{part.last_lines()}"

    def stop(self) -> None:
        """Stop everything, the web first and the sandbox last; what does not stop in time is killed."""
        for part in reversed(self.parts):
            part.signal(signal.SIGTERM)
            if part.process is not None:
                try:
                    part.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    part.signal(signal.SIGKILL)
                    part.process.wait()
                part.signal(signal.SIGKILL)
        self.parts.clear()


def passphrase() -> str:
    """A password one can type: four words from a short list and three digits (about 30 bits; the demo is on loopback)."""
    return " ".join([*(secrets.choice(WORDS) for _ in range(4)), f"{secrets.randbelow(1000):03d}"])
