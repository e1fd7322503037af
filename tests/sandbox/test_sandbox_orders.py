"""The life of an order: captures, cancel, release, extend, update, expiry, fraud."""

import pytest

UNKNOWN = "00000000-0000-4000-8000-000000000000"
LINE = {"name": "A", "quantity": 1, "unit_price": 1, "total_amount": 1}


def test_an_order_reads_back_as_it_was_bought(sandbox, shop):
    order_id = sandbox.order(order_amount=50000, merchant_reference1="SO-1", created_at="2026-03-01T09:48:16.680Z")
    order = shop.order(order_id)
    assert order["status"] == "AUTHORIZED"
    assert order["fraud_status"] == "ACCEPTED"
    assert (order["order_amount"], order["original_order_amount"], order["remaining_authorized_amount"]) == (50000,) * 3
    assert (order["captured_amount"], order["refunded_amount"], order["captures"], order["refunds"]) == (0, 0, [], [])
    assert order["created_at"] == "2026-03-01T09:48:16.680Z"
    assert order["expires_at"] == "2026-03-29T00:00:00.000Z"


def test_two_captures_reach_the_exact_total(sandbox, shop):
    order_id = sandbox.order(order_amount=50000)
    first = shop.capture(order_id, 20000, reference="F1")
    assert first.status_code == 201
    assert first.content == b""
    assert first.headers["Content-Length"] == "0"
    capture_id = first.headers["Capture-Id"]
    assert first.headers["Location"] == f"{sandbox.url}/ordermanagement/v1/orders/{order_id}/captures/{capture_id}"
    assert "Transaction-Id" in first.headers
    order = shop.order(order_id)
    assert (order["status"], order["remaining_authorized_amount"]) == ("PART_CAPTURED", 30000)
    assert shop.capture(order_id, 30000, reference="F2").status_code == 201
    order = shop.order(order_id)
    assert (order["status"], order["captured_amount"], order["remaining_authorized_amount"]) == ("CAPTURED", 50000, 0)
    short = order["klarna_reference"]
    assert [(c["klarna_reference"], c["reference"]) for c in order["captures"]] == [
        (f"{short}-1", "F1"),
        (f"{short}-2", "F2"),
    ]
    assert shop.on(order_id, "GET", "captures").json() == order["captures"]
    assert shop.on(order_id, "GET", f"captures/{capture_id}").json() == order["captures"][0]


def test_a_capture_of_one_ore_too_much_is_refused_and_changes_nothing(sandbox, shop, no):
    order_id = sandbox.order(order_amount=50000)
    text = "Captured amount is higher than the remaining authorized amount. Capture not possible."
    assert no(shop.capture(order_id, 50001)) == (403, "CAPTURE_NOT_ALLOWED", [text])
    assert shop.order(order_id)["captures"] == []
    assert sandbox.writes() == []
    sandbox.switches(overcapture_text="figures")
    assert "50001" in no(shop.capture(order_id, 50001))[2][0]


def test_an_expired_order_cannot_be_captured(sandbox, shop, no):
    order_id = sandbox.order()
    sandbox.move_clock(days=28)
    assert shop.order(order_id)["status"] == "EXPIRED"
    assert no(shop.capture(order_id, 1)) == (
        403,
        "CAPTURE_NOT_ALLOWED",
        [f"Order {order_id} is expired. Capture not possible."],
    )
    extend = shop.on(order_id, "POST", "extend-authorization-time")
    assert no(extend) == (403, "NOT_ALLOWED", ["Order is expired. Authorization time cannot be extended."])


def test_an_extended_order_can_be_captured_after_its_first_expiry(sandbox, shop):
    order_id = sandbox.order()
    sandbox.move_clock(days=20)
    assert shop.on(order_id, "POST", "extend-authorization-time").status_code == 204
    assert shop.on(order_id, "POST", "extend-authorization-time").status_code == 204
    assert len(sandbox.writes(operation="extend_authorization_time")) == 1
    assert shop.order(order_id)["expires_at"] == "2026-04-19T00:00:00.000Z"
    sandbox.move_clock(days=15)
    assert shop.capture(order_id, 10000).status_code == 201


def test_an_authorization_lives_180_days_at_most(sandbox, shop, no):
    order_id = sandbox.order(expires_at="2026-08-20T00:00:00Z")
    sandbox.set_clock("2026-08-15T12:00:00Z")
    assert shop.on(order_id, "POST", "extend-authorization-time").status_code == 204
    assert shop.order(order_id)["expires_at"] == "2026-08-29T00:00:00.000Z"


def test_a_card_order_cannot_be_extended(sandbox, shop, no):
    order_id = sandbox.order(initial_payment_method="PAY_BY_CARD")
    answer = shop.on(order_id, "POST", "extend-authorization-time")
    assert no(answer) == (403, "NOT_ALLOWED", ["Authorization time cannot be extended."])


@pytest.mark.parametrize(("switch", "status"), [("stay", "PART_CAPTURED"), ("captured", "CAPTURED")])
def test_a_part_captured_order_loses_the_rest_at_expiry(sandbox, shop, no, switch, status):
    sandbox.switches(expiry_part_captured=switch)
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 4000)
    sandbox.move_clock(days=30)
    order = shop.order(order_id)
    assert (order["status"], order["remaining_authorized_amount"]) == (status, 0)
    assert "is expired" in no(shop.capture(order_id, 1))[2][0]


def test_a_cancelled_order_is_finished(sandbox, shop, no):
    order_id = sandbox.order()
    assert shop.on(order_id, "POST", "cancel").status_code == 204
    order = shop.order(order_id)
    assert (order["status"], order["remaining_authorized_amount"]) == ("CANCELLED", 0)
    again = (403, "CANCEL_NOT_ALLOWED", ["Order is already cancelled. Cancel not possible."])
    assert no(shop.on(order_id, "POST", "cancel")) == again
    captured = (403, "CAPTURE_NOT_ALLOWED", [f"Order {order_id} is cancelled. Capture not possible."])
    assert no(shop.capture(order_id, 1)) == captured
    assert no(shop.on(order_id, "PATCH", "authorization", {"order_amount": 1})) == (
        403,
        "NOT_ALLOWED",
        ["Update not allowed."],
    )
    references = shop.on(order_id, "PATCH", "merchant-references", {"merchant_reference1": "A"})
    assert no(references) == (403, "NOT_ALLOWED", ["Order is cancelled. Merchant references cannot be updated."])
    sandbox.switches(cancel_again="204")
    assert shop.on(order_id, "POST", "cancel").status_code == 204


def test_an_order_with_a_capture_cannot_be_cancelled(sandbox, shop, no):
    order_id = sandbox.order()
    shop.capture(order_id, 1)
    text = "Order has previous captures. Cancel not possible."
    assert no(shop.on(order_id, "POST", "cancel")) == (403, "CANCEL_NOT_ALLOWED", [text])


def test_release_after_a_part_capture_makes_the_order_captured(sandbox, shop, no):
    order_id = sandbox.order(order_amount=10000)
    release = "release-remaining-authorization"
    assert no(shop.on(order_id, "POST", release)) == (403, "NOT_ALLOWED", ["Release not allowed."])
    shop.capture(order_id, 4000)
    assert shop.on(order_id, "POST", release).status_code == 204
    order = shop.order(order_id)
    assert (order["status"], order["remaining_authorized_amount"], order["order_amount"]) == ("CAPTURED", 0, 10000)
    text = "Order is fully captured. Remaining authorization cannot be released."
    assert no(shop.on(order_id, "POST", release)) == (403, "NOT_ALLOWED", [text])


def test_an_update_replaces_total_and_lines_and_wipes_lines_left_out(sandbox, shop, no, make_line):
    order_id = sandbox.order(order_amount=10000)
    lines = [make_line("A", 9000)]
    assert shop.on(order_id, "PATCH", "authorization", {"order_amount": 9000, "order_lines": lines}).status_code == 204
    order = shop.order(order_id)
    assert (order["order_amount"], order["original_order_amount"], order["order_lines"]) == (9000, 10000, lines)
    shop.capture(order_id, 8000)
    text = (
        "Resulting authorization amount 7000 cannot be less than the captured amount 8000 for order. "
        "Order authorization cannot be updated"
    )
    refused = no(shop.on(order_id, "PATCH", "authorization", {"order_amount": 7000}))
    assert refused == (
        403,
        "NOT_ALLOWED",
        [text],
    )
    assert shop.on(order_id, "PATCH", "authorization", {"order_amount": 8000}).status_code == 204
    order = shop.order(order_id)
    assert (order["status"], order["remaining_authorized_amount"], order["order_lines"]) == ("CAPTURED", 0, [])


@pytest.mark.parametrize(
    ("method", "country", "status"),
    [
        ("INVOICE", "SE", 204), ("CARD", "SE", 403), ("DIRECT_DEBIT", "CH", 403), ("DIRECT_DEBIT", "DE", 204),
        ("FIXED_AMOUNT", "SE", 204), ("FIXED_AMOUNT", "GB", 403),
    ],
)  # fmt: skip
def test_only_some_methods_let_the_amount_rise(sandbox, shop, method, country, status):
    order_id = sandbox.order(order_amount=10000, initial_payment_method=method, purchase_country=country)
    assert shop.on(order_id, "PATCH", "authorization", {"order_amount": 10001}).status_code == status
    assert shop.order(order_id)["remaining_authorized_amount"] == (10001 if status == 204 else 10000)


@pytest.mark.parametrize("status", ["PENDING", "STOPPED"])
def test_an_order_under_review_cannot_be_captured_until_accepted(sandbox, shop, no, status):
    order_id = sandbox.order(fraud_status=status)
    assert no(shop.capture(order_id, 100)) == (403, "CAPTURE_NOT_ALLOWED", ["Capture not allowed"])
    sandbox.fraud(order_id, "ACCEPTED")
    assert shop.capture(order_id, 100).status_code == 201
    sandbox.fraud(order_id, "STOPPED")
    assert shop.capture(order_id, 100).status_code == 403


def test_a_rejected_order_can_be_captured_for_four_hours_and_is_then_cancelled(sandbox, shop, no):
    early, late = sandbox.order(fraud_status="PENDING"), sandbox.order(fraud_status="PENDING")
    sandbox.fraud(early, "REJECTED")
    sandbox.fraud(late, "REJECTED")
    sandbox.move_clock(hours=4)
    assert shop.capture(early, 100).status_code == 201
    sandbox.move_clock(seconds=1)
    assert no(shop.capture(late, 100)) == (403, "CAPTURE_NOT_ALLOWED", ["Capture not allowed"])
    assert shop.order(late)["status"] == "CANCELLED"
    sandbox.switches(rejected_capture_hours=0)
    at_once = sandbox.order(fraud_status="REJECTED")
    assert shop.capture(at_once, 100).status_code == 403


def test_a_closed_order_refuses_all_but_refunds(sandbox, shop):
    order_id = sandbox.order(captures=[{"captured_amount": 5000}])
    sandbox.close(order_id)
    for method, rest in [
        ("POST", "cancel"),
        ("POST", "release-remaining-authorization"),
        ("POST", "extend-authorization-time"),
    ]:
        assert shop.on(order_id, method, rest).status_code == 403
    assert shop.capture(order_id, 1).status_code == 403
    assert shop.on(order_id, "PATCH", "authorization", {"order_amount": 6000}).status_code == 403
    assert shop.refund(order_id, 5000).status_code == 201


def test_references_stay_when_absent_and_clear_when_empty(sandbox, shop):
    order_id = sandbox.order(merchant_reference1="A", merchant_reference2="B")
    assert shop.on(order_id, "PATCH", "merchant-references", {"merchant_reference2": ""}).status_code == 204
    order = shop.order(order_id)
    assert order["merchant_reference1"] == "A"
    assert "merchant_reference2" not in order
    assert shop.on(order_id, "PATCH", "merchant-references", {"merchant_reference1": "x" * 256}).status_code == 422


def test_only_the_shipping_address_can_be_changed(sandbox, shop, no):
    address = {
        "street_address": "Gatan 1",
        "postal_code": "11122",
        "city": "Stockholm",
        "country": "SE",
        "email": "a@b.se",
    }
    order_id = sandbox.order(shipping_address=address)
    changed = shop.on(order_id, "PATCH", "customer-details", {"shipping_address": {"city": "Lund", "email": ""}})
    assert changed.status_code == 204
    assert shop.order(order_id)["shipping_address"] == {
        "street_address": "Gatan 1", "postal_code": "11122", "city": "Lund", "country": "SE",
    }  # fmt: skip
    billing = shop.on(order_id, "PATCH", "customer-details", {"billing_address": {"city": "Lund"}})
    assert no(billing)[:2] == (403, "NOT_ALLOWED")
    empty = shop.on(order_id, "PATCH", "customer-details", {"shipping_address": {"city": ""}})
    assert no(empty) == (422, "INVALID_ADDRESS", ["The shipping and/or billing address is invalid"])


def test_shipping_info_is_appended_to_order_and_capture(sandbox, shop, no):
    order_id = sandbox.order()
    body = {"shipping_info": [{"shipping_company": "PostNord", "tracking_number": "1"}]}
    assert shop.on(order_id, "POST", "shipping-info", body).status_code == 204
    assert shop.order(order_id)["shipping_info"] == body["shipping_info"]
    early = shop.on(order_id, "POST", f"captures/{UNKNOWN}/shipping-info", body)
    assert no(early) == (403, "NOT_ALLOWED", ["Order has no captures. Shipping info cannot be added."])
    capture_id = shop.capture(order_id, 100, shipping_info=body["shipping_info"]).headers["Capture-Id"]
    assert shop.on(order_id, "POST", f"captures/{capture_id}/shipping-info", body).status_code == 204
    assert shop.order(order_id)["captures"][0]["shipping_info"] == body["shipping_info"] * 2
    unknown = shop.on(order_id, "POST", f"captures/{UNKNOWN}/shipping-info", body)
    text = f"Capture could not be found. Shipping info cannot be added to capture {UNKNOWN}"
    assert no(unknown) == (404, "NO_SUCH_CAPTURE", [text])
    long = shop.on(order_id, "POST", "shipping-info", {"shipping_info": [{"shipping_company": "x" * 101}]})
    text = "The size of the shipping_info/shipping_company value must be between 0 and 100"
    assert no(long) == (422, "UNPROCESSABLE_ENTITY", [text])


def test_a_due_date_can_be_moved_for_a_fee_on_pay_later_orders_only(sandbox, shop, no):
    order_id = sandbox.order()
    capture_id = shop.capture(order_id, 10000).headers["Capture-Id"]
    options = shop.on(order_id, "GET", f"captures/{capture_id}/extend-due-date-options").json()
    assert options == {
        "currency": "SEK",
        "options": [{"number_of_days": d, "amount": a} for d, a in [(10, 1000), (20, 2000), (30, 3000)]],
    }
    assert no(shop.on(order_id, "PATCH", f"captures/{capture_id}/extend-due-date", {"number_of_days": 11}))[0] == 403
    assert (
        shop.on(order_id, "PATCH", f"captures/{capture_id}/extend-due-date", {"number_of_days": 20}).status_code == 204
    )
    fee = sandbox.state(order_id)["rows"][-1]
    assert (fee["type"], fee["detailed_type"], fee["amount"], fee["vat_amount"]) == (
        "FEE",
        "EXTEND_DUE_DATE_FEE",
        2000,
        500,
    )
    card = sandbox.order(initial_payment_method="CARD")
    capture_id = shop.capture(card, 10000).headers["Capture-Id"]
    assert shop.on(card, "GET", f"captures/{capture_id}/extend-due-date-options").json()["options"] == []


def test_send_out_needs_a_capture(sandbox, shop, no):
    order_id = sandbox.order()
    refused = no(shop.on(order_id, "POST", f"captures/{UNKNOWN}/trigger-send-out"))
    assert refused == (403, "NOT_ALLOWED", ["Order has no captures."])
    capture_id = shop.capture(order_id, 1).headers["Capture-Id"]
    assert shop.on(order_id, "POST", f"captures/{capture_id}/trigger-send-out").status_code == 204


@pytest.mark.parametrize(
    ("method", "rest", "code", "text"),
    [
        ("GET", "", "NO_SUCH_ORDER", "Order {o} cannot be found"),
        ("GET", "captures", "NO_SUCH_ORDER", "Order {o} cannot be found"),
        ("POST", "captures", "NO_SUCH_ORDER", "Order {o} cannot be found"),
        ("POST", "acknowledge", "NO_SUCH_ORDER", "Order {o} cannot be found. Acknowledgement not possible."),
        ("POST", "cancel", "NO_SUCH_ORDER", "Order {o} cannot be found"),
        ("PATCH", "authorization", "NO_SUCH_ORDER", "Order {o} cannot be found"),
        ("PATCH", "merchant-references", "NO_SUCH_ORDER", "Order cannot be found. Merchant references cannot be updated."),
        ("POST", "shipping-info", "NO_SUCH_ORDER",
         "Order {o} cannot be found. Shipping info cannot be added to order {o}."),
        ("POST", "captures/c1/shipping-info", "NO_SUCH_ORDER",
         "Order {o} cannot be found. Shipping info cannot be added to capture c1."),
        ("POST", "refunds", "NOT_FOUND", "Order {o} cannot be found"),
        ("GET", "refunds/r1", "NOT_FOUND", "Refund r1 cannot be found for order {o}"),
    ],
)  # fmt: skip
def test_an_unknown_order_and_another_merchants_order_answer_alike(sandbox, shop, no, method, rest, code, text):
    sandbox.merchant("K000002")
    for order_id in (UNKNOWN, sandbox.order(mid="K000002")):
        assert no(shop.on(order_id, method, rest, {})) == (404, code, [text.format(o=order_id)])


def test_an_order_id_must_be_a_uuid(sandbox, shop, no):
    expected = (400, "INVALID_ORDER_ID", ["Order ID must be a valid UUID."])
    assert no(shop.on("nonsense", "GET")) == expected
    assert no(shop.on("nonsense", "POST", "captures", {})) == expected


def test_switches_decide_what_unknown_parts_answer(sandbox, shop, no):
    order_id = sandbox.order()
    assert no(shop.on(order_id, "GET", f"captures/{UNKNOWN}"))[1] == "NO_SUCH_ORDER"
    sandbox.switches(
        unknown_capture="NO_SUCH_CAPTURE", unknown_refund_status="400", refund_unknown_order="NO_SUCH_ORDER"
    )
    assert no(shop.on(order_id, "GET", f"captures/{UNKNOWN}"))[1] == "NO_SUCH_CAPTURE"
    assert no(shop.on(order_id, "GET", f"refunds/{UNKNOWN}"))[:2] == (400, "NOT_FOUND")
    assert no(shop.refund(UNKNOWN, 1))[:2] == (404, "NO_SUCH_ORDER")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"captured_amount": -1}, {"captured_amount": 200000001}, {"captured_amount": 1.0}, {"captured_amount": "1"},
        {"captured_amount": True}, {"captured_amount": None}, [], {"captured_amount": 1, "reference": "x" * 256},
        {"captured_amount": 1, "order_lines": [{"name": "A", "quantity": 1, "unit_price": 1}]},
        {"captured_amount": 1, "order_lines": [{"name": "A", "quantity": 0.5, "unit_price": 1, "total_amount": 1}]},
        {"captured_amount": 1, "order_lines": [{**LINE, "type": "Physical"}]},
        {"captured_amount": 1, "order_lines": [{**LINE, "type": "package"}]},
        {"captured_amount": 1, "order_lines": [LINE] * 1001},
        {"captured_amount": 1, "shipping_info": [{"shipping_method": "Homexyz"}]},
    ],
)  # fmt: skip
def test_a_body_that_breaks_the_schema_is_unprocessable(sandbox, shop, no, body):
    order_id = sandbox.order()
    assert no(shop.on(order_id, "POST", "captures", body))[:2] == (422, "UNPROCESSABLE_ENTITY")
    assert sandbox.writes() == []


def test_only_kustom_accounts_send_package_lines(sandbox, shop):
    sandbox.merchant(provider="kustom")
    order_id = sandbox.order()
    package = {"name": "A", "quantity": 1, "unit_price": 1, "total_amount": 1, "type": "package"}
    assert shop.capture(order_id, 1, order_lines=[package]).status_code == 201


def test_nothing_can_be_captured_or_refunded_at_zero_unless_switched(sandbox, shop, no):
    order_id = sandbox.order(captures=[{"captured_amount": 100}])
    assert no(shop.capture(order_id, 0)) == (403, "CAPTURE_NOT_ALLOWED", ["Capture not allowed"])
    assert no(shop.refund(order_id, 0)) == (403, "REFUND_NOT_ALLOWED", ["Refund not allowed"])
    sandbox.switches(zero_amount="accept")
    assert shop.capture(order_id, 0).status_code == 201
    assert shop.refund(order_id, 0).status_code == 201


def test_lines_that_do_not_add_up_are_warned_about_or_refused(sandbox, shop, no, make_line):
    order_id = sandbox.order()
    assert shop.capture(order_id, 1000, order_lines=[make_line("A", 999)]).status_code == 201
    assert "sum to 999" in sandbox.warnings()[-1]["text"]
    assert shop.capture(order_id, 1000, order_lines=[make_line("A", 1000, total_tax_amount=202)]).status_code == 201
    assert sandbox.warnings()[-1]["text"] == "Bad value: order_lines[0].total_tax_amount"
    sandbox.switches(strict_lines="refuse")
    assert no(shop.capture(order_id, 1000, order_lines=[make_line("A", 999)]))[0] == 422
    sandbox.clear_warnings()
    assert shop.capture(order_id, 1000, order_lines=[make_line("A", 1000, total_tax_amount=201)]).status_code == 201
    assert sandbox.warnings() == []
