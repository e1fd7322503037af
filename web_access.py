"""Who is asking, and what each view demands of them: denied unless declared (security 17-24, 33, 35).

A view says ``@needs(Right.X)`` or ``@open_to_all``; the app does not start when one says nothing. The guard runs before
anything reads the body of a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from flask import current_app, flash, g, redirect, request, session, url_for
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, BrokenRule, Busy, NotAllowed, Refusal
from rights import Actor, Right, who_may
from services import api_tokens, audit, logins
from web_problem import problem
from web_words import gettext

MEGABYTE = 1024 * 1024
COOKIE_KEY = "sid"
"""Where the signed cookie carries the session's secret id."""

View = TypeVar("View", bound=Callable[..., Any])
log = structlog.get_logger("kvitta.access")


@dataclass(frozen=True, slots=True)
class Access:
    """What a view demands. ``right`` is None for those open to all."""

    right: Right | None
    polls: bool = False
    confirmed: bool = False
    largest_body: int = MEGABYTE
    from_klarna: bool = False
    by_token: bool = False

    @property
    def reads_form(self) -> bool:
        """Whether a browser sends it a form; Klarna's push and programs with a key send none, and carry no cookie."""
        return not (self.from_klarna or self.by_token)


DEMANDS: dict[Callable[..., Any], Access] = {}
"""What each view has declared."""


def needs(
    right: Right, *, polls: bool = False, confirmed: bool = False, largest_body: int = MEGABYTE
) -> Callable[[View], View]:
    """Let in who has the right. Stands right below the route.

    ``polls``: the page asks by itself, so it does not keep a session alive (79). ``confirmed``: the password must have been
    typed within the last half hour (33). ``largest_body``: bytes of a request; ``20 * MEGABYTE`` where files come in.
    """

    def declare(view: View) -> View:
        DEMANDS[view] = Access(right, polls, confirmed, largest_body)
        return view

    return declare


def open_to_all(view: View) -> View:
    """Let in anybody, logged in or not: login, set-up, health."""
    DEMANDS[view] = Access(None)
    return view


def from_klarna(view: View) -> View:
    """Let in Klarna's push: no login, no token, any type of body, which is never read (52)."""
    DEMANDS[view] = Access(None, from_klarna=True)
    return view


def by_token(view: View) -> View:
    """Let in programs that show a key of the interface: no login, no cookie, JSON of at most a megabyte."""
    DEMANDS[view] = Access(None, by_token=True)
    return view


def demand() -> Access | None:
    """What the view of this request demands; None for static files and where there is no such page."""
    view = current_app.view_functions.get(request.endpoint or "")
    return DEMANDS.get(view) if view else None


class PasswordAgain(Refusal):
    """The password has to be typed again first; the edge leads to where that is done."""

    status = 403

    def __init__(self) -> None:
        super().__init__(N_("Type your password again first."))


# --- Who is asking ---------------------------------------------------------------------------------------------------


def visit() -> logins.Visit | None:
    """The session of this request; None for who is not logged in."""
    found: logins.Visit | None = g.get("visit")
    return found


def actor() -> Actor:
    """The person this request acts for."""
    found = visit()
    if found is None:
        raise BrokenRule("a view that is open to all has no actor")
    return found.actor


def recently_confirmed() -> bool:
    """Whether the person has typed the password within the last half hour."""
    found = visit()
    return found is not None and found.confirmed


def require_confirmed() -> None:
    """Let pass who has typed the password within the last half hour. Raises PasswordAgain, which leads to typing it."""
    if not recently_confirmed():
        raise PasswordAgain


def is_htmx() -> bool:
    """Whether a part of a page is wanted. Decides the shape of an answer and nothing else (77, 78)."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-History-Restore-Request") != "true"


def go_to(url: str) -> Response:
    """Lead on to another page: 303, or for htmx 204 with HX-Redirect, since a browser follows a 303 into the fragment (75)."""
    if is_htmx():
        return Response(status=204, headers={"HX-Redirect": url})
    return redirect(url, 303)


def this_page() -> str:
    """Where to come back to after logging in: this page, or for a POST the page it was sent from."""
    if request.method in {"GET", "HEAD"} and not is_htmx():
        return own_path(request.full_path.removesuffix("?"))
    return own_path((request.referrer or "").removeprefix(request.host_url.rstrip("/")))


def own_path(text: str | None) -> str:
    """A path that is a page of ours and can be looked at; anything else becomes the start page (catalogue row 29)."""
    start = url_for("start.index")
    if (
        not text
        or not text.startswith("/")
        or text.startswith("//")
        or not text.isprintable()
        or "\\" in text
        or len(text) > 2000
    ):
        return start
    path, _, query = text.partition("?")
    try:
        found = current_app.url_map.bind("").match(path, "GET")
    except HTTPException:
        return start
    if found[0] in {"static", "login.form", "login.confirm"}:
        return start
    return f"{path}?{query}" if query else path


# --- The guard -------------------------------------------------------------------------------------------------------


def find_visitor() -> None:
    """Load who is asking, in a reading session of its own, into plain values."""
    secret_id = session.get(COOKIE_KEY)
    if not isinstance(secret_id, str):
        return
    with reading() as looked:
        g.visit = logins.visit(looked, secret_id)
    if g.visit is None:
        session.pop(COOKIE_KEY)


def keep_alive(access: Access) -> None:
    """Note that the session is in use, at most once a minute; a page that polls by itself does not count."""
    found = visit()
    if found is None or access.polls or not found.stale:
        return
    try:
        with writing() as noted:
            logins.seen(noted, found.id_hash)
    except (Busy, DBAPIError):
        # A page that only shows something is shown, too, while nothing can be written; without any database its view says so.
        log.info("session not noted as seen", reason="busy")


def guard() -> Response | None:
    """Let in who has what the view demands; lead others to the login. Raises NotAllowed (audited), PasswordAgain."""
    access = demand()
    if request.endpoint == "static" or (access and access.from_klarna):
        return None
    if access and access.by_token:
        return _find_program()
    find_visitor()
    if access is None:
        return None
    if access.right is None:
        return None
    if visit() is None:
        if request.method not in {"GET", "HEAD"}:
            flash(gettext(N_("You had been logged out. Nothing has been done: log in and do it again.")), "warning")
        return go_to(url_for("login.form", next=this_page()))
    if not actor().may(access.right):
        refuse_permission(actor())
        raise NotAllowed(N_("Your role does not allow this. Requires %(roles)s."), roles=who_may(access.right))
    if access.confirmed and not recently_confirmed():
        raise PasswordAgain
    keep_alive(access)
    return None


def _find_program() -> Response | None:
    """Load whose key is shown; answer 401 where none fits. No cookie is read and none is set (security 53)."""
    kind, _, secret = request.headers.get("Authorization", "")[:500].partition(" ")
    found = None
    if kind.lower() == "bearer":
        with reading() as looked:
            found = api_tokens.find(looked, secret.strip())
    g.program = found
    if found is None:
        return problem(401, "Unauthorized", "Send a key in use, as: Authorization: Bearer kvitta_…")
    if found.stale:
        try:
            with writing() as noted:
                api_tokens.used(noted, found.token_id)
        except (Busy, DBAPIError):
            log.info("key not noted as used", reason="busy")
    return None


def program() -> api_tokens.Program:
    """The program this request comes from, by its key."""
    found: api_tokens.Program | None = g.get("program")
    if found is None:
        raise BrokenRule("only views that are by_token have a program")
    return found


def refuse_permission(who: Actor, reason: str = "") -> None:
    """Note in the audit log that a permission was refused (41)."""
    detail: dict[str, object] = {"method": request.method}
    if reason:
        detail["reason"] = reason
    try:
        with writing() as noted:
            audit.write(noted, who, "refused", f"page:{request.endpoint}", detail)
    except Busy:
        log.warning("refused permission not audited", endpoint=request.endpoint, user=who.id, reason="busy")


def begin_visit(secret_id: str) -> None:
    """Put a new session into a new cookie (20); the language chosen before stays."""
    language = session.get("lang")
    session.clear()
    g.pop("csrf_token", None)
    session[COOKIE_KEY] = secret_id
    if language:
        session["lang"] = language


def end_visit() -> None:
    """Empty the cookie; the language chosen before stays."""
    language = session.get("lang")
    session.clear()
    g.pop("csrf_token", None)
    if language:
        session["lang"] = language
