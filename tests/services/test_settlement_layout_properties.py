"""Whatever layout a report is configured in, printing facts and reading them gives the same facts."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from errors import BadInput
from services.settlement_answers import read_payout_json
from services.settlement_layouts import (
    API_TOTALS,
    CSV_COLUMNS,
    CSV_TOTALS,
    DETAILED_TYPES,
    TYPES,
    Payout,
    Row,
    SettlementType,
    Statement,
    Totals,
    kind_of,
)
from services.settlement_proof import (
    DifferenceKind,
    Group,
    Tally,
    compare,
    content_key,
    numbered_keys,
    prove,
    rows_hash,
    tally,
)
from services.settlement_reader import read_csv

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TAKEN = ("return_", "reversal", "fee", "tax", "commission_reversal", "charge", "holdback", "repay")
DATE_FORMS: dict[str, Callable[[datetime], str]] = {
    "zulu": lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "offset": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
    "short offset": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
    "thousandths": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "space": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    "summer time": lambda at: at.astimezone(timezone(timedelta(hours=2))).isoformat(),
}


@dataclass(frozen=True)
class Layout:
    """How a report is written."""

    delimiter: str = ";"
    decimal: str = "."
    signs: bool = False
    dates: str = "zulu"
    mark: bool = False
    eol: str = "\n"
    last_eol: bool = True
    summary: bool = True
    blanks: tuple[int, int, int] = (0, 0, 0)
    quote_all: bool = False
    order: tuple[str, ...] = tuple(CSV_COLUMNS)
    extra: bool = False
    type_case: str = "upper"
    header_case: str = "lower"
    rate: str = "percent"
    reference_in: str = "column"


def write_csv(payout: Payout, rows: Sequence[Row], layout: Layout) -> bytes:
    """Print a report in a layout."""
    text = io.StringIO()
    out = csv.writer(
        text,
        delimiter=layout.delimiter,
        lineterminator=layout.eol,
        quoting=csv.QUOTE_ALL if layout.quote_all else csv.QUOTE_MINIMAL,
    )

    def amount(minor: int) -> str:
        sign = "-" if minor < 0 else ""
        return f"{sign}{abs(minor) // 100}{layout.decimal}{abs(minor) % 100:02d}"

    def moment(at: datetime | None) -> str:
        return "" if at is None else DATE_FORMS[layout.dates](at)

    def header(name: str) -> str:
        return {"lower": name, "upper": name.upper(), "words": name.replace("_", " ").title()}[layout.header_case]

    def rate(hundredths: int) -> str:
        return {"percent": f"{hundredths // 100}.{hundredths % 100:02d}", "hundredths": str(hundredths)}[layout.rate]

    text.write(layout.eol * layout.blanks[0])
    if layout.summary:
        given = {name: getattr(payout.totals, field) for name, field in CSV_TOTALS.items() if field in payout.stated}
        figures = {
            name: amount(-value if layout.signs and CSV_TOTALS[name] in TAKEN else value)
            for name, value in given.items()
        }
        figures |= {
            "settlement_currency": payout.currency,
            "payout_date": moment(payout.payout_date),
            "merchant_id": payout.merchant_id or "",
            "merchant_settlement_type": str(payout.settlement_type or ""),
        }
        if layout.reference_in != "name":
            figures["payment_reference"] = payout.payment_reference
        out.writerow(map(header, figures))
        out.writerow(figures.values())
        text.write(layout.eol * layout.blanks[1])
    columns = [name for name in layout.order if name != "payment_reference" or layout.reference_in == "column"]
    out.writerow([*(header(CSV_COLUMNS[name][0]) for name in columns), *(["shipping_country"] if layout.extra else [])])
    for row in rows:
        shown = row.signed_minor if layout.signs or not TYPES.get(row.type, ("", 0))[1] else row.amount_minor
        vat = row.vat_amount_minor
        cells: dict[str, str] = {
            "type": row.type.lower() if layout.type_case == "lower" else row.type,
            "amount": amount(shown),
            "vat_amount_minor": "" if vat is None else amount(-vat if layout.signs and shown < 0 and vat else vat),
            "vat_rate": "" if row.vat_rate is None else rate(row.vat_rate),
            "captured_at": moment(row.captured_at),
            "sale_date": moment(row.sale_date),
            "payout_date": moment(payout.payout_date),
            "merchant_id": payout.merchant_id or "",
        }
        out.writerow(
            [
                *(cells[name] if name in cells else getattr(row, name) or "" for name in columns),
                *(["SE"] if layout.extra else []),
            ]
        )
    text.write(layout.eol * layout.blanks[2])
    written = text.getvalue() if layout.last_eol else text.getvalue().rstrip("\r\n")
    return (b"\xef\xbb\xbf" if layout.mark else b"") + written.encode()


def as_answer(payout: Payout, rows: Sequence[Row]) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The same facts as the Settlements API gives them."""
    names = {"vat_amount_minor": "vat_amount", "captured_at": "capture_date", "currency": "currency_code"}
    transactions: list[dict[str, object]] = []
    for row in rows:
        told: dict[str, object] = {
            names.get(field, field): value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
            for field, value in row._asdict().items()
            if field not in ("line", "fault", "signed_minor")
        }
        signed = row.signed_minor if not TYPES.get(row.type, ("", 0))[1] else row.amount_minor
        transactions.append(told | {"amount": signed})
    head: dict[str, object] = {
        "payment_reference": payout.payment_reference,
        "currency_code": payout.currency,
        "merchant_id": payout.merchant_id,
        "payout_date": payout.payout_date.strftime("%Y-%m-%dT%H:%M:%SZ") if payout.payout_date else None,
        "merchant_settlement_type": str(payout.settlement_type),
        "totals": {API_TOTALS[field]: getattr(payout.totals, field) for field in payout.stated},
    }
    return head, transactions


MINOR = st.integers(min_value=0, max_value=999_999_999)
MOMENTS = st.integers(min_value=0, max_value=690_000_000).map(
    lambda seconds: datetime(2005, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
TEXTS = st.none() | st.text("abcÅÄÖåäö0123456789;,|\t\"'\n =@+-/#€", min_size=1, max_size=20)
UUIDS = st.none() | st.uuids().map(str)
KINDS = st.sampled_from(
    [
        *((type_, detail) for type_, details in DETAILED_TYPES.items() for detail in (None, *sorted(details))),
        ("FEE", "REGIONAL_SURCHARGE"),
        ("LOYALTY_BONUS", None),
        ("LOYALTY_BONUS", "PURCHASE"),
    ]
)


@st.composite
def a_row(draw: st.DrawFn) -> Row:
    type_, detail = draw(KINDS)
    kind = kind_of(type_, detail or "")
    amount = draw(MINOR) if kind.sign else draw(MINOR) * draw(st.sampled_from((1, -1)))
    return Row(
        payment_reference="900100001",
        line=0,
        type=type_,
        detailed_type=detail,
        signed_minor=amount * (kind.sign or 1),
        vat_amount_minor=draw(st.none() | MINOR),
        vat_rate=draw(st.sampled_from((None, 0, 600, 1200, 2500))),
        order_id=draw(UUIDS),
        short_order_id=draw(TEXTS),
        capture_id=draw(UUIDS),
        refund_id=draw(UUIDS),
        merchant_reference1=draw(TEXTS),
        merchant_reference2=draw(TEXTS),
        merchant_capture_reference=draw(TEXTS),
        merchant_refund_reference=draw(TEXTS),
        captured_at=draw(st.none() | MOMENTS),
        sale_date=draw(st.none() | MOMENTS),
        currency="SEK",
        fault=kind.fault,
    )


@st.composite
def a_statement(draw: st.DrawFn) -> Statement:
    rows = tuple(draw(st.lists(a_row(), min_size=1, max_size=8)))
    return stated(rows, repay=draw(MINOR), deposit=draw(MINOR), opening=draw(MINOR))


def stated(rows: tuple[Row, ...], *, repay: int = 0, deposit: int = 0, opening: int = 0) -> Statement:
    """The payout these rows make, with totals that add up and no debt below zero."""
    totals = tally(rows).totals(commission_apart=False)
    totals = replace(totals, repay=repay, deposit=deposit, opening_debt=opening + repay)
    totals = replace(totals, closing_debt=totals.debt_after(), settlement=totals.net())
    payout = Payout(
        payment_reference="900100001",
        currency="SEK",
        merchant_id="K000001",
        payout_date=datetime(2026, 9, 9, 23, 30, tzinfo=UTC),
        settlement_type=SettlementType.NET,
        totals=totals,
        stated=frozenset(field.name for field in fields(Totals)),
    )
    return Statement(payout, rows, frozenset(Row._fields))


@st.composite
def a_layout(draw: st.DrawFn) -> Layout:
    few = st.integers(min_value=0, max_value=3)
    return Layout(
        delimiter=draw(st.sampled_from(";,\t|")),
        decimal=draw(st.sampled_from(".,")),
        signs=draw(st.booleans()),
        dates=draw(st.sampled_from(sorted(DATE_FORMS))),
        mark=draw(st.booleans()),
        eol=draw(st.sampled_from(("\n", "\r\n"))),
        last_eol=draw(st.booleans()),
        summary=draw(st.booleans()),
        blanks=(draw(few), draw(few), draw(few)),
        quote_all=draw(st.booleans()),
        order=tuple(draw(st.permutations(tuple(CSV_COLUMNS)))),
        extra=draw(st.booleans()),
        type_case=draw(st.sampled_from(("upper", "lower"))),
        header_case=draw(st.sampled_from(("lower", "upper", "words"))),
        rate=draw(st.sampled_from(("percent", "hundredths"))),
        reference_in=draw(st.sampled_from(("column", "summary", "name"))),
    )


def without_lines(rows: Sequence[Row]) -> list[Row]:
    return [row._replace(line=0) for row in rows]


def reads_both_ways(statement: Statement, layout: Layout) -> bool:
    """Reversals and tax that cancel out, with signs on and nothing else taken: nobody can tell the signs."""
    totals = statement.payout.totals
    others = (totals.return_, totals.fee, totals.charge, totals.holdback, totals.repay)
    return layout.signs and not any(others) and totals.reversal + totals.tax == 0 != totals.tax


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(statement=a_statement(), layout=a_layout())
def test_print_then_read_is_the_identity_in_every_layout(statement: Statement, layout: Layout) -> None:
    """K47, B5: delimiter, decimals, signs, dates, mark, line ends, summary, blanks, quotes, order of columns."""
    assume(not reads_both_ways(statement, layout))
    payout = statement.payout
    name = "settlement.900100001.csv" if layout.reference_in == "name" or not layout.summary else "x.csv"
    (read,) = read_csv(write_csv(payout, statement.rows, layout), name, now=NOW).collect()
    assert without_lines(read.rows) == list(statement.rows)
    if not layout.summary:
        payout = replace(payout, totals=Totals(), stated=frozenset(), settlement_type=None)
    assert read.payout == payout
    assert read.fields == statement.fields - {"line", "fault"} - (
        {"payment_reference"} if layout.reference_in != "column" else set()
    )
    if layout.summary:
        assert prove(read.payout, read.rows) == []
    else:
        assert [difference.kind for difference in prove(read.payout, read.rows)] == [DifferenceKind.UNSTATED]


@settings(max_examples=100, deadline=None)
@given(statement=a_statement(), layout=a_layout(), random=st.randoms(use_true_random=False))
def test_a_report_in_another_format_and_order_has_the_same_rows(
    statement: Statement, layout: Layout, random: Random
) -> None:
    """Fault row 30: the API's answer and a file saved again with other line ends, quotes and order are equal."""
    shuffled = list(statement.rows)
    random.shuffle(shuffled)
    name = "settlement.900100001.csv"
    (file,) = read_csv(write_csv(statement.payout, shuffled, layout), name, now=NOW).collect()
    answer = read_payout_json(*as_answer(statement.payout, statement.rows), now=NOW)
    assert answer.payout == statement.payout
    assert without_lines(answer.rows) == list(statement.rows)
    assert compare(file.rows, answer.rows).gone == compare(file.rows, answer.rows).new == ()
    assert Counter(numbered_keys(file.rows)) == Counter(numbered_keys(answer.rows))
    assert str(rows_hash(file.rows)) == str(rows_hash(answer.rows))


@settings(max_examples=100, deadline=None)
@given(statement=a_statement(), data=st.data())
def test_one_changed_row_is_seen_and_shown(statement: Statement, data: st.DataObject) -> None:
    """Fault row 32: a payout issued again with one row changed."""
    place = data.draw(st.integers(0, len(statement.rows) - 1))
    old = statement.rows[place]
    new = old._replace(signed_minor=old.signed_minor + 1)
    rows = (*statement.rows[:place], new, *statement.rows[place + 1 :])
    assert str(rows_hash(rows)) != str(rows_hash(statement.rows))
    seen = compare(statement.rows, rows)
    assert [content_key(row) for row in seen.gone] != [content_key(row) for row in seen.new]
    assert len(seen.gone) == len(seen.new) == 1


@settings(max_examples=150, deadline=None)
@given(statement=a_statement(), field=st.sampled_from([field.name for field in fields(Totals)]))
def test_a_total_off_by_one_ore_is_never_proven(statement: Statement, field: str) -> None:
    """B5, fault row 35."""
    payout = statement.payout
    if field == "commission_reversal" and tally(statement.rows).totals(commission_apart=True).commission_reversal:
        return
    off = replace(payout, totals=replace(payout.totals, **{field: getattr(payout.totals, field) + 1}))
    assert prove(payout, statement.rows) == []
    assert prove(off, statement.rows) != []


@settings(max_examples=100, deadline=None)
@given(statement=a_statement())
def test_a_payout_without_one_of_its_rows_is_never_proven(statement: Statement) -> None:
    """Fault row 35: a row that moves money cannot be missing."""
    moving = [
        place
        for place, row in enumerate(statement.rows)
        if row.type in TYPES and (row.signed_minor or row.signed_vat_minor) and row.signed_minor
    ]
    for place in moving:
        assert prove(statement.payout, statement.rows[:place] + statement.rows[place + 1 :]) != []


@settings(max_examples=100, deadline=None)
@given(statement=a_statement())
def test_groups_added_up_elsewhere_prove_the_same_as_rows(statement: Statement) -> None:
    sums: dict[tuple[str, str | None], tuple[int, int, int]] = {}
    for row in statement.rows:
        effect, vat, told = sums.get((row.type, row.detailed_type), (0, 0, 0))
        sums[row.type, row.detailed_type] = (
            effect + row.signed_minor,
            vat + row.signed_vat_minor,
            told + (row.vat_amount_minor is not None),
        )
    groups = [Group(type_, detail, *figures) for (type_, detail), figures in sums.items()]
    for total in (statement.payout.totals, replace(statement.payout.totals, settlement=1, tax=2)):
        payout = replace(statement.payout, totals=total)
        assert prove(payout, groups) == prove(payout, statement.rows)
    assert isinstance(tally(groups), Tally)


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from((b"", b"type;amount;order_id\n", b"type;amount;order_id\nSALE;1.00;a\n")), tail=st.binary())
@example(head=b"", tail=b"\xef\xbb\xbf")
@example(head=b"type;amount;order_id\n", tail=b'"')
def test_any_bytes_are_read_or_refused_and_nothing_else(head: bytes, tail: bytes) -> None:
    """Catalogue rows 47-56: never another error than a refusal."""
    refusals: list[BadInput] = []
    try:
        read_csv(head + tail, "settlement.1.csv", now=NOW).collect()
    except BadInput as refusal:
        refusals.append(refusal)
    names = ("row", "text", "limit", "kind", "found", "width")
    assert all(refusal.message % dict.fromkeys(names, "") for refusal in refusals)


@pytest.mark.parametrize("dates", sorted(DATE_FORMS))
def test_every_form_of_date_is_the_same_instant(dates: str) -> None:
    """Catalogue row 59: 23:30Z stays 23:30Z; the local date is the caller's."""
    at = datetime(2026, 9, 1, 23, 30, tzinfo=UTC)
    row = Row._make(("900100001", 0, "SALE", None, 100, *[None] * 10, at, None, "SEK", None))
    statement = stated((row,))
    (read,) = read_csv(write_csv(statement.payout, statement.rows, Layout(dates=dates)), "x.csv", now=NOW).collect()
    assert read.rows[0].captured_at == row.captured_at
    assert read.rows[0].captured_at is not None
    assert read.rows[0].captured_at.utcoffset() == timedelta(0)
