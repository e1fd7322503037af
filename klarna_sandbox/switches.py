"""Where the public sources disagree or are silent, a switch says which way the sandbox goes."""

from dataclasses import dataclass

from klarna_sandbox.refusals import Misuse

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Switch:
    """One choice: its name, its values (the first is the default) and what it is for.

    `number` lets any whole number stand beside the values; `free` any text.
    """

    name: str
    values: tuple[str, ...]
    purpose: str
    number: bool = False
    free: bool = False

    @property
    def default(self) -> str:
        return self.values[0]

    def accepts(self, value: str) -> bool:
        return value in self.values or self.free or (self.number and value.isascii() and value.isdigit())


ON_OFF = ("on", "off")
OFF_ON = ("off", "on")

SWITCHES: dict[str, Switch] = {
    switch.name: switch
    for switch in (
        Switch("auth_401_body", ("html", "json"), "Body of a 401"),
        Switch("transaction_id_header", ON_OFF, "Transaction-Id on the 201 of a capture or refund"),
        Switch("rate_limit", ("off",), "Calls per second and merchant id before 429", number=True),
        Switch("rate_limit_headers", OFF_ON, "Quota headers, and Retry-After on 429"),
        Switch("idem_remember", ("2xx_403", "2xx", "all"), "Which answers an idempotency key remembers"),
        Switch("idem_in_flight", ("409", "wait"), "The same key while its first request still runs"),
        Switch("idem_hours", ("24",), "Hours an idempotency key is remembered", number=True),
        Switch("strict_lines", ("warn", "refuse"), "Line sums and the tax rule on captures, refunds and updates"),
        Switch("overcapture_text", ("plain", "figures"), "Text of a capture above the remaining authorization"),
        Switch("zero_amount", ("refuse", "accept"), "Captures and refunds of 0"),
        Switch("unknown_capture", ("NO_SUCH_ORDER", "NO_SUCH_CAPTURE"), "Code for reading an unknown capture"),
        Switch("refund_unknown_order", ("NOT_FOUND", "NO_SUCH_ORDER"), "Code for a refund on an unknown order"),
        Switch("unknown_refund_status", ("404", "400"), "Status for reading an unknown refund"),
        Switch("refund_limit_days", ("off",), "Days after the last capture that a refund is allowed", number=True),
        Switch("closed_refund", ("accept", "refuse"), "Refund on a closed order"),
        Switch("return_fee_countries", ("newer", "older"), "Countries where a return fee is allowed"),
        Switch("read_lag_ms", ("0",), "Milliseconds that reads stay behind the last write", number=True),
        Switch("cancel_again", ("refuse", "204"), "Cancelling a cancelled order"),
        Switch("authorization_days", ("28",), "Days an authorization lives", number=True),
        Switch("expiry_part_captured", ("stay", "captured"), "Status of a part-captured order past its expiry"),
        Switch("push_schedule", ("current", "two_hours"), "When checkout pushes are repeated"),
        Switch("rejected_capture_hours", ("4",), "Hours a rejected order can still be captured", number=True),
        Switch("pagination_null", ("absent", "null"), "next and prev when there is no such page"),
        Switch("transaction_fields", ("spec", "live"), "Field names of settlement transactions"),
        Switch("return_capture_id", ("empty", "absent", "null"), "capture_id on RETURN and REVERSAL rows"),
        Switch("short_order_suffix", OFF_ON, "Capture suffix on short_order_id"),
        Switch("fee_percent", ("249",), "Fee per capture, hundredths of a percent", number=True),
        Switch("fee_fixed", ("300",), "Fixed fee per capture, minor units", number=True),
        Switch("fee_vat", ("2500",), "VAT on fees, hundredths of a percent", number=True),
        Switch("payout_weekday", ("wednesday", *(day for day in WEEKDAYS if day != "wednesday")), "Day of payouts"),
        Switch("payout_delay_days", ("7",), "Days from an event to its first possible payout", number=True),
        Switch("settlement_type", ("NET", "GROSS"), "NET keeps the fees; GROSS invoices them in GROSS_FEE payouts"),
        Switch("scheduled_payouts", ON_OFF, "Payouts by the calendar; off leaves only payouts on demand"),
        Switch("csv_delimiter", ("semicolon", "comma", "tab", "pipe"), "Between the fields of a CSV report"),
        Switch("csv_decimal", ("dot", "comma"), "Decimal sign in a CSV report"),
        Switch("csv_signs", OFF_ON, "Minus on amounts that count against the merchant"),
        Switch("csv_dates", ("iso", "space", "date"), "2018-08-10T07:45:00Z, 2018-08-10 07:45:00 or 2018-08-10"),
        Switch("csv_summary", ON_OFF, "Summary section at the head of a payout's report"),
        Switch(
            "csv_columns",
            ("all", "ten"),
            "all, ten, or names with commas between, each name or name=heading",
            free=True,
        ),
        Switch("csv_type_case", ("upper", "lower"), "Letter case of type"),
        Switch("csv_rate", ("percent", "hundredths"), "Tax rates as 25.00 or 2500"),
        Switch("csv_bom", OFF_ON, "Byte order mark"),
        Switch("csv_eol", ("lf", "crlf"), "Line ends"),
        Switch("csv_blank_line", OFF_ON, "Blank line between the sections"),
        Switch("csv_quotes", ("needed", "always"), "Quotes round fields"),
    )
}


class Switchboard:
    """The switches of one sandbox as they stand."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, SWITCHES[name].default)

    def number(self, name: str) -> int:
        """A switch that holds a whole number; `off` is 0."""
        value = self[name]
        return int(value) if value.isdigit() else 0

    def on(self, name: str) -> bool:
        return self[name] == "on"

    def set(self, name: str, value: object) -> None:
        """Turn one switch. Raises Misuse for a name or value it does not know."""
        if name not in SWITCHES:
            raise Misuse(f"There is no switch {name}.")
        text = str(value).strip()
        if not SWITCHES[name].accepts(text):
            raise Misuse(f"Switch {name} does not take {text}.")
        self._values[name] = text

    def reset(self) -> None:
        """Every switch back to its default."""
        self._values.clear()

    def as_doc(self) -> dict[str, str]:
        """Every switch with its present value."""
        return {name: self[name] for name in SWITCHES}

    def from_doc(self, doc: dict[str, str]) -> None:
        """Take up what `as_doc` kept, leaving out what is no longer known."""
        self._values = {name: value for name, value in doc.items() if name in SWITCHES}
