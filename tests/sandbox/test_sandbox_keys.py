"""Idempotency keys: one key, one effect."""

import threading
import time
import uuid


def test_the_same_key_gives_the_same_answer_and_does_nothing(sandbox, shop):
    order_id, key = sandbox.order(order_amount=10000), str(uuid.uuid4())
    first = shop.capture(order_id, 4000, key)
    again = shop.capture(order_id, 4000, key)
    assert (again.status_code, again.content) == (201, b"")
    for name in ("Capture-Id", "Location", "Transaction-Id"):
        assert again.headers[name] == first.headers[name]
    assert shop.order(order_id)["captured_amount"] == 4000
    assert [each["replayed"] for each in sandbox.posts()] == [False, True]
    assert len(sandbox.writes()) == 1
    assert sandbox.warnings() == []


def test_the_same_key_with_another_amount_gives_the_first_answer_and_a_warning(sandbox, shop):
    order_id, key = sandbox.order(order_amount=10000), str(uuid.uuid4())
    first = shop.capture(order_id, 4000, key)
    assert shop.capture(order_id, 5000, key).headers["Capture-Id"] == first.headers["Capture-Id"]
    assert shop.refund(order_id, 1000, key).headers["Capture-Id"] == first.headers["Capture-Id"]
    order = shop.order(order_id)
    assert (order["captured_amount"], order["refunded_amount"]) == (4000, 0)
    assert sum(key in each["text"] for each in sandbox.warnings()) == 2


def test_two_keys_or_none_capture_twice(sandbox, shop):
    order_id = sandbox.order(order_amount=10000)
    shop.capture(order_id, 1000)
    shop.capture(order_id, 1000)
    shop.on(order_id, "POST", "captures", {"captured_amount": 1000})
    shop.on(order_id, "POST", "captures", {"captured_amount": 1000})
    assert shop.order(order_id)["captured_amount"] == 4000


def test_a_key_protects_for_24_hours_and_no_longer(sandbox, shop):
    order_id, key = sandbox.order(order_amount=10000), str(uuid.uuid4())
    first = shop.capture(order_id, 1000, key).headers["Capture-Id"]
    sandbox.move_clock(hours=23, minutes=59, seconds=59)
    assert shop.capture(order_id, 1000, key).headers["Capture-Id"] == first
    sandbox.move_clock(seconds=1)
    assert shop.capture(order_id, 1000, key).headers["Capture-Id"] != first
    assert shop.order(order_id)["captured_amount"] == 2000


def test_a_business_refusal_is_remembered_but_no_other_error(sandbox, shop, no):
    order_id, key = sandbox.order(order_amount=10000), str(uuid.uuid4())
    refused = no(shop.capture(order_id, 10001, key))
    sandbox.portal_update(order_id, 20000)
    again = shop.capture(order_id, 10001, key)
    assert no(again) == refused
    key = str(uuid.uuid4())
    assert shop.on(order_id, "POST", "captures", {}, key).status_code == 422
    assert shop.capture(order_id, 1, key).status_code == 201
    key = str(uuid.uuid4())
    unknown = str(uuid.uuid4())
    assert shop.capture(unknown, 1, key).status_code == 404
    assert shop.capture(order_id, 1, key).status_code == 201


def test_what_is_remembered_can_be_switched(sandbox, shop):
    order_id, key, other = sandbox.order(order_amount=10000), str(uuid.uuid4()), str(uuid.uuid4())
    sandbox.switches(idem_remember="2xx")
    assert shop.capture(order_id, 10001, key).status_code == 403
    assert shop.capture(order_id, 1, key).status_code == 201
    sandbox.switches(idem_remember="all")
    assert shop.on(order_id, "POST", "captures", {}, other).status_code == 422
    assert shop.capture(order_id, 1, other).status_code == 422


def test_keys_are_each_merchants_own(sandbox, shop):
    sandbox.merchant("K000002")
    key = str(uuid.uuid4())
    mine, theirs = sandbox.order(mid="K000001"), sandbox.order(mid="K000002")
    assert shop.capture(mine, 1, key).status_code == 201
    shop.session.auth = ("K000002_user", "secret")
    assert shop.capture(theirs, 1, key).status_code == 201
    assert len(sandbox.writes()) == 2


def test_a_key_that_is_no_uuid_is_accepted_with_a_warning(sandbox, shop):
    assert shop.capture(sandbox.order(), 1, "operation-17").status_code == 201
    assert "operation-17" in sandbox.warnings()[0]["text"]


def test_every_changing_operation_takes_a_key(sandbox, shop):
    order_id = sandbox.order()
    for method, rest, body in [
        ("POST", "acknowledge", None),
        ("PATCH", "merchant-references", {"merchant_reference1": "A"}),
        ("PATCH", "authorization", {"order_amount": 9000}),
        ("POST", "shipping-info", {"shipping_info": [{}]}),
        ("POST", "cancel", None),
    ]:
        key = str(uuid.uuid4())
        assert [shop.on(order_id, method, rest, body, key).status_code for _ in range(2)] == [204, 204]
    assert len(sandbox.writes()) == 5


def in_background(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_the_same_key_in_flight_conflicts(sandbox, shop, running, no):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    sandbox.fault("hang", operation="create_capture", seconds=30)
    thread, found = in_background(lambda: type(shop)(sandbox.url).capture(order_id, 100, key))
    until(lambda: running.world.in_flight)
    assert no(shop.capture(order_id, 100, key)) == (409, "CONFLICT", [])
    sandbox.release_hangs()
    thread.join()
    assert found[0].status_code == 201
    assert shop.capture(order_id, 100, key).headers["Capture-Id"] == found[0].headers["Capture-Id"]
    assert len(sandbox.writes()) == 1


def test_the_same_key_in_flight_can_wait(sandbox, shop, running):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    sandbox.switches(idem_in_flight="wait")
    sandbox.fault("hang", operation="create_capture", seconds=0.3)
    thread, found = in_background(lambda: type(shop)(sandbox.url).capture(order_id, 100, key))
    until(lambda: running.world.in_flight)
    second = shop.capture(order_id, 100, key)
    thread.join()
    assert second.headers["Capture-Id"] == found[0].headers["Capture-Id"]
    assert shop.order(order_id)["captured_amount"] == 100


def test_twenty_callers_with_one_key_make_one_capture(sandbox, shop):
    order_id, key = sandbox.order(), str(uuid.uuid4())
    sandbox.switches(idem_in_flight="wait")
    pairs = [in_background(lambda: type(shop)(sandbox.url).capture(order_id, 100, key)) for _ in range(20)]
    for thread, _ in pairs:
        thread.join()
    assert len({found[0].headers["Capture-Id"] for _, found in pairs}) == 1
    assert len(sandbox.writes()) == 1


def test_callers_with_their_own_keys_never_capture_more_than_is_authorized(sandbox, shop):
    order_id = sandbox.order(order_amount=1000)
    pairs = [in_background(lambda: type(shop)(sandbox.url).capture(order_id, 100)) for _ in range(15)]
    for thread, _ in pairs:
        thread.join()
    assert sorted(found[0].status_code for _, found in pairs) == [201] * 10 + [403] * 5
    assert shop.order(order_id)["captured_amount"] == 1000
