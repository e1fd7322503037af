"""What Kvitta itself sends about a reservation fits what Klarna publishes: method, path, headers, and every field of the body."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import clock
from db import reading, writing
from klarna_sandbox.control import Control
from models import Order
from services import authorizations, klarna_calls, order_amending
from services.authorizations import AmendForm
from services.klarna_calls import Tracking
from services.order_amending import AmendedRow
from states import LineKind
from tests.builders import CLERK, a_delivery, a_money_form, an_invoice, an_order, row
from tests.contract.descriptions import Description

PARCEL = Tracking("PostNord", "123SE", "https://example.com/123SE")
HOME = {"street": "Nygatan 2", "street2": "", "postal_code": "222 22", "city": "Lund", "country": "SE"}
EVERYTHING = {
    "updateAuthorization", "extendAuthorizationTime", "appendOrderShippingInfo", "updateMerchantReferences",
    "updateConsumerDetails", "captureOrder", "appendShippingInfo", "triggerSendOut", "extendDueDate",
    "releaseRemainingAuthorization", "cancelOrder",
}  # fmt: skip


@pytest.fixture
def today(sandbox: Control) -> Control:
    """The sandbox at this machine's time, without accounts."""
    sandbox.reset()
    return sandbox


def left(order: Order) -> int:
    with reading() as session:
        return session.get_one(Order, order.id).remaining_minor or 0


@pytest.mark.only_on("sqlite")
def test_every_request_of_an_orders_life_is_one_klarna_describes(
    books: Any, klarna: Any, today: Control, orders: Description
) -> None:
    """Reference 2.1: all eleven requests that change something about an order, as the services send them."""
    with writing() as session:
        lines = [row(pieces=2), row("Frakt", 4_900, kind=LineKind.FREIGHT)]
        order = an_order(session, today, klarna, lines=lines, expires_at=clock.now() + timedelta(days=7))
        other = an_order(session, today, klarna)
    with reading() as session:
        found = session.get_one(Order, order.id)
        rows, version = order_amending.rows_of(found), found.version
    wanted = [replace(rows[0], discount_minor=900), AmendedRow(LineKind.TEXT, "Gravyr", 500, 9_999, 2500), *rows[1:]]
    form = AmendForm(secrets.token_hex(16), order_amending.total(wanted), version=version, rows=wanted)
    authorizations.amend(klarna, CLERK, order.id, form)
    authorizations.extend(klarna, CLERK, order.id, a_money_form(0))
    klarna_calls.add_order_tracking(klarna, CLERK, order.id, secrets.token_hex(16), PARCEL)
    klarna_calls.change_references(klarna, CLERK, order.id, secrets.token_hex(16), "1001", "W1")
    klarna_calls.change_address(klarna, CLERK, order.id, secrets.token_hex(16), HOME)
    with writing() as session:
        found = session.get_one(Order, order.id)
        a_delivery(session, found, {found.lines[0].id: 1000}, carrier="PostNord", tracking_number="1")
    invoice = an_invoice(klarna, order)
    klarna_calls.add_tracking(klarna, CLERK, invoice.id, secrets.token_hex(16), PARCEL)
    klarna_calls.add_return_tracking(klarna, CLERK, invoice.id, secrets.token_hex(16), PARCEL)
    klarna_calls.send_letter(klarna, CLERK, invoice.id, secrets.token_hex(16))
    klarna_calls.extend_due_date(klarna, CLERK, invoice.id, secrets.token_hex(16), 10, 1000)
    authorizations.release(klarna, CLERK, order.id, a_money_form(left(order)))
    authorizations.cancel(klarna, CLERK, other.id, a_money_form(left(other)))
    sent = set()
    for each in today.posts():
        headers = {"Authorization": "Basic x", "Klarna-Idempotency-Key": each["idempotency_key"] or ""}
        orders.check_request(each["method"], each["path"], headers, each["body"] or None)
        sent.add((orders.find(each["method"], each["path"]) or {})["operationId"])
        assert each["status"] in (201, 204), each
    assert sent == EVERYTHING and not today.warnings()
