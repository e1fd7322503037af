"""``flask verify --klarna``: what must always be true and only Klarna can tell, asked order by order with GET alone.

M7: Klarna's totals are ours, or breaks explain the difference to the öre. M5: what was refused or not carried out has left no
object at Klarna. M8: no number of ours stands on two objects there. Every comparison is in SQL of its own. Nothing is written,
but that Klarna was silent (the breaker). Amounts are minor units. Source: invariants 1.1 and 1.5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import db
from errors import Refusal
from models import Order
from services import asking, orders
from services.findings import Finding, ask
from services.gateway import Gateway
from services.looks import Found, Look
from states import OpKind

QUIET = timedelta(minutes=15)
"""An order with an act younger than this is left for the next time: Klarna's reads may lag behind its writes."""
TITLES: Mapping[str, str] = {
    "M5": "what was refused or not carried out has left nothing at Klarna, or a break says so.",
    "M7": "Klarna's activated and credited sums are ours for every order, or breaks explain the difference to the öre.",
    "M8": "no number of ours stands on two activations or two credits at Klarna, or a break says so.",
}
MOST_FINDINGS = 20


@dataclass(slots=True)
class Report:
    """How the asking goes: ``asked`` of ``total`` orders, what was found per rule, and what could not be asked and why."""

    total: int
    asked: int = 0
    under_way: int = 0
    findings: dict[str, list[Finding]] = field(default_factory=lambda: {name: [] for name in TITLES})
    silent: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Orders that have been dealt with in one way or another."""
        return self.asked + self.under_way + sum(self.silent.values())

    @property
    def holds(self) -> bool:
        """Whether every order could be asked about and nothing was found."""
        return not self.silent and not any(self.findings.values())


def run(klarna: Gateway, since: date | None = None) -> Iterator[Report]:
    """Ask Klarna about every order with a purchase there, or those placed since a day; yields the report after each order."""
    with db.reading() as session:
        wanted = _wanted(session, since)
    report = Report(len(wanted))
    yield report
    for order_id in wanted:
        _one(klarna, order_id, report)
        yield report


def _wanted(session: Session, since: date | None) -> Sequence[int]:
    query = sa.select(Order.id).where(Order.klarna_order_id.is_not(None)).order_by(Order.id)
    if since is not None:
        query = query.where(Order.ordered_at >= datetime.combine(since, time(), clock.LOCAL))
    return session.scalars(query).all()


def _one(klarna: Gateway, order_id: int, report: Report) -> None:
    with db.reading() as session:
        if _is_under_way(session, order_id):
            report.under_way += 1
            return
    try:
        with db.reading() as session:
            access, klarna_order_id = asking.access_for(session, orders.get(session, order_id))
        look = asking.read_order(klarna, access, klarna_order_id)
    except Refusal as no:
        report.silent[str(no)] += 1
        return
    with db.reading() as session:
        if _is_under_way(session, order_id):
            report.under_way += 1
            return
        for name, found in _compare(session, order_id, look):
            report.findings[name].append(found)
    report.asked += 1


def _is_under_way(session: Session, order_id: int) -> bool:
    found = ask(
        session,
        "SELECT 1 FROM klarna_op k WHERE k.order_id = :order_id AND (k.state IN ('PREPARED','SENDING','UNKNOWN','REVIEW')"
        " OR EXISTS (SELECT 1 FROM klarna_op_event e WHERE e.op_id = k.id AND e.at > :quiet AND k.state <> 'EXTERNAL'))",
        order_id=order_id,
        quiet=clock.now() - QUIET,
    )
    return found.first() is not None


def _compare(session: Session, order_id: int, look: Look) -> Iterator[tuple[str, Finding]]:
    subject = f"order:{order_id}"
    ours, allowed = _ours(session, order_id), _explained(session, order_id)
    apart = (look.captured - ours[0], look.refunded - ours[1])
    if apart not in allowed:
        yield (
            "M7",
            Finding(
                subject,
                f"activated {look.captured} at Klarna and {ours[0]} here, credited {look.refunded} and {ours[1]}; "
                "no break explains it",
            ),
        )
    for kind in (OpKind.CAPTURE, OpKind.REFUND):
        yield from _left_over(session, order_id, kind, look.objects(kind))
        yield from _twice(session, order_id, kind, look.objects(kind))


def _ours(session: Session, order_id: int) -> tuple[int, int]:
    row = ask(
        session,
        "SELECT coalesce(sum(CASE WHEN kind = 'CAPTURE' THEN amount_minor ELSE 0 END), 0),"
        " coalesce(sum(CASE WHEN kind = 'REFUND' THEN amount_minor ELSE 0 END), 0) FROM klarna_op"
        " WHERE order_id = :order_id AND state IN ('CONFIRMED','EXTERNAL')",
        order_id=order_id,
    ).one()
    return int(row[0]), int(row[1])


def _explained(session: Session, order_id: int) -> set[tuple[int, int]]:
    """The distances between Klarna's sums and ours that breaks speak of: (activated, credited)."""
    known, missing = {(0, 0)}, [0, 0]
    rows = ask(
        session,
        "SELECT b.kind, b.expected, b.found, k.kind, k.amount_minor FROM klarna_break b"
        " LEFT JOIN klarna_op k ON k.id = b.op_id WHERE b.order_id = :order_id AND b.kind IN ('totals_differ','object_missing')"
        " AND (b.state = 'open' OR b.resolution = 'explain')",
        order_id=order_id,
    )
    for kind, expected, found, op_kind, amount in rows:
        if kind == "object_missing":
            missing[op_kind == "REFUND"] -= int(amount or 0)
            continue
        pairs = [each.split(",") for each in (expected, found)]
        if all(len(pair) == 2 and all(part.isdecimal() for part in pair) for pair in pairs):
            (here, back), (there, returned) = ((int(pair[0]), int(pair[1])) for pair in pairs)
            known.add((there - here, returned - back))
    return known | {(c + missing[0], r + missing[1]) for c, r in known}


def _left_over(
    session: Session, order_id: int, kind: OpKind, objects: Sequence[Found]
) -> Iterator[tuple[str, Finding]]:
    """M5: an object with the number of an act that was refused or not carried out, and no other act or break for it."""
    rows = ask(
        session,
        "SELECT k.id, k.reference, k.state FROM klarna_op k WHERE k.order_id = :order_id AND k.kind = :kind"
        " AND k.state IN ('REJECTED','NOT_EXECUTED') AND k.reference IS NOT NULL AND NOT EXISTS (SELECT 1 FROM klarna_op y"
        " WHERE y.order_id = k.order_id AND y.kind = k.kind AND y.reference = k.reference"
        " AND y.state IN ('CONFIRMED','EXTERNAL')) AND NOT EXISTS (SELECT 1 FROM klarna_break b WHERE b.op_id = k.id"
        " OR b.document_id = k.document_id)",
        order_id=order_id,
        kind=kind.value,
    )
    numbers = {found.reference for found in objects}
    for key, reference, state in rows:
        if reference in numbers:
            yield "M5", Finding(f"op:{key}", f"is {state}, and Klarna shows its number {reference}")


def _twice(session: Session, order_id: int, kind: OpKind, objects: Sequence[Found]) -> Iterator[tuple[str, Finding]]:
    """M8: a number of ours on two objects at Klarna, and no break that speaks of it."""
    for number, count in Counter(found.reference for found in objects if found.reference).items():
        if count < 2:
            continue
        ours = ask(session, "SELECT 1 FROM document WHERE number_text = :number", number=number).first()
        said = ask(
            session,
            "SELECT 1 FROM klarna_break b LEFT JOIN klarna_op k ON k.id = b.op_id"
            " WHERE b.order_id = :order_id AND (b.kind = 'duplicate_number' OR k.reference = :number)",
            order_id=order_id,
            number=number,
        ).first()
        if ours is not None and said is None:
            yield (
                "M8",
                Finding(f"order:{order_id}", f"number {number} stands on {count} objects of kind {kind} at Klarna"),
            )
