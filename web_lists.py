"""What pages with long lists share: addresses that keep filter, search, sorting and size, and heads that sort."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import current_app, render_template, request, url_for
from markupsafe import Markup

from web import capped, gettext
from web_query import query_choice
from web_words import spoken

MOST_DRAWN = 5_000
"""Rows that a process keeps as HTML: some ten megabytes."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a list stands: its path, and what differs in its query from how it opens. Made once, asked for many links."""

    path: str
    given: Mapping[str, Any]
    standard: Mapping[str, Any]

    def to(self, **changes: Any) -> str:
        """The list with these changes; what is empty or as it is from the start is left out."""
        merged = {**self.given, **changes}
        left = [(name, value) for name, value in merged.items() if value and value != self.standard.get(name)]
        return f"{self.path}?{urlencode(left)}" if left else self.path


def address(endpoint: str, given: Mapping[str, Any], standard: Mapping[str, Any]) -> Address:
    """The address of the list at an endpoint."""
    return Address(url_for(endpoint), given, standard)


def size_of(sizes: Sequence[int]) -> int:
    """How many rows a page is to have: one of those offered, else the first."""
    return int(query_choice("rows", [str(size) for size in sizes], str(sizes[0])))


def sort_of(sorts: Sequence[str], standard: str = "-number") -> tuple[str, bool]:
    """What the address sorts by, and whether downwards."""
    sort = query_choice("sort", [f"{sign}{name}" for name in sorts for sign in ("-", "")], standard)
    return sort.removeprefix("-"), sort.startswith("-")


def heads(
    here: Address, sorts: Iterable[str], sort: str, descending: bool, upwards: Collection[str] = ()
) -> dict[str, dict[str, str | None]]:
    """For each column that sorts: where its head leads and how it is sorted now; ``upwards`` begin with the least."""
    found: dict[str, dict[str, str | None]] = {}
    for name in sorts:
        active = name == sort
        down = not descending if active else name not in upwards
        direction = ("desc" if descending else "asc") if active else None
        found[name] = {"url": here.to(sort=f"{'-' if down else ''}{name}", after=None), "direction": direction}
    return found


def choices(
    here: Address, views: Iterable[str], names: Mapping[str, str], active: str, counts: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Filters as links with their counts."""
    return [
        {
            "name": view,
            "label": gettext(names[view]),
            "url": here.to(view=view),
            "count": capped(counts[view]),
            "active": view == active,
        }
        for view in views
    ]


def sizes_of(here: Address, sizes: Iterable[int], size: int) -> list[dict[str, Any]]:
    """Links to other numbers of rows per page."""
    return [{"label": each, "url": here.to(rows=each), "active": each == size} for each in sizes]


def drawn(template: str, rows: Sequence[Hashable], **also: Hashable) -> Markup:
    """The rows as HTML; a row that has been drawn with the same content is not drawn again, as most of a list's are.

    The template is given the rows that are new, and ``also``, and calls ``keep`` with each row's HTML. What it shows may depend
    on nothing else than these, the language and where the app lies.
    """
    kept: dict[Hashable, Markup] = current_app.extensions.setdefault("drawn rows", {})
    place = (template, spoken().code, request.root_path, *also.items())
    found = {row: kept.get((place, row)) for row in rows}
    new = [row for row, html in found.items() if html is None]
    if new:
        made: list[Markup] = []
        render_template(template, rows=new, keep=made.append, **also)
        for row, html in zip(new, made, strict=True):
            found[row] = kept[place, row] = html
        if len(kept) > MOST_DRAWN:
            for key in list(kept)[: MOST_DRAWN // 2]:
                kept.pop(key, None)
    return Markup().join(found[row] or "" for row in rows)
