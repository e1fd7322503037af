"""From order to paid through the pages: part deliveries, two captures, a refund with restock, the weekly payout.

Once with every answer, once with every answer lost, once with every act refused first: the same books, the same money.
"""

from __future__ import annotations

import pytest

from klarna_sandbox.control import Control
from services.gateway import Gateway
from tests.journeys.conftest import Calendar
from tests.journeys.journey import Journey, LostAnswers, Refused
from tests.journeys.words import Words
from tests.web_client import WebClient


def test_from_order_to_paid_every_station_is_right_to_the_ore(
    client: WebClient, sandbox: Control, klarna: Gateway, calendar: Calendar
) -> None:
    """F1, F5, F10, F15, F20-F23, F26, F28, K1-K3, K8, K13, K24, K47, K48; E2, E4a, E7."""
    Journey(client, sandbox, klarna, calendar, Words("sv")).travel()


@pytest.mark.only_on("sqlite")
def test_every_station_is_the_same_in_english(
    client: WebClient, sandbox: Control, klarna: Gateway, calendar: Calendar
) -> None:
    """The words are no matter of the database."""
    Journey(client, sandbox, klarna, calendar, Words("en")).travel()


def test_every_answer_lost_once_is_unknown_and_never_failed_and_ends_the_same(
    client: WebClient, sandbox: Control, klarna: Gateway, calendar: Calendar
) -> None:
    """F25, K14, K32: one effect, one document, one voucher each, however often it was asked."""
    LostAnswers(client, sandbox, klarna, calendar, Words("sv")).travel()


def test_every_act_refused_once_and_tried_again_ends_the_same(
    client: WebClient, sandbox: Control, klarna: Gateway, calendar: Calendar
) -> None:
    """F25, K14, K16, K18: Klarna's own words, the same number, nothing booked in between."""
    Refused(client, sandbox, klarna, calendar, Words("sv")).travel()
