"""Fixtures of the fault matrix: an act of Kvitta in a process of its own, on the test's database, that dies where the test says.

    live("invoice", order_id=…, nonce=…, shown=…, point="T2.after_commit").died()
    janitor.run(klarna)                      # the test's own process is the one that is started afterwards

A life begins in a process of a warm nursery (nursery.py); ``moved`` moves the clock of all processes of the test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import clock
from config import Config
from tests.faults.moved_clock import MovedClock
from tests.faults.nursery import CLOCK_FILE

ROOT = Path(__file__).resolve().parents[2]


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
