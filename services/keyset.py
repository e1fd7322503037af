"""A page of a long list by keys: from a mark on, forth and back, and no row is skipped (performance, goal 3).

A mark is ``o`` (older, onwards) or ``n`` (newer, back) and the id of the row beside which the page begins; what that row is
sorted by is read anew, so that a mark holds nothing that could be wrong.

A list in the order of one of its own indexes is walked from the mark. Any other combination of filter and order is taken
the shorter way: at most SMALL rows that fit the filter are gathered and sorted; when more fit, they lie so close in the order
asked for that a walk soon has a page full: of a million rows every two hundredth fits. A filter whose rows lie together in
an order, as what is open lies at the end of the years, has an index of its own for it, so that a walk passes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

SMALL = 5_000
LONGEST_NUMBER = 18
Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Sorting:
    """What rows are sorted by: ``keys`` end with the id, and none is ever NULL.

    ``join`` is another table that keys are in: a column of this one, and the id there that it names.
    """

    keys: Sequence[Any]
    join: tuple[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows. ``ways`` are conditions of which exactly one holds for each row, each with the order of an index behind it.

    Where they do not walk, ``along`` says what an index holds that is walked when there are many, more than ``few`` or SMALL: the
    rows and perhaps others.
    """

    where: Sequence[Condition] = ()
    ways: Sequence[Sequence[Condition]] = field(default=((),))
    walks: bool = True
    along: Sequence[Condition] = ()
    few: int | None = None

    @property
    def all(self) -> list[Condition]:
        """Everything that holds for the rows."""
        if len(self.ways) == 1:
            return [*self.ways[0], *self.where]
        return [sa.or_(*(sa.and_(*way) for way in self.ways)), *self.where]


@dataclass(frozen=True, slots=True)
class Place:
    """A page's ids in their order, and the marks of the pages beside it."""

    ids: Sequence[int]
    newer: str | None
    older: str | None


def read_mark(mark: str | None) -> tuple[str, int] | None:
    """A mark as its way and id; None for one that is not ours, which shows the first page (catalogue 19)."""
    way, digits = (mark or "")[:1], (mark or "")[1:]
    if way not in ("n", "o") or not (digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_NUMBER):
        return None
    return way, int(digits)


def among(session: Session, column: Any, ids: Sequence[int]) -> Condition:
    """The column is one of these, however many: one value is sent, not one for each."""
    table: Any
    if session.get_bind().dialect.name == "sqlite":
        table = sa.func.json_each(json.dumps(list(ids))).table_valued("value")
    else:
        sent = sa.bindparam(None, list(ids), type_=postgresql.ARRAY(sa.BigInteger()), unique=True)
        table = sa.func.unnest(sent).table_valued("value").render_derived()
    return column.in_(sa.select(table.c.value))  # type: ignore[no-any-return]


def unindexed(conditions: Sequence[Any]) -> list[Condition]:
    """Conditions that are looked at row by row and lead into no index, so that the order is followed and not the filter."""
    return [sa.case((sa.and_(*conditions), 1), else_=0) == 1] if conditions else []


def page(
    session: Session, sorting: Sorting, wanted: Wanted, *, descending: bool, mark: str | None, limit: int
) -> Place:
    """The ids of ``limit`` rows from the mark on."""
    read = read_mark(mark)
    place = _place(session, sorting, read[1]) if read else None
    back = place is not None and read is not None and read[0] == "n"
    found = ids(session, sorting, wanted, descending=descending != back, place=place, limit=limit + 1)
    more = len(found) > limit
    shown = found[:limit]
    if back:
        shown.reverse()
    if not shown:
        return Place([], None, None)
    has_newer, has_older = (more, True) if back else (place is not None, more)
    return Place(shown, f"n{shown[0]}" if has_newer else None, f"o{shown[-1]}" if has_older else None)


def ids(
    session: Session,
    sorting: Sorting,
    wanted: Wanted,
    *,
    descending: bool,
    limit: int,
    place: Sequence[Any] | None = None,
) -> list[int]:
    """The ids of the rows in their order, at most ``limit``, those beyond ``place`` when it is given."""
    beyond = [] if place is None else [_beyond(sorting, place, descending)]
    key = sorting.keys[-1]
    if not wanted.walks and _are_few(session, key, wanted):
        return list(session.scalars(_gathered(sorting, wanted, place, descending).limit(limit)))
    ways = [[*way, *wanted.where] for way in wanted.ways] if wanted.walks else [[*wanted.along, *unindexed(wanted.all)]]
    walks = []
    for way in ways:
        where = [*way, *beyond]
        keys = [each.label(f"k{n}") for n, each in enumerate(sorting.keys)]
        walk = _joined(sa.select(*keys), sorting, walk=True).where(*where)
        walks.append(walk.order_by(*_turned(sorting.keys, descending)).limit(limit).subquery())
    if len(walks) == 1:
        rows = sa.select(walks[0])
    else:
        rows = sa.select(sa.union_all(*[sa.select(walk) for walk in walks]).subquery())
    ordered = rows.order_by(*_turned(list(rows.selected_columns), descending)).limit(limit)
    return [row[-1] for row in session.execute(ordered)]


def _gathered(
    sorting: Sorting, wanted: Wanted, place: Sequence[Any] | None, descending: bool
) -> sa.Select[*tuple[Any, ...]]:
    """The few rows with what they are sorted by, found first and sorted afterwards: the limit keeps the two apart."""
    key = sorting.keys[-1]
    own = [each for each in sorting.keys if each.class_ is key.class_]
    column, other = sorting.join or (None, None)
    few = sa.select(*own, *([] if column is None else [column])).where(*wanted.all).limit(_most(wanted) + 1).subquery()
    keys = [few.c[each.key] if each.class_ is key.class_ else each for each in sorting.keys]
    query = sa.select(keys[-1])
    if column is not None and other is not None:
        query = query.select_from(few).join(other.class_, few.c[column.key] == other)
    if place is not None:
        query = query.where(_beyond(Sorting(keys), place, descending))
    return query.order_by(*_turned(keys, descending))


def _are_few(session: Session, key: Any, wanted: Wanted) -> bool:
    """Whether so few rows fit; when even what lies in the index beside them is few, they need not be looked at for it."""

    def few(where: Sequence[Condition]) -> bool:
        some = sa.select(key).where(*where).limit(_most(wanted) + 1).subquery()
        return (session.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= _most(wanted)

    return bool(wanted.along and few(wanted.along)) or few(wanted.all)


def _most(wanted: Wanted) -> int:
    return SMALL if wanted.few is None else wanted.few


def _joined(query: sa.Select[*tuple[Any, ...]], sorting: Sorting, *, walk: bool) -> sa.Select[*tuple[Any, ...]]:
    """With the other table. In a walk, that table leads: an id with nothing added to it cannot be looked up from here."""
    if sorting.join is None:
        return query
    column, other = sorting.join
    return query.select_from(other.class_).join(column.class_, column == (other + 0 if walk else other))


def _place(session: Session, sorting: Sorting, row_id: int) -> Sequence[Any] | None:
    """What the row of a mark is sorted by; None when it is gone, which shows the first page."""
    query = _joined(sa.select(*sorting.keys), sorting, walk=False).where(sorting.keys[-1] == row_id)
    found = session.execute(query).one_or_none()
    return None if found is None else tuple(found)


def _beyond(sorting: Sorting, place: Sequence[Any], descending: bool) -> Condition:
    if len(sorting.keys) == 1:
        only = sorting.keys[0]
        return only < place[0] if descending else only > place[0]  # type: ignore[no-any-return]
    mine = sa.tuple_(*sorting.keys)
    there = sa.tuple_(*[sa.literal(part, key.type) for part, key in zip(place, sorting.keys, strict=True)])
    beyond = mine < there if descending else mine > there
    if sorting.join is None:
        return beyond
    # Keys of two tables are in no index together: the first says where the walk begins.
    first = sa.literal(place[0], sorting.keys[0].type)
    return sa.and_(sorting.keys[0] <= first if descending else sorting.keys[0] >= first, beyond)


def _turned(columns: Sequence[Any], descending: bool) -> list[Any]:
    return [column.desc() if descending else column.asc() for column in columns]
