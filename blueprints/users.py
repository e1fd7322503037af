"""Users and their roles, for administrators; one's own sessions and password, for everybody."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import N_, BadInput, Refusal
from rights import Right
from services import logins, users
from services.passwords import check, forbidden_words
from states import Role
from web import Form, LineField, PasswordField, actor, done, flash_refusal, label, needs, page, passwords, secret_key
from web_access import end_visit, visit
from web_words import gettext as _

blueprint = Blueprint("users", __name__)

ROLES = (Role.VIEWER, Role.CLERK, Role.FINANCE, Role.ADMIN)


class UserForm(Form):
    """A new user; the roles are boxes beside it."""

    login = LineField(lazy("Login"), most=100)
    name = LineField(lazy("Name"), most=100)


class PasswordForm(Form):
    """A new password."""

    password = PasswordField(lazy("New password"))


def _ticked() -> frozenset[Role]:
    """The roles that are ticked. Raises BadInput for one that is not in the list, or for none (catalogue row 32)."""
    typed = request.form.getlist("role")
    if not typed:
        raise BadInput(N_("Choose at least one role."))
    if any(text not in set(ROLES) for text in typed):
        raise BadInput(N_("Choose one of the values in the list."))
    return frozenset(Role(text) for text in typed)


def _boxes(ticked: frozenset[Role] | set[Role]) -> list[dict[str, Any]]:
    return [{"value": role.value, "label": label(role), "ticked": role in ticked} for role in ROLES]


@blueprint.get("/users")
@needs(Right.ADMINISTER, confirmed=True)
def index() -> Response:
    """All users."""
    with reading() as looked:
        people = users.listing(looked)
    return page("users/index.html", people=people)


@blueprint.route("/users/new", methods=["GET", "POST"])
@needs(Right.ADMINISTER, confirmed=True)
def new() -> Response:
    """Add a user, who chooses a password through a link."""
    typed = UserForm()
    if request.method == "GET":
        return page("users/new.html", form=typed, boxes=_boxes({Role.CLERK}))
    ticked = frozenset(role for role in ROLES if role.value in request.form.getlist("role"))
    if not typed.accepted():
        return page("users/new.html", status=422, form=typed, boxes=_boxes(ticked))
    try:
        with writing() as made:
            user = users.create(made, actor(), login=typed.login.data, name=typed.name.data, roles=_ticked())
    except Refusal as refusal:
        return page("users/new.html", status=typed.refuse(refusal), form=typed, boxes=_boxes(ticked))
    return done(url_for("users.show", user_id=user.id), ("success", _("The user has been added.")))


def _shown(user_id: int, status: int = 200) -> Response:
    with reading() as looked:
        person = users.get(looked, user_id)
        live = logins.sessions(looked, user_id)
        token = users.invitation(looked, user_id, secret_key())
    link = url_for("login.choose", token=token, _external=True) if token else None
    boxes = _boxes(person.roles)
    return page(
        "users/show.html", status=status, person=person, live=live, link=link, boxes=boxes, this_session=_this_session()
    )


def _this_session() -> str:
    found = visit()
    return found.id_hash if found else ""


@blueprint.get("/users/<int:user_id>")
@needs(Right.ADMINISTER, confirmed=True)
def show(user_id: int) -> Response:
    """One user: roles, sessions, and the link to choose a password while there is none."""
    return _shown(user_id)


@blueprint.post("/users/<int:user_id>/roles")
@needs(Right.ADMINISTER, confirmed=True)
def roles(user_id: int) -> Response:
    """Change what a user may do; ends the user's sessions (22)."""
    try:
        with writing() as changed:
            users.change_roles(changed, actor(), user_id, _ticked())
    except (BadInput, users.NoAdministrator) as refusal:
        flash_refusal(refusal)
        return _shown(user_id, refusal.status)
    return done(
        url_for("users.show", user_id=user_id), ("success", _("The roles are changed. The user has to log in again."))
    )


@blueprint.post("/users/<int:user_id>/active")
@needs(Right.ADMINISTER, confirmed=True)
def active(user_id: int) -> Response:
    """Disable a user, or let one in again."""
    wanted = request.form.get("active") == "1"
    try:
        with writing() as changed:
            users.set_active(changed, actor(), user_id, wanted)
    except users.NoAdministrator as refusal:
        flash_refusal(refusal)
        return _shown(user_id, refusal.status)
    said = _("The user may log in again.") if wanted else _("The user is disabled and logged out everywhere.")
    return done(url_for("users.show", user_id=user_id), ("success", said))


@blueprint.post("/users/<int:user_id>/invite")
@needs(Right.ADMINISTER, confirmed=True)
def invite(user_id: int) -> Response:
    """Take the password away and show a link to choose a new one (31)."""
    with writing() as changed:
        users.invite_again(changed, actor(), user_id)
    return done(
        url_for("users.show", user_id=user_id),
        ("success", _("The old password no longer works. Give the user the link.")),
    )


@blueprint.get("/me")
@needs(Right.READ)
def mine() -> Response:
    """My sessions and my password."""
    return _mine(PasswordForm())


def _mine(typed: PasswordForm, status: int = 200) -> Response:
    with reading() as looked:
        live = logins.sessions(looked, actor().id or 0)
    return page("users/mine.html", status=status, form=typed, live=live, this_session=_this_session())


@blueprint.post("/me/password")
@needs(Right.READ, confirmed=True)
def password() -> Response:
    """Change one's own password; ends all one's sessions, this one too (22)."""
    typed, found = PasswordForm(), visit()
    assert found is not None
    assert found.actor.id is not None
    if not typed.accepted():
        return _mine(typed, 422)
    try:
        with reading() as looked:
            before = users.password_of(looked, found.actor.id)
            words = forbidden_words(looked, found.login, found.actor.name)
        hashed = passwords().hash(check(typed.password.data, words))
        with writing() as changed:
            users.set_password(changed, found.actor, found.actor.id, hashed, instead_of=before)
    except Refusal as refusal:
        return _mine(typed, typed.refuse(refusal))
    end_visit()
    return done(url_for("login.form"), ("success", _("Your password is changed. Log in with the new one.")))


@blueprint.post("/sessions/end")
@needs(Right.READ)
def end() -> Response:
    """End a session somewhere else; one's own, or for an administrator anyone's (23)."""
    with writing() as ended:
        owner = logins.end_session(ended, actor(), request.form.get("session", ""))
    back = url_for("users.mine") if owner == actor().id else url_for("users.show", user_id=owner)
    return done(back, ("success", _("The session is ended.")))
