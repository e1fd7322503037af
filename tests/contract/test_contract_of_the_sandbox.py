"""What the sandbox answers fits what Klarna publishes, for every operation, its success and its refusals."""

import jsonschema
import pytest

UNKNOWN = "00000000-0000-4000-8000-000000000000"
ADDRESS = {
    "given_name": "Anna", "family_name": "Berg", "email": "anna@example.com", "street_address": "Gatan 1",
    "street_address2": "1 tr", "postal_code": "11122", "city": "Stockholm", "country": "SE", "phone": "+46700000000",
}  # fmt: skip
LINE = {
    "type": "physical", "reference": "A", "name": "Skruv", "quantity": 2, "quantity_unit": "st", "unit_price": 5000,
    "tax_rate": 2500, "total_amount": 9000, "total_discount_amount": 1000, "total_tax_amount": 1800,
    "product_identifiers": {"brand": "X", "global_trade_item_number": "735858293167"},
    "subscription": {"name": "S", "interval": "MONTH", "interval_count": 1},
}  # fmt: skip
SHIPPING = [
    {"shipping_company": "PostNord", "shipping_method": "Home", "tracking_number": "1", "tracking_uri": "http://x/1"}
]
OPTION = {
    "id": "o1", "name": "Hem", "carrier": "PostNord", "method": "Home", "type": "home", "price": 4900, "tax_amount": 980,
    "tax_rate": 2500, "tms_reference": "t1", "carrier_product": {"identifier": "17", "name": "MyPack"},
    "location": {"id": "l1", "name": "Ombud", "price": 0, "address": {"street_address": "Gatan 2", "country": "SE"}},
    "timeslot": {"id": "s1", "start": "08:00", "end": "12:00", "cutoff": "06:00", "price": 100},
    "selected_addons": [{"type": "sms", "price": 500}],
}  # fmt: skip


def full_order(sandbox, **more):
    return sandbox.order(
        order_lines=[LINE, {**LINE, "reference": "B"}], merchant_reference1="SO-1", merchant_reference2="2",
        merchant_data="data", customer={"date_of_birth": "1980-01-01"}, billing_address=ADDRESS, shipping_address=ADDRESS,
        selected_shipping_option=OPTION, shipping_info=SHIPPING, **more,
    )  # fmt: skip


def test_every_operation_of_order_management_fits_its_description(sandbox, call, orders):
    order_id = full_order(sandbox)
    assert call.on(order_id, "GET").json()["selected_shipping_option"] == OPTION
    assert call.on(order_id, "POST", "acknowledge").status_code == 204
    changes = {"order_amount": 20000, "description": "Mer", "order_lines": [LINE]}
    assert call.on(order_id, "PATCH", "authorization", changes).status_code == 204
    references = {"merchant_reference1": "SO-2", "merchant_reference2": ""}
    assert call.on(order_id, "PATCH", "merchant-references", references).status_code == 204
    details = {"shipping_address": {**ADDRESS, "city": "Lund"}}
    assert call.on(order_id, "PATCH", "customer-details", details).status_code == 204
    sandbox.move_clock(days=1)
    assert call.on(order_id, "POST", "extend-authorization-time").status_code == 204
    assert call.on(order_id, "POST", "shipping-info", {"shipping_info": SHIPPING}).status_code == 204
    wish = {
        "captured_amount": 9000, "description": "Skickat", "reference": "F1", "order_lines": [LINE],
        "shipping_info": SHIPPING, "shipping_delay": 0,
    }  # fmt: skip
    made = call.on(order_id, "POST", "captures", wish)
    capture = f"captures/{made.headers['Capture-Id']}"
    assert len(call.on(order_id, "GET", "captures").json()) == 1
    assert call.on(order_id, "GET", capture).json()["reference"] == "F1"
    assert call.on(order_id, "POST", f"{capture}/shipping-info", {"shipping_info": SHIPPING}).status_code == 204
    assert call.on(order_id, "POST", f"{capture}/trigger-send-out").status_code == 204
    assert call.on(order_id, "GET", f"{capture}/extend-due-date-options").status_code == 200
    assert call.on(order_id, "PATCH", f"{capture}/extend-due-date", {"number_of_days": 10}).status_code == 204
    wish = {"refunded_amount": 9000, "description": "Retur", "reference": "K1", "order_lines": [LINE]}
    refund_id = call.on(order_id, "POST", "refunds", wish).headers["Refund-Id"]
    assert call.on(order_id, "GET", f"refunds/{refund_id}").json()["reference"] == "K1"
    assert call.on(order_id, "POST", "release-remaining-authorization").status_code == 204
    assert call.on(full_order(sandbox), "POST", "cancel").status_code == 204
    assert call.on(order_id, "GET").json()["status"] == "CAPTURED"
    assert orders.seen == orders.operations()
    assert len(orders.seen) == 18


def test_a_business_order_and_its_refund_fit_too(sandbox, call):
    order_id = full_order(sandbox, initial_payment_method={"type": "INVOICE_BUSINESS", "number_of_installments": 1})
    call.on(order_id, "POST", "captures", {"captured_amount": 18000})
    call.on(order_id, "POST", "refunds", {"refunded_amount": 500})
    assert call.on(order_id, "GET").json()["refunds"][0]["credit_invoice"] is False


@pytest.mark.parametrize("status", ["AUTHORIZED", "PART_CAPTURED", "CAPTURED", "CANCELLED", "EXPIRED", "CLOSED"])
def test_an_order_fits_in_every_status(sandbox, call, status):
    order_id = full_order(sandbox)
    if status in ("PART_CAPTURED", "CAPTURED"):
        sandbox.portal_capture(order_id, 1 if status == "PART_CAPTURED" else None)
    elif status == "CANCELLED":
        sandbox.portal_cancel(order_id)
    elif status == "EXPIRED":
        sandbox.expire(order_id)
    elif status == "CLOSED":
        sandbox.close(order_id)
    assert call.on(order_id, "GET").json()["status"] == status


def test_every_refusal_comes_in_the_envelope(sandbox, call):
    order_id = sandbox.order()
    for expected, method, rest, body in [
        (403, "POST", "captures", {"captured_amount": 10001}),
        (403, "POST", "refunds", {"refunded_amount": 1}),
        (403, "POST", "release-remaining-authorization", None),
        (403, "POST", f"captures/{UNKNOWN}/trigger-send-out", None),
        (404, "GET", f"captures/{UNKNOWN}", None),
        (404, "GET", f"refunds/{UNKNOWN}", None),
    ]:
        assert call.on(order_id, method, rest, body).status_code == expected
    assert call.on(UNKNOWN, "GET").status_code == 404
    assert call.on("nonsense", "GET").status_code == 400
    assert call.on(order_id, "POST", "captures", {"captured_amount": -1}, loose=True).status_code == 422
    for kind, status in [("conflict", 409), ("too_many", 429), ("server_error", 500), ("unavailable", 503)]:
        sandbox.fault(kind)
        assert call.on(order_id, "GET").status_code == status
    call.session.auth = ("wrong", "wrong")
    assert call.on(order_id, "GET").status_code == 401


def test_every_read_of_settlements_fits_its_description(sandbox, call, settlements):
    order_id = full_order(sandbox)
    made = call.on(order_id, "POST", "captures", {"captured_amount": 18000, "reference": "F1", "order_lines": [LINE]})
    call.on(order_id, "POST", "refunds", {"refunded_amount": 500, "reference": "K1"})
    sandbox.dispute(order_id, 1000, protected=True, fee=500)
    rows = [
        {"type": type_, "amount": 10}
        for type_ in ("COMMISSION", "CORRECTION", "CHARGE", "CREDIT", "FEE_REFUND", "HOLDBACK", "RELEASE", "TAX")
    ]
    rows.append({"type": "FEE", "detailed_type": "SERVICING_FEE", "amount": 5, "order_id": order_id,
                 "capture_id": made.headers["Capture-Id"], "comment": "x"})  # fmt: skip
    sandbox.next_payout(rows=rows, holdback=1)
    unpaid = call("GET", "/settlements/v1/transactions", order_id=order_id)
    assert unpaid.json()["pagination"]["total"] >= 7
    reference = sandbox.pay_out()[0]["payment_reference"]
    period = {"start_date": "2026-03-01T00:00:00Z", "end_date": "2026-03-31T23:59:59Z"}
    assert len(call("GET", "/settlements/v1/payouts", size=1, **period).json()["payouts"]) == 1
    assert call("GET", f"/settlements/v1/payouts/{reference}").json()["payment_reference"] == reference
    assert len(call("GET", "/settlements/v1/payouts/summary", **period).json()) == 1
    paid = call("GET", "/settlements/v1/transactions", payment_reference=reference, size=500).json()["transactions"]
    types = {row["type"] for row in paid}
    assert types == set(settlements.schemas["Transaction"]["properties"]["type"]["enum"])
    for path, kind, query in [
        ("payout-with-transactions", "text/csv; charset=utf-8", {"payment_reference": reference}),
        ("payout", "application/pdf", {"payment_reference": reference}),
        ("payouts-summary-with-transactions", "text/csv; charset=utf-8", period),
        ("payouts-summary", "application/pdf", period),
    ]:
        assert call("GET", f"/settlements/v1/reports/{path}", **query).headers["Content-Type"] == kind
    assert settlements.seen == settlements.operations()
    assert len(settlements.seen) == 8


def test_every_refusal_of_settlements_comes_in_the_envelope(sandbox, call):
    for path in ("payouts/summary", "reports/payout-with-transactions", "reports/payout", "reports/payouts-summary"):
        assert call("GET", f"/settlements/v1/{path}").status_code == 400
    assert call("GET", "/settlements/v1/payouts/1").status_code == 404
    assert call("GET", "/settlements/v1/reports/payout", payment_reference="1").status_code == 404


def test_gross_payouts_fit_too(sandbox, call):
    sandbox.merchant(settlement_type="GROSS")
    call.on(sandbox.order(), "POST", "captures", {"captured_amount": 10000})
    assert [each["settlement_type"] for each in sandbox.pay_out()] == ["GROSS", "GROSS_FEE"]
    assert call("GET", "/settlements/v1/payouts").json()["pagination"]["count"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_amount": "1"}, {"order_amount": True}, {"order_amount": 1.0}, {"status": "SHIPPED"},
        {"created_at": "yesterday"}, {"order_lines": [{"name": "A"}]}, {"captures": [{"captured_amount": 0}]},
        {"shipping_info": [{"shipping_method": "Homexyz"}]},
    ],
)  # fmt: skip
def test_the_check_itself_bites(sandbox, call, orders, wrong):
    order = call.on(full_order(sandbox), "GET").json()
    schema = {"$ref": "#/components/schemas/MerchantOrderDto"}
    orders.check(order, schema)
    with pytest.raises(jsonschema.ValidationError):
        orders.check({**order, **wrong}, schema)
    with pytest.raises(jsonschema.ValidationError):
        orders.check({name: value for name, value in order.items() if name != "remaining_authorized_amount"}, schema)


def test_requests_with_unlisted_fields_or_types_are_caught(orders):
    headers = {"Authorization": "Basic x", "Klarna-Idempotency-Key": "k"}
    path = f"/ordermanagement/v1/orders/{UNKNOWN}/captures"
    orders.check_request("POST", path, headers, {"captured_amount": 1, "order_lines": [LINE]})
    with pytest.raises(AssertionError, match="colour is not listed"):
        orders.check_request("POST", path, headers, {"captured_amount": 1, "order_lines": [{**LINE, "colour": "red"}]})
    with pytest.raises(jsonschema.ValidationError):
        orders.check_request(
            "POST", path, headers, {"captured_amount": 1, "order_lines": [{**LINE, "type": "package"}]}
        )
    with pytest.raises(AssertionError):
        orders.check_request("POST", path, {"Authorization": "Basic x"}, {"captured_amount": 1})
