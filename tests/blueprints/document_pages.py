"""What tests of the pages about documents share: logging in, the order of E1, what was booked, what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from db import reading, writing
from models import Order, Posting, Voucher
from services.orders import NewLine
from tests import worlds
from tests.builders import FREIGHT, a_delivery, an_order, row
from tests.web_client import WebClient

E1 = [row("Jacka", 139_900), row("T-shirt", 49_900, pieces=2), row("Frakt", 3_800, kind=FREIGHT)]
"""The order of E1 and E2 (accounting 4): 2 435,00."""


def in_english(client: WebClient, name: str = "clerk") -> WebClient:
    """Log in and read the pages in the language of the source."""
    return client.log_in(name, language="en")


def a_new_order(
    sandbox: Any, klarna: Any, *, deliver: bool = True, lines: Sequence[NewLine] = E1, **fields: Any
) -> Order:
    """An order at the sandbox, delivered unless told otherwise."""

    def build() -> Order:
        with writing() as session:
            order = an_order(session, sandbox, klarna, lines=lines, **fields)
            if deliver:
                a_delivery(session, order)
            return order

    if fields or any(line.article is not None for line in lines):
        return build()
    return worlds.begin(f"an order of {lines!r}, delivered: {deliver}", klarna, sandbox, build)


def count(table: Any, *where: Any) -> int:
    """Rows of a table."""
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0


def booked(source: str) -> dict[int, int]:
    """What a voucher booked per account, minor units; empty when there is no such voucher."""
    with reading() as session:
        rows = session.execute(
            sa.select(Posting.account, sa.func.sum(Posting.amount_minor))
            .join(Voucher, Voucher.id == Posting.voucher_id)
            .where(Voucher.source == source)
            .group_by(Posting.account)
        )
        return {account: int(amount) for account, amount in rows}
