"""What Klarna should have paid out long ago is a difference until a payout brings it, or Finance has explained it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from freezegun import freeze_time

import clock
from db import reading, writing
from klarna_sandbox.control import Control
from rights import Actor
from services import agreement, breaks, drift, janitor, orders, settings, settling, verify, worklists
from services.gateway import Gateway
from services.verify import CheckState
from states import BreakKind, BreakState
from tests.builders import FINANCE, row, the_document
from tests.services.settlement_parts import a_refund, a_sale, fees, fetched, open_breaks
from tests.services.test_adoption import adopted_with
from tests.web_client import WebClient


class Time:
    """The time of Kvitta and of Klarna, which runs on from where it is put."""

    def __init__(self, ours: Any, klarnas: Control) -> None:
        self._ours, self._klarnas = ours, klarnas

    def move_to(self, moment: datetime) -> None:
        """Make it this time now."""
        self._ours.move_to(moment)
        self._klarnas.set_clock(moment)


@pytest.fixture
def time(sandbox: Control) -> Iterator[Time]:
    """A Monday of a year that is open, for Kvitta and for its sandbox."""
    begins = datetime(2026, 3, 2, 9, tzinfo=UTC)
    with freeze_time(begins, tick=True) as ours:
        sandbox.set_clock(begins)
        yield Time(ours, sandbox)


def kinds() -> list[BreakKind]:
    return [each.kind for each in open_breaks()]


def m8() -> CheckState:
    with reading() as session:
        return next(verify.run(session, ["M8"])).state


def test_what_is_not_paid_out_in_time_is_told_until_its_payout_comes_or_finance_explains_it(
    time: Time, client: WebClient, klarna: Gateway, sandbox: Control, admin: Actor
) -> None:
    """Operations 13 (unpaid_too_long), M8, B9: after the company's own number of days, once, and gone by itself."""
    fees(sandbox, 0)
    with writing() as session:
        settings.change(session, admin, "unpaid_days", "20", clock.today())
    paid, invoice = a_sale(klarna, sandbox, 300_00), a_sale(klarna, sandbox, 100_00)
    note = a_refund(klarna, invoice)
    began = clock.now()
    time.move_to(began + timedelta(days=19, hours=23))
    janitor.nightly(klarna)
    assert kinds() == []
    time.move_to(began + timedelta(days=21, hours=1))
    # The rule is broken until the night has said so; the night opens each once.
    assert m8() is CheckState.FAILED
    janitor.nightly(klarna)
    janitor.nightly(klarna)
    assert kinds() == [BreakKind.UNPAID_TOO_LONG] * 3 and m8() is CheckState.OK
    told = {each.document_id: each for each in open_breaks()}
    assert {key: each.difference_minor for key, each in told.items()} == {
        paid.id: 300_00,
        invoice.id: 100_00,
        note.id: -100_00,
    }
    with reading() as session:
        day = clock.local_date(began)
        (late,) = agreement.elsewhere(session, paid.id).late
        assert late.message % late.values == (
            f"Invoice {paid.number_text} was activated on {day}, and no payout has brought its SEK 300.00."
        )
        assert late.acts == (breaks.EXPLAIN, breaks.IGNORE)
        said = agreement.elsewhere(session, note.id).late[0].message
        assert said.startswith("Credit note %(number)s was refunded on")
        # Late money says nothing against the sums, and stands in a work list of its own.
        order = orders.get(session, invoice.order_id or 0)
        assert {each.break_id for each in agreement.differences(session, order)} == {
            told[invoice.id].id,
            told[note.id].id,
        }
        assert drift.shown(session, order) == (None, 0)
        lists = {each.name: each.count for each in worklists.today(session)}
        assert (lists["breaks"], lists["unpaid"], lists["notes"]) == (0, 2, 1)
    # Finance knows why: it is not told again, however long it takes.
    with writing() as session:
        settling.explain(session, FINANCE, told[note.id].id, "", "Klarna drar den i nästa månad", "a" * 32)
    janitor.nightly(klarna)
    assert sorted(each.document_id or 0 for each in open_breaks()) == sorted([paid.id, invoice.id])
    # Ignored until a day that lies ahead, and told again when it has come.
    address = f"/differences/{told[paid.id].id}/ignore"
    client.log_in("finance").get(address)
    page = client.submit("#settle form", reason="Klarna har lovat")
    assert page.status == 422 and page.find("#until-error").text.startswith("Skriv en dag som ligger framåt")
    assert client.submit("#settle form", reason="Klarna har lovat", until=clock.today().isoformat()).status == 422
    until = clock.today() + timedelta(days=10)
    assert (
        "Skillnaden är utredd."
        in client.submit("#settle form", reason="Klarna har lovat", until=until.isoformat()).text
    )
    assert f"Bortsedda till {until}" in client.get("/differences?view=ignore").find("tbody tr").text
    janitor.nightly(klarna)
    assert [each.document_id for each in open_breaks()] == [invoice.id]
    time.move_to(clock.now() + timedelta(days=10))
    janitor.nightly(klarna)
    janitor.nightly(klarna)
    assert sorted(each.document_id or 0 for each in open_breaks()) == sorted([paid.id, invoice.id])
    told = {each.document_id: each for each in open_breaks()}
    # The payout comes: what it brings is no difference any more, at once.
    fetched(klarna)
    assert kinds() == [] and the_document(paid.id).open_minor == 0
    with reading() as session:
        last = breaks.get(session, told[paid.id].id)
    assert (last.state, last.resolution) == (BreakState.CLOSED, breaks.GONE)
    janitor.nightly(klarna)
    assert kinds() == [] and m8() is CheckState.OK


@pytest.mark.only_on("sqlite")
def test_an_activation_made_elsewhere_that_is_late_still_agrees_with_klarna(
    time: Time, books: Flask, klarna: Gateway, sandbox: Control
) -> None:
    """Operations 13: an act made elsewhere with an open difference is left out of our sums; late money is no such difference."""
    invoice = adopted_with(klarna, sandbox, FINANCE, [row("Jacka", 500_00)])
    time.move_to(clock.now() + timedelta(days=31))
    janitor.nightly(klarna)
    assert kinds() == [BreakKind.UNPAID_TOO_LONG]
    with reading() as session:
        assert drift.shown(session, orders.get(session, invoice.order_id or 0)) == (None, 0)
