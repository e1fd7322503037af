"""Run something in several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flask import Flask


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
