"""Completeness in both directions: every list whole with its age, and one figure that is the ledger's (B9, A9)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import clock
from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, Order
from services import owed, owed_lists
from services.gateway import Gateway
from states import PayoutState, Pile
from tests.builders import a_delivery, an_invoice, an_order, row
from tests.services.settlement_parts import a_refund, a_sale, all_is_well, booked, fees, fetched, payout_of


def amounts(name: str, *, late: bool = False) -> list[int]:
    with reading() as session:
        return [each.amount_minor for each in owed_lists.listed(session, name, late=late).rows]


def figures() -> tuple[int, int, int, int, int]:
    with reading() as session:
        (sek,) = owed_lists.reconciled(session)
        assert owed.klarna_owes(session) == (
            {"SEK": sek.klarna_minor} if sek.klarna_minor or sek.activated_minor else {}
        )
        assert sek.difference_minor == 0
        return sek.activated_minor, sek.credited_minor, sek.klarna_minor, sek.others_minor, sek.ledger_minor


def test_what_waits_in_either_direction_is_listed_and_the_figure_is_the_ledgers(
    books: Any, klarna: Gateway, sandbox: Control
) -> None:
    """B9: a sale unpaid, a credit not deducted, an invoice paid to us, a payout that holds what nobody knows, and a holdback."""
    fees(sandbox, 0)
    first = a_sale(klarna, sandbox, 800_00)
    sandbox.next_payout(mid="K000001", holdback=50_00)
    booked(klarna, sandbox)
    assert figures() == (0, 0, 0, 0, 0) and amounts("withheld") == [50_00]
    a_sale(klarna, sandbox, 300_00)
    note = a_refund(klarna, first)
    with writing() as session:
        order = an_order(session, lines=[row("Keps", 200_00)])
        a_delivery(session, order)
    an_invoice(klarna, order)
    assert figures() == (300_00, -800_00, -500_00, 200_00, -300_00)
    assert (amounts("unpaid"), amounts("notes"), amounts("returns"), amounts("sales")) == ([300_00], [-800_00], [], [])
    assert not amounts("unpaid", late=True)
    with patch.object(clock, "today", return_value=clock.today() + timedelta(days=31)):
        assert amounts("unpaid", late=True) == [300_00] and amounts("withheld", late=True) == [50_00]
        with reading() as session:
            (found,) = owed_lists.listed(session, "notes").rows
            assert (found.age, found.late, found.document_id, found.number) == (31, True, note.id, note.number_text)
    # A payout with the release of a part, a sale that was never activated here, and a return that nobody here made.
    sandbox.order(mid="K000001", order_amount=400_00, captures=[{"captured_amount": 400_00}])
    second = a_sale(klarna, sandbox, 900_00)
    with reading() as session:
        placed = session.get_one(Order, session.get_one(Document, second.id).order_id).klarna_order_id or ""
    sandbox.portal_refund(placed, 100_00)
    sandbox.next_payout(mid="K000001", release=20_00)
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    assert (amounts("sales"), amounts("returns")) == ([400_00], [-100_00])
    with reading() as session:
        (lost,) = owed_lists.listed(session, "returns").rows
        assert (lost.payout_id, lost.pile, lost.age) == (payout.id, Pile.FAULTY, 0)
    assert figures()[2:] == (400_00, 200_00, 600_00), "nothing of a payout that waits is booked"
    all_is_well()
