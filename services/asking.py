"""Asking Klarna what it shows: one look, its refusals in words, and the breaker. Source: operations 6 and 10."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, Refusal
from klarna_client import KlarnaError
from models import KlarnaAccount, Order
from services import looks
from services.gateway import CREDENTIALS, FAILURES, Access, Gateway, access_of, close_breaker, is_open, open_breaker
from services.looks import Look

log = structlog.get_logger()

LOOK_SECONDS = 3.0


class NotReached(Refusal):
    """Klarna could not be asked, so nothing was sent and no number taken: 409 with the draft as it was."""


class NotSetUp(Refusal):
    """A Klarna order under a store id that is not among the accounts in use: it is never called (B15)."""

    def __init__(self, store_id: str) -> None:
        super().__init__(N_("The order belongs to store id %(store)s, which has not been set up."), store=store_id)


class Unknown(NotReached):
    """Klarna answered that it has no such purchase under this account."""


class Silent(NotReached):
    """Klarna gave no answer at all; whoever asked before a number was taken can say that, too."""


def read_order(klarna: Gateway, access: Access, klarna_order_id: str, seconds: float = LOOK_SECONDS) -> Look:
    """One look. Raises NotReached with the sentence for the page; opens the breaker where that is due."""
    return read_whole(klarna, access, klarna_order_id, seconds)[0]


def read_whole(
    klarna: Gateway, access: Access, klarna_order_id: str, seconds: float = LOOK_SECONDS
) -> tuple[Look, dict[str, Any]]:
    """One look with the whole answer it was read from, of which nothing is kept but what an allow list picks (security 57)."""
    if is_open(access, clock.now()):
        raise _not_reached(access.breaker == CREDENTIALS)
    try:
        content = klarna.client(access).get_order(klarna_order_id, seconds=seconds)
        look = looks.read(content, clock.now())
    except KlarnaError as error:
        status = error.answer.status if error.answer else None
        log.info("klarna.look_failed", klarna_order_id=klarna_order_id, status=status, cause=error.cause)
        if status == 401:
            db.transact(lambda session: open_breaker(session, access.account_id, CREDENTIALS))
            raise _not_reached(True) from error
        if status in (400, 404):
            raise Unknown(
                N_("Klarna cannot find the purchase. Check store id, region, and whether it is Klarna or Kustom.")
            ) from error
        note_reached(klarna, access.account_id, status is not None and status != 429 and status < 500)
        raise _not_reached(False) from error
    except looks.Unreadable as error:
        log.warning("klarna.look_unreadable", klarna_order_id=klarna_order_id, cause=str(error))
        raise NotReached(N_("Klarna's answer could not be read. Nothing has been sent.")) from error
    klarna.note(access.account_id, reached=True)
    if look.order_id != klarna_order_id:
        log.warning("klarna.look_of_another", klarna_order_id=klarna_order_id, found=look.order_id)
        raise NotReached(N_("Klarna's answer could not be read. Nothing has been sent."))
    if access.breaker == FAILURES:
        db.transact(lambda session: close_breaker(session, access.account_id))
    return look, content


def note_reached(klarna: Gateway, account_id: int, reached: bool) -> None:
    """Count a call for the breaker, and open it when the count is full (operations 10)."""
    if klarna.note(account_id, reached):
        db.transact(lambda session: open_breaker(session, account_id, FAILURES))


def _not_reached(credentials: bool) -> NotReached:
    if credentials:
        return NotReached(
            N_("Not sent: Klarna does not accept the store's credentials. An administrator has to correct them.")
        )
    return Silent(N_("Klarna could not be reached. Nothing has been sent; try again in a while."))


def access_for(session: Session, order: Order) -> tuple[Access, str]:
    """The account and Klarna order id of an order. Raises Refusal without Klarna link or under a closed account (B15)."""
    if order.account_id is None or order.klarna_order_id is None:
        raise Refusal(N_("The order has no reservation at Klarna."))
    account = session.get_one(KlarnaAccount, order.account_id)
    if not account.active:
        raise NotSetUp(account.store_id)
    return access_of(account), order.klarna_order_id
