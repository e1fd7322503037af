"""Every state machine as data: the states and the moves allowed between them. Pure. Source: operations 3 and 4."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from errors import BrokenRule


class OpState(StrEnum):
    """State of one intended act at Klarna."""

    PREPARED = "PREPARED"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    REVIEW = "REVIEW"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    NOT_EXECUTED = "NOT_EXECUTED"
    EXTERNAL = "EXTERNAL"


OPEN_OPS = frozenset({OpState.PREPARED, OpState.SENDING, OpState.UNKNOWN, OpState.REVIEW})
"""States in which an act may still happen; one such operation per Klarna order."""
LIVE_OPS = OPEN_OPS | {OpState.CONFIRMED, OpState.EXTERNAL}
"""States that hold or have used the money."""

OP_MOVES: Mapping[OpState, frozenset[OpState]] = {
    OpState.PREPARED: frozenset({OpState.SENDING, OpState.NOT_EXECUTED, OpState.CONFIRMED, OpState.UNKNOWN}),
    OpState.SENDING: frozenset({OpState.CONFIRMED, OpState.REJECTED, OpState.UNKNOWN, OpState.PREPARED}),
    OpState.UNKNOWN: frozenset({OpState.SENDING, OpState.CONFIRMED, OpState.REJECTED, OpState.REVIEW}),
    OpState.REVIEW: frozenset({OpState.CONFIRMED, OpState.NOT_EXECUTED}),
    OpState.CONFIRMED: frozenset(),
    OpState.REJECTED: frozenset(),
    OpState.NOT_EXECUTED: frozenset(),
    OpState.EXTERNAL: frozenset(),
}
OP_BEGINS = frozenset({OpState.PREPARED, OpState.EXTERNAL})


class OpKind(StrEnum):
    """What is asked of Klarna."""

    CAPTURE = "CAPTURE"
    REFUND = "REFUND"
    CANCEL = "CANCEL"
    RELEASE = "RELEASE"
    EXTEND_AUTH = "EXTEND_AUTH"
    UPDATE_AUTH = "UPDATE_AUTH"


class CallKind(StrEnum):
    """A request to Klarna that moves no money."""

    ACKNOWLEDGE = "acknowledge"
    TRACKING = "tracking"
    ORDER_TRACKING = "order_tracking"
    RETURN_TRACKING = "return_tracking"
    ADDRESS = "address"
    REFERENCES = "references"
    LETTER = "letter"
    DUE_DATE = "due_date"


class CallOutcome(StrEnum):
    """How such a request ended. What is unclear may be asked again with the same key, or said to be done."""

    DONE = "done"
    REFUSED = "refused"
    UNCLEAR = "unclear"
    NOT_SENT = "not_sent"


class DocState(StrEnum):
    """State of an invoice or credit note."""

    DRAFT = "draft"
    PENDING = "pending"
    REFUSED = "refused"
    ISSUED = "issued"
    VOID = "void"


DOC_MOVES: Mapping[DocState, frozenset[DocState]] = {
    DocState.DRAFT: frozenset({DocState.PENDING, DocState.ISSUED}),
    DocState.PENDING: frozenset({DocState.ISSUED, DocState.REFUSED, DocState.VOID}),
    DocState.REFUSED: frozenset({DocState.PENDING, DocState.ISSUED, DocState.VOID}),
    DocState.ISSUED: frozenset(),
    DocState.VOID: frozenset(),
}

DOCUMENT_OF_OP: Mapping[OpState, DocState] = {
    OpState.PREPARED: DocState.PENDING,
    OpState.SENDING: DocState.PENDING,
    OpState.UNKNOWN: DocState.PENDING,
    OpState.REVIEW: DocState.PENDING,
    OpState.CONFIRMED: DocState.ISSUED,
}
"""One operation state fixes one document state (operations 4)."""


class DocKind(StrEnum):
    """Invoice or credit note."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class DocType(StrEnum):
    """«Fakturatyp»: what kind of invoice or credit note it is (F10-F12, K30, K42)."""

    DELIVERY = "delivery"
    FINAL = "final"
    ADVANCE = "advance"
    REPLACEMENT = "replacement"
    CREDIT = "credit"
    FREE_CREDIT = "free_credit"


class RefusalKind(StrEnum):
    """Why a document is refused: Klarna's no, a difference seen before sending, or a decision in review."""

    KLARNA = "klarna"
    DRIFT = "drift"
    DECIDED = "decided"


class WithoutKlarna(StrEnum):
    """Why nothing is sent for a document (operations 2.3, K20, K42)."""

    ORDINARY = "ordinary"
    NOTHING_TO_PAY = "nothing_to_pay"
    EVEN_EXCHANGE = "even_exchange"
    CREDITED_IN_PORTAL = "credited_in_portal"
    FREE_STANDING = "free_standing"
    NEGATIVE_ORDER = "negative_order"


class Condition(StrEnum):
    """In what state goods came back; what is damaged never goes into the balance that is sold from (K24)."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    NEVER = "never"


class Origin(StrEnum):
    """Who found or wanted an operation."""

    APP = "app"
    DRIFT = "drift"
    SETTLEMENT = "settlement"
    RESTORE = "restore"


class AnswerClass(StrEnum):
    """What came back from an attempt."""

    NOT_SENT = "NOT_SENT"
    AMBIGUOUS = "AMBIGUOUS"
    ANSWER = "ANSWER"


class OrderState(StrEnum):
    """Life of an order; delivery and invoicing are counted from rows, not kept here."""

    OPEN = "open"
    CANCELLED = "cancelled"


class KlarnaStatus(StrEnum):
    """Klarna's own order status (reference 2.2)."""

    AUTHORIZED = "AUTHORIZED"
    PART_CAPTURED = "PART_CAPTURED"
    CAPTURED = "CAPTURED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    CLOSED = "CLOSED"


class PaymentKind(StrEnum):
    """How an order is paid (B32)."""

    KLARNA = "klarna"
    INVOICE = "invoice"


class LineKind(StrEnum):
    """What a row stands for; decides the account, the stock and Klarna's line type."""

    ARTICLE = "article"
    TEXT = "text"
    FREIGHT = "freight"
    FEE = "fee"
    DISCOUNT = "discount"
    ADVANCE = "advance"
    ADVANCE_DEDUCTION = "advance_deduction"
    RETURN_FEE = "return_fee"
    ROUNDING = "rounding"


class FeesFrom(StrEnum):
    """Where the company sits whose fees a payout deducts; from abroad, VAT on them is the buyer's to account for."""

    SWEDEN = "sweden"
    EU = "eu_country"
    OUTSIDE = "outside_eu"


class PayoutState(StrEnum):
    """Life of one payout in the books."""

    LOADING = "loading"
    PARKED = "parked"
    READY = "ready"
    BOOKED = "booked"


PAYOUT_MOVES: Mapping[PayoutState, frozenset[PayoutState]] = {
    PayoutState.LOADING: frozenset({PayoutState.PARKED, PayoutState.READY}),
    PayoutState.PARKED: frozenset({PayoutState.READY}),
    PayoutState.READY: frozenset({PayoutState.BOOKED, PayoutState.PARKED}),
    PayoutState.BOOKED: frozenset(),
}


class Pile(StrEnum):
    """Where a settlement row stands (B4)."""

    MATCHED = "matched"
    WARNING = "warning"
    FAULTY = "faulty"
    HANDLED = "handled"


class BreakKind(StrEnum):
    """A difference that a person has to settle (operations 13)."""

    CAPTURE_UNKNOWN = "capture_unknown"
    REFUND_UNKNOWN = "refund_unknown"
    TOTALS_DIFFER = "totals_differ"
    OBJECT_MISSING = "object_missing"
    DUPLICATE_NUMBER = "duplicate_number"
    STATUS_DIFFERS = "status_differs"
    ADDRESS_OR_EXPIRY = "address_or_expiry"
    ROW_WITHOUT_PARTNER = "row_without_partner"
    ROW_CONTRADICTS_DECISION = "row_contradicts_decision"
    UNPAID_TOO_LONG = "unpaid_too_long"
    WRONG_OWNER = "wrong_owner"


class BreakState(StrEnum):
    """Open until a person, or the facts, settle it."""

    OPEN = "open"
    CLOSED = "closed"


class Role(StrEnum):
    """The four roles (security 2)."""

    VIEWER = "viewer"
    CLERK = "clerk"
    FINANCE = "finance"
    ADMIN = "admin"


class MovementKind(StrEnum):
    """Why stock moved."""

    DELIVERY = "delivery"
    RETURN = "return"
    RETURN_REVERSED = "return_reversed"
    REPLACEMENT = "replacement"
    ADJUSTMENT = "adjustment"
    GOODS_IN = "goods_in"
    STOCKTAKE = "stocktake"


class StocktakeState(StrEnum):
    """A stocktake: being counted, its differences booked, or given up."""

    OPEN = "open"
    BOOKED = "booked"
    DISCARDED = "discarded"


State = TypeVar("State", OpState, DocState, PayoutState)


def check_move(moves: Mapping[State, frozenset[State]], old: State, new: State) -> None:
    """Let an allowed move pass. Raises BrokenRule for any other."""
    if new not in moves[old]:
        raise BrokenRule(f"{type(old).__name__} does not go from {old} to {new}")
