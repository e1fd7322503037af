"""A warm process that gives birth to short-lived ones: each does one act of Kvitta, then ends, dies or freezes at a point.

    python -m tests.faults.nursery          one wish per line of standard input, as JSON; two answers per wish

A wish: ``act`` (a name of ACTS), ``values`` (its keywords), ``data``, ``url``, ``log``, and where it is to end: ``point``,
``skip``, ``signal`` (see points.py). The answers: ``{"pid": …}`` at its birth, ``{"status": …}`` at its end. A child is
a fork of a process without threads, so it starts in milliseconds and shares nothing with anybody but the database. The nursery
has rehearsed the acts once, on a database and a sandbox of its own, so that no child compiles statements anew.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy.orm
from flask import Flask

import clock
import db
import models
from klarna_sandbox import server as sandbox_server
from klarna_sandbox.control import Control
from services import invoices, janitor, reservations, settlement_loading, settlements
from services.gateway import Gateway
from services.reservations import MoneyForm
from states import DocType
from tests import builders, databases
from tests.faults.aftermath import CAPTURE, REFUND, TO_BE
from tests.faults.moved_clock import MovedClock
from tests.faults.points import Fate, arrange

CLOCK_FILE = "moved.clock"


def _invoice(klarna: Gateway, *, order_id: int, nonce: str, shown: int) -> None:
    reservations.invoice(klarna, builders.CLERK, order_id, DocType.DELIVERY, MoneyForm(nonce, shown))


def _credit(klarna: Gateway, *, draft_id: int, nonce: str, shown: int) -> None:
    reservations.credit(klarna, builders.CLERK, draft_id, MoneyForm(nonce, shown))


def _send_now(klarna: Gateway, *, document_id: int) -> None:
    reservations.send_now(klarna, builders.CLERK, document_id)


def _retry(klarna: Gateway, *, document_id: int, nonce: str) -> None:
    reservations.retry(klarna, builders.CLERK, document_id, MoneyForm(nonce, 0))


def _janitor(klarna: Gateway) -> None:
    janitor.run(klarna)


def _read_in(klarna: Gateway, *, path: str, block: int) -> None:
    settlement_loading.BLOCK = block
    settlements.read_in(klarna, builders.FINANCE, settlements.Report(Path(path).read_bytes(), "settlement.csv"))


ACTS: dict[str, Callable[..., None]] = {
    "invoice": _invoice,
    "credit": _credit,
    "send_now": _send_now,
    "retry": _retry,
    "janitor": _janitor,
    "read_in": _read_in,
}


def be_impatient(put: Callable[[Any, str, Any], None], put_pragma: Callable[[str, str], None], seconds: float) -> None:
    """Wait so long for the database, not ten seconds: all the waits there are, before an engine is made."""
    put(db, "WAIT_SECONDS", seconds)
    put(db, "POSTGRES_OPTIONS", db.POSTGRES_OPTIONS.replace("lock_timeout=3000", f"lock_timeout={int(seconds * 300)}"))
    put(db.WriteQueue.turn.__wrapped__, "__defaults__", (seconds,))  # type: ignore[attr-defined]
    put_pragma("busy_timeout", str(int(seconds * 1000)))


def _explode(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("booking failed")


def _live(wish: dict[str, Any]) -> None:
    """One life: the act, on the database and data folder of the wish, towards the point where it ends."""
    data = Path(wish["data"])
    MovedClock(data / CLOCK_FILE).install(setattr, clock)
    if "wait_seconds" in wish:
        be_impatient(setattr, db.PRAGMAS.__setitem__, wish["wait_seconds"])
    if wish.get("booking_fails"):
        invoices.issue = reservations.credit_notes.issue = _explode
    if wish.get("point"):
        arrange(Fate(wish["point"], wish.get("skip", 0), signal.Signals[f"SIG{wish.get('signal', 'KILL')}"]))
    app = Flask("nursling")
    db.set_up(app, wish["url"])
    klarna = Gateway((data / "credentials.key").read_bytes(), data, wish["url"], in_worker=wish["act"] == "janitor")
    with app.app_context():
        databases.compile_once(db.db.engine)
        ACTS[wish["act"]](klarna, **wish["values"])


def rehearse() -> None:
    """Do the acts once, so that a child finds their statements compiled (databases.compile_once)."""
    with tempfile.TemporaryDirectory(prefix="kvitta-nursery-") as folder, sandbox_server.start() as sandbox:
        url = f"sqlite:///{folder}/rehearsal.db"
        databases.furnish(url, builders.furnish_company)
        app = Flask("rehearsal")
        db.set_up(app, url)
        klarna, control = Gateway(bytes(32), Path(folder), url), Control(sandbox.url)
        with app.app_context():
            databases.compile_once(db.db.engine)
            for operation in (CAPTURE, REFUND):
                TO_BE[operation](klarna, control).press(klarna)
            janitor.run(klarna)
            db.db.engine.dispose()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=10)
    assert threading.active_count() == 1, threading.enumerate()


def _child(wish: dict[str, Any]) -> NoReturn:
    log = os.open(wish["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    status = 1
    try:
        _live(wish)
        status = 0
    except BaseException:  # noqa: BLE001 - told in the log and by the status
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Bear one child per wish, until nobody wishes any more."""
    sqlalchemy.orm.configure_mappers()
    assert models.Document.__table__ is not None
    rehearse()
    # What is there now stays, also in the children: their collectors need not touch it.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        wish = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(wish)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
