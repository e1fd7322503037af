"""``make run``: prepare the demo once, start everything, print where to look, stop it all on Ctrl-C."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import config
import db
import migrations
from config import Misconfigured
from demo.stack import ROOT, CannotStart, Stack, passphrase, require_free
from rights import Actor
from states import Role

if TYPE_CHECKING:
    from flask import Flask

DATA = ROOT / "var" / "demo"
OURS = "kvitta-demo"
BUILT = "built"
LOGINS = "logins.txt"
REPORTS = "settlement-reports"
"""The folder that is watched for settlement reports."""
STATEMENT = "kontoutdrag.xml"
MAILS = "e-mails"
NAMES = {
    Role.CLERK: ("clerk", "Handläggare", "orders, deliveries, invoices, credit notes"),
    Role.FINANCE: ("finance", "Ekonomi", "all credit notes, settlements, books, decisions"),
    Role.VIEWER: ("viewer", "Läsare", "sees, changes nothing"),
    Role.ADMIN: ("admin", "Administratör", "users, settings, Klarna accounts"),
}
"""Login, name and what the role does."""
OPERATOR = Actor("demo", roles=frozenset({Role.ADMIN, Role.FINANCE}))
PLACES = {"mails": MAILS, "statement": STATEMENT, "reports": REPORTS}
"""What the steps below name."""
TRY_FIRST = (
    "Log in as clerk, open an order that is delivered and not invoiced, and create the invoice: Klarna is asked at once.",
    "E-mail the invoice from its page: the letter lies in {mails}.",
    "Open that invoice and credit a part of it; the refund shows at the sandbox.",
    "Let an answer get lost: at the sandbox choose the fault «drop_after», then create another invoice and watch it settle.",
    "Log in as finance and read the settlement; then read the bank statement {statement} under Settlements, Bank.",
    "Save a payout's report from the sandbox as a file and put it into {reports}: it is read in by itself.",
    "Some minutes after the first start two purchases have come in by Klarna's push, W20001 and W20002: see Orders.",
)


def data_dir() -> Path:
    """Where the demo keeps everything: var/demo, or KVITTA_DEMO_DATA."""
    return Path(os.environ.get("KVITTA_DEMO_DATA", DATA)).absolute()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the demo's lock. Raises CannotStart when another start has it, or the folder cannot be written to."""
    path = folder.with_name(f"{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart(f"The folder {path.parent} cannot be written to ({error.strerror}).") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart("The demo is running already. Stop it with Ctrl-C where it was started.") from None
        yield
    finally:
        os.close(handle)


def reset(folder: Path) -> None:
    """Remove everything the demo has made. Raises CannotStart for a folder that is not the demo's."""
    if folder.exists() and any(folder.iterdir()) and not (folder / OURS).exists():
        raise CannotStart(f"The folder {folder} holds something that is not the demo's. It has been left as it is.")
    shutil.rmtree(folder, ignore_errors=True)


def prepare(stack: Stack, mail_port: int | None = None) -> None:
    """Migrate; the first time make the people and the company. An interrupted first time is begun again.

    With a port Kvitta sends its mail to the demo's own mail server there.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    built = stack.data_dir / BUILT
    settings = config.load(stack.settings())
    # Only here and not above: what the app imports is slow to load, and --reset and --help do without it.
    from flask import Flask

    bare = Flask("migrate")
    db.set_up(bare, settings.database_url)
    with bare.app_context():
        migrations.upgrade(db.db.engine)
        db.db.engine.dispose()
    if not built.exists():
        _build(stack, settings)
    _write_statement(stack, bare)
    if mail_port is not None:
        from demo import post

        post.use(bare, OPERATOR, settings.credentials_key, mail_port)
    built.touch()


def _build(stack: Stack, settings: config.Config) -> None:
    from app import create_app
    from demo import company, visitors
    from klarna_sandbox.control import Control

    print("Making the demo company …", flush=True)
    app = create_app(settings)
    with app.app_context():
        sandbox = Control(stack.sandbox_url)
        company.build(app, sandbox, employ=partial(_make_logins, stack.data_dir))
        visitors.buy(app.extensions["klarna"], sandbox, stack.url)
        db.db.engine.dispose()


def _write_statement(stack: Stack, app: Flask) -> None:
    """Lay a bank statement ready that fits the company's payouts; one that is there stays."""
    from demo import statement

    path = stack.data_dir / STATEMENT
    if path.exists():
        return
    with app.app_context():
        with db.reading() as session:
            content = statement.camt(statement.deposits(session))
        db.db.engine.dispose()
    path.write_bytes(content)


def _make_logins(folder: Path) -> None:
    """One person per role, each with a passphrase of its own that stands in a file only its owner reads."""
    from services import passwords, users

    phrases = {role: passphrase() for role in NAMES}
    hashed = {role: passwords.STRONG.hash(phrase) for role, phrase in phrases.items()}
    with db.writing() as session:
        for role, (login, name, _what) in NAMES.items():
            users.create(session, OPERATOR, login=login, name=name, roles=[role], password_hash=hashed[role])
    lines = [f"{NAMES[role][0]}\t{phrase}\t{NAMES[role][2]}\n" for role, phrase in phrases.items()]
    handle = os.open(folder / LOGINS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(lines)


def welcome(stack: Stack) -> str:
    """What is printed when everything works."""
    logins = (stack.data_dir / LOGINS).read_text(encoding="utf-8").splitlines()
    shown = "\n".join("  {:8}  {:36}  {}".format(*line.split("\t")) for line in logins)
    files = {name: stack.data_dir / place for name, place in PLACES.items()}
    steps = "\n".join(f"  {number}. {step.format(**files)}" for number, step in enumerate(TRY_FIRST, start=1))
    return (
        f"\nKvitta          {stack.url}\nKlarna sandbox  {stack.sandbox_url}/_sandbox/\n\n"
        f"Log in as\n{shown}\n\nTry first\n{steps}\n\n"
        f"Everything is kept in {stack.data_dir}; make reset begins afresh. Ctrl-C stops.\n"
    )


def run(port: int, sandbox_port: int) -> None:
    """Run the demo until Ctrl-C or SIGTERM. Raises CannotStart."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    folder = data_dir()
    with alone(folder):
        require_free(port, "make run PORT=8010")
        require_free(sandbox_port, "make run SANDBOX_PORT=8011")
        if folder.exists() and not (folder / BUILT).exists():
            reset(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / OURS).touch()
        (folder / REPORTS).mkdir(exist_ok=True)
        stack = Stack(folder, port, sandbox_port, environ={"SETTLEMENT_FOLDER": str(folder / REPORTS)})
        from demo import post  # here and not above: --reset and --help do without what it imports

        with post.office(folder / MAILS) as mail_port:
            try:
                stack.start_sandbox()
                prepare(stack, mail_port)
                if not over.is_set():
                    stack.start_kvitta()
                    print(welcome(stack), flush=True)
                while not over.wait(1.0):
                    stack.require_alive()
                print("Stopping …", flush=True)
            finally:
                stack.stop()


def main(argv: list[str] | None = None) -> None:
    """Start the demo, or throw its data away with --reset. Ends with one sentence when something stands in the way."""
    parser = argparse.ArgumentParser(prog="make run", description="Kvitta's demo on this machine.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sandbox-port", type=int, default=8001)
    parser.add_argument("--reset", action="store_true", help="throw the demo's data away")
    options = parser.parse_args(argv)
    try:
        if options.reset:
            with alone(data_dir()):
                reset(data_dir())
            print("The demo begins afresh at the next start.")
        else:
            run(options.port, options.sandbox_port)
    except (CannotStart, Misconfigured) as reason:
        sys.exit(str(reason))


if __name__ == "__main__":
    main()
