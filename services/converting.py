"""Credit notes without Klarna afterwards: made into a real refund, or tied to the refund that turned up (K20, K29).

Made into a refund the note is reversed, voucher and stock, and a draft with the same rows is begun in the same transaction: its
refund goes the ordinary way, with a look before it is sent. So nothing is credited twice, in our books or at Klarna. Amounts
are minor units. Source: operations 4, 9 and 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

import clock
import db
from errors import N_, BrokenRule, Refusal
from models import Document, DocumentLine, GoodsReturn, KlarnaBreak, KlarnaOp
from money import Amount
from rights import Actor, Right
from services import audit, credit_drafts, credit_notes, credited, documents, drift, orders, reservations, settling
from services.gateway import Gateway
from services.money_forms import earlier_use, use_form
from states import BreakState, Condition, DocKind, DocState, DocType, OpKind, WithoutKlarna

CONVERT = "convert"
LATER = (WithoutKlarna.EVEN_EXCHANGE, WithoutKlarna.CREDITED_IN_PORTAL)
"""Why a credit note was kept from Klarna that Klarna may have to repay after all."""
_COPIED = (
    *("position", "kind", "article_id", "article_number", "name", "unit", "quantity_milli", "unit_price_minor"),
    *("discount_minor", "gross_minor", "vat_rate", "vat_minor"),
)


@dataclass(frozen=True, slots=True)
class Afterwards:
    """What can still be done at Klarna about a credit note; ``found_minor`` is a refund there that nobody stands for."""

    no_convert: Refusal | None
    found_minor: int | None
    found_at: datetime | None
    no_tie: Refusal | None


def afterwards(session: Session, actor: Actor, document_id: int) -> Afterwards | None:
    """What the page of a credit note offers; None where Klarna has no part in it. Pure reading."""
    document = documents.get(session, document_id)
    if not _without(document) or credit_notes.stands_for(session, document) is not None:
        return None
    found = _found(session, document)
    return Afterwards(
        no_convert=_why_not(session, actor, document),
        found_minor=found.amount_minor if found is not None else None,
        found_at=found.klarna_event_at if found is not None else None,
        no_tie=_may_not(actor, Right.DECIDE),
    )


def _without(document: Document) -> bool:
    """Whether this is an issued credit note on an invoice sold to Klarna, kept from Klarna for now and not reversed."""
    return (
        document.type is DocType.CREDIT
        and document.state is DocState.ISSUED
        and document.issued_by_op_id is None
        and document.reversed_at is None
        and document.without_klarna_reason in LATER
        and document.original is not None
        and document.original.issued_by_op_id is not None
    )


def _found(session: Session, document: Document) -> KlarnaOp | None:
    if document.order_id is None:
        return None
    return drift.unbooked(session, document.order_id, OpKind.REFUND, document.gross_minor or 0, document.id)


def _may_not(actor: Actor, right: Right) -> Refusal | None:
    try:
        actor.require(right)
    except Refusal as no:
        return no
    return None


def _why_not(session: Session, actor: Actor, document: Document) -> Refusal | None:
    try:
        _require_convertible(session, actor, document)
    except Refusal as no:
        return no
    return None


def _require_convertible(session: Session, actor: Actor, document: Document) -> None:
    """Let pass a credit note that can still become a refund. Raises NotAllowed, Refusal."""
    actor.require(Right.REVERSE)
    actor.require(Right.CREDIT)
    if not _without(document) or document.order is None:
        raise Refusal(
            N_("Only a credit note kept from Klarna can be made into a refund there. Nothing has been changed.")
        )
    credit_notes.require_reversible(session, document)
    orders.require_no_open_operation(session, document.order)
    orders.require_nothing_refused(session, document.order, credit_drafts.original(document))
    if _found(session, document) is not None:
        raise Refusal(
            N_("Klarna shows a credit of %(amount)s that nothing stands for. Tie it to the credit note instead."),
            amount=Amount(document.gross_minor or 0, document.currency),
        )


def convert(klarna: Gateway, actor: Actor, document_id: int, nonce: str) -> int:
    """«Gör om till återbetalning hos Klarna»: reverse the note and begin a draft with its rows; returns the draft's id.

    Klarna is looked at first; one form does it once. Raises Refusal, NotReached, NotAllowed with nothing done.
    """
    with db.reading() as session:
        document = documents.get_numbered(session, document_id, DocKind.CREDIT_NOTE)
        done_before = earlier_use(session, actor, nonce, CONVERT, str(document_id), "")
        if done_before is not None:
            return int(done_before)
        _require_convertible(session, actor, document)
        if document.order is None:
            raise BrokenRule("a credit note on an invoice sold to Klarna has its order")
        order_id, (access, klarna_order_id) = document.order.id, reservations.access_for(session, document.order)
    reservations.keep(order_id, reservations.read_order(klarna, access, klarna_order_id))
    return db.transact(lambda session: _convert(session, actor, document_id, nonce))


def _convert(session: Session, actor: Actor, document_id: int, nonce: str) -> int:
    document = documents.get(session, document_id, lock=True)
    earlier = earlier_use(session, actor, nonce, CONVERT, str(document_id), "")
    if earlier is not None:
        return int(earlier)
    _require_convertible(session, actor, document)
    came = {
        each.document_line_id: each
        for each in session.scalars(
            select(GoodsReturn).where(GoodsReturn.document_line_id.in_([line.id for line in document.lines]))
        )
    }
    credit_notes.reverse(session, actor, document.id, CONVERT)
    draft = _draft(session, actor, document)
    done = credited.credited(session, credit_drafts.original(document).id)
    for line in document.lines:
        copy = (
            credit_drafts.draft_line(draft, line.original_line, line.quantity_milli, done)
            if line.original_line is not None
            else DocumentLine(document_id=draft.id, **{name: getattr(line, name) for name in _COPIED})
        )
        later = came.get(line.id)
        back = later.quantity_milli if later is not None else line.restock_milli if document.restock else 0
        copy.restock_milli = back
        copy.restock_condition = later.condition if later is not None and back else line.restock_condition
        draft.restock = draft.restock or back > 0
        if copy.restock_condition == Condition.NEVER:
            copy.restock_condition = ""
        if later is not None and later.warehouse_id is not None:
            draft.restock_warehouse_id = later.warehouse_id
        session.add(copy)
    session.flush()
    session.refresh(draft)
    credit_drafts.reprice(session, draft)
    session.flush()
    use_form(session, actor, nonce, CONVERT, str(document_id), "", str(draft.id))
    audit.write(
        session,
        actor,
        "credit_note.converted",
        f"document:{document.id}",
        {"number": document.number_text, "draft": draft.id},
    )
    return draft.id


def _draft(session: Session, actor: Actor, document: Document) -> Document:
    now = clock.now()
    draft = Document(
        kind=DocKind.CREDIT_NOTE,
        type=DocType.CREDIT,
        state=DocState.DRAFT,
        order_id=document.order_id,
        customer_id=document.customer_id,
        original=document.original,
        currency=document.currency,
        with_klarna=True,
        party=credit_drafts.original(document).party,
        restock_warehouse_id=document.restock_warehouse_id,
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=now,
        changed_at=now,
    )
    session.add(draft)
    session.flush()
    return draft


def tie(session: Session, actor: Actor, document_id: int, nonce: str) -> None:
    """Let a credit note «redan krediterad i portalen» stand for the refund that turned up; its difference is closed.

    Books nothing. Raises Refusal, NotAllowed.
    """
    document = documents.get(session, document_id, lock=True)
    if credit_notes.stands_for(session, document) is not None:
        return
    found = _found(session, document) if _without(document) else None
    if found is None:
        raise Refusal(N_("Klarna shows no credit that this credit note could stand for. Nothing has been changed."))
    known = session.scalar(
        select(KlarnaBreak).where(KlarnaBreak.op_id == found.id, KlarnaBreak.state == BreakState.OPEN)
    )
    if known is None:
        raise Refusal(N_("The credit at Klarna has been settled otherwise. Nothing has been changed."))
    settling.explain(session, actor, known.id, document.number_text or "", WithoutKlarna.CREDITED_IN_PORTAL, nonce)
