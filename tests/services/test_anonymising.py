"""A customer is anonymised when nothing is unfinished: the card is emptied, documents stay (B29)."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Customer, Document, Outbox
from rights import Actor
from services import (
    anonymising,
    audit,
    free_credits,
    incoming,
    numbering,
    order_ending,
    order_entry,
    order_file,
    order_page,
    order_uploads,
    orders,
    register,
    search,
)
from services.gateway import Gateway
from services.incoming import Buyer, IncomingOrder
from services.incoming_rows import Row
from states import DocState, OpKind, OpState, OrderState
from tests import builders
from tests.services.order_rows import a_document, a_row, an_operation, an_order
from tests.services.test_payments import pay, wanted
from tests.threads import while_open

FACTS = {
    "name": "Anna Ek", "organisation_number": "556737-0431", "email": "anna@example.com", "phone": "070-1", "street": "Gatan 1",
    "street2": "c/o Ek", "postal_code": "111 22", "city": "Stockholm", "country": "DK", "note": "ringer ofta", "payment_days": 10,
}  # fmt: skip


@pytest.fixture
def customer(books: Flask) -> Customer:
    with writing() as session:
        return builders.a_customer(session, **FACTS)


def seen(customer: Customer) -> str:
    with reading() as session:
        return register.facts_of(register.get_customer(session, customer.id)).fingerprint


def anonymise(actor: Actor, customer: Customer, number: str | None = None) -> None:
    drawn = seen(customer)
    with writing() as session:
        anonymising.anonymise(session, actor, customer.id, number or f" {customer.number} ", drawn)


def card(customer: Customer) -> Customer:
    with reading() as session:
        return register.get_customer(session, customer.id)


def test_the_card_is_emptied_and_the_number_is_never_used_again(customer: Customer, finance: Actor) -> None:
    anonymise(finance, customer)
    after = card(customer)
    assert after.anonymised_at is not None
    assert asdict(register.facts_of(after)) == asdict(register.CustomerFacts(name=f"#{customer.number}"))
    with writing() as session:
        assert numbering.take(session, "customer", first=register.FIRST_CUSTOMER, day=clock.today()) > customer.number
        (line,) = audit.listing(session, action="customer.anonymise")
    assert line.detail == {"number": customer.number}


def test_nothing_that_stood_on_the_card_is_found_any_more(customer: Customer, finance: Actor) -> None:
    with reading() as session:
        assert search.customers_named(session, "Anna")[0] == [(customer.id, "Anna Ek")]
    anonymise(finance, customer)
    with reading() as session:
        assert search.customers_named(session, "Anna")[0] == []
        for said in ("Anna", "anna@example.com", "556737-0431"):
            assert register.customers(session, search=said) == []
        assert [each.id for each in register.customers(session, search=str(customer.number))] == [customer.id]


def a_paid_invoice(customer: Customer, klarna: Gateway, finance: Actor) -> Document:
    """An order with a note, delivered, invoiced and paid to the company."""
    with writing() as session:
        order = builders.an_order(session, customer=session.get_one(Customer, customer.id))
        builders.a_delivery(session, order)
        orders.get(session, order.id, lock=True).note = "ring Anna"
    invoice = builders.an_invoice(klarna, order)
    assert pay(finance, invoice, wanted(invoice.gross_minor)) is not None
    return invoice


def test_documents_and_orders_keep_the_name_and_notes_go(customer: Customer, finance: Actor, klarna: Gateway) -> None:
    invoice = a_paid_invoice(customer, klarna, finance)
    with reading() as session:
        before = orders.get(session, invoice.order_id or 0).party, invoice.party, invoice.snapshot
    assert "Anna Ek" in before[0] and "Anna Ek" in before[1]
    anonymise(finance, customer)
    with reading() as session:
        order, document = orders.get(session, invoice.order_id or 0), session.get_one(Document, invoice.id)
        assert (order.party, document.party, document.snapshot) == before
        assert order.note == ""


@pytest.mark.untrue_books("a void document and a capture are written by hand")
def test_an_order_that_came_to_nothing_is_emptied_too(customer: Customer, finance: Actor) -> None:
    """Name and address stay where there is a document, goods have left or Klarna has captured: that the books have to show."""
    with writing() as session:
        card = session.get_one(Customer, customer.id)
        nothing, sent, captured, numbered = (builders.an_order(session, customer=card) for _ in range(4))
        builders.a_delivery(session, sent)
        captured.captured_minor = 100
        share = orders.OrderShare(numbered.lines[0], 1000, 100, 0)
        a_document(session, numbered, [share], state=DocState.VOID)
        for order in (nothing, sent, captured, numbered):
            order_ending.cancel(session, finance, order)
        version = nothing.version
    anonymise(finance, customer)
    with reading() as session:
        after = orders.get(session, nothing.id)
        assert json.loads(after.party) == {"name": f"#{customer.number}"}
        assert after.version > version
        assert order_page.overview(session, nothing.id).party["name"] == f"#{customer.number}"
        for order in (sent, captured, numbered):
            assert orders.get(session, order.id).party == order.party
            assert "Anna Ek" in order.party


def test_who_did_it_is_in_the_log(customer: Customer, finance: Actor) -> None:
    with reading() as session:
        assert anonymising.emptied_by(session, customer.id) == ""
    anonymise(finance, customer)
    with reading() as session:
        assert anonymising.emptied_by(session, customer.id) == finance.name


def test_no_door_for_orders_knows_the_customer_any_more(customer: Customer, finance: Actor, clerk: Actor) -> None:
    """B29: not order entry, not a file of orders, not a program."""
    text = f"order;customer number;description;quantity;unit price;vat\nW1;{customer.number};V;1;10;25\n"
    buyer = Buyer(name="Anna Ek", email=FACTS["email"], organisation_number=FACTS["organisation_number"])
    with reading() as session:
        file = order_file.read(text.encode())
        assert order_uploads.survey(session, file).problems == []
        assert incoming.matches(session, buyer) != []
    anonymise(finance, customer)
    with reading() as session:
        (problem,) = order_uploads.survey(session, order_file.read(text.encode())).problems
        assert problem.column == "customer_number"
        assert incoming.matches(session, buyer) == []
        for typed in (str(customer.number), f"#{customer.number}", "Anna", FACTS["email"]):
            assert order_entry.find_customers(session, typed) == []
    with pytest.raises(Refusal), writing() as session:
        free_credits.start(session, finance, customer.id)
    with pytest.raises(Refusal), writing() as session:
        register.change_customer(session, clerk, customer.id, register.CustomerFacts(name="Anna Ek"), seen(customer))


def test_an_order_at_work_is_in_the_way(customer: Customer, finance: Actor) -> None:
    with writing() as session:
        order = builders.an_order(session, customer=session.get_one(Customer, customer.id))
    with pytest.raises(Refusal) as refused:
        anonymise(finance, customer)
    assert refused.value.link == ("orders.show", {"order_id": order.id})
    assert card(customer).name == "Anna Ek"


def test_each_thing_in_the_way_is_named_not_only_the_first_of_its_kind(
    customer: Customer, finance: Actor, klarna: Gateway
) -> None:
    with writing() as session:
        made = [builders.an_order(session, customer=session.get_one(Customer, customer.id)) for _ in range(2)]
        builders.a_delivery(session, made[1])
    unpaid = builders.an_invoice(klarna, made[1])
    with reading() as session:
        told = [(each.values["number"], each.link) for each in anonymising.in_the_way(session, customer.id)]
    assert told == [
        (made[0].number, ("orders.show", {"order_id": made[0].id})),
        (unpaid.number_text, ("invoices.show", {"document_id": unpaid.id})),
    ]
    with writing() as session:
        third = builders.an_order(session, customer=session.get_one(Customer, customer.id))
    with reading() as session:
        assert [each.values["number"] for each in anonymising.in_the_way(session, customer.id)] == [
            made[0].number,
            third.number,
            unpaid.number_text,
        ]


@pytest.mark.untrue_books("states and claims are written by hand")
@pytest.mark.parametrize("what", ["draft", "refused", "pending", "unpaid", "mail", "operation"])
def test_what_is_not_finished_paid_sent_or_answered_is_in_the_way(
    customer: Customer, finance: Actor, klarna: Gateway, what: str
) -> None:
    invoice = a_paid_invoice(customer, klarna, finance)
    with reading() as session:
        assert anonymising.in_the_way(session, customer.id) == []
    expected = ("invoices.show", {"document_id": invoice.id})
    with writing() as session:
        order = orders.get(session, invoice.order_id or 0, lock=True)
        if what == "unpaid":
            session.execute(sa.update(Document).where(Document.id == invoice.id).values(open_minor=1))
        elif what == "mail":
            mail = {"kind": "mail", "payload": "{}", "message_id": "x", "created_by": "x", "attempts": 0}
            session.add(Outbox(document_id=invoice.id, created_at=clock.now(), **mail))
        elif what == "operation":
            cancelled = an_order(session, [a_row()], klarna=True)
            cancelled.customer_id, cancelled.state = customer.id, OrderState.CANCELLED
            an_operation(session, cancelled, OpState.UNKNOWN, kind=OpKind.RELEASE)
            expected = ("orders.show", {"order_id": cancelled.id})
        elif what == "draft":
            expected = ("credit_notes.show", {"document_id": free_credits.start(session, finance, customer.id).id})
        else:
            share = orders.OrderShare(order.lines[0], 1000, 100, 0)
            made = a_document(session, order, [share], state=DocState(what))
            expected = ("invoices.show", {"document_id": made.id})
    with reading() as session:
        assert [each.link for each in anonymising.in_the_way(session, customer.id)] == [expected]
    with pytest.raises(Refusal):
        anonymise(finance, customer)
    assert card(customer).anonymised_at is None


def test_the_number_is_typed_the_card_is_fresh_and_the_right_is_there(
    customer: Customer, finance: Actor, clerk: Actor, admin: Actor
) -> None:
    with pytest.raises(BadInput) as refused:
        anonymise(finance, customer, "9999")
    assert refused.value.field == "number"
    with pytest.raises(NotAllowed):
        anonymise(clerk, customer)
    with pytest.raises(Stale), writing() as session:
        anonymising.anonymise(session, finance, customer.id, str(customer.number), "x")
    with pytest.raises(NotFound), writing() as session:
        anonymising.anonymise(session, finance, 999, "999", "x")
    anonymise(admin, customer)
    with pytest.raises(Refusal):
        anonymise(finance, customer)


def test_whoever_comes_back_gets_a_new_card(customer: Customer, finance: Actor, clerk: Actor) -> None:
    """B30: the old card is not found by its e-mail, nor can it be chosen."""
    anonymise(finance, customer)
    rows = (Row(quantity_milli=1000, name="Vara", unit_price_minor=100_00, vat_rate=2500),)
    with writing() as session:
        buyer = Buyer(name="Anna Ek", email="anna@example.com")
        made = incoming.customer_of(session, clerk, IncomingOrder(source="hand", buyer=buyer, rows=rows))
        assert made.id != customer.id
    with pytest.raises(BadInput), writing() as session:
        chosen = IncomingOrder(source="hand", buyer=Buyer(), rows=rows, customer_id=customer.id)
        incoming.customer_of(session, clerk, chosen)


@pytest.mark.parametrize("by", ["number", "e-mail"])
def test_an_order_taken_at_the_same_moment_waits_and_sees_it(
    books: Flask, customer: Customer, finance: Actor, clerk: Actor, by: str
) -> None:
    drawn, cards = seen(customer), list[int]()

    def take(session: Session) -> None:
        buyer = Buyer(name="Anna Ek", email="anna@example.com")
        order = IncomingOrder(source="hand", buyer=buyer, rows=(), customer_id=customer.id if by == "number" else None)
        cards.append(incoming.customer_of(session, clerk, order).id)

    raised = while_open(
        books, lambda session: anonymising.anonymise(session, finance, customer.id, str(customer.number), drawn), take
    )
    if by == "number":
        assert isinstance(raised, BadInput)
    else:
        assert raised is None and customer.id not in cards


@pytest.mark.parametrize("by", ["number", "e-mail"])
def test_whoever_anonymises_while_an_order_is_taken_waits_and_is_refused(
    books: Flask, customer: Customer, finance: Actor, clerk: Actor, by: str
) -> None:
    drawn = seen(customer)
    rows = (Row(quantity_milli=1000, name="Vara", unit_price_minor=100_00, vat_rate=2500),)
    buyer = Buyer(name="Anna Ek", email="anna@example.com")
    order = IncomingOrder(source="hand", buyer=buyer, rows=rows, customer_id=customer.id if by == "number" else None)
    raised = while_open(
        books,
        lambda session: incoming.take(session, clerk, order),
        lambda session: anonymising.anonymise(session, finance, customer.id, str(customer.number), drawn),
    )
    assert isinstance(raised, Refusal) and raised.link is not None
    assert card(customer).name == "Anna Ek"


def test_of_two_who_anonymise_the_same_customer_one_does(books: Flask, customer: Customer, finance: Actor) -> None:
    drawn = seen(customer)

    def work(session: Session) -> None:
        anonymising.anonymise(session, finance, customer.id, str(customer.number), drawn)

    assert isinstance(while_open(books, work, work), Refusal)
    with reading() as session:
        assert len(audit.listing(session, action="customer.anonymise")) == 1
