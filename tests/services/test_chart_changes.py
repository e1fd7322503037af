"""«Kontoplan»: accounts are added, changed and closed; what is booked, and how it is read, stays (B36)."""

from __future__ import annotations

import importlib
import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

import clock
from db import reading, writing
from errors import BadInput, NotAllowed, NotFound, Refusal, Stale
from models import Account, Audit, Posting, Voucher
from rights import Actor
from services import accounts, chart_changes, ledger, settings
from services.chart_changes import Facts
from services.ledger import Entry
from tests import builders
from tests.services.test_ledger import a_claim, verified
from tests.threads import in_threads, while_open

TODAY = clock.today()


def as_it_stands(number: int) -> Facts:
    with reading() as session:
        return chart_changes.facts_of(chart_changes.get(session, number))


def let(admin: Actor, number: int, **other: object) -> bool:
    now = as_it_stands(number)
    with writing() as session:
        return chart_changes.change(session, admin, number, replace(now, **other), now.fingerprint)  # type: ignore[arg-type]


def book(finance: Actor, number: int, minor: int, source: str, document_id: int | None = None) -> None:
    with writing() as session:
        entries = [Entry(number, minor, "", document_id), Entry(1930, -minor)]
        ledger.post(session, finance, series="I", day=TODAY, text="x", source=source, entries=entries)


def test_an_account_is_added_used_renamed_closed_and_opened_again(books: Flask, admin: Actor, finance: Actor) -> None:
    """B36: dated and logged; nothing booked changes."""
    with pytest.raises(NotAllowed), writing() as session:
        chart_changes.add(session, finance, 6571, Facts("Avgifter"))
    with writing() as session:
        made = chart_changes.add(session, admin, 6571, Facts(" Avgifter, Qliro ", payment_account=True))
        assert (made.name, made.kind, made.active) == ("Avgifter, Qliro", "K", True)
    assert let(admin, 6571, vat_rate=2500, vat_box=24), "nothing is booked yet"
    assert let(admin, 6571, vat_rate=None, vat_box=None)
    book(finance, 6571, 5_00, "a")
    for wrong in ({"vat_rate": 2500}, {"vat_box": 48}):
        with pytest.raises(Refusal, match="has been booked on") as no:
            let(admin, 6571, **wrong)
        assert no.value.field == next(iter(wrong))
    assert let(admin, 6571, name="Avgifter", payment_account=False, active=False)
    assert not let(admin, 6571)
    with pytest.raises(Refusal, match="closed"):
        book(finance, 6571, 5_00, "b")
    assert let(admin, 6571, active=True)
    book(finance, 6571, 5_00, "b")
    with reading() as session:
        told = [(each.name, each.active, each.by) for each in chart_changes.history(session, 6571)]
        logged = session.scalars(sa.select(Audit.detail).where(Audit.object == "account:6571").order_by(Audit.id)).all()
        assert session.scalars(sa.select(Posting.amount_minor).where(Posting.account == 6571)).all() == [5_00, 5_00]
    assert told[:2] == [("Avgifter", True, admin.name), ("Avgifter", False, admin.name)] and len(told) == 5
    assert '"before":{"active":false}' in logged[-1]
    assert verified("A11", "X4", "X5")


@pytest.mark.unlocked("the claim is written by hand")
def test_what_others_lean_on_stays_open(books: Flask, admin: Actor, finance: Actor) -> None:
    with pytest.raises(Refusal, match="default accounts") as no:
        let(admin, 6060, active=False)
    assert no.value.link == ("settings.group", {"group": "accounts"})
    with writing() as session:
        tomorrow = clock.today().replace(year=TODAY.year + 1)
        settings.change(session, admin, "account.fee", "6064", tomorrow)
    with pytest.raises(Refusal, match="default accounts"):
        let(admin, 6064, active=False)
    with writing() as session:
        chart_changes.add(session, admin, 1511, Facts("Kundfordringar, annan", receivable=True))
        document = a_claim(session, builders.a_customer(session).id).id
    book(finance, 1511, 7_00, "c", document)
    with pytest.raises(Refusal, match="still open"):
        let(admin, 1511, active=False)
    book(finance, 1511, -7_00, "d", document)
    assert let(admin, 1511, active=False)


def test_a_default_account_stays_of_its_kind(books: Flask, admin: Actor) -> None:
    """S4, A14: what is booked on it names no document, so that a ledger of claims could not take it."""
    with pytest.raises(Refusal, match="default accounts") as no:
        let(admin, 1460, receivable=True)
    assert no.value.field == "receivable"
    with pytest.raises(Refusal, match="value of the stock") as no:
        let(admin, 1460, payment_account=True)
    assert no.value.field == "payment_account"
    assert let(admin, 1460, name="Varulager")


@pytest.mark.only_on("postgres")
def test_an_account_is_not_chosen_while_it_is_being_closed(books: Flask, admin: Actor) -> None:
    """B36: whoever chooses waits for the one who closes, and the other way about. Without the lock both would go through."""

    def closes(session: Session) -> None:
        now = chart_changes.facts_of(session.get_one(Account, 6064))
        chart_changes.change(session, admin, 6064, replace(now, active=False), now.fingerprint)

    def chooses(session: Session) -> None:
        settings.change(session, admin, "account.fee", "6064", clock.today())

    assert isinstance(while_open(books, closes, chooses), BadInput)
    assert let(admin, 6064, active=True)
    assert isinstance(while_open(books, chooses, closes), Refusal)


@pytest.mark.parametrize(
    ("number", "facts", "field"),
    [
        (999, Facts("x"), "number"),
        (1930, Facts("x"), "number"),
        (6571, Facts("  "), "name"),
        (6571, Facts("x" * 101), "name"),
        (6571, Facts("x\u202e"), "name"),
        (6571, Facts("x", vat_rate=1700), "vat_rate"),
        (6571, Facts("x", vat_box=7), "vat_box"),
        (6571, Facts("x", receivable=True), "receivable"),
        (1511, Facts("x", receivable=True, payment_account=True), "receivable"),
    ],
)
@pytest.mark.only_on("sqlite")
def test_what_an_account_cannot_be_is_refused(
    books: Flask, admin: Actor, number: int, facts: Facts, field: str
) -> None:
    with pytest.raises(BadInput) as no, writing() as session:
        chart_changes.add(session, admin, number, facts)
    assert no.value.field == field
    with pytest.raises(NotFound), reading() as session:
        chart_changes.get(session, 7777)


def test_two_who_change_one_account_do_not_overwrite_each_other(books: Flask, admin: Actor) -> None:
    """Catalogue row 73."""
    seen = as_it_stands(6064)
    let(admin, 6064, name="Factoring")
    with pytest.raises(Stale), writing() as session:
        chart_changes.change(session, admin, 6064, replace(seen, active=False), seen.fingerprint)
    assert as_it_stands(6064).active


def test_nothing_is_booked_on_an_account_that_is_being_closed(books: Flask, admin: Actor, finance: Actor) -> None:
    """B36, A11: whoever books waits for the one who closes, and then sees it."""
    closed, refused = threading.Event(), []
    seen = as_it_stands(6570)

    def work(number: int) -> None:
        if number == 0:
            with writing() as session:
                chart_changes.change(session, admin, 6570, replace(seen, active=False), seen.fingerprint)
                closed.set()
                threading.Event().wait(0.3)
        else:
            closed.wait(10)
            try:
                book(finance, 6570, 1, "late")
            except Refusal as no:
                refused.append(no.values["account"])

    assert in_threads(books, work, 2) == [] and refused == ["6570"]
    with reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Voucher)) == 0
        assert not session.get_one(Account, 6570).active


def test_books_that_were_opened_before_get_the_same_boxes_as_new_ones() -> None:
    migration = importlib.import_module("migrations.versions.0006_settlements_are_explained_to_the_last_row")
    assert {number: box for box, numbers in migration.BOXES.items() for number in numbers} == accounts.BOXES
