"""Company settings, dated: what held on a day is answered for that day, and nothing booked ever changes (B36)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from errors import N_, BadInput, BrokenRule, Refusal
from models import Account, Setting, VatRate
from rights import Actor, Right
from services import audit, company

DEFAULTS: Mapping[str, str] = {
    "account.receivable": "1510",
    "account.bank": "1930",
    "account.fee": "6060",
    "account.input_vat": "2641",
    "account.reverse_input": "2645",
    "account.reverse_output": "2614",
    "account.holdback": "1686",
    "account.advance": "2420",
    "account.debt": "2890",
    "account.unallocated": "2999",
    "account.rounding": "3740",
    "account.freight": "3520",
    "account.invoicing_fee": "3540",
    "account.discount": "3730",
    "account.stock": "1460",
    "account.stock_change": "4960",
    "account.sales.2500": "3001",
    "account.sales.1200": "3002",
    "account.sales.600": "3003",
    "account.sales.0": "3004",
    "account.vat.2500": "2611",
    "account.vat.1200": "2621",
    "account.vat.600": "2631",
    "account.dormant.2500": "2618",
    "account.dormant.1200": "2628",
    "account.dormant.600": "2638",
    "stock.booking": "0",
    "stock.elsewhere": "0",
    "advance_vat_rule": "dormant",
    "refund_limit.clerk": "200000",
    "refund_limit.counts": "each",
    "decision_limit.second_person": "500000",
    "match_field": "merchant_reference1",
    "unpaid_days": "30",
    "document.first_number": "42580",
    "payment.days": "30",
    "residue_limit": "100",
    "payment.rounding": "none",
    "payment.ocr": "check",
    "mail.host": "",
    "mail.port": "587",
    "mail.security": "starttls",
    "mail.username": "",
    "mail.sender": "",
    "mail.sender_name": "",
    "company.name": "",
    "company.organisation_number": "",
    "company.vat_number": "",
    "company.street": "",
    "company.postal_code": "",
    "company.city": "",
    "company.email": "",
    "company.phone": "",
    "company.bankgiro": "",
    "company.registered_office": "",
    "company.f_tax": "0",
    "text.invoice_sv": "",
    "text.invoice_en": "",
    "text.credit_note_sv": "",
    "text.credit_note_en": "",
}
"""Every setting there is, with what holds until somebody sets it. Amounts are minor units, rates hundredths of a percent."""

_CHOICES: Mapping[str, frozenset[str]] = {
    "advance_vat_rule": frozenset({"dormant", "at_once"}),
    "match_field": frozenset({"merchant_reference1", "merchant_reference2"}),
    "mail.security": frozenset({"starttls", "tls", "none"}),
    "payment.ocr": frozenset({"check", "length"}),
    "payment.rounding": frozenset({"none", "krona"}),
    "refund_limit.counts": frozenset({"each", "day"}),
    "company.f_tax": frozenset({"0", "1"}),
}
_APART = frozenset(
    f"account.{part}" for part in ("bank", "input_vat", "reverse_input", "reverse_output", "holdback", "debt")
)
"""Parts whose sums in a payout's voucher are what the report states: each needs an account of its own (A14)."""
STOCK = "account.stock"
"""The part whose account says what the stock is worth (S4): nothing else is booked there."""
_RESULT = frozenset({"fee", "sales", "freight", "invoicing_fee", "discount", "stock_change"})
_RANGES: Mapping[str, tuple[int, int]] = {
    "refund_limit.clerk": (0, money.MAX_AMOUNT_MINOR),
    "decision_limit.second_person": (0, money.MAX_AMOUNT_MINOR),
    "unpaid_days": (1, 3650),
    "residue_limit": (0, 1_000),
    "document.first_number": (1, 999_999_999),
    "mail.port": (1, 65_535),
    "payment.days": (0, 365),
}
LONGEST = 200
LONGEST_TEXT = 1000
"""Characters of a text on documents, which may have several lines."""
_WHOLE = re.compile(r"[0-9]{1,10}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_KEPT = "settings"
_PER_RATE = re.compile(r"account\.(sales|vat|dormant)\.(0|[1-9][0-9]{0,4})")
"""A VAT rate that comes later gets accounts of its own under such a name."""


def _known(name: str) -> None:
    if name not in DEFAULTS and not _PER_RATE.fullmatch(name):
        raise BrokenRule(f"there is no setting {name}")


def value(session: Session, name: str, day: date | None = None) -> str:
    """What a setting says on a day (today when none is given); its default when nobody has set it."""
    _known(name)
    return _set(session, day or clock.today()).get(name, DEFAULTS.get(name, ""))


_AS_SET = (
    sa.select(Setting.name, Setting.value)
    .where(Setting.valid_from <= sa.bindparam("day"))
    .order_by(Setting.valid_from, Setting.id)
)


def _set(session: Session, day: date) -> dict[str, str]:
    """What has been set, as it holds on a day: asked once per session, since booking one document needs a dozen of them."""
    kept: dict[date, dict[str, str]] = session.info.setdefault(_KEPT, {})
    if day not in kept:
        rows = session.execute(_AS_SET, {"day": day})
        kept[day] = {row.name: row.value for row in rows}
    return kept[day]


def number(session: Session, name: str, day: date | None = None) -> int:
    """A setting that is a whole number: an account, a limit in minor units, a number of days. Raises Refusal when unset."""
    text = value(session, name, day)
    if not text:
        raise Refusal(N_("The setting «%(name)s» has not been made. An administrator has to make it first."), name=name)
    return int(text)


def values(session: Session, prefix: str = "", day: date | None = None) -> dict[str, str]:
    """All settings whose names begin so, as they hold on a day."""
    told = {**DEFAULTS, **_set(session, day or clock.today())}
    return {name: text for name, text in told.items() if name.startswith(prefix)}


def history(session: Session, prefix: str = "") -> list[Setting]:
    """Every change that was made, the newest first (behandlingshistorik, BFNAR 2013:2 p. 9.16)."""
    return list(
        session.scalars(
            sa.select(Setting).where(Setting.name.startswith(prefix, autoescape=True)).order_by(Setting.id.desc())
        )
    )


def _is_result(name: str) -> bool:
    """Whether a part is played by an account of the result, income or cost, and not of the balance."""
    return name.removeprefix("account.").partition(".")[0] in _RESULT


def hold_accounts(session: Session) -> None:
    """Wait for whoever chooses, closes or changes accounts, and be the only one until this transaction is over.

    What is booked meanwhile is not waited for, nor does it wait.
    """
    session.execute(sa.select(Account.number).order_by(Account.number).with_for_update(key_share=True)).all()


def parts_of(session: Session, account: int, day: date) -> set[str]:
    """Which parts an account plays on a day or will play later, as the names of their settings."""
    told = values(session, "account.", day).items()
    later = session.execute(
        sa.select(Setting.name, Setting.value).where(
            Setting.name.startswith("account.", autoescape=True), Setting.valid_from > day
        )
    )
    return {name for name, text in (*told, *later) if text == str(account)}


def require_account(session: Session, name: str, text: str, day: date) -> None:
    """Let an account pass that can play a part from a day on. Raises BadInput (A14, S4)."""
    found = session.get(Account, int(text), populate_existing=True) if _WHOLE.fullmatch(text) else None
    if found is None or not found.active:
        raise BadInput(
            N_("Account %(account)s is not in the chart of accounts, or is closed."), field="value", account=text
        )
    if found.receivable != (name == "account.receivable"):
        raise BadInput(N_("Account %(account)s is of the wrong kind for this."), field="value", account=text)
    if name != "account.rounding" and (found.kind in ("I", "K")) is not _is_result(name):
        raise BadInput(N_("Account %(account)s is of the wrong kind for this."), field="value", account=text)
    others = parts_of(session, found.number, day) - {name}
    if name in _APART and others & _APART:
        raise BadInput(
            N_("Account %(account)s plays another part in the vouchers of payouts. Choose one of its own."),
            field="value",
            account=text,
        )
    if STOCK in others or (name == STOCK and (others or found.payment_account)):
        raise BadInput(
            N_(
                "The stock account holds the value of the stock and nothing else. Choose one of its own, not %(account)s."
            ),
            field="value",
            account=text,
        )


def _check_account(session: Session, name: str, text: str, day: date) -> None:
    hold_accounts(session)
    session.info.pop(_KEPT, None)
    if name == STOCK and value(session, "stock.booking") == "1":
        raise BadInput(N_("Stock is booked as it moves, on the account it has. End that first."), field="value")
    require_account(session, name, text, day)


def _check_choice(name: str, text: str) -> None:
    if text not in _CHOICES[name]:
        raise BadInput(N_("Choose one of the values in the list."), field="value")


def _check_range(name: str, text: str) -> None:
    least, most = _RANGES[name]
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise BadInput(
            N_("Enter a whole number from %(least)s to %(most)s."), field="value", least=str(least), most=str(most)
        )


def _check_text(text: str, most: int = LONGEST) -> None:
    if len(text) > most:
        raise BadInput(N_("At most %(most)s characters can be entered."), field="value", most=str(most))
    if _CONTROL.search(text):
        raise BadInput(N_("The text holds characters that cannot be shown."), field="value")


def _check(session: Session, name: str, text: str, day: date) -> None:
    """Refuse what a setting cannot be. Raises BadInput (catalogue row 72)."""
    checks: tuple[tuple[bool, Callable[[], None]], ...] = (
        (name.startswith("account."), lambda: _check_account(session, name, text, day)),
        (name in _CHOICES, lambda: _check_choice(name, text)),
        (name in _RANGES, lambda: _check_range(name, text)),
        (name.startswith(("company.", "mail.")), lambda: _check_text(text)),
        (name.startswith("text."), lambda: _check_text(text.replace("\n", " "), LONGEST_TEXT)),
    )
    for applies, check in checks:
        if applies:
            check()


def change(session: Session, actor: Actor, name: str, value: str, valid_from: date) -> None:
    """Let a setting say something else from a day on. Raises NotAllowed, BadInput; what is booked stays as it is (B36)."""
    actor.require(Right.ADMINISTER)
    _known(name)
    text = value.strip()
    _check(session, name, text, valid_from)
    keep(session, actor, name, company.READERS.get(name, str)(text), valid_from)


def keep(session: Session, actor: Actor, name: str, text: str, valid_from: date) -> None:
    """Write down what a setting says from a day on, for whoever has seen to right and value; it stands in the log."""
    session.add(Setting(name=name, value=text, valid_from=valid_from, set_by=actor.name, set_at=clock.now()))
    session.flush()
    session.info.pop(_KEPT, None)
    audit.write(
        session, actor, "setting.change", f"setting:{name}", {"value": text, "valid_from": valid_from.isoformat()}
    )


def require_from_today(valid_from: date) -> None:
    """Let a day pass from which a change may hold. Raises BadInput: what has been booked stays as it is (B36)."""
    if valid_from < clock.today():
        raise BadInput(
            N_("A change holds from today or a later day. What has been booked stays as it is."), field="valid_from"
        )


def change_all(
    session: Session, actor: Actor, wanted: Mapping[str, str], valid_from: date, field: str | None = None
) -> list[str]:
    """Change those of these settings that would say something else on a day, and name them.

    A refusal names the last part of the setting as its field, or ``field``. Raises NotAllowed, BadInput.
    """
    require_from_today(valid_from)
    changed = []
    for name, text in wanted.items():
        if value(session, name, valid_from) == text.strip():
            continue
        try:
            change(session, actor, name, text, valid_from)
        except BadInput as no:
            no.field = field or (name.partition(".")[2] or name).replace(".", "_")
            raise
        changed.append(name)
    return changed


def coming(session: Session, names: Collection[str]) -> list[Setting]:
    """Changes of these settings whose day has not come, the nearest first."""
    return list(
        session.scalars(
            sa.select(Setting)
            .where(Setting.name.in_(names), Setting.valid_from > clock.today())
            .order_by(Setting.valid_from, Setting.id)
        )
    )


def vat_rate_of(session: Session, vat_class: str, day: date) -> int:
    """The rate of a VAT class on a day, hundredths of a percent. Raises BadInput when the table has none (accounting 8)."""
    found = session.scalar(
        sa.select(VatRate.rate)
        .where(VatRate.vat_class == vat_class, VatRate.valid_from <= day)
        .order_by(VatRate.valid_from.desc())
        .limit(1)
    )
    if found is None:
        raise BadInput(
            N_("There is no VAT rate for «%(name)s» on %(day)s."), field="vat_class", name=vat_class, day=day
        )
    return found


def vat_classes(session: Session, day: date) -> dict[str, int]:
    """The VAT classes and their rates on a day, hundredths of a percent, the highest first."""
    rows = session.execute(
        sa.select(VatRate.vat_class, VatRate.rate).where(VatRate.valid_from <= day).order_by(VatRate.valid_from)
    )
    told = {row.vat_class: row.rate for row in rows}
    return dict(sorted(told.items(), key=lambda pair: (-pair[1], pair[0])))
