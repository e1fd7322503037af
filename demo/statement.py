"""The bank statement of the demo company, as its bank would send it: camt.053, with the payouts and a customer's payment."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from models import Document, Payout
from services import bank_ties

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"
IBAN = "SE4550000000058398257466"
"""The example account of the register of IBANs: nobody's."""
KLARNA = "KLARNA BANK AB"


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money that came in, in minor units; the text is what the payer wrote."""

    day: date
    minor: int
    payer: str
    text: str


def deposits(session: Session) -> list[Deposit]:
    """What has reached the bank: every payout the day after it, and what one customer paid of an ordinary invoice by its OCR.

    The customer's payment belongs to no payout: it leads to «Registrera betalning».
    """
    today = clock.today()
    payouts = session.scalars(sa.select(Payout).where(bank_ties.awaits_deposit()).order_by(Payout.payout_date))
    found = [
        Deposit(
            min(clock.local_date(each.payout_date) + timedelta(days=1), today),
            each.settlement_minor,
            KLARNA,
            f"Utbetalning {each.payment_reference}",
        )
        for each in payouts
    ]
    unpaid = session.scalars(
        sa.select(Document).where(Document.ocr.is_not(None), Document.open_minor > 0).order_by(Document.id).limit(1)
    ).one_or_none()
    if unpaid is not None:
        found.append(Deposit(today, unpaid.open_minor, unpaid.customer.name, unpaid.ocr or ""))
    return sorted(found, key=lambda each: each.day)


def camt(told: list[Deposit]) -> bytes:
    """The statement as a file (ISO 20022 camt.053.001.02)."""
    ET.register_namespace("", NAMESPACE)
    root = ET.Element(_tag("Document"))
    statement = _put(root, "BkToCstmrStmt")
    head = _put(statement, "GrpHdr")
    _put(head, "MsgId", "KVITTA-DEMO")
    made = f"{clock.today()}T06:00:00"
    _put(head, "CreDtTm", made)
    part = _put(statement, "Stmt")
    _put(part, "Id", "1")
    _put(part, "CreDtTm", made)
    _put(_put(_put(part, "Acct"), "Id"), "IBAN", IBAN)
    for number, each in enumerate(told, start=1):
        _entry(part, number, each)
    content: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return content


def _entry(statement: ET.Element, number: int, deposit: Deposit) -> None:
    entry = _put(statement, "Ntry")
    _put(entry, "Amt", money.plain(deposit.minor)).set("Ccy", "SEK")
    _put(entry, "CdtDbtInd", "CRDT")
    _put(entry, "Sts", "BOOK")
    _put(_put(entry, "BookgDt"), "Dt", deposit.day.isoformat())
    _put(entry, "AcctSvcrRef", f"DEMO{number:06d}")
    _put(_put(_put(entry, "BkTxCd"), "Prtry"), "Cd", "ESCT")
    detail = _put(_put(entry, "NtryDtls"), "TxDtls")
    _put(_put(detail, "Refs"), "EndToEndId", "NOTPROVIDED")
    _put(_put(_put(detail, "RltdPties"), "Dbtr"), "Nm", deposit.payer)
    _put(_put(detail, "RmtInf"), "Ustrd", deposit.text)


def _put(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    made = ET.SubElement(parent, _tag(name))
    made.text = text
    return made


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
