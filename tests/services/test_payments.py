"""Invoices that the customer pays to us: OCR number, due date, and payments by hand (F2, B7; accounting E14)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal, Stale
from models import Document, Posting, Voucher
from services import (
    afterwards,
    credit_drafts,
    credit_notes,
    document_payment,
    documents,
    ledger,
    payment_terms,
    payments,
    settings,
)
from services.payments import Wanted
from states import DocKind, DocState, LineKind, Role, WithoutKlarna
from tests import builders
from tests.builders import a_captured_invoice, a_delivery, an_invoice, an_order, row, the_document
from tests.services.settlement_parts import all_is_well
from tests.threads import in_threads

NONCE = "0" * 31


def wanted(amount_minor: int, **changes: Any) -> Wanted:
    return Wanted(**{"amount_minor": amount_minor, "day": clock.today(), "account": 1930, "reason": "", **changes})


def an_ordinary_invoice(klarna: Any, **customer: Any) -> Document:
    with writing() as session:
        buyer = builders.a_customer(session, **customer)
        order = an_order(session, customer=buyer, lines=[row("T-shirt", 10_000)])
        a_delivery(session, order)
    return an_invoice(klarna, order)


def pay(actor: Any, document: Document, typed: Wanted, nonce: str = NONCE + "1") -> int:
    with writing() as session:
        return payments.register(session, actor, document.id, nonce, typed)


def left(document: Document) -> int:
    with reading() as session:
        return documents.get(session, document.id).open_minor


# --- OCR number and due date: pure, and on the invoice ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "with_length", "ocr"),
    [(12345, False, "123455"), (42580, False, "425801"), (42580, True, "4258075"), (1001, True, "100164")],
)
def test_the_ocr_number_is_what_the_bank_expects(number: int, with_length: bool, ocr: str) -> None:
    """Accounting reference 8, its worked values."""
    assert payment_terms.ocr_number(number, with_length=with_length) == ocr


@given(st.integers(1, 999_999_999), st.booleans())
def test_every_ocr_number_passes_the_banks_check_and_says_its_length(number: int, with_length: bool) -> None:
    made = payment_terms.ocr_number(number, with_length=with_length)
    assert luhn.is_valid(made)
    assert 2 <= len(made) <= payment_terms.LONGEST_OCR
    assert not with_length or int(made[-2]) == len(made) % 10


def test_an_invoice_paid_to_us_has_an_ocr_number_and_a_day_it_falls_due(books: Any, klarna: Any) -> None:
    """F2."""
    made = an_ordinary_invoice(klarna)
    assert made.ocr == payment_terms.ocr_number(made.number or 0, with_length=False)
    assert made.due_date == (made.number_date or date.min) + timedelta(days=30)
    assert f'"ocr":"{made.ocr}"' in (made.snapshot or "")


def test_a_customers_own_days_go_before_the_companys(books: Any, klarna: Any) -> None:
    with writing() as session:
        settings.change(session, builders.actor(Role.ADMIN), "payment.ocr", "length", clock.today())
    made = an_ordinary_invoice(klarna, payment_days=0)
    assert made.due_date == made.number_date
    assert made.ocr == payment_terms.ocr_number(made.number or 0, with_length=True)


def test_an_invoice_sold_to_klarna_has_neither(books: Any, klarna: Any, sandbox: Any) -> None:
    """F19: the customer pays Klarna."""
    made = a_captured_invoice(klarna, sandbox)
    assert (made.ocr, made.due_date) == (None, None)


# --- Payments by hand ---------------------------------------------------------------------------------------------------


def test_a_payment_is_booked_and_the_invoice_is_paid(books: Any, klarna: Any, finance: Any) -> None:
    """F2, B33, E14: the bank is debited and the claim credited, in one voucher of series I."""
    invoice = an_ordinary_invoice(klarna)
    pay(finance, invoice, wanted(4_000))
    assert left(invoice) == 6_000
    pay(finance, invoice, wanted(6_000), NONCE + "2")
    with reading() as session:
        paid = documents.get(session, invoice.id)
        assert (paid.open_minor, paid.paid_at) == (0, clock.today())
        last = session.query(Voucher).order_by(Voucher.id.desc()).limit(1).one()
        assert last.series == "I"
        assert [(p.account, p.amount_minor) for p in last.postings] == [(1930, 6_000), (1510, -6_000)]
        assert str(payments.why_not(finance, paid)) == "Nothing is left to pay."


def test_the_same_form_twice_is_one_payment(books: Any, klarna: Any, finance: Any) -> None:
    """Operations 12."""
    invoice = an_ordinary_invoice(klarna)
    assert pay(finance, invoice, wanted(4_000)) == pay(finance, invoice, wanted(4_000))
    assert left(invoice) == 6_000
    with pytest.raises(Refusal, match="already been used"):
        pay(finance, invoice, wanted(5_000))


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"amount_minor": 10_101}, "amount", "is left to pay"),
        ({"amount_minor": 0}, "amount", "more than 0"),
        ({"amount_minor": 2**63}, "amount", "more than 0"),
        ({"day": date(2999, 1, 1)}, "day", "has not come yet"),
        ({"account": 3001}, "account", "in the list"),
        ({"account": 1}, "account", "in the list"),
    ],
)
def test_a_payment_that_cannot_be_is_refused_beside_its_field(
    books: Any, klarna: Any, finance: Any, changes: dict[str, Any], field: str, sentence: str
) -> None:
    invoice = an_ordinary_invoice(klarna)
    with pytest.raises(BadInput, match=sentence) as refused:
        pay(finance, invoice, wanted(**{"amount_minor": 10_000, **changes}))
    assert refused.value.field == field
    assert left(invoice) == 10_000


def last_voucher() -> tuple[str, list[tuple[int, int]]]:
    with reading() as session:
        last = session.query(Voucher).order_by(Voucher.id.desc()).limit(1).one()
        return last.text, [(each.account, each.amount_minor) for each in last.postings]


def away(actor: Any, document: Document, shown: int, nonce: str = NONCE + "9", **changes: Any) -> int:
    with writing() as session:
        typed = {"shown_minor": shown, "day": clock.today(), "account": 1930, **changes}
        return payments.book_away(session, actor, document.id, nonce, **typed)


def test_more_than_is_left_needs_to_be_meant_and_the_surplus_is_booked_away_once(
    books: Any, klarna: Any, clerk: Any, finance: Any
) -> None:
    """B8, E14b: date and account alone; who may, what is refused, a stale page, the same form twice, and taken back."""
    invoice = an_ordinary_invoice(klarna)
    with pytest.raises(Refusal, match="Nothing is overpaid"):
        away(finance, invoice, 0)
    pay(finance, invoice, wanted(34_350, overpay=True))
    assert left(invoice) == -24_350
    with pytest.raises(NotAllowed):
        away(clerk, invoice, 24_350)
    with pytest.raises(Stale):
        away(finance, invoice, 10_000)
    for changes, field in (({"account": 3001}, "account"), ({"day": date(2999, 1, 1)}, "day")):
        with pytest.raises(BadInput) as refused:
            away(finance, invoice, 24_350, **changes)
        assert refused.value.field == field
    assert left(invoice) == -24_350
    made = [away(finance, invoice, 24_350) for _ in range(2)]
    assert made[0] == made[1], "one form books it away once"
    assert last_voucher() == (f"Överbetalning bokas bort {invoice.number_text}", [(1930, -24_350), (1510, 24_350)])
    assert left(invoice) == 0
    with writing() as session:
        payments.take_back(session, finance, invoice.id, made[0], "det var inget fel")
    assert left(invoice) == -24_350
    all_is_well()


def test_an_invoice_below_zero_is_paid_back_in_parts_too_much_and_taken_back(
    books: Any, klarna: Any, finance: Any
) -> None:
    """K42, E14: money goes out against the claim; what is too much is a surplus, and each act can be undone."""
    with writing() as session:
        order = an_order(session, lines=[row("T-shirt", 10_000), row("Rabatt", -30_000, kind=LineKind.DISCOUNT)])
        a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    assert left(invoice) == -20_000
    with pytest.raises(Refusal, match="Nothing is overpaid"):
        away(finance, invoice, 20_000)
    first = pay(finance, invoice, wanted(15_000))
    assert last_voucher() == (
        f"Återbetalning faktura {invoice.number_text}",
        [(1930, -15_000), (1510, 15_000)],
    )
    assert left(invoice) == -5_000
    with pytest.raises(BadInput, match=r"Only SEK 50\.00 is left to pay"):
        pay(finance, invoice, wanted(6_000), NONCE + "2")
    pay(finance, invoice, wanted(6_000, overpay=True), NONCE + "2")
    assert left(invoice) == 1_000 and document_payment.paid_state(DocKind.INVOICE, -20_000, 1_000) == "over"
    all_is_well()
    booked = away(finance, invoice, 1_000)
    assert last_voucher()[1] == [(1930, 1_000), (1510, -1_000)] and left(invoice) == 0
    assert the_document(invoice.id).paid_at is not None
    all_is_well()
    for payment_id in (booked, first):
        with writing() as session:
            payments.take_back(session, finance, invoice.id, payment_id, "fel")
    assert left(invoice) == -14_000 and the_document(invoice.id).paid_at is None
    with reading() as session:
        told = [each for each in afterwards.of_document(session, invoice.id) if each.amount_minor]
        assert sum(each.amount_minor for each in told) == 6_000 * -1, told
    all_is_well()


def test_two_who_book_a_surplus_away_at_once_do_it_once(books: Any, klarna: Any, finance: Any) -> None:
    """B8: two pages, two forms; the document's lock lets the second see that nothing is overpaid any more."""
    invoice = an_ordinary_invoice(klarna)
    pay(finance, invoice, wanted(34_350, overpay=True))
    raised = in_threads(books, lambda number: away(finance, invoice, 24_350, NONCE + "abc"[number]), 3)
    assert [str(no) for no in raised] == ["Nothing is overpaid."] * 2
    assert left(invoice) == 0


@pytest.mark.parametrize(("paid", "residue"), [(9_960, 40), (9_900, 100), (10_040, -40)])
def test_a_small_difference_follows_the_payment_to_rounding_and_back(
    books: Any, klarna: Any, finance: Any, paid: int, residue: int
) -> None:
    """E14c, to the öre; taken back with its payment, so that the invoice is as it was."""
    invoice = an_ordinary_invoice(klarna)
    payment = pay(finance, invoice, wanted(paid))
    assert last_voucher() == (f"Öresdifferens {invoice.number_text}", [(3740, residue), (1510, -residue)])
    with reading() as session:
        paid_at = documents.get(session, invoice.id).paid_at
        assert [(each.amount_minor, each.kind) for each in payments.of_document(session, invoice.id)] == [
            (paid, "payment"),
            (residue, "residue"),
        ]
    assert (left(invoice), paid_at) == (0, clock.today())
    with writing() as session:
        payments.take_back(session, finance, invoice.id, payment, "fel faktura")
    assert left(invoice) == 10_000
    all_is_well()


def test_how_little_is_rounded_away_is_a_dated_setting_and_never_touches_what_klarna_settles(
    books: Any, klarna: Any, sandbox: Any, finance: Any
) -> None:
    """B36, E14c: a payment of yesterday follows yesterday's setting."""
    with writing() as session:
        settings.change(session, builders.actor(Role.ADMIN), "residue_limit", "0", clock.today())
    invoice = an_ordinary_invoice(klarna)
    pay(finance, invoice, wanted(9_960))
    assert left(invoice) == 40
    pay(finance, invoice, wanted(39, day=clock.today() - timedelta(days=1)), NONCE + "2")
    assert left(invoice) == 0
    sold = a_captured_invoice(klarna, sandbox)
    typed = wanted((sold.gross_minor or 0) - 40, day=clock.today() - timedelta(days=1), reason="till oss")
    pay(finance, sold, typed, NONCE + "3")
    assert left(sold) == 40


def test_a_klarna_invoice_is_paid_by_hand_only_with_a_reason_and_by_finance(
    books: Any, klarna: Any, sandbox: Any, clerk: Any, finance: Any
) -> None:
    """B7."""
    invoice = a_captured_invoice(klarna, sandbox)
    with pytest.raises(NotAllowed):
        pay(clerk, invoice, wanted(100, reason="kunden betalade till oss"))
    with pytest.raises(BadInput, match="reason"):
        pay(finance, invoice, wanted(100))
    pay(finance, invoice, wanted(100, reason="kunden betalade till oss"))
    assert left(invoice) == (invoice.gross_minor or 0) - 100


def test_a_payment_taken_back_is_reversed_once_and_both_stay(books: Any, klarna: Any, finance: Any) -> None:
    """E14, A7: correction is by reversal."""
    invoice = an_ordinary_invoice(klarna)
    payment = pay(finance, invoice, wanted(10_000))
    with writing() as session:
        payments.take_back(session, finance, invoice.id, payment, "fel faktura")
    with reading() as session:
        after = documents.get(session, invoice.id)
        assert (after.open_minor, after.paid_at) == (10_000, None)
        rows = payments.of_document(session, invoice.id)
        assert [(r.amount_minor, r.undoes, r.taken_back) for r in rows] == [
            (10_000, False, True),
            (-10_000, True, False),
        ]
        assert session.query(Posting).filter(Posting.account == 1930).with_entities(Posting.amount_minor).all() == [
            (10_000,),
            (-10_000,),
        ]
        again = rows[1].id
    for undone in (payment, again):
        with pytest.raises(Refusal, match="revers"), writing() as session:
            payments.take_back(session, finance, invoice.id, undone, "en gång till")


def test_a_credit_note_to_an_ordinary_customer_is_paid_back(books: Any, klarna: Any, finance: Any) -> None:
    """The other way about: money out, and the credit note is settled."""
    invoice = an_ordinary_invoice(klarna)
    with writing() as session:
        draft = credit_drafts.start(session, finance, invoice.id)
        draft.with_klarna, draft.without_klarna_reason = False, WithoutKlarna.ORDINARY
        credit_notes.issue_without_klarna(session, finance, draft, portal_confirmed=False, external=None)
        note_id = draft.id
    with reading() as session:
        note = documents.get(session, note_id)
        assert (note.state, payments.left_minor(note), note.ocr) == (DocState.ISSUED, 10_000, None)
    pay(finance, note, wanted(10_000))
    with reading() as session:
        note = documents.get(session, note_id)
        assert (note.open_minor, note.paid_at) == (0, clock.today())
        assert [
            (p.account, p.amount_minor)
            for p in session.query(Voucher).order_by(Voucher.id.desc()).limit(1).one().postings
        ] == [(1930, -10_000), (1510, 10_000)]


def test_a_payment_in_a_locked_period_is_booked_on_the_first_open_day_and_says_so(
    books: Any, klarna: Any, finance: Any
) -> None:
    """A6, operations 2.3."""
    invoice = an_ordinary_invoice(klarna)
    yesterday = clock.today() - timedelta(days=1)
    with writing() as session:
        ledger.lock(session, finance, yesterday, "månaden är klar")
    pay(finance, invoice, wanted(10_000, day=yesterday))
    with reading() as session:
        voucher = session.query(Voucher).order_by(Voucher.id.desc()).limit(1).one()
        assert voucher.day == clock.today()
        assert voucher.text.endswith(f"avser {yesterday.isoformat()}")
    assert left(invoice) == 0


def test_two_who_register_the_same_payment_at_once_register_one(books: Any, klarna: Any, finance: Any) -> None:
    """Operations 12: two forms of two pages; the document's lock lets the second see that nothing is left."""
    invoice = an_ordinary_invoice(klarna)

    def one(number: int) -> None:
        pay(finance, invoice, wanted(10_000), NONCE + str(number))

    raised = in_threads(books, one, 4)
    assert [str(no) for no in raised] == ["Nothing is left to pay."] * 3
    assert left(invoice) == 0
    with reading() as session:
        balance = ledger.trial_balance(session, date(clock.today().year, 1, 1), clock.today())
    assert sum(row.closing for row in balance) == 0
    assert {row.account: row.closing for row in balance}[1930] == 10_000
