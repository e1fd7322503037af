"""One payout, one voucher: bank, fees, VAT as stated, what is withheld, debt, and each document's claim (E7-E10, E13).

Amounts are minor units, debit positive; a row's ``amount_minor`` has the sign of its effect on the payout. Everything is
summed by the database. Source: operations 14; B33; accounting reference 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BrokenRule, Refusal, Stale
from models import Account, Document, KlarnaAccount, Payout, PayoutRow, Posting, RowMatch, RowShare, Voucher
from rights import Actor, Right
from services import advance_booking, audit, ledger, settlement_matching
from services.ledger import Entry, Paid
from services.settlement_layouts import COMMISSION_RETURNS
from services.settlement_sql import LOANS
from states import DocKind, PayoutState

SERIES = "I"
CLAIMS = ("SALE", "RETURN", "REVERSAL", "REVERSAL_MERCHANT_PROTECTION")
"""Types whose amount is a claim of a document; without one it is booked as not yet placed."""
COSTS = {
    "FEE": "kreditförsäljningskostnad",
    "FEE_REFUND": "återbetald kreditförsäljningskostnad",
    "CORRECTION": "rättelse av kreditförsäljningskostnad",
    "CHARGE": "övrig avgift",
    "CREDIT": "övrig gottgörelse",
    "COMMISSION": "provision",
    "REVERSAL": "återtagen provision",
}
"""Types that cost or bring something, all on the account of fees, and what the voucher calls them (B1)."""
_PAID = {"SALE", "RETURN"}
WITHHELD = {"HOLDBACK": "innehållet belopp", "RELEASE": "frigjort belopp"}


def book(session: Session, actor: Actor, payout_id: int) -> Voucher:
    """«Bokför»: book a payout in which every row is explained. Raises NotAllowed, Refusal with nothing booked (B5)."""
    actor.require(Right.BOOKS)
    payout = settlement_matching.get(session, payout_id, lock=True)
    if payout.state is PayoutState.BOOKED:
        raise Refusal(N_("The payout is booked already."))
    why = settlement_matching.why_not_booked(session, payout_id) if payout.row_count else None
    if why is not None:
        raise why
    if payout.state is not PayoutState.READY:
        raise Refusal(N_("The payout cannot be booked yet. Nothing has been booked."))
    return post(session, actor, payout_id)


def post(session: Session, actor: Actor, payout_id: int) -> Voucher:
    """Write the voucher of a payout that is ready, mark what it pays and freeze it, in this one transaction.

    Raises Refusal where the books refuse (a closed account, no financial year), BrokenRule when it does not balance.
    """
    payout = settlement_matching.get(session, payout_id, lock=True)
    if payout.state is not PayoutState.READY:
        raise BrokenRule("only a payout that is ready is booked")
    account = session.get_one(KlarnaAccount, payout.account_id)
    day = clock.local_date(payout.payout_date)
    entries = [entry for entry in _entries(session, payout, day) if entry.amount_minor]
    if not entries:
        raise Refusal(N_("There is nothing to book in the payout."))
    made = ledger.post(
        session,
        actor,
        series=SERIES,
        day=day,
        text=f"Återläsning Klarna {payout.payment_reference}",
        source=f"payout:{account.store_id}:{payout.payment_reference}",
        entries=entries,
        payout_id=payout.id,
        currency=payout.currency,
        paid=Paid(day, payout.payment_reference),
    )
    done = session.execute(
        sa.update(Payout)
        .where(Payout.id == payout.id, Payout.state == PayoutState.READY)
        .values(
            state=PayoutState.BOOKED,
            voucher_id=made.id,
            booked_at=clock.now(),
            booked_by=actor.name,
            parked_because=None,
        )
        .execution_options(synchronize_session=False)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    _mark_paid(session, payout, day)
    _release_dormant_vat(session, actor, payout, account, day)
    session.flush()
    session.expire_all()
    audit.write(
        session,
        actor,
        "settlement.booked",
        f"payout:{payout.id}",
        {
            "reference": payout.payment_reference,
            "voucher": ledger.label(made),
            "settlement_minor": payout.settlement_minor,
        },
    )
    return made


# --- The entries ---------------------------------------------------------------------------------------------------------


def _entries(session: Session, payout: Payout, day: date) -> Iterator[Entry]:
    yield Entry(ledger.role(session, "bank", day), payout.settlement_minor, "bankbetalning")
    sums = _sums(session, payout)
    for type_, text in COSTS.items():
        yield Entry(ledger.role(session, "fee", day), -sums.get(type_, (0, 0))[0], text)
    vat = sums.get("TAX", (0, 0))[0] + sum(each for _, each in sums.values())
    yield Entry(ledger.role(session, "input_vat", day), -vat, "moms på kreditförsäljningskostnad")
    for type_, text in WITHHELD.items():
        yield Entry(ledger.role(session, "holdback", day), -sums.get(type_, (0, 0))[0], text)
    movement = payout.closing_debt_minor - payout.opening_debt_minor
    yield Entry(ledger.role(session, "debt", day), -movement, "skuld" if movement > 0 else "avbetalning")
    yield from _claims(session, payout, day)
    yield from _unplaced(session, payout, day)


def _is_claim() -> sa.ColumnElement[bool]:
    return sa.and_(PayoutRow.type.in_(CLAIMS), PayoutRow.detailed_type.not_in(sorted(COMMISSION_RETURNS)))


def _is_unplaced() -> sa.ColumnElement[bool]:
    """A claim without a document, a loan, or a row of a type nobody knows: a person has explained it or will."""
    known = (*CLAIMS, *COSTS, *WITHHELD, "TAX")
    shared = sa.exists().where(RowShare.row_id == RowMatch.row_id)
    return sa.or_(
        sa.and_(_is_claim(), RowMatch.document_id.is_(None), sa.not_(shared)),
        sa.and_(PayoutRow.type.in_(("CHARGE", "CREDIT")), PayoutRow.detailed_type.in_(LOANS)),
        PayoutRow.type.not_in(known),
    )


def _sums(session: Session, payout: Payout) -> dict[str, tuple[int, int]]:
    """Amount and VAT per type of the rows that are neither claims nor unplaced; the VAT of all rows."""
    own = sa.case((sa.or_(_is_claim(), _is_unplaced()), 0), else_=PayoutRow.amount_minor)
    rows = session.execute(
        sa.select(PayoutRow.type, sa.func.sum(own), sa.func.sum(PayoutRow.vat_minor))
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(PayoutRow.payout_id == payout.id)
        .group_by(PayoutRow.type)
    )
    return {type_: (int(amount), int(vat)) for type_, amount, vat in rows}


def _parts(payout: Payout) -> sa.Subquery:
    """What each row of the payout does to a document's claim: whole, or the share of a row that was split."""
    of_payout = (PayoutRow.payout_id == payout.id, _is_claim())
    whole = (
        sa.select(RowMatch.document_id, PayoutRow.type, PayoutRow.amount_minor)
        .join(PayoutRow, PayoutRow.id == RowMatch.row_id)
        .where(*of_payout, RowMatch.document_id.is_not(None))
    )
    shared = (
        sa.select(RowShare.document_id, PayoutRow.type, RowShare.amount_minor)
        .join(PayoutRow, PayoutRow.id == RowShare.row_id)
        .where(*of_payout)
    )
    return sa.union_all(whole, shared).subquery("parts")


def _claims(session: Session, payout: Payout, day: date) -> Iterator[Entry]:
    """What the payout does to each document's claim, on the account the claim stands on."""
    parts = _parts(payout)
    stands_on = (
        sa.select(Posting.document_id, sa.func.max(Posting.account).label("account"))
        .join(Account, sa.and_(Account.number == Posting.account, Account.receivable.is_(True)))
        .group_by(Posting.document_id)
        .where(Posting.document_id.in_(sa.select(parts.c.document_id)))
        .subquery()
    )
    rows = session.execute(
        sa.select(
            parts.c.document_id,
            Document.number_text,
            # As it is kept: a settlement may pay a hundred thousand documents.
            sa.type_coerce(Document.kind, sa.Text),
            stands_on.c.account,
            sa.func.sum(parts.c.amount_minor),
            sa.func.min(parts.c.type),
            sa.func.max(parts.c.type),
        )
        .select_from(parts)
        .join(Document, Document.id == parts.c.document_id)
        .outerjoin(stands_on, stands_on.c.document_id == parts.c.document_id)
        .group_by(parts.c.document_id, Document.number_text, Document.kind, Document.number, stands_on.c.account)
        .order_by(Document.number)
    )
    receivable = ledger.role(session, "receivable", day)
    for document_id, number, kind, account, amount, *types in rows:
        name = "Kreditfaktura" if kind == DocKind.CREDIT_NOTE else "Faktura"
        text = f"{name} {number} {'betald' if _PAID.issuperset(types) else 'återtagen'}"
        yield Entry(account or receivable, -int(amount), text, document_id)


def _unplaced(session: Session, payout: Payout, day: date) -> Iterator[Entry]:
    rows = session.execute(
        sa.select(PayoutRow.row_no, PayoutRow.type, PayoutRow.amount_minor)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(PayoutRow.payout_id == payout.id, _is_unplaced())
        .order_by(PayoutRow.row_no)
    ).all()
    if rows:
        account = ledger.role(session, "unallocated", day)
        for row in rows:
            yield Entry(account, -row.amount_minor, f"{row.type[:40]} rad {row.row_no}")


# --- What follows ----------------------------------------------------------------------------------------------------------


def _documents(payout: Payout, *, taken_back: bool = False) -> sa.Select[Any]:
    """The documents whose claims the payout moves, or those among them of which Klarna has taken something back."""
    parts = _parts(payout)
    query = sa.select(parts.c.document_id)
    return query.where(parts.c.type.not_in(("SALE", "RETURN"))) if taken_back else query


def _mark_paid(session: Session, payout: Payout, day: date) -> None:
    """Give the green tick to documents of which nothing remains, and take it from those Klarna has taken back (K47, K48).

    Most have it from the voucher: it was written with what it left of them.
    """
    marked = sa.and_(Document.paid_at == day, Document.paid_reference == payout.payment_reference)
    # PostgreSQL does not know yet how many documents have just come to zero, and would begin with "the one" of them.
    found_by_id = Document.open_minor + 0
    session.execute(
        sa.update(Document)
        .where(
            Document.id.in_(_documents(payout)), found_by_id == 0, sa.func.coalesce(marked, sa.false()).is_(sa.false())
        )
        .values(paid_at=day, paid_reference=payout.payment_reference)
        .execution_options(synchronize_session=False)
    )
    taken_back = _documents(payout, taken_back=True)
    session.execute(
        sa.update(Document)
        .where(Document.id.in_(taken_back), found_by_id > 0, Document.paid_at.is_not(None))
        .values(paid_at=None, paid_reference=None)
        .execution_options(synchronize_session=False)
    )


def _release_dormant_vat(
    session: Session, actor: Actor, payout: Payout, account: KlarnaAccount, day: date
) -> Voucher | None:
    """E3c: the VAT of an advance falls due the day it is paid; what rests on the dormant accounts moves to the VAT accounts."""
    entries = advance_booking.falls_due(session, _documents(payout), day)
    if not entries:
        return None
    return ledger.post(
        session,
        actor,
        series=SERIES,
        day=day,
        text=f"Moms på förskott betalda i {payout.payment_reference}",
        source=f"payout_advance_vat:{account.store_id}:{payout.payment_reference}",
        entries=entries,
        payout_id=payout.id,
        currency=payout.currency,
    )
