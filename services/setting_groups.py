"""Company settings as people see them: in groups, with their names, and changed together from a day on (B36)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, Refusal, Stale
from models import Account, NumberSeries, Setting
from rights import Actor, Right
from services import company, numbering, settings, vat_rates


class Kind(StrEnum):
    """How a setting is typed and shown."""

    LINE = "line"
    LINES = "lines"
    EMAIL = "email"
    TICK = "tick"
    AMOUNT = "amount"
    DAYS = "days"
    NUMBER = "number"
    ACCOUNT = "account"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting with its name on the screen. ``rate``: the VAT rate it is about, hundredths of a percent."""

    setting: str
    label: str
    kind: Kind = Kind.LINE
    hint: str = ""
    required: bool = False
    rate: int | None = None
    choices: Sequence[tuple[str, str]] = ()

    @property
    def field(self) -> str:
        """The name of its form field."""
        return self.setting.partition(".")[2].replace(".", "_") or self.setting


COMPANY = (
    Entry("company.name", N_("Company name"), required=True),
    Entry("company.organisation_number", N_("Organisation number"), hint=N_("For example 556737-0431.")),
    Entry("company.vat_number", N_("VAT number"), hint=N_("SE, the organisation number and 01.")),
    Entry(
        "company.registered_office",
        N_("Registered office of the board"),
        hint=N_("The municipality, for a limited company."),
    ),
    Entry("company.street", N_("Street")),
    Entry("company.postal_code", N_("Postal code")),
    Entry("company.city", N_("City")),
    Entry("company.email", N_("E-mail"), Kind.EMAIL),
    Entry("company.phone", N_("Phone")),
    Entry("company.bankgiro", N_("Bankgiro"), hint=N_("Printed on invoices that the customer pays to you.")),
    Entry("company.f_tax", N_("Approved for F-tax"), Kind.TICK),
)
LIMITS = (
    Entry("payment.days", N_("Payment terms, days"), Kind.DAYS,
          N_("For invoices paid to you. A customer may have days of its own.")),
    Entry("payment.ocr", N_("OCR number"), Kind.CHOICE, N_("As agreed with your bank."), choices=(
        ("check", N_("With a check digit")), ("length", N_("With a length digit and a check digit")))),
    Entry("payment.rounding", N_("Rounding of invoices paid to you"), Kind.CHOICE,
          N_("What is paid through Klarna is never rounded."), choices=(
        ("none", N_("To the öre")), ("krona", N_("To whole kronor")))),
    Entry("refund_limit.clerk", N_("A clerk credits at most"), Kind.AMOUNT, N_("Above it Finance finishes the credit note.")),
    Entry("refund_limit.counts", N_("The limit counts"), Kind.CHOICE,
          N_("By the day, nobody passes the limit by crediting in parts."), choices=(
        ("each", N_("Each credit note by itself")), ("day", N_("All that one person credits in a day")))),
    Entry("decision_limit.second_person", N_("Two people decide above"), Kind.AMOUNT,
          N_("When Klarna has not told what happened, and somebody has to decide.")),
    Entry("unpaid_days", N_("Not paid out for a long time, days"), Kind.DAYS,
          N_("After them a document is shown as a difference.")),
    Entry("residue_limit", N_("Small differences rounded away, at most"), Kind.AMOUNT,
          N_("What a payment to you leaves or exceeds by no more than this is booked on the account for rounding.")),
    Entry("match_field", N_("The shop's order number at Klarna"), Kind.CHOICE,
          N_("Which of Klarna's two fields holds it."), choices=(
        ("merchant_reference1", N_("merchant_reference1")), ("merchant_reference2", N_("merchant_reference2")))),
    Entry("advance_vat_rule", N_("VAT on advances"), Kind.CHOICE, choices=(
        ("dormant", N_("Dormant until the advance is paid")), ("at_once", N_("At once")))),
)  # fmt: skip
TEXTS = (
    Entry("text.invoice_sv", N_("On invoices, in Swedish"), Kind.LINES),
    Entry("text.invoice_en", N_("On invoices, in English"), Kind.LINES, N_("Left empty, the Swedish text is printed.")),
    Entry("text.credit_note_sv", N_("On credit notes, in Swedish"), Kind.LINES),
    Entry("text.credit_note_en", N_("On credit notes, in English"), Kind.LINES, N_("Left empty, the Swedish text is printed.")),
    Entry("document.first_number", N_("First number of invoices and credit notes"), Kind.NUMBER,
          N_("Can be chosen until the first number has been taken.")),
)  # fmt: skip
ACCOUNTS = (
    Entry("account.receivable", N_("Accounts receivable"), Kind.ACCOUNT),
    Entry("account.bank", N_("Bank"), Kind.ACCOUNT),
    Entry("account.fee", N_("Klarna's fees"), Kind.ACCOUNT),
    Entry("account.input_vat", N_("Input VAT"), Kind.ACCOUNT),
    Entry("account.reverse_input", N_("Input VAT on fees from abroad"), Kind.ACCOUNT),
    Entry("account.reverse_output", N_("Output VAT on fees from abroad"), Kind.ACCOUNT),
    Entry("account.holdback", N_("Withheld by Klarna"), Kind.ACCOUNT),
    Entry("account.debt", N_("Debt to Klarna"), Kind.ACCOUNT),
    Entry("account.advance", N_("Advances from customers"), Kind.ACCOUNT),
    Entry("account.unallocated", N_("Not yet explained"), Kind.ACCOUNT),
    Entry("account.rounding", N_("Rounding"), Kind.ACCOUNT),
    Entry("account.freight", N_("Freight charged"), Kind.ACCOUNT),
    Entry("account.invoicing_fee", N_("Invoicing fees"), Kind.ACCOUNT),
    Entry("account.discount", N_("Discounts given"), Kind.ACCOUNT),
    Entry("account.stock", N_("Stock"), Kind.ACCOUNT),
    Entry("account.stock_change", N_("Change of stock"), Kind.ACCOUNT),
)
PER_RATE = (
    ("sales", N_("Sales at %(rate)s"), False),
    ("vat", N_("Output VAT at %(rate)s"), True),
    ("dormant", N_("Dormant VAT at %(rate)s"), True),
)
"""Settings there is one of for each VAT rate, and whether only for those above 0 %."""
GROUPS: Mapping[str, Sequence[Entry]] = {"company": COMPANY, "limits": LIMITS, "accounts": ACCOUNTS, "texts": TEXTS}
FIRST_NUMBER = "document.first_number"


_KINDS = {"stock.booking": Kind.TICK, "stock.elsewhere": Kind.AMOUNT}
ELSEWHERE: Mapping[str, str] = {
    "stock.booking": N_("Stock is booked as it moves"),
    "stock.elsewhere": N_("On the stock account in other books"),
    "mail.host": N_("Mail server"),
    "mail.port": N_("Port"),
    "mail.security": N_("Encryption"),
    "mail.username": N_("User name"),
    "mail.sender": N_("Sender's address"),
    "mail.sender_name": N_("Sender's name"),
}
"""Settings that have a page of their own, for the list of changes."""


def entries(session: Session, group: str) -> list[Entry]:
    """The settings of a group; the accounts have three for each VAT rate."""
    told = list(GROUPS[group])
    if group == "accounts":
        for rate in vat_rates.rates_known(session):
            told += [
                Entry(f"account.{part}.{rate}", label, Kind.ACCOUNT, rate=rate)
                for part, label, above_zero in PER_RATE
                if rate or not above_zero
            ]
    return told


def entry_of(setting: str) -> Entry:
    """What a setting is on the screen; itself where no group has it."""
    for group in GROUPS.values():
        for entry in group:
            if entry.setting == setting:
                return entry
    for part, label, _above_zero in PER_RATE:
        rate = setting.removeprefix(f"account.{part}.")
        if rate != setting and rate.isdigit():
            return Entry(setting, label, Kind.ACCOUNT, rate=int(rate))
    return Entry(setting, ELSEWHERE.get(setting, setting), _KINDS.get(setting, Kind.LINE))


def values(session: Session, shown: Sequence[Entry], day: date | None = None) -> dict[str, str]:
    """What these settings say on a day, by setting."""
    told = settings.values(session, "", day)
    return {entry.setting: told.get(entry.setting, "") for entry in shown}


def fingerprint(told: Mapping[str, str]) -> str:
    """What a form carries to see that nobody else has changed the group meanwhile (catalogue row 73)."""
    return hashlib.sha256(json.dumps(dict(told), sort_keys=True).encode()).hexdigest()


def coming(session: Session, shown: Sequence[Entry]) -> list[Setting]:
    """Changes of the group whose day has not come."""
    return settings.coming(session, [entry.setting for entry in shown])


def numbering_has_begun(session: Session) -> bool:
    """Whether a document has a number: then the first one is chosen."""
    return session.get(NumberSeries, (numbering.DOCUMENTS, numbering.RUNS_ON)) is not None


def accounts_to_choose(session: Session, chosen: Collection[str] = ()) -> list[Account]:
    """The chart as far as it is in use, and what has been chosen already, in use or not."""
    kept = Account.number.in_([int(each) for each in chosen if each.isdigit()])
    return list(session.scalars(sa.select(Account).where(Account.active.is_(True) | kept).order_by(Account.number)))


def save(
    session: Session, actor: Actor, group: str, typed: Mapping[str, str], valid_from: date, seen: str
) -> Sequence[str]:
    """Change what of a group was typed otherwise, from a day on, and name the settings. Nothing booked changes.

    Raises NotAllowed, BadInput, Stale, and Refusal for a first number when one has been taken.
    """
    actor.require(Right.ADMINISTER)
    settings.require_from_today(valid_from)
    shown = entries(session, group)
    now = values(session, shown)
    if fingerprint(now) != seen:
        raise Stale(N_("Somebody else has changed these settings. Reload the page and make the change again."))
    wanted = {entry.setting: typed[entry.setting] for entry in shown if entry.setting in typed}
    for entry in shown:
        if entry.required and not wanted.get(entry.setting, "").strip():
            raise BadInput(N_("This field must be filled in."), field=entry.field)
    if wanted.get(FIRST_NUMBER, now.get(FIRST_NUMBER)) != now.get(FIRST_NUMBER):
        _require_first_number_free(session, valid_from)
    changed = settings.change_all(session, actor, wanted, valid_from)
    if group == "company":
        then = values(session, shown, valid_from)
        company.require_same_owner(then["company.organisation_number"], then["company.vat_number"])
    return changed


def _require_first_number_free(session: Session, valid_from: date) -> None:
    if numbering_has_begun(session):
        raise Refusal(N_("A document has taken the first number; the series goes on from there."), field="first_number")
    if valid_from > clock.today():
        raise BadInput(N_("The first number holds at once. Choose today."), field="valid_from")
