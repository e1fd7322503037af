"""An order that comes in, whatever way it took, becomes an order of ours by one rule: its customer, its articles, its sum.

Klarna, a file, the interface and a person's form all give an ``IncomingOrder``. Amounts are minor units including VAT,
quantities thousandths, rates hundredths of a percent. What came in before is given back and never made twice.
Source: B14, B16, B29, B30.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import db
from errors import N_, BadInput, NotFound, Refusal
from models import Customer, KlarnaAccount, Order, PaymentMethod
from money import Amount
from rights import Actor, Right
from services import currencies, drift, orders, register
from services.card_checks import mask_personal_numbers
from services.incoming_rows import AT_ONCE, Row, Shelf, masked
from services.looks import Look
from services.orders import NewLine
from services.register import CustomerFacts
from states import PaymentKind, Role

KLARNA = Actor("klarna", roles=frozenset({Role.CLERK}))
"""Whoever takes in what Klarna pushes: nobody asked, so the log names the way it came."""
_CHOICE = 10
_PLACE = ("street", "street2", "postal_code", "city", "country")


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who bought, or where the goods go."""

    name: str = ""
    organisation_number: str = ""
    email: str = ""
    phone: str = ""
    street: str = ""
    street2: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = "SE"


@dataclass(frozen=True, slots=True)
class Link:
    """A reservation as a look has just shown it, to be tied to the order."""

    account_id: int
    look: Look


@dataclass(frozen=True, slots=True)
class IncomingOrder:
    """An order on its way in. ``stated_minor`` is the sum its sender gives it, which the rows must add up to to the öre."""

    source: str
    buyer: Buyer
    rows: tuple[Row, ...]
    payment: PaymentKind = PaymentKind.INVOICE
    delivery: Buyer | None = None
    shop_number: str = ""
    source_key: str | None = None
    currency: str = "SEK"
    ordered_at: datetime | None = None
    note: str = ""
    stated_minor: int | None = None
    customer_id: int | None = None
    new_customer: bool = False
    payment_method_id: int | None = None
    link: Link | None = None


class SeveralCustomers(BadInput):
    """More than one card fits: a person says which it is (B30)."""

    def __init__(self, found: Sequence[Customer]) -> None:
        numbers = ", ".join(str(each.number) for each in found)
        super().__init__(
            N_("Several customers fit: %(numbers)s. Choose which one it is."), field="customer", numbers=numbers
        )
        self.customer_ids = tuple(each.id for each in found)


class Differs(Refusal):
    """The same order came in before with another content: neither is changed."""


# --- The customer ----------------------------------------------------------------------------------------------------


class Cards:
    """The cards that buyers may have, found with a few questions however many they are (B30)."""

    def __init__(self, session: Session, buyers: Iterable[Buyer]) -> None:
        asked = list(buyers)
        mails = {each for buyer in asked if buyer.email for each in (buyer.email.strip(), buyer.email.strip().lower())}
        numbers = {buyer.organisation_number for buyer in asked if buyer.organisation_number}
        self._by_mail: dict[str, list[Customer]] = defaultdict(list)
        self._by_number: dict[str, list[Customer]] = defaultdict(list)
        for card in _cards(session, Customer.email, mails):
            self._by_mail[(card.email or "").lower()].append(card)
        for card in _cards(session, Customer.organisation_number, numbers):
            self._by_number[card.organisation_number or ""].append(card)

    def find(self, buyer: Buyer) -> list[Customer]:
        """The cards that fit, by e-mail, and only where none does by organisation number. At most ten."""
        by_mail = self._by_mail.get(buyer.email.strip().lower(), []) if buyer.email.strip() else []
        return (by_mail or self._by_number.get(buyer.organisation_number, []))[:_CHOICE]


def _cards(session: Session, column: sa.orm.InstrumentedAttribute[str | None], wanted: set[str]) -> Iterable[Customer]:
    names = sorted(wanted)
    for start in range(0, len(names), AT_ONCE):
        query = sa.select(Customer).where(column.in_(names[start : start + AT_ONCE]), Customer.anonymised_at.is_(None))
        yield from session.scalars(query.order_by(Customer.number))


def matches(session: Session, buyer: Buyer) -> list[Customer]:
    """The cards that fit one buyer (B30)."""
    return Cards(session, [buyer]).find(buyer)


def _held(session: Session, customer_id: int) -> Customer:
    """A card as it is once nobody is anonymising it, and stays until the transaction ends. Raises NotFound."""
    session.execute(sa.select(Customer.id).where(Customer.id == customer_id).with_for_update(key_share=True))
    found = register.get_customer(session, customer_id)
    session.refresh(found)
    return found


def customer_of(session: Session, actor: Actor, incoming: IncomingOrder) -> Customer:
    """The customer a person chose, else the one card that fits, else a new card. Raises SeveralCustomers, BadInput (B30)."""
    if incoming.customer_id is not None:
        chosen = _held(session, incoming.customer_id)
        if chosen.anonymised_at is not None:
            raise BadInput(N_("The customer has been anonymised and cannot be changed."), field="customer")
        return chosen
    found = [] if incoming.new_customer else matches(session, incoming.buyer)
    if len(found) > 1:
        raise SeveralCustomers(found)
    for card in found:
        if _held(session, card.id).anonymised_at is None:
            return card
    facts: dict[str, Any] = {name: masked(value) for name, value in asdict(incoming.buyer).items()}
    made, _masked = register.new_customer(session, actor, replace(CustomerFacts(name=""), **facts))
    return made


def party_of(customer: Customer, buyer: Buyer, delivery: Buyer | None = None) -> dict[str, object]:
    """Name and address as the order freezes them: what came with it, and the card's where nothing came.

    ``delivery`` stands beside them when the goods go elsewhere. Personal numbers are masked (B29).
    """
    card = Buyer(**{name: getattr(customer, name) or "" for name in asdict(buyer)})
    place = buyer if buyer.street or buyer.city else replace(buyer, **{name: getattr(card, name) for name in _PLACE})
    given = {name: value or getattr(card, name) for name, value in asdict(place).items()}
    given |= {name: getattr(place, name) for name in _PLACE}
    party: dict[str, object] = {name: masked(value) for name, value in given.items()}
    if delivery is not None:
        there = {"name": delivery.name or given["name"], **{name: getattr(delivery, name) for name in _PLACE}}
        if any(there[name] != given[name] for name in there):
            party["delivery"] = {name: masked(value) for name, value in there.items()}
    return party


# --- Taking it -------------------------------------------------------------------------------------------------------


def lines_of(session: Session, incoming: IncomingOrder, shelf: Shelf | None = None) -> list[NewLine]:
    """The rows as they will stand, compared with the stated sum to the öre, of an order whose currency is booked.

    Raises BadInput; a difference is never hidden.
    """
    currencies.require_taken_in(incoming.currency)
    found = shelf or Shelf(session, incoming.rows)
    lines = [found.line(row, foreign=incoming.source == "klarna") for row in incoming.rows]
    total = sum(line.gross_minor for line in lines)
    if incoming.stated_minor is not None and total != incoming.stated_minor:
        raise BadInput(
            N_(
                "The rows add up to %(rows)s, but the order says %(stated)s, %(difference)s apart. Nothing has been taken in."
            ),
            field="total",
            rows=Amount(total, incoming.currency),
            stated=Amount(incoming.stated_minor, incoming.currency),
            difference=Amount(abs(total - incoming.stated_minor), incoming.currency),
        )
    return lines


def earlier(session: Session, incoming: IncomingOrder) -> Order | None:
    """The order that this one became when it came in before."""
    if incoming.source_key is not None:
        found = session.scalar(sa.select(Order).where(Order.source_key == incoming.source_key))
        if found is not None:
            return found
    if incoming.link is not None and incoming.source == "klarna":
        return linked(session, incoming.link.look.order_id)
    return None


def linked(session: Session, klarna_order_id: str) -> Order | None:
    """The order that a reservation belongs to."""
    return session.scalar(sa.select(Order).where(Order.klarna_order_id == klarna_order_id))


def require_same(session: Session, order: Order, incoming: IncomingOrder, shelf: Shelf | None = None) -> None:
    """Let pass when what comes again is what came before. Raises Differs."""
    ours = [_told(line) for line in order.lines]
    theirs = [_told(line) for line in lines_of(session, incoming, shelf)]
    if (ours, order.currency, order.shop_number or "") != (theirs, incoming.currency, masked(incoming.shop_number)):
        raise Differs(
            N_("Order %(number)s came in before under this key with another content. Nothing has been changed."),
            link=("orders.show", {"order_id": order.id}),
            number=order.number,
        )


def _told(line: NewLine | object) -> tuple[object, ...]:
    names = ("kind", "article_number", "name", "quantity_milli", "unit_price_minor", "discount_minor", "vat_rate")
    return tuple(getattr(line, name) for name in names)


def take(session: Session, actor: Actor, incoming: IncomingOrder, shelf: Shelf | None = None) -> Order:
    """Make the order, or give back the one it became before. Raises NotAllowed, BadInput, SeveralCustomers, Refusal (B16)."""
    actor.require(Right.WORK)
    before = earlier(session, incoming)
    if before is not None:
        return before
    lines = lines_of(session, incoming, shelf)
    customer = customer_of(session, actor, incoming)
    link = incoming.link
    order = orders.take(
        session,
        actor,
        customer=customer,
        payment_method=_method(session, incoming),
        lines=lines,
        party=party_of(customer, incoming.buyer, incoming.delivery),
        ordered_at=incoming.ordered_at,
        shop_number=masked(incoming.shop_number) or None,
        account=session.get_one(KlarnaAccount, link.account_id) if link else None,
        klarna_order_id=link.look.order_id if link else None,
        klarna_reference=link.look.reference if link else None,
        currency=incoming.currency,
        note=mask_personal_numbers(incoming.note.strip())[0],
        source=incoming.source,
        source_key=incoming.source_key,
    )
    if link is not None:
        drift.keep_look(session, order, link.look)
        orders.refresh(session, order.id)
    return order


def _method(session: Session, incoming: IncomingOrder) -> PaymentMethod:
    kind = PaymentKind.KLARNA if incoming.link is not None else incoming.payment
    which = (
        PaymentMethod.kind == kind
        if incoming.payment_method_id is None
        else PaymentMethod.id == incoming.payment_method_id
    )
    found = session.scalar(
        sa.select(PaymentMethod).where(which, PaymentMethod.active.is_(True)).order_by(PaymentMethod.id).limit(1)
    )
    if found is None:
        raise BadInput(N_("There is no such payment method in use. An administrator has to add one."), field="payment")
    return found


def by_number(session: Session, number: int) -> Order:
    """An order by its number. Raises NotFound."""
    found = session.scalar(sa.select(Order).where(Order.number == number)) if 0 < number <= orders.MAX_ID else None
    if found is None:
        raise NotFound
    return found


Result = TypeVar("Result")


def once(work: Callable[[Session], Result]) -> Result:
    """Run a transaction that takes an order in; again when another one took the same order in at the same moment."""
    try:
        return db.transact(work)
    except IntegrityError:
        return db.transact(work)
