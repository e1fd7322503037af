"""What is done from the command line: each command works, refuses in one sentence, and ends with the status that says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result
from flask import Flask

from db import reading, writing
from klarna_sandbox.control import Control
from models import User
from services import passwords, users
from services.gateway import Gateway
from states import Role
from tests import builders

Run = Callable[..., Result]


@pytest.fixture
def run(app: Flask) -> Run:
    """Run a command; gives its output and status."""
    return lambda *words: app.test_cli_runner().invoke(args=list(words))


def test_migrating_a_migrated_database_changes_nothing(run: Run) -> None:
    result = run("migrate")
    assert result.exit_code == 0
    assert "as before" in result.output


def test_verify_names_every_rule_and_ends_well(run: Run) -> None:
    result = run("verify")
    assert result.exit_code == 0, result.output
    assert "A1   ok" in result.output


def test_verify_takes_some_rules_in_any_case(run: Run) -> None:
    result = run("verify", "a5", "A1")
    assert [line.split()[0] for line in result.output.splitlines()] == ["A5", "A1"]


def test_verify_refuses_a_rule_that_is_not_there(run: Run) -> None:
    result = run("verify", "Q9")
    assert result.exit_code == 1
    assert "There is no check Q9." in result.output


@pytest.mark.untrue_books
@pytest.mark.only_on("sqlite")
def test_verify_ends_with_1_when_a_rule_is_broken(run: Run) -> None:
    with writing() as session:
        # A number was taken and no document has it.
        connection = session.connection()
        connection.exec_driver_sql(
            "INSERT INTO number_series (code, fiscal_year, first_no, next_no, head_hash) VALUES ('F', 0, 42580, 42582, '')"
        )
    result = run("verify", "A5")
    assert result.exit_code == 1
    assert "1 of the rules do not hold" in result.output


def test_opening_the_books_twice_is_once(run: Run) -> None:
    year = str(builders.FIRST_YEAR)
    assert run("open-books", year).exit_code == run("open-books", year).exit_code == 0


def test_a_user_is_added_with_a_role(run: Run) -> None:
    result = run("user", "add", "Nyckel", "Ny Kollega", "--role", "clerk", "--password", "tre hattar på en tall")
    assert result.exit_code == 0, result.output
    with reading() as session:
        made = session.query(User).filter_by(login="nyckel").one()
        assert [each.role for each in made.roles] == [Role.CLERK]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("clerk", "Ny", "--role", "clerk", "--password", "tre hattar på en tall"), "already a user"),
        (("ny", "Ny", "--role", "clerk", "--password", "kort"), "at least 12 characters"),
        (("ny", "Ny", "--role", "boss", "--password", "tre hattar på en tall"), "'boss' is not one of"),
    ],
)
def test_a_user_that_cannot_be_is_refused(run: Run, words: tuple[str, ...], sentence: str) -> None:
    result = run("user", "add", *words)
    assert result.exit_code != 0
    assert sentence in result.output


def test_the_set_up_address_is_given_only_while_there_is_no_user(run: Run) -> None:
    result = run("setup-token")
    assert result.exit_code == 1
    assert "There is a user already" in result.output


@pytest.mark.bare_database
def test_the_set_up_address_lets_the_first_administrator_in(run: Run, app: Flask) -> None:
    result = run("setup-token")
    assert result.exit_code == 0, result.output
    token = result.output.strip().rsplit("/", 1)[1]
    hashed = passwords.Passwords(builders.CHEAP).hash(builders.PASSWORD)
    with writing() as session:
        users.set_up(session, token, app.secret_key, login="forst", name="Först", password_hash=hashed)  # type: ignore[arg-type]


def test_the_janitor_settles_a_lost_answer(run: Run, app: Flask, sandbox: Control, klarna: Gateway) -> None:
    with writing() as session:
        order = builders.an_order(session, sandbox, klarna)
        builders.a_delivery(session, order)
    sandbox.fault("drop_after", operation="create_capture")
    assert builders.an_invoice(klarna, order).state == "pending"
    with writing() as session:
        session.connection().exec_driver_sql("UPDATE klarna_op SET next_run_at = NULL, lease_until = NULL")
    assert run("klarna", "janitor", "--once").exit_code == 0
    assert len(sandbox.writes(operation="create_capture")) == 1


def test_settlements_are_fetched(run: Run, app: Flask, sandbox: Control, klarna: Gateway) -> None:
    builders.a_captured_invoice(klarna, sandbox)
    sandbox.pay_out()
    result = run("settlements", "fetch")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 new or changed payouts")
