"""Everything one sandbox knows, behind one lock, kept in memory and written through to its file."""

import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from klarna_sandbox import shapes
from klarna_sandbox.clock import Clock, parse, stamp
from klarna_sandbox.faults import Fault, FaultBook
from klarna_sandbox.records import Callback, Doc, Logged, Merchant, Order, Payout, Remembered, Row, Warned
from klarna_sandbox.refusals import Misuse
from klarna_sandbox.store import Store
from klarna_sandbox.switches import Switchboard

LOG_LENGTH = 50_000
WARNINGS_LENGTH = 2_000
SNAPSHOTS = 5_000
FIRST_REFERENCE = 300_000_001


class World:
    """The state of a sandbox. Work on it inside `working()`, which locks it and writes what changed before leaving."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.lock = threading.RLock()
        self.idle = threading.Condition(self.lock)
        self.clock = Clock()
        self.switches = Switchboard()
        self.faults = FaultBook()
        self.store = Store(path)
        self.generation = 0
        self.hang_releases = 0
        self._saved: dict[tuple[str, str], object] = {}
        self._removed: set[tuple[str, str]] = set()
        self._empty()
        self._load()

    def _empty(self) -> None:
        self.merchants: dict[str, Merchant] = {}
        self.passwords: dict[tuple[str, str], str] = {}
        self.api_keys: dict[str, str] = {}
        self.orders: dict[str, Order] = {}
        self.rows: dict[int, Row] = {}
        self.unpaid: dict[tuple[str, str], dict[int, Row]] = {}
        self.rows_of_order: dict[str, list[int]] = {}
        self.payouts: dict[str, Payout] = {}
        self.keys: dict[tuple[str, str], Remembered] = {}
        self.in_flight: set[tuple[str, str]] = set()
        self.callbacks: dict[int, Callback] = {}
        self.pending: dict[int, Callback] = {}
        self.log: deque[Logged] = deque()
        self.warnings: deque[Warned] = deque()
        self.before: OrderedDict[str, tuple[float, Doc]] = OrderedDict()
        self.counters: dict[str, int] = {}
        self.windows: dict[str, tuple[int, int]] = {}

    def _load(self) -> None:
        for doc in self.store.read("setting"):
            if doc["name"] == "clock":
                self.clock.from_doc(doc["value"])
            elif doc["name"] == "switches":
                self.switches.from_doc(doc["value"])
            elif doc["name"] == "faults":
                self.faults = FaultBook(
                    [Fault(**fault) for fault in doc["value"]["waiting"]], doc["value"]["last_number"]
                )
            elif doc["name"] == "counters":
                self.counters = doc["value"]
        for doc in self.store.read("merchant"):
            self._index_merchant(Merchant(**doc))
        for doc in sorted(self.store.read("order"), key=lambda doc: str(doc["created_at"])):
            self.orders[doc["order_id"]] = Order.from_doc(doc)
        for doc in self.store.read("row"):
            self._index_row(Row(**doc))
        for doc in self.store.read("payout"):
            self.payouts[doc["payment_reference"]] = Payout(**doc)
        for doc in self.store.read("key"):
            self.keys[doc["mid"], doc["key"]] = Remembered(**doc)
        for doc in self.store.read("callback"):
            self._index_callback(Callback(**doc))
        self.log.extend(Logged(**doc) for doc in self.store.read("log"))
        self.warnings.extend(Warned(**doc) for doc in self.store.read("warning"))

    @contextmanager
    def working(self) -> Iterator[datetime]:
        """Hold the lock; give the present sandbox time; write through on leaving, also when refused."""
        with self.lock:
            try:
                yield self.clock.now()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._saved or self._removed:
            saved, removed = self._saved, self._removed
            self._saved, self._removed = {}, set()
            self.store.write(((kind, id_, doc) for (kind, id_), doc in saved.items()), removed)

    def close(self) -> None:
        """Write what is left and let go of the file."""
        with self.lock:
            self._flush()
            self.store.close()

    def reset(self) -> None:
        """Forget everything, time and switches included; requests still hanging end without effect."""
        with self.lock:
            self._saved, self._removed = {}, set()
            self.store.clear()
            self._empty()
            self.clock.reset()
            self.switches.reset()
            self.faults = FaultBook()
            self.generation += 1
            self.idle.notify_all()

    def count(self, name: str, first: int = 1) -> int:
        """The next number of a running series."""
        self.counters[name] = self.counters.get(name, first - 1) + 1
        self.save_setting("counters", self.counters)
        return self.counters[name]

    # What is kept

    def save(self, kind: str, id_: str, document: object) -> None:
        """Write this document when the present work ends."""
        self._saved[kind, id_] = document

    def save_setting(self, name: str, value: object) -> None:
        self.save("setting", name, {"name": name, "value": value})

    def save_faults(self) -> None:
        self.save_setting("faults", self.faults)

    def add_merchant(self, merchant: Merchant) -> None:
        """A new account, or one that changed. Raises Misuse for credentials another account has."""
        for credential in merchant.credentials:
            if "api_key" in credential:
                owner = self.api_keys.get(credential["api_key"])
            else:
                owner = self.passwords.get((credential["username"], credential["password"]))
            if owner not in (None, merchant.mid):
                raise Misuse(f"These credentials belong to {owner}.")
        self._index_merchant(merchant)
        self.save_merchant(merchant)

    def _index_merchant(self, merchant: Merchant) -> None:
        self.merchants[merchant.mid] = merchant
        self.passwords = {pair: mid for pair, mid in self.passwords.items() if mid != merchant.mid}
        self.api_keys = {key: mid for key, mid in self.api_keys.items() if mid != merchant.mid}
        for credential in merchant.credentials:
            if "api_key" in credential:
                self.api_keys[credential["api_key"]] = merchant.mid
            else:
                self.passwords[credential["username"], credential["password"]] = merchant.mid

    def save_merchant(self, merchant: Merchant) -> None:
        self.save("merchant", merchant.mid, merchant)

    def add_order(self, order: Order) -> None:
        self.orders[order.order_id] = order
        self.save("order", order.order_id, order)

    def changed(self, order: Order, before: Doc | None = None) -> None:
        """An order changed; `before` is how it read until now, for reads that lag behind."""
        self.save("order", order.order_id, order)
        if before is not None:
            self.before[order.order_id] = (time.monotonic(), before)
            self.before.move_to_end(order.order_id)
            if len(self.before) > SNAPSHOTS:
                self.before.popitem(last=False)

    def reading(self, order: Order, lagging: bool) -> Doc:
        """How an order reads now, or before its last change when reads lag."""
        if order.order_id in self.before:
            moment, before = self.before[order.order_id]
            lag = self.switches.number("read_lag_ms")
            if lagging or (lag and (time.monotonic() - moment) * 1000 < lag):
                return before
        return shapes.order(order)

    def merchant_of(self, order: Order) -> Merchant:
        return self.merchants[order.mid]

    # Settlement rows and payouts

    def add_row(self, row: Row) -> None:
        self._index_row(row)
        self.save_row(row)

    def _index_row(self, row: Row) -> None:
        self.rows[row.number] = row
        if row.payment_reference is None:
            self.unpaid.setdefault((row.mid, row.currency), {})[row.number] = row
        if row.order_id is not None:
            self.rows_of_order.setdefault(row.order_id, []).append(row.number)

    def save_row(self, row: Row) -> None:
        self.save("row", f"{row.number:012d}", row)

    def add_payout(self, payout: Payout) -> None:
        """A payout made; its rows count as paid from now on."""
        self.payouts[payout.payment_reference] = payout
        self.save("payout", payout.payment_reference, payout)
        for number in payout.rows:
            row = self.rows[number]
            row.payment_reference = payout.payment_reference
            self.unpaid[row.mid, row.currency].pop(number, None)
            self.save_row(row)

    # Keys

    def remember(self, record: Remembered) -> None:
        self.keys[record.mid, record.key] = record
        self.save("key", f"{record.mid} {record.key}", record)

    def forget(self, mid: str, key: str) -> None:
        if self.keys.pop((mid, key), None):
            self._saved.pop(("key", f"{mid} {key}"), None)
            self._removed.add(("key", f"{mid} {key}"))

    # Callbacks

    def add_callback(self, callback: Callback) -> None:
        self._index_callback(callback)
        self.save_callback(callback)

    def _index_callback(self, callback: Callback) -> None:
        self.callbacks[callback.number] = callback
        if callback.next_at is not None:
            self.pending[callback.number] = callback

    def save_callback(self, callback: Callback) -> None:
        if callback.next_at is None:
            self.pending.pop(callback.number, None)
        self.save("callback", f"{callback.number:012d}", callback)

    # What a person reads

    def write_log(self, entry: Logged) -> None:
        self.log.append(entry)
        self.save("log", f"{entry.number:012d}", entry)
        while len(self.log) > LOG_LENGTH:
            self._drop("log", self.log.popleft().number)

    def warn(self, text: str, mid: str | None = None, order_id: str | None = None) -> None:
        """Note something that passed though a person should see it."""
        warned = Warned(self.count("warning"), stamp(self.clock.now()), text, mid, order_id)
        self.warnings.append(warned)
        self.save("warning", f"{warned.number:012d}", warned)
        while len(self.warnings) > WARNINGS_LENGTH:
            self._drop("warning", self.warnings.popleft().number)

    def _drop(self, kind: str, number: int) -> None:
        self._saved.pop((kind, f"{number:012d}"), None)
        self._removed.add((kind, f"{number:012d}"))

    def clear_log(self) -> None:
        self._clear("log")
        self.log.clear()

    def clear_warnings(self) -> None:
        self._clear("warning")
        self.warnings.clear()

    def _clear(self, kind: str) -> None:
        for pair in [pair for pair in self._saved if pair[0] == kind]:
            del self._saved[pair]
        self.store.clear(kind)

    # Time

    def clock_changed(self) -> None:
        """After the clock was set or moved: keep it, let payouts of a future that is no more be made again."""
        self.save_setting("clock", self.clock.to_doc())
        now = stamp(self.clock.now())
        for merchant in self.merchants.values():
            if merchant.settled_through > now:
                merchant.settled_through = now
                self.save_merchant(merchant)
        limit = stamp(self.clock.now() - timedelta(hours=self.switches.number("idem_hours")))
        for mid, key in [pair for pair, record in self.keys.items() if record.at < limit]:
            self.forget(mid, key)

    def key_is_fresh(self, record: Remembered) -> bool:
        """Whether an idempotency key still protects."""
        return self.clock.now() < parse(record.at) + timedelta(hours=self.switches.number("idem_hours"))

    def find_order(self, order_id: str) -> Order:
        """An order for the admin side, whoever owns it. Raises Misuse."""
        order = self.orders.get(order_id)
        if order is None:
            raise Misuse(f"There is no order {order_id}.")
        return order

    def find_merchant(self, mid: str | None) -> Merchant:
        """An account, or the only one when none is named. Raises Misuse."""
        if mid is None and len(self.merchants) == 1:
            return next(iter(self.merchants.values()))
        merchant = self.merchants.get(mid or "")
        if merchant is None:
            raise Misuse(f"There is no merchant {mid}.")
        return merchant


def plain(record: object) -> Any:
    """A record as plain JSON data of its own, for the admin side."""
    return json.loads(json.dumps(record, default=vars))
