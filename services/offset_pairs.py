"""Pairs of an open invoice and an open credit note, and the reading that must come before they are offset (K49, K50).

Amounts are minor units. Pure reading; services/offsets.py does the act. Source: requirements K49-K51; operations 14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

import clock
from errors import N_, BadInput, NotFound, Refusal
from models import Customer, Document, KlarnaAccount, KlarnaOp, Offset, Order, Payout, PayoutRow, RowMatch, Voucher
from services import documents, ledger, payout_rhythm
from states import DocKind, DocState, PayoutState, WithoutKlarna

MOST = 50
_note, _invoice = aliased(Document, name="note"), aliased(Document, name="invoice")
_NOTE_OPEN, _INVOICE_OPEN = sa.text("note.open_minor <> 0"), sa.text("invoice.open_minor <> 0")
"""Word for word the condition of a partial index, so that only what is open is looked through."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a pair waits: the payout of this account that has not been booked, and the day it is expected (K50).

    One that has come has its ``payout_id``, and its ``reference`` once its rows are here; ``ready`` says that they are
    all explained.
    """

    account: str
    expected: date
    payout_id: int | None = None
    reference: str | None = None
    ready: bool = False

    @property
    def refusal(self) -> Refusal:
        """The sentence of K50; of a payout that has been read in, what has still to be done with it."""
        if self.reference is not None and self.ready:
            return Refusal(
                N_("The payout %(reference)s has been read in but is not booked: book it first."),
                reference=self.reference,
            )
        if self.reference is not None:
            return Refusal(
                N_("The payout %(reference)s has been read in but is not booked: settle its rows first."),
                reference=self.reference,
            )
        return Refusal(
            N_("Wait: the payout for the period is expected on %(day)s and has not been read."), day=self.expected
        )


@dataclass(frozen=True, slots=True)
class Side:
    """A document of a pair; ``open_minor`` is what remains of it, always positive."""

    id: int
    kind: DocKind
    number: str
    day: date
    open_minor: int
    at_klarna: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """An open invoice and an open credit note of one customer, order and currency."""

    invoice: Side
    note: Side
    customer: str
    order_number: int | None
    currency: str
    wait: Wait | None

    @property
    def amount_minor(self) -> int:
        """The most that one can close of the other."""
        return min(self.invoice.open_minor, self.note.open_minor)


@dataclass(frozen=True, slots=True)
class Made:
    """An offset that was made; ``undone_by`` is the voucher that took it back."""

    id: int
    invoice_id: int
    invoice: str
    note_id: int
    note: str
    amount_minor: int
    currency: str
    voucher_id: int
    voucher: str
    override_reason: str | None
    at: datetime
    by: str
    undone_by: int | None


# --- The wait for the reading (K50) ----------------------------------------------------------------------------------------

_Known = dict[tuple[int, str], payout_rhythm.Rhythm]
"""The rhythms asked for so far, by account and currency: the pairs of a page wait for the same few."""


_ops = {"invoice": aliased(KlarnaOp, name="invoice_op"), "note": aliased(KlarnaOp, name="note_op")}
_orders = {"invoice": aliased(Order, name="invoice_order"), "note": aliased(Order, name="note_order")}


def _operation(name: str) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """The Klarna account an operation of the document was made under, and when; NULL for one that Klarna knows nothing of.

    A credit made in Klarna's portal is one too: its reading is waited for just the same.
    """
    document, op, order = {"invoice": _invoice, "note": _note}[name], _ops[name], _orders[name]
    portal = sa.cast(document.without_klarna_reason, sa.Text) == str(WithoutKlarna.CREDITED_IN_PORTAL)
    return (
        sa.func.coalesce(op.account_id, sa.case((portal, order.account_id))),
        sa.func.coalesce(op.klarna_event_at, op.created_at, sa.case((portal, document.created_at))),
    )


def _reaches(at: Any) -> sa.ColumnElement[bool]:
    """Whether a payout holds a sale or a return that is no older than ``at``."""
    return (
        sa.exists()
        .where(
            PayoutRow.payout_id == Payout.id,
            PayoutRow.type.in_(("SALE", "RETURN")),
            sa.func.coalesce(PayoutRow.happened_at, Payout.payout_date) >= at,
        )
        .correlate_except(PayoutRow)
    )


def _is_read(account: Any, at: Any, currency: Any) -> sa.ColumnElement[bool]:
    """Whether a booked payout of the account and currency holds a sale or a return that is no older than ``at``."""
    return (
        sa.exists()
        .where(
            Payout.account_id == account,
            Payout.currency == currency,
            Payout.state == PayoutState.BOOKED,
            Payout.payout_date >= at,
            _reaches(at),
        )
        .correlate_except(Payout)
    )


def _is_held_up(document: Any, account: Any, at: Any, currency: Any) -> sa.ColumnElement[bool]:
    """Whether a payout that is not booked yet has a row of the document, or could have: its rows are not known."""
    of_document = (
        sa.exists()
        .where(
            RowMatch.document_id == document.id,
            PayoutRow.id == RowMatch.row_id,
            Payout.id == PayoutRow.payout_id,
            Payout.state != PayoutState.BOOKED,
        )
        .correlate_except(RowMatch, PayoutRow, Payout)
    )
    unknown = (
        sa.exists()
        .where(Payout.account_id == account, Payout.currency == currency, Payout.payout_date >= at, _IS_UNKNOWN)
        .correlate_except(Payout)
    )
    return sa.or_(of_document, unknown)


_IS_UNKNOWN = sa.or_(
    sa.and_(Payout.state != PayoutState.BOOKED, Payout.row_count == 0), Payout.state == PayoutState.LOADING
)


def _in_the_way(session: Session, account_id: int, currency: str, at: datetime, ids: Sequence[int]) -> Any:
    """The oldest payout that has come, waits to be booked, and speaks of these documents, may do so, or reaches past them."""
    rows = (
        sa.select(PayoutRow.payout_id)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(RowMatch.document_id.in_(ids))
    )
    later = sa.and_(sa.or_(_IS_UNKNOWN, _reaches(at)), Payout.payout_date >= at)
    return session.execute(
        sa.select(Payout.id, Payout.payment_reference, Payout.payout_date, Payout.state, Payout.row_count)
        .where(
            Payout.account_id == account_id,
            Payout.currency == currency,
            Payout.state != PayoutState.BOOKED,
            sa.or_(Payout.id.in_(rows), later),
        )
        .order_by(Payout.payout_date, Payout.id)
        .limit(1)
    ).one_or_none()


def _wait(session: Session, account_id: int, currency: str, at: datetime, ids: Sequence[int], known: _Known) -> Wait:
    account = session.scalars(sa.select(KlarnaAccount.name).where(KlarnaAccount.id == account_id)).one()
    found = _in_the_way(session, account_id, currency, at, ids)
    if found is not None:
        is_here = found.row_count > 0 and found.state is not PayoutState.LOADING
        reference = found.payment_reference if is_here else None
        return Wait(account, clock.local_date(found.payout_date), found.id, reference, found.state is PayoutState.READY)
    rhythm = known.get((account_id, currency)) or payout_rhythm.of(session, account_id, currency)
    known[account_id, currency] = rhythm
    return Wait(account, rhythm.next_payout(clock.local_date(at), clock.today()))


# --- Pairs (K49) -----------------------------------------------------------------------------------------------------------


def _pairs() -> sa.Select[Any]:
    columns = []
    for name, document in (("invoice", _invoice), ("note", _note)):
        account, at = _operation(name)
        held_up = _is_held_up(document, account, at, _note.currency)
        read = sa.or_(account.is_(None), sa.and_(_is_read(account, at, _note.currency), sa.not_(held_up)))
        columns += [
            account.label(f"{name}_account"),
            at.label(f"{name}_at"),
            sa.case((read, 1), else_=0).label(f"{name}_read"),
        ]
    invoice_order = _orders["invoice"]
    return (
        sa.select(_invoice, _note, Customer.name, invoice_order.number, *columns)
        .select_from(_note)
        .join(
            _invoice,
            sa.and_(_invoice.customer_id == _note.customer_id, _invoice.currency == _note.currency),
        )
        .join(Customer, Customer.id == _note.customer_id)
        .outerjoin(invoice_order, invoice_order.id == _invoice.order_id)
        .outerjoin(_orders["note"], _orders["note"].id == _note.order_id)
        .outerjoin(_ops["invoice"], _ops["invoice"].id == _invoice.issued_by_op_id)
        .outerjoin(_ops["note"], _ops["note"].id == _note.issued_by_op_id)
        .where(
            _NOTE_OPEN,
            _INVOICE_OPEN,
            _note.open_minor < 0,
            _invoice.open_minor > 0,
            sa.cast(_note.kind, sa.Text) == str(DocKind.CREDIT_NOTE),
            sa.cast(_invoice.kind, sa.Text) == str(DocKind.INVOICE),
            _note.reversed_at.is_(None),
            sa.or_(_note.order_id == _invoice.order_id, _note.original_id == _invoice.id, _note.order_id.is_(None)),
        )
    )


def _pair(session: Session, row: Any, known: _Known) -> Pair:
    invoice, note = row[0], row[1]
    wait = None
    waited = [(row.invoice_account, row.invoice_at, row.invoice_read), (row.note_account, row.note_at, row.note_read)]
    late = [(at, account) for account, at, read in waited if not read]
    if late:
        at, account = max(late)
        wait = _wait(session, account, note.currency, at, (invoice.id, note.id), known)
    return Pair(_side(invoice, row.invoice_account), _side(note, row.note_account), row[2], row[3], note.currency, wait)


def _side(document: Document, account_id: int | None) -> Side:
    day = document.issue_date or document.number_date or clock.today()
    return Side(
        document.id, document.kind, document.number_text or "", day, abs(document.open_minor), account_id is not None
    )


def proposed(
    session: Session, number: str = "", after: tuple[int, int] | None = None
) -> tuple[list[Pair], tuple[int, int] | None]:
    """The pairs that can be offset, the oldest credit note first, and the mark of the next page.

    ``number`` narrows them to those of a document; ``after`` is the mark of the page before.
    """
    query = _pairs().order_by(_note.id, _invoice.id).limit(MOST + 1)
    if number:
        query = query.where(sa.or_(_note.number_text == number, _invoice.number_text == number))
    if after is not None:
        query = query.where(sa.or_(_note.id > after[0], sa.and_(_note.id == after[0], _invoice.id > after[1])))
    found = session.execute(query).all()
    known: _Known = {}
    pairs = [_pair(session, row, known) for row in found[:MOST]]
    more = (pairs[-1].note.id, pairs[-1].invoice.id) if len(found) > MOST else None
    return pairs, more


def pair(session: Session, invoice_id: int, note_id: int) -> Pair:
    """One pair as its page shows it. Raises NotFound for what is no pair, Refusal when nothing of it is open (any more)."""
    row = session.execute(_pairs().where(_invoice.id == invoice_id, _note.id == note_id)).one_or_none()
    if row is None:
        require_pair(documents.get_numbered(session, invoice_id), documents.get_numbered(session, note_id))
        raise NotFound
    return _pair(session, row, {})


def partners_of(session: Session, document_id: int) -> bool:
    """Whether the document could be offset against another just now."""
    found = _pairs().where(sa.or_(_invoice.id == document_id, _note.id == document_id)).with_only_columns(sa.literal(1))
    return session.scalar(found.limit(1)) is not None


def require_pair(invoice: Document, note: Document) -> None:
    """Let pass two documents that may close each other, whatever is open of them. Raises BadInput, Refusal (catalogue 88)."""
    if invoice.kind is not DocKind.INVOICE or note.kind is not DocKind.CREDIT_NOTE:
        raise BadInput(N_("An invoice is offset against a credit note."))
    if invoice.customer_id != note.customer_id:
        raise BadInput(N_("The two documents have different customers and cannot be offset."))
    if invoice.currency != note.currency:
        raise BadInput(N_("The two documents are in different currencies and cannot be offset."))
    if note.order_id not in (None, invoice.order_id) and note.original_id != invoice.id:
        raise BadInput(N_("The two documents belong to different orders and cannot be offset."))
    if DocState.ISSUED is not invoice.state or DocState.ISSUED is not note.state or note.reversed_at is not None:
        raise Refusal(N_("Only issued documents can be offset."))
    if invoice.open_minor <= 0 or note.open_minor >= 0:
        raise Refusal(N_("Nothing is left to offset: one of the two is settled."))


# --- What was offset -------------------------------------------------------------------------------------------------------


def made(session: Session, number: str = "", after: int | None = None) -> tuple[list[Made], int | None]:
    """Offsets, the newest first, of the document with this number or of all, with the mark of the next page."""
    reversal = aliased(Voucher)
    query = (
        sa.select(Offset, _invoice.number_text, _note.number_text, _note.currency, Voucher, reversal.id)
        .join(_invoice, _invoice.id == Offset.invoice_id)
        .join(_note, _note.id == Offset.credit_note_id)
        .join(Voucher, Voucher.id == Offset.voucher_id)
        .outerjoin(reversal, reversal.reverses_id == Offset.voucher_id)
        .order_by(Offset.id.desc())
        .limit(MOST + 1)
    )
    if number:
        named = sa.select(Document.id).where(Document.number_text == number).scalar_subquery()
        query = query.where(sa.or_(Offset.invoice_id == named, Offset.credit_note_id == named))
    if after is not None:
        query = query.where(Offset.id < after)
    found = [
        Made(
            each.id, each.invoice_id, invoice or "", each.credit_note_id, note or "", each.amount_minor, currency,
            voucher.id, ledger.label(voucher), each.override_reason, each.at, each.by, undone,
        )
        for each, invoice, note, currency, voucher, undone in session.execute(query)
    ]  # fmt: skip
    return found[:MOST], found[MOST - 1].id if len(found) > MOST else None
