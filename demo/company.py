"""Build the demo company: what an invented shop has sold, delivered, invoiced, credited and been paid in sixty days.

Everything is made through the services, under a clock that is moved through those days together with the sandbox's, so
that orders, documents, vouchers and payouts lie in the past in their right order. Content follows from a seed and the day.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random

from flask import Flask
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from demo import catalogue, people, routines
from demo.acts import Case, Shop
from demo.past import Timeline, played
from demo.plan import WHOLE, plan
from klarna_sandbox.control import Control
from models import Installation, KlarnaAccount, PaymentMethod
from rights import Actor
from services import audit, periods, settings, users
from services.gateway import Gateway
from states import PaymentKind, Role

SEED = 1912
DAYS = 64
"""How long ago the company opened."""
STAFF = {
    Role.VIEWER: "Läsare",
    Role.CLERK: "Handläggare",
    Role.FINANCE: "Ekonomi",
    Role.ADMIN: "Administratör",
}
"""Who works there, named after what they do."""
PRIVATE, BUSINESSES = 48, 12
"""Customers of either sort."""
STORES = (("H990001", "Webbutiken"), ("H990002", "Företagsbutiken"))
"""Store id and name of the Klarna accounts: one for people, one for businesses."""


def employ() -> None:
    """Add the staff without passwords; whoever starts the demo for people gives them some."""
    with writing() as session:
        for role, name in STAFF.items():
            users.create(session, people.OPERATOR, login=role.value, name=name, roles=[role])


def build(
    app: Flask,
    sandbox: Control,
    *,
    employ: Callable[[], None] = employ,
    orders: int = WHOLE,
    until: datetime | None = None,
) -> None:
    """Build the company in an empty, migrated database and an empty sandbox; does nothing where there is a company.

    Needs the app's context. ``employ`` adds one user per role. ``until`` is where the past ends, the present if not given.
    """
    with reading() as session:
        if session.get(Installation, 1) is not None:
            return
    klarna: Gateway = app.extensions["klarna"]
    present = until or clock.now()
    until = present - timedelta(minutes=10)
    opened = people.opened_at(present, DAYS)
    rng = Random(SEED)
    with played(sandbox, opened) as past:
        shop = _open(klarna, sandbox, rng, until, employ)
        timeline = Timeline()
        for each in plan(orders, SEED, until):
            case = Case(shop, each.rng, each.basket, business=each.business)
            timeline.add(each.moment, each.story(case))
        routines.keep_house(shop, timeline, opened)
        timeline.play(past)


def _open(klarna: Gateway, sandbox: Control, rng: Random, until: datetime, employ: Callable[[], None]) -> Shop:
    """Found the company: books, people, settings, assortment, customers, and its accounts at Klarna."""
    with writing() as session:
        session.add(
            Installation(id=1, installation_id=str(uuid.uuid4()), environment_class="test", sending_enabled=True)
        )
        for year in range(clock.today().year - 1, clock.local_date(until).year + 1):
            periods.open_books(session, people.OPERATOR, year)
    employ()
    with writing() as session:
        admin, clerk = people.actor_of(session, Role.ADMIN), people.actor_of(session, Role.CLERK)
        first_day = date(clock.today().year - 1, 1, 1)
        for name, value in people.COMPANY.items():
            settings.change(session, admin, name, value, first_day)
        session.add_all(
            [
                PaymentMethod(kind=PaymentKind.KLARNA, name_sv="Klarna", name_en="Klarna"),
                PaymentMethod(kind=PaymentKind.INVOICE, name_sv="Faktura", name_en="Invoice"),
            ]
        )
        catalogue.make_articles(session, clerk)
        warehouses = catalogue.make_warehouses(session, clerk)
        for warehouse_id, least, most in zip(warehouses, (90, 45), (180, 80), strict=True):
            catalogue.receive(session, clerk, rng, warehouse_id, least, most, "Ingående lager")
        customers = people.make_customers(session, clerk, rng, PRIVATE, BUSINESSES)
        accounts = [_account(session, admin, klarna, sandbox, store_id, name) for store_id, name in STORES]
        return Shop(
            sandbox=sandbox,
            klarna=klarna,
            until=until,
            clerk=clerk,
            finance=people.actor_of(session, Role.FINANCE),
            customers=customers[:PRIVATE],
            businesses=customers[PRIVATE:],
            warehouses=warehouses,
            account_id=accounts[0],
            business_account_id=accounts[1],
        )


def _account(session: Session, actor: Actor, klarna: Gateway, sandbox: Control, store_id: str, name: str) -> int:
    """A Klarna account and its twin at the sandbox, with credentials of their own; gives its id."""
    username, password = f"{store_id}_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    sandbox.merchant(store_id, username, password, name=name)
    made = KlarnaAccount(
        name=name,
        store_id=store_id,
        environment="sandbox",
        sandbox_url=sandbox.url,
        username=username,
        secret=klarna.seal(password, store_id),
    )
    session.add(made)
    session.flush()
    audit.write(session, actor, "klarna_account.create", f"klarna_account:{made.id}", {"store_id": store_id})
    return made.id
