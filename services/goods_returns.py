"""Goods that come back after the credit, or never: return and credit are two facts, which may be made in one step.

A row's goods are received once, never more than is credited and never more than has left; damaged goods are noted and kept
out of the balance that is sold from. Quantities are thousandths. Source: K24, K25, K45; S1, S3, I11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, NotFound, Refusal
from models import Document, DocumentLine, GoodsReturn, StockMovement, Warehouse
from rights import Actor, Right
from services import audit, credit_drafts, deliveries, documents, goods_back, new_rows, stock
from services.card_checks import check_text, mask_personal_numbers
from services.money_forms import earlier_use, use_form
from states import Condition, DocKind, DocState, MovementKind

ACTION = "goods_return"
AT_ONCE = (Condition.WHOLE, Condition.DAMAGED)
"""Conditions of goods that are there when the credit note is made."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed for a row: how much came, and in what condition."""

    quantity: str
    condition: str


@dataclass(frozen=True, slots=True)
class Received:
    """What is known of a row's goods: how much, in what condition, since when and by whom."""

    quantity_milli: int
    condition: Condition
    at: datetime | None
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class GoodsRow:
    """A credited stock row: what is credited, what may still come, and what is known already (None: nothing yet)."""

    id: int
    article_id: int
    article_number: str
    name: str
    unit: str
    credited_milli: int
    most_milli: int
    received: Received | None


@dataclass(frozen=True, slots=True)
class Goods:
    """The goods of a credit note; ``no_return`` says why «Ta emot retur» is off."""

    document_id: int
    number: str
    customer: str
    rows: Sequence[GoodsRow]
    warehouses: Sequence[tuple[int, str]]
    warehouse_id: int | None
    no_return: Refusal | None

    @property
    def waiting(self) -> Sequence[GoodsRow]:
        """The rows of which nothing is known yet and something can come."""
        return [row for row in self.rows if row.received is None and row.most_milli > 0]


def set_condition(session: Session, actor: Actor, draft_id: int, line_id: int, text: str) -> Document:
    """Say on a draft in what condition a row's goods came (K24). Raises BadInput."""
    draft = credit_drafts.get_draft(session, actor, draft_id)
    line = credit_drafts.line_of(draft, line_id)
    condition = _read_condition(text, AT_ONCE, f"condition-{line_id}")
    if line.restock_condition != condition:
        line.restock_condition = condition
        credit_drafts.touch(session, draft)
    return draft


def _read_condition(text: str, known: Sequence[Condition], field: str) -> Condition:
    for condition in known:
        if text == condition:
            return condition
    raise BadInput(N_("Choose the condition from the list."), field=field)


def goods(session: Session, actor: Actor, document_id: int) -> Goods:
    """What became of the goods of an issued credit note. Raises NotFound for anything else. Pure reading."""
    document = documents.get_numbered(session, document_id, DocKind.CREDIT_NOTE)
    rows = [_row(session, document, line) for line in _stock_rows(document)]
    return Goods(
        document_id=document.id,
        number=document.number_text or "",
        customer=document.customer.name,
        rows=rows,
        warehouses=[(each.id, each.name) for each in deliveries.warehouses(session)],
        warehouse_id=document.restock_warehouse_id,
        no_return=_why_not(actor, document, rows),
    )


def _stock_rows(document: Document) -> list[DocumentLine]:
    """The rows whose goods can come back: stock articles credited in the customer's favour."""
    return [
        line
        for line in documents.lines_of(document)
        if credit_drafts.stock_kept(line) and line.gross_minor > 0 and line.quantity_milli > 0
    ]


def _row(session: Session, document: Document, line: DocumentLine) -> GoodsRow:
    received = _received(session, document, line)
    return GoodsRow(
        id=line.id,
        article_id=line.article_id or 0,
        article_number=line.article_number or "",
        name=line.name,
        unit=line.unit,
        credited_milli=line.quantity_milli,
        most_milli=goods_back.returnable(session, line) if received is None else 0,
        received=received,
    )


def _received(session: Session, document: Document, line: DocumentLine) -> Received | None:
    later = session.scalar(sa.select(GoodsReturn).where(GoodsReturn.document_line_id == line.id))
    if later is not None:
        return Received(later.quantity_milli, later.condition, later.at, later.by, later.note)
    if not document.restock or not line.restock_milli:
        return None
    damaged = line.restock_condition == Condition.DAMAGED
    moved = session.scalar(
        sa.select(StockMovement).where(
            StockMovement.document_line_id == line.id, StockMovement.kind == MovementKind.RETURN
        )
    )
    return Received(
        line.restock_milli,
        Condition.DAMAGED if damaged else Condition.WHOLE,
        moved.at if moved is not None else None,
        moved.by if moved is not None else document.created_by,
        "",
    )


def _why_not(actor: Actor, document: Document, rows: Sequence[GoodsRow]) -> Refusal | None:
    """Why no goods can be received on a credit note (K24, K45, S3); None when they can."""
    try:
        actor.require(Right.WORK)
    except Refusal as no:
        return no
    if document.state is not DocState.ISSUED:
        return Refusal(N_("Goods are received on an issued credit note only. Nothing has moved."))
    if document.reversed_at is not None:
        return Refusal(N_("The credit note has been reversed. Nothing comes back on it."))
    if (exchange := new_rows.why_no_restock(document)) is not None:
        return exchange
    if not any(row.received is None for row in rows):
        return Refusal(N_("All goods of the credit note are accounted for."))
    if not any(row.received is None and row.most_milli > 0 for row in rows):
        return Refusal(N_("None of these goods has been delivered, so none can come back."))
    return None


def receive(
    session: Session,
    actor: Actor,
    document_id: int,
    nonce: str,
    warehouse_id: int | None,
    typed: Mapping[int, Typed],
    note: str,
) -> None:
    """«Ta emot retur»: book what came of each row, or that it never will; one form does it once.

    A blank quantity leaves a row waiting. Raises BadInput beside ``quantity-…``, ``condition-…``, ``warehouse_id`` or
    ``note``; Refusal, NotAllowed, NotFound. Nothing is booked then.
    """
    document = documents.get(session, document_id, lock=True)
    if document.kind is not DocKind.CREDIT_NOTE or document.state is DocState.DRAFT:
        raise NotFound
    values = [warehouse_id, note, {str(key): [each.quantity, each.condition] for key, each in typed.items()}]
    if earlier_use(session, actor, nonce, ACTION, str(document_id), values) is not None:
        return
    lines = {line.id: line for line in _stock_rows(document)}
    rows = [_row(session, document, line) for line in lines.values()]
    refusal = _why_not(actor, document, rows)
    if refusal is not None:
        raise refusal
    note = mask_personal_numbers(check_text(note.strip(), documents.LONGEST_REASON, field="note", lines=True))[0]
    wanted = [_wanted(row, typed[row.id]) for row in rows if row.id in typed]
    booked = [each for each in wanted if each is not None]
    if set(typed) - set(lines):
        raise NotFound
    if not booked:
        raise BadInput(N_("Enter how much has come of some row, or that it never will."), field="rows")
    if any(condition is Condition.NEVER for _, _, condition in booked) and not note:
        raise BadInput(N_("Write why the goods will never come."), field="note")
    place = _place(session, document, warehouse_id, booked)
    use_form(session, actor, nonce, ACTION, str(document_id), values, str(document_id))
    stock.hold(session, (lines[row.id].article_id for row, _, _ in booked))
    moved = [
        _book(session, actor, document, lines[row.id], milli, condition, place, note)
        for row, milli, condition in booked
    ]
    goods_back.booked_back(session, actor, document, [each for each in moved if each is not None])
    audit.write(
        session,
        actor,
        "credit_note.goods_received",
        f"document:{document.id}",
        {"number": document.number_text, "rows": [[row.id, milli, condition] for row, milli, condition in booked]},
    )


Booked = tuple[GoodsRow, int, Condition]


def _wanted(row: GoodsRow, typed: Typed) -> Booked | None:
    condition = _read_condition(typed.condition, tuple(Condition), f"condition-{row.id}")
    field = f"quantity-{row.id}"
    if condition is Condition.NEVER:
        _require_waiting(row, field)
        return row, 0, condition
    if not typed.quantity.strip():
        return None
    milli = money.parse_quantity(typed.quantity, field=field, zero=True)
    if milli == 0:
        return None
    _require_waiting(row, field)
    if milli > row.most_milli:
        raise BadInput(
            N_("At most %(most_milli)s can come back of this row: %(credited_milli)s is credited."),
            field=field,
            most_milli=row.most_milli,
            credited_milli=row.credited_milli,
        )
    if milli % 1000 and row.credited_milli % 1000 == 0:
        raise BadInput(N_("The row counts whole pieces."), field=field)
    return row, milli, condition


def _require_waiting(row: GoodsRow, field: str) -> None:
    if row.received is not None:
        raise BadInput(N_("The goods of this row are accounted for already."), field=field)


def _place(
    session: Session, document: Document, warehouse_id: int | None, booked: Sequence[Booked]
) -> Warehouse | None:
    """The warehouse whole goods go to: the one chosen, else the only one, else where they came from (K25)."""
    if not any(condition is Condition.WHOLE for _, _, condition in booked):
        return None
    if warehouse_id is None:
        known = deliveries.warehouses(session)
        warehouse_id = known[0].id if len(known) == 1 else document.restock_warehouse_id
    warehouse = session.get(Warehouse, warehouse_id) if warehouse_id is not None else None
    if warehouse is None or not warehouse.active:
        raise BadInput(N_("Choose a warehouse from the list."), field="warehouse_id")
    return warehouse


def _book(
    session: Session,
    actor: Actor,
    document: Document,
    line: DocumentLine,
    milli: int,
    condition: Condition,
    place: Warehouse | None,
    note: str,
) -> StockMovement | None:
    whole = condition is Condition.WHOLE and place is not None
    session.add(
        GoodsReturn(
            document_line_id=line.id,
            quantity_milli=milli,
            condition=condition,
            warehouse_id=place.id if place is not None and whole else None,
            note=note,
            at=clock.now(),
            by=actor.name,
        )
    )
    session.flush()
    if place is None or not whole or line.article is None:
        return None
    return stock.move(
        session,
        actor,
        article=line.article,
        warehouse_id=place.id,
        quantity_milli=milli,
        kind=MovementKind.RETURN,
        document_line_id=line.id,
        reason=document.number_text or "",
    )
