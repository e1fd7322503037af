"""Captures without Klarna's own time: the look and the wire answer at once, in this process alone; and the bare floor, tx7."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa
from flask import Flask

import clock
import db
from benchmarks.filling import identity
from benchmarks.serving import config_for
from klarna_client import Answer
from services import beats, operations, reservations
from services.gateway import Access, Gateway
from services.looks import Found, Look
from services.operations import Outcome, Permission
from states import AnswerClass, DocType, KlarnaStatus
from tests.builders import CLERK, a_money_form

AMOUNT = 49_900


class InstantKlarna:
    """What Klarna would say, at once: every order has a reservation of one amount until it is captured."""

    def __init__(self) -> None:
        self._captures: dict[str, Found] = {}

    def look(self, _klarna: Gateway, _access: Access, order_id: str, _seconds: float = 0) -> Look:
        capture = self._captures.get(order_id)
        taken = capture.amount_minor if capture else 0
        return Look(
            at=clock.now(), order_id=order_id, status=KlarnaStatus.CAPTURED if capture else KlarnaStatus.AUTHORIZED,
            fraud_status="ACCEPTED", currency="SEK", order_amount=AMOUNT, captured=taken, refunded=0, remaining=AMOUNT - taken,
            expires_at=clock.now() + timedelta(days=28), reference="K0000000", method="INVOICE",
            captures=(capture,) if capture else (), refunds=(),
        )  # fmt: skip

    def send(self, _klarna: Gateway, permission: Permission) -> Outcome:
        order_id = permission.path.split("/orders/")[1].split("/")[0]
        object_id, now = identity("sent", hash(order_id)), clock.now()
        with db.reading() as session:
            reference = session.execute(
                sa.text("SELECT reference FROM klarna_op WHERE id = :id"), {"id": permission.op_id}
            ).scalar_one()
        self._captures[order_id] = Found(object_id, reference, AMOUNT, now, "K0000000-1")
        answer = Answer(201, "", object_id=object_id, correlation_id="x")
        return Outcome(AnswerClass.ANSWER, answer, None, now, now, 0)

    def instead(self) -> Any:
        """Put this in Klarna's place for a while."""
        return mock.patch.multiple(beats, read_order=self.look), mock.patch.multiple(operations, send=self.send)


def capture(klarna: Gateway, order_id: int) -> None:
    """One invoice, captured, issued and booked, as the button does it."""
    reservations.invoice(klarna, CLERK, order_id, DocType.FINAL, a_money_form(AMOUNT))


# --- The floor -------------------------------------------------------------------------------------------------------

TX7 = """
CREATE TABLE t_order (id INTEGER PRIMARY KEY, status TEXT NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE t_invoice (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE t_ledger (id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL, account INTEGER NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE t_audit (id INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL);
"""


def make_tx7(engine: sa.Engine, orders: int) -> None:
    """The floor's tables, beside Kvitta's in the same file, so that both commit to the same disk."""
    with engine.begin() as connection:
        for statement in filter(str.strip, TX7.split(";")):
            connection.exec_driver_sql(statement)
        rows = [{"i": n} for n in range(1, orders + 1)]
        connection.execute(sa.text("INSERT INTO t_order VALUES (:i, 'open', 49900)"), rows)


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *[sa.column(each) for each in columns])


ORDER, INVOICE = _table("t_order", "id", "status", "amount"), _table("t_invoice", "id", "order_id", "amount")
LEDGER, AUDIT = _table("t_ledger", "invoice_id", "account", "amount"), _table("t_audit", "at", "what")


def tx7(engine: sa.Engine, order_id: int) -> None:
    """Read the order, insert the invoice, three ledger lines, update the order, an audit row: one transaction, FULL."""
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        amount = connection.execute(sa.select(ORDER.c.amount).where(ORDER.c.id == order_id)).scalar_one()
        made = connection.execute(
            sa.insert(INVOICE).values(order_id=order_id, amount=amount).returning(INVOICE.c.id)
        ).scalar_one()
        lines = [(1510, amount), (3001, -amount * 4 // 5), (2611, -amount // 5)]
        connection.execute(sa.insert(LEDGER), [{"invoice_id": made, "account": a, "amount": m} for a, m in lines])
        connection.execute(sa.update(ORDER).where(ORDER.c.id == order_id).values(status="captured"))
        connection.execute(sa.insert(AUDIT).values(at="2026-01-01", what="captured"))


# --- Several writers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """What a writing process did: how long each capture took, and what went wrong."""

    seconds: list[float]
    lasted: float
    errors: list[str]


def _write(url: str, folder: Path, orders: list[int], pause: float, lasting: float, start: Any, told: Any) -> None:
    app = Flask("writer")
    db.set_up(app, url)
    klarna = Gateway(bytes(range(32)), folder, url)
    look, send = InstantKlarna().instead()
    seconds, errors = [], []
    with app.app_context(), look, send:
        start.wait()
        began = time.perf_counter()
        for order_id in orders:
            if time.perf_counter() - began > lasting:
                break
            at = time.perf_counter()
            try:
                capture(klarna, order_id)
            except Exception as error:  # noqa: BLE001 - told to the benchmark
                errors.append(f"{type(error).__name__}: {error}"[:300])
            seconds.append(time.perf_counter() - at)
            if pause:
                time.sleep(pause)
        told.put(Written(seconds, time.perf_counter() - began, errors))


def write_at_once(
    url: str, folder: Path, shares: list[list[int]], *, pause: float = 0, lasting: float = 8
) -> list[Written]:
    """Let as many processes as there are shares capture their orders at the same time."""
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(len(shares)), context.Queue()
    made = [context.Process(target=_write, args=(url, folder, share, pause, lasting, start, told)) for share in shares]
    for each in made:
        each.start()
    found = [told.get(timeout=120) for _ in made]
    for each in made:
        each.join(30)
    return found


def app_on(url: str, folder: Path) -> tuple[Flask, Gateway]:
    """Just the database and the gateway, for captures in this process."""
    app = Flask("captures")
    config_for(url, folder)
    db.set_up(app, url)
    return app, Gateway(bytes(range(32)), folder, url)


Capture = Callable[[], None]
