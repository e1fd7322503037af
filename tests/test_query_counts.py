"""A page asks as many questions for fifty rows as for five, and a list looks into an index (docs/performance.md, goals 3 and 4).

Only SQLite is asked: the questions are the same on both databases, and its plans are the ones that were chosen by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import web
from db import db, reading, writing
from klarna_sandbox.control import Control
from models import Document, Payout
from services import (
    credit_drafts,
    document_list,
    keyset,
    offsets,
    order_list,
    orders,
    owed_lists,
    settlements,
    worklists,
)
from services.gateway import Gateway
from states import DocKind, DocState
from tests import plans
from tests.builders import FINANCE, a_captured_invoice, a_delivery, an_account, an_invoice, an_order, row
from tests.services import order_rows
from tests.web_client import WebClient

# Documents are put in by hand here, since fifty of them are asked for and none is looked at.
pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.untrue_books]

FEW, MANY = 5, 50
TYPED, CAPTURE = 18, 150
"""Statements of a key typed into a draft, and of a whole capture."""


@pytest.fixture(autouse=True)
def _the_top_bar_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figure is asked for every five seconds, by whichever page comes then."""
    monkeypatch.setattr(web, "GLANCE_SECONDS", 1000.0)


def questions(client: WebClient, path: str) -> int:
    """How many statements the page sends, once everything that is kept has been looked up."""
    client.get(path)
    with plans.sent_to(db.engine) as sent:
        page = client.get(path)
    assert page.status == 200
    return len(sent)


def rows(count: int) -> list[Any]:
    return [row(f"T-shirt {n}", 9_900 + n, pieces=2) for n in range(count)]


def issued(count: int) -> None:
    """So many orders with an invoice each."""
    with writing() as session:
        for n in range(count):
            order = order_rows.an_order(
                session, [order_rows.a_row(), order_rows.freight()], klarna=True, name=f"Kund {n}"
            )
            shares = orders.to_invoice(session, order, delivered_only=False)
            document = order_rows.a_document(session, order, shares, state=DocState.ISSUED)
            order_rows.an_operation(session, order, order_rows.OpState.CONFIRMED, document=document)
            document.open_minor = document.gross_minor or 0
            orders.refresh(session, order.id)


# --- As many questions for fifty rows as for five ------------------------------------------------------------------------


def test_the_order_page_asks_no_more_for_more_rows(client: WebClient, klarna: Gateway, sandbox: Control) -> None:
    client.log_in("clerk")
    asked = []
    for count in (FEW, MANY):
        invoice = a_captured_invoice(klarna, sandbox, lines=rows(count))
        asked.append(questions(client, f"/orders/{invoice.order_id}"))
    assert asked[0] == asked[1] > 0


def test_an_order_with_many_deliveries_asks_no_more(client: WebClient, klarna: Gateway, sandbox: Control) -> None:
    client.log_in("clerk")
    asked = []
    for count in (1, 10):
        with writing() as session:
            order = an_order(session, sandbox, klarna, lines=rows(10))
            for line in order.lines[:count]:
                a_delivery(session, order, {line.id: 1000})
        asked.append(questions(client, f"/orders/{order.id}"))
    assert asked[0] == asked[1]


@pytest.mark.parametrize("path", ["/orders?rows=50", "/invoices?view=all&rows=50"])
def test_a_list_asks_no_more_for_more_rows(client: WebClient, path: str) -> None:
    client.log_in("clerk")
    issued(FEW)
    few = questions(client, path)
    issued(MANY - FEW)
    assert questions(client, path) == few


def test_the_credit_page_asks_no_more_for_more_rows(client: WebClient, klarna: Gateway, sandbox: Control) -> None:
    client.log_in("finance")
    asked = []
    for count in (FEW, MANY):
        invoice = a_captured_invoice(klarna, sandbox, lines=rows(count))
        with writing() as session:
            draft_id = credit_drafts.start(session, FINANCE, invoice.id).id
        asked.append(questions(client, f"/credit-notes/{draft_id}"))
    assert asked[0] == asked[1]


def test_a_quantity_typed_into_a_draft_asks_no_more_for_more_rows(
    client: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """Goal 11: what no key can change is not asked for: who else is here, other drafts, warehouses."""
    client.log_in("clerk")
    asked = []
    for count in (FEW, MANY):
        invoice = a_captured_invoice(klarna, sandbox, lines=rows(count))
        with writing() as session:
            draft = credit_drafts.start(session, FINANCE, invoice.id)
            draft_id, line_id = draft.id, draft.lines[0].id
        client.get(f"/credit-notes/{draft_id}")
        with plans.sent_to(db.engine) as sent:
            page = client.submit(f"#row-{line_id}", **{f"quantity-{line_id}": "1"}, htmx="note")
        assert page.status == 200
        asked.append(len(sent))
    assert asked[0] == asked[1] <= TYPED, asked


def test_a_capture_asks_for_each_thing_as_often_as_it_can_have_changed(
    client: WebClient, klarna: Gateway, sandbox: Control
) -> None:
    """Each statement holds the only writer of SQLite a little longer: a look is kept once, and the order's copies are made anew
    where something has changed, not at the end of every transaction."""
    asked = []
    for count in (1, 10):
        with writing() as session:
            order = an_order(session, sandbox, klarna, lines=rows(count))
            a_delivery(session, order)
        with plans.sent_to(db.engine) as sent:
            an_invoice(klarna, order)
        asked.append(len(sent))
        refreshed = [each for each, _ in sent if each.startswith("UPDATE sales_order SET") and "changed_at" in each]
        kept = [each for each, _ in sent if each.startswith("UPDATE sales_order SET") and "klarna_read_at" in each]
        assert (len(refreshed), len(kept)) == (3, 2), "at T1, at T3, and when Klarna's own figures are fetched"
    assert max(asked) <= CAPTURE, asked


def test_the_settlement_page_asks_no_more_for_more_rows(client: WebClient, klarna: Gateway, sandbox: Control) -> None:
    client.log_in("finance")
    with writing() as session:
        account = an_account(session, sandbox, klarna)
    asked = []
    for count in (FEW, MANY):
        for _ in range(count):
            with writing() as session:
                order = an_order(session, sandbox, klarna, account=account)
                shares = orders.to_invoice(session, order, delivered_only=False)
                document = order_rows.a_document(session, order, shares, state=DocState.ISSUED)
                document.open_minor = document.gross_minor or 0
            sandbox.portal_capture(order.klarna_order_id or "", reference=document.number_text)
        (made,) = sandbox.pay_out()
        settlements.fetch_all(klarna, FINANCE)
        with reading() as session:
            found = session.scalars(
                sa.select(Payout).where(Payout.payment_reference == made["payment_reference"])
            ).one()
        assert found.row_count >= count
        asked.append(max(questions(client, f"/settlements/{found.id}?pile={pile}") for pile in ("matched", "warning")))
    assert asked[0] == asked[1]


# --- Lists look into an index --------------------------------------------------------------------------------------------

WALKS = "a walk in the order of the page"
ORDER_INDEXES = {
    "all": WALKS,
    "to_deliver": "ix_sales_order_work",
    "back_orders": "ix_sales_order_work",
    "not_invoiced": "ix_sales_order_work",
    "partly_invoiced": "ix_sales_order_work",
    "expiring": "ix_sales_order_klarna_status_expires_at",
    "held": "ix_sales_order_held",
    "waiting": "uq_klarna_op_open_",
    "refused": "ix_document_state_kind",
    "cancelled": "ix_sales_order_cancelled",
    **dict.fromkeys(order_list.GROUPS["klarna"], "ix_sales_order_icon_"),
    **dict.fromkeys(order_list.GROUPS["source"], "ix_sales_order_source_"),
}
SORT_INDEXES = {
    "basis": "ix_document_listed_basis_id",
    "date": "ix_document_listed_on_id",
    "method": "ix_document_listed_method_id",
    "customer": "ix_customer_name",
    "type": "ix_document_type_id",
    "claim": "ix_document_open_minor_id",
    "paid": "ix_document_listed_paid_id",
    "klarna": "ix_document_listed_klarna_id",
}
DOCUMENT_INDEXES = {
    (None, "open"): "ix_document_open",
    (None, "all"): WALKS,
    (None, "paid"): WALKS,
    (None, "overpaid"): "ix_document_open",
    (None, "waiting"): "ix_document_state_kind",
    (None, "refused"): "ix_document_state_kind",
    (DocKind.CREDIT_NOTE, "all"): WALKS,
    (DocKind.CREDIT_NOTE, "drafts"): "ix_document_state_kind",
    (DocKind.CREDIT_NOTE, "approval"): "ix_document_state_kind",
    (DocKind.CREDIT_NOTE, "open"): "ix_document_",
    (DocKind.CREDIT_NOTE, "waiting"): "ix_document_state_kind",
    (DocKind.CREDIT_NOTE, "refused"): "ix_document_state_kind",
    (DocKind.CREDIT_NOTE, "without"): "ix_document_without",
}
"""What each filter is found by. A filter that few of all documents fit must not be a walk: it would not end at its page."""


def sent_by(work: Callable[[Session], object]) -> list[plans.Sent]:
    with plans.sent_to(db.engine) as sent, reading() as session:
        work(session)
    assert sent
    return sent


def check(work: Callable[[Session], object], index: str = WALKS) -> None:
    """The list keeps its rules, and the question for its rows looks into this index."""
    sent = sent_by(work)
    assert plans.faults(db.engine, sent) == []
    if index != WALKS:
        lines = [line for each in sent for line in plans.plan(db.engine, each)]
        assert any(index in line for line in lines), lines


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("sort", order_list.SORTS)
@pytest.mark.parametrize("view", order_list.VIEWS)
def test_every_filter_and_sort_of_the_order_list_is_found_by_an_index(view: str, sort: str) -> None:
    with writing() as session:
        place = order_rows.an_order(session, [order_rows.a_row()], klarna=True).id
    for descending in (True, False):
        for after in (None, f"o{place}"):
            filters = order_list.Filters(view=view, sort=sort, descending=descending)
            check(partial(order_list.listing, filters=filters, after=after), ORDER_INDEXES[view])


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("sort", [sort for sort in order_list.SORTS if sort != "expires"])
def test_an_order_filter_that_very_many_fit_is_walked_in_the_order_asked_for(
    sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own index would have to be read to the end and sorted."""
    monkeypatch.setattr(keyset, "SMALL", -1)
    for view in order_list.VIEWS:
        for after in (None, "o1"):
            filters = order_list.Filters(view=view, sort=sort)
            walks = [
                each
                for each in sent_by(partial(order_list.listing, filters=filters, after=after))
                if "AS k0" in each[0]
            ]
            assert walks
            if order_list._walks(filters):
                continue  # by ways, each a walk of its own, put together afterwards
            for each in walks:
                assert not [line for line in plans.plan(db.engine, each) if "TEMP B-TREE" in line], view


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("kind", "view"), [(kind, view) for kind, views in document_list.VIEWS.items() for view in views]
)
def test_every_filter_of_the_document_lists_is_found_by_an_index(kind: DocKind | None, view: str) -> None:
    for after in (None, "o500"):
        filters = document_list.Filters(kind=kind, view=view)
        listing = partial(document_list.listing, filters=filters, after=after)
        check(listing, DOCUMENT_INDEXES[kind, view])


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("sort", SORT_INDEXES)
def test_all_documents_are_sorted_by_an_index(sort: str) -> None:
    """B11: by every column."""
    for descending in (True, False):
        filters = document_list.Filters(view="all", sort=sort, descending=descending)
        check(partial(document_list.listing, filters=filters), SORT_INDEXES[sort])


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("field", document_list.FIELDS)
def test_every_field_of_the_search_looks_into_an_index(field: str) -> None:
    """B12: whatever filter and range of days stand beside it."""
    for kind in document_list.VIEWS:
        for view in document_list.VIEWS[kind]:
            filters = document_list.Filters(
                kind, view, starts=date(2026, 1, 1), ends=date(2026, 12, 31), fields=((field, "42580"),)
            )
            check(partial(document_list.listing, filters=filters))
            check(partial(document_list.counts, filters=filters))


@pytest.mark.usefixtures("books")
def test_a_range_of_days_looks_into_an_index() -> None:
    for view in document_list.VIEWS[None]:
        filters = document_list.Filters(view=view, sort="date", starts=date(2026, 1, 1), ends=date(2026, 1, 31))
        check(partial(document_list.listing, filters=filters))
        check(partial(document_list.counts, filters=filters))
    check(
        partial(document_list.listing, filters=document_list.Filters(view="all", sort="date", starts=date(2026, 1, 1))),
        "ix_document_listed_on_id",
    )


@pytest.mark.usefixtures("books")
def test_every_count_is_capped_and_found_by_an_index() -> None:
    check(lambda session: order_list.counts(session, order_list.Filters()))
    for kind in document_list.VIEWS:
        check(partial(document_list.counts, filters=document_list.Filters(kind=kind)))
    check(worklists.glance)
    check(worklists.today)


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("search", ["1500", "W-1500", "K1A2B3C", "Björk", "0b4a4b9e-2c31-4a53-9d0c-6f2f0b8f3f8e"])
def test_every_search_looks_into_indexes(search: str) -> None:
    check(lambda session: order_list.listing(session, order_list.Filters(search=search)))
    for kind in document_list.VIEWS:
        check(partial(document_list.listing, filters=document_list.Filters(kind=kind, view="all", search=search)))


@pytest.mark.usefixtures("books")
def test_a_settlement_and_its_list_are_found_by_an_index() -> None:
    check(lambda session: settlements.listing(session, settlements.Filters()))
    check(lambda session: settlements.document_rows(session, 1, settlements.PILES[0]))
    check(lambda session: settlements.rows_of_document(session, 1))


@pytest.mark.usefixtures("books")
def test_pairs_to_offset_and_what_klarna_owes_are_found_by_an_index() -> None:
    check(offsets.proposed)
    check(lambda session: offsets.proposed(session, "42580"))
    check(lambda session: offsets.partners_of(session, 1))
    check(lambda session: offsets.made(session, "42580"))
    for name in ("unpaid", "notes"):
        check(lambda session, name=name: owed_lists.listed(session, name))


def test_the_rules_catch_what_they_are_for(books: Flask) -> None:
    """The control of the tests above."""
    numbers = sa.select(Document.id).where(Document.created_by == "x")
    bad = {
        "SCAN document": numbers.order_by(Document.changed_at).limit(5),
        "OFFSET": numbers.order_by(Document.id).limit(5).offset(20),
        "count without a cap": sa.select(sa.func.count()).select_from(Document),
    }
    for word, query in bad.items():
        found = plans.faults(db.engine, sent_by(lambda session, query=query: session.execute(query).all()))
        assert any(word in fault for fault in found)
    good = sa.select(Document.id).order_by(Document.id.desc()).limit(5)
    assert not plans.faults(db.engine, sent_by(lambda session: session.execute(good).all()))
