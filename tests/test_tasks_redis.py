"""The worker's queue in a real Redis, and what becomes of a job whose worker is killed, in Redis as in SQLite."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from flask import Flask

import tasks
from config import Config
from db import reading
from demo.stack import HOST, SETTINGS, free_port
from errors import Busy
from job_keeper import UNDER_WAY
from klarna_sandbox.control import Control
from models import Payout
from services import settlement_loading, settlements
from services.gateway import Gateway
from tests.builders import a_captured_invoice

ROOT = Path(__file__).resolve().parent.parent
SERVER = shutil.which("redis-server")
WHY_NOT = "there is no redis-server: install Debian's redis-server"
SECONDS = 60.0


def until(what: Callable[[], object], why: Callable[[], str] = lambda: "") -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis of this module's own."""
    if SERVER is None:
        pytest.skip(WHY_NOT)
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    said = folder / "redis.log"
    command = [SERVER, "--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with redis.Redis(host=HOST, port=port) as connection:

        def answers() -> bool:
            assert process.poll() is None, said.read_text()
            try:
                return bool(connection.ping())
            except redis.ConnectionError:
                return False

        until(answers, said.read_text)
    yield f"redis://{HOST}:{port}/0"
    process.terminate()
    process.wait(10)


@pytest.fixture
def in_redis(server: str, config: Config) -> Config:
    """The settings of the web process, with an empty Redis."""
    with redis.Redis.from_url(server) as connection:
        connection.flushall()
    return replace(config, redis_url=server, testing=False)


@pytest.fixture(params=["redis", "file"])
def settings(request: pytest.FixtureRequest, config: Config) -> Config:
    """The settings of the web process, with the queue in Redis or in a file."""
    if request.param == "redis":
        made: Config = request.getfixturevalue("in_redis")
        return made
    return replace(config, testing=False)


class Worker:
    """``flask worker`` in a process of its own."""

    def __init__(self, settings: Config) -> None:
        self._said = settings.data_dir / "worker.log"
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        environ = {
            **inherited,
            "FLASK_APP": "app:create_app",
            "KVITTA_DATA": str(settings.data_dir),
            "DATABASE_URL": settings.database_url,
            **({"REDIS_URL": settings.redis_url} if settings.redis_url else {}),
        }
        with self._said.open("ab") as log:
            command = [sys.executable, "-m", "flask", "worker"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)

    def log(self) -> str:
        """What the workers of this folder have said."""
        return self._said.read_text()


@pytest.fixture
def start_worker(books: Flask) -> Iterator[Callable[[Config], Worker]]:
    """``start_worker(settings)``; it is told to end after the test, and does."""
    started: list[Worker] = []

    def start(settings: Config) -> Worker:
        started.append(Worker(settings))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
    for each in started:
        assert each.process.wait(SECONDS) in (0, -signal.SIGKILL, -signal.SIGTERM), each.log()


def payouts() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Payout)) or 0


@pytest.mark.only_on("sqlite")
def test_what_the_web_asks_for_is_done_by_a_worker_on_redis_and_an_unknown_job_sounds_the_alarm(
    books: Flask, klarna: Gateway, sandbox: Control, in_redis: Config, start_worker: Callable[[Config], Worker]
) -> None:
    """Operations 15.1: two processes that share nothing but Redis and the database."""
    a_captured_invoice(klarna, sandbox)
    sandbox.pay_out()
    newer = tasks.queue(in_redis)
    newer.task(name="of_tomorrow")(lambda: None)()
    web = tasks.register(books, in_redis)
    web.fetch_settlements()
    assert newer.storage.queue_size() == 2 and payouts() == 0
    worker = start_worker(in_redis)
    until(lambda: payouts() == 1, worker.log)
    until(lambda: not web.huey.storage.queue_size() and not (in_redis.data_dir / UNDER_WAY).exists(), worker.log)
    (alarm,) = [json.loads(line) for line in worker.log().splitlines() if "of_tomorrow" in line]
    assert alarm["level"] == "critical" and "does not know" in alarm["event"]
    assert not (in_redis.data_dir / "queue.db").exists(), "the queue is in Redis alone"


@pytest.mark.only_on("sqlite")
def test_a_job_survives_the_kill_of_its_worker(
    books: Flask, klarna: Gateway, sandbox: Control, settings: Config, start_worker: Callable[[Config], Worker]
) -> None:
    """kill -9 in the middle of a job: the next worker does it again, and then nothing is left of it."""
    a_captured_invoice(klarna, sandbox)
    sandbox.pay_out()
    web = tasks.register(books, settings)
    sandbox.fault("hang", operation="list_payouts", seconds=90, times=0)
    web.fetch_settlements()
    first = start_worker(settings)
    until(lambda: sandbox.faults()[0]["hits"], first.log)
    assert (settings.data_dir / UNDER_WAY).exists()
    assert web.huey.storage.queue_size() == 0, "huey has taken it out of the queue"
    first.process.kill()
    first.process.wait()
    sandbox.clear_faults()
    assert payouts() == 0
    second = start_worker(settings)
    until(lambda: payouts() == 1, second.log)
    until(lambda: not (settings.data_dir / UNDER_WAY).exists(), second.log)
    assert "is done again" in second.log() and web.huey.storage.queue_size() == 0


# --- The keeper alone -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a worker where it stands, as SIGKILL does for what a process can still do."""


def a_queue(settings: Config, done: list[int], dies: bool = False) -> tuple[Any, Callable[[], Any]]:
    """A worker's queue with one job, which notes that it was done, or dies over it."""
    queue = tasks.queue(settings)

    def job() -> None:
        if dies:
            raise Killed
        done.append(1)

    return queue, queue.task(name="job")(job)


def take(queue: Any) -> None:
    """What a worker does with the next job."""
    task = queue.dequeue()
    if task is not None:
        queue.execute(task)


@pytest.mark.only_on("sqlite")
def test_a_job_that_is_done_leaves_no_note(settings: Config) -> None:
    done: list[int] = []
    queue, ask = a_queue(settings, done)
    ask()
    take(queue)
    queue.resume()
    take(queue)
    assert done == [1] and not (settings.data_dir / UNDER_WAY).exists()


@pytest.mark.only_on("sqlite")
def test_a_job_that_kills_its_worker_twice_is_left_with_an_alarm(
    settings: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that dies over a job at each start would do nothing else ever again."""
    done: list[int] = []
    queue, ask = a_queue(settings, done, dies=True)
    ask()
    with pytest.raises(Killed):
        take(queue)
    queue, ask = a_queue(settings, done, dies=True)
    queue.resume()
    with pytest.raises(Killed):
        take(queue)
    queue, ask = a_queue(settings, done)
    with caplog.at_level(logging.CRITICAL):
        queue.resume()
    assert "died twice" in caplog.text
    take(queue)
    assert not done
    ask()
    take(queue)
    assert done == [1], "asked for again, it is done"


@pytest.mark.only_on("sqlite")
def test_a_job_that_cannot_be_done_just_now_is_tried_again(
    books: Flask, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then the turn to load a reading, which a worker that died has taken with it, is over too."""

    def busy(*_: object) -> None:
        raise Busy

    monkeypatch.setattr(settlements, "fetch_all", busy)
    web = tasks.register(books, settings)
    web.fetch_settlements()
    take(web.huey)
    (later,) = web.huey.scheduled()
    assert later.name == "fetch_settlements" and later.retries == tasks.AGAIN["retries"] - 1
    assert timedelta(minutes=tasks.AGAIN["retries"] - 1) >= settlement_loading.LEASE
    assert web.huey.read_schedule(later.eta) == [later] and not (settings.data_dir / UNDER_WAY).exists()


@pytest.mark.only_on("sqlite")
def test_the_timetable_is_kept_once_by_however_many_workers(settings: Config, tmp_path: Path) -> None:
    """Each worker looks every minute; the first one that sees a job due has it, also after a restart within the minute."""
    other = settings if settings.redis_url is None else replace(settings, data_dir=tmp_path)
    workers = []
    for each in (settings, other):
        queue = tasks.queue(each)
        queue.periodic_task(tasks.at_local(datetime(2026, 7, 1, 6, 0, tzinfo=UTC).time()), name="daily")(lambda: None)
        workers.append(queue)
    six = datetime(2026, 7, 1, 4, 0, tzinfo=UTC).replace(tzinfo=None)
    for day in (six, six.replace(day=2)):
        due = [task.name for queue in (*workers, *workers) for task in queue.read_periodic(day)]
        assert due == ["daily"]
    assert not [task for queue in workers for task in queue.read_periodic(six.replace(minute=1))]
    assert workers[0].storage.result_store_size() == 1, "yesterday's mark is gone"
