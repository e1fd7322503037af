"""Which document each settlement row belongs to, in set-based SQL, and the pile it stands in (B4).

The order of proof: our number, then Klarna's capture or refund id, then order, amount and type; one to one, and never by
amount alone. A row with our number proves an operation that is still open, and contradicts one that was decided
otherwise. Amounts are minor units, signed by their effect on the payout. Source: operations 8 and 14.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, NotFound, Refusal, Stale
from models import Document, KlarnaBreak, KlarnaOp, Payout, PayoutRow, RowMatch
from money import Amount
from rights import Actor
from services import audit, currencies, operations, settings, settlement_unknown
from services.reservations import FOLLOW
from services.settlement_layouts import COMMISSION_RETURNS, Row
from services.settlement_report import read_fault, read_fields
from services.settlement_sentences import Why, keep
from services.settlement_sql import (
    BLOCKING,
    BY_NUMBER,
    FAULTS,
    FAULTY,
    KEPT_WITHOUT_KLARNA,
    LOANS,
    PLACED,
    PROVES,
    REST,
    STEPS,
    UNMATCHED_TYPES,
    VAT_FROM_ABROAD,
    WARNINGS,
)
from states import (
    OPEN_OPS,
    PAYOUT_MOVES,
    BreakKind,
    BreakState,
    OpKind,
    PayoutState,
    Pile,
    check_move,
)

_CONTRADICTIONS = frozenset({Why.CONTRADICTS, Why.TWICE, Why.NOT_ISSUED})


@lru_cache(maxsize=256)
def _prepared(sql: str, field: str, *, sqlite: bool) -> tuple[sa.TextClause, frozenset[str]]:
    """A statement as this database and this company's ``match_field`` have it, and the values that it names."""
    apart = (
        "abs(julianday(substr(r.happened_at, 1, 10)) - julianday(d.issue_date))"
        if sqlite
        else "abs(CAST(r.happened_at AS date) - d.issue_date)"
    )
    sql = sql.replace("{field}", field).replace("{apart}", apart)
    text = sa.text(sql.replace("strpos", "instr") if sqlite else sql)
    if ":loans" in sql:
        text = text.bindparams(sa.bindparam("loans", expanding=True))
    return text, frozenset(name for name in ("payout", "account", "currency", "loans") if f":{name}" in sql)


def settle(session: Session, actor: Actor, payout_id: int) -> PayoutState:
    """Match every row of a loaded payout that has no place yet, and say whether it can be booked. Run again it changes
    nothing. Raises Stale when the payout has been booked meanwhile."""
    payout = get(session, payout_id, lock=True)
    if payout.state is PayoutState.BOOKED:
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    session.flush()
    _prove_open_operations(session, actor, payout)
    sqlite = session.get_bind().dialect.name == "sqlite"
    field = settings.value(session, "match_field")
    values = {"payout": payout.id, "account": payout.account_id, "currency": payout.currency, "loans": LOANS}

    def ask(sql: str) -> None:
        text, named = _prepared(sql, field, sqlite=sqlite)
        session.connection().execute(text, {name: values[name] for name in named})

    ask(BY_NUMBER)
    left = set(session.connection().scalars(UNMATCHED_TYPES, {"payout": payout.id}))
    for sql, types in STEPS:
        if types & left:
            ask(sql)
    if left - PLACED:
        ask(REST)
    ask(FAULTS)
    ask(WARNINGS)
    faulty = set(session.connection().scalars(FAULTY, {"payout": payout.id}))
    if faulty & _CONTRADICTIONS:
        _note_contradictions(session, actor, payout)
    _note_kept_without_klarna(session, actor, payout)
    if Why.NONE in faulty:
        settlement_unknown.record(session, actor, payout)
    return restate(session, payout)


def get(session: Session, payout_id: int, *, lock: bool = False) -> Payout:
    """A payout. Raises NotFound."""
    query = sa.select(Payout).where(Payout.id == payout_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(query)
    if found is None:
        raise NotFound
    return found


def _pairs(session: Session, sql: sa.TextClause, payout: Payout) -> Iterator[tuple[PayoutRow, Document]]:
    """Rows of a payout whose number is one of our documents of the same account, with the document."""
    session.flush()
    found = session.connection().execute(sql, {"payout": payout.id, "account": payout.account_id}).all()
    for row_id, document_id in found:
        yield session.get_one(PayoutRow, row_id), session.get_one(Document, document_id)


def _prove_open_operations(session: Session, actor: Actor, payout: Payout) -> None:
    """A row with our number proves the operation that is still open: its document is issued by it (operations 8)."""
    for row, document in _pairs(session, PROVES, payout):
        op = operations.open_of_document(session, document.id)
        if op is None or op.account_id != payout.account_id:
            continue
        op = operations.lock(session, op.id)
        sold = row.type == "SALE"
        object_id = row.capture_id if sold else row.refund_id
        if row.fault is not None or (row.amount_minor > 0) != sold:
            continue
        if op.state not in OPEN_OPS or op.amount_minor != abs(row.amount_minor) or op.currency != payout.currency:
            continue
        if object_id is not None and _is_known(session, op, object_id):
            continue
        operations.confirm(
            session,
            op,
            actor,
            FOLLOW,
            row.happened_at or payout.payout_date,
            ("settlement_row", str(row.id), f"payout {payout.payment_reference} row {row.row_no}"),
            object_id,
            row.short_order_id if "-" in (row.short_order_id or "") else None,
        )


def _is_known(session: Session, op: KlarnaOp, object_id: str) -> bool:
    """Whether another operation already stands for this capture or refund."""
    query = sa.select(KlarnaOp.id).where(
        KlarnaOp.account_id == op.account_id,
        KlarnaOp.kind == op.kind,
        KlarnaOp.klarna_object_id == object_id,
        KlarnaOp.id != op.id,
    )
    return session.scalar(query.limit(1)) is not None


def _note_contradictions(session: Session, actor: Actor, payout: Payout) -> None:
    """Open a break for each row that shows what was decided not to have happened, and for a number that stands twice."""
    rows = session.execute(
        sa.select(PayoutRow, RowMatch.because)
        .join(RowMatch, RowMatch.row_id == PayoutRow.id)
        .where(
            PayoutRow.payout_id == payout.id,
            RowMatch.because.in_(sorted(_CONTRADICTIONS)),
            RowMatch.pile == Pile.FAULTY,
        )
    ).all()
    for row, because in rows:
        number = row.capture_reference if row.type == "SALE" else row.refund_reference
        document = session.scalars(sa.select(Document).where(Document.number_text == number)).one()
        kind = BreakKind.DUPLICATE_NUMBER if because == Why.TWICE else BreakKind.ROW_CONTRADICTS_DECISION
        _open_break(session, actor, payout, row, document, kind)


def _note_kept_without_klarna(session: Session, actor: Actor, payout: Payout) -> None:
    """A row with the number of a document that was issued without Klarna after a refusal: it did happen after all."""
    for row, document in _pairs(session, KEPT_WITHOUT_KLARNA, payout):
        _open_break(session, actor, payout, row, document, BreakKind.ROW_CONTRADICTS_DECISION)


def _open_break(
    session: Session, actor: Actor, payout: Payout, row: PayoutRow, document: Document, kind: BreakKind
) -> None:
    same = sa.select(KlarnaBreak.id).where(KlarnaBreak.row_id == row.id, KlarnaBreak.kind == kind)
    if session.scalar(same.limit(1)) is not None:
        return
    op_kind = OpKind.CAPTURE if row.type == "SALE" else OpKind.REFUND
    last = sa.select(KlarnaOp.id).where(KlarnaOp.document_id == document.id, KlarnaOp.kind == op_kind)
    session.add(
        KlarnaBreak(
            kind=kind,
            account_id=payout.account_id,
            order_id=document.order_id,
            op_id=session.scalar(last.order_by(KlarnaOp.try_no.desc()).limit(1)),
            document_id=document.id,
            payout_id=payout.id,
            row_id=row.id,
            expected=str(document.state),
            found=(row.capture_id if row.type == "SALE" else row.refund_id) or "",
            difference_minor=abs(row.amount_minor),
            currency=payout.currency,
            opened_at=clock.now(),
            found_by="settlement",
            owner="finance",
            state=BreakState.OPEN,
        )
    )
    session.flush()
    audit.write(session, actor, "settlement.break", f"payout:{payout.id}", {"kind": kind, "row": row.row_no})


# --- What keeps a payout from being booked ----------------------------------------------------------------------------------


def blocking(session: Session, payout_id: int) -> tuple[int, int]:
    """How many rows of a payout are faulty, and how many of the rest are in another currency than their document."""
    session.flush()
    row = session.connection().execute(BLOCKING, {"payout": payout_id}).one()
    return int(row[0]), int(row[1])


def why_not_booked(session: Session, payout: Payout) -> Refusal | None:
    """Why a payout cannot be booked yet, or ever; None when every row is explained."""
    foreign_payout = currencies.why_not_settled(payout.currency)
    if foreign_payout is not None:
        return foreign_payout
    faulty, foreign = blocking(session, payout.id)
    if faulty:
        return Refusal(
            N_("Faulty rows: %(count)s. Settle them before the payout is booked. Nothing has been booked."),
            count=faulty,
        )
    if foreign:
        return Refusal(
            N_(
                "%(count)s rows are in another currency than their document. Settle them before the payout is booked. "
                "Nothing has been booked."
            ),
            count=foreign,
        )
    stated = int(session.connection().execute(VAT_FROM_ABROAD, {"payout": payout.id}).scalar_one())
    if stated:
        return Refusal(
            N_(
                "The report states VAT on fees, %(vat)s, but the fees of this Klarna account come from abroad and bear none. "
                "Correct the Klarna account in the settings. Nothing has been booked."
            ),
            vat=Amount(-stated, "SEK"),
        )
    return None


def restate_all(session: Session, account_id: int) -> None:
    """Let the payouts of an account that are not booked follow what the account says now."""
    waiting = sa.select(Payout.id).where(
        Payout.account_id == account_id, Payout.state.in_((PayoutState.READY, PayoutState.PARKED))
    )
    for payout_id in session.scalars(waiting.order_by(Payout.id)).all():
        payout = get(session, payout_id, lock=True)
        if payout.state is not PayoutState.BOOKED:
            restate(session, payout)


def restate(session: Session, payout: Payout) -> PayoutState:
    """Let the payout's state follow its rows: ready when nothing stands in the way, else parked with the reason."""
    session.flush()
    why = why_not_booked(session, payout)
    new = PayoutState.READY if why is None else PayoutState.PARKED
    old = payout.state
    if new is not old:
        check_move(PAYOUT_MOVES, old, new)
    done = session.execute(
        sa.update(Payout)
        .where(Payout.id == payout.id, Payout.state == old)
        .values(state=new, parked_because=keep(why) if why else None)
        .execution_options(synchronize_session=False)
    )
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Stale(N_("Somebody was faster: this has just changed. Nothing more has been done."))
    session.refresh(payout)
    return new


# --- Rows as reports give them -----------------------------------------------------------------------------------------------


def fields_of(payout: Payout) -> frozenset[str]:
    """The fields that the report of a kept payout had."""
    return read_fields(payout.totals)


def as_reported(payout: Payout, row: PayoutRow) -> Row:
    """A kept row as a report gives it."""
    fault, written, currency = read_fault(row.fault, row.amount_minor, payout.currency)
    return Row(
        payout.payment_reference,
        row.row_no,
        row.type,
        row.detailed_type or None,
        written,
        abs(row.vat_minor),
        row.vat_rate,
        row.klarna_order_id,
        row.short_order_id,
        row.capture_id,
        row.refund_id,
        row.merchant_reference1,
        row.merchant_reference2,
        row.capture_reference,
        row.refund_reference,
        row.happened_at,
        None,
        currency,
        fault,
    )


def rows_text(rows: Sequence[Row], currency: str) -> str:
    """Rows as a break keeps them side by side, as JSON."""
    return json.dumps(
        [
            {
                "type": row.type,
                "detailed_type": row.detailed_type,
                "amount_minor": row.signed_minor,
                "vat_minor": row.signed_vat_minor,
                "currency": row.currency or currency,
                "reference": row.merchant_capture_reference or row.merchant_refund_reference,
                "order": row.short_order_id or row.order_id,
            }
            for row in rows
        ],
        ensure_ascii=False,
    )


def is_commission_return(row: PayoutRow) -> bool:
    """Whether a reversal takes back a commission, and not a sale."""
    return row.type == "REVERSAL" and row.detailed_type in COMMISSION_RETURNS
