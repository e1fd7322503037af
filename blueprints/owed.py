"""Completeness in both directions: what Klarna owes us against the ledger, and the whole of each list with its age (B9)."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, request, url_for
from werkzeug.wrappers import Response

import web_settlement_files
from db import reading
from rights import Right
from services import owed_lists
from web import fragment, is_htmx, needs, page, query_choice, query_text, query_whole
from web_documents import document_url
from web_reports import file_address, wants_file
from web_words import gettext as _

blueprint = Blueprint("owed", __name__)


def _mark() -> tuple[str, int] | None:
    """Where the page begins; None for the first, and for what is no mark."""
    key, day = query_whole("after", 0), query_text("day", 10)
    try:
        return (date.fromisoformat(day).isoformat() if day else "", key) if key else None
    except ValueError:
        return None


@blueprint.get("/settlements/owed")
@needs(Right.READ)
def index() -> Response:
    """The figures, and one of the lists; with ``ledger=1`` the balance they are held against, for htmx that row alone."""
    name = query_choice("list", list(owed_lists.NAMES), "unpaid")
    late = request.args.get("late") == "1"
    with_ledger = request.args.get("ledger") == "1"
    if with_ledger and is_htmx():
        with reading() as looked:
            return fragment("owed/_ledger.html", figures=owed_lists.reconciled(looked))
    if wants_file():
        with reading() as looked:
            return web_settlement_files.owed(looked, name, late=late)
    mark = _mark()
    if mark is not None and name in ("unpaid", "notes") and not mark[0]:
        mark = None
    with reading() as looked:
        figures = owed_lists.reconciled(looked, with_ledger=with_ledger)
        beside = owed_lists.beside(looked)
        shown = owed_lists.listed(looked, name, late=late, after=mark)
    older = None
    if shown.older is not None:
        older = url_for(
            "owed.index", list=name, late=1 if late else None, day=shown.older[0] or None, after=shown.older[1]
        )
    return page(
        "owed/index.html",
        figures=figures,
        beside=beside,
        name=name,
        title=_(owed_lists.NAMES[name]),
        late=late,
        rows=shown.rows,
        older=older,
        tabs=[
            {"label": _(text), "url": url_for("owed.index", list=each), "active": each == name}
            for each, text in owed_lists.NAMES.items()
        ],
        document_url=document_url,
        file_url=file_address("owed.index", list=name, late=1 if late else None),
    )
