"""What Klarna tells us, kept before it is believed: each push is read back from Klarna, made into an order and acknowledged.

A push carries an order id and nothing else that we use. It is stored once for as long as it is not handled, however often it is
sent; what cannot be settled by asking again waits for a person. Source: B15, B16; reference 3.1 and 3.2; security 52.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BadInput, Busy, NotFound, Refusal
from models import KlarnaAccount, Push
from rights import Actor, Right
from services import audit, fraud, incoming, klarna_orders
from services.asking import NotReached, NotSetUp, Unknown
from services.gateway import Gateway
from services.incoming import KLARNA, SeveralCustomers
from services.klarna_content import Gone
from services.settlement_sentences import keep, told

log = structlog.get_logger()

ORDER, FRAUD = "order", "fraud"
CHOOSE, ASIDE = "choose", "aside"
"""What a push waits for, and what a person has made of it."""
EVENTS = frozenset({"FRAUD_RISK_ACCEPTED", "FRAUD_RISK_REJECTED", "FRAUD_RISK_STOPPED"})
WAITS = tuple(
    timedelta(**each)
    for each in (
        {"seconds": 10},
        {"minutes": 1},
        {"minutes": 5},
        {"minutes": 30},
        {"hours": 2},
        {"hours": 5},
        {"hours": 12},
        {"hours": 24},
    )
)
"""How long after each try the next one comes; after the last one a person is needed."""
UNKNOWN_TRIES = 2
"""A purchase that Klarna does not know may only be too new to be read; asking for long helps nothing."""
CLAIMED = timedelta(minutes=2)
"""For so long nobody else tries what somebody is trying."""
TROUBLING = 3
"""From so many tries on a push stands in the work list; a younger one settles by itself."""
MOST_WAITING = 10_000
"""Unhandled pushes of one account; more is an attack, and they are let go: Klarna sends again."""
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Waiting:
    """A push that a person should see. ``choose`` says that only the customer has to be chosen."""

    id: int
    account_id: int
    store_id: str
    kind: str
    klarna_order_id: str
    received_at: datetime
    times: int
    tries: int
    next_run_at: datetime | None
    why: Refusal | None
    choose: bool


# --- Hearing ---------------------------------------------------------------------------------------------------------


def hear(session: Session, account: KlarnaAccount, kind: str, klarna_order_id: str, event: str = "") -> None:
    """Keep that Klarna has told us something; the same thing again is the same row, tried anew."""
    now = clock.now()
    row = session.scalar(
        sa.select(Push)
        .where(
            Push.account_id == account.id,
            Push.kind == kind,
            Push.klarna_order_id == klarna_order_id,
            sa.true() if kind == ORDER else Push.event == event,
        )
        .order_by(Push.id.desc())
        .limit(1)
        .with_for_update()
    )
    if row is not None and (kind == ORDER or row.handled_at is None):
        row.times += 1
        if row.result == ASIDE:
            return
        row.handled_at = None
        row.next_run_at = now if row.next_run_at is None else row.next_run_at
        return
    waiting = sa.select(sa.func.count()).where(Push.account_id == account.id, Push.handled_at.is_(None))
    if (session.scalar(waiting) or 0) >= MOST_WAITING:
        log.warning("push.too_many", account_id=account.id)
        return
    session.add(
        Push(
            account_id=account.id,
            kind=kind,
            klarna_order_id=klarna_order_id,
            event=event,
            received_at=now,
            next_run_at=now,
        )
    )
    session.flush()


def account_of(session: Session, store_id: str) -> KlarnaAccount | None:
    """The account of a store id, in use or not."""
    return session.scalar(sa.select(KlarnaAccount).where(KlarnaAccount.store_id == store_id))


# --- Handling --------------------------------------------------------------------------------------------------------


def run(klarna: Gateway) -> int:
    """One round over what is due; returns how many were tried. Whoever claims a push first tries it."""
    with db.reading() as session:
        due = session.scalars(
            sa.select(Push.id)
            .where(Push.handled_at.is_(None), Push.next_run_at <= clock.now())
            .order_by(Push.next_run_at, Push.id)
            .limit(AT_ONCE)
        ).all()
    return sum(_handle_safely(klarna, push_id) for push_id in due)


def _handle_safely(klarna: Gateway, push_id: int) -> bool:
    try:
        claimed = db.transact(lambda session: _claim(session, push_id))
    except Busy:
        return False
    if not claimed:
        return False
    try:
        _handle(klarna, push_id)
    except Unknown as error:
        _later(push_id, error, most=UNKNOWN_TRIES)
    except NotReached as error:
        _later(push_id, error)
    except Gone:
        _done(push_id, "gone")
    except Refusal as error:
        _for_a_person(push_id, error)
    except Exception:
        log.exception("push.failed", push_id=push_id)
        _later(push_id, None)
    return True


def _claim(session: Session, push_id: int) -> bool:
    now = clock.now()
    claimed = session.execute(
        sa.update(Push)
        .where(Push.id == push_id, Push.handled_at.is_(None), Push.next_run_at <= now)
        .values(next_run_at=now + CLAIMED, tries=Push.tries + 1)
        .execution_options(synchronize_session=False)
        .returning(Push.id)
    )
    return claimed.one_or_none() is not None


def _handle(klarna: Gateway, push_id: int) -> None:
    with db.reading() as session:
        push = session.get_one(Push, push_id)
        account = session.get_one(KlarnaAccount, push.account_id)
        order = incoming.linked(session, push.klarna_order_id)
    if not account.active:
        raise NotSetUp(account.store_id)
    if push.kind == FRAUD:
        _done(push_id, fraud.notified(klarna, push_id))
        return
    if order is not None and order.account_id != push.account_id:
        _done(push_id, "other_account")
        return
    order_id = order.id if order else klarna_orders.take_in(klarna, KLARNA, account.id, push.klarna_order_id)
    if not klarna_orders.acknowledge(klarna, KLARNA, order_id):
        raise NotReached(
            N_("The order is here, but Klarna has not yet taken our word that it is. Kvitta asks again by itself.")
        )
    _done(push_id, f"order:{order_id}")


def _done(push_id: int, result: str) -> None:
    def work(session: Session) -> None:
        row = session.get_one(Push, push_id, with_for_update=True)
        row.handled_at, row.next_run_at, row.result, row.last_error = clock.now(), None, result, None

    db.transact(work)


def _later(push_id: int, why: Refusal | None, most: int = len(WAITS)) -> None:
    """Try again after a while; after the last wait a person is needed."""

    def work(session: Session) -> None:
        row = session.get_one(Push, push_id, with_for_update=True)
        wait = WAITS[row.tries - 1] if row.tries <= most else None
        row.next_run_at = clock.now() + wait if wait is not None else None
        row.last_error = keep(why or Refusal(N_("Kvitta could not finish this. It is tried again.")))

    db.transact(work)


def _for_a_person(push_id: int, why: Refusal) -> None:
    """Asking again helps nothing: a person decides. Klarna's next push tries once more, since something may have changed."""

    def work(session: Session) -> None:
        row = session.get_one(Push, push_id, with_for_update=True)
        row.next_run_at = None
        row.last_error = keep(why)
        row.result = CHOOSE if isinstance(why, SeveralCustomers) else None

    db.transact(work)


def follow_up(session: Session, account_id: int, klarna_order_id: str) -> None:
    """Let the worker finish what a person has begun: the order is here, Klarna has yet to be told."""
    account = session.get_one(KlarnaAccount, account_id)
    hear(session, account, ORDER, klarna_order_id)
    session.execute(
        sa.update(Push)
        .where(Push.account_id == account_id, Push.klarna_order_id == klarna_order_id, Push.handled_at.is_(None))
        .values(next_run_at=clock.now(), tries=0, last_error=None, result=None)
        .execution_options(synchronize_session=False)
    )


# --- What a person sees and does --------------------------------------------------------------------------------------


def troubled() -> sa.ColumnElement[bool]:
    """Which pushes a person should see."""
    return sa.and_(
        Push.handled_at.is_(None),
        Push.last_error.is_not(None),
        sa.or_(Push.next_run_at.is_(None), Push.tries >= TROUBLING),
    )


def count_waiting(session: Session) -> int:
    """How many pushes a person should see."""
    return session.scalar(sa.select(sa.func.count()).select_from(Push).where(troubled())) or 0


def waiting(session: Session, limit: int = 100) -> list[Waiting]:
    """The pushes that a person should see, the oldest first."""
    rows = session.execute(
        sa.select(Push, KlarnaAccount.store_id)
        .join(KlarnaAccount, KlarnaAccount.id == Push.account_id)
        .where(troubled())
        .order_by(Push.received_at, Push.id)
        .limit(limit)
    )
    return [
        Waiting(
            id=push.id,
            account_id=push.account_id,
            store_id=store_id,
            kind=push.kind,
            klarna_order_id=push.klarna_order_id,
            received_at=push.received_at,
            times=push.times,
            tries=push.tries,
            next_run_at=push.next_run_at,
            why=told(push.last_error) if push.last_error else None,
            choose=push.result == CHOOSE,
        )
        for push, store_id in rows
    ]


def _get(session: Session, push_id: int) -> Push:
    found = session.get(Push, push_id, with_for_update=True) if 0 < push_id < 2**63 else None
    if found is None:
        raise NotFound
    if found.handled_at is not None:
        raise Refusal(N_("That has been settled meanwhile."))
    return found


def try_again(session: Session, actor: Actor, push_id: int) -> None:
    """«Försök igen»: the worker asks Klarna at once. Raises NotAllowed, NotFound, Refusal."""
    actor.require(Right.WORK)
    row = _get(session, push_id)
    row.next_run_at, row.tries = clock.now(), 0
    audit.write(session, actor, "push.again", f"push:{row.id}", {"klarna_order_id": row.klarna_order_id})


def set_aside(session: Session, actor: Actor, push_id: int, reason: str) -> None:
    """«Lägg undan»: no order is made, and why is kept. Raises NotAllowed, NotFound, BadInput, Refusal."""
    actor.require(Right.WORK)
    if not reason.strip():
        raise BadInput(N_("Write a reason."), field="reason")
    row = _get(session, push_id)
    row.handled_at, row.next_run_at, row.result = clock.now(), None, ASIDE
    audit.write(
        session,
        actor,
        "push.aside",
        f"push:{row.id}",
        {"klarna_order_id": row.klarna_order_id, "reason": reason.strip()},
    )
