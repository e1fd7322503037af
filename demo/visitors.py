"""Two purchases that nobody has typed in: made at the stand-in for Klarna, they come in by push while the demo runs."""

from __future__ import annotations

from random import Random
from urllib.parse import quote

import sqlalchemy as sa

from db import reading
from demo.baskets import lines_of, several, twice
from demo.purchases import purchase
from klarna_sandbox.control import Control
from models import Customer, KlarnaAccount
from services.gateway import Gateway

NEW_BUYER = {
    "given_name": "Testperson-se",
    "family_name": "Approved",
    "email": "customer@example.com",
    "street_address": "Stårgatan 1",
    "postal_code": "12345",
    "city": "Ankeborg",
    "country": "SE",
}
"""The test person of Klarna's public documentation: nobody in the register, so that a card is made."""


def buy(klarna: Gateway, sandbox: Control, kvitta_url: str) -> list[str]:
    """Place the purchases; Klarna tells of them two minutes later. Returns their Klarna order ids."""
    rng = Random(7)
    with reading() as session:
        account = session.scalars(sa.select(KlarnaAccount).order_by(KlarnaAccount.id).limit(1)).one()
        buyer = session.scalars(
            sa.select(Customer).where(Customer.email.is_not(None)).order_by(Customer.id).limit(1)
        ).one()
        wishes = [
            purchase(account.store_id, buyer, lines_of(session, basket(rng), fee=False), number, "INVOICE")
            for basket, number in ((several, "W20001"), (twice, "W20002"))
        ]
    wishes[1] |= {"billing_address": NEW_BUYER, "shipping_address": NEW_BUYER, "customer": {}}
    address = f"{kvitta_url}/push/{quote(account.store_id)}/{klarna.push_token(account.store_id)}"
    urls = {
        "push": f"{address}?klarna_order_id={{checkout.order.id}}",
        "notification": f"{address}/notification",
    }
    return [sandbox.order(**wish, merchant_urls=urls) for wish in wishes]
