"""«Ny kreditfaktura», the credit note's page, list and paper (K1-K33, K42)."""

from __future__ import annotations

from typing import Any

from tests.blueprints.test_invoices import E1, booked, count
from tests.builders import a_captured_invoice
from tests.web_client import WebClient


def a_draft(client: WebClient, klarna: Any, sandbox: Any, **fields: Any) -> Any:
    """A captured invoice of E1 and the draft that its «Kreditera» opens."""
    invoice = a_captured_invoice(klarna, sandbox, lines=E1, **fields)
    client.get(f"/invoices/{invoice.id}")
    return client.submit("/credit")


def test_golden_voucher_e4a(client: WebClient, klarna: Any, sandbox: Any) -> None:
    """K2, K13, E4a: one T-shirt of F42580 comes back."""
    page = a_draft(client.log_in(), klarna, sandbox)
    assert page.status == 200, page.text
    ids = [each["id"].removeprefix("quantity-") for each in page.all("input.quantity-to-credit")]
    client.submit(f"/rows/{ids[0]}/remove")
    client.submit(f"/rows/{ids[2]}/remove")
    client.submit(f"#row-{ids[1]}", **{f"quantity-{ids[1]}": "1"})
    page = client.submit("#sum")
    assert page.status == 200 and booked("42581") == {3001: 39_920, 2611: 9_980, 1510: -49_900}, page.text
