"""Rows are read by the column, some at a time, and nobody can tell: the same rows, the same no, with the same row named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from errors import BadInput
from services import settlement_columns, settlement_reader
from services.settlement_columns import Aside, columns_of, rows_of
from services.settlement_layouts import Row
from services.settlement_proof import content_key
from services.settlement_reader import read_csv
from services.settlement_report import Report, Survey

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HEADER = "payment_reference;type;amount;tax_amount;order_id;posting_currency;capture_date;payout_date;merchant_id\n"
GOOD = (
    "1;SALE;10.00;;A;SEK;2026-09-01T07:45:00Z;;K1",
    "1;FEE;1.00;0.25;A;SEK;;;",
    "2;SALE;10.00;;B;SEK;2026-09-02;2026-09-09;K1",
    "2;RETURN;-3.00;;B;;;;",
    '3;SALE;7.00;;"A\nB";EUR;;;K1',
    "1;SALE;5.00;;A;EUR;;;K1",
    "2;LOYALTY;-5.00;;A;SEK;;;",
)
UNSIGNED = (*GOOD[:3], "2;RETURN;3.00;;B;SEK;;;", GOOD[4])
BAD = (
    "1;SALE;10,00;;A;SEK;;;K1",
    "1;SALE;10;;A;SEK;;;K1",
    "1;;10.00;;A;SEK;;;K1",
    "1;SALE;10.00;;A;SEK;never;;K1",
    "1;SALE;10.00;;A;SEK;2026-12-24;;K1",
    "1;SALE;10.00;;A;SEK;;2026-09-01;K2",
    f"1;SALE;10.00;;{'A' * 256};SEK;;;K1",
    "1;SALE;10.00;x;A;kr;;;K1",
    "4;SALE;10.00;;A;;;;K1",
    ";SALE;10.00;;A;SEK;;;",
    "1;SALE;10.00",
    '1;SALE;10.00;;"A"B;SEK;;;K1',
    "",
)


def read(text: str, rows_at_a_time: int) -> tuple[list[Row], object, object]:
    """The rows that came, what was said of their payouts, and the no if there was one."""
    rows: list[Row] = []
    with mock.patch.object(settlement_reader, "BLOCK_ROWS", rows_at_a_time):
        reading = read_csv(text.encode(), "x.csv", now=NOW)
        try:
            rows.extend(row for row in reading)
        except BadInput as no:
            return rows, reading.payouts, (type(no), no.message, no.values)
    return rows, reading.payouts, None


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(st.sampled_from(GOOD + BAD), min_size=1, max_size=9), size=st.integers(2, 10))
@example(lines=[GOOD[0], BAD[0], BAD[0]], size=3)
@example(lines=[GOOD[1], BAD[3], BAD[10]], size=3)
@example(lines=[GOOD[3], GOOD[1], BAD[2]], size=3)
def test_however_many_rows_are_read_at_once_the_same_rows_come_and_the_same_no(lines: list[str], size: int) -> None:
    """K47: what is wrong is told with its row, and with the first that is wrong."""
    text = HEADER + "\n".join(lines) + "\n"
    assert read(text, size) == read(text, 1)


def surveys(text: str) -> Iterator[tuple[Survey, list[tuple[object, ...]]]]:
    """What a report tells of each payout, and its rows as they are laid aside."""
    aside = Aside()
    found = sorted(Report(text.encode(), "x.csv").survey(aside), key=lambda each: each.payout.payment_reference)
    for survey in found:
        blocks = [columns for reference, columns in aside.blocks() if reference == survey.payout.payment_reference]
        yield survey, list(chain.from_iterable(zip(*columns, strict=True) for columns in blocks))


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.sampled_from(UNSIGNED), min_size=1, max_size=12))
def test_payouts_whose_rows_are_mixed_are_read_as_if_they_followed_each_other(lines: list[str]) -> None:
    """K47: a report of several payouts may give their rows in any order; each keeps its own order."""
    mixed = list(surveys(HEADER + "\n".join(lines) + "\n"))
    apart = list(surveys(HEADER + "\n".join(sorted(lines, key=lambda line: line[0])) + "\n"))
    for (one, one_rows), (other, other_rows) in zip(mixed, apart, strict=True):
        assert one_rows == other_rows and len(one_rows) == one.count
        assert (one.count, str(one.rows_hash), one.last_at) == (other.count, str(other.rows_hash), other.last_at)
        assert (one.differences, one.unknown_minor) == (other.differences, other.unknown_minor)
        keys = [row[0] for row in one_rows]
        assert {key for key in keys if keys.count(key) > 1} <= one.twins


def test_rows_go_through_columns_and_back_and_have_the_key_they_had() -> None:
    rows = read(HEADER + "\n".join(GOOD) + "\n", 250)[0]
    with mock.patch.object(settlement_columns, "BLOCK_ROWS", 3):
        blocks = list(columns_of(rows))
    assert [len(block[0]) for block in blocks] == [3, 3, 1]
    assert list(chain.from_iterable(map(rows_of, blocks))) == rows
    # As they have always been: rows in the books are known again by them.
    assert [content_key(row) for row in rows[:2]] == [
        "b9d8d8bbb0ba961df8e88332fe1d476a",
        "a15e1fee64ff1d91e44b4c326a564190",
    ]
