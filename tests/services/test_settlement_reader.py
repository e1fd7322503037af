"""Settlement reports as they come: the three sample files to the öre, and everything that is refused or set aside."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from errors import BadInput
from services.settlement_cells import Limits
from services.settlement_layouts import Fault, Row, SettlementType, Statement, Totals
from services.settlement_proof import prove
from services.settlement_reader import Reading, read_csv

DATA = Path(__file__).parent.parent / "data" / "settlements"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAME = "settlement.900100001.csv"
HEADER = "type;amount;order_id;posting_currency\n"
SUMMARY = "total_sale_amount;total_settlement_amount;payment_reference;settlement_currency\n"


def sample(number: int) -> Statement:
    path = DATA / f"settlement.90010000{number}.csv"
    (statement,) = read_csv(path.read_bytes(), path.name, now=NOW).collect()
    return statement


def read(text: str | bytes, name: str = NAME, limits: Limits | None = None) -> tuple[Statement, ...]:
    source = text.encode() if isinstance(text, str) else text
    return read_csv(source, name, now=NOW, limits=limits).collect()


def rows_of(text: str) -> tuple[Row, ...]:
    return tuple(row for statement in read(text) for row in statement.rows)


def refused(text: str | bytes, name: str = NAME, limits: Limits | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(text, name, limits)
    assert caught.value.field == "file"
    assert "%(" not in str(caught.value)
    return caught.value


# The sample files


@pytest.mark.parametrize(
    ("number", "expected", "rows"),
    [
        (1, Totals(sale=199900, return_=24900, fee=5578, tax=1395, settlement=168027), 7),
        (2, Totals(sale=19900, return_=58950, fee=796, tax=199, deposit=40045, closing_debt=40045), 5),
        (
            3,
            Totals(
                sale=349000, fee=13791, tax=3448, holdback=34900, repay=40045, opening_debt=40045, settlement=256816
            ),
            8,
        ),
    ],
)
def test_a_sample_file_adds_up_to_the_ore(number: int, expected: Totals, rows: int) -> None:
    """B5."""
    statement = sample(number)
    assert statement.payout.totals == expected
    assert len(statement.rows) == rows
    assert prove(statement.payout, statement.rows) == []
    assert statement.payout.stated == {
        *("sale", "fee", "fee_correction", "tax", "return_", "reversal", "commission", "credit", "charge", "holdback"),
        *("release", "opening_debt", "deposit", "repay", "closing_debt", "fee_refund", "settlement"),
    }


def test_each_sample_opens_with_the_debt_the_one_before_closed_with() -> None:
    payouts = [sample(number).payout.totals for number in (1, 2, 3)]
    assert [totals.opening_debt for totals in payouts[1:]] == [totals.closing_debt for totals in payouts[:-1]]


def test_the_head_of_a_sample_is_read() -> None:
    payout = sample(1).payout
    assert (payout.payment_reference, payout.currency, payout.merchant_id) == ("900100001", "SEK", "K000001")
    assert payout.payout_date == datetime(2026, 9, 9, 7, 45, tzinfo=UTC)
    assert payout.settlement_type is SettlementType.NET


def test_every_field_of_a_row_is_read() -> None:
    fee, returned = sample(1).rows[1], sample(1).rows[-1]
    assert fee == Row(
        payment_reference="900100001",
        line=5,
        type="FEE",
        detailed_type="PURCHASE_FEE_PERCENTAGE",
        signed_minor=-3110,
        vat_amount_minor=778,
        vat_rate=2500,
        order_id="cc406173-d357-5aaa-9ec4-ada19fb46fca",
        short_order_id="A1TESTQ7",
        capture_id="2ab19e31-db53-5046-9559-547cb91113c5",
        refund_id=None,
        merchant_reference1="SO-20117",
        merchant_reference2=None,
        merchant_capture_reference="10041",
        merchant_refund_reference=None,
        captured_at=datetime(2026, 8, 27, 7, 20, 15, tzinfo=UTC),
        sale_date=datetime(2026, 8, 26, 8, 12, 44, tzinfo=UTC),
        currency="SEK",
        fault=None,
    )
    assert (fee.amount_minor, fee.signed_vat_minor) == (3110, -778)
    assert (returned.signed_minor, returned.capture_id, returned.merchant_refund_reference) == (-24900, None, "10043")


def test_three_rows_per_sale_share_the_capture() -> None:
    """Gotcha 17 and B1: what the bank gets of an invoice is its sale less its fees and their VAT."""
    rows = [row for row in sample(1).rows if row.merchant_capture_reference == "10041"]
    assert {row.capture_id for row in rows} == {"2ab19e31-db53-5046-9559-547cb91113c5"}
    assert [row.signed_minor for row in rows] == [124900, -3110, -300]
    assert sum(row.signed_minor + row.signed_vat_minor for row in rows) == 124900 - 3410 - 853


def test_lower_case_types_crlf_and_a_blank_line_are_read() -> None:
    assert [row.type for row in sample(2).rows] == ["SALE", "FEE", "FEE", "RETURN", "RETURN"]
    assert [row.line for row in sample(2).rows] == [5, 6, 7, 8, 9]


def test_a_quoted_field_and_an_invented_fee_are_read_and_the_fee_waits_for_a_person() -> None:
    """Catalogue row 58: the reading goes on, the row is faulty."""
    rows = sample(3).rows
    assert rows[3].merchant_reference2 == "Kampanj; vår"
    assert [(row.detailed_type, row.fault) for row in rows if row.fault] == [
        ("REGIONAL_SURCHARGE", Fault.UNKNOWN_DETAILED_TYPE)
    ]
    assert [row.order_id for row in rows[-2:]] == [None, None]


@pytest.mark.parametrize("change", ["line ends", "mark", "quotes"])
def test_the_same_file_saved_again_has_the_same_rows(change: str) -> None:
    """Fault row 30."""
    content = (DATA / "settlement.900100001.csv").read_bytes()
    saved = {
        "line ends": content.replace(b"\n", b"\r\n"),
        "mark": b"\xef\xbb\xbf" + content,
        "quotes": content.replace(b"SALE", b'"SALE"'),
    }[change]
    assert content != saved
    (again,) = read(saved)
    assert again == sample(1)


# Layouts


def test_a_summary_without_reference_takes_it_from_the_rows() -> None:
    summary = "total_sale_amount;total_settlement_amount\n3.00;3.00\n"
    text = summary + "payment_reference;" + HEADER + "42;SALE;1.00;a;SEK\n42;SALE;2.00;b;SEK\n"
    (statement,) = read(text, "x.csv")
    assert (statement.payout.payment_reference, statement.payout.currency) == ("42", "SEK")
    assert prove(statement.payout, statement.rows) == []
    assert refused(text + "43;SALE;1.00;a;SEK\n").values == {"row": 6, "text": "43"}


def test_a_summary_of_several_payouts_needs_the_reference_on_each_row() -> None:
    summary = SUMMARY + "1.00;1.00;1;SEK\n2.00;2.00;2;EUR\n"
    rows = "1;SALE;1.00;a;SEK\n2;SALE;2.00;b;EUR\n"
    first, second = read(summary + "payment_reference;" + HEADER + rows)
    assert [prove(one.payout, one.rows) for one in (first, second)] == [[], []]
    assert "payment_reference" in str(refused(summary + HEADER + "SALE;1.00;a;SEK\n"))
    assert refused(summary + "1.00;1.00;2;SEK\n" + HEADER).values == {"row": 4}
    assert refused(summary + "payment_reference;" + HEADER + ";SALE;1.00;a;SEK\n").values == {"row": 5}


def test_a_period_report_states_totals_for_all_its_payouts_together() -> None:
    text = (
        "summary_settlement_currency;summary_payout_date_start;summary_payout_date_end;"
        "summary_total_sale_amount;summary_total_return_amount;summary_total_settlement_amount\n"
        "SEK;2026-09-01;2026-09-30;30.00;1.00;29.00\n"
        "EUR;2026-09-01;2026-09-30;5.00;0.00;5.00\n"
        "payment_reference;payout_date;type;amount;order_id;posting_currency\n"
        "1;2026-09-09;SALE;10.00;a;SEK\n2;2026-09-16;SALE;20.00;b;SEK\n"
        "2;2026-09-16;RETURN;1.00;b;SEK\n3;2026-09-16;SALE;5.00;c;EUR\n"
    )
    reading = read_csv(text.encode(), "x.csv", now=NOW)
    rows = tuple(reading)
    assert [payout.payment_reference for payout in reading.payouts] == ["1", "2", "3"]
    assert all(not payout.stated for payout in reading.payouts)
    assert [period.currency for period in reading.periods] == ["SEK", "EUR"]
    for period in reading.periods:
        assert period.start == datetime(2026, 9, 1, tzinfo=UTC)
        assert prove(period, (row for row in rows if row.currency == period.currency)) == []
    assert prove(reading.periods[0], rows[:2]) != []


def test_signs_before_totals_are_read_as_magnitudes() -> None:
    text = (
        "total_sale_amount;total_return_amount;total_fee_amount;total_fee_correction_amount;total_reversal_amount;"
        "total_tax_amount;opening_debt_balance;total_repay_amount;closing_debt_balance;total_settlement_amount\n"
        "100.00;-10.00;-5.00;-2.00;3.00;-1.25;-4.00;-4.00;0.00;80.75\n" + HEADER + "SALE;100.00;a;SEK\n"
    )
    assert read(text)[0].payout.totals == Totals(
        sale=10000,
        return_=1000,
        fee=500,
        fee_correction=-200,
        reversal=-300,
        tax=125,
        opening_debt=400,
        repay=400,
        settlement=8075,
    )


@pytest.mark.parametrize("reversal", [("3.00", 300, "7.00"), ("-3.00", -300, "13.00"), ("-3.00", 300, "7.00")])
def test_a_reversal_total_that_gave_back_more_than_it_took_is_told_by_the_settlement(
    reversal: tuple[str, int, str],
) -> None:
    written, expected, settlement = reversal
    header = "total_sale_amount;total_reversal_amount;total_settlement_amount\n"
    (statement,) = read(f"{header}10.00;{written};{settlement}\n" + HEADER + "SALE;10.00;a;SEK\n")
    assert statement.payout.totals.reversal == expected


def test_totals_whose_signs_contradict_each_other_are_refused() -> None:
    header = "total_sale_amount;total_fee_amount;total_return_amount;total_settlement_amount\n"
    assert refused(header + "10.00;-1.00;1.00;8.00\n" + HEADER + "SALE;10.00;a;SEK\n").values == {"row": 2}
    assert refused(header + "-10.00;1.00;1.00;8.00\n" + HEADER + "SALE;10.00;a;SEK\n").values == {"row": 2}


@pytest.mark.parametrize("cell", ["25", "25.00", "2500", "25,0", "25 %", "25.000"])
def test_a_vat_rate_is_the_same_in_every_form(cell: str) -> None:
    (row,) = rows_of("tax_rate;" + HEADER + f"{cell};FEE;1.00;a;SEK\n")
    assert row.vat_rate == 2500


@pytest.mark.parametrize("cell", ["", "high", "-25", "10001", "25.005"])
def test_a_vat_rate_in_an_odd_form_is_left_out_because_the_amount_counts(cell: str) -> None:
    (row,) = rows_of("tax_rate;tax_amount;" + HEADER + f"{cell};0.25;FEE;1.00;a;SEK\n")
    assert (row.vat_rate, row.vat_amount_minor) == (None, 25)


def test_a_short_order_id_alone_identifies_a_report() -> None:
    (row,) = rows_of("type;amount;short_order_id;merchant_reference_1;currency_code\nSALE;1.00;A1;R;SEK\n")
    assert (row.short_order_id, row.order_id, row.merchant_reference1) == ("A1", None, "R")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type;amount;order_id\nSALE;1.00;a\n", "currency"),
        (HEADER + "SALE;1.00;a;kr\n", "currency"),
        ("payment_reference;" + HEADER + "a b;SALE;1.00;a;SEK\n", "payment reference"),
        (SUMMARY + "1.00;1.00;1/2;SEK\n" + HEADER, "payment reference"),
        ("total_sale_amount;merchant_settlement_type\n1.00;PARTIAL\n" + HEADER, "settlement type"),
        (SUMMARY + "1.00;1.00;1;SEK\nx;y\n", "columns"),
    ],
)
def test_what_identifies_a_payout_must_be_readable(text: str, reason: str) -> None:
    assert reason in str(refused(text))


def test_a_summary_payout_without_rows_or_currency_is_refused() -> None:
    text = "total_sale_amount;payment_reference\n1.00;1\n0.00;2\npayment_reference;" + HEADER + "1;SALE;1.00;a;SEK\n"
    assert refused(text).values == {"text": "2"}


def test_a_report_is_read_once_and_rows_come_one_by_one() -> None:
    reading = read_csv(io.BytesIO((HEADER + "SALE;1.00;a;SEK\nSALE;x;a;SEK\n").encode()), NAME, now=NOW)
    assert isinstance(reading, Reading)
    rows = iter(reading)
    assert next(rows).signed_minor == 100
    with pytest.raises(BadInput):
        next(rows)
    with pytest.raises(RuntimeError):
        iter(reading)


def test_a_report_a_little_ahead_of_our_clock_is_read() -> None:
    text = "type;amount;order_id;posting_currency;capture_date\nSALE;1.00;a;SEK;2026-11-22T12:00:00Z\n"
    assert read_csv(text.encode(), NAME, now=NOW - timedelta(hours=23)).collect()
    with pytest.raises(BadInput):
        read_csv(text.encode(), NAME, now=NOW - timedelta(hours=25)).collect()
