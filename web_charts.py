"""Column charts as figures for SVG: whole numbers for attributes, no style, so that the security policy lets them be."""

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
