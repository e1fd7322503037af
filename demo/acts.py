"""What people do to an order, each act through the same services as the pages use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from demo.baskets import Row, lines_of
from demo.people import WEB_SHOP, party_of
from demo.purchases import purchase
from klarna_sandbox.control import Control
from models import Customer, KlarnaAccount, PaymentMethod
from rights import Actor
from services import credit_drafts, deliveries, documents, invoices, orders, reservations, settings
from services.gateway import Gateway
from services.reservations import MoneyForm
from states import DocState, DocType, LineKind, PaymentKind, WithoutKlarna

OPENS, CLOSES = time(8, 5), time(16, 45)
CARRIERS = ("Snabbpaketet", "Fjällbudet")
PERSONAL = ("INVOICE", "INVOICE", "ACCOUNT", "CARD", "DIRECT_DEBIT")
BUSINESS = "INVOICE_BUSINESS"


@dataclass
class Shop:
    """The company while it is being built: who works there, what it has, and until when the past goes on."""

    sandbox: Control
    klarna: Gateway
    until: datetime
    clerk: Actor
    finance: Actor
    customers: Sequence[int]
    businesses: Sequence[int]
    warehouses: Sequence[int]
    account_id: int
    business_account_id: int
    sold: int = 10_000

    def next_number(self) -> str:
        """The shop's own number of the next order."""
        self.sold += 1
        return f"W{self.sold}"


def _form(shown_minor: int) -> MoneyForm:
    """A money form that was just drawn."""
    return MoneyForm(secrets.token_hex(16), shown_minor)


@dataclass
class Case:
    """One order and the chance that shapes it."""

    shop: Shop
    rng: Random
    basket: Callable[[Random], list[Row]]
    business: bool = False
    order_id: int = 0
    klarna_order_id: str = ""
    invoices: list[int] = field(default_factory=list)
    credit_notes: list[int] = field(default_factory=list)

    # --- When ---

    def later(self, least: int, most: int) -> datetime:
        """Some minutes from now, within the past that is played."""
        return self._within(clock.now() + timedelta(minutes=self.rng.randint(least, most)))

    def office(self, days: int = 1) -> datetime:
        """A moment within office hours, at least so many days from now."""
        day = clock.today() + timedelta(days=days)
        while day.weekday() >= 5:
            day += timedelta(days=1)
        span = (CLOSES.hour - OPENS.hour) * 60 + CLOSES.minute - OPENS.minute
        moment = datetime.combine(day, OPENS, clock.LOCAL) + timedelta(minutes=self.rng.randint(0, span))
        return self._within(moment if moment > clock.now() else clock.now() + timedelta(minutes=20))

    def _within(self, moment: datetime) -> datetime:
        """A moment that lies in the future is moved into what is left of the past: somebody worked late."""
        left = self.shop.until - clock.now()
        return moment if moment < self.shop.until else clock.now() + left * self.rng.randint(1, 60) // 100

    # --- The order ---

    def buy(self, **at_klarna: object) -> None:
        """Somebody orders and pays with Klarna; ``at_klarna`` is handed to the sandbox, e.g. ``fraud_status``."""
        shop = self.shop
        number = shop.next_number()
        method = BUSINESS if self.business else self.rng.choice(PERSONAL)
        with writing() as session:
            buyer = session.get_one(Customer, self._customer())
            account = session.get_one(KlarnaAccount, shop.business_account_id if self.business else shop.account_id)
            lines = lines_of(session, self.basket(self.rng), fee=False)
            wish = purchase(account.store_id, buyer, lines, number, method)
            self.klarna_order_id = shop.sandbox.order(**{**wish, **at_klarna})
            self.order_id = orders.take(
                session,
                WEB_SHOP,
                customer=buyer,
                payment_method=_method(session, PaymentKind.KLARNA),
                lines=lines,
                party=party_of(buyer),
                shop_number=number,
                account=account,
                klarna_order_id=self.klarna_order_id,
                klarna_reference=shop.sandbox.state(self.klarna_order_id)["klarna_reference"],
            ).id
        self.look()

    def order_on_account(self) -> None:
        """Somebody orders against an ordinary invoice."""
        with writing() as session:
            buyer = session.get_one(Customer, self._customer())
            self.order_id = orders.take(
                session,
                WEB_SHOP,
                customer=buyer,
                payment_method=_method(session, PaymentKind.INVOICE),
                lines=lines_of(session, self.basket(self.rng), fee=True),
                party=party_of(buyer),
                shop_number=self.shop.next_number(),
            ).id

    def _customer(self) -> int:
        return self.rng.choice(self.shop.businesses if self.business else self.shop.customers)

    def look(self) -> None:
        """Read the purchase at Klarna and keep what it shows."""
        reservations.look_at(self.shop.klarna, self.order_id)

    # --- Goods and invoices ---

    def deliver(self, *, part: bool = False, tracked: bool = True) -> None:
        """Send off what is left, or with ``part`` about half of the rows."""
        with writing() as session:
            left = orders.to_deliver(session, orders.get(session, self.order_id))
            chosen = left[: (len(left) + 1) // 2] if part else left
            tracking: Mapping[str, str] = self._tracking() if tracked else {}
            deliveries.deliver(
                session,
                self.shop.clerk,
                self.order_id,
                {line.id: milli for line, milli in chosen},
                warehouse_id=self.rng.choices(self.shop.warehouses, (5, 1))[0],
                **tracking,
            )

    def _tracking(self) -> dict[str, str]:
        number = f"HF{self.rng.randint(10_000_000, 99_999_999)}SE"
        return {
            "carrier": self.rng.choice(CARRIERS),
            "tracking_number": number,
            "tracking_uri": f"https://spara.example.com/{number}",
        }

    def invoice(self, kind: DocType = DocType.DELIVERY) -> DocState:
        """Make the invoice the page offers, and capture it where the order is paid with Klarna."""
        with reading() as session:
            shown = invoices.propose(session, orders.get(session, self.order_id), kind).gross_minor
        made = reservations.invoice(self.shop.klarna, self.shop.clerk, self.order_id, kind, _form(shown))
        self.invoices.append(made)
        return self.state_of(made)

    @staticmethod
    def state_of(document_id: int) -> DocState:
        """Where a document stands."""
        with reading() as session:
            return documents.get(session, document_id).state

    @staticmethod
    def amount_of(document_id: int) -> int:
        """The sum of a numbered document, minor units."""
        with reading() as session:
            return documents.get(session, document_id).gross_minor or 0

    # --- Credit notes ---

    def draft(self, *, part: bool = False, restock: bool = True, without: WithoutKlarna | None = None) -> int:
        """Open a credit note on the first invoice: all that is left, or with ``part`` one piece of its first row."""
        with writing() as session:
            shop = self.shop
            draft = credit_drafts.start(session, shop.clerk, self.invoices[0])
            if part:
                goods = [line for line in draft.lines if line.kind is LineKind.ARTICLE and line.gross_minor > 0]
                for line in draft.lines:
                    if line.id != goods[0].id:
                        credit_drafts.remove_row(session, shop.clerk, draft.id, line.id)
                if goods[0].quantity_milli > 1000 and goods[0].quantity_milli % 1000 == 0:
                    credit_drafts.set_quantity(session, shop.clerk, draft.id, goods[0].id, "1")
            credit_drafts.set_options(
                session,
                shop.clerk,
                draft.id,
                restock=restock,
                warehouse_id=None,
                without_klarna=without is not None,
                reason=without or "",
            )
        self.credit_notes.append(draft.id)
        return draft.id

    def create_credit(self, draft_id: int, *, portal_confirmed: bool = False) -> DocState:
        """Create the credit note of a draft; Finance does what is above the clerk's limit."""
        with reading() as session:
            shown = credit_drafts.figures(session, documents.get(session, draft_id)).gross_minor
            limit = settings.number(session, "refund_limit.clerk")
        actor = self.shop.clerk if shown <= limit else self.shop.finance
        reservations.credit(self.shop.klarna, actor, draft_id, _form(shown), portal_confirmed=portal_confirmed)
        return self.state_of(draft_id)

    def credit(self, *, part: bool = False, restock: bool = True, without: WithoutKlarna | None = None) -> int:
        """Credit the first invoice, all of what is left or a part; gives the credit note's id."""
        draft_id = self.draft(part=part, restock=restock, without=without)
        self.create_credit(draft_id)
        return draft_id

    def retry(self, document_id: int) -> DocState:
        """«Försök igen»."""
        form = _form(self.amount_of(document_id))
        reservations.retry(self.shop.klarna, self.shop.clerk, document_id, form)
        return self.state_of(document_id)

    # --- At Klarna ---

    def fault(self, kind: str, operation: str, **more: Any) -> None:
        """Let the next call for this order meet a fault."""
        self.shop.sandbox.fault(kind, operation=operation, order_id=self.klarna_order_id, **more)

    def total(self) -> int:
        """The order's sum, minor units."""
        with reading() as session:
            return orders.total(orders.get(session, self.order_id))


def _method(session: Session, kind: PaymentKind) -> PaymentMethod:
    return session.scalars(sa.select(PaymentMethod).where(PaymentMethod.kind == kind).limit(1)).one()
