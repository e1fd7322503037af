"""The statements that add a payout up for its voucher and mark what it pays. Constants alone; each is of ``:payout``.

Amounts are minor units with the sign of their effect on the payout. Source: operations 14; accounting reference 4.
"""

from __future__ import annotations

from collections.abc import Iterable

from columns import Day
from services.settlement_layouts import COMMISSION_RETURNS
from services.settlement_sql import LOANS, statement
from states import LineKind

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
WITHHELD = {"HOLDBACK": "innehållet belopp", "RELEASE": "frigjort belopp"}
NOT_PLACED = {
    **COSTS,
    "SALE": "försäljning",
    "RETURN": "retur",
    "REVERSAL": "återtagen betalning",
    "REVERSAL_MERCHANT_PROTECTION": "återgiven betalning",
}
"""What the voucher calls a row that nobody has placed yet; a type that is not known is called as Klarna calls it."""


def _among(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in sorted(texts))


_CLAIM = f"r.type IN ({_among(CLAIMS)}) AND r.detailed_type NOT IN ({_among(COMMISSION_RETURNS)})"
_UNPLACED = f"""(
  {_CLAIM} AND m.document_id IS NULL AND NOT EXISTS (SELECT 1 FROM row_share s WHERE s.row_id = m.row_id)
  OR r.type IN ('CHARGE','CREDIT') AND r.detailed_type IN ({_among(LOANS)})
  OR r.type NOT IN ({_among((*CLAIMS, *COSTS, *WITHHELD, "TAX"))})
)"""  # noqa: S608
_ROWS = "payout_row r JOIN row_match m ON m.row_id = r.id"
_PARTS = f"""
  SELECT m.document_id, r.type, r.amount_minor FROM {_ROWS}
  WHERE r.payout_id = :payout AND {_CLAIM} AND m.document_id IS NOT NULL
  UNION ALL
  SELECT s.document_id, r.type, s.amount_minor FROM payout_row r JOIN row_share s ON s.row_id = r.id
  WHERE r.payout_id = :payout AND {_CLAIM}
"""  # noqa: S608

SUMS = statement(f"""
SELECT r.type, sum(CASE WHEN {_CLAIM} OR {_UNPLACED} THEN 0 ELSE r.amount_minor END), sum(r.vat_minor)
FROM {_ROWS} WHERE r.payout_id = :payout GROUP BY r.type
""")  # noqa: S608
"""Amount and VAT per type of the rows that are neither claims nor unplaced; the VAT of all rows."""

MOVED = statement(f"""
SELECT d.id, d.number_text, d.kind,
  (SELECT max(p.account) FROM posting p JOIN account a ON a.number = p.account AND a.receivable = 1 WHERE p.document_id = d.id),
  parts.minor, parts.first_type, parts.last_type
FROM (
  SELECT document_id, sum(amount_minor) AS minor, min(type) AS first_type, max(type) AS last_type
  FROM ({_PARTS}) AS every_part GROUP BY document_id
) AS parts JOIN document d ON d.id = parts.document_id
ORDER BY d.number
""")  # noqa: S608
"""What the payout does to each document's claim, whole rows and shares of rows, and the account the claim stands on."""

UNPLACED = statement(f"""
SELECT r.row_no, r.type, r.amount_minor FROM {_ROWS} WHERE r.payout_id = :payout AND {_UNPLACED} ORDER BY r.row_no
""")  # noqa: S608

# PostgreSQL does not know yet how many documents have just come to zero, and would begin with "the one" of them: hence + 0.
TICK = statement(
    f"""
UPDATE document SET paid_at = :day, paid_reference = :reference
WHERE id IN (SELECT document_id FROM ({_PARTS}) AS parts) AND open_minor + 0 = 0
  AND (paid_at IS NULL OR paid_at <> :day OR paid_reference IS NULL OR paid_reference <> :reference)
""",  # noqa: S608
    day=Day(),
)
"""The green tick for those of which nothing remains and which the voucher did not mark."""

UNTICK = statement(f"""
UPDATE document SET paid_at = NULL, paid_reference = NULL
WHERE id IN (SELECT document_id FROM ({_PARTS}) AS parts WHERE type NOT IN ('SALE','RETURN'))
  AND open_minor + 0 > 0 AND paid_at IS NOT NULL
""")  # noqa: S608

ADVANCES = statement(f"""
SELECT DISTINCT document_id FROM ({_PARTS}) AS parts
WHERE EXISTS (SELECT 1 FROM document_line l WHERE l.document_id = parts.document_id AND l.kind = '{LineKind.ADVANCE}')
""")  # noqa: S608
"""Documents among them that charge an advance, paid or not."""
