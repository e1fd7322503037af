"""The Swedish catalogue says everything the code says, and fills in the same values."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
SWEDISH = ROOT / "translations" / "sv" / "LC_MESSAGES" / "messages.po"
PLACE = re.compile(r"%\((\w+)\)[sd]|%%")
KEYWORDS: dict[str, tuple[int, int] | None] = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "N_": None,
    "lazy": None,
}
"""The names under which a sentence is marked; what Babel does not look for of itself stands in the Makefile too."""
Words = str | tuple[str, ...]


@cache
def said() -> dict[Words, str]:
    """Every sentence in code and templates, with one place where it stands."""
    with (ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(str(ROOT), methods, options, keywords=KEYWORDS)
    return {words: f"{path}:{line}" for path, line, words, _comments, _context in found if words}


@cache
def catalogue() -> Catalog:
    with SWEDISH.open("rb") as file:
        return read_po(file, locale="sv")


def swedish(words: Words) -> list[str]:
    """The translation of a sentence, all its forms; empty when there is none or somebody still has to look at it."""
    found = catalogue().get(words[0] if isinstance(words, tuple) else words)
    if found is None or found.fuzzy or not found.string:
        return []
    return [found.string] if isinstance(found.string, str) else list(found.string)


def test_extraction_sees_code_and_templates() -> None:
    places = said().values()
    assert any("errors.py" in place for place in places)
    assert any("templates/" in place for place in places)


def test_every_name_that_marks_a_sentence_is_looked_for() -> None:
    """A marker imported under a name of its own would hide its sentences from the catalogue."""
    markers = {
        marker
        for path in [*ROOT.glob("*.py"), *(ROOT / "blueprints").rglob("*.py")]
        for marker in re.findall(r"gettext as (\w+)", path.read_text(encoding="utf-8"))
    }
    assert markers <= set(KEYWORDS)
    extract = next(line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if " extract " in line)
    assert set(KEYWORDS) <= {*DEFAULT_KEYWORDS, *re.findall(r"-k (\w+)", extract)}


def test_every_sentence_is_in_swedish() -> None:
    missing = [
        f"{place}: {words!r}"
        for words, place in sorted(said().items(), key=lambda each: each[1])
        if not all(swedish(words) or [""])
    ]
    assert not missing, f"{len(missing)} sentences are not translated:\n" + "\n".join(missing)


def test_translations_fill_in_the_same_values() -> None:
    wrong = []
    for words, place in said().items():
        wanted = set(PLACE.findall(" ".join(words) if isinstance(words, tuple) else words))
        for text in swedish(words):
            given = set(PLACE.findall(text))
            if given - wanted or (wanted - given and not isinstance(words, tuple)):
                wrong.append(f"{place}: {words!r} → {text!r}")
    assert not wrong, "\n".join(wrong)


def test_translations_end_as_the_sentence_does() -> None:
    """A full stop, a colon or a space at the end is the same on both sides; «Fr.o.m.» and «T.o.m.» (B12) are words."""
    wrong = [
        f"{place}: {words!r} → {text!r}"
        for words, place in said().items()
        if isinstance(words, str)
        for text in swedish(words)
        if (words[-1] in ".:…? ") != (text.removesuffix(".o.m.")[-1] in ".:…? ")
        or words[:1].isspace() != text[:1].isspace()
    ]
    assert not wrong, "\n".join(wrong)


def test_swedish_is_written_as_swedish() -> None:
    """Swedish quotation marks open and close alike; no exclamation mark but the printed one (K4)."""
    for words in said():
        for text in swedish(words):
            assert not re.search(r"[“«»\"]", text), text
            assert "!" not in text or text == "Viktigt!", text
            assert "  " not in text, text
            assert text == text.strip() or isinstance(words, str) and words != words.strip(), text


def test_the_catalogue_names_nobody_and_no_place_of_this_machine() -> None:
    text = SWEDISH.read_text(encoding="utf-8")
    assert "@" not in text.split("#:", 1)[0]
    assert not re.search(r"^#: .*(?<![\w.])/", text, re.MULTILINE)


def test_nothing_is_translated_that_is_no_longer_said() -> None:
    known = {words[0] if isinstance(words, tuple) else words for words in said()}
    stale = [
        message.id if isinstance(message.id, str) else message.id[0]
        for message in catalogue()
        if message.id and (message.id if isinstance(message.id, str) else message.id[0]) not in known
    ]
    assert not stale, f"run make translations: {stale}"


@pytest.fixture(autouse=True)
def _there_is_a_catalogue() -> None:
    assert SWEDISH.exists(), "there is no Swedish catalogue: run make translations"
