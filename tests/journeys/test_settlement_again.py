"""The same settlement read again, whatever it has been through on the way, changes nothing (K47, B5; E7, E8)."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from db import reading, writing
from klarna_sandbox.control import Control
from models import Document, Payout, PayoutRow, Posting, RowMatch, Voucher
from services.gateway import Gateway
from tests import worlds
from tests.builders import a_captured_invoice, an_account
from tests.journeys.stations import FEE_PERCENT, ROWS, require_whole
from tests.services.settlement_parts import a_refund, csv_of
from tests.web_client import Page, WebClient

BOM = b"\xef\xbb\xbf"
NAME = "settlement.csv"


def content() -> str:
    """A digest of everything a settlement writes: payouts, rows, matches, vouchers, postings, what is open and paid."""
    digest = hashlib.sha256()
    with reading() as session:
        for table in (Payout, PayoutRow, RowMatch, Voucher, Posting, Document):
            for found in session.execute(sa.select(table.__table__).order_by(*table.__table__.primary_key.columns)):
                digest.update(repr(tuple(found)).encode())
            digest.update(table.__tablename__.encode())
    return digest.hexdigest()


def columns_turned(report: bytes) -> bytes:
    """The rows of the report with their columns in the opposite order; the summary above them as it was."""
    lines = list(csv.reader(io.StringIO(report.decode("utf-8-sig")), delimiter=";"))
    heads = [number for number, line in enumerate(lines) if "type" in line and "amount" in line]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    for number, line in enumerate(lines):
        writer.writerow(line[::-1] if heads and number >= heads[-1] else line)
    assert heads, lines[:3]
    return out.getvalue().encode()


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "as it was": (NAME, lambda report: report),
    "renamed": ("Klarna mars (kopia 2).CSV", lambda report: report),
    "line ends of another system": (NAME, lambda report: report.replace(b"\n", b"\r\n")),
    "with a byte order mark": (NAME, lambda report: BOM + report),
    "columns in another order": (NAME, columns_turned),
    "saved by a spreadsheet": ("bok1.csv", lambda report: BOM + columns_turned(report).replace(b"\n", b"\r\n")),
}


@pytest.fixture
@worlds.kept
def report(sandbox: Control, klarna: Gateway) -> bytes:
    """A payout of a sale and of a refund, as Klarna's file."""
    with writing() as session:
        account = an_account(session, sandbox, klarna)
    sandbox.switches(fee_percent=FEE_PERCENT, fee_fixed=0)
    a_captured_invoice(klarna, sandbox, lines=ROWS, account=account)
    a_refund(klarna, a_captured_invoice(klarna, sandbox, account=account))
    (made,) = sandbox.pay_out()
    return csv_of(sandbox, made)


@pytest.fixture
def finance_client(client: WebClient) -> WebClient:
    client.log_in("finance")
    client.post("/language", {"lang": "en", "next": "/"})
    return client


def fetch(client: WebClient) -> Page:
    client.get("/settlements")
    return client.submit("/settlements/fetch")


def upload(client: WebClient, content: bytes, name: str, step: str) -> Page:
    """The form with this file, to look what it would do or to read it in."""
    client.get("/settlements/upload")
    if step == "read":
        client.submit("#upload form", press="step=preview", file=(io.BytesIO(content), name))
        shown = client.page
        assert shown is not None
        if not shown.has("#planned button"):
            return shown
    return client.submit("#upload form", press=f"step={step}", file=(io.BytesIO(content), name))


def payouts() -> list[tuple[Any, ...]]:
    with reading() as session:
        return [tuple(each) for each in session.execute(sa.select(Payout.payment_reference, Payout.state))]


def test_a_fetched_settlement_comes_again_as_files_of_every_kind_and_nothing_changes(
    finance_client: WebClient, report: bytes
) -> None:
    """K47, B5: the same payout in another shape is the same payout."""
    assert "1 new payout has come. Booked: 1." in fetch(finance_client).text
    before = content()
    for way, (name, turn) in WAYS.items():
        page = upload(finance_client, turn(report), name, "preview")
        assert "Read before, unchanged" in page.text or way == "renamed", f"{way}: {page.find('main').text}"
        page = upload(finance_client, turn(report), name, "read")
        assert page.status in (200, 409), f"{way}: {page.find('main').text}"
        assert content() == before and len(payouts()) == 1, way
    assert "Nothing new has come from Klarna." in fetch(finance_client).text
    assert content() == before
    require_whole()


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("way", WAYS)
def test_an_uploaded_settlement_is_fetched_again_and_nothing_changes(
    finance_client: WebClient, report: bytes, way: str
) -> None:
    """K47, B5: the other way round."""
    name, turn = WAYS[way]
    page = upload(finance_client, turn(report), name, "read")
    assert [state for _, state in payouts()] == ["booked"], page.find("main").text
    before = content()
    for _ in range(2):
        assert "Nothing new has come from Klarna." in fetch(finance_client).text
    upload(finance_client, report, NAME, "read")
    assert content() == before
    require_whole()


def test_looking_at_what_a_report_would_do_writes_nothing(finance_client: WebClient, report: bytes) -> None:
    """B5."""
    before = content()
    page = upload(finance_client, report, NAME, "preview")
    assert "Will be read in" in page.text and content() == before, page.find("main").text
