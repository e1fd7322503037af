"""Payouts and their reads. Every amount below was worked out by hand.

Fees of the usual account: 2.49 % and 3.00 per capture, each with 25 % VAT, each rounded half up by itself.
"""

import pytest

# Signs of the settlement formula, written down here apart from the sandbox's own.
FORMULA = {
    "sale": 1, "return": -1, "reversal": -1, "fee": -1, "fee_refund": 1, "fee_correction": 1, "tax": -1, "tax_refund": 1,
    "commission": 1, "charge": -1, "credit": 1, "repay": -1, "holdback": -1, "release": 1, "deposit": 1,
}  # fmt: skip


def totals_of(shop, reference):
    """The totals of a payout that are not 0, after checking that they add up."""
    payout = shop.settlements(f"payouts/{reference}").json()
    totals = {name.removesuffix("_amount"): amount for name, amount in payout["totals"].items()}
    assert sum(sign * totals[name] for name, sign in FORMULA.items()) == totals["settlement"]
    opening, closing = totals["opening_debt_balance"], totals["closing_debt_balance"]
    assert opening - totals["repay"] + totals["deposit"] == closing
    return {name: amount for name, amount in totals.items() if amount}


def rows_of(shop, **query):
    return shop.settlements("transactions", size=500, **query).json()["transactions"]


def paid(sandbox, shop, **wish):
    """Pay out, expecting one payout."""
    (payout,) = sandbox.pay_out(**wish)
    return payout["payment_reference"], totals_of(shop, payout["payment_reference"])


def test_a_capture_becomes_a_sale_and_two_fees(sandbox, shop, make_line):
    order_id = sandbox.order(order_amount=124900, merchant_reference1="SO-1", created_at="2026-03-01T08:00:00Z")
    capture_id = shop.capture(order_id, 124900, reference="10041", order_lines=[make_line("A", 124900)]).headers[
        "Capture-Id"
    ]
    reference, totals = paid(sandbox, shop)
    # 1249.00 x 2.49 % = 31.1001 -> 31.10, VAT 7.775 -> 7.78; 3.00, VAT 0.75
    assert totals == {"sale": 124900, "fee": 3410, "tax": 853, "settlement": 120637}
    assert reference == "300000001"
    short = shop.order(order_id)["klarna_reference"]
    common = {
        "capture_date": "2026-03-02T10:00:00Z", "sale_date": "2026-03-01T08:00:00Z", "order_id": order_id,
        "short_order_id": short, "currency_code": "SEK", "purchase_country": "SE", "capture_id": capture_id,
        "merchant_reference1": "SO-1", "merchant_capture_reference": "10041", "initial_payment_method_type": "invoice",
        "payment_reference": reference, "payout": f"{sandbox.url}/settlements/v1/payouts/{reference}",
    }  # fmt: skip
    vat = {"vat_rate": 2500, "currency_code_of_registration_country": "SEK"}
    assert rows_of(shop, payment_reference=reference) == [
        {**common, "type": "SALE", "detailed_type": "PURCHASE", "amount": 124900},
        {**common, **vat, "type": "FEE", "detailed_type": "PURCHASE_FEE_PERCENTAGE", "amount": 3110, "vat_amount": 778,
         "tax_in_currency_of_registration_country": 778},
        {**common, **vat, "type": "FEE", "detailed_type": "PURCHASE_FEE_FIXED", "amount": 300, "vat_amount": 75,
         "tax_in_currency_of_registration_country": 75},
    ]  # fmt: skip


def test_a_sale_and_its_refund_in_the_same_payout(sandbox, shop):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 10000)
    refund_id = shop.refund(order_id, 2500, reference="K7").headers["Refund-Id"]
    reference, totals = paid(sandbox, shop)
    assert totals == {"sale": 10000, "return": 2500, "fee": 549, "tax": 137, "settlement": 6814}
    row = rows_of(shop, payment_reference=reference)[-1]
    assert (row["type"], row["detailed_type"], row["amount"]) == ("RETURN", "PURCHASE_RETURN", 2500)
    assert (row["refund_id"], row["merchant_refund_reference"], row["capture_id"]) == (refund_id, "K7", "")


def test_a_negative_payout_pays_nothing_grows_the_debt_and_is_repaid_later(sandbox, shop):
    order_id = sandbox.order(order_amount=58950)
    shop.capture(order_id, 58950)
    paid(sandbox, shop)
    shop.refund(order_id, 58950)
    small = sandbox.order(order_amount=19900)
    shop.capture(small, 19900)
    _, totals = paid(sandbox, shop)
    # fee 4.96 + 3.00, VAT 1.24 + 0.75; 199.00 - 589.50 - 7.96 - 1.99 = -400.45
    assert totals == {
        "sale": 19900, "return": 58950, "fee": 796, "tax": 199, "deposit": 40045, "closing_debt_balance": 40045,
    }  # fmt: skip
    assert sandbox.merchants()[0]["debts"] == {"SEK": 40045}
    large = sandbox.order(order_amount=30000)
    shop.capture(large, 30000)
    _, totals = paid(sandbox, shop)
    # 300.00 - 7.47 - 3.00 - 1.87 - 0.75 = 286.91, all of it repaid
    assert totals == {
        "sale": 30000, "fee": 1047, "tax": 262, "repay": 28691, "opening_debt_balance": 40045,
        "closing_debt_balance": 11354,
    }  # fmt: skip
    shop.capture(sandbox.order(order_amount=30000), 30000)
    _, totals = paid(sandbox, shop)
    assert (totals["repay"], totals["settlement"]) == (11354, 17337)
    assert "closing_debt_balance" not in totals


def test_a_debt_invoiced_separately_is_not_met_again(sandbox, shop):
    shop.capture(sandbox.order(order_amount=30000), 30000)
    sandbox.debt(0, mid="K000001")
    _, totals = paid(sandbox, shop)
    assert totals["settlement"] == 28691


def test_a_holdback_is_released_in_a_later_payout(sandbox, shop):
    shop.capture(sandbox.order(order_amount=10000), 10000)
    sandbox.next_payout(holdback=1000)
    reference, totals = paid(sandbox, shop)
    assert totals == {"sale": 10000, "fee": 549, "tax": 137, "holdback": 1000, "settlement": 8314}
    row = rows_of(shop, payment_reference=reference)[-1]
    assert (row["type"], row["detailed_type"], row["order_id"], row["sale_date"]) == (
        "HOLDBACK",
        "ROLLING_RESERVE",
        None,
        None,
    )
    sandbox.next_payout(release=1000, reason="UNDER_REVIEW")
    _, totals = paid(sandbox, shop)
    assert totals == {"release": 1000, "settlement": 1000}


def test_gross_accounts_get_their_sales_whole_and_a_fee_invoice_beside(sandbox, shop):
    sandbox.merchant(settlement_type="GROSS")
    shop.capture(sandbox.order(order_amount=10000), 10000)
    gross, fees = [each["payment_reference"] for each in sandbox.pay_out()]
    assert totals_of(shop, gross) == {"sale": 10000, "settlement": 10000}
    assert totals_of(shop, fees) == {"fee": 549, "tax": 137, "deposit": 686, "closing_debt_balance": 686}
    kinds = [each["merchant_settlement_type"] for each in shop.settlements("payouts").json()["payouts"]]
    assert kinds == ["GROSS", "GROSS_FEE"]
    assert {row["type"] for row in rows_of(shop, payment_reference=fees)} == {"FEE"}
    shop.capture(sandbox.order(order_amount=10000), 10000)
    assert totals_of(shop, sandbox.pay_out()[0]["payment_reference"]) == {"sale": 10000, "settlement": 10000}


def test_a_lost_dispute_is_reversed_and_merchant_protection_gives_the_net_back(sandbox, shop, make_line):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 10000, order_lines=[make_line("A", 10000)])
    paid(sandbox, shop)
    sandbox.dispute(order_id, fee=15000)
    reference, totals = paid(sandbox, shop)
    assert totals == {
        "reversal": 10000, "fee": 15000, "tax": 3750, "deposit": 28750, "closing_debt_balance": 28750,
    }  # fmt: skip
    row = rows_of(shop, payment_reference=reference)[0]
    assert row["reversal_reference"] == "krn:klarna:eu1:dispute:goods_not_received:1"
    sandbox.debt(0, mid="K000001")
    sandbox.dispute(order_id, protected=True)
    reference, totals = paid(sandbox, shop)
    # 100.00 reversed, 80.00 without VAT given back
    assert totals == {"reversal": 2000, "deposit": 2000, "closing_debt_balance": 2000}
    kinds = [(row["type"], row["detailed_type"], row["amount"]) for row in rows_of(shop, payment_reference=reference)]
    assert kinds == [
        ("REVERSAL", "FRAUD_POLICY_CHARGE", 10000),
        ("REVERSAL_MERCHANT_PROTECTION", "FRAUD_POLICY_CREDIT_NET", 8000),
    ]


def test_every_known_type_moves_the_settlement_as_the_formula_says(sandbox, shop):
    for type_, amount in [
        ("COMMISSION", 100), ("CORRECTION", -30), ("CORRECTION", 10), ("CHARGE", 50), ("CREDIT", 5000), ("FEE", 200),
        ("FEE_REFUND", 40), ("TAX", 7), ("RELEASE", 9), ("HOLDBACK", 3),
    ]:  # fmt: skip
        sandbox.next_payout(
            rows=[{"type": type_, "amount": amount, "vat_amount": 25 if type_.startswith("FEE") else 0}]
        )
    _, totals = paid(sandbox, shop)
    assert totals == {
        "commission": 100, "fee_correction": -20, "charge": 50, "credit": 5000, "fee": 200, "fee_refund": 40, "tax": 32,
        "tax_refund": 25, "release": 9, "holdback": 3, "settlement": 4869,
    }  # fmt: skip


def test_an_invented_type_is_passed_on_outside_every_total(sandbox, shop):
    sandbox.next_payout(rows=[{"type": "MOON_LEVY", "amount": 500}, {"type": "CREDIT", "amount": 1000}])
    reference, totals = paid(sandbox, shop)
    assert totals == {"credit": 1000, "settlement": 1000}
    assert [row["type"] for row in rows_of(shop, payment_reference=reference)] == ["MOON_LEVY", "CREDIT"]
    sandbox.next_payout(rows=[{"type": "MOON_LEVY", "amount": 500, "counts": -1}, {"type": "CREDIT", "amount": 1000}])
    (payout,) = sandbox.pay_out()
    assert payout["totals"]["settlement"] == 500


def test_each_currency_is_paid_by_itself(sandbox, shop):
    shop.capture(sandbox.order(order_amount=10000), 10000)
    shop.capture(sandbox.order(order_amount=20000, purchase_currency="EUR", purchase_country="FI"), 20000)
    assert [(each["currency"], each["totals"]["sale"]) for each in sandbox.pay_out()] == [
        ("SEK", 10000),
        ("EUR", 20000),
    ]
    only = shop.settlements("payouts", currency_code="EUR").json()["payouts"]
    assert [each["currency_code"] for each in only] == ["EUR"]
    assert [each["currency_code_of_registration_country"] for each in only] == ["SEK"]


@pytest.mark.parametrize(
    ("captured", "paid_on"),
    [
        ("2026-03-06T12:00:00Z", "2026-03-18"),  # a Friday: not the next Wednesday but the one after
        ("2026-03-04T23:59:59Z", "2026-03-11"),  # a Wednesday: the next one
        ("2026-03-05T00:00:00Z", "2026-03-18"),
    ],
)
def test_a_capture_is_paid_on_the_first_wednesday_a_week_after_its_day(sandbox, shop, captured, paid_on):
    order_id = sandbox.order(order_amount=10000)
    sandbox.set_clock(captured)
    shop.capture(order_id, 10000)
    sandbox.set_clock(f"{paid_on}T07:44:59Z")
    assert shop.settlements("payouts").json()["payouts"] == []
    sandbox.move_clock(seconds=1)
    (payout,) = shop.settlements("payouts").json()["payouts"]
    assert payout["payout_date"] == f"{paid_on}T07:45:00Z"


def test_a_leap_of_the_clock_makes_every_payout_on_its_own_day(sandbox, shop):
    orders = [sandbox.order(order_amount=10000, expires_at="2026-06-01") for _ in range(3)]
    for day, order_id in zip(("03-03", "03-10", "03-17"), orders, strict=True):
        sandbox.set_clock(f"2026-{day}T12:00:00Z")
        shop.capture(order_id, 10000)
    sandbox.set_clock("2026-05-01T00:00:00Z")
    days = [each["payout_date"][:10] for each in shop.settlements("payouts").json()["payouts"]]
    assert days == ["2026-03-11", "2026-03-18", "2026-03-25"]


def test_a_refund_is_settled_in_a_later_payout_than_its_sale(sandbox, shop):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 10000)
    sandbox.set_clock("2026-03-11T08:00:00Z")
    shop.refund(order_id, 10000)
    sandbox.set_clock("2026-03-20T00:00:00Z")
    sale, refund = [each["payment_reference"] for each in shop.settlements("payouts").json()["payouts"]]
    assert totals_of(shop, sale)["sale"] == 10000
    assert totals_of(shop, refund) == {"return": 10000, "deposit": 10000, "closing_debt_balance": 10000}


def test_an_account_has_its_own_fees_day_and_delay(sandbox, shop):
    sandbox.merchant(fee_percent=0, fee_fixed=1000, fee_vat=0, payout_weekday="friday", payout_delay_days=1)
    shop.capture(sandbox.order(order_amount=10000), 10000)
    sandbox.set_clock("2026-03-06T08:00:00Z")
    (payout,) = shop.settlements("payouts").json()["payouts"]
    assert payout["payout_date"] == "2026-03-06T07:45:00Z"
    assert totals_of(shop, payout["payment_reference"]) == {"sale": 10000, "fee": 1000, "settlement": 9000}


def test_payouts_are_filtered_by_date_with_a_bare_date_meaning_midnight(sandbox, shop, no):
    shop.capture(sandbox.order(order_amount=10000), 10000)
    sandbox.pay_out()

    def count(**query):
        return shop.settlements("payouts", **query).json()["pagination"]["total"]

    assert count(start_date="2026-03-02", end_date="2026-03-03") == 1
    assert count(end_date="2026-03-02") == 0
    assert count(end_date="2026-03-02T23:59:59Z") == 1
    assert count(start_date="2026-03-02T11:00:00+00:00") == 0
    for query in ({"start_date": "soon"}, {"size": 501}, {"offset": -1}, {"size": "x"}):
        assert no(shop.settlements("payouts", **query))[:2] == (400, "BAD_REQUEST")
    assert shop.settlements("payouts", colour="red").status_code == 200


def test_pages_link_to_each_other_to_the_end(sandbox, shop):
    for _ in range(5):
        shop.capture(sandbox.order(order_amount=10000), 10000)
        sandbox.pay_out()
    page = shop.settlements("payouts", size=2, currency_code="SEK").json()
    assert "prev" not in page["pagination"]
    seen = []
    while True:
        seen += [each["payment_reference"] for each in page["payouts"]]
        if "next" not in page["pagination"]:
            break
        assert page["pagination"]["next"].startswith(sandbox.url)
        page = shop.ask("GET", page["pagination"]["next"].removeprefix(sandbox.url)).json()
    assert seen == [str(300000001 + n) for n in range(5)]
    assert page["pagination"]["count"] == 1
    sandbox.switches(pagination_null="null")
    assert shop.settlements("payouts").json()["pagination"]["next"] is None


def test_the_summary_adds_payouts_up_by_currency(sandbox, shop, no):
    for currency in ("SEK", "SEK", "EUR"):
        shop.capture(sandbox.order(order_amount=10000, purchase_currency=currency), 10000)
        sandbox.pay_out()
    found = shop.settlements("payouts/summary", start_date="2026-03-01", end_date="2026-03-31").json()
    assert [(e["summary_settlement_currency"], e["summary_total_sale_amount"]) for e in found] == [
        ("EUR", 10000),
        ("SEK", 20000),
    ]
    assert found[1]["summary_total_settlement_amount"] == 2 * 9314
    assert no(shop.settlements("payouts/summary", start_date="2026-03-01"))[:2] == (400, "BAD_REQUEST")


def test_transactions_are_found_by_order_before_and_after_they_are_paid(sandbox, shop):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 10000)
    unpaid = rows_of(shop, order_id=order_id)
    assert len(unpaid) == 3
    assert all("payment_reference" not in row for row in unpaid)
    sandbox.pay_out()
    assert {row["payment_reference"] for row in rows_of(shop, order_id=order_id)} == {"300000001"}


def test_another_merchants_payouts_do_not_exist(sandbox, shop, no):
    sandbox.merchant("K000002")
    order_id = sandbox.order(mid="K000002")
    sandbox.portal_capture(order_id)
    (payout,) = sandbox.pay_out()
    assert no(shop.settlements(f"payouts/{payout['payment_reference']}"))[:2] == (404, "NOT_FOUND")
    assert shop.settlements("payouts").json()["payouts"] == []
    assert rows_of(shop) == rows_of(shop, order_id=order_id) == rows_of(shop, payment_reference="300000001") == []


def test_live_field_names_and_forms_of_capture_id_can_be_switched(sandbox, shop):
    order_id = sandbox.order(order_amount=10000, shipping_address={"country": "SE"})
    shop.capture(order_id, 10000)
    shop.refund(order_id, 1)
    assert rows_of(shop)[0]["shipping_country"] == "SE"
    sandbox.switches(transaction_fields="live", return_capture_id="absent", short_order_suffix="on")
    sale, *_, returned = rows_of(shop)
    assert (sale["shipping_address_country"], sale["merchant_id"]) == ("SE", "K000001")
    assert sale["short_order_id"].endswith("-1")
    assert "capture_id" not in returned
    sandbox.switches(return_capture_id="null")
    assert rows_of(shop)[-1]["capture_id"] is None


def test_a_sale_captured_by_hand_carries_no_reference(sandbox, shop):
    order_id = sandbox.order(order_amount=10000)
    sandbox.portal_capture(order_id, 4000)
    sandbox.portal_refund(order_id)
    order = shop.order(order_id)
    assert "reference" not in order["captures"][0]
    assert order["captures"][0]["order_lines"] == order["refunds"][0]["order_lines"] == []
    assert all("merchant_capture_reference" not in row for row in rows_of(shop))
