"""The floors of the house and its habits, read from the source. Each rule is tried on a snippet that breaks it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOF = {"app", "commands", "tasks"}
GROUND = {"money", "errors", "states", "clock", "config", "rights"}
STORE = {"models", "db", "columns", "klarna_client", "migrations"}
SERVICE_ORDER: tuple[tuple[str, ...], ...] = (
    ("verify", "worklists"),
    ("janitor", "decisions"),
    ("settlements",),
    ("pushes",),
    ("klarna_orders",),
    ("reservations", "authorizations"),
    ("beats",),
    ("asking", "following"),
    ("credit_notes",),
    ("invoices",),
    ("advance_credits", "advance_booking"),
    ("advances",),
    ("documents", "deliveries"),
    ("orders",),
    ("operations",),
    ("outcomes",),
    ("answers", "op_log"),
    ("gateway", "looks"),
    ("stock", "ledger"),
    ("numbering", "audit", "money_forms", "users", "settlement_reader"),
)
"""The main rooms among the services, high to low; none reaches one above it, not even through others (no cycles anywhere)."""
KNOW_KLARNA = {
    "gateway",
    "account_trial",
    "looks",
    "answers",
    "operations",
    "asking",
    "reservations",
    "klarna_orders",
    "settlements",
    "authorizations",
    "releases",
    "klarna_calls",
}
SANDBOX_PLACES = {
    (
        "services.gateway",
        "base_url",
    ): "the environment guard itself: a sandbox's address is typed, and must be loopback",
    ("services.gateway", "access_of"): "hands the account's typed address to the guard",
    ("services.account_rules", "facts_of"): "an account as a form shows it, the typed address too",
    ("services.account_rules", "put"): "an account as a form has made it",
    ("services.account_rules", "_check_address"): "says what a typed address must be",
    (
        "services.checks_klarna",
        "environments_agree",
    ): "flask verify: a typed address belongs to a sandbox account",
}
"""Functions of services that may know the word, and why."""
LONGEST = 400
LONGER = {"models": (1700, "the tables in the order money flows, one to read from top to bottom")}
BAD_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "managers", "base", "misc"}
WEB_PACKAGES = {"flask", "flask_babel", "flask_wtf", "wtforms", "werkzeug", "jinja2", "markupsafe"}
STANDARD = set(__import__("sys").stdlib_module_names) | {"__future__"}

Fault = str
Rule = Callable[[str, ast.Module], Iterator[Fault]]


# --- Reading ------------------------------------------------------------------------------------------------------------


@cache
def files() -> dict[str, Path]:
    """Every module of the house and of the sandbox in its garden, by dotted name."""
    found = [*ROOT.glob("*.py")]
    for room in ("services", "blueprints", "klarna_sandbox", "demo"):
        found += (ROOT / room).rglob("*.py")
    found.append(ROOT / "migrations" / "__init__.py")
    named = {}
    for path in found:
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


@cache
def tree_of(name: str) -> ast.Module:
    """A module's syntax."""
    return ast.parse(files()[name].read_text(encoding="utf-8"))


@cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """Everything in it, walked through once for all rules."""
    return tuple(ast.walk(tree))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module named by an import; ``from services import orders`` names ``services.orders``."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written in full"
            if node.module in ("services", "blueprints", "demo", "klarna_sandbox"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def top(name: str) -> str:
    """First part of a dotted name."""
    return name.split(".", 1)[0]


def height(name: str) -> int | None:
    """On which floor a module stands; None for what is not the house's."""
    first = top(name)
    if first in ROOF:
        return 5
    if first in ("blueprints", "services"):
        return 4 if first == "blueprints" else 2
    if first == "web" or first.startswith("web_"):
        return 3
    return 1 if first in STORE else 0 if first in GROUND else None


def rank(name: str) -> int | None:
    """A service's place in SERVICE_ORDER, 0 the highest."""
    return next((place for place, floor in enumerate(SERVICE_ORDER) if name.removeprefix("services.") in floor), None)


@cache
def services_of(name: str) -> frozenset[str]:
    """The services that a module of the house imports."""
    return frozenset(each for each in imports(tree_of(name)) if top(each) == "services" and each in files())


def reached(name: str, tree: ast.Module) -> set[str]:
    """Every service that a service imports, itself or through others."""
    found: set[str] = set()
    left = [each for each in imports(tree) if top(each) == "services"]
    while left:
        other = left.pop()
        if other in files() and other not in found:
            found.add(other)
            left += services_of(other)
    return found - {name}


# --- The rules ----------------------------------------------------------------------------------------------------------


def imports_run_downward(name: str, tree: ast.Module) -> Iterator[Fault]:
    own = height(name)
    for other in imports(tree):
        level = height(other)
        if own is None or level is None:
            continue
        if level > own or (own == 4 and level == 4 and other != name and other != "blueprints"):
            yield f"imports {other}"
    if top(name) in GROUND:
        for other in imports(tree):
            if top(other) not in STANDARD | GROUND:
                yield f"the ground stands on the standard library alone, not on {other}"


def services_keep_their_order(name: str, tree: ast.Module) -> Iterator[Fault]:
    own = rank(name)
    for other in sorted(reached(name, tree)) if own is not None and top(name) == "services" else ():
        place = rank(other)
        if place is not None and own is not None and place < own:
            yield f"reaches {other}, which stands above it"


def the_garden_is_apart(name: str, tree: ast.Module) -> Iterator[Fault]:
    for other in imports(tree):
        if top(name) == "klarna_sandbox" and height(other) is not None:
            yield f"imports {other} of the house"
        if height(name) is not None and top(other) in ("klarna_sandbox", "demo", "tests"):
            yield f"the house imports {other}"


def imports_stand_at_the_top(name: str, tree: ast.Module) -> Iterator[Fault]:
    if top(name) in ROOF | {"demo"}:
        return
    for function in nodes(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function)):
                yield f"an import inside {getattr(function, 'name', 'a lambda')}"


def only_db_commits(name: str, tree: ast.Module) -> Iterator[Fault]:
    if name == "db" or top(name) in ("klarna_sandbox", "demo"):
        return
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and node.attr == "commit":
            yield f"commit in line {node.lineno}"


def few_know_klarna_client(name: str, tree: ast.Module) -> Iterator[Fault]:
    if "klarna_client" in map(top, imports(tree)) and name not in {f"services.{each}" for each in KNOW_KLARNA} | {
        "demo"
    }:
        yield "knows klarna_client"


def services_know_no_web(name: str, tree: ast.Module) -> Iterator[Fault]:
    if top(name) == "services" or name in ("models", "klarna_client"):
        for other in imports(tree):
            if top(other) in WEB_PACKAGES:
                yield f"imports {other}"


def rules_open_no_transactions(name: str, tree: ast.Module) -> Iterator[Fault]:
    """A service function that takes ``session`` is a rule: it neither commits nor opens a session of its own."""
    if top(name) != "services":
        return
    for function in nodes(tree):
        if isinstance(function, ast.FunctionDef) and any(each.arg == "session" for each in function.args.args):
            for node in ast.walk(function):
                called = node.func if isinstance(node, ast.Call) else None
                word = (
                    called.attr
                    if isinstance(called, ast.Attribute)
                    else called.id
                    if isinstance(called, ast.Name)
                    else ""
                )
                if word in ("reading", "writing", "transact"):
                    yield f"{function.name} takes a session and opens another"


def words(tree: ast.AST) -> Iterator[str]:
    """Every name and every text of a piece of code."""
    for node in nodes(tree):
        for value in (getattr(node, each, None) for each in ("id", "attr", "arg", "name", "value")):
            if isinstance(value, str):
                yield value


def sandbox_places(tree: ast.Module) -> Iterator[str]:
    """The top-level functions and classes that say the word; empty for the module itself."""
    for statement in tree.body:
        if any("sandbox" in word.lower() for word in words(statement)):
            yield getattr(statement, "name", "")


def services_do_not_know_the_sandbox(name: str, tree: ast.Module) -> Iterator[Fault]:
    if top(name) == "services":
        for place in sandbox_places(tree):
            if (name, place) not in SANDBOX_PLACES:
                yield f"says sandbox in {place or 'its own body'}"


def _exact(name: str) -> bool:
    return name in ("money", "models", "states") or top(name) in ("services", "blueprints")


def nothing_floats(name: str, tree: ast.Module) -> Iterator[Fault]:
    """No float near money; a statement about seconds may have one, and a path may be joined."""
    if not _exact(name):
        return
    seconds = {
        id(node)
        for statement in nodes(tree)
        if isinstance(statement, ast.stmt) and not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        if re.search("seconds", ast.unparse(statement), re.IGNORECASE)
        for node in ast.walk(statement)
    }
    for node in nodes(tree):
        if id(node) in seconds:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"the float {node.value} in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "round"):
            yield f"{node.func.id}() in line {node.lineno}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            if not any(
                isinstance(each, ast.JoinedStr) or isinstance(getattr(each, "value", None), str)
                for each in (node.left, node.right)
            ):
                yield f"a division in line {node.lineno}"


def only_the_clock_tells_the_time(name: str, tree: ast.Module) -> Iterator[Fault]:
    if height(name) is None or name == "clock":
        return
    for node in nodes(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time",
            "datetime.datetime.now", "datetime.date.today",
        ):  # fmt: skip
            yield f"reads the clock in line {node.lineno}"


def names_say_something(name: str, _tree: ast.Module) -> Iterator[Fault]:
    for part in name.split("."):
        if part in BAD_NAMES or part.rsplit("_", 1)[-1] in BAD_NAMES:
            yield f"{part} says nothing"


RULES: tuple[Rule, ...] = (
    imports_run_downward, services_keep_their_order, the_garden_is_apart, imports_stand_at_the_top, only_db_commits,
    few_know_klarna_client, services_know_no_web, rules_open_no_transactions, services_do_not_know_the_sandbox, nothing_floats,
    only_the_clock_tells_the_time, names_say_something,
)  # fmt: skip


# --- The tests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    faults = [f"{name}: {fault}" for name in sorted(files()) for fault in rule(name, tree_of(name))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("rule", "name", "snippet"),
    [
        (imports_run_downward, "services.orders", "import web"),
        (imports_run_downward, "web", "from blueprints import orders"),
        (imports_run_downward, "blueprints.stock", "from blueprints import orders"),
        (imports_run_downward, "db", "from services.ledger import post"),
        (imports_run_downward, "money", "import sqlalchemy"),
        (services_keep_their_order, "services.orders", "from services import reservations"),
        (the_garden_is_apart, "klarna_sandbox.orders", "import money"),
        (the_garden_is_apart, "services.orders", "from klarna_sandbox import server"),
        (imports_stand_at_the_top, "services.orders", "def f():\n    import json"),
        (only_db_commits, "services.orders", "session.commit()"),
        (few_know_klarna_client, "services.orders", "from klarna_client import KlarnaClient"),
        (services_know_no_web, "services.orders", "from flask import request"),
        (rules_open_no_transactions, "services.orders", "def f(session):\n    with db.writing() as other: pass"),
        (services_do_not_know_the_sandbox, "services.orders", "if account.environment == 'sandbox': pass"),
        (nothing_floats, "money", "x = 0.25"),
        (nothing_floats, "services.orders", "x = gross / 5"),
        (nothing_floats, "services.orders", "x = float('1')"),
        (only_the_clock_tells_the_time, "services.orders", "x = datetime.now(UTC)"),
        (names_say_something, "services.order_utils", ""),
    ],
)
def test_rule_sees_what_breaks_it(rule: Rule, name: str, snippet: str) -> None:
    assert list(rule(name, ast.parse(snippet)))


def test_seconds_and_paths_are_let_through() -> None:
    snippet = "WAIT_SECONDS = 8.0\nseconds = float(told)\npath = folder / 'host.id'"
    assert not list(nothing_floats("services.gateway", ast.parse(snippet)))


def test_there_is_no_cycle() -> None:
    graph = {name: {other for other in imports(tree_of(name)) if other in files()} for name in files()}
    assert not cycle(graph), " → ".join(cycle(graph))


def test_a_cycle_is_seen() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty when there are none."""
    left = {name: set(others) - {name} for name, others in graph.items()}
    while ready := [name for name, others in left.items() if not others & left.keys()]:
        for name in ready:
            del left[name]
    return sorted(left)


def test_no_module_is_too_long() -> None:
    """A module past its length is asking to be two rooms; whoever may be longer is named with the reason, and needs it."""
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in files().items()}
    limits = {name: LONGER.get(name, (LONGEST, ""))[0] for name in lengths}
    assert not {name: length for name, length in lengths.items() if length > limits[name]}
    assert not {name for name in LONGER if lengths.get(name, 0) <= LONGEST}, "no longer needed in LONGER"


def test_exemptions_are_still_needed() -> None:
    stale = [(name, place) for name, place in SANDBOX_PLACES if place not in sandbox_places(tree_of(name))]
    assert not stale
    missing = [room for floor in SERVICE_ORDER for room in floor if f"services.{room}" not in files()]
    assert not missing, "SERVICE_ORDER names rooms that are not there"
