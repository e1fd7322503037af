"""One payout, one voucher: bank, fees, VAT as stated, what is withheld, debt, and each document's claim (E7-E10, E13).

Amounts are minor units, debit positive; a row's ``amount_minor`` has the sign of its effect on the payout. Everything is
summed by the database. Source: operations 14; B33; accounting reference 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BrokenRule, Refusal, Stale
from models import KlarnaAccount, Payout, Voucher
from rights import Actor, Right
from services import advance_booking, audit, ledger, settlement_changes, settlement_matching, settlement_rows
from services.ledger import Entry, Paid
from services.settlement_booking_sql import ADVANCES, COSTS, MOVED, NOT_PLACED, SUMS, TICK, UNPLACED, UNTICK, WITHHELD
from states import DocKind, FeesFrom, PayoutState

SERIES = "I"
REVERSE_RATE = 2500
"""What services bear that are bought from abroad, hundredths of a percent (E13c; mervärdesskattelagen 9 kap. 2 §)."""
_PAID = {"SALE", "RETURN"}


def book(session: Session, actor: Actor, payout_id: int) -> Voucher:
    """«Bokför»: book a payout in which every row is explained. Raises NotAllowed, Refusal with nothing booked (B5)."""
    actor.require(Right.BOOKS)
    payout = settlement_matching.get(session, payout_id, lock=True)
    if payout.state is PayoutState.BOOKED:
        raise Refusal(N_("The payout is booked already."))
    why = settlement_matching.why_not_booked(session, payout) if payout.row_count else None
    if why is not None:
        raise why
    changed = settlement_changes.why_not_booked(settlement_rows.open_breaks(session, payout_id))
    if changed is not None:
        raise changed
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
    entries = [entry for entry in _entries(session, payout, account.fees_from, day) if entry.amount_minor]
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
            fees_from=account.fees_from,
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


def _entries(session: Session, payout: Payout, fees_from: FeesFrom, day: date) -> Iterator[Entry]:
    yield Entry(ledger.role(session, "bank", day), payout.settlement_minor, "bankbetalning")
    sums = _sums(session, payout)
    rate = None if fees_from is FeesFrom.SWEDEN else REVERSE_RATE
    for type_, text in COSTS.items():
        yield Entry(ledger.role(session, "fee", day), -sums.get(type_, (0, 0))[0], text, vat_rate=rate)
    vat = sums.get("TAX", (0, 0))[0] + sum(each for _, each in sums.values())
    yield Entry(ledger.role(session, "input_vat", day), -vat, "moms på kreditförsäljningskostnad")
    if rate is not None:
        if vat:
            raise BrokenRule("fees from abroad bear no VAT of their own")
        due = money.divide(-sum(sums.get(type_, (0, 0))[0] for type_ in COSTS) * rate, 10_000)
        yield Entry(ledger.role(session, "reverse_input", day), due, "beräknad ingående moms på avgift från utlandet")
        yield Entry(ledger.role(session, "reverse_output", day), -due, "utgående moms, omvänd betalningsskyldighet")
    for type_, text in WITHHELD.items():
        yield Entry(ledger.role(session, "holdback", day), -sums.get(type_, (0, 0))[0], text)
    movement = payout.closing_debt_minor - payout.opening_debt_minor
    yield Entry(ledger.role(session, "debt", day), -movement, "skuld" if movement > 0 else "avbetalning")
    yield from _claims(session, payout, day)
    yield from _unplaced(session, payout, day)


def _sums(session: Session, payout: Payout) -> dict[str, tuple[int, int]]:
    """Amount and VAT per type of the rows that are neither claims nor unplaced; the VAT of all rows."""
    rows = session.connection().execute(SUMS, {"payout": payout.id})
    return {type_: (int(amount), int(vat)) for type_, amount, vat in rows}


def _claims(session: Session, payout: Payout, day: date) -> Iterator[Entry]:
    """What the payout does to each document's claim, on the account the claim stands on."""
    receivable = ledger.role(session, "receivable", day)
    rows = session.connection().execute(MOVED, {"payout": payout.id}).yield_per(1_000)
    for document_id, number, kind, account, amount, *types in rows:
        name = "Kreditfaktura" if kind == DocKind.CREDIT_NOTE else "Faktura"
        text = f"{name} {number} {'betald' if _PAID.issuperset(types) else 'återtagen'}"
        yield Entry(account or receivable, -int(amount), text, document_id)


def _unplaced(session: Session, payout: Payout, day: date) -> Iterator[Entry]:
    for row_no, type_, amount in session.connection().execute(UNPLACED, {"payout": payout.id}).all():
        yield Entry(
            ledger.role(session, "unallocated", day), -amount, f"{NOT_PLACED.get(type_, type_[:40])} rad {row_no}"
        )


# --- What follows ----------------------------------------------------------------------------------------------------------


def _mark_paid(session: Session, payout: Payout, day: date) -> None:
    """Give the green tick to documents of which nothing remains, and take it from those Klarna has taken back (K47, K48).

    Most have it from the voucher: it was written with what it left of them.
    """
    connection = session.connection()
    connection.execute(TICK, {"payout": payout.id, "day": day, "reference": payout.payment_reference})
    connection.execute(UNTICK, {"payout": payout.id})


def _release_dormant_vat(
    session: Session, actor: Actor, payout: Payout, account: KlarnaAccount, day: date
) -> Voucher | None:
    """E3c: the VAT of an advance falls due the day it is paid; what rests on the dormant accounts moves to the VAT accounts."""
    advances = session.connection().scalars(ADVANCES, {"payout": payout.id}).all()
    entries = advance_booking.falls_due(session, advances, day) if advances else []
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
