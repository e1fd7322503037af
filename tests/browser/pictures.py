"""Pictures of a credit note and a settlement for docs/images/; the others are taken by scripts/pictures.py.

Taken only when KVITTA_PICTURES is set, so that a test run leaves the tree clean:
KVITTA_PICTURES=1 .venv/bin/python -m pytest tests/browser/test_journey.py -k sv --database sqlite
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WANTED = bool(os.environ.get("KVITTA_PICTURES"))
TALLEST = 1100
LARGEST = 200_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def take(page: Page, name: str) -> None:
    """Keep what the window shows as docs/images/<name>.png: the top of the page, as wide as the window, small on disk."""
    if not WANTED:
        return
    IMAGES.mkdir(parents=True, exist_ok=True)
    page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
    page.mouse.move(0, 0)
    size = page.viewport_size
    assert size is not None
    height = min(page.evaluate("() => document.documentElement.scrollHeight"), TALLEST)
    picture = squeezed(page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": size["width"], "height": height}))
    assert len(picture) < LARGEST, f"{name} takes {len(picture)} bytes"
    (IMAGES / f"{name}.png").write_bytes(picture)


def squeezed(png: bytes) -> bytes:
    """The same picture packed as tightly as deflate can; what is no picture is left out."""
    kept, packed, at = [SIGNATURE], b"", len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            packed += data
        elif kind in (b"IHDR", b"PLTE", b"tRNS"):
            kept.append(_chunk(kind, data))
    kept.append(_chunk(b"IDAT", min((packed, zlib.compress(zlib.decompress(packed), 9)), key=len)))
    kept.append(_chunk(b"IEND", b""))
    return b"".join(kept)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
