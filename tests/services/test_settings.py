"""Settings hold from a day on; nothing that was booked changes (B36)."""

from __future__ import annotations

from datetime import date

import pytest
from flask import Flask

from db import reading, writing
from errors import BadInput, BrokenRule, NotAllowed, Refusal
from rights import Actor
from services import accounts, audit, ledger, settings
from states import LineKind


def test_a_setting_holds_from_its_day_on(books: Flask, admin: Actor) -> None:
    with writing() as session:
        assert settings.value(session, "account.fee") == "6060"
        settings.change(session, admin, "account.fee", "6064", date(2026, 7, 1))
    with reading() as session:
        assert settings.number(session, "account.fee", date(2026, 6, 30)) == 6060
        assert settings.number(session, "account.fee", date(2026, 7, 1)) == 6064
        assert ledger.role(session, "fee", date(2026, 8, 1)) == 6064


def test_the_later_of_two_changes_of_one_day_holds(books: Flask, admin: Actor) -> None:
    with writing() as session:
        settings.change(session, admin, "unpaid_days", "45", date(2026, 7, 1))
        settings.change(session, admin, "unpaid_days", "60", date(2026, 7, 1))
        assert settings.number(session, "unpaid_days", date(2026, 7, 1)) == 60
        assert [each.value for each in settings.history(session, "unpaid")] == ["60", "45"]


def test_a_change_is_logged(books: Flask, admin: Actor) -> None:
    with writing() as session:
        settings.change(session, admin, "unpaid_days", "45", date(2026, 7, 1))
    with reading() as session:
        (line,) = audit.listing(session, object="setting:unpaid_days")
    assert line.detail == {"value": "45", "valid_from": "2026-07-01"}


def test_only_an_administrator_changes_settings(books: Flask, clerk: Actor, finance: Actor) -> None:
    for actor in (clerk, finance):
        with pytest.raises(NotAllowed), writing() as session:
            settings.change(session, actor, "unpaid_days", "45", date(2026, 7, 1))


WRONG = [
    ("account.fee", "9999"),
    ("account.fee", "x"),
    ("account.fee", "1510"),
    ("account.receivable", "1930"),
    ("account.sales.2500", "1930"),
    ("account.bank", "3001"),
    ("account.reverse_input", "2641"),
    ("account.holdback", "1930"),
    ("account.unallocated", "1460"),
    ("account.stock", "1930"),
    ("account.stock", "1910"),
    ("refund_limit.clerk", "-1"),
    ("refund_limit.clerk", "200000001"),
    ("unpaid_days", "0"),
    ("advance_vat_rule", "sometimes"),
    ("match_field", "note"),
    ("company.name", "å" * 201),
    ("company.name", "x\u202ey"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_a_setting_cannot_be_is_refused(books: Flask, admin: Actor, name: str, value: str) -> None:
    """Catalogue row 72."""
    with pytest.raises(BadInput), writing() as session:
        settings.change(session, admin, name, value, date(2026, 7, 1))


def test_no_part_comes_to_share_an_account_that_has_to_stand_alone(books: Flask, admin: Actor) -> None:
    """A14, S4: neither today nor through a change whose day has not come."""
    first, later = date(2026, 7, 1), date(2026, 8, 1)
    for name, account, taken in (
        ("account.holdback", "1580", "account.debt"),
        ("account.unallocated", "1519", "account.stock"),
    ):
        with writing() as session:
            settings.change(session, admin, name, account, later)
        with pytest.raises(BadInput), writing() as session:
            settings.change(session, admin, taken, account, first)
    with writing() as session:
        settings.change(session, admin, "account.holdback", "1686", later)


def test_an_unknown_setting_is_a_mistake_of_ours(books: Flask, admin: Actor) -> None:
    with reading() as session:
        with pytest.raises(BrokenRule):
            settings.value(session, "account.nothing")


def test_the_company_comes_in_one_reading(books: Flask, admin: Actor) -> None:
    with writing() as session:
        settings.change(session, admin, "company.city", "Göteborg", date(2026, 7, 1))
    with reading() as session:
        assert settings.values(session, "company.", date(2026, 6, 1))["company.city"] == "Stockholm"
        assert settings.values(session, "company.", date(2026, 7, 1))["company.city"] == "Göteborg"


def test_vat_rates_are_dated(books: Flask) -> None:
    """Food is 6 % from 1 April 2026 to 31 December 2027."""
    with reading() as session:
        days = (date(2026, 3, 31), date(2026, 4, 1), date(2027, 12, 31), date(2028, 1, 1))
        assert [settings.vat_rate_of(session, "food", day) for day in days] == [1200, 600, 600, 1200]
        assert settings.vat_classes(session, date(2026, 11, 22))["standard"] == 2500
        with pytest.raises(BadInput):
            settings.vat_rate_of(session, "nothing", date(2026, 1, 1))


def test_rows_find_their_accounts(books: Flask, admin: Actor) -> None:
    day = date(2026, 11, 22)
    with writing() as session:
        found = {kind: accounts.sales_account(session, 2500, kind, day) for kind in LineKind}
        assert found == {
            LineKind.ARTICLE: 3001,
            LineKind.TEXT: 3001,
            LineKind.DISCOUNT: 3001,
            LineKind.FREIGHT: 3520,
            LineKind.RETURN_FEE: 3520,
            LineKind.FEE: 3540,
            LineKind.ADVANCE: 2420,
            LineKind.ADVANCE_DEDUCTION: 2420,
            LineKind.ROUNDING: 3740,
        }
        assert [accounts.sales_account(session, rate, LineKind.ARTICLE, day) for rate in (1200, 600, 0)] == [
            3002,
            3003,
            3004,
        ]
        assert [accounts.vat_account(session, rate, day) for rate in (2500, 1200, 600)] == [2611, 2621, 2631]
        assert [accounts.dormant_vat_account(session, rate, day) for rate in (2500, 1200, 600)] == [2618, 2628, 2638]
        with pytest.raises(BrokenRule):
            accounts.vat_account(session, 0, day)
        with pytest.raises(Refusal):
            accounts.vat_account(session, 1100, day)
        settings.change(session, admin, "account.vat.1100", "2650", day)
        assert accounts.vat_account(session, 1100, day) == 2650
