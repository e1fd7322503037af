"""Reports read in as files: the same payout in any shape changes nothing, a wrong one is never booked (fault rows 30-35)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

import clock
import db
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from klarna_sandbox.control import Control
from models import JobLease, KlarnaBreak, Payout, PayoutRow
from services import settlement_loading, settlements
from services.gateway import Gateway
from services.settlements import Fate, Report
from states import BreakKind, BreakState, PayoutState, Pile
from tests import worlds
from tests.builders import CLERK, FINANCE, an_account, the_document
from tests.services.settlement_parts import (
    Doc,
    a_refund,
    a_sale,
    all_is_well,
    counts,
    csv_of,
    entries,
    fees,
    fetched,
    files,
    open_breaks,
    payout_of,
    rows_of,
    upload,
    worker,
)

__all__ = ("worker",)
pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
@worlds.kept
def made(klarna: Gateway, sandbox: Control) -> Doc:
    """A payout at Klarna of two sales, a refund and something withheld; nothing of it read."""
    fees(sandbox, 15_00)
    first = a_sale(klarna, sandbox, 1_000_00)
    a_sale(klarna, sandbox, 700_00)
    a_refund(klarna, first)
    sandbox.next_payout(holdback=50_00)
    payout: Doc = sandbox.pay_out()[0]
    return payout


@pytest.fixture
def content(sandbox: Control, made: Doc) -> bytes:
    """Its report."""
    return csv_of(sandbox, made)


def test_a_file_is_read_proved_and_booked(klarna: Gateway, content: bytes, made: Doc) -> None:
    outcome = upload(klarna, content)
    assert [(each.fate, each.state) for each in outcome.payouts] == [(Fate.NEW, PayoutState.BOOKED)]
    payout = payout_of(made)
    assert {match.pile for _, match in rows_of(payout)} == {Pile.MATCHED}
    assert entries(payout)[1930] == made["totals"]["settlement"]
    all_is_well()


def test_the_same_file_again_says_who_read_it_and_when(klarna: Gateway, content: bytes) -> None:
    """Operations 14: the sentence."""
    upload(klarna, content)
    before = counts(), files()
    outcome = upload(klarna, content, "another name.csv")
    assert outcome.already is not None and not outcome.payouts
    assert str(outcome.already) == f"Already read on {clock.today()} by Ekonomen."
    assert (counts(), files()) == before


def reshaped(content: bytes, shape: str) -> bytes:
    head, values, names, *rows = content.decode().splitlines()
    if shape == "crlf":
        return content.replace(b"\n", b"\r\n")
    if shape == "bom":
        return b"\xef\xbb\xbf" + content
    if shape == "rows turned around":
        return "\n".join([head, values, names, *reversed(rows)]).encode() + b"\n"
    if shape == "columns turned around":
        turned = [";".join(reversed(line.split(";"))) for line in (names, *rows)]
        return "\n".join([head, values, *turned]).encode() + b"\n"
    if shape == "commas":
        return content.replace(b";", b",")
    raise AssertionError(shape)


@pytest.mark.parametrize("shape", ["crlf", "bom", "rows turned around", "columns turned around", "commas"])
def test_the_same_payout_in_another_shape_changes_nothing(klarna: Gateway, content: bytes, shape: str) -> None:
    """Fault rows 30, 31: equal as a multiset of rows."""
    upload(klarna, content)
    before = counts()
    outcome = upload(klarna, reshaped(content, shape))
    assert [each.fate for each in outcome.payouts] == [Fate.SAME]
    assert counts() == before and not open_breaks()


def test_the_api_and_the_file_of_one_payout_are_the_same(klarna: Gateway, content: bytes) -> None:
    assert [each.fate for each in fetched(klarna).payouts] == [Fate.NEW]
    before = counts()
    assert [each.fate for each in upload(klarna, content).payouts] == [Fate.SAME]
    assert counts() == before


def test_the_file_and_then_the_api(klarna: Gateway, worker: Gateway, content: bytes) -> None:
    upload(klarna, content)
    before = counts(), files()
    assert fetched(worker).known == 1
    assert (counts(), files()) == before


def test_a_file_with_fewer_columns_is_the_same_payout(
    klarna: Gateway, sandbox: Control, made: Doc, content: bytes
) -> None:
    """What both reports say is compared, nothing else."""
    upload(klarna, content)
    fewer = csv_of(
        sandbox,
        made,
        csv_columns="type,amount,order_id,posting_currency,capture_date,tax_amount,"
        "merchant_capture_reference,merchant_refund_reference",
    )
    assert [each.fate for each in upload(klarna, fewer).payouts] == [Fate.SAME]


def test_overlapping_reports_bring_what_is_new(klarna: Gateway, sandbox: Control, content: bytes) -> None:
    """Fault row 31: equal payouts are skipped and named, new ones taken."""
    upload(klarna, content)
    a_sale(klarna, sandbox, 300_00)
    later = sandbox.pay_out()[0]
    found = fetched(klarna)
    assert [each.payment_reference for each in found.payouts] == [later["payment_reference"]]
    assert found.known == 1


def changed(content: bytes, old: str, new: str) -> bytes:
    text = content.decode()
    assert old in text
    return text.replace(old, new).encode()


def test_a_payout_that_came_back_different_imports_nothing_and_is_kept_side_by_side(
    klarna: Gateway, content: bytes, made: Doc
) -> None:
    """Fault row 32."""
    upload(klarna, content)
    before = counts()
    other = changed(content, "700.00", "710.00")
    total = made["totals"]["settlement"]
    other = changed(other, f"{total // 100}.{total % 100:02d}", f"{(total + 1000) // 100}.{total % 100:02d}")
    outcome = upload(klarna, other)
    assert [each.fate for each in outcome.payouts] == [Fate.DIFFERENT]
    assert counts() == before
    (found,) = open_breaks()
    assert (found.kind, found.difference_minor) == (BreakKind.TOTALS_DIFFER, 10_00)
    assert [each["amount_minor"] for each in json.loads(found.expected)] == [700_00]
    assert [each["amount_minor"] for each in json.loads(found.found)] == [710_00]
    all_is_well()


def test_a_row_too_few_is_parked_and_the_right_report_takes_its_place(
    klarna: Gateway, content: bytes, made: Doc
) -> None:
    """Fault row 35, B5."""
    lines = content.decode().splitlines()
    short = "\n".join(line for line in lines if not line.startswith("HOLDBACK")).encode() + b"\n"
    outcome = upload(klarna, short)
    assert [(each.fate, each.state) for each in outcome.payouts] == [(Fate.PARKED, PayoutState.PARKED)]
    stated = made["totals"]["settlement"]
    said = str(outcome.payouts[0].why)
    assert said == (
        f"The payout does not add up: the rows give SEK {(stated + 5000) // 100}.{stated % 100:02d}, "
        f"Klarna states SEK {stated // 100}.{stated % 100:02d}. Nothing has been booked."
    )
    parked = payout_of(made)
    assert (parked.state, parked.voucher_id, parked.row_count) == (PayoutState.PARKED, None, 0)
    assert [each.payout_id for each in open_breaks()] == [parked.id]
    with pytest.raises(Refusal, match="cannot be booked yet"), writing() as session:
        settlements.book(session, FINANCE, parked.id)

    assert [each.state for each in upload(klarna, content).payouts] == [PayoutState.BOOKED]
    assert not open_breaks()
    with reading() as session:
        assert session.scalars(sa.select(KlarnaBreak.resolution)).all() == ["gone"]
    all_is_well()


def test_off_by_an_ore_is_parked(klarna: Gateway, content: bytes, made: Doc) -> None:
    text = content.decode()
    wrong = changed(content, "50.00;SEK", "50.01;SEK") if "50.00;SEK" in text else content
    assert wrong != content
    outcome = upload(klarna, wrong)
    assert [each.state for each in outcome.payouts] == [PayoutState.PARKED]
    assert open_breaks()[0].difference_minor == -1
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(PayoutRow)) == 0


def test_a_report_without_vat_on_fees_is_not_booked(klarna: Gateway, sandbox: Control, made: Doc) -> None:
    bare = csv_of(sandbox, made, csv_columns="ten")
    (done,) = upload(klarna, bare).payouts
    assert done.state is PayoutState.PARKED
    assert "leaves out the VAT" in str(done.why)


def test_a_report_that_states_no_sum_is_parked_until_klarna_is_asked(
    klarna: Gateway, sandbox: Control, made: Doc
) -> None:
    bare = csv_of(sandbox, made, csv_summary="off")
    (done,) = upload(klarna, bare, f"settlement.{made['payment_reference']}.csv").payouts
    assert done.state is PayoutState.PARKED
    assert "does not state" in str(done.why)
    fetched(klarna)
    assert payout_of(made).state is PayoutState.BOOKED
    all_is_well()


def test_another_companys_store_id_is_refused_and_nothing_is_kept(klarna: Gateway, content: bytes) -> None:
    """Catalogue row 57."""
    foreign = changed(content, "K000001", "K999999")
    with pytest.raises(BadInput, match="K999999 is not one of this company's store ids"):
        upload(klarna, foreign)
    assert counts()[:3] == (0, 0, 0) and files() == 0


def test_a_report_for_another_account_than_the_chosen_one_is_refused(
    klarna: Gateway, sandbox: Control, content: bytes
) -> None:
    with writing() as session:
        other = an_account(session, sandbox, klarna, name="Butik två").id
    with pytest.raises(BadInput, match="is for store id K000001, not for K000002"):
        upload(klarna, content, account_id=other)


def test_only_finance_reads_files_in(klarna: Gateway, content: bytes) -> None:
    with pytest.raises(NotAllowed):
        settlements.read_in(klarna, CLERK, Report(content, "a.csv"))


def test_a_preview_stores_nothing(content: bytes) -> None:
    before = counts(), files()
    report = Report(content, "a.csv")
    with reading() as session:
        plan = settlements.preview(session, report)
    assert [each.fate for each in plan.payouts] == [Fate.NEW]
    assert (counts(), files()) == before


def test_an_unknown_type_parks_the_payout_until_a_person_explains_it(klarna: Gateway, sandbox: Control) -> None:
    """Operations 14: the type is never guessed; its direction follows from the stated sum."""
    a_sale(klarna, sandbox, 1_000_00)
    sandbox.next_payout(rows=[{"type": "STARDUST", "amount": 30_00, "counts": -1}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    payout = payout_of(made)
    assert payout.state is PayoutState.PARKED
    (odd,) = [(row, match) for row, match in rows_of(payout) if row.type == "STARDUST"]
    assert (odd[0].amount_minor, odd[1].pile, odd[1].because) == (-30_00, Pile.FAULTY, "unknown_type")
    with pytest.raises(Refusal, match="Faulty rows: 1"), writing() as session:
        settlements.book(session, FINANCE, payout.id)
    with writing() as session:
        settlements.mark_handled(session, FINANCE, odd[0].id, "Klarnas stjärnstoft, fråga ställd")
    with writing() as session:
        settlements.book(session, FINANCE, payout.id)
    assert entries(payout_of(made))[2999] == 30_00
    all_is_well()


def test_an_unknown_type_outside_every_total_is_explained_and_books_nothing(klarna: Gateway, sandbox: Control) -> None:
    a_sale(klarna, sandbox, 1_000_00)
    sandbox.next_payout(rows=[{"type": "STARDUST", "amount": 30_00}])
    made = sandbox.pay_out()[0]
    fetched(klarna)
    payout = payout_of(made)
    (odd,) = [row for row, _ in rows_of(payout) if row.type == "STARDUST"]
    assert (odd.amount_minor, odd.fault) == (0, "unknown_type 3000 SEK")
    with writing() as session:
        settlements.mark_handled(session, FINANCE, odd.id, "Bara upplysning")
        settlements.book(session, FINANCE, payout.id)
    assert 2999 not in entries(payout_of(made))
    all_is_well()


def test_a_crash_while_loading_leaves_a_reading_that_running_again_finishes(
    klarna: Gateway, content: bytes, made: Doc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault row 33: no half payout."""
    monkeypatch.setattr(settlement_loading, "BLOCK", 2)
    real, written = db.transact, []

    def dies(work: Any, tries: int = 3) -> Any:
        if work.__qualname__.startswith("Turn._write"):
            written.append(1)
            if len(written) == 3:
                raise KeyboardInterrupt
        return real(work, tries)

    monkeypatch.setattr(db, "transact", dies)
    with pytest.raises(KeyboardInterrupt):
        upload(klarna, content)
    half = payout_of(made)
    assert half.state is PayoutState.LOADING
    assert 0 < counts()[1] < half.row_count and counts()[2] == 0
    monkeypatch.setattr(db, "transact", real)
    outcome = upload(klarna, content)
    assert [each.state for each in outcome.payouts] == [PayoutState.BOOKED]
    all_is_well()
    assert str(upload(klarna, content).already).startswith("Already read on")


def test_two_loaders_at_once_do_not_meet(klarna: Gateway, content: bytes, made: Doc) -> None:
    """What is read meanwhile is begun, waits for the turn, and is finished by whoever comes next."""
    with writing() as session:
        session.add(
            JobLease(name=settlement_loading.LEASE_NAME, holder="other", until=clock.now() + settlement_loading.LEASE)
        )
    assert [each.state for each in upload(klarna, content).payouts] == [PayoutState.LOADING]
    assert not settlements.finish(klarna) and counts()[1] == 0
    with writing() as session:
        session.get_one(JobLease, settlement_loading.LEASE_NAME).until = clock.now()
    assert settlements.finish(klarna) and not settlements.finish(klarna)
    assert payout_of(made).state is PayoutState.BOOKED
    all_is_well()


def test_a_closed_account_keeps_the_payout_ready_and_says_why(klarna: Gateway, content: bytes, made: Doc) -> None:
    from models import Account

    with writing() as session:
        session.get_one(Account, 6060).active = False
    upload(klarna, content)
    payout = payout_of(made)
    assert payout.state is PayoutState.READY and payout.parked_because is not None
    assert "6060" in str(settlements.told(payout.parked_because))
    with writing() as session:
        session.get_one(Account, 6060).active = True
    with writing() as session:
        settlements.book(session, FINANCE, payout.id)
    assert payout_of(made).parked_because is None
    all_is_well()


def test_a_break_of_a_closed_reading_is_not_opened_twice(klarna: Gateway, content: bytes) -> None:
    upload(klarna, content)
    other = changed(content, "HOLDBACK", "CHARGE").replace(b"ROLLING_RESERVE", b"MANUAL_ENTRY")
    text = other.decode().replace("total_holdback_amount", "x").replace("total_charge_amount", "total_holdback_amount")
    other = text.replace(";x;", ";total_charge_amount;").encode()
    assert [each.fate for each in upload(klarna, other).payouts] == [Fate.DIFFERENT]
    assert [each.fate for each in upload(klarna, other + b"\n").payouts] == [Fate.DIFFERENT]
    with reading() as session:
        opened = session.scalars(sa.select(KlarnaBreak).where(KlarnaBreak.state == BreakState.OPEN)).all()
        assert len(opened) == 1
        assert session.scalar(sa.select(sa.func.count()).select_from(Payout)) == 1


def test_documents_are_paid_by_files_too(klarna: Gateway, sandbox: Control) -> None:
    invoice = a_sale(klarna, sandbox, 400_00)
    upload(klarna, csv_of(sandbox, sandbox.pay_out()[0]))
    assert the_document(invoice.id).open_minor == 0
