"""The log: it says what was done if and only if it was done, and shows when it was tampered with."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, transact, writing
from models import Audit, Warehouse
from rights import SYSTEM, Actor
from services import audit, verify
from tests.threads import in_threads

pytestmark = pytest.mark.bare_database


def chain_holds() -> bool:
    with reading() as session:
        return all(result.state is verify.CheckState.OK for result in verify.run(session, ["X2", "X4"]))


def test_an_act_and_its_row_come_together(books: Flask) -> None:
    with writing() as session:
        session.add(Warehouse(code="A", name="Lager"))
        audit.write(session, Actor("Handläggaren", 2), "warehouse.create", "warehouse:1", {"code": "A"})
    with reading() as session:
        (line,) = audit.listing(session)
    assert (line.actor, line.action, line.object, line.detail) == (
        "Handläggaren",
        "warehouse.create",
        "warehouse:1",
        {"code": "A"},
    )


def test_what_came_to_nothing_leaves_no_row(books: Flask) -> None:
    with pytest.raises(ValueError), writing() as session:
        audit.write(session, SYSTEM, "a", "b")
        raise ValueError
    with reading() as session:
        assert audit.listing(session) == []


def test_the_log_is_filtered_and_paged(books: Flask) -> None:
    for number in range(5):
        with writing() as session:
            audit.write(session, SYSTEM, "odd" if number % 2 else "even", f"thing:{number}")
    with reading() as session:
        assert [line.object for line in audit.listing(session, action="even", limit=2)] == ["thing:4", "thing:2"]
        last = audit.listing(session, action="even", limit=2)[-1]
        assert [line.object for line in audit.listing(session, action="even", after=last.id)] == ["thing:0"]
        assert [line.action for line in audit.listing(session, object="thing:3")] == ["odd"]
        assert len(audit.listing(session, actor="system")) == 5


@pytest.mark.timeout(60)
def test_eight_threads_make_one_chain(books: Flask) -> None:
    def work(thread: int) -> None:
        for turn in range(10):
            transact(
                lambda session, turn=turn: [audit.write(session, SYSTEM, f"{thread}", f"{turn}.{n}") for n in (1, 2)]
            )

    assert in_threads(books, work, 8) == []
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Audit)) == 160
    assert chain_holds()


@pytest.mark.parametrize("wanted", [object(), {1, 2}])
def test_what_cannot_be_written_down_is_refused_at_once(books: Flask, wanted: object) -> None:
    with pytest.raises(TypeError), writing() as session:
        audit.write(session, SYSTEM, "a", "b", {"x": wanted})
