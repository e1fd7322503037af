"""Settlement readings: every row has its partner, every payout adds up, nothing that is booked changes (M8, M9, M16)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from models import ReadingFile, ReadingPart
from services import settings
from services.findings import Check, Finding, accounts_of, broken


def rows_have_partners(session: Session) -> Iterator[Finding]:
    """M8: a booked row has one partner, or a person has handled it, or a break; what was sold is paid in time or a break
    says so; no number stands on two sale or two return rows.
    """
    yield from broken(
        session,
        "SELECT r.id, r.type FROM payout_row r JOIN payout p ON p.id = r.payout_id AND p.state = 'booked'"
        " LEFT JOIN row_match m ON m.row_id = r.id WHERE r.type IN ('SALE','RETURN')"
        " AND (m.row_id IS NULL OR (m.document_id IS NULL AND m.pile <> 'handled'))"
        " AND NOT EXISTS (SELECT 1 FROM klarna_break b WHERE b.row_id = r.id)",
        "row:{0}",
        "{1} is booked without a partner or a break",
    )
    for column, kind in (("capture_reference", "SALE"), ("refund_reference", "RETURN")):
        yield from broken(
            session,
            f"SELECT min(r.id), r.{column}, count(*) FROM payout_row r WHERE r.type = :kind AND r.{column} IS NOT NULL"
            f" AND EXISTS (SELECT 1 FROM document d WHERE d.number_text = r.{column})"
            " AND NOT EXISTS (SELECT 1 FROM klarna_break b LEFT JOIN document d ON d.id = b.document_id"
            f" WHERE b.row_id = r.id OR d.number_text = r.{column}) GROUP BY r.{column} HAVING count(*) > 1",
            "row:{0}",
            f"number {{1}} stands on {{2}} {kind} rows",
            kind=kind,
        )
    wait = timedelta(days=settings.number(session, "unpaid_days"))
    yield from broken(
        session,
        "SELECT d.id, d.number_text, d.issue_date FROM document d JOIN klarna_op k ON k.id = d.issued_by_op_id"
        " WHERE k.klarna_event_at < :before AND NOT EXISTS (SELECT 1 FROM row_match m WHERE m.document_id = d.id)"
        " AND NOT EXISTS (SELECT 1 FROM row_share s WHERE s.document_id = d.id)"
        " AND NOT EXISTS (SELECT 1 FROM row_placing w WHERE w.to_document_id = d.id)"
        " AND NOT EXISTS (SELECT 1 FROM klarna_break b WHERE b.document_id = d.id OR b.op_id = k.id)",
        "document:{0}",
        "{1} of {2} has no settlement row and no break",
        # The nightly look opens the break: what has passed the limit since then is not forgotten.
        before=clock.now() - wait - timedelta(days=1),
    )


def payouts_add_up(session: Session) -> Iterator[Finding]:
    """M9: rows and movement of debt are the stated amount, which is what the voucher puts on the bank."""
    yield from broken(
        session,
        "SELECT p.id, p.settlement_minor, p.closing_debt_minor - p.opening_debt_minor,"
        " coalesce(sum(r.amount_minor + r.vat_minor), 0)"
        " FROM payout p LEFT JOIN payout_row r ON r.payout_id = p.id WHERE p.state = 'booked'"
        " GROUP BY p.id, p.settlement_minor, p.closing_debt_minor, p.opening_debt_minor"
        " HAVING p.settlement_minor <> coalesce(sum(r.amount_minor + r.vat_minor), 0)"
        " + p.closing_debt_minor - p.opening_debt_minor",
        "payout:{0}",
        "states {1} with a movement of debt of {2}, its rows add up to {3}",
    )
    yield from broken(
        session,
        "SELECT p.id, p.settlement_minor, coalesce(sum(x.amount_minor), 0) FROM payout p"
        " LEFT JOIN posting x ON x.voucher_id = p.voucher_id AND x.account IN :bank WHERE p.state = 'booked'"
        " GROUP BY p.id, p.settlement_minor HAVING coalesce(sum(x.amount_minor), 0) <> p.settlement_minor",
        "payout:{0}",
        "states {1}, on the bank account are {2}",
        bank=accounts_of(session, "bank"),
    )
    yield from broken(
        session,
        "SELECT v.id, v.payout_id FROM voucher v JOIN payout p ON p.id = v.payout_id"
        " WHERE v.source LIKE 'payout:%' AND p.voucher_id IS DISTINCT FROM v.id AND v.reverses_id IS NULL"
        " AND p.state <> 'booked'",
        "voucher:{0}",
        "books payout {1}, which does not say so",
    )


_CLAIMS = (
    "r.type IN ('SALE','RETURN','REVERSAL','REVERSAL_MERCHANT_PROTECTION')"
    " AND r.detailed_type NOT IN ('COMMISSION_RETURN','COMMISSION_RETURN_GROSS')"
)
_OFFSETS = (
    'SELECT sum(CASE WHEN o.credit_note_id = d.id THEN o.amount_minor ELSE -o.amount_minor END) FROM "offset" o'
    " WHERE (o.invoice_id = d.id OR o.credit_note_id = d.id)"
    " AND NOT EXISTS (SELECT 1 FROM voucher u WHERE u.reverses_id = o.voucher_id)"
)

_TO_NOBODY = (
    "coalesce((SELECT sum(CASE WHEN w.to_document_id IS NULL THEN w.amount_minor ELSE -w.amount_minor END)"
    " FROM row_placing w WHERE w.row_id = r.id AND (w.to_document_id IS NULL OR w.from_document_id IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM voucher u WHERE u.reverses_id = w.voucher_id)), 0)"
)
"""What of a row that was split has been moved to nobody, and not on or back."""


def links_explain_what_is_settled(session: Session) -> Iterator[Finding]:
    """M18: what remains of a document is its sum less its rows, payments and offsets; parts of a row, with what was moved
    from them to nobody, add up to it."""
    booked = f"FROM payout_row r JOIN payout p ON p.id = r.payout_id AND p.state = 'booked' AND {_CLAIMS}"
    yield from broken(
        session,
        "SELECT id, open_minor, told FROM (SELECT d.id, d.open_minor,"
        " CASE WHEN d.reversed_at IS NOT NULL THEN 0 WHEN d.kind = 'invoice' THEN d.gross_minor ELSE -d.gross_minor END"
        f" - coalesce((SELECT sum(r.amount_minor) {booked} JOIN row_match m ON m.row_id = r.id"
        " WHERE m.document_id = d.id), 0)"
        f" - coalesce((SELECT sum(s.amount_minor) {booked} JOIN row_share s ON s.row_id = r.id"
        " WHERE s.document_id = d.id), 0)"
        " - coalesce((SELECT sum(y.amount_minor) FROM payment y WHERE y.document_id = d.id), 0)"
        " * CASE WHEN d.kind = 'invoice' THEN 1 ELSE -1 END"
        f" + coalesce(({_OFFSETS}), 0) AS told"
        " FROM document d WHERE d.state = 'issued') AS linked WHERE open_minor <> told",
        "document:{0}",
        "says that {1} remains, its rows, payments and offsets leave {2}",
    )
    yield from broken(
        session,
        f"SELECT r.id, r.amount_minor, sum(s.amount_minor) + {_TO_NOBODY} FROM payout_row r"
        " JOIN row_share s ON s.row_id = r.id"
        " JOIN row_match m ON m.row_id = r.id GROUP BY r.id, r.amount_minor, m.document_id, m.pile"
        f" HAVING r.amount_minor <> sum(s.amount_minor) + {_TO_NOBODY} OR m.document_id IS NOT NULL OR m.pile <> 'handled'",
        "row:{0}",
        "is of {1}, and its parts come to {2}",
    )


def readings_stay_as_they_came(session: Session) -> Iterator[Finding]:
    """M16: nothing faulty is booked; handled rows say who, when and why; files and rows are what they were."""
    yield from broken(
        session,
        "SELECT r.id, p.id FROM payout p JOIN payout_row r ON r.payout_id = p.id JOIN row_match m ON m.row_id = r.id"
        " WHERE p.state = 'booked' AND m.pile = 'faulty'",
        "row:{0}",
        "is faulty in booked payout {1}",
    )
    yield from broken(
        session,
        "SELECT row_id FROM row_match WHERE pile = 'handled'"
        " AND (handled_by IS NULL OR handled_at IS NULL OR coalesce(note, '') = '')",
        "row:{0}",
        "was handled without a name, a time or a note",
    )
    yield from broken(
        session,
        "SELECT p.id, p.row_count, count(r.id) FROM payout p LEFT JOIN payout_row r ON r.payout_id = p.id"
        " WHERE p.state <> 'loading' GROUP BY p.id, p.row_count HAVING count(r.id) <> p.row_count",
        "payout:{0}",
        "was read with {1} rows and has {2}",
    )
    for key, digest in session.execute(sa.select(ReadingFile.id, ReadingFile.sha256)).all():
        found = hashlib.sha256()
        parts = sa.select(ReadingPart.content).where(ReadingPart.sha256 == digest).order_by(ReadingPart.part_no)
        for content in session.scalars(parts.execution_options(yield_per=1)):
            found.update(content)
        if found.hexdigest() != digest:
            yield Finding(f"file:{key}", "its bytes are not those that came")


CHECKS: dict[str, Check] = {
    "M8": rows_have_partners,
    "M9": payouts_add_up,
    "M16": readings_stay_as_they_came,
    "M18": links_explain_what_is_settled,
}
