"""The letters of a CSV file that a person chose: UTF-8 with or without its mark, UTF-16 with it, or Windows-1252. Pure.

What is no text at all is refused by what it begins with. Source: catalogue rows 47-56.
"""

from __future__ import annotations

import re
from functools import partial

from errors import N_, BadInput, TooLarge, UnsupportedFile
from services.settlement_cells import lone_cr

_KINDS = (
    (b"PK\x03\x04", "ZIP, XLSX"),
    (b"%PDF", "PDF"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG", "PNG"),
    (b"\xd0\xcf\x11\xe0", "XLS"),
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))

bad = partial(BadInput, field="file")


def require_size(content: bytes, largest: int) -> None:
    """Let pass a file of at most ``largest`` bytes. Raises TooLarge (413)."""
    if len(content) > largest:
        raise TooLarge(N_("The file is over %(limit)s megabytes."), field="file", limit=largest // 1024 // 1024)


def text_of(content: bytes, largest: int) -> tuple[str, str]:
    """The text of a file and the name of its encoding. Raises TooLarge (413), UnsupportedFile (415), BadInput (422)."""
    require_size(content, largest)
    for start, kind in _KINDS:
        if content.startswith(start):
            raise UnsupportedFile(
                N_("This is a %(kind)s file by its content. Save it as CSV and choose it again."),
                field="file",
                kind=kind,
            )
    encodings = [name for mark, name in _MARKS if content.startswith(mark)] or ["utf-8", "cp1252"]
    for name in encodings:
        try:
            text = content.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise bad(
                N_("The file holds NUL characters: it is damaged, or in UTF-16 without its mark. Save it as UTF-8.")
            )
        stray = re.search(r"\r(?!\n)", text)
        if stray is not None:
            raise lone_cr(text.count("\n", 0, stray.start()) + 1)
        return text, name.removesuffix("-sig")
    raise bad(N_("The letters of the file cannot be read. Save it as UTF-8."))


def delimiter_of(text: str) -> str:
    """The sign between the names of the first row that is not blank."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    return max(";\t,", key=head.count)
