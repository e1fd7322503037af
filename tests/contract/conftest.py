"""A merchant's client whose every request and answer is held against Klarna's descriptions."""

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from klarna_sandbox import server
from klarna_sandbox.control import Control
from tests.contract.descriptions import ORDER_MANAGEMENT, PRESENT, SETTLEMENTS, WHY_SKIPPED, Description


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not PRESENT and "/contract/" in str(item.path):
            item.add_marker(pytest.mark.skip(reason=WHY_SKIPPED))


@pytest.fixture(scope="session")
def running() -> Iterator[server.RunningServer]:
    with server.start() as started:
        yield started


@pytest.fixture
def sandbox(running: server.RunningServer) -> Control:
    control = Control(running.url)
    control.reset()
    control.set_clock("2026-03-02T10:00:00Z", freeze=True)
    control.merchant()
    return control


@pytest.fixture(scope="session")
def orders() -> Description:
    return Description(ORDER_MANAGEMENT)


@pytest.fixture(scope="session")
def settlements() -> Description:
    return Description(SETTLEMENTS, "/settlements/v1")


class Checked:
    """Calls the sandbox; `loose` lets a request through that breaks the description on purpose."""

    def __init__(self, url: str, descriptions: tuple[Description, Description]) -> None:
        self.url, self._descriptions = url, descriptions
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = ("K000001_user", "secret")

    def __call__(
        self, method: str, path: str, body: Any = None, *, loose: bool = False, **query: Any
    ) -> requests.Response:
        headers = {"Klarna-Idempotency-Key": str(uuid.uuid4())} if method != "GET" else {}
        answer = self.session.request(method, self.url + path, json=body, params=query, headers=headers, timeout=5)
        sent = answer.request
        description = self._descriptions[urlsplit(sent.url).path.startswith("/settlements/")]
        if not loose:
            description.check_request(method, path, dict(sent.headers), json.loads(sent.body) if sent.body else None)
        is_json = answer.headers.get("Content-Type") == "application/json"
        document = answer.json() if is_json else None
        description.check_answer(method, path, answer.status_code, answer.headers, answer.content, document)
        return answer

    def on(self, order_id: str, method: str, rest: str = "", body: Any = None, **more: Any) -> requests.Response:
        return self(method, f"/ordermanagement/v1/orders/{order_id}{'/' if rest else ''}{rest}", body, **more)


@pytest.fixture
def call(sandbox: Control, orders: Description, settlements: Description) -> Checked:
    return Checked(sandbox.url, (orders, settlements))
