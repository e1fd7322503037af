"""Requests to Klarna that move no money: tracking, order numbers, a delivery address, a letter sent again, a later due date.

Each is sent once, with a key, outside every transaction, and its outcome kept. What is unclear can be asked again with the
same bytes and the same key for a day, which Klarna answers without doing it twice. Amounts are minor units.
Source: reference 1.5, 2.5 and 2.8; operations 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

import structlog
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BadInput, NotFound, Refusal, Stale
from klarna_client import Answer, KlarnaClient, KlarnaError, KlarnaNotSent
from models import Document, Installation, KlarnaAccount, KlarnaCall, KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import audit, documents, operations, orders
from services.answers import HOLDS_NOTHING, REFUSAL_CODES_403, REFUSAL_STATUSES
from services.asking import LOOK_SECONDS, NotReached, access_for, note_reached
from services.gateway import CREDENTIALS, Access, Gateway, open_breaker
from services.klarna_call_rules import (
    why_not_address,
    why_not_again,
    why_not_due_date,
    why_not_of_document,
    why_not_order_tracking,
    why_not_references,
)
from states import CallKind, CallOutcome, DocKind

log = structlog.get_logger()

Request = tuple[str, str, bytes]


@dataclass(frozen=True, slots=True)
class Tracking:
    """A parcel on its way, as it is shown to the customer."""

    carrier: str = ""
    number: str = ""
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """How far a due date can be moved, and what Klarna charges the company for it."""

    days: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a call is, decided before it is sent."""

    kind: CallKind
    order_id: int
    document_id: int | None
    request: Request
    key: str | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    outcome: CallOutcome
    answer: Answer | None


BEGUN = _Ended(CallOutcome.UNCLEAR, None)
"""Until an answer is known, it is unclear whether anything was done."""


# --- The calls -----------------------------------------------------------------------------------------------------------


def add_tracking(klarna: Gateway, actor: Actor, document_id: int, nonce: str, tracking: Tracking) -> CallOutcome:
    """Tell the customer, through Klarna, where the parcel of an invoice is. Raises Refusal, BadInput."""
    return _of_invoice(klarna, actor, document_id, nonce, CallKind.TRACKING, tracking)


def add_return_tracking(klarna: Gateway, actor: Actor, document_id: int, nonce: str, tracking: Tracking) -> CallOutcome:
    """The same for a parcel on its way back, from the credit note: it stands on the original's activation."""
    return _of_invoice(klarna, actor, document_id, nonce, CallKind.RETURN_TRACKING, tracking)


def _of_invoice(
    klarna: Gateway, actor: Actor, document_id: int, nonce: str, kind: CallKind, tracking: Tracking
) -> CallOutcome:
    def plan(session: Session) -> _Plan:
        document, order, capture_id = _activated(session, document_id)
        infos = [_shipping(tracking, back=kind is CallKind.RETURN_TRACKING)]
        return _Plan(kind, order.id, document.id, KlarnaClient.add_shipping(_of(order), capture_id, infos))

    return _call(klarna, actor, plan, nonce, kind, document_id, [tracking.carrier, tracking.number, tracking.uri])


def add_order_tracking(klarna: Gateway, actor: Actor, order_id: int, nonce: str, tracking: Tracking) -> CallOutcome:
    """Tracking on the order itself, before anything is invoiced."""

    def plan(session: Session) -> _Plan:
        order = orders.get(session, order_id)
        _refuse(why_not_order_tracking(order))
        request = KlarnaClient.add_shipping(_of(order), None, [_shipping(tracking, back=False)])
        return _Plan(CallKind.ORDER_TRACKING, order.id, None, request)

    values = [tracking.carrier, tracking.number, tracking.uri]
    return _call(klarna, actor, plan, nonce, CallKind.ORDER_TRACKING, order_id, values)


def _shipping(tracking: Tracking, *, back: bool) -> dict[str, str]:
    if not tracking.number:
        raise BadInput(N_("Enter the tracking number."), field="number")
    names = ("shipping_company", "tracking_number", "tracking_uri")
    given = zip(names, (tracking.carrier, tracking.number, tracking.uri), strict=True)
    return {f"return_{name}" if back else name: value for name, value in given if value}


def change_references(klarna: Gateway, actor: Actor, order_id: int, nonce: str, first: str, second: str) -> CallOutcome:
    """The order numbers that Klarna shows: the first to the customer too, the second to the shop."""

    def plan(session: Session) -> _Plan:
        order = orders.get(session, order_id)
        _refuse(why_not_references(order))
        references = {"merchant_reference1": first, "merchant_reference2": second}
        return _Plan(CallKind.REFERENCES, order.id, None, KlarnaClient.update_references(_of(order), references))

    return _call(klarna, actor, plan, nonce, CallKind.REFERENCES, order_id, [first, second])


PLACE = ("street", "street2", "postal_code", "city", "country")
_AT_KLARNA = ("street_address", "street_address2", "postal_code", "city", "country")


def change_address(klarna: Gateway, actor: Actor, order_id: int, nonce: str, address: Mapping[str, str]) -> CallOutcome:
    """Where the goods are to go; the order has the new address when Klarna has it. The billing address is frozen there.

    An order without a reservation has it at once.
    """
    wanted = {name: address[name] for name in PLACE}
    actor.require(Right.WORK)
    with db.reading() as session:
        linked = orders.get(session, order_id).klarna_order_id is not None
    if not linked:
        db.transact(lambda session: _move_here(session, actor, order_id, wanted))
        return CallOutcome.DONE

    def plan(session: Session) -> _Plan:
        order = orders.get(session, order_id)
        _refuse(why_not_address(order))
        sent = {name: wanted[ours] for name, ours in zip(_AT_KLARNA, PLACE, strict=True)}
        return _Plan(CallKind.ADDRESS, order.id, None, KlarnaClient.update_delivery_address(_of(order), sent))

    return _call(klarna, actor, plan, nonce, CallKind.ADDRESS, order_id, list(wanted.values()))


def _move_here(session: Session, actor: Actor, order_id: int, place: Mapping[str, str]) -> None:
    _refuse(why_not_address(orders.get(session, order_id, lock=True)))
    _move(session, actor, order_id, place)


def _move(session: Session, actor: Actor, order_id: int, place: Mapping[str, str]) -> None:
    order = orders.get(session, order_id, lock=True)
    party = json.loads(order.party)
    party["delivery"] = {"name": party.get("delivery", party).get("name", ""), **place}
    order.party = json.dumps(party, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    order.version += 1
    audit.write(session, actor, "order.address", f"order:{order.id}", {})
    orders.refresh(session, order.id)


def send_letter(klarna: Gateway, actor: Actor, document_id: int, nonce: str) -> CallOutcome:
    """Have Klarna send the customer its letter about an invoice again."""

    def plan(session: Session) -> _Plan:
        document, order, capture_id = _activated(session, document_id)
        return _Plan(CallKind.LETTER, order.id, document.id, KlarnaClient.send_letter(_of(order), capture_id))

    return _call(klarna, actor, plan, nonce, CallKind.LETTER, document_id, [])


def due_date_options(klarna: Gateway, document_id: int) -> list[Option]:
    """How far Klarna would move the customer's due date, and for what fee; asked just now, changes nothing. Raises NotReached."""
    with db.reading() as session:
        _, order, capture_id = _activated(session, document_id)
        access, klarna_order_id = access_for(session, order)
    with klarna.slot() as free:
        if not free:
            raise NotReached(N_("All lines to Klarna are busy. Try again in a moment."))
        try:
            content = klarna.client(access).due_date_options(klarna_order_id, capture_id, seconds=LOOK_SECONDS)
        except KlarnaError as no:
            if no.answer is not None and no.answer.error_messages and no.answer.status < 429:
                raise Refusal(N_("Klarna says: %(text)s"), text=" ".join(no.answer.error_messages)) from no
            raise NotReached(N_("Klarna could not be reached. Nothing has been sent; try again in a while.")) from no
    return _options(content)


def _options(content: Mapping[str, object]) -> list[Option]:
    found, offered = [], content.get("options")
    for each in offered if isinstance(offered, list) else []:
        if not isinstance(each, dict):
            continue
        days, fee = each.get("number_of_days"), each.get("amount")
        if type(days) is int and type(fee) is int and days > 0 and fee >= 0:
            found.append(Option(days, fee))
    return sorted(found, key=lambda option: option.days)


def extend_due_date(
    klarna: Gateway, actor: Actor, document_id: int, nonce: str, days: int, shown_fee_minor: int
) -> CallOutcome:
    """Give the customer more time to pay, for the fee that was shown. Raises Stale when Klarna's fee is another by now."""
    offered = {option.days: option.fee_minor for option in due_date_options(klarna, document_id)}
    if days not in offered:
        raise BadInput(N_("Choose one of the values in the list."), field="days")
    if offered[days] != shown_fee_minor:
        raise Stale(
            N_("Klarna's fee has changed: it was %(before)s and is now %(now)s. Nothing has been sent."),
            before=Amount(shown_fee_minor),
            now=Amount(offered[days]),
        )

    def plan(session: Session) -> _Plan:
        document, order, capture_id = _activated(session, document_id)
        _refuse(why_not_due_date(session, document))
        return _Plan(
            CallKind.DUE_DATE, order.id, document.id, KlarnaClient.extend_due_date(_of(order), capture_id, days)
        )

    return _call(klarna, actor, plan, nonce, CallKind.DUE_DATE, document_id, [days, shown_fee_minor])


def again(klarna: Gateway, actor: Actor, call_id: int, nonce: str) -> CallOutcome:
    """«Försök igen»: the same bytes under the same key, so that Klarna does it once however often it is asked."""

    def plan(session: Session) -> _Plan:
        call = session.get(KlarnaCall, call_id)
        if call is None:
            raise NotFound
        _refuse(why_not_again(session, call))
        request = (call.method, call.path, call.body.encode())
        return _Plan(CallKind(call.kind), call.order_id, call.document_id, request, call.idempotency_key)

    return _call(klarna, actor, plan, nonce, None, call_id, [])


# --- Once, with a key, outside every transaction ---------------------------------------------------------------------------


def _call(
    klarna: Gateway,
    actor: Actor,
    decide: Callable[[Session], _Plan],
    nonce: str,
    kind: CallKind | None,
    subject: int,
    values: list[str | int] | list[str] | list[int],
) -> CallOutcome:
    actor.require(Right.WORK)
    action = f"call.{kind or 'again'}"
    with db.reading() as session:
        earlier = operations.earlier_use(session, actor, nonce, action, str(subject), values)
        if earlier is not None:
            return CallOutcome(earlier)
        plan = decide(session)
        access, _ = access_for(session, orders.get(session, plan.order_id))
        installation = UUID(session.get_one(Installation, 1).installation_id)
    key = plan.key or str(uuid5(installation, f"call:{nonce}"))

    def begin(session: Session) -> None:
        """Write that it is about to be sent: what dies on the way is known to be unclear, and a second one waits for it."""
        orders.get(session, plan.order_id, lock=True)
        _refuse(_closed(session, klarna, access))
        if decide(session) != plan:
            raise Stale(
                N_("The order has changed since the page was drawn. Nothing has been sent; look it through again.")
            )
        _write(session, actor, plan, key, BEGUN)

    def record(session: Session) -> CallOutcome:
        orders.get(session, plan.order_id, lock=True)
        told = operations.earlier_use(session, actor, nonce, action, str(subject), values)
        if told is not None:
            return CallOutcome(told)
        operations.use_form(session, actor, nonce, action, str(subject), values, ended.outcome)
        _keep(session, actor, plan, key, ended, access)
        return ended.outcome

    with klarna.slot() as free:
        if not free:
            raise NotReached(N_("All lines to Klarna are busy. Try again in a moment."))
        db.transact(begin)
        ended = _send(klarna, access, plan.request, key)
    return db.transact(record)


def _closed(session: Session, klarna: Gateway, access: Access) -> Refusal | None:
    why = operations.closed_way(session, klarna, session.get_one(KlarnaAccount, access.account_id))
    if why is None:
        return None
    if why == CREDENTIALS:
        return NotReached(
            N_("Not sent: Klarna does not accept the store's credentials. An administrator has to correct them.")
        )
    if why == "sending_off":
        return Refusal(N_("Not sent: sending to Klarna is switched off (restored backup)."))
    return NotReached(N_("Klarna could not be reached. Nothing has been sent; try again in a while."))


def _send(klarna: Gateway, access: Access, request: Request, key: str) -> _Ended:
    """The wire; never raises for what the network or Klarna does."""
    method, path, body = request
    client = klarna.client(access)
    try:
        answer = client.call(method, path, wire=client.wire(klarna.answer_seconds), body=body or None, key=key)
        ended = _Ended(CallOutcome.DONE, answer)
    except KlarnaError as no:
        log.info("klarna.call_failed", path=path, cause=no.cause)
        ended = _Ended(_outcome(no), no.answer)
    note_reached(klarna, access.account_id, ended.answer is not None)
    return ended


def _outcome(no: KlarnaError) -> CallOutcome:
    answer = no.answer
    if answer is None:
        return CallOutcome.NOT_SENT if isinstance(no, KlarnaNotSent) else CallOutcome.UNCLEAR
    if answer.status in HOLDS_NOTHING:
        return CallOutcome.NOT_SENT
    listed = answer.status in REFUSAL_STATUSES or (answer.status == 403 and answer.error_code in REFUSAL_CODES_403)
    return CallOutcome.REFUSED if listed and answer.error_code is not None else CallOutcome.UNCLEAR


def _write(session: Session, actor: Actor, plan: _Plan, key: str, ended: _Ended) -> KlarnaCall:
    """A row of the call: that it is about to be sent, or what came of it. The last row under a key speaks for it."""
    answer = ended.answer
    method, path, body = plan.request
    call = KlarnaCall(
        order_id=plan.order_id,
        document_id=plan.document_id,
        kind=plan.kind,
        at=clock.now(),
        by=actor.name,
        method=method,
        path=path,
        body="" if plan.kind is CallKind.ADDRESS else body.decode(),  # an address is kept once, where it can be blanked
        idempotency_key=key,
        outcome=ended.outcome,
        http_status=answer.status if answer else None,
        error_code=answer.error_code if answer else None,
        error_messages=json.dumps(answer.error_messages, ensure_ascii=False) if answer else None,
        correlation_id=answer.correlation_id if answer else None,
    )
    session.add(call)
    session.flush()
    return call


def _keep(session: Session, actor: Actor, plan: _Plan, key: str, ended: _Ended, access: Access) -> None:
    answer = ended.answer
    call = _write(session, actor, plan, key, ended)
    if answer is not None and answer.status == 401:
        open_breaker(session, access.account_id, CREDENTIALS)
    if plan.kind is CallKind.ADDRESS and ended.outcome is CallOutcome.DONE:
        sent = json.loads(plan.request[2])["shipping_address"]
        place = {ours: sent[name] for name, ours in zip(_AT_KLARNA, PLACE, strict=True)}
        _move(session, actor, plan.order_id, place)
    subject = f"document:{plan.document_id}" if plan.document_id else f"order:{plan.order_id}"
    audit.write(session, actor, f"klarna.{plan.kind}", subject, {"call": call.id, "outcome": ended.outcome})


def _of(order: Order) -> str:
    if order.klarna_order_id is None:
        raise Refusal(N_("The order has no reservation at Klarna."))
    return order.klarna_order_id


def _refuse(no: Refusal | None) -> None:
    if no is not None:
        raise no


def _activated(session: Session, document_id: int) -> tuple[Document, Order, str]:
    """A document, its order, and the id of the activation it stands on. Raises Refusal with why there is none."""
    document = documents.get_numbered(session, document_id)
    _refuse(why_not_of_document(session, document))
    invoice = document if document.kind is DocKind.INVOICE else document.original
    op = session.get_one(KlarnaOp, invoice.issued_by_op_id) if invoice is not None else None
    if op is None or op.klarna_object_id is None or document.order is None:
        raise Refusal(N_("Klarna's number of the activation has not been read yet. Press Refresh on the order first."))
    return document, document.order, op.klarna_object_id
