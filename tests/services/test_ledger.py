"""The books: a voucher balances or does not exist, is written once and reversed once, and stays."""

from __future__ import annotations

import threading
import time
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

import clock
import db
from db import reading, writing
from errors import BadInput, BrokenRule, NotAllowed, NotFound, Refusal
from models import Account, Document, NumberSeries, Posting, Voucher
from rights import Actor
from services import ledger, verify
from services.ledger import Entry
from states import DocKind, DocState, DocType
from tests import builders
from tests.threads import in_threads

TODAY = clock.today()
FREE = [1930, 2890, 3740, 6060, 2641, 1686]
"""Accounts that need no document."""


def post(session: Session, actor: Actor, *entries: Entry, source: str = "prov:1", day: date = TODAY) -> Voucher:
    return ledger.post(session, actor, series="I", day=day, text="Prov", source=source, entries=entries)


def a_claim(session: Session, customer_id: int) -> Document:
    """A document for the ledger's own tests; it has no number and so stays out of what verify asks of documents."""
    made = Document(
        kind=DocKind.INVOICE,
        type=DocType.FINAL,
        state=DocState.DRAFT,
        customer_id=customer_id,
        currency="SEK",
        with_klarna=False,
        created_by="x",
        created_at=clock.now(),
        changed_at=clock.now(),
    )
    session.add(made)
    session.flush()
    return made


def sums() -> dict[int, int]:
    with reading() as session:
        rows = session.execute(sa.select(Posting.account, sa.func.sum(Posting.amount_minor)).group_by(Posting.account))
        return {account: int(amount) for account, amount in rows}


def verified(*ids: str) -> bool:
    with reading() as session:
        return all(result.state is not verify.CheckState.FAILED for result in verify.run(session, ids or None))


# --- Posting ------------------------------------------------------------------------------------------------------------


def test_a_voucher_is_numbered_dated_and_chained(books: Flask, finance: Actor) -> None:
    with writing() as session:
        first = post(session, finance, Entry(1930, 10_000, "bank"), Entry(2890, -10_000), Entry(3740, 0))
        second = post(session, finance, Entry(1930, 1), Entry(2890, -1), source="prov:2")
    assert (first.series, first.number, second.number) == ("I", 1, 2)
    assert (first.previous_hash, second.previous_hash) == ("", first.hash)
    with reading() as session:
        page = ledger.voucher(session, first.id)
        assert (
            session.scalar(sa.select(NumberSeries.head_hash).where(NumberSeries.head_hash == second.hash)) is not None
        )
    assert [(row.account, row.text, row.debit, row.credit) for row in page.postings] == [
        (1930, "bank", 10_000, 0),
        (2890, "", 0, 10_000),
    ]
    assert verified()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FREE), st.integers(-(10**9), 10**9)), max_size=6), st.booleans())
def test_a_voucher_balances_or_does_not_exist(
    books: Flask, finance: Actor, rows: list[tuple[int, int]], balance: bool
) -> None:
    """A1."""
    entries = [Entry(account, amount) for account, amount in rows]
    if balance and entries:
        entries.append(Entry(3740, -sum(entry.amount_minor for entry in entries)))
    good = sum(e.amount_minor for e in entries) == 0 and sum(1 for e in entries if e.amount_minor) >= 2
    before = sums()
    with reading() as session:
        count = session.scalar(sa.select(sa.func.count()).select_from(Voucher)) or 0
    if not good:
        with pytest.raises(BrokenRule), writing() as session:
            post(session, finance, *entries)
        assert sums() == before
        return
    with writing() as session:
        made = post(session, finance, *entries, source=f"prov:{count}")
    assert made.number == count + 1
    after = sums()
    for account in {entry.account for entry in entries}:
        moved = sum(entry.amount_minor for entry in entries if entry.account == account)
        assert after.get(account, 0) - before.get(account, 0) == moved


@pytest.mark.parametrize("amount", [1.0, True])
def test_an_amount_is_whole(books: Flask, finance: Actor, amount: object) -> None:
    with pytest.raises(BrokenRule), writing() as session:
        post(session, finance, Entry(1930, amount), Entry(2890, -1))  # type: ignore[arg-type]


def test_a_series_that_is_not_there_is_a_mistake(books: Flask, finance: Actor) -> None:
    with pytest.raises(BrokenRule), writing() as session:
        ledger.post(
            session, finance, series="X", day=TODAY, text="", source="x", entries=[Entry(1930, 1), Entry(2890, -1)]
        )


def test_booking_twice_from_one_source_is_impossible(books: Flask, finance: Actor) -> None:
    """B33: and the number of the second is given back."""
    with writing() as session:
        post(session, finance, Entry(1930, 1), Entry(2890, -1))
    with pytest.raises(IntegrityError), writing() as session:
        post(session, finance, Entry(1930, 1), Entry(2890, -1))
    with writing() as session:
        assert post(session, finance, Entry(1930, 1), Entry(2890, -1), source="prov:2").number == 2


@pytest.mark.parametrize("closed", [False, True])
def test_an_unknown_or_closed_account_is_refused_by_name(books: Flask, finance: Actor, closed: bool) -> None:
    with writing() as session:
        if closed:
            session.get_one(Account, 6570).active = False
    with pytest.raises(Refusal) as refused, writing() as session:
        post(session, finance, Entry(1930, 1), Entry(6570 if closed else 9998, -1))
    assert refused.value.values["account"] == ("6570" if closed else "9998")


def test_a_day_without_a_year_is_refused_and_a_following_year_opens_by_itself(books: Flask, finance: Actor) -> None:
    with pytest.raises(Refusal), writing() as session:
        post(session, finance, Entry(1930, 1), Entry(2890, -1), day=date(1999, 12, 31))
    with reading() as session:
        last = max(year.ends for year in ledger.years(session))
    with writing() as session:
        made = post(session, finance, Entry(1930, 1), Entry(2890, -1), day=last + timedelta(days=400))
    assert made.number == 1
    assert verified("A5", "A6", "A8")


# --- What remains of a document -----------------------------------------------------------------------------------------


def test_a_receivable_entry_names_its_document(books: Flask, finance: Actor) -> None:
    with pytest.raises(BrokenRule), writing() as session:
        post(session, finance, Entry(1510, 1), Entry(2890, -1))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-5000, 5000)), min_size=1, max_size=6))
def test_what_remains_follows_what_is_booked(books: Flask, finance: Actor, moves: list[tuple[int, int]]) -> None:
    """A9: entries on other accounts that name a document do not count."""
    assume(any(amount for _, amount in moves))
    with writing() as session:
        customer = builders.a_customer(session)
        documents = [a_claim(session, customer.id) for _ in range(3)]
        keys = [document.id for document in documents]
        entries = [Entry(1510, amount, document_id=keys[which]) for which, amount in moves]
        entries.append(Entry(1930, -sum(e.amount_minor for e in entries), document_id=keys[0]))
        entries += [Entry(6060, 7), Entry(2890, -7)]
        post(session, finance, *entries, source=f"prov:{keys[0]}")
        held = [document.open_minor for document in documents]
    with reading() as session:
        stored = [session.get_one(Document, key).open_minor for key in keys]
    assert stored == held == [sum(amount for which, amount in moves if which == n) for n in range(3)]
    assert verified("A9")


# --- Reversing ----------------------------------------------------------------------------------------------------------


@pytest.mark.only_on("postgres")
def test_documents_are_held_in_one_order_before_any_is_changed(books: Flask, finance: Actor) -> None:
    """Two who move the same documents wait for each other and never in a circle: while the first is taken, none is held."""
    with writing() as session:
        customer_id = builders.a_customer(session).id
        keys = sorted(a_claim(session, customer_id).id for _ in range(8))
    with writing() as session:
        # So that it lies behind the others, and is met last by whoever goes through the table.
        session.execute(sa.update(Document).where(Document.id == keys[0]).values(changed_at=clock.now()))
    seen: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            with writing() as session:
                # However the database would go about the change: here through the table.
                for way in ("sort", "nestloop", "mergejoin", "indexscan", "bitmapscan"):
                    session.execute(sa.text(f"SET LOCAL enable_{way} = off"))
                entries = [Entry(1510, 100, "", key) for key in reversed(keys)]
                post(session, finance, *entries, Entry(1930, -100 * len(keys)))
            return
        with db.db.engine.connect() as first:
            waiting = sa.text(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            for _ in range(200):
                if first.scalar(waiting):
                    break
                first.rollback()
                time.sleep(0.01)
            query = (
                sa.select(Document.id).where(Document.id.in_(keys)).with_for_update(key_share=True, skip_locked=True)
            )
            seen.extend(first.scalars(query))
            first.rollback()
        taken.rollback()

    with db.db.engine.connect() as taken:
        taken.execute(sa.select(Document.id).where(Document.id == keys[0]).with_for_update(key_share=True))
        assert in_threads(books, work, 2) == []
    assert sorted(seen) == keys[1:]
    with reading() as session:
        assert set(session.scalars(sa.select(Document.open_minor).where(Document.id.in_(keys)))) == {100}


def test_a_reversal_is_the_exact_negation_and_comes_once(books: Flask, finance: Actor) -> None:
    """A7, E11."""
    with writing() as session:
        document = a_claim(session, builders.a_customer(session).id)
        made = post(
            session,
            finance,
            Entry(1510, -49_900, "K", document.id),
            Entry(3001, 39_920, vat_rate=2500),
            Entry(2611, 9_980, vat_rate=2500),
            day=TODAY - timedelta(days=3),
        )
        assert document.open_minor == -49_900
        undone = ledger.reverse(session, finance, made, day=TODAY, text="Återförd", source="reverse:1")
        assert document.open_minor == 0
    assert (undone.series, undone.day, undone.reverses_id) == ("K", TODAY, made.id)
    assert set(sums().values()) == {0}
    with reading() as session:
        page = ledger.voucher(session, made.id)
        assert page.reversed_by is not None
        assert page.reversed_by.label == "K1"
        assert [row.vat_rate for row in ledger.voucher(session, undone.id).postings] == [None, 2500, 2500]
    for target in (made, undone):
        with pytest.raises(Refusal), writing() as session:
            ledger.reverse(
                session, finance, session.get_one(Voucher, target.id), day=TODAY, text="", source="reverse:2"
            )
    assert verified()


def test_two_that_reverse_at_once_make_one_reversal(books: Flask, finance: Actor) -> None:
    with writing() as session:
        made = post(session, finance, Entry(1930, 1), Entry(2890, -1))
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            with writing() as session:
                ledger.reverse(
                    session, finance, session.get_one(Voucher, made.id), day=TODAY, text="", source=f"reverse:{number}"
                )
            outcomes.append("made")
        except Refusal as refused:
            outcomes.append(refused.message)

    assert in_threads(books, work, 2) == []
    assert sorted(outcomes) == ["Voucher %(number)s has already been reversed.", "made"]
    assert verified("A1", "A5", "A7", "A10")


# --- The period lock ----------------------------------------------------------------------------------------------------


def test_a_locked_period_takes_nothing_and_the_voucher_names_the_day_of_the_event(books: Flask, finance: Actor) -> None:
    """Operations 2.3, I12, fault 64."""
    locked = TODAY - timedelta(days=10)
    with writing() as session:
        ledger.lock(session, finance, locked, "månadsslut")
    with writing() as session:
        made = post(session, finance, Entry(1930, 1), Entry(2890, -1), day=locked - timedelta(days=5))
        after = post(session, finance, Entry(1930, 1), Entry(2890, -1), day=locked + timedelta(days=1), source="prov:2")
    assert made.day == locked + timedelta(days=1)
    assert made.text == f"Prov, avser {locked - timedelta(days=5)}"
    assert (after.day, after.text) == (locked + timedelta(days=1), "Prov")
    assert verified()


def test_locking_and_unlocking_is_for_finance_with_a_reason(books: Flask, finance: Actor, clerk: Actor) -> None:
    """Catalogue row 38."""
    day = TODAY - timedelta(days=30)
    for refused in (clerk, Actor("ingen")):
        with pytest.raises(NotAllowed), writing() as session:
            ledger.lock(session, refused, day, "x")
    with pytest.raises(BadInput), writing() as session:
        ledger.lock(session, finance, day, "  ")
    with pytest.raises(BadInput), writing() as session:
        ledger.lock(session, finance, TODAY, "x")
    with pytest.raises(BadInput), writing() as session:
        ledger.unlock(session, finance, None, "x")
    with writing() as session:
        ledger.lock(session, finance, day, "månadsslut")
        assert ledger.locked_through(session) == day
        assert ledger.first_open_day(session, day) == day + timedelta(days=1)
    with pytest.raises(BadInput), writing() as session:
        ledger.lock(session, finance, day, "igen")
    with pytest.raises(NotAllowed), writing() as session:
        ledger.unlock(session, clerk, None, "x")
    with writing() as session:
        ledger.unlock(session, finance, None, "rättelse")
        assert ledger.first_open_day(session, day) == day
        assert [(row.reason, opened) for row, opened in ledger.lock_history(session)] == [
            ("rättelse", True),
            ("månadsslut", False),
        ]


def test_a_voucher_written_while_the_period_is_locked_goes_to_the_open_one(books: Flask, finance: Actor) -> None:
    """The lock waits for vouchers that are under way, and those after it see it (A6)."""
    locked = TODAY - timedelta(days=10)
    posted, go_on = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            with writing() as session:
                post(session, finance, Entry(1930, 1), Entry(2890, -1), day=locked)
                posted.set()
                go_on.wait(0.3)
        else:
            posted.wait(10)
            with writing() as session:
                ledger.lock(session, finance, locked, "månadsslut")
            with writing() as session:
                assert post(session, finance, Entry(1930, 1), Entry(2890, -1), day=locked, source="prov:2").day > locked

    assert in_threads(books, work, 2) == []
    assert verified("A6")


# --- Years --------------------------------------------------------------------------------------------------------------


@pytest.mark.bare_database
def test_opening_books_makes_chart_rates_year_and_series_once(books: Flask, finance: Actor) -> None:
    for _ in range(2):
        with writing() as session:
            year = ledger.open_books(session, finance, 2026)
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Account)) == len(ledger.accounts.CHART)
        assert set(session.scalars(sa.select(NumberSeries.code).where(NumberSeries.fiscal_year == year.id))) == {
            "V:F",
            "V:I",
            "V:K",
        }
    with writing() as session:
        ledger.open_books(session, finance, 2025)
        ledger.open_books(session, finance, 2028)
        with pytest.raises(Refusal):
            ledger.open_books(session, finance, 2020)
    with reading() as session:
        assert [year.starts.year for year in ledger.years(session)] == [2028, 2027, 2026, 2025]
    assert verified("A6")


# --- What is read out ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two_years(books: Flask, finance: Actor) -> list[Voucher]:
    """A sale and a cost the year before, a payment and a sale this year."""
    year = TODAY.year
    plan = [
        (date(year - 1, 6, 1), "F", [(1930, 10_000), (3001, -8_000), (2611, -2_000)]),
        (date(year - 1, 12, 31), "I", [(6060, 500), (1930, -500)]),
        (date(year, 1, 1), "I", [(1930, 300), (2890, -300)]),
        (date(year, 2, 1), "F", [(1930, 2_500), (3001, -2_000), (2611, -500)]),
    ]
    with writing() as session:
        return [
            ledger.post(
                session,
                finance,
                series="I" if series == "F" else "K",
                day=day,
                text=f"Prov {number}",
                source=f"prov:{number}",
                entries=[Entry(*row) for row in rows],
            )
            for number, (day, series, rows) in enumerate(plan)
        ]


def test_balances_carry_over_and_results_begin_anew(two_years: list[Voucher]) -> None:
    """A8."""
    year = TODAY.year
    with reading() as session:
        now = {row.account: row for row in ledger.trial_balance(session, date(year, 1, 1), date(year, 12, 31))}
        february = {row.account: row for row in ledger.trial_balance(session, date(year, 2, 1), date(year, 2, 28))}
    bank = now[1930]
    assert (bank.opening, bank.debit, bank.credit, bank.closing) == (9_500, 2_800, 0, 12_300)
    assert (now[3001].opening, now[3001].closing) == (0, -2_000)
    assert 6060 not in now
    assert february[1930].opening == 9_800
    assert sum(row.debit - row.credit for row in now.values()) == 0
    assert verified("A2", "A8")


def test_vouchers_are_listed_filtered_and_paged(two_years: list[Voucher]) -> None:
    """B34."""
    with reading() as session:
        every = ledger.voucher_list(session)
        assert [row.id for row in every] == [made.id for made in reversed(two_years)]
        assert [row.total_minor for row in every] == [2_500, 300, 500, 10_000]
        assert [row.series for row in ledger.voucher_list(session, series=["K"])] == ["K", "K"]
        assert len(ledger.voucher_list(session, starts=date(TODAY.year, 1, 1), ends=date(TODAY.year, 1, 1))) == 1
        seen: list[int] = []
        after = None
        while rows := ledger.voucher_list(session, after=after, limit=1):
            seen.append(rows[0].id)
            after = (rows[0].day, rows[0].id)
        assert seen == [row.id for row in every]


def test_an_account_is_shown_with_its_running_balance(two_years: list[Voucher]) -> None:
    year = TODAY.year
    with reading() as session:
        sheet = ledger.account_sheet(session, 1930, date(year, 1, 1), date(year, 12, 31))
        assert (sheet.opening, sheet.closing) == (9_500, 12_300)
        assert [row.balance for row in sheet.rows] == [9_800, 12_300]
        assert ledger.account_sheet(session, 1930, date(year, 1, 1), date(year, 12, 31), limit=1).cut
        with pytest.raises(NotFound):
            ledger.account_sheet(session, 9998, date(year, 1, 1), date(year, 12, 31))


def test_an_account_can_merge_what_belongs_to_one_document(books: Flask, finance: Actor) -> None:
    """B34."""
    with writing() as session:
        document = a_claim(session, builders.a_customer(session).id)
        other = a_claim(session, document.customer_id)
        for number, (key, amount) in enumerate([(document.id, 1_000), (other.id, 70), (document.id, -400)]):
            post(session, finance, Entry(1510, amount, "", key), Entry(1930, -amount), source=f"prov:{number}")
    with reading() as session:
        sheet = ledger.account_sheet(session, 1510, TODAY, TODAY, merge=True)
    assert [(row.document_id, row.debit, row.credit, row.balance, row.joined) for row in sheet.rows] == [
        (document.id, 1_000, 400, 600, 2),
        (other.id, 70, 0, 670, 1),
    ]


def test_the_series_report_finds_holes(two_years: list[Voucher]) -> None:
    """B34, «Luckor i nummerserier»: none, and one when the counter has run ahead."""
    with reading() as session:
        assert all(report.gaps == [] for report in ledger.number_series(session))
    with writing() as session:
        session.execute(sa.update(NumberSeries).where(NumberSeries.code == "V:K").values(next_no=5))
    with reading() as session:
        found = {(report.code, tuple(report.gaps)) for report in ledger.number_series(session) if report.gaps}
    assert found == {("V:K", ((2, 4),)), ("V:K", ((1, 4),))}


# --- Append-only --------------------------------------------------------------------------------------------------------

ATTACKS = [
    "UPDATE voucher SET text = 'x'",
    "UPDATE posting SET amount_minor = amount_minor * 2",
    "DELETE FROM posting",
    "DELETE FROM voucher",
    (
        "INSERT INTO posting (id, voucher_id, position, account, amount_minor, text) SELECT id, voucher_id, position,"
        " account, 7, '' FROM posting WHERE true ON CONFLICT (id) DO UPDATE SET amount_minor = 7"
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda sql: " ".join(sql.split()[:3]))
def test_what_is_booked_stays(two_years: list[Voucher], attack: str) -> None:
    before = sums()
    with pytest.raises(DBAPIError), writing() as session:
        session.execute(sa.text(attack))
    assert sums() == before
    assert verified("A1", "A10")


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("table", ["voucher", "posting"])
def test_what_is_booked_is_not_replaced_either(two_years: list[Voucher], table: str) -> None:
    with pytest.raises(DBAPIError), writing() as session:
        session.execute(sa.text(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"))
