"""What many tests begin with, a captured invoice say, is built once per test process, then laid out from a copy.

Only a world that nothing has touched is replaced: the database as it was copied for the test and a sandbox without orders, or
both as such a beginning left them; the real clock, nothing patched. The copy is of the same day, the same database kind and the
same switches of the sandbox, and holds what the real services had written; the one thing changed in it is the host, which is
the present test's.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from flask import current_app

import clock
import db
from klarna_sandbox.control import Control
from klarna_sandbox.server import RunningServer
from models import Installation, SenderLease
from services.gateway import Gateway
from tests.databases import Postgres, Sqlite

MOST = 60
"""Copies kept per test process and database kind."""
AT_KLARNA = (
    "merchants", "passwords", "api_keys", "orders", "rows", "unpaid", "rows_of_order", "payouts", "keys", "callbacks",
    "pending", "log", "warnings", "before", "counters", "windows",
)  # fmt: skip
"""What a sandbox's world holds besides its clock, switches and faults."""
REAL_NOW, REAL_DATETIME = clock.now, datetime

Result = TypeVar("Result")


@dataclass
class Place:
    """Where the running test is."""

    kind: Sqlite | Postgres
    url: str
    request: pytest.FixtureRequest
    stands: tuple[str, object, bytes] | None = None
    """The copy the test has begun with so far, and how database and sandbox looked just after it."""


@dataclass(frozen=True)
class _Kept:
    name: str
    at_klarna: bytes
    """The sandbox's world, its switches and its faults."""
    result: bytes


here: Place | None = None
running: RunningServer | None = None
_numbers = itertools.count(1)
_kept: dict[tuple[Any, ...], _Kept] = {}


def begin(what: str, klarna: Gateway, sandbox: Control, build: Callable[[], Result]) -> Result:
    """What ``build`` gives, or the same again from a copy; ``what`` says all that it depends on."""
    key = _key(what, klarna, sandbox)
    if key is None or here is None:
        return build()
    found = _kept.pop(key, None)
    if found is not None:
        _kept[key] = found  # the last one used is thrown away last
        _lay_out(found, klarna)
        here.stands = found.name, here.kind.mark(here.url), _at_klarna()
        result: Result = pickle.loads(found.result)  # noqa: S301 - our own, of this process
        return result
    made = build()
    if clock.now is REAL_NOW and _clock_runs(running):
        assert running is not None
        _make_room(here.kind)
        name = f"world-{next(_numbers)}"
        _let_go(here.kind)
        here.kind.keep(here.url, name)
        _kept[key] = _Kept(name, _at_klarna(), pickle.dumps(made))
        here.stands = name, here.kind.mark(here.url), _kept[key].at_klarna
    return made


def _at_klarna() -> bytes:
    assert running is not None
    world = running.world
    with world.lock:
        held = {each: getattr(world, each) for each in AT_KLARNA}
        return pickle.dumps((held, world.switches.as_doc(), world.faults))


def _make_room(kind: Sqlite | Postgres) -> None:
    of_its_kind = [key for key in _kept if key[0] == kind.name]
    if len(of_its_kind) >= MOST:
        kind.throw_away(_kept.pop(of_its_kind[0]).name)


def _let_go(kind: Sqlite | Postgres) -> None:
    """Nobody is connected to a file that is copied."""
    if kind.name == "sqlite":
        db.db.engine.dispose()


def kept(build: Callable[..., Result]) -> Callable[..., Result]:
    """A fixture, or a function with keywords only, that depends on nothing but ``klarna``, ``sandbox`` and the company.

    What it gives must survive a copy.
    """

    @wraps(build)
    def begun(**given: Any) -> Result:
        return begin(
            f"{build.__module__}.{build.__qualname__}", given["klarna"], given["sandbox"], lambda: build(**given)
        )

    return begun


def _key(what: str, klarna: Gateway, sandbox: Control) -> tuple[Any, ...] | None:
    """What a copy must agree in; None where nothing may be replaced."""
    if here is None or running is None or sandbox.url != running.url or klarna is not current_app.extensions["klarna"]:
        return None
    if clock.now is not REAL_NOW or clock.datetime is not REAL_DATETIME or _is_patched(here.request):  # type: ignore[attr-defined]
        return None
    world = running.world
    with world.lock:
        touched = any(getattr(world, each) for each in AT_KLARNA) or world.faults.waiting
        switches = repr(sorted(world.switches.as_doc().items()))
    if not _clock_runs(running):
        return None
    if not touched and here.kind.is_untouched(here.url):
        before = ""
    elif here.stands is not None and here.stands[1:] == (here.kind.mark(here.url), _at_klarna()):
        before = here.stands[0]
    else:
        return None
    return here.kind.name, what, switches, clock.today(), klarna.in_worker, before


def _clock_runs(sandbox: RunningServer | None) -> bool:
    held = vars(sandbox.world.clock) if sandbox is not None else {"_offset": None, "_frozen": 0}
    return not held["_offset"] and held["_frozen"] is None


def _is_patched(request: pytest.FixtureRequest) -> bool:
    used: Mapping[str, Any] = request.node.funcargs
    patch = used.get("monkeypatch")
    return patch is not None and bool(patch._setattr or patch._setitem)


def _lay_out(kept: _Kept, klarna: Gateway) -> None:
    assert here is not None
    assert running is not None
    _let_go(here.kind)
    here.kind.lay_out(here.url, kept.name)
    world = running.world
    with world.lock:
        held, switches, world.faults = pickle.loads(kept.at_klarna)  # noqa: S301 - our own, of this process
        world.switches.from_doc(switches)
        for name, value in held.items():
            setattr(world, name, value)
    with db.writing() as session:
        installation = session.scalars(sa.select(Installation.installation_id)).one()
        session.execute(sa.update(SenderLease).values(host_id=klarna.host_id(installation), process=klarna.sender))
