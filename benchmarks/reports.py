"""A settlement report of as many rows as wanted, that adds up and fits the invoices that ``filling`` put in."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.filling import FIRST_DOCUMENT, identity

TOTALS = (
    "total_sale_amount", "total_fee_amount", "total_fee_correction_amount", "total_tax_amount", "total_return_amount",
    "total_reversal_amount", "total_commission_amount", "total_credit_amount", "total_charge_amount", "total_holdback_amount",
    "total_release_amount", "opening_debt_balance", "total_deposit_amount", "total_repay_amount", "closing_debt_balance",
    "total_fee_refund_amount", "total_settlement_amount", "payment_reference", "settlement_currency", "payout_date",
    "merchant_id", "merchant_settlement_type", "submerchant_id",
)  # fmt: skip
ROWS = (
    "type", "capture_date", "sale_date", "order_id", "short_order_id", "capture_id", "merchant_reference1",
    "merchant_reference2", "amount", "posting_currency", "refund_id", "purchase_country", "tax_rate", "tax_amount",
    "merchant_capture_reference", "merchant_refund_reference", "detailed_type", "tax_rate_1", "tax_amount_1",
)  # fmt: skip


def _money(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def a_report(first: int, sales: int, reference: str, *, prices: tuple[int, ...] = (49_900, 19_900, 4_900)) -> bytes:
    """A payout with a sale and a fee for each of the orders from ``first`` on: two rows each."""
    now = datetime.now(UTC).replace(microsecond=0)
    at = (now - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    body = io.StringIO()
    write = csv.writer(body, delimiter=";", lineterminator="\r\n")
    gross = fees = vat = 0
    for n in range(first, first + sales):
        amount = prices[0] + n % 7 * 1_000 + sum(prices[1:])
        fee = amount // 40
        tax = fee // 4
        who = [at, at, identity("order", n), f"K{n:07X}", identity("capture", n), f"W{1000 + n}", ""]
        number = str(FIRST_DOCUMENT + n - 1)
        write.writerow(["SALE", *who, _money(amount), "SEK", "", "SE", "", "", number, "", "PURCHASE", "25.00", ""])
        write.writerow(
            [
                "FEE",
                *who,
                _money(fee),
                "SEK",
                "",
                "SE",
                "25.00",
                _money(tax),
                number,
                "",
                "PURCHASE_FEE_PERCENTAGE",
                "",
                "",
            ]
        )
        gross, fees, vat = gross + amount, fees + fee, vat + tax
    zero = dict.fromkeys(TOTALS[:17], "0.00")
    head = zero | {
        "total_sale_amount": _money(gross), "total_fee_amount": _money(fees), "total_tax_amount": _money(vat),
        "total_settlement_amount": _money(gross - fees - vat), "payment_reference": reference, "settlement_currency": "SEK",
        "payout_date": now.isoformat().replace("+00:00", "Z"), "merchant_id": "K000001", "merchant_settlement_type": "NET",
        "submerchant_id": "",
    }  # fmt: skip
    top = io.StringIO()
    write = csv.writer(top, delimiter=";", lineterminator="\r\n")
    write.writerow(TOTALS)
    write.writerow([head[name] for name in TOTALS])
    write.writerow(ROWS)
    return (top.getvalue() + body.getvalue()).encode()


def write_large(path: Path, first: int, sales: int, references: Sequence[str]) -> None:
    """A report of several payouts, each with its share of the sales, written as a stream: a summary row each, then the rows."""
    each = sales // len(references)
    with path.open("wb") as out:
        bodies = []
        for number, reference in enumerate(references):
            names, stated, header, body = a_report(first + number * each, each, reference).split(b"\r\n", 3)
            if not number:
                out.write(names + b"\r\n")
            out.write(stated + b"\r\n")
            laid_aside = path.with_suffix(f".{number}")
            laid_aside.write_bytes(body)
            bodies.append((reference, laid_aside))
        out.write(b"payment_reference;" + header + b"\r\n")
        for reference, laid_aside in bodies:
            with laid_aside.open("rb") as rows:
                out.writelines(reference.encode() + b";" + row for row in rows)
            laid_aside.unlink()
