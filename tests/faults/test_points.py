"""A process is killed and freezes where it is told to: what the fault matrix stands on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, KlarnaOp
from services import operations, reservations
from services.gateway import Gateway
from states import DocState, OpState
from tests import builders
from tests.faults.conftest import Life
from tests.faults.points import BEATS, POINT, Fate


def test_the_wrapped_functions_are_still_there() -> None:
    for name in (*BEATS, "send"):
        assert callable(getattr(operations, name))
    assert callable(reservations.read_order)


@pytest.mark.parametrize("point", ["T1.before_commit", "T3.statement_4", "T3x.after_commit", "wire.sent", "look.after"])
def test_points_are_known(point: str) -> None:
    assert POINT.fullmatch(point)


def test_an_unknown_point_is_refused() -> None:
    with pytest.raises(SystemExit, match="there is no point T4"):
        Fate("T4.after_commit", 0, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("point", "documents", "operation", "captures"),
    [
        ("look.after", [], None, 0),
        ("T1.before_commit", [], None, 0),
        ("T1.after_commit", [DocState.PENDING], OpState.PREPARED, 0),
        ("T2.before_commit", [DocState.PENDING], OpState.PREPARED, 0),
        ("T2.after_commit", [DocState.PENDING], OpState.SENDING, 0),
        ("wire.connected", [DocState.PENDING], OpState.SENDING, 0),
        ("wire.answer", [DocState.PENDING], OpState.SENDING, 1),
        ("T3.statement_1", [DocState.PENDING], OpState.SENDING, 1),
        ("T3.statement_5", [DocState.PENDING], OpState.SENDING, 1),
        ("T3.before_commit", [DocState.PENDING], OpState.SENDING, 1),
        ("T3.after_commit", [DocState.ISSUED], OpState.CONFIRMED, 1),
    ],
)
def test_each_point_is_where_it_says(
    books: Flask,
    klarna: Gateway,
    sandbox: Control,
    live: Callable[..., Life],
    point: str,
    documents: list[DocState],
    operation: OpState | None,
    captures: int,
) -> None:
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
        builders.a_delivery(session, order)
    form = builders.a_money_form(49_900)
    live("invoice", order_id=order.id, nonce=form.nonce, shown=form.shown_minor, point=point).died()
    with reading() as session:
        assert [each.state for each in session.query(Document)] == documents
        assert [each.state for each in session.query(KlarnaOp)] == ([operation] if operation else [])
    assert len(sandbox.writes(operation="create_capture")) == captures
