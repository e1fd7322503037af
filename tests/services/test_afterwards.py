"""The history of a document goes on after its issue, and adds up to what is open of it (screens, invoice page; B1, B7, K49)."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, transact, writing
from errors import Refusal
from klarna_sandbox.control import Control
from models import Document, Order, RowPlacing
from services import afterwards, credit_notes, document_page, offsets, order_history, outbox, payments, settlement_moves
from services.afterwards import Happened, What
from services.gateway import Gateway
from services.goods_returns import Typed
from services.payments import Wanted
from states import Condition
from tests.builders import CLERK, FINANCE, the_document
from tests.services.settlement_parts import a_sale, booked, fees, rows_of
from tests.services.test_goods_returns import a_note, receive
from tests.services.test_offsets import offset, ordinary, sold
from tests.services.test_settlement_moves import move

__all__ = ("sold",)

pytestmark = pytest.mark.usefixtures("books")


def history(document: Document) -> list[tuple[What, int | None, str]]:
    """What happened, the oldest first; and it adds up to what is open."""
    with reading() as session:
        found = [each.after for each in document_page.overview(session, FINANCE, document.id).events if each.after]
    now = the_document(document.id)
    sign = 1 if now.kind == "invoice" else -1
    assert sum(each.amount_minor or 0 for each in found) == (now.gross_minor or 0) - sign * now.open_minor
    return [(each.what, each.amount_minor, each.name) for each in reversed(found)]


def of_order(document: Document) -> list[Happened]:
    with reading() as session:
        events = order_history.events(session, session.get_one(Order, document.order_id or 0))
        return [each.after for each in events if each.after is not None]


def test_the_payouts_that_settle_a_sale_and_its_credit_are_told(klarna: Gateway, sandbox: Control, sold: Any) -> None:
    """B1, K48: each with its reference, its amount and the reading it stands in; the order tells both."""
    invoice, note = sold
    payout = booked(klarna, sandbox)
    assert history(invoice) == [(What.PAYOUT, 2_435_00, payout.payment_reference)]
    assert history(note) == [(What.PAYOUT, 499_00, payout.payment_reference)]
    told = of_order(invoice)
    assert {(each.document_number, each.payout_id) for each in told} == {(each.number_text, payout.id) for each in sold}


def test_a_payment_and_its_taking_back_are_told_with_who_and_why(klarna: Gateway, sandbox: Control) -> None:
    """B7, B8, E14: more than was due, the surplus booked away, all taken back."""
    (invoice, _note) = ordinary(klarna, 1_000_00)
    with writing() as session:
        typed = Wanted(400_00, clock.today(), 1930, "delbetalning")
        made = payments.register(session, FINANCE, invoice.id, "1" * 32, typed)
    with writing() as session:
        payments.take_back(session, FINANCE, invoice.id, made, "fel faktura")
    assert history(invoice) == [(What.PAYMENT, 400_00, ""), (What.PAYMENT, -400_00, "")]
    with reading() as session:
        back, paid = afterwards.of_document(session, invoice.id)
    assert (paid.who, paid.detail, paid.taken_back) == (FINANCE.name, "delbetalning", False)
    assert (back.taken_back, back.amount_minor, back.detail) == (True, -400_00, "fel faktura")
    assert paid.voucher_id and back.voucher_id and paid.voucher_id != back.voucher_id, "each leads to its own voucher"


def test_an_offset_names_the_other_document_on_both_and_so_does_its_end(klarna: Gateway) -> None:
    """K49: with the override's reason where there was one."""
    pair = invoice, note = ordinary(klarna, 1_000_00)
    made = offset(pair)
    with writing() as session:
        offsets.take_back(session, FINANCE, made, "ångrat")
    names = {invoice.id: note.number_text, note.id: invoice.number_text}
    for each in pair:
        assert history(each) == [
            (What.OFFSET, 1_000_00, names[each.id]),
            (What.OFFSET, -1_000_00, names[each.id]),
        ]
    with reading() as session:
        told = afterwards.of_document(session, note.id)
    assert {each.other_id for each in told} == {invoice.id} and {each.detail for each in told} == {"", "ångrat"}
    assert [(each.document_id, each.other_id) for each in of_order(invoice)] == [(invoice.id, note.id)] * 2, "once each"


def test_a_row_that_is_moved_is_told_where_it_left_and_where_it_came(klarna: Gateway, sandbox: Control) -> None:
    """B4."""
    fees(sandbox, 0)
    paid, other = (a_sale(klarna, sandbox, 300_00) for _ in range(2))
    payout = booked(klarna, sandbox)
    rows = {match.document_id: row.id for row, match in rows_of(payout)}
    assert history(paid) == [(What.PAYOUT, 300_00, payout.payment_reference)]
    move(rows[other.id], None, other.id)
    assert history(other)[-1] == (What.ROW_MOVED, -300_00, payout.payment_reference)
    row_id = rows[other.id]
    with writing() as session:
        placing = session.scalars(sa.select(RowPlacing.id).where(RowPlacing.row_id == row_id)).one()
        settlement_moves.take_back(session, FINANCE, row_id, placing, "ångrat: fel")
    assert history(other)[-1] == (What.ROW_MOVED, 300_00, payout.payment_reference)
    with reading() as session:
        moved = [each for each in afterwards.of_document(session, other.id) if each.what is What.ROW_MOVED]
    assert [(each.row_id, each.detail) for each in moved] == [(row_id, "ångrat: fel"), (row_id, "fel faktura")]


def test_a_credit_note_that_is_reversed_says_so(klarna: Gateway) -> None:
    """I11."""
    _invoice, note = ordinary(klarna, 1_000_00)
    with writing() as session:
        credit_notes.reverse(session, FINANCE, note.id, "fel kund")
    with reading() as session:
        (told,) = afterwards.of_document(session, note.id)
    assert (told.what, told.amount_minor, told.taken_back) == (What.REVERSED, 1_000_00, True)
    assert told.detail == "fel kund"


def test_mails_that_went_or_failed_are_told_without_an_address(klarna: Gateway) -> None:
    """F18, security 4: who may not see addresses reads the same history."""
    invoice, _note = ordinary(klarna, 1_000_00)
    with writing() as session:
        outbox.queue_mail(session, CLERK, session.get_one(Document, invoice.id), "kund@example.com")
        outbox.queue_mail(session, CLERK, session.get_one(Document, invoice.id), "fel@example.com")
    assert history(invoice) == []
    with reading() as session:
        first, second = outbox.due(session)
    for job_id, good in ((first, True), (second, False)):
        job = transact(lambda session, job_id=job_id: outbox.take(session, job_id))
        assert job is not None
        if good:
            transact(lambda session, job=job: outbox.sent(session, job))
        else:
            transact(lambda session, job=job: outbox.failed(session, job, Refusal("550"), for_good=True))
    assert {each[0] for each in history(invoice)} == {What.MAIL_SENT, What.MAIL_GIVEN_UP}
    assert "example.com" not in repr(of_order(invoice))
    with writing() as session:
        outbox.drop(session, CLERK, second)
    assert {each[0] for each in history(invoice)} == {What.MAIL_SENT, What.MAIL_DROPPED}


def test_goods_that_come_later_are_told_row_by_row(klarna: Gateway, sandbox: Control) -> None:
    """K24: how many, in what condition, and a word of who took them in."""
    note_id, (shirts, mugs) = a_note(klarna, sandbox, CLERK)
    receive(CLERK, note_id, {shirts: Typed("2", "whole"), mugs: Typed("0", "never")}, note="utan låda")
    note = the_document(note_id)
    assert {each[2] for each in history(note)} == {"T-shirt", "Mugg"}
    told = {each.name: each for each in of_order(note)}
    assert (told["T-shirt"].quantity_milli, told["T-shirt"].condition) == (2000, Condition.WHOLE)
    assert told["Mugg"].condition is Condition.NEVER and told["T-shirt"].detail == "utan låda"
