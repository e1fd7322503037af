"""Decisions in REVIEW: the key window is over and there is no proof, so a person decides, with a look made at that moment.

Amounts are minor units. Source: operations 10, rule 9; catalogue row 89; security 39.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

import db
from errors import N_, BadInput, NotAllowed, Refusal
from models import KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import audit, documents, drift, operations, reservation_acts, reservation_words, reservations, settings
from services.gateway import Gateway
from services.looks import Found, Look, with_number
from services.reservations import FOLLOW
from states import OpState, RefusalKind


def _look(klarna: Gateway, actor: Actor, document_id: int) -> Look:
    """Read Klarna's order just now; nothing is decided while Klarna cannot be asked (fault row 21)."""
    actor.require(Right.DECIDE)
    with db.reading() as session:
        order_id = _in_review(session, document_id).order_id
    return reservations.look_at(klarna, order_id)


def _in_review(session: Session, document_id: int) -> KlarnaOp:
    op = operations.open_of_document(session, document_id)
    if op is None or op.state is not OpState.REVIEW:
        raise Refusal(N_("There is nothing to decide: Klarna's answer is known or still awaited."))
    return op


def happened(klarna: Gateway, actor: Actor, document_id: int, object_id: str) -> None:
    """«Det genomfördes»: confirmed by the capture or refund with this id, which Klarna shows just now. Raises BadInput."""
    look = _look(klarna, actor, document_id)

    def work(session: Session) -> None:
        op = operations.open_of_document(session, document_id)
        if op is None:
            return  # the look has just confirmed it
        op = operations.lock(session, op.id)
        found, elsewhere = _chosen(session, op, look, object_id.strip())
        evidence = ("person", found.object_id or "", look.evidence())
        if elsewhere is None:
            operations.confirm(
                session, op, actor, FOLLOW, found.at or look.at, evidence, found.object_id, found.short_ref
            )
        else:
            document = documents.get(session, document_id, lock=True)
            operations.move(session, op, OpState.NOT_EXECUTED, actor, evidence=evidence, next_run_at=None)
            reservations.issue_by_external(session, actor, document, elsewhere)
        audit.write(session, actor, "klarna.decided_happened", f"document:{document_id}", {"op": op.id})

    db.transact(work)


def _chosen(session: Session, op: KlarnaOp, look: Look, object_id: str) -> tuple[Found, KlarnaOp | None]:
    """The object a person points at, and the record of it where a look has found it as made elsewhere."""
    for found in look.objects(op.kind):
        if found.object_id == object_id:
            break
    else:
        raise BadInput(N_("Klarna shows no such id on this purchase."), field="object_id")
    if found.amount_minor != op.amount_minor:
        raise BadInput(
            N_("That one is %(found)s, not %(wanted)s."),
            field="object_id",
            found=Amount(found.amount_minor, look.currency),
            wanted=Amount(op.amount_minor or 0, look.currency),
        )
    other = session.scalar(
        select(KlarnaOp).where(
            KlarnaOp.account_id == op.account_id, KlarnaOp.kind == op.kind, KlarnaOp.klarna_object_id == object_id
        )
    )
    if other is not None and other.document_id is not None:
        raise BadInput(N_("That id belongs to another document."), field="object_id")
    return found, other


def did_not_happen(klarna: Gateway, actor: Actor, document_id: int, reason: str) -> bool:
    """«Det genomfördes inte»: only when Klarna, looked at just now, shows neither our number nor other totals than ours.

    Above the company's limit a second person says the same before it counts; returns whether it was closed. Raises
    Refusal naming what Klarna shows, BadInput without a reason, NotAllowed for the same person twice.
    """
    reason = documents.read_reason(reason)
    look = _look(klarna, actor, document_id)

    def work(session: Session) -> bool:
        op = operations.lock(session, _in_review(session, document_id).id)
        order = session.get_one(Order, op.order_id)
        ours = [found for found in with_number(look, op.kind, op.reference) if found.amount_minor == op.amount_minor]
        if ours or operations.recorded_success(session, op) is not None:
            raise Refusal(N_("Klarna shows number %(number)s: it did happen."), number=op.reference)
        if drift.difference(session, order.id, look):
            raise drift.Differs(look, drift.ours(session, order.id), 0)
        limit = settings.number(session, "decision_limit.second_person")
        if op.decided_by is None:
            op.decided_by, op.decided_reason = actor.name, reason
            first_alone = (op.amount_minor or 0) > limit
            if first_alone:
                audit.write(session, actor, "klarna.decided_first", f"document:{document_id}", {"op": op.id})
                return False
        elif op.decided_by == actor.name:
            raise NotAllowed(N_("Above the limit a second person has to decide."))
        else:
            op.second_by = actor.name
        evidence = ("person", op.second_by or op.decided_by or actor.name, look.evidence())
        operations.not_executed(session, op, actor, FOLLOW, RefusalKind.DECIDED, evidence)
        audit.write(session, actor, "klarna.decided_not_happened", f"document:{document_id}", {"op": op.id})
        return True

    return db.transact(work)


# --- Acts on the reservation, which have no document -----------------------------------------------------------------


def _reservation_look(klarna: Gateway, actor: Actor, order_id: int) -> Look:
    actor.require(Right.DECIDE)
    with db.reading() as session:
        _act_in_review(session, order_id)
    return reservations.look_at(klarna, order_id)


def _act_in_review(session: Session, order_id: int) -> KlarnaOp:
    op = reservation_acts.open_act(session, order_id)
    if op is None or op.state is not OpState.REVIEW:
        raise Refusal(N_("There is nothing to decide: Klarna's answer is known or still awaited."))
    return op


def reservation_changed(klarna: Gateway, actor: Actor, order_id: int) -> None:
    """«Det genomfördes»: only a look made just now says so; it confirms the act by itself. Raises Refusal, NotReached."""
    _reservation_look(klarna, actor, order_id)
    with db.reading() as session:
        op = reservation_acts.open_act(session, order_id)
        if op is not None:
            raise Refusal(reservation_words.NOT_SHOWN[op.kind])


def reservation_unchanged(klarna: Gateway, actor: Actor, order_id: int, reason: str) -> None:
    """«Det genomfördes inte»: only when Klarna, looked at just now, shows no effect and the totals agree. No money has moved.

    Raises Refusal naming what Klarna shows, BadInput without a reason.
    """
    reason = documents.read_reason(reason)
    look = _reservation_look(klarna, actor, order_id)

    def work(session: Session) -> None:
        op = operations.lock(session, _act_in_review(session, order_id).id)
        if FOLLOW.difference(session, op, look):
            raise drift.Differs(look, drift.ours(session, order_id), 0)
        op.decided_by, op.decided_reason = actor.name, reason
        session.flush()
        evidence = ("person", actor.name, look.evidence())
        operations.not_executed(session, op, actor, FOLLOW, RefusalKind.DECIDED, evidence)
        audit.write(session, actor, "klarna.decided_not_happened", f"order:{order_id}", {"op": op.id, "kind": op.kind})

    db.transact(work)
