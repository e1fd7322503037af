"""Rows split over several documents before they are booked, and moved to another one afterwards (B4)."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from klarna_sandbox.control import Control
from models import Payout, PayoutRow, RowMatch, RowShare, Voucher
from services import (
    advance_booking,
    credit_drafts,
    credit_notes,
    document_page,
    orders,
    owed_lists,
    payments,
    settlement_moves,
    settlement_rows,
    settlements,
)
from services.gateway import Gateway
from services.settlement_choice import Unseen
from states import DocState, DocType, PayoutState, Pile, WithoutKlarna
from tests import worlds
from tests.builders import CLERK, FINANCE, a_delivery, an_invoice, the_document
from tests.services.settlement_parts import (
    a_sale,
    all_is_well,
    booked,
    entries,
    fees,
    fetched,
    payout_of,
    rows_of,
    tie,
)
from tests.services.test_advances import an_advance, e3_order
from tests.threads import in_threads


def act(function: Any, *given: Any) -> None:
    with writing() as session:
        function(session, FINANCE, *given)


@pytest.fixture
@worlds.kept
def lump(klarna: Gateway, sandbox: Control) -> tuple[Payout, int, int, int]:
    """A sale of 800,00 that fits no document, in a payout that waits, and invoices of 300,00 and 500,00 without a row."""
    fees(sandbox, 0)
    three, five = a_sale(klarna, sandbox, 300_00), a_sale(klarna, sandbox, 500_00)
    with worlds.running.world.lock:  # type: ignore[union-attr]
        worlds.running.world.unpaid.clear()  # type: ignore[union-attr]
    sandbox.order(mid="K000001", order_amount=800_00, captures=[{"captured_amount": 800_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    ((row, _),) = rows_of(payout)
    return payout, row.id, three.id, five.id


def test_a_row_is_split_over_several_documents_taken_back_and_booked(
    books: Any, lump: tuple[Payout, int, int, int]
) -> None:
    """B4: the parts add up to the row to the öre, none is more than is open; each document gets its tick and its figures."""
    payout, row_id, three, five = lump
    numbers = [the_document(each).number_text for each in (three, five)]
    for typed, sentence in (
        (f"{numbers[0]} 300,00; {numbers[1]} 400,00", r"come to SEK 700\.00, the row to SEK 800\.00"),
        (f"{numbers[0]} 300,00;", "come to SEK 300.00"),
        (f"{numbers[0]} 300,01; {numbers[1]} 499,99", "only SEK 300.00 is open"),
        (f"{numbers[0]} 300,00; {numbers[0]} 500,00", "stands there twice"),
        (f"{numbers[0]} 300,00; 99999 500,00", "There is no invoice"),
        (f"{numbers[0]}; {numbers[1]} 500,00", "Enter an amount"),
    ):
        with pytest.raises(BadInput, match=sentence) as refused:
            tie(row_id, typed)
        assert refused.value.field == "document_number"
    typed = f"{numbers[0]} 300,00; {numbers[1]} 500,00"
    tie(row_id, typed)
    ((_, match),) = rows_of(payout)
    assert (match.pile, match.document_id, match.because, match.note) == (Pile.HANDLED, None, "split", typed)
    act(settlements.undo, row_id)
    ((_, match),) = rows_of(payout)
    assert (match.pile, match.note) == (Pile.FAULTY, None)
    with reading() as session:
        assert not session.scalar(sa.select(sa.func.count()).select_from(RowShare))
    tie(row_id, typed)
    act(settlements.book, payout.id)
    with reading() as session:
        again = session.get_one(Payout, payout.id)
    assert entries(again) == {1930: 800_00, 1510: -800_00}
    for document_id, amount in ((three, 300_00), (five, 500_00)):
        paid = the_document(document_id)
        assert (paid.open_minor, paid.paid_reference) == (0, payout.payment_reference)
        with reading() as session:
            shown = document_page.overview(session, FINANCE, document_id).payment
            assert shown is not None and (shown.bank_minor, shown.payout_id) == (amount, payout.id)
            told = settlements.rows_of_document(session, document_id)
            assert [(each.kind, each.amount_minor) for each in told] == [("bank", amount)]
    with reading() as session:
        assert not owed_lists.listed(session, "sales").rows
        shown_now = settlement_moves.movable(session, FINANCE, row_id)
    assert shown_now.why_not is None
    assert [(each.document_id, each.amount_minor) for each in shown_now.places] == [(three, 300_00), (five, 500_00)]
    all_is_well()


def press(
    row_id: int, number: str | None, shown: int, reason: str, nonce: str, seen: str, minor: int | None = None
) -> int:
    with writing() as session:
        stood = minor or abs(session.get_one(PayoutRow, row_id).amount_minor)
        return settlement_moves.move(
            session, FINANCE, row_id, nonce, shown_id=shown, shown_minor=stood, number=number or "", reason=reason,
            seen=seen,
        )  # fmt: skip


def move(
    row_id: int, number: str | None, shown: int, reason: str = "fel faktura", nonce: str | None = None,
    minor: int | None = None,
) -> int:  # fmt: skip
    """A row, or what of it was shown, moved as Finance does: the document is shown, and moved to when it has been seen."""
    nonce = nonce or secrets.token_hex(16)
    try:
        return press(row_id, number, shown, reason, nonce, "", minor)
    except Unseen as asked:
        return press(row_id, number, shown, reason, nonce, asked.choice.seen, minor)


def open_of(*documents: int) -> list[int]:
    return [the_document(each).open_minor for each in documents]


def last_voucher() -> tuple[str, list[tuple[int, int]]]:
    with reading() as session:
        found = session.scalars(sa.select(Voucher).order_by(Voucher.id.desc()).limit(1)).one()
        return found.series, [(each.account, each.amount_minor) for each in found.postings]


@pytest.mark.only_on("postgres")
def test_rows_of_two_payouts_that_wait_are_given_to_one_invoice_at_once_and_one_is(
    books: Any, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B4, I9: the invoice's lock makes the second see the first. SQLite lets only one in."""
    fees(sandbox, 0)
    invoice = a_sale(klarna, sandbox, 300_00)
    with worlds.running.world.lock:  # type: ignore[union-attr]
        worlds.running.world.unpaid.clear()  # type: ignore[union-attr]
    row_ids = []
    for _ in range(2):
        sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
        made = sandbox.pay_out()[-1]
        fetched(klarna)
        row_ids.append(rows_of(payout_of(made))[0][0].id)
    both_have_looked, fitting = threading.Barrier(2), settlement_rows.fitting

    def look_and_wait(*given: Any, **more: Any) -> Any:
        found = fitting(*given, **more)
        with suppress(threading.BrokenBarrierError):
            both_have_looked.wait(1)
        return found

    monkeypatch.setattr(settlement_rows, "fitting", look_and_wait)
    raised = in_threads(books, lambda n: tie(row_ids[n], invoice.number_text), 2)
    assert [type(each) for each in raised] == [BadInput], raised
    with reading() as session:
        given = session.scalars(sa.select(RowMatch.document_id).where(RowMatch.row_id.in_(row_ids))).all()
    assert sorted(given, key=str) == [invoice.id, None]


def test_what_was_booked_as_placed_by_nobody_is_given_to_its_document_and_taken_back_by_reversal(
    books: Any, lump: tuple[Payout, int, int, int]
) -> None:
    """B4, golden: off 2999 and onto the claim, then on to another document; each undo restores both sides to the öre."""
    payout, row_id, three, five = lump
    with reading() as session, pytest.raises(NotFound):
        settlement_moves.movable(session, FINANCE, row_id)
    act(settlements.mark_handled, row_id, "utreds")
    act(settlements.book, payout.id)
    numbers = [the_document(each).number_text for each in (three, five)]
    with pytest.raises(NotAllowed), writing() as session:
        settlement_moves.move(
            session, CLERK, row_id, "0" * 32, shown_id=0, shown_minor=800_00, number=numbers[0] or "", reason="x"
        )
    for number, reason, sentence in (
        (None, "x", "stands there already"),
        (numbers[0], " ", "reason"),
        ("9", "x", "no inv"),
    ):
        with pytest.raises(BadInput, match=sentence):
            move(row_id, number, 0, reason)
    nonce = secrets.token_hex(16)
    with pytest.raises(Unseen) as asked:
        press(row_id, numbers[1], 0, "fel faktura", nonce, "")
    (part,) = asked.value.choice.parts
    assert (part.number, part.open_minor, part.part_minor, part.after_minor) == (numbers[1], 500_00, 800_00, 300_00)
    assert open_of(three, five) == [300_00, 500_00], "what is only shown is not moved"
    seen = asked.value.choice.seen
    made = [press(row_id, numbers[1], 0, "fel faktura", nonce, seen) for _ in range(2)]
    assert made[0] == made[1], "one form moves it once"
    assert last_voucher() == ("K", [(2999, 800_00), (1510, -800_00)])
    assert open_of(three, five) == [300_00, -300_00] and the_document(five).paid_reference == payout.payment_reference
    with pytest.raises(Stale):
        move(row_id, numbers[0], 0)
    second = move(row_id, numbers[0], five, "och nu rätt")
    assert last_voucher() == ("K", [(1510, 800_00), (1510, -800_00)])
    assert open_of(three, five) == [-500_00, 500_00] and the_document(five).paid_at is None
    all_is_well()
    with pytest.raises(Refusal, match="Only the last move"), writing() as session:
        settlement_moves.take_back(session, FINANCE, row_id, made[0], "fel ordning")
    for placing in (second, made[0]):
        with writing() as session:
            settlement_moves.take_back(session, FINANCE, row_id, placing, "ångrat")
    assert open_of(three, five) == [300_00, 500_00]
    with pytest.raises(Stale, match="taken back since"):
        press(row_id, numbers[1], 0, "fel faktura", nonce, seen)
    with reading() as session:
        (lost,) = owed_lists.listed(session, "sales").rows
        assert lost.amount_minor == 800_00
        assert [each.undone_by is not None for each in settlement_moves.movable(session, FINANCE, row_id).placings] == [
            True,
            True,
        ]
    with pytest.raises(Refusal, match="Only the last move"), writing() as session:
        settlement_moves.take_back(session, FINANCE, row_id, second, "en gång till")
    all_is_well()


def test_a_note_that_a_row_of_a_waiting_payout_belongs_to_is_not_reversed(
    books: Any, klarna: Gateway, sandbox: Control
) -> None:
    """I11: else the payout would book its refund on a note that is none any more."""
    fees(sandbox, 0)
    invoice = a_sale(klarna, sandbox, 300_00)
    booked(klarna, sandbox)
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        order_id = draft.order.klarna_order_id if draft.order else None
        draft.with_klarna, draft.without_klarna_reason = False, WithoutKlarna.CREDITED_IN_PORTAL
        credit_notes.issue_without_klarna(session, FINANCE, draft, portal_confirmed=True, external=None)
        note = draft.id
    sandbox.portal_refund(order_id or "", 300_00)
    sandbox.order(mid="K000001", order_amount=800_00, captures=[{"captured_amount": 800_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    ((returned, match),) = [each for each in rows_of(payout) if each[0].type == "RETURN"]
    assert (payout.state, match.document_id) == (PayoutState.PARKED, note)
    with pytest.raises(Refusal, match="A settlement row belongs to the credit note"):
        act(credit_notes.reverse, note, "fel")
    for each, match in rows_of(payout):
        if match.pile is Pile.FAULTY:
            act(settlements.mark_handled, each.id, "utreds")
    act(settlements.book, payout.id)
    assert open_of(note) == [0]
    back = move(returned.id, None, note)
    act(credit_notes.reverse, note, "fel")
    assert open_of(note) == [0]
    with pytest.raises(Refusal, match="is not issued"):
        act(settlement_moves.take_back, returned.id, back, "ångrat")
    assert open_of(note) == [0]
    all_is_well()


def test_two_who_move_the_same_row_at_once_move_it_once_and_its_fees_go_along(
    books: Any, klarna: Gateway, sandbox: Control
) -> None:
    """B1: fee and VAT stand with the document that the sale belongs to; the payout's lock lets the second see the first."""
    fees(sandbox, 3_00)
    invoice = a_sale(klarna, sandbox, 300_00)
    payout = booked(klarna, sandbox)
    other = a_sale(klarna, sandbox, 300_00)
    with reading() as session:
        row_id = session.scalars(sa.select(PayoutRow.id).where(PayoutRow.type == "SALE")).one()
    raised = in_threads(books, lambda n: move(row_id, other.number_text, invoice.id, nonce=f"{n:x}" * 32) and None, 3)
    assert [type(each) for each in raised] == [Stale] * 2, raised
    assert open_of(invoice.id, other.id) == [300_00, 0]
    with reading() as session:
        links = session.scalars(sa.select(RowMatch.document_id).distinct()).all()
        assert links == [other.id], "sale and fee together"
        shown = document_page.overview(session, FINANCE, other.id).payment
        assert shown is not None and (shown.bank_minor, shown.fee_minor, shown.fee_vat_minor) == (296_25, 3_00, 75)
        assert session.get_one(Payout, payout.id).voucher_id == payout.voucher_id
    back = move(row_id, None, other.id)
    unpaid = worlds.running.world.unpaid  # type: ignore[union-attr]
    before = {key: dict(rows) for key, rows in unpaid.items()}
    third = a_sale(klarna, sandbox, 300_00)
    unpaid.update(before)
    move(row_id, third.number_text, 0)
    with reading() as session:
        links = session.scalars(sa.select(RowMatch.document_id).distinct()).all()
        assert links == [third.id], "from nobody too"
        last = settlement_moves.movable(session, FINANCE, row_id).placings[-1]
    # What was paid out since went to the other: to take the row back there would pay it twice.
    booked(klarna, sandbox)
    assert open_of(other.id, third.id) == [0, 0]
    with writing() as session:
        settlement_moves.take_back(session, FINANCE, row_id, last.id, "ångrat")
    with pytest.raises(Refusal, match=r"belongs to \d+ already") as no, writing() as session:
        settlement_moves.take_back(session, FINANCE, row_id, back, "ångrat")
    assert no.value.field is None and open_of(other.id, third.id) == [0, 300_00]
    all_is_well()


@pytest.mark.only_on("postgres")
def test_two_rows_of_two_payouts_given_to_one_invoice_at_once_pay_it_once(
    books: Any, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9: whoever comes second finds the other's row there, under the invoice's lock. SQLite lets only one in."""
    fees(sandbox, 0)
    sold, payouts = [], []
    for _ in range(2):
        sold.append(a_sale(klarna, sandbox, 300_00))
        payouts.append(booked(klarna, sandbox))
    third = a_sale(klarna, sandbox, 300_00)
    row_ids = [rows_of(payout)[0][0].id for payout in payouts]
    both_have_looked, lock = threading.Barrier(2), settlement_moves._locked

    def wait_and_lock(*given: Any) -> Any:
        both_have_looked.wait(10)
        return lock(*given)

    monkeypatch.setattr(settlement_moves, "_locked", wait_and_lock)
    raised = in_threads(books, lambda n: move(row_ids[n], third.number_text, sold[n].id) and None, 2)
    assert [type(each) for each in raised] == [BadInput], raised
    assert sorted(open_of(*(each.id for each in sold))) == [0, 300_00] and open_of(third.id) == [0]
    all_is_well()


def test_a_document_that_claims_nothing_takes_no_row(
    books: Any, lump: tuple[Payout, int, int, int], klarna: Gateway, sandbox: Control
) -> None:
    """B4: the invoice after an advance of all of it comes to 0 and has no claim that a row could pay, booked or not."""
    payout, row_id, three, _ = lump
    order = e3_order(sandbox, klarna)
    an_advance(klarna, order, 10_000)
    with writing() as session:
        a_delivery(session, orders.get(session, order.id))
    nothing = an_invoice(klarna, order, kind=DocType.FINAL)
    assert (nothing.state, nothing.gross_minor) == (DocState.ISSUED, 0)
    for typed in (nothing.number_text, f"{nothing.number_text} 300,00; {the_document(three).number_text} 500,00"):
        with pytest.raises(BadInput, match="nothing to pay on"):
            tie(row_id, typed or "")
    act(settlements.mark_handled, row_id, "utreds")
    act(settlements.book, payout.id)
    with pytest.raises(BadInput, match="nothing to pay on") as refused:
        move(row_id, nothing.number_text, 0)
    assert refused.value.field == "document_number"
    all_is_well()


def test_the_vat_of_advances_follows_the_row_there_and_back(books: Any, klarna: Gateway, sandbox: Control) -> None:
    """E3c: the advance that is unpaid after all rests again, the one that is paid falls due, and the undo turns both."""
    fees(sandbox, 0)
    first = an_advance(klarna, e3_order(sandbox, klarna), 3000)
    booked(klarna, sandbox)
    second = an_advance(klarna, e3_order(sandbox, klarna), 3000)

    def resting() -> list[int]:
        with reading() as session:
            return [
                advance_booking.rests(session, each.id, 2500, each.issue_date or clock.today())
                for each in (first, second)
            ]

    assert resting() == [0, -600_00]
    with reading() as session:
        row_id = session.scalars(sa.select(PayoutRow.id).where(PayoutRow.type == "SALE")).one()
    made = move(row_id, second.number_text, first.id)
    assert resting() == [-600_00, 0] and open_of(first.id, second.id) == [3_000_00, 0]
    all_is_well()
    with writing() as session:
        settlement_moves.take_back(session, FINANCE, row_id, made, "ångrat")
    assert resting() == [0, -600_00] and open_of(first.id, second.id) == [0, 3_000_00]
    all_is_well()


def test_a_row_is_moved_only_to_a_document_that_was_shown_as_it_is_now(
    books: Any, klarna: Gateway, sandbox: Control
) -> None:
    """B4: also one that agrees with the row is shown, since a move corrects the books; what has changed is shown anew."""
    fees(sandbox, 0)
    first = a_sale(klarna, sandbox, 800_00)
    payout = booked(klarna, sandbox)
    second = a_sale(klarna, sandbox, 800_00)
    ((row, _),) = rows_of(payout)
    with pytest.raises(Unseen) as asked:
        press(row.id, second.number_text, first.id, "fel", secrets.token_hex(16), "")
    with writing() as session:
        paid = payments.Wanted(100_00, clock.today(), 1930, "betalt till oss")
        payments.register(session, FINANCE, second.id, secrets.token_hex(16), paid)
    nonce = secrets.token_hex(16)
    with pytest.raises(Unseen) as again:
        press(row.id, second.number_text, first.id, "fel", nonce, asked.value.choice.seen)
    assert (asked.value.choice.parts[0].open_minor, again.value.choice.parts[0].open_minor) == (800_00, 700_00)
    assert open_of(first.id, second.id) == [0, 700_00]
    press(row.id, second.number_text, first.id, "fel", nonce, again.value.choice.seen)
    assert open_of(first.id, second.id) == [800_00, -100_00]
    all_is_well()
