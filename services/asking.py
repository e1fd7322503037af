"""Asking Klarna what it shows: one look, its refusals in words, and the breaker. Source: operations 6 and 10."""

from __future__ import annotations

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


class Silent(NotReached):
    """Klarna gave no answer at all; whoever asked before a number was taken can say that, too."""


def read_order(klarna: Gateway, access: Access, klarna_order_id: str, seconds: float = LOOK_SECONDS) -> Look:
    """One look. Raises NotReached with the sentence for the page; opens the breaker where that is due."""
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
            raise NotReached(
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
    return look


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
    """The account and Klarna order id of an order. Raises Refusal for an order without Klarna link."""
    if order.account_id is None or order.klarna_order_id is None:
        raise Refusal(N_("The order has no reservation at Klarna."))
    return access_of(session.get_one(KlarnaAccount, order.account_id)), order.klarna_order_id
