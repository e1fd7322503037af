"""Rows of a credit note that are not from its invoice: what they come to, what they are called at Klarna, what they hold up.

In a draft plus is to the customer's favour and minus is a charge. Amounts are minor units including VAT, quantities
thousandths. Rules alone, of the rows as they stand; ``credit_rows`` adds and changes them.
Source: K27, K28, K38, K44, K45; I10.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, Refusal
from models import Document, DocumentLine
from money import Amount
from services import klarna_lines, settings
from states import LineKind


def is_new(line: DocumentLine) -> bool:
    """Whether a row of a credit note is none of the invoice's."""
    return line.original_line_id is None


def of(document: Document) -> list[DocumentLine]:
    """The new rows that count: those not removed."""
    return [line for line in document.lines if is_new(line) and not line.removed]


def charged(lines: Sequence[DocumentLine]) -> int:
    """What the customer is charged by new rows with a minus, as a positive sum in minor units (K28)."""
    return -sum(line.gross_minor for line in lines if is_new(line) and line.gross_minor < 0)


def words(line: DocumentLine, currency: str) -> Refusal:
    """What a new row does to the customer, in words (K28)."""
    amount = Amount(abs(line.gross_minor), currency)
    if line.gross_minor < 0:
        return Refusal(N_("The customer is charged %(amount)s"), amount=amount)
    return Refusal(N_("The customer is credited %(amount)s"), amount=amount)


def reprice(session: Session, draft: Document) -> bool:
    """Work out every new row of a draft anew; True when something changed.

    An article has the rate in force today, for that is the credit note's date (K27); a row a person wrote keeps what was
    chosen. The VAT of the rows of a rate is that of their sum, to the öre (A4). A new stock article that goes out unticks
    the box for goods that come back (K45).
    """
    rows = [line for line in draft.lines if is_new(line)]
    if not rows:
        return False
    before = [(line.vat_rate, line.gross_minor, line.vat_minor) for line in rows]
    sums: dict[int, tuple[int, int]] = {}
    today = clock.today()
    for line in rows:
        if line.article is not None:
            line.vat_rate = settings.vat_rate_of(session, line.article.vat_class, today)
        line.gross_minor = money.gross_of(line.quantity_milli, line.unit_price_minor)
        if line.removed:
            line.vat_minor = money.vat_of_gross(line.gross_minor, line.vat_rate)
            continue
        gross, vat = sums.get(line.vat_rate, (0, 0))
        gross += line.gross_minor
        line.vat_minor = money.vat_of_gross(gross, line.vat_rate) - vat
        sums[line.vat_rate] = (gross, vat + line.vat_minor)
    changed = before != [(line.vat_rate, line.gross_minor, line.vat_minor) for line in rows]
    return _untick(draft) or changed


def _untick(draft: Document) -> bool:
    if not draft.restock or why_no_restock(draft) is None:
        return False
    draft.restock = False
    for line in draft.lines:
        line.restock_milli = 0
    return True


def goes_out(line: DocumentLine) -> bool:
    """Whether a new row is a stock article that the customer is charged for, so that it has to leave the warehouse."""
    kept = line.kind is LineKind.ARTICLE and line.article is not None and line.article.stock_kept
    return is_new(line) and kept and line.unit_price_minor < 0


def why_no_restock(draft: Document) -> Refusal | None:
    """Why «Lägg tillbaka krediterade artiklar i lager» is off; None when it can be ticked (K45)."""
    if not any(goes_out(line) for line in of(draft)):
        return None
    return Refusal(
        N_("The credit note has a new stock article that is to go out. Adjust the stock of both articles by hand.")
    )


def require_no_exchange(draft: Document) -> None:
    """Let pass a draft whose goods may be put back by its box. Raises BadInput (K45, catalogue row 85)."""
    refusal = why_no_restock(draft)
    if refusal is not None:
        raise BadInput(refusal.message, field="restock")


def set_references(session: Session, draft: Document) -> None:
    """Give every new row a line reference of its own, one that no row of the Klarna order has (K44, I10).

    It always carries ``#`` and a number, so that what is activated outside Kvitta under the plain article number stays apart.
    """
    rows = of(draft)
    if not rows or draft.order_id is None:
        return
    taken, running = klarna_lines.used_references(session, draft.order_id)
    taken |= {line.klarna_reference for line in draft.lines if line.klarna_reference and not is_new(line)}
    for line in rows:
        running += 1
        base = (line.article_number or "")[:200] or "TEXT"
        line.klarna_reference = klarna_lines.unique_reference(base, running, taken)
        taken.add(line.klarna_reference)
    session.flush()
