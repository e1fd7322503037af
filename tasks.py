"""What runs without anybody waiting: the worker's queue, its timetable and the janitor's round every 15 seconds.

The queue is a SQLite file of its own in the data folder, or Redis when REDIS_URL is set. ``flask worker`` runs it. The
timetable counts minutes, so the janitor and the postman have loops of their own: threads of the worker, or of the web process
where no worker runs (JANITOR_IN_WEB). However many loops there are, the job lease lets one janitor work at a time
(operations 10 and 15), and each mail is taken by one postman at a time.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, cast

from flask import Flask
from huey import Huey, RedisHuey, SqliteHuey
from huey.exceptions import HueyException
from huey.registry import Message
from huey.serializer import Serializer

import clock
import config
import db
import job_keeper
from config import Config, Misconfigured
from job_keeper import KeepsItsJobs
from services import batch_run, janitor, klarna_accounts, order_uploads, postman, pushes, settlement_folder, settlements
from services.gateway import Gateway
from web_papers import Papers

JANITOR_SECONDS = 15.0
READINGS_SECONDS = 2.0
STUCK_SECONDS = 60.0
INTAKE_SECONDS = 2.0
"""How soon what has come in is attended to: Klarna's pushes, files of orders."""
POSTMAN_SECONDS = 10.0
NIGHTLY_LOOK = time(2, 30)
"""When Klarna is compared with our orders, local time (operations 10, rule 8)."""
SWEPT_AT = time(3, 30)
"""When PDF files that have been kept long enough are removed, local time."""
AGAIN = {"retries": 5, "retry_delay": 60}
"""How often, and seconds apart, a job is tried again that cannot be done just now; a dead worker's turn ends meanwhile."""
BATCH_SECONDS = 2.0
LONGEST_PAUSE = 30.0
"""How long a round that fails again and again waits at most for its next try."""
ALIVE = "worker.alive"
"""File in the data folder that the worker touches on every round."""

log = logging.getLogger("kvitta.tasks")


_FIELDS = Message._fields  # noqa: SLF001 - how a named tuple names its fields


class PlainSerializer(Serializer):  # type: ignore[misc]
    """Jobs as JSON: whoever can write to the queue can ask for a job we have, and can run no code of their own."""

    def _serialize(self, data: Any) -> bytes:
        plain = dict(zip(_FIELDS, data, strict=True)) if isinstance(data, Message) else data
        return json.dumps(plain, default=_instant).encode()

    def _deserialize(self, data: bytes) -> Any:
        read = json.loads(data, object_hook=_from_json)
        return Message(**read) if isinstance(read, dict) and read.keys() == set(_FIELDS) else read


def _instant(value: object) -> dict[str, str]:
    assert isinstance(value, datetime), f"{value!r} cannot be put into the queue"
    return {"at": value.isoformat()}


def _from_json(read: dict[str, Any]) -> Any:
    return datetime.fromisoformat(read["at"]) if set(read) == {"at"} else read


class _KnowsItsTasks:
    """A job this program does not know is not silently dropped: it sounds an alarm in the log."""

    def dequeue(self) -> Any:
        try:
            return cast(Any, super()).dequeue()
        except HueyException as error:
            log.critical(
                "The queue held a job this program does not know: %s. Is the worker older than the web?", error
            )
            return None


class _SqliteQueue(_KnowsItsTasks, KeepsItsJobs, SqliteHuey):  # type: ignore[misc]
    pass


class _RedisQueue(_KnowsItsTasks, KeepsItsJobs, RedisHuey):  # type: ignore[misc]
    pass


def queue(settings: Config) -> Huey:
    """The queue these settings say; while testing a job is done at once, in the process that asks for it.

    Raises Misconfigured.
    """
    common: dict[str, Any] = {"results": False, "serializer": PlainSerializer(), "immediate": settings.testing}
    made: _RedisQueue | _SqliteQueue
    if settings.redis_url:
        try:
            made = _RedisQueue("kvitta", url=settings.redis_url, **common)
        except ValueError:
            raise Misconfigured("REDIS_URL cannot be read: write redis://:password@host:6379/0.") from None
    else:
        file = settings.data_dir / "queue.db"
        job_keeper.put_aside_if_broken(file)
        made = _SqliteQueue("kvitta", filename=str(file), fsync=True, journal_mode="delete", **common)
    made.folder = settings.data_dir
    return made


def at_local(wanted: time) -> Callable[[datetime], bool]:
    """Whether a UTC minute is this one of the company's day, in summer as in winter."""

    def is_it(moment: datetime) -> bool:
        local = moment.replace(tzinfo=UTC).astimezone(clock.LOCAL)
        return (local.hour, local.minute) == (wanted.hour, wanted.minute)

    return is_it


@dataclass(frozen=True, slots=True)
class Tasks:
    """The app's queue and the jobs that can be asked for: ``current_app.extensions["tasks"].fetch_settlements()``."""

    huey: Huey
    fetch_settlements: Callable[[], object]


def register(app: Flask, settings: Config | None = None) -> Tasks:
    """Give the app its queue with every job registered, as ``app.extensions["tasks"]``."""
    settings = settings or config.load()
    huey = queue(settings)
    klarna = cast(Gateway, app.extensions["klarna"])

    def fetch() -> None:
        with app.app_context():
            settlements.fetch_all(klarna)

    def look() -> None:
        with app.app_context():
            janitor.nightly(klarna)

    def sweep() -> None:
        cast(Papers, app.extensions["papers"]).printer.sweep()

    asked = huey.task(name="fetch_settlements", **AGAIN)(fetch)
    huey.periodic_task(at_local(settlements.FETCHED_AT), name="fetch_settlements_daily", **AGAIN)(fetch)
    huey.periodic_task(at_local(NIGHTLY_LOOK), name="look_at_all_orders", **AGAIN)(look)
    huey.periodic_task(at_local(SWEPT_AT), name="remove_old_pdf_files")(sweep)
    made = app.extensions["tasks"] = Tasks(huey, asked)
    return made


class Round(threading.Thread):
    """A thread that does the same thing again and again, a pause apart; what goes wrong is logged and tried again."""

    def __init__(self, app: Flask, work: Callable[[], object], pause: float, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._app, self._work, self._pause = app, work, pause
        self._over = threading.Event()

    def run(self) -> None:
        failures, told = 0, ""
        while not self._over.is_set():
            pause = self._pause
            try:
                with self._app.app_context():
                    self._work()
                failures, told = 0, ""
            # Whatever it was, the next round is another chance, and a dead loop would leave money waiting in silence.
            except Exception as error:
                pause = max(self._pause, min(self._pause * 2**failures, LONGEST_PAUSE))
                failures = min(failures + 1, 10)
                # A database that is away all night must not fill the disk with what is known after the first time.
                said = " ".join(str(error).split())[:200]
                log.exception("%s failed and is tried again in %s s: %s", self.name, pause, said, exc_info=said != told)
                told = said
            self._over.wait(pause)

    @property
    def is_over(self) -> bool:
        """Whether it has been told to stop."""
        return self._over.is_set()

    def stop(self) -> None:
        """No further round; waits for the one that is under way."""
        self._over.set()
        self.join(timeout=90)


def start_janitor(app: Flask, settings: Config, *, in_worker: bool = False) -> Round:
    """Let the janitor make its rounds in a thread of this process."""
    klarna = cast(Gateway, app.extensions["klarna"])
    alive = settings.data_dir / ALIVE

    def work() -> None:
        janitor.run(klarna)
        if in_worker:
            alive.touch()

    made = Round(app, work, JANITOR_SECONDS, "janitor")
    made.start()
    return made


def start_postman(app: Flask) -> Round:
    """Let the postman make his rounds in a thread of this process."""
    made = Round(app, lambda: postman.run(app.extensions["postman"]), POSTMAN_SECONDS, "postman")
    made.start()
    return made


def start_intake(app: Flask) -> Round:
    """Let what has come in be read back and taken, in a thread of this process."""
    klarna = cast(Gateway, app.extensions["klarna"])
    made = Round(app, lambda: (pushes.run(klarna), order_uploads.run()), INTAKE_SECONDS, "intake")
    made.start()
    return made


def start_batches(app: Flask) -> Round:
    """Let what is asked for by the dozen be done, in a thread of this process; it stops between two rows."""
    klarna = cast(Gateway, app.extensions["klarna"])
    made = Round(app, lambda: batch_run.run_all(klarna, lambda: not made.is_over), BATCH_SECONDS, "batches")
    made.start()
    return made


def start_readings(app: Flask, settings: Config) -> Round:
    """Let what was begun be loaded, and the watched folder be looked into, in a thread of this process."""
    # In a process that serves pages, too, nobody waits for this thread.
    klarna = Gateway(settings.credentials_key, settings.data_dir, settings.database_url, in_worker=True)
    folder = settings.settlement_folder
    watch = settlement_folder.Watch(folder, settings.data_dir) if folder is not None else None

    rests_until = 0.0

    def work() -> None:
        nonlocal rests_until
        if clock.monotonic() >= rests_until and settlements.finish(klarna):
            with db.reading() as session:
                # What could not be finished is said in the log, and is not tried every two seconds.
                if settlements.progress(session):
                    rests_until = clock.monotonic() + STUCK_SECONDS
        if watch is not None:
            watch.run(klarna)

    made = Round(app, work, READINGS_SECONDS, "readings")
    made.start()
    return made


def start_rounds(app: Flask, settings: Config, *, in_worker: bool = False) -> list[Round]:
    """Start every loop in this process."""
    return [
        start_janitor(app, settings, in_worker=in_worker),
        start_postman(app),
        start_intake(app),
        start_batches(app),
        start_readings(app, settings),
    ]


def unhurried(app: Flask, settings: Config) -> Gateway:
    """Give the app the gateway of a process in which nobody waits for a page: Klarna may take a minute to answer."""
    made = Gateway(settings.credentials_key, settings.data_dir, settings.database_url, in_worker=True)
    app.extensions["klarna"] = made
    return made


def work(app: Flask) -> None:
    """Be the worker until SIGTERM: take jobs, keep the timetable, let the janitor make its rounds."""
    settings = config.load()
    klarna = unhurried(app, settings)
    klarna_accounts.hold_unreadable(klarna)
    made = register(app, settings)
    rounds = start_rounds(app, settings, in_worker=True)
    try:
        made.huey.create_consumer(workers=1, graceful_signal="TERM", max_delay=1.0).run()
    finally:
        for each in rounds:
            each.stop()
