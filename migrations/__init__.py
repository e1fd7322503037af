"""The schema's history, and the three questions asked of it: which head, which revision, bring it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

import db
from config import Misconfigured

_INI = Path(__file__).with_name("alembic.ini")


def _config() -> Config:
    return Config(_INI)


@cache
def head() -> str:
    """The revision this code was written for, read once per process."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None
    return found


def current(engine: Engine) -> str | None:
    """The revision the database has; None for an empty one."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return found


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to this code's revision, or an earlier one, all of it or nothing (fault 45). Raises Misconfigured."""
    _refuse_newer(current(engine))
    config = _config()
    with engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE") as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def assert_current(engine: Engine) -> None:
    """Refuse to run on another schema than this code's. Raises Misconfigured (operations 16.1, rule 9)."""
    found = current(engine)
    if found == head():
        return
    _refuse_newer(found)
    raise Misconfigured("The database is older than the program. Run: flask migrate")


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise Misconfigured("The database is newer than the program. Install the newer program again.")


def assert_fit(engine: Engine) -> None:
    """Refuse a database that is not there, does not keep what it promises or has another schema. Raises Misconfigured."""
    with in_one_sentence():
        db.assert_safe(engine)
        assert_current(engine)


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """For whoever starts the program: a database that cannot be used is one sentence. Raises Misconfigured."""
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0].strip().rstrip(".")
        raise Misconfigured(f"The database cannot be used: {said}.") from error
