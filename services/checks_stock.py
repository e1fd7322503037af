"""Stock and orders: balances, deliveries, returns, and the copies the order list is drawn from (S1-S4, X7)."""
# ruff: noqa: S608 - the SQL is put together from constants of this file; nothing that was typed reaches it

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from services import stock_booking
from services.findings import Check, Finding, NotApplicableError, broken


def movements_have_their_cause(session: Session) -> Iterator[Finding]:
    """S1: a balance is the sum of movements, and each is what its delivery row or credit row says."""
    yield from broken(
        session,
        "SELECT m.id, m.kind, m.quantity_milli FROM stock_movement m"
        " LEFT JOIN article a ON a.id = m.article_id LEFT JOIN warehouse w ON w.id = m.warehouse_id"
        " WHERE a.id IS NULL OR w.id IS NULL OR m.quantity_milli = 0"
        " OR (m.kind = 'delivery' AND m.quantity_milli > 0) OR (m.kind IN ('return','goods_in') AND m.quantity_milli < 0)"
        " OR (m.kind IN ('return_reversed','replacement') AND m.quantity_milli > 0)",
        "movement:{0}",
        "{1} of {2} thousandths has no article or place, or the wrong sign",
    )
    yield from broken(
        session,
        "SELECT m.id, m.quantity_milli, l.quantity_milli FROM stock_movement m"
        " JOIN delivery_line l ON l.id = m.delivery_line_id JOIN delivery d ON d.id = l.delivery_id"
        " JOIN sales_order_line o ON o.id = l.order_line_id"
        " WHERE m.quantity_milli <> -l.quantity_milli OR m.warehouse_id <> d.warehouse_id"
        " OR m.article_id IS DISTINCT FROM o.article_id",
        "movement:{0}",
        "of {1} thousandths, its delivery row is of {2}, or of another article or place",
    )
    yield from broken(
        session,
        "SELECT m.id, m.quantity_milli, l.restock_milli FROM stock_movement m"
        " JOIN document_line l ON l.id = m.document_line_id LEFT JOIN goods_return g ON g.document_line_id = l.id"
        " WHERE m.kind = 'return' AND (m.quantity_milli <> coalesce(g.quantity_milli, l.restock_milli)"
        " OR m.article_id IS DISTINCT FROM l.article_id)",
        "movement:{0}",
        "of {1} thousandths, its credit row puts back {2}, or another article",
    )

    yield from _stocktakes_moved_what_they_say(session)


def _stocktakes_moved_what_they_say(session: Session) -> Iterator[Finding]:
    """S1: what a stocktake moved is its difference, in its warehouse, and only of a booked one; no difference is left out."""
    yield from broken(
        session,
        "SELECT m.id, m.kind, t.state FROM stock_movement m LEFT JOIN stocktake t ON t.id = m.stocktake_id"
        " WHERE (m.kind = 'stocktake') <> (m.stocktake_id IS NOT NULL)"
        " OR (m.stocktake_id IS NOT NULL AND (t.state IS DISTINCT FROM 'booked' OR m.warehouse_id <> t.warehouse_id))",
        "movement:{0}",
        "of kind {1} has no stocktake, or one that is {2} or of another place",
    )
    yield from broken(
        session,
        "SELECT m.id, m.quantity_milli, c.counted_milli, c.balance_milli FROM stock_movement m"
        " JOIN stocktake_count c ON c.stocktake_id = m.stocktake_id AND c.article_id = m.article_id"
        " WHERE m.quantity_milli <> c.counted_milli - c.balance_milli",
        "movement:{0}",
        "of {1} thousandths, its stocktake counted {2} where {3} were",
    )
    yield from broken(
        session,
        "SELECT c.stocktake_id, c.article_id, c.counted_milli, c.balance_milli FROM stocktake_count c"
        " JOIN stocktake t ON t.id = c.stocktake_id AND t.state = 'booked'"
        " LEFT JOIN stock_movement m ON m.stocktake_id = c.stocktake_id AND m.article_id = c.article_id"
        " WHERE c.counted_milli <> c.balance_milli AND m.id IS NULL",
        "stocktake:{0}",
        "counted {2} thousandths of article {1} where {3} were, and nothing moved",
    )
    yield from broken(
        session,
        "SELECT m.id, m.stocktake_id FROM stock_movement m JOIN stocktake t ON t.id = m.stocktake_id"
        " LEFT JOIN stocktake_count c ON c.stocktake_id = m.stocktake_id AND c.article_id = m.article_id"
        " WHERE t.uncounted_to_zero = 0 AND c.article_id IS NULL",
        "movement:{0}",
        "is of an article that stocktake {1} did not count",
    )


def balances_are_allowed(session: Session) -> Iterator[Finding]:
    """S2: nothing is below zero but what may be."""
    yield from broken(
        session,
        "SELECT m.article_id, m.warehouse_id, sum(m.quantity_milli) FROM stock_movement m"
        " JOIN article a ON a.id = m.article_id WHERE a.may_go_negative = 0"
        " GROUP BY m.article_id, m.warehouse_id HAVING sum(m.quantity_milli) < 0",
        "article:{0}",
        "has {2} thousandths in warehouse {1}",
    )


def deliveries_stay_within_the_order(session: Session) -> Iterator[Finding]:
    """S3: delivered ≤ ordered, returned ≤ delivered; a delivery moved stock; a return has its issued credit row."""
    yield from broken(
        session,
        "SELECT ol.order_id, ol.position, ol.quantity_milli, sum(dl.quantity_milli) FROM sales_order_line ol"
        " JOIN delivery_line dl ON dl.order_line_id = ol.id GROUP BY ol.id, ol.order_id, ol.position, ol.quantity_milli"
        " HAVING sum(dl.quantity_milli) > ol.quantity_milli",
        "order:{0}",
        "row {1} is of {2} thousandths, delivered are {3}",
    )
    yield from broken(
        session,
        "SELECT d.id, d.order_id, ol.order_id FROM delivery d JOIN delivery_line dl ON dl.delivery_id = d.id"
        " JOIN sales_order_line ol ON ol.id = dl.order_line_id WHERE ol.order_id <> d.order_id",
        "delivery:{0}",
        "of order {1} holds a row of order {2}",
    )
    yield from broken(
        session,
        "SELECT m.id, d.state FROM stock_movement m JOIN document_line l ON l.id = m.document_line_id"
        " JOIN document d ON d.id = l.document_id WHERE m.kind IN ('return','return_reversed')"
        " AND (d.state <> 'issued' OR d.kind <> 'credit_note'"
        " OR (m.kind = 'return_reversed' AND d.reversed_at IS NULL))",
        "movement:{0}",
        "comes from a document that is {1}",
    )
    yield from broken(
        session,
        "SELECT m.id, d.state FROM stock_movement m LEFT JOIN document_line l ON l.id = m.document_line_id"
        " LEFT JOIN document d ON d.id = l.document_id WHERE m.kind = 'replacement' AND (d.id IS NULL"
        " OR d.type <> 'replacement' OR d.state <> 'issued' OR m.quantity_milli <> -l.quantity_milli"
        " OR m.article_id IS DISTINCT FROM l.article_id)",
        "movement:{0}",
        "went out in exchange without its row on an issued replacement invoice",
    )
    yield from broken(
        session,
        "SELECT d.id, l.position, l.restock_milli FROM document d JOIN document_line l ON l.document_id = d.id"
        " JOIN article a ON a.id = l.article_id AND a.stock_kept = 1"
        " LEFT JOIN stock_movement m ON m.document_line_id = l.id AND m.kind = 'return'"
        " WHERE d.state = 'issued' AND d.restock = 1 AND l.removed = 0 AND l.restock_milli > 0"
        " AND l.restock_condition <> 'damaged' AND m.id IS NULL",
        "document:{0}",
        "row {1} puts back {2} thousandths, and nothing moved",
    )
    yield from broken(
        session,
        "SELECT d.id, l.position, g.quantity_milli, l.quantity_milli FROM goods_return g"
        " JOIN document_line l ON l.id = g.document_line_id JOIN document d ON d.id = l.document_id"
        " WHERE g.quantity_milli > l.quantity_milli OR d.state <> 'issued' OR d.kind <> 'credit_note'",
        "document:{0}",
        "of row {1} {2} thousandths have come back, credited are {3}",
    )
    yield from broken(
        session,
        "SELECT d.id, l.position, g.quantity_milli FROM goods_return g"
        " JOIN document_line l ON l.id = g.document_line_id JOIN document d ON d.id = l.document_id"
        " LEFT JOIN stock_movement m ON m.document_line_id = l.id AND m.kind = 'return'"
        " AND m.warehouse_id = g.warehouse_id AND m.quantity_milli = g.quantity_milli"
        " WHERE (g.condition = 'whole') <> (m.id IS NOT NULL)",
        "document:{0}",
        "of row {1} {2} thousandths have come back whole, and nothing moved, or damaged ones were put in stock",
    )
    yield from broken(
        session,
        "SELECT order_line_id, sum(went), sum(came) FROM ("
        " SELECT dl.order_line_id AS order_line_id, dl.quantity_milli AS went, 0 AS came FROM delivery_line dl"
        " UNION ALL SELECT o.order_line_id, 0, m.quantity_milli FROM stock_movement m"
        " JOIN document_line l ON l.id = m.document_line_id JOIN document_line o ON o.id = l.original_line_id"
        " WHERE m.kind IN ('return','return_reversed') AND o.order_line_id IS NOT NULL"
        ") AS both_ways GROUP BY order_line_id HAVING sum(came) > sum(went)",
        "order_line:{0}",
        "delivered {1} thousandths, returned {2}",
    )


def stock_is_booked(session: Session) -> Iterator[Finding]:
    """S4: where stock is booked as it moves, its account says what the stock is worth."""
    now = stock_booking.standing(session)
    if not now.on:
        raise NotApplicableError("perpetual booking of stock is not in use")
    if now.booked_minor != now.value_minor:
        yield Finding(f"account:{now.account}", f"says {now.booked_minor}, and the stock is worth {now.value_minor}")


_ORDER_ROWS = (
    "SELECT o.id AS id, o.delivered AS delivered, o.invoiced AS invoiced,"
    " count(CASE WHEN l.kind = 'article' THEN 1 END) AS goods,"
    " count(CASE WHEN l.kind = 'article' AND coalesce(g.milli, 0) >= l.quantity_milli THEN 1 END) AS gone_whole,"
    " count(CASE WHEN l.kind = 'article' AND coalesce(g.milli, 0) > 0 THEN 1 END) AS gone,"
    " count(l.id) AS lines,"
    " count(CASE WHEN coalesce(i.milli, 0) >= l.quantity_milli THEN 1 END) AS billed_whole,"
    " count(CASE WHEN i.milli > 0 THEN 1 END) AS billed,"
    " (SELECT count(*) FROM document a WHERE a.order_id = o.id AND a.type = 'advance'"
    " AND a.state IN ('pending','issued')) AS advances"
    " FROM sales_order o LEFT JOIN sales_order_line l ON l.order_id = o.id"
    " LEFT JOIN (SELECT order_line_id, sum(quantity_milli) AS milli FROM delivery_line GROUP BY order_line_id) AS g"
    " ON g.order_line_id = l.id"
    " LEFT JOIN (SELECT x.order_line_id AS order_line_id, sum(x.quantity_milli) AS milli FROM document_line x"
    " JOIN document d ON d.id = x.document_id WHERE d.kind = 'invoice' AND d.type IN ('delivery','final')"
    " AND d.state IN ('pending','issued') AND x.kind NOT IN ('advance','advance_deduction')"
    " GROUP BY x.order_line_id) AS i ON i.order_line_id = l.id"
    " GROUP BY o.id, o.delivered, o.invoiced"
)


def order_copies_agree(session: Session) -> Iterator[Finding]:
    """X7: «delivered» and «invoiced» of each order are what its deliveries and documents add up to."""
    yield from broken(
        session,
        f"SELECT id, delivered, invoiced, gone_whole, goods, billed_whole, lines FROM ({_ORDER_ROWS}) AS r WHERE"
        " delivered <> CASE WHEN gone_whole = goods THEN 'all' WHEN gone > 0 THEN 'part' ELSE 'none' END"
        " OR invoiced <> CASE WHEN billed_whole = lines THEN 'all' WHEN billed > 0 OR advances > 0 THEN 'part'"
        " ELSE 'none' END",
        "order:{0}",
        "says delivered {1}, invoiced {2}; delivered are {3} of {4} rows, invoiced {5} of {6}",
    )


CHECKS: dict[str, Check] = {
    "S1": movements_have_their_cause,
    "S2": balances_are_allowed,
    "S3": deliveries_stay_within_the_order,
    "S4": stock_is_booked,
    "X7": order_copies_agree,
}
