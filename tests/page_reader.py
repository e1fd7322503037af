"""Reads the HTML of a page quickly where the strict reader has read its like before (see ``page_checks.parse``).

html5lib takes 10 to 35 ms for a page, this reader one; the tests read thousands. A page is its *skeleton*, all tags with the
names of their attributes and where there is text between them, filled with texts and values that hold no markup. Whether HTML
allows the page, and what tree it means, is decided by the skeleton; so one page of each skeleton is read strictly, and both
readers must give the same tree. What is not plain (an end tag left out, a lone ``&``, a control character, an attribute
without quotes, anything in a script) is left to the strict reader, always.
"""

from __future__ import annotations

import html as entities
import re
from functools import lru_cache
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder

SVG = "{http://www.w3.org/2000/svg}"
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
RAW = frozenset({"iframe", "listing", "noembed", "noframes", "plaintext", "script", "style", "xmp"})
"""What stands in these is not read as HTML; here they are empty."""
OUTERMOST = frozenset({"html", "head", "body", "frameset", "frame", "math"})
TELLING = frozenset({"type", "charset", "encoding"})
"""Attributes whose value, too, has a say in what HTML allows."""
NAME = "[a-zA-Z][a-zA-Z0-9_.-]*"
ATTRIBUTES = rf"""(?:\s+{NAME}(?:="[^"]*"|='[^']*')?)*"""
ATTRIBUTE = re.compile(rf"""({NAME})(?:="([^"]*)"|='([^']*)')?""", re.ASCII)
TOKEN = re.compile(
    rf"<([a-z][a-z0-9]*)({ATTRIBUTES})\s*(/?)>|</([a-z][a-z0-9]*)>|([^<]+)|<!--([^->]+(?:-[^->]+)*)-->", re.ASCII
)
START, END, TEXT = 3, 4, 5
WHOLE = re.compile(
    rf"\s*<!doctype html>\s*<html(?P<html>{ATTRIBUTES})>\s*<head>(?P<head>.*)</head>(?P<between>\s*)"
    rf"<body(?P<attributes>{ATTRIBUTES})>(?P<body>.*)</body>(?P<after>\s*)</html>(?P<end>\s*)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
NOT_PLAIN = re.compile(
    "&(?!(?:amp|lt|gt|quot|nbsp|#34|#39);)|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    "\U0001fffe-\U0001ffff\U0002fffe-\U0010ffff]"
)


class _NotPlain(Exception):
    pass


class Read(NamedTuple):
    """A page or fragment, and its skeleton."""

    tree: Element
    skeleton: str


def read(html: str, container: str | None) -> Read | None:
    """The tree that html5lib gives. ``container`` is what a fragment stands in, None for a whole page.

    None when the markup is not plain.
    """
    if NOT_PLAIN.search(html):
        return None
    reader = _Reader()
    try:
        if container is None:
            reader.whole(html)
        else:
            reader.fragment(html, container)
    except _NotPlain:
        return None
    return Read(reader.builder.close(), "\n".join(reader.marks))


def same(one: Element, other: Element) -> bool:
    """Whether two trees are the same in all that they hold."""
    return (
        one.tag == other.tag
        and one.attrib == other.attrib
        and (one.text or "") == (other.text or "")
        and (one.tail or "") == (other.tail or "")
        and len(one) == len(other)
        and all(map(same, one, other))
    )


@lru_cache(maxsize=50_000)
def _tag(name: str, written: str, closed: str) -> tuple[dict[str, str], str]:
    """The attributes of a start tag, and its mark in the skeleton."""
    attributes: dict[str, str] = {}
    mark = [f"<{name}{closed}"]
    for attribute, one, other in ATTRIBUTE.findall(written):
        value = entities.unescape(one or other)
        attributes.setdefault(attribute, value)
        mark.append(f"{attribute}={value}" if attribute in TELLING else attribute)
    return attributes, " ".join(mark)


class _Reader:
    def __init__(self) -> None:
        self.builder = TreeBuilder(insert_comments=True)
        self.marks: list[str] = []

    def fragment(self, html: str, container: str) -> None:
        self.marks.append(f"in <{container}>")
        self.builder.start("DOCUMENT_FRAGMENT", {})
        self._content(html)
        self.builder.end("DOCUMENT_FRAGMENT")

    def whole(self, html: str) -> None:
        page = WHOLE.fullmatch(html)
        if page is None:
            raise _NotPlain
        self._open("html", page["html"])
        self._open("head", "")
        self._content(page["head"])
        self.builder.end("head")
        self.builder.data(page["between"])
        self._open("body", page["attributes"])
        self._content(page["body"])
        # HTML counts the spaces after the end as the body's.
        self.builder.data(page["after"] + page["end"])
        self.builder.end("body")
        self.builder.end("html")

    def _open(self, tag: str, written: str) -> None:
        attributes, mark = _tag(tag, written, "")
        self.marks.append(mark)
        self.builder.start(tag, attributes.copy())

    def _content(self, html: str) -> None:
        """What stands between a start tag and its end tag. Raises _NotPlain."""
        start, end, data, mark = self.builder.start, self.builder.end, self.builder.data, self.marks.append
        above: list[tuple[str, bool]] = []
        name, in_svg, fresh, at = "", False, False, 0
        for token in TOKEN.finditer(html):
            if token.start() != at:
                raise _NotPlain
            at = token.end()
            if token.lastindex == TEXT:
                text = token[TEXT]
                if name in RAW:
                    raise _NotPlain
                if text.strip(" \t\n"):
                    mark("text")
                if fresh and name in ("pre", "textarea"):
                    text = text.removeprefix("\n")
                data(entities.unescape(text) if "&" in text else text)
                fresh = False
            elif token.lastindex == END:
                if token[END] != name or not above:
                    raise _NotPlain
                mark("/")
                end(SVG + name if in_svg else name)
                name, in_svg = above.pop()
                fresh = False
            elif token.lastindex == START:
                if token[1] in OUTERMOST or name in RAW:
                    raise _NotPlain
                tag, closed = token[1], token[START]
                attributes, marked = _tag(tag, token[2], closed)
                mark(marked)
                svg = in_svg or tag == "svg"
                full = SVG + tag if svg else tag
                start(full, attributes.copy())
                if (svg and closed) or (tag in VOID and not svg):
                    end(full)
                    fresh = False
                else:
                    above.append((name, in_svg))
                    name, in_svg, fresh = tag, svg, True
            else:
                mark("comment")
                self.builder.comment(token[6])
                fresh = False
        if at != len(html) or above:
            raise _NotPlain
