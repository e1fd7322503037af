"""The page of a payout in another currency: what it says, and the form that explains it as a whole (catalogue row 69)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading
from klarna_sandbox.control import Control
from models import Payout
from services.gateway import Gateway
from states import PayoutState
from tests.services.settlement_parts import a_sale, csv_of, payout_of, upload
from tests.web_client import WebClient


@pytest.fixture
def payout(app: Flask, klarna: Gateway, sandbox: Control) -> Payout:
    """A payout in euro, read in, of a sale that fits nothing here."""
    a_sale(klarna, sandbox, 100_00)
    sandbox.order(mid="K000001", order_amount=300_00, purchase_currency="EUR", captures=[{"captured_amount": 300_00}])
    made = next(each for each in sandbox.pay_out() if each["currency"] == "EUR")
    upload(klarna, csv_of(sandbox, made))
    return payout_of(made)


def test_a_payout_in_euro_says_that_it_is_not_booked_and_is_explained_as_a_whole(
    client: WebClient, payout: Payout
) -> None:
    """B4, B34."""
    page = client.log_in("finance").get(f"/settlements/{payout.id}")
    assert "Utbetalningen är i EUR, och böckerna förs i kronor (SEK)." in page.text
    page = client.get(str(page.find(f"a[href=/settlements/{payout.id}/aside]")["href"]))
    empty = client.submit("form[action$=/aside]", page=page, reason=" ")
    assert empty.status == 422 and empty.has("#reason[aria-invalid=true]")
    done = client.submit("form[action$=/aside]", page=page, reason="Verifikation A 77 i bokföringsprogrammet")
    assert "Alla rader i utbetalningen är förklarade. Inget har bokförts." in done.text
    page = client.get(f"/settlements/{payout.id}")
    assert "Verifikation A 77 i bokföringsprogrammet" in page.text and not page.has("a[href$=/aside]")
    with reading() as session:
        assert session.get_one(Payout, payout.id).state is PayoutState.PARKED


def test_who_may_not_book_is_not_led_there(client: WebClient, payout: Payout) -> None:
    """B29."""
    address = f"/settlements/{payout.id}/aside"
    assert not client.log_in("viewer").get(f"/settlements/{payout.id}").has(f"a[href={address}]")
    assert client.get(address).status == 403 and client.post(address, {"reason": "x"}).status == 403


def test_a_payout_in_kronor_has_no_such_way(
    client: WebClient, klarna: Gateway, sandbox: Control, payout: Payout
) -> None:
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    (made,) = sandbox.pay_out()
    upload(klarna, csv_of(sandbox, made))
    kronor = payout_of(made)
    client.log_in("finance")
    assert not client.get(f"/settlements/{kronor.id}").has("a[href$=/aside]")
    refused = client.post(f"/settlements/{kronor.id}/aside", {"reason": "annat program"})
    assert refused.status == 409 and "Utbetalningen är i kronor" in refused.text
    assert client.get("/settlements/4711/aside").status == 404
