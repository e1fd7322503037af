"""Guards of what several may change at once: what is locked together, and that nothing is moved behind somebody's back.

Operations 16.1. Row locks are PostgreSQL's; on SQLite whoever writes is alone.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from db import db, writing
from errors import Stale
from models import Document, KlarnaOp, Order
from services import documents, op_log
from states import DocState, OpState
from tests.builders import CLERK
from tests.services import order_rows

# Documents and operations are put in by hand here.
pytestmark = pytest.mark.untrue_books("a document and an operation are written by hand")


@pytest.fixture
def waiting(books: Flask) -> tuple[int, int, str]:
    """An order, its pending invoice and the operation that waits for Klarna's answer: their keys."""
    with writing() as session:
        order = order_rows.an_order(session, [order_rows.a_row()], klarna=True)
        document = order_rows.a_document(session, order)
        op = order_rows.an_operation(session, order, OpState.SENDING, document=document)
        return order.id, document.id, op.id


@pytest.mark.parametrize("table", [Document, KlarnaOp], ids=["document", "operation"])
def test_what_has_changed_since_it_was_read_is_not_moved(waiting: tuple[int, int, str], table: Any) -> None:
    """Operations 2: by compare-and-set; whoever comes second is told, and leaves no event."""
    _, document_id, op_id = waiting
    with pytest.raises(Stale), writing() as session:
        read = session.get_one(table, document_id if table is Document else op_id)
        session.execute(sa.update(table).values(version=table.version + 1).execution_options(synchronize_session=False))
        if table is Document:
            documents.move(session, read, DocState.VOID, CLERK, reason="fel")
        else:
            op_log.move(session, read, OpState.UNKNOWN, CLERK)


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize("first", [Document, KlarnaOp], ids=["document", "operation"])
def test_whoever_locks_a_document_or_an_operation_holds_its_order_too(
    waiting: tuple[int, int, str], first: Any
) -> None:
    """Operations 16.1, rule 6: the order first, so that two who act on one order come one after the other."""
    order_id, document_id, op_id = waiting
    keys = {Order: order_id, Document: document_id, KlarnaOp: op_id}
    assert all(is_free(table, key) for table, key in keys.items())
    with writing() as session:
        if first is Document:
            documents.get(session, document_id, lock=True)
        else:
            op_log.lock(session, op_id)
        assert not is_free(Order, order_id)
        assert not is_free(first, keys[first])


def is_free(table: Any, key: object) -> bool:
    """Whether somebody else could lock the row now."""
    query = sa.select(table.id).where(table.id == key).with_for_update(skip_locked=True)
    with db.engine.connect() as other:
        return other.scalar(query) is not None
