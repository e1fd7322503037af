"""Files of orders: choose one, see what it would do and what is wrong with it row by row, read it in whole (B16)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask_babel import lazy_gettext as lazy
from werkzeug.wrappers import Response

from db import reading
from errors import Refusal
from rights import Right
from services import order_columns, order_uploads
from services.order_file import LARGEST
from services.order_uploads import Plan, ReadBefore
from web import Form, UploadField, actor, done, needs, page, say
from web_intake import tabs
from web_words import gettext as _

blueprint = Blueprint("order_files", __name__)

SHOWN = 50
REQUEST_SECONDS = 2.0
"""For so long a request makes orders by itself; what is left is the worker's."""


class FileForm(Form):
    """A file of orders."""

    file = UploadField(lazy("File of orders (CSV)"))


def _index(form: FileForm, status: int = 200, stands: int | None = None) -> Response:
    with reading() as looked:
        earlier = order_uploads.listing(looked)
    return page(
        "order_files/index.html",
        status=status,
        tabs=tabs("order_files.index"),
        form=form,
        earlier=earlier,
        stands=url_for("order_files.show", upload_id=stands) if stands else None,
        names=[" / ".join(names[:2]) for names in order_columns.NAMES.values()],
    )


@blueprint.get("/orders/files")
@needs(Right.WORK)
def index() -> Response:
    """Choose a file; the files that were read in before."""
    return _index(FileForm())


@blueprint.post("/orders/files")
@needs(Right.WORK, largest_body=LARGEST + 65_536)
def upload() -> Response:
    """Keep the file and go on to its preview; nothing becomes an order yet."""
    form = FileForm()
    sent = form.file.data
    if not form.accepted() or sent is None:
        return _index(form, 422)
    try:
        upload_id = order_uploads.receive(actor(), sent.read(), sent.filename or "")
    except ReadBefore as refusal:
        stands: Any = refusal.link[1]["upload_id"] if refusal.link else None
        return _index(form, form.refuse(refusal), stands)
    except Refusal as refusal:
        return _index(form, form.refuse(refusal))
    return done(url_for("order_files.show", upload_id=upload_id))


def _shown(upload_id: int, status: int = 200) -> Response:
    with reading() as looked:
        found = order_uploads.show(looked, upload_id)
        plan = order_uploads.plan(looked, upload_id) if found.taken_at is None else None
    return page(
        "order_files/show.html",
        panel="order_files/_progress.html" if found.taken_at else None,
        status=status,
        tabs=tabs("order_files.index"),
        upload=found,
        failed=[(number, say(why)) for number, why in found.failed],
        plan=plan,
        problems=_problems(plan) if plan else [],
        notices=[(row, say(each)) for row, each in plan.notices] if plan else [],
        shown=SHOWN,
    )


def _problems(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"row": each.row, "column": " / ".join(order_columns.NAMES.get(each.column, ("",))[:2]), "why": say(each.why)}
        for each in plan.problems
    ]


@blueprint.get("/orders/files/<int:upload_id>")
@needs(Right.WORK, polls=True)
def show(upload_id: int) -> Response:
    """The preview of a file; once it is being read in, how far it has come."""
    return _shown(upload_id)


@blueprint.post("/orders/files/<int:upload_id>/take")
@needs(Right.WORK)
def take(upload_id: int) -> Response:
    """«Läs in»: a small file at once, a large one in the background."""
    order_uploads.begin(actor(), upload_id, request.form.get("seen", ""))
    whole = order_uploads.go_on(upload_id, REQUEST_SECONDS)
    said = _("The file has been read in.") if whole else _("The file is being read in. You may leave the page.")
    return done(url_for("order_files.show", upload_id=upload_id), ("success" if whole else "info", said))
