"""Changes in words: what was set, added, closed, locked or decided, as the log keeps it (B36; BFNAR 2013:2 p. 9.16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import N_
from services import audit, setting_groups
from services.account_trial import SAID
from services.setting_groups import Entry, Kind
from states import FeesFrom
from web_labels import LABELS, VAT_CLASS_NAMES
from web_words import gettext as _
from web_words import money, percent

SETTINGS = ("setting.", "klarna_account.", "payment_method.", "vat_rate.", "fiscal_year.", "account.")
"""What the list of changed settings tells."""
PROCESSING = (*SETTINGS, "period.", "program.", "user.roles", "klarna.decided", "settlement.different")
"""What «Behandlingshistorik» tells beside the vouchers themselves (BFNAR 2013:2 p. 9.16)."""
ACTION_NAMES = {
    "setting.change": N_("Setting"),
    "klarna_account.create": N_("Klarna account added"),
    "klarna_account.change": N_("Klarna account changed"),
    "klarna_account.test": N_("Connection tried"),
    "payment_method.create": N_("Payment method added"),
    "payment_method.change": N_("Payment method changed"),
    "vat_rate.change": N_("VAT rate"),
    "fiscal_year.open": N_("Financial year opened"),
    "fiscal_year.carry": N_("Result carried to equity"),
    "account.add": N_("Account added"),
    "account.change": N_("Account changed"),
    "period.lock": N_("Period locked"),
    "period.lock_over": N_("Locked over what was open"),
    "period.unlock": N_("Period opened again"),
    "program.version": N_("Program version"),
    "user.roles": N_("Roles of a user"),
    "klarna.decided_happened": N_("Decided: happened at Klarna"),
    "klarna.decided_not_happened": N_("Decided: did not happen at Klarna"),
    "klarna.decided_first": N_("First of two decisions"),
    "settlement.different": N_("A payout came back different"),
}
DETAIL_NAMES = {
    "name": N_("Name"),
    "store_id": N_("Store id"),
    "provider": N_("Provider"),
    "region": N_("Region"),
    "environment": N_("Environment"),
    "address": N_("Address"),
    "buyer": N_("Buyer of the claim"),
    "fees_from": N_("Fees come from"),
    "active": N_("In use"),
    "credentials": N_("Credentials"),
    "result": N_("Answer"),
    "kind": N_("Kind"),
    "vat_rate": N_("VAT code"),
    "vat_box": N_("Box in the VAT return"),
    "payment_account": N_("Payment account"),
    "receivable": N_("Customer ledger"),
    "through": N_("Through"),
    "reason": N_("Reason"),
    "version": N_("Version"),
    "schema": N_("Database revision"),
    "document": N_("Documents"),
    "operation": N_("Acts at Klarna"),
    "payout": N_("Payouts"),
    "row": N_("Rows"),
    "break": N_("Differences"),
    "not_at_bank": N_("Payouts that are not found at the bank"),
    "deposit": N_("Deposits from Klarna without a payout"),
    "unexplained": N_("Not yet explained"),
    "name_sv": N_("Name of the method"),
    "name_en": N_("Name of the method, in English"),
    "heading_sv": N_("Document heading"),
    "heading_en": N_("Document heading, in English"),
    "document_name_sv": N_("Document name"),
    "document_name_en": N_("Document name, in English"),
}
VALUE_NAMES = {
    "typed": N_("typed anew"),
    "eu": N_("Europe"),
    "na": N_("North America"),
    "oc": N_("Oceania"),
    "live": N_("Live"),
    "klarna": N_("Klarna"),
    "kustom": N_("Kustom"),
    "invoice": N_("Invoice"),
    **LABELS[FeesFrom],
    **{result.value: sentence for result, sentence in SAID.items()},
}


def written(entry: Entry, text: str, names: Mapping[int, str]) -> str:
    """A setting's value as a person reads it."""
    if entry.kind is Kind.AMOUNT:
        return money(int(text))
    if entry.kind is Kind.TICK:
        return _("Yes") if text == "1" else _("No")
    if entry.kind is Kind.CHOICE:
        return _(dict(entry.choices).get(text, text))
    if entry.kind is Kind.ACCOUNT:
        return f"{text} {names.get(int(text), '')}".strip() if text.isdigit() else ""
    return text


def setting_name(entry: Entry) -> str:
    """What a setting is called."""
    return _(entry.label, rate=percent(entry.rate)) if entry.rate is not None else _(entry.label)


def _account_part(name: str, value: Any) -> str:
    if name == "vat_rate":
        return f"{_(DETAIL_NAMES[name])}: {percent(value)}"
    if value is True:
        return _(DETAIL_NAMES.get(name, name))
    return str(value) if name == "name" else _detail(name, value)


def _detail(name: str, value: Any) -> str:
    """A part of a change as a person reads it."""
    if isinstance(value, bool):
        value = _("Yes") if value else _("No")
    elif value in VALUE_NAMES:
        value = _(VALUE_NAMES[value])
    return f"{_(DETAIL_NAMES.get(name, name))}: {value}"


def told(line: audit.Line, names: Mapping[int, str]) -> dict[str, Any]:
    """A row of the log as a person reads it."""
    detail, about = line.detail, line.object.partition(":")[2]
    what = _(ACTION_NAMES.get(line.action, line.action))
    if line.action == "setting.change":
        entry = setting_groups.entry_of(about)
        what, says = setting_name(entry), written(entry, str(detail.get("value", "")), names)
    elif line.action == "vat_rate.change":
        what = f"{what}: {_(VAT_CLASS_NAMES.get(about, about))}"
        says = percent(detail.get("rate"))
    elif line.action.startswith("account."):
        what = f"{what}: {about}"
        kept = [(name, value) for name, value in detail.items() if name != "before"]
        says = ", ".join(_account_part(name, value) for name, value in kept if value is not None and value is not False)
    elif line.action == "fiscal_year.carry":
        says = money(detail.get("result"))
    elif line.action == "fiscal_year.open":
        says = f"{detail.get('starts')} – {detail.get('ends')}"
    else:
        says = ", ".join(_detail(name, value) for name, value in detail.items() if value != "" and name != "heads")
    return {"at": line.at, "by": line.actor, "what": what, "says": says, "from": detail.get("valid_from")}
