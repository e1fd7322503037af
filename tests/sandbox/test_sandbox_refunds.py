"""Refunds: limits, allocation by line reference, return fees."""

import pytest


def test_a_refund_leaves_status_and_remaining_authorization_alone(sandbox, shop):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 10000)
    answer = shop.refund(order_id, 10000, reference="K1", description="Retur")
    assert answer.status_code == 201
    assert answer.content == b""
    refund_id = answer.headers["Refund-Id"]
    assert answer.headers["Location"].endswith(f"/orders/{order_id}/refunds/{refund_id}")
    order = shop.order(order_id)
    assert (order["status"], order["refunded_amount"], order["remaining_authorized_amount"]) == ("CAPTURED", 10000, 0)
    refund = shop.on(order_id, "GET", f"refunds/{refund_id}").json()
    assert refund == order["refunds"][0]
    assert (refund["reference"], refund["description"], refund["refunded_amount"]) == ("K1", "Retur", 10000)
    assert order["captures"][0]["refunded_amount"] == 10000


def test_refunds_reach_the_captured_amount_and_no_further(sandbox, shop, no):
    order_id = sandbox.order(order_amount=10000)
    assert no(shop.refund(order_id, 1)) == (403, "REFUND_NOT_ALLOWED", ["Order has no captures. Refund not possible"])
    shop.capture(order_id, 6000)
    over = (403, "REFUND_NOT_ALLOWED", ["Over refund is not allowed. Refund not possible."])
    assert no(shop.refund(order_id, 6001)) == over
    assert shop.refund(order_id, 2500).status_code == 201
    assert shop.refund(order_id, 3500).status_code == 201
    assert no(shop.refund(order_id, 1)) == over


def test_a_refund_falls_on_the_capture_that_holds_its_line_references(sandbox, shop, make_line):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 4000, order_lines=[make_line("A", 4000)])
    shop.capture(order_id, 6000, order_lines=[make_line("B", 2000), make_line("C", 4000)])
    shop.refund(order_id, 3000, order_lines=[make_line("B", 1000), make_line("C", 2000)])
    assert [each["refunded_amount"] for each in shop.order(order_id)["captures"]] == [0, 3000]
    shop.refund(order_id, 4000, order_lines=[make_line("A", 4000)])
    assert [each["refunded_amount"] for each in shop.order(order_id)["captures"]] == [4000, 3000]


def test_the_earliest_capture_with_room_takes_the_refund(sandbox, shop, make_line):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 4000, order_lines=[make_line("A", 4000)])
    shop.capture(order_id, 4000, order_lines=[make_line("A", 4000)])
    for amount, expected in [(3000, [3000, 0]), (2000, [3000, 2000]), (1000, [4000, 2000])]:
        shop.refund(order_id, amount, order_lines=[make_line("A", amount)])
        assert [each["refunded_amount"] for each in shop.order(order_id)["captures"]] == expected


@pytest.mark.parametrize("lines", [[], [("A", 999)], [("D", 1000)], [("A", 500), ("B", 500)]])
def test_a_refund_that_fits_no_capture_is_accepted_unallocated_and_so_are_all_later_ones(
    sandbox, shop, make_line, lines
):
    order_id = sandbox.order(order_amount=8000)
    shop.capture(order_id, 4000, order_lines=[make_line("A", 4000)])
    shop.capture(order_id, 4000, order_lines=[make_line("B", 4000)])
    assert shop.refund(order_id, 1000, order_lines=[make_line(r, a) for r, a in lines]).status_code == 201
    assert shop.refund(order_id, 1000, order_lines=[make_line("A", 1000)]).status_code == 201
    order = shop.order(order_id)
    assert order["refunded_amount"] == 2000
    assert [each["refunded_amount"] for each in order["captures"]] == [0, 0]
    state = sandbox.state(order_id)
    assert state["allocation_failed"] is True
    assert [each["capture_id"] for each in state["refunds"]] == [None, None]
    assert sum("not allocated" in each["text"] for each in sandbox.warnings()) == 2


def test_a_return_fee_lowers_the_refund(sandbox, shop, make_line):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 10000, order_lines=[make_line("A", 10000)])
    fee = make_line("FEE", -500, type="return_fee")
    assert shop.refund(order_id, 9500, order_lines=[make_line("A", 10000), fee]).status_code == 201
    assert shop.order(order_id)["refunded_amount"] == 9500


@pytest.mark.parametrize("broken", ["sum", "country", "captures", "part"])
def test_a_return_fee_that_breaks_its_rules_is_refused(sandbox, shop, no, make_line, broken):
    order_id = sandbox.order(order_amount=10000, purchase_country="US" if broken == "country" else "SE")
    shop.capture(order_id, 9000 if broken in ("captures", "part") else 10000)
    if broken == "captures":
        shop.capture(order_id, 1000)
    lines = [make_line("A", 5000), make_line("FEE", -500, type="return_fee")]
    refused = no(shop.refund(order_id, 4501 if broken == "sum" else 4500, order_lines=lines))
    assert refused == (403, "REFUND_NOT_ALLOWED", ["Return fee is not allowed. Refund not possible."])


def test_the_older_list_of_countries_is_shorter_and_a_fee_of_zero_is_no_fee(sandbox, shop, make_line):
    order_id = sandbox.order(order_amount=10000, purchase_country="IT")
    shop.capture(order_id, 10000)
    lines = [make_line("A", 1000), make_line("FEE", -100, type="return_fee")]
    assert shop.refund(order_id, 900, order_lines=lines).status_code == 201
    sandbox.switches(return_fee_countries="older")
    assert shop.refund(order_id, 900, order_lines=lines).status_code == 403
    nothing = [make_line("A", 1000), make_line("FEE", 0, type="return_fee")]
    assert shop.refund(order_id, 1000, order_lines=nothing).status_code == 422


def test_refunds_can_be_limited_in_time_and_on_closed_orders(sandbox, shop):
    order_id = sandbox.order(order_amount=10000, captures=[{}])
    sandbox.switches(refund_limit_days=30)
    sandbox.move_clock(days=30)
    assert shop.refund(order_id, 1).status_code == 201
    sandbox.move_clock(seconds=1)
    assert shop.refund(order_id, 1).status_code == 403
    sandbox.switches(refund_limit_days="off", closed_refund="refuse")
    sandbox.close(order_id)
    assert shop.refund(order_id, 1).status_code == 403
