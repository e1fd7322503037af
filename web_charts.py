"""Charts as figures for SVG: whole numbers for attributes, no style, so that the security policy lets them be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from web_words import quantity

WIDTH, HEIGHT = 600, 220
LEFT, TOP, BOTTOM = 76, 12, 28
"""Room for the figures at the left, above the highest column and for the names below."""
GAP = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """A column; ``tone`` is ``a`` or ``b``."""

    x: int
    y: int
    width: int
    height: int
    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line across, with its figure."""

    y: int
    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """What stands below a group of columns."""

    x: int
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn."""

    bars: Sequence[Bar]
    lines: Sequence[Line]
    names: Sequence[Name]
    zero: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    below: int = HEIGHT - 8


def _above(minor: int) -> int:
    """The next round figure: 1, 2 or 5 with zeros."""
    step = 100
    while True:
        for times in (1, 2, 5):
            if step * times >= minor:
                return step * times
        step *= 10


def columns(groups: Sequence[tuple[str, Sequence[tuple[int, str, str]]]]) -> Chart:
    """A chart of groups of columns: a name, and per column its minor units, its tone and its sentence.

    The figures at the side are whole units of the currency.
    """
    values = [minor for _, bars in groups for minor, _, _ in bars]
    highest, lowest = _above(max([*values, 0])), -_above(-min([*values, 0])) if min([*values, 0]) < 0 else 0
    room = HEIGHT - TOP - BOTTOM

    def level(minor: int) -> int:
        return TOP + (highest - minor) * room // (highest - lowest)

    zero, bars, names = level(0), [], []
    slot = (WIDTH - LEFT) // max(len(groups), 1)
    for place, (name, each) in enumerate(groups):
        wide = max((slot - slot // 4) // max(len(each), 1) - GAP, 2)
        begins = LEFT + place * slot + slot // 8
        for n, (minor, tone, text) in enumerate(each):
            high, low = min(level(minor), zero), max(level(minor), zero)
            bars.append(Bar(begins + n * (wide + GAP), high, wide, low - high, tone, text))
        names.append(Name(LEFT + place * slot + slot // 2, name))
    marks = sorted({highest, highest // 2, 0, lowest}, reverse=True)
    return Chart(bars, [Line(level(mark), quantity(mark * 10)) for mark in marks], names, zero)


# --- From one sum to another, step by step ----------------------------------------------------------------------------

NAMES, VALUES, ROW, THICK = 150, 96, 26, 18
"""Room for the names at the left and the figures at the right; the height of a step and of its bar."""


@dataclass(frozen=True, slots=True)
class Fall:
    """A step of a waterfall: its bar, what stands beside it, and the thread to the next one (None for the last)."""

    bar: Bar
    name: str
    value: str
    base: int
    value_x: int
    thread: int | None


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Everything that is drawn of a way from gross to net."""

    falls: Sequence[Fall]
    zero: int
    height: int
    width: int = WIDTH


def waterfall(steps: Sequence[tuple[str, int, int, str, str]]) -> Waterfall:
    """Steps below each other: a name, the minor units it begins and ends with, its tone and its figure as text."""
    ends = [minor for _, begins, ends, *_ in steps for minor in (begins, ends)]
    least, most = min([*ends, 0]), max([*ends, 0])
    room = WIDTH - NAMES - VALUES

    def place(minor: int) -> int:
        return NAMES + (minor - least) * room // max(most - least, 1)

    falls = []
    for row, (name, begins, ends_at, tone, text) in enumerate(steps):
        left, right = sorted((place(begins), place(ends_at)))
        bar = Bar(left, row * ROW + 5, max(right - left, 2), THICK, tone, f"{name}: {text}")
        last = row == len(steps) - 1
        falls.append(Fall(bar, name, text, row * ROW + 18, bar.x + bar.width + 6, None if last else place(ends_at)))
    return Waterfall(falls, place(0), len(steps) * ROW + 8)


# --- Several rows of columns over the same days -----------------------------------------------------------------------

WIDE, BAND, BETWEEN = 1000, 56, 18
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Band:
    """One row of columns with its name; ``zero`` is the line they stand on."""

    name: str
    top: int
    zero: int
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Bands:
    """Rows of columns on one scale, so that their heights can be compared."""

    bands: Sequence[Band]
    names: Sequence[Name]
    highest: str
    height: int
    below: int
    width: int = WIDE
    left: int = LEFT


def _just_above(minor: int) -> int:
    """A round figure at or just above, at least a krona: the columns are to fill their rows."""
    step = 100
    while step * 10 < minor:
        step *= 10
    return next(step * times for times in _STEPS if step * times >= minor)


def bands(names: Sequence[str], rows: Sequence[tuple[str, str, Sequence[tuple[int, str]]]]) -> Bands:
    """A row of columns per series: its name, its tone, and minor units with a sentence for each of the names below.

    What is below zero has no column: it stands in the table.
    """
    highest = _just_above(max((minor for _, _, each in rows for minor, _ in each), default=0))
    slot = (WIDE - LEFT) // max(len(names), 1)
    wide = max(slot - max(slot // 4, 2), 2)
    drawn = []
    for row, (name, tone, each) in enumerate(rows):
        top = TOP + row * (BAND + BETWEEN)
        zero = top + BAND
        bars = []
        for n, (minor, text) in enumerate(each):
            high = max(minor, 0) * BAND // highest
            if minor > 0:
                high = max(high, 1)
                bars.append(Bar(LEFT + n * slot + (slot - wide) // 2, zero - high, wide, high, tone, text))
        drawn.append(Band(name, top, zero, bars))
    # As many names as there is room for.
    step = max(1, -(-34 // max(slot, 1)))
    below = [
        Name(LEFT + n * slot + slot // 2, name) for n, name in enumerate(names) if n % step == 0 or n == len(names) - 1
    ]
    if len(below) > 1 and below[-1].x - below[-2].x < 34:
        del below[-2]
    height = TOP + len(rows) * (BAND + BETWEEN) + 8
    return Bands(drawn, below, quantity(highest * 10), height, height - 6)
