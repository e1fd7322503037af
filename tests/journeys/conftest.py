"""Fixtures of the journeys: a calendar that Kvitta and the sandbox share and that a test turns."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest

import clock
from config import Config
from klarna_sandbox.control import Control
from tests.faults.moved_clock import MovedClock

THURSDAY = 3
LONGEST = timedelta(days=30)
"""A journey ends within the year it begins in, so that its accounts are those of one financial year."""


class Calendar:
    """One time for both sides."""

    def __init__(self, kvitta: MovedClock, sandbox: Control) -> None:
        self._kvitta, self._sandbox = kvitta, sandbox

    def move(self, **parts: float) -> None:
        """Let time pass; what is due at Klarna happens there."""
        self._kvitta.move(**parts)
        self._sandbox.move_clock(**parts)


def begins() -> datetime:
    """A Thursday at ten that lies ahead, in a year with a month left."""
    day = clock.today() + timedelta(days=1)
    if (day + LONGEST).year != day.year:
        day = day.replace(year=day.year + 1, month=1, day=7)
    day += timedelta(days=(THURSDAY - day.weekday()) % 7)
    return datetime.combine(day, time(10, 3), clock.LOCAL)


@pytest.fixture
def calendar(config: Config, sandbox: Control, monkeypatch: pytest.MonkeyPatch) -> Calendar:
    """It is Thursday, a little after ten."""
    start = begins()
    kvitta = MovedClock(config.data_dir / "clock")
    kvitta.move_wall(seconds=(start - clock.now()).total_seconds())
    kvitta.install(monkeypatch.setattr, clock)
    sandbox.set_clock(start)
    return Calendar(kvitta, sandbox)
