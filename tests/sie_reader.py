"""A reader of SIE 4 files of its own, written from the format's description (sie.se, 4B) and knowing nothing of Kvitta.

It takes bytes and gives what stands there, amounts as ``Decimal``. What the description forbids raises ``AssertionError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

MUST = {"FLAGGA", "PROGRAM", "FORMAT", "GEN", "SIETYP", "FNAMN"}
ORDER = (
    ("FLAGGA",),
    ("PROGRAM", "FORMAT", "GEN", "SIETYP", "PROSA", "FNR", "ORGNR", "ADRESS", "FNAMN", "RAR", "OMFATTN", "KPTYP", "VALUTA"),
    ("KONTO", "KTYP"),
    ("IB", "UB", "RES"),
    ("VER",),
)  # fmt: skip
"""Flag, identification, chart, balances, vouchers."""


@dataclass
class Trans:
    """A row of a voucher."""

    account: str
    amount: Decimal
    day: date
    text: str


@dataclass
class Ver:
    """A voucher."""

    series: str
    number: int
    day: date
    text: str
    registered: date
    sign: str
    rows: list[Trans] = field(default_factory=list)


@dataclass
class SieFile:
    """A whole file."""

    once: dict[str, list[str]] = field(default_factory=dict)
    years: dict[int, tuple[date, date]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    balances: dict[tuple[str, int], dict[str, Decimal]] = field(default_factory=dict)
    vouchers: list[Ver] = field(default_factory=list)


def _words(line: str) -> Iterator[str]:
    """The fields of a line, letter by letter: blanks part them, quotes hold them together, a backslash frees a quote."""
    word, inside, begun, escaped = "", False, False, False
    for each in line:
        if escaped:
            assert each == '"', f"only a quote is escaped: {line}"
            word, escaped = word + each, False
        elif each == "\\" and inside:
            escaped = True
        elif each == '"':
            assert inside or not begun, f"a quote inside a word: {line}"
            inside, begun = not inside, True
        elif each in " \t" and not inside:
            if begun:
                yield word
            word, begun = "", False
        else:
            word, begun = word + each, True
    assert not inside and not escaped, f"a quote is never closed: {line}"
    if begun:
        yield word


def _amount(text: str) -> Decimal:
    sign, _minus, rest = text.rpartition("-")
    assert sign == "" and rest.count(".") <= 1 and rest.replace(".", "").isdigit(), f"no amount: {text}"
    assert len(rest.partition(".")[2]) <= 2, f"more than two decimals: {text}"
    return Decimal(text)


def _day(text: str) -> date:
    assert len(text) == 8 and text.isdigit()
    return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone


def read(content: bytes) -> SieFile:
    """Read a file; it is 4E when it holds balances."""
    assert content.endswith(b"\r\n") and b"\x00" not in content
    made, part, open_ver = SieFile(), 0, False
    for line in content.decode("cp437").split("\r\n")[:-1]:
        assert all(each.isprintable() or each == "\t" for each in line), repr(line)
        if line in ("{", "}"):
            assert made.vouchers and open_ver is (line == "}"), "braces follow a voucher and each other"
            open_ver = line == "{"
            if line == "}":
                assert made.vouchers[-1].rows, "a voucher has rows"
                assert sum(row.amount for row in made.vouchers[-1].rows) == 0, made.vouchers[-1]
            continue
        tag, *words = _words(line)
        tag = tag.removeprefix("#")
        if tag == "TRANS":
            assert open_ver
            account, objects, amount, day, text = words
            assert objects == "{}" and account in made.accounts
            made.vouchers[-1].rows.append(Trans(account, _amount(amount), _day(day), text))
            continue
        assert not open_ver, f"{tag} inside a voucher"
        at = next(place for place, tags in enumerate(ORDER) if tag in tags)
        assert at >= part, f"{tag} out of order"
        part = at
        _record(made, tag, words)
    assert not open_ver and made.once.keys() >= MUST
    _whole(made)
    return made


def _record(made: SieFile, tag: str, words: list[str]) -> None:
    if tag == "RAR":
        made.years[int(words[0])] = _day(words[1]), _day(words[2])
    elif tag == "KONTO":
        assert words[0] not in made.accounts and words[0].isdigit() and words[1]
        made.accounts[words[0]] = words[1]
    elif tag == "KTYP":
        assert words[1] in {"T", "S", "K", "I"}
        made.kinds[words[0]] = words[1]
    elif tag in ("IB", "UB", "RES"):
        year, account, amount = words
        assert (tag == "RES") == (account[0] in "345678") and account in made.accounts
        kept = made.balances.setdefault((tag, int(year)), {})
        assert account not in kept
        kept[account] = _amount(amount)
    elif tag == "VER":
        series, number, day, text, registered, sign = words
        assert not made.vouchers or made.vouchers[-1].rows
        made.vouchers.append(Ver(series, int(number), _day(day), text, _day(registered), sign))
    else:
        assert tag not in made.once, f"{tag} twice"
        made.once[tag] = words


def _whole(made: SieFile) -> None:
    assert made.once["FLAGGA"] == ["0"] and made.once["FORMAT"] == ["PC8"] and made.once["SIETYP"] == ["4"]
    if 0 in made.years:
        first, last = made.years[0]
        assert all(first <= each.day <= last for each in made.vouchers)
    for series in {each.series for each in made.vouchers}:
        numbers = [each.number for each in made.vouchers if each.series == series]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"series {series}: {numbers}"
    if not made.balances:
        return
    moved: dict[str, Decimal] = {}
    for voucher in made.vouchers:
        for row in voucher.rows:
            moved[row.account] = moved.get(row.account, Decimal()) + row.amount
    opening, closing = made.balances.get(("IB", 0), {}), made.balances.get(("UB", 0), {})
    result = made.balances.get(("RES", 0), {})
    for account in made.accounts:
        told = result if account[0] in "345678" else closing
        assert told.get(account, 0) == opening.get(account, 0) + moved.get(account, 0), account
    assert sum(opening.values()) == 0 and sum(closing.values()) + sum(result.values()) == 0
    if ("UB", -1) in made.balances:
        before = made.balances["UB", -1]
        assert {key: value for key, value in before.items() if value} == {k: v for k, v in opening.items() if v}
