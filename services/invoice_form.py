"""The last step before an invoice exists: its rows, its sums, the reservation, and why the button is off (F7-F16).

Amounts are minor units including VAT, quantities thousandths. Pure reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

import clock
from errors import N_, Refusal
from models import Order
from money import Amount
from rights import Actor, Right
from services import advances, breaks, deliveries, drift, invoices, mail_settings, operations, order_page, orders
from services.documents import Row, VatSum
from states import DocType, PaymentKind, WithoutKlarna


@dataclass(frozen=True, slots=True)
class Reservation:
    """What Klarna last showed of the reservation, minor units; ``after_minor`` is what this invoice leaves of it (F14)."""

    reference: str | None
    klarna_order_id: str
    authorised_minor: int
    activated_minor: int
    left_minor: int
    after_minor: int
    expires_on: date | None
    read_at: datetime | None

    @property
    def falls_short(self) -> bool:
        """Whether less is left than the invoice is on, as far as Klarna has shown: nothing can be sent then (F1, F16)."""
        return self.read_at is not None and self.after_minor < 0


@dataclass(frozen=True, slots=True)
class LastStep:
    """What the form shows. ``rows`` is empty when there is nothing to invoice, and ``refusal`` says so."""

    order_id: int
    order_number: int
    version: int
    customer: str
    currency: str
    type: DocType
    types: Sequence[DocType]
    rows: Sequence[Row]
    vat: Sequence[VatSum]
    gross_minor: int
    deliveries: Sequence[int]
    paid_by_klarna: bool
    without_klarna: WithoutKlarna | None
    reservation: Reservation | None
    refusal: Refusal | None
    to_book: tuple[int, int] | None
    """The difference that speaks of a capture made outside, and its amount, where less is left than is needed (B20)."""
    difference: Refusal | None
    difference_minor: int
    total_minor: int
    advance_left_minor: int
    percent: str
    percent_refusal: Refusal | None
    rest_minor: int
    is_last: bool
    suggested: invoices.Choices
    mail_address: str
    no_mail: Refusal | None
    """Why no e-mail can be asked for."""

    @property
    def deducts(self) -> bool:
        """Whether earlier advances are deducted (F30)."""
        return any(row.deducts_id is not None for row in self.rows)

    @property
    def vat_minor(self) -> int:
        """VAT of the whole invoice."""
        return sum(each.vat_minor for each in self.vat)


def last_step(
    session: Session, actor: Actor, order_id: int, chosen: DocType | None = None, percent: str = ""
) -> LastStep:
    """The last step for an order, of the chosen type or of the one that suits it; ``percent`` as typed. Raises NotFound.

    A percentage that cannot be charged is told by ``percent_refusal``; where none is typed yet there are no rows (F29).
    """
    order = orders.get(session, order_id)
    suggested = invoices.suggested_type(session, order)
    kind = chosen or suggested
    types = [DocType.DELIVERY] if suggested is DocType.DELIVERY else []
    if orders.to_invoice(session, order, delivered_only=False):
        types.append(DocType.FINAL)
    left = max(sum(advances.left(session, order).values()), 0)
    if advances.why_not(session, order, left) is None:
        types.append(DocType.ADVANCE)
    refusal: Refusal | None = None
    proposal: invoices.Proposal | None = None
    try:
        if kind is not DocType.ADVANCE:
            proposal = invoices.propose(session, order, kind)
        elif percent or DocType.ADVANCE not in types:
            proposal = invoices.propose(session, order, kind, advances.read_percent(session, order, percent or "1"))
    except Refusal as no:
        refusal = no
    wrong = refusal if refusal is not None and refusal.field == "percent" else None
    gross = proposal.gross_minor if proposal else 0
    without = proposal.without_klarna if proposal else None
    reservation = _reservation(order, gross) if proposal and without is None else None
    to_book = breaks.capture_to_book(session, order.id) if reservation and reservation.falls_short else None
    difference, difference_minor = drift.shown(session, order) if reservation else (None, 0)
    return LastStep(
        order_id=order.id,
        order_number=order.number,
        version=order.version,
        customer=order.customer.name,
        currency=order.currency,
        type=kind,
        types=types,
        rows=proposal.rows if proposal else (),
        vat=proposal.vat if proposal else (),
        gross_minor=gross,
        deliveries=[each.ordinal for each in deliveries.listing(session, order.id)],
        paid_by_klarna=order.payment_method.kind is PaymentKind.KLARNA,
        without_klarna=without,
        reservation=reservation,
        refusal=refusal or _why_not(session, actor, order, gross, reservation),
        to_book=to_book,
        difference=difference,
        difference_minor=difference_minor,
        total_minor=orders.total(order),
        advance_left_minor=left,
        percent=percent,
        percent_refusal=wrong,
        rest_minor=invoices.rest_of_reservation(order, proposal) if proposal else 0,
        is_last=proposal.is_last if proposal else False,
        suggested=invoices.suggested(session, actor, order),
        mail_address=order.customer.email or "",
        no_mail=mail_settings.why_not(session),
    )


def read_percent(session: Session, order_id: int, text: str) -> int:
    """An advance's percentage as typed, in hundredths. Raises NotFound, BadInput with the sentence of F29."""
    return advances.read_percent(session, orders.get(session, order_id), text)


def _reservation(order: Order, gross_minor: int) -> Reservation:
    left = order.remaining_minor or 0
    return Reservation(
        reference=order.klarna_reference,
        klarna_order_id=order.klarna_order_id or "",
        authorised_minor=order.authorized_minor or 0,
        activated_minor=order.captured_minor or 0,
        left_minor=left,
        after_minor=left - gross_minor,
        expires_on=clock.local_date(order.expires_at) if order.expires_at else None,
        read_at=order.klarna_read_at,
    )


def _why_not(
    session: Session, actor: Actor, order: Order, gross_minor: int, reservation: Reservation | None
) -> Refusal | None:
    """Why the button is off; what it says is said again on the server."""
    try:
        actor.require(Right.WORK)
        refusal = order_page.why_not_invoice(session, order)
        if refusal is None and reservation is not None:
            operations.require_sending(session)
    except Refusal as no:
        return no
    if refusal is None and reservation is not None and reservation.falls_short:
        return Refusal(
            N_(
                "The invoice of %(amount)s is more than what is left of the reservation, %(left)s. "
                "Nothing has been sent to Klarna."
            ),
            amount=Amount(gross_minor, order.currency),
            left=Amount(reservation.left_minor, order.currency),
        )
    return refusal
