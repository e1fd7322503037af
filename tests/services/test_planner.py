"""What SQLite is told of its tables, so that it never takes the long way at a million orders (performance, goal 3)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import db, reading, writing
from services import order_page, to_invoice
from tests import plans
from tests.services.order_rows import a_row, an_order

pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.untrue_books]


def test_an_orders_documents_are_found_by_the_order_and_not_by_their_state(books: Flask) -> None:
    """Nearly all documents are issued: found by their state, one order's page would read them all."""
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
    with plans.sent_to(db.engine) as sent, reading() as session:
        order_page.overview(session, order.id)
        to_invoice.amounts(session, [order.id])
    lines = [line for each in sent for line in plans.plan(db.engine, each)]
    assert any("ix_document_order_id" in line for line in lines)
    assert not [line for line in lines if "ix_document_state_kind" in line]
    assert plans.faults(db.engine, sent) == []
