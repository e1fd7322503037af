"""Settings, e-mail: which server Kvitta hands its mail to, its password, and a letter to try it with."""

from __future__ import annotations

import secrets
from typing import cast

from flask import Blueprint, current_app, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import mail_settings, outbox, postman
from services.mail import PLAIN, STARTTLS, TLS, Letter
from services.mail_settings import Facts
from services.postman import Postman
from web import (
    ChoiceField,
    EmailField,
    Form,
    LineField,
    PasswordField,
    WholeField,
    actor,
    done,
    needs,
)
from web_settings import settings_page
from web_words import gettext as _

blueprint = Blueprint("mail_settings", __name__)


class ServerForm(Form):
    """The mail server."""

    host = LineField(lazy("Mail server"), most=253)
    port = WholeField(lazy("Port"), least=1, most=65_535)
    security = ChoiceField(
        lazy("Encryption"),
        choices=[
            (STARTTLS, lazy("STARTTLS, usually port 587")),
            (TLS, lazy("TLS, usually port 465")),
            (PLAIN, lazy("None, for a server on this machine or network")),
        ],
    )
    username = LineField(lazy("User name"), required=False, most=200)
    password = PasswordField(lazy("Password"), required=False)
    sender = EmailField(lazy("Sender's address"))
    sender_name = LineField(lazy("Sender's name"), most=200)


class TryForm(Form):
    """Where the letter to try with goes."""

    to = EmailField(lazy("Send it to"))


def _postman() -> Postman:
    return cast(Postman, current_app.extensions["postman"])


def _page(form: ServerForm | None = None, tried: TryForm | None = None, status: int = 200) -> Response:
    with reading() as looked:
        kept, password = mail_settings.facts(looked), mail_settings.has_password(looked)
    if form is None:
        form = ServerForm(formdata=None, data={name: getattr(kept, name) for name in mail_settings.NAMES})
    return settings_page(
        "settings/mail.html",
        url_for("mail_settings.index"),
        status=status,
        form=form,
        tried=tried or TryForm(formdata=None, prefix="try-"),
        password_kept=password,
        ready=bool(kept.host),
    )


@blueprint.get("/settings/mail")
@needs(Right.ADMINISTER, confirmed=True)
def index() -> Response:
    """The mail server as it is set up."""
    return _page()


@blueprint.post("/settings/mail")
@needs(Right.ADMINISTER, confirmed=True)
def save() -> Response:
    """Use another server, or other words; what waits in the outbox is tried with it at once."""
    form = ServerForm()
    if not form.accepted():
        return _page(form, status=422)
    wanted = Facts(**{name: getattr(form, name).data for name in mail_settings.NAMES})
    try:
        with writing() as changed:
            mail_settings.save(changed, actor(), _postman().key, wanted, form.password.data)
            outbox.wake_all(changed)
    except Refusal as refusal:
        return _page(form, status=form.refuse(refusal))
    return done(
        url_for("mail_settings.index"), ("success", _("The mail server is saved. Send a test letter to try it."))
    )


@blueprint.post("/settings/mail/try")
@needs(Right.ADMINISTER, confirmed=True)
def attempt() -> Response:
    """«Skicka ett provbrev»: hand over one letter now and say what the server said."""
    form = TryForm(prefix="try-")
    if not form.accepted():
        return _page(tried=form, status=422)
    letter = Letter(
        subject=_("Test letter from Kvitta"),
        text=_("This letter was sent to try the mail server. If you can read it, e-mail from Kvitta works.") + "\n",
    )
    try:
        postman.try_out(_postman(), form.to.data, letter, f"<{secrets.token_hex(16)}@kvitta.invalid>")
    except Refusal as refusal:
        return _page(tried=form, status=form.refuse(refusal))
    return done(
        url_for("mail_settings.index"),
        ("success", _("The mail server has taken the letter to %(to)s. Look whether it arrives.", to=form.to.data)),
    )
