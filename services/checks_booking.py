"""What is booked: documents, open items, accounts, offsets, payouts and advances agree (A3, A4, A9, A11-A15)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from services.findings import Check, Finding, accounts_of, broken


def issued_documents_are_booked_once(session: Session) -> Iterator[Finding]:
    """A3: issued: one voucher; reversed: that and its negation; all others: none. Claim and VAT agree with the rows."""
    yield from broken(
        session,
        "SELECT d.id, d.state, count(v.id), count(r.id) FROM document d"
        " LEFT JOIN voucher v ON v.document_id = d.id AND v.series = 'F' AND v.reverses_id IS NULL"
        " LEFT JOIN voucher r ON r.reverses_id = v.id"
        " GROUP BY d.id, d.state, d.reversed_at"
        " HAVING count(v.id) <> CASE WHEN d.state = 'issued' AND EXISTS (SELECT 1 FROM document_line l"
        " WHERE l.document_id = d.id AND l.removed = 0 AND l.gross_minor <> 0) THEN 1 ELSE 0 END"
        " OR count(r.id) <> CASE WHEN d.reversed_at IS NOT NULL THEN 1 ELSE 0 END",
        "document:{0}",
        "is {1} and has {2} vouchers, {3} of them reversed",
    )
    yield from broken(
        session,
        "SELECT id, series, number FROM voucher WHERE series = 'F' AND document_id IS NULL",
        "voucher:{0}",
        "{1}{2} has no document",
    )
    yield from broken(
        session,
        "SELECT d.id, d.gross_minor, coalesce(sum(p.amount_minor), 0) FROM document d"
        " JOIN voucher v ON v.document_id = d.id AND v.series = 'F' AND v.reverses_id IS NULL"
        " LEFT JOIN (posting p JOIN account a ON a.number = p.account AND a.receivable = 1)"
        " ON p.voucher_id = v.id AND p.document_id = d.id"
        " WHERE d.state = 'issued' GROUP BY d.id, d.gross_minor, d.kind"
        " HAVING coalesce(sum(p.amount_minor), 0)"
        " <> CASE WHEN d.kind = 'invoice' THEN d.gross_minor ELSE -d.gross_minor END",
        "document:{0}",
        "is of {1} and was booked as a claim of {2}",
    )
    yield from broken(
        session,
        "SELECT id, rate, sum(booked), sum(rows_say) FROM ("
        " SELECT d.id AS id, a.vat_rate AS rate, p.amount_minor AS booked, 0 AS rows_say FROM document d"
        " JOIN voucher v ON v.document_id = d.id AND v.series = 'F' AND v.reverses_id IS NULL"
        " JOIN posting p ON p.voucher_id = v.id JOIN account a ON a.number = p.account"
        " WHERE d.state = 'issued' AND a.kind = 'S' AND a.vat_rate IS NOT NULL"
        " UNION ALL SELECT d.id, l.vat_rate, 0, CASE WHEN d.kind = 'invoice' THEN -l.vat_minor ELSE l.vat_minor END"
        " FROM document d JOIN document_line l ON l.document_id = d.id"
        " WHERE d.state = 'issued' AND l.removed = 0 AND l.vat_rate <> 0"
        ") AS vat GROUP BY id, rate HAVING sum(booked) <> sum(rows_say)",
        "document:{0}",
        "VAT at rate {1} was booked as {2}, the rows say {3}",
    )


def rows_add_up(session: Session) -> Iterator[Finding]:
    """A4: rows add up to gross and VAT; VAT per rate lies within the rounding rule; nothing sent to Klarna is rounded."""
    yield from broken(
        session,
        "SELECT d.id, d.gross_minor, d.vat_minor, coalesce(sum(l.gross_minor), 0), coalesce(sum(l.vat_minor), 0)"
        " FROM document d LEFT JOIN document_line l ON l.document_id = d.id AND l.removed = 0"
        " WHERE d.number IS NOT NULL GROUP BY d.id, d.gross_minor, d.vat_minor"
        " HAVING d.gross_minor IS DISTINCT FROM coalesce(sum(l.gross_minor), 0)"
        " OR d.vat_minor IS DISTINCT FROM coalesce(sum(l.vat_minor), 0)",
        "document:{0}",
        "gross {1} and VAT {2}, the rows add up to {3} and {4}",
    )
    yield from broken(
        session,
        "SELECT d.id, l.vat_rate, sum(l.gross_minor), sum(l.vat_minor)"
        " FROM document d JOIN document_line l ON l.document_id = d.id AND l.removed = 0"
        " WHERE d.number IS NOT NULL GROUP BY d.id, l.vat_rate"
        " HAVING abs(sum(l.vat_minor) * (10000 + l.vat_rate) - sum(l.gross_minor) * l.vat_rate)"
        " > (count(*) + 1) * (10000 + l.vat_rate)",
        "document:{0}",
        "VAT at rate {1} of gross {2} is {3}",
    )
    yield from broken(
        session,
        "SELECT d.id, p.amount_minor FROM document d"
        " JOIN voucher v ON v.document_id = d.id AND v.series = 'F' JOIN posting p ON p.voucher_id = v.id"
        " WHERE d.issued_by_op_id IS NOT NULL AND p.account IN :rounding",
        "document:{0}",
        "is at Klarna and was rounded by {1}",
        rounding=accounts_of(session, "rounding"),
    )
    yield from broken(
        session,
        "SELECT d.id, d.gross_minor, l.gross_minor FROM document d JOIN document_line l ON l.document_id = d.id"
        " WHERE l.kind = 'rounding' AND l.removed = 0 AND d.number IS NOT NULL AND (d.with_klarna = 1 OR l.vat_minor <> 0"
        " OR abs(l.gross_minor) > 50 OR (d.kind = 'invoice' AND d.gross_minor % 100 <> 0))",
        "document:{0}",
        "of {1} has a rounding of {2} that does not round it",
    )


def open_items_equal_the_receivable(session: Session) -> Iterator[Finding]:
    """A9: what remains of each document is what its postings on receivable accounts add up to, and so in total."""
    yield from broken(
        session,
        "SELECT d.id, d.open_minor, coalesce(sum(p.amount_minor), 0) FROM document d"
        " LEFT JOIN (posting p JOIN account a ON a.number = p.account AND a.receivable = 1) ON p.document_id = d.id"
        " GROUP BY d.id, d.open_minor HAVING d.open_minor <> coalesce(sum(p.amount_minor), 0)",
        "document:{0}",
        "says that {1} remains, its postings add up to {2}",
    )
    yield from broken(
        session,
        "SELECT p.voucher_id, p.account, p.amount_minor FROM posting p"
        " JOIN account a ON a.number = p.account AND a.receivable = 1 WHERE p.document_id IS NULL",
        "voucher:{0}",
        "books {2} on {1} without a document",
    )


def accounts_fit(session: Session) -> Iterator[Finding]:
    """A11: accounts used exist and were open then; a VAT account carries its own rate; a credit note uses the original row's."""
    yield from broken(
        session,
        "SELECT p.voucher_id, p.account FROM posting p LEFT JOIN account a ON a.number = p.account WHERE a.number IS NULL",
        "voucher:{0}",
        "books on {1}, which is not in the chart",
    )
    yield from broken(
        session,
        "SELECT DISTINCT v.id, c.account FROM account_change c JOIN posting p ON p.account = c.account"
        " JOIN voucher v ON v.id = p.voucher_id WHERE c.active = 0 AND c.at < v.created_at AND NOT EXISTS"
        " (SELECT 1 FROM account_change o WHERE o.account = c.account AND o.id > c.id AND o.at < v.created_at)",
        "voucher:{0}",
        "books on {1}, which was closed then",
    )
    yield from broken(
        session,
        "SELECT c.account, c.name, a.name FROM account_change c JOIN account a ON a.number = c.account"
        " WHERE c.id = (SELECT max(x.id) FROM account_change x WHERE x.account = c.account)"
        " AND (c.active <> a.active OR c.receivable <> a.receivable OR c.vat_rate IS DISTINCT FROM a.vat_rate"
        " OR c.vat_box IS DISTINCT FROM a.vat_box OR c.name <> a.name)",
        "account:{0}",
        "was left as «{1}» and is «{2}», or says something else",
    )
    yield from broken(
        session,
        "SELECT p.voucher_id, p.account, a.vat_rate, p.vat_rate FROM posting p JOIN account a ON a.number = p.account"
        " WHERE a.vat_rate IS NOT NULL AND p.vat_rate IS NOT NULL AND a.vat_rate <> p.vat_rate",
        "voucher:{0}",
        "account {1} is for rate {2}, the row is of rate {3}",
    )
    yield from broken(
        session,
        "SELECT l.document_id, l.position, l.vat_rate, o.vat_rate FROM document_line l"
        " JOIN document_line o ON o.id = l.original_line_id WHERE l.vat_rate <> o.vat_rate",
        "document:{0}",
        "row {1} has rate {2}, its original {3}",
    )


def offsets_are_even(session: Session) -> Iterator[Finding]:
    """A13: an offset closes equal amounts of one customer and currency, after the reading or with an override."""
    yield from broken(
        session,
        'SELECT o.id FROM "offset" o JOIN document i ON i.id = o.invoice_id JOIN document c ON c.id = o.credit_note_id'
        " WHERE i.kind <> 'invoice' OR c.kind <> 'credit_note' OR i.customer_id <> c.customer_id"
        " OR i.currency <> c.currency OR i.state <> 'issued' OR c.state <> 'issued'",
        "offset:{0}",
        "does not join an issued invoice and credit note of one customer and currency",
    )
    yield from broken(
        session,
        "SELECT o.id, o.amount_minor, coalesce(sum(CASE WHEN p.document_id = o.invoice_id THEN p.amount_minor END), 0),"
        " coalesce(sum(CASE WHEN p.document_id = o.credit_note_id THEN p.amount_minor END), 0)"
        ' FROM "offset" o LEFT JOIN (posting p JOIN account a ON a.number = p.account AND a.receivable = 1)'
        " ON p.voucher_id = o.voucher_id GROUP BY o.id, o.amount_minor"
        " HAVING coalesce(sum(CASE WHEN p.document_id = o.invoice_id THEN p.amount_minor END), 0) <> -o.amount_minor"
        " OR coalesce(sum(CASE WHEN p.document_id = o.credit_note_id THEN p.amount_minor END), 0) <> o.amount_minor",
        "offset:{0}",
        "of {1} booked {2} on the invoice and {3} on the credit note",
    )
    yield from broken(
        session,
        'SELECT o.id, d.number_text FROM "offset" o JOIN document d ON d.id IN (o.invoice_id, o.credit_note_id)'
        " JOIN klarna_op k ON k.id = d.issued_by_op_id"
        " WHERE coalesce(o.override_reason, '') = '' AND NOT EXISTS (SELECT 1 FROM payout p WHERE p.account_id = k.account_id"
        " AND p.currency = d.currency AND p.state = 'booked' AND p.booked_at <= o.at"
        " AND p.payout_date >= coalesce(k.klarna_event_at, k.created_at)"
        " AND EXISTS (SELECT 1 FROM payout_row r WHERE r.payout_id = p.id AND r.type IN ('SALE','RETURN')"
        " AND coalesce(r.happened_at, p.payout_date) >= coalesce(k.klarna_event_at, k.created_at)))",
        "offset:{0}",
        "was made before the reading that covers {1}, without an override",
    )


def payouts_are_booked_as_stated(session: Session) -> Iterator[Finding]:
    """A14: a payout's voucher has the bank amount, the VAT on fees, the withheld amount and the debt that were reported;
    fees from abroad bear VAT of 25 %, both due and deducted.
    """
    pieces = (
        ("bank", "p.settlement_minor", "bank"),
        ("debt", "p.opening_debt_minor - p.closing_debt_minor", "debt"),
        (
            "holdback",
            (
                "-coalesce((SELECT sum(r.amount_minor) FROM payout_row r WHERE r.payout_id = p.id"
                " AND r.type IN ('HOLDBACK','RELEASE')), 0)"
            ),
            "withheld amount",
        ),
        (
            "input_vat",
            (
                "-coalesce((SELECT sum(r.vat_minor + CASE WHEN r.type = 'TAX' THEN r.amount_minor ELSE 0 END)"
                " FROM payout_row r WHERE r.payout_id = p.id), 0)"
            ),
            "VAT on fees",
        ),
    )
    for role, stated, name in pieces:
        yield from broken(
            session,
            f"SELECT p.id, {stated}, coalesce((SELECT sum(x.amount_minor) FROM posting x"
            " WHERE x.voucher_id = p.voucher_id AND x.account IN :accounts), 0) FROM payout p"
            " WHERE p.state = 'booked' AND coalesce((SELECT sum(x.amount_minor) FROM posting x"
            f" WHERE x.voucher_id = p.voucher_id AND x.account IN :accounts), 0) <> {stated}",
            "payout:{0}",
            f"{name} is stated as {{1}} and booked as {{2}}",
            accounts=accounts_of(session, role),
        )
    for role, sign in (("reverse_output", "-"), ("reverse_input", "")):
        yield from broken(
            session,
            "SELECT id, fees, booked FROM (SELECT p.id, p.fees_from,"
            " coalesce(sum(CASE WHEN x.account IN :fees THEN x.amount_minor END), 0) AS fees,"
            f" {sign}coalesce(sum(CASE WHEN x.account IN :accounts THEN x.amount_minor END), 0) AS booked"
            " FROM payout p LEFT JOIN posting x ON x.voucher_id = p.voucher_id WHERE p.state = 'booked'"
            " GROUP BY p.id, p.fees_from) AS abroad"
            " WHERE CASE WHEN fees_from = 'sweden' THEN booked <> 0 ELSE abs(booked * 4 - fees) > 2 END",
            "payout:{0}",
            f"has fees of {{1}}, and the VAT on what comes from abroad is booked as {{2}} ({role})",
            fees=accounts_of(session, "fee"),
            accounts=accounts_of(session, role),
        )


_ADVANCES = (
    "SELECT coalesce(d.order_id, o.order_id) AS order_id, l.vat_rate AS rate, d.state AS state, l.kind AS kind,"
    " CASE WHEN l.kind = 'advance_deduction' THEN l.deducts_id WHEN d.kind = 'invoice' THEN d.id ELSE d.original_id END"
    " AS advance_id,"
    " (CASE WHEN d.kind = 'invoice' THEN 1 ELSE -1 END) * l.gross_minor AS gross,"
    " CASE WHEN l.kind <> 'advance' THEN 0 WHEN d.kind = 'invoice' THEN l.gross_minor ELSE -l.gross_minor END AS issued,"
    " (CASE WHEN d.kind = 'invoice' THEN 1 ELSE -1 END) * (l.gross_minor - l.vat_minor) AS net"
    " FROM document d JOIN document_line l ON l.document_id = d.id AND l.removed = 0"
    " LEFT JOIN document o ON o.id = d.original_id"
    " WHERE l.kind IN ('advance','advance_deduction') AND d.state IN ('pending','issued') AND d.reversed_at IS NULL"
)


def advances_are_deducted_once(session: Session) -> Iterator[Finding]:
    """A15: per advance and rate at most what was advanced is deducted; the advance account holds what is not deducted yet."""
    yield from broken(
        session,
        f"SELECT order_id, rate, sum(gross) FROM ({_ADVANCES}) AS a GROUP BY order_id, advance_id, rate"
        " HAVING (sum(issued) >= 0 AND sum(gross) < 0) OR (sum(issued) <= 0 AND sum(gross) > 0)"
        " OR abs(sum(gross)) > abs(sum(issued))",
        "order:{0}",
        "at rate {1} more is deducted than advanced: {2}",
    )
    yield from broken(
        session,
        f"SELECT booked, advanced FROM (SELECT coalesce((SELECT sum(p.amount_minor) FROM posting p"
        " JOIN voucher v ON v.id = p.voucher_id LEFT JOIN voucher f ON f.id = v.reverses_id"
        " WHERE p.account IN :accounts AND (v.series = 'F' OR f.series = 'F')), 0) AS booked,"
        f" -coalesce((SELECT sum(net) FROM ({_ADVANCES}) AS a WHERE state = 'issued'), 0) AS advanced) AS both_sides"
        " WHERE booked <> advanced",
        "books",
        "the advance account holds {0}, advances not yet deducted are {1}",
        accounts=accounts_of(session, "advance"),
    )


CHECKS: dict[str, Check] = {
    "A3": issued_documents_are_booked_once,
    "A4": rows_add_up,
    "A9": open_items_equal_the_receivable,
    "A11": accounts_fit,
    "A13": offsets_are_even,
    "A14": payouts_are_booked_as_stated,
    "A15": advances_are_deducted_once,
}
