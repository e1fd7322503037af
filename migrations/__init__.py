"""The schema's history, and the three questions asked of it: which head, which revision, bring it up."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

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
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to this code's revision, or an earlier one, all of it or nothing (fault 45)."""
    config = _config()
    with engine.connect().execution_options(sqlite_begin="BEGIN IMMEDIATE") as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def assert_current(engine: Engine) -> None:
    """Refuse to run on another schema than this code's. Raises Misconfigured (operations 16.1, rule 9)."""
    found = current(engine)
    if found == head():
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is None or found in known:
        raise Misconfigured("The database is older than the program. Run: flask migrate")
    raise Misconfigured("The database is newer than the program. Install the newer program again.")
