"""The Settlements API's answers, as described and as live, and values of the wrong type, which are refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from errors import BadInput
from services.settlement_answers import read_payout_json
from services.settlement_layouts import Fault, Statement, Totals
from services.settlement_proof import compare, prove
from services.settlement_reader import read_csv

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def each(name: str, *values: object) -> list[dict[str, object]]:
    return [{name: value} for value in values]


def an_answer(**changes: object) -> dict[str, object]:
    """A payout as the API gives it."""
    payout: dict[str, object] = {
        "totals": {"sale_amount": 20000, "fee_amount": 798, "tax_amount": 200, "settlement_amount": 19002},
        "payment_reference": "900100001",
        "payout_date": "2026-09-09T07:45:00Z",
        "currency_code": "SEK",
        "merchant_settlement_type": "NET",
        "merchant_id": "K000001",
        "transactions": "https://api.klarna.com/settlements/v1/transactions?payment_reference=900100001",
    }
    return payout | changes


def a_transaction(**changes: object) -> dict[str, object]:
    transaction: dict[str, object] = {
        "type": "SALE",
        "detailed_type": "PURCHASE",
        "amount": 20000,
        "order_id": "cc406173-d357-5aaa-9ec4-ada19fb46fca",
        "short_order_id": "A1TESTQ7-1",
        "capture_id": "2ab19e31-db53-5046-9559-547cb91113c5",
        "currency_code": "SEK",
        "capture_date": "2026-08-27T07:20:15.000Z",
        "sale_date": "2026-08-26T08:12:44Z",
        "merchant_capture_reference": "10041",
        "payment_reference": "900100001",
        "shipping_address_country": "SE",
        "consumer_vat": [{"tax_rate": 2500, "tax_amount": 4000}],
    }
    return transaction | changes


def a_fee(**changes: object) -> dict[str, object]:
    fee = {
        "type": "FEE",
        "detailed_type": "PURCHASE_FEE_PERCENTAGE",
        "amount": 798,
        "vat_amount": 200,
        "vat_rate": 2500,
    }
    return a_transaction(**fee) | changes


def answered(payout: Mapping[str, object], *transactions: Mapping[str, object]) -> Statement:
    return read_payout_json(payout, transactions, now=NOW)


def test_an_answer_is_read_and_missing_totals_are_nothing() -> None:
    """Reference 4.3: older answers lack several of the required totals."""
    statement = answered(an_answer(), a_transaction(), a_fee())
    assert statement.payout.totals == Totals(sale=20000, fee=798, tax=200, settlement=19002)
    assert statement.payout.stated == {"sale", "fee", "tax", "settlement"}
    assert prove(statement.payout, statement.rows) == []
    assert [(row.line, row.signed_minor, row.vat_rate) for row in statement.rows] == [(1, 20000, None), (2, -798, 2500)]
    assert "refund_id" not in statement.fields


def test_rows_without_an_order_have_null_or_no_order_fields() -> None:
    """Reference 4.5: live answers leave out what the description requires."""
    nothing = dict.fromkeys(("order_id", "capture_date", "sale_date", "short_order_id", "payment_reference"))
    (null,) = answered(an_answer(), a_fee(**nothing, capture_id="")).rows
    (row,) = answered(an_answer(), {"type": "fee", "amount": 798, "vat_amount": 200}).rows
    assert (row.order_id, row.captured_at, row.currency, row.payment_reference) == (None, None, "SEK", "900100001")
    assert (null.order_id, null.captured_at, null.capture_id) == (None, None, None)


def test_an_unknown_type_in_an_answer_waits_for_a_person() -> None:
    rows = answered(an_answer(), a_transaction(type="LOYALTY_BONUS"), a_transaction(currency_code="EUR")).rows
    assert [row.fault for row in rows] == [Fault.UNKNOWN_TYPE, Fault.OTHER_CURRENCY]


@pytest.mark.parametrize(
    "change",
    [
        *each("amount", None, True, 1.0, "100", [], 10**20, 10**12),
        *each("vat_amount", False, 2.0, "200"),
        *each("vat_rate", True, 25.0, "25", -1, 10_001),
        *each("type", None, "", " ", 7, ["SALE"]),
        *each("order_id", 7, {}, "a" * 256, "a\0"),
        *each("capture_date", 7, "yesterday", "2099-01-01T00:00:00Z"),
        *each("currency_code", "kr", 7),
        {"payment_reference": "900100002"},
        {"detailed_type": 7},
    ],
)
def test_row_68_a_value_of_the_wrong_type_in_a_transaction_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadInput) as caught:
        answered(an_answer(), a_transaction(), a_transaction(**change))
    assert caught.value.values["row"] == 2
    assert next(iter(change)) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        *each("totals", [], "none", {"sale_amount": True}, {"sale_amount": 1.5}, {"fee_amount": "1"}),
        {"totals": {"sale_amount": -1, "fee_amount": 1}},
        *each("payment_reference", None, 900100001, "a/b", ""),
        *each("payout_date", None, "soon", 7, "2099-01-01T00:00:00Z"),
        *each("currency_code", None, "kronor"),
        *each("merchant_settlement_type", "PARTIAL", 7),
        {"merchant_id": 7},
    ],
)
def test_row_68_a_value_of_the_wrong_type_in_a_payout_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadInput) as caught:
        answered(an_answer(**change))
    assert "%(" not in str(caught.value)


@pytest.mark.parametrize("transaction", [None, 7, [], "SALE"])
def test_row_68_a_transaction_that_is_no_object_is_refused(transaction: object) -> None:
    with pytest.raises(BadInput):
        read_payout_json(an_answer(), [transaction], now=NOW)  # type: ignore[list-item]


def test_null_totals_are_none_stated() -> None:
    assert answered(an_answer(totals=None)).payout.stated == frozenset()
    assert answered(an_answer(totals={"sale_amount": None})).payout.totals == Totals()


def test_the_same_rows_by_api_and_by_file_are_the_same() -> None:
    header = (
        "type;amount;order_id;short_order_id;capture_id;posting_currency;capture_date;detailed_type;"
        "merchant_capture_reference;tax_amount\n"
    )
    ids = "CC406173-d357-5aaa-9ec4-ada19fb46fca;A1TESTQ7;2ab19e31-db53-5046-9559-547cb91113c5;SEK;2026-08-27"
    text = header + (f"FEE;7.98;{ids};PURCHASE_FEE_PERCENTAGE;10041;2.00\nSALE;200.00;{ids};;10041;\n")
    (file,) = read_csv(text.encode(), "settlement.900100001.csv", now=NOW).collect()
    api = answered(an_answer(), a_transaction(), a_fee())
    assert compare(file.rows, api.rows, file.fields & api.fields) == compare((), ())
