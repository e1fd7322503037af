"""create_app(): the one place where all rooms of Kvitta meet. Run directly, this file starts the demo."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, MutableMapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from argon2 import PasswordHasher
from flask import Flask, has_request_context, request
from flask.cli import ScriptInfo
from flask.templating import Environment
from flask_babel import Babel
from jinja2 import pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import Markup
from sqlalchemy.exc import ArgumentError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

import config
import db
import migrations
import web_doors
import web_log
from config import Config, Misconfigured
from errors import BrokenRule
from services import klarna_accounts, passwords
from services.gateway import Gateway
from services.postman import Postman
from web import capped, may, nonce, why_not
from web_access import DEMANDS, MEGABYTE
from web_papers import Papers
from web_words import filters, gettext, ngettext, spoken

ROOMS = (
    "start",
    "search",
    "orders",
    "klarna_orders",
    "klarna_calls",
    "new_orders",
    "incoming",
    "order_files",
    "deliveries",
    "invoices",
    "credit_notes",
    "credit_rows",
    "free_credits",
    "goods_returns",
    "converting",
    "drafts",
    "exchange",
    "operations",
    "adoption",
    "agreement",
    "push",
    "papers",
    "mails",
    "payments",
    "offsets",
    "owed",
    "batches",
    "settlements",
    "settlement_foreign",
    "settlement_moves",
    "settlement_files",
    "bank",
    "flow",
    "books",
    "manual_vouchers",
    "sie",
    "closing",
    "reports",
    "history",
    "stock",
    "goods_in",
    "stocktakes",
    "stock_value",
    "register",
    "anonymising",
    "settings",
    "setting_books",
    "setting_chart",
    "klarna_accounts",
    "payment_methods",
    "users",
    "preferences",
    "mail_settings",
    "tokens",
    "api",
    "login",
)
"""The blueprints, each ``blueprints/<name>.py`` with its ``blueprint``."""


class Templates(Environment):
    """Templates that share one dictionary of globals instead of laying an empty one of their own over it.

    Each import and each include of a template copies and compares these names, and some are made for every icon of a page.
    """

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """The globals of a template: those of all, unless it was given some of its own."""
        return super().make_globals(d) if d else self.globals


def _setup_config(app: Flask, settings: Config) -> None:
    app.config.update(
        TESTING=settings.testing,
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        HTTPS=settings.https,
        TRUSTED_HOSTS=list(settings.trusted_hosts),
        SESSION_COOKIE_NAME="__Host-kvitta" if settings.https else "kvitta",
        SESSION_COOKIE_SECURE=settings.https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        SETTLEMENT_FOLDER=settings.settlement_folder,
        MAX_CONTENT_LENGTH=MEGABYTE,
        MAX_FORM_PARTS=200,
        MAX_FORM_MEMORY_SIZE=500_000,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_HEADERS=[],
        PROPAGATE_EXCEPTIONS=False,
    )
    if settings.proxies:
        count = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]


def _serves() -> bool:
    """Whether the app is made to serve pages: a command may run on a database that has yet to be migrated.

    The web server has a command line of its own, which is none of Flask's and hands its context down to its workers.
    """
    context = click.get_current_context(silent=True)
    return context is None or context.find_object(ScriptInfo) is None or context.info_name == "run"


def _setup_database(app: Flask, settings: Config) -> None:
    try:
        db.set_up(app, settings.database_url)
    except (ArgumentError, ValueError):
        raise Misconfigured("DATABASE_URL cannot be read: write postgresql://user:password@host/name.") from None
    if not settings.testing and _serves():
        with app.app_context():
            migrations.assert_fit(db.db.engine)


def _setup_services(app: Flask, settings: Config) -> None:
    app.extensions["klarna"] = Gateway(settings.credentials_key, settings.data_dir, settings.database_url)
    app.extensions["papers"] = Papers(app, settings.data_dir)
    app.extensions["postman"] = Postman(settings.credentials_key, app.extensions["klarna"], app.extensions["papers"])
    cheap = partial(passwords.Passwords, PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    app.extensions["passwords"] = cheap() if settings.testing else passwords.STRONG


def set_upon(app: Flask, settings: Config) -> None:
    """Give the app its settings, and the database and the services that follow from them."""
    _setup_config(app, settings)
    _setup_database(app, settings)
    _setup_services(app, settings)


@pass_eval_context
def _sentence(context: EvalContext, message: str, **values: object) -> str:
    """``_()`` of templates: a page says some hundred sentences, and most have nothing to fill in.

    As Jinja has it: what is filled in is escaped, and ``%%`` stands for a percent sign.
    """
    sentence = gettext(message)
    if context.autoescape:
        sentence = Markup(sentence)  # noqa: S704 - a sentence of the source or the catalogue, before anything is filled in
    return sentence % values if values or "%" in sentence else sentence


def _setup_languages(app: Flask) -> None:
    Babel(app, default_locale="sv", default_timezone="Europe/Stockholm", locale_selector=lambda: spoken().code)
    app.jinja_env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.globals.update(_=_sentence, gettext=_sentence)


MARK = 987_654_321_012_345
"""Stands for an id in the pattern of an address."""


def _static_addresses(app: Flask) -> Callable[..., str]:
    """``url_for`` for templates: addresses of static files carry a mark of their content and are made once.

    Those with one id are made once per endpoint and place of the app, and filled in: a list has hundreds.
    """
    known: dict[str, str] = {}
    patterns: dict[tuple[str, str, str], tuple[str, str]] = {}

    def url_for(endpoint: str, **values: Any) -> str:
        if endpoint != "static":
            if len(values) != 1 or not has_request_context():
                return app.url_for(endpoint, **values)
            ((name, value),) = values.items()
            if type(value) is not int or value < 0:
                return app.url_for(endpoint, **values)
            place = (request.root_path, endpoint, name)
            if place not in patterns:
                given: dict[str, Any] = {name: MARK}
                before, found, after = app.url_for(endpoint, **given).partition(str(MARK))
                if not found or "?" in before:
                    return app.url_for(endpoint, **values)
                patterns[place] = before, after
            before, after = patterns[place]
            return f"{before}{value}{after}"
        name = values["filename"]
        if name not in known:
            content = Path(app.static_folder or "", name)
            mark = hashlib.sha256(content.read_bytes()).hexdigest()[:12] if content.is_file() else "0"
            known[name] = app.url_for("static", filename=name, v=mark)
        return known[name]

    return url_for


def _setup_templates(app: Flask) -> None:
    app.jinja_env.filters.update(filters())
    app.jinja_env.globals.update(url_for=_static_addresses(app), nonce=nonce, may=may, why_not=why_not, capped=capped)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = False


class ShortNumber(IntegerConverter):
    """Ids in addresses: at most fifteen digits, which every database can look up; else there is no such page."""

    regex = r"[0-9]{1,15}"


def _setup_rooms(app: Flask) -> None:
    app.url_map.converters["int"] = ShortNumber
    for name in ROOMS:
        app.register_blueprint(import_module(f"blueprints.{name}").blueprint)
    for endpoint, view in app.view_functions.items():
        if endpoint != "static" and view not in DEMANDS:
            raise BrokenRule(
                f"{endpoint} does not say who may see it: put @needs(Right.…) or @open_to_all below its route"
            )


def _setup_commands(app: Flask) -> None:
    import_module("commands").register(app)


def _assert_walls(app: Flask) -> None:
    """Refuse to serve with a wall taken down (12, 62)."""
    walls = {"WTF_CSRF_ENABLED": True, "WTF_CSRF_CHECK_DEFAULT": True, "DEBUG": False}
    for name, wanted in walls.items():
        if app.config[name] is not wanted:
            raise BrokenRule(f"{name} is {app.config[name]}")


def _hold_unreadable(app: Flask) -> None:
    if _serves():
        with app.app_context():
            klarna_accounts.hold_unreadable(app.extensions["klarna"])


def create_app(settings: Config | None = None) -> Flask:
    """Make the app from given settings, or from the environment. Raises Misconfigured with one sentence.

    Where the environment decides, whoever makes the app is a server or a command line: it ends with that sentence alone.
    """
    if settings is not None:
        return _made(settings)
    try:
        return _made(config.load())
    except Misconfigured as error:
        raise SystemExit(f"Kvitta cannot start. {error}") from None


def _made(settings: Config) -> Flask:
    if not settings.testing:
        web_log.set_up()
    app = Flask(__name__)
    app.jinja_environment = Templates
    set_upon(app, settings)
    _setup_languages(app)
    _setup_templates(app)
    _setup_rooms(app)
    web_doors.set_up(app)
    _setup_commands(app)
    if not settings.testing:
        _assert_walls(app)
        _hold_unreadable(app)
        if settings.janitor_in_web and _serves():
            import_module("tasks").start_rounds(app, settings)
        gc.collect()
        gc.freeze()
    return app


if __name__ == "__main__":
    import_module("demo.start").main()
