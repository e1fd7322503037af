"""HTML to PDF, in whatever process this is called: a stranger to the house, so that a process of its own starts at once.

WeasyPrint draws it. It is served our own static files and nothing else, from the network or from the disk (catalogue row 71).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

VARIANT = "pdf/a-3b"
"""Made to be kept for seven years: fonts and colours inside the file, and nothing that needs a program of its own."""
ADDRESS = "http://kvitta.invalid/"
"""What addresses on a paper are relative to. No such machine can exist (RFC 2606)."""
_SERVED = {".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2"}


def draw(html: str, static: Path, stylesheet: str) -> bytes:
    """The PDF of an HTML page; equal pages give equal bytes (fault 51)."""
    renderer = importlib.import_module("weasyprint")
    fetch = fetcher(renderer, lambda url: serve(static, url))
    page = renderer.HTML(string=html, base_url=ADDRESS, url_fetcher=fetch)
    looks = renderer.CSS(filename=str(static.joinpath(stylesheet)))
    made: bytes = page.write_pdf(stylesheets=[looks], pdf_variant=VARIANT)
    return made


def fetcher(renderer: Any, served: Callable[[str], tuple[bytes, str]]) -> Any:
    """What the renderer asks for files: what is ``served``, and nothing else."""

    class OwnFilesOnly(renderer.urls.URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: object = None) -> Any:  # noqa: ARG002 - the library's signature
            content, kind = served(url)
            return renderer.urls.URLFetcherResponse(url, content, {"Content-Type": kind})

    return OwnFilesOnly()


def serve(static: Path, url: str) -> tuple[bytes, str]:
    """A static file of ours by its address, with its type. Raises ValueError for every other address."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    kind = _SERVED.get(Path(path).suffix)
    if not url.startswith(f"{ADDRESS}static/") or kind is None:
        raise ValueError("a paper fetches our own static files and nothing else")
    file = static.joinpath(path.removeprefix("/static/")).resolve()
    if not file.is_relative_to(static):
        raise ValueError("a paper fetches our own static files and nothing else")
    return file.read_bytes(), kind
