"""What every page and fragment must hold to, read from its HTML: each check gives sentences, none means all is well.

Parsed by html5lib in strict mode, so an unclosed tag, a stray end tag or a doubled attribute is a fault by itself. A page whose
skeleton has been parsed so before in this process is read by the quick reader (see page_reader.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from xml.etree.ElementTree import Element

import html5lib
from html5lib.html5parser import ParseError

from tests import page_reader

CHANGING = frozenset({"hx-post", "hx-put", "hx-patch", "hx-delete"})
VERBS = CHANGING | {"hx-get"}
REFERENCES = ("aria-labelledby", "aria-describedby", "aria-controls")
CONTROLS = ("input", "select", "textarea")
UNSEEN_INPUTS = ("hidden", "submit", "button", "image", "reset")
MAY_BE_LEFT_OVER = re.compile(r"%\(|\{\{|\{%|Undefined| object at |None")
"""Found in the HTML of every page that has a LEFTOVER or a None in it; the others need not be searched piece by piece."""
LEFTOVERS = re.compile(r"%\(\w+\)[sd]|\{\{|\{%|\bUndefined\b|<\w+ object at |\bNoneType\b")
ONLY_IN = {
    "tr": "tbody", "td": "tr", "th": "tr", "tbody": "table", "thead": "table", "tfoot": "table", "caption": "table",
    "option": "select", "colgroup": "table",
}  # fmt: skip
"""Fragments that begin with one of these can only be read inside the other."""
FIRST_TAG = re.compile(r"\s*(?:<!--.*?-->\s*)*<([a-z0-9]+)", re.DOTALL)


class Faulty(AssertionError):
    """A page breaks a rule of the house."""


_parsed_strictly: set[str] = set()
"""Skeletons of pages that html5lib has let pass, and of which the quick reader made the same tree."""


@lru_cache(maxsize=64)
def parse(html: str) -> Element:
    """Read a page, or a fragment in its container. Raises Faulty with the place."""
    container = None
    if html.lstrip()[:9].lower() != "<!doctype":
        first = FIRST_TAG.match(html)
        container = ONLY_IN.get(first[1], "div") if first else "div"
    quick = page_reader.read(html, container)
    if quick is not None and quick.skeleton in _parsed_strictly:
        return quick.tree
    tree = parse_strictly(html, container)
    if quick is not None and page_reader.same(tree, quick.tree):
        _parsed_strictly.add(quick.skeleton)
    return tree


def parse_strictly(html: str, container: str | None) -> Element:
    """The tree html5lib makes of a page (without container) or a fragment. Raises Faulty with the place."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    try:
        return parser.parse(html) if container is None else parser.parseFragment(html, container=container)
    except ParseError as error:
        line, column = parser.errors[-1][0] if parser.errors else (1, 0)
        text = "".join(html.splitlines()[line - 1 : line])
        raise Faulty(
            f"the HTML is broken at line {line}: {error}\n    …{text[max(0, column - 90) : column + 30]}…"
        ) from None


def elements(tree: Element, *tags: str) -> Iterator[Element]:
    """Every element, or those of these tags; comments have no name."""
    for element in tree.iter():
        if isinstance(element.tag, str) and (not tags or element.tag in tags):
            yield element


def text_of(element: Element) -> str:
    """All text within, spaces drawn together."""
    return " ".join("".join(element.itertext()).split())


@lru_cache(maxsize=1)
def everything(tree: Element) -> list[Element]:
    """All elements of the page that is being checked; it is walked through once for all rules."""
    return list(elements(tree))


@lru_cache(maxsize=1)
def parents_of(tree: Element) -> dict[Element, Element]:
    """Each element's parent."""
    return {child: parent for parent in tree.iter() for child in parent}


def _upward(element: Element, parents: dict[Element, Element]) -> Iterator[Element]:
    while True:
        yield element
        if element not in parents:
            return
        element = parents[element]


def _show(element: Element) -> str:
    shown = "".join(f' {name}="{value}"' for name, value in list(element.attrib.items())[:4])
    return f"<{element.tag}{shown}>"


def ids_are_single(tree: Element) -> Iterator[str]:
    """An id stands once."""
    seen: set[str] = set()
    for element in everything(tree):
        found = element.get("id")
        if found is not None and (not found or found in seen):
            yield f"the id {found!r} stands twice or is empty: {_show(element)}"
        seen.add(found or "")


def verbs_have_targets(tree: Element) -> Iterator[str]:
    """Whoever asks by htmx says where the answer goes, itself or by inheritance."""
    for element in everything(tree):
        if not VERBS.isdisjoint(element.attrib):
            if not any(each.get("hx-target") for each in _upward(element, parents_of(tree))):
                yield f"no hx-target for {_show(element)}"


def posts_carry_the_token(tree: Element) -> Iterator[str]:
    """A form that changes something holds the CSRF field; htmx changes things only through forms."""
    for form in elements(tree, "form"):
        if form.get("method", "get").lower() == "post":
            if not any(field.get("name") == "csrf_token" and field.get("value") for field in elements(form, "input")):
                yield f"no CSRF field in {_show(form)}"
            if not form.get("action"):
                yield f"no action on {_show(form)}"
    for element in everything(tree):
        if not CHANGING.isdisjoint(element.attrib):
            if not any(each.tag == "form" for each in _upward(element, parents_of(tree))):
                yield f"it changes something outside a form: {_show(element)}"


def controls_have_names(tree: Element) -> Iterator[str]:
    """A control has a label, a button and a link a text, a picture a description, for eyes and ears."""
    ids = {element.get("id") for element in everything(tree)}
    labelled = {label.get("for") for label in elements(tree, "label")}
    for control in elements(tree, *CONTROLS):
        if control.get("type") in UNSEEN_INPUTS:
            continue
        named = control.get("aria-label") or control.get("aria-labelledby") or control.get("id") in labelled - {None}
        if not named and not any(each.tag == "label" for each in _upward(control, parents_of(tree))):
            yield f"no label for {_show(control)}"
    for element in elements(tree, "button", "a", "summary"):
        if not (text_of(element) or element.get("aria-label") or element.get("aria-labelledby")):
            if not any(svg.get("aria-label") for svg in elements(element, "svg", "img")):
                yield f"nothing says what this does: {_show(element)}"
    for picture in elements(tree, "img"):
        if picture.get("alt") is None:
            yield f"no alt for {_show(picture)}"
    for label in labelled - {None} - ids:
        yield f"a label points at {label!r}, which is not there"


def references_meet(tree: Element) -> Iterator[str]:
    """aria-labelledby and aria-describedby name ids that are there."""
    ids = {element.get("id") for element in everything(tree)}
    for element in everything(tree):
        for name in REFERENCES:
            for wanted in (element.attrib.get(name) or "").split():
                if wanted not in ids:
                    yield f"{name} names {wanted!r}, which is not there: {_show(element)}"


def ways_within_the_page_lead_somewhere(tree: Element) -> Iterator[str]:
    """A link to a part of its own page names one that is there; a fragment is not asked, the rest may stand in the page."""
    if tree.tag != "html":
        return
    ids = {element.get("id") for element in everything(tree)}
    for link in elements(tree, "a"):
        way = link.get("href") or ""
        if way.startswith("#") and way[1:] not in ids:
            yield f"a link leads to {way!r}, which is not there: {_show(link)}"


def nothing_is_inline(tree: Element) -> Iterator[str]:
    """No script and no style inside the page; the content security policy would stop them."""
    for element in everything(tree):
        if element.tag == "style" or element.tag == "script" and (not element.get("src") or text_of(element)):
            yield f"inline {element.tag}"
        for name, value in element.attrib.items():
            if name == "style" or name.startswith(("on", "hx-on")):
                yield f"inline {name} on {_show(element)}"
            if name in ("href", "src", "action", "formaction") and value.strip().lower().startswith(
                ("javascript:", "data:")
            ):
                yield f"{name}={value[:30]!r} on {_show(element)}"


def nothing_is_left_over(tree: Element) -> Iterator[str]:
    """No place that was not filled, no template code, no object where a text belongs."""
    for element in everything(tree):
        if element.tag in ("script", "style", "textarea", "pre", "code"):
            continue
        for text in (element.text, element.tail):
            if text and (LEFTOVERS.search(text) or text.strip() == "None"):
                yield f"left over in <{element.tag}>: {' '.join(text.split())[:80]!r}"
        for name in ("title", "aria-label", "placeholder", "alt", "data-confirm"):
            value = element.get(name)
            if value is not None and (LEFTOVERS.search(value) or value == "None"):
                yield f"left over in {name}: {value[:80]!r}"


def no_translation_is_missing(tree: Element) -> Iterator[str]:
    """A sentence without its translation is wrapped in ⟦ ⟧ while testing (see tests/web_client.py)."""
    for element in everything(tree):
        for text in (element.text, element.tail, *element.attrib.values()):
            if text and "⟦" in text:
                yield f"not translated: {' '.join(text.split())[:120]!r}"


def pages_are_whole(tree: Element) -> Iterator[str]:
    """A whole page has a language, a title and one first heading; a fragment is not asked."""
    if tree.tag != "html":
        return
    if not tree.get("lang"):
        yield "the page names no language"
    titles = [text_of(title) for title in elements(tree, "title")]
    if not titles or not titles[0].strip(" –-"):
        yield "the page has no title"
    if len(list(elements(tree, "h1"))) != 1:
        yield f"the page has {len(list(elements(tree, 'h1')))} first headings"


CHECKS: tuple[Callable[[Element], Iterator[str]], ...] = (
    ids_are_single,
    verbs_have_targets,
    posts_carry_the_token,
    controls_have_names,
    references_meet,
    ways_within_the_page_lead_somewhere,
    nothing_is_inline,
    nothing_is_left_over,
    no_translation_is_missing,
    pages_are_whole,
)


def check(html: str) -> Element:
    """Read a page or fragment and hold it against every rule. Raises Faulty with all that is wrong."""
    tree = parse(html)
    spared = set()
    if not MAY_BE_LEFT_OVER.search(html):
        spared.add(nothing_is_left_over)
    if "⟦" not in html:
        spared.add(no_translation_is_missing)
    faults = [fault for rule in CHECKS if rule not in spared for fault in rule(tree)]
    if faults:
        raise Faulty("\n".join(faults))
    return tree
