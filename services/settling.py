"""«Förklara», «Bortse från» and taking note: differences against Klarna that a person settles without booking anything.

Amounts are minor units. Rules alone; each is done once, under the order's lock. Source: operations 13; M15; security 33.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal
from models import Audit, Document, KlarnaBreak, KlarnaOp, Order, Voucher
from money import Amount
from rights import Actor, Right
from services import audit, breaks, changes, currencies, documents, operations, orders
from states import BreakKind, BreakState, DocKind, DocState, KlarnaStatus, OpKind, OpState, OrderState

FITS: dict[BreakKind, tuple[str, ...]] = {
    BreakKind.CAPTURE_UNKNOWN: (breaks.ADOPT, breaks.EXPLAIN, breaks.IGNORE),
    BreakKind.REFUND_UNKNOWN: (breaks.ADOPT, breaks.EXPLAIN, breaks.IGNORE),
    BreakKind.TOTALS_DIFFER: (breaks.EXPLAIN,),
    BreakKind.OBJECT_MISSING: (breaks.EXPLAIN,),
    BreakKind.DUPLICATE_NUMBER: (breaks.ADOPT, breaks.EXPLAIN),
    BreakKind.STATUS_DIFFERS: (breaks.ADOPT,),
    BreakKind.ADDRESS_OR_EXPIRY: (breaks.ADOPT, breaks.IGNORE),
    BreakKind.ROW_WITHOUT_PARTNER: (),
    BreakKind.ROW_CONTRADICTS_DECISION: (breaks.ADOPT, breaks.EXPLAIN),
    BreakKind.UNPAID_TOO_LONG: (breaks.EXPLAIN, breaks.IGNORE),
    BreakKind.WRONG_OWNER: (breaks.EXPLAIN,),
}
"""What can be done about each kind of difference, as the table of operations 13 has it."""
UNKNOWN_ACTS = (BreakKind.CAPTURE_UNKNOWN, BreakKind.REFUND_UNKNOWN)
UNTIL = (BreakKind.UNPAID_TOO_LONG,)
"""Differences that are ignored until a day, and told again when it has come; the day stands in ``found``."""
STANDING = (BreakKind.STATUS_DIFFERS, BreakKind.ADDRESS_OR_EXPIRY)
"""Differences about the reservation itself: adopting one takes note of what Klarna shows, and books nothing."""
_VOUCHER = re.compile(r"([A-ZÅÄÖ]{1,4}) ?([0-9]{1,9})")


def acts_of(session: Session, found: KlarnaBreak) -> list[str]:
    """What fits a difference just now, in the order of the buttons; nothing when it is settled."""
    if found.state is BreakState.CLOSED:
        return []
    fitting = list(FITS[found.kind])
    if found.kind in UNKNOWN_ACTS and not _before_us(session, found):
        fitting.remove(breaks.IGNORE)
    foreign = found.kind not in STANDING and currencies.why_not_booked(found.currency) is not None
    if (foreign or found.order_id is None) and breaks.ADOPT in fitting:
        fitting.remove(breaks.ADOPT)
    return fitting


def needs_number(found: KlarnaBreak) -> bool:
    """Whether «Förklara» asks for what stands for it: of an act that these books could hold, and not of foreign money."""
    return found.kind in UNKNOWN_ACTS and currencies.why_not_booked(found.currency) is None


def _before_us(session: Session, found: KlarnaBreak) -> bool:
    """Whether an act is older than the installation's first day: younger money is adopted or explained."""
    happened = session.scalar(select(KlarnaOp.klarna_event_at).where(KlarnaOp.id == found.op_id))
    first = first_day(session)
    return happened is not None and first is not None and clock.local_date(happened) < first


def first_day(session: Session) -> date | None:
    """The local day on which these books begin to have a log."""
    at = session.scalar(select(func.min(Audit.at)))
    return clock.local_date(at) if at is not None else None


def _begin(session: Session, actor: Actor, break_id: int, act: str, nonce: str, values: object) -> KlarnaBreak | None:
    """The difference, locked and open, for this act; None when the same form has done it already."""
    actor.require(Right.DECIDE)
    found = breaks.get(session, break_id, lock=True)
    if operations.earlier_use(session, actor, nonce, act, str(break_id), values) is not None:
        return None
    breaks.require_open(found)
    if act not in acts_of(session, found):
        raise Refusal(N_("This difference cannot be settled that way. Nothing has been changed."))
    operations.use_form(session, actor, nonce, act, str(break_id), values, str(break_id))
    return found


def _end(session: Session, actor: Actor, found: KlarnaBreak, act: str, reason: str, document_id: int | None) -> None:
    breaks.close(session, actor, found, act, reason, document_id)
    if found.order_id is not None:
        orders.refresh(session, found.order_id)
    audit.write(
        session,
        actor,
        f"klarna.break_{act}",
        f"order:{found.order_id}" if found.order_id else f"break:{found.id}",
        {"break": found.id, "kind": found.kind, "document": document_id},
    )


def explain(session: Session, actor: Actor, break_id: int, number: str, reason: str, nonce: str) -> None:
    """«Förklara»: books nothing; ties an act to what already stands for it, with a reason.

    ``number`` is that of an invoice, a credit note or a voucher; an act without partner needs one (``needs_number``), other
    differences may name one. Raises BadInput, Refusal, Stale, NotAllowed.
    """
    number, reason = number.strip(), documents.read_reason(reason)
    found = _begin(session, actor, break_id, breaks.EXPLAIN, nonce, [number, reason])
    if found is None:
        return
    if not number and needs_number(found):
        raise BadInput(N_("Write the invoice, credit note or voucher that already stands for it."), field="number")
    document_id = None
    if number:
        voucher = _voucher(session, number)
        if voucher is not None:
            found.voucher_id = voucher.id
        else:
            document_id = _tie(session, found, number)
    _end(session, actor, found, breaks.EXPLAIN, reason, document_id)


def _voucher(session: Session, number: str) -> Voucher | None:
    """The newest voucher of this series and number. None for what is written otherwise. Raises BadInput."""
    written = _VOUCHER.fullmatch(number.upper())
    if written is None:
        return None
    voucher = session.scalar(
        select(Voucher)
        .where(Voucher.series == written[1], Voucher.number == int(written[2]))
        .order_by(Voucher.fiscal_year_id.desc())
        .limit(1)
    )
    if voucher is None:
        raise BadInput(N_("There is no voucher %(number)s."), field="number", number=number)
    return voucher


def _tie(session: Session, found: KlarnaBreak, number: str) -> int:
    """Let a document that is issued already stand for the act; one that no act stands behind yet takes it for its own."""
    document = session.scalar(select(Document).where(Document.number_text == number).with_for_update())
    if document is None or (found.order_id is not None and document.order_id != found.order_id):
        raise BadInput(N_("The order has no invoice or credit note %(number)s."), field="number", number=number)
    if document.state is not DocState.ISSUED or document.reversed_at is not None:
        raise BadInput(N_("%(number)s is not issued and cannot stand for anything."), field="number", number=number)
    op = session.get(KlarnaOp, found.op_id) if found.op_id is not None else None
    if op is None or op.state is not OpState.EXTERNAL:
        return document.id
    if (op.kind is OpKind.CAPTURE) != (document.kind is DocKind.INVOICE):
        raise BadInput(N_("An activation belongs to an invoice, a refund to a credit note."), field="number")
    if document.gross_minor != op.amount_minor:
        raise BadInput(
            N_("That one is %(found)s, not %(wanted)s."),
            field="number",
            found=Amount(document.gross_minor or 0, document.currency),
            wanted=Amount(op.amount_minor or 0, document.currency),
        )
    spoken_for = session.scalar(
        select(KlarnaOp.id).where(
            KlarnaOp.document_id == document.id, KlarnaOp.state.in_((OpState.CONFIRMED, OpState.EXTERNAL))
        )
    )
    if spoken_for is None and op.document_id is None:
        op.document_id = document.id
        session.flush()
    elif found.kind in UNKNOWN_ACTS:
        raise BadInput(
            N_("%(number)s stands for another act at Klarna already. Adopt this one instead."),
            field="number",
            number=number,
        )
    return document.id


def ignore(session: Session, actor: Actor, break_id: int, reason: str, nonce: str, until: date | None = None) -> None:
    """«Bortse från»: a difference the company lives with; counted and shown for ever. Raises BadInput, Refusal, Stale.

    Money that is late is ignored until a day that lies ahead, and told again when it has not come by then.
    """
    reason = documents.read_reason(reason)
    lapses = breaks.get(session, break_id).kind in UNTIL
    if lapses and (until is None or until <= clock.today()):
        raise BadInput(N_("Write a day that lies ahead: then it is looked at again."), field="until")
    found = _begin(session, actor, break_id, breaks.IGNORE, nonce, [reason, until.isoformat() if until else ""])
    if found is not None:
        if lapses and until is not None:
            found.found = until.isoformat()
        _end(session, actor, found, breaks.IGNORE, reason, None)


def take_note(session: Session, actor: Actor, break_id: int, nonce: str) -> None:
    """«Bokför» on the reservation's own end or day: what Klarna shows becomes ours. Raises Refusal, Stale, NotFound.

    A purchase cancelled at Klarna cancels the order, unless goods have left that are not invoiced: then the order stays open
    and stands among the delivered ones that nobody has been charged for.
    """
    found = _begin(session, actor, break_id, breaks.ADOPT, nonce, "")
    if found is None:
        return
    if found.kind not in STANDING or found.order_id is None:
        raise NotFound
    order = orders.get(session, found.order_id, lock=True)
    if found.found == changes.CANCELLED and may_cancel(session, order):
        order.state = OrderState.CANCELLED
        order.version += 1
    _end(session, actor, found, breaks.ADOPT, found.found, None)


def may_cancel(session: Session, order: Order) -> bool:
    """Whether the order can follow a cancellation at Klarna: nothing is invoiced, and no goods have left uninvoiced."""
    return (
        order.klarna_status is KlarnaStatus.CANCELLED
        and order.invoiced == "none"
        and not orders.to_invoice(session, order, delivered_only=True)
    )


@dataclass(frozen=True, slots=True)
class Note:
    """What taking note of a reservation's end does, and the goods that have left and are not invoiced (thousandths)."""

    cancels: bool
    goods: Sequence[tuple[str, str, int]]


def note_of(session: Session, found: KlarnaBreak) -> Note:
    """What taking note of this difference does. Raises NotFound for one that is not about the reservation, Stale when settled."""
    if found.kind not in STANDING or found.order_id is None:
        raise NotFound
    breaks.require_open(found)
    order = orders.get(session, found.order_id)
    gone = orders.to_invoice(session, order, delivered_only=True) if found.kind is BreakKind.STATUS_DIFFERS else []
    return Note(
        cancels=found.found == changes.CANCELLED and may_cancel(session, order),
        goods=[(share.line.name, share.line.unit, share.quantity_milli) for share in gone],
    )
