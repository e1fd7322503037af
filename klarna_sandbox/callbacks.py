"""Checkout pushes and fraud notifications: when they are due on the sandbox clock, and sending them.

They go to loopback addresses only, follow no redirect, and give up reading after five seconds.
"""

import ipaddress
import threading
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests

from klarna_sandbox.clock import parse, stamp
from klarna_sandbox.records import Callback, Doc, Order
from klarna_sandbox.world import World

READ_TIMEOUT = 5
FIRST_PUSH = timedelta(minutes=2)
PUSHES_FOR = timedelta(hours=48)
NOTIFY_EVERY = timedelta(minutes=10)
NOTIFY_FOR = timedelta(hours=24)
EVENTS = {
    "ACCEPTED": "FRAUD_RISK_ACCEPTED",
    "REJECTED": "FRAUD_RISK_REJECTED",
    "STOPPED": "FRAUD_RISK_STOPPED",
}


def push_times(schedule: str) -> list[timedelta]:
    """When pushes are sent, counted from the purchase."""
    if schedule == "two_hours":
        first, step, then = [FIRST_PUSH], timedelta(hours=2), timedelta(hours=2)
    else:
        first = [FIRST_PUSH, *(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))]
        step, then = timedelta(hours=4), timedelta(hours=5)
    while then <= PUSHES_FOR:
        first.append(then)
        then += step
    return first


def notification_times() -> list[timedelta]:
    """When notifications are sent, counted from the decision."""
    return [NOTIFY_EVERY * turn for turn in range(NOTIFY_FOR // NOTIFY_EVERY + 1)]


def _times(world: World, kind: str) -> list[timedelta]:
    return push_times(world.switches["push_schedule"]) if kind == "push" else notification_times()


def _next(world: World, callback: Callback, after: datetime) -> str | None:
    began = parse(callback.began_at)
    return next((stamp(began + each) for each in _times(world, callback.kind) if began + each > after), None)


def begin_push(world: World, order: Order) -> None:
    """Schedule the pushes of a fresh order that has a push address."""
    if url := order.merchant_urls.get("push"):
        url = url.replace("{checkout.order.id}", order.order_id)
        callback = Callback(world.count("callback"), "push", order.order_id, url, order.created_at, None)
        callback.next_at = _next(world, callback, parse(order.created_at))
        world.add_callback(callback)


def begin_notification(world: World, order: Order, now: datetime) -> None:
    """Schedule the notifications of a decision; they replace those of an earlier one."""
    if order.fraud_status in EVENTS and (url := order.merchant_urls.get("notification")):
        for earlier in list(world.pending.values()):
            if earlier.kind == "notification" and earlier.order_id == order.order_id:
                earlier.next_at = None
                world.save_callback(earlier)
        world.add_callback(
            Callback(world.count("callback"), "notification", order.order_id, url.replace("{order.id}", order.order_id),
                     stamp(now), stamp(now), EVENTS[order.fraud_status])
        )  # fmt: skip


def is_loopback(url: str) -> bool:
    """Whether an address stays on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in ("http", "https") and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


class Courier:
    """Sends what is due, one after the other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._one_at_a_time = threading.Lock()
        self._session = requests.Session()
        self._session.trust_env = False

    def deliver(self) -> list[Doc]:
        """Send every callback that is due now, once each; gives the attempts. After a leap of the clock the turns it
        leapt over are sent as one."""
        with self._one_at_a_time:
            return [self._attempt(callback) for callback in self._due()]

    def _due(self) -> list[Callback]:
        due = []
        with self._world.working() as now:
            for callback in list(self._world.pending.values()):
                order = self._world.orders.get(callback.order_id)
                answered = order is None or (callback.kind == "push" and order.acknowledged_at is not None)
                if answered:
                    callback.next_at = None
                    self._world.save_callback(callback)
                elif callback.next_at is not None and callback.next_at <= stamp(now):
                    due.append(callback)
        return due

    def _attempt(self, callback: Callback) -> Doc:
        at, status, error = stamp(self._world.clock.now()), None, None
        if not is_loopback(callback.url):
            error = "not a loopback address: not sent"
        else:
            body: dict[str, Any] = {"data": b""}
            if callback.kind == "notification":
                body = {"json": {"order_id": callback.order_id, "event_type": callback.event}}
            try:
                answer = self._session.post(callback.url, timeout=READ_TIMEOUT, allow_redirects=False, **body)
                status = answer.status_code
            except requests.RequestException as failure:
                error = type(failure).__name__
        attempt: Doc = {"at": at, "status": status, "error": error}
        with self._world.working() as now:
            callback.attempts.append(attempt)
            done = callback.kind == "notification" and status == 200
            order = self._world.orders.get(callback.order_id)
            done = done or order is None or (callback.kind == "push" and order.acknowledged_at is not None)
            callback.next_at = None if done else _next(self._world, callback, now)
            if callback.number in self._world.callbacks:
                self._world.save_callback(callback)
        return {
            "kind": callback.kind,
            "order_id": callback.order_id,
            "url": callback.url,
            "event": callback.event,
            **attempt,
        }
