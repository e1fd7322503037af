"""Order confirmation, pick list and delivery note as plain values (B26)."""

from __future__ import annotations

import pytest
from flask import Flask

from db import reading, writing
from errors import BadInput, NotFound, Refusal
from models import Order
from services import papers
from states import DocType
from tests.builders import DISCOUNT, FREIGHT, a_delivery, a_warehouse, an_article, an_invoice, an_order, row


def the_pick_list(order: Order, warehouse_id: int | None = None) -> papers.PickList:
    with reading() as session:
        return papers.pick_list(session, order.id, warehouse_id)


def test_the_confirmation_adds_up_and_says_what_is_left_to_invoice(books: Flask, klarna) -> None:
    """B22, B26: the remaining order amount is the order less what pending and issued invoices hold."""
    with writing() as session:
        order = an_order(
            session,
            lines=[
                row("Jacka", 100_000, pieces=2, discount_minor=10_000),
                row("Bok", 10_600, rate=600),
                row("Frakt", 4_900, kind=FREIGHT),
                row("Kampanj", -5_000, kind=DISCOUNT),
            ],
        )
    with reading() as session:
        found = papers.confirmation(session, order.id)
    assert found.total_minor == 190_000 + 10_600 + 4_900 - 5_000 == sum(line.gross_minor for line in found.rows)
    assert [(each.rate, each.gross_minor, each.vat_minor) for each in found.vat] == [
        (2500, 189_900, 37_980),
        (600, 10_600, 600),
    ]
    assert found.rest_minor == found.total_minor
    assert not found.klarna
    with writing() as session:
        (jacket, *_others) = order.lines
        a_delivery(session, order, {jacket.id: 1000})
    invoiced = an_invoice(klarna, order, kind=DocType.DELIVERY)
    with reading() as session:
        assert papers.confirmation(session, order.id).rest_minor == found.total_minor - (invoiced.gross_minor or 0)


def test_the_pick_list_is_sorted_as_along_the_shelf_and_says_what_is_left(books: Flask) -> None:
    with writing() as session:
        articles = [
            an_article(session, name, stock_milli=stock, number=number)
            for name, stock, number in (("Tio", 5_000, "ART-10"), ("Nio", 5_000, "art-9"), ("Två", 5_000, "ART-2"))
        ]
        order = an_order(session, lines=[row(article=each, pieces=3) for each in articles] + [row(kind=FREIGHT)])
        a_delivery(session, order, {order.lines[1].id: 1000})
    found = the_pick_list(order)
    assert [each.article_number for each in found.rows] == ["ART-2", "art-9", "ART-10"]
    nine = found.rows[1]
    assert (nine.ordered_milli, nine.left_milli, nine.balance_milli, nine.short_milli) == (3000, 2000, 4000, 0)
    assert found.stop is None


def test_what_the_warehouse_lacks_is_on_back_order_also_when_two_rows_share_the_article(books: Flask) -> None:
    with writing() as session:
        scarce = an_article(session, "Knapp", stock_milli=5_000)
        unkept = an_article(session, "Tjänst", stock_kept=False)
        order = an_order(session, lines=[row(article=scarce, pieces=4) for _ in range(2)] + [row(article=unkept)])
    rows = {each.name: each for each in the_pick_list(order).rows}
    first, second = [each for each in the_pick_list(order).rows if each.name == "Knapp"]
    assert (first.pick_milli, first.short_milli) == (4000, 0)
    assert (second.balance_milli, second.pick_milli, second.short_milli) == (1000, 1000, 3000)
    assert (rows["Tjänst"].balance_milli, rows["Tjänst"].short_milli) == (None, 0)


def test_a_pick_list_is_of_one_warehouse(books: Flask) -> None:
    with writing() as session:
        order = an_order(session, lines=[row(pieces=2)])
        other = a_warehouse(session, "NL", "Norra lagret")
        closed = a_warehouse(session, "XL", "Stängda lagret")
        closed.active = False
    here, there = the_pick_list(order), the_pick_list(order, other.id)
    assert [name for _id, name in here.warehouses] == ["Huvudlagret", "Norra lagret"]
    assert (here.warehouse, here.rows[0].short_milli) == ("Huvudlagret", 0)
    assert (there.warehouse, there.rows[0].balance_milli, there.rows[0].short_milli) == ("Norra lagret", 0, 2000)
    with pytest.raises(BadInput, match="Choose a warehouse"):
        the_pick_list(order, closed.id)


def test_a_pick_list_says_why_nothing_may_leave_and_there_is_none_when_nothing_is_left(
    books: Flask, klarna, sandbox
) -> None:
    """B21: what Klarna still reviews is not packed without a word."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, fraud_status="PENDING")
    stop = the_pick_list(order).stop
    assert stop is not None
    assert str(stop) == "Klarna is reviewing the purchase. Do not deliver or invoice yet."
    with writing() as session:
        gone = an_order(session)
        a_delivery(session, gone)
    with pytest.raises(Refusal, match="Everything on the order has been delivered"):
        the_pick_list(gone)


def test_a_delivery_note_has_what_lies_in_its_parcel_and_what_is_still_to_come(books: Flask) -> None:
    with writing() as session:
        order = an_order(session, lines=[row("Jacka", pieces=3), row("Mössa"), row("Frakt", kind=FREIGHT)])
        jacket, cap, _freight = order.lines
        a_delivery(session, order, {jacket.id: 1000}, carrier="PostNord", tracking_number="ABC")
        a_delivery(session, order, {jacket.id: 1000, cap.id: 1000})
    with reading() as session:
        first, second = (papers.delivery_note(session, order.id, ordinal) for ordinal in (1, 2))
        with pytest.raises(NotFound):
            papers.delivery_note(session, order.id, 3)
    assert [(each.name, each.here_milli, each.left_milli) for each in first.rows] == [("Jacka", 1000, 2000)]
    assert [(each.name, each.left_milli) for each in first.to_come] == [("Jacka", 2000), ("Mössa", 1000)]
    assert (first.carrier, first.tracking_number) == ("PostNord", "ABC")
    assert [(each.name, each.here_milli, each.left_milli) for each in second.rows] == [
        ("Jacka", 1000, 1000),
        ("Mössa", 1000, 0),
    ]
    assert [each.name for each in second.to_come] == ["Jacka"]


@pytest.mark.parametrize("text", ["", " , ", "1,x", "1;2", "-1", "1.5", "٣", "1" * 16])
def test_what_is_no_list_of_ids_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        papers.read_ids(text)


def test_a_list_of_ids_keeps_its_order_each_once_and_has_an_end() -> None:
    assert papers.read_ids("3, 1 3,2") == [3, 1, 2]
    with pytest.raises(BadInput, match="At most 200 papers"):
        papers.read_ids(",".join(map(str, range(201))))
