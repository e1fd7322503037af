"""«Kontoplan» changed by a person: accounts added, renamed, closed and opened again; what is booked never changes (B36).

What decides how an account's rows are read (VAT code, box of the VAT return, customer ledger) can be chosen until something
is booked on it. Each change is kept as it was made (BFNAR 2013:2 p. 9.16). Source: accounting reference 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
from errors import N_, BadInput, NotFound, Refusal, Stale
from models import Account, AccountChange, Posting
from rights import Actor, Right
from services import audit, periods, settings, vat_rates
from services.card_checks import check_text

LONGEST = 100
BOXES: Mapping[int, str] = {
    5: N_("Sales with VAT"),
    10: N_("Output VAT, 25 percent"),
    11: N_("Output VAT, 12 percent"),
    12: N_("Output VAT, 6 percent"),
    20: N_("Purchases of goods from another EU country"),
    21: N_("Purchases of services from another EU country"),
    22: N_("Purchases of services from outside the EU"),
    23: N_("Purchases of goods in Sweden, reverse charge"),
    24: N_("Other purchases of services in Sweden, reverse charge"),
    30: N_("Output VAT, 25 percent on purchases"),
    31: N_("Output VAT, 12 percent on purchases"),
    32: N_("Output VAT, 6 percent on purchases"),
    35: N_("Sales of goods to another EU country"),
    36: N_("Sales of goods outside the EU"),
    39: N_("Sales of services to businesses in another EU country"),
    40: N_("Other sales of services supplied abroad"),
    41: N_("Sales where the buyer accounts for the VAT"),
    42: N_("Other sales without VAT"),
    48: N_("Input VAT to deduct"),
}
"""Boxes of the Swedish VAT return that bookkeeping fills (Skatteverket, SKV 4700)."""
_FIXED = ("vat_rate", "vat_box", "receivable")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an account says. The rate is hundredths of a percent."""

    name: str
    vat_rate: int | None = None
    vat_box: int | None = None
    payment_account: bool = False
    receivable: bool = False
    active: bool = True

    @property
    def fingerprint(self) -> str:
        """What a form carries to see that nobody else has changed the account meanwhile (catalogue row 73)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def facts_of(account: Account) -> Facts:
    """An account as it stands."""
    return Facts(**{each.name: getattr(account, each.name) for each in fields(Facts)})


def kind_of(number: int) -> str:
    """SIE's kind by the number, as the BAS chart has it: assets, debts and equity, income, costs."""
    if number < 2000:
        return "T"
    if number < 3000:
        return "S"
    return "I" if number < 4000 or 8000 <= number < 8400 else "K"


def get(session: Session, number: int, *, lock: bool = False) -> Account:
    """One account. Raises NotFound."""
    found = (
        session.get(Account, number, with_for_update=lock or None, populate_existing=lock)
        if 1000 <= number <= 9999
        else None
    )
    if found is None:
        raise NotFound
    return found


def is_booked_on(session: Session, number: int) -> bool:
    """Whether anything was ever booked on an account."""
    return session.scalar(sa.select(Posting.id).where(Posting.account == number).limit(1)) is not None


def add(session: Session, actor: Actor, number: int, facts: Facts) -> Account:
    """Add an account. Raises NotAllowed, BadInput."""
    actor.require(Right.ADMINISTER)
    if not 1000 <= number <= 9999:
        raise BadInput(N_("An account has four digits, 1000 to 9999."), field="number")
    if session.get(Account, number) is not None:
        raise BadInput(N_("Account %(account)s is there already."), field="number", account=str(number))
    _check(session, number, facts)
    values = asdict(facts) | {"active": True, "name": facts.name.strip()}
    made = Account(number=number, kind=kind_of(number), **values)
    session.add(made)
    session.flush()
    _keep(session, actor, made, "account.add", {})
    return made


def change(session: Session, actor: Actor, number: int, facts: Facts, seen: str) -> bool:
    """Let an account say something else; gives whether anything changed.

    Raises NotAllowed, NotFound, BadInput, Stale, and Refusal for what something booked depends on.
    """
    actor.require(Right.ADMINISTER)
    periods.stop_booking(session)
    settings.hold_accounts(session)
    account = get(session, number, lock=True)
    before = facts_of(account)
    if before.fingerprint != seen:
        raise Stale(N_("Somebody else has changed this account. Reload the page and make the change again."))
    _check(session, number, facts)
    after = Facts(**{**asdict(facts), "name": facts.name.strip()})
    if after == before:
        return False
    for name in _FIXED:
        if getattr(after, name) != getattr(before, name) and is_booked_on(session, number):
            raise Refusal(
                N_("Account %(account)s has been booked on, so this stays. Add another account for what is new."),
                field=name,
                account=str(number),
            )
    _require_part(session, number, before, after)
    if before.active and not after.active:
        _require_closable(session, number)
    for name, value in asdict(after).items():
        setattr(account, name, value)
    session.flush()
    changed = {name: value for name, value in asdict(after).items() if value != getattr(before, name)}
    _keep(session, actor, account, "account.change", {"before": {name: getattr(before, name) for name in changed}})
    return True


def history(session: Session, number: int) -> list[AccountChange]:
    """Every change of an account, the newest first."""
    return list(
        session.scalars(
            sa.select(AccountChange).where(AccountChange.account == number).order_by(AccountChange.id.desc())
        )
    )


def _check(session: Session, number: int, facts: Facts) -> None:
    name = facts.name.strip()
    if not name:
        raise BadInput(N_("This field must be filled in."), field="name")
    check_text(name, LONGEST, field="name")
    if facts.vat_rate is not None and facts.vat_rate not in vat_rates.rates_known(session):
        raise BadInput(N_("Choose one of the values in the list."), field="vat_rate")
    if facts.vat_box is not None and facts.vat_box not in BOXES:
        raise BadInput(N_("Choose one of the values in the list."), field="vat_box")
    if facts.receivable and (number >= 2000 or facts.payment_account or facts.vat_box or facts.vat_rate is not None):
        raise BadInput(
            N_("A customer ledger account is an asset, without VAT, and no payment account."), field="receivable"
        )


def _require_part(session: Session, number: int, before: Facts, after: Facts) -> None:
    """An account that a setting names, now or later, stays open and of its kind; what holds the stock is paid from by nobody."""
    closes, turns = before.active and not after.active, after.receivable != before.receivable
    paid = after.payment_account and not before.payment_account
    parts = settings.parts_of(session, number, clock.today())
    if parts and (closes or turns):
        raise Refusal(
            N_("Account %(account)s is one of the default accounts. Choose another there first."),
            field="active" if closes else "receivable",
            account=str(number),
            link=("settings.group", {"group": "accounts"}),
        )
    if settings.STOCK in parts and paid:
        raise Refusal(
            N_("Account %(account)s holds the value of the stock, and nothing else is booked there."),
            field="payment_account",
            account=str(number),
        )


def _require_closable(session: Session, number: int) -> None:
    """A ledger with open items stays open."""
    left = session.scalar(
        sa.select(sa.func.sum(Posting.amount_minor))
        .join(Account, Account.number == Posting.account)
        .where(Posting.account == number, Account.receivable.is_(True))
    )
    if left:
        raise Refusal(
            N_("Invoices are still open on account %(account)s. It can be closed when they are paid."),
            field="active",
            account=str(number),
        )


def _keep(session: Session, actor: Actor, account: Account, action: str, more: Mapping[str, Any]) -> None:
    facts = asdict(facts_of(account))
    session.add(AccountChange(account=account.number, at=clock.now(), by=actor.name, **facts))
    session.flush()
    audit.write(session, actor, action, f"account:{account.number}", {**facts, **more})
