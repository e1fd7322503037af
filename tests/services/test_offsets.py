"""«Kvittning»: pairs, the wait for the reading, the override, golden vouchers, undoing, two at once (K49-K51; accounting E9)."""

from __future__ import annotations

import secrets
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from klarna_sandbox.control import Control
from models import Account, Document, Offset, Posting, Voucher
from rights import Actor
from services import credit_drafts, credit_notes, offsets, payout_rhythm, reservations, settlements
from services.gateway import Gateway
from services.offsets import Wanted
from services.payout_rhythm import Rhythm
from states import PayoutState, Pile, WithoutKlarna
from tests import worlds
from tests.builders import (
    CLERK,
    FINANCE,
    a_captured_invoice,
    a_customer,
    a_delivery,
    a_money_form,
    an_invoice,
    an_order,
    row,
    the_document,
)
from tests.services.settlement_parts import a_sale, all_is_well, booked, fees, fetched, payout_of, rows_of
from tests.threads import in_threads

Pair = tuple[Document, Document]


def a_credit(klarna: Gateway, invoice: Document, quantity: str | None = None, *, without: bool = False) -> Document:
    """A credit note of the invoice, or of so many of its first row; refunded at Klarna, or booked without it."""
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        if quantity is not None:
            credit_drafts.set_quantity(session, FINANCE, draft.id, draft.lines[0].id, quantity)
            for line in draft.lines[1:]:
                credit_drafts.remove_row(session, FINANCE, draft.id, line.id)
        if without:
            draft.with_klarna, draft.without_klarna_reason = False, WithoutKlarna.ORDINARY
            credit_notes.issue_without_klarna(session, FINANCE, draft, portal_confirmed=False, external=None)
            return draft
        total = credit_drafts.figures(session, draft).gross_minor
    return the_document(reservations.credit(klarna, FINANCE, draft.id, a_money_form(total)))


@pytest.fixture
@worlds.kept
def sold(klarna: Gateway, sandbox: Control) -> Pair:
    """E9b: an invoice of 2 435,00 sold to Klarna and a credit note of 499,00 refunded there, neither of them read back."""
    fees(sandbox, 0)
    lines = [row("T-shirt", 499_00, pieces=2), row("Jacka", 1_437_00)]
    invoice = a_captured_invoice(klarna, sandbox, lines=lines)
    return invoice, a_credit(klarna, invoice, "1")


def never_settled(sandbox: Control) -> None:
    """Klarna has netted what it has so far: no payout will ever speak of it."""
    assert worlds.running is not None and worlds.running.url == sandbox.url
    with worlds.running.world.lock:
        worlds.running.world.unpaid.clear()


def the_period_is_read(klarna: Gateway, sandbox: Control) -> None:
    """A later sale is paid out and booked, so that the reading reaches past what was there before."""
    never_settled(sandbox)
    sandbox.move_clock(seconds=2)
    a_sale(klarna, sandbox, 100_00)
    booked(klarna, sandbox)


def ordinary(klarna: Gateway, amount: int = 1_000_00, credited: str | None = None) -> Pair:
    """An invoice paid to us and its credit note: nothing of either was ever sent to Klarna."""
    with writing() as session:
        order = an_order(session, lines=[row("Keps", amount)])
        a_delivery(session, order)
    invoice = an_invoice(klarna, order)
    return invoice, a_credit(klarna, invoice, credited, without=True)


def offset(pair: Pair, actor: Actor = FINANCE, nonce: str | None = None, **changes: Any) -> int:
    """Offset a pair as its page would send it, with these changes."""
    shown = [the_document(each.id).open_minor for each in pair]
    given = {"amount_minor": min(shown[0], -shown[1]), "shown_invoice_minor": shown[0], "shown_note_minor": -shown[1]}
    with writing() as session:
        return offsets.make(
            session, actor, pair[0].id, pair[1].id, nonce or secrets.token_hex(16), Wanted(**{**given, **changes})
        )


def still_open(pair: Pair) -> list[int]:
    return [the_document(each.id).open_minor for each in pair]


def voucher_of(offset_id: int) -> tuple[str, str, list[tuple[int, int]]]:
    with reading() as session:
        made = session.get_one(Offset, offset_id)
        found = session.get_one(Voucher, made.voucher_id)
        return found.series, found.text, [(each.account, each.amount_minor) for each in found.postings]


# --- The wait (K50, K51) -----------------------------------------------------------------------------------------------------


def test_offsetting_waits_for_the_reading_and_finance_may_override_with_a_reason(
    books: Any, klarna: Gateway, sandbox: Control, sold: Pair
) -> None:
    """K50, K51, E9b: the lock on the server, its day, who may lift it, and the reason on the voucher; then it is undone."""
    with reading() as session:
        pair = offsets.pair(session, sold[0].id, sold[1].id)
        assert (pair.amount_minor, pair.invoice.open_minor, pair.note.open_minor) == (499_00, 2_435_00, 499_00)
        assert pair.wait is not None and pair.wait.expected > clock.today()
        assert str(offsets.why_not(FINANCE, pair.wait)).startswith("Wait: the payout for the period is expected on")
        assert str(offsets.why_not(CLERK, pair.wait)) == "Only Finance can offset before the reading."
        assert "Requires" in str(offsets.why_not(CLERK, None)) and offsets.why_not(FINANCE, None) is None
    with pytest.raises(NotAllowed, match="Only Finance can offset before the reading"):
        offset(sold, CLERK, override=True, reason="nu")
    with pytest.raises(Refusal, match="has not been read") as refused:
        offset(sold)
    assert refused.value.status == 409
    with pytest.raises(BadInput, match="reason"):
        offset(sold, override=True, reason="  ")
    assert still_open(sold) == [2_435_00, -499_00]
    nonce = secrets.token_hex(16)
    shown = {"amount_minor": 499_00, "shown_invoice_minor": 2_435_00, "shown_note_minor": 499_00}
    made = [offset(sold, nonce=nonce, override=True, reason="kunden väntar", **shown) for _ in range(2)]
    assert made[0] == made[1], "one form makes one offset"
    assert voucher_of(made[0]) == (
        "I",
        f"Kvittning faktura {sold[0].number_text} mot kreditfaktura {sold[1].number_text}, före återläsningen: kunden väntar",
        [(1510, 499_00), (1510, -499_00)],
    )
    assert still_open(sold) == [1_936_00, 0]
    assert the_document(sold[1].id).paid_at == clock.today() and the_document(sold[0].id).paid_at is None
    all_is_well()
    with writing() as session:
        offsets.take_back(session, FINANCE, made[0], "utbetalningen kom")
    assert still_open(sold) == [2_435_00, -499_00] and the_document(sold[1].id).paid_at is None
    with pytest.raises(Refusal, match="already been reversed"), writing() as session:
        offsets.take_back(session, FINANCE, made[0], "en gång till")
    payout = booked(klarna, sandbox)
    assert [the_document(each.id).paid_reference for each in sold] == [payout.payment_reference] * 2
    assert still_open(sold) == [0, 0], "the reading finds both as if nothing had been"
    all_is_well()


def test_once_the_reading_reaches_past_both_they_are_offset_whole_or_in_part(
    books: Any, klarna: Gateway, sandbox: Control, sold: Pair
) -> None:
    """K49, K50: nothing is asked for; the voucher closes the claims and moves nothing else."""
    the_period_is_read(klarna, sandbox)
    with reading() as session:
        assert offsets.pair(session, sold[0].id, sold[1].id).wait is None
    part = offset(sold, amount_minor=200_00)
    assert voucher_of(part)[2] == [(1510, 200_00), (1510, -200_00)] and still_open(sold) == [2_235_00, -299_00]
    offset(sold)
    assert still_open(sold) == [1_936_00, 0]
    with reading() as session:
        assert not offsets.proposed(session)[0]
        made, _ = offsets.made(session, sold[0].number_text or "")
        assert [(each.amount_minor, each.override_reason, each.undone_by) for each in made] == [
            (299_00, None, None),
            (200_00, None, None),
        ]
        revenue = sa.select(sa.func.count()).select_from(Posting).join(Account, Account.number == Posting.account)
        moved = revenue.where(Posting.voucher_id.in_(sa.select(Offset.voucher_id)), Account.receivable.is_(False))
        assert session.scalar(moved) == 0, "no VAT and no revenue"
    all_is_well()


def order_of(document: Document) -> str:
    with reading() as session:
        found = session.get_one(Document, document.id).order
        assert found is not None
        return found.klarna_order_id or ""


def test_a_payout_made_later_that_reaches_no_further_does_not_open_the_lock(
    books: Any, klarna: Gateway, sandbox: Control
) -> None:
    """K50: what is paid out on Monday afternoon may hold last week's sales alone."""
    fees(sandbox, 0)
    early = a_sale(klarna, sandbox, 50_00)
    invoice = a_sale(klarna, sandbox, 800_00)
    pair = invoice, a_credit(klarna, invoice)
    assert worlds.running is not None
    with worlds.running.world.lock:
        for rows in worlds.running.world.unpaid.values():
            for key in [key for key, each in rows.items() if each.order_id != order_of(early)]:
                del rows[key]
    sandbox.move_clock(seconds=2)
    booked(klarna, sandbox)
    with pytest.raises(Refusal, match="has not been read"):
        offset(pair)
    the_period_is_read(klarna, sandbox)
    offset(pair)
    assert still_open(pair) == [0, 0]
    all_is_well()


def test_a_payout_that_has_come_and_waits_with_their_rows_keeps_the_lock_and_gives_its_day(
    books: Any, klarna: Gateway, sandbox: Control, sold: Pair
) -> None:
    """K50: a later reading is booked and reaches past both; offset while the one that pays them waits, they were paid twice."""
    sandbox.order(mid="K000001", order_amount=70_00, captures=[{"captured_amount": 70_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    assert payout_of(made).state is PayoutState.PARKED
    the_period_is_read(klarna, sandbox)
    with reading() as session:
        wait = offsets.pair(session, sold[0].id, sold[1].id).wait
        assert wait is not None and wait.expected == clock.local_date(payout_of(made).payout_date)
        assert wait.payout_id == payout_of(made).id
    with pytest.raises(Refusal, match=f"{made['payment_reference']}.* not booked: settle its rows first") as refused:
        offset(sold)
    assert refused.value.values == {"reference": made["payment_reference"]}
    assert still_open(sold) == [2_435_00, -499_00]


def test_a_payout_that_has_been_read_in_and_only_waits_for_its_booking_is_named(
    books: Any, klarna: Gateway, sandbox: Control
) -> None:
    """K50: it reaches past both though it holds no row of theirs, and booking it opens the lock."""
    fees(sandbox, 0)
    invoice = a_sale(klarna, sandbox, 800_00)
    pair = invoice, a_credit(klarna, invoice)
    never_settled(sandbox)
    sandbox.move_clock(seconds=2)
    sandbox.order(mid="K000001", order_amount=70_00, captures=[{"captured_amount": 70_00}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    (odd,) = [row.id for row, match in rows_of(payout) if match.pile is Pile.FAULTY]
    with pytest.raises(Refusal, match="settle its rows first"):
        offset(pair)
    with writing() as session:
        settlements.mark_handled(session, FINANCE, odd, "klart")
    with pytest.raises(Refusal, match=f"{made['payment_reference']}.* not booked: book it first"):
        offset(pair)
    with writing() as session:
        settlements.book(session, FINANCE, payout.id)
    offset(pair)
    assert still_open(pair) == [0, 0]


@given(
    st.lists(st.dates(date(2025, 1, 1), date(2026, 6, 1)), max_size=12),
    st.integers(0, 20),
    st.dates(date(2025, 1, 1), date(2026, 6, 1)),
    st.dates(date(2025, 1, 1), date(2026, 6, 1)),
)
def test_the_day_a_payout_is_expected_lies_after_the_operation_and_its_lag_and_never_in_the_past(
    past: list[date], lag: int, after: date, today: date
) -> None:
    """K50. Pure."""
    expected = Rhythm(past, lag).next_payout(after, today)
    assert expected > after and expected >= today and (expected - after).days >= lag
    if past:
        assert expected > max(past)


def test_the_rhythm_of_the_payouts_goes_on() -> None:
    """K50, its example: Thursdays, and the operation of 30 March is expected in the payout of 2 April."""
    thursdays = [date(2026, 3, day) for day in (5, 12, 19, 26)]
    assert Rhythm(thursdays).next_payout(date(2026, 3, 30), date(2026, 3, 31)) == date(2026, 4, 2)
    assert Rhythm().next_payout(date(2026, 3, 30), date(2026, 3, 31)) == date(2026, 4, 6)
    assert Rhythm(thursdays, lag=3).next_payout(date(2026, 3, 30), date(2026, 3, 31)) == date(2026, 4, 2)
    assert Rhythm(thursdays, lag=4).next_payout(date(2026, 3, 30), date(2026, 3, 31)) == date(2026, 4, 9)


def test_the_lag_is_read_from_what_the_last_payouts_paid(
    books: Any, klarna: Gateway, sandbox: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K50: a payout pays what is some days old, and an operation younger than that waits for the one after."""
    fees(sandbox, 0)
    monkeypatch.setattr(clock, "now", sandbox.now)
    for days in (5, 4, 6):
        a_sale(klarna, sandbox, 300_00)
        sandbox.move_clock(days=days)
        payout = booked(klarna, sandbox)
    with reading() as session:
        rhythm = payout_rhythm.of(session, payout.account_id, "SEK")
        assert payout_rhythm.of(session, payout.account_id, "EUR") == Rhythm()
    assert (rhythm.lag, len(rhythm.days)) == (4, 3)
    last = max(rhythm.days)
    assert rhythm.next_payout(last, last) == last + timedelta(days=6), "the usual one of 4 and 6 days, and it reaches"
    assert rhythm.next_payout(last + timedelta(days=3), last) == last + timedelta(days=12)


# --- The act -----------------------------------------------------------------------------------------------------------------


def test_two_documents_never_sent_to_klarna_have_no_period_to_wait_for(books: Any, klarna: Gateway) -> None:
    """K50, B33, E9a: closed at once and whole; both get the green tick."""
    pair = ordinary(klarna, 2_435_00)
    with reading() as session:
        (found,) = offsets.proposed(session)[0]
        assert (found.wait, found.amount_minor, found.invoice.at_klarna) == (None, 2_435_00, False)
        assert offsets.partners_of(session, pair[0].id) and offsets.partners_of(session, pair[1].id)
    assert voucher_of(offset(pair))[2] == [(1510, 2_435_00), (1510, -2_435_00)]
    assert still_open(pair) == [0, 0]
    assert [the_document(each.id).paid_at for each in pair] == [clock.today()] * 2
    with pytest.raises(Refusal, match="settled"):
        offset(pair)
    all_is_well()


def test_what_cannot_be_offset_is_refused_and_a_stale_page_does_nothing(books: Any, klarna: Gateway) -> None:
    """K49, catalogue 88: two customers, two orders, more than is open, by a clerk, and what has changed meanwhile."""
    pair, other = ordinary(klarna), ordinary(klarna, 500_00)
    with writing() as session:
        order = an_order(session, customer=a_customer(session), lines=[row("Keps", 300_00)])
        a_delivery(session, order)
    stranger = an_invoice(klarna, order)
    for two, sentence in (
        ((stranger, pair[1]), "different customers"),
        ((other[0], pair[1]), "different orders|different customers"),
        ((pair[1], pair[0]), "An invoice is offset against"),
    ):
        with pytest.raises(BadInput, match=sentence):
            offset(two, amount_minor=1)
    for amount in (0, -1, 1_000_01):
        with pytest.raises(BadInput, match="At most") as refused:
            offset(pair, amount_minor=amount)
        assert refused.value.field == "amount"
    with pytest.raises(NotAllowed):
        offset(pair, CLERK)
    offset(pair, amount_minor=100_00)
    with pytest.raises(Stale):
        offset(pair, amount_minor=100_00, shown_invoice_minor=1_000_00, shown_note_minor=1_000_00)
    assert still_open(pair) == [900_00, -900_00]
    with pytest.raises(NotFound), writing() as session:
        offsets.take_back(session, FINANCE, 4711, "finns inte")


def test_two_people_offset_the_same_pair_at_once_and_one_of_them_does(books: Any, klarna: Gateway) -> None:
    """A part of it, so that both would fit: the locks let the second see what the first has done (operations 16.1)."""
    pair = ordinary(klarna)

    def one(number: int) -> None:
        offset(
            pair, nonce=f"{number:x}" * 32, amount_minor=100_00, shown_invoice_minor=1_000_00, shown_note_minor=1_000_00
        )

    raised = in_threads(books, one, 3)
    assert [type(each) for each in raised] == [Stale] * 2, raised
    assert still_open(pair) == [900_00, -900_00]
    all_is_well()


def test_an_offset_note_cannot_be_reversed_until_the_offset_is_taken_back(books: Any, klarna: Gateway) -> None:
    """I11: then it can, and the books are as they should be."""
    pair = ordinary(klarna)
    made = offset(pair)
    with pytest.raises(Refusal, match="paid or offset"), writing() as session:
        credit_notes.reverse(session, FINANCE, pair[1].id, "fel")
    with writing() as session:
        offsets.take_back(session, FINANCE, made, "fel")
    with writing() as session:
        credit_notes.reverse(session, FINANCE, pair[1].id, "fel")
    assert still_open(pair) == [1_000_00, 0]
    all_is_well()
