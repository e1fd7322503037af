"""Acts on the reservation itself, through the beats: extend it, release the rest, cancel it, change its rows.

They have no document: the operation alone stands for them, and the order's page shows what became of it. Functions that
take ``klarna`` own their transactions. Amounts are minor units. Source: F27, B18, B19; operations 6, 8 and 12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BrokenRule, Refusal, Stale, Throttled
from klarna_client import KlarnaClient
from models import KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import audit, drift, effects, looks, operations, order_amending, order_ending, orders, reservation_acts
from services.asking import NotReached, access_for, read_order
from services.beats import MoneyForm, carry_out, keep, look_at, once
from services.following import FOLLOW
from services.gateway import Gateway
from services.looks import Look
from services.order_amending import AmendedRow
from states import KlarnaStatus, OpKind, OpState

Request = tuple[str, str, bytes]
_GONE = (KlarnaStatus.CANCELLED, KlarnaStatus.EXPIRED, KlarnaStatus.CLOSED)


@dataclass(frozen=True, slots=True)
class AmendForm(MoneyForm):
    """The form of changed rows: the same form with other rows is another act."""

    rows: Sequence[AmendedRow] = ()

    @property
    def values(self) -> list[int | bool | str | None]:
        """What must be the same when the same form comes again."""
        return [self.shown_minor, self.version, order_amending.written(self.rows)]


def refresh(klarna: Gateway, actor: Actor, order_id: int) -> None:
    """«Uppdatera»: read the reservation just now, at most once in a few seconds. Raises Throttled, NotReached."""
    actor.require(Right.WORK)
    if not klarna.may_read(order_id):
        raise Throttled(N_("Klarna was asked a moment ago. What it showed then is shown here."))
    look_at(klarna, order_id)


# --- Extend, release, cancel ---------------------------------------------------------------------------------------------


def extend(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm) -> int:
    """«Förläng»: ask Klarna for more time; the new date is the one Klarna then shows (F27). Returns the order's id."""
    actor.require(Right.WORK)
    return once(actor, form, "extend", order_id, lambda: _extend(klarna, actor, order_id, form))


def _extend(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm) -> int:
    def intend(session: Session, order: Order, look: Look) -> str:
        return _intend(session, actor, order, look, "extend", form, OpKind.EXTEND_AUTH)

    return _act(klarna, actor, order_id, OpKind.EXTEND_AUTH, intend)


def release(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm) -> int:
    """«Släpp resten»: give back what is left of a reservation that has been activated in part."""
    actor.require(Right.WORK)
    return once(actor, form, "release", order_id, lambda: _release(klarna, actor, order_id, form, "release"))


def _release(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm, action: str) -> int:
    def intend(session: Session, order: Order, look: Look) -> str:
        orders.require_nothing_refused(session, order)
        orders.require_unchanged(order, form.version)
        _require_left(look, form)
        return _intend(session, actor, order, look, action, form, OpKind.RELEASE)

    return _act(klarna, actor, order_id, OpKind.RELEASE, intend)


def cancel(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm) -> int:
    """«Makulera order»: cancel the reservation and with it the order, or release the rest after an activation (B18).

    An order without a reservation, or whose reservation Klarna has ended, is cancelled at once and nothing is sent.
    """
    actor.require(Right.WORK)
    return once(actor, form, "cancel", order_id, lambda: _cancel(klarna, actor, order_id, form))


def _cancel(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm) -> int:
    with db.reading() as session:
        order = orders.get(session, order_id)
        _refuse(order_ending.why_not_cancel(session, order))
        linked = order.klarna_order_id is not None
    if linked:
        look = look_at(klarna, order_id)
        if look.captured:
            return _release(klarna, actor, order_id, form, "cancel")
        if look.status not in _GONE:
            return _cancel_at_klarna(klarna, actor, order_id, form, look)
    return db.transact(lambda session: _cancel_here(session, actor, order_id, form, linked))


def _cancel_at_klarna(klarna: Gateway, actor: Actor, order_id: int, form: MoneyForm, look: Look) -> int:
    def intend(session: Session, order: Order, look: Look) -> str:
        _refuse(order_ending.why_not_cancel(session, order))
        orders.require_unchanged(order, form.version)
        _require_left(look, form)
        return _intend(session, actor, order, look, "cancel", form, OpKind.CANCEL)

    return _act(klarna, actor, order_id, OpKind.CANCEL, intend, look)


def _cancel_here(session: Session, actor: Actor, order_id: int, form: MoneyForm, linked: bool) -> int:
    order = orders.get(session, order_id, lock=True)
    if operations.earlier_use(session, actor, form.nonce, "cancel", str(order_id), form.values) is not None:
        return order_id
    if linked != (order.klarna_order_id is not None):
        # A reservation was tied to it meanwhile, which nobody would cancel.
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    _refuse(order_ending.why_not_cancel(session, order))
    orders.require_unchanged(order, form.version)
    operations.use_form(session, actor, form.nonce, "cancel", str(order_id), form.values, str(order_id))
    order_ending.cancel(session, actor, order)
    return order_id


# --- Change the rows ---------------------------------------------------------------------------------------------------------


def amend(klarna: Gateway, actor: Actor, order_id: int, form: AmendForm) -> int:
    """Change the order's rows before anything is invoiced: at once without Klarna, else when Klarna has agreed (B19).

    ``form.version`` is the order's when the form was drawn, ``form.shown_minor`` the new sum as it was shown. Raises Refusal,
    BadInput beside ``quantity_<place>``, Stale; nothing has been changed then.
    """
    actor.require(Right.WORK)
    return once(actor, form, "amend", order_id, lambda: _amend(klarna, actor, order_id, form))


def _amend(klarna: Gateway, actor: Actor, order_id: int, form: AmendForm) -> int:
    with db.reading() as session:
        order = orders.get(session, order_id)
        order_amending.require_fits(session, order, form.rows, form.version)
        order_amending.require_shown(order, form.rows, form.shown_minor)
        linked = order.klarna_order_id is not None
    if not linked:
        return db.transact(lambda session: _amend_here(session, actor, order_id, form))
    total = order_amending.total(form.rows)

    def intend(session: Session, order: Order, look: Look) -> str:
        order_amending.require_fits(session, order, form.rows, form.version)
        op_id = _intend(session, actor, order, look, "amend", form, OpKind.UPDATE_AUTH, form.rows)
        order_amending.keep(session, session.get_one(KlarnaOp, op_id), form.rows)
        return op_id

    return _act(klarna, actor, order_id, OpKind.UPDATE_AUTH, intend, amount_minor=total)


def _amend_here(session: Session, actor: Actor, order_id: int, form: AmendForm) -> int:
    order = orders.get(session, order_id, lock=True)
    if operations.earlier_use(session, actor, form.nonce, "amend", str(order_id), form.values) is not None:
        return order_id
    order_amending.require_fits(session, order, form.rows, form.version)
    operations.use_form(session, actor, form.nonce, "amend", str(order_id), form.values, str(order_id))
    order_amending.apply(session, actor, order, form.rows)
    return order_id


# --- The beats -----------------------------------------------------------------------------------------------------------------


def _act(
    klarna: Gateway,
    actor: Actor,
    order_id: int,
    kind: OpKind,
    intend: Callable[[Session, Order, Look], str],
    look: Look | None = None,
    amount_minor: int = 0,
) -> int:
    """Look, T1, T2, the wire, T3. Nothing is begun without a look: such an act has no number that it could lose."""
    began = clock.monotonic()
    with db.reading() as session:
        order = orders.get(session, order_id)
        orders.require_no_open_operation(session, order)
        operations.require_sending(session)
        access, klarna_order_id = access_for(session, order)
    with klarna.slot() as free:
        if not free:
            raise NotReached(N_("All lines to Klarna are busy. Try again in a moment."))
        seen = look or read_order(klarna, access, klarna_order_id)
        keep(order_id, seen, actor)
        _require_allowed(order_id, seen, kind, amount_minor)

        def work(session: Session) -> str:
            order = orders.get(session, order_id, lock=True)
            orders.require_no_open_operation(session, order)
            return intend(session, order, seen)

        carry_out(klarna, db.transact(work), seen, actor, began)
    return order_id


def _require_allowed(order_id: int, look: Look, kind: OpKind, amount_minor: int) -> None:
    """Refuse what the look rules out, and what is not to be done beside a difference that nobody has settled."""
    looks.require_possible(look, kind, amount_minor)
    with db.reading() as session:
        drift.require_same_currency(orders.get(session, order_id), look)
        ours, difference = drift.ours(session, order_id), drift.difference(session, order_id, look)
    if difference and kind is not OpKind.EXTEND_AUTH:
        raise drift.Differs(look, ours, difference)


def _require_left(look: Look, form: MoneyForm) -> None:
    if look.remaining != form.shown_minor:
        raise Stale(
            N_(
                "What is left of the reservation has changed: it was %(before)s and is now %(now)s. Nothing has been sent."
            ),
            before=Amount(form.shown_minor, look.currency),
            now=Amount(look.remaining, look.currency),
        )


def _intend(
    session: Session, actor: Actor, order: Order, look: Look, action: str, form: MoneyForm, kind: OpKind,
    rows: Sequence[AmendedRow] = (),
) -> str:  # fmt: skip
    """T1: use the form and write the operation with what stood at Klarna before; the order is locked."""
    earlier = operations.earlier_use(session, actor, form.nonce, action, str(order.id), form.values)
    if earlier is not None:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    operations.use_form(session, actor, form.nonce, action, str(order.id), form.values, str(order.id))
    op = operations.intend(
        session,
        actor,
        kind=kind,
        order=order,
        document=None,
        amount_minor=sum(row.gross_minor for row in rows) if kind is OpKind.UPDATE_AUTH else None,
        request=_request(order, kind, rows),
        nonce=form.nonce,
        evidence=effects.before(look),
    )
    FOLLOW.require_limits(session, op)
    audit.write(session, actor, f"order.{action}", f"order:{order.id}", {"op": op.id, "left_minor": look.remaining})
    orders.refresh(session, order.id)
    return op.id


def _request(order: Order, kind: OpKind, rows: Sequence[AmendedRow]) -> Request:
    klarna_order_id = order.klarna_order_id
    if klarna_order_id is None:
        raise BrokenRule("an act on a reservation needs a Klarna order")
    if kind is OpKind.UPDATE_AUTH:
        return KlarnaClient.update_authorization(klarna_order_id, order_amending.content(order, rows))
    plain = {
        OpKind.CANCEL: KlarnaClient.cancel_order,
        OpKind.RELEASE: KlarnaClient.release_remaining,
        OpKind.EXTEND_AUTH: KlarnaClient.extend_authorization,
    }
    return plain[kind](klarna_order_id)


def _refuse(no: Refusal | None) -> None:
    if no is not None:
        raise no


# --- What was left unsent -----------------------------------------------------------------------------------------------


def send_now(klarna: Gateway, actor: Actor, order_id: int) -> None:
    """«Skicka nu»: look and send an act that was left unsent. Raises NotReached when Klarna still is not there."""
    actor.require(Right.WORK)
    began = clock.monotonic()
    with db.reading() as session:
        op = reservation_acts.open_act(session, order_id)
        if op is None or op.state is not OpState.PREPARED:
            raise Refusal(N_("There is nothing waiting to be sent."))
        if op.post_allowed_until is not None and op.post_allowed_until <= clock.now():
            raise Refusal(N_("It has waited too long to be sent. Withdraw it and make a new one."))
        op_id = op.id
        access, klarna_order_id = access_for(session, orders.get(session, order_id))
    with klarna.slot() as free:
        if not free:
            raise NotReached(N_("All lines to Klarna are busy. Try again in a moment."))
        look = read_order(klarna, access, klarna_order_id)
        keep(order_id, look, actor)
        carry_out(klarna, op_id, look, actor, began)


def withdraw(session: Session, actor: Actor, order_id: int) -> None:
    """«Återta»: take back an act of which nothing has left. Raises Refusal when something may have."""
    actor.require(Right.WORK)
    order = orders.get(session, order_id, lock=True)
    op = reservation_acts.open_act(session, order.id)
    if op is None:
        raise Refusal(N_("There is nothing waiting to be sent."))
    operations.withdraw(session, actor, op.id)
    audit.write(session, actor, "order.withdraw", f"order:{order.id}", {"op": op.id, "kind": op.kind})
    orders.refresh(session, order.id)


def rows_asked_for(session: Session, order_id: int) -> list[AmendedRow] | None:
    """The rows of the last change that Klarna did not accept, to be looked through and sent again; None without one."""
    op = reservation_acts.last_act(session, order_id)
    if op is None or op.kind is not OpKind.UPDATE_AUTH or op.state not in (OpState.REJECTED, OpState.NOT_EXECUTED):
        return None
    known = {line.id for line in orders.get(session, order_id).lines}
    rows = order_amending.kept(session, op.id)
    return [row for row in rows if row.line_id is None or row.line_id in known]
