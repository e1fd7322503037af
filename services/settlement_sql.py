"""The statements that match settlement rows to documents, in the order in which they are run. Constants alone.

Every statement touches only rows of ``:payout`` that have no place yet, so that running them again changes nothing.
``{field}`` is the column of the setting ``match_field``, ``{apart}`` the database's way to count days. Source: operations 14.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.settlement_sentences import Why
from states import FeesFrom


def statement(sql: str, **types: Any) -> sa.TextClause:
    """A statement that is made once and run for each payout, with the types of those values that the driver does not know."""
    made = sa.text(sql)
    return made.bindparams(*(sa.bindparam(name, type_=type_) for name, type_ in types.items())) if types else made


LOANS = (
    "LOAN_PAYOUT",
    "LOAN_AMORTISATION",
    "CASH_ADVANCE_PAYOUT",
    "CASH_ADVANCE_AMORTISATION",
    "TRANSFER_FROM_LEGACY_INTEGRATION",
    "LIABILITY_TRANSFER",
    "PAYMENT_REMINDER",
)
"""Detailed types of CHARGE and CREDIT that are neither cost nor income: a person places them."""

_UNMATCHED = "NOT EXISTS (SELECT 1 FROM row_match m WHERE m.row_id = r.id)"
_NOT_TAKEN = (
    "NOT EXISTS (SELECT 1 FROM row_match m JOIN payout_row x ON x.id = m.row_id"
    " WHERE m.document_id = d.id AND x.type = r.type)"
    " AND NOT EXISTS (SELECT 1 FROM row_share s JOIN payout_row x ON x.id = s.row_id"
    " WHERE s.document_id = d.id AND x.type = r.type)"
)
_NUMBER = "CASE r.type WHEN 'SALE' THEN r.capture_reference ELSE r.refund_reference END"
_OBJECT = "CASE r.type WHEN 'SALE' THEN r.capture_id ELSE r.refund_id END"
_DOC_KIND = "CASE r.type WHEN 'SALE' THEN 'invoice' ELSE 'credit_note' END"
_OP_KIND = "CASE r.type WHEN 'SALE' THEN 'CAPTURE' ELSE 'REFUND' END"
_MONEY = frozenset({"SALE", "RETURN"})
_TAKEN_BACK = frozenset({"REVERSAL", "REVERSAL_MERCHANT_PROTECTION"})
_WITH_A_SALE = frozenset({"FEE", "FEE_REFUND", "CORRECTION"})
_OWN = frozenset({"COMMISSION", "CHARGE", "CREDIT", "HOLDBACK", "RELEASE", "TAX", "REVERSAL"})
_OURS = f"r.payout_id = :payout AND r.type IN ('SALE','RETURN') AND {_UNMATCHED}"

_SHORT = "(r.type = 'SALE' AND d.open_minor < r.amount_minor OR r.type = 'RETURN' AND d.open_minor > r.amount_minor)"
_IS_OFFSET = (
    'EXISTS (SELECT 1 FROM "offset" f WHERE (f.invoice_id = d.id OR f.credit_note_id = d.id)'
    " AND NOT EXISTS (SELECT 1 FROM voucher u WHERE u.reverses_id = f.voucher_id))"
)
_ADOPTED = f"""EXISTS (
    SELECT 1 FROM klarna_op k WHERE k.document_id = d.id AND k.state = 'EXTERNAL' AND k.klarna_object_id = {_OBJECT}
  )"""  # noqa: S608
"""The document stands for this very act, made outside Kvitta and adopted: its day is that of the adoption, and no surprise."""
_WHY = f"""CASE WHEN d.currency <> :currency THEN '{Why.OTHER_CURRENCY}'
  WHEN d.gross_minor <> abs(r.amount_minor) THEN '{Why.AMOUNT}'
  WHEN {_SHORT} THEN CASE WHEN {_IS_OFFSET} THEN '{Why.CREDITED}' ELSE '{Why.PAID}' END
  WHEN {{apart}} > 1 AND NOT {_ADOPTED} THEN '{Why.OTHER_DAY}' END"""
"""Why a row of a sale or a return and its document are a warning, or nothing: the first that applies is the reason."""

BY_NUMBER = f"""
INSERT INTO row_match (row_id, pile, because, document_id)
SELECT row_id, CASE WHEN why IS NULL THEN 'matched' ELSE 'warning' END, why, document_id FROM (
  SELECT r.id AS row_id, d.id AS document_id, {_WHY} AS why,
    row_number() OVER (PARTITION BY d.id, r.type ORDER BY r.row_key) AS n
  FROM payout_row r
  JOIN document d ON d.number_text = {_NUMBER} AND d.kind = {_DOC_KIND} AND d.state = 'issued' AND d.reversed_at IS NULL
  JOIN sales_order o ON o.id = d.order_id AND o.account_id = :account
  WHERE {_OURS} AND {_NOT_TAKEN}
) AS found WHERE n = 1
"""  # noqa: S608

NUMBER_TWICE = f"""
INSERT INTO row_match (row_id, pile, because)
SELECT r.id, 'faulty', CASE WHEN d.state = 'issued' AND d.reversed_at IS NULL THEN 'twice'
  WHEN d.state = 'pending' THEN 'not_issued' ELSE 'contradicts' END
FROM payout_row r
JOIN document d ON d.number_text = {_NUMBER} AND d.kind = {_DOC_KIND}
JOIN sales_order o ON o.id = d.order_id AND o.account_id = :account
WHERE {_OURS}
"""  # noqa: S608

BY_OBJECT = f"""
INSERT INTO row_match (row_id, pile, document_id)
SELECT row_id, 'matched', document_id FROM (
  SELECT r.id AS row_id, d.id AS document_id, row_number() OVER (PARTITION BY d.id, r.type ORDER BY r.row_key) AS n
  FROM payout_row r
  JOIN klarna_op k ON k.account_id = :account AND k.kind = {_OP_KIND} AND k.klarna_object_id = {_OBJECT}
  JOIN document d ON d.id = k.document_id AND d.state = 'issued' AND d.kind = {_DOC_KIND}
  WHERE {_OURS} AND {_NOT_TAKEN}
) AS found WHERE n = 1
"""  # noqa: S608

_ORDER_OF_ROW = """coalesce(
  (SELECT o.id FROM sales_order o WHERE o.klarna_order_id = r.klarna_order_id AND o.account_id = :account),
  (SELECT min(o.id) FROM sales_order o WHERE o.shop_number = r.{field} AND o.account_id = :account
   HAVING count(*) = 1))"""

_PAIRS = f"""
  SELECT r.id AS row_id, r.row_key, r.type, r.amount_minor, r.happened_at, d.id AS document_id, d.number, d.order_id
  FROM (SELECT r.*, {_ORDER_OF_ROW} AS order_id FROM payout_row r WHERE {_OURS}) AS r
  JOIN document d ON d.order_id = r.order_id AND d.kind = {_DOC_KIND} AND d.state = 'issued'
    AND d.gross_minor = abs(r.amount_minor) AND d.reversed_at IS NULL
  LEFT JOIN klarna_op k ON k.id = d.issued_by_op_id
  WHERE (k.id IS NOT NULL OR d.without_klarna_reason = 'credited_in_portal')
    AND NOT (k.state = 'CONFIRMED' AND {_NUMBER} IS NOT NULL)
    AND NOT (k.klarna_object_id IS NOT NULL AND {_OBJECT} IS NOT NULL)
    AND {_NOT_TAKEN}
"""  # noqa: S608

BY_ORDER = f"""
INSERT INTO row_match (row_id, pile, document_id)
SELECT row_id, 'matched', document_id FROM (
  SELECT ranked.*, max(row_rank) OVER same AS row_count, max(document_rank) OVER same AS document_count
  FROM (
    SELECT pairs.*,
      dense_rank() OVER (PARTITION BY order_id, type, amount_minor ORDER BY happened_at, row_key, row_id) AS row_rank,
      dense_rank() OVER (PARTITION BY order_id, type, amount_minor ORDER BY number) AS document_rank
    FROM ({_PAIRS}) AS pairs
  ) AS ranked
  WINDOW same AS (PARTITION BY order_id, type, amount_minor)
) AS found WHERE row_rank = document_rank AND row_count >= document_count
"""  # noqa: S608

SEVERAL = f"""
INSERT INTO row_match (row_id, pile, because) SELECT DISTINCT row_id, 'faulty', 'several' FROM ({_PAIRS}) AS pairs
"""  # noqa: S608

_INVOICES_OF_ORDER = """
  SELECT {what} FROM document d WHERE d.order_id = r.order_id AND d.kind = 'invoice' AND d.state = 'issued'
"""

REVERSALS = f"""
INSERT INTO row_match (row_id, pile, because, document_id)
SELECT id, CASE WHEN document_id IS NULL THEN 'faulty' ELSE 'warning' END,
  CASE WHEN document_id IS NULL THEN 'none' ELSE 'reversal' END, document_id
FROM (
  SELECT r.id, coalesce(
    (SELECT k.document_id FROM klarna_op k JOIN document d ON d.id = k.document_id AND d.state = 'issued'
     WHERE k.account_id = :account AND k.kind = 'CAPTURE' AND k.klarna_object_id = r.capture_id),
    ({_INVOICES_OF_ORDER.format(what="min(d.id)")} HAVING count(*) = 1),
    ({_INVOICES_OF_ORDER.format(what="min(d.id)")} AND d.gross_minor = abs(r.amount_minor) HAVING count(*) = 1)
  ) AS document_id
  FROM (SELECT r.*, {_ORDER_OF_ROW} AS order_id FROM payout_row r
        WHERE r.payout_id = :payout AND r.type IN ('REVERSAL','REVERSAL_MERCHANT_PROTECTION')
        AND r.detailed_type NOT IN ('COMMISSION_RETURN','COMMISSION_RETURN_GROSS') AND {_UNMATCHED}) AS r
) AS found
"""  # noqa: S608

FOLLOWERS = f"""
INSERT INTO row_match (row_id, pile, document_id)
SELECT r.id, 'matched', coalesce(
  (SELECT d.id FROM document d JOIN sales_order o ON o.id = d.order_id AND o.account_id = :account
   WHERE d.number_text = r.capture_reference AND d.kind = 'invoice' AND d.state = 'issued'),
  (SELECT k.document_id FROM klarna_op k JOIN document d ON d.id = k.document_id AND d.state = 'issued'
   WHERE k.account_id = :account AND k.kind = 'CAPTURE' AND k.klarna_object_id = r.capture_id),
  (SELECT min(m.document_id) FROM payout_row s JOIN row_match m ON m.row_id = s.id
   WHERE s.payout_id = :payout AND s.type = 'SALE' AND s.klarna_order_id = r.klarna_order_id
     AND m.document_id IS NOT NULL HAVING count(DISTINCT m.document_id) = 1))
FROM payout_row r
WHERE r.payout_id = :payout AND r.type IN ('FEE','FEE_REFUND','CORRECTION') AND {_UNMATCHED}
"""  # noqa: S608

ALONE = f"""
INSERT INTO row_match (row_id, pile, because)
SELECT r.id, CASE WHEN r.detailed_type IN :loans THEN 'warning' ELSE 'matched' END,
  CASE WHEN r.detailed_type IN :loans THEN 'unallocated' END
FROM payout_row r
WHERE r.payout_id = :payout AND r.type IN ('COMMISSION','CHARGE','CREDIT','HOLDBACK','RELEASE','TAX','REVERSAL') AND {_UNMATCHED}
"""  # noqa: S608

REST = f"""
INSERT INTO row_match (row_id, pile, because)
SELECT r.id, 'faulty', 'none' FROM payout_row r WHERE r.payout_id = :payout AND {_UNMATCHED}
"""  # noqa: S608

FAULTS = """
UPDATE row_match SET pile = 'faulty', because = (
  SELECT CASE WHEN strpos(r.fault, ' ') > 0 THEN substr(r.fault, 1, strpos(r.fault, ' ') - 1) ELSE r.fault END
  FROM payout_row r WHERE r.id = row_match.row_id)
WHERE pile <> 'handled' AND row_id IN (SELECT r.id FROM payout_row r WHERE r.payout_id = :payout AND r.fault IS NOT NULL)
"""

WARNINGS = f"""
UPDATE row_match SET pile = 'warning', because = odd.why
FROM (
  SELECT m.row_id, CASE WHEN m.pile = 'matched' THEN {_WHY} END AS why
  FROM payout_row r JOIN row_match m ON m.row_id = r.id JOIN document d ON d.id = m.document_id
  WHERE r.payout_id = :payout AND r.type IN ('SALE','RETURN')
) AS odd
WHERE row_match.row_id = odd.row_id AND odd.why IS NOT NULL
"""  # noqa: S608
# The pile stands in no condition: SQLite would begin with every row that is matched.
"""Also rows that were matched long ago and now stand beside something else."""

UNMATCHED_TYPES = statement(f"SELECT DISTINCT r.type FROM payout_row r WHERE r.payout_id = :payout AND {_UNMATCHED}")  # noqa: S608
FAULTY = statement("""
SELECT DISTINCT m.because FROM payout_row r JOIN row_match m ON m.row_id = r.id
WHERE r.payout_id = :payout AND m.pile = 'faulty'
""")
"""Why rows of the payout are faulty."""

BLOCKING = statement(f"""
SELECT coalesce(sum(CASE WHEN m.pile = 'faulty' THEN 1 ELSE 0 END), 0),
  coalesce(sum(CASE WHEN m.pile = 'warning' AND m.because = '{Why.OTHER_CURRENCY}' THEN 1 ELSE 0 END), 0)
FROM payout_row r JOIN row_match m ON m.row_id = r.id WHERE r.payout_id = :payout
""")  # noqa: S608
"""How many rows are faulty, and how many of the rest are in another currency than their document."""

VAT_FROM_ABROAD = statement(f"""
SELECT coalesce(sum(r.vat_minor + CASE WHEN r.type = 'TAX' THEN r.amount_minor ELSE 0 END), 0)
FROM payout_row r WHERE r.payout_id = :payout
  AND (SELECT k.fees_from FROM payout p JOIN klarna_account k ON k.id = p.account_id WHERE p.id = :payout)
    <> '{FeesFrom.SWEDEN}'
""")  # noqa: S608
"""The VAT a report states on fees of a company abroad, which bear none."""

_WITH_OUR_NUMBER = f"""
SELECT r.id AS row_id, d.id AS document_id FROM payout_row r
JOIN document d ON d.number_text = {_NUMBER} AND d.kind = {_DOC_KIND}
JOIN sales_order o ON o.id = d.order_id AND o.account_id = :account
WHERE r.payout_id = :payout AND r.type IN ('SALE','RETURN')
"""  # noqa: S608
PROVES = statement(f"{_WITH_OUR_NUMBER} AND d.state = 'pending' ORDER BY r.row_key")
"""Rows with the number of a document whose operation may still be open."""

KEPT_WITHOUT_KLARNA = statement(f"""
{_WITH_OUR_NUMBER} AND d.state = 'issued'
  AND EXISTS (SELECT 1 FROM klarna_op k WHERE k.document_id = d.id AND k.state IN ('REJECTED','NOT_EXECUTED'))
  AND NOT EXISTS (SELECT 1 FROM klarna_op k WHERE k.document_id = d.id AND k.state IN ('CONFIRMED','EXTERNAL'))
ORDER BY r.row_key
""")  # noqa: S608
"""Rows with the number of a document that was issued without Klarna after a refusal."""

STEPS = (
    (NUMBER_TWICE, _MONEY),
    (BY_OBJECT, _MONEY),
    (BY_ORDER, _MONEY),
    (SEVERAL, _MONEY),
    (REVERSALS, _TAKEN_BACK),
    (FOLLOWERS, _WITH_A_SALE),
    (ALONE, _OWN),
)
"""What comes after the numbers, in its order, each with the types of rows it places."""
PLACED = _TAKEN_BACK | _WITH_A_SALE | _OWN
"""Types of which no row is left after these steps; of others, the rest finds its place last."""
