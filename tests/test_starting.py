"""What stands in the way of a start is one sentence, whoever starts: the web server, the worker or another command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

import db
import migrations
import tasks
from config import Config
from demo.stack import SETTINGS, free_port
from klarna_sandbox.control import Control
from models import KlarnaAccount
from services.gateway import CREDENTIALS, Gateway
from tests import builders

ROOT = Path(__file__).resolve().parent.parent
SERVER = ("granian", "--interface", "wsgi", "--factory", "app:create_app", "--port")
WORKER = ("flask", "--app", "app:create_app", "worker")

Start = Callable[..., tuple[int, str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a process with settings of its own; gives its exit status and what it said."""

    def started(*command: str, **settings: str) -> tuple[int, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        environ = {**inherited, "KVITTA_DATA": str(tmp_path), **settings}
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return started


def _another_schema(found: str | None) -> None:
    with db.db.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        if found is not None:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{found}')")


def test_the_web_server_refuses_a_database_of_another_schema(start: Start) -> None:
    """Operations 16.1, rule 9: granian has a command line of its own, under which the start was not looked at."""
    status, said = start(*SERVER, str(free_port()))
    assert status != 0
    assert "Kvitta cannot start. The database is older than the program. Run: flask migrate" in said
    assert "Traceback" not in said


def test_a_start_with_wrong_settings_is_one_sentence(start: Start, tmp_path: Path) -> None:
    (tmp_path / "credentials.key").write_bytes(b"half")
    status, said = start(*WORKER)
    assert (status, said.splitlines()[1:]) == (1, [])
    assert said.startswith("Kvitta cannot start. The key file")


def test_a_database_nobody_answers_for_is_one_sentence(start: Start) -> None:
    status, said = start(*WORKER, DATABASE_URL=f"postgresql://kvitta:word@127.0.0.1:{free_port()}/kvitta")
    assert status == 1
    assert "The database cannot be used: connection failed" in said
    assert "Traceback" not in said
    assert "word" not in said


def test_an_address_that_is_none_is_one_sentence(start: Start) -> None:
    status, said = start(*WORKER, DATABASE_URL="postgresql://kvitta@host:port/kvitta")
    assert (status, said.count("\n")) == (1, 1)
    assert "DATABASE_URL cannot be read" in said


@pytest.mark.parametrize(
    "words",
    [
        ("worker",),
        ("verify", "A5"),
        ("open-books", "2026"),
        ("setup-token",),
        ("klarna", "janitor", "--once"),
        ("settlements", "fetch"),
        ("user", "add", "nyckel", "Ny Kollega", "--role", "clerk", "--password", "tre hattar på en tall"),
    ],
)
@pytest.mark.parametrize(("found", "told"), [("0000", "newer"), (None, "older")])
def test_no_command_works_on_another_schema(app: Flask, found: str | None, told: str, words: tuple[str, ...]) -> None:
    """Operations 16.1, rule 9; fault 45: neither the worker, which sends, nor what is run by hand."""
    _another_schema(found)
    result: Result = app.test_cli_runner().invoke(args=list(words))
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: The database is {told} than the program.")


def test_a_newer_database_is_not_migrated(app: Flask) -> None:
    _another_schema("0000")
    result: Result = app.test_cli_runner().invoke(args=["migrate"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "Install the newer program again." in result.output
    assert migrations.current(db.db.engine) == "0000"


def test_a_file_that_is_no_database_is_one_sentence(start: Start, tmp_path: Path) -> None:
    (tmp_path / "kvitta.db").write_bytes(b"not a database, though somebody copied it there " * 100)
    status, said = start("flask", "--app", "app:create_app", "verify")
    assert (status, said) == (1, "Error: The database cannot be used: file is not a database.\n")


def test_a_worker_beside_another_key_holds_the_calls_of_its_accounts_back(
    app: Flask, sandbox: Control, klarna: Gateway, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations 10; security 53: the worker calls, too, and may have been given another key than the web server."""
    with db.writing() as session:
        account_id = builders.an_account(session, sandbox, klarna).id

    def stop(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("config.load", lambda: replace(config, credentials_key=bytes(32)))
    monkeypatch.setattr(tasks, "start_rounds", stop)
    with pytest.raises(InterruptedError):
        tasks.work(app)
    with db.reading() as session:
        assert session.get_one(KlarnaAccount, account_id).breaker == CREDENTIALS
