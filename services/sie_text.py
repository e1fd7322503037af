"""The letters of a SIE file: IBM PC-8 (code page 437), quoting, amounts and days, written and read (B35; accounting 9).

What the code page lacks is written with what comes nearest, and counted: an export never fails on a customer's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

PAGE = "cp437"
INSTEAD: Mapping[str, str] = {
    "ø": "o", "Ø": "O", "€": "EUR", "–": "-", "—": "-", "−": "-", "…": "...", "§": "par", "¤": "kr", "\u2019": "'", "\u2018": "'",
    "“": '"', "”": '"', "„": '"', "«": "<<", "»": ">>", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th",
    "ð": "d", "Ð": "D", "©": "(c)", "®": "(r)", "™": "TM", "\\": "/", "×": "x", "¹": "1", "³": "3",
}  # fmt: skip
"""What stands for what the page lacks; letters with a mark it lacks lose the mark, the rest becomes a question mark."""
_PLAIN = re.compile(r"[A-Za-z0-9_.,:;/()%&+*=<>@#!?'åäöÅÄÖéÉüÜ-]+")


_HELD = re.compile(
    f"[{re.escape(''.join(each for each in bytes(range(256)).decode(PAGE) if each.isprintable() and each != chr(92)))}]*"
)
"""What can be written as it is: most texts, so that they are looked at once and not letter by letter."""


def in_page(text: str) -> tuple[str, int]:
    """The text with nothing in it that the code page lacks, and how many letters were replaced.

    Control characters are blanks. A backslash would free the quotation mark after it, so it leans the other way.
    """
    if _HELD.fullmatch(text):
        return text, 0
    made, replaced = [], 0
    for each in unicodedata.normalize("NFC", text):
        if unicodedata.category(each) in ("Cc", "Zs", "Zl", "Zp"):
            made.append(" ")
        elif each != "\\" and _fits(each):
            made.append(each)
        else:
            made.append(_nearest(each))
            replaced += 1
    return "".join(made), replaced


def _fits(text: str) -> bool:
    try:
        text.encode(PAGE)
    except UnicodeEncodeError:
        return False
    return True


def _nearest(each: str) -> str:
    if each in INSTEAD:
        return INSTEAD[each]
    bare = "".join(one for one in unicodedata.normalize("NFKD", each) if not unicodedata.combining(one))
    return bare if bare and bare != each and bare.isprintable() and _fits(bare) else "?"


def quoted(text: str) -> str:
    """A field: as it is where it is one plain word, else between quotes with inner quotes escaped."""
    return text if _PLAIN.fullmatch(text) else '"' + text.replace('"', '\\"') + '"'


def amount(minor: int) -> str:
    """Minor units as ``-1234.50``: a point, two decimals, no separator and no plus."""
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def day(when: date) -> str:
    """``20260302``."""
    return when.strftime("%Y%m%d")


# --- Read ------------------------------------------------------------------------------------------------------------------

_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|\{([^}]*)\}|([^\s"{}]+)')
_AMOUNT = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,2})?")
_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")


def fields(rest: str) -> list[str] | None:
    """The fields of a record, the objects of a row as one; None where quotation marks do not fit."""
    found, at = [], 0
    for match in _FIELD.finditer(rest):
        if rest[at : match.start()].strip():
            return None
        found.append(match[match.lastindex or 0].replace('\\"', '"'))
        at = match.end()
    return None if rest[at:].strip() else found


def read_amount(text: str) -> int | None:
    """Minor units of ``-1234.50``; None for anything else."""
    if not _AMOUNT.fullmatch(text):
        return None
    whole, _point, part = text.lstrip("-").partition(".")
    minor = int(whole) * 100 + int((part + "00")[:2])
    return -minor if text.startswith("-") else minor


def read_day(text: str) -> date | None:
    """The day of ``20260302``; None for anything else."""
    found = _DAY.fullmatch(text)
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None
