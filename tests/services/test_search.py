"""The one search box: every key finds its thing, names by any part, and nothing that one may not see (B12, B13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
from db import db, reading, writing
from models import Customer, Document, KlarnaOp, Order, Payout, ReadingFile
from rights import Actor
from services import search
from services.search import Hits
from states import DocState, OpState, PayoutState, Role
from tests import plans
from tests.builders import CLERK, actor
from tests.services.order_rows import a_document, a_row, an_operation, an_order, freight

pytestmark = [pytest.mark.usefixtures("books"), pytest.mark.untrue_books]


def a_payout(session: Session, reference: str) -> Payout:
    """A payout as it is read in, without rows."""
    file = ReadingFile(sha256=reference, source="upload", file_name="r.csv", received_at=clock.now(), received_by="x")
    account = an_order(session, [freight()], klarna=True).account
    session.add(file)
    session.flush()
    payout = Payout(
        file_id=file.id, account_id=account.id if account else 0, payment_reference=reference, payout_date=clock.now(),
        currency="SEK", settlement_type="NEW", totals="{}", settlement_minor=100, opening_debt_minor=0, closing_debt_minor=0,
        rows_hash="x", row_count=0, state=PayoutState.READY,
    )  # fmt: skip
    session.add(payout)
    session.flush()
    return payout


def find(text: str, who: Actor = CLERK) -> Hits:
    with reading() as session:
        return search.everything(session, who, text)


def the_one(text: str, who: Actor = CLERK) -> tuple[str, int] | None:
    found = find(text, who).the_one
    return (found.sort, found.id) if found else None


class Made:
    """An order with an invoice at Klarna, and all their keys."""

    def __init__(self) -> None:
        with writing() as session:
            order = an_order(session, [a_row()], klarna=True, name="Åsa Bergström", shop_number="W-99")
            order.source, order.source_key = "api", "shop:7"
            customer = session.get_one(Customer, order.customer_id)
            customer.email, customer.organisation_number = "asa@example.com", "556677-8899"
            document = a_document(session, order, state=DocState.ISSUED)
            document.ocr, document.paid_reference = "4258017", "REF77"
            operation = an_operation(session, order, OpState.CONFIRMED, document=document)
        self.order: Order = order
        self.customer: Customer = customer
        self.document: Document = document
        self.operation: KlarnaOp = operation


KEYS: dict[str, tuple[str, Callable[[Made], Any]]] = {
    "order number": ("order", lambda made: made.order.number),
    "shop's number": ("order", lambda made: "W-99"),
    "reservation number": ("order", lambda made: str(made.order.klarna_reference).lower()),
    "Klarna order id": ("order", lambda made: made.order.klarna_order_id),
    "key of an interface": ("order", lambda made: "shop:7"),
    "document number": ("document", lambda made: f"  {made.document.number_text} "),
    "document number in groups": (
        "document",
        lambda made: f"{(number := str(made.document.number_text))[:2]}\u00a0{number[2:]}",
    ),
    "OCR number in groups": ("document", lambda made: "425 8017"),
    "OCR number": ("document", lambda made: "4258017"),
    "Klarna's number": ("document", lambda made: str(made.operation.klarna_short_ref).lower()),
    "capture id": ("document", lambda made: made.operation.klarna_object_id),
    "payment reference": ("document", lambda made: "REF77"),
    "customer number": ("customer", lambda made: made.customer.number),
    "e-mail address": ("customer", lambda made: "Asa@Example.com"),
    "organisation number": ("customer", lambda made: "5566778899"),
}


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f"])
@pytest.mark.parametrize("key", ["document number", "OCR number", "order number", "customer number"])
def test_a_number_is_found_with_spaces_between_its_digits(key: str, space: str) -> None:
    """B12, catalogue 92: in the box and in the lists, as figures are pasted."""
    made = Made()
    sort, of = KEYS[key]
    number = str(of(made)).strip()
    pasted = f"{number[:-3]}{space}{number[-3:]}"
    wanted = {"order": made.order.id, "document": made.document.id, "customer": made.customer.id}[sort]
    assert pasted != number and the_one(pasted) == (sort, wanted)
    with reading() as session:
        assert made.document.id in search.documents_found(session, pasted).ids
        assert (made.order.id in search.orders_found(session, pasted).ids) == (
            key not in ("document number", "OCR number")
        )
        field = {"document number": "number", "OCR number": "ocr"}.get(key, sort)
        listed = session.scalars(select(Document.id).where(search.documents_with(field, pasted))).all()
    assert listed == [made.document.id]


def test_a_shops_own_number_with_a_space_is_found_as_it_is_written() -> None:
    """B12: the digits together are asked for only when nothing bears the text as typed."""
    with writing() as session:
        spaced = an_order(session, [freight()], shop_number="77 001")
        an_order(session, [freight()], shop_number="77001")
    assert the_one("77 001") == ("order", spaced.id)
    with reading() as session:
        assert spaced.id in search.orders_found(session, "77 001").ids


def test_words_with_digits_are_not_drawn_together() -> None:
    """Catalogue 92: only where all the rest is digits."""
    with writing() as session:
        an_order(session, [freight()], shop_number="W99")
    assert the_one("W 99") is None


@pytest.mark.parametrize("key", KEYS)
def test_a_key_leads_straight_to_its_thing(key: str) -> None:
    """B12, B13."""
    made = Made()
    with writing() as session:
        an_order(session, [freight()], klarna=True, name="Anna Lind", shop_number="W-9")
    sort, of = KEYS[key]
    wanted = {"order": made.order.id, "document": made.document.id, "customer": made.customer.id}[sort]
    assert the_one(str(of(made))) == (sort, wanted)


def test_a_payment_reference_leads_to_the_payout_when_it_is_read_in() -> None:
    made = Made()
    with writing() as session:
        payout = a_payout(session, "REF77")
    assert the_one("REF77") == ("payout", payout.id)
    assert made.document.paid_reference == payout.payment_reference


def test_a_key_of_several_things_makes_a_short_list() -> None:
    with writing() as session:
        first = an_order(session, [freight()], shop_number="77000")
        second = an_order(session, [freight()], shop_number="77000")
        document = a_document(session, first)
        document.ocr = "77000"
    found = find("77000")
    assert found.the_one is None
    assert [(hit.sort, hit.id, hit.key) for hit in found.hits] == [
        ("order", second.id, "shop"),
        ("order", first.id, "shop"),
        ("document", document.id, "ocr"),
    ]


def test_a_part_of_a_name_finds_the_customer_and_the_orders() -> None:
    made = Made()
    for text in ("berg", "ÅSA", "ström ås", "gströ"):
        hits = find(text).hits
        assert {(hit.sort, hit.id) for hit in hits} == {("customer", made.customer.id), ("order", made.order.id)}, text
    assert find("bergman").hits == []
    assert [hit.sort for hit in find("Ås").hits] == ["customer", "order"]
    assert find("rg").hits == []


def test_a_name_follows_its_card() -> None:
    """The index of names is kept with the cards, also when one is emptied (B29)."""
    made = Made()
    with writing() as session:
        session.get_one(Customer, made.customer.id).name = "Åsa Ek"
    assert find("bergström").hits == []
    assert find("Åsa Ek").hits
    with writing() as session:
        session.get_one(Customer, made.customer.id).name = ""
    assert find("Åsa Ek").hits == []


def test_of_very_many_names_the_first_are_shown_and_it_says_so() -> None:
    with writing() as session:
        for _ in range(search.SHOWN + 1):
            an_order(session, [freight()], name="Anna Lind")
    found = find("lind")
    assert found.more_names
    assert len([hit for hit in found.hits if hit.sort == "customer"]) == search.SHOWN


def test_who_may_not_see_private_matters_does_not_find_by_them() -> None:
    """Security 2."""
    made = Made()
    for text in ("asa@example.com", "556677-8899"):
        assert the_one(text) == ("customer", made.customer.id)
        assert find(text, actor(Role.VIEWER)).hits == []
    assert the_one("Åsa") is None
    assert find("Åsa", actor(Role.VIEWER)).hits


@pytest.mark.parametrize("text", ["811218-9876", "19811218-9876", "198112189876", "19811218 9876"])
def test_a_personal_number_finds_nothing_and_is_known_for_what_it_is(text: str) -> None:
    found = find(text)
    assert (found.hits, found.personal) == ([], True)
    assert not find("1234567").personal


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_no_text_makes_the_search_fall_over(text: str) -> None:
    """Catalogue 22: what cannot be shown has been taken out before."""
    find("".join(sign for sign in text if sign.isprintable()))


@pytest.mark.parametrize("text", ['"', '" OR "a', "name:berg", "berg*", "NEAR(a b)", "%%%", "___", "' OR 1=1 --"])
def test_the_signs_of_a_query_are_only_signs(text: str) -> None:
    Made()
    assert find(text).hits == []


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("text", ["1500", "W-99", "REF77", "asa@example.com", "berg", "Ås", "finns inte"])
def test_the_search_reads_nothing_through(text: str) -> None:
    """Performance, goal 3."""
    Made()
    with plans.sent_to(db.engine) as sent:
        find(text)
    assert plans.faults(db.engine, sent) == []
    assert len(sent) <= 7


def test_a_payout_of_another_reference_is_not_found() -> None:
    with writing() as session:
        a_payout(session, "REF1")
    assert find("REF2").hits == []
    assert the_one("REF1")
