"""Orders brought in from Klarna, and reservations tied to orders made by hand (B15, B16, B20, B29, B30)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from klarna_sandbox.control import Control
from models import Base, Installation, KlarnaAccount, KlarnaCall, Order
from rights import Actor
from services import klarna_content, klarna_orders, looks, orders
from services.asking import NotReached, NotSetUp
from services.gateway import Gateway
from services.incoming import KLARNA
from services.looks import Unreadable
from states import DocType, KlarnaStatus, LineKind, PaymentKind
from tests import builders
from tests.builders import CLERK

ADDRESS = {
    "given_name": "Anna",
    "family_name": "Berg",
    "email": "Anna@Example.com",
    "phone": "+46701234567",
    "street_address": "Storgatan 1",
    "postal_code": "11122",
    "city": "Stockholm",
    "country": "SE",
}
CANARY = "19811218-9876"


def a_line(**fields: object) -> dict[str, object]:
    quantity, price, off = (
        fields.get("quantity", 1),
        fields.get("unit_price", 10_000),
        fields.get("total_discount_amount", 0),
    )
    return {
        "type": "physical", "reference": "ART-1", "name": "T-shirt", "quantity": 1, "unit_price": 10_000, "tax_rate": 2500,
        "total_amount": int(quantity) * int(price) - int(off), "total_tax_amount": 0, **fields,
    }  # fmt: skip


@pytest.fixture
def account(books: Flask, sandbox: Control, klarna: Gateway) -> KlarnaAccount:
    with writing() as session:
        return builders.an_account(session, sandbox, klarna)


def a_purchase(sandbox: Control, *lines: dict[str, object], **fields: Any) -> str:
    given_lines = list(lines) or [a_line()]
    wish = {"mid": "K000001", "order_lines": given_lines, "billing_address": ADDRESS, "shipping_address": ADDRESS}
    return sandbox.order(**{**wish, "merchant_reference1": "W77", **fields})


def the_order(order_id: int) -> Order:
    with reading() as session:
        found = orders.get(session, order_id)
        assert found.lines and found.customer and found.payment_method
        return found


def test_a_purchase_becomes_an_order_with_all_its_numbers(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B13, B16, B30: what Klarna shows is what stands."""
    with writing() as session:
        article = builders.an_article(session, number="art-1")
    bought = a_purchase(
        sandbox,
        a_line(quantity=3, total_discount_amount=500),
        a_line(type="shipping_fee", reference="FRAKT", name="Frakt", unit_price=4_900),
        a_line(type="discount", reference="KOD", name="Rabatt", unit_price=-1_000),
    )
    order = the_order(klarna_orders.take_in(klarna, KLARNA, account.id, bought))
    state = sandbox.state(bought)
    assert (order.klarna_order_id, order.klarna_reference) == (bought, state["klarna_reference"])
    assert (order.shop_number, order.source, order.account_id) == ("W77", "klarna", account.id)
    assert (order.authorized_minor, order.remaining_minor, order.klarna_status) == (
        33_400,
        33_400,
        KlarnaStatus.AUTHORIZED,
    )
    assert order.icon == "reserved" and order.payment_method.kind is PaymentKind.KLARNA
    assert [line.kind for line in order.lines] == [LineKind.ARTICLE, LineKind.FREIGHT, LineKind.DISCOUNT]
    assert order.lines[0].article_id == article.id
    assert (order.lines[0].quantity_milli, order.lines[0].discount_minor) == (3000, 500)
    assert orders.total(order) == 33_400
    assert (order.customer.name, order.customer.email, order.customer.postal_code) == (
        "Anna Berg", "anna@example.com", "111 22",
    )  # fmt: skip
    assert klarna_orders.take_in(klarna, KLARNA, account.id, bought) == order.id


def test_the_order_is_made_first_and_klarna_is_told_afterwards_once(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B16: the state at Klarna is the same before and after; only the acknowledgement is new."""
    bought = a_purchase(sandbox)
    order_id = klarna_orders.take_in(klarna, KLARNA, account.id, bought)
    before = sandbox.state(bought)
    assert before["acknowledged_at"] is None
    assert klarna_orders.acknowledge(klarna, KLARNA, order_id)
    assert klarna_orders.acknowledge(klarna, KLARNA, order_id)
    after = sandbox.state(bought)
    assert after["acknowledged_at"] is not None
    assert {**after, "acknowledged_at": None} == before
    assert [call["operation"] for call in sandbox.writes()] == ["acknowledge"]
    with reading() as session:
        assert klarna_orders.told_at(session, order_id) is not None


def test_klarna_is_given_our_number_where_the_shop_gave_none(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    bought = a_purchase(sandbox, merchant_reference1="")
    order_id = klarna_orders.take_in(klarna, KLARNA, account.id, bought)
    assert klarna_orders.acknowledge(klarna, KLARNA, order_id)
    assert sandbox.state(bought)["merchant_reference1"] == str(the_order(order_id).number)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "unavailable"])
def test_a_lost_acknowledgement_is_given_again(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, fault: str
) -> None:
    bought = a_purchase(sandbox)
    order_id = klarna_orders.take_in(klarna, KLARNA, account.id, bought)
    sandbox.fault(fault, operation="acknowledge")
    assert not klarna_orders.acknowledge(klarna, KLARNA, order_id)
    assert klarna_orders.acknowledge(klarna, KLARNA, order_id)
    assert sandbox.state(bought)["acknowledged_at"] is not None
    with reading() as session:
        outcomes = list(session.scalars(sa.select(KlarnaCall.outcome).order_by(KlarnaCall.id)))
    assert outcomes[-1] == "done" and outcomes[0] in ("not_sent", "unclear", "refused")


def test_nothing_is_sent_where_sending_is_off(account: KlarnaAccount, sandbox: Control, klarna: Gateway) -> None:
    """Operations 15: after a restore an acknowledgement waits, too."""
    bought = a_purchase(sandbox)
    order_id = klarna_orders.take_in(klarna, KLARNA, account.id, bought)
    with writing() as session:
        session.get_one(Installation, 1).sending_enabled = False
    assert not klarna_orders.acknowledge(klarna, KLARNA, order_id)
    assert sandbox.writes() == []


def test_personal_numbers_from_klarna_are_never_stored(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B29, security 57: looked for in every text of the database; no phone where nothing is carried home."""
    person = {"national_identification_number": CANARY, "date_of_birth": "1981-12-18"}
    address = {**ADDRESS, "given_name": f"Anna {CANARY}", "street_address2": CANARY}
    bought = a_purchase(
        sandbox, a_line(type="digital", name=f"Present till {CANARY}"), customer=person, billing_address=address,
        shipping_address=address, merchant_reference1=CANARY, merchant_data=CANARY,
    )  # fmt: skip
    order_id = klarna_orders.take_in(klarna, KLARNA, account.id, bought)
    assert json.loads(the_order(order_id).party)["phone"] == ""
    with reading() as session:
        everything = repr([session.execute(sa.select(table)).all() for table in Base.metadata.sorted_tables])
    assert "811218" not in everything and "1981-12-18" not in everything


def test_a_company_is_found_by_its_number(account: KlarnaAccount, sandbox: Control, klarna: Gateway) -> None:
    """B30: and its name stands first."""
    with writing() as session:
        firm = builders.a_customer(session, "Firman AB", email=None, organisation_number="556737-0431")
    bought = a_purchase(
        sandbox,
        customer={"type": "organization", "organization_registration_id": "5567370431"},
        billing_address={**ADDRESS, "organization_name": "Firman AB"},
    )
    order = the_order(klarna_orders.take_in(klarna, KLARNA, account.id, bought))
    party = json.loads(order.party)
    assert order.customer_id == firm.id
    assert (party["name"], party["street2"]) == ("Firman AB", "Anna Berg")


def test_a_row_whose_figures_do_not_agree_stands_at_its_total(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B14: a shop that sends 0.5 m as it likes still gets its sum to the öre."""
    bought = a_purchase(sandbox, a_line(quantity=3, unit_price=3_333, total_amount=10_000, total_tax_amount=2_000))
    line = the_order(klarna_orders.take_in(klarna, KLARNA, account.id, bought)).lines[0]
    assert (line.quantity_milli, line.unit_price_minor, line.name) == (1000, 10_000, "T-shirt (3)")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"order_amount": 10_001}, "apart"),
        ({"order_lines": [], "order_amount": 10_000}, "no rows"),
        ({"order_lines": [a_line(), a_line(type="sales_tax", tax_rate=0)]}, "sales_tax"),
        (
            {"order_lines": [a_line(unit_price=11_900, total_amount=11_900, tax_rate=1_900, total_tax_amount=1_900)]},
            "a rate that is not in the books",
        ),
    ],
)
def test_what_cannot_be_booked_is_refused_and_makes_nothing(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, fields: dict[str, object], words: str
) -> None:
    bought = a_purchase(sandbox, **fields)
    with pytest.raises(Refusal, match=words):
        klarna_orders.take_in(klarna, KLARNA, account.id, bought)
    seen = klarna_orders.preview(klarna, account.id, bought)
    assert seen.refusal is not None and words in str(seen.refusal)
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Order)) == 0


def test_a_purchase_that_is_over_makes_no_order(account: KlarnaAccount, sandbox: Control, klarna: Gateway) -> None:
    cancelled, expired = a_purchase(sandbox), a_purchase(sandbox)
    sandbox.portal_cancel(cancelled)
    sandbox.expire(expired)
    for bought in (cancelled, expired):
        with pytest.raises(klarna_content.Gone):
            klarna_orders.take_in(klarna, KLARNA, account.id, bought)


def test_what_was_captured_before_it_came_in_is_known_as_made_elsewhere(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B20."""
    bought = a_purchase(sandbox, captures=[{"captured_amount": 4_000}])
    order = the_order(klarna_orders.take_in(klarna, KLARNA, account.id, bought))
    with reading() as session:
        assert orders.moved(session, order.id) == (4_000, 0)
    assert order.icon == "partly"


def test_a_person_looks_before_taking_and_a_change_meanwhile_is_told(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    bought = a_purchase(sandbox, a_line(), a_line(unit_price=5_000))
    seen = klarna_orders.preview(klarna, account.id, bought)
    assert (seen.total_minor, seen.refusal, list(seen.customers)) == (15_000, None, [])
    assert len(seen.notices) == 1
    sandbox.portal_update(bought, 10_000, [a_line()])
    with pytest.raises(Refusal, match="has changed at Klarna"):
        klarna_orders.take_in(klarna, CLERK, account.id, bought, shown_minor=seen.total_minor)
    klarna_orders.take_in(klarna, CLERK, account.id, bought, shown_minor=10_000)
    with pytest.raises(Refusal, match="already belongs"):
        klarna_orders.preview(klarna, account.id, bought)


def test_an_order_under_another_account_is_never_called(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B15: a closed account is not called at all; another store's order does not exist under ours."""
    with writing() as session:
        other = builders.an_account(session, sandbox, klarna)
    bought = a_purchase(sandbox)
    with pytest.raises(NotReached, match="Check store id"):
        klarna_orders.take_in(klarna, KLARNA, other.id, bought)
    with writing() as session:
        session.get_one(KlarnaAccount, account.id).active = False
    with pytest.raises(NotSetUp, match="The order belongs to store id K000001"):
        klarna_orders.take_in(klarna, KLARNA, account.id, bought)


@pytest.mark.parametrize("typed", ["", "K4MADNY", "3f2a90c1", "3f2a90c1-7b1e-4c58-9d42-5e6f708192a3/../x", "½" * 36])
def test_what_is_no_klarna_order_id_is_refused_beside_its_field(typed: str) -> None:
    """Catalogue row 67."""
    with pytest.raises(BadInput) as refused:
        klarna_orders.read_id(typed)
    assert refused.value.field == "klarna_order_id"
    assert klarna_orders.read_id(" 3F2A90C1-7B1E-4C58-9D42-5E6F708192A3 ") == "3f2a90c1-7b1e-4c58-9d42-5e6f708192a3"


# --- Tying a reservation to an order made by hand -----------------------------------------------------------------------


def a_made_order(price: int = 10_000) -> Order:
    with writing() as session:
        return builders.an_order(session, lines=[builders.row("T-shirt", price)])


def test_a_reservation_is_tied_to_an_order_made_by_hand_and_then_captured(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B16."""
    made, bought = a_made_order(), a_purchase(sandbox)
    klarna_orders.attach(klarna, CLERK, made.id, account.id, bought)
    order = the_order(made.id)
    assert (order.klarna_order_id, order.remaining_minor, order.icon) == (bought, 10_000, "reserved")
    assert order.payment_method.kind is PaymentKind.KLARNA and order.version == made.version + 1
    assert klarna_orders.acknowledge(klarna, CLERK, order.id)
    with writing() as session:
        builders.a_delivery(session, orders.get(session, order.id))
    builders.an_invoice(klarna, order, kind=DocType.DELIVERY)
    assert sandbox.state(bought)["captured_amount"] == 10_000


def test_a_reservation_has_one_order_and_an_order_one_reservation(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    """B16: the sentence names the order."""
    first, second, bought = a_made_order(), a_made_order(), a_purchase(sandbox)
    klarna_orders.attach(klarna, CLERK, first.id, account.id, bought)
    with pytest.raises(Refusal, match=f"The reservation already belongs to order {first.number}"):
        klarna_orders.attach(klarna, CLERK, second.id, account.id, bought)
    with pytest.raises(Refusal, match="has a reservation already"):
        klarna_orders.attach(klarna, CLERK, first.id, account.id, a_purchase(sandbox))
    assert klarna_orders.take_in(klarna, KLARNA, account.id, bought) == first.id


@pytest.mark.parametrize("price", [9_999, 10_001])
def test_sums_that_differ_by_an_ore_are_shown_and_refused(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway, price: int
) -> None:
    """B16."""
    made = a_made_order(price)
    with pytest.raises(Refusal, match="must agree to the öre"):
        klarna_orders.attach(klarna, CLERK, made.id, account.id, a_purchase(sandbox))
    assert the_order(made.id).klarna_order_id is None


def test_an_order_invoiced_without_klarna_takes_no_reservation(
    account: KlarnaAccount, sandbox: Control, klarna: Gateway
) -> None:
    made = a_made_order()
    with writing() as session:
        builders.a_delivery(session, made)
    builders.an_invoice(klarna, made)
    with pytest.raises(Refusal, match="invoice without Klarna"):
        klarna_orders.attach(klarna, CLERK, made.id, account.id, a_purchase(sandbox))
    with pytest.raises(NotAllowed):
        klarna_orders.attach(klarna, Actor("nobody"), made.id, account.id, a_purchase(sandbox))


# --- What Klarna could say ---------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        ["order_lines", "billing_address", "shipping_address", "customer", "merchant_reference1", "created_at"]
    ),
    JSON,
)
def test_whatever_klarna_says_is_an_order_or_a_clear_no(name: str, value: object) -> None:
    """Catalogue row 68: never an error of ours."""
    content: dict[str, Any] = {
        "order_id": "3f2a90c1-7b1e-4c58-9d42-5e6f708192a3", "status": "AUTHORIZED", "purchase_currency": "SEK",
        "order_amount": 10_000, "captured_amount": 0, "refunded_amount": 0, "remaining_authorized_amount": 10_000,
        "order_lines": [a_line()], "billing_address": ADDRESS,
    }  # fmt: skip
    look = looks.read(content, clock.now())
    try:
        found = klarna_content.incoming({**content, name: value}, 1, look)
    except (Refusal, Unreadable):
        return
    assert found.rows and found.buyer.name


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(a_line())), JSON)
def test_whatever_stands_in_a_row_is_a_row_or_a_clear_no(name: str, value: object) -> None:
    """Catalogue row 68."""
    try:
        row = klarna_content._row({**a_line(), name: value})
    except (Refusal, Unreadable):
        return
    assert row.quantity_milli > 0 and row.name
