"""How much anybody may ask for in a minute: counted per process, in memory, forgotten after the minute (security 52)."""

from __future__ import annotations

import threading

import clock

MINUTE_SECONDS = 60.0
MOST_KEYS = 10_000
"""Keys counted at a time; with more than that everything is counted anew."""


class Budget:
    """So many a minute for each key."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._guard = threading.Lock()
        self._began_seconds = clock.monotonic()
        self._spent: dict[str, int] = {}

    def spend(self, key: str) -> int:
        """Count one for this key; 0 when it fits, else the seconds to wait."""
        with self._guard:
            passed_seconds = clock.monotonic() - self._began_seconds
            if passed_seconds >= MINUTE_SECONDS or len(self._spent) > MOST_KEYS:
                self._began_seconds, passed_seconds = clock.monotonic(), 0.0
                self._spent.clear()
            spent = self._spent[key] = self._spent.get(key, 0) + 1
            return 0 if spent <= self.most else int(MINUTE_SECONDS - passed_seconds) + 1
