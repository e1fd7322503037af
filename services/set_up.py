"""What a new installation lacks before its first invoice: a list that grows shorter, with where each thing is done."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import FiscalYear, KlarnaAccount, PaymentMethod, User, UserRole, Warehouse
from rights import RIGHTS, Right
from services import settings
from states import PaymentKind

REQUIRED = ("name", "organisation_number", "vat_number", "street", "postal_code", "city")
"""What the law wants on every invoice of the seller (accounting reference 7)."""


class Step(StrEnum):
    """Something that has to be there."""

    COMPANY = "company"
    BOOKS = "books"
    PAYMENT_METHOD = "payment_method"
    KLARNA_ACCOUNT = "klarna_account"
    PEOPLE = "people"
    WAREHOUSE = "warehouse"


def missing(session: Session) -> list[Step]:
    """The steps that are left, in the order they are best taken; empty when the first invoice can be made."""
    told = settings.values(session, "company.")
    today = clock.today()
    workers = [role for role, rights in RIGHTS.items() if Right.WORK in rights]
    methods = set(session.scalars(sa.select(PaymentMethod.kind).where(PaymentMethod.active.is_(True)).distinct()))
    there = session.execute(
        sa.select(
            sa.exists().where(FiscalYear.starts <= today, FiscalYear.ends >= today),
            sa.exists().where(KlarnaAccount.active.is_(True)),
            sa.exists().where(UserRole.role.in_(workers), User.id == UserRole.user_id, User.active.is_(True)),
            sa.exists().where(Warehouse.active.is_(True)),
        )
    ).one()
    books, account, people, warehouse = map(bool, there)
    # Who only sends ordinary invoices needs no account at Klarna.
    account = account or methods == {PaymentKind.INVOICE}
    done = {
        Step.COMPANY: all(told[f"company.{name}"] for name in REQUIRED),
        Step.BOOKS: books,
        Step.PAYMENT_METHOD: bool(methods),
        Step.KLARNA_ACCOUNT: account,
        Step.PEOPLE: people,
        Step.WAREHOUSE: warehouse,
    }
    return [step for step in Step if not done[step]]
