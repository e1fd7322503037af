"""Rows of a list are drawn once for each content: what else they show is part of what they are known by."""

from __future__ import annotations

from db import writing
from klarna_sandbox.control import Control
from models import Customer
from services.gateway import Gateway
from tests.builders import an_order
from tests.web_client import WebClient


def test_a_row_that_has_been_drawn_is_drawn_anew_when_anything_in_it_changes(
    client: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """The row itself, the language, and the role of whoever looks."""
    with writing() as session:
        order = an_order(session, sandbox, klarna)

    def row() -> tuple[str, list[str]]:
        body = client.get("/orders").find("tbody")
        return body.text, [link["href"] for link in body.all("a")]

    client.log_in("clerk")
    first = row()
    deliver = f"/orders/{order.id}/deliver"
    assert "Olevererad" in first[0]
    assert any(deliver in link for link in first[1])
    assert row() == first
    client.log_in("clerk", language="en")
    assert "Not delivered" in row()[0]
    client.log_in("viewer", language="sv")
    assert not any(deliver in link for link in row()[1])
    client.log_in("clerk", language="sv")
    with writing() as session:
        customer = session.get(Customer, order.customer_id)
        assert customer is not None
        customer.name = "Lovisa Nygift"
    assert "Lovisa Nygift" in row()[0]
