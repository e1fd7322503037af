"""The lists of invoices and credit notes as pages and files (B10-B12): what the address says, and what the template shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flask import request, url_for
from werkzeug.wrappers import Response

import web_lists
from db import reading
from errors import N_, BadInput
from services import document_list, document_payment
from services.document_list import FIELDS, SIZES, SORTS, TYPES, VIEWS, Filters
from states import DocKind, DocType
from web import gettext, label, page, query_choice, query_days, query_text, say
from web_documents import WORDS, sheet

VIEW_NAMES = {
    "open": N_("Unpaid and partly paid"),
    "all": N_("All"),
    "paid": N_("Paid"),
    "overpaid": N_("Overpayments"),
    "waiting": N_("Waiting for Klarna"),
    "refused": N_("Refused"),
    "drafts": N_("Drafts"),
    "approval": N_("Awaiting approval"),
    "without": N_("Credited without Klarna"),
}
FIELD_NAMES = {
    "number": N_("Invoice no"),
    "order": N_("Order no"),
    "ocr": N_("OCR no"),
    "customer": N_("Customer no"),
    "reference": N_("Payment reference"),
    "external": N_("External invoice no"),
}
"""The fields of B12."""
LONGEST = 64
UPWARDS = frozenset({"customer", "type", "method"})


def _typed() -> dict[str, str]:
    """The texts of the search as they were typed."""
    texts = {name: query_text(name, LONGEST) for name in FIELDS}
    return {name: text for name, text in texts.items() if text}


def _filters(kind: DocKind | None, days: tuple[Any, Any]) -> Filters:
    fields = tuple(_typed().items())
    type_ = query_choice("type", [each.value for each in TYPES[kind]], "")
    narrowed = Filters(
        kind, "all", query_text("q"), days[0], days[1], fields=fields, type=DocType(type_) if type_ else None
    )
    sort, descending = web_lists.sort_of(SORTS, _standard_sort(narrowed))
    view = query_choice("view", VIEWS[kind], document_list.default_view(kind, narrowed.narrowed))
    return replace(narrowed, view=view, sort=sort, descending=descending)


def _standard_sort(filters: Filters) -> str:
    """The newest first: by number, and within a range of days by day."""
    return "-date" if filters.starts or filters.ends else "-number"


def filters_of(kind: DocKind | None) -> Filters:
    """What the address asks of a list. Raises BadInput for a day that cannot be read."""
    return _filters(kind, query_days("from", "to"))


def _address(endpoint: str, filters: Filters, size: int) -> web_lists.Address:
    given = {
        "view": filters.view,
        **dict(filters.fields),
        "q": filters.search,
        "type": filters.type.value if filters.type else None,
        "from": filters.starts,
        "to": filters.ends,
        "sort": f"{'-' if filters.descending else ''}{filters.sort}",
        "rows": size,
    }
    standard = {
        "view": document_list.default_view(filters.kind, filters.narrowed),
        "sort": _standard_sort(filters),
        "rows": SIZES[0],
    }
    return web_lists.address(endpoint, given, standard)


def list_answer(endpoint: str, template: str, kind: DocKind | None) -> Response:
    """A page of the list; filter, search, sorting and page are in the address. A day that cannot be read is told beside it."""
    wrong: BadInput | None = None
    try:
        filters = filters_of(kind)
    except BadInput as no:
        wrong, filters = no, _filters(kind, (None, None))
    size = web_lists.size_of(SIZES)
    with reading() as looked:
        shown = document_list.listing(looked, filters, request.args.get("after"), size)
        counts = document_list.counts(looked, filters)
        whole = document_list.is_whole(looked, filters)
        overpaid = [row.id for row in shown.rows if row.paid == "over"]
        offset = document_payment.offset_sums(looked, overpaid) if overpaid else {}
    here = _address(endpoint, filters, size)
    return page(
        f"{template}/index.html",
        panel="documents/_table.html",
        status=422 if wrong else 200,
        filters=filters,
        room=template,
        rows=() if wrong else shown.rows,
        credits=offset,
        views=web_lists.choices(here, VIEWS[kind], VIEW_NAMES, filters.view, counts),
        narrowed=filters.narrowed or wrong is not None,
        fields=_fields(kind),
        types=[{"value": each.value, "label": label(each)} for each in TYPES[kind]],
        more=bool(filters.search or filters.type),
        days={name: query_text(name, 20) for name in ("from", "to")},
        wrong={wrong.field: say(wrong)} if wrong else {},
        whole=whole,
        list_url=here.path,
        heads=web_lists.heads(here, SORTS, filters.sort, filters.descending, UPWARDS),
        newer=here.to(after=shown.newer) if shown.newer and not wrong else None,
        older=here.to(after=shown.older) if shown.older and not wrong else None,
        sizes=web_lists.sizes_of(here, SIZES, size),
        file_url=web_lists.Address(url_for(f"{endpoint.partition('.')[0]}.export"), here.given, {}).to(rows=None),
        **WORDS,
    )


def _fields(kind: DocKind | None) -> list[dict[str, str]]:
    typed = _typed()
    names = FIELD_NAMES if kind is None else {**FIELD_NAMES, "number": N_("Credit note no")}
    return [{"name": name, "label": gettext(names[name]), "value": typed.get(name, "")} for name in FIELDS]


def list_file(
    name: str, heads: Sequence[str], kind: DocKind | None, told: Callable[[document_list.Row], list[str]]
) -> Response:
    """The list as a file: what its filters show, and a word where there is more than it holds."""
    with reading() as looked:
        rows, whole = document_list.export(looked, filters_of(kind))
        note = gettext(N_("Only the first %(most)s rows are in the file.")) % {"most": document_list.EXPORT_CAP}
        return sheet(name, heads, map(told, rows), "" if whole else note)
