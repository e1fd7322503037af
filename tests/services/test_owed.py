"""Who waits for whom: claims, returns and credit notes by age, sums per day, and what an order is to be invoiced (B9, F21)."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from models import Document, KlarnaDay, Order, Payout, PayoutRow, ReadingFile, RowMatch
from services import orders, owed, to_invoice, worklists
from services.worklists import WorkList
from states import DocKind, DocState, DocType, KlarnaStatus, OpState, PayoutState, Pile
from tests import builders
from tests.services.order_rows import a_document, a_row, an_operation, an_order

pytestmark = [pytest.mark.usefixtures("books"), pytest.mark.untrue_books]


def lists() -> dict[str, WorkList]:
    with reading() as session:
        return {each.name: each for each in worklists.today(session) if each.count}


def a_claim(session: Session, days: int, *, credit: bool = False) -> Document:
    """An invoice or a credit note, at Klarna and open, so many days old."""
    order = an_order(session, [a_row()], klarna=True)
    kind, type_ = (DocKind.CREDIT_NOTE, DocType.FREE_CREDIT) if credit else (DocKind.INVOICE, DocType.FINAL)
    shares = orders.to_invoice(session, order, delivered_only=False)
    day = clock.today() - timedelta(days=days)
    with patch.object(clock, "today", return_value=day):
        document = a_document(session, order, shares, kind=kind, type_=type_)
    operation = an_operation(session, order, OpState.CONFIRMED, document=document)
    document.issue_date, document.state, document.issued_by_op_id = day, DocState.ISSUED, operation.id
    document.open_minor = -(document.gross_minor or 0) if credit else document.gross_minor or 0
    orders.refresh(session, order.id)
    session.flush()
    return document


def a_return(session: Session, pile: Pile, document: Document | None = None) -> None:
    """A payout with one return, which belongs to this document or to none."""
    order = an_order(session, [a_row()], klarna=True)
    file = ReadingFile(sha256=str(order.id), source="upload", file_name="r", received_at=clock.now(), received_by="x")
    session.add(file)
    session.flush()
    payout = Payout(
        file_id=file.id, account_id=order.account_id, payment_reference=str(order.id), payout_date=clock.now(), currency="SEK",
        settlement_type="NEW", totals="{}", settlement_minor=-100, opening_debt_minor=0, closing_debt_minor=0, rows_hash="x",
        row_count=1, state=PayoutState.PARKED,
    )  # fmt: skip
    session.add(payout)
    session.flush()
    row = PayoutRow(
        payout_id=payout.id,
        row_no=1,
        row_key="1",
        type="RETURN",
        detailed_type="RETURN",
        amount_minor=-100,
        vat_minor=0,
    )
    session.add(row)
    session.flush()
    handled = {"handled_by": "x", "handled_at": clock.now(), "note": "x"} if pile is Pile.HANDLED else {}
    session.add(RowMatch(row_id=row.id, pile=pile, document_id=document.id if document else None, **handled))


def test_what_should_have_been_paid_out_is_work_after_thirty_days() -> None:
    """B9: «Aktiverat men inte utbetalt» and «Kreditfakturor utan återläsning»."""
    with writing() as session:
        old, note = a_claim(session, 30), a_claim(session, 45, credit=True)
        a_claim(session, 29)
        a_claim(session, 1, credit=True)
    found = lists()
    assert {name: each.count for name, each in found.items()} == {"unpaid": 1, "notes": 1}
    item = found["unpaid"].items[0]
    assert (item.document_id, item.amount_minor, item.day) == (old.id, 49_900, clock.today() - timedelta(days=30))
    assert (found["notes"].items[0].document_id, found["notes"].items[0].amount_minor) == (note.id, -49_900)
    with reading() as session:
        assert owed.klarna_owes(session) == {"SEK": 0}
        assert worklists.glance(session).waiting == 2


def test_a_return_that_nobody_here_knows_of_has_a_list_of_its_own() -> None:
    """B9: «Returer utan kreditfaktura»; it does not stand among the other rows, too."""
    with writing() as session:
        a_return(session, Pile.FAULTY)
        a_return(session, Pile.WARNING, a_claim(session, 0, credit=True))
        a_return(session, Pile.HANDLED)
    assert {name: each.count for name, each in lists().items()} == {"returns": 1, "rows": 1}


def test_claims_are_told_by_age() -> None:
    with writing() as session:
        for days in (0, 7, 8, 31, 400):
            a_claim(session, days)
        a_claim(session, 10, credit=True)
    with reading() as session:
        found = owed.ages(session)
    assert [(age.least, age.most, age.count) for age in found] == [
        (0, 7, 2), (8, 14, 1), (15, 30, 0), (31, 60, 1), (61, None, 1),
    ]  # fmt: skip
    assert sum(age.minor for age in found) == 5 * 49_900


def test_each_day_is_summed_as_documents_are_issued() -> None:
    """Performance, goal 9: the start page adds up no documents; flask verify does (X8)."""
    with writing() as session:
        for days in (0, 0, 3):
            a_claim(session, days)
        a_claim(session, 0, credit=True)
        plain = a_claim(session, 0)
        assert plain.state is DocState.ISSUED
    today = clock.today()
    with reading() as session:
        sums = {row.day: (row.activated_minor, row.credited_minor) for row in session.scalars(sa.select(KlarnaDay))}
    assert sums == {today: (3 * 49_900, 49_900), today - timedelta(days=3): (49_900, 0)}


def test_weeks_begin_on_monday_and_payouts_stand_beside_what_was_activated() -> None:
    monday = clock.today() - timedelta(days=clock.today().weekday())
    with writing() as session:
        a_claim(session, (clock.today() - monday).days)
        a_claim(session, (clock.today() - monday).days + 1)
        a_claim(session, 7 * owed.WEEKS + 7)
        a_return(session, Pile.HANDLED)
        payout = session.scalars(sa.select(Payout)).one()
        payout.payout_date = datetime.combine(monday, time(0, 30), clock.LOCAL)
    with reading() as session:
        found = owed.weeks(session)
    assert len(found) == owed.WEEKS
    assert [(week.starts, week.activated_minor, week.paid_minor) for week in found[-2:]] == [
        (monday - timedelta(weeks=1), 49_900, 0),
        (monday, 49_900, -100),
    ]


def test_delivered_goods_are_shown_with_what_their_invoice_would_be_on(books: Flask, klarna, sandbox) -> None:
    """F21: not with what is left of the whole reservation."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna, lines=3)
        rows = [line.id for line in order.lines]
        builders.a_delivery(session, order, {rows[0]: 1000})
        whole = builders.an_order(session, sandbox, klarna, lines=2)
        builders.a_delivery(session, whole)
    with reading() as session:
        fresh = {each.id: orders.get(session, each.id) for each in (order, whole)}
        wanted = {
            key: sum(share.gross_minor for share in orders.to_invoice(session, each, delivered_only=True))
            for key, each in fresh.items()
        }
        assert to_invoice.amounts(session, list(wanted)) == wanted
        assert to_invoice.amounts(session, []) == {}
    found = {item.order_id: item.amount_minor for item in lists()["to_invoice"].items}
    assert found == wanted
    assert 0 < wanted[order.id] < orders.total(fresh[order.id])


def test_an_order_with_nothing_left_or_a_refused_invoice_is_not_to_be_invoiced(books: Flask, klarna, sandbox) -> None:
    """Captured in the portal, there is nothing to claim; refused, it stands among the refused and nowhere else."""
    with writing() as session:
        orders_ = [builders.an_order(session, sandbox, klarna) for _ in range(3)]
        for order in orders_:
            builders.a_delivery(session, order)
        done, refused, _ = orders_
        captured = session.get_one(Order, done.id)
        captured.remaining_minor, captured.klarna_status = 0, KlarnaStatus.CAPTURED
        a_document(session, session.get_one(Order, refused.id), state=DocState.REFUSED)
        orders.refresh(session, refused.id)
    found = lists()
    assert [item.order_id for item in found["to_invoice"].items] == [orders_[2].id]
    assert found["refused"].count == 1
