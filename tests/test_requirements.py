"""The table of docs/requirements.md is whole, its states are of the list, and the tests it names exist and name the point."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
POINTS = [f"{letter}{number}" for letter, last in (("F", 30), ("K", 51), ("B", 36)) for number in range(1, last + 1)]
STATES = ("holds", "partly", "not yet")
ROW = re.compile(r"\| ([FKB]\d+) \| (.+?) \| \*\*([a-z ]+)\*\*(?:: ([^|]+))? \| (.*?) ?\|")
CITED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
NUMBER = re.compile(r"\b([FKB])(\d{1,2})(?:[-\u2013]\1?(\d{1,2}))?\b")
UNSAID: dict[tuple[str, str], str] = {}
"""Tests that show a point without naming it, as (point, test), with the reason."""


class Point(NamedTuple):
    """A row of the table."""

    number: str
    what: str
    state: str
    missing: str
    tests: tuple[tuple[str, str], ...]


class Says(NamedTuple):
    """What a test says of itself: its own points, and those of its module."""

    own: frozenset[str]
    room: frozenset[str]


@cache
def table() -> tuple[Point, ...]:
    """The rows of docs/requirements.md in their order."""
    lines = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8").splitlines()
    rows = [ROW.fullmatch(line) for line in lines if re.match(r"\| [FKB]\d", line)]
    assert all(rows), "a row is not in the form: point | what | state | tests"
    return tuple(
        Point(row[1], row[2], row[3], row[4] or "", tuple(CITED.findall(row[5]))) for row in rows if row is not None
    )


def numbers(text: str) -> frozenset[str]:
    """The points a text names; ``F20-F23`` names four."""
    return frozenset(
        f"{letter}{number}"
        for letter, first, last in NUMBER.findall(text)
        for number in range(int(first), int(last or first) + 1)
        if f"{letter}{number}" in POINTS
    )


@cache
def of_file(path: str) -> dict[str, Says]:
    """Each test of a file with the points that its name and docstring, and its module's docstring, name."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    room = numbers(ast.get_docstring(tree) or "")
    return {
        node.name: Says(numbers(f"{node.name.replace('_', ' ')} {ast.get_docstring(node) or ''}"), room)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def every_test() -> Iterator[tuple[str, str, Says]]:
    """Every test of the house as file, name and what it names."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        place = path.relative_to(ROOT).as_posix()
        for name, test in of_file(place).items():
            yield place, name, test


def test_every_point_has_its_row_in_order() -> None:
    assert [point.number for point in table()] == POINTS


@pytest.mark.parametrize("point", table(), ids=lambda point: point.number)
def test_a_row_says_its_state_and_names_tests_that_say_the_point(point: Point) -> None:
    assert point.state in STATES
    assert bool(point.missing) == (point.state == "partly"), (
        "what is missing is said of what holds partly, and only there"
    )
    assert bool(point.tests) == (point.state != "not yet"), "a test for what holds, none for what does not"
    for path, name in point.tests:
        found = of_file(path).get(name)
        assert found is not None, f"{path} has no {name}"
        said = point.number in found.own | found.room
        assert said != ((point.number, name) in UNSAID), f"{name} does not name {point.number}"


def test_what_is_not_there_yet_is_named_by_no_test() -> None:
    absent = {point.number for point in table() if point.state == "not yet"}
    faults = [f"{path}::{name}: {sorted(own)}" for path, name, test in every_test() if (own := test.own & absent)]
    rooms = {f"{path}: {sorted(test.room & absent)}" for path, _name, test in every_test() if test.room & absent}
    assert not faults and not rooms, "a test of what the table calls not yet: change the row or the docstring"


def test_no_reason_is_left_without_its_row() -> None:
    rows = {(point.number, name) for point in table() for _path, name in point.tests}
    assert not UNSAID.keys() - rows


def test_ranges_and_other_peoples_numbers_are_told_apart() -> None:
    assert numbers("F20-F23, K2; B31.") == {"F20", "F21", "F22", "F23", "K2", "B31"}
    assert numbers("F42580, K4MADNY-1, KF3, E4a, F99") == frozenset()
