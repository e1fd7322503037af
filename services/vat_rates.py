"""VAT rates with their days: a new rate holds from today or later, and nothing that has been booked changes (B36).

Rates are hundredths of a percent. Source: accounting reference 8 (rates are dated data).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

import clock
import money
from db import add_first
from errors import N_, BadInput, Stale
from models import VatRate
from rights import Actor, Right
from services import audit, settings


@dataclass(frozen=True, slots=True)
class Rate:
    """The rate of a class from a day on. ``state`` is past, now or coming."""

    vat_class: str
    valid_from: date
    rate: int
    state: str


def read_rate(text: str) -> int:
    """A rate as hundredths of a percent: 0 to 100. Raises BadInput."""
    text = text.strip().removesuffix("%").strip()
    return 0 if text == "0" else money.parse_percent(text, field="rate")


def listing(session: Session) -> list[Rate]:
    """Every rate of every class, class by class, the newest first."""
    today, told, held = clock.today(), [], set()
    rows = session.scalars(sa.select(VatRate).order_by(VatRate.vat_class, VatRate.valid_from.desc()))
    for row in rows:
        state = "coming" if row.valid_from > today else ("past" if row.vat_class in held else "now")
        if state == "now":
            held.add(row.vat_class)
        told.append(Rate(row.vat_class, row.valid_from, row.rate, state))
    return told


def rates_known(session: Session) -> Sequence[int]:
    """Every rate that occurs, highest first: each has accounts of its own."""
    return session.scalars(sa.select(VatRate.rate).distinct().order_by(VatRate.rate.desc())).all()


def _has_accounts(session: Session, rate: int) -> bool:
    names = [f"account.sales.{rate}", *([f"account.vat.{rate}"] if rate else [])]
    return all(settings.value(session, name) for name in names)


def add(
    session: Session, actor: Actor, vat_class: str, rate: int, valid_from: date,
    *, sales_account: str = "", vat_account: str = "",
) -> None:  # fmt: skip
    """Let a class have another rate from a day on; a rate that is new gets its accounts with it. Raises NotAllowed, BadInput.

    A rate whose day has not come can be typed again and is replaced.
    """
    actor.require(Right.ADMINISTER)
    if session.scalar(sa.select(VatRate.rate).where(VatRate.vat_class == vat_class).limit(1)) is None:
        raise BadInput(N_("Choose one of the values in the list."), field="vat_class")
    settings.require_from_today(valid_from)
    if not 0 <= rate <= 10_000:
        raise BadInput(N_("Enter a percentage between 0 and 100."), field="rate")
    found = session.get(VatRate, (vat_class, valid_from), with_for_update=True)
    if found is not None and valid_from <= clock.today():
        raise BadInput(N_("The class has got a rate from that day. Choose a later day."), field="valid_from")
    for kind, typed in (("sales", sales_account), *((("vat", vat_account),) if rate else ())):
        if typed:
            settings.change_all(session, actor, {f"account.{kind}.{rate}": typed}, clock.today(), f"{kind}_account")
    if not _has_accounts(session, rate):
        raise BadInput(
            N_("No account has been chosen for %(rate)s. Choose the accounts for sales and VAT too."),
            field="sales_account",
            rate=rate,
        )
    before = found.rate if found is not None else None
    if found is None:
        if not add_first(session, VatRate(vat_class=vat_class, valid_from=valid_from, rate=rate)):
            raise Stale(N_("Somebody else has changed these settings. Reload the page and make the change again."))
    else:
        found.rate = rate
    session.flush()
    detail = {"rate": rate, "before": before, "valid_from": valid_from}
    audit.write(session, actor, "vat_rate.change", f"vat_rate:{vat_class}", detail)
