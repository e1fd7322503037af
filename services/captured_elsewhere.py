"""Rows by which Klarna may go wrong, on captures that were not made here: without article number, or alike at another price.

Amounts are minor units. Rules alone; the amount credited is right in every case. Source: K6, K7, K34-K41; operations 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from errors import N_, BadInput, Refusal
from models import Document, KlarnaOp
from money import Amount
from rights import Actor
from services import audit, documents
from states import OpState


@dataclass(frozen=True, slots=True)
class Priced:
    """What tells rows apart: place, article number, price and discount of one piece."""

    position: int
    article_number: str | None
    unit_price_minor: int
    discount_minor: int


@dataclass(frozen=True, slots=True)
class Marked:
    """What is to be known of a row: it has no article number, or shares it with rows of another price or discount."""

    position: int
    article_number: str | None
    without_number: bool
    alike: Sequence[Priced]


def mark(rows: Iterable[Priced]) -> dict[int, Marked]:
    """The rows by which Klarna may go wrong, by their place; those that are safe are left out."""
    known = list(rows)
    found = {}
    for row in known:
        alike = [
            other
            for other in known
            if other is not row
            and row.article_number
            and other.article_number == row.article_number
            and (other.unit_price_minor, other.discount_minor) != (row.unit_price_minor, row.discount_minor)
        ]
        if alike or not row.article_number:
            found[row.position] = Marked(row.position, row.article_number, not row.article_number, alike)
    return found


@dataclass(frozen=True, slots=True)
class Capture:
    """What an invoice was issued by: Klarna's own number of it, and whether it was made outside Kvitta."""

    number: str | None
    elsewhere: bool


_CAPTURE = select(KlarnaOp.__table__.c.klarna_short_ref, KlarnaOp.__table__.c.state).where(
    KlarnaOp.__table__.c.id == bindparam("op_id")
)


def capture_of(session: Session, invoice: Document) -> Capture | None:
    """The capture an invoice was issued by; None where nothing was sent."""
    if invoice.issued_by_op_id is None:
        return None
    number, state = session.execute(_CAPTURE, {"op_id": invoice.issued_by_op_id}).one()
    return Capture(number, state is OpState.EXTERNAL)


def marked_rows(invoice: Document, capture: Capture | None) -> dict[int, Marked]:
    """The marked rows of an invoice; none for a capture of our own, whose references keep its rows apart (K34, K39)."""
    if capture is None or not capture.elsewhere:
        return {}
    return mark(
        Priced(line.position, line.article_number, line.unit_price_minor, line.discount_minor) for line in invoice.lines
    )


def warnings(session: Session, draft: Document) -> list[Refusal]:
    """What is to be confirmed before a draft is credited at Klarna; none when all of the original goes back unchanged.

    The amount is always right; Klarna may lower another row on the customer's invoice than the one credited (K35-K41).
    """
    invoice = draft.original
    if invoice is None or not draft.with_klarna:
        return []
    return warnings_of(draft, marked_rows(invoice, capture_of(session, invoice)))


def warnings_of(draft: Document, marked: Mapping[int, Marked]) -> list[Refusal]:
    """The warnings of a draft whose invoice has these marked rows."""
    invoice = draft.original
    if not marked or invoice is None or not draft.with_klarna or _is_whole(draft, invoice):
        return []
    found = []
    if any(each.without_number for each in marked.values()):
        found.append(
            Refusal(
                N_(
                    "The invoice has text rows without article number and was activated outside Kvitta. The amount will be "
                    "right, but Klarna may show the customer the wrong row."
                )
            )
        )
    amount = Amount(sum(line.gross_minor for line in documents.lines_of(draft)), draft.currency)
    for first, second in sorted({tuple(sorted((m.position, o.position))) for m in marked.values() for o in m.alike}):
        found.append(
            Refusal(
                N_(
                    "Rows %(first)s and %(second)s share an article number but not a price. Klarna may lower the wrong row "
                    "on the customer's invoice; the amount of %(amount)s will be right."
                ),
                first=first,
                second=second,
                amount=amount,
            )
        )
    return found


def _is_whole(draft: Document, invoice: Document) -> bool:
    """Whether every row of the invoice is credited in full by this draft, and nothing else."""
    credited = {line.original_line_id: line.quantity_milli for line in documents.lines_of(draft)}
    return credited == {line.id: line.quantity_milli for line in invoice.lines}


def require_confirmed(session: Session, actor: Actor, draft: Document, confirmed: bool) -> None:
    """Let pass a draft without warnings, or one whose warnings were ticked; who ticked is kept. Raises BadInput (K36)."""
    if not warnings(session, draft):
        return
    if not confirmed:
        raise BadInput(N_("Confirm the warning first."), field="warned")
    audit.write(session, actor, "credit_note.warning_confirmed", f"document:{draft.id}", {})
