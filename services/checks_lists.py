"""What lists, the search and the start page keep for speed is what its parts add up to (X8)."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from services.findings import Check, Finding, broken, is_postgresql


def kept_sums_and_names_agree(session: Session) -> Iterator[Finding]:
    """X8: each order's sum is its rows', each day's sums at Klarna are its documents', and every customer can be found."""
    yield from broken(
        session,
        "SELECT o.id, o.total_minor, coalesce(sum((abs(l.quantity_milli * l.unit_price_minor) + 500) / 1000"
        " * CASE WHEN l.unit_price_minor < 0 THEN -1 ELSE 1 END - l.discount_minor), 0)"
        " FROM sales_order o LEFT JOIN sales_order_line l ON l.order_id = o.id GROUP BY o.id, o.total_minor"
        " HAVING o.total_minor <> coalesce(sum((abs(l.quantity_milli * l.unit_price_minor) + 500) / 1000"
        " * CASE WHEN l.unit_price_minor < 0 THEN -1 ELSE 1 END - l.discount_minor), 0)",
        "order:{0}",
        "says {1}, its rows add up to {2}",
    )
    yield from broken(
        session,
        "SELECT coalesce(k.day, d.day), coalesce(k.currency, d.currency), coalesce(k.activated_minor, 0),"
        " coalesce(d.activated, 0), coalesce(k.credited_minor, 0), coalesce(d.credited, 0) FROM klarna_day k FULL JOIN"
        " (SELECT issue_date AS day, currency, sum(CASE WHEN kind = 'invoice' THEN gross_minor ELSE 0 END) AS activated,"
        " sum(CASE WHEN kind = 'invoice' THEN 0 ELSE gross_minor END) AS credited FROM document"
        " WHERE state = 'issued' AND issued_by_op_id IS NOT NULL GROUP BY issue_date, currency) AS d"
        " ON d.day = k.day AND d.currency = k.currency"
        " WHERE coalesce(k.activated_minor, 0) <> coalesce(d.activated, 0)"
        " OR coalesce(k.credited_minor, 0) <> coalesce(d.credited, 0)",
        "day:{0}",
        "{1}: activated {2}, the invoices add up to {3}; credited {4}, the credit notes add up to {5}",
    )
    if not is_postgresql(session):
        # PostgreSQL keeps its index of names itself, as it keeps every other.
        yield from broken(
            session,
            "SELECT c.id FROM customer c LEFT JOIN customer_search s ON s.rowid = c.id WHERE s.name IS NOT c.name"
            " UNION ALL SELECT rowid FROM customer_search WHERE rowid NOT IN (SELECT id FROM customer)",
            "customer:{0}",
            "cannot be found by the name it has",
        )


CHECKS: dict[str, Check] = {"X8": kept_sums_and_names_agree}
