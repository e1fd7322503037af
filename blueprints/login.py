"""Logging in and out, the language, typing the password again, and how the first and every later user gets a password."""

from __future__ import annotations

from flask import Blueprint, request, session, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, BadInput, Refusal, Throttled
from rights import Right
from services import logins, preferences, users
from services.passwords import check, forbidden_words
from web import (
    Form,
    HiddenLineField,
    LineField,
    PasswordField,
    done,
    needs,
    open_to_all,
    own_path,
    page,
    passwords,
    secret_key,
)
from web_access import begin_visit, end_visit, visit
from web_words import LANGUAGES
from web_words import gettext as _

blueprint = Blueprint("login", __name__)

WRONG = N_("The login or the password is wrong.")
WAIT = N_("Too many tries. Wait %(seconds)s seconds and try again.")


class LoginForm(Form):
    """Who and with what."""

    login = LineField(lazy("Login"), most=400)
    password = PasswordField(lazy("Password"))
    next = HiddenLineField(required=False, most=2000)


class ConfirmForm(Form):
    """The password again."""

    password = PasswordField(lazy("Password"))
    next = HiddenLineField(required=False, most=2000)


class ChooseForm(Form):
    """A new password."""

    password = PasswordField(lazy("New password"))


class SetUpForm(ChooseForm):
    """The first administrator."""

    login = LineField(lazy("Login"), most=100)
    name = LineField(lazy("Name"), most=100)


def _address() -> str:
    return request.remote_addr or "unknown"


def _admit(login: str) -> logins.Admission:
    """Note the try. Raises Throttled (catalogue row 28)."""
    key = logins.login_key(login, secret_key())
    with writing() as noted:
        admission = logins.admit(noted, login, key, _address())
    if admission.wait_seconds:
        raise Throttled(WAIT, seconds=admission.wait_seconds)
    return admission


@blueprint.get("/login")
@open_to_all
def form() -> Response:
    """The login page."""
    wanted = own_path(request.args.get("next"))
    if visit() is not None:
        return done(wanted)
    return page("login/form.html", form=LoginForm(data={"next": wanted}))


@blueprint.post("/login")
@open_to_all
def enter() -> Response:
    """Log in: note the try, compare without a transaction, write what came of it."""
    typed = LoginForm()
    if not typed.accepted():
        return page("login/form.html", status=422, form=typed)
    password = typed.password.data
    try:
        admission = _admit(typed.login.data)
        matches = passwords().matches(admission.password_hash, password)
        renewed = None
        if matches and admission.password_hash and passwords().outdated(admission.password_hash):
            renewed = passwords().hash(password)
        with writing() as opened:
            secret_id = logins.settle(opened, admission, matches, _address(), renewed)
        if secret_id is None:
            raise BadInput(WRONG)
    except Refusal as refusal:
        return page("login/form.html", status=typed.refuse(refusal), form=typed)
    begin_visit(secret_id)
    return done(_begin_at(admission.user_id, own_path(typed.next.data)))


def _begin_at(user_id: int | None, wanted: str) -> str:
    """The page that was asked for before logging in; else the one this person begins at (B22)."""
    if wanted != url_for("start.index"):
        return wanted
    with reading() as looked:
        return url_for(preferences.of(looked, user_id).start_page)


@blueprint.post("/logout")
@needs(Right.READ)
def out() -> Response:
    """Log out: the session is dead at once, also for a copied cookie (19)."""
    found = visit()
    assert found is not None
    with writing() as ended:
        logins.log_out(ended, found.actor, found.id_hash)
    end_visit()
    answer = done(url_for("login.form"), ("success", _("You are logged out.")))
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


@blueprint.post("/language")
@open_to_all
def language() -> Response:
    """Change the language: remembered for the user, else in the cookie."""
    chosen = request.form.get("lang", "")
    if chosen in LANGUAGES:
        session["lang"] = chosen
        found = visit()
        if found is not None and found.actor.id is not None:
            with writing() as changed:
                users.set_language(changed, found.actor.id, chosen)
    return done(own_path(request.form.get("next")))


@blueprint.get("/confirm")
@needs(Right.READ)
def confirm() -> Response:
    """Ask for the password again (33)."""
    return page("login/confirm.html", form=ConfirmForm(data={"next": own_path(request.args.get("next"))}))


@blueprint.post("/confirm")
@needs(Right.READ)
def confirm_now() -> Response:
    """Take the password again; throttled as a login is."""
    typed, found = ConfirmForm(), visit()
    assert found is not None
    if not typed.accepted():
        return page("login/confirm.html", status=422, form=typed)
    try:
        admission = _admit(found.login)
        matches = passwords().matches(admission.password_hash, typed.password.data)
        with writing() as noted:
            right = logins.confirm(noted, admission, matches, found.id_hash)
        if not right:
            raise BadInput(N_("The password is wrong."), field="password")
    except Refusal as refusal:
        return page("login/confirm.html", status=typed.refuse(refusal), form=typed)
    return done(own_path(typed.next.data))


@blueprint.route("/set-up/<token>", methods=["GET", "POST"])
@open_to_all
def set_up(token: str) -> Response:
    """Make the first administrator, with the token the first start prints (30)."""
    typed = SetUpForm()
    with reading() as looked:
        users.check_set_up_token(looked, token, secret_key())
        words = forbidden_words(looked, typed.login.data or "", typed.name.data or "")
    if request.method == "GET":
        return page("login/set_up.html", form=typed, token=token)
    if not typed.accepted():
        return page("login/set_up.html", status=422, form=typed, token=token)
    try:
        hashed = passwords().hash(check(typed.password.data, words))
        with writing() as made:
            users.set_up(made, token, secret_key(), login=typed.login.data, name=typed.name.data, password_hash=hashed)
    except Refusal as refusal:
        return page("login/set_up.html", status=typed.refuse(refusal), form=typed, token=token)
    return done(url_for("login.form"), ("success", _("The first administrator has been made. Log in.")))


@blueprint.route("/choose-password/<token>", methods=["GET", "POST"])
@open_to_all
def choose(token: str) -> Response:
    """Let a user choose a password through a link that works once (31)."""
    typed = ChooseForm()
    with reading() as looked:
        user = users.invited(looked, token, secret_key())
        words = forbidden_words(looked, user.login, user.name)
    if request.method == "GET":
        return page("login/choose.html", form=typed, login=user.login, token=token)
    if not typed.accepted():
        return page("login/choose.html", status=422, form=typed, login=user.login, token=token)
    try:
        hashed = passwords().hash(check(typed.password.data, words))
        with writing() as changed:
            users.choose_password(changed, token, secret_key(), hashed)
    except Refusal as refusal:
        return page("login/choose.html", status=typed.refuse(refusal), form=typed, login=user.login, token=token)
    return done(url_for("login.form"), ("success", _("Your password is set. Log in.")))
