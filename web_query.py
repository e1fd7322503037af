"""What the address bar says, read strictly: unknown is the default, too much is cut, dates are refused (catalogue 19-22)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from flask import request

from errors import N_, BadInput
from services.card_checks import STEERING
from web_fields import WHOLE_NUMBER, read_day
from web_words import say


def query_text(name: str, most: int = 200) -> str:
    """A text of the query, cut to length, without what cannot be shown (catalogue row 22). The first value wins."""
    text = request.args.get(name, "")[: most * 4]
    kept = "".join(each for each in text if unicodedata.category(each) not in {"Cc", "Cs"} and each not in STEERING)
    return kept.strip()[:most]


def query_choice(name: str, allowed: Sequence[str], default: str) -> str:
    """One of a list from the query; anything else is the default (catalogue row 19)."""
    text = request.args.get(name, default)
    return text if text in allowed else default


def query_whole(name: str, default: int, least: int = 0, most: int = 999_999_999) -> int:
    """A whole number from the query, clamped; what is no number is the default (catalogue row 19)."""
    text = request.args.get(name, "")
    if not WHOLE_NUMBER.fullmatch(text):
        return default
    return min(max(int(text), least), most)


def query_wholes(name: str, most: int) -> list[int]:
    """The last whole numbers of this name in the query; what is none is left out (catalogue row 19)."""
    return [int(text) for text in request.args.getlist(name)[-most:] if WHOLE_NUMBER.fullmatch(text) and len(text) < 10]


def query_day(name: str) -> date | None:
    """A date from the query, None when it is left out. Raises BadInput (catalogue row 20)."""
    text = request.args.get(name, "").strip()
    return read_day(text, field=name) if text else None


def query_days(first: str, last: str, most: int = 3660) -> tuple[date | None, date | None]:
    """Two dates from the query, the first not after the last, at most ``most`` days apart. Raises BadInput (row 21)."""
    starts, ends = query_day(first), query_day(last)
    if starts and ends:
        if starts > ends:
            raise BadInput(N_("The first day lies after the last."), field=last)
        if (ends - starts).days > most:
            raise BadInput(N_("At most %(most)s days can be shown at a time."), field=last, most=most)
    return starts, ends


@dataclass(frozen=True, slots=True)
class Days:
    """A period as it was typed into the address: the days that can be read, and what is said beside the others."""

    starts: date | None
    ends: date | None
    typed: Mapping[str, str]
    wrong: Mapping[str, str]

    @property
    def status(self) -> int:
        """What a page answers with."""
        return 422 if self.wrong else 200


def typed_days(first: str = "from", last: str = "to") -> Days:
    """Two dates from the query for a page that shows them again: a wrong one is said beside its field (rows 20, 21)."""
    typed = {name: query_text(name, 40) for name in (first, last)}
    wrong: dict[str, str] = {}
    for name in (first, last):
        try:
            query_day(name)
        except BadInput as no:
            wrong[name] = say(no)
    if wrong:
        return Days(None, None, typed, wrong)
    try:
        starts, ends = query_days(first, last)
    except BadInput as no:
        return Days(None, None, typed, {no.field or first: say(no)})
    return Days(starts, ends, typed, {})
