"""Tests that share something expensive run in one test process; every other module goes to whoever is free."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import FIRST, TOGETHER, Together, pytest_collection_modifyitems

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("piece", TOGETHER)
def test_the_tests_of_such_a_folder_or_module_are_one_piece_of_work(piece: str) -> None:
    assert (HERE.parent / piece).exists()
    module = piece if piece.endswith(".py") else f"{piece}test_x.py"
    scope = Together._split_scope
    assert {scope(None, f"{module}::test_{n}[sv]") for n in range(3)} == {piece}  # type: ignore[arg-type]


def test_others_go_module_by_module() -> None:
    nodeid = "tests/services/test_orders.py::test_x[sqlite-a::b]"
    assert Together._split_scope(None, nodeid) == "tests/services/test_orders.py"  # type: ignore[arg-type]


def test_what_takes_long_comes_first(pytestconfig: pytest.Config) -> None:
    """And xdist leaves it there."""
    assert not pytestconfig.getoption("loadscopereorder")
    ids = [
        "tests/services/test_a.py::a",
        "tests/test_b.py::b",
        "tests/model/test_c.py::c",
        "tests/browser/test_d.py::d",
    ]
    items: Any = [SimpleNamespace(nodeid=each) for each in [*ids, "tests/services/test_e.py::e"]]
    pytest_collection_modifyitems(items)
    assert "".join(each.nodeid[-1] for each in items) == "dcbae"
    assert all((HERE / piece.removeprefix("tests/")).exists() for piece in FIRST[:-1])


def test_the_run_is_scheduled_so(pytestconfig: pytest.Config) -> None:
    """The hook is one that xdist asks; a mark that nobody reads put each browser test where it liked, once."""
    made = pytestconfig.pluginmanager.hook.pytest_xdist_make_scheduler.get_hookimpls()
    assert [each.function.__module__ for each in made if each.plugin_name.endswith("conftest.py")] == ["tests.conftest"]
