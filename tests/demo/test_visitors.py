"""The demo's two purchases can come in: as they are, one for a known customer and one that makes a card (B16, B30)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from demo import catalogue, visitors
from klarna_sandbox.control import Control
from models import Customer, KlarnaAccount, Order, Push
from services import pushes
from services.gateway import Gateway
from tests import builders


@pytest.mark.only_on("sqlite")
def test_both_purchases_become_orders(books: Flask, sandbox: Control, klarna: Gateway) -> None:
    with writing() as session:
        account = builders.an_account(session, sandbox, klarna)
        catalogue.make_articles(session, builders.CLERK)
        known = builders.a_customer(session)
    bought = visitors.buy(klarna, sandbox, "http://127.0.0.1:9")
    with writing() as session:
        for order_id in bought:
            pushes.hear(session, session.get_one(KlarnaAccount, account.id), pushes.ORDER, order_id)
    pushes.run(klarna)
    with reading() as session:
        orders = list(session.scalars(sa.select(Order).order_by(Order.shop_number)))
        assert [order.shop_number for order in orders] == ["W20001", "W20002"]
        assert orders[0].customer_id == known.id
        assert session.get_one(Customer, orders[1].customer_id).email == visitors.NEW_BUYER["email"]
        assert session.scalar(sa.select(sa.func.count()).select_from(Push).where(Push.handled_at.is_(None))) == 0
    pushed = {each["url"].split("?")[0] for each in sandbox.callbacks()}
    assert pushed == {f"http://127.0.0.1:9/push/{account.store_id}/{klarna.push_token(account.store_id)}"}
