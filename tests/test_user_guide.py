"""The users' guides say what the screens say, in both languages, and lead where they say they lead.

What a guide names of a screen is marked, «så» in Swedish and **so** in English, and has to be a message of the catalogue: a
button that is renamed or taken away is found here. Amounts, numbers and days stand where the message has its values.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from states import Role
from tests.test_translations import ROOT, catalogue, swedish
from web import NAVIGATION
from web_labels import LABELS

DOCS = ROOT / "docs"
LONGEST_LINE = 140
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
KEY = re.compile(r"`(\w)` («[^»]+»|\*\*[^*]+\*\*)")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
PLACE = re.compile(r"%\((\w+)\)[sd]|%%")
FEW_LETTERS = 4
"""A message with fewer letters of its own, such as ``%(first)s or %(second)s``, would fit nearly everything."""
FILLED = r"[^«»*]*?(?:\d|Ekonomi|Finance)[^«»*]*?"
"""What a guide writes where a message has a value: something with a figure in it, or the role that is required."""


@pytest.fixture(params=["sv", "en"])
def lang(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def guide(lang: str) -> str:
    return (DOCS / f"user-guide-{lang}.md").read_text(encoding="utf-8")


def labels(lang: str, text: str) -> list[str]:
    """What is marked as standing on the screen. A label may go on over the end of a line."""
    marks = {"sv": r"«([^«»]+)»", "en": r"\*\*([^*]+)\*\*"}
    return re.findall(marks[lang], " ".join(text.split()))


def chapters(lang: str) -> list[str]:
    """The guide in pieces, each beginning with its heading."""
    return [piece for piece in re.split(r"^(?=#+ )", guide(lang), flags=re.MULTILINE) if piece]


def pattern(message: str) -> re.Pattern[str]:
    """What a message looks like with its values filled in."""
    parts, at = [], 0
    for place in PLACE.finditer(message):
        parts += [re.escape(message[at : place.start()]), FILLED if place.group(1) else "%"]
        at = place.end()
    return re.compile("".join(parts) + re.escape(message[at:]))


@cache
def said(lang: str) -> tuple[dict[str, frozenset[str]], tuple[tuple[re.Pattern[str], str], ...]]:
    """The messages of a language, each with the English it stands for: those without values by their text, the others to fit."""
    exact: defaultdict[str, set[str]] = defaultdict(set)
    fitting = []
    for message in catalogue():
        if not message.id:
            continue
        english = (message.id,) if isinstance(message.id, str) else tuple(message.id)
        for text in english if lang == "en" else swedish(english):
            if not PLACE.search(text):
                exact[text].add(english[0])
            elif len(re.sub(r"[^A-Za-z]", "", PLACE.sub("", text))) >= FEW_LETTERS:
                fitting.append((pattern(text), english[0]))
    return {text: frozenset(found) for text, found in exact.items()}, tuple(fitting)


@cache
def messages(lang: str, label: str) -> frozenset[str]:
    """The messages, in English, that a label may be; none when no screen says it."""
    exact, fitting = said(lang)
    return exact.get(label, frozenset()) | {english for shape, english in fitting if shape.fullmatch(label)}


def slug(heading: str) -> str:
    """The anchor that a heading gets where the guides are read."""
    text = unicodedata.normalize("NFC", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(heading) for _marks, heading in HEADING.findall(path.read_text(encoding="utf-8"))}


def test_what_a_guide_says_of_a_screen_stands_on_the_screen(lang: str) -> None:
    """Every label of a guide is a message, to the letter; a role's no is one of them (B31)."""
    unknown = [label for label in labels(lang, guide(lang)) if not messages(lang, label)]
    assert not unknown, f"no screen says: {unknown}"


def test_a_label_that_is_not_there_is_found() -> None:
    assert messages("sv", "Skapa faktura") and messages("en", "Create invoice")
    assert messages("sv", "Kreditera 450,00 kr hos Klarna") == messages("en", "Credit SEK 450.00 at Klarna")
    assert messages("sv", "Leverera och fakturera 9 ordrar") and messages("en", "Requires Finance.")
    for lang, label in (
        ("sv", "Skapa fakturan"),
        ("sv", "Create invoice"),
        ("sv", "Kreditera hos Klarna"),
        ("sv", "Kopiera något"),
        ("en", "create invoice"),
        ("en", "Skapa faktura"),
        ("en", "Credit at Klarna"),
        ("en", "Whatever."),
    ):
        assert not messages(lang, label), label


def test_nothing_is_marked_only_in_part(lang: str) -> None:
    text = guide(lang)
    assert text.count("«") == text.count("»"), "a label is not closed"
    assert text.count("**") % 2 == 0, "a label is not closed"
    assert ("**" not in text) if lang == "sv" else ("«" not in text), "labels are marked as in the other language"


def test_the_two_guides_have_the_same_headings() -> None:
    """As many, at the same levels; chapters bear the same numbers."""
    ours, theirs = (HEADING.findall(guide(lang)) for lang in ("sv", "en"))
    assert [marks for marks, _heading in ours] == [marks for marks, _heading in theirs]
    for (_marks, one), (_same, other) in zip(ours, theirs, strict=True):
        assert re.findall(r"^\d+", one) == re.findall(r"^\d+", other), (one, other)


def test_the_two_guides_name_the_same_things_under_each_heading() -> None:
    apart = []
    for one, other in zip(chapters("sv"), chapters("en"), strict=True):
        ours = [(label, messages("sv", label)) for label in labels("sv", one)]
        theirs = [(label, messages("en", label)) for label in labels("en", other)]
        alone = [label for label, found in ours if not any(found & named for _label, named in theirs)]
        alone += [label for label, found in theirs if not any(found & named for _label, named in ours)]
        if alone:
            apart.append(f"{other.splitlines()[0]}: {alone}")
    assert not apart, "\n".join(apart)


def test_the_two_guides_show_the_same_pictures_and_lead_to_the_same_pages() -> None:
    def targets(lang: str, mark: str) -> list[str]:
        found = [target for picture, _text, target in LINK.findall(guide(lang)) if picture == mark]
        return [target for target in found if not target.startswith(("#", "user-guide-"))]

    assert targets("sv", "!") == targets("en", "!") != []
    assert sorted(targets("sv", "")) == sorted(targets("en", ""))


def test_every_picture_has_its_words_and_every_link_its_end(lang: str) -> None:
    here = DOCS / f"user-guide-{lang}.md"
    lost = []
    for picture, text, target in LINK.findall(guide(lang)):
        name, _hash, anchor = target.partition("#")
        path = DOCS / name if name else here
        if not path.is_file() or (anchor and anchor not in anchors(path)) or not text.strip():
            lost.append(f"{picture}[{text}]({target})")
    assert not lost, lost


def test_no_two_headings_share_an_anchor(lang: str) -> None:
    found = [slug(heading) for _marks, heading in HEADING.findall(guide(lang))]
    assert len(found) == len(set(found))


def test_lines_are_short_and_nothing_is_shouted(lang: str) -> None:
    lines = guide(lang).splitlines()
    assert not [f"{number}: {len(line)}" for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]
    assert not [line for line in lines if re.search(r"!(?!\[)", line)]


def test_the_keys_are_those_of_the_menu(lang: str) -> None:
    """``g`` and a letter lead where the guide says."""
    named = {key: labels(lang, marked)[0] for key, marked in KEY.findall(guide(lang))}
    rooms = {key: name for _endpoint, name, key in NAVIGATION}
    assert named.keys() == rooms.keys()
    assert all(rooms[key] in messages(lang, label) for key, label in named.items())


def test_every_role_is_explained(lang: str) -> None:
    """The first table has a row per role (B31)."""
    table = next(piece for piece in chapters(lang) if "| --- |" in piece)
    rows = [row for row in table.splitlines() if row.startswith("| ") and labels(lang, row)]
    assert len(rows) == len(Role)
    for role, row in zip(Role, rows, strict=True):
        assert LABELS[Role][role] in messages(lang, labels(lang, row)[0])
