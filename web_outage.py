"""When the database cannot be used (stopped, out of reach, its disk full or write-protected): a sentence and 503, not a bug."""

from __future__ import annotations

from flask import request
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from werkzeug.wrappers import Response

from errors import N_
from web import refused
from web_words import gettext

SQLITE_SAYS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM",
               "SQLITE_NOTADB", "SQLITE_CORRUPT")  # fmt: skip
POSTGRES_CLASSES = ("08", "40", "53", "55", "57", "58", "XX")
"""No connection, a clash, no room, a lock, an operator's stop, the system, damage: PostgreSQL's first two signs of five."""
READ_ONLY = "25006"
RETRY_SECONDS = 10
LOOKING = N_(
    "Kvitta's database cannot be used just now. Try again in a moment; if it goes on, tell whoever looks after Kvitta."
)
ACTING = N_(
    "Kvitta's database cannot be used just now. What you asked for may have been done or not: look before you do it again. "
    "If it goes on, tell whoever looks after Kvitta."
)


def is_outage(error: Exception) -> bool:
    """Whether the database could not be used, as against a question of ours that was wrong."""
    if isinstance(error, NoConnectionFree):
        return True
    if not isinstance(error, DBAPIError):
        return False
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(SQLITE_SAYS)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError) or error.connection_invalidated
    return state == READ_ONLY or str(state).startswith(POSTGRES_CLASSES)


def answer() -> Response:
    """503 with what to do; asks no database. What was asked for may have been done when a commit's answer was lost."""
    sentence = LOOKING if request.method in {"GET", "HEAD"} else ACTING
    made = refused(503, gettext(sentence))
    made.headers["Retry-After"] = str(RETRY_SECONDS)
    return made
