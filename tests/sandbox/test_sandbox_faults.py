"""Faults on request, as the caller meets them and as the order shows them afterwards."""

import time
import uuid

import pytest
import requests


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("refuse", 403), ("payment_method_failed", 403), ("conflict", 409), ("too_many", 429), ("unauthorized", 401),
        ("server_error", 500), ("unavailable", 503), ("html_403", 403), ("html_502", 502), ("redirect", 307),
    ],
)  # fmt: skip
def test_a_fault_before_the_effect_changes_nothing_and_strikes_once(sandbox, shop, kind, status):
    order_id = sandbox.order()
    sandbox.fault(kind, operation="create_capture")
    assert shop.on(order_id, "GET").status_code == 200
    assert shop.capture(order_id, 100).status_code == status
    assert sandbox.writes() == []
    assert sandbox.posts()[0]["fault"] == kind
    assert shop.capture(order_id, 100).status_code == 201


@pytest.mark.parametrize(
    "kind", ["server_error_after", "unavailable_after", "html_502_after", "drop_after", "cut_status"]
)
def test_an_answer_lost_after_the_effect_is_found_again_by_its_key(sandbox, shop, kind):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    sandbox.fault(kind, operation="create_capture")
    if kind in ("drop_after", "cut_status"):
        with pytest.raises(requests.ConnectionError):
            shop.capture(order_id, 100, key)
    else:
        assert shop.capture(order_id, 100, key).status_code >= 500
    assert shop.order(order_id)["captured_amount"] == 100
    again = shop.capture(order_id, 100, key)
    assert again.headers["Capture-Id"] == shop.order(order_id)["captures"][0]["capture_id"]
    assert len(sandbox.writes()) == 1


def test_a_connection_dropped_before_the_effect_leaves_no_trace(sandbox, shop):
    order_id = sandbox.order()
    sandbox.fault("drop_before", operation="create_capture")
    with pytest.raises(requests.ConnectionError):
        shop.capture(order_id, 100)
    assert sandbox.writes() == []
    assert sandbox.posts()[0]["status"] is None
    assert shop.order(order_id)["captured_amount"] == 0


def test_an_answer_cut_inside_its_headers_has_a_status_but_no_id(sandbox, shop):
    order_id = sandbox.order()
    sandbox.fault("cut_headers", operation="create_capture")
    answer = shop.capture(order_id, 100)
    assert answer.status_code == 201
    assert "Capture-Id" not in answer.headers
    assert shop.order(order_id)["captured_amount"] == 100


def test_a_refusal_can_be_cut_inside_its_body(sandbox, shop):
    order_id = sandbox.order()
    sandbox.fault("cut_body", operation="create_capture", status=403, error_code="CAPTURE_NOT_ALLOWED", messages="No")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        shop.capture(order_id, 100)
    assert sandbox.writes() == []
    sandbox.fault("cut_body", operation="get_order")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        shop.order(order_id)


def test_success_can_come_without_ids(sandbox, shop):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    sandbox.fault("no_id", operation="create_capture")
    answer = shop.capture(order_id, 100, key)
    assert answer.status_code == 201
    assert not {"Capture-Id", "Location"} & set(answer.headers)
    assert "Capture-Id" in shop.capture(order_id, 100, key).headers


def test_a_forgotten_key_executes_again(sandbox, shop, no):
    order_id, key = sandbox.order(order_amount=100), str(uuid.uuid4())
    shop.capture(order_id, 100, key)
    sandbox.fault("forget_key", operation="create_capture")
    assert no(shop.capture(order_id, 100, key))[:2] == (403, "CAPTURE_NOT_ALLOWED")
    assert len(sandbox.writes()) == 1


def test_a_read_can_lag_behind_the_last_write(sandbox, shop):
    order_id = sandbox.order(order_amount=100)
    shop.capture(order_id, 60)
    shop.capture(order_id, 40)
    sandbox.fault("lag", times=1)
    assert len(shop.order(order_id)["captures"]) == 1
    assert len(shop.order(order_id)["captures"]) == 2
    sandbox.switches(read_lag_ms=60_000)
    assert len(shop.order(order_id)["captures"]) == 1


def test_a_hanging_call_outlasts_its_caller_and_still_has_its_effect(sandbox, shop):
    order_id = sandbox.order()
    sandbox.fault("hang", operation="create_capture", seconds=0.4)
    with pytest.raises(requests.ReadTimeout):
        shop.on(order_id, "POST", "captures", {"captured_amount": 100}, timeout=0.1)
    assert shop.order(order_id)["captured_amount"] == 0
    time.sleep(0.6)
    assert shop.order(order_id)["captured_amount"] == 100


def test_a_call_can_hang_after_its_effect_or_have_none_at_all(sandbox, shop):
    order_id = sandbox.order()
    sandbox.fault("hang_after", operation="create_capture", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        shop.on(order_id, "POST", "captures", {"captured_amount": 100}, timeout=0.2)
    assert shop.order(order_id)["captured_amount"] == 100
    sandbox.fault("hang_never", operation="create_capture", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        shop.on(order_id, "POST", "captures", {"captured_amount": 100}, timeout=0.2)
    assert shop.order(order_id)["captured_amount"] == 100


def test_other_calls_are_served_while_one_hangs(sandbox, shop):
    hanging, other = sandbox.order(), sandbox.order()
    sandbox.fault("hang", order_id=hanging, seconds=30, times=0)
    with pytest.raises(requests.ReadTimeout):
        shop.on(hanging, "GET", timeout=0.1)
    assert shop.on(other, "GET").elapsed.total_seconds() < 5
    sandbox.clear_faults()
    assert shop.on(hanging, "GET").status_code == 200


def test_a_refusal_is_made_to_measure(sandbox, shop, no):
    order_id = sandbox.order()
    sandbox.fault(
        "refuse",
        operation="create_capture",
        status=403,
        error_code="CAPTURE_NOT_ALLOWED",
        messages=["Nej tack"],
        times=2,
    )
    key = str(uuid.uuid4())
    assert no(shop.capture(order_id, 1, key)) == (403, "CAPTURE_NOT_ALLOWED", ["Nej tack"])
    assert no(shop.capture(order_id, 1)) == (403, "CAPTURE_NOT_ALLOWED", ["Nej tack"])
    assert shop.capture(order_id, 1).status_code == 201
    assert no(shop.capture(order_id, 1, key))[2] == ["Nej tack"]


def test_faults_wait_for_their_order_operation_and_turn(sandbox, shop):
    mine, other = sandbox.order(), sandbox.order()
    sandbox.fault("server_error", operation="writes", order_id=mine, skip=1)
    assert shop.capture(other, 1).status_code == 201
    assert shop.capture(mine, 1).status_code == 201
    assert shop.on(mine, "GET").status_code == 200
    assert shop.refund(mine, 1).status_code == 500
    assert sandbox.faults() == []


def test_a_limit_can_say_when_to_come_back(sandbox, shop):
    order_id = sandbox.order()
    sandbox.fault("too_many", retry_after=7)
    assert shop.on(order_id, "GET").headers["Retry-After"] == "7"
    sandbox.fault("too_many")
    assert "Retry-After" not in shop.on(order_id, "GET").headers


def test_the_edge_turns_away_with_html_in_the_middle_of_a_repeat(sandbox, shop):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    sandbox.fault("drop_after", operation="create_capture")
    with pytest.raises(requests.ConnectionError):
        shop.capture(order_id, 100, key)
    sandbox.fault("unauthorized", operation="create_capture")
    answer = shop.capture(order_id, 100, key)
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "text/html")
    assert shop.capture(order_id, 100, key).status_code == 201
    assert len(sandbox.writes()) == 1


def test_settlement_reads_meet_faults_too(sandbox, shop):
    sandbox.fault("html_502", operation="list_payouts")
    assert shop.settlements("payouts").status_code == 502
    assert shop.settlements("payouts").status_code == 200


def test_a_fault_nobody_knows_is_refused(sandbox):
    for wish in ({"kind": "flood"}, {"kind": "hang", "operation": "dance"}, {"kind": "hang", "colour": "red"}):
        with pytest.raises(Exception, match="MISUSE"):
            sandbox.fault(wish.pop("kind"), **wish)
