"""New rows on the draft of a credit note: an article found by search, a row a person writes, return freight.

Everything is taken as it is typed and checked per field; the field names are those of the row's form. Amounts are minor
units including VAT, quantities thousandths, rates hundredths of a percent. Source: K26-K28, K38, K43, K44; question 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, Refusal
from models import Article, Document, DocumentLine
from rights import Actor
from services import credit_drafts, new_rows, register, settings
from services.card_checks import check_text
from states import LineKind

LONGEST_NAME = 255
MOST_ROWS = 100
"""New rows on one credit note."""
CHOICE = 8


@dataclass(frozen=True, slots=True)
class Typed:
    """A new row as a person typed it; None where the form has no such field. The minus stands before the unit price (K28)."""

    quantity: str | None = None
    price: str | None = None
    name: str | None = None
    vat_rate: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """An article that a search found."""

    id: int
    number: str
    name: str
    unit: str
    price_minor: int
    vat_rate: int
    stock_kept: bool


def rates(session: Session) -> list[int]:
    """The VAT rates a free row can have: those in force today, the highest first (K27)."""
    return sorted(set(settings.vat_classes(session, clock.today()).values()), reverse=True)


def find(session: Session, text: str) -> list[Hit]:
    """Articles by the beginning of their number, a part of their name, or their whole GTIN; the first few (K27)."""
    text = " ".join(text.split())[:100]
    if not text:
        return []
    today = clock.today()
    return [
        Hit(
            id=each.id,
            number=each.number,
            name=each.name,
            unit=each.unit,
            price_minor=each.price_minor,
            vat_rate=settings.vat_rate_of(session, each.vat_class, today),
            stock_kept=each.stock_kept,
        )
        for each in register.articles(session, search=text, limit=CHOICE)
    ]


def add_article(
    session: Session,
    actor: Actor,
    draft_id: int,
    article_id: int,
    *,
    quantity_milli: int = 1000,
    price_minor: int | None = None,
) -> DocumentLine:
    """Add an article as a charge at its own price or the one given, to be changed in place. Raises BadInput, Refusal (K27, K44).

    It comes with a minus, for what is added to a credit note is as good as always what the customer keeps instead.
    """
    draft = credit_drafts.get_draft(session, actor, draft_id)
    article = session.scalar(sa.select(Article).where(Article.id == article_id, Article.active.is_(True)))
    if article is None:
        raise BadInput(N_("Choose an article from the list."), field="article")
    return _add(
        session,
        draft,
        DocumentLine(
            kind=article.kind,
            article_id=article.id,
            article_number=article.number,
            name=article.name,
            unit=article.unit,
            quantity_milli=quantity_milli,
            unit_price_minor=-(article.price_minor if price_minor is None else price_minor),
            vat_rate=settings.vat_rate_of(session, article.vat_class, clock.today()),
        ),
    )


def add_free(session: Session, actor: Actor, draft_id: int, typed: Typed) -> DocumentLine:
    """Add a row that a person wrote: a price reduction with plus, a cost with minus (K27, K28, K38). Raises BadInput."""
    draft = credit_drafts.get_draft(session, actor, draft_id)
    return _add(
        session,
        draft,
        DocumentLine(
            kind=LineKind.TEXT,
            name=read_name(typed.name or "", "name"),
            quantity_milli=money.parse_quantity(typed.quantity or "", field="quantity"),
            unit_price_minor=read_price(typed.price or "", "price"),
            vat_rate=_read_rate(session, typed.vat_rate or "", "vat_rate", None),
        ),
        fields=("quantity", "price"),
    )


def add_return_freight(session: Session, actor: Actor, draft_id: int, amount: str, name: str) -> DocumentLine:
    """«Returfrakt»: one row that charges the customer, with the VAT of the invoice's freight. Raises BadInput, Refusal.

    The amount may be typed with or without its minus; ``name`` is what the row is called, in the reader's language.
    """
    draft = credit_drafts.get_draft(session, actor, draft_id)
    refusal = why_no_return_freight(draft)
    if refusal is not None:
        raise refusal
    price = -abs(read_price(amount, "freight"))
    return _add(
        session,
        draft,
        DocumentLine(
            kind=LineKind.RETURN_FEE,
            name=name,
            quantity_milli=1000,
            unit_price_minor=price,
            vat_rate=_freight_rate(session, credit_drafts.original(draft)),
        ),
        fields=("freight", "freight"),
    )


def why_no_return_freight(draft: Document) -> Refusal | None:
    """Why «Returfrakt» is off: Klarna takes one return fee for a refund, and so does the form."""
    if any(line.kind is LineKind.RETURN_FEE and new_rows.is_new(line) for line in draft.lines):
        return Refusal(N_("The credit note already has return freight. Change its row."))
    return None


def _freight_rate(session: Session, invoice: Document) -> int:
    """The rate of the freight on the invoice, else the highest on it that is in force, else today's highest."""
    known = rates(session)
    told = [line.vat_rate for line in invoice.lines if line.kind is LineKind.FREIGHT]
    told += sorted((line.vat_rate for line in invoice.lines), reverse=True)
    return next((rate for rate in told if rate in known), known[0])


def change(session: Session, actor: Actor, draft_id: int, line_id: int, typed: Typed) -> Document:
    """Take a new row as typed: quantity, unit price, and for a row without article its text and rate (K27, K28).

    Raises BadInput beside ``quantity-…``, ``price-…``, ``name-…`` or ``rate-…``, and saves nothing then.
    """
    draft = credit_drafts.get_draft(session, actor, draft_id)
    line = credit_drafts.line_of(draft, line_id)
    if not new_rows.is_new(line):
        raise BadInput(N_("Price, discount and article number follow from the invoice and cannot be changed."))
    changed: dict[str, object] = {}
    if typed.quantity is not None:
        changed["quantity_milli"] = money.parse_quantity(typed.quantity, field=f"quantity-{line_id}")
    if typed.price is not None:
        changed["unit_price_minor"] = read_price(typed.price, f"price-{line_id}")
    if typed.name is not None or typed.vat_rate is not None:
        if line.article_id is not None:
            raise BadInput(N_("Text and VAT rate follow from the article and cannot be changed."))
        if typed.name is not None:
            changed["name"] = read_name(typed.name, f"name-{line_id}")
        if typed.vat_rate is not None:
            changed["vat_rate"] = _read_rate(session, typed.vat_rate, f"rate-{line_id}", line.vat_rate)
    before = {name: getattr(line, name) for name in changed}
    if before == changed:
        return draft
    for name, value in changed.items():
        setattr(line, name, value)
    _require_size(line, f"quantity-{line_id}", f"price-{line_id}")
    credit_drafts.reprice(session, draft)
    return credit_drafts.touch(session, draft)


def _add(
    session: Session, draft: Document, line: DocumentLine, fields: tuple[str, str] = ("quantity", "price")
) -> DocumentLine:
    if sum(new_rows.is_new(each) for each in draft.lines) >= MOST_ROWS:
        raise Refusal(N_("A credit note may have at most %(most)s new rows."), most=MOST_ROWS)
    if line.unit_price_minor == 0:
        raise BadInput(N_("The article has no price. Add it as a free row."), field="article")
    _require_size(line, *fields)
    line.document_id = draft.id
    line.position = 1 + max([each.position for each in draft.lines] + _positions(draft), default=0)
    line.gross_minor = line.vat_minor = 0
    session.add(line)
    session.flush()
    session.refresh(draft, ["lines"])
    credit_drafts.reprice(session, draft)
    credit_drafts.touch(session, draft)
    return line


def _positions(draft: Document) -> list[int]:
    """The rows of the invoice keep their places, also those that were left out because nothing is left of them."""
    return [line.position for line in credit_drafts.original(draft).lines]


def read_name(text: str, field: str) -> str:
    """A row's text. Raises BadInput (catalogue row 14)."""
    text = text.strip()
    if not text:
        raise BadInput(N_("Write what the row is about."), field=field)
    return check_text(text, LONGEST_NAME, field=field)


def read_price(text: str, field: str) -> int:
    """A unit price with or without a minus, not 0. Raises BadInput (K28)."""
    price = money.parse_amount(text, field=field, signed=True, zero=True)
    if price == 0:
        raise BadInput(N_("The amount must be another than 0."), field=field)
    return price


def _read_rate(session: Session, text: str, field: str, kept: int | None) -> int:
    """A rate from the list, or the one the row has already. Raises BadInput."""
    known: Sequence[int | None] = [*rates(session), kept]
    for rate in known:
        if rate is not None and text == str(rate):
            return rate
    raise BadInput(N_("Choose a VAT rate from the list."), field=field)


def _require_size(line: DocumentLine, quantity: str, price: str) -> None:
    gross = money.gross_of(line.quantity_milli, line.unit_price_minor)
    if abs(gross) > money.MAX_AMOUNT_MINOR:
        raise BadInput(N_("At most %(most)s can be entered."), field=price, most=money.Amount(money.MAX_AMOUNT_MINOR))
    if gross == 0:
        raise BadInput(N_("The row comes to 0.00."), field=quantity)
