"""Crediting where advances are involved: an advance for what it still holds, a deduction as far as it has to be given back.

Amounts are minor units including VAT, quantities thousandths. Source: K33, K38; requirements, question 6; A15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

import money
from errors import N_, Refusal
from models import Document, DocumentLine
from services import advances, documents, rounding
from services.credited import NOTHING, Credited, credited, credited_total
from states import LineKind, WithoutKlarna


def reprice(session: Session, draft: Document, done: Mapping[int, Credited]) -> bool:
    """Set the rows of a draft that follow from the others: advances and rounding; True when something changed.

    A row of an advance is credited for what no invoice has deducted. A deduction is given back as far as the credit goes
    beyond what the invoice itself came to, and whole with its last row; a credit that comes to 0,00 that way sends nothing.
    """
    rounded = rounding.follow(draft, done)
    rows = [line for line in draft.lines if line.kind in advances.KINDS and line.original_line is not None]
    invoice = draft.original if rows else None
    if invoice is None:
        return rounded
    before = _state(draft, rows)
    if rows[0].kind is LineKind.ADVANCE:
        _advance(session, invoice, rows, done)
    else:
        _given_back(session, draft, invoice, rows, done)
        _decide_sending(draft, invoice)
    return rounded or before != _state(draft, rows)


def _state(draft: Document, rows: Sequence[DocumentLine]) -> tuple[object, ...]:
    figures = [(line.quantity_milli, line.gross_minor, line.vat_minor, line.removed) for line in rows]
    return draft.with_klarna, draft.without_klarna_reason, *figures


def _advance(session: Session, invoice: Document, rows: Sequence[DocumentLine], done: Mapping[int, Credited]) -> None:
    now = advances.of_invoice(session, invoice)
    for line in rows:
        found = now.get(line.vat_rate)
        _set(line, done, found.gross_minor if found else 0, found.vat_minor if found else 0)
        if not line.gross_minor:
            line.removed = True


def _given_back(
    session: Session, draft: Document, invoice: Document, rows: Sequence[DocumentLine], done: Mapping[int, Credited]
) -> None:
    kept = [line for line in draft.lines if not line.removed and line not in rows]
    beyond = credited_total(session, invoice.id, besides=draft.id) + sum(line.gross_minor for line in kept)
    beyond -= invoice.gross_minor or 0
    now = {line.original_line_id: line.quantity_milli for line in kept}
    whole = bool(kept) and all(
        done.get(line.id, NOTHING).quantity_milli + now.get(line.id, 0) >= line.quantity_milli
        for line in invoice.lines
        if line.kind not in advances.KINDS
    )
    rates = {line.vat_rate for line in kept}
    for line in sorted(rows, key=lambda each: (each.vat_rate not in rates, each.position)):
        original = line.original_line
        if original is None:
            continue
        before = done.get(original.id, NOTHING)
        rest = original.gross_minor - before.gross_minor
        part = rest if whole else max(-max(beyond, 0), min(rest, 0))
        beyond += part
        share = original.vat_minor - before.vat_minor
        if part != rest:
            share = money.next_share(
                original.vat_minor, abs(original.gross_minor), abs(before.gross_minor), before.vat_minor, abs(part)
            )
        _set(line, done, part, share)
        line.removed = part == 0


def _set(line: DocumentLine, done: Mapping[int, Credited], gross_minor: int, vat_minor: int) -> None:
    """Give a row its amounts. Its quantity is their share of the one that was invoiced, and the rest with the last öre."""
    original = line.original_line
    if original is None:
        return
    before = done.get(original.id, NOTHING)
    left = original.quantity_milli - before.quantity_milli
    quantity = left
    if before.gross_minor + gross_minor != original.gross_minor:
        quantity = min(original.quantity_milli * abs(gross_minor) // abs(original.gross_minor), left - 1)
    line.quantity_milli = max(quantity, 0) if gross_minor else 0
    line.unit_price_minor, line.discount_minor = gross_minor, 0
    line.gross_minor, line.vat_minor = gross_minor, vat_minor


def _decide_sending(draft: Document, invoice: Document) -> None:
    """Nothing is sent for a credit note that gives advances back and comes to 0,00 (operations 4)."""
    kept = [line for line in draft.lines if not line.removed]
    if kept and sum(line.gross_minor for line in kept) == 0:
        draft.with_klarna = False
        draft.without_klarna_reason = draft.without_klarna_reason or WithoutKlarna.NOTHING_TO_PAY
    elif draft.without_klarna_reason is WithoutKlarna.NOTHING_TO_PAY and invoice.issued_by_op_id is not None:
        draft.with_klarna, draft.without_klarna_reason = True, None


def fits(session: Session, document: Document) -> bool:
    """Whether a refused credit note's advance is still held, and what it gives back still deducted (operations 5)."""
    if document.original is None or not any(line.kind in advances.KINDS for line in document.lines):
        return True
    mine = document.state not in documents.LIVE
    done = credited(session, document.original.id, besides=document.id)
    now = advances.of_invoice(session, document.original)
    for line in document.lines:
        if line.kind is LineKind.ADVANCE:
            sign = 1 if line.gross_minor > 0 else -1
            here = now[line.vat_rate].gross_minor if line.vat_rate in now else 0
            if sign * (here - (line.gross_minor if mine else 0)) < 0:
                return False
        if line.kind is LineKind.ADVANCE_DEDUCTION and line.original_line is not None:
            before = done.get(line.original_line.id, NOTHING)
            if abs(before.gross_minor + line.gross_minor) > abs(line.original_line.gross_minor):
                return False
    return True


def require_reversible(session: Session, document: Document) -> None:
    """Let pass a credit note whose reversal leaves no more deducted than advanced, and no more advanced than is left (A15)."""
    order = document.order
    if order is None or not any(line.kind in advances.KINDS for line in document.lines):
        return
    now = {(each.document_id, each.rate): each for each in advances.held(session, order.id)}
    for line in document.lines:
        if line.kind is LineKind.ADVANCE_DEDUCTION:
            found = now.get((line.deducts_id or 0, line.vat_rate))
            if abs(found.gross_minor if found else 0) < abs(line.gross_minor):
                raise Refusal(
                    N_("The advance that was given back has been used since. The credit note cannot be reversed.")
                )
    again = sum(line.gross_minor for line in document.lines if line.kind is LineKind.ADVANCE)
    if again > sum(advances.left(session, order).values()):
        raise Refusal(
            N_("What the advance was for has been invoiced otherwise since. The credit note cannot be reversed.")
        )
