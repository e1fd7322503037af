"""Fixtures of the fault matrix: Kvitta in a process of its own, on the test's database, that dies where the test says.

def test_003_…(start_app, sandbox, klarna):
    app = start_app("T2.after_commit")
    person = app.person("clerk")             # a WebClient over HTTP
    with pytest.raises(CutOff):
        person.submit(…)
    app.died()
    janitor.run(klarna)                      # the test's own process is the one that is started afterwards
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import requests
from flask import Flask

from config import Config
from demo.stack import SETTINGS, answers, free_port
from tests.web_client import WebClient

CutOff = requests.ConnectionError
"""What a person's request meets when the process dies under it."""
START_SECONDS = 20.0


class RunningApp:
    """Kvitta in a process of its own: serving pages, or doing one act."""

    def __init__(self, config: Config, point: str | None, skip: int, how: str, act: Sequence[object] = ()) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = config.data_dir / f"app-{self.port}.log"
        doing = [str(each) for each in act] or ["--port", str(self.port)]
        command = [sys.executable, "-m", "tests.faults.dying_app", *doing]
        if point is not None:
            command += ["--point", point, "--skip", str(skip), "--signal", how]
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        environ = {**inherited, "KVITTA_DATA": str(config.data_dir), "DATABASE_URL": config.database_url}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=Path(__file__).resolve().parents[2], env=environ, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not act and not answers(f"{self.url}/login"):
            assert self.process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def person(self, name: str = "clerk") -> WebClient:
        """Somebody logged in on this process."""
        return WebClient(self.url).log_in(name)

    def died(self, seconds: float = 15.0) -> None:
        """Wait until the process has killed itself. Fails when it lives, or has ended in another way."""
        assert self.process.wait(seconds) == -signal.SIGKILL, self._log.read_text()

    def frozen(self, seconds: float = 15.0) -> None:
        """Wait until the process has stopped itself (``how="STOP"``)."""
        deadline = time.monotonic() + seconds
        while Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def wake(self) -> None:
        """Let a frozen process go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


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
