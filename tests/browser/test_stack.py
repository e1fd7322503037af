"""Kvitta runs as it does in production, and a browser finds nothing to complain of."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.conftest import House, log_in

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_person_logs_in_and_sees_the_orders(page: Page, house: House) -> None:
    log_in(page, "clerk")
    page.goto("/orders")
    assert page.locator("h1").count() == 1
    assert "Handläggaren" in page.inner_text("header")


def test_a_web_process_that_dies_is_replaced(house: House) -> None:
    """Fault row 1: the other one answers meanwhile, and nobody has to start anything."""
    web = next(part.process for part in house.stack.parts if part.name == "web")
    assert web is not None
    before = children(web.pid)
    os.kill(min(before), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while len(children(web.pid) - {min(before)}) < len(before):
        assert time.monotonic() < deadline, "nothing took the place of the process that died"
        time.sleep(0.2)
    house.stack.wait()
    house.stack.require_alive()


def children(pid: int) -> set[int]:
    """The processes that a process has started."""
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_every_part_of_the_stack_lives(house: House) -> None:
    house.stack.require_alive()
    assert house.sandbox.now()
