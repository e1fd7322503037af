"""The start page's figures and charts: drawn on the server, with the same figures as a table."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clock
import web_charts
from db import writing
from models import KlarnaDay
from tests.services.test_owed import a_claim
from tests.web_client import WebClient

pytestmark = pytest.mark.untrue_books


def test_the_charts_are_drawn_with_their_figures_beside(client: WebClient) -> None:
    """B9; no style of its own, which the security policy would not let through."""
    with writing() as session:
        a_claim(session, 45)
        a_claim(session, 3)
    shown = client.log_in("clerk").get("/")
    drawn = {name: shown.html.split(f'id="{name}"')[1].split("</svg>")[0].count("<rect") for name in ("weeks", "ages")}
    assert drawn == {"weeks": 24, "ages": 5}
    assert not [each for each in shown.all("main *") if each.get("style")]
    assert [cell.text for cell in shown.all("#ages tbody tr td")][:2] == ["1", "499,00"]
    card = shown.find("section#unpaid")
    assert "45 dagar" in card.text
    assert card.find("a.button")["href"] == "/settlements/owed?list=unpaid&late=1"
    assert "Klarna är skyldigt oss" in shown.text
    assert shown.find("nav.nav a[href=/] .count").text.endswith("1")


def test_a_currency_of_its_own_does_not_mix_with_the_kronor(client: WebClient) -> None:
    with writing() as session:
        session.add(
            KlarnaDay(day=clock.today() - timedelta(days=1), currency="EUR", activated_minor=100, credited_minor=0)
        )
    assert client.log_in("clerk").get("/").has("#weeks .empty")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=2), min_size=1, max_size=12))
def test_every_column_lies_within_the_drawing(groups: list[list[int]]) -> None:
    chart = web_charts.columns([(str(n), [(minor, "a", "") for minor in each]) for n, each in enumerate(groups)])
    for bar in chart.bars:
        assert bar.x >= web_charts.LEFT
        assert bar.x + bar.width <= chart.width
        assert bar.y >= 0
        assert bar.y + bar.height <= chart.height - web_charts.BOTTOM
        assert bar.height >= 0
    values = [minor for each in groups for minor in each]
    tallest = max(chart.bars, key=lambda bar: bar.height)
    assert abs(values[chart.bars.index(tallest)]) * 100 >= max(map(abs, values)) * 95
