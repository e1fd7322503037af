"""The one clock: UTC instants and the company's local date."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

LOCAL = ZoneInfo("Europe/Stockholm")


def now() -> datetime:
    """The present instant, aware, UTC, cut to milliseconds as the database keeps it."""
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def today() -> date:
    """The local date on which a document made now is dated."""
    return local_date(now())


def local_date(at: datetime) -> date:
    """The company's date of an instant. Source: catalogue row 59 (Europe/Stockholm)."""
    return at.astimezone(LOCAL).date()


def monotonic() -> float:
    """Seconds that never go back, for deadlines within one process."""
    return time.monotonic()
