"""A voucher written by hand balances, is booked once where it may be, and is reversed once."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from models import Account, Audit, FiscalYear, Posting, Voucher
from rights import Actor
from services import ledger, manual_vouchers, periods, stock_booking, verify
from services.manual_vouchers import Row, Written
from tests.services.test_stock_booking import begin
from tests.threads import in_threads, while_open

TODAY = clock.today()
YESTERDAY = TODAY - timedelta(days=1)


def debit(account: int, minor: int, where: str = "rows-0-") -> Row:
    return Row(account, minor, None, where=where)


def credit(account: int, minor: int, where: str = "rows-1-") -> Row:
    return Row(account, None, minor, where=where)


def written(*rows: Row, day: date = TODAY) -> Written:
    return Written(day, "Bankavgift november, pärm 3", rows or (debit(6570, 5_00), credit(1930, 5_00)))


def write(actor: Actor, what: Written, nonce: str = "") -> int:
    with writing() as session:
        return manual_vouchers.write_once(session, actor, nonce or secrets.token_hex(16), what)


def reverse(actor: Actor, voucher_id: int, reason: str = "Fel konto", nonce: str = "") -> int:
    with writing() as session:
        return manual_vouchers.reverse_once(session, actor, nonce or secrets.token_hex(16), voucher_id, reason)


def sums() -> dict[int, int]:
    with reading() as session:
        rows = session.execute(sa.select(Posting.account, sa.func.sum(Posting.amount_minor)).group_by(Posting.account))
        return {account: int(minor) for account, minor in rows if minor}


def count() -> int:
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Voucher)) or 0


def true_books() -> bool:
    with reading() as session:
        return all(result.state is not verify.CheckState.FAILED for result in verify.run(session))


def test_it_is_booked_in_series_k_once_however_often_the_form_is_sent(books: Flask, finance: Actor) -> None:
    """B34; operations 12."""
    nonce = secrets.token_hex(16)
    first = write(finance, written(), nonce)
    assert write(finance, written(), nonce) == first and count() == 1
    with reading() as session:
        made = session.get_one(Voucher, first)
        assert (made.series, made.day, made.text) == ("K", TODAY, "Bankavgift november, pärm 3")
    assert sums() == {6570: 5_00, 1930: -5_00}
    with pytest.raises(Refusal, match="other values"):
        write(finance, written(debit(6570, 6_00), credit(1930, 6_00)), nonce)
    assert count() == 1 and true_books()


def test_the_same_form_twice_at_once_books_one(books: Flask, finance: Actor) -> None:
    """Operations 12."""
    nonce = secrets.token_hex(16)
    made: list[int] = []
    assert in_threads(books, lambda _: made.append(write(finance, written(), nonce)), 2) == []
    assert len(made) == 2 and len(set(made)) == 1 and count() == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([1930, 2890, 2999, 3740, 6570]), st.integers(-(10**9), 10**9).filter(bool)),
        max_size=5,
    ),
    st.booleans(),
)
def test_what_does_not_balance_is_never_booked_and_what_does_is_to_the_ore(
    books: Flask, finance: Actor, told: list[tuple[int, int]], balance: bool
) -> None:
    """A1; catalogue row 34."""
    off = sum(minor for _, minor in told)
    if balance and off:
        told = [*told, (6040, -off)]
    rows = [
        debit(account, minor, f"rows-{n}-") if minor > 0 else credit(account, -minor, f"rows-{n}-")
        for n, (account, minor) in enumerate(told)
    ]
    before, had = sums(), count()
    if len(told) < 2 or sum(minor for _, minor in told):
        with pytest.raises(BadInput):
            write(finance, Written(TODAY, "Prov", rows))
        assert sums() == before
        return
    made = write(finance, Written(TODAY, "Prov", rows))
    changed = Counter(sums())
    changed.subtract(before)
    expected: Counter[int] = Counter()
    for account, minor in told:
        expected[account] += minor
    assert +changed == +expected and +Counter({k: -v for k, v in changed.items()}) == +Counter(
        {k: -v for k, v in expected.items()}
    )
    reverse(finance, made)
    assert sums() == before and count() == had + 2


@pytest.mark.parametrize(
    ("rows", "field", "words"),
    [
        ((debit(6570, 5_01), credit(1930, 5_00)), None, "differ"),
        ((debit(6570, 5_00),), None, "at least two"),
        ((), None, "at least two"),
        ((debit(4444, 5_00), credit(1930, 5_00)), "rows-0-account", "not in the chart"),
        ((debit(6570, 5_00), credit(6060, 5_00)), "rows-1-account", "closed"),
        ((debit(6570, 5_00), credit(1510, 5_00)), "rows-1-account", "documents say"),
        ((Row(6570, 5_00, 5_00, where="rows-0-"), credit(1930, 5_00)), "rows-0-debit", "one of them"),
        ((Row(6570, None, None, where="rows-0-"), credit(1930, 5_00)), "rows-0-debit", "one of them"),
    ],
)
def test_bad_rows_are_told_beside_their_field_and_nothing_is_booked(
    books: Flask, finance: Actor, rows: tuple[Row, ...], field: str | None, words: str
) -> None:
    """Catalogue row 34."""
    with writing() as session:
        session.get_one(Account, 6060).active = False
    with pytest.raises(BadInput, match=words) as no, writing() as session:
        manual_vouchers.write_once(session, finance, secrets.token_hex(16), Written(TODAY, "Prov", rows))
    assert no.value.field == field and count() == 0


def test_a_day_that_cannot_be_booked_on_is_told_beside_it(books: Flask, finance: Actor) -> None:
    """Catalogue row 35; A6: nothing is moved to another day unasked."""
    with writing() as session:
        periods.lock(session, finance, YESTERDAY, "November")
        first = min(year.starts for year in session.scalars(sa.select(FiscalYear)))
    for day, words in (
        (YESTERDAY, "is locked"),
        (first - timedelta(days=1), "no financial year"),
        (TODAY + timedelta(days=manual_vouchers.DAYS_AHEAD + 1), "more than a year"),
    ):
        with pytest.raises(Refusal, match=words) as no:
            write(finance, written(day=day))
        assert no.value.field == "day"
    assert count() == 0


def test_a_lock_made_while_it_is_written_is_waited_for(books: Flask, finance: Actor) -> None:
    """A6: whoever books waits for the one who locks, and is then told."""
    locked, refused = threading.Event(), []

    def work(number: int) -> None:
        if number == 0:
            with writing() as session:
                periods.lock(session, finance, YESTERDAY, "November")
                locked.set()
                threading.Event().wait(0.3)
        else:
            locked.wait(10)
            try:
                write(finance, written(day=YESTERDAY))
            except BadInput as no:
                refused.append(no.field)

    assert in_threads(books, work, 2) == [] and refused == ["day"] and count() == 0


def test_the_stock_account_follows_the_stock_once_it_is_booked(books: Flask, finance: Actor) -> None:
    """S4: a row by hand there would be explained by nothing."""
    made = write(finance, written(debit(1460, 5_00), credit(1930, 5_00)))
    reverse(finance, made)
    kept = write(finance, written(debit(1460, 7_00), credit(1930, 7_00)))
    begin(actor=finance)
    with pytest.raises(BadInput, match="follows the stock"):
        write(finance, written(debit(1460, 5_00), credit(1930, 5_00)))
    with pytest.raises(Refusal, match="follows the stock"):
        reverse(finance, kept)
    with reading() as session:
        assert 1460 not in [each.number for each in manual_vouchers.offered(session)]
    assert true_books()


@pytest.mark.only_on("postgres")
def test_who_begins_to_book_stock_just_then_is_waited_for(books: Flask, finance: Actor) -> None:
    """S4: otherwise the account begins with a row that nothing explains."""

    def begins(session: Session) -> None:
        stock_booking.begin(session, finance, secrets.token_hex(16), 0, 0)

    def writes(session: Session) -> None:
        what = written(debit(1460, 5_00), credit(1930, 5_00))
        manual_vouchers.write_once(session, finance, secrets.token_hex(16), what)

    refused = while_open(books, begins, writes)
    assert isinstance(refused, BadInput) and refused.field == "rows-0-account" and true_books()


def test_it_is_reversed_once_by_its_exact_negation(books: Flask, finance: Actor) -> None:
    """A7, E11."""
    made, nonce = write(finance, written()), secrets.token_hex(16)
    undone = reverse(finance, made, nonce=nonce)
    assert reverse(finance, made, nonce=nonce) == undone and sums() == {}
    with pytest.raises(Refusal, match="already been reversed"):
        reverse(finance, made)
    with pytest.raises(NotFound):
        reverse(finance, undone)
    with reading() as session:
        made_undone = session.get_one(Voucher, undone)
        assert (made_undone.reverses_id, made_undone.text) == (made, "Återför K1: Fel konto")
    assert true_books()


def test_what_is_dated_ahead_is_reversed_on_its_own_day_and_not_before_it(books: Flask, finance: Actor) -> None:
    """A7, E11: or this year would hold a reversal of what stands in the next one."""
    ahead = TODAY + timedelta(days=200)
    undone = reverse(finance, write(finance, written(day=ahead)))
    with reading() as session:
        assert session.get_one(Voucher, undone).day == ahead
    undone = reverse(finance, write(finance, written(day=YESTERDAY)))
    with reading() as session:
        assert session.get_one(Voucher, undone).day == TODAY
    assert true_books()


def test_personal_numbers_are_masked_in_what_is_kept(books: Flask, finance: Actor) -> None:
    """B29: texts of vouchers are kept for seven years."""
    rows = replace(debit(6570, 5_00), text="8112189876"), credit(1930, 5_00)
    made = write(finance, replace(written(*rows), text="Lön 19811218-9876"))
    undone = reverse(finance, made, "Inte 811218-9876")
    with reading() as session:
        told = [session.get_one(Voucher, each) for each in (made, undone)]
        assert [each.text for each in told] == ["Lön ******-****", "Återför K1: Inte ******-****"]
        assert {each.text for each in told[0].postings} == {"******-****", ""}
        assert "9876" not in "".join(each.detail for each in session.scalars(sa.select(Audit)))


def test_what_was_booked_for_something_goes_with_it_and_not_by_hand(books: Flask, finance: Actor) -> None:
    """A7: a payout's or a document's voucher is reversed where it belongs."""
    with writing() as session:
        other = ledger.post(
            session, finance, series="I", day=TODAY, text="x", source="payout:1",
            entries=[ledger.Entry(1930, 5), ledger.Entry(2890, -5)],
        ).id  # fmt: skip
    with pytest.raises(NotFound):
        reverse(finance, other)


def test_only_finance_writes_and_a_reason_is_asked_for(
    books: Flask, finance: Actor, clerk: Actor, admin: Actor
) -> None:
    """Security: rights, vouchers."""
    for actor in (clerk, admin):
        with pytest.raises(NotAllowed):
            write(actor, written())
    made = write(finance, written())
    with pytest.raises(NotAllowed):
        reverse(clerk, made)
    with pytest.raises(BadInput, match="reason") as no:
        reverse(finance, made, reason="")
    assert no.value.field == "reason"


def test_what_stands_on_an_account_is_offered_to_be_booked_elsewhere(books: Flask, finance: Actor) -> None:
    """What was put aside as unexplained is cleared; nothing is left of it."""
    write(finance, written(debit(1930, 7_00), credit(2999, 7_00), day=YESTERDAY))
    with reading() as session:
        held = manual_vouchers.clearing(session, 2999, TODAY)
        assert (held.account, held.minor, held.day) == (2999, -7_00, TODAY)
        assert manual_vouchers.clearing(session, 2999, YESTERDAY - timedelta(days=1)).minor == 0
        with pytest.raises(NotFound):
            manual_vouchers.clearing(session, 4444, TODAY)
    write(finance, written(debit(2999, 7_00), credit(3740, 7_00)))
    assert sums() == {1930: 7_00, 3740: -7_00}


def test_two_hundred_rows_are_a_voucher(books: Flask, finance: Actor) -> None:
    """Catalogue row 34: the most a form holds."""
    rows = [debit(6570, 1, f"rows-{n}-") for n in range(manual_vouchers.MOST_ROWS - 1)]
    write(finance, written(*rows, credit(1930, len(rows))))
    assert sums() == {6570: len(rows), 1930: -len(rows)}
