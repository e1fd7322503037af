"""What tests need to exist, made by plain functions through the real services, with honest defaults.

Every function that takes ``session`` works inside ``with writing() as session:``; what it gives keeps its values after
the block. Functions that take ``klarna`` own their transactions and are called outside. Amounts are minor units including
VAT, quantities whole pieces unless named ``_milli``.

    with writing() as session:
        account = an_account(session, sandbox, klarna)
        order = an_order(session, sandbox, account=account, lines=[row("T-shirt", 49900), row("Frakt", 4900, kind=FREIGHT)])
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

import clock
import money
from db import reading, writing
from klarna_sandbox.control import Control
from models import (
    Article,
    Customer,
    Delivery,
    Document,
    Installation,
    KlarnaAccount,
    Order,
    PaymentMethod,
    User,
    UserRole,
    VatRate,
    Warehouse,
)
from rights import Actor
from services import currencies, deliveries, invoices, orders, periods, reservations, settings, stock
from services.gateway import Gateway
from services.orders import NewLine
from services.reservations import MoneyForm
from states import DocType, KlarnaStatus, LineKind, PaymentKind, Role
from tests import worlds

PASSWORD = "en lång mening som bara proven kan"
"""The password of every test user."""
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
FIRST_YEAR = 2025
COMPANY = {
    "company.name": "Provbolaget AB",
    "company.organisation_number": "559999-0008",
    "company.vat_number": "SE559999000801",
    "company.street": "Provgatan 1",
    "company.postal_code": "111 22",
    "company.city": "Stockholm",
    "company.email": "order@example.com",
    "company.phone": "08-465 004 00",
    "company.bankgiro": "991-2346",
    "company.registered_office": "Stockholm",
}
PEOPLE: Mapping[Role, tuple[int, str]] = {
    Role.VIEWER: (1, "Läsaren"),
    Role.CLERK: (2, "Handläggaren"),
    Role.FINANCE: (3, "Ekonomen"),
    Role.ADMIN: (4, "Administratören"),
}
"""User id and name per role; the login is the role's name."""

ARTICLE, FREIGHT, FEE, TEXT, DISCOUNT = (
    LineKind.ARTICLE, LineKind.FREIGHT, LineKind.FEE, LineKind.TEXT, LineKind.DISCOUNT,
)  # fmt: skip
KLARNA_TYPES = {
    LineKind.FREIGHT: "shipping_fee",
    LineKind.FEE: "surcharge",
    LineKind.DISCOUNT: "discount",
}


def actor(role: Role) -> Actor:
    """The one person of a role."""
    number, name = PEOPLE[role]
    return Actor(name, number, frozenset({role}))


FINANCE = actor(Role.FINANCE)
CLERK = actor(Role.CLERK)


# --- The company --------------------------------------------------------------------------------------------------------


def a_company(session: Session) -> None:
    """A company with open books, four people (login and role alike), one warehouse and the two payment methods."""
    session.add(Installation(id=1, installation_id=str(uuid.uuid4()), environment_class="test", sending_enabled=True))
    for role, (number, name) in PEOPLE.items():
        session.add(
            User(
                id=number,
                login=role.value,
                name=name,
                password_hash=CHEAP.hash(PASSWORD),
                language=None,
                created_at=clock.now(),
                roles=[UserRole(role=role)],
            )
        )
    session.add_all(
        [
            PaymentMethod(kind=PaymentKind.KLARNA, name_sv="Klarna", name_en="Klarna"),
            PaymentMethod(kind=PaymentKind.INVOICE, name_sv="Faktura", name_en="Invoice"),
        ]
    )
    session.flush()
    _start_counters(session)
    for year in range(FIRST_YEAR, clock.today().year + 2):
        periods.open_books(session, FINANCE, year)
    for name, value in COMPANY.items():
        settings.change(session, actor(Role.ADMIN), name, value, date(FIRST_YEAR, 1, 1))
    a_warehouse(session, "HL", "Huvudlagret")


def furnish_company() -> None:
    """The company in a transaction of its own, for a template or a running stack."""
    with writing() as session:
        a_company(session)


def _start_counters(session: Session) -> None:
    """People have fixed ids; on PostgreSQL the counter must start after them."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SELECT setval('user_account_id_seq', (SELECT max(id) FROM user_account))"))


def a_warehouse(session: Session, code: str | None = None, name: str = "Lager") -> Warehouse:
    """A warehouse."""
    made = Warehouse(code=code or f"L{_count(session, Warehouse) + 1}", name=name)
    session.add(made)
    session.flush()
    return made


def the_warehouse(session: Session) -> Warehouse:
    """The company's first warehouse."""
    return session.scalars(sa.select(Warehouse).order_by(Warehouse.id).limit(1)).one()


def a_payment_method(session: Session, kind: PaymentKind = PaymentKind.KLARNA) -> PaymentMethod:
    """The payment method of this kind."""
    return session.scalars(sa.select(PaymentMethod).where(PaymentMethod.kind == kind).limit(1)).one()


def _count(session: Session, table: Any) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


# --- Customers and articles ---------------------------------------------------------------------------------------------


def a_customer(session: Session, name: str = "Testperson-se Approved", **fields: Any) -> Customer:
    """A customer; the default is the test person of Klarna's public documentation."""
    number = (session.scalar(sa.select(sa.func.max(Customer.number))) or 0) + 1
    given = {
        "email": f"kund{number}@example.com",
        "phone": "+46765260000",
        "street": "Stårgatan 1",
        "postal_code": "12345",
        "city": "Ankeborg",
        "created_at": clock.now(),
    }
    made = Customer(**{"number": number, "name": name, **given, **fields})
    session.add(made)
    session.flush()
    return made


def an_article(
    session: Session, name: str = "T-shirt", price_minor: int = 49_900, *, rate: int = 2500, stock_milli: int = 100_000,
    number: str | None = None, warehouse: Warehouse | None = None, **fields: Any,
) -> Article:  # fmt: skip
    """An article with stock in the first warehouse; ``rate`` in hundredths of a percent picks the VAT class."""
    number = number or f"ART-{_count(session, Article) + 1}"
    made = Article(
        **{
            "number": number,
            "number_key": number.casefold(),
            "name": name,
            "price_minor": price_minor,
            "vat_class": vat_class_of(session, rate),
            **fields,
        }
    )
    session.add(made)
    session.flush()
    if made.stock_kept and stock_milli:
        place = warehouse or the_warehouse(session)
        stock.adjust(session, CLERK, made.id, place.id, stock_milli, "inleverans")
    return made


def vat_class_of(session: Session, rate: int) -> str:
    """A VAT class that has this rate today, hundredths of a percent."""
    for name in sorted(session.scalars(sa.select(VatRate.vat_class).where(VatRate.rate == rate)), reverse=True):
        if settings.vat_rate_of(session, name, clock.today()) == rate:
            return name
    raise LookupError(f"no VAT class has the rate {rate} today")


# --- Klarna -------------------------------------------------------------------------------------------------------------


def an_account(
    session: Session, sandbox: Control, klarna: Gateway, *, name: str = "Butiken", **fields: Any
) -> KlarnaAccount:
    """A Klarna account at the sandbox, with credentials that the sandbox knows. The merchant id is ``store_id``."""
    store_id = fields.pop("store_id", None) or f"K{_count(session, KlarnaAccount) + 1:06d}"
    username, password = f"{store_id}_user", f"hemlighet-{store_id}"
    sandbox.merchant(store_id, username, password, name=name, provider=fields.get("provider", "klarna"))
    made = KlarnaAccount(
        **{
            "name": name,
            "store_id": store_id,
            "environment": "sandbox",
            "sandbox_url": sandbox.url,
            "username": username,
            "secret": klarna.seal(password, store_id),
            **fields,
        }
    )
    session.add(made)
    session.flush()
    return made


def row(
    name: str = "T-shirt", price_minor: int = 49_900, *, pieces: int = 1, quantity_milli: int | None = None,
    rate: int = 2500, discount_minor: int = 0, kind: LineKind = ARTICLE, article: Article | None = None, unit: str = "st",
) -> NewLine:  # fmt: skip
    """An order row. An article row without an ``article`` gets one with stock when the order is made."""
    return NewLine(
        kind=kind,
        name=name if article is None else article.name,
        quantity_milli=pieces * 1000 if quantity_milli is None else quantity_milli,
        unit_price_minor=price_minor if article is None else article.price_minor,
        vat_rate=rate,
        article=article,
        article_number=article.number if article is not None else None,
        unit=unit,
        discount_minor=discount_minor,
    )


def an_order(
    session: Session, sandbox: Control | None = None, klarna: Gateway | None = None, *,
    lines: int | Sequence[NewLine] = 1, account: KlarnaAccount | None = None, customer: Customer | None = None,
    shop_number: str | None = None, currency: str = "SEK", **at_klarna: Any,
) -> Order:  # fmt: skip
    """An order of one T-shirt, of so many different shirts, or of these rows (see ``row``).

    With a sandbox it is paid with Klarna and the sandbox has the same truth: rows, amounts, references and id. The account
    is the one given, else the only one there is, else a new one (``klarna`` is then needed). ``at_klarna`` is handed to
    the sandbox, e.g. ``expires_at`` or ``fraud_status``. Without a sandbox it is paid by invoice.
    """
    if isinstance(lines, int):
        lines = [row(f"T-shirt {n}", 49_900 - (n - 1) * 10_000) for n in range(1, lines + 1)]
    rows = [_with_article(session, line) for line in lines]
    buyer = customer or a_customer(session)
    shop_number = shop_number or f"W{_count(session, Order) + 1001}"
    if sandbox is None:
        method, linked = a_payment_method(session, PaymentKind.INVOICE), {}
    else:
        method = a_payment_method(session, PaymentKind.KLARNA)
        account = account or session.scalars(sa.select(KlarnaAccount).limit(1)).first()
        if account is None:
            assert klarna is not None, "the first order of a test needs klarna, to make the account"
            account = an_account(session, sandbox, klarna)
        bought = a_klarna_order(sandbox, account, rows, buyer, shop_number, currency, **at_klarna)
        linked = {
            "account": account,
            "klarna_order_id": bought["order_id"],
            "klarna_reference": bought["klarna_reference"],
        }
    made = orders.take(
        session, CLERK, customer=buyer, payment_method=method, lines=rows, party=party_of(buyer),
        shop_number=shop_number, currency=currency, **linked,
    )  # fmt: skip
    if sandbox is not None:
        _as_klarna_shows(made, bought)
        orders.refresh(session, made.id)
    return made


def _with_article(session: Session, line: NewLine) -> NewLine:
    if line.kind is not ARTICLE or line.article is not None:
        return line
    article = an_article(session, line.name, line.unit_price_minor, rate=line.vat_rate, unit=line.unit)
    return NewLine(
        **{name: getattr(line, name) for name in line.__slots__}
        | {"article": article, "article_number": article.number}
    )


def party_of(customer: Customer) -> dict[str, object]:
    """Name and address as a document freezes them."""
    names = ("name", "organisation_number", "email", "phone", "street", "street2", "postal_code", "city", "country")
    return {name: getattr(customer, name) or "" for name in names}


def klarna_line(line: NewLine, reference: str) -> dict[str, object]:
    """A row as a shop sends it to Klarna; a row of part pieces goes as one of its sum."""
    whole = line.quantity_milli % 1000 == 0
    gross = line.gross_minor
    return {
        "type": KLARNA_TYPES.get(line.kind, "physical"),
        "reference": reference,
        "name": line.name,
        "quantity": line.quantity_milli // 1000 if whole else 1,
        "quantity_unit": line.unit,
        "unit_price": line.unit_price_minor if whole else gross + line.discount_minor,
        "tax_rate": line.vat_rate,
        "total_amount": gross,
        "total_discount_amount": line.discount_minor,
        "total_tax_amount": money.vat_of_gross(gross, line.vat_rate),
    }


def a_klarna_order(
    sandbox: Control, account: KlarnaAccount, rows: Sequence[NewLine], buyer: Customer, shop_number: str,
    currency: str = "SEK", **fields: Any,
) -> dict[str, Any]:  # fmt: skip
    """A purchase at the sandbox alone, as the shop would have made it; gives the order as Klarna shows it."""
    given, _, family = buyer.name.partition(" ")
    address = {
        "given_name": given,
        "family_name": family or given,
        "email": buyer.email or "kund@example.com",
        "phone": buyer.phone or "",
        "street_address": buyer.street,
        "postal_code": buyer.postal_code,
        "city": buyer.city,
        "country": buyer.country,
    }
    lines = [klarna_line(line, line.article_number or f"{line.kind.value}-{n}") for n, line in enumerate(rows, start=1)]
    order_id = sandbox.order(
        **{
            "mid": account.store_id,
            "order_lines": lines,
            "order_amount": sum(line.gross_minor for line in rows),
            "purchase_currency": currency,
            "merchant_reference1": shop_number,
            "billing_address": address,
            "shipping_address": address,
            **fields,
        }
    )
    return sandbox.state(order_id)


def _as_klarna_shows(order: Order, bought: Mapping[str, Any]) -> None:
    """Fill the columns that a first look would have filled."""
    order.klarna_status = KlarnaStatus(bought["status"])
    order.fraud_status = bought["fraud_status"]
    order.klarna_method = bought["initial_payment_method"]["type"]
    order.authorized_minor = bought["order_amount"]
    order.captured_minor = bought["captured_amount"]
    order.refunded_minor = bought["refunded_amount"]
    order.remaining_minor = bought["remaining_authorized_amount"]
    order.expires_at = datetime.fromisoformat(bought["expires_at"])
    order.klarna_read_at = clock.now()


# --- What happens to an order -------------------------------------------------------------------------------------------


def a_delivery(
    session: Session, order: Order, quantities: Mapping[int, int] | None = None, *, actor: Actor = CLERK,
    warehouse: Warehouse | None = None, **tracking: str,
) -> Delivery:  # fmt: skip
    """A delivery of everything that is left, or of these thousandths per row id."""
    if quantities is None:
        quantities = {line.id: milli for line, milli in orders.to_deliver(session, orders.get(session, order.id))}
    place = warehouse or the_warehouse(session)
    return deliveries.deliver(session, actor, order.id, quantities, warehouse_id=place.id, **tracking)


def a_money_form(shown_minor: int, *, accepted_difference_minor: int = 0) -> MoneyForm:
    """A money form that was just drawn and not yet sent."""
    return MoneyForm(secrets.token_hex(16), shown_minor, accepted_difference_minor)


def an_invoice(klarna: Gateway, order: Order, *, kind: DocType = DocType.DELIVERY, actor: Actor = CLERK) -> Document:
    """The invoice that the order's page offers just now, created for real: captured at Klarna when the order is Klarna's."""
    with reading() as session:
        proposed = invoices.propose(session, orders.get(session, order.id), kind).gross_minor
    return the_document(reservations.invoice(klarna, actor, order.id, kind, a_money_form(proposed)))


@contextmanager
def books_kept_in(currency: str) -> Iterator[None]:
    """Books that book another currency, as Kvitta's once did: what was booked then has to be readable now."""
    with patch.object(currencies, "BOOKS", currency):
        yield


def the_document(document_id: int) -> Document:
    """A document as it stands, with its rows."""
    with reading() as session:
        found = session.get_one(Document, document_id)
        assert found.lines is not None
        session.expunge_all()
        return found


def a_captured_invoice(
    klarna: Gateway, sandbox: Control, *, lines: int | Sequence[NewLine] = 1, **order: Any
) -> Document:
    """An invoice of a new Klarna order, all of it delivered, captured and issued."""

    def build() -> Document:
        with writing() as session:
            made = an_order(session, sandbox, klarna, lines=lines, **order)
            a_delivery(session, made)
        document = an_invoice(klarna, made)
        assert document.state.value == "issued", f"the invoice is {document.state}"
        return document

    articles = [line.article for line in lines if line.article is not None] if not isinstance(lines, int) else []
    if articles or not all(isinstance(value, str | int | None) for value in order.values()):
        return build()
    return worlds.begin(f"a captured invoice of {lines!r}, {sorted(order.items())!r}", klarna, sandbox, build)
