"""Every type and detailed type that Klarna documents goes from report to voucher; an invented one waits with its reason."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from db import reading, writing
from klarna_sandbox.control import Control
from services import settlements
from services.gateway import Gateway
from services.settlement_layouts import DETAILED_TYPES, Row, kind_of
from services.settlement_sql import LOANS
from states import PayoutState, Pile
from tests.builders import FINANCE, an_account
from tests.services.settlement_parts import all_is_well, entries, payout_of, rows_of, upload
from tests.services.test_settlement_layout_properties import Layout, stated, write_csv

pytestmark = [pytest.mark.usefixtures("books"), pytest.mark.only_on("sqlite")]

COSTS = {"FEE", "FEE_REFUND", "CORRECTION", "COMMISSION", "CHARGE", "CREDIT"}
WITHHELD = {"HOLDBACK", "RELEASE"}


def account_of(type_: str, detail: str | None) -> int:
    """Where a row goes that belongs to no document: costs, what is withheld, VAT, and for the rest what nobody has placed."""
    if type_ == "TAX":
        return 2641
    if type_ in WITHHELD:
        return 1686
    if type_ in COSTS and detail not in LOANS:
        return 6060
    return 6060 if type_ == "REVERSAL" and (detail or "").startswith("COMMISSION_RETURN") else 2999


def a_row(number: int, type_: str, detail: str | None) -> Row:
    """A row of an amount of its own; fees with VAT."""
    kind, amount = kind_of(type_, detail or ""), 10_000 + (number << 5)
    at = datetime(2026, 9, 2, 10, tzinfo=UTC)
    vat = amount // 4 if type_ in ("FEE", "FEE_REFUND") else None
    signed = amount * (kind.sign or 1)
    return Row("900100001", 0, type_, detail, signed, vat, None, *[None] * 8, at, None, "SEK", kind.fault)


def test_every_documented_type_is_booked_to_the_ore_and_an_invented_one_parks_with_its_reason(
    klarna: Gateway, sandbox: Control
) -> None:
    """B5, catalogue row 58, reference 4.6."""
    with writing() as session:
        an_account(session, sandbox, klarna)
    kinds = [(type_, detail) for type_, details in DETAILED_TYPES.items() for detail in (None, *sorted(details))]
    odd = ("FEE", "REGIONAL_SURCHARGE")
    rows = tuple(a_row(number, *each) for number, each in enumerate((*kinds, odd)))
    statement = stated(rows, opening=500_00)
    outcome = upload(klarna, write_csv(statement.payout, statement.rows, Layout()))
    payout = payout_of({"payment_reference": "900100001"})
    assert [each.state for each in outcome.payouts] == [PayoutState.PARKED]
    found = [(row, match) for row, match in rows_of(payout) if match.pile is Pile.FAULTY]
    assert {match.because for _, match in found} == {"none", "unknown_detailed_type"}
    assert [(row.type, row.detailed_type) for row, match in found if match.because == "unknown_detailed_type"] == [odd]
    assert {row.type for row, match in found if match.because == "none"} == {
        "SALE",
        "RETURN",
        "REVERSAL",
        "REVERSAL_MERCHANT_PROTECTION",
    }
    for row, _ in found:
        with writing() as session:
            settlements.mark_handled(session, FINANCE, row.id, "Förklarad")
    with writing() as session:
        settlements.book(session, FINANCE, payout.id)
    wanted: dict[int, int] = {1930: statement.payout.totals.settlement}
    for each in rows:
        account = account_of(each.type, each.detailed_type)
        wanted[account] = wanted.get(account, 0) - each.signed_minor
        wanted[2641] = wanted.get(2641, 0) - each.signed_vat_minor
    assert entries(payout_of({"payment_reference": "900100001"})) == wanted
    with reading() as session:
        proof = settlements.reading(session, payout.id).proof
    assert proof and all(line.agrees for line in proof)
    all_is_well()
