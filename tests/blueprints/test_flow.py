"""Pictures of money's way: a payout from gross to net, and a month from reserved to credited, each with its figures."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

import clock
import web_charts
from db import reading
from klarna_sandbox.control import Control
from models import Payout
from services import flow
from services.flow import Span
from services.gateway import Gateway
from tests import worlds
from tests.services.settlement_parts import a_refund, a_sale, all_is_well, booked, fees
from tests.web_client import Page, WebClient


@pytest.fixture
@worlds.kept
def paid(app: Flask, sandbox: Control, klarna: Gateway) -> tuple[Payout, Payout]:
    """A payout that is eaten up by a refund and leaves a debt of 510 kr, and the next, which repays it."""
    fees(sandbox, 8_00)
    first = a_sale(klarna, sandbox, 500_00)
    booked(klarna, sandbox)
    a_refund(klarna, first)
    owing = booked(klarna, sandbox)
    a_sale(klarna, sandbox, 1_000_00)
    return owing, booked(klarna, sandbox)


BAR = re.compile(r'<rect class="bar-([a-z]+)" x="([0-9]+)" y="[0-9]+" width="([0-9]+)"')


def drawn_in(page: Page) -> int:
    return page.html.split('id="flow"')[1].split("</svg>")[0].count("<rect")


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def cells(page: Page, selector: str) -> list[list[str]]:
    return [
        [plain(cell.text) for cell in row.all("*") if cell.element.tag in ("th", "td")] for row in page.all(selector)
    ]


@pytest.mark.only_on("sqlite")
def test_a_payout_is_drawn_from_the_debt_before_to_what_is_paid_out(
    paid: tuple[Payout, Payout], client: WebClient
) -> None:
    """Screens, "Settlement readings": gross to net as SVG, with the same figures as a table, and nothing left out."""
    owing, repaying = paid
    assert (owing.settlement_minor, owing.closing_debt_minor) == (0, 500_00)
    client.log_in("viewer")
    page = client.get(f"/settlements/{owing.id}")
    assert cells(page, "#way tbody tr") == [
        ["Återbetalning", "−500,00", "−500,00"],
        ["Utgående skuld", "500,00", "0,00"],
    ]
    page = client.get(f"/settlements/{repaying.id}")
    assert cells(page, "#way tbody tr") == [
        ["Ingående skuld", "−500,00", "−500,00"],
        ["Försäljning", "1 000,00", "500,00"],
        ["Avgifter", "−8,00", "492,00"],
        ["Moms på avgifter", "−2,00", "490,00"],
    ]
    assert cells(page, "#way tfoot tr") == [["Netto utbetalt", "490,00", ""]]
    drawn = page.html.split('id="way"')[1].split("</svg>")[0]
    bars = [(each[0], int(each[1]), int(each[1]) + int(each[2])) for each in BAR.findall(drawn)]
    assert [tone for tone, _, _ in bars] == ["b", "a", "b", "b", "sum"]
    # Every bar begins where the one before it ended: the threads say where.
    threads = [int(each) for each in re.findall(r'class="thread" d="M([0-9]+) ', drawn)]
    assert len(threads) == 4
    for at, pair in zip(threads, pairwise(bars), strict=True):
        assert all(min(abs(at - left), abs(at - right)) <= 2 for _, left, right in pair)
    assert not [each for each in page.all("main *") if each.get("style")]


def test_a_month_is_drawn_per_day_or_week_with_its_sums(paid: tuple[Payout, Payout], client: WebClient) -> None:
    """B9, accounting reference 5: reserved, activated, paid out and credited, drawn and told."""
    client.log_in("viewer")
    page = client.get("/settlements/flow")
    today = clock.today()
    assert [plain(each.text) for each in page.all(".figures .value")] == [
        "1 500,00 kr",
        "1 500,00 kr",
        "980,00 kr",
        "500,00 kr",
    ]
    rows = cells(page, "table tbody tr")
    assert [row for row in rows if "500,00" in row[-1]] == [[f"{today}", "1 500,00", "1 500,00", "980,00", "500,00"]]
    assert len(rows) == (flow.last_of(today.replace(day=1)) - today.replace(day=1)).days + 1
    assert drawn_in(page) == 4
    page = client.get("/settlements/flow?by=week")
    assert 4 <= len(page.all("table tbody tr")) <= 6 and drawn_in(page) == 4
    last = f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"
    assert client.get(f"/settlements/flow?month={last}").has(".empty")
    for odd in ("month=2026-13", "month=x&by=y", "currency=XXX", "month=2099-12"):
        assert client.get(f"/settlements/flow?{odd}").status == 200
    all_is_well()


def test_weeks_are_cut_at_the_month_and_nothing_is_counted_twice(paid: tuple[Payout, Payout]) -> None:
    first = clock.today().replace(day=1)
    with reading() as session:
        days, weeks = flow.month(session, first), flow.month(session, first, "week")
    fields = ("reserved_minor", "activated_minor", "paid_minor", "credited_minor")
    assert [sum(getattr(each, name) for each in days) for name in fields] == [
        sum(getattr(each, name) for each in weeks) for name in fields
    ]
    assert (weeks[0].starts, weeks[-1].ends) == (first, flow.last_of(first))
    assert all(a.ends + timedelta(days=1) == b.starts for a, b in pairwise(weeks))
    assert isinstance(days[0], Span)


@given(st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=18))
def test_every_step_stays_on_the_paper_and_follows_the_one_before(amounts: list[int]) -> None:
    at, steps = 0, []
    for amount in amounts:
        steps.append(("x", at, at + amount, "a" if amount > 0 else "b", str(amount)))
        at += amount
    steps.append(("netto", 0, at, "sum", str(at)))
    drawn = web_charts.waterfall(steps)
    assert len(drawn.falls) == len(steps) and drawn.falls[-1].thread is None
    for fall in drawn.falls:
        assert fall.bar.x >= web_charts.NAMES and fall.bar.x + fall.bar.width <= drawn.width - web_charts.VALUES + 2
        assert fall.bar.width >= 2 and 0 <= fall.bar.y < fall.bar.y + fall.bar.height <= drawn.height


@given(st.lists(st.integers(-(10**9), 10**12), min_size=1, max_size=31))
def test_every_column_stays_in_its_band(amounts: list[int]) -> None:
    drawn = web_charts.bands(
        [str(n) for n in range(len(amounts))], [("A", "a", [(each, "") for each in amounts]), ("B", "b", [])]
    )
    band = drawn.bands[0]
    assert len(band.bars) == sum(each > 0 for each in amounts)
    assert all(band.top <= bar.y <= bar.y + bar.height == band.zero and bar.height >= 1 for bar in band.bars)
    assert all(drawn.left <= bar.x and bar.x + bar.width <= drawn.width for bar in band.bars)
    assert all(b.x - a.x >= 30 for a, b in pairwise(drawn.names))
