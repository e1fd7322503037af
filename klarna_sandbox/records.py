"""What the sandbox remembers: merchants, orders, settlement rows, payouts, keys, callbacks. Money in minor units.

Plain records with text for times, so that each is its own JSON document. Rules live elsewhere.
"""

from dataclasses import dataclass, field
from typing import Any

Doc = dict[str, Any]


@dataclass
class Merchant:
    """An account. A fee or schedule left as None follows the switch of that name."""

    mid: str
    created_at: str
    settled_through: str
    name: str = ""
    provider: str = "klarna"
    credentials: list[dict[str, str]] = field(default_factory=list)
    fee_percent: int | None = None
    fee_fixed: int | None = None
    fee_vat: int | None = None
    payout_weekday: str | None = None
    payout_delay_days: int | None = None
    settlement_type: str | None = None
    authorization_days: int | None = None
    registration_currency: str = "SEK"
    debts: dict[str, int] = field(default_factory=dict)


@dataclass
class Capture:
    """A capture; `due_date_days` is how far its due date has been moved."""

    capture_id: str
    klarna_reference: str
    captured_amount: int
    captured_at: str
    description: str | None = None
    reference: str | None = None
    order_lines: list[Doc] = field(default_factory=list)
    refunded_amount: int = 0
    billing_address: Doc = field(default_factory=dict)
    shipping_address: Doc = field(default_factory=dict)
    shipping_info: list[Doc] = field(default_factory=list)
    due_date_days: int = 0
    send_outs: int = 0


@dataclass
class Refund:
    """A refund; `capture_id` is the capture it was allocated to, None when it could not be."""

    refund_id: str
    refunded_amount: int
    refunded_at: str
    description: str | None = None
    reference: str | None = None
    order_lines: list[Doc] = field(default_factory=list)
    credit_invoice: bool | None = None
    capture_id: str | None = None


@dataclass
class Order:
    """An order with its captures and refunds."""

    order_id: str
    mid: str
    order_amount: int
    original_order_amount: int
    remaining_authorized_amount: int
    klarna_reference: str
    created_at: str
    expires_at: str
    status: str = "AUTHORIZED"
    fraud_status: str = "ACCEPTED"
    captured_amount: int = 0
    refunded_amount: int = 0
    purchase_currency: str = "SEK"
    purchase_country: str = "SE"
    locale: str = "sv-SE"
    merchant_reference1: str | None = None
    merchant_reference2: str | None = None
    merchant_data: str | None = None
    customer: Doc = field(default_factory=dict)
    billing_address: Doc = field(default_factory=dict)
    shipping_address: Doc = field(default_factory=dict)
    order_lines: list[Doc] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    shipping_info: list[Doc] = field(default_factory=list)
    initial_payment_method: Doc = field(default_factory=dict)
    selected_shipping_option: Doc | None = None
    merchant_urls: dict[str, str] = field(default_factory=dict)
    acknowledged_at: str | None = None
    rejected_at: str | None = None
    expired: bool = False
    released: bool = False
    allocation_failed: bool = False

    @property
    def method(self) -> str:
        return str(self.initial_payment_method.get("type", ""))

    @classmethod
    def from_doc(cls, doc: Doc) -> "Order":
        """An order from its JSON document."""
        doc = dict(doc)
        doc["captures"] = [Capture(**capture) for capture in doc["captures"]]
        doc["refunds"] = [Refund(**refund) for refund in doc["refunds"]]
        return cls(**doc)


@dataclass
class Row:
    """A settlement row, with what it shows of the order as it was when the row arose.

    `amount` is unsigned except on CORRECTION; `extra` rows were asked for by hand and wait for no payout delay;
    `counts` (-1, 0, 1) is how a row of a type nobody knows moves the settlement.
    """

    number: int
    mid: str
    currency: str
    type: str
    detailed_type: str
    amount: int
    at: str
    order_id: str | None = None
    capture_id: str | None = None
    refund_id: str | None = None
    vat_rate: int = 0
    vat_amount: int = 0
    sale_date: str | None = None
    short_order_id: str | None = None
    capture_suffix: str = ""
    merchant_reference1: str | None = None
    merchant_reference2: str | None = None
    capture_reference: str | None = None
    refund_reference: str | None = None
    purchase_country: str | None = None
    shipping_country: str | None = None
    method: str | None = None
    installments: int | None = None
    consumer_vat: list[list[int]] = field(default_factory=list)
    comment: str | None = None
    reversal_reference: str | None = None
    extra: bool = False
    counts: int = 0
    payment_reference: str | None = None


@dataclass
class Payout:
    """A payout; `rows` are the numbers of its rows in the order they are reported."""

    payment_reference: str
    mid: str
    currency: str
    payout_date: str
    settlement_type: str
    registration_currency: str
    totals: dict[str, int]
    rows: list[int]


@dataclass
class Remembered:
    """The answer an idempotency key gives again."""

    mid: str
    key: str
    method: str
    path: str
    body: str
    at: str
    status: int
    headers: list[list[str]]
    answer: str


@dataclass
class Callback:
    """A push or notification on its way: when it began, when it is next due, and what each attempt met."""

    number: int
    kind: str
    order_id: str
    url: str
    began_at: str
    next_at: str | None
    event: str = ""
    attempts: list[Doc] = field(default_factory=list)


@dataclass
class Logged:
    """One request as the sandbox saw it. `status` is None when no answer was sent."""

    number: int
    at: str
    method: str
    path: str
    query: str
    operation: str
    mid: str | None
    order_id: str | None
    idempotency_key: str | None
    user_agent: str
    body: Any
    status: int | None = None
    error_code: str | None = None
    correlation_id: str = ""
    changed: bool = False
    replayed: bool = False
    fault: str | None = None


@dataclass
class Warned:
    """Something that passed, but that a person should see."""

    number: int
    at: str
    text: str
    mid: str | None = None
    order_id: str | None = None
