"""Credit notes: the rules at creation, issuing, keeping without Klarna, reversing.

Amounts are minor units including VAT. Source: K2, K13-K20, K29-K34, B31; operations 4, 5 and 9.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, BrokenRule, Refusal, Stale
from models import Document, KlarnaOp, RowMatch, RowShare, Voucher
from money import Amount
from rights import Actor, Right
from services import (
    advance_booking,
    advance_credits,
    audit,
    captured_elsewhere,
    credit_drafts,
    credit_limit,
    credited,
    documents,
    goods_back,
    ledger,
    new_rows,
    orders,
    outbox,
    refund_lines,
    stock,
)
from states import DocKind, DocState, OpState, WithoutKlarna


def require_creatable(
    session: Session, actor: Actor, draft: Document, shown_minor: int, *, warned: bool = False
) -> None:
    """Check a locked draft against every rule just before it gets its number.

    ``shown_minor`` is the sum on the button that was pressed, ``warned`` that its warnings were ticked (K36). Raises Stale,
    Refusal, BadInput, NotAllowed (K21, K33, B31).
    """
    invoice = credit_drafts.original(draft)
    if invoice.state is not DocState.ISSUED:
        raise Refusal(N_("The invoice has not been issued and cannot be credited."))
    if draft.order is not None:
        orders.require_no_open_operation(session, draft.order)
        orders.require_nothing_refused(session, draft.order, invoice)
    before = sum(line.gross_minor for line in documents.lines_of(draft))
    if credit_drafts.reprice(session, draft) or before != shown_minor:
        now = sum(line.gross_minor for line in documents.lines_of(draft))
        raise Stale(
            N_("What can be credited has changed: the sum was %(before)s and is now %(now)s. Nothing has been sent."),
            before=Amount(shown_minor, draft.currency),
            now=Amount(now, draft.currency),
        )
    sums = credit_drafts.figures(session, draft)
    require_sum(sums, draft.currency, even=is_even(draft))
    credit_limit.hold(session, actor)
    credit_limit.require(session, actor, sums.gross_minor, draft.currency, but=draft.id)
    captured_elsewhere.require_confirmed(session, actor, draft, warned)


def require_sum(sums: credit_drafts.Figures, currency: str, *, even: bool = False) -> None:
    """Let pass a sum above 0 and within what is left of the invoice. Raises BadInput, Refusal (K26, K33, K44).

    ``even``: goods against goods without Klarna, which may come to 0.00 (accounting reference, E5).
    """
    if not sums.rows:
        raise BadInput(N_("The credit note has no rows."))
    if sums.gross_minor > sums.most_minor:
        raise Refusal(
            N_("At most %(most)s can be credited: the invoice is %(invoice)s and %(credited)s is already credited."),
            most=Amount(sums.most_minor, currency),
            invoice=Amount(sums.invoice_minor, currency),
            credited=Amount(sums.credited_minor, currency),
        )
    if sums.gross_minor < 0 or (sums.gross_minor == 0 and not sums.given_back_minor and not even):
        raise BadInput(
            N_("The sum is %(sum)s. A credit note cannot charge the customer; make a new order for the difference."),
            sum=Amount(sums.gross_minor, currency),
        )


def is_even(draft: Document) -> bool:
    """Whether a draft is goods against goods: new rows, nothing to Klarna, and the clerk's word that it is even (K30)."""
    even = not draft.with_klarna and draft.without_klarna_reason is WithoutKlarna.EVEN_EXCHANGE
    return even and bool(new_rows.of(draft))


def drop_removed(session: Session, draft: Document) -> None:
    """Leave the removed rows out for good and give the new ones their references, right before the draft is frozen."""
    for line in [line for line in draft.lines if line.removed]:
        session.delete(line)
    session.flush()
    session.refresh(draft)
    new_rows.set_references(session, draft)


def refund_content(session: Session, document: Document) -> dict[str, Any]:
    """The body of the refund: the exact sum, our number, the rows with the captured rows' references (K2, K34)."""
    return {
        "refunded_amount": document.gross_minor,
        "reference": document.number_text,
        "description": f"Kreditfaktura {document.number_text}",
        "order_lines": refund_lines.lines(session, document),
    }


def require_fits(session: Session, document: Document) -> None:
    """Refuse a refused credit note whose rows others have used since (operations 5; on try again and on keep)."""
    done = credited.credited(session, credit_drafts.original(document).id, besides=document.id)
    total = credited.credited_total(session, credit_drafts.original(document).id, besides=document.id)
    fits = total + (document.gross_minor or 0) <= (credit_drafts.original(document).gross_minor or 0)
    for line in document.lines:
        if line.original_line is not None and credited.left_of(line.original_line, done) < line.quantity_milli:
            fits = False
        if document.restock and line.restock_milli > goods_back.returnable(session, line):
            fits = False
    if not fits or not advance_credits.fits(session, document):
        raise Refusal(
            N_("The rows of credit note %(number)s have been credited otherwise since. It can only be voided."),
            number=document.number_text,
        )


# --- Issuing ---------------------------------------------------------------------------------------------------------------


def issue(session: Session, actor: Actor, document: Document, op: KlarnaOp | None, happened: datetime) -> None:
    """Make a numbered credit note final: voucher and stock in the transaction that records the proof (E4, K13, K24).

    Without operation it has just been numbered as issued, or is kept without Klarna. Raises BrokenRule.
    """
    goods_back.hold(session, document)
    if op is not None:
        day = documents.issue_day(document, clock.local_date(happened))
        documents.move(session, document, DocState.ISSUED, actor, op_id=op.id, issue_date=day, issued_by_op_id=op.id)
    if document.issue_date is None:
        raise BrokenRule("only an issued credit note is booked")
    day = document.issue_date
    ledger.post(
        session,
        actor,
        series="F",
        day=day,
        text=f"Kreditfaktura {document.number_text} {_refers_to(document)}",
        source=f"credit_note:{document.number_text}",
        entries=advance_booking.of_document(session, document, day),
        document_id=document.id,
        currency=document.currency,
    )
    goods_back.put_back(session, actor, document)
    audit.write(
        session,
        actor,
        "credit_note.issued",
        f"document:{document.id}",
        {"number": document.number_text, "gross_minor": document.gross_minor, "op": op.id if op else None},
    )
    outbox.follow(session, actor, document)


def _refers_to(document: Document) -> str:
    """What a voucher's text says a credit note is about; one that stands free is about no invoice (K42)."""
    return f"avser {document.original.number_text}" if document.original is not None else "utan originalfaktura"


def keep_without_klarna(
    session: Session, actor: Actor, document_id: int, reason: str, *, portal_confirmed: bool, external: KlarnaOp | None
) -> Document:
    """«Behåll utan Klarna»: issue and book a refused credit note under its own number (K19, K20).

    ``external`` is the refund found at Klarna that stands for it; without one «already credited in the portal» needs the
    clerk's word. Raises BadInput, Refusal, NotAllowed.
    """
    actor.require(Right.KEEP_WITHOUT_KLARNA)
    document = documents.get(session, document_id, lock=True)
    if document.kind is not DocKind.CREDIT_NOTE:
        raise Refusal(N_("An invoice cannot be kept without Klarna. Void it instead."))
    if document.state is not DocState.REFUSED:
        raise Refusal(N_("Only a refused document can be kept without Klarna. Nothing has been changed."))
    chosen = credit_drafts.read_reason(reason)
    credit_limit.hold(session, actor)
    credit_limit.require(session, actor, document.gross_minor or 0, document.currency, but=document.id)
    require_fits(session, document)
    if document.order is not None:
        orders.require_no_open_operation(session, document.order)
    _require_portal_word(document, chosen, portal_confirmed, external)
    day = documents.issue_day(document, clock.today())
    documents.move(
        session,
        document,
        DocState.ISSUED,
        actor,
        reason=chosen,
        op_id=external.id if external else None,
        issue_date=day,
        without_klarna_reason=chosen,
        portal_refund_confirmed=portal_confirmed,
        issued_by_op_id=external.id if external else None,
    )
    issue(session, actor, document, None, clock.now())
    return document


def _require_portal_word(document: Document, chosen: WithoutKlarna, confirmed: bool, external: KlarnaOp | None) -> None:
    if chosen is WithoutKlarna.CREDITED_IN_PORTAL and external is None and not confirmed:
        raise BadInput(
            N_("Klarna shows no credit of %(amount)s that is not already booked. Confirm that it has been made."),
            field="portal_confirmed",
            amount=Amount(
                document.gross_minor or sum(line.gross_minor for line in documents.lines_of(document)),
                document.currency,
            ),
        )


def issue_without_klarna(
    session: Session, actor: Actor, draft: Document, *, portal_confirmed: bool, external: KlarnaOp | None
) -> None:
    """Number, issue and book a checked draft of which nothing is sent (K29; operations 4)."""
    if draft.with_klarna or draft.without_klarna_reason is None:
        raise BadInput(N_("Choose why nothing is to be credited at Klarna."), field="reason")
    _require_portal_word(draft, draft.without_klarna_reason, portal_confirmed, external)
    drop_removed(session, draft)
    goods_back.hold(session, draft)
    documents.number_and_freeze(
        session,
        draft,
        DocState.ISSUED,
        actor,
        reason=draft.without_klarna_reason,
        portal_refund_confirmed=portal_confirmed,
        issued_by_op_id=external.id if external else None,
    )
    issue(session, actor, draft, None, clock.now())


def stands_for(session: Session, document: Document) -> KlarnaOp | None:
    """The refund made outside Kvitta that was tied to a credit note afterwards (operations 13, explain)."""
    return session.scalar(
        select(KlarnaOp).where(KlarnaOp.document_id == document.id, KlarnaOp.state == OpState.EXTERNAL).limit(1)
    )


def require_reversible(session: Session, document: Document) -> None:
    """Let pass a credit note issued without Klarna that is neither reversed, paid, offset nor Klarna's after all.

    Raises Refusal.
    """
    if (
        document.kind is not DocKind.CREDIT_NOTE
        or document.state is not DocState.ISSUED
        or document.issued_by_op_id is not None
    ):
        raise Refusal(N_("Only a credit note issued without Klarna can be reversed."))
    if document.reversed_at is not None:
        raise Refusal(N_("The credit note has been reversed already."))
    if document.open_minor != -(document.gross_minor or 0):
        raise Refusal(N_("The credit note is paid or offset and cannot be reversed."))
    if stands_for(session, document) is not None:
        raise Refusal(N_("The credit note stands for a credit that has been made at Klarna and cannot be reversed."))
    whole, part = (select(each.row_id).where(each.document_id == document.id).limit(1) for each in (RowMatch, RowShare))
    if session.scalar(whole) is not None or session.scalar(part) is not None:
        raise Refusal(N_("A settlement row belongs to the credit note, so it cannot be reversed."))


def reverse(session: Session, actor: Actor, document_id: int, reason: str) -> Document:
    """«Återför» a credit note issued without Klarna: its voucher and its stock movement negated, dated today (E11, I11)."""
    actor.require(Right.REVERSE)
    document = documents.get(session, document_id, lock=True)
    require_reversible(session, document)
    advance_credits.require_reversible(session, document)
    reason = documents.read_reason(reason)
    stock.hold(session, (line.article_id for line in document.lines))
    booked = session.scalars(select(Voucher).where(Voucher.source == f"credit_note:{document.number_text}")).one()
    ledger.reverse(
        session,
        actor,
        booked,
        day=clock.today(),
        text=f"Kreditfaktura {document.number_text} återförd",
        source=f"credit_note_reversed:{document.number_text}",
    )
    goods_back.undo(session, actor, document)
    session.execute(
        update(Document)
        .where(Document.id == document.id)
        .values(reversed_at=clock.now(), reversed_by=actor.name, reversed_reason=reason, version=Document.version + 1)
    )
    session.refresh(document)
    if document.order_id is not None:
        orders.refresh(session, document.order_id)
    audit.write(session, actor, "credit_note.reversed", f"document:{document.id}", {"number": document.number_text})
    return document
