"""The last step, the page, the list and the paper of an invoice, through the pages (F3-F28, B10-B12, B21, B23)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from db import reading, writing
from models import Document, KlarnaOp, Order, OrderLine, Posting, Voucher
from services import deliveries
from states import DocState, LineKind
from tests.builders import a_captured_invoice, a_delivery, an_account, an_invoice, an_order, row, the_warehouse
from tests.web_client import WebClient

E1 = [row("Jacka", 139_900), row("T-shirt", 49_900, pieces=2), row("Frakt", 3_800, kind=LineKind.FREIGHT)]
"""The order of E1 and E2 (accounting 4): 2 435,00."""


def an_e1_order(sandbox: Any, klarna: Any, deliver: bool = True, **fields: Any) -> Order:
    with writing() as session:
        order = an_order(session, sandbox, klarna, lines=E1, **fields)
        if deliver:
            a_delivery(session, order)
        return order


def count(table: Any, *where: Any) -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table).where(*where)) or 0


def booked(text: str) -> dict[int, int]:
    """Postings of the vouchers whose text holds this, per account, minor units."""
    with reading() as session:
        rows = session.execute(
            sa.select(Posting.account, sa.func.sum(Posting.amount_minor))
            .join(Voucher, Voucher.id == Posting.voucher_id)
            .where(Voucher.text.contains(text))
            .group_by(Posting.account)
        )
        return {account: int(amount) for account, amount in rows}


def test_the_last_step_shows_what_will_happen_and_does_nothing(client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F7, F8, F13, F14, F15, F6."""
    order = an_e1_order(sandbox, klarna)
    page = client.log_in().get(f"/orders/{order.id}/invoice")
    assert page.status == 200
    for text in ("Reservation", order.klarna_order_id, order.klarna_reference):
        assert text in page.text
    assert len(page.all("#last-step tbody tr")) == 3
    assert not sandbox.posts() and not count(Document)


def test_creating_captures_once_and_leads_to_the_issued_invoice(client: WebClient, sandbox: Any, klarna: Any) -> None:
    """F1, F7, F22, golden voucher E1."""
    order = an_e1_order(sandbox, klarna)
    client.log_in().get(f"/orders/{order.id}/invoice")
    page = client.submit("#last-step form")
    assert page.status == 200 and page.url.endswith("/invoices/1"), page.text
    assert [each["body"]["captured_amount"] for each in sandbox.writes(operation="create_capture")] == [243_500]
    assert booked("42580") == {1510: 243_500, 3001: -191_760, 3520: -3_040, 2611: -48_700}
