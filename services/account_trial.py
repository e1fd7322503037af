"""A connection tried: what Klarna, or whoever answers at an account's address, says to its credentials. Changes nothing.

Source: operations 15.3; reference 1.2 (401 may be HTML), 1.8 and 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

import structlog

import clock
from errors import N_, Busy
from klarna_client import KlarnaClient, KlarnaError, KlarnaRefused
from services.gateway import Access, Gateway

log = structlog.get_logger()

TEST_SECONDS = 5.0
"""For each of the two readings: long enough for a slow line, and together short enough for a page."""
PAYOUTS_BACK = timedelta(days=90)
_NOT_FOUND = frozenset({"NO_SUCH_ORDER", "NOT_FOUND"})


class Result(StrEnum):
    """What came of a test call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    OTHER_STORE = "other_store"
    WRONG_PLACE = "wrong_place"
    UNCLEAR = "unclear"
    NOT_REACHED = "not_reached"
    UNREADABLE = "unreadable"


SAID: Mapping[Result, str] = {
    Result.ACCEPTED: N_("Klarna accepts the credentials."),
    Result.REFUSED: N_(
        "Klarna does not accept the credentials (401). Check user name, password, environment, region and provider."
    ),
    Result.OTHER_STORE: N_(
        "The credentials work, but they do not lead to this store's orders. Check store id, region and provider."
    ),
    Result.WRONG_PLACE: N_(
        "Something else than Klarna answers at that address. Check environment, region and provider."
    ),
    Result.UNCLEAR: N_("Klarna answered that it cannot help just now. Try again in a while."),
    Result.NOT_REACHED: N_("Klarna could not be reached. Check the network and the address, and try again."),
    Result.UNREADABLE: N_(
        "The credentials cannot be read: they were kept under another installation's key. Type them anew."
    ),
}
"""Each result as a sentence; what it means for what was typed is said beside it."""


def ask(klarna: Gateway, access: Access, order_id: str | None) -> Result:
    """What Klarna says to these credentials: an order is read, one of the account's own if it has any; nothing changes.

    Raises Busy when both lines are taken.
    """
    if not klarna.can_read(access):
        return Result.UNREADABLE
    with klarna.slot() as free:
        if not free:
            raise Busy
        client = klarna.client(access)
        result = _read_order(client, order_id)
        if result is Result.ACCEPTED and _paid_to_another(client, access.store_id):
            return Result.OTHER_STORE
        return result


def _read_order(client: KlarnaClient, order_id: str | None) -> Result:
    try:
        found = client.get_order(order_id or str(uuid4()), seconds=TEST_SECONDS)
    except KlarnaError as error:
        log.info("klarna.account_tested", cause=error.cause, url=client.url)
        return _meaning(error, known=order_id is not None)
    return Result.ACCEPTED if order_id is not None and found.get("order_id") == order_id else Result.WRONG_PLACE


def _meaning(error: KlarnaError, *, known: bool) -> Result:
    """What an answer that is no order says of the credentials. Only Klarna knows that there is no such order."""
    answer = error.answer
    if answer is None:
        return Result.NOT_REACHED
    if answer.status == 401 or answer.error_code == "PERMISSION_DENIED":
        return Result.REFUSED
    if answer.status == 429 or answer.status >= 500:
        return Result.UNCLEAR
    if isinstance(error, KlarnaRefused) and answer.status == 404 and answer.error_code in _NOT_FOUND:
        return Result.OTHER_STORE if known else Result.ACCEPTED
    return Result.WRONG_PLACE


def _paid_to_another(client: KlarnaClient, store_id: str) -> bool:
    """Whether payouts that these credentials show belong to another store id (operations 15.3). Silence says nothing."""
    now = clock.now()
    try:
        told = client.list_payouts(
            start_date=_instant(now - PAYOUTS_BACK),
            end_date=_instant(now + timedelta(days=1)),
            size=1,
            seconds=TEST_SECONDS,
        ).get("payouts")
    except KlarnaError as error:
        log.info("klarna.account_payouts", cause=error.cause, url=client.url)
        return False
    first = told[0] if isinstance(told, list) and told else None
    merchant = first.get("merchant_id") if isinstance(first, dict) else None
    return isinstance(merchant, str) and bool(merchant) and merchant.casefold() != store_id.casefold()


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
