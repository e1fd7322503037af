"""Fixtures of the fault matrix: Kvitta in a process of its own, on the test's database, that dies where the test says.

def test_003_…(start_app, sandbox, klarna):
    app = start_app("T2.after_commit")
    person = app.person("clerk")             # a WebClient over HTTP
    with pytest.raises(CutOff):
        person.submit(…)
    app.died()
    janitor.run(klarna)                      # the test's own process is the one that is started afterwards

Where no pages are needed, a life is cheaper: ``live("invoice", order_id=…, nonce=…, shown=…, point="T2.after_commit")``
does one act in a process of a warm nursery (nursery.py), and ``moved`` moves the clock of all processes of the test.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

import clock
from app import ROOMS
from config import Config
from demo.stack import SETTINGS, answers, free_port
from tests.faults import dying_app
from tests.faults.moved_clock import MovedClock
from tests.faults.nursery import CLOCK_FILE
from tests.web_client import WebClient

ROOT = Path(__file__).resolve().parents[2]

CutOff = requests.ConnectionError
"""What a person's request meets when the process dies under it."""
START_SECONDS = 20.0


WARM = multiprocessing.get_context("forkserver")
"""Processes that are forked from one that has imported all of Kvitta, and has no thread and no connection."""
WARM.set_forkserver_preload(["tests.faults.dying_app", "commands", *(f"blueprints.{room}" for room in ROOMS)])


def _be_born(arguments: list[str], environ: dict[str, str], log: str) -> None:
    for name in SETTINGS:
        os.environ.pop(name, None)
    os.environ.update(environ)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(written, stream)
    dying_app.main(arguments)


class RunningApp:
    """Kvitta in a process of its own: serving pages, or doing one act."""

    def __init__(self, config: Config, point: str | None, skip: int, how: str, act: Sequence[object] = ()) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = config.data_dir / f"app-{self.port}.log"
        arguments = [str(each) for each in act] or ["--port", str(self.port)]
        if point is not None:
            arguments += ["--point", point, "--skip", str(skip), "--signal", how]
        environ = {"KVITTA_DATA": str(config.data_dir), "DATABASE_URL": config.database_url}
        self.process = WARM.Process(target=_be_born, args=(arguments, environ, str(self._log)))
        self.process.start()
        deadline = time.monotonic() + START_SECONDS
        while not act and not answers(f"{self.url}/login"):
            assert self.process.is_alive() and time.monotonic() < deadline, self.log
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text() if self._log.exists() else ""

    def person(self, name: str = "clerk") -> WebClient:
        """Somebody logged in on this process."""
        return WebClient(self.url).log_in(name)

    def died(self, seconds: float = 15.0) -> None:
        """Wait until the process has killed itself. Fails when it lives, or has ended in another way."""
        self.process.join(seconds)
        assert self.process.exitcode == -signal.SIGKILL, self.log

    def frozen(self, seconds: float = 15.0) -> None:
        """Wait until the process has stopped itself (``how="STOP"``)."""
        deadline = time.monotonic() + seconds
        while Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def wake(self) -> None:
        """Let a frozen process go on."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it if it still runs."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


@pytest.fixture
def start_app(books: Flask, config: Config) -> Iterator[Callable[..., RunningApp]]:
    """``start_app(point=None, skip=0, how="KILL", act=())``: Kvitta on the test's database, in a process of its own.

    Without ``act`` it serves pages; ``act=("--invoice", order.id, shown_minor)`` does that alone.
    """
    started: list[RunningApp] = []

    def start(point: str | None = None, *, skip: int = 0, how: str = "KILL", act: Sequence[object] = ()) -> RunningApp:
        started.append(RunningApp(config, point, skip, how, act))
        return started[-1]

    yield start
    for each in started:
        each.stop()


# --- Lives from the nursery ---------------------------------------------------------------------------------------------


class Life:
    """One act in a process of its own."""

    def __init__(self, nursery: subprocess.Popen[str], wish: dict[str, Any]) -> None:
        assert nursery.stdin is not None and nursery.stdout is not None
        self._answers = nursery.stdout
        self._log = Path(wish["log"])
        self.status: int | None = None
        nursery.stdin.write(json.dumps(wish) + "\n")
        nursery.stdin.flush()
        self.pid = int(json.loads(self._answers.readline())["pid"])

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text() if self._log.exists() else ""

    def ended(self) -> int:
        """Wait for its end; its exit status, or the negative number of the signal that ended it."""
        if self.status is None:
            self.status = int(json.loads(self._answers.readline())["status"])
        return self.status

    def died(self) -> None:
        """Wait until it has killed itself. Fails when it ended otherwise."""
        assert self.ended() == -signal.SIGKILL, self.log

    def lived(self) -> None:
        """Wait until it has done its act. Fails when it did not."""
        assert self.ended() == 0, self.log

    def frozen(self, seconds: float = 15.0) -> None:
        """Wait until it has stopped itself."""
        deadline = time.monotonic() + seconds
        while Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < deadline, self.log
            time.sleep(0.005)

    def wake(self) -> None:
        """Let it go on and wait until it has done its act."""
        os.kill(self.pid, signal.SIGCONT)
        self.lived()

    def stop(self) -> None:
        """End it if it still is there."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()


@pytest.fixture(scope="session")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """The warm process; it ends when nobody writes to it any more."""
    command = [sys.executable, "-m", "tests.faults.nursery"]
    running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield running
    assert running.stdin is not None and running.stdout is not None
    running.stdin.close()
    running.stdout.close()
    running.wait(10)


@pytest.fixture
def moved(config: Config, monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    """The clock of all processes of this test, to be moved."""
    made = MovedClock(config.data_dir / CLOCK_FILE)
    made.install(monkeypatch.setattr, clock)
    return made


@pytest.fixture
def live(nursery: subprocess.Popen[str], books: Flask, config: Config) -> Iterator[Callable[..., Life]]:
    """``live(act, point=None, skip=0, signal="KILL", **values)``: one act in a process of its own on the test's database."""
    lives: list[Life] = []
    of_the_wish = ("point", "skip", "signal", "booking_fails", "wait_seconds")

    def begin(act: str, **values: Any) -> Life:
        wish = {name: values.pop(name) for name in of_the_wish if name in values}
        place = {"data": str(config.data_dir), "url": config.database_url, "log": str(config.data_dir / "lives.log")}
        lives.append(Life(nursery, {"act": act, "values": values, **wish, **place}))
        return lives[-1]

    yield begin
    for each in lives:
        each.stop()
