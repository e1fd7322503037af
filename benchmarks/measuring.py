"""Measure things side by side: rounds take turns, ratios are taken round by round, medians are told.

Machines are noisy, so nothing here is judged by absolute time: a ratio compares two things that ran within the same second.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Work = Callable[[], object]
Clock = Callable[[], float]


def cpu() -> float:
    """Seconds of processor time of this thread: what a page costs, whoever else is at work on the machine."""
    return time.thread_time()


def wall() -> float:
    """Seconds on the wall: for whatever waits for a disk, a lock or another process."""
    return time.perf_counter()


def quantile(seconds: Sequence[float], part: float) -> float:
    """The value that ``part`` of all values do not exceed."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(part * len(ordered)) - 1))]


@dataclass(slots=True)
class Timed:
    """How long one thing took, run by run, and the medians of its rounds."""

    seconds: list[float]
    rounds: list[float]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    def over(self, floor: Timed) -> float:
        """How many times the floor this is: the median of the ratios round by round."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.rounds, floor.rounds, strict=True))


def side_by_side(*works: Work, rounds: int = 15, each: int = 20, clock: Clock = cpu, warm: int = 10) -> list[Timed]:
    """Run the works in turns: ``rounds`` rounds of ``each`` runs of every one, after ``warm`` runs that do not count."""
    for work in works:
        for _ in range(warm):
            work()
    found = [Timed([], []) for _ in works]
    for number in range(rounds):
        order = list(enumerate(works))
        for place, work in order if number % 2 else reversed(order):
            taken = []
            for _ in range(each):
                began = clock()
                work()
                taken.append(clock() - began)
            found[place].seconds += taken
            found[place].rounds.append(statistics.median(taken))
    return found


def once(work: Work, clock: Clock = wall) -> float:
    """Seconds that one run takes."""
    began = clock()
    work()
    return clock() - began


def in_words(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. ``met`` is None where there is no goal; a ``detail`` stands in results.json alone."""

    goal: str
    what: str
    floor: str
    kvitta: str
    ratio: str
    wanted: str
    met: bool | None
    detail: bool = False


class Report:
    """The table of a run."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def compare(
        self,
        goal: str,
        what: str,
        floor: float,
        kvitta: float,
        ratio: float,
        most: float | None,
        *,
        detail: bool = False,
    ) -> None:
        """A line about times: floor, Kvitta, their ratio and the most it may be."""
        wanted = "" if most is None else f"≤ {most:g}"
        met = None if most is None else round(ratio, 2) <= most
        self.lines.append(Line(goal, what, in_words(floor), in_words(kvitta), f"{ratio:.2f}", wanted, met, detail))

    def tell(
        self,
        goal: str,
        what: str,
        *,
        floor: str = "",
        kvitta: str,
        ratio: str = "",
        wanted: str = "",
        met: bool | None = None,
    ) -> None:
        """A line about anything else."""
        self.lines.append(Line(goal, what, floor, kvitta, ratio, wanted, met))

    def table(self) -> str:
        """The lines as Markdown."""
        head = "| Goal | What | Floor | Kvitta | Ratio | Wanted | |\n|---|---|---|---|---|---|---|\n"
        words = {True: "met", False: "**missed**", None: ""}

        def order(line: Line) -> tuple[float, str]:
            digits = "".join(sign for sign in line.goal if sign.isdigit())
            return (float(digits or 99), line.goal)

        return head + "".join(
            f"| {line.goal} | {line.what} | {line.floor} | {line.kvitta} | {line.ratio} | {line.wanted} | {words[line.met]} |\n"
            for line in sorted(self.lines, key=order)
            if not line.detail
        )

    def write(self, folder: Path) -> None:
        """Keep the run as results.json and results.md."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(
            json.dumps([asdict(line) for line in self.lines], ensure_ascii=False, indent=1), encoding="utf-8"
        )
        (folder / "results.md").write_text(self.table(), encoding="utf-8")
