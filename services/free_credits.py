"""Free-standing credit notes: they belong to no invoice, are booked, and nothing of them is sent to Klarna (K42, I2, I9).

Rows are typed: plus is to the customer's favour, minus a charge. Amounts are minor units including VAT, quantities thousandths.
Source: K27, K28, K42; operations 4; B31.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Article, Customer, Document, DocumentLine
from money import Amount
from rights import Actor, Right
from services import audit, credit_limit, credit_notes, credit_rows, documents, new_rows, settings
from services.card_checks import check_text, mask_personal_numbers
from services.credit_rows import Typed
from services.documents import VatSum
from services.money_forms import earlier_use, use_form
from states import DocKind, DocState, DocType, LineKind, WithoutKlarna

ACTION = "free_credit"
CURRENCY = "SEK"
_PARTY = ("name", "organisation_number", "email", "phone", "street", "street2", "postal_code", "city", "country")


@dataclass(frozen=True, slots=True)
class FreeRow:
    """A row as the form shows it; ``says`` is what it does to the customer (K28)."""

    id: int
    article_id: int | None
    article_number: str | None
    name: str
    unit: str
    quantity_milli: int
    unit_price_minor: int
    vat_rate: int
    gross_minor: int
    says: Refusal


@dataclass(frozen=True, slots=True)
class FreeForm:
    """«Fristående kreditfaktura» as plain values; ``refusal`` says why the button is off."""

    id: int
    version: int
    customer_id: int
    customer: str
    currency: str
    made_by: str
    reason: str
    rows: Sequence[FreeRow]
    rates: Sequence[int]
    vat: Sequence[VatSum]
    gross_minor: int
    refusal: Refusal | None


def is_free(session: Session, document_id: int) -> bool:
    """Whether this is a draft of a free-standing credit note."""
    query = sa.select(Document.id).where(
        Document.id == document_id, Document.type == DocType.FREE_CREDIT, Document.state == DocState.DRAFT
    )
    return session.scalar(query) is not None


def start(session: Session, actor: Actor, customer_id: int) -> Document:
    """Open a draft for a customer: the person's own that has no rows yet, or a new one (K42). Raises NotFound, Refusal."""
    actor.require(Right.CREDIT)
    customer = session.scalar(sa.select(Customer).where(Customer.id == customer_id).with_for_update())
    if customer is None:
        raise NotFound
    if customer.anonymised_at is not None:
        raise Refusal(N_("The customer has been anonymised and cannot be credited."))
    begun = session.scalars(
        sa.select(Document).where(
            Document.customer_id == customer_id,
            Document.type == DocType.FREE_CREDIT,
            Document.state == DocState.DRAFT,
            Document.created_by_id == actor.id,
        )
    )
    for mine in begun:
        if not mine.lines:
            return mine
    now = clock.now()
    draft = Document(
        kind=DocKind.CREDIT_NOTE,
        type=DocType.FREE_CREDIT,
        state=DocState.DRAFT,
        customer=customer,
        currency=CURRENCY,
        with_klarna=False,
        without_klarna_reason=WithoutKlarna.FREE_STANDING,
        party=_party(customer),
        created_by=actor.name,
        created_by_id=actor.id,
        created_at=now,
        changed_at=now,
    )
    session.add(draft)
    session.flush()
    audit.write(session, actor, "free_credit.begun", f"document:{draft.id}", {"customer": customer.number})
    return draft


def _party(customer: Customer) -> str:
    return json.dumps({name: getattr(customer, name) or "" for name in _PARTY}, ensure_ascii=False, sort_keys=True)


def get_draft(session: Session, actor: Actor, draft_id: int) -> Document:
    """A draft, locked, for changing. Raises NotFound, and Refusal when it is a draft no more."""
    actor.require(Right.CREDIT)
    draft = documents.get(session, draft_id, lock=True)
    if draft.type is not DocType.FREE_CREDIT:
        raise NotFound
    if draft.state is not DocState.DRAFT:
        raise Refusal(
            N_("The credit note has been created and can no longer be changed."),
            link=("credit_notes.show", {"document_id": draft.id}),
        )
    return draft


# --- Rows ------------------------------------------------------------------------------------------------------------


def add_article(session: Session, actor: Actor, draft_id: int, article_id: int) -> DocumentLine:
    """Add an article at its own price, to the customer's favour. Raises BadInput, Refusal (K27)."""
    draft = get_draft(session, actor, draft_id)
    article = session.scalar(sa.select(Article).where(Article.id == article_id, Article.active.is_(True)))
    if article is None:
        raise BadInput(N_("Choose an article from the list."), field="article")
    line = DocumentLine(
        kind=article.kind,
        article_id=article.id,
        article_number=article.number,
        name=article.name,
        unit=article.unit,
        quantity_milli=1000,
        unit_price_minor=article.price_minor,
        vat_rate=settings.vat_rate_of(session, article.vat_class, clock.today()),
    )
    if line.unit_price_minor == 0:
        raise BadInput(N_("The article has no price. Add it as a free row."), field="article")
    return _add(session, draft, line)


def add_free(session: Session, actor: Actor, draft_id: int, typed: Typed) -> DocumentLine:
    """Add a row that a person wrote (K27, K28). Raises BadInput."""
    draft = get_draft(session, actor, draft_id)
    line = DocumentLine(
        kind=LineKind.TEXT,
        name=credit_rows.read_name(typed.name or "", "name"),
        quantity_milli=money.parse_quantity(typed.quantity or "", field="quantity"),
        unit_price_minor=credit_rows.read_price(typed.price or "", "price"),
        vat_rate=_read_rate(session, typed.vat_rate or ""),
    )
    _require_size(line, "price")
    return _add(session, draft, line)


def _read_rate(session: Session, text: str) -> int:
    for rate in credit_rows.rates(session):
        if text == str(rate):
            return rate
    raise BadInput(N_("Choose a VAT rate from the list."), field="vat_rate")


def _add(session: Session, draft: Document, line: DocumentLine) -> DocumentLine:
    if len(draft.lines) >= credit_rows.MOST_ROWS:
        raise Refusal(N_("A credit note may have at most %(most)s new rows."), most=credit_rows.MOST_ROWS)
    line.document_id = draft.id
    line.position = 1 + max((each.position for each in draft.lines), default=0)
    line.gross_minor = line.vat_minor = 0
    session.add(line)
    session.flush()
    session.refresh(draft, ["lines"])
    return _changed(session, draft, line)


def change(session: Session, actor: Actor, draft_id: int, line_id: int, quantity: str, price: str) -> DocumentLine:
    """Take a row's quantity and unit price as typed. Raises BadInput beside ``quantity-…`` or ``price-…``."""
    draft = get_draft(session, actor, draft_id)
    line = _line(draft, line_id)
    new = (
        money.parse_quantity(quantity, field=f"quantity-{line_id}"),
        credit_rows.read_price(price, f"price-{line_id}"),
    )
    if new == (line.quantity_milli, line.unit_price_minor):
        return line
    line.quantity_milli, line.unit_price_minor = new
    _require_size(line, f"price-{line_id}")
    return _changed(session, draft, line)


def remove(session: Session, actor: Actor, draft_id: int, line_id: int) -> None:
    """«Ta bort rad»: what a person added can be added again, so it is gone."""
    draft = get_draft(session, actor, draft_id)
    line = _line(draft, line_id)
    session.delete(line)
    session.flush()
    session.refresh(draft, ["lines"])
    _changed(session, draft, line)


def _line(draft: Document, line_id: int) -> DocumentLine:
    for line in draft.lines:
        if line.id == line_id:
            return line
    raise NotFound


def _changed(session: Session, draft: Document, line: DocumentLine) -> DocumentLine:
    new_rows.reprice(session, draft)
    draft.version += 1
    draft.changed_at = clock.now()
    session.flush()
    return line


def _require_size(line: DocumentLine, field: str) -> None:
    gross = money.gross_of(line.quantity_milli, line.unit_price_minor)
    if abs(gross) > money.MAX_AMOUNT_MINOR:
        raise BadInput(N_("At most %(most)s can be entered."), field=field, most=Amount(money.MAX_AMOUNT_MINOR))
    if gross == 0:
        raise BadInput(N_("The row comes to 0.00."), field=field)


def set_reason(session: Session, actor: Actor, draft_id: int, text: str) -> None:
    """Keep the reason as it is typed; it is stored and printed with the credit note (I9)."""
    draft = get_draft(session, actor, draft_id)
    draft.without_klarna_note = _read_reason(text) or None
    session.flush()


def _read_reason(text: str) -> str:
    return mask_personal_numbers(check_text(text.strip(), documents.LONGEST_REASON, field="reason", lines=True))[0]


def discard(session: Session, actor: Actor, draft_id: int) -> int:
    """«Ta bort utkastet»: it has no number and leaves no trace in the series; returns the customer's id."""
    draft = get_draft(session, actor, draft_id)
    customer_id = draft.customer_id
    audit.write(session, actor, "free_credit.discarded", f"document:{draft.id}", {"customer": draft.customer.number})
    for line in list(draft.lines):
        session.delete(line)
    session.flush()
    session.delete(draft)
    session.flush()
    return customer_id


# --- The form and the act ----------------------------------------------------------------------------------------------


def form(session: Session, actor: Actor, draft_id: int) -> FreeForm:
    """The form of a draft. Raises NotFound for anything else. Pure reading."""
    draft = documents.get(session, draft_id)
    if draft.type is not DocType.FREE_CREDIT or draft.state is not DocState.DRAFT:
        raise NotFound
    return FreeForm(
        id=draft.id,
        version=draft.version,
        customer_id=draft.customer_id,
        customer=draft.customer.name,
        currency=draft.currency,
        made_by=draft.created_by,
        reason=draft.without_klarna_note or "",
        rows=[_row(line, draft.currency) for line in draft.lines],
        rates=credit_rows.rates(session),
        vat=documents.vat_sums(draft.lines),
        gross_minor=sum(line.gross_minor for line in draft.lines),
        refusal=_why_not(session, actor, draft),
    )


def _row(line: DocumentLine, currency: str) -> FreeRow:
    return FreeRow(
        id=line.id,
        article_id=line.article_id,
        article_number=line.article_number,
        name=line.name,
        unit=line.unit,
        quantity_milli=line.quantity_milli,
        unit_price_minor=line.unit_price_minor,
        vat_rate=line.vat_rate,
        gross_minor=line.gross_minor,
        says=new_rows.words(line, currency),
    )


def _why_not(session: Session, actor: Actor, draft: Document) -> Refusal | None:
    try:
        _require_creatable(session, actor, draft)
    except Refusal as no:
        return no
    return None


def _require_creatable(session: Session, actor: Actor, draft: Document) -> None:
    """Let pass a draft with rows, a sum above 0 and a person whose limit it is within. Raises BadInput, NotAllowed."""
    actor.require(Right.CREDIT)
    gross = sum(line.gross_minor for line in draft.lines)
    if not draft.lines:
        raise BadInput(N_("The credit note has no rows."))
    if gross <= 0:
        raise BadInput(
            N_("The sum is %(sum)s. A credit note cannot charge the customer; make a new order for the difference."),
            sum=Amount(gross, draft.currency),
        )
    if gross > money.MAX_AMOUNT_MINOR:
        raise BadInput(N_("At most %(most)s can be entered."), most=Amount(money.MAX_AMOUNT_MINOR))
    credit_limit.require(session, actor, gross, draft.currency, but=draft.id)


@dataclass(frozen=True, slots=True)
class Pressed:
    """The form as its button was pressed: its nonce, the sum and the version it showed, and the reason."""

    nonce: str
    shown_minor: int
    version: int
    reason: str


def create(session: Session, actor: Actor, draft_id: int, pressed: Pressed) -> int:
    """Number, issue and book the draft in one transaction; nothing is sent (K42). One form does it once.

    Raises Stale when the draft is another than the form showed, BadInput, Refusal, NotAllowed.
    """
    values = [pressed.shown_minor, pressed.version, pressed.reason]
    nonce, shown_minor, version = pressed.nonce, pressed.shown_minor, pressed.version
    draft = documents.get(session, draft_id, lock=True)
    if earlier_use(session, actor, nonce, ACTION, str(draft_id), values) is not None:
        return draft_id
    draft = get_draft(session, actor, draft_id)
    before = sum(line.gross_minor for line in draft.lines)
    new_rows.reprice(session, draft)
    now = sum(line.gross_minor for line in draft.lines)
    if draft.version != version or shown_minor != before or now != before:
        raise Stale(N_("The draft has been changed meanwhile. What stands there now is shown; look it through again."))
    credit_limit.hold(session, actor)
    _require_creatable(session, actor, draft)
    draft.without_klarna_note = _read_reason(documents.read_reason(pressed.reason))
    use_form(session, actor, nonce, ACTION, str(draft_id), values, str(draft_id))
    reason = WithoutKlarna.FREE_STANDING
    documents.number_and_freeze(session, draft, DocState.ISSUED, actor, reason=reason)
    credit_notes.issue(session, actor, draft, None, clock.now())
    return draft_id
