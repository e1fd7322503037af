"""How payouts and settlement rows are printed: JSON of the Settlements API, CSV reports, and a page of PDF.

JSON amounts are minor units; CSV amounts are major units with two decimals, written digit by digit.
"""

import csv
import io

from klarna_sandbox.clock import in_seconds
from klarna_sandbox.records import Doc, Payout, Row
from klarna_sandbox.refusals import Misuse
from klarna_sandbox.settlements import TOTALS
from klarna_sandbox.switches import Switchboard

SUMMARY_COLUMNS = (
    "total_sale_amount", "total_fee_amount", "total_fee_correction_amount", "total_tax_amount", "total_return_amount",
    "total_reversal_amount", "total_commission_amount", "total_credit_amount", "total_charge_amount",
    "total_holdback_amount", "total_release_amount", "opening_debt_balance", "total_deposit_amount",
    "total_repay_amount", "closing_debt_balance", "total_fee_refund_amount", "total_settlement_amount",
    "payment_reference", "settlement_currency", "payout_date", "merchant_id", "merchant_settlement_type", "submerchant_id",
)  # fmt: skip
FIRST_TEN = (
    "type", "capture_date", "sale_date", "order_id", "short_order_id", "capture_id", "merchant_reference1",
    "merchant_reference2", "amount", "posting_currency",
)  # fmt: skip
MORE_COLUMNS = (
    "refund_id", "purchase_country", "tax_rate", "tax_amount", "shipping_country", "initial_payment_method_type",
    "initial_number_of_installments", "initial_payment_method_monthly_downpayments", "merchant_capture_reference",
    "merchant_refund_reference", "detailed_type", "tax_rate_1", "tax_amount_1", "tax_rate_2", "tax_amount_2",
    "tax_rate_3", "tax_amount_3", "tax_rate_4", "tax_amount_4", "reversal_reference",
)  # fmt: skip
SUMMED = ("sale", "return", "reversal", "fee", "fee_correction", "tax", "commission", "holdback", "release", "repay",
          "settlement")  # fmt: skip
AGAINST = ("RETURN", "REVERSAL", "FEE", "CHARGE", "HOLDBACK", "TAX")
DELIMITERS = {"semicolon": ";", "comma": ",", "tab": "\t", "pipe": "|"}


def payout(record: Payout, root: str, switches: Switchboard) -> Doc:
    """A payout as JSON."""
    totals = {f"{name}_amount": record.totals[name] for name in TOTALS}
    if switches["transaction_fields"] == "live":
        totals["commission_reversal_amount"] = 0
    return {
        "totals": totals,
        "payment_reference": record.payment_reference,
        "payout_date": in_seconds(record.payout_date),
        "currency_code": record.currency,
        "currency_code_of_registration_country": record.registration_currency,
        "merchant_settlement_type": record.settlement_type,
        "merchant_id": record.mid,
        "transactions": f"{root}/settlements/v1/transactions?payment_reference={record.payment_reference}",
    }


def summary(currency: str, payouts: list[Payout], start: str, end: str) -> Doc:
    """The payouts of one currency over a period, summed."""
    sums = {f"summary_total_{name}_amount": sum(each.totals[name] for each in payouts) for name in SUMMED}
    return {
        "summary_settlement_currency": currency,
        "summary_payout_date_start": in_seconds(start),
        "summary_payout_date_end": in_seconds(end),
        **sums,
    }


def _short_order_id(row: Row, switches: Switchboard) -> str | None:
    if row.short_order_id and row.capture_suffix and switches.on("short_order_suffix"):
        return f"{row.short_order_id}-{row.capture_suffix}"
    return row.short_order_id


def transaction(row: Row, root: str, switches: Switchboard, registration_currency: str) -> Doc:
    """A row as JSON. Rows without an order carry nulls where the order would speak."""
    live = switches["transaction_fields"] == "live"
    shown: Doc = {
        "type": row.type,
        "detailed_type": row.detailed_type,
        "amount": row.amount,
        "capture_date": in_seconds(row.at),
        "sale_date": in_seconds(row.sale_date) if row.sale_date else None,
        "order_id": row.order_id,
        "short_order_id": _short_order_id(row, switches),
        "currency_code": row.currency,
        "purchase_country": row.purchase_country,
    }
    if row.type in ("RETURN", "REVERSAL"):
        if switches["return_capture_id"] != "absent":
            shown["capture_id"] = "" if switches["return_capture_id"] == "empty" else None
    elif row.capture_id:
        shown["capture_id"] = row.capture_id
    maybe = {
        "refund_id": row.refund_id,
        "merchant_reference1": row.merchant_reference1,
        "merchant_reference2": row.merchant_reference2,
        "merchant_capture_reference": row.capture_reference,
        "merchant_refund_reference": row.refund_reference,
        "shipping_address_country" if live else "shipping_country": row.shipping_country,
        "initial_payment_method_type": row.method,
        "initial_payment_method_number_of_installments" if live else "initial_number_of_installments": row.installments,
        "klarna_comment": row.comment,
        "reversal_reference": row.reversal_reference,
        "payment_reference": row.payment_reference,
    }
    shown.update({name: value for name, value in maybe.items() if value is not None})
    if row.payment_reference:
        shown["payout"] = f"{root}/settlements/v1/payouts/{row.payment_reference}"
    if row.type in ("FEE", "FEE_REFUND"):
        shown["vat_rate"], shown["vat_amount"] = row.vat_rate, row.vat_amount
        if row.currency == registration_currency:
            shown["tax_in_currency_of_registration_country"] = row.vat_amount
            shown["currency_code_of_registration_country"] = registration_currency
    if live:
        shown["merchant_id"] = row.mid
        shown["consumer_vat"] = [{"tax_rate": rate, "tax_amount": amount} for rate, amount in row.consumer_vat]
    return shown


def major(amount: int, decimal: str = ".") -> str:
    """Minor units as major units with two decimals."""
    whole, cents = divmod(abs(amount), 100)
    return f"{'-' if amount < 0 else ''}{whole}{decimal}{cents:02d}"


def minor(text: str) -> int:
    """Minor units from a typed amount such as 1 234,50 or 1234.5, digit by digit. Raises Misuse."""
    sign = -1 if text.strip().startswith("-") else 1
    cleaned = "".join(text.split()).replace("\u2212", "-").removeprefix("-").replace(",", ".")
    whole, _, cents = cleaned.partition(".")
    if not (whole + cents).isdecimal() or len(cents) > 2 or not (whole + cents).isascii():
        raise Misuse(f"{text} is not an amount.")
    return sign * (int(whole or 0) * 100 + int(cents.ljust(2, "0")))


class Printer:
    """Writes CSV reports as the csv_* switches say."""

    def __init__(self, switches: Switchboard) -> None:
        self._switches = switches
        self._decimal = "." if switches["csv_decimal"] == "dot" else ","
        self._text = io.StringIO()
        self._writer = csv.writer(
            self._text,
            delimiter=DELIMITERS[switches["csv_delimiter"]],
            lineterminator="\r\n" if switches["csv_eol"] == "crlf" else "\n",
            quoting=csv.QUOTE_ALL if switches["csv_quotes"] == "always" else csv.QUOTE_MINIMAL,
        )
        self._columns = self._chosen_columns()

    def _chosen_columns(self) -> list[tuple[str, str]]:
        wish = self._switches["csv_columns"]
        if wish in ("all", "ten"):
            return [(name, name) for name in FIRST_TEN + (MORE_COLUMNS if wish == "all" else ())]
        pairs = [item.strip().partition("=") for item in wish.split(",") if item.strip()]
        return [(name, heading or name) for name, _, heading in pairs]

    def _date(self, stamped: str | None) -> str:
        if not stamped:
            return ""
        form = self._switches["csv_dates"]
        return {"iso": in_seconds(stamped), "space": stamped[:19].replace("T", " "), "date": stamped[:10]}[form]

    def _rate(self, rate: int) -> str:
        return major(rate, self._decimal) if self._switches["csv_rate"] == "percent" else str(rate)

    def _money(self, amount: int) -> str:
        return major(amount, self._decimal)

    def _total(self, amount: int, against: bool) -> str:
        return self._money(-amount if against and self._switches.on("csv_signs") else amount)

    def payout_head(self, record: Payout) -> None:
        """The summary section of one payout."""
        if not self._switches.on("csv_summary"):
            return
        given = {
            "payment_reference": record.payment_reference,
            "settlement_currency": record.currency,
            "payout_date": self._date(record.payout_date),
            "merchant_id": record.mid,
            "merchant_settlement_type": record.settlement_type,
            "submerchant_id": "",
        }
        columns = list(SUMMARY_COLUMNS)
        if record.totals["tax_refund"]:
            columns.append("total_tax_refund_amount")
        against = ("return", "reversal", "fee", "tax", "charge", "holdback", "repay")
        for name in columns:
            if name not in given:
                total = name.removeprefix("total_").removesuffix("_amount")
                given[name] = self._total(record.totals[total], total in against)
        self._section(columns, [[given[name] for name in columns]])

    def period_head(self, elements: list[Doc]) -> None:
        """The summary section of a period: a row per currency."""
        if not elements or not self._switches.on("csv_summary"):
            return
        columns = list(elements[0])
        rows = []
        for element in elements:
            dates = {name: self._date(element[name]) for name in columns if "payout_date" in name}
            money = {name: self._money(element[name]) for name in columns if name.endswith("_amount")}
            rows.append([{**element, **dates, **money}[name] for name in columns])
        self._section(columns, rows)

    def _section(self, columns: list[str], rows: list[list[str]]) -> None:
        self._writer.writerow(columns)
        self._writer.writerows(rows)
        if self._switches.on("csv_blank_line"):
            self._text.write("\r\n" if self._switches["csv_eol"] == "crlf" else "\n")

    def rows(self, rows: list[Row], payouts: dict[str, Payout], first: tuple[str, ...] = ()) -> None:
        """The transaction section; `first` names columns put before the chosen ones."""
        columns = [(name, name) for name in first] + self._columns
        self._writer.writerow([heading for _, heading in columns])
        for row in rows:
            shown = self._shown(row, payouts[row.payment_reference or ""])
            self._writer.writerow([shown.get(name, "") for name, _ in columns])

    def _shown(self, row: Row, paid_by: Payout) -> dict[str, str]:
        lower = self._switches["csv_type_case"] == "lower"
        minus = self._switches.on("csv_signs") and row.type in AGAINST
        is_fee = row.type in ("FEE", "FEE_REFUND")
        shown = {
            "type": row.type.lower() if lower else row.type,
            "capture_date": self._date(row.at),
            "sale_date": self._date(row.sale_date),
            "order_id": row.order_id or "",
            "short_order_id": _short_order_id(row, self._switches) or "",
            "capture_id": "" if row.type in ("RETURN", "REVERSAL") else row.capture_id or "",
            "merchant_reference1": row.merchant_reference1 or "",
            "merchant_reference2": row.merchant_reference2 or "",
            "amount": self._money(-row.amount if minus else row.amount),
            "posting_currency": row.currency,
            "refund_id": row.refund_id or "",
            "purchase_country": row.purchase_country or "",
            "tax_rate": self._rate(row.vat_rate) if is_fee else "",
            "tax_amount": self._total(row.vat_amount, row.type == "FEE") if is_fee else "",
            "shipping_country": row.shipping_country or "",
            "initial_payment_method_type": row.method or "",
            "initial_number_of_installments": str(row.installments or ""),
            "merchant_capture_reference": row.capture_reference or "",
            "merchant_refund_reference": row.refund_reference or "",
            "detailed_type": row.detailed_type,
            "reversal_reference": row.reversal_reference or "",
            "payment_reference": paid_by.payment_reference,
            "payout_date": self._date(paid_by.payout_date),
        }
        for place, (rate, amount) in enumerate(row.consumer_vat[:4], 1):
            shown[f"tax_rate_{place}"] = self._rate(rate)
            shown[f"tax_amount_{place}"] = self._money(amount)
        return shown

    def finish(self) -> bytes:
        """The report's bytes."""
        mark = "\ufeff" if self._switches.on("csv_bom") else ""
        return (mark + self._text.getvalue()).encode()


def pdf(lines: list[str]) -> bytes:
    """One page of plain text as PDF, in place of the printed report."""
    escaped = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines]
    shown = "BT /F1 12 Tf 60 780 Td 16 TL " + " ".join(f"({line}) Tj T*" for line in escaped) + " ET"
    fonts = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    parts = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources {fonts} >>",
        f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
    ]
    out, places = "%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{part}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    count = len(parts) + 1
    start = len(out)
    out += f"xref\n0 {count}\n0000000000 65535 f \n{table}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return out.encode("latin-1", "replace")
