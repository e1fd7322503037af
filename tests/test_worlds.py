"""A world laid out from a copy is the one that was built; nothing that a test has touched is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, Order, User
from services import invoices, verify
from services.gateway import Gateway
from services.verify import CheckState
from states import DocState
from tests import builders, worlds
from tests.builders import a_captured_invoice, a_customer, an_invoice
from tests.databases import Postgres, Sqlite


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Copies of this test's own."""
    with monkeypatch.context() as patch:
        patch.setattr(worlds, "_kept", {})
        # What is patched here are the copies, not the world.
        patch.setattr(worlds, "_is_patched", lambda _request: False)
        yield


@pytest.fixture
def afresh(all_databases: Any, books: Flask, sandbox: Control) -> Callable[[], None]:
    """Gives the test a database and a sandbox as new."""
    here = worlds.here
    assert here is not None

    def begin_again() -> None:
        worlds.db.db.engine.dispose()
        sandbox.reset()
        kind: Sqlite | Postgres = here.kind
        kind.renew(here.url, "company")

    return begin_again


def what_is_there(document: Document, sandbox: Control) -> tuple[Any, ...]:
    with reading() as session:
        (order,) = session.scalars(sa.select(Order))
    (klarna_id,) = sandbox.find_orders()
    at_klarna = sandbox.state(klarna_id)
    assert order.klarna_order_id == klarna_id
    return (
        document.number_text, document.state, document.gross_minor, [line.name for line in document.lines], order.icon,
        at_klarna["captured_amount"], [each["reference"] for each in at_klarna["captures"]],
    )  # fmt: skip


def test_the_second_time_it_comes_from_a_copy_and_is_the_same(
    books: Flask,
    klarna: Gateway,
    sandbox: Control,
    kept: None,
    afresh: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = what_is_there(a_captured_invoice(klarna, sandbox), sandbox)
    afresh()
    monkeypatch.setattr(builders, "an_order", None)
    copied = a_captured_invoice(klarna, sandbox)
    assert built == what_is_there(copied, sandbox)
    monkeypatch.undo()
    with writing() as session:
        order = builders.an_order(session, sandbox)
        builders.a_delivery(session, order)
    assert an_invoice(klarna, order).state is DocState.ISSUED, (
        "this host may send, and numbers and Klarna go on from there"
    )
    with reading() as session:
        assert [each.id for each in verify.run(session) if each.state is CheckState.FAILED] == []


def test_what_is_asked_for_differently_is_built(
    books: Flask, klarna: Gateway, sandbox: Control, kept: None, afresh: Callable[[], None]
) -> None:
    for lines in (1, 1, 2):
        afresh()
        made = a_captured_invoice(klarna, sandbox, lines=lines)
        assert len(made.lines) == lines
    afresh()
    sandbox.switches(fee_fixed=1_00)
    a_captured_invoice(klarna, sandbox)
    assert len(worlds._kept) == 3


def test_a_beginning_upon_a_beginning_is_kept_with_it(
    books: Flask, klarna: Gateway, sandbox: Control, kept: None, afresh: Callable[[], None]
) -> None:
    def two() -> list[str | None]:
        return [a_captured_invoice(klarna, sandbox, lines=lines).number_text for lines in (1, 2)]

    built = two()
    assert len(worlds._kept) == 2
    ids = sandbox.find_orders()
    afresh()
    assert (two(), sandbox.find_orders(), len(worlds._kept)) == (built, ids, 2)
    afresh()
    first = a_captured_invoice(klarna, sandbox, lines=1)
    with writing() as session:
        a_customer(session)
    assert a_captured_invoice(klarna, sandbox, lines=2).number_text == built[1] != first.number_text
    assert len({*ids} & {*sandbox.find_orders()}) == 1, "what was written in between stays, so that the second is built"
    afresh()
    # The copy it stood upon is no more: another one is another beginning.
    worlds._kept.pop(next(key for key in worlds._kept if not key[-1]))
    two()
    assert len(worlds._kept) == 3


@pytest.mark.parametrize(
    "how", ["a new row", "a changed row", "an order at klarna", "a fault", "time at klarna", "time", "nothing"]
)
def test_what_is_touched_is_not_replaced(
    books: Flask, klarna: Gateway, sandbox: Control, kept: None, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "a new row":
        with writing() as session:
            a_customer(session)
    elif how == "a changed row":
        with writing() as session:
            session.execute(sa.update(User).values(name="Någon").where(User.id == 1))
    elif how == "an order at klarna":
        sandbox.merchant("K1", "user", "password", name="Butiken")
    elif how == "a fault":
        sandbox.fault("refuse", operation="create_refund")
    elif how == "time at klarna":
        sandbox.move_clock(timedelta(days=1))
    elif how == "time":
        later = count(1)
        monkeypatch.setattr(clock, "now", lambda: worlds.REAL_NOW() + timedelta(seconds=next(later)))
    assert (worlds._key("it", klarna, sandbox) is None) == (how != "nothing")


def test_what_is_patched_is_not_replaced(
    books: Flask, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worlds._key("it", klarna, sandbox) is not None
    monkeypatch.setattr(invoices, "issue", invoices.issue)
    assert worlds._key("it", klarna, sandbox) is None
