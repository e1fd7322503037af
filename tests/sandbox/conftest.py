"""One sandbox per test process, emptied before each test, and a shop that talks to it as a merchant does."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from klarna_sandbox import server
from klarna_sandbox.control import Control

MID = "K000001"
NOW = "2026-03-02T10:00:00Z"


class Shop:
    """A merchant's HTTP client: no retries, no redirects, short timeouts."""

    def __init__(self, url: str, username: str = f"{MID}_user", password: str = "secret") -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (username, password)

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None, **more: Any) -> requests.Response:
        headers = {"Klarna-Idempotency-Key": key} if key else {}
        more.setdefault("timeout", 5)
        return self.session.request(
            method,
            self.url + path,
            json=body,
            headers={**headers, **more.pop("headers", {})},
            allow_redirects=False,
            **more,
        )

    def on(self, order_id: str, method: str, rest: str = "", body: Any = None, key: str | None = None, **more: Any):
        path = f"/ordermanagement/v1/orders/{order_id}{'/' if rest else ''}{rest}"
        return self.ask(method, path, body, key, **more)

    def order(self, order_id: str) -> dict[str, Any]:
        answer = self.on(order_id, "GET")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def capture(self, order_id: str, amount: int, key: str | None = None, **fields: Any) -> requests.Response:
        return self.on(order_id, "POST", "captures", {"captured_amount": amount, **fields}, key or str(uuid.uuid4()))

    def refund(self, order_id: str, amount: int, key: str | None = None, **fields: Any) -> requests.Response:
        return self.on(order_id, "POST", "refunds", {"refunded_amount": amount, **fields}, key or str(uuid.uuid4()))

    def settlements(self, path: str, **query: Any) -> requests.Response:
        return self.ask("GET", f"/settlements/v1/{path}", params=query)


def line(reference: str, amount: int, quantity: int = 1, **more: Any) -> dict[str, Any]:
    """An order line of 25 % VAT, to the öre."""
    tax = (2 * amount + 5) // 10
    return {
        "name": f"Article {reference}",
        "reference": reference,
        "quantity": quantity,
        "unit_price": amount // quantity,
        "total_amount": amount,
        "tax_rate": 2500,
        "total_tax_amount": tax,
        **more,
    }


def refusal(answer: requests.Response) -> tuple[int, str, list[str]]:
    """What an answer says no with."""
    envelope = answer.json()
    assert envelope["correlation_id"] == answer.headers["Klarna-Correlation-Id"]
    return answer.status_code, envelope["error_code"], envelope["error_messages"]


@pytest.fixture(scope="session")
def running() -> Iterator[server.RunningServer]:
    with server.start() as started:
        yield started


@pytest.fixture
def sandbox(running: server.RunningServer) -> Control:
    control = Control(running.url)
    control.reset()
    control.set_clock(NOW, freeze=True)
    control.merchant(MID)
    return control


@pytest.fixture
def shop(sandbox: Control) -> Shop:
    return Shop(sandbox.url)


@pytest.fixture
def make_line() -> Any:
    return line


@pytest.fixture
def no() -> Any:
    return refusal
