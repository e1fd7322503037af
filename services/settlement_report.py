"""One report, CSV or the API's answer, that can be read again and again from its bytes, and what a first reading tells.

Amounts are minor units; no database; memory stays flat, however many rows there are. Source: operations 14; B5.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import chain
from typing import IO, Any, NamedTuple

import clock
from errors import N_, BadInput, Refusal
from money import Amount
from services import settlement_answers, settlement_bytes, settlement_reader
from services.settlement_cells import Limits, bad
from services.settlement_columns import Aside, Columns, by_payout, columns_of, rows_of
from services.settlement_layouts import FEE_TYPES, Fault, Payout, Row, Totals, signed_vat
from services.settlement_proof import (
    KEY_FIELDS,
    Difference,
    DifferenceKind,
    RowsHash,
    Tally,
    content_keys,
    groups_of,
    prove,
)

WIDE = Limits(bytes=1 << 30)
"""How large a report may be that comes by the folder; by a page it is much less (catalogue row 48)."""
_ANSWER = b'{"payout":'


class Seen:
    """Which content keys have come before: a field of bits, so that memory stays flat. It errs on the side of yes, 1 in 100."""

    __slots__ = ("_bits",)
    _SIZE = 1 << 26

    def __init__(self) -> None:
        self._bits = bytearray(self._SIZE >> 3)

    def before(self, keys: Sequence[int]) -> Iterator[int]:
        """Those of these keys that have perhaps come before; from now on all have."""
        bits, last = self._bits, self._SIZE - 1
        for key in keys:
            place = key & last
            byte, bit = place >> 3, 1 << (place & 7)
            if bits[byte] & bit:
                yield key
            else:
                bits[byte] |= bit


@dataclass(slots=True)
class Survey:
    """What one reading of a report tells about one of its payouts.

    ``faulty`` counts the rows that wait for a person whatever they fit; ``unknown_minor`` sums rows of unknown types;
    ``twins`` are the keys of rows that may stand in it more than once; ``unused`` are the report's columns that nothing is
    read from.
    """

    payout: Payout
    fields: frozenset[str] = frozenset()
    tally: Tally = field(default_factory=Tally)
    rows_hash: RowsHash = field(default_factory=RowsHash)
    count: int = 0
    faulty: int = 0
    unknown_minor: int = 0
    last_at: datetime | None = None
    twins: set[str] = field(default_factory=set)
    unused: tuple[str, ...] = ()

    def add(self, columns: Columns, seen: Seen, aside: Aside | None) -> None:
        """Count some rows of the payout, and lay them aside as they will be kept."""
        reference, _, types, details, signed, vats, rates, *texts, captured, _, currencies, faults = columns
        keys = content_keys(columns)
        numbers = [int(key, 16) for key in keys]
        self.rows_hash.add(numbers)
        self.twins.update(f"{key:032x}" for key in seen.before(numbers))
        signed_vats = list(map(signed_vat, types, signed, vats)) if any(vats) else [0] * len(vats)
        for group in groups_of(columns, signed_vats):
            self.tally.add(group)
        self.count += len(keys)
        self.last_at = max(filter(None, (self.last_at, *captured)), default=None)
        if any(faults):
            self.faulty += sum(fault is not None for fault in faults)
            unknown = zip(signed, faults, strict=True)
            self.unknown_minor += sum(effect for effect, fault in unknown if fault is Fault.UNKNOWN_TYPE)
            signed, faults = zip(*map(_written_fault, signed, currencies, faults), strict=True)
        if aside is not None:
            instants = [at and _instant(at) for at in captured]
            details = [detail or "" for detail in details]
            aside.add(reference[0], (keys, types, details, signed, signed_vats, rates, *texts, instants, faults))

    @property
    def differences(self) -> Sequence[Difference]:
        """What does not add up, with rows of unknown types in the direction that fits."""
        return prove(self.payout, self.tally, explained_minor=(direction(self) or 0) * self.unknown_minor)

    @property
    def difference_minor(self) -> int:
        """By how much the rows miss what is stated; 0 when something else is wrong."""
        worst = _worst(self.differences)
        return worst.rows_minor - worst.stated_minor if worst else 0


def direction(survey: Survey) -> int | None:
    """Which way rows of unknown types must go for the payout to add up: 1, -1, 0 for not at all; None when none does.

    The sums say it, to the öre; what the rows are is left to a person.
    """
    for sign in (0, 1, -1):
        if not prove(survey.payout, survey.tally, explained_minor=sign * survey.unknown_minor):
            return sign
    return None


def _written_fault(signed_minor: int, currency: str, fault: Fault | None) -> tuple[int, str | None]:
    """A row's effect on its payout and its fault; where the two part, the fault carries the amount as it was written.

    What a row of an unknown type does to it is told by ``turned``.
    """
    if fault is Fault.UNKNOWN_TYPE:
        return signed_minor, f"{fault} {signed_minor} {currency}"
    if fault is Fault.OTHER_CURRENCY:
        return 0, f"{fault} {signed_minor} {currency}"
    return signed_minor, None if fault is None else str(fault)


def turned(signed: Sequence[int], faults: Sequence[str | None], sign: int) -> Sequence[int]:
    """The effects of rows that were laid aside, those of unknown types in the direction that fits."""
    if not any(faults):
        return signed
    unknown = Fault.UNKNOWN_TYPE.value
    return [
        sign * effect if fault and fault.partition(" ")[0] == unknown else effect
        for effect, fault in zip(signed, faults, strict=True)
    ]


@lru_cache(maxsize=4096)
def _instant(at: datetime) -> str:
    """An instant as both databases take it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_fault(text: str | None, effect_minor: int, currency: str) -> tuple[Fault | None, int, str]:
    """Fault, amount as it was written and its currency, of a row that is kept."""
    if text is None:
        return None, effect_minor, currency
    name, *written = text.split(" ")
    return (Fault(name), int(written[0]), written[1]) if written else (Fault(name), effect_minor, currency)


class Written(NamedTuple):
    """What a row that has no effect on its payout states all the same."""

    fault: Fault
    amount: Amount


def written(text: str | None, effect_minor: int) -> Written | None:
    """The amount as it was written, of a row that is kept, where its effect does not tell it; else None."""
    if effect_minor:
        return None
    fault, minor, currency = read_fault(text, 0, "")
    return Written(fault, Amount(minor, currency)) if fault is not None and minor else None


class Report:
    """A report as it came. ``source`` is its bytes, or a stream that nobody else reads or changes."""

    def __init__(
        self, source: bytes | IO[bytes], file_name: str, sha256: str = "", limits: Limits | None = None
    ) -> None:
        self.stream = io.BytesIO(source) if isinstance(source, bytes) else source
        self.file_name = file_name
        self._sha256 = sha256
        self._limits = limits or Limits()

    @cached_property
    def sha256(self) -> str:
        """The hash of its bytes."""
        return self._sha256 or settlement_bytes.fingerprint(self.stream)

    def rows(self) -> Iterator[Row]:
        """Every row, from the first; the VAT figure of rows that are no fee means nothing and is left out."""
        return chain.from_iterable(map(rows_of, self._open()[1]))

    def _open(self) -> tuple[settlement_reader.Reading | Payout, Iterator[Columns]]:
        now = clock.now()
        self.stream.seek(0)
        is_answer = self.stream.read(len(_ANSWER)) == _ANSWER
        self.stream.seek(0)
        if is_answer:
            head = _object(self.stream.readline())
            payout = settlement_answers.read_payout(_part(head, "payout", dict), now=now)
            transactions = _part(head, "transactions", list) if "transactions" in head else map(_object, self.stream)
            rows = settlement_answers.read_transactions(payout, transactions, now=now)
            return payout, map(_as_kept, columns_of(rows))
        reading = settlement_reader.read_csv(self.stream, self.file_name, now=now, limits=self._limits)
        return reading, map(_as_kept, reading.blocks())

    def hashes(self, fields: Mapping[str, frozenset[str]]) -> dict[str, str]:
        """The hash of the rows of each of these payouts, as far as its fields go; the report is read once for all of them."""
        found = {reference: RowsHash() for reference in fields}
        for reference, columns in chain.from_iterable(map(by_payout, self._open()[1])):
            if reference in found:
                found[reference].add([int(key, 16) for key in content_keys(columns, fields[reference])])
        return {reference: str(sums) for reference, sums in found.items()}

    def survey(self, aside: Aside | None = None) -> Sequence[Survey]:
        """Read the whole report once, and lay its rows aside for who wants to load them.

        Raises BadInput and its kin for anything that cannot be recognised.
        """
        opened, blocks = self._open()
        seen = Seen()
        found: dict[str, Survey] = {}
        for reference, columns in chain.from_iterable(map(by_payout, blocks)):
            survey = found.get(reference)
            if survey is None:
                # Its own currency is told by the payout, which is whole when the rows end.
                survey = found[reference] = Survey(Payout(reference, ""))
            survey.add(columns, seen, aside)
        payouts = (opened,) if isinstance(opened, Payout) else opened.payouts
        fields = frozenset(KEY_FIELDS) if isinstance(opened, Payout) else opened.fields
        for payout in payouts:
            survey = found.setdefault(payout.payment_reference, Survey(payout))
            survey.payout = payout
            survey.fields = fields
            survey.unused = () if isinstance(opened, Payout) else opened.unused
        if not found:
            raise BadInput(N_("The report has no rows."), field="file")
        return list(found.values())


def _object(line: bytes) -> Mapping[str, Any]:
    """A line of an answer that was kept. Raises BadInput when somebody else has written it."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise bad(N_("This looks like an answer of Klarna's, but it cannot be read."))
    return found


def _part(head: Mapping[str, Any], name: str, kind: type) -> Any:
    found = head.get(name)
    if not isinstance(found, kind):
        raise bad(N_("This looks like an answer of Klarna's, but it cannot be read."))
    return found


def _as_kept(columns: Columns) -> Columns:
    types, vats = columns[2], columns[5]
    if not any(vats):
        return columns
    kept = [vat if type_ in FEE_TYPES else None for type_, vat in zip(types, vats, strict=True)]
    return [*columns[:5], kept, *columns[6:]]


def totals_text(survey: Survey) -> str:
    """The stated totals, and the fields the report's rows have, as a payout keeps them."""
    totals = {name: getattr(survey.payout.totals, name) for name in sorted(survey.payout.stated)}
    return json.dumps({"stated": totals, "fields": sorted(survey.fields)})


def read_totals(text: str) -> tuple[Totals, frozenset[str]]:
    """The stated totals of a kept payout, and which they are."""
    stated = json.loads(text)["stated"]
    return Totals(**stated), frozenset(stated)


def read_fields(text: str) -> frozenset[str]:
    """The fields the rows of a kept payout were read with."""
    return frozenset(json.loads(text)["fields"])


_GRAVEST = (
    DifferenceKind.UNSTATED,
    DifferenceKind.VAT_LEFT_OUT,
    DifferenceKind.SETTLEMENT,
    DifferenceKind.NET,
    DifferenceKind.TOTAL,
    DifferenceKind.VAT,
    DifferenceKind.DEBT,
)


def _worst(differences: Sequence[Difference]) -> Difference | None:
    return min(differences, key=lambda each: _GRAVEST.index(each.kind), default=None)


def parked_sentence(survey: Survey) -> Refusal | None:
    """Why a payout does not add up, in one sentence; None when it does (B5)."""
    worst = _worst(survey.differences)
    if worst is None:
        return None
    if worst.kind is DifferenceKind.UNSTATED:
        return Refusal(
            N_(
                "The report does not state what the payout comes to, so nothing can be proved. Fetch the payout from "
                "Klarna, or read its report with the summary section. Nothing has been booked."
            )
        )
    if worst.kind is DifferenceKind.VAT_LEFT_OUT or survey.tally.leaves_vat_out:
        return Refusal(
            N_(
                "The report leaves out the VAT on Klarna's fees. Switch on tax_amount and tax_rate where Klarna's portal "
                "configures reports, and read it again. Nothing has been booked."
            )
        )
    rows = Amount(worst.rows_minor, survey.payout.currency)
    stated = Amount(worst.stated_minor, survey.payout.currency)
    if worst.kind is DifferenceKind.DEBT:
        message = N_(
            "The payout does not add up: opening debt and movements give %(rows)s, Klarna states %(stated)s. "
            "Nothing has been booked."
        )
    else:
        message = N_(
            "The payout does not add up: the rows give %(rows)s, Klarna states %(stated)s. Nothing has been booked."
        )
    return Refusal(message, rows=rows, stated=stated)
