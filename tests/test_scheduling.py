"""Tests that share something expensive run in one test process; everything else goes to whoever is free."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TOGETHER, Together

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("folder", TOGETHER)
def test_the_tests_of_such_a_folder_are_one_piece_of_work(folder: str) -> None:
    assert (HERE.parent / folder).is_dir()
    scope = Together._split_scope
    assert {scope(None, f"{folder}test_x.py::test_{n}[sv]") for n in range(3)} == {folder}  # type: ignore[arg-type]


def test_others_go_one_by_one() -> None:
    nodeid = "tests/services/test_orders.py::test_x[sqlite]"
    assert Together._split_scope(None, nodeid) == nodeid  # type: ignore[arg-type]


def test_the_run_is_scheduled_so(pytestconfig: pytest.Config) -> None:
    """The hook is one that xdist asks; a mark that nobody reads put each browser test where it liked, once."""
    made = pytestconfig.pluginmanager.hook.pytest_xdist_make_scheduler.get_hookimpls()
    assert [each.function.__module__ for each in made if each.plugin_name.endswith("conftest.py")] == ["tests.conftest"]
