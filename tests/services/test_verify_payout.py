"""A day from order to payout through the real services leaves books that verify finds in order."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Flask

from db import reading
from klarna_sandbox.control import Control
from models import Payout
from services import settlements, verify
from services.gateway import Gateway
from services.verify import CheckState
from states import PayoutState
from tests import builders
from tests.services.test_verify import a_credit


def test_an_invoice_a_credit_and_their_payout_are_in_order(books: Flask, klarna: Gateway, sandbox: Control) -> None:
    lines = [builders.row("T-shirt", 49_900, pieces=2), builders.row("Frakt", 3_800, kind=builders.FREIGHT)]
    invoice = builders.a_captured_invoice(klarna, sandbox, lines=lines)
    credit = a_credit(klarna, invoice, rows=1)
    sandbox.pay_out()
    settlements.fetch_all(klarna)
    with reading() as session:
        assert session.scalars(sa.select(Payout.state)).all() == [PayoutState.BOOKED]
        assert [builders.the_document(each.id).open_minor for each in (invoice, credit)] == [0, 0]
        assert [result for result in verify.run(session) if result.state is CheckState.FAILED] == []
