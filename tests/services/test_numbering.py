"""Gapless numbers: taken with their document, given back by a rollback, never twice."""

from __future__ import annotations

import itertools
import random
import threading
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import reading, transact, writing
from models import NumberSeries, Warehouse
from services import numbering
from tests.threads import in_threads

pytestmark = pytest.mark.bare_database
DAY = date(2026, 11, 22)
NEW_CODES = itertools.count()


class Withdrawn(Exception):
    """The transaction that took a number comes to nothing."""


def test_a_series_begins_where_it_is_told_and_runs_on(books: Flask) -> None:
    with writing() as session:
        assert [numbering.take(session, "F", first=42580, day=DAY) for _ in range(3)] == [42580, 42581, 42582]
    with writing() as session:
        assert numbering.take(session, "F", first=1, day=DAY) == 42583


def test_years_and_codes_do_not_share_a_counter(books: Flask) -> None:
    with writing() as session:
        assert numbering.take(session, "V:F", fiscal_year=1, day=DAY) == 1
        assert numbering.take(session, "V:F", fiscal_year=2, day=DAY) == 1
        assert numbering.take(session, "V:I", fiscal_year=1, day=DAY) == 1
        assert numbering.take(session, "V:F", fiscal_year=1, day=DAY) == 2


def test_a_rollback_gives_the_number_back(books: Flask) -> None:
    """Fault 1: no number is used."""
    with writing() as session:
        assert numbering.take(session, "F", day=DAY) == 1
    with pytest.raises(Withdrawn), writing() as session:
        assert numbering.take(session, "F", day=DAY) == 2
        raise Withdrawn
    with writing() as session:
        assert numbering.take(session, "F", day=DAY) == 2


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(days=st.lists(st.integers(-40, 40), min_size=1, max_size=15))
def test_a_number_is_never_dated_before_the_one_before_it(books: Flask, days: list[int]) -> None:
    """A5: the clock may go back, the series may not."""
    latest, code = None, f"series {next(NEW_CODES)}"
    for offset in days:
        with writing() as session:
            _, dated = numbering.take_dated(session, code, day=DAY + timedelta(days=offset))
        assert dated >= DAY + timedelta(days=offset)
        assert latest is None or dated >= latest
        assert dated in {DAY + timedelta(days=each) for each in days}
        latest = dated


@pytest.mark.timeout(120)
def test_eight_threads_with_rollbacks_leave_no_gap_and_no_double(books: Flask) -> None:
    """A5: 8 threads, 50 numbers each, a third of the transactions come to nothing."""
    taken: list[int] = []
    guard = threading.Lock()

    def work(thread: int) -> None:
        dice = random.Random(thread)
        for turn in range(50):
            while True:
                try:
                    with writing() as session:
                        number = numbering.take(session, "F", first=42580, day=DAY)
                        session.add(Warehouse(code=f"{thread}-{turn}", name=str(number)))
                        session.flush()
                        if dice.random() < 1 / 3:
                            raise Withdrawn  # noqa: TRY301
                except Withdrawn:
                    continue
                break
            with guard:
                taken.append(number)

    assert in_threads(books, work, 8) == []
    assert sorted(taken) == list(range(42580, 42980))
    with reading() as session:
        assert session.scalar(sa.select(NumberSeries.next_no)) == 42980
        assert sorted(int(name) for name in session.scalars(sa.select(Warehouse.name))) == sorted(taken)


def test_the_largest_number_plus_one_gives_one_number_twice(books: Flask) -> None:
    """The control: MAX + 1 read outside the counter's lock, by two at once."""
    both_read = threading.Barrier(2)
    taken: list[int] = []

    def work(number: int) -> None:
        with reading() as session:
            largest = session.scalar(sa.select(sa.func.max(sa.cast(Warehouse.name, sa.Integer)))) or 0
        both_read.wait(10)
        with writing() as session:
            session.add(Warehouse(code=str(number), name=str(largest + 1)))
        taken.append(largest + 1)

    assert in_threads(books, work, 2) == []
    assert taken == [1, 1], "two documents bear number 1"


def test_two_that_begin_a_series_at_once_make_one(books: Flask) -> None:
    taken: list[int] = []

    def work(_number: int) -> None:
        taken.append(transact(lambda session: numbering.take(session, "customer", first=1001, day=DAY)))

    assert in_threads(books, work, 4) == []
    assert sorted(taken) == [1001, 1002, 1003, 1004]
