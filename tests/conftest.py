"""Fixtures: a database per test, the app on it, a client that reads every page, and one sandbox per test process.

A test that asks for ``database``, ``books``, ``app`` or ``client`` runs once per database, SQLite and PostgreSQL
(``--database sqlite|postgres|both``). Mark it ``@pytest.mark.only_on("sqlite")`` when it is about one of them, and
``@pytest.mark.bare_database`` when it wants a migrated database without a company. Rules need only ``books``; whoever
speaks HTTP to Kvitta takes ``client``.
"""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from babel.support import NullTranslations, Translations
from flask import Flask
from jinja2 import FileSystemBytecodeCache
from werkzeug.routing import Rule
from xdist.scheduler import LoadScopeScheduling

import db
import web_words
from config import Config
from klarna_sandbox import server as sandbox_server
from klarna_sandbox.control import Control
from rights import Actor
from services import verify
from services.gateway import Gateway
from states import Role
from tests import builders, databases, locking, worlds
from tests.web_client import WebClient

CREDENTIALS_KEY = bytes(range(32))
SECRET_KEY = bytes(range(32, 64))


def _compiled() -> FileSystemBytecodeCache:
    """Templates are compiled once for all test processes and runs; a template that is changed is compiled again."""
    folder = Path(__file__).parent.parent / ".pytest_cache" / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemBytecodeCache(str(folder))


COMPILED = _compiled()


def _compile_addresses_once() -> None:
    """A route's address is compiled once per test process, not once per app: most of making an app."""
    known: dict[tuple[object, ...], Rule] = {}
    compile_rule = Rule.compile

    def kept(rule: Rule) -> None:
        assert rule.map is not None
        if rule.defaults or rule.host or rule.subdomain or rule.map.host_matching:
            compile_rule(rule)
            return
        # All that compiling looks at; what else is needed, a rule takes from itself when it is asked.
        key = (rule.rule, rule.merge_slashes, *rule.map.converters.items())
        first = known.setdefault(key, rule)
        if first is rule:
            compile_rule(rule)
            return
        rule._parts, rule._trace, rule._converters = first._parts, first._trace, first._converters
        rule.arguments |= first.arguments
        rule._build = first._build.__func__.__get__(rule, None)  # type: ignore[attr-defined]
        rule._build_unknown = first._build_unknown.__func__.__get__(rule, None)  # type: ignore[attr-defined]

    Rule.compile = kept  # type: ignore[method-assign]


_compile_addresses_once()


class _Apps:
    """The app is made once per test process, and for each test set as it was made upon the test's settings and database.

    Making it anew costs as much as a small test, for its addresses and its templates. One whose addresses a test has added to
    is not used again.
    """

    def __init__(self) -> None:
        self._made: dict[Config, tuple[Flask, int, dict[str, Any]]] = {}

    def on(self, settings: Config) -> Flask:
        """The app with these settings."""
        from app import create_app, set_upon

        kind = replace(settings, data_dir=Path(), database_url="")
        made, addresses, as_made = self._made.pop(kind, (None, 0, {}))
        if made is None or len(list(made.url_map.iter_rules())) != addresses:
            made = create_app(settings)
            made.jinja_env.bytecode_cache = COMPILED
            self._made[kind] = made, len(list(made.url_map.iter_rules())), _as_it_is(made)
            return made
        self._made[kind] = made, addresses, as_made
        for name in vars(made).keys() - as_made.keys():
            delattr(made, name)
        for name, (value, inside) in as_made.items():
            vars(made)[name] = value
            if inside is not None:
                value.clear()
                getattr(value, "update", getattr(value, "extend", None))(_copy(inside))
        del made.extensions["sqlalchemy"]
        set_upon(made, settings)
        return made


def _as_it_is(app: Flask) -> dict[str, tuple[Any, Any]]:
    """Each attribute, and what it holds if it can hold something."""
    return {
        name: (value, _copy(value) if isinstance(value, dict | list | set) else None)
        for name, value in vars(app).items()
    }


def _copy(held: Any) -> Any:
    if isinstance(held, dict):
        return {key: list(each) if isinstance(each, list) else each for key, each in held.items()}
    return held.copy()


APPS = _Apps()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--verify",
        choices=("module", "each"),
        default="module",
        help="ask flask verify after each module, or each test",
    )
    parser.addoption(
        "--database", "--db", choices=(*databases.NAMES, "both"), default="both", help="database the tests run on"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only_on(name): the test is about this database, sqlite or postgres")
    config.addinivalue_line("markers", "untrue_books(why): the test breaks a rule of flask verify on purpose")
    config.addinivalue_line("markers", "unlocked(why): what is changed here is not locked first, on purpose")
    config.addinivalue_line("markers", "window(width, height): size of the browser window")
    config.addinivalue_line("markers", "bare_database: a migrated database without a company")
    config.addinivalue_line("markers", "without_walls: triggers, checks and partial unique indexes are gone")


TOGETHER = ("tests/browser/", "tests/demo/", "tests/faults/", "tests/test_architecture.py")
"""Tests that share what takes long to make: a stack and a browser, a demo company, warm processes, all modules read."""


FIRST = (*TOGETHER, "tests/model/", "tests/journeys/", "tests/test_")
"""What takes long as a piece, so that no process is left alone with it at the end."""


class Together(LoadScopeScheduling):
    """Gives each module, or such a folder, to the test process that is free.

    What the tests of a module begin with is built once then, and its books are verified once.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((piece for piece in TOGETHER if nodeid.startswith(piece)), nodeid.split("::", 1)[0])


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Of test processes side by side each reads another part of the modules first: what pytest makes of a module is kept in
    ``__pycache__``, and so is made once for all of them."""
    which, of = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    gc.disable()  # until everything is imported: nothing of that goes
    if of < 2 or sys.dont_write_bytecode:
        return
    here = Path(__file__).parent
    for path in sorted(here.rglob("test_*.py"))[int(which.removeprefix("gw")) :: of]:
        with suppress(Exception, pytest.skip.Exception):  # told when the module is collected
            importlib.import_module(".".join((here.name, *path.relative_to(here).with_suffix("").parts)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((at for at, piece in enumerate(FIRST) if item.nodeid.startswith(piece)), len(FIRST))
    )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    """Not by ``xdist_group``: that mark has no effect with this pytest (xdist writes it where pytest no longer reads)."""
    return Together(config, log)


def pytest_collection_finish() -> None:
    """What the imports have made stays: the collector need not look through it again after every few tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--database")
        only = metafunc.definition.get_closest_marker("only_on")
        names = [name for name in databases.NAMES if chosen in (name, "both") and (only is None or name in only.args)]
        metafunc.parametrize("database", names, indirect=True, scope="function")


class _Missing(NullTranslations):
    """Shows what has no Swedish: the reading client fails on ⟦ ⟧."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"


@pytest.fixture(scope="session", autouse=True)
def _missing_translations_show() -> None:
    swedish = web_words.language("sv").catalogue
    if isinstance(swedish, Translations):
        swedish.add_fallback(_Missing())


@pytest.fixture(scope="session")
def all_databases() -> Iterator[databases.Databases]:
    """The databases of this test process, started when first asked for and removed at the end."""
    made = databases.Databases()
    # An interrupted run cleans up behind itself, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield made
    made.stop()


@pytest.fixture
def database(request: pytest.FixtureRequest, all_databases: databases.Databases) -> Iterator[str]:
    """The address of a fresh, migrated database with a company in it (or without, see ``bare_database``)."""
    try:
        kind = all_databases.of(request.param)
    except databases.CannotBeHad as error:
        pytest.skip(str(error))
    if request.node.get_closest_marker("bare_database"):
        kind.template("bare")
        url = kind.make("bare")
    else:
        kind.template("company", builders.furnish_company)
        url = kind.make("company")
    worlds.here = worlds.Place(kind, url, request)
    yield url
    worlds.here = None
    kind.give_back(url)


@pytest.fixture
def config(database: str) -> Iterator[Config]:
    """The settings of the app under test, with a data folder of its own."""
    data_dir = Path(tempfile.mkdtemp(prefix="kvitta-data-"))
    # As files, too: a process of its own on the same folder and database is the same installation.
    (data_dir / "credentials.key").write_bytes(CREDENTIALS_KEY)
    (data_dir / "secret.key").write_bytes(SECRET_KEY)
    yield Config(
        data_dir=data_dir,
        database_url=database,
        redis_url=None,
        secret_key=SECRET_KEY,
        secret_key_fallbacks=(),
        credentials_key=CREDENTIALS_KEY,
        trusted_hosts=("127.0.0.1", "localhost"),
        proxies=0,
        https=False,
        janitor_in_web=False,
        testing=True,
    )
    shutil.rmtree(data_dir, ignore_errors=True)


FAILED = pytest.StashKey[bool]()
LAST = pytest.StashKey[bool]()
UNTRUE = frozenset(
    {
        "blueprints/test_invoices.py",
        "blueprints/test_orders.py",
        "faults/test_days_and_decisions.py",
        "services/test_decisions.py",
        "services/test_deliveries.py",
        "services/test_ledger.py",
        "services/test_numbering.py",
        "services/test_order_list.py",
        "services/test_order_page.py",
        "services/test_orders.py",
        "services/test_settlements_matched.py",
        "services/test_verify.py",
        "services/test_worklists.py",
        "test_db.py",
    }
)
"""Modules whose tests write documents or operations by hand, or leap in time: flask verify rightly finds fault with them."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if not report.passed:
        item.stash[FAILED] = True
    return report


def _leave(request: pytest.FixtureRequest) -> None:
    """What must hold when a test is over: no connection is held, and the books it leaves behind are true."""
    held = db.connections_held()
    db._held.count = 0
    found: list[str] = []
    exempt = request.node.get_closest_marker("untrue_books") or _module_of(request.node) in UNTRUE
    if not request.node.stash.get(FAILED, False) and not exempt:
        if request.config.getoption("--verify") == "each" or _is_last_of_its_module(request):
            with db.reading() as session:
                found = [f"{each.id}: {one}" for each in verify.run(session) for one in each.findings]
    databases.leave(db.db.engine)
    unlocked = sorted(set(locking.unlocked))
    locking.unlocked.clear()
    assert not held, "the test left a database connection open"
    assert not unlocked or request.node.get_closest_marker("unlocked"), "\n".join(unlocked)
    assert not found, "the test left untrue books:\n" + "\n".join(found)


def _module_of(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).as_posix()


def _is_last_of_its_module(request: pytest.FixtureRequest) -> bool:
    return request.node.stash.get(LAST, False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Note which test is the last of its module in this process: after it the books are verified (invariants 1.1)."""
    item.stash[LAST] = nextitem is None or nextitem.path != item.path


@pytest.fixture
def books(config: Config, request: pytest.FixtureRequest) -> Iterator[Flask]:
    """An app context on the database and nothing of the web: all that services need."""
    app = Flask("books")
    app.testing = True
    db.set_up(app, config.database_url)
    app.extensions["klarna"] = Gateway(config.credentials_key, config.data_dir, config.database_url)
    with app.app_context():
        databases.compile_once(db.db.engine)
        locking.listen(db.db.engine)
        yield app
        _leave(request)


@pytest.fixture
def app(config: Config, request: pytest.FixtureRequest) -> Iterator[Flask]:
    """The whole app on a fresh database, its context pushed so that ``reading()`` and ``writing()`` work in the test."""
    made = APPS.on(config)
    with made.app_context():
        databases.compile_once(db.db.engine)
        locking.listen(db.db.engine)
        yield made
        _leave(request)


@pytest.fixture
def klarna(request: pytest.FixtureRequest) -> Gateway:
    """What services that talk to Klarna take, of the app under test (``app`` where the test has it, else ``books``)."""
    name = "app" if {"app", "client"} & set(request.fixturenames) else "books"
    gateway: Gateway = request.getfixturevalue(name).extensions["klarna"]
    return gateway


@pytest.fixture
def client(app: Flask) -> WebClient:
    """A browser without a browser: every answer is read and checked (see tests/web_client.py)."""
    return WebClient(app)


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Any]:
    """The sandbox server of this test process."""
    running = worlds.running = sandbox_server.start(port=0)
    yield running
    worlds.running = None
    running.stop()


@pytest.fixture
def sandbox(sandbox_process: Any) -> Control:
    """The sandbox as new: no orders, no faults, no log, the clock running."""
    control = Control(sandbox_process.url)
    control.reset()
    return control


@pytest.fixture
def clerk() -> Actor:
    """«Handläggare»: orders, deliveries, invoices, credit notes up to the limit."""
    return builders.actor(Role.CLERK)


@pytest.fixture
def finance() -> Actor:
    """«Ekonomi»: all credit notes, settlements, books, decisions."""
    return builders.actor(Role.FINANCE)


@pytest.fixture
def viewer() -> Actor:
    """«Läsare»: sees."""
    return builders.actor(Role.VIEWER)


@pytest.fixture
def admin() -> Actor:
    """«Administratör»: users, settings, Klarna accounts."""
    return builders.actor(Role.ADMIN)
