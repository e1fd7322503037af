"""The rows of a refund as Klarna gets them: return freight as its return fee, and new rows so that they fall on one capture.

Klarna takes a return fee only on an order captured in one single full capture, in certain countries. Where an order has
several captures it finds the customer's invoice by the rows' references: a row that no capture has would leave the refund
on none of them, so there new rows are drawn off a credited row. Amounts are minor units including VAT.
Source: K34, K44; requirements, question 7; reference 2.6.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import money
from errors import N_, Refusal
from models import Document, DocumentLine, KlarnaOp, Order
from services import klarna_lines, new_rows
from states import LIVE_OPS, LineKind, OpKind

COUNTRIES = frozenset({"AT", "DE", "DK", "FI", "FR", "NL", "NO", "SE"})
"""Countries with a return fee by both of Klarna's pages; the newer one names more, and a refused refund helps nobody."""


class Shown(StrEnum):
    """How the customer sees the new rows of a credit note."""

    RETURN_FEE = "return_fee"
    ROWS = "rows"
    DRAWN_OFF = "drawn_off"


def captures(session: Session, order: Order) -> list[int]:
    """The captures of an order that are made or may be, ours and others', as amounts."""
    query = sa.select(KlarnaOp.amount_minor).where(
        KlarnaOp.order_id == order.id, KlarnaOp.kind == OpKind.CAPTURE, KlarnaOp.state.in_(LIVE_OPS)
    )
    return [int(amount or 0) for amount in session.scalars(query)]


def why_no_return_fee(session: Session, draft: Document) -> Refusal | None:
    """Why return freight goes as an ordinary row with a minus and not as Klarna's return fee; None when it is one."""
    order = draft.order
    if not draft.with_klarna or order is None:
        return Refusal(N_("Nothing is sent to Klarna for this credit note."))
    made = captures(session, order)
    if len(made) != 1 or made[0] != order.authorized_minor:
        return Refusal(N_("The order was not activated in one piece, and Klarna then takes no return fee."))
    if str(json.loads(order.party).get("country") or "").upper() not in COUNTRIES:
        return Refusal(N_("Klarna has no return fee in the customer's country."))
    return None


def shown(session: Session, draft: Document) -> Shown | None:
    """How the customer will see the new rows at Klarna; None where there are none, or nothing is sent."""
    rows = new_rows.of(draft)
    if not rows or not draft.with_klarna or draft.order is None:
        return None
    if len(captures(session, draft.order)) > 1:
        return Shown.DRAWN_OFF
    if any(_is_fee(line) for line in rows) and why_no_return_fee(session, draft) is None:
        return Shown.RETURN_FEE
    return Shown.ROWS


def _is_fee(line: DocumentLine) -> bool:
    return line.kind is LineKind.RETURN_FEE and line.gross_minor < 0


def lines(session: Session, document: Document) -> list[dict[str, Any]]:
    """The refund's order lines; they add up to the document's sum."""
    fee = why_no_return_fee(session, document) is None
    sent = [_line(line, fee=fee) for line in document.lines if not new_rows.is_new(line)]
    new = [_line(line, fee=fee) for line in document.lines if new_rows.is_new(line)]
    if not new or document.order is None or len(captures(session, document.order)) < 2:
        return [*sent, *new]
    return _drawn_off(document, sent, new)


def _line(line: DocumentLine, *, fee: bool) -> dict[str, Any]:
    content = klarna_lines.klarna_line(line)
    if line.kind is LineKind.RETURN_FEE and not (fee and _is_fee(line)):
        content["type"] = "shipping_fee"
    return content


def _drawn_off(document: Document, sent: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The new rows added to the largest credited one, or standing under a row of the invoice where none is credited."""
    if not sent:
        first = document.original.lines[0] if document.original is not None else None
        if first is None or first.klarna_reference is None:
            return new
        return [{**each, "reference": first.klarna_reference} for each in new]
    largest = max(sent, key=lambda each: int(each["total_amount"]))
    total = int(largest["total_amount"]) + sum(int(each["total_amount"]) for each in new)
    names = ", ".join([str(largest["name"]), *(str(each["name"]) for each in new)])
    merged = {
        **{name: value for name, value in largest.items() if name != "total_discount_amount"},
        "name": names[:255],
        "quantity": 1,
        "unit_price": total,
        "total_amount": total,
        "total_tax_amount": money.vat_of_gross(total, int(largest["tax_rate"])),
    }
    if total < 0:
        merged["type"] = "discount"
    return [merged if each is largest else each for each in sent]
