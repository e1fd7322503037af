"""Order files: tolerant of form, strict about meaning, read whole or not at all (B16; catalogue rows 47-56, 60, 61)."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

import clock
from db import connections_held, reading, writing
from errors import BadInput, NotAllowed, Refusal, Stale
from models import Customer, Order, OrderUpload
from services import incoming, order_file, order_uploads, orders
from services.order_file import OrderFile
from services.order_uploads import ReadBefore
from states import LineKind, PaymentKind
from tests import builders
from tests.builders import CLERK

HEAD = "order;name;email;description;quantity;unit price;vat"
FILE = f"""{HEAD}
W1;Anna Berg;anna@example.com;T-shirt;2;199,00;25
W1;;;Frakt;1;49.50;25
W2;Bo Ek;bo@example.com;Mugg;1;89,00;25
"""


def problems(file: OrderFile) -> list[tuple[int, str]]:
    return [(each.row, each.column) for each in file.problems]


# --- Form ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_the_same_orders_come_from_every_form(encoding: str, ends: str, delimiter: str) -> None:
    """Catalogue rows 51 and 52."""
    text = FILE.replace("Bo Ek", "Bö Ék").replace("199,00", '"199,00"').replace("89,00", '"89,00"')
    text = f"\n{text}".replace(";", delimiter).replace("\n", ends)
    found = order_file.read(text.encode(encoding))
    assert found.problems == [] and found.rows == 3
    first, second = found.orders
    assert [row.unit_price_minor for row in first.incoming.rows] == [19_900, 4_950]
    assert (first.rows, second.rows, second.incoming.buyer.name) == ([3, 4], [5], "Bö Ék")
    assert (first.incoming.source_key, first.incoming.payment) == ("csv:W1", PaymentKind.INVOICE)


def test_columns_are_found_by_swedish_names_in_any_order_and_unknown_ones_are_left_alone() -> None:
    """Catalogue row 54."""
    head = "Moms;Antal;Benämning;Ordernr;Namn;Butikens eget;Á-pris;Slag;Betalsätt;Datum;Leveransort"
    text = f"{head}\n25 %;1,5;Tyg;A;Anna;x;10;frakt;Klarna;2026-01-31;Lund\n"
    (order,) = order_file.read(text.encode()).orders
    (row,) = order.incoming.rows
    assert (row.quantity_milli, row.unit_price_minor, row.vat_rate, row.kind) == (1500, 1000, 2500, LineKind.FREIGHT)
    assert order.incoming.payment is PaymentKind.KLARNA and order.incoming.delivery is not None
    assert (
        order.incoming.ordered_at is not None
        and clock.local_date(order.incoming.ordered_at).isoformat() == "2026-01-31"
    )


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"\n\n", 422),
        (HEAD.encode(), 422),
        (b"PK\x03\x04rest", 415),
        (b"%PDF-1.7", 415),
        (b"order;quantity;article\nA;1;\x00", 422),
        (b"order;quantity;article\nA;1;\x81\x8d", 422),
        (b"order;order;quantity;article\nA;A;1;x", 422),
        (b"order;article\nA;x", 422),
        (b"quantity;article\n1;x", 422),
        (b"order;quantity\nA;1", 422),
        (b'order;quantity;article\nA;1;"open', 422),
        (b"order;quantity;article\rA;1;x", 422),
        (b"x" * (order_file.LARGEST + 1), 413),
    ],
)
def test_what_is_no_such_file_is_refused_whole(content: bytes, status: int) -> None:
    """Catalogue rows 47-49 and 51-54."""
    with pytest.raises(BadInput) as refused:
        order_file.read(content)
    assert (refused.value.status, refused.value.field) == (status, "file")


def test_more_rows_than_the_limit_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catalogue row 48."""
    monkeypatch.setattr(order_file, "MOST_ROWS", 2)
    with pytest.raises(BadInput, match="over 2 rows"):
        order_file.read(FILE.encode())


# --- Meaning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("W1;Anna;a@b.se;Vara;1;10;25;extra", ""),
        ("W1;Anna;a@b.se;Vara;1", ""),
        (";Anna;a@b.se;Vara;1;10;25", "order"),
        ("W1;;a@b.se;Vara;1;10;25", "name"),
        ("W1;Anna;a@b.se, c@d.se;Vara;1;10;25", "email"),
        ("W1;Anna;a@b.se;Vara;;10;25", "quantity"),
        ("W1;Anna;a@b.se;Vara;0;10;25", "quantity"),
        ("W1;Anna;a@b.se;Vara;-1;10;25", "quantity"),
        ("W1;Anna;a@b.se;Vara;1,2345;10;25", "quantity"),
        ("W1;Anna;a@b.se;Vara;1e3;10;25", "quantity"),
        ("W1;Anna;a@b.se;Vara;1;1.000,50;25", "unit_price"),
        ("W1;Anna;a@b.se;Vara;1;12,345;25", "unit_price"),
        ("W1;Anna;a@b.se;Vara;1;NaN;25", "unit_price"),
        ("W1;Anna;a@b.se;Vara;1;10;tjugofem", "vat_rate"),
        ("W1;Anna;a@b.se;Vara;1;10;101", "vat_rate"),
        ("W1;An\u202ena;a@b.se;Vara;1;10;25", "name"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(line: str, column: str) -> None:
    """Catalogue rows 4-6, 9, 45 and 55; B14 beyond three decimals."""
    found = order_file.read(f"{HEAD}\n{line}\nW2;Bo;b@b.se;Vara;1;10;25\n".encode())
    assert problems(found)[0] == (2, column)


def test_everything_wrong_is_said_at_once() -> None:
    found = order_file.read(f"{HEAD}\nW1;Anna;x;Vara;0;1,2,3;25\nW2;Bo;b@b.se;Vara;x;1;25".encode())
    assert {row for row, _ in problems(found)} == {2, 3}


def test_rows_of_an_order_stand_together_and_say_the_same() -> None:
    split = order_file.read(f"{HEAD}\nW1;A;a@b.se;V;1;1;25\nW2;B;b@b.se;V;1;1;25\nW1;A;a@b.se;V;1;1;25".encode())
    assert problems(split) == [(4, "order")]
    unlike = order_file.read(f"{HEAD}\nW1;Anna;a@b.se;V;1;1;25\nW1;Bo;a@b.se;V;1;1;25".encode())
    assert problems(unlike) == [(3, "name")]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_whatever_a_file_holds_is_orders_problems_or_a_clear_no(text: str) -> None:
    """Catalogue rows 47-61."""
    for content in (text.encode("utf-8", "replace"), f"{HEAD}\n{text}".encode("utf-8", "replace")):
        try:
            found = order_file.read(content)
        except BadInput:
            continue
        assert found.rows >= 1


# --- Against the books -----------------------------------------------------------------------------------------------


def kept(text: str, name: str = "order.csv") -> int:
    return order_uploads.receive(CLERK, text.encode(), name)


def begin(upload_id: int) -> None:
    with reading() as session:
        seen = order_uploads.show(session, upload_id).sha256
    order_uploads.begin(CLERK, upload_id, seen)


def plan_of(text: str) -> order_uploads.Plan:
    upload_id = kept(text)
    with reading() as session:
        return order_uploads.plan(session, upload_id)


def read_in(text: str) -> int:
    upload_id = kept(text)
    begin(upload_id)
    assert order_uploads.go_on(upload_id, 30)
    return upload_id


def taken() -> list[Order]:
    with reading() as session:
        found = list(session.scalars(sa.select(Order).order_by(Order.number)))
        assert all(order.lines for order in found)
        return found


def test_a_file_is_looked_through_and_then_read_in_whole(books: Flask) -> None:
    found = plan_of(FILE)
    assert ([each.total_minor for each in found.orders], found.new, found.problems) == ([44_750, 8_900], 2, [])
    assert taken() == []
    upload_id = read_in(FILE)
    first, second = taken()
    assert (first.shop_number, first.source, orders.total(first), len(first.lines)) == ("W1", "csv", 44_750, 2)
    with reading() as session:
        shown = order_uploads.show(session, upload_id)
        assert (shown.total, shown.done, shown.made, shown.running, shown.failed) == (2, 2, 2, False, ())
        assert session.get_one(Customer, second.customer_id).email == "bo@example.com"


def test_the_same_file_twice_is_told_and_the_same_orders_in_another_file_are_left_alone(books: Flask) -> None:
    first = read_in(FILE)
    with pytest.raises(ReadBefore) as told:
        kept(FILE)
    assert told.value.link == ("order_files.show", {"upload_id": first})
    more = FILE + "W3;Cia;cia@example.com;Vara;1;5;25\n"
    found = plan_of(more)
    assert [each.known for each in found.orders] == [1001, 1002, None]
    read_in(more)
    assert [order.shop_number for order in taken()] == ["W1", "W2", "W3"]


def test_an_order_in_another_currency_is_a_problem_of_its_first_row(books: Flask) -> None:
    """Catalogue row 69: the books are kept in kronor, and nothing of the file is read in."""
    head = HEAD.replace("order;", "order;valuta;")
    found = plan_of(f"{head}\nW1;SEK;Anna;a@example.com;Vara;1;5;25\nW2;EUR;Bo;b@example.com;Vara;1;5;25\n")
    assert [(each.row, each.column) for each in found.problems] == [(3, "currency")]
    assert [each.total_minor for each in found.orders] == [500, None]


def test_a_known_order_with_another_content_is_a_problem(books: Flask) -> None:
    read_in(FILE)
    assert [(each.row, each.column) for each in plan_of(FILE.replace("89,00", "88,00")).problems] == [(4, "order")]


def test_one_wrong_row_keeps_the_whole_file_out(books: Flask) -> None:
    """B16: nothing is half read."""
    for wrong in (
        "W3;Cia;c@d.se;Vara;1;5;24",
        "W3;Cia;c@d.se;;1;5;25",
        "W3;Cia;c@d.se;Vara;1;;25",
        "W3;Cia;c@d.se;Vara;1;-5;25",
    ):
        upload_id = kept(f"{FILE}{wrong}\n")
        with reading() as session:
            assert [each.row for each in order_uploads.plan(session, upload_id).problems] == [5]
        with pytest.raises(BadInput):
            begin(upload_id)
    assert taken() == []


def test_an_order_with_a_wrong_row_is_faulty_comes_to_nothing_and_is_no_new_order(books: Flask) -> None:
    """B16: whatever is wrong with it, and also when it is known; the others are what they are."""
    for wrong in (
        "W3;Cia;c@d.se;Vara;x;5;25",
        "W3;Cia;c@d.se;Vara;1;5;24",
        "W3;;;Vara;1;5;25",
        "W3;Cia;no;Vara;1;5;25",
    ):
        found = plan_of(f"{FILE}{wrong}\nW4;Di;d@d.se;Vara;1;5;25\n")
        assert [(each.number, each.total_minor, each.faulty) for each in found.orders] == [
            ("W1", 44_750, False), ("W2", 8_900, False), ("W3", None, True), ("W4", 500, False)
        ]  # fmt: skip
        assert found.new == 3
    read_in(FILE)
    found = plan_of(FILE.replace("89,00", "88,00"))
    assert [(each.known, each.faulty, each.total_minor) for each in found.orders] == [
        (1001, False, 44_750), (1002, True, None)
    ]  # fmt: skip


def test_orders_beyond_the_problems_that_are_told_are_faulty_too(books: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """B16: a file with very many wrong rows is looked through to its end."""
    monkeypatch.setattr(order_file, "MOST_PROBLEMS", 2)
    found = plan_of(HEAD + "\n" + "".join(f"W{number};Cia;c@d.se;Vara;x;5;25\n" for number in range(5)))
    assert len(found.problems) == 2 and [each.faulty for each in found.orders] == [True] * 5


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        ("quantity;article", "order, or ordernr,"),
        ("ordernr;artikel", "quantity, or antal,"),
        ("order;antal", "artikel, ean"),
    ],
)
def test_a_column_that_is_missing_is_named_in_both_languages(head: str, sentence: str) -> None:
    """Catalogue row 54: whoever made the file knows it by one of them."""
    with pytest.raises(BadInput, match=sentence):
        order_file.read(f"{head}\nA;1\n".encode())


def test_a_stated_sum_a_customer_and_a_number_in_use_are_checked(books: Flask, sandbox: object) -> None:
    with writing() as session:
        builders.a_customer(session, "Anna", email="anna@example.com")
        builders.a_customer(session, "Anna igen", email="anna@example.com")
        card = builders.a_customer(session, "Kortet")
        builders.an_order(session, shop_number="W9")
    head = "order;customer number;name;email;description;quantity;unit price;vat;total"
    text = f"""{head}
W1;;Anna;anna@example.com;V;1;10;25;
W2;{card.number};;;V;2;10;25;20
W3;{card.number};;;V;2;10;25;20,01
W4;999;;;V;1;10;25;
W9;{card.number};;;V;1;10;25;
"""
    found = plan_of(text)
    assert [(each.row, each.column) for each in found.problems] == [
        (2, "email"), (4, "total"), (5, "customer_number"), (6, "order"),
    ]  # fmt: skip
    assert found.orders[1].customer.endswith("Kortet")


def test_twins_and_decimals_are_shown_before_reading_in(books: Flask) -> None:
    """B14, K7."""
    with writing() as session:
        builders.an_article(session, number="A1")
    found = plan_of("order;name;article;quantity\nW1;Anna;A1;1\nW1;;A1;0,5\n")
    assert [row for row, _ in found.notices] == [2, 2] and found.problems == []


def test_what_was_interrupted_is_gone_on_with_and_makes_nothing_twice(
    books: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in the middle: what is committed stays, the worker makes the rest."""
    monkeypatch.setattr(order_uploads, "SOME", 10)
    rows = "".join(f"W{n};Kund {n};k{n}@example.com;Vara;1;10;25\n" for n in range(35))
    upload_id = kept(f"{HEAD}\n{rows}")
    begin(upload_id)
    begin(upload_id)
    assert not order_uploads.go_on(upload_id, 0)
    assert len(taken()) == 10
    with pytest.raises(ZeroDivisionError):
        monkeypatch.setattr(incoming.orders, "take", lambda *_a, **_k: 1 // 0)
        order_uploads.go_on(upload_id, 0)
    monkeypatch.undo()
    assert len(taken()) == 10
    assert order_uploads.run() == 1
    assert order_uploads.run() == 0
    assert [order.number for order in taken()] == list(range(1001, 1036))


def test_what_changed_since_the_preview_is_told_order_by_order(books: Flask) -> None:
    with writing() as session:
        article = builders.an_article(session, number="A1")
    upload_id = kept("order;name;article;quantity\nW1;Anna;A1;1\nW2;Bo;A1;1\n")
    begin(upload_id)
    with writing() as session:
        for card in range(2):
            builders.a_customer(session, f"Bo {card}", email=None, organisation_number=None)
        session.get_one(type(article), article.id).number_key = "gone"
    assert order_uploads.go_on(upload_id, 5)
    with reading() as session:
        shown = order_uploads.show(session, upload_id)
    assert ([number for number, _ in shown.failed], shown.done, shown.made) == (["W1", "W2"], 2, 0)


def test_a_file_nobody_read_in_is_not_kept_for_long(books: Flask) -> None:
    """Security 4: it holds names and addresses. And who still shows the old one does not read in the one that took its place."""
    old = kept(FILE)
    with writing() as session:
        shown = order_uploads.show(session, old)
        session.execute(sa.update(OrderUpload).values(received_at=clock.now() - order_uploads.KEPT * 2))
    new = kept(FILE + "\n")
    with reading() as session:
        assert session.scalars(sa.select(OrderUpload.sha256)).all() != [shown.sha256]
    with pytest.raises(Stale):
        order_uploads.begin(CLERK, new, shown.sha256)


def test_a_large_file_is_looked_through_while_others_write(books: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations 16.1: 60,000 rows take seconds, and no transaction is held meanwhile."""
    read, held = order_file.read, list[int]()

    def told(content: bytes) -> order_file.OrderFile:
        held.append(connections_held())
        return read(content)

    monkeypatch.setattr(order_file, "read", told)
    assert kept(FILE) and held == [0]


def test_who_may_not_work_reads_no_file_in(books: Flask, viewer: object) -> None:
    with pytest.raises(NotAllowed):
        order_uploads.receive(viewer, FILE.encode(), "x.csv")  # type: ignore[arg-type]
    with pytest.raises(NotAllowed), writing() as session:
        order_uploads.keep_file(session, viewer, FILE.encode(), "x.csv")  # type: ignore[arg-type]
    with pytest.raises(Refusal):
        order_uploads.begin(CLERK, 999, "")
