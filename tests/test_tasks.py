"""The worker's queue and timetable: jobs as plain text, the company's hours, rounds that survive a failure."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from flask import Flask
from huey.exceptions import HueyException

import tasks
from config import Config, Misconfigured
from job_keeper import UNDER_WAY


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return Config(
        data_dir=tmp_path, database_url="sqlite:///never.db", redis_url=None, secret_key=b"", secret_key_fallbacks=(),
        credentials_key=b"", trusted_hosts=(), proxies=0, https=False, janitor_in_web=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "is_six"),
    [
        (datetime(2026, 1, 15, 5, 0, tzinfo=UTC), True),
        (datetime(2026, 1, 15, 6, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 15, 4, 0, tzinfo=UTC), True),
        (datetime(2026, 7, 15, 4, 1, tzinfo=UTC), False),
    ],
)
def test_six_in_the_morning_is_the_companys_own_in_winter_and_summer(moment: datetime, is_six: bool) -> None:
    # The queue's clock gives UTC without saying so.
    assert tasks.at_local(time(6, 0))(moment.replace(tzinfo=None)) is is_six


def test_a_job_lies_in_the_queue_as_json_and_comes_back_whole(settings: Config) -> None:
    huey = tasks.queue(settings)
    done: list[str] = []
    job = huey.task(name="note")(done.append)
    job.schedule(args=("first",), eta=datetime(2026, 1, 1, tzinfo=UTC))
    job("second")
    lying = [json.loads(each) for each in huey.storage.enqueued_items()]
    assert [(each["name"].endswith("note"), each["args"]) for each in lying] == [(True, ["first"]), (True, ["second"])]
    while (found := huey.dequeue()) is not None:
        huey.execute(found)
    assert done == ["first", "second"]


def test_whoever_writes_to_the_queue_runs_no_code_of_their_own(settings: Config) -> None:
    huey = tasks.queue(settings)
    huey.storage.enqueue(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="Expecting value"):
        huey.dequeue()


def test_an_unknown_job_sounds_an_alarm(settings: Config, caplog: pytest.LogCaptureFixture) -> None:
    older, newer = tasks.queue(settings), tasks.queue(settings)
    newer.task(name="of_tomorrow")(lambda: None)()
    with caplog.at_level(logging.CRITICAL):
        assert older.dequeue() is None
    assert "of_tomorrow" in caplog.text
    with pytest.raises(HueyException):
        older._registry.string_to_task("of_tomorrow")


def test_the_queue_survives_its_process(settings: Config) -> None:
    tasks.queue(settings).task(name="kept")(lambda: None)()
    assert len(tasks.queue(settings).storage.enqueued_items()) == 1


@pytest.mark.parametrize("note", ["", "{", "[]", '{"again": false, "job": "{}"}', "of tomorrow"])
def test_a_note_nobody_can_read_does_not_keep_the_worker_from_starting(
    settings: Config, caplog: pytest.LogCaptureFixture, note: str
) -> None:
    """A worker that does not start settles no lost answers: half a note, or one of a program that knew more jobs, is an alarm."""
    if note == "of tomorrow":
        newer = tasks.queue(settings)
        job = newer.task(name="of_tomorrow")(lambda: None).s()
        note = json.dumps({"again": False, "job": newer.serialize_task(job).decode()})
    (settings.data_dir / UNDER_WAY).write_text(note)
    huey = tasks.queue(settings)
    with caplog.at_level(logging.CRITICAL):
        huey.resume()
    assert "left undone" in caplog.text
    assert not (settings.data_dir / UNDER_WAY).exists()
    assert len(huey.storage.enqueued_items()) == 0


def test_a_damaged_queue_is_laid_aside_and_a_new_one_begun(settings: Config, caplog: pytest.LogCaptureFixture) -> None:
    """The queue holds jobs, never facts: losing it is told, and the worker starts."""
    file = settings.data_dir / "queue.db"
    file.write_bytes(b"not a queue, though a disk has made it of one " * 200)
    with caplog.at_level(logging.CRITICAL):
        tasks.queue(settings).task(name="kept")(lambda: None)()
    assert "The queue was damaged" in caplog.text
    assert (settings.data_dir / "queue.db.broken").exists()
    assert len(tasks.queue(settings).storage.enqueued_items()) == 1, "and the new one stays"


def test_a_queue_that_cannot_be_had_is_one_sentence(settings: Config) -> None:
    for wrong in ("nonsense", "redis://host:port/0"):
        with pytest.raises(Misconfigured, match="REDIS_URL cannot be read"):
            tasks.queue(replace(settings, redis_url=wrong))
    (settings.data_dir / "queue.db").mkdir()
    with pytest.raises(Misconfigured, match=r"queue\.db cannot be used"):
        tasks.queue(settings)


def test_a_round_that_fails_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    enough = threading.Event()
    made: list[int] = []

    def work() -> None:
        made.append(1)
        if len(made) < 3:
            raise RuntimeError("not yet")
        enough.set()

    rounds = tasks.Round(Flask("rounds"), work, 0.01, "janitor")
    with caplog.at_level(logging.ERROR):
        rounds.start()
        assert enough.wait(5)
        rounds.stop()
    assert "janitor failed" in caplog.text
    assert not rounds.is_alive()


def test_what_fails_all_night_is_told_once_in_full_and_then_in_a_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away must not fill the disk with its log; another trouble, or the same after a success, is told anew."""
    over = threading.Event()
    outcomes = iter(["away"] * 4 + ["full", "", "full"])
    monkeypatch.setattr(tasks, "LONGEST_PAUSE", 0.02)

    def work() -> None:
        trouble = next(outcomes, None)
        if trouble is None:
            over.set()
        elif trouble:
            raise RuntimeError(trouble)

    rounds = tasks.Round(Flask("rounds"), work, 0.01, "janitor")
    with caplog.at_level(logging.ERROR):
        rounds.start()
        assert over.wait(5)
        rounds.stop()
    assert [bool(each.exc_info) for each in caplog.records] == [True, False, False, False, True, True]
    assert [each.args[1] for each in caplog.records if each.args] == [0.01, 0.02, 0.02, 0.02, 0.02, 0.01]
    assert all("away" in each.getMessage() for each in caplog.records[:4])


def test_a_job_of_which_no_note_can_be_made_is_done(settings: Config, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk: the job has left the queue, and would not be done before it is asked for again."""
    done: list[str] = []
    huey = tasks.queue(settings)
    huey.task(name="note")(done.append)("first")
    (settings.data_dir / UNDER_WAY).with_suffix(".draft").mkdir()
    with caplog.at_level(logging.CRITICAL):
        huey.execute(huey.dequeue())
    assert done == ["first"]
    assert "done without one" in caplog.text


def test_every_job_of_the_timetable_is_known(app: Flask, config: Config) -> None:
    made = tasks.register(app, config)
    known = [name.rsplit(".", 1)[1] for name in made.huey._registry._registry]
    assert sorted(known) == [
        "fetch_settlements",
        "fetch_settlements_daily",
        "look_at_all_orders",
        "remove_old_pdf_files",
    ]
    made.fetch_settlements()
