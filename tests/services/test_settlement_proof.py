"""The proof of a payout to the öre, and when two reports of it are the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.settlement_layouts import Statement
from services.settlement_proof import Difference, DifferenceKind, compare, content_key, numbered_keys, prove
from services.settlement_reader import read_csv

DATA = Path(__file__).parent.parent / "data" / "settlements"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAME = "settlement.900100001.csv"
HEADER = "type;amount;order_id;posting_currency\n"


def read(text: str) -> tuple[Statement, ...]:
    return read_csv(text.encode(), NAME, now=NOW).collect()


def sample(number: int) -> Statement:
    (statement,) = read((DATA / f"settlement.90010000{number}.csv").read_text("utf-8"))
    return statement


def test_one_ore_off_is_said_in_the_words_of_the_screen() -> None:
    """B5: the rows give 1 680,26, Klarna states 1 680,27."""
    statement = sample(1)
    rows = (statement.rows[0]._replace(signed_minor=124899), *statement.rows[1:])
    assert prove(statement.payout, rows) == [
        Difference(DifferenceKind.TOTAL, "sale", 199899, 199900),
        Difference(DifferenceKind.SETTLEMENT, "settlement", 168026, 168027),
    ]


def test_a_report_without_vat_on_fees_is_called_that_and_not_a_missing_amount() -> None:
    statement = sample(1)
    rows = tuple(row._replace(vat_amount_minor=None, vat_rate=None) for row in statement.rows)
    assert prove(statement.payout, rows) == [Difference(DifferenceKind.VAT_LEFT_OUT, "tax", 0, 1395)]


def test_vat_that_differs_is_a_difference_of_vat() -> None:
    statement = sample(1)
    rows = (statement.rows[0], statement.rows[1]._replace(vat_amount_minor=777), *statement.rows[2:])
    assert [found.kind for found in prove(statement.payout, rows)] == [DifferenceKind.VAT, DifferenceKind.SETTLEMENT]


def test_a_debt_that_does_not_carry_over_is_found() -> None:
    payout = sample(2).payout
    off = replace(payout, totals=replace(payout.totals, closing_debt=40046))
    assert prove(off, sample(2).rows) == [Difference(DifferenceKind.DEBT, "closing_debt", 40045, 40046)]


def test_totals_that_contradict_the_settlement_are_found_though_the_rows_agree_with_it() -> None:
    payout = sample(3).payout
    off = replace(payout, totals=replace(payout.totals, fee_refund=1))
    assert [(found.kind, found.field) for found in prove(off, sample(3).rows)] == [
        (DifferenceKind.TOTAL, "fee_refund"),
        (DifferenceKind.NET, "settlement"),
    ]


def test_a_total_of_its_own_for_commission_reversals_takes_them_out_of_reversals() -> None:
    text = (
        "total_commission_amount;total_reversal_amount;{}total_settlement_amount\n{}\n"
        "detailed_type;" + HEADER + "COMMISSION;COMMISSION;10.00;a;SEK\nCOMMISSION_RETURN;REVERSAL;4.00;a;SEK\n"
    )
    newer = text.format("total_commission_reversal_amount;", "10.00;0.00;4.00;6.00")
    older = text.format("", "10.00;4.00;6.00")
    for layout in (newer, older):
        (statement,) = read(layout)
        assert prove(statement.payout, statement.rows) == []


def test_merchant_protection_lowers_the_reversal_total() -> None:
    text = "total_reversal_amount;total_settlement_amount\n2.00;-2.00\n" + HEADER
    (statement,) = read(text + "REVERSAL;5.00;a;SEK\nREVERSAL_MERCHANT_PROTECTION;3.00;a;SEK\n")
    assert prove(statement.payout, statement.rows) == []


def test_a_tax_row_counts_as_tax() -> None:
    text = "total_tax_amount;total_fee_amount;total_settlement_amount\n2.50;10.00;-12.50\n" + HEADER
    (statement,) = read(text + "FEE;10.00;;SEK\nTAX;2.50;;SEK\n")
    assert prove(statement.payout, statement.rows) == []


def test_two_equal_fees_are_two_rows() -> None:
    """Operations 14: overlap is compared as a multiset."""
    fee = sample(1).rows[2]
    assert list(numbered_keys((fee, fee))) == [f"{content_key(fee)}.1", f"{content_key(fee)}.2"]
    seen = compare((fee,), (fee, fee))
    assert (seen.gone, seen.new) == ((), (fee,))


def test_a_report_with_fewer_columns_is_compared_on_what_both_have() -> None:
    full = sample(1)
    names = "type;amount;order_id;posting_currency\n"
    lines = [
        f"{row.type};{row.amount_minor // 100}.{row.amount_minor % 100:02d};{row.order_id};SEK" for row in full.rows
    ]
    (short,) = read(names + "\n".join(lines))
    assert compare(full.rows, short.rows).new != ()
    assert compare(full.rows, short.rows, full.fields & short.fields) == compare((), ())


def test_a_row_of_an_unknown_type_is_in_no_sum_until_a_person_gives_it_a_direction() -> None:
    text = "total_sale_amount;total_settlement_amount\n10.00;12.00\n" + HEADER + "SALE;10.00;a;SEK\nBONUS;2.00;a;SEK\n"
    (statement,) = read(text)
    assert prove(statement.payout, statement.rows) == [Difference(DifferenceKind.SETTLEMENT, "settlement", 1000, 1200)]
    assert prove(statement.payout, statement.rows, explained_minor=200) == []


@pytest.mark.parametrize(
    ("columns", "figures"),
    [
        ("total_tax_amount;total_tax_refund_amount", "2.50;0.50"),
        ("total_tax_amount", "2.50"),
        ("total_tax_amount", "2.00"),
    ],
    ids=["a total of its own", "left to the rows", "counted in tax"],
)
def test_vat_given_back_with_a_fee_is_proven_however_the_totals_count_it(columns: str, figures: str) -> None:
    """Klarna's list has a total for it in the API and none in the CSV."""
    text = f"total_fee_amount;total_fee_refund_amount;{columns};total_settlement_amount\n10.00;2.00;{figures};-10.00\n"
    rows = "tax_amount;" + HEADER + "2.50;FEE;10.00;a;SEK\n0.50;FEE_REFUND;2.00;a;SEK\n"
    (statement,) = read(text + rows)
    assert prove(statement.payout, statement.rows) == []
    (off,) = read(text + rows.replace("0.50", "0.51"))
    assert {found.kind for found in prove(off.payout, off.rows)} >= {DifferenceKind.SETTLEMENT}


def test_a_default_report_with_a_tax_row_leaves_the_vat_on_its_fees_out() -> None:
    text = "total_tax_amount;total_fee_amount;total_settlement_amount\n3.50;10.00;-13.50\n" + HEADER
    (statement,) = read(text + "FEE;10.00;;SEK\nTAX;1.00;;SEK\n")
    assert prove(statement.payout, statement.rows) == [Difference(DifferenceKind.VAT_LEFT_OUT, "tax", 100, 350)]
