"""The registers: customers, articles and warehouses. What is written on a card is checked here (catalogue rows 39-46).

Prices are minor units including VAT; documents keep their own frozen copies, so a changed card changes no document.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Article, Customer, StockMovement, VatRate, Warehouse
from money import MAX_AMOUNT_MINOR
from rights import Actor, Right
from services import audit, numbering
from services.card_checks import (
    mask_personal_numbers,
    number_key,
    read_gtin,
    read_organisation_number,
    read_postal_code,
)
from services.countries import COUNTRIES
from states import LineKind

FIRST_CUSTOMER = 1001
MOST_ROWS = 100
MAX_ID = 2**63 - 1
LONGEST_NUMBER = 64
"""Characters of an article number: with ``#`` and a position it must fit Klarna's line reference."""
LONGEST_UNIT = 8
LONGEST_NAME = 200
ARTICLE_KINDS = (LineKind.ARTICLE, LineKind.TEXT, LineKind.FREIGHT, LineKind.FEE)


def _fingerprint(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:32]


def require_fresh(seen: str, now: str) -> None:
    """Let pass a form drawn from the card as it is. Raises Stale."""
    if seen != now:
        raise Stale(N_("Somebody else has changed this card. What stands there now is shown; make your change again."))


# --- Customers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """What a customer card holds."""

    name: str
    organisation_number: str = ""
    email: str = ""
    phone: str = ""
    street: str = ""
    street2: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = "SE"
    note: str = ""
    payment_days: int | None = None

    @property
    def fingerprint(self) -> str:
        """What a form carries to see that nobody else has changed the card meanwhile (catalogue row 73)."""
        return _fingerprint(asdict(self))


def facts_of(customer: Customer) -> CustomerFacts:
    """The card as it stands."""
    texts = [each.name for each in fields(CustomerFacts) if each.name != "payment_days"]
    return CustomerFacts(payment_days=customer.payment_days, **{name: getattr(customer, name) or "" for name in texts})


def _checked(facts: CustomerFacts) -> tuple[CustomerFacts, bool]:
    """The facts in their normal form, and whether a personal number was masked. Raises BadInput."""
    name, in_name = mask_personal_numbers(" ".join(facts.name.split()))
    note, in_note = mask_personal_numbers(facts.note.strip())
    if not name:
        raise BadInput(N_("Write a name."), field="name")
    country = facts.country.strip().upper()
    if country not in COUNTRIES:
        raise BadInput(N_("Write the country as two letters, for example SE."), field="country")
    return (
        replace(
            facts,
            name=name,
            note=note,
            country=country,
            organisation_number=read_organisation_number(facts.organisation_number),
            email=facts.email.strip().lower(),
            postal_code=read_postal_code(facts.postal_code, country),
        ),
        in_name or in_note,
    )


def get_customer(session: Session, customer_id: int) -> Customer:
    """A customer. Raises NotFound."""
    found = session.get(Customer, customer_id) if 0 < customer_id <= MAX_ID else None
    if found is None:
        raise NotFound
    return found


def new_customer(session: Session, actor: Actor, facts: CustomerFacts) -> tuple[Customer, bool]:
    """Add a customer with the next number; also tells whether a personal number was masked. Raises NotAllowed, BadInput."""
    actor.require(Right.WORK)
    checked, masked = _checked(facts)
    customer = Customer(
        number=numbering.take(session, "customer", first=FIRST_CUSTOMER, day=clock.today()),
        created_at=clock.now(),
        **_columns(checked),
    )
    session.add(customer)
    session.flush()
    audit.write(session, actor, "customer.create", f"customer:{customer.id}", {"number": customer.number})
    return customer, masked


def change_customer(
    session: Session, actor: Actor, customer_id: int, facts: CustomerFacts, seen: str
) -> tuple[Customer, bool]:
    """Change a card; ``seen`` is the fingerprint the form was drawn from. Raises NotAllowed, NotFound, BadInput, Stale."""
    actor.require(Right.WORK)
    session.execute(sa.select(Customer.id).where(Customer.id == customer_id).with_for_update()).one_or_none()
    customer = get_customer(session, customer_id)
    if customer.anonymised_at is not None:
        raise Refusal(N_("The customer has been anonymised and cannot be changed."))
    before = facts_of(customer)
    require_fresh(seen, before.fingerprint)
    checked, masked = _checked(facts)
    for name, value in _columns(checked).items():
        setattr(customer, name, value)
    session.flush()
    changed = [each.name for each in fields(CustomerFacts) if getattr(before, each.name) != getattr(checked, each.name)]
    audit.write(session, actor, "customer.change", f"customer:{customer.id}", {"changed": changed})
    return customer, masked


def _columns(facts: CustomerFacts) -> dict[str, str | int | None]:
    values: dict[str, str | int | None] = asdict(facts)
    for name in ("organisation_number", "email", "phone"):
        values[name] = values[name] or None
    return values


def customers(session: Session, *, search: str = "", after: int | None = None, limit: int = 50) -> list[Customer]:
    """Customers, the newest first; ``search`` is a number, or the beginning of a name or e-mail address, or an
    organisation number; ``after`` is the number of the last row of the page before."""
    query = sa.select(Customer).order_by(Customer.number.desc()).limit(min(limit, MOST_ROWS + 1))
    if search:
        digits = re.sub(r"[-\s]", "", search)
        wanted = [
            Customer.name.istartswith(search, autoescape=True),
            Customer.name.icontains(f" {search}", autoescape=True),
            Customer.email.istartswith(search, autoescape=True),
        ]
        if re.fullmatch(r"[0-9]{1,12}", digits):
            wanted += [Customer.number == int(digits), Customer.organisation_number == f"{digits[:6]}-{digits[6:]}"]
        query = query.where(sa.or_(*wanted))
    if after is not None:
        query = query.where(Customer.number < after)
    return list(session.scalars(query))


# --- Articles -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArticleFacts:
    """What an article card holds; ``free`` lets the price be 0. Minor units including VAT."""

    number: str
    name: str
    price_minor: int
    vat_class: str
    gtin: str = ""
    unit: str = "st"
    kind: LineKind = LineKind.ARTICLE
    cost_minor: int = 0
    stock_kept: bool = True
    may_go_negative: bool = False
    active: bool = True
    free: bool = False

    @property
    def fingerprint(self) -> str:
        """What a form carries to see that nobody else has changed the card meanwhile (catalogue row 73)."""
        return _fingerprint({name: value for name, value in asdict(self).items() if name != "free"})


def article_facts(article: Article) -> ArticleFacts:
    """The card as it stands."""
    columns = {each.name: getattr(article, each.name) for each in fields(ArticleFacts) if each.name != "free"}
    return ArticleFacts(**{**columns, "gtin": article.gtin or "", "free": article.price_minor == 0})


def _checked_article(session: Session, facts: ArticleFacts, article_id: int | None) -> ArticleFacts:
    number = " ".join(facts.number.split())
    if not number:
        raise BadInput(N_("Write an article number."), field="number")
    if len(number) > LONGEST_NUMBER:
        raise BadInput(N_("At most %(most)s characters."), field="number", most=LONGEST_NUMBER)
    if not facts.name.strip():
        raise BadInput(N_("Write a name."), field="name")
    if not 0 <= facts.price_minor <= MAX_AMOUNT_MINOR or not 0 <= facts.cost_minor <= MAX_AMOUNT_MINOR:
        raise BadInput(N_("The amount must be more than 0."), field="price")
    if facts.price_minor == 0 and not facts.free:
        raise BadInput(N_("Enter a price, or tick that the article is free of charge."), field="price")
    if session.scalar(sa.select(VatRate.vat_class).where(VatRate.vat_class == facts.vat_class).limit(1)) is None:
        raise BadInput(N_("Choose a VAT class from the list."), field="vat_class")
    if facts.kind not in ARTICLE_KINDS:
        raise BadInput(N_("Choose one of the values in the list."), field="kind")
    unit = facts.unit.strip() or "st"
    if len(unit) > LONGEST_UNIT:
        raise BadInput(N_("At most %(most)s characters."), field="unit", most=LONGEST_UNIT)
    gtin = read_gtin(facts.gtin)
    _require_unique(session, Article.number_key == number_key(number), article_id, "number")
    if gtin:
        _require_unique(session, Article.gtin == gtin, article_id, "gtin")
    kept = facts.stock_kept and facts.kind is LineKind.ARTICLE
    return replace(facts, number=number, name=" ".join(facts.name.split()), unit=unit, gtin=gtin, stock_kept=kept)


def _require_unique(session: Session, same: sa.ColumnElement[bool], article_id: int | None, field: str) -> None:
    found = session.scalar(sa.select(Article).where(same, Article.id != (article_id or 0)))
    if found is not None:
        raise BadInput(
            N_("Article %(number)s has that already."),
            field=field,
            number=found.number,
            link=("register.article", {"article_id": found.id}),
        )


def get_article(session: Session, article_id: int) -> Article:
    """An article. Raises NotFound."""
    found = session.get(Article, article_id) if 0 < article_id <= MAX_ID else None
    if found is None:
        raise NotFound
    return found


def new_article(session: Session, actor: Actor, facts: ArticleFacts) -> Article:
    """Add an article. Raises NotAllowed, BadInput."""
    actor.require(Right.WORK)
    checked = _checked_article(session, facts, None)
    article = Article(**_article_columns(checked))
    session.add(article)
    session.flush()
    audit.write(session, actor, "article.create", f"article:{article.id}", {"number": article.number})
    return article


def change_article(session: Session, actor: Actor, article_id: int, facts: ArticleFacts, seen: str) -> Article:
    """Change a card; documents and orders keep what they have, and the cost is changed elsewhere, with a reason (B27).

    Raises NotAllowed, NotFound, BadInput, Refusal, Stale.
    """
    actor.require(Right.WORK)
    session.execute(sa.select(Article.id).where(Article.id == article_id).with_for_update()).one_or_none()
    article = get_article(session, article_id)
    before = article_facts(article)
    require_fresh(seen, before.fingerprint)
    checked = _checked_article(session, replace(facts, cost_minor=article.cost_minor), article_id)
    if before.stock_kept and not checked.stock_kept and _on_hand(session, StockMovement.article_id == article_id):
        raise Refusal(N_("There is stock of the article. Adjust it to 0 first."), field="stock_kept")
    for name, value in _article_columns(checked).items():
        setattr(article, name, value)
    session.flush()
    changes = {
        each.name: getattr(checked, each.name)
        for each in fields(ArticleFacts)
        if each.name != "free" and getattr(before, each.name) != getattr(checked, each.name)
    }
    audit.write(session, actor, "article.change", f"article:{article.id}", changes)
    return article


def _article_columns(facts: ArticleFacts) -> dict[str, Any]:
    values = asdict(facts)
    del values["free"]
    return {**values, "gtin": facts.gtin or None, "number_key": number_key(facts.number)}


def articles(
    session: Session, *, search: str = "", all_of_them: bool = False, after: str | None = None, limit: int = 50
) -> list[Article]:
    """Articles by number; ``search`` is the beginning of a number, part of a name, or a whole GTIN; ``after`` is the
    number key of the last row of the page before."""
    query = sa.select(Article).order_by(Article.number_key).limit(min(limit, MOST_ROWS + 1))
    if not all_of_them:
        query = query.where(Article.active.is_(True))
    if search:
        query = query.where(
            sa.or_(
                Article.number_key.startswith(number_key(search), autoescape=True),
                Article.name.icontains(search, autoescape=True),
                Article.gtin == search,
            )
        )
    if after is not None:
        query = query.where(Article.number_key > after)
    return list(session.scalars(query))


# --- Warehouses ---------------------------------------------------------------------------------------------------------


def warehouses(session: Session) -> list[Warehouse]:
    """All warehouses, by code."""
    return list(session.scalars(sa.select(Warehouse).order_by(Warehouse.active.desc(), Warehouse.code)))


def get_warehouse(session: Session, warehouse_id: int) -> Warehouse:
    """A warehouse. Raises NotFound."""
    found = session.get(Warehouse, warehouse_id) if 0 < warehouse_id <= MAX_ID else None
    if found is None:
        raise NotFound
    return found


def save_warehouse(
    session: Session, actor: Actor, warehouse_id: int | None, *, code: str, name: str, active: bool = True
) -> Warehouse:
    """Add or change a warehouse. Raises NotAllowed, NotFound, BadInput, Refusal when one with stock is to be closed."""
    actor.require(Right.WORK)
    code, name = code.strip().upper(), " ".join(name.split())
    if not re.fullmatch(r"[A-ZÅÄÖ0-9-]{1,10}", code):
        raise BadInput(N_("A code is 1 to 10 letters or digits."), field="code")
    if not name:
        raise BadInput(N_("Write a name."), field="name")
    same = sa.select(Warehouse.id).where(Warehouse.code == code, Warehouse.id != (warehouse_id or 0))
    if session.scalar(same) is not None:
        raise BadInput(N_("Another warehouse has that code."), field="code")
    warehouse = Warehouse(code=code, name=name) if warehouse_id is None else get_warehouse(session, warehouse_id)
    if warehouse_id is not None and not active and _on_hand(session, StockMovement.warehouse_id == warehouse_id):
        raise Refusal(N_("There is stock in the warehouse. Move or adjust it first."), field="active")
    warehouse.code, warehouse.name, warehouse.active = code, name, active
    session.add(warehouse)
    session.flush()
    action = "warehouse.create" if warehouse_id is None else "warehouse.change"
    audit.write(session, actor, action, f"warehouse:{warehouse.id}", {"code": code, "name": name, "active": active})
    return warehouse


def _on_hand(session: Session, which: sa.ColumnElement[bool]) -> bool:
    """Whether some article has a balance other than 0 in some place."""
    query = (
        sa.select(StockMovement.article_id)
        .where(which)
        .group_by(StockMovement.article_id, StockMovement.warehouse_id)
        .having(sa.func.sum(StockMovement.quantity_milli) != 0)
        .limit(1)
    )
    return session.scalar(query) is not None
