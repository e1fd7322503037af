"""A page about one thing looks into indexes, however much there is of everything else (docs/performance.md, goal 3).

Only SQLite is asked: its plans do not depend on how much there is, so that a small company tells the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from db import db, reading, writing
from klarna_sandbox.control import Control
from models import Article, Customer, PayoutRow, Posting, Voucher
from services import batch_run, credit_drafts, janitor, order_uploads, postman, pushes, settlements
from services.gateway import Gateway
from tests import plans
from tests.builders import FINANCE
from tests.services.settlement_parts import a_refund, a_sale, booked, fees
from tests.web_client import WebClient

pytestmark = pytest.mark.only_on("sqlite")

FEW = frozenset(
    {
        "account", "api_token", "article", "draft_visit", "fiscal_year", "installation", "job_lease", "klarna_account",
        "mail_secret", "number_series", "payment_method", "sender_lease", "setting", "stocktake", "user_account",
        "user_preference", "user_role", "vat_rate", "warehouse",
    }
)  # fmt: skip
"""Tables that do not grow with what is sold."""


@pytest.fixture
def pages(app: Flask, klarna: Gateway, sandbox: Control) -> list[str]:
    """The address of a page about one of each thing, of a company in which every such thing is."""
    fees(sandbox, 100)
    sold = a_sale(klarna, sandbox, 800_00)
    note = a_refund(klarna, sold)
    payout = booked(klarna, sandbox)
    other = a_sale(klarna, sandbox, 700_00)
    with writing() as session:
        draft = credit_drafts.start(session, FINANCE, other.id).id
    with reading() as session:
        one = {each: session.scalar(sa.select(each.id)) for each in (Article, Customer, PayoutRow, Voucher)}
        account = session.scalar(sa.select(Posting.account).where(Posting.document_id == sold.id))
    return [
        f"/orders/{sold.order_id}", f"/orders/{other.order_id}/invoice", f"/orders/{other.order_id}/deliver",
        f"/invoices/{sold.id}", f"/credit-notes/{note.id}", f"/credit-notes/{draft}", f"/documents/{sold.id}/payments",
        f"/settlements/{payout.id}", f"/settlements/rows/{one[PayoutRow]}/move", f"/bank/payouts/{payout.id}",
        f"/register/customers/{one[Customer]}", f"/register/articles/{one[Article]}", f"/stock/articles/{one[Article]}",
        "/stock", f"/books/vouchers/{one[Voucher]}", f"/books/accounts/{account}",
    ]  # fmt: skip


def read_through(statements: list[plans.Sent], watched: Collection[str]) -> list[str]:
    """Of these tables those that are read from end to end, with the question; the newest few of all are read from their end."""
    found = []
    for sent in statements:
        if "WHERE" not in sent[0] and "LIMIT" in sent[0]:
            continue
        names = plans.tables(sent[0])
        for line in plans.plan(db.engine, sent):
            scan = plans.SCAN.match(line)
            if scan and names.get(scan["name"]) in watched and not scan["how"].endswith(plans.PARTIAL):
                found.append(f"{line}: {sent[0]}")
    return found


def rounds(app: Flask) -> dict[str, Callable[[], object]]:
    """What the worker does every few seconds."""
    klarna: Gateway = app.extensions["klarna"]
    return {
        "janitor": lambda: janitor.run(klarna),
        "postman": lambda: postman.run(app.extensions["postman"]),
        "intake": lambda: (pushes.run(klarna), order_uploads.run()),
        "batches": lambda: batch_run.run_all(klarna, lambda: True),
        "readings": lambda: settlements.finish(klarna),
    }


@pytest.mark.parametrize("name", ["janitor", "postman", "intake", "batches", "readings"])
def test_a_round_of_the_worker_reads_no_table_from_end_to_end(app: Flask, pages: list[str], name: str) -> None:
    with plans.sent_to(db.engine) as sent:
        rounds(app)[name]()
    questions = [each for each in sent if each[0].lstrip().startswith(("SELECT", "WITH"))]
    assert questions and read_through(questions, plans.BIG) == []


def test_a_page_about_one_thing_reads_no_table_from_end_to_end(client: WebClient, pages: list[str]) -> None:
    client.log_in("finance")
    for path in pages:
        client.get(path)
        with plans.sent_to(db.engine) as sent:
            assert client.get(path).status == 200, path
        questions: list[Any] = [each for each in sent if each[0].lstrip().startswith(("SELECT", "WITH"))]
        assert read_through(questions, db.metadata.tables.keys() - FEW) == [], path
