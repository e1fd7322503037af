"""Words and figures as a person reads them: the language of a request, figures, days, moments, and what a refusal says.

Amounts are minor units, quantities thousandths, percentages hundredths. A formatter costs about a microsecond, since its
signs are looked up in Babel once per language and currency; tests/test_web_words.py checks them against Babel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path

from babel import Locale
from babel.numbers import format_currency, format_percent
from babel.support import NullTranslations, Translations
from flask import has_app_context
from flask_babel import force_locale

import clock
from errors import Refusal
from money import Amount
from web_labels import CODES, LABELS

LANGUAGES: Mapping[str, str] = {"sv": "Svenska", "en": "English"}
"""The languages of Kvitta and their own names; the first is used when nothing else is known."""
MINUS = "\u2212"
NO_BREAK_SPACE = "\u00a0"
_CATALOGUES = Path(__file__).with_name("translations")


@dataclass(frozen=True, slots=True)
class Language:
    """What writing in one language takes."""

    code: str
    catalogue: NullTranslations
    group: str
    decimal: str
    percent: str
    currencies: dict[str, tuple[str, str]] = field(default_factory=dict)
    labels: dict[tuple[type[StrEnum], str], str] = field(default_factory=dict)

    def currency(self, code: str) -> tuple[str, str]:
        """What stands before and after an amount in this currency, learnt from Babel once.

        Between letters and digits stands a no-break space: Unicode's currency spacing, which Babel leaves out.
        """
        written = format_currency(1, code, locale=self.code, currency_digits=False)
        before, _, after = written.partition(f"1{self.decimal}00")
        if before[-1:].isalpha():
            before += NO_BREAK_SPACE
        self.currencies[code] = before, after
        return before, after


@cache
def language(code: str) -> Language:
    """One of the languages of Kvitta, with its catalogue; English is the language of the source."""
    locale = Locale.parse(code)
    symbols = locale.number_symbols["latn"]
    catalogue = NullTranslations() if code == "en" else Translations.load(str(_CATALOGUES), [code])
    percent = format_percent(1, locale=locale).removeprefix("100")
    return Language(code, catalogue, symbols["group"], symbols["decimal"], percent)


_spoken: ContextVar[str] = ContextVar("language", default="sv")


def spoken() -> Language:
    """The language of this request."""
    return language(_spoken.get())


def speak(code: str) -> None:
    """Answer this request in a language; another than those of Kvitta becomes Swedish."""
    _spoken.set(code if code in LANGUAGES else "sv")


@contextmanager
def in_language(code: str) -> Iterator[None]:
    """Write in a language for a while, for example that of a document's reader."""
    before = _spoken.get()
    speak(code)
    try:
        if has_app_context():
            with force_locale(_spoken.get()):
                yield
        else:
            yield
    finally:
        _spoken.set(before)


def gettext(message: str, **values: object) -> str:
    """A sentence in the language of this request with its values filled in; imported as ``_``."""
    sentence = spoken().catalogue.gettext(message) if message else ""
    return sentence % values if values else sentence


def ngettext(singular: str, plural: str, number: int) -> str:
    """A sentence with a number in it, in the language of this request."""
    return spoken().catalogue.ngettext(singular, plural, number)


# --- Figures, days, moments ------------------------------------------------------------------------------------------


def amount(minor: int | None) -> str:
    """Print minor units without a currency: ``1 437,00``, with a real minus. For columns whose head says the currency."""
    if minor is None:
        return ""
    words = spoken()
    whole, part = divmod(abs(minor), 100)
    digits = f"{whole:,}".replace(",", words.group)
    return f"{MINUS if minor < 0 else ''}{digits}{words.decimal}{part:02d}"


def sek(minor: int | None, currency: str) -> str:
    """An amount in a column whose heading says SEK, minor units; one in another currency says its own."""
    return amount(minor) if currency == "SEK" else money(minor, currency)


def money(minor: int | None, currency: str = "SEK") -> str:
    """Print minor units with their currency: ``1 437,00 kr``, ``SEK 1,437.00``."""
    if minor is None:
        return ""
    words = spoken()
    before, after = words.currencies.get(currency) or words.currency(currency)
    whole, part = divmod(abs(minor), 100)
    digits = f"{whole:,}".replace(",", words.group)
    return f"{before}{MINUS if minor < 0 else ''}{digits}{words.decimal}{part:02d}{after}"


def quantity(milli: int | None) -> str:
    """Print thousandths without idle zeros: ``2``, ``1,5``, ``1 250``."""
    if milli is None:
        return ""
    words = spoken()
    whole, part = divmod(abs(milli), 1000)
    digits = f"{whole:,}".replace(",", words.group)
    sign = MINUS if milli < 0 else ""
    if not part:
        return f"{sign}{digits}"
    return f"{sign}{digits}{words.decimal}{part:03d}".rstrip("0")


def amount_to_type(minor: int | None) -> str:
    """An amount as a field takes it back: without grouping, since a comma or a point begins the decimals there."""
    return amount(minor).replace(spoken().group, "")


def quantity_to_type(milli: int | None) -> str:
    """A quantity as a field takes it back: without grouping."""
    return quantity(milli).replace(spoken().group, "")


def percent(hundredths: int | None) -> str:
    """Print hundredths of a percent without idle zeros: ``25 %``, ``12,5 %``."""
    if hundredths is None:
        return ""
    return quantity(hundredths * 10) + spoken().percent


def day(on: date | None) -> str:
    """Print a date as ISO: ``2026-11-20``. An instant gives its local date."""
    if on is None:
        return ""
    if isinstance(on, datetime):
        on = on.astimezone(clock.LOCAL)
        return on.isoformat()[:10]
    return on.isoformat()


def moment(at: datetime | None) -> str:
    """Print an instant in local time: ``2026-11-20 14:03``."""
    if at is None:
        return ""
    return at.astimezone(clock.LOCAL).isoformat(" ")[:16]


def since(at: datetime | None) -> str:
    """How long ago an instant was, or how far off it is, in the largest unit that fits."""
    if at is None:
        return ""
    seconds = int((clock.now() - at).total_seconds())
    ahead, seconds = seconds < 0, abs(seconds)
    if seconds < 60:
        return gettext("within a minute") if ahead else gettext("just now")
    if seconds < 3600:
        number = seconds // 60
        text = (
            ngettext("in %(n)s minute", "in %(n)s minutes", number)
            if ahead
            else ngettext("%(n)s minute ago", "%(n)s minutes ago", number)
        )
    elif seconds < 2 * 86400:
        number = seconds // 3600
        text = (
            ngettext("in %(n)s hour", "in %(n)s hours", number)
            if ahead
            else ngettext("%(n)s hour ago", "%(n)s hours ago", number)
        )
    else:
        number = seconds // 86400
        text = (
            ngettext("in %(n)s day", "in %(n)s days", number)
            if ahead
            else ngettext("%(n)s day ago", "%(n)s days ago", number)
        )
    return text % {"n": number}


def label(member: StrEnum | None) -> str:
    """The name of a state in the language of this request."""
    if member is None:
        return ""
    words = spoken()
    key = type(member), member.value
    found = words.labels.get(key)
    if found is None:
        found = words.labels[key] = gettext(LABELS[type(member)][member])
    return found


def named(code: str | None, sort: str) -> str:
    """The name of a word of Klarna's or of the program, or the word itself when it has none."""
    name = CODES[sort].get(code or "")
    return gettext(name) if name else code or ""


def either(names: Sequence[str]) -> str:
    """Names of which one will do: ``Finance``, ``Clerk or Finance``."""
    if not names[1:]:
        return "".join(names)
    return gettext("%(first)s or %(second)s", first=", ".join(names[:-1]), second=names[-1])


# --- What a refusal says ---------------------------------------------------------------------------------------------


def _shown(name: str, value: object) -> str:
    if isinstance(value, Amount):
        return money(value.minor, value.currency)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return day(value)
    if isinstance(value, StrEnum) and type(value) in LABELS:
        return label(value)
    if isinstance(value, tuple):
        return either([_shown(name, each) for each in value])
    if isinstance(value, int) and name.endswith("milli"):
        return quantity(value)
    if isinstance(value, int) and name.endswith("hundredths"):
        return amount(value)
    if isinstance(value, int) and name.endswith(("percent", "rate")):
        return percent(value)
    return str(value)


def say(refusal: Refusal) -> str:
    """What a refusal says, in the language of this request.

    Amount, date, datetime and states are written as pages write them; an int as it stands, unless its name ends with
    ``milli`` (a quantity in thousandths), ``percent`` or ``rate`` (hundredths of a percent, without idle zeros) or
    ``hundredths`` (with two decimals, and without a sign).
    """
    sentence = gettext(refusal.message)
    if not refusal.values:
        return sentence
    return sentence % {name: _shown(name, value) for name, value in refusal.values.items()}


def filters() -> dict[str, object]:
    """What templates may pipe a value through."""
    return {
        "amount": amount,
        "amount_to_type": amount_to_type,
        "sek": sek,
        "day": day,
        "label": label,
        "moment": moment,
        "money": money,
        "named": named,
        "percent": percent,
        "quantity": quantity,
        "quantity_to_type": quantity_to_type,
        "since": since,
    }
