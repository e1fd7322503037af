"""The proof of a payout to the öre, and the keys by which two reports of the same payout are compared.

Amounts are integers in minor units; tolerance is none. Source: B5, operations 14, Klarna's formula of the settlement
amount.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from itertools import repeat
from typing import Any, NamedTuple

from services.settlement_columns import FIELDS, Columns, columns_of
from services.settlement_layouts import COMMISSION_RETURNS, FEE_TYPES, TYPES, Fault, Payout, Period, Row, Totals


class DifferenceKind(StrEnum):
    """What does not add up."""

    TOTAL = "total"  # the rows of a type against their stated total
    VAT = "vat"  # the VAT on the fee rows against the stated tax
    VAT_LEFT_OUT = "vat_left_out"  # the report is configured without VAT on fees, and tax is stated
    NET = "net"  # the stated totals among themselves against the stated settlement
    SETTLEMENT = "settlement"  # the rows against the stated settlement
    DEBT = "debt"  # opening debt and movements against closing debt
    UNSTATED = "unstated"  # no settlement amount is stated: nothing to prove against


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not add up: the field of ``Totals``, what the rows give, what is stated; minor units."""

    kind: DifferenceKind
    field: str
    rows_minor: int
    stated_minor: int


class Group(NamedTuple):
    """Rows of one type and detailed type added up, as a database sums them.

    ``vat_rows`` counts those with a VAT amount. Rows in another currency than the payout's are left out.
    """

    type: str
    detailed_type: str | None
    signed_minor: int
    signed_vat_minor: int
    vat_rows: int


def groups_of(columns: Columns, signed_vats: Sequence[int]) -> Iterator[Group]:
    """A block of rows of one payout as groups; ``signed_vats`` is the effect of each row's VAT."""
    _, _, types, details, signed, vats, *_, faults = columns
    apart: defaultdict[tuple[str, str | None, Fault | None], list[int]] = defaultdict(lambda: [0, 0, 0])
    for kind, effect, vat, told in zip(
        zip(types, details, faults, strict=True), signed, signed_vats, vats, strict=True
    ):
        sums = apart[kind]
        sums[0] += effect
        if told is not None:
            sums[1] += vat
            sums[2] += 1
    return (
        Group(type_, detail, *sums)
        for (type_, detail, fault), sums in apart.items()
        if fault is not Fault.OTHER_CURRENCY
    )


class Tally:
    """The sums of a payout's rows, added one by one in flat memory."""

    __slots__ = ("_commission_returns", "_effects", "_fees_seen", "_vat", "_vat_refunded", "_vat_seen")

    def __init__(self) -> None:
        self._effects: Counter[str] = Counter()
        self._commission_returns = 0
        self._vat = self._vat_refunded = 0
        self._fees_seen = False
        self._vat_seen = False

    def add(self, item: Row | Group) -> None:
        """Count a row, or a group of rows. Amounts of an unknown type or another currency are in no total."""
        if item.type not in TYPES or (isinstance(item, Row) and item.fault is Fault.OTHER_CURRENCY):
            return
        if item.type == "REVERSAL" and item.detailed_type in COMMISSION_RETURNS:
            self._commission_returns += item.signed_minor
        else:
            self._effects[item.type] += item.signed_minor
        if item.type in FEE_TYPES:
            if item.type == "FEE_REFUND":
                self._vat_refunded += item.signed_vat_minor
            else:
                self._vat -= item.signed_vat_minor
            told = item.vat_rows if isinstance(item, Group) else item.vat_amount_minor is not None
            self._fees_seen = True
            self._vat_seen = self._vat_seen or bool(told)

    @property
    def leaves_vat_out(self) -> bool:
        """Whether there are fees and no row tells the VAT on any."""
        return self._fees_seen and not self._vat_seen

    def totals(self, *, commission_apart: bool) -> Totals:
        """The rows as totals. Debt movements have no rows."""
        sums: Counter[str] = Counter()
        for type_, effect in self._effects.items():
            field = TYPES[type_][0]
            sums[field] += effect if _gives(field) else -effect
        sums["commission_reversal" if commission_apart else "reversal"] -= self._commission_returns
        sums["tax"] += self._vat
        sums["tax_refund"] = self._vat_refunded
        return Totals(**sums)


def _gives(field: str) -> bool:
    return field in ("sale", "fee_refund", "fee_correction", "commission", "credit", "release")


def tally(rows: Iterable[Row | Group]) -> Tally:
    """Add up rows or groups."""
    sums = Tally()
    for row in rows:
        sums.add(row)
    return sums


_PER_TYPE = tuple(dict.fromkeys(field for field, _ in TYPES.values() if field != "tax"))


def prove(
    payout: Payout | Period, rows: Tally | Iterable[Row | Group], *, explained_minor: int = 0
) -> list[Difference]:
    """Everything that does not add up, to the öre; an empty list is the proof.

    Rows per type against the stated totals; VAT on fees against the stated tax; rows and totals against the settlement
    amount; opening debt plus deposit less repay against closing debt. A total that is not stated is taken from the
    rows, save deposit and repay, which have none. For a period, give the rows of all its payouts in its currency.
    ``explained_minor`` is the effect of rows of unknown types, in no total, to which a person has given a direction.
    Source: B5.
    """
    sums = rows if isinstance(rows, Tally) else tally(rows)
    totals, stated = payout.totals, payout.stated
    commission_apart = totals.commission_reversal != 0
    ours = sums.totals(commission_apart=commission_apart)
    found = [
        Difference(DifferenceKind.TOTAL, field, getattr(ours, field), getattr(totals, field))
        for field in (*_PER_TYPE, *(("commission_reversal",) if commission_apart else ()))
        if field in stated and getattr(ours, field) != getattr(totals, field)
    ]
    if "tax" in stated:
        # A report without a total for refunded VAT either counts it in tax or leaves it to the rows.
        net = "tax_refund" in stated or ours.tax != totals.tax
        rows_tax, tax = ours.tax - net * ours.tax_refund, totals.tax - totals.tax_refund
        if rows_tax != tax:
            kind = DifferenceKind.VAT_LEFT_OUT if sums.leaves_vat_out else DifferenceKind.VAT
            found.append(Difference(kind, "tax", rows_tax, tax))
        if net or sums.leaves_vat_out:
            ours = replace(ours, tax=tax if sums.leaves_vat_out else rows_tax, tax_refund=0)
            totals = replace(totals, tax=tax, tax_refund=0)
    if "settlement" in stated:
        ours = replace(ours, deposit=totals.deposit, repay=totals.repay)
        filled = replace(
            totals,
            **{field: getattr(ours, field) for field in (*_PER_TYPE, "tax", "tax_refund") if field not in stated},
        )
        by_rows, by_totals = ours.net() + explained_minor, filled.net() + explained_minor
        if by_rows != totals.settlement:
            found.append(Difference(DifferenceKind.SETTLEMENT, "settlement", by_rows, totals.settlement))
        if by_totals not in (totals.settlement, by_rows):
            found.append(Difference(DifferenceKind.NET, "settlement", by_totals, totals.settlement))
    else:
        found.append(Difference(DifferenceKind.UNSTATED, "settlement", ours.net() + explained_minor, 0))
    if {"opening_debt", "closing_debt"} <= stated and totals.debt_after() != totals.closing_debt:
        found.append(Difference(DifferenceKind.DEBT, "closing_debt", totals.debt_after(), totals.closing_debt))
    return found


#: The fields that make two rows the same row. References and dates of the order are left out: they change without the
#: row changing; of the instant the date counts, because a report may be configured to write no more.
KEY_FIELDS = (
    "type",
    "detailed_type",
    "signed_minor",
    "vat_amount_minor",
    "currency",
    "order_id",
    "short_order_id",
    "capture_id",
    "refund_id",
    "merchant_capture_reference",
    "merchant_refund_reference",
    "captured_at",
)
_PLAIN_DETAILS = {("SALE", "PURCHASE"), ("RETURN", "PURCHASE_RETURN")}


def content_key(row: Row, fields: AbstractSet[str] = frozenset(KEY_FIELDS)) -> str:
    """The content of a row as 32 hexadecimal digits, the same in every format.

    ``fields`` narrows it to what two reports both have. Equal rows have equal keys: see ``numbered_keys``.
    """
    return content_keys([(value,) for value in row], fields)[0]


def content_keys(columns: Columns, fields: AbstractSet[str] = frozenset(KEY_FIELDS)) -> list[str]:
    """The content keys of a block of rows."""
    named = dict(zip(FIELDS, columns, strict=True))

    def told(name: str, value: Callable[[Any], Any]) -> Iterable[Any]:
        """A column as far as the key goes; None where a row has nothing, and everywhere when both reports do not have it."""
        column = named[name]
        return [value(each) if each else None for each in column] if name in fields and any(column) else repeat(None)

    kinds = zip(named["type"], named["detailed_type"], strict=True)
    content = zip(
        named["type"],
        [None if kind in _PLAIN_DETAILS else kind[1] for kind in kinds] if "detailed_type" in fields else repeat(None),
        named["signed_minor"],
        [vat or 0 for vat in named["vat_amount_minor"]] if "vat_amount_minor" in fields else repeat(0),
        named["currency"],
        told("order_id", str.casefold),
        # A live feed appends the capture to the order, "42W6SNM2-1": the part before it is the order.
        told("short_order_id", _before_dash),
        told("capture_id", str.casefold),
        told("refund_id", str.casefold),
        told("merchant_capture_reference", str),
        told("merchant_refund_reference", str),
        told("captured_at", _day),
        strict=False,
    )
    return [sha256(repr(each).encode()).hexdigest()[:32] for each in content]


def _before_dash(text: str) -> str:
    return text.partition("-")[0]


@lru_cache(maxsize=4096)
def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def numbered_keys(rows: Iterable[Row], fields: AbstractSet[str] = frozenset(KEY_FIELDS)) -> Iterator[str]:
    """Content key and occurrence number, ``<key>.<n>``, unique within a payout: two equal fees are two rows."""
    seen: Counter[str] = Counter()
    for row in rows:
        key = content_key(row, fields)
        seen[key] += 1
        yield f"{key}.{seen[key]}"


class RowsHash:
    """A hash of a payout's rows as a multiset: whatever their order, in flat memory."""

    __slots__ = ("_count", "_sum")

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0

    def add(self, keys: Sequence[int]) -> None:
        """Count content keys, as the numbers that their digits are."""
        self._count += len(keys)
        self._sum += sum(keys)

    def __str__(self) -> str:
        return f"{self._count}:{self._sum % (1 << 128):032x}"


def rows_hash(rows: Iterable[Row], fields: AbstractSet[str] = frozenset(KEY_FIELDS)) -> RowsHash:
    """The hash of these rows, as far as ``fields`` go."""
    sums = RowsHash()
    for columns in columns_of(rows):
        sums.add([int(key, 16) for key in content_keys(columns, fields)])
    return sums


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows only one of two reports has, side by side for a break; both empty when the reports are the same."""

    gone: tuple[Row, ...]
    new: tuple[Row, ...]


def compare(
    before: Iterable[Row], after: Iterable[Row], fields: AbstractSet[str] = frozenset(KEY_FIELDS)
) -> Comparison:
    """Two reports of one payout as multisets. Give as ``fields`` those that both reports have."""
    left = dict(_keyed(before, fields))
    right = dict(_keyed(after, fields))
    return Comparison(
        tuple(row for key, row in left.items() if key not in right),
        tuple(row for key, row in right.items() if key not in left),
    )


def _keyed(rows: Iterable[Row], fields: AbstractSet[str]) -> Iterator[tuple[str, Row]]:
    kept = tuple(rows)
    return zip(numbered_keys(kept, fields), kept, strict=True)
