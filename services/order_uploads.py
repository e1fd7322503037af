"""Order files from their preview to their orders: kept as they came, looked through against the books, read in whole.

Everything is checked before the first order is made; then orders are made some at a time, so that nobody else waits, and what a
crash interrupts is gone on with: an order that is here is never made again. Amounts are minor units. Source: B16.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session, selectinload

import clock
import db
from errors import N_, BadInput, Busy, NotFound, Refusal, Stale
from models import Customer, Order, OrderUpload
from rights import Actor, Right
from services import audit, incoming, order_file
from services.incoming import Cards
from services.incoming_rows import AT_ONCE, Shelf, notices
from services.order_file import FileOrder, OrderFile, Problem
from services.settlement_sentences import keep, told
from states import Role

log = structlog.get_logger()

KEPT = timedelta(days=1)
"""For so long a file waits for its reading in; it holds names and addresses."""
SOME = 25
"""Orders made in one transaction, so that others get their turn in between."""
MOST_NOTICES = 50
ROUND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Planned:
    """An order of the file: one ``known`` under a number of ours is left alone; one that is ``faulty`` comes to no sum."""

    row: int
    number: str
    customer: str
    rows: int
    total_minor: int | None
    currency: str
    known: int | None = None
    faulty: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file would do; with problems it does nothing."""

    file: OrderFile
    orders: Sequence[Planned]
    problems: Sequence[Problem]
    notices: Sequence[tuple[int, Refusal]]

    @property
    def new(self) -> int:
        """How many orders it would make."""
        return sum(each.known is None and not each.faulty for each in self.orders)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as a page shows it. ``made`` of ``total`` orders are there; ``failed`` are those that could not be, with why."""

    id: int
    sha256: str
    file_name: str
    received_at: datetime
    received_by: str
    taken_at: datetime | None
    taken_by: str | None
    total: int = 0
    done: int = 0
    made: int = 0
    failed: tuple[tuple[str, Refusal], ...] = ()

    @property
    def running(self) -> bool:
        """Whether orders are still being made of it."""
        return self.taken_at is not None and self.done < self.total


class ReadBefore(Refusal):
    """The same file was read in before, byte for byte."""


# --- Keeping ---------------------------------------------------------------------------------------------------------


def receive(actor: Actor, content: bytes, file_name: str) -> int:
    """Look a file through and keep it for its preview; returns its id. Raises what ``order_file.read`` refuses, and ReadBefore.

    Owns its transaction: a large file takes seconds to look through, and keeps nobody from writing meanwhile.
    """
    actor.require(Right.WORK)
    order_file.read(content)
    return db.transact(lambda session: keep_file(session, actor, content, file_name))


def keep_file(session: Session, actor: Actor, content: bytes, file_name: str) -> int:
    """Keep a file that can be read; returns its id. Raises NotAllowed, ReadBefore."""
    actor.require(Right.WORK)
    digest = hashlib.sha256(content).hexdigest()
    before = session.scalar(
        sa.select(OrderUpload).where(OrderUpload.sha256 == digest).order_by(OrderUpload.taken_at.desc()).limit(1)
    )
    if before is not None and before.taken_at is not None:
        raise ReadBefore(
            N_("This very file was read in on %(day)s by %(who)s. Nothing has been done."),
            field="file",
            link=("order_files.show", {"upload_id": before.id}),
            day=clock.local_date(before.taken_at),
            who=before.taken_by,
        )
    session.execute(
        sa.delete(OrderUpload).where(
            OrderUpload.taken_at.is_(None),
            sa.or_(OrderUpload.received_at < clock.now() - KEPT, OrderUpload.sha256 == digest),
        )
    )
    made = OrderUpload(
        sha256=digest,
        file_name=" ".join(file_name.split())[-200:] or "orders.csv",
        content=content,
        received_at=clock.now(),
        received_by=actor.name,
    )
    session.add(made)
    session.flush()
    audit.write(session, actor, "order_file.keep", f"order_upload:{made.id}", {"sha256": digest, "bytes": len(content)})
    return made.id


def _get(session: Session, upload_id: int, *, lock: bool = False) -> OrderUpload:
    found = session.get(OrderUpload, upload_id, with_for_update=lock or None) if 0 < upload_id < 2**63 else None
    if found is None:
        raise NotFound
    return found


# --- Looking through -------------------------------------------------------------------------------------------------


def plan(session: Session, upload_id: int) -> Plan:
    """What a kept file would do, and everything that is wrong with it. Raises NotFound."""
    return survey(session, order_file.read(_get(session, upload_id).content))


def survey(session: Session, file: OrderFile) -> Plan:
    """The orders of a file against customers, articles and orders that are there; asks a few questions for all of them."""
    problems, planned, said = list(file.problems), [], []
    shelf = Shelf(session, (row for order in file.orders for row in order.incoming.rows))
    cards = Cards(session, (order.incoming.buyer for order in file.orders))
    by_number = _customers(session, file.orders)
    known, others = _known(session, file.orders), _other_orders(session, file.orders)
    for order in file.orders:
        before = known.get(order.incoming.source_key or "")
        whose = by_number.get(order.customer_number or 0)
        fits = [whose] if whose else cards.find(order.incoming.buyer)
        found = _wrong(order, before, others, whose, fits)
        total, readable = 0, file.faulty.isdisjoint(order.rows)
        if readable:
            more, total = _rows_of(session, order, shelf, before)
            found += more
            told_of = [] if more else notices(incoming.lines_of(session, order.incoming, shelf))
            said += [(order.first_row, each) for each in told_of]
        problems += found
        faulty = bool(found) or not readable
        planned.append(
            Planned(
                row=order.first_row,
                number=order.number,
                customer=f"{fits[0].number} {fits[0].name}" if len(fits) == 1 else order.incoming.buyer.name,
                rows=len(order.rows),
                total_minor=None if faulty else total,
                currency=order.incoming.currency,
                known=before.number if before else None,
                faulty=faulty,
            )
        )
    problems.sort(key=lambda each: each.row)
    return Plan(file, planned, problems[: order_file.MOST_PROBLEMS], said[:MOST_NOTICES])


def _wrong(
    order: FileOrder, before: Order | None, others: Mapping[str, int], whose: Customer | None, fits: Sequence[Customer]
) -> list[Problem]:
    """What is wrong with the order itself: its customer, or another order under its number."""
    row, found = order.first_row, []
    if order.customer_number is not None and whose is None:
        why = BadInput(N_("There is no customer %(number)s."), number=order.customer_number)
        found.append(Problem(row, "customer_number", why))
    elif whose is None and len(fits) > 1:
        found.append(Problem(row, "email", incoming.SeveralCustomers(fits)))
    if before is None and order.number in others:
        message = N_("The shop's order number %(number)s stands on order %(ours)s already, which came in another way.")
        found.append(Problem(row, "order", BadInput(message, number=order.number, ours=others[order.number])))
    return found


def _rows_of(session: Session, order: FileOrder, shelf: Shelf, before: Order | None) -> tuple[list[Problem], int]:
    """What is wrong with the rows, each with its own reason, and their sum."""
    problems, total = [], 0
    for row, line in zip(order.rows, order.incoming.rows, strict=True):
        try:
            total += shelf.line(line).gross_minor
        except BadInput as why:
            problems.append(Problem(row, why.field or "", why))
    if not problems:
        try:
            incoming.lines_of(session, order.incoming, shelf)
            if before is not None:
                incoming.require_same(session, before, order.incoming, shelf)
        except Refusal as why:
            problems.append(Problem(order.first_row, why.field or "order", why))
    return problems, total


def _customers(session: Session, orders: Sequence[FileOrder]) -> dict[int, Customer]:
    numbers = sorted({order.customer_number for order in orders if order.customer_number is not None})
    found: dict[int, Customer] = {}
    for start in range(0, len(numbers), AT_ONCE):
        query = sa.select(Customer).where(Customer.number.in_(numbers[start : start + AT_ONCE]))
        found |= {card.number: card for card in session.scalars(query.where(Customer.anonymised_at.is_(None)))}
    return found


def _known(session: Session, orders: Sequence[FileOrder]) -> dict[str, Order]:
    keys = sorted({order.incoming.source_key or "" for order in orders})
    found: dict[str, Order] = {}
    for start in range(0, len(keys), AT_ONCE):
        query = sa.select(Order).where(Order.source_key.in_(keys[start : start + AT_ONCE]))
        found |= {order.source_key or "": order for order in session.scalars(query.options(selectinload(Order.lines)))}
    return found


def _other_orders(session: Session, orders: Sequence[FileOrder]) -> dict[str, int]:
    """Orders that bear a number of the file and did not come by file."""
    numbers = sorted({order.number for order in orders})
    found: dict[str, int] = {}
    for start in range(0, len(numbers), AT_ONCE):
        query = sa.select(Order.shop_number, Order.number).where(
            Order.shop_number.in_(numbers[start : start + AT_ONCE]), Order.source != "csv"
        )
        found |= {shop or "": number for shop, number in session.execute(query)}
    return found


# --- Reading in ------------------------------------------------------------------------------------------------------


def begin(actor: Actor, upload_id: int, seen: str) -> None:
    """«Läs in»: decide that the file becomes orders; the same again changes nothing. ``seen`` is the hash of what was shown.

    Owns its transactions: a large file is looked through without keeping others from writing. Raises Stale for another file
    than the one shown, BadInput while something is wrong with it.
    """
    actor.require(Right.WORK)
    with db.reading() as session:
        _require_shown(_get(session, upload_id), seen)
        found = plan(session, upload_id)
    if found.problems:
        raise BadInput(
            N_("The file has rows that cannot be read in. Correct them and choose the file again."), field="file"
        )
    db.transact(lambda session: _decide(session, actor, upload_id, seen, len(found.orders)))


def _require_shown(upload: OrderUpload, seen: str) -> None:
    if upload.sha256 != seen:
        raise Stale(N_("This is no longer the file that was shown. Choose the file again."))


def _decide(session: Session, actor: Actor, upload_id: int, seen: str, total: int) -> None:
    upload = _get(session, upload_id, lock=True)
    _require_shown(upload, seen)
    if upload.taken_at is not None:
        return
    upload.taken_at, upload.taken_by = clock.now(), actor.name
    upload.result = json.dumps({"total": total, "done": 0, "made": 0, "failed": []})
    audit.write(session, actor, "order_file.take", f"order_upload:{upload.id}", {"orders": total})


def go_on(upload_id: int, seconds: float) -> bool:
    """Make orders of a file that was decided on, for about so long; True when all are there."""
    ends = clock.monotonic() + seconds
    with db.reading() as session:
        upload = _get(session, upload_id)
        orders = order_file.read(upload.content).orders
        actor = Actor(upload.taken_by or "", roles=frozenset({Role.CLERK}))
    while True:
        try:
            if incoming.once(lambda session: _some(session, actor, upload_id, orders, SOME)):
                return True
        except Refusal as refusal:
            if isinstance(refusal, Busy):
                return False
            _one_by_one(actor, upload_id, orders)
        if clock.monotonic() >= ends:
            return False


def _some(session: Session, actor: Actor, upload_id: int, orders: Sequence[FileOrder], most: int) -> bool:
    upload = _get(session, upload_id, lock=True)
    state = json.loads(upload.result or "{}")
    chosen = orders[state["done"] : state["done"] + most]
    shelf = Shelf(session, (row for order in chosen for row in order.incoming.rows))
    by_number = _customers(session, chosen)
    for order in chosen:
        wish = order.incoming
        if order.customer_number is not None:
            wish = replace(wish, customer_id=by_number[order.customer_number].id)
        state["made"] += incoming.earlier(session, wish) is None
        incoming.take(session, actor, wish, shelf)
    state["done"] += len(chosen)
    upload.result = json.dumps(state)
    return bool(state["done"] >= state["total"])


def _one_by_one(actor: Actor, upload_id: int, orders: Sequence[FileOrder]) -> None:
    """Something changed since the file was looked through: each order on its own, and which could not be is kept with why."""
    for _ in range(SOME):
        try:
            if incoming.once(lambda session: _some(session, actor, upload_id, orders, most=1)):
                return
        except Busy:
            return
        except Refusal as refusal:
            db.transact(partial(_pass_over, upload_id=upload_id, orders=orders, why=keep(refusal)))


def _pass_over(session: Session, upload_id: int, orders: Sequence[FileOrder], why: str) -> None:
    upload = _get(session, upload_id, lock=True)
    state = json.loads(upload.result or "{}")
    state["failed"].append([orders[state["done"]].number, why])
    state["done"] += 1
    upload.result = json.dumps(state)


def run(seconds: float = ROUND_SECONDS) -> int:
    """One round over files that were decided on and are not finished: the worker's part. Returns how many."""
    with db.reading() as session:
        taken = session.execute(
            sa.select(OrderUpload.id, OrderUpload.result)
            .where(OrderUpload.taken_at.is_not(None), OrderUpload.taken_at > clock.now() - timedelta(days=7))
            .order_by(OrderUpload.id)
        ).all()
    open_ones = [upload_id for upload_id, result in taken if _is_open(result)]
    for upload_id in open_ones:
        go_on(upload_id, seconds)
    return len(open_ones)


def _is_open(result: str | None) -> bool:
    state: dict[str, Any] = json.loads(result or "{}")
    return bool(state.get("done", 0) < state.get("total", 0))


# --- Showing ---------------------------------------------------------------------------------------------------------


def show(session: Session, upload_id: int) -> Upload:
    """A file and how far it has come. Raises NotFound."""
    return _shown(_get(session, upload_id))


def listing(session: Session, limit: int = 20) -> list[Upload]:
    """The files that were read in, the newest first."""
    query = sa.select(OrderUpload).where(OrderUpload.taken_at.is_not(None)).order_by(OrderUpload.id.desc()).limit(limit)
    return [_shown(upload) for upload in session.scalars(query.options(sa.orm.defer(OrderUpload.content)))]


def _shown(upload: OrderUpload) -> Upload:
    state: dict[str, Any] = json.loads(upload.result or "{}")
    return Upload(
        id=upload.id,
        sha256=upload.sha256,
        file_name=upload.file_name,
        received_at=upload.received_at,
        received_by=upload.received_by,
        taken_at=upload.taken_at,
        taken_by=upload.taken_by,
        total=state.get("total", 0),
        done=state.get("done", 0),
        made=state.get("made", 0),
        failed=tuple((number, told(why)) for number, why in state.get("failed", ())),
    )
