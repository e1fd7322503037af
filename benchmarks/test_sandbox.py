"""Goal 13: how many activations a second the sandbox answers, so that a year of 20,000 orders can be played."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from pathlib import Path

import requests

from benchmarks.measuring import Report
from demo.stack import ROOT, answers, free_port
from klarna_sandbox.control import Control

CAPTURES = 1_000


def test_the_sandbox_answers_two_hundred_activations_a_second(tmp_path: Path, report: Report) -> None:
    """Its state kept in a file, asked by one client over one connection."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "klarna_sandbox", "--port", str(port), "--data", str(tmp_path / "sandbox.db")]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not answers(f"{url}/_sandbox/api/clock"):
            time.sleep(0.05)
        control = Control(url)
        merchant = control.merchant()
        bought = control.orders(count=CAPTURES, mid=merchant["mid"], order_amount=10_000)
        with requests.Session() as shop:
            shop.auth = tuple(merchant["credentials"][0][name] for name in ("username", "password"))
            began = time.perf_counter()
            for order_id in bought:
                answer = shop.post(
                    f"{url}/ordermanagement/v1/orders/{order_id}/captures",
                    json={"captured_amount": 10_000},
                    headers={"Klarna-Idempotency-Key": str(uuid.uuid4())},
                    timeout=30,
                )
                assert answer.status_code == 201, answer.text
            each_second = CAPTURES / (time.perf_counter() - began)
    finally:
        running.terminate()
        running.wait(30)
    report.tell(
        "13",
        "Sandbox: activations a second, state kept in a file, one client",
        kvitta=f"{each_second:.0f}/s",
        wanted="≥ 200/s",
        met=each_second >= 200,
    )
