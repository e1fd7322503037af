"""The sandbox's own time: it runs with the machine's clock, but can be set, moved and frozen.

Times are kept as UTC text with milliseconds (`2022-07-08T09:48:16.680Z`), so that comparing text compares time.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Any

_MACHINES_NOW = datetime.now
"""The machine's own clock: a shop in the same process that stops its time does not stop Klarna's."""


def stamp(moment: datetime) -> str:
    """UTC text with milliseconds, the form kept in state and sent by Order Management."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def in_seconds(stamped: str) -> str:
    """The same time without its fraction, as the Settlements API and its reports print it."""
    return stamped[:19] + "Z"


def parse(text: str) -> datetime:
    """Read a date or time; what names no zone is UTC, a bare date is its midnight. Raises ValueError."""
    text = text.strip()
    # A plus sign that was not escaped in a query string arrives as a blank.
    moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def midnight(moment: datetime, days: int = 0) -> datetime:
    """Midnight UTC at the start of that day, `days` later."""
    return datetime.combine(moment.astimezone(UTC).date() + timedelta(days=days), time(), UTC)


class Clock:
    """Now, plus an offset, or a frozen moment."""

    def __init__(self) -> None:
        self._offset = timedelta()
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """The sandbox's time, UTC, cut to milliseconds."""
        moment = self._frozen if self._frozen is not None else _MACHINES_NOW(UTC) + self._offset
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def set(self, moment: datetime) -> None:
        """Make it this time now; a frozen clock stays frozen there."""
        if self._frozen is not None:
            self._frozen = moment
        else:
            self._offset = moment - _MACHINES_NOW(UTC)

    def move(self, by: timedelta) -> None:
        """Step forward, or back with a negative amount."""
        if self._frozen is not None:
            self._frozen += by
        else:
            self._offset += by

    def freeze(self) -> None:
        """Stop at the present moment."""
        self._frozen = self.now()

    def thaw(self) -> None:
        """Run on from where it stands."""
        if self._frozen is not None:
            standing, self._frozen = self._frozen, None
            self.set(standing)

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def reset(self) -> None:
        """Back to the machine's time, running."""
        self._offset, self._frozen = timedelta(), None

    def to_doc(self) -> dict[str, Any]:
        """What must be kept to stand at the same time after a restart."""
        milliseconds = self._offset // timedelta(milliseconds=1)
        return {"offset_ms": milliseconds, "frozen": stamp(self._frozen) if self._frozen else None}

    def from_doc(self, doc: dict[str, Any]) -> None:
        """Take up what `to_doc` kept."""
        self._offset = timedelta(milliseconds=doc["offset_ms"])
        self._frozen = parse(doc["frozen"]) if doc["frozen"] else None
