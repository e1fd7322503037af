"""Papers as PDF files: what is in them, what may be fetched, how long they are kept, how we do without (fault 51, 71)."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pypdf
import pytest
from flask import Flask

import clock
from db import reading, writing
from errors import NotFound, Refusal
from models import Document
from rights import Actor
from services import drawing, mail_settings, outbox, postman, printing, reservations
from services.gateway import Gateway
from services.mail import PLAIN
from services.mail_settings import Facts
from states import DocType
from tests.builders import (
    COMPANY,
    a_captured_invoice,
    a_delivery,
    a_money_form,
    an_invoice,
    an_order,
    row,
    the_document,
)
from tests.conftest import CREDENTIALS_KEY
from tests.post_office import PostOffice
from web_papers import Papers

needs_pango = pytest.mark.skipif(printing.missing() is not None, reason=str(printing.missing()))
STATIC = Path(__file__).resolve().parent.parent / "static"


def read(content: bytes) -> str:
    """All text of a PDF, spaces drawn together."""
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


@pytest.fixture
def drawn(app: Flask) -> Papers:
    return app.extensions["papers"]


@pytest.fixture
def invoice(app: Flask, klarna: Gateway) -> Document:
    with writing() as session:
        order = an_order(session, lines=[row("Åkarp <b>7*7</b> {{ 7*7 }}", 49_900)])
        a_delivery(session, order)
    return an_invoice(klarna, order, kind=DocType.DELIVERY)


# --- What is in it -----------------------------------------------------------------------------------------------------------


@needs_pango
@pytest.mark.only_on("sqlite")
def test_an_invoice_is_drawn_in_its_language_as_a_file_to_be_kept(drawn: Papers, invoice: Document) -> None:
    stamp, content = drawn.document(invoice.id, "sv", copy=False)
    assert stamp.number == invoice.number_text
    file = pypdf.PdfReader(io.BytesIO(content))
    assert file.trailer["/Root"]["/Lang"] == "sv"
    assert file.metadata is not None
    assert file.metadata.title == f"Faktura {invoice.number_text} – Kvitta"
    assert re.search(r"pdfaid:part>3<|pdfaid:part=.3", _metadata(file))
    assert re.search(r"pdfaid:conformance>B<|pdfaid:conformance=.B", _metadata(file))
    fonts = [font for page in file.pages for font in page["/Resources"]["/Font"].values()]
    assert all(
        "/FontFile3" in each or "/FontFile2" in each for font in fonts for each in _descriptors(font.get_object())
    ), "a font is not in the file"
    text = read(content)
    assert "Åkarp <b>7*7</b> {{ 7*7 }}" in text, "what is typed is data, never markup and never a template (71)"
    assert "Provbolaget AB" in text
    assert "Faktura" in text
    assert "kopia" not in text.casefold()
    english = read(drawn.document(invoice.id, "en", copy=True)[1])
    assert "Copy" in english or "COPY" in english
    assert "Organisation number" in english


def _metadata(file: pypdf.PdfReader) -> str:
    found: str = file.trailer["/Root"]["/Metadata"].get_object().get_data().decode()
    return found


def _descriptors(font: pypdf.generic.DictionaryObject) -> list[pypdf.generic.DictionaryObject]:
    below = font.get("/DescendantFonts", [font])
    return [each.get_object()["/FontDescriptor"].get_object() for each in below]


@needs_pango
@pytest.mark.only_on("sqlite")
def test_klarnas_invoice_says_that_it_is_not_to_be_paid_to_us(drawn: Papers, klarna: Gateway, sandbox) -> None:
    """F19: and has nothing to pay it by."""
    sold = a_captured_invoice(klarna, sandbox)
    text = read(drawn.document(sold.id, "sv", copy=False)[1])
    assert "Betalas via Klarna – ska inte betalas till oss" in text
    for word in ("Bankgiro", "OCR", "Förfallo", "Betalas senast"):
        assert word not in text, word
    letter = drawn.letter(sold.id, "sv", copy=False)
    assert "Betalas via Klarna – ska inte betalas till oss" in letter.text
    for word in ("Bankgiro", "OCR", "Förfallo", "Att betala"):
        assert word not in letter.text, word


@needs_pango
@pytest.mark.only_on("sqlite")
def test_the_same_document_gives_the_same_bytes_in_another_process(drawn: Papers, invoice: Document) -> None:
    """Fault 51: a file that is lost is made again from the frozen copy, identical byte for byte."""
    html = drawn.html([], "sv", "Tom")
    here = drawn.printer.draw(html)
    code = (
        "import sys; from pathlib import Path; from services.printing import Printer;"
        f"sys.stdout.buffer.write(Printer(Path({str(STATIC)!r}), Path('/nowhere')).draw(sys.stdin.read()));"
        "assert 'weasyprint' not in sys.modules, 'drawn in the process that was asked'"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], input=html.encode(), capture_output=True, check=True, cwd=STATIC.parent
    ).stdout
    assert there == here
    before = drawn.document(invoice.id, "sv", copy=False)[1]
    drawn.printer.forget(f"document-{invoice.id}")
    assert drawn.document(invoice.id, "sv", copy=False)[1] == before


def test_what_is_not_issued_has_no_paper(books: Flask, klarna: Gateway, sandbox, clerk: Actor) -> None:
    """Fault 75; B23."""
    with writing() as session:
        order = an_order(session, sandbox, klarna)
        a_delivery(session, order)
    sandbox.fault("refuse", operation="create_capture", error_code="CAPTURE_NOT_ALLOWED", messages=["Not now."])
    asked = a_money_form(49_900)
    refused = the_document(reservations.invoice(klarna, clerk, order.id, DocType.DELIVERY, asked))
    with reading() as session:
        with pytest.raises(Refusal, match="Only an issued document can be printed"):
            printing.stamp(session, refused.id)
        with pytest.raises(NotFound):
            printing.stamp(session, 999_999)


# --- What the renderer may fetch ---------------------------------------------------------------------------------------------


FOREIGN = [
    "file:///etc/passwd",
    "http://127.0.0.1:1/x.png",
    "https://example.com/x.css",
    "http://kvitta.invalid/static/../config.py",
    "http://kvitta.invalid/static/%2e%2e/static/../app.css",
    "http://kvitta.invalid/static/..%2f..%2fetc%2fpasswd.css",
    "http://kvitta.invalid/etc/passwd",
    "http://kvitta.invalid/static/app.js",
    "http://kvitta.invalid.example.com/static/print.css",
    "data:text/css,body{}",
    "ftp://example.com/x.png",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_the_renderer_is_served_our_own_static_files_and_nothing_else(url: str) -> None:
    """Catalogue 71; security: nothing from the network, nothing from the disk."""
    with pytest.raises((ValueError, FileNotFoundError)):
        drawing.serve(STATIC, url)


def test_the_renderer_is_served_the_stylesheet() -> None:
    content, kind = drawing.serve(STATIC, "http://kvitta.invalid/static/print.css?v=abc")
    assert content == (STATIC / "print.css").read_bytes()
    assert kind == "text/css"


@needs_pango
def test_a_page_full_of_foreign_addresses_is_drawn_without_asking_for_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    serve = drawing.serve
    monkeypatch.setattr(drawing, "serve", lambda static, url: (asked.append(url), serve(static, url))[1])
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"the secret")
    content = drawing.draw(
        f"<p>Hej<img src='{secret}'><img src='{secret.as_uri()}'><img src='http://127.0.0.1:9/x.png'>"
        "<link rel=stylesheet href='https://example.com/x.css'><object data='file:///etc/passwd'></object>"
        f"<link rel=attachment href='{secret.as_uri()}'>",
        STATIC,
        "pdf.css",
    )
    assert "Hej" in read(content)
    assert b"the secret" not in content
    assert not pypdf.PdfReader(io.BytesIO(content)).attachments
    assert len(asked) >= 4


# --- The process that draws --------------------------------------------------------------------------------------------------


def dies(html: str, static: Path, stylesheet: str) -> bytes:
    """A paper that takes its process with it."""
    os._exit(3)


def never_ends(html: str, static: Path, stylesheet: str) -> bytes:
    """A paper that is never done."""
    time.sleep(600)
    return b""


@needs_pango
@pytest.mark.parametrize("draw", [dies, never_ends])
def test_a_paper_that_cannot_be_drawn_is_refused_and_the_next_one_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: Any
) -> None:
    """What goes wrong in the process that draws ends with it, and nobody waits for ever."""
    printer = printing.Printer(STATIC, tmp_path)
    monkeypatch.setattr(printing, "LONGEST_SECONDS", 1)
    with monkeypatch.context() as patched:
        patched.setattr(drawing, "draw", draw)
        with pytest.raises(Refusal, match="could not be drawn"):
            printer.draw("<p>Hej</p>")
    monkeypatch.undo()
    assert "Hej" in read(printer.draw("<p>Hej</p>"))


@needs_pango
def test_pages_are_answered_while_a_long_paper_is_drawn(tmp_path: Path) -> None:
    """Performance, "PDFs in the worker": drawing holds the interpreter, so it has one of its own."""
    printer = printing.Printer(STATIC, tmp_path)
    printer.draw("<p>Hej</p>")
    rows = "".join(f"<tr><td>{n}</td><td>Ett ord till</td></tr>" for n in range(800))
    began = time.process_time()
    printer.draw(f"<table>{rows}</table>")
    here = time.process_time() - began
    began = time.process_time()
    drawing.draw(f"<table>{rows}</table>", STATIC, "pdf.css")
    assert here * 5 < time.process_time() - began


@needs_pango
def test_the_process_that_draws_ends_with_the_one_it_draws_for(tmp_path: Path) -> None:
    """Fault rows of kill -9: a web process that is killed leaves nothing behind."""
    code = (
        "import multiprocessing, sys; from pathlib import Path; from services.printing import Printer;"
        f"Printer(Path({str(STATIC)!r}), Path('/nowhere')).draw('<p>Hej</p>');"
        "print(multiprocessing.active_children()[0].pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=STATIC.parent
    ) as asking:
        assert asking.stdout is not None
        beside = int(asking.stdout.readline())
        os.kill(beside, 0)
        asking.kill()
    for _ in range(200):
        try:
            os.kill(beside, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the process that draws is still there")


# --- Keeping -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[printing.Printer, list[str]]:
    made: list[str] = []
    printer = printing.Printer(STATIC, tmp_path)

    def draw(html: str, wait_seconds: int = 0) -> bytes:
        made.append(html)
        return f"%PDF {html}".encode()

    monkeypatch.setattr(printer, "draw", draw)
    return printer, made


def test_a_file_is_drawn_once_until_something_on_it_changes(counted: tuple[printing.Printer, list[str]]) -> None:
    printer, made = counted
    html: Callable[[], str] = lambda: "x"  # noqa: E731 - a text that is drawn late
    assert printer.kept("document-1", "a", html) == printer.kept("document-1", "a", html) == b"%PDF x"
    assert len(made) == 1
    printer.kept("document-1", "b", html)
    printer.kept("document-2", "a", html)
    assert len(made) == 3


def test_kept_files_are_for_the_owner_alone_and_named_without_a_person(
    counted: tuple[printing.Printer, list[str]], tmp_path: Path
) -> None:
    """Security 44, 60, 65."""
    counted[0].kept("document-1", "Testperson-se Approved", lambda: "x")
    (file,) = (tmp_path / "pdf").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "Testperson" not in file.name


def test_files_go_when_they_are_old_and_when_their_document_is_forgotten(
    counted: tuple[printing.Printer, list[str]], tmp_path: Path
) -> None:
    """Security 4: a drawn file holds a name and an address, and does not stay."""
    printer, _made = counted
    for owner in ("document-1", "document-11", "document-2"):
        printer.kept(owner, "a", lambda: "x")
    old = (clock.now() - printing.KEPT - timedelta(minutes=1)).timestamp()
    (file,) = (tmp_path / "pdf").glob("document-2-*")
    os.utime(file, (old, old))
    assert printer.sweep() == 1
    printer.forget("document-1")
    assert [each.name.rsplit("-", 1)[0] for each in (tmp_path / "pdf").iterdir()] == ["document-11"]


@needs_pango
@pytest.mark.only_on("sqlite")
@pytest.mark.untrue_books
def test_a_blanked_name_is_not_found_on_an_old_file(drawn: Papers, invoice: Document) -> None:
    """Security 4: blanking the personal part makes a new file; its hash stays, so that the hash alone would not do."""
    before = drawn.document(invoice.id, "sv", copy=False)[1]
    assert "Testperson-se Approved" in read(before)
    with writing() as session:
        document = session.get_one(Document, invoice.id)
        document.party = json.dumps({"name": ""})
    assert "Testperson-se Approved" not in read(drawn.document(invoice.id, "sv", copy=False)[1])


# --- The letter ------------------------------------------------------------------------------------------------------------


@needs_pango
@pytest.mark.only_on("sqlite")
def test_the_letter_is_in_the_customers_language_with_the_paper_attached(drawn: Papers, invoice: Document) -> None:
    letter = drawn.letter(invoice.id, "sv", copy=False)
    assert letter.subject == f"Faktura {invoice.number_text} från Provbolaget AB"
    assert letter.text.startswith(f"Hej,\n\nFaktura {invoice.number_text} på 499,00\u00a0kr är bifogad.")
    assert "Bankgiro: 991-2346" in letter.text
    assert letter.file_name == f"faktura-{invoice.number_text}.pdf"
    assert letter.content is not None
    assert letter.content == drawn.document(invoice.id, "sv", copy=False)[1]
    english = drawn.letter(invoice.id, "en", copy=True)
    assert english.subject == f"Invoice {invoice.number_text} from Provbolaget AB"
    assert english.file_name == f"invoice-{invoice.number_text}-copy.pdf"


@pytest.mark.only_on("sqlite")
def test_without_pango_the_letter_holds_the_whole_document_and_no_file(
    drawn: Papers, invoice: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "missing", lambda: Refusal("PDF files cannot be made"))
    letter = drawn.letter(invoice.id, "sv", copy=False)
    assert letter.content is None
    assert letter.file_name == ""
    for part in (
        "Åkarp",
        "499,00\u00a0kr",
        "Moms 25\u00a0%: 99,80\u00a0kr",
        f"Organisationsnummer {COMPANY['company.organisation_number']}",
    ):
        assert part in letter.text, part
    assert "bifogad" not in letter.text
    with pytest.raises(Refusal, match="PDF files cannot be made"):
        drawn.document(invoice.id, "sv", copy=False)


def test_a_mail_goes_the_whole_way_from_the_button_to_the_customer(
    app: Flask, invoice: Document, clerk: Actor, admin: Actor
) -> None:
    with PostOffice() as office:
        with writing() as session:
            facts = Facts("127.0.0.1", office.port, PLAIN, "", "order@example.com", "Provbolaget AB")
            mail_settings.save(session, admin, CREDENTIALS_KEY, facts, "")
            outbox.queue_mail(session, clerk, session.get_one(Document, invoice.id), "kund@example.com")
        assert postman.run(app.extensions["postman"]) == 1
        (letter,) = office.letters
    assert letter["Subject"] == f"Faktura {invoice.number_text} från Provbolaget AB"
    files = [each.get_filename() for each in letter.iter_attachments()]
    assert files == ([] if printing.missing() else [f"faktura-{invoice.number_text}.pdf"])
