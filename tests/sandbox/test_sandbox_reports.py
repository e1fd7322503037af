"""The CSV and PDF reports, to the letter."""

import pytest

HEAD = (
    "total_sale_amount;total_fee_amount;total_fee_correction_amount;total_tax_amount;total_return_amount;"
    "total_reversal_amount;total_commission_amount;total_credit_amount;total_charge_amount;total_holdback_amount;"
    "total_release_amount;opening_debt_balance;total_deposit_amount;total_repay_amount;closing_debt_balance;"
    "total_fee_refund_amount;total_settlement_amount;payment_reference;settlement_currency;payout_date;merchant_id;"
    "merchant_settlement_type;submerchant_id"
)
TEN = (
    "type;capture_date;sale_date;order_id;short_order_id;capture_id;merchant_reference1;merchant_reference2;amount;"
    "posting_currency"
)
MORE = (
    "refund_id;purchase_country;tax_rate;tax_amount;shipping_country;initial_payment_method_type;"
    "initial_number_of_installments;initial_payment_method_monthly_downpayments;merchant_capture_reference;"
    "merchant_refund_reference;detailed_type;tax_rate_1;tax_amount_1;tax_rate_2;tax_amount_2;tax_rate_3;tax_amount_3;"
    "tax_rate_4;tax_amount_4;reversal_reference"
)
ORDER_ID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def payout(sandbox, shop, make_line):
    """A sale of 1 000.00 in two rates, 200.00 of it given back; its payment reference and ids."""
    sandbox.order(
        order_id=ORDER_ID, order_amount=100000, klarna_reference="A1TEST", merchant_reference1="SO-1; two",
        created_at="2026-03-01T08:00:00Z", shipping_address={"country": "SE"},
    )  # fmt: skip
    lines = [make_line("A", 89400), make_line("B", 10600, tax_rate=600, total_tax_amount=600)]
    capture_id = shop.capture(ORDER_ID, 100000, reference="10041", order_lines=lines).headers["Capture-Id"]
    refund_id = shop.refund(ORDER_ID, 20000, reference="K7", order_lines=[make_line("A", 20000)]).headers["Refund-Id"]
    (made,) = sandbox.pay_out()
    return made["payment_reference"], capture_id, refund_id


def report(shop, reference="300000001"):
    answer = shop.settlements("reports/payout-with-transactions", payment_reference=reference)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_report_has_a_summary_and_a_row_per_transaction(shop, payout):
    reference, capture_id, refund_id = payout
    answer = report(shop, reference)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="settlement.300000001.csv"'
    moment, sold = "2026-03-02T10:00:00Z", "2026-03-01T08:00:00Z"
    start = f"{moment};{sold};{ORDER_ID};A1TEST"
    # fee 24.90 + 3.00, VAT 6.23 (6.225 rounded half up) + 0.75; 1000 - 200 - 27.90 - 6.98 = 765.12
    assert answer.content.decode().split("\n") == [
        HEAD,
        f"1000.00;27.90;0.00;6.98;200.00;0.00;0.00;0.00;0.00;0.00;0.00;0.00;0.00;0.00;0.00;0.00;765.12;300000001;SEK;{moment};K000001;NET;",
        f"{TEN};{MORE}",
        f'SALE;{start};{capture_id};"SO-1; two";;1000.00;SEK;;SE;;;SE;invoice;;;10041;;PURCHASE;25.00;178.80;6.00;6.00;;;;;',
        f'FEE;{start};{capture_id};"SO-1; two";;24.90;SEK;;SE;25.00;6.23;SE;invoice;;;10041;;PURCHASE_FEE_PERCENTAGE;;;;;;;;;',
        f'FEE;{start};{capture_id};"SO-1; two";;3.00;SEK;;SE;25.00;0.75;SE;invoice;;;10041;;PURCHASE_FEE_FIXED;;;;;;;;;',
        f'RETURN;{start};;"SO-1; two";;200.00;SEK;{refund_id};SE;;;SE;invoice;;;;K7;PURCHASE_RETURN;25.00;40.00;;;;;;;',
        "",
    ]  # fmt: skip


def test_the_same_report_is_given_again_byte_for_byte(sandbox, shop, payout):
    first = report(shop).content
    shop.on(ORDER_ID, "PATCH", "merchant-references", {"merchant_reference1": "other"})
    sandbox.move_clock(days=3)
    assert report(shop).content == first


def test_switches_shape_the_report(sandbox, shop, payout):
    sandbox.switches(
        csv_delimiter="comma", csv_decimal="comma", csv_signs="on", csv_dates="date", csv_type_case="lower", csv_bom="on",
        csv_eol="crlf", csv_blank_line="on", csv_rate="hundredths",
        csv_columns="payment_reference, type=Typ, amount, tax_rate, tax_amount, capture_date",
    )  # fmt: skip
    text = report(shop).content.decode()
    assert text.startswith("\ufefftotal_sale_amount,")
    lines = text.split("\r\n")
    assert lines[1].startswith('"1000,00","-27,90","0,00","-6,98","-200,00"')
    assert lines[2] == ""
    assert lines[3] == "payment_reference,Typ,amount,tax_rate,tax_amount,capture_date"
    assert lines[4:8] == [
        '300000001,sale,"1000,00",,,2026-03-02',
        '300000001,fee,"-24,90",2500,"-6,23",2026-03-02',
        '300000001,fee,"-3,00",2500,"-0,75",2026-03-02',
        '300000001,return,"-200,00",,,2026-03-02',
    ]


def test_the_summary_can_be_left_out_and_the_columns_kept_to_ten(sandbox, shop, payout):
    sandbox.switches(csv_summary="off", csv_columns="ten", csv_quotes="always", csv_delimiter="tab")
    lines = report(shop).text.split("\n")
    assert lines[0] == "\t".join(f'"{name}"' for name in TEN.split(";"))
    assert len(lines) == 6


def test_a_period_report_holds_several_payouts(sandbox, shop, payout):
    sandbox.portal_capture(sandbox.order(order_amount=10000))
    sandbox.pay_out()
    query = {"start_date": "2026-03-01", "end_date": "2026-03-31"}
    lines = shop.settlements("reports/payouts-summary-with-transactions", **query).text.splitlines()
    assert lines[0].startswith("summary_settlement_currency;summary_payout_date_start;")
    assert lines[1].startswith("SEK;2026-03-01T00:00:00Z;2026-03-31T00:00:00Z;1100.00;200.00;")
    assert lines[2] == f"payment_reference;payout_date;{TEN};{MORE}"
    assert [line[:9] for line in lines[3:]] == ["300000001"] * 4 + ["300000002"] * 3


def test_the_printed_reports_are_one_page_of_pdf(shop, payout):
    for path, query in [
        ("reports/payout", {"payment_reference": "300000001"}),
        ("reports/payouts-summary", {"start_date": "2026-03-01", "end_date": "2026-03-31"}),
    ]:
        answer = shop.settlements(path, **query)
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-1.4")
        assert answer.content.endswith(b"%%EOF\n")


@pytest.mark.parametrize("path", ["payout-with-transactions", "payout"])
def test_an_unknown_or_missing_reference_is_refused_in_json(shop, sandbox, no, path):
    assert no(shop.settlements(f"reports/{path}"))[:2] == (400, "BAD_REQUEST")
    answer = shop.settlements(f"reports/{path}", payment_reference="1")
    assert answer.headers["Content-Type"] == "application/json"
    assert no(answer)[:2] == (404, "NOT_FOUND")
