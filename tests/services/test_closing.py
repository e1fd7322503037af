"""«Månadsavslut»: a period is locked when nothing waits in it, or by Finance with a tick that names what does (B34, A6)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, Refusal
from klarna_sandbox.control import Control
from models import Audit, BankEntry, BankStatement, BankTie, KlarnaBreak, Payout, PayoutRow, ReadingFile, RowMatch
from money import Amount
from rights import Actor
from services import authorizations, closing, ledger
from services.closing import Kind
from services.gateway import Gateway
from services.ledger import Entry
from states import BreakKind, PayoutState, Pile
from tests import builders

TODAY = clock.today()
YESTERDAY = TODAY - timedelta(days=1)
pytestmark = pytest.mark.untrue_books("what waits is written by hand, and a document is dated back")


def what_waits(through: date = YESTERDAY) -> dict[Kind, list[str | Amount]]:
    with reading() as session:
        return {each.kind: [item.name for item in each.items] for each in closing.blockers(session, through)}


def a_payout_that_waits(account_id: int) -> int:
    with writing() as session:
        at = clock.now() - timedelta(days=2)
        file = ReadingFile(sha256="x", source="upload", file_name="r", received_at=at, received_by="x")
        session.add(file)
        session.flush()
        made = Payout(
            file_id=file.id, account_id=account_id, payment_reference="P7", payout_date=at, currency="SEK",
            settlement_type="NET", totals="{}", settlement_minor=1, opening_debt_minor=0, closing_debt_minor=0,
            rows_hash="", row_count=1, state=PayoutState.READY,
        )  # fmt: skip
        session.add(made)
        session.flush()
        row = PayoutRow(payout_id=made.id, row_no=4, row_key="4", type="SALE", detailed_type="", amount_minor=1)
        session.add(row)
        session.flush()
        session.add(RowMatch(row_id=row.id, pile=Pile.FAULTY))
        return made.id


def test_everything_that_waits_is_named_and_the_lock_goes_through_when_it_is_cleared(
    books: Flask, klarna: Gateway, sandbox: Control, finance: Actor, clerk: Actor
) -> None:
    """Catalogue row 38: the list, the tick, and no tick where nothing waits."""
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
        builders.a_delivery(session, order)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED")
    refused = builders.an_invoice(klarna, order)
    sandbox.clear_faults()
    with writing() as session:
        found = KlarnaBreak(kind=BreakKind.TOTALS_DIFFER, difference_minor=1, opened_at=clock.now(), found_by="x")
        session.add(found)
        session.flush()
        break_id = found.id
        ledger.post(
            session, finance, series="I", day=YESTERDAY, text="x", source="x", entries=[Entry(1930, 5), Entry(2999, -5)]
        )
    payout_id = a_payout_that_waits(order.account_id or 0)
    waiting = what_waits(TODAY)
    assert waiting == {
        Kind.DOCUMENT: [refused.number_text],
        Kind.PAYOUT: ["P7"],
        Kind.ROW: ["P7 / 4"],
        Kind.BREAK: [f"#{break_id}"],
        Kind.UNEXPLAINED: ["2999"],
    }
    with reading() as session:
        assert {each.kind: each.minor for each in closing.blockers(session, YESTERDAY)}[Kind.UNEXPLAINED] == -5
    assert Kind.DOCUMENT not in what_waits(YESTERDAY), "the number was taken today"
    assert Kind.PAYOUT not in what_waits(TODAY - timedelta(days=4)), "the payout lies after the period"

    with pytest.raises(NotAllowed), writing() as session:
        closing.lock(session, clerk, YESTERDAY, "månadsslut", confirmed=True)
    with pytest.raises(BadInput), writing() as session:
        closing.lock(session, finance, TODAY, "månadsslut", confirmed=True)
    with pytest.raises(Refusal) as no, writing() as session:
        closing.lock(session, finance, YESTERDAY, "månadsslut", confirmed=False)
    assert (no.value.field, no.value.values["count"]) == ("confirmed", 4)
    with reading() as session:
        assert ledger.locked_through(session) is None, "nothing half done"
    with writing() as session:
        closing.lock(session, finance, YESTERDAY, "månadsslut", confirmed=True)
    with reading() as session:
        told = session.scalars(sa.select(Audit.detail).where(Audit.action == "period.lock_over")).one()
    assert told == '{"break":1,"payout":1,"row":1,"unexplained":1}'

    with writing() as session:
        ledger.unlock(session, finance, None, "rättelse")
        session.get_one(RowMatch, session.scalars(sa.select(RowMatch.row_id)).one()).pile = Pile.MATCHED
        session.execute(
            sa.update(KlarnaBreak).values(
                state="closed", resolution="ignored", reason="x", closed_by="x", closed_at=clock.now()
            )
        )
        made = ledger.post(
            session, finance, series="I", day=YESTERDAY, text="y", source="y", entries=[Entry(2999, 5), Entry(6060, -5)],
            payout_id=payout_id,
        )  # fmt: skip
        session.execute(
            sa.update(Payout).values(state="booked", voucher_id=made.id, booked_at=clock.now(), booked_by="x")
        )
    assert what_waits() == {}, "no bank statement has ever been read"
    with writing() as session:
        at = clock.now()
        file = BankStatement(sha256="y", kind="csv", file_name="b", content=b"y", received_at=at, received_by="x")
        session.add(file)
        session.flush()
        entry = BankEntry(
            statement_id=file.id, place=1, entry_key="k", account="1", day=YESTERDAY, amount_minor=1, currency="SEK",
            payer="Klarna", text="P7", bank_reference="", from_klarna=True,
        )  # fmt: skip
        session.add(entry)
        session.flush()
    assert what_waits() == {Kind.NOT_AT_BANK: ["P7"], Kind.DEPOSIT: [Amount(1)]}
    with writing() as session:
        session.add(BankTie(entry_id=entry.id, payout_id=payout_id, how="hand", reason="x", at=clock.now(), by="x"))
    assert what_waits() == {}
    with writing() as session:
        closing.lock(session, finance, YESTERDAY, "månadsslut", confirmed=False)
    with reading() as session:
        assert ledger.locked_through(session) == YESTERDAY


def test_an_act_whose_outcome_is_unknown_waits_and_the_month_that_is_next_is_proposed(
    books: Flask, klarna: Gateway, sandbox: Control, finance: Actor
) -> None:
    this_month = TODAY.replace(day=1)
    with reading() as session:
        assert closing.next_month(session) == this_month - timedelta(days=1), "nothing is booked yet"
    with writing() as session:
        day = this_month - timedelta(days=45)
        entries = [Entry(1930, 5), Entry(2890, -5)]
        ledger.post(session, finance, series="I", day=day, text="x", source="x", entries=entries)
        order = builders.an_order(session, sandbox, klarna)
    with reading() as session:
        month = closing.next_month(session)
        assert (month.year, month.month) == (day.year, day.month) and (month + timedelta(days=1)).day == 1
    with writing() as session:
        closing.lock(session, finance, month, "månadsslut", confirmed=False)
    with reading() as session:
        assert closing.next_month(session) == this_month - timedelta(days=1)
    sandbox.fault("server_error", operation="extend_authorization_time")
    authorizations.extend(klarna, finance, order.id, builders.a_money_form(0))
    assert what_waits(TODAY) == {Kind.OPERATION: [str(order.number)]}
