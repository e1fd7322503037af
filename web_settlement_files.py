"""Lists of settlements as files for a spreadsheet: what a list shows by its filters, whole, with some columns more.

Amounts are minor units. Pure reading, in the session of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

import clock
from errors import N_
from services import agreement, bank_list, offsets, owed_lists, settlement_export, settlements
from services.owed_lists import Row
from services.settlements import Filters
from web_agreement import ended, shown
from web_reports import Column, answer, every, listed
from web_words import gettext as _
from web_words import label, named, say

AT_A_TIME = 100
SOURCES: Mapping[str, str] = {"api": N_("Fetched from Klarna"), "upload": N_("File"), "folder": N_("Folder")}
"""Where a reading came from."""


# --- Settlements ---------------------------------------------------------------------------------------------------------


def readings(session: Session, filters: Filters) -> Response:
    """The readings that fit the filters (B2)."""

    def page_of(mark: Any) -> tuple[Sequence[Any], Any]:
        found = settlements.listing(session, filters, after=mark, limit=AT_A_TIME)
        return found.rows, found.older

    columns = [
        Column(_("Reading")),
        Column(_("Source")),
        Column(_("Payout date"), "day"),
        Column(_("Payment reference")),
        Column(_("Klarna account")),
        *(Column(label(pile)) for pile in settlements.PILES),
        Column(_("Net"), "money"),
        Column(_("Currency")),
        Column(_("Status")),
    ]
    lines = (
        [
            row.id,
            _(SOURCES[row.source]),
            clock.local_date(row.payout_date),
            row.payment_reference,
            row.account,
            *(row.counts.get(pile, 0) for pile in settlements.PILES),
            row.settlement_minor,
            row.currency,
            label(row.state),
        ]
        for row in every(page_of)
    )
    return answer("csv", [listed("settlements", "", columns, lines)])


def reading_rows(session: Session, payout_id: int) -> Response:
    """Every row of a reading, with its pile and its document (B3). Raises NotFound."""
    payout = settlements.reading(session, payout_id).payout
    columns = [
        Column(_("Row")),
        Column(_("Type")),
        Column(_("Detailed type")),
        Column(_("When"), "moment"),
        Column(_("Order at Klarna")),
        Column(_("Klarna order id")),
        Column(_("Reference")),
        Column(_("Amount"), "money"),
        Column(_("VAT"), "money"),
        Column(_("Currency")),
        Column(_("Pile")),
        Column(_("Why")),
        Column(_("Document")),
        Column(_("Note")),
        Column(_("By")),
        Column(_("Dealt with"), "moment"),
    ]
    lines = (
        [
            row.row_no,
            row.type,
            row.detailed_type,
            row.happened_at,
            row.short_order_id or "",
            row.klarna_order_id or "",
            row.reference or "",
            row.amount_minor,
            row.vat_minor,
            payout.currency,
            label(row.pile),
            _(settlements.WHY.get(row.because, row.because)) if row.because else "",
            row.documents,
            row.note or "",
            named(row.handled_by, "actor") if row.handled_by else "",
            row.handled_at,
        ]
        for row in settlement_export.rows(session, payout_id)
    )
    return answer("csv", [listed(f"settlement-{payout_id}-rows", "", columns, lines)])


def owed(session: Session, name: str, *, late: bool) -> Response:
    """One of the lists of what waits for its other half (B9)."""

    def page_of(mark: Any) -> tuple[Sequence[Any], Any]:
        found = owed_lists.listed(session, name, late=late, after=mark)
        return found.rows, found.older

    columns = [
        Column(_("What")),
        Column(_("Number")),
        Column(_("Date"), "day"),
        Column(_("Age, days")),
        Column(_("Customer")),
        Column(_("Pile")),
        Column(_("Amount"), "money"),
        Column(_("Currency")),
    ]
    lines = (
        [
            _what(row),
            row.number,
            row.day,
            row.age,
            row.customer,
            label(row.pile) if row.pile else "",
            row.amount_minor,
            row.currency,
        ]
        for row in every(page_of)
    )
    return answer("csv", [listed(f"klarna-owes-{name}", _(owed_lists.NAMES[name]), columns, lines)])


def _what(row: Row) -> str:
    return label(row.kind) if row.kind else _("Payout")


def offset_pairs(session: Session, number: str) -> Response:
    """What can be offset, and below it what has been (K49)."""
    pairs = [
        Column(_("Invoice")),
        Column(_("Open"), "money"),
        Column(_("Credit note")),
        Column(_("Open"), "money"),
        Column(_("To offset"), "money"),
        Column(_("Remains"), "money"),
        Column(_("Currency")),
        Column(_("Order")),
        Column(_("Customer")),
        Column(_("Waits")),
    ]
    waiting = (
        [
            each.invoice.number,
            each.invoice.open_minor,
            each.note.number,
            -each.note.open_minor,
            each.amount_minor,
            each.invoice.open_minor - each.note.open_minor,
            each.currency,
            each.order_number or "",
            each.customer,
            say(each.wait.refusal) if each.wait else "",
        ]
        for each in every(lambda mark: offsets.proposed(session, number, mark))
    )
    made = [
        Column(_("When"), "moment"),
        Column(_("Invoice")),
        Column(_("Credit note")),
        Column(_("Amount"), "money"),
        Column(_("Currency")),
        Column(_("Voucher")),
        Column(_("Reason")),
        Column(_("By")),
        Column(_("Taken back")),
    ]
    done = (
        [
            each.at,
            each.invoice,
            each.note,
            each.amount_minor,
            each.currency,
            each.voucher,
            each.override_reason or "",
            named(each.by, "actor"),
            _("Yes") if each.undone_by else "",
        ]
        for each in every(lambda mark: offsets.made(session, number, mark))
    )
    can, before = _("Can be offset"), _("Offset before")
    return answer("csv", [listed("offsets", can, pairs, waiting), listed("offsets-made", before, made, done)])


# --- The bank, and differences ---------------------------------------------------------------------------------------------


def at_bank(session: Session, hows: Mapping[str, str], *, found: bool) -> Response:
    """Payouts beside the deposits they became, or those that wait for one; ``hows`` are the words for how they were tied."""
    columns = [
        Column(_("Payment reference")),
        Column(_("Payout date"), "day"),
        Column(_("Klarna account")),
        Column(_("Net"), "money"),
        Column(_("Currency")),
        Column(_("Deposit"), "day"),
        Column(_("Account")),
        Column(_("How")),
        Column(_("Why")),
    ]
    lines = (
        [
            row.payment_reference,
            row.day,
            row.account,
            row.settlement_minor,
            row.currency,
            row.found.day if row.found else "",
            row.found.account if row.found else "",
            _(hows[row.found.how]) if row.found else "",
            row.found.reason if row.found else " ".join(say(why) for why in row.whys),
        ]
        for row in every(lambda mark: bank_list.payouts(session, found=found, after=mark))
    )
    return answer("csv", [listed("payouts-at-bank" if found else "payouts-not-at-bank", "", columns, lines)])


def deposits(session: Session, *, of_klarna: bool) -> Response:
    """Deposits that belong to no payout."""
    columns = [
        Column(_("Day"), "day"),
        Column(_("Amount"), "money"),
        Column(_("Currency")),
        Column(_("Payer")),
        Column(_("Text")),
        Column(_("Account")),
        Column(_("Statement")),
        Column(_("Invoice")),
    ]
    lines = (
        [
            row.day,
            row.amount_minor,
            row.currency,
            row.payer,
            row.text,
            row.account,
            row.statement_id,
            row.invoice.number if row.invoice else "",
        ]
        for row in every(lambda mark: bank_list.deposits(session, of_klarna=of_klarna, after=mark))
    )
    return answer("csv", [listed("deposits", "", columns, lines)])


def differences(session: Session, view: str) -> Response:
    """Differences against Klarna of one kind of end (operations 13)."""
    columns = [
        Column(_("Since"), "moment"),
        Column(_("Order")),
        Column(_("Reading")),
        Column(_("Kind")),
        Column(_("What")),
        Column(_("Settled")),
        Column(_("Document")),
        Column(_("Voucher")),
        Column(_("Reason")),
        Column(_("When"), "moment"),
        Column(_("By")),
    ]
    lines = (
        [
            each.opened_at,
            each.order_number or "",
            each.payout_id or "",
            label(each.kind),
            shown([each.difference])[0]["text"],
            ended(each.kind, each.resolution) if each.resolution else "",
            each.document[2] if each.document else "",
            each.voucher[1] if each.voucher else "",
            each.reason or "",
            each.closed_at,
            named(each.closed_by, "actor") if each.closed_by else "",
        ]
        for each in every(lambda mark: agreement.report(session, view, mark))
    )
    return answer("csv", [listed(f"differences-{view}", "", columns, lines)])
