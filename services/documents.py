"""What invoices and credit notes share: moves, freezing, VAT of the rows, what is booked of them, voiding.

Amounts are minor units including VAT, rates hundredths of a percent. Source: operations 2.3, 4 and 9; requirements, ground rules.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, BrokenRule, NotAllowed, NotFound, Refusal, Stale
from models import Document, DocumentEvent, DocumentLine, KlarnaOp, Order
from money import vat_of_gross
from rights import Actor, Right
from services import audit, ledger, numbering, payment_methods, payment_terms, settings
from states import DOC_MOVES, DocKind, DocState, LineKind, OpState, RefusalKind, check_move

SERIES = "F"
LONGEST_REASON = 500
LIVE = (DocState.PENDING, DocState.ISSUED)
"""Documents that count against the rows of an order or an invoice (operations 5)."""
FROZEN_OF_COMPANY = (
    *("name", "organisation_number", "vat_number", "street", "postal_code", "city", "email", "phone", "bankgiro"),
    *("registered_office", "f_tax"),
)
"""What a document keeps of the company as it was that day."""
_NEXT_EVENT = select(func.coalesce(func.max(DocumentEvent.seq), 0) + 1).where(
    DocumentEvent.document_id == bindparam("of")
)
_EVENT = insert(DocumentEvent.__table__).values(seq=_NEXT_EVENT.scalar_subquery())  # type: ignore[arg-type]
_ORDER_OF = select(Document.order_id).where(Document.id == bindparam("document_id")).scalar_subquery()
_ORDER_LOCKED = select(Order.id).where(Order.id == _ORDER_OF).with_for_update()
_ONE = select(Document).where(Document.id == bindparam("document_id"))
_LOCKED = _ONE.with_for_update().execution_options(populate_existing=True)


@dataclass(slots=True)
class Row:
    """A row of a document before it is stored; ``gross_minor`` is after discount.

    ``deducts_id`` and ``deducts`` name the advance invoice that a row deducts, by id and number; ``percent`` (hundredths)
    is what an advance is of the order (F29, F30).
    """

    kind: LineKind
    name: str
    quantity_milli: int
    unit_price_minor: int
    discount_minor: int
    gross_minor: int
    vat_rate: int
    unit: str = "st"
    article_id: int | None = None
    article_number: str | None = None
    order_line_id: int | None = None
    position: int = 0
    vat_minor: int = 0
    deducts_id: int | None = None
    deducts: str | None = None
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class VatSum:
    """Gross and VAT of one rate on a document."""

    rate: int
    gross_minor: int
    vat_minor: int

    @property
    def net_minor(self) -> int:
        """Taxable amount."""
        return self.gross_minor - self.vat_minor


def spread_vat(rows: Sequence[Row]) -> None:
    """Set each row's VAT so that the rows of a rate add up to the VAT of their sum, to the öre (A4, accounting 8)."""
    gross: dict[int, int] = {}
    vat: dict[int, int] = {}
    for row in rows:
        before = vat.get(row.vat_rate, 0)
        gross[row.vat_rate] = gross.get(row.vat_rate, 0) + row.gross_minor
        vat[row.vat_rate] = vat_of_gross(gross[row.vat_rate], row.vat_rate)
        row.vat_minor = vat[row.vat_rate] - before


def vat_sums(lines: Iterable[Row | DocumentLine]) -> list[VatSum]:
    """Gross and VAT per rate, highest rate first; rounding to whole kronor is outside VAT (accounting reference 8)."""
    sums: dict[int, tuple[int, int]] = {}
    for line in lines:
        if line.kind is LineKind.ROUNDING:
            continue
        gross, vat = sums.get(line.vat_rate, (0, 0))
        sums[line.vat_rate] = (gross + line.gross_minor, vat + line.vat_minor)
    return [VatSum(rate, *sums[rate]) for rate in sorted(sums, reverse=True)]


def get(session: Session, document_id: int, *, lock: bool = False) -> Document:
    """A document; ``lock`` takes its order's lock and then its own. Raises NotFound."""
    which = {"document_id": document_id}
    if lock:
        session.execute(_ORDER_LOCKED, which)
    found = session.scalar(_LOCKED if lock else _ONE, which)
    if found is None:
        raise NotFound
    return found


def get_numbered(session: Session, document_id: int, kind: DocKind | None = None) -> Document:
    """A document that has its number. Raises NotFound, also for a draft and for one of another kind."""
    found = get(session, document_id)
    if found.state is DocState.DRAFT or kind not in (None, found.kind):
        raise NotFound
    return found


def move(
    session: Session,
    document: Document,
    new: DocState,
    actor: Actor,
    *,
    op_id: str | None = None,
    reason: str = "",
    **changes: object,
) -> None:
    """Move a document by compare-and-set and write the event. Raises Stale when somebody was faster."""
    old = document.state
    check_move(DOC_MOVES, old, new)
    session.flush()
    moved = session.scalar(
        update(Document)
        .where(Document.id == document.id, Document.state == old, Document.version == document.version)
        .values(state=new, version=document.version + 1, changed_at=clock.now(), **changes)
        .returning(Document)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if moved is None:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    event(session, document, old, new, actor, op_id, reason)


def event(
    session: Session,
    document: Document,
    old: DocState | None,
    new: DocState,
    actor: Actor,
    op_id: str | None = None,
    reason: str = "",
) -> None:
    """Write a row of the document's timeline."""
    session.flush()
    session.execute(
        _EVENT,
        {
            "of": document.id,
            "document_id": document.id,
            "from_state": old,
            "to_state": new,
            "at": clock.now(),
            "actor": actor.name,
            "op_id": op_id,
            "reason": reason,
        },
    )


def lines_of(document: Document) -> list[DocumentLine]:
    """The rows that count: those not removed from a draft."""
    return [line for line in document.lines if not line.removed]


# --- Freezing ------------------------------------------------------------------------------------------------------------


def number_and_freeze(
    session: Session, document: Document, new: DocState, actor: Actor, *, reason: str = "", **changes: Any
) -> None:
    """Take the number and freeze what is true, in the transaction that states the intent (operations 6, T1).

    ``new`` is pending, or issued for a document that is not sent. The number is taken last. Raises BrokenRule.
    """
    if document.state is not DocState.DRAFT:
        raise BrokenRule("a number is taken once")
    lines = lines_of(document)
    gross = sum(line.gross_minor for line in lines)
    vat = sum(line.vat_minor for line in lines)
    party = document.party if document.party is not None else (document.order.party if document.order else "{}")
    snapshot = _snapshot(session, document, lines)
    first = settings.number(session, "document.first_number")
    number, number_date = numbering.take_dated(session, SERIES, first=first, day=clock.today())
    snapshot |= {"number": str(number), "number_date": number_date.isoformat()}
    terms = payment_terms.terms(session, document, gross, number, number_date)
    if terms is not None:
        changes["due_date"], changes["ocr"] = terms
        snapshot |= {"due_date": terms[0].isoformat(), "ocr": terms[1]}
    written = json.dumps(snapshot, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    if new is DocState.ISSUED:
        changes["issue_date"] = number_date
    move(
        session,
        document,
        new,
        actor,
        reason=reason,
        series=SERIES,
        number=number,
        number_text=str(number),
        number_date=number_date,
        snapshot=written,
        snapshot_sha256=digest(written),
        party=party,
        party_sha256=digest(party),
        gross_minor=gross,
        vat_minor=vat,
        **changes,
    )


def digest(written: str) -> str:
    """SHA-256 of a frozen text."""
    return hashlib.sha256(written.encode()).hexdigest()


def _snapshot(session: Session, document: Document, lines: Sequence[DocumentLine]) -> dict[str, Any]:
    today = clock.today()
    order, original = document.order, document.original
    told = settings.values(session, "company.", today)
    company = {name: told[f"company.{name}"] for name in FROZEN_OF_COMPANY}
    text = settings.values(session, f"text.{document.kind}_", today)
    return {
        "kind": document.kind,
        "type": document.type,
        "currency": document.currency,
        "with_klarna": document.with_klarna,
        "without_klarna_reason": document.without_klarna_reason,
        "without_klarna_note": document.without_klarna_note,
        "company": company,
        "order_number": order.number if order else None,
        "shop_number": order.shop_number if order else None,
        "klarna_order_id": order.klarna_order_id if order else None,
        "klarna_reference": order.klarna_reference if order else None,
        "buyer": order.account.buyer if order and order.account else None,
        "payment_method": payment_methods.on_documents(order.payment_method) if order else None,
        "text": {language: text[f"text.{document.kind}_{language}"] for language in ("sv", "en")},
        "original": original.number_text if original else None,
        "original_date": original.issue_date.isoformat() if original and original.issue_date else None,
        "lines": [
            {
                "position": line.position,
                "kind": line.kind,
                "article_number": line.article_number,
                "name": line.name,
                "unit": line.unit,
                "quantity_milli": line.quantity_milli,
                "unit_price_minor": line.unit_price_minor,
                "discount_minor": line.discount_minor,
                "gross_minor": line.gross_minor,
                "vat_rate": line.vat_rate,
                "vat_minor": line.vat_minor,
                "reference": line.klarna_reference,
                **_advance_words(session, document, line),
            }
            for line in lines
        ],
        "vat": [{"rate": s.rate, "gross_minor": s.gross_minor, "vat_minor": s.vat_minor} for s in vat_sums(lines)],
    }


def _advance_words(session: Session, document: Document, line: DocumentLine) -> dict[str, Any]:
    """What a row of an advance is a share of, and which advance a deduction deducts, so that both languages can say it."""
    if line.kind is LineKind.ADVANCE:
        invoice = document.original or document
        return {"percent": invoice.advance_percent}
    if line.kind is LineKind.ADVANCE_DEDUCTION and line.deducts_id is not None:
        return {"deducts": session.get_one(Document, line.deducts_id).number_text}
    return {}


# --- Refused, void, withdrawn --------------------------------------------------------------------------------------------


def refuse(session: Session, document: Document, actor: Actor, kind: RefusalKind, op_id: str) -> None:
    """Keep a document that did not happen, with its number, to be decided (operations 9)."""
    move(session, document, DocState.REFUSED, actor, op_id=op_id, refusal_kind=kind, reason=kind)
    audit.write(
        session,
        actor,
        f"{document.kind}.refused",
        f"document:{document.id}",
        {"number": document.number_text, "kind": kind},
    )


def read_reason(reason: str) -> str:
    """A reason somebody typed: not blank, at most 500 characters. Raises BadInput (catalogue row 82)."""
    reason = reason.strip()
    if not reason:
        raise BadInput(N_("Write the reason."), field="reason")
    if len(reason) > LONGEST_REASON:
        raise BadInput(N_("The reason may be at most %(most)s characters."), field="reason", most=LONGEST_REASON)
    return reason


def require_may_void(actor: Actor, document: Document) -> None:
    """Let pass Finance, and a clerk who made the document. Raises NotAllowed."""
    if not (actor.may(Right.VOID_ANY) or (actor.may(Right.VOID_OWN) and document.created_by_id == actor.id)):
        raise NotAllowed(N_("Only Finance, or whoever made it, can void it."))


def void(session: Session, actor: Actor, document_id: int, reason: str) -> Document:
    """«Makulera» a refused document: the number stays in the series, with who, when and why (K15, F25)."""
    document = get(session, document_id, lock=True)
    require_may_void(actor, document)
    if document.state is DocState.DRAFT:
        raise Refusal(N_("A draft has no number; discard it instead."))
    if document.state is not DocState.REFUSED:
        raise Refusal(N_("Only a refused document can be voided. Nothing has been changed."))
    reason = read_reason(reason)
    move(
        session,
        document,
        DocState.VOID,
        actor,
        reason=reason,
        void_by=actor.name,
        void_at=clock.now(),
        void_reason=reason,
    )
    audit.write(session, actor, f"{document.kind}.void", f"document:{document.id}", {"number": document.number_text})
    return document


def withdraw(session: Session, actor: Actor, document: Document, op: KlarnaOp) -> None:
    """Void a pending document whose operation was taken back before a byte left (operations 4)."""
    if op.state is not OpState.NOT_EXECUTED:
        raise BrokenRule("a document is withdrawn together with its operation")
    reason = "withdrawn before sending"
    move(
        session,
        document,
        DocState.VOID,
        actor,
        op_id=op.id,
        reason=reason,
        void_by=actor.name,
        void_at=clock.now(),
        void_reason=reason,
    )
    audit.write(
        session, actor, f"{document.kind}.withdrawn", f"document:{document.id}", {"number": document.number_text}
    )


def issue_day(document: Document, happened: date) -> date:
    """The day a document is issued: that of the proof, never before its number (I12)."""
    if document.number_date is None:
        raise BrokenRule("a document without number is not issued")
    return max(document.number_date, happened)


def receivable_of(session: Session, document: Document, day: date) -> ledger.Entry:
    """The claim a document makes on the receivable account: an invoice's debit, a credit note's credit."""
    sign = 1 if document.kind is DocKind.INVOICE else -1
    return ledger.Entry(
        account=ledger.role(session, "receivable", day),
        amount_minor=sign * (document.gross_minor or 0),
        text=document.number_text or "",
        document_id=document.id,
    )


def sales_entries(session: Session, lines: Iterable[DocumentLine], day: date, sign: int) -> list[ledger.Entry]:
    """Sales and VAT of the rows, one entry per account, rate and direction; ``sign`` −1 for an invoice, +1 for a credit note."""
    sums: dict[tuple[int, int, bool], int] = {}
    for line in lines:
        up = line.gross_minor >= 0
        sales = ledger.sales_account(session, line.vat_rate, line.kind, day)
        sums[sales, line.vat_rate, up] = sums.get((sales, line.vat_rate, up), 0) + line.gross_minor - line.vat_minor
        if line.vat_rate:
            vat = ledger.vat_account(session, line.vat_rate, day)
            sums[vat, line.vat_rate, up] = sums.get((vat, line.vat_rate, up), 0) + line.vat_minor
    return [
        ledger.Entry(account=a, amount_minor=sign * amount, vat_rate=rate)
        for (a, rate, _), amount in sums.items()
        if amount
    ]
