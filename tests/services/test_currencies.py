"""The books are kept in kronor: what is in another currency is neither sent nor booked, and says so (catalogue row 69)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from klarna_sandbox.control import Control
from models import Account, Document, KlarnaBreak, NumberSeries, Order, Payout, PayoutRow, Push, RowMatch, Voucher
from services import (
    adoption,
    closing,
    credit_drafts,
    delivery_page,
    incoming,
    invoice_form,
    ledger,
    payments,
    pushes,
    reservations,
    settlement_booking,
    settlement_foreign,
    settlement_rows,
    settlements,
    settling,
)
from services.adoption_form import form as adoption_form
from services.adoption_rows import Wish
from services.incoming import Buyer, IncomingOrder
from services.incoming_rows import Row
from states import BreakKind, DocState, LineKind, PayoutState, Pile, WithoutKlarna
from tests.builders import (
    CLERK,
    FINANCE,
    a_captured_invoice,
    a_delivery,
    a_money_form,
    an_account,
    an_invoice,
    an_order,
    books_kept_in,
    the_document,
)
from tests.services.settlement_parts import csv_of, payout_of, rows_of, upload
from tests.services.test_klarna_orders import a_purchase
from tests.services.test_reservations import count, draft_of, one_order

pytestmark = pytest.mark.usefixtures("books")


def in_euro(klarna: Any, sandbox: Control | None) -> Order:
    """An order in euro, delivered, as it stands in books that took such orders in."""
    with writing() as session:
        order = an_order(session, sandbox, klarna, currency="EUR")
        a_delivery(session, order)
        return order


def invoiced_in_euro(klarna: Any, sandbox: Control) -> Document:
    """An invoice in euro, activated and booked by books that did so."""
    with books_kept_in("EUR"):
        return a_captured_invoice(klarna, sandbox, currency="EUR")


def numbers() -> list[tuple[str, int]]:
    with reading() as session:
        return [
            tuple(row)
            for row in session.execute(sa.select(NumberSeries.code, NumberSeries.next_no).order_by(NumberSeries.code))
        ]


# --- Before Klarna is asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paid_by", ["klarna", "invoice"])
def test_an_order_in_another_currency_is_neither_sent_nor_numbered(klarna: Any, sandbox: Control, paid_by: str) -> None:
    order = in_euro(klarna, sandbox if paid_by == "klarna" else None)
    before = numbers()
    with pytest.raises(Refusal, match="in EUR, and the books are kept in kronor"):
        an_invoice(klarna, order)
    assert numbers() == before and count(Document) == count(Voucher) == 0
    assert sandbox.posts(operation="create_capture") == []


def test_its_pages_say_so_before_anything_is_pressed(klarna: Any, sandbox: Control) -> None:
    """F3: delivery is a fact and may be written down; the invoice cannot follow."""
    order = in_euro(klarna, sandbox)
    with reading() as session:
        step = invoice_form.last_step(session, CLERK, order.id)
        sheet = delivery_page.sheet(session, CLERK, order.id)
    assert step.refusal is not None and "The order is in %(currency)s" in step.refusal.message
    assert sheet.no_invoice is not None and "The order is in %(currency)s" in sheet.no_invoice.message


def test_an_invoice_in_another_currency_is_not_credited(klarna: Any, sandbox: Control) -> None:
    invoice = invoiced_in_euro(klarna, sandbox)
    with pytest.raises(Refusal, match="The order is in EUR"):
        draft_of(CLERK, invoice)


@pytest.mark.parametrize("without_klarna", [False, True], ids=["with Klarna", "without"])
def test_a_draft_from_before_is_not_created(klarna: Any, sandbox: Control, without_klarna: bool) -> None:
    invoice = invoiced_in_euro(klarna, sandbox)
    with books_kept_in("EUR"):
        draft_id, total = draft_of(FINANCE, invoice)
    with writing() as session:
        draft = credit_drafts.get_draft(session, FINANCE, draft_id)
        draft.with_klarna = not without_klarna
        draft.without_klarna_reason = WithoutKlarna.CREDITED_IN_PORTAL if without_klarna else None
    before = numbers()
    with pytest.raises(Refusal, match="in EUR, and the books are kept in kronor"):
        reservations.credit(klarna, FINANCE, draft_id, a_money_form(total), portal_confirmed=without_klarna)
    assert numbers() == before and the_document(draft_id).state is DocState.DRAFT
    assert sandbox.posts(operation="create_refund") == []


def refused(klarna: Any, sandbox: Control, currency: str) -> Document:
    with books_kept_in(currency):
        order = in_euro(klarna, sandbox) if currency == "EUR" else one_order(klarna, sandbox)
        sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED", times=1)
        document = an_invoice(klarna, order)
    assert document.state is DocState.REFUSED
    return document


def try_again(klarna: Any, sandbox: Control, document: Document) -> None:
    asked = len(sandbox.posts(operation="create_capture"))
    try:
        reservations.retry(klarna, CLERK, document.id, a_money_form(document.gross_minor or 0))
    finally:
        assert len(sandbox.posts(operation="create_capture")) == asked
        assert the_document(document.id).state is DocState.REFUSED


def test_a_refused_document_in_another_currency_is_not_tried_again(klarna: Any, sandbox: Control) -> None:
    """F25: what could not be booked is not sent."""
    document = refused(klarna, sandbox, "EUR")
    with pytest.raises(Refusal, match="in EUR, and the books are kept in kronor"):
        try_again(klarna, sandbox, document)


def test_a_refused_document_is_not_tried_again_on_an_account_that_is_closed(klarna: Any, sandbox: Control) -> None:
    """F25, A11: the books have changed since its first attempt."""
    document = refused(klarna, sandbox, "SEK")
    with writing() as session:
        sales = ledger.sales_account(session, 2500, LineKind.ARTICLE, clock.today())
        session.execute(sa.update(Account).where(Account.number == sales).values(active=False))
    with pytest.raises(Refusal, match="is closed"):
        try_again(klarna, sandbox, document)


# --- Nothing is booked --------------------------------------------------------------------------------------------------


def test_the_books_refuse_it_whoever_asks() -> None:
    entries = [ledger.Entry(6570, 1_00), ledger.Entry(1930, -1_00)]
    with writing() as session, pytest.raises(Refusal, match="in EUR, and the books are kept in kronor"):
        ledger.post(
            session,
            FINANCE,
            series="I",
            day=clock.today(),
            text="i euro",
            source="euro",
            currency="EUR",
            entries=entries,
        )
    assert count(Voucher) == 0


def test_what_was_booked_before_can_be_reversed() -> None:
    """A7: a correction is the exact negation, in the currency of what it corrects."""
    entries = [ledger.Entry(6570, 1_00), ledger.Entry(1930, -1_00)]
    with books_kept_in("EUR"), writing() as session:
        made = ledger.post(
            session,
            FINANCE,
            series="I",
            day=clock.today(),
            text="i euro",
            source="euro",
            currency="EUR",
            entries=entries,
        )
    with writing() as session:
        back = ledger.reverse(
            session, FINANCE, session.get_one(Voucher, made.id), day=clock.today(), text="rättelse", source="tillbaka"
        )
        assert back.currency == "EUR"


def test_a_payment_by_hand_of_another_currency_is_refused(klarna: Any, sandbox: Control) -> None:
    """B7: its amount is no kronor."""
    invoice = invoiced_in_euro(klarna, sandbox)
    wanted = payments.Wanted(invoice.gross_minor or 0, clock.today(), 1930, "betald till oss")
    with writing() as session, pytest.raises(Refusal, match="in EUR, and the books are kept in kronor"):
        payments.register(session, FINANCE, invoice.id, "1" * 32, wanted)


def test_what_was_activated_elsewhere_is_not_adopted_but_explained(klarna: Any, sandbox: Control) -> None:
    """B20, operations 13."""
    order = in_euro(klarna, sandbox)
    sandbox.portal_capture(order.klarna_order_id or "")
    look = reservations.look_at(klarna, order.id)
    with reading() as session:
        (found,) = session.scalars(sa.select(KlarnaBreak.id).where(KlarnaBreak.kind == BreakKind.CAPTURE_UNKNOWN))
        shown = adoption_form(session, found, look)
    assert shown.refusal is not None and shown.refusal.values["currency"] == "EUR"
    with pytest.raises(Refusal, match="in EUR, and the books are kept in kronor"):
        adoption.adopt(klarna, FINANCE, found, Wish(), secrets.token_hex(16))
    assert count(Document) == count(Voucher) == 0
    with writing() as session:
        settling.explain(session, FINANCE, found, "", "bokförd i annat program", secrets.token_hex(16))


# --- The doors ----------------------------------------------------------------------------------------------------------


def test_no_order_in_another_currency_is_taken_in() -> None:
    """B14, B16."""
    wanted = IncomingOrder("api", Buyer("Kund AB"), (Row("Tröja", 1000, 100_00, 2500),), currency="EUR")
    with writing() as session, pytest.raises(BadInput, match="Nothing has been taken in") as no:
        incoming.take(session, CLERK, wanted)
    assert no.value.field == "currency" and count(Order) == 0


def test_what_klarna_pushes_in_another_currency_waits_for_a_person(klarna: Any, sandbox: Control) -> None:
    """B15: the customer has bought, so it is not lost from sight; it can be laid aside with a reason."""
    with writing() as session:
        account = an_account(session, sandbox, klarna)
        pushes.hear(session, account, pushes.ORDER, a_purchase(sandbox, purchase_currency="EUR"))
    pushes.run(klarna)
    with reading() as session:
        (waits,) = pushes.waiting(session)
        assert session.scalars(sa.select(Push.next_run_at)).one() is None
    assert count(Order) == 0
    assert waits.why is not None and waits.why.values["currency"] == "EUR"
    with writing() as session:
        pushes.set_aside(session, CLERK, waits.id, "sköts i annat program")
    with reading() as session:
        assert pushes.count_waiting(session) == 0


# --- Payouts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def paid_in_euro(klarna: Any, sandbox: Control) -> Payout:
    """A payout in euro that has been read in: a sale of an invoice from before, and one of nobody's."""
    invoiced_in_euro(klarna, sandbox)
    sandbox.order(mid="K000001", order_amount=300_00, purchase_currency="EUR", captures=[{"captured_amount": 300_00}])
    (made,) = sandbox.pay_out()
    upload(klarna, csv_of(sandbox, made))
    return payout_of(made)


def piles(payout: Payout) -> set[Pile]:
    with reading() as session:
        rows = sa.select(RowMatch.pile).join(PayoutRow, PayoutRow.id == RowMatch.row_id)
        return set(session.scalars(rows.where(PayoutRow.payout_id == payout.id)))


def in_the_way() -> set[str]:
    with reading() as session:
        return {str(each.kind) for each in closing.blockers(session, clock.today())}


def again(payout: Payout) -> Payout:
    with reading() as session:
        return session.get_one(Payout, payout.id)


def test_a_payout_in_another_currency_is_read_in_and_waits(paid_in_euro: Payout) -> None:
    """B4, B5: however its rows fit."""
    assert paid_in_euro.state is PayoutState.PARKED
    assert "book it outside Kvitta" in str(settlements.told(paid_in_euro.parked_because or ""))
    for row, _match in rows_of(paid_in_euro):
        with writing() as session:
            if session.get_one(RowMatch, row.id).pile is Pile.FAULTY:
                settlement_rows.mark_handled(session, FINANCE, row.id, "utreds")
    with writing() as session, pytest.raises(Refusal, match="The payout is in EUR"):
        settlement_booking.book(session, FINANCE, paid_in_euro.id)
    assert again(paid_in_euro).state is PayoutState.PARKED


def test_it_waits_for_nobody_once_somebody_has_said_where_it_is_booked(paid_in_euro: Payout) -> None:
    """B34: every row explained, nothing booked, no document paid; and the month can be closed."""
    assert {"payout", "row"} <= in_the_way()
    before = count(Voucher)
    with writing() as session:
        settlement_foreign.set_aside(session, FINANCE, paid_in_euro.id, "Fortnox A 77")
    assert piles(paid_in_euro) == {Pile.HANDLED} and again(paid_in_euro).state is PayoutState.PARKED
    assert not {"payout", "row"} & in_the_way()
    assert count(Voucher) == before and count(Document, Document.paid_at.is_not(None)) == 0
    with reading() as session:
        assert set(session.scalars(sa.select(RowMatch.note))) == {"Fortnox A 77"}
        assert count(RowMatch, RowMatch.document_id.is_not(None)) == 0
    row, _match = rows_of(paid_in_euro)[0]
    with writing() as session:
        settlement_rows.undo(session, FINANCE, row.id)
    assert "payout" in in_the_way()


def test_only_finance_sets_a_payout_aside_with_a_reason_and_never_one_in_kronor(
    klarna: Any, sandbox: Control, paid_in_euro: Payout
) -> None:
    before = piles(paid_in_euro)
    with writing() as session, pytest.raises(NotAllowed):
        settlement_foreign.set_aside(session, CLERK, paid_in_euro.id, "annat program")
    with writing() as session, pytest.raises(BadInput):
        settlement_foreign.set_aside(session, FINANCE, paid_in_euro.id, "  ")
    assert piles(paid_in_euro) == before
    a_captured_invoice(klarna, sandbox)
    sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    (made,) = sandbox.pay_out()
    upload(klarna, csv_of(sandbox, made))
    with writing() as session, pytest.raises(Refusal, match="is in kronor"):
        settlement_foreign.set_aside(session, FINANCE, payout_of(made).id, "annat program")
