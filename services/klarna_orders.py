"""Bring an order in from Klarna: look first, take it, tell Klarna so; or tie a reservation to an order made by hand.

Functions that take ``klarna`` own their transactions. What is taken is always what a look has just shown, never what a push or
a person says. Source: B15, B16, B20, B29; reference 2.8 and 3.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BadInput, Refusal
from klarna_client import KlarnaClient, KlarnaError, KlarnaNotSent, KlarnaRefused
from models import Customer, Document, Installation, KlarnaAccount, KlarnaCall, Order, PaymentMethod
from money import Amount
from rights import Actor, Right
from services import audit, drift, incoming, klarna_content, operations, orders
from services.asking import NotReached, NotSetUp, note_reached, read_whole
from services.gateway import Access, Gateway, access_of
from services.incoming import IncomingOrder, Link
from services.incoming_rows import notices
from services.looks import Look, Unreadable
from services.orders import NewLine
from states import CallKind, CallOutcome, DocState, OrderState, PaymentKind

log = structlog.get_logger()

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be made of a purchase: its rows and sum, whose it seems to be, and what one should know first.

    ``refusal`` is why nothing can be made; ``customers`` are the cards that fit, none means a new one. Minor units.
    """

    account_id: int
    store_id: str
    klarna_order_id: str
    look: Look
    incoming: IncomingOrder | None = None
    lines: Sequence[NewLine] = ()
    customers: Sequence[Customer] = ()
    notices: Sequence[Refusal] = ()
    refusal: Refusal | None = None

    @property
    def total_minor(self) -> int:
        """The sum of the rows, minor units."""
        return sum(line.gross_minor for line in self.lines)


def read_id(text: str, field: str = "klarna_order_id") -> str:
    """A Klarna order id as it was typed or pushed. Raises BadInput."""
    found = text.strip().lower()
    if not _ID.fullmatch(found):
        raise BadInput(
            N_(
                "A Klarna order id looks like 3f2a90c1-7b1e-4c58-9d42-5e6f708192a3; the short reservation number is another."
            ),
            field=field,
        )
    return found


# --- Looking ---------------------------------------------------------------------------------------------------------


def _access(account_id: int) -> Access:
    with db.reading() as session:
        account = session.get(KlarnaAccount, account_id)
        if account is None or not account.active:
            raise NotSetUp(account.store_id if account else "?")
        return access_of(account)


def _read(klarna: Gateway, access: Access, klarna_order_id: str) -> tuple[Look, dict[str, Any]]:
    with klarna.slot() as free:
        if not free:
            raise NotReached(N_("All lines to Klarna are busy. Try again in a moment."))
        return read_whole(klarna, access, klarna_order_id)


def _incoming(content: dict[str, Any], account_id: int, look: Look) -> IncomingOrder:
    try:
        return klarna_content.incoming(content, account_id, look)
    except Unreadable as error:
        log.warning("klarna.order_unreadable", klarna_order_id=look.order_id, cause=str(error))
        raise NotReached(N_("Klarna's answer could not be read. Nothing has been sent.")) from error


def preview(klarna: Gateway, account_id: int, klarna_order_id: str) -> Preview:
    """Look at a purchase and say what would be made of it; nothing is kept. Raises NotReached, NotSetUp, Refusal (B16)."""
    with db.reading() as session:
        orders.require_unlinked(session, klarna_order_id)
    access = _access(account_id)
    look, content = _read(klarna, access, klarna_order_id)
    seen = Preview(account_id, access.store_id, klarna_order_id, look)
    try:
        found = _incoming(content, account_id, look)
        seen = replace(seen, incoming=found)
        with db.reading() as session:
            seen = replace(seen, customers=incoming.matches(session, found.buyer))
            lines = incoming.lines_of(session, replace(found, stated_minor=None))
            seen = replace(seen, lines=lines, notices=notices(lines))
            incoming.lines_of(session, found)
    except NotReached:
        raise
    except Refusal as refusal:
        return replace(seen, refusal=refusal)
    return seen


def link(klarna: Gateway, account_id: int, klarna_order_id: str) -> Link:
    """A reservation read just now, for an order that says it is paid with it. Raises NotReached, NotSetUp, Refusal."""
    look, _content = _read(klarna, _access(account_id), klarna_order_id)
    klarna_content.require_alive(look)
    return Link(account_id, look)


# --- Taking ----------------------------------------------------------------------------------------------------------


def take_in(
    klarna: Gateway,
    actor: Actor,
    account_id: int,
    klarna_order_id: str,
    *,
    customer_id: int | None = None,
    new_customer: bool = False,
    shown_minor: int | None = None,
) -> int:
    """Read a purchase and make the order; returns its id, that of the one it became before when it came in already.

    ``customer_id`` or ``new_customer`` is a person's answer where several cards fit; ``shown_minor`` the sum the person saw.
    Raises NotReached, NotSetUp, SeveralCustomers, Refusal; the order is made before Klarna is told (``acknowledge``).
    """
    actor.require(Right.WORK)
    look, content = _read(klarna, _access(account_id), klarna_order_id)
    if shown_minor not in (None, look.order_amount):
        raise Refusal(
            N_("The purchase has changed at Klarna: the sum was %(before)s and is now %(now)s. Look it through again."),
            before=Amount(shown_minor or 0, look.currency),
            now=Amount(look.order_amount, look.currency),
        )
    found = _incoming(content, account_id, look)
    found = replace(found, customer_id=customer_id, new_customer=new_customer)
    return incoming.once(lambda session: incoming.take(session, actor, found).id)


def attach(klarna: Gateway, actor: Actor, order_id: int, account_id: int, klarna_order_id: str) -> None:
    """Tie a reservation to an order made by hand. Raises Refusal when either has a partner or the sums differ (B16)."""
    actor.require(Right.WORK)
    look = reservation_for(klarna, order_id, account_id, klarna_order_id)
    incoming.once(lambda session: _attach(session, actor, order_id, account_id, look))


def reservation_for(klarna: Gateway, order_id: int, account_id: int, klarna_order_id: str) -> Look:
    """Look at a reservation before it is tied to an order; nothing is kept. Raises Refusal, NotReached, NotSetUp."""
    with db.reading() as session:
        require_attachable(session, orders.get(session, order_id))
        orders.require_unlinked(session, klarna_order_id)
    return link(klarna, account_id, klarna_order_id).look


def require_attachable(session: Session, order: Order) -> None:
    """Let an order pass that a reservation can be tied to. Raises Refusal."""
    if order.klarna_order_id is not None:
        raise Refusal(N_("The order has a reservation already."))
    if order.state is OrderState.CANCELLED:
        raise Refusal(N_("The order is cancelled."))
    numbered = sa.select(Document.id).where(
        Document.order_id == order.id, Document.state.not_in((DocState.DRAFT, DocState.VOID))
    )
    if session.scalar(numbered.limit(1)) is not None:
        raise Refusal(
            N_("The order has an invoice without Klarna. Credit it and make a new order for the reservation.")
        )


def require_equal(order: Order, look: Look) -> None:
    """Let pass when order and reservation agree to the öre and in currency. Raises Refusal naming both."""
    require_sum(orders.total(order), order.currency, look)


def require_sum(total_minor: int, currency: str, look: Look) -> None:
    """Let pass a sum that is the reservation's to the öre. Raises Refusal naming both."""
    if (total_minor, currency) != (look.order_amount, look.currency):
        raise Refusal(
            N_(
                "The order is %(order)s and the reservation %(reservation)s. "
                "They must agree to the öre; nothing has been tied."
            ),
            order=Amount(total_minor, currency),
            reservation=Amount(look.order_amount, look.currency),
        )


def _attach(session: Session, actor: Actor, order_id: int, account_id: int, look: Look) -> None:
    order = orders.get(session, order_id, lock=True)
    require_attachable(session, order)
    orders.require_unlinked(session, look.order_id)
    require_equal(order, look)
    if order.payment_method.kind is not PaymentKind.KLARNA:
        order.payment_method = session.scalars(
            sa.select(PaymentMethod)
            .where(PaymentMethod.kind == PaymentKind.KLARNA)
            .order_by(PaymentMethod.active.desc(), PaymentMethod.id)
            .limit(1)
        ).one()
    order.account_id, order.klarna_order_id, order.klarna_reference = account_id, look.order_id, look.reference
    order.version += 1
    session.flush()
    drift.keep_look(session, order, look)
    orders.refresh(session, order_id)
    audit.write(session, actor, "order.attach", f"order:{order_id}", {"klarna_order_id": look.order_id})


# --- Telling Klarna --------------------------------------------------------------------------------------------------


def acknowledge(klarna: Gateway, actor: Actor, order_id: int) -> bool:
    """Tell Klarna that the order has arrived, and our number where the shop gave none; True when nothing is left to tell.

    Both are harmless when repeated, and each is told until Klarna has taken it. Never raises for what Klarna does.
    """
    return all(_tell(klarna, actor, order_id, kind) for kind in (CallKind.ACKNOWLEDGE, CallKind.REFERENCES))


def _tell(klarna: Gateway, actor: Actor, order_id: int, kind: CallKind) -> bool:
    prepared = db.transact(lambda session: _prepare(session, klarna, order_id, kind))
    if isinstance(prepared, bool):
        return prepared
    access, request, key = prepared
    method, path, body = request
    at, outcome, answer = clock.now(), CallOutcome.DONE, None
    with klarna.slot() as free:
        if not free:
            return False
        client = klarna.client(access)
        try:
            answer = client.call(method, path, wire=client.wire(klarna.answer_seconds), body=body or None, key=key)
        except KlarnaNotSent:
            outcome = CallOutcome.NOT_SENT
        except KlarnaRefused as error:
            outcome, answer = CallOutcome.REFUSED, error.answer
        except KlarnaError as error:
            outcome, answer = CallOutcome.UNCLEAR, error.answer
    note_reached(klarna, access.account_id, answer is not None)
    call = KlarnaCall(
        order_id=order_id,
        kind=kind,
        at=at,
        by=actor.name,
        method=method,
        path=path,
        body=body.decode(),
        idempotency_key=key,
        outcome=outcome,
        http_status=answer.status if answer else None,
        error_code=answer.error_code if answer else None,
        error_messages=json.dumps(answer.error_messages, ensure_ascii=False) if answer else None,
        correlation_id=answer.correlation_id if answer else None,
    )
    db.transact(lambda session: session.add(call))
    return outcome is CallOutcome.DONE or (outcome is CallOutcome.REFUSED and kind is CallKind.REFERENCES)


def _prepare(
    session: Session, klarna: Gateway, order_id: int, kind: CallKind
) -> bool | tuple[Access, tuple[str, str, bytes], str]:
    """The request to send; True when there is nothing to tell, False when nothing may leave just now (operations 15)."""
    order = orders.get(session, order_id)
    if order.account_id is None or order.klarna_order_id is None:
        return True
    if kind is CallKind.REFERENCES and (order.shop_number or order.source != "klarna"):
        return True
    told = sa.select(KlarnaCall.id).where(
        KlarnaCall.order_id == order_id,
        KlarnaCall.kind == kind,
        KlarnaCall.outcome.in_((CallOutcome.DONE, CallOutcome.REFUSED)),
    )
    if kind is CallKind.ACKNOWLEDGE:
        told = told.where(KlarnaCall.outcome == CallOutcome.DONE)
    if session.scalar(told.limit(1)) is not None:
        return True
    account = session.get_one(KlarnaAccount, order.account_id)
    if operations.closed_way(session, klarna, account) is not None:
        return False
    if kind is CallKind.ACKNOWLEDGE:
        request = KlarnaClient.acknowledge_order(order.klarna_order_id)
    else:
        request = KlarnaClient.update_references(order.klarna_order_id, {"merchant_reference1": str(order.number)})
    installation = UUID(session.get_one(Installation, 1).installation_id)
    return access_of(account), request, str(uuid5(installation, f"{kind}:{order.klarna_order_id}"))


def told_at(session: Session, order_id: int) -> datetime | None:
    """When Klarna was told that the order has arrived; None when it has not been."""
    done = sa.select(KlarnaCall.at).where(
        KlarnaCall.order_id == order_id, KlarnaCall.kind == CallKind.ACKNOWLEDGE, KlarnaCall.outcome == CallOutcome.DONE
    )
    return session.scalar(done.order_by(KlarnaCall.id.desc()).limit(1))
