"""The Settlements API's answer becomes the same payout and rows as a report in CSV; no database, no network.

Live answers differ from Klarna's description: totals are missing, order fields are null or left out. Those are read as
0 and as nothing; a value of the wrong type is refused. Amounts are integers in minor units. Source: K47, catalogue
row 68.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from errors import N_, BadInput
from services.settlement_cells import MAX_MINOR, MAX_TEXT, Cells, clip, currency_code, is_reference, moment
from services.settlement_layouts import (
    API_TOTALS,
    Fault,
    Payout,
    Row,
    SettlementType,
    SignRule,
    Statement,
    kind_of,
    totals_as_magnitudes,
)

_ALWAYS = frozenset({"payment_reference", "type", "signed_minor", "currency"})
#: Field of ``Row`` -> name in the answer.
_NAMES: Mapping[str, str] = {
    "detailed_type": "detailed_type",
    "vat_amount_minor": "vat_amount",
    "vat_rate": "vat_rate",
    "order_id": "order_id",
    "short_order_id": "short_order_id",
    "capture_id": "capture_id",
    "refund_id": "refund_id",
    "merchant_reference1": "merchant_reference1",
    "merchant_reference2": "merchant_reference2",
    "merchant_capture_reference": "merchant_capture_reference",
    "merchant_refund_reference": "merchant_refund_reference",
    "captured_at": "capture_date",
    "sale_date": "sale_date",
}


def read_payout_json(
    payout: Mapping[str, object], transactions: Iterable[Mapping[str, object]], *, now: datetime
) -> Statement:
    """A payout and its transactions from all pages, in memory. Raises BadInput naming the field and the transaction."""
    facts = read_payout(payout, now=now)
    named: set[str] = set()
    rows = tuple(read_transactions(facts, _noting(transactions, named), now=now))
    return Statement(facts, rows, _ALWAYS | {field for field, name in _NAMES.items() if name in named})


def read_payout(payout: Mapping[str, object], *, now: datetime) -> Payout:
    """The payout object alone, for one whose transactions come page by page. Raises BadInput."""
    source = _Answer(payout, None, now)
    totals = payout.get("totals")
    given = _Answer(totals if totals is not None else {}, None, now)
    written = {field: given.integer(name) for field, name in API_TOTALS.items()}
    stated = {field: value for field, value in written.items() if value is not None}
    magnitudes = totals_as_magnitudes(stated)
    if magnitudes is None:
        raise given.refusal("totals", "contradictory in sign")
    reference = source.text("payment_reference")
    if reference is None or not is_reference(reference):
        raise source.refusal("payment_reference", reference)
    settlement_type = source.text("merchant_settlement_type")
    try:
        settled = SettlementType(settlement_type.upper()) if settlement_type else None
    except ValueError:
        raise source.refusal("merchant_settlement_type", settlement_type) from None
    at = source.moment("payout_date")
    if at is None:
        raise source.refusal("payout_date", None)
    return Payout(
        reference, source.currency() or "", source.text("merchant_id"), at, settled, magnitudes, frozenset(stated)
    )


def read_transactions(payout: Payout, transactions: Iterable[Mapping[str, object]], *, now: datetime) -> Iterator[Row]:
    """The rows of a payout, one by one; ``line`` counts them from 1. Raises BadInput."""
    rule = SignRule()
    for number, transaction in enumerate(transactions, 1):
        source = _Answer(transaction, number, now)
        reference = source.text("payment_reference")
        if reference not in (None, payout.payment_reference):
            raise source.refusal("payment_reference", reference)
        type_, amount = source.text("type"), source.integer("amount")
        if type_ is None or not type_.strip():
            raise source.refusal("type", type_)
        if amount is None:
            raise source.refusal("amount", None)
        kind = kind_of(type_, source.text("detailed_type") or "")
        signed, fault = rule.effect(kind, amount)
        vat, rate = source.integer("vat_amount"), source.integer("vat_rate")
        if rate is not None and not 0 <= rate <= 10_000:
            raise source.refusal("vat_rate", rate)
        currency = source.currency(payout.currency)
        yield Row(
            payout.payment_reference,
            number,
            kind.type,
            kind.detailed_type,
            signed,
            None if vat is None else abs(vat),
            rate,
            source.text("order_id"),
            source.text("short_order_id"),
            source.text("capture_id"),
            source.text("refund_id"),
            source.text("merchant_reference1"),
            source.text("merchant_reference2"),
            source.text("merchant_capture_reference"),
            source.text("merchant_refund_reference"),
            source.moment("capture_date"),
            source.moment("sale_date"),
            currency,
            fault or (None if currency == payout.currency else Fault.OTHER_CURRENCY),
        )


def _noting(transactions: Iterable[Mapping[str, object]], named: set[str]) -> Iterator[Mapping[str, object]]:
    for transaction in transactions:
        if isinstance(transaction, Mapping):
            named.update(transaction)
        yield transaction


class _Answer:
    """One object of the answer, read with strict types; null is the same as left out."""

    __slots__ = ("_cells", "_given", "_number")

    def __init__(self, given: object, number: int | None, now: datetime) -> None:
        self._number = number
        self._cells = Cells(now)
        if not isinstance(given, Mapping):
            raise self.refusal("the object", given)
        self._given = given

    def refusal(self, name: str, value: object) -> BadInput:
        """The no to one value; ``value`` is shown as it came."""
        shown = clip("null" if value is None else value)
        if self._number is None:
            return BadInput(N_("Klarna's payout cannot be read: %(name)s is %(text)s."), name=name, text=shown)
        return BadInput(
            N_("Klarna's transaction %(row)s cannot be read: %(name)s is %(text)s."),
            row=self._number,
            name=name,
            text=shown,
        )

    def text(self, name: str) -> str | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
            raise self.refusal(name, value)
        return value

    def integer(self, name: str) -> int | None:
        value = self._given.get(name)
        if value is None:
            return None
        # A bool is an int to isinstance; to Klarna's books it is not.
        if type(value) is not int or abs(value) > MAX_MINOR:
            raise self.refusal(name, value)
        return value

    def moment(self, name: str) -> datetime | None:
        value = self.text(name)
        if value is None:
            return None
        at = moment(value)
        if at is None or not self._cells.possible(at):
            raise self.refusal(name, value)
        return at

    def currency(self, default: str | None = None) -> str:
        value = self.text("currency_code") or default
        code = currency_code(value) if value else None
        if code is None:
            raise self.refusal("currency_code", value)
        return code
