"""Klarna's push and notification at the door: stored and answered at once, and the whole way over a real wire (B16, row 67)."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.serving import make_server

import tasks
from db import reading, writing
from klarna_sandbox.control import Control
from models import KlarnaAccount, Order, Push
from services import orders
from services.gateway import Gateway
from tests import builders
from tests.services.test_klarna_orders import a_purchase
from tests.web_client import WebClient
from web_budget import Budget


@pytest.fixture
def account(app: Flask, sandbox: Control, klarna: Gateway) -> KlarnaAccount:
    with writing() as session:
        return builders.an_account(session, sandbox, klarna)


@pytest.fixture
def address(account: KlarnaAccount, klarna: Gateway) -> str:
    return f"/push/{account.store_id}/{klarna.push_token(account.store_id)}"


@pytest.fixture
def served(app: Flask) -> Iterator[str]:
    """The app on a real port, with the round that attends to what comes in."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    intake = tasks.start_intake(app)
    yield f"http://127.0.0.1:{server.server_port}"
    intake.stop()
    server.shutdown()


def kept() -> list[Push]:
    with reading() as session:
        return list(session.scalars(sa.select(Push).order_by(Push.id)))


def soon(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends, "it did not come true in time"
        time.sleep(0.05)


def found(number: int) -> list[Order]:
    with reading() as session:
        return list(session.scalars(sa.select(Order)))[:number]


@pytest.mark.only_on("sqlite")
def test_a_purchase_comes_all_the_way_in_over_the_wire(served: str, address: str, sandbox: Control) -> None:
    """B16: Klarna pushes, we read back, make the order, acknowledge; then the pushes end and the purchase is untouched."""
    urls = {
        "push": f"{served}{address}?klarna_order_id={{checkout.order.id}}",
        "notification": f"{served}{address}/notification",
    }
    bought = a_purchase(sandbox, merchant_urls=urls, fraud_status="PENDING")
    before = sandbox.state(bought)
    assert before["acknowledged_at"] is None
    sandbox.move_clock(minutes=2)
    sandbox.deliver_callbacks()
    assert [each["attempts"][0]["status"] for each in sandbox.callbacks()] == [204]
    soon(lambda: sandbox.state(bought)["acknowledged_at"] is not None)
    (order,) = found(2)
    assert (order.klarna_order_id, order.fraud_status) == (bought, "PENDING")
    after = sandbox.state(bought)
    unchanged = (
        "status",
        "order_amount",
        "captured_amount",
        "remaining_authorized_amount",
        "order_lines",
        "expires_at",
    )
    assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
    sandbox.move_clock(hours=5)
    sandbox.deliver_callbacks()
    assert len(sandbox.callbacks()[0]["attempts"]) == 1
    sandbox.fraud(bought, "ACCEPTED")
    sandbox.deliver_callbacks()
    assert sandbox.callbacks()[-1]["attempts"][-1]["status"] == 200

    def accepted() -> bool:
        with reading() as session:
            return orders.get(session, order.id).fraud_status == "ACCEPTED"

    soon(accepted)
    soon(lambda: all(each.handled_at for each in kept()))
    assert len(found(2)) == 1


@pytest.mark.parametrize("name", ["klarna_order_id", "kustom_order_id", "order_id", "sid"])
def test_a_push_is_stored_and_answered_with_nothing(app: Flask, address: str, name: str) -> None:
    """Row 67: no login, no token of ours, no page; Kustom's shops name the id as they like."""
    order_id = str(uuid.uuid4())
    answer = app.test_client().post(f"{address}?{name}={order_id}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert [(each.klarna_order_id, each.kind, each.handled_at) for each in kept()] == [(order_id, "order", None)]


def test_the_answer_is_the_same_whoever_asks_about_whatever(app: Flask, address: str) -> None:
    """Row 67: no oracle, and nothing stored without the account's own token and a whole id."""
    store = address.rsplit("/", 1)[0]
    good = str(uuid.uuid4())
    for path in (
        address,
        f"{address}?klarna_order_id=",
        f"{address}?klarna_order_id=1%20OR%201",
        f"{address}?klarna_order_id={good}x",
        f"{address}?klarna_order_id=%00",
        f"{address}?klarna_order_id={'a' * 5000}",
        f"{store}/{'0' * 32}?klarna_order_id={good}",
        f"{store}/å?klarna_order_id={good}",
        f"/push/K999999/{address.rsplit('/', 1)[1]}?klarna_order_id={good}",
    ):
        answer = app.test_client().post(path)
        assert (answer.status_code, answer.data) == (204, b""), path
    assert kept() == []


def test_the_body_of_a_push_is_never_read(app: Flask, address: str) -> None:
    """Row 67: a megabyte of anything changes nothing."""
    answer = app.test_client().post(
        f"{address}?klarna_order_id={uuid.uuid4()}",
        data=b"x" * 1_048_577,
        content_type="application/x-www-form-urlencoded",
    )
    assert answer.status_code == 204


def test_a_push_is_a_post(app: Flask, address: str) -> None:
    """Row 67."""
    for path in (address, f"{address}/notification"):
        assert WebClient(app).get(f"{path}?klarna_order_id={uuid.uuid4()}").status == 405


def test_beyond_the_budget_it_is_too_much(app: Flask, address: str) -> None:
    """Row 67."""
    app.extensions["push_budget"] = Budget(3)
    statuses = [app.test_client().post(address).status_code for _ in range(5)]
    assert statuses == [204, 204, 204, 429, 429]
    assert int(app.test_client().post(address).headers["Retry-After"]) <= 61


def test_a_notification_is_kept_with_its_event_and_answered_with_200(app: Flask, address: str) -> None:
    """Reference 3.2: only a 200 ends them."""
    order_id = str(uuid.uuid4())
    said = {"order_id": order_id, "event_type": "FRAUD_RISK_STOPPED"}
    for _ in range(2):
        assert app.test_client().post(f"{address}/notification", json=said).status_code == 200
    assert [(each.kind, each.event, each.times) for each in kept()] == [("fraud", "FRAUD_RISK_STOPPED", 2)]


NOTHING_SAID = [
    b"",
    b"{",
    b"[]",
    b'"x"',
    b"null",
    b'{"order_id": 7, "event_type": "FRAUD_RISK_ACCEPTED"}',
    b"[" * 5000,
    b'{"order_id": "3f2a90c1-7b1e-4c58-9d42-5e6f708192a3", "event_type": "ELSE"}',
    b"\xff\xfe",
    b" " * 20_000,
]


def test_a_notification_that_says_nothing_is_let_go(app: Flask, address: str) -> None:
    """Row 67."""
    for body in NOTHING_SAID:
        assert (
            app.test_client().post(f"{address}/notification", data=body, content_type="application/json").status_code
            == 200
        )
        assert kept() == []


def test_a_budget_begins_anew_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("clock.monotonic", lambda: now[0])
    budget = Budget(1)
    assert [budget.spend("a"), budget.spend("b")] == [0, 0]
    assert 0 < budget.spend("a") <= 61
    now[0] += 60
    assert budget.spend("a") == 0
