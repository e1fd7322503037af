"""The doors of the app: what every request passes, in order, and what every answer carries (security 1-17, 43, 49, 62, 72-76)."""

from __future__ import annotations

import time
import uuid
from urllib.parse import urlsplit

import structlog
from flask import Flask, current_app, g, request, session, url_for
from flask_wtf.csrf import CSRFError, CSRFProtect
from markupsafe import escape
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, SecurityError, UnsupportedMediaType
from werkzeug.wrappers import Response

import web_outage
from errors import N_, Busy, NotAllowed, Refusal
from web import refused
from web_access import DEMANDS, PasswordAgain, demand, go_to, guard, is_htmx, this_page, visit
from web_fields import showable
from web_problem import speaks_json
from web_words import LANGUAGES, gettext, say, speak

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
MOST_FIELDS = 2000
"""Fields of one form; the largest page of Kvitta has some hundreds."""
UNTOLD = frozenset({"csrf_token", "nonce", "password", "new_password", "again", "secret"})
"""What a page that was too old to send from does not repeat."""
LARGEST_COOKIES = 16_384
SLOW_SECONDS = 1.0

log = structlog.get_logger("kvitta.web")
csrf = CSRFProtect()


# --- In --------------------------------------------------------------------------------------------------------------


def _begin() -> None:
    """Give the request a clean slate, an id and a language that can be spoken before anything is known."""
    for name in tuple(g):
        g.pop(name)
    g.request_id = uuid.uuid4().hex[:16]
    g.began = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    speak("sv")


def _check_host() -> Response | None:
    """Answer only under our own names. First, since another hook would answer before Flask looks (49)."""
    try:
        assert request.host
    except (SecurityError, AssertionError):
        return Response("This is not a name of this server.", 400, content_type="text/plain; charset=utf-8")
    return None


def _refuse_swollen_cookies() -> Response | None:
    """Ours are some hundred bytes; what is far larger is not read (catalogue row 24)."""
    if len(request.headers.get("Cookie", "")) > LARGEST_COOKIES:
        return Response("Too many cookies.", 431, content_type="text/plain; charset=utf-8")
    return None


def _choose_language() -> None:
    """The person's own, then the cookie's, then the browser's best of ours, else Swedish (catalogue row 91).

    A program has no cookie, and where it asks for no language it is answered in English.
    """
    if speaks_json():
        said = request.headers.get("Accept-Language", "")
        speak((request.accept_languages.best_match(list(LANGUAGES)) if len(said) <= 500 else None) or "en")
        return
    found = visit()
    chosen = found.language if found else None
    if chosen not in LANGUAGES:
        chosen = session.get("lang")
    if chosen not in LANGUAGES:
        said = request.headers.get("Accept-Language", "")
        accepted = request.accept_languages if len(said) <= 500 else LanguageAccept()
        chosen = accepted.best_match(list(LANGUAGES))
    speak(chosen or "sv")


def _guard() -> Response | None:
    try:
        return guard()
    finally:
        _choose_language()


def _refuse_strangers() -> None:
    """The second wall: no POST that another site's page sends (14)."""
    access = demand()
    if request.method in {"GET", "HEAD", "OPTIONS"} or access is None or not access.reads_form:
        return
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign or request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise NotAllowed(N_("The request came from another site. Nothing has been done."))


def _refuse_other_bodies() -> None:
    """Read forms and nothing else; before any form is built (43, catalogue rows 25, 76, 78)."""
    access = demand()
    if request.method in {"GET", "HEAD", "OPTIONS"} or access is None or not access.reads_form:
        return
    has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers
    if request.mimetype not in FORM_TYPES and (has_body or request.mimetype):
        raise UnsupportedMediaType
    largest = access.largest_body
    if request.mimetype == "application/x-www-form-urlencoded":
        # Werkzeug holds the parts of a multipart body to the limit of form memory, and this kind of body to none.
        largest = min(largest, current_app.config["MAX_FORM_MEMORY_SIZE"])
    request.max_content_length = largest
    if (request.content_length or 0) > largest:
        raise RequestEntityTooLarge


def _refuse_too_many_fields() -> None:
    access = demand()
    if (
        request.method == "POST"
        and access is not None
        and access.reads_form
        and sum(1 for _ in request.form.items(multi=True)) > MOST_FIELDS
    ):
        raise RequestEntityTooLarge


# --- Out -------------------------------------------------------------------------------------------------------------


def _dress(answer: Response) -> Response:
    """Give every answer what the browser needs to keep its side (1, 8, 9, 77)."""
    answer.headers.update(HEADERS)
    if current_app.config["HTTPS"]:
        answer.headers["Strict-Transport-Security"] = "max-age=31536000"
    answer.headers["X-Request-ID"] = g.get("request_id", "")
    if request.endpoint == "static":
        if "v" in request.args and answer.status_code == 200:
            answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer
    answer.headers["Cache-Control"] = "no-store"
    if answer.mimetype == "text/html":
        answer.headers.add("Vary", "HX-Request")
    _note(answer)
    return answer


def _note(answer: Response) -> None:
    """One log line for what changes something, fails or takes long. The rule, never the address: it may hold a token."""
    seconds = time.monotonic() - g.get("began", time.monotonic())
    if request.method in {"GET", "HEAD"} and answer.status_code < 400 and seconds < SLOW_SECONDS:
        return
    found = visit()
    log.info(
        "request",
        method=request.method,
        rule=str(request.url_rule) if request.url_rule else None,
        status=answer.status_code,
        ms=round(seconds * 1000),
        user=found.actor.id if found else None,
    )


# --- No --------------------------------------------------------------------------------------------------------------


def _refusal(refusal: Refusal) -> Response:
    answer = refused(refusal.status, say(refusal))
    wait = refusal.values.get("seconds")
    if refusal.status == 429 and isinstance(wait, int):
        answer.headers["Retry-After"] = str(wait)
    return answer


def _password_again(_: PasswordAgain) -> Response:
    return go_to(url_for("login.confirm", next=this_page()))


def _too_old(_: CSRFError) -> Response:
    """The token did not fit: nothing was done, and what was typed can be copied (15, catalogue row 16)."""
    typed = [
        (showable(name), showable(text)) for name, text in request.form.items() if name not in UNTOLD and text.strip()
    ][:50]
    sentence = gettext(
        "The page was too old to send from. Nothing has been done, and your text is kept below. "
        "Go back, reload the page and send it again."
    )
    if is_htmx():
        sentence = gettext(
            "The page is too old to send from. Nothing has been done. Copy what you have typed, reload the page and try again."
        )
    return refused(400, sentence, template="login/too_old.html", typed=typed)


SENTENCES = {
    400: N_("The request could not be understood. Nothing has been done."),
    404: N_("There is no such page, or it is not yours to see."),
    405: N_("That cannot be done at this address. Nothing has been done."),
    413: N_("What was sent is too large. Nothing has been done."),
    415: N_("Kvitta reads forms only. Nothing has been done."),
}


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(status=status, headers=error.get_headers())
    if isinstance(error, SecurityError):
        return Response("This is not a name of this server.", 400, content_type="text/plain; charset=utf-8")
    sentence = gettext(SENTENCES.get(status, SENTENCES[400]))
    answer = refused(status, sentence)
    if status == 405 and getattr(error, "valid_methods", None):
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))  # type: ignore[attr-defined]
    return answer


def _bug(error: Exception) -> Response:
    """The last handler: what was open has rolled back; say so with an id, with no database and no details (62, 74)."""
    if web_outage.is_outage(error):
        log.error("database.away", error=" ".join(str(getattr(error, "orig", error)).split())[:300])
        return web_outage.answer()
    log.error("bug", error=type(error).__name__, exc_info=error)
    sentence = gettext(
        "Kvitta could not finish this. Nothing more has been done than what the pages show. "
        "Go to the start page and look before you try again."
    )
    try:
        answer = refused(500, sentence)
    except Exception:
        log.exception("the error page failed")
        text = f"<!doctype html><title>Kvitta</title><h1>500</h1><p>{escape(sentence)}</p><p>{escape(g.request_id)}</p>"
        answer = Response(text, 500, content_type="text/html; charset=utf-8")
    return answer


def set_up(app: Flask) -> None:
    """Hang the doors, in their order. The guard comes before CSRFProtect, which reads the whole body (17)."""
    for hook in (_begin, _check_host, _refuse_swollen_cookies, _guard, _refuse_strangers, _refuse_other_bodies):
        app.before_request(hook)
    csrf.init_app(app)
    for view, access in DEMANDS.items():
        if not access.reads_form:
            csrf.exempt(view)
    app.before_request(_refuse_too_many_fields)
    app.after_request(_dress)
    app.register_error_handler(PasswordAgain, _password_again)
    app.register_error_handler(Busy, _refusal)
    app.register_error_handler(Refusal, _refusal)
    app.register_error_handler(CSRFError, _too_old)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _bug)
