"""Payouts of the sandbox, fetched and booked by themselves: every voucher of the accounting reference, to the öre."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

import clock
from db import reading, writing
from errors import Refusal
from klarna_sandbox.control import Control
from models import Payout, Voucher
from money import Amount
from rights import Actor
from services import klarna_accounts, settlements, vat_report
from services.gateway import Gateway
from services.settlement_sentences import told
from states import FeesFrom, PayoutState, Pile
from tests.builders import FINANCE, the_document
from tests.services.settlement_parts import (
    a_refund,
    a_sale,
    all_is_well,
    booked,
    counts,
    entries,
    fees,
    fetched,
    open_breaks,
    payout_of,
    postings,
    rows_of,
    worker,
)

__all__ = ("worker",)
pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture(autouse=True)
def no_fees(sandbox: Control) -> None:
    fees(sandbox, 0)


def test_a_payout_pays_its_invoice_with_fee_and_vat(klarna: Gateway, sandbox: Control) -> None:
    """B33, E7, K47, B1: Specter's own figures."""
    fees(sandbox, 36_53)
    invoice = a_sale(klarna, sandbox, 2_435_00)
    payout = booked(klarna, sandbox)
    assert postings(payout) == [
        (1930, 2_389_34, "bankbetalning"),
        (6060, 36_53, "kreditförsäljningskostnad"),
        (2641, 9_13, "moms på kreditförsäljningskostnad"),
        (1510, -2_435_00, f"Faktura {invoice.number_text} betald"),
    ]
    paid = the_document(invoice.id)
    assert (paid.open_minor, paid.paid_reference) == (0, payout.payment_reference)
    assert paid.paid_at == clock.local_date(payout.payout_date)
    with reading() as session:
        told = settlements.rows_of_document(session, invoice.id)
        voucher = session.get_one(Voucher, payout.voucher_id)
    assert [(each.kind, each.amount_minor) for each in told] == [("bank", 2_389_34), ("fee", 36_53), ("vat", 9_13)]
    assert sum(each.amount_minor for each in told) == 2_435_00
    assert (voucher.series, voucher.text) == ("I", f"Återläsning Klarna {payout.payment_reference}")
    assert voucher.source == f"payout:K000001:{payout.payment_reference}"
    all_is_well()


def test_a_refund_is_netted_against_another_sale(klarna: Gateway, sandbox: Control) -> None:
    """E8a, K48."""
    returned = a_sale(klarna, sandbox, 499_00)
    booked(klarna, sandbox)
    fees(sandbox, 15_00)
    note = a_refund(klarna, returned)
    sold = a_sale(klarna, sandbox, 1_000_00)
    payout = booked(klarna, sandbox)
    assert postings(payout) == [
        (1930, 482_25, "bankbetalning"),
        (6060, 15_00, "kreditförsäljningskostnad"),
        (2641, 3_75, "moms på kreditförsäljningskostnad"),
        (1510, 499_00, f"Kreditfaktura {note.number_text} betald"),
        (1510, -1_000_00, f"Faktura {sold.number_text} betald"),
    ]
    assert the_document(note.id).paid_reference == payout.payment_reference
    with reading() as session:
        assert [(each.kind, each.amount_minor) for each in settlements.rows_of_document(session, note.id)] == [
            ("refund", -499_00)
        ]
    all_is_well()


def test_a_refund_alone_becomes_a_debt_that_the_next_payout_repays(klarna: Gateway, sandbox: Control) -> None:
    """E8b, E8c: opening debt and movement are closing debt."""
    returned = a_sale(klarna, sandbox, 499_00)
    booked(klarna, sandbox)
    note = a_refund(klarna, returned)
    owing = booked(klarna, sandbox)
    assert entries(owing) == {1510: 499_00, 2890: -499_00}
    assert the_document(note.id).open_minor == 0
    fees(sandbox, 15_00)
    a_sale(klarna, sandbox, 1_000_00)
    repaying = booked(klarna, sandbox)
    assert postings(repaying)[3] == (2890, 499_00, "avbetalning")
    assert entries(repaying) == {1930: 482_25, 6060: 15_00, 2641: 3_75, 2890: 499_00, 1510: -1_000_00}
    assert (repaying.opening_debt_minor, repaying.closing_debt_minor) == (499_00, 0)
    all_is_well()


def test_what_klarna_withholds_is_an_asset_until_it_is_released(klarna: Gateway, sandbox: Control) -> None:
    """E10a, E10b."""
    fees(sandbox, 75_00)
    a_sale(klarna, sandbox, 5_000_00)
    sandbox.next_payout(holdback=500_00)
    withheld = booked(klarna, sandbox)
    assert entries(withheld) == {1930: 4_406_25, 6060: 75_00, 2641: 18_75, 1686: 500_00, 1510: -5_000_00}
    sandbox.next_payout(release=500_00)
    released = booked(klarna, sandbox)
    assert postings(released) == [(1930, 500_00, "bankbetalning"), (1686, -500_00, "frigjort belopp")]
    all_is_well()


def test_a_fee_without_invoice_stands_beside_a_sale(klarna: Gateway, sandbox: Control) -> None:
    """E13a."""
    a_sale(klarna, sandbox, 1_000_00)
    sandbox.next_payout(
        rows=[{"type": "FEE", "detailed_type": "DISPUTE_FEE", "amount": 100_00, "vat_rate": 2500, "vat_amount": 25_00}]
    )
    assert entries(booked(klarna, sandbox)) == {1930: 875_00, 6060: 100_00, 2641: 25_00, 1510: -1_000_00}
    all_is_well()


def test_a_fee_given_back_brings_its_vat(klarna: Gateway, sandbox: Control) -> None:
    """E13b."""
    a_sale(klarna, sandbox, 1_000_00)
    booked(klarna, sandbox)
    sandbox.next_payout(rows=[{"type": "FEE_REFUND", "amount": 15_00, "vat_rate": 2500, "vat_amount": 3_75}])
    assert entries(booked(klarna, sandbox)) == {1930: 18_75, 6060: -15_00, 2641: -3_75}
    all_is_well()


@pytest.mark.parametrize(("fees_from", "box"), [(FeesFrom.EU, 21), (FeesFrom.OUTSIDE, 22)])
def test_fees_of_a_company_abroad_bear_vat_that_is_due_and_deducted(
    klarna: Gateway, sandbox: Control, admin: Actor, fees_from: FeesFrom, box: int
) -> None:
    """E13c: reverse charge; its basis stands in its box of the VAT return, and a fee given back lowers all of it."""
    fees(sandbox, 45_00, vat=0)
    sold = a_sale(klarna, sandbox, 1_000_00)
    come_from(klarna, admin, fees_from)
    payout = booked(klarna, sandbox)
    assert postings(payout) == [
        (1930, 955_00, "bankbetalning"),
        (6060, 45_00, "kreditförsäljningskostnad"),
        (2645, 11_25, "beräknad ingående moms på avgift från utlandet"),
        (2614, -11_25, "utgående moms, omvänd betalningsskyldighet"),
        (1510, -1_000_00, f"Faktura {sold.number_text} betald"),
    ]
    fees(sandbox, 0)
    sandbox.next_payout(rows=[{"type": "FEE_REFUND", "amount": 15_02}])
    assert entries(booked(klarna, sandbox)) == {1930: 15_02, 6060: -15_02, 2645: -3_76, 2614: 3_76}
    come_from(klarna, admin, FeesFrom.SWEDEN)
    day = clock.today()
    with reading() as session:
        told = vat_report.report(session, day - timedelta(days=40), day)
    assert {each.number: each.minor for each in told.boxes if each.number >= 20} == {
        box: 29_98,
        30: 7_49,
        48: 7_49,
        49: 200_00,
    }
    assert not told.basis_missing
    all_is_well()


def test_vat_on_fees_from_abroad_waits_until_the_account_is_mended(
    klarna: Gateway, sandbox: Control, admin: Actor
) -> None:
    """E13c: VAT that is stated is never booked as if it were Swedish, nor as if it were not there."""
    fees(sandbox, 45_00)
    a_sale(klarna, sandbox, 1_000_00)
    come_from(klarna, admin, FeesFrom.EU)
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    waiting = payout_of(made)
    assert (waiting.state, waiting.voucher_id) == (PayoutState.PARKED, None)
    assert told(waiting.parked_because or "").values == {"vat": Amount(11_25, "SEK")}
    with pytest.raises(Refusal, match="states VAT on fees"), writing() as session:
        settlements.book(session, FINANCE, waiting.id)
    come_from(klarna, admin, FeesFrom.SWEDEN)
    assert payout_of(made).state is PayoutState.READY
    with writing() as session:
        settlements.book(session, FINANCE, waiting.id)
    assert entries(payout_of(made)) == {1930: 943_75, 6060: 45_00, 2641: 11_25, 1510: -1_000_00}
    all_is_well()


def come_from(klarna: Gateway, admin: Actor, fees_from: FeesFrom) -> None:
    """The account's fees come from there from now on."""
    with reading() as session:
        (account,) = klarna_accounts.listing(session)
    facts = replace(account.facts, fees_from=fees_from)
    klarna_accounts.save(klarna, admin, account.id, facts, None, account.facts.fingerprint)


def test_charges_credits_and_commission_have_names_of_their_own(klarna: Gateway, sandbox: Control) -> None:
    a_sale(klarna, sandbox, 1_000_00)
    sandbox.next_payout(
        rows=[
            {"type": "CHARGE", "amount": 40_00},
            {"type": "CREDIT", "amount": 15_00},
            {"type": "COMMISSION", "amount": 5_00},
            {"type": "CORRECTION", "amount": -2_00},
        ]
    )
    payout = booked(klarna, sandbox)
    assert postings(payout)[1:5] == [
        (6060, 2_00, "rättelse av kreditförsäljningskostnad"),
        (6060, 40_00, "övrig avgift"),
        (6060, -15_00, "övrig gottgörelse"),
        (6060, -5_00, "provision"),
    ]
    all_is_well()


def test_what_nobody_has_placed_is_named_in_swedish_in_the_voucher(klarna: Gateway, sandbox: Control) -> None:
    """B4, B33; a type that nobody knows keeps the name that Klarna gives it."""
    a_sale(klarna, sandbox, 1_000_00)
    unknown = sandbox.order(mid="K000001", order_amount=300_00, captures=[{"captured_amount": 300_00}])
    sandbox.portal_refund(unknown, 50_00)
    sandbox.next_payout(rows=[{"type": "STARDUST", "amount": 30_00, "counts": 1}])
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    payout = payout_of(made)
    with writing() as session:
        for row, match in rows_of(payout):
            if match.pile is Pile.FAULTY:
                settlements.mark_handled(session, FINANCE, row.id, "utreds")
        settlements.book(session, FINANCE, payout.id)
    texts = {text.rpartition(" rad ")[0] for account, _, text in postings(payout_of(made)) if account == 2999}
    assert texts == {"försäljning", "retur", "STARDUST"}
    all_is_well()


def test_a_loan_is_neither_cost_nor_income(klarna: Gateway, sandbox: Control) -> None:
    a_sale(klarna, sandbox, 1_000_00)
    sandbox.next_payout(rows=[{"type": "CHARGE", "detailed_type": "LOAN_AMORTISATION", "amount": 100_00}])
    payout = booked(klarna, sandbox)
    assert entries(payout)[2999] == 100_00
    assert (2999, 100_00, "övrig avgift rad 2") in postings(payout)
    assert {match.pile for _, match in rows_of(payout)} == {Pile.MATCHED, Pile.WARNING}


def test_a_lost_dispute_opens_the_invoice_again(klarna: Gateway, sandbox: Control) -> None:
    invoice = a_sale(klarna, sandbox, 1_000_00)
    booked(klarna, sandbox)
    sandbox.dispute(the_order(invoice), fee=100_00)
    payout = booked(klarna, sandbox)
    assert entries(payout) == {1510: 1_000_00, 6060: 100_00, 2641: 25_00, 2890: -1_125_00}
    again = the_document(invoice.id)
    assert (again.open_minor, again.paid_at) == (1_000_00, None)
    all_is_well()


def the_order(invoice: object) -> str:
    from models import Order

    with reading() as session:
        return session.get_one(Order, invoice.order_id).klarna_order_id or ""  # type: ignore[attr-defined]


def test_gross_payouts_and_their_fee_invoice_are_two_vouchers(klarna: Gateway, sandbox: Control) -> None:
    fees(sandbox, 15_00)
    sandbox.switches(settlement_type="GROSS")
    invoice = a_sale(klarna, sandbox, 1_000_00)
    gross, fee = [payout["payment_reference"] for payout in sandbox.pay_out()]
    fetched(klarna)
    assert entries(payout_of({"payment_reference": gross})) == {1930: 1_000_00, 1510: -1_000_00}
    invoiced = payout_of({"payment_reference": fee})
    assert entries(invoiced) == {6060: 15_00, 2641: 3_75, 2890: -18_75}
    assert {match.document_id for _, match in rows_of(invoiced)} == {invoice.id}
    all_is_well()


def test_two_payouts_come_at_once_and_each_is_a_voucher(klarna: Gateway, sandbox: Control) -> None:
    """A refund settled in a later payout than its sale, both fetched together."""
    sale = a_sale(klarna, sandbox, 700_00)
    first = sandbox.pay_out()[0]
    note = a_refund(klarna, sale)
    a_sale(klarna, sandbox, 900_00)
    second = sandbox.pay_out()[0]
    found = fetched(klarna)
    assert [each.state for each in found.payouts] == [PayoutState.BOOKED, PayoutState.BOOKED]
    assert entries(payout_of(first)) == {1930: 700_00, 1510: -700_00}
    assert entries(payout_of(second)) == {1930: 200_00, 1510: -200_00}
    assert the_document(note.id).paid_reference == second["payment_reference"]
    all_is_well()


def test_fetching_again_changes_nothing(klarna: Gateway, worker: Gateway, sandbox: Control) -> None:
    """K47: the same report read twice changes nothing, whether the page or the worker asks."""
    a_sale(klarna, sandbox, 700_00)
    booked(klarna, sandbox)
    before = counts()
    assert fetched(klarna).known == 1
    again = fetched(worker)
    assert (again.known, list(again.payouts)) == (1, [])
    assert counts() == before


def test_a_payout_comes_by_the_calendar(klarna: Gateway, sandbox: Control) -> None:
    """The sandbox pays by its own clock; the rows are then dated otherwise than the invoice, which is said and no more."""
    sandbox.set_clock(clock.now() - timedelta(days=20))
    invoice = a_sale(klarna, sandbox, 700_00, expires_at=clock.now() + timedelta(days=30))
    sandbox.move_clock(days=19)
    found = fetched(klarna)
    assert [each.state for each in found.payouts] == [PayoutState.BOOKED]
    with reading() as session:
        payout = session.scalars(sa.select(Payout)).one()
    assert [(match.pile, match.because) for row, match in rows_of(payout) if row.type == "SALE"] == [
        (Pile.WARNING, "other_day")
    ]
    assert the_document(invoice.id).open_minor == 0
    all_is_well()


def test_a_payout_of_a_locked_period_is_booked_in_the_open_one_and_names_the_other(
    klarna: Gateway, sandbox: Control
) -> None:
    """Fault row 34."""
    from services import periods
    from tests.builders import FINANCE

    a_sale(klarna, sandbox, 700_00)
    made = sandbox.pay_out()[0]
    today = clock.today()
    with writing() as session:
        # The lock reaches today only in this test: pages allow yesterday at the latest.
        from models import PeriodLock

        session.add(PeriodLock(locked_through=today, at=clock.now(), by=FINANCE.name, reason="prov"))
        session.flush()
        assert periods.locked_through(session) == today
    fetched(klarna)
    with reading() as session:
        voucher = session.get_one(Voucher, payout_of(made).voucher_id)
    assert voucher.day == today + timedelta(days=1)
    assert voucher.text == f"Återläsning Klarna {made['payment_reference']}, avser {today.isoformat()}"
    assert not open_breaks()
