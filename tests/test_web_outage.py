"""A database that cannot be used is a sentence and 503, and the next request finds it again: nobody is told of a bug."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask

import db
import web_outage
from app import create_app
from config import Config
from rights import Right
from tests.web_client import WebClient
from web import needs, open_to_all

ENGLISH = {"Accept-Language": "en"}
LOOKING = "database cannot be used just now. Try again in a moment"
ACTING = "may have been done or not: look before you do it again"


def _full(connection: sa.Connection) -> None:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    connection.exec_driver_sql("CREATE TABLE large AS SELECT randomblob(1000000) AS content")


def _read_only(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    else:
        connection.exec_driver_sql("PRAGMA query_only=1")
    connection.exec_driver_sql("DELETE FROM setting")


def _cut_off(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")


def _wrong(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SELECT nothing FROM nowhere")


TROUBLES = {"full": _full, "read-only": _read_only, "cut off": _cut_off, "wrong": _wrong}


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    """The app with a page that meets with a trouble of the database."""

    @open_to_all
    def meet(which: str) -> str:
        with db.db.engine.connect() as connection:
            TROUBLES[which](connection)
        return "met"

    @needs(Right.WORK)
    def act(which: str) -> str:
        return meet(which)

    made = create_app(config)
    made.testing = False
    made.add_url_rule("/try/meet/<which>", "meet", meet)
    made.add_url_rule("/try/act/<which>", "act", act, methods=["GET", "POST"])
    with made.app_context():
        yield made
        db.db.engine.dispose()


def _of_this_database(which: str) -> bool:
    wanted = {"full": "sqlite", "cut off": "postgresql"}
    return wanted.get(which, db.db.engine.dialect.name) == db.db.engine.dialect.name


@pytest.mark.parametrize("which", ["full", "read-only", "cut off"])
def test_a_database_that_cannot_be_used_is_503_and_the_next_request_goes_on(
    app: Flask, client: WebClient, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 37: what can be done about it stands on the page, and what was asked for is not called undone."""
    if not _of_this_database(which):
        return
    whole = client.get(f"/try/meet/{which}", headers=ENGLISH)
    assert (whole.status, whole.headers["Retry-After"]) == (503, "10")
    assert LOOKING in whole.html
    part = client.get(f"/try/meet/{which}", htmx=True, headers=ENGLISH)
    assert (part.status, part.headers["HX-Retarget"]) == (503, "#messages")
    logged = capsys.readouterr().out
    assert "database.away" in logged
    assert "Traceback" not in logged
    db.db.engine.dispose()
    client.log_in("clerk", language="en")
    client.get("/orders")
    acted = client.post(f"/try/act/{which}")
    assert acted.status == 503
    assert ACTING in acted.html
    db.db.engine.dispose()
    assert client.get("/orders").status == 200


def test_a_postgresql_that_takes_the_call_and_says_nothing_holds_nobody_for_minutes() -> None:
    """Four threads answer all pages: a firewall that swallows the connection is told as quickly as a server that refuses it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://kvitta:word@127.0.0.1:{silent.getsockname()[1]}/kvitta"
        engine = sa.create_engine(url, **db.engine_options(url))
        began = time.monotonic()
        with pytest.raises(sa.exc.OperationalError) as found:
            engine.connect()
        assert time.monotonic() - began < 8
        assert web_outage.is_outage(found.value)


def test_a_question_of_ours_that_is_wrong_stays_a_bug(app: Flask, client: WebClient) -> None:
    answer = client.get("/try/meet/wrong", headers=ENGLISH)
    assert answer.status == 500
    assert "could not finish this" in answer.html
