"""The order list: filters, search, pages that neither skip nor repeat, totals, and what a search cannot do."""

from __future__ import annotations

import itertools
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import clock
from db import db, reading, writing
from models import Order
from services import deliveries, keyset, order_list, orders, search
from services.order_list import VIEWS, Filters
from states import DocState, DocType, KlarnaStatus, OpState, OrderState
from tests.services.order_rows import CLERK, a_document, a_row, a_warehouse, an_operation, an_order, freight

pytestmark = pytest.mark.usefixtures("books")


def _shown(filters: Filters, after: str | None = None) -> list[int]:
    with reading() as session:
        return [row.id for row in order_list.listing(session, filters, after).rows]


def _deliver(session: Session, order: Order, milli: int) -> None:
    place = a_warehouse(session, f"L{order.number}-{milli}")
    deliveries.deliver(session, CLERK, order.id, {order.lines[0].id: milli}, warehouse_id=place.id)


def test_a_row_holds_what_the_list_shows() -> None:
    """B17."""
    with writing() as session:
        order = an_order(session, [a_row(milli=1500, price=333), freight()], klarna=True, shop_number="W-17")
    with reading() as session:
        row = order_list.listing(session, Filters()).rows[0]
    assert (row.number, row.shop_number, row.customer) == (order.number, "W-17", "Anna Lind")
    assert (row.total_minor, row.icon, row.delivered, row.invoiced) == (5_400, "reserved", "none", "none")
    assert row.may_deliver
    assert row.may_invoice


def test_an_activated_order_says_when_and_under_which_number() -> None:
    """F24."""
    with writing() as session:
        order = an_order(session, [a_row()], klarna=True)
        made = an_operation(session, order, OpState.CONFIRMED, document=a_document(session, order))
        elsewhere = an_order(session, [a_row()], klarna=True)
        an_operation(session, elsewhere, OpState.EXTERNAL)
        for each in (order, elsewhere):
            orders.refresh(session, each.id)
    with reading() as session:
        second, first = order_list.listing(session, Filters()).rows
    assert (first.captured_at, first.klarna_number, first.captured_outside) == (
        made.klarna_event_at,
        made.klarna_short_ref,
        False,
    )
    assert second.captured_outside


def test_each_filter_shows_its_own_orders() -> None:
    with writing() as session:
        fresh = an_order(session, [a_row(milli=2000)], klarna=True)
        gone = an_order(session, [a_row(milli=2000), freight()], klarna=True)
        _deliver(session, gone, 2000)
        partly = an_order(session, [a_row(milli=4000), freight()], klarna=True)
        _deliver(session, partly, 1000)
        shares = orders.to_invoice(session, partly, delivered_only=True)
        a_document(session, partly, shares, type_=DocType.DELIVERY, state=DocState.ISSUED)
        ahead = an_order(session, [a_row(milli=4000)], klarna=True)
        _deliver(session, ahead, 1000)
        shares = orders.to_invoice(session, ahead, delivered_only=True)
        a_document(session, ahead, shares, type_=DocType.DELIVERY, state=DocState.ISSUED)
        _deliver(session, ahead, 2000)
        ending = an_order(session, [a_row()], klarna=True)
        ending.expires_at = clock.now() + timedelta(days=6)
        later = an_order(session, [a_row()], klarna=True)
        later.expires_at = clock.now() + timedelta(days=8)
        waiting = an_order(session, [a_row()], klarna=True)
        an_operation(session, waiting, OpState.PREPARED, document=a_document(session, waiting))
        refused = an_order(session, [a_row()], klarna=True)
        a_document(session, refused, state=DocState.REFUSED)
        off = an_order(session, [a_row()], klarna=True)
        off.klarna_status = KlarnaStatus.EXPIRED
        closed = an_order(session, [a_row()])
        closed.state = OrderState.CANCELLED
        unclear = an_order(session, [a_row()], klarna=True)
        an_operation(session, unclear, OpState.UNKNOWN, document=a_document(session, unclear))
        stopped = an_order(session, [a_row()], klarna=True)
        stopped.hold_reason, stopped.held_at = "FRAUD_STOPPED", clock.now()
        filed = an_order(session, [a_row()])
        filed.source, filed.source_key = "csv", "F-1"
        every = [fresh, gone, partly, ahead, ending, later, waiting, refused, off, closed, unclear, stopped, filed]
        for order in every:
            orders.refresh(session, order.id)
    expected = {
        "all": every,
        "to_deliver": [fresh, partly, ahead, ending, later, waiting, refused, unclear, stopped, filed],
        "back_orders": [partly, ahead],
        "not_invoiced": [gone, ahead],
        "partly_invoiced": [partly, ahead],
        "expiring": [ending],
        "held": [stopped],
        "waiting": [waiting, unclear],
        "refused": [refused],
        "cancelled": [closed],
        "icon-reserved": [fresh, gone, partly, ahead, ending, later, waiting, stopped],
        "icon-partly": [],
        "icon-captured": [],
        "icon-credited": [],
        "icon-refused": [refused],
        "icon-unknown": [unclear],
        "icon-cancelled": [off],
        "from-hand": [order for order in every if order is not filed],
        "from-klarna": [],
        "from-csv": [filed],
        "from-api": [],
    }
    for view in VIEWS:
        assert sorted(_shown(Filters(view))) == sorted(order.id for order in expected[view]), view
    with reading() as session:
        assert order_list.counts(session, Filters()) == {view: len(expected[view]) for view in VIEWS}


def test_pages_forth_and_back_show_every_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to a page: the few that fit are gathered and sorted, and many are walked through in their order."""
    with writing() as session:
        made = [an_order(session, [freight(4_900 + place % 5)], name="ABC"[place % 3]) for place in range(65)]
        for place, order in enumerate(made):
            order.ordered_at = clock.now() - timedelta(days=place % 7)
        keys: dict[str, dict[int, tuple[object, ...]]] = {
            "number": {order.id: (order.id,) for order in made},
            "date": {order.id: (order.ordered_at, order.id) for order in made},
            "customer": {order.id: (order.customer.name, order.customer_id, order.id) for order in made},
            "total": {order.id: (order.total_minor, order.id) for order in made},
        }
    for view, sort, descending, few in itertools.product(
        ("all", "from-hand", "not_invoiced"), keys, (True, False), (20_000, 10)
    ):
        monkeypatch.setattr(keyset, "SMALL", few)
        key = keys[sort]
        wanted = sorted(key, key=lambda each, key=key: key[each], reverse=descending)  # type: ignore[misc]
        filters = Filters(view=view, sort=sort, descending=descending)
        with reading() as session:
            first = order_list.listing(session, filters)
            second = order_list.listing(session, filters, first.older)
            third = order_list.listing(session, filters, second.older)
            back = order_list.listing(session, filters, third.newer)
            again = order_list.listing(session, filters, back.newer)
        assert [row.id for page in (first, second, third) for row in page.rows] == wanted, filters
        assert (first.newer, third.older) == (None, None)
        assert [row.id for row in back.rows] == [row.id for row in second.rows]
        assert [row.id for row in again.rows] == [row.id for row in first.rows]
        assert again.newer is None


@pytest.mark.parametrize(
    "mark", ["", "x", "o", "o1.2.3", "o-1", "o٣", "n" + "9" * 30, "o1.99999999999999999", "'; drop"]
)
def test_a_mark_that_is_not_ours_shows_the_first_page(mark: str) -> None:
    """Catalogue 19."""
    with writing() as session:
        order = an_order(session, [freight()])
    for sort in order_list.SORTS:
        assert order.id in _shown(Filters(sort=sort), mark) or mark == "o1.99999999999999999"


def test_a_size_that_is_not_offered_is_the_smallest() -> None:
    with writing() as session:
        for _ in range(31):
            an_order(session, [freight()])
    with reading() as session:
        assert len(order_list.listing(session, Filters(), limit=10**9).rows) == 30
        assert len(order_list.listing(session, Filters(), limit=50).rows) == 31


@pytest.mark.parametrize(
    "search", ["{number}", "W-99", "{reference}", "id-{account}", "Åsa B", "ås", "ÅSA B", "åsa berg"]
)
def test_an_order_is_found_by_its_numbers_and_the_customers_name(search: str) -> None:
    with writing() as session:
        order = an_order(session, [freight()], klarna=True, name="Åsa Berg", shop_number="W-99")
        an_order(session, [freight()], klarna=True, name="Bo Lind")
        reference = str(order.klarna_reference)
    text = search.format(number=order.number, reference=reference.lower(), account=reference[1:])
    assert _shown(Filters(search=text)) == [order.id]


def test_a_name_is_found_by_any_part_of_it_and_by_its_words_in_any_order() -> None:
    with writing() as session:
        first = an_order(session, [freight()], name="Åsa Bergström")
        second = an_order(session, [freight()], name="Bo Åsander")
        an_order(session, [freight()], name="Anna Lind")
    both = [second.id, first.id]
    found = {
        text: _shown(Filters(search=text)) for text in ("ÅSA", "bergSTR", "bergström åsa", "bo åsander", "Bo", "lund")
    }
    assert found == {
        "ÅSA": both, "bergSTR": [first.id], "bergström åsa": [first.id], "bo åsander": [second.id], "Bo": [second.id], "lund": [],
    }  # fmt: skip


def test_a_name_that_fits_very_many_shows_the_first_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "customers_named", partial(search.customers_named, most=2))
    with writing() as session:
        for _ in range(3):
            an_order(session, [freight()], name="Anna Lind")
    filters = Filters(search="Lind")
    assert len(_shown(filters)) == 2
    with reading() as session:
        assert not order_list.is_whole(session, filters)
        assert order_list.counts(session, filters)["all"] == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=200))
def test_no_search_makes_the_list_fall_over(search: str) -> None:
    """Catalogue 22."""
    with reading() as session:
        order_list.listing(session, Filters(search=search))
        order_list.counts(session, Filters(search=search))


@pytest.mark.parametrize("search", ["%", "_", "\\", "a%' OR 1=1 --"])
def test_the_signs_of_like_are_only_signs(search: str) -> None:
    with writing() as session:
        an_order(session, [freight()])
    assert _shown(Filters(search=search)) == []


def test_counting_stops_after_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_list, "COUNT_CAP", 2)
    with writing() as session:
        for _ in range(4):
            an_order(session, [freight()])
    with reading() as session:
        assert order_list.count(session, Filters()) == 3


def test_an_export_says_whether_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_list, "EXPORT_CAP", 2)
    with writing() as session:
        made = [an_order(session, [freight()]) for _ in range(3)]
    with reading() as session:
        rows, whole = order_list.export(session, Filters(descending=False))
        assert ([row.id for row in rows], whole) == ([order.id for order in made[:2]], False)


def test_a_page_costs_the_same_queries_however_many_rows() -> None:
    """Performance, goal 4."""
    asked: list[str] = []
    with writing() as session:
        an_order(session, [a_row()])
    sa.event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    _shown(Filters())
    few = len(asked)
    with writing() as session:
        for _ in range(40):
            an_order(session, [a_row(), freight()])
    asked.clear()
    with reading() as session:
        order_list.listing(session, Filters(), limit=50)
    assert len(asked) <= few


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("view", VIEWS)
def test_every_filter_walks_an_index_in_the_order_it_shows(view: str) -> None:
    """Performance, goal 3: no table is read through and, by number, nothing is sorted."""
    asked: list[tuple[str, object]] = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    _shown(Filters(view))
    statement, values = asked[0]
    with db.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    steps = [str(step[-1]) for step in plan]
    tables = ("customer", "sales_order_line", "document", "klarna_op", "delivery")
    assert not [step for step in steps if step.startswith("SCAN") and "USING" not in step and step.split()[1] in tables]
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
