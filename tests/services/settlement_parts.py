"""What settlement tests need: sales and refunds settled by the sandbox, its reports as bytes, and vouchers to compare."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from config import Config
from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, KlarnaBreak, Payout, PayoutRow, Posting, ReadingFile, RowMatch, Voucher
from services import credit_drafts, reservations, settlements, verify
from services.gateway import Gateway
from services.settlement_choice import Unseen
from services.settlements import Fetched, Outcome, Report
from states import BreakState, PayoutState
from tests.builders import FINANCE, a_captured_invoice, a_money_form, row, the_document

Doc = dict[str, Any]


@pytest.fixture
def worker(klarna: Gateway, config: Config) -> Gateway:
    """The worker's own way to Klarna."""
    return Gateway(config.credentials_key, config.data_dir, config.database_url, in_worker=True)


def fees(sandbox: Control, fixed: int, vat: int = 2500) -> None:
    """Klarna's terms from now on: a fixed fee per activation, minor units, and its VAT rate."""
    sandbox.switches(fee_percent=0, fee_fixed=fixed, fee_vat=vat)


def a_sale(klarna: Gateway, sandbox: Control, amount: int, **order: Any) -> Document:
    """An invoice of this sum, activated at Klarna."""
    return a_captured_invoice(klarna, sandbox, lines=[row("Jacka", amount)], **order)


def a_refund(klarna: Gateway, invoice: Document) -> Document:
    """A credit note of the whole invoice, refunded at Klarna."""
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, invoice.id)
        total = credit_drafts.figures(session, draft).gross_minor
    return the_document(reservations.credit(klarna, FINANCE, draft.id, a_money_form(total)))


def fetched(klarna: Gateway) -> Fetched:
    """A fetch in which nothing goes wrong."""
    found = settlements.fetch_all(klarna, FINANCE)
    assert not found.trouble, [str(why) for _, why in found.trouble]
    return found


def payout_of(made: Doc) -> Payout:
    """The payout as Kvitta has it."""
    with reading() as session:
        return session.scalars(sa.select(Payout).where(Payout.payment_reference == made["payment_reference"])).one()


def booked(klarna: Gateway, sandbox: Control) -> Payout:
    """Pay out now, fetch it, and see it booked."""
    made = sandbox.pay_out()[-1]
    fetched(klarna)
    found = payout_of(made)
    assert found.state is PayoutState.BOOKED, found.parked_because
    assert found.payout_date is not None
    return found


def entries(payout: Payout) -> dict[int, int]:
    """Account and amount of a payout's voucher, debit positive."""
    with reading() as session:
        rows = session.execute(
            sa.select(Posting.account, sa.func.sum(Posting.amount_minor))
            .where(Posting.voucher_id == payout.voucher_id)
            .group_by(Posting.account)
        )
        return {account: int(amount) for account, amount in rows}


def postings(payout: Payout) -> list[tuple[int, int, str]]:
    """Account, amount and text of each row of a payout's voucher."""
    with reading() as session:
        rows = session.execute(
            sa.select(Posting.account, Posting.amount_minor, Posting.text)
            .where(Posting.voucher_id == payout.voucher_id)
            .order_by(Posting.position)
        )
        return [(row.account, row.amount_minor, row.text) for row in rows]


def csv_of(sandbox: Control, made: Doc, **switches: str) -> bytes:
    """A payout's report as CSV, as the switches say."""
    before = sandbox.switches()
    sandbox.switches(**switches) if switches else None
    answer = requests.get(
        f"{sandbox.url}/settlements/v1/reports/payout-with-transactions",
        params={"payment_reference": made["payment_reference"]},
        auth=(f"{made['mid']}_user", f"hemlighet-{made['mid']}"),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    if switches:
        sandbox.switches(**{name: before[name] for name in switches})
    return answer.content


def upload(klarna: Gateway, content: bytes, name: str = "settlement.csv", **more: Any) -> Outcome:
    """Read a file in as Finance does."""
    return settlements.read_in(klarna, FINANCE, Report(content, name), **more)


def tie(row_id: int, document_number: str) -> None:
    """A row given its document as Finance does: what is asked about it is looked at and answered with yes."""

    def press(seen: str) -> None:
        with writing() as session:
            settlements.assign(
                session, FINANCE, row_id, secrets.token_hex(16), document_number=document_number, seen=seen
            )

    try:
        press("")
    except Unseen as asked:
        press(asked.choice.seen)


def counts() -> tuple[int, ...]:
    """How many payouts, rows, matches and vouchers there are: what must not change when nothing is new."""
    with reading() as session:
        return tuple(
            session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in (Payout, PayoutRow, RowMatch, Voucher)
        )


def files() -> int:
    """How many files are kept."""
    with reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(ReadingFile)) or 0


def open_breaks() -> list[KlarnaBreak]:
    """Every open break."""
    with reading() as session:
        return list(session.scalars(sa.select(KlarnaBreak).where(KlarnaBreak.state == BreakState.OPEN)))


def rows_of(payout: Payout) -> list[tuple[PayoutRow, RowMatch]]:
    """A payout's rows with where they stand."""
    with reading() as session:
        return [
            (row, match)
            for row, match in session.execute(
                sa.select(PayoutRow, RowMatch)
                .join(RowMatch, RowMatch.row_id == PayoutRow.id)
                .where(PayoutRow.payout_id == payout.id)
                .order_by(PayoutRow.row_no)
            )
        ]


def all_is_well() -> None:
    """Every invariant that a database can be asked holds."""
    with reading() as session:
        found = [f"{each.id}: {finding}" for each in verify.run(session) for finding in each.findings]
    assert not found, "\n".join(found)
