"""Papers drawn outside the browser: the HTML of sheets in a language, the PDF of an issued document, the words of its letter.

Services know no templates and the worker answers no request, so this is where both meet (ADR 0012). Drawing needs an app,
and makes itself a request to stand in where there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from flask import Flask, current_app, has_request_context, make_response, render_template
from werkzeug.wrappers import Response

from db import reading
from rights import SYSTEM
from services import document_page, printing
from services.mail import Letter
from states import DocKind
from web_documents import WORDS
from web_words import day, gettext, in_language, money, percent, quantity

DRAWN_FROM = ("templates/documents/*.html", "templates/papers/*.html", "static/print.css", "static/pdf.css")
FILE_NAMES = {
    (DocKind.INVOICE, "sv"): "faktura",
    (DocKind.CREDIT_NOTE, "sv"): "kreditfaktura",
    (DocKind.INVOICE, "en"): "invoice",
    (DocKind.CREDIT_NOTE, "en"): "credit-note",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One paper: the template that draws it and what it is drawn from."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)


def document_sheet(document: document_page.DocumentPage, *, copy: bool) -> Sheet:
    """An invoice or a credit note on paper; ``copy`` marks it «Kopia» (B23)."""
    return Sheet("documents/_sheet.html", {"document": document, "copy": copy})


WAIT_SECONDS = 3
"""How long somebody at a page waits for other papers; the print page is there at once."""


def _patience() -> int:
    """How long to wait for one's turn: what is drawn for a mail has all night."""
    return WAIT_SECONDS if has_request_context() else printing.FOR_EVER


class Papers:
    """Draws the papers of one app."""

    def __init__(self, app: Flask, data_dir: Path) -> None:
        self._app = app
        self.printer = printing.Printer(Path(app.static_folder or ""), data_dir)

    @contextmanager
    def _drawing(self, language: str) -> Iterator[None]:
        """A request to draw in, in a language."""
        if has_request_context():
            with in_language(language):
                yield
        else:
            with self._app.test_request_context(), in_language(language):
                yield

    @cached_property
    def made_by(self) -> str:
        """What every kept file was drawn with: the templates, the words and the renderer."""
        house = Path(self._app.root_path)
        files = [file for pattern in DRAWN_FROM for file in sorted(house.glob(pattern))]
        files += sorted(house.glob("translations/*/LC_MESSAGES/messages.mo"))
        whole = b"".join(file.read_bytes() for file in files)
        return f"{hashlib.sha256(whole).hexdigest()} {printing.version()}"

    def html(self, sheets: Sequence[Sheet], language: str, title: str) -> str:
        """Sheets as one page, each on a paper of its own."""
        with self._drawing(language):
            return render_template("papers/print.html", lang=language, sheets=sheets, title=title, **WORDS)

    def pdf(self, sheets: Sequence[Sheet], language: str, title: str) -> bytes:
        """Sheets as a PDF that is not kept. Raises Refusal where none can be made."""
        return self.printer.draw(self.html(sheets, language, title), _patience())

    def document(self, document_id: int, language: str, *, copy: bool) -> tuple[printing.Stamp, bytes]:
        """An issued document as PDF, drawn at most once per language. Raises NotFound, Refusal."""
        with reading() as looked:
            stamp = printing.stamp(looked, document_id)

        def draw() -> str:
            with reading() as looked:
                page = document_page.overview(looked, SYSTEM, document_id)
            with self._drawing(language):
                title = document_title(stamp.kind, stamp.number)
            return self.html([document_sheet(page, copy=copy)], language, title)

        mark = f"{self.made_by}\n{language}\n{copy}\n{stamp.mark}"
        return stamp, self.printer.kept(f"document-{document_id}", mark, draw, _patience())

    def letter(self, document_id: int, language: str, *, copy: bool) -> Letter:
        """The mail that carries a document: its words, and the PDF where one can be made. Raises NotFound, Refusal."""
        with reading() as looked:
            page = document_page.overview(looked, SYSTEM, document_id)
        name, content = "", None
        if printing.missing() is None:
            stamp, content = self.document(document_id, language, copy=copy)
            name = file_name(stamp.kind, stamp.number, language, copy=copy)
        with self._drawing(language):
            company = page.snapshot.get("company", {})
            subject = gettext(
                "%(document)s from %(company)s",
                document=document_title(page.kind, page.number),
                company=company.get("name", ""),
            )
            text = letter_text(page, attached=content is not None)
        return Letter(subject=subject, text=text, file_name=name, content=content)


def letter_text(document: document_page.DocumentPage, *, attached: bool) -> str:
    """What the mail says; where no file goes along it holds the whole document. In the language that is spoken (F19)."""
    frozen = document.snapshot
    company = frozen.get("company", {})
    told = {
        "document": document_title(document.kind, document.number),
        "amount": money(document.gross_minor, document.currency),
    }
    credit = document.kind is DocKind.CREDIT_NOTE
    parts = [gettext("Hello,")]
    if attached:
        parts.append(gettext("%(document)s of %(amount)s is attached.", **told))
    else:
        parts.append(gettext("%(document)s of %(amount)s:", **told))
        parts.append(_rows_in_words(document))
    if credit and document.paid_by_klarna:
        parts.append(gettext("What is to be repaid goes through Klarna."))
    elif document.paid_by_klarna:
        parts.append(gettext("Paid through Klarna – not to be paid to us"))
    elif not credit:
        parts.append(_how_to_pay(document))
    if company.get("email"):
        parts.append(gettext("Questions? Write to %(address)s.", address=company["email"]))
    closing = [company.get(name, "") for name in ("name", "street", "phone")]
    registered = company.get("organisation_number", "")
    closing.append(gettext("Organisation number") + " " + registered if registered else "")
    parts.append(gettext("Kind regards") + "\n" + "\n".join(filter(None, closing)))
    return "\n\n".join(filter(None, parts)) + "\n"


def _rows_in_words(document: document_page.DocumentPage) -> str:
    lines = [f"{gettext('Date')}: {day(document.issue_date)}"]
    if document.original is not None:
        lines.append(gettext("Refers to invoice") + f" {document.original.number}")
    lines += [
        f"{quantity(line.quantity_milli)} {line.unit} {line.name}: {money(line.gross_minor, document.currency)}"
        for line in document.lines
    ]
    lines += [
        gettext("VAT") + f" {percent(each.rate)}: {money(each.vat_minor, document.currency)}" for each in document.vat
    ]
    total = gettext("Total including VAT")
    return "\n".join([*lines, f"{total}: {money(document.gross_minor, document.currency)}"])


def _how_to_pay(document: document_page.DocumentPage) -> str:
    if document.gross_minor < 0:
        return gettext("To your credit") + f": {money(-document.gross_minor, document.currency)}"
    frozen = document.snapshot
    bankgiro = frozen.get("company", {}).get("bankgiro")
    lines = [gettext("To pay") + f": {money(document.gross_minor, document.currency)}"]
    if bankgiro:
        lines.append(gettext("Bankgiro") + f": {bankgiro}")
        lines.append(gettext("OCR number") + f": {frozen.get('ocr') or document.number}")
    if frozen.get("due_date"):
        lines.append(gettext("To be paid by") + f": {frozen['due_date']}")
    return "\n".join(lines)


def papers() -> Papers:
    """The papers of this app."""
    return cast(Papers, current_app.extensions["papers"])


def document_title(kind: DocKind, number: str) -> str:
    """«Faktura 42580» in the language that is spoken."""
    if kind is DocKind.CREDIT_NOTE:
        return gettext("Credit note %(number)s", number=number)
    return gettext("Invoice %(number)s", number=number)


def file_name(kind: DocKind, number: str, language: str, *, copy: bool) -> str:
    """What the file is called: its kind and number, and nothing about a person (security 11, 60)."""
    mark = {"sv": "-kopia", "en": "-copy"}[language] if copy else ""
    return f"{FILE_NAMES[kind, language]}-{number}{mark}.pdf"


def pdf_answer(name: str, content: bytes) -> Response:
    """A PDF to save: attached, of one fixed type, under a safe name (security 11)."""
    answer = make_response(content)
    answer.headers["Content-Type"] = "application/pdf"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
