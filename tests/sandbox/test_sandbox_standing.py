"""What the sandbox is as a program: it keeps its state, starts, stops, binds to loopback and is quick."""

import os
import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import requests
from freezegun import freeze_time

from klarna_sandbox import server
from klarna_sandbox.clock import Clock, parse
from klarna_sandbox.control import Control, Refusal


def test_everything_is_there_again_after_a_restart(tmp_path, make_line, sandbox, shop):
    path, key = tmp_path / "kept" / "sandbox.sqlite3", str(uuid.uuid4())
    with server.start(data=path) as first:
        control, there = Control(first.url), type(shop)(first.url)
        control.set_clock("2026-03-02T10:00:00Z", freeze=True)
        control.merchant()
        control.switches(auth_401_body="json")
        control.fault("server_error", operation="get_order", times=3, skip=1)
        order_id = control.order(order_amount=10000, merchant_urls={"push": "http://127.0.0.1:1/"})
        capture_id = there.capture(order_id, 4000, key, order_lines=[make_line("A", 4000)]).headers["Capture-Id"]
        there.refund(order_id, 1000)
        control.pay_out()
        there.capture(order_id, 500)
        there.order(order_id)
        before = control.state(order_id), control.log(), control.payouts(), control.merchants(), control.warnings()
    with server.start(data=path) as second:
        control, there = Control(second.url), type(shop)(second.url)
        after = control.state(order_id), control.log(), control.payouts(), control.merchants(), control.warnings()
        assert after == before
        assert control.now().isoformat() == "2026-03-02T10:00:00+00:00"
        assert control.switches()["auth_401_body"] == "json"
        assert control.faults()[0]["skip"] == 0
        assert there.capture(order_id, 4000, key).headers["Capture-Id"] == capture_id
        assert there.on(order_id, "GET").status_code == 500
        assert [len(each["rows"]) for each in control.pay_out()] == [3]
        control.reset()
    with server.start(data=path) as third:
        assert Control(third.url).merchants() == []


def test_it_runs_as_a_program_and_ends_when_told(tmp_path):
    command = [sys.executable, "-m", "klarna_sandbox", "--port", "0", "--data", str(tmp_path / "s.sqlite3")]
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            url = program.stdout.readline().split()[3]
            Control(url).merchant(f"K{number}")
            requests.post(f"{url}/_sandbox/api/reset", timeout=5, headers={"Origin": "http://elsewhere.example"})
            assert f"K{number}" in [each["mid"] for each in Control(url).merchants()]
            program.send_signal(number)
            assert program.wait(10) == 0


def test_a_killed_sandbox_has_lost_nothing_it_answered(tmp_path, shop):
    command = [sys.executable, "-m", "klarna_sandbox", "--port", "0", "--data", str(tmp_path / "s.sqlite3")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        url = program.stdout.readline().split()[3]
        control = Control(url)
        control.merchant()
        order_id = control.order(order_amount=10000)
        for _ in range(5):
            assert type(shop)(url).capture(order_id, 100).status_code == 201
        os.kill(program.pid, signal.SIGKILL)
    with server.start(data=tmp_path / "s.sqlite3") as again:
        assert Control(again.url).state(order_id)["captured_amount"] == 500


def test_a_hanging_call_does_not_hold_up_the_stop(shop):
    running = server.start()
    control = Control(running.url)
    control.merchant()
    order_id = control.order()
    control.fault("hang", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        type(shop)(running.url).on(order_id, "GET", timeout=0.1)
    running.stop()
    running.stop()
    with pytest.raises(requests.ConnectionError):
        control.now()


def test_the_clock_runs_freezes_and_goes_back(sandbox):
    assert sandbox.now() == sandbox.now()
    assert sandbox.move_clock(hours=-2).isoformat() == "2026-03-02T08:00:00+00:00"
    start = sandbox.run_clock()
    time.sleep(0.01)
    assert sandbox.now() > start
    assert sandbox.freeze_clock() == sandbox.now()
    with pytest.raises(Refusal, match="is not a time"):
        sandbox.set_clock("tomorrow")


def test_a_shop_that_stops_its_own_time_does_not_stop_klarnas():
    """The two share a process in these tests: what a shop freezes is its clock alone."""
    before = Clock().now()
    with freeze_time("2019-05-05 08:00:00"):
        assert datetime.now(UTC).year == 2019
        within, moved = Clock(), Clock()
        moved.set(parse("2030-01-01"))
        assert before <= within.now()
        assert timedelta() <= moved.now() - parse("2030-01-01") < timedelta(minutes=5)


def test_many_orders_are_seeded_at_once(sandbox, shop):
    made = sandbox.orders(count=2000, order_amount=5000, purchase_currency="EUR")
    assert len(set(made)) == 2000
    assert shop.order(made[-1])["purchase_currency"] == "EUR"
    own = str(uuid.uuid4())
    assert sandbox.orders([{"order_id": own, "captures": [{}]}, {"order_amount": 1}])[0] == own
    assert shop.order(own)["status"] == "CAPTURED"
    assert sandbox.find_orders(own[:13]) == [own]


def test_the_log_tells_what_came_and_what_it_changed(sandbox, shop):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    shop.order(order_id)
    shop.capture(order_id, 100, key, reference="F1")
    shop.capture(order_id, 100, key, reference="F1")
    shop.session.auth = ("nobody", "x")
    shop.capture(order_id, 100)
    entries = sandbox.log()
    assert [(e["operation"], e["status"], e["changed"], e["replayed"], e["mid"]) for e in entries] == [
        ("get_order", 200, False, False, "K000001"),
        ("create_capture", 201, True, False, "K000001"),
        ("create_capture", 201, False, True, "K000001"),
        ("create_capture", 401, False, False, None),
    ]
    assert (entries[1]["body"], entries[1]["idempotency_key"]) == ({"captured_amount": 100, "reference": "F1"}, key)
    assert [e["number"] for e in sandbox.writes(operation="create_capture", order_id=order_id)] == [
        entries[1]["number"]
    ]
    assert len(sandbox.posts()) == 3
    sandbox.clear_log()
    assert sandbox.log() == []


def test_what_makes_no_sense_is_told_so(sandbox):
    for call, text in [
        (lambda: sandbox.order(colour="red"), "does not take colour"),
        (lambda: sandbox.order(mid="X"), "no merchant X"),
        (lambda: sandbox.state("X"), "no order X"),
        (lambda: sandbox.switches(nothing="1"), "no switch nothing"),
        (lambda: sandbox.switches(zero_amount="maybe"), "does not take maybe"),
        (lambda: sandbox.next_payout(rows=[{"type": "FEE"}]), "needs a type and an amount"),
        (lambda: sandbox.next_payout(rows=[{"type": "FEE", "amount": -1}]), "Only a CORRECTION"),
        (lambda: sandbox.merchant(settlement_type="LATER"), "NET or GROSS"),
        (lambda: sandbox.fraud(sandbox.order(), "MAYBE"), "A fraud status is one of"),
    ]:
        with pytest.raises(Refusal, match=text):
            call()
    with pytest.raises(Refusal) as refused:
        sandbox.portal_refund(sandbox.order(), 1)
    assert (refused.value.status, refused.value.error_code) == (403, "REFUND_NOT_ALLOWED")
