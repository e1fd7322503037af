"""Payouts and their deposits: tied by reference with everything else as check, by hand with a reason, once, and provably."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal
from klarna_sandbox.control import Control
from models import Audit, BankEntry, BankStatement, BankTie, Payout, Voucher
from money import plain
from rights import Actor
from services import bank_file, bank_list, bank_statements, bank_ties, verify
from services.bank_list import AtBank
from services.bank_statements import Plan, Taken
from services.gateway import Gateway
from services.verify import CheckState
from tests import worlds
from tests.builders import FINANCE
from tests.services.bank_parts import IBAN, camt, entry
from tests.services.settlement_parts import a_sale, all_is_well, booked, fees, fetched, payout_of
from tests.threads import in_threads, while_open

AMOUNTS = (100_00, 200_00, 300_00)


@pytest.fixture
@worlds.kept
def paid(books: Flask, sandbox: Control, klarna: Gateway) -> list[Payout]:
    """Three payouts that are read in and booked: 100, 200 and 300 kr, without fees."""
    fees(sandbox, 0)
    made = []
    for amount in AMOUNTS:
        a_sale(klarna, sandbox, amount)
        made.append(booked(klarna, sandbox))
    return made


def of(payout: Payout, *, amount: str = "", days: int = 0, bank: str = "", reference: str = "") -> str:
    """The payout's deposit as the bank writes it, with what is other than it should be."""
    day = clock.local_date(payout.payout_date) + timedelta(days=days)
    return entry(reference or payout.payment_reference, amount or plain(payout.settlement_minor), day, bank=bank)


def read(content: bytes, actor: Actor = FINANCE) -> Taken:
    statement = bank_file.read(content, today=date.max)
    with writing() as session:
        return bank_statements.take(session, actor, content, "kontoutdrag.xml", statement)


def look(content: bytes) -> Plan:
    with reading() as session:
        return bank_statements.preview(session, content, bank_file.read(content, today=date.max))


def missing() -> Sequence[AtBank]:
    with reading() as session:
        return bank_list.payouts(session, found=False)[0]


def found() -> list[str]:
    with reading() as session:
        return sorted(each.payment_reference for each in bank_list.payouts(session, found=True)[0])


def rows() -> tuple[int, ...]:
    with reading() as session:
        return tuple(
            session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in (BankStatement, BankEntry, BankTie)
        )


def only_entry(text: str) -> int:
    with reading() as session:
        return session.scalars(sa.select(BankEntry.id).where(BankEntry.text.contains(text))).one()


def by_hand(
    payout: Payout, entry_id: int, reason: str = "Samma dag, referensen saknas", actor: Actor = FINANCE
) -> None:
    with writing() as session:
        bank_ties.tie(session, actor, payout.id, entry_id, reason)


def loosen(payout: Payout, reason: str = "Fel insättning") -> None:
    with writing() as session:
        bank_ties.untie(session, FINANCE, payout.id, reason)


def test_a_payout_is_tied_to_its_deposit_once_and_its_voucher_is_all_that_is_booked(paid: list[Payout]) -> None:
    """B33, E7, M17: by the payment reference; the same statement, and the same entry in another, change nothing."""
    one, two, three = paid
    assert [(each.payment_reference, each.age, each.whys) for each in missing()] == [
        (each.payment_reference, 0, []) for each in (three, two, one)
    ]
    with reading() as session:
        vouchers = session.scalar(sa.select(sa.func.count()).select_from(Voucher))
    first = camt(of(one, bank="A"), entry("HYRA", "50.00", clock.today(), payer="Kund AB"))
    plan = look(first)
    assert (plan.new, plan.known, [(each.payout, each.why) for each in plan.planned]) == (
        2,
        0,
        [(one.payment_reference, None)],
    )
    assert rows() == (0, 0, 0)
    assert read(first) == Taken(new=2, known=0, tied=1)
    assert found() == [one.payment_reference]
    # The same bytes say who and when; the same entry in a longer statement is known.
    with pytest.raises(Refusal, match="This very file was read in on") as again:
        read(first)
    assert again.value.values["who"] == FINANCE.name
    assert rows() == (1, 2, 1)
    longer = camt(of(one, bank="A"), of(two, bank="B"), of(three))
    assert (look(longer).new, look(longer).known) == (2, 1)
    assert read(longer) == Taken(new=2, known=1, tied=2)
    assert not missing() and rows() == (2, 4, 3)
    with reading() as session:
        counts = bank_list.counts(session)
        assert (counts.missing, counts.missing_minor, counts.found, counts.deposits) == (0, {}, 3, 0)
        tie = bank_list.found_of(session, one.id)
        assert tie is not None and (tie.how, tie.by, tie.account) == ("reference", "system", IBAN)
        # A deposit is a proof, not an event of the books.
        assert session.scalar(sa.select(sa.func.count()).select_from(Voucher)) == vouchers
        told = session.scalars(sa.select(Audit.action).where(Audit.action.like("bank.%")).order_by(Audit.id)).all()
    assert sorted(told) == ["bank.read", "bank.read", "bank.tied", "bank.tied", "bank.tied"]
    all_is_well()


def test_two_equal_entries_are_two_and_stay_two(paid: list[Payout]) -> None:
    """Two real deposits may look alike; reading the day again makes neither four of them nor one."""
    one, *_ = paid
    twice = camt(of(one), of(one))
    assert read(twice) == Taken(new=2, known=0, tied=0)
    # What the bank gives no number of its own is told apart by what it says.
    assert look(camt(of(one, reference="EN ANNAN"))).new == 1
    # Which of two is the payout's is for a person to say.
    assert [each.payment_reference for each in missing()][-1] == one.payment_reference
    assert read(camt(of(one), of(one), of(paid[1]))) == Taken(new=1, known=2, tied=1)
    # Once a person has said it, the other one is a deposit without a payout.
    with reading() as session:
        first = session.scalars(sa.select(sa.func.min(BankEntry.id))).one()
    by_hand(one, first)
    with reading() as session:
        assert bank_list.counts(session).deposits == 1
    third = camt(of(one), of(one), of(one))
    assert [str(each.why) for each in look(third).planned] == [
        "The payout with this reference has its deposit already."
    ]


def test_what_bears_the_reference_and_does_not_fit_is_said_in_words_and_not_tied(paid: list[Payout]) -> None:
    """B33: amount, currency, day and account are the check."""
    one, two, three = paid
    elsewhere = entry(three.payment_reference, "300.00", clock.today())
    little, late = of(one, amount="99.99"), of(two, days=40)
    assert read(camt(little, late)) == Taken(new=2, known=0, tied=0)
    said = {each.payment_reference: [str(why) for why in each.whys] for each in missing()}
    assert said[three.payment_reference] == []
    assert said[one.payment_reference] == [
        (
            f"SEK 99.99 came in on {clock.today()} with reference {one.payment_reference}, "
            "but the payout is SEK 100.00: SEK 0.01 too little."
        )
    ]
    assert "Look, and tie them by hand." in said[two.payment_reference][0]
    assert read(camt(of(one, amount="100.01"))).tied == 0
    assert any(str(why).endswith("SEK 0.01 too much.") for each in missing() for why in each.whys)
    euro = of(one).replace('Ccy="SEK"', 'Ccy="EUR"')
    assert read(camt(euro)).tied == 0
    assert any("but the payout is SEK 100.00." in str(why) for each in missing() for why in each.whys)
    # Once payouts have come to an account, another one is asked about.
    assert read(camt(of(one, bank="right"))).tied == 1
    assert read(camt(elsewhere, account="SE1")).tied == 0
    (why,) = next(each for each in missing() if each.id == three.id).whys
    assert str(why) == (f"The deposit came to account SE1; earlier payouts came to {IBAN}. Look, and tie them by hand.")
    with reading() as session:
        moved = session.scalars(sa.select(BankEntry.id).where(BankEntry.account == "SE1")).one()
    by_hand(three, moved, "Nytt konto sedan i maj")
    assert three.payment_reference in found()
    all_is_well()


def test_a_deposit_that_came_before_its_reading_is_tied_when_the_payout_is_read_in(
    books: Flask, sandbox: Control, klarna: Gateway
) -> None:
    """B33: whichever comes first."""
    fees(sandbox, 0)
    a_sale(klarna, sandbox, 100_00)
    made = sandbox.pay_out()[-1]
    early = camt(entry(made["payment_reference"].lower(), "100.00", clock.today(), payer=""))
    assert [str(each.why) for each in look(early).planned] == []
    assert read(early) == Taken(new=1, known=0, tied=0)
    fetched(klarna)
    assert found() == [payout_of(made).payment_reference]
    all_is_well()


def test_finance_ties_and_unties_with_a_reason_and_nothing_is_forgotten(paid: list[Payout], clerk: Actor) -> None:
    """M17: only what is equal to the öre; one deposit, one payout; both the tie and its end stay."""
    one, two, _ = paid
    read(camt(of(one, reference="OKÄND"), of(two, reference="SAKNAS"), of(two, amount="100.00", reference="ANNAN")))
    deposit, other, equal = only_entry("OKÄND"), only_entry("SAKNAS"), only_entry("ANNAN")
    with reading() as session:
        assert {each.id for each in bank_list.page_of(session, one.id).offered} == {deposit, equal}
    with pytest.raises(NotAllowed):
        by_hand(one, deposit, actor=clerk)
    with pytest.raises(BadInput, match="Write the reason") as blank:
        by_hand(one, deposit, " ")
    assert blank.value.field == "reason"
    with pytest.raises(Refusal, match=r"The deposit is SEK 200.00 and the payout SEK 100.00"):
        by_hand(one, other)
    with pytest.raises(NotFound):
        by_hand(one, 4711)
    with pytest.raises(Refusal, match="no deposit to untie"):
        loosen(one)
    by_hand(one, deposit)
    with pytest.raises(Refusal, match="has its deposit already"):
        by_hand(one, equal)
    with pytest.raises(Refusal, match="belongs to another payout"):
        by_hand(two, deposit)
    loosen(one)
    by_hand(one, equal)
    with reading() as session:
        page = bank_list.page_of(session, one.id)
    assert [(each.tied, each.how, each.reason) for each in page.events] == [
        (True, "hand", "Samma dag, referensen saknas"),
        (False, "hand", "Fel insättning"),
        (True, "hand", "Samma dag, referensen saknas"),
    ]
    assert page.payout.found is not None and page.payout.found.entry_id == equal and not page.offered
    for table in ("bank_tie", "bank_entry", "bank_statement"):
        with pytest.raises((IntegrityError, DatabaseError)), writing() as session:
            session.execute(sa.text(f"DELETE FROM {table}"))
    all_is_well()


def test_a_statement_with_a_wrong_entry_brings_nothing(paid: list[Payout]) -> None:
    one, *_ = paid
    with pytest.raises(Refusal, match="Nothing of it has been read in"):
        read(camt(of(one), of(one, amount="1,5")))
    assert rows() == (0, 0, 0)


def test_two_people_tie_two_deposits_to_one_payout_and_one_of_them_does(paid: list[Payout], books: Flask) -> None:
    """The lock of the payout: without it both would find it untied."""
    one, *_ = paid
    read(camt(of(one, reference="AAAA"), of(one, reference="BBBB")))
    deposits = [only_entry("AAAA"), only_entry("BBBB")]
    (raised,) = in_threads(books, lambda number: by_hand(one, deposits[number]), 2)
    assert "has its deposit already" in str(raised)
    all_is_well()


def test_two_statements_with_the_same_entry_are_read_in_at_once_and_it_comes_in_once(
    paid: list[Payout], books: Flask
) -> None:
    """The lease: without it both would find the entry unknown, and one person's reading would fail."""
    one, two, three = paid
    statements = [
        camt(of(one), *[of(two, bank=str(n)) for n in range(40)]),
        camt(of(three), *[of(two, bank=str(n)) for n in range(40)]),
    ]
    assert in_threads(books, lambda number: read(statements[number]), 2) == []
    assert rows() == (2, 42, 2)
    all_is_well()


@pytest.mark.untrue_books("a tie is written that no rule would have made")
def test_verify_finds_a_deposit_that_is_not_its_payout(paid: list[Payout]) -> None:
    """M17, the test of the test."""
    one, two, _ = paid
    read(camt(of(one), entry("X", "5.00", clock.today())))
    with writing() as session:
        wrong = session.scalars(sa.select(BankEntry.id).where(BankEntry.amount_minor == 500)).one()
        for payout in (one, two):
            session.add(
                BankTie(
                    entry_id=wrong, payout_id=payout.id, how="hand", reason="x", at=clock.now(), by="x", undoes_id=None
                )
            )
    with reading() as session:
        (result,) = verify.run(session, ["M17"])
    assert result.state is CheckState.FAILED
    assert [each.what for each in result.findings] == [
        f"is 10000 SEK, its deposit {wrong} is 500 SEK",
        f"is 20000 SEK, its deposit {wrong} is 500 SEK",
        "is tied 2 times",
        "is tied 2 times",
    ]


@pytest.mark.only_on("postgres")
@pytest.mark.parametrize("shared", ["payout", "deposit"])
def test_of_two_who_tie_at_once_the_second_waits_and_is_told(
    books: Flask, paid: list[Payout], klarna: Gateway, sandbox: Control, shared: str
) -> None:
    """M17, operations 16.1: a payout has one deposit and a deposit one payout, whoever was faster."""
    a_sale(klarna, sandbox, AMOUNTS[0])
    twin = booked(klarna, sandbox)
    read(camt(of(paid[0], bank="A", reference="INGEN1"), of(paid[0], bank="B", reference="INGEN2")))
    one, two = only_entry("INGEN1"), only_entry("INGEN2")
    second = (paid[0], two) if shared == "payout" else (twin, one)
    raised = while_open(
        books,
        lambda session: bank_ties.tie(session, FINANCE, paid[0].id, one, "Samma dag"),
        lambda session: bank_ties.tie(session, FINANCE, second[0].id, second[1], "Samma dag"),
    )
    assert isinstance(raised, Refusal) and "already" in raised.message
    assert found() == [paid[0].payment_reference]


@pytest.mark.only_on("postgres")
def test_a_deposit_found_twice_at_once_is_tied_once(books: Flask, paid: list[Payout]) -> None:
    """The worker and a statement that is read in look for the same deposit."""
    read(camt(of(paid[0], bank="A")))
    loosen(paid[0])

    def look_for(session: Session) -> None:
        assert bank_ties.tie_payout(session, paid[0].id)

    before = rows()[2]
    assert while_open(books, look_for, look_for) is None
    assert rows()[2] == before + 1
