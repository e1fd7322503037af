"""A job that one runner at a time does is done by one, and does not stand still when that one or the clock goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from freezegun import freeze_time

from db import transact
from services import job_leases

LENGTH = timedelta(seconds=120)


def take(holder: str) -> bool:
    return transact(lambda session: job_leases.take(session, "job", holder, LENGTH))


def test_a_lease_is_held_by_one_and_ends_by_itself(books: Flask) -> None:
    """Operations 10 and 15.2."""
    with freeze_time("2026-11-22 12:00:00") as time:
        assert (take("first"), take("second"), take("first")) == (True, False, True)
        time.tick(119)
        assert not take("second")
        time.tick(2)
        assert (take("second"), take("first")) == (True, False)


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1)])
def test_a_clock_put_back_stops_no_job_whose_runner_is_dead(books: Flask, back: timedelta) -> None:
    """Operations 10: the janitor would say nothing and settle nothing for as long as the clock had been ahead."""
    with freeze_time("2026-11-22 12:00:00"):
        assert take("dead")
    with freeze_time(datetime(2026, 11, 22, 12, tzinfo=UTC) - back):
        assert take("alive")
        assert not take("another")


def test_a_clock_a_little_behind_takes_no_lease_from_who_holds_it(books: Flask) -> None:
    """Operations 15.2: several machines may share a database, and their clocks are never quite alike."""
    with freeze_time("2026-11-22 12:00:00"):
        assert take("first")
    with freeze_time("2026-11-22 11:58:00"):
        assert not take("second")
