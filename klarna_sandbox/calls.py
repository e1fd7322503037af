"""What passes between the edge and the operations: a call that came in, an answer that goes out, the routes."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from klarna_sandbox.bodies import read
from klarna_sandbox.records import Doc, Merchant
from klarna_sandbox.world import World

ORDERS = "/ordermanagement/v1/orders"
SETTLEMENTS = "/settlements/v1"
ID = "([^/]+)"

# Operation, method, path; the groups are order_id then capture_id or refund_id, or payment_reference.
ROUTES = tuple(
    (operation, method, re.compile(path))
    for operation, method, path in (
        ("get_order", "GET", f"{ORDERS}/{ID}"),
        ("acknowledge", "POST", f"{ORDERS}/{ID}/acknowledge"),
        ("update_authorization", "PATCH", f"{ORDERS}/{ID}/authorization"),
        ("cancel", "POST", f"{ORDERS}/{ID}/cancel"),
        ("update_merchant_references", "PATCH", f"{ORDERS}/{ID}/merchant-references"),
        ("update_customer_details", "PATCH", f"{ORDERS}/{ID}/customer-details"),
        ("extend_authorization_time", "POST", f"{ORDERS}/{ID}/extend-authorization-time"),
        ("release_remaining_authorization", "POST", f"{ORDERS}/{ID}/release-remaining-authorization"),
        ("add_order_shipping_info", "POST", f"{ORDERS}/{ID}/shipping-info"),
        ("create_capture", "POST", f"{ORDERS}/{ID}/captures"),
        ("list_captures", "GET", f"{ORDERS}/{ID}/captures"),
        ("get_capture", "GET", f"{ORDERS}/{ID}/captures/{ID}"),
        ("add_capture_shipping_info", "POST", f"{ORDERS}/{ID}/captures/{ID}/shipping-info"),
        ("trigger_send_out", "POST", f"{ORDERS}/{ID}/captures/{ID}/trigger-send-out"),
        ("get_due_date_options", "GET", f"{ORDERS}/{ID}/captures/{ID}/extend-due-date-options"),
        ("extend_due_date", "PATCH", f"{ORDERS}/{ID}/captures/{ID}/extend-due-date"),
        ("create_refund", "POST", f"{ORDERS}/{ID}/refunds"),
        ("get_refund", "GET", f"{ORDERS}/{ID}/refunds/{ID}"),
        ("list_payouts", "GET", f"{SETTLEMENTS}/payouts"),
        ("payouts_summary", "GET", f"{SETTLEMENTS}/payouts/summary"),
        ("get_payout", "GET", f"{SETTLEMENTS}/payouts/{ID}"),
        ("list_transactions", "GET", f"{SETTLEMENTS}/transactions"),
        ("payout_csv", "GET", f"{SETTLEMENTS}/reports/payout-with-transactions"),
        ("payout_pdf", "GET", f"{SETTLEMENTS}/reports/payout"),
        ("period_csv", "GET", f"{SETTLEMENTS}/reports/payouts-summary-with-transactions"),
        ("period_pdf", "GET", f"{SETTLEMENTS}/reports/payouts-summary"),
    )
)
OPERATIONS = frozenset(operation for operation, _, _ in ROUTES)


@dataclass
class Call:
    """A request, and what is known about it so far. `merchant` is set once the credentials are read."""

    world: World
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes
    root: str
    operation: str = ""
    order_id: str | None = None
    part_id: str = ""
    allowed: tuple[str, ...] = ()
    merchant: Merchant | None = None
    lagging: bool = False

    @property
    def changing(self) -> bool:
        return self.method in ("POST", "PATCH")

    @property
    def key(self) -> str | None:
        """The idempotency key, where one counts."""
        return self.headers.get("klarna-idempotency-key") if self.changing else None

    @property
    def owner(self) -> Merchant:
        assert self.merchant is not None
        return self.merchant

    def body(self) -> Doc:
        """The JSON object sent. Raises Refused (422)."""
        return read(self.raw)


def route(call: Call) -> None:
    """Find the operation a call means, or which methods its path would take."""
    allowed = []
    for operation, method, pattern in ROUTES:
        if found := pattern.fullmatch(call.path):
            allowed.append(method)
            if method == call.method:
                call.operation = operation
                groups = found.groups()
                if call.path.startswith(ORDERS):
                    call.order_id = groups[0]
                    groups = groups[1:]
                call.part_id = groups[0] if groups else ""
                return
    call.allowed = tuple(allowed)


@dataclass
class Answer:
    """A response; `changed` says whether the call had an effect of its own, `replayed` that its key gave an old answer,
    `plain` that it comes from the edge and carries no correlation id."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    changed: bool = False
    replayed: bool = False
    error_code: str | None = None
    plain: bool = False

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def as_json(document: Any, status: int = 200) -> Answer:
    """An answer holding JSON."""
    return Answer(status, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def done(changed: bool = True) -> Answer:
    """204."""
    return Answer(204, changed=changed)


def created(location: str, header: str, id_: str) -> Answer:
    """201 with an id and an empty body."""
    return Answer(201, headers=[("Location", location), (header, id_)], changed=True)
