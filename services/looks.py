"""A look: what Klarna's order shows at one moment, read strictly and compared with what is ours. Pure.

Amounts are minor units. Source: reference 2.2; operations 6 and 8; invariants, catalogue row 68.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import clock
from errors import N_, Refusal
from money import Amount
from states import KlarnaStatus, OpKind

CLOCK_SLACK = timedelta(minutes=10)
"""An object a little older than the operation can still be its effect: two clocks differ (operations 8)."""
MOST_STORED = 8_000
"""Characters of evidence kept with an event or an answer."""
_LARGEST = 2**53


OF_THE_RESERVATION = frozenset({OpKind.CANCEL, OpKind.RELEASE, OpKind.EXTEND_AUTH, OpKind.UPDATE_AUTH})
"""Acts on the reservation itself: they have no document, and leave no object with our number at Klarna."""
_PAID_NOW_BY_CARD = ("CARD", "PAY_BY_CARD")
"""Ways of paying that Klarna never extends. Credit that is taken by card is another thing, and Klarna answers for it."""


class Unreadable(ValueError):
    """Klarna's answer is not an order we can rely on; nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a capture or refund, as far as we need it."""

    reference: str | None
    name: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    tax_rate: int


@dataclass(frozen=True, slots=True)
class Found:
    """A capture or a refund at Klarna."""

    object_id: str | None
    reference: str | None
    amount_minor: int
    at: datetime | None
    short_ref: str | None
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """Klarna's order at ``at``; amounts in minor units."""

    at: datetime
    order_id: str
    status: KlarnaStatus
    fraud_status: str
    currency: str
    order_amount: int
    captured: int
    refunded: int
    remaining: int
    expires_at: datetime | None
    reference: str | None
    method: str | None
    captures: tuple[Found, ...]
    refunds: tuple[Found, ...]
    lines: tuple[Line, ...] = ()

    @property
    def refundable(self) -> int:
        """What Klarna can still refund, minor units."""
        return self.captured - self.refunded

    def objects(self, kind: OpKind) -> tuple[Found, ...]:
        """The captures or the refunds."""
        return {OpKind.CAPTURE: self.captures, OpKind.REFUND: self.refunds}.get(kind, ())

    def evidence(self) -> str:
        """What is kept of a look: figures and objects, nothing personal."""
        return json.dumps(
            {
                "at": self.at.isoformat(),
                "status": self.status,
                "fraud_status": self.fraud_status,
                "order_amount": self.order_amount,
                "captured": self.captured,
                "refunded": self.refunded,
                "remaining": self.remaining,
                "captures": [[f.object_id, f.reference, f.amount_minor] for f in self.captures],
                "refunds": [[f.object_id, f.reference, f.amount_minor] for f in self.refunds],
            }
        )[:MOST_STORED]


def _integer(found: Any, name: str) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not -_LARGEST < found < _LARGEST:
        raise Unreadable(f"{name} is not a whole number")
    return found


def _amount(content: dict[str, Any], name: str) -> int:
    amount = _integer(content.get(name), name)
    if amount < 0:
        raise Unreadable(f"{name} is negative")
    return amount


def _words(content: dict[str, Any], name: str) -> str | None:
    found = content.get(name)
    if found is not None and not isinstance(found, str):
        raise Unreadable(f"{name} is not text")
    return found or None


def _instant(content: dict[str, Any], name: str) -> datetime | None:
    words = _words(content, name)
    if words is None:
        return None
    try:
        at = datetime.fromisoformat(words)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        clock.local_date(at)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"{name} is not an instant") from error
    return at


def _objects(content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = content.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Unreadable(f"{name} is not a list of objects")
    return found


def _lines(content: dict[str, Any]) -> tuple[Line, ...]:
    return tuple(
        Line(
            reference=_words(item, "reference"),
            name=_words(item, "name") or "",
            quantity=_integer(item.get("quantity", 0), "quantity"),
            unit_price_minor=_integer(item.get("unit_price", 0), "unit_price"),
            total_minor=_integer(item.get("total_amount", 0), "total_amount"),
            tax_rate=_integer(item.get("tax_rate") or 0, "tax_rate"),
        )
        for item in _objects(content, "order_lines")
    )


def _found(content: dict[str, Any], id_name: str, amount_name: str, at_name: str) -> Found:
    return Found(
        object_id=_words(content, id_name),
        reference=_words(content, "reference"),
        amount_minor=_amount(content, amount_name),
        at=_instant(content, at_name),
        short_ref=_words(content, "klarna_reference"),
        lines=_lines(content),
    )


def read(content: dict[str, Any], at: datetime) -> Look:
    """Read Klarna's order. Raises Unreadable when a figure or a list is not what it must be; extras are ignored."""
    try:
        status = KlarnaStatus(str(content.get("status")))
    except ValueError as error:
        raise Unreadable("unknown order status") from error
    method = content.get("initial_payment_method")
    order_id = _words(content, "order_id")
    currency = _words(content, "purchase_currency")
    if order_id is None or currency is None:
        raise Unreadable("order_id or purchase_currency is missing")
    return Look(
        at=at,
        order_id=order_id,
        status=status,
        fraud_status=_words(content, "fraud_status") or "",
        currency=currency.upper(),
        order_amount=_amount(content, "order_amount"),
        captured=_amount(content, "captured_amount"),
        refunded=_amount(content, "refunded_amount"),
        remaining=_amount(content, "remaining_authorized_amount"),
        expires_at=_instant(content, "expires_at"),
        reference=_words(content, "klarna_reference"),
        method=_words(method, "type") if isinstance(method, dict) else None,
        captures=tuple(
            _found(c, "capture_id", "captured_amount", "captured_at") for c in _objects(content, "captures")
        ),
        refunds=tuple(_found(r, "refund_id", "refunded_amount", "refunded_at") for r in _objects(content, "refunds")),
        lines=_order_lines(content),
    )


def _order_lines(content: dict[str, Any]) -> tuple[Line, ...]:
    """The order's own rows, none where one cannot be read: they were written by the shop, and no sum rests on them."""
    try:
        return _lines(content)
    except Unreadable:
        return ()


def _require_lasting(look: Look) -> None:
    if look.status is KlarnaStatus.CANCELLED:
        raise Refusal(N_("The purchase is cancelled at Klarna. Nothing has been sent."))
    if look.status is KlarnaStatus.EXPIRED or (look.expires_at is not None and look.expires_at <= look.at):
        raise Refusal(
            N_("The reservation expired on %(day)s. Ask Klarna whether it can be renewed."),
            day=clock.local_date(look.expires_at or look.at),
        )


def _require_changeable(look: Look, kind: OpKind, amount_minor: int) -> None:
    """What Klarna's order must show for an act on the reservation itself (reference 2.7 and 2.8)."""
    _require_lasting(look)
    if kind is OpKind.CANCEL and look.captured:
        raise Refusal(
            N_("Something has been activated on the purchase. Release the rest instead. Nothing has been sent.")
        )
    if kind is OpKind.RELEASE and not look.captured:
        raise Refusal(
            N_("Nothing has been activated on the purchase. Cancel the order instead. Nothing has been sent.")
        )
    if kind is not OpKind.CANCEL and not look.remaining:
        raise Refusal(N_("Nothing is left of the reservation at Klarna. Nothing has been sent."))
    if kind is OpKind.UPDATE_AUTH and amount_minor < look.captured:
        raise Refusal(
            N_("%(captured)s has been activated, and the order cannot be less. Nothing has been sent."),
            captured=Amount(look.captured, look.currency),
        )
    if kind is OpKind.EXTEND_AUTH and (no := never_extends(look.method)) is not None:
        raise no


def with_number(look: Look, kind: OpKind, reference: str | None) -> list[Found]:
    """The objects of this kind that bear our number, oldest first as Klarna lists them."""
    return [found for found in look.objects(kind) if reference is not None and found.reference == reference]


def proves(found: Found, *, amount_minor: int, created_at: datetime, taken: Iterable[str]) -> bool:
    """Whether an object with our number is the effect of an operation: same amount, not older, its id not used elsewhere."""
    return (
        found.amount_minor == amount_minor
        and (found.at is None or found.at >= created_at - CLOCK_SLACK)
        and (found.object_id is None or found.object_id not in set(taken))
    )


def never_extends(method: str | None) -> Refusal | None:
    """Why Klarna gives a purchase paid this way no more time; None for other ways and where it has not told (reference 2.8)."""
    if method not in _PAID_NOW_BY_CARD:
        return None
    return Refusal(N_("The purchase is paid by card, and Klarna does not extend those. Invoice before it expires."))


def not_refundable(left_minor: int, amount_minor: int, outside_minor: int, currency: str) -> Refusal:
    """More than Klarna can still refund; with what has been credited there and not here, if anything has (K32)."""
    left, amount, outside = (Amount(each, currency) for each in (left_minor, amount_minor, outside_minor))
    if outside_minor > 0:
        return Refusal(
            N_(
                "Klarna can still refund %(left)s, the credit note is %(amount)s. "
                "%(outside)s has been credited outside Kvitta. Nothing has been sent."
            ),
            left=left, amount=amount, outside=outside,
        )  # fmt: skip
    return Refusal(
        N_("Klarna can still refund %(left)s, the credit note is %(amount)s. Nothing has been sent."),
        left=left,
        amount=amount,
    )


def require_possible(look: Look, kind: OpKind, amount_minor: int, outside_minor: int = 0) -> None:
    """Refuse what Klarna's order rules out: cancelled, expired, under review, not enough left.

    ``outside_minor`` is what has been credited at Klarna and not here, for the sentence.

    Raises Refusal with the sentence of F1, F27, B21, K32. Nothing has been sent.
    """
    currency = look.currency
    if kind in OF_THE_RESERVATION:
        _require_changeable(look, kind, amount_minor)
    if kind is OpKind.CAPTURE:
        _require_lasting(look)
        if look.fraud_status != "ACCEPTED":
            raise Refusal(N_("Klarna is reviewing the purchase. Do not deliver or invoice yet."))
        if look.status not in (KlarnaStatus.AUTHORIZED, KlarnaStatus.PART_CAPTURED) and look.remaining < amount_minor:
            raise Refusal(N_("Nothing is left of the reservation at Klarna. Nothing has been sent."))
        if look.remaining < amount_minor:
            raise Refusal(
                N_(
                    "The invoice of %(amount)s is more than what is left of the reservation, %(left)s. "
                    "Nothing has been sent to Klarna."
                ),
                amount=Amount(amount_minor, currency),
                left=Amount(look.remaining, currency),
            )
    if kind is OpKind.REFUND and look.refundable < amount_minor:
        raise not_refundable(look.refundable, amount_minor, outside_minor, currency)
