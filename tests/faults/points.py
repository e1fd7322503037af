"""Lets a process end, or freeze, at a named point. Of the tests only.

Points (invariants 2): ``T1.before_commit``, ``T1.after_commit``, ``look.after``, ``T2.before_commit``, ``T2.after_commit``,
``wire.before`` (permitted, and others may write again), ``wire.connected``, ``wire.first_byte``, ``wire.sent`` (the whole
request is out), ``wire.answer``, ``T3.statement_<n>`` (before the n-th statement), ``T3.before_commit``, ``T3.after_commit``,
``T3x.before_commit``, ``T3x.after_commit``; of a settlement reading ``reading.kept`` (its bytes are), ``reading.begun``
(its payouts, not committed), ``reading.block`` (some rows), ``reading.settled`` (a payout). The product knows none of them:
functions are wrapped here, in this process. T1, T2, T3 and T3x are told apart by which of ``intend``, ``permit``, ``record``
and ``record_failed`` of services/operations.py runs in the transaction.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

import klarna_client
from services import beats, operations, settlement_bytes, settlement_import, settlement_loading

BEATS = {"intend": "T1", "permit": "T2", "record": "T3", "record_failed": "T3x"}
POINT = re.compile(
    r"(T1|T2|T3|T3x)\.(before_commit|after_commit)|T3\.statement_\d+|look\.after|wire\.(before|connected|first_byte|sent|answer)"
    r"|reading\.(kept|begun|block|settled)"
)


class Here(threading.local):
    """Where this thread is: the beat of its transaction, statements since, whether it is on the wire of an act."""

    beat = ""
    statements = 0
    sending = False


class Fate:
    """Ends or freezes this process when its point is reached for the ``skip + 1``-th time."""

    def __init__(self, point: str, skip: int, number: signal.Signals) -> None:
        if not POINT.fullmatch(point):
            raise SystemExit(f"there is no point {point}")
        self._point, self._left, self._signal = point, skip, number
        self._guard = threading.Lock()

    def reached(self, point: str) -> None:
        """Tell that a point has been reached."""
        if point != self._point:
            return
        with self._guard:
            self._left -= 1
            if self._left == -1:
                os.kill(os.getpid(), self._signal)


def arrange(fate: Fate) -> None:
    """Wrap what the points stand for."""
    here = Here()

    def begins(name: str, beat: str) -> None:
        original: Callable[..., Any] = getattr(operations, name)

        @wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            here.beat, here.statements = beat, 0
            return original(*args, **kwargs)

        setattr(operations, name, wrapped)

    for name, beat in BEATS.items():
        begins(name, beat)

    commit = Session.commit

    def commits(self: Session) -> None:
        beat, here.beat = here.beat, ""
        if not beat:
            commit(self)
            return
        self.flush()
        fate.reached(f"{beat}.before_commit")
        commit(self)
        fate.reached(f"{beat}.after_commit")

    Session.commit = commits  # type: ignore[method-assign]
    rollback = Session.rollback

    def rolls_back(self: Session) -> None:
        here.beat = ""
        rollback(self)

    Session.rollback = rolls_back  # type: ignore[method-assign]

    @sa.event.listens_for(Engine, "before_cursor_execute")
    def _counts(*_args: Any) -> None:
        if here.beat == "T3":
            here.statements += 1
            fate.reached(f"T3.statement_{here.statements}")

    look = beats.read_order

    @wraps(look)
    def looks(*args: Any, **kwargs: Any) -> Any:
        found = look(*args, **kwargs)
        fate.reached("look.after")
        return found

    beats.read_order = looks
    send = operations.send

    @wraps(send)
    def sends(*args: Any, **kwargs: Any) -> Any:
        fate.reached("wire.before")
        here.sending = True
        try:
            outcome = send(*args, **kwargs)
        finally:
            here.sending = False
        fate.reached("wire.answer")
        return outcome

    operations.send = sends
    check_peer = klarna_client.Wire.check_peer

    def connected(self: klarna_client.Wire, peer: Any) -> None:
        check_peer(self, peer)
        if here.sending:
            fate.reached("wire.connected")

    klarna_client.Wire.check_peer = connected  # type: ignore[method-assign]
    put = http.client.HTTPConnection.send

    def puts(self: http.client.HTTPConnection, data: Any) -> None:
        put(self, data)
        if here.sending:
            fate.reached("wire.first_byte")

    http.client.HTTPConnection.send = puts  # type: ignore[method-assign]
    get = http.client.HTTPConnection.getresponse

    def gets(self: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if here.sending:
            fate.reached("wire.sent")
        return get(self)

    http.client.HTTPConnection.getresponse = gets  # type: ignore[method-assign]
    for room, name, point in (
        (settlement_bytes, "keep", "reading.kept"),
        (settlement_import, "_store", "reading.begun"),
        (settlement_loading.Turn, "_write", "reading.block"),
        (settlement_loading, "settle", "reading.settled"),
    ):
        _after(room, name, fate, point)


def _after(room: Any, name: str, fate: Fate, point: str) -> None:
    original = getattr(room, name)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        fate.reached(point)
        return found

    setattr(room, name, wrapped)
