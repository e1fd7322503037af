"""Play what has happened: the house's clock and the sandbox's are moved together, and steps are taken in the order of time.

Only the process that builds the demo is moved. What happens while it is, services date as they always do.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import clock
from klarna_sandbox.control import Control

Steps = Iterator[datetime]
"""Something that takes a step each time it is resumed, and says when the next one is."""

_real_now = clock.now


class Past:
    """A clock that can be moved forward; in between it runs, so that what follows something is later than it."""

    def __init__(self, sandbox: Control, begins: datetime) -> None:
        self._sandbox = sandbox
        self._moment = begins.astimezone(UTC)
        self._mark = clock.monotonic()

    def now(self) -> datetime:
        """The moment being played: UTC and cut to milliseconds, as ``clock.now`` gives it."""
        at = self._moment + timedelta(seconds=clock.monotonic() - self._mark)
        return at.replace(microsecond=at.microsecond // 1000 * 1000)

    def go_to(self, moment: datetime) -> None:
        """Move both clocks there; a moment that has passed already is now."""
        self._moment, self._mark = max(moment.astimezone(UTC), self.now()), clock.monotonic()
        self._sandbox.set_clock(self._moment, freeze=False)


@contextmanager
def played(sandbox: Control, begins: datetime) -> Iterator[Past]:
    """Be in the past, from a moment on; afterwards both clocks tell the real time."""
    past = Past(sandbox, begins)
    past.go_to(begins)
    try:
        with patch.object(clock, "now", past.now):
            yield past
    finally:
        sandbox.set_clock(_real_now(), freeze=False)


class Timeline:
    """Many stories told at once, each step in its turn."""

    def __init__(self) -> None:
        self._waiting: list[tuple[datetime, int, Steps]] = []
        self._added = 0

    def add(self, moment: datetime, steps: Steps) -> None:
        """Let a story begin at a moment."""
        self._added += 1
        heapq.heappush(self._waiting, (moment, self._added, steps))

    def play(self, past: Past) -> None:
        """Take every step of every story, the earliest first; of two at once the story that was added first."""
        while self._waiting:
            moment, place, steps = heapq.heappop(self._waiting)
            past.go_to(moment)
            following = next(steps, None)
            if following is not None:
                heapq.heappush(self._waiting, (following, place, steps))
