"""What needs a human: each list holds what it should, oldest first, counted no further than to 1,000."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import db, reading, writing
from models import KlarnaBreak, KlarnaOp, Order
from services import orders, owed, to_invoice, worklists
from services.worklists import WorkList
from states import BreakKind, BreakState, DocKind, DocState, KlarnaStatus, OpState
from tests import builders


def lists() -> dict[str, WorkList]:
    with reading() as session:
        return {each.name: each for each in worklists.today(session)}


def counts() -> dict[str, int]:
    return {name: each.count for name, each in lists().items() if each.count}


def test_nothing_to_do_is_as_many_empty_lists_as_there_are(books: Flask) -> None:
    assert {name: each.count for name, each in lists().items()} == dict.fromkeys(worklists._queries(), 0)
    with reading() as session:
        assert worklists.glance(session) == worklists.Glance(0, ())
        assert owed.klarna_owes(session) == {}
        assert owed.withheld(session) == 0


def test_delivered_and_not_invoiced_is_work_until_it_is_invoiced(books: Flask, klarna, sandbox) -> None:
    """F21, B9: and then Klarna owes it."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna, lines=2)
        first, second = (line.id for line in order.lines)
        builders.a_delivery(session, order, {first: 1000})
    assert counts() == {"to_invoice": 1}
    item = lists()["to_invoice"].items[0]
    assert (item.order_id, item.order_number, item.state) == (order.id, order.number, "part")
    builders.an_invoice(klarna, order)
    assert counts() == {}
    with writing() as session:
        builders.a_delivery(session, order, {second: 1000})
    assert counts() == {"to_invoice": 1}
    builders.an_invoice(klarna, order)
    assert counts() == {}
    with reading() as session:
        assert owed.klarna_owes(session) == {"SEK": 89_800}
        assert worklists.glance(session).environments == ("sandbox",)


def test_part_delivered_and_part_invoiced_counts_the_rows(books: Flask, klarna, sandbox) -> None:
    """Both columns say "part", so the quantities decide."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna, lines=3)
        rows = [line.id for line in order.lines]
        builders.a_delivery(session, order, {rows[0]: 1000})
    builders.an_invoice(klarna, order)
    assert counts() == {}
    with writing() as session:
        builders.a_delivery(session, order, {rows[1]: 1000})
    assert counts() == {"to_invoice": 1}


def test_what_would_be_invoiced_is_the_same_for_many_orders_as_for_one(books: Flask, klarna, sandbox) -> None:
    """F21: delivered and not invoiced; freight goes along with the first goods, and never alone."""
    with writing() as session:
        untouched, begun, done = (
            builders.an_order(
                session,
                sandbox,
                klarna,
                lines=[
                    builders.row("T-shirt", 49_900, pieces=3, discount_minor=100),
                    builders.row("Frakt", 4_900, kind=builders.FREIGHT),
                ],
            )
            for _ in range(3)
        )
        builders.a_delivery(session, begun, {begun.lines[0].id: 2000})
        builders.a_delivery(session, done, {done.lines[0].id: 1000})
    builders.an_invoice(klarna, done)
    with writing() as session:
        builders.a_delivery(session, done, {done.lines[0].id: 2000})
    with reading() as session:
        every = [session.get_one(Order, each.id) for each in (untouched, begun, done)]
        alone = {
            each.id: sum(share.gross_minor for share in orders.to_invoice(session, each, delivered_only=True))
            for each in every
        }
        assert to_invoice.amounts(session, list(alone)) == alone
    assert list(alone.values()) == [0, 99_800 - 67 + 4_900, 99_800 - 67]


def test_goods_that_left_on_an_order_without_its_reservation_are_work_until_it_has_one(books: Flask) -> None:
    """F21, F2: nobody pays for them, and Klarna tells of nothing."""
    with writing() as session:
        order = builders.an_order(session, lines=[builders.row("Hatt", 20_000)])
        order.payment_method = builders.a_payment_method(session)
    assert counts() == {}
    with writing() as session:
        builders.a_delivery(session, orders.get(session, order.id))
    (item,) = lists()["to_invoice"].items
    assert (item.order_id, item.amount_minor, bool(item.unlinked)) == (order.id, 20_000, True)


def test_orders_that_are_not_klarnas_are_left_out(books: Flask) -> None:
    with writing() as session:
        builders.a_delivery(session, builders.an_order(session))
    assert counts() == {}


def test_a_reservation_that_expires_within_seven_days_is_work(books: Flask, klarna, sandbox) -> None:
    with writing() as session:
        orders = [builders.an_order(session, sandbox, klarna) for _ in range(4)]
        for order, days in zip(orders, (8, 6, 2, 1), strict=True):
            session.get_one(Order, order.id).expires_at = clock.now() + timedelta(days=days)
        session.get_one(Order, orders[3].id).klarna_status = KlarnaStatus.CAPTURED
    found = lists()["expiring"]
    assert found.count == 2
    assert [item.order_id for item in found.items] == [orders[2].id, orders[1].id]


@pytest.mark.parametrize(
    ("state", "name"), [(OpState.UNKNOWN, "unknown"), (OpState.REVIEW, "review"), (OpState.PREPARED, "not_sent")]
)
def test_operations_are_work_by_their_state(books: Flask, klarna, sandbox, state: OpState, name: str) -> None:
    document = builders.a_captured_invoice(klarna, sandbox)
    with writing() as session:
        _force(session, state)
        session.execute(sa.update(KlarnaOp).values(created_at=clock.now() - timedelta(minutes=11)))
    found = lists()
    assert found[name].count == 1
    item = found[name].items[0]
    assert (item.document_id, item.document_kind, item.number) == (document.id, DocKind.INVOICE, document.number_text)
    assert item.amount_minor == document.gross_minor


def _force(session, state: OpState) -> None:
    """Put the operation in a state by hand; the triggers that forbid it are another test's business."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
    else:
        for trigger in session.scalars(
            sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'klarna_op'")
        ).all():
            session.execute(sa.text(f"DROP TRIGGER {trigger}"))
    session.execute(sa.update(KlarnaOp).values(state=state))


@pytest.mark.parametrize(("state", "minutes"), [(OpState.UNKNOWN, 4), (OpState.PREPARED, 9)])
def test_what_is_young_settles_by_itself(books: Flask, klarna, sandbox, state: OpState, minutes: int) -> None:
    builders.a_captured_invoice(klarna, sandbox)
    with writing() as session:
        _force(session, state)
        session.execute(sa.update(KlarnaOp).values(created_at=clock.now() - timedelta(minutes=minutes)))
    assert counts() == {}


def test_a_refused_document_is_work(books: Flask, klarna, sandbox) -> None:
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
        builders.a_delivery(session, order)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    builders.an_invoice(klarna, order)
    found = lists()["refused"]
    assert found.count == 1
    assert found.items[0].document_kind is DocKind.INVOICE
    with reading() as session:
        assert builders.the_document(found.items[0].document_id or 0).state is DocState.REFUSED
        assert session is not None


def test_open_differences_are_work_until_they_are_settled(books: Flask) -> None:
    """One that is not of money, as of a status, has no amount."""
    with writing() as session:
        for number in range(7):
            session.add(
                KlarnaBreak(
                    kind=BreakKind.TOTALS_DIFFER,
                    difference_minor=number - 6,
                    opened_at=clock.now() - timedelta(days=number),
                    found_by="janitor",
                )
            )
    found = lists()["breaks"]
    assert (found.count, [item.amount_minor for item in found.items]) == (7, [None, -1, -2, -3, -4])
    with writing() as session:
        session.execute(
            sa.update(KlarnaBreak).values(
                state=BreakState.CLOSED, resolution="explained", closed_by="x", closed_at=clock.now()
            )
        )
    assert counts() == {}


@pytest.mark.only_on("sqlite")
def test_nothing_is_counted_beyond_a_thousand(books: Flask) -> None:
    with writing() as session:
        session.execute(
            sa.insert(KlarnaBreak),
            [
                {
                    "kind": BreakKind.TOTALS_DIFFER,
                    "opened_at": clock.now(),
                    "found_by": "janitor",
                    "state": BreakState.OPEN,
                }
                for _ in range(1500)
            ],
        )
    assert counts() == {"breaks": 1001}
    assert len(lists()["breaks"].items) == 5


@pytest.mark.only_on("sqlite")
def test_no_list_reads_a_whole_table_of_orders_or_documents(books: Flask) -> None:
    """Performance: indexed filters; read from the query plan."""
    asked: list[tuple[str, tuple]] = []
    engine = db.engine
    note = lambda _c, _cursor, statement, values, _ctx, _many: asked.append((statement, values))  # noqa: E731
    sa.event.listen(engine, "before_cursor_execute", note)
    with reading() as session:
        worklists.today(session)
        worklists.glance(session)
        owed.klarna_owes(session)
    sa.event.remove(engine, "before_cursor_execute", note)
    with reading() as session:
        for statement, values in asked:
            if not statement.startswith("SELECT") or "klarna_account" in statement or "FROM setting" in statement:
                continue  # a company has a handful of accounts and some dozens of settings
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            scans = [
                row[-1]
                for row in plan
                if row[-1].startswith("SCAN ") and "USING" not in row[-1] and "SCAN anon" not in row[-1]
            ]
            assert not scans, (scans, statement)
