"""Who may call, how much, and what every answer carries."""

import base64

import pytest
import requests


def test_every_answer_carries_the_edge_headers(sandbox, shop):
    answer = shop.on(sandbox.order(), "GET")
    for name, value in {
        "Server": "openresty",
        "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
        "Pragma": "no-cache",
        "Expires": "0",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Content-Type": "application/json",
    }.items():
        assert answer.headers[name] == value
    assert len(answer.headers["Klarna-Correlation-Id"]) == 36


def test_wrong_credentials_get_a_page_from_the_edge(sandbox, shop):
    shop.session.auth = ("K000001_user", "wrong")
    answer = shop.on(sandbox.order(), "GET")
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert "Klarna-Correlation-Id" not in answer.headers


def test_wrong_credentials_get_json_when_switched(sandbox, shop):
    sandbox.switches(auth_401_body="json")
    shop.session.auth = None
    answer = shop.settlements("payouts")
    assert answer.status_code == 401
    assert answer.json() == {
        "error_code": "PERMISSION_DENIED",
        "error_message": "Authentication failed or permission not granted",
    }


@pytest.mark.parametrize("form", ["bare", "password", "password alone"])
def test_an_api_key_opens_its_account_in_every_form(sandbox, form):
    key = "klarna_test_api_abc"
    sandbox.merchant("K000009", api_key=key)
    order_id = sandbox.order(mid="K000009")
    plain = {"bare": key, "password": f"4c1f-uuid:{key}", "password alone": f":{key}"}[form]
    value = plain if form == "bare" else base64.b64encode(plain.encode()).decode()
    url = f"{sandbox.url}/ordermanagement/v1/orders/{order_id}"
    assert requests.get(url, headers={"Authorization": f"Basic {value}"}, timeout=5).status_code == 200


def test_a_doubled_slash_is_one(sandbox, shop):
    assert shop.ask("GET", f"//ordermanagement/v1//orders/{sandbox.order()}").status_code == 200


def test_calls_over_the_limit_are_turned_away(sandbox, shop, no):
    order_id = sandbox.order()
    sandbox.switches(rate_limit=3, rate_limit_headers="on")
    answers = [shop.on(order_id, "GET") for _ in range(12)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited
    assert no(limited[0]) == (429, "TOO_MANY_REQUESTS", ["Too many requests"])
    assert limited[0].headers["Retry-After"] == "1"
    assert answers[0].headers["X-Ratelimit-Limit"].startswith("3;w=1")


def test_a_body_over_a_megabyte_is_too_large(sandbox, shop, no):
    order_id = sandbox.order()
    answer = shop.capture(order_id, 1, description="x" * 1_000_001)
    assert no(answer) == (413, "REQUEST_TOO_LARGE", ["Request is too large"])


def test_unknown_paths_and_methods_get_the_envelope(sandbox, shop, no):
    assert no(shop.ask("GET", "/ordermanagement/v1/orders"))[0] == 404
    assert no(shop.on(sandbox.order(), "DELETE"))[0] == 405


def test_bodies_that_are_not_json_are_unprocessable(sandbox, shop, no):
    order_id = sandbox.order()
    url = f"{sandbox.url}/ordermanagement/v1/orders/{order_id}/captures"
    for body in (b"{", b"", b'{"captured_amount": NaN}', b"\xff", b"[" * 100_000):
        answer = requests.post(url, data=body, auth=shop.session.auth, timeout=5)
        assert no(answer)[0] == 422


def test_a_transaction_id_comes_with_captures_unless_switched_off(sandbox, shop):
    order_id = sandbox.order()
    assert "Transaction-Id" in shop.capture(order_id, 1).headers
    sandbox.switches(transaction_id_header="off")
    assert "Transaction-Id" not in shop.capture(order_id, 1).headers
