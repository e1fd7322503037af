"""Pushes and notifications on the sandbox clock, to a receiver on this machine."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from klarna_sandbox import callbacks


class Receiver(ThreadingHTTPServer):
    """Writes down what it is sent; answers `status` after `delay` seconds."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Hearing)
        self.heard, self.status, self.delay = [], 200, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Hearing(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.heard.append((self.path, body))
        time.sleep(self.server.delay)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def after(sandbox, **step):
    """Move the clock and see to it that everything due is out."""
    sandbox.move_clock(**step)
    sandbox.deliver_callbacks()


def test_the_push_is_empty_names_the_order_and_comes_after_two_minutes(sandbox, receiver):
    order_id = sandbox.order(merchant_urls={"push": receiver.url + "/push?id={checkout.order.id}"})
    after(sandbox, seconds=119)
    assert receiver.heard == []
    after(sandbox, seconds=1)
    assert receiver.heard == [(f"/push?id={order_id}", b"")]


def test_a_push_is_repeated_until_acknowledged_whatever_is_answered(sandbox, shop, receiver):
    order_id = sandbox.order(merchant_urls={"push": receiver.url})
    for minutes, count in [(2, 1), (3, 2), (10, 3), (15, 4), (29, 4), (1, 5), (239, 5), (1, 6)]:
        after(sandbox, minutes=minutes)
        assert len(receiver.heard) == count
    assert shop.on(order_id, "POST", "acknowledge").status_code == 204
    assert shop.on(order_id, "POST", "acknowledge").status_code == 204
    assert len(sandbox.writes()) == 1
    after(sandbox, hours=4)
    assert len(receiver.heard) == 6
    assert shop.order(order_id)["status"] == "AUTHORIZED"


def test_a_capture_stops_the_pushes_too(sandbox, shop, receiver):
    order_id = sandbox.order(merchant_urls={"push": receiver.url})
    shop.capture(order_id, 100)
    after(sandbox, minutes=2)
    assert receiver.heard == []


def test_pushes_end_after_48_hours_and_the_order_stays_valid(sandbox, shop, receiver):
    order_id = sandbox.order(merchant_urls={"push": receiver.url})
    after(sandbox, hours=48)
    assert len(receiver.heard) == 1
    after(sandbox, hours=5)
    assert len(receiver.heard) == 1
    assert sandbox.callbacks()[0]["next_at"] is None
    assert shop.capture(order_id, 100).status_code == 201


def test_the_schedules_are_those_of_the_documents():
    minutes = [turn.total_seconds() / 60 for turn in callbacks.push_times("current")]
    assert minutes[:7] == [2, 5, 15, 30, 60, 300, 540]
    assert max(minutes) <= 48 * 60
    hours = [turn.total_seconds() / 3600 for turn in callbacks.push_times("two_hours")]
    assert hours[1:] == list(range(2, 49, 2))


def test_a_notification_tells_the_decision_until_it_is_answered_with_200(sandbox, receiver):
    receiver.status = 500
    order_id = sandbox.order(fraud_status="PENDING", merchant_urls={"notification": receiver.url + "/n"})
    sandbox.fraud(order_id, "ACCEPTED")
    sandbox.deliver_callbacks()
    after(sandbox, minutes=9)
    assert len(receiver.heard) == 1
    receiver.status = 200
    after(sandbox, minutes=1)
    after(sandbox, minutes=10)
    expected = f'{{"order_id": "{order_id}", "event_type": "FRAUD_RISK_ACCEPTED"}}'.encode()
    assert receiver.heard == [("/n", expected)] * 2


def test_a_stop_after_acceptance_is_told(sandbox, receiver):
    order_id = sandbox.order(merchant_urls={"notification": receiver.url})
    sandbox.fraud(order_id, "STOPPED")
    sandbox.deliver_callbacks()
    assert b"FRAUD_RISK_STOPPED" in receiver.heard[0][1]


def test_a_slow_receiver_is_given_up_and_pushed_again(sandbox, receiver, monkeypatch):
    monkeypatch.setattr(callbacks, "READ_TIMEOUT", 0.1)
    receiver.delay = 0.3
    sandbox.order(merchant_urls={"push": receiver.url})
    after(sandbox, minutes=2)
    assert sandbox.callbacks()[0]["attempts"][0]["error"] == "ReadTimeout"
    receiver.delay = 0
    after(sandbox, minutes=3)
    assert len(receiver.heard) == 2
    assert sandbox.callbacks()[0]["attempts"][1]["status"] == 200


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1/push", "http://127.0.0.1.example.com/", "file:///etc/passwd", "http://["]
)
def test_nothing_leaves_the_machine(sandbox, url):
    sandbox.order(merchant_urls={"push": url})
    after(sandbox, minutes=2)
    assert sandbox.callbacks()[0]["attempts"][0]["error"] == "not a loopback address: not sent"
