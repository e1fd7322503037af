"""Figures, days, moments and sentences as people read them, held against Babel."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import pytest
from babel.numbers import format_currency, format_decimal, format_percent
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

import states
import web_words
from errors import Refusal
from money import Amount
from states import DocState, Role
from web_labels import LABELS
from web_words import MINUS, in_language, say

MINORS = st.integers(min_value=-(10**12), max_value=10**12)
LANGUAGES = st.sampled_from(["sv", "en"])


def real_minus(text: str) -> str:
    return text.replace("-", MINUS)


def spaced(text: str) -> str:
    """Unicode's currency spacing, which Babel leaves out."""
    return re.sub(r"([A-Z])(?=[0-9−])", "\\1\u00a0", text)


@given(MINORS, LANGUAGES, st.sampled_from(["SEK", "EUR", "NOK", "DKK", "USD", "GBP"]))
def test_money_is_written_as_babel_writes_it_with_a_real_minus(minor: int, code: str, currency: str) -> None:
    """K42, K44: in English the minus stands by the figure, ``SEK −200.00``."""
    pattern = "¤#,##0.00;¤-#,##0.00" if code == "en" else None
    wanted = format_currency(Decimal(minor) / 100, currency, pattern, locale=code)
    with in_language(code):
        assert web_words.money(minor, currency) == spaced(real_minus(wanted))


def test_a_column_of_kronor_names_only_another_currency() -> None:
    """Screens, "Look": the currency is said once per column."""
    with in_language("sv"):
        assert web_words.sek(-1_437_00, "SEK") == web_words.amount(-1_437_00)
        assert web_words.sek(-1_437_00, "EUR") == web_words.money(-1_437_00, "EUR")


@given(MINORS, LANGUAGES)
def test_amounts_are_written_as_babel_writes_them(minor: int, code: str) -> None:
    wanted = format_decimal(Decimal(minor) / 100, "#,##0.00", locale=code)
    with in_language(code):
        assert web_words.amount(minor) == real_minus(wanted)


@given(MINORS, LANGUAGES)
def test_quantities_are_written_as_babel_writes_them(milli: int, code: str) -> None:
    with in_language(code):
        assert web_words.quantity(milli) == real_minus(format_decimal(Decimal(milli) / 1000, "#,##0.###", locale=code))


@given(st.integers(min_value=0, max_value=1_000_000), LANGUAGES)
def test_percentages_are_written_as_babel_writes_them(hundredths: int, code: str) -> None:
    pattern = {"sv": "#,##0.##\u00a0%", "en": "#,##0.##%"}[code]
    with in_language(code):
        assert web_words.percent(hundredths) == format_percent(Decimal(hundredths) / 10_000, pattern, locale=code)


def test_the_two_languages_to_the_letter() -> None:
    with in_language("sv"):
        assert web_words.money(143_700) == "1\u00a0437,00\u00a0kr"
        assert web_words.money(-5) == "\u22120,05\u00a0kr"
        assert web_words.quantity(1_500) == "1,5"
        assert web_words.percent(2_500) == "25\u00a0%"
    with in_language("en"):
        assert web_words.money(143_700) == "SEK\u00a01,437.00"
        assert web_words.money(-143_700) == "SEK\u00a0\u22121,437.00"
        assert web_words.percent(1_250) == "12.5%"


def test_days_are_iso_and_moments_local() -> None:
    assert web_words.day(date(2026, 11, 20)) == "2026-11-20"
    assert web_words.moment(datetime(2026, 11, 20, 13, 3, 59, 999_000, tzinfo=UTC)) == "2026-11-20 14:03"
    assert web_words.moment(datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == "2026-07-02 00:30"
    assert web_words.day(datetime(2026, 7, 1, 22, 30, tzinfo=UTC)) == "2026-07-02"


@pytest.mark.parametrize(
    "write",
    [
        web_words.money,
        web_words.amount,
        web_words.quantity,
        web_words.percent,
        web_words.day,
        web_words.moment,
        web_words.since,
        web_words.label,
    ],
)
def test_nothing_is_written_as_nothing(write) -> None:
    assert write(None) == ""


@freeze_time("2026-11-20 12:00:00")
@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=30), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(seconds=-30), "within a minute"),
        (timedelta(days=-6), "in 6 days"),
    ],
)
def test_how_long_ago_is_said_in_the_largest_unit_that_fits(ago: timedelta, said: str) -> None:
    with in_language("en"):
        assert web_words.since(datetime(2026, 11, 20, 12, tzinfo=UTC) - ago) == said


def test_a_refusal_says_its_values_as_pages_write_them() -> None:
    refusal = Refusal(
        "%(amount)s, %(when)s, %(day)s, %(left_milli)s, %(rate)s, %(state)s, %(number)s",
        amount=Amount(143_700),
        when=datetime(2026, 11, 20, 13, 3, tzinfo=UTC),
        day=date(2026, 11, 20),
        left_milli=1500,
        rate=2500,
        state=DocState.PENDING,
        number=42580,
    )
    with in_language("en"):
        assert say(refusal) == "SEK\u00a01,437.00, 2026-11-20 14:03, 2026-11-20, 1.5, 25%, Waiting for Klarna, 42580"


def test_a_sentence_with_a_percent_sign_and_no_values_is_said_as_it_is() -> None:
    with in_language("en"):
        assert say(Refusal("More than 100 %")) == "More than 100 %"


def test_every_state_has_a_name() -> None:
    shown = {each for each in vars(states).values() if isinstance(each, type) and issubclass(each, StrEnum)} - {StrEnum}
    assert shown == set(LABELS)
    assert all(set(names) == set(kind) for kind, names in LABELS.items())
    with in_language("en"):
        assert web_words.label(Role.ADMIN) == "Administrator"


def test_a_language_that_is_not_ours_becomes_swedish() -> None:
    with in_language("../sv"):
        assert web_words.spoken().code == "sv"


def test_formatters_cost_little_beside_babel() -> None:
    """A ratio, since the machines differ: Babel's own takes about 12 us, ours about 1."""

    def seconds(call) -> float:
        best = 1.0
        for _ in range(5):
            begun = time.perf_counter()
            for minor in range(1000):
                call(minor * 997)
            best = min(best, time.perf_counter() - begun)
        return best

    babel = seconds(lambda minor: format_currency(minor, "SEK", locale="sv"))
    assert seconds(web_words.money) < babel / 4
