"""Invoices and credit notes: limits per row, frozen content, states and the operations behind them (I1-I12)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import Document
from services.findings import Check, Finding, ask, broken
from states import DOC_MOVES, DocState

_PER_DOCUMENT = (
    "SELECT d.id AS id, d.state AS state, d.issued_by_op_id AS named,"
    " count(CASE WHEN k.state IN ('PREPARED','SENDING','UNKNOWN','REVIEW') THEN 1 END) AS open_ops,"
    " count(CASE WHEN k.state = 'CONFIRMED' OR (k.state = 'EXTERNAL' AND NOT EXISTS (SELECT 1 FROM klarna_break b"
    " WHERE b.op_id = k.id AND b.resolution = 'explain')) THEN 1 END) AS proven,"
    " count(CASE WHEN k.id = d.issued_by_op_id AND k.state IN ('CONFIRMED','EXTERNAL') THEN 1 END) AS named_proven"
    " FROM document d LEFT JOIN klarna_op k ON k.document_id = d.id"
    " GROUP BY d.id, d.state, d.issued_by_op_id"
)


def nothing_is_credited_or_invoiced_twice(session: Session) -> Iterator[Finding]:
    """I1: per invoice row credited ≤ invoiced, per order row invoiced ≤ ordered, pending ones counted."""
    yield from broken(
        session,
        "SELECT o.document_id, o.position, o.quantity_milli, o.gross_minor, sum(l.quantity_milli), sum(l.gross_minor)"
        " FROM document_line o JOIN document_line l ON l.original_line_id = o.id AND l.removed = 0"
        " JOIN document d ON d.id = l.document_id"
        " WHERE d.state IN ('pending','issued') AND d.reversed_at IS NULL"
        " GROUP BY o.id, o.document_id, o.position, o.quantity_milli, o.gross_minor"
        " HAVING sum(l.quantity_milli) > o.quantity_milli"
        " OR (o.gross_minor >= 0 AND sum(l.gross_minor) > o.gross_minor)"
        " OR (o.gross_minor < 0 AND sum(l.gross_minor) < o.gross_minor)",
        "document:{0}",
        "row {1} is of {2} thousandths and {3}, credited are {4} and {5}",
    )
    yield from broken(
        session,
        "SELECT ol.order_id, ol.position, ol.quantity_milli, sum(l.quantity_milli)"
        " FROM sales_order_line ol JOIN document_line l ON l.order_line_id = ol.id AND l.removed = 0"
        " JOIN document d ON d.id = l.document_id"
        " WHERE d.kind = 'invoice' AND d.type IN ('delivery','final') AND d.state IN ('pending','issued')"
        " AND l.kind NOT IN ('advance','advance_deduction')"
        " GROUP BY ol.id, ol.order_id, ol.position, ol.quantity_milli HAVING sum(l.quantity_milli) > ol.quantity_milli",
        "order:{0}",
        "row {1} is of {2} thousandths, invoiced are {3}",
    )


def credit_notes_refer_to_one_invoice(session: Session) -> Iterator[Finding]:
    """I2: to an issued invoice of the same customer and currency, not dated before it; or to none, and then unsent."""
    yield from broken(
        session,
        "SELECT c.id, c.type FROM document c LEFT JOIN document o ON o.id = c.original_id"
        " WHERE c.type = 'credit' AND c.state <> 'draft' AND (o.id IS NULL OR o.kind <> 'invoice' OR o.state <> 'issued'"
        " OR o.customer_id <> c.customer_id OR o.currency <> c.currency OR c.issue_date < o.issue_date)",
        "document:{0}",
        "refers to no issued invoice of its customer and currency, or is dated before it",
    )
    yield from broken(
        session,
        "SELECT d.id FROM document d WHERE d.type = 'free_credit' AND (d.original_id IS NOT NULL"
        " OR EXISTS (SELECT 1 FROM klarna_op k WHERE k.document_id = d.id))",
        "document:{0}",
        "is free-standing and has an original or an operation",
    )


def frozen_content_is_unchanged(session: Session) -> Iterator[Finding]:
    """I3: snapshot and party are what they were when the number was taken; a party may have been blanked."""
    rows = session.execute(
        sa.select(Document.id, Document.snapshot, Document.snapshot_sha256, Document.party, Document.party_sha256)
        .where(Document.number.is_not(None))
        .execution_options(yield_per=500)
    )
    for key, snapshot, snapshot_hash, party, party_hash in rows:
        if hashlib.sha256((snapshot or "").encode()).hexdigest() != snapshot_hash:
            yield Finding(f"document:{key}", "its frozen content has been changed")
        if party and hashlib.sha256(party.encode()).hexdigest() != party_hash:
            yield Finding(f"document:{key}", "its frozen name and address have been changed")


def states_follow_operations(session: Session) -> Iterator[Finding]:
    """I4: issued with Klarna ⇔ one proven operation, named; pending ⇔ one open operation; all others neither."""
    yield from broken(
        session,
        f"SELECT id, state, open_ops, proven, named FROM ({_PER_DOCUMENT}) AS d"
        " WHERE open_ops <> CASE WHEN state = 'pending' THEN 1 ELSE 0 END"
        " OR proven <> CASE WHEN named IS NULL THEN 0 ELSE 1 END"
        " OR named_proven <> CASE WHEN named IS NULL THEN 0 ELSE 1 END"
        " OR (named IS NOT NULL AND state <> 'issued')",
        "document:{0}",
        "is {1} with {2} open and {3} proven operations, issued by {4}",
    )


def numbers_come_whole(session: Session) -> Iterator[Finding]:
    """I6: number, series, text, date, snapshot and party hash are all there or all missing; no number twice."""
    parts = ("series", "number", "number_text", "number_date", "snapshot", "snapshot_sha256", "party_sha256")
    given = " + ".join(f"CASE WHEN {part} IS NULL THEN 0 ELSE 1 END" for part in parts)
    yield from broken(
        session,
        f"SELECT id, {given} FROM document WHERE {given} NOT IN (0, {len(parts)})",
        "document:{0}",
        f"has {{1}} of the {len(parts)} things that come with a number",
    )
    yield from broken(
        session,
        "SELECT min(id), number_text, count(*) FROM document WHERE number_text IS NOT NULL"
        " GROUP BY number_text HAVING count(*) > 1",
        "document:{0}",
        "number {1} stands on {2} documents",
    )


def document_moves_are_listed(session: Session) -> Iterator[Finding]:
    """I7: the state is where the last event led; only listed moves; void came from refused or from an unsent withdrawal."""
    yield from broken(
        session,
        "SELECT d.id, d.state, e.to_state FROM document d LEFT JOIN document_event e ON e.document_id = d.id"
        " AND e.seq = (SELECT max(x.seq) FROM document_event x WHERE x.document_id = d.id)"
        " WHERE (d.state <> 'draft' OR e.id IS NOT NULL) AND e.to_state IS DISTINCT FROM d.state",
        "document:{0}",
        "is {1}, its last event says {2}",
    )
    rows = ask(
        session,
        "SELECT document_id, from_state, to_state, count(*) FROM document_event"
        " WHERE from_state IS NULL OR from_state <> to_state GROUP BY document_id, from_state, to_state",
    )
    begins = {DocState.DRAFT, DocState.PENDING, DocState.ISSUED}
    for key, old, new, _ in rows:
        allowed = begins if old is None else DOC_MOVES[DocState(old)]
        if new not in allowed:
            yield Finding(f"document:{key}", f"went from {old} to {new}")
    yield from broken(
        session,
        "SELECT document_id, seq, before, from_state FROM (SELECT document_id, seq, from_state,"
        " lag(to_state) OVER (PARTITION BY document_id ORDER BY seq) AS before FROM document_event) AS e"
        " WHERE before IS NOT NULL AND from_state IS DISTINCT FROM before",
        "document:{0}",
        "event {1} begins in {3}, the one before it ended in {2}",
    )
    yield from broken(
        session,
        "SELECT id FROM document WHERE state = 'void'"
        " AND (void_by IS NULL OR void_at IS NULL OR coalesce(void_reason, '') = '')",
        "document:{0}",
        "is void without who, when or why",
    )
    yield from broken(
        session,
        "SELECT e.document_id FROM document_event e WHERE e.from_state = 'pending' AND e.to_state = 'void'"
        " AND EXISTS (SELECT 1 FROM klarna_op k JOIN klarna_attempt t ON t.op_id = k.id"
        " LEFT JOIN klarna_answer a ON a.attempt_id = t.id WHERE k.id = e.op_id"
        " AND (a.id IS NULL OR (a.first_byte_at IS NOT NULL AND coalesce(a.http_status, 0) NOT IN (401, 429))))"
        " AND NOT EXISTS (SELECT 1 FROM klarna_op k"
        " WHERE k.id = e.op_id AND k.origin = 'restore')",
        "document:{0}",
        "was withdrawn although something may have been sent",
    )


def refusals_have_their_cause(session: Session) -> Iterator[Finding]:
    """I8: refused by Klarna ⇒ a REJECTED operation with a code; else NOT_EXECUTED; nothing pending on the same rows."""
    yield from broken(
        session,
        "SELECT d.id, d.refusal_kind, k.state FROM document d LEFT JOIN klarna_op k ON k.document_id = d.id"
        " AND k.try_no = (SELECT max(x.try_no) FROM klarna_op x WHERE x.document_id = d.id)"
        " WHERE d.state = 'refused' AND (d.refusal_kind IS NULL OR k.id IS NULL"
        " OR k.state <> CASE WHEN d.refusal_kind = 'klarna' THEN 'REJECTED' ELSE 'NOT_EXECUTED' END)",
        "document:{0}",
        "is refused ({1}), its last operation is {2}",
    )
    yield from broken(
        session,
        "SELECT d.id FROM document d WHERE d.state = 'refused' AND d.refusal_kind = 'klarna' AND NOT EXISTS ("
        " SELECT 1 FROM klarna_op k JOIN klarna_attempt t ON t.op_id = k.id JOIN klarna_answer a ON a.attempt_id = t.id"
        " WHERE k.document_id = d.id AND k.state = 'REJECTED' AND a.error_code IS NOT NULL)",
        "document:{0}",
        "is refused by Klarna and holds no answer with a code",
    )
    yield from broken(
        session,
        "SELECT DISTINCT r.id, p.id FROM document r JOIN document_line rl ON rl.document_id = r.id AND rl.removed = 0"
        " JOIN document_line pl ON pl.removed = 0 AND (pl.order_line_id = rl.order_line_id"
        " OR pl.original_line_id = rl.original_line_id) JOIN document p ON p.id = pl.document_id"
        " WHERE r.state = 'refused' AND p.state = 'pending' AND p.id <> r.id AND p.kind = r.kind",
        "document:{0}",
        "awaits a decision while {1} is pending on the same rows",
    )


def unsent_documents_say_why(session: Session) -> Iterator[Finding]:
    """I9: issued without Klarna ⇒ the reason is stored; an order paid with Klarna is not called an ordinary one."""
    yield from broken(
        session,
        "SELECT d.id FROM document d WHERE d.state = 'issued' AND d.issued_by_op_id IS NULL"
        " AND d.without_klarna_reason IS NULL",
        "document:{0}",
        "was issued without Klarna and without a reason",
    )
    yield from broken(
        session,
        "SELECT d.id FROM document d JOIN sales_order o ON o.id = d.order_id"
        " JOIN payment_method m ON m.id = o.payment_method_id WHERE d.state = 'issued' AND o.klarna_order_id IS NOT NULL"
        " AND m.kind = 'klarna' AND d.without_klarna_reason = 'ordinary' AND d.issued_by_op_id IS NULL",
        "document:{0}",
        "of an order paid with Klarna was issued as an ordinary one",
    )


def documents_agree_with_operations(session: Session) -> Iterator[Finding]:
    """I10: amount and number are the operation's; row references are unique per Klarna order and repeated by refunds."""
    yield from broken(
        session,
        "SELECT d.id, d.gross_minor, k.amount_minor, d.number_text, k.reference FROM document d"
        " JOIN klarna_op k ON k.document_id = d.id AND k.kind IN ('CAPTURE','REFUND')"
        " AND k.state IN ('PREPARED','SENDING','UNKNOWN','REVIEW','CONFIRMED')"
        " WHERE k.amount_minor IS DISTINCT FROM d.gross_minor OR k.reference IS DISTINCT FROM d.number_text"
        " OR k.currency IS DISTINCT FROM d.currency"
        " OR k.kind <> CASE WHEN d.kind = 'invoice' THEN 'CAPTURE' ELSE 'REFUND' END",
        "document:{0}",
        "{3} of {1} stands at Klarna as {4} of {2}",
    )
    yield from broken(
        session,
        "SELECT d.order_id, l.klarna_reference, count(*) FROM document d JOIN document_line l ON l.document_id = d.id"
        " WHERE d.kind = 'invoice' AND d.with_klarna = 1 AND d.state IN ('pending','issued') AND l.removed = 0"
        " AND l.klarna_reference IS NOT NULL AND NOT EXISTS (SELECT 1 FROM klarna_op k WHERE k.id = d.issued_by_op_id"
        " AND k.state = 'EXTERNAL') GROUP BY d.order_id, l.klarna_reference HAVING count(*) > 1",
        "order:{0}",
        "reference {1} stands on {2} captured rows",
    )
    yield from broken(
        session,
        "SELECT c.id, l.position, l.klarna_reference, o.klarna_reference FROM document c"
        " JOIN klarna_op k ON k.id = c.issued_by_op_id AND k.state = 'CONFIRMED'"
        " JOIN document_line l ON l.document_id = c.id AND l.removed = 0"
        " JOIN document_line o ON o.id = l.original_line_id"
        " WHERE c.kind = 'credit_note' AND o.klarna_reference IS NOT NULL"
        " AND l.klarna_reference IS DISTINCT FROM o.klarna_reference",
        "document:{0}",
        "row {1} refers to {2}, captured as {3}",
    )
    yield from broken(
        session,
        "SELECT c.id, l.position, l.klarna_reference FROM document c"
        " JOIN klarna_op k ON k.id = c.issued_by_op_id AND k.state = 'CONFIRMED'"
        " JOIN document_line l ON l.document_id = c.id AND l.removed = 0 AND l.original_line_id IS NULL"
        " JOIN document i ON i.order_id = k.order_id AND i.kind = 'invoice' AND i.state = 'issued'"
        " JOIN document_line o ON o.document_id = i.id AND o.klarna_reference = l.klarna_reference"
        " WHERE c.kind = 'credit_note'",
        "document:{0}",
        "new row {1} has reference {2} of a captured row",
    )


def reversals_undo_all(session: Session) -> Iterator[Finding]:
    """I11: reversed ⇒ a credit note without Klarna, unpaid, not offset, reversed in the books and in stock."""
    yield from broken(
        session,
        "SELECT d.id FROM document d WHERE d.reversed_at IS NOT NULL AND (d.kind <> 'credit_note' OR d.state <> 'issued'"
        " OR d.issued_by_op_id IS NOT NULL OR d.paid_at IS NOT NULL OR d.reversed_by IS NULL OR d.reversed_reason IS NULL"
        ' OR EXISTS (SELECT 1 FROM "offset" o WHERE o.credit_note_id = d.id'
        " AND NOT EXISTS (SELECT 1 FROM voucher u WHERE u.reverses_id = o.voucher_id)))",
        "document:{0}",
        "is reversed, and is paid, offset or at Klarna",
    )
    yield from broken(
        session,
        "SELECT d.id, l.position, sum(m.quantity_milli) FROM document d JOIN document_line l ON l.document_id = d.id"
        " JOIN stock_movement m ON m.document_line_id = l.id WHERE d.reversed_at IS NOT NULL"
        " GROUP BY d.id, l.position HAVING sum(m.quantity_milli) <> 0",
        "document:{0}",
        "is reversed, and row {1} left {2} thousandths in stock",
    )


def dates_agree(session: Session) -> Iterator[Finding]:
    """I12: issued not before numbered; the voucher has the issue date, or an open day after it and says so."""
    yield from broken(
        session,
        "SELECT id, number_date, issue_date FROM document WHERE issue_date < number_date"
        " OR (state = 'issued') <> (issue_date IS NOT NULL)",
        "document:{0}",
        "numbered {1}, issued {2}",
    )
    rows = ask(
        session,
        "SELECT d.id, d.issue_date, v.day, v.text FROM document d"
        " JOIN voucher v ON v.document_id = d.id AND v.series = 'F' AND v.reverses_id IS NULL"
        " WHERE d.state = 'issued' AND v.day <> d.issue_date",
    )
    for key, issued, booked, text in rows:
        if str(booked) < str(issued) or str(issued) not in text:
            yield Finding(f"document:{key}", f"issued {issued}, booked {booked}")


CHECKS: dict[str, Check] = {
    "I1": nothing_is_credited_or_invoiced_twice,
    "I2": credit_notes_refer_to_one_invoice,
    "I3": frozen_content_is_unchanged,
    "I4": states_follow_operations,
    "I6": numbers_come_whole,
    "I7": document_moves_are_listed,
    "I8": refusals_have_their_cause,
    "I9": unsent_documents_say_why,
    "I10": documents_agree_with_operations,
    "I11": reversals_undo_all,
    "I12": dates_agree,
}
