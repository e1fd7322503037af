"""One report, CSV or the API's answer, that can be read again and again from its bytes, and what a first reading tells.

Amounts are minor units; no database; memory stays flat, however many rows there are. Source: operations 14; B5.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import IO, Any

import clock
from errors import N_, BadInput, Refusal
from money import Amount
from services import settlement_answers, settlement_bytes, settlement_reader
from services.settlement_cells import Limits, bad
from services.settlement_layouts import FEE_TYPES, Fault, Payout, Row, Totals
from services.settlement_proof import KEY_FIELDS, Difference, DifferenceKind, RowsHash, Tally, content_key, prove

WIDE = Limits(bytes=1 << 30)
"""How large a report may be that comes by the folder; by a page it is much less (catalogue row 48)."""
_ANSWER = b'{"payout":'


class Seen:
    """Which content keys have come before: a field of bits, so that memory stays flat. It errs on the side of yes, 1 in 100."""

    __slots__ = ("_bits",)
    _SIZE = 1 << 26

    def __init__(self) -> None:
        self._bits = bytearray(self._SIZE >> 3)

    def before(self, key: int) -> bool:
        """Whether this key has perhaps come before; from now on it has."""
        place = key & (self._SIZE - 1)
        bit = 1 << (place & 7)
        if self._bits[place >> 3] & bit:
            return True
        self._bits[place >> 3] |= bit
        return False


@dataclass(slots=True)
class Survey:
    """What one reading of a report tells about one of its payouts.

    ``unknown_minor`` sums rows of unknown types; ``twins`` are the keys of rows that may stand in it more than once;
    ``unused`` are the report's columns that nothing is read from.
    """

    payout: Payout
    fields: frozenset[str] = frozenset()
    tally: Tally = field(default_factory=Tally)
    rows_hash: RowsHash = field(default_factory=RowsHash)
    count: int = 0
    unknown_minor: int = 0
    last_at: datetime | None = None
    twins: set[int] = field(default_factory=set)
    unused: tuple[str, ...] = ()

    def add(self, row: Row, seen: Seen) -> None:
        """Count a row."""
        self.tally.add(row)
        key = int(content_key(row), 16)
        self.rows_hash.add(key)
        if seen.before(key):
            self.twins.add(key)
        self.count += 1
        if row.fault is Fault.UNKNOWN_TYPE:
            self.unknown_minor += row.signed_minor
        if row.captured_at is not None and (self.last_at is None or row.captured_at > self.last_at):
            self.last_at = row.captured_at

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


def written_fault(row: Row, sign: int) -> tuple[int, str | None]:
    """A row's effect on its payout and its fault; where the two part, the fault carries the amount as it was written."""
    if row.fault is Fault.UNKNOWN_TYPE:
        effect = sign * row.signed_minor
    elif row.fault is Fault.OTHER_CURRENCY:
        effect = 0
    else:
        return row.signed_minor, row.fault
    return effect, f"{row.fault} {row.signed_minor} {row.currency}"


def read_fault(text: str | None, effect_minor: int, currency: str) -> tuple[Fault | None, int, str]:
    """Fault, amount as it was written and its currency, of a row that is kept."""
    if text is None:
        return None, effect_minor, currency
    name, *written = text.split(" ")
    return (Fault(name), int(written[0]), written[1]) if written else (Fault(name), effect_minor, currency)


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
        return map(_as_kept, self._open()[1])

    def _open(self) -> tuple[settlement_reader.Reading | Payout, Iterator[Row]]:
        now = clock.now()
        self.stream.seek(0)
        is_answer = self.stream.read(len(_ANSWER)) == _ANSWER
        self.stream.seek(0)
        if is_answer:
            head = _object(self.stream.readline())
            payout = settlement_answers.read_payout(_part(head, "payout", dict), now=now)
            transactions = _part(head, "transactions", list) if "transactions" in head else map(_object, self.stream)
            return payout, settlement_answers.read_transactions(payout, transactions, now=now)
        reading = settlement_reader.read_csv(self.stream, self.file_name, now=now, limits=self._limits)
        return reading, iter(reading)

    def hashes(self, fields: Mapping[str, frozenset[str]]) -> dict[str, str]:
        """The hash of the rows of each of these payouts, as far as its fields go; the report is read once for all of them."""
        found = {reference: RowsHash() for reference in fields}
        for row in self.rows():
            if row.payment_reference in found:
                found[row.payment_reference].add(int(content_key(row, fields[row.payment_reference]), 16))
        return {reference: str(sums) for reference, sums in found.items()}

    def survey(self) -> Sequence[Survey]:
        """Read the whole report once. Raises BadInput and its kin for anything that cannot be recognised."""
        opened, rows = self._open()
        seen = Seen()
        found: dict[str, Survey] = {}
        for row in rows:
            survey = found.get(row.payment_reference)
            if survey is None:
                survey = found[row.payment_reference] = Survey(Payout(row.payment_reference, row.currency))
            survey.add(_as_kept(row), seen)
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


def _as_kept(row: Row) -> Row:
    if row.type in FEE_TYPES or row.vat_amount_minor is None:
        return row
    return row._replace(vat_amount_minor=None)  # noqa: SLF001 - how a named tuple is copied


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
