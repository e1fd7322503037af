"""A queue that keeps the job under way in a file, so that a worker that is killed leaves nothing undone in silence.

huey takes a job out of the queue before it is done, in SQLite as in Redis; a worker that dies then takes the job with it. Every
job of ours may be done twice (settlements are recognised, Klarna is looked at again), so what was under way is asked for again
when the worker starts. And where several workers share one Redis, each keeps the timetable: the first of a minute has it.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from config import Misconfigured

log = logging.getLogger("kvitta.tasks")

UNDER_WAY = "job.under-way"
"""File in the data folder with the job the worker of this folder is doing."""


def put_aside_if_broken(file: Path) -> None:
    """Lay a damaged queue aside, so that the worker starts: it holds jobs, never facts. Raises Misconfigured."""
    try:
        with closing(sqlite3.connect(file)) as looked:
            whole = looked.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return
        raise Misconfigured(f"The queue {file} cannot be used: {error}.") from error
    except sqlite3.DatabaseError:
        whole = False
    if not whole:
        aside = file.with_name(f"{file.name}.broken")
        file.replace(aside)
        log.critical(
            "The queue was damaged; it lies as %s, and a new one is begun. Jobs come again by the timetable.", aside
        )


class KeepsItsJobs:
    """What a huey does besides: note the job under way, resume what a dead worker left, keep the timetable with others."""

    folder: Path
    """The data folder of this worker."""
    _resumed: str | None = None

    @property
    def _note(self) -> Path:
        return self.folder / UNDER_WAY

    def execute(self, task: Any, timestamp: datetime | None = None) -> Any:
        """Do a job, with a note of it as long as it takes."""
        above = cast(Any, super())
        if cast(Any, self).immediate:
            return above.execute(task, timestamp)
        again = task.id == self._resumed
        content = {"again": again, "job": cast(Any, self).serialize_task(task).decode()}
        try:
            self._write(json.dumps(content))
        except OSError:
            # The job has left the queue already: without a note it is done once at the most; not done, it would be lost.
            log.critical("No note could be made of the job %s; it is done without one.", task, exc_info=True)
        done = above.execute(task, timestamp)
        self._note.unlink(missing_ok=True)
        return done

    def _write(self, content: str) -> None:
        draft = self._note.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._note)

    def resume(self) -> None:
        """Ask again for the job that a worker of this folder died over: once, since it may be the job that kills it.

        Never raises: a worker that does not start settles no lost answers. A note nobody can read, or of a job this program does
        not know, is an alarm; a queue that cannot be reached just now has the note at the next start.
        """
        queue = cast(Any, self)
        try:
            left = json.loads(self._note.read_text(encoding="utf-8"))
            task, again = queue.deserialize_task(left["job"].encode()), left["again"]
        except FileNotFoundError:
            return
        except Exception:
            log.critical("The worker died over a job whose note cannot be used; it is left undone.", exc_info=True)
            self._note.unlink(missing_ok=True)
            return
        if again:
            log.critical(
                "The worker has died twice over the job %s; it is left undone until it is asked for again.", task
            )
        else:
            log.warning("The worker died over the job %s; it is done again.", task)
            self._resumed = task.id
            try:
                queue.enqueue(task)
            except Exception:
                log.critical(
                    "The queue cannot be written to; the job %s waits for the next start.", task, exc_info=True
                )
                return
        self._note.unlink()

    def create_consumer(self, **options: Any) -> Any:
        """The loop of the worker; what the last one left undone comes first."""
        self.resume()
        return cast(Any, super()).create_consumer(**options)

    def read_periodic(self, timestamp: datetime | None) -> list[Any]:
        """The jobs of the timetable that are due this minute and that no other worker of the same queue has taken up."""
        now: datetime = cast(Any, self)._get_timestamp() if timestamp is None else timestamp  # noqa: SLF001 - huey's own clock
        return [task for task in cast(Any, super()).read_periodic(now) if self._is_first(task.name, now)]

    def _is_first(self, name: str, now: datetime) -> bool:
        storage = cast(Any, self).storage
        first = bool(storage.put_if_empty(_mark(name, now), b"1"))
        if first:
            storage.delete_data(_mark(name, now - timedelta(days=1)))
        return first


def _mark(name: str, at: datetime) -> str:
    return f"timetable {name} {at:%Y-%m-%d %H:%M}"
