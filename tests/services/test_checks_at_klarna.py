"""flask verify --klarna: the rules that only Klarna can answer, asked by GET alone, with discrepancies made on purpose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from freezegun import freeze_time

import clock
import commands
from db import reading, writing
from klarna_sandbox.control import Control
from models import Audit, Document, KlarnaBreak, KlarnaOp, Order
from services import breaks, checks_at_klarna, janitor
from services.gateway import Gateway
from states import BreakKind
from tests.services.settlement_parts import a_refund, a_sale

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``flask verify --klarna`` for the rules named, with its progress said at once."""
    monkeypatch.setattr(commands, "PROGRESS_SECONDS", 0.0)
    return lambda *words: app.test_cli_runner().invoke(args=["verify", "--klarna", *words])


def rows() -> tuple[int, ...]:
    with reading() as session:
        return tuple(
            session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in (KlarnaOp, KlarnaBreak, Document, Audit)
        )


def at_klarna(invoice: Document) -> tuple[int, str]:
    with reading() as session:
        order = session.get_one(Order, invoice.order_id)
    return order.id, order.klarna_order_id or ""


def test_klarna_is_asked_by_get_alone_and_what_differs_is_named_to_the_ore(
    run: Run, klarna: Gateway, sandbox: Control
) -> None:
    """M7, M5 and M8 at Klarna: quiet over honest books, silent about what is under way, and never writing."""
    agreeing, refunded, doubled = (a_sale(klarna, sandbox, amount) for amount in (100_00, 200_00, 300_00))
    a_refund(klarna, agreeing)
    with freeze_time(clock.now(), tick=True) as time:
        fresh = run("M7")
        assert fresh.exit_code == 0 and "0 of 3 orders compared with Klarna, 3 under way left out." in fresh.output
        time.tick(timedelta(minutes=20))
        began = len(sandbox.log())
        well = run("m7", "A1", "M5", "M8")
        assert well.exit_code == 0, well.output
        assert [line.split()[:2] for line in well.output.splitlines() if line[0] in "AM"] == [
            ["A1", "ok"],
            ["M5", "ok"],
            ["M8", "ok"],
            ["M5", "ok"],
            ["M7", "ok"],
            ["M8", "ok"],
        ]
        assert "3 of 3 orders compared with Klarna" in well.output and "2 of 3 orders asked about" in well.output
        # Behind our back: a refund in the portal, and a second activation with the number of an invoice.
        order_id, klarna_id = at_klarna(refunded)
        sandbox.portal_refund(klarna_id, 50_01)
        other_id, other = at_klarna(doubled)
        sandbox.portal_refund(other, 1_00, reference=doubled.number_text)
        sandbox.portal_refund(other, 1_00, reference=doubled.number_text)
        asked, before = len(sandbox.log()), rows()
        found = run("M7", "M8")
        assert found.exit_code == 1 and "2 of the rules do not hold." in found.output
        assert (
            f"order:{order_id}: activated 20000 at Klarna and 20000 here, credited 5001 and 0; no break explains it"
        ) in found.output
        assert f"order:{other_id}: number {doubled.number_text} stands on 2 objects of kind REFUND" in found.output
        assert rows() == before
        assert {each["method"] for each in sandbox.log()[began:]} == {"GET"} and len(sandbox.log()) == asked + 3
        # The nightly look finds them: acts made elsewhere, each with its break.
        janitor.nightly(klarna)
        assert run("M7", "M8").exit_code == 0
        # A break that says by how much explains no more than that much.
        with reading() as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(KlarnaBreak)) == 3
        sandbox.portal_refund(klarna_id, 1)
        assert f"order:{order_id}: activated 20000 at Klarna and 20000 here, credited 5002 and 5001" in run("M7").output


@pytest.mark.only_on("sqlite")
def test_what_cannot_be_asked_about_is_said_and_is_no_success(run: Run, klarna: Gateway, sandbox: Control) -> None:
    """An order that Klarna does not know, or a line that is down, is never counted as agreeing."""
    invoice = a_sale(klarna, sandbox, 100_00)
    with freeze_time(clock.now() + timedelta(minutes=20), tick=True):
        sandbox.fault("server_error", operation="get_order")
        down = run("M7")
        assert down.exit_code == 1 and "1 could not be asked about: Klarna could not be reached" in down.output
        sandbox.fault("refuse", operation="get_order", status=404, error_code="NO_SUCH_ORDER")
        unknown = run("M7", "--since", "2020-01-01")
        assert (
            unknown.exit_code == 1 and "1 could not be asked about: Klarna cannot find the purchase." in unknown.output
        )
        later = run("M7", "--since", "2199-01-01")
        assert later.exit_code == 0 and "0 of 0 orders compared" in later.output
    # What a break says is not there any more explains just that much.
    order_id, _ = at_klarna(invoice)
    with writing() as session:
        assert checks_at_klarna._explained(session, order_id) == {(0, 0)}
        breaks.open_break(
            session,
            session.get_one(Order, order_id),
            BreakKind.OBJECT_MISSING,
            op=session.get_one(KlarnaOp, invoice.issued_by_op_id),
        )
        assert checks_at_klarna._explained(session, order_id) == {(0, 0), (-100_00, 0)}
