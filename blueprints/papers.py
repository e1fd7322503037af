"""Papers: order confirmation, pick list and delivery note, PDF files, and many papers as one print page (B23, B26).

A print page is drawn from the database as it is now; an invoice or a credit note from its frozen copy. Looking changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, request, url_for
from werkzeug.wrappers import Response

import clock
from db import reading
from errors import N_, NotFound, Refusal
from rights import Right
from services import document_page, papers, preferences, workplace
from states import DocState
from web import actor, needs, page, query_choice, query_text, query_whole, say
from web_documents import WORDS
from web_papers import Sheet, document_sheet, file_name, pdf_answer
from web_papers import papers as drawn
from web_words import gettext as _
from web_words import spoken

blueprint = Blueprint("papers", __name__)

NAMES = {
    "confirmation": ({"sv": "orderbekraftelse", "en": "order-confirmation"}, N_("Order confirmation")),
    "pick_list": ({"sv": "plocklista", "en": "pick-list"}, N_("Pick list")),
    "delivery_note": ({"sv": "foljesedel", "en": "delivery-note"}, N_("Delivery note")),
}
BATCHES = ("documents", "confirmations", "pick_lists", "delivery_notes")


# --- One sheet each --------------------------------------------------------------------------------------------------------


def _confirmation(order_id: int) -> Sheet:
    with reading() as looked:
        order = papers.confirmation(looked, order_id)
        suggested = "1" if preferences.of(looked, actor().id).show_rest else "0"
    rest = query_choice("rest", ("0", "1"), suggested) == "1"
    return Sheet("papers/_confirmation.html", {"paper": {"confirmation": order, "rest": rest}})


def _pick_list(order_id: int, of_order: int | None = None) -> Sheet:
    """The pick list of the warehouse the address says, else where ``of_order`` left from last or the person works."""
    warehouse = query_whole("warehouse", 0) or None
    with reading() as looked:
        found = papers.pick_list(looked, order_id, warehouse or workplace.suggested(looked, actor(), of_order))
    stop = say(found.stop) if found.stop else None
    return Sheet("papers/_pick_list.html", {"paper": {"pick_list": found, "stop": stop, "now": clock.now()}})


def _delivery_note(order_id: int, ordinal: int) -> Sheet:
    with reading() as looked:
        note = papers.delivery_note(looked, order_id, ordinal)
    return Sheet("papers/_delivery_note.html", {"paper": {"delivery_note": note}})


def _shown(kind: str, sheet: Sheet, order_id: int, number: str, links: Iterable[dict[str, Any]]) -> Response:
    """A paper on the screen, or as a file where the address asks for one."""
    names, title = NAMES[kind]
    title = f"{_(title)} {number}"
    if request.path.endswith("/pdf"):
        language = spoken().code
        return pdf_answer(f"{names[language]}-{number}.pdf", drawn().pdf([sheet], language, title))
    return page(
        "papers/print.html",
        sheets=[sheet],
        title=title,
        back=url_for("orders.show", order_id=order_id),
        links=[*links, *_file(request.path + "/pdf")],
        **WORDS,
    )


def _file(address: str) -> list[dict[str, str]]:
    """The link to the paper as a file, with the same choices; none where no file can be made."""
    asked = request.query_string.decode("ascii", "ignore")
    if WORDS["no_pdf"]():
        return []
    return [{"label": _("PDF"), "url": f"{address}?{asked}" if asked else address}]


@blueprint.get("/orders/<int:order_id>/confirmation")
@blueprint.get("/orders/<int:order_id>/confirmation/pdf", endpoint="confirmation_pdf")
@needs(Right.READ)
def confirmation(order_id: int) -> Response:
    """«Orderbekräftelse»; what remains of the order is shown where a person has chosen that, and can be turned off (B22)."""
    sheet = _confirmation(order_id)
    paper = sheet.values["paper"]
    turned = url_for("papers.confirmation", order_id=order_id, rest="0" if paper["rest"] else "1")
    said = _("Hide the remaining order amount") if paper["rest"] else _("Show the remaining order amount")
    number = str(paper["confirmation"].head.order_number)
    return _shown("confirmation", sheet, order_id, number, [{"label": said, "url": turned}])


@blueprint.get("/orders/<int:order_id>/pick-list")
@blueprint.get("/orders/<int:order_id>/pick-list/pdf", endpoint="pick_list_pdf")
@needs(Right.READ)
def pick_list(order_id: int) -> Response:
    """«Plocklista» of one warehouse, with what lies there and what is on back order."""
    sheet = _pick_list(order_id, order_id)
    found: papers.PickList = sheet.values["paper"]["pick_list"]
    links = _warehouses(found, "papers.pick_list", order_id=order_id)
    return _shown("pick_list", sheet, order_id, str(found.head.order_number), links)


def _warehouses(found: papers.PickList, endpoint: str, **values: Any) -> list[dict[str, Any]]:
    """The links to the same paper of each warehouse; none where there is one."""
    return [
        {
            "label": name,
            "url": url_for(endpoint, **values, warehouse=place),
            "active": place == found.warehouse_id,
        }
        for place, name in found.warehouses
        if len(found.warehouses) > 1
    ]


@blueprint.get("/orders/<int:order_id>/deliveries/<int:ordinal>/note")
@blueprint.get("/orders/<int:order_id>/deliveries/<int:ordinal>/note/pdf", endpoint="delivery_note_pdf")
@needs(Right.READ)
def delivery_note(order_id: int, ordinal: int) -> Response:
    """«Följesedel» of one delivery, without prices."""
    sheet = _delivery_note(order_id, ordinal)
    number = f"{sheet.values['paper']['delivery_note'].head.order_number}-{ordinal}"
    return _shown("delivery_note", sheet, order_id, number, [])


# --- Documents and batches -------------------------------------------------------------------------------------------------


@blueprint.get("/documents/<int:document_id>/pdf")
@needs(Right.READ)
def document_pdf(document_id: int) -> Response:
    """An issued invoice or credit note as a file; with ``?copy=1`` marked «Kopia», which is where pages lead (B23)."""
    copy, language = request.args.get("copy") == "1", spoken().code
    stamp, content = drawn().document(document_id, language, copy=copy)
    return pdf_answer(file_name(stamp.kind, stamp.number, language, copy=copy), content)


def _document(document_id: int) -> Sheet:
    with reading() as looked:
        document = document_page.overview(looked, actor(), document_id)
    if document.state is not DocState.ISSUED:
        raise Refusal(N_("Document %(number)s has not been issued and is left out."), number=document.number)
    return document_sheet(document, copy=request.args.get("copy") == "1")


def _note_of(delivery_id: int) -> Sheet:
    with reading() as looked:
        order_id, ordinal = papers.place_of_delivery(looked, delivery_id)
    return _delivery_note(order_id, ordinal)


DRAW: dict[str, Callable[[int], Sheet]] = {
    "documents": _document,
    "confirmations": _confirmation,
    "pick_lists": _pick_list,
    "delivery_notes": _note_of,
}


@blueprint.get("/print")
@needs(Right.READ)
def batch() -> Response:
    """Many papers as one page, each on a sheet of its own: ``?what=documents&ids=1,2,3``, or ``selected`` per paper as the
    lists tick them. What cannot be printed is told."""
    what = query_choice("what", BATCHES, BATCHES[0])
    sheets: list[Sheet] = []
    notes: list[str] = []
    ids = papers.read_ids(",".join([query_text("ids", 4_000), *request.args.getlist("selected")]))
    for each in ids:
        try:
            sheets.append(DRAW[what](each))
        except NotFound:
            notes.append(_("One of what was chosen is not there any more."))
        except Refusal as no:
            notes.append(say(no))
    if not sheets:
        raise Refusal(N_("Nothing of what was chosen can be printed."))
    back = url_for("invoices.index" if what == "documents" else "orders.index")
    title = _("%(count)s papers", count=len(sheets))
    links: list[dict[str, Any]] = []
    if what == "pick_lists":
        asked = {"what": what, "ids": ",".join(map(str, ids))}
        links = _warehouses(sheets[0].values["paper"]["pick_list"], "papers.batch", **asked)
    return page("papers/print.html", sheets=sheets, title=title, back=back, notes=notes, links=links, **WORDS)
