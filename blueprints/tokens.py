"""Keys to the JSON interface, for administrators: made, shown once, revoked; when each was last used (security 33, 53)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading, writing
from errors import Refusal
from rights import Right
from services import api_tokens
from web import Form, LineField, actor, done, flash_refusal, needs, page, read_nonce
from web_words import gettext as _

blueprint = Blueprint("tokens", __name__)


class KeyForm(Form):
    """What a key is for."""

    name = LineField(lazy("What the key is for"), most=api_tokens.LONGEST_NAME)


def _shown(form: KeyForm, status: int = 200, **more: Any) -> Response:
    with reading() as looked:
        keys = api_tokens.listing(looked)
    return page("api_keys/index.html", status=status, form=form, keys=keys, **{"secret": "", **more})


@blueprint.get("/api-keys")
@needs(Right.ADMINISTER, confirmed=True)
def index() -> Response:
    """All keys, and a form for a new one."""
    return _shown(KeyForm())


@blueprint.post("/api-keys")
@needs(Right.ADMINISTER, confirmed=True)
def make() -> Response:
    """A new key: its secret stands on this answer and nowhere else."""
    nonce = read_nonce(api_tokens.ACTION, "new")
    form = KeyForm()
    if not form.accepted():
        return _shown(form, 422)
    try:
        with writing() as written:
            made, secret = api_tokens.make(written, actor(), nonce, form.name.data)
            name = made.name
    except Refusal as refusal:
        return _shown(form, form.refuse(refusal))
    if not secret:
        return done(
            url_for("tokens.index"),
            ("info", _("The key has been made, and was shown once. Make another if it is lost.")),
        )
    form.name.data, form.name.raw_data = "", None
    return _shown(form, secret=secret, name=name)


@blueprint.post("/api-keys/<int:token_id>/revoke")
@needs(Right.ADMINISTER, confirmed=True)
def revoke(token_id: int) -> Response:
    """Let a key open nothing from now on."""
    try:
        with writing() as written:
            found = api_tokens.revoke(written, actor(), token_id)
            name = found.name
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        flash_refusal(refusal)
        return _shown(KeyForm(), refusal.status)
    return done(url_for("tokens.index"), ("success", _("The key “%(name)s” opens nothing any more.", name=name)))
