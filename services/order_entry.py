"""An order typed in by a person: whose it is, found by number, name or e-mail; and the form that makes one order however often
it is sent. Source: B16, B30; operations 12; catalogue rows 15 and 75.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, Refusal
from models import Customer, KlarnaAccount, Order, PaymentMethod
from rights import Actor
from services import incoming, incoming_rows, money_forms, orders, register, settings
from services.card_checks import read_email, read_organisation_number, read_postal_code
from services.countries import COUNTRIES
from services.incoming import Buyer, IncomingOrder
from services.orders import NewLine
from states import LineKind, PaymentKind

ACTION, SUBJECT = "order.create", "new"
_CHOICE = 10


@dataclass(frozen=True, slots=True)
class Offered:
    """What the form lets one choose from. Rates are hundredths of a percent."""

    methods: Sequence[PaymentMethod]
    rates: Sequence[int]
    kinds: Sequence[LineKind]


def offered(session: Session) -> Offered:
    """Payment methods in use, VAT rates of today, kinds of rows."""
    methods = session.scalars(sa.select(PaymentMethod).where(PaymentMethod.active.is_(True)).order_by(PaymentMethod.id))
    rates = sorted(set(settings.vat_classes(session, clock.today()).values()), reverse=True)
    return Offered(list(methods), rates, incoming_rows.KINDS)


def accounts(session: Session) -> list[KlarnaAccount]:
    """The Klarna accounts in use, by name."""
    in_use = sa.select(KlarnaAccount).where(KlarnaAccount.active.is_(True))
    return list(session.scalars(in_use.order_by(KlarnaAccount.name, KlarnaAccount.id)))


def find_customers(session: Session, text: str) -> list[Customer]:
    """Cards that a number, the beginning of a name or an e-mail address fits; a number that is one is that card alone."""
    text = " ".join(text.split())
    if not text:
        return []
    if re.fullmatch(r"[0-9]{1,9}", text):
        exact = session.scalar(
            sa.select(Customer).where(Customer.number == int(text), Customer.anonymised_at.is_(None))
        )
        if exact is not None:
            return [exact]
    found = register.customers(session, search=text, limit=_CHOICE + 1)
    return [each for each in found if each.anonymised_at is None][:_CHOICE]


def choose_customer(session: Session, text: str, chosen_id: int | None) -> Customer:
    """The one card a person means. Raises BadInput beside the field for none or several (B30)."""
    found = find_customers(session, text)
    if not text.strip():
        raise BadInput(N_("Write a customer number, a name or an e-mail address."), field="customer")
    if not found:
        raise BadInput(N_("No customer fits. Write another, or make a new one below."), field="customer")
    picked = [each for each in found if each.id == chosen_id] or (found if len(found) == 1 else [])
    if not picked:
        raise incoming.SeveralCustomers(found)
    return picked[0]


def check_buyer(buyer: Buyer, prefix: str = "") -> Buyer:
    """An address as it was typed, in its normal form. Raises BadInput beside the field (catalogue rows 44-46)."""
    country = buyer.country.strip().upper()
    if country not in COUNTRIES:
        raise BadInput(N_("Write the country as two letters, for example SE."), field=f"{prefix}country")
    try:
        return replace(
            buyer,
            country=country,
            email=read_email(buyer.email),
            organisation_number=read_organisation_number(buyer.organisation_number),
            postal_code=read_postal_code(buyer.postal_code, country),
        )
    except BadInput as refusal:
        refusal.field = f"{prefix}{refusal.field}"
        raise


def survey(session: Session, order: IncomingOrder) -> tuple[list[NewLine], list[Refusal]]:
    """The rows as they will stand, and what one should know of them; the first that cannot be is refused. Raises BadInput."""
    lines = incoming.lines_of(session, order)
    return lines, incoming_rows.notices(lines)


def take_once(session: Session, actor: Actor, nonce: str, order: IncomingOrder) -> Order:
    """Make the order a form stands for, or give back the one it has made. Raises Malformed, NotAllowed, BadInput, Refusal."""
    values = asdict(order)
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, SUBJECT, values)
    if earlier is not None:
        return orders.get(session, int(earlier))
    if not order.rows:
        raise BadInput(N_("The order has no rows."))
    made = incoming.take(session, actor, order)
    money_forms.use_form(session, actor, nonce, ACTION, SUBJECT, values, str(made.id))
    return made


def is_klarna(session: Session, payment_method_id: int) -> bool:
    """Whether a payment method is Klarna's."""
    found = session.get(PaymentMethod, payment_method_id)
    return found is not None and found.kind is PaymentKind.KLARNA
