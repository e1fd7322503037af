"""Many at once: what would happen to each of the chosen orders, the batch that is asked for, and how far it has come.

Rules alone; ``batch_run`` does the work. Amounts are minor units including VAT. Source: screens, "Orders"; operations 12.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Article, Batch, BatchRow, Customer, Document, KlarnaOp, Order
from money import Amount
from rights import Actor, Right
from services import audit, deliveries, document_outcome, invoice_form, money_forms, orders, stock, workplace
from states import DocState, DocType, PaymentKind

DELIVER, INVOICE, BOTH = "deliver", "invoice", "deliver_and_invoice"
ACTS = (DELIVER, INVOICE, BOTH)
TYPES = (DocType.DELIVERY, DocType.FINAL)
"""The invoices a batch makes; an advance is a choice made order by order."""
MOST = 200
"""Orders in one batch."""
ACTION = "batch"
WAITING, RUNNING, DONE, REFUSED, FAILED = "waiting", "running", "done", "refused", "failed"
STOPPED = N_("Stopped by %(name)s before its turn came. Nothing has been done.")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the batch would do with an order, or why it cannot; ``gross_minor`` is what would be invoiced."""

    order_id: int
    number: int
    customer: str
    currency: str
    version: int
    pieces_milli: int
    gross_minor: int
    type: DocType | None
    paid_by_klarna: bool
    refusal: Refusal | None
    no_reservation: bool
    """Whether what is delivered could not be invoiced, for want of a reservation (F2)."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An order of the batch as its row was shown: another sum or version when its turn comes is refused as stale.

    ``type`` is that of its invoice, None where none is made.
    """

    order_id: int
    version: int
    gross_minor: int
    type: DocType | None


@dataclass(frozen=True, slots=True)
class Done:
    """A row of a batch with what came of it: whether it delivered, what it says no with, its document as it stands now."""

    order_id: int
    number: int
    customer: str
    state: str
    delivered: bool
    told: Refusal | None
    document_id: int | None
    document_number: str | None
    document_state: DocState | None
    badge: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come; ``counts`` per state of its rows."""

    id: int
    act: str
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int]
    rows: Sequence[Done] = ()

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def finished(self) -> int:
        """Rows that nothing more will happen to."""
        return self.total - self.counts.get(WAITING, 0) - self.counts.get(RUNNING, 0)


# --- Before ---------------------------------------------------------------------------------------------------------------


def read_ids(texts: Sequence[str]) -> list[int]:
    """The orders that were ticked, each once. Raises BadInput for none, too many, or what is no id."""
    ids = list(dict.fromkeys(int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19))
    if len(ids) != len(set(texts)):
        raise BadInput(N_("The choice of orders cannot be read. Tick them again."), field="selected")
    if not ids:
        raise BadInput(N_("Tick at least one order in the list."), field="selected")
    if len(ids) > MOST:
        raise BadInput(N_("At most %(most)s orders at a time."), field="selected", most=MOST)
    return ids


def plan(
    session: Session, actor: Actor, act: str, ids: Sequence[int], warehouse_id: int | None, ticked: Collection[int]
) -> list[Plan]:
    """What would happen to each order, in the order of their numbers. Stock is counted as the rows before would leave it;
    those that are not ticked come after all that are."""
    _require_act(act)
    query = sa.select(Order).where(Order.id.in_(ids)).order_by(Order.number)
    left = _Shelf(session, warehouse_id)
    by_turn = sorted(session.scalars(query), key=lambda order: order.id not in ticked)
    return sorted((_plan(session, actor, act, order, left) for order in by_turn), key=lambda each: each.number)


def _require_act(act: str) -> None:
    if act not in ACTS:
        raise BadInput(N_("Choose one of the values in the list."), field="act")


class _Shelf:
    """What a warehouse still holds while the rows of a preview take from it, thousandths per article."""

    def __init__(self, session: Session, warehouse_id: int | None) -> None:
        self._session, self._warehouse_id = session, warehouse_id
        self._taken: defaultdict[int, int] = defaultdict(int)

    def refusal(self, wanted: Mapping[Article, int]) -> Refusal | None:
        """Take these, or say which article there is too little of and take nothing."""
        for article, milli in wanted.items():
            held = stock.balance(self._session, article.id, self._warehouse_id) - self._taken[article.id]
            if milli > held and not article.may_go_negative:
                return stock.too_little(article, held, milli)
        for article, milli in wanted.items():
            self._taken[article.id] += milli
        return None


def _plan(session: Session, actor: Actor, act: str, order: Order, shelf: _Shelf) -> Plan:
    pieces, gross, kind = 0, 0, None
    refusal = _right(actor)
    to_deliver = orders.to_deliver(session, order) if act != INVOICE else []
    if refusal is None and (act == DELIVER or to_deliver):
        pieces = sum(milli for _, milli in to_deliver)
        refusal = deliveries.why_not(session, order) or shelf.refusal(_wanted(to_deliver))
    if refusal is None and act != DELIVER:
        step = invoice_form.last_step(session, actor, order.id, DocType.FINAL if to_deliver else None)
        refusal = step.refusal or step.difference
        gross, kind = step.gross_minor, DocType.DELIVERY if to_deliver else step.type
    return Plan(
        order_id=order.id,
        number=order.number,
        customer=order.customer.name,
        currency=order.currency,
        version=order.version,
        pieces_milli=pieces,
        gross_minor=gross,
        type=kind,
        paid_by_klarna=order.payment_method.kind is PaymentKind.KLARNA,
        refusal=refusal,
        no_reservation=orders.total(order) > 0 and deliveries.lacks_reservation(order) is not None,
    )


def _right(actor: Actor) -> Refusal | None:
    try:
        actor.require(Right.WORK)
    except Refusal as no:
        return no
    return None


def _wanted(rows: Sequence[tuple[Any, int]]) -> dict[Article, int]:
    wanted: dict[Article, int] = {}
    for line, milli in rows:
        if line.article is not None and line.article.stock_kept:
            wanted[line.article] = wanted.get(line.article, 0) + milli
    return wanted


# --- Asking for it --------------------------------------------------------------------------------------------------------


def start(
    session: Session, actor: Actor, nonce: str, act: str, chosen: Sequence[Chosen], warehouse_id: int | None
) -> int:
    """Store the batch with a row per order; the same form again is answered with the batch it made. Gives its id.

    Raises NotAllowed, BadInput. Nothing is delivered, invoiced or sent yet.
    """
    actor.require(Right.WORK)
    _require_act(act)
    values = [act, warehouse_id, [(each.order_id, each.version, each.gross_minor, each.type) for each in chosen]]
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, "orders", values)
    if earlier is not None:
        return int(earlier)
    read_ids([str(each.order_id) for each in chosen])
    if any((each.type in TYPES) is (act == DELIVER) for each in chosen):
        raise BadInput(N_("Choose a type of invoice from the list."), field="selected")
    known = set(session.scalars(sa.select(Order.id).where(Order.id.in_([each.order_id for each in chosen]))))
    if len(known) != len(chosen):
        raise Stale(N_("Some of the orders are no longer there. Nothing has been started."))
    now = clock.now()
    shown = {str(each.order_id): [each.version, each.gross_minor, each.type] for each in chosen}
    batch = Batch(
        act=act,
        options=json.dumps({"warehouse_id": warehouse_id, "shown": shown}, sort_keys=True),
        created_by=actor.name,
        created_by_id=actor.id or 0,
        created_at=now,
    )
    session.add(batch)
    session.flush()
    session.add_all(
        BatchRow(batch_id=batch.id, position=place, order_id=each.order_id, nonce=secrets.token_hex(16), changed_at=now)
        for place, each in enumerate(chosen, start=1)
    )
    session.flush()
    audit.write(session, actor, "batch.start", f"batch:{batch.id}", {"act": act, "orders": len(chosen)})
    money_forms.use_form(session, actor, nonce, ACTION, "orders", values, str(batch.id))
    if act != INVOICE and warehouse_id is not None:
        workplace.remember(session, actor, warehouse_id)
    return batch.id


def stop(session: Session, actor: Actor, batch_id: int) -> None:
    """Let what has not begun not begin; what is under way goes on to its end. Doing it again changes nothing."""
    actor.require(Right.WORK)
    get(session, batch_id)
    why = write_result(Refusal(STOPPED, name=actor.name))
    done = session.execute(
        sa.update(BatchRow)
        .where(BatchRow.batch_id == batch_id, BatchRow.state == WAITING)
        .values(state=REFUSED, result=why, changed_at=clock.now())
    )
    if done.rowcount:  # type: ignore[attr-defined]
        audit.write(session, actor, "batch.stop", f"batch:{batch_id}", {"rows": done.rowcount})  # type: ignore[attr-defined]
    end_if_done(session, batch_id)


def end_if_done(session: Session, batch_id: int) -> bool:
    """Note that a batch has come to its end, once nothing waits or runs."""
    left = sa.select(BatchRow.id).where(BatchRow.batch_id == batch_id, BatchRow.state.in_((WAITING, RUNNING)))
    if session.scalar(left.limit(1)) is not None:
        return False
    session.execute(sa.update(Batch).where(Batch.id == batch_id, Batch.ended_at.is_(None)).values(ended_at=clock.now()))
    return True


# --- Looking at it --------------------------------------------------------------------------------------------------------


def get(session: Session, batch_id: int) -> Batch:
    """A batch. Raises NotFound."""
    found = session.get(Batch, batch_id) if 0 < batch_id <= orders.MAX_ID else None
    if found is None:
        raise NotFound
    return found


def _counts(session: Session, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    query = (
        sa.select(BatchRow.batch_id, BatchRow.state, sa.func.count())
        .where(BatchRow.batch_id.in_(ids))
        .group_by(BatchRow.batch_id, BatchRow.state)
    )
    counts: dict[int, dict[str, int]] = {each: {} for each in ids}
    for batch_id, state, number in session.execute(query):
        counts[batch_id][state] = number
    return counts


def _progress(batch: Batch, counts: Mapping[str, int], rows: Sequence[Done] = ()) -> Progress:
    return Progress(batch.id, batch.act, batch.created_by, batch.created_at, batch.ended_at, counts, rows)


def listing(session: Session, before: int | None = None, limit: int = 30) -> list[Progress]:
    """Batches, the newest first; ``before`` is the id of the last one of the page before."""
    query = sa.select(Batch).order_by(Batch.id.desc()).limit(limit)
    found = list(session.scalars(query if before is None else query.where(Batch.id < before)))
    counts = _counts(session, [each.id for each in found])
    return [_progress(each, counts[each.id]) for each in found]


def progress(session: Session, batch_id: int) -> Progress:
    """A batch with its rows. Raises NotFound."""
    batch, tries = get(session, batch_id), aliased(KlarnaOp)
    query = (
        sa.select(BatchRow, Order.number, Customer.name, Document, KlarnaOp.state)
        .join(Order, Order.id == BatchRow.order_id)
        .join(Customer, Customer.id == Order.customer_id)
        .outerjoin(Document, Document.id == BatchRow.made_document_id)
        .outerjoin(
            KlarnaOp,
            KlarnaOp.id == sa.select(sa.func.max(tries.id)).where(tries.document_id == Document.id).scalar_subquery(),
        )
        .where(BatchRow.batch_id == batch_id)
        .order_by(BatchRow.position)
    )
    rows = [_done(*found) for found in session.execute(query)]
    counts: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        counts[row.state] += 1
    return _progress(batch, dict(counts), rows)


def _done(row: BatchRow, number: int, customer: str, document: Document | None, op_state: Any) -> Done:
    badge = None
    if document is not None:
        badge = document_outcome.badge(
            document.kind,
            document.state,
            op_state=op_state,
            refusal=document.refusal_kind,
            without=document.without_klarna_reason,
            reversed_at=document.reversed_at,
        )
    return Done(
        order_id=row.order_id or 0,
        number=number,
        customer=customer,
        state=row.state,
        delivered=was_delivered(row.result),
        told=read_refusal(row.result),
        document_id=document.id if document else None,
        document_number=document.number_text if document else None,
        document_state=document.state if document else None,
        badge=badge,
    )


# --- A sentence that is kept: its message and its values -------------------------------------------------------------------


def write_result(refusal: Refusal | None, *, delivered: bool = False) -> str:
    """What came of a row, as text: a sentence to be said later in the reader's language, and whether goods have left."""
    kept: dict[str, object] = {"delivered": delivered}
    if refusal is not None:
        kept |= {"message": refusal.message, "values": {name: _kept(value) for name, value in refusal.values.items()}}
    return json.dumps(kept)


def _kept(value: object) -> object:
    if isinstance(value, Amount):
        return {"minor": value.minor, "currency": value.currency}
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    if isinstance(value, date):
        return {"day": value.isoformat()}
    return value if isinstance(value, int) else str(value)


def read_refusal(text: str | None) -> Refusal | None:
    """The sentence that was kept; None for none."""
    if text is None:
        return None
    kept: dict[str, Any] = json.loads(text)
    if "message" not in kept:
        return None
    values: dict[str, Any] = {name: _read(value) for name, value in kept["values"].items()}
    return Refusal(kept["message"], **values)


def was_delivered(text: str | None) -> bool:
    """Whether the row has delivered its order, whatever came of the rest."""
    return text is not None and bool(json.loads(text)["delivered"])


def _read(value: Any) -> object:
    if not isinstance(value, dict):
        return value
    if "minor" in value:
        return Amount(value["minor"], value["currency"])
    return datetime.fromisoformat(value["at"]) if "at" in value else date.fromisoformat(value["day"])
