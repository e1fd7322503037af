"""What is done from the command line: ``flask <command>``. Each is a few lines over a service.

A command speaks English to whoever runs it, ends with 0 when all went well and with 1 and one sentence when it did not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import wraps
from typing import Any, cast

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext

import clock
import config
import db
import migrations
import tasks
from config import Misconfigured
from errors import Refusal
from rights import Actor
from services import checks_at_klarna, janitor, periods, settlements, system_facts, users, verify
from services.gateway import Gateway
from services.passwords import Passwords, check, forbidden_words
from states import Role

PROGRESS_SECONDS = 5.0
MIGRATES = "migrate"
"""The one command that runs on a database as it finds it."""
OPERATOR = Actor("command line", roles=frozenset({Role.ADMIN, Role.FINANCE}))
"""Whoever may run commands on the machine holds its database anyway; the audit log names the way it was done."""


def _plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """A refusal is one sentence and exit status 1, never a traceback; so is a database that does not fit the program."""

    @wraps(command)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            with migrations.in_one_sentence():
                if command.__name__ != MIGRATES:
                    migrations.assert_fit(db.db.engine)
                return command(*args, **kwargs)
        except (Refusal, Misconfigured) as error:
            raise click.ClickException(str(error)) from error

    return told


def _klarna() -> Gateway:
    """The app's own gateway while testing, else one that may wait longer than a page."""
    if current_app.testing:
        return cast(Gateway, current_app.extensions["klarna"])
    return tasks.unhurried(current_app, config.load())


@click.command(MIGRATES)
@with_appcontext
@_plainly
def migrate() -> None:
    """Bring the database up to this program, all of it or nothing."""
    before = migrations.current(db.db.engine)
    migrations.upgrade(db.db.engine)
    with db.writing() as session:
        system_facts.note_version(session)
    click.echo(f"The database is at {migrations.head()}" + (", as before." if before == migrations.head() else "."))


@click.command("verify")
@click.argument("ids", nargs=-1)
@click.option(
    "--klarna", "with_klarna", is_flag=True, help="Ask Klarna too, order by order, by GET alone (M5, M7, M8)."
)
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="With --klarna: only orders placed on this day or later."
)
@with_appcontext
@_plainly
def verify_books(ids: Sequence[str], with_klarna: bool, since: datetime | None) -> None:
    """Check what must always be true, all of it or the rules with these IDS (A5 M7 …); changes nothing."""
    wanted = [each.upper() for each in ids]
    failed = 0
    with db.reading() as session:
        for result in verify.run(session, wanted or None):
            if (
                with_klarna
                and result.id in checks_at_klarna.TITLES
                and result.state is verify.CheckState.NOT_APPLICABLE
            ):
                continue
            _tell(result.id, result.state, result.title, result.findings, more=result.more, because=result.because)
            failed += result.state is verify.CheckState.FAILED
    if with_klarna:
        asked = set(wanted) & checks_at_klarna.TITLES.keys() if wanted else set(checks_at_klarna.TITLES)
        failed += _at_klarna(asked, since.date() if since is not None else None) if asked else 0
    if failed:
        raise click.ClickException(f"{failed} of the rules do not hold.")


def _tell(
    name: str, state: str, title: str, findings: Sequence[object], *, more: bool = False, because: str = ""
) -> None:
    click.echo(f"{name:4} {state:14} {title}" + (f" ({because})" * bool(because)))
    for finding in findings:
        click.echo(f"     {finding}")
    if more:
        click.echo("     … and more")


def _at_klarna(wanted: set[str], since: date | None) -> int:
    """Ask Klarna about every order, say how far it has come, then what was found; gives how many rules do not hold."""
    report, told = checks_at_klarna.Report(0), clock.monotonic()
    for report in checks_at_klarna.run(_klarna(), since):
        if clock.monotonic() - told >= PROGRESS_SECONDS:
            click.echo(f"     {report.done} of {report.total} orders asked about …", err=True)
            told = clock.monotonic()
    most, failed = checks_at_klarna.MOST_FINDINGS, 0
    for name in sorted(wanted):
        found = report.findings[name]
        state = verify.CheckState.FAILED if found else verify.CheckState.OK
        _tell(name, state, f"{checks_at_klarna.TITLES[name]} (Klarna)", found[:most], more=len(found) > most)
        failed += bool(found)
    click.echo(
        f"     {report.asked} of {report.total} orders compared with Klarna, {report.under_way} under way left out."
    )
    for why, count in report.silent.items():
        click.echo(f"     {count} could not be asked about: {why}")
    if report.silent:
        raise click.ClickException("Not every order could be compared with Klarna.")
    return failed


@click.command("open-books")
@click.argument("year", type=click.IntRange(1990, 2100))
@with_appcontext
@_plainly
def open_books(year: int) -> None:
    """Open the books for a calendar YEAR: chart of accounts, VAT table, number series. Safe to repeat."""
    with db.writing() as session:
        made = periods.open_books(session, OPERATOR, year)
    click.echo(f"The books are open from {made.starts} to {made.ends}.")


@click.command("setup-token")
@with_appcontext
@_plainly
def setup_token() -> None:
    """Print the address with which the first administrator makes an account; it works once."""
    with db.reading() as session:
        token = users.set_up_token(session, cast(bytes, current_app.secret_key))
    if token is None:
        raise click.ClickException("There is a user already; an administrator adds the others.")
    click.echo(f"/set-up/{token}")


@click.command("worker")
@with_appcontext
@_plainly
def worker() -> None:
    """Take jobs, keep the timetable and let the janitor make its rounds, until stopped by SIGTERM or Ctrl-C."""
    tasks.work(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - the app itself, for threads


user = AppGroup("user", help="People who log in.")


@user.command("add")
@click.argument("login")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice([role.value for role in Role]))
@click.password_option(help="Asked for when left out, which keeps it out of the shell's history.")
@_plainly
def add_user(login: str, name: str, roles: Sequence[str], password: str) -> None:
    """Add a person with a LOGIN, a NAME and one role or several."""
    passwords = cast(Passwords, current_app.extensions["passwords"])
    with db.reading() as session:
        words = forbidden_words(session, login, name)
    hashed = passwords.hash(check(password, words))
    with db.writing() as session:
        made = users.create(
            session, OPERATOR, login=login, name=name, roles=[Role(role) for role in roles], password_hash=hashed
        )
    click.echo(f"{made.login} can log in.")


klarna = AppGroup("klarna", help="What is under way at Klarna.")


@klarna.command("janitor")
@click.option("--once", is_flag=True, required=True, help="One round; the worker makes one every 15 seconds.")
@_plainly
def run_janitor(once: bool) -> None:  # noqa: ARG001 - the option is there to be read in the shell
    """Settle what a crash or a lost answer left open."""
    janitor.run(_klarna())
    click.echo("One round made.")


settlements_group = AppGroup("settlements", help="What Klarna has paid out.")


@settlements_group.command("fetch")
@_plainly
def fetch_settlements() -> None:
    """Fetch new payouts of every account now."""
    fetched = settlements.fetch_all(_klarna())
    click.echo(f"{len(fetched.payouts)} new or changed payouts, {fetched.known} known before.")
    for account, trouble in fetched.trouble:
        click.echo(f"{account}: {trouble}", err=True)
    if fetched.trouble:
        raise click.ClickException(f"{len(fetched.trouble)} of the accounts could not be read.")


def register(app: Flask) -> None:
    """Add the commands to the app."""
    for command in (migrate, verify_books, open_books, setup_token, worker, user, klarna, settlements_group):
        app.cli.add_command(command)
