"""Exchanges: what comes back and what goes out, and which way that fits.

An even exchange leaves Klarna's amount alone: a credit note without Klarna, a replacement invoice of the same sum without
Klarna, and an offset of one against the other, so that nothing stays open. Amounts are minor units including VAT, quantities
thousandths. Source: K30, K43-K46; accounting reference E5, E6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from errors import N_, BadInput, BrokenRule, Refusal
from models import Document
from rights import Actor
from services import (
    adjustments,
    credit_drafts,
    credit_notes,
    credit_rows,
    credited,
    documents,
    money_forms,
    replacement,
    stock,
)
from services.adjustments import Adjustment
from services.replacement import Out
from states import DocKind, DocState, LineKind, WithoutKlarna

ACTION = "exchange"


class Way(StrEnum):
    """How an exchange is done, which follows from what goes out comes to."""

    EVEN = "even"
    CHEAPER = "cheaper"
    DEARER = "dearer"


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes back, as thousandths per row of the draft, and what goes out instead, row by row."""

    back: Mapping[int, int]
    out: Sequence[Out]
    warehouse_id: int | None = None

    @property
    def out_minor(self) -> int:
        """What goes out comes to."""
        return sum(each.gross_minor for each in self.out)

    @property
    def values(self) -> list[object]:
        """What must be the same when the same form comes again (operations 12)."""
        back = sorted(self.back.items())
        return [
            back,
            [[each.article_id, each.quantity_milli, each.price_minor] for each in self.out],
            self.warehouse_id,
        ]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What an exchange comes to; ``difference_minor`` is what the customer gets back, negative when more is to be paid."""

    way: Way
    back_minor: int
    out_minor: int

    @property
    def difference_minor(self) -> int:
        """To the customer's favour."""
        return self.back_minor - self.out_minor


# --- The guided page ---------------------------------------------------------------------------------------------------


def weigh(session: Session, draft: Document, plan: Plan) -> Weighed:
    """What an exchange comes to. Raises BadInput beside ``back-…`` when more than is left comes back, or nothing does (K21)."""
    done = credited.credited(session, credit_drafts.original(draft).id)
    back = 0
    for line in draft.lines:
        quantity = plan.back.get(line.id, 0)
        if quantity and line.original_line is not None:
            credit_drafts.require_left(line.original_line, quantity, done, field=f"back-{line.id}")
            back += credited.share_of(line.original_line, quantity, done)
    if not back:
        raise BadInput(N_("Enter how many come back of at least one row."), field="back")
    out = plan.out_minor
    return Weighed(Way.EVEN if back == out else Way.CHEAPER if back > out else Way.DEARER, back, out)


def prepare(session: Session, actor: Actor, draft_id: int, plan: Plan, *, way: Way) -> Document:
    """Set the draft's rows to an exchange: what comes back, and where it is cheaper each new article with a minus (K44).

    Of an even exchange nothing is sent and the goods go back to stock (K30); of a dearer one the draft holds what comes
    back alone. Other new rows are left out. Raises BadInput, Refusal.
    """
    draft = credit_drafts.get_draft(session, actor, draft_id)
    for line in list(draft.lines):
        quantity = plan.back.get(line.id, 0)
        line.removed = not quantity and line.kind is not LineKind.ADVANCE_DEDUCTION
        if quantity:
            credit_drafts.set_quantity(session, actor, draft_id, line.id, _plain(quantity))
    credit_drafts.reprice(session, draft)
    for out in plan.out if way is Way.CHEAPER else ():
        _charge(session, actor, draft_id, out)
    return credit_drafts.set_options(
        session,
        actor,
        draft_id,
        restock=way is Way.EVEN,
        warehouse_id=plan.warehouse_id,
        without_klarna=way is Way.EVEN,
        reason=WithoutKlarna.EVEN_EXCHANGE if way is Way.EVEN else "",
    )


def _charge(session: Session, actor: Actor, draft_id: int, out: Out) -> None:
    try:
        credit_rows.add_article(
            session, actor, draft_id, out.article_id, quantity_milli=out.quantity_milli, price_minor=out.price_minor
        )
    except BadInput as no:
        no.field = f"{no.field or 'article'}-{out.place}"
        raise


def _plain(milli: int) -> str:
    whole, part = divmod(milli, 1000)
    return f"{whole}.{part:03d}".rstrip("0").rstrip(".")


def carry_out(session: Session, actor: Actor, nonce: str, draft_id: int, plan: Plan) -> Document:
    """Do an even exchange whole: credit note, goods back, replacement invoice, goods out, offset. Once per form (K30, E5).

    Returns the credit note. Raises BadInput, Refusal, NotAllowed with nothing done.
    """
    draft = documents.get(session, draft_id, lock=True)
    earlier = money_forms.earlier_use(session, actor, nonce, ACTION, str(draft_id), plan.values)
    if earlier is not None:
        return documents.get(session, int(earlier))
    draft = credit_drafts.get_draft(session, actor, draft_id)
    weighed = weigh(session, draft, plan)
    if weighed.way is not Way.EVEN:
        raise BadInput(N_("The sums differ, so that this is no even exchange."))
    prepare(session, actor, draft_id, plan, way=Way.EVEN)
    credit_notes.require_creatable(session, actor, draft, weighed.back_minor)
    money_forms.use_form(session, actor, nonce, ACTION, str(draft_id), plan.values, str(draft_id))
    stock.hold(session, [*(each.article_id for each in plan.out), *(line.article_id for line in draft.lines)])
    credit_notes.issue_without_klarna(session, actor, draft, portal_confirmed=False, external=None)
    replacement.make(session, actor, draft, plan.out, plan.warehouse_id)
    return draft


def require_draft(draft: Document) -> Document:
    """The invoice of a draft an exchange can be made of. Raises Refusal for one that never was Klarna's."""
    invoice = credit_drafts.original(draft)
    if invoice.issued_by_op_id is None:
        raise Refusal(N_("The invoice has not been sold to Klarna: credit what comes back and invoice what goes out."))
    if draft.order is None:
        raise BrokenRule("an invoice sold to Klarna has its order")
    return invoice


@dataclass(frozen=True, slots=True)
class Partner:
    """A document that another has been offset against."""

    id: int
    kind: DocKind
    number: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Story:
    """What a document has to do with an exchange: what it is offset against, what is left to do by hand (K30, K46)."""

    partners: Sequence[Partner]
    is_even: bool
    no_replacement: Refusal | None
    adjust: Sequence[Adjustment]

    @property
    def told(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.partners or self.is_even or self.adjust)


def story(session: Session, actor: Actor, document_id: int) -> Story:
    """The exchange a document belongs to, for its page."""
    document = documents.get(session, document_id)
    found = replacement.partners(session, document)
    return Story(
        partners=[Partner(each.id, each.kind, each.number_text or "", amount) for each, amount in found],
        is_even=replacement.is_even(document) and bool(document.gross_minor),
        no_replacement=replacement.why_no_replacement(actor, document),
        adjust=adjustments.of(session, document) if document.state is DocState.ISSUED else (),
    )
