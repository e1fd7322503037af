"""SIGKILL at each step of reading a settlement in: running again finishes it, and nothing is there twice (fault row 33)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from klarna_sandbox.control import Control
from services import settlement_loading, settlements
from services.gateway import Gateway
from states import PayoutState
from tests.faults.conftest import Life
from tests.faults.moved_clock import MovedClock
from tests.services.settlement_parts import a_sale, all_is_well, counts, csv_of, fees, files, payout_of, upload

BEGUN = ("reading.block", "reading.settled")


@pytest.mark.only_on("sqlite")
def test_row_33_killed_while_reading_a_settlement_in_running_again_finishes_it(
    books: Flask, klarna: Gateway, sandbox: Control, live: Callable[..., Life], moved: MovedClock, tmp_path: Path
) -> None:
    """Row 33, at every point, each with a payout of its own: dead before anything is begun it is read anew; after that the
    worker goes on from the block that is there, once the turn of the dead is over."""
    fees(sandbox, 15_00)
    for number, point in enumerate(("reading.kept", "reading.begun", *BEGUN)):
        a_sale(klarna, sandbox, 1_000_00 + number)
        made = sandbox.pay_out()[-1]
        content, path = csv_of(sandbox, made), tmp_path / f"{number}.csv"
        path.write_bytes(content)
        before = counts()
        live("read_in", point=point, path=str(path), block=1).died()
        if point in BEGUN:
            there = counts()[1] - before[1]
            assert there == (payout_of(made).row_count if point == "reading.settled" else 1)
            assert not settlements.finish(klarna), "the turn of the dead is not over"
            moved.move(seconds=settlement_loading.LEASE.total_seconds() + 1)
            assert settlements.finish(klarna) is (point == "reading.block")
        else:
            assert counts() == before and files() == number
            upload(klarna, content)
        assert payout_of(made).state is PayoutState.BOOKED
        after = counts()
        assert after[0] - before[0] == 1 and after[1] - before[1] == payout_of(made).row_count == after[2] - before[2]
        assert upload(klarna, content).already is not None and counts() == after
    all_is_well()
