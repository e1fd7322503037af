"""Advances: a share of the order per VAT rate, what later invoices deduct of it, and what crediting gives back.

Amounts are minor units including VAT, rates and percentages hundredths of a percent. Source: F12, F29, F30; requirements,
questions 2 and 6; operations 5; A15.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import money
from errors import N_, BadInput, Refusal
from models import Document, DocumentLine, Order
from money import Amount
from services import documents, orders
from services.documents import Row
from states import DocKind, LineKind, OrderState

KINDS = (LineKind.ADVANCE, LineKind.ADVANCE_DEDUCTION)
"""Rows that stand for money and not for goods: they have an amount of their own and no quantity that is counted."""
WHOLE = 1000
"""The quantity of such a row, thousandths."""


@dataclass(frozen=True, slots=True)
class Held:
    """What an advance holds at one rate that is neither deducted nor credited; ``whole_…`` is what it was issued for."""

    document_id: int
    number: str
    rate: int
    gross_minor: int
    vat_minor: int
    whole_minor: int
    whole_vat_minor: int

    def vat_of(self, part_minor: int) -> int:
        """The VAT of a part of what is held; the last part takes the rest, to the öre."""
        if part_minor == self.gross_minor:
            return self.vat_minor
        used = abs(self.whole_minor - self.gross_minor)
        return money.next_share(
            self.whole_vat_minor, abs(self.whole_minor), used, self.whole_vat_minor - self.vat_minor, abs(part_minor)
        )


# --- What is held, what is left ------------------------------------------------------------------------------------------


def _what_is_held() -> sa.Select[int, str, int, int, int, int, int]:
    on_invoice = Document.kind == DocKind.INVOICE
    advances = DocumentLine.kind == LineKind.ADVANCE
    sign = sa.case((on_invoice, 1), else_=-1)
    rows = (
        sa.select(
            sa.case((~advances, DocumentLine.deducts_id), (on_invoice, Document.id), else_=Document.original_id).label(
                "of"
            ),
            DocumentLine.vat_rate.label("rate"),
            (sign * DocumentLine.gross_minor).label("gross"),
            (sign * DocumentLine.vat_minor).label("vat"),
            sa.case((sa.and_(on_invoice, advances), DocumentLine.gross_minor), else_=0).label("whole"),
            sa.case((sa.and_(on_invoice, advances), DocumentLine.vat_minor), else_=0).label("whole_vat"),
        )
        .join(Document, Document.id == DocumentLine.document_id)
        .where(
            Document.order_id == sa.bindparam("order_id"),
            Document.state.in_(documents.LIVE),
            Document.reversed_at.is_(None),
            DocumentLine.kind.in_(KINDS),
            DocumentLine.removed.is_(False),
        )
        .subquery()
    )
    sums = [sa.func.sum(column) for column in (rows.c.gross, rows.c.vat, rows.c.whole, rows.c.whole_vat)]
    return (
        sa.select(rows.c.of, Document.number_text, rows.c.rate, *sums)
        .join(Document, Document.id == rows.c.of)
        .group_by(rows.c.of, Document.number_text, rows.c.rate)
        .order_by(rows.c.of, rows.c.rate.desc())
    )


_HELD = _what_is_held()


def held(session: Session, order_id: int) -> list[Held]:
    """What each advance of the order still holds per rate, oldest first; pending and issued documents count (A15)."""
    rows = session.execute(_HELD, {"order_id": order_id})
    return [Held(key, number or "", rate, *map(int, figures)) for key, number, rate, *figures in rows]


def of_invoice(session: Session, invoice: Document) -> dict[int, Held]:
    """What an advance invoice still holds, per rate; rates of which nothing is held are left out."""
    mine = [each for each in held(session, invoice.order_id or 0) if each.document_id == invoice.id]
    return {each.rate: each for each in mine if each.gross_minor}


def by_rate(rows: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Sums per rate, from pairs of rate and amount."""
    sums: dict[int, int] = {}
    for rate, amount in rows:
        sums[rate] = sums.get(rate, 0) + amount
    return sums


def left(session: Session, order: Order) -> dict[int, int]:
    """What is left to invoice per rate: the order, less what its rows were invoiced for, less what advances still hold."""
    billed = orders.invoiced(session, order.id)
    rows = [
        (line.vat_rate, orders.line_gross(line) - billed.get(line.id, orders.NOTHING).gross_minor)
        for line in order.lines
    ]
    return by_rate([*rows, *((each.rate, -each.gross_minor) for each in held(session, order.id))])


# --- The advance invoice -------------------------------------------------------------------------------------------------


def why_not(session: Session, order: Order, left_minor: int) -> Refusal | None:
    """Why no advance is offered; None as long as something is left to invoice and no delivered row awaits it (F12)."""
    if order.state is OrderState.CANCELLED:
        return Refusal(N_("The order is cancelled and cannot be invoiced."))
    if orders.to_invoice(session, order, delivered_only=True):
        return Refusal(N_("What has been delivered awaits invoicing. Make its delivery invoice first."))
    if left_minor <= 0:
        return Refusal(N_("Nothing is left to charge in advance."))
    return None


def outside(order: Order, left_minor: int) -> BadInput:
    """The no to a percentage that is outside the range, or comes to more than is left (F29)."""
    total = orders.total(order)
    return BadInput(
        N_("Enter a percentage between 0.01 and 100.00. %(left)s (%(left_hundredths)s %%) of the order is left."),
        field="percent",
        left=Amount(left_minor, order.currency),
        left_hundredths=left_minor * 10_000 // total if total > 0 else 0,
    )


def read_percent(session: Session, order: Order, text: str) -> int:
    """A percentage as typed, in hundredths. Raises BadInput, with the sentence of F29 for one outside the range."""
    try:
        return money.parse_percent(text, field="percent")
    except money.OutOfRange as no:
        raise outside(order, max(sum(left(session, order).values()), 0)) from no


def rows_of(session: Session, order: Order, percent: int | None) -> list[Row]:
    """The rows of an advance of ``percent`` of the order, one per VAT rate.

    Each rate's share is rounded to the öre and the last öre goes to the largest rate; no rate goes above what is left of it.
    Raises Refusal where none is offered, BadInput with the sentence of F29.
    """
    rest = left(session, order)
    whole = sum(rest.values())
    if percent is None or not 1 <= percent <= 10_000:
        raise outside(order, max(whole, 0))
    refusal = why_not(session, order, whole)
    if refusal is not None:
        raise refusal
    charged = money.divide(orders.total(order) * percent, 10_000)
    if charged > whole:
        raise outside(order, whole)
    if charged == 0:
        raise BadInput(
            N_("%(percent)s of the order comes to %(sum)s. Enter a higher percentage."),
            field="percent",
            percent=percent,
            sum=Amount(0, order.currency),
        )
    ordered = by_rate((line.vat_rate, orders.line_gross(line)) for line in order.lines)
    parts = share(ordered, rest, percent, charged)
    name = f"Förskott {written(percent)} % avseende order {order.number}"
    made = [
        Row(
            kind=LineKind.ADVANCE,
            name=name,
            quantity_milli=WHOLE,
            unit_price_minor=part,
            discount_minor=0,
            gross_minor=part,
            vat_rate=rate,
            position=place,
            percent=percent,
        )
        for place, (rate, part) in enumerate(((rate, part) for rate, part in parts.items() if part), start=1)
    ]
    documents.spread_vat(made)
    return made


def share(ordered: Mapping[int, int], rest: Mapping[int, int], percent: int, charged_minor: int) -> dict[int, int]:
    """Split an advance over the rates, largest first: each its rounded share within what is left, the odd öre on the largest."""
    parts = {}
    for rate in sorted(ordered, reverse=True):
        part, room = money.divide(ordered[rate] * percent, 10_000), rest.get(rate, 0)
        parts[rate] = max(min(part, room), 0) if room > 0 else min(max(part, room), 0)
    odd = charged_minor - sum(parts.values())
    for rate, part in parts.items():
        room = rest.get(rate, 0)
        step = min(odd, max(room, 0) - part) if odd > 0 else max(odd, min(room, 0) - part)
        parts[rate] += step
        odd -= step
    return parts


def written(percent: int) -> str:
    """A percentage as Swedish paper has it: ``30``, ``12,5``."""
    whole, part = divmod(percent, 100)
    return f"{whole},{part:02d}".rstrip("0").rstrip(",")


# --- Deducted on later invoices ------------------------------------------------------------------------------------------


def deductions(session: Session, order: Order, supply: Sequence[Row], *, last: bool) -> list[Row]:
    """Rows that deduct earlier advances from an invoice of these rows, per rate and with their numbers (F30).

    They go as far as the invoice's rows of the rate reach and never bring its total below zero; the rest stays for the next.
    The ``last`` invoice has no next: what is held at a rate of which it has too little is deducted from its total.
    """
    room = by_rate((row.vat_rate, row.gross_minor) for row in supply)
    total = sum(room.values())
    if total < 0:
        return []
    parts: list[tuple[Held, int]] = []
    for each in sorted(held(session, order.id), key=lambda each: each.gross_minor > 0):
        part = each.gross_minor if last else _within(each.gross_minor, room.get(each.rate, 0))
        part = min(part, total)
        room[each.rate] = room.get(each.rate, 0) - part
        total -= part
        parts.append((each, part))
    parts.sort(key=lambda part: (part[0].document_id, -part[0].rate))
    return [
        Row(
            kind=LineKind.ADVANCE_DEDUCTION,
            name=f"Avgår förskott, faktura {each.number}",
            quantity_milli=WHOLE,
            unit_price_minor=-part,
            discount_minor=0,
            gross_minor=-part,
            vat_rate=each.rate,
            vat_minor=-each.vat_of(part),
            position=len(supply) + place,
            deducts_id=each.document_id,
            deducts=each.number,
        )
        for place, (each, part) in enumerate(((each, part) for each, part in parts if part), start=1)
    ]


def _within(wanted: int, room: int) -> int:
    """As much of ``wanted`` as fits into ``room``; nothing where their signs differ."""
    return min(wanted, room) if wanted > 0 and room > 0 else max(wanted, room) if wanted < 0 and room < 0 else 0


def fits(session: Session, document: Document) -> bool:
    """Whether an invoice's advance or deductions fit beside the other live documents (operations 5; on «Försök igen»)."""
    if document.order is None or not any(line.kind in KINDS for line in document.lines):
        return True
    mine = document.state not in documents.LIVE
    if any(line.kind is LineKind.ADVANCE for line in document.lines):
        own = sum(line.gross_minor for line in document.lines) if mine else 0
        return sum(left(session, document.order).values()) >= own
    open_now = {(each.document_id, each.rate): each for each in held(session, document.order.id)}
    for line in document.lines:
        if line.kind is LineKind.ADVANCE_DEDUCTION:
            found = open_now.get((line.deducts_id or 0, line.vat_rate))
            after = (found.gross_minor if found else 0) + (line.gross_minor if mine else 0)
            if found is None or after * (1 if found.whole_minor > 0 else -1) < 0:
                return False
    return True


# --- Credited ------------------------------------------------------------------------------------------------------------


def deducted_on(session: Session, advance_id: int) -> Refusal | None:
    """That a part of an advance is deducted on an invoice, which has to be credited first; None when no part is (question 6)."""
    rows = session.execute(
        sa.select(Document.id, Document.kind, Document.original_id, DocumentLine.gross_minor)
        .join(Document, Document.id == DocumentLine.document_id)
        .where(
            DocumentLine.deducts_id == advance_id,
            DocumentLine.removed.is_(False),
            Document.state.in_(documents.LIVE),
            Document.reversed_at.is_(None),
        )
    )
    pairs = [(key, gross) if kind is DocKind.INVOICE else (of or 0, -gross) for key, kind, of, gross in rows]
    sums = {key: -gross for key, gross in by_rate(pairs).items() if gross}
    if not sums:
        return None
    invoice = session.get_one(Document, max(sums))
    return Refusal(
        N_("%(amount)s of the advance has been deducted on invoice %(number)s. Credit that one first."),
        link=("invoices.show", {"document_id": invoice.id}),
        amount=Amount(sums[invoice.id], invoice.currency),
        number=invoice.number_text,
    )
