"""Invoices: what one made now would hold, and issuing it once Klarna, or nobody, has to agree.

Amounts are minor units including VAT. Source: F7-F19, F25, F26, F29, F30; operations 4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, BrokenRule, Refusal
from models import Delivery, DeliveryLine, Document, DocumentLine, KlarnaOp, Order
from money import Amount
from rights import Actor
from services import (
    advance_booking,
    advances,
    audit,
    deliveries,
    documents,
    holds,
    klarna_lines,
    ledger,
    mail_settings,
    orders,
    outbox,
    preferences,
    rounding,
)
from services.documents import Row, VatSum
from states import DocKind, DocState, DocType, OrderState, PaymentKind, WithoutKlarna

MOST_SHIPPING_INFOS = 500
MADE_HERE = (DocType.DELIVERY, DocType.FINAL, DocType.ADVANCE)


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be set in the last step besides the type (F8).

    ``percent`` is an advance's, in hundredths; ``release_rest`` gives back what is left of the reservation once the invoice
    is activated; ``print_wanted`` and ``mail_to`` concern our own document, not the one Klarna sends (F17-F19).
    """

    percent: int | None = None
    release_rest: bool = False
    print_wanted: bool = False
    mail_to: str = ""

    @property
    def values(self) -> list[int | bool | str | None]:
        """What must be the same when the same form comes again (operations 12)."""
        return [self.percent, self.release_rest, self.print_wanted, self.mail_to]


NOTHING_CHOSEN = Choices()


@dataclass(frozen=True, slots=True)
class Wanted:
    """The invoice that a form asks for: of which order as it stood when the form was drawn, and with which choices."""

    order_id: int
    kind: DocType
    version: int | None
    choices: Choices


@dataclass(frozen=True, slots=True)
class Proposal:
    """The invoice that the button would make: shown by the last step, and built anew in the transaction that makes it."""

    order: Order
    type: DocType
    rows: Sequence[Row]
    vat: Sequence[VatSum]
    gross_minor: int
    without_klarna: WithoutKlarna | None
    percent: int | None = None
    is_last: bool = False

    @property
    def with_klarna(self) -> bool:
        """Whether a capture will be sent (F16)."""
        return self.without_klarna is None

    @property
    def figures(self) -> dict[str, int | str]:
        """What the form was built from; a form built from other figures is stale (operations 12)."""
        return {"type": self.type, "gross": self.gross_minor, "rows": len(self.rows), "version": self.order.version}


def suggested_type(session: Session, order: Order) -> DocType:
    """«Leveransfaktura» when delivered rows await invoicing, else «Slutfaktura» (F10, F11)."""
    return DocType.DELIVERY if orders.to_invoice(session, order, delivered_only=True) else DocType.FINAL


def propose(session: Session, order: Order, kind: DocType | None = None, percent: int | None = None) -> Proposal:
    """Build the invoice of this type from what is left; ``percent`` (hundredths) is an advance's.

    Raises Refusal when there is nothing to invoice (F3), BadInput for a percentage that cannot be charged (F29).
    """
    chosen = kind or suggested_type(session, order)
    if chosen not in MADE_HERE:
        raise BadInput(N_("Choose a type of invoice from the list."), field="type")
    if order.state is OrderState.CANCELLED:
        raise Refusal(N_("The order is cancelled and cannot be invoiced."))
    if chosen is DocType.ADVANCE:
        return _proposal(order, chosen, advances.rows_of(session, order, percent), percent=percent)
    held = orders.invoiced(session, order.id)
    shares = everything = orders.to_invoice(session, order, delivered_only=False, held=held)
    if chosen is DocType.DELIVERY:
        shares = orders.to_invoice(session, order, delivered_only=True, held=held)
    if not shares:
        if everything:
            raise Refusal(N_("Nothing that has been delivered awaits invoicing."))
        raise orders.awaited(session, order) or Refusal(N_("Everything on the order has been invoiced."))
    rows = [
        Row(
            kind=share.line.kind,
            name=share.line.name,
            quantity_milli=share.quantity_milli,
            unit_price_minor=share.line.unit_price_minor,
            discount_minor=share.discount_minor,
            gross_minor=share.gross_minor,
            vat_rate=share.line.vat_rate,
            unit=share.line.unit,
            article_id=share.line.article_id,
            article_number=share.line.article_number,
            order_line_id=share.line.id,
            position=place,
        )
        for place, share in enumerate(shares, start=1)
    ]
    documents.spread_vat(rows)
    taken = {share.line.id: share.quantity_milli for share in shares}
    is_last = all(taken.get(share.line.id) == share.quantity_milli for share in everything)
    rows += advances.deductions(session, order, rows, last=is_last)
    rows += rounding.rows(session, order, rows)
    return _proposal(order, chosen, rows, is_last=is_last)


def _proposal(
    order: Order,
    kind: DocType,
    rows: Sequence[Row],
    *,
    percent: int | None = None,
    is_last: bool = False,
) -> Proposal:
    gross = sum(row.gross_minor for row in rows)
    without = why_not_sent(order, gross)
    unlinked = deliveries.lacks_reservation(order) if gross > 0 else None
    if unlinked is not None:
        raise unlinked
    if without is WithoutKlarna.NEGATIVE_ORDER and orders.total(order) >= 0:
        # The rest would be more than the reservation, and could never be captured.
        raise Refusal(
            N_("With the order's discounts this invoice would come to %(sum)s. Deliver more, or choose final invoice."),
            sum=Amount(gross, order.currency),
        )
    return Proposal(
        order=order,
        type=kind,
        rows=rows,
        vat=documents.vat_sums(rows),
        gross_minor=gross,
        without_klarna=without,
        percent=percent,
        is_last=is_last,
    )


def rest_of_reservation(order: Order, proposal: Proposal) -> int:
    """What this invoice leaves of the reservation, as Klarna last showed it; 0 where nothing is left to release (F8).

    After an advance the rest is for the goods still to come, so that none is offered.
    """
    if not proposal.with_klarna or proposal.type is DocType.ADVANCE:
        return 0
    return max((order.remaining_minor or 0) - proposal.gross_minor, 0)


def chosen(document: Document) -> Choices:
    """What was chosen when an invoice was made."""
    return Choices(document.advance_percent, document.release_rest, document.print_wanted, document.mail_to or "")


def suggested(session: Session, actor: Actor, order: Order) -> Choices:
    """The boxes as they stand when the form opens: a person's own suggestions, never for what Klarna is paid for (F17, F18)."""
    klarna = order.payment_method.kind is PaymentKind.KLARNA
    own = preferences.of(session, actor.id)
    mails = own.mails(DocKind.INVOICE, klarna=klarna) and mail_settings.why_not(session) is None
    return Choices(
        print_wanted=own.prints(DocKind.INVOICE, klarna=klarna),
        mail_to=order.customer.email or "" if mails else "",
    )


def why_not_sent(order: Order, gross_minor: int) -> WithoutKlarna | None:
    """The reason nothing is sent for an invoice of this order, None when a capture will be (F2, F16, K42)."""
    if order.payment_method.kind is not PaymentKind.KLARNA:
        return WithoutKlarna.ORDINARY
    if gross_minor < 0:
        return WithoutKlarna.NEGATIVE_ORDER
    if order.klarna_order_id is None:
        return WithoutKlarna.ORDINARY
    return WithoutKlarna.NOTHING_TO_PAY if gross_minor == 0 else None


def require_open_to(session: Session, order: Order) -> None:
    """Refuse a new document while an operation is open or a refused document awaits a decision (operations 5)."""
    holds.require_none(order)
    orders.require_no_open_operation(session, order)
    orders.require_nothing_refused(session, order)


def create(session: Session, actor: Actor, proposal: Proposal, choices: Choices = NOTHING_CHOSEN) -> Document:
    """Store the proposal as a draft with its rows and choices; numbering and issuing follow in the same transaction.

    Raises Refusal for an e-mail where no mail server has been set up: it would be promised and never leave.
    """
    no_mail = mail_settings.why_not(session) if choices.mail_to else None
    if no_mail is not None:
        raise no_mail
    order = proposal.order
    now = clock.now()
    document = Document(
        kind=DocKind.INVOICE,
        type=proposal.type,
        state=DocState.DRAFT,
        order=order,
        customer_id=order.customer_id,
        currency=order.currency,
        with_klarna=proposal.with_klarna,
        without_klarna_reason=proposal.without_klarna,
        advance_percent=proposal.percent,
        release_rest=choices.release_rest and rest_of_reservation(order, proposal) > 0,
        print_wanted=choices.print_wanted,
        mail_to=choices.mail_to or None,
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=now,
        changed_at=now,
    )
    references: Sequence[str | None] = [None] * len(proposal.rows)
    if order.klarna_order_id is not None:
        references = klarna_lines.capture_references(session, order, proposal.rows)
    document.lines = [
        DocumentLine(
            position=row.position,
            kind=row.kind,
            order_line_id=row.order_line_id,
            article_id=row.article_id,
            article_number=row.article_number,
            name=row.name,
            unit=row.unit,
            quantity_milli=row.quantity_milli,
            unit_price_minor=row.unit_price_minor,
            discount_minor=row.discount_minor,
            gross_minor=row.gross_minor,
            vat_rate=row.vat_rate,
            vat_minor=row.vat_minor,
            klarna_reference=reference,
            deducts_id=row.deducts_id,
        )
        for row, reference in zip(proposal.rows, references, strict=True)
    ]
    session.add(document)
    session.flush()
    return document


def capture_content(session: Session, document: Document) -> dict[str, Any]:
    """The body of the capture: exactly the invoice's total, its number, its rows, the tracking numbers (F1, F20)."""
    content: dict[str, Any] = {
        "captured_amount": document.gross_minor,
        "reference": document.number_text,
        "description": f"Faktura {document.number_text}",
        "order_lines": [klarna_lines.klarna_line(line) for line in document.lines],
    }
    shipping = [_shipping_info(delivery) for delivery in _tracked(session, document)]
    if shipping:
        content["shipping_info"] = shipping[:MOST_SHIPPING_INFOS]
    return content


def _tracked(session: Session, document: Document) -> list[Delivery]:
    """Deliveries with tracking that hold rows of this invoice and went along with no earlier capture."""
    held = [line.order_line_id for line in document.lines if line.order_line_id is not None]
    earlier = select(Document.created_at).where(
        Document.order_id == document.order_id,
        Document.kind == DocKind.INVOICE,
        Document.state.in_(documents.LIVE),
        Document.id != document.id,
    )
    latest = max(session.scalars(earlier).all(), default=None)
    query = (
        select(Delivery)
        .join(DeliveryLine, DeliveryLine.delivery_id == Delivery.id)
        .where(
            Delivery.order_id == document.order_id, DeliveryLine.order_line_id.in_(held), Delivery.tracking_number != ""
        )
        .order_by(Delivery.ordinal)
        .distinct()
    )
    return [found for found in session.scalars(query) if latest is None or found.delivered_at > latest]


def _shipping_info(delivery: Delivery) -> dict[str, str]:
    info = {"shipping_company": delivery.carrier[:100], "tracking_number": delivery.tracking_number[:100]}
    if delivery.tracking_uri:
        info["tracking_uri"] = delivery.tracking_uri
    return {name: value for name, value in info.items() if value}


def issue(session: Session, actor: Actor, document: Document, op: KlarnaOp | None, happened: datetime) -> None:
    """Make a numbered invoice final and book it (E1-E3), in the transaction that records the proof.

    Without operation the document was issued as it was numbered, and is booked here. Raises BrokenRule.
    """
    if op is not None:
        day = documents.issue_day(document, clock.local_date(happened))
        documents.move(session, document, DocState.ISSUED, actor, op_id=op.id, issue_date=day, issued_by_op_id=op.id)
    if document.issue_date is None:
        raise BrokenRule("only an issued invoice is booked")
    day = document.issue_date
    if any(line.gross_minor for line in document.lines):
        ledger.post(
            session,
            actor,
            series="F",
            day=day,
            text=_text(document),
            source=f"invoice:{document.number_text}",
            entries=advance_booking.of_document(session, document, day),
            document_id=document.id,
            currency=document.currency,
        )
    audit.write(
        session,
        actor,
        "invoice.issued",
        f"document:{document.id}",
        {"number": document.number_text, "gross_minor": document.gross_minor, "op": op.id if op else None},
    )
    outbox.follow(session, actor, document)


def _text(document: Document) -> str:
    reference = document.order.klarna_reference if document.order and document.with_klarna else None
    return f"Faktura {document.number_text}" + (f" Klarna {reference}" if reference else "")


def require_fits(session: Session, document: Document) -> None:
    """Refuse an invoice whose rows no longer fit beside the other live ones (operations 5; on «Försök igen»)."""
    if document.order is None:
        raise BrokenRule("an invoice has an order")
    held = orders.invoiced(session, document.order.id)
    fit = advances.fits(session, document)
    for line in document.lines:
        if line.order_line_id is None:
            continue
        ordered = next(row for row in document.order.lines if row.id == line.order_line_id)
        taken = held.get(ordered.id, orders.NOTHING)
        mine = line.quantity_milli if document.state not in documents.LIVE else 0
        fit = fit and taken.quantity_milli + mine <= ordered.quantity_milli
    if not fit:
        raise Refusal(
            N_("The rows of invoice %(number)s have been invoiced otherwise since. It can only be voided."),
            number=document.number_text,
        )


def require_reservation(document: Document, held_minor: int, authorized_minor: int) -> None:
    """Refuse a capture that does not fit into what is left of the reservation by our own count (F1)."""
    left = authorized_minor - held_minor
    gross = document.gross_minor or 0
    if gross > left:
        raise Refusal(
            N_(
                "The invoice of %(amount)s is more than what is left of the reservation, %(left)s. "
                "Nothing has been sent to Klarna."
            ),
            amount=Amount(gross, document.currency),
            left=Amount(max(left, 0), document.currency),
        )
