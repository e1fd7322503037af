"""What «Systembeskrivning» and «Behandlingshistorik» are made of: the program, its rules as they are set, and what it keeps.

Source: bokföringslagen 5 kap. 11 §; BFNAR 2013:2 ch. 9 (accounting reference 6).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import migrations
from errors import N_
from models import Account, Audit, FiscalYear, NumberSeries, Posting, ReadingFile, Voucher
from rights import SYSTEM
from services import accounts, audit, periods, setting_groups, settings, stock_booking, vat_rates
from services.setting_groups import Entry

PROGRAM: Final = "Kvitta"
VERSION: Final = "1.0"
_VERSION_NOTED = "program.version"


@dataclass(frozen=True, slots=True)
class Rule:
    """A processing rule: which event books what, in which series. ``parts`` name the default accounts in it."""

    event: str
    series: str
    debit: str
    credit: str
    when: str
    only: str = ""


RULES: Sequence[Rule] = (
    Rule(N_("Invoice paid through Klarna"), "F", N_("receivable"), N_("sales, freight and fees, output VAT, per rate"),
         N_("When Klarna has confirmed the activation.")),
    Rule(N_("Invoice paid to us"), "F", N_("receivable"), N_("sales, freight and fees, output VAT, rounding"),
         N_("When it is created.")),
    Rule(N_("Advance invoice"), "F", N_("receivable"), N_("advances, dormant VAT"),
         N_("When Klarna has confirmed, or when it is created."), "dormant"),
    Rule(N_("Advance invoice"), "F", N_("receivable"), N_("advances, output VAT"),
         N_("When Klarna has confirmed, or when it is created."), "at_once"),
    Rule(N_("VAT of an advance falls due"), "I", N_("dormant VAT"), N_("output VAT"),
         N_("The day the advance is paid."), "dormant"),
    Rule(N_("Final invoice after an advance"), "F", N_("receivable, advances"), N_("sales, output VAT on the rest"),
         N_("When Klarna has confirmed, or when it is created.")),
    Rule(N_("Credit note"), "F", N_("sales, output VAT, at the rate of the original row"), N_("receivable"),
         N_("When Klarna has confirmed the refund; without Klarna when it is created.")),
    Rule(N_("Reversal of a credit note without Klarna"), "K", N_("the exact opposite"), N_("the exact opposite"),
         N_("The day it is made.")),
    Rule(N_("Payout from Klarna"), "I", N_("bank, fee, input VAT as reported, withheld"), N_("receivable per document, debt"),
         N_("When every row is explained; one voucher per payout, with its payment reference.")),
    Rule(N_("Payment by hand"), "I", N_("the payment account chosen"), N_("receivable"), N_("When it is registered.")),
    Rule(N_("Offset"), "I", N_("receivable, the credit note"), N_("receivable, the invoice"),
         N_("When it is made; no VAT and no revenue moves.")),
    Rule(N_("Surplus booked away, small difference"), "I", N_("receivable"), N_("the account chosen, or rounding"),
         N_("When it is made.")),
    Rule(N_("Stock comes in or is worth more; the other way about when it goes out"), "L", N_("stock"), N_("change of stock"),
         N_("When it moves, or its cost is changed: the balance times the cost."), "perpetual"),
    Rule(N_("Written by hand"), "K", N_("as written"), N_("as written"),
         N_("What no event books, and what is read from a SIE file. By Finance.")),
    Rule(N_("Result of a finished year"), "K", N_("account 8999"), N_("account 2099"), N_("When it is carried.")),
)  # fmt: skip

ARCHIVE: Sequence[tuple[str, str]] = (
    (
        N_("Vouchers and their rows"),
        N_("In the database, append-only; each carries the hash of the one before it in its series."),
    ),
    (N_("Invoices and credit notes"), N_("Frozen when their number is taken, with the hash of what stands on them.")),
    (N_("Klarna's reports"), N_("Byte for byte as they came, found by their SHA-256.")),
    (N_("Requests to Klarna and its answers"), N_("As they were sent and received, with their times.")),
    (N_("The log of acts"), N_("Append-only, each row with the hash of the one before it.")),
    (N_("Settings, accounts and VAT rates"), N_("Every value with the day it holds from, who set it and when.")),
    (N_("Backup"), N_("As the operations guide says; flask verify checks the books after every restore.")),
)
"""What is kept, and how."""

FLOW: Sequence[tuple[str, str]] = (
    (N_("Order"), N_("From the shop through Klarna, from a file, from a program, or typed; it books nothing.")),
    (N_("Delivery"), N_("Moves stock, and books its cost where stock is booked as it moves.")),
    (N_("Invoice"), N_("Takes a number, is sent to Klarna as an activation, and is booked when Klarna has confirmed.")),
    (N_("Credit note"), N_("Takes a number, is sent to Klarna as a refund, and is booked when Klarna has confirmed.")),
    (N_("Payout"), N_("Read from Klarna, proved to the öre, matched by our own numbers, booked as one voucher.")),
    (
        N_("Correction"),
        N_("A voucher of its own that refers to the one it corrects; nothing booked is changed or removed."),
    ),
    (N_("Month close"), N_("Names what still waits; after the lock there are only vouchers on open days.")),
    (N_("Out"), N_("SIE 4E and 4I, files for spreadsheets, PDF.")),
)
"""How information flows."""


@dataclass(frozen=True, slots=True)
class Series:
    """A number series: what it numbers, how far it has come, and the hash of its last voucher."""

    code: str
    year: FiscalYear | None
    first_no: int
    next_no: int
    head_hash: str


@dataclass(frozen=True, slots=True)
class Description:
    """The whole description as it holds on a day."""

    day: date
    schema: str
    company: dict[str, str]
    years: Sequence[FiscalYear]
    locked_through: date | None
    chart: Sequence[Account]
    parts: Sequence[tuple[Entry, Account | None]]
    series: Sequence[Series]
    rates: Sequence[vat_rates.Rate]
    rules: Sequence[Rule]
    vouchers: int
    postings: int
    reports: int


def describe(session: Session) -> Description:
    """Kvitta as it is set up today."""
    today = clock.today()
    chart = accounts.chart(session)
    by_number = {str(each.number): each for each in chart}
    shown = setting_groups.entries(session, "accounts")
    told = setting_groups.values(session, shown, today)
    years = {each.id: each for each in periods.years(session)}
    rule = settings.value(session, "advance_vat_rule", today)
    series = session.scalars(sa.select(NumberSeries).order_by(NumberSeries.code, NumberSeries.fiscal_year.desc()))
    return Description(
        today,
        migrations.head(),
        settings.values(session, "company.", today),
        list(years.values()),
        periods.locked_through(session),
        chart,
        [(entry, by_number.get(told[entry.setting])) for entry in shown],
        [
            Series(each.code, years.get(each.fiscal_year), each.first_no, each.next_no, each.head_hash)
            for each in series
            if each.code == "F" or each.code.startswith("V:")
        ],
        vat_rates.listing(session),
        [each for each in RULES if each.only in ("", rule, "perpetual" if stock_booking.is_on(session) else "")],
        _count(session, Voucher),
        _count(session, Posting),
        _count(session, ReadingFile),
    )


def _count(session: Session, table: type[Voucher | Posting | ReadingFile]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def note_version(session: Session) -> bool:
    """Note in the log which program the books are kept with from now on; gives whether it is another than before."""
    now = {"version": VERSION, "schema": migrations.head()}
    last = session.scalar(
        sa.select(Audit.detail).where(Audit.action == _VERSION_NOTED).order_by(Audit.id.desc()).limit(1)
    )
    if last is not None and json.loads(last) == now:
        return False
    audit.write(session, SYSTEM, _VERSION_NOTED, "program", now)
    return True
