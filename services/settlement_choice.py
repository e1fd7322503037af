"""The document that a person writes for a settlement row, as it is shown before anything is tied to it (B4).

What agrees with the row in everything that the row tells goes straight; anything else is shown first, and tied when the
person has seen it as it stands now. Pure reading. Amounts are minor units. Source: operations 14.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from errors import N_, Refusal
from models import Customer, Document, Order, Payout, PayoutRow
from money import Amount
from services import settings
from states import DocKind

CLAIMS = ("SALE", "RETURN", "REVERSAL", "REVERSAL_MERCHANT_PROTECTION")
"""Types of rows whose amount is a claim of a document."""


@dataclass(frozen=True, slots=True)
class Part:
    """A document and what it is to have of the row; ``after_minor`` is what is open of it then, ``differs`` in what it is not
    the row's."""

    document_id: int
    kind: DocKind
    number: str
    customer: str
    order_id: int
    order_number: int
    gross_minor: int
    open_minor: int
    part_minor: int
    after_minor: int
    currency: str
    differs: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Choice:
    """What was written for a row, and the documents it means; ``seen`` stands for all of it as it is now."""

    typed: str
    parts: Sequence[Part]
    seen: str

    @property
    def agrees(self) -> bool:
        """Whether nothing about the documents contradicts the row."""
        return not any(part.differs for part in self.parts)


class Unseen(Refusal):
    """What was written is not simply the row's, and nobody has said yes to it as it stands: it is shown first."""

    def __init__(self, choice: Choice, message: str) -> None:
        super().__init__(message)
        self.choice = choice


NOT_TIED = N_("Nothing has been tied yet. Look at what differs, and tie the row if it is right.")
NOT_MOVED = N_("Nothing has been moved yet. Look at the document, and move the row if it is right.")


def require_seen(
    session: Session, payout: Payout, row: PayoutRow, typed: str, parts: Sequence[tuple[Document, int]], seen: str
) -> None:
    """Let through what agrees with the row, or what the person has seen as it is now. Raises Unseen."""
    choice = _choice(session, payout, row, typed, parts)
    if not choice.agrees and seen != choice.seen:
        raise Unseen(choice, NOT_TIED)


def require_seen_moved(
    session: Session, payout: Payout, row: PayoutRow, typed: str, parts: Sequence[tuple[Document, int]], seen: str
) -> None:
    """Let through only what the person has seen as it is now: a move corrects the books, also where all agrees. Raises Unseen."""
    choice = _choice(session, payout, row, typed, parts)
    if seen != choice.seen:
        raise Unseen(choice, NOT_MOVED)


def _choice(
    session: Session, payout: Payout, row: PayoutRow, typed: str, parts: Sequence[tuple[Document, int]]
) -> Choice:
    named = _order_of(session, payout, row)
    shown = [_part(session, row, named, document, minor) for document, minor in parts]
    facts = [row.id, typed, *([each.document_id, each.order_number, each.customer, each.gross_minor, each.open_minor,
                               each.part_minor] for each in shown)]  # fmt: skip
    return Choice(typed, shown, hashlib.sha256(json.dumps(facts).encode()).hexdigest())


def _part(session: Session, row: PayoutRow, named: Order | None, document: Document, minor: int) -> Part:
    order = session.get_one(Order, document.order_id)
    claim = row.type in CLAIMS
    return Part(
        document_id=document.id,
        kind=document.kind,
        number=document.number_text or "",
        customer=session.get_one(Customer, document.customer_id).name,
        order_id=order.id,
        order_number=order.number,
        gross_minor=document.gross_minor or 0,
        open_minor=abs(document.open_minor),
        part_minor=-minor if document.kind is DocKind.CREDIT_NOTE else minor,
        after_minor=abs(document.open_minor - minor if claim else document.open_minor),
        currency=document.currency,
        differs=tuple(_differences(session, row, named, order, document, minor)),
    )


def _differences(
    session: Session, row: PayoutRow, named: Order | None, order: Order, document: Document, minor: int
) -> Iterator[Refusal]:
    """In what a document is not the one that the row tells of."""
    if named is None:
        if row.klarna_order_id or row.short_order_id:
            yield Refusal(
                N_("The row is of the purchase %(row)s at Klarna; the document is of order %(order)s."),
                row=row.short_order_id or row.klarna_order_id or "", order=str(order.number),
            )  # fmt: skip
        else:
            yield Refusal(N_("The row does not say which order it is of."))
    elif named.id != order.id:
        yield Refusal(
            N_("The row is of order %(row)s; the document is of order %(order)s."),
            row=str(named.number), order=str(order.number),
        )  # fmt: skip
        if named.customer_id != order.customer_id:
            yield Refusal(
                N_("The row's order is %(row)s's; the document is %(customer)s's."),
                row=session.get_one(Customer, named.customer_id).name,
                customer=session.get_one(Customer, order.customer_id).name,
            )
    told = row.refund_reference if row.type == "RETURN" else row.capture_reference
    # A document that stands for one that was voided or refused is the one of its number, too.
    ours = {document.number_text, document.replaces.number_text if document.replaces else None}
    if told and told not in ours:
        yield Refusal(N_("The row bears the number %(number)s."), number=told)
    if row.type in CLAIMS:
        yield from _sums(row, document, minor)


def _sums(row: PayoutRow, document: Document, minor: int) -> Iterator[Refusal]:
    gross, part = Amount(document.gross_minor or 0, document.currency), Amount(abs(minor), document.currency)
    if gross.minor != part.minor:
        yield Refusal(N_("The document is of %(document)s, and this is %(row)s."), document=gross, row=part)
    if row.type in ("SALE", "RETURN") and (minor - document.open_minor) * (1 if minor > 0 else -1) > 0:
        yield Refusal(
            N_("Of the document %(left)s is open. It becomes overpaid."),
            left=Amount(abs(document.open_minor), document.currency),
        )


def _order_of(session: Session, payout: Payout, row: PayoutRow) -> Order | None:
    """The order that a row names: by Klarna's id, else by Klarna's short number, else by the shop's number."""
    ours = sa.select(Order).where(Order.account_id == payout.account_id)
    if row.klarna_order_id:
        return session.scalar(ours.where(Order.klarna_order_id == row.klarna_order_id))
    if row.short_order_id:
        # Some reports write the activation's number behind the order's.
        short = {row.short_order_id, row.short_order_id.rpartition("-")[0]} - {""}
        return _only(session, ours.where(Order.klarna_reference.in_(sorted(short))))
    number = getattr(row, settings.value(session, "match_field"))
    return _only(session, ours.where(Order.shop_number == number)) if number else None


def _only(session: Session, query: sa.Select[Order]) -> Order | None:
    found = session.scalars(query.limit(2)).all()
    return found[0] if len(found) == 1 else None
