"""One rule makes an order of whatever comes in: customer, articles, sum, and never the same one twice (B14, B16, B29, B30)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask import Flask

from db import reading, writing
from errors import BadInput, NotAllowed
from models import Audit, Customer, Order
from rights import Actor
from services import anonymising, incoming, orders, register
from services.incoming import Buyer, Differs, IncomingOrder, SeveralCustomers
from services.incoming_rows import Row, Shelf, notices
from states import LineKind, PaymentKind
from tests import builders
from tests.builders import CLERK

ANNA = Buyer(name="Anna Berg", email="anna@example.com", street="Storgatan 1", postal_code="111 22", city="Stockholm")
SHIRT = Row(quantity_milli=2000, article_number="ART-1")
FREE = Row(quantity_milli=1000, name="Presentkort i trä", unit_price_minor=9_900, vat_rate=2500)


def an_incoming(*rows: Row, buyer: Buyer = ANNA, **fields: object) -> IncomingOrder:
    return IncomingOrder(source="hand", buyer=buyer, rows=rows or (FREE,), **fields)  # type: ignore[arg-type]


def taken(order: IncomingOrder, actor: Actor = CLERK) -> Order:
    with writing() as session:
        made = incoming.take(session, actor, order)
        assert made.lines and made.payment_method
        return made


# --- The customer ----------------------------------------------------------------------------------------------------


def test_no_match_makes_a_card_and_the_next_order_finds_it_by_e_mail(books: Flask) -> None:
    """B30: however the letters of the address stand."""
    first = taken(an_incoming(buyer=replace(ANNA, email="Anna@Example.com")))
    second = taken(an_incoming(buyer=replace(ANNA, name="A. Berg", street="Nygatan 2")))
    assert second.customer_id == first.customer_id
    assert json.loads(second.party)["street"] == "Nygatan 2"
    with reading() as session:
        card = session.get_one(Customer, first.customer_id)
        assert (card.name, card.street, card.email) == ("Anna Berg", "Storgatan 1", "anna@example.com")


def test_the_organisation_number_is_asked_only_where_no_e_mail_fits(books: Flask) -> None:
    """B30."""
    with writing() as session:
        by_mail = builders.a_customer(session, "Firman", email="order@firman.example")
        by_number = builders.a_customer(session, "Bolaget", email=None, organisation_number="556737-0431")
    both = replace(ANNA, email="order@firman.example", organisation_number="556737-0431")
    assert taken(an_incoming(buyer=both)).customer_id == by_mail.id
    assert taken(an_incoming(buyer=replace(both, email="ny@bolaget.example"))).customer_id == by_number.id


def test_two_matches_ask_and_a_person_answers(books: Flask) -> None:
    """B30: nothing is made before; a chosen card, or a new one, settles it."""
    with writing() as session:
        cards = [builders.a_customer(session, name, email=ANNA.email) for name in ("Anna", "Anna igen")]
    with pytest.raises(SeveralCustomers) as asked:
        taken(an_incoming())
    assert asked.value.customer_ids == (cards[0].id, cards[1].id)
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Order)) == 0
    assert taken(an_incoming(customer_id=cards[1].id)).customer_id == cards[1].id
    assert taken(an_incoming(new_customer=True)).customer_id not in {each.id for each in cards}


def test_an_anonymised_card_is_never_found_nor_chosen(books: Flask) -> None:
    with writing() as session:
        gone = builders.a_customer(session, email=ANNA.email)
        seen = register.facts_of(gone).fingerprint
        anonymising.anonymise(session, builders.FINANCE, gone.id, str(gone.number), seen)
    assert taken(an_incoming()).customer_id != gone.id
    with pytest.raises(BadInput):
        taken(an_incoming(customer_id=gone.id))


def test_where_the_order_says_no_address_the_cards_stands(books: Flask) -> None:
    with writing() as session:
        card = builders.a_customer(session, street="Kortgatan 3")
    party = json.loads(taken(an_incoming(buyer=Buyer(), customer_id=card.id)).party)
    assert (party["name"], party["street"], party["email"]) == (card.name, "Kortgatan 3", card.email)
    assert "delivery" not in party


def test_a_delivery_address_stands_beside_only_when_it_is_another(books: Flask) -> None:
    same = taken(an_incoming(delivery=replace(ANNA, email="")))
    other = taken(an_incoming(delivery=Buyer(name="Ombudet", street="Hamngatan 4", postal_code="222 33", city="Lund")))
    assert "delivery" not in json.loads(same.party)
    assert json.loads(other.party)["delivery"]["street"] == "Hamngatan 4"


def test_personal_numbers_are_masked_wherever_they_stand(books: Flask) -> None:
    """B29, X3."""
    canary = "811218-9876"
    order = taken(
        an_incoming(
            replace(FREE, name=f"Gravyr {canary}"),
            buyer=replace(ANNA, name=f"Anna {canary}", street2=canary),
            delivery=Buyer(name=canary, street="Hamngatan 4", city="Lund"),
            shop_number=canary,
            note=f"legitimation {canary}",
        )
    )
    with reading() as session:
        card = session.get_one(Customer, order.customer_id)
        logged = session.scalars(sa.select(Audit.detail)).all()
    texts = [order.party, order.note, order.shop_number, order.lines[0].name, card.name, card.street2, *logged]
    assert "811218" not in str(texts)


# --- The rows --------------------------------------------------------------------------------------------------------


def test_a_row_takes_from_its_article_what_it_does_not_say(books: Flask) -> None:
    with writing() as session:
        article = builders.an_article(session, "T-shirt", 49_900, number="TS-1", gtin="7310865004703", unit="par")
    for row in (
        Row(1000, article_number="ts-1"),
        Row(1000, gtin="7310865004703"),
        Row(1000, article_number="7310865004703"),
    ):
        with reading() as session:
            line = Shelf(session, [row]).line(row)
        assert (line.article.id, line.name, line.unit) == (article.id, "T-shirt", "par")  # type: ignore[union-attr]
        assert (line.unit_price_minor, line.vat_rate, line.kind) == (49_900, 2500, LineKind.ARTICLE)
        with reading() as session:
            own = replace(row, name="Tröja", unit_price_minor=100, vat_rate=600)
            line = Shelf(session, [own]).line(own)
        assert (line.name, line.unit_price_minor, line.vat_rate) == ("Tröja", 100, 600)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (Row(1000), "article"),
        (Row(1000, article_number="finns inte"), "article"),
        (replace(FREE, unit_price_minor=None), "unit_price"),
        (replace(FREE, vat_rate=None), "vat_rate"),
        (replace(FREE, vat_rate=2400), "vat_rate"),
        (replace(FREE, unit_price_minor=-100), "unit_price"),
        (replace(FREE, discount_minor=9_901), "discount"),
        (replace(FREE, quantity_milli=10**9, unit_price_minor=10**8), "unit_price"),
    ],
)
def test_a_row_that_cannot_be_is_refused_beside_what_is_wrong(books: Flask, row: Row, field: str) -> None:
    """Catalogue rows 9 and 40."""
    with pytest.raises(BadInput) as refused:
        taken(an_incoming(replace(row, where="rows-3-")))
    assert refused.value.field == f"rows-3-{field}"


def test_a_discount_row_is_below_nothing_and_a_text_row_costs_nothing(books: Flask) -> None:
    off = Row(1000, name="Rabatt", unit_price_minor=-900, vat_rate=2500, kind=LineKind.DISCOUNT)
    words = Row(1000, name="Tack för köpet", unit_price_minor=0, kind=LineKind.TEXT)
    assert orders.total(taken(an_incoming(FREE, off, words))) == 9_000


def test_rows_that_do_not_add_up_to_the_order_are_refused_to_the_ore(books: Flask) -> None:
    taken(an_incoming(FREE, FREE, stated_minor=19_800))
    for stated in (19_799, 19_801):
        with pytest.raises(BadInput, match="apart"):
            taken(an_incoming(FREE, FREE, stated_minor=stated))


def test_twin_articles_and_decimals_are_told_at_the_door(books: Flask) -> None:
    """B14, K7."""
    with writing() as session:
        builders.an_article(session, number="ART-1")
    rows = (SHIRT, replace(SHIRT, unit_price_minor=100), replace(FREE, quantity_milli=500, unit="m"))
    order = taken(an_incoming(*rows))
    said = [refusal.values for refusal in notices(order.lines)]
    assert said[0] == {"number": "ART-1", "count": 2}
    assert said[1]["quantity_milli"] == 500
    assert notices(taken(an_incoming(SHIRT, FREE)).lines) == []


# --- The same one again ----------------------------------------------------------------------------------------------


def test_what_came_in_before_is_given_back_and_another_content_is_refused(books: Flask) -> None:
    """B16."""
    order = an_incoming(source_key="api:W1", shop_number="W1")
    first = taken(order)
    assert taken(order).id == first.id
    with reading() as session:
        incoming.require_same(session, orders.get(session, first.id), order)
        with pytest.raises(Differs):
            incoming.require_same(session, orders.get(session, first.id), replace(order, rows=(FREE, FREE)))
        assert session.scalar(sa.select(sa.func.count()).select_from(Order)) == 1


def test_two_who_bring_the_same_order_at_once_make_one(books: Flask) -> None:
    """B16: the one who comes second finds what the first made; without ``once`` it would be an error."""
    order = an_incoming(source_key="api:W2")
    tries = []

    def work(session: object) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise sa.exc.IntegrityError("insert", {}, Exception("unique"))
        return incoming.take(session, CLERK, order).id  # type: ignore[arg-type]

    assert incoming.once(work) == taken(order).id


def test_who_may_not_work_takes_no_order_in(books: Flask) -> None:
    with pytest.raises(NotAllowed):
        taken(an_incoming(), Actor("nobody"))


def test_an_order_paid_with_klarna_may_wait_for_its_reservation(books: Flask) -> None:
    order = taken(an_incoming(payment=PaymentKind.KLARNA))
    assert (order.payment_method.kind, order.klarna_order_id) == (PaymentKind.KLARNA, None)
