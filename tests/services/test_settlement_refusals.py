"""Bad settlement files, by rows 47 to 61 of the catalogue: refused with the row, or the row waits for a person."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from errors import BadInput, TooLarge, UnsupportedFile
from services.settlement_cells import Limits
from services.settlement_layouts import FAULT_SENTENCES, Fault, Row, Statement
from services.settlement_proof import Difference, DifferenceKind, prove, tally
from services.settlement_reader import read_csv

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAME = "settlement.900100001.csv"
HEADER = "type;amount;order_id;posting_currency\n"
SUMMARY = "total_sale_amount;total_settlement_amount;payment_reference;settlement_currency\n"


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


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "\ufeff", HEADER, SUMMARY + "1.00;1.00;900100001;SEK\n", SUMMARY, SUMMARY + "\n" + HEADER],
    ids=["empty", "blank", "mark only", "header only", "summary only", "summary header only", "two headers"],
)
def test_row_47_a_report_without_rows_is_refused(text: str) -> None:
    error = refused(text)
    assert error.status == 422
    assert str(error) == "The report has no rows."


def test_row_48_too_many_bytes_are_refused_naming_the_limit_and_the_row() -> None:
    error = refused(HEADER + "SALE;1.00;a;SEK\n" * 40_000, limits=Limits(bytes=300_000))
    assert isinstance(error, TooLarge)
    assert error.status == 413
    assert error.values["limit"] == 300_000
    assert Limits().bytes < 60_000_000


def test_row_48_too_many_rows_are_refused_naming_the_row() -> None:
    error = refused(HEADER + "SALE;1.00;a;SEK\n" * 4, limits=Limits(rows=3))
    assert (error.status, error.values) == (413, {"limit": 3, "row": 5})
    assert Limits().rows < 3_000_000


def test_row_48_a_line_without_end_is_refused_in_flat_memory() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            assert self.taken < 2_000_000
            return b"a" * size

    with pytest.raises(TooLarge) as caught:
        read_csv(Endless(), NAME, now=NOW)  # type: ignore[arg-type]
    assert caught.value.values["row"] == 1


def test_row_48_a_field_over_the_limit_is_refused_with_its_row() -> None:
    error = refused(HEADER + "SALE;1.00;b;SEK\n" + f"SALE;1.00;{'a' * 131_073};SEK\n")
    assert (error.status, error.values["row"]) == (413, 3)


def test_a_text_longer_than_any_of_klarnas_is_refused() -> None:
    assert refused(HEADER + f"SALE;1.00;{'a' * 256};SEK\n").values == {"row": 2, "found": 256, "limit": 255}
    assert rows_of(HEADER + f"SALE;1.00;{'a' * 255};SEK\n")[0].order_id == "a" * 255
    assert refused("merchant_id;" + HEADER + f"{'K' * 256};SALE;1.00;a;SEK\n").values["row"] == 2
    assert refused(SUMMARY.strip() + f";merchant_id\n1.00;1.00;1;SEK;{'K' * 256}\n" + HEADER).values["row"] == 2


def test_too_many_payouts_in_one_file_are_refused() -> None:
    text = "payment_reference;" + HEADER + "".join(f"{number};SALE;1.00;a;SEK\n" for number in range(4))
    assert refused(text, limits=Limits(payouts=3)).status == 413


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04\x14\x00", "XLSX"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "XLS"),
        (b"PK\x05\x06" + bytes(18), "ZIP"),
    ],
)
def test_row_49_another_kind_of_file_is_refused_by_content_and_not_unpacked(content: bytes, kind: str) -> None:
    error = refused(content + b"\n" * 100)
    assert isinstance(error, UnsupportedFile)
    assert error.status == 415
    assert kind in str(error)


@pytest.mark.parametrize("content", ['<?xml version="1.0"?>\n<!DOCTYPE a SYSTEM "file:///etc/passwd">\n', '{"a": 1}\n'])
def test_row_50_xml_and_json_are_text_without_a_header(content: str) -> None:
    assert refused(content).values == {"row": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_row_51_wide_encodings_are_refused_with_the_reason(encoding: str) -> None:
    error = refused((HEADER + "SALE;1.00;a;SEK\n").encode(encoding))
    assert isinstance(error, UnsupportedFile)
    assert "UTF-8" in str(error)


def test_row_51_utf_16_without_a_mark_is_refused_as_nul() -> None:
    assert "NUL" in str(refused((HEADER + "SALE;1.00;a;SEK\n").encode("utf-16-le")))


def test_row_51_windows_1252_is_refused_with_the_row() -> None:
    error = refused((HEADER + "SALE;1.00;a;SEK\nSALE;1.00;vår;SEK\n").encode("cp1252"))
    assert error.values == {"row": 3}
    assert "Windows-1252" in str(error)


def test_row_51_a_mixed_file_is_refused_with_the_row_far_down() -> None:
    good = (HEADER + "SALE;1.00;vår;SEK\n" * 20_000).encode()
    assert refused(good + b"SALE;1.00;v\xe5r;SEK\n").values == {"row": 20_002}


def test_row_51_nul_is_refused_with_the_row() -> None:
    assert refused(HEADER + "SALE;1.00;a;SEK\nSALE;1.00;a\0;SEK\n").values == {"row": 3}


def test_row_51_a_character_split_between_blocks_is_read() -> None:
    rows = rows_of(HEADER + "SALE;1.00;ååååååå;SEK\n" * 30_000)
    assert {row.order_id for row in rows} == {"ååååååå"}


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_row_52_the_delimiter_is_found_by_the_header(delimiter: str) -> None:
    text = (HEADER + 'SALE;"1,00";a;SEK\n').replace(";", delimiter)
    assert read_csv(text.encode(), NAME, now=NOW).delimiter == delimiter
    assert rows_of(text)[0].signed_minor == 100


@pytest.mark.parametrize(
    "text", [HEADER.strip() + "\rSALE;1.00;a;SEK\r", HEADER + "SALE;1.00;a;SEK\rSALE;1.00;a;SEK\n"]
)
def test_row_52_a_lone_carriage_return_is_refused(text: str) -> None:
    assert "carriage return" in str(refused(text))


def test_row_52_a_line_end_inside_quotes_is_part_of_the_field() -> None:
    rows = rows_of(HEADER + 'SALE;1.00;"a\nb";SEK\r\nSALE;2.00;"c\r\nd";SEK\r\nSALE;3.00;e;SEK\n')
    assert [(row.order_id, row.line) for row in rows] == [("a\nb", 2), ("c\r\nd", 4), ("e", 6)]


@pytest.mark.parametrize("rows", [1, 30_000])
def test_row_53_a_quote_never_closed_is_refused(rows: int) -> None:
    error = refused(HEADER + 'SALE;1.00;"a;SEK\n' + "SALE;1.00;a;SEK\n" * rows)
    assert error.values["row"] == 2
    assert "never closed" in str(error)


def test_row_53_a_quote_in_the_wrong_place_is_refused() -> None:
    assert refused(HEADER + 'SALE;1.00;"a"b;SEK\n').values == {"row": 2}


@pytest.mark.parametrize(
    "header",
    [
        "SALE;1.00;a;SEK\n",
        "amount;order_id\n",
        "type;order_id\n",
        "type;amount\n",
        "order_amount,fee_amount,net_settlement\n",
        "Typ;Belopp;Ordernummer\n",
    ],
)
def test_row_54_a_file_without_the_header_is_refused(header: str) -> None:
    """Reference 5.4: reports of the old platform and other people's columns are not recognised either."""
    assert refused(header + "SALE;1.00;a\n").values == {"row": 1}


@pytest.mark.parametrize("header", ["type;amount;order_id;amount\n", "type;amount;order_id;x;X\n"])
def test_row_54_a_column_named_twice_is_refused(header: str) -> None:
    assert refused(header + "SALE;1.00;a;SEK\n").values["row"] == 1
    assert "twice" in str(refused(SUMMARY + "1.00;1.00;1;SEK\n" + header + "SALE;1.00;a;SEK\n"))


def test_row_54_columns_count_by_name_and_extra_ones_are_left_alone() -> None:
    text = "surprise;ORDER ID; amount ;Type;posting_currency;\nx;a;12.50;sale;sek;\n"
    assert read_csv(text.encode(), NAME, now=NOW).unused == ("surprise",)
    (row,) = rows_of(text)
    assert (row.order_id, row.signed_minor, row.type, row.currency) == ("a", 1250, "SALE", "SEK")


@pytest.mark.parametrize(("row", "found"), [("SALE;1.00;a", 3), ("SALE;1.00;a;SEK;", 5), ("SALE;1,00;a;b;SEK", 5)])
def test_row_55_too_few_or_too_many_columns_are_refused_with_the_row(row: str, found: int) -> None:
    assert refused(HEADER + f"SALE;1.00;a;SEK\n{row}\n").values == {"row": 3, "found": found, "width": 4}


def test_row_55_a_summary_row_of_other_width_is_refused() -> None:
    assert refused(SUMMARY + "1.00;1.00;900100001\n" + HEADER).values == {"row": 2, "found": 3, "width": 4}


@pytest.mark.parametrize("blank", ["\n", ";;;\n", "  \n"])
def test_row_55_a_blank_row_in_the_middle_is_refused_and_at_the_end_is_not(blank: str) -> None:
    row = "SALE;1.00;a;SEK\n"
    assert refused(HEADER + row + blank + blank + row).values == {"row": 3}
    assert len(rows_of(HEADER + blank + row + row + blank + blank)) == 2


def test_a_row_cut_off_at_the_end_is_refused() -> None:
    """Reference 5.4: the last row possibly cut off."""
    assert refused("order_id;type;posting_currency;amount\na;SALE;SEK;1.00\na;SALE;SEK;1.0").values["row"] == 3


@pytest.mark.parametrize(
    "amount",
    [
        *("1 234,50", "1.234,50", "1,234.50", "-0", "-0.00", "", "12.345", "12.3", "12", "0", ".50", "1.", "+1.00"),
        *(
            "1e3",
            "NaN",
            "1_0.00",
            "\u22121.00",
            "(1.00)",
            "\u0661.00",
            "1.0\u00b2",
            " 1.00",
            "1.00 ",
            "007.00",
            "--1.00",
        ),
        *("12345678901.00", "SEK 1.00", "1.00-", "0x1.00"),
    ],
)
def test_row_56_an_amount_in_another_form_is_refused_with_the_row(amount: str) -> None:
    error = refused(HEADER + f"SALE;1.00;a;SEK\nSALE;{amount};a;SEK\n")
    assert (error.status, error.values["row"]) == (422, 3)


def test_row_56_the_decimal_sign_is_the_same_throughout() -> None:
    assert "another decimal sign" in str(refused(HEADER + "SALE;1.00;a;SEK\nSALE;1,00;a;SEK\n"))
    assert [row.signed_minor for row in rows_of(HEADER + "SALE;1234,50;a;SEK\nSALE;0,05;a;SEK\n")] == [123450, 5]


def test_row_57_two_payouts_in_two_currencies_are_split() -> None:
    """Reference 5.4, variant 2: no summary, reference and date as columns, comma, blank detailed types."""
    text = (
        "payment_reference,payout_date,type,detailed_type,order_id,amount,posting_currency\n"
        "1,2026-09-09T07:45:00Z,SALE,,a,10.00,SEK\n"
        "2,2026-09-09T07:45:00Z,SALE,,b,20.00,EUR\n"
        "1,2026-09-09T07:45:00Z,RETURN,,c,1.00,SEK\n"
    )
    first, second = read(text, "export.csv")
    assert [(one.payout.payment_reference, one.payout.currency) for one in (first, second)] == [
        ("1", "SEK"),
        ("2", "EUR"),
    ]
    assert [row.signed_minor for row in first.rows] == [1000, -100]
    assert first.payout.payout_date == datetime(2026, 9, 9, 7, 45, tzinfo=UTC)
    assert prove(first.payout, first.rows) == [Difference(DifferenceKind.UNSTATED, "settlement", 900, 0)]


def test_row_57_a_row_in_another_currency_than_its_payout_waits_for_a_person_and_is_in_no_sum() -> None:
    first, second = rows_of(HEADER + "SALE;1.00;a;SEK\nSALE;2.00;b;EUR\n")
    assert (first.fault, second.fault) == (None, Fault.OTHER_CURRENCY)
    assert tally((first, second)).totals(commission_apart=False).sale == 100


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("payout_date", ("2026-09-09", "2026-09-10")),
        ("merchant_id", ("K1", "K2")),
    ],
)
def test_row_57_a_payout_of_two_dates_or_stores_is_refused(columns: str, rows: tuple[str, str]) -> None:
    text = f"{columns};" + HEADER + "".join(f"{value};SALE;1.00;a;SEK\n" for value in rows)
    assert refused(text).values["row"] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOYALTY_BONUS;5.00", (500, Fault.UNKNOWN_TYPE)),
        ("LOYALTY_BONUS;-5.00", (-500, Fault.UNKNOWN_TYPE)),
        ("SALE;-5.00", (500, Fault.WRONG_SIGN)),
        ("CORRECTION;-5.00", (-500, None)),
        ("CORRECTION;5.00", (500, None)),
        ("FEE;-5.00", (-500, None)),
        ("FEE;5.00", (-500, None)),
        ("tax;5.00", (-500, None)),
    ],
)
def test_row_58_the_type_decides_the_direction(text: str, expected: tuple[int, Fault | None]) -> None:
    (row,) = rows_of(HEADER + f"{text};a;SEK\n")
    assert (row.signed_minor, row.fault) == expected
    assert row.amount_minor == 500


def test_row_58_where_signs_are_on_a_positive_return_is_faulty() -> None:
    rows = rows_of(HEADER + "FEE;-1.00;a;SEK\nRETURN;2.00;a;SEK\nRETURN;-3.00;a;SEK\nHOLDBACK;0.00;;SEK\n")
    assert [(row.signed_minor, row.fault) for row in rows] == [
        (-100, None),
        (-200, Fault.WRONG_SIGN),
        (-300, None),
        (0, None),
    ]


def test_row_58_a_known_detailed_type_under_the_wrong_type_is_faulty() -> None:
    (row,) = rows_of("detailed_type;" + HEADER + "PURCHASE_RETURN;SALE;1.00;a;SEK\n")
    assert row.fault is Fault.UNKNOWN_DETAILED_TYPE


def test_row_58_a_row_without_a_type_is_refused() -> None:
    assert refused(HEADER + ";1.00;a;SEK\n").values == {"row": 2}


def test_every_fault_has_its_sentence() -> None:
    assert set(FAULT_SENTENCES) == set(Fault)


@pytest.mark.parametrize(
    "date",
    [
        *("2026-11-24T00:00:00Z", "2099-01-01", "2004-12-31T23:59:59Z", "0000-01-01", "2026-02-30", "2026-13-01"),
        *("09/10/2026", "20260909", "2026-W37-3", "2026-09-09T25:00:00Z", "2026-09-09T07:45:00+25:00", "igår"),
        *("2026-09-09T07:45:00 CET", "1757404800", "2026-09-09T", "\u0662026-09-09", "0001-01-01T00:00:00+05:00"),
    ],
)
def test_row_59_a_date_that_cannot_be_is_refused_with_the_row(date: str) -> None:
    header = "type;amount;order_id;posting_currency;capture_date\n"
    assert refused(header + f"SALE;1.00;a;SEK;{date}\n").values["row"] == 2
    assert refused(SUMMARY.strip() + f";payout_date\n1.00;1.00;1;SEK;{date}\n" + HEADER).values["row"] == 2


def test_row_59_an_instant_before_midnight_keeps_its_instant() -> None:
    header = "type;amount;order_id;posting_currency;capture_date\n"
    (row,) = rows_of(header + "SALE;1.00;a;SEK;2026-09-09T01:30:00.680+02:00\n")
    assert row.captured_at == datetime(2026, 9, 8, 23, 30, 0, 680_000, tzinfo=UTC)


def test_row_60_what_looks_like_a_formula_is_text() -> None:
    rows = rows_of(HEADER + 'SALE;1.00;"=HYPERLINK(""http://x"")";SEK\nSALE;1.00;@SUM;SEK\nSALE;1.00;"\t\rx";SEK\n')
    assert [row.order_id for row in rows] == ['=HYPERLINK("http://x")', "@SUM", "\t\rx"]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("settlement.900100001.csv", "900100001"),
        ("settlement.XISA93DJ (1).csv", "XISA93DJ"),
        ("123456789_20180809T000226_0.csv", "123456789"),
        ("123456789_20180809T000000+0000_0.csv", "123456789"),
        ("../../settlement.7.csv", "7"),
        ("C:\\fakepath\\settlement.7.csv", "7"),
    ],
)
def test_row_61_the_name_gives_the_reference_when_nothing_else_does(name: str, reference: str) -> None:
    (statement,) = read(HEADER + "SALE;1.00;a;SEK\n", name)
    assert statement.payout.payment_reference == statement.rows[0].payment_reference == reference


@pytest.mark.parametrize(
    "name", ["x.csv", "settlement.csv", "settlement.a_b.csv", "settlement.\u0661.csv", "\u202evsc.1"]
)
def test_row_61_a_name_that_tells_nothing_is_refused(name: str) -> None:
    assert "which payout" in str(refused(HEADER + "SALE;1.00;a;SEK\n", name))


def test_the_name_is_the_last_resort() -> None:
    text = SUMMARY + "1.00;1.00;42;SEK\n" + HEADER + "SALE;1.00;a;SEK\n"
    assert read(text, "settlement.900100001.csv")[0].payout.payment_reference == "42"


def test_a_file_klarna_is_still_writing_is_refused() -> None:
    assert "being written" in str(refused(HEADER, "1_20180809T000226_0.csv.tmp"))
