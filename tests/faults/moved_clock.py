"""A clock that every process of a test sees, moved by a file: the product's own two readings of time, plus an offset.

The file holds two numbers, seconds to add to the wall clock and to the monotonic one. No product switch: ``clock.now`` and
``clock.monotonic`` are replaced in the processes of the test.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path


class MovedClock:
    """Two offsets in a file, read at every look at the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def offsets(self) -> tuple[float, float]:
        """Seconds added to the wall clock and to the monotonic clock."""
        try:
            wall, steady = self.path.read_text().split()
        except FileNotFoundError:
            return 0.0, 0.0
        return float(wall), float(steady)

    def move(self, **parts: float) -> None:
        """Let time pass."""
        self._step(timedelta(**parts), timedelta(**parts))

    def move_wall(self, **parts: float) -> None:
        """Step the wall clock alone, as when somebody sets it, or when the machine sleeps."""
        self._step(timedelta(**parts), timedelta())

    def move_monotonic(self, **parts: float) -> None:
        """Let time pass, and have the wall clock set back by as much."""
        self._step(timedelta(), timedelta(**parts))

    def _step(self, wall: timedelta, steady: timedelta) -> None:
        before = self.offsets()
        draft = self.path.with_suffix(".new")
        draft.write_text(f"{before[0] + wall.total_seconds()} {before[1] + steady.total_seconds()}")
        draft.replace(self.path)

    def now(self) -> datetime:
        """What ``clock.now`` gives in a process of the test."""
        at = datetime.now(UTC) + timedelta(seconds=self.offsets()[0])
        return at.replace(microsecond=at.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """What ``clock.monotonic`` gives in a process of the test."""
        return time.monotonic() + self.offsets()[1]

    def install(self, put: Callable[[object, str, object], None], module: object) -> None:
        """Replace both readings; ``put`` is ``setattr``, or a monkeypatch's."""
        put(module, "now", self.now)
        put(module, "monotonic", self.monotonic)
