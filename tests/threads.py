"""Run something in several threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from db import writing

WAITS = 0.4
"""Seconds after which somebody who has not come back is taken to wait for a lock."""


def in_threads(app: Flask, work: Callable[[int], None], count: int) -> list[BaseException]:
    """Run ``work`` in so many threads at once, each in an app context of its own; gives what they raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(count)

    def one(number: int) -> None:
        with app.app_context():
            try:
                start.wait(10)
                work(number)
            except BaseException as error:  # noqa: BLE001 - told to the test
                raised.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def until_somebody_waits(session: Session, most: float = 2) -> None:
    """Come back when another connection to the same database waits for a lock, or when it seems that none will."""
    waits = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    ends = time.monotonic() + most
    while not session.scalar(waits) and time.monotonic() < ends:
        time.sleep(0.02)
        session.execute(sa.text("SELECT pg_stat_clear_snapshot()"))


def while_open(
    app: Flask, first: Callable[[Session], object], second: Callable[[Session], object]
) -> BaseException | None:
    """Do the second while the first's transaction is open, which ends when the second waits for it; gives what it raised."""
    raised: list[BaseException] = []

    def other() -> None:
        with app.app_context():
            try:
                with writing() as session:
                    second(session)
            except BaseException as error:  # noqa: BLE001 - told to the test
                raised.append(error)

    thread = threading.Thread(target=other)
    with writing() as session:
        first(session)
        thread.start()
        thread.join(WAITS)
    thread.join(60)
    return raised[0] if raised else None
