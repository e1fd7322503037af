"""Goal 8: an invoice as PDF against bare WeasyPrint on the same HTML, a kept one against a static file, many with two workers."""

from __future__ import annotations

import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import weasyprint
from flask import Flask, Response, send_file

from benchmarks.measuring import Report, once, side_by_side
from benchmarks.serving import Visitor
from db import reading
from klarna_sandbox.control import Control
from rights import SYSTEM, Right
from services import document_page, drawing, printing
from tests.builders import a_captured_invoice, row
from web_access import needs
from web_papers import Papers, document_sheet

ROWS = 10
MANY = 24
STATIC = Path(__file__).resolve().parents[1] / "static"

pytestmark = pytest.mark.skipif(printing.missing() is not None, reason=str(printing.missing()))


@pytest.fixture
def invoice_id(house: Flask, sandbox: Control) -> int:
    lines = [row(f"T-shirt {n}", 9_900 + 100 * n) for n in range(ROWS)]
    return a_captured_invoice(house.extensions["klarna"], sandbox, lines=lines).id


def the_html(papers: Papers, document_id: int) -> str:
    with reading() as session:
        document = document_page.overview(session, SYSTEM, document_id)
    return papers.html([document_sheet(document, copy=False)], "sv", "Faktura")


def bare(html: str, **options: Any) -> bytes:
    """WeasyPrint as its manual shows it, on the same page with the same stylesheets."""
    looks = weasyprint.CSS(filename=str(STATIC / "pdf.css"))
    page = weasyprint.HTML(string=html.replace("/static/", ""), base_url=f"{STATIC}/")
    made: bytes = page.write_pdf(stylesheets=[looks], **options)
    return made


def test_an_invoice_as_pdf(house: Flask, invoice_id: int, report: Report) -> None:
    papers: Papers = house.extensions["papers"]
    html = the_html(papers, invoice_id)
    number = itertools.count()

    def ours() -> bytes:
        return papers.printer.kept("document-0", str(next(number)), lambda: the_html(papers, invoice_id))

    floor, archived, drawn = side_by_side(
        lambda: bare(html), lambda: bare(html, pdf_variant=drawing.VARIANT), ours, rounds=7, each=3, warm=2
    )
    report.compare(
        "8",
        "Invoice as PDF/A-3b, read, drawn and kept; bare WeasyPrint",
        floor.median,
        drawn.median,
        drawn.over(floor),
        1.15,
    )
    report.compare(
        "8",
        "The same against bare WeasyPrint told to make PDF/A-3b",
        archived.median,
        drawn.median,
        drawn.over(archived),
        None,
    )


def test_a_kept_pdf(house: Flask, invoice_id: int, report: Report) -> None:
    static = Path(house.static_folder or "") / "vendor" / "htmx.min.js"

    @needs(Right.READ)
    def guarded() -> Response:
        return send_file(static)

    house.add_url_rule("/guarded", view_func=guarded)
    visitor = Visitor(house)
    kept = visitor.fetches(f"/documents/{invoice_id}/pdf")
    size = len(kept())
    floor, behind, ours = side_by_side(
        visitor.fetches("/static/vendor/htmx.min.js"), visitor.fetches("/guarded"), kept, rounds=15, each=20
    )
    what = f"Kept PDF of {size // 1000} kB, signed in; a static file of {static.stat().st_size // 1000} kB"
    report.compare("8", what, floor.median, ours.median, ours.over(floor), 2)
    told = "The same against that file behind the same login"
    report.compare("8", told, behind.median, ours.median, ours.over(behind), None)


def draw(html: str) -> int:
    """One paper in a worker."""
    return len(drawing.draw(html, STATIC, "pdf.css"))


def test_many_with_two_workers(house: Flask, invoice_id: int, report: Report) -> None:
    pages = [the_html(house.extensions["papers"], invoice_id)] * MANY
    seconds = []
    for workers in (1, 2):
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(draw, pages[: 2 * workers]))
            seconds.append(once(lambda pool=pool: list(pool.map(draw, pages))))
    gained = seconds[0] / seconds[1]
    report.tell(
        "8",
        f"{MANY} invoices drawn by one and by two processes",
        floor=f"{seconds[0]:.2f} s",
        kvitta=f"{seconds[1]:.2f} s",
        wanted="≥ 1.7x",
        met=gained >= 1.7,
    )
